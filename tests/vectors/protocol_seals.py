"""Cases for §9 of the partner protocol: seals, alone."""

from __future__ import annotations

from typing import Any

from tests.vectors.protocol_bytes import (
    ORDER,
    Members,
    b64u,
    canonical,
    detached,
    detached_ml_dsa,
    es256,
    ml_dsa,
    ordered,
    p256,
)
from tests.vectors.protocol_world import (
    DAY,
    DISCLOSURE,
    IAT,
    RECIPIENT,
    SENDER,
    TYPES,
    VOID,
    header,
    second_header,
    signatures,
    x5t,
)

MESSAGE = f"{SENDER}/message"
KEY, PQ = p256(MESSAGE), ml_dsa(f"{SENDER}/message-pq")


def _signed(raw: bytes, payload: bytes = VOID, key: str = MESSAGE) -> str:
    return detached(raw, payload, p256(key))


def _reordered(members: Members) -> bytes:
    names = list(members)
    names[1], names[2] = names[2], names[1]
    return ordered({name: members[name] for name in names})


def cases() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def add(
        name: str,
        expect: str,
        jws: str,
        second: str = "",
        *,
        payload: bytes = VOID,
        agreement: str = "hpke-classic",
    ) -> None:
        found.append(
            {
                "name": name,
                "expect": expect,
                "agreement": agreement,
                "payload": payload.decode(),
                "jws": jws,
                "second": second,
            }
        )

    def changed(name: str, expect: str, **changes: Any) -> None:
        """One member of the seal is another; signed as it then is."""
        add(name, expect, _signed(ordered(header(VOID, "void", **changes))))

    first = header(VOID, "void")
    raw, good = ordered(first), signatures(first, VOID)[0]
    head, _, tail = good.split(".")

    # --- good -----------------------------------------------------------------------------------------------------
    add("void", "accept", good)
    add("disclosure", "accept", signatures(header(DISCLOSURE), DISCLOSURE)[0], payload=DISCLOSURE)
    for type in TYPES[:-1]:
        add(f"type {type}", "accept", signatures(header(VOID, type), VOID)[0])
    changed("the clock of the sender is 300 seconds ahead", "accept", iat=IAT + 300)
    changed("the last second of its life", "accept", exp=IAT + 1)
    changed("30 days, and the skew of both ends", "accept", exp=IAT + 30 * DAY + 600)
    voids = f"{SENDER}/message-voids"
    add("a key for this type alone", "accept", signatures(header(VOID, "void", kid=voids), VOID)[0])

    # --- form -----------------------------------------------------------------------------------------------------
    add("members in another order", "malformed", _signed(_reordered(first)))
    add("members sorted", "malformed", _signed(canonical(first)))
    add("a space after a colon", "malformed", _signed(raw.replace(b'"seq":1', b'"seq": 1')))
    add("a line feed at the end", "malformed", _signed(raw + b"\n"))
    add("the dash escaped", "malformed", _signed(raw.replace("—".encode(), b"\\u2014")))
    add("a slash escaped", "malformed", _signed(raw.replace(b"application/", b"application\\/")))
    add("a member twice", "malformed", _signed(raw.replace(b'"seq":1', b'"seq":1,"seq":1')))
    add("an unknown member", "malformed", _signed(ordered(first | {"jku": "https://partner.invalid/keys"})))
    add("a key in the header", "malformed", _signed(ordered(first | {"jwk": {"kty": "EC"}})))
    for name in first:
        add(f"without {name}", "malformed", _signed(ordered({k: v for k, v in first.items() if k != name})))
    changed("a null member", "malformed", checkpoint=None)
    changed("no algorithm", "malformed", alg="none")
    changed("a symmetric algorithm", "malformed", alg="HS256")
    changed("another curve", "malformed", alg="ES384")
    changed("ML-DSA first", "malformed", alg="ML-DSA-65")
    changed("the payload encoded", "malformed", b64=True)
    changed("two critical members", "malformed", crit=["b64", "exp"])
    changed("no critical member", "malformed", crit=[])
    changed("an unknown type", "malformed", typ="ecluse-msg-unknown+jws")
    changed("the type of a receipt", "malformed", typ="ecluse-receipt+jws")
    changed("the type without its ending", "malformed", typ="ecluse-msg-void")
    changed("number zero", "malformed", seq=0)
    changed("a number as text", "malformed", seq="1")
    changed("a number beyond what every reader keeps", "malformed", seq=2**53)
    changed("expired before it was issued", "malformed", exp=IAT)
    changed("a negative time", "malformed", iat=-1)
    changed("an id in upper case", "malformed", jti="5F0C7F0E-6A0E-4A53-9D57-0F3C1C2B7A11")
    changed("a UUID of another version", "malformed", jti="5f0c7f0e-6a0e-1a53-9d57-0f3c1c2b7a11")
    changed("an organisation in upper case", "malformed", iss="BEL.ocam")
    changed("an organisation without its state", "malformed", aud="police-demo")
    changed("a key id with a space", "malformed", enc_kid="key 1")
    changed("an unknown suite", "malformed", suite="hpke-x25519-a256gcm")
    changed("an unknown profile", "malformed", sig_profile="none")
    changed("an unknown mode", "malformed", mode="live")
    changed("a digest in upper case", "malformed", payload_sha256="A" * 64)
    changed("a thumbprint of SHA-1", "malformed", x5t="A" * 27)
    changed("an empty checkpoint", "malformed", checkpoint="")
    changed("a checkpoint of 8193 characters", "malformed", checkpoint="x" * 8193)
    add("the payload inside", "malformed", f"{head}.{b64u(VOID)}.{tail}")
    add("four segments", "malformed", f"{head}..{tail}.")
    add("two segments", "malformed", f"{head}.{tail}")
    add("padded base64", "malformed", f"{head}..{tail}==")
    add("a stray character", "malformed", f"{head}..{tail[:-1]}*")
    add("trailing bits that are not zero", "malformed", f"{head}..{tail[:-1]}{_next(tail[-1])}")
    add("no seal", "malformed", "")

    # --- signature ------------------------------------------------------------------------------------------------
    add("another payload", "signature-invalid", good, payload=VOID.replace(b'"fr"', b'"nl"'))
    other = header(VOID, "void", payload_sha256="0" * 64)
    add("the digest of another payload", "signature-invalid", _signed(ordered(other)))
    add("the high s", "signature-invalid", detached(raw, VOID, KEY, high=True))
    add("a signature of zeros", "signature-invalid", f"{head}..{b64u(bytes(64))}")
    add("r beyond the order", "signature-invalid", f"{head}..{b64u(ORDER.to_bytes(32, 'big') + b'1' * 32)}")
    add("a signature of 63 bytes", "signature-invalid", f"{head}..{b64u(es256(b'', KEY)[:-1])}")
    add("an empty signature", "signature-invalid", f"{head}..")
    flipped = bytearray(es256(head.encode() + b"." + VOID, KEY))
    flipped[5] ^= 1
    add("a bit of the signature", "signature-invalid", f"{head}..{b64u(bytes(flipped))}")
    add("the key of another", "signature-invalid", _signed(raw, key=f"{RECIPIENT}/message"))
    add("signed as if encoded", "signature-invalid", f"{head}..{b64u(es256(_encoded(head), KEY))}")
    for kid, why in (
        (f"{SENDER}/unknown", "an unknown key"),
        (f"{SENDER}/receipt", "the receipt key"),
        (f"{SENDER}/agreement", "the agreement key"),
        (f"{SENDER}/message-revoked", "a revoked key"),
        (f"{SENDER}/message-next", "a key not yet valid"),
        (f"{SENDER}/message-ended", "a key valid no longer"),
        (f"{RECIPIENT}/message", "the recipient's key"),
    ):
        add(why, "signature-invalid", _signed(ordered(header(VOID, "void", kid=kid)), key=kid))
    disclosure = header(DISCLOSURE, kid=voids)
    add(
        "a key for another type",
        "signature-invalid",
        signatures(disclosure, DISCLOSURE)[0],
        payload=DISCLOSURE,
    )
    changed("another certificate", "signature-invalid", x5t=x5t("another"))
    changed("issued 301 seconds ahead", "replayed", iat=IAT + 301)
    changed("expired this second", "replayed", iat=IAT - 60, exp=IAT)
    changed("a second longer than any may live", "replayed", exp=IAT + 30 * DAY + 601)

    # --- hybrid ---------------------------------------------------------------------------------------------------
    both = header(VOID, "void", "hpke-hybrid")
    jws, second = signatures(both, VOID)
    theirs = second_header(both)

    def hybrid(name: str, expect: str, jws: str, second: str) -> None:
        add(name, expect, jws, second, agreement="hpke-hybrid")

    def under(name: str, expect: str, **changes: Any) -> None:
        """The second signature stands under another header than the first."""
        hybrid(name, expect, jws, detached_ml_dsa(ordered(theirs | changes), VOID, PQ))

    hybrid("hybrid", "accept", jws, second)
    hybrid("hybrid without its second signature", "signature-invalid", jws, "")
    hybrid("hybrid in the wrong order", "malformed", second, jws)
    hybrid("hybrid twice the first", "malformed", jws, jws)
    hybrid("hybrid with a seal of classic", "outside-agreement", good, "")
    add("classic with a second signature", "signature-invalid", good, second)
    add("classic with a seal of hybrid", "outside-agreement", jws, second)
    under("the second of another number", "signature-invalid", seq=2)
    under("the second of another message", "signature-invalid", jti="5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a11")
    under("the second of another type", "signature-invalid", typ="ecluse-msg-ping+jws")
    under("the second to another", "signature-invalid", aud="nld.other-demo")
    under("the second in profile classic", "signature-invalid", sig_profile="classic")
    under("the second lives longer", "signature-invalid", exp=IAT + 31 * DAY)
    under("the second under the first's key id", "signature-invalid", kid=MESSAGE)
    under("the second under an unknown key", "signature-invalid", kid=f"{SENDER}/unknown")
    under("the second with the first's certificate", "signature-invalid", **{"x5t#S256": x5t(MESSAGE)})
    under("the second as ES256", "malformed", alg="ES256")
    hybrid("the second reordered", "malformed", jws, detached_ml_dsa(_reordered(theirs), VOID, PQ))
    raw_second = ordered(theirs)
    context = detached_ml_dsa(raw_second, VOID, PQ, context=b"ecluse/seal/1\n")
    hybrid("the second with a context", "signature-invalid", jws, context)
    payload = detached_ml_dsa(raw_second, VOID + b" ", PQ)
    hybrid("the second over another payload", "signature-invalid", jws, payload)
    stranger = detached_ml_dsa(raw_second, VOID, ml_dsa(f"{RECIPIENT}/message-pq"))
    hybrid("the second by another", "signature-invalid", jws, stranger)
    short = f"{second.rpartition('.')[0]}.{b64u(bytes(3308))}"
    hybrid("the second of 3308 bytes", "signature-invalid", jws, short)
    es = detached(raw_second, VOID, KEY)
    hybrid("the second signed by ECDSA", "signature-invalid", jws, es)
    broken = f"{jws[:-8]}{'A' * 8}"
    hybrid("only the second holds", "signature-invalid", broken, second)
    return found


def _encoded(head: str) -> bytes:
    """What would be signed without RFC 7797."""
    return f"{head}.{b64u(VOID)}".encode()


def _next(character: str) -> str:
    """The base64url character after this one: the same bytes, other trailing bits."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return alphabet[alphabet.index(character) + 1]

"""Cases for §8 and §11 of the partner protocol: whole sealed messages, as a receiver meets them."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from tests.vectors.protocol_bytes import (
    HPKE,
    JWE,
    Members,
    b64u,
    canonical,
    coordinates,
    hpke_info,
    hpke_seal,
    jwe_header,
    jwe_seal,
    kem_public,
    log_key,
    note_line,
    ordered,
    p256,
    plaintext,
    prefixed,
    sha256,
)
from tests.vectors.protocol_world import (
    DISCLOSURE,
    IAT,
    LABEL,
    MESSAGE_ID,
    RECIPIENT,
    SENDER,
    STRANGER,
    TERMS,
    VOID,
    disclosure,
    encrypted,
    envelope,
    ephemeral,
    head,
    header,
    preamble,
    sealed,
    signatures,
    uuid4,
)

OURS = p256(f"{RECIPIENT}/jwe").public_key()


def cases() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def add(
        name: str,
        expect: str,
        message: bytes,
        *,
        stage: str = "message",
        agreement: str = "hpke-classic",
        sender: str = SENDER,
        next_seq: int = 1,
        known: dict[str, str] | None = None,
        expected: int = 0,
    ) -> None:
        case: dict[str, Any] = {"name": name, "expect": expect, "stage": stage, "from": sender}
        case |= {"agreement": agreement, "next_seq": next_seq}
        case |= {"known": known} if known else {}
        case |= {"expected": expected} if expected else {}
        found.append(case | {"sealed": b64u(message)})

    def post(name: str, message: bytes, expect: str = "malformed", **more: Any) -> None:
        add(name, expect, message, stage="post", **more)

    _good(add)
    _containers(post)
    _jwe(post)
    _plaintexts(post)
    _admission(add)
    return found


def _good(add: Any) -> None:
    for agreement in ("hpke-classic", "jwe-classic", "hpke-hybrid", "jwe-hybrid"):
        first = header(DISCLOSURE, "disclosure", agreement)
        add(f"disclosure, {agreement}", "accept", sealed(first, DISCLOSURE), agreement=agreement)
    for agreement in ("hpke-classic", "jwe-classic"):
        first = header(VOID, "void", agreement)
        add(f"void, {agreement}", "accept", sealed(first, VOID), agreement=agreement)
    for type in ("status", "ping", "checkpoint"):
        payload = ordered(envelope(type))
        add(type, "accept", sealed(header(payload, type), payload))
    payload = ordered(envelope("recall", recalls=uuid4("recalled"), action="withdrawn"))
    add("recall of an unknown message", "accept", sealed(header(payload, "recall"), payload))
    first = header(VOID, "void", seq=7, checkpoint=head(VOID, "void", before=6))
    add("number 7 is next", "accept", sealed(first, VOID), next_seq=7)
    ended = header(VOID, "void", iat=IAT - 90, exp=IAT - 30, kid=f"{SENDER}/message-ended")
    known = {MESSAGE_ID: sha256(VOID).hex()}
    add("known already, whatever clock and keys say", "accept", sealed(ended, VOID), known=known)
    add(
        "a signature of an unknown witness",
        "accept",
        sealed(header(VOID, "void", checkpoint=_witnessed()), VOID),
    )
    inner = disclosure(label=LABEL | {"level": "RESTREINT"} | {"originators": ["bel.ocam", "bel.vsse"]})
    payload = ordered(inner)
    add("a label at the ceiling", "accept", sealed(header(payload), payload))


def _witnessed() -> str:
    """A head that an unknown witness signed too."""
    note = head(VOID, "void")
    text = note.split("\n\n")[0] + "\n"
    return note + note_line("witness.invalid", text.encode(), log_key("witness"))


def _containers(post: Any) -> None:
    first = header(VOID, "void")
    line, content = preamble(first), plaintext(*signatures(first, VOID), VOID)
    good = encrypted(line, HPKE, content)
    end = len(line)
    kem = kem_public(f"{RECIPIENT}/hpke")

    post("nothing", b"\n")
    post("no line feed", good.replace(b"\n", b" ", 1)[: end + 1])
    post("no ciphertext", good[: end + 1])
    post("a byte less", good[:-1])
    post("a byte more", good + b"\x00")
    post("a bit of the tag", _flip(good, len(good) - 1))
    post("a bit of the ciphertext", _flip(good, end + 1200))
    post("a bit of the ML-KEM ciphertext", _flip(good, end + 10))
    post("a bit of the X25519 share", _flip(good, end + 1 + 1088 + 3))
    post("a bit of the preamble's id", good.replace(first["jti"][:8].encode(), b"00000000", 1))
    post("an X25519 share of small order", good[: end + 1089] + bytes(32) + good[end + 1121 :])
    post("a preamble with a space", good.replace(b'"v":1', b'"v": 1', 1))
    post("to another key of ours", line + b"\n" + hpke_seal(hpke_info(line), content, kem_public("other")))
    post("without info", line + b"\n" + hpke_seal(b"", content, kem))
    post(
        "info of the line with its feed",
        line + b"\n" + hpke_seal(b"ecluse/hpke/1\n" + sha256(line + b"\n"), content, kem),
    )
    post("a plaintext of another size", line + b"\n" + hpke_seal(hpke_info(line), content + b"\x00", kem))
    other = preamble(first, suite=JWE)
    post("HPKE that calls itself JWE", other + b"\n" + hpke_seal(hpke_info(other), content, kem))
    line = preamble(first, aud=STRANGER)
    post("to somebody else", sealed(first, VOID, line=line), "wrong-audience")
    post("over another's connection", sealed(first, VOID), "replayed", sender=STRANGER)
    line = preamble(first, iss=STRANGER)
    post("in another's name", sealed(first, VOID, line=line), "replayed")
    for member, value in (
        ("enc_kid", f"{RECIPIENT}/another"),
        ("jti", uuid4("another")),
    ):
        line = preamble(first, **{member: value})
        post(f"preamble and seal differ in {member}", sealed(first, VOID, line=line))
    for member, value in (("aud", STRANGER), ("iss", STRANGER), ("suite", JWE)):
        lying = first | {member: value}
        post(
            f"preamble and seal differ in {member}",
            encrypted(preamble(first), HPKE, plaintext(*signatures(lying, VOID), VOID)),
        )


def _jwe(post: Any) -> None:
    first = header(VOID, "void", "jwe-classic")
    line, content = preamble(first), plaintext(*signatures(first, VOID), VOID)
    key = ephemeral()
    good = jwe_header(line, SENDER, key)

    def jwe(name: str, compact: bytes) -> None:
        post(name, line + b"\n" + compact, agreement="jwe-classic")

    def under(name: str, changed: Members, *, raw: bytes = b"") -> None:
        jwe(name, jwe_seal(changed, content, OURS, key, raw=raw))

    right = jwe_seal(good, content, OURS, key).decode()
    segments = right.split(".")

    def cut(name: str, index: int, text: str) -> None:
        jwe(name, ".".join([*segments[:index], text, *segments[index + 1 :]]).encode())

    under("JWE: sorted header", good, raw=canonical(good))
    under("JWE: header with a space", good, raw=ordered(good).replace(b",", b", ", 1))
    under("JWE: header with a member twice", good, raw=ordered(good).replace(b"{", b'{"alg":"ECDH-ES",', 1))
    under("JWE: compressed", good | {"zip": "DEF"})
    under("JWE: a critical member", good | {"crit": ["exp"], "exp": 1})
    under("JWE: PBES2 count", good | {"p2c": 1_000_000})
    under("JWE: a key id", good | {"kid": f"{RECIPIENT}/jwe"})
    under("JWE: a key's address", good | {"jku": "https://partner.invalid/keys"})
    under("JWE: key wrapping", good | {"alg": "ECDH-ES+A256KW"})
    under("JWE: direct symmetric", good | {"alg": "dir"})
    under("JWE: another encryption", good | {"enc": "A128GCM"})
    under("JWE: another sender", good | {"apu": b64u(STRANGER.encode())})
    under("JWE: no sender", good | {"apu": ""})
    under("JWE: another preamble", good | {"apv": b64u(sha256(b"another"))})
    under("JWE: without apv", good, raw=ordered({k: v for k, v in good.items() if k != "apv"}))
    epk: Members = good["epk"]
    under("JWE: a private ephemeral key", good | {"epk": epk | {"d": b64u(bytes(32))}})
    under("JWE: epk in another order", good | {"epk": {name: epk[name] for name in ("crv", "kty", "x", "y")}})
    under("JWE: a point off the curve", good | {"epk": epk | {"y": epk["x"]}})
    under("JWE: a short coordinate", good | {"epk": epk | {"x": b64u(bytes(31))}})
    wide = ec.generate_private_key(ec.SECP384R1())
    under("JWE: a key on P-384", good | {"epk": {"kty": "EC", "crv": "P-384", **coordinates(wide)}})
    okp = {"kty": "OKP", "crv": "X25519", "x": b64u(bytes(32))}
    under("JWE: a key on X25519", good | {"epk": okp})
    cut("JWE: an encrypted key", 1, b64u(bytes(40)))
    cut("JWE: a nonce of 16 bytes", 2, b64u(bytes(16)))
    cut("JWE: another nonce", 2, b64u(bytes(12)))
    cut("JWE: a tag of 15 bytes", 4, segments[4][:20])
    cut("JWE: another tag", 4, b64u(bytes(16)))
    cut("JWE: padded base64", 4, segments[4] + "==")
    jwe("JWE: four segments", right.rpartition(".")[0].encode())
    jwe("JWE: six segments", f"{right}.".encode())
    jwe("JWE: a line feed at the end", f"{right}\n".encode())
    flattened = dict(zip(("protected", "encrypted_key", "iv", "ciphertext", "tag"), segments, strict=True))
    jwe("JWE: as JSON", ordered(flattened))
    stranger = jwe_seal(good, content, p256("other").public_key(), key)
    jwe("JWE: to another key", stranger)


def _plaintexts(post: Any) -> None:
    first = header(VOID, "void")
    jws, _ = signatures(first, VOID)
    line = preamble(first)

    def inside(name: str, content: bytes) -> None:
        post(name, encrypted(line, HPKE, content))

    good = plaintext(jws, "", VOID)
    parts = prefixed(jws.encode()) + prefixed(b"") + prefixed(VOID)
    inside("padding that is not zero", good[:-1] + b"\x01")
    inside("a larger bucket than needed", parts + prefixed(bytes(16384 - len(parts) - 4)))
    inside("three parts", parts + bytes(4096 - len(parts) - 4) + b"\xff\xff\xff\xff")
    inside("bytes after the padding", parts + prefixed(b"") + bytes(4096 - len(parts) - 4))
    inside("an empty seal", plaintext("", "", VOID))
    inside("a seal that is no JWS", plaintext("seal", "", VOID))
    swapped = plaintext("", jws, VOID)
    inside("the seal in the second place", swapped)


def _admission(add: Any) -> None:
    def message(name: str, expect: str, payload: bytes, first: Members, **more: Any) -> None:
        add(name, expect, sealed(first, payload), **more)

    def seal(name: str, expect: str, *, agreement: str = "hpke-classic", **changes: Any) -> None:
        """A good void under a seal that says something else."""
        in_force = changes.pop("in_force", agreement)
        first = header(VOID, "void", agreement, **changes)
        add(name, expect, sealed(first, VOID), agreement=in_force)

    def content(name: str, expect: str, inner: Members, type: str = "disclosure", **changes: Any) -> None:
        payload = ordered(inner)
        message(name, expect, payload, header(payload, type, **changes))

    # window and signature
    seal("expired", "replayed", iat=IAT - 60, exp=IAT)
    seal("from the future", "replayed", iat=IAT + 301)
    seal("a revoked key", "signature-invalid", kid=f"{SENDER}/message-revoked")
    # checkpoint
    note = head(VOID, "void")
    origin = f"ecluse/{SENDER}/partner/{STRANGER}"
    seal("the head of another log", "signature-invalid", checkpoint=head(VOID, "void", origin=origin))
    seal("a head by another key", "signature-invalid", checkpoint=head(VOID, "void", name="other"))
    seal("a head of another size", "signature-invalid", checkpoint=note.replace("\n2\n", "\n3\n"))
    seal("a head that is no note", "signature-invalid", checkpoint="checkpoint")
    first = header(VOID, "void", seq=7, checkpoint=head(VOID, "void", before=5))
    add("a head that cannot cover its number", "signature-invalid", sealed(first, VOID), next_seq=7)
    # agreement
    seal("another agreement", "outside-agreement", agreement="hpke-classic", in_force="ended")
    digest = sha256(TERMS["ended"]).hex()
    first = header(VOID, "void", agreement="hpke-classic") | {"agreement": digest}
    add("an agreement that has ended", "outside-agreement", sealed(first, VOID), agreement="ended")
    digest = sha256(TERMS["jwe-classic"]).hex()
    first = header(VOID, "void") | {"agreement": digest}
    add("the stronger suite than agreed", "outside-agreement", sealed(first, VOID), agreement="jwe-classic")
    digest = sha256(TERMS["hpke-classic"]).hex()
    first = header(VOID, "void", "jwe-classic") | {"agreement": digest}
    add("the weaker suite than agreed", "outside-agreement", sealed(first, VOID))
    digest = sha256(TERMS["hpke-hybrid"]).hex()
    first = header(VOID, "void") | {"agreement": digest}
    add("classic where hybrid is agreed", "outside-agreement", sealed(first, VOID), agreement="hpke-hybrid")
    handling = disclosure()["handling"]
    content(
        "another purpose",
        "outside-agreement",
        disclosure(handling=handling | {"purpose": "ct-investigation"}),
    )
    high = LABEL | {"level": "SECRET", "originators": ["bel.ocam", "bel.vsse"]}
    content("above the ceiling", "outside-agreement", disclosure(label=high))
    # audience and envelope
    seal("another mode in the seal", "wrong-audience", mode="exercise")
    content("another mode in the payload", "wrong-audience", envelope("void", mode="test"), "void")
    content("a payload to another", "wrong-audience", envelope("void", to=STRANGER), "void")
    content("a payload of another", "schema-violation", envelope("void", **{"from": STRANGER}), "void")
    content(
        "a payload of another conversation",
        "schema-violation",
        envelope("void", conversation=uuid4("x")),
        "void",
    )
    content("a payload of another id", "schema-violation", envelope("void", message_id=uuid4("x")), "void")
    content("a payload of another type", "schema-violation", envelope("ping"), "void")
    for type in ("request", "answer"):
        content(f"a payload of 1.0 cannot be {type}", "schema-violation", envelope(type), type)
    content("a payload that is not ordered", "malformed", dict(sorted(envelope("void").items())), "void")
    seal("another content type", "schema-violation", cty="text/plain")
    # labels
    unknown = LABEL | {"level": "TOP", "originators": ["bel.ocam", "bel.vsse"]}
    content("an unknown level", "schema-violation", disclosure(label=unknown))
    content("a label lower than a part's", "schema-violation", disclosure(label=LABEL))
    nobody = {k: v for k, v in disclosure()["label"].items() if k != "releasable_to"}
    content("releasable to nobody", "mis-sent", disclosure(label=nobody))
    others = disclosure()["label"] | {"releasable_to": ["BEL", "NLD"]}
    content("releasable to others", "mis-sent", disclosure(label=others))
    content("national eyes only", "mis-sent", disclosure(label=disclosure()["label"] | {"no_foreign": True}))
    # order and identity
    found = header(VOID, "void", seq=3)
    add("a number beyond the next", "out-of-order", sealed(found, VOID), expected=1)
    found = header(VOID, "void", seq=2)
    add("a number used before", "out-of-order", sealed(found, VOID), next_seq=5, expected=5)
    known = {MESSAGE_ID: sha256(b"other bytes").hex()}
    add("a known id with other bytes", "digest-conflict", sealed(header(VOID, "void"), VOID), known=known)


def _flip(raw: bytes, at: int) -> bytes:
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]

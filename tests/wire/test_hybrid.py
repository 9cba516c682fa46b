"""Signature profile ``hybrid``: two signatures under one header, both of which must hold, and no way down to one."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import (
    ConfigInvalid,
    GatewayError,
    MalformedMessage,
    OutsideAgreement,
    PartnerFault,
    RequestInvalid,
    SignatureInvalid,
)
from gateway.model.party import KeyRecord
from gateway.wire import mldsa
from gateway.wire.container import pack, unpack
from gateway.wire.jws import RECEIPT_TYP, sign_compact, sign_protected, verify_compact
from gateway.wire.receipt import verify_receipt
from gateway.wire.seal import SealHeader, header_bytes, read_seal, second_header, sign_seal, verify_seal
from gateway.wire.strict import b64url, b64url_decode
from tests.wire.parties import (
    KEY,
    KID,
    MESSAGE_ID,
    MLDSA_CERTIFICATE,
    MLDSA_KEY,
    MLDSA_KID,
    NOW,
    OTHER_KEY,
    OURS,
    THEIRS,
    key_record,
    mldsa_record,
    seal_header,
)

PAYLOAD = b'{"format":"ct-exchange-json/1.0"}'
KEYS = [key_record("message"), mldsa_record()]
OTHER_SEED = hashlib.sha256(b"another message seed").digest()


def first(**changes: Any) -> SealHeader:
    return seal_header(PAYLOAD, **({"sig_profile": "hybrid"} | changes))


def second(**changes: Any) -> SealHeader:
    under = second_header(first(), kid=MLDSA_KID, x5t=MLDSA_CERTIFICATE)
    return msgspec.structs.replace(under, **changes)


def by_mldsa(header: SealHeader, payload: bytes = PAYLOAD, seed: bytes = b"") -> str:
    """A correct ML-DSA signature under any header."""
    key = mldsa.private_key(seed) if seed else MLDSA_KEY
    return sign_protected(header_bytes(header), payload, key, detached=True)


FIRST = sign_seal(first(), PAYLOAD, KEY)
SECOND = sign_seal(second(), PAYLOAD, MLDSA_KEY)
CLASSIC = sign_seal(seal_header(PAYLOAD), PAYLOAD, KEY)


def outcome(
    jws: str, other: str, profile: Any = "hybrid", keys: list[KeyRecord] = KEYS, payload: bytes = PAYLOAD
) -> str:
    """``accepted``, or the code of the refusal, which is always the partner's fault."""
    try:
        evidence = verify_seal(jws, other, payload, keys, profile=profile, now=NOW)
    except PartnerFault as fault:
        return fault.code
    assert (evidence.jws, evidence.second) == (jws, other)
    return "accepted"


def test_both_signatures_are_evidence() -> None:
    """A seal of profile hybrid verifies; the evidence names both signatures and both keys."""
    evidence = verify_seal(FIRST, SECOND, PAYLOAD, KEYS, profile="hybrid", now=NOW)
    assert (evidence.kid, evidence.second_kid) == (KID, MLDSA_KID)
    assert (evidence.header, evidence.jws, evidence.second) == (first(), FIRST, SECOND)
    assert read_seal(SECOND, alg=mldsa.ALG) == second()


def test_the_second_part_carries_it() -> None:
    """The second JWS stands in the second part of the plaintext, and comes back from there."""
    parts = unpack(pack(FIRST, PAYLOAD, SECOND))
    assert (parts.jws, parts.second, parts.payload) == (FIRST, SECOND, PAYLOAD)


DIFFERENT: dict[str, Any] = {
    "typ": "ecluse-msg-void+jws",
    "cty": "text/plain",
    "iat": first().iat + 1,
    "exp": first().exp + 1,
    "iss": "nld.other",
    "aud": "nld.other",
    "enc_kid": "enc-2",
    "suite": "jwe-ecdh-es-a256gcm",
    "sig_profile": "classic",
    "jti": "00000000-0000-4000-8000-000000000000",
    "conv": "00000000-0000-4000-8000-000000000000",
    "seq": 2,
    "mode": "test",
    "agreement": "0" * 64,
    "payload_sha256": "0" * 64,
    "checkpoint": "another note",
}
REFUSED: dict[str, tuple[str, str, str, str]] = {
    # downgrade and upgrade: the agreement's profile decides, not the sender's claim
    "classic where hybrid is agreed": (CLASSIC, "", "hybrid", "outside-agreement"),
    "classic with a second signature, hybrid agreed": (CLASSIC, SECOND, "hybrid", "outside-agreement"),
    "hybrid where classic is agreed": (FIRST, SECOND, "classic", "outside-agreement"),
    "hybrid stripped, classic agreed": (FIRST, "", "classic", "outside-agreement"),
    # strip, add, swap
    "second stripped": (FIRST, "", "hybrid", "signature-invalid"),
    "second added to classic": (CLASSIC, SECOND, "classic", "signature-invalid"),
    "first twice": (FIRST, FIRST, "hybrid", "malformed"),
    "second twice": (SECOND, SECOND, "hybrid", "malformed"),
    "swapped": (SECOND, FIRST, "hybrid", "malformed"),
    "second no JWS": (FIRST, "x", "hybrid", "malformed"),
    "second attached": (FIRST, SECOND.replace("..", f".{b64url(PAYLOAD)}."), "hybrid", "malformed"),
    "second padded": (FIRST, SECOND + "=", "hybrid", "malformed"),
    # another signature under the right header
    "second by another key": (FIRST, by_mldsa(second(), seed=OTHER_SEED), "hybrid", "signature-invalid"),
    "second over another payload": (FIRST, by_mldsa(second(), b"other"), "hybrid", "signature-invalid"),
    "second with a context": (
        FIRST,
        SECOND.rpartition(".")[0] + "."
        + b64url(MLDSA_KEY.sign(SECOND.rpartition(".")[0].encode() + b"." + PAYLOAD, b"ecluse/message/1\n")),
        "hybrid",
        "signature-invalid",
    ),
    "second cut": (FIRST, SECOND[:-4], "hybrid", "signature-invalid"),
    "second empty": (FIRST, SECOND.rpartition(".")[0] + ".", "hybrid", "signature-invalid"),
    "first by another key": (sign_seal(first(), PAYLOAD, OTHER_KEY), SECOND, "hybrid", "signature-invalid"),
    "both by one key id": (FIRST, by_mldsa(second(kid=KID)), "hybrid", "signature-invalid"),
    "second with the first's certificate": (
        FIRST, by_mldsa(second(x5t_s256=first().x5t_s256)), "hybrid", "signature-invalid",
    ),
    "second by ES256 in its own name": (
        FIRST, sign_protected(header_bytes(second()), PAYLOAD, KEY, detached=True), "hybrid", "signature-invalid",
    ),
    **{
        f"second header with another {member}": (
            FIRST, by_mldsa(second(**{member: value})), "hybrid", "signature-invalid",
        )
        for member, value in DIFFERENT.items()
    },
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_no_way_down(name: str) -> None:
    """Downgraded, stripped, added, swapped or mixed signatures are refused, each with its code."""
    assert outcome(FIRST, SECOND) == outcome(CLASSIC, "", "classic") == "accepted"
    jws, other, profile, code = REFUSED[name]
    assert outcome(jws, other, profile) == code


def test_every_member_of_the_header_is_compared() -> None:
    """No member is forgotten above: all but algorithm, key, certificate and the two constants of RFC 7797."""
    own = {"alg", "kid", "x5t_s256", "crit", "b64"}
    assert DIFFERENT.keys() == set(SealHeader.__struct_fields__) - own


def test_only_a_valid_second_key_counts() -> None:
    """Use, types, algorithm, validity, revocation, key id and certificate of the second record are enforced."""
    replace, record = msgspec.structs.replace, mldsa_record()
    for other in (
        [],
        [replace(record, use="receipt")],
        [replace(record, typ=("ecluse-msg-void+jws",))],
        [replace(record, alg="ES256")],
        [replace(record, alg="ML-DSA-44")],
        [replace(record, revoked=True)],
        [replace(record, kid="another")],
        [replace(record, x5t="")],
        [replace(record, not_after=NOW)],
        [replace(record, not_before=NOW + timedelta(seconds=1))],
        [mldsa_record(OTHER_SEED)],
    ):
        with pytest.raises((SignatureInvalid, ConfigInvalid)) as caught:
            verify_seal(FIRST, SECOND, PAYLOAD, [key_record("message"), *other], profile="hybrid", now=NOW)
        assert isinstance(caught.value, GatewayError)
    with pytest.raises(SignatureInvalid):
        verify_seal(FIRST, SECOND, PAYLOAD, [record], profile="hybrid", now=NOW)


def test_the_second_key_signs_nothing_alone() -> None:
    """A seal that only the ML-DSA key signed is none, and a receipt or any other type by that key is refused."""
    alone = by_mldsa(msgspec.structs.replace(first(), kid=MLDSA_KID, x5t_s256=MLDSA_CERTIFICATE))
    assert outcome(alone, SECOND) == "signature-invalid"
    assert outcome(SECOND, "", "classic") == "malformed"
    token = sign_protected(
        msgspec.json.encode({"alg": "ML-DSA-65", "kid": MLDSA_KID, "typ": RECEIPT_TYP}),
        b"{}",
        MLDSA_KEY,
        detached=False,
    )
    with pytest.raises(SignatureInvalid):
        verify_compact(token, typ=RECEIPT_TYP, keys={MLDSA_KID: MLDSA_KEY.public_key()})
    record = msgspec.structs.replace(mldsa_record(), use="receipt", typ=(RECEIPT_TYP,))
    with pytest.raises(SignatureInvalid):
        verify_receipt(token, [record], now=NOW, iss=THEIRS, aud=OURS, sent=[(MESSAGE_ID, "0" * 64)])


def test_an_algorithm_and_its_key_go_together() -> None:
    """An ES256 JWS does not verify as ML-DSA-65, nor with an ML-DSA key, and the other way round."""
    es256 = sign_compact(b"{}", KEY, typ="ecluse-msg-void+jws", kid=KID)
    pairs: tuple[tuple[Any, Any], ...] = (
        ("ML-DSA-65", KEY.public_key()),
        ("ES256", MLDSA_KEY.public_key()),
        ("ML-DSA-65", MLDSA_KEY.public_key()),
    )
    assert verify_compact(es256, typ="ecluse-msg-void+jws", keys={KID: KEY.public_key()}).kid == KID
    for alg, key in pairs:
        with pytest.raises(SignatureInvalid):
            verify_compact(es256, typ="ecluse-msg-void+jws", keys={KID: key}, alg=alg)


def test_what_could_not_be_verified_is_not_signed() -> None:
    """A header for the other key, or a second signature in profile classic, is our own fault."""
    for header, key in ((first(), MLDSA_KEY), (second(), KEY), (second(sig_profile="classic"), MLDSA_KEY)):
        with pytest.raises(RequestInvalid):
            sign_seal(header, PAYLOAD, key)
    with pytest.raises(RequestInvalid):
        sign_seal(second(), b"other", MLDSA_KEY)


def test_keys_have_one_form() -> None:
    """A seed of 32 bytes gives one public key of 1952, and a key of another length or spelling is refused."""
    public = mldsa.public_text(MLDSA_KEY.public_key())
    assert len(b64url_decode(public)) == mldsa.PUBLIC_BYTES == 1952
    assert mldsa.load_raw(public).public_bytes_raw() == b64url_decode(public)
    assert len(b64url_decode(SECOND.rpartition(".")[2])) == mldsa.SIGNATURE_BYTES == 3309
    for broken in ("", "!", public + "=", public[:-4], b64url(bytes(1312))):
        with pytest.raises(ConfigInvalid):
            mldsa.load_raw(broken)
    for seed in (b"", bytes(31), bytes(64)):
        with pytest.raises(ConfigInvalid):
            mldsa.private_key(seed)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_flipped_bit_is_refused(data: st.DataObject) -> None:
    """Whatever single bit of either signature or header changes, the seal is refused."""
    tokens = [FIRST, SECOND]
    chosen = data.draw(st.sampled_from((0, 1)))
    head, _, signature = tokens[chosen].split(".")
    parts = [bytearray(b64url_decode(head)), bytearray(b64url_decode(signature))]
    part = data.draw(st.sampled_from(parts))
    position = data.draw(st.integers(0, len(part) * 8 - 1))
    part[position // 8] ^= 1 << position % 8
    tokens[chosen] = f"{b64url(bytes(parts[0]))}..{b64url(bytes(parts[1]))}"
    with pytest.raises((MalformedMessage, SignatureInvalid, OutsideAgreement)):
        verify_seal(tokens[0], tokens[1], PAYLOAD, KEYS, profile="hybrid", now=NOW)

"""Seals: a closed header in one order over the exact payload bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jwcrypto import jwk
from jwcrypto import jws as jwcrypto_jws

from gateway.errors import ConfigInvalid, MalformedMessage, PartnerFault, RequestInvalid, SignatureInvalid
from gateway.model.message import DEMANDS
from gateway.model.party import KeyRecord
from gateway.wire.jws import sign_protected
from gateway.wire.seal import SealEvidence, SealHeader, header_bytes, read_seal, sign_seal, verify_seal
from gateway.wire.strict import b64url, b64url_decode
from tests.wire.parties import KEY, KID, NOW, OTHER_KEY, key_record, seal_header

PAYLOAD = b'{"format":"ct-exchange-json/1.0"}'
KEYS = [key_record("message")]
ORDER = [
    "alg", "kid", "typ", "cty", "crit", "b64", "x5t#S256", "iat", "exp", "iss", "aud", "enc_kid", "suite",
    "sig_profile", "jti", "conv", "seq", "mode", "agreement", "payload_sha256", "checkpoint",
]  # fmt: skip


def signed(header: dict[str, Any] | bytes) -> str:
    """A correctly signed detached JWS with any header."""
    raw = header if isinstance(header, bytes) else msgspec.json.encode(header)
    return sign_protected(raw, PAYLOAD, KEY, detached=True)


def members(**changes: Any) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(header_bytes(seal_header(PAYLOAD)))
    return tree | changes


def test_header_has_one_order() -> None:
    """The members stand in exactly the order of the specification."""
    assert list(json.loads(header_bytes(seal_header(PAYLOAD)))) == ORDER


@pytest.mark.parametrize("message_type", DEMANDS)
def test_sign_and_verify(message_type: str) -> None:
    """A seal of every message type verifies, tells its type, and is read without its payload."""
    header = seal_header(PAYLOAD, typ=f"ecluse-msg-{message_type}+jws")
    jws = sign_seal(header, PAYLOAD, KEY)
    assert read_seal(jws) == header
    evidence = classic(jws, PAYLOAD, KEYS, now=NOW)
    assert (evidence.header, evidence.kid, evidence.certificate, evidence.jws) == (
        header,
        KID,
        header.x5t_s256,
        jws,
    )
    assert evidence.header.message_type == message_type


def test_sealing_is_deterministic() -> None:
    """Sealing twice gives the same bytes: a repeat after a crash is no second seal."""
    header = seal_header(PAYLOAD)
    assert sign_seal(header, PAYLOAD, KEY) == sign_seal(header, PAYLOAD, KEY)


def test_a_second_library_agrees() -> None:
    """jwcrypto verifies our seal over the unencoded payload (RFC 7797)."""
    other = jwcrypto_jws.JWS()
    other.deserialize(sign_seal(seal_header(PAYLOAD), PAYLOAD, KEY))
    public = jwk.JWK.from_pyca(KEY.public_key())
    other.verify(public, detached_payload=PAYLOAD)
    with pytest.raises(jwcrypto_jws.InvalidJWSSignature):
        other.verify(public, detached_payload=PAYLOAD + b" ")


def classic(jws: str, payload: bytes, keys: Sequence[KeyRecord], *, now: datetime) -> SealEvidence:
    """The seal held against an agreement on one ES256 signature."""
    return verify_seal(jws, "", payload, keys, profile="classic", now=now)


def without(name: str) -> dict[str, Any]:
    return {member: value for member, value in members().items() if member != name}


MALFORMED: dict[str, Any] = {
    **{f"without {name}": without(name) for name in ORDER},
    **{f"{name} null": members(**{name: None}) for name in ORDER},
    "one member more": members(extra=1),
    "embedded key": members(jwk={"kty": "EC"}),
    "sorted": dict(sorted(members().items())),
    "last two swapped": {name: members()[name] for name in [*ORDER[:-2], ORDER[-1], ORDER[-2]]},
    "spaced": json.dumps(members(), ensure_ascii=False).encode(),
    "escaped beyond need": json.dumps(members(), separators=(",", ":")).encode(),  # the note holds a dash
    "member twice": header_bytes(seal_header(PAYLOAD)).replace(b'{"alg"', b'{"alg":"none","alg"', 1),
    "alg none": members(alg="none"),
    "alg ES384": members(alg="ES384"),
    "typ of a receipt": members(typ="ecluse-receipt+jws"),
    "typ of no message type": members(typ="ecluse-msg-hello+jws"),
    "cty empty": members(cty=""),
    "cty with a space": members(cty="ct exchange"),
    "crit empty": members(crit=[]),
    "crit unknown": members(crit=["exp"]),
    "crit with one more": members(crit=["b64", "exp"]),
    "b64 true": members(b64=True),
    "b64 zero": members(b64=0),
    "thumbprint short": members(**{"x5t#S256": "AAAA"}),
    "iat a string": members(iat="1"),
    "iat a float": header_bytes(seal_header(PAYLOAD, iat=1)).replace(b'"iat":1', b'"iat":1.0'),
    "iat negative": members(iat=-1),
    "iat a boolean": members(iat=True),
    "exp equal to iat": members(exp=members()["iat"]),
    "exp before iat": members(exp=1),
    "exp beyond a double": members(exp=2**53),
    "iss in capitals": members(iss="BEL.ocam"),
    "iss with a line feed": members(iss="bel.ocam\n"),
    "aud empty": members(aud=""),
    "enc_kid with a space": members(enc_kid="enc 1"),
    "suite unknown": members(suite="hpke-mlkem1024-p384-a256gcm"),
    "profile unknown": members(sig_profile="triple"),
    "jti in capitals": members(jti=members()["jti"].upper()),
    "jti of version 1": members(jti="5f0c7f0e-6a0e-1a53-9d57-0f3c1c2b7a11"),
    "conv with braces": members(conv="{" + members()["conv"] + "}"),
    "seq zero": members(seq=0),
    "seq negative": members(seq=-1),
    "mode of nothing": members(mode="production"),
    "agreement in capitals": members(agreement="A" * 64),
    "digest short": members(payload_sha256="ab"),
    "checkpoint empty": members(checkpoint=""),
    "checkpoint too long": members(checkpoint="x" * 9000),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_headers(name: str) -> None:
    """Each header outside the closed schema or the one encoding is refused although its signature holds."""
    jws = signed(MALFORMED[name])
    with pytest.raises(MalformedMessage):
        read_seal(jws)
    with pytest.raises(MalformedMessage):
        classic(jws, PAYLOAD, KEYS, now=NOW)


def test_a_seal_carries_no_payload() -> None:
    """An attached payload is refused, even the right one."""
    head, _, signature = sign_seal(seal_header(PAYLOAD), PAYLOAD, KEY).split(".")
    with pytest.raises(MalformedMessage):
        read_seal(f"{head}.{b64url(PAYLOAD)}.{signature}")


def test_another_payload_is_refused() -> None:
    """A payload that was not sealed is refused, whatever the digest in the header says."""
    jws = sign_seal(seal_header(PAYLOAD), PAYLOAD, KEY)
    with pytest.raises(SignatureInvalid):
        classic(jws, PAYLOAD + b" ", KEYS, now=NOW)
    other = sign_protected(header_bytes(seal_header(b"other")), PAYLOAD, KEY, detached=True)
    with pytest.raises(SignatureInvalid):
        classic(other, PAYLOAD, KEYS, now=NOW)


def test_only_a_valid_message_key_of_this_type_counts() -> None:
    """Use, type list, algorithm, validity, revocation, key id and certificate of the record are all enforced."""
    jws = sign_seal(seal_header(PAYLOAD), PAYLOAD, KEY)
    replace, record = msgspec.structs.replace, KEYS[0]
    for keys, now in (
        ([], NOW),
        ([key_record("message", key=OTHER_KEY)], NOW),
        ([key_record("message", kid="other")], NOW),
        ([replace(key_record("receipt"), typ=record.typ)], NOW),
        ([replace(record, typ=("ecluse-msg-void+jws",))], NOW),
        ([replace(record, alg="ES384")], NOW),
        ([replace(record, revoked=True)], NOW),
        ([replace(record, x5t="")], NOW),
        ([replace(record, x5t=b64url(hashlib.sha256(b"another").digest()))], NOW),
        ([record], NOW + timedelta(days=2)),
        ([record], NOW - timedelta(days=2)),
    ):
        with pytest.raises(SignatureInvalid):
            classic(jws, PAYLOAD, keys, now=now)
    with pytest.raises(ConfigInvalid):
        classic(jws, PAYLOAD, [record, record], now=NOW)


def test_time_of_the_message_is_not_a_matter_of_the_seal() -> None:
    """An expired message still verifies: a repeat must find its stored receipt whatever the clock says."""
    header = seal_header(PAYLOAD, iat=1, exp=2)
    assert classic(sign_seal(header, PAYLOAD, KEY), PAYLOAD, KEYS, now=NOW).header.exp == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"typ": "JWT"},
        {"exp": 0},
        {"seq": 0},
        {"jti": "x"},
        {"checkpoint": ""},
        {"iss": "x"},
        {"b64": True},
        {"kid": ""},
    ],
)
def test_an_unreadable_header_is_not_signed(changes: dict[str, Any]) -> None:
    """What could not be read back is our own fault, and no seal comes of it."""
    with pytest.raises(RequestInvalid):
        sign_seal(seal_header(PAYLOAD, **changes), PAYLOAD, KEY)
    with pytest.raises(RequestInvalid):
        sign_seal(seal_header(b"other"), PAYLOAD, KEY)


@settings(max_examples=150)
@given(st.data())
def test_any_flipped_bit_is_refused(data: st.DataObject) -> None:
    """Whatever single bit of header or signature changes, before or after encoding, the seal is refused."""
    head, _, signature = sign_seal(seal_header(PAYLOAD), PAYLOAD, KEY).split(".")
    parts = [bytearray(b64url_decode(head)), bytearray(b64url_decode(signature))]
    part = data.draw(st.sampled_from(parts))
    position = data.draw(st.integers(0, len(part) * 8 - 1))
    part[position // 8] ^= 1 << position % 8
    with pytest.raises(PartnerFault):
        classic(f"{b64url(bytes(parts[0]))}..{b64url(bytes(parts[1]))}", PAYLOAD, KEYS, now=NOW)


@given(st.binary(max_size=300), st.integers(1, 2**53 - 1), st.text(min_size=1, max_size=40))
def test_open_undoes_seal(payload: bytes, seq: int, note: str) -> None:
    """Any payload and any header that can be sealed verifies as exactly what was sealed."""
    header: SealHeader = seal_header(payload, seq=seq, checkpoint=note)
    assert classic(sign_seal(header, payload, KEY), payload, KEYS, now=NOW).header == header

"""JSON Web Signatures (RFC 7515, RFC 7797): one type for each purpose, pinned keys only.

ES256 everywhere; ML-DSA-65 is the second signature of a seal and of nothing else. Of PyJWT only its ES256 is used: its
reader of tokens ignores ``typ`` and reads headers leniently, and it signs ECDSA with random nonces, so the reader and
the nonces are our own. No header ever leads to a key: ``jwk``, ``jku``, ``x5u`` and ``x5c`` are outside every closed
member set.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from jwt.algorithms import ECAlgorithm

from gateway.errors import ConfigInvalid, MalformedMessage, SignatureInvalid
from gateway.model.message import DEMANDS
from gateway.model.party import KeyRecord, KeyUse
from gateway.wire import mldsa
from gateway.wire.strict import b64url, b64url_decode, parse_json

#: Each algorithm has one kind of key, and no key serves two.
Algorithm = Literal["ES256", "ML-DSA-65"]
PrivateKey = ec.EllipticCurvePrivateKey | MLDSA65PrivateKey
PublicKey = ec.EllipticCurvePublicKey | MLDSA65PublicKey

ALG: Literal["ES256"] = "ES256"
RECEIPT_TYP = "ecluse-receipt+jws"
AGREEMENT_TYP = "ecluse-agreement+jws"
ENDORSEMENT_TYP = "ecluse-endorsement+jws"
CHANGE_TYP = "ecluse-change+jws"
CALL_TYP = "ecluse-call+jws"


def message_typ(message_type: str) -> str:
    """``typ`` of the seal of a message of this type."""
    return f"ecluse-msg-{message_type}+jws"


#: Every ``typ`` there is, and whose key may sign it. What is not here is neither signed nor verified.
TYP: Mapping[str, KeyUse | Literal["officer"]] = {
    **{message_typ(message_type): "message" for message_type in DEMANDS},
    RECEIPT_TYP: "receipt",
    AGREEMENT_TYP: "agreement",
    ENDORSEMENT_TYP: "officer",
    CHANGE_TYP: "officer",
    CALL_TYP: "officer",
}

MAX_HEADER_BYTES = (
    16 * 1024
)  # a seal carries a checkpoint with its signatures (about 1 KiB, 8 KiB with ML-DSA)
MAX_TOKEN_CHARS = 512 * 1024  # an endorsement of 4096 statements is 370 KiB in base64url

_BASE_MEMBERS = frozenset({"alg", "kid", "typ"})
_DETACHED_MEMBERS = frozenset({"crit", "b64"})
_ORDER = (
    0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # n of P-256 (FIPS 186-5, SP 800-186)
)
_SCALAR_BYTES = 32


class DeterministicES256(ECAlgorithm):
    """ES256 (RFC 7518 §3.4) with the nonce of RFC 6979 and the lower of the two valid ``s`` values.

    One message and one key give one signature: a copy of a seal is recognised by its bytes.
    """

    def __init__(self) -> None:
        super().__init__(hashes.SHA256, expected_curve=ec.SECP256R1)

    def sign(self, msg: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
        """r ‖ s, 64 bytes, s ≤ n/2."""
        der = key.sign(msg, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        r, s = decode_dss_signature(der)
        return r.to_bytes(_SCALAR_BYTES, "big") + min(s, _ORDER - s).to_bytes(_SCALAR_BYTES, "big")


_ES256 = DeterministicES256()


# --- keys ------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)  # public keys of the directory; loading one costs as much as verifying with it
def load_spki(public: str) -> ec.EllipticCurvePublicKey:
    """A P-256 key from SubjectPublicKeyInfo DER in base64url; raises `ConfigInvalid` for any other key or spelling."""
    try:
        der = b64url_decode(public)
        key = load_der_public_key(der)
    except (MalformedMessage, ValueError, UnsupportedAlgorithm):
        raise ConfigInvalid("a public key is not SubjectPublicKeyInfo DER in base64url") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigInvalid("a public key for ES256 must be on P-256")
    if spki(key) != public:
        raise ConfigInvalid("a public key is not in its one DER form")
    return key


def spki(key: ec.EllipticCurvePublicKey) -> str:
    """SubjectPublicKeyInfo DER in base64url: the form key records and officer keys hold."""
    return b64url(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def thumbprint(key: ec.EllipticCurvePublicKey) -> str:
    """SHA-256 over the SubjectPublicKeyInfo DER, base64url: the ``kid`` of an officer's key."""
    return b64url(hashlib.sha256(b64url_decode(spki(key))).digest())


def load_public(record: KeyRecord) -> PublicKey:
    """The public key of a record for signatures; raises `ConfigInvalid` when it is for no signature of ours."""
    if record.alg == ALG:
        return load_spki(record.public)
    if record.alg == mldsa.ALG:
        return mldsa.load_raw(record.public)
    raise ConfigInvalid("the key record is for no signature algorithm of this version")


def records_for(
    records: Iterable[KeyRecord], use: KeyUse, typ: str, *, now: datetime, alg: Algorithm = ALG
) -> dict[str, KeyRecord]:
    """By ``kid``, the records that may sign ``typ`` with ``alg`` at ``now``. An empty answer means no.

    A record counts when use, ``typ`` list and algorithm name this purpose, it is not revoked, and ``now`` lies in
    [not_before, not_after) as far as these are stated. Two of them under one ``kid`` raise `ConfigInvalid`.
    """
    found: dict[str, KeyRecord] = {}
    for record in records:
        if (
            TYP.get(typ) != use
            or record.use != use
            or typ not in record.typ
            or record.alg != alg
            or record.revoked
        ):
            continue
        if record.not_before is not None and now < record.not_before:
            continue
        if record.not_after is not None and now >= record.not_after:
            continue
        if record.kid in found:
            raise ConfigInvalid("two key records of one use share a key id")
        found[record.kid] = record
    return found


def keys_for(
    records: Iterable[KeyRecord], use: KeyUse, typ: str, *, now: datetime, alg: Algorithm = ALG
) -> dict[str, PublicKey]:
    """The keys of `records_for`, loaded."""
    found = records_for(records, use, typ, now=now, alg=alg)
    return {kid: load_public(record) for kid, record in found.items()}


# --- compact serialization -------------------------------------------------------------------------------------------


class UnverifiedJws(msgspec.Struct, frozen=True):
    """A compact JWS taken apart by the strict reader. Nothing in it is proven."""

    protected: bytes  # the header's own bytes
    header: dict[str, Any]
    payload: bytes
    signature: bytes


class VerifiedJws(msgspec.Struct, frozen=True):
    """A JWS whose type was the expected one and whose signature holds with the pinned key ``kid``."""

    header: dict[str, Any]
    payload: bytes
    kid: str


def read_compact(token: str) -> UnverifiedJws:
    """Take a compact JWS apart (RFC 7515 §7.1, §5.2 steps 1–8); raises `MalformedMessage`.

    1. length   2. three segments of canonical base64url   3. header: strict JSON, an object
    """
    # (1)
    if len(token) > MAX_TOKEN_CHARS:
        raise MalformedMessage("a JWS is longer than its limit", diagnostic={"limit": MAX_TOKEN_CHARS})
    # (2)
    segments = token.split(".")
    if len(segments) != 3:
        raise MalformedMessage("a compact JWS has three segments")
    protected, payload, signature = (b64url_decode(segment) for segment in segments)
    # (3)
    header = parse_json(protected, limit=MAX_HEADER_BYTES)
    if not isinstance(header, dict):
        raise MalformedMessage("a JWS header must be a JSON object")
    return UnverifiedJws(protected, header, payload, signature)


def sign_protected(protected: bytes, payload: bytes, private_key: PrivateKey, *, detached: bool) -> str:
    """The compact JWS over exactly these header bytes; ``detached`` leaves the payload out, unencoded (RFC 7797 §3).

    The caller answers for the header. Raises `ConfigInvalid` for a key that is not on P-256.
    """
    head = b64url(protected)
    body = payload if detached else b64url(payload).encode("ascii")
    message = head.encode("ascii") + b"." + body
    if isinstance(private_key, MLDSA65PrivateKey):
        signature = private_key.sign(message)
    elif isinstance(private_key.curve, ec.SECP256R1):
        signature = _ES256.sign(message, private_key)
    else:
        raise ConfigInvalid("a signing key for ES256 must be on P-256")
    return f"{head}.{'' if detached else body.decode('ascii')}.{b64url(signature)}"


def sign_compact(
    payload: bytes,
    private_key: ec.EllipticCurvePrivateKey,
    *,
    typ: str,
    kid: str,
    extra: Mapping[str, Any] | None = None,
    detached: bool = False,
) -> str:
    """A compact JWS of a registered ``typ``; members in the order ``alg kid typ [crit b64]``, then ``extra``."""
    if typ not in TYP:
        raise ConfigInvalid("no such signature type")
    header: dict[str, Any] = {"alg": ALG, "kid": kid, "typ": typ}
    if detached:
        header |= {"crit": ["b64"], "b64": False}
    return sign_protected(
        msgspec.json.encode(header | dict(extra or {})), payload, private_key, detached=detached
    )


def verify_compact(
    token: str,
    *,
    typ: str,
    keys: Mapping[str, PublicKey],
    extra: frozenset[str] = frozenset(),
    detached: bytes | None = None,
    alg: Algorithm = ALG,
) -> VerifiedJws:
    """Prove that a pinned key signed this, as this type (RFC 7515 §5.2, RFC 7797, RFC 8725 §3).

    ``extra`` names the further header members, all of them required. ``detached`` is the payload of a JWS that must
    carry none. Neither validity times nor the meaning of the payload are checked: ``keys`` is who may sign, now.

    1. take it apart strictly (`MalformedMessage`); what follows raises `SignatureInvalid`
    2. the closed set of header members: no more, no fewer (no jwk, jku, x5u, x5c, zip)
    3. ``alg`` and ``typ`` the expected ones (RFC 8725 §3.1, §3.11)
    4. detached: ``crit`` exactly ["b64"], ``b64`` false, empty payload segment (RFC 7797 §6); else neither is a member
    5. ``kid`` names a pinned key, of this algorithm
    6. the signature holds; of ES256 in its one spelling alone
    """
    # (1)
    jws = read_compact(token)
    header = jws.header
    # (2)
    if header.keys() != _BASE_MEMBERS | extra | (_DETACHED_MEMBERS if detached is not None else frozenset()):
        raise SignatureInvalid("a JWS header has members outside its closed set, or lacks one")
    # (3)
    if header["alg"] != alg:
        raise SignatureInvalid("the signature algorithm is not the agreed one")
    if typ not in TYP or header["typ"] != typ:
        raise SignatureInvalid("the signature is of another type")
    # (4)
    if detached is not None and (header["crit"] != ["b64"] or header["b64"] is not False or jws.payload):
        raise SignatureInvalid("a detached JWS must declare an unencoded payload and carry none")
    # (5)
    kid = header["kid"]
    key = keys.get(kid) if isinstance(kid, str) else None
    # (6) the signing input (RFC 7515 §5.2 step 8); detached, the payload stands in it as it is (RFC 7797 §3)
    message = token.rpartition(".")[0].encode("ascii") + (detached or b"")
    match alg, key:
        case "ES256", ec.EllipticCurvePublicKey():
            _verify_es256(message, jws.signature, key)
        case "ML-DSA-65", MLDSA65PublicKey():
            mldsa.verify(message, jws.signature, key)
        case _:
            raise SignatureInvalid("no pinned key may sign this")
    return VerifiedJws(header, jws.payload if detached is None else detached, kid)


def _verify_es256(message: bytes, signature: bytes, key: ec.EllipticCurvePublicKey) -> None:
    """r and s in range and s ≤ n/2, so that a signature has one spelling; and it holds."""
    r, s = (int.from_bytes(half, "big") for half in (signature[:_SCALAR_BYTES], signature[_SCALAR_BYTES:]))
    if len(signature) != 2 * _SCALAR_BYTES or not 0 < r < _ORDER or not 0 < s <= _ORDER // 2:
        raise SignatureInvalid("the signature value is out of range or not the lower one")
    if not _ES256.verify(message, key, signature):
        raise SignatureInvalid("the signature does not hold")

"""The seal: the protected header of a message's JWS, a closed schema in one order, over the exact payload bytes.

``crit``/``b64:false`` per RFC 7797: the payload is signed as it is, never re-encoded. Signature profile ``classic``
(ES256); a seal of another profile or suite is refused, weaker or stronger.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.errors import MalformedMessage, RequestInvalid, SignatureInvalid
from gateway.model.message import DEMANDS, Mode
from gateway.model.party import KeyRecord
from gateway.wire.jws import keys_for, message_typ, read_compact, records_for, sign_protected, verify_compact
from gateway.wire.strict import MAX_INTEGER, KeyId, OrgId, Sha256, Uuid4

Suite = Literal["hpke-mlkem768-x25519-a256gcm"]
MAX_CHECKPOINT_CHARS = 8 * 1024  # a signed note with one Ed25519 and one ML-DSA-44 signature is 3.7 KiB

_TYPES = {message_typ(message_type): message_type for message_type in DEMANDS}

Seconds = Annotated[int, msgspec.Meta(ge=0, le=MAX_INTEGER)]


class SealHeader(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"x5t_s256": "x5t#S256"}
):
    """What the sender signs beside the payload. Members are required and stand in this order on the wire."""

    alg: Literal["ES256"]
    kid: KeyId
    typ: str  # ecluse-msg-<type>+jws
    cty: Annotated[
        str, msgspec.Meta(pattern=r"\A[a-z0-9][a-z0-9!#$&^_.+/-]{0,126}\Z")
    ]  # format of the payload
    crit: tuple[Literal["b64"]]
    b64: bool  # false: the payload is signed unencoded
    x5t_s256: Annotated[
        str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_-]{43}\Z")
    ]  # certificate of the key (RFC 7515 §4.1.8)
    iat: Seconds  # Unix time, UTC
    exp: Seconds  # the message's own deadline
    iss: OrgId
    aud: OrgId
    enc_kid: KeyId
    suite: Suite
    sig_profile: Literal["classic"]
    jti: Uuid4  # message id
    conv: Uuid4
    seq: Annotated[int, msgspec.Meta(ge=1, le=MAX_INTEGER)]  # per conversation and direction, from 1
    mode: Mode
    agreement: Sha256  # of the terms in force
    payload_sha256: Sha256
    #: Signed note: the newest head of the sender's log for this recipient. It covers this message's own entry.
    checkpoint: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_CHECKPOINT_CHARS)]

    @property
    def message_type(self) -> str:
        """The type of message that was signed, for a header that was read or verified."""
        return _TYPES[self.typ]


class SealEvidence(msgspec.Struct, frozen=True):
    """Proof that a message key of the claimed sender signed exactly this payload under this header."""

    header: SealHeader
    kid: str
    certificate: str  # SHA-256 thumbprint of the key's certificate, base64url (x5t#S256)
    jws: str


def header_bytes(header: SealHeader) -> bytes:
    """The one encoding: members in order, compact, UTF-8, nothing escaped that JSON does not force."""
    return msgspec.json.encode(header)


#: The header members beyond those every detached JWS has.
_MEMBERS = frozenset(SealHeader.__struct_encode_fields__) - {"alg", "kid", "typ", "crit", "b64"}


def read_seal(jws: str) -> SealHeader:
    """The header of a seal, strictly read and **not verified**: enough to choose keys, nothing more.

    1. compact detached JWS, strict reader   2. closed types (lengths, hex, UUIDv4, suite, profile, alg)
    3. its own one encoding: order, spacing and escapes leave no choice   4. a known message type, b64 false, iat < exp

    Raises `MalformedMessage`.
    """
    # (1)
    parts = read_compact(jws)
    if parts.payload:
        raise MalformedMessage("a seal is detached: it carries no payload")
    # (2) msgspec quotes what it refuses: nothing of its text goes on
    try:
        header = msgspec.convert(parts.header, SealHeader)
    except msgspec.ValidationError:
        raise MalformedMessage("the seal does not follow its closed schema") from None
    # (3)
    if header_bytes(header) != parts.protected:
        raise MalformedMessage("the seal is not in its one encoding")
    # (4)
    if header.typ not in _TYPES or header.b64 or header.iat >= header.exp:
        raise MalformedMessage("the seal names an impossible type, encoding or period")
    return header


def sign_seal(header: SealHeader, payload: bytes, private_key: ec.EllipticCurvePrivateKey) -> str:
    """The compact detached JWS ``header..signature``. Deterministic: repeating it gives the same bytes.

    Raises `RequestInvalid` when the header is not of these bytes, or could not be read back.
    """
    if hashlib.sha256(payload).hexdigest() != header.payload_sha256:
        raise RequestInvalid("the seal header is of another payload")
    jws = sign_protected(header_bytes(header), payload, private_key, detached=True)
    try:
        read_seal(jws)
    except MalformedMessage as fault:
        raise RequestInvalid(fault.detail) from None
    return jws


def verify_seal(jws: str, payload: bytes, keys: Sequence[KeyRecord], *, now: datetime) -> SealEvidence:
    """Prove origin and integrity of one message with the sender's pinned keys.

    Not checked here, because a repeated message must still find its receipt: audience, window, sequence, agreement,
    and that ``iss`` is the organisation whose keys these are. The caller has chosen ``keys`` by TLS identity.

    1. read the seal strictly (`MalformedMessage`); what follows raises `SignatureInvalid`
    2. keys: use "message", listed for this very ``typ``, ES256, valid at ``now``
    3. detached JWS over the payload bytes as received (RFC 7797 §5.2, RFC 7515 §5.2)
    4. the digest in the header is the payload's: identity is (iss, jti, payload_sha256)
    5. the certificate in the header is the one pinned with the key
    """
    # (1)
    header = read_seal(jws)
    # (2)
    records = records_for(keys, "message", header.typ, now=now)
    pinned = keys_for(records.values(), "message", header.typ, now=now)
    # (3)
    verified = verify_compact(jws, typ=header.typ, keys=pinned, extra=_MEMBERS, detached=payload)
    # (4)
    if hashlib.sha256(payload).hexdigest() != header.payload_sha256:
        raise SignatureInvalid("the seal names another payload")
    # (5)
    if records[verified.kid].x5t != header.x5t_s256:
        raise SignatureInvalid("the seal names another certificate than the one pinned with its key")
    return SealEvidence(header, verified.kid, header.x5t_s256, jws)

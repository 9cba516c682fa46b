"""The seal: the protected header of a message's JWS, a closed schema in one order, over the exact payload bytes.

``crit``/``b64:false`` per RFC 7797: the payload is signed as it is, never re-encoded. Profile ``classic`` is one such
JWS with ES256. Profile ``hybrid`` adds a second one with ML-DSA-65 under a header that says the same, and both must
hold. Which of the two it has to be, the agreement says: another is refused, weaker or stronger.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey

from gateway.errors import MalformedMessage, OutsideAgreement, RequestInvalid, SignatureInvalid
from gateway.model.agreement import SignatureProfile, Suite
from gateway.model.message import DEMANDS, Mode
from gateway.model.party import KeyRecord
from gateway.wire import mldsa
from gateway.wire.jws import (
    ALG,
    Algorithm,
    PrivateKey,
    load_public,
    message_typ,
    read_compact,
    records_for,
    sign_protected,
    verify_compact,
)
from gateway.wire.strict import MAX_INTEGER, KeyId, OrgId, Sha256, Uuid4

MAX_CHECKPOINT_CHARS = 8 * 1024  # a signed note with one Ed25519 and one ML-DSA-44 signature is 3.7 KiB

_TYPES = {message_typ(message_type): message_type for message_type in DEMANDS}

Seconds = Annotated[int, msgspec.Meta(ge=0, le=MAX_INTEGER)]


class SealHeader(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"x5t_s256": "x5t#S256"}
):
    """What the sender signs beside the payload. Members are required and stand in this order on the wire."""

    alg: Algorithm  # of the first signature always ES256
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
    sig_profile: SignatureProfile
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
    """Proof that the message keys of the claimed sender that its profile demands signed exactly this payload."""

    header: SealHeader
    kid: str
    certificate: str  # SHA-256 thumbprint of the key's certificate, base64url (x5t#S256)
    jws: str
    second: str = ""  # the JWS with ML-DSA-65 in profile hybrid, which holds under the same header
    second_kid: str = ""


def header_bytes(header: SealHeader) -> bytes:
    """The one encoding: members in order, compact, UTF-8, nothing escaped that JSON does not force."""
    return msgspec.json.encode(header)


#: The header members beyond those every detached JWS has.
_MEMBERS = frozenset(SealHeader.__struct_encode_fields__) - {"alg", "kid", "typ", "crit", "b64"}


def read_seal(jws: str, *, alg: Algorithm = ALG) -> SealHeader:
    """The header of a seal, strictly read and **not verified**: enough to choose keys, nothing more.

    1. compact detached JWS, strict reader   2. closed types (lengths, hex, UUIDv4, suite, profile, alg)
    3. its own one encoding: order, spacing and escapes leave no choice
    4. this ``alg``, a known message type, b64 false, iat < exp

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
    if header.alg != alg or header.typ not in _TYPES or header.b64 or header.iat >= header.exp:
        raise MalformedMessage("the seal names an impossible algorithm, type, encoding or period")
    return header


def second_header(header: SealHeader, *, kid: str, x5t: str) -> SealHeader:
    """The header of the second signature: that of the first but for algorithm, key and certificate."""
    return msgspec.structs.replace(header, alg=mldsa.ALG, kid=kid, x5t_s256=x5t)


def sign_seal(header: SealHeader, payload: bytes, private_key: PrivateKey) -> str:
    """The compact detached JWS ``header..signature``, with the key that ``header.alg`` names.

    ES256 is deterministic: repeating it gives the same bytes. ML-DSA-65 is not.
    Raises `RequestInvalid` when the header is not of these bytes or this key, or could not be read back.
    """
    if hashlib.sha256(payload).hexdigest() != header.payload_sha256:
        raise RequestInvalid("the seal header is of another payload")
    if (header.alg == mldsa.ALG) is not isinstance(private_key, MLDSA65PrivateKey):
        raise RequestInvalid("the seal header is for a key of another algorithm")
    if header.alg == mldsa.ALG and header.sig_profile != "hybrid":
        raise RequestInvalid("only profile hybrid has a second signature")
    jws = sign_protected(header_bytes(header), payload, private_key, detached=True)
    try:
        read_seal(jws, alg=header.alg)
    except MalformedMessage as fault:
        raise RequestInvalid(fault.detail) from None
    return jws


def verify_seal(
    jws: str,
    second: str,
    payload: bytes,
    keys: Sequence[KeyRecord],
    *,
    profile: SignatureProfile,
    now: datetime,
) -> SealEvidence:
    """Prove origin and integrity of one message with the sender's pinned keys.

    ``profile`` is the one the agreement demands, never the one the sender claims; ``second`` is empty in classic.
    Not checked here, because a repeated message must still find its receipt: audience, window, sequence, agreement,
    and that ``iss`` is the organisation whose keys these are. The caller has chosen ``keys`` by TLS identity.

    1. read the seal strictly (`MalformedMessage`), and it claims the profile demanded (`OutsideAgreement`);
       what follows raises `SignatureInvalid`
    2. profile classic: no second signature. Profile hybrid: one, strictly read, whose header is that of the first
       but for ``alg``, ``kid`` and ``x5t#S256``, by another key
    3. the digest in the header is the payload's: identity is (iss, jti, payload_sha256)
    4. each signature holds (`_verify_one`): ES256, and in profile hybrid ML-DSA-65 too
    """
    # (1)
    header = read_seal(jws)
    if header.sig_profile != profile:
        raise OutsideAgreement("the seal is of another signature profile than the one agreed")
    # (2)
    if bool(second) is not (profile == "hybrid"):
        raise SignatureInvalid("the profile demands two signatures, or does not allow a second one")
    other = read_seal(second, alg=mldsa.ALG) if second else None
    if other is not None and other != second_header(header, kid=other.kid, x5t=other.x5t_s256):
        raise SignatureInvalid("the two signatures stand under different headers")
    if other is not None and other.kid == header.kid:
        raise SignatureInvalid("both signatures name one key")
    # (3)
    if hashlib.sha256(payload).hexdigest() != header.payload_sha256:
        raise SignatureInvalid("the seal names another payload")
    # (4)
    _verify_one(jws, header, payload, keys, now)
    if other is not None:
        _verify_one(second, other, payload, keys, now)
    return SealEvidence(
        header, header.kid, header.x5t_s256, jws, second, other.kid if other is not None else ""
    )


def _verify_one(
    jws: str, header: SealHeader, payload: bytes, keys: Sequence[KeyRecord], now: datetime
) -> None:
    """One of the signatures, or `SignatureInvalid`.

    1. keys: use "message", listed for this very ``typ`` and this algorithm, valid at ``now``
    2. detached JWS over the payload bytes as received (RFC 7797 §5.2, RFC 7515 §5.2; RFC 9964 for ML-DSA)
    3. the certificate in the header is the one pinned with the key
    """
    # (1)
    records = records_for(keys, "message", header.typ, now=now, alg=header.alg)
    pinned = {kid: load_public(record) for kid, record in records.items()}
    # (2)
    verified = verify_compact(
        jws, typ=header.typ, keys=pinned, extra=_MEMBERS, detached=payload, alg=header.alg
    )
    # (3)
    if records[verified.kid].x5t != header.x5t_s256:
        raise SignatureInvalid("the seal names another certificate than the one pinned with its key")

"""Section 9: the seal, a detached JWS over the payload, once by ES256 and in profile `hybrid` again by ML-DSA-65."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.peer import jose
from tests.peer.container import HPKE, JWE, Parts, Preamble
from tests.peer.entry import Entry, Key
from tests.peer.shape import Shape, closed, one_of, text, whole
from tests.peer.spelling import (
    DIGEST,
    KEY_ID,
    ORGANISATION,
    THUMBPRINT,
    UUID4,
    Misspelt,
    Refused,
    ordered,
    sha256,
)

CONTENT_TYPE = "application/json"

LONGEST_HEADER = 16384  # bytes of JSON
SKEW = 300  # seconds
LONGEST_LIFE = 30 * 24 * 3600  # seconds

TYPES = (
    "disclosure", "request", "clarification", "answer", "consent-request", "emergency", "no-information", "refusal",
    "delay", "recall", "correction", "consent-answer", "agreement", "partner-update", "status", "ping", "checkpoint",
    "void",
)  # fmt: skip

_MEMBERS: dict[str, Shape] = {
    "alg": one_of("ES256"),
    "kid": text(KEY_ID),
    "typ": one_of(*(f"ecluse-msg-{name}+jws" for name in TYPES)),
    "cty": text(r"[a-z0-9][a-z0-9!#$&^_.+/-]{0,126}"),
    "crit": one_of(["b64"]),
    "b64": one_of(False),
    "x5t#S256": text(THUMBPRINT),
    "iat": whole(0),
    "exp": whole(1),
    "iss": text(ORGANISATION),
    "aud": text(ORGANISATION),
    "enc_kid": text(KEY_ID),
    "suite": one_of(HPKE, JWE),
    "sig_profile": one_of("classic", "hybrid"),
    "jti": text(UUID4),
    "conv": text(UUID4),
    "seq": whole(1),
    "mode": one_of("operational", "exercise", "test"),
    "agreement": text(DIGEST),
    "payload_sha256": text(DIGEST),
    "checkpoint": text(r"(?s).{1,8192}"),
}

_SHAPES = {"ES256": closed(_MEMBERS), "ML-DSA-65": closed(_MEMBERS | {"alg": one_of("ML-DSA-65")})}

#: What the second header has of its own.
_OWN = ("alg", "kid", "x5t#S256")


@dataclass(frozen=True)
class Seal:
    """A seal that was read; who signed it is not yet known."""

    token: str
    header: dict[str, Any]

    @property
    def type(self) -> str:
        return str(self.header["typ"]).removeprefix("ecluse-msg-").removesuffix("+jws")


@dataclass(frozen=True)
class MessageKey:
    """A private message key with its record."""

    record: Key
    private: jose.SigningKey


def make_seal(header: dict[str, Any], payload: bytes, key: MessageKey) -> str:
    """The JWS of this key over the payload; ``header`` lacks what is the key's."""
    own = {"alg": key.record.alg, "kid": key.record.kid, "x5t#S256": key.record.x5t}
    whole_header = {name: (own | header)[name] for name in _MEMBERS}
    return jose.sign(whole_header, payload, key.private, detached=True)


def read_seal(token: str, alg: str = "ES256") -> Seal:
    """Closed, ordered, every form as demanded; raises `Misspelt`."""
    header = jose.read_header(token, detached=True)
    if list(header) != list(_MEMBERS) or len(ordered(header)) > LONGEST_HEADER:
        raise Misspelt
    _SHAPES[alg](header)
    if header["iat"] >= header["exp"]:
        raise Misspelt
    return Seal(token, header)


def agrees(seal: Seal, preamble: Preamble) -> bool:
    """Whether seal and preamble say the same."""
    return all(
        seal.header[name] == getattr(preamble, name) for name in ("suite", "iss", "aud", "jti", "enc_kid")
    )


def verify_seals(parts: Parts, seal: Seal, theirs: Entry, profile: str, now: float) -> None:
    """Step 10: each signature that the agreed profile demands holds, and no other is there. Raises `Refused`."""
    if seal.header["sig_profile"] != profile:
        raise Refused("outside-agreement")
    if bool(parts.second) != (profile == "hybrid"):
        raise Refused("signature-invalid")
    second = _read_second(parts.second) if parts.second else None
    try:
        if seal.header["payload_sha256"] != sha256(parts.payload):
            raise jose.NotSigned
        jose.verify_es256(seal.token, _key(seal, "ES256", theirs, now).public, parts.payload)
        if second is not None:
            if _shared(second) != _shared(seal) or second.header["kid"] == seal.header["kid"]:
                raise jose.NotSigned
            jose.verify_ml_dsa(second.token, _key(second, "ML-DSA-65", theirs, now).public, parts.payload)
    except jose.NotSigned:
        raise Refused("signature-invalid") from None


def check_window(seal: Seal, now: float) -> None:
    """Step 11."""
    issued, ends = seal.header["iat"], seal.header["exp"]
    if issued > now + SKEW or now >= ends or ends - issued > LONGEST_LIFE + 2 * SKEW:
        raise Refused("replayed")


def _read_second(token: str) -> Seal:
    try:
        return read_seal(token, "ML-DSA-65")
    except Misspelt:
        raise Refused("malformed") from None


def _shared(seal: Seal) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in seal.header.items() if name not in _OWN]


def _key(seal: Seal, alg: str, theirs: Entry, now: float) -> Key:
    key = theirs.key("message", alg, seal.header["kid"], now)
    if key is None or seal.header["typ"] not in key.typ or seal.header["x5t#S256"] != key.x5t:
        raise jose.NotSigned
    return key

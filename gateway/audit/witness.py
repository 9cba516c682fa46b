"""Cosignatures of tree heads: C2SP tlog-cosignature, with Ed25519 and with ML-DSA-44.

A cosignature says: at this time this was the largest head that the witness had seen of this log, and it grew from
every one that the witness cosigned before. It stands as one more signature line under the note::

    — <witness> base64(key id, 4 bytes ‖ time, 8 bytes ‖ signature)

Its key is of another type than a log's (``04`` and ``06`` where a log's is ``01``), so that neither can pass for the
other. Whether a head may be cosigned is decided by the caller, who holds the last one: nothing here remembers.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from gateway.audit.checkpoint import (
    ED25519_KEY_BYTES,
    KEY_ID_BYTES,
    Checkpoint,
    NoteSignature,
    UnverifiedCheckpoint,
    decode64,
    is_key_name,
    log_key_name,
    split_verifier_key,
)
from gateway.errors import AuditBroken, ConfigInvalid

#: Key types of tlog-cosignature, "Format", and the bytes of their public keys (RFC 8032 §5.1.5, FIPS 204 table 2).
ED25519_TYPE: Final = 0x04
MLDSA44_TYPE: Final = 0x06
KEY_BYTES: Final = {ED25519_TYPE: ED25519_KEY_BYTES, MLDSA44_TYPE: 1312}
#: How each type is called where people read it.
ALGORITHMS: Final = {ED25519_TYPE: "Ed25519", MLDSA44_TYPE: "ML-DSA-44"}
#: Bytes of the time before a signature.
TIME_BYTES: Final = 8
#: Bytes of a name or origin that an ML-DSA-44 cosignature can hold: its length is one byte.
MAX_NAME_BYTES: Final = 255
#: Seconds since 1970 of the last second that a `datetime` can tell.
MAX_TIME: Final = int(datetime.max.replace(tzinfo=UTC).timestamp())

#: Hashes of a consistency proof that an ask may hold (tlog-witness, "add-checkpoint").
MAX_PROOF_HASHES: Final = 63
_ASK = re.compile(rb"old (0|[1-9][0-9]{0,18})\n((?:[A-Za-z0-9+/]{43}=\n)*)\n(.+)", re.DOTALL)

#: The first twelve bytes of what ML-DSA-44 signs ("ML-DSA-44 signed message").
_LABEL: Final = b"subtree/v1\n\0"

WitnessPrivateKey = Ed25519PrivateKey | MLDSA44PrivateKey


@dataclass(frozen=True, slots=True)
class WitnessKey:
    """A witness's public key with the name it signs under, written ``name+hash+base64(type ‖ key)``."""

    name: str
    type: int
    public_key: bytes

    def __post_init__(self) -> None:
        named = is_key_name(self.name) and len(self.name.encode()) <= MAX_NAME_BYTES
        if not named or KEY_BYTES.get(self.type) != len(self.public_key):
            raise ConfigInvalid("a witness key has no valid name, type or key")

    @property
    def key_id(self) -> bytes:
        """SHA-256(name ‖ LF ‖ type ‖ key)[:4] (tlog-cosignature, "Format")."""
        return hashlib.sha256(self.name.encode() + b"\n" + self._tagged).digest()[:KEY_ID_BYTES]

    @property
    def algorithm(self) -> str:
        return ALGORITHMS[self.type]

    @property
    def _tagged(self) -> bytes:
        return bytes([self.type]) + self.public_key

    @classmethod
    def of(cls, name: str, key: WitnessPrivateKey) -> "WitnessKey":
        kind = ED25519_TYPE if isinstance(key, Ed25519PrivateKey) else MLDSA44_TYPE
        return cls(name, kind, key.public_key().public_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> "WitnessKey":
        """Read the text form; ConfigInvalid for the key of a log, a second spelling or a hash that does not fit."""
        name, key_id, tagged = split_verifier_key(text)
        key = cls(name, tagged[0], tagged[1:])
        if key.key_id.hex() != key_id:
            raise ConfigInvalid("a witness key does not match its hash")
        return key

    def encode(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(self._tagged).decode()}"


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A cosignature that holds; only :func:`cosignatures` makes one."""

    witness: WitnessKey
    size: int
    at: datetime


def cosign(checkpoint: Checkpoint, name: str, key: WitnessPrivateKey, *, at: datetime) -> NoteSignature:
    """The signature line of a witness; ``at`` is any aware time, fractions of a second are dropped.

    The caller has proven that the head grew from the last one cosigned, and made that durable.
    """
    witness, time = WitnessKey.of(name, key), int(at.timestamp())
    signature = key.sign(_message(witness, checkpoint, time))
    return NoteSignature(name, witness.key_id, time.to_bytes(TIME_BYTES, "big") + signature)


def cosignatures(note: UnverifiedCheckpoint, witnesses: Sequence[WitnessKey]) -> tuple[Cosignature, ...]:
    """The cosignatures under a note by these witnesses; AuditBroken when one of a known witness fails.

    (1) lines of unknown (name, key id) are ignored (signed-note, "Signatures"); (2) the time is between 1 and what a
    calendar holds: zero would say nothing of when, nor that the head was the largest; (3) the signature holds for
    that time and this head. Not checked: that the log signed the head (`checkpoint.verify`), and that the time has
    come.
    """
    known = {(key.name, key.key_id): key for key in witnesses}
    found = []
    for line in note.signatures:
        # (1)
        witness = known.get((line.key_name, line.key_id))
        if witness is None:
            continue
        # (2)
        time = int.from_bytes(line.signature[:TIME_BYTES], "big")
        if not 0 < time <= MAX_TIME:
            raise _broken("a cosignature's time is out of range", "cosignature-time")
        # (3)
        try:
            _public(witness).verify(line.signature[TIME_BYTES:], _message(witness, note.checkpoint, time))
        except (InvalidSignature, ValueError):
            raise _broken("a known witness's cosignature fails", "cosignature") from None
        found.append(Cosignature(witness, note.checkpoint.size, datetime.fromtimestamp(time, UTC)))
    return tuple(found)


def witness_name(organisation: str) -> str:
    """The name under which an organisation's gateway cosigns its partners' heads."""
    return f"{log_key_name(organisation)}/witness"


# --- asking for a cosignature (C2SP tlog-witness, "add-checkpoint")


@dataclass(frozen=True, slots=True)
class Ask:
    """A head to be cosigned, with the proof from ``old``, the size of the one cosigned last. Nothing is verified."""

    old: int
    hashes: tuple[bytes, ...]
    note: bytes

    def encode(self) -> bytes:
        lines = [f"old {self.old}", *(base64.b64encode(one).decode() for one in self.hashes), "", ""]
        return "\n".join(lines).encode() + self.note

    @classmethod
    def parse(cls, raw: bytes) -> "Ask":
        """Read an ask; AuditBroken unless it is in the one form that :meth:`encode` would write."""
        match = _ASK.fullmatch(raw)
        hashes = [decode64(line.decode()) for line in match[2].split()] if match else []
        if not match or len(hashes) > MAX_PROOF_HASHES or None in hashes:
            raise _broken("an ask for a cosignature is malformed", "ask-form")
        return cls(int(match[1]), tuple(one for one in hashes if one), match[3])


def _message(witness: WitnessKey, checkpoint: Checkpoint, time: int) -> bytes:
    """What is signed: of Ed25519 two lines and the note text, of ML-DSA-44 the structure ``cosigned_message``."""
    if witness.type == ED25519_TYPE:
        return f"cosignature/v1\ntime {time}\n{checkpoint.body()}".encode()
    name, origin = witness.name.encode(), checkpoint.origin.encode()
    if len(origin) > MAX_NAME_BYTES:
        raise _broken("an origin is too long for an ML-DSA-44 cosignature", "cosignature-origin")
    numbers = bytes(8) + checkpoint.size.to_bytes(8, "big")  # start and end
    return (
        _LABEL + bytes([len(name)]) + name + time.to_bytes(TIME_BYTES, "big")
        + bytes([len(origin)]) + origin + numbers + checkpoint.root
    )  # fmt: skip


def _public(witness: WitnessKey) -> Ed25519PublicKey | MLDSA44PublicKey:
    if witness.type == ED25519_TYPE:
        return Ed25519PublicKey.from_public_bytes(witness.public_key)
    return MLDSA44PublicKey.from_public_bytes(witness.public_key)


def _broken(detail: str, rule: str) -> AuditBroken:
    return AuditBroken(detail, diagnostic={"rule": rule})

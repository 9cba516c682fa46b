"""Signed tree heads: C2SP tlog-checkpoint over C2SP signed-note, with Ed25519.

::

    ecluse/bel.ocam/master                              origin: which log
    20852163                                            size: how many entries
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=        root (RFC 9162 §2.1.1)

    — ecluse/bel.ocam Az3grl…                           key name, base64(key id ‖ signature over the three lines)

A checkpoint has one body form: exactly these three lines. The specification allows extension lines and
advises against them; ours has none, since no monitor can audit them. Whether a log may sign a checkpoint at
all (consistent with everything it signed before, durable before it is published) is decided by the caller;
nothing here remembers.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.audit.tree import HASH_BYTES, MAX_SIZE
from gateway.errors import AuditBroken, ConfigInvalid

#: Bytes of the longest note: room for the largest signatures known today, sixteen times over.
MAX_NOTE_BYTES: Final = 64 * 1024
#: Signature lines read in one note; the specification asks for at least 16.
MAX_SIGNATURES: Final = 32
#: Bytes of a key id (signed-note, "Signatures").
KEY_ID_BYTES: Final = 4
#: signed-note, "Signature types": Ed25519 over the note text.
ED25519_TYPE: Final = b"\x01"
#: Bytes of an Ed25519 public key (RFC 8032 §5.1.5).
ED25519_KEY_BYTES: Final = 32

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_BODY = re.compile(r"([^\n]+)\n(0|[1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\n")
_SIGNATURE_LINE = re.compile(r"— ([^\n]+) ([A-Za-z0-9+/]+={0,2})")
_VERIFIER_KEY = re.compile(r"([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})")


def log_key_name(organisation: str) -> str:
    """The name under which an organisation's log key signs."""
    return f"ecluse/{organisation}"


def master_origin(organisation: str) -> str:
    """The origin of an organisation's master log."""
    return f"{log_key_name(organisation)}/master"


def partner_origin(organisation: str, partner: str) -> str:
    """The origin of the log that ``organisation`` keeps about ``partner``."""
    return f"{log_key_name(organisation)}/partner/{partner}"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head: this log had this root at this size. Unsigned; AuditBroken for values that have no body
    form."""

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        if not self.origin or not self.origin.isprintable():
            raise _broken("an origin is empty or has control characters", "origin")
        if not 0 <= self.size <= MAX_SIZE:
            raise _broken("a tree size is out of range", "tree-size")
        if len(self.root) != HASH_BYTES:
            raise _broken("a root does not have 32 bytes", "hash-length")

    def body(self) -> str:
        """The note text: three lines, each ended by a line feed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line of a note. Who made it is unknown until a :class:`VerifierKey` says so."""

    key_name: str
    key_id: bytes
    signature: bytes

    def line(self) -> str:
        return f"— {self.key_name} {base64.b64encode(self.key_id + self.signature).decode()}\n"


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with the name it signs under, written ``name+hash+base64(type ‖ key)`` as Go's tools
    do."""

    name: str
    public_key: bytes

    def __post_init__(self) -> None:
        if not is_key_name(self.name) or len(self.public_key) != ED25519_KEY_BYTES:
            raise ConfigInvalid("a verifier key has no valid name or key")

    @property
    def key_id(self) -> bytes:
        """SHA-256(name ‖ LF ‖ type ‖ key)[:4] (signed-note, "Ed25519 signatures")."""
        named = self.name.encode() + b"\n" + ED25519_TYPE + self.public_key
        return hashlib.sha256(named).digest()[:KEY_ID_BYTES]

    @classmethod
    def of(cls, name: str, key: Ed25519PublicKey) -> "VerifierKey":
        return cls(name, key.public_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """Read the text form; ConfigInvalid for another key type, a second spelling or a hash that does not
        fit."""
        name, key_id, tagged = split_verifier_key(text)
        if tagged[:1] != ED25519_TYPE:
            raise ConfigInvalid("a verifier key is not an Ed25519 key")
        key = cls(name, tagged[1:])
        if key.key_id.hex() != key_id:
            raise ConfigInvalid("a verifier key does not match its hash")
        return key

    def encode(self) -> str:
        encoded = base64.b64encode(ED25519_TYPE + self.public_key).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"

    def owns(self, origin: str) -> bool:
        """Whether a signature under this name may vouch for that log: ``ecluse/bel.ocam`` does for
        ``ecluse/bel.ocam/master`` and for no other organisation's log."""
        return origin == self.name or origin.startswith(self.name + "/")


@dataclass(frozen=True, slots=True)
class UnverifiedCheckpoint:
    """A well-formed note. Its checkpoint is a claim: only :func:`verify` makes it more."""

    checkpoint: Checkpoint
    signatures: tuple[NoteSignature, ...]


@dataclass(frozen=True, slots=True)
class VerifiedCheckpoint:
    """A checkpoint whose log key's signature holds; only :func:`verify` makes one. ``signers`` are the known
    keys that signed it, ``note`` the exact bytes."""

    checkpoint: Checkpoint
    note: bytes
    signers: tuple[VerifierKey, ...]


def note(body: str, signatures: Sequence[NoteSignature]) -> bytes:
    """The signed note: text, blank line, signature lines (signed-note, "Format")."""
    return (body + "\n" + "".join(signature.line() for signature in signatures)).encode()


def sign(checkpoint: Checkpoint, key_name: str, key: Ed25519PrivateKey) -> bytes:
    """The signed note of ``checkpoint``; deterministic. AuditBroken when the key's name does not own the
    origin."""
    verifier = VerifierKey.of(key_name, key.public_key())
    if not verifier.owns(checkpoint.origin):
        raise _broken("a log key signs only for its own organisation's logs", "key-name")
    body = checkpoint.body()
    return note(body, [NoteSignature(key_name, verifier.key_id, key.sign(body.encode()))])


def parse(note: bytes) -> UnverifiedCheckpoint:
    """Read a note without believing it; AuditBroken unless it is in the one form :func:`sign` would write.

    (1) bounded, UTF-8, no control characters but line feeds; (2) the last blank line parts text and
    signatures; (3) the text is origin, canonical decimal size, canonical base64 root; (4) at least one
    signature line, each with a proper key name and canonical base64 of a key id and a signature.
    """
    # (1)
    if len(note) > MAX_NOTE_BYTES:
        raise _broken("a note is longer than the limit", "note-length")
    try:
        text = note.decode()
    except UnicodeDecodeError:
        raise _broken("a note is not in UTF-8", "note-form") from None
    if _CONTROL.search(text):
        raise _broken("a note has control characters", "note-form")
    # (2)
    body, blank, tail = text.rpartition("\n\n")
    if not blank or not tail.endswith("\n"):
        raise _broken("a note has no signature part", "note-form")
    # (3)
    match = _BODY.fullmatch(body + "\n")
    root = match and decode64(match[3])
    if not match or not root:
        raise _broken("a note's text is not a checkpoint", "checkpoint-form")
    checkpoint = Checkpoint(match[1], int(match[2]), root)
    # (4)
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise _broken("a note has more signatures than the limit", "note-length")
    return UnverifiedCheckpoint(checkpoint, tuple(_signature(line) for line in lines))


def verify(note: bytes, vkeys: Sequence[VerifierKey], *, origin: str) -> VerifiedCheckpoint:
    """Prove that the log ``origin`` signed this checkpoint; AuditBroken otherwise, also when ``vkeys`` is
    empty.

    (1) strict form; (2) exactly this origin; (3) signatures of unknown keys are ignored, every signature of a
    known key must hold (signed-note, "Signatures"); (4) at least one of those is by a key whose name owns the
    origin: a witness, or another organisation, never vouches alone. Not checked: whether the checkpoint is
    new, or consistent with any other.
    """
    # (1)
    unverified = parse(note)
    checkpoint = unverified.checkpoint
    # (2)
    if checkpoint.origin != origin:
        raise _broken("a checkpoint is of another log", "origin")
    # (3)
    known = {(key.name, key.key_id): key for key in vkeys}
    if len(known) != len(set(vkeys)):
        raise _broken("two known keys share name and id", "key-name")
    text = checkpoint.body().encode()
    signers: list[VerifierKey] = []
    for signature in unverified.signatures:
        key = known.get((signature.key_name, signature.key_id))
        if key is None:
            continue
        try:
            Ed25519PublicKey.from_public_bytes(key.public_key).verify(signature.signature, text)
        except (InvalidSignature, ValueError):
            raise _broken("a known key's signature fails", "signature") from None
        signers.append(key)
    # (4)
    if not any(key.owns(origin) for key in signers):
        raise _broken("no known log key signed the checkpoint", "signature")
    return VerifiedCheckpoint(checkpoint, note, tuple(signers))


def _signature(line: str) -> NoteSignature:
    match = _SIGNATURE_LINE.fullmatch(line)
    decoded = match and decode64(match[2])
    if not match or not decoded or len(decoded) <= KEY_ID_BYTES or not is_key_name(match[1]):
        raise _broken("a note's signature line is malformed", "signature-form")
    return NoteSignature(match[1], decoded[:KEY_ID_BYTES], decoded[KEY_ID_BYTES:])


def split_verifier_key(text: str) -> tuple[str, str, bytes]:
    """Name, hash and tagged key of a key's text form; ConfigInvalid for another form or a second spelling."""
    match = _VERIFIER_KEY.fullmatch(text)
    tagged = match and decode64(match[3])
    if not match or not tagged:
        raise ConfigInvalid("a verifier key is not of the form name+hash+base64")
    return match[1], match[2], tagged


def is_key_name(name: str) -> bool:
    """Whether a key may bear this name (signed-note, "Format")."""
    return bool(name) and name.isprintable() and " " not in name and "+" not in name


def decode64(text: str) -> bytes | None:
    """RFC 4648 §4, canonical: padded, and with the unused bits of the last character zero; otherwise None."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
    return decoded if base64.b64encode(decoded).decode() == text else None


def _broken(detail: str, rule: str) -> AuditBroken:
    return AuditBroken(detail, diagnostic={"rule": rule})

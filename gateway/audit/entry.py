"""Log entries: one canonical byte form, built and read by the same strict rules.

An entry is RFC 8785 canonical JSON with a closed set of members, every one required. Its bytes hold no index
and name no log: the position in the log is the index, the checkpoint's origin is the log. An entry commits to
content under a salt and never holds content, a name or free text; each member's pattern is narrow enough to
keep it so.
"""

import base64
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Final, Literal, TypeVar

import msgspec

from gateway.errors import AuditBroken

#: Random bytes in every entry: without them a low-entropy leaf can be guessed from its hash in a neighbour's
#: proof.
BLIND_BYTES: Final = 32
#: Bytes of a commitment's salt. One fixed length keeps ``use ‖ salt ‖ content`` free of two readings.
SALT_BYTES: Final = 32
#: Bytes of a SHA-256 digest.
DIGEST_BYTES: Final = 32
#: Bytes of the longest entry; the limits of the members add up to about half of it.
MAX_ENTRY_BYTES: Final = 1024
#: Largest sequence number: the largest integer that RFC 8785 §3.2.2.3 carries exactly.
MAX_SEQ: Final = 2**53 - 1

# Patterns end in \Z: "$" would also match before a final line feed.
_Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
# 32 bytes in base64url without padding; the last character carries two zero bits, any other would be a second
# spelling.
_Blind = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]\Z")]
_Uuid = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")]
_MessageType = Annotated[str, msgspec.Meta(pattern=r"^[a-z](?:[a-z-]{0,30}[a-z])?\Z")]
_Actor = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}\Z")]
_Handle = Annotated[str, msgspec.Meta(pattern=r"^(?:[A-Za-z0-9][A-Za-z0-9._:/-]{0,127})?\Z")]
_Instant = Annotated[datetime, msgspec.Meta(tz=True)]
_Seq = Annotated[int, msgspec.Meta(ge=1, le=MAX_SEQ)]

#: What a partner log records: one entry per sealed message or receipt that crossed that wire.
WireEvent = Literal["message", "receipt"]
#: What the master log records.
HouseEvent = Literal[
    "decision",
    "endorsement",
    "void",
    "import",
    "read",
    "change",
    "refused",
    "release",
    "checkpoint",
    "epoch",
    "config",
    "notice",  # what a past recipient must, or may, be told
    "oral",  # what was said aloud
    "hold",  # what nobody may erase for now
    "finding",  # of a reviewer, its answer, or its end
    "erasure",  # keys destroyed on an order; its detail lies open, and lists what is gone
]


class PartnerEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One sealed message or receipt that crossed one partner's wire.

    ``body`` is :func:`body_commitment` of its payload, ``master`` is :func:`master_commitment` of the newest
    master checkpoint, so a partner's cosignature over its own log also fixes the master log.
    """

    at: _Instant
    blind: _Blind
    body: _Digest
    conv: _Uuid
    direction: Literal["in", "out"] = msgspec.field(name="dir")
    event: WireEvent
    message_id: _Uuid = msgspec.field(name="id")
    master: _Digest
    seq: _Seq
    type: _MessageType
    v: Literal[1]


class MasterEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One act inside the house. ``subject`` is the handle of a release, change or record, never of a person;
    it is empty when the act has none. ``detail`` is :func:`detail_commitment` of the encrypted detail."""

    actor: _Actor
    at: _Instant
    blind: _Blind
    detail: _Digest
    event: HouseEvent
    subject: _Handle
    v: Literal[1]


_Entry = TypeVar("_Entry", PartnerEntry, MasterEntry)


def partner_entry(
    *,
    at: datetime,
    blind: bytes,
    body: str,
    conv: str,
    direction: Literal["in", "out"],
    event: WireEvent,
    message_id: str,
    master: str,
    seq: int,
    type: str,
) -> bytes:
    """Build one partner-log entry; its bytes are the leaf.

    ``at`` is any aware time, written in UTC with fractions of a second dropped; ``blind`` is 32 fresh random
    bytes; ``body`` and ``master`` are hex commitments; ``conv`` and ``message_id`` are lower-case UUIDs;
    ``seq`` counts from 1. Raises AuditBroken for anything that :func:`parse_partner_entry` would refuse.
    """
    raw = _canonical(
        {
            "at": _instant(at),
            "blind": _blind(blind),
            "body": body,
            "conv": conv,
            "dir": direction,
            "event": event,
            "id": message_id,
            "master": master,
            "seq": seq,
            "type": type,
            "v": 1,
        }
    )
    parse_partner_entry(raw)
    return raw


def master_entry(
    *,
    at: datetime,
    blind: bytes,
    event: HouseEvent,
    actor: str,
    detail: str,
    subject: str = "",
) -> bytes:
    """Build one master-log entry; its bytes are the leaf. Formats and errors as for :func:`partner_entry`."""
    raw = _canonical(
        {
            "actor": actor,
            "at": _instant(at),
            "blind": _blind(blind),
            "detail": detail,
            "event": event,
            "subject": subject,
            "v": 1,
        }
    )
    parse_master_entry(raw)
    return raw


def parse_partner_entry(raw: bytes) -> PartnerEntry:
    """Read one partner-log entry; raises AuditBroken unless ``raw`` is the one canonical form of a valid
    entry."""
    return _parse(raw, PartnerEntry)


def parse_master_entry(raw: bytes) -> MasterEntry:
    """Read one master-log entry; raises AuditBroken unless ``raw`` is the one canonical form of a valid
    entry."""
    return _parse(raw, MasterEntry)


def body_commitment(salt: bytes, payload_sha256: bytes) -> str:
    """Commit to a payload: hex SHA-256("ecluse/body/1" LF ‖ salt ‖ payload_sha256).

    The 32-byte ``salt`` is kept encrypted under the body's own key: once that key is destroyed the commitment
    cannot be matched against a guessed payload any more, and the log still verifies.
    """
    return _commitment(b"ecluse/body/1\n", salt, _digest(payload_sha256))


def master_commitment(salt: bytes, checkpoint_note: bytes) -> str:
    """Commit to a master checkpoint: hex SHA-256("ecluse/master/1" LF ‖ salt ‖ signed note), salted so that a
    partner cannot follow the size of the master log."""
    return _commitment(b"ecluse/master/1\n", salt, checkpoint_note)


def detail_commitment(salt: bytes, detail_sha256: bytes) -> str:
    """Commit to an encrypted detail: hex SHA-256("ecluse/detail/1" LF ‖ salt ‖ detail_sha256)."""
    return _commitment(b"ecluse/detail/1\n", salt, _digest(detail_sha256))


def _commitment(use: bytes, salt: bytes, content: bytes) -> str:
    if len(salt) != SALT_BYTES:
        raise _broken("a commitment's salt has the wrong length", "salt-length")
    return hashlib.sha256(use + salt + content).hexdigest()


def _digest(digest: bytes) -> bytes:
    if len(digest) != DIGEST_BYTES:
        raise _broken("a digest to commit to has the wrong length", "digest-length")
    return digest


def _instant(at: datetime) -> str:
    if at.tzinfo is None:
        raise _broken("an entry's time has no zone", "entry-time")
    return at.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def _blind(blind: bytes) -> str:
    if len(blind) != BLIND_BYTES:
        raise _broken("an entry's blind has the wrong length", "blind-length")
    return base64.urlsafe_b64encode(blind).rstrip(b"=").decode()


def _canonical(members: Mapping[str, str | int]) -> bytes:
    """Plain sorted JSON, which is RFC 8785 for all that :func:`_parse` lets pass; it is asked at once."""
    try:
        return msgspec.json.encode(members, order="sorted")
    except UnicodeError:
        raise _broken("an entry has no canonical form", "entry-canonical") from None


def _parse(raw: bytes, shape: type[_Entry]) -> _Entry:
    """(1) bounded; (2) every member present, known and in its pattern; (3) whole seconds, UTC; (4) written
    again it gives the same bytes, which refuses repeated members, other orders, spaces, escapes and number
    spellings at once."""
    # (1)
    if len(raw) > MAX_ENTRY_BYTES:
        raise _broken("an entry is longer than the limit", "entry-length")
    # (2)
    try:
        entry = msgspec.json.decode(raw, type=shape)
    except (msgspec.MsgspecError, UnicodeError):
        # The library quotes unknown names and values.
        raise _broken("an entry breaks its schema", "entry-schema") from None
    # (3)
    if entry.at.microsecond:
        raise _broken("an entry's time is not in whole seconds", "entry-time")
    # (4) All that passed (2) is ASCII without escapes or an exact integer, where RFC 8785 is plain sorted JSON.
    if msgspec.json.encode(entry, order="sorted") != raw:
        raise _broken("an entry is not in its canonical form", "entry-canonical")
    return entry


def _broken(detail: str, rule: str) -> AuditBroken:
    return AuditBroken(detail, diagnostic={"rule": rule})

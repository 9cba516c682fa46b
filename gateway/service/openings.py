"""Whether what the entries of a home commit to is still there: what is gone was erased on an order, or is missing.

An erasure's entry commits to a list that lies open. Only what stands in such a list may be gone; "it was erased"
without that entry is a finding, and so is a list that the entry does not commit to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import msgspec

from gateway.audit.checkpoint import master_origin, partner_origin
from gateway.audit.entry import PartnerEntry, detail_commitment, parse_master_entry, parse_partner_entry
from gateway.errors import AuditBroken
from gateway.model.case_rows import ErasureRow
from gateway.model.rows import (
    BodyRow,
    EntryBodyRow,
    InboxRow,
    KeyRow,
    OutboxRow,
    ReceiptRow,
    ReleaseRow,
)
from gateway.ports import ReadTx
from gateway.service.erasures import DONE, Erased
from gateway.service.log_source import StoredLog

#: File of an exported master log in which the lists stand.
ERASURES = "erasures.json"


class ErasureShown(msgspec.Struct, frozen=True):
    """A lawful erasure: the entry of the master log that stands for it, and how much it lists."""

    entry: int
    reference: str
    authority_sha256: str
    entries: int
    messages: int


class Gone(msgspec.Struct, frozen=True):
    """The first entry of a log at which something is wrong."""

    first: int
    reason: str  # ``opening-missing``: gone, and in no list; ``erasure-unproven``: not the list committed to


class Openings(msgspec.Struct, frozen=True):
    """What was found of a home: lawful erasures; entries without content, by log; the first fault of a log."""

    erasures: tuple[ErasureShown, ...]
    erased: dict[str, int]
    wrong: dict[str, Gone]


class Opened(msgspec.Struct, frozen=True):
    """A list as an export shows it: it opens the commitment of the entry at this place."""

    entry: int
    salt: str  # hexadecimal
    detail: str  # the exact text


def erasures_of(tx: ReadTx, log: StoredLog) -> bytes:
    """The lists of the erasures that a master log has entries of, for an export; empty for a log without."""
    if not log.origin.endswith("/master"):
        return b""
    rows = tx.select(ErasureRow, {"state": DONE})
    shown = [Opened(row.position, row.salt.hex(), row.detail.decode()) for row in rows]
    return msgspec.json.encode(sorted(shown, key=lambda one: one.entry)) if shown else b""


class _Listed:
    """What the lists that hold allow to be gone: a place, or an id, and the entry that says so."""

    def __init__(self) -> None:
        self.places: dict[int, int] = {}
        self.messages: dict[str, int] = {}


def inspect_openings(tx: ReadTx, org: str, logs: Sequence[StoredLog]) -> Openings:
    """(1) each erasure's list is that to which its entry commits, and no such entry is without one; (2) every other
    entry of the master log has its detail, or a later erasure lists its place; (3) every message and receipt of a
    partner's log has its content, or an erasure lists its id.

    Content is not opened: that needs the signer. Raises `AuditBroken` for what cannot be read.
    """
    try:
        return _inspect(tx, org, logs)
    except AuditBroken:
        raise
    except Exception:
        # A row that was overwritten fails in its own way while it is decoded.
        raise AuditBroken("the stored contents cannot be read", diagnostic={"rule": "unreadable"}) from None


def _inspect(tx: ReadTx, org: str, logs: Sequence[StoredLog]) -> Openings:
    listed, erasures, wrong = _Listed(), list[ErasureShown](), dict[str, Gone]()
    erased: dict[str, int] = {}
    master = master_origin(org)
    rows = {row.position: row for row in tx.select(ErasureRow, {"state": DONE})}
    whole = StoredLog(tx, master)
    # (1)
    for position, raw in whole.entries():
        if _event(raw) == "erasure":
            shown = _allowed(rows.get(position), position, raw, listed)
            if shown is None:
                wrong.setdefault(master, Gone(position, "erasure-unproven"))
            else:
                erasures.append(shown)
    for log in logs:
        count = 0
        missing = _missing_details if log.origin == master else _missing_contents
        for position, by in missing(tx, log, org, listed):
            if by is None or (log.origin == master and by < position):
                wrong.setdefault(log.origin, Gone(position, "opening-missing"))
                break
            count += 1
        erased[log.origin] = count
    return Openings(tuple(erasures), erased, wrong)


def _event(raw: bytes) -> str:
    try:
        return parse_master_entry(raw).event
    except AuditBroken:
        return ""  # its place is the verifier's verdict


def _allowed(row: ErasureRow | None, position: int, raw: bytes, listed: _Listed) -> ErasureShown | None:
    if row is None:
        return None
    try:
        commitment = detail_commitment(row.salt, hashlib.sha256(row.detail).digest())
        detail = msgspec.json.decode(row.detail, type=Erased)
    except (AuditBroken, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if commitment != parse_master_entry(raw).detail:
        return None
    listed.places |= dict.fromkeys(detail.entries, position)
    listed.messages |= dict.fromkeys(detail.messages, position)
    return ErasureShown(
        position, detail.reference, detail.authority_sha256, len(detail.entries), len(detail.messages)
    )


# --- what is not there: its place, and the erasure that lists it -----------------------------------------------------


def _missing_details(
    tx: ReadTx, log: StoredLog, org: str, listed: _Listed
) -> Iterator[tuple[int, int | None]]:
    # (2)
    for position, raw in log.entries():
        row = tx.get(EntryBodyRow, log.origin, position)
        if (row is None or not _here(tx, row.body)) and _event(raw) != "erasure":
            yield position, listed.places.get(position)


def _missing_contents(
    tx: ReadTx, log: StoredLog, org: str, listed: _Listed
) -> Iterator[tuple[int, int | None]]:
    # (3)
    for position, raw in log.entries():
        try:
            entry = parse_partner_entry(raw)
        except AuditBroken:
            continue  # its place is the verifier's verdict
        if not any(_here(tx, body) for body in _bodies(tx, log.origin, org, entry)):
            yield position, listed.messages.get(entry.message_id)


def _bodies(tx: ReadTx, origin: str, org: str, entry: PartnerEntry) -> list[str]:
    """Where the content of an entry may lie. A number that was withdrawn has its message with the release."""
    partner = origin.removeprefix(partner_origin(org, ""))
    if entry.event == "receipt":
        receipt = tx.get(ReceiptRow, entry.message_id)
        return [receipt.body] if receipt is not None else []
    if entry.direction == "in":
        inbox = tx.get(InboxRow, partner, entry.message_id)
        return [inbox.body] if inbox is not None else []
    queued = tx.select(OutboxRow, {"message_id": entry.message_id})
    released = tx.select(ReleaseRow, {"message_id": entry.message_id})
    return [row.body for row in queued] + [row.body for row in released]


def _here(tx: ReadTx, body: str) -> bool:
    row = tx.get(BodyRow, body)
    return row is not None and tx.get(KeyRow, row.key) is not None

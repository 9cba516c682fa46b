"""What an erasure destroys: every body that holds the subject, inside one unit of work.

A body goes with its key, and a key with all its bodies. Rows stay where a log entry, a lane or a count needs them: they
hold random ids, states and times. What stays of the person is the keyed index of an internal number (ADR 0028).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from gateway.errors import Conflict, NotFound
from gateway.model.case_rows import ErasureRow
from gateway.model.rows import (
    BodyRow,
    EntryBodyRow,
    IdempotencyRow,
    InboxRow,
    KeyRow,
    OutboxRow,
    QuarantineRow,
    ReceiptRow,
    RecordRow,
    ReleaseRow,
    RemovalRow,
    RequestRow,
    Row,
    SubjectRow,
)
from gateway.ports import ReadTx, Tx
from gateway.service.contents import ReceiptBody
from gateway.service.held_back import require_free
from gateway.service.holdings import one_with
from gateway.service.imports import handle_of
from gateway.service.received import received
from gateway.service.sightings import forget
from gateway.service.vault import Vault
from gateway.wire.receipt import read_statement

R = TypeVar("R", bound=Row)

#: Names in one statement, well below what SQLite binds.
_CHUNK = 500

#: Entries looked at together.
PAGE = 4096

#: States in which a partner may still be sent the content: it must arrive, or be cancelled, first.
UNDER_WAY = frozenset(
    {"awaiting-endorsement", "awaiting-approval", "queued", "sequenced", "sealed", "attempted", "refused"}
)


class Doomed(NamedTuple):
    """What holds the subjects of an order, as of this transaction."""

    subjects: frozenset[str]
    keys: frozenset[str]
    records: tuple[RecordRow, ...]
    releases: tuple[ReleaseRow, ...]
    inbox: tuple[InboxRow, ...]
    receipts: frozenset[str]  # ids of those that answer a message of these
    others: int  # subjects besides, whom some of these keys are about too

    @property
    def conversations(self) -> set[str]:
        """The conversations that these messages stand in."""
        return {row.conversation for row in self.releases} | {row.conversation for row in self.inbox}


def doomed(tx: ReadTx, order: ErasureRow) -> Doomed:
    """(1) everybody known to be one with a subject of the order; (2) every key that is about one of them; (3) the
    requests that were answered about them, and what the order names besides; (4) of a record whose newest version
    goes, every version; (5) the receipts of these messages, and whom else the keys are about."""
    # (1)
    subjects = {one for subject in order.subjects for one in one_with(tx, subject)}
    # (2)
    keys = {row.key for row in _those(tx, SubjectRow, "subject", subjects)}
    touched = {row.subject for row in _those(tx, SubjectRow, "key", keys)} | subjects
    handles = {handle_of(subject) for subject in touched}
    releases = tuple(row for row in _those(tx, ReleaseRow, "handle", handles) if row.key in keys)
    # (3)
    inbox = [row for name in order.messages if (row := _received(tx, name)) is not None]
    for asked in tx.select(RequestRow, {"answer": tuple(row.id for row in releases)}) if releases else ():
        row = tx.get(InboxRow, asked.sender, asked.message_id)
        inbox += [row] if row is not None and row not in inbox else []
    keys |= {row.key for row in inbox}
    keys |= {key for name in order.messages for key in _quarantined(tx, name)}
    # (4)
    versions = list(_those(tx, RecordRow, "subject", touched))
    going = {row.handle for row in versions if row.latest and row.key in keys}
    records = tuple(row for row in versions if row.key in keys or row.handle in going)
    keys |= {row.key for row in records}
    # (5)
    sent = _those(tx, OutboxRow, "message_id", {row.message_id for row in releases})
    receipts = ({row.receipt for row in sent} | {row.receipt for row in inbox}) - {""}
    others = {row.subject for row in _those(tx, SubjectRow, "key", keys)} - subjects
    return Doomed(
        frozenset(subjects),
        frozenset(keys),
        records,
        releases,
        tuple(inbox),
        frozenset(receipts),
        len(others),
    )


def require_erasable(tx: ReadTx, found: Doomed) -> None:
    """Raises `Conflict` while a legal hold is on any of it, or a message of it is on its way."""
    require_free(tx, found.subjects, found.conversations)
    waiting = [row.id for row in found.releases if row.state in UNDER_WAY]
    if waiting:
        raise Conflict(
            f"release {waiting[0]} is under way: let it arrive, cancel or skip it first",
            diagnostic={"release": waiting[0], "under_way": len(waiting)},
        )


class Destroyed(NamedTuple):
    """What is gone: bodies by their random ids, messages and receipts by theirs; and receipts that stay because they
    answer other messages too."""

    bodies: frozenset[str]
    messages: frozenset[str]
    kept: int


def destroy_all(tx: Tx, vault: Vault, found: Doomed, *, answers: bool = True) -> Destroyed:
    """Destroy keys, bodies and the index of whom they are about. Part of the caller's unit; the keys of ``receipts``
    are unlocked.

    (1) bodies and keys; (2) record versions, and the fingerprint of any that was deleted for cause, which would
    confirm a guess of its content; (3) receipts of which no message has content any more; (4) every answer kept for
    idempotency, unless ``answers`` is False: any of them may have shown the subject; (5) the keys in memory.
    """
    # (1)
    bodies = _destroy(tx, found.keys)
    # (2)
    for record in found.records:
        tx.delete(RecordRow, {"handle": record.handle, "version": record.version})
    for removed in list(_those(tx, RemovalRow, "handle", {handle_of(one) for one in found.subjects})):
        tx.delete(RemovalRow, {"handle": removed.handle, "fingerprint": removed.fingerprint})
        tx.put(RemovalRow(removed.handle, "", removed.at, removed.because, removed.removed_by))
    # (3)
    gone = {row.message_id for row in found.releases} | {row.message_id for row in found.inbox}
    receipts = [
        row for row in _those(tx, ReceiptRow, "id", found.receipts) if _answers_nothing(tx, vault, row)
    ]
    bodies |= _destroy(tx, {row.key for row in receipts})
    # (4)
    shown = {row.key_id for row in tx.select(IdempotencyRow) if row.body} if answers else set()
    _destroy(tx, shown)
    # (5)
    vault.forget({*found.keys, *shown, *(row.key for row in receipts)})
    kept = len(found.receipts) - len(receipts)
    return Destroyed(frozenset(bodies), frozenset(gone | {row.id for row in receipts}), kept)


def entries_of(tx: ReadTx, origin: str, bodies: Collection[str], start: int) -> list[int]:
    """Places of the entries that these bodies open, among the `PAGE` entries of a log from ``start`` on."""
    page = tx.select(
        EntryBodyRow,
        {"origin": origin},
        at_least=("position", start),
        below=("position", start + PAGE),
        order="position",
    )
    return [row.position for row in page if row.body in bodies]


def bodies_of(tx: ReadTx, keys: Collection[str]) -> set[str]:
    """Ids of the bodies under these keys."""
    return {row.id for row in _those(tx, BodyRow, "key", keys)}


def _destroy(tx: Tx, keys: Collection[str]) -> set[str]:
    bodies = bodies_of(tx, keys)
    for some in _chunks(keys):
        tx.delete(BodyRow, {"key": some})
        tx.delete(SubjectRow, {"key": some})
        tx.delete(KeyRow, {"id": some})
        forget(tx, some, "erased")
    return bodies


def _answers_nothing(tx: ReadTx, vault: Vault, row: ReceiptRow) -> bool:
    """Whether no message of this receipt has content here any more. One already erased is passed over."""
    try:
        statement = read_statement(vault.open(tx, row.body, ReceiptBody).statement)
    except NotFound:
        return False
    for item in statement.items:
        if row.direction == "out":
            inbox = tx.get(InboxRow, row.partner, item.id)
            body = inbox.body if inbox is not None else None
        else:
            sent = tx.select(ReleaseRow, {"message_id": item.id}, limit=1)
            body = sent[0].body if sent else None
        if body is None or tx.get(BodyRow, body) is not None:
            return False
    return True


def _received(tx: ReadTx, name: str) -> InboxRow | None:
    return received(tx, name) if tx.get(QuarantineRow, name) is None else None


def _quarantined(tx: ReadTx, name: str) -> list[str]:
    item = tx.get(QuarantineRow, name)
    body = tx.get(BodyRow, item.body) if item is not None else None
    return [body.key] if body is not None else []


def _those(tx: ReadTx, row: type[R], column: str, values: Collection[str]) -> Iterator[R]:
    for some in _chunks(values):
        yield from tx.select(row, {column: some})


def _chunks(values: Iterable[str]) -> Iterator[tuple[str, ...]]:
    ordered: Sequence[str] = sorted(values)
    for start in range(0, len(ordered), _CHUNK):
        yield tuple(ordered[start : start + _CHUNK])

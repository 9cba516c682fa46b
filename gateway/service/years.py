"""A calendar year for a reviewer: entries of the master log opened and counted, and what rows know beside them.

Nothing is kept of it: every number is counted anew from the log and the rows, each time somebody asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo
from itertools import zip_longest
from zoneinfo import ZoneInfo

import msgspec

from gateway.audit.checkpoint import partner_origin
from gateway.audit.entry import parse_master_entry, parse_partner_entry
from gateway.audit.tally import Key, bounds, counts, tally
from gateway.errors import AuditBroken, NotFound
from gateway.flow.clocks import due
from gateway.model.case_rows import ErasureRow, OralRow
from gateway.model.officer import Officer
from gateway.model.request import Urgency
from gateway.model.rows import (
    BodyRow,
    ChangeRow,
    DirectoryRow,
    EmergencyRow,
    EntryBodyRow,
    EntryRow,
    InformRow,
    KeyRow,
    NoticeRow,
    OutboxRow,
    RecallRow,
    ReleaseRow,
    RequestRow,
)
from gateway.ports import ReadTx
from gateway.service.calls.years import (
    Books,
    Clock,
    Duty,
    Fate,
    OfficerChange,
    OfYear,
    RecallOutcome,
    TallyPage,
    TallyYear,
    Version,
)
from gateway.service.context import Gateway
from gateway.service.ledger import Detail
from gateway.service.operation import Operation, note_read
from gateway.service.vault import keys_of

#: Entries looked at in one call: their keys are unwrapped at once, in some 50 ms.
SCANNED = 1000

#: Kinds of documents of which a year says the versions in force. Officers are told by what changed.
DOCUMENTS = ("policy", "settings", "agreement", "oversight", "epoch")

#: States of the message that carries our recall, as its outcome.
_OUTCOMES = {"delivered": "delivered", "refused": "refused", "withdrawn": "withdrawn"}


class Years:
    """Counts, for reviewers."""

    def __init__(self, gateway: Gateway) -> None:
        self._g = gateway

    def operations(self) -> dict[str, Operation]:
        """Both are a reviewer's; the first opens what entries commit to, which is a read."""
        return {
            "audit/tally": Operation(TallyYear, ("reviewer",), self.tally),
            "audit/books": Operation(OfYear, ("reviewer",), self.books),
        }

    def bounds(self, year: int) -> tuple[datetime, datetime]:
        return bounds(year, ZoneInfo(self._g.config.zone))

    # --- the log ------------------------------------------------------------------------------------------------

    async def tally(self, officer: Officer, params: TallyYear) -> TallyPage:
        """What some entries after a position add up to; no content, no value, no person is among it.

        (1) entries of the year, and where what they commit to lies; (2) opening them is a read, and an entry before
        anything is shown (LED art. 25); (3) each is counted; one whose detail is gone is counted as that.
        """
        gateway = self._g
        since, until = self.bounds(params.year)
        # (1)
        rows, following = await gateway.store.read(lambda tx: self._page(tx, params.after))
        entries = [(row.position, parse_master_entry(row.entry)) for row in rows]
        wanted = [(position, entry) for position, entry in entries if since <= entry.at < until]
        places = [position for position, _ in wanted]
        keys = await gateway.store.read(lambda tx: self._keys(tx, places))
        await gateway.vault.unlock(keys)
        # (2)
        if wanted:
            what = f"year {params.year}, from {places[0]} to {places[-1]}"
            await note_read(gateway, officer, "", what)
        # (3)
        details = await gateway.store.read(lambda tx: self._details(tx, places))
        found: Counter[Key] = Counter()
        for position, entry in wanted:
            found.update(tally(entry, details.get(position)))
        return TallyPage(following, counts(found))

    def _page(self, tx: ReadTx, after: int) -> tuple[list[EntryRow], int]:
        rows = tx.select(
            EntryRow,
            {"origin": self._g.ledger.master},
            at_least=("position", after + 1),
            order="position",
            limit=SCANNED,
        )
        return rows, rows[-1].position if len(rows) == SCANNED else -1

    def _links(self, tx: ReadTx, places: Sequence[int]) -> dict[int, str]:
        where = {"origin": self._g.ledger.master, "position": tuple(places)}
        return {row.position: row.body for row in tx.select(EntryBodyRow, where)} if places else {}

    def _keys(self, tx: ReadTx, places: Sequence[int]) -> list[KeyRow]:
        bodies = tuple(self._links(tx, places).values())
        rows = tx.select(BodyRow, {"id": bodies}) if bodies else []
        return keys_of(tx, [row.key for row in rows]) if rows else []

    def _details(self, tx: ReadTx, places: Sequence[int]) -> dict[int, bytes]:
        """What entries commit to, where it is still there; of an erasure, the list that lies open."""
        found = {}
        for position, body in self._links(tx, places).items():
            try:
                found[position] = self._g.vault.open(tx, body, Detail).detail
            except NotFound:
                continue  # erased, and counted as unopened
        if places:
            for row in tx.select(ErasureRow, {"state": "done", "position": tuple(places)}):
                found[row.position] = row.detail
        return found

    # --- the rows -----------------------------------------------------------------------------------------------

    async def books(self, officer: Officer, params: OfYear) -> Books:
        """What no entry says in the clear and no detail has: clocks, duties undone, versions. No content is opened."""
        since, until = self.bounds(params.year)
        as_of = min(until, self._g.clock.now())

        def read(tx: ReadTx) -> Books:
            return Books(
                since=since,
                until=until,
                as_of=as_of,
                clocks=tuple(self._clocks(tx, since, until, as_of)),
                recalls=_recalls(tx, since, until),
                duties=tuple(_duties(tx, since, until, as_of)),
                versions=tuple(_versions(tx, since, until)),
                officers=tuple(_officers(tx, since, until)),
                rows=_rows(tx, since, until),
            )

        return await self._g.store.read(read)

    def _clocks(self, tx: ReadTx, since: datetime, until: datetime, as_of: datetime) -> Iterator[Clock]:
        zone = ZoneInfo(self._g.config.zone)
        found: dict[tuple[str, str], Counter[str]] = {}
        for row in tx.select(RequestRow):
            if not since <= row.received_at < until:
                continue
            at = answered_at(tx, self._g.org, row)
            found.setdefault((row.sender, row.urgency), Counter())[fate(row, at, as_of, zone)] += 1
        for (partner, urgency), count in sorted(found.items()):
            yield Clock(
                partner,
                urgency,
                sum(count.values()),
                count["in_time"],
                count["late"],
                count["open"],
                count["overdue"],
            )


def answered_at(tx: ReadTx, org: str, row: RequestRow) -> datetime | None:
    """When the log says that the answer left: the time of its entry; None while it has none."""
    release = tx.get(ReleaseRow, row.answer) if row.answer else None
    if release is None:
        return None
    sent = tx.select(OutboxRow, {"message_id": release.message_id}, limit=1)
    if not sent or sent[0].entry < 0 or sent[0].state == "withdrawn":
        return None
    entry = tx.get(EntryRow, partner_origin(org, row.sender), sent[0].entry)
    if entry is None:
        raise AuditBroken("the entry of an answer that left is missing", diagnostic={"rule": "unreadable"})
    return parse_partner_entry(entry.entry).at


def fate(row: RequestRow, at: datetime | None, as_of: datetime, zone: tzinfo) -> Fate:
    """What became of a request's clock by then; ``at`` is when its answer left."""
    by = due(row.received_at, msgspec.convert(row.urgency, Urgency), zone)
    if at is None or at > as_of:
        return "overdue" if by <= as_of else "open"
    return "in_time" if at <= by else "late"


def _recalls(tx: ReadTx, since: datetime, until: datetime) -> tuple[RecallOutcome, ...]:
    found: Counter[tuple[str, str, str, str]] = Counter()
    for row in tx.select(RecallRow):
        if not since <= row.at < until:
            continue
        if row.direction == "in":
            outcome = row.answer or "open"
        else:
            sent = tx.select(OutboxRow, {"message_id": row.recall}, limit=1)
            outcome = _OUTCOMES.get(sent[0].state, "under-way") if sent else "under-way"
        found[row.direction, row.partner, row.action, outcome] += 1
    return tuple(RecallOutcome(*key, count) for key, count in sorted(found.items()))


def _duties(tx: ReadTx, since: datetime, until: datetime, as_of: datetime) -> Iterator[Duty]:
    """Each clock of the house that ran out undone; a notice without a clock is overdue from the first day."""
    emergencies = [row for row in tx.select(EmergencyRow) if since <= row.at < until]
    confirmed = [row for row in emergencies if row.confirm_by is not None and row.confirm_by <= as_of]
    yield Duty("emergency-confirmation", sum(_undone(row.confirmed_at, as_of) for row in confirmed))
    reviewed = [row for row in emergencies if row.review_by <= as_of]
    yield Duty("emergency-review", sum(_undone(row.reviewed_at, as_of) for row in reviewed))
    names = {row.release for row in emergencies}
    informs = [row for row in tx.select(InformRow) if row.release in names]
    yield Duty("originator-informed", sum(_undone(row.informed_at, as_of) for row in informs))
    notices = [row for row in tx.select(NoticeRow, {"duty": "must"}) if since <= row.since < until]
    late = [row for row in notices if row.due is None or row.due <= as_of]
    yield Duty("notice", sum(_undone(row.ended, as_of) for row in late))
    said = [row for row in tx.select(OralRow) if since <= row.recorded_at < until]
    yield Duty("oral-confirmation", sum(_undone(row.confirmed_at, as_of) for row in said))


def _undone(at: datetime | None, as_of: datetime) -> bool:
    return at is None or at > as_of


def _versions(tx: ReadTx, since: datetime, until: datetime) -> Iterator[Version]:
    for kind in DOCUMENTS:
        rows = sorted(tx.select(DirectoryRow, {"kind": kind}), key=lambda row: (row.id, row.version))
        for row, following in zip_longest(rows, rows[1:]):
            ended = following.since if following is not None and following.id == row.id else None
            if row.since < until and (ended is None or ended > since):
                yield Version(kind, row.id, row.version, row.sha256, row.since, ended, row.change)


def _officers(tx: ReadTx, since: datetime, until: datetime) -> Iterator[OfficerChange]:
    rows = sorted(tx.select(DirectoryRow, {"kind": "officer"}), key=lambda row: (row.id, row.version))
    before: Officer | None = None
    for row in rows:
        officer = msgspec.json.decode(row.document, type=Officer)
        earlier, before = (before if before is not None and before.id == officer.id else None), officer
        if since <= row.since < until:
            change = tx.get(ChangeRow, row.change)
            proposer, persons = (change.proposer, len(change.endorsements)) if change is not None else ("", 0)
            yield OfficerChange(
                row.id, row.version, row.since, row.change, _changed(earlier, officer), proposer, persons
            )


def _changed(earlier: Officer | None, officer: Officer) -> tuple[str, ...]:
    if earlier is None:
        return ("added",)
    found = [
        name.replace("_", "-")
        for name in ("roles", "clearance", "need_to_know", "keys")
        if getattr(earlier, name) != getattr(officer, name)
    ]
    if earlier.suspended != officer.suspended:
        found.append("suspended" if officer.suspended else "resumed")
    return tuple(found) or ("other",)


def _rows(tx: ReadTx, since: datetime, until: datetime) -> dict[str, int]:
    """What the rows count where the log counts the same acts: they are written in one commit."""

    def within(at: datetime | None) -> bool:
        return at is not None and since <= at < until

    changes = [row for row in tx.select(ChangeRow, {"state": "applied"}) if within(row.decided_at)]
    return {
        "releases": sum(within(row.created) for row in tx.select(ReleaseRow)),
        "emergencies": sum(within(row.at) for row in tx.select(EmergencyRow)),
        "oral": sum(within(row.recorded_at) for row in tx.select(OralRow)),
        "erasures": sum(within(row.decided_at) for row in tx.select(ErasureRow, {"state": "done"})),
        "changes": len(changes),
    }

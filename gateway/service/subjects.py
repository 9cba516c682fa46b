"""Which subjects are one person: two officers say so, and two say that they are not after all.

Linking can only raise what counts as held, and spreads embargoes; it lifts nothing. Splitting takes that back.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gateway.errors import Conflict, NotFound, RequestInvalid
from gateway.flow.ground import require_recorder, require_second
from gateway.flow.typed import require_text
from gateway.model.case_rows import SubjectActRow
from gateway.model.officer import Officer
from gateway.model.rows import KeyRow, RecordRow, SubjectRow
from gateway.ports import ReadTx, Tx
from gateway.service.calls import Ended, Named, Page
from gateway.service.calls.subjects import Act, ActView, DecideAct, ProposeAct
from gateway.service.contents import ReasonBody
from gateway.service.context import Gateway
from gateway.service.holdings import Holdings, one_with
from gateway.service.looks import look_again
from gateway.service.operation import DESK, RECALLERS, Operation, limit_of, note_read, require_need_to_know
from gateway.service.releases import Releases
from gateway.service.vault import keys_of

PROPOSED, DONE, REJECTED = "proposed", "done", "rejected"


class Subjects:
    """Proposes, confirms and lists acts about pairs of subjects."""

    def __init__(self, gateway: Gateway, releases: Releases) -> None:
        self._g, self._releases, self._holdings = gateway, releases, Holdings(gateway)

    def operations(self) -> dict[str, Operation]:
        """Whoever may recall proposes and rejects; an approver confirms."""
        return {
            "subjects/link": Operation(ProposeAct, RECALLERS, self.link, repeatable=True),
            "subjects/split": Operation(ProposeAct, RECALLERS, self.split, repeatable=True),
            "subjects/confirm": Operation(DecideAct, ("approver",), self.confirm, repeatable=True),
            "subjects/reject": Operation(Ended, RECALLERS, self.reject, repeatable=True),
            "subjects/show": Operation(Named, DESK, self.show),
            "subjects/list": Operation(Page, DESK, self.page),
        }

    async def link(self, officer: Officer, params: ProposeAct) -> ActView:
        """Propose that the subjects of two records are one person. Raises `Conflict` where two officers said so."""
        return await self._propose(officer, params, "link")

    async def split(self, officer: Officer, params: ProposeAct) -> ActView:
        """Propose that they are not after all. Raises `Conflict` where nobody linked these two to each other."""
        return await self._propose(officer, params, "split")

    async def _propose(self, officer: Officer, params: ProposeAct, act: Act) -> ActView:
        gateway, now = self._g, self._g.clock.now()
        require_recorder(officer)
        require_text("reason", params.reason)
        rows = [await self._record(officer, name) for name in (params.record, params.other)]
        first, second = sorted(rows, key=lambda row: row.subject)
        if first.subject == second.subject:
            raise RequestInvalid("both records are of one subject", diagnostic={"field": "other"})
        await gateway.vault.reserve()

        def unit(tx: Tx) -> SubjectActRow:
            _require_new(tx, first.subject, second.subject, act)
            key = gateway.vault.fresh(now)
            body = gateway.vault.seal(key, ReasonBody(params.reason))
            row = SubjectActRow(
                id=gateway.ids.uuid(),
                number=0,
                act=act,
                state=PROPOSED,
                subject=first.subject,
                other=second.subject,
                handle=first.handle,
                other_handle=second.handle,
                key=key.id,
                body=body.id,
                proposer=officer.id,
                person=officer.person,
                proposed_at=now,
            )
            tx.insert(key.row, body, row)
            tx.insert(*(SubjectRow(one.subject, key.id) for one in (first, second)))
            gateway.ledger.record(tx, now, "change", officer.id, row.id, {"step": f"subject-{act}"})
            return row

        return _view(await gateway.store.write(unit), params.reason)

    async def confirm(self, officer: Officer, params: DecideAct) -> ActView:
        """The second person: (1) another than the proposer, an approver, no operator, who needs to know both; (2) of
        the very act proposed, which still makes a difference; (3) holdings are counted accordingly, in that commit."""
        gateway, now = self._g, self._g.clock.now()
        await self._require_known(officer, await self._row(params.id))
        await gateway.vault.reserve()

        def unit(tx: Tx) -> SubjectActRow:
            row = _require(tx, params.id)
            # (1)
            require_second(officer, row.person)
            # (2)
            if row.act != params.act:
                raise Conflict("the proposal is of another act")
            if row.state != PROPOSED:
                raise Conflict(f"the proposal is {row.state} already")
            _require_new(tx, row.subject, row.other, row.act, besides=row.id)
            # (3)
            number = 1 + max((one.number for one in tx.select(SubjectActRow, {"state": DONE})), default=0)
            done = msgspec.structs.replace(row, number=number, state=DONE, decider=officer.id, decided_at=now)
            tx.put(done)
            before = {*one_with(tx, row.subject), *one_with(tx, row.other)}
            self._holdings.regroup(tx, _persons(before, _linked(tx)), now)
            look_again(tx, row.handle)
            look_again(tx, row.other_handle)
            detail = {"step": f"subject-{row.act}-confirm"}
            gateway.ledger.record(tx, now, "change", officer.id, row.id, detail)
            return done

        done = await gateway.store.write(unit)
        gateway.wake()
        return _view(done)

    async def reject(self, officer: Officer, params: Ended) -> ActView:
        """Close a proposal; anybody who might have made it may. Repeatable."""
        gateway, now = self._g, self._g.clock.now()
        require_text("reason", params.reason)
        await self._require_known(officer, await self._row(params.id))
        await gateway.vault.reserve()

        def unit(tx: Tx) -> SubjectActRow:
            row = _require(tx, params.id)
            if row.state == DONE:
                raise Conflict("the proposal is done already")
            if row.state == REJECTED:
                return row
            closed = msgspec.structs.replace(row, state=REJECTED, decider=officer.id, decided_at=now)
            tx.put(closed)
            detail = {"step": f"subject-{row.act}-reject", "reason": params.reason}
            gateway.ledger.record(tx, now, "change", officer.id, row.id, detail, about=row.subject)
            return closed

        return _view(await gateway.store.write(unit))

    async def show(self, officer: Officer, params: Named) -> ActView:
        """One proposal with its reason, within need to know of both records; the read is an entry (LED art. 25)."""
        gateway = self._g
        row = await self._row(params.id)
        await self._require_known(officer, row)
        keys: list[KeyRow] = await gateway.store.read(lambda tx: keys_of(tx, [row.key]))
        await gateway.vault.unlock(keys)
        reason = await gateway.store.read(lambda tx: gateway.vault.open(tx, row.body, ReasonBody).reason)
        await note_read(gateway, officer, row.id, "subject", [row.handle, row.other_handle], why=params.why)
        return _view(row, reason)

    async def page(self, officer: Officer, params: Page) -> list[ActView]:
        """Proposals by id, or those in one state."""
        limit = limit_of(params.limit)
        where: dict[str, object] = {"state": params.state} if params.state else {}

        def read(tx: ReadTx) -> list[SubjectActRow]:
            after = ("id", params.after) if params.after else None
            rows = tx.select(SubjectActRow, where, at_least=after, order="id", limit=limit + 1)
            return [row for row in rows if row.id != params.after][:limit]

        return [_view(row) for row in await self._g.store.read(read)]

    async def _row(self, name: str) -> SubjectActRow:
        return await self._g.store.read(lambda tx: _require(tx, name))

    async def _record(self, officer: Officer, name: str) -> RecordRow:
        row, _ = await self._releases.record(name)
        require_need_to_know(officer, row.kind)
        return row

    async def _require_known(self, officer: Officer, row: SubjectActRow) -> None:
        """Both records' kinds, as far as they are still here, are within the officer's need to know."""
        handles = (row.handle, row.other_handle)
        records = await self._g.store.read(lambda tx: tx.select(RecordRow, {"handle": handles}))
        for record in records:
            require_need_to_know(officer, record.kind)


Pair = tuple[str, str]


def _linked(tx: ReadTx) -> set[Pair]:
    """The pairs of which the newest act in force is a link."""
    newest = {
        (row.subject, row.other): row.act for row in tx.select(SubjectActRow, {"state": DONE}, order="number")
    }
    return {pair for pair, act in newest.items() if act == "link"}


def _persons(subjects: Iterable[str], linked: set[Pair]) -> list[set[str]]:
    """These subjects in sets: two are in one where a chain of links leads from one to the other."""
    persons = {subject: {subject} for subject in subjects}
    for first, second in sorted(linked):
        if first in persons and second in persons and persons[first] is not persons[second]:
            joined = persons[first] | persons[second]
            persons |= dict.fromkeys(joined, joined)
    return list({id(person): person for person in persons.values()}.values())


def _require_new(tx: ReadTx, subject: str, other: str, act: str, besides: str = "") -> None:
    if ((subject, other) in _linked(tx)) == (act == "link"):
        raise Conflict(
            "these two are linked already" if act == "link" else "nobody linked these two to each other"
        )
    waiting = tx.select(SubjectActRow, {"subject": subject, "other": other, "state": PROPOSED})
    if any(row.id != besides for row in waiting):
        raise Conflict("a proposal about these two waits already: confirm or reject it")


def _require(tx: ReadTx, name: str) -> SubjectActRow:
    row = tx.get(SubjectActRow, name)
    if row is None:
        raise NotFound("there is no proposal of this id")
    return row


def _view(row: SubjectActRow, reason: str = "") -> ActView:
    return ActView(
        row.id,
        msgspec.convert(row.act, Act),
        row.state,
        row.handle,
        row.other_handle,
        row.proposer,
        row.proposed_at,
        reason,
        row.decider,
    )

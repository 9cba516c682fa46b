"""A named bulk case: many records to one partner, prepared under one name and reviewed once.

Each record is decided, frozen, counted and rechecked as ever; the name only says what belongs together. One
endorsement covers the list of their statements, and each of them can be verified alone.
"""

from __future__ import annotations

import re
from collections import Counter

from gateway.errors import Conflict, NotFound, RequestInvalid
from gateway.flow.typed import require_text
from gateway.model.officer import Officer
from gateway.model.rows import RecordRow, ReleaseRow
from gateway.ports import ReadTx
from gateway.service import calls
from gateway.service.calls import cases as wanted
from gateway.service.context import Gateway
from gateway.service.drafted import Why
from gateway.service.holdings import Holdings
from gateway.service.operation import DESK, Operation, note_read, require_need_to_know
from gateway.service.releases import Releases

#: Records of one case: what a person can review at once, well within the 4096 statements of one endorsement.
MAX_RECORDS = 500

#: A case is named in logs and lists, so its name is a code, and says nothing of anybody.
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}", re.ASCII)


class Cases:
    """Prepares and shows; endorsing and approving are those of releases."""

    def __init__(self, gateway: Gateway, releases: Releases) -> None:
        self._g, self._releases, self._holdings = gateway, releases, Holdings(gateway)

    def operations(self) -> dict[str, Operation]:
        """What officers may do with them."""
        return {
            "cases/prepare": Operation(wanted.PrepareCase, ("requester",), self.prepare, repeatable=True),
            "cases/show": Operation(calls.Named, DESK, self.show),
        }

    async def prepare(self, officer: Officer, params: wanted.PrepareCase) -> list[calls.DecisionView]:
        """C1 of every record, in the order given and in one conversation; a denial is a value among the others.

        Raises `RequestInvalid` for a name that is no code, no records, too many, or one named twice; `Conflict` for a
        name that is taken; `NotFound` and `RoleMissing` before anything is decided.
        """
        if not NAME.fullmatch(params.case):
            raise RequestInvalid(
                "a case is named by small letters, digits and hyphens, 64 at most",
                diagnostic={"field": "case"},
            )
        if not 1 <= len(params.records) <= MAX_RECORDS:
            raise RequestInvalid("a case holds 1 to 500 records", diagnostic={"field": "records"})
        require_text("justification", params.justification)
        taken = await self._g.store.read(lambda tx: tx.count(ReleaseRow, {"case_name": params.case}))
        if taken:
            raise Conflict("there is a case of this name already")
        handles = [await self._record(officer, name) for name in params.records]
        if len(set(handles)) != len(handles):
            raise RequestInvalid("a record stands in the case twice", diagnostic={"field": "records"})
        why = Why(params.purpose, params.legal_basis, params.justification, case=params.case)
        conversation = self._g.ids.uuid()
        views = []
        for handle in handles:
            drafts = await self._releases.draft(
                officer, handle, [params.partner], why, conversation=conversation
            )
            views.append(drafts[0].view())
        return views

    async def _record(self, officer: Officer, name: str) -> str:
        row, record = await self._releases.record(name)
        require_need_to_know(officer, record.kind)
        return row.handle

    async def show(self, officer: Officer, params: calls.Named) -> wanted.CaseView:
        """What awaits approval under this name; the read is an entry. Raises `NotFound`, also outside need to know."""
        now = self._g.clock.now()

        def read(tx: ReadTx) -> wanted.CaseView:
            rows = tx.select(ReleaseRow, {"case_name": params.id}) if params.id else []
            kinds = {row.kind for row in tx.select(RecordRow, {"handle": tuple(row.handle for row in rows)})}
            if not rows or not all(officer.needs_to_know(kind) for kind in kinds):
                raise NotFound("there is no case of this name")
            waiting = [row for row in rows if row.state == "awaiting-approval"]
            partner, settings = rows[0].partner, self._g.directory.settings
            outlook = self._holdings.outlook(tx, partner, (row.subject for row in waiting), now)
            compilation = settings.compilation
            return wanted.CaseView(
                case=params.id,
                partner=partner,
                requester=rows[0].requester,
                releases=tuple(row.id for row in waiting),
                states=dict(sorted(Counter(row.state for row in rows).items())),
                persons=outlook.total,
                compilation=compilation.records if compilation else 0,
                compilation_level=f"{compilation.level.policy} {compilation.level.level}"
                if compilation
                else "",
                within=outlook.within,
                quota=outlook.quota,
                days=outlook.days,
            )

        view = await self._g.store.read(read)
        await note_read(self._g, officer, "", "case", sorted(view.releases), why=params.why)
        return view

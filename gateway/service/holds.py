"""Legal holds: what a reviewer or a court still needs is not destroyed, whoever orders it."""

from __future__ import annotations

import msgspec

from gateway.errors import NotFound, RequestInvalid, RoleMissing
from gateway.flow.change import digest
from gateway.model.case_rows import HoldRow
from gateway.model.officer import Officer, Role
from gateway.model.rows import RecordRow, ReleaseRow
from gateway.ports import ReadTx, Tx
from gateway.service.calls import Page
from gateway.service.calls.erasures import HoldView, LiftHold, PlaceHold
from gateway.service.context import Gateway
from gateway.service.imports import HANDLE, handle_of
from gateway.service.operation import DESK, Operation, limit_of

#: Who oversees, and who answers for security: neither prepares releases as such, and neither operates.
KEEPERS: tuple[Role, ...] = ("reviewer", "security-officer")

#: Bytes of an authority's document: a scanned letter.
MAX_AUTHORITY = 1024 * 1024


class Holds:
    """Places, lifts and lists holds."""

    def __init__(self, gateway: Gateway) -> None:
        self._g = gateway

    def operations(self) -> dict[str, Operation]:
        """One person places a hold, two lift it."""
        return {
            "holds/add": Operation(PlaceHold, KEEPERS, self.add, repeatable=True),
            "holds/lift": Operation(LiftHold, KEEPERS, self.lift, repeatable=True),
            "holds/list": Operation(Page, (*DESK, "security-officer"), self.page),
        }

    async def add(self, officer: Officer, params: PlaceHold) -> HoldView:
        """Place a hold, at once. Of an entity id that is not known yet, it waits for the record."""
        gateway, now = self._g, self._g.clock.now()
        require_keeper(officer)
        require_authority(params.authority)
        if bool(params.record) == bool(params.conversation):
            raise RequestInvalid(
                "a hold names either a record or a conversation", diagnostic={"field": "record"}
            )
        index = (await gateway.signer.index([params.record.encode()]))[0] if params.record else ""
        await gateway.vault.reserve()

        def unit(tx: Tx) -> HoldRow:
            subject = subject_named(tx, params.record, index) if params.record else ""
            row = HoldRow(
                gateway.ids.uuid(), subject, params.conversation, digest(params.authority), now, officer.id
            )
            tx.insert(row)
            detail = {"step": "hold", "authority": params.authority}
            gateway.ledger.record(tx, now, "hold", officer.id, row.id, detail, about=subject)
            return row

        return _view(await gateway.store.write(unit))

    async def lift(self, officer: Officer, params: LiftHold) -> HoldView:
        """(1) The first person names the authority; (2) another one, who shows the same document, ends the hold."""
        gateway, now = self._g, self._g.clock.now()
        require_keeper(officer)
        require_authority(params.authority)
        shown = digest(params.authority)
        await gateway.vault.reserve()

        def unit(tx: Tx) -> HoldRow:
            row = tx.get(HoldRow, params.id)
            if row is None:
                raise NotFound("there is no hold of this id")
            if row.lifted_at is not None:
                return row
            # (1)
            if row.lift_sha256 != shown or row.person == officer.person:
                moved = msgspec.structs.replace(
                    row, lift_sha256=shown, lifter=officer.id, person=officer.person
                )
                step = "hold-lift"
            # (2)
            else:
                moved = msgspec.structs.replace(row, lifted_by=officer.id, lifted_at=now)
                step = "hold-lifted"
            tx.put(moved)
            detail = {"step": step, "authority": params.authority}
            gateway.ledger.record(tx, now, "hold", officer.id, row.id, detail, about=row.subject)
            return moved

        return _view(await gateway.store.write(unit))

    async def page(self, officer: Officer, params: Page) -> list[HoldView]:
        """Holds by id."""
        limit = limit_of(params.limit)

        def read(tx: ReadTx) -> list[HoldRow]:
            after = ("id", params.after) if params.after else None
            rows = tx.select(HoldRow, at_least=after, order="id", limit=limit + 1)
            return [row for row in rows if row.id != params.after][:limit]

        return [_view(row) for row in await self._g.store.read(read)]


def require_keeper(officer: Officer) -> None:
    """Who says what stays or goes operates nothing. Raises `RoleMissing`."""
    if "operator" in officer.roles:
        raise RoleMissing("an operator decides nothing about what stays or goes")


def require_authority(document: bytes) -> None:
    """Raises `RequestInvalid` without the authority's document, or with one beyond `MAX_AUTHORITY`."""
    if not 1 <= len(document) <= MAX_AUTHORITY:
        raise RequestInvalid(
            f"authority: a document of 1 to {MAX_AUTHORITY} bytes", diagnostic={"field": "authority"}
        )


def subject_named(tx: ReadTx, name: str, index: str) -> str:
    """The subject of a record's handle, or of an entity id, whose blind index this is. Raises `NotFound` for a handle
    of which nothing is here."""
    subjects = [row.subject for row in tx.select(RecordRow, {"handle": name}, limit=1)]
    subjects += [row.subject for row in tx.select(ReleaseRow, {"handle": name}, limit=1)]
    if subjects:
        return subjects[0]
    if HANDLE.fullmatch(name):
        raise NotFound("there is no record of this handle")
    return index


def _view(row: HoldRow) -> HoldView:
    return HoldView(
        id=row.id,
        record=handle_of(row.subject) if row.subject else "",
        conversation=row.conversation,
        authority_sha256=row.authority_sha256,
        placed_by=row.placed_by,
        placed_at=row.placed_at,
        lift_proposed_by=row.lifter,
        lifted_by=row.lifted_by,
        lifted_at=row.lifted_at,
    )

"""Erasure: two persons carry out an authority's order, by destroying the keys of all that holds the subject.

What was sent keeps its log entry and its proof, and loses its content (Directive (EU) 2016/680 art. 5 and 16). The
entry's detail lies open, so that a verifier without any key can tell what was lawfully erased from what is missing.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from functools import partial

import msgspec
import structlog

from gateway.errors import Conflict, NotFound, RequestInvalid, RoleMissing, StoreUnavailable
from gateway.flow.change import canonical, digest
from gateway.model.case_rows import ErasedRow, ErasureRow
from gateway.model.officer import Officer
from gateway.model.rows import KeyRow, MetaRow, QuarantineRow, ReceiptRow
from gateway.model.time import rfc3339
from gateway.ports import ReadTx, Tx
from gateway.service.calls import Ended, Named, Page
from gateway.service.calls.erasures import DecideErasure, ErasureView, ProposeErasure
from gateway.service.context import Gateway
from gateway.service.doomed import (
    PAGE,
    Destroyed,
    Doomed,
    bodies_of,
    destroy_all,
    doomed,
    entries_of,
    require_erasable,
)
from gateway.service.holds import KEEPERS, require_authority, require_keeper, subject_named
from gateway.service.imports import handle_of
from gateway.service.operation import DESK, Operation, limit_of
from gateway.service.received import SEPARATOR, received
from gateway.service.vault import keys_of

log = structlog.get_logger()

PROPOSED, DONE, REJECTED = "proposed", "done", "rejected"

#: Records and messages that one order names, at most: it must be possible to read.
MAX_NAMED = 100

#: Stands in the store while what was deleted may still be in its log file.
UNSETTLED = "unsettled"


class Erased(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The open detail of an erasure's entry: nothing in it is about a person."""

    v: int
    erasure: str
    reference: str
    authority_sha256: str
    proposer: str  # officer ids of the two persons
    decider: str
    entries: tuple[int, ...]  # of the master log, whose details are gone
    messages: tuple[str, ...]  # ids of messages and receipts, whose content is gone
    bodies: tuple[str, ...]
    others: int = 0  # subjects besides, whom some of these bodies were about too
    kept: int = 0  # receipts that answer other messages too


class Erasures:
    """Proposes, carries out and lists erasures."""

    def __init__(self, gateway: Gateway) -> None:
        self._g = gateway

    def operations(self) -> dict[str, Operation]:
        """Who oversees, or answers for security, proposes and confirms: two persons."""
        return {
            "erasures/propose": Operation(ProposeErasure, KEEPERS, self.propose, repeatable=True),
            "erasures/confirm": Operation(DecideErasure, KEEPERS, self.confirm, repeatable=True),
            "erasures/reject": Operation(Ended, KEEPERS, self.reject, repeatable=True),
            "erasures/show": Operation(Named, (*DESK, "security-officer"), self.show),
            "erasures/list": Operation(Page, (*DESK, "security-officer"), self.page),
        }

    async def propose(self, officer: Officer, params: ProposeErasure) -> ErasureView:
        """The first person: which records, which messages besides, on whose order. Nothing is destroyed yet.

        Raises `NotFound` for what is not here, `Conflict` while a legal hold is on it or a message is on its way.
        """
        gateway, now = self._g, self._g.clock.now()
        require_keeper(officer)
        require_authority(params.authority)
        if not 1 <= len(params.records) + len(params.messages) <= MAX_NAMED:
            raise RequestInvalid(
                f"an order names 1 to {MAX_NAMED} records and messages", diagnostic={"field": "records"}
            )
        indices = await gateway.signer.index([name.encode() for name in params.records])
        await gateway.vault.reserve()

        def unit(tx: Tx) -> ErasureView:
            named = zip(params.records, indices, strict=True)
            subjects = tuple(sorted({subject_named(tx, name, index) for name, index in named}))
            row = ErasureRow(
                id=gateway.ids.uuid(),
                state=PROPOSED,
                subjects=subjects,
                handles=tuple(handle_of(subject) for subject in subjects),
                messages=tuple(sorted({_message_named(tx, name) for name in params.messages})),
                reference=params.reference,
                authority_sha256=digest(params.authority),
                proposer=officer.id,
                person=officer.person,
                proposed_at=now,
            )
            found = doomed(tx, row)
            require_erasable(tx, found)
            tx.insert(row)
            detail = {"step": "erasure", "authority": row.authority_sha256, "reference": row.reference}
            gateway.ledger.record(tx, now, "change", officer.id, row.id, detail)
            return _view(tx, row)

        return await gateway.store.write(unit)

    async def confirm(self, officer: Officer, params: DecideErasure) -> ErasureView:
        """The second person. Repeatable: what is done is done once.

        (1) what is about the subjects now, and which entries it opens: found ahead, page by page; (2) in one commit:
        another person than the first, the very order proposed, no hold, nothing on its way; (3) keys, bodies and what
        derives from them are destroyed; (4) the entry says what is gone, on whose order; (5) the store's own log file
        is emptied, so that nothing deleted is in any file of ours.
        """
        gateway, now = self._g, self._g.clock.now()
        require_keeper(officer)
        # (1)
        places, seen = await self._ahead(params.id)
        await gateway.vault.reserve()

        def unit(tx: Tx) -> ErasureView:
            order = _require(tx, params.id)
            # (2)
            if officer.person == order.person:
                raise RoleMissing("the first person was you: another one confirms")
            if order.authority_sha256 != params.authority_sha256:
                raise Conflict("the order is another one than was shown")
            if order.state == DONE:
                return _view(tx, order)
            if order.state != PROPOSED:
                raise Conflict(f"the order is {order.state} already")
            found = doomed(tx, order)
            require_erasable(tx, found)
            done = self._carry_out(tx, order, found, officer, now, places, seen)
            return _view(tx, done)

        view = await gateway.store.write(unit)
        # (5)
        await self.settle()
        return view

    async def _ahead(self, name: str) -> tuple[list[int], int]:
        """Entries of the master log that the bodies of an order open, below the size that comes with them: a long log
        is not walked inside a commit. The receipts that may have to go are unlocked."""
        gateway, origin = self._g, self._g.ledger.master

        def look(tx: ReadTx) -> tuple[set[str], list[KeyRow], int]:
            found = doomed(tx, _require(tx, name))
            receipts = tx.select(ReceiptRow, {"id": tuple(sorted(found.receipts))}) if found.receipts else []
            keys = keys_of(tx, [row.key for row in receipts])
            return bodies_of(tx, found.keys), keys, gateway.ledger.size(tx, origin)

        bodies, keys, size = await gateway.store.read(look)
        await gateway.vault.unlock(keys)
        places: list[int] = []
        for start in range(0, size, PAGE):
            places += await gateway.store.read(partial(entries_of, origin=origin, bodies=bodies, start=start))
        return places, size

    def _carry_out(
        self,
        tx: Tx,
        order: ErasureRow,
        found: Doomed,
        officer: Officer,
        now: datetime,
        places: list[int],
        seen: int,
    ) -> ErasureRow:
        gateway, origin = self._g, self._g.ledger.master
        # (3)
        gone = destroy_all(tx, gateway.vault, found)
        # (4)
        later = [
            place
            for start in range(seen, gateway.ledger.size(tx, origin), PAGE)
            for place in entries_of(tx, origin, gone.bodies, start)
        ]
        subjects = tuple(sorted(found.subjects))
        order = msgspec.structs.replace(
            order, subjects=subjects, handles=tuple(sorted({handle_of(one) for one in subjects}))
        )
        return declare(gateway, tx, order, gone, {*places, *later}, officer.id, now, others=found.others)

    async def settle(self) -> None:
        """Empty the store's own log file when something was erased since. A reader beside us puts it off."""
        store = self._g.store
        if await store.read(lambda tx: tx.get(MetaRow, UNSETTLED)) is None:
            return
        try:
            store.settle()
        except StoreUnavailable:
            log.warning("erasure.unsettled")
            return
        await store.write(lambda tx: tx.delete(MetaRow, {"name": UNSETTLED}))

    async def reject(self, officer: Officer, params: Ended) -> ErasureView:
        """Close an order that was not carried out. Repeatable."""
        gateway, now = self._g, self._g.clock.now()
        require_keeper(officer)
        await gateway.vault.reserve()

        def unit(tx: Tx) -> ErasureView:
            row = _require(tx, params.id)
            if row.state == DONE:
                raise Conflict("the order is carried out already")
            if row.state == PROPOSED:
                row = msgspec.structs.replace(row, state=REJECTED, decider=officer.id, decided_at=now)
                tx.put(row)
                detail = {"step": "erasure-reject", "reason": params.reason}
                for subject in row.subjects[:1] or ("",):
                    gateway.ledger.record(tx, now, "change", officer.id, row.id, detail, about=subject)
            return _view(tx, row)

        return await gateway.store.write(unit)

    async def show(self, officer: Officer, params: Named) -> ErasureView:
        """One order. Raises `NotFound`."""
        return await self._g.store.read(lambda tx: _view(tx, _require(tx, params.id)))

    async def page(self, officer: Officer, params: Page) -> list[ErasureView]:
        """Orders by id, or those in one state."""
        limit = limit_of(params.limit)
        where: dict[str, object] = {"state": params.state} if params.state else {}

        def read(tx: ReadTx) -> list[ErasureView]:
            after = ("id", params.after) if params.after else None
            rows = tx.select(ErasureRow, where, at_least=after, order="id", limit=limit + 1)
            return [_view(tx, row) for row in rows if row.id != params.after][:limit]

        return await self._g.store.read(read)


def declare(
    gateway: Gateway,
    tx: Tx,
    order: ErasureRow,
    gone: Destroyed,
    places: Collection[int],
    decider: str,
    now: datetime,
    *,
    others: int = 0,
) -> ErasureRow:
    """Write down what an order destroyed: its entry with the open list, and where each body went."""
    detail = canonical(
        Erased(
            v=1,
            erasure=order.id,
            reference=order.reference,
            authority_sha256=order.authority_sha256,
            proposer=order.proposer,
            decider=decider,
            entries=tuple(sorted(places)),
            messages=tuple(sorted(gone.messages)),
            bodies=tuple(sorted(gone.bodies)),
            others=others,
            kept=gone.kept,
        )
    )
    position, salt = gateway.ledger.declare(tx, now, decider, order.id, detail)
    done = msgspec.structs.replace(
        order, state=DONE, salt=salt, detail=detail, position=position, decider=decider, decided_at=now
    )
    tx.insert(*(ErasedRow(body, order.id) for body in sorted(gone.bodies)))
    tx.put(done, MetaRow(UNSETTLED, rfc3339(now)))
    return done


def _message_named(tx: ReadTx, name: str) -> str:
    """One spelling of a message of a partner, or of an item of quarantine. Raises `NotFound`."""
    if tx.get(QuarantineRow, name) is not None:
        return name
    row = received(tx, name)
    if row is None:
        raise NotFound("there is no message of a partner, and no item of quarantine, of this id")
    return f"{row.sender}{SEPARATOR}{row.message_id}"


def _require(tx: ReadTx, name: str) -> ErasureRow:
    row = tx.get(ErasureRow, name)
    if row is None:
        raise NotFound("there is no order of this id")
    return row


def _view(tx: ReadTx, row: ErasureRow) -> ErasureView:
    bodies, others, kept = 0, 0, 0
    if row.state == DONE:
        erased = msgspec.json.decode(row.detail, type=Erased)
        bodies, others, kept = len(erased.bodies), erased.others, erased.kept
    elif row.state == PROPOSED:
        found = doomed(tx, row)
        bodies, others = len(bodies_of(tx, found.keys)), found.others
    return ErasureView(
        id=row.id,
        state=row.state,
        records=row.handles,
        messages=row.messages,
        reference=row.reference,
        authority_sha256=row.authority_sha256,
        proposed_by=row.proposer,
        proposed_at=row.proposed_at,
        bodies=bodies,
        others=others,
        kept=kept,
        decided_by=row.decider,
        decided_at=row.decided_at,
        entry=row.position,
    )

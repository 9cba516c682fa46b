"""Grounds at the desk: recorded by one officer, in force once another has confirmed them, withdrawn by one at once."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from gateway.errors import Conflict, NotFound
from gateway.flow.change import canonical, digest
from gateway.flow.ground import recipients_of, require_recorder, require_second, require_sound
from gateway.flow.typed import require_text
from gateway.model.case_rows import GroundRow, GroundUseRow
from gateway.model.ground import (
    Authorisation,
    Consent,
    Given,
    Ground,
    GroundDocument,
    GroundKind,
    GroundName,
)
from gateway.model.officer import Officer
from gateway.model.rows import ReleaseRow, SubjectRow
from gateway.model.time import rfc3339
from gateway.policy.context import Context, Derogation
from gateway.ports import ReadTx, Tx
from gateway.service.calls import Named
from gateway.service.calls.grounds import (
    ConfirmGround,
    GroundItem,
    GroundsPage,
    GroundState,
    GroundView,
    RecordGround,
    WithdrawGround,
)
from gateway.service.contents import DocumentBody
from gateway.service.context import Gateway
from gateway.service.documents import opened
from gateway.service.looks import look_again
from gateway.service.operation import DESK, RECALLERS, Operation, limit_of, note_read, require_need_to_know
from gateway.service.sightings import inherit
from gateway.wire.strict import b64url

if TYPE_CHECKING:
    from gateway.service.releases import Releases

#: States of a ground. Nothing leads out of ``withdrawn``: who was asked again is recorded again.
RECORDED, IN_FORCE, WITHDRAWN = "recorded", "in-force", "withdrawn"


class InForce(msgspec.Struct, frozen=True):
    """What holds for one subject, toward one partner and for one purpose, as the rules ask about it.

    References and justifications stay in the bodies: each was there when two officers confirmed it, and the ground's
    id stands in its place.
    """

    consents: tuple[Consent, ...] = ()
    authorisation: str = ""
    derogation: Derogation | None = None
    names: tuple[GroundName, ...] = ()


def in_force(tx: ReadTx, subject: str, partner: str, purpose: str, now: datetime) -> InForce:
    """The grounds in force as of this transaction, those of the subject itself alone: what is known of one person
    under another index lifts nothing here. Of authorisations and derogations the newest counts."""
    today = now.date().isoformat()
    rows = [
        row
        for row in tx.select(GroundRow, {"subject": subject, "state": IN_FORCE}, order="id")
        if row.until >= today
        and partner in row.recipients
        and (row.kind != "consent" or purpose in row.purposes)
    ]
    if not rows:
        return InForce()
    by_age = sorted(rows, key=lambda row: (row.recorded_at, row.id))
    newest = {row.kind: row for row in by_age}
    authorised, derogated = newest.get("authorisation"), newest.get("derogation")
    used = [row for row in rows if row.kind == "consent" or row is newest[row.kind]]
    return InForce(
        consents=tuple(_consent(row) for row in rows if row.kind == "consent"),
        authorisation=authorised.id if authorised else "",
        derogation=Derogation(derogated.at, partner, derogated.id, derogated.data) if derogated else None,
        names=tuple(
            GroundName(row.id, msgspec.convert(row.kind, GroundKind), row.sha256, row.originator)
            for row in used
        ),
    )


def _consent(row: GroundRow) -> Consent:
    given = msgspec.convert(row.given, Given)
    return Consent(row.originator, row.recipients, row.purposes, row.data, row.until, given, row.id, row.at)


def not_withdrawn(tx: ReadTx, release: str, now: datetime) -> tuple[Consent, ...]:
    """The consents that a release named, less those withdrawn, as if none had come to its last day: what left in time
    left rightly, and nobody need be told that the day is over."""
    names = tuple(use.ground for use in tx.select(GroundUseRow, {"release": release}))
    rows = tx.select(GroundRow, {"id": names, "kind": "consent", "state": IN_FORCE}) if names else []
    today = now.date().isoformat()
    return tuple(msgspec.structs.replace(_consent(row), until=max(row.until, today)) for row in rows)


def taken_back(tx: ReadTx, release: str, held: Context) -> frozenset[GroundKind]:
    """Kinds of the authorisations and derogations that a release named and that were withdrawn. One that is in force in
    its place excuses what left, a derogation for what it is about; a last day that is over takes nothing back."""
    names = tuple(use.ground for use in tx.select(GroundUseRow, {"release": release}))
    rows = tx.select(GroundRow, {"id": names, "state": WITHDRAWN}) if names else []
    excused = {"authorisation"} if held.judicial_authorisation else set()
    now_about = {*held.derogation.data} if held.derogation is not None else set()
    return frozenset(
        msgspec.convert(row.kind, GroundKind)
        for row in rows
        if row.kind not in excused and not (row.kind == "derogation" and {*row.data} <= now_about)
    )


class Grounds:
    """What officers do with grounds."""

    def __init__(self, gateway: Gateway, releases: Releases) -> None:
        self._g, self._releases = gateway, releases

    def operations(self) -> dict[str, Operation]:
        """Whoever may recall may record and withdraw; an approver confirms."""
        return {
            "grounds/record": Operation(RecordGround, RECALLERS, self.record, repeatable=True),
            "grounds/confirm": Operation(ConfirmGround, ("approver",), self.confirm, repeatable=True),
            "grounds/withdraw": Operation(WithdrawGround, RECALLERS, self.withdraw, repeatable=True),
            "grounds/show": Operation(Named, DESK, self.show),
            "grounds/list": Operation(GroundsPage, DESK, self.page),
        }

    async def record(self, officer: Officer, params: RecordGround) -> GroundView:
        """Keep a ground that an officer was told of: of no effect yet.

        (1) the officer may, and needs to know the record; (2) the ground says what it must; (3) its document is
        frozen, under a key of its own that goes with the subject; (4) row, body and entry are one commit.
        """
        gateway, now = self._g, self._g.clock.now()
        # (1)
        require_recorder(officer)
        record, content = await self._releases.record(params.record)
        require_need_to_know(officer, content.kind)
        # (2)
        ground = params.ground
        require_sound(ground, gateway.kinds[content.kind], ours=gateway.org, now=now)
        # (3)
        document = GroundDocument(
            v=1,
            id=gateway.ids.uuid(),
            record=record.handle,
            record_kind=content.kind,
            ground=ground,
            recorded_by=officer.id,
            recorded_at=rfc3339(now),
            nonce=b64url(gateway.ids.blind()),
        )
        raw = canonical(document)
        await gateway.vault.reserve()
        consent = ground if isinstance(ground, Consent) else None

        # (4)
        def unit(tx: Tx) -> GroundRow:
            key = gateway.vault.fresh(now)
            body = gateway.vault.seal(key, DocumentBody(raw))
            row = GroundRow(
                id=document.id,
                kind=_kind(ground),
                state=RECORDED,
                subject=record.subject,
                handle=record.handle,
                originator=consent.originator if consent else "",
                recipients=tuple(sorted(recipients_of(ground))),
                purposes=tuple(sorted(consent.purposes)) if consent else (),
                data=_patterns(ground),
                given=consent.given if consent else "",
                at=now if isinstance(ground, Authorisation) else ground.at,
                until=ground.until,
                sha256=digest(raw),
                key=key.id,
                body=body.id,
                recorder=officer.id,
                person=officer.person,
                recorded_at=now,
            )
            tx.insert(key.row, body, SubjectRow(record.subject, key.id), row)
            inherit(gateway, tx, now, "ground", row.id, key.id, record.key)
            detail = {"step": "ground-record", "document": raw}
            gateway.ledger.record(tx, now, "change", officer.id, row.id, detail, about=record.subject)
            return row

        return GroundView(_item(await gateway.store.write(unit)), raw)

    async def confirm(self, officer: Officer, params: ConfirmGround) -> GroundState:
        """The second person: from this commit on the ground is in force.

        (1) another person than the recorder, an approver, no operator, who needs to know the record; (2) for exactly
        the document recorded, whose last day is not over; (3) state and entry are one commit.
        """
        gateway, now = self._g, self._g.clock.now()
        await gateway.vault.reserve()
        await self._opened(params.id, officer)

        def unit(tx: Tx) -> GroundState:
            row = _require(tx, params.id)
            # (1)
            require_second(officer, row.person)
            # (2)
            if params.sha256 != row.sha256:
                raise Conflict("the digest is of another document than the one recorded")
            if row.state != RECORDED:
                raise Conflict(f"the ground is {row.state} already")
            if row.until < now.date().isoformat():
                raise Conflict("the last day of this ground is over")
            # (3)
            done = msgspec.structs.replace(row, state=IN_FORCE, confirmer=officer.id, confirmed_at=now)
            tx.put(done)
            look_again(tx, row.handle)
            detail = {"step": "ground-confirm", "sha256": row.sha256}
            gateway.ledger.record(tx, now, "change", officer.id, row.id, detail, about=row.subject)
            return _state(tx, done)

        return await gateway.store.write(unit)

    async def withdraw(self, officer: Officer, params: WithdrawGround) -> GroundState:
        """One person's word, at once: nothing that names the ground leaves any more. Repeatable.

        What has left is counted in the answer, and marked: it changed after it was shared.
        """
        gateway, now = self._g, self._g.clock.now()
        require_text("reason", params.reason)
        await gateway.vault.reserve()

        def unit(tx: Tx) -> GroundState:
            row = _require(tx, params.id)
            if row.state == WITHDRAWN:
                return _state(tx, row)
            done = msgspec.structs.replace(row, state=WITHDRAWN, withdrawer=officer.id, withdrawn_at=now)
            tx.put(done)
            look_again(tx, row.handle)
            detail = {"step": "ground-withdraw", "reason": params.reason}
            gateway.ledger.record(tx, now, "change", officer.id, row.id, detail, about=row.subject)
            return _state(tx, done)

        answer = await gateway.store.write(unit)
        gateway.wake()
        return answer

    async def show(self, officer: Officer, params: Named) -> GroundView:
        """A ground in full, within need to know; the read is an entry (LED art. 25)."""
        row, raw = await self._opened(params.id, officer)
        await note_read(self._g, officer, row.id, "ground", why=params.why)
        return GroundView(_item(row), raw)

    async def page(self, officer: Officer, params: GroundsPage) -> list[GroundItem]:
        """Grounds by id: organisations, days and states."""
        limit = limit_of(params.limit)
        asked = {"state": params.state, "kind": params.kind}
        where: dict[str, object] = {name: value for name, value in asked.items() if value}

        def read(tx: ReadTx) -> list[GroundRow]:
            after = ("id", params.after) if params.after else None
            rows = tx.select(GroundRow, where, at_least=after, order="id", limit=limit + 1)
            return [row for row in rows if row.id != params.after][:limit]

        return [_item(row) for row in await self._g.store.read(read)]

    async def _opened(self, name: str, officer: Officer) -> tuple[GroundRow, bytes]:
        return await opened(self._g, officer, lambda tx: _require(tx, name))


def _require(tx: ReadTx, ground: str) -> GroundRow:
    row = tx.get(GroundRow, ground)
    if row is None:
        raise NotFound("there is no ground of this id")
    return row


def _kind(ground: Ground) -> GroundKind:
    if isinstance(ground, Consent):
        return "consent"
    return "authorisation" if isinstance(ground, Authorisation) else "derogation"


def _patterns(ground: Ground) -> tuple[str, ...]:
    if isinstance(ground, Authorisation):
        return ()
    return tuple(sorted(ground.items if isinstance(ground, Consent) else ground.data))


def _state(tx: ReadTx, row: GroundRow) -> GroundState:
    named = [use.release for use in tx.select(GroundUseRow, {"ground": row.id})]
    releases = tx.select(ReleaseRow, {"id": tuple(named)}) if named else []
    return GroundState(row.id, row.state, dict(Counter(release.state for release in releases)))


def _item(row: GroundRow) -> GroundItem:
    return GroundItem(
        id=row.id,
        kind=row.kind,
        state=row.state,
        record=row.handle,
        originator=row.originator,
        recipients=row.recipients,
        purposes=row.purposes,
        until=row.until,
        recorded_by=row.recorder,
        recorded_at=row.recorded_at,
        confirmed_by=row.confirmer,
        withdrawn_by=row.withdrawer,
    )

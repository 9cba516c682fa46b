"""Oral records: what was said to a partner counts from the moment that an officer writes it down."""

from __future__ import annotations

import msgspec

from gateway.errors import Conflict, NotFound, RequestInvalid
from gateway.flow.change import canonical, digest
from gateway.flow.ground import require_recorder, require_second
from gateway.flow.oral import Judged, judged, late, require_told
from gateway.flow.outbound import house
from gateway.flow.replay import considered, outcome
from gateway.flow.typed import require_text
from gateway.model.case_rows import OralRow, StrikeRow
from gateway.model.officer import Officer
from gateway.model.oral import OralDocument, Said
from gateway.model.record import CanonicalRecord
from gateway.model.rows import RecordRow, SubjectRow
from gateway.model.time import rfc3339
from gateway.ports import ReadTx, Tx
from gateway.service.calls import Named
from gateway.service.calls.oral import (
    ConfirmOral,
    ConfirmStrike,
    OralItem,
    OralPage,
    OralView,
    ProposeStrike,
    RecordOral,
    Strike,
    StrikeView,
)
from gateway.service.contents import Decided, DocumentBody, ReasonBody
from gateway.service.context import Gateway
from gateway.service.documents import opened
from gateway.service.drafted import Why
from gateway.service.holdings import Holdings
from gateway.service.operation import DESK, RECALLERS, Operation, limit_of, note_read, require_need_to_know
from gateway.service.releases import Releases
from gateway.service.sightings import inherit
from gateway.wire.strict import b64url


class Oral:
    """Records, confirms and lists what was said."""

    def __init__(self, gateway: Gateway, releases: Releases) -> None:
        self._g, self._releases, self._holdings = gateway, releases, Holdings(gateway)

    def operations(self) -> dict[str, Operation]:
        """Whoever may ask for releases records what was said, or that it was not; an approver confirms either."""
        return {
            "oral/record": Operation(RecordOral, RECALLERS, self.record, repeatable=True),
            "oral/confirm": Operation(ConfirmOral, ("approver",), self.confirm, repeatable=True),
            "strikes/propose": Operation(ProposeStrike, RECALLERS, self.strike, repeatable=True),
            "strikes/confirm": Operation(ConfirmStrike, ("approver",), self.confirm_strike, repeatable=True),
            "oral/show": Operation(Named, DESK, self.show),
            "oral/list": Operation(OralPage, DESK, self.page),
        }

    async def record(self, officer: Officer, params: RecordOral) -> OralView:
        """Write down what was said: whatever the policy says of it, it is recorded.

        (1) the officer may, and needs to know the record; who spoke is one of ours; (2) it says what it must; (3) the
        policy decides as if the same fields were asked for now: what it would have kept back is a breach, for review;
        (4) it counts as held, and row, body and entries are in that commit.
        """
        gateway, now = self._g, self._g.clock.now()
        # (1)
        require_recorder(officer)
        row, record = await self._releases.record(params.record)
        require_need_to_know(officer, record.kind)
        said = msgspec.structs.replace(params.said, speaker=params.said.speaker or officer.id)
        if said.speaker not in gateway.directory.officers:
            raise RequestInvalid("speaker: there is no officer of this id", diagnostic={"field": "speaker"})
        # (2)
        require_told(said, record, gateway.kinds[record.kind], ours=gateway.org, now=now)
        await gateway.vault.reserve()

        def unit(tx: Tx) -> OralView:
            # (3)
            found = self._judge(tx, officer, row, record, said)
            is_late = late(said.at, now, gateway.directory.settings.notice_hours)
            document = OralDocument(
                v=1,
                id=gateway.ids.uuid(),
                record=row.handle,
                record_kind=record.kind,
                said=said,
                effect=found.effect,
                outside=found.outside,
                reasons=found.reasons,
                late=is_late,
                recorded_by=officer.id,
                recorded_at=rfc3339(now),
                nonce=b64url(gateway.ids.blind()),
            )
            # (4)
            raw = canonical(document)
            key = gateway.vault.fresh(now)
            body = gateway.vault.seal(key, DocumentBody(raw))
            kept = OralRow(
                id=document.id,
                partner=said.partner,
                subject=row.subject,
                handle=row.handle,
                at=said.at,
                breach=bool(found.outside),
                late=is_late,
                sha256=digest(raw),
                key=key.id,
                body=body.id,
                speaker=said.speaker,
                recorder=officer.id,
                person=officer.person,
                recorded_at=now,
            )
            tx.insert(key.row, body, SubjectRow(row.subject, key.id), kept)
            inherit(gateway, tx, now, "oral", kept.id, key.id, row.key)
            members = {pointer.split("/")[1] for pointer in said.fields}
            self._holdings.reserve(
                tx, said.partner, row.subject, kept.id, said.at, members=members, origin="oral"
            )
            gateway.ledger.record(tx, now, "oral", officer.id, kept.id, raw, about=row.subject)
            return OralView(_item(kept), raw)

        view = await gateway.store.write(unit)
        gateway.wake()  # what waits may be too much now
        return view

    def _judge(self, tx: Tx, officer: Officer, row: RecordRow, record: CanonicalRecord, said: Said) -> Judged:
        """The decision as of now, kept as any other is. Toward somebody who is no partner there is none."""
        gateway, now = self._g, self._g.clock.now()
        if said.partner not in gateway.directory.partners:
            return Judged("DENY", said.fields, (house("partner.unknown"),))
        why = Why(said.purpose, said.legal_basis, said.justification)
        speaker = gateway.directory.officer(said.speaker)
        policy = gateway.directory.policy
        ctx = self._releases.context(tx, record, row.subject, said.partner, why, (speaker,), now)
        decision = outcome(policy, ctx)
        kept = Decided(said.partner, decision, considered(ctx, policy, row.version), kind=record.kind)
        gateway.ledger.record(tx, now, "decision", officer.id, row.handle, kept, about=row.subject)
        return judged(said.fields, decision)

    async def confirm(self, officer: Officer, params: ConfirmOral) -> OralItem:
        """The second person within the house: another than the recorder, an approver, no operator, for exactly the
        document recorded. It counted already; this says that somebody else has seen it."""
        gateway, now = self._g, self._g.clock.now()
        await self._opened(params.id, officer)
        await gateway.vault.reserve()

        def unit(tx: Tx) -> OralItem:
            row = _require(tx, params.id)
            require_second(officer, row.person)
            if params.sha256 != row.sha256:
                raise Conflict("the digest is of another document than the one recorded")
            if row.confirmed_at is not None:
                raise Conflict("the oral record is confirmed already")
            if _strike(tx, row.id) == "struck":
                raise Conflict("the oral record is struck")
            done = msgspec.structs.replace(row, confirmer=officer.id, confirmed_at=now)
            tx.put(done)
            detail = {"step": "confirm", "sha256": row.sha256}
            gateway.ledger.record(tx, now, "oral", officer.id, row.id, detail, about=row.subject)
            return _item(done, _strike(tx, done.id))

        return await gateway.store.write(unit)

    async def strike(self, officer: Officer, params: ProposeStrike) -> OralItem:
        """The first person's word that an oral record was made by mistake: of no effect yet. A proposal takes the place
        of one that nobody confirmed. Raises `Conflict` for a record that is struck already."""
        gateway, now = self._g, self._g.clock.now()
        require_recorder(officer)
        require_text("reason", params.reason)
        await self._opened(params.id, officer)
        await gateway.vault.reserve()

        def unit(tx: Tx) -> OralItem:
            row = _require(tx, params.id)
            if _strike(tx, row.id) == "struck":
                raise Conflict("the oral record is struck already")
            body = gateway.vault.seal(row.key, ReasonBody(params.reason))
            tx.insert(body)
            tx.put(StrikeRow(row.id, body.id, officer.id, officer.person, now))
            detail = {"step": "strike", "reason": params.reason}
            gateway.ledger.record(tx, now, "oral", officer.id, row.id, detail, about=row.subject)
            return _item(row, "proposed")

        return await gateway.store.write(unit)

    async def confirm_strike(self, officer: Officer, params: ConfirmStrike) -> OralItem:
        """The second person: from this commit on the oral record counts no longer.

        (1) another person than who proposed it, an approver, no operator, who needs to know the record; (2) for exactly
        the reason that was shown; (3) what it had reserved is freed, and row and entry are in that commit. The record
        stays, and so does every entry about it: what was written down is deleted by nobody.
        """
        gateway, now = self._g, self._g.clock.now()
        await self._opened(params.id, officer)
        await gateway.vault.reserve()

        def unit(tx: Tx) -> OralItem:
            row = _require(tx, params.id)
            strike = tx.get(StrikeRow, row.id)
            if strike is None:
                raise NotFound("nobody proposed to strike this oral record")
            # (1)
            require_second(officer, strike.person)
            # (2)
            if strike.confirmed_at is not None:
                raise Conflict("the oral record is struck already")
            if params.sha256 != digest(gateway.vault.open(tx, strike.body, ReasonBody).reason.encode()):
                raise Conflict("the digest is of another reason than the one proposed")
            # (3)
            self._holdings.free(tx, row.id)
            tx.put(msgspec.structs.replace(strike, confirmer=officer.id, confirmed_at=now))
            detail = {"step": "struck", "sha256": row.sha256}
            gateway.ledger.record(tx, now, "oral", officer.id, row.id, detail, about=row.subject)
            return _item(row, "struck")

        return await gateway.store.write(unit)

    async def show(self, officer: Officer, params: Named) -> OralView:
        """An oral record in full, within need to know; the read is an entry (LED art. 25)."""
        row, raw = await self._opened(params.id, officer)

        def read(tx: ReadTx) -> StrikeView | None:
            found = tx.get(StrikeRow, row.id)
            if found is None:
                return None
            reason = self._g.vault.open(tx, found.body, ReasonBody).reason
            return StrikeView(reason, found.proposer, found.proposed_at, found.confirmer, found.confirmed_at)

        strike = await self._g.store.read(read)
        await note_read(self._g, officer, row.id, "oral", why=params.why)
        state = await self._g.store.read(lambda tx: _strike(tx, row.id))
        return OralView(_item(row, state), raw, strike)

    async def page(self, officer: Officer, params: OralPage) -> list[OralItem]:
        """Oral records by id."""
        limit = limit_of(params.limit)
        where: dict[str, object] = {"breach": True} if params.breach else {}
        if params.unconfirmed:
            where["confirmed_at"] = None

        def read(tx: ReadTx) -> list[OralItem]:
            after = ("id", params.after) if params.after else None
            rows = tx.select(OralRow, where, at_least=after, order="id", limit=limit + 1)
            found = [row for row in rows if row.id != params.after][:limit]
            return [_item(row, _strike(tx, row.id)) for row in found]

        return await self._g.store.read(read)

    async def _opened(self, name: str, officer: Officer) -> tuple[OralRow, bytes]:
        return await opened(self._g, officer, lambda tx: _require(tx, name))


def _require(tx: ReadTx, name: str) -> OralRow:
    row = tx.get(OralRow, name)
    if row is None:
        raise NotFound("there is no oral record of this id")
    return row


def _strike(tx: ReadTx, oral: str) -> Strike:
    found = tx.get(StrikeRow, oral)
    if found is None:
        return ""
    return "proposed" if found.confirmed_at is None else "struck"


def _item(row: OralRow, strike: Strike = "") -> OralItem:
    return OralItem(
        id=row.id,
        record=row.handle,
        partner=row.partner,
        at=row.at,
        recorded_at=row.recorded_at,
        recorded_by=row.recorder,
        speaker=row.speaker,
        breach=row.breach,
        late=row.late,
        confirmed_by=row.confirmer,
        strike=strike,
    )

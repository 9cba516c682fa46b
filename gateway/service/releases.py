"""Releases from the desk's side: prepare, endorse, approve, reject (C1 to C3)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from gateway.audit.entry import HouseEvent
from gateway.errors import Conflict, NotFound, RoleMissing
from gateway.flow.lifecycle import step
from gateway.flow.lifts import idle_lifts
from gateway.flow.outbound import (
    Draft,
    Go,
    Prepared,
    Refused,
    Void,
    four_eyes,
    house,
    prepare,
    valid_until,
)
from gateway.flow.recall import carries_content
from gateway.flow.replay import considered
from gateway.model.case_rows import GroundUseRow
from gateway.model.decision import Decision, DecisionDocument, Hint, Reason
from gateway.model.message import type_of
from gateway.model.officer import Officer
from gateway.model.record import CanonicalRecord
from gateway.model.rows import (
    KeyRow,
    LaneRow,
    OutboxRow,
    RecordRow,
    ReleaseRow,
    RequestRow,
    SubjectRow,
)
from gateway.model.signing import Pseudonym
from gateway.policy.context import Context
from gateway.policy.hints import hints
from gateway.ports import ReadTx, Tx
from gateway.service.asked import Asked
from gateway.service.bulk import require_whole_cases
from gateway.service.contents import Decided, RecordBody, ReleaseBody
from gateway.service.context import Gateway
from gateway.service.drafted import Drafted, Shown, Why
from gateway.service.grounds import in_force
from gateway.service.holdings import Holdings, Origin
from gateway.service.invoked import PRIORITY, invoke, overdue, stopped
from gateway.service.mentions import Mentions, embargoed, mentioned, mentions, versions
from gateway.service.questions import answered, looked_up, take
from gateway.service.sightings import inherit
from gateway.service.signatures import endorsed, keep
from gateway.service.slots import enqueue
from gateway.service.texts import texts_of
from gateway.service.vault import keys_of, no_record
from gateway.wire.ct_json import preview_of
from gateway.wire.endorse import verify_endorsement

FORMAT = "ct-exchange-json/1.0"


class Releases:
    """The desk's half of the way out."""

    def __init__(self, gateway: Gateway) -> None:
        self._g, self._holdings, self._mentions = gateway, Holdings(gateway), Mentions(gateway)
        self._asked = Asked()

    # --- reading ------------------------------------------------------------------------------------------------

    async def record(self, name: str) -> tuple[RecordRow, CanonicalRecord]:
        """The latest version of a record, by its handle or its entity id. Raises `NotFound`."""
        subject = (await self._g.signer.index([name.encode()]))[0]

        def find(tx: ReadTx) -> tuple[RecordRow, list[KeyRow], str]:
            rows = tx.select(RecordRow, {"handle": name, "latest": True}) or tx.select(
                RecordRow, {"subject": subject, "latest": True}
            )
            if not rows:
                raise NotFound(no_record(tx, name, subject))
            return rows[0], keys_of(tx, [rows[0].key]), rows[0].body

        row, keys, body = await self._g.store.read(find)
        await self._g.vault.unlock(keys)
        raw = await self._g.store.read(lambda tx: self._g.vault.open(tx, body, RecordBody).record)
        return row, msgspec.json.decode(raw, type=CanonicalRecord)

    async def show(self, releases: Sequence[str]) -> list[Shown]:
        """The frozen content of these releases, in order. Raises `NotFound`."""

        def rows(tx: ReadTx) -> tuple[list[ReleaseRow], list[KeyRow]]:
            found = {row.id: row for row in tx.select(ReleaseRow, {"id": tuple(releases)})}
            if set(found) != set(releases):
                raise NotFound("there is no release of this id")
            if not all(carries_content(row.type) for row in found.values()):
                raise Conflict("a coded message has no content to show, and nobody to approve it: trace it")
            ordered = [found[release] for release in releases]
            return ordered, keys_of(tx, [row.key for row in ordered])

        ordered, keys = await self._g.store.read(rows)
        await self._g.vault.unlock(keys)
        return await self._g.store.read(
            lambda tx: [Shown(row, self._g.vault.open(tx, row.body, ReleaseBody)) for row in ordered]
        )

    # --- facts --------------------------------------------------------------------------------------------------

    def context(
        self,
        tx: ReadTx,
        record: CanonicalRecord,
        subject: str,
        partner: str,
        why: Why,
        officers: tuple[Officer, ...],
        now: datetime,
        *,
        release: str = "",
        others: Sequence[str] = (),
    ) -> Context:
        """Everything the rules may ask about, as the store and directory have it inside this transaction.

        ``others`` are the persons that the record mentions: an embargo on one of them is one on the record.
        """
        directory, config = self._g.directory, self._g.config
        grounds = in_force(tx, subject, partner, why.purpose, now)
        return Context(
            record=record,
            subject=record,
            kind=self._g.kinds[record.kind],
            partner=directory.partner(partner),
            agreement=directory.agreements.get(partner),
            our_org=self._g.org,
            our_nation=config.organisation.nation,
            purpose=why.purpose,
            legal_basis=why.legal_basis,
            justification=why.justification,
            language=config.language,
            format=FORMAT,
            request=why.request,
            lifts=why.lifts,
            held=self._holdings.held(tx, partner, subject, now, release=release),
            embargoed=embargoed(tx, (subject, *others)),
            officers=officers,
            levels=self._g.levels,
            settings=directory.settings,
            now=now,
            judicial_authorisation=grounds.authorisation,
            derogation=grounds.derogation,
            consents=grounds.consents,
            grounds=grounds.names,
            emergency=why.emergency,
            emergencies_overdue=overdue(tx, now, but=release) if why.emergency else 0,
        )

    # --- C1 -----------------------------------------------------------------------------------------------------

    async def draft(
        self,
        officer: Officer,
        name: str,
        partners: Sequence[str],
        why: Why,
        *,
        conversation: str = "",
        keep: bool = True,
    ) -> list[Drafted]:
        """Prepare a release toward each partner; with ``keep``, commit C1 (or the denial) for each.

        Without ``keep`` it is a preview: the same decisions, nothing stored but the fact that somebody looked.
        """
        row, record = await self.record(name)
        await self._mentions.unlock(row, officer)
        answers = []
        for partner in partners:
            self._g.directory.partner(partner)
            answers.append(await self._draft_one(officer, row, record, partner, why, conversation, keep))
        return answers

    async def _draft_one(
        self,
        officer: Officer,
        row: RecordRow,
        record: CanonicalRecord,
        partner: str,
        why: Why,
        conversation: str,
        keep: bool,
    ) -> Drafted:
        gateway, now = self._g, self._g.clock.now()
        agreement = gateway.directory.agreements.get(partner)
        series = agreement.terms.series if agreement else ""
        (ref,) = await gateway.signer.pseudonyms([Pseudonym(partner, series, record.kind, record.entity_id)])
        await gateway.vault.reserve()
        draft = Draft(
            release=gateway.ids.uuid(),
            message_id=gateway.ids.uuid(),
            conversation=conversation or gateway.ids.uuid(),
            mode=gateway.config.mode,
            nonce=gateway.ids.blind(),
            type="emergency" if why.emergency else type_of(record.kind),
        )
        oral = why.emergency.oral_approver if why.emergency else ""
        officers = (officer, gateway.directory.officer(oral)) if oral else (officer,)

        def unit(tx: Tx) -> Drafted:
            gateway.vault.require(tx, row.body, row.key)
            others = mentioned(tx, row.key, row.subject)
            bare = msgspec.structs.replace(why, lifts=(), emergency=None)
            told_of = self._mentions.told(
                tx, others, lambda of, subject: self.context(tx, of, subject, partner, bare, officers, now)
            )
            ctx = self.context(tx, record, row.subject, partner, why, officers, now, others=others)
            ctx = self._mentions.said(ctx, told_of)
            timed = looked_up(tx, gateway.config.answers, draft, partner, why.request, now)
            prepared = prepare(ctx, gateway.directory.policy, timed, ref=ref)
            if keep and why.request is not None and answered(tx, tx.get(RequestRow, partner, why.request.id)):
                prepared = Refused(Decision("DENY", (house("reply.once"),), (), ()))
            kept = considered(ctx, gateway.directory.policy, row.version)
            decided = Decided(partner, prepared.decision, kept, kind=record.kind)
            told = hints(ctx, prepared.decision, told_of.values)
            texts = texts_of(ctx, prepared.decision, told if keep else None)
            idle = idle_lifts(ctx, gateway.directory.policy, prepared.decision)
            answer = Drafted(partner, prepared.decision, texts=texts, idle=idle)
            if isinstance(prepared, Refused) or not keep:
                event: HouseEvent = "decision" if keep else "read"
                gateway.ledger.record(tx, now, event, officer.id, row.handle, decided, about=row.subject)
                shown = b"" if isinstance(prepared, Refused) else preview_of(prepared.payload)
                return msgspec.structs.replace(answer, payload=shown)
            release = self._store(tx, now, officer, row, partner, why, timed, prepared, others, told)
            decided = msgspec.structs.replace(decided, document=prepared.document)
            gateway.ledger.record(tx, now, "release", officer.id, release.id, decided, about=row.subject)
            return msgspec.structs.replace(
                answer,
                release=release.id,
                statement=prepared.statement,
                payload=prepared.payload,
                message_id=draft.message_id,
                conversation=draft.conversation,
            )

        return await gateway.store.write(unit)

    def _store(
        self,
        tx: Tx,
        now: datetime,
        officer: Officer,
        record: RecordRow,
        partner: str,
        why: Why,
        draft: Draft,
        prepared: Prepared,
        others: tuple[str, ...],
        told: tuple[Hint, ...],
    ) -> ReleaseRow:
        key = self._g.vault.fresh(now)
        body = self._g.vault.seal(
            key,
            ReleaseBody(
                payload=prepared.payload,
                document=prepared.document,
                statement=prepared.statement,
                record=prepared.record,
                decision=prepared.decision,
                salt=self._g.ids.blind(),
                purpose=why.purpose,
                legal_basis=why.legal_basis,
                justification=why.justification,
                language=self._g.config.language,
                lifts=why.lifts,
                request=why.request,
                fingerprint=record.fingerprint,
                emergency=why.emergency,
                mentioned=versions(tx, others),
                hints=told,
            ),
        )
        release = ReleaseRow(
            id=draft.release,
            state="awaiting-endorsement",
            partner=partner,
            conversation=draft.conversation,
            type="answer" if why.request else draft.type,
            mode=draft.mode,
            message_id=draft.message_id,
            handle=record.handle,
            subject=record.subject,
            key=key.id,
            body=body.id,
            requester=officer.id,
            person=officer.person,
            created=now,
            not_after=valid_until(draft.at or now, self._g.directory.agreement(partner).terms),
            priority=PRIORITY if why.emergency else 0,
            case_name=why.case,
        )
        tx.insert(key.row, body, *(SubjectRow(one, key.id) for one in (record.subject, *others)), release)
        inherit(self._g, tx, now, "release", release.id, key.id, record.key)
        document = msgspec.json.decode(prepared.document, type=DecisionDocument)
        tx.insert(*(GroundUseRow(ground.id, release.id) for ground in document.grounds))
        return release

    # --- C2, C3 -------------------------------------------------------------------------------------------------

    async def endorse(self, officer: Officer, jws: str, releases: Sequence[str]) -> dict[str, str]:
        """C2: the requester's signature over the statements of these releases. An emergency that was approved orally
        is queued by it: C2 and C3 in one. Returns the state of each."""
        await self._endorse(officer, jws, releases, "request")
        self._g.wake()
        rows = await self._g.store.read(lambda tx: tx.select(ReleaseRow, {"id": tuple(releases)}))
        return {row.id: row.state for row in rows}

    async def approve(
        self, officer: Officer, jws: str, releases: Sequence[str]
    ) -> dict[str, tuple[Reason, ...]]:
        """C3: the approver's signature; recheck, quota and outbox in the same commit.

        Returns the reasons of each release that is voided instead; the others are queued.
        """
        outcome = await self._endorse(officer, jws, releases, "approve")
        self._g.wake()
        return outcome

    async def _endorse(
        self, officer: Officer, jws: str, releases: Sequence[str], act: Literal["request", "approve"]
    ) -> dict[str, tuple[Reason, ...]]:
        gateway, now = self._g, self._g.clock.now()
        shown = await self.show(releases)
        officers = gateway.directory.officers
        for one in shown:
            found = verify_endorsement(jws, officers, act=act, statement=one.body.statement, now=now)
            if found.officer != officer.id:
                raise RoleMissing("the endorsement is another officer's than the caller's")
        await gateway.vault.reserve(4 * len(shown) + 4)

        def unit(tx: Tx) -> dict[str, tuple[Reason, ...]]:
            require_whole_cases(tx, act, releases)
            voided: dict[str, tuple[Reason, ...]] = {}
            for one in shown:
                row = tx.get(ReleaseRow, one.row.id)
                if row is None:
                    raise NotFound("there is no release of this id")
                move = self._requested if act == "request" else self._approved
                verdict = move(tx, now, officer, row, one.body, jws)
                if isinstance(verdict, Void):
                    voided[row.id] = verdict.reasons
            return voided

        return await gateway.store.write(unit)

    def _requested(
        self, tx: Tx, now: datetime, officer: Officer, row: ReleaseRow, body: ReleaseBody, jws: str
    ) -> Go | Void:
        if row.requester != officer.id:
            raise RoleMissing("only the requester named in the statement may endorse it as requester")
        if body.oral_approver:
            oral = self._g.directory.officer(body.oral_approver)
            self._require_four_eyes(officer, oral, body)
            return self._queue(tx, now, row, body, (officer, oral), "request", jws)
        state = step(row.state, "endorse")
        keep(self._g, tx, now, row, "request", officer, jws)
        tx.put(msgspec.structs.replace(row, state=state))
        self._g.ledger.record(tx, now, "endorsement", officer.id, row.id, {"act": "request"})
        return Go()

    def _approved(
        self, tx: Tx, now: datetime, officer: Officer, row: ReleaseRow, body: ReleaseBody, jws: str
    ) -> Go | Void:
        """One release's C3: requester and approver are two persons with the right roles, or the approval is refused."""
        self._require_four_eyes(self._g.directory.officer(row.requester), officer, body)
        signed = endorsed(self._g, tx, row, body, now)
        if isinstance(signed, Void):
            step(row.state, "approve")
            self.void(tx, row, signed, officer.id, now)
            return signed
        return self._queue(tx, now, row, body, (*signed, officer), "approve", jws)

    def _require_four_eyes(self, requester: Officer, approver: Officer, body: ReleaseBody) -> None:
        document = msgspec.json.decode(body.document, type=DecisionDocument)
        if isinstance(four_eyes(requester, approver, document), Void):
            wanted = "the roles to approve, and to approve lifts" if body.lifts else "the role to approve"
            raise RoleMissing(f"requester and approver must be two persons, the approver with {wanted}")

    def _queue(
        self,
        tx: Tx,
        now: datetime,
        row: ReleaseRow,
        body: ReleaseBody,
        officers: tuple[Officer, ...],
        act: Literal["request", "approve"],
        jws: str,
    ) -> Go | Void:
        """The place in the lane, by the signature of the officer who has ``act`` to do.

        (1) the lifecycle lets it; (2) the same rules over the state inside this transaction still permit, both officers
        among its facts, and no other answer to the same request is on its way: this one waits for its slot; (3) quota
        is reserved, the message takes its place, the entry is written: one commit. An emergency is kept as such, and
        its entry says who approved orally and what was waived.
        """
        # (1)
        actor = officers[0] if act == "request" else officers[-1]
        following = step(row.state, "enqueue" if act == "request" else "approve")
        # (2)
        verdict = self.recheck(tx, row, body, officers, now)
        if isinstance(verdict, Void):
            self.void(tx, row, verdict, actor.id, now)
            return verdict
        taken = take(tx, self._g.config.answers, body.request, row.id, now) if body.request else None
        if isinstance(taken, Void):
            self.void(tx, row, taken, actor.id, now)
            return taken
        # (3)
        detail: dict[str, object] = {"act": act, "lifts": len(body.lifts)}
        if body.emergency is not None:
            policy, ctx = self._g.directory.policy, self._context_of(tx, row, body, officers, now)
            kept = invoke(tx, row.id, ctx, policy, body.decision)
            detail["emergency"] = {"oral_approver": kept.oral_approver, "waived": list(kept.waived)}
        keep(self._g, tx, now, row, act, actor, jws)
        origin: Origin = "release" if body.emergency is None else "emergency"
        self._holdings.reserve(
            tx, row.partner, row.subject, row.id, now, members=body.decision.members, origin=origin
        )
        for other in mentioned(tx, row.key, row.subject):
            self._holdings.reserve(tx, row.partner, other, row.id, now, members=(), origin=origin)
        enqueue(tx, row, following, taken)
        self._g.ledger.record(tx, now, "endorsement", actor.id, row.id, detail)
        return verdict

    def recheck(
        self, tx: ReadTx, row: ReleaseRow, body: ReleaseBody, officers: tuple[Officer, ...], now: datetime
    ) -> Go | Void:
        """Ask the rules again, over the state inside this transaction.

        What was decided on must still be what we know: a re-import that changed content or labels voids the release,
        whatever the change, since nobody has approved it.
        """
        partner = self._g.directory.partners.get(row.partner)
        if partner is None or partner.stopped:
            return Void((house("partner.stopped"),))
        latest = tx.select(RecordRow, {"handle": row.handle, "latest": True}, limit=1)
        if not latest or latest[0].fingerprint != body.fingerprint:
            return Void((house("record.unchanged"),))
        if (void := stopped(tx, row.id, now)) is not None:
            return void
        ctx = self._context_of(tx, row, body, officers, now)
        if mentions(ctx.record) and versions(tx, mentioned(tx, row.key, row.subject)) != body.mentioned:
            return Void((house("record.unchanged"),))
        prepared = Prepared(body.payload, body.decision, body.document, body.statement, body.record)
        return self._asked.answer(row.id, prepared, ctx, self._g.directory.policy)

    def _context_of(
        self, tx: ReadTx, row: ReleaseRow, body: ReleaseBody, officers: tuple[Officer, ...], now: datetime
    ) -> Context:
        why = Why(
            body.purpose, body.legal_basis, body.justification, body.lifts, body.request, body.emergency
        )
        record = msgspec.json.decode(body.record, type=CanonicalRecord)
        others = mentioned(tx, row.key, row.subject) if mentions(record) else ()
        return self.context(
            tx, record, row.subject, row.partner, why, officers, now, release=row.id, others=others
        )

    def void(self, tx: Tx, row: ReleaseRow, verdict: Void, actor: str, now: datetime) -> None:
        """Void a release: its quota is freed, its reason kept; nothing of it leaves."""
        self._holdings.free(tx, row.id)
        state = step(row.state, "void")
        tx.put(msgspec.structs.replace(row, state=state, reason=verdict.rule, ended=now))
        self._g.ledger.record(tx, now, "void", actor, row.id, msgspec.to_builtins(verdict.reasons))

    async def end(self, officer: Officer, release: str, event: str, reason: str) -> None:
        """Reject a release that waits for approval, or cancel one that nobody has sent."""
        gateway, now = self._g, self._g.clock.now()
        await gateway.vault.reserve()

        def unit(tx: Tx) -> None:
            row = tx.get(ReleaseRow, release)
            if row is None:
                raise NotFound("there is no release of this id")
            state = step(row.state, "reject" if event == "reject" else "cancel")
            outbox = tx.select(OutboxRow, {"message_id": row.message_id})
            for queued in outbox:
                if queued.state != "queued":
                    raise Conflict("the message is on its way already: recall it")
                lane = tx.get(LaneRow, row.partner, row.conversation)
                tx.put(msgspec.structs.replace(queued, state=state))
                if lane is not None:
                    tx.put(msgspec.structs.replace(lane, queued=lane.queued - 1))
            self._holdings.free(tx, row.id)
            tx.put(msgspec.structs.replace(row, state=state, reason=event, ended=now))
            said = {"event": event, "reason": reason}
            gateway.ledger.record(tx, now, "void", officer.id, row.id, said, about=row.subject)

        await gateway.store.write(unit)

"""Recalls from the desk's side, and the marks that a recall leaves on messages, ours and a partner's.

A recall goes in a conversation of its own, with a lane that is served before all others: what holds up the lane of the
message recalled does not hold up the recall, and no number has to be kept free for it.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway.errors import Conflict, LocalFault, NotFound, PartnerFault, RequestInvalid, RoleMissing
from gateway.flow.coded import PreparedCoded, recheck_coded
from gateway.flow.lifecycle import step
from gateway.flow.outbound import Draft, Refused, Void, house
from gateway.flow.recall import Sent, prepare_recall
from gateway.model.decision import RecallDocument
from gateway.model.message import Recall, RecallAction
from gateway.model.officer import Officer
from gateway.model.rows import (
    EndorsementRow,
    KeyRow,
    LaneRow,
    OutboxRow,
    RecallRow,
    ReleaseRow,
    SubjectRow,
)
from gateway.model.signing import Announced, RecallEvidence
from gateway.ports import ReadTx, Tx
from gateway.service import calls
from gateway.service.contents import CodedBody, EndorsementBody
from gateway.service.context import Gateway
from gateway.service.received import recall_of, received
from gateway.service.slots import entry_bytes
from gateway.service.vault import keys_of
from gateway.wire.endorse import verify_endorsement

#: Of a recall's lane; every other lane has 0.
PRIORITY = 1

#: States of our own recall in which another of the same message makes sense: nothing of it will reach the partner.
ENDED = frozenset({"voided", "cancelled", "withdrawn"})


#: States of a message whose number is allotted, and that was never attempted.
NUMBERED = frozenset({"sequenced", "sealed"})


class Recalls:
    """The way out of a recall, up to its lane; and the second looks at it."""

    def __init__(self, gateway: Gateway) -> None:
        self._g = gateway

    # --- C1 -----------------------------------------------------------------------------------------------------

    async def prepare(self, officer: Officer, params: calls.RecallMessage) -> calls.DecisionView:
        """Decide, freeze and keep the recall of one message, by its id; or keep the denial. The answer
        of a message that is stopped before it leaves is a permit without a release: no recall is sent.

        Raises `NotFound` for a message that is none of ours, `RequestInvalid` for a replacement without its action.
        """
        gateway, now = self._g, self._g.clock.now()
        try:
            action = msgspec.convert(params.action, RecallAction)
        except msgspec.ValidationError:
            raise RequestInvalid(
                "there is no recall of this action", diagnostic={"field": "action"}
            ) from None
        if (action == "replaced") != bool(params.replaced_by):
            raise RequestInvalid(
                "a message in its place is named exactly with the action replaced",
                diagnostic={"field": "replaced_by"},
            )
        await gateway.vault.reserve()
        draft = Draft(
            release=gateway.ids.uuid(),
            message_id=gateway.ids.uuid(),
            conversation=gateway.ids.uuid(),
            mode=gateway.config.mode,
            nonce=gateway.ids.blind(),
        )

        def unit(tx: Tx) -> calls.DecisionView:
            release = self._release(tx, params.message)
            message, entry = self._sent(tx, release)
            if message.state in NUMBERED:
                return self._stop(tx, now, officer, release, action)
            replacement, place = None, -1
            if params.replaced_by:
                replacement, place = self._sent(tx, self._release(tx, params.replaced_by))
            prepared = prepare_recall(
                message,
                Recall(message.message_id, action, replacement.message_id if replacement else ""),
                replacement,
                draft,
                ours=gateway.org,
                requester=officer.id,
                partner=gateway.directory.partner(release.partner),
                agreement=gateway.directory.agreements.get(release.partner),
                language=gateway.config.language,
                justification=params.justification,
                repeated=_under_way(tx, release.partner, message.message_id),
                now=now,
            )
            if isinstance(prepared, Refused):
                detail = {"recalls": message.message_id, "decision": msgspec.to_builtins(prepared.decision)}
                gateway.ledger.record(tx, now, "decision", officer.id, release.id, detail)
                return _view(release.partner, draft, prepared)
            entries = (entry,) if replacement is None else (entry, place)
            self._store(tx, now, officer, release, draft, prepared, entries)
            gateway.ledger.record(tx, now, "release", officer.id, draft.release, prepared.document)
            return _view(release.partner, draft, prepared)

        return await gateway.store.write(unit)

    def _stop(
        self, tx: Tx, now: datetime, officer: Officer, release: ReleaseRow, action: RecallAction
    ) -> calls.DecisionView:
        """A message that has its number and was never attempted: marked, it is withdrawn at the next look at it, and
        a `void` carries the number. There is nothing at the partner that a recall could be about."""
        tx.put(RecallRow("out", release.partner, release.message_id, action, "", "", release.id, now))
        gateway, reason = self._g, msgspec.structs.replace(house("recall.stopped"), effect="PERMIT")
        gateway.ledger.record(tx, now, "void", officer.id, release.id, msgspec.to_builtins((reason,)))
        return calls.DecisionView(release.partner, "PERMIT", (reason,), ())

    def _release(self, tx: ReadTx, name: str) -> ReleaseRow:
        row = next(iter(tx.select(ReleaseRow, {"message_id": name}, limit=1)), None)
        if row is None:
            raise NotFound("there is no message of ours of this id")
        return row

    def _sent(self, tx: ReadTx, release: ReleaseRow) -> tuple[Sent, int]:
        """A message as our books have it, and its place in our log about the partner (-1: none yet)."""
        queued = next(iter(tx.select(OutboxRow, {"message_id": release.message_id}, limit=1)), None)
        state = queued.state if queued is not None else release.state
        entry = queued.entry if queued is not None else -1
        return Sent(release.message_id, release.id, release.partner, release.type, state), entry

    def _store(
        self,
        tx: Tx,
        now: datetime,
        officer: Officer,
        recalled: ReleaseRow,
        draft: Draft,
        prepared: PreparedCoded,
        entries: tuple[int, ...],
    ) -> None:
        key = self._g.vault.fresh(now)
        content = CodedBody(
            prepared.payload, prepared.document, prepared.statement, self._g.ids.blind(), entries
        )
        body = self._g.vault.seal(key, content)
        row = ReleaseRow(
            id=draft.release,
            state="awaiting-endorsement",
            partner=recalled.partner,
            conversation=draft.conversation,
            type="recall",
            mode=draft.mode,
            message_id=draft.message_id,
            handle=recalled.handle,
            subject=recalled.subject,
            key=key.id,
            body=body.id,
            requester=officer.id,
            person=officer.person,
            created=now,
            not_after=prepared.not_after,
            priority=PRIORITY,
        )
        tx.insert(key.row, body, SubjectRow(recalled.subject, key.id), row)

    # --- C2 and C3 in one ---------------------------------------------------------------------------------------

    async def endorse(self, officer: Officer, params: calls.Endorsed) -> dict[str, str]:
        """The officer's signature over the statement of a recall: it takes its place in a lane of its own, the message
        it is about is marked, and the entry is written, in one commit."""
        gateway, now = self._g, self._g.clock.now()
        for release in params.releases:
            await self._endorse(officer, params.endorsement, release, now)
        gateway.wake()
        return dict.fromkeys(params.releases, "queued")

    async def _endorse(self, officer: Officer, jws: str, release: str, now: datetime) -> None:
        gateway = self._g

        def found(tx: ReadTx) -> tuple[ReleaseRow, list[KeyRow]]:
            row = tx.get(ReleaseRow, release)
            if row is None or row.type != "recall":
                raise NotFound("there is no recall of this id")
            return row, keys_of(tx, [row.key])

        row, keys = await gateway.store.read(found)
        await gateway.vault.unlock(keys)
        body = await gateway.store.read(lambda tx: gateway.vault.open(tx, row.body, CodedBody))
        officers = gateway.directory.officers
        signed = verify_endorsement(jws, officers, act="request", statement=body.statement, now=now)
        if signed.officer != officer.id or officer.id != row.requester:
            raise RoleMissing("a recall is signed by the officer who asked for it")
        await gateway.vault.reserve()

        def unit(tx: Tx) -> None:
            current = tx.get(ReleaseRow, release)
            if current is None:
                raise NotFound("there is no recall of this id")
            following = step(current.state, "enqueue")
            recall = recall_in(body)
            if _under_way(tx, row.partner, recall.recalls):
                raise Conflict("a recall of this message is on its way or delivered already")
            verdict = self._recheck(row.partner, body, now)
            if verdict is not None:
                raise Conflict("what the recall rests on has changed since it was prepared: ask for it again")
            kept = gateway.vault.seal(row.key, EndorsementBody(jws))
            tx.insert(
                kept,
                EndorsementRow(row.id, "request", officer.id, officer.person, kept.id, now),
                LaneRow(row.partner, row.conversation, queued=1, position=1, priority=PRIORITY),
                OutboxRow(
                    partner=row.partner,
                    conversation=row.conversation,
                    position=1,
                    message_id=row.message_id,
                    release=row.id,
                    type=row.type,
                    state=following,
                    key=row.key,
                    body=row.body,
                    exp=int(row.not_after.timestamp()),
                ),
            )
            tx.put(
                msgspec.structs.replace(current, state=following),
                RecallRow(
                    "out",
                    row.partner,
                    recall.recalls,
                    recall.action,
                    recall.replaced_by,
                    row.message_id,
                    row.id,
                    now,
                ),
            )
            gateway.ledger.record(tx, now, "endorsement", officer.id, row.id, {"act": "recall"})

        await gateway.store.write(unit)

    # --- second looks -------------------------------------------------------------------------------------------

    def recheck(self, tx: ReadTx, row: ReleaseRow, body: CodedBody, now: datetime) -> Void | None:
        """Why a recall may not go on, as of this transaction; None when it may.

        A suspended officer or a revoked key endorses nothing any more, whenever the signature was made.
        """
        try:
            verify_endorsement(
                self._endorsement(tx, row),
                self._g.directory.officers,
                act="request",
                statement=body.statement,
                now=now,
            )
        except (PartnerFault, LocalFault):
            return Void((house("endorsement.in-force"),))
        return self._recheck(row.partner, body, now)

    def _recheck(self, partner: str, body: CodedBody, now: datetime) -> Void | None:
        directory = self._g.directory
        verdict = recheck_coded(
            body.statement,
            body.document,
            partner=directory.partners.get(partner),
            agreement=directory.agreements.get(partner),
            ours=self._g.org,
            now=now,
        )
        return verdict if isinstance(verdict, Void) else None

    def evidence(
        self, tx: ReadTx, row: ReleaseRow, body: CodedBody, partner: bytes, size: int
    ) -> RecallEvidence:
        """What the signer asks for: beside the endorsement, that our log about this partner, in the tree of ``size``,
        announced the messages that the recall names."""
        ledger = self._g.ledger
        origin = ledger.of_partner(row.partner)
        announced = tuple(
            Announced(entry_bytes(tx, origin, index), index, ledger.inclusion(tx, origin, index, size))
            for index in body.entries
        )
        return RecallEvidence(body.statement, self._endorsement(tx, row), body.document, partner, announced)

    def _endorsement(self, tx: ReadTx, row: ReleaseRow) -> str:
        kept = tx.get(EndorsementRow, row.id, "request")
        return self._g.vault.open(tx, kept.body, EndorsementBody).jws if kept is not None else ""

    # --- a partner's recall -------------------------------------------------------------------------------------

    async def answer(self, officer: Officer, params: calls.AnswerRecall) -> dict[str, str]:
        """What our officer decided about a message that its sender recalled. ``kept`` may become ``done``, never the
        other way: what is done is not shown any more. Repeatable. Nothing of it goes to the partner."""
        gateway, now = self._g, self._g.clock.now()
        await gateway.vault.reserve()

        def unit(tx: Tx) -> None:
            message = received(tx, params.message)
            row = recall_of(tx, message) if message is not None else None
            if message is None or row is None:
                raise NotFound("there is no message of this id that its sender recalled")
            if row.answer == params.answer:
                return
            if row.answer == "done":
                raise Conflict("the recall was answered with done already")
            tx.put(
                msgspec.structs.replace(row, answer=params.answer, answered_by=officer.id, answered_at=now)
            )
            detail = {"message": message.message_id, "sender": message.sender, "recall": params.answer}
            gateway.ledger.record(tx, now, "decision", officer.id, message.message_id, detail)

        await gateway.store.write(unit)
        return {params.message: params.answer}


# --- marks -----------------------------------------------------------------------------------------------------------


def recalled_by_us(tx: ReadTx, partner: str, message_id: str) -> bool:
    """Whether an officer recalled this message of ours, and did not take that back: nothing of it leaves any more."""
    row = tx.get(RecallRow, "out", partner, message_id)
    release = tx.get(ReleaseRow, row.release) if row is not None else None
    return release is not None and release.state != "cancelled"


def _under_way(tx: ReadTx, partner: str, message_id: str) -> bool:
    """Whether a recall of this message of ours may reach the partner, or did."""
    row = tx.get(RecallRow, "out", partner, message_id)
    release = tx.get(ReleaseRow, row.release) if row is not None else None
    return release is not None and release.state not in ENDED


def recall_in(body: CodedBody) -> Recall:
    """What a recall of ours says."""
    return msgspec.json.decode(body.document, type=RecallDocument).recall


def _view(partner: str, draft: Draft, answer: PreparedCoded | Refused) -> calls.DecisionView:
    decision = answer.decision
    if isinstance(answer, Refused):
        return calls.DecisionView(partner, decision.effect, decision.reasons, ())
    return calls.DecisionView(
        partner=partner,
        effect=decision.effect,
        reasons=decision.reasons,
        fields=(),
        release=draft.release,
        message_id=draft.message_id,
        conversation=draft.conversation,
        statement=answer.statement,
        payload=answer.payload,
    )

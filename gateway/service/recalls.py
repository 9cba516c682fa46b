"""Recalls from the desk's side, and the marks that a recall leaves on messages, ours and a partner's.

A recall goes in a conversation of its own, with a lane that is served before all others: what holds up the lane of the
message recalled does not hold up the recall, and no number has to be kept free for it.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway.errors import Conflict, NotFound, RequestInvalid
from gateway.flow.outbound import Refused, house
from gateway.flow.recall import Sent, prepare_recall
from gateway.flow.typed import require_text
from gateway.model.decision import RecallDocument
from gateway.model.message import Recall, RecallAction
from gateway.model.officer import Officer
from gateway.model.rows import (
    OutboxRow,
    RecallRow,
    ReleaseRow,
)
from gateway.ports import ReadTx, Tx
from gateway.service import calls
from gateway.service.coded import ENDED, About, Coded, view
from gateway.service.contents import CodedBody
from gateway.service.context import Gateway
from gateway.service.received import recall_of, received

#: Of a recall's lane; every other lane has 0.
PRIORITY = 1

#: States of a message whose number is allotted, and that was never attempted.
NUMBERED = frozenset({"sequenced", "sealed"})


class Recalls:
    """The way out of a recall, up to its lane; and our answers to a partner's."""

    def __init__(self, gateway: Gateway) -> None:
        self._g, self._coded = gateway, Coded(gateway)

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
        require_text("justification", params.justification)
        await gateway.vault.reserve()
        draft = self._coded.draft()

        def unit(tx: Tx) -> calls.DecisionView:
            release = release_of(tx, params.message)
            message, entry = sent(tx, release)
            if message.state in NUMBERED:
                return self._stop(tx, now, officer, release, action)
            replacement, place = None, -1
            if params.replaced_by:
                replacement, place = sent(tx, release_of(tx, params.replaced_by))
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
                repeated=recall_under_way(tx, release.partner, message.message_id),
                now=now,
            )
            if isinstance(prepared, Refused):
                detail = {"recalls": message.message_id, "decision": msgspec.to_builtins(prepared.decision)}
                gateway.ledger.record(
                    tx, now, "decision", officer.id, release.id, detail, about=release.subject
                )
                return view(release.partner, draft, prepared)
            about = About(
                partner=release.partner,
                type="recall",
                entries=(entry,) if replacement is None else (entry, place),
                handle=release.handle,
                subject=release.subject,
                priority=PRIORITY,
            )
            self._coded.store(tx, now, officer, draft, prepared, about)
            return view(release.partner, draft, prepared)

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

    # --- C2 and C3 in one ---------------------------------------------------------------------------------------

    async def endorse(self, officer: Officer, params: calls.Endorsed) -> dict[str, str]:
        """The officer's signature over the statement of a recall: it takes its place in a lane of its own, the message
        it is about is marked, and the entry is written, in one commit."""
        return await self._coded.endorse(officer, params, ("recall",), _mark)

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


# --- our messages ----------------------------------------------------------------------------------------------------


def release_of(tx: ReadTx, name: str) -> ReleaseRow:
    """The release that became the message of this id; raises `NotFound`."""
    row = next(iter(tx.select(ReleaseRow, {"message_id": name}, limit=1)), None)
    if row is None:
        raise NotFound("there is no message of ours of this id")
    return row


def sent(tx: ReadTx, release: ReleaseRow) -> tuple[Sent, int]:
    """A message as our books have it, and its place in our log about the partner (-1: none yet)."""
    queued = next(iter(tx.select(OutboxRow, {"message_id": release.message_id}, limit=1)), None)
    state = queued.state if queued is not None else release.state
    entry = queued.entry if queued is not None else -1
    return Sent(release.message_id, release.id, release.partner, release.type, state), entry


# --- marks -----------------------------------------------------------------------------------------------------------


def recalled_by_us(tx: ReadTx, partner: str, message_id: str) -> bool:
    """Whether an officer recalled this message of ours, and did not take that back: nothing of it leaves any more."""
    row = tx.get(RecallRow, "out", partner, message_id)
    release = tx.get(ReleaseRow, row.release) if row is not None else None
    return release is not None and release.state != "cancelled"


def recall_under_way(tx: ReadTx, partner: str, message_id: str) -> bool:
    """Whether a recall of this message of ours may reach the partner, or did."""
    row = tx.get(RecallRow, "out", partner, message_id)
    release = tx.get(ReleaseRow, row.release) if row is not None else None
    return release is not None and release.state not in ENDED


def _mark(tx: Tx, row: ReleaseRow, body: CodedBody, now: datetime) -> None:
    """Mark the message that a recall is about; it leaves at once."""
    recall = msgspec.json.decode(body.document, type=RecallDocument).recall
    if recall_under_way(tx, row.partner, recall.recalls):
        raise Conflict("a recall of this message is on its way or delivered already")
    tx.put(
        RecallRow(
            "out", row.partner, recall.recalls, recall.action, recall.replaced_by, row.message_id, row.id, now
        )
    )

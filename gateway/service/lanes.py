"""The queue as people see it: what waits, what is stuck, and every step of one message."""

from __future__ import annotations

import msgspec

from gateway.audit.entry import parse_partner_entry
from gateway.errors import Conflict, NotFound
from gateway.model.case_rows import GroundUseRow, OralRow, StrikeRow
from gateway.model.officer import Officer
from gateway.model.rows import (
    EmergencyRow,
    EndorsementRow,
    LaneRow,
    OutboxRow,
    RecallRow,
    ReceiptRow,
    ReleaseRow,
)
from gateway.model.time import rfc3339
from gateway.policy.explain import messages
from gateway.ports import ReadTx, Tx
from gateway.service.calls import QueueItem, Trace, TraceStep
from gateway.service.context import Gateway
from gateway.service.received import erased_step, received, trace_received
from gateway.service.sealing import Sealing
from gateway.service.slots import entry_bytes

WAITING = ("awaiting-endorsement", "awaiting-approval")
_OFFICERS = {"reject": "rejected by an officer", "cancel": "cancelled by an officer"}
MOVING = ("queued", "sequenced", "sealed", "attempted", "refused")


class Queue:
    """Lists and moves lanes; never shows content."""

    def __init__(self, gateway: Gateway, sealing: Sealing) -> None:
        self._g, self._sealing = gateway, sealing

    async def list(self, limit: int, state: str = "") -> list[QueueItem]:
        """Releases that wait for a signature, and messages on their way; or those in one state."""

        def read(tx: ReadTx) -> list[QueueItem]:
            waiting: tuple[str, ...] = (state,) if state else WAITING
            moving: tuple[str, ...] = (state,) if state else MOVING
            items = [
                QueueItem(
                    row.id,
                    row.message_id,
                    row.partner,
                    row.conversation,
                    row.type,
                    row.state,
                    reason=row.reason,
                    grounds=_grounds(tx, row.id),
                )
                for row in tx.select(ReleaseRow, {"state": waiting}, limit=limit)
            ]
            seen = {item.id for item in items}
            for row in tx.select(OutboxRow, {"state": moving}, limit=limit):
                name = row.release or row.message_id
                lane = tx.get(LaneRow, row.partner, row.conversation)
                if lane is not None and name not in seen:
                    items.append(_item(row, lane, _grounds(tx, name)))
            return items[:limit]

        return await self._g.store.read(read)

    async def hold(self, officer: Officer, partner: str, conversation: str, *, held: bool) -> dict[str, str]:
        """Stop one lane, or let it go on at once (a new delivery of the same sealed messages)."""
        gateway, now = self._g, self._g.clock.now()
        await gateway.vault.reserve()

        def unit(tx: Tx) -> None:
            lane = tx.get(LaneRow, partner, conversation)
            if lane is None:
                raise NotFound("there is no such lane")
            head = _head(tx, partner, conversation)
            if not held and head is not None and head.state == "refused":
                # The partner refused these very bytes; the same ones may be accepted once it has mended its side.
                tx.put(msgspec.structs.replace(head, state="attempted"))
            tx.put(msgspec.structs.replace(lane, held=held, due=None, attempts=0))
            step = "hold" if held else "resend"
            gateway.ledger.record(tx, now, "release", officer.id, conversation, {"queue": step})

        await gateway.store.write(unit)
        self._g.wake()
        return {"lane": "held" if held else "released"}

    async def skip(self, officer: Officer, partner: str, conversation: str) -> dict[str, str]:
        """Give up the message at the head of a held lane: a `void` takes its number, and the lane goes on."""
        gateway, now = self._g, self._g.clock.now()
        rows = await gateway.store.read(lambda tx: _head(tx, partner, conversation))
        if rows is None or rows.state != "refused":
            raise Conflict("only a message the partner refused can be skipped")
        await gateway.vault.reserve()

        def unit(tx: Tx) -> None:
            lane = tx.get(LaneRow, partner, conversation)
            head = _head(tx, partner, conversation)
            if lane is None or head is None or head.state != "refused":
                raise Conflict("only a message the partner refused can be skipped")
            release = tx.get(ReleaseRow, head.release)
            if release is not None:
                self._sealing.void_release(tx, release, now)
            tx.put(msgspec.structs.replace(lane, held=False, due=None, attempts=0))
            self._sealing.replace_by_void(tx, head, now)
            gateway.ledger.record(tx, now, "release", officer.id, head.message_id, {"queue": "skip"})

        await gateway.store.write(unit)
        self._g.wake()
        return {"lane": "skipped"}

    async def trace(self, name: str) -> Trace:
        """Every step of a release or message (release id, message id, ORG/ID of one received), with its log entries."""

        def read(tx: ReadTx) -> Trace:
            release = tx.get(ReleaseRow, name) or next(
                iter(tx.select(ReleaseRow, {"message_id": name})), None
            )
            if release is not None:
                return self._outbound(tx, release)
            oral = tx.get(OralRow, name)
            if oral is not None:
                return _said(oral, tx.get(StrikeRow, oral.id))
            row = received(tx, name)
            if row is None:
                raise NotFound("there is no message or release of this id")
            return trace_received(tx, row)

        return await self._g.store.read(read)

    def _outbound(self, tx: ReadTx, release: ReleaseRow) -> Trace:
        steps = [TraceStep(rfc3339(release.created), "prepared", release.requester)]
        invoked = tx.get(EmergencyRow, release.id)
        acts = {
            "request": "endorsed by the requester",
            "approve": "confirmed" if invoked is not None and invoked.oral_approver else "approved",
            "uphold": "emergency reviewed: upheld",
            "overrule": "emergency reviewed: not upheld",
        }
        found = tx.select(EndorsementRow, {"release": release.id})
        for row in sorted(found, key=lambda row: (row.at, row.act != "request")):
            steps.append(TraceStep(rfc3339(row.at), acts[row.act], row.officer))
        queued = next(iter(tx.select(OutboxRow, {"message_id": release.message_id})), None)
        if queued is None:
            void = next(iter(tx.select(OutboxRow, {"replaces": release.message_id})), None)
            if void is not None:
                what = f"number {void.seq} withdrawn by message {void.message_id}"
                steps.append(TraceStep(rfc3339(release.ended) if release.ended else "", what, "gateway"))
        if queued is not None and queued.entry >= 0:
            log = self._g.ledger.of_partner(release.partner)
            entry = parse_partner_entry(entry_bytes(tx, log, queued.entry))
            steps.append(TraceStep(rfc3339(entry.at), "sequenced and sealed", "gateway", log, queued.entry))
        receipt = tx.get(ReceiptRow, queued.receipt) if queued is not None and queued.receipt else None
        if receipt is not None:
            steps.append(TraceStep(rfc3339(receipt.at), "receipt verified", release.partner))
        recall = tx.get(RecallRow, "out", release.partner, release.message_id)
        if recall is not None and recall.recall:
            what = f"recalled ({recall.action}) by message {recall.recall}"
            steps.append(TraceStep(rfc3339(recall.at), what, "gateway"))
        steps += erased_step(tx, release.body)
        if release.reason:
            at = release.ended or (receipt.at if receipt is not None else None)
            steps.append(TraceStep(rfc3339(at) if at else "", _end(release)))
        return Trace(
            id=release.id,
            message_id=release.message_id,
            partner=release.partner,
            conversation=release.conversation,
            state=release.state,
            seq=queued.seq if queued else 0,
            attempts=queued.attempts if queued else 0,
            steps=tuple(sorted(steps, key=lambda step: step.at or "~")),  # a step without a time is the last
            receipt=queued.receipt if queued else "",
        )


def _said(oral: OralRow, strike: StrikeRow | None) -> Trace:
    steps = [
        TraceStep(rfc3339(oral.at), "said aloud", oral.speaker),
        TraceStep(rfc3339(oral.recorded_at), "recorded late" if oral.late else "recorded", oral.recorder),
    ]
    if oral.breach:
        steps.append(TraceStep(rfc3339(oral.recorded_at), "found outside the policy", "gateway"))
    if oral.confirmed_at is not None:
        steps.append(TraceStep(rfc3339(oral.confirmed_at), "confirmed", oral.confirmer))
    state = "recorded" if oral.confirmed_at is None else "confirmed"
    if strike is not None:
        steps.append(TraceStep(rfc3339(strike.proposed_at), "said to be a mistake", strike.proposer))
    if strike is not None and strike.confirmed_at is not None:
        steps.append(TraceStep(rfc3339(strike.confirmed_at), "struck: it counts no longer", strike.confirmer))
        state = "struck"
    return Trace(
        id=oral.id,
        message_id="",
        partner=oral.partner,
        conversation="",
        state=state,
        seq=0,
        attempts=0,
        steps=tuple(steps),
    )


def _end(release: ReleaseRow) -> str:
    """What ended a release, or keeps it from going on: an officer, a rule in words with its id, the partner's code."""
    if release.reason in _OFFICERS:
        return _OFFICERS[release.reason]
    words = messages().get(release.reason, {}).get("en")
    return f"{release.state}: {words} ({release.reason})" if words else f"{release.state}: {release.reason}"


def _head(tx: ReadTx, partner: str, conversation: str) -> OutboxRow | None:
    where: dict[str, object] = {"partner": partner, "conversation": conversation, "state": MOVING}
    return next(iter(tx.select(OutboxRow, where, order="position", limit=1)), None)


def _grounds(tx: ReadTx, release: str) -> tuple[str, ...]:
    return tuple(sorted(use.ground for use in tx.select(GroundUseRow, {"release": release})))


def _item(row: OutboxRow, lane: LaneRow, grounds: tuple[str, ...]) -> QueueItem:
    return QueueItem(
        id=row.release or row.message_id,
        message_id=row.message_id,
        partner=row.partner,
        conversation=row.conversation,
        type=row.type,
        state=row.state,
        seq=row.seq,
        attempts=row.attempts,
        due=lane.due,
        held=lane.held,
        grounds=grounds,
    )

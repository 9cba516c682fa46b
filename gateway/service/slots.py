"""The head of a lane: which messages are next, what each needs, and how its rows end."""

from __future__ import annotations

from datetime import datetime
from itertools import takewhile

import msgspec

from gateway.errors import AuditBroken
from gateway.flow.lifecycle import Event, step
from gateway.model.message import DEMANDS
from gateway.model.rows import EntryRow, LaneRow, OutboxRow, ReleaseRow
from gateway.ports import ReadTx, Tx
from gateway.service.contents import CodedBody, ProtocolBody, ReleaseBody
from gateway.service.context import Gateway
from gateway.service.vault import keys_of
from gateway.wire.container import most_sealed

#: States in which a message still has a way to go.
MOVING = ("queued", "sequenced", "sealed", "attempted")


class Slot(msgspec.Struct, frozen=True):
    """One message at the head of its lane, with what it takes to seal or send it."""

    row: OutboxRow
    payload: bytes
    salt: bytes
    release: ReleaseRow | None
    body: ReleaseBody | CodedBody | None


class Slots:
    """Reads the heads of lanes."""

    def __init__(self, gateway: Gateway) -> None:
        self._g = gateway

    async def heads(self, partner: str) -> list[Slot]:
        """Contiguous runs from the heads of the due lanes, as many as one batch takes by number and by sealed size."""
        limit, now = self._g.config.delivery.batch_messages, self._g.clock.now()

        def rows(tx: ReadTx) -> list[OutboxRow]:
            found: list[OutboxRow] = []
            for lane in due_lanes(tx, now, partner):
                run = tx.select(
                    OutboxRow,
                    {
                        "partner": partner,
                        "conversation": lane.conversation,
                        "state": MOVING,
                    },
                    order="position",
                    limit=limit - len(found),
                )
                # What waits for its instant holds up what stands behind it: the order of a lane is the queue's.
                found += takewhile(lambda row: row.not_before is None or row.not_before <= now, run)
                if len(found) >= limit:
                    break
            return found

        chosen = await self._g.store.read(rows)
        await self._g.vault.unlock(
            await self._g.store.read(lambda tx: keys_of(tx, [row.key for row in chosen]))
        )
        slots = await self._g.store.read(lambda tx: [self._slot(tx, row) for row in chosen])
        taken: list[Slot] = []
        size = 0
        for slot in slots:
            size += most_sealed(len(slot.payload))
            if taken and size > self._g.config.delivery.batch_bytes:
                break
            taken.append(slot)
        return taken

    def _slot(self, tx: ReadTx, row: OutboxRow) -> Slot:
        if not row.release:
            body = self._g.vault.open(tx, row.body, ProtocolBody)
            return Slot(row, body.payload, body.salt, None, None)
        release = tx.get(ReleaseRow, row.release)
        content = self.content(tx, row)
        return Slot(row, content.payload, content.salt, release, content)

    def content(self, tx: ReadTx, row: OutboxRow | ReleaseRow) -> ReleaseBody | CodedBody:
        """What was frozen for a release, or for the message that it became; its key is unlocked."""
        if DEMANDS[row.type].message_class == "coded":
            return self._g.vault.open(tx, row.body, CodedBody)
        return self._g.vault.open(tx, row.body, ReleaseBody)


def due_lanes(tx: ReadTx, now: datetime, partner: str | None = None) -> list[LaneRow]:
    """Lanes with work that is due, the most urgent first, then the one that has waited longest."""
    where: dict[str, object] = {"held": False} if partner is None else {"held": False, "partner": partner}
    lanes = tx.select(LaneRow, where, at_least=("queued", 1))
    due = [lane for lane in lanes if lane.due is None or lane.due <= now]
    return sorted(due, key=lambda lane: (-lane.priority, lane.due or now, lane.conversation))


def outbox_row(tx: ReadTx, slot: Slot) -> OutboxRow:
    row = tx.get(OutboxRow, slot.row.partner, slot.row.conversation, slot.row.position)
    if row is None:
        raise AuditBroken("an outbox row is gone")
    return row


def release_row(tx: ReadTx, slot: Slot) -> ReleaseRow:
    row = tx.get(ReleaseRow, slot.row.release)
    if row is None:
        raise AuditBroken("a release is gone")
    return row


def entry_bytes(tx: ReadTx, origin: str, position: int) -> bytes:
    row = tx.get(EntryRow, origin, position)
    if row is None:
        raise AuditBroken("a log entry is gone", diagnostic={"log": origin, "index": position})
    return row.entry


def enqueue(tx: Tx, release: ReleaseRow, state: str, not_before: datetime | None = None) -> None:
    """A release takes the last place in its lane, and does not leave before this instant."""
    lane = tx.get(LaneRow, release.partner, release.conversation) or LaneRow(
        release.partner, release.conversation, priority=release.priority
    )
    lane = msgspec.structs.replace(lane, position=lane.position + 1, queued=lane.queued + 1)
    tx.put(lane, msgspec.structs.replace(release, state=state))
    tx.insert(
        OutboxRow(
            partner=release.partner,
            conversation=release.conversation,
            position=lane.position,
            message_id=release.message_id,
            release=release.id,
            type=release.type,
            state=state,
            key=release.key,
            body=release.body,
            exp=int(release.not_after.timestamp()),
            not_before=not_before,
        )
    )


def finish(tx: Tx, row: OutboxRow) -> None:
    """One message of the lane is finished: the lane starts afresh."""
    lane = tx.get(LaneRow, row.partner, row.conversation)
    if lane is not None:
        tx.put(msgspec.structs.replace(lane, queued=lane.queued - 1, attempts=0, due=None))


def leave(tx: Tx, row: OutboxRow) -> None:
    """One message of the lane is gone before it had a number. The back-off stands: a try that came sooner for it
    would tell the partner that something was withdrawn."""
    lane = tx.get(LaneRow, row.partner, row.conversation)
    if lane is not None:
        tx.put(msgspec.structs.replace(lane, queued=lane.queued - 1))


def hold(tx: Tx, row: OutboxRow) -> None:
    """Stop a lane until a person has looked at it."""
    lane = tx.get(LaneRow, row.partner, row.conversation)
    if lane is not None:
        tx.put(msgspec.structs.replace(lane, held=True))


def move(
    tx: Tx, row: OutboxRow, event: Event, *, seal: str = "", receipt: str = "", reason: str = ""
) -> OutboxRow:
    """Let the lifecycle table say what a message and its release become, both or neither."""
    moved = msgspec.structs.replace(
        row, state=step(row.state, event), seal=seal or row.seal, receipt=receipt or row.receipt
    )
    tx.put(moved)
    release = tx.get(ReleaseRow, row.release) if row.release else None
    if release is not None:
        tx.put(
            msgspec.structs.replace(
                release, state=step(release.state, event), reason=reason or release.reason
            )
        )
    return moved

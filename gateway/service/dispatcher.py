"""The way out, from the head of a lane to the receipt (C4 to C6).

One task a partner takes the heads of its lanes, in order, as one batch; recovery after a crash walks the same steps,
because each of them starts from what the store says. Whatever was sealed is never sealed again; ciphertext is made
anew for each attempt and never stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
import structlog

from gateway.errors import (
    AuditBroken,
    GatewayError,
    PartnerFault,
    PartnerUnreachable,
    SignatureInvalid,
    Unavailable,
)
from gateway.flow.change import canonical, digest
from gateway.flow.lifecycle import step
from gateway.flow.outbound import Void
from gateway.model.rows import (
    HeldRow,
    KeyRow,
    LaneRow,
    OutboxRow,
    ReceiptRow,
    ReleaseRow,
)
from gateway.ports import ReadTx, Tx
from gateway.service.contents import ReceiptBody, ReleaseBody, SealBody
from gateway.service.context import Gateway
from gateway.service.held import held_row, keep_head
from gateway.service.holdings import Holdings
from gateway.service.ledger import Crossing
from gateway.service.mentions import mentioned
from gateway.service.reconciling import unreconciled
from gateway.service.rollback import Abroad
from gateway.service.sealing import Sealing
from gateway.service.slots import Slot, Slots, due_lanes, finish, hold, move, outbox_row
from gateway.service.stamps import unanchored
from gateway.service.vault import keys_of
from gateway.service.witnesses import unwitnessed
from gateway.wire.container import Preamble, encrypt, frame, pack
from gateway.wire.receipt import ReceiptItem, VerifiedReceipt, verify_receipt
from gateway.wire.seal import read_seal

log = structlog.get_logger()

#: Codes that say our bytes are wrong: sending them again would not help, a person must look.
OUR_FAULT = frozenset({"malformed", "schema-violation", "too-large"})

#: Seconds between two looks at the lanes when nothing wakes the dispatcher: due retries.
IDLE_S = 0.5


class Dispatcher:
    """Delivers what the lanes hold. `run` ends only when cancelled."""

    def __init__(self, gateway: Gateway, sealing: Sealing) -> None:
        self._g, self._sealing, self._slots = gateway, sealing, Slots(gateway)
        self.abroad = Abroad(gateway)
        self._work = asyncio.Event()
        self._busy: dict[str, asyncio.Task[None]] = {}

    def wake(self) -> None:
        """There may be work."""
        self._work.set()

    async def run(self) -> None:
        """Start one task for each partner that has something due."""
        try:
            while True:
                self._work.clear()
                for partner in await self._partners():
                    if partner not in self._busy:
                        self._busy[partner] = asyncio.create_task(self._drain(partner))
                # Looks fall on whole multiples of the interval, whenever the last one was: what waits for a slot leaves
                # the same fraction of a second after it, whatever woke us before.
                rest = IDLE_S - asyncio.get_running_loop().time() % IDLE_S
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._work.wait(), rest)
        finally:
            for task in list(self._busy.values()):
                task.cancel()

    async def _partners(self) -> list[str]:
        now = self._g.clock.now()
        due = await self._g.store.read(
            lambda tx: {
                partner
                for partner in {lane.partner for lane in due_lanes(tx, now)}
                if not (
                    unwitnessed(self._g, tx, partner, now)
                    or unanchored(self._g, tx, partner, now)
                    or unreconciled(self._g, tx, partner)
                )
            }
        )
        return sorted(partner for partner in due if self._stopped(partner) is None)

    def _stopped(self, partner: str) -> str | None:
        entry = self._g.directory.partners.get(partner)
        return None if entry is not None and not entry.stopped else "partner.stopped"

    async def _drain(self, partner: str) -> None:
        """Send batches until nothing of this partner is due, then leave the place to a later task."""
        try:
            while await self.send_batch(partner):
                pass
        except AuditBroken as broken:
            log.error("audit.broken", code=broken.code, **broken.diagnostic)
            self._g.fatal("audit-broken")
        except Unavailable as away:
            log.warning("dispatch.unavailable", partner=partner, code=away.code)
        except GatewayError as fault:
            log.error("dispatch.fault", partner=partner, code=fault.code, detail=fault.detail)
            await self._back_off(await self._slots.heads(partner), None)
        except Exception as defect:  # one partner's lanes must not take the others down, nor spin
            log.error("dispatch.defect", partner=partner, error=type(defect).__name__)
            await asyncio.sleep(self._g.config.delivery.backoff_most_s)
        finally:
            del self._busy[partner]

    # --- one batch ----------------------------------------------------------------------------------------------

    async def send_batch(self, partner: str) -> bool:
        """Take the heads of the due lanes of one partner as far as a receipt; whether anything was due.

        (0) since the start it was heard which head of ours the partner holds; (1) what is queued is rechecked and gets
        its seq and its log entry (C4); (2) the head is signed and each message sealed under it (C5); (3) everything is
        rechecked again and marked attempted, before the first byte leaves; (4) encrypt anew, POST; (5) verify the
        receipt and commit it (C6), or back off.
        """
        slots = await self._slots.heads(partner)
        if not slots:
            return False
        await self._g.turn_directory()
        # (0)
        try:
            await self.abroad.require(partner)
        except PartnerUnreachable as away:
            log.warning("delivery.unavailable", partner=partner, code=away.code, messages=len(slots))
            await self._back_off(slots, away.retry_after)
            return True
        # (1) again where a void made room: a batch that is short by one would tell that something was withdrawn
        while any(slot.row.state == "queued" for slot in slots):
            slots = await self._sealing.sequence(partner, slots)
        # (2)
        if any(slot.row.state == "sequenced" for slot in slots):
            await self._sealing.seal(partner, [slot for slot in slots if slot.row.state == "sequenced"])
            slots = await self._slots.heads(partner)
        # (3)
        going, doubtful = await self._attempt(_sealed_runs(slots))
        # (4), (5)
        if going:
            await self._post(partner, going)
        for slot, verdict in doubtful:
            await self._resolve(slot, verdict)
        return True

    # --- attempt ------------------------------------------------------------------------------------------------

    async def _attempt(self, slots: Sequence[Slot]) -> tuple[list[Slot], list[tuple[Slot, Void]]]:
        """Recheck once more, and write down that bytes are about to leave, before they do.

        What was never attempted and is voided now becomes a `void`; what was attempted before may be at the partner
        already: it is returned as doubtful, to be looked up there.
        """
        now = self._g.clock.now()
        await self._g.vault.reserve(4 * len(slots) + 4)

        def unit(tx: Tx) -> tuple[list[Slot], list[tuple[Slot, Void]]]:
            going: list[Slot] = []
            doubtful: list[tuple[Slot, Void]] = []
            stuck: set[str] = set()
            for slot in slots:
                if slot.row.conversation in stuck:
                    continue
                verdict = self._sealing.recheck(tx, slot, now)
                if verdict is not None:
                    stuck.add(slot.row.conversation)
                    if slot.row.attempts == 0:
                        self._sealing.withdraw(tx, slot, verdict, now)
                    else:
                        doubtful.append((slot, verdict))
                    continue
                row = outbox_row(tx, slot)
                row = move(tx, msgspec.structs.replace(row, attempts=row.attempts + 1), "attempt")
                going.append(msgspec.structs.replace(slot, row=row))
            return going, doubtful

        return await self._g.store.write(unit)

    async def _resolve(self, slot: Slot, verdict: Void) -> None:
        """A voided message that was attempted: ask the partner whether it has it, then void or note the delivery."""
        partner = self._g.directory.partner(slot.row.partner)
        try:
            answer = await self._g.transport.fetch_receipt(slot.row.message_id, to=partner)
        except GatewayError:
            await self._back_off([slot], None)
            return
        if answer is not None:
            try:
                receipt, witness = self._verify(slot.row.partner, answer, [slot])
            except PartnerFault as fault:
                await self._hold_all([slot], fault.code)
                return
            await self._settle([slot], receipt, witness)
            log.warning("release.delivered-then-voided", message=slot.row.message_id, rule=verdict.rule)
            return
        await self._g.vault.reserve()
        now = self._g.clock.now()
        await self._g.store.write(lambda tx: self._sealing.withdraw(tx, slot, verdict, now))

    async def _post(self, partner: str, slots: Sequence[Slot]) -> None:
        entry = self._g.directory.partner(partner)
        keys = {key.kid: key for key in entry.keys_for("encryption")}

        def sealed(tx: ReadTx) -> list[bytes]:
            messages = []
            for slot in slots:
                seal = self._g.vault.open(tx, slot.row.seal, SealBody)
                header = read_seal(seal.jws)
                preamble = Preamble(
                    v=1,
                    suite=header.suite,
                    iss=header.iss,
                    aud=header.aud,
                    jti=header.jti,
                    enc_kid=header.enc_kid,
                )
                plaintext = pack(seal.jws, slot.payload, seal.second)
                messages.append(encrypt(preamble, plaintext, keys[header.enc_kid]))
            return messages

        try:
            batch = frame(await self._g.store.read(sealed))
            answer = await self._g.transport.deliver(batch, to=entry)
            receipt, witness = self._verify(partner, answer, slots)
        except KeyError:
            await self._hold_all(slots, "partner-key-gone")
        except Unavailable as away:
            log.warning("delivery.unavailable", partner=partner, code=away.code, messages=len(slots))
            await self._back_off(slots, away.retry_after)
        except PartnerFault as fault:
            log.error("delivery.refused", partner=partner, code=fault.code, messages=len(slots))
            await self._refused_whole(partner, slots, fault)
        else:
            await self._settle(slots, receipt, witness)

    async def _refused_whole(self, partner: str, slots: Sequence[Slot], fault: PartnerFault) -> None:
        """The partner refused the POST, not a message of it: find the message, or wait for a mended directory."""
        lanes: dict[str, list[Slot]] = {}
        for slot in slots:
            lanes.setdefault(slot.row.conversation, []).append(slot)
        if len(lanes) > 1:
            for lane in lanes.values():
                # The first POST took its time: what was embargoed meanwhile must not leave with the second.
                going, doubtful = await self._attempt(lane)
                if going:
                    await self._post(partner, going)
                for slot, verdict in doubtful:
                    await self._resolve(slot, verdict)
        elif fault.code in OUR_FAULT:
            await self._hold_all(slots, fault.code)
        else:
            await self._back_off(slots, None)

    # --- C6 -----------------------------------------------------------------------------------------------------

    def _verify(
        self, partner: str, answer: bytes, slots: Sequence[Slot]
    ) -> tuple[VerifiedReceipt, HeldRow | None]:
        """The receipt answers for every message of the batch, and its checkpoint is the partner's; both or neither."""
        entry = self._g.directory.partner(partner)
        try:
            token = answer.decode("ascii")
        except UnicodeDecodeError:
            raise SignatureInvalid("the receipt is not a compact JWS") from None
        receipt = verify_receipt(
            token,
            entry.keys_for("receipt"),
            now=self._g.clock.now(),
            iss=partner,
            aud=self._g.org,
            sent=[(slot.row.message_id, digest(slot.payload)) for slot in slots],
        )
        return receipt, held_row(entry, self._g.org, receipt.statement.checkpoint, self._g.clock.now())

    async def _settle(self, slots: Sequence[Slot], receipt: VerifiedReceipt, witness: HeldRow | None) -> None:
        """C6: the receipt, its log entry and every message's end in one commit."""
        gateway, now = self._g, self._g.clock.now()
        statement = receipt.statement
        partner = slots[0].row.partner
        await gateway.vault.reserve(4 * len(slots) + 4)

        def unit(tx: Tx) -> None:
            if tx.get(ReceiptRow, statement.id) is None:
                key, salt = gateway.vault.fresh(now), gateway.ids.blind()
                raw = canonical(statement)
                body = gateway.vault.seal(key, ReceiptBody(raw, receipt.jws, salt))
                tx.insert(key.row, body, ReceiptRow(statement.id, "in", partner, key.id, body.id, True, now))
                crossing = Crossing(
                    direction="in",
                    event="receipt",
                    message_id=statement.id,
                    conversation=statement.id,
                    seq=len(statement.items),
                    message_type="receipt",
                    payload=raw,
                    salt=salt,
                )
                gateway.ledger.announce(tx, now, partner, [crossing])
            if witness is not None:
                keep_head(gateway, tx, witness, partner, now)
            for slot in slots:
                self._end(tx, slot, receipt.outcomes[slot.row.message_id], statement.id, now)

        await gateway.store.write(unit)
        for slot in slots:
            if _number_taken(slot, receipt.outcomes[slot.row.message_id]):
                await self._had_it(slot)

    def _end(self, tx: Tx, slot: Slot, item: ReceiptItem, receipt: str, now: datetime) -> None:
        row = outbox_row(tx, slot)
        if row.state != "attempted":
            return
        if item.outcome == "accepted":
            move(tx, row, "accept", receipt=receipt)
            finish(tx, row)
            return
        if item.outcome == "not-processed":
            self._later(tx, row, now)
            return
        if item.code == "out-of-order":
            self._rewind(tx, row, item.expected, now)
            return
        # Refused for itself: its number is still free at the partner, so the lane waits for a person (queue skip).
        log.error("message.refused", message=row.message_id, code=item.code or "")
        move(tx, row, "refuse", receipt=receipt, reason=item.code or "")
        hold(tx, row)

    def _rewind(self, tx: Tx, row: OutboxRow, expected: int, now: datetime) -> None:
        """The partner expects an earlier number: send again from there, the same seals; a number whose content was
        erased goes as a `void`. If it expects a later one, our number was taken by a message that we believed
        withdrawn: the lane waits until that is settled."""
        if expected > row.seq:
            log.error("lane.number-taken", conversation=row.conversation, seq=row.seq, index=expected)
            hold(tx, row)
            return
        where: dict[str, object] = {
            "partner": row.partner,
            "conversation": row.conversation,
            "state": "delivered",
        }
        lost = [one for one in tx.select(OutboxRow, where) if one.seq >= expected]
        for one in lost:
            if tx.get(KeyRow, one.key) is None or not one.seal:
                self._sealing.replace_by_void(tx, one, now)
            else:
                move(tx, one, "rewind")
        lane = tx.get(LaneRow, row.partner, row.conversation)
        if lane is not None and lost:
            log.warning("lane.rewound", conversation=row.conversation, seq=expected, messages=len(lost))
            tx.put(msgspec.structs.replace(lane, queued=lane.queued + len(lost)))
        self._later(tx, row, now)

    async def _had_it(self, slot: Slot) -> None:
        """The number of a `void` was taken: by the message it withdrew, if the partner shows that message's receipt.

        Then the release was delivered after all: its state, its quota and its place in the lane say so again.
        """
        gateway, row, now = self._g, slot.row, self._g.clock.now()
        found = await gateway.store.read(lambda tx: tx.select(ReleaseRow, {"message_id": row.replaces}))
        if not found:
            return
        release = found[0]
        await gateway.vault.unlock(await gateway.store.read(lambda tx: keys_of(tx, [release.key])))
        body = await gateway.store.read(lambda tx: self._slots.content(tx, release))
        original = msgspec.structs.replace(
            slot,
            row=msgspec.structs.replace(
                row, message_id=release.message_id, release=release.id, type=release.type
            ),
            payload=body.payload,
        )
        try:
            partner = gateway.directory.partner(row.partner)
            answer = await gateway.transport.fetch_receipt(release.message_id, to=partner)
            if answer is None:
                return
            receipt, _ = self._verify(row.partner, answer, [original])
        except GatewayError as fault:
            log.error("lane.number-taken", conversation=row.conversation, code=fault.code)
            return
        if receipt.outcomes[release.message_id].outcome != "accepted":
            return

        def unit(tx: Tx) -> None:
            current = outbox_row(tx, slot)
            lane = tx.get(LaneRow, row.partner, row.conversation)
            if current.message_id != row.message_id or lane is None:
                return
            tx.put(
                msgspec.structs.replace(
                    original.row, state="delivered", seal="", receipt="", key=release.key, body=release.body
                )
            )
            tx.put(msgspec.structs.replace(release, state=step(release.state, "accept")))
            if isinstance(body, ReleaseBody):  # by a recall the partner holds nothing
                holdings = Holdings(gateway)
                holdings.reserve(
                    tx,
                    release.partner,
                    release.subject,
                    release.id,
                    now,
                    members=body.decision.members,
                    origin="release" if body.emergency is None else "emergency",
                )
                for other in mentioned(tx, release.key, release.subject):
                    holdings.reserve(tx, release.partner, other, release.id, now, members=())
            tx.put(msgspec.structs.replace(lane, held=False))
            finish(tx, current)

        await gateway.store.write(unit)
        log.warning("release.delivered-then-voided", message=release.message_id)
        self.wake()

    # --- later --------------------------------------------------------------------------------------------------

    async def _back_off(self, slots: Sequence[Slot], retry_after: float | None) -> None:
        now = self._g.clock.now()

        def unit(tx: Tx) -> None:
            for slot in {slot.row.conversation: slot for slot in slots}.values():
                self._later(tx, slot.row, now, retry_after)

        await self._g.store.write(unit)

    def _later(self, tx: Tx, row: OutboxRow, now: datetime, retry_after: float | None = None) -> None:
        """Durable back-off in the lane's row: exponential with full jitter, bounded, never before Retry-After."""
        lane = tx.get(LaneRow, row.partner, row.conversation)
        if lane is None or (lane.due is not None and lane.due > now):
            return  # the lane waits already: one failed batch is one failure
        delivery = self._g.config.delivery
        most = min(delivery.backoff_most_s, delivery.backoff_first_s * 2 ** min(lane.attempts, 20))
        wait = max(retry_after or 0.0, random.uniform(most / 2, most))  # noqa: S311 - spreads retries, guards nothing
        due = now + timedelta(seconds=math.ceil(wait))  # whole seconds: never sooner, never at once
        tx.put(msgspec.structs.replace(lane, attempts=lane.attempts + 1, due=due))

    async def _hold_all(self, slots: Sequence[Slot], reason: str) -> None:
        log.error("lanes.held", reason=reason, messages=len(slots))

        def unit(tx: Tx) -> None:
            for slot in slots:
                hold(tx, slot.row)

        await self._g.store.write(unit)


def _sealed_runs(slots: Sequence[Slot]) -> list[Slot]:
    """What may leave now: of each lane the run from its head, up to the first message that has no seal yet (a `void`
    that took a place a moment ago). Nothing goes ahead of what stands before it."""
    going: list[Slot] = []
    stuck: set[str] = set()
    for slot in slots:
        if slot.row.state not in ("sealed", "attempted"):
            stuck.add(slot.row.conversation)
        elif slot.row.conversation not in stuck:
            going.append(slot)
    return going


def _number_taken(slot: Slot, item: ReceiptItem) -> bool:
    """A `void` found its number used by something else."""
    return slot.row.type == "void" and item.code == "out-of-order" and item.expected > slot.row.seq

"""The way out, from the head of a lane to the receipt (C4 to C6).

One task a partner takes the heads of its lanes, in order, as one batch; recovery after a crash walks the same steps,
because each of them starts from what the store says. Whatever was sealed is never sealed again; ciphertext is made
anew for each attempt and never stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
import structlog

from gateway.errors import AuditBroken, GatewayError, PartnerFault, SignatureInvalid, Unavailable
from gateway.flow.change import canonical, digest
from gateway.flow.lifecycle import step
from gateway.flow.outbound import Void, house
from gateway.model.message import Envelope, ExchangeMessage
from gateway.model.rows import (
    CheckpointRow,
    EndorsementRow,
    EntryRow,
    LaneRow,
    OutboxRow,
    ReceiptRow,
    ReleaseRow,
)
from gateway.model.signing import ReleaseEvidence, SealBatch, SealRequest
from gateway.model.time import rfc3339
from gateway.ports import ReadTx, Tx
from gateway.service.contents import EndorsementBody, ProtocolBody, ReceiptBody, ReleaseBody, SealBody
from gateway.service.context import Gateway
from gateway.service.held import held_row
from gateway.service.releases import Releases
from gateway.service.vault import keys_of
from gateway.wire.container import Preamble, encrypt, frame, pack
from gateway.wire.ct_json import CtJson
from gateway.wire.receipt import ReceiptItem, VerifiedReceipt, verify_receipt
from gateway.wire.seal import read_seal

log = structlog.get_logger()

#: Seconds between two looks at the lanes when nothing wakes the dispatcher: due retries.
IDLE_S = 0.5

#: Days a protocol message stays deliverable.
PROTOCOL_VALIDITY = timedelta(days=30)


class Slot(msgspec.Struct, frozen=True):
    """One message at the head of its lane, with what it takes to seal or send it."""

    row: OutboxRow
    payload: bytes
    salt: bytes
    release: ReleaseRow | None
    body: ReleaseBody | None


class Dispatcher:
    """Delivers what the lanes hold. `run` ends only when cancelled."""

    def __init__(self, gateway: Gateway, releases: Releases) -> None:
        self._g, self._releases = gateway, releases
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
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._work.wait(), IDLE_S)
        finally:
            for task in list(self._busy.values()):
                task.cancel()

    async def _partners(self) -> list[str]:
        now = self._g.clock.now()
        lanes = await self._g.store.read(lambda tx: _due(tx, now))
        return sorted({lane.partner for lane in lanes if self._stopped(lane.partner) is None})

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
            await asyncio.sleep(self._g.config.delivery.backoff_first_s)
        except Exception as defect:  # one partner's lanes must not take the others down, nor spin
            log.error("dispatch.defect", partner=partner, error=type(defect).__name__)
            await asyncio.sleep(self._g.config.delivery.backoff_most_s)
        finally:
            del self._busy[partner]

    # --- one batch ----------------------------------------------------------------------------------------------

    async def send_batch(self, partner: str) -> bool:
        """Take the heads of the due lanes of one partner as far as a receipt; whether anything was due.

        (1) what is queued is rechecked and gets its seq and its log entry (C4); (2) the head is signed and each
        message sealed under it (C5); (3) everything is rechecked again and marked attempted, before the first byte
        leaves; (4) encrypt anew, POST; (5) verify the receipt and commit it (C6), or back off.
        """
        slots = await self._heads(partner)
        if not slots:
            return False
        # (1)
        if any(slot.row.state == "queued" for slot in slots):
            slots = await self._sequence(partner, slots)
        # (2)
        if any(slot.row.state == "sequenced" for slot in slots):
            await self._seal(partner, [slot for slot in slots if slot.row.state == "sequenced"])
            slots = await self._heads(partner)
        # (3)
        slots = await self._attempt([slot for slot in slots if slot.row.state in ("sealed", "attempted")])
        if not slots:
            return True
        # (4), (5)
        await self._post(partner, slots)
        return True

    async def _heads(self, partner: str) -> list[Slot]:
        """Contiguous runs from the heads of the due lanes, as many as one batch takes."""
        limit, now = self._g.config.delivery.batch_messages, self._g.clock.now()

        def rows(tx: ReadTx) -> list[OutboxRow]:
            found: list[OutboxRow] = []
            for lane in _due(tx, now, partner):
                found += tx.select(
                    OutboxRow,
                    {
                        "partner": partner,
                        "conversation": lane.conversation,
                        "state": ("queued", "sequenced", "sealed", "attempted"),
                    },
                    order="position",
                    limit=limit - len(found),
                )
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
            size += len(slot.payload)
            if taken and size > self._g.config.delivery.batch_bytes:
                break
            taken.append(slot)
        return taken

    def _slot(self, tx: ReadTx, row: OutboxRow) -> Slot:
        if not row.release:
            body = self._g.vault.open(tx, row.body, ProtocolBody)
            return Slot(row, body.payload, body.salt, None, None)
        release = tx.get(ReleaseRow, row.release)
        content = self._g.vault.open(tx, row.body, ReleaseBody)
        return Slot(row, content.payload, content.salt, release, content)

    # --- C4 -----------------------------------------------------------------------------------------------------

    async def _sequence(self, partner: str, slots: Sequence[Slot]) -> list[Slot]:
        now = self._g.clock.now()
        await self._g.vault.reserve(2 * len(slots))

        def unit(tx: Tx) -> None:
            for slot in slots:
                row = tx.get(OutboxRow, slot.row.partner, slot.row.conversation, slot.row.position)
                if row is None or row.state != "queued":
                    continue
                if slot.release is not None and self._voided(tx, slot, now):
                    continue
                self._allot(tx, row, slot, now)

        await self._g.store.write(unit)
        return await self._heads(partner)

    def _voided(self, tx: Tx, slot: Slot, now: datetime) -> bool:
        """Recheck before the seq is allotted: a release voided here leaves no trace at the partner."""
        verdict = self._recheck(tx, slot, now)
        if verdict is None:
            return False
        release = _present(tx, slot)
        self._releases.void(tx, release, verdict, "gateway", now)
        tx.put(msgspec.structs.replace(slot.row, state="voided"))
        _shrink(tx, slot.row)
        log.info("release.voided", release=release.id, rule=verdict.rule)
        return True

    def _recheck(self, tx: ReadTx, slot: Slot, now: datetime) -> Void | None:
        if slot.release is None or slot.body is None:
            return None
        officers = self._releases.officers_of(tx, slot.release.id)
        if any(officer.suspended for officer in officers):
            return Void((house("officer.suspended"),))
        verdict = self._releases.recheck(tx, slot.release, slot.body, officers, now)
        return verdict if isinstance(verdict, Void) else None

    def _allot(self, tx: Tx, row: OutboxRow, slot: Slot, now: datetime) -> None:
        lane = tx.get(LaneRow, row.partner, row.conversation)
        seq = row.seq or (lane.next_seq if lane else 1)
        entry = self._g.ledger.announce(
            tx,
            now,
            row.partner,
            direction="out",
            event="message",
            message_id=row.message_id,
            conversation=row.conversation,
            seq=seq,
            message_type=row.type,
            payload=slot.payload,
            salt=slot.salt,
        )
        tx.put(msgspec.structs.replace(row, state=step("queued", "sequence"), seq=seq, entry=entry))
        if lane is not None and seq == lane.next_seq:
            tx.put(msgspec.structs.replace(lane, next_seq=seq + 1))
        if slot.release is not None:
            tx.put(msgspec.structs.replace(_present(tx, slot), state="sequenced"))

    # --- C5 -----------------------------------------------------------------------------------------------------

    async def _seal(self, partner: str, slots: Sequence[Slot]) -> None:
        """Have the partner log's head signed and each message sealed under it; recheck first, refuse alone."""
        gateway, now = self._g, self._g.clock.now()
        origin = gateway.ledger.of_partner(partner)
        agreement = gateway.directory.agreement(partner)
        entry = gateway.directory.partner(partner)
        encryption = entry.keys_for("encryption")
        if not encryption:
            raise PartnerFault("the partner's entry holds no encryption key", code="unknown-partner")
        slots = await self._withdraw_voided(slots)
        if not slots:
            return
        async with gateway.heads:
            signed = (await gateway.signer.heads()).get(origin, 0)

            def requests(tx: ReadTx) -> SealBatch:
                head = gateway.ledger.head(tx, origin, signed)
                items = [
                    SealRequest(
                        type=slot.row.type,
                        cty="application/json",
                        iat=int(now.timestamp()),
                        exp=slot.row.exp,
                        aud=partner,
                        enc_kid=encryption[0].kid,
                        suite=agreement.terms.suites[0],
                        sig_profile=agreement.terms.signature_profiles[0],
                        jti=slot.row.message_id,
                        conv=slot.row.conversation,
                        seq=slot.row.seq,
                        mode=gateway.config.mode,
                        agreement=agreement.sha256,
                        payload=slot.payload,
                        entry=_entry(tx, origin, slot.row.entry),
                        entry_index=slot.row.entry,
                        inclusion=gateway.ledger.inclusion(tx, origin, slot.row.entry, head.size),
                        body_salt=slot.salt,
                        evidence=self._evidence(tx, slot, canonical(entry)),
                    )
                    for slot in slots
                ]
                return SealBatch(head, tuple(items))

            batch = await gateway.store.read(requests)
            result = await gateway.signer.seal(batch)
            refused = [
                (slot, answer) for slot, answer in zip(slots, result.results, strict=True) if not answer.jws
            ]
            await gateway.vault.reserve(4 * len(refused) + 4)

            def unit(tx: Tx) -> None:
                tx.put(CheckpointRow(origin, batch.checkpoint.size, result.checkpoint, now))
                for slot, answer in zip(slots, result.results, strict=True):
                    row = _row(tx, slot)
                    if answer.jws:
                        seal = gateway.vault.seal(row.key, SealBody(answer.jws))
                        tx.insert(seal)
                        tx.put(msgspec.structs.replace(row, state="sealed", seal=seal.id))
                        if slot.release is not None:
                            tx.put(msgspec.structs.replace(_present(tx, slot), state="sealed"))
                for slot, answer in refused:
                    log.error(
                        "signer.refused", message=slot.row.message_id, code=answer.code, detail=answer.detail
                    )
                    self._withdraw(tx, slot, Void((house(f"signer.{answer.code}"),)), now)

            await gateway.store.write(unit)

    async def _withdraw_voided(self, slots: Sequence[Slot]) -> list[Slot]:
        now = self._g.clock.now()
        await self._g.vault.reserve(4 * len(slots) + 4)

        def unit(tx: Tx) -> list[Slot]:
            going = []
            for slot in slots:
                verdict = self._recheck(tx, slot, now)
                if verdict is None:
                    going.append(slot)
                else:
                    self._withdraw(tx, slot, verdict, now)
            return going

        return await self._g.store.write(unit)

    def _evidence(self, tx: ReadTx, slot: Slot, partner: bytes) -> ReleaseEvidence | None:
        if slot.body is None or slot.release is None:
            return None
        rows = sorted(
            tx.select(EndorsementRow, {"release": slot.release.id}), key=lambda row: row.act != "request"
        )
        return ReleaseEvidence(
            statement=slot.body.statement,
            endorsements=tuple(self._g.vault.open(tx, row.body, EndorsementBody).jws for row in rows),
            decision=slot.body.document,
            records=(slot.body.record,),
            partner=partner,
        )

    def _withdraw(self, tx: Tx, slot: Slot, verdict: Void, now: datetime) -> None:
        """Void a message whose seq is allotted. If the signer refuses even a void, only a person can help the lane."""
        if slot.release is not None:
            self._releases.void(tx, _present(tx, slot), verdict, "gateway", now)
        log.info("release.withdrawn", conversation=slot.row.conversation, seq=slot.row.seq, rule=verdict.rule)
        if slot.row.type == "void":
            self._hold(tx, slot.row)
        else:
            self.replace_by_void(tx, _row(tx, slot), now)

    def replace_by_void(self, tx: Tx, row: OutboxRow, now: datetime) -> None:
        """Put a content-free `void` into the slot of a message: it says that a number was withdrawn, never why.

        Two reserved data keys may be used up.
        """
        message_id = self._g.ids.uuid()
        envelope = Envelope(
            format="ct-exchange-json/1.0",
            type="void",
            mode=self._g.config.mode,
            message_id=message_id,
            conversation=row.conversation,
            sender=self._g.org,
            recipient=row.partner,
            created=rfc3339(now),
            language=self._g.config.language,
        )
        payload = CtJson().render(ExchangeMessage(envelope)).payload
        key = self._g.vault.fresh(now)
        body = self._g.vault.seal(key, ProtocolBody(payload, self._g.ids.blind()))
        tx.insert(key.row, body)
        tx.put(
            msgspec.structs.replace(
                row,
                message_id=message_id,
                release="",
                type="void",
                state="queued",
                key=key.id,
                body=body.id,
                entry=-1,
                seal="",
                receipt="",
                attempts=0,
                exp=int((now + PROTOCOL_VALIDITY).timestamp()),
            )
        )

    def _hold(self, tx: Tx, row: OutboxRow) -> None:
        lane = tx.get(LaneRow, row.partner, row.conversation)
        if lane is not None:
            tx.put(msgspec.structs.replace(lane, held=True))

    # --- attempt ------------------------------------------------------------------------------------------------

    async def _attempt(self, slots: Sequence[Slot]) -> list[Slot]:
        """Recheck once more, and write down that bytes are about to leave, before they do.

        What was never attempted and is voided now becomes a `void`; what was attempted before is looked up at the
        partner first, since it may be there already.
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
                verdict = self._recheck(tx, slot, now)
                if verdict is not None:
                    stuck.add(slot.row.conversation)
                    if slot.row.attempts == 0:
                        self._withdraw(tx, slot, verdict, now)
                    else:
                        doubtful.append((slot, verdict))
                    continue
                row = msgspec.structs.replace(
                    _row(tx, slot), state=step(slot.row.state, "attempt"), attempts=slot.row.attempts + 1
                )
                tx.put(row)
                if slot.release is not None:
                    tx.put(msgspec.structs.replace(_present(tx, slot), state="attempted"))
                going.append(msgspec.structs.replace(slot, row=row))
            return going, doubtful

        going, doubtful = await self._g.store.write(unit)
        for slot, verdict in doubtful:
            await self._resolve(slot, verdict)
        return going

    async def _resolve(self, slot: Slot, verdict: Void) -> None:
        """A voided message that was attempted: ask the partner whether it has it, then void or note the delivery."""
        partner = self._g.directory.partner(slot.row.partner)
        try:
            answer = await self._g.transport.fetch_receipt(slot.row.message_id, to=partner)
        except GatewayError:
            await self._back_off([slot], None)
            return
        if answer is not None:
            await self._settle([slot], self._verify(slot.row.partner, answer, [slot]))
            log.warning("release.delivered-then-voided", message=slot.row.message_id, rule=verdict.rule)
            return
        await self._g.vault.reserve()
        now = self._g.clock.now()
        await self._g.store.write(lambda tx: self._withdraw(tx, slot, verdict, now))

    async def _post(self, partner: str, slots: Sequence[Slot]) -> None:
        entry = self._g.directory.partner(partner)
        keys = {key.kid: key for key in entry.keys_for("encryption")}

        def sealed(tx: ReadTx) -> list[bytes]:
            messages = []
            for slot in slots:
                jws = self._g.vault.open(tx, slot.row.seal, SealBody).jws
                header = read_seal(jws)
                preamble = Preamble(
                    v=1, suite=header.suite, iss=header.iss, aud=header.aud, jti=header.jti, enc_kid=header.enc_kid
                )
                messages.append(encrypt(preamble, pack(jws, slot.payload), keys[header.enc_kid]))
            return messages

        try:
            batch = frame(await self._g.store.read(sealed))
            answer = await self._g.transport.deliver(batch, to=entry)
            receipt = self._verify(partner, answer, slots)
        except KeyError:
            await self._hold_all(slots, "partner-key-gone")
        except Unavailable as away:
            log.warning("delivery.unavailable", partner=partner, code=away.code, messages=len(slots))
            await self._back_off(slots, away.retry_after)
        except PartnerFault as fault:
            log.error("delivery.refused", partner=partner, code=fault.code, messages=len(slots))
            await self._back_off(slots, None)
        else:
            await self._settle(slots, receipt)

    # --- C6 -----------------------------------------------------------------------------------------------------

    def _verify(self, partner: str, answer: bytes, slots: Sequence[Slot]) -> VerifiedReceipt:
        entry = self._g.directory.partner(partner)
        try:
            token = answer.decode("ascii")
        except UnicodeDecodeError:
            raise SignatureInvalid("the receipt is not a compact JWS") from None
        return verify_receipt(
            token,
            entry.keys_for("receipt"),
            now=self._g.clock.now(),
            iss=partner,
            aud=self._g.org,
            sent=[(slot.row.message_id, digest(slot.payload)) for slot in slots],
        )

    async def _settle(self, slots: Sequence[Slot], receipt: VerifiedReceipt) -> None:
        """C6: the receipt, its log entry and every message's end in one commit."""
        gateway, now = self._g, self._g.clock.now()
        statement = receipt.statement
        partner = slots[0].row.partner
        witness = held_row(gateway.directory.partner(partner), gateway.org, statement.checkpoint, now)
        await gateway.vault.reserve(4 * len(slots) + 4)

        def unit(tx: Tx) -> None:
            if tx.get(ReceiptRow, statement.id) is None:
                key, salt = gateway.vault.fresh(now), gateway.ids.blind()
                raw = canonical(statement)
                body = gateway.vault.seal(key, ReceiptBody(raw, receipt.jws, salt))
                tx.insert(key.row, body, ReceiptRow(statement.id, "in", partner, key.id, body.id, True, now))
                gateway.ledger.announce(
                    tx,
                    now,
                    partner,
                    direction="in",
                    event="receipt",
                    message_id=statement.id,
                    conversation=statement.id,
                    seq=len(statement.items),
                    message_type="receipt",
                    payload=raw,
                    salt=salt,
                )
            if witness is not None:
                tx.put(witness)
            for slot in slots:
                self._end(tx, slot, receipt.outcomes[slot.row.message_id], statement.id, now)

        await gateway.store.write(unit)

    def _end(self, tx: Tx, slot: Slot, item: ReceiptItem, receipt: str, now: datetime) -> None:
        row = _row(tx, slot)
        if row.state != "attempted":
            return
        if item.outcome == "accepted":
            tx.put(msgspec.structs.replace(row, state="delivered", receipt=receipt))
            if slot.release is not None:
                tx.put(msgspec.structs.replace(_present(tx, slot), state="delivered"))
            _shrink(tx, row)
            return
        if item.outcome == "not-processed" or item.code == "out-of-order":
            self._later(tx, row, now)
            return
        # Refused for itself: its number is still free at the partner, so the lane waits for a person (queue skip).
        log.error("message.refused", message=row.message_id, code=item.code or "")
        tx.put(msgspec.structs.replace(row, state="refused", receipt=receipt))
        if slot.release is not None:
            tx.put(msgspec.structs.replace(_present(tx, slot), state="refused", reason=item.code or ""))
        self._hold(tx, row)

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
        if lane is None:
            return
        delivery = self._g.config.delivery
        most = min(delivery.backoff_most_s, delivery.backoff_first_s * 2 ** min(lane.attempts, 20))
        wait = max(retry_after or 0.0, random.uniform(most / 2, most))  # noqa: S311 - spreads retries, guards nothing
        due = now + timedelta(seconds=round(wait))
        tx.put(msgspec.structs.replace(lane, attempts=lane.attempts + 1, due=due))

    async def _hold_all(self, slots: Sequence[Slot], reason: str) -> None:
        log.error("lanes.held", reason=reason, messages=len(slots))

        def unit(tx: Tx) -> None:
            for slot in slots:
                self._hold(tx, slot.row)

        await self._g.store.write(unit)


def _due(tx: ReadTx, now: datetime, partner: str | None = None) -> list[LaneRow]:
    """Lanes with work that is due, the most urgent first, then the one that has waited longest."""
    where: dict[str, object] = {"held": False} if partner is None else {"held": False, "partner": partner}
    lanes = tx.select(LaneRow, where, at_least=("queued", 1))
    due = [lane for lane in lanes if lane.due is None or lane.due <= now]
    return sorted(due, key=lambda lane: (-lane.priority, lane.due or now, lane.conversation))


def _row(tx: ReadTx, slot: Slot) -> OutboxRow:
    row = tx.get(OutboxRow, slot.row.partner, slot.row.conversation, slot.row.position)
    if row is None:
        raise AuditBroken("an outbox row is gone")
    return row


def _present(tx: ReadTx, slot: Slot) -> ReleaseRow:
    row = tx.get(ReleaseRow, slot.row.release)
    if row is None:
        raise AuditBroken("a release is gone")
    return row


def _entry(tx: ReadTx, origin: str, position: int) -> bytes:
    row = tx.get(EntryRow, origin, position)
    if row is None:
        raise AuditBroken("a log entry is gone", diagnostic={"log": origin, "index": position})
    return row.entry


def _shrink(tx: Tx, row: OutboxRow) -> None:
    """One message of the lane is finished: the lane starts afresh."""
    lane = tx.get(LaneRow, row.partner, row.conversation)
    if lane is not None:
        tx.put(msgspec.structs.replace(lane, queued=lane.queued - 1, attempts=0, due=None))

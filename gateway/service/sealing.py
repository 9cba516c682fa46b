"""Numbers and seals: a message gets its seq and log entry (C4), then its seal under a signed head (C5).

A release that is voided before its number is allotted leaves no trace at the partner; after that, a content-free
`void` takes its place in the lane.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
import structlog

from gateway.errors import UnknownPartner
from gateway.flow.change import canonical
from gateway.flow.lifecycle import step
from gateway.flow.outbound import Void, house
from gateway.model.message import Envelope, ExchangeMessage
from gateway.model.party import KeyRecord, Partner
from gateway.model.rows import (
    CheckpointRow,
    LaneRow,
    OutboxRow,
    ReleaseRow,
)
from gateway.model.signing import (
    AgreementEvidence,
    RecallEvidence,
    ReleaseEvidence,
    ReplyEvidence,
    SealBatch,
    SealRequest,
)
from gateway.model.time import rfc3339
from gateway.ports import ReadTx, Tx
from gateway.service.coded import Coded
from gateway.service.consented import against_grant
from gateway.service.contents import CodedBody, EndorsementBody, ProtocolBody, ReleaseBody, SealBody
from gateway.service.context import Gateway
from gateway.service.corrections import corrected_by_us
from gateway.service.emergencies import Emergencies
from gateway.service.ledger import Crossing
from gateway.service.recalls import recalled_by_us
from gateway.service.releases import Releases
from gateway.service.signatures import endorsed, signing
from gateway.service.slots import Slot, Slots, entry_bytes, hold, leave, move, outbox_row, release_row
from gateway.wire.ct_json import CtJson

log = structlog.get_logger()

#: Days a protocol message stays deliverable.
PROTOCOL_VALIDITY = timedelta(days=30)


class Sealing:
    """C4 and C5."""

    def __init__(self, gateway: Gateway, releases: Releases) -> None:
        self._g, self._releases, self._slots = gateway, releases, Slots(gateway)
        self._coded, self._emergencies = Coded(gateway), Emergencies(gateway, releases)

    # --- C4 -----------------------------------------------------------------------------------------------------

    async def sequence(self, partner: str, slots: Sequence[Slot]) -> list[Slot]:
        """Recheck what is queued, and give the numbers; returns the heads of the lanes after it.

        A look that finds something void gives no number at all: the caller looks again at what took its place, and the
        numbers of a batch are one commit. A crash between two looks then leaves the same as if nothing had been queued.
        """
        now = self._g.clock.now()
        await self._g.vault.reserve(2 * len(slots))

        def unit(tx: Tx) -> None:
            queued = []
            for slot in slots:
                row = tx.get(OutboxRow, slot.row.partner, slot.row.conversation, slot.row.position)
                if row is not None and row.state == "queued":
                    queued.append((slot, row))
            void = [slot for slot, _ in queued if slot.release is not None and self._voided(tx, slot, now)]
            if void or not queued:
                return
            going = [(slot, self._allot(tx, row)) for slot, row in queued]
            crossings = [_crossing(slot, row) for slot, row in going]
            entry = self._g.ledger.announce(tx, now, partner, crossings)
            for position, (_, row) in enumerate(going, entry):
                move(tx, msgspec.structs.replace(row, entry=position), "sequence")

        await self._g.store.write(unit)
        return await self._slots.heads(partner)

    def _voided(self, tx: Tx, slot: Slot, now: datetime) -> bool:
        """Recheck before the seq is allotted: a release voided here leaves no trace at the partner."""
        verdict = self.recheck(tx, slot, now)
        if verdict is None:
            return False
        release = release_row(tx, slot)
        self._releases.void(tx, release, verdict, "gateway", now)
        tx.put(msgspec.structs.replace(slot.row, state=step(slot.row.state, "void")))
        leave(tx, slot.row)
        log.info("release.voided", release=release.id, rule=verdict.rule)
        return True

    def recheck(self, tx: ReadTx, slot: Slot, now: datetime) -> Void | None:
        """Why a message may not go on, as of this transaction; None when it may, and for protocol messages."""
        if slot.release is None or slot.body is None:
            return None
        about = slot.row.partner, slot.row.message_id
        if recalled_by_us(tx, *about) or corrected_by_us(tx, *about):
            return Void((house("release.recalled"),))
        if isinstance(slot.body, CodedBody):
            grant = against_grant(tx, slot.body, now) if slot.row.type == "consent-answer" else ()
            if grant:
                return Void(tuple(house(rule) for rule in grant))
            return self._coded.recheck(tx, slot.release, slot.body, now)
        signed = endorsed(self._g, tx, slot.release, slot.body, now)
        if isinstance(signed, Void):
            return signed
        verdict = self._releases.recheck(tx, slot.release, slot.body, signed, now)
        return verdict if isinstance(verdict, Void) else None

    def _allot(self, tx: Tx, row: OutboxRow) -> OutboxRow:
        """The row with its number: the lane's next, or the one it had (a `void` takes the place of a message)."""
        lane = tx.get(LaneRow, row.partner, row.conversation)
        seq = row.seq or (lane.next_seq if lane else 1)
        if lane is not None and seq == lane.next_seq:
            tx.put(msgspec.structs.replace(lane, next_seq=seq + 1))
        return msgspec.structs.replace(row, seq=seq)

    # --- C5 -----------------------------------------------------------------------------------------------------

    async def seal(self, partner: str, slots: Sequence[Slot]) -> None:
        """Have the partner log's head signed and each message sealed under it; recheck first, refuse alone.

        Raises `OutsideAgreement` or `UnknownPartner` when nothing can be sealed for this partner now, after what is
        void was withdrawn.
        """
        gateway, now = self._g, self._g.clock.now()
        origin = gateway.ledger.of_partner(partner)
        slots = await self._withdraw_voided(slots)
        if not slots:
            return
        agreement = gateway.directory.agreement(partner)
        entry = gateway.directory.partner(partner)
        entry_document = canonical(entry)
        encryption = encryption_key(entry, agreement.terms.suites[0], now)
        if await gateway.store.read(lambda tx: gateway.ledger.long_unsigned(tx, origin)):
            await gateway.checkpoint_logs([origin])
        if any(slot.row.type == "emergency" for slot in slots):
            await self._emergencies.tell_signer()
        async with gateway.heads:
            signed = (await gateway.signer.heads()).get(origin, 0)

            def requests(tx: ReadTx) -> SealBatch:
                head = gateway.ledger.head(tx, origin, signed)
                items = [
                    SealRequest(
                        type=slot.row.type,
                        iat=int(now.timestamp()),
                        exp=slot.row.exp,
                        aud=partner,
                        enc_kid=encryption.kid,
                        suite=agreement.terms.suites[0],
                        sig_profile=agreement.terms.signature_profiles[0],
                        jti=slot.row.message_id,
                        conv=slot.row.conversation,
                        seq=slot.row.seq,
                        mode=gateway.config.mode,
                        agreement=agreement.sha256,
                        payload=slot.payload,
                        entry=entry_bytes(tx, origin, slot.row.entry),
                        entry_index=slot.row.entry,
                        inclusion=gateway.ledger.inclusion(tx, origin, slot.row.entry, head.size),
                        body_salt=slot.salt,
                        evidence=self._evidence(tx, slot, entry_document),
                        recall=coded if isinstance(coded, RecallEvidence) else None,
                        reply=coded if isinstance(coded, ReplyEvidence) else None,
                        terms=coded if isinstance(coded, AgreementEvidence) else None,
                    )
                    for slot in slots
                    for coded in [self._coded_evidence(tx, slot, entry_document, head.size)]
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
                    row = outbox_row(tx, slot)
                    if answer.jws:
                        seal = gateway.vault.seal(row.key, SealBody(answer.jws, answer.second))
                        tx.insert(seal)
                        move(tx, row, "seal", seal=seal.id)
                for slot, answer in refused:
                    log.error(
                        "signer.refused", message=slot.row.message_id, code=answer.code, detail=answer.detail
                    )
                    self.withdraw(tx, slot, Void((house(f"signer.{answer.code}"),)), now)

            await gateway.store.write(unit)

    async def _withdraw_voided(self, slots: Sequence[Slot]) -> list[Slot]:
        now = self._g.clock.now()
        await self._g.vault.reserve(4 * len(slots) + 4)

        def unit(tx: Tx) -> list[Slot]:
            going = []
            for slot in slots:
                verdict = self.recheck(tx, slot, now)
                if verdict is None:
                    going.append(slot)
                else:
                    self.withdraw(tx, slot, verdict, now)
            return going

        return await self._g.store.write(unit)

    def _evidence(self, tx: ReadTx, slot: Slot, partner: bytes) -> ReleaseEvidence | None:
        if not isinstance(slot.body, ReleaseBody) or slot.release is None:
            return None
        tokens = tuple(
            self._g.vault.open(tx, row.body, EndorsementBody).jws for _, row in signing(tx, slot.release.id)
        )
        alone = slot.body.oral_approver and len(tokens) == 1
        return ReleaseEvidence(
            statement=slot.body.statement,
            endorsements=tokens,
            decision=slot.body.document,
            records=(slot.body.record,),
            partner=partner,
            settings=canonical(self._g.directory.settings) if alone else b"",
        )

    def _coded_evidence(
        self, tx: ReadTx, slot: Slot, partner: bytes, size: int
    ) -> RecallEvidence | ReplyEvidence | AgreementEvidence | None:
        if not isinstance(slot.body, CodedBody) or slot.release is None:
            return None
        return self._coded.evidence(tx, slot.release, slot.body, partner, size)

    def withdraw(self, tx: Tx, slot: Slot, verdict: Void, now: datetime) -> None:
        """Void a message whose seq is allotted. If the signer refuses even a void, only a person can help the lane."""
        if slot.release is not None:
            self._releases.void(tx, release_row(tx, slot), verdict, "gateway", now)
        log.info("release.withdrawn", conversation=slot.row.conversation, seq=slot.row.seq, rule=verdict.rule)
        if slot.row.type == "void":
            hold(tx, slot.row)
        else:
            self.replace_by_void(tx, outbox_row(tx, slot), now)

    def void_release(self, tx: Tx, release: ReleaseRow, now: datetime) -> None:
        """A person gave up a message that the partner refused."""
        self._releases.void(tx, release, Void((house("queue.skipped"),)), "gateway", now)

    def replace_by_void(self, tx: Tx, row: OutboxRow, now: datetime) -> None:
        """Put a content-free `void` into the slot of a message: it says that a number was withdrawn, never why.

        Two reserved data keys may be used up.
        """
        message_id = self._g.ids.uuid()
        agreement = self._g.directory.agreements.get(row.partner)
        agreed = agreement.terms.languages if agreement else ()
        ours = self._g.config.language
        envelope = Envelope(
            format="ct-exchange-json/1.0",
            type="void",
            mode=self._g.config.mode,
            message_id=message_id,
            conversation=row.conversation,
            sender=self._g.org,
            recipient=row.partner,
            created=rfc3339(now),
            language=ours if ours in agreed or not agreed else agreed[0],
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
                replaces=row.message_id,
                attempts=0,
                exp=int((now + PROTOCOL_VALIDITY).timestamp()),
            )
        )


def _crossing(slot: Slot, row: OutboxRow) -> Crossing:
    return Crossing(
        direction="out",
        event="message",
        message_id=row.message_id,
        conversation=row.conversation,
        seq=row.seq,
        message_type=row.type,
        payload=slot.payload,
        salt=slot.salt,
    )


def encryption_key(partner: Partner, suite: str, now: datetime) -> KeyRecord:
    """The partner's encryption key of the agreed suite that is valid now; raises `UnknownPartner` without one."""
    for key in partner.keys_for("encryption"):
        begun = key.not_before is None or key.not_before <= now
        if key.alg == suite and begun and (key.not_after is None or now < key.not_after):
            return key
    raise UnknownPartner("the partner's entry holds no encryption key of the agreed suite that is valid now")

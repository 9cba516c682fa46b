"""The way in: a batch of sealed messages becomes one signed receipt.

Whatever a partner sends, the answer is a receipt that names every message, or one code for a POST that cannot be
attributed. Acknowledged means durable: the commit comes first, then the signature over the stored statement, then
the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import msgspec
import structlog

from gateway.errors import (
    DigestConflict,
    MalformedMessage,
    OutOfOrder,
    OutsideAgreement,
    PartnerFault,
    Replayed,
    UnknownPartner,
    WrongAudience,
)
from gateway.flow.change import digest
from gateway.flow.finding import people_of
from gateway.flow.inbound import AdmittedMessage, admit, check_covered, check_seq, check_window
from gateway.flow.offer import receive_agreement
from gateway.model.agreement import AgreementState
from gateway.model.case_rows import RevocationRow
from gateway.model.party import Partner
from gateway.model.rows import BodyRow, HeldRow, InboxRow, KeyRow, LaneRow, QuarantineRow, ReceiptRow
from gateway.ports import ReadTx, Tx
from gateway.service.agreements import note_agreement, require_expected
from gateway.service.consents import note_consent_request
from gateway.service.contents import InboundBody, QuarantineBody, ReceiptBody
from gateway.service.context import Gateway
from gateway.service.held import held_row, keep_head, newest_held
from gateway.service.ledger import Crossing
from gateway.service.questions import note_request
from gateway.service.received import note_correction, note_recall
from gateway.service.sightings import Sighted, blinded, note
from gateway.service.vault import keys_of
from gateway.wire.container import deframe, require_consistent, split, unpack
from gateway.wire.ct_json import CtJson
from gateway.wire.receipt import ReceiptItem, ReceiptStatement, statement_bytes
from gateway.wire.seal import SealHeader, read_seal, verify_seal

log = structlog.get_logger()


class Arrived(msgspec.Struct, frozen=True):
    """One message of a batch: opened, not yet believed."""

    sealed: bytes
    header: SealHeader
    payload: bytes
    jws: str
    second: str

    @property
    def digest(self) -> str:
        """Third part of the identity (sender, id, payload_sha256)."""
        return digest(self.payload)


class Checked(msgspec.Struct, frozen=True):
    """A message that may be committed, with the partner's log head it carried."""

    arrived: Arrived
    admitted: AdmittedMessage
    witness: HeldRow | None
    terms: AgreementState | None = None  # that it is about

    @property
    def revokes(self) -> bool:
        said = self.admitted.message.agreement
        return said is not None and said.action == "revoked"


class Intake:
    """Accepts batches for one organisation."""

    def __init__(self, gateway: Gateway) -> None:
        self._g = gateway

    async def accept(
        self, org: str, raw: bytes, *, counted: Callable[[int], object] = lambda _n: None
    ) -> str:
        """Handle one POST of the partner behind this TLS identity; returns the receipt (compact JWS).

        (1) the partner is in force; (2) every message opens and its seal is readable, or the batch is not
        attributable and refused whole; (3) known identities are recognised before anything else is asked; (4) each
        unknown one is verified and admitted, alone; (5) sequence, effects, entries and the receipt *statement* are
        one commit; (6) the signer signs the stored statement, the signature is stored, the receipt is the answer.
        Raises a `PartnerFault` only when the POST as a whole is refused. ``counted`` is told how many messages came,
        before anything is done for them.
        """
        # (1)
        await self._g.turn_directory()
        partner = self._g.directory.partner(org)
        now = self._g.clock.now()
        # (2)
        batch = deframe(raw)
        del raw  # the messages are copies: a batch stands in memory once
        counted(len(batch))
        arrived = [await self._open(partner, sealed) for sealed in batch]
        if len({one.header.jti for one in arrived}) != len(arrived):
            raise MalformedMessage("a batch names one message twice")
        # (3)
        known = await self._known(org, arrived)
        repeated = await self._repeated(arrived, known)
        if repeated is not None:
            return repeated
        # (4)
        verdicts = [known.get(one.header.jti) or self._check(partner, one, now) for one in arrived]
        # (5)
        receipt = await self._commit(partner, arrived, verdicts, now)
        if any(isinstance(verdict, Checked) and verdict.revokes for verdict in verdicts):
            await self._g.reload_directory()
            self._g.wake()
        # (6)
        return await self.signed(receipt)

    async def receipt(self, org: str, message_id: str) -> str | None:
        """The stored receipt of a message this partner sent, or None when we do not have the message.

        Raises `UnknownPartner` for a partner that is stopped, whose connection may outlast the stop.
        """
        self._g.directory.partner(org)
        row = await self._g.store.read(lambda tx: tx.get(InboxRow, org, message_id))
        return await self.signed(row.receipt) if row is not None else None

    async def head(self, org: str) -> bytes | None:
        """The newest head of its log about us that this partner sent, for a partner that lost its own. Raises
        `UnknownPartner` for one that is stopped."""
        self._g.directory.partner(org)
        row = await self._g.store.read(lambda tx: newest_held(tx, org, self._g.org))
        return row.note if row is not None else None

    # --- opening ------------------------------------------------------------------------------------------------

    async def _open(self, partner: Partner, sealed: bytes) -> Arrived:
        preamble, line, ciphertext = split(sealed)
        if preamble.iss != partner.org:
            raise UnknownPartner("a message was sent over another partner's TLS identity", code="replayed")
        if preamble.aud != self._g.org:
            raise WrongAudience("a message is sealed for another organisation")
        parts = unpack(await self._g.signer.open(preamble.suite, line, ciphertext))
        header = read_seal(parts.jws)
        require_consistent(preamble, header)
        return Arrived(sealed, header, parts.payload, parts.jws, parts.second)

    async def _known(self, org: str, arrived: Sequence[Arrived]) -> dict[str, ReceiptItem | PartnerFault]:
        """What we answered before: accepted ones by identity, and id clashes with other bytes."""

        def rows(tx: ReadTx) -> tuple[list[InboxRow], list[KeyRow]]:
            found = tx.select(
                InboxRow, {"sender": org, "message_id": tuple(one.header.jti for one in arrived)}
            )
            return found, keys_of(tx, [row.key for row in found])

        found, keys = await self._g.store.read(rows)
        await self._g.vault.unlock(keys)

        def digests(tx: ReadTx) -> dict[str, str]:
            here = [row for row in found if tx.get(BodyRow, row.body) is not None]
            opened = {row.message_id: self._g.vault.open(tx, row.body, InboundBody) for row in here}
            return {name: body.payload_sha256 for name, body in opened.items()}

        stored, ids = await self._g.store.read(digests), {row.message_id for row in found}
        known: dict[str, ReceiptItem | PartnerFault] = {}
        for one in arrived:
            before = stored.get(one.header.jti)
            if before == one.digest:
                known[one.header.jti] = ReceiptItem(one.header.jti, one.digest, "accepted")
            elif before is not None:
                known[one.header.jti] = DigestConflict("a known message id came with other bytes")
            elif one.header.jti in ids:
                known[one.header.jti] = Replayed("a message of this id came before, and is kept no longer")
        return known

    async def _repeated(
        self, arrived: Sequence[Arrived], known: dict[str, ReceiptItem | PartnerFault]
    ) -> str | None:
        """The stored receipt, byte for byte, when one covers every message of this batch and all are duplicates."""
        if not all(isinstance(known.get(one.header.jti), ReceiptItem) for one in arrived):
            return None
        org = arrived[0].header.iss
        rows = await self._g.store.read(
            lambda tx: tx.select(
                InboxRow, {"sender": org, "message_id": tuple(one.header.jti for one in arrived)}
            )
        )
        receipts = {row.receipt for row in rows}
        return await self.signed(receipts.pop()) if len(receipts) == 1 else None

    # --- checking -----------------------------------------------------------------------------------------------

    def _check(self, partner: Partner, one: Arrived, now: datetime) -> Checked | PartnerFault:
        """Seal, window, strict parse, agreement. The fault is a value: a message fails alone.

        The signature profile is the one of the agreement in force: what a seal claims of itself decides nothing.
        """
        try:
            agreement = self._g.directory.agreement(partner.org)
            (profile,) = agreement.terms.signature_profiles
            evidence = verify_seal(
                one.jws, one.second, one.payload, partner.keys_for("message"), profile=profile, now=now
            )
            check_window(evidence, now=now)
            message = CtJson().parse(one.payload)
            if agreement.sha256 != one.header.agreement:
                raise OutsideAgreement("the message names another agreement than the one in force")
            admitted = admit(
                message,
                evidence,
                agreement,
                ours=self._g.org,
                mode=self._g.config.mode,
                levels=self._g.levels,
                now=now,
            )
            said = message.agreement
            terms = (
                receive_agreement(said, agreement, ours=self._g.org, partner=partner, now=now)
                if said is not None
                else None
            )
            return Checked(one, admitted, held_row(partner, self._g.org, one.header.checkpoint, now), terms)
        except PartnerFault as fault:
            return fault.with_traceback(None)  # whose frames would hold the parsed payload until the commit

    # --- committing ---------------------------------------------------------------------------------------------

    async def _commit(
        self,
        partner: Partner,
        arrived: Sequence[Arrived],
        verdicts: Sequence[ReceiptItem | Checked | PartnerFault],
        now: datetime,
    ) -> str:
        gateway = self._g
        receipt = gateway.ids.uuid()
        await gateway.vault.reserve(3 * len(arrived) + 2)
        sighted = await self._people(verdicts)

        def unit(tx: Tx) -> None:
            items: list[ReceiptItem] = []
            crossings: list[Crossing] = []
            first = gateway.ledger.size(tx, gateway.ledger.of_partner(partner.org))
            stuck: set[str] = set()
            for one, verdict in zip(arrived, verdicts, strict=True):
                if isinstance(verdict, ReceiptItem):
                    items.append(verdict)
                elif one.header.conv in stuck:
                    items.append(ReceiptItem(one.header.jti, one.digest, "not-processed"))
                else:
                    item = self._one(tx, partner, one, verdict, receipt, now, crossings, first, sighted)
                    items.append(item)
                    if item.outcome != "accepted":
                        stuck.add(one.header.conv)
            newest = gateway.ledger.newest(tx, gateway.ledger.of_partner(partner.org))
            statement = statement_bytes(
                ReceiptStatement(
                    v=1,
                    id=receipt,
                    iss=gateway.org,
                    aud=partner.org,
                    at=now,
                    items=tuple(items),
                    checkpoint=newest.note.decode() if newest else "",
                )
            )
            key, salt = gateway.vault.fresh(now), gateway.ids.blind()
            body = gateway.vault.seal(key, ReceiptBody(statement, "", salt))
            tx.insert(key.row, body, ReceiptRow(receipt, "out", partner.org, key.id, body.id, False, now))
            crossings.append(
                Crossing(
                    direction="out",
                    event="receipt",
                    message_id=receipt,
                    conversation=receipt,
                    seq=len(items),
                    message_type="receipt",
                    payload=statement,
                    salt=salt,
                )
            )
            gateway.ledger.announce(tx, now, partner.org, crossings)

        await gateway.store.write(unit)
        return receipt

    async def _people(self, verdicts: Sequence[ReceiptItem | Checked | PartnerFault]) -> dict[str, Sighted]:
        """Whom each message that may be kept mentions, blinded, by message id."""
        kept = [one for one in verdicts if isinstance(one, Checked)]
        people = [
            [person for part in one.admitted.message.records for person in people_of(part.content)]
            for one in kept
        ]
        found = await blinded(self._g.signer, people) if kept else []
        return {one.arrived.header.jti: sighted for one, sighted in zip(kept, found, strict=True)}

    def _one(
        self,
        tx: Tx,
        partner: Partner,
        one: Arrived,
        verdict: Checked | PartnerFault,
        receipt: str,
        now: datetime,
        crossings: list[Crossing],
        first: int,
        sighted: Mapping[str, Sighted],
    ) -> ReceiptItem:
        """What becomes of one message; what is kept of it stands in ``crossings``, to be announced from the place
        ``first`` of the log on."""
        header = one.header
        if isinstance(verdict, Checked) and tx.get(InboxRow, partner.org, header.jti) is not None:
            # It came over another connection meanwhile and was committed first: the next try gets that receipt.
            return ReceiptItem(header.jti, one.digest, "not-processed")
        try:
            if isinstance(verdict, PartnerFault):
                raise verdict
            if (
                tx.get(RevocationRow, partner.org, header.agreement) is not None
            ):  # in this batch, or just before
                raise OutsideAgreement("the agreement is not in force")
            lane = tx.get(LaneRow, partner.org, header.conv) or LaneRow(partner.org, header.conv)
            check_seq(header.seq, lane.expected)
            check_covered(header.seq, verdict.witness.size if verdict.witness else 0)
            said = verdict.admitted.message.agreement
            if said is not None and verdict.terms is not None:
                require_expected(tx, partner.org, said, verdict.terms)
        except PartnerFault as fault:
            self._quarantine(tx, partner.org, one, fault, now)
            expected = fault.expected if isinstance(fault, OutOfOrder) else 0
            return ReceiptItem(header.jti, one.digest, "refused", fault.code, expected)
        entry = first + len(crossings)
        crossings.append(self._keep(tx, partner.org, one, verdict, receipt, entry, now, sighted))
        tx.put(msgspec.structs.replace(lane, expected=lane.expected + 1))
        return ReceiptItem(header.jti, one.digest, "accepted")

    def _keep(
        self,
        tx: Tx,
        org: str,
        one: Arrived,
        checked: Checked,
        receipt: str,
        entry: int,
        now: datetime,
        sighted: Mapping[str, Sighted],
    ) -> Crossing:
        gateway, header = self._g, one.header
        key, salt = gateway.vault.fresh(now), gateway.ids.blind()
        body = gateway.vault.seal(key, InboundBody(one.payload, one.jws, one.digest, salt, one.second))
        message = checked.admitted.message
        tx.insert(
            key.row,
            body,
            InboxRow(
                sender=org,
                message_id=header.jti,
                state="received",
                conversation=header.conv,
                seq=header.seq,
                type=header.message_type,
                mode=header.mode,
                key=key.id,
                body=body.id,
                receipt=receipt,
                received_at=now,
                entry=entry,
                keep_until=message.handling.retention_until if message.handling is not None else "",
            ),
        )
        note(gateway, tx, now, "message", f"{org}/{header.jti}", key.id, sighted[header.jti])
        if message.recall is not None:
            note_recall(tx, org, message.recall, header.jti, now)
        if message.correction is not None:
            note_correction(tx, org, message.correction, header.jti, now)
        if checked.terms is not None:
            note_agreement(tx, message, checked.terms, now)
        if header.message_type == "request":
            note_request(tx, message, now)
        if header.message_type == "consent-request":
            note_consent_request(tx, message, now)
        if checked.witness is not None:
            keep_head(gateway, tx, checked.witness, org, now)
        return Crossing(
            direction="in",
            event="message",
            message_id=header.jti,
            conversation=header.conv,
            seq=header.seq,
            message_type=header.message_type,
            payload=one.payload,
            salt=salt,
        )

    def _quarantine(self, tx: Tx, org: str, one: Arrived, fault: PartnerFault, now: datetime) -> None:
        """Keep what was refused, within the partner's quota; above it only its digest. Rewinds are not kept."""
        if isinstance(fault, OutOfOrder):
            return
        gateway = self._g
        log.warning("message.refused", partner=org, message=one.header.jti, code=fault.code)
        if tx.count(QuarantineRow, {"partner": org}) >= gateway.config.inbound.quarantine_items:
            self._overflow(tx, org, one, fault, now)
            return
        key = gateway.vault.fresh(now)
        kept = gateway.vault.seal(key, QuarantineBody(one.sealed))
        row = QuarantineRow(
            gateway.ids.uuid(), org, fault.code, digest(one.sealed), len(one.sealed), kept.id, now
        )
        tx.insert(key.row, kept, row)
        gateway.ledger.record(tx, now, "refused", org, row.id, {"code": fault.code})

    def _overflow(self, tx: Tx, org: str, one: Arrived, fault: PartnerFault, now: datetime) -> None:
        """Above its quota a partner makes us keep one row a code: the newest digest, and the bytes it has sent."""
        name = f"over-quota/{org}/{fault.code}"
        before = tx.get(QuarantineRow, name)
        size = len(one.sealed) + (before.size if before else 0)
        tx.put(QuarantineRow(name, org, fault.code, digest(one.sealed), size, "", now))
        if before is None:
            self._g.ledger.record(
                tx, now, "refused", org, "", {"code": fault.code, "quarantine": "over quota"}
            )

    # --- receipts -----------------------------------------------------------------------------------------------

    async def signed(self, receipt: str) -> str:
        """The receipt's JWS; signs the stored statement now if a crash came between commit and signature."""
        gateway = self._g

        def rows(tx: ReadTx) -> tuple[ReceiptRow | None, list[KeyRow]]:
            row = tx.get(ReceiptRow, receipt)
            return row, keys_of(tx, [row.key] if row else [])

        row, keys = await gateway.store.read(rows)
        if row is None:
            raise MalformedMessage("there is no such receipt")
        await gateway.vault.unlock(keys)
        body_id, key = row.body, row.key
        body = await gateway.store.read(lambda tx: gateway.vault.open(tx, body_id, ReceiptBody))
        if body.jws:
            return body.jws
        jws = (await gateway.signer.receipts([body.statement]))[0]

        def unit(tx: Tx) -> str:
            now_stored = tx.get(ReceiptRow, receipt)
            if now_stored is not None and now_stored.signed:
                return gateway.vault.open(tx, now_stored.body, ReceiptBody).jws
            sealed = gateway.vault.seal(key, ReceiptBody(body.statement, jws, body.salt))
            tx.insert(sealed)
            tx.put(msgspec.structs.replace(row, body=sealed.id, signed=True))
            return jws

        return await gateway.store.write(unit)

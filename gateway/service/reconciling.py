"""After a declared loss: each partner is asked what crossed, and what it says is settled here.

A partner's own log about us lists it, under a head that its log key signed. What it has of ours and we lost counts as
held, though nobody here can say what it was; what was still to leave and had left does not leave again; numbers of
lanes go on where the partner is. Content that is gone stays gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec
import structlog

from gateway.audit.checkpoint import parse, partner_origin
from gateway.audit.entry import PartnerEntry, parse_partner_entry
from gateway.audit.extract import Extract
from gateway.audit.tree import Frontier
from gateway.errors import AuditBroken, PartnerFault, SignatureInvalid, Unavailable
from gateway.flow.change import canonical, digest
from gateway.flow.inbound import MAX_VALIDITY_S
from gateway.model.epoch import Epoch, ReconciledRow, RecoveredRow
from gateway.model.message import DEMANDS
from gateway.model.officer import Officer
from gateway.model.party import Partner
from gateway.model.rows import HeldRow, InboxRow, LaneRow, OutboxRow, ReceiptRow, ReleaseRow
from gateway.ports import ReadTx, Tx
from gateway.service.calls.reconciling import Crossed, PartnerOutcome, Reconcile, Reconciliation
from gateway.service.contents import CodedBody, ReceiptBody, ReleaseBody
from gateway.service.context import Gateway
from gateway.service.epochs import declarations
from gateway.service.held import held_row, keep_head
from gateway.service.holdings import Holdings, Origin
from gateway.service.ledger import Crossing
from gateway.service.mentions import mentioned
from gateway.service.operation import Operation
from gateway.service.slots import MOVING, Slots, entry_bytes, finish
from gateway.service.vault import keys_of
from gateway.wire.receipt import ReceiptStatement, verify_receipt, verify_statement

log = structlog.get_logger()

#: What a partner sealed longer ago than this has come, or comes no more.
SEAL_LIFE = timedelta(seconds=MAX_VALIDITY_S)

#: States of a release of which the partner can have the message although it is not delivered here.
_OPEN = (*MOVING, "awaiting-endorsement", "awaiting-approval", "refused")


def last_loss(tx: ReadTx) -> Epoch | None:
    """The newest declaration of a loss, or None."""
    return next((one for one in reversed(declarations(tx)) if one.reason == "loss"), None)


def unreconciled(gateway: Gateway, tx: ReadTx, partner: str) -> bool:
    """Whether the last declared loss concerns this partner, and it was not asked since what it holds."""
    loss, origin = last_loss(tx), gateway.ledger.of_partner(partner)
    if loss is None or all(one.origin != origin for one in loss.logs):
        return False
    return tx.get(ReconciledRow, partner, loss.number) is None


class _Receipt(msgspec.Struct, frozen=True):
    statement: ReceiptStatement
    jws: str


class _Told(msgspec.Struct, frozen=True):
    """What a partner's log says, proven, and its receipts for messages of ours that are not delivered here."""

    entries: tuple[PartnerEntry, ...]
    head: HeldRow
    receipts: dict[str, _Receipt]  # by message


class Reconciling:
    """Asks partners, and settles."""

    def __init__(self, gateway: Gateway) -> None:
        self._g, self._slots, self._holdings = gateway, Slots(gateway), Holdings(gateway)

    def operations(self) -> dict[str, Operation]:
        """Nothing leaves by it, and what it counts only narrows."""
        return {
            "reconcile": Operation(Reconcile, ("security-officer", "operator"), self.run, repeatable=True)
        }

    async def run(self, officer: Officer, params: Reconcile) -> Reconciliation:
        """Ask every partner whose log lost or kept something, one after another; one that does not answer holds up none
        of the others. Repeatable: a second run finds what the first could not. `UnknownPartner` for one not in force.
        """
        gateway, outcomes = self._g, []
        loss = await gateway.store.read(last_loss)
        if params.partner:
            gateway.directory.partner(params.partner)
        if loss is not None:
            origins = {one.origin for one in loss.logs}
            for partner in sorted(gateway.directory.partners.values(), key=lambda one: one.org):
                concerned = gateway.ledger.of_partner(partner.org) in origins and not partner.stopped
                if concerned and params.partner in ("", partner.org):
                    outcomes.append(await self._try(officer, partner, loss))
        gateway.wake()
        return Reconciliation(loss.number if loss else 0, gateway.clock.now(), tuple(outcomes))

    async def _try(self, officer: Officer, partner: Partner, loss: Epoch) -> PartnerOutcome:
        try:
            told = await self._ask(partner, loss)
            return await self._settle(officer, partner.org, loss, told)
        except Unavailable as away:
            outcome = PartnerOutcome(partner.org, "away", code=away.code)
        except PartnerFault as fault:
            outcome = PartnerOutcome(partner.org, "refused", code=fault.code)
        log.warning("reconcile.not-settled", partner=partner.org, code=outcome.code)
        return outcome

    # --- asking -------------------------------------------------------------------------------------------------

    async def _ask(self, partner: Partner, loss: Epoch) -> _Told | None:
        """What crossed by the partner's log, or None when it does not tell.

        (1) from a head of that log that we held before the loss, so long before that whatever was sealed then has come;
        (2) part by part, each leaf hashed onto the tree, up to a signed head, whose root it must be, as the root at the
        start must be the held one's; (3) its receipts for messages that are not delivered here.
        """
        gateway, ours = self._g, self._g.org
        # (1)
        held = await gateway.store.read(lambda tx: self._start(tx, partner.org, loss))
        # (2)
        frontier: Frontier | None = None
        entries: list[PartnerEntry] = []
        start = held.size if held is not None else 0
        while True:
            raw = await gateway.transport.fetch_log(start, to=partner)
            if raw is None:
                return None
            try:
                part = Extract.parse(raw)
                resumed = Frontier.resume(part.start, part.peaks)
            except AuditBroken:
                raise SignatureInvalid("the partner's answer is no part of its log") from None
            if frontier is None:
                frontier = resumed
                if held is not None and frontier.root() != parse(held.note).checkpoint.root:
                    raise SignatureInvalid("the partner's log did not grow from the head that we hold")
            head = held_row(partner, ours, part.note.decode(errors="replace"), gateway.clock.now())
            if part.start != start or head is None or head.size < start + len(part.hashes):
                raise SignatureInvalid("the partner's answer is another part of its log")
            for leaf in part.hashes:
                frontier.push(leaf)
            entries += [one for one in part.leaves if isinstance(one, PartnerEntry)]
            start = frontier.size
            if start == head.size:
                break
            if not part.hashes:
                raise SignatureInvalid("the partner's answer ends before its head")
        if frontier.root() != parse(head.note).checkpoint.root:
            raise SignatureInvalid("the partner's entries do not lead to its head")
        # (3)
        unknown = await gateway.store.read(lambda tx: self._undelivered(tx, partner.org, entries))
        receipts = {one: found for one in unknown if (found := await self._receipt(partner, one))}
        return _Told(tuple(entries), head, receipts)

    def _start(self, tx: ReadTx, partner: str, loss: Epoch) -> HeldRow | None:
        origin = self._g.ledger.of_partner(partner)
        kept = next((one.size for one in loss.logs if one.origin == origin), 0)
        if not kept:
            return None
        before = parse_partner_entry(entry_bytes(tx, origin, kept - 1)).at - SEAL_LIFE
        rows = tx.select(
            HeldRow, {"origin": partner_origin(partner, self._g.org)}, order="size", descending=True
        )
        return next((row for row in rows if row.at <= before), None)

    def _undelivered(self, tx: ReadTx, partner: str, entries: Iterable[PartnerEntry]) -> list[str]:
        return [
            one.message_id
            for one in entries
            if (one.direction, one.event) == ("in", "message")
            and not tx.count(
                OutboxRow, {"partner": partner, "message_id": one.message_id, "state": "delivered"}
            )
        ]

    async def _receipt(self, partner: Partner, message: str) -> _Receipt | None:
        """The partner's receipt of one message, verified: it says `accepted` of it. None when it gives none."""
        answer = await self._g.transport.fetch_receipt(message, to=partner)
        if answer is None:
            return None
        token = answer.decode("ascii", errors="replace")
        statement = verify_statement(
            token, partner.keys_for("receipt"), now=self._g.clock.now(), iss=partner.org, aud=self._g.org
        )
        if all((one.id, one.outcome) != (message, "accepted") for one in statement.items):
            raise SignatureInvalid("the receipt does not say that the message was accepted")
        return _Receipt(statement, token)

    # --- settling -----------------------------------------------------------------------------------------------

    async def _settle(
        self, officer: Officer, partner: str, loss: Epoch, told: _Told | None
    ) -> PartnerOutcome:
        """One commit, the run's entry in the master log with it.

        (1) what was to leave is unlocked, to be held against the receipt; (2) messages of ours: delivered after all, or
        recovered, of which there are no more than entries were lost; the lane's next number stands behind each; (3)
        messages of the partner that it has our receipt for and we have not; (4) receipts; (5) a lane in which nothing
        waits any more is held no longer; (6) the entry.
        """
        gateway, now = self._g, self._g.clock.now()
        entries = told.entries if told is not None else ()
        # (1)
        ids = tuple(told.receipts) if told is not None else ()
        releases = await gateway.store.read(
            lambda tx: [
                row
                for one in ids
                for row in tx.select(ReleaseRow, {"partner": partner, "message_id": one})
                if row.state in _OPEN
            ]
        )
        keys = await gateway.store.read(lambda tx: keys_of(tx, [row.key for row in releases]))
        await gateway.vault.unlock(keys)
        await gateway.vault.reserve(len(ids) + 3)

        def unit(tx: Tx) -> PartnerOutcome:
            found = _Found()
            waiting = {row.message_id: row for row in releases}
            for one in entries:
                crossing = (one.direction, one.event)
                # (2)
                if crossing == ("in", "message") and told is not None:
                    self._ours(tx, partner, loss, one, waiting.get(one.message_id), told, found, now)
                # (3)
                elif crossing == ("out", "message") and tx.get(InboxRow, partner, one.message_id) is None:
                    found.missing.append(_crossed(one))
            if len(found.recovered) > self._lost(tx, partner):
                raise PartnerFault("the partner names more of ours than was lost", code="more-than-lost")
            # (4)
            for one in entries:
                if one.event == "receipt" and tx.get(ReceiptRow, one.message_id) is None:
                    found.receipts.append(_crossed(one))
                    tx.put(_recovered(partner, loss, one, ""))
            # (5)
            lanes = tx.select(LaneRow, {"partner": partner, "held": True})
            for lane in lanes:
                if not lane.queued:
                    tx.put(msgspec.structs.replace(lane, held=False))
            if told is not None:
                keep_head(gateway, tx, told.head, partner, now)
            outcome = PartnerOutcome(
                partner,
                "settled" if told is not None else "not-told",
                tuple(found.recovered),
                tuple(found.settled),
                tuple(found.missing),
                tuple(found.receipts),
                tuple(lane.conversation for lane in lanes if lane.queued),
            )
            # (6)
            tx.put(ReconciledRow(partner, loss.number, now, officer.id, outcome.state))
            detail = {"reason": "reconcile", "epoch": loss.number, "outcome": msgspec.to_builtins(outcome)}
            gateway.ledger.record(tx, now, "epoch", officer.id, partner, detail)
            return outcome

        return await gateway.store.write(unit)

    def _lost(self, tx: ReadTx, partner: str) -> int:
        origin = self._g.ledger.of_partner(partner)
        logs = [one for epoch in declarations(tx) for one in epoch.lost() if one.origin == origin]
        return sum(one.known - one.size for one in logs)

    def _ours(
        self,
        tx: Tx,
        partner: str,
        loss: Epoch,
        entry: PartnerEntry,
        release: ReleaseRow | None,
        told: _Told,
        found: _Found,
        now: datetime,
    ) -> None:
        """A message of ours that the partner has.

        (1) the lane goes on behind its number; (2) one that is delivered here, or was withdrawn, is as it was; (3) one
        that was still to leave is delivered by the partner's receipt, if that names its very bytes, and is held by the
        partner; (4) of any other nothing is left: it is recovered, and what carried content counts as about somebody of
        whom nothing was held before.
        """
        conversation, receipt = entry.conv, told.receipts.get(entry.message_id)
        # (1)
        lane = tx.get(LaneRow, partner, conversation) or LaneRow(partner, conversation)
        if lane.next_seq <= entry.seq:
            tx.put(msgspec.structs.replace(lane, next_seq=entry.seq + 1))
        # (2)
        known = tx.select(OutboxRow, {"partner": partner, "message_id": entry.message_id}, limit=1)
        gone = tx.select(ReleaseRow, {"partner": partner, "message_id": entry.message_id}, limit=1)
        if any(row.state == "delivered" for row in known) or (gone and release is None):
            return
        kept = self._keep(tx, partner, receipt, now) if receipt is not None else ""
        # (3)
        if release is not None and receipt is not None:
            self._delivered(tx, release, next(iter(known), None), entry, receipt, now)
            found.settled.append(_crossed(entry, kept))
        # (4)
        elif tx.get(RecoveredRow, partner, entry.message_id) is None:
            tx.put(_recovered(partner, loss, entry, kept))
            demands = DEMANDS.get(entry.type)
            if demands is None or demands.accumulation:
                nobody = f"unknown/{entry.message_id}"
                self._holdings.reserve(
                    tx, partner, nobody, entry.message_id, now, members=(), origin="recovered"
                )
            found.recovered.append(_crossed(entry, kept))

    def _delivered(
        self,
        tx: Tx,
        release: ReleaseRow,
        row: OutboxRow | None,
        entry: PartnerEntry,
        receipt: _Receipt,
        now: datetime,
    ) -> None:
        """The release as it stands after its receipt; no event of the lifecycle leads there, since the steps between
        are lost. Raises `DigestConflict` for a receipt about other bytes."""
        body: ReleaseBody | CodedBody = self._slots.content(tx, release)
        verify_receipt(
            receipt.jws,
            self._g.directory.partner(release.partner).keys_for("receipt"),
            now=now,
            iss=release.partner,
            aud=self._g.org,
            sent=[(release.message_id, digest(body.payload))],
        )
        if row is None:
            lane = tx.get(LaneRow, release.partner, entry.conv) or LaneRow(release.partner, entry.conv)
            tx.put(msgspec.structs.replace(lane, position=lane.position + 1))
            row = OutboxRow(
                release.partner, entry.conv, lane.position + 1, release.message_id, release.id, release.type,
                "delivered", release.key, release.body, exp=int(release.not_after.timestamp()),
            )  # fmt: skip
        else:
            finish(tx, row)
        tx.put(
            msgspec.structs.replace(row, state="delivered", seq=entry.seq, receipt=receipt.statement.id),
            msgspec.structs.replace(release, state="delivered"),
        )
        if isinstance(body, ReleaseBody):
            origin: Origin = "release" if body.emergency is None else "emergency"
            about = (release.partner, release.subject, release.id, now)
            self._holdings.reserve(tx, *about, members=body.decision.members, origin=origin)
            for other in mentioned(tx, release.key, release.subject):
                self._holdings.reserve(tx, release.partner, other, release.id, now, members=())

    def _keep(self, tx: Tx, partner: str, receipt: _Receipt, now: datetime) -> str:
        """Store a receipt, with its entry in our log about the partner, unless it is here; returns its id."""
        gateway, statement = self._g, receipt.statement
        if tx.get(ReceiptRow, statement.id) is None:
            raw = canonical(statement)
            key, salt = gateway.vault.fresh(now), gateway.ids.blind()
            body = gateway.vault.seal(key, ReceiptBody(raw, receipt.jws, salt))
            tx.insert(key.row, body, ReceiptRow(statement.id, "in", partner, key.id, body.id, True, now))
            crossing = Crossing(
                "in", "receipt", statement.id, statement.id, len(statement.items), "receipt", raw, salt
            )
            gateway.ledger.announce(tx, now, partner, [crossing])
        return statement.id


class _Found:
    """What a run finds, as it goes."""

    def __init__(self) -> None:
        self.recovered: list[Crossed] = []
        self.settled: list[Crossed] = []
        self.missing: list[Crossed] = []
        self.receipts: list[Crossed] = []


def _crossed(entry: PartnerEntry, receipt: str = "") -> Crossed:
    return Crossed(entry.message_id, entry.type, entry.conv, entry.seq, entry.at, receipt)


def _recovered(partner: str, loss: Epoch, entry: PartnerEntry, receipt: str) -> RecoveredRow:
    return RecoveredRow(
        partner,
        entry.message_id,
        loss.number,
        entry.event,
        entry.type,
        entry.conv,
        entry.seq,
        entry.at,
        receipt,
    )


__all__: Sequence[str] = ("Reconciling", "last_loss", "unreconciled")

"""Cosignatures between gateways (C2SP tlog-witness): we vouch for partners' heads of their logs about us, and ask them
to vouch for ours. Nobody is asked about a log that is not about them."""

from __future__ import annotations

import asyncio
import http
from datetime import datetime, timedelta

import structlog

from gateway.audit.checkpoint import parse, partner_origin
from gateway.audit.tree import consistency_proof
from gateway.audit.witness import ALGORITHMS, Ask, WitnessKey, cosignatures, witness_name
from gateway.errors import (
    AuditBroken,
    Conflict,
    GatewayError,
    MalformedMessage,
    NotFound,
    RequestInvalid,
    SignatureInvalid,
)
from gateway.model.party import Partner
from gateway.model.rows import CheckpointRow, CosignatureRow
from gateway.model.signing import CosignRequest
from gateway.ports import ReadTx
from gateway.service.context import Gateway
from gateway.service.held import held_row, keep_head
from gateway.service.ledger import TxTiles
from gateway.service.signer.witness import OTHER_SIZE
from gateway.wire.strict import b64url_decode

log = structlog.get_logger()

#: Bytes of an ask: a full proof, and a note with four times the signatures it needs.
MAX_ASK = 16 * 1024

_TYPES = {name: kind for kind, name in ALGORITHMS.items()}

#: Status and body of an answer.
Answer = tuple[int, bytes]


def witness_keys(partner: Partner) -> list[WitnessKey]:
    """The keys with which a partner cosigns; those of an algorithm that we do not know count for nothing."""
    name = witness_name(partner.org)
    return [
        WitnessKey(name, _TYPES[key.alg], b64url_decode(key.public))
        for key in partner.keys_for("witness")
        if key.alg in _TYPES
    ]


def unwitnessed(gateway: Gateway, tx: ReadTx, org: str, now: datetime) -> bool:
    """Whether a partner that cosigns left a signed head of ours uncosigned for longer than the configuration bears."""
    bound, partner = gateway.config.witnessing.unwitnessed_s, gateway.directory.partners.get(org)
    if partner is None or not witness_keys(partner):
        return False
    origin = gateway.ledger.of_partner(org)
    start = ("size", _cosigned_size(tx, origin, partner) + 1)
    waiting = tx.select(CheckpointRow, {"origin": origin}, at_least=start, order="size", limit=1)
    return bool(waiting) and waiting[0].at + timedelta(seconds=bound) < now


def _cosigned_size(tx: ReadTx, origin: str, partner: Partner) -> int:
    where = {"origin": origin, "witness": witness_name(partner.org)}
    rows = tx.select(CosignatureRow, where, order="size", descending=True, limit=1)
    return rows[0].size if rows else 0


class Witnesses:
    """Answers partners who ask us, and asks them in rounds."""

    def __init__(self, gateway: Gateway) -> None:
        self._g = gateway

    # --- asked --------------------------------------------------------------------------------------------------

    async def answer(self, org: str, raw: bytes) -> Answer:
        """Cosign a head of the asker's log about us, as C2SP tlog-witness says, or answer why not.

        (1) the ask has its one form; (2) the log is the asker's about us, else 404; (3) the asker's log key signed the
        head, else 403; (4) the head is kept, and of two of one size both are, with an alarm; (5) the signer, which
        keeps its own last head, cosigns it: 200 with the lines, 409 with the size at which the proof must start, or
        without when two heads of one size differ, 422 when the head did not grow from there.
        """
        # (1)
        try:
            ask = Ask.parse(raw)
            head = parse(ask.note).checkpoint
        except AuditBroken:
            raise MalformedMessage("an ask for a cosignature has one form") from None
        # (2)
        partner, now = self._g.directory.partner(org), self._g.clock.now()
        # (3)
        try:
            row = held_row(partner, self._g.org, ask.note.decode(), now)
        except SignatureInvalid:
            theirs = head.origin == partner_origin(org, self._g.org)
            return (http.HTTPStatus.FORBIDDEN if theirs else http.HTTPStatus.NOT_FOUND), b""
        if row is None:
            raise MalformedMessage("an ask for a cosignature has a head")
        # (4)
        await self._g.vault.reserve()
        await self._g.store.write(lambda tx: keep_head(self._g, tx, row, org, now))
        # (5)
        try:
            lines = await self._g.signer.cosign(CosignRequest(ask.note, ask.old, ask.hashes))
        except Conflict as other:
            if other.code != OTHER_SIZE:
                raise
            return http.HTTPStatus.CONFLICT, f"{other.diagnostic['size']}\n".encode()
        except NotFound:
            return http.HTTPStatus.NOT_FOUND, b""
        except RequestInvalid:
            raise MalformedMessage("an ask for a cosignature starts where it cannot") from None
        except AuditBroken:
            log.error("witness.inconsistent", partner=org, size=head.size)
            same = ask.old == head.size
            return (http.HTTPStatus.CONFLICT if same else http.HTTPStatus.UNPROCESSABLE_ENTITY), b""
        return http.HTTPStatus.OK, "".join(lines).encode()

    # --- asking -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """A round after each interval, for ever."""
        while True:
            await asyncio.sleep(self._g.config.witnessing.every_s)
            await self.round()

    async def round(self) -> None:
        """Ask each partner that has witness keys to cosign our newest head of the log about it; one that does not
        answer holds up none of the others."""
        partners = [
            one for one in self._g.directory.partners.values() if not one.stopped and witness_keys(one)
        ]
        await asyncio.gather(*(self._try(partner) for partner in partners))

    async def _try(self, partner: Partner) -> None:
        try:
            await self.ask(partner)
        except AuditBroken as broken:
            log.error("witness.broken", partner=partner.org, **broken.diagnostic)
        except GatewayError as error:
            log.warning("witness.waiting", partner=partner.org, code=error.code)

    async def ask(self, partner: Partner) -> bool:
        """Have one partner cosign our newest head, and store what it gave; whether there is a new cosignature.

        (1) prove the head from the one it cosigned last, as we know it, and where it says otherwise once more from
        there; (2) every line of its keys holds for this very head, and there is one; (3) store them.
        Raises `AuditBroken` for an answer that is not so, and as the transport does.
        """
        origin = self._g.ledger.of_partner(partner.org)
        newest, last = await self._g.store.read(
            lambda tx: (self._g.ledger.newest(tx, origin), _cosigned_size(tx, origin, partner))
        )
        if newest is None or newest.size <= last:
            return False
        # (1)
        status, body = await self._post(partner, newest, last)
        if status == http.HTTPStatus.CONFLICT and (said := _size(body)) is not None:
            # of a longer log than ours: entries were lost, and a new log key begins anew with the witness too
            status, body = await self._post(partner, newest, said if said <= newest.size else 0)
        if status != http.HTTPStatus.OK:
            log.warning("witness.refused", partner=partner.org, status=status, size=newest.size)
            return False
        # (2)
        signed = parse(newest.note + body)
        keys = witness_keys(partner)
        if not cosignatures(signed, keys):
            raise AuditBroken(
                "the answer holds no cosignature of the partner", diagnostic={"rule": "cosignature"}
            )
        # (3)
        now, known = self._g.clock.now(), {(key.name, key.key_id) for key in keys}
        rows = [
            CosignatureRow(origin, newest.size, one.key_name, one.key_id.hex(), one.line().encode(), now)
            for one in signed.signatures
            if (one.key_name, one.key_id) in known
        ]
        await self._g.store.write(lambda tx: tx.put(*rows))
        return True

    async def _post(self, partner: Partner, head: CheckpointRow, old: int) -> Answer:
        def read(tx: ReadTx) -> tuple[bytes, ...]:
            if not 0 < old < head.size:
                return ()
            return tuple(consistency_proof(old, head.size, TxTiles(tx, head.origin)).hashes)

        ask = Ask(old, await self._g.store.read(read), head.note)
        return await self._g.transport.add_checkpoint(ask.encode(), to=partner)


def _size(body: bytes) -> int | None:
    """The size of a 409, as tlog-witness writes it."""
    text = body.removesuffix(b"\n")
    return int(text) if text.isdigit() and len(text) < 20 else None

"""Whether our store is what it was: held against itself, the signer's heads, and the heads that partners hold of us.

Who can write our disk can put back an older database, and the signer's files with it; a partner's copy of our last head
is out of reach. Such a head is signed with our own log key: a partner can withhold it, and cannot make one up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

import structlog

from gateway.audit import tree
from gateway.audit.checkpoint import VerifierKey, log_key_name, verify
from gateway.errors import AuditBroken, GatewayError, SignatureInvalid
from gateway.model.party import Partner
from gateway.model.rows import CheckpointRow, EntryRow, LogRow
from gateway.ports import ReadTx
from gateway.service.context import Gateway
from gateway.service.epochs import declarations, declared_lost
from gateway.service.ledger import TxTiles
from gateway.wire.strict import b64url_decode

log = structlog.get_logger()

#: Entries of each log read again at every start, the newest: a start takes as long after a year as on the first day.
START_CHECKED = 4096

#: Seconds for which a start waits for what partners hold; who answers later is heard before anything goes there.
ASK_S = 10.0


async def refuse_rollback(gateway: Gateway) -> None:
    """Refuse to run on a store that was rolled back or edited. Raises `AuditBroken` naming the log.

    (1) the signer knows every log of which a head is stored; (2) no log is behind the head it signed last; (3) the
    newest entries of each log are there, and hash to their leaves; (4) each log of which a head was signed grew from
    the last one: the signer signs the present one only with that proof, from its own memory.
    Not read: entries before the newest `START_CHECKED`, and tiles that the proof of (4) passes by. `audit verify` reads
    all.
    """
    signed = await gateway.signer.heads()
    sizes = await gateway.store.read(lambda tx: {row.origin: row.size for row in tx.select(LogRow)})
    # (1)
    known = await gateway.store.read(lambda tx: {row.origin for row in tx.select(CheckpointRow)})
    if known - signed.keys():
        raise AuditBroken(
            "the signer does not know a log whose heads it has signed: its state was rolled back or lost",
            diagnostic={"log": sorted(known - signed.keys())[0]},
        )
    # (2)
    for origin, size in signed.items():
        if sizes.get(origin, 0) < size:
            raise _behind(
                "the store is behind a log head that was signed", origin, size, sizes.get(origin, 0)
            )
    # (3)
    for origin in sorted(sizes):
        await gateway.store.read(partial(_require_tail, origin, sizes[origin]))
    # (4)
    await gateway.checkpoint_logs(sorted(signed))


def _require_tail(origin: str, size: int, tx: ReadTx) -> None:
    """The newest entries stand one after the other up to the log's size, each under its leaf."""
    start = max(0, size - START_CHECKED)
    rows = tx.select(
        EntryRow, {"origin": origin}, at_least=("position", start), order="position", limit=START_CHECKED + 1
    )
    tiles, leaves = TxTiles(tx, origin), b""
    for index, row in enumerate(rows, start):
        offset = index % tree.TILE_WIDTH * tree.HASH_BYTES
        if not offset or index == start:
            leaves = tiles.read(0, index // tree.TILE_WIDTH)
        leaf = tree.leaf_hash(row.entry)
        if index >= size or row.position != index or leaves[offset : offset + tree.HASH_BYTES] != leaf:
            raise _edited(origin, index)
    if start + len(rows) != size:
        raise _edited(origin, start + len(rows))


def _edited(origin: str, index: int) -> AuditBroken:
    return AuditBroken(
        "an entry of the log is missing, or is not the one that was written",
        diagnostic={"log": origin, "index": index},
    )


def _behind(what: str, origin: str, signed: int, stored: int) -> AuditBroken:
    return AuditBroken(
        f"{what}: it was rolled back", diagnostic={"log": origin, "signed": signed, "stored": stored}
    )


class Abroad:
    """The heads of our logs that partners hold, asked for once after each start.

    What goes out waits for the answer, so a store that is behind sends nothing twice; what comes in does not wait,
    since a partner may have no listener of its own. A partner that holds no head of ours, or says so, holds nothing
    against us.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._g = gateway
        self._heard: set[str] = set()

    async def ask(self) -> None:
        """Ask every partner in force at once, for `ASK_S` seconds at most. Raises `AuditBroken`.

        Who cannot be asked is asked again by `require`.
        """
        partners = [entry.org for entry in self._g.directory.partners.values() if not entry.stopped]
        tasks = [asyncio.create_task(self._try(partner)) for partner in partners]
        if not tasks:
            return
        done, late = await asyncio.wait(tasks, timeout=ASK_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        for task in done:
            task.result()

    async def _try(self, partner: str) -> None:
        try:
            await self.require(partner)
        except AuditBroken:
            raise
        except GatewayError as away:
            log.warning("head.not-heard", partner=partner, code=away.code)

    async def require(self, partner: str) -> None:
        """Hold our log about this partner against the head the partner holds, unless that was done since the start.

        Raises `AuditBroken` when we are behind it or another history; `PartnerUnreachable`; a `PartnerFault` for an
        answer that is no head of ours.
        """
        if partner in self._heard:
            return
        entry = self._g.directory.partner(partner)
        note = await self._g.transport.fetch_head(to=entry)
        if note is not None:
            await self._compare(entry, note)
        self._heard.add(partner)

    async def _compare(self, partner: Partner, note: bytes) -> None:
        """(1) the note is a head of our log about this partner, under a log key of ours, and (2) not one of what two
        persons declared lost; (3) our log is as long; (4) at that size it had that root."""
        gateway = self._g
        origin = gateway.ledger.of_partner(partner.org)
        # (1)
        try:
            verified = verify(note, await self._keys(), origin=origin)
        except AuditBroken:
            raise SignatureInvalid("the partner's answer is no head of our log about it") from None

        def compare(tx: ReadTx) -> None:
            head = verified.checkpoint
            # (2)
            if declared_lost(declarations(tx), verified) is not None:
                log.warning("head.declared-lost", partner=partner.org, size=head.size)
                return
            # (3)
            size = gateway.ledger.size(tx, origin)
            if size < head.size:
                raise _behind("the store is behind a head that a partner holds", origin, head.size, size)
            # (4)
            if tree.root(head.size, TxTiles(tx, origin)) != head.root:
                raise AuditBroken(
                    "a partner holds a head of another history of our log", diagnostic={"log": origin}
                )

        await gateway.store.read(compare)

    async def _keys(self) -> Sequence[VerifierKey]:
        name = log_key_name(self._g.org)
        return [
            VerifierKey(name, b64url_decode(key.public))
            for key in await self._g.signer.keys()
            if key.use == "log"
        ]

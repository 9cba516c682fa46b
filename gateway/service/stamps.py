"""Time-stamps over the heads of our logs, fetched in rounds; and how long a head may be without an outside anchor."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from cryptography import x509

from gateway.errors import GatewayError, MalformedMessage, SignatureInvalid
from gateway.model.rows import CheckpointRow, CosignatureRow, LogRow, Row, StampedHeadRow, StampRow
from gateway.ports import ReadTx, TimestampAuthority
from gateway.service.context import Gateway
from gateway.service.stamped import as_kept, encode_document, imprint, pem
from gateway.service.timestamp import Asked, verify_response

log = structlog.get_logger()

#: Bytes of a nonce (RFC 3161 §2.4.1: large, and with high probability never used before).
NONCE_BYTES = 16


def unanchored(gateway: Gateway, tx: ReadTx, org: str, now: datetime) -> bool:
    """Whether our log about a partner has a signed head that nobody outside has seen for longer than the configuration
    bears. A time-stamp counts, and a cosignature; without an authority nothing is bounded here."""
    config = gateway.config.timestamping
    if not config.url:
        return False
    return unseen_since(tx, gateway.ledger.of_partner(org), now) > timedelta(seconds=config.unanchored_s)


def unseen_since(tx: ReadTx, origin: str, now: datetime) -> timedelta:
    """The age of the oldest head of a log beyond the last one that a time-stamp or a cosignature covers."""
    kinds: tuple[type[StampedHeadRow | CosignatureRow], ...] = (StampedHeadRow, CosignatureRow)
    found = [tx.select(kind, {"origin": origin}, order="size", descending=True, limit=1) for kind in kinds]
    seen = max((rows[0].size for rows in found if rows), default=0)
    waiting = tx.select(CheckpointRow, {"origin": origin}, at_least=("size", seen + 1), order="size", limit=1)
    return now - waiting[0].at if waiting else timedelta()


class Stamps:
    """Asks the authority in rounds of a fixed interval, whatever happened between them."""

    def __init__(
        self, gateway: Gateway, authority: TimestampAuthority, trusted: Sequence[x509.Certificate]
    ) -> None:
        self._g, self._authority, self._trusted = gateway, authority, trusted
        self._failing, self._ending, self._waiting = "", False, False

    async def run(self) -> None:
        """A round at the start and after each interval, for ever. What fails is logged when it begins to, and when it
        ends."""
        while True:
            try:
                await self.round()
                failing = ""
            except (SignatureInvalid, MalformedMessage) as refused:
                failing = f"{refused.code}: {refused.diagnostic.get('rule', '')}"
                if failing != self._failing:
                    log.error("stamp.refused", code=refused.code, rule=refused.diagnostic.get("rule", ""))
            except GatewayError as error:
                failing = error.code
                if failing != self._failing:
                    log.warning("stamp.waiting", code=error.code)
            if self._failing and not failing:
                log.info("stamp.resumed")
            self._failing = failing
            await self._look()
            await asyncio.sleep(self._g.config.timestamping.every_s)

    async def _look(self) -> None:
        """Say once that lanes wait for an outside anchor, and once that none does any more."""
        now, partners = self._g.clock.now(), [*self._g.directory.partners]
        waiting = await self._g.store.read(
            lambda tx: any(unanchored(self._g, tx, partner, now) for partner in partners)
        )
        if waiting and not self._waiting:
            log.error("stamp.unanchored", detail="lanes wait until somebody outside has seen their logs")
        if self._waiting and not waiting:
            log.info("stamp.anchored")
        self._waiting = waiting

    async def round(self) -> bool:
        """One request over the newest heads; whether its answer was kept.

        (1) the newest signed head of each log, and the newest stamp, are digested into one document; (2) the authority
        is asked, even when nothing moved: its clock shows that we exist, not when we exchange; (3) the answer is
        verified; (4) it is kept with its chain when a head is new in it, or when it renews: a certificate under the
        newest stamp ends soon, and none under this one as early. Raises `SignatureInvalid`, `MalformedMessage`,
        `PartnerUnreachable`.
        """
        # (1)
        heads, newest, fresh = await self._g.store.read(self._read)
        if not heads:
            return False
        document = encode_document(
            self._g.org, (head.note for head in heads), as_kept(newest) if newest else None
        )
        # (2)
        config = self._g.config.timestamping
        nonce = int.from_bytes(self._g.ids.blind()[:NONCE_BYTES], "big")
        asked = Asked(imprint(document), nonce, config.policy)
        raw = await self._authority.stamp(asked.encode())
        # (3)
        now = self._g.clock.now()
        stamp = verify_response(raw, asked, self._trusted, now=now)
        # (4)
        soon = now + timedelta(days=config.renew_days)
        if stamp.until < soon and not self._ending:
            log.warning("stamp.certificate-ends", detail="the authority needs another certificate")
        self._ending = stamp.until < soon
        renews = newest is not None and newest.until < soon and newest.until < stamp.until
        if not fresh and not renews:
            return False
        number = newest.number + 1 if newest else 1
        rows: list[Row] = [StampRow(number, stamp.at, stamp.until, document, raw, pem(stamp.chain))]
        rows += [StampedHeadRow(head.origin, head.size, number, head.note) for head in fresh]
        await self._g.store.write(lambda tx: tx.insert(*rows))
        return True

    def _read(self, tx: ReadTx) -> tuple[list[CheckpointRow], StampRow | None, list[CheckpointRow]]:
        """The newest head of each log, the newest stamp, and which of these heads no stamp covers."""
        origins = [row.origin for row in tx.select(LogRow)]
        heads = [head for origin in origins if (head := self._g.ledger.newest(tx, origin)) is not None]
        stamps = tx.select(StampRow, order="number", descending=True, limit=1)
        fresh = [head for head in heads if tx.get(StampedHeadRow, head.origin, head.size) is None]
        return heads, stamps[0] if stamps else None, fresh

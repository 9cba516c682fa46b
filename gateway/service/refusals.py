"""Refused connections and requests in the master log: counted by source, reason and minute, so that a flood of them
costs a handful of entries."""

from __future__ import annotations

from collections import Counter

import structlog

from gateway.ports import Tx
from gateway.service.context import Gateway

log = structlog.get_logger()

#: Different (source, reason) pairs counted between two flushes: a flood from many addresses must not fill memory or
#: the log.
MAX_COUNTED = 1000

#: Where everything beyond that is counted.
OTHER = ("", "other")


class Refusals:
    """Counts until the keeper flushes. A crash loses what was not flushed: a minute of counts, never an admission."""

    def __init__(self, gateway: Gateway) -> None:
        self._g = gateway
        self._counts: Counter[tuple[str, str]] = Counter()

    def count(self, source: str, reason: str) -> None:
        """One more refusal. ``source`` is an address, or an organisation whose handshake held; ``reason`` is from a
        closed list. The first of each kind in a minute is logged, without its source."""
        key = (source, reason)
        if key not in self._counts:
            if len(self._counts) >= MAX_COUNTED:
                key = OTHER
            if key not in self._counts:
                log.warning("refused", reason=key[1])
        self._counts[key] += 1

    async def flush(self) -> None:
        """Write one entry for each source and reason, the count in its encrypted detail; all or none.

        Durable on return; on an error the counts stay for the next flush.
        """
        if not self._counts:
            return
        counts, self._counts = self._counts, Counter()
        now = self._g.clock.now()

        def unit(tx: Tx) -> None:
            for (source, reason), count in counts.items():
                detail = {"source": source, "reason": reason, "count": count}
                self._g.ledger.record(tx, now, "refused", "gateway", "", detail)

        try:
            await self._g.vault.reserve(len(counts))
            await self._g.store.write(unit)
        except BaseException:
            self._counts.update(counts)
            raise

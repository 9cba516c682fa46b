"""Chores: a heartbeat that finds a disk that no longer keeps, the master log's head, and what may be forgotten."""

from __future__ import annotations

import asyncio

import structlog

from gateway.errors import AuditBroken, GatewayError
from gateway.model.rows import CheckpointRow, LogRow, MetaRow, NonceRow
from gateway.model.time import rfc3339
from gateway.ports import ReadTx, Tx
from gateway.service.answers import Answers
from gateway.service.context import Gateway
from gateway.service.erasures import Erasures
from gateway.service.imports import Imports
from gateway.service.notices import Notices
from gateway.service.refusals import Refusals
from gateway.service.retention import Retention
from gateway.service.wrapping import Wrapping

log = structlog.get_logger()

#: Seconds between two heartbeats: how long a broken disk can stay unnoticed.
HEARTBEAT_S = 1.0

#: Heartbeats between two rounds of writing down who was refused: the minute of the aggregated entries.
REFUSALS_EVERY = 60

#: Heartbeats between two rounds of comparing what left with today.
NOTICES_EVERY = 60

#: Heartbeats between two rounds of purging.
PURGE_EVERY = 600


class Keeper:
    """Runs until cancelled; a failed commit ends the process through the store's fatal hook."""

    def __init__(self, gateway: Gateway, imports: Imports, refusals: Refusals, notices: Notices) -> None:
        self._g, self._imports, self._refusals, self._notices = gateway, imports, refusals, notices
        self._answers, self._erasures, self._wrapping = Answers(gateway), Erasures(gateway), Wrapping(gateway)
        self._retention = Retention(gateway)

    async def run(self) -> None:
        """Beat, sign the heads that moved, each minute write down refusals and look for what past recipients
        must be told, purge now and then."""
        beats = 0
        while True:
            try:
                await self.beat()
                await self._g.turn_directory()
                await self._g.checkpoint_logs(await self._moved())
                await self._erasures.settle()
                if beats % REFUSALS_EVERY == 0:
                    await self._refusals.flush()
                if beats % NOTICES_EVERY == 0:
                    await self._notices.round()
                if beats % PURGE_EVERY == 0:
                    await self._imports.purge("gateway")
                    await self._answers.forget()
                    await self._wrapping.round()
                    await self._retention.round()
            except AuditBroken as broken:
                log.error("audit.broken", code=broken.code, **broken.diagnostic)
                self._g.fatal("audit-broken")
            except GatewayError as error:
                log.warning("keeper.waiting", code=error.code)
            beats += 1
            await asyncio.sleep(HEARTBEAT_S)

    async def beat(self) -> None:
        """A real committed write: the store either keeps it or ends the process."""
        now = self._g.clock.now()

        def unit(tx: Tx) -> None:
            tx.put(MetaRow("heartbeat", rfc3339(now)))
            tx.delete(NonceRow, {}, below=("until", now))

        await self._g.store.write(unit)

    async def _moved(self) -> list[str]:
        """Logs with entries beyond their newest stored head."""

        def read(tx: ReadTx) -> list[str]:
            moved = []
            for row in tx.select(LogRow):
                newest: CheckpointRow | None = self._g.ledger.newest(tx, row.origin)
                if newest is None or newest.size < row.size:
                    moved.append(row.origin)
            return moved

        return await self._g.store.read(read)

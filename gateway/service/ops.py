"""Operations: alive, ready, figures. No content, no names, no identifiers of messages."""

from __future__ import annotations

from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from gateway.errors import Unavailable
from gateway.model.rows import InboxRow, LaneRow, LogRow, MetaRow, QuarantineRow
from gateway.ports import ReadTx
from gateway.service.context import Gateway
from gateway.service.invoked import overdue
from gateway.service.stamps import unseen_since


class Operations:
    """`/livez`, `/readyz`, `/metrics` on the operations listener."""

    def __init__(self, gateway: Gateway) -> None:
        self._g = gateway
        self.ready = False

    def application(self) -> web.Application:
        """The application of the operations listener."""
        app = web.Application()
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        return app

    async def _livez(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        """Ready: listeners are open, the store has a heartbeat, the signer answers."""
        try:
            beat = await self._g.store.read(lambda tx: tx.get(MetaRow, "heartbeat"))
            await self._g.signer.heads()
        except Unavailable as away:
            return web.Response(status=503, text=f"{away.code}\n")
        if self.ready and beat:
            return web.Response(text="ready\n")
        return web.Response(status=503, text="starting\n")

    async def _metrics(self, _request: web.Request) -> web.Response:
        now = self._g.clock.now()

        def read(tx: ReadTx) -> tuple[list[LaneRow], int, int, int, dict[str, tuple[int, float]]]:
            lanes = tx.select(LaneRow, at_least=("queued", 1))
            logs = {
                row.origin: (row.size, unseen_since(tx, row.origin, now).total_seconds())
                for row in tx.select(LogRow)
            }
            return lanes, tx.count(InboxRow), tx.count(QuarantineRow), overdue(tx, now), logs

        lanes, received, quarantined, late, logs = await self._g.store.read(read)
        registry = CollectorRegistry()
        Gauge("ecluse_queued_messages", "messages on their way", registry=registry).set(
            sum(lane.queued for lane in lanes)
        )
        Gauge("ecluse_held_lanes", "lanes that wait for a person", registry=registry).set(
            sum(lane.held for lane in lanes)
        )
        Gauge("ecluse_received_messages", "messages accepted", registry=registry).set(received)
        Gauge("ecluse_quarantined_messages", "messages refused and kept", registry=registry).set(quarantined)
        Gauge(
            "ecluse_overdue_emergencies", "unconfirmed or unreviewed past their time", registry=registry
        ).set(late)
        entries = Gauge("ecluse_log_entries", "entries of a log", ["origin"], registry=registry)
        unseen = Gauge(
            "ecluse_log_unanchored_seconds",
            "age of the oldest head that no time-stamp and no cosignature covers",
            ["origin"],
            registry=registry,
        )
        for origin, (size, age) in logs.items():
            entries.labels(origin).set(size)
            unseen.labels(origin).set(age)
        return web.Response(body=generate_latest(registry), content_type="text/plain")

"""The same draws over the real way: our client, TLS 1.3, the partner's listener and its web application, both ways."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from aiohttp import web

from adapters.partners.exchange import ExchangeTransport
from gateway.errors import PartnerFault, PartnerUnreachable
from gateway.model.party import Partner
from gateway.service.partner_api import PartnerApi
from gateway.service.tls import client_context, peer_evidence, server_context
from gateway.service.tls_listener import start_tls_server
from tests.leak.harness import Episode, Tally
from tests.leak.worlds import BE, FR, Leakage
from tests.service.founding import Founded
from tests.service.loopback import Loopback, Post
from tests.service.world import Side
from tests.tls.pki import Pki

#: Journeys on which no process of a world ends: both share one event loop with the listeners.
MOODS = ("plain", "down", "answer-lost", "twice", "between", "refused", "down-then", "stranger")

#: Rounds and draws of one pair by TLS.
ROUNDS, SIZE = 4, 8


class TlsWire(Loopback):
    """The scripted way to the partner, at whose end is a real connection."""

    def __init__(self, side: Side, transport: ExchangeTransport) -> None:
        super().__init__(side.world, side.org)
        self._side, self._real = side, transport
        self.ports: dict[str, int] = {}

    async def _deliver(self, batch: bytes, to: str) -> bytes:
        self.batches.append(batch)
        step = self.script.pop(0) if self.script else "pass"
        at, entry = self._world.clock.now(), self._entry(to)
        answer = b""
        if step == "lost":
            raise _away()
        for _ in range(2 if step == "twice" else 1):
            try:
                answer = await self._real.deliver(batch, to=entry)
            except PartnerFault as fault:
                self.posts.append(Post(at, self._org, batch, fault.code))
                raise
            self.posts.append(Post(at, self._org, batch, answer.decode()))
        if step == "answer-lost":
            raise _away()
        return b"\xff not a receipt" if step == "garbage" else answer

    async def fetch_receipt(self, message_id: str, *, to: Partner) -> bytes | None:
        self.fetched.append(message_id)
        return await self._real.fetch_receipt(message_id, to=self._entry(to.org))

    async def fetch_head(self, *, to: Partner) -> bytes | None:
        return await self._real.fetch_head(to=self._entry(to.org))

    async def fetch_log(self, start: int, *, to: Partner) -> bytes | None:
        return await self._real.fetch_log(start, to=self._entry(to.org))

    async def add_checkpoint(self, ask: bytes, *, to: Partner) -> tuple[int, bytes]:
        return await self._real.add_checkpoint(ask, to=self._entry(to.org))

    def _entry(self, org: str) -> Partner:
        entry = self._side.gateway.directory.partner(org)
        return msgspec.structs.replace(
            entry, endpoint=f"https://127.0.0.1:{self.ports[org]}", tls_name="localhost"
        )


def _away() -> PartnerUnreachable:
    return PartnerUnreachable("no complete answer from the partner")


@asynccontextmanager
async def connected(leakage: Leakage) -> AsyncIterator[None]:
    """Both sides listen and send by TLS while this holds; each request and answer is seen with all its headers."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="ecluse-leak-tls-")))
        for org in (BE, FR):
            (folder / org).mkdir()
        pkis = {org: Pki(folder / org, org) for org in (BE, FR)}
        for pki in pkis.values():
            pki.good("tls-server")
            pki.good("tls-client")
        ports: dict[str, int] = {}
        for org, side in leakage.world.sides.items():
            ports[org] = await stack.enter_async_context(_listening(leakage, side, pkis))
        for org, side in leakage.world.sides.items():
            other = FR if org == BE else BE
            context = client_context(pkis[org].files("tls-client", pkis[other]))
            transport = ExchangeTransport(
                lambda context=context: context,  # type: ignore[misc]
                lambda tls, _partner: peer_evidence(tls),
                connect_s=10,
                answer_s=30,
            )
            stack.push_async_callback(transport.close)
            wire = TlsWire(side, transport)
            wire.ports = ports
            side.wire = wire
            side.gateway.transport = wire
        yield


@asynccontextmanager
async def _listening(leakage: Leakage, side: Side, pkis: dict[str, Pki]) -> AsyncIterator[int]:
    other = FR if side.org == BE else BE
    api = PartnerApi(side.gateway, side.intake, side.refusals)
    app = api.application()

    async def seen(request: web.Request, response: web.StreamResponse) -> None:
        asked = sorted((name, value) for name, value in request.headers.items() if name != "Host")
        told = sorted((name, value) for name, value in response.headers.items() if name != "Date")
        if leakage.setting.signed_master:
            told = [(name, "" if name == "Content-Length" else value) for name, value in told]
        leakage.see("", f"http of {other}", (request.method, request.path_qs, asked, response.status, told))

    app.on_response_prepare.append(seen)
    runner = web.AppRunner(app, access_log=None, auto_decompress=False)
    await runner.setup()
    assert runner.server is not None
    listener = await start_tls_server(
        runner.server,
        "127.0.0.1",
        0,
        server_context(pkis[side.org].files("tls-server", pkis[other])),
        admit=lambda evidence: side.gateway.directory.partner(evidence.organisation),
    )
    api.evidence = listener.evidence
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        await listener.wait_closed()
        await runner.cleanup()


async def episode(founded: Founded, seed: str, first: int) -> Tally:
    """One pair of worlds by TLS."""
    return await Episode(
        founded, seed, connected=connected, moods=MOODS, rounds=ROUNDS, size=SIZE, first=first
    ).run()

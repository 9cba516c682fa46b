"""What a partner may make us read: refused before the first byte of a body, and nobody else's loss."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigInvalid, OverQuota
from gateway.service.config import Inbound, read_config
from gateway.service.http import partner_runner
from gateway.service.partner_api import BATCH_TYPE, PartnerApi
from gateway.service.quota import Quotas
from gateway.service.tls import TlsEvidence
from tests.service.test_refusals import entries
from tests.service.world import BE, FR, World

KIB = 1024


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def small(**changes: object) -> Inbound:
    """Limits that a test can reach."""
    return msgspec.convert(
        {
            "batch_bytes": 100, "reading_bytes": 300, "reading_bytes_per_partner": 200,
            "window_s": 10.0, "window_bytes": 1000, "window_messages": 10, **changes,
        },
        Inbound,
    )  # fmt: skip


def test_an_allowance_grows_back() -> None:
    """Bytes: used up they are refused with the seconds to wait, after which exactly as much passes again."""
    clock = Time()
    quotas = Quotas(small(), clock)
    for _ in range(10):
        with quotas.body(FR, 100):
            pass
    with pytest.raises(OverQuota) as refused, quotas.body(FR, 100):
        pass
    assert refused.value.retry_after == 1
    with quotas.body(BE, 100):
        pass  # another partner's allowance is its own
    clock.now += 1
    with quotas.body(FR, 100):
        pass
    with pytest.raises(OverQuota), quotas.body(FR, 1):
        pass
    clock.now += 1000
    for _ in range(10):  # a long rest gives one window, not more
        with quotas.body(FR, 100):
            pass
    with pytest.raises(OverQuota), quotas.body(FR, 1):
        pass


def test_messages_are_charged_when_they_are_counted() -> None:
    """A batch goes through as a whole; what it was too large for is paid back by waiting. Questions cost as much."""
    clock = Time()
    quotas = Quotas(small(), clock)
    with quotas.body(FR, 1):
        quotas.messages(FR, 30)
    with pytest.raises(OverQuota) as refused:
        quotas.question(FR)
    assert refused.value.retry_after == 21
    with pytest.raises(OverQuota) as refused, quotas.body(FR, 1):
        pass
    assert refused.value.retry_after == 21
    clock.now += 21
    quotas.question(FR)
    with pytest.raises(OverQuota):
        quotas.question(FR)


def test_bodies_on_their_way_share_our_memory() -> None:
    """One partner holds its share, all together hold the whole, and what ends gives its room back, failed or not."""
    quotas = Quotas(small(), Time())
    with quotas.body(FR, 100), quotas.body(FR, 100):
        with pytest.raises(OverQuota), quotas.body(FR, 1):
            pass
        with quotas.body(BE, 100), pytest.raises(OverQuota), quotas.body("deu.third", 1):
            pass
    with pytest.raises(RuntimeError), quotas.body(FR, 100):
        raise RuntimeError
    with quotas.body(FR, 100), quotas.body(FR, 100):
        pass


@given(st.lists(st.tuples(st.integers(1, 100), st.floats(0, 5)), max_size=60))
def test_no_schedule_beats_the_allowance(steps: list[tuple[int, float]]) -> None:
    """Law: over any schedule a partner gets at most one window's bytes and what grew back; waiting as told suffices."""
    clock = Time()
    quotas, passed = Quotas(small(window_messages=1000), clock), 0
    for length, pause in steps:
        clock.now += pause
        try:
            with quotas.body(FR, length):
                passed += length
        except OverQuota as refused:
            clock.now += refused.retry_after or 0.0
            with quotas.body(FR, length):
                passed += length
    assert passed <= 1000 + (clock.now - 1000.0) * 100 + 1e-6


@pytest.mark.parametrize(
    "line",
    [
        "window_bytes = 1",
        "reading_bytes_per_partner = 1",
        "connections = 0",
        "idle_s = 0",
        "body_bytes_s = -1",
    ],
)
def test_limits_that_make_no_sense(line: str) -> None:
    """A zero switches nothing off, and an allowance that no batch fits is refused: both when the file is read."""
    text = (
        'organisation = {id="bel.a",nation="BEL",name="A"}\npartner_listener={host="a",port=1}\n'
        f'operations_listener={{host="a",port=1}}\n[inbound]\n{line}\n'
    )
    with pytest.raises(ConfigInvalid):
        read_config(text.encode())


# --- on the wire -----------------------------------------------------------------------------------------------------


class Side:
    """The partner listener's application over plain TCP; who asks is given, not proven."""

    def __init__(self, port: int, api: PartnerApi) -> None:
        self.port, self._api = port, api
        self.org = FR

    def evidence(self, _transport: object) -> TlsEvidence:
        return TlsEvidence(self.org, "", "", "", 1, 2, "TLSv1.3", "")

    async def send(
        self, raw: bytes, *, then: Callable[[asyncio.StreamWriter], object] | None = None
    ) -> bytes:
        """Everything that comes back until the end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(raw)
        if then is not None:
            then(writer)
        try:
            async with asyncio.timeout(10):
                return await _until_closed(reader)
        finally:
            writer.transport.abort()


async def _until_closed(reader: asyncio.StreamReader) -> bytes:
    """All that came. Who writes on while the other end closes may find a reset behind the answer."""
    came = b""
    with contextlib.suppress(ConnectionResetError):
        while some := await reader.read(65_536):
            came += some
    return came


@asynccontextmanager
async def serving(world: World, limits: Inbound) -> AsyncIterator[Side]:
    gateway = world.be.gateway
    gateway.config = msgspec.structs.replace(gateway.config, inbound=limits)
    api = PartnerApi(gateway, world.be.intake, world.be.refusals)
    runner = partner_runner(api.application(), limits)
    await runner.setup()
    server = await asyncio.get_running_loop().create_server(runner.server, "127.0.0.1", 0)  # type: ignore[arg-type]
    side = Side(server.sockets[0].getsockname()[1], api)
    api.evidence = side.evidence
    try:
        yield side
    finally:
        server.close()
        await runner.cleanup()


def post(length: int, body: bytes = b"", *headers: str) -> bytes:
    lines = [
        "POST /exchange/v1/messages HTTP/1.1", "Host: gw", f"Content-Type: {BATCH_TYPE}", "Connection: close",
        f"Content-Length: {length}", *headers,
    ]  # fmt: skip
    return "\r\n".join([*lines, "", ""]).encode() + body


async def test_a_partner_over_its_quota_is_told_before_it_sends(world: World) -> None:
    """429, a code and the seconds to wait, without one byte of the body; another partner is served; it is counted."""
    async with serving(world, small(window_messages=1)) as side:
        assert b" 400 " in await side.send(post(50, bytes(50)))
        answer = await side.send(post(50))
        assert answer.startswith(b"HTTP/1.1 429 ")
        assert b"Retry-After: 10\r\n" in answer
        assert b'"title":"quota"' in answer
        side.org = BE
        assert b"quota" not in await side.send(post(50, bytes(50)))
    await world.be.refusals.flush()
    reasons = {(one["source"], one["reason"]): one["count"] for one in await entries(world.be)}
    assert reasons[FR, "quota"] == 1
    assert (BE, "quota") not in reasons


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (post(101), b"413"),
        (post(10**30), b"400"),
        (post(5, b"12345", "Content-Encoding: gzip"), b"400"),
        (post(5, b"12345", "Expect: 100-continue"), b"417"),
        (post(5, b"12345", "Transfer-Encoding: chunked"), b"400"),
        (post(5).replace(b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", b"411"),
        (post(5).replace(b"Content-Length: 5\r\n", b""), b"411"),
        (post(5, b"", "X: " + "a" * 9000), b"400"),
        (post(5, b"", *["X: a"] * 70), b"400"),
        (post(5, b"12345").replace(b"sealed-batch", b"sealed-batch; charset=utf-8"), b"400"),
        (post(5, b"12345", "Content-Type: application/vnd.ecluse.sealed-batch"), b"400"),
        *(
            (post(5, b"12345").replace(b"HTTP/1.1", b"HTTP/" + one), b"400")
            for one in (b"1.0", b"0.9", b"2.0")
        ),
    ],
)
async def test_what_headers_announce_is_enough_to_refuse(
    world: World, request_: bytes, status: bytes
) -> None:
    """Each is answered before a body comes, and nothing of it reaches the intake: another version of HTTP, a media type
    with a parameter or said twice."""
    async with serving(world, small()) as side:
        answer = await side.send(request_)
    assert answer.split(b" ")[1] == status


async def test_a_body_that_stalls(world: World) -> None:
    """Half a body and silence: 408 by itself, well before the limit of a whole body."""
    async with serving(world, small(body_stall_s=0.2, body_total_s=30.0)) as side:
        assert b" 408 " in await side.send(post(50, bytes(25)))


async def test_a_body_that_trickles(world: World) -> None:
    """No single stall, but a rate below the least one over the whole: 408 although more would have come."""
    async with serving(world, small(body_stall_s=0.5, body_total_s=30.0, body_bytes_s=1000)) as side:
        sent: list[float] = []

        def trickle(writer: asyncio.StreamWriter) -> None:
            async def drops() -> None:
                while not writer.is_closing():
                    sent.append(time.monotonic())
                    writer.write(b"a")
                    await asyncio.sleep(0.1)

            tasks.append(asyncio.create_task(drops()))

        tasks: list[asyncio.Task[None]] = []
        answer = await side.send(post(100), then=trickle)
        for task in tasks:
            task.cancel()
    assert b" 408 " in answer
    assert 2 < len(sent) < 50  # ended on the way, and not by a stall


async def test_headers_that_trickle(world: World) -> None:
    """A byte now and then keeps nothing open: complete headers must be there in time."""
    async with serving(world, small(idle_s=0.5)) as side:

        def trickle(writer: asyncio.StreamWriter) -> None:
            async def drops() -> None:
                while not writer.is_closing():
                    writer.write(b"X: a\r\n")
                    await asyncio.sleep(0.1)

            tasks.append(asyncio.create_task(drops()))

        tasks: list[asyncio.Task[None]] = []
        assert await side.send(b"GET / HTTP/1.1\r\n", then=trickle) == b""
        for task in tasks:
            task.cancel()


async def test_nobody_pipelines(world: World) -> None:
    """Of two requests in one segment the first has its answer and the connection ends; one after the other on the same
    connection is what we do."""
    question = b"GET /exchange/v1/messages/a/receipt HTTP/1.1\r\nHost: gw\r\n\r\n"
    async with serving(world, Inbound()) as side:
        for first in (question, post(7, b"nothing").replace(b"Connection: close\r\n", b"")):
            answer = await side.send(first + question)
            assert answer.startswith(b"HTTP/1.1 4")
            assert (answer.count(b"HTTP/1.1 "), answer.count(b"Connection: close")) == (1, 1)
        reader, writer = await asyncio.open_connection("127.0.0.1", side.port)
        for _ in range(2):
            writer.write(question)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 404 ")
        writer.transport.abort()

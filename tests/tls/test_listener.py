"""The partner listener on loopback: who gets through to the web server, who does not, and what each is told."""

import asyncio
import gc
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import msgspec
import pytest
from aiohttp import ClientSession, TCPConnector, web
from structlog.testing import capture_logs

from gateway.errors import UnknownPartner
from gateway.service.config import Inbound
from gateway.service.tls import (
    TlsEvidence,
    client_context,
    install_alert_patch,
    peer_evidence,
    pin_check,
    server_context,
)
from gateway.service.tls_listener import TlsListener, _source, start_tls_server
from gateway.service.tls_probe import client_hello
from tests.tls.pki import PROFILE_FLAWS, Pki, unchecked_client, version_4

pytestmark = pytest.mark.integration


@dataclass
class World:
    """A running listener in front of a web server that answers with the caller's organisation."""

    listener: TlsListener
    port: int
    refusals: list[str] = field(default_factory=list)

    async def connect(self, context: ssl.SSLContext) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=context)


@asynccontextmanager
async def serving(
    pki: Pki,
    *,
    pinned: Callable[[TlsEvidence], object] = lambda evidence: evidence,
    limits: Inbound | None = None,
    answer: str = "",
    idle_s: float = 60.0,
) -> AsyncIterator[World]:
    refusals: list[str] = []

    async def whoami(request: web.BaseRequest) -> web.Response:
        return web.Response(text=answer or listener.evidence(request.transport).organisation)

    server = web.Server(whoami, keepalive_timeout=idle_s)
    listener = await start_tls_server(
        server,
        "127.0.0.1",
        0,
        server_context(pki.files("tls-server")),
        admit=pinned,
        on_refused=lambda source, reason: refusals.append(f"{source} {reason}"),
        limits=limits,
    )
    try:
        yield World(listener, listener.sockets[0].getsockname()[1], refusals)
    finally:
        listener.close()
        await listener.wait_closed()
        await server.shutdown(1)


def places(connections: int, connections_per_partner: int = 1, **others: int) -> Inbound:
    """Limits with so many places, of which one is for a partner that has none."""
    return Inbound(
        connections=connections,
        connections_per_partner=connections_per_partner,
        connections_reserved=1,
        **others,
    )


async def end_of(reader: asyncio.StreamReader) -> bytes:
    """What still comes until the server ends the connection, cleanly or not."""
    async with asyncio.timeout(3):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came about")


async def test_a_partner_gets_through(pki: Pki) -> None:
    """An admitted partner is served over one kept connection, and the server knows who asks."""
    async with serving(pki) as world:
        context = client_context(pki.files("tls-client"))
        async with ClientSession(connector=TCPConnector(ssl=context)) as session:
            for _ in range(2):
                async with session.get(f"https://localhost:{world.port}/") as response:
                    assert (response.status, await response.text()) == (200, "fra.police-demo")
        assert world.refusals == []


async def test_the_client_checks_the_server(pki: Pki) -> None:
    """The delivering side takes evidence of the server from the open connection, and holds it against its pin."""
    async with serving(pki) as world:
        _, writer = await world.connect(client_context(pki.files("tls-client")))
        evidence = peer_evidence(writer.get_extra_info("ssl_object"))
        assert pin_check(evidence, [evidence.spki_sha256]).evidence.organisation == "fra.police-demo"
        writer.close()


@pytest.mark.parametrize("name", ["any-purpose", "rsa-2048", "no-organisation", "ca-true"])
async def test_our_own_check_stands_before_the_web_server(pki: Pki, name: str) -> None:
    """What only our own check refuses never reaches the web server, although the handshake completed."""
    pki.flawed("tls-client", PROFILE_FLAWS[name][0])
    async with serving(pki) as world:
        reader, writer = await world.connect(unchecked_client(pki.files("flawed")))
        with suppress(ConnectionError):
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await writer.drain()
        assert await end_of(reader) == b""
        assert world.refusals == ["127.0.0.1 certificate-profile"]
        writer.close()


async def test_the_directory_has_the_last_word(pki: Pki) -> None:
    """A perfect certificate whose key nobody pinned is refused; no pin at all refuses everybody."""
    async with serving(pki, pinned=lambda evidence: pin_check(evidence, [])) as world:
        reader, writer = await world.connect(client_context(pki.files("tls-client")))
        assert await end_of(reader) == b""
        assert world.refusals == ["127.0.0.1 partner"]
        writer.close()


async def read_records(port: int, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    answer = await end_of(reader)
    writer.close()
    return answer


async def test_alerts_arrive_as_records(pki: Pki) -> None:
    """A raw client that offers what we refuse reads a TLS alert record before the end, not a bare end of file."""
    async with serving(pki) as world:
        for hello, description in (
            (client_hello(version=0x0303), 70),  # protocol_version
            (client_hello(suites=[0x13FF]), 40),  # handshake_failure
        ):
            record = await read_records(world.port, hello)
            assert (record[:2], record[3:]) == (b"\x15\x03", bytes([0, 2, 2, description]))
        await until(lambda: len(world.refusals) == 2)
        assert world.refusals == ["127.0.0.1 handshake"] * 2


async def test_a_refused_certificate_is_told_why(pki: Pki, other: Pki) -> None:
    """After the handshake keys exist the alert is encrypted: a partner's library reads it out."""
    revoked = pki.good("tls-client", name="revoked")
    pki.revoke(revoked)
    anonymous = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anonymous.load_verify_locations(pki.folder / "ca" / "ca.pem")
    clients = {
        "CERTIFICATE_REQUIRED": anonymous,
        "CERTIFICATE_REVOKED": unchecked_client(pki.files("revoked")),
        "UNKNOWN_CA": unchecked_client(other.files("tls-client", pki)),
    }
    async with serving(pki) as world:
        for alert, context in clients.items():
            reader, writer = await world.connect(context)
            with pytest.raises(ssl.SSLError, match=alert):
                async with asyncio.timeout(3):
                    await reader.read()
            writer.close()
        assert world.refusals == [
            "127.0.0.1 handshake",  # no certificate at all
            "127.0.0.1 certificate-revoked",
            "127.0.0.1 certificate-issuer",
        ]


async def test_a_slow_stranger_gives_way(pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    """With every place taken by strangers who say nothing, a partner still gets through, and nothing is logged."""
    async with serving(pki, limits=places(3)) as world:
        strangers = [await asyncio.open_connection("127.0.0.1", world.port) for _ in range(3)]
        await asyncio.sleep(0.05)
        reader, writer = await world.connect(client_context(pki.files("tls-client")))
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert b"fra.police-demo" in await end_of(reader)
        assert world.refusals == ["127.0.0.1 full"]
        assert await end_of(strangers[0][0]) == b"", "the one that waited longest"
        assert not strangers[1][0].at_eof()
        for _, stranger in strangers:
            stranger.close()
        writer.close()
    assert caplog.records == []


async def test_no_place_is_left(pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    """Partners at work are never ended for a newcomer: it is refused, before any handshake, without a log line."""
    organisations = ("fra.police-demo", "bel.ocam", "deu.example")
    for org in organisations:
        pki.good("tls-client", org=org, name=org)
    async with serving(pki, limits=places(3)) as world:
        contexts = [client_context(pki.files(org)) for org in organisations]
        partners = [await world.connect(context) for context in contexts]
        await until(lambda: world.listener.open_connections == 3)
        context = contexts[0]
        with pytest.raises(ConnectionError):
            await world.connect(context)
        assert world.refusals == ["127.0.0.1 full"]
        partners[0][1].write(b"GET / HTTP/1.0\r\n\r\n")
        assert b"fra.police-demo" in await end_of(partners[0][0])
        # The place is free again.
        await until(lambda: world.listener.open_connections == 2)
        partners.append(await world.connect(context))
        for _, writer in partners:
            writer.close()
    assert caplog.records == []


async def test_one_partner_has_a_share(pki: Pki) -> None:
    """A partner above its share is refused; another one is not."""
    pki.good("tls-client", org="bel.ocam", name="bel")
    async with serving(pki, limits=Inbound(connections_per_partner=1)) as world:
        first = await world.connect(client_context(pki.files("tls-client")))
        await until(lambda: world.listener.open_connections == 1)
        second = await world.connect(client_context(pki.files("tls-client")))
        assert await end_of(second[0]) == b""
        assert world.refusals == ["127.0.0.1 partner-full"]
        another = await world.connect(client_context(pki.files("bel")))
        another[1].write(b"GET / HTTP/1.0\r\n\r\n")
        assert b"bel.ocam" in await end_of(another[0])
        for _, writer in (first, second, another):
            writer.close()


async def test_two_partners_leave_a_place_for_a_third(pki: Pki) -> None:
    """Two at their share, and a third still gets through; it has one connection of the last places, and no second."""
    third = "deu.example"
    for org in ("bel.ocam", third):
        pki.good("tls-client", org=org, name=org)
    async with serving(pki, limits=places(5, 2)) as world:
        greedy = [client_context(pki.files(name)) for name in ("tls-client", "bel.ocam")]
        held = [await world.connect(context) for context in greedy for _ in range(3)]
        await until(lambda: world.listener.open_connections == 4 and len(world.refusals) == 2)
        assert world.refusals == ["127.0.0.1 partner-full"] * 2
        first = await world.connect(client_context(pki.files(third)))
        await until(lambda: world.listener.open_connections == 5)
        assert not first[0].at_eof()
        held.append(first)
        held[0][1].close()
        await until(lambda: world.listener.open_connections == 4)
        second = await world.connect(client_context(pki.files(third)))
        assert await end_of(second[0]) == b""
        assert world.refusals == ["127.0.0.1 partner-full"] * 3
        for _, writer in (*held, second):
            writer.close()


@pytest.mark.parametrize(("connections", "share", "reserved"), [(200, 100, 1), (240, 100, 41), (2, 1, 1)])
def test_two_shares_and_the_reserve_fit(connections: int, share: int, reserved: int) -> None:
    """A configuration under which two partners could hold what is reserved is none; one place less, and it is."""
    limits = {"connections_per_partner": share, "connections_reserved": reserved}
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"connections": connections, **limits}, Inbound)
    msgspec.convert({"connections": 2 * share + reserved, **limits}, Inbound)


async def test_a_certificate_of_a_version_nobody_knows(pki: Pki) -> None:
    """OpenSSL admits a certificate of version 4, and no parser of ours reads it: it is counted, and its connection
    ends; the next partner is served."""
    version_4(pki)
    async with serving(pki) as world:
        reader, _ = await world.connect(unchecked_client(pki.files("version-4")))
        assert await end_of(reader) == b""
        assert world.refusals == ["127.0.0.1 certificate-profile"]
        assert world.listener.open_connections == 0
        _, writer = await world.connect(client_context(pki.files("tls-client")))
        await until(lambda: world.listener.open_connections == 1)
        writer.close()


async def test_a_fault_of_ours_admits_nobody(pki: Pki) -> None:
    """Whatever the check raises, the connection is counted and ended, and the log has the class of the error alone."""

    def broken(_evidence: TlsEvidence) -> object:
        raise ZeroDivisionError("Zzemo")

    with capture_logs() as said:
        async with serving(pki, pinned=broken) as world:
            reader, _ = await world.connect(client_context(pki.files("tls-client")))
            assert await end_of(reader) == b""
            assert world.refusals == ["127.0.0.1 partner"]
            assert world.listener.open_connections == 0
    assert [{**one} for one in said] == [
        {"event": "tls.check-failed", "error": "ZeroDivisionError", "log_level": "error"}
    ]


async def test_stopping_a_partner_ends_its_connections(pki: Pki) -> None:
    """Dropping one organisation leaves the others; dropping all leaves nobody; evidence goes with the connection."""
    pki.good("tls-client", org="bel.ocam", name="bel")
    async with serving(pki) as world:
        ours = await world.connect(client_context(pki.files("tls-client")))
        theirs = await world.connect(client_context(pki.files("bel")))
        await until(lambda: world.listener.open_connections == 2)
        seen = theirs[1].transport  # the client's own end: never a key of the listener
        assert world.listener.drop("bel.ocam") == 1
        assert await end_of(theirs[0]) == b""
        await until(lambda: world.listener.open_connections == 1)
        assert world.listener.drop("deu.nobody") == 0
        assert world.listener.drop() == 1
        assert await end_of(ours[0]) == b""
        await until(lambda: world.listener.open_connections == 0)
        for transport in (seen, None):
            with pytest.raises(UnknownPartner):
                world.listener.evidence(transport)
        for _, writer in (ours, theirs):
            writer.close()


async def test_a_flood(pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    """Thirty strangers at once for three places: the newest hold them, and every other socket is closed again."""
    async with serving(pki, limits=places(3)) as world:
        flood = [socket.create_connection(("127.0.0.1", world.port)) for _ in range(30)]  # none accepted yet
        await until(lambda: len(world.refusals) == 27)
        partner = await world.connect(client_context(pki.files("tls-client")))
        await until(lambda: world.listener.open_connections == 1)
        assert world.refusals == ["127.0.0.1 full"] * 28
        partner[1].close()
        for stranger in flood:
            stranger.close()
    gc.collect()  # a socket left behind would be an error here
    assert caplog.records == []


async def test_a_stalled_handshake_ends(pki: Pki) -> None:
    """Half a hello and then silence: the connection ends by itself and is counted."""
    async with serving(pki, limits=Inbound(handshake_s=0.1)) as world:
        assert await read_records(world.port, client_hello()[:40]) == b""
        assert world.refusals == ["127.0.0.1 handshake"]


async def test_closing(pki: Pki) -> None:
    """After close nobody can connect, and an unfinished handshake is ended, not waited for."""
    async with serving(pki, limits=Inbound(handshake_s=60)) as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        await asyncio.sleep(0.02)
        world.listener.close()
        async with asyncio.timeout(30):
            await world.listener.wait_closed()
        assert await end_of(reader) == b""
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", world.port)
        writer.close()


async def test_an_address_in_use(pki: Pki) -> None:
    """A second listener on the same port fails at once, and leaves no socket behind."""
    async with serving(pki) as world:
        with pytest.raises(OSError, match="in use"):
            await start_tls_server(
                web.Server(lambda _: web.Response()),  # type: ignore[arg-type, return-value]
                "127.0.0.1",
                world.port,
                server_context(pki.files("tls-server")),
                admit=lambda evidence: evidence,
            )


def test_the_alert_patch_is_installed_once() -> None:
    """Installing it again wraps nothing twice."""
    install_alert_patch()
    first = asyncio.sslproto.SSLProtocol._fatal_error
    install_alert_patch()
    assert asyncio.sslproto.SSLProtocol._fatal_error is first


async def test_one_source_has_a_share(pki: Pki) -> None:
    """A source at its share takes the place of its own oldest handshake, or of nobody: other sources keep theirs."""
    limits = places(10, connections_per_source=2)
    async with serving(pki, limits=limits) as world:
        slow = [await raw_connection(world.port, "127.0.0.2") for _ in range(4)]
        await until(lambda: len(world.refusals) == 2)
        assert world.refusals == ["127.0.0.2 source-full"] * 2
        assert [await end_of(reader) for reader, _ in slow[:2]] == [b"", b""]
        assert not any(reader.at_eof() for reader, _ in slow[2:])
        partner = await world.connect(client_context(pki.files("tls-client")))
        await until(lambda: world.listener.open_connections == 1)
        for _, writer in (*slow, partner):
            writer.close()


async def test_a_source_whose_share_is_at_work(pki: Pki) -> None:
    """Partners at work from one address are never ended for a newcomer from it."""
    async with serving(pki, limits=Inbound(connections_per_source=1)) as world:
        context = client_context(pki.files("tls-client"))
        partner = await world.connect(context)
        await until(lambda: world.listener.open_connections == 1)
        with pytest.raises(ConnectionError):
            await world.connect(context)
        assert world.refusals == ["127.0.0.1 source-full"]
        partner[1].close()


async def test_with_every_place_taken_whoever_stalls_most_gives_way(pki: Pki) -> None:
    """Three stalled from one source and one from another: the crowd's oldest ends, not the oldest of all."""
    async with serving(pki, limits=places(4)) as world:
        single = await raw_connection(world.port, "127.0.0.3")
        crowd = [await raw_connection(world.port, "127.0.0.2") for _ in range(3)]
        await asyncio.sleep(0.05)
        newcomer = await raw_connection(world.port, "127.0.0.4")
        assert await end_of(crowd[0][0]) == b""
        assert world.refusals == ["127.0.0.2 full"]
        assert not single[0].at_eof()
        for _, writer in (single, *crowd, newcomer):
            writer.close()


async def test_an_answer_that_nobody_takes(pki: Pki) -> None:
    """A peer that never reads its answer is idle: its connection ends all the same, the rest of the answer with it."""
    async with serving(pki, idle_s=0.2, answer="a" * 16_000_000) as world:
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        narrow.connect(("127.0.0.1", world.port))
        narrow.setblocking(False)
        context = client_context(pki.files("tls-client"))
        _, writer = await asyncio.open_connection(sock=narrow, ssl=context, server_hostname="localhost")
        await until(lambda: world.listener.open_connections == 1)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert not writer.transport.is_closing()
        async with asyncio.timeout(10):
            while world.listener.open_connections:  # noqa: ASYNC110 - a figure
                await asyncio.sleep(0.05)
        writer.transport.abort()
        assert world.listener.open_connections == 0


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
    ],
)
def test_who_is_one_source(address: str, source: str) -> None:
    """An IPv4 address, also when it is written as an IPv6 one; a whole site of IPv6."""
    assert _source(address) == source


async def raw_connection(port: int, source: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A TCP connection from another loopback address, which then says nothing."""
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))

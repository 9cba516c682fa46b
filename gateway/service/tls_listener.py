"""The partner listener: admission before the handshake, our own check after it, and only then the web server.

An idle TLS connection costs about 300 KB in asyncio, so connections are counted before the handshake, not after
it. Whoever stalls gives way to whoever comes: with every place taken, the oldest unfinished handshake is ended, so
that slow strangers cannot keep partners out. One partner may hold only a share of the places, so that it cannot
keep out another.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Literal, cast

from gateway.errors import GatewayError, UnknownPartner
from gateway.service.tls import TlsEvidence, install_alert_patch, peer_evidence

#: Connections, open or in the handshake: 200 cost at most 60 MB.
MAX_CONNECTIONS = 200
#: Open connections of one organisation: half of all places stay free for the others.
MAX_PER_PARTNER = 100
HANDSHAKE_TIMEOUT = 5.0  # seconds; an honest handshake takes two round trips
SHUTDOWN_TIMEOUT = 2.0  # seconds for the peer's close_notify
BACKLOG = 100  # connections the kernel holds while the loop is busy
ACCEPT_PAUSE = 0.1  # seconds to wait when the process is out of file descriptors

#: Why a connection was refused: the closed list of metrics and of the aggregated audit entries.
Refusal = Literal["full", "handshake", "certificate", "partner-full", "partner"]


class TlsListener:
    """One listening socket and the connections that came through it. Made by `start_tls_server`."""

    def __init__(
        self,
        listening: socket.socket,
        web_server: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext,
        *,
        admit: Callable[[TlsEvidence], object],
        on_refused: Callable[[str, Refusal], None],
        max_connections: int,
        max_per_partner: int,
    ) -> None:
        self._listening = listening
        self._web_server = web_server
        self._context = context
        self._admit = admit
        self._on_refused = on_refused
        self._max_connections = max_connections
        self._max_per_partner = max_per_partner
        self._handshakes: dict[asyncio.Task[None], str] = {}  # -> source address; the oldest comes first
        self._open: dict[asyncio.Transport, TlsEvidence] = {}
        self._accepting = asyncio.get_running_loop().create_task(self._accept())

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening socket, as `asyncio.Server` has it."""
        return (self._listening,)

    @property
    def open_connections(self) -> int:
        """Admitted connections that are open."""
        return len(self._open)

    def evidence(self, transport: asyncio.BaseTransport | None) -> TlsEvidence:
        """What the handshake of an open connection proved. Raises `UnknownPartner` once it is closed."""
        evidence = self._open.get(cast(asyncio.Transport, transport))
        if evidence is None:
            raise UnknownPartner("the connection is closed")
        return evidence

    def drop(self, organisation: str | None = None) -> int:
        """End the open connections of one organisation, or all of them after a reload; how many there were.

        At once and without a word: requests under way are lost, which their sender repeats.
        """
        found = [t for t, e in self._open.items() if organisation in (None, e.organisation)]
        for transport in found:
            transport.abort()
        return len(found)

    def close(self) -> None:
        """Accept no more and end unfinished handshakes. Open connections are the web server's to end."""
        self._accepting.cancel()
        for handshake in self._handshakes:
            handshake.cancel()

    async def wait_closed(self) -> None:
        """Return when the socket is closed and no handshake is left."""
        await asyncio.gather(self._accepting, *self._handshakes, return_exceptions=True)
        self._listening.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(self._listening)
            except OSError:
                # Out of descriptors or memory, or the peer is gone again: the others wait in the backlog.
                await asyncio.sleep(ACCEPT_PAUSE)
                continue
            source: str = address[0]
            if self._make_room():
                handshake = loop.create_task(self._handshake(connection, source))
                self._handshakes[handshake] = source
                handshake.add_done_callback(lambda done: self._handshakes.pop(done, None))
            else:
                connection.close()
                self._on_refused(source, "full")
            # A ready accept does not wait: without this a flood would hold the loop, and a handshake could be
            # cancelled before its first step, which owns the socket.
            await asyncio.sleep(0)

    def _make_room(self) -> bool:
        if len(self._handshakes) + len(self._open) < self._max_connections:
            return True
        oldest = next(iter(self._handshakes), None)
        if oldest is None:
            return False
        self._on_refused(self._handshakes.pop(oldest), "full")
        oldest.cancel()
        return True

    async def _handshake(self, connection: socket.socket, source: str) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: _Admission(self, source),
                connection,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
                ssl_shutdown_timeout=SHUTDOWN_TIMEOUT,
            )
        except OSError:  # TLS alert, time-out or reset: all of them are OSErrors
            self._on_refused(source, "handshake")

    def _enter(self, transport: asyncio.Transport, source: str) -> asyncio.Protocol | None:
        """Admit one connection whose handshake is complete, or end it and return None.

        1. our own check of certificate and chain;
        2. the directory knows the organisation and pins this key;
        3. the organisation holds less than its share: after (2), so that nobody can use up another's.
        """
        reason: Refusal = "certificate"
        try:
            evidence = peer_evidence(transport.get_extra_info("ssl_object"))  # (1)
            reason = "partner"
            self._admit(evidence)  # (2)
        except GatewayError:
            self._refuse(transport, source, reason)
            return None
        held = sum(e.organisation == evidence.organisation for e in self._open.values())
        if held >= self._max_per_partner:  # (3)
            self._refuse(transport, source, "partner-full")
            return None
        self._open[transport] = evidence
        return self._web_server()

    def _refuse(self, transport: asyncio.Transport, source: str, reason: Refusal) -> None:
        self._on_refused(source, reason)
        transport.abort()

    def _leave(self, transport: asyncio.Transport) -> None:
        self._open.pop(transport, None)


class _Admission(asyncio.Protocol):
    """Stands before the web server's protocol, which never hears of a connection that is not admitted."""

    def __init__(self, listener: TlsListener, source: str) -> None:
        self._listener = listener
        self._source = source
        self._inner: asyncio.Protocol | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._inner = self._listener._enter(self._transport, self._source)
        if self._inner is not None:
            self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._inner is not None else None

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener._leave(self._transport)
        if self._inner is not None:
            self._inner.connection_lost(exc)


async def start_tls_server(
    web_server: Callable[[], asyncio.Protocol],
    host: str,
    port: int,
    context: ssl.SSLContext,
    *,
    admit: Callable[[TlsEvidence], object],
    on_refused: Callable[[str, Refusal], None] = lambda _source, _reason: None,
    max_connections: int = MAX_CONNECTIONS,
    max_per_partner: int = MAX_PER_PARTNER,
) -> TlsListener:
    """Listen on one address; port 0 lets the system choose (see ``sockets``).

    ``web_server`` makes a protocol per admitted connection (`aiohttp.web.Server` is one). ``admit`` is the
    directory's word on the evidence, normally `pin_check` against the entry of ``evidence.organisation``, and
    refuses by raising `UnknownPartner`. ``on_refused`` counts (source address, reason): nothing is logged here.
    Raises `OSError` when the address cannot be bound.
    """
    install_alert_patch()
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    family, kind, protocol, _, address = found[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setblocking(False)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return TlsListener(
        listening,
        web_server,
        context,
        admit=admit,
        on_refused=on_refused,
        max_connections=max_connections,
        max_per_partner=max_per_partner,
    )

"""The partner listener: admission before the handshake, our own check after it, and only then the web server.

An idle TLS connection costs about 300 KB in asyncio, so connections are counted before the handshake, not after
it. Whoever stalls gives way to whoever comes: with every place taken, the oldest unfinished handshake of the source
that has most of them is ended, so that slow strangers cannot keep partners out. One source and one partner may hold
only a share of the places, and the last places are for partners that have none, so that none can keep out another.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Literal, cast

import structlog

from gateway.errors import GatewayError, UnknownPartner
from gateway.service.config import Inbound
from gateway.service.tls import TlsEvidence, install_alert_patch, install_small_buffers, peer_evidence

log = structlog.get_logger()

SHUTDOWN_TIMEOUT = 2.0  # seconds for the peer's close_notify
BACKLOG = 1024  # connections the kernel holds while the loop is busy: beyond it a partner tries again after a second
ACCEPT_PAUSE = 0.1  # seconds to wait when the process is out of file descriptors
IPV6_SITE = 64  # bits: whoever has one address of a site has all of them (RFC 4291 §2.5.4)

#: Why a connection was refused: the closed list of metrics and of the aggregated audit entries. The part after the
#: hyphen is what path validation, or else our own check, found wrong with the certificate.
Refusal = Literal[
    "full", "source-full", "partner-full", "handshake", "partner",
    "certificate", "certificate-issuer", "certificate-signature", "certificate-not-yet-valid",
    "certificate-expired", "certificate-revoked", "certificate-revocation-unknown", "certificate-purpose",
    "certificate-path", "certificate-names", "certificate-profile",
]  # fmt: skip

#: OpenSSL's verdicts on a path (X509_verify_cert) that operators must tell apart; any other is "certificate".
VERDICTS: Mapping[int, Refusal] = {
    2: "certificate-issuer", 18: "certificate-issuer", 19: "certificate-issuer",
    20: "certificate-issuer", 21: "certificate-issuer",
    7: "certificate-signature", 66: "certificate-signature", 67: "certificate-signature",
    68: "certificate-signature",
    9: "certificate-not-yet-valid", 10: "certificate-expired", 23: "certificate-revoked",
    3: "certificate-revocation-unknown", 11: "certificate-revocation-unknown",
    12: "certificate-revocation-unknown",
    26: "certificate-purpose", 24: "certificate-path", 22: "certificate-path", 25: "certificate-path",
    47: "certificate-names", 48: "certificate-names", 51: "certificate-names",
}  # fmt: skip


#: The same of our own checks after the handshake, by the rule they name; any other rule is "certificate-profile".
RULES: Mapping[str, Refusal] = {
    "expired": "certificate-expired",
    "revoked": "certificate-revoked",
    "revocation-unknown": "certificate-revocation-unknown",
}


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
        limits: Inbound,
    ) -> None:
        self._listening = listening
        self._web_server = web_server
        self._context = context
        self._admit = admit
        self._on_refused = on_refused
        self._limits = limits
        self._handshakes: dict[asyncio.Task[None], str] = {}  # -> source; the oldest comes first
        self._open: dict[asyncio.Transport, TlsEvidence] = {}
        self._sources: dict[asyncio.Transport, str] = {}  # of the open ones
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
            source = _source(address[0])
            crowded = self._make_room(source)
            if crowded is None:
                handshake = loop.create_task(self._handshake(connection, source))
                self._handshakes[handshake] = source
                handshake.add_done_callback(lambda done: self._handshakes.pop(done, None))
            else:
                connection.close()
                self._on_refused(source, crowded)
            # A ready accept does not wait: without this a flood would hold the loop, and a handshake could be
            # cancelled before its first step, which owns the socket.
            await asyncio.sleep(0)

    def _make_room(self, source: str) -> Refusal | None:
        """None when one more may come from this source, perhaps because a stalled handshake gave way; or why not."""
        # a source that has its share can only take the place of its own
        waiting = Counter(self._handshakes.values())
        if (
            waiting[source] + sum(s == source for s in self._sources.values())
            >= self._limits.connections_per_source
        ):
            return self._give_way(source, "source-full")
        if len(self._handshakes) + len(self._open) < self._limits.connections:
            return None
        # with every place taken, whoever stalls most
        return self._give_way(next((s for s, _ in waiting.most_common(1)), ""), "full")

    def _give_way(self, source: str, crowded: Refusal) -> Refusal | None:
        oldest = next((task for task, s in self._handshakes.items() if s == source), None)
        if oldest is None:
            return crowded
        self._on_refused(self._handshakes.pop(oldest), crowded)
        oldest.cancel()
        return None

    async def _handshake(self, connection: socket.socket, source: str) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: _Admission(self, source),
                connection,
                ssl=self._context,
                ssl_handshake_timeout=self._limits.handshake_s,
                ssl_shutdown_timeout=SHUTDOWN_TIMEOUT,
            )
        except (
            ssl.SSLCertVerificationError
        ) as failure:  # OpenSSL has told the peer, by the alert of its verdict
            self._on_refused(source, VERDICTS.get(failure.verify_code, "certificate"))
        except OSError:  # TLS alert, time-out or reset: all of them are OSErrors
            self._on_refused(source, "handshake")

    def _enter(self, transport: asyncio.Transport, source: str) -> asyncio.Protocol | None:
        """Admit one connection whose handshake is complete, or end it and return None.

        1. our own check of certificate and chain;
        2. the directory knows the organisation and pins this key;
        3. the organisation holds less than its share: after (2), so that nobody can use up another's;
        4. it has none yet, or the places that are not reserved have not run out.

        A fault of ours in (1) or (2) refuses too, and is logged: no certificate may end more than its own connection.
        """
        reason: Refusal = "certificate-profile"
        try:
            evidence = peer_evidence(transport.get_extra_info("ssl_object"))  # (1)
            reason = "partner"
            self._admit(evidence)  # (2)
        except GatewayError as refused:
            self._refuse(transport, source, RULES.get(str(refused.diagnostic.get("rule")), reason))
            return None
        except Exception as fault:
            log.error("tls.check-failed", error=type(fault).__name__)
            self._refuse(transport, source, reason)
            return None
        held = sum(e.organisation == evidence.organisation for e in self._open.values())
        unreserved = self._limits.connections - self._limits.connections_reserved
        # (3) (4)
        if held >= self._limits.connections_per_partner or (held and len(self._open) >= unreserved):
            self._refuse(transport, source, "partner-full")
            return None
        self._open[transport], self._sources[transport] = evidence, source
        return self._web_server()

    def _refuse(self, transport: asyncio.Transport, source: str, reason: Refusal) -> None:
        """TLS 1.3 is done: no alert of the handshake can be sent any more, so the end is bare."""
        self._on_refused(source, reason)
        transport.abort()

    def _leave(self, transport: asyncio.Transport) -> None:
        self._open.pop(transport, None)
        self._sources.pop(transport, None)


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
    limits: Inbound | None = None,
) -> TlsListener:
    """Listen on one address; port 0 lets the system choose (see ``sockets``).

    ``web_server`` makes a protocol per admitted connection (`aiohttp.web.Server` is one). ``admit`` is the
    directory's word on the evidence, normally `pin_check` against the entry of ``evidence.organisation``, and
    refuses by raising `UnknownPartner`. ``on_refused`` counts (source, reason): nothing is logged here.
    Raises `OSError` when the address cannot be bound.
    """
    install_alert_patch()
    install_small_buffers()
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
        limits=limits or Inbound(),
    )


def _source(address: str) -> str:
    """Who counts as one source: an IPv4 address, or the site of an IPv6 one."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, IPV6_SITE), strict=False))

"""Every way out of these processes, as one closed table; and the two doors in code that hold them to it.

The table is what a reviewer reads and what a test compares with the source: a module that can write to a network, to
another process or to a file, and has no row, fails. The doors are Python audit hooks (PEP 578). They catch what a
library does behind our back, not hostile native code in the same process: that is what the signer's own process and
the operating system are for (`docs/threats.md`). `gateway.service.signer.confine` names what raises no event; here
``listen`` on a socket that was never bound is one more.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Callable, Iterable
from typing import Any, Literal, NoReturn

import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from gateway.service.signer.confine import COPIES, LOOKUPS, ExitClosed

Content = Literal["sealed", "released", "content", "ids", "counts", "keys", "public"]


class Exit(msgspec.Struct, frozen=True):
    """One way out. ``content`` is the most that may pass: sealed bytes for one partner, what was released to it,
    content for an officer who may read it, random ids and codes, counts, keys for their one reader, public facts."""

    sink: str
    modules: tuple[str, ...]  # the only modules whose code reaches this sink
    content: Content
    to: str
    four_eyes: bool  # two persons before it, where content leaves the organisation
    entry: str  # what the log holds about it; empty where nothing of a case passes


EXITS: tuple[Exit, ...] = (
    Exit(
        sink="batches to a partner's endpoint",
        modules=("adapters.partners.exchange",),
        content="sealed",
        to="the addressee, over mutual TLS with pinned keys",
        four_eyes=True,
        entry="partner log: message, before it is sealed",
    ),
    Exit(
        sink="answers of the partner listener",
        modules=("gateway.service.app", "gateway.service.tls_listener"),
        content="ids",
        to="the partner behind the TLS certificate",
        four_eyes=False,
        entry="partner log: receipt; master log: refusals, counted",
    ),
    Exit(
        sink="OCSP questions: serial numbers of pinned certificates, at a constant cadence",
        modules=("gateway.service.ocsp",),
        content="public",
        to="the responder that the configuration names",
        four_eyes=False,
        entry="",
    ),
    Exit(
        sink="time-stamp requests: a digest over the heads of all logs, at a constant cadence",
        modules=("adapters.timestamps.http",),
        content="public",
        to="the authority that the configuration names",
        four_eyes=False,
        entry="",
    ),
    Exit(
        sink="operations listener",
        modules=("gateway.service.app",),
        content="counts",
        to="monitoring",
        four_eyes=False,
        entry="",
    ),
    Exit(
        sink="control socket",
        modules=("gateway.service.app", "gateway.cli.client"),
        content="content",
        to="an officer who signed the call, within clearance and need to know",
        four_eyes=False,
        entry="master log: read, preview, or the act",
    ),
    Exit(
        sink="signer socket",
        modules=("gateway.service.signer.client", "gateway.service.signer.process"),
        content="content",
        to="the signer of this home, and back",
        four_eyes=False,
        entry="the entry that each signature covers",
    ),
    Exit(
        sink="the signer process, its standard streams",
        modules=("gateway.service.signer_child", "gateway.service.signer_main"),
        content="counts",
        to="the gateway that started it",
        four_eyes=False,
        entry="",
    ),
    Exit(
        sink="files of the home",
        modules=(
            "adapters.keys.file",
            "adapters.stores.database",
            "gateway.service.home",
            "gateway.service.provision",
            "gateway.service.tls",
        ),
        content="keys",
        to="the owner of the home; bodies stand there encrypted, keys with mode 0600",
        four_eyes=False,
        entry="master log: configuration, changes",
    ),
    Exit(
        sink="log of the process",
        modules=("gateway.service.logs", "gateway.service.app"),
        content="ids",
        to="the operator; fields of an allow-list",
        four_eyes=False,
        entry="",
    ),
    Exit(
        sink="terminal and files of a command",
        modules=(
            "adapters.records.synthetic",
            "gateway.cli.bench.find",
            "gateway.cli.bench.floor",
            "gateway.cli.bench.guards",
            "gateway.cli.demo",
            "gateway.cli.exported",
            "gateway.cli.shared",
            "gateway.cli.staging",
            "gateway.cli.story",
        ),
        content="content",
        to="the person who runs the command, who got it over the control socket",
        four_eyes=False,
        entry="master log: read, preview, or the act",
    ),
    Exit(
        sink="what a reviewer's verifier says of exported logs, on a machine of theirs",
        modules=("gateway.reviewer.verify",),
        content="ids",
        to="the reviewer who runs it",
        four_eyes=False,
        entry="",
    ),
    Exit(
        sink="certificates and revocation lists of an authority",
        modules=("certs.ca",),
        content="keys",
        to="the folder of the authority",
        four_eyes=False,
        entry="",
    ),
)

#: Kinds of sockets a gateway has; -1 is one taken over by its descriptor. Others (AF_VSOCK, AF_PACKET, AF_BLUETOOTH)
#: reach a hypervisor, a wire or a neighbour past every address that is checked here.
_NETWORK = (socket.AF_INET, socket.AF_INET6)
_FAMILIES = (socket.AF_UNIX, *_NETWORK, -1)

#: A place on a network: host name or address, and port.
Endpoint = tuple[str, int]


class Exits:
    """The doors of a gateway process: connections only to endpoints in force, sockets only where configured.

    ``endpoints`` is asked each time, so a partner that was added or stopped counts at once. Names are resolved by
    `resolver` alone; a connection goes to what it found for an endpoint's name, or to an endpoint's own address.
    """

    def __init__(self, endpoints: Callable[[], Iterable[Endpoint]]) -> None:
        self._endpoints = endpoints
        self._found: dict[str, frozenset[str]] = {}  # name -> addresses of its last resolution
        self.refused = 0

    def learn(self, name: str, addresses: Iterable[str]) -> None:
        """Remember where a name was found last; the earlier answer no longer counts."""
        self._found[name] = frozenset(addresses)

    def resolver(self) -> AbstractResolver:
        """The system's resolver, whose answers this object learns."""
        return _Learning(self)

    def require(self, address: str, port: int) -> None:
        """Raise `ExitClosed` unless this address and port are those of an endpoint in force."""
        for host, at in self._endpoints():
            if at == port and (_same(host, address) or address in self._found.get(host, frozenset())):
                return
        self._refuse("no exit leads to this address")

    def require_name(self, name: str) -> None:
        """Raise `ExitClosed` unless a name that is looked up is an endpoint's: a lookup is a message too."""
        if _is_address(name) or any(host == name for host, _port in self._endpoints()):
            return
        self._refuse("no exit has this name")

    def close_all_others(self) -> None:
        """From now on this process reaches nothing else; there is no way back in Python (PEP 578).

        1. no socket but local ones and the two versions of IP;
        2. what leaves goes to an endpoint in force, or over a local socket;
        3. no network address is bound: the listeners are already;
        4. names are looked up of endpoints alone, and of addresses never;
        5. no shell, and no copy of this process; `subprocess` stays, which starts the signer.
        """

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            # (1)
            if event == "socket.__new__" and arguments[1] not in _FAMILIES:
                self._refuse("no exit is of this family")
            # (2)
            if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
                self._require_to(arguments[0].family, arguments[1])
            # (3)
            elif event == "socket.bind" and arguments[0].family != socket.AF_UNIX:
                self._refuse("no listener is to be here")
            # (4)
            elif event in LOOKUPS:
                self._require_lookup(event, arguments[0])
            # (5)
            elif event in COPIES:
                self._refuse("the gateway starts nothing but its signer")

        sys.addaudithook(hook)

    def _require_to(self, family: int, address: object) -> None:
        if family in _NETWORK:
            if isinstance(address, tuple):  # None: over a connection, which was looked at when it was made
                self.require(str(address[0]), int(address[1]))
        elif family != socket.AF_UNIX:
            self._refuse("no exit is of this family")

    def _require_lookup(self, event: str, name: object) -> None:
        if event not in ("socket.getaddrinfo", "socket.gethostbyname"):
            self._refuse("no exit has a name to be asked for")
        if name is not None:
            self.require_name(name.decode("ascii", "replace") if isinstance(name, bytes) else str(name))

    def _refuse(self, why: str) -> NoReturn:
        self.refused += 1
        raise ExitClosed(why)


class _Learning(AbstractResolver):
    def __init__(self, exits: Exits) -> None:
        self._exits, self._system = exits, ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._system.resolve(host, port, family)
        self._exits.learn(host, (one["host"] for one in found))
        return found

    async def close(self) -> None:
        await self._system.close()


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _same(host: str, address: str) -> bool:
    """Whether an endpoint's host is itself this address, however it is written."""
    try:
        return ipaddress.ip_address(host.strip("[]")) == ipaddress.ip_address(address)
    except ValueError:
        return False

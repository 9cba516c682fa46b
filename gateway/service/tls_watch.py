"""TLS files that change while the gateway runs: a new certificate or revocation list counts within seconds, and so does
the end of a list's time or grace."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import structlog

from gateway.errors import LocalFault
from gateway.service.revocation import Standing
from gateway.service.tls import TlsFiles, client_context, crl_standings, reload, restrict

log = structlog.get_logger()

#: Seconds between two looks: how long a revoked certificate may still open a connection.
LOOK_S = 5.0

#: Path, time of change, size and inode of each file: an atomic replacement changes the inode even within one tick.
State = tuple[Path, int, int, int]


class Lists(NamedTuple):
    """The revocation lists, and how they stand, which changes by itself."""

    files: frozenset[State]
    standings: tuple[Standing, ...]


class Seen(NamedTuple):
    """What one look found."""

    others: frozenset[State]  # certificates, keys, authorities
    lists: Lists


class TlsWatch:
    """Holds the contexts in use: those of the newest files that could be read, or narrower ones."""

    def __init__(self, server: Callable[[], TlsFiles], client: Callable[[], TlsFiles]) -> None:
        self._server, self._client = server, client
        self._context: ssl.SSLContext | None = None  # for deliveries
        self._serving: ssl.SSLContext | None = None  # took over from the listening one
        self._taken = self._tried = self._look()
        self._enforced = self._taken.lists

    def client(self) -> ssl.SSLContext:
        """The context for deliveries; made when the first one starts. Raises as `client_context` does."""
        if self._context is None:
            self._context = client_context(self._client())
        return self._context

    async def run(
        self, listening: ssl.SSLContext, changed: Callable[[], Awaitable[None]], *, every: float = LOOK_S
    ) -> None:
        """Look until cancelled. ``changed`` ends what older files let in: connections prove nothing any more."""
        while True:
            await asyncio.sleep(every)
            if self.refresh(listening):
                await changed()

    def refresh(self, listening: ssl.SSLContext) -> bool:
        """Take changed files over, for both directions or for none; says whether connections must prove anew.

        1. new contexts of the files as they are; a list that cannot be used is left out of them.
        2. While our own certificate, key or an authority cannot be read (or is only half there) the old contexts stay,
           and each look tries again; each state of the files is complained about once.
        3. A change of the lists counts all the same, as far as it refuses more: `restrict`.
        """
        seen = self._look()
        if seen == self._taken and seen.lists == self._enforced:
            return False
        # (1)
        try:
            outbound = client_context(self._client())
            self._serving = reload(listening, self._server())
        except LocalFault as fault:
            # (2)
            if seen != self._tried:
                log.error("tls.not-reloaded", code=fault.code, detail=fault.detail)
            self._tried = seen
            return self._narrow(listening, seen.lists)
        self._context, self._taken, self._tried, self._enforced = outbound, seen, seen, seen.lists
        log.info("tls.reloaded")
        return True

    def _narrow(self, listening: ssl.SSLContext, lists: Lists) -> bool:
        # (3)
        if lists == self._enforced:
            return False
        inbound = self._serving or listening
        restrict(inbound, self._server())
        listening.verify_flags = inbound.verify_flags
        if self._context is not None:
            restrict(self._context, self._client())
        self._enforced = lists
        log.warning("tls.narrowed")
        return True

    def _look(self) -> Seen:
        server, client = self._server(), self._client()
        others = {p for f in (server, client) for p in (f.certificate, f.key, *f.partner_cas)}
        lists = Lists(_states({*server.crls, *client.crls}), crl_standings(server))
        return Seen(_states(others), lists)


def _states(paths: Iterable[Path]) -> frozenset[State]:
    return frozenset(map(_state, paths))


def _state(path: Path) -> State:
    try:
        stat = path.stat()
    except OSError:
        return path, 0, 0, 0
    return path, stat.st_mtime_ns, stat.st_size, stat.st_ino

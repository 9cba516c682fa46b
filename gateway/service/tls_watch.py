"""TLS files that change while the gateway runs: a new certificate or revocation list counts within seconds, and so does
the end of a list's time or grace."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from gateway.errors import LocalFault
from gateway.service.revocation import Standing
from gateway.service.tls import TlsFiles, client_context, crl_standings, reload

log = structlog.get_logger()

#: Seconds between two looks: how long a revoked certificate may still open a connection.
LOOK_S = 5.0

#: Path, time of change, size and inode of each file: an atomic replacement changes the inode even within one tick.
State = tuple[Path, int, int, int]

#: The files, and how the revocation lists stand, which changes by itself.
Seen = tuple[frozenset[State], tuple[Standing, ...]]


class TlsWatch:
    """Holds the contexts in use: those of the newest files that could be read."""

    def __init__(self, server: Callable[[], TlsFiles], client: Callable[[], TlsFiles]) -> None:
        self._server, self._client = server, client
        self._context: ssl.SSLContext | None = None
        self._taken = self._tried = self._look()

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
        """Take changed files over, for both directions or for none; says whether it did.

        While the new ones cannot be read (or are only half there) the old contexts stay, and each look tries again;
        each state of the files is complained about once.
        """
        seen = self._look()
        if seen == self._taken:
            return False
        try:
            outbound = client_context(self._client())
            reload(listening, self._server())
        except LocalFault as fault:
            if seen != self._tried:
                log.error("tls.not-reloaded", code=fault.code, detail=fault.detail)
            self._tried = seen
            return False
        self._context, self._taken, self._tried = outbound, seen, seen
        log.info("tls.reloaded")
        return True

    def _look(self) -> Seen:
        paths: set[Path] = set()
        server, client = self._server(), self._client()
        for files in (server, client):
            paths |= {files.certificate, files.key, *files.partner_cas, *files.crls}
        return frozenset(_state(path) for path in paths), crl_standings(server)


def _state(path: Path) -> State:
    try:
        stat = path.stat()
    except OSError:
        return path, 0, 0, 0
    return path, stat.st_mtime_ns, stat.st_size, stat.st_ino

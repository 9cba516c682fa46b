"""TLS files that change while the gateway runs: a new certificate or revocation list counts within seconds."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from gateway.errors import LocalFault
from gateway.service.tls import TlsFiles, client_context, reload

log = structlog.get_logger()

#: Seconds between two looks: how long a revoked certificate may still open a connection.
LOOK_S = 5.0

#: Path, time of change, size and inode of each file: an atomic replacement changes the inode even within one tick.
Seen = frozenset[tuple[Path, int, int, int]]


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
        for files in (self._server(), self._client()):
            paths |= {files.certificate, files.key, *files.partner_cas, *files.crls}
        return frozenset(_state(path) for path in paths)


def _state(path: Path) -> tuple[Path, int, int, int]:
    try:
        stat = path.stat()
    except OSError:
        return path, 0, 0, 0
    return path, stat.st_mtime_ns, stat.st_size, stat.st_ino

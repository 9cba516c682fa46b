"""The signer as a child process of the gateway: started, watched, started again, ended with its parent's pipe."""

from __future__ import annotations

import asyncio
import contextlib
import sys

import structlog

from gateway.errors import AuditBroken, SignerUnavailable
from gateway.service.home import Home

log = structlog.get_logger()

#: How a signer ends that cannot trust its own heads (the outside contract's "audit broken").
AUDIT_BROKEN = 4

#: Seconds a signer may take from start to its first answer.
SIGNER_START_S = 10.0

#: Seconds between the end of a signer and the start of the next.
RESTART_S = 0.1

#: Seconds a signer may take to end once its pipe is closed.
STOP_S = 5.0


class SignerProcess:
    """The child that holds the keys. It ends when this process ends, and is started again when it dies."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start and wait until it serves; raises `SignerUnavailable`."""
        await self._spawn()
        self._watch = asyncio.create_task(self._restart())

    async def _spawn(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway.cli",
            "signer",
            "--home",
            str(self._home.path),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        if self._process.stdout is None:
            raise SignerUnavailable("the signer has no output")
        try:
            async with asyncio.timeout(SIGNER_START_S):
                line = await self._process.stdout.readline()
        except TimeoutError:
            line = b"late"
        if not line and await self._process.wait() == AUDIT_BROKEN:
            raise AuditBroken("the signer's own state is missing or was rolled back: it signs nothing")
        if line.strip() != b"ready":
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()  # one that hangs would never be started again
            raise SignerUnavailable("the signer did not start")

    async def _restart(self) -> None:
        """Until cancelled; whatever keeps one from starting (no process, no memory), the next try may find it gone."""
        while self._process is not None:
            await self._process.wait()
            log.error("signer.ended", code=self._process.returncode)
            await asyncio.sleep(RESTART_S)
            try:
                await self._spawn()
            except (SignerUnavailable, AuditBroken, OSError) as error:
                log.error("signer.not-started", error=type(error).__name__)

    async def stop(self) -> None:
        """Close its pipe and wait for its end."""
        if self._watch is not None:
            self._watch.cancel()
        if self._process is not None and self._process.returncode is None:
            if self._process.stdin is not None:
                self._process.stdin.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), STOP_S)
            if self._process.returncode is None:
                self._process.kill()
                await self._process.wait()

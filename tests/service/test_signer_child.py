"""The watcher of the signer process outlives whatever keeps a signer from starting."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.errors import SignerUnavailable
from gateway.service import signer_child
from gateway.service.home import Home
from gateway.service.signer_child import SignerProcess


async def _short_lived(*words: str) -> asyncio.subprocess.Process:
    """A real child that ends (or stays) and says what it is told to."""
    return await REAL(*words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)


REAL = asyncio.create_subprocess_exec


async def test_a_failed_start_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No process to be had, then a child that is no signer: each is logged, and the next start serves."""
    scripts = iter(["echo ready", "", "echo sorry; exec sleep 60", "echo ready; exec cat"])
    started: list[asyncio.subprocess.Process] = []
    serving = asyncio.Event()

    async def spawn(*_words: str, **_pipes: Any) -> asyncio.subprocess.Process:
        script = next(scripts)
        if not script:
            raise OSError(errno.EAGAIN, "no process")
        started.append(await _short_lived("/bin/sh", "-c", script))
        if len(started) == 3:
            serving.set()
        return started[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", spawn)
    monkeypatch.setattr(signer_child, "RESTART_S", 0.001)
    child = SignerProcess(Home(tmp_path))
    with capture_logs() as said:
        await child.start()
        async with asyncio.timeout(10):
            await serving.wait()
    assert [one["error"] for one in said if one["event"] == "signer.not-started"] == [
        "BlockingIOError", "SignerUnavailable",
    ]  # fmt: skip
    assert await started[1].wait() != 0, "one that is not ready is ended, not left beside the next"
    await child.stop()
    assert await started[2].wait() == 0


async def test_the_first_start_must_succeed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway without a signer does not start at all."""

    started: list[asyncio.subprocess.Process] = []

    async def spawn(*_words: str, **_pipes: Any) -> asyncio.subprocess.Process:
        started.append(await _short_lived("/bin/sh", "-c", "echo no; exec sleep 60"))
        return started[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", spawn)
    with pytest.raises(SignerUnavailable):
        await SignerProcess(Home(tmp_path)).start()
    assert await started[0].wait() != 0

"""The clients: what each needs, how it is made ready, and the process that takes one command a line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent

#: Seconds in which a client must be ready, from an empty cache: two registries and a compiler.
READY_S = 240.0

#: Seconds one command may take: fifty hybrid messages, or all vectors, on a slow machine.
COMMAND_S = 60.0

#: Bytes of one answer line.
LINE_BYTES = 4 * 1024 * 1024


class Missing(Exception):
    """A client cannot run here: its text says what is missing."""


class StepFailed(Exception):
    """A client, or the gateway, did not do what the step expects."""


@dataclass(frozen=True)
class Client:
    """One implementation."""

    name: str
    tools: tuple[tuple[str, str], ...]  # program and what to install for it
    prepare: tuple[tuple[str, ...], ...]  # commands, in its folder; they may use a registry
    run: tuple[str, ...]
    plays: tuple[tuple[str, str], ...]  # suite, signature profile

    @property
    def folder(self) -> Path:
        return HERE / self.name


HPKE, JWE = "hpke-mlkem768-x25519-a256gcm", "jwe-ecdh-es-a256gcm"
ALL = tuple((suite, profile) for suite in (HPKE, JWE) for profile in ("classic", "hybrid"))

CLIENTS = (
    Client(
        "node",
        (("node", "Node.js 20.19 or newer"), ("npm", "npm 10 or newer")),
        (("npm", "ci", "--silent", "--no-audit", "--no-fund"),),
        ("node", "main.mjs"),
        ALL,
    ),
    Client(
        "java",
        (("java", "a JDK 17 or newer"), ("javac", "a JDK 17 or newer"), ("mvn", "Maven 3.8 or newer")),
        (("mvn", "--quiet", "--batch-mode", "package"),),
        ("java", "-cp", "target/classes:target/lib/*", "org.ecluse.interop.Main"),
        ALL,
    ),
)


def make_ready(client: Client, log: Path) -> None:
    """Install what the client needs, as its lock file or its POM pins it; output goes to ``log``. Or `Missing`."""
    for program, what in client.tools:
        if shutil.which(program) is None:
            raise Missing(f"{program} is not on the PATH: install {what}")
    for command in client.prepare:
        with log.open("ab") as output:
            try:
                done = subprocess.run(
                    command,
                    cwd=client.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    timeout=READY_S,
                )
            except subprocess.TimeoutExpired:
                raise Missing(
                    f"`{' '.join(command)}` took more than {READY_S:.0f} s: is its registry reachable?"
                ) from None
        if done.returncode != 0:
            tail = log.read_text(errors="replace")[-800:]
            raise Missing(f"`{' '.join(command)}` ended with code {done.returncode}: {tail}")


class Process:
    """A running client. Commands and answers are JSON objects, one a line."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self._child = child

    async def do(self, name: str, /, **params: object) -> dict[str, Any]:
        """One command; raises `StepFailed` with the client's words when it could not be done."""
        if self._child.stdin is None or self._child.stdout is None:
            raise StepFailed("the client has no pipes")
        self._child.stdin.write(json.dumps({"do": name, **params}).encode() + b"\n")
        try:
            async with asyncio.timeout(COMMAND_S):
                await self._child.stdin.drain()
                line = await self._child.stdout.readline()
        except TimeoutError:
            raise StepFailed(f"the client took more than {COMMAND_S:.0f} s") from None
        except ConnectionError:
            line = b""
        if not line:
            raise StepFailed("the client ended")
        answer: dict[str, Any] = json.loads(line)
        if not answer.pop("ok"):
            raise StepFailed(str(answer["error"]))
        return answer


@contextlib.asynccontextmanager
async def running(client: Client, log: Path) -> AsyncIterator[Process]:
    """The client's process; ended when its input closes, and at the latest by its own process id."""
    with _appending(log) as output:
        child = await asyncio.create_subprocess_exec(
            *client.run,
            cwd=client.folder,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=output,
            limit=LINE_BYTES,
        )
    try:
        yield Process(child)
    finally:
        if child.stdin is not None:
            child.stdin.close()
        try:
            async with asyncio.timeout(5):
                await child.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()


@contextlib.contextmanager
def _appending(log: Path) -> Iterator[int]:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)

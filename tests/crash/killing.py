"""Two gateways under kill -9: started, killed at random instants with their signers, started again at once."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Literal

import aiohttp

from gateway.cli.demo import start_gateway, stop_gateway, wait_ready
from gateway.cli.staging import Stage
from gateway.service.config import load_config
from gateway.service.home import Home
from tests.crash.plan import Gate

Side = Literal["be", "fr"]
Victim = Literal["be-gateway", "fr-gateway", "be-signer", "fr-signer"]

VICTIMS: tuple[Victim, ...] = ("be-gateway", "fr-gateway", "be-signer", "fr-signer")

#: Seconds between two looks at the processes.
LOOK_S = 0.05

#: How long one question to a gateway may take.
ANSWER = aiohttp.ClientTimeout(total=2)

#: Seconds a gateway may stay away, kills while it starts included.
AWAY_S = 60.0

#: Seconds from the moment that messages flow to a kill, on the average: about what one batch takes on its way.
DELAY_S = 0.3

#: One kill in so many does not wait for messages to flow again: it falls into the recovery from the one before.
DURING_RECOVERY = 5

#: Seconds at the most from asking how many messages are under way to the kill.
AIM_S = 0.05

#: Exit code of a gateway whose store or proof is broken: nothing here may bring that about.
AUDIT_BROKEN = 4

#: Ends nobody asked for (a gateway whose signer died while both were starting) above which nothing will work any more.
MOST_ENDS = 20


class Broken(Exception):
    """The run cannot go on: a gateway refuses to, or does not come back."""


@dataclass
class Record:
    """What was done to the processes."""

    kills: Counter[str] = field(default_factory=Counter)
    under_way: list[int] = field(
        default_factory=list
    )  # messages approved and not delivered, just before a kill
    unasked: list[int] = field(default_factory=list)  # exit codes of gateways that ended by themselves
    back_after_s: list[float] = field(
        default_factory=list
    )  # from a gateway's end until it is ready, kills in between included


class Gateways:
    """Both gateways. A dead one is started again at once; a gateway sees to its signer itself."""

    def __init__(self, stage: Stage, record: Record) -> None:
        self._homes: dict[Side, Home] = {"be": stage.be, "fr": stage.fr}
        self._operations = {
            side: load_config(home.config).config.operations_listener.port
            for side, home in self._homes.items()
        }
        self._record = record
        self._children: dict[Side, subprocess.Popen[bytes]] = {}
        self._ended: dict[Side, float] = {}
        self._shot: set[int] = set()

    def start(self) -> None:
        """Start both and wait until both are ready."""
        for side, home in self._homes.items():
            self._children[side] = start_gateway(home)
        for side, home in self._homes.items():
            wait_ready(home, self._children[side])

    def stop(self) -> list[int]:
        """End both politely; their exit codes."""
        for child in self._children.values():
            stop_gateway(child)
        return [child.returncode for child in self._children.values()]

    async def watch(self) -> None:
        """Start again whatever ended, and note how long it was away. Runs until cancelled."""
        while True:
            for side in self._homes:
                self._revive(side)
                if side in self._ended and await self._ready(side):
                    self._record.back_after_s.append(time.monotonic() - self._ended.pop(side))
                elif time.monotonic() - self._ended.get(side, time.monotonic()) > AWAY_S:
                    raise Broken(f"the {side} gateway does not come back")
            await asyncio.sleep(LOOK_S)

    def _revive(self, side: Side) -> None:
        child = self._children[side]
        if child.poll() is None:
            return
        if child.stdin is not None:
            child.stdin.close()
        if child.pid not in self._shot:
            self._record.unasked.append(child.returncode)
            if child.returncode == AUDIT_BROKEN or len(self._record.unasked) > MOST_ENDS:
                raise Broken(f"the {side} gateway ended by itself with code {child.returncode}")
        self._ended.setdefault(side, time.monotonic())
        self._children[side] = start_gateway(self._homes[side])

    async def _ready(self, side: Side) -> bool:
        return await self._ask(side, "readyz") is not None

    async def _ask(self, side: Side, what: str) -> str | None:
        """One page of a gateway's operations listener; None while there is none."""
        try:
            async with (
                aiohttp.ClientSession(timeout=ANSWER) as session,
                session.get(f"http://127.0.0.1:{self._operations[side]}/{what}") as answer,
            ):
                return await answer.text() if answer.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None

    async def queued(self) -> int | None:
        """Messages approved and not delivered, as the sender's metrics say; None while it does not answer."""
        for line in (await self._ask("be", "metrics") or "").splitlines():
            if line.startswith("ecluse_queued_messages "):
                return int(float(line.split()[1]))
        return None

    async def settled(self) -> None:
        """Wait until both gateways are ready, and their signers answer them."""
        while True:
            if all([await self._ready(side) for side in self._homes]):
                return
            await asyncio.sleep(LOOK_S)

    async def drained(self) -> None:
        """Wait until everything approved is delivered."""
        while True:
            if await self.queued() == 0:
                return
            await asyncio.sleep(LOOK_S)

    async def kill(self, victim: Victim) -> None:
        """SIGKILL to one process that we, or a gateway that we started, started; wait for it while it is not there."""
        side: Side = "be" if victim.startswith("be") else "fr"
        while True:
            if self._kill_gateway(side) if victim.endswith("gateway") else self._kill_signer(side):
                self._record.kills[victim] += 1
                return
            await asyncio.sleep(LOOK_S)

    def _kill_gateway(self, side: Side) -> bool:
        child = self._children[side]
        if child.poll() is not None:
            return False
        self._shot.add(child.pid)
        child.kill()
        return True

    def _kill_signer(self, side: Side) -> bool:
        """By a handle, which cannot come to mean another process."""
        parent = self._children[side].pid
        found = _signer_of(parent)
        if found is None:
            return False
        try:
            handle = os.pidfd_open(found)
        except ProcessLookupError:
            return False
        try:
            if _signer_of(parent) != found:
                return False
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)
        return True


def _signer_of(parent: int) -> int | None:
    try:
        for task in Path(f"/proc/{parent}/task").iterdir():
            for child in (task / "children").read_text().split():
                if b"signer" in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
                    return int(child)
    except OSError:
        return None  # one of them ended while we looked
    return None


async def kill_all(gateways: Gateways, gate: Gate, record: Record, chance: Random) -> None:
    """Every kill of the run: all four victims in equal parts and random order, at random instants while work flows."""
    turns = [VICTIMS[number % len(VICTIMS)] for number in range(gate.kills)]
    chance.shuffle(turns)
    for victim in turns:
        if chance.randrange(DURING_RECOVERY):
            await gateways.settled()
            await gate.flows(gate.approved)
        await asyncio.sleep(chance.expovariate(1 / DELAY_S))
        record.under_way.append(await gateways.queued() or 0)
        await asyncio.sleep(chance.uniform(0, AIM_S))
        await gateways.kill(victim)
        await gate.killed()

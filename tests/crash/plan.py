"""What is sent while gateways die: which records, in which conversation, in which order; and how much may flow yet."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from random import Random

from adapters.records.synthetic import VARIATION_EVERY, extract, variation_of

#: Most records of one conversation that are disclosed and approved together.
MOST_AT_ONCE = 5

#: Shares of the messages that may be under way beyond the one the next kill falls into, so that it falls into work.
AHEAD = 2


@dataclass(frozen=True)
class Plan:
    """Every message of the run."""

    messages: int
    conversations: tuple[str, ...]
    persons: int
    seed: int

    def extract(self, at: datetime) -> bytes:
        """The extract file that holds every record disclosed, and the varied ones between them."""
        return extract(self.persons, self.seed, at)

    def records(self) -> list[list[str]]:
        """The entity ids of each conversation, in order: clean persons, each disclosed once, dealt out in turn."""
        clean = [f"BDC-{number:06d}" for number in range(1, self.persons + 1) if not variation_of(number)]
        dealt = clean[: self.messages]
        return [dealt[turn :: len(self.conversations)] for turn in range(len(self.conversations))]


def make_plan(messages: int, conversations: int, seed: int) -> Plan:
    """A plan that follows from its seed alone."""
    chance = Random(seed)  # noqa: S311 - a schedule, no secret
    ids = tuple(str(uuid.UUID(int=chance.getrandbits(128), version=4)) for _ in range(conversations))
    persons = messages * VARIATION_EVERY // (VARIATION_EVERY - 1) + VARIATION_EVERY
    return Plan(messages, ids, persons, seed)


def batches(records: list[str], chance: Random) -> Iterator[list[str]]:
    """The records of one conversation, a random few at a time."""
    start = 0
    while start < len(records):
        size = chance.randint(1, MOST_AT_ONCE)
        yield records[start : start + size]
        start += size


@dataclass
class Gate:
    """Lets messages through by shares, one share a kill: none of the kills can come when all is over."""

    messages: int
    kills: int
    done: int = 0
    taken: int = 0
    approved: int = 0
    _moved: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def open_to(self) -> int:
        """How many messages may have been started by now; all only after the last kill."""
        if self.done >= self.kills:
            return self.messages
        return max(1, self.messages * (self.done + AHEAD) // (self.kills + AHEAD + 1))

    async def take(self, wanted: int) -> int:
        """Wait until some of ``wanted`` may start; how many."""
        async with self._moved:
            await self._moved.wait_for(lambda: self.taken < self.open_to)
            granted = min(wanted, self.open_to - self.taken)
            self.taken += granted
            return granted

    async def approve(self, count: int) -> None:
        """So many more were acknowledged as approved."""
        async with self._moved:
            self.approved += count
            self._moved.notify_all()

    async def killed(self) -> None:
        """One more kill is done."""
        async with self._moved:
            self.done += 1
            self._moved.notify_all()

    async def flows(self, beyond: int) -> None:
        """Wait until more than ``beyond`` messages are approved, or all that may be by now."""
        async with self._moved:
            await self._moved.wait_for(lambda: self.approved > beyond or self.approved >= self.open_to)


@dataclass
class Ledger:
    """What was acknowledged to the officers: this, and exactly this, must be at the partner."""

    approved: dict[str, list[str]] = field(
        default_factory=dict
    )  # message ids by conversation, in order of approval
    repeated: Counter[str] = field(
        default_factory=Counter
    )  # calls made again, by the code of what went wrong

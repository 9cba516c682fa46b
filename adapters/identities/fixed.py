"""Twins of the system's clock and ids for runs that must repeat exactly: tests, simulations, examples."""

from __future__ import annotations

import hashlib
import uuid
from datetime import UTC, datetime, timedelta


class FixedClock:
    """`Clock` that stands still until it is moved."""

    def __init__(self, at: datetime) -> None:
        self.set(at)

    def now(self) -> datetime:
        return self._at

    def set(self, at: datetime) -> None:
        """Jump to ``at`` (aware), backwards too."""
        if at.tzinfo is None:
            raise ValueError("an instant needs a time zone")
        self._at = at.astimezone(UTC).replace(microsecond=0)

    def advance(self, *, seconds: float = 0, days: float = 0) -> None:
        """Let time pass."""
        self.set(self._at + timedelta(seconds=seconds, days=days))


class SeededIds:
    """`Ids` that follow from a seed, the same in every run: whoever knows the seed knows each blind."""

    def __init__(self, seed: int | str) -> None:
        self._seed = str(seed)
        self._drawn = 0

    def uuid(self) -> str:
        return str(uuid.UUID(bytes=self.blind()[:16], version=4))

    def blind(self) -> bytes:
        self._drawn += 1
        return hashlib.sha256(f"ecluse/seeded-ids/1\n{self._seed}\n{self._drawn}".encode()).digest()

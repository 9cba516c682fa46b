"""What one process of `make leak` does: it founds two homes of its own, and plays what it is given."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

from tests.leak import ports, tls
from tests.leak.harness import Episode, Tally
from tests.leak.mutants import MUTANTS, Caught
from tests.leak.mutants import hunt as hunt_one
from tests.service.founding import Founded, found

_founded: Founded
_folder: Path


def start(folder: str) -> None:
    """Found two homes for this process, in a folder of its own."""
    global _founded, _folder
    _folder = Path(tempfile.mkdtemp(dir=folder))
    (_folder / "founded").mkdir()
    _founded = found(_folder / "founded")


def episode(seed: str, first: int, size: int, rounds: int) -> Tally:
    place = _folder / f"episode-{first}"
    try:
        return asyncio.run(Episode(_founded, seed, folder=place, first=first, size=size, rounds=rounds).run())
    finally:
        shutil.rmtree(place, ignore_errors=True)


def hunt(name: str, seed: str) -> Caught:
    return asyncio.run(hunt_one(_founded, MUTANTS[name], seed))


def sweep(seed: str) -> ports.Sweep:
    return asyncio.run(ports.sweep(_founded, seed))


def by_tls(seed: str, first: int) -> Tally:
    return asyncio.run(tls.episode(_founded, seed, first))

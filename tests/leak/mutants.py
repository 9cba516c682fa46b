"""All planted leaks, and the hunt for one of them."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from tests.leak import mutants_books, mutants_journey, mutants_payload
from tests.leak.harness import Episode
from tests.leak.planting import Mutant
from tests.leak.worlds import NO_END
from tests.service.founding import Founded

MUTANTS: dict[str, Mutant] = {
    mutant.name: mutant
    for mutant in (*mutants_payload.MUTANTS, *mutants_journey.MUTANTS, *mutants_books.MUTANTS)
}

#: Pairs of worlds in which a leak must show, of 64 draws each; most show in the first round.
EPISODES = 40

#: Rounds of the one pair in which the guard stays in place, to see whether it would have stopped the leak.
GUARDED_ROUNDS = 3


class Stuck(Exception):
    """The world turned without an end: not a leak that was found."""


class Caught(msgspec.Struct, frozen=True):
    """What became of one planted leak."""

    name: str
    sort: str
    caught: bool
    draws: int  # until it was caught, or in vain
    by: str = ""  # the finding
    stopped_by: str = ""  # who stops it when the guard is in place: `guard` before it leaves, else `harness`
    broken: str = ""  # the mutant crashed the world: nothing is known
    seconds: float = 0


async def hunt(founded: Founded, mutant: Mutant, seed: str) -> Caught:
    """Play with the leak in place until it is found.

    (1) without the guard: whatever leaves must be seen by the harness; (2) with it: who would have stopped it.
    """
    began, draws, by = time.monotonic(), 0, ""
    try:
        # (1)
        for number in range(EPISODES):
            tally = await Episode(
                founded,
                f"{seed}/{mutant.name}/{number}",
                planted=mutant.planted,
                moods=mutant.moods,
                batch=mutant.batch,
            ).run()
            draws += tally.draws
            if tally.findings:
                by = tally.findings[0].what
                if by == NO_END:
                    raise Stuck(f"after {draws} draws")
                break
        # (2)
        stopped = await _guarded(founded, mutant, f"{seed}/{mutant.name}/guarded")
    except Exception as defect:
        where = defect.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        place = f"{where.tb_frame.f_code.co_qualname}:{where.tb_lineno}" if where is not None else ""
        broken = f"{type(defect).__name__} in {place}: {defect}"[:200]
        return Caught(mutant.name, mutant.sort, False, draws, broken=broken, seconds=time.monotonic() - began)
    return Caught(
        mutant.name, mutant.sort, bool(by), draws, by, stopped, seconds=round(time.monotonic() - began, 1)
    )


async def _guarded(founded: Founded, mutant: Mutant, seed: str) -> str:
    tally = await Episode(
        founded,
        seed,
        planted=lambda: mutant.planted(guarded=True),
        moods=mutant.moods,
        batch=mutant.batch,
        rounds=GUARDED_ROUNDS,
    ).run()
    return "guard" if tally.seals_refused else "harness"


def chosen(name: str) -> Sequence[Mutant]:
    """The mutants of this name; ``all`` for every one."""
    return tuple(MUTANTS.values()) if name == "all" else (MUTANTS[name],)

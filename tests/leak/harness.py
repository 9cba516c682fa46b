"""Episodes: pairs of worlds played round by round, compared after each, and what was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
)
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from gateway.model.rows import InboxRow
from gateway.model.signing import Pseudonym
from tests.leak.persons import values
from tests.leak.plan import MOODS, RESTARTED, SILENT, TOLD, Planner, Round, Unequal, setting
from tests.leak.play import Player
from tests.leak.spellings import Watched, fold, spelled
from tests.leak.worlds import FR, NO_END, Leakage, Sighting, logged, start
from tests.service.founding import Founded
from tests.service.world import KIND, SERIES

#: Draws of one round, and rounds of one pair of worlds: more draws a batch cost less each, more rounds a pair more.
ROUND, ROUNDS = 8, 8

#: A leak put into the product, around the play of a round.
Planted = Callable[[], AbstractContextManager[object]]

#: Another way between the two sides of a world than the one in memory.
Connected = Callable[[Leakage], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def _unconnected(_leakage: Leakage) -> AsyncIterator[None]:
    yield


class Finding(msgspec.Struct, frozen=True):
    """Something that the partner, or our own log, learned."""

    seed: str
    round: str
    what: str
    detail: str = ""
    draws: tuple[str, ...] = ()


class Tally(msgspec.Struct):
    """Figures of a run."""

    draws: int = 0
    permits: int = 0
    withholding: int = 0
    denials: int = 0
    reviews: int = 0
    failure_draws: int = 0
    silent_draws: int = 0
    withdrawn_draws: int = 0
    told_draws: int = 0
    signed_master_draws: int = 0
    moods: dict[str, int] = {}
    messages: dict[str, int] = {}
    sightings: int = 0
    accepted_inbound: int = 0
    seals_refused: int = 0
    findings: list[Finding] = []

    def add(self, other: Tally) -> None:
        """Fold another part of the run into this one."""
        for name in self.__struct_fields__:
            mine, theirs = getattr(self, name), getattr(other, name)
            total = dict(Counter(mine) + Counter(theirs)) if isinstance(mine, dict) else mine + theirs
            setattr(self, name, total)

    def count(self, turn: Round) -> None:
        for draw in turn.draws:
            self.draws += 1
            self.permits += draw.effect == "PERMIT"
            self.withholding += draw.withholds
            self.denials += draw.effect == "DENY"
            self.reviews += draw.effect == "REVIEW"
            self.failure_draws += turn.mood != "plain"
            self.silent_draws += draw.fates[0] in SILENT
            self.told_draws += draw.fates[0] in TOLD
            self.withdrawn_draws += draw.fates[0].startswith("withdrawn")
        self.moods = dict(Counter(self.moods) + Counter({turn.mood: len(turn.draws)}))


class Episode:
    """One pair of worlds, from one seed."""

    def __init__(
        self, founded: Founded, seed: str, *, planted: Planted = nullcontext, folder: Path | None = None,
        rounds: int = ROUNDS, size: int = ROUND, moods: Sequence[str] = (), first: int = 1, batch: int = 0,
        connected: Connected = _unconnected,
    ) -> None:  # fmt: skip
        self._founded, self.seed, self._planted, self._folder = founded, seed, planted, folder
        self._rounds, self._size, self._moods, self._first = rounds, size, moods, first
        self._connected, self._batch = connected, batch
        self._left: list[str] = []  # what was released to the partner by right, so far
        self.tally = Tally()

    async def run(self) -> Tally:
        """Play until the rounds are over or something is found: a pair that differed is not played on."""
        rng = Random(self.seed)  # noqa: S311 - a schedule, no secret
        circumstances = setting(rng, self.seed)
        circumstances.batch_messages = self._batch or circumstances.batch_messages
        folders = [self._folder / name if self._folder else None for name in ("a", "b")]
        for folder in folders:
            if folder is not None:
                folder.mkdir(parents=True)
        with logged() as log:
            pair = [await start(self._founded, circumstances, folder) for folder in folders]
            ways = AsyncExitStack()
            try:
                for leakage in pair:
                    await ways.enter_async_context(self._connected(leakage))
                planner = Planner(rng, pair[0], self._first)
                steady = tuple(mood for mood in MOODS if mood not in RESTARTED)
                moods = self._moods or (steady if circumstances.signed_master else ())
                players = [Player(leakage, side) for side, leakage in enumerate(pair)]
                for number in range(self._rounds):
                    try:
                        turn = await planner.round(f"{self.seed}/{number}", self._size, moods)
                    except Unequal as unequal:
                        self._find(f"{self.seed}/{number}", "decision", str(unequal), ())
                        break
                    for player in players:
                        await player.ask(turn)
                    with self._planted():
                        for player in players:
                            await player.play(turn)
                        await self._judge(turn, pair, log)
                    self.tally.count(turn)
                    self.tally.seals_refused += log.getvalue().count('"signer.refused"')
                    self.tally.signed_master_draws += len(turn.draws) * circumstances.signed_master
                    log.seek(0)
                    log.truncate()
                    if self.tally.findings:
                        break
                else:
                    with self._planted():
                        await self._close(pair)
                for leakage in pair:
                    self.tally.messages = dict(Counter(self.tally.messages) + leakage.counts)
                self.tally.accepted_inbound += len(pair[0].be.rows(InboxRow))
            finally:
                await ways.aclose()
                for leakage in pair:
                    leakage.world.close()
        return self.tally

    # --- verdicts -----------------------------------------------------------------------------------------------

    def _find(self, where: str, what: str, detail: str, draws: tuple[str, ...]) -> None:
        self.tally.findings.append(Finding(self.seed, where, what, detail, draws))

    async def _judge(self, turn: Round, pair: list[Leakage], log: Any) -> None:
        """(1) both transcripts are equal; (2) nothing withheld stands in either, in any spelling; (3) nothing personal
        stands in logs, errors, answers and metrics."""
        told = tuple(
            f"{draw.number}: {'/'.join(draw.fates)} {'+'.join(draw.acts)}"
            for draw in turn.draws
            if draw.acts != ("nothing",) or draw.fates[0] != draw.fates[1]
        )
        # (1)
        first, second = (leakage.seen for leakage in pair)
        self.tally.sightings += len(first)
        different = next(
            (place for place, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), None
        )
        if different is not None:
            self._find(turn.name, *_difference(first[different], second[different]), told)
        elif len(first) != len(second):
            longer = max(first, second, key=len)[min(len(first), len(second))]
            self._find(turn.name, f"one world shows more: {longer.what}", longer.step, told)
        elif any(sighting.what == NO_END for sighting in first):
            self._find(turn.name, NO_END, "", told)
        # (2)
        self._left += [fold(text) for draw in turn.draws for text in draw.leaving]
        leaving = " ".join(self._left)
        for side, leakage in enumerate(pair):
            secret = [text for draw in turn.draws for text in draw.hidden[side] if fold(text) not in leaving]
            sent = "\n".join(_plain(sighting) for sighting in leakage.seen if sighting.what != "seal")
            if form := spelled(secret, sent):
                self._find(
                    turn.name, "a withheld value in the transcript", f"world {'AB'[side]}, {form}", told
                )
            leakage.seen.clear()
        # (3)
        everything = [
            value for draw in turn.draws for one in draw.people + draw.changed for value in values(one.line())
        ]
        watched = Watched(everything, [draw.people[0].id for draw in turn.draws])
        shown = [text for leakage in pair for text in await leakage.shown()]
        for name, text in (("log", log.getvalue()), ("error, answer or metric", "\n".join(shown))):
            if form := watched.found(text):
                self._find(turn.name, f"a value in a {name}", form, told)
        for leakage in pair:
            leakage.said.clear()

    async def _close(self, pair: list[Leakage]) -> None:
        """(1) every commitment in our log opens, and none is used twice; (2) no identifier in the store tells whom it
        is about; (3) two partners cannot match their references."""
        for leakage in pair:
            # (1)
            for finding in await leakage.commitments():
                self._find(self.seed, finding, "", ())
            # (2)
            if form := Watched((), ("BDC-9000000",)).found(leakage.identifiers()):
                self._find(self.seed, "a value in an identifier", form, ())
            # (3)
            signer = leakage.be.gateway.signer
            for entity in ("BDC-900000001", "BDC-900000002"):
                refs = await signer.pseudonyms(
                    [Pseudonym(org, SERIES, KIND, entity) for org in (FR, "nld.service-demo")]
                )
                if refs[0] == refs[1]:
                    self._find(self.seed, "two partners hold the same reference", "", ())


def _difference(first: Sighting, second: Sighting) -> tuple[str, str]:
    """What differs, named so that the place in the code is easy to find."""
    if (first.step, first.what) != (second.step, second.what):
        return f"another event: {first.what} and {second.what}", f"{first.step} and {second.step}"
    where = ""
    if first.what in ("payload", "header", "entry"):
        one, other = _plain(first), _plain(second)
        place = next(
            (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
        )
        where = f" at {place}: {one[max(0, place - 40) : place + 30]!r} and {other[max(0, place - 40) : place + 30]!r}"
    else:
        where = f": {first.value!r} and {second.value!r}"[:200]
    return f"other {first.what}", f"{first.step}{where}"


def _plain(sighting: Sighting) -> str:
    value = sighting.value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

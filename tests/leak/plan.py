"""What happens in a round: some persons, what becomes of each, and what goes wrong meanwhile; all from a seed.

A draw is one person toward the partner. Its two versions differ only in what the decision withholds: by the decision
of the policy itself, taken here before any mutant is planted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Literal

from adapters.records.bdc import BdcExtract
from gateway.model.agreement import AgreementTerms, Bulk
from gateway.model.decision import Decision
from gateway.model.record import CanonicalRecord
from gateway.model.request import Lift, Request
from gateway.policy.decide import decide
from gateway.policy.redact import redact
from gateway.ports import ReadTx
from gateway.service.drafted import Why
from tests.leak.persons import DENIED, Person, person, texts, values, varied
from tests.leak.worlds import Leakage, Setting
from tests.service.founding import terms
from tests.service.world import BASIS, BE, FR, NOW, PURPOSE

#: What becomes of a person who leaves no trace at the partner, and how often. The late ones were approved already.
SILENT: dict[str, int] = {
    "absent": 2, "unknown": 2, "denied": 2, "embargoed": 2, "rejected": 2, "cancelled": 2, "waiting": 2,
    "embargoed-late": 7, "changed-late": 7,
}  # fmt: skip

#: Those that held a place of the quota for a while. At the limit of a quota that place is another's loss, and the
#: partner gets one message less: a quota cannot be kept otherwise (docs/threats.md). Where one is tight, both worlds
#: hold the place or neither does.
HELD_A_PLACE = frozenset({"cancelled", "embargoed-late", "changed-late"})

#: A quota of so few records may be reached within an episode.
TIGHT = 64

#: What becomes of a message that had its number already: the partner learns that it was withdrawn, never why.
WITHDRAWN = ("withdrawn-embargo", "withdrawn-changed")

#: Why a request is answered with no information: one transcript, whichever it is. How often a request is.
TOLD, TOLD_SHARE = ("told-nothing", "told-withheld", "told-embargoed"), 0.2

#: How often something is told that nobody asked for.
UNASKED_SHARE = 0.4

#: What goes wrong in a round, and how often. `kill` and `away` strike any call that leaves a gateway.
MOODS: dict[str, int] = {
    "plain": 10, "down": 3, "answer-lost": 2, "twice": 2, "garbage": 1, "kill": 3, "away": 3, "refused": 2,
    "between": 2, "down-then": 2, "answered-then": 1, "expired": 1,
    "stranger": 2, "revoked": 1,
}  # fmt: skip

#: Moods in which something becomes known between the log entry, or the first attempt, and the delivery.
HOOKED = frozenset({"between", "down-then", "answered-then"})

#: Moods that strike the n-th call: both worlds must make the same calls, so nothing is silent in them.
COUNTED = frozenset({"kill", "away"})

#: Moods in which a gateway starts again. A start has heads signed, the master's too, which says nothing and is another
#: in each world: where entries commit to it, as they do to every later one, the worlds could not be held together.
RESTARTED = frozenset({"kill", "between"})

#: Calls that a fault strikes while messages leave, ours and the partner's; a commit knows no absence but death.
STRUCK: dict[str, tuple[str, ...]] = {
    "kill": (f"{BE} commit", f"{BE} seal", f"{BE} deliver", f"{FR} commit", f"{FR} receipts", f"{FR} open"),
    "away": (f"{BE} seal", f"{BE} heads", f"{BE} deliver", f"{FR} receipts", f"{FR} open"),
}

FaultMode = Literal["kill-before", "kill-after", "away-before", "away-after"]

BE_FIELDS = ("/description", "/photos/*", "/addresses/*", "/fingerprint", "/contacts/*", "/links/*")
CE_FIELDS = ("/national_number", "/financial", "/special")


@dataclass(frozen=True)
class Draw:
    """One person toward the partner, in two versions."""

    number: int
    fates: tuple[str, str]
    people: tuple[Person, Person]
    changed: tuple[Person, Person]  # what a later import brings, where the fate is that something changed
    conversation: int
    why: Why
    effect: str  # of the decision about the first version
    withholds: bool
    acts: tuple[str, ...]
    hidden: tuple[frozenset[str], frozenset[str]]  # texts that stay, in either version
    leaving: frozenset[str]  # texts that leave, the same in both


@dataclass(frozen=True)
class Round:
    """Draws that share a journey."""

    name: str
    draws: tuple[Draw, ...]
    mood: str
    wait: int  # seconds before anything happens
    losses: int  # POSTs that do not arrive
    fault: tuple[str, int, FaultMode]  # of which call, which one, and how
    inbound: bool
    bad_lines: bool
    late: int  # draws from this place on are approved after the first attempt to send


class Unequal(Exception):
    """The policy decided otherwise because of something that it withholds."""


def setting(rng: Random, seed: str) -> Setting:
    """Agreement and circumstances of one episode."""
    changes: dict[str, object] = {
        "version": 2,
        "bulk": Bulk(records=rng.choice((6, 400, 400, 400)), days=30),
        "regime": rng.choice(("BE-OCAM", "BE-OCAM", "BE-OCAM", "BE-POLICE")),
        "lifts": tuple(rng.sample(CE_FIELDS, rng.randint(0, 3))),
        "retention_days": rng.choice((30, 365)),
        "purposes": rng.choice(((PURPOSE,), (PURPOSE, "threat-analysis"))),
        "languages": rng.choice((("fr", "nl"), ("fr",))),
        "not_after": NOW + timedelta(days=rng.choice((200, 290))),
    }
    agreed: AgreementTerms = terms(**changes)
    return Setting(agreed, seed, rng.random() < 0.15, rng.choice((64, 64, 3)))


class Planner:
    """Makes the rounds of one episode."""

    def __init__(self, rng: Random, leakage: Leakage, first: int) -> None:
        self._rng, self._leakage, self._next = rng, leakage, first

    async def round(self, name: str, size: int, moods: Sequence[str] = ()) -> Round:
        """The next round, in one of these moods; raises `Unequal` when two versions are not decided alike."""
        rng = self._rng
        names = tuple(moods or MOODS)
        mood = rng.choices(names, [MOODS[name] for name in names])[0]
        wait = rng.randint(1, 900)
        draws = tuple([await self._draw(mood, wait, place) for place in range(size)])
        kill: tuple[FaultMode, ...] = ("kill-before", "kill-after")
        away: tuple[FaultMode, ...] = ("away-before", "away-after")
        struck = rng.choice(STRUCK.get(mood, ("",)))
        fault = (
            struck,
            rng.randrange(6 if "commit" in struck else 2),
            rng.choice(kill if mood == "kill" else away),
        )
        half = max(1, size // 2)
        return Round(
            name, draws, mood, wait, rng.randint(2 if mood == "down" else 1, 4), fault,
            inbound=rng.random() < 0.3 and mood not in COUNTED,
            bad_lines=rng.random() < 0.2,
            late=size if mood in COUNTED else rng.randint(1, half if mood == "down" else size),
        )  # fmt: skip

    def _tight(self) -> bool:
        bulk = self._leakage.be.gateway.directory.agreements[FR].terms.bulk
        return bulk is not None and bulk.records <= TIGHT

    async def _draw(self, mood: str, wait: int, place: int) -> Draw:
        rng, number = self._rng, self._next
        self._next += 1
        now = self._leakage.world.clock.now() + timedelta(seconds=wait)
        one = person(rng, f"BDC-{900000000 + number}", now)
        why = self._why(one)
        if why.request is not None and mood not in COUNTED and rng.random() < TOLD_SHARE:
            return await self._told(number, one, why, now)
        # behind a lane that backs off, what is voided early could show in the times: more of that there
        silent = mood not in COUNTED and rng.random() < (0.5 if mood == "down" else 0.25)
        if silent and rng.random() < (0.2 if mood == "down" else 0.5):
            one = DENIED[rng.choice(tuple(DENIED))](rng, one)
        decision, record = await self._decided(one, why)
        if decision.effect == "PERMIT" and not silent:
            return await self._permit(mood, number, one, why, decision, record, now)
        if mood in COUNTED:
            return await self._permit(mood, number, one, why, decision, record, now)
        refused = decision.effect != "PERMIT"
        possible = tuple(
            fate
            for fate in SILENT
            if fate in ("absent", "unknown", "embargoed") or (fate == "denied") == refused
        )
        first = rng.choices(possible, [SILENT[fate] for fate in possible])[0]
        if self._tight():
            possible = tuple(one for one in possible if (one in HELD_A_PLACE) == (first in HELD_A_PLACE))
        fates = first, rng.choices(possible, [SILENT[fate] for fate in possible])[0]
        required = {"/category", "/names/0"}  # a line without them is refused at the import
        everything = [pointer for pointer in one.pointers() if pointer not in required]
        free = self._hidden(decision) if decision.effect == "PERMIT" else everything
        other, acts = varied(rng, one, free, now)
        if decision.effect == "PERMIT":
            await self._same(one, other, why, decision, record)
        elif (await self._decided(other, why))[0].effect == "PERMIT":
            other, acts = one, ["nothing"]
        return self._made(number, fates, (one, other), why, decision, acts)

    async def _told(self, number: int, one: Person, why: Why, now: datetime) -> Draw:
        """A request about a person of whom nothing leaves: two versions of what is held, and of why."""
        rng = self._rng
        decision, _ = await self._decided(one, why)
        required = {"/category", "/names/0"}
        other, acts = varied(rng, one, [at for at in one.pointers() if at not in required], now)
        fates = rng.choice(TOLD), rng.choice(TOLD)
        return self._made(number, fates, (one, other), why, decision, acts)

    async def _permit(
        self,
        mood: str,
        number: int,
        one: Person,
        why: Why,
        decision: Decision,
        record: CanonicalRecord,
        now: object,
    ) -> Draw:
        rng = self._rng
        at = self._leakage.world.clock.now()
        if decision.effect == "PERMIT":
            other, acts = varied(rng, one, self._hidden(decision), at)
            await self._same(one, other, why, decision, record)
        else:
            other, acts = one, ["nothing"]
        fates = ("send", "send") if decision.effect == "PERMIT" else ("denied", "denied")
        if mood in HOOKED and decision.effect == "PERMIT" and rng.random() < 0.5:
            fates = rng.choice(WITHDRAWN), rng.choice(WITHDRAWN)
        return self._made(number, fates, (one, other), why, decision, acts)

    def _made(
        self, number: int, fates: tuple[str, str], people: tuple[Person, Person], why: Why, decision: Decision,
        acts: list[str],
    ) -> Draw:  # fmt: skip
        changed = tuple(self._later(one) for one in people)
        leaving = frozenset[str]()
        if decision.effect == "PERMIT" and fates[0] in ("send", *WITHDRAWN):
            out = zip(people[0].pointers(), people[0].items, strict=True)
            leaving = frozenset(
                text for at, item in out if at in decision.released for text in texts(item.value)
            )
        withholds = decision.effect == "PERMIT" and fates[0] not in TOLD and bool(self._hidden(decision))
        hidden = tuple(frozenset(values(one.line())) - leaving for one in people)
        return Draw(
            number, fates, people, (changed[0], changed[1]), self._rng.randrange(3), why, decision.effect,
            withholds, tuple(acts), (hidden[0], hidden[1]), leaving,
        )  # fmt: skip

    def _later(self, one: Person) -> Person:
        """A newer extract of the person, with another day of validation: nothing that leaves is different."""
        items = [
            replace(item, value=item.value | {"date": "2026-01-02"}) if item.member == "validation" else item
            for item in one.items
        ]
        return replace(one, extracted_at=one.extracted_at + timedelta(seconds=1), items=tuple(items))

    def _why(self, one: Person) -> Why:
        rng = self._rng
        asked = tuple(pattern for pattern in BE_FIELDS if rng.random() < 0.3)
        if rng.random() < UNASKED_SHARE:
            asked = ()
        request = Request("asked when it is played", FR, PURPOSE, asked) if asked else None
        lifts = tuple(
            Lift(pointer, "synthetic reason")
            for pointer in one.pointers()
            if pointer in CE_FIELDS and rng.random() < 0.3
        )
        purpose = rng.choice((PURPOSE, PURPOSE, PURPOSE, "threat-analysis"))
        basis = rng.choice((BASIS, BASIS, BASIS, BASIS, "be-2018-07-30:art75"))
        return Why(purpose, basis, "synthetic case", lifts, request)

    # --- the decision -------------------------------------------------------------------------------------------

    async def _decided(self, one: Person, why: Why) -> tuple[Decision, CanonicalRecord]:
        be = self._leakage.be
        record = next(iter(BdcExtract(BE, "be-requester").read(json.dumps(one.line()).encode())))
        if not isinstance(record, CanonicalRecord):
            raise AssertionError(f"the generator made a line that its adapter refuses: {vars(record)}")
        officer = be.gateway.directory.officers["be-requester"]
        now = max(self._leakage.world.clock.now(), one.extracted_at)

        def look(tx: ReadTx) -> Decision:
            ctx = be.releases.context(tx, record, "nobody", FR, why, (officer,), now)
            return decide(be.gateway.directory.policy, ctx)

        return await be.store.read(look), record

    async def _same(
        self, one: Person, other: Person, why: Why, decision: Decision, record: CanonicalRecord
    ) -> None:
        """Both versions are decided alike, and the same is left of both."""
        again, second = await self._decided(other, why)
        first_left, second_left = redact(record, decision), redact(second, again)
        same = (
            again.effect == decision.effect
            and first_left.content == second_left.content
            and [(entry.pointer, entry.label) for entry in first_left.labels]
            == [(entry.pointer, entry.label) for entry in second_left.labels]
        )
        if not same:
            raise Unequal(f"{one.id}: {decision.effect} and {again.effect}")

    def _hidden(self, decision: Decision) -> list[str]:
        return [outcome.pointer for outcome in decision.withheld]

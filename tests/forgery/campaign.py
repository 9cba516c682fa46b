"""A whole run: every attack in its family, partners that go on exchanging between them, and what stays afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gateway.audit.verify import LogVerdict
from gateway.model.rows import InboxRow
from tests.forgery.arena import Arena, Attack, arena
from tests.forgery.containers import containers
from tests.forgery.payloads import payloads
from tests.forgery.seals import seals
from tests.forgery.signatures import signatures
from tests.forgery.states import states
from tests.forgery.suites import suites
from tests.service.founding import Founded
from tests.service.world import BE

FAMILIES: dict[str, Callable[[], Iterator[Attack]]] = {
    "signatures": signatures,
    "seals": seals,
    "containers": containers,
    "payloads": payloads,
    "states": states,
    "suites": suites,
}

#: Attacks between two rounds of the other partners' own messages.
BETWEEN = 25


@dataclass
class Outcome:
    """What a run saw. ``breaches`` names each attack that did not get exactly its answer, and why."""

    attacks: Counter[str] = field(default_factory=Counter)  # by family
    answers: Counter[str] = field(default_factory=Counter)  # by expectation
    statuses: Counter[int] = field(default_factory=Counter)
    reasons: set[str] = field(
        default_factory=set
    )  # the gateway's own words, kinds of refusal actually reached
    neighbours: int = 0
    breaches: list[str] = field(default_factory=list)


async def campaign(founded: Founded, folder: Path, families: list[str] | None = None) -> Outcome:
    """Every attack of these families against one gateway, over the TLS sessions of its partners."""
    outcome = Outcome()
    async with arena(founded, folder) as made:
        for family in families or list(FAMILIES):
            for attack in FAMILIES[family]():
                verdict = await made.judge(attack)
                outcome.attacks[family] += 1
                outcome.answers[verdict.expect.split(", not-processed")[0]] += 1
                outcome.reasons.add(verdict.because)
                outcome.breaches += [
                    f"{attack.name}: {breach} ({verdict.got})" for breach in verdict.breaches
                ]
                if outcome.attacks.total() % BETWEEN == 0:
                    await _neighbours(made, outcome)
        await _afterwards(made, outcome)
    outcome.statuses = made.statuses
    outcome.breaches += [f"in the log: {one}" for one in made.tracebacks()]
    if any(status >= 500 for status in made.statuses):
        outcome.breaches.append("an answer of the server's own fault")
    return outcome


async def _neighbours(made: Arena, outcome: Outcome) -> None:
    told = await made.neighbours()
    outcome.neighbours += len(told)
    if told != ["receipt accepted"] * len(told):
        outcome.breaches.append(f"an honest partner was told {told}")


async def _afterwards(made: Arena, outcome: Outcome) -> None:
    """The others are heard, the attacker's own honest message is accepted, and the logs prove all of it."""
    await _neighbours(made, outcome)
    if made.said(*await made.post(BE, made.honest)) != "receipt accepted":
        outcome.breaches.append("the honest message is not accepted after all of them")
    fr = made.world.fr
    heard = len(fr.rows(InboxRow)) - 1 - made.granted
    if heard != outcome.neighbours:
        outcome.breaches.append(f"{heard} messages of honest partners instead of {outcome.neighbours}")
    await made.refusals.flush()
    await fr.gateway.checkpoint_logs([verdict.origin for verdict in fr.verdicts()])
    outcome.breaches += [
        f"the log {verdict.origin} is {verdict.status}" for verdict in fr.verdicts() if not _proven(verdict)
    ]


def _proven(verdict: LogVerdict) -> bool:
    return verdict.status == "verified" and verdict.unsealed == 0

"""Hostile messages over the real listener: each gets its own answer, leaves its trace, and nothing else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from gateway.flow.change import canonical
from tests.forgery import receipts
from tests.forgery.arena import LU, NL, Arena, Attack, arena
from tests.forgery.campaign import FAMILIES, campaign
from tests.forgery.forge import STAGES, constant, framed, put, write
from tests.service.founding import Founded
from tests.service.world import BE, World

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("family", FAMILIES)
async def test_every_attack_gets_exactly_its_answer(founded: Founded, tmp_path: Path, family: str) -> None:
    """The status and code of the table; nothing accepted, no lane moved, quarantine and log entries as due, no answer
    of our own fault, no traceback; the others' messages are accepted between, and the attacker's honest one after."""
    outcome = await campaign(founded, tmp_path, [family])
    assert outcome.breaches == []
    assert outcome.neighbours >= 2


def test_the_attacks_are_many_and_each_is_one() -> None:
    """At least 800 attacks, no name twice: an expectation stands for one message."""
    names = Counter(attack.name for family in FAMILIES.values() for attack in family())
    assert names.total() >= 800
    assert [name for name, count in names.items() if count > 1] == []


async def test_what_the_forger_writes_is_accepted_without_an_edit(founded: Founded, tmp_path: Path) -> None:
    """The base of every attack is honest, from each partner, suite and profile: only the edit is refused. And an edit
    that changes nothing is no reason either, whatever its layer."""
    async with arena(founded, tmp_path) as made:
        for org in (BE, NL, LU):
            assert made.said(*await made.post(org, made.batch(org=org))) == "receipt accepted"
        same = {stage: lambda value: value for stage in STAGES}
        for org in (BE, LU):
            assert made.said(*await made.post(org, made.batch(same, org=org))) == "receipt accepted"


async def test_what_just_holds_is_accepted(founded: Founded, tmp_path: Path) -> None:
    """The near misses of the bounds: the skew to its last second, the longest life, a head of exactly the size due."""
    async with arena(founded, tmp_path) as made:
        now, conv = made.now, made.uuid()
        for raw in (
            made.batch(iat=now + 300),
            made.batch(iat=now - 3600, exp=now + 1),
            made.batch(iat=now, exp=now + 30 * 86_400 + 600),
            made.batch(conv=conv, seq=1, checkpoint=made.note(size=1)),
            made.batch(conv=conv, seq=2, checkpoint=made.note(size=2)),
        ):
            assert made.said(*await made.post(BE, raw)) == "receipt accepted"


async def test_the_judge_sees_a_breach(founded: Founded, tmp_path: Path) -> None:
    """An attack that is none, and one with a wrong expectation, are both reported: the run can fail."""
    async with arena(founded, tmp_path) as made:
        honest = await made.judge(Attack("honest", "receipt signature-invalid", Arena.batch))
        assert honest.breaches[:2] == ["another answer", "something was accepted or a lane moved"]
        wrong = await made.judge(
            Attack("forged", "receipt replayed", lambda a: a.batch({"signature": constant(b"")}))
        )
        assert (wrong.breaches, wrong.got) == (["another answer"], "receipt signature-invalid")


async def test_two_histories_are_taken_down_and_people_are_told(founded: Founded, tmp_path: Path) -> None:
    """A partner that signs two heads of one size is not refused, for its message is its own word; the first head stays,
    both are written into the master log as evidence, and the alarm is raised."""
    async with arena(founded, tmp_path) as made:
        fr = made.world.fr
        for root in (b"\1" * 32, b"\2" * 32):
            before = fr.log_size(fr.gateway.ledger.master)
            raw = made.batch(checkpoint=made.note(size=40, root=root))
            assert made.said(*await made.post(BE, raw)) == "receipt accepted"
        assert fr.log_size(fr.gateway.ledger.master) == before + 1
        assert [one["event"] for one in made.logs if one["log_level"] == "error"] == ["log.equivocation"]


async def test_a_revoked_agreement_and_a_stopped_partner_end_an_open_session(
    founded: Founded, tmp_path: Path
) -> None:
    """What was accepted a moment ago over this connection is refused once the agreement or the partner is gone."""
    async with arena(founded, tmp_path) as made:
        fr = made.world.fr
        assert made.said(*await made.post(BE, made.batch())) == "receipt accepted"
        entry = fr.gateway.directory.partners[BE]
        stopped = msgspec.structs.replace(entry, stopped=True, version=entry.version + 1)
        await fr.change("partner", BE, canonical(stopped))
        assert made.said(*await made.post(BE, made.batch())) == "403 unknown-partner"
        assert made.said(*await made.post(BE, made.honest)) == "403 unknown-partner"
        assert await made.neighbours() == ["receipt accepted"] * 2


async def test_forged_receipts_never_deliver(founded: Founded) -> None:
    """Whatever a partner or a relay answers, only its receipt key over these very bytes ends a message."""
    world = await World(founded, "receipts").boot()
    breaches, count = await receipts.run(world)
    world.close()
    assert (breaches, count >= 50) == ([], True)


async def test_a_batch_of_many_lanes_fails_where_it_must(founded: Founded, tmp_path: Path) -> None:
    """Forged and honest lanes in one POST: each honest one is accepted, each forged one refused for itself."""
    async with arena(founded, tmp_path) as made:
        bases = [made.base() for _ in range(8)]
        raw = framed(
            [write(base, {"header": put(x5t="A" * 43)} if n % 2 else {}) for n, base in enumerate(bases)]
        )
        assert made.said(*await made.post(BE, raw)) == "receipt " + ", ".join(
            ["accepted", "signature-invalid"] * 4
        )

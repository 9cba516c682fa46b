"""A release that is voided before it has a number leaves no trace: not in the batches, not in the times."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest

from gateway.model.rows import LaneRow
from gateway.service import calls
from tests.service.founding import Founded, found
from tests.service.world import CLEAN, FR, World, opened

VOIDED, *OTHERS = CLEAN[:6]


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Founded:
    return found(tmp_path_factory.mktemp("founded"))


async def _embargo(world: World) -> None:
    await world.be.call("be-approver", "embargoes/add", calls.PlaceEmbargo(VOIDED, b"a fictitious order"))


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_no_batch_is_short_by_what_was_voided(founded: Founded, place: int) -> None:
    """With three messages a POST, five leave as three and two, whether or not a sixth was voided among them."""

    async def posts(records: list[str]) -> list[int]:
        world = World(founded)
        delivery = msgspec.structs.replace(world.be.config.delivery, batch_messages=3)
        world.be.config = msgspec.structs.replace(world.be.config, delivery=delivery)
        await world.boot()
        await world.be.disclose(*records, conversation=world.be.ids.uuid())
        await _embargo(world)
        await world.be.send()
        counts = [len(opened(world, post.batch)) for post in world.be.wire.posts]
        world.close()
        return counts

    assert await posts(OTHERS) == [3, 2]
    assert await posts([*OTHERS[:place], VOIDED, *OTHERS[place:]]) == [3, 2]


@pytest.mark.parametrize("voided", [False, True])
async def test_the_back_off_stands(founded: Founded, tmp_path: Path, voided: bool) -> None:
    """A lane that backs off for the third time waits as long when something behind its head was voided meanwhile."""
    world = await World(founded, folder=tmp_path).boot()
    be, conversation = world.be, world.be.ids.uuid()
    be.wire.script = ["lost"] * 3
    await be.disclose(OTHERS[0], conversation=conversation)
    await be.send()
    for _ in range(2):
        if voided:
            voided = False
            await be.disclose(VOIDED, conversation=conversation)
            await _embargo(world)
        (lane,) = be.rows(LaneRow)
        assert lane.due is not None
        world.clock.set(lane.due)
        random.seed("the same jitter")
        await be.send()
    (lane,) = be.rows(LaneRow)
    assert lane.attempts == 3
    assert lane.due is not None
    assert 2 <= (lane.due - world.clock.now()).total_seconds() <= 4
    world.close()


@pytest.mark.parametrize("place", [None, 0, 1, 2])
async def test_a_crash_between_two_looks_leaves_no_number(founded: Founded, place: int | None) -> None:
    """The process ends after the first look at a batch in which something was voided: no number was given, so what is
    voided until the next start leaves no trace either; the others go as if nothing had been."""
    records = list(OTHERS[:3])
    if place is not None:
        records.insert(place, VOIDED)
    world = await World(founded).boot()
    be = world.be
    await be.disclose(*records, conversation=be.ids.uuid())
    if place is not None:
        await _embargo(world)
        slots = await be.dispatcher._slots.heads(FR)
        left = await be.sealing.sequence(FR, slots)
        assert [slot.row.state for slot in left] == ["queued"] * 3
    await be.boot()
    assert be.log_size() == 0
    await be.call("be-approver", "embargoes/add", calls.PlaceEmbargo(OTHERS[1], b"a fictitious order"))
    await be.send()
    assert [(row.seq, row.type) for row in world.fr.received()] == [(1, "disclosure"), (2, "disclosure")]
    assert be.log_size() == 3
    world.close()

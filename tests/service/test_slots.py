"""What officers answer leaves in slots, so that its time says nothing about how long anybody looked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from gateway.model.rows import OutboxRow
from gateway.service import calls
from gateway.wire.ct_json import CtJson
from tests.service.asking import (
    answer,
    ask,
    asked_line,
    close,
    sign,
    silence,
    slot_after,
    to_slot,
)
from tests.service.world import CLEAN, NOW, World, opened

# --- slots -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("urgency", "seconds"), [("normal", 3600), ("urgent-direct", 900), ("urgent-indirect", 900)]
)
async def test_an_answer_leaves_with_the_next_slot(world: World, urgency: str, seconds: int) -> None:
    """Not a second before it, whatever wakes the dispatcher, and not after a restart either."""
    request = await ask(world, asked_line(urgency={"class": urgency, "reasons": "invented"}))
    world.clock.advance(seconds=61)
    await silence(world, request)
    slot = slot_after(world.clock.now(), seconds)
    posts = len(world.be.wire.posts)
    world.clock.set(slot - timedelta(seconds=1))
    await world.be.send()
    await world.be.boot()
    await world.be.send()
    assert len(world.be.wire.posts) == posts
    world.clock.set(slot)
    await world.be.send()
    (message,) = opened(world, world.be.wire.batches[-1])
    assert message.header.iat == int(slot.timestamp())
    assert CtJson().parse(message.payload).envelope.created == f"{slot:%Y-%m-%dT%H:%M:%SZ}"


async def test_an_answer_approved_in_a_slot_goes_to_the_next(world: World) -> None:
    """The very second of a slot belongs to what was decided before it."""
    request = await ask(world)
    world.clock.set(slot_after(world.clock.now()))
    await silence(world, request)
    await world.be.send()
    assert world.be.rows(OutboxRow, type="no-information")[0].not_before == world.clock.now() + timedelta(
        hours=1
    )
    assert world.be.rows(OutboxRow, type="no-information")[0].state == "queued"


async def test_what_waits_holds_up_what_stands_behind_it(world: World) -> None:
    """The order of a conversation is the queue's; other conversations go on."""
    request = await ask(world)
    conversation = world.be.received()[0].conversation
    await silence(world, request)
    (behind,) = await world.be.disclose(CLEAN[0], conversation=conversation)
    (beside,) = await world.be.disclose(CLEAN[1])
    await world.be.send()
    assert (world.be.release(behind).state, world.be.release(beside).state) == ("queued", "delivered")
    await to_slot(world)
    assert world.be.release(behind).state == "delivered"
    assert [row.type for row in world.fr.received(conversation)] == ["no-information", "disclosure"]


async def test_nothing_in_the_bytes_says_when_it_was_decided(world: World) -> None:
    """Prepared at two times within one slot: time of creation, end of validity and last day of keeping are the
    same."""

    async def sent(seconds: int) -> tuple[Any, Any, Any]:
        other = await World(world.founded).boot()
        request = await ask(other)
        other.clock.advance(seconds=seconds)
        view = await answer(other, request)
        await sign(other.be, view)
        await to_slot(other)
        (message,) = opened(other, other.be.wire.batches[-1])
        said = CtJson().parse(message.payload)
        assert said.handling is not None
        found = (message.header.exp, said.envelope.created, said.handling.retention_until)
        other.close()
        return found

    assert await sent(1) == await sent(3000)


# --- silence ---------------------------------------------------------------------------------------------------------


async def conversation(world: World, why: str) -> list[Any]:
    """All that the partner sees from its question on: receipt, answer, sizes, order and times."""
    request = await ask(world)
    if why == "embargoed":
        await world.be.call("be-approver", "embargoes/add", calls.PlaceEmbargo(CLEAN[2], b"magistrate"))
    world.clock.advance(seconds=600 if why == "nothing" else 1800)
    if why == "embargoed":
        assert (await answer(world, request, CLEAN[2])).effect == "DENY"
    if why == "withheld":
        assert (await answer(world, request, "BDC-000007")).effect == "DENY"  # it carries an unlabelled item
    if why == "voided":
        view = await answer(world, request)
        await sign(world.be, view)
        await world.be.call("be-approver", "embargoes/add", calls.PlaceEmbargo(CLEAN[0], b"magistrate"))
        await to_slot(world)
        assert world.be.release(view).state == "voided"
        world.clock.set(slot_after(NOW) - timedelta(seconds=1))
    if why == "nobody looked":
        view = await close(world, request, "refusal", "incomplete")
    await silence(world, request, "nothing" if why in ("nothing", "nobody looked", "voided") else why)
    await to_slot(world)
    seen: list[Any] = [answer for post in world.fr.wire.posts for answer in [len(post.answer)]]
    for post in world.be.wire.posts:
        for message in opened(world, post.batch):
            said = msgspec.json.decode(message.payload)
            said.pop("message_id"), said.pop("conversation"), said.pop("answers")
            header = message.header
            note = header.checkpoint.split("\n")
            seen.append(
                (post.at, message.size, said, header.seq, header.iat, header.exp, note[1], len(message.jws))
            )
    assert [row.type for row in world.fr.received()] == ["no-information"]
    return seen


@pytest.mark.parametrize("why", ["withheld", "embargoed", "voided", "nobody looked"])
async def test_nothing_and_withheld_and_embargoed_answer_alike(world: World, why: str) -> None:
    """Whatever stood behind it and however long it took, within its slot: the same answer at the same second, byte for
    byte but for random ids."""
    other = await World(world.founded).boot()
    plain, found = await conversation(world, "nothing"), await conversation(other, why)
    other.close()
    assert plain == found

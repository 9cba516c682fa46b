"""Lanes: strict order within a conversation, none between; back-off that outlives the process; people at the queue."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import msgspec
import pytest

from gateway.errors import Conflict, NotFound, OutsideAgreement
from gateway.flow.change import canonical
from gateway.model.rows import CheckpointRow, HeldRow, LaneRow, OutboxRow, ReceiptRow, ReservationRow
from gateway.service import calls
from gateway.service.config import Delivery
from gateway.wire.ct_json import CtJson
from tests.service.world import BE, CLEAN, FR, SERIES, World, opened


def lane(world: World, conversation: str) -> LaneRow:
    (row,) = world.be.rows(LaneRow, conversation=conversation)
    return row


def arrived(world: World, conversation: str) -> list[tuple[int, str]]:
    return [(row.seq, row.message_id) for row in world.fr.received(conversation)]


async def test_many_lanes_go_in_one_batch_each_in_order(world: World) -> None:
    """Three conversations of three: one POST, one receipt, every lane contiguous and in the order of approval."""
    lanes = {world.be.ids.uuid(): CLEAN[start : start + 3] for start in (0, 3, 6)}
    views = {name: await world.be.disclose(*records, conversation=name) for name, records in lanes.items()}
    await world.be.send()
    assert len(world.be.wire.posts) == 1
    for name, sent in views.items():
        assert arrived(world, name) == [(seq, view.message_id) for seq, view in enumerate(sent, 1)]
    (receipt,) = world.be.rows(ReceiptRow)
    assert {row.receipt for row in world.be.rows(OutboxRow)} == {receipt.id}
    assert world.be.log_size() == world.fr.log_size() == 10


@pytest.mark.parametrize("step", ["lost", "answer-lost", "garbage", "twice"])
async def test_a_bad_journey_loses_nothing_and_doubles_nothing(world: World, step: str) -> None:
    """Whatever became of the first POST, after the back-off every message is there once, in order, with a receipt that
    verifies, and each log has one entry a message and one a receipt."""
    conversation = world.be.ids.uuid()
    views = await world.be.disclose(*CLEAN[:3], conversation=conversation)
    world.be.wire.script = [step]
    await world.be.send()
    world.clock.advance(seconds=60)
    await world.be.send()
    assert arrived(world, conversation) == [(seq, view.message_id) for seq, view in enumerate(views, 1)]
    assert [world.be.release(view).state for view in views] == ["delivered"] * 3
    assert len(world.be.rows(ReceiptRow)) == len(world.fr.rows(ReceiptRow)) == 1
    assert world.be.log_size() == world.fr.log_size() == 4


async def test_a_retry_carries_the_same_seal_in_a_new_ciphertext(world: World) -> None:
    """Sealed once; ciphertext is made anew for each attempt."""
    await world.be.disclose(CLEAN[0])
    world.be.wire.script = ["lost"]
    await world.be.send()
    world.clock.advance(seconds=60)
    await world.be.send()
    first, second = world.be.wire.batches
    assert first != second
    assert opened(world, first) == opened(world, second)


async def test_back_off_is_durable_grows_and_is_bounded(world: World) -> None:
    """Each failure doubles the longest wait up to the bound, never below half of it; a restart does not shorten it,
    and success forgets it."""
    be, conversation = world.be, world.be.ids.uuid()
    be.config = msgspec.structs.replace(be.config, delivery=Delivery(backoff_first_s=10, backoff_most_s=60))
    await be.boot()
    await be.disclose(CLEAN[0], conversation=conversation)
    be.wire.script = ["lost"] * 5
    for attempt, most in enumerate((10, 20, 40, 60, 60), 1):
        await be.send()
        row = lane(world, conversation)
        assert row.attempts == attempt
        assert row.due is not None
        assert timedelta(seconds=most // 2) <= row.due - world.clock.now() <= timedelta(seconds=most)
        await be.boot()
        await be.send()  # not due: nothing is sent
        assert len(be.wire.batches) == attempt
        world.clock.set(row.due)
    await be.send()
    assert arrived(world, conversation)[0][0] == 1
    assert (lane(world, conversation).attempts, lane(world, conversation).due) == (0, None)


async def test_a_short_back_off_is_never_no_wait(world: World) -> None:
    """A first wait below half a second still is a wait: the lane is not due again at once."""
    be, conversation = world.be, world.be.ids.uuid()
    be.config = msgspec.structs.replace(be.config, delivery=Delivery(backoff_first_s=0.3, backoff_most_s=5))
    await be.boot()
    await be.disclose(CLEAN[0], conversation=conversation)
    be.wire.script = ["lost"] * 20
    await be.send()
    assert len(be.wire.batches) == 1


async def test_one_failure_of_a_batch_is_one_failure_of_its_lane(world: World) -> None:
    """A lane whose batch of five answers not-processed backs off once, not five times."""
    conversation = world.be.ids.uuid()
    await world.be.disclose(*CLEAN[:5], conversation=conversation)
    before = world.fr.gateway.directory
    world.fr.gateway.directory = msgspec.structs.replace(before, agreements={})
    await world.be.send()
    assert lane(world, conversation).attempts <= 1


async def refused_head(world: World, conversation: str, count: int = 2) -> list[calls.DecisionView]:
    """A lane whose head the partner refuses, for want of an agreement at its side."""
    views = await world.be.disclose(*CLEAN[:count], conversation=conversation)
    before = world.fr.gateway.directory
    world.fr.gateway.directory = msgspec.structs.replace(before, agreements={})
    await world.be.send()
    world.fr.gateway.directory = before
    return views


async def test_a_refused_head_holds_its_lane_and_no_other(world: World) -> None:
    """The lane waits for a person; another lane of the same partner goes on."""
    stuck, free = world.be.ids.uuid(), world.be.ids.uuid()
    head, behind = await refused_head(world, stuck)
    assert lane(world, stuck).held
    assert world.be.release(head).state == "refused"
    world.clock.advance(days=0.5)
    await world.be.disclose(CLEAN[5], conversation=free)
    await world.be.send()
    assert arrived(world, stuck) == []
    assert len(arrived(world, free)) == 1
    assert world.be.release(behind).state == "attempted"
    items = await world.be.call("be-only-operator", "queue/list", calls.Page())
    assert {(item.message_id, item.state, item.held) for item in items} == {
        (head.message_id, "refused", True),
        (behind.message_id, "attempted", True),
    }


async def test_resend_delivers_the_same_bytes(world: World) -> None:
    """The partner has mended its side: the same seals are accepted, in order."""
    conversation = world.be.ids.uuid()
    views = await refused_head(world, conversation)
    params = calls.LaneCall(FR, conversation)
    await world.be.call("be-only-operator", "queue/resend", params)
    await world.be.send()
    assert arrived(world, conversation) == [(seq, view.message_id) for seq, view in enumerate(views, 1)]
    assert [world.be.release(view).state for view in views] == ["delivered"] * 2
    seals = [message.jws for batch in world.be.wire.batches for message in opened(world, batch)]
    assert len(set(seals)) == 2


async def test_skip_sends_a_void_and_the_lane_goes_on(world: World) -> None:
    """A person gives up the refused head: a content-free void takes its number, the next message follows, and the
    quota of the one given up is free."""
    conversation = world.be.ids.uuid()
    head, behind = await refused_head(world, conversation)
    await world.be.call("be-only-approver", "queue/skip", calls.LaneCall(FR, conversation))
    await world.be.send()
    first, second = world.fr.received(conversation)
    assert (first.type, first.seq, second.message_id, second.seq) == ("void", 1, behind.message_id, 2)
    assert first.message_id != head.message_id
    assert world.be.release(behind).state == "delivered"
    assert world.be.release(head).state == "withdrawn"
    assert [row.release for row in world.be.rows(ReservationRow)] == [behind.release]


async def test_only_a_refused_head_can_be_skipped(world: World) -> None:
    """What waits, was sent, or does not exist is no business of skip."""
    conversation = world.be.ids.uuid()
    await world.be.disclose(CLEAN[0], conversation=conversation)
    with pytest.raises(Conflict):
        await world.be.call("be-only-approver", "queue/skip", calls.LaneCall(FR, conversation))
    with pytest.raises(NotFound):
        await world.be.call("be-only-approver", "queue/hold", calls.LaneCall(FR, world.be.ids.uuid()))


async def test_a_held_lane_waits_for_its_release(world: World) -> None:
    """Held by a person, nothing leaves; released, it does."""
    conversation = world.be.ids.uuid()
    await world.be.disclose(CLEAN[0], conversation=conversation)
    await world.be.call("be-only-operator", "queue/hold", calls.LaneCall(FR, conversation))
    await world.be.send()
    assert world.be.wire.batches == []
    await world.be.call("be-only-operator", "queue/resend", calls.LaneCall(FR, conversation))
    await world.be.send()
    assert len(arrived(world, conversation)) == 1


async def embargo(world: World, record: str) -> None:
    await world.be.call("be-approver", "embargoes/add", calls.PlaceEmbargo(record, b"magistrate"))


async def sealed_not_sent(world: World, conversation: str, count: int = 2) -> list[calls.DecisionView]:
    """Messages with a seq and a seal that were never attempted."""
    views = await world.be.disclose(*CLEAN[:count], conversation=conversation)
    slots = await world.be.dispatcher._slots.heads(FR)
    slots = await world.be.sealing.sequence(FR, slots)
    await world.be.sealing.seal(FR, slots)
    assert {row.state for row in world.be.rows(OutboxRow)} == {"sealed"}
    return views


async def test_voided_after_its_number_a_void_carries_it(world: World) -> None:
    """The seq is allotted and nothing was sent: a `void` with that seq goes, with the envelope and nothing else; the
    message behind it keeps its own number; the partner is never asked."""
    conversation = world.be.ids.uuid()
    first, second = await sealed_not_sent(world, conversation)
    await embargo(world, CLEAN[0])
    await world.be.send()
    void, message = world.fr.received(conversation)
    assert (void.type, void.seq, message.message_id, message.seq) == ("void", 1, second.message_id, 2)
    assert (world.be.release(first).state, world.be.release(first).reason) == ("withdrawn", "embargo")
    assert world.be.wire.fetched == []
    inbox = await world.fr.call("fr-inbox", "inbox/show", calls.Named(void.message_id))
    parsed = CtJson().parse(inbox.payload)
    assert (parsed.records, parsed.labels, parsed.label, parsed.handling) == ((), (), None, None)
    assert first.message_id.encode() not in inbox.payload
    assert [row.release for row in world.be.rows(ReservationRow)] == [second.release]


@pytest.mark.parametrize("sealed", [False, True])
async def test_a_void_goes_before_what_stands_behind_it(world: World, sealed: bool) -> None:
    """Voided when the head is signed or just before it is sent: nothing of the lane leaves ahead of the void, so the
    partner never sees a number out of order."""
    conversation = world.be.ids.uuid()
    if sealed:
        await sealed_not_sent(world, conversation, 3)
    else:
        await world.be.disclose(*CLEAN[:3], conversation=conversation)
        await world.be.sealing.sequence(FR, await world.be.dispatcher._slots.heads(FR))
    await embargo(world, CLEAN[0])
    await world.be.send()
    numbers = [message.header.seq for batch in world.be.wire.batches for message in opened(world, batch)]
    assert numbers == [1, 2, 3]
    assert [row.type for row in world.fr.received(conversation)] == ["void", "disclosure", "disclosure"]


@pytest.mark.parametrize(("journey", "outcome"), [("answer-lost", "delivered"), ("lost", "withdrawn")])
async def test_voided_after_an_attempt_the_receipt_is_fetched_first(
    world: World, journey: str, outcome: str
) -> None:
    """It may be there already: then it was delivered, and only a recall remains; if not, a void takes its number."""
    conversation = world.be.ids.uuid()
    first, second = await world.be.disclose(*CLEAN[:2], conversation=conversation)
    world.be.wire.script = [journey]
    await world.be.send()
    await embargo(world, CLEAN[0])
    world.clock.advance(seconds=60)
    await world.be.send()
    world.clock.advance(seconds=600)
    await world.be.send()
    assert world.be.wire.fetched[0] == first.message_id
    assert world.be.release(first).state == outcome
    assert world.be.release(second).state == "delivered"
    assert [row.type for row in world.fr.received(conversation)] == [
        "disclosure" if outcome == "delivered" else "void",
        "disclosure",
    ]


async def test_a_resent_message_that_is_voided_meanwhile_becomes_a_void(world: World) -> None:
    """Refused, then embargoed, then resent by a person: the partner does not have it, a void takes its number."""
    conversation = world.be.ids.uuid()
    head, behind = await refused_head(world, conversation)
    await embargo(world, CLEAN[0])
    await world.be.call("be-only-operator", "queue/resend", calls.LaneCall(FR, conversation))
    await world.be.send()
    assert world.be.release(head).state == "withdrawn"
    assert world.be.release(behind).state == "delivered"
    assert [row.type for row in world.fr.received(conversation)] == ["void", "disclosure"]


async def test_a_stopped_partner_gets_nothing_and_nothing_is_lost(world: World) -> None:
    """Stopped at once by one person: lanes wait with what they hold, connections are dropped, POSTs are refused."""
    await world.be.disclose(*CLEAN[:2])
    dropped: list[str] = []
    world.be.gateway.drop = dropped.append
    entry = world.be.gateway.directory.partners[FR]
    stopped = msgspec.structs.replace(entry, stopped=True, version=2)
    assert (await world.be.propose("partner", FR, canonical(stopped), "be-requester")).state == "applied"
    assert dropped == [FR]
    assert await world.be.dispatcher._partners() == []
    assert {row.state for row in world.be.rows(OutboxRow)} == {"queued"}
    assert world.be.wire.batches == []


async def test_a_revoked_agreement_stops_what_is_sealed(world: World) -> None:
    """Sealed and then revoked: no content leaves, the number is withdrawn, and no further release is prepared."""
    conversation = world.be.ids.uuid()
    views = await sealed_not_sent(world, conversation, 1)
    await world.be.change("agreement-revoke", SERIES, canonical(world.founded.agreement))
    for _ in range(3):
        with contextlib.suppress(OutsideAgreement):  # no agreement, no seal: not even of a void
            await world.be.send()
        world.clock.advance(seconds=600)
    assert world.be.release(views[0]).state == "withdrawn"
    assert world.fr.received() == []
    assert (await world.be.prepare(CLEAN[3])).effect == "DENY"


async def test_heads_of_partner_logs_are_kept_from_both_directions(world: World) -> None:
    """Each side keeps the other's signed head: the receiver from the seal, the sender from the next receipt."""
    await world.be.disclose(CLEAN[0])
    await world.be.send()
    await world.fr.gateway.checkpoint_logs([world.fr.gateway.ledger.of_partner(BE)])
    await world.be.disclose(CLEAN[1])
    await world.be.send()
    assert {row.origin for row in world.fr.rows(HeldRow)} == {f"ecluse/{BE}/partner/{FR}"}
    assert {row.origin for row in world.be.rows(HeldRow)} == {f"ecluse/{FR}/partner/{BE}"}
    assert len({row.size for row in world.be.rows(CheckpointRow, origin=f"ecluse/{BE}/partner/{FR}")}) == 2

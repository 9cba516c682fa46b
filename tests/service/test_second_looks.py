"""What was decided once is looked at again: keys, rewinds, numbers that were taken, heads that disagree."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from gateway.audit.checkpoint import Checkpoint, log_key_name, parse, sign
from gateway.flow.change import canonical
from gateway.model.rows import HeldRow, InboxRow, LaneRow, LogRow, OutboxRow, ReservationRow
from gateway.ports import Tx
from gateway.service import calls
from gateway.service.answers import Answers, new_claim
from gateway.service.held import keep_head
from tests.service.test_imports import lines, load, person
from tests.service.test_lanes import embargo, sealed_not_sent
from tests.service.world import BE, CLEAN, FR, NOW, World


async def revoke_approver_key(world: World) -> None:
    """A stolen key is revoked by one person, at once."""
    officer = world.be.gateway.directory.officers["be-approver"]
    keys = tuple(msgspec.structs.replace(key, revoked=True) for key in officer.keys)
    revoked = msgspec.structs.replace(officer, keys=keys, version=officer.version + 1)
    assert (
        await world.be.propose("officer", officer.id, canonical(revoked), "be-requester")
    ).state == "applied"


@pytest.mark.parametrize("sealed", [False, True])
async def test_a_revoked_key_endorses_nothing_any_more(world: World, sealed: bool) -> None:
    """Approved with a key that is revoked before the message leaves: without a number no trace, with one a void."""
    conversation = world.be.ids.uuid()
    if sealed:
        (view,) = await sealed_not_sent(world, conversation, 1)
    else:
        (view,) = await world.be.disclose(CLEAN[0], conversation=conversation)
    await revoke_approver_key(world)
    await world.be.send()
    row = world.be.release(view)
    assert (row.state, row.reason) == ("withdrawn" if sealed else "voided", "endorsement.in-force")
    assert [received.type for received in world.fr.received()] == (["void"] if sealed else [])
    assert world.be.rows(ReservationRow) == []


async def test_a_rewound_message_that_is_void_meanwhile_stops_nobody_else(world: World) -> None:
    """The partner lost what it had, and the extract is stale by then: a void takes the number, others go on."""
    first, other = world.be.ids.uuid(), world.be.ids.uuid()
    (lost,) = await world.be.disclose(CLEAN[0], conversation=first)
    await world.be.send()

    def forget(tx: Tx) -> None:
        tx.delete(InboxRow, {"sender": BE})
        tx.delete(LaneRow, {"partner": BE})

    await world.fr.store.write(forget)
    (behind,) = await world.be.disclose(CLEAN[1], conversation=first)
    await embargo(world, CLEAN[0])
    await world.be.send()
    (apart,) = await world.be.disclose(CLEAN[2], conversation=other)
    for _ in range(4):
        await world.be.send()
        world.clock.advance(seconds=600)
    assert world.be.release(lost).state == "withdrawn"
    assert world.be.release(behind).state == "delivered"
    assert world.be.release(apart).state == "delivered"
    assert [row.type for row in world.fr.received(first)] == ["void", "disclosure"]


async def test_a_number_that_was_taken_after_all(world: World) -> None:
    """Looked up, not there, voided; then the slow POST arrives: its receipt settles what happened, and quota and state
    say that it was delivered."""
    conversation = world.be.ids.uuid()
    first, second = await world.be.disclose(*CLEAN[:2], conversation=conversation)
    world.be.wire.script = ["lost"]
    await world.be.send()
    slow = world.be.wire.batches[-1]
    await embargo(world, CLEAN[0])
    world.clock.advance(seconds=60)
    world.be.wire.script = ["lost"]  # the void does not arrive either
    await world.be.send()
    await world.be.send()
    await world.fr.intake.accept(BE, slow)
    for _ in range(3):
        world.clock.advance(seconds=600)
        await world.be.send()
    assert world.be.release(first).state == "delivered"
    assert world.be.release(second).state == "delivered"
    assert [row.type for row in world.fr.received(conversation)] == ["disclosure", "disclosure"]
    assert {row.release for row in world.be.rows(ReservationRow)} == {first.release, second.release}
    assert {row.state for row in world.be.rows(OutboxRow)} == {"delivered"}
    assert [(lane.held, lane.queued) for lane in world.be.rows(LaneRow)] == [(False, 0)]


async def test_two_heads_of_one_size_keep_the_first(world: World) -> None:
    """A partner that shows two histories cannot replace the one we hold, and the master log says what it tried."""
    await world.be.disclose(CLEAN[0])
    await world.be.send()
    (held,) = world.fr.rows(HeldRow)
    size = parse(held.note).checkpoint.size
    key = world.be.signer.authority.keys.log
    other = sign(Checkpoint(held.origin, size, b"\1" * 32), log_key_name(BE), key)
    master = world.fr.gateway.ledger.master
    before = next(row.size for row in world.fr.rows(LogRow) if row.origin == master)
    await world.fr.vault.reserve()
    row = HeldRow(held.origin, size, other, world.clock.now())
    await world.fr.store.write(lambda tx: keep_head(world.fr.gateway, tx, row, BE, world.clock.now()))
    assert world.fr.rows(HeldRow) == [held]
    assert next(row.size for row in world.fr.rows(LogRow) if row.origin == master) == before + 1


async def test_a_revoked_agreement_key_stops_one_partner_and_not_the_gateway(world: World) -> None:
    """Its agreement is not in force any more and denies; the directory still loads."""
    entry = world.be.gateway.directory.partners[FR]
    keys = tuple(
        msgspec.structs.replace(key, revoked=key.use == "agreement" or key.revoked) for key in entry.keys
    )
    revoked = msgspec.structs.replace(entry, keys=keys, version=2)
    assert (await world.be.propose("partner", FR, canonical(revoked), "be-requester")).state == "applied"
    denied = await world.be.prepare(CLEAN[0])
    assert (denied.effect, denied.release) == ("DENY", "")
    assert "agreement.in-force" in {reason.rule for reason in denied.reasons}
    status = await world.be.call("be-requester", "status", calls.Empty())
    assert FR in status.partners


@pytest.mark.parametrize("when", ["approval", "sending"])
async def test_a_record_that_changed_voids_what_was_decided_on_the_old_one(world: World, when: str) -> None:
    """Re-imported with other content between the steps: nobody has approved that, so nothing of the old one leaves. The
    same content again, in a newer extract, changes nothing."""
    be = world.be
    view = await be.request(CLEAN[0])
    await load(world, lines(person(2, NOW + timedelta(minutes=1))))
    if when == "sending":
        await be.approve(view)
    await load(world, lines(person(2, NOW + timedelta(minutes=2), sex="X")))
    if when == "approval":
        assert [reason.rule for reason in (await be.approve(view)).voided[view.release]] == [
            "record.unchanged"
        ]
    await be.send()
    assert (be.release(view).state, be.release(view).reason) == ("voided", "record.unchanged")
    assert (world.fr.received(), be.log_size()) == ([], 0)


async def test_a_claim_left_by_a_crash_is_given_up_at_the_next_start(world: World) -> None:
    """An idempotency key whose call died with its gateway works again at once, and not before."""
    answers, claim = Answers(world.be.gateway), new_claim("k", "be-requester", "releases/prepare", "p", NOW)
    assert await world.be.store.write(lambda tx: answers.claim(tx, claim)) is None
    assert await world.be.store.write(lambda tx: answers.claim(tx, claim)) == claim
    await answers.abandon()
    assert await world.be.store.write(lambda tx: answers.claim(tx, claim)) is None

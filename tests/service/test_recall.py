"""Recall, both ways: what one officer's word makes leave, what stops, and what the other side sees of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.errors import Conflict, NotFound, RequestInvalid, RoleMissing
from gateway.flow.change import canonical
from gateway.model.rows import LaneRow, OutboxRow, QuarantineRow, RecallRow, ReleaseRow, ReservationRow
from gateway.service import calls
from gateway.wire.ct_json import CtJson
from tests.service.world import BE, CLEAN, FR, Side, World, opened

UNKNOWN = "0a0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a99"


async def prepare(
    side: Side, message: str, action: str = "withdrawn", by: str = "", officer: str = "be-requester"
) -> calls.DecisionView:
    """C1 of a recall."""
    params = calls.RecallMessage(message, action, by, "synthetic")
    view: calls.DecisionView = await side.call(officer, "recalls/prepare", params)
    return view


async def endorse(side: Side, view: calls.DecisionView, officer: str = "be-requester") -> None:
    token = side.endorse(officer, "request", [view.statement])
    await side.call(officer, "recalls/endorse", calls.Endorsed((view.release,), token))


async def recall(
    side: Side, message: str, action: str = "withdrawn", by: str = "", officer: str = "be-requester"
) -> calls.DecisionView:
    """C1 and its one endorsement."""
    view = await prepare(side, message, action, by, officer)
    assert view.effect == "PERMIT", [reason.rule for reason in view.reasons]
    await endorse(side, view, officer)
    return view


async def delivered(world: World, *records: str) -> list[calls.DecisionView]:
    views = await world.be.disclose(*records)
    await world.be.send()
    assert [world.be.release(view).state for view in views] == ["delivered"] * len(views)
    return views


async def inbox(world: World, message: str) -> calls.InboxItem:
    items: list[calls.InboxItem] = await world.fr.call("fr-inbox", "inbox/list", calls.Page())
    return next(item for item in items if item.message_id == message)


def rules(view: calls.DecisionView) -> list[str]:
    assert view.effect == "DENY"
    assert not view.release
    return [reason.rule for reason in view.reasons]


# --- from one side to the other --------------------------------------------------------------------------------------


@pytest.mark.parametrize("officer", ["be-requester", "be-approver", "be-stranger"])
async def test_one_officer_recalls_what_was_delivered(world: World, officer: str) -> None:
    """Requester or approver alone, without need to know the record: the partner gets ids and a code, accepts them,
    and its officer sees what was recalled, when and how. Both sides' logs verify."""
    (sent,) = await delivered(world, CLEAN[0])
    view = await recall(world.be, sent.message_id, officer=officer)
    await world.be.send()
    assert world.be.release(view).state == "delivered"
    item = await inbox(world, sent.message_id)
    assert item.recall == calls.RecallView("withdrawn", "", world.clock.now())
    assert (await inbox(world, view.message_id)).type == "recall"
    trace = await world.be.call("be-requester", "messages/trace", calls.Named(sent.release))
    assert f"recalled (withdrawn) by message {view.message_id}" in [step.what for step in trace.steps]
    theirs = await world.fr.call("fr-inbox", "messages/trace", calls.Named(sent.message_id))
    assert theirs.steps[-1].what == "recalled (withdrawn)"
    for side in (world.be, world.fr):
        ledger = side.gateway.ledger
        await side.gateway.checkpoint_logs([ledger.master, ledger.of_partner(side.partner)])
        assert {verdict.status for verdict in side.verdicts()} == {"verified"}


async def test_a_message_in_its_place(world: World) -> None:
    """`replaced` names the other message, which went to the same partner before."""
    first, second = await delivered(world, CLEAN[0], CLEAN[1])
    await recall(world.be, first.message_id, "replaced", second.message_id)
    await world.be.send()
    item = await inbox(world, first.message_id)
    assert item.recall is not None
    assert (item.recall.action, item.recall.replaced_by) == ("replaced", second.message_id)
    assert (await inbox(world, second.message_id)).recall is None


async def test_the_recall_overtakes(world: World) -> None:
    """It stands first in the batch, though its lane is the youngest, and number 1 of a conversation of its own."""
    (sent,) = await delivered(world, CLEAN[0])
    await world.be.disclose(CLEAN[1])
    await world.be.disclose(CLEAN[2])
    view = await recall(world.be, sent.message_id)
    await world.be.send()
    messages = opened(world, world.be.wire.batches[-1])
    assert [message.header.typ for message in messages] == [
        "ecluse-msg-recall+jws", *["ecluse-msg-disclosure+jws"] * 2
    ]  # fmt: skip
    assert (messages[0].header.conv, messages[0].header.seq) == (view.conversation, 1)


async def test_a_held_lane_does_not_hold_up_the_recall(world: World) -> None:
    """The conversation of the message recalled stands still; the recall goes."""
    (sent,) = await delivered(world, CLEAN[0])
    await world.be.call("be-approver", "queue/hold", calls.LaneCall(FR, sent.conversation))
    await recall(world.be, sent.message_id)
    await world.be.send()
    assert (await inbox(world, sent.message_id)).recall is not None


# --- what it says ----------------------------------------------------------------------------------------------------


async def test_two_worlds(world: World) -> None:
    """Two messages of unlike content and size, recalled for unlike reasons: both recalls differ in ids alone, and
    whatever the action, a sealed recall has the same size."""
    (small,) = await delivered(world, CLEAN[0])
    (large, other) = await delivered(world, *sorted(CLEAN[1:], key=lambda name: name)[:2])
    wanted = [(small, "withdrawn", ""), (large, "withdrawn", ""), (other, "replaced", large.message_id)]
    shapes, sizes = [], set()
    for sent, action, by in wanted:
        params = calls.RecallMessage(sent.message_id, action, by, "synthetic " + "x" * len(sent.payload))
        view = await world.be.call("be-requester", "recalls/prepare", params)
        await endorse(world.be, view)
        await world.be.send()
        (message,) = opened(world, world.be.wire.batches[-1])
        said = CtJson().parse(message.payload)
        assert said.recall is not None
        assert (said.label, said.handling, said.records) == (None, None, ())
        text = message.payload.decode()
        for name, value in (("id", view.message_id), ("conv", view.conversation), ("about", sent.message_id)):
            text = text.replace(value, name)
        shapes.append(text)
        sizes.add(message.size)
    assert shapes[0] == shapes[1]
    assert len(sizes) == 1


# --- what is denied --------------------------------------------------------------------------------------------------


async def test_what_has_not_gone_is_cancelled(world: World) -> None:
    """A message in the queue is not recalled but cancelled, which leaves no trace at the partner."""
    (sent,) = await world.be.disclose(CLEAN[0])
    assert rules(await prepare(world.be, sent.message_id)) == ["recall.sent"]
    await world.be.call("be-requester", "releases/cancel", calls.Ended(sent.release, "synthetic"))
    assert rules(await prepare(world.be, sent.message_id)) == ["recall.sent"]
    await world.be.send()
    assert world.fr.received() == []


@pytest.mark.parametrize("state", ["sequenced", "sealed"])
async def test_what_has_only_its_number_is_withdrawn(world: World, state: str) -> None:
    """Between its number and the first try a message is stopped: a `void` carries the number, no recall leaves."""
    (sent,) = await world.be.disclose(CLEAN[0])
    slots = await world.be.sealing.sequence(FR, await world.be.dispatcher._slots.heads(FR))
    if state == "sealed":
        await world.be.sealing.seal(FR, slots)
    assert world.be.release(sent).state == state
    view = await prepare(world.be, sent.message_id)
    assert (view.effect, view.release, view.reasons[0].rule) == ("PERMIT", "", "recall.stopped")
    await world.be.send()
    assert world.be.release(sent).state == "withdrawn"
    assert [row.type for row in world.fr.received()] == ["void"]


async def test_a_recall_that_has_only_its_number_is_withdrawn(world: World) -> None:
    """The same of a recall: the officer thought better of it, and a `void` goes in its lane."""
    (sent,) = await delivered(world, CLEAN[0])
    view = await recall(world.be, sent.message_id)
    await world.be.sealing.sequence(FR, await world.be.dispatcher._slots.heads(FR))
    assert (await prepare(world.be, view.message_id)).reasons[0].rule == "recall.stopped"
    await world.be.send()
    assert world.be.release(view).state == "withdrawn"
    assert (await inbox(world, sent.message_id)).recall is None


async def test_an_attempted_message_does_not_leave_again(world: World) -> None:
    """The answer to the first try was lost. The recalled message is looked up at the partner instead of sent again;
    where it never came, a `void` takes its number, and the recall is remembered."""
    (sent,) = await world.be.disclose(CLEAN[0])
    world.be.wire.script = ["lost"]
    await world.be.send()
    assert world.be.release(sent).state == "attempted"
    await recall(world.be, sent.message_id, "expired")
    world.clock.advance(seconds=600)
    await world.be.send()
    assert world.be.release(sent).state == "withdrawn"
    assert sorted(row.type for row in world.fr.received()) == ["recall", "void"]
    (row,) = world.fr.rows(RecallRow)
    assert (row.partner, row.message_id, row.action) == (BE, sent.message_id, "expired")


async def test_an_attempted_message_that_came(world: World) -> None:
    """The same, and it had come: it counts as delivered, and stands recalled in the partner's inbox."""
    (sent,) = await world.be.disclose(CLEAN[0])
    world.be.wire.script = ["answer-lost"]
    await world.be.send()
    await recall(world.be, sent.message_id)
    world.clock.advance(seconds=600)
    await world.be.send()
    assert world.be.release(sent).state == "delivered"
    assert (await inbox(world, sent.message_id)).recall is not None


async def test_what_is_denied_is_recorded_and_says_why(world: World) -> None:
    """Twice, of a recall, replaced by itself or by what never left: each its reason, nothing frozen."""
    first, second = await delivered(world, CLEAN[0], CLEAN[1])
    (waiting,) = await world.be.disclose(CLEAN[2])
    view = await recall(world.be, first.message_id)
    assert rules(await prepare(world.be, first.message_id)) == ["recall.once"]
    assert "recall.content" in rules(await prepare(world.be, view.message_id))
    for by in (second.message_id, waiting.message_id, view.message_id):
        assert rules(await prepare(world.be, second.message_id, "replaced", by)) == ["recall.replacement"]
    assert len(world.be.rows(ReleaseRow, type="recall")) == 1


async def test_what_cannot_be_asked(world: World) -> None:
    """Unknown messages and actions, and a replacement without its action, are the caller's fault; so is a release id,
    which is not what the officer's signature would be about."""
    (sent,) = await delivered(world, CLEAN[0])
    for message in (UNKNOWN, sent.release):
        with pytest.raises(NotFound):
            await prepare(world.be, message)
    for action, by in (("deleted", ""), ("replaced", ""), ("withdrawn", UNKNOWN)):
        with pytest.raises(RequestInvalid):
            await prepare(world.be, sent.message_id, action, by)


async def test_only_the_officer_who_asked_signs(world: World) -> None:
    """Another officer's endorsement, one of another act, or one over another statement queues nothing."""
    first, second = await delivered(world, CLEAN[0], CLEAN[1])
    view = await prepare(world.be, first.message_id)
    other = await prepare(world.be, second.message_id)
    params = calls.Endorsed((view.release,), world.be.endorse("be-approver", "request", [view.statement]))
    with pytest.raises(RoleMissing):
        await world.be.call("be-approver", "recalls/endorse", params)
    for act, statement in (("approve", view.statement), ("request", other.statement)):
        token = world.be.endorse("be-requester", act, [statement])
        with pytest.raises(RoleMissing):
            await world.be.call("be-requester", "recalls/endorse", calls.Endorsed((view.release,), token))
    assert world.be.rows(RecallRow) == []
    with pytest.raises(Conflict):
        await world.be.call("be-approver", "releases/show", calls.Named(view.release))


async def test_a_second_recall_after_the_first_ended(world: World) -> None:
    """One that was cancelled in the queue counts for nothing: neither against another, nor against the message."""
    (sent,) = await delivered(world, CLEAN[0])
    first = await recall(world.be, sent.message_id)
    await world.be.call("be-requester", "releases/cancel", calls.Ended(first.release, "synthetic"))
    await world.be.send()
    assert (await inbox(world, sent.message_id)).recall is None
    await recall(world.be, sent.message_id, "expired")
    await world.be.send()
    item = await inbox(world, sent.message_id)
    assert item.recall is not None
    assert item.recall.action == "expired"


async def test_a_suspended_officer_recalls_nothing(world: World) -> None:
    """What was signed by who is suspended since does not leave, and leaves no trace."""
    (sent,) = await delivered(world, CLEAN[0])
    view = await recall(world.be, sent.message_id, officer="be-only-approver")
    officer = world.be.gateway.directory.officers["be-only-approver"]
    gone = msgspec.structs.replace(officer, suspended=True, version=officer.version + 1)
    await world.be.change("officer", officer.id, canonical(gone))
    await world.be.send()
    assert (world.be.release(view).state, world.be.release(view).reason) == ("voided", "endorsement.in-force")
    assert (await inbox(world, sent.message_id)).recall is None


async def test_the_partner_still_holds_it(world: World) -> None:
    """A recall frees no quota: what was given is held until somebody knows otherwise."""
    (sent,) = await delivered(world, CLEAN[0])
    before = world.be.rows(ReservationRow)
    await recall(world.be, sent.message_id)
    await world.be.send()
    assert world.be.rows(ReservationRow) == before != []


# --- the receiving side ----------------------------------------------------------------------------------------------


async def test_recall_before_message(world: World) -> None:
    """The message comes after its recall: accepted as ever, and marked from the start."""
    (sent,) = await world.be.disclose(CLEAN[0])
    world.be.wire.script = ["lost"]
    await world.be.send()
    late = world.be.wire.batches[-1]
    await recall(world.be, sent.message_id)
    await world.be.send()
    assert [row.type for row in world.fr.received()] == ["recall"]
    await world.fr.intake.accept(BE, late)
    item = await inbox(world, sent.message_id)
    assert item.recall is not None
    assert item.recall.action == "withdrawn"


async def test_a_recall_is_of_its_sender_alone(world: World) -> None:
    """A partner can mark its own messages only: the mark is under its name."""
    (sent,) = await delivered(world, CLEAN[0])
    await recall(world.be, sent.message_id)
    await world.be.send()
    (row,) = world.fr.rows(RecallRow)
    assert (row.direction, row.partner, row.message_id) == ("in", BE, sent.message_id)


async def test_said_twice_it_is_one(world: World) -> None:
    """The batch arrives two times: one message, one mark, the same receipt, nothing quarantined."""
    (sent,) = await delivered(world, CLEAN[0])
    world.be.wire.script = ["twice"]
    await recall(world.be, sent.message_id)
    await world.be.send()
    assert len(world.fr.rows(RecallRow)) == 1
    assert len([row for row in world.fr.received() if row.type == "recall"]) == 1
    assert world.fr.rows(QuarantineRow) == []


async def test_the_officer_decides(world: World) -> None:
    """Content stays and is shown until the answer is done; kept may become done, done is for good; repeatable."""
    (sent,) = await delivered(world, CLEAN[0])

    async def answer(what: Any) -> None:
        await world.fr.call("fr-inbox", "inbox/recall", calls.AnswerRecall(sent.message_id, what))

    with pytest.raises(NotFound):
        await answer("done")
    await recall(world.be, sent.message_id)
    await world.be.send()
    for _ in range(2):
        await answer("kept")
    shown: calls.InboxView = await world.fr.call("fr-inbox", "inbox/show", calls.Named(sent.message_id))
    assert shown.item.recall is not None
    assert shown.item.recall.answer == "kept"
    assert shown.payload == sent.payload
    for _ in range(2):
        await answer("done")
    with pytest.raises(Conflict):
        await world.fr.call("fr-inbox", "inbox/show", calls.Named(sent.message_id))
    with pytest.raises(Conflict):
        await answer("kept")
    trace = await world.fr.call("fr-inbox", "messages/trace", calls.Named(sent.message_id))
    assert (trace.steps[-1].what, trace.steps[-1].by) == ("recall answered: done", "fr-inbox")


async def test_another_action_asks_again(world: World) -> None:
    """The newest action counts and is a new question; after done there is nothing left to ask."""
    first, second = await delivered(world, CLEAN[0], CLEAN[1])
    for sent, said, left in ((first, "kept", ""), (second, "done", "done")):
        await recall(world.be, sent.message_id)
        await world.be.send()
        params = calls.AnswerRecall(sent.message_id, said)  # type: ignore[arg-type]
        await world.fr.call("fr-inbox", "inbox/recall", params)
        (mark,) = world.be.rows(RecallRow, message_id=sent.message_id)
        await forget(world.be, mark)
        await recall(world.be, sent.message_id, "expired")
        await world.be.send()
        item = await inbox(world, sent.message_id)
        assert item.recall is not None
        assert (item.recall.action, item.recall.answer) == ("expired", left)


async def test_lanes_are_left_empty(world: World) -> None:
    """Nothing of a delivered recall waits."""
    (sent,) = await delivered(world, CLEAN[0])
    await recall(world.be, sent.message_id)
    await world.be.send()
    assert {lane.queued for lane in world.be.rows(LaneRow)} == {0}
    assert {row.state for row in world.be.rows(OutboxRow)} == {"delivered"}


async def forget(side: Side, mark: RecallRow) -> None:
    """Take the sender's own mark away, as if another program of its had sent the first recall."""
    await side.store.write(lambda tx: tx.delete(RecallRow, {"message_id": mark.message_id}))

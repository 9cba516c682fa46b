"""Corrections over two gateways: ids and codes leave on one officer's word; the receiver's officer carries them out."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import Conflict, NotFound, RequestInvalid, RoleMissing
from gateway.service import calls
from gateway.service.calls.corrections import CorrectMessage
from gateway.service.calls.notices import ListNotices, NoticePrepared, NoticeView, PrepareNotice, RemoveRecord
from gateway.wire.ct_json import CtJson
from tests.service.test_recall import delivered, inbox, rules
from tests.service.world import CLEAN, Side, World, opened


async def prepare(side: Side, message: str, officer: str = "be-requester", **members: Any) -> Any:
    asked = {"action": "withdrawn", "reason": "inaccurate", "justification": "synthetic"} | members
    return await side.call(officer, "corrections/prepare", CorrectMessage(message, **asked))


async def correct(side: Side, message: str, officer: str = "be-requester", **members: Any) -> Any:
    """C1 and its one endorsement."""
    view = await prepare(side, message, officer, **members)
    assert view.effect == "PERMIT", [reason.rule for reason in view.reasons]
    token = side.endorse(officer, "request", [view.statement])
    await side.call(officer, "corrections/endorse", calls.Endorsed((view.release,), token))
    return view


@pytest.mark.parametrize("officer", ["be-requester", "be-approver"])
async def test_from_one_side_to_the_other(world: World, officer: str) -> None:
    """The partner gets ids and two codes; its officer sees what was corrected and why, says that it is done, and what
    was withdrawn is not shown any more. Both traces tell it, and both logs verify."""
    (sent,) = await delivered(world, CLEAN[0])
    view = await correct(world.be, sent.message_id, officer)
    await world.be.send()
    assert world.be.release(view).state == "delivered"
    item = await inbox(world, sent.message_id)
    assert item.correction == calls.CorrectionView("withdrawn", "inaccurate", "", world.clock.now())
    assert item.recall is None
    await world.fr.call("fr-inbox", "inbox/show", calls.Named(sent.message_id))
    for _ in range(2):
        await world.fr.call("fr-inbox", "inbox/corrected", calls.Named(sent.message_id))
    mark = (await inbox(world, sent.message_id)).correction
    assert mark is not None
    assert mark.answer == "done"
    with pytest.raises(Conflict, match="not shown any more"):
        await world.fr.call("fr-inbox", "inbox/show", calls.Named(sent.message_id))
    theirs = await world.fr.call("fr-inbox", "messages/trace", calls.Named(sent.message_id))
    assert [step.what for step in theirs.steps][-2:] == [
        "corrected (withdrawn, inaccurate)", "correction carried out"
    ]  # fmt: skip
    for side in (world.be, world.fr):
        ledger = side.gateway.ledger
        await side.gateway.checkpoint_logs([ledger.master, ledger.of_partner(side.partner)])
        assert {verdict.status for verdict in side.verdicts()} == {"verified"}


async def test_nothing_but_ids_and_codes(world: World) -> None:
    """The bytes hold the envelope and four members; the justification stays, and no label, record or text is there."""
    first, second = await delivered(world, CLEAN[0], CLEAN[1])
    view = await correct(
        world.be,
        first.message_id,
        action="replaced",
        reason="outdated",
        replaced_by=second.message_id,
        justification="Zzemo Exemple",
    )
    await world.be.send()
    (message,) = opened(world, world.be.wire.batches[-1])
    said = CtJson().parse(message.payload)
    assert (said.label, said.handling, said.records, said.recall) == (None, None, (), None)
    assert b"Zzemo" not in message.payload
    assert said.correction is not None
    assert said.correction.replaced_by == second.message_id
    assert (message.header.seq, message.header.conv) == (1, view.conversation)


async def test_a_restriction_leaves_the_message_in_view(world: World) -> None:
    """What is only restricted stays to be read, with its mark, after the officer has carried it out; a later withdrawal
    is a question of its own."""
    (sent,) = await delivered(world, CLEAN[0])
    await correct(world.be, sent.message_id, action="restricted")
    await world.be.send()
    await world.fr.call("fr-inbox", "inbox/corrected", calls.Named(sent.message_id))
    shown = await world.fr.call("fr-inbox", "inbox/show", calls.Named(sent.message_id))
    assert (shown.item.correction.action, shown.item.correction.answer) == ("restricted", "done")


async def test_what_is_no_message_of_ours_or_did_not_leave(world: World) -> None:
    """A message that was never attempted, one in its place that is not there, and the same twice are denied or refused;
    so is one that the partner sent."""
    (waiting,) = await world.be.disclose(CLEAN[1])
    assert rules(await prepare(world.be, waiting.message_id)) == ["recall.sent"]
    (sent,) = await delivered(world, CLEAN[0])
    with pytest.raises(RequestInvalid, match="replaced"):
        await prepare(world.be, sent.message_id, action="replaced")
    with pytest.raises(NotFound):
        await prepare(world.be, "11111111-1111-4111-8111-111111111111")
    await correct(world.be, sent.message_id)
    assert rules(await prepare(world.be, sent.message_id, reason="unlawful")) == ["correction.once"]
    with pytest.raises(NotFound):
        await world.fr.call("fr-inbox", "inbox/corrected", calls.Named(sent.message_id))


async def test_another_officers_signature(world: World) -> None:
    """Who did not prepare it does not send it."""
    (sent,) = await delivered(world, CLEAN[0])
    view = await prepare(world.be, sent.message_id)
    token = world.be.endorse("be-approver", "request", [view.statement])
    with pytest.raises(RoleMissing):
        await world.be.call("be-approver", "corrections/endorse", calls.Endorsed((view.release,), token))


async def test_a_correction_before_its_message(world: World) -> None:
    """The mark is kept for a message that comes later, as a recall's is."""
    (sent,) = await delivered(world, CLEAN[0])
    await correct(world.be, sent.message_id, reason="unlawful")
    await world.be.send()
    items: list[calls.InboxItem] = await world.fr.call("fr-inbox", "inbox/list", calls.Page())
    assert {one.type for one in items} == {"disclosure", "correction"}


async def test_false_data_is_corrected_with_its_reason(world: World) -> None:
    """A record deleted as false makes a duty; it is seen to by a correction that says inaccurate, and is then done."""
    (sent,) = await delivered(world, CLEAN[0])
    await world.be.call("be-requester", "records/remove", RemoveRecord(CLEAN[0], "false", "synthetic"))
    (notice,) = await world.be.call("be-requester", "notices/list", ListNotices(duty="must"))
    made: NoticePrepared = await world.be.call(
        "be-requester", "notices/prepare", PrepareNotice(notice.id, correct=True)
    )
    assert (made.what, made.action, made.reason) == ("correction", "withdrawn", "inaccurate")
    token = world.be.endorse("be-requester", "request", [made.view.statement])
    await world.be.call("be-requester", "corrections/endorse", calls.Endorsed((made.view.release,), token))
    await world.be.send()
    item = await inbox(world, sent.message_id)
    assert item.correction is not None
    assert (item.correction.action, item.correction.reason) == ("withdrawn", "inaccurate")
    left: list[NoticeView] = await world.be.call("be-requester", "notices/list", ListNotices(duty="must"))
    assert left == []

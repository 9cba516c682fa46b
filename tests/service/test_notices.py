"""What changed after it was shared, through the desk: found, listed, prepared, and seen to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from adapters.records.synthetic import persons
from gateway.errors import Conflict, NotFound, RequestInvalid, RoleMissing, SignerUnavailable
from gateway.flow.change import canonical
from gateway.model.rows import BodyRow, EntryRow, LookRow, NoticeRow, RecordRow
from gateway.service import calls
from gateway.service.calls.notices import (
    ListNotices,
    NoticePrepared,
    NoticeView,
    PrepareNotice,
    RemoveRecord,
)
from gateway.service.imports import handle_of
from gateway.wire.ct_json import CtJson
from tests.service.asking import answer, ask, asked_line, sign, to_slot
from tests.service.test_note import write
from tests.service.test_recall import delivered, inbox
from tests.service.world import CLEAN, KIND, World, opened

NAME = CLEAN[0]


def person(world: World, name: str = NAME) -> dict[str, Any]:
    """The person's line of an extract made now, otherwise as it was."""
    number = int(name.removeprefix("BDC-"))
    line: dict[str, Any] = list(persons(number, 1, world.clock.now()))[-1]
    return line


async def changed(world: World, name: str = NAME, **content: Any) -> None:
    """An hour later an extract comes that says something else (None: nothing any more) of these members."""
    world.clock.advance(seconds=3600)
    line = person(world, name)
    line["content"] |= {member: value for member, value in content.items() if value is not None}
    for member in [member for member, value in content.items() if value is None]:
        del line["content"][member]
    await load(world, line)


async def load(world: World, line: dict[str, Any]) -> calls.Imported:
    raw = json.dumps(line, ensure_ascii=False).encode() + b"\n"
    imported: calls.Imported = await world.be.call(
        "be-requester", "records/import", calls.ImportChunk(KIND, 1, raw)
    )
    assert not imported.bad
    return imported


async def listed(world: World, officer: str = "be-requester", **wanted: Any) -> list[NoticeView]:
    found: list[NoticeView] = await world.be.call(officer, "notices/list", ListNotices(**wanted))
    return found


async def prepare(world: World, notice: str, **how: Any) -> NoticePrepared:
    """Prepare, and sign what was prepared as the command does."""
    done: NoticePrepared = await world.be.call(
        "be-requester", "notices/prepare", PrepareNotice(notice, **how)
    )
    if done.view.release:
        way = {"recall": "recalls", "correction": "corrections"}.get(done.what, "releases")
        token = world.be.endorse("be-requester", "request", [done.view.statement])
        await world.be.call("be-requester", f"{way}/endorse", calls.Endorsed((done.view.release,), token))
    return done


def threat(world: World, level: int) -> dict[str, Any]:
    return {**person(world)["content"]["threat"], "level": level}


# --- found -----------------------------------------------------------------------------------------------------------


async def test_nothing_changed(world: World) -> None:
    """A newer extract that says the same makes a version, and nothing that anybody must be told."""
    await delivered(world, NAME)
    await changed(world)
    assert [row.version for row in world.be.rows(RecordRow, latest=True, handle=_handle(world))] == [2]
    assert await listed(world) == []


async def test_a_lowered_level_must_be_told_within_the_house_clock(world: World) -> None:
    """The row is there with the import, before anybody asks; it is due in 24 h, and overdue after."""
    (sent,) = await delivered(world, NAME)
    await changed(world, threat=threat(world, 1))
    (row,) = world.be.rows(NoticeRow)
    assert (row.state, row.duty, row.changes, row.message_id) == (
        "open", "must", ("level-lowered /threat",), sent.message_id
    )  # fmt: skip
    (one,) = await listed(world, duty="must")
    assert (one.due, one.overdue) == (world.clock.now() + timedelta(hours=24), False)
    world.clock.advance(seconds=24 * 3600)
    (one,) = await listed(world)
    assert one.overdue


async def test_a_raised_level_may_be_told(world: World) -> None:
    """An update may be sent; it is not due."""
    await delivered(world, NAME)
    await changed(world, threat=threat(world, 4))
    (one,) = await listed(world, duty="may")
    assert (one.changes, one.due, one.overdue) == (("level-raised /threat",), None, False)
    assert await listed(world, duty="must") == []


async def test_without_a_house_clock_it_is_overdue(world: World) -> None:
    """No setting: the time is undetermined, and shown as overdue from the start, never as nothing to do."""
    await delivered(world, NAME)
    settings = msgspec.structs.replace(world.be.gateway.directory.settings, notice_hours=None)
    await world.be.change("settings", "release", canonical(settings))
    await changed(world, threat=threat(world, 1))
    (one,) = await listed(world)
    assert (one.due, one.overdue) == (None, True)


async def test_a_withheld_value_that_changed_is_nothing(world: World) -> None:
    """Invariant 6: class B, C and X members and what the policy held back may change; no row, and nothing leaves."""
    await delivered(world, NAME)
    before = len(world.be.wire.batches)
    await changed(world, national_number="99990009999", financial={"summary": "other"}, health={"text": "x"})
    assert await listed(world) == []
    assert world.be.rows(NoticeRow) == []
    await world.be.send()
    assert len(world.be.wire.batches) == before


async def test_a_record_that_was_purged_and_comes_back_otherwise(world: World) -> None:
    """Purged when its time was over: it says what it said last. Imported again with another level, it is compared."""
    await delivered(world, NAME)
    world.clock.advance(seconds=8 * 86_400)
    await world.be.call("be-requester", "records/purge", calls.Empty())
    assert world.be.rows(RecordRow, handle=_handle(world)) == []
    assert await listed(world) == []
    await changed(world, threat=threat(world, 1))
    assert [row.changes for row in world.be.rows(NoticeRow)] == [("level-lowered /threat",)]


async def test_a_new_record_costs_no_comparison(world: World) -> None:
    """Nothing of it can have left, so no mark is made."""
    await changed(world, "BDC-000500")
    assert world.be.rows(RecordRow, handle=handle_of(world.be.home.keys.index(b"BDC-000500")))
    assert world.be.rows(LookRow) == []


async def test_what_had_not_left_is_nothing(world: World) -> None:
    """A release that waits is voided by its own look; nobody was told anything."""
    await world.be.request(NAME)
    await changed(world, threat=threat(world, 1))
    assert await listed(world) == []


async def test_an_embargo_must_be_told_and_its_end_ends_it(world: World) -> None:
    """Placed: everything that left of the subject. A mark of the lift ends what nobody has prepared."""
    await delivered(world, NAME)
    placed = await world.be.call("be-requester", "embargoes/add", calls.PlaceEmbargo(NAME, b"synthetic"))
    (one,) = await listed(world)
    assert one.changes == ("embargo",)
    document = canonical({"embargo": placed["embargo"], "authority_sha256": "0" * 64})
    await world.be.change("embargo-lift", placed["embargo"], document)
    assert await listed(world) == []
    assert [row.state for row in world.be.rows(NoticeRow)] == ["superseded"]


async def test_an_embargo_on_a_person_only_mentioned_is_found_by_the_walk(world: World) -> None:
    """A note that mentions the person has left; it could not leave today."""
    note = await write(world.be, 1, "expect him in Lille", NAME)
    (sent,) = await delivered(world, note)
    await world.be.call("be-requester", "embargoes/add", calls.PlaceEmbargo(NAME, b"synthetic"))
    await world.be.desk.notices.round()
    (row,) = world.be.rows(NoticeRow)
    assert (row.message_id, row.changes) == (sent.message_id, ("embargo",))


async def test_every_past_recipient_and_message(world: World) -> None:
    """Two messages about one person: both are listed for what must be told, and an alias for the newest alone."""
    first, second = await delivered(world, NAME, NAME)
    names = person(world)["content"]["names"]
    alias = {"type": "alias", "text": "Zz Autre", "script": "Latn", "quality": "low"}
    await changed(world, names=[*names, alias])
    assert [one.message_id for one in await listed(world)] == [second.message_id]
    await changed(world, names=[*names, alias], sex="X")
    assert {one.message_id for one in await listed(world, duty="must")} == {
        first.message_id,
        second.message_id,
    }


async def test_another_change_keeps_the_first_hour(world: World) -> None:
    """What must be told twice over is due when the first was; the row before is superseded."""
    await delivered(world, NAME)
    await changed(world, threat=threat(world, 1))
    (first,) = await listed(world)
    await changed(world, threat=threat(world, 1), sex="X")
    (second,) = await listed(world)
    assert second.changes == ("changed /sex", "level-lowered /threat")
    assert (second.since, second.due) == (first.since, first.due)
    assert [row.id for row in world.be.rows(NoticeRow, state="superseded")] == [first.id]


async def test_back_to_what_it_was(world: World) -> None:
    """The extract after says again what left: nothing is owed any more."""
    await delivered(world, NAME)
    await changed(world, threat=threat(world, 1))
    await changed(world)
    assert await listed(world) == []
    assert [one.state for one in await listed(world, state="superseded")] == ["superseded"]


async def test_time_alone_is_found_by_the_walk(world: World) -> None:
    """Nothing is imported; the keeper's round finds that the evaluation has expired, and ends its walk."""
    await delivered(world, NAME)
    world.clock.advance(seconds=200 * 86_400)
    await world.be.desk.notices.round()
    (row,) = world.be.rows(NoticeRow)
    assert (row.duty, row.changes) == ("must", ("expired /threat",))


async def test_a_mark_outlives_a_signer_that_is_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The import is answered; the comparison waits, and the next look makes it."""
    await delivered(world, NAME)
    world.be.vault._cache.clear()

    async def away(wrapped: Sequence[bytes]) -> list[bytes]:
        raise SignerUnavailable("the signer does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(world.be.signer, "unwrap", away)
        await changed(world, threat=threat(world, 1))
    assert world.be.rows(LookRow)
    assert world.be.rows(NoticeRow) == []
    assert len(await listed(world)) == 1
    assert world.be.rows(LookRow) == []


# --- who sees it -----------------------------------------------------------------------------------------------------


async def test_need_to_know_and_clearance(world: World) -> None:
    """Without need to know nothing is listed and nothing can be prepared; the read of who saw it is an entry."""
    await delivered(world, NAME)
    await changed(world, threat=threat(world, 1))
    assert await listed(world, "be-stranger") == []
    (one,) = await listed(world)
    with pytest.raises(NotFound):
        await world.be.call("be-stranger", "notices/prepare", PrepareNotice(one.id))
    entries = [msgspec.json.decode(row.entry) for row in world.be.rows(EntryRow)]
    assert [entry["actor"] for entry in entries if entry.get("event") == "read"][-2:] == [
        "be-stranger", "be-requester"
    ]  # fmt: skip
    assert "notice" in {entry.get("event") for entry in entries}


# --- prepared --------------------------------------------------------------------------------------------------------


async def test_a_lowered_level_is_disclosed_anew_and_the_old_message_replaced(world: World) -> None:
    """First the record as it is today, by two persons; then the recall names it. The partner has both, and the change
    is done."""
    (sent,) = await delivered(world, NAME)
    await changed(world, threat=threat(world, 1))
    (one,) = await listed(world)
    disclosure = await prepare(world, one.id)
    assert (disclosure.what, disclosure.view.effect) == ("disclosure", "PERMIT")
    assert disclosure.view.conversation == sent.conversation
    (waiting,) = await listed(world)
    assert (waiting.state, waiting.prepared, waiting.waits_for) == (
        "prepared", disclosure.view.release, "awaiting-approval"
    )  # fmt: skip
    with pytest.raises(Conflict):
        await prepare(world, one.id)
    await world.be.approve(disclosure.view)
    await world.be.send()
    recall = await prepare(world, one.id)
    assert (recall.what, recall.action, recall.replaced_by) == (
        "recall", "replaced", disclosure.view.message_id
    )  # fmt: skip
    await world.be.send()
    item = await inbox(world, sent.message_id)
    assert item.recall is not None
    assert item.recall.replaced_by == disclosure.view.message_id
    assert await listed(world) == []
    assert [one.state for one in await listed(world, state="done")] == ["done"]


async def test_what_can_stand_nowhere_is_withdrawn(world: World) -> None:
    """An archived file is history: a recall, ids and a code, and nothing in its place."""
    (sent,) = await delivered(world, NAME)
    await changed(world, status={"archived": True, "judicial_information": False, "card": "information-card"})
    (one,) = await listed(world)
    done = await prepare(world, one.id)
    assert (done.what, done.action) == ("recall", "withdrawn")
    await world.be.send()
    (message,) = opened(world, world.be.wire.batches[-1])
    said = CtJson().parse(message.payload)
    assert said.recall is not None
    assert (said.recall.recalls, said.records) == (sent.message_id, ())
    assert await listed(world) == []


@pytest.mark.parametrize("correct", [False, True])
async def test_what_may_not_be_there_in_any_part_is_withdrawn(world: World, correct: bool) -> None:
    """Labels raised until nothing of the record may leave to that partner: a recall, or a correction, at once."""
    (sent,) = await delivered(world, NAME)
    world.clock.advance(seconds=3600)
    line = person(world)
    await load(world, line | {"label": line["label"] | {"releasable_to": []}})
    (one,) = await listed(world)
    assert one.duty == "must"
    done = await prepare(world, one.id, correct=correct)
    assert (done.what, done.action) == ("correction" if correct else "recall", "withdrawn")
    assert (done.view.effect, done.message_id) == ("PERMIT", sent.message_id)
    await world.be.send()
    assert await listed(world) == []


async def test_withdrawn_without_anything_in_its_place(world: World) -> None:
    """The officer may rather withdraw; an update withdraws nothing."""
    await delivered(world, NAME)
    await changed(world, threat=threat(world, 1))
    (one,) = await listed(world)
    done = await prepare(world, one.id, withdraw=True)
    assert (done.what, done.action) == ("recall", "withdrawn")
    assert await listed(world) == []
    await delivered(world, NAME)
    await changed(world, threat=threat(world, 4))
    (may,) = await listed(world)
    with pytest.raises(RequestInvalid):
        await prepare(world, may.id, withdraw=True)


async def test_an_update_is_done_once_it_has_left(world: World) -> None:
    """A raised level: one disclosure, no recall."""
    await delivered(world, NAME)
    await changed(world, threat=threat(world, 4))
    (one,) = await listed(world)
    done = await prepare(world, one.id)
    assert done.what == "disclosure"
    await world.be.approve(done.view)
    await world.be.send()
    assert await listed(world) == []


async def test_a_denied_disclosure_leaves_the_change_open(world: World) -> None:
    """The reasons come back; nothing is prepared, and the old message is still false."""
    await delivered(world, NAME)
    await changed(world, threat=threat(world, 1))
    world.clock.advance(seconds=2 * 86_400)
    (one,) = await listed(world)
    done = await prepare(world, one.id)
    assert (done.view.effect, done.view.release, done.duty) == ("DENY", "", "must")
    assert "extract.fresh" in {reason.rule for reason in done.view.reasons}
    assert [one.state for one in await listed(world)] == ["open"]


async def test_an_answer_is_corrected_unasked(world: World) -> None:
    """A request has its one answer already: the record of today goes as a disclosure, in the answer's conversation."""
    view = await answer(world, await ask(world, asked_line()), NAME)
    await sign(world.be, view)
    await to_slot(world)
    assert world.be.release(view).state == "delivered"
    await changed(world, sex="X")
    (one,) = await listed(world)
    assert (one.changes, one.message_id) == (("changed /sex",), view.message_id)
    done = await prepare(world, one.id)
    assert (done.what, done.view.effect, done.view.conversation) == (
        "disclosure", "PERMIT", view.conversation
    )  # fmt: skip
    await world.be.approve(done.view)
    await world.be.send()
    assert (await prepare(world, one.id)).replaced_by == done.view.message_id


async def test_an_expired_evaluation_is_recalled_as_expired(world: World) -> None:
    """The code says what became of it; the extract is far too old to disclose anything anew."""
    (sent,) = await delivered(world, NAME)
    world.clock.advance(seconds=200 * 86_400)
    await world.be.desk.notices.round()
    (one,) = await listed(world)
    done = await prepare(world, one.id, withdraw=True)
    assert (done.message_id, done.action) == (sent.message_id, "expired")


# --- deleted for cause -----------------------------------------------------------------------------------------------


async def test_false_data_is_deleted_and_recalled_from_every_recipient(world: World) -> None:
    """The versions and their keys are gone, a release that waited does not leave, each message is to be recalled, and
    the same extract brings nothing back."""
    first, second = await delivered(world, NAME, NAME)
    waiting = await world.be.request(NAME)
    handle = _handle(world)
    (held,) = world.be.rows(RecordRow, handle=handle)
    line = person(world)
    done = await world.be.call("be-requester", "records/remove", RemoveRecord(NAME, "false", "synthetic"))
    assert (done.record, done.versions) == (handle, 1)
    assert world.be.rows(RecordRow, handle=handle) == []
    assert world.be.rows(BodyRow, id=held.body) == []
    assert {one.changes for one in await listed(world, record=NAME)} == {("false",)}
    approved = await world.be.approve(waiting)
    assert [reason.rule for reason in approved.voided[waiting.release]] == ["record.unchanged"]
    for one in await listed(world):
        assert (await prepare(world, one.id)).action == "withdrawn"
    await world.be.send()
    for sent in (first, second):
        assert (await inbox(world, sent.message_id)).recall is not None
    assert (await load(world, line)).new == 0
    world.clock.advance(seconds=3600)
    assert (await load(world, {**person(world), "content": {**line["content"], "sex": "X"}})).new == 1


async def test_deleting_asks_for_need_to_know_and_a_reason(world: World) -> None:
    """Neither a stranger nor nobody's reason deletes anything."""
    with pytest.raises(RoleMissing):
        await world.be.call("be-stranger", "records/remove", RemoveRecord(NAME, "false", "synthetic"))
    with pytest.raises(RequestInvalid):
        await world.be.call("be-requester", "records/remove", RemoveRecord(NAME, "false", " "))
    assert len(world.be.rows(RecordRow, handle=_handle(world))) == 1


def _handle(world: World) -> str:
    """The record's handle, from the index that the signer keeps."""
    return handle_of(world.be.home.keys.index(NAME.encode()))

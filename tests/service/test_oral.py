"""What was said aloud: never refused, always counted, and flagged where it should not have been said."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from adapters.records.synthetic import extract
from gateway.errors import Conflict, NotFound, RequestInvalid, RoleMissing
from gateway.flow.change import digest
from gateway.model.agreement import Bulk
from gateway.model.case_rows import OralRow
from gateway.model.oral import OralDocument, Said
from gateway.model.rows import EntryRow, ReservationRow
from gateway.model.time import rfc3339
from gateway.service import calls
from gateway.service.calls.oral import (
    ConfirmOral,
    ConfirmStrike,
    OralPage,
    OralView,
    ProposeStrike,
    RecordOral,
)
from tests.service.commandline import Line
from tests.service.test_accumulation import agreed, prepare, rules
from tests.service.test_replay import replay
from tests.service.world import BASIS, BE, CLEAN, FR, KIND, NOW, PURPOSE, Side, World

SAID = Said(
    FR, ("/category", "/names/0"), NOW - timedelta(hours=1), "", "duty desk", PURPOSE, BASIS, "invented"
)


async def say(side: Side, record: str = CLEAN[0], by: str = "be-requester", **changes: Any) -> OralView:
    said = msgspec.structs.replace(SAID, **changes)
    view: OralView = await side.call(by, "oral/record", RecordOral(record, said))
    return view


def document_of(view: OralView) -> OralDocument:
    return msgspec.json.decode(view.document, type=OralDocument)


async def confirm(side: Side, view: OralView, by: str = "be-approver") -> Any:
    (row,) = side.rows(OralRow, id=view.item.id)
    return await side.call(by, "oral/confirm", ConfirmOral(row.id, row.sha256))


async def test_what_was_said_within_the_policy_counts_at_once(world: World) -> None:
    """Held from the first officer's word on, by its members and at the time it was said; a second has only seen it."""
    be = world.be
    view = await say(be)
    assert (view.item.breach, view.item.late, view.item.speaker) == (False, False, "be-requester")
    assert (document_of(view).effect, document_of(view).outside) == ("PERMIT", ())
    (row,) = be.rows(ReservationRow)
    assert (row.partner, row.origin, row.members, row.at) == (FR, "oral", ("category", "names"), SAID.at)
    done = await confirm(be, view)
    assert done.confirmed_by == "be-approver"
    assert be.rows(ReservationRow) == [row]
    with pytest.raises(Conflict):
        await confirm(be, view)


async def test_it_uses_up_the_quota_and_voids_what_waits(world: World) -> None:
    """A quota of one: told of one person, no other leaves, not even one that was approved already."""
    be = world.be
    await agreed(world, Bulk(records=1, days=30))
    (view,) = await be.disclose(CLEAN[1])
    await say(be)
    assert rules(await prepare(be, CLEAN[2])) == ["bdc.bulk"]
    await be.send()
    assert (be.release(view).state, be.release(view).reason) == ("voided", "bdc.bulk")


@pytest.mark.parametrize(
    ("changes", "effect", "outside", "rule"),
    [
        ({"fields": ("/category", "/national_number")}, "PERMIT", ("/national_number",), "class.C"),
        ({"purpose": "gossip"}, "DENY", SAID.fields, "agreement.covers"),
        ({"partner": "deu.police-demo"}, "DENY", SAID.fields, "partner.unknown"),
        ({"speaker": "be-only-inbox"}, "DENY", SAID.fields, "officer.role"),
    ],
)
async def test_what_should_not_have_been_said_is_recorded_as_a_breach(
    world: World, changes: dict[str, Any], effect: str, outside: tuple[str, ...], rule: str
) -> None:
    """With the fields that policy would have kept back, and why; it counts all the same."""
    be = world.be
    view = await say(be, **changes)
    document = document_of(view)
    assert (view.item.breach, document.effect, document.outside) == (True, effect, outside)
    assert rule in {reason.rule for reason in document.reasons}
    assert [row.partner for row in be.rows(ReservationRow)] == [document.said.partner]
    (listed,) = await be.call("be-only-reviewer", "oral/list", OralPage(breach=True))
    assert listed.id == view.item.id


async def test_an_embargo_refuses_no_record_of_what_was_said(world: World) -> None:
    """What happened, happened."""
    be = world.be
    await be.call("be-requester", "embargoes/add", calls.PlaceEmbargo(CLEAN[0], b"invented"))
    view = await say(be)
    assert [reason.rule for reason in document_of(view).reasons] == ["embargo"]
    assert len(be.rows(ReservationRow)) == 1


@pytest.mark.parametrize(("hours", "late"), [(24, False), (25, True)])
async def test_what_is_written_down_late_is_marked(world: World, hours: int, late: bool) -> None:
    """After the house clock, which is a day here; counted from when it was said."""
    view = await say(world.be, at=NOW - timedelta(hours=hours))
    assert (view.item.late, document_of(view).late) == (late, late)


@pytest.mark.parametrize("by", ["be-anna-again", "be-anna-and-operator", "be-stranger"])
async def test_the_second_person_is_another_who_may_approve(world: World, by: str) -> None:
    """Neither the recorder under another key, nor an operator, nor somebody without need to know."""
    view = await say(world.be)
    with pytest.raises(RoleMissing):
        await confirm(world.be, view, by)
    with pytest.raises(Conflict):
        await world.be.call("be-approver", "oral/confirm", ConfirmOral(view.item.id, "0" * 64))
    assert world.be.rows(OralRow)[0].confirmed_at is None


async def test_it_shows_in_trace_and_log_and_is_decided_again(world: World) -> None:
    """Who said it and when, what was found, who confirmed; the entries; and the decision for a replay."""
    be = world.be
    view = await say(be, purpose="gossip")
    await confirm(be, view)
    trace = await be.call("be-only-operator", "messages/trace", calls.Named(view.item.id))
    assert [(step.what, step.by) for step in trace.steps] == [
        ("said aloud", "be-requester"),
        ("recorded", "be-requester"),
        ("found outside the policy", "gateway"),
        ("confirmed", "be-approver"),
    ]
    entries = [json.loads(row.entry)["event"] for row in be.rows(EntryRow, origin=be.gateway.ledger.master)]
    assert entries[-3:] == ["decision", "oral", "oral"]
    found = await replay(be)
    assert (found.cases, found.gone, found.differences) == (1, 0, ())


async def test_it_survives_a_restart_and_a_void_of_something_else(world: World) -> None:
    """No release frees what was said."""
    be = world.be
    await say(be)
    (view,) = await be.disclose(CLEAN[0])
    await be.call("be-requester", "releases/cancel", calls.Ended(view.release, "invented"))
    await be.boot()
    assert [row.origin for row in be.rows(ReservationRow)] == ["oral"]


async def strike(side: Side, view: OralView, reason: str = "the other line", by: str = "be-requester") -> Any:
    return await side.call(by, "strikes/propose", ProposeStrike(view.item.id, reason))


async def struck(side: Side, view: OralView, reason: str = "the other line", by: str = "be-approver") -> Any:
    return await side.call(by, "strikes/confirm", ConfirmStrike(view.item.id, digest(reason.encode())))


async def test_what_was_recorded_by_mistake_counts_no_longer(world: World) -> None:
    """A quota of one is used up until two persons have struck the record; it stays, also over a restart."""
    be = world.be
    await agreed(world, Bulk(records=1, days=30))
    view = await say(be)
    assert (await strike(be, view)).strike == "proposed"
    assert rules(await prepare(be, CLEAN[2])) == ["bdc.bulk"]
    entries = len(be.rows(EntryRow))
    assert (await struck(be, view)).strike == "struck"
    assert (len(be.rows(EntryRow)), be.rows(ReservationRow)) == (entries + 1, [])
    await be.boot()
    assert (await prepare(be, CLEAN[2])).effect == "PERMIT"
    shown: OralView = await be.call("be-approver", "oral/show", calls.Named(view.item.id))
    assert (shown.document, shown.item.strike) == (view.document, "struck")
    assert shown.strike is not None
    assert (shown.strike.reason, shown.strike.confirmed_by) == ("the other line", "be-approver")
    trace = await be.call("be-only-operator", "messages/trace", calls.Named(view.item.id))
    assert (trace.state, [step.by for step in trace.steps][2:]) == ("struck", ["be-requester", "be-approver"])


async def test_what_another_disclosure_gave_still_counts(world: World) -> None:
    """The same person was told of twice, and one of the two was a mistake."""
    be = world.be
    view, other = await say(be), await say(be)
    await strike(be, view)
    await struck(be, view)
    assert [row.release for row in be.rows(ReservationRow)] == [other.item.id]


async def test_a_strike_is_of_the_reason_shown_and_happens_once(world: World) -> None:
    """Another reason than the one proposed last, nobody's proposal, the proposer's other key, a stranger: refused."""
    be = world.be
    view = await say(be)
    with pytest.raises(NotFound):
        await struck(be, view)
    await strike(be, view, "first")
    await strike(be, view, "second", by="be-approver")
    with pytest.raises(Conflict):
        await struck(be, view, "first", by="be-only-approver")
    for by in ("be-approver", "be-stranger", "be-anna-and-operator"):
        with pytest.raises(RoleMissing):
            await struck(be, view, "second", by=by)
    with pytest.raises(RequestInvalid):
        await strike(be, view, " ")
    assert len(be.rows(ReservationRow)) == 1
    await struck(be, view, "second", by="be-only-approver")
    for again in (struck(be, view, "second", by="be-only-approver"), strike(be, view), confirm(be, view)):
        with pytest.raises(Conflict):
            await again


HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "no fields": ({"fields": ()}, "fields"),
    "a field twice": ({"fields": ("/category", "/category")}, "fields"),
    "a field that is not there": ({"fields": ("/names/99",)}, "fields"),
    "everything": ({"fields": ("/*",)}, "fields"),
    "too many fields": ({"fields": tuple(f"/names/{n}" for n in range(65))}, "fields"),
    "to nobody": ({"partner": ""}, "partner"),
    "to something": ({"partner": "../etc"}, "partner"),
    "to ourselves": ({"partner": BE}, "partner"),
    "by a stranger": ({"speaker": "nobody"}, "speaker"),
    "to no office": ({"told": " "}, "told"),
    "for nothing": ({"purpose": ""}, "purpose"),
    "on no basis": ({"legal_basis": ""}, "legal_basis"),
    "for no reason": ({"justification": ""}, "justification"),
    "a long story": ({"justification": "x" * 2001}, "justification"),
    "tomorrow": ({"at": NOW + timedelta(days=1)}, "at"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_what_tells_too_little_is_refused(world: World, name: str) -> None:
    """Before anything is kept; the error names the field."""
    changes, field = HOSTILE[name]
    with pytest.raises(RequestInvalid) as caught:
        await say(world.be, **changes)
    assert caught.value.diagnostic == {"field": field}
    assert (world.be.rows(OralRow), world.be.rows(ReservationRow)) == ([], [])


async def test_who_may_not_know_records_nothing(world: World) -> None:
    """Neither without need to know, nor of a record or under an id that is not."""
    be = world.be
    with pytest.raises(RoleMissing):
        await say(be, by="be-stranger")
    with pytest.raises(NotFound):
        await say(be, "BDC-999999")
    with pytest.raises(NotFound):
        await be.call("be-approver", "oral/show", calls.Named("none"))
    assert be.rows(OralRow) == []


async def test_nothing_of_it_stands_in_the_clear(world: World) -> None:
    """Neither what, nor to whom there, nor why."""
    await say(world.be, justification="zzcanary", told="zzcanary")
    text = repr([*world.be.rows(OralRow), *world.be.rows(EntryRow)])
    assert "zzcanary" not in text
    assert "/names/0" not in text


async def test_on_the_command_line(line: Line) -> None:
    """Exit code 0 within the policy and 1 for a breach, with its rule; confirmed by another; listed."""
    be, now = line.world.be, line.world.clock.now()
    await be.call("be-requester", "records/import", calls.ImportChunk(KIND, 1, extract(20, 1, now)))
    words = ["oral", "record", CLEAN[0], "--to", FR, "--at", rfc3339(now), "--told", "desk", "--basis", BASIS]
    words += ["--justification", "invented", "--field", "/category"]
    code, first = await line.run("be-requester", *words, "--purpose", PURPOSE)
    assert (code, first["breach"]) == (0, False)
    code, second = await line.run("be-requester", *words, "--purpose", "gossip")
    assert (code, second["breach"], second["outside"]) == (1, True, ["/category"])
    assert (await line.run("be-requester", "oral", "confirm", second["id"], "--yes"))[0] == 2
    assert (await line.run("be-approver", "oral", "confirm", second["id"], "--yes"))[0] == 0
    code, listed = await line.run("be-approver", "oral", "list", "--unconfirmed")
    assert [one["id"] for one in listed["oral"]] == [first["id"]]
    code, answer = await line.run(
        "be-requester", *words[:5], "--at", "noon", *words[7:], "--purpose", PURPOSE
    )
    assert (code, answer["error"]["diagnostic"]) == (2, {"field": "at"})
    code, traced = await line.run("be-approver", "trace", second["id"])
    assert (code, traced["message_id"]) == (0, "")
    code, shown = await line.run("be-approver", "oral", "show", second["id"])
    assert shown["document"]["said"]["told"] == "desk"

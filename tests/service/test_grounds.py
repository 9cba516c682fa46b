"""Grounds: of no effect until a second person confirms them, and of none any more once one withdraws them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from adapters.records.synthetic import extract
from gateway.errors import Conflict, NotFound, RequestInvalid, RoleMissing
from gateway.model.case_rows import GroundRow, GroundUseRow
from gateway.model.decision import DecisionDocument
from gateway.model.ground import Authorisation, Consent, GroundDocument, TransferDerogation
from gateway.model.rows import EntryRow, ReleaseRow
from gateway.policy.context import Transfer
from gateway.service import calls
from gateway.service.calls.grounds import ConfirmGround, GroundsPage, GroundView, RecordGround, WithdrawGround
from gateway.service.calls.notices import ListNotices
from gateway.service.contents import ReleaseBody
from tests.service.commandline import Line
from tests.service.test_accumulation import configured
from tests.service.test_replay import replay
from tests.service.world import BASIS, BE, CLEAN, FR, KIND, NOW, PURPOSE, Side, World

#: An alias of the first person came from another service of the state, without consent toward anybody.
EXEMPLAR, ALIAS, SUPPLIER = "BDC-000001", "/names/2", "bel.vsse"
#: The first of the synthetic persons with judicial information.
JUDICIAL = "BDC-000077"

CONSENT = Consent(SUPPLIER, (FR,), (PURPOSE,), ("*",), "2026-12-31", "telephone", "duty desk", NOW)
AUTHORISATION = Authorisation("an invented prosecutor", "FD-2026-1", "a" * 64, (FR,), "2026-12-31")
DEROGATION = TransferDerogation(
    FR, "an invented immediate threat", ("/category", "/names/*"), NOW, "2026-12-31"
)


async def record(side: Side, ground: Any, name: str = EXEMPLAR, by: str = "be-requester") -> GroundView:
    view: GroundView = await side.call(by, "grounds/record", RecordGround(name, ground))
    return view


async def confirm(side: Side, view: GroundView, by: str = "be-approver") -> Any:
    return await side.call(
        by, "grounds/confirm", ConfirmGround(view.item.id, side.rows(GroundRow, id=view.item.id)[0].sha256)
    )


async def confirmed(side: Side, ground: Any, name: str = EXEMPLAR) -> GroundView:
    view = await record(side, ground, name)
    await confirm(side, view)
    return view


async def released(side: Side, name: str = EXEMPLAR, to: str = FR, purpose: str = PURPOSE) -> tuple[str, ...]:
    """What a preview would release."""
    (view,) = await side.call("be-requester", "releases/preview", calls.Disclose(name, (to,), purpose, BASIS))
    return tuple(field.pointer for field in view.fields if field.outcome == "released")


def document_of(view: GroundView) -> GroundDocument:
    return msgspec.json.decode(view.document, type=GroundDocument)


# --- two persons -----------------------------------------------------------------------------------------------------


async def test_a_consent_counts_from_its_confirmation_to_its_withdrawal(world: World) -> None:
    """Recorded, nothing changes; confirmed, what that service supplied leaves, and nothing else more; withdrawn by one
    person, it stays again."""
    be = world.be
    before = await released(be)
    assert ALIAS not in before
    view = await record(be, CONSENT)
    assert (view.item.state, document_of(view).ground) == ("recorded", CONSENT)
    assert await released(be) == before
    await confirm(be, view)
    assert {*await released(be)} - {*before} == {ALIAS}
    done = await be.call("be-requester", "grounds/withdraw", WithdrawGround(view.item.id, "a second call"))
    assert (done.state, done.releases) == ("withdrawn", {})
    assert await released(be) == before
    with pytest.raises(Conflict):
        await confirm(be, view)


@pytest.mark.parametrize("by", ["be-anna-again", "be-anna-and-operator", "be-stranger"])
async def test_the_second_person_is_another_who_may_approve(world: World, by: str) -> None:
    """Neither the recorder under another key, nor an operator, nor somebody without need to know."""
    view = await record(world.be, CONSENT)
    with pytest.raises(RoleMissing):
        await confirm(world.be, view, by)
    assert world.be.rows(GroundRow)[0].state == "recorded"


@pytest.mark.parametrize("by", ["be-anna-and-operator", "be-stranger"])
async def test_who_records_is_no_operator_and_needs_to_know(world: World, by: str) -> None:
    """And nothing is kept."""
    with pytest.raises(RoleMissing):
        await record(world.be, CONSENT, by=by)
    assert world.be.rows(GroundRow) == []


async def test_what_is_confirmed_is_what_was_recorded(world: World) -> None:
    """A digest of anything else confirms nothing; a ground that is over is confirmed by nobody; nor one unknown."""
    be = world.be
    view = await record(be, CONSENT)
    with pytest.raises(Conflict):
        await be.call("be-approver", "grounds/confirm", ConfirmGround(view.item.id, "0" * 64))
    world.clock.advance(days=60)
    with pytest.raises(Conflict):
        await confirm(be, view)
    for operation, params in (
        ("grounds/confirm", ConfirmGround("none", "0" * 64)),
        ("grounds/show", calls.Named("none")),
        ("grounds/withdraw", WithdrawGround("none", "invented")),
    ):
        with pytest.raises(NotFound):
            await be.call("be-approver", operation, params)


# --- toward whom, for what, until when -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"originator": "bel.sgrs"},
        {"recipients": ("deu.police-demo",)},
        {"purposes": ("prosecution",)},
        {"items": ("/threat",)},
        {"until": "2026-11-21"},
    ],
)
async def test_a_consent_of_something_else_changes_nothing(world: World, changes: dict[str, Any]) -> None:
    """Another originator's, toward another partner, for another purpose, or over."""
    be, before = world.be, await released(world.be)
    await confirmed(be, msgspec.structs.replace(CONSENT, **changes))
    if "until" in changes:
        assert ALIAS in await released(be)
        world.clock.advance(days=1)
        await be.call(
            "be-requester", "records/import", calls.ImportChunk(KIND, 1, extract(1, 1, world.clock.now()))
        )
    assert await released(be) == before


async def test_a_consent_is_about_one_subject(world: World) -> None:
    """Nothing more leaves of anybody else."""
    before = await released(world.be, CLEAN[0])
    await confirmed(world.be, CONSENT)
    assert await released(world.be, CLEAN[0]) == before


async def test_embargo_and_class_stand_above_any_consent(world: World) -> None:
    """A consent lifts neither an embargo nor a field that never leaves."""
    be = world.be
    await confirmed(be, CONSENT)
    assert not {"/health", "/national_number"} & {*await released(be)}
    await be.call("be-approver", "embargoes/add", calls.PlaceEmbargo(EXEMPLAR, b"invented"))
    assert await released(be) == ()


# --- what rests on it ------------------------------------------------------------------------------------------------


async def resting(be: Side) -> tuple[GroundView, calls.DecisionView]:
    """An approved release that names a consent."""
    ground = await confirmed(be, CONSENT)
    (view,) = await be.disclose(EXEMPLAR)
    return ground, view


async def test_a_release_names_what_it_rests_on(world: World) -> None:
    """In the document that requester and approver sign, by id and digest; another release names nothing."""
    be = world.be
    ground, view = await resting(be)
    (other,) = await be.disclose(CLEAN[0])
    row = be.release(view)
    body = await be.store.read(lambda tx: be.vault.open(tx, row.body, ReleaseBody))
    (named,) = msgspec.json.decode(body.document, type=DecisionDocument).grounds
    assert (named.id, named.kind, named.originator) == (ground.item.id, "consent", SUPPLIER)
    assert named.sha256 == be.rows(GroundRow)[0].sha256
    assert [(use.ground, use.release) for use in be.rows(GroundUseRow)] == [(ground.item.id, row.id)]
    queue = {item.id: item.grounds for item in await be.call("be-approver", "queue/list", calls.Page())}
    assert queue == {row.id: (ground.item.id,), other.release: ()}
    await be.send()
    assert be.release(view).state == "delivered"


async def test_what_rests_on_a_withdrawn_consent_does_not_leave(world: World) -> None:
    """Approved and queued, then withdrawn: voided without a trace. Recorded and confirmed anew, it is another ground:
    what was approved with the old one does not go either."""
    be = world.be
    ground, view = await resting(be)
    waiting = await be.request(EXEMPLAR)
    done = await be.call("be-approver", "grounds/withdraw", WithdrawGround(ground.item.id, "invented"))
    assert done.releases == {"queued": 1, "awaiting-approval": 1}
    await confirmed(be, CONSENT)
    await be.send()
    assert (be.release(view).state, be.release(view).reason) == ("voided", "ground.in-force")
    assert (await be.approve(waiting)).voided.keys() == {waiting.release}
    assert be.wire.posts == []
    assert be.log_size() == 0


async def test_what_left_is_counted_when_a_consent_is_withdrawn(world: World) -> None:
    """The answer says that something has left that rested on it; a repeated withdrawal answers alike."""
    be = world.be
    ground, _ = await resting(be)
    await be.send()
    for _ in range(2):
        done = await be.call("be-requester", "grounds/withdraw", WithdrawGround(ground.item.id, "invented"))
        assert (done.state, done.releases) == ("withdrawn", {"delivered": 1})


async def test_what_left_must_be_told_of_when_its_consent_is_withdrawn(world: World) -> None:
    """A duty about the member that rested on it. That the consent's last day is over is none: it left in time."""
    be = world.be
    ground, view = await resting(be)
    await be.send()
    world.clock.advance(days=50)
    await be.call("be-requester", "notices/list", ListNotices())
    found = await be.call("be-requester", "notices/list", ListNotices(duty="must"))
    assert "consent-withdrawn /names" not in [change for notice in found for change in notice.changes]
    await be.call("be-approver", "grounds/withdraw", WithdrawGround(ground.item.id, "invented"))
    found = await be.call("be-requester", "notices/list", ListNotices(duty="must"))
    told = {notice.message_id: notice.changes for notice in found}
    assert "consent-withdrawn /names" in told[view.message_id]


async def test_a_decision_that_rests_on_a_consent_is_made_again_alike(world: World) -> None:
    """Replay has the consents of then, also once they are withdrawn."""
    be = world.be
    ground, _ = await resting(be)
    await be.call("be-requester", "grounds/withdraw", WithdrawGround(ground.item.id, "invented"))
    found = await replay(be)
    assert (found.cases, found.gone, found.differences) == (1, 0, ())


async def test_it_survives_the_record_s_purge_and_a_restart(world: World) -> None:
    """The ground is about the subject: imported again, the record has it."""
    be = world.be
    await confirmed(be, CONSENT)
    world.clock.advance(days=9)
    assert (await be.call("be-requester", "records/purge", calls.Empty()))["purged"]
    await be.boot()
    await be.call(
        "be-requester", "records/import", calls.ImportChunk(KIND, 1, extract(1, 1, world.clock.now()))
    )
    assert ALIAS in await released(be)


# --- authorisation and derogation ------------------------------------------------------------------------------------


async def test_judicial_information_leaves_with_the_authority_s_authorisation(world: World) -> None:
    """Toward whom it names, and nobody else."""
    be = world.be
    await be.call("be-requester", "records/import", calls.ImportChunk(KIND, 1, extract(80, 1, NOW)))
    assert await released(be, JUDICIAL) == ()
    await confirmed(be, msgspec.structs.replace(AUTHORISATION, recipients=("deu.police-demo",)), JUDICIAL)
    assert await released(be, JUDICIAL) == ()
    await confirmed(be, AUTHORISATION, JUDICIAL)
    assert await released(be, JUDICIAL) != ()
    (view,) = await be.disclose(JUDICIAL)
    assert [be.rows(GroundRow, id=use.ground)[0].kind for use in be.rows(GroundUseRow)] == ["authorisation"]
    await be.send()
    assert be.release(view).state == "delivered"


async def test_outside_the_union_a_derogation_lets_its_data_leave(world: World) -> None:
    """Where the transfer rests on one: nothing without it, and with it only the patterns that it names."""
    be = world.be
    await configured(
        be, eu_states=("BEL",), transfers={"FRA": Transfer("derogation", "invented")}, ungraded_kinds=(KIND,)
    )
    assert await released(be, CLEAN[0]) == ()
    await confirmed(be, DEROGATION, CLEAN[0])
    found = await released(be, CLEAN[0])
    assert found
    assert {pointer.split("/")[1] for pointer in found} <= {"category", "names"}
    await be.disclose(CLEAN[0])
    assert len(be.rows(GroundUseRow)) == 1


# --- hostile input ---------------------------------------------------------------------------------------------------


HOSTILE: dict[str, tuple[Any, str]] = {
    "no originator": (msgspec.structs.replace(CONSENT, originator=""), "originator"),
    "an originator that is no id": (msgspec.structs.replace(CONSENT, originator="VSSE; DROP"), "originator"),
    "our own consent": (msgspec.structs.replace(CONSENT, originator=BE), "originator"),
    "no recipient": (msgspec.structs.replace(CONSENT, recipients=()), "recipients"),
    "a recipient twice": (msgspec.structs.replace(CONSENT, recipients=(FR, FR)), "recipients"),
    "everybody": (msgspec.structs.replace(CONSENT, recipients=("*",)), "recipients"),
    "too many": (msgspec.structs.replace(CONSENT, recipients=tuple(f"fra.p{n}" for n in range(65))), "recipients"),
    "no purpose": (msgspec.structs.replace(CONSENT, purposes=()), "purposes"),
    "a blank purpose": (msgspec.structs.replace(CONSENT, purposes=(" ",)), "purposes"),
    "no items": (msgspec.structs.replace(CONSENT, items=()), "items"),
    "an item that is not": (msgspec.structs.replace(CONSENT, items=("/nickname",)), "items"),
    "by nobody": (msgspec.structs.replace(CONSENT, by="  "), "by"),
    "a long story": (msgspec.structs.replace(CONSENT, by="x" * 2001), "by"),
    "no last day": (msgspec.structs.replace(CONSENT, until=""), "until"),
    "an instant as a day": (msgspec.structs.replace(CONSENT, until="2026-12-31T00:00:00Z"), "until"),
    "a day that is not": (msgspec.structs.replace(CONSENT, until="2026-02-30"), "until"),
    "yesterday": (msgspec.structs.replace(CONSENT, until="2026-11-20"), "until"),
    "tomorrow's call": (msgspec.structs.replace(CONSENT, at=NOW + timedelta(days=1)), "at"),
    "no authority": (msgspec.structs.replace(AUTHORISATION, authority=""), "authority"),
    "no reference": (msgspec.structs.replace(AUTHORISATION, reference=" "), "reference"),
    "no document": (msgspec.structs.replace(AUTHORISATION, file_sha256=""), "file_sha256"),
    "no reason": (msgspec.structs.replace(DEROGATION, justification=""), "justification"),
    "no data": (msgspec.structs.replace(DEROGATION, data=()), "data"),
    "a field that is not": (msgspec.structs.replace(DEROGATION, data=("/nickname",)), "data"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_ground_that_says_too_little_is_refused(world: World, name: str) -> None:
    """Before anything is kept; the error names the field, and repeats nothing of what it held."""
    ground, field = HOSTILE[name]
    with pytest.raises(RequestInvalid) as caught:
        await record(world.be, ground)
    assert caught.value.diagnostic == {"field": field}
    assert "DROP" not in caught.value.detail
    assert world.be.rows(GroundRow) == []


async def test_nothing_of_it_stands_in_the_clear(world: World) -> None:
    """Neither who gave a consent, nor why, in any row or entry; organisations, purposes and days may."""
    be = world.be
    await confirmed(be, msgspec.structs.replace(CONSENT, by="zzcanary person"))
    await record(be, msgspec.structs.replace(DEROGATION, justification="zzcanary reason"))
    rows = [*be.rows(GroundRow), *be.rows(EntryRow), *be.rows(ReleaseRow)]
    assert "zzcanary" not in repr(rows)


async def test_a_list_is_paged_and_filtered(world: World) -> None:
    """By id, state and kind."""
    be = world.be
    await confirmed(be, CONSENT)
    await record(be, AUTHORISATION)
    everything = await be.call("be-only-reviewer", "grounds/list", GroundsPage())
    first = await be.call("be-only-reviewer", "grounds/list", GroundsPage(limit=1))
    rest = await be.call("be-only-reviewer", "grounds/list", GroundsPage(after=first[0].id))
    assert first + rest == everything
    assert len(everything) == 2
    (in_force,) = await be.call("be-only-reviewer", "grounds/list", GroundsPage(state="in-force"))
    assert (in_force.kind, in_force.confirmed_by) == ("consent", "be-approver")


# --- on the command line ---------------------------------------------------------------------------------------------


def consent_words(record: str, **changes: str) -> list[object]:
    options = {
        "from": SUPPLIER,
        "to": FR,
        "purpose": PURPOSE,
        "until": "2099-12-31",
        "by": "duty desk",
    } | changes
    return [
        "ground",
        "consent",
        record,
        *(word for name, value in options.items() for word in (f"--{name}", value)),
    ]


async def test_an_approver_is_shown_who_consented_and_how(line: Line) -> None:
    """From the bytes whose digest the signed decision names."""
    be = line.world.be
    await be.call(
        "be-requester", "records/import", calls.ImportChunk(KIND, 1, extract(2, 1, line.world.clock.now()))
    )
    code, recorded = await line.run("be-requester", *consent_words(EXEMPLAR))
    assert (code, recorded["state"]) == (0, "recorded")
    ground = recorded["id"]
    assert (await line.run("be-requester", "ground", "confirm", ground, "--yes"))[0] == 2
    assert (await line.run("be-approver", "ground", "confirm", ground, "--yes"))[1]["state"] == "in-force"
    code, listed = await line.run("be-approver", "ground", "list")
    assert [one["id"] for one in listed["grounds"]] == [ground]
    view = await be.request(EXEMPLAR)
    key = line.folder / "be-approver.pem"
    words = (
        "approve",
        view.release,
        "--yes",
        "--home",
        line.home,
        "--as",
        "be-approver",
        "--officer-key",
        key,
    )
    code, said, _ = await line.said(*words)
    assert code == 0
    assert f"consent of {SUPPLIER}, given by telephone" in said
    assert "duty desk" in said
    code, done = await line.run("be-requester", "ground", "withdraw", ground, "--reason", "a second call")
    assert (code, done["releases"]) == (0, {"queued": 1})


async def test_an_explanation_says_who_consented_and_how(line: Line) -> None:
    """Of the decision that rested on it, by its entry in the log; also once the consent is withdrawn."""
    be = line.world.be
    now = line.world.clock.now()
    await be.call("be-requester", "records/import", calls.ImportChunk(KIND, 1, extract(2, 1, now)))
    _, recorded = await line.run("be-requester", *consent_words(EXEMPLAR))
    assert (await line.run("be-approver", "ground", "confirm", recorded["id"], "--yes"))[0] == 0
    await be.request(EXEMPLAR)
    entries = be.rows(EntryRow, origin=be.gateway.ledger.master)
    entry = next(row.position for row in entries if json.loads(row.entry)["event"] == "release")
    assert (await line.run("be-approver", "ground", "withdraw", recorded["id"], "--reason", "x"))[0] == 0
    key = line.folder / "be-approver.pem"
    who = ("--home", line.home, "--as", "be-approver", "--officer-key", key)
    code, said, _ = await line.said("policy", "explain", "--entry", entry, *who)
    assert code == 0, said
    assert f"consent of {SUPPLIER}, given by telephone" in said


HOSTILE_WORDS: dict[str, Callable[[], list[object]]] = {
    "no such record": lambda: consent_words("BDC-999999"),
    "no such day": lambda: consent_words(EXEMPLAR, until="tomorrow"),
    "no such instant": lambda: consent_words(EXEMPLAR, at="noon"),
    "nobody": lambda: consent_words(EXEMPLAR, to=" , "),
    "a message by telephone": lambda: consent_words(EXEMPLAR, given="message"),
    "no such ground": lambda: ["ground", "show", "nothing"],
}


@pytest.mark.parametrize("name", HOSTILE_WORDS)
async def test_wrong_words_are_refused_in_one_line(line: Line, name: str) -> None:
    """Exit code 2, and an error that says which."""
    be = line.world.be
    await be.call(
        "be-requester", "records/import", calls.ImportChunk(KIND, 1, extract(2, 1, line.world.clock.now()))
    )
    code, answer = await line.run("be-requester", *HOSTILE_WORDS[name]())
    assert (code, "error" in answer) == (2, True), answer

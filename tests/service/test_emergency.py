"""Emergencies: one officer on another's word, what is owed after it, and a path that locks until it is done."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from adapters.records.synthetic import extract, variation_of
from gateway.errors import Conflict, NotFound, RequestInvalid, RoleMissing, SignerUnavailable
from gateway.flow.change import canonical
from gateway.model.agreement import Bulk
from gateway.model.request import Emergency, Lift
from gateway.model.rows import EmergencyRow, InformRow, OutboxRow, ReservationRow
from gateway.policy.context import EmergencyScope
from gateway.service import calls
from gateway.service.calls.emergency import EmergencyItem, Informed, Reviewed
from gateway.service.emergencies import ACT_OF
from gateway.service.signer.emergency import REVIEWERS
from tests.service.founding import SETTINGS, sign_agreement, terms
from tests.service.world import BASIS, CLEAN, FR, KIND, NOW, PERSONS, PURPOSE, SERIES, Side, World

THREAT = "invented: an attack announced for tonight"
SCOPE = EmergencyScope(
    waives=("second-signature", "quota", "originator-consent"),
    kinds=(KIND,),
    purposes=(PURPOSE,),
    partners=(FR,),
    confirm_hours=24,
    review_hours=24,
)
ORAL = Emergency(THREAT, "be-approver")
BOTH = Emergency(THREAT)
DAY_S = 24 * 3600
DAY = timedelta(seconds=DAY_S)

#: A person, beyond those that every world starts with, of whom another Member State's service supplied something.
FOREIGN = next(number for number in range(PERSONS, 100) if variation_of(number) == "foreign-originator")


@pytest.fixture
async def be(world: World) -> Side:
    """Our side, with the scope in force."""
    await configured(world.be)
    return world.be


async def configured(side: Side, **changes: Any) -> None:
    """Other members of the scope, by two persons."""
    scope = msgspec.structs.replace(SCOPE, **changes)
    await side.change("settings", "release", canonical(msgspec.structs.replace(SETTINGS, emergency=scope)))


async def prepare(
    side: Side, record: str, emergency: Emergency | None = ORAL, *lifts: Lift
) -> calls.DecisionView:
    params = calls.Disclose(record, (FR,), PURPOSE, BASIS, "synthetic case", lifts=lifts, emergency=emergency)
    views: list[calls.DecisionView] = await side.call("be-requester", "releases/prepare", params)
    return views[0]


async def invoke(side: Side, record: str = CLEAN[0], emergency: Emergency = ORAL) -> calls.DecisionView:
    """Prepared and signed by the requester."""
    view = await prepare(side, record, emergency)
    assert view.effect == "PERMIT", rules(view)
    token = side.endorse("be-requester", "request", [view.statement])
    states = await side.call("be-requester", "releases/endorse", calls.Endorsed((view.release,), token))
    assert states == {view.release: "queued" if emergency.oral_approver else "awaiting-approval"}
    return view


async def confirm(side: Side, view: calls.DecisionView, officer: str = "be-approver") -> dict[str, str]:
    token = side.endorse(officer, "approve", [view.statement])
    params = calls.Endorsed((view.release,), token)
    return dict(await side.call(officer, "emergencies/confirm", params))


async def review(
    side: Side,
    view: calls.DecisionView,
    verdict: str = "upheld",
    officer: str = "be-only-reviewer",
    reason: str = "invented",
) -> Any:
    token = side.endorse(officer, ACT_OF[verdict], [view.statement])
    params = Reviewed((view.release,), verdict, reason, token)
    return await side.call(officer, "emergencies/review", params)


async def listed(side: Side) -> list[EmergencyItem]:
    return list(await side.call("be-only-reviewer", "emergencies/list", calls.Page()))


def rules(view: calls.DecisionView) -> list[str]:
    return [reason.rule for reason in view.reasons]


# --- one officer -----------------------------------------------------------------------------------------------------


async def test_one_officer_sends_on_anothers_word(world: World, be: Side) -> None:
    """Queued by one signature, sealed, delivered, and marked as what it is on the other side; ahead of its row in the
    log nothing left."""
    view = await invoke(be)
    await be.send()
    assert be.release(view).state == "delivered"
    (row,) = world.fr.received()
    assert (row.type, row.message_id) == ("emergency", view.message_id)
    (kept,) = be.rows(EmergencyRow)
    assert (kept.oral_approver, kept.waived) == ("be-approver", ("second-signature",))
    assert kept.confirm_by == kept.at + DAY


async def test_it_counts_like_any_other_disclosure(be: Side) -> None:
    """What left as an emergency is held by the partner, with where it came from."""
    await invoke(be)
    assert [row.origin for row in be.rows(ReservationRow)] == ["emergency"]


async def test_its_lane_goes_first(be: Side) -> None:
    """A conversation of its own, before the lanes that waited longer."""
    await be.disclose(CLEAN[1])
    view = await invoke(be)
    assert [row.message_id for row in be.rows(OutboxRow)].count(view.message_id) == 1
    be.gateway.config = msgspec.structs.replace(
        be.gateway.config, delivery=msgspec.structs.replace(be.gateway.config.delivery, batch_messages=1)
    )
    await be.dispatcher.send_batch(FR)
    assert [row.type for row in be.world.fr.received()] == ["emergency"]
    with pytest.raises(RequestInvalid, match="conversation of its own"):
        await be.call(
            "be-requester",
            "releases/prepare",
            calls.Disclose(CLEAN[0], (FR,), PURPOSE, BASIS, "x", be.ids.uuid(), emergency=BOTH),
        )


async def test_two_officers_may_sign_too(be: Side) -> None:
    """Then nothing is confirmed, and it is reviewed all the same."""
    view = await invoke(be, emergency=BOTH)
    approved = await be.approve(view)
    assert approved.queued == (view.release,)
    await be.send()
    assert be.release(view).state == "delivered"
    (item,) = await listed(be)
    assert (item.confirm_by, item.oral_approver, item.waived) == (None, "", ())
    with pytest.raises(Conflict, match="not approved orally"):
        await confirm(be, view)
    await review(be, view)
    assert await listed(be) == []


# --- beyond scope ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"kinds": ()}, "emergency.kind"),
        ({"purposes": ("judicial",)}, "emergency.purpose"),
        ({"partners": ()}, "emergency.partner"),
        ({"waives": ("quota",)}, "emergency.second-signature"),
    ],
)
async def test_anything_beyond_the_scope_denies(be: Side, changes: dict[str, Any], rule: str) -> None:
    """Kind, purpose, partner, and the second signature itself."""
    await configured(be, **changes)
    view = await prepare(be, CLEAN[0])
    assert (view.effect, rules(view), view.release) == ("DENY", [rule], "")


async def test_without_a_scope_there_is_no_emergency(world: World) -> None:
    """Nobody configured one: it denies, and the ordinary way is as it was."""
    assert rules(await prepare(world.be, CLEAN[0])) == [
        "emergency.scope-configured",
        "emergency.second-signature",
    ]
    assert (await prepare(world.be, CLEAN[0], None)).effect == "PERMIT"


@pytest.mark.parametrize(
    ("oral", "rule"),
    [
        ("be-requester", "officer.four-eyes"),
        ("be-anna-again", "officer.four-eyes"),
        ("be-only-reviewer", "officer.role"),
        ("be-stranger", "officer.need-to-know"),
    ],
)
async def test_who_approved_orally_is_an_approver_and_another_person(be: Side, oral: str, rule: str) -> None:
    """Not the requester under any key, not somebody without the role or the need to know; nobody unknown."""
    view = await prepare(be, CLEAN[0], Emergency(THREAT, oral))
    assert rule in rules(view)
    with pytest.raises(NotFound):
        await prepare(be, CLEAN[0], Emergency(THREAT, "be-nobody"))


async def test_a_suspended_officer_approves_nothing_orally(be: Side) -> None:
    """Nor does one who is suspended before the message has left."""
    view = await invoke(be)
    officer = be.gateway.directory.officers["be-approver"]
    suspended = msgspec.structs.replace(officer, suspended=True, version=officer.version + 1)
    await be.change("officer", "be-approver", canonical(suspended), second="be-only-security-officer")
    await be.send()
    assert (be.release(view).state, be.release(view).reason) == ("voided", "officer.role")
    assert "officer.role" in rules(await prepare(be, CLEAN[1]))


async def test_an_operator_approves_nothing_orally(be: Side) -> None:
    """Whatever other role the officer has: the one signature is refused, and the release waits for it in vain."""
    view = await prepare(be, CLEAN[0], Emergency(THREAT, "be-anna-and-operator"))
    token = be.endorse("be-requester", "request", [view.statement])
    with pytest.raises(RoleMissing, match="two persons"):
        await be.call("be-requester", "releases/endorse", calls.Endorsed((view.release,), token))
    assert be.release(view).state == "awaiting-endorsement"


async def test_a_lift_needs_a_signature(be: Side) -> None:
    """With one officer alone nothing is lifted."""
    view = await prepare(be, CLEAN[0], ORAL, Lift("/national_number", "synthetic"))
    assert "emergency.lift" in rules(view)


async def test_an_embargo_stops_an_emergency(be: Side) -> None:
    """Placed after the signature, it voids what has not left."""
    view = await invoke(be)
    params = calls.PlaceEmbargo(CLEAN[0], b"synthetic magistrate")
    await be.call("be-requester", "embargoes/add", params)
    await be.send()
    assert (be.release(view).state, be.release(view).reason) == ("voided", "embargo")


# --- what is waived --------------------------------------------------------------------------------------------------


async def test_a_waived_quota_is_named(world: World, be: Side) -> None:
    """The quota is used: only an emergency leaves, and its row says which rule it overcame."""
    signed = sign_agreement(terms(version=2, bulk=Bulk(1, 30)), world.founded.agreement_keys)
    for side in world.sides.values():
        await side.change("agreement", SERIES, canonical(signed))
    await be.disclose(CLEAN[0])
    await be.send()
    assert rules(await prepare(be, CLEAN[1], None)) == ["bdc.bulk"]
    await invoke(be, CLEAN[1])
    (row,) = be.rows(EmergencyRow)
    assert row.waived == ("second-signature", "bdc.bulk")
    await be.send()
    assert len(world.fr.received()) == 2


async def test_a_waived_consent_is_told_to_its_originator(be: Side) -> None:
    """What another Member State supplied leaves, its service stands in the list until somebody informed it, and that
    is recorded once."""
    line = extract(FOREIGN, 1, NOW).splitlines(keepends=True)[-1]
    await be.call("be-requester", "records/import", calls.ImportChunk(KIND, 1, line))
    name = f"BDC-{FOREIGN:06d}"
    ordinary, view = await prepare(be, name, None), await invoke(be, name)
    assert {field.pointer for field in view.fields if field.outcome == "released"} > {
        field.pointer for field in ordinary.fields if field.outcome == "released"
    }
    (item,) = await listed(be)
    assert item.inform
    assert "third-party" in item.waived
    await be.send()
    await confirm(be, view)
    await review(be, view)
    (item,) = await listed(be)
    assert item.state == "open"
    (originator,) = item.inform
    with pytest.raises(NotFound):
        await be.call("be-requester", "emergencies/informed", Informed(view.release, FR, "by telephone"))
    with pytest.raises(RequestInvalid):
        await be.call("be-requester", "emergencies/informed", Informed(view.release, originator, " "))
    for _ in range(2):
        params = Informed(view.release, originator, "by telephone, to the duty officer")
        await be.call("be-requester", "emergencies/informed", params)
    assert await listed(be) == []
    assert [row.informed_by for row in be.rows(InformRow)] == ["be-requester"]


# --- what is owed ----------------------------------------------------------------------------------------------------


async def test_confirmed_and_reviewed_is_done_with(be: Side) -> None:
    """By the very officer, then by a third person; the signer's list is empty after it."""
    view = await invoke(be)
    await be.send()
    assert await be.signer.unsettled() == (view.message_id,)
    for officer in ("be-only-approver", "be-anna-again"):
        with pytest.raises(RoleMissing):
            await confirm(be, view, officer)
    be.world.clock.advance(seconds=60)
    assert await confirm(be, view) == {view.release: "confirmed"}
    assert await confirm(be, view) == {view.release: "confirmed"}
    for officer in ("be-approver", "be-anna-again"):
        with pytest.raises(RoleMissing, match="no part in it"):
            await review(be, view, officer=officer)
    assert await be.signer.unsettled() == (view.message_id,)
    (outcome,) = await review(be, view)
    assert not outcome.recall
    assert await be.signer.unsettled() == ()
    assert await listed(be) == []
    trace: calls.Trace = await be.call("be-approver", "messages/trace", calls.Named(view.release))
    assert [step.what for step in trace.steps] == [
        "prepared",
        "endorsed by the requester",
        "sequenced and sealed",
        "receipt verified",
        "confirmed",
        "emergency reviewed: upheld",
    ]
    await review(be, view)
    with pytest.raises(Conflict, match="already"):
        await review(be, view, officer="be-only-approver")


@pytest.mark.parametrize("done", ["nothing", "confirmed", "reviewed"])
async def test_undone_at_24_hours_locks_the_path(be: Side, done: str) -> None:
    """One second before, another emergency goes; from then on none does, ordinary releases do, and nothing unlocks by
    itself: confirmation and review, however late, do."""
    view = await invoke(be)
    await be.send()
    if done == "confirmed":
        await confirm(be, view)
    if done == "reviewed":
        await review(be, view)
    be.world.clock.advance(seconds=DAY_S - 1)
    await refreshed(be)
    assert (await prepare(be, CLEAN[1])).effect == "PERMIT"
    be.world.clock.advance(seconds=1)
    assert rules(await prepare(be, CLEAN[1])) == ["emergency.locked"]
    assert [item.state for item in await listed(be)] == ["overdue"]
    be.world.clock.advance(seconds=DAY_S)
    await refreshed(be)
    assert rules(await prepare(be, CLEAN[1])) == ["emergency.locked"]
    assert (await prepare(be, CLEAN[1], None)).effect == "PERMIT"
    if done != "confirmed":
        await confirm(be, view)
    if done != "reviewed":
        await review(be, view)
    assert (await prepare(be, CLEAN[1])).effect == "PERMIT"
    again = await invoke(be, CLEAN[1])
    await be.send()
    assert be.release(again).state == "delivered"


async def refreshed(side: Side) -> None:
    """The extract is handed over again: it is older than a day otherwise."""
    lines = extract(PERSONS, 1, side.world.clock.now())
    await side.call("be-requester", "records/import", calls.ImportChunk(KIND, 1, lines))


async def test_unconfirmed_in_its_time_is_void_if_it_has_not_left(be: Side) -> None:
    """The partner was away for a day: what one officer signed goes no further, and still has to be looked at."""
    view = await invoke(be)
    be.wire.script += ["lost"] * 3
    await be.dispatcher.send_batch(FR)
    other = await invoke(be, CLEAN[1])
    be.world.clock.advance(seconds=DAY_S)
    await be.send()
    assert be.release(other).state == "voided"
    assert be.release(other).reason in ("emergency.unconfirmed", "extract.fresh")
    assert len(await listed(be)) == 2
    assert be.release(view).state in ("withdrawn", "attempted")


async def test_a_review_that_does_not_uphold_says_what_can_be_taken_back(be: Side) -> None:
    """What left is recalled, by the id given; what has not left is void; neither needs a confirmation any more."""
    gone, waiting = await invoke(be), await invoke(be, CLEAN[1])
    be.gateway.config = msgspec.structs.replace(
        be.gateway.config, delivery=msgspec.structs.replace(be.gateway.config.delivery, batch_messages=1)
    )
    await be.dispatcher.send_batch(FR)
    sent = {view.release: be.release(view).state for view in (gone, waiting)}
    assert sorted(sent.values()) == ["delivered", "queued"]
    for view in (gone, waiting):
        (outcome,) = await review(be, view, "not-upheld")
        assert outcome.recall == (sent[view.release] == "delivered")
    await be.send()
    states = sorted((be.release(view).state, be.release(view).reason) for view in (gone, waiting))
    assert states == [("delivered", ""), ("voided", "emergency.overruled")]
    assert await be.signer.unsettled() == ()
    assert await listed(be) == []
    left = gone if sent[gone.release] == "delivered" else waiting
    recall = calls.RecallMessage(left.message_id, "withdrawn", "", "not upheld")
    prepared: calls.DecisionView = await be.call("be-requester", "recalls/prepare", recall)
    assert prepared.effect == "PERMIT"


async def test_a_review_has_a_verdict_and_a_reason(be: Side) -> None:
    """Neither an unknown verdict nor an empty reason is taken, nor a release that was no emergency."""
    view = await invoke(be)
    token = be.endorse("be-only-reviewer", "uphold", [view.statement])
    for params in (
        Reviewed((view.release,), "perhaps", "x", token),
        Reviewed((view.release,), "upheld", " ", token),
    ):
        with pytest.raises(RequestInvalid):
            await be.call("be-only-reviewer", "emergencies/review", params)
    (other,) = await be.disclose(CLEAN[1])
    with pytest.raises(NotFound):
        await review(be, other)
    wrong = be.endorse("be-only-reviewer", "overrule", [view.statement])
    params = Reviewed((view.release,), "upheld", "x", wrong)
    with pytest.raises(RoleMissing, match="another act"):
        await be.call("be-only-reviewer", "emergencies/review", params)


def test_who_reviews_knows_what_may_leave() -> None:
    """Approvers and reviewers; the operator and the security officer decide nothing about content."""
    assert set(REVIEWERS) == {"approver", "reviewer"}


# --- the signer's own list -------------------------------------------------------------------------------------------


async def test_the_signer_keeps_its_list_over_a_restart(be: Side) -> None:
    """A gateway whose rows were tampered with gets nothing more sealed: the signer refuses by its own list."""
    first = await invoke(be)
    await be.send()
    be.world.clock.advance(seconds=DAY_S)
    await refreshed(be)
    (row,) = be.rows(EmergencyRow)
    forged = msgspec.structs.replace(row, settled=True, confirmed_at=row.at, reviewed_at=row.at)
    await be.store.write(lambda tx: tx.put(forged))
    await be.boot()
    second = await invoke(be, CLEAN[1])
    await be.send()
    assert be.release(second).state == "withdrawn"
    assert be.release(second).reason == "signer.emergency-locked"
    assert await be.signer.unsettled() == (first.message_id,)


async def test_what_the_signer_does_not_take_holds_up_no_other(
    be: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signer was away at the confirmation, and its officer has left since: that one goes on waiting there, and is
    listed. Another emergency leaves; yet another person overrules, and the path is free."""
    first = await invoke(be)
    await be.send()

    async def away(_: object) -> None:
        raise SignerUnavailable("the signer does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(be.signer, "settle", away)
        with pytest.raises(SignerUnavailable):
            await confirm(be, first)
    officer = be.gateway.directory.officers["be-approver"]
    suspended = msgspec.structs.replace(officer, suspended=True, version=officer.version + 1)
    await be.change("officer", "be-approver", canonical(suspended), second="be-only-security-officer")
    second = await invoke(be, CLEAN[1], Emergency(THREAT, "be-only-approver"))
    await be.send()
    assert be.release(second).state == "delivered"
    await confirm(be, second, "be-only-approver")
    await review(be, second)
    await review(be, first)
    assert await be.signer.unsettled() == (first.message_id,)
    (item,) = await listed(be)
    assert (item.release, item.signer, item.verdict) == (first.release, True, "upheld")
    with pytest.raises(RoleMissing, match="no part"):
        await review(be, first, "not-upheld")
    await review(be, first, "not-upheld", "be-only-approver")
    assert await be.signer.unsettled() == ()
    assert await listed(be) == []
    with pytest.raises(Conflict):
        await review(be, first, "upheld", "be-anna-and-operator")


async def test_a_command_that_is_repeated_finishes_what_it_began(
    be: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signer was away after the commit: the same review again, by the same person, tells it."""
    view = await invoke(be)
    await be.send()
    await confirm(be, view)

    async def away(_: object) -> None:
        raise SignerUnavailable("the signer does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(be.signer, "settle", away)
        with pytest.raises(SignerUnavailable):
            await review(be, view)
    assert await be.signer.unsettled() == (view.message_id,)
    await review(be, view)
    assert await be.signer.unsettled() == ()

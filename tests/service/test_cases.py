"""A named bulk case: one review over many records, each of them decided, counted and rechecked alone."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.errors import Conflict, NotFound, RequestInvalid, RoleMissing
from gateway.flow.change import canonical
from gateway.model.agreement import Bulk
from gateway.model.rows import EndorsementRow, ReleaseRow
from gateway.service import calls
from gateway.service.calls.cases import CaseView, PrepareCase
from tests.service.founding import sign_agreement, terms
from tests.service.world import BASIS, CLEAN, FR, PURPOSE, SERIES, World

CASE = "exercise-1"


async def prepare(
    world: World, *records: str, case: str = CASE, officer: str = "be-requester", **changes: Any
) -> list[calls.DecisionView]:
    params = PrepareCase(case, records, FR, PURPOSE, BASIS, "synthetic case")
    views: list[calls.DecisionView] = await world.be.call(
        officer, "cases/prepare", msgspec.structs.replace(params, **changes)
    )
    return views


async def request(world: World, *records: str, case: str = CASE) -> list[calls.DecisionView]:
    """C1 and C2 of a case: one signature over all statements."""
    views = await prepare(world, *records, case=case)
    token = world.be.endorse("be-requester", "request", [view.statement for view in views])
    await world.be.call(
        "be-requester", "releases/endorse", calls.Endorsed(tuple(view.release for view in views), token)
    )
    return views


async def show(world: World, case: str = CASE, officer: str = "be-approver") -> CaseView:
    found: CaseView = await world.be.call(officer, "cases/show", calls.Named(case))
    return found


async def test_a_case_is_one_review(world: World) -> None:
    """One endorsement of each person over all statements, one conversation, and the partner has every record."""
    views = await request(world, *CLEAN[:5])
    found = await show(world)
    assert set(found.releases) == {view.release for view in views}
    assert (found.partner, found.requester, found.states) == (FR, "be-requester", {"awaiting-approval": 5})
    assert (found.persons, found.within, found.quota, found.days) == (5, 5, 12, 30)
    approved = await world.be.approve(*views)
    assert (len(approved.queued), approved.voided) == (5, {})
    await world.be.send()
    assert {world.be.release(view).state for view in views} == {"delivered"}
    assert len({view.conversation for view in views}) == 1
    assert [row.seq for row in world.fr.received(views[0].conversation)] == [1, 2, 3, 4, 5]
    assert len(world.be.rows(EndorsementRow)) == 10
    assert (await show(world)).releases == ()


async def test_a_part_of_a_case_is_approved_by_nobody(world: World) -> None:
    """Some of what waits: refused as a whole. One that the approver rejects first is not in it any more."""
    views = await request(world, *CLEAN[:3])
    with pytest.raises(Conflict, match="as a whole"):
        await world.be.approve(*views[:2])
    await world.be.call("be-approver", "releases/reject", calls.Ended(views[2].release, "synthetic"))
    approved = await world.be.approve(*views[:2])
    assert len(approved.queued) == 2


async def test_each_record_counts_against_the_quota(world: World) -> None:
    """Two records more than the bulk term has room for: the last two are voided in the same commit, for that reason;
    the case's outlook said so before."""
    await _bulk(world, 3)
    views = await request(world, *CLEAN[:5])
    assert ((await show(world)).within, (await show(world)).quota) == (5, 3)
    approved = await world.be.approve(*views)
    assert len(approved.queued) == 3
    assert {reason.rule for reasons in approved.voided.values() for reason in reasons} == {"bdc.bulk"}
    assert set(approved.voided) == {view.release for view in views[3:]}


async def _bulk(world: World, records: int) -> None:
    """The next version of the agreement, with room for fewer."""
    agreed = terms(version=2, bulk=Bulk(records=records, days=30))
    signed = sign_agreement(agreed, world.founded.agreement_keys)
    await world.be.change("agreement", SERIES, canonical(signed))


async def test_a_denied_record_is_a_value_among_the_others(world: World) -> None:
    """An embargo on one of them: denied with its reason, and not in the case; the rest waits."""
    await world.be.call("be-requester", "embargoes/add", calls.PlaceEmbargo(CLEAN[1], b"synthetic"))
    views = await prepare(world, *CLEAN[:3])
    assert [view.effect for view in views] == ["PERMIT", "DENY", "PERMIT"]
    assert len(world.be.rows(ReleaseRow, case_name=CASE)) == 2


async def test_what_is_no_case(world: World) -> None:
    """A name that could say something of somebody, no record, one twice, no reason, a name that is taken."""
    for changes in ({"case": "Zz Dupont"}, {"case": ""}, {"records": ()}, {"justification": " "},
                    {"records": (CLEAN[0], CLEAN[0])}, {"records": (CLEAN[0],) * 501}):  # fmt: skip
        with pytest.raises(RequestInvalid):
            await prepare(world, CLEAN[0], **changes)
    await request(world, CLEAN[0])
    with pytest.raises(Conflict):
        await prepare(world, CLEAN[1])


async def test_need_to_know(world: World) -> None:
    """A stranger prepares none of it and sees nothing; of an unknown name there is nothing to see either."""
    with pytest.raises(RoleMissing):
        await prepare(world, CLEAN[0], officer="be-stranger")
    await request(world, CLEAN[0])
    for officer, case in (("be-stranger", CASE), ("be-approver", "exercise-2"), ("be-approver", "")):
        with pytest.raises(NotFound):
            await show(world, case, officer)

"""Two subjects that are one person: two officers say so, and two that they are not after all."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.records.synthetic import extract
from gateway.errors import Conflict, NotFound, RequestInvalid, RoleMissing
from gateway.model.agreement import Bulk
from gateway.model.case_rows import SubjectActRow
from gateway.model.rows import ReservationRow, SubjectLinkRow
from gateway.policy.context import Held
from gateway.service import calls
from gateway.service.calls.subjects import ActView, DecideAct, ProposeAct
from gateway.service.holdings import Holdings
from tests.service.commandline import Line
from tests.service.founding import Founded
from tests.service.test_accumulation import agreed, prepare, rules, subject_of, tallies, told
from tests.service.world import CLEAN, FR, KIND, Side, World

FIRST, SECOND, THIRD = CLEAN[:3]


async def propose(side: Side, act: str, record: str, other: str, by: str = "be-requester") -> ActView:
    view: ActView = await side.call(by, f"subjects/{act}", ProposeAct(record, other, "the same fingerprints"))
    return view


async def confirm(side: Side, view: ActView, by: str = "be-approver") -> ActView:
    done: ActView = await side.call(by, "subjects/confirm", DecideAct(view.id, view.act))
    return done


async def done(side: Side, act: str, record: str, other: str) -> None:
    await confirm(side, await propose(side, act, record, other))


async def held(side: Side, record: str) -> Held:
    subject, now = await subject_of(side, record), side.world.clock.now()
    return await side.store.read(lambda tx: Holdings(side.gateway).held(tx, FR, subject, now))


async def test_linked_is_held_as_one_and_split_apart_again(world: World) -> None:
    """From the second person's word on, either way; nothing of what was disclosed is forgotten."""
    be = world.be
    await told(be, FR, await subject_of(be, FIRST), "call-1", "names")
    await told(be, FR, await subject_of(be, SECOND), "call-2", "sex")
    view = await propose(be, "link", FIRST, SECOND)
    assert (await held(be, FIRST)).members == {"names"}
    await confirm(be, view)
    for record in (FIRST, SECOND):
        assert (await held(be, record)).members == {"names", "sex"}
    assert tallies(be) == {FR: 1}
    view = await propose(be, "split", SECOND, FIRST)
    assert (await held(be, FIRST)).members == {"names", "sex"}
    await confirm(be, view)
    assert (await held(be, FIRST)).members == {"names"}
    assert (await held(be, SECOND)).members == {"sex"}
    assert tallies(be) == {FR: 2}
    assert be.rows(SubjectLinkRow) == []


async def test_a_chain_of_links_is_one_person_until_it_is_cut(world: World) -> None:
    """Two links make three subjects one; cut at one end, the other two stay one."""
    be = world.be
    for number, record in enumerate((FIRST, SECOND, THIRD)):
        await told(be, FR, await subject_of(be, record), f"call-{number}", f"member-{number}")
    await done(be, "link", FIRST, SECOND)
    await done(be, "link", SECOND, THIRD)
    assert tallies(be) == {FR: 1}
    with pytest.raises(Conflict, match="nobody linked these two"):
        await propose(be, "split", FIRST, THIRD)
    await done(be, "split", FIRST, SECOND)
    assert tallies(be) == {FR: 2}
    assert (await held(be, SECOND)).members == (await held(be, THIRD)).members == {"member-1", "member-2"}
    await done(be, "link", FIRST, SECOND)
    assert tallies(be) == {FR: 1}


async def test_an_embargo_on_one_is_on_both(world: World) -> None:
    """While they are one person; what waits of either does not leave."""
    be = world.be
    (view,) = await be.disclose(SECOND)
    await be.call("be-requester", "embargoes/add", calls.PlaceEmbargo(FIRST, b"invented"))
    assert (await prepare(be, SECOND)).effect == "PERMIT"
    await done(be, "link", FIRST, SECOND)
    assert rules(await prepare(be, SECOND)) == ["embargo"]
    await be.send()
    assert (be.release(view).state, be.release(view).reason) == ("voided", "embargo")
    await done(be, "split", FIRST, SECOND)
    assert (await prepare(be, SECOND)).effect == "PERMIT"


async def test_what_waits_counts_the_link(world: World) -> None:
    """An approved release stays reserved for its own subject, and is freed there when it is voided."""
    be = world.be
    (view,) = await be.disclose(FIRST)
    await done(be, "link", FIRST, SECOND)
    (row,) = be.rows(ReservationRow)
    assert row.about == await subject_of(be, FIRST)
    await be.call("be-requester", "releases/cancel", calls.Ended(view.release, "invented"))
    assert (be.rows(ReservationRow), tallies(be)) == ([], {FR: 0})


@pytest.mark.parametrize("by", ["be-anna-again", "be-anna-and-operator", "be-stranger"])
async def test_the_second_person_is_another_who_may_approve(world: World, by: str) -> None:
    """Neither the proposer under another key, nor an operator, nor somebody without need to know."""
    be = world.be
    view = await propose(be, "link", FIRST, SECOND)
    with pytest.raises(RoleMissing):
        await confirm(be, view, by)
    assert be.rows(SubjectLinkRow) == []


async def test_a_proposal_is_answered_once(world: World) -> None:
    """No second one about the pair meanwhile, none that changes nothing, no confirmation of another act, none after a
    rejection; rejecting again answers alike."""
    be = world.be
    view = await propose(be, "link", FIRST, SECOND)
    for refused in (propose(be, "link", SECOND, FIRST), propose(be, "split", FIRST, SECOND)):
        with pytest.raises(Conflict):
            await refused
    with pytest.raises(Conflict):
        await be.call("be-approver", "subjects/confirm", DecideAct(view.id, "split"))
    for _ in range(2):
        closed = await be.call("be-requester", "subjects/reject", calls.Ended(view.id, "invented"))
        assert closed.state == "rejected"
    with pytest.raises(Conflict):
        await confirm(be, view)
    again = await propose(be, "link", FIRST, SECOND)
    await confirm(be, again)
    with pytest.raises(Conflict):
        await be.call("be-requester", "subjects/reject", calls.Ended(again.id, "invented"))
    with pytest.raises(Conflict, match="linked already"):
        await propose(be, "link", FIRST, SECOND)


async def test_wrong_words_are_refused(world: World) -> None:
    """Before anything is kept: one subject twice, no reason, an endless one, an unknown record or proposal."""
    be = world.be
    handle = (await be.releases.record(FIRST))[0].handle
    for record, other, reason, field in (
        (FIRST, FIRST, "invented", "other"),
        (FIRST, handle, "invented", "other"),
        (FIRST, SECOND, "  ", "reason"),
        (FIRST, SECOND, "x" * 2001, "reason"),
    ):
        with pytest.raises(RequestInvalid) as caught:
            await be.call("be-requester", "subjects/link", ProposeAct(record, other, reason))
        assert caught.value.diagnostic == {"field": field}
    with pytest.raises(NotFound):
        await propose(be, "link", FIRST, "BDC-999999")
    with pytest.raises(RoleMissing):
        await propose(be, "link", FIRST, SECOND, "be-stranger")
    with pytest.raises(NotFound):
        await be.call("be-approver", "subjects/confirm", DecideAct("none", "link"))
    assert be.rows(SubjectActRow) == []


async def test_the_reason_stays_inside_a_body(world: World) -> None:
    """Shown to who needs to know, and in no row."""
    be = world.be
    view = await propose(be, "link", FIRST, SECOND)
    shown = await be.call("be-only-reviewer", "subjects/show", calls.Named(view.id))
    assert shown.reason == "the same fingerprints"
    assert "fingerprints" not in repr(be.rows(SubjectActRow))
    (listed,) = await be.call("be-only-reviewer", "subjects/list", calls.Page(state="proposed"))
    assert (listed.id, listed.reason) == (view.id, "")


async def test_linking_is_survived_by_a_restart(world: World) -> None:
    """What two officers said stands in the store."""
    be = world.be
    await done(be, "link", FIRST, SECOND)
    await agreed(world, Bulk(records=1, days=30))
    await told(be, FR, await subject_of(be, FIRST), "call-1")
    await be.boot()
    assert (await held(be, SECOND)).subject_held


# --- the law ---------------------------------------------------------------------------------------------------------


acts = st.lists(
    st.tuples(st.sampled_from(["link", "split"]), st.integers(0, 3), st.integers(0, 3)), max_size=6
)


@settings(max_examples=25, deadline=None)
@given(said=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["names", "sex"])), max_size=5), done_=acts)
def test_a_link_only_raises_and_a_split_never_forgets(
    founded: Founded, said: list[tuple[int, str]], done_: list[tuple[str, int, int]]
) -> None:
    """Each link leaves everybody with at least as much held, and fewer subjects or as many in total; whatever is linked
    and split, in the end each subject's own disclosures are held of it."""

    async def play() -> None:
        world = await World(founded).boot()
        be, records = world.be, CLEAN[:4]
        for number, (who, member) in enumerate(said):
            await told(be, FR, await subject_of(be, records[who]), f"call-{number}", member)
        for act, one, other in done_:
            before = [await held(be, record) for record in records]
            try:
                await done(be, act, records[one], records[other])
            except (Conflict, RequestInvalid):
                continue
            after = [await held(be, record) for record in records]
            for old, new in zip(before, after, strict=True):
                if act == "link":
                    assert old.members <= new.members
                    assert old.disclosures <= new.disclosures
                    assert old.subject_ever <= new.subject_ever
        for who, member in said:
            assert member in (await held(be, records[who])).members
        world.close()

    asyncio.run(play())


# --- on the command line ---------------------------------------------------------------------------------------------


async def test_on_the_command_line(line: Line) -> None:
    """Proposed by one, refused to the same person, confirmed by another; listed."""
    be = line.world.be
    await be.call(
        "be-requester", "records/import", calls.ImportChunk(KIND, 1, extract(20, 1, line.world.clock.now()))
    )
    code, view = await line.run("be-requester", "subject", "link", FIRST, SECOND, "--reason", "invented")
    assert (code, view["state"]) == (0, "proposed")
    assert (await line.run("be-requester", "subject", "confirm", view["id"], "--yes"))[0] == 2
    code, linked = await line.run("be-approver", "subject", "confirm", view["id"], "--yes")
    assert (code, linked["state"]) == (0, "done")
    code, listed = await line.run("be-approver", "subject", "list", "--state", "done")
    assert [one["id"] for one in listed["proposals"]] == [view["id"]]
    assert (await line.run("be-requester", "subject", "link", FIRST, FIRST, "--reason", "invented"))[0] == 2

"""What partners hold of whom: counted together with what leaves, over all time, over groups, and freed when voided."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.records.synthetic import extract, variation_of
from adapters.stores.sql import SqliteStore
from gateway.errors import RoleMissing
from gateway.flow.change import canonical
from gateway.model.agreement import Bulk, Ceiling
from gateway.model.request import Lift
from gateway.model.rows import OutboxRow, ReservationRow, SubjectLinkRow, TallyRow
from gateway.policy.context import Combination, Compilation, Held, Repeats
from gateway.policy.facts.release import REPEAT
from gateway.ports import Tx
from gateway.service import calls
from gateway.service.context import Gateway
from gateway.service.holdings import Holdings, one_with
from tests.service.founding import SETTINGS, Founded, sign_agreement, terms
from tests.service.world import BASIS, BE, CLEAN, FR, KIND, NOW, PURPOSE, SERIES, Side, World

#: Others that may hold something too: oral disclosures reach them without an entry in the directory.
DE, NL = "deu.police-demo", "nld.police-demo"

#: The first person: its register number leaves when a lift names it.
EXEMPLAR = "BDC-000001"
NUMBER = Lift("/national_number", "synthetic")
AGAIN = Lift(REPEAT, "synthetic")


async def configured(side: Side, **changes: object) -> None:
    """Other thresholds, by two persons."""
    await side.change("settings", "release", canonical(msgspec.structs.replace(SETTINGS, **changes)))


async def agreed(world: World, bulk: Bulk, **changes: object) -> None:
    """Another quota, by the offline keys of both sides."""
    signed = sign_agreement(terms(version=2, bulk=bulk, **changes), world.founded.agreement_keys)
    for side in world.sides.values():
        await side.change("agreement", SERIES, canonical(signed))


async def prepare(side: Side, record: str, *lifts: Lift) -> calls.DecisionView:
    params = calls.Disclose(record, (FR,), PURPOSE, BASIS, "synthetic case", side.ids.uuid(), lifts)
    views: list[calls.DecisionView] = await side.call("be-requester", "releases/prepare", params)
    return views[0]


async def request(side: Side, record: str, *lifts: Lift) -> calls.DecisionView:
    view = await prepare(side, record, *lifts)
    assert view.effect == "PERMIT", rules(view)
    token = side.endorse("be-requester", "request", [view.statement])
    await side.call("be-requester", "releases/endorse", calls.Endorsed((view.release,), token))
    return view


def rules(view: calls.DecisionView) -> list[str]:
    return [reason.rule for reason in view.reasons]


async def subject_of(side: Side, record: str) -> str:
    return (await side.releases.record(record))[0].subject


async def told(side: Side, partner: str, subject: str, release: str, *members: str) -> None:
    """Something was said of this subject on the telephone."""
    now = side.world.clock.now()
    holdings = Holdings(side.gateway)
    await side.store.write(
        lambda tx: holdings.reserve(tx, partner, subject, release, now, members=members, origin="oral")
    )


def tallies(side: Side) -> dict[str, int]:
    return {row.holders: row.subjects for row in side.rows(TallyRow)}


# --- quotas ----------------------------------------------------------------------------------------------------------


async def test_a_hundred_approvals_at_once_with_a_quota_of_fifty_give_exactly_fifty(
    world_on_disk: World,
) -> None:
    """Fifty persons leave, fifty releases are voided by the quota's rule, and nothing is reserved for those."""
    world, be = world_on_disk, world_on_disk.be
    await agreed(world, Bulk(records=50, days=30))
    persons = 120
    await be.call("be-requester", "records/import", calls.ImportChunk(KIND, 1, extract(persons, 1, NOW)))
    clean = [number for number in range(2, persons + 1) if not variation_of(number)][:100]
    views = [await be.request(f"BDC-{number:06d}") for number in clean]
    answers = await asyncio.gather(*(be.approve(view) for view in views))
    voided = {release: reasons for answer in answers for release, reasons in answer.voided.items()}
    assert len(views) == 100
    assert len(voided) == 50
    assert {reason.rule for reasons in voided.values() for reason in reasons} == {"bdc.bulk"}
    assert {row.release for row in be.rows(ReservationRow)} == {
        view.release for view in views if view.release not in voided
    }
    assert tallies(be) == {FR: 50}
    await be.send()
    assert len(world.fr.received()) == 50


async def test_what_was_said_counts_like_what_was_sent(world: World) -> None:
    """Twelve persons told of on the telephone use up the quota of twelve."""
    for number in range(12):
        await told(world.be, FR, f"subject-{number}", f"call-{number}")
    assert rules(await prepare(world.be, CLEAN[0])) == ["bdc.bulk"]
    assert {row.origin for row in world.be.rows(ReservationRow)} == {"oral"}


async def test_the_window_forgets_and_the_whole_does_not(world: World) -> None:
    """After the bulk window there is room in the quota again; the compilation still counts every subject."""
    be = world.be
    for number in range(12):
        await told(be, FR, f"subject-{number}", f"call-{number}")
    world.clock.advance(days=31)
    await be.call(
        "be-requester", "records/import", calls.ImportChunk(KIND, 1, extract(3, 1, world.clock.now()))
    )
    assert (await prepare(be, CLEAN[0])).effect == "PERMIT"
    assert SETTINGS.compilation is not None
    await configured(be, compilation=msgspec.structs.replace(SETTINGS.compilation, records=12))
    assert rules(await prepare(be, CLEAN[0])) == ["compilation.level"]


# --- groups ----------------------------------------------------------------------------------------------------------


async def test_what_one_of_a_group_holds_all_hold(world: World) -> None:
    """Another service's twelve persons use up the quota once both share, not before, and not after."""
    be = world.be
    for number in range(12):
        await told(be, DE, f"subject-{number}", f"call-{number}")
    assert (await prepare(be, CLEAN[0])).effect == "PERMIT"
    await configured(be, sharing={"ring": (FR, NL), "other": (NL, DE)})
    assert rules(await prepare(be, CLEAN[0])) == ["bdc.bulk"]
    await configured(be, sharing={"ring": (FR, NL)})
    assert (await prepare(be, CLEAN[0])).effect == "PERMIT"


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"bulk": Bulk(records=2, days=30)}, "held.sharing-quota"),
        ({"ceiling": Ceiling("BEL", "no such level")}, "held.sharing-ceiling"),
    ],
)
async def test_the_strictest_agreement_of_a_group_applies(
    world: World, changes: dict[str, Any], rule: str
) -> None:
    """Two persons held: our agreement leaves room for ten more, that of the service it is shared with for none."""
    be = world.be
    await told(be, FR, "subject-1", "call-1")
    await told(be, DE, "subject-2", "call-2")
    await configured(be, sharing={"ring": (FR, DE)})
    directory = be.gateway.directory
    other = directory.agreements[FR]
    other = msgspec.structs.replace(other, terms=terms(series="other", parties=(BE, DE), **changes))
    assert (await prepare(be, CLEAN[0])).effect == "PERMIT"
    agreements = {**directory.agreements, DE: other}
    be.gateway.directory = msgspec.structs.replace(directory, agreements=agreements)
    assert rules(await prepare(be, CLEAN[0])) == [rule]


# --- one person ------------------------------------------------------------------------------------------------------


async def test_one_person_again_and_again_takes_a_lift_and_its_approver(world: World) -> None:
    """Two disclosures in thirty days pass, the third needs a lift that a lift approver approves, and thirty days later
    the count starts afresh."""
    be = world.be
    await configured(be, repeats=Repeats(disclosures=2, days=30))
    for _ in range(2):
        await be.disclose(CLEAN[0])
    assert rules(await prepare(be, CLEAN[0])) == ["held.repeats"]
    assert rules(await prepare(be, CLEAN[0], NUMBER)) == ["held.repeats"]
    again = await request(be, CLEAN[0], AGAIN)
    with pytest.raises(RoleMissing):
        await be.approve(again, officer="be-only-approver")
    assert not (await be.approve(again)).voided
    await be.send()
    assert [be.release(again).state, len(world.fr.received())] == ["delivered", 3]
    world.clock.advance(days=31)
    await be.call(
        "be-requester", "records/import", calls.ImportChunk(KIND, 1, extract(3, 1, world.clock.now()))
    )
    assert (await prepare(be, CLEAN[0])).effect == "PERMIT"


async def test_the_count_is_taken_where_it_is_approved(world: World) -> None:
    """Three releases of one person prepared while none was approved: the third is voided at its approval."""
    be = world.be
    await configured(be, repeats=Repeats(disclosures=2, days=30))
    views = [await be.request(CLEAN[0]) for _ in range(3)]
    answers = [await be.approve(view) for view in views]
    assert [bool(answer.voided) for answer in answers] == [False, False, True]


async def test_two_releases_do_not_give_together_what_one_may_not(world: World) -> None:
    """The evaluation went first: the register number of the same person completes the combination, of another not."""
    be = world.be
    apart = Combination(("threat", "national_number"), Ceiling("BEL", "RESTREINT"))
    await configured(be, compilation=Compilation(1000, Ceiling("BEL", "RESTREINT"), (apart,)))
    await told(be, FR, await subject_of(be, EXEMPLAR), "call-1", "names", "category")
    assert (await prepare(be, EXEMPLAR)).effect == "PERMIT"
    await told(be, FR, await subject_of(be, CLEAN[0]), "call-2", "national_number")
    assert rules(await prepare(be, CLEAN[0])) == ["held.combination"]
    assert rules(await prepare(be, EXEMPLAR, NUMBER)) == ["held.combination"]


async def test_a_release_reserves_the_members_that_left(world: World) -> None:
    """Names of members, never a value; what was withheld is not among them."""
    be = world.be
    await be.disclose(CLEAN[0])
    (row,) = be.rows(ReservationRow)
    assert {"names", "category"} <= {*row.members}
    assert not {"health", "validation", "status"} & {*row.members}
    assert row.origin == "release"


async def test_merged_persons_are_one(world: World) -> None:
    """Held under two names it was two; linked it is one, also for what comes under either name later."""
    be = world.be
    first, second = await subject_of(be, CLEAN[0]), await subject_of(be, CLEAN[1])
    await told(be, FR, first, "call-1", "names")
    await told(be, FR, second, "call-2", "sex")
    await told(be, DE, first, "call-3")
    holdings, now = Holdings(be.gateway), world.clock.now()
    assert tallies(be) == {FR: 2, DE: 1}
    for _ in range(2):  # repeatable
        await be.store.write(lambda tx: holdings.regroup(tx, [{first, second}], now))
    assert tallies(be) == {FR: 1, DE: 1}
    for subject in (first, second):
        held = await be.store.read(lambda tx, subject=subject: holdings.held(tx, FR, subject, now))  # type: ignore[misc]
        assert (held.total, held.subject_ever, held.disclosures) == (1, True, 2)
        assert held.members == {"names", "sex"}
    await be.disclose(CLEAN[0])
    assert len({row.subject for row in be.rows(ReservationRow)}) == 1
    await be.store.write(lambda tx: holdings.regroup(tx, [{first, second, "subject-3"}], now))
    assert len({row.counted_as for row in be.rows(SubjectLinkRow)}) == 1
    assert tallies(be) == {FR: 1, DE: 1}
    await be.store.write(lambda tx: holdings.regroup(tx, [{first}, {second, "subject-3"}], now))
    assert tallies(be) == {FR: 2, DE: 1}
    assert {(row.about, row.subject == second) for row in be.rows(ReservationRow)} >= {(first, False)}
    held = await be.store.read(lambda tx: holdings.held(tx, FR, second, now))
    assert (held.total, held.disclosures, held.members) == (2, 1, frozenset({"sex"}))


# --- with the release ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", ["void", "cancel"])
async def test_what_does_not_leave_is_not_held(world: World, event: str) -> None:
    """Voided or cancelled before it left: reserved no more, and the place in the quota is free."""
    be = world.be
    for number in range(11):
        await told(be, FR, f"subject-{number}", f"call-{number}")
    (view,) = await be.disclose(CLEAN[0])
    assert tallies(be) == {FR: 12}
    assert rules(await prepare(be, CLEAN[1])) == ["bdc.bulk"]
    if event == "void":
        await be.call("be-approver", "embargoes/add", calls.PlaceEmbargo(CLEAN[0], b"magistrate"))
        await be.send()
    else:
        await be.call("be-requester", "releases/cancel", calls.Ended(view.release, "synthetic reason"))
    assert tallies(be) == {FR: 11}
    assert (await prepare(be, CLEAN[1])).effect == "PERMIT"


@pytest.mark.parametrize("mode", ["kill-before", "kill-after"])
@pytest.mark.parametrize("call", range(12))
async def test_a_kill_between_reservation_and_seal_loses_and_doubles_nothing(
    world: World, mode: str, call: int
) -> None:
    """Whatever call the process dies in, from the approval on: the message is reserved exactly when it is queued or
    further, and once it has gone, once."""
    be = world.be
    view = await be.request(CLEAN[0])
    world.faults.arm(call, mode)
    await world.surviving(lambda: be.approve(view))
    for _ in range(3):
        await world.surviving(be.send)
        world.clock.advance(seconds=600)  # what backed off is due again
        queued = be.outbox(view) is not None
        assert [row.release for row in be.rows(ReservationRow)] == [view.release] * queued
        assert tallies(be) == ({FR: 1} if queued else {})
    world.faults.arm(-1, "")
    if be.release(view).state == "awaiting-approval":
        await be.approve(view)
    await be.send()
    assert [row.state for row in be.rows(OutboxRow)] == ["delivered"]
    assert (len(be.rows(ReservationRow)), tallies(be)) == (1, {FR: 1})


async def test_a_unit_that_fails_reserves_nothing(world: World) -> None:
    """Reservation and tally are in the caller's unit of work: they vanish with it."""
    be, now = world.be, world.clock.now()

    def unit(tx: Tx) -> None:
        Holdings(be.gateway).reserve(tx, FR, "subject", "call", now, members=())
        raise RoleMissing("synthetic")

    with pytest.raises(RoleMissing):
        await be.store.write(unit)
    assert (be.rows(ReservationRow), be.rows(TallyRow)) == ([], [])


# --- laws ------------------------------------------------------------------------------------------------------------

PARTNERS, SUBJECTS, RELEASES = (FR, DE, NL), ("s1", "s2", "s3", "s4"), ("r1", "r2", "r3", "r4", "r5")
GROUPINGS: tuple[dict[str, tuple[str, ...]], ...] = (
    {},
    {"ring": (FR, DE)},
    {"ring": (FR, DE), "o": (DE, NL)},
)


class Step(NamedTuple):
    act: str
    partner: str
    subject: str
    release: str
    days: int
    member: str


steps = st.builds(
    Step,
    st.sampled_from(["reserve", "reserve", "reserve", "free", "link", "link", "split", "regroup"]),
    st.sampled_from(PARTNERS),
    st.sampled_from(SUBJECTS),
    st.sampled_from(RELEASES),
    st.integers(0, 60),
    st.sampled_from(["names", "threat"]),
)


class Counting:
    """Holdings under one quota of two in thirty days, over whatever store, with groups that change."""

    def __init__(self, gateway: Gateway) -> None:
        self._g = gateway
        state = gateway.directory.agreements[FR]
        state = msgspec.structs.replace(state, terms=terms(bulk=Bulk(records=2, days=30)))
        self._g.directory = msgspec.structs.replace(gateway.directory, agreements={FR: state})

    def grouped(self, choice: int) -> Holdings:
        changed = msgspec.structs.replace(SETTINGS, sharing=GROUPINGS[choice % len(GROUPINGS)])
        self._g.directory = msgspec.structs.replace(self._g.directory, settings=changed)
        return Holdings(self._g)

    def holders(self, partner: str) -> tuple[str, ...]:
        return self._g.directory.settings.holders(partner)

    def take(self, tx: Tx, step: Step) -> None:
        holdings, at = Holdings(self._g), NOW - timedelta(days=step.days)
        match step.act:
            case "reserve":
                holdings.reserve(tx, step.partner, step.subject, step.release, at, members=(step.member,))
            case "free":
                holdings.free(tx, step.release)
            case "link":
                other = SUBJECTS[step.days % len(SUBJECTS)]
                holdings.regroup(tx, [{*one_with(tx, step.subject), *one_with(tx, other)}], at)
            case "split":
                holdings.regroup(tx, [{subject} for subject in one_with(tx, step.subject)], at)
            case "regroup":
                self.grouped(step.days)


@pytest.fixture(scope="module")
def counting(founded: Founded) -> Iterator[Counting]:
    world = asyncio.run(World(founded).boot())
    yield Counting(world.be.gateway)
    world.close()


def run(unit: Callable[[Tx], None]) -> None:
    """One unit of work over an empty store."""

    async def write() -> None:
        store = SqliteStore.memory()
        try:
            await store.write(unit)
        finally:
            store.close()

    asyncio.run(write())


@settings(max_examples=60, deadline=None)
@given(done=st.lists(steps, max_size=14))
def test_a_tally_is_the_count_of_its_subjects(counting: Counting, done: list[Step]) -> None:
    """Whatever is reserved, freed, linked and regrouped, in whatever order: each tally is what counting gives, and
    each answer what the rows say."""

    def unit(tx: Tx) -> None:
        counting.grouped(0)
        for step in done:
            counting.take(tx, step)
            rows = tx.select(ReservationRow)
            for tally in tx.select(TallyRow):
                assert tally.subjects == len(
                    {row.subject for row in rows if row.partner in tally.holders.split()}
                )
        for choice in range(len(GROUPINGS)):
            holdings = counting.grouped(choice)
            for partner, subject in itertools.product(PARTNERS, SUBJECTS):
                held = holdings.held(tx, partner, subject, NOW, release="r1")
                assert_told(tx, held, counting.holders(partner), subject)

    run(unit)


def assert_told(tx: Tx, held: Held, holders: tuple[str, ...], subject: str) -> None:
    """The slow way round: from all rows, without a tally, an index or a shortcut."""
    link = tx.get(SubjectLinkRow, subject)
    person = link.counted_as if link else subject
    every = [row for row in tx.select(ReservationRow) if row.partner in holders]
    places = [row.place for row in every if row.subject == person and row.release == "r1"]
    rows = [row for row in every if (row.release, row.subject) != ("r1", person)]
    of_person = [row for row in rows if row.subject == person]
    assert (held.total, held.subject_ever) == (len({row.subject for row in rows}), bool(of_person))
    assert held.members == {member for row in of_person for member in row.members}
    recent = [row for row in rows if row.at >= NOW - timedelta(days=30)]
    assert held.disclosures == sum(
        row.subject == person and (not places or row.place <= max(places)) for row in recent
    )
    after = len({row.subject for row in recent} | {person})
    told_after = held.records + (not held.subject_held)
    assert told_after >= after
    if FR in holders:  # whose quota is two: what is told decides as what is counted does
        assert (told_after > 2) == (after > 2)


@settings(max_examples=60, deadline=None)
@given(
    done=st.lists(steps, max_size=8),
    more=steps,
    asked=st.tuples(st.sampled_from(PARTNERS), st.sampled_from(SUBJECTS)),
    choice=st.integers(0, 2),
)
def test_a_disclosure_more_never_counts_for_less(
    counting: Counting, done: list[Step], more: Step, asked: tuple[str, str], choice: int
) -> None:
    """With one reservation more no count after the release in question is lower, and no member is gone. With the law
    of the policy (more held never releases more): holdings never widen what may leave."""

    def unit(tx: Tx) -> None:
        counting.grouped(0)
        for step in done:
            counting.take(tx, step)
        holdings = counting.grouped(choice)
        before = holdings.held(tx, *asked, NOW)
        at = NOW - timedelta(days=more.days)
        holdings.reserve(tx, more.partner, more.subject, "one-more", at, members=(more.member,))
        after = holdings.held(tx, *asked, NOW)
        assert before.members <= after.members
        assert before.disclosures <= after.disclosures
        assert before.total + (not before.subject_ever) <= after.total + (not after.subject_ever)
        full = [held.records + (not held.subject_held) > 2 for held in (before, after)]
        assert FR not in counting.holders(asked[0]) or full[0] <= full[1]

    run(unit)

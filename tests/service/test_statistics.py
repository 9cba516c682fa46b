"""Statistics of requests: each counted once, under what became of it, and as many as the log of the wire has."""

from __future__ import annotations

from typing import Any, get_args

from gateway.audit.entry import parse_partner_entry
from gateway.cli.stats import LETTERS, _by_state, _received, _refused, _requests
from gateway.cli.year import spans_of
from gateway.model.message import RefusalGround
from gateway.model.rows import BodyRow, EntryRow, ReleaseRow
from gateway.service.calls.requests import Silence
from gateway.service.calls.years import OfYear, Statistics
from tests.service.asking import answer, ask, asked_line, close, endorse, sign, silence, to_slot
from tests.service.test_years import OF_2026, REVIEWER, YEAR
from tests.service.world import CLEAN, FR, Side, World


async def counted(side: Side, year: int = YEAR) -> Statistics:
    found: Statistics = await side.call(REVIEWER, "audit/stats", OfYear(year))
    return found


async def asked(world: World) -> None:
    """Four requests: answered with a record, in silence, refused, and one that waits past its day."""
    be = world.be
    requests = [await ask(world, asked_line(number)) for number in range(1, 5)]
    view = await answer(world, requests[0])
    await sign(be, view)
    await silence(world, requests[1], "inaccurate")
    await endorse(world, await close(world, requests[2], "refusal", "minor-offence"))
    await to_slot(world)


def states(found: Statistics) -> dict[str, tuple[str, str]]:
    return {one.partner: (one.nation, one.regime) for one in found.partners}


async def test_each_request_counts_once_under_what_became_of_it(world: World) -> None:
    """Answered in time, with or without information; one is open, and overdue when its seven days are over."""
    await asked(world)
    found = await counted(world.be)
    (line,) = _received(found.handled, states(found))
    assert (line["state"], line["class"], line["urgent"]) == ("FRA", "normal", False)
    fates: dict[str, Any] = {name: line[name] for name in ("in_time", "late", "open", "overdue")}
    assert fates == {"in_time": 3, "late": 0, "open": 1, "overdue": 0}
    assert (line["received"], line["answered"], line["with_information"]) == (4, 3, 1)
    world.clock.advance(days=8)
    (line,) = _received((await counted(world.be)).handled, states(found))
    assert (line["in_time"], line["open"], line["overdue"]) == (3, 0, 1)


async def test_an_answer_after_its_day_is_late(world: World) -> None:
    """The time that counts is that of the entry with which the answer left."""
    request = await ask(world)
    world.clock.advance(days=7)
    await silence(world, request)
    await to_slot(world)
    (one,) = (await counted(world.be)).handled
    assert (one.fate, one.answer, one.ground) == ("late", "no-information", "nothing")


async def test_refusals_by_ground_whatever_left(world: World) -> None:
    """The ground that was given here, though the wire said no more than that there is no information; unknown once it
    is erased."""
    await asked(world)
    found = await counted(world.be)
    lines = _refused(found.handled, states(found))
    assert [(one["ground"], one["article_6_1"], one["count"]) for one in lines] == [
        ("inaccurate", "e", 1),
        ("minor-offence", "g", 1),
    ]
    (silent,) = world.be.rows(ReleaseRow, type="no-information")
    await world.be.store.write(lambda tx: tx.delete(BodyRow, {"id": silent.body}))
    lines = _refused((await counted(world.be)).handled, states(found))
    assert [(one["ground"], one["count"]) for one in lines] == [("", 1), ("minor-offence", 1)]


def test_every_letter_is_of_a_ground() -> None:
    """No letter for a ground that nobody can give."""
    assert set(LETTERS) <= {*get_args(Silence), *get_args(RefusalGround)}
    assert sorted(LETTERS.values()) == sorted({*LETTERS.values()})


async def test_rows_and_the_log_of_the_wire_agree(world: World) -> None:
    """A second count, of the entries alone: requests in, and what was provided unasked."""
    await asked(world)
    be = world.be
    await be.disclose(CLEAN[1])
    await be.send()
    entries = [
        parse_partner_entry(row.entry) for row in be.rows(EntryRow, origin=be.gateway.ledger.of_partner(FR))
    ]
    _, crossed = await be.store.read(lambda tx: spans_of(tx, *OF_2026))
    found = await counted(be)
    said = sum(one.count for one in found.handled)
    assert said == _requests(crossed)[FR] == 4
    assert said == sum(one.direction == "in" and one.type == "request" for one in entries)
    (provided,) = _by_state(crossed, states(found), "out", ("disclosure",))
    assert (provided["state"], provided["count"]) == ("FRA", 1)
    assert _by_state(crossed, states(found), "out", ("request",)) == []
    theirs = await world.fr.store.read(lambda tx: spans_of(tx, *OF_2026)[1])
    assert theirs["crossed", "bel.ocam", "out", "request"] == 4


async def test_another_year_has_none_and_looking_is_an_entry(world: World) -> None:
    """Nothing is carried over; the read stands in the log."""
    await asked(world)
    before = world.be.log_size(world.be.gateway.ledger.master)
    assert (await counted(world.be, 2025)).handled == ()
    assert world.be.log_size(world.be.gateway.ledger.master) == before + 1

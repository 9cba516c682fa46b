"""What widens one case, and is confirmed by an approver rather than by a second security officer: tried with one person
and with two, on the command line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from gateway.model.case_rows import GroundRow
from gateway.model.rows import ReservationRow, SubjectLinkRow
from gateway.model.time import rfc3339
from tests.service.commandline import Line
from tests.service.world import BASIS, CLEAN, FR, PURPOSE

Words = Callable[[Line], Awaitable[list[object]]]

FIRST, SECOND = "be-requester", "be-approver"

#: Who confirms nothing: the first person, under either key, an operator, and who may not approve.
WRONG = (FIRST, "be-anna-again", "be-anna-and-operator", "be-only-operator", "be-only-requester")

_UNTIL = ("--to", FR, "--until", "2099-12-31")


async def _ground_consent(line: Line) -> list[object]:
    return ["ground", "consent", CLEAN[0], "--from", "nld.aivd-demo", *_UNTIL, "--purpose", PURPOSE,
            "--by", "desk 3"]  # fmt: skip


async def _ground_authorisation(line: Line) -> list[object]:
    file = line.file("authority", b"a synthetic magistrate")
    return ["ground", "authorisation", CLEAN[0], *_UNTIL, "--authority", "invented", "--reference", "1",
            "--file", file]  # fmt: skip


async def _ground_derogation(line: Line) -> list[object]:
    return ["ground", "derogation", CLEAN[0], *_UNTIL, "--justification", "invented", "--data", "/threat"]


GROUNDS: dict[str, Words] = {
    "ground consent": _ground_consent,
    "ground authorisation": _ground_authorisation,
    "ground derogation": _ground_derogation,
}

#: Every command of which `test_widening` says that it widens, and that is tried here.
CONFIRMED = GROUNDS.keys() | {"subject split", "oral strike"}


@pytest.mark.parametrize("command", GROUNDS)
async def test_a_ground_takes_two_persons(line: Line, command: str) -> None:
    """One officer's word is of no effect; nor does the same person's second key confirm it, nor an operator, nor
    somebody who may not approve. An approver's word puts it in force; one person's takes it away."""
    be = line.world.be
    code, recorded = await line.run(FIRST, *await GROUNDS[command](line))
    assert (code, recorded["state"]) == (0, "recorded")
    for officer in WRONG:
        code, refused = await line.run(officer, "ground", "confirm", recorded["id"], "--yes")
        assert (code, "error" in refused) == (2, True), officer
        assert [row.state for row in be.rows(GroundRow)] == ["recorded"]
    code, done = await line.run(SECOND, "ground", "confirm", recorded["id"], "--yes")
    assert (code, done["state"]) == (0, "in-force")
    assert (await line.run("be-only-requester", "ground", "withdraw", recorded["id"], "--reason", "x"))[
        0
    ] == 0
    assert [row.state for row in be.rows(GroundRow)] == ["withdrawn"]


async def test_a_split_takes_two_persons(line: Line) -> None:
    """Two subjects that two officers linked stay one until an approver who did not propose it confirms the split."""
    be = line.world.be
    code, linked = await line.run(FIRST, "subject", "link", *CLEAN[:2], "--reason", "invented")
    assert (await line.run(SECOND, "subject", "confirm", linked["id"], "--yes"))[0] == code == 0
    code, split = await line.run(FIRST, "subject", "split", *CLEAN[:2], "--reason", "invented")
    assert (code, split["state"]) == (0, "proposed")
    for officer in WRONG:
        code, refused = await line.run(officer, "subject", "confirm", split["id"], "--yes")
        assert (code, "error" in refused, len(be.rows(SubjectLinkRow))) == (2, True, 1), officer
    code, done = await line.run(SECOND, "subject", "confirm", split["id"], "--yes")
    assert (code, done["state"], be.rows(SubjectLinkRow)) == (0, "done", [])


async def test_a_strike_takes_two_persons(line: Line) -> None:
    """What was said by mistake counts until an approver who did not say so confirms it; the record stays."""
    be = line.world.be
    at = rfc3339(line.world.clock.now())
    what = ("--field", "/category", "--to", FR, "--told", "desk 3", "--at", at)
    why = ("--purpose", PURPOSE, "--basis", BASIS, "--justification", "invented")
    code, said = await line.run(FIRST, "oral", "record", CLEAN[0], *what, *why)
    assert (code, said["breach"]) == (1, True)  # the extract is old by now; it counts all the same
    assert (await line.run(SECOND, "oral", "confirm-strike", said["id"], "--yes"))[0] == 2
    code, proposed = await line.run(FIRST, "oral", "strike", said["id"], "--reason", "the other line")
    assert (code, proposed["strike"]) == (0, "proposed")
    for officer in WRONG:
        code, refused = await line.run(officer, "oral", "confirm-strike", said["id"], "--yes")
        assert (code, "error" in refused, len(be.rows(ReservationRow))) == (2, True, 1), officer
    code, shown = await line.run(SECOND, "oral", "show", said["id"])
    assert (shown["strike"]["reason"], shown["strike"]["proposed_by"]) == ("the other line", FIRST)
    code, done = await line.run(SECOND, "oral", "confirm-strike", said["id"], "--yes")
    assert (code, done["strike"], be.rows(ReservationRow)) == (0, "struck", [])
    code, listed = await line.run(SECOND, "oral", "list")
    assert [(one["id"], one["strike"]) for one in listed["oral"]] == [(said["id"], "struck")]

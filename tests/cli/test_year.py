"""`ecluse audit year` through the command line, beside a running gateway."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Run, World

pytestmark = pytest.mark.integration


def test_a_year_of_a_home(world: World, ecluse: Run) -> None:
    """0: every log verifies, log and rows agree; what the story sent is there; the year is one of the calendar."""
    reviewer = world.officer("be-reviewer")
    said = ecluse("audit", "year", *reviewer)
    assert said.code == 0, said.document
    report = said.document
    assert (report["holds"], report["disagreements"]) == (True, [])
    assert all(one["gaps"] == [] for one in report["logs"])
    crossed = {(one["direction"], one["type"]): one["count"] for one in report["counts"]["crossed"]}
    assert crossed["out", "disclosure"] >= 1
    assert ecluse("audit", "year", report["year"] - 1, *reviewer).document["counts"]["entries"] == []
    assert ecluse("audit", "year", "1999", *reviewer).code == 2


def test_for_people(world: World, ecluse: Run) -> None:
    """Tables, and the verdict last."""
    said = ecluse("audit", "year", *world.officer("be-reviewer")[:-1])
    assert said.out.splitlines()[-1] == "holds"
    assert "entries and heads of the year" in said.out
    assert "in force in the year" in said.out


def test_nobody_else_asks(world: World, ecluse: Run) -> None:
    """An officer without the role is refused."""
    said = ecluse("audit", "year", *world.officer("be-requester"))
    assert (said.code, said.document["error"]["code"]) == (2, "role-missing")


def test_statistics(world: World, ecluse: Run) -> None:
    """0, by state; what was provided unasked is there; what the gateway does not record is named."""
    reviewer = world.officer("be-reviewer")
    said = ecluse("audit", "stats", *reviewer)
    assert said.code == 0, said.document
    assert said.document["disagreements"] == []
    (provided,) = said.document["own_initiative"]
    assert (provided["state"], provided["regime"], provided["count"] >= 1) == ("FRA", "BE-OCAM", True)
    assert said.document["not_counted"] == ["judicial-authorisation"]
    assert "requests received" in ecluse("audit", "stats", *reviewer[:-1]).out
    assert ecluse("audit", "stats", *world.officer("be-requester")).code == 2

"""`audit find` through the command line: what a reviewer types, what the answer says, and who is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapters.records.synthetic import extract
from gateway.service.app import now
from tests.cli.conftest import Run, World

pytestmark = pytest.mark.integration

WHY = ("--justification", "synthetic exercise", "--authority", "DOS-1")


def test_found_and_not_found(world: World, ecluse: Run, tmp_path: Path) -> None:
    """0 with candidates, from a file too; 1 when nobody agrees; 2 when the question is too wide, and says which."""
    reviewer = world.officer("be-reviewer")
    number = _number()
    found = ecluse("audit", "find", "--document", number, *WHY, *reviewer)
    assert found.code == 0
    first = found.document["candidates"][0]
    assert first["reasons"][0]["code"] == "document.number"
    assert {hit["what"] for hit in first["hits"]} >= {"record"}
    path = tmp_path / "person.json"
    path.write_text(json.dumps({"numbers": [number]}))
    assert ecluse("audit", "find", "--from", path, *WHY, *reviewer).document["candidates"][0] == first
    assert ecluse("audit", "find", "--name", "Zbigniew Quxquux", *WHY, *reviewer).code == 1
    for words, field in (
        (("--name", "M"), "name"), (("--birth", "1985"), "birth"), (("--name", "Moh*"), "name"), ((), "name"),
        (("--from", path, "--birth", "1985"), "from"),
    ):  # fmt: skip
        said = ecluse("audit", "find", *words, *WHY, *reviewer)
        assert (said.code, said.document["error"]["diagnostic"]["field"]) == (2, field)


def test_for_people(world: World, ecluse: Run) -> None:
    """One table a candidate, and what was not seen."""
    reviewer = world.officer("be-reviewer")[:-1]
    said = ecluse("audit", "find", "--document", _number(), *WHY, *reviewer)
    assert "document.number +45" in said.out
    assert "nobody's own words are searched" in said.out


def test_nobody_else_searches(world: World, ecluse: Run) -> None:
    """An officer without the role is refused before anything is looked up."""
    said = ecluse("audit", "find", "--name", "Anna Kowalska", *WHY, *world.officer("be-requester"))
    assert (said.code, said.document["error"]["code"]) == (2, "role-missing")


def _number() -> str:
    """A document number of the extract that the world imported."""
    lines = extract(20, 1, now()).decode().splitlines()
    return next(
        str(one["number"]) for line in lines for one in json.loads(line)["content"].get("documents", ())
    )

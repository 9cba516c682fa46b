"""What changed after it was shared, through commands alone: an extract comes anew, and the partner is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapters.records.synthetic import persons
from gateway.cli.staging import FR, KIND
from gateway.service.app import now
from tests.cli.conftest import Run, World, command
from tests.cli.test_recall import disclosed, traced
from tests.service.world import CLEAN

pytestmark = pytest.mark.integration


def line_of(name: str) -> dict[str, Any]:
    """The person's line of an extract made now."""
    line: dict[str, Any] = list(persons(int(name.removeprefix("BDC-")), 1, now()))[-1]
    return line


#: Persons with an evaluation that has not lapsed; no other test of the story touches them.
CHANGED, FALSE, READ = [name for name in CLEAN if "threat" in line_of(name)["content"]][1:4]


def again(world: World, folder: Path, name: str, level: int) -> Any:
    """The person's line comes anew, with another level of threat."""
    line = line_of(name)
    line["content"]["threat"]["level"] = level
    file = folder / "again.jsonl"
    file.write_text(json.dumps(line, ensure_ascii=False) + "\n", encoding="utf-8")
    return command(0, "record", "import", KIND, file, *world.officer("be-requester"))


def test_from_an_extract_to_the_partner(world: World, ecluse: Run, tmp_path: Path) -> None:
    """Disclosed; a lower level is imported; the change is listed as due, prepared, approved; then what it replaces is
    recalled, and the partner's officer sees by what."""
    requester, approver = world.officer("be-requester"), world.officer("be-approver")
    sent = disclosed(world, CHANGED)
    traced(world, sent["release"], "delivered")
    assert ecluse("changes", "list", "--record", CHANGED, *requester).document["changes"] == []
    assert again(world, tmp_path, CHANGED, 1)["changed"] == 1
    (change,) = ecluse("changes", "list", "--must", "--record", CHANGED, *requester).document["changes"]
    assert (change["changes"], change["partner"], change["overdue"]) == (["level-lowered /threat"], FR, False)
    assert ecluse("changes", "list", "--may", "--record", CHANGED, *requester).document["changes"] == []

    prepared = ecluse("changes", "prepare", change["id"], *requester)
    assert (prepared.code, prepared.document["what"], prepared.document["state"]) == (
        0, "disclosure", "awaiting-approval"
    )  # fmt: skip
    waits = ecluse("changes", "prepare", change["id"], *requester)
    assert waits.code == 2
    command(0, "approve", prepared.document["release"], "--yes", *approver)
    traced(world, prepared.document["release"], "delivered")
    recall = ecluse("changes", "prepare", change["id"], "--idempotency-key", "change-1", *requester)
    assert (recall.code, recall.document["what"], recall.document["action"]) == (0, "recall", "replaced")
    assert recall.document["replaced_by"] == prepared.document["message_id"]
    traced(world, recall.document["release"], "delivered")
    listed = command(0, "inbox", "list", *world.officer("fr-inbox"))["inbox"]
    marks = {one["message_id"]: one["recall"] for one in listed}
    assert marks[sent["message_id"]]["replaced_by"] == prepared.document["message_id"]
    assert ecluse("changes", "list", "--record", CHANGED, *requester).document["changes"] == []
    done = ecluse("changes", "list", "--record", CHANGED, "--state", "done", *requester)
    assert [one["id"] for one in done.document["changes"]] == [change["id"]]


def test_false_data(world: World, ecluse: Run) -> None:
    """Deleted on a named officer's word; the recall goes on the officer's own signature."""
    requester = world.officer("be-requester")
    sent = disclosed(world, FALSE)
    traced(world, sent["release"], "delivered")
    words = ("record", "remove", FALSE, "--because", "false", "--justification", "synthetic", *requester)
    gone = ecluse(*words)
    assert (gone.code, gone.document["because"]) == (0, "false")
    assert ecluse("record", "show", FALSE, *requester).code == 2
    (change,) = ecluse("changes", "list", "--record", FALSE, *requester).document["changes"]
    done = ecluse("changes", "prepare", change["id"], *requester)
    assert (done.code, done.document["action"], done.document["state"]) == (0, "withdrawn", "queued")
    traced(world, done.document["release"], "delivered")


def test_for_people(world: World, ecluse: Run, tmp_path: Path) -> None:
    """A table of duties and codes without any value; a duty and a possibility at once are a mistake."""
    sent = disclosed(world, READ)
    traced(world, sent["release"], "delivered")
    again(world, tmp_path, READ, 1)
    plain = [word for word in world.officer("be-requester") if word != "--json"]
    said = ecluse("changes", "list", "--record", READ, *plain)
    assert said.code == 0
    assert "level-lowered" in said.out
    assert ecluse("changes", "list", "--must", "--may", *world.officer("be-requester")).code == 2
    assert ecluse("changes", "list", "--state", "lost", *world.officer("be-requester")).code == 2

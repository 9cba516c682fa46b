"""Requests through commands alone: asked on one side, answered on the other, and what is refused on the way."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.staging import BASIS, BE, FR
from tests.cli.conftest import DELIVERED_S, Run, World, command

pytestmark = pytest.mark.integration

SAMPLE = Path(__file__).resolve().parents[2] / "docs" / "samples" / "information-request.json"


def until(found: Any) -> Any:
    deadline = time.monotonic() + DELIVERED_S
    while (answer := found()) is None and time.monotonic() < deadline:
        time.sleep(0.2)
    return answer


def ask(world: World, folder: Path, number: int) -> str:
    """A request approved and delivered; its id."""
    document = json.loads(SAMPLE.read_text()) | {"id": f"REQ-{number:06d}", "originator": FR}
    path = folder / f"{number}.json"
    path.write_text(json.dumps(document, indent=2))
    why = ("--to", BE, "--purpose", "ct-prevention", "--basis", BASIS, "--justification", "synthetic")
    asked = command(0, "request", "new", path, *why, *world.officer("fr-inbox"))
    release = asked["releases"][0]["release"]
    command(0, "approve", release, "--yes", *world.officer("fr-second"))
    request = asked["releases"][0]["message_id"]
    assert until(lambda: listed(world, request)) is not None
    return str(request)


def listed(world: World, request: str) -> Any:
    found = command(0, "request", "list", *world.officer("be-requester"))["requests"]
    return next((one for one in found if one["message_id"] == request), None)


def answers(world: World, request: str) -> Any:
    """What the French inbox holds that answers the request."""
    inbox = world.officer("fr-inbox")
    for one in command(0, "inbox", "list", *inbox)["inbox"]:
        if one["type"] in ("answer", "no-information", "refusal"):
            said = json.loads(command(0, "inbox", "show", one["message_id"], *inbox)["payload"])
            if said["answers"] == request:
                return said
    return None


def test_asked_and_answered(world: World, ecluse: Run, tmp_path: Path) -> None:
    """A record answers what was asked: class B leaves, in the request's conversation; a second answer is denied."""
    request = ask(world, tmp_path, 1)
    shown = ecluse("request", "show", request, *world.officer("be-requester"))
    assert shown.code == 0
    assert shown.document["request"]["urgency"] == "urgent-direct"
    assert "invented arrival" in shown.document["payload"]
    said = ecluse(
        "request",
        "answer",
        request,
        "BDC-000001",
        "--justification",
        "synthetic",
        *world.officer("be-requester"),
    )
    assert said.code == 0, said.err
    command(0, "approve", said.document["releases"][0]["release"], "--yes", *world.officer("be-approver"))
    again = ecluse(
        *("request", "no-information", request, "--ground", "nothing", "--justification", "synthetic"),
        *world.officer("be-requester"),
    )
    assert (again.code, again.document["state"]) == (1, "denied")
    assert [reason["rule"] for reason in again.document["reasons"]] == ["reply.once"]
    plain = [word for word in world.officer("be-requester") if word != "--json"]
    twice = ecluse("request", "answer", request, "BDC-000001", "--justification", "synthetic", *plain)
    assert twice.code == 1
    assert "reply.once" in twice.out
    assert "no-information" not in twice.out
    answer = until(lambda: answers(world, request))
    assert answer["type"] == "answer"
    assert "description" in answer["records"][0]
    assert listed(world, request)["answer"] == "answer"


def test_nothing_is_said_and_nothing_else(world: World, ecluse: Run, tmp_path: Path) -> None:
    """A record of which nothing may leave ends with 1 and the way on: after that only silence is left, and leaves."""
    request = ask(world, tmp_path, 2)
    requester, approver = world.officer("be-requester"), world.officer("be-approver")
    denied = ecluse("request", "answer", request, "BDC-000007", "--justification", "synthetic", *requester)
    assert denied.code == 1
    plain = [word for word in requester if word != "--json"]
    hint = ecluse("request", "answer", request, "BDC-000007", "--justification", "synthetic", *plain)
    assert "request no-information" in hint.out
    refused = ecluse(
        "request", "refuse", request, "--ground", "incomplete", "--justification", "synthetic", *approver
    )
    assert refused.code == 1
    assert [reason["rule"] for reason in refused.document["reasons"]] == ["reply.looked"]
    closed = ecluse(
        *("request", "no-information", request, "--ground", "withheld", "--justification", "synthetic"),
        *approver,
    )
    assert (closed.code, closed.document["state"]) == (0, "queued")
    said = until(lambda: answers(world, request))
    assert said["type"] == "no-information"
    assert "withheld" not in json.dumps(said)


def test_refused_before_a_look(world: World, ecluse: Run, tmp_path: Path) -> None:
    """The ground leaves with the id, and `request list --open` does not hold it any more."""
    request = ask(world, tmp_path, 3)
    words = ("request", "refuse", request, "--ground", "outside-competence", "--justification", "synthetic")
    assert ecluse(*words, *world.officer("be-approver")).code == 0
    waiting = ecluse("request", "list", "--open", *world.officer("be-requester")).document["requests"]
    assert request not in [one["message_id"] for one in waiting]
    said = until(lambda: answers(world, request))
    assert (said["type"], said["ground"]) == ("refusal", "outside-competence")


def test_what_is_no_request(world: World, ecluse: Run, tmp_path: Path) -> None:
    """A bad document is named by field and rule; what is none at all, and an unknown request, is a usage error."""
    inbox = world.officer("fr-inbox")
    why = ("--to", BE, "--purpose", "ct-prevention", "--basis", BASIS, "--justification", "synthetic")
    path = tmp_path / "bad.json"
    document = json.loads(SAMPLE.read_text())
    document["content"]["urgency"] = {"class": "soon"}
    path.write_text(json.dumps(document))
    bad = ecluse("request", "new", path, *why, *inbox)
    assert bad.code == 1
    assert [(one["pointer"], one["rule"]) for one in bad.document["bad"]] == [("/urgency/class", "enum")]
    path.write_text("[]")
    assert ecluse("request", "new", path, *why, *inbox).code == 2
    unknown = ecluse(
        "request", "show", "0a0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a99", *world.officer("be-requester")
    )
    assert unknown.code == 2

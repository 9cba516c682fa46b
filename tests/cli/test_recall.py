"""Recall through commands alone: one officer here, one there, and what is refused on the way."""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
import pytest

from gateway.cli.recall import Action, require_asked
from gateway.cli.shared import BYTES_DIFFER
from gateway.cli.staging import BASIS, FR
from gateway.errors import LocalFault
from gateway.model.message import Envelope, ExchangeMessage, Recall
from gateway.service import calls
from gateway.wire.ct_json import CtJson
from tests.cli.conftest import DELIVERED_S, Run, World, command

pytestmark = pytest.mark.integration

RECALLED = "1a1c7f0e-6a0e-4a53-9d57-0f3c1c2b7a01"


def disclosed(world: World, record: str) -> Any:
    """A release of this record, approved and on its way."""
    why = ("--to", FR, "--purpose", "ct-prevention", "--basis", BASIS, "--justification", "synthetic")
    (release,) = command(0, "disclose", record, *why, *world.officer("be-requester"))["releases"]
    command(0, "approve", release["release"], "--yes", *world.officer("be-approver"))
    return release


def traced(world: World, release: str, state: str) -> Any:
    deadline = time.monotonic() + DELIVERED_S
    while True:
        trace = command(0, "trace", release, *world.officer("be-approver"))
        if trace["state"] == state or time.monotonic() > deadline:
            assert trace["state"] == state
            return trace
        time.sleep(0.1)


def test_from_one_officer_to_another(world: World, ecluse: Run) -> None:
    """An approver recalls; the partner's officer sees it in list and show, keeps it, then is done with it: it is not
    shown any more. Repeated under its key the recall is the same one; without, it is denied with its reason."""
    sent = disclosed(world, "BDC-000001")
    traced(world, sent["release"], "delivered")
    approver, inbox = world.officer("be-approver"), world.officer("fr-inbox")
    words = ("recall", sent["message_id"], "--action", "withdrawn", "--reason", "synthetic", *approver)
    first, again = (ecluse(*words, "--idempotency-key", "recall-1") for _ in range(2))
    assert (first.code, first.document["state"], first.document["recalls"]) == (
        0,
        "queued",
        sent["message_id"],
    )
    assert again.out == first.out
    traced(world, first.document["release"], "delivered")
    denied = ecluse(*words)
    assert (denied.code, denied.document["state"]) == (1, "denied")
    assert [reason["rule"] for reason in denied.document["reasons"]] == ["recall.once"]

    listed = ecluse("inbox", "list", *inbox).document["inbox"]
    marks = {one["message_id"]: one["recall"] for one in listed}
    assert marks[sent["message_id"]]["action"] == "withdrawn"
    assert marks[world.message] is None
    for answer in ("kept", "done"):
        shown = ecluse("inbox", "show", sent["message_id"], *inbox)
        assert (shown.code, shown.document["item"]["recall"]["action"]) == (0, "withdrawn")
        said = ecluse("inbox", "recall", sent["message_id"], answer, *inbox)
        assert (said.code, said.document["recall"]) == (0, answer)
    assert ecluse("inbox", "show", sent["message_id"], *inbox).code == 2


def test_for_people(world: World, ecluse: Run) -> None:
    """Without --json the officer reads what was signed: the payload, every sign of it."""
    sent = disclosed(world, "BDC-000001")
    traced(world, sent["release"], "delivered")
    plain = [word for word in world.officer("be-requester") if word != "--json"]
    said = ecluse("recall", sent["message_id"], "--action", "expired", "--reason", "synthetic", *plain)
    assert said.code == 0
    payload = json.loads(said.out[said.out.index("{") :])
    assert (payload["recalls"], payload["action"], payload["type"]) == (
        sent["message_id"],
        "expired",
        "recall",
    )


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((RECALLED, "--action", "withdrawn"), "not-found"),
        ((RECALLED, "--action", "replaced"), "request-invalid"),
        ((RECALLED, "--action", "withdrawn", "--by", RECALLED), "request-invalid"),
        ((RECALLED, "--action", "deleted"), "usage"),
        ((RECALLED,), "usage"),
    ],
)
def test_what_cannot_be_asked(world: World, ecluse: Run, words: tuple[str, ...], code: str) -> None:
    """Unknown message, action, or replacement: exit code 2."""
    said = ecluse("recall", *words, "--reason", "synthetic", *world.officer("be-requester"))
    assert (said.code, said.document["error"]["code"]) == (2, code)


def view(said: Recall, **envelope: Any) -> calls.DecisionView:
    members: dict[str, Any] = {
        "format": "ct-exchange-json/1.0",
        "type": "recall",
        "mode": "operational",
        "message_id": "5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a11",
        "conversation": "c1b0e3a4-1d5b-4a0e-8a5a-2b9f6f1f7d20",
        "from": "bel.ocam",
        "to": FR,
        "created": "2026-11-21T21:00:00Z",
        "language": "fr",
    }
    message = ExchangeMessage(msgspec.convert(members | envelope, Envelope), recall=said)
    return calls.DecisionView(FR, "PERMIT", (), (), payload=CtJson().render(message).payload)


def test_a_gateway_that_shows_other_bytes_gets_no_signature() -> None:
    """Another message, action, replacement or recipient than typed, or bytes that are no recall."""
    asked, other = Recall(RECALLED, "withdrawn"), "2b2c7f0e-6a0e-4a53-9d57-0f3c1c2b7a02"
    require_asked(view(asked), RECALLED, Action.withdrawn, "")
    wrong = [
        view(Recall(other, "withdrawn")),
        view(Recall(RECALLED, "expired")),
        view(Recall(RECALLED, "replaced", other)),
        view(asked, to="fra.other"),
        msgspec.structs.replace(view(asked), payload=b"{}"),
    ]
    for one in wrong:
        with pytest.raises(LocalFault) as caught:
            require_asked(one, RECALLED, Action.withdrawn, "")
        assert caught.value.code == BYTES_DIFFER

"""The verdict of a crash run finds each thing it is there to find, and nothing in a run that went well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from tests.crash.plan import batches, make_plan
from tests.crash.verdict import Crossing, Facts, HomeFacts, Received, Sent, judge

ONE, TWO = "conversation-1", "conversation-2"
APPROVED = {ONE: ["m1", "m2"], TWO: ["m3"]}


def _log(direction: Any, other: Any) -> tuple[Crossing, ...]:
    return (
        (direction, "message", "m1"),
        (direction, "message", "m2"),
        (direction, "message", "m3"),
        (other, "receipt", "r1"),
    )


def well() -> Facts:
    """Three messages, two conversations, one receipt, and another one that was given and never arrived."""
    sizes = {"log": 4}
    return Facts(
        approved=APPROVED,
        sent=(
            Sent("m1", ONE, 1, 1, "delivered", "d1", "r1"),
            Sent("m2", ONE, 2, 2, "delivered", "d2", "r1"),
            Sent("m3", TWO, 1, 1, "delivered", "d3", "r1"),
        ),
        received=(Received("m3", TWO, 1, "d3"), Received("m1", ONE, 1, "d1"), Received("m2", ONE, 2, "d2")),
        quarantined=0,
        reserved=3,
        undone={},
        sender=HomeFacts(("r1",), _log("out", "in"), sizes, sizes),
        partner=HomeFacts(
            ("r1", "r0"), (*_log("in", "out"), ("out", "receipt", "r0")), {"log": 5}, {"log": 5}
        ),
    )


def test_a_run_that_went_well() -> None:
    """Nothing is found; a receipt that was given and lost on its way is no loss."""
    assert judge(well()) == []


Change = Callable[[Facts], Facts]

FAULTS: dict[str, tuple[Change, str]] = {
    "lost before it was sent": (lambda f: replace(f, sent=f.sent[1:]), "1 missing in the sender's outbox"),
    "sent though not approved": (
        lambda f: replace(f, sent=(*f.sent, replace(f.sent[0], message_id="m4"))),
        "1 too many in the sender's outbox",
    ),
    "still on its way": (
        lambda f: replace(f, sent=(replace(f.sent[0], state="attempted"), *f.sent[1:])),
        "a message ended as attempted",
    ),
    "without a receipt": (
        lambda f: replace(f, sent=(replace(f.sent[0], receipt=""), *f.sent[1:])),
        "a delivered message has no receipt that verifies",
    ),
    "lost": (lambda f: replace(f, received=f.received[1:]), "1 missing in the partner's inbox"),
    "twice": (
        lambda f: replace(f, received=(*f.received, f.received[0])),
        "1 too many in the partner's inbox",
    ),
    "other bytes": (
        lambda f: replace(f, received=(replace(f.received[0], payload_sha256="d9"), *f.received[1:])),
        "the partner holds other bytes than were sent",
    ),
    "a gap": (
        lambda f: replace(f, received=(*f.received[:2], replace(f.received[2], seq=3))),
        "the numbers of a conversation have a gap or a repetition",
    ),
    "reordered": (
        lambda f: replace(f, approved={ONE: ["m2", "m1"], TWO: ["m3"]}),
        "a conversation is not in the order of approval",
    ),
    "half-way": (lambda f: replace(f, undone={"awaiting-approval": 1}), "1 releases are awaiting-approval"),
    "refused": (lambda f: replace(f, quarantined=1), "1 messages were refused"),
    "quota twice": (lambda f: replace(f, reserved=4), "4 reservations of quota for 3 messages"),
    "entry missing": (
        lambda f: replace(f, sender=replace(f.sender, log=f.sender.log[1:])),
        "1 missing in the sender's log",
    ),
    "entry twice": (
        lambda f: replace(f, partner=replace(f.partner, log=(*f.partner.log, f.partner.log[0]))),
        "1 too many in the partner's log",
    ),
    "invented receipt": (
        lambda f: replace(f, partner=replace(f.partner, receipts=("r0",), log=f.partner.log[:3])),
        "the sender holds a receipt the partner does not know",
    ),
    "log broken": (
        lambda f: replace(f, partner=replace(f.partner, verified={})),
        "the partner's logs do not verify",
    ),
    "log shorter": (
        lambda f: replace(f, sender=replace(f.sender, verified={"log": 3})),
        "the sender's logs were verified at other sizes than stored",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found(fault: str) -> None:
    """One thing wrong in the facts is named among the findings."""
    change, finding = FAULTS[fault]
    assert finding in judge(change(well()))


def test_a_plan_sends_every_record_once() -> None:
    """The plan deals each record to one conversation, batches lose and repeat none; one seed, one plan."""
    plan = make_plan(50, 7, seed=3)
    records = plan.records()
    dealt = [record for conversation in records for record in conversation]
    assert len(dealt) == len(set(dealt)) == 50
    assert len(records) == len(set(plan.conversations)) == 7
    for conversation in records:
        chance = Random(3)  # noqa: S311
        assert [record for batch in batches(conversation, chance) for record in batch] == conversation
    assert make_plan(50, 7, seed=3) == plan

"""Exactly once, in order, with a receipt, in the proof: what both stores must say when everything is over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Crossing = tuple[Literal["in", "out"], Literal["message", "receipt"], str]


@dataclass(frozen=True)
class Sent:
    """One outbox row of the sender."""

    message_id: str
    conversation: str
    seq: int
    position: int
    state: str
    payload_sha256: str
    receipt: str  # id of a stored receipt that verifies and accepts exactly this message; empty for none


@dataclass(frozen=True)
class Received:
    """One inbox row of the partner."""

    message_id: str
    conversation: str
    seq: int
    payload_sha256: str


@dataclass(frozen=True)
class HomeFacts:
    """What one home holds beside its messages."""

    receipts: tuple[str, ...]  # of the direction that matters here: got by the sender, given by the partner
    log: tuple[Crossing, ...]  # its log about the other
    sizes: Mapping[str, int]  # of each log, as stored
    verified: Mapping[str, int]  # of each log, as the offline verifier found it; empty when it failed


@dataclass(frozen=True)
class Facts:
    """Everything the verdict rests on."""

    approved: Mapping[str, Sequence[str]]  # message ids by conversation, in the order acknowledged
    sent: tuple[Sent, ...]
    received: tuple[Received, ...]
    quarantined: int
    reserved: int
    undone: Mapping[str, int]  # releases that are neither delivered nor an unendorsed draft, by state
    sender: HomeFacts
    partner: HomeFacts


def judge(facts: Facts) -> list[str]:
    """What is wrong; empty when nothing is.

    (1) the sender's rows are the approved messages, each once, each delivered under a receipt that verifies; (2) the
    partner holds each of them once, with the same bytes; (3) in each conversation its numbers run 1..n in the order of
    approval; (4) nothing else came of it: no release half-way, nothing refused, no quota reserved twice; (5) each log
    has one entry for each message and each receipt and no other, and the receipts got are receipts given; (6) every
    log verifies, with the size that is stored.
    """
    approved = [message for messages in facts.approved.values() for message in messages]
    return [
        *_sent(facts, approved),
        *_received(facts, approved),
        *_ordered(facts),
        *_nothing_else(facts, len(approved)),
        *_logged(facts, approved),
        *_verified("sender", facts.sender),
        *_verified("partner", facts.partner),
    ]


def _sent(facts: Facts, approved: Sequence[str]) -> Iterable[str]:
    # (1)
    yield from _same("sender's outbox", approved, [row.message_id for row in facts.sent])
    for row in facts.sent:
        if row.state != "delivered":
            yield f"a message ended as {row.state}"
        elif not row.receipt:
            yield "a delivered message has no receipt that verifies"


def _received(facts: Facts, approved: Sequence[str]) -> Iterable[str]:
    # (2)
    yield from _same("partner's inbox", approved, [row.message_id for row in facts.received])
    sent = {row.message_id: row.payload_sha256 for row in facts.sent}
    if any(sent.get(row.message_id) != row.payload_sha256 for row in facts.received):
        yield "the partner holds other bytes than were sent"


def _ordered(facts: Facts) -> Iterable[str]:
    # (3)
    for conversation, messages in facts.approved.items():
        rows = sorted(
            (row for row in facts.received if row.conversation == conversation), key=lambda row: row.seq
        )
        if [row.seq for row in rows] != list(range(1, len(messages) + 1)):
            yield "the numbers of a conversation have a gap or a repetition"
        if [row.message_id for row in rows] != list(messages):
            yield "a conversation is not in the order of approval"


def _nothing_else(facts: Facts, approved: int) -> Iterable[str]:
    # (4)
    for state, count in facts.undone.items():
        yield f"{count} releases are {state}"
    if facts.quarantined:
        yield f"{facts.quarantined} messages were refused"
    if facts.reserved != approved:
        yield f"{facts.reserved} reservations of quota for {approved} messages"


def _logged(facts: Facts, approved: Sequence[str]) -> Iterable[str]:
    # (5)
    out: list[Crossing] = [("out", "message", message) for message in approved]
    into: list[Crossing] = [("in", "message", message) for message in approved]
    yield from _same(
        "sender's log", [*out, *(("in", "receipt", one) for one in facts.sender.receipts)], facts.sender.log
    )
    yield from _same(
        "partner's log",
        [*into, *(("out", "receipt", one) for one in facts.partner.receipts)],
        facts.partner.log,
    )
    if not set(facts.sender.receipts) <= set(facts.partner.receipts):
        yield "the sender holds a receipt the partner does not know"


def _verified(whose: str, home: HomeFacts) -> Iterable[str]:
    # (6)
    if not home.verified:
        yield f"the {whose}'s logs do not verify"
    elif dict(home.verified) != dict(home.sizes):
        yield f"the {whose}'s logs were verified at other sizes than stored"


def _same(where: str, wanted: Iterable[object], found: Iterable[object]) -> Iterable[str]:
    """The same things, each as often."""
    expected, there = Counter(wanted), Counter(found)
    if missing := (expected - there).total():
        yield f"{missing} missing in the {where}"
    if extra := (there - expected).total():
        yield f"{extra} too many in the {where}"

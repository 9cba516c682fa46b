"""Carry out a decision, then decide again on what is left."""

import msgspec

from gateway.model.decision import Decision, Reason
from gateway.model.record import CanonicalRecord, pointer_token
from gateway.policy.context import Context
from gateway.policy.decide import decide
from gateway.policy.rules import Policy

#: What is left after redaction must need no redaction. A policy that asks for more each time never comes to rest.
UNSETTLED = Reason(
    rule="release.settled",
    version=1,
    effect="DENY",
    source_kind="house",
    article="release policy: redact, then decide again",
    message_id="release.settled",
)


def released(decision: Decision) -> tuple[str, ...]:
    """Pointers that leave, in record order. Only a PERMIT releases: a denial and a review leave nothing."""
    return decision.released if decision.effect == "PERMIT" else ()


def redact(record: CanonicalRecord, decision: Decision) -> CanonicalRecord:
    """The record with its released fields only: lists re-numbered, labels re-pointed.

    Pure and total: a pointer the record does not hold releases nothing. A decision reached on the result releases all
    of it, so carrying out that one changes nothing.
    """
    moved = positions(record, decision)
    content = {}
    for member, value in record.content.items():
        pointer = f"/{pointer_token(member)}"
        if pointer in moved:
            content[member] = value
        elif isinstance(value, list):
            kept = [item for index, item in enumerate(value) if f"{pointer}/{index}" in moved]
            if kept:
                content[member] = kept
    labels = tuple(
        msgspec.structs.replace(entry, pointer=moved[entry.pointer])
        for entry in record.labels
        if entry.pointer in moved
    )
    return msgspec.structs.replace(record, content=content, labels=labels)


def positions(record: CanonicalRecord, decision: Decision) -> dict[str, str]:
    """Where each released field stands after redaction: old pointer -> new pointer."""
    leaving = frozenset(released(decision))
    moved: dict[str, str] = {}
    for member, value in record.content.items():
        pointer = f"/{pointer_token(member)}"
        if pointer in leaving:
            moved[pointer] = pointer
        elif isinstance(value, list):
            kept = [f"{pointer}/{index}" for index in range(len(value)) if f"{pointer}/{index}" in leaving]
            moved |= {old: f"{pointer}/{index}" for index, old in enumerate(kept)}
    return moved


def decide_again(policy: Policy, ctx: Context, decision: Decision) -> Decision:
    """Decide on what ``decision`` leaves of ``ctx.record``: a PERMIT comes back only when it is clean.

    (1) anything but a PERMIT stands as it is; (2) redact, and let lifts follow their fields; (3) decide with the same
    subject, request, agreement and instant; (4) a PERMIT that asks for more redaction becomes a DENY.
    """
    # (1)
    if decision.effect != "PERMIT":
        return decision
    # (2)
    moved = positions(ctx.record, decision)
    members = {pointer_token(member) for member in ctx.record.content}
    lifts = tuple(
        msgspec.structs.replace(lift, pointer=moved.get(lift.pointer, lift.pointer))
        for lift in ctx.lifts
        if lift.pointer in moved or members.isdisjoint(lift.pointer.split("/")[1:2])  # no field: the person
    )
    # (3)
    again = decide(policy, msgspec.structs.replace(ctx, record=redact(ctx.record, decision), lifts=lifts))
    # (4)
    if again.obligations:  # only a PERMIT has any
        withheld = tuple(msgspec.structs.replace(field, outcome="withheld") for field in again.fields)
        return Decision("DENY", (UNSETTLED,), withheld, ())
    return again

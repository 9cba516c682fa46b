"""The texts of a decision as people read them: those that would leave, and the reasons that stay inside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.model.decision import Decision, Hint
from gateway.model.kind import RecordKind
from gateway.model.record import CanonicalRecord, fields_of, free_texts
from gateway.model.request import Emergency, Lift
from gateway.policy.context import Context
from gateway.policy.hints import inside
from gateway.service.calls.texts import FreeText


def texts_of(ctx: Context, decision: Decision, told: Sequence[Hint] | None) -> tuple[FreeText, ...]:
    """Every text of a decision; with the hints, the reasons that stay inside, too."""
    reasons = () if told is None else reasons_of(ctx.justification, ctx.lifts, ctx.emergency, told)
    return (*_leaving(ctx.record, ctx.kind, decision), *reasons)


def _leaving(record: CanonicalRecord, kind: RecordKind, decision: Decision) -> Iterator[FreeText]:
    """Texts of the fields that the rules for fields let out, and of a denial those for which it denied; in the order
    of the kind, as they would be sent."""
    found = [reason for reason in decision.reasons if reason.effect != "PERMIT"]
    leaving = frozenset(decision.released)
    order = [*kind.fields]
    known = [field for field in fields_of(record, kind) if field.spec is not None]
    for field in sorted(known, key=lambda field: order.index(kind.pattern(field.pointer))):
        for pointer, text in free_texts(field):
            rules = tuple(hit.rule for hit in found if hit.pointer == pointer)
            if field.pointer in leaving or rules:
                yield FreeText(pointer, text, field.label, rules)


def reasons_of(
    justification: str, lifts: Sequence[Lift], emergency: Emergency | None, hits: Sequence[Hint]
) -> Iterator[FreeText]:
    """What the officer wrote as reasons: kept, shown to those who review, and never sent."""
    for pointer, text in inside(justification, lifts, emergency):
        yield FreeText(
            pointer, text, None, tuple(hit.rule for hit in hits if hit.pointer == pointer), leaves=False
        )

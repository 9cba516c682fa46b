"""What was said aloud, held against the policy afterwards: recorded in any case, and flagged where it was a breach."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from gateway.flow.ground import MAX_ENTRIES, MAX_SKEW
from gateway.flow.typed import fault, require_text
from gateway.model.decision import Decision, Effect, Reason
from gateway.model.kind import RecordKind
from gateway.model.oral import Said
from gateway.model.record import CanonicalRecord, fields_of
from gateway.wire.strict import OrgId


class Judged(msgspec.Struct, frozen=True):
    """What a release of the same fields would have been. ``outside``: fields that should not have been said."""

    effect: Effect
    outside: tuple[str, ...]
    reasons: tuple[Reason, ...]


def judged(fields: Sequence[str], decision: Decision) -> Judged:
    """Under a permit, a withheld field is outside, with its rule; without one, all of them are."""
    if decision.effect != "PERMIT":
        return Judged(decision.effect, tuple(fields), decision.reasons)
    withheld = {one.pointer: one for one in decision.withheld}
    outside = tuple(pointer for pointer in fields if pointer in withheld)
    reasons = tuple(
        Reason(one.rule, one.version, "DENY", one.source_kind, one.article, one.rule, one.pointer)
        for one in (withheld[pointer] for pointer in outside)
    )
    return Judged("PERMIT", outside, reasons)


def late(at: datetime, now: datetime, hours: int | None) -> bool:
    """Whether it was written down after the house clock; without one everything is late."""
    return hours is None or now - at > timedelta(hours=hours)


def require_told(said: Said, record: CanonicalRecord, kind: RecordKind, *, ours: str, now: datetime) -> None:
    """Raises `RequestInvalid`, naming field and rule, for what tells too little: (1) to which organisation, not ours;
    (2) which fields of this record, none twice; (3) in texts that say something; (4) what has happened already."""
    # (1)
    try:
        org = msgspec.convert(said.partner, OrgId)
    except msgspec.ValidationError:
        raise fault("partner", "an organisation is named by its id, such as fra.police-demo") from None
    if org == ours:
        raise fault("partner", "what is said within the house is no disclosure")
    # (2)
    known = {field.pointer for field in fields_of(record, kind)}
    if not said.fields or len(said.fields) > MAX_ENTRIES or len({*said.fields}) < len(said.fields):
        raise fault("fields", f"1 to {MAX_ENTRIES} pointers, none twice")
    if not {*said.fields} <= known:
        raise fault("fields", "the record has no field at this pointer")
    # (3)
    for name in ("told", "purpose", "legal_basis", "justification"):
        require_text(name, getattr(said, name))
    # (4)
    if said.at > now + MAX_SKEW:
        raise fault("at", "what is recorded has happened already")

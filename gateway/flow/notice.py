"""What changed after it was shared, without I/O: which past recipients must be told, which may be, and of what.

A message that reached a partner said what a record held then, under the labels of then. What is compared with today is
what *left*, and nothing else: a value that was withheld, and would be withheld today, never causes anything of which a
partner could see a trace. What comes out names codes and members of the record kind, and no value.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from gateway.flow.change import canonical
from gateway.flow.replay import outcome
from gateway.model.decision import Decision
from gateway.model.ground import GroundKind
from gateway.model.kind import RecordKind
from gateway.model.label import LevelTable, SecurityLabel, dominates
from gateway.model.record import CanonicalRecord, LabelledField, fields_of
from gateway.policy.context import Context
from gateway.policy.decide import judge
from gateway.policy.expr import Reading
from gateway.policy.redact import released
from gateway.policy.rules import Policy, Rules

Duty = Literal["must", "may"]

#: Why a record is deleted here, and every past recipient told (law 29.3.2024 art. 7 §3; Directive (EU) 2016/680
#: art. 7(3), 16(5)-(6)).
Removal = Literal["false", "removed", "acquitted"]

Code = Literal[
    "false",
    "removed",  # the record, or an item that left with it
    "acquitted",
    "changed",  # a value that left is another one now
    "level-lowered",
    "label-raised",  # stricter on some axis, a shorter release list among them
    "consent-withdrawn",
    "authorisation-withdrawn",  # of a judicial authority
    "derogation-withdrawn",  # for a transfer outside the Union
    "expired",
    "embargo",
    "not-validated",
    "archived",
    "delisted",
    "judicial",  # became judicial information, without the authorisation that it takes
    "minor",
    "level-raised",
    "label-relaxed",
    "updated",  # a level that stayed what it was, with other dates
    "added",
]

#: A ground without which the message as a whole could not have left; a consent is about fields, and has its rules.
WITHDRAWN: dict[GroundKind, Code] = {
    "authorisation": "authorisation-withdrawn",
    "derogation": "derogation-withdrawn",
}

#: An update may be sent; everything else must be told.
MAY: frozenset[Code] = frozenset({"level-raised", "label-relaxed", "updated", "added"})

#: Rules about the record and the person that stopped a release as a whole, had they spoken then. Rules about partner,
#: agreement, officers, quotas or the age of the extract change nothing of what the partner holds.
RELEASE_RULES: dict[str, Code] = {
    "embargo": "embargo",
    "bdc.validated": "not-validated",
    "bdc.card": "not-validated",
    "bdc.archived": "archived",
    "bdc.judicial": "judicial",
    "bdc.pre-inquiry": "expired",
    "list.current": "delisted",
    "dna.confirmed": "not-validated",
    "pnr.reviewed": "not-validated",
    "person.under-12": "minor",
    "person.minor": "minor",
}

#: The same of a field that left.
FIELD_RULES: dict[str, Code] = {
    "evaluation.fresh": "expired",
    "third-party": "consent-withdrawn",
    "label.orcon": "consent-withdrawn",
    "support.consent": "consent-withdrawn",
}


class Finding(msgspec.Struct, frozen=True, order=True):
    """One thing that is otherwise: a code, and the member of the record (empty: the record as a whole)."""

    code: Code
    member: str = ""

    @property
    def duty(self) -> Duty:
        return "may" if self.code in MAY else "must"


class Left(msgspec.Struct, frozen=True):
    """What a message carried: the record as it was, and what of it left."""

    record: CanonicalRecord
    decision: Decision


def findings(
    left: Left,
    ctx: Context,
    policy: Policy,
    *,
    removal: Removal | None,
    newest: bool,
    withdrawn: Collection[GroundKind] = (),
) -> tuple[Finding, ...]:
    """Everything of a message that is otherwise today. ``ctx`` holds the newest version of the record, and the purpose,
    lifts, request and emergency of the message, of which the emergency excuses what left alone; ``newest``: nothing
    later about the record reached this partner; ``withdrawn``: kinds of grounds that the message named, and that were
    taken back.

    (1) a record that is gone for cause is a finding alone; (2) so is one that could not leave at all any more: what was
    judicial information then left with an authorisation, which has a code of its own once it is withdrawn; (3) each
    field that left is looked for in the record of today, its value, label and consent; (4) what may be told, what would
    leave today and did not among it, is told of the newest message alone.
    """
    # (1)
    if removal is not None:
        return (Finding(removal),)
    # (2)
    reading = Reading(ctx)
    stopped = _codes(policy.release_rules, RELEASE_RULES, reading)
    if "judicial" in stopped:
        then = Reading(msgspec.structs.replace(ctx, record=left.record, subject=left.record))
        stopped -= _codes(policy.release_rules, {"bdc.judicial": "judicial"}, then)
    stopped |= {code for kind, code in WITHDRAWN.items() if kind in withdrawn}
    if stopped:
        return tuple(sorted(Finding(code) for code in stopped))
    # (3)
    before, today = _by_value(left.record, ctx.kind), _by_value(ctx.record, ctx.kind)
    leaving = frozenset(left.decision.released)
    found: set[Finding] = set()
    matched: set[str] = set()
    for key, fields in before.items():
        candidates = list(today.get(key, ()))
        for field in (field for field in fields if field.pointer in leaving):
            same = _match(field, candidates)
            if same is None:
                found |= _gone(field, ctx.record, ctx.kind)
                continue
            matched.add(same.pointer)
            found |= _marked(field, same, policy.field_rules, reading, ctx.levels)
    # (4)
    if newest:
        # Another value of a member that is no list is a finding already.
        told = {_member(one) for one in leaving} - ctx.kind.lists
        for pointer in released(outcome(policy, msgspec.structs.replace(ctx, emergency=None))):
            if pointer not in matched and _member(pointer) not in told:
                found.add(Finding("added", _member(pointer)))
        return tuple(sorted(found))
    return tuple(sorted(one for one in found if one.duty == "must"))


def duty_of(found: tuple[Finding, ...]) -> Duty:
    """One thing that must be told makes the whole a duty."""
    return "must" if any(one.duty == "must" for one in found) else "may"


def due_at(since: datetime, hours: int | None) -> datetime | None:
    """When what must be told is due, by the house clock; None without one: undetermined, and shown as overdue."""
    return None if hours is None else since + timedelta(hours=hours)


def replaceable(found: tuple[Finding, ...]) -> bool:
    """Whether the record of today could stand in the message's place: nothing says that it must not be there at all."""
    whole = {*RELEASE_RULES.values(), *WITHDRAWN.values(), "false", "acquitted"}
    return not any(one.code in whole and not one.member for one in found) and Finding("removed") not in found


def stays(ctx: Context, policy: Policy) -> bool:
    """Whether the record of today may be at the partner in part: fields that leave unasked, on whichever officer's
    word, make a record of its kind. What holds up a release as a whole for now is not asked."""
    reading = Reading(msgspec.structs.replace(ctx, officers=(), request=None, emergency=None))
    fields = fields_of(ctx.record, ctx.kind)
    left = [one for one in fields if judge(policy.field_rules, reading.of_field(one)).effect != "DENY"]
    return bool(left) and ctx.kind.required <= {_member(one.pointer) for one in left}


# --- one field -------------------------------------------------------------------------------------------------------


def _member(pointer: str) -> str:
    return pointer.split("/")[1]


def _by_value(record: CanonicalRecord, kind: RecordKind) -> dict[bytes, list[LabelledField]]:
    """Fields by member and value: an item of a list is the same one wherever it stands."""
    found: dict[bytes, list[LabelledField]] = {}
    for field in fields_of(record, kind):
        found.setdefault(canonical([_member(field.pointer), field.value]), []).append(field)
    return found


def _match(field: LabelledField, candidates: list[LabelledField]) -> LabelledField | None:
    """The field of today that this one is; of equal values one that is marked alike, before any other."""
    alike = [each for each in candidates if _mark(each) == _mark(field)]
    same = next(iter(alike or candidates), None)
    if same is not None:
        candidates.remove(same)
    return same


def _mark(field: LabelledField) -> tuple[SecurityLabel | None, str, tuple[str, ...]]:
    return field.label, field.originator, field.consent


def _gone(field: LabelledField, record: CanonicalRecord, kind: RecordKind) -> set[Finding]:
    """A value that left and is not there any more: removed, or another one now."""
    member = _member(field.pointer)
    if member in kind.lists or member not in record.content:
        return {Finding("removed", member)}
    graver = field.spec.graver if field.spec is not None else ""
    if not graver:
        return {Finding("changed", member)}
    before, after = field.value.get(graver), record.content[member].get(graver)
    if not isinstance(before, int) or not isinstance(after, int):
        return {Finding("changed", member)}
    if after < before:
        return {Finding("level-lowered", member)}
    return {Finding("level-raised" if after > before else "updated", member)}


def _marked(
    then: LabelledField,
    today: LabelledField,
    rules: Rules,
    reading: Reading,
    levels: LevelTable,
) -> set[Finding]:
    """The same value: whether its label, its consent or its time says otherwise today.

    The label of what left stands in the message, so another one is other bytes. One that is stricter on any axis must
    be told, and so must one that nobody can rank, or that is not there any more.
    """
    member = _member(then.pointer)
    if today.label is None:
        return {Finding("label-raised", member)}
    found = {Finding(code, member) for code in _codes(rules, FIELD_RULES, reading.of_field(today))}
    if then.label != today.label:
        relaxed = then.label is not None and dominates(then.label, today.label, levels)
        found.add(Finding("label-relaxed" if relaxed else "label-raised", member))
    return found


def _codes(rules: Rules, known: dict[str, Code], reading: Reading) -> set[Code]:
    """What the known rules say of this reading; one that cannot be told speaks, as it would deny."""
    asked = Rules(each for each in rules if each.rule.id in known)
    return {known[reason.rule] for reason in judge(asked, reading).reasons() if reason.rule in known}

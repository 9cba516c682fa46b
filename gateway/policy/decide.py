"""The decision: rule by rule, deny overrides, an erring rule denies, no permit denies.

Two scopes, one algorithm. *Field rules* say of each field whether it leaves; *release rules* say whether anything does.

Level, release list and the other axes of a label are asked of each **field**: one item above the ceiling, or released
to nobody, is withheld, and the rest may leave. Only doubt about labels as such (an unlabelled item, an unknown level)
denies the release as a whole. Where nothing is left of a member that the kind requires, or of the record, the release
is denied and the field rules that withheld it are the reasons: a release list empty on every item denies with
``label.releasable``.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Literal

import msgspec

from gateway.model.decision import Decision, Effect, FieldOutcome, Reason, Redact
from gateway.model.record import LabelledField, fields_of
from gateway.policy.context import Context
from gateway.policy.expr import Const, FactUnreadable, Reading
from gateway.policy.facts.declare import FIELD, SPEC
from gateway.policy.rules import CompiledRule, Policy, Rule

#: The rule when no rule of the policy even speaks of the matter: silence denies.
SILENCE = Rule(
    id="default.deny",
    version=1,
    scope="release",
    source_kind="house",
    article="release policy: no permit denies",
    applies=Const(True),
    condition=Const(True),
    effect="DENY",
    message_id="default.deny",
)

#: A rule that spoke, how, the fact at fault where it could not be told, and where, if its own fact names places.
Said = tuple[Rule, Effect, str, str]


class Verdict(msgspec.Struct, frozen=True):
    """What the rules of one scope say together. ``overruled``: a rule denied, rather than none permitting."""

    effect: Effect
    said: tuple[Said, ...]  # by the rules that decided; one at least
    pointer: str
    overruled: bool = False

    @property
    def reasons(self) -> tuple[Reason, ...]:
        return tuple(
            _reason(rule, effect, error, at or self.pointer) for rule, effect, error, at in self.said
        )


def decide(policy: Policy, ctx: Context) -> Decision:
    """Decide about ``ctx.record`` toward ``ctx.partner``. Pure: equal arguments, equal decision. Never raises.

    (1) every field by the field rules; (2) the release by the release rules; (3) what the kind requires, or anything
    at all, must be left; (4) a denial withholds every field, a review awaits a person, and a permit obliges the caller
    to redact each withheld field.

    On DENY ``reasons`` names every denying release rule, not only the first; on PERMIT the permitting ones.
    """
    # (1)
    reading = Reading(ctx)
    fields = tuple(fields_of(ctx.record, ctx.kind))
    verdicts = {
        field.pointer: judge(policy.field_rules, reading.of_field(field), field.pointer) for field in fields
    }
    left = tuple(field for field in fields if verdicts[field.pointer].effect != "DENY")
    # (2)
    release = judge(policy.release_rules, reading.after(after_fields(ctx, left)))
    # (3)
    reasons = release.reasons
    effect = release.effect
    if not release.overruled and (lost := _lost(fields, left, ctx.kind.required)):
        first: dict[str, Reason] = {}  # one reason a rule, at the first field it withheld
        for reason in (reason for field in lost for reason in verdicts[field.pointer].reasons):
            first.setdefault(reason.rule, reason)
        effect, reasons = "DENY", tuple(first.values())
    # (4)
    if effect == "DENY":
        stopped = reasons[0]
        outcomes = tuple(
            _outcome(pointer, verdict) if verdict.effect == "DENY" else _stopped(pointer, stopped)
            for pointer, verdict in verdicts.items()
        )
        return Decision("DENY", reasons, outcomes, ())
    outcomes = tuple(_outcome(pointer, verdict) for pointer, verdict in verdicts.items())
    reviews = [verdict for verdict in (release, *verdicts.values()) if verdict.effect == "REVIEW"]
    if reviews:
        return Decision("REVIEW", tuple(reason for each in reviews for reason in each.reasons), outcomes, ())
    withheld = tuple(Redact(outcome.pointer) for outcome in outcomes if outcome.outcome == "withheld")
    return Decision("PERMIT", reasons, outcomes, withheld)


def judge(rules: tuple[CompiledRule, ...], reading: Reading, pointer: str = "") -> Verdict:
    """Combine rules over one reading: deny overrides review, review overrides permit, no permit denies.

    A rule that cannot be told denies, with the fact at fault as ``error``; a PERMIT rule that cannot be told permits
    nothing. The rules that could have permitted are the reasons when none did.
    """
    denying: list[Said] = []
    reviewing: list[Said] = []
    permitting: list[Said] = []
    silent: list[Said] = []
    for each, answer in _settled(rules, reading):
        rule = each.rule
        effect = rule.effect
        if answer is True:
            into = permitting if effect == "PERMIT" else denying if effect == "DENY" else reviewing
            into += [(rule, effect, "", at) for at in _places(each, reading)]
        else:
            error = answer.fact if isinstance(answer, FactUnreadable) else ""
            (silent if effect == "PERMIT" else denying).append((rule, "DENY", error, ""))
    if denying:
        return Verdict("DENY", tuple(denying), pointer, overruled=True)
    if not permitting:
        return Verdict("DENY", tuple(silent) or ((SILENCE, "DENY", "", ""),), pointer)
    if reviewing:
        return Verdict("REVIEW", tuple(reviewing), pointer)
    return Verdict("PERMIT", tuple(permitting), pointer)


class _Open(Enum):
    """The question to a rule that is still to be answered."""

    APPLIES = "whether it applies"
    CONDITION = "it applies; whether its condition holds"


#: A rule, and its answer so far: a truth, the fact at fault, or the question that is open. What does not apply, and a
#: DENY or REVIEW rule whose condition does not hold, says nothing and is left out.
_Asked = tuple[CompiledRule, bool | FactUnreadable | _Open]


def _settled(rules: tuple[CompiledRule, ...], reading: Reading, place: int = FIELD) -> Sequence[_Asked]:
    """Rules with their answers, in order, as far as they can be told from this place.

    What was told from a place is kept there: a rule is asked once for all fields that look alike to it. What it has to
    say of no field of a specification, whatever the world, is kept with the rule.
    """
    look = reading.looks[place]
    if look.asked is not None and look.asked[0] is rules:
        kept: Sequence[_Asked] = look.asked[1]
        return kept
    settled: list[_Asked] = []
    spec = look.field.spec if place == SPEC and look.field else None
    applies, condition = _Open.APPLIES, _Open.CONDITION
    for asked in _settled(rules, reading, place - 1) if place else [(each, applies) for each in rules]:
        each, answer = asked
        if spec is not None and spec in each.silent:
            continue
        try:
            if answer is applies and each.applies_sees <= place:
                if not each.applies(reading):
                    if spec is not None and each.of_kind[0]:
                        each.silent.add(spec)
                    continue
                asked = each, (answer := condition)
            if answer is condition and each.condition_sees <= place:
                answer = bool(each.condition(reading))
                if not answer and each.rule.effect != "PERMIT":
                    if spec is not None and each.of_kind[1]:
                        each.silent.add(spec)
                    continue
                asked = each, answer
        except FactUnreadable as unreadable:
            asked = each, unreadable
        settled.append(asked)
    look.asked = rules, settled
    return settled


def _places(each: CompiledRule, reading: Reading) -> list[str]:
    """What a rule's own fact names: one reason for each, and one at least. An empty place stands for what the rule was
    asked about."""
    try:
        places = reading.value(each.at) if each.at else None
    except FactUnreadable:  # the rule speaks all the same
        return [""]
    return (sorted(places) if isinstance(places, frozenset) else []) or [""]


def after_fields(ctx: Context, left: Sequence[LabelledField]) -> Context:
    """The context as the release rules see it: told what the field rules left."""
    pointers = frozenset(field.pointer for field in left)
    return msgspec.structs.replace(
        ctx, permitted=len(left), members=frozenset(map(_member, left)), left=pointers
    )


def _lost(
    fields: tuple[LabelledField, ...], left: tuple[LabelledField, ...], required: frozenset[str]
) -> tuple[LabelledField, ...]:
    """Fields whose loss leaves no record of this kind: of required members gone, else all when nothing is left."""
    missing = required - {_member(field) for field in left}
    lost = tuple(field for field in fields if _member(field) in missing) if missing else ()
    return lost or (fields if not left else ())


def _member(field: LabelledField) -> str:
    return field.pointer.split("/", 2)[1]


def _reason(rule: Rule, effect: Effect, error: str, pointer: str) -> Reason:
    return Reason(
        rule=rule.id,
        version=rule.version,
        effect=effect,
        source_kind=rule.source_kind,
        article=rule.article,
        message_id=rule.message_id,
        pointer=pointer,
        error=error,
    )


def _outcome(pointer: str, verdict: Verdict) -> FieldOutcome:
    rule = verdict.said[0][0]
    outcome: Literal["released", "withheld"] = "released" if verdict.effect == "PERMIT" else "withheld"
    return FieldOutcome(pointer, outcome, rule.id, rule.version, rule.source_kind, rule.article)


def _stopped(pointer: str, why: Reason) -> FieldOutcome:
    """The field stays because the release does."""
    return FieldOutcome(pointer, "withheld", why.rule, why.version, why.source_kind, why.article)

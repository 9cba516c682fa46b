"""The decision: rule by rule, deny overrides, an erring rule denies, no permit denies.

Two scopes, one algorithm. *Field rules* say of each field whether it leaves; *release rules* say whether anything does.

Level, release list and the other axes of a label are asked of each **field**: one item above the ceiling, or released
to nobody, is withheld, and the rest may leave. Only doubt about labels as such (an unlabelled item, an unknown level)
denies the release as a whole. Where nothing is left of a member that the kind requires, or of the record, the release
is denied and the field rules that withheld it are the reasons: a release list empty on every item denies with
``label.releasable``.
"""

import msgspec

from gateway.model.decision import Decision, Effect, FieldOutcome, Reason, Redact
from gateway.model.record import LabelledField, fields_of
from gateway.policy.context import Context
from gateway.policy.expr import FactUnreadable, Reading
from gateway.policy.rules import CompiledRule, Policy, Rule

#: The reason when no rule of the policy even speaks of the matter: silence denies.
SILENCE = Reason(
    rule="default.deny",
    version=1,
    effect="DENY",
    source_kind="house",
    article="release policy: no permit denies",
    message_id="default.deny",
)


class Verdict(msgspec.Struct, frozen=True):
    """What the rules of one scope say together. ``overruled``: a rule denied, rather than none permitting."""

    effect: Effect
    reasons: tuple[Reason, ...]
    overruled: bool = False


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
    release = judge(policy.release_rules, Reading(_after(ctx, left)))
    # (3)
    if not release.overruled and (lost := _lost(fields, left, ctx.kind.required)):
        first: dict[str, Reason] = {}  # one reason a rule, at the first field it withheld
        for reason in (reason for field in lost for reason in verdicts[field.pointer].reasons):
            first.setdefault(reason.rule, reason)
        release = Verdict("DENY", tuple(first.values()))
    # (4)
    if release.effect == "DENY":
        stopped = Verdict("DENY", release.reasons)
        verdicts = {name: each if each.effect == "DENY" else stopped for name, each in verdicts.items()}
    outcomes = tuple(_outcome(pointer, verdict) for pointer, verdict in verdicts.items())
    if release.effect == "DENY":
        return Decision("DENY", release.reasons, outcomes, ())
    reviews = [verdict for verdict in (release, *verdicts.values()) if verdict.effect == "REVIEW"]
    if reviews:
        return Decision("REVIEW", tuple(reason for each in reviews for reason in each.reasons), outcomes, ())
    withheld = tuple(Redact(outcome.pointer) for outcome in outcomes if outcome.outcome == "withheld")
    return Decision("PERMIT", release.reasons, outcomes, withheld)


def judge(rules: tuple[CompiledRule, ...], reading: Reading, pointer: str = "") -> Verdict:
    """Combine rules over one reading: deny overrides review, review overrides permit, no permit denies.

    A rule that cannot be told denies, with the fact at fault as ``error``; a PERMIT rule that cannot be told permits
    nothing. The rules that could have permitted are the reasons when none did.
    """
    denying: list[Reason] = []
    reviewing: list[Reason] = []
    permitting: list[Reason] = []
    silent: list[Reason] = []
    for each in rules:
        effect = each.rule.effect
        permits = effect == "PERMIT"
        answer = _ask(each, reading)
        if answer is None:
            continue
        if isinstance(answer, FactUnreadable):
            (silent if permits else denying).append(_reason(each.rule, "DENY", pointer, answer.fact))
        elif answer:
            into = permitting if permits else denying if effect == "DENY" else reviewing
            into.append(_reason(each.rule, effect, pointer))
        elif permits:
            silent.append(_reason(each.rule, "DENY", pointer))
    if denying:
        return Verdict("DENY", tuple(denying), overruled=True)
    if not permitting:
        return Verdict("DENY", tuple(silent) or (msgspec.structs.replace(SILENCE, pointer=pointer),))
    if reviewing:
        return Verdict("REVIEW", tuple(reviewing))
    return Verdict("PERMIT", tuple(permitting))


def _ask(each: CompiledRule, reading: Reading) -> bool | FactUnreadable | None:
    """The rule's answer over this reading; worked out once for all fields marked alike when it sees no more of them."""
    kept, name = reading.of_mark, each.rule.id
    if each.of_mark and name in kept:
        return kept[name]
    answer: bool | FactUnreadable | None
    try:
        answer = bool(each.condition(reading)) if each.applies(reading) else None
    except FactUnreadable as unreadable:
        answer = unreadable
    if each.of_mark:
        kept[name] = answer
    return answer


def _after(ctx: Context, left: tuple[LabelledField, ...]) -> Context:
    return msgspec.structs.replace(ctx, permitted=len(left), members=frozenset(map(_member, left)))


def _lost(
    fields: tuple[LabelledField, ...], left: tuple[LabelledField, ...], required: frozenset[str]
) -> tuple[LabelledField, ...]:
    """Fields whose loss leaves no record of this kind: of required members gone, else all when nothing is left."""
    kept = {_member(field) for field in left}
    lost = tuple(field for field in fields if _member(field) in required - kept)
    return lost or (fields if not left else ())


def _member(field: LabelledField) -> str:
    return field.pointer.split("/")[1]


def _reason(rule: Rule, effect: Effect, pointer: str, error: str = "") -> Reason:
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
    reason = verdict.reasons[0]
    return FieldOutcome(
        pointer=pointer,
        outcome="released" if verdict.effect == "PERMIT" else "withheld",
        rule=reason.rule,
        version=reason.version,
        source_kind=reason.source_kind,
        article=reason.article,
    )

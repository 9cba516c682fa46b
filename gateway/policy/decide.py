"""The decision: rule by rule, deny overrides, an erring rule denies, no permit denies.

Two scopes, one algorithm. *Field rules* say of each field whether it leaves; *release rules* say whether anything does.

Level, release list and the other axes of a label are asked of each **field**: one item above the ceiling, or released
to nobody, is withheld, and the rest may leave. Only doubt about labels as such (an unlabelled item, an unknown level)
denies the release as a whole. Where nothing is left of a member that the kind requires, or of the record, the release
is denied and the field rules that withheld it are the reasons: a release list empty on every item denies with
``label.releasable``.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from gateway.model.decision import Decision, Effect, FieldOutcome, Reason, Redact
from gateway.model.kind import FieldSpec
from gateway.model.record import LabelledField, fields_of, member_of
from gateway.policy.context import Context
from gateway.policy.expr import NOWHERE, Const, FactUnreadable, Far, Look, Places, Reading, Unseen
from gateway.policy.facts import FactSpec
from gateway.policy.rules import CompiledRule, Policy, Rule, Rules

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
    overruled: bool = False

    def reasons(self, pointer: str = "") -> tuple[Reason, ...]:
        """As reasons about this field; about the release without one."""
        return tuple(_reason(rule, effect, error, at or pointer) for rule, effect, error, at in self.said)


def decide(policy: Policy, ctx: Context) -> Decision:
    """Decide about ``ctx.record`` toward ``ctx.partner``. Pure: equal arguments, equal decision. Never raises.

    (1) every field by the field rules; (2) the release by the release rules; (3) what the kind requires, or anything
    at all, must be left; (4) a denial withholds every field, a review awaits a person, and a permit obliges the caller
    to redact each withheld field.

    On DENY ``reasons`` names every denying release rule, not only the first; on PERMIT the permitting ones.
    """
    # (1)
    fields = tuple(fields_of(ctx.record, ctx.kind))
    ctx = with_fields(ctx, fields)
    reading = Reading(ctx)
    rules = policy.field_rules
    verdicts = {field.pointer: _judge(rules, reading.places(field)) for field in fields}
    left = tuple(field for field in fields if verdicts[field.pointer].effect != "DENY")
    # (2)
    release = judge(policy.release_rules, reading.after(after_fields(ctx, left)))
    # (3)
    reasons = release.reasons()
    effect = release.effect
    if not release.overruled and (lost := _lost(fields, left, ctx.kind.required)):
        first: dict[str, Reason] = {}  # one reason a rule, at the first field it withheld
        for reason in (each for field in lost for each in verdicts[field.pointer].reasons(field.pointer)):
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
    reviews = [
        verdict.reasons(pointer)
        for pointer, verdict in (("", release), *verdicts.items())
        if verdict.effect == "REVIEW"
    ]
    if reviews:
        return Decision("REVIEW", tuple(reason for each in reviews for reason in each), outcomes, ())
    withheld = tuple(Redact(outcome.pointer) for outcome in outcomes if outcome.outcome == "withheld")
    return Decision("PERMIT", reasons, outcomes, withheld)


def judge(rules: Rules, reading: Reading) -> Verdict:
    """What the rules say over one reading."""
    return _judge(rules, reading.looks)


def _judge(rules: Rules, looks: Places) -> Verdict:
    """Combine rules over one reading: deny overrides review, review overrides permit, no permit denies.

    A rule that cannot be told denies, with the fact at fault as ``error``; a PERMIT rule that cannot be told permits
    nothing. The rules that could have permitted are the reasons when none did.
    """
    denying: list[Said] = []
    reviewing: list[Said] = []
    permitting: list[Said] = []
    silent: list[Said] = []
    release, mark, kind, field = looks
    for each, answer in _told(rules, looks):
        if answer is Unseen:
            try:
                answer = each.ask(release, mark, kind, field)
            except FactUnreadable as unreadable:
                answer = unreadable
            if answer is None:
                continue
        rule = each.rule
        effect = rule.effect
        if answer is True:
            into = permitting if effect == "PERMIT" else denying if effect == "DENY" else reviewing
            if each.at is None:
                into.append((rule, effect, "", ""))
            else:
                into += [(rule, effect, "", at) for at in _named(each.at, looks)]
        elif answer is not False:
            (silent if effect == "PERMIT" else denying).append((rule, "DENY", answer.fact, ""))
        elif effect == "PERMIT":
            silent.append((rule, "DENY", "", ""))
    if denying:
        return Verdict("DENY", tuple(denying), overruled=True)
    if not permitting:
        return Verdict("DENY", tuple(silent) or ((SILENCE, "DENY", "", ""),))
    if reviewing:
        return Verdict("REVIEW", tuple(reviewing))
    return Verdict("PERMIT", tuple(permitting))


#: A rule, and its answer as far as it is known: a truth, the fact at fault, or `Unseen`.
_Told = tuple[CompiledRule, Any]


def _told(rules: Rules, looks: Places) -> Sequence[_Told]:
    """The rules that may have something to say, in order, with what is known of their answers.

    Of a field much is known before it is looked at: from its mark alone, kept there for all fields marked alike; and of
    rules that say nothing of its specification, whatever the world, kept with the rules.
    """
    release, mark, kind, _ = looks
    if kind.field is None:
        return [(each, Unseen) for each in rules]
    if kind.asked is None or kind.asked[0] is not rules:
        if mark.asked is None or mark.asked[0] is not rules:
            mark.asked = rules, _of_mark(rules, release, mark)
        silent = rules.silent.get(spec := kind.field.spec)
        if silent is None:
            silent = rules.silent[spec] = frozenset(each for each in rules if _says_nothing(each, spec))
        kind.asked = rules, [told for told in mark.asked[1] if told[0] not in silent]
    told: Sequence[_Told] = kind.asked[1]
    return told


def _of_mark(rules: Rules, release: Look, mark: Look) -> list[_Told]:
    """What the rules say as far as can be told from a mark. What does not apply, and a DENY or REVIEW rule whose
    condition does not hold, says nothing and is left out."""
    found: list[_Told] = []
    for each in rules:
        answer: Any = Unseen
        try:
            if not each.near:
                answer = each.ask(release, mark, NOWHERE, NOWHERE)
        except FactUnreadable as unreadable:
            answer = unreadable
        except Unseen:
            pass
        if answer is not None and (answer is not False or each.rule.effect == "PERMIT"):
            found.append((each, answer))
    return found


def _says_nothing(each: CompiledRule, spec: FieldSpec | None) -> bool:
    """Whether the rule says nothing of any field of this specification, whatever the world."""
    try:
        answer = each.ask(NOWHERE, NOWHERE, Far(LabelledField("", None, spec, None, "", ())), NOWHERE)
    except (FactUnreadable, Unseen):
        return False
    return answer is None or (answer is False and each.rule.effect != "PERMIT")


def _named(at: FactSpec, looks: Places) -> list[str]:
    """What a rule's own fact names: one reason for each, and one at least. An empty place stands for what the rule was
    asked about."""
    try:
        places = looks[at.sees][at]
    except FactUnreadable:  # the rule speaks all the same
        return [""]
    return (sorted(places) if isinstance(places, frozenset) else []) or [""]


def after_fields(ctx: Context, left: Sequence[LabelledField]) -> Context:
    """The context as the release rules see it: told what the field rules left."""
    pointers = frozenset(field.pointer for field in left)
    return msgspec.structs.replace(
        ctx, permitted=len(left), members=frozenset(member_of(field.pointer) for field in left), left=pointers
    )


def with_fields(ctx: Context, fields: tuple[LabelledField, ...]) -> Context:
    """The same context, of which no fact has to read the fields again."""
    return msgspec.structs.replace(ctx, fields=fields)


def _lost(
    fields: tuple[LabelledField, ...], left: tuple[LabelledField, ...], required: frozenset[str]
) -> tuple[LabelledField, ...]:
    """Fields whose loss leaves no record of this kind: of required members gone, else all when nothing is left."""
    missing = required - {member_of(field.pointer) for field in left}
    lost = tuple(field for field in fields if member_of(field.pointer) in missing)
    return lost or (fields if not left else ())


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

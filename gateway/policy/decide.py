"""The decision: rule by rule, deny overrides, an erring rule denies, no permit denies.

Two scopes, one algorithm. *Field rules* say of each field whether it leaves; *release rules* say whether anything does.

Level, release list and the other axes of a label are asked of each **field**: one item above the ceiling, or released
to nobody, is withheld, and the rest may leave. Only doubt about labels as such (an unlabelled item, an unknown level)
denies the release as a whole. Where nothing is left of a member that the kind requires, or of the record, the release
is denied and the field rules that withheld it are the reasons: a release list empty on every item denies with
``label.releasable``.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from gateway.model.decision import Decision, Effect, FieldOutcome, Reason, Redact
from gateway.model.kind import FieldSpec
from gateway.model.record import LabelledField, fields_of, member_of, members_of
from gateway.policy.context import Context
from gateway.policy.expr import NOWHERE, Const, FactUnreadable, Places, Reading, Unseen
from gateway.policy.facts import FactSpec
from gateway.policy.facts.declare import SPEC
from gateway.policy.rules import CompiledRule, Parted, Policy, Rule, Rules, Told

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


#: A field, and what the field rules say of it.
Judged = tuple[LabelledField, Verdict]


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
    judged = [(field, _of_field(rules, reading.places(field), field.spec)) for field in fields]
    left = [field for field, verdict in judged if verdict.effect != "DENY"]
    # (2)
    ctx = after_fields(ctx, left)
    release = judge(policy.release_rules, reading.after(ctx))
    # (3)
    reasons = release.reasons()
    effect = release.effect
    if not release.overruled and (lost := _lost(judged, left, ctx.kind.required)):
        first: dict[str, Reason] = {}  # one reason a rule, at the first field it withheld
        for reason in (each for field, verdict in lost for each in verdict.reasons(field.pointer)):
            first.setdefault(reason.rule, reason)
        effect, reasons = "DENY", tuple(first.values())
    # (4)
    if effect == "DENY":
        stopped = reasons[0]
        outcomes = [
            _outcome(field.pointer, verdict) if verdict.effect == "DENY" else _stopped(field.pointer, stopped)
            for field, verdict in judged
        ]
        return Decision("DENY", reasons, tuple(outcomes), ())
    outcomes = [_outcome(field.pointer, verdict) for field, verdict in judged]
    reviews = [reasons] if effect == "REVIEW" else []
    reviews += [verdict.reasons(field.pointer) for field, verdict in judged if verdict.effect == "REVIEW"]
    if reviews:
        return Decision("REVIEW", tuple(reason for each in reviews for reason in each), tuple(outcomes), ())
    withheld = tuple(Redact(outcome.pointer) for outcome in outcomes if outcome.outcome == "withheld")
    return Decision("PERMIT", reasons, tuple(outcomes), withheld)


def judge(rules: Rules, reading: Reading) -> Verdict:
    """What the rules say over one reading."""
    looks = reading.looks
    field = looks[SPEC].field
    if field is None:
        return _verdict(_told(rules, looks), looks)
    return _of_field(rules, looks, field.spec)


def _of_field(rules: Rules, looks: Places, spec: FieldSpec | None) -> Verdict:
    """What the rules say of one field.

    What can be told from its mark alone is kept there for all fields marked alike; what can be told from its
    specification alone is kept with the rules, for good. Of fields of which the same is said the verdict is one.
    """
    release, mark, kind, _ = looks
    if mark.kept is None or mark.kept[0] is not rules:
        mark.kept = rules, _parted(_told(rules.far, (release, mark, NOWHERE, NOWHERE)))
    near = rules.near.get(spec)
    if near is None:
        near = rules.near[spec] = _parted(_told(rules.close, (NOWHERE, NOWHERE, kind, NOWHERE)))
    (by_mark, ask), (by_spec, ask_too) = mark.kept[1], near
    said = (*by_mark, *by_spec, *_told((*ask, *ask_too), looks))
    if release.kept is None:
        release.kept = {}
    verdict: Verdict | None = release.kept.get(said)
    if verdict is None:
        verdict = release.kept[said] = _verdict(sorted(said, key=_place), looks)
    return verdict


def _told(rules: Iterable[CompiledRule], looks: Places) -> list[Told]:
    """What rules say, as far as it can be told from these places; those that say nothing are left out."""
    found: list[Told] = []
    release, mark, kind, field = looks
    for each in rules:
        try:
            answer = each.ask(release, mark, kind, field)
        except FactUnreadable as unreadable:
            answer = unreadable.with_traceback(None)  # it is kept, and what it was raised among is not
        except Unseen:
            answer = Unseen
        if answer is not None:
            found.append((each, answer))
    return found


def _parted(told: Sequence[Told]) -> Parted:
    """What is said, and the rules that must be asked again from nearer."""
    return [one for one in told if one[1] is not Unseen], [each for each, answer in told if answer is Unseen]


def _place(told: Told) -> int:
    return told[0].place


def _verdict(told: Iterable[Told], looks: Places) -> Verdict:
    """Combine what rules say: deny overrides review, review overrides permit, no permit denies.

    A rule that cannot be told denies, with the fact at fault as ``error``; a PERMIT rule that cannot be told permits
    nothing. The rules that could have permitted are the reasons when none did.
    """
    denying: list[Said] = []
    reviewing: list[Said] = []
    permitting: list[Said] = []
    silent: list[Said] = []
    for each, answer in told:
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
        else:
            silent.append((rule, "DENY", "", ""))
    if denying:
        return Verdict("DENY", tuple(denying), overruled=True)
    if not permitting:
        return Verdict("DENY", tuple(silent) or ((SILENCE, "DENY", "", ""),))
    if reviewing:
        return Verdict("REVIEW", tuple(reviewing))
    return Verdict("PERMIT", tuple(permitting))


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
    pointers = frozenset([field.pointer for field in left])
    return msgspec.structs.replace(ctx, permitted=len(left), members=members_of(left), left=pointers)


def with_fields(ctx: Context, fields: tuple[LabelledField, ...]) -> Context:
    """The same context, of which no fact has to read the fields again."""
    return msgspec.structs.replace(ctx, fields=fields)


def _lost(
    judged: Sequence[Judged], left: Sequence[LabelledField], required: frozenset[str]
) -> Sequence[Judged]:
    """Fields whose loss leaves no record of this kind: of required members gone, else all when nothing is left."""
    missing = required - members_of(left)
    lost = [one for one in judged if member_of(one[0].pointer) in missing] if missing else []
    return lost or (judged if not left else ())


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

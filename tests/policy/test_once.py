"""What a reading finds out once: shared by all that look alike, asked no more often, and never told wrong."""

import contextlib
import json
from collections import Counter
from typing import Any, cast

import msgspec
import pytest

from gateway.model.record import fields_of
from gateway.policy.context import Context
from gateway.policy.decide import decide, judge
from gateway.policy.expr import NOWHERE, Reading, Unseen, first_seen, of_kind, parse_condition
from gateway.policy.expr import FactUnreadable as Unreadable
from gateway.policy.facts import FACTS, FactSpec
from gateway.policy.facts.declare import FIELD, MARK, NOTHING, SPEC
from gateway.policy.rules import Policy, Rules, load_policy
from tests.policy.worlds import world

CTX = world()
FIELDS = tuple(fields_of(CTX.record, CTX.kind))


def fake(name: str, answer: Any, sees: int) -> FactSpec:
    """A fact of one answer, or one that fails with it."""

    def compute(ctx: Context, field: object) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return FactSpec(name, "release" if sees == NOTHING else "field", bool, compute, sees)


FAKES = {
    spec.name: spec
    for spec in (
        fake("act.yes", True, NOTHING),
        fake("act.no", False, NOTHING),
        fake("mark.yes", True, MARK),
        fake("mark.no", False, MARK),
        fake("mark.broken", ValueError(), MARK),
        fake("kind.yes", True, SPEC),
        fake("kind.no", False, SPEC),
        fake("kind.broken", ValueError(), SPEC),
        fake("own.no", False, FIELD),
        fake("own.yes", True, FIELD),
    )
}

#: id: effect, applies, condition; what is known from the mark, of those that can be asked from there, or from the
#: specification, of the others. None: it says nothing.
SAID: dict[str, tuple[str, str, str, Any]] = {
    "a": ("DENY", "", "mark.yes", True),
    "b": ("DENY", "", "mark.no", None),
    "c": ("PERMIT", "", "mark.no", False),
    "d": ("DENY", "act.no", "mark.yes", None),
    "e": ("DENY", "", "mark.broken", "mark.broken"),
    "f": ("DENY", "kind.no", "mark.yes", None),
    "g": ("DENY", "kind.yes", "mark.yes", Unseen),
    "h": ("DENY", "", "kind.no", None),
    "i": ("PERMIT", "", "kind.no", False),
    "j": ("REVIEW", "", "kind.no", None),
    "k": ("DENY", "kind.broken", "own.yes", "kind.broken"),
    "l": ("DENY", "", "own.no", Unseen),
    "m": ("DENY", "mark.yes", "own.yes", Unseen),
    "n": ("PERMIT", "kind.no", "own.yes", None),
    "o": ("PERMIT", "", "own.yes", Unseen),
}

#: Those that can be asked from a mark: what they read first is seen from there.
FAR = set("abcdem")


def policy_of(rules: dict[str, tuple[str, str, str, Any]]) -> Policy:
    """Field rules over the fakes."""
    entries = [
        {
            "id": name,
            "version": 1,
            "scope": "field",
            "source_kind": "house",
            "article": "invented",
            "effect": effect,
            "message_id": "m",
            "condition": ["fact", condition],
            **({"applies": ["fact", applies]} if applies else {}),
        }
        for name, (effect, applies, condition, _) in rules.items()
    ]
    return load_policy(json.dumps({"version": "1", "note": "", "rules": entries}).encode(), FAKES)


def counting(rules: Rules) -> tuple[Rules, Counter[str]]:
    """The same rules, and how often each was asked."""
    asked: Counter[str] = Counter()

    def counted(each: Any) -> Any:
        def ask(*looks: Any) -> Any:
            asked[each.rule.id] += 1
            return each.ask(*looks)

        return msgspec.structs.replace(each, ask=ask)

    return Rules(map(counted, rules)), asked


def plain(answer: Any) -> Any:
    """An answer, of a fact at fault its name."""
    return answer.fact if isinstance(answer, Unreadable) else answer


def test_mark_and_specification_tell_what_they_can_and_no_more() -> None:
    """What holds, what fails, and a permit that does not hold are known from afar; what hangs on more is not; and what
    does not apply, or denies nothing, is left out."""
    rules, reading = policy_of(SAID).field_rules, Reading(CTX)
    looks = reading.places(FIELDS[0])
    judge(rules, reading.of_field(FIELDS[0]))
    for (told, ask), those in ((looks[MARK].kept[1], FAR), (rules.near[FIELDS[0].spec], set(SAID) - FAR)):
        known = {each.rule.id: plain(answer) for each, answer in told}
        assert known | {each.rule.id: Unseen for each in ask} == {
            name: said[3] for name, said in SAID.items() if name in those and said[3] is not None
        }


def test_what_is_told_from_afar_is_told_so_of_the_field() -> None:
    """The verdict over these rules: who denies, with the fact at fault, in order; each rule alone says the same."""
    verdict = judge(policy_of(SAID).field_rules, Reading(CTX).of_field(FIELDS[0]))
    assert [(rule.id, error) for rule, _, error, _ in verdict.said] == [
        ("a", ""),
        ("e", "mark.broken"),
        ("g", ""),
        ("k", "kind.broken"),
        ("m", ""),
    ]
    alone = {
        name: judge(policy_of({name: said}).field_rules, Reading(CTX).of_field(FIELDS[0]))
        for name, said in SAID.items()
    }
    assert {name for name, each in alone.items() if each.overruled} == {"a", "e", "g", "k", "m"}
    assert {name for name, each in alone.items() if each.effect == "PERMIT"} == {"o"}


def test_a_rule_is_asked_no_oftener_than_it_can_answer_otherwise() -> None:
    """Of each specification once and of each mark once, and of each field only what hangs on the field."""
    rules, asked = counting(policy_of(SAID).field_rules)
    ctx = world({"labels./names/1.label.no_foreign": True})  # one specification under two marks
    reading, fields = Reading(ctx), tuple(fields_of(ctx.record, ctx.kind))
    for _ in range(2):
        for field in fields:
            judge(rules, reading.of_field(field))
    marks = len({(field.label, field.originator, field.consent) for field in fields})
    specs = len({field.spec for field in fields})
    of_spec = dict.fromkeys("fghijklno", specs)
    of_field = dict.fromkeys("glmo", 2 * len(fields))
    assert asked == Counter(dict.fromkeys(FAR, marks)) + Counter(of_spec) + Counter(of_field)


def test_fields_that_look_alike_share_what_is_seen_of_them() -> None:
    """One place for one mark and one for one specification, whatever was looked at between; what is seen of a field
    itself is shared with none; what is kept there is kept, and what is said alike is one verdict."""
    ctx = world({"labels./sex.label.no_foreign": True})
    reading, rules = Reading(ctx), policy_of(SAID).field_rules
    first, other, second = (
        next(field for field in fields_of(ctx.record, ctx.kind) if field.pointer == pointer)
        for pointer in ("/names/0", "/sex", "/names/1")
    )
    places = [reading.places(field) for field in (first, other, second, first)]
    assert [
        [place is places[0][sees] for place in row] for sees, row in enumerate(zip(*places, strict=True))
    ] == [
        [True, True, True, True],
        [True, False, True, True],
        [True, False, True, True],
        [True, False, False, False],
    ]
    verdict = judge(rules, Reading(ctx, places[0]))
    kept = places[0][MARK].kept
    assert judge(rules, Reading(ctx, places[2])) is verdict
    assert places[0][MARK].kept is kept


def test_what_is_kept_of_a_mark_holds_for_the_rules_it_was_told_by() -> None:
    """Other rules over the same reading say what they say of it, and not what those before them said."""
    reading = Reading(CTX)
    permit, deny = (policy_of({name: SAID[name] for name in names}).field_rules for names in ("o", "ao"))
    effects = [judge(rules, reading.of_field(FIELDS[0])).effect for rules in (permit, deny, permit)]
    assert effects == ["PERMIT", "DENY", "PERMIT"]


def test_a_run_of_fields_marked_alike_is_looked_up_once() -> None:
    """Comparing with the field before is less than hashing a mark anew."""
    hashed: list[object] = []

    class Consent(tuple[str, ...]):
        def __hash__(self) -> int:
            hashed.append(self)
            return super().__hash__()

        __eq__ = tuple.__eq__

    reading, lookups = Reading(CTX), []
    for field in FIELDS[:3]:
        alike = msgspec.structs.replace(field, label=FIELDS[0].label, originator="o", consent=Consent())
        reading.places(alike)
        lookups.append(len(hashed))
    assert lookups[0] > 0
    assert lookups == lookups[:1] * 3


@pytest.mark.parametrize("answer", [True, None, 1, ValueError()])
def test_a_fact_is_computed_once_whatever_it_answers(answer: Any) -> None:
    """Also one that is missing, of another type or fails, and also where `known` asks for it."""
    calls: list[object] = []

    def compute(ctx: Context, field: object) -> Any:
        calls.append(field)
        if isinstance(answer, Exception):
            raise answer
        return answer

    spec, reading = FactSpec("counted", "release", bool, compute, NOTHING), Reading(CTX)
    for ask in (reading.known, reading.value, reading.known, reading.value):
        with contextlib.suppress(Unreadable):
            assert ask(spec) is (answer is True)
    assert len(calls) == 1


def test_nothing_is_told_from_nowhere() -> None:
    """What is not seen is neither absence nor failure. Of a specification is seen what it says, in any world."""
    for name in ("field.pattern", "field.level", "our.org"):
        with pytest.raises(Unseen):
            NOWHERE.knows(FACTS[name])
    assert of_kind(FIELDS[0].spec)[FACTS["field.pattern"]] == cast(Any, FIELDS[0].spec).pattern
    assert of_kind(FIELDS[0].spec) is of_kind(FIELDS[0].spec)
    assert not of_kind(None).knows(FACTS["field.class"])


@pytest.mark.parametrize(
    ("raw", "sees"),
    [
        (["const", True], NOTHING),
        (["fact", "mark.yes"], MARK),
        (["known", ["fact", "kind.yes"]], SPEC),
        (["not", ["fact", "own.yes"]], FIELD),
        (["all", ["fact", "mark.yes"], ["fact", "own.yes"]], MARK),
        (["any", ["fact", "own.yes"], ["fact", "mark.yes"]], FIELD),
        (["eq", ["const", True], ["fact", "kind.yes"]], SPEC),
        (["eq", ["fact", "mark.yes"], ["fact", "own.yes"]], MARK),
    ],
)
def test_what_a_tree_reads_first(raw: Any, sees: int) -> None:
    """Operands are read from left to right, and constants are not read."""
    assert first_seen(parse_condition(raw, "field", FAKES)) == sees


def test_a_rule_is_near_by_what_is_read_first() -> None:
    """By where it applies; where it applies always, by its condition. In between their order is the policy's."""
    rules = policy_of(SAID).field_rules
    far, close = ([each.rule.id for each in some] for some in (rules.far, rules.close))
    assert (far, close) == (sorted(FAR), sorted(set(SAID) - FAR))
    assert [each.place for each in rules] == [*range(len(SAID))]


def test_a_decision_reads_the_fields_once() -> None:
    """Facts of the whole record find the fields that were judged, and do not take the record apart again."""
    seen: list[Any] = []

    def compute(ctx: Context, field: object) -> bool:
        seen.append(ctx.fields)
        return True

    entry = {
        "id": "r",
        "version": 1,
        "scope": "release",
        "source_kind": "house",
        "article": "invented",
        "effect": "PERMIT",
        "message_id": "m",
        "condition": ["fact", "reads"],
    }
    document = json.dumps({"version": "1", "note": "", "rules": [entry]}).encode()
    decide(load_policy(document, {"reads": FactSpec("reads", "release", bool, compute, NOTHING)}), CTX)
    assert seen == [FIELDS]

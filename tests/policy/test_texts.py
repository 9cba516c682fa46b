"""What must not stand in a free text: found in any spelling, and not where nothing stands."""

from __future__ import annotations

import base64
import hashlib
import unicodedata
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.guard.numbers import numbers_in
from gateway.guard.search import fold
from gateway.model.record import LabelledField, fields_of
from gateway.policy.decide import decide
from gateway.policy.expr import Reading
from gateway.policy.facts import FACTS
from gateway.policy.facts.text import withheld_values
from gateway.policy.hints import hints
from gateway.policy.numbers import register_numbers
from gateway.policy.redact import redact
from gateway.policy.texts import Readings, Rights, Value, values_of
from tests.leak import spellings
from tests.leak.persons import ROOT
from tests.policy.worlds import INFORMATION_NOTE, KIND, POLICY, world, world_of

#: Spellings of a value, beyond those that folding undoes.
SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "upper": str.upper,
    "decomposed": lambda value: unicodedata.normalize("NFD", value),
    "reversed": lambda value: value[::-1],
    "spaced": " ".join,
    "hex": lambda value: value.encode().hex(),
    "hex after another digit": lambda value: "f" + value.encode().hex(),
    "HEX": lambda value: value.encode().hex().upper(),
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "base64 moved by one": lambda value: base64.b64encode(b"x" + value.encode()).decode(),
    "base64 moved by two": lambda value: base64.b64encode(b"xx" + value.encode()).decode(),
    "base64 after three signs": lambda value: "AAA" + base64.b64encode(value.encode()).decode(),
    "base64url": lambda value: base64.urlsafe_b64encode(value.encode()).decode().rstrip("="),
    "base64 with a sign too many": lambda value: base64.b64encode((value + " " * (-len(value.encode()) % 3)).encode())
    .decode() + "A",
    "percent": lambda value: "".join(f"%{byte:02x}" for byte in value.encode()),
    "JSON escapes": lambda value: "".join(f"\\u{ord(sign):04x}" for sign in value),
    "character references": lambda value: "".join(f"&#{ord(sign)};" for sign in value),
    "hexadecimal references": lambda value: "".join(f"&#x{ord(sign):x};" for sign in value),
    "sha256": lambda value: hashlib.sha256(value.encode()).hexdigest(),
    "beginning of a sha256": lambda value: hashlib.sha256(value.encode()).hexdigest()[:12],
    "sha256 in small letters": lambda value: hashlib.sha256(value.lower().encode()).hexdigest(),
    "hex backwards": lambda value: value[::-1].encode().hex(),
    "sha1": lambda value: hashlib.sha1(value.encode(), usedforsecurity=False).hexdigest(),
    "md5 in base64": lambda value: base64.b64encode(
        hashlib.md5(value.encode(), usedforsecurity=False).digest()
    ).decode(),
}  # fmt: skip

#: Words of everyday notes, in which nothing is withheld.
WORDS = st.sampled_from(
    ["crossed", "at", "04:10,", "expect", "him", "in", "Lille", "grey", "car", "on", "2026-11-30", "calls", "+32",
     "475", "12", "34", "often", "tel.", "02/555.12.12", "plate", "1-ABC-234", "niveau", "été", "Gent,", "12e", "étage"]
)  # fmt: skip
CANARIES = st.builds(
    lambda tail, number: f"{ROOT}{tail}{number:04d}",
    st.text("abcdefghijklmnopqrstuvwxyzé", min_size=2, max_size=8),
    st.integers(0, 9999),
)


@pytest.mark.parametrize("spelling", SPELLINGS)
@settings(max_examples=40, deadline=None)
@given(value=CANARIES, before=st.lists(WORDS, max_size=12), after=st.lists(WORDS, max_size=12))
def test_a_withheld_value_is_found_in_every_spelling(
    spelling: str, value: str, before: list[str], after: list[str]
) -> None:
    """Wherever it stands among other words, and however it is spelled."""
    text = " ".join([*before, SPELLINGS[spelling](value), *after])
    assert Readings(text).hold(value)


@pytest.mark.parametrize(
    ("value", "text", "found"),
    [
        ("2005-03-04", "born 4.3.2005", True),
        ("2005-03-04", "born 04/03/05", True),
        ("2005-03-04", "born 3/4/05", True),
        ("2005-03-04", "born 2005, 3, 4", True),
        ("2005-03-04", "5 3 4", True),
        ("2005-03-04", "04032005", True),
        ("2000-11-20", "20.11.00", True),
        ("2000-11-20", "of 20112000 at", True),
        ("1990-03", "in 3/1990", True),
        ("1990-03", "in 1990, 03", True),
        ("1990-03", "of 031990", True),
        ("2005-03-04", "born 4.2.2005", False),
        ("2005-03-04", "born 5.3.2005", False),
        ("2005-03-04", "born 4.3.2006", False),
        ("2005-03-04", "in 3/2005", False),
        ("2005-03-04", "14.3.2005", False),
        ("2005-03-04", "in 2005", False),
        ("2000-11-20", "20.11.10", False),
        ("1990-03", "in 3/90", False),
        ("1990-03", "in 1990", False),
    ],
)
def test_a_date_is_found_as_people_write_it(value: str, text: str, found: bool) -> None:
    """In any order, with or without zeros, a day's year as two digits; another day, or the year alone, is no hit."""
    assert Readings(text).hold(value) is found


@pytest.mark.parametrize(
    ("value", "text", "found"),
    [
        ("abcd", "an abcd", True),
        ("abc", "an abc", False),
        ("abcd efgh", "a-b-c-d-e-f-g-h", True),
        ("abcd efg", "a-b-c-d-e-f-g", False),
        ("123456", "1 2 3 / 4 5 6", True),
        ("12345", "1 2 3 / 4 5", False),
        ("123456", "12a34b56", True),
        ("abcdef", "an fedcba", True),
        ("abcde", "an edcba", False),
    ],
)
def test_a_value_has_signs_enough_to_be_no_chance(value: str, text: str, found: bool) -> None:
    """So many for words, for what lies between them, for digits, and for what a text hides; one less is no hit."""
    assert Readings(text).hold(value) is found


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("René", "of Rene"),
        ("Rene", "of RENÉ"),
        ("Rene", "of Re\u200bne"),
        ("مثال", "of مـثـال"),
        ("4711", "of ٤٧١١"),
        ("Zze mo", "of Zze-mo"),
        ("Zze mo", "of Zze / mo"),
        ("Maß", "of MASS"),
    ],
)
def test_signs_that_say_the_same_are_the_same(value: str, text: str) -> None:
    """Case, accents, what nobody sees, a stroke that lengthens, digits of any script, and what lies between words."""
    assert Readings(text).hold(value)


@pytest.mark.parametrize("noise", ["\ud800 ", "%ff ", "\\ud800 ", "&#xd800; ", "ff" * 4 + " "])
@pytest.mark.parametrize("spelling", ["plain", "percent", "JSON escapes", "hex", "base64"])
def test_what_is_no_text_hides_nothing(noise: str, spelling: str) -> None:
    """Halves of a sign, and bytes that say nothing, stand beside a value and it is found."""
    assert Readings(noise + SPELLINGS[spelling]("Zzemo Exemple")).hold("Zzemo Exemple")


def test_both_signs_of_base64url_are_read() -> None:
    """A value whose encoding needs them is found in either alphabet."""
    value = "Zzemo?>?>Exemple"
    spelled = base64.urlsafe_b64encode(value.encode()).decode()
    assert {"-", "_"} <= set(spelled)
    assert Readings(spelled).hold(value)
    assert Readings(spelled.replace("-", "+").replace("_", "/")).hold(value)


def test_codes_of_closed_lists_are_not_looked_for() -> None:
    """An alias is called one in any text."""
    ctx = world()
    names = [field for field in fields_of(ctx.record, ctx.kind) if field.pointer.startswith("/names/")]
    assert {value.text for value in values_of(names)} == {"Zzemo", "Exemple", "Zzemo le Fictif", "Latn"}


@settings(max_examples=200, deadline=None)
@given(value=CANARIES, words=st.lists(WORDS, max_size=40))
def test_ordinary_text_is_no_hit(value: str, words: list[str]) -> None:
    """What does not hold the value is not said to."""
    assert not Readings(" ".join(words)).hold(value)


@settings(max_examples=200, deadline=None)
@given(value=CANARIES, noise=st.text(max_size=40))
def test_what_the_leak_harness_finds_is_found(value: str, noise: str) -> None:
    """Whatever the harness takes for a spelling of a canary in a text, this search takes for one, too."""
    for spell in SPELLINGS.values():
        text = f"{noise} {spell(value)} {noise}"
        if spellings.spelled([value], text):
            assert Readings(text).hold(value)


@settings(max_examples=300, deadline=None)
@given(
    value=st.one_of(CANARIES, st.text(max_size=12), st.dates().map(str)),
    noise=st.text(max_size=60),
    inside=st.booleans(),
)
def test_what_the_guard_finds_is_found_before(value: str, noise: str, inside: bool) -> None:
    """The guard never refuses what was prepared for a value that it finds and this search does not."""
    from gateway.guard.search import _named

    text = f"{noise} {value} {noise[::-1]}" if inside else noise
    if _named(value, fold(value), [fold(text)]):
        assert Readings(text).hold(value)


@settings(max_examples=300, deadline=None)
@given(
    groups=st.lists(st.text("0123456789", min_size=1, max_size=6), max_size=8),
    gap=st.sampled_from(["", " ", ".", "-", " / ", "\n", "x"]),
)
def test_guard_and_policy_tell_the_same_numbers(groups: list[str], gap: str) -> None:
    """Two ways of looking, one answer."""
    text = gap.join(groups)
    assert register_numbers(text) == numbers_in(fold(text).words)


def national(birth: str, series: int, *, second: bool) -> str:
    """A national register number with its check digits, by the royal decree's own words."""
    nine = int(f"{birth}{series:03d}")
    return f"{birth}{series:03d}{97 - (nine + (2_000_000_000 if second else 0)) % 97:02d}"


@settings(max_examples=200, deadline=None)
@given(
    born=st.dates(),
    more=st.sampled_from([0, 20, 40]),
    series=st.integers(1, 998),
    second=st.booleans(),
    form=st.sampled_from(
        ["{}{}{}{}{}", "{}.{}.{}-{}.{}", "{} {} {} {} {}", "{}/{}/{} - {}/{}", "n° {}{}{}-{}{}x"]
    ),
    words=st.lists(WORDS, max_size=6),
)
def test_a_register_number_is_found(
    born: object, more: int, series: int, second: bool, form: str, words: list[str]
) -> None:
    """Register and BIS numbers of both centuries, in any usual spelling, among other words."""
    year, month, day = str(born).split("-")
    number = national(f"{year[2:]}{int(month) + more:02d}{day}", series, second=second)
    spelled = form.format(number[:2], number[2:4], number[4:6], number[6:9], number[9:])
    assert number in register_numbers(" word ".join([*words, "", spelled, ""]))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("pays to BE68539007547034.", "be68539007547034"),
        ("pays to BE68 5390 0754 7034.", "be68539007547034"),
        ("pays to be68-5390-0754-7034 now", "be68539007547034"),
        ("pays to NO93 8601 1117 947", "no9386011117947"),
        ("pays to MT84 MALT 0110 0001 2345 MTLC AST0 01S", "mt84malt011000012345mtlcast001s"),
        ("pays to BE68 5390 ٠٧٥٤ 70\u200b34", "be68539007547034"),
    ],
)
def test_an_account_is_found_as_it_is_printed(text: str, number: str) -> None:
    """In one piece or in groups of four, the last one shorter; digits of any script, what nobody sees left out."""
    assert register_numbers(text) == {number}


@pytest.mark.parametrize("month", [0, 1, 12, 20, 21, 32, 40, 41, 52])
@pytest.mark.parametrize("day", [0, 1, 31])
def test_a_birth_date_may_be_unknown_or_of_a_bis_number(month: int, day: int) -> None:
    """00 stands for a month or day that nobody knows; a BIS number adds 20 or 40 to the month."""
    number = national(f"85{month:02d}{day:02d}", 33, second=False)
    assert register_numbers(f"has {number}") == {number}


@pytest.mark.parametrize(
    "text",
    [
        "85.07.30-033.27",  # wrong check digits
        "85.13.30-033.28",  # no such month
        *(
            national(f"85{month}30", 33, second=False) for month in (13, 19, 33, 53, 60, 72)
        ),  # nor with its check
        national("850732", 33, second=True),  # no such day
        "BE68 53900754 7034",  # not in groups of eight
        "BE071234",  # too short, whatever its check says
        "BE68" + "1" * 32,  # too long
        "85073003328 5",  # is found alone, but not within a longer run
        "185073003328",
        "BE68 5390 0754 7035",  # wrong check digits
        "BE68 53 90 0754 7034",  # not as an account is printed
        "+32 475 12 34 56, and at night 02/555.12.12",
        "on 2026-11-30 at 04:10:00 in a 1-ABC-234, room 12 on the 3rd floor",
    ],
)
def test_other_numbers_are_none(text: str) -> None:
    """No check, no number; and a longer number is another one."""
    assert register_numbers(text) in (frozenset(), frozenset({"85073003328"} if " 5" in text else ()))


def test_ctx_facts_of_texts() -> None:
    """Known once it is said what leaves: where a text holds a register number, a withheld value, or one of others."""
    changes = {
        **world_of("information-note"),
        "content.facts": [
            {"text": "has BE68539007547034"},
            {"text": "in a 0-ZZZ-000"},
            {"text": "nothing"},
        ],
        "mentioned": ["/facts/2/text"],
    }
    ctx = world(changes, of=INFORMATION_NOTE)
    every = frozenset(field.pointer for field in fields_of(ctx.record, INFORMATION_NOTE))
    names = ("text.register_numbers", "text.withheld", "text.mentioned")

    def told(left: frozenset[str]) -> list[object]:
        reading = Reading(msgspec.structs.replace(ctx, left=left))
        return [reading.value(FACTS[name]) if reading.known(FACTS[name]) else None for name in names]

    assert told(every) == [{"/facts/0/text"}, None, {"/facts/2/text"}]
    assert told(every - {"/objects/0"}) == [{"/facts/0/text"}, {"/facts/1/text"}, {"/facts/2/text"}]
    assert told(every - {"/facts/0", "/facts/1", "/facts/2"}) == [None, None, None]


def test_a_hint_denies_nothing() -> None:
    """A reason that stays inside may say anything; where it says too much, its pointer and the rule are told."""
    changes = {
        **world_of("information-note"),
        "release.justification": "he is 85.07.30-033.28 and drives a 0-ZZZ-000, from Zzelem",
        "labels./objects/0.label.releasable_to": [],
    }
    ctx = world(changes, of=INFORMATION_NOTE)
    decision = decide(POLICY, ctx)
    assert decision.effect == "PERMIT"
    told = hints(ctx, decision, [Value("Zzelem", ("names", "text"))])
    assert [(hint.pointer, hint.rule) for hint in told] == [
        ("/justification", "free-text.register-number"),
        ("/justification", "free-text.withheld"),
        ("/justification", "free-text.mentioned"),
    ]


def test_the_reason_of_a_lift_is_looked_at_too() -> None:
    """Each by its own place."""
    lifts = [{"pointer": "/special", "reason": reason} for reason in ("needed", "he is 85.07.30-033.28")]
    ctx = world({"release.justification": "x", "lifts": lifts})
    found = hints(ctx, decide(POLICY, ctx))
    assert [(hint.pointer, hint.rule) for hint in found] == [("/lifts/1/reason", "free-text.register-number")]


def test_the_threat_of_an_emergency_is_looked_at_too() -> None:
    """It is kept and read like a justification; without an emergency there is none."""
    claimed = {"emergency": {"threat": "85.07.30-033.28 is at the station"}}
    for changes, told in ((claimed, ["free-text.register-number"]), ({}, [])):
        ctx = world({"release.justification": "x", **changes})
        found = hints(ctx, decide(POLICY, ctx))
        assert [(hint.pointer, hint.rule) for hint in found] == [("/emergency/threat", rule) for rule in told]


@pytest.mark.parametrize("age", [{"birth": {"date": "2016", "precision": "year"}}, {}])
def test_a_child_mentioned_keeps_the_note(age: dict[str, object]) -> None:
    """A person under 12, or of whom nobody can tell, keeps the whole note here, whatever the rest says."""
    changes = {**world_of("information-note"), "content.persons": [{"role": "contact", **age}]}
    decision = decide(POLICY, world(changes, of=INFORMATION_NOTE))
    assert [reason.rule for reason in decision.reasons] == ["person.under-12"]


def test_a_note_about_nobody_needs_no_age() -> None:
    """Where no person is mentioned, nobody's age is asked for."""
    changes = {**world_of("information-note"), "content.persons": []}
    assert decide(POLICY, world(changes, of=INFORMATION_NOTE)).effect == "PERMIT"


@pytest.mark.parametrize(
    ("kept", "covered"),
    [
        (Value("Fictiville", ("addresses", "city")), True),  # the whole of a value that leaves elsewhere
        (Value("Fictivil", ("addresses", "city")), False),
        (Value("seen at the quay", ("objects", "remark")), True),  # somebody's own words, at the same place
        (Value("seen at the quay", ("addresses", "city")), False),
    ],
)
def test_what_leaves_anyhow_stands_in_a_text_by_right(kept: Value, covered: bool) -> None:
    """A released value anywhere; what somebody wrote himself only where it was written."""
    fields = [
        LabelledField("/birth/0", {"place": "Fictiville"}, None, None, "", ()),
        LabelledField(
            "/objects/0",
            {"remark": "seen at the quay"},
            msgspec.structs.replace(KIND.fields["/special"], texts=frozenset({"remark"})),
            None,
            "",
            (),
        ),
    ]
    assert Rights(fields).cover(kept) is covered


def test_what_was_withheld_is_looked_for_when_deciding_again() -> None:
    """The record in full: what took the number of a withheld item does not hide it."""
    ctx = world({"labels./names/0.label.no_foreign": True})
    left = msgspec.structs.replace(ctx, record=redact(ctx.record, decide(POLICY, ctx)))
    fields = list(fields_of(left.record, left.kind))
    withheld = {
        value.text for value in withheld_values(msgspec.structs.replace(left, fields=tuple(fields)), fields)
    }
    assert "Exemple" in withheld
    assert "Zzemo le Fictif" not in withheld

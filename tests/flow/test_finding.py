"""Keys by which a person is found: spellings meet, other persons do not, and what would mean too many is refused."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RequestInvalid
from gateway.flow.finding import (
    MAX_NAME,
    VERSION,
    Person,
    Question,
    judge,
    not_covered,
    people_of,
    posted,
    sought,
)


def stored(*names: str, birth: str = "", numbers: tuple[str, ...] = ()) -> Person:
    precision = {4: "year", 7: "month", 10: "day"}.get(len(birth))
    content: dict[str, Any] = {"names": [{"text": name, "quality": "high"} for name in names]}
    if birth:
        content["birth"] = [{"date": birth, "precision": precision}]
    content["documents"] = [{"number": number} for number in numbers]
    (person,) = people_of(content)
    return person


def met(person: Person, question: Question) -> tuple[int, set[str]]:
    """The score and its reasons; nothing when no key that is looked up agrees."""
    asked = sought(question)
    if not any(one.looked_up and one.key in person.keys for one in asked):
        return 0, set()
    points = [one.point for one in asked if one.key in person.keys]
    score, reasons = judge(points, asked_birth=bool(question.birth), born=person.born)
    return score, {point.code for point in reasons}


SPELLINGS = {
    "romanisations": ("Mohamed Benali", "Muhammad Ben Ali", "name.sound"),
    "Arabic": ("محمد بن علي", "Mohammed Benali", "name.sound"),
    "Cyrillic": ("Мухаммед Юсупов", "Mohamed Yusupov", "name.sound"),
    "Greek": ("Γιώργος Παπαδόπουλος", "Giorgos Papadopoulos", "name.sound"),
    "Yusuf": ("Youssef Kaya", "Yusuf KAYA", "name.sound"),
    "Polish": ("Łukasz Wójcik", "Lukasz Wojcik", "name.same"),
    "Turkish": ("İbrahim Şahin", "Ibrahim Sahin", "name.same"),
    "Dutch particle": ("Jan van den Berg", "Vandenberg Jan", "name.same"),
    "French particle": ("Jean de la Croix", "DELACROIX, Jean", "name.same"),
    "order": ("El Khattabi Nadia", "Nadia el-Khattabi", "name.same"),
    "initial asked": ("Mohamed Benali", "M. Benali", "name.initial"),
    "initial stored": ("M. Benali", "Mohamed Benali", "name.initial"),
    "second given name": ("Anna Maria Kowalska", "Anna Kowalska", "name.part-sound"),
    "one word asked": ("Anna Kowalska", "Kowalska", "name.single"),
    "one word stored": ("Abu Omar", "Omar Idrissi", "name.single"),
}


@pytest.mark.parametrize("case", SPELLINGS)
def test_spellings_of_one_name_meet(case: str) -> None:
    """Whatever way the record and the question write the name."""
    record, asked, reason = SPELLINGS[case]
    score, reasons = met(stored(record), Question((asked,)))
    assert reason in reasons
    assert score > 0


def test_others_do_not_meet() -> None:
    """One common word of two is no match, unless the birth year agrees too."""
    person = stored("Mohamed Benali", birth="1985-03-12")
    assert met(person, Question(("Mohamed Idrissi",))) == (0, set())
    assert met(person, Question(("Mohamed Idrissi",), "1985"))[1] == {"name.one-word", "birth.same-year"}
    assert met(person, Question(("Mohamed Idrissi",), "1986")) == (0, set())


BIRTHS = [
    ("1985-03-12", "1985-03-12", False, "birth.same-day"),
    ("1985-03-12", "1985-03", False, "birth.same-month"),
    ("1985", "1985-03-12", False, "birth.same-year"),
    ("1985-03-12", "1984", True, "birth.compatible"),
    ("1985-03-12", "1990", False, "birth.differs"),
]


@pytest.mark.parametrize(("known", "asked", "about", "reason"), BIRTHS)
def test_birth_dates_agree_as_far_as_both_are_precise(
    known: str, asked: str, about: bool, reason: str
) -> None:
    """The less precise of the two says what it is worth; one that differs speaks against, one unknown does not."""
    question = Question(("Anna Kowalska",), asked, about)
    assert reason in met(stored("Anna Kowalska", birth=known), question)[1]
    assert met(stored("Anna Kowalska"), question)[1] == {"name.same"}


def test_a_day_or_a_number_alone_finds() -> None:
    """Without a name."""
    person = stored("Anna Kowalska", birth="1985-03-12", numbers=("AB 123-456",))
    assert met(person, Question(birth="1985-03-12"))[1] == {"birth.same-day"}
    assert met(person, Question(numbers=("ab123456",)))[1] == {"document.number"}


def test_everybody_in_a_record_is_found() -> None:
    """Persons listed, children, links and mentions; an id that is the record's own is not somebody else."""
    found = people_of(
        {
            "names": [{"given": "Anna", "family": "Kowalska", "quality": "high"}],
            "national_number": "85.03.12-123.45",
            "persons": [
                {"role": "contact", "names": ["Jan Peeters"], "birth": {"date": "1970", "precision": "year"}}
            ],
            "minor_children": [{"name": "Eva Kowalska", "birth_year": 2015}],
            "links": [{"type": "family", "other": "BDC-000009"}],
            "mentions": ["BDC-000001", "BDC-000009", "BDC-000010"],
        },
        "BDC-000001",
    )
    assert [bool(one.keys) for one in found] == [True, True, True, False, False]
    assert [one.entity for one in found] == ["BDC-000001", "", "", "BDC-000009", "BDC-000010"]
    assert met(found[0], Question(numbers=("85031212345",)))[0]
    assert met(found[1], Question(("Peeters Jan",), "1970"))[0] > 50
    assert met(found[2], Question(("Eva Kowalska",), "2015"))[0] > 50


REFUSED = {
    "nothing": (Question(), "name"),
    "empty name": (Question(("",)), "name"),
    "spaces": (Question(("   ",)), "name"),
    "one letter": (Question(("M",)), "name"),
    "initials": (Question(("M. B.",)), "name"),
    "wildcard": (Question(("Moham*",)), "name"),
    "only wildcard": (Question(("%",)), "name"),
    "control character": (Question(("Mohamed\x00Benali",)), "name"),
    "line feed": (Question(("Mohamed\nBenali",)), "name"),
    "500 characters": (Question(("a" * 500,)), "name"),
    "nine spellings": (Question(tuple(f"Jan Peeters {n}" for n in range(9))), "name"),
    "a year alone": (Question(birth="1985"), "birth"),
    "a month alone": (Question(birth="1985-03"), "birth"),
    "an uncertain day alone": (Question(birth="1985-03-12", about=True), "birth"),
    "no such day": (Question(("Anna Kowalska",), "1985-02-30"), "birth"),
    "no date": (Question(("Anna Kowalska",), "spring"), "birth"),
    "about nothing": (Question(("Anna Kowalska",), about=True), "birth"),
    "year nought": (Question(("Anna Kowalska",), "0000"), "birth"),
    "short number": (Question(numbers=("AB-12",)), "document"),
    "wildcard number": (Question(numbers=("AB12345*",)), "document"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_mean_too_many_is_refused(case: str) -> None:
    """With the member and the rule, and nothing of what was typed."""
    question, field = REFUSED[case]
    with pytest.raises(RequestInvalid) as refused:
        sought(question)
    assert refused.value.diagnostic == {"field": field}
    for name in question.names:
        assert len(name) < 4 or name not in refused.value.detail


def test_letters_without_a_table_are_said() -> None:
    """They agree with themselves, and the answer says that they agree with nothing else."""
    assert not_covered(Question(("שלום כהן",)))
    assert not not_covered(Question(("محمد بن علي", "Łukasz", "Юсуф")))
    assert met(stored("שלום כהן"), Question(("שלום כהן",)))[0]


NAMES = st.text(max_size=MAX_NAME)


@given(NAMES)
def test_whatever_is_stored_is_found_as_it_is_written(name: str) -> None:
    """Any name that may be asked is met by itself with one of the best reasons."""
    question = Question((name,))
    try:
        sought(question)
    except RequestInvalid:
        return
    assert met(stored(name), question)[1] & {"name.same", "name.single", "name.initial"}


@given(NAMES, NAMES)
def test_the_keys_of_a_name_do_not_depend_on_its_neighbours(one: str, other: str) -> None:
    """Another alias never takes a key away, so it never hides anybody."""
    both = people_of({"names": [{"text": one}, {"text": other}]})
    for alone in people_of({"names": [{"text": one}]}):
        assert alone.keys <= both[0].keys


def test_years_and_months_are_never_looked_up() -> None:
    """A thief of the tables finds no list of everybody born in one year."""
    keys = stored("Anna Kowalska", birth="1985-03-12").keys
    assert {key.partition("\n")[0] for key in keys if not posted(key)} == {"year", "month"}


def test_other_keys_are_another_version() -> None:
    """What is indexed under one form of keys is not found by another: change it, and give `VERSION` a new number."""
    sample = [
        stored(record, birth="1985-03-12", numbers=("AB 123-456",)) for record, _, _ in SPELLINGS.values()
    ]
    lines = "\n".join("|".join(sorted(one.keys)) for one in sample)
    assert (VERSION, hashlib.sha256(lines.encode()).hexdigest()[:16]) == (1, "79ce23adb06a9e29")

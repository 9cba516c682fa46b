"""Candidates between persons and listed entries: a table a reviewer can read, and the laws of the score."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import schemas
from adapters.records.sanctions.reader import SanctionsList
from gateway.flow.matching import CANDIDATE, MOST, Identity, Persons, band, compare, identity, name
from gateway.flow.spelling import sound_of, words_of
from gateway.model.kind import load_kind
from gateway.model.record import CanonicalRecord, fields_of
from tests.records.lists import BE, EU, UN

KINDS = {
    kind: load_kind(schemas.load_json(f"records/{kind}.json"))
    for kind in ("bdc-person/1.0", "sanctions-entry/1.0")
}


def someone(
    id_: str, *names: str, born: str = "", nation: str = "", number: str = "", quality: str = "high"
) -> Identity:
    """A person; ``born`` is ``1989``, ``1989-01`` or ``1989-01-31``, with ``~`` behind it "about"."""
    content: dict[str, Any] = {"names": [{"text": text, "quality": quality} for text in names]}
    if born:
        day = born.rstrip("~")
        precision = ("year", "month", "day")[day.count("-")]
        content["birth"] = [{"date": day, "precision": precision, "about": born != day}]
    if nation:
        content["nationalities"] = [nation]
    if number:
        content["documents"] = [dict(zip(("number", "issuer"), number.split("/"), strict=False))]
    at = datetime(2026, 11, 21, 21, tzinfo=UTC)
    record = CanonicalRecord("bdc-person/1.0", id_, "bel.ocam", at, "o", content, ())
    return identity(id_, fields_of(record, KINDS[record.kind]))


#: Person, entry, the score and its reasons. All fictitious.
TABLE: dict[str, tuple[Identity, Identity, int, dict[str, int]]] = {
    "the same in all": (
        someone("p", "Zzemo Exemple", born="1989-01-31", nation="BEL", number="ZZ 000-0001/BEL"),
        someone("e", "ZZEMO EXEMPLE", born="1989-01-31", nation="BEL", number="zz0000001/BEL"),
        100, {"name.same": 50, "document.same": 50, "birth.same-day": 30, "nationality.common": 10},
    ),
    "given and family name swapped, an accent more": (
        someone("p", "Exémple, Zzemo", born="1989-01-31"), someone("e", "Zzemo Exemple", born="1989-01-31"),
        80, {"name.same": 50, "birth.same-day": 30},
    ),
    "Cyrillic and Latin": (
        someone("p", "Ззоня Примерова", born="1991-07-02"), someone("e", "Zzonya Primerova", born="1991-07-02"),
        70, {"name.sound": 40, "birth.same-day": 30},
    ),
    "Arabic and Latin": (
        someone("p", "محمد القحطاني", nation="BEL"), someone("e", "Mohammed AL-QAHTANI", nation="BEL"),
        50, {"name.sound": 40, "nationality.common": 10},
    ),
    "servant of, written as one word and as two": (
        someone("p", "Abd al-Rahman Exemple"), someone("e", "عبدالرحمن إكزمبل"), 40, {"name.sound": 40},
    ),
    "Greek": (
        someone("p", "Νίκος Παράδειγμα"), someone("e", "Nikos Paradigma"), 40, {"name.sound": 40},
    ),
    "year alone": (
        someone("p", "Zzemo Exemple", born="1989"), someone("e", "Zzemo Exemple", born="1989-01-31"),
        62, {"name.same": 50, "birth.same-year": 12},
    ),
    "month alone": (
        someone("p", "Zzemo Exemple", born="1989-01"), someone("e", "Zzemo Exemple", born="1989-01-31"),
        70, {"name.same": 50, "birth.same-month": 20},
    ),
    "about, two years off": (
        someone("p", "Zzemo Exemple", born="1991~"), someone("e", "Zzemo Exemple", born="1989-01-31"),
        56, {"name.same": 50, "birth.compatible": 6},
    ),
    "another day": (
        someone("p", "Zzemo Exemple", born="1989-01-30"), someone("e", "Zzemo Exemple", born="1989-01-31"),
        20, {"name.same": 50, "birth.differs": -30},
    ),
    "name alone": (someone("p", "Zzemo Exemple"), someone("e", "Zzemo Exemple"), 50, {"name.same": 50}),
    "a name more on one side": (
        someone("p", "Zzemo Exemple"), someone("e", "Zzemo Fictif Exemple"), 40, {"name.part": 40},
    ),
    "two words of three each": (
        someone("p", "Zzemo Exemple Un"), someone("e", "Zzemo Exemple Trois"), 20, {"name.overlap": 20},
    ),
    "a low-quality alias": (
        someone("p", "Zzemo Exemple"), someone("e", "Zzemo Exemple", quality="low"),
        40, {"name.same": 50, "name.weak-alias": -10},
    ),
    "one word alone": (someone("p", "Abu Zzemo"), someone("e", "Zzemo"), 15, {"name.single": 15}),
    "one word of two": (someone("p", "Zzemo Exemple"), someone("e", "Zzemo Autre"), 5, {"name.one-word": 5}),
    "document alone, issuer unknown": (
        someone("p", "Zzemo Exemple", number="ZZ0000001"), someone("e", "Autre Nom", number="ZZ-0000001/BEL"),
        45, {"document.number": 45},
    ),
    "document of another state": (
        someone("p", "Zzemo Exemple", number="ZZ0000001/FRA"), someone("e", "Autre Nom", number="ZZ0000001/BEL"),
        20, {"document.other-issuer": 20},
    ),
    "a number too short to mean anything": (
        someone("p", "Zzemo Exemple", number="12"), someone("e", "Autre Nom", number="12"), 0, {},
    ),
    "nothing but a date and a state": (
        someone("p", "Zzemo Exemple", born="1989-01-31", nation="BEL"),
        someone("e", "Autre Nom", born="1989-01-31", nation="BEL"), 0, {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLE)
def test_the_table(case: str) -> None:
    """Score and reasons of each pair, the same from both sides."""
    person, entry, score, expected = TABLE[case]
    for found, reasons in (compare(person, entry), compare(entry, person)):
        assert {reason.code: reason.points for reason in reasons} == expected
        assert found == score


@pytest.mark.parametrize(
    "spellings",
    [
        ("Mohammed", "Muhammad", "Mohamed", "محمد", "Мухаммед"),
        (
            "Abdul Rahman",
            "Abdurrahman",
            "Abdel-Rahman",
            "Abdelrahman",
            "عبد الرحمن",
            "عبدالرحمن",
            "Абдуррахман",
        ),
        ("Abdullah", "Abdallah", "Abdulla", "عبد الله", "عبدالله", "Абдулла"),
        ("al-Qahtani", "Al Kahtani", "el Qahtany", "القحطاني"),
        ("Ahmad", "Ahmed", "أحمد", "احمد", "Ахмед"),
        ("Omar", "Umar", "عمر", "Умар"),
        ("Youssef", "Yusuf", "Yousif", "يوسف", "Юсуф"),
        ("Hussein", "Husayn", "حسين", "Хусейн"),
        ("Khalid", "Khaled", "خالد", "Халид"),
        ("Zhukov", "Joukov", "Жуков"),
        ("Exemple", "EXEMPLE", "Éxemple", "إكزمبل", "Экземпл"),
        ("علی‌رضا", "علیرضا"),
        ("O'Zzemo", "OZzemo", "O’Zzemo"),
    ],
)
def test_spellings_of_one_name_sound_alike(spellings: tuple[str, ...]) -> None:
    """Across scripts and habits of writing: one set of sounds."""
    sounds = {frozenset(map(sound_of, words_of(spelling))) for spelling in spellings}
    assert len(sounds) == 1


@pytest.mark.parametrize(
    ("one", "other"), [("Ahmad", "Hamid"), ("Ali", "Omar"), ("Ivan", "Igor"), ("Zzemo", "Fictif")]
)
def test_other_names_do_not(one: str, other: str) -> None:
    """Names that differ in a consonant keep apart."""
    assert set(map(sound_of, words_of(one))).isdisjoint(map(sound_of, words_of(other)))


def test_a_text_without_letters_is_no_name() -> None:
    """Signs alone are nothing to compare; a particle alone is, since there is nothing else."""
    assert name("--- .") is None
    found = name("Bin")
    assert found is not None
    assert found.words == {"bin"}


def test_a_common_name_alone_is_not_shown() -> None:
    """Six of ten persons bear it: its points are cut below what is shown; with a birth date they are shown again."""
    common = [someone(f"p{number}", "Zzemo Exemple") for number in range(6)]
    others = [
        someone(f"q{number}", f"Autre{chr(98 + number)}k Rare{chr(98 + number)}g") for number in range(4)
    ]
    born = someone("p9", "Zzemo Exemple", born="1989-01-31")
    persons = Persons([*common, *others, born])
    assert persons.matches(someone("e", "Zzemo Exemple")) == []
    (found,) = persons.matches(someone("e", "Zzemo Exemple", born="1989-01-31"))
    assert (found.person, found.score) == ("p9", 60)
    assert [reason.code for reason in found.reasons] == ["name.same", "name.common", "birth.same-day"]


def test_the_index_finds_what_comparing_all_would() -> None:
    """Every pair of the table with enough points, and none beside; best first, with band and names."""
    for person, entry, score, _ in TABLE.values():
        found = Persons([person]).matches(entry)
        assert [match.score for match in found] == ([score] if score >= CANDIDATE else [])
    (match,) = Persons([TABLE["Cyrillic and Latin"][0]]).matches(TABLE["Cyrillic and Latin"][1])
    assert (match.person, match.entry, match.band) == ("p", "e", "likely")
    assert match.names == ("Ззоня Примерова", "Zzonya Primerova")
    assert [band(score) for score in (40, 59, 60, 79, 80, 100)] == ["weak"] * 2 + ["likely"] * 2 + [
        "strong"
    ] * 2


def test_the_three_lists_know_one_another() -> None:
    """The sample of each list holds the same fictitious person: read as records, they score as one."""
    read = []
    for which, raw in (("un", UN), ("eu", EU), ("be", BE)):
        record = next(iter(SanctionsList(which, "bel.ocam", "o").read(raw)))  # type: ignore[arg-type]
        assert isinstance(record, CanonicalRecord)
        read.append(identity(which, fields_of(record, KINDS[record.kind])))
    for one, other in ((0, 1), (1, 2), (0, 2)):
        score, reasons = compare(read[one], read[other])
        assert score == MOST
        assert {"name.same", "document.same", "birth.same-day"} <= {reason.code for reason in reasons}


def test_a_range_of_years() -> None:
    """Any day of it is compatible, a day outside differs."""
    at = datetime(2026, 11, 21, tzinfo=UTC)
    content = {
        "names": [{"text": "Zzemo Exemple"}],
        "birth": [{"date": "1986", "precision": "year", "about": True, "until": "1990"}],
    }
    record = CanonicalRecord("sanctions-entry/1.0", "UN-1", "bel.ocam", at, "o", content, ())
    entry = identity("e", fields_of(record, KINDS[record.kind]))
    assert entry.births == ((date(1986, 1, 1), date(1990, 12, 31)),)
    for born, code in (
        ("1986-01-01", "birth.compatible"),
        ("1990-12-31", "birth.compatible"),
        ("1991", "birth.differs"),
    ):
        _, reasons = compare(someone("p", "Zzemo Exemple", born=born), entry)
        assert code in {reason.code for reason in reasons}


# --- laws ------------------------------------------------------------------------------------------------------------

words = st.lists(
    st.sampled_from(("Zzemo", "Exemple", "Земо", "إكزمبل", "Abu", "Ali", "abd")), min_size=1, max_size=4
)
texts = words.map(" ".join) | st.text(max_size=12)
spans = st.tuples(st.dates(date(1950, 1, 1), date(1953, 1, 1)), st.sampled_from((0, 30, 365, 2000))).map(
    lambda one: (one[0], date.fromordinal(one[0].toordinal() + one[1]))
)


@st.composite
def identities(draw: st.DrawFn) -> Identity:
    """Anybody, from few enough values that two of them often share some."""
    names = [name(text, weak=draw(st.booleans())) for text in draw(st.lists(texts, max_size=3))]
    return Identity(
        draw(st.sampled_from("abc")),
        tuple(found for found in names if found is not None),
        tuple(draw(st.lists(spans, max_size=2))),
        draw(st.frozensets(st.sampled_from(("BEL", "FRA", "NLD")), max_size=2)),
        draw(
            st.frozensets(
                st.tuples(st.sampled_from(("ZZ001", "ZZ002")), st.sampled_from(("", "BEL", "FRA"))),
                max_size=2,
            )
        ),
    )


commons = st.frozensets(st.sampled_from(("sm", "aksmbl", "al")), max_size=3)


@settings(deadline=None)
@given(identities(), identities(), commons)
def test_symmetry(one: Identity, other: Identity, common: frozenset[str]) -> None:
    """Who is compared with whom makes no difference."""
    assert compare(one, other, common)[0] == compare(other, one, common)[0]


@settings(deadline=None)
@given(identities(), identities(), commons)
def test_bounds_and_sum(one: Identity, other: Identity, common: frozenset[str]) -> None:
    """A score lies in its bounds and is the sum of its reasons, cut there; no reason, no score."""
    score, reasons = compare(one, other, common)
    assert 0 <= score <= MOST
    assert score == max(0, min(MOST, sum(reason.points for reason in reasons)))
    assert len({reason.code for reason in reasons}) == len(reasons)


@settings(deadline=None)
@given(identities(), identities(), identities(), commons)
def test_more_evidence_never_lowers(
    one: Identity, other: Identity, more: Identity, common: frozenset[str]
) -> None:
    """One more name, nationality or document, or birth date beside another: as many points, or more."""
    richer = Identity(
        one.id,
        one.names + more.names,
        one.births + more.births if one.births else (),
        one.nationalities | more.nationalities,
        one.documents | more.documents,
    )
    assert compare(richer, other, common)[0] >= compare(one, other, common)[0]


@settings(deadline=None)
@given(identities())
def test_everybody_is_as_near_to_oneself_as_names_allow(one: Identity) -> None:
    """Nobody without a name scores higher against someone than that one does."""
    without = Identity("x", (), one.births, one.nationalities, frozenset())
    assert compare(one, one)[0] >= compare(one, without)[0]


@settings(deadline=None)
@given(st.lists(identities(), max_size=6), identities())
def test_the_index_misses_nobody(people: list[Identity], entry: Identity) -> None:
    """Whoever has enough points is found through the index, too."""
    numbered = [Identity(str(at), *[getattr(who, field) for field in who.__struct_fields__[1:]])
                for at, who in enumerate(people)]  # fmt: skip
    persons = Persons(numbered)
    expected = {who.id for who in numbered if compare(who, entry, persons.common)[0] >= CANDIDATE}
    assert {match.person for match in persons.matches(entry)} == expected


@given(st.text(max_size=40))
def test_any_text_folds_to_the_same_again(text: str) -> None:
    """Folding what is folded changes nothing but joined servants' names; it never fails."""
    for word in words_of(text):
        assert word
        assert sound_of(word)
    assert words_of(text) == words_of(text)

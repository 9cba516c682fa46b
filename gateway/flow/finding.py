"""What a reviewer finds a person by: keys of names, birth dates and document numbers, made alike of what is stored and
of what is asked.

A key is text of which only an HMAC is ever stored. Names meet as words in any order and by sound across scripts and
spellings, by two words of several, or by an initial beside a word; a word alone meets only where it is asked alone, was
stored alone, or comes with a birth year. What this does not find: a misspelling that changes a consonant, a
translation, a name in a script without a table in `spelling` that is written in another.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from itertools import combinations
from typing import Any, Literal

import msgspec

from gateway.errors import RequestInvalid
from gateway.flow.matching import ABOUT, MIN_NUMBER, MOST, Identity, Point, identity_of, number_of
from gateway.flow.spelling import initial_of, joined_words_of, sound_of, unread, words_of
from gateway.model.record import CanonicalRecord
from gateway.model.time import PartialDate

#: Characters of a name asked for: longer than any line that a kind admits would be no name.
MAX_NAME = 200
#: Names and document numbers in one question: the spellings of one person, not a list of persons.
MAX_NAMES = MAX_NUMBERS = 8
#: Keys of one question, each an HMAC that the signer computes.
MAX_KEYS = 512
#: Words of a name that are paired with each other: beyond these a name is met as a whole and by its first words.
MAX_WORDS = 6
#: Years of an imprecise birth date that get a key: one that spans more says too little.
MAX_YEARS = 11

#: Which keys a name gets. Another form of keys is another version: what is indexed under this one must be built anew.
VERSION = 1

#: What nobody's name holds, and other search engines take as a pattern.
_WILDCARDS = frozenset("*?%_[]")

#: What agreed: a code of `gateway.flow.matching` and its points.
NAME = {
    "same": Point("name.same", 50),
    "sound": Point("name.sound", 40),
    "pair": Point("name.part-sound", 30),
    "initial": Point("name.initial", 20),
    "single": Point("name.single", 15),
    "year": Point("name.one-word", 5),
}
BIRTH = {
    "day": Point("birth.same-day", 30),
    "month": Point("birth.same-month", 20),
    "year": Point("birth.same-year", 12),
    "about": Point("birth.compatible", 6),
}
DIFFERS = Point("birth.differs", -30)
NUMBER = Point("document.number", 45)


#: Keys that are not looked up by: on their own they would find too many, so they only tell candidates apart.
_TOLD = ("year\n", "month\n")


def posted(key: str) -> bool:
    """Whether somebody is looked up by this key."""
    return not key.startswith(_TOLD)


class Person(msgspec.Struct, frozen=True):
    """Somebody whom a body mentions: the keys to be found by, or a record id where it gives nothing else."""

    keys: frozenset[str] = frozenset()
    born: bool = False  # some key is of a birth date
    entity: str = ""  # id of a record here


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked: spellings of one name, a birth date, document numbers."""

    names: tuple[str, ...] = ()
    birth: str = ""  # YYYY, YYYY-MM or YYYY-MM-DD
    about: bool = False
    numbers: tuple[str, ...] = ()


class Sought(msgspec.Struct, frozen=True):
    """One key of a question, what it says when it agrees, and whether it is looked up or only tells apart."""

    key: str
    point: Point
    looked_up: bool = True


# --- what is stored --------------------------------------------------------------------------------------------------


def people_of(content: Mapping[str, Any], entity: str = "") -> tuple[Person, ...]:
    """Everybody that the structured members of a record name: whom it is about, persons and children listed in it, and
    the records it links to or mentions. Texts are not read."""
    found = [Person(*_stored(identity_of("", _values(content))), entity)]
    for one in _items(content, "persons"):
        values = {"names": one.get("names", ()), "birth": [one["birth"]] if "birth" in one else (),
                  "documents": one.get("documents", ())}  # fmt: skip
        found.append(Person(*_stored(identity_of("", values))))
    for one in _items(content, "minor_children"):
        year = one.get("birth_year")
        birth = [{"date": str(year), "precision": "year"}] if year else ()
        found.append(Person(*_stored(identity_of("", {"names": [one.get("name", "")], "birth": birth}))))
    others = [one.get("other", "") for one in _items(content, "links")]
    mentions = content.get("mentions")
    others += mentions if isinstance(mentions, list) else []
    found += [Person(entity=one) for one in dict.fromkeys(others) if one and one != entity]
    return tuple(one for one in found if one.keys or one.entity)


def people_in(record: CanonicalRecord) -> tuple[Person, ...]:
    """The same of a record of ours, which has an id."""
    return people_of(record.content, record.entity_id)


def _values(content: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    """The members that say whom a record is about. A register number is a document number without issuer."""
    found: dict[str, Sequence[Any]] = {
        member: value
        for member in ("names", "birth", "documents")
        if isinstance(value := content.get(member), list)
    }
    if number := content.get("national_number"):
        found["documents"] = [*found.get("documents", ()), {"number": number}]
    return found


def _items(content: Mapping[str, Any], member: str) -> Iterator[dict[str, Any]]:
    found = content.get(member)
    yield from (one for one in found if isinstance(one, dict)) if isinstance(found, list) else ()


def _stored(person: Identity) -> tuple[frozenset[str], bool]:
    years = {str(year) for span in person.births for year in _years(span)}
    keys = {f"number\n{number}" for number, _ in person.documents}
    for name in person.names:
        keys |= _name_keys(name.text, years)
    if not keys:
        return frozenset(), False
    births = {f"year\n{year}" for year in years}
    for first, last in person.births:
        if (first.year, first.month) == (last.year, last.month):
            births.add(f"month\n{first:%Y-%m}")
        if first == last:
            births.add(f"day\n{first.isoformat()}")
    return frozenset(keys | births), bool(person.births)


def _years(span: tuple[date, date]) -> range:
    years = range(span[0].year, span[1].year + 1)
    return years if len(years) <= MAX_YEARS else range(0)


def _readings(text: str) -> Iterator[tuple[list[str], list[str]]]:
    """The whole words and the initials of a name, without particles, and with each joined to its word."""
    for words in dict.fromkeys((words_of(text), joined_words_of(text))):
        whole = [word for word in words if len(word) > 1]
        if whole:
            yield whole, sorted({initial_of(word) for word in words if len(word) == 1})


def _name_keys(text: str, years: Collection[str]) -> set[str]:
    keys: set[str] = set()
    for words, initials in _readings(text):
        keys.update(_whole(words))
        by_sound = {word: sound_of(word) for word in words[:MAX_WORDS]}
        sounds = sorted(set(by_sound.values()))
        keys.update(f"pair\n{one}\n{other}" for one, other in combinations(sounds, 2))
        for sound in sounds:
            keys.add(f"word\n{sound}")
            keys.update(f"word-year\n{sound}\n{year}" for year in years)
            keys.update(f"shortened\n{letter}\n{sound}" for letter in initials)
            others = {initial_of(word) for word, heard in by_sound.items() if heard != sound}
            keys.update(f"initial\n{letter}\n{sound}" for letter in others)
        if len(sounds) == 1 and not initials:
            keys.add(f"alone\n{sounds[0]}")
    return keys


def _whole(words: Sequence[str]) -> tuple[str, str]:
    sounds = " ".join(sorted(set(map(sound_of, words))))
    return f"same\n{' '.join(sorted(set(words)))}", f"sound\n{sounds}"


# --- what is asked ---------------------------------------------------------------------------------------------------


def sought(question: Question) -> tuple[Sought, ...]:
    """The keys of a question, each once and with the most it can say.

    (1) every text is a name or a number and no pattern; (2) the birth date is one; (3) something narrow enough is
    asked; (4) the keys stay within `MAX_KEYS`. Raises `RequestInvalid` naming the member.
    """
    # (1)
    _require(len(question.names) <= MAX_NAMES, f"at most {MAX_NAMES} spellings of one name", "name")
    _require(len(question.numbers) <= MAX_NUMBERS, f"at most {MAX_NUMBERS} document numbers", "document")
    for name in question.names:
        _require_name(name)
    numbers = [_require_number(one) for one in question.numbers]
    # (2)
    spans = _asked_births(question)
    # (3)
    day = len(question.birth) == 10 and not question.about
    _require(
        bool(question.names or numbers or question.birth), "ask a name, a document or a birth date", "name"
    )
    _require(
        bool(question.names or numbers or day),
        "a birth date asked alone is a whole day: anything less means too many",
        "birth",
    )
    # (4)
    found: dict[str, Sought] = {}
    years = sorted({str(year) for span in spans for year in _years(span)})
    for one in (
        *(one for name in question.names for one in _asked_name(name, years)),
        *(Sought(f"number\n{number}", NUMBER) for number in numbers),
        *_asked_birth(question, spans, years, looked_up=not question.names and not numbers),
    ):
        if one.key not in found or found[one.key].point.points < one.point.points:
            found[one.key] = one
    _require(len(found) <= MAX_KEYS, "these names have too many spellings for one question", "name")
    return tuple(found.values())


def not_covered(question: Question) -> bool:
    """Whether a name asked has letters that agree with no other script."""
    return any(map(unread, question.names))


def _require(holds: bool, rule: str, field: str) -> None:
    if not holds:
        raise RequestInvalid(f"{field}: {rule}", diagnostic={"field": field})


def _require_name(text: str) -> None:
    _require(0 < len(text) <= MAX_NAME, f"a name of 1 to {MAX_NAME} characters", "name")
    _require(
        not any(unicodedata.category(sign) in ("Cc", "Cs", "Co", "Cn") for sign in text),
        "a name holds no control characters",
        "name",
    )
    _require(_WILDCARDS.isdisjoint(text), "there are no wildcards: spellings are met by sound", "name")
    _require(
        any(sum(len(word) for word in words) > 1 for words, _ in _readings(text)),
        "a name has a word of two letters or more: less means too many",
        "name",
    )


def _require_number(text: str) -> str:
    _require(len(text) <= MAX_NAME, f"a number of up to {MAX_NAME} characters", "document")
    _require(_WILDCARDS.isdisjoint(text), "there are no wildcards: give the whole number", "document")
    number = number_of(text)
    _require(len(number) >= MIN_NUMBER, f"a number of {MIN_NUMBER} letters and digits or more", "document")
    return number


def _asked_births(question: Question) -> list[tuple[date, date]]:
    if not question.birth:
        _require(not question.about, "about what? give the birth date", "birth")
        return []
    precisions: dict[int, Literal["year", "month", "day"]] = {4: "year", 7: "month", 10: "day"}
    precision = precisions.get(len(question.birth))
    bounds = PartialDate(question.birth, precision).bounds() if precision else None
    if bounds is None:
        raise RequestInvalid(
            "birth: YYYY, YYYY-MM or YYYY-MM-DD, a day that exists", diagnostic={"field": "birth"}
        )
    first, last = bounds
    _require(1000 < first.year < 9000, "a year of a person's life", "birth")
    return [(first - ABOUT, last + ABOUT)] if question.about else [bounds]


def _asked_name(text: str, years: Collection[str]) -> Iterator[Sought]:
    for words, initials in _readings(text):
        same, sound = _whole(words)
        by_sound = {word: sound_of(word) for word in words[:MAX_WORDS]}
        sounds = sorted(set(by_sound.values()))
        alone = len(sounds) == 1 and not initials
        if alone:
            yield Sought(f"word\n{sounds[0]}", NAME["single"])
        elif len(sounds) > 1:
            yield Sought(same, NAME["same"])
            yield Sought(sound, NAME["sound"])
        for one, other in combinations(sounds, 2):
            yield Sought(f"pair\n{one}\n{other}", NAME["pair"])
        for heard in sounds:
            others = {initial_of(word) for word, by in by_sound.items() if by != heard}
            for letter in sorted({*initials, *others}):
                yield Sought(f"shortened\n{letter}\n{heard}", NAME["initial"])
            for letter in initials:
                yield Sought(f"initial\n{letter}\n{heard}", NAME["initial"])
            if not alone:
                yield Sought(f"alone\n{heard}", NAME["single"])
            for year in years:
                yield Sought(f"word-year\n{heard}\n{year}", NAME["single"] if alone else NAME["year"])


def _asked_birth(
    question: Question, spans: Iterable[tuple[date, date]], years: Collection[str], *, looked_up: bool
) -> Iterator[Sought]:
    if question.about:
        yield from (Sought(f"year\n{year}", BIRTH["about"], looked_up=False) for year in years)
        return
    for first, last in spans:
        yield Sought(f"year\n{first.year}", BIRTH["year"], looked_up=False)
        if first.month == last.month:
            yield Sought(f"month\n{first:%Y-%m}", BIRTH["month"], looked_up=False)
        if first == last:
            yield Sought(f"day\n{first.isoformat()}", BIRTH["day"], looked_up=looked_up)


# --- what agrees -----------------------------------------------------------------------------------------------------


def judge(agreed: Iterable[Point], *, asked_birth: bool, born: bool) -> tuple[int, tuple[Point, ...]]:
    """Score of 0 to `MOST` and its reasons: of name, birth and number, what says most.

    A birth date that is known and agrees in nothing speaks against; one that is not known says nothing.
    """
    best: dict[str, Point] = {}
    for point in agreed:
        about = point.code.partition(".")[0]
        best[about] = max(best.get(about, point), point, key=lambda one: one.points)
    if asked_birth and born and "birth" not in best:
        best["birth"] = DIFFERS
    reasons = tuple(best[about] for about in ("name", "document", "birth") if about in best)
    return max(0, min(MOST, sum(point.points for point in reasons))), reasons

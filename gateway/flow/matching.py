"""Which imported persons may be the ones on a list: candidates with reasons, for a human to decide. Nothing is linked.

A score is a sum of points, each with the reason for it; nothing is hidden in a weight. Names are compared as words in
any order, so that swapped given and family names agree, and by sound across scripts and spellings. What this does not
find: a misspelling that changes a consonant, a translation, a name in a script without a table here.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Literal

import msgspec

from gateway.flow.spelling import sound_of, words_of
from gateway.model.record import LabelledField
from gateway.model.time import PartialDate

Band = Literal["strong", "likely", "weak"]

CANDIDATE, LIKELY, STRONG = 40, 60, 80  # points from which a pair is shown, and how it is called
MOST = 100  # points; a sum beyond is cut
ABOUT = timedelta(days=731)  # how far "about" is taken to reach on each side: two years, the field's habit
MIN_NUMBER = 5  # letters and digits of a document number worth comparing
COMMON_SHARE, COMMON_LEAST = (
    0.01,
    5,
)  # a word is common when more than 1 % of the persons, and at least 5, bear it


class Name(msgspec.Struct, frozen=True):
    """A name as it is compared: its words folded to Latin letters, and the same by sound."""

    text: str
    words: frozenset[str]
    sounds: frozenset[str]
    weak: bool = False  # the source calls it a low-quality alias


class Identity(msgspec.Struct, frozen=True):
    """What is known of a person under an id that names nobody."""

    id: str
    names: tuple[Name, ...]
    births: tuple[tuple[date, date], ...] = ()  # earliest and latest day of each
    nationalities: frozenset[str] = frozenset()  # ISO 3166-1 alpha-3
    documents: frozenset[tuple[str, str]] = frozenset()  # folded number, issuer or empty


class Point(msgspec.Struct, frozen=True):
    """One reason: a code that says what agrees or differs, never a value, and its points."""

    code: str
    points: int


class Match(msgspec.Struct, frozen=True):
    """A candidate: two ids, the score, its band and its reasons, and the pair of names that agrees best."""

    person: str
    entry: str
    score: int
    band: Band
    reasons: tuple[Point, ...]
    names: tuple[str, str]


# --- reading ---------------------------------------------------------------------------------------------------------


def name(text: str, *, weak: bool = False) -> Name | None:
    """A text as a name; None when no word of it is left to compare."""
    words = words_of(text)
    sounds = frozenset(map(sound_of, words))
    return Name(text, frozenset(words), sounds, weak) if words else None


def identity(id_: str, fields: Iterable[LabelledField]) -> Identity:
    """The identity that these fields of a record hold: members ``names birth nationalities documents`` of its kind."""
    found: defaultdict[str, list[Any]] = defaultdict(list)
    for field in fields:
        found[field.pointer.split("/")[1]].append(field.value)
    return identity_of(id_, found)


def identity_of(id_: str, found: Mapping[str, Sequence[Any]]) -> Identity:
    """The identity that these members hold, each a list of values as a kind describes them; a bare text is a name."""
    found = defaultdict(list, found)
    nations = (one if isinstance(one, str) else one.get("country", "") for one in found["nationalities"])
    documents = ((number_of(one["number"]), one.get("issuer", "")) for one in found["documents"])
    return Identity(
        id_,
        tuple(dict.fromkeys(each for one in found["names"] for each in _names(one))),
        tuple(dict.fromkeys(span for one in found["birth"] if (span := _span(one)) is not None)),
        frozenset(nations) - {""},
        frozenset(one for one in documents if len(one[0]) >= MIN_NUMBER),
    )


def _names(value: dict[str, Any] | str) -> Iterator[Name]:
    if isinstance(value, str):
        value = {"text": value}
    parts = (value.get(part, "") for part in ("given", "patronymic", "family"))
    other = value.get("transliteration", {}).get("text", "")
    for text in (
        " ".join(part for part in parts if part),
        value.get("text", ""),
        value.get("kunya", ""),
        other,
    ):
        if text and (found := name(text, weak=value.get("quality") == "low")) is not None:
            yield found


def number_of(text: str) -> str:
    """A document number as it is compared: its letters and digits, in capitals."""
    return "".join(sign for sign in unicodedata.normalize("NFKC", text).upper() if sign.isalnum())


def _span(value: dict[str, Any]) -> tuple[date, date] | None:
    bounds = PartialDate(value["date"], value["precision"]).bounds()
    if bounds is None:
        return None
    first, last = bounds
    if until := value.get("until"):
        return first, date(max(int(until), last.year), 12, 31)
    return (first - ABOUT, last + ABOUT) if value.get("about") else (first, last)


# --- comparing -------------------------------------------------------------------------------------------------------


def compare(
    one: Identity, other: Identity, common: frozenset[str] = frozenset()
) -> tuple[int, tuple[Point, ...]]:
    """Score of 0 to `MOST` and its reasons; ``common`` holds sounds that many bear.

    Symmetric. One more name, nationality or document never lowers a score, nor does one more birth date beside another;
    a first birth date may, since it may tell two persons apart. Without an agreeing name or document the score is 0.
    """
    points, _ = _named(one, other, common)
    numbers = _documents(one, other)
    if not points and not numbers:
        return 0, ()
    reasons = (*points, *numbers, *_births(one, other), *_nationalities(one, other))
    return max(0, min(MOST, sum(reason.points for reason in reasons))), reasons


def _named(
    one: Identity, other: Identity, common: frozenset[str]
) -> tuple[tuple[Point, ...], tuple[str, str]]:
    """The pair of names that agrees best."""
    best: tuple[Point, ...] = ()
    texts = ("", "")
    for mine in one.names:
        for theirs in other.names:
            points = tuple(_agreement(mine, theirs, common))
            if sum(point.points for point in points) > sum(point.points for point in best):
                best, texts = points, (mine.text, theirs.text)
    return best, texts


def _agreement(one: Name, other: Name, common: frozenset[str]) -> Iterator[Point]:
    sounds = one.sounds & other.sounds
    if not sounds or (len(sounds) == 1 and sounds <= common):
        return  # one word that many bear says nothing
    words = one.words & other.words
    whole, within = one.sounds == other.sounds, sounds in (one.sounds, other.sounds)
    spelled = words in (one.words, other.words)
    if len(sounds) == 1:
        base = Point("name.single", 15) if within else Point("name.one-word", 5)
    elif whole:
        base = Point("name.same", 50) if spelled else Point("name.sound", 40)
    elif within:
        base = Point("name.part", 40) if spelled else Point("name.part-sound", 30)
    else:
        base = Point("name.overlap", 20)
    yield base
    if one.weak or other.weak:
        yield Point("name.weak-alias", -min(10, base.points - 5))
    if sounds <= common:
        yield Point("name.common", -min(20, base.points // 2 - 1))


def _births(one: Identity, other: Identity) -> Iterator[Point]:
    """How near two dates can come: the less precise of a pair says what agreement is worth."""
    if not one.births or not other.births:
        return
    best = Point("birth.differs", -30)
    for first, last in one.births:
        for earliest, latest in other.births:
            if first <= latest and earliest <= last:
                days = max((last - first).days, (latest - earliest).days)
                point = (
                    Point("birth.same-day", 30) if days == 0
                    else Point("birth.same-month", 20) if days < 31
                    else Point("birth.same-year", 12) if days < 366
                    else Point("birth.compatible", 6)
                )  # fmt: skip
                best = max(best, point, key=lambda found: found.points)
    yield best


def _nationalities(one: Identity, other: Identity) -> Iterator[Point]:
    if one.nationalities & other.nationalities:
        yield Point("nationality.common", 10)


def _documents(one: Identity, other: Identity) -> tuple[Point, ...]:
    """The same number; two states may give the same one to two persons."""
    best = 0
    for number, issuer in one.documents:
        for theirs, by in other.documents:
            if number == theirs:
                best = max(best, 50 if issuer and issuer == by else 45 if not issuer or not by else 20)
    codes = {50: "document.same", 45: "document.number", 20: "document.other-issuer"}
    return (Point(codes[best], best),) if best else ()


# --- many against many -----------------------------------------------------------------------------------------------


class Persons:
    """Imported persons, indexed by the sounds of their names and by document numbers; entries pass by one at a time."""

    def __init__(self, persons: Iterable[Identity]) -> None:
        self._persons = tuple(persons)
        self._by_sound: defaultdict[str, list[int]] = defaultdict(list)
        self._by_number: defaultdict[str, list[int]] = defaultdict(list)
        for position, person in enumerate(self._persons):
            for sound in frozenset().union(*(one.sounds for one in person.names)):
                self._by_sound[sound].append(position)
            for number, _ in person.documents:
                self._by_number[number].append(position)
        least = max(COMMON_LEAST, COMMON_SHARE * len(self._persons))
        self.common = frozenset(sound for sound, who in self._by_sound.items() if len(who) > least)

    def matches(self, entry: Identity) -> list[Match]:
        """Every person with at least `CANDIDATE` points against this entry, best first."""
        shared: Counter[int] = Counter()
        for sound in frozenset().union(*(one.sounds for one in entry.names)):
            weight = 1 if sound in self.common else 2
            for position in self._by_sound.get(sound, ()):
                shared[position] += weight
        near = {position for position, count in shared.items() if count > 1}
        near.update(position for number, _ in entry.documents for position in self._by_number.get(number, ()))
        found = []
        for person in (self._persons[position] for position in near):
            score, reasons = compare(person, entry, self.common)
            if score >= CANDIDATE:
                _, names = _named(person, entry, self.common)
                found.append(Match(person.id, entry.id, score, band(score), reasons, names))
        return sorted(found, key=lambda match: (-match.score, match.person))


def band(score: int) -> Band:
    """What a score of at least `CANDIDATE` is called."""
    return "strong" if score >= STRONG else "likely" if score >= LIKELY else "weak"

"""Withheld values in free text: the last look, for what no structure can exclude.

A note is released as it was written, and its author may have written down what another field withholds. Both sides
are folded before they are compared. What this does not find: transliterations, look-alike letters, dates with the
month in words, paraphrase. That is why a person reads every free text before it is approved.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from types import EllipsisType
from typing import NamedTuple

from gateway.guard.allow import AllowList
from gateway.guard.numbers import numbers_in
from gateway.guard.reader import Leaf, Path, leaves
from gateway.guard.refusal import refuse
from gateway.guard.release import ReleasedRecord

MIN_CHARACTERS = 4  # folded characters of a value worth searching: shorter ones stand in texts by chance
MIN_SQUASHED = 8  # letters and digits without what lies between them: shorter ones arise across word borders
MIN_DIGITS = 6  # digits of a value without letters; shorter runs are house numbers and years

_DATE = re.compile(r"([0-9]{4})-([0-9]{2})(?:-([0-9]{2}))?")
_NO_DIGIT = re.compile(r"[^0-9]")
_TATWEEL = "\u0640"  # a stroke that lengthens an Arabic word and is no letter of it


class Form(NamedTuple):
    """A text in the forms in which it is compared."""

    words: str  # folded, one blank between words
    squashed: str  # the same without blanks

    @property
    def digits(self) -> str:
        return _NO_DIGIT.sub("", self.squashed)

    @property
    def numbers(self) -> str:
        """Words between blanks, numbers without leading zeros."""
        return " " + "".join(f"{word.lstrip('0') or '0'} " for word in self.words.split())


def fold(text: str) -> Form:
    """NFKD, case folded, marks and invisible characters dropped, any script's digits as ASCII."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    words = folded.translate(_FOLDED).split()
    return Form(" ".join(words), "".join(words))


class _Folded(dict[int, str]):
    """What each character becomes, worked out when it is first met: by code point, as `str.translate` asks."""

    def __missing__(self, code: int) -> str:
        self[code] = _folded(chr(code))
        return self[code]


def _folded(sign: str) -> str:
    category = unicodedata.category(sign)
    if category == "Nd":
        return str(unicodedata.decimal(sign))
    unseen = category[0] == "M" or category == "Cf" or sign == _TATWEEL
    return "" if unseen else (sign if sign.isalnum() else " ")


_FOLDED = _Folded()  # grows to one entry for each character of Unicode at most, and says nothing of any text


def require_silent(records: Sequence[ReleasedRecord], sent: Iterable[Leaf], allow: AllowList) -> None:
    """Raises `GuardRefused` when what is sent names what is withheld. ``sent`` are leaves with paths below a record.

    (1) no string stands where a kind keeps local ids, and none holds an entity id of the release; (2) no free text
    holds a withheld value of any record of the release, unless (3) that value also stands in the message by right: as
    the whole of a string that is not free text, or that is the same member of the same field pattern (two aliases of
    one spelling, one of them withheld). Codes of closed vocabularies are not looked for; (4) no free text holds a
    register or account number, unless it is released as data of class A.
    """
    strings = [(_place(leaf.path), fold(leaf.string)) for leaf in sent if leaf.string is not None]
    forms = [form for _, form in strings]
    local = any(place[-1] in allow.local_identifiers for place, _ in strings)  # (1)
    if local or any(_named(record.entity_id, fold(record.entity_id), forms) for record in records):
        raise refuse("entity-id", "the payload names an entity by its local id")
    texts = [form for place, form in strings if not allow.free_text.isdisjoint(place)]
    by_right = {(() if allow.free_text.isdisjoint(place) else place, form.words) for place, form in strings}
    told = {number for form in texts for number in numbers_in(form.words)}
    if any(all(number not in _class_a(record, allow) for record in records) for number in told):  # (4)
        raise refuse("register-number-in-text", "a free text holds a register or account number")
    for leaf in {leaf for record in records for leaf in record.withheld}:
        place = _place(leaf.path)
        if leaf.string is None or place[-1] in allow.closed_vocabularies:
            continue
        sought = fold(leaf.string)
        here = [((), sought.words), (place, sought.words)]  # (3)
        if by_right.isdisjoint(here) and _named(leaf.string, sought, texts):  # (2)
            raise refuse("withheld-value-in-text", "a free text holds a value that is withheld")


def _class_a(record: ReleasedRecord, allow: AllowList) -> Iterator[str]:
    """Register and account numbers that leave as data of class A: by their kind they may."""
    members = {at.split("/")[1] for at, spec in record.kind.fields.items() if spec.export_class == "A"}
    for leaf in leaves(record.content):
        if leaf.path[0] in members and leaf.string is not None and allow.free_text.isdisjoint(leaf.path):
            yield from numbers_in(fold(leaf.string).words)


def _named(value: str, sought: Form, texts: Iterable[Form]) -> bool:
    """Whether a text holds the value: as words, without what lies between them, as digits, or as a date."""
    squashed = len(sought.squashed) >= MIN_SQUASHED
    digits = [sought.digits] if sought.digits == sought.squashed and len(sought.digits) >= MIN_DIGITS else []
    dates: list[str] = []
    if date := _DATE.fullmatch(value):
        year, month, day = date.groups()
        digits.append(f"{day or ''}{month}{year}")
        dates.extend(_written(year, month, day))
    return len(sought.words) >= MIN_CHARACTERS and any(
        sought.words in text.words
        or (squashed and sought.squashed in text.squashed)
        or any(run in text.digits for run in digits)
        or any(written in text.numbers for written in dates)
        for text in texts
    )


def _written(year: str, month: str, day: str | None) -> Iterator[str]:
    """A date as numbers between blanks: year, day or month first; the year in full, or beside a day as two digits."""
    month = str(int(month))
    if day is None:
        yield f" {month} {year} "
        yield f" {year} {month} "
        return
    day = str(int(day))
    for written_year in (year, str(int(year[2:]))):
        yield f" {day} {month} {written_year} "
        yield f" {month} {day} {written_year} "
        yield f" {written_year} {month} {day} "


def _place(path: Path) -> tuple[str | EllipsisType, ...]:
    """Where a leaf stands in its kind: every index is the same place."""
    return tuple(... if isinstance(step, int) else step for step in path)

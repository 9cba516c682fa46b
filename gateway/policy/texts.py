"""Free text before it leaves: what stands in somebody's own words that the same decision withholds.

The guard looks again, in its own way, at the finished bytes. Here it is looked for first, so that an officer is told
where, and writes it otherwise. Values are sought folded, as digits and as dates, and in what the text becomes when it
is read backwards or when escapes, hexadecimal and base64 in it are undone; a digest of a value counts as the value.
What this does not find: look-alike letters, dates with the month in words, paraphrase. That is why a person reads each
text.
"""

import base64
import hashlib
import html
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import msgspec

from gateway.model.record import LabelledField, strings_of

MIN_CHARACTERS = 4  # folded characters of a value worth looking for: shorter ones stand in texts by chance
MIN_SQUASHED = 8  # letters and digits without what lies between them: shorter ones arise across word borders
MIN_DIGITS = 6  # digits of a value without letters; shorter runs are house numbers and years
MIN_UNDONE = 6  # signs of a value looked for in what a text hides: backwards, encoded
PREFIX_BYTES = 6  # of a digest: an identifier that begins with 48 bits of it is no chance

_DATE = re.compile(r"([0-9]{4})-([0-9]{2})(?:-([0-9]{2}))?")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_PERCENT = re.compile(rb"%([0-9a-fA-F]{2})")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}[ :-]?){4,}[0-9a-fA-F]?")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}")
_NO_DIGIT = re.compile(r"[^0-9]")


class Value(msgspec.Struct, frozen=True):
    """A value that must not stand in a text, and its place: the members that lead to it, indices left out."""

    text: str
    place: tuple[str, ...]


class Readings:
    """One text in every form in which a value is looked for in it."""

    def __init__(self, text: str) -> None:
        self._text, self._plain = text, _Folded(text)

    def hold(self, value: str) -> bool:
        """Whether the value stands in the text, in one form or another.

        (1) as words, without what lies between them, as digits, as a date; (2) backwards; (3) in what the text says
        when escapes, hexadecimal and base64 in it are undone, either way; (4) as the beginning of its digest.
        """
        sought = _Folded(value)
        if len(sought.words) < MIN_CHARACTERS:
            return False
        if self._plain.holds(value, sought):  # (1)
            return True
        if len(sought.squashed) < MIN_UNDONE:
            return False
        backwards = _Folded(value[::-1])
        if self._plain.says(backwards):  # (2)
            return True
        hidden = self._hidden
        if hidden.says(sought) or hidden.says(backwards):  # (3)
            return True
        digests = (
            hashlib.new(name, form.encode(), usedforsecurity=False).digest()[:PREFIX_BYTES]
            for name in ("sha256", "sha1", "md5")
            for form in {value, value.lower(), unicodedata.normalize("NFD", value)}
        )
        return bool(self._decoded) and any(digest in self._decoded for digest in digests)  # (4)

    @cached_property
    def _decoded(self) -> bytes:
        return b"\n".join(_decoded(self._text))

    @cached_property
    def _hidden(self) -> "_Folded":
        return _Folded("\n".join((*_undone(self._text), self._decoded.decode(errors="ignore"))))


class _Folded:
    """A text as it is compared: case, accents, scripts of digits and what lies between words do not count."""

    def __init__(self, text: str) -> None:
        signs = text.lower()
        if not text.isascii():  # ASCII is composed of nothing
            signs = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
        self.words = " ".join(signs.translate(_SIGNS).split())
        self.squashed = self.words.replace(" ", "")

    @cached_property
    def digits(self) -> str:
        return _NO_DIGIT.sub("", self.squashed)

    @cached_property
    def numbers(self) -> str:
        """Words between blanks, numbers without leading zeros."""
        return " " + "".join(f"{word.lstrip('0') or '0'} " for word in self.words.split())

    def says(self, sought: "_Folded") -> bool:
        """Whether a value stands here as words, or without what lies between them."""
        return sought.words in self.words or (
            len(sought.squashed) >= MIN_SQUASHED and sought.squashed in self.squashed
        )

    def holds(self, value: str, sought: "_Folded") -> bool:
        """The same, or as digits, or as a date."""
        if self.says(sought):
            return True
        only_digits = sought.digits == sought.squashed and len(sought.digits) >= MIN_DIGITS
        if only_digits and sought.digits in self.digits:
            return True
        date = _DATE.fullmatch(value)
        return date is not None and any(
            form in self.numbers or form in self.digits for form in _dates(*date.groups())
        )


class _Signs(dict[int, str]):
    """What each sign becomes, worked out when it is first met."""

    def __missing__(self, code: int) -> str:
        sign = chr(code)
        category = unicodedata.category(sign)
        if (
            category[0] == "M" or category == "Cf" or sign == "\u0640"
        ):  # tatweel lengthens a word and is no letter
            self[code] = ""
        elif category == "Nd":
            self[code] = str(unicodedata.decimal(sign))
        else:
            self[code] = sign if sign.isalnum() else " "
        return self[code]


_SIGNS = _Signs()  # grows to one entry for each character of Unicode at most, and says nothing of any text


def _dates(year: str, month: str, day: str | None) -> Iterator[str]:
    """A date as numbers between blanks, the year in full or beside a day as two digits; day, month and year at once."""
    yield f"{day or ''}{month}{year}"
    short_month, short_day = month.lstrip("0"), day and day.lstrip("0")
    if not short_day:
        yield f" {short_month} {year} "
        yield f" {year} {short_month} "
        return
    for written in (year, year[2:].lstrip("0") or "0"):
        yield f" {short_day} {short_month} {written} "
        yield f" {short_month} {short_day} {written} "
        yield f" {written} {short_month} {short_day} "


# --- what a text hides -----------------------------------------------------------------------------------------------


def _undone(text: str) -> Iterator[str]:
    """The text with its escapes undone, where it has any."""
    if "\\" in text or "&" in text:
        plain = html.unescape(_ESCAPE.sub(lambda code: chr(int(code[1], 16)), text))
        yield plain.encode(errors="ignore").decode()
    if "%" in text:
        raw = _PERCENT.sub(lambda code: bytes.fromhex(code[1].decode()), text.encode(errors="ignore"))
        yield raw.decode(errors="ignore")


def _decoded(text: str) -> list[bytes]:
    """The bytes of each run of hexadecimal and base64, from every place at which one may begin."""
    found = []
    for run in _HEX.findall(text):
        digits = re.sub(r"[ :-]", "", run)
        for start in (0, 1):
            whole = (len(digits) - start) // 2 * 2
            found.append(bytes.fromhex(digits[start : start + whole]))
    for token in _BASE64.findall(text):
        signs = token.replace("-", "+").replace("_", "/")
        for start in range(4):
            whole = signs[start:]
            whole = whole[:-1] if len(whole) % 4 == 1 else whole
            found.append(base64.b64decode(whole + "=" * (-len(whole) % 4)))
    return found


# --- values of a record ----------------------------------------------------------------------------------------------


def values_of(fields: Iterable[LabelledField]) -> Iterator[Value]:
    """Every text of these fields that says something: codes of closed lists do not."""
    for field in fields:
        codes = field.spec.codes if field.spec else frozenset()
        for path, text in strings_of(field.value, tuple(field.pointer.split("/")[1:])):
            place = tuple(step for step in path if not step.isdecimal())
            if place[-1] not in codes:
                yield Value(text, place)


class Rights:
    """What stands in a message by right: the whole of a released text that is nobody's own words, anywhere; and of one
    that is, at the same place (two aliases of one spelling, one of them withheld)."""

    def __init__(self, released: Sequence[LabelledField]) -> None:
        self._released = released

    @cached_property
    def _held(self) -> set[tuple[tuple[str, ...], str]]:  # asked for where a value was found, which is seldom
        held: set[tuple[tuple[str, ...], str]] = set()
        for field in self._released:
            texts = field.spec.texts if field.spec else frozenset()
            for value in values_of([field]):
                own = not texts.isdisjoint(value.place)
                held.add((value.place if own else (), _Folded(value.text).words))
        return held

    def cover(self, value: Value) -> bool:
        """Whether the value stands there by right."""
        words = _Folded(value.text).words
        return not self._held.isdisjoint({((), words), (value.place, words)})

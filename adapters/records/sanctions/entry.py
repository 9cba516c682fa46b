"""One entry of a list as a record: what the three lists have in common."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from functools import cache
from typing import Any, Literal, NamedTuple

import jsonschema_rs
import msgspec
from lxml.etree import _Element

import schemas
from gateway.errors import MalformedMessage, RecordInvalid
from gateway.model.kind import RecordKind, load_kind
from gateway.model.label import SecurityLabel, nation_of
from gateway.model.record import CanonicalRecord, FieldLabel, fields_of
from gateway.model.time import PartialDate, parse_rfc3339

KIND = "sanctions-entry/1.0"
ListName = Literal["un", "eu", "be"]

#: Directional marks and byte order marks: a line that stands by itself needs none; published names are full of them.
_MARKS = dict.fromkeys((0x061C, 0x200E, 0x200F, 0xFEFF))

#: First word of a letter's Unicode name, and the ISO 15924 code of the script it belongs to.
_SCRIPTS = {
    "LATIN": "Latn", "CYRILLIC": "Cyrl", "ARABIC": "Arab", "GREEK": "Grek", "HEBREW": "Hebr", "ARMENIAN": "Armn",
    "GEORGIAN": "Geor", "CJK": "Hani", "HIRAGANA": "Hira", "KATAKANA": "Kana", "HANGUL": "Hang",
    "DEVANAGARI": "Deva", "BENGALI": "Beng", "ETHIOPIC": "Ethi", "MYANMAR": "Mymr", "THAI": "Thai", "SYRIAC": "Syrc",
}  # fmt: skip

_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
#: A day as XML Schema writes it, of a date or of the beginning of a dateTime, with or without a zone.
_DAY = re.compile(r"(\d{4}-\d{2}-\d{2})(?:T[0-9:.]*)?(?:Z|[+-]\d{2}:\d{2})?", re.ASCII)
_CENTURIES = ("19", "20")  # in which a list may say that something was listed, as the kind's schema has it
_MAX_UNDATED = 100  # characters that are kept of what should be a date
_STAMP = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})?", re.ASCII)


class Entry(NamedTuple):
    """What a list says of one person or entity: the number it gives, and content in the shape of the kind."""

    number: str
    content: dict[str, Any]


def bad(pointer: str, rule: str, detail: str = "an entry breaks its schema") -> RecordInvalid:
    """What an entry's reader raises: a pointer into the kind's schema and a rule, never a value."""
    return RecordInvalid(detail, pointer=pointer, rule=rule)


# --- values ----------------------------------------------------------------------------------------------------------


def plain(text: str | None) -> str:
    """A text as the schema takes it: one blank for any white space, no directional mark at all."""
    return " ".join((text or "").translate(_MARKS).split())


def inner(element: _Element) -> str:
    """All text inside an element, made plain."""
    return plain("".join(str(part) for part in element.itertext()))


def filled(**members: Any) -> dict[str, Any]:
    """The members that hold something: absent is absent, never empty."""
    return {name: value for name, value in members.items() if value not in ("", None, [], {}, False)}


def country(text: str, code: str = "") -> dict[str, Any]:
    """``country`` (alpha-3) where code or text is known to the table, and the text as published."""
    alpha3, by_name = _countries()
    return filled(
        country=alpha3.get(code.upper()) or by_name.get(_country_words(text), ""), country_text=text
    )


@cache
def _countries() -> tuple[dict[str, str], dict[tuple[str, ...], str]]:
    rows: dict[str, list[str]] = schemas.load_json("codes/countries.json")["countries"]
    alpha3 = {alpha2: row[0] for alpha2, row in rows.items()}
    return alpha3, {_country_words(name): row[0] for row in rows.values() for name in row[1:]}


def _country_words(text: str) -> tuple[str, ...]:
    """``Iran, Islamic Republic of`` and ``IRAN (Islamic Republic of)`` are one name: its words in one order."""
    folded = unicodedata.normalize("NFKD", text).casefold()
    letters = "".join(sign if sign.isalnum() else " " for sign in folded if not unicodedata.combining(sign))
    return tuple(sorted(set(letters.split()) - {"the", "of", "and"}))


def script_of(text: str) -> str:
    """ISO 15924 code of the script most letters belong to; ``Zyyy`` without any, ``Zzzz`` for one not in the table."""
    found = Counter(
        _SCRIPTS.get(unicodedata.name(sign, "").partition(" ")[0], "Zzzz") for sign in text if sign.isalpha()
    )
    return max(sorted(found), key=found.__getitem__) if found else "Zyyy"


def partial(year: str, month: str = "", day: str = "") -> dict[str, Any] | None:
    """A birth date as precise as the parts given; None for none, `RecordInvalid` for a day that does not exist."""
    if not year:
        return None
    parts = [year] + ([month.zfill(2)] if month else []) + ([day.zfill(2)] if month and day else [])
    precision: Literal["year", "month", "day"] = ("year", "month", "day")[len(parts) - 1]
    written = "-".join(parts)
    if PartialDate(written, precision).bounds() is None:
        raise bad("/birth/*/date", "date.precision", "a date is not what its precision says")
    return {"date": written, "precision": precision}


def unzoned(text: str) -> str:
    """The calendar date of an XML Schema date or dateTime, as it stands there; what is neither stays as it is."""
    found = _DAY.fullmatch(text)
    return found[1] if found else text


def listed_day(text: str) -> str:
    """The day on which something was listed or published, without its zone; empty for what is no such day."""
    day = unzoned(text)
    try:
        return date.fromisoformat(day).isoformat() if day.startswith(_CENTURIES) and len(day) == 10 else ""
    except ValueError:
        return ""


def undated(*texts: str) -> Iterator[dict[str, Any]]:
    """Remarks that keep what `listed_day` could not read: nobody falls off a list for the day of listing."""
    for text in dict.fromkeys(texts):
        if text and not listed_day(text):
            yield {"of": "entry", "text": f"listed or published: {text[:_MAX_UNDATED]}"}


def generated(text: str) -> datetime:
    """When a list was made, from the stamp it carries (XML Schema dateTime; without offset it is UTC)."""
    try:
        if not _STAMP.fullmatch(text):
            raise ValueError
        at = datetime.fromisoformat(text if text[-1] == "Z" or text[-6] in "+-" else text + "Z")
        return parse_rfc3339(f"{at - (at.utcoffset() or at - at):%Y-%m-%dT%H:%M:%SZ}")
    except (ValueError, OverflowError, MalformedMessage):
        raise bad("", "list.generated", "the list does not say when it was made") from None


# --- the record ------------------------------------------------------------------------------------------------------


class Records:
    """Turns entries into records that follow the kind, labelled as the published texts they are.

    The label: a published list is unclassified and TLP:CLEAR under the policy of the organisation that keeps it. The
    list names no recipients, so ``releasable_to`` stays empty, which is nobody; and no originator by our ids, so that
    is unknown. Its source is ``record``: the list as a whole says it, not the item.
    """

    def __init__(self, name: ListName, origin: str, handed_over_by: str) -> None:
        self._name, self._origin, self._handed_over_by = name, origin, handed_over_by
        self._label = SecurityLabel(nation_of(origin), "UNCLASSIFIED", tlp="CLEAR")
        schema = schemas.load_json(f"records/{KIND}.json")
        self._kind: RecordKind = load_kind(schema)
        self._order = tuple(schema["properties"])
        self._validator = jsonschema_rs.Draft202012Validator(
            schema, validate_formats=True, pattern_options=jsonschema_rs.RegexOptions()
        )

    def record(self, entry: Entry, at: datetime) -> CanonicalRecord:
        """The record of an entry of a list made ``at``; raises `RecordInvalid`."""
        if not _NUMBER.fullmatch(entry.number):
            raise bad("", "entry.number", "an entry has no number of its own")
        content = {member: entry.content[member] for member in self._order if entry.content.get(member)}
        self._conform(content)
        record = CanonicalRecord(
            kind=KIND,
            entity_id=f"{self._name.upper()}-{entry.number}",
            origin=self._origin,
            extracted_at=at,
            handed_over_by=self._handed_over_by,
            content=content,
            labels=(),
        )
        return msgspec.structs.replace(record, labels=tuple(self._labels(record)))

    def _labels(self, record: CanonicalRecord) -> Iterator[FieldLabel]:
        for field in fields_of(record, self._kind):
            yield FieldLabel(field.pointer, self._label, "record")

    def _conform(self, content: dict[str, Any]) -> None:
        """Raise the first violation as pointer and keyword; the validator's own text quotes the instance."""
        try:
            self._validator.validate(content)
        except jsonschema_rs.ValidationError as violation:
            path = [*violation.instance_path]
            if isinstance(violation.kind, jsonschema_rs.ValidationErrorKind.Required):
                path.append(violation.kind.property)  # the schema's name, so it may be said
            pointer = "".join("/*" if isinstance(step, int) else f"/{step}" for step in path)
            raise bad(pointer, violation.kind.name) from None

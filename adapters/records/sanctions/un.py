"""The consolidated list of the United Nations Security Council (XML, ``CONSOLIDATED_LIST``)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lxml.etree import _Element

from adapters.records.sanctions.entry import (
    Entry,
    bad,
    country,
    filled,
    inner,
    listed_day,
    partial,
    script_of,
    undated,
    unzoned,
)

ROOT = "CONSOLIDATED_LIST"
PERSON = (ROOT, "INDIVIDUALS", "INDIVIDUAL")
ENTITY = (ROOT, "ENTITIES", "ENTITY")
STAMP = "dateGenerated"

_QUALITY = {"good": "high", "low": "low"}
_SEX = {"male": "M", "female": "F"}


def entry(element: _Element) -> Entry:
    """What an ``INDIVIDUAL`` or ``ENTITY`` says; raises `RecordInvalid`."""
    person = element.tag == PERSON[-1]
    prefix = f"{element.tag}_"
    return Entry(
        _text(element, "DATAID"),
        {
            "listing": filled(list="un", state="listed", listed_on=listed_day(_text(element, "LISTED_ON")))
            | {"programmes": _values(element, "UN_LIST_TYPE")},
            "subject": "person" if person else "entity",
            "references": [{"of": "un", "number": number} for number in _values(element, "REFERENCE_NUMBER")],
            "names": [*_names(element, prefix)],
            "sex": _SEX.get(_text(element, "GENDER").casefold(), ""),
            "birth": [*_births(element)],
            "birth_places": [*_places(element, "INDIVIDUAL_PLACE_OF_BIRTH")],
            "nationalities": [country(text) for text in _values(element, "NATIONALITY/VALUE")],
            "documents": [*_documents(element)],
            "addresses": [*_places(element, f"{prefix}ADDRESS")],
            "remarks": [
                *({"of": "title", "text": text} for text in _values(element, "TITLE/VALUE")),
                *({"of": "function", "text": text} for text in _values(element, "DESIGNATION/VALUE")),
                *({"of": "entry", "text": text} for text in _values(element, "COMMENTS1")),
                *_remarks(element, "INDIVIDUAL_DATE_OF_BIRTH/NOTE", "birth"),
                *_remarks(element, "INDIVIDUAL_DOCUMENT/NOTE", "document"),
                *undated(_text(element, "LISTED_ON")),
            ],
        },
    )


def _names(element: _Element, prefix: str) -> Iterator[dict[str, Any]]:
    parts = (_text(element, f"{number}_NAME") for number in ("FIRST", "SECOND", "THIRD", "FOURTH"))
    yield from _name("primary", "high", " ".join(part for part in parts if part))
    yield from _name("primary", "high", _text(element, "NAME_ORIGINAL_SCRIPT"))
    for alias in element.iterfind(f"{prefix}ALIAS"):
        quality = _QUALITY.get(_text(alias, "QUALITY").casefold(), "medium")
        yield from _name("alias", quality, _text(alias, "ALIAS_NAME"))


def _name(kind: str, quality: str, text: str) -> Iterator[dict[str, Any]]:
    if text:
        yield {"type": kind, "text": text, "script": script_of(text), "quality": quality}


def _births(element: _Element) -> Iterator[dict[str, Any]]:
    """Exact, approximate or between two years: a range is its first year, "about", until its last."""
    for birth in element.iterfind("INDIVIDUAL_DATE_OF_BIRTH"):
        sort = _text(birth, "TYPE_OF_DATE").upper()
        first, last = _text(birth, "FROM_YEAR"), _text(birth, "TO_YEAR")
        date = unzoned(_text(birth, "DATE")).split("-")
        found = partial(*date[:3]) or partial(_text(birth, "YEAR"), _text(birth, "MONTH")) or partial(first)
        if found is None:
            continue
        if sort not in ("EXACT", ""):
            found["about"] = True
        if first and last and found["date"] == first:
            if last < first:
                raise bad("/birth/*/until", "date.order", "a period ends before it begins")
            found |= {"about": True, "until": last}
        yield found


def _documents(element: _Element) -> Iterator[dict[str, Any]]:
    for document in element.iterfind("INDIVIDUAL_DOCUMENT"):
        number = _text(document, "NUMBER")
        described = _text(document, "TYPE_OF_DOCUMENT")
        issuer = country(_text(document, "ISSUING_COUNTRY") or _text(document, "COUNTRY_OF_ISSUE"))
        if number:
            yield {"type": document_type(described), "number": number} | filled(
                described=described,
                issuer=issuer.get("country"),
                issuer_text=issuer.get("country_text"),
            )


def document_type(described: str) -> str:
    """The few types that matching tells apart; what the list calls it stays beside."""
    folded = described.casefold()
    if "passport" in folded:
        return "passport"
    return "identity-card" if "identi" in folded else "other"


def _places(element: _Element, tag: str) -> Iterator[dict[str, Any]]:
    for place in element.iterfind(tag):
        found = filled(
            street=_text(place, "STREET"),
            city=_text(place, "CITY"),
            region=_text(place, "STATE_PROVINCE"),
            note=_text(place, "NOTE"),
        ) | country(_text(place, "COUNTRY"))
        if found:
            yield found


def _remarks(element: _Element, path: str, of: str) -> Iterator[dict[str, Any]]:
    for text in _values(element, path):
        yield {"of": of, "text": text}


def _text(element: _Element, path: str) -> str:
    return next(iter(_values(element, path)), "")


def _values(element: _Element, path: str) -> list[str]:
    texts = (inner(found) for found in element.iterfind(path))
    return [text for text in texts if text]

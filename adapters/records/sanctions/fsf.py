"""The Financial Sanctions Files of the European Union (XML, ``xmlFullSanctionsList`` 1.1), which Belgium publishes its
consolidated list in, too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lxml.etree import _Element

from adapters.records.sanctions.entry import (
    Entry,
    ListName,
    bad,
    country,
    filled,
    inner,
    listed_day,
    partial,
    plain,
    script_of,
    undated,
    unzoned,
)

ROOT = "export"
ENTRY = (ROOT, "sanctionEntity")
STAMP = "generationDate"
NAMESPACE = "http://eu.europa.ec/fpi/fsd/export"

_IN = f"{{{NAMESPACE}}}"
_SUBJECTS = {"P": "person", "E": "entity"}
_DOCUMENTS = {"passport": "passport", "id": "identity-card"}


def entry(element: _Element, name: ListName) -> Entry:
    """What a ``sanctionEntity`` says; raises `RecordInvalid`."""
    regulations = [*element.iterfind(f"{_IN}regulation")]
    aliases = [*element.iterfind(f"{_IN}nameAlias")]
    subject = next((_at(found, "classificationCode") for found in element.iterfind(f"{_IN}subjectType")), "")
    if subject.upper() not in _SUBJECTS:
        raise bad("/subject", "enum")
    reference, united = _at(element, "euReferenceNumber"), _at(element, "unitedNationId")
    programmes = [_at(found, "programme") for found in regulations]
    published = sorted(_at(found, "publicationDate") for found in regulations)
    designated = _at(element, "designationDate")
    return Entry(
        _at(element, "logicalId"),
        {
            "listing": filled(
                list=name,
                state="listed",
                listed_on=listed_day(designated)
                or next((day for day in map(listed_day, published) if day), ""),
            )
            | {"programmes": [*dict.fromkeys(programme for programme in programmes if programme)]},
            "subject": _SUBJECTS[subject.upper()],
            "references": [
                *([{"of": "eu" if name == "eu" else "be", "number": reference}] if reference else []),
                *([{"of": "un", "number": united}] if united else []),
            ],
            "names": [*_names(aliases)],
            "sex": next(
                (sex for alias in aliases if (sex := _at(alias, "gender").upper()) in ("M", "F")), ""
            ),
            "birth": [*_births(element)],
            "birth_places": [*_places(element, "birthdate")],
            "nationalities": [
                found for place in element.iterfind(f"{_IN}citizenship") if (found := _country(place))
            ],
            "documents": [*_documents(element)],
            "addresses": [*_places(element, "address")],
            "regulations": [*_regulations(regulations)],
            "remarks": [*_remarks(element, aliases), *undated(designated, *published)],
        },
    )


def _names(aliases: list[_Element]) -> Iterator[dict[str, Any]]:
    """The first strong name is the primary one; the files mark none."""
    primary = True
    for alias in aliases:
        family, whole = _at(alias, "lastName"), _at(alias, "wholeName")
        given = plain(f"{_at(alias, 'firstName')} {_at(alias, 'middleName')}")
        strong = _at(alias, "strong").casefold() == "true"
        if family or given or whole:
            yield {"type": "primary" if primary and strong else "alias"} | filled(
                family=family,
                given=given,
                text=whole,
                script=script_of(whole or family + given),
                quality="high" if strong else "low",
            )
            primary = primary and not strong


def _births(element: _Element) -> Iterator[dict[str, Any]]:
    """Gregorian dates; one of another calendar is a remark, since nobody here converts it."""
    for birth in element.iterfind(f"{_IN}birthdate"):
        if _calendar(birth) != "GREGORIAN":
            continue
        first, last = _at(birth, "yearRangeFrom"), _at(birth, "yearRangeTo")
        date = unzoned(_at(birth, "birthdate")).split("-")
        whole = partial(*date[:3]) if len(date) == 3 else None
        found = whole or partial(
            _at(birth, "year"), _at(birth, "monthOfYear") or _at(birth, "month"), _at(birth, "dayOfMonth")
        )
        found = found or partial(first)
        if found is None:
            continue
        if _at(birth, "circa").casefold() == "true":
            found["about"] = True
        if first and last and found["date"] == first:
            if last < first:
                raise bad("/birth/*/until", "date.order", "a period ends before it begins")
            found |= {"about": True, "until": last}
        yield found


def _documents(element: _Element) -> Iterator[dict[str, Any]]:
    for document in element.iterfind(f"{_IN}identification"):
        number = _at(document, "number") or _at(document, "latinNumber")
        issuer = _country(document)
        if number:
            yield {
                "type": _DOCUMENTS.get(_at(document, "identificationTypeCode").casefold(), "other"),
                "number": number,
            } | filled(
                described=_at(document, "identificationTypeDescription"),
                issuer=issuer.get("country"),
                issuer_text=issuer.get("country_text"),
            )


def _places(element: _Element, tag: str) -> Iterator[dict[str, Any]]:
    for place in element.iterfind(f"{_IN}{tag}"):
        found = filled(
            street=_at(place, "street"),
            city=_at(place, "city"),
            region=_at(place, "region"),
            note=_at(place, "place"),
        ) | _country(place)
        if found:
            yield found


def _regulations(regulations: list[_Element]) -> Iterator[dict[str, Any]]:
    for regulation in regulations:
        if title := _at(regulation, "numberTitle"):
            yield {"title": title} | filled(
                programme=_at(regulation, "programme"),
                published=listed_day(_at(regulation, "publicationDate")),
            )


def _remarks(element: _Element, aliases: list[_Element]) -> Iterator[dict[str, Any]]:
    found: list[tuple[str, str]] = []
    for alias in aliases:
        found += [("title", _at(alias, "title")), ("function", _at(alias, "function"))]
    found.append(("entry", _at(element, "designationDetails")))
    found += [("entry", inner(remark)) for remark in element.iterfind(f"{_IN}remark")]
    for birth in element.iterfind(f"{_IN}birthdate"):
        if (calendar := _calendar(birth)) != "GREGORIAN":
            date = _at(birth, "birthdate") or _at(birth, "year")
            found.append(("birth", plain(f"{calendar} {date}")))
    for of, text in dict.fromkeys(found):
        if text:
            yield {"of": of, "text": text}


def _calendar(birth: _Element) -> str:
    return _at(birth, "calendarType").upper() or "GREGORIAN"


def _country(element: _Element) -> dict[str, Any]:
    """``UNKNOWN``, code ``00``, is the files' way to say nothing."""
    text, code = _at(element, "countryDescription"), _at(element, "countryIso2Code")
    return country("" if text.upper() == "UNKNOWN" else text, code)


def _at(element: _Element, attribute: str) -> str:
    return plain(element.get(attribute))

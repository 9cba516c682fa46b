"""The Belgian list as a table (CSV): the columns of the European files, one row a name, address, birth or document.

The Treasury publishes its consolidated list as a workbook and in the European XML. Saved from the workbook as CSV, with
the column names of the European files, it is read here; any other header row is refused, naming the first column that
is not where it should be.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from adapters.records.sanctions.entry import (
    Entry,
    bad,
    country,
    filled,
    generated,
    listed_day,
    partial,
    plain,
    script_of,
    undated,
    unzoned,
)
from gateway.errors import RecordInvalid

#: The one header row, in this order; separator ``;``.
COLUMNS = (
    "fileGenerationDate", "Entity_LogicalId", "Entity_EU_ReferenceNumber", "Entity_UnitedNationId",
    "Entity_DesignationDate", "Entity_DesignationDetails", "Entity_Remark", "Entity_SubjectType",
    "Entity_Regulation_PublicationDate", "Entity_Regulation_NumberTitle", "Entity_Regulation_Programme",
    "NameAlias_LastName", "NameAlias_FirstName", "NameAlias_MiddleName", "NameAlias_WholeName",
    "NameAlias_Gender", "NameAlias_Title", "NameAlias_Function",
    "Address_City", "Address_Street", "Address_CountryIso2Code", "Address_CountryDescription",
    "BirthDate_BirthDate", "BirthDate_Day", "BirthDate_Month", "BirthDate_Year", "BirthDate_Place",
    "BirthDate_CountryIso2Code", "BirthDate_CountryDescription",
    "Identification_Number", "Identification_TypeCode", "Identification_TypeDescription",
    "Identification_CountryIso2Code", "Identification_CountryDescription",
    "Citizenship_CountryIso2Code", "Citizenship_CountryDescription",
)  # fmt: skip

MAX_LINE_BYTES = 128 * 1024  # bytes of one row; the longest remark published has some 4 KiB
MAX_ROWS = 2_000  # rows of one entry

_BOM = b"\xef\xbb\xbf"
_SUBJECTS = {"P": "person", "PERSON": "person", "E": "entity", "ENTERPRISE": "entity"}
_DOCUMENTS = {"passport": "passport", "id": "identity-card"}
_DAY_FIRST = re.compile(r"(\d{2})/(\d{2})/(\d{4})", re.ASCII)

#: What a spreadsheet would run: nothing here does, but what we keep may be shown there one day. A table has no need of
#: it. The XML lists are not asked: a remark may begin so, and an entry that is refused is a listed person who is not
#: found. Nothing here writes tables; what does must quote such texts, whichever list they came from.
_FORMULA = re.compile(r"[=@+\t]|-\S")


class Row(NamedTuple):
    """A row by column name; ``fault`` when it is none."""

    cells: dict[str, str]
    fault: RecordInvalid | None = None

    @property
    def number(self) -> str:
        return self.cells.get("Entity_LogicalId", "")


class Lines:
    """Line ends of one file: all LF or all CRLF. A mixture is what two readers cut differently."""

    def __init__(self) -> None:
        self._end = b""

    def content(self, line: bytes) -> bytes:
        """A line without its end; raises `RecordInvalid`. The last one needs none."""
        if not line.endswith(b"\n"):
            body = line
        else:
            end = b"\r\n" if line.endswith(b"\r\n") else b"\n"
            if self._end not in (b"", end):
                raise bad("", "csv.newline", "the list mixes line ends")
            self._end, body = end, line[: -len(end)]
        if b"\r" in body:
            raise bad("", "csv.newline", "the list mixes line ends")
        if len(body) > MAX_LINE_BYTES:
            raise bad("", "line.size", "a row is larger than the limit")
        return body


def check_header(line: bytes) -> None:
    """Raises `RecordInvalid` that names the first column that is not as it should be."""
    found = _split(line.removeprefix(_BOM)) or []
    for position, expected in enumerate(COLUMNS):
        if position >= len(found) or found[position] != expected:
            raise bad("", "csv.header", f"column {position + 1} of the header row is not {expected}")
    if len(found) > len(COLUMNS):
        raise bad("", "csv.header", f"the header row has a column after {COLUMNS[-1]}")


def row(line: bytes) -> Row:
    """One row, or why it is none; raises nothing. What a reader would take for a formula is refused."""
    cells = _split(line)
    if cells is None:
        return Row({}, bad("", "csv.cells", "a row is not separated values in UTF-8"))
    named = dict(zip(COLUMNS, cells, strict=False))
    if len(cells) != len(COLUMNS):
        return Row(named, bad("", "csv.cells", "a row has more or fewer cells than the header row"))
    if any(_FORMULA.match(form) for cell in cells for form in _forms(cell)):
        return Row(named, bad("", "csv.formula", "a cell starts as a formula does"))
    return Row(named)


def _forms(cell: str) -> tuple[str, str, str]:
    """A cell as it came, as it is kept, and as a program may take it: a full-width sign for the plain one."""
    return cell, plain(cell), plain(unicodedata.normalize("NFKC", cell))


def _split(line: bytes) -> list[str] | None:
    try:
        text = line.decode()
        if "\0" in text:
            return None
        return next(csv.reader([text], delimiter=";", strict=True), [])
    except (UnicodeDecodeError, csv.Error, StopIteration):
        return None


def made(text: str) -> datetime:
    """When the list was made: ``21/11/2026``, or as ISO 8601 writes it; midnight in UTC."""
    if found := _DAY_FIRST.fullmatch(text):
        text = "-".join(reversed(found.groups()))
    return generated(f"{text}T00:00:00Z")


def groups(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """The rows of each entry. A row nobody can read spoils the entries on both sides: it may belong to either."""
    held: list[Row] = []
    for one in rows:
        unreadable = not one.number or not held or not held[-1].number
        if held and not unreadable and one.number != held[-1].number:
            yield held
            held = []
        held.append(one)
        if len(held) > MAX_ROWS:
            held[0] = Row({}, bad("", "csv.rows", "an entry has more rows than the limit"))
            del held[1:-1]
    if held:
        yield held


def entry(rows: list[Row]) -> Entry:
    """What the rows of one entry say; raises `RecordInvalid`."""
    for one in rows:
        if one.fault is not None:
            raise bad(one.fault.pointer, one.fault.rule, one.fault.detail)
    first = rows[0].cells
    subject = _SUBJECTS.get(first["Entity_SubjectType"].upper())
    if subject is None:
        raise bad("/subject", "enum")
    dates = [plain(first[f"Entity_{of}"]) for of in ("DesignationDate", "Regulation_PublicationDate")]
    references = (("be", "Entity_EU_ReferenceNumber"), ("un", "Entity_UnitedNationId"))
    return Entry(
        first["Entity_LogicalId"],
        {
            "listing": filled(
                list="be",
                state="listed",
                listed_on=next((day for day in map(listed_day, dates) if day), ""),
            )
            | {"programmes": _distinct(_cell(one, "Entity_Regulation_Programme") for one in rows)},
            "subject": subject,
            "references": [
                {"of": of, "number": plain(first[column])} for of, column in references if first[column]
            ],
            "names": _distinct(found for one in rows if (found := _name(one))),
            "sex": next((sex for one in rows if (sex := _cell(one, "NameAlias_Gender")) in ("M", "F")), ""),
            "birth": _distinct(found for one in rows if (found := _birth(one))),
            "birth_places": _distinct(
                found
                for one in rows
                if (found := filled(city=_cell(one, "BirthDate_Place")) | _country(one, "BirthDate"))
            ),
            "nationalities": _distinct(found for one in rows if (found := _country(one, "Citizenship"))),
            "documents": _distinct(found for one in rows if (found := _document(one))),
            "addresses": _distinct(found for one in rows if (found := _address(one))),
            "regulations": _distinct(found for one in rows if (found := _regulation(one))),
            "remarks": [*_distinct(found for one in rows for found in _remarks(one)), *undated(*dates)],
        },
    )


def _name(one: Row) -> dict[str, Any]:
    family, whole = _cell(one, "NameAlias_LastName"), _cell(one, "NameAlias_WholeName")
    given = plain(f"{one.cells['NameAlias_FirstName']} {one.cells['NameAlias_MiddleName']}")
    if not (family or given or whole):
        return {}
    named = filled(family=family, given=given, text=whole)
    return {"type": "alias", "script": script_of(whole or family + given), "quality": "medium"} | named


def _birth(one: Row) -> dict[str, Any]:
    date = unzoned(_cell(one, "BirthDate_BirthDate")).split("-")
    parts = date if len(date) == 3 else [_cell(one, f"BirthDate_{part}") for part in ("Year", "Month", "Day")]
    return partial(*parts) or {}


def _document(one: Row) -> dict[str, Any]:
    number, issuer = _cell(one, "Identification_Number"), _country(one, "Identification")
    if not number:
        return {}
    return {
        "type": _DOCUMENTS.get(_cell(one, "Identification_TypeCode").casefold(), "other"),
        "number": number,
    } | filled(
        described=_cell(one, "Identification_TypeDescription"),
        issuer=issuer.get("country"),
        issuer_text=issuer.get("country_text"),
    )


def _address(one: Row) -> dict[str, Any]:
    street, city = _cell(one, "Address_Street"), _cell(one, "Address_City")
    return filled(street=street, city=city) | _country(one, "Address")


def _regulation(one: Row) -> dict[str, Any]:
    title = _cell(one, "Entity_Regulation_NumberTitle")
    programme = _cell(one, "Entity_Regulation_Programme")
    published = listed_day(_cell(one, "Entity_Regulation_PublicationDate"))
    return {"title": title} | filled(programme=programme, published=published) if title else {}


def _remarks(one: Row) -> Iterator[dict[str, Any]]:
    for of, column in (
        ("title", "NameAlias_Title"),
        ("function", "NameAlias_Function"),
        ("entry", "Entity_DesignationDetails"),
        ("entry", "Entity_Remark"),
    ):
        if text := _cell(one, column):
            yield {"of": of, "text": text}


def _country(one: Row, of: str) -> dict[str, Any]:
    return country(_cell(one, f"{of}_CountryDescription"), _cell(one, f"{of}_CountryIso2Code"))


def _cell(one: Row, column: str) -> str:
    return plain(one.cells[column])


def _distinct(values: Iterator[Any]) -> list[Any]:
    """In order, each once: the table repeats what an entry has on every row of it."""
    found: list[Any] = []
    for value in values:
        if value and value not in found:
            found.append(value)
    return found

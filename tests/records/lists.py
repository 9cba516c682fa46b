"""Lists of sanctions as the tests write them: the shipped samples, and lists of any length. All synthetic."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from adapters.records.sanctions.table import COLUMNS

SAMPLES = Path(__file__).resolve().parents[2] / "adapters" / "records" / "samples"
UN = (SAMPLES / "sanctions-un.xml").read_bytes()
EU = (SAMPLES / "sanctions-eu.xml").read_bytes()
BE = (SAMPLES / "sanctions-be.csv").read_bytes()

MADE = "2026-11-21T00:00:00Z"


def un_entry(number: int, name: str = "", extra: str = "") -> str:
    """One person of the list of the United Nations."""
    return (
        f"<INDIVIDUAL><DATAID>{number}</DATAID><FIRST_NAME>{name or f'ZZEMO FICTIF{number}'}</FIRST_NAME>"
        f"<UN_LIST_TYPE>Al-Qaida</UN_LIST_TYPE><REFERENCE_NUMBER>QDi.{number}</REFERENCE_NUMBER>{extra}</INDIVIDUAL>"
    )


def un_list(entries: Iterable[str], made: str = MADE) -> bytes:
    """A list of these persons."""
    inside = "".join(entries)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><CONSOLIDATED_LIST dateGenerated="{made}"><INDIVIDUALS>{inside}'
        "</INDIVIDUALS><ENTITIES/></CONSOLIDATED_LIST>"
    ).encode()


def be_row(**cells: Any) -> str:
    """One row of the Belgian table; columns that are not named are empty."""
    given = {"fileGenerationDate": "21/11/2026", "Entity_SubjectType": "P"} | cells
    assert given.keys() <= set(COLUMNS)
    return ";".join(str(given.get(column, "")) for column in COLUMNS)


def be_list(*rows: str, end: str = "\n") -> bytes:
    """The Belgian table of these rows."""
    return end.join([";".join(COLUMNS), *rows, ""]).encode()

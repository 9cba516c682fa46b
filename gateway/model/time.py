"""Instants and imprecise dates.

On the wire and in everything hashed, an instant is RFC 3339 in UTC with ``Z`` and whole seconds; there is one
spelling, so text order is time order. An imprecise date is a type of its own and is never completed.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, date, datetime
from typing import Annotated, Literal

import msgspec

from gateway.errors import MalformedMessage

#: An aware UTC datetime of whole seconds; msgspec writes it as ``2026-11-21T21:00:00Z``.
Instant = Annotated[datetime, msgspec.Meta(tz=True)]

_RFC3339 = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z", re.ASCII)
_PARTIAL = {
    "year": re.compile(r"\d{4}", re.ASCII),
    "month": re.compile(r"\d{4}-\d{2}", re.ASCII),
    "day": re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII),
}


def rfc3339(at: datetime) -> str:
    """The one spelling of an instant. Sub-second parts are cut, never rounded up into the future."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_rfc3339(text: str) -> datetime:
    """Read the one spelling; raises `MalformedMessage` for any other, without quoting it."""
    if not _RFC3339.fullmatch(text):
        raise MalformedMessage("an instant must be RFC 3339 in UTC with Z and whole seconds")
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise MalformedMessage("an instant names a day or time that does not exist") from None


Day = date  # inside `PartialDate`, `date` is a member


class PartialDate(msgspec.Struct, frozen=True, omit_defaults=True):
    """A date as precise as its source: ``1990``, ``1990-03`` or ``1990-03-05``, perhaps "about". Never completed."""

    date: str
    precision: Literal["year", "month", "day"]
    about: bool = False

    def bounds(self) -> tuple[Day, Day] | None:
        """Earliest and latest day it can mean, or None when it cannot be told ("about", or not a date).

        "About" has no stated width, so nothing that needs a bound (an age) may rest on it.
        """
        if self.about or not _PARTIAL[self.precision].fullmatch(self.date):
            return None
        try:
            first = date.fromisoformat(f"{self.date}-01-01"[:10])
        except ValueError:
            return None
        if self.precision == "day":
            return first, first
        month = 12 if self.precision == "year" else first.month
        return first, date(first.year, month, monthrange(first.year, month)[1])


def full_years(born: date, today: date) -> int:
    """Completed years of age; a birthday on 29 February counts from 1 March in other years."""
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))

"""The BDC person extract: JSON Lines, one person a line, handed over by a named officer.

An OCAM database is never connected to another system (law 10.7.2006 art. 9 §3): what enters is a file that somebody
took out and answers for. The line is described by ``schemas/extracts/bdc/1.0.json``, its ``content`` by
``schemas/records/bdc-person/1.0.json``.
"""

from __future__ import annotations

from typing import Any

from adapters.lines import LabelledLines
from gateway.errors import RecordInvalid
from gateway.model.time import PartialDate

#: Members whose second date may not lie before the first. Text order is date order: the schema fixes the spelling.
_PERIODS = (("threat", "date", "valid_until"), ("measures", "from", "to"), ("addresses", "from", "to"))


class BdcExtract(LabelledLines):
    """Reads one extract."""

    kind = "bdc-person/1.0"

    def check(self, content: dict[str, Any]) -> None:
        """A date has the precision it claims (``date.precision``), and no period ends before it begins
        (``date.order``)."""
        for birth in content.get("birth", ()):
            if PartialDate(birth["date"], birth["precision"]).bounds() is None:
                raise RecordInvalid(
                    "a date is not what its precision says", pointer="/birth/*/date", rule="date.precision"
                )
        for member, first, last in _PERIODS:
            value = content.get(member, [])
            several = isinstance(value, list)
            for item in value if several else [value]:
                if first in item and last in item and item[last] < item[first]:
                    pointer = f"/{member}/*/{last}" if several else f"/{member}/{last}"
                    raise RecordInvalid("a period ends before it begins", pointer=pointer, rule="date.order")

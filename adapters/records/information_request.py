"""What we ask of a partner, as an officer's document: JSON Lines, a request a line, with the labels the officer gives.

``content`` is described by ``schemas/records/information-request/1.0.json``. Only a person is asked about here whose
age can be told, or whom the officer calls an adult: whoever that is not said of keeps the request at home.
"""

from __future__ import annotations

from typing import Any

from adapters.lines import LabelledLines
from gateway.errors import RecordInvalid
from gateway.model.time import PartialDate


class InformationRequest(LabelledLines):
    """Reads requests of ours."""

    kind = "information-request/1.0"

    def check(self, content: dict[str, Any]) -> None:
        """A birth date has the precision it claims (``date.precision``); each kind is asked about once
        (``asks.duplicate``), so that what is asked of it stands in one place; what links persons to the purpose is
        said where there are any (``link.required``)."""
        for person in content.get("persons", ()):
            birth = person.get("birth")
            if birth and PartialDate(birth["date"], birth["precision"]).bounds() is None:
                raise RecordInvalid(
                    "a date is not what its precision says",
                    pointer="/persons/*/birth/date",
                    rule="date.precision",
                )
        if "persons" in content and "link" not in content:
            raise RecordInvalid(
                "what links the persons to the purpose is missing", pointer="/link", rule="link.required"
            )
        kinds = [ask["kind"] for ask in content["asks"]]
        if len({*kinds}) != len(kinds):
            raise RecordInvalid(
                "one kind is asked about twice", pointer="/asks/*/kind", rule="asks.duplicate"
            )

"""The record kind `information-request/1.0` of section 10: its members, their order and their forms."""

from __future__ import annotations

from typing import Any

from tests.peer.bdc import _birth_date, _country, _free, _line, _object, _reference
from tests.peer.shape import Shape, boolean, closed, listed, one_of, set_of, text
from tests.peer.spelling import Misspelt


def _urgency(tree: Any) -> Any:
    """Whatever is urgent says why."""
    found = _object({"class": one_of("urgent-direct", "urgent-indirect", "normal")}, {"reasons": _free})(tree)
    if found["class"] != "normal" and "reasons" not in found:
        raise Misspelt
    return found


def _patterns(tree: Any) -> Any:
    """Field patterns, none twice, in the order of whoever asks."""
    found = listed(text(r"(?=.{1,64}\Z)/[a-z]+(_[a-z]+)*(/\*)?"), 1, 64)(tree)
    set_of(text(r"(?s).*"))(tree)
    return found


_person = _object(
    {"role": one_of("suspect", "convicted", "contact", "victim", "witness", "minor")},
    {
        "names": listed(_line, 1, 16),
        "birth": _object(
            {"date": _birth_date, "precision": one_of("year", "month", "day")}, {"about": boolean}
        ),
        "adult": one_of(True),
        "nationality": _country,
        "documents": listed(
            _object(
                {
                    "type": one_of("passport", "identity-card", "residence-permit", "other"),
                    "number": _reference,
                },
                {"issuer": _country},
            ),
            1,
            16,
        ),
    },
)

_REQUIRED: dict[str, Shape] = {
    "urgency": _urgency,
    "asks": listed(
        _object(
            {
                "kind": text(r"(?=.{1,64}\Z)[a-z]+(-[a-z]+)*/[0-9]{1,3}\.[0-9]{1,3}"),
                "fields": _patterns,
            }
        ),
        1,
        16,
    ),
    "detail": _free,
    "purpose": _object({"facts": _free, "offence": _line}),
    "grounds": _free,
    "language": text("[a-z]{2}"),
}

_OPTIONAL: dict[str, Shape] = {"link": _free, "restrictions": _free, "persons": listed(_person, 1, 64)}

#: A record as it stands in a request.
record = closed(
    {"ref": text("p-[0-9a-f]{32}"), **_REQUIRED},
    _OPTIONAL,
    order=(
        *("ref", "urgency", "asks", "detail", "purpose", "grounds", "link", "restrictions", "language"),
        "persons",
    ),
)

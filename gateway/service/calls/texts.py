"""Somebody's own words, as the desk shows them to officers before and after they leave."""

from __future__ import annotations

import msgspec

from gateway.model.label import SecurityLabel


class FreeText(msgspec.Struct, frozen=True):
    """One text in full, with the label of the item it stands in.

    ``hits`` are rules that found in it what must not leave, or, of a reason that stays inside, what it need not say.
    """

    pointer: str  # into the record; of a reason that stays inside, into the decision document
    text: str
    label: SecurityLabel | None = None
    hits: tuple[str, ...] = ()
    leaves: bool = True

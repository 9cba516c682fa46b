"""Whether a partner lets us pass on what it supplied, as an officer's document: JSON Lines, a request a line.

``content`` is described by ``schemas/records/consent-request/1.0.json``; labels are those that the officer gives.
"""

from __future__ import annotations

from typing import Any

from adapters.lines import LabelledLines
from gateway.errors import RecordInvalid


class ConsentRequest(LabelledLines):
    """Reads consent requests of ours."""

    kind = "consent-request/1.0"

    def check(self, content: dict[str, Any]) -> None:
        """What stays here unless it is lifted is there all the same (``required``): who would receive the items, and
        which record of ours it is about. Each item is named once (``items.duplicate``)."""
        for member in ("recipient", "record"):
            if member not in content:
                raise RecordInvalid("a member is missing", pointer=f"/{member}", rule="required")
        if len({*content["items"]}) != len(content["items"]):
            raise RecordInvalid("one item is named twice", pointer="/items/*", rule="items.duplicate")

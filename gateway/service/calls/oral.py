"""Calls about what was said aloud."""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.model.oral import Said
from gateway.model.time import Instant
from gateway.service.calls import Params

#: What became of the word that an oral record was made by mistake; empty: nobody said so.
Strike = Literal["", "proposed", "struck"]


class RecordOral(Params, frozen=True):
    """What was said of one record, by handle or entity id. An empty speaker is the caller."""

    record: str
    said: Said


class ConfirmOral(Params, frozen=True):
    """The second person's word: for exactly the document of this digest."""

    id: str
    sha256: str


class ProposeStrike(Params, frozen=True):
    """This oral record was made by mistake. The reason stays inside."""

    id: str
    reason: str


class ConfirmStrike(Params, frozen=True):
    """The second person's word: for exactly the reason of this digest, UTF-8."""

    id: str
    sha256: str


class OralPage(Params, frozen=True):
    """Oral records after this id; those that wait for a second person, or that were outside the policy."""

    after: str = ""
    limit: int = 100
    unconfirmed: bool = False
    breach: bool = False


class OralItem(msgspec.Struct, frozen=True):
    """An oral record as lists show it: no pointer, nobody's words."""

    id: str
    record: str  # handle
    partner: str
    at: Instant
    recorded_at: Instant
    recorded_by: str
    speaker: str
    breach: bool
    late: bool
    confirmed_by: str = ""
    strike: Strike = ""  # a struck one counts no longer


class StrikeView(msgspec.Struct, frozen=True):
    """Why an oral record should not stand, who says so, and who confirmed it."""

    reason: str
    proposed_by: str
    proposed_at: Instant
    confirmed_by: str
    confirmed_at: Instant | None


class OralView(msgspec.Struct, frozen=True):
    """An oral record in full."""

    item: OralItem
    document: bytes
    strike: StrikeView | None = None

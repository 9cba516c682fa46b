"""Calls about what was said aloud."""

from __future__ import annotations

import msgspec

from gateway.model.oral import Said
from gateway.model.time import Instant
from gateway.service.calls import Params


class RecordOral(Params, frozen=True):
    """What was said of one record, by handle or entity id. An empty speaker is the caller."""

    record: str
    said: Said


class ConfirmOral(Params, frozen=True):
    """The second person's word: for exactly the document of this digest."""

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


class OralView(msgspec.Struct, frozen=True):
    """An oral record in full."""

    item: OralItem
    document: bytes

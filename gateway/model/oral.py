"""What was said to a partner by telephone or in a meeting."""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.model.decision import Effect, Reason
from gateway.model.time import Instant


class Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """As the officer tells it."""

    partner: str  # organisation id
    fields: tuple[str, ...]  # pointers into the record
    at: Instant
    speaker: str  # officer id
    told: str  # to whom: a role or an office, no name needed
    purpose: str
    legal_basis: str
    justification: str


class OralDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An oral record: its RFC 8785 bytes are what the second officer confirms."""

    v: Literal[1]
    id: str
    record: str  # handle
    record_kind: str
    said: Said
    effect: Effect  # what a release of it would have been, when it was recorded
    outside: tuple[str, ...]  # pointers that policy would have kept back
    reasons: tuple[Reason, ...]
    late: bool
    recorded_by: str  # officer id
    recorded_at: str
    nonce: str  # 32 random bytes, base64url

"""What a sender said of its message afterwards, as lists show it."""

from __future__ import annotations

import msgspec

from gateway.model.time import Instant


class RecallView(msgspec.Struct, frozen=True):
    """What its sender said of a message afterwards, and what we answered."""

    action: str
    replaced_by: str  # message id, or empty
    at: Instant
    answer: str = ""
    answered_at: Instant | None = None


class CorrectionView(msgspec.Struct, frozen=True):
    """What its sender corrected about a message afterwards, and whether we did what that asks for."""

    action: str
    reason: str
    replaced_by: str  # message id, or empty
    at: Instant
    answer: str = ""
    answered_at: Instant | None = None

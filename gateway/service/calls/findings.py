"""Calls about findings."""

from __future__ import annotations

import msgspec

from gateway.model.finding import Severity, Step
from gateway.model.time import Instant
from gateway.service.calls import Params


class SignedStep(Params, frozen=True):
    """A step's exact bytes, and the caller's endorsement of them."""

    document: bytes
    endorsement: str


class FindingItem(msgspec.Struct, frozen=True):
    """A finding, for a list: no text. ``state`` is open, answered or closed."""

    id: str
    about: str
    severity: Severity
    state: str
    opened_by: str
    opened_at: Instant
    last_at: Instant
    last_sha256: str  # of the newest step, which the next one names


class ShownStep(msgspec.Struct, frozen=True):
    """A step as signed."""

    step: Step
    by: str
    at: Instant
    document: bytes
    endorsement: str


class FindingView(msgspec.Struct, frozen=True):
    """A finding in full."""

    item: FindingItem
    steps: tuple[ShownStep, ...]

"""Calls about grounds: consents, judicial authorisations, derogations."""

from __future__ import annotations

import msgspec

from gateway.model.ground import Ground
from gateway.model.time import Instant
from gateway.service.calls import Params


class RecordGround(Params, frozen=True):
    """What was said about one record's subject, by handle or entity id."""

    record: str
    ground: Ground


class ConfirmGround(Params, frozen=True):
    """The second person's word: for exactly the document of this digest."""

    id: str
    sha256: str


class WithdrawGround(Params, frozen=True):
    """A ground holds no more; the reason stays inside."""

    id: str
    reason: str


class GroundsPage(Params, frozen=True):
    """Grounds after this id; ``state`` and ``kind`` empty: all."""

    after: str = ""
    limit: int = 100
    state: str = ""
    kind: str = ""


class GroundItem(msgspec.Struct, frozen=True):
    """A ground as lists show it: organisations and days, nobody's words."""

    id: str
    kind: str
    state: str
    record: str  # handle
    originator: str
    recipients: tuple[str, ...]
    purposes: tuple[str, ...]
    until: str
    recorded_by: str
    recorded_at: Instant
    confirmed_by: str = ""
    withdrawn_by: str = ""


class GroundView(msgspec.Struct, frozen=True):
    """A ground in full: the exact bytes that are confirmed, and that decisions name by their digest."""

    item: GroundItem
    document: bytes


class GroundState(msgspec.Struct, frozen=True):
    """What became of a ground, and of the releases that name it: by state, how many."""

    id: str
    state: str
    releases: dict[str, int]

"""Calls about what must go, and what must stay for now."""

from __future__ import annotations

from typing import Annotated

import msgspec

from gateway.model.time import Instant
from gateway.service.calls import Params

#: A file number as authorities write them: with a digit, short, and no room for a sentence. It is shown and logged.
Reference = Annotated[str, msgspec.Meta(pattern=r"^(?=.*[0-9])[A-Za-z0-9][A-Za-z0-9./:_-]{0,63}\Z")]


class ProposeErasure(Params, frozen=True):
    """Everything about the subjects of these records (handle or entity id), and these messages of partners
    (``ID`` or ``ORG/ID``) and items of quarantine besides."""

    records: tuple[str, ...]
    messages: tuple[str, ...]
    reference: Reference
    authority: bytes  # the order itself; its digest is kept


class DecideErasure(Params, frozen=True):
    """The second person's word about one order, as it was shown."""

    id: str
    authority_sha256: str


class ErasureView(msgspec.Struct, frozen=True):
    """An order to erase: what it would destroy while it is proposed, what it destroyed once it is done."""

    id: str
    state: str
    records: tuple[str, ...]  # handles
    messages: tuple[str, ...]
    reference: str
    authority_sha256: str
    proposed_by: str
    proposed_at: Instant
    bodies: int = 0
    others: int = 0  # further subjects whom some of these bodies are about too
    kept: int = 0  # receipts that answer other messages too, and so stay
    decided_by: str = ""
    decided_at: Instant | None = None
    entry: int = -1  # position in the master log


class PlaceHold(Params, frozen=True):
    """Keep everything about one subject (record handle or entity id), or of one conversation."""

    authority: bytes
    record: str = ""
    conversation: str = ""


class LiftHold(Params, frozen=True):
    """One of two persons' word that a hold is to end, on this authority's word; both show the same."""

    id: str
    authority: bytes


class HoldView(msgspec.Struct, frozen=True):
    """A hold; whom it is about is not shown but by the handle."""

    id: str
    record: str  # handle
    conversation: str
    authority_sha256: str
    placed_by: str
    placed_at: Instant
    lift_proposed_by: str = ""
    lifted_by: str = ""
    lifted_at: Instant | None = None

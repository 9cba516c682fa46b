"""Calls about subjects that are one person, or are not after all."""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.model.time import Instant
from gateway.service.calls import Params

Act = Literal["link", "split"]


class ProposeAct(Params, frozen=True):
    """Two records, by handle or entity id: their subjects are one person, or are not. The reason stays inside."""

    record: str
    other: str
    reason: str


class DecideAct(Params, frozen=True):
    """The second person's word about one proposal, as it was shown."""

    id: str
    act: Act


class ActView(msgspec.Struct, frozen=True):
    """A proposal and what became of it."""

    id: str
    act: Act
    state: str
    record: str  # handle
    other: str  # handle
    proposed_by: str
    proposed_at: Instant
    reason: str = ""  # where one proposal is shown
    decided_by: str = ""

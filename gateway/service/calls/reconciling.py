"""Calls after a declared loss: what partners hold of us, and what of theirs is missing here."""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.model.time import Instant
from gateway.service.calls import Params


class Reconcile(Params, frozen=True):
    """Ask one partner, or every one that the loss concerns."""

    partner: str = ""


class Crossed(msgspec.Struct, frozen=True):
    """A message or receipt that crossed, by the partner's entry. ``receipt``: the id of its receipt, if we have it."""

    id: str
    type: str
    conversation: str
    seq: int
    at: Instant
    receipt: str = ""


class PartnerOutcome(msgspec.Struct, frozen=True):
    """What one partner told, and what became of it.

    ``settled``: it told, with proof; ``not-told``: it has no signed head of its log about us, or no such answer;
    ``away``: it did not answer; ``refused``: its answer does not hold.
    """

    partner: str
    state: Literal["settled", "not-told", "away", "refused"]
    recovered: tuple[Crossed, ...] = ()  # messages of ours that it has and of which nothing is left here
    settled: tuple[Crossed, ...] = ()  # messages that were still to leave here, and that it has
    missing: tuple[
        Crossed, ...
    ] = ()  # messages of it that we receipted and have no more: it sends them again
    receipts: tuple[Crossed, ...] = ()  # either side's, of which nothing is left here
    held: tuple[str, ...] = ()  # conversations that wait for an officer
    code: str = ""  # why it is away or refused


class Reconciliation(msgspec.Struct, frozen=True):
    """One run. ``epoch`` is the newest that was opened for a loss; 0: none was."""

    epoch: int
    at: Instant
    partners: tuple[PartnerOutcome, ...]

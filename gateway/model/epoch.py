"""Epochs of an organisation's logs: a log key each, opened by two persons, who name what is missing."""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.model.party import KeyRecord
from gateway.model.rows import Row
from gateway.model.time import Instant

#: The one target of the change that opens an epoch: all logs of a home go on together.
LOGS = "logs"


class KeptLog(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One log as it goes on: ``size`` entries with this root (hex). ``known`` is the longest head that anybody was
    found to hold: where it is larger, entries from ``size`` to before ``known`` are lost."""

    origin: str
    size: int
    root: str
    known: int


class Epoch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The declaration: from here on the logs are signed with another key, as the second, third ... epoch.

    ``loss``: some of them lost entries to a restored database; ``rotation``: none did.
    """

    v: Literal[1]
    org: str
    number: int
    reason: Literal["loss", "rotation"]
    at: str  # RFC 3339
    log_key: KeyRecord
    logs: tuple[KeptLog, ...]

    def lost(self) -> tuple[KeptLog, ...]:
        """The logs of which entries are missing."""
        return tuple(one for one in self.logs if one.known > one.size)


class SignedEpoch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A declaration as it lies in a file: the change that two persons sign, and its document, byte for byte."""

    statement: bytes
    document: bytes
    endorsements: tuple[str, ...]


# --- what partners know after a loss ---------------------------------------------------------------------------------


class EpochRow(Row, frozen=True):
    """A declaration as two persons signed it, and what opens the commitment of its entry in the master log: for whoever
    gets the log without the house. There is nothing about a person in it."""

    number: int
    entry: int  # position in the master log
    salt: bytes
    detail: bytes  # exactly what the entry commits to
    statement: bytes
    document: bytes
    endorsements: tuple[str, ...]


class RecoveredRow(Row, frozen=True):
    """What a partner has from us, or had from us and we lost: the partner's own entry about it, and its receipt."""

    partner: str
    id: str  # of the message or receipt
    epoch: int  # that declared the loss
    event: str  # ``message`` or ``receipt``
    type: str
    conversation: str
    seq: int
    at: Instant  # when the partner wrote its entry
    receipt: str  # id of its receipt, kept here; empty: it gave none back


class ReconciledRow(Row, frozen=True):
    """A partner was asked what it holds of a lost range. Nothing leaves to one that was not."""

    partner: str
    epoch: int
    at: Instant
    by: str
    outcome: str  # ``settled``, or ``not-told``: it has no answer to give

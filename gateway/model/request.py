"""Why something is released: purpose, legal basis, the request it answers, and lifts."""

from __future__ import annotations

import msgspec


class Request(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A partner's request, as far as it decides what may be answered: ``asks`` holds the field patterns asked for."""

    id: str
    partner: str
    purpose: str
    asks: tuple[str, ...]


class Lift(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One class C field unlocked on purpose. Input to prepare, part of the decision, approved by a lift approver."""

    pointer: str
    reason: str

"""Why something is released: purpose, legal basis, the request it answers, lifts, and a threat that does not wait."""

from __future__ import annotations

from typing import Literal

import msgspec

#: Classes of a request (Directive (EU) 2023/977 art. 5(1)): by what is urgent, and how directly it can be had.
Urgency = Literal["urgent-direct", "urgent-indirect", "normal"]


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


class Emergency(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An immediate and serious threat for which part of the rules is waived. It stays inside: a partner reads the type
    of the message and nothing more.

    With ``oral_approver`` one officer signs now, and the approver named, who agreed by word of mouth, confirms later.
    """

    threat: str
    oral_approver: str = ""  # officer id; empty: two officers sign, as for any content

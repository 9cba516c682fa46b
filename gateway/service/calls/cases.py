"""Parameters and answers of named bulk cases."""

from __future__ import annotations

import msgspec

from gateway.service.calls import Params


class PrepareCase(Params, frozen=True):
    """Many records to one partner, for one reason, under one name."""

    case: str
    records: tuple[str, ...]  # handles or entity ids
    partner: str
    purpose: str
    legal_basis: str
    justification: str


class CaseView(msgspec.Struct, frozen=True):
    """What waits of a case, and what the partner, with all it shares with, would hold once it has left.

    ``persons`` over all time, held against the compilation threshold (0: none is set, which denies); ``within`` in
    ``days`` days, held against the strictest bulk term (quota 0: none applies).
    """

    case: str
    partner: str
    requester: str
    releases: tuple[str, ...]  # ids of those that await approval
    states: dict[str, int]  # of all releases of the case
    persons: int
    compilation: int
    compilation_level: str
    within: int
    quota: int
    days: int

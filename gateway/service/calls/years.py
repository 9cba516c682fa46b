"""Calls about a whole year: what the log adds up to, and what the rows know beside it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from gateway.audit.tally import Count
from gateway.model.time import Instant
from gateway.service.calls import Params

#: Calendar years that can be asked for: nothing here is older, and dates beyond have no zone rules.
Year = Annotated[int, msgspec.Meta(ge=2000, le=2199)]


class TallyYear(Params, frozen=True):
    """Some entries of the master log after a position, of this year."""

    year: Year
    after: int = -1


class TallyPage(msgspec.Struct, frozen=True):
    """What they add up to; ``following`` is the position looked at last, -1 at the end of the log."""

    following: int
    counts: tuple[Count, ...]


class OfYear(Params, frozen=True):
    """A calendar year, in the zone of the service."""

    year: Year


class Version(msgspec.Struct, frozen=True):
    """A document that was in force during some of the year; ``until`` is None while it is."""

    kind: str
    id: str
    version: int
    sha256: str
    since: Instant
    until: Instant | None
    change: str  # id of the change; ``founding`` of the founding


class OfficerChange(msgspec.Struct, frozen=True):
    """What a version of an officer's entry has otherwise than the one before."""

    officer: str
    version: int
    at: Instant
    change: str
    what: tuple[str, ...]  # added, roles, clearance, need-to-know, keys, suspended, resumed, other
    proposer: str
    persons: int  # who signed it: two to widen, one to narrow; none of the founding document here


#: What became of a request's clock: answered within it or after it, running, or past with no answer.
Fate = Literal["in_time", "late", "open", "overdue"]


class Clock(msgspec.Struct, frozen=True):
    """Requests received in the year of one partner and class, by what became of their clock.

    What was answered counts from the entry of the answer in the log, and as of the end of the year, or now.
    """

    partner: str
    urgency: str
    received: int
    in_time: int
    late: int
    open: int  # not answered, the clock running
    overdue: int  # not answered, and past it


class RecallOutcome(msgspec.Struct, frozen=True):
    """Recalls of the year, and what is known of them: ours by where the message is, theirs by our officer's word."""

    direction: str
    partner: str
    action: str
    outcome: str
    count: int


class Duty(msgspec.Struct, frozen=True):
    """Duties that came up in the year and stood undone, past their time, at its end, or now."""

    what: str  # emergency-confirmation, emergency-review, originator-informed, notice, oral-confirmation
    overdue: int


class Disagreement(msgspec.Struct, frozen=True):
    """A number that the log and the rows beside it do not share. There is none in a home that nobody edited."""

    what: str
    log: int
    rows: int


class Books(msgspec.Struct, frozen=True):
    """A year as far as the rows know it, where entries hold commitments alone."""

    since: Instant
    until: Instant
    as_of: Instant  # the end of the year, or now while it lasts
    clocks: tuple[Clock, ...]
    recalls: tuple[RecallOutcome, ...]
    duties: tuple[Duty, ...]
    versions: tuple[Version, ...]
    officers: tuple[OfficerChange, ...]
    rows: dict[str, int]  # what must be as many as the log says


class Handled(msgspec.Struct, frozen=True):
    """Requests received in the year that are alike in all of this."""

    partner: str
    urgency: str
    fate: Fate
    answer: str  # type of what left; empty while nothing has
    ground: str  # why no information was given, as decided here; empty of an answer, and where it was erased
    count: int


class Exchange(msgspec.Struct, frozen=True):
    """A partner, as statistics name it: its state, and the regime of the agreement with it, in force or last."""

    partner: str
    nation: str
    regime: str


class Statistics(msgspec.Struct, frozen=True):
    """Requests of a year by what became of them: counts alone."""

    since: Instant
    until: Instant
    as_of: Instant
    partners: tuple[Exchange, ...]
    handled: tuple[Handled, ...]

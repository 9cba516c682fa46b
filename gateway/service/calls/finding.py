"""Calls by which a reviewer finds a person."""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.flow.matching import Point
from gateway.model.time import Instant
from gateway.service.calls import Params

#: What a search cannot see. A closed list: every answer names those that hold for it.
GapCode = Literal[
    "free-text",  # nobody's own words are indexed
    "references",  # messages that name a person by a pseudonym or a message id only
    "quarantined",  # what could not be opened or was refused
    "purged",  # sightings dropped with records that ran out
    "erased",  # sightings dropped with a subject's keys
    "other-key",  # the index was begun under another key, or with other keys of names
    "script",  # letters of the question that agree with no other script
    "spelling",  # another consonant, a translation
    "too-wide",  # a key of the question that more meet than are looked at
    "searches",  # reviewers' own questions are kept, and not shown
]


class FindPersons(Params, frozen=True):
    """Spellings of one name, a birth date as precise as it is known, document numbers; why, and on whose authority."""

    justification: str
    authority: str
    names: tuple[str, ...] = ()
    birth: str = ""
    about: bool = False
    numbers: tuple[str, ...] = ()
    after: str = ""
    limit: int = 50


class Gap(msgspec.Struct, frozen=True):
    """Something the search cannot see: how many where that is known, and which kinds."""

    code: GapCode
    count: int | None = None
    kinds: tuple[str, ...] = ()


class Hit(msgspec.Struct, frozen=True):
    """One place where the person is mentioned. ``log`` and ``position`` say from which entry on it is proven there."""

    what: str
    id: str
    at: Instant
    log: str
    position: int
    agrees: tuple[str, ...] = ()  # codes; empty for a place found by its subject alone
    partner: str = ""
    type: str = ""
    state: str = ""
    message: str = ""


class Candidate(msgspec.Struct, frozen=True):
    """One person as far as is known: a handle, or ``x-`` and a digest for somebody without a record here."""

    person: str
    score: int
    reasons: tuple[Point, ...]
    linked: tuple[str, ...]  # handles of the subjects that two officers said are one with this
    hits: tuple[Hit, ...]
    more: int  # hits beyond those shown


class Found(msgspec.Struct, frozen=True):
    """The candidates, best first; the next page begins after ``after``. Nothing here is content."""

    search: str
    candidates: tuple[Candidate, ...]
    total: int
    after: str
    gaps: tuple[Gap, ...]

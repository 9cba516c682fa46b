"""Security labels: (policy, level) and every handling axis of its own; a partial order and a high-water mark.

A level means something only inside its policy: ``VERTROUWELIJK`` is 2 in Belgium and 1 in the Netherlands. Ranks come
from a versioned table (law 11.12.1998 art. 4; Council Decision 2013/488/EU app. B); a pair the table does not hold has
no rank, and what has no rank never leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

Tlp = Literal["CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED"]
HandlingCode = Literal["H0", "H1", "H2", "H3"]

#: What a recipient may do with it (PAP), as TLP says to whom it may pass it.
Pap = Literal["CLEAR", "GREEN", "AMBER", "RED"]

#: Whom data is about (Directive (EU) 2016/680 art. 6). What an item does not say, its kind says.
PersonCategory = Literal["suspect", "convicted", "contact", "victim", "witness", "minor"]

#: Markings that are no level: DIFFUSION RESTREINTE limits who may see a document and classifies nothing.
Caveat = Literal["DIFFUSION RESTREINTE"]

TLP_ORDER: tuple[Tlp, ...] = ("CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED")
PAP_ORDER: tuple[Pap, ...] = ("CLEAR", "GREEN", "AMBER", "RED")

#: Axes that are sets, and so have one spelling: sorted, nothing twice.
_SETS = ("releasable_to", "originators", "handling_code", "purpose", "legal_basis", "person", "caveat")

#: Letters of an ISO 3166 alpha-3 code. A policy named by one is a state's; any other is an international
#: organisation's.
_STATE_LETTERS = 3


class ReceivingRow(msgspec.Struct, frozen=True):
    """How one policy protects what it receives: rank of the sender's level -> rank it is handled at, never a lower one.

    A rank that is missing has no equivalent there. A row that is not ``enabled`` counts only under a named agreement.
    """

    enabled: bool
    protects: dict[int, int]


class LevelTable(msgspec.Struct, frozen=True):
    """Ranks of (policy, level) pairs, dated and sourced. ``ranks['BEL']['RESTREINT'] == 1``; 0 is unclassified.

    ``receiving`` says, per policy of a recipient, how each rank is protected there. ``version`` names both tables.
    """

    version: str
    ranks: dict[str, dict[str, int]]
    sources: dict[str, str] = {}
    receiving: dict[str, ReceivingRow] = {}

    def rank(self, policy: str, level: str) -> int | None:
        """The rank, or None for a pair the table does not hold: unknown never leaves."""
        return self.ranks.get(policy, {}).get(level)

    def unranked(self, labels: Sequence[SecurityLabel]) -> int:
        """How many of the labels have a level without a rank."""
        ranks, none = self.ranks, dict[str, int]()
        return sum([label.level not in ranks.get(label.policy, none) for label in labels])

    def protected(self, policy: str, level: str, receiver: str, *, enabled: bool = False) -> int | None:
        """The rank at which a recipient of the policy ``receiver`` handles the level: its equivalent, or a higher one.

        None where it has none, and for a row that is disabled unless ``enabled`` says that an agreement enables it.
        Within one policy, and for what is unclassified, it is the rank itself.
        """
        rank, row = self.rank(policy, level), self.receiving.get(receiver)
        if not rank or policy == receiver:
            return rank
        return row.protects.get(rank) if row is not None and (row.enabled or enabled) else None

    def handled_at(self, policy: str, level: str, receiver: str) -> int | None:
        """The rank that ceilings and clearances are held against toward this recipient: the level's own, or the higher
        one it is protected at there; None for a level without a rank. Whether it may go there is another question."""
        rank, there = self.rank(policy, level), self.protected(policy, level, receiver, enabled=True)
        return rank if rank is None or there is None else max(rank, there)


class SecurityLabel(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One label. Each axis is checked alone; the strictest wins and none relaxes another.

    ``releasable_to`` holds organisation ids (``fra.police-demo``) and ISO 3166 alpha-3 codes (``FRA``, every
    organisation of that state); **empty means nobody**. ``purpose`` or ``legal_basis`` None means the axis is not set;
    empty means none. ``person`` empty means what the kind of the record says.
    """

    policy: str
    level: str
    releasable_to: tuple[str, ...] = ()
    originators: tuple[str, ...] = ()
    originator_control: bool = False
    handling_code: tuple[HandlingCode, ...] = ()
    tlp: Tlp | None = None
    purpose: tuple[str, ...] | None = None
    retention_until: str | None = None
    no_foreign: bool = False
    embargo: bool = False
    pap: Pap | None = None
    legal_basis: tuple[str, ...] | None = None
    person: tuple[PersonCategory, ...] = ()
    caveat: tuple[Caveat, ...] = ()

    def __post_init__(self) -> None:
        # One spelling per meaning: sets are sorted and unique, so equal labels are equal bytes.
        for axis in _SETS:
            values = getattr(self, axis)
            if values:
                msgspec.structs.force_setattr(self, axis, tuple(sorted(set(values))))

    def releasable(self, organisation: str, nation: str) -> bool:
        """Whether the organisation, or its whole state, is named. Empty names nobody."""
        return organisation in self.releasable_to or nation in self.releasable_to


def nation_of(entry: str) -> str:
    """The alpha-3 part of a releasable-to entry: ``fra.police-demo`` and ``FRA`` both belong to ``FRA``."""
    return entry.split(".", 1)[0].upper()


def of_a_state(policy: str) -> bool:
    """Whether a policy of classification is one state's: ``BEL`` is, ``EU`` and ``NATO`` are not."""
    return len(policy) == _STATE_LETTERS


def _narrower(ours: tuple[str, ...], theirs: tuple[str, ...]) -> tuple[str, ...]:
    """Intersection of releasable-to sets in which a state covers its organisations."""
    mine, others = set(ours), set(theirs)
    kept = mine & others
    kept |= {entry for entry in mine if "." in entry and nation_of(entry) in others}
    kept |= {entry for entry in others if "." in entry and nation_of(entry) in mine}
    return tuple(sorted(kept))


def _fewer(first: tuple[str, ...] | None, second: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Intersection of two axes of which an unset one allows anything."""
    if first is None or second is None:
        return first if second is None else second
    return tuple(set(first) & set(second))


def _allows_no_more(upper: tuple[str, ...] | None, lower: tuple[str, ...] | None) -> bool:
    return lower is None or (upper is not None and set(upper) <= set(lower))


def join(first: SecurityLabel, second: SecurityLabel, levels: LevelTable) -> SecurityLabel | None:
    """The high-water mark: at least as strict as both on every axis (law 11.12.1998 art. 5: whole >= highest part).

    None when a level has no rank: a whole with an unknown part is unknown. Of two levels of equal rank and different
    policies, the first's name stays.
    """
    rank_first, rank_second = levels.rank(first.policy, first.level), levels.rank(second.policy, second.level)
    if rank_first is None or rank_second is None:
        return None
    top = first if rank_first >= rank_second else second
    tlps = [tlp for tlp in (first.tlp, second.tlp) if tlp is not None]
    dates = [until for until in (first.retention_until, second.retention_until) if until is not None]
    paps = [pap for pap in (first.pap, second.pap) if pap is not None]
    return SecurityLabel(
        policy=top.policy,
        level=top.level,
        releasable_to=_narrower(first.releasable_to, second.releasable_to),
        originators=first.originators + second.originators,
        originator_control=first.originator_control or second.originator_control,
        handling_code=first.handling_code + second.handling_code,
        tlp=max(tlps, key=TLP_ORDER.index) if tlps else None,
        purpose=_fewer(first.purpose, second.purpose),
        retention_until=min(dates) if dates else None,
        no_foreign=first.no_foreign or second.no_foreign,
        embargo=first.embargo or second.embargo,
        pap=max(paps, key=PAP_ORDER.index) if paps else None,
        legal_basis=_fewer(first.legal_basis, second.legal_basis),
        person=first.person + second.person,
        caveat=first.caveat + second.caveat,
    )


def dominates(upper: SecurityLabel, lower: SecurityLabel, levels: LevelTable) -> bool:
    """Whether ``upper`` is at least as strict as ``lower`` on every axis. A partial order on labels with ranks."""
    rank_upper, rank_lower = levels.rank(upper.policy, upper.level), levels.rank(lower.policy, lower.level)
    if rank_upper is None or rank_lower is None or rank_upper < rank_lower:
        return False
    covered = all(
        entry in lower.releasable_to or nation_of(entry) in lower.releasable_to
        for entry in upper.releasable_to
    )
    retention = lower.retention_until is None or (
        upper.retention_until is not None and upper.retention_until <= lower.retention_until
    )
    tlp = lower.tlp is None or (
        upper.tlp is not None and TLP_ORDER.index(upper.tlp) >= TLP_ORDER.index(lower.tlp)
    )
    pap = lower.pap is None or (
        upper.pap is not None and PAP_ORDER.index(upper.pap) >= PAP_ORDER.index(lower.pap)
    )
    return (
        covered
        and _allows_no_more(upper.purpose, lower.purpose)
        and _allows_no_more(upper.legal_basis, lower.legal_basis)
        and retention
        and tlp
        and pap
        and set(lower.person) <= set(upper.person)
        and set(lower.caveat) <= set(upper.caveat)
        and set(lower.originators) <= set(upper.originators)
        and set(lower.handling_code) <= set(upper.handling_code)
        and upper.originator_control >= lower.originator_control
        and upper.no_foreign >= lower.no_foreign
        and upper.embargo >= lower.embargo
    )

"""What partners hold of whom: reserved in the transaction that lets something leave, freed when it is voided.

Whatever discloses reserves here, by whichever way it leaves: a release, an emergency, a correction, a word on the
telephone. The rows of the store are the truth; a tally beside them spares counting them at every decision.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from gateway.model.agreement import Bulk
from gateway.model.rows import ReservationRow, SubjectLinkRow, TallyRow
from gateway.policy.context import Held, Sharer
from gateway.ports import ReadTx, Tx
from gateway.service.context import Gateway

#: How something was disclosed. All count alike.
Origin = Literal["release", "emergency", "correction", "oral", "recovered"]


class Outlook(msgspec.Struct, frozen=True):
    """Distinct persons: over all time, and within the window of the strictest bulk term (quota 0: there is none)."""

    total: int
    within: int = 0
    quota: int = 0
    days: int = 0


class Holdings:
    """The one place that counts. Everything happens inside the caller's unit of work."""

    def __init__(self, gateway: Gateway) -> None:
        self._g = gateway

    # --- looking ------------------------------------------------------------------------------------------------

    def held(self, tx: ReadTx, partner: str, subject: str, now: datetime, *, release: str = "") -> Held:
        """What the partner and all it shares with hold as of this transaction, leaving ``release`` out.

        (1) who holds together, and as whom the subject is counted; (2) what they hold of the subject; (3) of how many
        subjects over all time; (4) and within the window of the bulk terms, the strictest of theirs on each axis.
        """
        # (1)
        settings = self._g.directory.settings
        holders = settings.holders(partner)
        sharing = tuple(found for org in holders if org != partner and (found := self._sharer(org)))
        # (2)
        reserved = tx.select(ReservationRow, {"partner": holders, "subject": counted_as(tx, subject)})
        others = [row for row in reserved if row.release != release]
        # What came after a release that is reserved already had to answer for itself, and may have had a lift.
        place = max((row.place for row in reserved if row.release == release), default=None)
        earlier = [row for row in others if place is None or row.place <= place]
        repeated = now - timedelta(days=settings.repeats.days if settings.repeats else 0)
        # (3)
        total = _total(tx, holders) - bool(reserved and not others)
        # (4)
        records, subject_held = total, bool(others)
        bulks = [bulk for org in holders if (bulk := self._bulk(org, partner))]
        if bulks and total + (not others) > min(bulk.records for bulk in bulks):
            # Below every quota over all time, as above, is below it within any window: most need no counting.
            since = now - timedelta(days=max(bulk.days for bulk in bulks))
            within = tx.count(
                ReservationRow, {"partner": holders}, at_least=("at", since), distinct="subject"
            )
            own = any(row.at >= since for row in reserved)
            subject_held = any(row.at >= since for row in others)
            records = within - (own and not subject_held)
        return Held(
            records=records,
            subject_held=subject_held,
            total=total,
            subject_ever=bool(others),
            disclosures=sum(row.at >= repeated for row in earlier),
            members=frozenset(member for row in others for member in row.members),
            sharing=sharing,
        )

    def outlook(self, tx: ReadTx, partner: str, subjects: Iterable[str], now: datetime) -> Outlook:
        """What the partner and all it shares with would hold once these were released as well."""
        holders = self._g.directory.settings.holders(partner)
        persons = {counted_as(tx, subject) for subject in subjects}
        rows = {
            person: tx.select(ReservationRow, {"partner": holders, "subject": person}) for person in persons
        }
        total = _total(tx, holders) + sum(not held for held in rows.values())
        bulks = [bulk for org in holders if (bulk := self._bulk(org, partner))]
        if not bulks:
            return Outlook(total)
        days = max(bulk.days for bulk in bulks)
        since = now - timedelta(days=days)
        within = tx.count(ReservationRow, {"partner": holders}, at_least=("at", since), distinct="subject")
        within += sum(not any(row.at >= since for row in held) for held in rows.values())
        return Outlook(total, within, min(bulk.records for bulk in bulks), days)

    def _sharer(self, org: str) -> Sharer | None:
        """What an agreement with this partner bounds; None without one, since then nothing is agreed to be bounded."""
        agreement = self._g.directory.agreements.get(org)
        if agreement is None:
            return None
        bulk = self._bulk(org, "")
        return Sharer(org, agreement.terms.ceiling, bulk.records if bulk else None)

    def _bulk(self, org: str, partner: str) -> Bulk | None:
        """The bulk term that bounds what ``org`` holds: the partner's own, or that of another on the police route."""
        agreement = self._g.directory.agreements.get(org)
        if agreement is None or (org != partner and agreement.terms.route != "police"):
            return None
        return agreement.terms.bulk

    # --- writing ------------------------------------------------------------------------------------------------

    def reserve(
        self,
        tx: Tx,
        partner: str,
        subject: str,
        release: str,
        now: datetime,
        *,
        members: Iterable[str],
        origin: Origin = "release",
    ) -> None:
        """Count a disclosure, in the unit of work that lets it leave. Repeatable: a second time changes nothing.

        ``release`` is the id of what discloses, be it about several subjects or to several partners; ``members`` are
        those of the record of which something leaves.
        """
        person = counted_as(tx, subject)
        holders = self._g.directory.settings.holders(partner)
        if tx.get(TallyRow, _name(holders)) is None:
            tx.put(_recounted(tx, holders))
        for tally in _tallies(tx, partner):
            if not _hold(tx, tally, person):
                tx.put(msgspec.structs.replace(tally, subjects=tally.subjects + 1))
        if tx.get(ReservationRow, partner, subject, release) is None:
            places = (row.place for row in tx.select(ReservationRow, {"partner": holders, "subject": person}))
            place = 1 + max(places, default=0)
            names = tuple(sorted({*members}))
            tx.insert(ReservationRow(partner, subject, release, person, now, origin, names, place))

    def free(self, tx: Tx, release: str) -> None:
        """Nothing of this leaves any more. Repeatable."""
        for row in tx.select(ReservationRow, {"release": release}):
            tx.delete(ReservationRow, {"partner": row.partner, "about": row.about, "release": release})
            for tally in _tallies(tx, row.partner):
                if not _hold(tx, tally, row.subject):
                    tx.put(msgspec.structs.replace(tally, subjects=tally.subjects - 1))

    def regroup(self, tx: Tx, persons: Sequence[Collection[str]], now: datetime) -> None:
        """From now on each of these sets of subjects is one person, and no two of the sets are the same. The holdings
        of each are recounted from what was disclosed of its own subjects. Repeatable; as rare as `link`."""
        for subjects in persons:
            known = {link.counted_as for link in tx.select(SubjectLinkRow, {"subject": tuple(subjects)})}
            person = min(known & {*subjects} or subjects)
            for subject in subjects:
                tx.delete(SubjectLinkRow, {"subject": subject})
                if subject != person:
                    tx.insert(SubjectLinkRow(subject, person, now))
            _count_as(tx, tx.select(ReservationRow, {"about": tuple(subjects)}), person)
        _recount(tx)


def counted_as(tx: ReadTx, subject: str) -> str:
    """As whom a subject is counted: itself, unless it is known to be one with another."""
    link = tx.get(SubjectLinkRow, subject)
    return subject if link is None else link.counted_as


def one_with(tx: ReadTx, subject: str) -> tuple[str, ...]:
    """Every subject known to be this person, itself among them."""
    person = counted_as(tx, subject)
    return (person, *(link.subject for link in tx.select(SubjectLinkRow, {"counted_as": person})))


def _count_as(tx: Tx, rows: Iterable[ReservationRow], person: str) -> None:
    tx.put(*(msgspec.structs.replace(row, subject=person) for row in rows))


# --- tallies ---------------------------------------------------------------------------------------------------------
# INVARIANT: a tally is the count of its holders' distinct subjects. Each write keeps every tally that its partner is
# in, also those of sharing groups no longer configured: they may come back.


def _name(holders: tuple[str, ...]) -> str:
    return " ".join(holders)


def _tallies(tx: ReadTx, partner: str) -> list[TallyRow]:
    return [tally for tally in tx.select(TallyRow) if partner in tally.holders.split()]


def _hold(tx: ReadTx, tally: TallyRow, subject: str) -> bool:
    where = {"partner": tuple(tally.holders.split()), "subject": subject}
    return bool(tx.select(ReservationRow, where, limit=1))


def _recount(tx: Tx) -> None:
    for tally in tx.select(TallyRow):
        tx.put(_recounted(tx, tuple(tally.holders.split())))


def _recounted(tx: ReadTx, holders: tuple[str, ...]) -> TallyRow:
    return TallyRow(_name(holders), tx.count(ReservationRow, {"partner": holders}, distinct="subject"))


def _total(tx: ReadTx, holders: tuple[str, ...]) -> int:
    """Distinct subjects over all time, from the tally; counted while nothing was reserved for these holders yet."""
    return (tx.get(TallyRow, _name(holders)) or _recounted(tx, holders)).subjects

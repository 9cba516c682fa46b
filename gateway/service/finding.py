"""A reviewer finds a person: where somebody is mentioned, by keys that the signer blinds. No content is opened."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from gateway.errors import RequestInvalid
from gateway.flow.finding import Question, Sought, judge, not_covered, posted, sought
from gateway.flow.matching import LIKELY, Point
from gateway.flow.typed import require_text
from gateway.model.find_rows import TERM_BYTES, SightingRow, TermRow
from gateway.model.officer import Officer
from gateway.model.rows import InboxRow, OutboxRow, QuarantineRow, ReleaseRow, SubjectLinkRow, SubjectRow
from gateway.ports import ReadTx, Tx
from gateway.service.calls.finding import Candidate, FindPersons, Found, Gap, Hit
from gateway.service.contents import SearchBody
from gateway.service.context import Gateway
from gateway.service.holdings import one_with
from gateway.service.imports import handle_of
from gateway.service.operation import Operation, limit_of, record_read
from gateway.service.sightings import (
    CHECK,
    Blinded,
    Sighted,
    forgotten,
    note,
    other_key,
    split,
    terms_of,
)

T = TypeVar("T")

#: Sightings looked at for one key: what more persons share than this does not tell them apart.
MAX_SIGHTINGS = 2000
#: The same for a key that says little (less than `STRONG_POINTS`): one word, an initial. Beyond, it is passed over.
MAX_WEAK, STRONG_POINTS = 300, 30
#: Places shown of one candidate, newest first; the rest is counted.
MAX_HITS = 500
#: Rows asked for at once.
CHUNK = 500
#: Sightings that are reviewers' own questions.
SEARCH: Final = "search"


class Agreed(msgspec.Struct, frozen=True):
    """A sighting and what of the question agrees with it."""

    row: SightingRow
    points: tuple[Point, ...] = ()


class Grouped(msgspec.Struct, frozen=True):
    """The sightings of one person, as far as is known."""

    person: str
    score: int
    reasons: tuple[Point, ...]
    subjects: tuple[str, ...]
    seen: tuple[Agreed, ...]


class Looked(msgspec.Struct, frozen=True):
    """What the index holds for a question: who agrees, best first, and the kinds of keys that too many meet."""

    groups: tuple[Grouped, ...]
    wide: tuple[str, ...]


class Finding:
    """Searches the index, for reviewers alone."""

    def __init__(self, gateway: Gateway) -> None:
        self._g = gateway

    def operations(self) -> dict[str, Operation]:
        """Nobody but a reviewer searches."""
        return {"persons/find": Operation(FindPersons, ("reviewer",), self.find)}

    async def find(self, officer: Officer, params: FindPersons) -> Found:
        """Candidates and where each is mentioned.

        (1) why, and on whose authority, is said; (2) the question is narrow enough to have a bounded number of keys;
        (3) the signer blinds them; (4) what agrees is looked up, widened to all that is known of the same subject and
        of those it is linked with, and grouped; (5) the question is kept, encrypted and erasable as whatever else
        mentions the person, and its entry (LED art. 25) is durable before anything is answered; (6) the answer says
        what it cannot see. Raises `RequestInvalid` naming the member.
        """
        gateway = self._g
        # (1)
        require_text("justification", params.justification)
        require_text("authority", params.authority)
        limit = limit_of(params.limit)
        # (2)
        question = Question(params.names, params.birth, params.about, params.numbers)
        keys = sought(question)
        # (3)
        check, *terms = await terms_of(gateway.signer, [CHECK, *(one.key for one in keys)])
        asked = dict(zip(terms, keys, strict=True))

        # (4)
        def looking(tx: ReadTx) -> tuple[Looked, list[Grouped], str]:
            looked = look_up(tx, asked, asked_birth=bool(params.birth))
            page, after = _page(looked.groups, params.after, limit)
            return looked, [_widened(tx, one) for one in page], after

        looked, page, after = await gateway.store.read(looking)
        # (5)
        search = await self._keep(officer, params, Sighted((_blinded(asked),), check), page)

        # (6)
        def shown(tx: ReadTx) -> Found:
            candidates = tuple(self._shown(tx, one) for one in page)
            gaps = tuple(self._gaps(tx, question, looked.wide, check))
            return Found(search, candidates, len(looked.groups), after, gaps)

        return await gateway.store.read(shown)

    async def _keep(
        self, officer: Officer, params: FindPersons, sighted: Sighted, page: Sequence[Grouped]
    ) -> str:
        gateway, now = self._g, self._g.clock.now()
        subjects = {subject for one in page if one.score >= LIKELY for subject in one.subjects}
        await gateway.vault.reserve()

        def unit(tx: Tx) -> str:
            search, key = gateway.ids.uuid(), gateway.vault.fresh(now)
            body = gateway.vault.seal(key, SearchBody(msgspec.json.encode(params)))
            tx.insert(key.row, body, *(SubjectRow(subject, key.id) for subject in sorted(subjects)))
            note(gateway, tx, now, SEARCH, search, key.id, sighted)
            detail = {
                "what": "find",
                "body": body.id,
                "keys": len(sighted.people[0].terms) // TERM_BYTES,
                "persons": [one.person for one in page],
            }
            record_read(gateway, tx, now, officer, search, detail)
            return search

        return await gateway.store.write(unit)

    # --- what is answered -----------------------------------------------------------------------------------------

    def _shown(self, tx: ReadTx, group: Grouped) -> Candidate:
        return Candidate(
            group.person,
            group.score,
            group.reasons,
            tuple(handle for subject in group.subjects if (handle := handle_of(subject)) != group.person),
            tuple(self._hit(tx, one) for one in group.seen[:MAX_HITS]),
            max(0, len(group.seen) - MAX_HITS),
        )

    def _hit(self, tx: ReadTx, agreed: Agreed) -> Hit:
        """Where it is: a message that came or left stands in the log about its partner, all else in the master log."""
        row, ledger = agreed.row, self._g.ledger
        hit = Hit(
            row.what, row.place, row.at, ledger.master, row.position, tuple(one.code for one in agreed.points)
        )
        if row.what == "message":
            sender, _, message = row.place.partition("/")
            if (came := tx.get(InboxRow, sender, message)) is not None:
                return msgspec.structs.replace(
                    hit,
                    log=ledger.of_partner(sender),
                    position=came.entry,
                    partner=sender,
                    type=came.type,
                    state=came.state,
                    message=message,
                )
        release = tx.get(ReleaseRow, row.place) if row.what == "release" else None
        if release is None:
            return hit
        hit = msgspec.structs.replace(
            hit, partner=release.partner, type=release.type, state=release.state, message=release.message_id
        )
        for out in tx.select(OutboxRow, {"release": release.id}):
            if out.entry >= 0:
                return msgspec.structs.replace(
                    hit, log=ledger.of_partner(release.partner), position=out.entry
                )
        return hit

    def _gaps(self, tx: ReadTx, question: Question, wide: Sequence[str], check: bytes) -> Iterator[Gap]:
        kinds = self._g.kinds.values()
        texts = sorted(kind.name for kind in kinds if any(spec.texts for spec in kind.fields.values()))
        yield Gap("free-text", kinds=(*texts, "justification", "oral", "reason"))
        yield Gap("references", kinds=("consent-request", "recall", "status"))
        yield Gap("spelling")
        yield Gap("searches")
        counts = (
            Gap("quarantined", tx.count(QuarantineRow)),
            Gap("purged", forgotten(tx, "purged")),
            Gap("erased", forgotten(tx, "erased")),
        )
        yield from (gap for gap in counts if gap.count)
        if other_key(tx, check):
            yield Gap("other-key")
        if not_covered(question):
            yield Gap("script")
        if wide:
            yield Gap("too-wide", kinds=tuple(wide))


# --- the index -------------------------------------------------------------------------------------------------------


def look_up(tx: ReadTx, asked: Mapping[bytes, Sought], *, asked_birth: bool) -> Looked:
    """Who agrees with these terms, best first; a reviewer's own questions are left out.

    A key that says little and that many meet is passed over; of one that says much `MAX_SIGHTINGS` are looked at.
    """
    ids: set[int] = set()
    wide = set()
    for term, key in asked.items():
        if not key.looked_up:
            continue
        most = MAX_SIGHTINGS if key.point.points >= STRONG_POINTS else MAX_WEAK
        met = tx.select(TermRow, {"term": term}, order="sighting", limit=most + 1)
        if len(met) > most:
            wide.add(key.key.partition("\n")[0])
            met = met[:most] if most == MAX_SIGHTINGS else []
        ids.update(row.sighting for row in met)
    agreed = [
        Agreed(row, tuple(asked[term].point for term in split(row) if term in asked))
        for some in _chunks(sorted(ids))
        for row in tx.select(SightingRow, {"id": some})
        if row.what != SEARCH
    ]
    return Looked(_grouped(tx, agreed, asked_birth=asked_birth), tuple(sorted(wide)))


def _grouped(tx: ReadTx, agreed: Sequence[Agreed], *, asked_birth: bool) -> tuple[Grouped, ...]:
    """One group a person: subjects that are counted as one, or without a subject the same terms."""
    subjects = sorted({one.row.subject for one in agreed} - {""})
    counted = {
        link.subject: link.counted_as
        for some in _chunks(subjects)
        for link in tx.select(SubjectLinkRow, {"subject": some})
    }
    groups: defaultdict[tuple[str, bytes], list[Agreed]] = defaultdict(list)
    for one in agreed:
        subject = one.row.subject
        groups[counted.get(subject, subject), b"" if subject else one.row.terms].append(one)
    made = []
    for (subject, terms), seen in groups.items():
        score, reasons = max(
            (judge(one.points, asked_birth=asked_birth, born=one.row.born) for one in seen),
            key=lambda judged: judged[0],
        )
        person = handle_of(subject) if subject else f"x-{hashlib.sha256(terms).hexdigest()[:16]}"
        made.append(Grouped(person, score, reasons, (subject,) if subject else (), tuple(seen)))
    return tuple(sorted(made, key=lambda one: (-one.score, one.person)))


def _widened(tx: ReadTx, group: Grouped) -> Grouped:
    """The same person with all that is known of its subject, and of those it is linked with; newest first."""
    seen = {one.row.id: one for one in group.seen}
    subjects = one_with(tx, group.subjects[0]) if group.subjects else ()
    for row in tx.select(SightingRow, {"subject": subjects}) if subjects else ():
        if row.what != SEARCH:
            seen.setdefault(row.id, Agreed(row))
    newest = sorted(seen.values(), key=lambda one: (one.row.at, one.row.id), reverse=True)
    return msgspec.structs.replace(group, subjects=subjects, seen=tuple(newest))


def _chunks(values: Sequence[T]) -> Iterator[tuple[T, ...]]:
    for start in range(0, len(values), CHUNK):
        yield tuple(values[start : start + CHUNK])


def _blinded(asked: Mapping[bytes, Sought]) -> Blinded:
    """The question as a sighting, so that what erases a person erases who asked for that person."""
    looked = [term for term, one in asked.items() if posted(one.key)]
    told = [term for term, one in asked.items() if not posted(one.key)]
    return Blinded(b"".join((*looked, *told)), len(looked), bool(told), "")


def _page(groups: Sequence[Grouped], after: str, limit: int) -> tuple[list[Grouped], str]:
    """The candidates after this one, ``SCORE/PERSON`` as the page before said, and where the next page begins."""
    start = 0
    if after:
        score, _, person = after.partition("/")
        if not score.isdecimal() or len(score) > 3 or not person:
            raise RequestInvalid("after: as the page before said", diagnostic={"field": "after"})
        place = (-int(score), person)
        start = sum((-one.score, one.person) <= place for one in groups)
    page = list(groups[start : start + limit])
    more = start + limit < len(groups)
    return page, f"{page[-1].score}/{page[-1].person}" if more else ""

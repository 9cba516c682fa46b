"""Published lists beside our records: what a list holds no more, and which imported persons may be on it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import msgspec

from gateway.errors import NotFound, RequestInvalid
from gateway.flow.matching import CANDIDATE, Identity, Match, Persons, identity
from gateway.model.officer import Officer
from gateway.model.record import CanonicalRecord, fields_of
from gateway.model.rows import RecordRow
from gateway.ports import ReadTx
from gateway.service import calls
from gateway.service.contents import RecordBody
from gateway.service.context import Gateway
from gateway.service.imports import PUBLIC_LIST, Imports
from gateway.service.vault import keys_of

#: Records opened at once: memory stays at that many, and the loop gets its turn after some 60 ms.
PAGE = 100

#: Entries a list may lose between two imports without a word of the officer: a tenth, or ten of a short one. A file cut
#: off at a row's end looks like a list that shrank.
MOST_GONE_SHARE, MOST_GONE = 10, 10


class Lists:
    """What concerns a list as a whole."""

    def __init__(self, gateway: Gateway, imports: Imports) -> None:
        self._g, self._imports = gateway, imports

    # --- what is gone -------------------------------------------------------------------------------------------

    async def complete(self, officer: Officer, whole: calls.ListComplete) -> tuple[int, int]:
        """How many entries the list holds no more, and how many of them are marked now. Repeating changes nothing.

        (1) only entries of that list that no import since ``generated`` has renewed; (2) nothing is marked while an
        entry of the list could not be read, since it may be one of them; (3) nor when more went than lists lose,
        unless the officer says so; (4) a marked entry is a new version: delisted, with the date of the list.
        """
        kind, name = self._kind(whole.kind)
        # (1)
        rows = [row for row in await self._rows(kind) if row.extracted_at < whole.generated]
        gone = [row async for row, record in self._opened(rows) if _listed(record, name)]
        # (2) (3)
        most = max(MOST_GONE, whole.entries // MOST_GONE_SHARE)
        if whole.bad or not whole.entries or (len(gone) > most and not whole.shrunk):
            return len(gone), 0
        # (4)
        day = whole.generated.date().isoformat()
        for start in range(0, len(gone), PAGE):
            marked = [
                _delisted(record, day, whole, officer)
                async for _, record in self._opened(gone[start : start + PAGE])
            ]
            await self._imports.store(officer, kind, marked)
        return len(gone), len(gone)

    def _kind(self, name: str) -> tuple[str, str]:
        """Kind and list of ``sanctions-entry/1.0/un``; raises `RequestInvalid`."""
        kind, _, listed = name.rpartition("/")
        if kind not in self._g.kinds or self._g.kinds[kind].regime != PUBLIC_LIST or not listed:
            raise RequestInvalid("there is no list of this name", diagnostic={"field": "kind"})
        return kind, listed

    # --- who may be on it ---------------------------------------------------------------------------------------

    async def bands(self, officer: Officer, name: str) -> dict[str, int]:
        """Candidates of one list by band, of what the officer's clearance reaches."""
        _, listed = self._kind(name)
        counted = Counter(match.band for match, _ in await self._candidates(officer, listed))
        return {"strong": counted["strong"], "likely": counted["likely"], "weak": counted["weak"]}

    async def matches(self, officer: Officer, wanted: calls.FindMatches, limit: int) -> list[calls.MatchView]:
        """A page of candidates, best first. Nothing is stored and nothing linked: each call compares anew."""
        found = []
        for match, listed in await self._candidates(officer, wanted.list):
            id_ = f"{999 - match.score:03d}/{match.entry}/{match.person}"
            if match.score >= wanted.minimum and id_ > wanted.after:
                found.append((id_, match, listed))
        found.sort(key=lambda one: one[0])
        named = await self._may_name(officer, [match for _, match, _ in found[:limit]])
        return [
            calls.MatchView(
                id=id_,
                person=match.person,
                entry=match.entry,
                list=listed,
                score=match.score,
                band=match.band,
                reasons=tuple(calls.MatchPoint(one.code, one.points) for one in match.reasons),
                person_name=match.names[0] if match in named else "",
                entry_name=match.names[1] if match in named else "",
            )
            for id_, match, listed in found[:limit]
        ]

    async def _may_name(self, officer: Officer, matches: Sequence[Match]) -> set[Match]:
        """The candidates both of whose kinds are within the officer's need to know."""
        handles = tuple({handle for match in matches for handle in (match.person, match.entry)})
        rows = await self._g.store.read(
            lambda tx: tx.select(RecordRow, {"handle": handles, "latest": True}) if handles else []
        )
        known = {row.handle for row in rows if officer.needs_to_know(row.kind)}
        return {match for match in matches if {match.person, match.entry} <= known}

    async def _candidates(self, officer: Officer, listed: str) -> list[tuple[Match, str]]:
        """Every candidate with its list. Persons are held in memory, entries pass by page by page."""
        kinds = self._g.kinds.values()
        people: list[Identity] = []
        for kind in kinds:
            if kind.regime != PUBLIC_LIST and "/names/*" in kind.fields:
                rows = await self._rows(kind.name)
                people += [self._identity(officer, row, one) async for row, one in self._opened(rows)]
        persons, found = Persons(people), []
        for kind in kinds:
            if kind.regime == PUBLIC_LIST and people:
                async for row, entry in self._opened(await self._rows(kind.name)):
                    name = str(entry.content["listing"]["list"])
                    if _listed(entry, listed or name) and entry.content["subject"] == "person":
                        matches = persons.matches(self._identity(officer, row, entry))
                        found += [(match, name) for match in matches if match.score >= CANDIDATE]
        return found

    def _identity(self, officer: Officer, row: RecordRow, record: CanonicalRecord) -> Identity:
        """Of the fields that the officer may see alone: a reason must not tell of another."""
        now, levels = self._g.clock.now(), self._g.levels
        return identity(
            row.handle,
            (
                field
                for field in fields_of(record, self._g.kinds[record.kind])
                if field.label is None or officer.may_see(field.label, now, levels)
            ),
        )

    # --- reading ------------------------------------------------------------------------------------------------

    async def _rows(self, kind: str) -> list[RecordRow]:
        return await self._g.store.read(lambda tx: tx.select(RecordRow, {"kind": kind, "latest": True}))

    async def _opened(self, rows: Sequence[RecordRow]) -> AsyncIterator[tuple[RecordRow, CanonicalRecord]]:
        """These records page by page; one that was purged meanwhile is left out."""
        for start in range(0, len(rows), PAGE):
            page = rows[start : start + PAGE]
            for row, body in zip(page, await self._bodies(page), strict=True):
                if body is not None:
                    yield row, msgspec.json.decode(body.record, type=CanonicalRecord)
            await asyncio.sleep(0)

    async def _bodies(self, page: Sequence[RecordRow]) -> list[RecordBody | None]:
        await self._g.vault.unlock(
            await self._g.store.read(lambda tx: keys_of(tx, [row.key for row in page]))
        )
        return await self._g.store.read(lambda tx: [self._body(tx, row) for row in page])

    def _body(self, tx: ReadTx, row: RecordRow) -> RecordBody | None:
        try:
            return self._g.vault.open(tx, row.body, RecordBody)
        except NotFound:
            return None


def _listed(record: CanonicalRecord, name: str) -> bool:
    listing = record.content["listing"]
    return bool(listing["list"] == name and listing["state"] == "listed")


def _delisted(
    record: CanonicalRecord, day: str, whole: calls.ListComplete, officer: Officer
) -> CanonicalRecord:
    listing = record.content["listing"] | {"state": "delisted", "gone_on": day}
    return msgspec.structs.replace(
        record,
        content=record.content | {"listing": listing},
        extracted_at=whole.generated,
        handed_over_by=officer.id,
    )

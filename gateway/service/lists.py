"""Published lists beside our records: what a list holds no more, and which imported persons may be on it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import msgspec

from gateway.errors import NotFound, RequestInvalid, RoleMissing
from gateway.flow.matching import CANDIDATE, Identity, Match, Persons, identity
from gateway.model.officer import Officer
from gateway.model.record import CanonicalRecord, fields_of
from gateway.model.rows import RecordRow
from gateway.ports import ReadTx
from gateway.service import calls
from gateway.service.contents import RecordBody
from gateway.service.context import Gateway
from gateway.service.imports import PUBLIC_LIST, Imports, require_made
from gateway.service.vault import keys_of

#: Records opened at once: memory stays at that many, and the loop gets its turn after some 60 ms.
PAGE = 100

#: Entries a list may lose without a second person's word: a tenth, or of a short one ten, if that is no more than half.
#: A file cut off at a row's end looks like a list that shrank, and so does one that somebody made shorter.
MOST_GONE_SHARE, MOST_GONE = 10, 10

#: The time in which it may lose that many: counted over each import alone, ten more would go with every one.
GONE_WITHIN = timedelta(days=30)


class Lists:
    """What concerns a list as a whole."""

    def __init__(self, gateway: Gateway, imports: Imports) -> None:
        self._g, self._imports = gateway, imports

    # --- what is gone -------------------------------------------------------------------------------------------

    async def complete(self, officer: Officer, whole: calls.ListComplete) -> tuple[int, int]:
        """How many entries the list holds no more, and how many of them are marked now. Repeating changes nothing.

        (1) a list from the future is none; that one really lost so much is not for whoever hands lists over to say;
        (2) gone are the listed entries that older lists alone brought, landed are those that this one brought or
        renewed: both are counted in the store, no caller's word; (3) nothing is marked unless as many landed as the
        file holds: one that could not be read may be one that seems gone; (4) nor when more went in `GONE_WITHIN` than
        lists lose, unless (1) says so; (5) a marked entry is a new version: delisted, with the date of the list.
        Raises `RequestInvalid`, `RecordInvalid` for (1), `RoleMissing`.
        """
        kind, name = self._kind(whole.kind)
        # (1)
        require_made(whole.generated, self._g.clock.now())
        if whole.shrunk:
            self._require_second(officer)
        # (2)
        gone: list[RecordRow] = []
        landed = lost = 0
        async for row, record in self._opened(await self._rows(kind)):
            if record.content["listing"]["list"] != name:
                continue
            if record.content["listing"]["state"] != "listed":
                lost += row.extracted_at > whole.generated - GONE_WITHIN
            elif row.extracted_at < whole.generated:
                gone.append(row)
            else:
                landed += row.extracted_at == whole.generated
        # (3) (4)
        half = (landed + len(gone) + lost) // 2
        most = max(min(MOST_GONE, half), landed // MOST_GONE_SHARE)
        if not landed or landed < whole.entries or (len(gone) + lost > most and not whole.shrunk):
            return len(gone), 0
        # (5)
        day = whole.generated.date().isoformat()
        because = {"list": name, "gone": len(gone), "shrunk": whole.shrunk}
        for start in range(0, len(gone), PAGE):
            marked = [
                _delisted(record, day, whole, officer)
                async for _, record in self._opened(gone[start : start + PAGE])
            ]
            await self._imports.store(officer, kind, marked, because)
        return len(gone), len(gone)

    def _require_second(self, officer: Officer) -> None:
        """An approver who can hand no list over, under no other entry of the same person either."""
        entries = [one for one in self._g.directory.officers.values() if one.person == officer.person]
        if "approver" not in officer.roles or any("requester" in one.roles for one in entries):
            raise RoleMissing("that a list really shrank is for an approver to say who hands over none")

    def _kind(self, name: str) -> tuple[str, str]:
        """Kind and list of ``sanctions-entry/1.0/un``; raises `RequestInvalid`."""
        kind, _, listed = name.rpartition("/")
        if kind not in self._g.kinds or self._g.kinds[kind].regime != PUBLIC_LIST or not listed:
            raise RequestInvalid("there is no list of this name", diagnostic={"field": "kind"})
        return kind, listed

    # --- who may be on it ---------------------------------------------------------------------------------------

    async def bands(self, officer: Officer, name: str) -> tuple[dict[str, int], list[str]]:
        """Candidates of one list by band, and the handles that were counted; no band at all, not a zero, for an officer
        without need to know of persons and lists."""
        kind, listed = self._kind(name)
        persons, lists = self._known(officer)
        if not persons or kind not in lists:
            return {}, []
        found = [match for match, _ in await self._candidates(officer, listed)]
        counted = Counter(match.band for match in found)
        handles = {handle for match in found for handle in (match.person, match.entry)}
        bands = {"strong": counted["strong"], "likely": counted["likely"], "weak": counted["weak"]}
        return bands, sorted(handles)

    async def matches(self, officer: Officer, wanted: calls.FindMatches, limit: int) -> list[calls.MatchView]:
        """A page of candidates, best first. Nothing is stored and nothing linked: each call compares anew."""
        found = []
        for match, listed in await self._candidates(officer, wanted.list):
            id_ = f"{999 - match.score:03d}/{match.entry}/{match.person}"
            if match.score >= wanted.minimum and id_ > wanted.after:
                found.append((id_, match, listed))
        found.sort(key=lambda one: one[0])
        return [
            calls.MatchView(
                id=id_,
                person=match.person,
                entry=match.entry,
                list=listed,
                score=match.score,
                band=match.band,
                reasons=tuple(calls.MatchPoint(one.code, one.points) for one in match.reasons),
                person_name=match.names[0],
                entry_name=match.names[1],
            )
            for id_, match, listed in found[:limit]
        ]

    def _known(self, officer: Officer) -> tuple[list[str], list[str]]:
        """Kinds of persons and of listed entries that the officer needs to know. No other is compared: who could have a
        guess compared with records of theirs would learn from the score what they hold."""
        kinds = [kind for kind in self._g.kinds.values() if officer.needs_to_know(kind.name)]
        persons = [kind.name for kind in kinds if kind.regime != PUBLIC_LIST and "/names/*" in kind.fields]
        return persons, [kind.name for kind in kinds if kind.regime == PUBLIC_LIST]

    async def _candidates(self, officer: Officer, listed: str) -> list[tuple[Match, str]]:
        """Every candidate with its list, of the kinds that the officer needs to know and within the clearance.

        Persons are held in memory, entries pass by page by page.
        """
        kinds, lists = self._known(officer)
        people: list[Identity] = []
        for kind in kinds if lists else ():
            rows = await self._rows(kind)
            people += [self._identity(officer, row, one) async for row, one in self._opened(rows)]
        persons, found = Persons(people), []
        for kind in lists if people else ():
            async for row, entry in self._opened(await self._rows(kind)):
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

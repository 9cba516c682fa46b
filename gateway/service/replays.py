"""Replay: every decision of the master log since a day, made again under candidate documents. Changes nothing."""

from __future__ import annotations

import asyncio
from datetime import datetime
from functools import lru_cache
from typing import TypeVar

import msgspec

from gateway.errors import NotFound, RequestInvalid
from gateway.flow.change import decode_settings
from gateway.flow.replay import (
    Candidate,
    Case,
    Cause,
    Ended,
    Gone,
    Replayed,
    compare,
    context_of,
    read_terms,
)
from gateway.model.officer import Officer
from gateway.model.record import CanonicalRecord
from gateway.model.rows import BodyRow, DirectoryRow, EntryBodyRow, EntryRow, KeyRow, RecordRow, ReleaseRow
from gateway.model.time import Instant, rfc3339
from gateway.policy.rules import Policy, load_policy
from gateway.ports import ReadTx
from gateway.service import calls
from gateway.service.contents import Decided, RecordBody, ReleaseBody
from gateway.service.context import Gateway
from gateway.service.ledger import Detail
from gateway.service.operation import note_look
from gateway.service.vault import keys_of

T = TypeVar("T")

#: Entries looked at in one read: a tenth of a second, in which the gateway does nothing else.
SCANNED = 2000

#: Decisions made again in one call, some milliseconds each; the caller asks for the next ones.
MOST_CASES = 100

#: Events of the master log that are decisions about a release.
DECIDED = ("decision", "release")

#: A policy of a version long past takes some 20 ms to compile, and decides many cases of a page.
_policy = lru_cache(maxsize=4)(load_policy)


class _Entry(msgspec.Struct, frozen=True):
    """Just enough of a master entry to know whether it is a decision of the time asked for."""

    at: Instant
    event: str
    subject: str


class Replays:
    """Reads the log, and decides again."""

    def __init__(self, gateway: Gateway) -> None:
        self._g = gateway

    async def page(self, officer: Officer, params: calls.Replay) -> calls.ReplayPage:
        """Some cases from a position on, in the order of the log; an entry says that somebody looked.

        Which documents are the candidate's, none given: those in force now. Raises `PolicyInvalid` or `RequestInvalid`
        for one that does not load.
        """
        candidate = self._candidate(params)
        entries, following = await self._g.store.read(
            lambda tx: self._entries(tx, params.since, params.after)
        )
        await self._looked(officer, params, len(entries))
        replayed = Replayed()
        for position, entry in entries:
            try:
                case, then = await self._case(position, entry)
                reproduced, difference = compare(case, then, candidate)
            except Gone as gone:
                replayed += Replayed(cases=1, causes={gone.cause: 1})
                continue
            unreproduced = () if reproduced else (case.id,)
            differences = (difference,) if difference is not None else ()
            replayed += Replayed(1, {}, unreproduced, differences, self._ended(case.ctx.partner.org))
            await asyncio.sleep(0)  # let others in between two decisions
        return calls.ReplayPage(following, replayed)

    async def case(self, position: int) -> Case:
        """The decision at this position of the master log. Raises `NotFound` for anything else there."""
        row = await self._g.store.read(lambda tx: tx.get(EntryRow, self._g.ledger.master, position))
        entry = None if row is None else msgspec.json.decode(row.entry, type=_Entry)
        if entry is None or entry.event not in DECIDED:
            raise NotFound("there is no decision at this position of the master log")
        return (await self._case(position, entry))[0]

    def _ended(self, partner: str) -> dict[Ended, int]:
        """What is no more of those whom a decision was about."""
        directory = self._g.directory
        entry = directory.partners.get(partner)
        if entry is None or entry.stopped:
            return {"partner-left": 1}
        return {} if partner in directory.agreements else {"agreement-ended": 1}

    def _candidate(self, params: calls.Replay) -> Candidate:
        directory = self._g.directory
        if not (params.policy or params.settings or params.agreement):
            return Candidate(directory.policy, directory.settings)
        try:
            return Candidate(
                policy=load_policy(params.policy) if params.policy else None,
                settings=decode_settings(params.settings) if params.settings else None,
                terms=read_terms(params.agreement) if params.agreement else None,
            )
        except RequestInvalid as fault:
            raise RequestInvalid(fault.detail, diagnostic={"field": "candidate"}) from None

    def _entries(self, tx: ReadTx, since: datetime, after: int) -> tuple[list[tuple[int, _Entry]], int]:
        """Decisions after a position, and the position looked at last; -1 at the end of the log."""
        rows = tx.select(
            EntryRow,
            {"origin": self._g.ledger.master},
            at_least=("position", after + 1),
            order="position",
            limit=SCANNED,
        )
        found: list[tuple[int, _Entry]] = []
        for row in rows:
            entry = msgspec.json.decode(row.entry, type=_Entry)
            if entry.event in DECIDED and entry.at >= since:
                found.append((row.position, entry))
                if len(found) == MOST_CASES:
                    return found, row.position
        return found, rows[-1].position if len(rows) == SCANNED else -1

    async def _case(self, position: int, entry: _Entry) -> tuple[Case, Policy | None]:
        """The case of an entry, and its policy if it is still known. Raises `Gone`."""
        gateway = self._g
        decided = await self._opened(position)
        record = await self._record(entry, decided.considered.version)
        ctx = context_of(decided.considered, record, gateway.kinds, gateway.levels)
        name = entry.subject if entry.event == "release" else f"entry {position}"
        sha256 = decided.considered.policy_sha256
        documents = await gateway.store.read(
            lambda tx: tx.select(DirectoryRow, {"kind": "policy", "sha256": sha256}, limit=1)
        )
        then = _policy(documents[0].document) if documents else None
        return Case(name, sha256, ctx, decided.decision), then

    async def _opened(self, position: int) -> Decided:
        gateway, master = self._g, self._g.ledger.master
        link = await gateway.store.read(lambda tx: tx.get(EntryBodyRow, master, position))
        if link is None:
            raise Gone("the detail of this entry is not stored here any more", "detail-erased")
        detail = await self._open(link.body, Detail, "detail-erased")
        try:
            return msgspec.msgpack.decode(detail.detail, type=Decided)
        except msgspec.MsgspecError:  # another kind of release, or one of an older version
            raise Gone("this entry keeps no context to decide again", "no-context") from None

    async def _record(self, entry: _Entry, version: int) -> CanonicalRecord:
        """The record decided on: of a release as frozen in it, of a denial as imported, while it is held."""
        if entry.event == "release":
            release = await self._g.store.read(lambda tx: tx.get(ReleaseRow, entry.subject))
            raw = (await self._open(release.body, ReleaseBody, "record-erased")).record if release else b""
        else:
            held = await self._g.store.read(lambda tx: tx.get(RecordRow, entry.subject, version))
            raw = (await self._open(held.body, RecordBody, "record-erased")).record if held else b""
        if not raw:
            raise Gone("this record is not stored here any more", "record-purged")
        return msgspec.json.decode(raw, type=CanonicalRecord)

    async def _open(self, body: str, wanted: type[T], cause: Cause) -> T:
        """A body in the clear. Raises `Gone`, for this cause, where it or its key was erased."""
        gateway = self._g

        def keys(tx: ReadTx) -> list[KeyRow]:
            row = tx.get(BodyRow, body)
            return keys_of(tx, [row.key]) if row else []

        await gateway.vault.unlock(await gateway.store.read(keys))
        try:
            return await gateway.store.read(lambda tx: gateway.vault.open(tx, body, wanted))
        except NotFound as error:
            raise Gone(error.detail, cause) from None

    async def _looked(self, officer: Officer, params: calls.Replay, cases: int) -> None:
        """Records are read by a machine alone, but they are read: an entry says who asked for how many."""
        detail = {"what": "replay", "since": rfc3339(params.since), "after": params.after, "cases": cases}
        await note_look(self._g, officer, "", detail)

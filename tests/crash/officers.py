"""The officers' side: every step is repeated until it is acknowledged, whatever dies in between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, TypeVar

import aiohttp
import msgspec

from gateway.cli.client import DeskClient, Identity
from gateway.cli.staging import BASIS, BE, FR, KIND, Stage
from gateway.errors import Conflict, GatewayError, Unavailable
from gateway.flow.change import digest
from gateway.model.decision import Statement
from gateway.service import calls
from tests.crash.plan import Gate, Ledger, Plan, batches

T = TypeVar("T")

#: Seconds between two tries of one call.
PAUSE_S = 0.1

#: Seconds one call may take before it is made again.
CALL_S = 30.0

#: Pairs of officers' desks that work at the same time.
DESKS = 4

#: States of a release whose approval is in force.
APPROVED = ("queued", "sequenced", "sealed", "attempted", "delivered")


class Denied(Exception):
    """A disclosure that had to be permitted was not, or an approved release was voided."""


class Officers:
    """Requester and approver of the Belgian home, over its control socket."""

    def __init__(self, stage: Stage, plan: Plan, gate: Gate, ledger: Ledger) -> None:
        self._stage, self._plan, self._gate, self._ledger = stage, plan, gate, ledger
        self._requester, self._approver = stage.officers["be-requester"], stage.officers["be-approver"]

    async def work(self) -> None:
        """Disclose and approve everything; several conversations at a time, each strictly in its order."""
        records = self._plan.records()
        async with asyncio.TaskGroup() as desks:
            for desk in range(DESKS):
                mine = list(zip(self._plan.conversations, records, strict=True))[desk::DESKS]
                desks.create_task(self._desk(mine, Random(self._plan.seed + desk)))  # noqa: S311

    async def _desk(self, mine: list[tuple[str, list[str]]], chance: Random) -> None:
        connector = aiohttp.UnixConnector(path=str(self._stage.be.control_socket))
        timeout = aiohttp.ClientTimeout(total=CALL_S)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            turns = [(conversation, batches(records, chance)) for conversation, records in mine]
            while turns:
                for turn in list(turns):
                    wanted = next(turn[1], None)
                    if wanted is None:
                        turns.remove(turn)
                        continue
                    while wanted:
                        granted = await self._gate.take(len(wanted))
                        await self._send(session, turn[0], wanted[:granted])
                        wanted = wanted[granted:]

    async def _send(self, session: aiohttp.ClientSession, conversation: str, records: list[str]) -> None:
        """Some records of one conversation: prepare each, endorse all at once, look at each, approve all at once."""
        drafts = [await self._prepare(session, conversation, record) for record in records]
        releases = tuple(draft.release for draft in drafts)
        requester = DeskClient(session, BE, self._requester)
        requested = calls.Endorsed(releases, requester.endorse("request", [one.statement for one in drafts]))
        await self._act(requester, "releases/endorse", requested, ("awaiting-approval",))

        approver = DeskClient(session, BE, self._approver)
        shown = [await self._shown(approver, release) for release in releases]
        approved = calls.Endorsed(releases, approver.endorse("approve", [one.statement for one in shown]))
        await self._act(approver, "releases/approve", approved, APPROVED)
        self._ledger.approved.setdefault(conversation, []).extend(one.message_id for one in drafts)
        await self._gate.approve(len(drafts))

    async def _prepare(
        self, session: aiohttp.ClientSession, conversation: str, record: str
    ) -> calls.DecisionView:
        desk = DeskClient(session, BE, self._requester, f"crash-{record}")
        params = calls.Disclose(record, (FR,), "ct-prevention", BASIS, "synthetic crash run", conversation)
        views: list[calls.DecisionView] = await self._until_answered(
            lambda: desk.call("releases/prepare", params, list[calls.DecisionView], once=True)
        )
        if not views[0].release:
            raise Denied(", ".join(reason.rule for reason in views[0].reasons))
        return views[0]

    async def _act(
        self, desk: DeskClient, operation: str, params: calls.Endorsed, reached: tuple[str, ...]
    ) -> None:
        """Endorse or approve. When the call was done already and only its answer lost, the state says so."""
        try:
            answer = await self._until_answered(lambda: desk.call(operation, params, dict[str, Any]))
        except Conflict:
            self._ledger.repeated["done-before"] += 1
            states = [(await self._shown(desk, release)).state for release in params.releases]
            if not all(state in reached for state in states):
                raise
            return
        if answer.get("voided"):
            raise Denied("an approved release was voided")

    async def _shown(self, desk: DeskClient, release: str) -> calls.ReleaseView:
        view: calls.ReleaseView = await self._until_answered(
            lambda: desk.call("releases/show", calls.Named(release), calls.ReleaseView)
        )
        statement = msgspec.json.decode(view.statement, type=Statement)
        if (statement.payload_sha256, statement.decision_sha256) != (
            digest(view.payload),
            digest(view.document),
        ):
            raise Denied("a statement does not bind the bytes shown")
        return view

    async def _until_answered(self, call: Callable[[], Awaitable[T]]) -> T:
        """Repeat one call until the gateway answers it. Only what is away is waited for; a defect ends the run."""
        while True:
            try:
                return await call()
            except Unavailable as away:
                self._ledger.repeated[away.code] += 1
                await asyncio.sleep(PAUSE_S)


async def import_records(stage: Stage, officer: Identity, raw: bytes) -> None:
    """Hand the extract over, before anything is killed."""
    connector = aiohttp.UnixConnector(path=str(stage.be.control_socket))
    async with aiohttp.ClientSession(connector=connector) as session:
        desk = DeskClient(session, BE, officer)
        imported = await desk.call("records/import", calls.ImportChunk(KIND, 1, raw), calls.Imported)
    if not imported.new:
        raise GatewayError("nothing was imported")

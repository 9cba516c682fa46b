"""A hundred approvals at once on the control socket, over a store on disk, with a quota of fifty."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from aiohttp import web

from adapters.records.synthetic import extract, variation_of
from gateway.model.agreement import Bulk
from gateway.model.rows import OutboxRow, ReservationRow
from gateway.service import calls
from gateway.service.desk_api import DeskApi
from tests.service.test_accumulation import agreed, tallies
from tests.service.test_desk_api import Caller
from tests.service.world import FR, KIND, NOW, World

QUOTA, ASKED = 50, 100


@pytest_asyncio.fixture
async def socket(world_on_disk: World, tmp_path: Path) -> AsyncIterator[Caller]:
    """Officers' clients, each call on a connection of its own, none waiting for another."""
    runner = web.AppRunner(DeskApi(world_on_disk.be.gateway, world_on_disk.be.desk).application())
    await runner.setup()
    path = str(tmp_path / "control.sock")
    await web.UnixSite(runner, path, backlog=ASKED).start()
    async with aiohttp.ClientSession(
        connector=aiohttp.UnixConnector(path, limit=0, force_close=True)
    ) as session:
        yield Caller(world_on_disk, session)
    await runner.cleanup()


@pytest.mark.slow
async def test_a_hundred_approvals_on_the_socket_with_a_quota_of_fifty_give_exactly_fifty(
    socket: Caller,
) -> None:
    """All hundred calls are on the socket before the first is answered; fifty are queued, fifty voided by the quota's
    rule; the same fifty are reserved, counted, sent, and received."""
    world, be = socket.world, socket.world.be
    await agreed(world, Bulk(records=QUOTA, days=30))
    await be.call("be-requester", "records/import", calls.ImportChunk(KIND, 1, extract(ASKED + 20, 1, NOW)))
    clean = [number for number in range(2, ASKED + 21) if not variation_of(number)][:ASKED]
    views = [await be.request(f"BDC-{number:06d}") for number in clean]
    tokens = [be.endorse("be-approver", "approve", [view.statement]) for view in views]
    together = asyncio.Barrier(ASKED)

    async def approve(view: calls.DecisionView, token: str) -> calls.Approved:
        await together.wait()
        answer = await socket.call("be-approver", "releases/approve", calls.Endorsed((view.release,), token))
        assert answer.status == 200, answer.code
        return msgspec.json.decode(answer.body, type=calls.Approved)

    answers = await asyncio.gather(*map(approve, views, tokens))
    voided = {release: reasons for answer in answers for release, reasons in answer.voided.items()}
    left = {view.release for view in views} - voided.keys()
    assert (len(views), len(voided), len(left)) == (ASKED, ASKED - QUOTA, QUOTA)
    assert {reason.rule for reasons in voided.values() for reason in reasons} == {"bdc.bulk"}
    assert {row.release for row in be.rows(ReservationRow)} == left
    assert tallies(be) == {FR: QUOTA}
    await be.send()
    assert len(be.rows(OutboxRow, state="delivered")) == QUOTA
    assert len(world.fr.received()) == QUOTA

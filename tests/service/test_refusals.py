"""Refusals in the master log: one entry a minute for each source and reason, however many there were."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from aiohttp import web

from gateway.errors import SignerUnavailable, UnknownPartner
from gateway.model.rows import EntryBodyRow, EntryRow
from gateway.service.ledger import Detail
from gateway.service.partner_api import BATCH_TYPE, PartnerApi
from gateway.service.refusals import MAX_COUNTED
from gateway.service.tls import TlsEvidence
from tests.service.world import FR, Side, World


async def entries(side: Side) -> list[dict[str, Any]]:
    """Details of the refusals in the master log."""
    log, found = side.gateway.ledger.master, []
    for row in side.rows(EntryRow, origin=log):
        if msgspec.json.decode(row.entry)["event"] == "refused":
            (body,) = side.rows(EntryBodyRow, origin=log, position=row.position)
            detail = await side.store.read(lambda tx, body=body: side.vault.open(tx, body.body, Detail))  # type: ignore[misc]
            found.append(msgspec.msgpack.decode(detail.detail))
    return found


async def test_refusals_are_one_entry_for_each_source_and_reason(world: World) -> None:
    """Counted, written once, encrypted; nothing counted, nothing written."""
    be = world.be
    for _ in range(3):
        be.refusals.count("192.0.2.1", "handshake")
    be.refusals.count("192.0.2.1", "partner")
    for _ in range(2):
        await be.refusals.flush()
    assert await entries(be) == [
        {"source": "192.0.2.1", "reason": "handshake", "count": 3},
        {"source": "192.0.2.1", "reason": "partner", "count": 1},
    ]
    assert all(b"192.0.2.1" not in row.entry for row in be.rows(EntryRow))


async def test_a_flood_of_sources_is_bounded(world: World) -> None:
    """Beyond the bound everything is one entry of reason `other`, and no refusal is left out of the sum."""
    be = world.be
    for number in range(MAX_COUNTED + 50):
        be.refusals.count(f"source-{number}", "full")
    be.refusals.count("source-0", "full")
    await be.vault.reserve(MAX_COUNTED + 1)
    await be.refusals.flush()
    found = await entries(be)
    assert len(found) == MAX_COUNTED + 1
    assert found[-1] == {"source": "", "reason": "other", "count": 50}
    assert found[0]["count"] == 2


async def test_what_could_not_be_written_is_kept(world: World) -> None:
    """The signer is away and no key at hand: the counts wait for the next flush, with those that came meanwhile."""
    be = world.be
    be.vault._pool.clear()
    be.refusals.count("192.0.2.1", "full")
    world.faults.arm(0, "away-before")
    with pytest.raises(SignerUnavailable):
        await be.refusals.flush()
    be.refusals.count("192.0.2.1", "full")
    await be.refusals.flush()
    assert [one["count"] for one in await entries(be)] == [2]


@pytest_asyncio.fixture
async def partner_side(world: World) -> AsyncIterator[tuple[PartnerApi, str]]:
    """The partner listener's application over plain TCP: only who asks is given, not proven."""
    api = PartnerApi(world.be.gateway, world.be.intake, world.be.refusals)
    api.evidence = lambda _transport: TlsEvidence(FR, "", "", "", 1, 2, "TLSv1.3", "")
    runner = web.AppRunner(api.application(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield api, f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_a_post_refused_whole_is_counted(world: World, partner_side: tuple[PartnerApi, str]) -> None:
    """Garbage, another media type, another path: by organisation and reason; without evidence, by reason alone."""
    api, url = partner_side
    async with aiohttp.ClientSession() as session:
        for content in (BATCH_TYPE, "text/plain"):
            headers = {"Content-Type": content}
            async with session.post(f"{url}/exchange/v1/messages", data=b"x", headers=headers) as answer:
                assert answer.status == 400
        async with session.get(f"{url}/elsewhere") as answer:
            assert answer.status == 404

        def nobody(_transport: object) -> TlsEvidence:
            raise UnknownPartner("the connection is closed")

        api.evidence = nobody
        async with session.post(f"{url}/exchange/v1/messages", data=b"x") as answer:
            assert answer.status == 403
    await world.be.refusals.flush()
    assert await entries(world.be) == [
        {"source": FR, "reason": "malformed", "count": 2},
        {"source": FR, "reason": "http-404", "count": 1},
        {"source": "", "reason": "unknown-partner", "count": 1},
    ]

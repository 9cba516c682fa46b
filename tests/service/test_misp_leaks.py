"""Four reports of users of MISP that something reached who should not have it, through the whole service: records
imported, asked for, approved and sent, and what the partner has in the end.

What happened there stands in ``tests/policy/test_misp_leaks.py``, rule by rule.
"""

from __future__ import annotations

import copy
import json
from datetime import timedelta
from typing import Any

import pytest

from adapters.records.synthetic import persons
from gateway.errors import UnknownPartner
from gateway.model.rows import EntryRow, OutboxRow, ReleaseRow
from gateway.service import calls
from tests.service.world import BE, CLEAN, FR, KIND, NOW, PERSONS, World, opened

ELSEWHERE = "nld.aivd-demo"
BLOCKED, PASSED = "Onderschepte Naam (synthetisch)", "Doorgelaten Naam (synthetisch)"


async def imported(world: World, *changed: dict[str, Any]) -> None:
    """These lines, extracted an hour after the world's own."""
    world.clock.advance(seconds=3600)
    raw = b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in changed)
    answer = await world.be.call("be-requester", "records/import", calls.ImportChunk(KIND, 1, raw))
    assert (answer.changed, answer.bad) == (len(changed), ())


def line(record: str, **label: Any) -> dict[str, Any]:
    """A person's line as it would be extracted next, with these axes of its label changed."""
    number = int(record.removeprefix("BDC-"))
    extracted = copy.deepcopy(list(persons(PERSONS, 1, NOW + timedelta(hours=1)))[number - 1])
    extracted["label"] |= label
    return dict(extracted)


async def refused(world: World, *records: str) -> set[str]:
    """Ask for each, by itself; every one is denied. The rules that say why."""
    views = [await world.be.prepare(record) for record in records]
    assert {view.effect for view in views} == {"DENY"}
    return {reason.rule for view in views for reason in view.reasons}


async def nothing_left(world: World) -> None:
    """Nothing is queued; the partner got no byte, holds nothing, and its log of us has no entry about any release."""
    await world.be.send()
    assert world.be.rows(OutboxRow) == []
    assert (world.be.wire.batches, world.be.wire.posts) == ([], [])
    assert world.fr.received() == []
    assert world.be.rows(EntryRow, origin=f"ecluse/{BE}/partner/{FR}") == []


async def test_3378_sending_everything_at_once_asks_every_item_again(world: World) -> None:
    """MISP #3378: one of three records waits with an item that is blocked, one is blocked after its approval. All are
    sent in one go: the item is in no byte the partner got, the record blocked since is not there, the third is."""
    first, second, third = CLEAN[:3]
    blocked = line(first)
    for text in (PASSED, BLOCKED):
        blocked["content"]["names"].append(
            {"type": "alias", "text": text, "script": "Latn", "quality": "low"}
        )
    place = len(blocked["content"]["names"]) - 1
    mark = {**blocked["label"], "tlp": "RED"}
    blocked["labels"] = [{"pointer": f"/names/{place}", "label": mark}]
    await imported(world, blocked)
    views = [await world.be.request(record) for record in (first, second, third)]
    await world.be.approve(*views)
    await world.be.call("be-approver", "embargoes/add", calls.PlaceEmbargo(second, b"magistrate"))
    await world.be.send()
    payloads = [message.payload for post in world.be.wire.posts for message in opened(world, post.batch)]
    assert len(payloads) == len(world.fr.received()) == 2
    assert PASSED.encode() in b"".join(payloads)
    assert b"Onderschepte" not in b"".join(payloads)
    assert {world.be.release(view).state for view in (views[0], views[2])} == {"delivered"}
    assert world.be.release(views[1]).state == "voided"


async def test_4200_an_empty_release_list_reaches_nobody(world: World) -> None:
    """MISP #4200: records released to an empty list are denied one by one, and nothing at all reaches the partner."""
    await imported(world, *(line(record, releasable_to=[]) for record in CLEAN[:3]))
    assert await refused(world, *CLEAN[:3]) == {"label.releasable"}
    await nothing_left(world)


async def test_1720_who_is_not_named_receives_nothing(world: World) -> None:
    """MISP #1720: the partner is connected and has an agreement; records for others of its state and for another
    are denied to it, and nothing reaches it."""
    first, second = CLEAN[:2]
    await imported(
        world,
        line(first, releasable_to=["BEL", "fra.other-demo"]),
        line(second, releasable_to=["BEL", "NLD"]),
    )
    assert await refused(world, first, second) == {"label.releasable"}
    await nothing_left(world)


async def test_1720_nobody_fetches_what_is_another_s(world: World) -> None:
    """MISP #1720: there the fourth organisation pulled. Here a partner can only ask for the receipt of what it sent
    itself: another's message and one that never was are the same answer, and who is no partner gets none."""
    (view,) = await world.be.disclose(CLEAN[0])
    await world.be.send()
    message = world.be.release(view).message_id
    assert await world.fr.intake.receipt(BE, message) is not None
    assert (
        await world.be.intake.receipt(FR, message) is await world.be.intake.receipt(FR, "never sent") is None
    )
    with pytest.raises(UnknownPartner):
        await world.fr.intake.receipt(ELSEWHERE, message)


async def test_2455_what_another_gave_us_goes_no_further(world: World) -> None:
    """MISP #2455: records that another state's service gave us are denied, whoever asks, while it has not consented."""
    lines = [{**line(record), "originator": ELSEWHERE} for record in CLEAN[:2]]
    await imported(world, *lines)
    assert await refused(world, *CLEAN[:2]) == {"third-party"}
    await nothing_left(world)
    assert {row.state for row in world.be.rows(ReleaseRow)} == set()

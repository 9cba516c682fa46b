"""What becomes of messages whose authorisation or derogation is withdrawn, and of grounds in their last days."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from adapters.records.synthetic import extract
from gateway.errors import Conflict
from gateway.policy.context import Transfer
from gateway.service import calls
from gateway.service.calls.grounds import WithdrawGround
from gateway.service.calls.notices import ListNotices, PrepareNotice
from tests.service.test_accumulation import configured
from tests.service.test_grounds import (
    AUTHORISATION,
    CONSENT,
    DEROGATION,
    EXEMPLAR,
    JUDICIAL,
    confirm,
    confirmed,
    record,
)
from tests.service.world import CLEAN, KIND, NOW, Side, World


async def told(side: Side, duty: Any = "must") -> list[tuple[str, ...]]:
    """What is listed of that duty, by its codes."""
    return [one.changes for one in await side.call("be-requester", "notices/list", ListNotices(duty=duty))]


async def test_what_left_must_be_recalled_when_its_authorisation_is_withdrawn(world: World) -> None:
    """The message as a whole could not have left without it: a duty, seen to by a recall. One recorded and confirmed
    anew excuses it, and so does nothing else; that a last day is over is no duty."""
    be = world.be
    await be.call("be-requester", "records/import", calls.ImportChunk(KIND, 1, extract(80, 1, NOW)))
    ground = await confirmed(be, AUTHORISATION, JUDICIAL)
    (view,) = await be.disclose(JUDICIAL)
    await be.send()
    assert await told(be) == []
    await be.call("be-approver", "grounds/withdraw", WithdrawGround(ground.item.id, "invented"))
    assert await told(be) == [("authorisation-withdrawn",)]
    anew = await confirmed(be, AUTHORISATION, JUDICIAL)
    assert await told(be) == []
    await be.call("be-approver", "grounds/withdraw", WithdrawGround(anew.item.id, "invented"))
    (one,) = await be.call("be-requester", "notices/list", ListNotices(duty="must"))
    done = await be.call("be-requester", "notices/prepare", PrepareNotice(one.id))
    assert (done.what, done.message_id, done.action) == ("recall", view.message_id, "withdrawn")


async def test_what_left_must_be_recalled_when_its_derogation_is_withdrawn(world: World) -> None:
    """Another derogation in its place excuses what left only where it is about as much."""
    be = world.be
    await configured(
        be, eu_states=("BEL",), transfers={"FRA": Transfer("derogation", "invented")}, ungraded_kinds=(KIND,)
    )
    ground = await confirmed(be, DEROGATION, CLEAN[0])
    await be.disclose(CLEAN[0])
    await be.send()
    await be.call("be-approver", "grounds/withdraw", WithdrawGround(ground.item.id, "invented"))
    assert await told(be) == [("derogation-withdrawn",)]
    await confirmed(be, msgspec.structs.replace(DEROGATION, data=("/category",)), CLEAN[0])
    assert await told(be) == [("derogation-withdrawn",)]
    world.clock.advance(seconds=1)
    await confirmed(be, DEROGATION, CLEAN[0])
    assert await told(be) == []


@pytest.mark.parametrize(
    ("ground", "name"),
    [(CONSENT, EXEMPLAR), (AUTHORISATION, EXEMPLAR), (DEROGATION, EXEMPLAR)],
    ids=["consent", "authorisation", "derogation"],
)
async def test_a_ground_that_comes_to_its_last_day_is_spoken_of(world: World, ground: Any, name: str) -> None:
    """A possibility in its last fourteen days, due when the last one is over. Neither before another
    officer has confirmed it, nor withdrawn, nor to whom does not need to know; there is nothing to sign."""
    be = world.be
    ending = (f"{msgspec.to_builtins(ground)['kind']}-ending",)
    near = msgspec.structs.replace(ground, until="2026-12-04")
    await confirmed(be, msgspec.structs.replace(ground, until="2026-12-05"), name)
    view = await record(be, near, name)
    assert await told(be, "may") == []
    await confirm(be, view)
    (one,) = await be.call("be-requester", "notices/list", ListNotices())
    assert (one.id, one.changes, one.duty, one.record) == (view.item.id, ending, "may", view.item.record)
    assert (one.due, one.overdue) == (datetime(2026, 12, 5, tzinfo=UTC), False)
    assert await told(be) == []
    assert await be.call("be-stranger", "notices/list", ListNotices()) == []
    for params in (ListNotices(state="done"), ListNotices(after=one.id), ListNotices(record=CLEAN[1])):
        assert await be.call("be-requester", "notices/list", params) == []
    with pytest.raises(Conflict, match="asked for anew"):
        await be.call("be-requester", "notices/prepare", PrepareNotice(one.id))
    world.clock.advance(days=14)
    assert await told(be, "may") == [ending]  # the other one
    (other,) = await be.call("be-requester", "notices/list", ListNotices(duty="may"))
    await be.call("be-approver", "grounds/withdraw", WithdrawGround(other.id, "invented"))
    assert await told(be, "may") == []

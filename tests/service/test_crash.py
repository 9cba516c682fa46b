"""The crash table: every call that leaves a gateway on the way of a message fails, or works and is never heard of.

Each row says in which state the message is then; after a restart, or a second try, it is delivered all the same: once,
in order, with one entry a message and one a receipt in each log.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
import pytest_asyncio

from gateway.errors import Conflict
from gateway.model.rows import (
    EndorsementRow,
    InboxRow,
    OutboxRow,
    QuarantineRow,
    ReceiptRow,
    ReleaseRow,
    ReservationRow,
)
from gateway.service import calls
from tests.service.faults import Killed
from tests.service.founding import Founded
from tests.service.world import BE, CLEAN, FR, World


class Row(NamedTuple):
    """A call in its turn, and the message's state at the sender when the call failed, or when only its answer did."""

    call: str
    failed: str
    unheard: str


#: Two messages of one lane, from approval to receipt, right after both gateways started.
TABLE = (
    Row(f"{BE} unwrap", "queued", "queued"),
    Row(f"{BE} data_keys", "queued", "queued"),
    Row(f"{BE} commit", "queued", "sequenced"),  # C4
    Row(f"{BE} commit", "sequenced", "sequenced"),  # the recheck before the seal: withdraws nothing here
    Row(f"{BE} heads", "sequenced", "sequenced"),
    Row(f"{BE} seal", "sequenced", "sequenced"),
    Row(f"{BE} commit", "sequenced", "sealed"),  # C5
    Row(f"{BE} commit", "sealed", "attempted"),
    Row(f"{BE} deliver", "attempted", "attempted"),
    Row(f"{FR} open", "attempted", "attempted"),
    Row(f"{FR} open", "attempted", "attempted"),
    Row(f"{FR} data_keys", "attempted", "attempted"),
    Row(f"{FR} terms", "attempted", "attempted"),  # of whom the messages mention
    Row(f"{FR} commit", "attempted", "attempted"),  # the receiver's: messages, entries, receipt statement
    Row(f"{FR} receipts", "attempted", "attempted"),
    Row(f"{FR} commit", "attempted", "attempted"),  # the receipt, signed
    Row(f"{BE} commit", "attempted", "delivered"),  # C6
)

DELIVER, RECEIVED_AT = (
    8,
    13,
)  # once one of these has worked, heard of or not, the receiver holds both messages


@pytest_asyncio.fixture
async def approved(founded: Founded) -> AsyncIterator[tuple[World, list[calls.DecisionView]]]:
    """Two approved messages of one conversation, and both gateways freshly started."""
    world = await World(founded).boot()
    views = await world.be.disclose(*CLEAN[:2])
    await world.be.boot()
    await world.fr.boot()
    yield world, views
    world.close()


def check_delivered(world: World, views: list[calls.DecisionView]) -> None:
    """Nothing lost, nothing twice, order kept, and every log proves itself."""
    received = world.fr.received()
    assert [(row.message_id, row.seq) for row in received] == [
        (view.message_id, seq) for seq, view in enumerate(views, 1)
    ]
    assert [world.be.release(view).state for view in views] == ["delivered"] * len(views)
    assert {row.state for row in world.be.rows(OutboxRow)} == {"delivered"}
    assert len(world.be.rows(OutboxRow)) == len(world.be.rows(ReservationRow)) == len(views)
    assert len(world.be.rows(EndorsementRow)) == 2 * len(views)
    (given,), (got,) = world.fr.rows(ReceiptRow), world.be.rows(ReceiptRow)
    assert (given.id, given.signed, given.direction) == (got.id, True, "out")
    assert world.be.log_size() == world.fr.log_size() == len(views) + 1
    assert world.fr.rows(QuarantineRow) == []


async def check_logs(world: World) -> None:
    for side in world.sides.values():
        await side.gateway.checkpoint_logs(
            [side.gateway.ledger.master, side.gateway.ledger.of_partner(side.partner)]
        )
        assert {verdict.status for verdict in side.verdicts()} == {"verified"}
        assert side.ended == []


async def test_the_table_is_complete(approved: tuple[World, list[calls.DecisionView]]) -> None:
    """An undisturbed way makes exactly the calls of the table, in its order, so no row is missing."""
    world, views = approved
    world.faults.arm(-1, "")
    await world.be.send()
    assert world.faults.calls == [row.call for row in TABLE]
    check_delivered(world, views)
    await check_logs(world)


@pytest.mark.parametrize("mode", ["kill-before", "kill-after"])
@pytest.mark.parametrize("at", range(len(TABLE)))
async def test_killed_at_a_call(approved: tuple[World, list[calls.DecisionView]], at: int, mode: str) -> None:
    """The calling process ends before the call, or between its effect and its answer: the stored state is the row's,
    and after a restart the message arrives once, in order."""
    world, views = approved
    world.faults.arm(at, mode)
    await world.surviving(world.be.send)
    row = TABLE[at]
    assert world.faults.calls[at] == row.call
    expected = row.failed if mode == "kill-before" else row.unheard
    assert {world.be.release(view).state for view in views} == {expected}
    held = at > RECEIVED_AT or (mode == "kill-after" and at in (DELIVER, RECEIVED_AT))
    assert len(world.fr.rows(InboxRow)) == (2 if held else 0)
    await world.be.boot()
    world.clock.advance(seconds=600)
    await world.be.send()
    check_delivered(world, views)
    await check_logs(world)


OUTSIDE = [at for at, row in enumerate(TABLE) if not row.call.endswith("commit")]


@pytest.mark.parametrize("mode", ["away-before", "away-after"])
@pytest.mark.parametrize("at", OUTSIDE)
async def test_away_at_a_call(approved: tuple[World, list[calls.DecisionView]], at: int, mode: str) -> None:
    """A signer or partner that is away for one call, or whose answer is lost: the same process tries again later, with
    the same outcome."""
    world, views = approved
    world.faults.arm(at, mode)
    await world.surviving(world.be.send)
    world.clock.advance(seconds=600)
    await world.be.send()
    check_delivered(world, views)


DESK = ["C1 prepared", "C2 endorsed", "C3 approved"]
STATES = ["", "awaiting-endorsement", "awaiting-approval", "queued"]


@pytest.mark.parametrize("mode", ["kill-before", "kill-after"])
@pytest.mark.parametrize("commit", range(len(DESK)), ids=DESK)
async def test_killed_at_the_desk(world: World, commit: int, mode: str) -> None:
    """Killed around C1, C2 or C3: the release is whole in the state before or after it, and the officers can go on
    from there; one message, one reservation, two endorsements."""
    world.faults.arm(5 + commit, mode)  # five calls to the signer come before C1

    async def desk() -> None:
        await world.be.approve(await world.be.request(CLEAN[0]))

    with pytest.raises(Killed):
        await desk()
    assert world.faults.calls[-1] == f"{BE} commit"
    reached = STATES[commit + (mode == "kill-after")]
    assert [row.state for row in world.be.rows(ReleaseRow)] == ([reached] if reached else [])
    await world.be.boot()
    world.faults.arm(-1, "")
    if not reached:
        view = await world.be.prepare(CLEAN[0])
    (row,) = world.be.rows(ReleaseRow)
    shown = (await world.be.releases.show([row.id]))[0].body
    view = calls.DecisionView(FR, "PERMIT", (), (), row.id, row.message_id, row.conversation, shown.statement)
    if row.state == "awaiting-endorsement":
        token = world.be.endorse("be-requester", "request", [view.statement])
        await world.be.call("be-requester", "releases/endorse", calls.Endorsed((view.release,), token))
    if row.state == "queued":
        with pytest.raises(Conflict):
            await world.be.approve(view)
    else:
        await world.be.approve(view)
    await world.be.send()
    check_delivered(world, [view])
    await check_logs(world)

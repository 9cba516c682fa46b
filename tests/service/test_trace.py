"""What a trace says of a release that ended before its partner had it: why, in words, and when."""

from __future__ import annotations

import pytest

from gateway.model.time import rfc3339
from gateway.service import calls
from tests.service.test_lanes import sealed_not_sent
from tests.service.test_second_looks import revoke_approver_key
from tests.service.world import CLEAN, World


async def last_step(world: World, release: str) -> calls.TraceStep:
    trace = await world.be.call("be-requester", "messages/trace", calls.Named(release))
    step: calls.TraceStep = trace.steps[-1]
    return step


@pytest.mark.parametrize("sealed", [False, True])
async def test_a_voided_release_says_why_and_when(world: World, sealed: bool) -> None:
    """The rule in words with its id, and the time; with a number, the message that withdrew it has the same time."""
    conversation = world.be.ids.uuid()
    if sealed:
        (view,) = await sealed_not_sent(world, conversation, 1)
    else:
        (view,) = await world.be.disclose(CLEAN[0], conversation=conversation)
    await revoke_approver_key(world)
    await world.be.send()
    step = await last_step(world, view.release)
    state = "withdrawn" if sealed else "voided"
    assert step.what.startswith(f"{state}: A signature of the request or the approval holds no more")
    assert step.what.endswith("(endorsement.in-force)")
    assert step.at == rfc3339(world.clock.now())
    trace = await world.be.call("be-requester", "messages/trace", calls.Named(view.release))
    assert [one.at for one in trace.steps if one.what.startswith("number ")] == [step.at] * sealed


async def test_an_officers_end_says_so(world: World) -> None:
    """Cancelled by an officer, at the time it was."""
    (view,) = await world.be.disclose(CLEAN[0])
    await world.be.call("be-requester", "releases/cancel", calls.Ended(view.release, "synthetic"))
    step = await last_step(world, view.release)
    assert (step.what, step.at) == ("cancelled by an officer", rfc3339(world.clock.now()))

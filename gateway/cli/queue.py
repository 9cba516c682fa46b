"""`ecluse queue`: what is on its way or waits, without content; `ecluse trace`: every step of one message."""

from typing import Annotated

import typer

from gateway.cli.shared import Acting, Answer, acting, group, leaving, table

commands = group("What waits and what is on its way.")
tracing = group("Traces.")

Partner = Annotated[str, typer.Argument(metavar="PARTNER")]
Conversation = Annotated[str, typer.Argument(metavar="CONVERSATION")]


@acting(commands, "list")
async def list_queue(
    on: Acting,
    state: Annotated[str, typer.Option("--state", help="Only this state.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=500)] = 100,
) -> Answer:
    """List releases that wait for a signature, and messages on their way."""
    from gateway.service.calls import Page, QueueItem

    found = await on.desk.call("queue/list", Page(limit=limit, state=state), list[QueueItem])
    rows = [
        (one.id, one.state + (" (lane held)" if one.held else ""), one.type, one.partner, one.conversation,
         one.seq or "", one.attempts or "", one.due or "", one.reason, " ".join(one.grounds))
        for one in found
    ]  # fmt: skip
    columns = (
        "release",
        "state",
        "type",
        "partner",
        "conversation",
        "seq",
        "tries",
        "next try",
        "reason",
        "grounds",
    )
    return Answer({"queue": found}, [table(columns, rows)])


@acting(commands, "cancel")
async def cancel(
    on: Acting,
    release: Annotated[str, typer.Argument(metavar="RELEASE")],
    reason: Annotated[str, typer.Option("--reason", help="Why; stays inside.")],
) -> Answer:
    """Cancel a release that has not been sent; one on its way is recalled instead."""
    from gateway.service.calls import Ended

    done: dict[str, str] = await on.desk.call(
        "releases/cancel", Ended(release, reason), dict[str, str], once=True
    )
    return Answer({"release": release, "state": done[release]}, [f"{release}: {done[release]}"])


@acting(commands, "hold")
async def hold(on: Acting, partner: Partner, conversation: Conversation) -> Answer:
    """Stop one lane; what is in it waits."""
    return await _lane(on, "hold", partner, conversation)


@acting(commands, "resend")
async def resend(on: Acting, partner: Partner, conversation: Conversation) -> Answer:
    """Let a lane go on now; a message the partner refused is offered again, the same bytes."""
    return leaving(on, await _lane(on, "resend", partner, conversation))


@acting(commands, "skip")
async def skip(on: Acting, partner: Partner, conversation: Conversation) -> Answer:
    """Give up the message that the partner refused at the head of a lane; the lane goes on."""
    return leaving(on, await _lane(on, "skip", partner, conversation))


async def _lane(on: Acting, what: str, partner: str, conversation: str) -> Answer:
    from gateway.service.calls import LaneCall

    params = LaneCall(partner, conversation)
    done: dict[str, str] = await on.desk.call(f"queue/{what}", params, dict[str, str], once=True)
    document = {"partner": partner, "conversation": conversation, **done}
    return Answer(document, [f"lane {partner} {conversation}: {done['lane']}"])


@acting(tracing, "trace")
async def trace(
    on: Acting, name: Annotated[str, typer.Argument(metavar="ID", help="Release or message.")]
) -> Answer:
    """Show every step, try, receipt and proof of a release or message."""
    from gateway.service.calls import Named, Trace

    found: Trace = await on.desk.call("messages/trace", Named(name), Trace)
    rows = [
        (step.at, step.what, step.by, f"{step.log} #{step.index}" if step.log else "") for step in found.steps
    ]
    if found.message_id:
        about = [
            f"message {found.message_id}, partner {found.partner}, conversation {found.conversation}",
            f"seq {found.seq or '-'}, tries {found.attempts}",
        ]
    else:  # what was said aloud
        about = [f"partner {found.partner}"]
    text = [f"{found.id}: {found.state}", *about, table(("at", "what", "by", "proof"), rows)]
    if found.receipt:
        text.append(f"receipt {found.receipt}")
    return Answer(found, text)

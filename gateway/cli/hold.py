"""`ecluse hold`: what a court or a reviewer still needs is not destroyed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.shared import Acting, Answer, acting, group, read_file, table

if TYPE_CHECKING:
    from gateway.service.calls.erasures import HoldView

commands = group("Legal holds: one officer places one at once, two lift it.")

Authority = Annotated[Path, typer.Option("--authority", help="The authority's signed document.")]


@acting(commands, "add")
async def add(
    on: Acting,
    authority: Authority,
    record: Annotated[str, typer.Argument(metavar="[RECORD]", help="Handle or entity id.")] = "",
    conversation: Annotated[str, typer.Option("--conversation", help="Instead of a record.")] = "",
) -> Answer:
    """Place a hold on a subject, or on a conversation, at once: nothing of it is erased, deleted or purged."""
    from gateway.service.calls.erasures import HoldView, PlaceHold

    params = PlaceHold(read_file(authority), record, conversation)
    view: HoldView = await on.desk.call("holds/add", params, HoldView, once=True)
    return Answer(view, [f"hold {view.id} in force on {view.record or view.conversation}"])


@acting(commands, "lift")
async def lift(
    on: Acting, hold: Annotated[str, typer.Argument(metavar="HOLD")], authority: Authority
) -> Answer:
    """End a hold: the first of two officers proposes it, the second shows the same document and lifts it."""
    from gateway.service.calls.erasures import HoldView, LiftHold

    params = LiftHold(hold, read_file(authority))
    view: HoldView = await on.desk.call("holds/lift", params, HoldView, once=True)
    text = [f"hold {view.id}: {_state(view)}"]
    if view.lifted_at is None:
        text.append("another officer lifts it with the same document: ecluse hold lift " + view.id)
    return Answer(view, text)


@acting(commands, "list")
async def list_holds(
    on: Acting,
    after: Annotated[str, typer.Option("--after", help="Last id of the page before.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=500)] = 100,
) -> Answer:
    """List holds, those that were lifted too."""
    from gateway.service.calls import Page
    from gateway.service.calls.erasures import HoldView

    found: list[HoldView] = await on.desk.call("holds/list", Page(after, limit), list[HoldView])
    rows = [
        (one.id, one.record or one.conversation, one.placed_at, one.placed_by, _state(one)) for one in found
    ]
    return Answer({"holds": found}, [table(("hold", "on", "placed", "by", "state"), rows)])


def _state(view: "HoldView") -> str:
    if view.lifted_at is not None:
        return f"lifted by {view.lift_proposed_by} and {view.lifted_by}"
    return f"in force, {view.lift_proposed_by} proposes to lift it" if view.lift_proposed_by else "in force"

"""`ecluse subject`: two records are about one person, or are not after all. Two officers say so."""

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.shared import Acting, Answer, acting, confirm, group, one_line, show, table
from gateway.errors import RoleMissing

if TYPE_CHECKING:
    from gateway.service.calls.subjects import ActView

commands = group("Subjects that are one person: one officer proposes, another confirms.")

First = Annotated[str, typer.Argument(metavar="RECORD", help="Handle or entity id.")]
Second = Annotated[str, typer.Argument(metavar="OTHER", help="Handle or entity id.")]
Proposal = Annotated[str, typer.Argument(metavar="PROPOSAL")]
Why = Annotated[str, typer.Option("--reason", help="Why; stays inside.")]


@acting(commands, "link")
async def link(on: Acting, record: First, other: Second, reason: Why) -> Answer:
    """Propose that both are one person: what a partner holds of either is then held of one."""
    return await _propose(on, "link", record, other, reason)


@acting(commands, "split")
async def split(on: Acting, record: First, other: Second, reason: Why) -> Answer:
    """Propose that two which were linked are not one person after all: holdings are counted apart again."""
    return await _propose(on, "split", record, other, reason)


async def _propose(on: Acting, act: str, record: str, other: str, reason: str) -> Answer:
    from gateway.service.calls.subjects import ActView, ProposeAct

    view: ActView = await on.desk.call(
        f"subjects/{act}", ProposeAct(record, other, reason), ActView, once=True
    )
    hint = f"another officer confirms it: ecluse subject confirm {view.id}"
    return Answer(view, [*_words(view), hint])


@acting(commands, "confirm")
async def confirm_act(
    on: Acting,
    proposal: Proposal,
    yes: Annotated[bool, typer.Option("--yes", help="You have read it: do not ask.")] = False,
) -> Answer:
    """Confirm a proposal after reading it. Takes another person than the one who made it, an approver."""
    from gateway.service.calls import Named
    from gateway.service.calls.subjects import ActView, DecideAct

    view: ActView = await on.desk.call("subjects/show", Named(proposal), ActView)
    if view.proposed_by == on.desk.identity.officer:
        raise RoleMissing("you proposed this yourself: another person confirms it")
    if not (yes and on.place.json_out):
        show(_words(view), stderr=on.place.json_out)
    if not yes:
        confirm("Confirm this proposal?", read="proposal")
    params = DecideAct(proposal, view.act)
    done: ActView = await on.desk.call("subjects/confirm", params, ActView, once=True)
    return Answer(done, [f"{done.act} {done.id}: {done.state}"])


@acting(commands, "reject")
async def reject(on: Acting, proposal: Proposal, reason: Why) -> Answer:
    """Close a proposal: nothing changes."""
    from gateway.service.calls import Ended
    from gateway.service.calls.subjects import ActView

    done: ActView = await on.desk.call("subjects/reject", Ended(proposal, reason), ActView, once=True)
    return Answer(done, [f"{done.act} {done.id}: {done.state}"])


@acting(commands, "list")
async def list_acts(
    on: Acting,
    state: Annotated[str, typer.Option("--state", help="proposed, done or rejected.")] = "",
    after: Annotated[str, typer.Option("--after", help="Last id of the page before.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=500)] = 100,
) -> Answer:
    """List proposals and what became of them."""
    from gateway.service.calls import Page
    from gateway.service.calls.subjects import ActView

    found: list[ActView] = await on.desk.call("subjects/list", Page(after, limit, state), list[ActView])
    rows = [
        (one.id, one.act, one.state, one.record, one.other, one.proposed_by, one.decided_by) for one in found
    ]
    columns = ("proposal", "act", "state", "record", "other", "proposed by", "decided by")
    return Answer({"proposals": found}, [table(columns, rows)])


def _words(view: "ActView") -> list[str]:
    said = "are one person" if view.act == "link" else "are not one person"
    return [
        f"{view.act} {view.id} ({view.state}): records {view.record} and {view.other} {said}",
        f"  proposed by {view.proposed_by}: {one_line(view.reason)}",
    ]

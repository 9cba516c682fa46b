"""`ecluse erasure`: on an authority's order, two officers destroy the keys of all that holds somebody."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.shared import Acting, Answer, acting, confirm, group, read_file, show, table
from gateway.errors import RoleMissing

if TYPE_CHECKING:
    from gateway.service.calls.erasures import ErasureView

commands = group("Erasure on an authority's order: one officer proposes, another carries it out.")

Order = Annotated[str, typer.Argument(metavar="ERASURE")]
After = Annotated[str, typer.Option("--after", help="Last id of the page before.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=500)]


@acting(commands, "propose")
async def propose(
    on: Acting,
    authority: Annotated[Path, typer.Option("--authority", help="The order; its digest is kept.")],
    reference: Annotated[str, typer.Option("--reference", help="File number of the order; never a name.")],
    records: Annotated[
        list[str] | None, typer.Argument(metavar="[RECORD]...", help="Handles or entity ids.")
    ] = None,
    message: Annotated[
        list[str] | None,
        typer.Option(
            "--message", help="A partner's message, ID or ORG/ID, or an item of quarantine, besides."
        ),
    ] = None,
) -> Answer:
    """Propose to erase everything about the subjects of these records, and of whom they are one person with.

    Messages of partners are found where a release answered them; name others with --message.
    """
    from gateway.service.calls.erasures import ErasureView, ProposeErasure

    params = ProposeErasure(tuple(records or ()), tuple(message or ()), reference, read_file(authority))
    view: ErasureView = await on.desk.call("erasures/propose", params, ErasureView, once=True)
    hint = f"another officer carries it out: ecluse erasure confirm {view.id}"
    return Answer(view, [*_words(view), hint])


@acting(commands, "confirm")
async def confirm_erasure(
    on: Acting,
    erasure: Order,
    yes: Annotated[bool, typer.Option("--yes", help="You have read it: do not ask.")] = False,
) -> Answer:
    """Carry out an order after reading it. Takes another person than the one who proposed it, and cannot be undone."""
    from gateway.service.calls import Named
    from gateway.service.calls.erasures import DecideErasure, ErasureView

    view: ErasureView = await on.desk.call("erasures/show", Named(erasure), ErasureView)
    if view.proposed_by == on.desk.identity.officer:
        raise RoleMissing("you proposed this yourself: another person confirms it")
    if not (yes and on.place.json_out):
        show(_words(view), stderr=on.place.json_out)
    if not yes:
        confirm("Destroy all of it?", read="order")
    params = DecideErasure(erasure, view.authority_sha256)
    done: ErasureView = await on.desk.call("erasures/confirm", params, ErasureView, once=True)
    return Answer(done, _words(done))


@acting(commands, "reject")
async def reject(
    on: Acting, erasure: Order, reason: Annotated[str, typer.Option("--reason", help="Why; stays inside.")]
) -> Answer:
    """Close an order that was not carried out: nothing is destroyed."""
    from gateway.service.calls import Ended
    from gateway.service.calls.erasures import ErasureView

    done: ErasureView = await on.desk.call("erasures/reject", Ended(erasure, reason), ErasureView, once=True)
    return Answer(done, [f"erasure {done.id}: {done.state}"])


@acting(commands, "list")
async def list_erasures(
    on: Acting,
    state: Annotated[str, typer.Option("--state", help="proposed, done or rejected.")] = "",
    after: After = "",
    limit: Limit = 100,
) -> Answer:
    """List orders and what became of them."""
    from gateway.service.calls import Page
    from gateway.service.calls.erasures import ErasureView

    found: list[ErasureView] = await on.desk.call(
        "erasures/list", Page(after, limit, state), list[ErasureView]
    )
    rows = [
        (one.id, one.state, one.reference, " ".join(one.records), one.bodies, one.others, one.decided_by)
        for one in found
    ]
    columns = ("erasure", "state", "authority", "records", "bodies", "others", "decided by")
    return Answer({"erasures": found}, [table(columns, rows)])


def _words(view: "ErasureView") -> list[str]:
    verb = "destroyed" if view.state == "done" else "to destroy"
    kept = f"; {view.kept} receipts stay, which answer other messages too" if view.kept else ""
    what = f"{view.bodies} bodies about {len(view.records)} records and {len(view.messages)} messages named"
    return [
        f"erasure {view.id} ({view.state}) on authority {view.reference}, order {view.authority_sha256[:16]}",
        f"  {verb}: {what}, which are about {view.others} other subjects too{kept}",
    ]

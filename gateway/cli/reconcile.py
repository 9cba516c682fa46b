"""`ecluse reconcile`: after a declared loss, what partners hold of it."""

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.shared import DONE, NEGATIVE, UNAVAILABLE, Acting, Answer, acting, group, table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gateway.service.calls.reconciling import PartnerOutcome

commands = group("After a loss.")


@acting(commands, "reconcile")
async def reconcile(
    on: Acting,
    partner: Annotated[str, typer.Option("--partner", help="Ask this one alone.")] = "",
) -> Answer:
    """Ask each partner what crossed in the days of a declared loss, and settle it. Nothing leaves before that.

    \b
    A partner shows its own log about us, proven to a head that it signed: ids, types, numbers and times, no content.
      recovered   it has this message of ours, of which nothing is left here: its receipt is kept, its number is taken,
                  and it counts as about one more person in every later decision. People must find out who.
      settled     it has this message, which was still to leave: delivered, and not sent again
      missing     we receipted this message of it and have it no more: it sends it again once the next message of that
                  conversation shows it the gap, or its officers say `queue resend`
      receipts    receipts of either side of which nothing is left here

    \b
    Exit codes: 0 nothing is missing; 1 something is gone, or a partner does not tell; 3 one does not answer: run it
    again.
    """
    from gateway.service.calls.reconciling import Reconcile, Reconciliation

    run: Reconciliation = await on.desk.call("reconcile", Reconcile(partner), Reconciliation, once=True)
    text: list[RenderableType] = [f"epoch {run.epoch}" if run.epoch else "no loss was declared"]
    for one in run.partners:
        text += _text(one)
    return Answer(run, text, _code(run.partners))


def _code(partners: "tuple[PartnerOutcome, ...]") -> int:
    if any(one.state == "away" for one in partners):
        return UNAVAILABLE
    gone = any(one.state != "settled" or one.recovered or one.missing or one.receipts for one in partners)
    return NEGATIVE if gone else DONE


def _text(one: "PartnerOutcome") -> "list[RenderableType]":
    head = f"{one.partner}: {one.state}{f' ({one.code})' if one.code else ''}"
    rows = [
        (what, item.type, item.id, item.conversation, item.seq, item.at, item.receipt)
        for what in ("recovered", "settled", "missing", "receipts")
        for item in getattr(one, what)
    ]
    columns = ("", "type", "id", "conversation", "seq", "their entry of", "receipt")
    held = [f"{name}: waits for `ecluse queue resend {one.partner} {name}`" for name in one.held]
    return [head, *([table(columns, rows)] if rows else []), *held]

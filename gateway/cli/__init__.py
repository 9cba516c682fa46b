"""The command line: one file per group of commands, a client of the running gateway.

Importing this package is cheap: what a command needs is imported when it runs.
"""

import sys
from collections.abc import Sequence

import typer
from typer.exceptions import TyperException

from gateway.cli import (
    adapter,
    agreement,
    ca,
    change,
    changes,
    consent,
    correct,
    doctor,
    emergency,
    erasure,
    evidence,
    find,
    finding,
    ground,
    hold,
    inbox,
    message,
    note,
    officer,
    oral,
    partner,
    policy,
    preview,
    queue,
    recall,
    reconcile,
    record,
    release,
    request,
    restore,
    server,
    subject,
    witness,
)
from gateway.cli.shared import USAGE, complain

app = typer.Typer(
    name="ecluse",
    help="Exchange gateway: nothing leaves without being levelled, checked, approved and recorded.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for commands in (
    server.commands,
    preview.commands,
    release.commands,
    recall.commands,
    correct.commands,
    queue.tracing,
    restore.commands,
    reconcile.commands,
    doctor.commands,
):
    app.add_typer(commands)
witness.commands.add_typer(find.commands)
for name, commands in {
    "record": record.commands,
    "note": note.commands,
    "embargo": record.embargoes,
    "hold": hold.commands,
    "erasure": erasure.commands,
    "ground": ground.commands,
    "consent": consent.commands,
    "subject": subject.commands,
    "oral": oral.commands,
    "request": request.commands,
    "inbox": inbox.commands,
    "message": message.commands,
    "queue": queue.commands,
    "emergency": emergency.commands,
    "evidence": evidence.commands,
    "change": change.commands,
    "changes": changes.commands,
    "officer": officer.commands,
    "adapter": adapter.commands,
    "partner": partner.commands,
    "agreement": agreement.commands,
    "policy": policy.commands,
    "audit": finding.commands,  # with those of `audit`, `witness`, `year`, `sample` and `stats`
    "founding": server.founding,
    "config": server.config,
    "epoch": restore.epochs,
    "ca": ca.commands,
}.items():
    app.add_typer(commands, name=name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code (see `gateway.cli.shared`)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if any(
        "\ud800" <= sign <= "\udfff" for word in words for sign in word
    ):  # bytes that are no UTF-8 arrive as these
        complain("--json" in words, "usage", "what is typed must be UTF-8 text", {})
        return USAGE
    try:
        code = app(args=words, prog_name="ecluse", standalone_mode=False)
    except TyperException as usage:
        complain("--json" in words, "usage", usage.format_message(), {})
        return USAGE
    except typer.Abort:
        return USAGE
    return code if isinstance(code, int) else 0


__all__ = ["app", "main"]

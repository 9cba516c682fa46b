"""The demo's result as a person reads it."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.cli.staging import Stage


def show(result: dict[str, Any], stage: Stage, *, stays: bool) -> None:
    """Print the story and three commands to try."""
    console = Console()
    released, denied = result["released"], result["denied"]
    console.rule("[bold red]DEMO: synthetic persons, throw-away keys, loopback only")
    counts = result["imported"]
    console.print(
        f"Imported {counts['new']} synthetic persons "
        f"({counts['unlabelled']} with an unlabelled item: no decision lets those leave)."
    )
    console.print(
        f"\n[bold green]PERMIT[/] to {result['trace']['partner']}: one officer asked, another approved."
    )
    console.print("Released: " + ", ".join(released["fields_released"]))
    table = Table("withheld field", "rule", "source", "article")
    for field in released["fields_withheld"]:
        table.add_row(field["field"], field["rule"], field["source_kind"], escape(field["article"]))
    console.print(table)
    for step in result["trace"]["steps"]:
        proof = f"  (entry {step['index']} of {step['log']})" if step["index"] >= 0 else ""
        console.print(f"  {step['at'] or ' ' * 20}  {step['what']}  {step['by']}{proof}")
    console.print(
        f"Receipt {result['receipt']['id']} verified; the partner holds exactly the approved bytes."
    )
    console.print(f"\n[bold red]DENY[/] to {denied['partner']}, under a valid agreement:")
    for reason in denied["reasons"]:
        console.print(f"  {reason['rule']}: {reason['source_kind']}, {escape(reason['article'])}")
    for name, side in (("our", "local"), ("the partner's", "partner")):
        audit = result["audit"][side]
        state = "verified" if audit["verified"] else "BROKEN"
        console.print(f"Logs of {name} home: {state}, {audit['size']} entries.")
    if not stays:
        return
    be, officers = stage.be.path, stage.folder / "officers"
    who = f"--as be-requester --officer-key {officers / 'be-requester.pem'}"
    console.print("\nThree things to try:", soft_wrap=True)
    for command in (
        f"ecluse preview BDC-000002 --to fra.police-demo --purpose ct-prevention --home {be} {who}",
        f"ecluse trace {released['message_id']} --home {be} {who}",
        f"ecluse audit verify --home {be}",
    ):
        console.print("  " + command, soft_wrap=True, highlight=False)
    console.print("\nBoth gateways stay up until Ctrl-C.")
    console.file.flush()

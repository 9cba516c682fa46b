"""`ecluse preview`: who would get what, and why not the rest; field by partner."""

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from gateway.cli import texts
from gateway.cli.release import (
    EmergencyClaim,
    Lifted,
    LiftReasons,
    OralApproval,
    Purpose,
    Record,
    decision_of,
    denials,
    idle_lines,
    lifts_of,
    require_claim,
)
from gateway.cli.shared import (
    DONE,
    NEGATIVE,
    Acting,
    Answer,
    acting,
    group,
    partners_of,
    table,
    terminal,
    write_file,
)
from gateway.errors import RequestInvalid

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gateway.service.calls import DecisionView

commands = group("Preview.")

#: Columns that a partner takes at least, and those kept for the field and its rule beside them.
PARTNER_WIDTH, OWN_WIDTH = 24, 80

Language = Annotated[str, typer.Option("--language", help="fr, nl, de or en")]


@acting(commands, "preview")
async def preview(
    on: Acting,
    record: Record,
    to: Annotated[str, typer.Option("--to", help="Partners and sharing groups, separated by commas.")],
    purpose: Purpose,
    basis: Annotated[str, typer.Option("--basis", help="Legal basis; default: the agreement's.")] = "",
    language: Language = "en",
    payload: Annotated[
        Path | None, typer.Option("--bytes", help="Write what one partner would get, marked.")
    ] = None,
    request: Annotated[str, typer.Option("--request", help="The request it would answer.")] = "",
    lift: Lifted = None,
    lift_reason: LiftReasons = None,
    emergency: EmergencyClaim = "",
    oral_approval: OralApproval = "",
) -> Answer:
    """Show what each partner would get, and why not the rest. Nothing is prepared; looking is logged.

    Exit code 1 when a partner would be denied. The file of --bytes is marked as a preview and refused everywhere. With
    --request it is a look for that request: no refusal of it leaves any more. With --emergency, and --oral-approval,
    what an emergency would let out; nothing is invoked. A lift that unlocks nothing is named with the rule.
    """
    from gateway.policy.explain import require_language
    from gateway.service.calls import DecisionView, Disclose

    require_language(language)
    partners = partners_of(to)
    lifts, claimed = lifts_of(lift, lift_reason), require_claim(emergency, oral_approval)
    params = Disclose(record, partners, purpose, basis, lifts=lifts, emergency=claimed, request=request)
    views: list[DecisionView] = await on.desk.call("releases/preview", params, list[DecisionView])
    if payload is not None:
        if len(views) != 1:
            raise RequestInvalid(
                "the bytes of one partner can be written: name one with --to", diagnostic={"field": "to"}
            )
        if views[0].payload:
            marked = {"preview": True, "payload_base64": base64.b64encode(views[0].payload).decode()}
            write_file(payload, msgspec.json.encode(marked) + b"\n")
    denied = [view.partner for view in views if view.effect != "PERMIT"]
    document = {"preview": True, "partners": [decision_of(view) for view in views]}
    leaving = [
        line
        for view in views
        if view.effect == "PERMIT"
        for line in (f"{view.partner}:", *texts.lines(view.texts), *idle_lines(view, language))
    ]
    drawn = [*matrix(views, terminal().width, language), *legend(views, language)]
    text = [*drawn, *leaving, *denials(views, language)]
    return Answer(document, text, NEGATIVE if denied else DONE)


def matrix(views: "Sequence[DecisionView]", width: int, language: str = "en") -> "Iterator[RenderableType]":
    """Field by partner, in as many tables as the terminal's width asks for, each with every field.

    A reason is said once where all partners of a table share it.
    """
    from gateway.policy.explain import word

    pointers = list(dict.fromkeys(field.pointer for view in views for field in view.fields))
    most = max(1, (width - OWN_WIDTH) // PARTNER_WIDTH)
    for first in range(0, len(views), most):
        shown = views[first : first + most]
        outcomes = [{field.pointer: field for field in view.fields} for view in shown]
        rows = []
        for pointer in pointers:
            found = [fields.get(pointer) for fields in outcomes]
            reasons = dict.fromkeys(
                (field.rule, field.source_kind, field.article) for field in found if field
            )
            why = ["\n".join(column) for column in zip(*reasons, strict=True)] or ["", "", ""]
            rows.append(
                (pointer, *(word(field.outcome, language) if field else "-" for field in found), *why)
            )
        own = (word(term, language) for term in ("rule", "source", "article"))
        columns = (word("field", language), *(view.partner for view in shown), *own)
        yield table(columns, rows, title=word("preview", language))


def legend(views: "Sequence[DecisionView]", language: str) -> list[str]:
    """What each rule that has a part in the matrix says, once."""
    from gateway.policy.explain import explain_rule

    rules = sorted({field.rule for view in views for field in view.fields})
    return [f"  {rule}: {explain_rule(rule, language)}" for rule in rules]

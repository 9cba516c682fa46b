"""`ecluse correct`: say what is to be done about a message that was wrong, and why, with ids and codes."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from gateway.cli.release import decision_of, denials, readable, require_prepared
from gateway.cli.shared import BYTES_DIFFER, NEGATIVE, Acting, Answer, acting, group, leaving
from gateway.errors import LocalFault, PartnerFault

if TYPE_CHECKING:
    from gateway.service.calls import DecisionView

commands = group("Corrections.")


class Owed(StrEnum):
    """What the recipient owes."""

    replaced = "replaced"
    withdrawn = "withdrawn"
    restricted = "restricted"


class Why(StrEnum):
    """Why, of what it received."""

    inaccurate = "inaccurate"
    incomplete = "incomplete"
    outdated = "outdated"
    unlawful = "unlawful"


@acting(commands, "correct")
async def correct(
    on: Acting,
    message: Annotated[str, typer.Argument(metavar="MESSAGE", help="Id of the message, not of its release.")],
    action: Annotated[Owed, typer.Option("--action", help="What the recipient is to do about it.")],
    reason: Annotated[Why, typer.Option("--reason", help="Why; leaves, as this code.")],
    justification: Annotated[str, typer.Option("--justification", help="Why; stays inside.")],
    by: Annotated[str, typer.Option("--by", help="Message in its place; with replaced only.")] = "",
) -> Answer:
    """Tell a past recipient what to rectify, erase or restrict, and why, as codes (Directive (EU) 2016/680 art. 7(3)).

    \b
    (1) the gateway decides and freezes the bytes; (2) they must say exactly what was asked, and the statement must name
    them and you; (3) sign and send: no second person is asked. New content is disclosed first, by two persons. Exit
    code 1 when denied.
    """
    from gateway.service.calls import DecisionView, Endorsed
    from gateway.service.calls.corrections import CorrectMessage

    # (1)
    params = CorrectMessage(message, action.value, reason.value, justification, by)
    view: DecisionView = await on.desk.call("corrections/prepare", params, DecisionView, once=True)
    document: dict[str, Any] = {
        **decision_of(view),
        "corrects": message,
        "action": action.value,
        "reason": reason.value,
    }
    if view.effect != "PERMIT":
        return Answer(document | {"state": "denied"}, denials([view]), NEGATIVE)
    # (2)
    require_prepared(view, on.desk.identity.officer)
    require_said(view, message, action.value, reason.value, by)
    # (3)
    endorsed = Endorsed((view.release,), on.desk.endorse("request", [view.statement]))
    done: dict[str, str] = await on.desk.call("corrections/endorse", endorsed, dict[str, str], once=True)
    state = done[view.release]
    text = f"{view.partner}: correction {view.message_id} {state} (release {view.release})"
    return leaving(on, Answer(document | {"state": state}, [text, readable(view.payload)]))


def require_said(view: "DecisionView", message: str, action: str, reason: str, by: str) -> None:
    """The bytes say what the officer asked for, and go where the answer says; nothing else fits into them."""
    from gateway.model.message import Correction
    from gateway.wire.ct_json import CtJson

    try:
        said = CtJson().parse(view.payload)
    except PartnerFault:
        said = None
    members = {"corrects": message, "action": action, "reason": reason, "replaced_by": by}
    asked = msgspec.convert(members, Correction)
    if said is None or said.correction != asked or said.envelope.recipient != view.partner:
        raise LocalFault(
            "the bytes shown say something else than asked: nothing was signed", code=BYTES_DIFFER
        )

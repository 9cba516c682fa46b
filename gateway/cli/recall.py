"""`ecluse recall`: say of a message that it is withdrawn, replaced or expired. The officer signs two ids and a code."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from gateway.cli.release import denials, readable, require_prepared
from gateway.cli.shared import BYTES_DIFFER, NEGATIVE, Acting, Answer, acting, group, leaving
from gateway.errors import LocalFault, PartnerFault

if TYPE_CHECKING:
    from gateway.service.calls import DecisionView

commands = group("Recalls.")


class Action(StrEnum):
    """What became of the message."""

    withdrawn = "withdrawn"
    replaced = "replaced"
    expired = "expired"


@acting(commands, "recall")
async def recall(
    on: Acting,
    message: Annotated[str, typer.Argument(metavar="MESSAGE", help="Id of the message, not of its release.")],
    action: Annotated[Action, typer.Option("--action", help="What became of it.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; stays inside.")],
    by: Annotated[str, typer.Option("--by", help="Message in its place; with replaced only.")] = "",
) -> Answer:
    """Recall a message the partner may have, where what was released would be otherwise today.

    \b
    (1) the gateway decides and freezes the bytes; (2) they must say exactly what was asked, and the statement must name
    them and you; (3) sign and send: no second person is asked. A message that has its number and has not left is
    withdrawn instead; one still in the queue is cancelled (queue cancel). Exit code 1 when denied.
    """
    from gateway.service.calls import DecisionView, Endorsed, RecallMessage

    # (1)
    params = RecallMessage(message, action.value, by, reason)
    view: DecisionView = await on.desk.call("recalls/prepare", params, DecisionView, once=True)
    document: dict[str, Any] = {
        "partner": view.partner,
        "effect": view.effect,
        "recalls": message,
        "action": action.value,
        "release": view.release,
        "message_id": view.message_id,
        "reasons": view.reasons,
    }
    if view.effect != "PERMIT":
        return Answer(document | {"state": "denied"}, denials([view]), NEGATIVE)
    if not view.release:
        text = f"{view.partner}: {message} had not left yet: it is withdrawn, and no recall is sent"
        return leaving(on, Answer(document | {"state": "withdrawn"}, [text]))
    # (2)
    require_prepared(view, on.desk.identity.officer)
    require_asked(view, message, action.value, by)
    # (3)
    endorsed = Endorsed((view.release,), on.desk.endorse("request", [view.statement]))
    done: dict[str, str] = await on.desk.call("recalls/endorse", endorsed, dict[str, str], once=True)
    state = done[view.release]
    text = f"{view.partner}: recall {view.message_id} {state} (release {view.release})"
    return leaving(on, Answer(document | {"state": state}, [text, readable(view.payload)]))


def require_asked(view: "DecisionView", message: str, action: str, by: str) -> None:
    """The bytes say what the officer asked for, and go where the answer says; nothing else fits into them."""
    from gateway.model.message import Recall, RecallAction
    from gateway.wire.ct_json import CtJson

    try:
        said = CtJson().parse(view.payload)
    except PartnerFault:
        said = None
    asked = Recall(message, msgspec.convert(action, RecallAction), by)
    if said is None or said.recall != asked or said.envelope.recipient != view.partner:
        raise LocalFault(
            "the bytes shown say something else than asked: nothing was signed", code=BYTES_DIFFER
        )

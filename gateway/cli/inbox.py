"""`ecluse inbox`: what partners sent."""

import base64
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import texts
from gateway.cli.release import readable
from gateway.cli.shared import Acting, Answer, Why, acting, group, table

if TYPE_CHECKING:
    from gateway.service.calls import InboxItem

commands = group("Messages received.")

After = Annotated[str, typer.Option("--after", help="Last of the page before: id, or for messages ORG/ID.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=500)]


@acting(commands, "list")
async def list_inbox(on: Acting, after: After = "", limit: Limit = 100) -> Answer:
    """List messages received; no content."""
    from gateway.service.calls import InboxItem, Page

    found = await on.desk.call("inbox/list", Page(after, limit), list[InboxItem])
    rows = [(one.message_id, one.type, one.state, one.sender, one.conversation, one.seq, one.received_at,
             _recalled(one), _corrected(one)) for one in found]  # fmt: skip
    columns = ("message", "type", "state", "from", "conversation", "seq", "received", "recall", "correction")
    return Answer({"inbox": found}, [table(columns, rows)])


@acting(commands, "show")
async def show(
    on: Acting,
    message: Annotated[
        str, typer.Argument(metavar="MESSAGE", help="Id, or ORG/ID when two partners used it.")
    ],
    why: Why = "",
) -> Answer:
    """Show a message received, as its bytes say. Looking is logged."""
    from gateway.service.calls import InboxView, Named

    view: InboxView = await on.desk.call("inbox/show", Named(message, why), InboxView)
    item, found = view.item, texts.of_payload(view.payload)
    text = [
        f"{item.type} {item.message_id} from {item.sender}, conversation {item.conversation}, seq {item.seq}",
        f"received {item.received_at:%Y-%m-%dT%H:%M:%SZ}, receipt {view.receipt}",
        *([f"RECALLED by its sender: {_recalled(item)}"] if item.recall else []),
        *([f"CORRECTED by its sender: {_corrected(item)}"] if item.correction else []),
        readable(view.payload),
        *texts.lines(found),
    ]
    document = {"item": item, "receipt": view.receipt, **payload_members(view.payload)}
    return Answer({**document, "free_texts": texts.documents(found)}, text)


class Decided(StrEnum):
    """What was done about a recall."""

    done = "done"
    kept = "kept"


@acting(commands, "recall")
async def recall(
    on: Acting,
    message: Annotated[
        str, typer.Argument(metavar="MESSAGE", help="Id, or ORG/ID when two partners used it.")
    ],
    answer: Annotated[Decided, typer.Argument(metavar="done|kept")],
) -> Answer:
    """Say what was done about a message that its sender recalled: done is not shown any more, for good."""
    from gateway.service.calls import AnswerRecall

    params = AnswerRecall(message, answer.value)
    done: dict[str, str] = await on.desk.call("inbox/recall", params, dict[str, str], once=True)
    return Answer({"message": message, "recall": done[message]}, [f"{message}: {done[message]}"])


@acting(commands, "corrected")
async def corrected(
    on: Acting,
    message: Annotated[
        str, typer.Argument(metavar="MESSAGE", help="Id, or ORG/ID when two partners used it.")
    ],
) -> Answer:
    """Say that what its sender's correction asks for is carried out; what was withdrawn is not shown any more."""
    from gateway.service.calls import Named

    done: dict[str, str] = await on.desk.call("inbox/corrected", Named(message), dict[str, str], once=True)
    return Answer({"message": message, "correction": done[message]}, [f"{message}: {done[message]}"])


def _corrected(item: "InboxItem") -> str:
    """What its sender corrected about it afterwards, in a line."""
    said = item.correction
    if said is None:
        return ""
    by = f" by {said.replaced_by}" if said.replaced_by else ""
    answer = f", {said.answer}" if said.answer else ""
    return f"{said.action}{by} ({said.reason}), {said.at:%Y-%m-%dT%H:%M:%SZ}{answer}"


def _recalled(item: "InboxItem") -> str:
    """What its sender said of it afterwards, in a line."""
    said = item.recall
    if said is None:
        return ""
    by = f" by {said.replaced_by}" if said.replaced_by else ""
    answer = f", {said.answer}" if said.answer else ""
    return f"{said.action}{by}, {said.at:%Y-%m-%dT%H:%M:%SZ}{answer}"


@acting(commands, "quarantine")
async def quarantine(on: Acting, after: After = "", limit: Limit = 100) -> Answer:
    """List what was refused, and why; no content."""
    from gateway.service.calls import Page, QuarantineItem

    found = await on.desk.call("inbox/quarantine", Page(after, limit), list[QuarantineItem])
    rows = [(one.id, one.partner, one.code, one.size, one.at) for one in found]
    return Answer({"quarantine": found}, [table(("id", "from", "code", "bytes", "at"), rows)])


def payload_members(payload: bytes) -> dict[str, Any]:
    """The exact bytes, and the same as text where they are text."""
    text = payload.decode(errors="replace")
    return {"payload_base64": base64.b64encode(payload).decode(), "payload": text}

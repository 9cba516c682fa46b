"""`ecluse changes`: what is otherwise today about what was shared, and the recall or disclosure that tells it."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.correct import require_said
from gateway.cli.recall import require_asked
from gateway.cli.release import STATES, decision_of, denials, field_table, readable, require_prepared
from gateway.cli.shared import DONE, NEGATIVE, Acting, Answer, acting, group, leaving, table
from gateway.errors import RequestInvalid

if TYPE_CHECKING:
    from gateway.service.calls.notices import NoticePrepared, NoticeView

commands = group("What changed after it was shared: who must, or may, be told.")


@acting(commands, "list")
async def list_changes(
    on: Acting,
    must: Annotated[bool, typer.Option("--must", help="Only what must be told.")] = False,
    may: Annotated[bool, typer.Option("--may", help="Only what may be told.")] = False,
    record: Annotated[str, typer.Option("--record", help="Handle or entity id.")] = "",
    state: Annotated[
        str, typer.Option("--state", help="open, prepared, done or superseded; else what is left to do.")
    ] = "",
    after: Annotated[str, typer.Option("--after", help="Last id of the page before.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=500)] = 100,
) -> Answer:
    """Every past recipient of something that is otherwise today, compared anew. Looking is logged.

    Grounds that come to their last day are a possibility, due when it is over. What must be told is due by the house
    clock, and shown as overdue where none is set. Only what you need to know and your clearance reaches is listed; no
    value is shown.
    """
    from gateway.service.calls.notices import ListNotices, NoticeView

    if must and may:
        raise RequestInvalid("ask for what must be told, or for what may be, or for both with neither")
    if state not in ("", "open", "prepared", "done", "superseded"):
        raise RequestInvalid("a notice is open, prepared, done or superseded", diagnostic={"field": "state"})
    duty = "must" if must else "may" if may else ""
    params = ListNotices(duty, record, state, after, limit)  # type: ignore[arg-type]
    found: list[NoticeView] = await on.desk.call("notices/list", params, list[NoticeView])
    rows = [
        (one.id, one.duty, one.record, one.partner, ", ".join(one.changes), _due(one), _state(one))
        for one in found
    ]
    heads = ("change", "duty", "record", "partner", "what", "due", "state")
    return Answer({"changes": found}, [table(heads, rows)])


def _due(one: "NoticeView") -> str:
    if one.duty == "may" and one.due is None:
        return ""
    at = f"{one.due:%Y-%m-%dT%H:%M:%SZ}" if one.due is not None else "no clock is set"
    return f"OVERDUE ({at})" if one.overdue else at


def _state(one: "NoticeView") -> str:
    return f"{one.state} ({one.waits_for})" if one.waits_for else one.state


@acting(commands, "prepare")
async def prepare(
    on: Acting,
    change: Annotated[str, typer.Argument(metavar="CHANGE")],
    justification: Annotated[str, typer.Option("--justification", help="Why; stays inside.")] = "",
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Recall without anything in its place.")
    ] = False,
    correct: Annotated[
        bool, typer.Option("--correct", help="Say why, as a code: a correction in place of the recall.")
    ] = False,
) -> Answer:
    """Prepare what tells a past recipient, and sign it: a recall, or the record as it is today.

    \b
    (1) the gateway compares again, decides and freezes the bytes; (2) they must be what the answer says they are, and
    the statement must name them and you; (3) sign and send. A recall leaves on your word. A disclosure waits for an
    approver; once it has left, prepare the change again to recall what it replaces. Exit code 1 when denied.
    """
    from gateway.service.calls import Endorsed
    from gateway.service.calls.notices import NoticePrepared, PrepareNotice

    # (1)
    params = PrepareNotice(change, justification, withdraw, correct)
    done: NoticePrepared = await on.desk.call("notices/prepare", params, NoticePrepared, once=True)
    view = done.view
    document: dict[str, Any] = {
        **decision_of(view),
        "change": change,
        "what": done.what,
        "about": done.message_id,
        "action": done.action,
        "replaced_by": done.replaced_by,
        "reason": done.reason,
    }
    if view.effect != "PERMIT":
        recallable = done.what == "disclosure" and done.duty == "must"
        hint = "to recall it without anything in its place: --withdraw" if recallable else ""
        return Answer(
            document | {"state": STATES[view.effect]}, [*denials([view]), *([hint] if hint else [])], NEGATIVE
        )
    # (2)
    require_prepared(view, on.desk.identity.officer)
    if done.what == "recall":
        require_asked(view, done.message_id, done.action, done.replaced_by)
    elif done.what == "correction":
        require_said(view, done.message_id, done.action, done.reason, done.replaced_by)
    # (3)
    operation = {"recall": "recalls/endorse", "correction": "corrections/endorse"}.get(
        done.what, "releases/endorse"
    )
    endorsed = Endorsed((view.release,), on.desk.endorse("request", [view.statement]))
    states: dict[str, str] = await on.desk.call(operation, endorsed, dict[str, str], once=True)
    state = states[view.release]
    answer = Answer(document | {"state": state}, _text(done, state), DONE)
    return answer if done.what == "disclosure" else leaving(on, answer)


def _text(done: "NoticePrepared", state: str) -> list[Any]:
    view = done.view
    if done.what != "disclosure":
        by = f" by {done.replaced_by}" if done.replaced_by else ""
        return [
            f"{view.partner}: {done.what} of {done.message_id}, {done.action}{by}: {state} ({view.release})",
            readable(view.payload),
        ]
    return [
        f"{view.partner}: release {view.release} {state}: the record as it is today",
        field_table(view.fields),
        readable(view.payload),
    ]

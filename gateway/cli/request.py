"""`ecluse request`: ask a partner, and answer what partners ask. One human answer a request, in slots."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from gateway.cli.inbox import payload_members
from gateway.cli.release import (
    Lifted,
    LiftReasons,
    Record,
    decision_of,
    denials,
    disclose,
    lifts_of,
    readable,
    require_prepared,
    signed,
)
from gateway.cli.shared import (
    BYTES_DIFFER,
    NEGATIVE,
    Acting,
    Answer,
    Why,
    acting,
    group,
    leaving,
    named,
    read_file,
    table,
)
from gateway.errors import LocalFault, PartnerFault, RequestInvalid
from gateway.model.time import rfc3339

if TYPE_CHECKING:
    from gateway.service.calls import DecisionView
    from gateway.service.calls.requests import CloseRequest, RequestItem

commands = group("Requests: ask a partner, and answer what partners ask.")

KIND = "information-request/1.0"

#: Bytes of one request: as the reader of its kind takes them.
MAX_REQUEST = 256 * 1024

Named = Annotated[str, typer.Argument(metavar="REQUEST", help="Id, or ORG/ID when two partners used it.")]
After = Annotated[str, typer.Option("--after", help="Last of the page before, ORG/ID.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=500)]
Justification = Annotated[str, typer.Option("--justification", help="Why (LED art. 25); stays inside.")]


class Silence(StrEnum):
    """Why no information is given."""

    nothing = "nothing"
    withheld = "withheld"
    embargoed = "embargoed"
    authorisation_refused = "authorisation-refused"
    inaccurate = "inaccurate"
    harmful = "harmful"


class Refusal(StrEnum):
    """Why a request is refused before anything is looked up."""

    incomplete = "incomplete"
    minor_offence = "minor-offence"
    outside_agreement = "outside-agreement"
    outside_competence = "outside-competence"


# --- asking ----------------------------------------------------------------------------------------------------------


class _Named(msgspec.Struct, frozen=True):
    id: str
    extracted_at: str = ""


@acting(commands, "new")
async def new(
    on: Acting,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="One request, as JSON.")],
    to: Annotated[str, typer.Option("--to", help="Partners, separated by commas.")],
    purpose: Annotated[str, typer.Option("--purpose", help="Purpose, as the agreement names it.")],
    basis: Annotated[str, typer.Option("--basis", help="Legal basis.")],
    justification: Justification,
) -> Answer:
    """Import a request that you hand over, prepare it for each partner and sign it; an approver decides.

    It is a release like any other, of type request. Exit code 1 when the file is not as it should be, or when any
    partner is denied.
    """
    from gateway.service.app import now
    from gateway.service.calls import ImportChunk, Imported

    with named(file):
        # Outside of a text a line break is only space, and within one JSON knows none: the document is one line.
        line = b" ".join(read_file(file, limit=MAX_REQUEST).split(b"\n"))
        try:
            found = msgspec.json.decode(line, type=_Named)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise RequestInvalid("the file is not one request with an id") from None
        if not found.extracted_at:
            # A request is made when it is handed over, unless it says otherwise.
            line = b'{"extracted_at":"%b",' % rfc3339(now()).encode() + line.lstrip()[1:]
    landed: Imported = await on.desk.call("records/import", ImportChunk(KIND, 1, line), Imported)
    if landed.bad:
        rows = [(one.pointer, one.rule, one.detail) for one in landed.bad]
        document = {"releases": [], "denied": [], "bad": landed.bad}
        return Answer(document, [table(("field", "rule", "what is wrong"), rows)], NEGATIVE)
    return await disclose(on, [found.id], to, purpose, basis, justification)


# --- looking ---------------------------------------------------------------------------------------------------------


@acting(commands, "list")
async def list_requests(
    on: Acting,
    open_only: Annotated[bool, typer.Option("--open", help="Only those that nothing answers yet.")] = False,
    after: After = "",
    limit: Limit = 100,
) -> Answer:
    """List what partners asked, and by when it is to be answered; no content."""
    from gateway.service.calls import Page
    from gateway.service.calls.requests import RequestItem

    params = Page(after, limit, "open" if open_only else "")
    found = await on.desk.call("requests/list", params, list[RequestItem])
    columns = ("request", "from", "urgency", "received", "due", "answer")
    rows = [
        (one.message_id, one.sender, one.urgency, one.received_at, one.due, _answer(one)) for one in found
    ]
    return Answer({"requests": found}, [table(columns, rows)])


@acting(commands, "show")
async def show(on: Acting, request: Named, why: Why = "") -> Answer:
    """Show a request, as its bytes say. Looking is logged."""
    from gateway.service.calls import Named as ById
    from gateway.service.calls.requests import RequestView

    view: RequestView = await on.desk.call("requests/show", ById(request, why), RequestView)
    item = view.request
    text = [
        f"request {item.message_id} from {item.sender}, conversation {item.conversation}",
        f"{item.urgency}, received {item.received_at:%Y-%m-%dT%H:%M:%SZ}, due {item.due:%Y-%m-%dT%H:%M:%SZ}",
        f"answer: {_answer(item)}",
        readable(view.message.payload),
    ]
    return Answer({"request": item, **payload_members(view.message.payload)}, text)


def _answer(item: "RequestItem") -> str:
    """What answers it, in a line."""
    if item.answer:
        return f"{item.answer}, {item.state} (release {item.release})"
    return "OVERDUE" if item.overdue else "none yet"


# --- answering -------------------------------------------------------------------------------------------------------


@acting(commands, "answer")
async def answer(
    on: Acting,
    request: Named,
    record: Record,
    justification: Justification,
    basis: Annotated[str, typer.Option("--basis", help="Legal basis; default: the agreement's.")] = "",
    lift: Lifted = None,
    lift_reason: LiftReasons = None,
) -> Answer:
    """Answer with a record: a release to whoever asked, signed by you as requester; an approver decides.

    Fields of class B leave where the request asks for them. Once approved it leaves with the next slot. From the first
    try on, no refusal of this request leaves any more. Exit code 1 when nothing of the record may leave.
    """
    from gateway.service.calls import DecisionView
    from gateway.service.calls.requests import AnswerRequest

    lifts = lifts_of(lift, lift_reason)
    params = AnswerRequest(request, record, justification, basis, lifts)
    view: DecisionView = await on.desk.call("requests/answer", params, DecisionView, once=True)
    given = await signed(on, [view])
    if given.code != NEGATIVE:
        return given
    # A second answer is refused whatever the record holds, and so would `no-information` be.
    if any(reason.rule == "reply.once" for reason in view.reasons):
        return given
    hint = "nothing of it leaves: say so with `ecluse request no-information`, the same answer as for nothing at all"
    return Answer(given.document, [*given.text, hint], given.code)


@acting(commands, "no-information")
async def no_information(
    on: Acting,
    request: Named,
    ground: Annotated[Silence, typer.Option("--ground", help="Why; stays inside.")],
    justification: Justification,
) -> Answer:
    """Answer that no information is given: the same bytes whatever the ground is. Leaves with the next slot.

    Exit code 1 when another answer is on its way or was delivered.
    """
    from gateway.service.calls.requests import CloseRequest

    return await _closed(on, CloseRequest(request, "no-information", ground.value, justification))


@acting(commands, "refuse")
async def refuse(
    on: Acting,
    request: Named,
    ground: Annotated[Refusal, typer.Option("--ground", help="Why; the partner reads it.")],
    justification: Justification,
) -> Answer:
    """Refuse a request for what it is, before any record is looked up for it. Leaves with the next slot.

    Exit code 1 when a record was looked up already, or another answer is on its way or was delivered.
    """
    from gateway.service.calls.requests import CloseRequest

    return await _closed(on, CloseRequest(request, "refusal", ground.value, justification))


async def _closed(on: Acting, params: "CloseRequest") -> Answer:
    """(1) The gateway decides and freezes the bytes; (2) they must say exactly what was asked, and the statement must
    name them and you; (3) sign and send: no second person is asked."""
    from gateway.service.calls import DecisionView, Endorsed

    # (1)
    view: DecisionView = await on.desk.call("requests/close", params, DecisionView, once=True)
    document: dict[str, Any] = {"request": params.request, "type": params.type, **decision_of(view)}
    if view.effect != "PERMIT":
        return Answer(document | {"state": "denied"}, denials([view]), NEGATIVE)
    # (2)
    require_prepared(view, on.desk.identity.officer)
    _require_asked(view, params)
    # (3)
    endorsed = Endorsed((view.release,), on.desk.endorse("request", [view.statement]))
    done: dict[str, str] = await on.desk.call("requests/endorse", endorsed, dict[str, str], once=True)
    state = done[view.release]
    text = f"{view.partner}: {params.type} {view.message_id} {state}; it leaves with the next slot"
    return leaving(on, Answer(document | {"state": state}, [text, readable(view.payload)]))


def _require_asked(view: "DecisionView", params: "CloseRequest") -> None:
    """The bytes say what the officer typed, and go where the answer says; nothing else fits into them."""
    from gateway.model.message import Reply
    from gateway.wire.ct_json import CtJson

    try:
        said = CtJson().parse(view.payload)
    except PartnerFault:
        said = None
    ground: Any = params.ground if params.type == "refusal" else None
    asked = Reply(params.request.rpartition("/")[2], ground)
    if (
        said is None
        or said.reply != asked
        or (said.envelope.type, said.envelope.recipient) != (params.type, view.partner)
    ):
        raise LocalFault(
            "the bytes shown say something else than asked: nothing was signed", code=BYTES_DIFFER
        )

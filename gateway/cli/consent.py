"""`ecluse consent`: ask a partner to let us pass on what it supplied, and answer when it asks us."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from gateway.cli.ground import read_ground, words
from gateway.cli.release import decision_of, denials, disclose, readable, require_prepared
from gateway.cli.request import MAX_REQUEST
from gateway.cli.shared import (
    BYTES_DIFFER,
    NEGATIVE,
    Acting,
    Answer,
    acting,
    confirm,
    group,
    leaving,
    named,
    one_line,
    read_file,
    show,
    table,
)
from gateway.errors import LocalFault, PartnerFault, RequestInvalid, RoleMissing

if TYPE_CHECKING:
    from gateway.model.decision import ReplyDocument, Statement
    from gateway.model.message import Reply
    from gateway.service.calls import ReleaseView

commands = group("Consent that travels: ask for it, give or refuse it, accept what was given.")

KIND = "consent-request/1.0"

Justification = Annotated[str, typer.Option("--justification", help="Why (LED art. 25); stays inside.")]
Named_ = Annotated[str, typer.Argument(metavar="REQUEST", help="Id, or ORG/ID when two partners used it.")]


class Given(StrEnum):
    """What we say."""

    granted = "granted"
    refused = "refused"


class _Named(msgspec.Struct, frozen=True):
    id: str


@acting(commands, "ask")
async def ask(
    on: Acting,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="One consent request, as JSON.")],
    to: Annotated[str, typer.Option("--to", help="The originator.")],
    purpose: Annotated[str, typer.Option("--purpose", help="Purpose of asking, as the agreement names it.")],
    basis: Annotated[str, typer.Option("--basis", help="Legal basis.")],
    justification: Justification,
    lift: Annotated[
        list[str] | None, typer.Option("--lift", help="/recipient, where it may be told who asks.")
    ] = None,
    lift_reason: Annotated[
        list[str] | None, typer.Option("--lift-reason", help="Why, one for each --lift.")
    ] = None,
) -> Answer:
    """Import a consent request that you hand over, prepare it for the originator and sign it; an approver decides.

    Who would receive the items is withheld unless a lift names it and the agreement allows. Exit code 1 when the file
    is not as it should be, or when it is denied.
    """
    from gateway.service.calls import ImportChunk, Imported

    with named(file):
        line = b" ".join(read_file(file, limit=MAX_REQUEST).split(b"\n"))
        try:
            record = msgspec.json.decode(line, type=_Named).id
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise RequestInvalid("the file is not one consent request with an id") from None
    landed: Imported = await on.desk.call("records/import", ImportChunk(KIND, 1, line), Imported)
    if landed.bad:
        rows = [(one.pointer, one.rule, one.detail) for one in landed.bad]
        document = {"releases": [], "denied": [], "bad": landed.bad}
        return Answer(document, [table(("field", "rule", "what is wrong"), rows)], NEGATIVE)
    return await disclose(on, [record], to, purpose, basis, justification, lift=lift, lift_reason=lift_reason)


@acting(commands, "list")
async def list_consents(
    on: Acting,
    after: Annotated[str, typer.Option("--after", help="Last of the page before, ORG/ID.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=500)] = 100,
) -> Answer:
    """List what partners asked, and our answers; no content (inbox show has it)."""
    from gateway.service.calls import Page
    from gateway.service.calls.consents import ConsentItem

    found: list[ConsentItem] = await on.desk.call("consents/list", Page(after, limit), list[ConsentItem])
    rows = [(one.message_id, one.sender, one.received_at, one.release, one.state) for one in found]
    return Answer({"consents": found}, [table(("request", "from", "received", "answer", "state"), rows)])


@acting(commands, "answer")
async def answer(
    on: Acting,
    request: Named_,
    given: Annotated[Given, typer.Option("--consent", help="What we say.")],
    justification: Justification,
    until: Annotated[str, typer.Option("--until", help="Last day, YYYY-MM-DD; a grant has one.")] = "",
) -> Answer:
    """Answer a consent request with a code. A refusal leaves on your signature; a grant waits for another officer's.

    A grant is held against the message it is about: that this partner has it, which items left with it, and whether it
    was recalled since, its record deleted or an embargo placed.

    \b
    (1) the gateway decides and freezes the bytes; (2) they must say exactly what you typed, and the statement must
    name them and you; (3) sign and send. Exit code 1 when denied: another answer is on its way or was delivered.
    """
    from gateway.model.message import Reply
    from gateway.service.calls import DecisionView, Endorsed
    from gateway.service.calls.consents import AnswerConsent

    # (1)
    params = AnswerConsent(request, given.value, justification, until)
    view: DecisionView = await on.desk.call("consents/answer", params, DecisionView, once=True)
    document: dict[str, Any] = {"request": request, "consent": given.value, **decision_of(view)}
    if view.effect != "PERMIT":
        return Answer(document | {"state": "denied"}, denials([view]), NEGATIVE)
    # (2)
    require_prepared(view, on.desk.identity.officer)
    _require_said(
        view.payload, view.partner, Reply(request.rpartition("/")[2], consent=given.value, until=until)
    )
    # (3)
    endorsed = Endorsed((view.release,), on.desk.endorse("request", [view.statement]))
    done: dict[str, str] = await on.desk.call("consents/endorse", endorsed, dict[str, str], once=True)
    state = done[view.release]
    text = [f"{view.partner}: {given.value}, {state} (release {view.release})", readable(view.payload)]
    if state == "awaiting-approval":
        text.append(f"another officer approves it: ecluse consent approve {view.release}")
    return leaving(on, Answer(document | {"state": state}, text))


@acting(commands, "approve")
async def approve(
    on: Acting,
    release: Annotated[str, typer.Argument(metavar="RELEASE")],
    yes: Annotated[bool, typer.Option("--yes", help="You have read it: do not ask.")] = False,
) -> Answer:
    """Approve a grant after reading its exact bytes. Takes another person than the one who prepared it."""
    from gateway.service.calls import Endorsed, Named, ReleaseView

    view: ReleaseView = await on.desk.call("consents/show", Named(release), ReleaseView)
    statement, document = _bound(view)
    reply = document.reply
    if statement.requester == on.desk.identity.officer:
        raise RoleMissing("you prepared this answer yourself: another person approves it")
    said = f"{view.partner}: consent {reply.consent}{f' until {reply.until}' if reply.until else ''}"
    if not (yes and on.place.json_out):
        why = f"justification: {one_line(view.justification)}"
        show(
            [f"{said}, asked by {statement.requester}", why, *_about(document), readable(view.payload)],
            stderr=on.place.json_out,
        )
    if not yes:
        confirm("Approve this answer?", read="answer")
    endorsed = Endorsed((release,), on.desk.endorse("approve", [view.statement]))
    done: dict[str, str] = await on.desk.call("consents/approve", endorsed, dict[str, str], once=True)
    return leaving(on, Answer({"release": release, "state": done[release]}, [f"{said}: {done[release]}"]))


@acting(commands, "accept")
async def accept(
    on: Acting,
    message: Annotated[str, typer.Argument(metavar="ANSWER", help="Id of the partner's consent-answer.")],
    until: Annotated[str, typer.Option("--until", help="Last day, YYYY-MM-DD, where it names none.")] = "",
) -> Answer:
    """Record as a ground what a partner granted; another officer confirms it (ground confirm)."""
    from gateway.service.calls.consents import AcceptConsent
    from gateway.service.calls.grounds import GroundView

    view: GroundView = await on.desk.call(
        "consents/accept", AcceptConsent(message, until), GroundView, once=True
    )
    hint = f"another officer confirms it: ecluse ground confirm {view.item.id}"
    return Answer(view.item, [*words(read_ground(view)), hint])


def _about(document: "ReplyDocument") -> list[str]:
    """What a grant lets pass on, for whoever approves it: bound by the statement, and nothing of it leaves."""
    about = document.about
    if about is None:
        return []
    return [
        f"record {about.record} ({about.kind}), in message {about.message_id} (release {about.release})",
        f"items: {', '.join(about.items)}",
        f"for {about.purpose}, to {about.recipient or 'a recipient that the partner does not name'}",
    ]


def _bound(view: "ReleaseView") -> "tuple[Statement, ReplyDocument]":
    """What is signed binds what is shown: digests are computed here."""
    from gateway.flow.change import digest
    from gateway.model.decision import ReplyDocument, Statement
    from gateway.wire.strict import read_canonical

    statement = read_canonical(view.statement, Statement)
    document = read_canonical(view.document, ReplyDocument)
    shown = (view.id, view.message_id, digest(view.payload), digest(view.document))
    signed = (statement.release, statement.message_id, statement.payload_sha256, statement.decision_sha256)
    if shown != signed:
        raise LocalFault("the statement names other bytes than those shown", code=BYTES_DIFFER)
    _require_said(view.payload, view.partner, document.reply)
    return statement, document


def _require_said(payload: bytes, partner: str, reply: "Reply") -> None:
    """The bytes say that, and go there; nothing else fits into them."""
    from gateway.wire.ct_json import CtJson

    try:
        said = CtJson().parse(payload)
    except PartnerFault:
        said = None
    if said is None or said.reply != reply or said.envelope.recipient != partner:
        raise LocalFault(
            "the bytes shown say something else than asked: nothing was signed", code=BYTES_DIFFER
        )

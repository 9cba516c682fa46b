"""`ecluse disclose`, `approve`, `reject`: officers sign here, and only what they were shown."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple
from uuid import UUID

import msgspec
import typer

from gateway.cli import texts
from gateway.cli.ground import named_grounds
from gateway.cli.shared import (
    BYTES_DIFFER,
    DONE,
    NEGATIVE,
    Acting,
    Answer,
    acting,
    confirm,
    group,
    leaving,
    one_line,
    partners_of,
    show,
    table,
)
from gateway.errors import LocalFault, PartnerFault, RequestInvalid, RoleMissing

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gateway.model.decision import DecisionDocument, FieldOutcome, Reason, Statement
    from gateway.model.request import Emergency, Lift
    from gateway.service.calls import Approved, DecisionView, ReleaseView

commands = group("Releases.")

Record = Annotated[str, typer.Argument(metavar="RECORD", help="Handle or entity id.")]
Records = Annotated[
    list[str],
    typer.Argument(metavar="RECORD...", help="Handle or entity id; several, or @FILE, with --case alone."),
]
CaseName = Annotated[str, typer.Option("--case", help="Name of a bulk case that is reviewed as one.")]
Partners = Annotated[str, typer.Option("--to", help="Partners, separated by commas.")]
Purpose = Annotated[str, typer.Option("--purpose", help="Purpose, as the agreement names it.")]
Reason_ = Annotated[str, typer.Option("--reason", help="Why; stays inside.")]
Lifted = Annotated[list[str] | None, typer.Option("--lift", help="Class C field to unlock; repeatable.")]
LiftReasons = Annotated[list[str] | None, typer.Option("--lift-reason", help="Why, one for each --lift.")]
EmergencyClaim = Annotated[
    str, typer.Option("--emergency", help="The immediate and serious threat; stays inside.")
]
OralApproval = Annotated[
    str, typer.Option("--oral-approval", help="Approver who agreed orally and confirms by a signature.")
]
Yes = Annotated[bool, typer.Option("--yes", help="You have read them: do not ask.")]

#: What becomes of a decision: nothing leaves before an approver signs, and a review is nobody's permit.
STATES = {"PERMIT": "awaiting-approval", "DENY": "denied", "REVIEW": "review"}

#: States after an approval: an approver who repeats a command under one idempotency key finds the release there.
APPROVED = ("queued", "sequenced", "sealed", "attempted", "delivered", "refused", "withdrawn")


# --- disclose --------------------------------------------------------------------------------------------------------


@acting(commands, "disclose")
async def disclose(
    on: Acting,
    records: Records,
    to: Partners,
    purpose: Purpose,
    basis: Annotated[str, typer.Option("--basis", help="Legal basis.")],
    justification: Annotated[str, typer.Option("--justification", help="Why (LED art. 25); stays inside.")],
    conversation: Annotated[str, typer.Option("--conversation", help="Continue this conversation.")] = "",
    lift: Lifted = None,
    lift_reason: LiftReasons = None,
    emergency: EmergencyClaim = "",
    oral_approval: OralApproval = "",
    request: Annotated[str, typer.Option("--request", help="The request it answers.")] = "",
    case: CaseName = "",
) -> Answer:
    """Prepare a release of one record to each partner and sign it as requester; an approver decides.

    With --case NAME: of many records to one partner, which an approver reviews as one (ecluse approve --case NAME).

    \b
    (1) the gateway decides and freezes the bytes; (2) the statement must name exactly the bytes shown, this release
    and you; (3) sign all statements at once and send. Exit code 1 when any partner is denied, or a release is voided.

    With --emergency, within the scope that two persons configured; with --oral-approval too it leaves on your
    signature, and the approver confirms it (emergency confirm).
    """
    from gateway.cli.case import disclose_case
    from gateway.service.calls import DecisionView, Disclose

    lifts, claimed = lifts_of(lift, lift_reason), require_claim(emergency, oral_approval)
    if conversation and not _is_uuid(conversation):
        raise RequestInvalid(
            "a conversation is a UUID in lower-case letters", diagnostic={"field": "conversation"}
        )
    if case:
        if lift or conversation or emergency or request:
            raise RequestInvalid(
                "a case has a conversation of its own, no lifts and no request, and is no emergency",
                diagnostic={"field": "case"},
            )
        return await disclose_case(on, case, records, partners_of(to), (purpose, basis, justification))
    if len(records) != 1 or records[0].startswith("@"):
        raise RequestInvalid(
            "several records are disclosed as a case: --case NAME", diagnostic={"field": "case"}
        )
    # (1)
    params = Disclose(
        records[0], partners_of(to), purpose, basis, justification, conversation, lifts, claimed, request
    )
    views: list[DecisionView] = await on.desk.call("releases/prepare", params, list[DecisionView], once=True)
    given = await signed(on, views)
    return leaving(on, given) if oral_approval else given


def lifts_of(lift: list[str] | None, reasons: list[str] | None) -> "tuple[Lift, ...]":
    """Each field to unlock with its reason; raises `RequestInvalid` where one lacks the other."""
    from gateway.model.request import Lift

    if len(lift or ()) != len(reasons or ()):
        raise RequestInvalid("each --lift needs its own --lift-reason", diagnostic={"field": "lifts"})
    return tuple(Lift(*pair) for pair in zip(lift or (), reasons or (), strict=True))


def require_claim(threat: str, oral_approver: str) -> "Emergency | None":
    """The emergency that is claimed, if one is; raises `RequestInvalid` for an oral approval of anything else."""
    from gateway.model.request import Emergency

    if oral_approver and not threat:
        raise RequestInvalid("only an emergency is approved orally", diagnostic={"field": "oral-approval"})
    return Emergency(threat, oral_approver) if threat else None


async def signed(on: Acting, views: Sequence["DecisionView"]) -> Answer:
    """Steps (2) and (3) of `disclose`, for what was prepared; the rest is denied."""
    prepared, states = await sign_prepared(on, views)
    denied = [view.partner for view in views if not view.release]
    document = {
        "releases": [
            {**decision_of(view), "state": states.get(view.release, STATES[view.effect])} for view in views
        ],
        "denied": denied,
    }
    code = NEGATIVE if denied or "voided" in states.values() else DONE
    return Answer(document, _disclosed(prepared, states) + denials(views), code)


async def sign_prepared(
    on: Acting, views: Sequence["DecisionView"]
) -> tuple[list["DecisionView"], dict[str, str]]:
    """One signature over the statements of all that may leave; returns those, and their states."""
    from gateway.service.calls import Endorsed

    prepared = [view for view in views if view.release]
    # (2)
    for view in prepared:
        require_prepared(view, on.desk.identity.officer)
    # (3)
    states = {view.release: await _state(on, view.release) for view in prepared if on.repeatable}
    waiting = [view for view in prepared if states.get(view.release, UNSIGNED) == UNSIGNED]
    if waiting:
        endorsement = on.desk.endorse("request", [view.statement for view in waiting])
        releases = tuple(view.release for view in waiting)
        states |= await on.desk.call("releases/endorse", Endorsed(releases, endorsement), dict[str, str])
    return prepared, states


#: State of a release whose requester has not signed.
UNSIGNED = "awaiting-endorsement"


async def _state(on: Acting, release: str) -> str:
    """What became of a release that a repeated command finds: the first run may have ended in between."""
    from gateway.service.calls import Named, ReleaseView

    view: ReleaseView = await on.desk.call("releases/show", Named(release), ReleaseView)
    return view.state


def require_prepared(view: "DecisionView", officer: str) -> None:
    statement = _statement(view.statement)
    named = (statement.release, statement.message_id, statement.requester, statement.payload_sha256)
    if named != (view.release, view.message_id, officer, _sha256(view.payload)):
        raise LocalFault(
            "the statement names other bytes than those shown: nothing was signed", code=BYTES_DIFFER
        )


def _disclosed(prepared: Sequence["DecisionView"], states: dict[str, str]) -> list["RenderableType"]:
    text: list[RenderableType] = []
    for view in prepared:
        state = states[view.release].replace("-", " ")
        text.append(f"{view.partner}: release {view.release} {state} (conversation {view.conversation})")
        text += [field_table(view.fields), *texts.lines(view.texts), *idle_lines(view)]
    return text


# --- approve, reject -------------------------------------------------------------------------------------------------


class Bound(NamedTuple):
    """A release whose statement binds exactly the bytes shown; only `bound` makes one."""

    view: "ReleaseView"
    statement: "Statement"
    document: "DecisionDocument"

    @property
    def threat(self) -> str:
        """The threat that an emergency states; empty for anything else."""
        return self.document.emergency.threat if self.document.emergency else ""

    @property
    def oral_approver(self) -> str:
        """Who approved an emergency orally; empty when two sign."""
        return self.document.emergency.oral_approver if self.document.emergency else ""


@acting(commands, "approve")
async def approve(
    on: Acting,
    releases: Annotated[list[str] | None, typer.Argument(metavar="RELEASE...")] = None,
    yes: Yes = False,
    case: CaseName = "",
) -> Answer:
    """Approve releases after reading their exact bytes. Takes another person than the requester.

    With --case NAME: all that waits of a bulk case, shown as a whole as well, under one signature.

    \b
    (1) statement, payload and decision belong together, computed here; (2) the requester is somebody else;
    (3) the bytes, what was withheld and the grounds they rest on are shown, and you agree; (4) one signature over all
    statements is sent. Exit code 1 when a release is voided instead, because something changed since it was prepared.
    """
    from gateway.cli.case import case_document, shown_case, whole_case
    from gateway.service.calls import Approved, Endorsed, Named, ReleaseView

    if bool(case) == bool(releases):
        raise RequestInvalid("name releases, or one case", diagnostic={"field": "case"})
    found = await shown_case(on, case) if case else None
    wanted = found.releases if found is not None else dict.fromkeys(releases or ())
    views = [await on.desk.call("releases/show", Named(one), ReleaseView) for one in wanted]
    done = {view.id: view.state for view in views if on.repeatable and view.state in APPROVED}
    if len(done) == len(views) and (first := await _answered_before(on, views)) is not None:
        return leaving(on, first)
    # (1)
    checked = [bound(view) for view in views if view.id not in done]
    # (2)
    if any(one.statement.requester == on.desk.identity.officer for one in checked):
        raise RoleMissing("you asked for this release yourself: another person approves it")
    # (3)
    if checked:
        whole = whole_case(found, checked) if found is not None else ()
        await agree(on, checked, f"Approve {len(checked)} release(s)?", yes=yes, whole=whole)
    # (4)
    outcome = Approved((), {})
    if checked:
        endorsement = on.desk.endorse("approve", [one.view.statement for one in checked])
        params = Endorsed(tuple(one.view.id for one in checked), endorsement)
        outcome = await on.desk.call("releases/approve", params, Approved, once=True)
    answer = _approved(outcome, checked, done)
    if found is not None:
        answer = Answer({"case": case_document(found, checked), **answer.document}, answer.text, answer.code)
    return leaving(on, answer)


async def _answered_before(on: Acting, views: Sequence["ReleaseView"]) -> Answer | None:
    """The answer to the same command under the same key, byte for byte; None when there was none.

    Asked without a signature: that a gateway says "approved already" is no reason to sign what nobody was shown.
    """
    from gateway.service.calls import Approved, Endorsed

    checked = [bound(view) for view in views]
    params = Endorsed(tuple(one.view.id for one in checked), "")
    try:
        outcome: Approved = await on.desk.call("releases/approve", params, Approved, once=True)
    except (LocalFault, PartnerFault):  # approved under another key
        return None
    return _approved(outcome, checked, {})


def _approved(outcome: "Approved", checked: Sequence[Bound], done: dict[str, str]) -> Answer:
    text: list[RenderableType] = [f"{release}: queued" for release in outcome.queued]
    text += [f"{release}: {state} already" for release, state in done.items()]
    for release, reasons in outcome.voided.items():
        text += [f"{release}: VOIDED, it does not leave", *reasons_of(reasons)]
    document = {
        "queued": outcome.queued,
        "voided": outcome.voided,
        "done": done,
        "releases": [_approval(one) for one in checked],
    }
    return Answer(document, text, NEGATIVE if outcome.voided else DONE)


def bound(view: "ReleaseView") -> Bound:
    """Bind what is shown to what is signed: every fact below is read from bytes whose digest the statement names."""
    from gateway.model.decision import DecisionDocument

    statement = _statement(view.statement)
    named = (statement.release, statement.message_id, statement.payload_sha256, statement.decision_sha256)
    if named != (view.id, view.message_id, _sha256(view.payload), _sha256(view.document)):
        raise LocalFault(
            "the statement names other bytes than those shown: nothing was signed", code=BYTES_DIFFER
        )
    try:
        document = msgspec.json.decode(view.document, type=DecisionDocument)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise LocalFault("the decision shown cannot be read: nothing was signed", code=BYTES_DIFFER) from None
    if (document.envelope.recipient, document.envelope.message_id) != (
        document.partner,
        statement.message_id,
    ):
        raise LocalFault("the decision shown is of another message: nothing was signed", code=BYTES_DIFFER)
    return Bound(view, statement, document)


async def agree(
    on: Acting,
    checked: Sequence[Bound],
    question: str,
    *,
    yes: bool,
    whole: Sequence["RenderableType"] = (),
) -> None:
    """Show everything, and what it comes to as a whole; then the officer's word. On standard error with ``--json``,
    where output is one document."""
    if not (yes and on.place.json_out):
        for one in checked:
            grounds = await named_grounds(on, one.document.grounds)
            show(_shown(one, grounds), stderr=on.place.json_out)
    if whole and not (yes and on.place.json_out):
        show(whole, stderr=on.place.json_out)
    if not yes:
        confirm(question, read="releases")


def _shown(one: Bound, grounds: Sequence[str]) -> list["RenderableType"]:
    document, handling = one.document, one.document.handling
    return [
        f"release {one.view.id} to {document.partner}, requested by {one.statement.requester}",
        f"not after {one.statement.not_after}",
        f"purpose {handling.purpose}, legal basis {handling.legal_basis}, regime {handling.regime}",
        f"onward {handling.onward}, to be kept until {handling.retention_until}",
        f"justification: {one_line(document.justification)}",
        *([f"EMERGENCY: {one_line(one.threat)}"] if one.threat else []),
        *(f"lift {one_line(lift.pointer)}: {one_line(lift.reason)}" for lift in document.lifts),
        *grounds,
        f"payload, {len(one.view.payload)} bytes, sha256 {one.statement.payload_sha256} (indented for reading):",
        readable(one.view.payload),
        *texts.lines([*texts.of_payload(one.view.payload), *one.view.reasons]),
        field_table([field for record in document.records for field in record.fields]),
    ]


def readable(payload: bytes) -> str:
    """JSON bytes indented, every sign of them still there; anything else as a count."""
    try:
        return msgspec.json.format(payload, indent=2).decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return f"({len(payload)} bytes that are not JSON)"


def _approval(one: Bound) -> dict[str, Any]:
    fields = [field for record in one.document.records for field in record.fields]
    return {
        "release": one.view.id,
        "partner": one.document.partner,
        "message_id": one.statement.message_id,
        "payload_sha256": one.statement.payload_sha256,
        "decision_sha256": one.statement.decision_sha256,
        "requester": one.statement.requester,
        "grounds": one.document.grounds,
        "released": [field.pointer for field in fields if field.outcome == "released"],
        "withheld": [field for field in fields if field.outcome == "withheld"],
        "free_texts": texts.documents([*texts.of_payload(one.view.payload), *one.view.reasons]),
    }


@acting(commands, "reject")
async def reject(
    on: Acting, release: Annotated[str, typer.Argument(metavar="RELEASE")], reason: Reason_
) -> Answer:
    """Refuse a release that waits for approval."""
    from gateway.service.calls import Ended

    done: dict[str, str] = await on.desk.call(
        "releases/reject", Ended(release, reason), dict[str, str], once=True
    )
    return Answer({"release": release, "state": done[release]}, [f"{release}: {done[release]}"])


# --- words -----------------------------------------------------------------------------------------------------------


def _is_uuid(text: str) -> bool:
    """Whether the text is a UUID in its one spelling, as ids of conversations are."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _statement(raw: bytes) -> "Statement":
    from gateway.model.decision import Statement
    from gateway.wire.strict import read_canonical

    return read_canonical(raw, Statement)


def _sha256(raw: bytes) -> str:
    from gateway.flow.change import digest

    return digest(raw)


def decision_of(view: "DecisionView") -> dict[str, Any]:
    """A decision for machines: never the payload, which only leaves through the signer."""
    return {
        "partner": view.partner,
        "effect": view.effect,
        "release": view.release,
        "message_id": view.message_id,
        "conversation": view.conversation,
        "reasons": view.reasons,
        "released": [field.pointer for field in view.fields if field.outcome == "released"],
        "withheld": [field for field in view.fields if field.outcome == "withheld"],
        "free_texts": texts.documents(view.texts),
        "idle_lifts": view.idle_lifts,
    }


def idle_lines(view: "DecisionView", language: str = "en") -> list[str]:
    """Each lift that unlocks nothing, with its rule: an approver need not be asked about it."""
    from gateway.policy.explain import explain_lift

    return [f"  ! lift {one_line(explain_lift(lift, language))}" for lift in view.idle_lifts]


def denials(views: Iterable["DecisionView"], language: str = "en") -> list["RenderableType"]:
    text: list[RenderableType] = []
    for view in views:
        if view.effect != "PERMIT":
            text += [f"{view.partner}: {view.effect}", *reasons_of(view.reasons, language)]
            text += texts.lines(view.texts)
    return text


def reasons_of(reasons: Iterable["Reason"], language: str = "en") -> list[str]:
    from gateway.policy.explain import explain

    return [f"  {explain(reason, language)}" for reason in reasons if reason.effect != "PERMIT"]


def field_table(fields: Iterable["FieldOutcome"]) -> "RenderableType":
    rows = [(field.outcome, field.pointer, field.rule, field.source_kind, field.article) for field in fields]
    return table(("outcome", "field", "rule", "source", "article"), rows)

"""`ecluse change`: what widens release is proposed by one person and approved by another."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import msgspec
import typer

from gateway.cli.shared import BYTES_DIFFER, Acting, Answer, acting, confirm, group, read_file, show, table
from gateway.errors import Conflict, LocalFault, RequestInvalid
from gateway.model.agreement import SignedAgreement
from gateway.model.signing import ChangeKind

if TYPE_CHECKING:
    from gateway.model.signing import Change
    from gateway.service.calls import ChangeView

commands = group("Two-person changes of officers, partners, agreements and policy.")

ChangeId = Annotated[str, typer.Argument(metavar="CHANGE")]


async def propose(on: Acting, kind: str, target: str, document: Any) -> Answer:
    """Draft, check, sign and send a proposal of ``document``: a struct, builtins, or its bytes.

    (1) the gateway drafts the statement; (2) it must be ours, for this kind and target, and name exactly the document
    meant; (3) what it would change is shown; sign and send. Under an idempotency key, a repeated proposal gets the
    first answer.
    """
    from gateway.flow.change import canonical, read_change
    from gateway.service.calls import ChangeDraft, ChangeView, DraftChange, ProposeChange

    meant = document if isinstance(document, bytes) else canonical(document)
    # (1)
    params = DraftChange(kind, target, meant)
    draft: ChangeDraft = await on.desk.call("changes/draft", params, ChangeDraft, once=True)
    # (2)
    change = read_change(draft.statement)
    named = (change.home, change.kind, change.target, change.proposer)
    if named != (on.desk.org, kind, target, on.desk.identity.officer):
        raise LocalFault("the gateway drafted another change: nothing was signed", code=BYTES_DIFFER)
    _require_document(change, draft.document)
    if _builtins(draft.document) != _builtins(meant):
        raise LocalFault("the gateway drafted another document: nothing was signed", code=BYTES_DIFFER)
    # (3)
    await _show_effect(on, change, draft.document)
    signature = on.desk.sign_change("propose", draft.statement)
    sent = ProposeChange(draft.statement, draft.document, signature)
    return _answer(await on.desk.call("changes/propose", sent, ChangeView, once=True))


async def _show_effect(on: Acting, change: "Change", document: bytes) -> None:
    """Before anybody signs: the members that differ, and the decisions that would come out otherwise. On standard
    error, beside the answer."""
    from gateway.cli.replay import activation

    effect = await activation(on, change.kind, change.target, document, before_sha256=change.before_sha256)
    show(effect, stderr=True)


def _require_document(change: "Change", document: bytes) -> None:
    from gateway.flow.change import digest

    if change.after_sha256 != digest(document):
        raise LocalFault("the statement names another document than the one shown", code=BYTES_DIFFER)


def _builtins(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise RequestInvalid("the document is not JSON") from None


def _answer(view: "ChangeView") -> Answer:
    applied = view.state == "applied"
    line = f"change {view.id} of {view.kind} {view.target}: {view.state}"
    hint = "" if applied else f"a second security officer approves it: ecluse change approve {view.id}"
    return Answer(_summary(view), [line, hint] if hint else [line])


def _summary(view: "ChangeView") -> dict[str, Any]:
    return {
        "id": view.id,
        "state": view.state,
        "kind": view.kind,
        "target": view.target,
        "proposer": view.proposer,
        "proposed_at": view.proposed_at,
    }


@acting(commands, "propose")
async def propose_file(
    on: Acting,
    kind: Annotated[str, typer.Argument(help=", ".join(get_args(ChangeKind)))],
    target: Annotated[str, typer.Argument(help="Id of what is changed.")],
    file: Annotated[Path, typer.Argument(help="The new document.")],
) -> Answer:
    """Propose a change; one that only narrows is in force at once."""
    return await propose(on, kind, target, read_file(file))


@acting(commands, "approve")
async def approve(
    on: Acting,
    change: ChangeId,
    yes: Annotated[bool, typer.Option("--yes", help="You have read it: do not ask.")] = False,
) -> Answer:
    """Approve a proposal after its statement was checked against the document here. Takes a second person.

    \b
    (1) statement and document belong together, for this organisation; (2) the proposer is another officer;
    (3) both are shown, and you are asked, or have said --yes; (4) sign and send.
    """
    from gateway.flow.change import read_change
    from gateway.service.calls import ApproveChange, ChangeView, Named

    view: ChangeView = await on.desk.call("changes/show", Named(change), ChangeView)
    repeated = on.repeatable and view.state == "applied"
    if view.state == "superseded":
        raise Conflict("the change is superseded: another document is in force by now; propose it anew")
    # (1)
    statement = read_change(view.statement)
    _require_document(statement, view.document)
    named = (statement.id, statement.home, statement.kind, statement.target, statement.proposer)
    if named != (view.id, on.desk.org, view.kind, view.target, view.proposer):
        raise LocalFault("the statement is of another change than the one shown", code=BYTES_DIFFER)
    # (2)
    if statement.proposer == on.desk.identity.officer:
        raise RequestInvalid("a change is approved by another officer than its proposer")
    # (3)
    signature = ""  # what is applied already is signed by nobody again: the first answer is asked for without
    if not repeated:
        show(_shown(view, statement), stderr=True)
        await _show_effect(on, statement, view.document)
        if not yes:
            confirm("Approve this change?", read="change")
        signature = on.desk.sign_change("approve", view.statement)
    # (4)
    sent = ApproveChange(view.id, signature)
    try:
        applied: ChangeView = await on.desk.call("changes/approve", sent, ChangeView, once=True)
    except Conflict:  # applied, and not by this command under this key
        if not repeated:
            raise
        applied = view
    shown = _answer(applied)
    return Answer({**shown.document, "before_sha256": statement.before_sha256, "after_sha256": statement.after_sha256,
                   "document": _builtins(view.document)}, [*_shown(view, statement), *shown.text])  # fmt: skip


def _shown(view: "ChangeView", statement: "Change") -> list[str]:
    return [
        f"{view.kind} {view.target}, proposed by {view.proposer} at {view.proposed_at:%Y-%m-%dT%H:%M:%SZ}",
        f"widens release: {'yes' if statement.widening else 'no'}",
        f"before  sha256 {statement.before_sha256 or '(nothing)'}",
        f"after   sha256 {statement.after_sha256}",
        *_readable(view),
    ]


def _readable(view: "ChangeView") -> list[str]:
    """The document as people read it; an agreement by the terms inside it, which is what was signed."""
    from gateway.flow.change import digest
    from gateway.wire.strict import b64url_decode

    if view.kind not in ("agreement", "agreement-revoke"):
        return [msgspec.json.format(view.document, indent=2).decode()]
    try:
        signed = msgspec.json.decode(view.document, type=SignedAgreement)
        terms = b64url_decode(signed.terms)
        shown = msgspec.json.format(terms, indent=2).decode()
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise LocalFault(
            "the agreement shown cannot be read: nothing was signed", code=BYTES_DIFFER
        ) from None
    sides = " and ".join(sorted(signed.signatures)) or "nobody"
    return [f"signed by {sides}", f"terms   sha256 {digest(terms)}", shown]


@acting(commands, "show")
async def show_change(on: Acting, change: ChangeId) -> Answer:
    """Show a proposal: its document, what it changes, and the past decisions that would come out otherwise."""
    from gateway.flow.change import read_change
    from gateway.service.calls import ChangeView, Named

    view: ChangeView = await on.desk.call("changes/show", Named(change), ChangeView)
    statement = read_change(view.statement)
    _require_document(statement, view.document)
    if view.state == "proposed":
        await _show_effect(on, statement, view.document)
    document = {**_summary(view), "statement": statement, "document": _builtins(view.document)}
    return Answer(document, [f"{view.id}: {view.state}", *_shown(view, statement)])


@acting(commands, "reject")
async def reject(on: Acting, change: ChangeId) -> Answer:
    """Close a proposal without applying it."""
    from gateway.service.calls import Named

    done: dict[str, str] = await on.desk.call("changes/reject", Named(change), dict[str, str], once=True)
    return Answer({"id": change, "state": done[change]}, [f"change {change}: rejected"])


@acting(commands, "list")
async def list_changes(
    on: Acting,
    state: Annotated[
        str, typer.Option("--state", help="proposed, superseded, applying, applied or rejected")
    ] = "",
    after: Annotated[str, typer.Option("--after")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=500)] = 100,
) -> Answer:
    """List changes."""
    from gateway.service.calls import ChangeView, Page

    found: list[ChangeView] = await on.desk.call("changes/list", Page(after, limit, state), list[ChangeView])
    rows = [(one.id, one.state, one.kind, one.target, one.proposer, one.proposed_at) for one in found]
    columns = ("change", "state", "kind", "target", "proposer", "proposed")
    return Answer({"changes": [_summary(one) for one in found]}, [table(columns, rows)])

"""`ecluse audit finding`: what a reviewer finds, what the house answers, and how it ends; each step signed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from gateway.cli.export import commands
from gateway.cli.shared import Acting, Answer, Why, acting, group, one_line, read_file, table
from gateway.errors import NotFound, RequestInvalid
from gateway.model.time import rfc3339

if TYPE_CHECKING:
    from gateway.model.finding import FindingStep, Step
    from gateway.service.calls.findings import FindingView

__all__ = ["commands"]

findings = group("Findings of reviewers: signed steps, each an entry of the log.")
commands.add_typer(findings, name="finding")

FindingId = Annotated[str, typer.Argument(metavar="FINDING")]
Text = Annotated[str, typer.Option("--text", help="What is said; kept encrypted.")]
TextFile = Annotated[Path | None, typer.Option("--text-file", help="The same from a file, UTF-8.")]


@acting(findings, "new")
async def new(
    on: Acting,
    about: Annotated[str, typer.Argument(metavar="ABOUT", help="A release, or 'entry N' of the master log.")],
    severity: Annotated[str, typer.Option("--severity", help="critical, major, minor or remark.")],
    text: Text = "",
    file: TextFile = None,
) -> Answer:
    """Write down a finding about an entry or a release, signed with the reviewer's key."""
    import os
    import uuid
    from typing import get_args

    from gateway.model.finding import FindingStep, Severity
    from gateway.wire.strict import b64url

    if severity not in get_args(Severity):
        raise RequestInvalid(
            f"a severity is one of {', '.join(get_args(Severity))}", diagnostic={"field": "severity"}
        )
    document = FindingStep(
        v=1,
        home=on.desk.org,
        finding=str(uuid.uuid4()),
        step="find",
        about=about,
        severity=msgspec.convert(severity, Severity),
        text=_text(text, file),
        before="",
        by=on.desk.identity.officer,
        nonce=b64url(os.urandom(32)),
    )
    return await _send(on, document)


@acting(findings, "answer")
async def answer(on: Acting, finding: FindingId, text: Text = "", file: TextFile = None) -> Answer:
    """Answer a finding for the house: an approver or a security officer, another person than its finder."""
    return await _follow(on, finding, "answer", _text(text, file))


@acting(findings, "close")
async def close(on: Acting, finding: FindingId, text: Text = "", file: TextFile = None) -> Answer:
    """Close a finding that was answered: a reviewer of the body that found it."""
    return await _follow(on, finding, "close", _text(text, file))


@acting(findings, "show")
async def show(on: Acting, finding: FindingId, why: Why = "") -> Answer:
    """Show a finding in full, with its signatures. Looking is logged."""
    from gateway.model.finding import FindingStep

    view = await _view(on, finding, why)
    text = [f"{view.item.about}: {view.item.severity}, {view.item.state}"]
    for one in view.steps:
        said = msgspec.json.decode(one.document, type=FindingStep)
        text.append(f"{rfc3339(one.at)} {one.step} by {one.by}: {one_line(said.text)}")
    return Answer(view, text)


@acting(findings, "list")
async def list_findings(
    on: Acting,
    state: Annotated[str, typer.Option("--state", help="open, answered or closed.")] = "",
    after: Annotated[str, typer.Option("--after", help="Last id of the page before.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=500)] = 100,
) -> Answer:
    """List findings: about what, how grave, and how far they are. No text."""
    from gateway.service.calls import Page
    from gateway.service.calls.findings import FindingItem

    found: list[FindingItem] = await on.desk.call(
        "findings/list", Page(after, limit, state), list[FindingItem]
    )
    rows = [(one.id, one.about, one.severity, one.state, one.opened_by, one.opened_at) for one in found]
    return Answer(
        {"findings": found}, [table(("finding", "about", "severity", "state", "found by", "at"), rows)]
    )


def _text(text: str, file: Path | None) -> str:
    """Raises `RequestInvalid` unless it is given in exactly one way."""
    from gateway.model.finding import MAX_TEXT

    if bool(text) == (file is not None):
        raise RequestInvalid("give --text or --text-file", diagnostic={"field": "text"})
    try:
        text = text or read_file(file, limit=4 * MAX_TEXT).decode() if file is not None else text
    except UnicodeDecodeError:
        raise RequestInvalid("the text is not UTF-8", diagnostic={"field": "text-file"}) from None
    if len(text) > MAX_TEXT:
        raise RequestInvalid(f"a text has at most {MAX_TEXT} characters", diagnostic={"field": "text"})
    return text


async def _view(on: Acting, finding: str, why: str) -> "FindingView":
    from gateway.service.calls import Named
    from gateway.service.calls.findings import FindingView

    view: FindingView = await on.desk.call("findings/show", Named(finding, why), FindingView)
    return view


async def _follow(on: Acting, finding: str, step: "Step", text: str) -> Answer:
    import os

    from gateway.model.finding import FindingStep
    from gateway.wire.strict import b64url

    view = await _view(on, finding, step)
    if not view.steps:
        raise NotFound("what this finding says was erased")
    document = FindingStep(
        v=1,
        home=on.desk.org,
        finding=finding,
        step=step,
        about=view.item.about,
        severity=view.item.severity,
        text=text,
        before=view.item.last_sha256,
        by=on.desk.identity.officer,
        nonce=b64url(os.urandom(32)),
    )
    return await _send(on, document)


async def _send(on: Acting, step: "FindingStep") -> Answer:
    from gateway.flow.change import canonical
    from gateway.service.calls.findings import FindingItem, SignedStep

    names = {"find": "new", "answer": "answer", "close": "close"}
    raw = canonical(step)
    params = SignedStep(raw, on.desk.endorse(step.step, [raw]))
    item: FindingItem = await on.desk.call(f"findings/{names[step.step]}", params, FindingItem, once=True)
    return Answer(item, [f"{item.id}: {item.about}, {item.severity}, {item.state}"])

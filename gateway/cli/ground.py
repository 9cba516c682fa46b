"""`ecluse ground`: what a release rests on because somebody outside said so; one officer records, another confirms."""

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from gateway.cli.shared import (
    BYTES_DIFFER,
    Acting,
    Answer,
    Why,
    acting,
    confirm,
    group,
    instant_of,
    one_line,
    partners_of,
    read_file,
    show,
    table,
)
from gateway.errors import LocalFault, RoleMissing
from gateway.model.time import rfc3339

if TYPE_CHECKING:
    from gateway.model.ground import Ground, GroundDocument, GroundName
    from gateway.service.calls.grounds import GroundView

commands = group("Consents, judicial authorisations, derogations: one officer records, another confirms.")

Record = Annotated[str, typer.Argument(metavar="RECORD", help="Handle or entity id.")]
GroundId = Annotated[str, typer.Argument(metavar="GROUND")]
Recipients = Annotated[str, typer.Option("--to", help="Organisations it holds toward, separated by commas.")]
Until = Annotated[str, typer.Option("--until", help="Last day, YYYY-MM-DD (UTC).")]
At = Annotated[str, typer.Option("--at", help="When, RFC 3339 in UTC; now if not given.")]


class Way(StrEnum):
    """How a consent reached us. What came by message is recorded where that message is accepted."""

    telephone = "telephone"
    paper = "paper"


@acting(commands, "consent")
async def consent(
    on: Acting,
    record: Record,
    originator: Annotated[str, typer.Option("--from", help="Organisation that supplied the items.")],
    to: Recipients,
    purpose: Annotated[list[str], typer.Option("--purpose", help="Purpose; repeatable.")],
    until: Until,
    by: Annotated[str, typer.Option("--by", help="Who gave it: their name for that person or office.")],
    item: Annotated[
        list[str] | None, typer.Option("--item", help="Field pattern it is about; repeatable. None: all.")
    ] = None,
    given: Annotated[Way, typer.Option("--given", help="How it was given.")] = Way.telephone,
    at: At = "",
) -> Answer:
    """Record that an originator lets what it supplied about this subject go to others."""
    from gateway.model.ground import EVERYTHING, Consent

    items = tuple(item or (EVERYTHING,))
    ground = Consent(originator, partners_of(to), tuple(purpose), items, until, given.value, by, _instant(at))
    return await _record(on, record, ground)


@acting(commands, "authorisation")
async def authorisation(
    on: Acting,
    record: Record,
    to: Recipients,
    until: Until,
    authority: Annotated[str, typer.Option("--authority", help="Which judicial authority.")],
    reference: Annotated[str, typer.Option("--reference", help="Its reference.")],
    file: Annotated[Path, typer.Option("--file", help="Its document; only the digest is kept.")],
) -> Answer:
    """Record the judicial authority's authorisation to send judicial information (law 5.8.1992 art. 44/11/6)."""
    from gateway.flow.change import digest
    from gateway.model.ground import Authorisation

    found = digest(read_file(file))
    return await _record(on, record, Authorisation(authority, reference, found, partners_of(to), until))


@acting(commands, "derogation")
async def derogation(
    on: Acting,
    record: Record,
    to: Annotated[str, typer.Option("--to", help="The one organisation it is toward.")],
    until: Until,
    justification: Annotated[str, typer.Option("--justification", help="Why; stays inside.")],
    data: Annotated[list[str], typer.Option("--data", help="Field pattern that may leave; repeatable.")],
    at: At = "",
) -> Answer:
    """Record a derogation for a transfer outside the European Union (Directive (EU) 2016/680 art. 38)."""
    from gateway.model.ground import TransferDerogation

    when = _instant(at)
    return await _record(on, record, TransferDerogation(to, justification, tuple(data), when, until))


async def _record(on: Acting, record: str, ground: "Ground") -> Answer:
    from gateway.service.calls.grounds import GroundView, RecordGround

    view: GroundView = await on.desk.call(
        "grounds/record", RecordGround(record, ground), GroundView, once=True
    )
    document = read_ground(view)
    if document.ground != ground:
        raise LocalFault("the gateway recorded something else than was said", code=BYTES_DIFFER)
    hint = f"another officer confirms it: ecluse ground confirm {view.item.id}"
    return Answer(_summary(view), [*words(document), hint])


@acting(commands, "confirm")
async def confirm_ground(
    on: Acting,
    ground: GroundId,
    yes: Annotated[bool, typer.Option("--yes", help="You have read it: do not ask.")] = False,
) -> Answer:
    """Confirm a ground after reading it. Takes another person than the one who recorded it, an approver.

    \b
    (1) the document is shown as its bytes say, and its digest is computed here; (2) the recorder is another officer;
    (3) you agree; (4) the digest of those very bytes is sent.
    """
    from gateway.service.calls import Named
    from gateway.service.calls.grounds import ConfirmGround, GroundState, GroundView

    view: GroundView = await on.desk.call("grounds/show", Named(ground), GroundView)
    # (1)
    document = read_ground(view)
    # (2)
    if document.recorded_by == on.desk.identity.officer:
        raise RoleMissing("you recorded this ground yourself: another person confirms it")
    # (3)
    if not (yes and on.place.json_out):
        show(words(document), stderr=on.place.json_out)
    if not yes:
        confirm("Confirm this ground?", read="ground")
    # (4)
    params = ConfirmGround(ground, _digest(view))
    done: GroundState = await on.desk.call("grounds/confirm", params, GroundState, once=True)
    return Answer(done, [f"ground {ground}: {done.state}"])


@acting(commands, "withdraw")
async def withdraw(
    on: Acting,
    ground: GroundId,
    reason: Annotated[str, typer.Option("--reason", help="Why; stays inside.")],
) -> Answer:
    """Say that a ground holds no more, at once: nothing that names it leaves any more."""
    from gateway.service.calls.grounds import GroundState, WithdrawGround

    params = WithdrawGround(ground, reason)
    done: GroundState = await on.desk.call("grounds/withdraw", params, GroundState, once=True)
    text = [f"ground {ground}: {done.state}"]
    text += [f"  releases that name it, {state}: {count}" for state, count in sorted(done.releases.items())]
    return Answer(done, text)


@acting(commands, "show")
async def show_ground(on: Acting, ground: GroundId, why: Why = "") -> Answer:
    """Show a ground in full, within need to know; the read is logged."""
    from gateway.service.calls import Named
    from gateway.service.calls.grounds import GroundView

    view: GroundView = await on.desk.call("grounds/show", Named(ground, why), GroundView)
    document = read_ground(view)
    return Answer({**_summary(view), "document": document}, words(document))


@acting(commands, "list")
async def list_grounds(
    on: Acting,
    state: Annotated[str, typer.Option("--state", help="recorded, in-force or withdrawn.")] = "",
    kind: Annotated[str, typer.Option("--kind", help="consent, authorisation or derogation.")] = "",
    after: Annotated[str, typer.Option("--after", help="Last id of the page before.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=500)] = 100,
) -> Answer:
    """List grounds: organisations, days and states."""
    from gateway.service.calls.grounds import GroundItem, GroundsPage

    params = GroundsPage(after, limit, state, kind)
    found: list[GroundItem] = await on.desk.call("grounds/list", params, list[GroundItem])
    rows = [
        (one.id, one.kind, one.state, one.record, one.originator, ", ".join(one.recipients), one.until,
         one.recorded_by, one.confirmed_by)
        for one in found
    ]  # fmt: skip
    columns = ("ground", "kind", "state", "record", "from", "toward", "until", "recorded by", "confirmed by")
    return Answer({"grounds": found}, [table(columns, rows)])


# --- words -----------------------------------------------------------------------------------------------------------


async def named_grounds(on: Acting, names: "tuple[GroundName, ...]") -> list[str]:
    """Each ground that a decision names, in words, from bytes of the digest that it names."""
    from gateway.service.calls import Named
    from gateway.service.calls.grounds import GroundView

    text: list[str] = []
    for name in names:
        view: GroundView = await on.desk.call("grounds/show", Named(name.id), GroundView)
        document = read_ground(view)
        if (document.id, _digest(view)) != (name.id, name.sha256):
            raise LocalFault(
                "the decision names another ground than the one shown: nothing was signed", code=BYTES_DIFFER
            )
        text += words(document)
    return text


def words(document: "GroundDocument") -> list[str]:
    """Who said what, how, toward whom, for what and until when."""
    from gateway.model.ground import EVERYTHING, Authorisation, Consent

    ground = document.ground
    if isinstance(ground, Consent):
        said = [
            f"consent of {ground.originator}, given by {ground.given} on {rfc3339(ground.at)}",
            f"  by {one_line(ground.by)}; for {one_line(', '.join(ground.purposes))}",
            f"  about {_items(ground.items, EVERYTHING)}",
        ]
        toward = ", ".join(ground.recipients)
    elif isinstance(ground, Authorisation):
        said = [
            f"authorisation of {one_line(ground.authority)}, reference {one_line(ground.reference)}",
            f"  its document has sha256 {ground.file_sha256}",
        ]
        toward = ", ".join(ground.recipients)
    else:
        said = [
            f"derogation of {rfc3339(ground.at)}: {one_line(ground.justification)}",
            f"  for {one_line(', '.join(ground.data))} alone",
        ]
        toward = ground.recipient
    return [
        f"ground {document.id}, about record {document.record}",
        *said,
        f"  toward {toward}; until {ground.until}; recorded by {document.recorded_by} on {document.recorded_at}",
    ]


def _items(items: tuple[str, ...], everything: str) -> str:
    return "all that it supplied" if everything in items else one_line(", ".join(items))


def read_ground(view: "GroundView") -> "GroundDocument":
    """The document as its bytes say; they must be of the ground that the answer is about."""
    from gateway.model.ground import GroundDocument

    try:
        document = msgspec.json.decode(view.document, type=GroundDocument)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise LocalFault("the ground shown cannot be read", code=BYTES_DIFFER) from None
    if document.id != view.item.id:
        raise LocalFault("the ground shown is another one", code=BYTES_DIFFER)
    return document


def _digest(view: "GroundView") -> str:
    from gateway.flow.change import digest

    return digest(view.document)


def _summary(view: "GroundView") -> dict[str, Any]:
    item: dict[str, Any] = msgspec.to_builtins(view.item)
    return {**item, "sha256": _digest(view)}


def _instant(at: str) -> datetime:
    return instant_of(at, "at") if at else datetime.now(UTC).replace(microsecond=0)

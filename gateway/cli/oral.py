"""`ecluse oral`: what was said to a partner by telephone or in a meeting, written down and counted."""

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from gateway.cli.release import reasons_of
from gateway.cli.shared import (
    BYTES_DIFFER,
    DONE,
    NEGATIVE,
    Acting,
    Answer,
    Why,
    acting,
    confirm,
    group,
    instant_of,
    one_line,
    show,
    table,
)
from gateway.errors import LocalFault, RequestInvalid, RoleMissing
from gateway.model.time import rfc3339

if TYPE_CHECKING:
    from gateway.model.oral import OralDocument
    from gateway.service.calls.oral import OralView

commands = group("What was said aloud: one officer writes it down, another confirms it.")

OralId = Annotated[str, typer.Argument(metavar="ORAL")]


@acting(commands, "record")
async def record(
    on: Acting,
    record: Annotated[str, typer.Argument(metavar="RECORD", help="Handle or entity id.")],
    to: Annotated[str, typer.Option("--to", help="Organisation that was told.")],
    field: Annotated[
        list[str], typer.Option("--field", help="Pointer of a field that was said; repeatable.")
    ],
    at: Annotated[str, typer.Option("--at", help="When, RFC 3339 in UTC.")],
    told: Annotated[str, typer.Option("--told", help="To whom there: a role or office, no name needed.")],
    purpose: Annotated[str, typer.Option("--purpose", help="Purpose, as the agreement names it.")],
    basis: Annotated[str, typer.Option("--basis", help="Legal basis.")],
    justification: Annotated[str, typer.Option("--justification", help="Why (LED art. 25); stays inside.")],
    by: Annotated[str, typer.Option("--by", help="Officer who spoke; you if not given.")] = "",
) -> Answer:
    """Record what was said. It counts at once; what policy would have kept back is recorded too, as a breach.

    Exit code 1 for a breach.
    """
    from gateway.model.oral import Said
    from gateway.service.calls.oral import OralView, RecordOral

    speaker = by or on.desk.identity.officer
    said = Said(to, tuple(field), instant_of(at, "at"), speaker, told, purpose, basis, justification)
    view: OralView = await on.desk.call("oral/record", RecordOral(record, said), OralView, once=True)
    document = _read(view)
    if document.said != said:
        raise LocalFault("the gateway recorded something else than was said", code=BYTES_DIFFER)
    hint = f"another officer confirms it: ecluse oral confirm {view.item.id}"
    answer = {**msgspec.to_builtins(view.item), "outside": document.outside, "reasons": document.reasons}
    return Answer(answer, [*_words(document), hint], NEGATIVE if view.item.breach else DONE)


@acting(commands, "confirm")
async def confirm_oral(
    on: Acting,
    oral: OralId,
    yes: Annotated[bool, typer.Option("--yes", help="You have read it: do not ask.")] = False,
) -> Answer:
    """Confirm what another officer wrote down, after reading it: the digest of those very bytes is sent."""
    from gateway.flow.change import digest
    from gateway.service.calls import Named
    from gateway.service.calls.oral import ConfirmOral, OralItem, OralView

    view: OralView = await on.desk.call("oral/show", Named(oral), OralView)
    document = _read(view)
    if document.recorded_by == on.desk.identity.officer:
        raise RoleMissing("you recorded this yourself: another person confirms it")
    if not (yes and on.place.json_out):
        show(_words(document), stderr=on.place.json_out)
    if not yes:
        confirm("Confirm this record?", read="record")
    params = ConfirmOral(oral, digest(view.document))
    done: OralItem = await on.desk.call("oral/confirm", params, OralItem, once=True)
    return Answer(done, [f"oral record {oral}: confirmed"])


@acting(commands, "strike")
async def strike(
    on: Acting,
    oral: OralId,
    reason: Annotated[str, typer.Option("--reason", help="Why it should not stand; stays inside.")],
) -> Answer:
    """Say that an oral record was made by mistake. It goes on counting until another officer confirms that."""
    from gateway.service.calls.oral import OralItem, ProposeStrike

    done: OralItem = await on.desk.call("strikes/propose", ProposeStrike(oral, reason), OralItem, once=True)
    hint = f"another officer confirms it: ecluse oral confirm-strike {oral}"
    return Answer(done, [f"oral record {oral}: to be struck", hint])


@acting(commands, "confirm-strike")
async def confirm_strike(
    on: Acting,
    oral: OralId,
    yes: Annotated[bool, typer.Option("--yes", help="You have read it: do not ask.")] = False,
) -> Answer:
    """Confirm that it was made by mistake, after reading record and reason: it counts no longer. Nothing is lost."""
    from gateway.flow.change import digest
    from gateway.service.calls import Named
    from gateway.service.calls.oral import ConfirmStrike, OralItem, OralView

    view: OralView = await on.desk.call("oral/show", Named(oral), OralView)
    if view.strike is None:
        raise RequestInvalid("nobody proposed to strike this oral record", diagnostic={"field": "oral"})
    if view.strike.proposed_by == on.desk.identity.officer:
        raise RoleMissing("you proposed this yourself: another person confirms it")
    if not (yes and on.place.json_out):
        show([*_words(_read(view)), *_strike(view)], stderr=on.place.json_out)
    if not yes:
        confirm("Strike this record?", read="record")
    params = ConfirmStrike(oral, digest(view.strike.reason.encode()))
    done: OralItem = await on.desk.call("strikes/confirm", params, OralItem, once=True)
    return Answer(done, [f"oral record {oral}: struck, it counts no longer"])


@acting(commands, "show")
async def show_oral(on: Acting, oral: OralId, why: Why = "") -> Answer:
    """Show one in full, within need to know; the read is logged."""
    from gateway.service.calls import Named
    from gateway.service.calls.oral import OralView

    view: OralView = await on.desk.call("oral/show", Named(oral, why), OralView)
    document = _read(view)
    answer = {"oral": view.item, "document": document, "strike": view.strike}
    return Answer(answer, [*_words(document), *_strike(view)])


@acting(commands, "list")
async def list_oral(
    on: Acting,
    unconfirmed: Annotated[
        bool, typer.Option("--unconfirmed", help="Those that wait for another officer.")
    ] = False,
    breach: Annotated[bool, typer.Option("--breach", help="Those outside the policy.")] = False,
    after: Annotated[str, typer.Option("--after", help="Last id of the page before.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=500)] = 100,
) -> Answer:
    """List what was said: to whom, when, by whom; not what."""
    from gateway.service.calls.oral import OralItem, OralPage

    params = OralPage(after, limit, unconfirmed, breach)
    found: list[OralItem] = await on.desk.call("oral/list", params, list[OralItem])
    rows = [
        (one.id, one.record, one.partner, rfc3339(one.at), one.speaker, one.recorded_by, one.confirmed_by,
         " ".join(word for word, so in (("breach", one.breach), ("late", one.late), ("struck", one.strike == "struck"),
                                        ("to be struck", one.strike == "proposed")) if so))
        for one in found
    ]  # fmt: skip
    columns = ("oral", "record", "partner", "said", "by", "recorded by", "confirmed by", "marks")
    return Answer({"oral": found}, [table(columns, rows)])


def _read(view: "OralView") -> "OralDocument":
    from gateway.model.oral import OralDocument

    try:
        document = msgspec.json.decode(view.document, type=OralDocument)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise LocalFault("the oral record shown cannot be read", code=BYTES_DIFFER) from None
    if document.id != view.item.id:
        raise LocalFault("the oral record shown is another one", code=BYTES_DIFFER)
    return document


def _strike(view: "OralView") -> list[str]:
    """That somebody says it was a mistake, and whether it is struck."""
    if view.strike is None:
        return []
    said = view.strike
    text = [f"MISTAKE, says {said.proposed_by} on {rfc3339(said.proposed_at)}: {one_line(said.reason)}"]
    if said.confirmed_at is not None:
        text.append(f"STRUCK by {said.confirmed_by} on {rfc3339(said.confirmed_at)}: it counts no longer")
    return text


def _words(document: "OralDocument") -> list[str]:
    said = document.said
    text = [
        f"oral {document.id}, about record {document.record}{' (late)' if document.late else ''}",
        f"  said by {said.speaker} to {said.partner} ({one_line(said.told)}) on {rfc3339(said.at)}",
        f"  fields {one_line(', '.join(said.fields))}",
        f"  purpose {one_line(said.purpose)}, legal basis {one_line(said.legal_basis)}",
        f"  justification: {one_line(said.justification)}",
        f"  recorded by {document.recorded_by} on {document.recorded_at}",
    ]
    if document.outside:
        text += [f"BREACH: policy would have kept back {', '.join(document.outside)}"]
        text += reasons_of(document.reasons)
    return text

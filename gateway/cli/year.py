"""`ecluse audit year`: one calendar year of a home, for those who oversee it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.audit import Outside, stored, verify_home
from gateway.cli.shared import DONE, NEGATIVE, Acting, Answer, Place, acting, table
from gateway.cli.witness import commands
from gateway.errors import AuditBroken
from gateway.model.time import rfc3339

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gateway.audit.tally import Key
    from gateway.ports import ReadTx
    from gateway.service.calls.years import Books

__all__ = ["commands"]

Year = Annotated[
    int | None, typer.Argument(metavar="[YEAR]", help="Calendar year in the service's zone; else this one.")
]

#: What log and rows must agree on: the topic, its labels as far as they tell, and the event of the entries.
AGREED: dict[str, tuple[tuple[tuple[str, ...], ...], str]] = {
    "releases": ((("releases",),), "release"),
    "emergencies": ((("emergencies", "oral"), ("emergencies", "two-signed")), "endorsement"),
    "oral": ((("oral", "recorded"),), "oral"),
    "erasures": ((("erasures", "done"),), "erasure"),
    "changes": ((("changes", "*", "apply"),), "change"),
}


@acting(commands, "year")
async def year(on: Acting, year: Year = None) -> Answer:
    """One report for a calendar year, counted anew from the entries of the logs and the rows beside them.

    \b
    (1) every log is verified from its first entry, here and not in the gateway, and shown with the entries and signed
    heads of the year; (2) what the entries of the master log commit to is opened and counted, which is a read, and an
    entry; (3) what crossed each partner's wire is counted from its log; (4) clocks, duties undone, versions and
    officers come from the rows; (5) what both log and rows know must be the same.

    \b
    Exit codes: 0 everything holds; 1 a log does not verify, or log and rows disagree.
    """
    from gateway.audit.tally import added
    from gateway.service.calls.years import Books, OfYear, TallyPage, TallyYear

    chosen = year or this_year(on.place)
    # (1)
    verified = verify_home(on.place, "", [], Outside([], []))
    # (2)
    after, pages = -1, []
    while True:
        page: TallyPage = await on.desk.call("audit/tally", TallyYear(chosen, after), TallyPage)
        pages.append(page.counts)
        if (after := page.following) < 0:
            break
    found = added(pages)
    # (4)
    books: Books = await on.desk.call("audit/books", OfYear(chosen), Books)
    # (3)
    with stored(on.place) as tx:
        spans, crossings = spans_of(tx, books.since, books.until)
    found.update(crossings)
    # (5)
    wrong = disagreements(found, books.rows)
    holds = verified.code == DONE and not wrong
    document = {
        "year": chosen,
        "since": books.since,
        "until": books.until,
        "as_of": books.as_of,
        "holds": holds,
        "verification": verified.document,
        "logs": spans,
        "counts": grouped(found),
        "books": books,
        "disagreements": wrong,
    }
    head = f"{chosen}: {rfc3339(books.since)} to {rfc3339(books.until)}, as of {rfc3339(books.as_of)}"
    text = [head, *verified.text, *_text(spans, found, books)]
    text += [f"{one['what']}: {one['log']} in the log, {one['rows']} in the rows" for one in wrong]
    text.append("holds" if holds else "does NOT hold")
    return Answer(document, text, DONE if holds else NEGATIVE)


def this_year(place: Place) -> int:
    from zoneinfo import ZoneInfo

    from gateway.service.app import now
    from gateway.service.config import load_config

    return now().astimezone(ZoneInfo(load_config(place.home.config).config.zone)).year


# --- the logs --------------------------------------------------------------------------------------------------------


def spans_of(tx: "ReadTx", since: datetime, until: datetime) -> "tuple[list[dict[str, Any]], Counter[Key]]":
    """Of each log the entries and signed heads of a period; and what crossed each partner's wire in it.

    An entry that cannot be read is the verifier's to name, and counts as nothing here.
    """
    from gateway.audit.entry import parse_master_entry, parse_partner_entry
    from gateway.audit.tally import crossed
    from gateway.model.rows import LogRow
    from gateway.service.log_source import StoredLog

    spans, found = [], Counter[tuple[str, ...]]()
    for log in sorted(tx.select(LogRow), key=lambda row: row.origin):
        places, gaps, before = [], [], -1
        partner = log.origin.rpartition("/")[2] if not log.origin.endswith("/master") else ""
        for position, raw in StoredLog(tx, log.origin).entries():
            if position != before + 1:
                gaps.append({"first": before + 1, "last": position - 1})
            before = position
            try:
                at = parse_partner_entry(raw) if partner else parse_master_entry(raw)
            except AuditBroken:
                continue
            if since <= at.at < until:
                places.append(position)
                if partner:
                    found[crossed(partner, parse_partner_entry(raw))] += 1
        spans.append({
            "log": log.origin,
            "entries": len(places),
            "first_index": min(places, default=None),
            "last_index": max(places, default=None),
            "gaps": gaps,
            **_heads(tx, log.origin, since, until),
        })  # fmt: skip
    return spans, found


def _heads(tx: "ReadTx", origin: str, since: datetime, until: datetime) -> dict[str, Any]:
    """The last signed head before the period and the last within it, and how many lie in it."""
    from gateway.audit.checkpoint import parse
    from gateway.model.rows import CheckpointRow

    opening, closing, number = None, None, 0
    for row in tx.select(CheckpointRow, {"origin": origin}, order="size"):
        if row.at >= until:
            break
        head = {"size": row.size, "root": parse(row.note).checkpoint.root.hex(), "at": row.at}
        if row.at < since:
            opening = head
        else:
            closing, number = head, number + 1
    return {"opening_head": opening, "closing_head": closing, "heads": number}


# --- counts ----------------------------------------------------------------------------------------------------------


def grouped(found: "Mapping[Key, int]") -> dict[str, list[dict[str, Any]]]:
    """Every topic, its labels by name; one that nothing counts towards is an empty list."""
    from gateway.audit.tally import TOPICS

    groups: dict[str, list[dict[str, Any]]] = {topic: [] for topic in TOPICS}
    for (topic, *labels), number in sorted(found.items()):
        groups[topic].append(dict(zip(TOPICS[topic], labels, strict=True)) | {"count": number})
    return groups


def total(found: "Mapping[Key, int]", *pattern: str) -> int:
    """All that is counted under a topic and the labels given; a star stands for any label."""
    return sum(
        number
        for key, number in found.items()
        if len(key) >= len(pattern)
        and all(want in ("*", have) for want, have in zip(pattern, key, strict=False))
    )


def disagreements(found: "Mapping[Key, int]", rows: Mapping[str, int]) -> list[dict[str, Any]]:
    """What the log counts otherwise than the rows. Where details are gone the log says too little to compare."""
    wrong = []
    for what, (patterns, event) in AGREED.items():
        said = sum(total(found, *pattern) for pattern in patterns)
        unknown = total(found, "unopened", event) + total(found, "unread", event)
        if not unknown and said != rows[what]:
            wrong.append({"what": what, "log": said, "rows": rows[what]})
    return wrong


def _text(
    spans: Sequence[dict[str, Any]], found: "Mapping[Key, int]", books: "Books"
) -> "list[RenderableType]":
    from gateway.audit.tally import TOPICS

    lines = [
        (one["log"], one["entries"], _shown(one["first_index"]), _shown(one["last_index"]), one["heads"],
         *(one[head]["size"] if one[head] else "" for head in ("opening_head", "closing_head")), len(one["gaps"]))
        for one in spans
    ]  # fmt: skip
    columns = ("log", "entries", "first", "last", "heads", "head before", "last head", "gaps")
    text = [table(columns, lines, title="entries and heads of the year")]
    for topic, labels in TOPICS.items():
        rows = [(*key[1:], number) for key, number in sorted(found.items()) if key[0] == topic]
        if rows:
            text.append(table((*labels, "count"), rows, title=topic.replace("_", " ")))
    clocks = [(one.partner, one.urgency, one.received, one.in_time, one.late, one.open, one.overdue)
              for one in books.clocks]  # fmt: skip
    heads = ("partner", "class", "received", "in time", "late", "open", "overdue")
    text.append(table(heads, clocks, title="requests received"))
    recalls = [(one.direction, one.partner, one.action, one.outcome, one.count) for one in books.recalls]
    text.append(table(("direction", "partner", "action", "outcome", "count"), recalls, title="recalls"))
    duties = [(one.what, one.overdue) for one in books.duties]
    text.append(table(("duty", "undone past its time"), duties, title="duties"))
    versions = [
        (one.kind, one.id, one.version, one.sha256, one.since, one.until or "") for one in books.versions
    ]
    text.append(
        table(
            ("document", "id", "version", "sha256", "since", "until"), versions, title="in force in the year"
        )
    )
    officers = [(one.officer, one.version, one.at, " ".join(one.what), one.proposer, one.persons)
                for one in books.officers]  # fmt: skip
    changes = ("officer", "version", "at", "what", "proposer", "persons")
    return [*text, table(changes, officers, title="officers")]


def _shown(index: int | None) -> int | str:
    return "" if index is None else index

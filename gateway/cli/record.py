"""`ecluse record`: local records in, looked at, purged; `ecluse embargo`: what blocks everything about a subject."""

from collections.abc import Iterator
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from gateway.cli.sanctions import NAMES as SANCTIONS
from gateway.cli.sanctions import import_list
from gateway.cli.shared import DONE, NEGATIVE, Acting, Answer, Why, acting, group, read_file, table, terminal
from gateway.errors import RequestInvalid

if TYPE_CHECKING:
    from rich.progress import Progress

commands = group("Local records: import an extract, look at what is here, purge.")
embargoes = group("Embargoes: one officer places one at once, two lift it.")

#: The kind whose e-mail files are read, each as a whole, and how it is named then.
MAIL_KINDS, MAIL = ("information-note", "information-note/1.0"), "information-note/1.0/eml"

#: One call: well inside the gateway's limit of 16 MiB, and small enough that its commit is short.
CHUNK_BYTES = 4 * 1024 * 1024
CHUNK_LINES = 500

Record = Annotated[str, typer.Argument(metavar="RECORD", help="Handle or entity id.")]
Authority = Annotated[Path, typer.Option("--authority", help="The magistrate's signed document.")]
After = Annotated[str, typer.Option("--after", help="Last id of the page before.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=500)]


class Chunk(NamedTuple):
    """Some whole lines; ``oversized`` when a line is too long to be sent at all."""

    first_line: int
    lines: bytes
    oversized: bool = False


def is_mail(kind: str, path: Path) -> bool:
    """Whether a file is one e-mail, and so one note."""
    return kind in MAIL_KINDS and path.suffix.lower() == ".eml"


def chunks(path: Path, *, most_bytes: int = CHUNK_BYTES, most_lines: int = CHUNK_LINES) -> Iterator[Chunk]:
    """The file in whole lines, numbered from 1; memory stays at one chunk. Raises `RequestInvalid`."""
    number, first, size = 0, 1, 0
    held: list[bytes] = []
    try:
        with path.open("rb") as file:
            while line := file.readline(most_bytes + 1):
                number += 1
                oversized = len(line) > most_bytes
                if held and (oversized or size + len(line) > most_bytes or len(held) == most_lines):
                    yield Chunk(first, b"".join(held))
                    held, size = [], 0
                if oversized:
                    while line and not line.endswith(b"\n"):
                        line = file.readline(most_bytes)
                    yield Chunk(number, b"", oversized=True)
                    continue
                if not held:
                    first = number
                held.append(line)
                size += len(line)
    except OSError:
        raise RequestInvalid("the file cannot be read", diagnostic={"file": str(path)}) from None
    if held:
        yield Chunk(first, b"".join(held))


@acting(commands, "import")
async def import_files(
    on: Acting,
    kind: Annotated[str, typer.Argument(help="Record kind, such as bdc-person/1.0, or sanctions.")],
    files: Annotated[list[Path], typer.Argument(help="Extract files that you hand over.")],
    listed: Annotated[str, typer.Option("--list", help="Sanctions list: un, eu or be.")] = "",
    shrunk: Annotated[bool, typer.Option("--shrunk", help="Approver: it really shrank.")] = False,
) -> Answer:
    """Import extract files. Good lines land, bad ones are named; repeating an import changes nothing.

    Of the kind information-note, a file that ends in .eml is one e-mail: an unlabelled note.

    Of a sanctions list, entries that it holds no more are marked as delisted, and imported persons who may be on it are
    counted, if you need to know both: look at them with `ecluse record matches`. What a list lost is marked without
    more if it is little; else when an approver who imports none gives the same file with --shrunk.
    """
    if kind in SANCTIONS:
        return await _import_lists(on, files, listed, shrunk)
    if listed or shrunk:
        raise RequestInvalid("--list and --shrunk go with sanctions alone", diagnostic={"field": "list"})
    from gateway.service.calls import ImportChunk, Imported

    totals = dict.fromkeys(("new", "changed", "unchanged", "unlabelled", "erased"), 0)
    bad: list[dict[str, Any]] = []
    sizes = [_size(path) for path in files]
    with _progress(on) as progress:
        task = progress.add_task("import", total=sum(sizes)) if progress else None
        for path in files:
            mail = is_mail(kind, path)
            for chunk in [Chunk(1, read_file(path, limit=CHUNK_BYTES))] if mail else chunks(path):
                if chunk.oversized:
                    bad.append(
                        _bad(path, chunk.first_line, "", "line.size", "a line is larger than the limit")
                    )
                    continue
                params = ImportChunk(MAIL if mail else kind, chunk.first_line, chunk.lines)
                landed: Imported = await on.desk.call("records/import", params, Imported)
                for name in totals:
                    totals[name] += getattr(landed, name)
                bad += [_bad(path, one.line, one.pointer, one.rule, one.detail) for one in landed.bad]
                if progress and task is not None:
                    progress.advance(task, len(chunk.lines))
    text: list[Any] = [
        ", ".join(f"{count} {name}" for name, count in totals.items()) + f", {len(bad)} bad lines"
    ]
    if bad:
        rows = [(one["file"], one["line"], one["pointer"], one["rule"], one["detail"]) for one in bad]
        text.append(table(("file", "line", "field", "rule", "what is wrong"), rows))
    return Answer({**totals, "bad": bad}, text, NEGATIVE if bad else DONE)


async def _import_lists(on: Acting, files: list[Path], listed: str, shrunk: bool) -> Answer:
    if listed not in ("", "un", "eu", "be"):
        raise RequestInvalid("a list is un, eu or be", diagnostic={"field": "list"})
    totals: dict[str, int] = {}
    bad: list[dict[str, Any]] = []
    lists: list[dict[str, Any]] = []
    text: list[Any] = []
    sizes = [_size(path) for path in files]
    with _progress(on) as progress:
        task = progress.add_task("import", total=sum(sizes)) if progress else None

        def advance(done: int) -> None:
            if progress and task is not None:
                progress.advance(task, done)

        for path in files:
            counts, wrong, document = await import_list(on, path, listed, shrunk=shrunk, advance=advance)
            totals = {name: totals.get(name, 0) + count for name, count in counts.items()}
            bad += [_bad(path, one.line, one.pointer, one.rule, one.detail) for one in wrong]
            lists.append(document)
    text.append(", ".join(f"{count} {name}" for name, count in totals.items()) + f", {len(bad)} bad entries")
    for one in lists:
        if "gone" not in one:
            text.append(f"{one['file']}: not read to its end; nothing is marked as delisted")
            continue
        found = ", ".join(f"{count} {band}" for band, count in one["matches"].items()) or "not compared"
        text.append(f"list {one['list']}: {one['gone']} gone, {one['delisted']} marked; candidates: {found}")
        if one["gone"] > one["delisted"]:
            text.append("not marked: not every entry landed, or the list lost too many (see --shrunk)")
    if bad:
        rows = [(one["file"], one["line"], one["pointer"], one["rule"], one["detail"]) for one in bad]
        text.append(table(("file", "entry", "field", "rule", "what is wrong"), rows))
    unmarked = any(one.get("gone", 1) > one.get("delisted", 0) for one in lists)
    return Answer({**totals, "bad": bad, "lists": lists}, text, NEGATIVE if bad or unmarked else DONE)


def _bad(path: Path, line: int, pointer: str, rule: str, detail: str) -> dict[str, Any]:
    return {"file": str(path), "line": line, "pointer": pointer, "rule": rule, "detail": detail}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        raise RequestInvalid("the file cannot be read", diagnostic={"file": str(path)}) from None


def _progress(on: Acting) -> "Progress | nullcontext[None]":
    """A bar over bytes on standard error, for people only."""
    console = terminal(stderr=True)
    if on.place.json_out or not console.is_terminal:
        return nullcontext()
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=console,
    )


@acting(commands, "list")
async def list_records(on: Acting, after: After = "", limit: Limit = 100) -> Answer:
    """List records by handle; no content."""
    from gateway.service.calls import Page, RecordSummary

    found = await on.desk.call("records/list", Page(after, limit), list[RecordSummary])
    rows = [(one.handle, one.kind, one.version, one.extracted_at, one.imported_at) for one in found]
    return Answer({"records": found}, [table(("record", "kind", "version", "extracted", "imported"), rows)])


@acting(commands, "matches")
async def matches(
    on: Acting,
    listed: Annotated[str, typer.Option("--list", help="One list only: un, eu or be.")] = "",
    minimum: Annotated[int, typer.Option("--min-score", min=40, max=100)] = 40,
    after: After = "",
    limit: Limit = 100,
) -> Answer:
    """Imported persons who may be on a list, best first, with the reason for each point. You decide; nothing is linked.

    Only what you need to know and your clearance reaches is compared. Looking is logged.
    """
    from gateway.service.calls import FindMatches, MatchView

    found = await on.desk.call("records/matches", FindMatches(listed, minimum, after, limit), list[MatchView])
    rows = [
        (one.score, one.band, one.person, one.person_name, one.list, one.entry, one.entry_name,
         ", ".join(f"{point.code} {point.points:+}" for point in one.reasons))
        for one in found
    ]  # fmt: skip
    heads = ("score", "band", "person", "name", "list", "entry", "listed as", "reasons")
    return Answer({"matches": found}, [table(heads, rows)])


@acting(commands, "show")
async def show_record(on: Acting, record: Record, why: Why = "") -> Answer:
    """Show a record's fields, as far as your clearance and need to know reach. Looking is logged."""
    from gateway.service.calls import Named, RecordView

    view: RecordView = await on.desk.call("records/show", Named(record, why), RecordView)
    rows = [(field.pointer, field.export_class, field.level or "unlabelled", field.label_source, field.value)
            for field in view.fields]  # fmt: skip
    text = [
        f"{view.handle}  {view.kind}  {view.entity_id}  extracted {view.extracted_at:%Y-%m-%dT%H:%M:%SZ}",
        table(("field", "class", "level", "label from", "value"), rows),
    ]
    if view.hidden:
        text.append(f"{view.hidden} fields lie above your clearance and are not shown")
    return Answer(view, text)


@acting(commands, "purge")
async def purge(on: Acting) -> Answer:
    """Destroy imported records that are older than the configured days and that no open release rests on."""
    from gateway.service.calls import Empty

    done: dict[str, int] = await on.desk.call("records/purge", Empty(), dict[str, int])
    kept = f", {done['held']} kept by a legal hold" if done["held"] else ""
    return Answer(done, [f"{done['purged']} record versions destroyed{kept}"])


class Because(StrEnum):
    """Why a record is deleted."""

    false = "false"
    removed = "removed"
    acquitted = "acquitted"


@acting(commands, "remove")
async def remove(
    on: Acting,
    record: Record,
    because: Annotated[Because, typer.Option("--because", help="What became of it.")],
    justification: Annotated[str, typer.Option("--justification", help="Why; stays inside.")],
) -> Answer:
    """Delete a record for cause: what waits does not leave, and what left must be recalled (ecluse changes list)."""
    from gateway.service.calls.notices import RemovedRecord, RemoveRecord

    params = RemoveRecord(record, because.value, justification)
    done: RemovedRecord = await on.desk.call("records/remove", params, RemovedRecord, once=True)
    return Answer(done, [f"{done.record}: {done.versions} versions deleted ({done.because})"])


@acting(embargoes, "add")
async def add_embargo(
    on: Acting,
    subject: Annotated[str, typer.Argument(help="Record handle or entity id.")],
    authority: Authority,
) -> Answer:
    """Place an embargo on a subject, at once: nothing about it leaves, and what waits is voided."""
    from gateway.service.calls import PlaceEmbargo

    params = PlaceEmbargo(subject, read_file(authority))
    placed: dict[str, str] = await on.desk.call("embargoes/add", params, dict[str, str], once=True)
    text = [f"embargo {placed['embargo']} in force"]
    if not placed["record"]:
        text.append(
            "no record of this name is here: right if it is still to come; else check the name and place another"
        )
    return Answer(placed, text)


@acting(embargoes, "lift")
async def lift_embargo(
    on: Acting, embargo: Annotated[str, typer.Argument(metavar="EMBARGO")], authority: Authority
) -> Answer:
    """Propose to lift an embargo; a second officer approves it with `ecluse change approve`."""
    from gateway.cli.change import propose
    from gateway.flow.change import digest

    document = {"embargo": embargo, "authority_sha256": digest(read_file(authority))}
    return await propose(on, "embargo-lift", embargo, document)


@acting(embargoes, "list")
async def list_embargoes(on: Acting, after: After = "", limit: Limit = 100) -> Answer:
    """List embargoes; whom they protect is not shown."""
    from gateway.service.calls import EmbargoItem, Page

    found = await on.desk.call("embargoes/list", Page(after, limit), list[EmbargoItem])
    rows = [(one.id, one.placed_at, one.placed_by, one.lifted_at or "in force") for one in found]
    return Answer({"embargoes": found}, [table(("embargo", "placed", "by", "lifted"), rows)])

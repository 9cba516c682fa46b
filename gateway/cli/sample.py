"""`ecluse audit sample`: entries for a reviewer to look at, drawn so that nobody has a say in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.audit import Keys, organisation, stored
from gateway.cli.exported import Files, exported
from gateway.cli.shared import Answer, Place, instant_of, local, table
from gateway.cli.year import commands
from gateway.errors import AuditBroken, NotFound, RequestInvalid
from gateway.model.time import rfc3339

if TYPE_CHECKING:
    from gateway.audit.checkpoint import Checkpoint, VerifierKey
    from gateway.audit.entry import MasterEntry, PartnerEntry
    from gateway.audit.verify import LogSource

__all__ = ["commands"]

#: What a reviewer looks at, by event: the question, and the command that shows it (``ID`` is the entry's subject).
LOOK: dict[str, tuple[str, str]] = {
    "decision": ("was the denial right, and did nothing leave all the same?", "policy explain --entry INDEX"),
    "release": ("purpose, basis, what was withheld, both signatures", "evidence pack ID"),
    "endorsement": ("who signed, as whom, and whether it was another person than the first", "trace ID"),
    "void": ("why it ended, and that nothing left after it", "trace ID"),
    "import": ("who handed over what, on which ground", "record list"),
    "read": ("was it this officer's business, and is the justification one?", "trace ID"),
    "change": ("what it widened or narrowed, and who the two persons were", "change show ID"),
    "refused": ("a partner's fault, or somebody else's try?", "inbox quarantine"),
    "checkpoint": ("that it is a head of this log", "audit verify"),
    "epoch": ("which entries were lost, and what the two persons say of it", "audit verify"),
    "config": ("what was configured otherwise from then on", "config check"),
    "notice": ("were past recipients told, and in time?", "changes list"),
    "oral": ("what was said, to whom, and whether it was recorded in time", "oral show ID"),
    "hold": ("on whose authority it was placed or lifted", "hold list"),
    "finding": ("was it answered, and was the answer enough?", "audit finding show ID"),
    "erasure": ("the authority, the two persons, and the list of what is gone", "erasure list"),
    "message": ("content, label and purpose against the decision", "evidence pack ID"),
    "receipt": ("that it answers the messages it names", "trace ID"),
}  # fmt: skip


@local(commands, "sample")
def sample(
    place: Place,
    seed: Annotated[str, typer.Option("--seed", help="Chosen after the head was signed, such as by dice.")],
    size: Annotated[int, typer.Option("--size", help="How many entries.")],
    year: Annotated[int, typer.Option("--year", help="Calendar year in the service's zone.")] = 0,
    since: Annotated[str, typer.Option("--since", help="Instant (RFC 3339), instead of --year.")] = "",
    until: Annotated[str, typer.Option("--until", help="Instant, not included.")] = "",
    partner: Annotated[
        str, typer.Option("--partner", help="Our log about this partner; default: the master.")
    ] = "",
    event: Annotated[str, typer.Option("--event", help="Only entries of this event, such as release.")] = "",
    head: Annotated[int, typer.Option("--head", help="Size of the signed head; default: the newest.")] = 0,
    export: Annotated[Path | None, typer.Option("--export", help="An exported folder, not the home.")] = None,
    key: Keys = None,
) -> Answer:
    """Draw entries of a period, uniformly, from a seed and a signed head: anybody draws the same (docs/sampling.md).

    \b
    (1) the log is verified whole, and the head is one that its key signed; (2) the entries of the period are counted;
    (3) as many as asked for are drawn; (4) each is shown with its index, the proof of its place under that head, and
    what is to be looked at.

    \b
    With --export no home is needed: give the period with --since and --until, and the log's --key. Exit codes: 0 drawn;
    2 wrong usage, no such head, nothing to draw from; 4 the log does not verify.
    """
    from gateway.audit.checkpoint import VerifierKey
    from gateway.audit.sample import METHOD, Question, draw, read

    keys = [VerifierKey.parse(text) for text in key or ()]
    period = _period(place, year, since, until)
    with _log(place, export, partner, keys) as (source, trusted):
        # (1)
        checkpoint = _head(source, trusted, head)
        question = Question(checkpoint, *period, event)
        # (2)
        entries = (one for one in source.entries() if one[0] < checkpoint.size)
        found = [index for index, raw in entries if question.holds(read(source.origin, raw))]
        if not found:
            raise NotFound("the log has no such entry in this period")
        # (3)
        chosen = [found[number] for number in draw(question, seed, len(found), size)]
        # (4)
        picked = {index: raw for index, raw in source.entries() if index in {*chosen}}
        items = [_item(source, checkpoint, index, picked[index]) for index in chosen]
    document = {
        "method": METHOD,
        "seed": seed,
        "log": checkpoint.origin,
        "size": checkpoint.size,
        "root": checkpoint.root.hex(),
        "since": period[0],
        "until": period[1],
        "event": event,
        "population": len(found),
        "sample": items,
    }
    rows = [(one["index"], one["at"], one["event"], one["id"], one["look"], one["command"]) for one in items]
    text = [
        f"{checkpoint.origin} at {checkpoint.size}, root {checkpoint.root.hex()}",
        f"{len(items)} of {len(found)} from {rfc3339(period[0])} to {rfc3339(period[1])}, {METHOD}, seed {seed}",
        table(("index", "at", "event", "id", "look at", "command"), rows),
    ]
    return Answer(document, text)


def _period(place: Place, year: int, since: str, until: str) -> tuple[datetime, datetime]:
    """Raises `RequestInvalid` unless it is either a year or both instants, the first before the second."""
    if bool(year) == bool(since or until) or bool(since) != bool(until):
        raise RequestInvalid("give --year, or --since and --until", diagnostic={"field": "year"})
    if not year:
        first, after = instant_of(since, "since"), instant_of(until, "until")
        if first >= after:
            raise RequestInvalid("--since is before --until", diagnostic={"field": "since"})
        return first, after
    from zoneinfo import ZoneInfo

    from gateway.audit.tally import bounds
    from gateway.service.config import load_config

    if not 2000 <= year <= 2199:
        raise RequestInvalid("a year from 2000 to 2199", diagnostic={"field": "year"})
    place.home.require()
    return bounds(year, ZoneInfo(load_config(place.home.config).config.zone))


@contextmanager
def _log(
    place: Place, export: Path | None, partner: str, keys: "list[VerifierKey]"
) -> "Iterator[tuple[LogSource, list[VerifierKey]]]":
    """The log asked for, of the home or of an export, and the keys that are trusted for it."""
    from gateway.audit.checkpoint import master_origin, partner_origin
    from gateway.audit.export import ExportSource
    from gateway.service.log_source import StoredLog, home_log_keys

    if export is None:
        org = organisation(place)
        origin = partner_origin(org, partner) if partner else master_origin(org)
        with stored(place) as tx:
            yield StoredLog(tx, origin), keys or home_log_keys(place.home, org)
        return
    if not keys:
        raise RequestInvalid("name the log keys that you trust", diagnostic={"field": "key"})
    suffix = f"/partner/{partner}" if partner else "/master"
    sources = [ExportSource(Files(folder)) for folder in exported(export)]
    mine = [one for one in sources if one.origin.endswith(suffix)]
    if len(mine) != 1:
        raise NotFound("the export does not hold exactly one such log", diagnostic={"field": "export"})
    yield mine[0], keys


def _head(source: "LogSource", keys: "list[VerifierKey]", size: int) -> "Checkpoint":
    """The signed head of this size, or the newest, of a log that verifies whole. Raises `AuditBroken`, `NotFound`."""
    from gateway.audit.checkpoint import verify
    from gateway.audit.verify import verify_log

    verdict = verify_log(source, keys)
    if verdict.status != "verified":
        raise AuditBroken(
            "the log does not verify: nothing is drawn from it", diagnostic={"rule": verdict.reason or ""}
        )
    heads = [verify(note, keys, origin=source.origin).checkpoint for note in source.checkpoints()]
    chosen = [one for one in heads if size in (0, one.size)]
    if not chosen:
        raise NotFound("the log has no signed head of this size", diagnostic={"field": "head"})
    return chosen[-1]


def _item(source: "LogSource", head: "Checkpoint", index: int, raw: bytes) -> dict[str, Any]:
    from gateway.audit.sample import read
    from gateway.audit.tree import inclusion_proof, leaf_hash, verify_inclusion

    entry: MasterEntry | PartnerEntry = read(source.origin, raw)
    proof = inclusion_proof(index, head.size, source.tiles)
    verify_inclusion(proof, leaf_hash(raw), head.root)
    name = getattr(entry, "subject", "") or getattr(entry, "message_id", "")
    look, command = LOOK[entry.event]
    return {
        "index": index,
        "at": entry.at,
        "event": entry.event,
        "actor": getattr(entry, "actor", ""),
        "id": name,
        "entry": raw.decode(),
        "proof": [one.hex() for one in proof.hashes],
        "look": look,
        "command": f"ecluse {command.replace('ID', name).replace('INDEX', str(index))}".strip(),
    }

"""`ecluse audit`: verify, prove, export and show the logs, offline: beside a running gateway or without any."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

import typer

from gateway.cli.exported import Files, below, exported, write
from gateway.cli.shared import DONE, NEGATIVE, Answer, Place, group, local, read_file, table
from gateway.cli.stamped import NONE_SEEN, Seen, read_stamps, seen, write_stamps
from gateway.errors import AuditBroken, ConfigInvalid, NotFound, StoreUnavailable
from gateway.model.time import rfc3339

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from gateway.audit.checkpoint import VerifierKey
    from gateway.audit.verify import LogSource, LogVerdict
    from gateway.audit.witness import WitnessKey
    from gateway.ports import ReadTx
    from gateway.service.epochs import Loss
    from gateway.service.log_source import HeldFinding, Mismatch, StoredLog
    from gateway.service.openings import ErasureShown, Openings
    from gateway.service.stamped import Kept

T = TypeVar("T")

#: The program that goes with an export.
VERIFIER = "verify.py"

commands = group("The audit logs, offline.")

Log = Annotated[str, typer.Option("--log", help="Only this log, by its origin.")]
Export = Annotated[
    Path | None, typer.Option("--export", help="Verify an exported folder instead of the home.")
]
Keys = Annotated[
    list[str] | None, typer.Option("--key", help="Trusted log key, name+hash+base64; repeatable.")
]
Held = Annotated[
    list[Path] | None, typer.Option("--held", help="A signed head that a partner holds; repeatable.")
]
Witnesses = Annotated[
    list[str] | None,
    typer.Option(
        "--witness", help="Key of a witness whose cosignatures count, name+hash+base64; repeatable."
    ),
]
Tsa = Annotated[
    Path | None,
    typer.Option("--tsa", help="Certificates of the time-stamp authorities that are believed, PEM."),
]
Out = Annotated[Path, typer.Option("--out", help="Folder to write to.")]


@contextmanager
def stored(place: Place) -> "Iterator[ReadTx]":
    from gateway.service.app import open_logs

    place.home.require()
    with open_logs(place.home) as tx:
        yield tx


def organisation(place: Place) -> str:
    from gateway.service.config import load_config

    place.home.require()
    return load_config(place.home.config).config.organisation.id


# --- verify ----------------------------------------------------------------------------------------------------------


class Outside(NamedTuple):
    """What somebody outside vouches with: signed heads that they hold, keys of witnesses, and the time-stamp
    authorities that are believed; without any, those of the home."""

    notes: list[bytes]
    witnesses: "list[WitnessKey]"
    authorities: "tuple[Certificate, ...]" = ()


@local(commands, "verify")
def verify(
    place: Place,
    export: Export = None,
    log: Log = "",
    key: Keys = None,
    held: Held = None,
    witness: Witnesses = None,
    tsa: Tsa = None,
) -> Answer:
    """Verify every log from its first entry, and say where the first fault lies.

    \b
    (0) time-stamps are over their documents, by an authority that is believed, and renewed in time: the heads under
    them are held outside; (1) which logs: those of which anything is stored, and those of which the signer, or a note
    of --held, knows a head; (2) each is read whole against its tiles, its signed heads, and the heads given with --held
    or under a time-stamp; (3) the gateway's count and the signer's last head agree with it; (4) heads of partners' logs
    that we keep are theirs, and none of one size has a second root; (5) the database is one that `ecluse serve` would
    take; (6) what an entry commits to is there, or was erased by an entry that says so.

    \b
    Notes for --held come from whoever keeps our heads: a partner writes those it holds of our logs with
    `ecluse audit checkpoint --held --out FOLDER`; our own earlier ones come from `ecluse audit checkpoint --out`; a
    reviewer's `ecluse audit witness` writes them with its cosignature, which says since when for each --witness. A
    time-stamp says since when for every log.

    \b
    Exit codes: 0 everything holds; 1 something is wrong, or cannot be read, and the answer says what; 2 wrong usage,
    no home, or no such log. Code 4 is for a gateway that stops, not for what is found here.
    """
    from gateway.audit.checkpoint import VerifierKey
    from gateway.audit.witness import WitnessKey
    from gateway.service.stamped import read_authorities

    notes = [read_file(path) for path in held or ()]
    believed = read_authorities(read_file(tsa)) if tsa else ()
    outside = Outside(notes, [WitnessKey.parse(text) for text in witness or ()], believed)
    keys = [VerifierKey.parse(text) for text in key or ()]
    if export is not None:
        return _verify_export(place, export, log, keys, outside)
    return verify_home(place, log, keys, outside)


def verify_home(place: Place, log: str, keys: "list[VerifierKey]", outside: Outside) -> Answer:
    from gateway.audit.checkpoint import log_key_name, master_origin
    from gateway.service.epochs import declarations, losses_in, undeclared
    from gateway.service.log_source import (
        home_log_keys,
        inspect_held,
        mismatch,
        partner_witnesses,
        signer_heads,
        stored_logs,
    )
    from gateway.service.openings import inspect_openings
    from gateway.service.provision import require_schema
    from gateway.service.stamped import home_authorities, kept

    org = organisation(place)
    keys = keys or home_log_keys(place.home, org)
    faults = []
    # Before the store is read: a running gateway's signer is never behind it.
    try:
        heads, signed = signer_heads(place.home), partial(signer_heads, place.home)
    except AuditBroken:
        heads, signed = {}, None
        faults.append("signer-heads")
    # (1)
    claimed = [origin for origin in map(_origin, outside.notes) if origin.startswith(f"{log_key_name(org)}/")]
    known = {master_origin(org), *heads, *claimed}
    try:
        with stored(place) as tx:
            # (5) first: of another version, what follows may not be readable
            try:
                require_schema(tx)
            except ConfigInvalid:
                faults.append("schema")
            outside = outside._replace(witnesses=[*outside.witnesses, *partner_witnesses(tx)])
            # (0)
            stamps = seen(kept(tx), org, outside.authorities or home_authorities(place.home))
            logs = _named(log, {one.origin: one for one in stored_logs(tx, org, known)})
            epochs = declarations(tx)
            losses = losses_in(tx, log)
            asked = outside._replace(notes=undeclared(epochs, [*outside.notes, *stamps.notes], keys))
            # (2), (3)
            results = [
                _judge(one, keys, asked, partial(mismatch, tx, head=heads.get(origin), signed=signed))
                for origin, one in logs.items()
            ]
            # (4)
            findings = [one for one in inspect_held(tx, org, outside.notes) if log in ("", one.origin)]
            # (6)
            openings = inspect_openings(tx, org, list(logs.values()))
    except (AuditBroken, StoreUnavailable):
        results = [_failed(origin, "unreadable") for origin in _named(log, dict.fromkeys(sorted(known)))]
        return _verdicts(results, [], faults)
    results = [_opened(one, openings) for one in results]
    return _verdicts(results, findings, faults, openings.erasures, losses, stamps)


def _opened(result: dict[str, Any], openings: "Openings") -> dict[str, Any]:
    """The verdict on a log, with what of it was erased; one that holds by itself falls with content that is missing."""
    result = {**result, "erased": openings.erased.get(result["log"], 0)}
    wrong = openings.wrong.get(result["log"])
    if wrong is None or not result["verified"]:
        return result
    return {**result, "verified": False, "status": "broken", "reason": wrong.reason,
            "first_wrong_index": wrong.first, "last_wrong_index": wrong.first}  # fmt: skip


def _named(log: str, logs: dict[str, T]) -> dict[str, T]:
    """The log asked for, or all of them."""
    if log and log not in logs:
        raise NotFound("there is no log of this origin", diagnostic={"field": "log"})
    return {log: logs[log]} if log else logs


def _judge(
    source: "LogSource",
    keys: "list[VerifierKey]",
    outside: Outside,
    against: "Callable[[LogVerdict], Mismatch | None] | None" = None,
    *,
    ended: bool = False,
) -> dict[str, Any]:
    """The verdict on one log. Notes of other logs are left out; one that cannot be read fails every log."""
    from gateway.audit.verify import verify_log

    held = [note for note in outside.notes if _origin(note) in ("", source.origin)]
    verdict = verify_log(source, keys, held=held, witnesses=outside.witnesses, ended=ended)
    result = _plain(verdict)
    wrong = against(verdict) if against is not None and result["verified"] else None
    if wrong is None:
        return result
    status = "truncated" if wrong.reason == "signer-tail-missing" else "broken"
    return {**result, "verified": False, "status": status, "reason": wrong.reason,
            "first_wrong_index": wrong.first, "last_wrong_index": wrong.last}  # fmt: skip


def _origin(note: bytes) -> str:
    """The log a note claims to be of; empty for one that nobody can read."""
    from gateway.audit.checkpoint import parse

    try:
        return parse(note).checkpoint.origin
    except AuditBroken:
        return ""


def _plain(verdict: "LogVerdict") -> dict[str, Any]:
    return {
        "log": verdict.origin,
        "verified": verdict.status == "verified",
        "status": verdict.status,
        "size": verdict.size,
        "sealed_size": verdict.sealed_size,
        "unsealed": verdict.unsealed,
        "witnessed_size": verdict.witnessed_size,
        "checkpoints": verdict.checkpoints_checked,
        "root": verdict.root.hex(),
        "first_wrong_index": verdict.first_wrong_index,
        "last_wrong_index": verdict.last_wrong_index,
        "reason": verdict.reason,
        "clock_back_index": verdict.clock_back_index,
        "cosignatures": [
            {"witness": one.witness.name, "algorithm": one.witness.algorithm, "size": one.size, "at": one.at}
            for one in verdict.cosignatures
        ],
    }


def _failed(log: str, reason: str) -> dict[str, Any]:
    """The verdict on a log of which nothing could be read."""
    return {"log": log, "verified": False, "status": "broken", "size": 0, "sealed_size": 0, "unsealed": 0,
            "witnessed_size": 0, "checkpoints": 0, "root": "", "first_wrong_index": 0, "last_wrong_index": None,
            "reason": reason, "clock_back_index": None, "cosignatures": []}  # fmt: skip


#: Faults of a home that lie in no log, as people read them.
FAULTS = {
    "signer-heads": "the signer's file of heads is missing or cannot be read",
    "schema": "the database has another schema version",
    "time-stamp": "a time-stamp that is kept is not what it was",
    "declaration": "entries are declared lost, and no entry of a proven master log commits to that",
}


def _verdicts(
    logs: list[dict[str, Any]],
    findings: "Sequence[HeldFinding]" = (),
    faults: Sequence[str] = (),
    erasures: "Sequence[ErasureShown]" = (),
    losses: "Sequence[Loss]" = (),
    stamps: Seen = NONE_SEEN,
) -> Answer:
    faults = [*faults, *stamps.faults]
    wrong = [finding for finding in findings if finding.reason]
    verified = bool(logs) and all(one["verified"] for one in logs) and not wrong and not faults
    rows = [
        (one["log"], one["status"], one["size"], one["sealed_size"], one["witnessed_size"],
         "" if one["first_wrong_index"] is None else one["first_wrong_index"], one["reason"] or "")
        for one in logs
    ]  # fmt: skip
    columns = ("log", "status", "entries", "under a signed head", "held outside", "first wrong", "reason")
    text: list[Any] = [table(columns, rows)]
    text += [
        f"{one['log']}: anchored up to index {said['size'] - 1} since {rfc3339(said['at'])} by {said['witness']} "
        f"({said['algorithm']})"
        for one in logs
        for said in one["cosignatures"]
    ]
    text += stamps.lines(one["log"] for one in logs)
    text += [f"{one.origin} at {one.size}: {one.reason}" for one in wrong]
    text += [f"{fault}: {FAULTS[fault]}" for fault in faults]
    text += [
        f"erased by entry {one.entry} on authority {one.reference}: {one.entries} details, {one.messages} messages"
        for one in erasures
    ]
    text += [
        f"{one.log}: entries {one.first} to {one.last} of an earlier history are LOST, declared with epoch {one.epoch} "
        f"at {one.declared} by {' and '.join(one.by)}"
        for one in losses
    ]
    text.append("verified" if verified else "NOT verified")
    document = {"verified": verified, "logs": logs, "held": findings, "faults": faults, "erasures": erasures,
                "losses": losses, "time_stamps": stamps.document()}  # fmt: skip
    return Answer(document, text, DONE if verified else NEGATIVE)


# --- verify an export ------------------------------------------------------------------------------------------------


def _verify_export(
    place: Place, folder: Path, log: str, keys: "list[VerifierKey]", outside: Outside
) -> Answer:
    """Every log found in an exported folder; without ``--key`` the home's own keys are trusted.

    A log is missing when a note of --held, or the signer of the home, knows a head of it and the keys are its own.
    """
    from gateway.audit.export import ExportSource
    from gateway.service.epochs import committed, read_epochs, undeclared
    from gateway.service.log_source import home_log_keys
    from gateway.service.stamped import home_authorities

    if not keys:
        keys = home_log_keys(place.home, organisation(place))
    home = place.home if place.home.config.is_file() else None
    stamps = seen(
        read_stamps(Files(folder)), "", outside.authorities or (home_authorities(home) if home else ())
    )
    outside = outside._replace(notes=[*outside.notes, *stamps.notes])
    declared = read_epochs(folder)
    asked = outside._replace(notes=undeclared([one.epoch() for one in declared], outside.notes, keys))
    results: dict[str, dict[str, Any]] = {}
    entries: dict[int, str] = {}
    for path in exported(folder):
        try:
            source = ExportSource(Files(path))
            result = _judge(source, keys, asked, ended=True)
            entries |= committed(source) if declared and result["verified"] else {}
        except AuditBroken:
            result = _failed(path.relative_to(folder).as_posix(), "unreadable")
        if results.get(result["log"], {"verified": True})["verified"]:
            results[result["log"]] = (
                result  # of two folders that claim to be one log, the one at fault stands
            )
    known, faults = _known_at_home(place, keys)
    missing = {*known, *filter(None, map(_origin, outside.notes))} - results.keys()
    results |= {origin: _failed(origin, "log-missing") for origin in sorted(missing)}
    if any(entries.get(one.entry) != one.commitment() for one in declared):
        faults.append("declaration")
    losses = [loss for one in declared for loss in one.losses() if log in ("", loss.log)]
    return _verdicts(list(_named(log, results).values()), (), faults, losses=losses, stamps=stamps)


def _known_at_home(place: Place, keys: "list[VerifierKey]") -> tuple[set[str], list[str]]:
    """The logs of these keys of which the home's signer knows a head; nothing without a home."""
    from gateway.service.log_source import signer_heads

    if not place.home.config.is_file():
        return set(), []
    try:
        heads = signer_heads(place.home)
    except AuditBroken:
        return set(), ["signer-heads"]
    return {origin for origin in heads if any(key.owns(origin) for key in keys)}, []


# --- show, prove ---------------------------------------------------------------------------------------------


@local(commands, "checkpoint")
def checkpoint(
    place: Place,
    partner: Annotated[
        str, typer.Option("--partner", help="Our log about this partner; default: the master.")
    ] = "",
    held: Annotated[bool, typer.Option("--held", help="The partners' heads that we hold instead.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write notes to this folder.")] = None,
) -> Answer:
    """Show our newest signed head of a log with its cosignatures, and the newest one cosigned where that is another; or
    the heads of partners' logs that we hold as their witness."""
    from gateway.audit.checkpoint import master_origin, partner_origin
    from gateway.service.log_source import held_heads, newest_heads
    from gateway.service.stamped import kept

    org = organisation(place)
    with stored(place) as tx:
        covering: list[Kept] = []
        if held:
            rows = [(row.origin, row.size, row.note) for row in held_heads(tx, org)
                    if partner in ("", row.origin.split("/")[1])]  # fmt: skip
        else:
            origin = partner_origin(org, partner) if partner else master_origin(org)
            rows = [(row.origin, row.size, row.note) for row in newest_heads(tx, origin)]
            covering = [] if partner else kept(tx, log=origin)[-1:]
    if not rows:
        raise NotFound("there is no signed head yet")
    files = {}
    for origin, size, note in rows:
        if out is not None:
            path = below(out, origin) / str(size)
            write(path, note)
            files[origin, size] = str(path)
    stamps = write_stamps(out, covering) if out is not None else []
    heads = [
        {
            "log": origin,
            "size": size,
            "note": note.decode(errors="replace"),
            "file": files.get((origin, size), ""),
        }
        for origin, size, note in rows
    ]
    text = [f"written: {head['file']}" if head["file"] else str(head["note"]) for head in heads]
    return Answer({"checkpoints": heads, "time_stamps": stamps}, [*text, *map(str, stamps)])


@local(commands, "prove")
def prove(place: Place, message: Annotated[str, typer.Argument(metavar="MESSAGE")]) -> Answer:
    """Prove that a message, or a receipt by its id, stands in our log under a signed head."""
    from gateway.service.log_source import home_log_keys, prove_message

    with logs_of(place, "") as (tx, logs):
        proofs = prove_message(tx, logs, home_log_keys(place.home, organisation(place)), message)
    text: list[str] = []
    for proof in proofs:
        text += [f"{proof.origin} entry {proof.index} of {proof.size}", proof.entry.decode(),
                 *(one.hex() for one in proof.hashes), proof.checkpoint]  # fmt: skip
    return Answer({"message": message, "proofs": proofs}, text)


@contextmanager
def logs_of(place: Place, log: str) -> "Iterator[tuple[ReadTx, list[StoredLog]]]":
    from gateway.service.log_source import stored_logs
    from gateway.service.provision import require_schema

    org = organisation(place)
    with stored(place) as tx:
        require_schema(tx)
        yield tx, [one for one in stored_logs(tx, org, ()) if log in ("", one.origin)]

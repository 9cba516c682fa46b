"""`ecluse audit`: verify, prove, export and show the logs, offline: beside a running gateway or without any."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.shared import DONE, NEGATIVE, Answer, Place, group, local, read_file, table
from gateway.errors import AuditBroken, NotFound, RequestInvalid, StoreUnavailable

if TYPE_CHECKING:
    from gateway.audit.checkpoint import VerifierKey
    from gateway.audit.verify import LogSource, LogVerdict
    from gateway.ports import ReadTx
    from gateway.service.log_source import HeldFinding, StoredLog
    from gateway.service.signer.trust import Head

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
Out = Annotated[Path, typer.Option("--out", help="Folder to write to.")]


@contextmanager
def _store(place: Place) -> "Iterator[ReadTx]":
    from gateway.service.app import open_logs

    place.home.require()
    with open_logs(place.home) as tx:
        yield tx


def _organisation(place: Place) -> str:
    from gateway.service.config import load_config

    place.home.require()
    return load_config(place.home.config).config.organisation.id


# --- verify ----------------------------------------------------------------------------------------------------------


@local(commands, "verify")
def verify(place: Place, export: Export = None, log: Log = "", key: Keys = None, held: Held = None) -> Answer:
    """Verify every log from its first entry, and say where the first fault lies. Exit code 0 only when all hold.

    \b
    (1) which logs: those stored, and those of which the signer, or a note of --held, knows a head; (2) each is
    read whole against its tiles, its signed heads and the heads given with --held; (3) none is shorter than the
    signer's last head; (4) heads of partners' logs that we keep are theirs, and none of one size has a second root.
    """
    from gateway.audit.checkpoint import VerifierKey, log_key_name

    notes = [read_file(path) for path in held or ()]
    keys = [VerifierKey.parse(text) for text in key or ()]
    if export is not None:
        return _verdicts(_verify_export(place, export, log, keys, notes), [])
    from gateway.service.log_source import home_log_keys, inspect_held, signer_heads, stored_logs

    org = _organisation(place)
    keys = keys or home_log_keys(place.home, org)
    try:
        with _store(place) as tx:
            # (1)
            heads = signer_heads(place.home)
            claimed = [origin for origin in map(_origin, notes) if origin.startswith(f"{log_key_name(org)}/")]
            logs = [one for one in stored_logs(tx, org, [*heads, *claimed]) if log in ("", one.origin)]
            # (2), (3)
            results = [_judge(one, keys, notes, heads.get(one.origin)) for one in logs]
            # (4)
            findings = inspect_held(tx, org, notes)
    except (AuditBroken, StoreUnavailable):
        return _verdicts([_unreadable(log)], [])
    return _verdicts(results, findings)


def _judge(
    source: "LogSource", keys: "list[VerifierKey]", held: list[bytes], head: "Head | None"
) -> dict[str, Any]:
    """The verdict on one log. Notes of other logs are left out; one that cannot be read fails every log."""
    from gateway.audit.verify import verify_log

    verdict = verify_log(source, keys, held=[note for note in held if _origin(note) in ("", source.origin)])
    result = _plain(verdict)
    if head is None or not result["verified"]:
        return result
    # The signer fsyncs its head before anybody sees it signed: a shorter log was cut or rolled back.
    if head.size > verdict.size:
        return {**result, "verified": False, "status": "truncated", "reason": "signer-tail-missing",
                "first_wrong_index": verdict.size, "last_wrong_index": head.size - 1}  # fmt: skip
    if head.size == verdict.size and head.root != verdict.root:
        return {**result, "verified": False, "status": "broken", "reason": "signer-root"}
    return result


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
    }


def _unreadable(log: str) -> dict[str, Any]:
    return {"log": log, "verified": False, "status": "broken", "size": 0, "sealed_size": 0, "unsealed": 0,
            "witnessed_size": 0, "checkpoints": 0, "root": "", "first_wrong_index": 0, "last_wrong_index": None,
            "reason": "unreadable", "clock_back_index": None}  # fmt: skip


def _verdicts(logs: list[dict[str, Any]], findings: "list[HeldFinding]") -> Answer:
    wrong = [finding for finding in findings if finding.reason]
    verified = bool(logs) and all(one["verified"] for one in logs) and not wrong
    rows = [
        (one["log"], one["status"], one["size"], one["sealed_size"], one["witnessed_size"],
         "" if one["first_wrong_index"] is None else one["first_wrong_index"], one["reason"] or "")
        for one in logs
    ]  # fmt: skip
    columns = ("log", "status", "entries", "under a signed head", "held outside", "first wrong", "reason")
    text: list[Any] = [table(columns, rows)]
    text += [f"{one.origin} at {one.size}: {one.reason}" for one in wrong]
    text.append("verified" if verified else "NOT verified")
    document = {"verified": verified, "logs": logs, "held": findings}
    return Answer(document, text, DONE if verified else NEGATIVE)


# --- verify an export ------------------------------------------------------------------------------------------------


class _Files(Mapping[str, bytes]):
    """The files of a folder by their relative path, read when asked for."""

    def __init__(self, folder: Path) -> None:
        found = (path for path in folder.rglob("*") if path.is_file())
        self._paths = {path.relative_to(folder).as_posix(): path for path in found}

    def __getitem__(self, name: str) -> bytes:
        path = self._paths[name]
        try:
            return path.read_bytes()
        except OSError:
            raise AuditBroken("a file of the export cannot be read") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def _verify_export(
    place: Place, folder: Path, log: str, keys: "list[VerifierKey]", held: list[bytes]
) -> list[dict[str, Any]]:
    """Every log found in an exported folder; without ``--key`` the home's own keys are trusted."""
    from gateway.audit.export import ExportSource
    from gateway.service.log_source import home_log_keys

    if not keys:
        keys = home_log_keys(place.home, _organisation(place))
    logs = sorted(
        {path.parent for path in folder.rglob("*") if path.name in ("checkpoint", "checkpoints", "tile")}
    )
    if not logs:
        raise RequestInvalid("the folder holds no exported log", diagnostic={"field": "export"})
    results = []
    for path in logs:
        try:
            source = ExportSource(_Files(path))
            if log not in ("", source.origin):
                continue
            results.append(_judge(source, keys, held, None))
        except AuditBroken:
            results.append(_unreadable(path.relative_to(folder).as_posix()))
    found = {result["log"] for result in results}
    missing = {origin for origin in map(_origin, held) if origin not in found and log in ("", origin)}
    return results + [{**_unreadable(origin), "reason": "log-missing"} for origin in sorted(missing)]


# --- show, prove, export ---------------------------------------------------------------------------------------------


@local(commands, "checkpoint")
def checkpoint(
    place: Place,
    partner: Annotated[
        str, typer.Option("--partner", help="Our log about this partner; default: the master.")
    ] = "",
    held: Annotated[bool, typer.Option("--held", help="The partners' heads that we hold instead.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write notes to this folder.")] = None,
) -> Answer:
    """Show our newest signed head of a log, or the heads of partners' logs that we hold as their witness."""
    from gateway.audit.checkpoint import master_origin, partner_origin
    from gateway.model.rows import CheckpointRow
    from gateway.service.log_source import held_heads

    org = _organisation(place)
    with _store(place) as tx:
        if held:
            rows = [(row.origin, row.size, row.note) for row in held_heads(tx, org)
                    if partner in ("", row.origin.split("/")[1])]  # fmt: skip
        else:
            origin = partner_origin(org, partner) if partner else master_origin(org)
            newest = tx.select(CheckpointRow, {"origin": origin}, order="size", descending=True, limit=1)
            rows = [(row.origin, row.size, row.note) for row in newest]
    if not rows:
        raise NotFound("there is no signed head yet")
    files = {}
    for origin, size, note in rows:
        if out is not None:
            path = _below(out, origin) / str(size)
            _write(path, note)
            files[origin, size] = str(path)
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
    return Answer({"checkpoints": heads}, text)


@local(commands, "prove")
def prove(place: Place, message: Annotated[str, typer.Argument(metavar="MESSAGE")]) -> Answer:
    """Prove that a message, or a receipt by its id, stands in our log under a signed head."""
    from gateway.service.log_source import home_log_keys, prove_message

    with _logs(place, "") as (tx, logs):
        proofs = prove_message(tx, logs, home_log_keys(place.home, _organisation(place)), message)
    text: list[str] = []
    for proof in proofs:
        text += [f"{proof.origin} entry {proof.index} of {proof.size}", proof.entry.decode(),
                 *(one.hex() for one in proof.hashes), proof.checkpoint]  # fmt: skip
    return Answer({"message": message, "proofs": proofs}, text)


@local(commands, "export")
def export(place: Place, out: Out, log: Log = "") -> Answer:
    """Write logs as files (C2SP tlog-tiles), each in a folder named as its origin, for verification without a home."""
    from gateway.audit.export import write_export

    written = {}
    with _logs(place, log) as (_, logs):
        for one in logs:
            if next(one.checkpoints(), None) is None:
                continue  # no head signed yet: an export would prove nothing
            folder, count = _below(out, one.origin), 0
            for name, data in write_export(one):
                _write(folder / name, data)
                count += 1
            written[one.origin] = {"folder": str(folder), "files": count}
    if not written:
        raise NotFound("there is no log with a signed head")
    return Answer({"logs": written}, [f"{origin}: {what['files']} files" for origin, what in written.items()])


@contextmanager
def _logs(place: Place, log: str) -> "Iterator[tuple[ReadTx, list[StoredLog]]]":
    from gateway.service.log_source import stored_logs

    org = _organisation(place)
    with _store(place) as tx:
        yield tx, [one for one in stored_logs(tx, org, ()) if log in ("", one.origin)]


def _below(out: Path, origin: str) -> Path:
    """The folder of a log; an origin is stored text, and must not lead anywhere else."""
    parts = PurePosixPath(origin).parts
    if not parts or origin.startswith("/") or ".." in parts:
        raise AuditBroken("a stored origin is not one of a log")
    return out.joinpath(*parts)


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError:
        raise RequestInvalid("the folder cannot be written", diagnostic={"field": "out"}) from None

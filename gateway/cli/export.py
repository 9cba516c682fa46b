"""`ecluse audit export`: logs as files for whoever verifies them, or one file sealed to a body, and what opens it."""

import io
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from gateway.cli.audit import VERIFIER, Log, Out, logs_of, organisation, stored
from gateway.cli.exported import below, write
from gateway.cli.shared import Answer, Place, local, read_file, write_secret
from gateway.cli.stamped import STAMPS, write_stamps
from gateway.cli.stats import commands
from gateway.errors import MalformedMessage, NotFound, RequestInvalid

if TYPE_CHECKING:
    from gateway.model.oversight import OversightKey

__all__ = ["commands"]

#: First line of a sealed export: RFC 8785 JSON, to which the rest is bound.
USE = "ecluse/export/1"

#: Bytes of a sealed export: it is held in memory once as files, once packed, once sealed.
MAX_BYTES = 1024 * 1024 * 1024


@local(commands, "export")
def export(
    place: Place,
    out: Out,
    log: Log = "",
    sealed_to: Annotated[
        str, typer.Option("--sealed-to", help="A body with a key in force: --out is one file that it opens.")
    ] = "",
) -> Answer:
    """Write logs as files (C2SP tlog-tiles), each in a folder named as its origin, for verification without a home.

    Declarations of epochs stand in `epochs.json`, with what opens their entries: export the master log with the others.
    Beside them stands `verify.py`, which checks them with Python alone and shares no code with us. Give its `--key` the
    keys named in the answer, by another way than this folder.
    """
    if sealed_to:
        return sealed_export(place, out, sealed_to, lambda folder: _export(place, folder, log))
    return _export(place, out, log)


def _export(place: Place, out: Path, log: str) -> Answer:
    from gateway.audit.export import write_export
    from gateway.service.epochs import EPOCHS, epochs_of
    from gateway.service.log_source import home_log_keys
    from gateway.service.openings import ERASURES, erasures_of
    from gateway.service.stamped import kept

    written = {}
    with logs_of(place, log) as (tx, logs):
        for one in logs:
            if next(one.checkpoints(), None) is None:
                continue  # no head signed yet: an export would prove nothing
            folder, count = below(out, one.origin), 0
            for name, data in write_export(one):
                write(folder / name, data)
                count += 1
            if shown := erasures_of(tx, one):
                write(folder / ERASURES, shown)
                count += 1
            written[one.origin] = {"folder": str(folder), "files": count}
        if declared := epochs_of(tx):
            write(out / EPOCHS, declared)
        stamps = write_stamps(out, kept(tx, log=log))
    if not written:
        raise NotFound("there is no log with a signed head")
    write(out / VERIFIER, resources.files("gateway.reviewer").joinpath(VERIFIER).read_bytes())
    keys = [key.encode() for key in home_log_keys(place.home, organisation(place))]
    text = [f"{origin}: {what['files']} files" for origin, what in written.items()]
    text += [f"{len(stamps)} time-stamps: {out / STAMPS}"] if stamps else []
    text.append(f"python3 {out / VERIFIER} {out} " + " ".join(f"--key {key}" for key in keys))
    return Answer(
        {"logs": written, "verifier": str(out / VERIFIER), "keys": keys, "time_stamps": stamps}, text
    )


# --- sealed to a body -------------------------------------------------------------------------------------------------


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose log it is, and who opens it."""

    body: str
    org: str
    use: str


def sealed_export(place: Place, out: Path, body: str, export: Callable[[Path], Answer]) -> Answer:
    """What ``export`` writes into a folder, as one file that only the body's key opens.

    (1) two persons put a key of the body in force; (2) the folder is made beside the file, readable by us alone, and is
    gone afterwards; (3) one archive in a fixed order, without times; (4) sealed, bound to body and organisation.
    """
    from gateway.flow.change import canonical
    from gateway.wire import hpke

    # (1)
    key = _key(place, body)
    if out.exists():
        raise RequestInvalid("the file exists already and is not overwritten", diagnostic={"field": "out"})
    if not out.parent.is_dir():
        raise RequestInvalid("the folder of the file is not there", diagnostic={"field": "out"})
    # (2)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".sealing-") as folder:
        made = export(Path(folder))
        # (3)
        archive = _packed(Path(folder))
    # (4)
    header = canonical(Header(body, organisation(place), USE))
    sealed = header + b"\n" + hpke.encrypt(header, archive, key.public)
    write_secret(out, sealed)
    document = {"sealed": str(out), "body": body, "bytes": len(sealed), "logs": sorted(made.document["logs"]),
                "keys": made.document["keys"]}  # fmt: skip
    text = [f"{out}: {len(sealed)} bytes, sealed to {body}", *(f"--key {one}" for one in document["keys"])]
    return Answer(document, text)


def _key(place: Place, body: str) -> "OversightKey":
    from gateway.service.mandates import key_of

    with stored(place) as tx:
        key = key_of(tx, body)
    if key is None:
        raise NotFound("no key of this body is in force", diagnostic={"field": "sealed-to"})
    return key


def _packed(folder: Path) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.writestr(zipfile.ZipInfo(path.relative_to(folder).as_posix()), path.read_bytes())
    return raw.getvalue()


@local(commands, "open")
def open_sealed(
    place: Place,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `audit export --sealed-to` wrote.")],
    share: Annotated[list[Path], typer.Option("--share", help="File with one share; once for each.")],
    out: Annotated[Path, typer.Option("--out", help="New folder for what is in it.")],
) -> Answer:
    """Open a sealed export with as many shares of the body's key as it takes. No home is needed.

    What comes out is an export like any other: verify it with `verify.py` inside, and log keys had from elsewhere.
    """
    from gateway.wire import hpke
    from gateway.wire.shares import join

    header, _, sealed = read_file(file, limit=MAX_BYTES).partition(b"\n")
    try:
        said = msgspec.json.decode(header, type=Header)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise MalformedMessage("the file is no sealed export") from None
    if said.use != USE:
        raise MalformedMessage("the file is no sealed export")
    texts = [read_file(path).decode("ascii", "replace") for path in share]
    archive = hpke.decrypt(header, sealed, hpke.kem_private(join(texts)))
    files = _unpacked(archive)
    try:
        out.mkdir(mode=0o700)
    except OSError:
        raise RequestInvalid("the folder exists, or cannot be made", diagnostic={"field": "out"}) from None
    for name, data in files.items():
        path = out.joinpath(*PurePosixPath(name).parts)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_secret(path, data)
    document: dict[str, Any] = {"opened": str(out), "body": said.body, "org": said.org, "files": len(files)}
    return Answer(document, [f"{out}: {len(files)} files of {said.org}, sealed to {said.body}"])


def _unpacked(archive: bytes) -> dict[str, bytes]:
    """The files by name. Who sealed it is not proven by its opening, so no name may lead out of the folder, and no more
    comes out than `MAX_BYTES`. Raises `MalformedMessage`."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as found:
            if sum(one.file_size for one in found.infolist()) > MAX_BYTES:
                raise MalformedMessage("the export is larger than the limit", diagnostic={"limit": MAX_BYTES})
            names = found.namelist()
            if any(
                name.startswith("/") or ".." in PurePosixPath(name).parts or "\\" in name for name in names
            ):
                raise MalformedMessage("the export names a file outside of itself")
            return {name: found.read(name) for name in names if not name.endswith("/")}
    except (zipfile.BadZipFile, zlib.error, ValueError, RuntimeError, EOFError, OSError):
        raise MalformedMessage("the export inside cannot be read") from None

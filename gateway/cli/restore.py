"""`ecluse backup`, `restore` and `epoch`: a copy of the database, its way back, and what two persons declare for it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.shared import (
    Answer,
    OfficerKeyFile,
    Place,
    group,
    local,
    named,
    read_document,
    read_file,
    table,
    written,
)
from gateway.errors import Conflict, RequestInvalid
from gateway.model.epoch import Epoch, SignedEpoch

if TYPE_CHECKING:
    from gateway.wire.endorse import ChangeAct

commands = group("Backups.")
epochs = group("Epochs of the logs: a new log key, or a declared loss, by two persons.")

#: What was decided in the lost days and neither the signer nor a partner knows of. Officers, partners and agreements
#: come back from the signer's trust, messages from partners.
REPEAT = (
    "embargoes placed or lifted",
    "erasures: what they destroyed came back with the backup",
    "legal holds placed or lifted",
    "grounds recorded, confirmed or withdrawn",
    "persons linked or split",
    "what was said aloud and recorded",
)

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The backup.")]
File = Annotated[Path, typer.Argument(metavar="FILE", help="The declaration.")]
Officer = Annotated[str, typer.Option("--as", envvar="ECLUSE_OFFICER", help="Officer who signs.")]


def _organisation(place: Place) -> str:
    from gateway.service.config import load_config

    place.home.require()
    return load_config(place.home.config).config.organisation.id


# --- backup and restore ----------------------------------------------------------------------------------------------


@local(commands, "backup")
def backup(place: Place, folder: Folder) -> Answer:
    """Copy the database, as of one instant, and gateway.toml into a new folder; beside a running gateway or not.

    The signer's folder is not in it: its keys must never lie where the database lies. Copy that folder by itself, after
    every change of officers, partners, agreements or policy, to a place with its own keeper.
    """
    from gateway.service.app import now
    from gateway.service.backups import backup as make

    manifest = make(place.home, folder, org=_organisation(place), now=now())
    rows = sorted(manifest.logs.items())
    return Answer(
        {"folder": str(folder), **_plain(manifest)}, [table(("log", "entries"), rows), f"written: {folder}"]
    )


def _plain(manifest: object) -> dict[str, object]:
    import msgspec

    found: dict[str, object] = msgspec.to_builtins(manifest)
    return found


@local(commands, "restore")
def restore(
    place: Place,
    folder: Folder,
    declaration: Annotated[
        Path | None, typer.Option("--declare-loss", help="What is missing, signed by two persons.")
    ] = None,
) -> Answer:
    """Put a backup in the place of the database, while no gateway runs; the old database stays under another name.

    \b
    A backup that is behind a head that was signed is refused (code 4) without --declare-loss:
      ecluse epoch draft --backup FOLDER --out FILE     the first person, a security officer
      ecluse epoch approve FILE                         the second
      ecluse restore FOLDER --declare-loss FILE

    \b
    Then the logs go on as a new epoch, under a new log key: partners need our entry again (`ecluse partner export`) and
    take nothing signed with that key before two of their officers approved it. Lanes that had work wait for
    `ecluse queue resend`. Messages that had left already have their ids: a partner takes none twice.
    """
    import asyncio

    from gateway.service.app import now
    from gateway.service.backups import open_epoch
    from gateway.service.backups import restore as put

    org = _organisation(place)
    signed = None if declaration is None else read_document(declaration, SignedEpoch)
    lock = place.home.own()
    try:
        lost = put(place.home, folder, signed, org=org, now=now())
        epoch = None if signed is None else asyncio.run(open_epoch(place.home, signed, now=now()))
    finally:
        lock.release()
    repeat = REPEAT if lost else ()
    document = {
        "restored": str(folder),
        "epoch": epoch.number if epoch else None,
        "lost": lost,
        "repeat": repeat,
    }
    text = [f"restored: {folder}", *(_opened(epoch) if epoch else ())]
    text += [f"to be done again, of the lost days: {what}" for what in repeat]
    return Answer(document, [*text, "before anything leaves: ecluse reconcile"] if lost else text)


# --- epochs ----------------------------------------------------------------------------------------------------------


@local(epochs, "draft")
def draft(
    place: Place,
    out: Annotated[Path, typer.Option("--out", help="The declaration, signed once.")],
    folder: Annotated[
        Path | None,
        typer.Option("--backup", help="The backup that is to be restored; default: the home as it is."),
    ] = None,
    held: Annotated[
        list[Path] | None, typer.Option("--held", help="A head of ours that a partner holds; repeatable.")
    ] = None,
    officer: Officer = "",
    officer_key: OfficerKeyFile = None,
) -> Answer:
    """Declare that the logs go on under a new key, and what of them is lost; signed by the first of two persons.

    What is known of each log are the signer's last head and those given with --held, which partners write with
    `ecluse audit checkpoint --held --out`. Where nothing is missing, this is a change of the log key and no more.
    """
    from gateway.service.app import now
    from gateway.service.backups import draft as make

    notes = [read_file(path) for path in held or ()]
    org = _organisation(place)
    statement, document = make(place.home, folder, notes, org=org, proposer=officer, now=now())
    token = _sign(officer, officer_key, "propose", statement)
    written(SignedEpoch(statement, document, (token,)), out)
    return _shown(document, str(out))


@local(epochs, "approve")
def approve(place: Place, file: File, officer: Officer = "", officer_key: OfficerKeyFile = None) -> Answer:
    """The second person's signature, over what the first one declared."""
    from gateway.flow.change import ACTS

    signed = read_document(file, SignedEpoch)
    if len(signed.endorsements) >= len(ACTS):
        raise Conflict("the declaration is signed by two officers already")
    token = _sign(officer, officer_key, "approve", signed.statement)
    both = SignedEpoch(signed.statement, signed.document, (*signed.endorsements, token))
    _require_two(place, both)
    written(both, file)
    return _shown(signed.document, str(file))


@local(epochs, "open")
def open_(place: Place, file: File) -> Answer:
    """Carry out a declaration on the home as it is, while no gateway runs: the log key changes. Repeatable."""
    import asyncio

    from gateway.service.app import now
    from gateway.service.backups import open_epoch

    place.home.require()
    signed = read_document(file, SignedEpoch)
    lock = place.home.own()
    try:
        epoch = asyncio.run(open_epoch(place.home, signed, now=now()))
    finally:
        lock.release()
    return Answer({"epoch": epoch.number, "lost": epoch.lost()}, _opened(epoch))


def _sign(officer: str, key_file: Path | None, act: "ChangeAct", statement: bytes) -> str:
    from gateway.service.app import now
    from gateway.service.provision import read_officer_key
    from gateway.wire.endorse import sign_change
    from gateway.wire.jws import thumbprint

    if not officer or key_file is None:
        raise RequestInvalid("name the officer with --as and the key with --officer-key")
    with named(key_file):
        private = read_officer_key(key_file)
    kid = thumbprint(private.public_key())
    return sign_change(private, kid, officer=officer, act=act, at=now(), statement=statement)


def _require_two(place: Place, signed: SignedEpoch) -> None:
    from gateway.service.app import now
    from gateway.service.backups import verified

    place.home.require()
    verified(place.home, signed, now=now())


def _shown(document: bytes, file: str) -> Answer:
    from gateway.flow.change import digest, read_exact

    epoch = read_exact(document, Epoch, "epoch document")
    rows = [(one.origin, one.size, one.known - one.size) for one in epoch.logs]
    text = [f"epoch {epoch.number}: {epoch.reason}", table(("log", "entries kept", "entries lost"), rows),
            f"sha256 {digest(document)}", f"written: {file}"]  # fmt: skip
    return Answer({"written": file, "sha256": digest(document), "epoch": epoch}, text)


def _opened(epoch: Epoch) -> list[str]:
    lost = [f"{one.origin}: entries {one.size} to {one.known - 1} are lost" for one in epoch.lost()]
    return [
        *lost,
        f"epoch {epoch.number} is open under the key {epoch.log_key.kid}: give partners our entry again",
    ]

"""`ecluse audit witness`: a reviewer's own machine vouches for exported logs. It needs no home and no network."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.audit import Keys, Out, commands
from gateway.cli.exported import Files, below, exported, write
from gateway.cli.shared import DONE, NEGATIVE, Answer, Place, local, named
from gateway.errors import AuditBroken, RequestInvalid

if TYPE_CHECKING:
    from gateway.service.laptop import Cosigned, Refused

__all__ = ["commands"]

WitnessFile = Annotated[
    Path, typer.Option("--witness-key", help="The witness's private keys; its book lies beside them.")
]


@local(commands, "witness-key")
def witness_key(
    place: Place,
    name: Annotated[str, typer.Option("--name", help="Who vouches, such as comite-p.example/laptop-1.")],
    out: Annotated[Path, typer.Option("--out", help="New file for the private keys.")],
) -> Answer:
    """Make the keys of a witness: Ed25519 and ML-DSA-44, in one new file, mode 0600, and an empty book beside it.

    The public keys are printed; whoever verifies logs gives them to --witness. The book remembers the last head of each
    log: losing it is losing what the witness has seen.
    """
    from gateway.service.laptop import Witness

    with named(out):
        witness = Witness.new(out, name)
    witness.close()
    keys = [key.encode() for key in witness.public]
    return Answer({"keys": keys, "file": str(out)}, [f"written: {out}", *keys])


@local(commands, "witness")
def witness(
    place: Place,
    export: Annotated[Path, typer.Argument(help="An exported folder.")],
    witness_file: WitnessFile,
    out: Out,
    key: Keys = None,
) -> Answer:
    """Vouch for exported logs: cosign the newest head of each (C2SP tlog-cosignature).

    \b
    (1) each log is read whole, and leads to a head signed by a log key given with --key, which you have from elsewhere
    than from the export; (2) it grew from the head that this witness cosigned last: nothing before it was changed, cut
    off or left out; (3) the new head is remembered, then cosigned and written to --out.

    \b
    A log that is not so is not cosigned. The head held and the head shown, each signed by the log, are the evidence,
    and are written to --out: `refused-SIZE-held`, `refused-SIZE-shown`. A head seen for the first time is taken as it
    is.

    \b
    Exit codes: 0 every log was cosigned; 1 one was refused, or one cosigned before is not in the export; 2 wrong usage.
    """
    from gateway.audit.checkpoint import VerifierKey
    from gateway.audit.export import ExportSource
    from gateway.service.app import now
    from gateway.service.laptop import Refused, Witness, vouch

    keys = [VerifierKey.parse(text) for text in key or ()]
    if not keys:
        raise RequestInvalid("name the log keys that you trust", diagnostic={"field": "key"})
    with named(witness_file):
        mine = Witness(witness_file)
    said: list[Cosigned | Refused] = []
    try:
        for folder in exported(export):
            try:
                said.append(vouch(mine, ExportSource(Files(folder)), keys, now=now()))
            except AuditBroken:
                said.append(Refused(folder.relative_to(export).as_posix(), "unreadable", None, "", ""))
    finally:
        mine.close()
    missing = sorted({*mine.book.heads} - {one.log for one in said})
    cosigned, refused, text = [], [], []
    for one in said:
        if isinstance(one, Refused):
            refused.append(one)
            _evidence(out, one)
            text.append(f"{one.log}: REFUSED: {one.reason}")
        else:
            path = below(out, one.log) / str(one.size)
            write(path, one.note.encode())
            cosigned.append({"log": one.log, "size": one.size, "note": one.note, "file": str(path)})
            text.append(f"{one.log}: cosigned at {one.size}: {path}")
    text += [f"{log}: cosigned before, and not in this export" for log in missing]
    document = {"witness": mine.book.name, "cosigned": cosigned, "refused": refused, "missing": missing}
    return Answer(document, text, NEGATIVE if refused or missing else DONE)


def _evidence(out: Path, refused: "Refused") -> None:
    """The two heads that cannot both be true, as files; nothing when one of them is not there."""
    from gateway.audit.checkpoint import parse

    if not (refused.held and refused.shown):
        return
    shown = refused.shown.encode()
    name = f"refused-{parse(shown).checkpoint.size}"
    write(below(out, refused.log) / f"{name}-held", refused.held.encode())
    write(below(out, refused.log) / f"{name}-shown", shown)

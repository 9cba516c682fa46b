"""The epochs of our logs as the store knows them: which heads of ours stand for entries that were declared lost."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from gateway.audit.checkpoint import VerifiedCheckpoint, VerifierKey, parse, verify
from gateway.audit.entry import detail_commitment, parse_master_entry
from gateway.audit.verify import LogSource
from gateway.errors import AuditBroken, GatewayError
from gateway.model.epoch import Epoch, EpochRow, KeptLog
from gateway.model.rows import DirectoryRow
from gateway.ports import ReadTx
from gateway.wire.strict import b64url_decode

#: Kind of the directory rows that hold declarations.
EPOCH: Final[Literal["epoch"]] = "epoch"


def declarations(tx: ReadTx) -> list[Epoch]:
    """Every declaration in force, the second epoch's first. Raises `AuditBroken` for one that cannot be read."""
    try:
        rows = tx.select(DirectoryRow, {"kind": EPOCH})
        return [
            msgspec.json.decode(row.document, type=Epoch) for row in sorted(rows, key=lambda row: row.version)
        ]
    except Exception:
        raise AuditBroken("a declaration of the log's epochs cannot be read") from None


def declared_lost(epochs: Sequence[Epoch], head: VerifiedCheckpoint) -> KeptLog | None:
    """The declaration that says of this head, signed in an earlier epoch, that what it knows more of is lost.

    None for a head that the log must still lead to: of before the loss, of a later key, or beyond what was admitted.
    """
    signers = {key.public_key for key in head.signers}
    signed_in = next(
        (epoch.number for epoch in epochs if b64url_decode(epoch.log_key.public) in signers),
        1,
    )
    checkpoint = head.checkpoint
    for epoch in epochs:
        for one in epoch.logs:
            if epoch.number > signed_in and one.origin == checkpoint.origin and one.size < checkpoint.size:
                return one if checkpoint.size <= one.known else None
    return None


def undeclared(epochs: Sequence[Epoch], notes: Sequence[bytes], keys: Sequence[VerifierKey]) -> list[bytes]:
    """Those of the notes that no declaration speaks of: the log must lead to them. What cannot be read stays."""
    left = []
    for note in notes:
        try:
            head = verify(note, keys, origin=parse(note).checkpoint.origin)
        except AuditBroken:
            left.append(note)
            continue
        if declared_lost(epochs, head) is None:
            left.append(note)
    return left


# --- in an export ----------------------------------------------------------------------------------------------------

#: File beside exported logs in which the declarations stand.
EPOCHS = "epochs.json"


class Loss(msgspec.Struct, frozen=True):
    """Entries that two persons declared lost when they opened an epoch; a head that knows them is no fault."""

    log: str
    epoch: int
    first: int
    last: int
    declared: str  # when, RFC 3339
    by: tuple[str, ...]  # officer ids
    entry: int  # of the master log, that commits to the declaration


class Declared(msgspec.Struct, frozen=True):
    """A declaration as an export shows it: it opens the commitment of the entry at this place of the master log."""

    entry: int
    salt: str  # hexadecimal
    detail: bytes  # holds the document and the endorsements, byte for byte
    document: str  # the exact text
    statement: str
    endorsements: tuple[str, ...]

    def epoch(self) -> Epoch:
        """The document. Raises `AuditBroken` where it is not in what the entry commits to, or cannot be read."""
        try:
            if any(text.encode() not in self.detail for text in (self.document, *self.endorsements)):
                raise _unread()
            return msgspec.json.decode(self.document, type=Epoch)
        except msgspec.MsgspecError:
            raise _unread() from None

    def commitment(self) -> str:
        """What the entry says, if it commits to this."""
        try:
            return detail_commitment(bytes.fromhex(self.salt), hashlib.sha256(self.detail).digest())
        except ValueError:
            raise _unread() from None

    def losses(self) -> list[Loss]:
        """What it says is lost. ``by`` is who signed, as the endorsements say: the signer verified them before it went
        on under the new key, and nobody does here."""
        epoch, by = self.epoch(), tuple(_officer(token) for token in self.endorsements)
        return [
            Loss(one.origin, epoch.number, one.size, one.known - 1, epoch.at, by, self.entry)
            for one in epoch.lost()
        ]


def epochs_of(tx: ReadTx) -> bytes:
    """Every declaration, for an export; empty without one."""
    shown = [_shown(row) for row in sorted(tx.select(EpochRow), key=lambda row: row.number)]
    return msgspec.json.encode(shown) if shown else b""


def _shown(row: EpochRow) -> Declared:
    texts = row.document.decode(), row.statement.decode()
    return Declared(row.entry, row.salt.hex(), row.detail, *texts, row.endorsements)


def read_epochs(folder: Path) -> list[Declared]:
    """The declarations of an exported folder, the second epoch's first. Raises `AuditBroken`."""
    path = folder / EPOCHS
    try:
        found = msgspec.json.decode(path.read_bytes(), type=list[Declared]) if path.is_file() else []
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        raise _unread() from None
    return sorted(found, key=lambda one: one.epoch().number)


def committed(log: LogSource) -> dict[int, str]:
    """What the entries of a master log about epochs commit to, by place; nothing of another log."""
    found: dict[int, str] = {}
    if log.origin.endswith("/master"):
        for position, raw in log.entries():
            entry = parse_master_entry(raw)
            if entry.event == "epoch":
                found[position] = entry.detail
    return found


def losses_in(tx: ReadTx, log: str) -> list[Loss]:
    """What was declared lost of this log, or of all (empty name), as the store knows it."""
    try:
        rows = sorted(tx.select(EpochRow), key=lambda row: row.number)
        return [loss for row in rows for loss in _shown(row).losses() if log in ("", loss.log)]
    except Exception:
        raise _unread() from None


def _officer(token: str) -> str:
    try:
        claims = msgspec.json.decode(b64url_decode(token.split(".")[1]), type=dict[str, object])
        return str(claims["officer"])
    except (GatewayError, msgspec.MsgspecError, IndexError, KeyError):
        raise _unread() from None


def _unread() -> AuditBroken:
    return AuditBroken("a declaration of the log's epochs cannot be read")

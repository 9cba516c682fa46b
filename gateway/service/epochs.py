"""The epochs of our logs as the store knows them: which heads of ours stand for entries that were declared lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from gateway.audit.checkpoint import VerifiedCheckpoint, VerifierKey, parse, verify
from gateway.errors import AuditBroken
from gateway.model.epoch import Epoch, KeptLog
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

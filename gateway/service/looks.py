"""The mark that a record changed after content of it may have left: durable with the change itself."""

from __future__ import annotations

import msgspec

from gateway.flow.notice import Removal
from gateway.model.rows import LookRow, ReleaseRow, RemovalRow
from gateway.ports import ReadTx, Tx


def look_again(tx: Tx, handle: str) -> None:
    """Have what left of this record compared with today; in the unit of work of the change. Repeatable.

    `Notices` takes the mark away with what it found: a process that ends in between finds it again. Of a record about
    which no release was ever prepared nothing can have left, and nothing is marked.
    """
    if tx.select(ReleaseRow, {"handle": handle}, limit=1):
        tx.put(LookRow(handle))


def removal(tx: ReadTx, row: ReleaseRow) -> Removal | None:
    """Why the record was deleted after this message was prepared, or None."""
    later = [each for each in tx.select(RemovalRow, {"handle": row.handle}) if each.at >= row.created]
    return msgspec.convert(max(later, key=lambda each: each.at).because, Removal) if later else None

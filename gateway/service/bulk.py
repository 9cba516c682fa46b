"""What a named bulk case demands of whoever approves some of it."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.errors import Conflict
from gateway.model.rows import ReleaseRow
from gateway.ports import ReadTx


def require_whole_cases(tx: ReadTx, act: str, releases: Sequence[str]) -> None:
    """A named case is one review: who approves some of it approves all that waits of it. Raises `Conflict`."""
    if act != "approve":
        return
    named = {row.case_name for row in tx.select(ReleaseRow, {"id": tuple(releases)}) if row.case_name}
    if not named:
        return
    waiting = tx.select(ReleaseRow, {"case_name": tuple(sorted(named)), "state": "awaiting-approval"})
    if {row.id for row in waiting} - set(releases):
        raise Conflict("a named case is approved as a whole: ecluse approve --case")

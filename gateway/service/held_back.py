"""What a legal hold keeps from erasure, inside a unit of work."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.errors import Conflict
from gateway.model.case_rows import HoldRow
from gateway.ports import ReadTx
from gateway.service.holdings import one_with


def hold_on(tx: ReadTx, subjects: Iterable[str], conversations: Iterable[str] = ()) -> str:
    """A hold in force on one of these subjects, whom it is one with, or one of these conversations; empty: none."""
    everybody = tuple({one for subject in subjects for one in one_with(tx, subject)})
    found = tx.select(HoldRow, {"subject": everybody, "lifted_at": None}, limit=1) if everybody else []
    named = tuple(conversations)
    if not found and named:
        found = tx.select(HoldRow, {"conversation": named, "lifted_at": None}, limit=1)
    return found[0].id if found else ""


def require_free(tx: ReadTx, subjects: Iterable[str], conversations: Iterable[str] = ()) -> None:
    """Raises `Conflict`, naming the hold, while one is in force on any of these."""
    if hold := hold_on(tx, subjects, conversations):
        raise Conflict(
            f"legal hold {hold} is in force: nothing of it is destroyed", diagnostic={"hold": hold}
        )

"""An operation of the desk: who may call it, with what; and what every group of operations shares."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from gateway.errors import RequestInvalid, RoleMissing
from gateway.model.officer import Officer, Role
from gateway.ports import Tx
from gateway.service import calls
from gateway.service.context import Gateway
from gateway.service.mandates import sealed_read

#: Most rows one page may ask for.
MAX_PAGE = 500

DESK: tuple[Role, ...] = ("requester", "approver", "reviewer", "inbox")
RECALLERS: tuple[Role, ...] = ("requester", "approver")
SECURITY: tuple[Role, ...] = ("security-officer",)
ANYBODY: tuple[Role, ...] = (*DESK, "lift-approver", "security-officer", "operator")


class Operation(msgspec.Struct, frozen=True):
    """One operation: who may call it, with what.

    ``repeatable``: it acts, and under an idempotency key it acts once; an operation that only looks ignores the key.
    """

    params: type[calls.Params]
    roles: tuple[Role, ...]
    call: Callable[[Officer, Any], Awaitable[Any]]
    repeatable: bool = False


def limit_of(limit: int) -> int:
    """The rows a page may hold; raises `RequestInvalid` outside 1 to `MAX_PAGE`."""
    if not 1 <= limit <= MAX_PAGE:
        raise RequestInvalid("a page holds 1 to 500 rows", diagnostic={"field": "limit"})
    return limit


async def note_read(
    gateway: Gateway, officer: Officer, subject: str, what: str, records: Sequence[str] = (), *, why: str = ""
) -> None:
    """A read of content is an entry of the master log before the content is shown (LED art. 25)."""
    detail: dict[str, Any] = {"what": what}
    detail |= ({"records": list(records)} if records else {}) | ({"why": why} if why else {})
    await note_look(gateway, officer, subject, detail)


async def note_look(gateway: Gateway, officer: Officer, subject: str, detail: dict[str, Any]) -> None:
    """The same, of a look that says more than what it looked at."""
    now = gateway.clock.now()
    await gateway.vault.reserve()
    await gateway.store.write(lambda tx: record_read(gateway, tx, now, officer, subject, detail))


def record_read(
    gateway: Gateway, tx: Tx, now: datetime, officer: Officer, subject: str, detail: dict[str, Any]
) -> None:
    """The one place in which a read becomes an entry: who and when in the clear, of what and why in its detail.

    One reserved data key is used up. What a body outside the house reads is sealed to it, and the entry names nothing.
    """
    sealed = sealed_read(tx, officer, subject, detail)
    if sealed is not None:
        subject, detail = "", sealed
    gateway.ledger.record(tx, now, "read", officer.id, subject, detail)


def require_need_to_know(officer: Officer, *kinds: str) -> None:
    """Of every kind of record that is about to be told. Raises `RoleMissing`."""
    if not all(officer.needs_to_know(kind) for kind in kinds):
        raise RoleMissing("this kind of record is outside your need to know")

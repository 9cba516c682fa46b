"""Answers kept under idempotency keys: a call that acts is carried out once, however often it is repeated."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from gateway.errors import Conflict, NotFound
from gateway.model.rows import BodyRow, IdempotencyRow, KeyRow
from gateway.ports import Tx
from gateway.service.context import Gateway
from gateway.service.vault import keys_of

#: A claim without an answer for this long was left behind and may be taken over: well beyond the longest call
#: (`gateway.cli.client.CALL_TIMEOUT_S`).
CLAIM_KEPT = timedelta(minutes=5)

#: An answer is good this long; whoever repeats a call later makes a new one. Answers hold content.
ANSWER_KEPT = timedelta(days=1)

#: Answers deleted in one commit, so that a chore never holds up a delivery.
FORGET_AT_ONCE = 500


class Answers:
    """The rows of `IdempotencyRow`; one with an empty body is a claim: the call is under way."""

    def __init__(self, gateway: Gateway) -> None:
        self._g = gateway

    def claim(self, tx: Tx, mine: IdempotencyRow) -> IdempotencyRow | None:
        """Claim a key inside the caller's unit; returns the row that stands there already, or None: it is ours.

        A claim older than `CLAIM_KEPT` is taken over: its call may have had its effect before the crash, whose
        traces (releases that wait, changes proposed) people see in their lists.
        """
        found = tx.get(IdempotencyRow, mine.key, mine.officer)
        if found is None:
            tx.insert(mine)
            return None
        if not found.body and mine.at - found.at > CLAIM_KEPT and _same_call(found, mine):
            tx.put(mine)
            return None
        return found

    async def first(self, found: IdempotencyRow, mine: IdempotencyRow) -> bytes:
        """The answer given before. Raises `Conflict` for a key of another call, or of one that is under way."""
        if not _same_call(found, mine):
            raise Conflict("the idempotency key was used for another call")
        if not found.body:
            raise Conflict("the call under this idempotency key is under way")
        vault, store = self._g.vault, self._g.store
        await vault.unlock(await store.read(lambda tx: keys_of(tx, [found.key_id])))
        try:
            return await store.read(lambda tx: vault.open(tx, found.body, bytes))
        except NotFound:
            raise Conflict("the answer under this idempotency key is no longer kept") from None

    async def keep(self, mine: IdempotencyRow, answer: bytes) -> None:
        """Store the answer of a claimed call, unless somebody took the claim over."""
        await self._g.vault.reserve()

        def unit(tx: Tx) -> None:
            if tx.get(IdempotencyRow, mine.key, mine.officer) == mine:
                fresh = self._g.vault.fresh(mine.at)
                body = self._g.vault.seal(fresh, answer)
                tx.insert(fresh.row, body)
                tx.put(msgspec.structs.replace(mine, key_id=fresh.id, body=body.id))

        await self._g.store.write(unit)

    async def release(self, mine: IdempotencyRow) -> None:
        """Give up a claim whose call raised: mended, the same key works."""

        def unit(tx: Tx) -> None:
            if tx.get(IdempotencyRow, mine.key, mine.officer) == mine:
                tx.delete(IdempotencyRow, {"key": mine.key, "officer": mine.officer})

        await self._g.store.write(unit)

    async def abandon(self) -> None:
        """Give up every claim: called when a gateway starts, and one process owns a home, so nobody is at work."""

        def unit(tx: Tx) -> None:
            tx.delete(IdempotencyRow, {"body": ""})

        await self._g.store.write(unit)

    async def forget(self) -> int:
        """Delete answers older than `ANSWER_KEPT` with their keys and bodies, and old claims; returns how many."""
        before = self._g.clock.now() - ANSWER_KEPT

        def unit(tx: Tx) -> int:
            old = tx.select(IdempotencyRow, below=("at", before), order="at", limit=FORGET_AT_ONCE)
            for row in old:
                tx.delete(IdempotencyRow, {"key": row.key, "officer": row.officer})
                if row.body:
                    tx.delete(BodyRow, {"id": row.body})
                    tx.delete(KeyRow, {"id": row.key_id})
            return len(old)

        return await self._g.store.write(unit)


def new_claim(key: str, officer: str, operation: str, params: str, now: datetime) -> IdempotencyRow:
    """A claim: ``params`` is the blind index of the exact parameters."""
    return IdempotencyRow(key, officer, operation, params, "", "", now)


def _same_call(one: IdempotencyRow, other: IdempotencyRow) -> bool:
    return (one.op, one.params) == (other.op, other.params)

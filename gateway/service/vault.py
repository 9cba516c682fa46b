"""Bodies at rest: every stored body under a key of its own, every key wrapped by a KEK that only the signer holds.

Destroying a wrapped key erases its bodies; the log keeps commitments under salts that lie inside them.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.errors import LocalFault, NotFound, SignerUnavailable
from gateway.model.case_rows import ErasedRow, ErasureRow
from gateway.model.rows import BodyRow, KeyRow
from gateway.model.signing import DataKey
from gateway.model.time import rfc3339
from gateway.ports import Ids, ReadTx, Signer

T = TypeVar("T")

#: Fresh keys fetched from the signer at once, at least and at most.
POOL_SIZE, FETCH_MOST = 256, 1024

#: Fresh keys promised to a unit that does not say how many: enough for one that writes a handful of bodies.
FEW = 8

#: Unwrapped keys kept in memory, so that a retry costs no call to the signer: twice the 4096 statements that one
#: endorsement may cover, each with the fresh key of its entry, and some room.
CACHE_SIZE = 16_384

#: Nonce of AES-256-GCM, in bytes; random, and a key encrypts a handful of bodies only.
NONCE_BYTES = 12


class OpenKey(msgspec.Struct, frozen=True):
    """A data key in use. Its row must be inserted with the first body under it."""

    id: str
    key: bytes
    row: KeyRow


class Vault:
    """Takes keys from a pool, so that a unit of work can encrypt without waiting for the signer."""

    def __init__(self, signer: Signer, ids: Ids) -> None:
        self._signer, self._ids = signer, ids
        self._pool: list[DataKey] = []
        self._promised: WeakKeyDictionary[asyncio.Task[Any], int] = WeakKeyDictionary()
        self._cache: OrderedDict[str, bytes] = OrderedDict()

    async def reserve(self, count: int = FEW) -> None:
        """Promise this task that `fresh` can be called ``count`` times.

        Promises of other tasks stand beside it: units that share a commit take their keys one after another, long
        after each of them has reserved. A promise lasts until its task makes another, or ends.
        """
        if (task := asyncio.current_task()) is not None:
            self._promised[task] = count
        while (missing := self._owed() - len(self._pool)) > 0:
            self._pool += await self._signer.data_keys(min(max(POOL_SIZE, missing), FETCH_MOST))

    async def renew(self) -> None:
        """Exchange the keys at hand for ones that are wrapped now. A unit that runs before this returns may take one of
        the old; a promise that is not kept for the exchange fails alone, and may be repeated."""
        self._pool = await self._signer.data_keys(min(self._owed() + POOL_SIZE, FETCH_MOST))

    def _owed(self) -> int:
        return sum(count for task, count in self._promised.items() if not task.done())

    def fresh(self, now: datetime) -> OpenKey:
        """A new key under a new random id; raises `SignerUnavailable` when nobody reserved enough: the unit fails
        alone, and may be repeated."""
        if not self._pool:
            raise SignerUnavailable("no data key is at hand")
        taken = self._pool.pop()
        key = self._ids.uuid()
        self._remember(key, taken.key)
        return OpenKey(key, taken.key, KeyRow(key, taken.wrapped, now))

    def seal(self, key: OpenKey | str, value: Any) -> BodyRow:
        """Encrypt a msgpack value as a body with a random id, bound to that id.

        Raises `SignerUnavailable` for the name of a key that is not unlocked (any more): unlock it, and repeat.
        """
        body = self._ids.uuid()
        name = key if isinstance(key, str) else key.id
        secret = self._unlocked(key) if isinstance(key, str) else key.key
        nonce = os.urandom(NONCE_BYTES)
        sealed = AESGCM(secret).encrypt(nonce, msgspec.msgpack.encode(value), body.encode())
        return BodyRow(body, name, nonce + sealed)

    async def unlock(self, rows: Iterable[KeyRow]) -> None:
        """Unwrap these keys, in one call, so that `open` works for bodies under them."""
        missing = []
        for row in rows:
            if row.id in self._cache:
                self._cache.move_to_end(
                    row.id
                )  # before others come in: what is asked for must not make way for them
            else:
                missing.append(row)
        if missing:
            keys = await self._signer.unwrap([row.wrapped for row in missing])
            for row, key in zip(missing, keys, strict=True):
                self._remember(row.id, key)

    def open(self, tx: ReadTx, body: str, wanted: type[T]) -> T:
        """Decrypt one body whose key was unlocked.

        Raises `NotFound` when body or key was erased, though the key may still be in memory; `SignerUnavailable` when
        the key had to make way for others since it was unlocked: repeat.
        """
        row = tx.get(BodyRow, body)
        if row is None or tx.get(KeyRow, row.key) is None:
            raise NotFound(_gone(tx, body))
        try:
            plain = AESGCM(self._unlocked(row.key)).decrypt(
                row.ciphertext[:NONCE_BYTES], row.ciphertext[NONCE_BYTES:], body.encode()
            )
        except InvalidTag:
            raise LocalFault("a stored body does not decrypt: it was changed on disk") from None
        return msgspec.msgpack.decode(plain, type=wanted)

    def require(self, tx: ReadTx, body: str, key: str) -> None:
        """Raises `NotFound` when a body read before this transaction was erased since."""
        if tx.get(KeyRow, key) is None:
            raise NotFound(_gone(tx, body))

    def forget(self, names: Iterable[str]) -> None:
        """Drop these keys from memory: what they opened was erased."""
        for name in names:
            self._cache.pop(name, None)

    def _unlocked(self, name: str) -> bytes:
        key = self._cache.get(name)
        if key is None:
            raise SignerUnavailable("a data key is not unlocked any more")
        return key

    def _remember(self, name: str, key: bytes) -> None:
        self._cache[name] = key
        while len(self._cache) > CACHE_SIZE:
            self._cache.popitem(last=False)


def erasure_of(tx: ReadTx, body: str) -> ErasureRow | None:
    """The erasure that destroyed this body; None: it is here, or went another way."""
    erased = tx.get(ErasedRow, body)
    return tx.get(ErasureRow, erased.erasure) if erased is not None else None


def _gone(tx: ReadTx, body: str) -> str:
    row = erasure_of(tx, body)
    return erased_words(row) if row is not None else "this content is not stored here any more"


def erased_words(row: ErasureRow) -> str:
    """On whose authority something is gone, and since when."""
    at = rfc3339(row.decided_at) if row.decided_at is not None else ""
    return f"erased on authority {row.reference} at {at}"


def no_record(tx: ReadTx, name: str, subject: str) -> str:
    """Why there is no record of this handle or subject: it was erased, or there never was one."""
    for row in tx.select(ErasureRow, {"state": "done"}):
        if name in row.handles or subject in row.subjects:
            return f"the record was {erased_words(row)}"
    return "there is no record of this id"


def keys_of(tx: ReadTx, keys: Iterable[str]) -> list[KeyRow]:
    """The rows of these keys; one that is gone was erased on purpose and is left out."""
    return tx.select(KeyRow, {"id": tuple(dict.fromkeys(keys))})

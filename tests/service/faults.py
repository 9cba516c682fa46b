"""Kills, absences and lost answers: every call that leaves a gateway is counted, and one of them can fail."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from adapters.identities.fixed import FixedClock
from adapters.stores.sql import SqliteStore
from gateway.errors import SignerUnavailable, Unavailable
from gateway.model.party import KeyRecord
from gateway.model.signing import (
    CheckpointRequest,
    CosignRequest,
    DataKey,
    Pseudonym,
    SealBatch,
    SealBatchResult,
    Settlement,
    TrustChange,
)
from gateway.ports import ReadTx, Tx
from gateway.service.signer.authority import Authority
from gateway.service.signer.keks import Generation, Keeping, Keks, listed
from gateway.service.signer.witness import cosign_head

T = TypeVar("T")


class Killed(BaseException):
    """The process of one side ended here (no handler of the code under test sees it)."""

    def __init__(self, org: str) -> None:
        super().__init__(org)
        self.org = org


@dataclass
class Faults:
    """Counts the calls that leave the gateways; makes one of them fail.

    Modes: ``kill-before`` and ``kill-after`` end the calling process around the call; ``away-before`` and
    ``away-after`` raise the call's own kind of `Unavailable`, before anything happened or with only the answer lost.
    """

    calls: list[str] = field(default_factory=list)
    at: int = -1
    mode: str = ""

    def arm(self, at: int, mode: str) -> None:
        self.calls, self.at, self.mode = [], at, mode

    async def around(
        self, org: str, name: str, call: Callable[[], Awaitable[T]], away: Callable[[], Unavailable] | None
    ) -> T:
        hit = len(self.calls) == self.at
        self.calls.append(f"{org} {name}")
        if hit and self.mode.endswith("before"):
            raise self._fault(org, away)
        answer = await call()
        if hit and self.mode.endswith("after"):
            raise self._fault(org, away)
        return answer

    def _fault(self, org: str, away: Callable[[], Unavailable] | None) -> BaseException:
        return Killed(org) if away is None or self.mode.startswith("kill") else away()


class CountedStore:
    """`ExchangeStore` whose commits can be killed, before them or between them and their acknowledgement."""

    def __init__(self, org: str, store: SqliteStore, faults: Faults) -> None:
        self._org, self.inner, self._faults = org, store, faults

    async def write(self, unit: Callable[[Tx], T]) -> T:
        return await self._faults.around(self._org, "commit", lambda: self.inner.write(unit), None)

    async def read(self, unit: Callable[[ReadTx], T]) -> T:
        return await self.inner.read(unit)

    def settle(self) -> None:
        self.inner.settle()

    def close(self) -> None:
        self.inner.close()


class KeptKeks:
    """The wrapping keys of one signer, as its files keep them over a kill."""

    def __init__(self, first: bytes, made_at: datetime) -> None:
        self.keys, self.list = {1: first}, listed((Generation(1, made_at),))

    def load(self) -> Keks:
        """As the process reads them at its start."""
        return Keks(self.list, self.keys, Keeping(self.keys.__setitem__, self.keys.__delitem__, self._write))

    def _write(self, raw: bytes) -> None:
        self.list = raw


class InProcessSigner:
    """`ports.Signer` over an `Authority` in this process."""

    def __init__(self, org: str, authority: Authority, clock: FixedClock, faults: Faults) -> None:
        self._org, self.authority, self._clock, self._faults = org, authority, clock, faults

    async def _call(self, name: str, function: Callable[[], T]) -> T:
        async def answer() -> T:
            return function()

        def away() -> Unavailable:
            return SignerUnavailable("the signer does not answer")

        return await self._faults.around(self._org, name, answer, away)

    async def keys(self) -> tuple[KeyRecord, ...]:
        return await self._call("keys", lambda: self.authority.keys.records)

    async def heads(self) -> dict[str, int]:
        heads = self.authority.trust.heads
        return await self._call("heads", lambda: {origin: head.size for origin, head in heads.items()})

    async def data_keys(self, count: int) -> list[DataKey]:
        return await self._call("data_keys", lambda: list(self.authority.keys.data_keys(count)))

    async def unwrap(self, wrapped: Sequence[bytes]) -> list[bytes]:
        return await self._call("unwrap", lambda: [self.authority.keys.unwrap(one) for one in wrapped])

    async def wrapping(self) -> int:
        return await self._call(
            "wrapping", lambda: self.authority.keys.keks.turn(self._clock.now(), os.urandom)
        )

    async def rewrap(self, wrapped: Sequence[bytes]) -> list[bytes]:
        return await self._call("rewrap", lambda: [self.authority.keys.rewrap(one) for one in wrapped])

    async def left(self, generation: int) -> None:
        await self._call("left", lambda: self.authority.keys.keks.leave(generation, self._clock.now()))

    async def index(self, values: Sequence[bytes]) -> list[str]:
        return await self._call("index", lambda: [self.authority.keys.index(value) for value in values])

    async def terms(self, keys: Sequence[str]) -> list[bytes]:
        return await self._call("terms", lambda: [self.authority.keys.term(key) for key in keys])

    async def pseudonyms(self, wanted: Sequence[Pseudonym]) -> list[str]:
        return await self._call("pseudonyms", lambda: [self.authority.keys.pseudonym(one) for one in wanted])

    async def open(self, suite: str, preamble: bytes, ciphertext: bytes) -> bytes:
        return await self._call("open", lambda: self.authority.open(suite, preamble, ciphertext))

    async def checkpoint(self, request: CheckpointRequest) -> bytes:
        return await self._call("checkpoint", lambda: self.authority.checkpoint(request))

    async def cosign(self, request: CosignRequest) -> list[str]:
        authority = self.authority
        return await self._call(
            "cosign",
            lambda: cosign_head(authority.keys, authority.trust, request, now=self._clock.now()),
        )

    async def seal(self, batch: SealBatch) -> SealBatchResult:
        return await self._call("seal", lambda: self.authority.seal(batch))

    async def receipts(self, statements: Sequence[bytes]) -> list[str]:
        return await self._call("receipts", lambda: [self.authority.receipt(one) for one in statements])

    async def unsettled(self) -> tuple[str, ...]:
        return await self._call("unsettled", lambda: tuple(self.authority.trust.alone))

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        await self._call("settle", lambda: self.authority.settle(settlements))

    async def change(self, change: TrustChange) -> None:
        await self._call("change", lambda: self.authority.trust.change(change, now=self._clock.now()))

"""The gateway's side of the signer's socket: `ports.Signer` over one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from gateway.errors import SignerUnavailable
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
from gateway.service.signer.protocol import Answer, Call, encode, frame, from_fault, read_frame

T = TypeVar("T")

#: Seconds to wait for one answer: a full batch of 64 messages takes well under one.
ANSWER_TIMEOUT_S = 30.0


class SignerClient:
    """Implements `ports.Signer`. Requests go one after another over one connection, which is opened again at need;
    every call may be repeated, so a broken connection is only `SignerUnavailable`."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._turn = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def _call(self, op: str, argument: Any, wanted: type[T] | Any) -> Any:
        async with self._turn:
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    reader, writer = await self._connection()
                    writer.write(frame(msgspec.msgpack.encode(Call(op, encode(argument)))))
                    await writer.drain()
                    answer = msgspec.msgpack.decode(await read_frame(reader), type=Answer)
                if answer.fault is None:
                    return msgspec.msgpack.decode(answer.body, type=wanted)
            except (OSError, TimeoutError, msgspec.MsgspecError, UnicodeDecodeError):
                await self.close()
                raise SignerUnavailable("the signer does not answer") from None
            except BaseException:
                # A cancelled call too: the answer that is still coming must never be read as that of the next call.
                await self.close()
                raise
        raise from_fault(answer.fault)

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_unix_connection(str(self._socket))
        return self._streams

    async def close(self) -> None:
        """Drop the connection; the next call opens another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def keys(self) -> tuple[KeyRecord, ...]:
        return tuple(await self._call("keys", None, tuple[KeyRecord, ...]))

    async def heads(self) -> dict[str, int]:
        return dict(await self._call("heads", None, dict[str, int]))

    async def data_keys(self, count: int) -> list[DataKey]:
        return list(await self._call("data_keys", count, list[DataKey]))

    async def unwrap(self, wrapped: Sequence[bytes]) -> list[bytes]:
        return list(await self._call("unwrap", list(wrapped), list[bytes]))

    async def wrapping(self) -> int:
        return int(await self._call("wrapping", None, int))

    async def rewrap(self, wrapped: Sequence[bytes]) -> list[bytes]:
        return list(await self._call("rewrap", list(wrapped), list[bytes]))

    async def left(self, generation: int) -> None:
        await self._call("left", generation, None)

    async def index(self, values: Sequence[bytes]) -> list[str]:
        return list(await self._call("index", list(values), list[str]))

    async def terms(self, keys: Sequence[str]) -> list[bytes]:
        return list(await self._call("terms", list(keys), list[bytes]))

    async def pseudonyms(self, wanted: Sequence[Pseudonym]) -> list[str]:
        return list(await self._call("pseudonyms", list(wanted), list[str]))

    async def open(self, suite: str, preamble: bytes, ciphertext: bytes) -> bytes:
        return bytes(await self._call("open", (suite, preamble, ciphertext), bytes))

    async def checkpoint(self, request: CheckpointRequest) -> bytes:
        return bytes(await self._call("checkpoint", request, bytes))

    async def cosign(self, request: CosignRequest) -> list[str]:
        return list(await self._call("cosign", request, list[str]))

    async def seal(self, batch: SealBatch) -> SealBatchResult:
        result: SealBatchResult = await self._call("seal", batch, SealBatchResult)
        return result

    async def receipts(self, statements: Sequence[bytes]) -> list[str]:
        return list(await self._call("receipts", list(statements), list[str]))

    async def unsettled(self) -> tuple[str, ...]:
        return tuple(await self._call("unsettled", None, tuple[str, ...]))

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        await self._call("settle", list(settlements), None)

    async def change(self, change: TrustChange) -> None:
        await self._call("change", change, None)

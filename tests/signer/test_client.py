"""The gateway's side of the socket: no call is ever given the answer of another."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from gateway.errors import SignerUnavailable
from gateway.service.signer.client import SignerClient
from gateway.service.signer.protocol import Answer, Call, encode, frame, read_frame

Reply = Callable[[Call], bytes]


class Gate:
    """Holds answers back."""

    def __init__(self) -> None:
        self.reached, self.open = asyncio.Event(), asyncio.Event()


@contextlib.asynccontextmanager
async def signer(
    path: Path, reply: Reply, gate: Gate | None = None
) -> AsyncIterator[tuple[SignerClient, list[str]]]:
    """A client, and a signer that gives these answers, each once the gate is open; it lists what came in."""
    calls: list[str] = []
    connections: list[asyncio.Task[None] | None] = []

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(asyncio.current_task())
        calls.append("connected")
        with contextlib.suppress(SignerUnavailable, ConnectionError):
            while True:
                call = msgspec.msgpack.decode(await read_frame(reader), type=Call)
                calls.append(call.op)
                if gate is not None:
                    gate.reached.set()
                    await gate.open.wait()
                writer.write(frame(reply(call)))
                await writer.drain()
        writer.close()

    server, client = await asyncio.start_unix_server(connection, path=str(path)), SignerClient(path)
    try:
        yield client, calls
    finally:
        await client.close()
        server.close()
        await asyncio.gather(*(task for task in connections if task is not None))


def honest(call: Call) -> bytes:
    """A different answer to each operation."""
    body = encode({"a log": 7} if call.op == "heads" else [call.op])
    return msgspec.msgpack.encode(Answer(None, body))


async def test_a_cancelled_call_takes_its_answer_with_it(tmp_path: Path) -> None:
    """The caller gave up while the signer worked: the next call gets its own answer, over another connection."""
    gate = Gate()
    async with signer(tmp_path / "s", honest, gate) as (client, calls):
        first = asyncio.create_task(client.index([b"a"]))
        await gate.reached.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        gate.open.set()
        assert await client.heads() == {"a log": 7}
        assert calls == ["connected", "index", "connected", "heads"]


BAD: dict[str, Reply] = {
    "no answer": lambda call: b"\xc1",
    "an answer of another form": lambda call: msgspec.msgpack.encode({"fault": None}),
    "a body of another type": lambda call: msgspec.msgpack.encode(Answer(None, encode("many"))),
    "a body that is no msgpack": lambda call: b"\x92\xc0\xc1",
    "a body that is no UTF-8": lambda call: b"\x92\xc0\x81\xa1\xff\x01",
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_answer_is_a_signer_that_is_away(tmp_path: Path, name: str) -> None:
    """What cannot be read is reported as something that may be tried again, and the connection is not used again."""
    replies = iter([BAD[name], honest])
    async with signer(tmp_path / "s", lambda call: next(replies)(call)) as (client, calls):
        with pytest.raises(SignerUnavailable):
            await client.heads()
        assert await client.heads() == {"a log": 7}
        assert calls == ["connected", "heads"] * 2

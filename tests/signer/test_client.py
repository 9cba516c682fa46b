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


@contextlib.asynccontextmanager
async def signer(path: Path, reply: Reply, held: asyncio.Event | None = None) -> AsyncIterator[list[str]]:
    """A signer that gives these answers, waits for ``held`` before each, and names each connection's calls."""
    calls: list[str] = []

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append("connected")
        with contextlib.suppress(SignerUnavailable, ConnectionError):
            while True:
                call = msgspec.msgpack.decode(await read_frame(reader), type=Call)
                calls.append(call.op)
                if held is not None:
                    await held.wait()
                writer.write(frame(reply(call)))
                await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(connection, path=str(path))
    try:
        yield calls
    finally:
        server.close()
        await asyncio.sleep(0)


def honest(call: Call) -> bytes:
    """A different answer to each operation."""
    body = encode({"a log": 7} if call.op == "heads" else [call.op])
    return msgspec.msgpack.encode(Answer(None, body))


async def test_a_cancelled_call_takes_its_answer_with_it(tmp_path: Path) -> None:
    """The caller gave up while the signer worked: the next call gets its own answer, over another connection."""
    held = asyncio.Event()
    async with signer(tmp_path / "s", honest, held) as calls:
        client = SignerClient(tmp_path / "s")
        first = asyncio.create_task(client.index([b"a"]))
        while "index" not in calls:
            await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        held.set()
        assert await client.heads() == {"a log": 7}
        assert calls == ["connected", "index", "connected", "heads"]
        await client.close()


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
    async with signer(tmp_path / "s", lambda call: next(replies)(call)) as calls:
        client = SignerClient(tmp_path / "s")
        with pytest.raises(SignerUnavailable):
            await client.heads()
        assert await client.heads() == {"a log": 7}
        assert calls == ["connected", "heads"] * 2
        await client.close()

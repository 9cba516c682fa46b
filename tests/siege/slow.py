"""A thousand slow connections from one source: they say nothing, or half of something, and come again when ended."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import resource
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import count
from multiprocessing.connection import Connection

from gateway.service.tls_probe import client_hello
from tests.siege.bodies import post
from tests.siege.target import HOSTILE, QUESTION, Reach

#: Where they come from: on loopback every address of 127/8 is ours to connect from.
SOURCE = "127.0.0.2"

#: Seconds between the bytes of one that trickles: below every limit for a stall, so only limits over the whole end it.
TRICKLE_S = 1.0

#: Seconds before one that was ended comes again.
AGAIN_S = 1.0

#: Seconds between two looks at the other process.
LOOK_S = 0.1

#: Descriptors a thousand connections need, with room for the rest.
DESCRIPTORS = 4096

#: One in so many has a partner's certificate, and is slow after its handshake.
PARTNER_EVERY = 10


@dataclass
class Seen:
    """What the slow ones met."""

    opened: int = 0
    ended: int = 0


@contextlib.asynccontextmanager
async def crowd(reach: Reach, connections: int) -> AsyncIterator[Seen]:
    """That many slow connections while the block runs, from a process of their own; what they met, at its end.

    In the measuring process they would slow down the honest partner, not the gateway.
    """
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_stand, args=(reach, connections, theirs))
    process.start()
    seen = Seen()
    try:
        while not ours.poll():  # noqa: ASYNC110 - of another process
            await asyncio.sleep(LOOK_S)
        yield seen
    finally:
        ours.send("enough")
        while process.is_alive():  # noqa: ASYNC110 - of another process
            await asyncio.sleep(LOOK_S)
        ours.recv()
        seen.opened, seen.ended = ours.recv()
        process.close()


def _stand(reach: Reach, connections: int, pipe: Connection) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(DESCRIPTORS, most), most))
    seen = asyncio.run(_Crowd(reach, connections).stand(pipe))
    pipe.send((seen.opened, seen.ended))


class _Crowd:
    def __init__(self, reach: Reach, connections: int) -> None:
        self._reach, self._connections = reach, connections
        self._context = reach.context(HOSTILE)
        self._seen = Seen()

    async def stand(self, pipe: Connection) -> Seen:
        """All of them until told that it is enough; says when every one has come once."""
        tasks = [asyncio.create_task(self._one(number)) for number in range(self._connections)]
        while self._seen.opened < self._connections:  # noqa: ASYNC110 - a figure
            await asyncio.sleep(LOOK_S)
        pipe.send("come")
        while not pipe.poll():  # noqa: ASYNC110 - of another process
            await asyncio.sleep(LOOK_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return self._seen

    async def _one(self, number: int) -> None:
        """One slow peer: with a partner's certificate, silent, or trickling a hello."""
        while True:
            with contextlib.suppress(OSError, ssl.SSLError):
                if number % PARTNER_EVERY == 0:
                    await self._slow_partner(number // PARTNER_EVERY)
                else:
                    await self._slow_stranger(silent=bool(number % 2))
            self._seen.ended += 1
            await asyncio.sleep(AGAIN_S)

    async def _slow_stranger(self, *, silent: bool) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._reach.port, local_addr=(SOURCE, 0))
        self._seen.opened += 1
        await self._trickle(reader, writer, b"" if silent else client_hello())

    async def _slow_partner(self, number: int) -> None:
        """Valid to the last byte, but slow: in its headers, or in its body."""
        reader, writer = await self._reach.connect(self._context, SOURCE)
        self._seen.opened += 1
        if number % 2:
            writer.write(post(length=1_000_000))
            await self._trickle(reader, writer, bytes(1000))
        else:
            await self._trickle(reader, writer, QUESTION)

    async def _trickle(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, content: bytes
    ) -> None:
        """A byte a second until the other side ends it."""
        ended = asyncio.create_task(reader.read())
        try:
            for at in count():
                if ended.done():
                    ended.exception()
                    return
                writer.write(content[at : at + 1])
                await asyncio.wait([ended], timeout=TRICKLE_S)
        finally:
            ended.cancel()
            writer.transport.abort()

"""What is not HTTP gets a status and nothing else, and nothing of it reaches a log."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator
from contextlib import redirect_stderr

import pytest
from aiohttp import web

from gateway.service.http import QuietRunner
from gateway.service.logs import configure_logging

CANARY = b"Zzemo-Exemple-99990000002"


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[int]:
    """A quiet server on loopback that answers 200 to everything that is HTTP."""
    app = web.Application()

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="ok")

    app.router.add_get("/", answer)
    runner = QuietRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def ask(port: int, raw: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    await writer.drain()
    answer = await reader.read()
    writer.close()
    return answer


HOSTILE = {
    "no method": CANARY + b" / HTTP/9.9\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    + CANARY,
    "bad chunk": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZZ" + CANARY + b"\r\n",
    "long header": b"GET / HTTP/1.1\r\nHost: a\r\nX: " + CANARY * 8000 + b"\r\n\r\n",
    "expectation": b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: " + CANARY + b"\r\n\r\n",
    "space in name": b"GET / HTTP/1.1\r\nHost : " + CANARY + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_what_is_not_http_is_neither_quoted_nor_logged(name: str) -> None:
    """A 4xx that names no product and quotes nothing; the log holds a class, no traceback, no input."""
    written = io.StringIO()
    with redirect_stderr(written):
        configure_logging()
        async with listening() as port:
            answer = await asyncio.wait_for(ask(port, HOSTILE[name]), 5)
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
    assert [word for word in (b"aiohttp", b"Zzemo") if word in answer] == []
    assert [word for word in ("Traceback", "Zzemo") if word in written.getvalue()] == []


async def test_ordinary_requests_are_answered() -> None:
    """The quiet server still serves."""
    async with listening() as port:
        answer = await asyncio.wait_for(
            ask(port, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), 5
        )
    assert answer.startswith(b"HTTP/1.1 200")

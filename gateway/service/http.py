"""What aiohttp answers on its own, before any of our code runs: as silent as the rest.

A request that is not HTTP never reaches a handler; by itself the library would answer with its name, quote what it was
sent, and log it with a traceback. Here it gets a status and nothing else, and the log a class.
"""

from __future__ import annotations

from typing import Any

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from gateway.service.config import Inbound

log = structlog.get_logger()

#: Names no product and no version (T12).
SERVER = "gw"

#: Seconds for which the rest of a refused body is thrown away, so that its sender can read why (RFC 9112 §9.6).
LINGER_S = 1.0


class QuietHandler(RequestHandler):
    """A connection that tells a stranger nothing, and takes one request after another."""

    def data_received(self, data: bytes) -> None:
        """What comes in one piece behind a whole request is dropped, and the connection ends with the answer before it
        (RFC 9112 §9.6 lets us): nobody of ours pipelines, and a thousand questions in one segment would be as many
        answers to a peer that never reads."""
        super().data_received(data)
        if len(self._messages) > 1:
            log.warning("http.refused", status=0, error="pipelined")
            while len(self._messages) > 1:
                self._messages.pop()
            self.close()

    @property
    def ending(self) -> bool:
        """Whether the connection ends with the answer under way."""
        return self._close

    def handle_error(
        self, request: Any, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The answer to what is not HTTP: its status. Nothing of the request is quoted, here or in the log."""
        log.warning("http.refused", status=status, error=type(exc).__name__ if exc else "none")
        response = web.Response(status=status, headers={"Server": SERVER})
        response.force_close()
        return response


class QuietServer:
    """`web.Server` with quiet connections; everything else is the server's own."""

    def __init__(self, server: web.Server) -> None:
        self._server = server

    def __call__(self) -> QuietHandler:
        return QuietHandler(self._server, loop=self._server._loop, **self._server._kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)


class QuietRunner(web.AppRunner):
    """An `AppRunner` whose connections are quiet."""

    async def _make_server(self) -> Any:
        self._app.on_response_prepare.append(_unnamed)
        return QuietServer(await super()._make_server())


def partner_runner(app: web.Application, limits: Inbound) -> QuietRunner:
    """The runner of the partner listener, with every limit that the library keeps for us.

    ``keepalive_timeout`` bounds slow headers too: the library ends whoever has not sent complete headers by then,
    counted from the start or from the last answer. Nothing is decompressed (T11).
    """
    return QuietRunner(
        app,
        access_log=None,
        keepalive_timeout=limits.idle_s,
        lingering_time=LINGER_S,
        max_line_size=limits.header_bytes,
        max_field_size=limits.header_bytes,
        max_headers=limits.headers,
        auto_decompress=False,
    )


async def _unnamed(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = SERVER
    if isinstance(request.protocol, QuietHandler) and request.protocol.ending:
        response.headers["Connection"] = "close"
    if isinstance(response, web.HTTPException):
        response.body = None  # the library's words quote the request, an unknown Expect for one
        response.headers["Content-Length"] = "0"  # it has announced them already

"""What aiohttp answers on its own, before any of our code runs: as silent as the rest.

A request that is not HTTP never reaches a handler; by itself the library would answer with its name, quote what it was
sent, and log it with a traceback. Here it gets a status and nothing else, and the log a class.
"""

from __future__ import annotations

from typing import Any

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

log = structlog.get_logger()

#: Names no product and no version (T12).
SERVER = "gw"


class QuietHandler(RequestHandler):
    """A connection that tells a stranger nothing."""

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


async def _unnamed(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = SERVER
    if isinstance(response, web.HTTPException):
        response.body = None  # the library's words quote the request, an unknown Expect for one

"""What partners reach over mutual TLS: a POST for batches, a GET for receipts, and nothing else.

Who they are was proven by the handshake and checked again after it; every request is asked for the evidence of its
own connection. Bodies are counted while they are read, and a slow one ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from gateway.errors import AuditBroken, GatewayError, MalformedMessage, PartnerFault
from gateway.service.context import Gateway
from gateway.service.intake import Intake
from gateway.service.problems import partner_problem
from gateway.service.refusals import Refusals
from gateway.service.tls import TlsEvidence

log = structlog.get_logger()

BATCH_TYPE = "application/vnd.ecluse.sealed-batch"
RECEIPT_TYPE = "application/vnd.ecluse.receipt+jose"

#: Seconds in which the next piece of a body must come, and a whole body at the most (T10).
READ_STALL_S, READ_TOTAL_S = 5.0, 60.0

#: Bytes read at once.
READ_CHUNK = 64 * 1024

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Evidence = Callable[[asyncio.BaseTransport | None], TlsEvidence]


class PartnerApi:
    """The partner listener's routes."""

    def __init__(self, gateway: Gateway, intake: Intake, refusals: Refusals) -> None:
        self._g, self._intake, self._refusals = gateway, intake, refusals
        self.evidence: Evidence = _nobody

    def application(self) -> web.Application:
        """The application; `client_max_size` does not protect streaming reads, `_body` does (T11)."""
        app = web.Application(client_max_size=1024, middlewares=[self._answer])
        app.router.add_post("/exchange/v1/messages", self._post)
        app.router.add_get("/exchange/v1/messages/{id}/receipt", self._receipt)
        return app

    @web.middleware
    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Errors become answers here and nowhere else; an unexpected one is logged by class and says nothing.

        What is refused whole, because of the partner, is counted for the master log; a message that fails alone has an
        entry of its own.
        """
        try:
            return await handler(request)
        except AuditBroken as broken:
            log.error("audit.broken", code=broken.code, **broken.diagnostic)
            self._g.fatal("audit-broken")
            return partner_problem(broken)
        except GatewayError as error:
            log.warning("partner.refused", code=error.code)
            if isinstance(error, PartnerFault):
                self._count(request, error.code)
            return partner_problem(error)
        except web.HTTPException as error:
            self._count(request, f"http-{error.status}")
            return web.Response(status=error.status)
        except ConnectionError:
            raise
        except Exception as error:
            log.error("partner.defect", error=type(error).__name__)
            return partner_problem(PartnerFault("internal", code="unavailable"))

    def _count(self, request: web.Request, reason: str) -> None:
        try:
            source = self.evidence(request.transport).organisation
        except PartnerFault:
            source = ""  # the connection is gone, and what it proved with it
        self._refusals.count(source, reason)

    async def _post(self, request: web.Request) -> web.Response:
        evidence = self.evidence(request.transport)
        if request.content_type != BATCH_TYPE or "Content-Encoding" in request.headers:
            raise MalformedMessage("a batch has one media type and no content encoding")
        raw = await self._body(request)
        receipt = await self._intake.accept(evidence.organisation, raw)
        return web.Response(body=receipt.encode(), content_type=RECEIPT_TYPE)

    async def _receipt(self, request: web.Request) -> web.Response:
        evidence = self.evidence(request.transport)
        receipt = await self._intake.receipt(evidence.organisation, request.match_info["id"])
        if receipt is None:
            return web.Response(status=404)
        return web.Response(body=receipt.encode(), content_type=RECEIPT_TYPE)

    async def _body(self, request: web.Request) -> bytes:
        limit = self._g.config.inbound.batch_bytes
        if (request.content_length or 0) > limit:
            raise PartnerFault("the body is too large", code="too-large")
        body = bytearray()
        try:
            async with asyncio.timeout(READ_TOTAL_S):
                while True:
                    async with asyncio.timeout(READ_STALL_S):
                        chunk = await request.content.read(READ_CHUNK)
                    if not chunk:
                        return bytes(body)
                    body += chunk
                    if len(body) > limit:
                        raise PartnerFault("the body is too large", code="too-large")
        except TimeoutError:
            raise PartnerFault("the body came too slowly", code="too-slow") from None


def _nobody(_transport: asyncio.BaseTransport | None) -> TlsEvidence:
    raise PartnerFault("no handshake was checked", code="unknown-partner")

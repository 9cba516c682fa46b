"""What partners reach over mutual TLS: a POST for batches and one for a cosignature, a GET for receipts and the asker's
own head, nothing else.

Who they are was proven by the handshake and checked again after it; every request is asked for the evidence of its
own connection. A body announces its length, which is held against every limit and quota before its first byte is read:
there are no chunks, no content encodings and no expectations here, so nothing has to be decoded to be counted.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import HttpVersion11, web

from gateway.errors import AuditBroken, GatewayError, MalformedMessage, OverQuota, PartnerFault
from gateway.service.context import Gateway
from gateway.service.crossed import log_about
from gateway.service.intake import Intake
from gateway.service.problems import partner_problem
from gateway.service.quota import Quotas
from gateway.service.refusals import Refusals
from gateway.service.tls import TlsEvidence
from gateway.service.witnesses import MAX_ASK, Witnesses

log = structlog.get_logger()

BATCH_TYPE = "application/vnd.ecluse.sealed-batch"
RECEIPT_TYPE = "application/vnd.ecluse.receipt+jose"

#: Bytes read at once.
READ_CHUNK = 64 * 1024

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Evidence = Callable[[asyncio.BaseTransport | None], TlsEvidence]


class PartnerApi:
    """The partner listener's routes."""

    def __init__(self, gateway: Gateway, intake: Intake, refusals: Refusals) -> None:
        self._g, self._intake, self._refusals = gateway, intake, refusals
        self._witnesses = Witnesses(gateway)
        self._quotas = Quotas(gateway.config.inbound)
        self.evidence: Evidence = _nobody

    def application(self) -> web.Application:
        """The application; `client_max_size` does not protect streaming reads, `_body` does (T11)."""
        app = web.Application(client_max_size=1024, middlewares=[self._answer])
        routes = app.router
        routes.add_post("/exchange/v1/messages", self._post, expect_handler=self._expectation)
        routes.add_post("/exchange/v1/add-checkpoint", self._cosign, expect_handler=self._expectation)
        receipt = "/exchange/v1/messages/{id}/receipt"
        routes.add_get(receipt, self._receipt, expect_handler=self._expectation, allow_head=False)
        part = "/exchange/v1/log/{start}"
        routes.add_get(part, self._log, expect_handler=self._expectation, allow_head=False)
        routes.add_get("/exchange/v1/head", self._head, expect_handler=self._expectation, allow_head=False)
        return app

    @web.middleware
    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Errors become answers here and nowhere else; an unexpected one is logged by class and says nothing.

        What is refused whole, because of the partner, is counted for the master log; a message that fails alone has an
        entry of its own.
        """
        try:
            if request.version != HttpVersion11:
                raise web.HTTPBadRequest
            return await handler(request)
        except AuditBroken as broken:
            log.error("audit.broken", code=broken.code, **broken.diagnostic)
            self._g.fatal("audit-broken")
            return partner_problem(broken)
        except GatewayError as error:
            log.warning("partner.refused", code=error.code)
            if isinstance(error, PartnerFault | OverQuota):
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

    async def _expectation(self, request: web.Request) -> web.Response:
        """No expectation is met: a client that asks before it sends may send without asking (RFC 9110 §10.1.1)."""
        self._count(request, "http-417")
        return web.Response(status=417)

    async def _post(self, request: web.Request) -> web.Response:
        """Take one batch in: 1. who it is, and still a partner; 2. what the headers announce; 3. its quota; 4. read."""
        # (1) the connection may outlast a stop by an instant
        org = self.evidence(request.transport).organisation
        self._g.directory.partner(org)
        # (2)
        if request.headers.getall("Content-Type", []) != [BATCH_TYPE]:
            raise MalformedMessage("a batch has one media type, without parameters")
        length = _announced(request)
        if length > self._g.config.inbound.batch_bytes:
            raise PartnerFault("the body is too large", code="too-large")
        # (3)
        with self._quotas.body(org, length):
            # (4)
            # no name for the body here: intake lets go of it once it has the messages
            receipt = await self._intake.accept(
                org,
                await self._body(request, length),
                counted=lambda count: self._quotas.messages(org, count),
            )
        return web.Response(body=receipt.encode(), content_type=RECEIPT_TYPE)

    async def _cosign(self, request: web.Request) -> web.Response:
        """C2SP tlog-witness, `add-checkpoint`; the size of a 409 has its own media type there."""
        org = self.evidence(request.transport).organisation
        self._g.directory.partner(org)
        length = _announced(request)
        if length > MAX_ASK:
            raise PartnerFault("the body is too large", code="too-large")
        self._quotas.question(org)
        with self._quotas.body(org, length):
            status, body = await self._witnesses.answer(org, await self._body(request, length))
        if status != 200:
            self._count(request, f"witness-{status}")
        media = "text/x.tlog.size" if status == 409 and body else "text/plain"
        return web.Response(status=status, body=body, content_type=media if body else None)

    async def _receipt(self, request: web.Request) -> web.Response:
        receipt = await self._intake.receipt(self._asker(request), request.match_info["id"])
        if receipt is None:
            return web.Response(status=404)
        return web.Response(body=receipt.encode(), content_type=RECEIPT_TYPE)

    async def _head(self, request: web.Request) -> web.Response:
        note = await self._intake.head(self._asker(request))
        if note is None:
            return web.Response(status=404)
        return web.Response(body=note, content_type="text/plain", charset="utf-8")

    async def _log(self, request: web.Request) -> web.Response:
        asker, start = self._asker(request), request.match_info["start"]
        known = re.fullmatch(r"0|[1-9][0-9]{0,17}", start) is not None
        part = await log_about(self._g, asker, int(start)) if known else None
        if part is None:
            return web.Response(status=404)
        return web.Response(body=part, content_type="text/plain", charset="utf-8")

    def _asker(self, request: web.Request) -> str:
        """Who asks a question without a body; it is counted as one message."""
        org = self.evidence(request.transport).organisation
        if request.body_exists:
            raise MalformedMessage("a question has no body")
        self._quotas.question(org)
        return org

    async def _body(self, request: web.Request, length: int) -> bytes:
        """The body, in pieces that come in time and fast enough. Raises `PartnerFault`, code ``too-slow``.

        The deadline of each piece is the earliest of three: so long after the last piece, so long after the first
        one, and the moment when what has come falls below the least rate (measured from a stall after the start).
        """
        limits, clock = self._g.config.inbound, asyncio.get_running_loop().time
        body, start = bytearray(), clock()
        try:
            while len(body) < length:
                rate = start + limits.body_stall_s + len(body) / limits.body_bytes_s
                due = min(clock() + limits.body_stall_s, start + limits.body_total_s, rate)
                async with asyncio.timeout_at(due):
                    piece = await request.content.read(READ_CHUNK)
                if not piece:
                    raise MalformedMessage("the body ends before its announced length")
                body += piece
        except web.RequestPayloadError:
            raise MalformedMessage("the body is not what its headers announce") from None
        except TimeoutError:
            raise PartnerFault("the body came too slowly", code="too-slow") from None
        return bytes(body)


def _announced(request: web.Request) -> int:
    """The body's length as its header announces it; the parser holds the body to it.

    Refused: a body in chunks, whose length nobody knows before its end, and one in a content encoding, whose length
    says nothing about its size (RFC 9110 §15.5.12, §15.5.16).
    """
    if "Content-Encoding" in request.headers:
        raise MalformedMessage("a body has no content encoding")
    if request.content_length is None or "Transfer-Encoding" in request.headers:
        raise PartnerFault("a body announces its length", code="length-required")
    return request.content_length


def _nobody(_transport: asyncio.BaseTransport | None) -> TlsEvidence:
    raise PartnerFault("no handshake was checked", code="unknown-partner")

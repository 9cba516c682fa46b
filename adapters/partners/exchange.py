"""Our own transport: one framed batch a POST over mutual TLS 1.3, answered by one signed receipt."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from gateway.errors import MalformedMessage, PartnerFault, PartnerUnreachable, UnknownPartner
from gateway.model.party import Assurance, Partner

BATCH_TYPE = "application/vnd.ecluse.sealed-batch"
RECEIPT_TYPE = "application/vnd.ecluse.receipt+jose"

#: A receipt of 64 items and a checkpoint is well below this many bytes.
MAX_ANSWER = 256 * 1024

#: Connections to one partner: batches go one after another, a receipt may be fetched beside one.
CONNECTIONS = 2

#: Seconds an idle connection is kept: well below the ten for which partners keep theirs, so that no request leaves on
#: one that is just being closed and costs an attempt. It is not sent again here: each attempt is encrypted anew.
IDLE_S = 4

#: Tries of one idempotent GET within a call. Batches are never retried here: the lane's row keeps that back-off.
FETCH_TRIES = 3

#: Our own check after the handshake: raises `UnknownPartner` for another server than this partner's.
PeerCheck = Callable[[ssl.SSLObject, Partner], object]


class _CheckedConnector(aiohttp.TCPConnector):
    """A connector that holds the server against the partner's entry before the first byte of a request leaves."""

    def __init__(
        self,
        context: ssl.SSLContext,
        check: Callable[[ssl.SSLObject], object],
        resolver: AbstractResolver | None,
    ) -> None:
        super().__init__(ssl=context, resolver=resolver, limit=CONNECTIONS, keepalive_timeout=IDLE_S)
        self._check = check

    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> Any:  # noqa: ASYNC109 - theirs
        protocol = await super()._create_connection(req, traces, timeout)
        transport = protocol.transport
        try:
            self._check(transport.get_extra_info("ssl_object"))  # type: ignore[union-attr]
        except BaseException:
            protocol.close()
            raise
        return protocol


class ExchangeTransport:
    """Implements `ports.PartnerTransport`. One session a partner, kept alive; no redirect, no cookie, no proxy."""

    assurance = Assurance(
        origin_signed=True,
        end_to_end_encrypted=True,
        receipt="signed",
        ordered=True,
        recall_ack=True,
        style="push",
    )

    def __init__(
        self,
        context: Callable[[], ssl.SSLContext],
        check: PeerCheck,
        *,
        connect_s: float,
        answer_s: float,
        resolver: Callable[[], AbstractResolver | None] = lambda: None,
    ) -> None:
        self._context, self._check, self._resolver = context, check, resolver
        self._timeout = aiohttp.ClientTimeout(total=answer_s, sock_connect=connect_s)
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    async def deliver(self, batch: bytes, *, to: Partner) -> bytes:
        headers = {"Content-Type": BATCH_TYPE}
        status, body = await self._request("POST", "/exchange/v1/messages", to, data=batch, headers=headers)
        if status == 200:
            return body
        raise _refused(status, body)

    async def add_checkpoint(self, ask: bytes, *, to: Partner) -> tuple[int, bytes]:
        return await self._request("POST", "/exchange/v1/add-checkpoint", to, data=ask)

    async def fetch_receipt(self, message_id: str, *, to: Partner) -> bytes | None:
        return await self._fetch(f"/exchange/v1/messages/{message_id}/receipt", to)

    async def fetch_head(self, *, to: Partner) -> bytes | None:
        return await self._fetch("/exchange/v1/head", to)

    async def fetch_log(self, start: int, *, to: Partner) -> bytes | None:
        return await self._fetch(f"/exchange/v1/log/{start}", to)

    async def _fetch(self, path: str, to: Partner) -> bytes | None:
        tries = AsyncRetrying(
            retry=retry_if_exception_type(PartnerUnreachable),
            stop=stop_after_attempt(FETCH_TRIES),
            wait=wait_random_exponential(multiplier=0.2, max=2),
            reraise=True,
        )
        status, body = 0, b""
        async for attempt in tries:
            with attempt:
                status, body = await self._request("GET", path, to)
        if status == 404:
            return None
        if status == 200:
            return body
        raise _refused(status, body)

    async def reset(self) -> None:
        """End every connection: the next request opens one under a new context. What was under way is unreachable to
        its caller, who repeats it."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()

    async def close(self) -> None:
        await self.reset()

    async def _request(
        self,
        method: str,
        path: str,
        to: Partner,
        *,
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, bytes]:
        session = self._session(to)
        try:
            async with session.request(
                method,
                to.endpoint.rstrip("/") + path,
                data=data,
                headers=headers,
                allow_redirects=False,
                server_hostname=to.tls_name,
            ) as response:
                body = await response.content.read(MAX_ANSWER + 1)
                while len(body) <= MAX_ANSWER and (more := await response.content.read(MAX_ANSWER)):
                    body += more
                if len(body) > MAX_ANSWER:
                    raise MalformedMessage("the partner's answer is too large")
                if response.status >= 500 or response.status in (408, 429):
                    raise PartnerUnreachable(
                        "the partner cannot answer now", retry_after=_retry_after(response)
                    )
                return response.status, body
        except aiohttp.ClientConnectorCertificateError:
            raise UnknownPartner("the partner's server certificate does not verify") from None
        except (aiohttp.ClientError, TimeoutError, OSError, asyncio.IncompleteReadError):
            # Under TLS 1.3 a refused client certificate looks like a reset here too: the lane backs off.
            raise PartnerUnreachable("no complete answer from the partner") from None

    def _session(self, to: Partner) -> aiohttp.ClientSession:
        key = f"{to.org}/{to.version}"
        session = self._sessions.get(key)
        if session is None or session.closed:
            connector = _CheckedConnector(self._context(), lambda tls: self._check(tls, to), self._resolver())
            session = aiohttp.ClientSession(
                connector=connector,
                timeout=self._timeout,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                headers={"User-Agent": "gw"},
            )
            self._sessions[key] = session
        return session


def _refused(status: int, body: bytes) -> PartnerFault:
    """The partner's code, if it is one of a short closed form; never its words."""
    code = "refused"
    for known in ("unknown-partner", "wrong-audience", "replayed", "malformed", "too-large"):
        if f'"{known}"'.encode() in body:
            code = known
    return PartnerFault("the partner refused the whole batch", code=code, diagnostic={"status": status})


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() and len(value) < 6 else None

"""A time-stamp authority over HTTP (RFC 3161 §3.4)."""

from __future__ import annotations

from collections.abc import Callable

import aiohttp
from aiohttp.abc import AbstractResolver

from gateway.errors import PartnerUnreachable

#: Seconds for one exchange.
TIMEOUT_S = 30.0

#: Bytes that are read of an answer: a token with three certificates in it is some 6 KB.
MAX_ANSWER = 64 * 1024


class HttpTimestampAuthority:
    """One authority at one URL: bounded in time and size, nothing is followed or kept."""

    def __init__(self, url: str, resolver: Callable[[], AbstractResolver] | None = None) -> None:
        self._url, self._resolver = url, resolver

    async def stamp(self, request: bytes) -> bytes:
        """As the port says: the bytes of a 200 answer, whatever they are."""
        connector = aiohttp.TCPConnector(
            resolver=self._resolver() if self._resolver else None, force_close=True
        )
        headers = {"Content-Type": "application/timestamp-query", "User-Agent": "gw"}
        try:
            async with (
                aiohttp.ClientSession(
                    connector=connector,
                    timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
                    trust_env=False,
                    auto_decompress=False,
                ) as session,
                session.post(self._url, data=request, headers=headers, allow_redirects=False) as response,
            ):
                raw = b""
                while len(raw) <= MAX_ANSWER and (more := await response.content.read(MAX_ANSWER)):
                    raw += more
                if response.status != 200 or len(raw) > MAX_ANSWER:
                    raise PartnerUnreachable("the time-stamp authority gives no answer")
                return raw
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            raise PartnerUnreachable("the time-stamp authority does not answer") from None

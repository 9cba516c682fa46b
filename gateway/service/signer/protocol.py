"""How the gateway talks to its signer: length-prefixed msgpack over a local socket, one answer a request.

Requests are structured and typed; there is no operation that signs a digest. Socket mode is 0600, but nothing is
believed because it came through the socket.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from gateway import errors
from gateway.errors import GatewayError, SignerUnavailable, Unavailable

#: Largest frame, in bytes: a seal batch of 8 MiB of payloads, their records and proofs, with room to spare.
MAX_FRAME = 64 * 1024 * 1024

#: Errors that may cross the socket, by class name.
FAULTS: dict[str, type[GatewayError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, GatewayError)
}


class Call(msgspec.Struct, frozen=True, array_like=True):
    """One request: operation name and its msgpack-encoded argument."""

    op: str
    body: msgspec.Raw


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A refusal: class, code and the safe sentence. Never input."""

    kind: str
    code: str
    detail: str
    diagnostic: dict[str, str | int] = {}


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """One answer: a fault, or the msgpack-encoded result."""

    fault: Fault | None
    body: msgspec.Raw = msgspec.Raw(b"\xc0")


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """The next frame; raises `SignerUnavailable` for a closed or oversized stream."""
    try:
        size = int.from_bytes(await reader.readexactly(4), "big")
        if size > MAX_FRAME:
            raise SignerUnavailable("a frame on the signer's socket is too large")
        return await reader.readexactly(size)
    except (asyncio.IncompleteReadError, ConnectionError):
        raise SignerUnavailable("the signer's socket was closed") from None


def frame(body: bytes) -> bytes:
    """Prefix a body with its length."""
    return len(body).to_bytes(4, "big") + body


def to_fault(error: GatewayError) -> Fault:
    """An error as it crosses the socket."""
    return Fault(type(error).__name__, error.code, error.detail, dict(error.diagnostic))


def from_fault(fault: Fault) -> GatewayError:
    """The same error on the other side; an unknown class is a plain `GatewayError`."""
    kind = FAULTS.get(fault.kind, GatewayError)
    if kind is errors.OutOfOrder:
        return errors.OutOfOrder(fault.detail, expected=int(fault.diagnostic.get("expected", 0)))
    if issubclass(kind, Unavailable):
        return kind(fault.detail)
    error = GatewayError.__new__(kind)
    GatewayError.__init__(error, fault.detail, code=fault.code, diagnostic=fault.diagnostic)
    return error


def encode(value: Any) -> msgspec.Raw:
    """A msgpack body."""
    return msgspec.Raw(msgspec.msgpack.encode(value))

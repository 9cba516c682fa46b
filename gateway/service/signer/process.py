"""The signer process: one socket, a closed list of operations, an end when its parent ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from gateway.errors import GatewayError, LocalFault, RequestInvalid, SignerUnavailable, StoreUnavailable
from gateway.model.signing import (
    CheckpointRequest,
    CosignRequest,
    Pseudonym,
    SealBatch,
    Settlement,
    TrustChange,
)
from gateway.service.signer.authority import Authority, system_now
from gateway.service.signer.protocol import Answer, Call, encode, frame, read_frame, to_fault
from gateway.service.signer.witness import cosign_head

#: Most data keys one call may ask for: a page of an import.
MAX_DATA_KEYS = 4096

#: Most terms one call may ask for: those of a page of an import are asked for in several.
MAX_TERMS = 4096

Operation = tuple[Any, Callable[[Any], Any]]


def operations(authority: Authority) -> dict[str, Operation]:
    """Every operation the socket offers: argument type and function. There is no other way in."""
    keys, trust = authority.keys, authority.trust

    def data_keys(count: int) -> list[Any]:
        if not 0 <= count <= MAX_DATA_KEYS:
            raise RequestInvalid("too many data keys are asked for at once")
        return list(keys.data_keys(count))

    def terms(wanted: list[str]) -> list[bytes]:
        if len(wanted) > MAX_TERMS:
            raise RequestInvalid("too many terms are asked for at once")
        return [keys.term(one) for one in wanted]

    return {
        "keys": (None, lambda _: keys.records),
        "heads": (None, lambda _: {origin: head.size for origin, head in trust.heads.items()}),
        "data_keys": (int, data_keys),
        "unwrap": (list[bytes], lambda wrapped: [keys.unwrap(one) for one in wrapped]),
        "wrapping": (None, lambda _: keys.keks.turn(system_now(), os.urandom)),
        "rewrap": (list[bytes], lambda wrapped: [keys.rewrap(one) for one in wrapped]),
        "left": (int, lambda number: keys.keks.leave(number, system_now())),
        "index": (list[bytes], lambda values: [keys.index(value) for value in values]),
        "terms": (list[str], terms),
        "pseudonyms": (list[Pseudonym], lambda wanted: [keys.pseudonym(one) for one in wanted]),
        "open": (tuple[str, bytes, bytes], lambda call: authority.open(*call)),
        "checkpoint": (CheckpointRequest, authority.checkpoint),
        "cosign": (
            CosignRequest,
            lambda request: cosign_head(keys, trust, request, now=system_now()),
        ),
        "seal": (SealBatch, authority.seal),
        "receipts": (list[bytes], lambda statements: [authority.receipt(one) for one in statements]),
        "unsettled": (None, lambda _: tuple(trust.alone)),
        "settle": (list[Settlement], authority.settle),
        "change": (TrustChange, lambda change: trust.change(change, now=system_now())),
    }


def answer(table: dict[str, Operation], raw: bytes) -> bytes:
    """One answer to one request: a result, or a fault that holds no input. Nothing a request holds can end this
    process, but a disk that no longer keeps the trust file does."""
    try:
        call = msgspec.msgpack.decode(raw, type=Call)
        if call.op not in table:
            raise RequestInvalid("the signer has no such operation")
        wanted, function = table[call.op]
        result = Answer(None, encode(function(msgspec.msgpack.decode(call.body, type=wanted))))
    except (OSError, StoreUnavailable):
        raise
    except GatewayError as refusal:
        result = Answer(to_fault(refusal))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        result = Answer(to_fault(RequestInvalid("the request does not follow its schema")))
    except Exception as error:  # a defect, or hostile input that found one: refuse, name the class, go on
        print(f'{{"event":"signer.defect","class":"{type(error).__name__}"}}', file=sys.stderr, flush=True)
        result = Answer(to_fault(LocalFault("the signer refused a request it could not handle")))
    return msgspec.msgpack.encode(result)


async def serve(authority: Authority, socket: Path, *, ready: Callable[[], None]) -> None:
    """Serve until standard input closes: that is the parent's pipe, and without its parent the signer ends."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold every key
    table = operations(authority)
    ended = asyncio.Event()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(frame(answer(table, await read_frame(reader))))
                await writer.drain()
        except (SignerUnavailable, ConnectionError, asyncio.CancelledError):
            writer.close()
        except (OSError, StoreUnavailable):
            ended.set()  # the trust file cannot be written: sign nothing more

    with private_socket(socket):
        server = await asyncio.start_unix_server(connection, path=str(socket))
    ready()
    watcher = asyncio.create_task(parent_gone())
    await asyncio.wait({watcher, asyncio.create_task(ended.wait())}, return_when=asyncio.FIRST_COMPLETED)
    server.close()


@contextlib.contextmanager
def private_socket(path: Path) -> Iterator[None]:
    """Make way for a socket at this path, and let it be born with mode 0600."""
    path.unlink(missing_ok=True)
    before = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(before)


async def parent_gone() -> None:
    """Return when standard input reaches its end."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while await reader.read(1024):
        pass

"""What officers wrote down about a record, each document under a key of its own: read within need to know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec

from gateway.model.officer import Officer
from gateway.model.rows import KeyRow
from gateway.ports import ReadTx
from gateway.service.contents import DocumentBody
from gateway.service.context import Gateway
from gateway.service.operation import require_need_to_know
from gateway.service.vault import keys_of


class Written(Protocol):
    """The row of a document."""

    @property
    def key(self) -> str: ...
    @property
    def body(self) -> str: ...


R = TypeVar("R", bound=Written)


class _OfKind(msgspec.Struct, frozen=True):
    record_kind: str


async def opened(gateway: Gateway, officer: Officer, find: Callable[[ReadTx], R]) -> tuple[R, bytes]:
    """The row that ``find`` finds, and the RFC 8785 bytes of its document, whose key is unlocked by then.

    Raises what ``find`` raises, `NotFound` when the document was erased, and `RoleMissing`. That somebody looked is the
    caller's to write down.
    """

    def row_and_key(tx: ReadTx) -> tuple[R, list[KeyRow]]:
        row = find(tx)
        return row, keys_of(tx, [row.key])

    row, keys = await gateway.store.read(row_and_key)
    await gateway.vault.unlock(keys)
    raw = await gateway.store.read(lambda tx: gateway.vault.open(tx, row.body, DocumentBody).document)
    require_need_to_know(officer, msgspec.json.decode(raw, type=_OfKind).record_kind)
    return row, raw

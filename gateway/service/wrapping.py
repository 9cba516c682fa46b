"""Data keys follow the signer's wrapping keys: each generation is left behind whole, so that it can be destroyed."""

from __future__ import annotations

from functools import partial

import msgspec

from gateway.model.rows import KeyRow, MetaRow
from gateway.ports import ReadTx, Tx
from gateway.service.context import Gateway
from gateway.service.signer.keks import generation_of

#: Keys wrapped anew in one commit.
PAGE = 1024

#: Stands in the store: the generation under which every data key is.
GENERATION = "wrapping"


class Wrapping:
    """One round at a time; repeated, it does what is left."""

    def __init__(self, gateway: Gateway) -> None:
        self._g = gateway

    async def round(self) -> int:
        """Wrap anew what is under an older generation than the signer's newest; returns how many keys.

        (1) the newest generation, and whether this very store was walked for it: a restored one was not; (2) keys at
        hand are exchanged, so that what is inserted from now on is under it; (3) every key in the store, page by page;
        one that was erased meanwhile stays erased; (4) only then is the signer told that older ones are left.
        """
        # (1)
        gateway = self._g
        newest = await gateway.signer.wrapping()
        walked = await gateway.store.read(lambda tx: tx.get(MetaRow, GENERATION))
        if walked is not None and walked.value == str(newest):
            return 0
        # (2)
        await gateway.vault.renew()
        # (3)
        count, after = 0, ""
        while page := await gateway.store.read(partial(_page, after=after)):
            old = [row for row in page if generation_of(row.wrapped) != newest]
            if old:
                fresh = await gateway.signer.rewrap([row.wrapped for row in old])
                pairs = list(zip(old, fresh, strict=True))
                count += await gateway.store.write(partial(_put, pairs=pairs))
            after = page[-1].id + "\0"  # the least text above it
        # (4)
        await gateway.signer.left(newest)
        await gateway.store.write(lambda tx: tx.put(MetaRow(GENERATION, str(newest))))
        return count


def _page(tx: ReadTx, after: str) -> list[KeyRow]:
    return tx.select(KeyRow, at_least=("id", after), order="id", limit=PAGE)


def _put(tx: Tx, pairs: list[tuple[KeyRow, bytes]]) -> int:
    here = [(row, wrapped) for row, wrapped in pairs if tx.get(KeyRow, row.id) == row]
    tx.put(*(msgspec.structs.replace(row, wrapped=wrapped) for row, wrapped in here))
    return len(here)

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

#: Pages of one round: about a second of the keeper's time, and a million keys are walked within a working day.
PAGES = 32

#: Stands in the store: the generation under which every data key is.
GENERATION = "wrapping"


class Wrapping:
    """One round at a time; repeated, it does what is left. A process that starts anew walks from the first key."""

    def __init__(self, gateway: Gateway, pages: int = PAGES) -> None:
        self._g, self._pages = gateway, pages
        self._walking, self._after = 0, ""

    async def round(self) -> int:
        """Wrap anew some of what is under an older generation than the signer's newest; returns how many keys.

        (1) the newest generation, and whether this very store was walked for it: a restored one was not; (2) keys at
        hand are exchanged, so that what is inserted from now on is under it; (3) every key in the store, some pages a
        round; one that was erased meanwhile stays erased; (4) after the last page, and only then, the signer is told
        that older ones are left.
        """
        # (1)
        gateway = self._g
        newest = await gateway.signer.wrapping()
        walked = await gateway.store.read(lambda tx: tx.get(MetaRow, GENERATION))
        if walked is not None and walked.value == str(newest):
            return 0
        # (2)
        if self._walking != newest:
            await gateway.vault.renew()
            self._walking, self._after = newest, ""
        # (3)
        count = 0
        for _ in range(self._pages):
            page = await gateway.store.read(partial(_page, after=self._after))
            if not page:
                break
            old = [row for row in page if generation_of(row.wrapped) != newest]
            if old:
                fresh = await gateway.signer.rewrap([row.wrapped for row in old])
                pairs = list(zip(old, fresh, strict=True))
                count += await gateway.store.write(partial(_put, pairs=pairs))
            self._after = page[-1].id + "\0"  # the least text above it
        else:
            return count
        # (4)
        await gateway.signer.left(newest)
        await gateway.store.write(lambda tx: tx.put(MetaRow(GENERATION, str(newest))))
        self._walking = 0
        return count


def _page(tx: ReadTx, after: str) -> list[KeyRow]:
    return tx.select(KeyRow, at_least=("id", after), order="id", limit=PAGE)


def _put(tx: Tx, pairs: list[tuple[KeyRow, bytes]]) -> int:
    here = [(row, wrapped) for row, wrapped in pairs if tx.get(KeyRow, row.id) == row]
    tx.put(*(msgspec.structs.replace(row, wrapped=wrapped) for row, wrapped in here))
    return len(here)

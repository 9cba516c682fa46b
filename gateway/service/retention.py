"""What must go by itself: a partner's message after the last day its sender lets us keep it, and what the logs' entries
commit to after thirty years. Entries, tiles and signed heads stay, so that every proof still holds.

Each run is an erasure without persons: its entry lists what is gone, and a legal hold stops it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

import msgspec

from gateway.audit.entry import parse_master_entry
from gateway.model.case_rows import ErasureRow
from gateway.model.rows import (
    BodyRow,
    EntryBodyRow,
    EntryRow,
    InboxRow,
    KeyRow,
    MetaRow,
    ReceiptRow,
    ReleaseRow,
    SubjectRow,
)
from gateway.ports import ReadTx, Tx
from gateway.service.context import Gateway
from gateway.service.doomed import Doomed, destroy_all
from gateway.service.erasures import PROPOSED, declare
from gateway.service.held_back import hold_on
from gateway.service.vault import keys_of

#: Thirty years, and the leap days in them (law 29.3.2024 art. 8): so long the logs keep what their entries commit to.
LOG_KEPT: Final = timedelta(days=30 * 365 + 8)

#: Messages, and entries, of one run: one commit of moderate size.
MOST: Final = 500

#: Stands in the store: the first entry of the master log whose detail is still kept.
KEPT_FROM: Final = "log-kept-from"

#: On whose authority a run erases, and as whom.
REFERENCE, ACTOR = "retention", "gateway"


class _Due(msgspec.Struct, frozen=True):
    inbox: tuple[InboxRow, ...]
    places: tuple[int, ...]  # of the master log
    releases: tuple[ReleaseRow, ...]
    keys: frozenset[str]
    kept_from: int


class Retention:
    """One round at a time; repeated, it does what is left."""

    def __init__(self, gateway: Gateway) -> None:
        self._g = gateway

    async def round(self) -> int:
        """Destroy what is due, and no legal hold keeps; returns how many messages and entries lost their content."""
        gateway, now = self._g, self._g.clock.now()

        def keys(tx: ReadTx) -> list[KeyRow]:
            receipts = [one.receipt for one in self._due(tx).inbox]
            rows = tx.select(ReceiptRow, {"id": tuple(receipts)}) if receipts else []
            return keys_of(tx, [row.key for row in rows])

        await gateway.vault.unlock(await gateway.store.read(keys))

        def unit(tx: Tx) -> int:
            due = self._due(tx)
            tx.put(MetaRow(KEPT_FROM, str(due.kept_from)))
            if not due.keys:
                return 0
            receipts = frozenset(row.receipt for row in due.inbox)
            found = Doomed(frozenset(), due.keys, (), due.releases, due.inbox, receipts, 0)
            gone = destroy_all(tx, gateway.vault, found, answers=False)
            tx.put(*(msgspec.structs.replace(row, keep_until="") for row in due.inbox))
            order = ErasureRow(
                gateway.ids.uuid(), PROPOSED, (), (), (), REFERENCE, "", ACTOR, "", proposed_at=now
            )
            declare(gateway, tx, order, gone, due.places, ACTOR, now)
            return len(due.inbox) + len(due.places)

        if not (await gateway.store.read(self._due)).keys:
            return 0
        return await gateway.store.write(unit)

    def _due(self, tx: ReadTx) -> _Due:
        """(1) messages past their day, unless somebody holds their conversation or whom they are about; (2) entries
        past the logs' time, in order and up to the first that is held: the keys of their details, and of the releases
        that they speak of."""
        # (1)
        day = self._g.clock.now().date().isoformat()
        rows = tx.select(
            InboxRow, at_least=("keep_until", "0"), below=("keep_until", day), order="keep_until", limit=MOST
        )
        inbox = tuple(row for row in rows if not self._held(tx, [row.key], [row.conversation]))
        # (2)
        meta = tx.get(MetaRow, KEPT_FROM)
        start = int(meta.value) if meta is not None else 0
        before = self._g.clock.now() - LOG_KEPT
        origin, kept_from = self._g.ledger.master, start
        places: list[int] = []
        releases: list[ReleaseRow] = []
        keys = {row.key for row in inbox}
        for row in tx.select(
            EntryRow, {"origin": origin}, at_least=("position", start), order="position", limit=MOST
        ):
            entry = parse_master_entry(row.entry)
            link = tx.get(EntryBodyRow, origin, row.position)
            body = tx.get(BodyRow, link.body) if link is not None else None
            release = tx.get(ReleaseRow, entry.subject)
            mine = {one.key for one in (body, release) if one is not None}
            conversations = [release.conversation] if release is not None else []
            if entry.at >= before or self._held(tx, mine, conversations):
                break
            kept_from = row.position + 1
            if body is not None:
                places.append(row.position)
            if release is not None and release not in releases and tx.get(KeyRow, release.key) is not None:
                releases.append(release)
            keys |= {key for key in mine if tx.get(KeyRow, key) is not None}
        return _Due(inbox, tuple(places), tuple(releases), frozenset(keys), kept_from)

    def _held(self, tx: ReadTx, keys: Iterable[str], conversations: Iterable[str]) -> bool:
        about = tx.select(SubjectRow, {"key": tuple(keys)})
        return bool(hold_on(tx, {row.subject for row in about}, conversations))

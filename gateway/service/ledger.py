"""The logs inside the unit of work: an entry is sequenced in the same commit as the change it proves."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

from gateway.audit import tree
from gateway.audit.checkpoint import master_origin, partner_origin
from gateway.audit.entry import (
    HouseEvent,
    WireEvent,
    body_commitment,
    detail_commitment,
    master_commitment,
    master_entry,
    partner_entry,
)
from gateway.model.find_rows import SightingRow, sighting_id
from gateway.model.rows import CheckpointRow, EntryBodyRow, EntryRow, LogRow, SubjectRow, TileRow
from gateway.model.signing import MAX_FIRST_HEAD, CheckpointRequest
from gateway.ports import Ids, ReadTx, Tx
from gateway.service.vault import Vault


class Detail(msgspec.Struct, frozen=True):
    """What a master entry commits to, as stored: the salt opens the commitment, and is gone with the key."""

    salt: bytes
    detail: bytes


class Crossing(msgspec.Struct, frozen=True):
    """What crosses a partner's wire, as its log is told. A receipt stands in no conversation: its own id takes that
    place, and ``seq`` counts the messages it answers."""

    direction: Literal["in", "out"]
    event: WireEvent
    message_id: str
    conversation: str
    seq: int
    message_type: str
    payload: bytes
    salt: bytes  # whoever keeps it can open the commitments to the payload and to the master log


class TxTiles:
    """Tiles of one log, read inside a transaction (`tree.TileReader`)."""

    def __init__(self, tx: ReadTx, origin: str) -> None:
        self._tx, self._origin = tx, origin

    def read(self, level: int, index: int) -> bytes:
        row = self._tx.get(TileRow, self._origin, level, index)
        return row.hashes if row else b""


class Ledger:
    """Appends to and proves from the logs of one organisation."""

    def __init__(self, org: str, vault: Vault, ids: Ids) -> None:
        self.org, self._vault, self._ids = org, vault, ids
        self.master = master_origin(org)

    def of_partner(self, partner: str) -> str:
        """Origin of our log about one partner."""
        return partner_origin(self.org, partner)

    # --- appending ----------------------------------------------------------------------------------------------

    def append(self, tx: Tx, origin: str, entries: list[bytes]) -> int:
        """Append entries; returns the position of the first. Part of the caller's unit of work."""
        log = tx.get(LogRow, origin) or LogRow(origin, 0)
        appended = tree.append(log.size, TxTiles(tx, origin), entries)
        tx.insert(*(EntryRow(origin, log.size + offset, entry) for offset, entry in enumerate(entries)))
        tx.put(*(TileRow(origin, level, index, hashes) for (level, index), hashes in appended.tiles.items()))
        tx.put(LogRow(origin, appended.size))
        return log.size

    def record(
        self,
        tx: Tx,
        now: datetime,
        event: HouseEvent,
        actor: str,
        subject: str = "",
        detail: Any = None,
        *,
        about: str = "",
    ) -> tuple[int, Detail]:
        """Append to the master log; returns the position, and what the entry commits to. That is stored encrypted; the
        entry holds a salted commitment to it.

        ``about`` is the blind index of the person whom the detail says something of: its key is then that person's,
        to be destroyed with the others. One reserved data key is used up (`Vault.reserve`).
        """
        raw, salt = msgspec.msgpack.encode(detail), self._ids.blind()
        key = self._vault.fresh(now)
        opened = Detail(salt, raw)
        body = self._vault.seal(key, opened)
        commitment = detail_commitment(salt, hashlib.sha256(raw).digest())
        entry = master_entry(
            at=now, blind=self._ids.blind(), event=event, actor=actor, detail=commitment, subject=subject
        )
        position = self.append(tx, self.master, [entry])
        tx.insert(key.row, body, EntryBodyRow(self.master, position, body.id))
        if about:
            number = sighting_id(key.id, 0)
            sighting = SightingRow(number, "entry", "", key.id, about, now, position, False, 0, b"")
            tx.insert(SubjectRow(about, key.id), sighting)
        return position, opened

    def declare(self, tx: Tx, now: datetime, actor: str, subject: str, detail: bytes) -> tuple[int, bytes]:
        """Append an erasure, whose detail lies open: position of the entry, and the salt of its commitment."""
        salt = self._ids.blind()
        commitment = detail_commitment(salt, hashlib.sha256(detail).digest())
        entry = master_entry(
            at=now, blind=self._ids.blind(), event="erasure", actor=actor, detail=commitment, subject=subject
        )
        return self.append(tx, self.master, [entry]), salt

    def announce(self, tx: Tx, now: datetime, partner: str, crossings: Sequence[Crossing]) -> int:
        """Append what crossed to the partner's log, in this order; returns the position of the first.

        Each entry commits to the payload under the crossing's salt and, under a salt derived from it, to the newest
        master checkpoint, so that a partner's cosignature fixes the master log too.
        """
        newest = self.newest(tx, self.master)
        note = newest.note if newest else b""
        entries = [
            partner_entry(
                at=now,
                blind=self._ids.blind(),
                body=body_commitment(one.salt, hashlib.sha256(one.payload).digest()),
                conv=one.conversation,
                direction=one.direction,
                event=one.event,
                message_id=one.message_id,
                master=master_commitment(_master_salt(one.salt), note),
                seq=one.seq,
                type=one.message_type,
            )
            for one in crossings
        ]
        return self.append(tx, self.of_partner(partner), entries)

    # --- proving ------------------------------------------------------------------------------------------------

    def newest(self, tx: ReadTx, origin: str) -> CheckpointRow | None:
        """The newest signed head of a log that we stored."""
        found = tx.select(CheckpointRow, {"origin": origin}, order="size", descending=True, limit=1)
        return found[0] if found else None

    def head(self, tx: ReadTx, origin: str, signed: int) -> CheckpointRequest:
        """The present head with its consistency proof from ``signed``, the size of the signer's last head.

        Nothing proves a first head but its leaves: the signer builds that tree itself, so it is bounded.
        """
        size, tiles = self.size(tx, origin), TxTiles(tx, origin)
        first: tuple[bytes, ...] = ()
        proof: tuple[bytes, ...] = ()
        if not signed:
            size = min(size, MAX_FIRST_HEAD)
            rows = tx.select(EntryRow, {"origin": origin}, order="position", limit=size)
            first = tuple(tree.leaf_hash(row.entry) for row in rows)
        elif signed < size:
            proof = tuple(tree.consistency_proof(signed, size, tiles).hashes)
        return CheckpointRequest(origin, size, tree.root(size, tiles), signed, proof, first)

    def long_unsigned(self, tx: ReadTx, origin: str) -> bool:
        """Whether the log outgrew a first head before it got one: that head must then be signed by itself."""
        return self.size(tx, origin) > MAX_FIRST_HEAD and self.newest(tx, origin) is None

    def inclusion(self, tx: ReadTx, origin: str, index: int, size: int) -> tuple[bytes, ...]:
        """Audit path of one entry in the tree of ``size``."""
        return tuple(tree.inclusion_proof(index, size, TxTiles(tx, origin)).hashes)

    def size(self, tx: ReadTx, origin: str) -> int:
        """Number of entries."""
        log = tx.get(LogRow, origin)
        return log.size if log else 0


def _master_salt(salt: bytes) -> bytes:
    """The second salt: derived, so that one stored secret opens both commitments and its erasure closes both."""
    return hashlib.sha256(b"ecluse/master-salt/1\n" + salt).digest()

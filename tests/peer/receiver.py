"""Section 11 for a POST: what a receiver does before, with and after the messages of a batch."""

from __future__ import annotations

import time
import uuid
from base64 import b64encode
from collections.abc import Callable, Sequence

from tests.peer import checkpoint, container, receipt
from tests.peer.agreement import Agreement
from tests.peer.entry import Entry
from tests.peer.identity import Identity
from tests.peer.opening import Opened, open_message, verify
from tests.peer.receipt import Item
from tests.peer.spelling import Misspelt, Refused, canonical, instant, parse_canonical
from tests.peer.store import Store


class Receiver:
    """Receives from one partner under one agreement."""

    def __init__(
        self,
        identity: Identity,
        partner: Entry,
        agreement: Agreement,
        store: Store,
        *,
        mode: str,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._identity, self._partner, self._agreement, self._store = identity, partner, agreement, store
        self._ours, self._keys = identity.own, identity.opening_keys()
        self._mode, self._now = mode, now

    def accept(self, sender: str, body: bytes) -> str:
        """The receipt for a batch, after its commit. Raises `Refused` when the POST is refused as a whole."""
        if sender != self._partner.org or self._partner.stopped:  # (1)
            raise Refused("unknown-partner")
        try:
            batch = container.deframe(body)  # (3)
        except Misspelt:
            raise Refused("malformed") from None
        opened = [open_message(sealed, sender, self._ours, self._keys) for sealed in batch]
        if len({one.id for one in opened}) != len(opened):  # (8)
            raise Refused("malformed")
        with self._store.commit():
            return self._stored(opened) or self._handle(opened)

    def receipt(self, sender: str, message: str) -> str | None:
        """The stored receipt that accepted this message of this sender."""
        found: str | None = self._store.one(
            "select jws from receipts join inbox on receipts.id = inbox.receipt where inbox.id = ?", message
        )
        return found if sender == self._partner.org else None

    def head(self) -> str | None:
        """The longest head of the partner's log that it sent (14)."""
        found: str | None = self._store.one("select note from heads order by size desc, rowid limit 1")
        return found

    def log(self, start: int) -> bytes | None:
        """A part of the log about the partner, with what this end sent and has no receipt for as a hash (14.2)."""
        with self._store.commit():
            entries = [entry for (entry,) in self._store.rows("select entry from log order by rowid")]
            had = {one for (one,) in self._store.rows("select id from outbox where state = 'accepted'")}
            leaves = self._store.leaves()
        if start > len(entries) or not entries:
            return None
        lines = []
        for entry in entries[start : start + checkpoint.MOST_LEAVES]:
            tree = parse_canonical(entry)
            shown = (tree["dir"], tree["event"]) != ("out", "message") or tree["id"] in had
            lines.append(entry if shown else b64encode(checkpoint.leaf_hash(entry)))
        return checkpoint.part_of(leaves, start, lines, self._head(leaves))

    def _stored(self, opened: Sequence[Opened]) -> str | None:
        """The one receipt under which every one of these was accepted (9)."""
        known = {
            self._store.one("select receipt from inbox where id = ? and sha256 = ?", one.id, one.digest)
            for one in opened
        }
        if len(known) != 1:
            return None
        found: str | None = self._store.one("select jws from receipts where id = ?", known.pop())
        return found

    def _handle(self, opened: Sequence[Opened]) -> str:
        now, id_ = self._now(), str(uuid.uuid4())
        leaves = self._store.leaves()
        head = self._head(leaves) if leaves else ""
        stopped: set[str] = set()
        items = []
        for one in opened:
            item = self._outcome(one, id_, stopped, now)
            if item.outcome != "accepted":
                stopped.add(one.seal.header["conv"])
            items.append(item)
        statement = {
            "v": 1,
            "id": id_,
            "iss": self._ours.org,
            "aud": self._partner.org,
            "at": instant(now),
            "items": [item.encode() for item in items],
            "checkpoint": head,
        }
        record = self._identity.record("receipt", "ES256")
        jws = receipt.sign_receipt(statement, record.kid, self._identity.private["receipt", "ES256"])
        self._store.rows("insert into receipts values (?, ?)", id_, jws)
        self._store.append(
            at=now, conv=id_, dir_="out", event="receipt", id_=id_, seq=len(items), type_="receipt",
            content=canonical(statement),
        )  # fmt: skip
        return jws

    def _outcome(self, one: Opened, receipt_id: str, stopped: set[str], now: float) -> Item:
        header = one.seal.header
        known = self._store.one("select sha256 from inbox where id = ?", one.id)
        if known == one.digest:
            return Item(one.id, one.digest, "accepted")
        try:
            if known is not None:
                raise Refused("digest-conflict")
            if header["conv"] in stopped:
                return Item(one.id, one.digest, "not-processed")
            verified = verify(
                one,
                self._ours,
                self._partner,
                self._agreement,
                self._mode,
                self.next_seq(header["conv"]),
                now,
            )
        except Refused as refused:
            return Item(one.id, one.digest, "refused", refused.code, refused.expected)
        self._store.keep(verified.head)
        self._store.rows(
            "insert into inbox values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            one.id, one.digest, header["conv"], header["seq"], one.seal.type, one.parts.payload, one.parts.first,
            one.parts.second, receipt_id,
        )  # fmt: skip
        self._store.append(
            at=now, conv=header["conv"], dir_="in", event="message", id_=one.id, seq=header["seq"],
            type_=one.seal.type, content=one.parts.payload,
        )  # fmt: skip
        return Item(one.id, one.digest, "accepted")

    def next_seq(self, conversation: str) -> int:
        last = self._store.one("select max(seq) from inbox where conv = ?", conversation)
        return int(last or 0) + 1

    def forget(self, conversation: str) -> None:
        """Lose a conversation, as a store does that was restored from an older copy."""
        self._store.rows("delete from inbox where conv = ?", conversation)

    def _head(self, leaves: Sequence[bytes]) -> str:
        key = self._identity.private["log", "Ed25519"]
        return checkpoint.sign_head(self._ours.org, self._partner.org, leaves, key)

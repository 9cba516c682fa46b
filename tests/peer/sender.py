"""Section 13: lanes, sealing once, repeating, rewinding, and the void that takes a withdrawn number."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tests.peer import checkpoint, container
from tests.peer.agreement import Agreement
from tests.peer.checkpoint import read_head
from tests.peer.container import Parts, Preamble
from tests.peer.entry import Entry
from tests.peer.identity import Identity
from tests.peer.payload import FORMAT
from tests.peer.receipt import Item, Receipt, read_receipt
from tests.peer.seal import CONTENT_TYPE, LONGEST_LIFE, make_seal
from tests.peer.spelling import instant, ordered, sha256
from tests.peer.store import Store


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class Wire(Protocol):
    """The way to the partner's listener."""

    def post(self, batch: bytes) -> Answer: ...

    def receipt(self, message: str) -> Answer: ...


class NotAnswered(Exception):
    """No receipt came: the same goes again later, or people look."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


@dataclass(frozen=True)
class Sealed:
    """A message as it is kept: sealed once, encrypted anew for each attempt."""

    id: str
    conv: str
    seq: int
    payload: bytes
    header: dict[str, Any]
    parts: Parts


class Sender:
    """Sends to one partner under one agreement."""

    def __init__(
        self, identity: Identity, partner: Entry, agreement: Agreement, store: Store, wire: Wire, *, mode: str
    ) -> None:
        self._identity, self._partner, self._agreement, self._store = identity, partner, agreement, store
        self._wire, self._mode = wire, mode

    # --- making ------------------------------------------------------------------------------------------------------

    def envelope(self, type_: str, conversation: str, **content: Any) -> dict[str, Any]:
        """A payload with a new id; ``content`` follows the envelope."""
        return {
            "format": FORMAT,
            "type": type_,
            "mode": self._mode,
            "message_id": str(uuid.uuid4()),
            "conversation": conversation,
            "from": self._identity.org,
            "to": self._partner.org,
            "created": instant(time.time()),
            "language": "fr",
            **content,
        }

    def queue(self, message: dict[str, Any], seq: int = 0, **changes: Any) -> Sealed:
        """Allot a number, log, sign the head, seal, keep; ``changes`` are to the seal's header, for a fault."""
        now, payload, conversation = time.time(), ordered(message), message["conversation"]
        with self._store.commit():
            number = seq or 1 + int(
                self._store.one("select max(seq) from outbox where conv = ?", conversation) or 0
            )
            self._store.append(
                at=now, conv=conversation, dir_="out", event="message", id_=message["message_id"], seq=number,
                type_=message["type"], content=payload,
            )  # fmt: skip
            sealed = self._seal(message, payload, number, int(now), changes)
            self._store.rows(
                "insert into outbox (id, conv, seq, type, payload, header, first, second, state)"
                " values (?, ?, ?, ?, ?, ?, ?, ?, 'waiting')",
                sealed.id, conversation, number, message["type"], payload, json.dumps(sealed.header),
                sealed.parts.first, sealed.parts.second,
            )  # fmt: skip
        return sealed

    def _seal(
        self, message: dict[str, Any], payload: bytes, seq: int, now: int, changes: dict[str, Any]
    ) -> Sealed:
        encryption = next(self._partner.valid("encryption", self._agreement.suite, now))
        head = checkpoint.sign_head(
            self._identity.org,
            self._partner.org,
            self._store.leaves(),
            self._identity.private["log", "Ed25519"],
        )
        header = {
            "typ": f"ecluse-msg-{message['type']}+jws",
            "cty": CONTENT_TYPE,
            "crit": ["b64"],
            "b64": False,
            "iat": now,
            "exp": now + LONGEST_LIFE,
            "iss": self._identity.org,
            "aud": self._partner.org,
            "enc_kid": encryption.kid,
            "suite": self._agreement.suite,
            "sig_profile": self._agreement.profile,
            "jti": message["message_id"],
            "conv": message["conversation"],
            "seq": seq,
            "mode": self._mode,
            "agreement": self._agreement.sha256,
            "payload_sha256": sha256(payload),
            "checkpoint": head,
        } | changes
        first = make_seal(header, payload, self._identity.message_key("ES256"))
        second = ""
        if header["sig_profile"] == "hybrid":
            second = make_seal(header, payload, self._identity.message_key("ML-DSA-65"))
        return Sealed(header["jti"], header["conv"], seq, payload, header, Parts(first, second, payload))

    def preamble(self, sealed: Sealed) -> Preamble:
        return Preamble(*(sealed.header[name] for name in ("aud", "enc_kid", "iss", "jti", "suite")))

    def encrypt(self, sealed: Sealed) -> bytes:
        """One attempt's bytes."""
        kid = sealed.header["enc_kid"]
        key = next(key for key in self._partner.keys if (key.use, key.kid) == ("encryption", kid))
        return container.encrypt(self.preamble(sealed), key.public, container.pack(sealed.parts))

    # --- sending -----------------------------------------------------------------------------------------------------

    def waiting(self) -> list[Sealed]:
        """What is not accepted yet: each lane in order, from its first open number."""
        rows = self._store.rows(
            "select id, conv, seq, payload, header, first, second from outbox where state = 'waiting'"
            " order by conv, seq limit ?",
            container.LARGEST_BATCH,
        )
        return [
            Sealed(id_, conv, seq, payload, json.loads(header), Parts(first, second, payload))
            for id_, conv, seq, payload, header, first, second in rows
        ]

    def send(self, messages: Sequence[Sealed] | None = None) -> Receipt:
        """POST what waits (or just these), verify the receipt, and do what each outcome demands."""
        batch = self.waiting() if messages is None else list(messages)
        answer = self._wire.post(container.frame([self.encrypt(sealed) for sealed in batch]))
        return self.take(answer, batch)

    def take(self, answer: Answer, batch: Sequence[Sealed]) -> Receipt:
        """Verify an answer and act on it."""
        if answer.status != 200:
            raise NotAnswered(answer)
        now = time.time()
        sent = [(sealed.id, sha256(sealed.payload)) for sealed in batch]
        read = read_receipt(answer.body, self._identity.org, self._partner, sent, now)
        outcomes = {item.id: item for item in read.items}
        with self._store.commit():
            for sealed in batch:
                self._act(sealed, outcomes[sealed.id])
            if read.checkpoint:
                self._store.keep(read_head(read.checkpoint, self._partner, self._identity.org, now))
            self._store.append(
                at=now, conv=read.id, dir_="in", event="receipt", id_=read.id, seq=len(read.items),
                type_="receipt", content=read.statement,
            )  # fmt: skip
        return read

    def _act(self, sealed: Sealed, item: Item) -> None:
        if item.outcome == "accepted":
            self._store.rows("update outbox set state = 'accepted' where id = ?", sealed.id)
        elif item.code == "out-of-order" and item.expected < sealed.seq:
            self._store.rows(
                "update outbox set state = 'waiting' where conv = ? and seq >= ? and state != 'withdrawn'",
                sealed.conv,
                item.expected,
            )
        elif item.outcome == "refused":
            self._store.rows("update outbox set state = 'stopped' where id = ?", sealed.id)

    def withdraw(self, sealed: Sealed) -> Sealed | None:
        """Fill the number by a void, unless the message was delivered: that is asked first."""
        answer = self._wire.receipt(sealed.id)
        if answer.status == 200:
            self.take(answer, [sealed])
            return None
        if answer.status != 404:
            raise NotAnswered(answer)
        self._store.rows("update outbox set state = 'withdrawn' where id = ?", sealed.id)
        return self.queue(self.envelope("void", sealed.conv), sealed.seq)

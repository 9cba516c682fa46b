"""A log in memory, and ways to spoil it: what the tests of this room share."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.audit import tree
from gateway.audit.checkpoint import Checkpoint, VerifierKey, sign
from gateway.audit.entry import master_entry, partner_entry
from gateway.errors import AuditBroken

ORGANISATION = "bel.ocam"
KEY_NAME = "ecluse/bel.ocam"
ORIGIN = "ecluse/bel.ocam/partner/fra.police-demo"
MASTER_ORIGIN = "ecluse/bel.ocam/master"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)

#: Generated for this run; the tests check no signature made by another run.
LOG_KEY = Ed25519PrivateKey.generate()
LOG_VKEY = VerifierKey.of(KEY_NAME, LOG_KEY.public_key())


def digest(text: str) -> bytes:
    return sha256(text.encode()).digest()


def entry(index: int, *, tale: str = "", at: datetime | None = None, origin: str = ORIGIN) -> bytes:
    """A valid entry; another ``tale`` gives another one for the same index."""
    at = NOON + timedelta(seconds=index) if at is None else at
    blind = digest(f"blind {index} {tale}")
    if origin == MASTER_ORIGIN:
        return master_entry(
            at=at, blind=blind, event="decision", actor="be-requester", detail=digest(f"detail {index}").hex()
        )
    return partner_entry(
        at=at,
        blind=blind,
        body=digest(f"body {index}").hex(),
        conv="c1b0e3a4-1d5b-4a0e-8a5a-2b9f6f1f7d20",
        direction="out",
        event="message",
        message_id=f"5f0c7f0e-6a0e-4a53-9d57-{index:012x}",
        master=digest(f"master {index}").hex(),
        seq=index + 1,
        type="disclosure",
    )


def refusal(error: AuditBroken) -> str | int:
    """The rule an AuditBroken names."""
    return error.diagnostic["rule"]


@dataclass
class MemoryLog:
    """A LogSource over plain lists, grown the way a store grows: entries, tiles and a checkpoint per batch."""

    origin: str = ORIGIN
    key: Ed25519PrivateKey = LOG_KEY
    rows: list[tuple[int, bytes]] = field(default_factory=list)
    tiles: tree.MemoryTiles = field(default_factory=tree.MemoryTiles)
    notes: list[bytes] = field(default_factory=list)
    size: int = 0

    @classmethod
    def of(
        cls, batches: Sequence[int], *, tale: str = "", tale_from: int = 0, origin: str = ORIGIN
    ) -> "MemoryLog":
        """A log grown in batches of these sizes; entries from ``tale_from`` on tell another ``tale``."""
        log = cls(origin)
        for batch in batches:
            first = log.size
            log.add(
                [
                    entry(index, tale=tale if index >= tale_from else "", origin=origin)
                    for index in range(first, first + batch)
                ]
            )
        return log

    def add(self, entries: Sequence[bytes], *, seal: bool = True) -> None:
        appended = tree.append(self.size, self.tiles, entries)
        self.rows += [(self.size + offset, raw) for offset, raw in enumerate(entries)]
        self.tiles.write(appended.tiles)
        self.size = appended.size
        if seal:
            self.notes.append(self.seal())

    def seal(self) -> bytes:
        return sign(Checkpoint(self.origin, self.size, tree.root(self.size, self.tiles)), KEY_NAME, self.key)

    def copy(self) -> "MemoryLog":
        return MemoryLog(
            self.origin, self.key, list(self.rows), copy.deepcopy(self.tiles), list(self.notes), self.size
        )

    def renumber(self) -> None:
        self.rows = [(index, raw) for index, (_, raw) in enumerate(self.rows)]

    def entries(self) -> Iterator[tuple[int, bytes]]:
        return iter(self.rows)

    def checkpoints(self) -> Iterator[bytes]:
        return iter(self.notes)

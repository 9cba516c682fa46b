"""Which entries of a log a reviewer looks at: drawn from a seed and a signed head, so that anybody can draw them again.

The method is ``ecluse/sample/1``, written down in ``docs/sampling.md``: SHA-256 in counter mode, rejection sampling,
repeats passed over. Whoever keeps the log cannot steer it once the head is signed, and the reviewer cannot once the
seed is told: the seed comes after the head.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from typing import Final

import msgspec

from gateway.audit.checkpoint import Checkpoint
from gateway.audit.entry import MasterEntry, PartnerEntry, parse_master_entry, parse_partner_entry
from gateway.errors import RequestInvalid
from gateway.model.time import rfc3339

METHOD: Final = "ecluse/sample/1"

#: Entries of one sample: more than a person can look at, and drawn in a second.
MAX_SIZE: Final = 10_000
#: Characters of a seed: a sentence or three dice throws a day fit; printable ASCII, so that it has one spelling.
MAX_SEED: Final = 200

#: Values of one block: the first eight bytes, as an unsigned big-endian number.
_RANGE: Final = 2**64


class Question(msgspec.Struct, frozen=True):
    """From what is drawn: entries of the log below the head's size, ``since`` included and ``until`` not, of one event,
    or of any when it is empty."""

    head: Checkpoint
    since: datetime
    until: datetime
    event: str = ""

    def holds(self, entry: MasterEntry | PartnerEntry) -> bool:
        """Whether an entry is one of those that can be drawn."""
        return self.since <= entry.at < self.until and self.event in ("", entry.event)

    def text(self, seed: str) -> bytes:
        """What the draw hangs on, byte for byte."""
        lines = (METHOD, seed, self.head.origin, str(self.head.size), self.head.root.hex(),
                 rfc3339(self.since), rfc3339(self.until), self.event)  # fmt: skip
        return "".join(f"{line}\n" for line in lines).encode()


def read(origin: str, raw: bytes) -> MasterEntry | PartnerEntry:
    """An entry of this log. Raises `AuditBroken`."""
    return parse_master_entry(raw) if origin.endswith("/master") else parse_partner_entry(raw)


def draw(question: Question, seed: str, population: int, size: int) -> tuple[int, ...]:
    """``size`` different numbers from 0 to below ``population``, in the order drawn; all of them when there are fewer.

    Each set of that size is as likely as any other. Raises `RequestInvalid` for a seed or size outside the limits.
    """
    if not 1 <= size <= MAX_SIZE:
        raise RequestInvalid(f"size: a sample has 1 to {MAX_SIZE} entries", diagnostic={"field": "size"})
    if not (1 <= len(seed) <= MAX_SEED and seed.isascii() and seed.isprintable()):
        raise RequestInvalid(
            f"seed: 1 to {MAX_SEED} printable ASCII characters", diagnostic={"field": "seed"}
        )
    wanted = min(size, population)
    drawn: dict[int, None] = {}
    numbers = _numbers(question.text(seed), population)
    while len(drawn) < wanted:
        drawn[next(numbers)] = None
    return tuple(drawn)


def _numbers(text: bytes, below: int) -> Iterator[int]:
    """Uniform numbers below a bound: the blocks of the counter, those above its largest multiple left out."""
    key, counter = hashlib.sha256(text).digest(), 0
    most = _RANGE - _RANGE % below
    while True:
        block = hashlib.sha256(key + counter.to_bytes(8, "big")).digest()
        counter += 1
        value = int.from_bytes(block[:8], "big")
        if value < most:
            yield value % below

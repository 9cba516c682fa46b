"""A part of a log about the one who asks, with what proves it up to a signed head: sent by one gateway to another.

Three parts, an empty line between them: the index of the first leaf and the roots of the full subtrees before it; one
line a leaf; the signed head. A leaf is an entry as it stands in the log or, where that is nobody else's to see, its
hash. Who hashes on from the first part over the second gets the root in the third.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

import msgspec

from gateway.audit.entry import PartnerEntry, parse_partner_entry
from gateway.audit.tree import HASH_BYTES, leaf_hash
from gateway.errors import AuditBroken

#: Leaves of one answer: at most 132 KiB of entries, which an asker reads with head and hashes (256 KiB).
MAX_LEAVES: Final = 128

#: Hashes before the leaves: one a bit of a size.
_MAX_PEAKS = 63


class Extract(msgspec.Struct, frozen=True):
    """Leaves from ``start`` on. ``note`` is a head of the log that covers them, not yet verified."""

    start: int
    peaks: tuple[bytes, ...]
    leaves: tuple[PartnerEntry | bytes, ...]  # an entry, or the hash of one
    hashes: tuple[bytes, ...]  # of every leaf
    note: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Extract:
        """Read an answer; raises AuditBroken for every other form than the one of `encode`."""
        head, gap, rest = raw.partition(b"\n\n")
        body, end, note = (b"\n" + rest).partition(b"\n\n")
        number, *peaks = head.split(b"\n")
        lines = body.split(b"\n")[1:]
        if not gap or not end or len(peaks) > _MAX_PEAKS or len(lines) > MAX_LEAVES or not _decimal(number):
            raise AuditBroken("an extract of a log has one form", diagnostic={"rule": "extract-form"})
        leaves = tuple(parse_partner_entry(line) if line[:1] == b"{" else _hash(line) for line in lines)
        hashes = tuple(
            one if isinstance(one, bytes) else leaf_hash(line)
            for one, line in zip(leaves, lines, strict=True)
        )
        return cls(int(number), tuple(map(_hash, peaks)), leaves, hashes, note)


def encode(start: int, peaks: list[bytes], lines: list[bytes], note: bytes) -> bytes:
    """The bytes of an answer; ``lines`` are entries, or hashes as `hidden` writes them."""
    before = [str(start).encode(), *map(base64.b64encode, peaks)]
    return b"\n".join(before) + b"\n\n" + b"".join(line + b"\n" for line in lines) + b"\n" + note


def hidden(entry: bytes) -> bytes:
    """The line of a leaf whose entry is not shown."""
    return base64.b64encode(leaf_hash(entry))


def _decimal(raw: bytes) -> bool:
    return raw.isdigit() and len(raw) < 20 and (raw == b"0" or raw[:1] != b"0")


def _hash(line: bytes) -> bytes:
    try:
        value = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if len(value) != HASH_BYTES or base64.b64encode(value) != line:
        raise AuditBroken("a hash of an extract has one spelling", diagnostic={"rule": "extract-hash"})
    return value

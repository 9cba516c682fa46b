"""Section 14: the Merkle log about the other end, its signed heads, and proofs between them."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from Crypto.PublicKey import ECC
from Crypto.Signature import eddsa

from tests.peer.entry import Entry
from tests.peer.spelling import Misspelt, b64_bytes

#: Characters of a note in a seal or receipt, and signature lines of it.
LONGEST, MOST_LINES = 8192, 32

#: Leaves of a part of a log.
MOST_LEAVES = 128

#: A number of entries: decimal, no leading zero.
_SIZE = "0|[1-9][0-9]{0,15}"


@dataclass(frozen=True)
class Head:
    """A head whose signature held."""

    origin: str
    size: int
    root: bytes
    note: str


class NoHead(Exception):
    """Not a signed head of that log."""


def origin_of(owner: str, partner: str) -> str:
    return f"ecluse/{owner}/partner/{partner}"


# --- tree (RFC 9162 section 2.1) -------------------------------------------------------------------------------------


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _half(size: int) -> int:
    """The largest power of two below a size of at least two."""
    return 1 << (size - 1).bit_length() - 1


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Root over leaf hashes."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    half = _half(len(leaves))
    return _node(root_of(leaves[:half]), root_of(leaves[half:]))


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """RFC 9162 section 2.1.3.1."""
    if len(leaves) == 1:
        return []
    half = _half(len(leaves))
    if index < half:
        return [*inclusion_proof(leaves[:half], index), root_of(leaves[half:])]
    return [*inclusion_proof(leaves[half:], index - half), root_of(leaves[:half])]


def verify_inclusion(leaf: bytes, index: int, head: Head, proof: Sequence[bytes]) -> None:
    """RFC 9162 section 2.1.3.2; raises `NoHead` when the head does not hold the leaf there."""
    if not 0 <= index < head.size:
        raise NoHead
    at, last, root = index, head.size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise NoHead
        if at & 1 or at == last:
            root = _node(sibling, root)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            root = _node(root, sibling)
        at, last = at >> 1, last >> 1
    if last != 0 or root != head.root:
        raise NoHead


def verify_consistency(older: Head, newer: Head, leaves: Iterable[bytes]) -> None:
    """Both heads are of one log, which this is: the long way, with every leaf, as an export has them."""
    found = list(leaves)
    if older.origin != newer.origin or not older.size <= newer.size <= len(found):
        raise NoHead
    if root_of(found[: older.size]) != older.root or root_of(found[: newer.size]) != newer.root:
        raise NoHead


# --- part of a log (14.2) ---------------------------------------------------------------------------------------------


def part_of(leaves: Sequence[bytes], start: int, lines: Sequence[bytes], note: str) -> bytes:
    """An answer of 14.2: ``lines`` stand for the leaves from ``start`` on."""
    before, at = [str(start).encode()], 0
    for bit in reversed(range(start.bit_length())):
        if start >> bit & 1:
            before.append(b64encode(root_of(leaves[at : at + (1 << bit)])))
            at += 1 << bit
    return b"\n".join([*before, b"", *lines, b"", note.encode()])


def read_part(part: bytes, start: int, before: bytes) -> tuple[list[bytes], bytes, str]:
    """Entries that are shown, the root behind the last leaf, and the note; ``before`` is the root at ``start``. Raises
    `NoHead` when the subtrees do not lead there."""
    head, _, rest = part.partition(b"\n\n")
    number, *subtrees = head.split(b"\n")
    body, _, note = (b"\n" + rest).partition(b"\n\n")
    bits = [1 << bit for bit in reversed(range(start.bit_length())) if start >> bit & 1]
    peaks = list(zip(bits, (b64_bytes(one.decode()) for one in subtrees), strict=True))
    if number != str(start).encode() or (start and _over(peaks) != before):
        raise NoHead
    entries = []
    for line in body.split(b"\n")[1:]:
        if line.startswith(b"{"):
            entries.append(line)
        peaks.append((1, leaf_hash(line) if line.startswith(b"{") else b64_bytes(line.decode())))
        while len(peaks) > 1 and peaks[-1][0] == peaks[-2][0]:
            (width, left), (_, right) = peaks[-2:]
            peaks[-2:] = [(2 * width, _node(left, right))]
    return entries, _over(peaks), note.decode()


def _over(peaks: Sequence[tuple[int, bytes]]) -> bytes:
    root = peaks[-1][1]
    for _, left in reversed(peaks[:-1]):
        root = _node(left, root)
    return root


# --- note (C2SP signed-note, tlog-checkpoint) ------------------------------------------------------------------------


def key_id(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n\x01" + public).digest()[:4]


def sign_head(owner: str, partner: str, leaves: Sequence[bytes], key: ECC.EccKey) -> str:
    body = f"{origin_of(owner, partner)}\n{len(leaves)}\n{b64encode(root_of(leaves)).decode()}\n"
    name, public = f"ecluse/{owner}", key.public_key().export_key(format="raw")
    signature = key_id(name, public) + eddsa.new(key, "rfc8032").sign(body.encode())
    return f"{body}\n— {name} {b64encode(signature).decode()}\n"


def read_head(note: str, owner: Entry, partner: str, now: float) -> Head:
    """The head in a note that the owner's log key signed, of its log about ``partner``. Raises `NoHead`."""
    try:
        return _read(note, owner, partner, now)
    except (Misspelt, ValueError):
        raise NoHead from None


def _read(note: str, owner: Entry, partner: str, now: float) -> Head:
    body, gap, tail = note.partition("\n\n")
    if not gap or len(note) > LONGEST or not tail.endswith("\n"):
        raise Misspelt
    lines = body.split("\n")
    signatures = tail[:-1].split("\n")
    if len(lines) != 3 or re.fullmatch(_SIZE, lines[1]) is None or len(signatures) > MOST_LINES:
        raise Misspelt
    root = b64_bytes(lines[2])
    name = f"ecluse/{owner.org}"
    known = {key_id(name, key.public): key.public for key in owner.valid("log", "Ed25519", now)}
    held = 0
    for line in signatures:
        signer, _, blob = line.removeprefix("— ").partition(" ")
        raw = b64_bytes(blob)
        if not line.startswith("— ") or not signer or len(raw) < 5:
            raise Misspelt
        if signer == name and raw[:4] in known:
            eddsa.new(eddsa.import_public_key(known[raw[:4]]), "rfc8032").verify(
                f"{body}\n".encode(), raw[4:]
            )
            held += 1
    if len(root) != 32 or lines[0] != origin_of(owner.org, partner) or not held:
        raise Misspelt
    return Head(lines[0], int(lines[1]), root, note)

"""The Merkle tree of RFC 9162 §2.1 over SHA-256, stored as the tiles of C2SP tlog-tiles.

A tile holds up to 256 consecutive hashes of one height: level 0 the leaf hashes, level L the roots of full
subtrees of 256**L leaves. Everything in between is hashed again when needed, so an append rewrites one tile
per level and a proof reads one or two. Nothing here does input or output: a :class:`TileReader` hands out
stored bytes, :func:`append` says which tiles to write.

Sizes and indices are counts of leaves. A hash is exactly 32 bytes wherever one is expected; an entry is
always longer, so the two cannot be confused.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Final, Protocol

from gateway.errors import AuditBroken

#: Bytes of a node: SHA-256.
HASH_BYTES: Final = 32
#: Heights between one tile level and the next (C2SP tlog-tiles, "Merkle Tree").
TILE_HEIGHT: Final = 8
#: Hashes in a full tile.
TILE_WIDTH: Final = 1 << TILE_HEIGHT
#: Bytes of a full tile.
TILE_BYTES: Final = TILE_WIDTH * HASH_BYTES
#: Leaves a tree may hold: what a signed 64-bit column can count.
MAX_SIZE: Final = 2**63 - 1


class TileReader(Protocol):
    """Stored tiles of one log."""

    def read(self, level: int, index: int) -> bytes:
        """The concatenated hashes of tile ``index`` at ``level``, empty when none is stored.

        A tile may be partial, or wider than at the size asked about because the log has grown since: tiles
        only ever gain hashes at their end. What was read may be kept for the length of one call.
        """
        ...


class MemoryTiles:
    """Tiles in a dictionary: the in-memory twin of a stored log, and the index of an export."""

    def __init__(self, tiles: Mapping[tuple[int, int], bytes] | None = None) -> None:
        self._tiles = dict(tiles or {})

    def read(self, level: int, index: int) -> bytes:
        return self._tiles.get((level, index), b"")

    def write(self, tiles: Mapping[tuple[int, int], bytes]) -> None:
        self._tiles.update(tiles)


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append leads to: the new size, and the tiles to store in the same commit, keyed (level, index).
    The head's root is worked out when it is to be signed (:func:`root`), not for each entry before it."""

    size: int
    tiles: Mapping[tuple[int, int], bytes]


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """RFC 9162 §2.1.3: leaf ``index`` is part of the tree of ``size`` leaves. Nothing holds before it is
    verified."""

    index: int
    size: int
    hashes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ConsistencyProof:
    """RFC 9162 §2.1.4: the tree of ``old`` leaves is a prefix of the tree of ``new``. Nothing holds before it
    is verified."""

    old: int
    new: int
    hashes: tuple[bytes, ...]


def leaf_hash(leaf: bytes) -> bytes:
    """RFC 9162 §2.1.1: SHA-256(0x00 ‖ leaf)."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 9162 §2.1.1: SHA-256(0x01 ‖ left ‖ right)."""
    return sha256(b"\x01" + left + right).digest()


def empty_root() -> bytes:
    """RFC 9162 §2.1.1: the root of a tree without leaves, the hash of nothing."""
    return sha256().digest()


def append(size: int, reader: TileReader, leaves: Sequence[bytes]) -> Appended:
    """Add entry bytes to the tree of ``size`` leaves.

    Pure: the caller stores ``tiles`` together with the entries in one commit. Raises AuditBroken when the
    stored tiles are not exactly those of ``size``: narrower, they do not carry it; wider, entries were lost
    or rolled back, and appending would fork the log.
    """
    _check_size(size + len(leaves))
    tiles: dict[tuple[int, int], bytes] = {}
    level, position, hashes = 0, size, [leaf_hash(leaf) for leaf in leaves]
    while hashes:
        index, offset = divmod(position, TILE_WIDTH)
        kept = reader.read(level, index)
        if len(kept) != offset * HASH_BYTES:
            raise _broken("a stored tile is not as wide as the size implies", "tile-width")
        run = kept + b"".join(hashes)
        hashes = []
        for start in range(0, len(run), TILE_BYTES):
            tile = run[start : start + TILE_BYTES]
            tiles[level, index] = tile
            index += 1
            if len(tile) == TILE_BYTES:
                hashes.append(_fold(tile))
        level, position = level + 1, position // TILE_WIDTH
    return Appended(size + len(leaves), tiles)


def root(size: int, reader: TileReader) -> bytes:
    """The root of the first ``size`` leaves (RFC 9162 §2.1.1); AuditBroken when the tiles do not carry
    them."""
    _check_size(size)
    return _Nodes(reader).mth(0, size) if size else empty_root()


def peaks(size: int, reader: TileReader) -> list[bytes]:
    """The roots of the full subtrees that make up the first ``size`` leaves, largest first: one a bit of its size."""
    _check_size(size)
    nodes, found, start = _Nodes(reader), [], 0
    for height in range(size.bit_length() - 1, -1, -1):
        if size >> height & 1:
            found.append(nodes.mth(start, start + (1 << height)))
            start += 1 << height
    return found


def inclusion_proof(index: int, size: int, reader: TileReader) -> InclusionProof:
    """PATH(index, D[size]) of RFC 9162 §2.1.3.1; requires 0 <= index < size."""
    _check_size(size)
    if not 0 <= index < size:
        raise _broken("the index lies outside the tree", "proof-range")
    nodes, hashes = _Nodes(reader), []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            hashes.append(nodes.mth(middle, end))
            end = middle
        else:
            hashes.append(nodes.mth(start, middle))
            start = middle
    return InclusionProof(index, size, tuple(reversed(hashes)))


def consistency_proof(old: int, new: int, reader: TileReader) -> ConsistencyProof:
    """PROOF(old, D[new]) of RFC 9162 §2.1.4.1; requires 0 < old <= new. An empty tree is consistent with
    every tree, so no proof from size 0 exists: who holds nothing yet has nothing to compare."""
    _check_size(new)
    if not 0 < old <= new:
        raise _broken("the sizes of a consistency proof are out of range", "proof-range")
    nodes, hashes = _Nodes(reader), []
    start, end = 0, new
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            hashes.append(nodes.mth(middle, end))
            end = middle
        else:
            hashes.append(nodes.mth(start, middle))
            start = middle
    if start:
        # The old root is not a node of the new tree: the proof starts with the last part of the old one.
        hashes.append(nodes.mth(start, end))
    return ConsistencyProof(old, new, tuple(reversed(hashes)))


def verify_inclusion(proof: InclusionProof, leaf: bytes, root: bytes) -> None:
    """RFC 9162 §2.1.3.2. ``leaf`` is the leaf *hash*; raises AuditBroken unless the proof leads from it to
    ``root``.

    (0) every hash has 32 bytes; (1) the index lies in the tree; (2) start at the leaf; (3) climb, one hash a
    level; (4) arrive at the top, and at ``root``. Not checked: who vouches for ``root``. A root does not fix
    the size of its tree (trees of 7 and 8 leaves have paths of one shape), so take both from one verified
    checkpoint.
    """
    # (0)
    _check_hashes((leaf, root, *proof.hashes))
    # (1)
    _check_size(proof.size)
    if not 0 <= proof.index < proof.size:
        raise _broken("the index lies outside the tree", "proof-range")
    # (2)
    fn, sn, r = proof.index, proof.size - 1, leaf
    # (3)
    for p in proof.hashes:
        if sn == 0:
            raise _broken("the proof is longer than the tree is high", "proof-length")
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    # (4)
    if sn != 0:
        raise _broken("the proof is shorter than the tree is high", "proof-length")
    if r != root:
        raise _broken("the proof does not lead to this root", "proof-root")


def verify_consistency(proof: ConsistencyProof, old_root: bytes, new_root: bytes) -> None:
    """RFC 9162 §2.1.4.2; raises AuditBroken unless the old tree is proven to be a prefix of the new one.

    (0) every hash has 32 bytes and 0 < old <= new: what is not a root is refused even where nothing would be
    computed from it; of two equal sizes the roots must be equal and the proof empty. (1) An empty proof
    fails. (2) A tree of a power of two is itself the first node. (3)–(5) Start at the last part of the old
    tree; (6) climb both trees at once; (7) arrive at both roots, and at the top. Not checked: who
    vouches for the roots and, as for :func:`verify_inclusion`, their sizes.
    """
    # (0)
    _check_hashes((old_root, new_root, *proof.hashes))
    _check_size(proof.new)
    if not 0 < proof.old <= proof.new:
        raise _broken("the sizes of a consistency proof are out of range", "proof-range")
    if proof.old == proof.new:
        if proof.hashes:
            raise _broken("a proof between equal sizes is not empty", "proof-length")
        if old_root != new_root:
            raise _broken("two roots of one size differ", "proof-root")
        return
    # (1)
    if not proof.hashes:
        raise _broken("a proof between different sizes is empty", "proof-length")
    # (2)
    path = (old_root, *proof.hashes) if proof.old & (proof.old - 1) == 0 else proof.hashes
    # (3) (4)
    fn, sn = proof.old - 1, proof.new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    # (5)
    fr = sr = path[0]
    # (6)
    for c in path[1:]:
        if sn == 0:
            raise _broken("the proof is longer than the tree is high", "proof-length")
        if fn & 1 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, c)
        fn, sn = fn >> 1, sn >> 1
    # (7)
    if sn != 0:
        raise _broken("the proof is shorter than the tree is high", "proof-length")
    if fr != old_root or sr != new_root:
        raise _broken("the proof does not lead to these roots", "proof-root")


class Frontier:
    """A running tree that keeps only the roots of its full subtrees: one hash per bit of its size.

    The verifier's own computation: it shares the two hash functions with the tiles and nothing else.
    """

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    @classmethod
    def resume(cls, size: int, peaks: Sequence[bytes]) -> "Frontier":
        """The tree of ``size`` leaves whose full subtrees have these roots, the largest first (:func:`peaks`); whoever
        compares its root knows whether they do. Raises AuditBroken for another number of hashes."""
        _check_size(size)
        _check_hashes(peaks)
        if len(peaks) != size.bit_count():
            raise _broken("the hashes are not those of a tree of this size", "peaks")
        frontier = cls()
        frontier.size, frontier._peaks = size, list(peaks)
        return frontier

    def push(self, leaf: bytes) -> list[bytes]:
        """Add one leaf *hash*; the result holds the root of each subtree this completes, at its height."""
        completed = [leaf]
        height = 0
        while self.size >> height & 1:
            completed.append(node_hash(self._peaks.pop(), completed[-1]))
            height += 1
        self._peaks.append(completed[-1])
        self.size += 1
        return completed

    def root(self) -> bytes:
        """The root of what was pushed so far."""
        if not self._peaks:
            return empty_root()
        peaks = reversed(self._peaks)
        result = next(peaks)
        for peak in peaks:
            result = node_hash(peak, result)
        return result


class _Nodes:
    """Subtree roots out of tiles; each tile is read once."""

    def __init__(self, reader: TileReader) -> None:
        self._read = cache(reader.read)

    def mth(self, start: int, end: int) -> bytes:
        """MTH(D[start:end]) of RFC 9162 §2.1.1, for the ranges that PATH and SUBPROOF name: these start at a
        multiple of the power of two that holds them."""
        size = end - start
        if size & (size - 1) == 0:
            return self._full(size.bit_length() - 1, start // size)
        middle = start + _split(size)
        return node_hash(self.mth(start, middle), self.mth(middle, end))

    def _full(self, height: int, index: int) -> bytes:
        level, rise = divmod(height, TILE_HEIGHT)
        tile, offset = divmod(index << rise, TILE_WIDTH)
        hashes = self._read(level, tile)[offset * HASH_BYTES : (offset + (1 << rise)) * HASH_BYTES]
        if len(hashes) != HASH_BYTES << rise:
            raise _short_tile(level, tile)
        return _fold(hashes)


def _split(size: int) -> int:
    """k of RFC 9162 §2.1.1: the largest power of two smaller than ``size``, which is at least 2."""
    return 1 << ((size - 1).bit_length() - 1)


def _fold(hashes: bytes) -> bytes:
    """The root over a power of two of concatenated hashes."""
    pair = 2 * HASH_BYTES
    while len(hashes) > HASH_BYTES:
        hashes = b"".join(
            [sha256(b"\x01" + hashes[at : at + pair]).digest() for at in range(0, len(hashes), pair)]
        )
    return hashes


def _check_size(size: int) -> None:
    if not 0 <= size <= MAX_SIZE:
        raise _broken("a tree size is out of range", "tree-size")


def _check_hashes(hashes: Iterable[bytes]) -> None:
    if any(len(value) != HASH_BYTES for value in hashes):
        raise _broken("a hash does not have 32 bytes", "hash-length")


def _broken(detail: str, rule: str) -> AuditBroken:
    return AuditBroken(detail, diagnostic={"rule": rule})


def _short_tile(level: int, index: int) -> AuditBroken:
    return AuditBroken(
        "a stored tile is missing or too short",
        diagnostic={"rule": "tile-short", "level": level, "index": index},
    )

"""The tree against the published RFC 6962 example, against RFC 9162's definitions, and against broken proofs."""

from collections.abc import Sequence
from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audit import tree
from gateway.audit.tree import ConsistencyProof, InclusionProof, MemoryTiles
from gateway.errors import AuditBroken
from tests.audit.logs import refusal

# The inputs and roots that RFC 6962 implementations have published since the first one.
LEAVES = [
    bytes.fromhex(leaf)
    for leaf in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    bytes.fromhex(root)
    for root in (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
#: (index, size) -> hashes
INCLUSION = {
    (0, 1): [],
    (0, 8): ["96a296d2", "5f083f0a", "6b47aaf2"],
    (5, 8): ["bc1a0643", "ca854ea1", "d37ee418"],
    (2, 3): ["fac54203"],
    (1, 5): ["6e340b9c", "5f083f0a", "bc1a0643"],
}
#: (old, new) -> hashes
CONSISTENCY = {
    (1, 1): [],
    (1, 8): ["96a296d2", "5f083f0a", "6b47aaf2"],
    (6, 8): ["0ebc5d34", "ca854ea1", "d37ee418"],
    (2, 5): ["5f083f0a", "bc1a0643"],
    (6, 7): ["0ebc5d34", "b08693ec", "d37ee418"],
}


# --- RFC 9162 §2.1, written down once more, recursively as the text has it -------------------------------------------


def mth(leaves: Sequence[bytes]) -> bytes:
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0]).digest()
    k = split(len(leaves))
    return sha256(b"\1" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: Sequence[bytes], complete: bool) -> list[bytes]:
    if m == len(leaves):
        return [] if complete else [mth(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], complete), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]


def split(n: int) -> int:
    k = 1
    while 2 * k < n:
        k *= 2
    return k


# --- a tree ----------------------------------------------------------------------------------------------------------


def grown(leaves: Sequence[bytes], batches: Sequence[int] = ()) -> MemoryTiles:
    tiles, size = MemoryTiles(), 0
    for batch in (*batches, len(leaves)):
        appended = tree.append(size, tiles, leaves[size : size + batch])
        tiles.write(appended.tiles)
        size = appended.size
    assert size == len(leaves)
    return tiles


MANY = [b"leaf %d" % number for number in range(700)]
MANY_TILES = grown(MANY)
MANY_ROOTS = [mth(MANY[:size]) for size in range(0, 700, 7)]


@pytest.mark.parametrize("size", range(9))
def test_published_roots(size: int) -> None:
    """The roots of the first 0 to 8 published leaves, from tiles and from the running frontier."""
    frontier = tree.Frontier()
    for leaf in LEAVES[:size]:
        frontier.push(tree.leaf_hash(leaf))
    assert tree.root(size, grown(LEAVES[:size])) == frontier.root() == ROOTS[size]
    assert tree.empty_root() == ROOTS[0]


@pytest.mark.parametrize(("where", "expect"), INCLUSION.items())
def test_published_inclusion_proofs(where: tuple[int, int], expect: list[str]) -> None:
    """The published inclusion proofs are produced, and verify."""
    index, size = where
    proof = tree.inclusion_proof(index, size, grown(LEAVES))
    assert [value.hex()[:8] for value in proof.hashes] == expect
    tree.verify_inclusion(proof, tree.leaf_hash(LEAVES[index]), ROOTS[size])


@pytest.mark.parametrize(("sizes", "expect"), CONSISTENCY.items())
def test_published_consistency_proofs(sizes: tuple[int, int], expect: list[str]) -> None:
    """The published consistency proofs are produced, and verify."""
    old, new = sizes
    proof = tree.consistency_proof(old, new, grown(LEAVES))
    assert [value.hex()[:8] for value in proof.hashes] == expect
    tree.verify_consistency(proof, ROOTS[old], ROOTS[new])


# --- laws ------------------------------------------------------------------------------------------------------------


@given(batches=st.lists(st.integers(0, 300), max_size=8))
@settings(max_examples=30, deadline=None)
def test_appends_in_any_batches_give_one_tree(batches: list[int]) -> None:
    """However a log grew, tiles and roots are the same, and each step's root is RFC 9162's."""
    tiles, size = MemoryTiles(), 0
    for batch in (*batches, 700):
        appended = tree.append(size, tiles, MANY[size : size + batch])
        tiles.write(appended.tiles)
        size = appended.size
        if size % 7 == 0 and size < 700:
            assert tree.root(size, tiles) == MANY_ROOTS[size // 7]
    assert vars(tiles) == vars(MANY_TILES)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_every_leaf_is_proven_in_every_later_tree(data: st.DataObject) -> None:
    """PATH and its verification agree with RFC 9162's recursion at any size, over tiles that have grown since."""
    size = data.draw(st.integers(1, 700))
    index = data.draw(st.integers(0, size - 1))
    proof = tree.inclusion_proof(index, size, MANY_TILES)
    assert list(proof.hashes) == path(index, MANY[:size])
    tree.verify_inclusion(proof, tree.leaf_hash(MANY[index]), tree.root(size, MANY_TILES))


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_every_prefix_is_consistent_with_every_later_tree(data: st.DataObject) -> None:
    """PROOF and its verification agree with RFC 9162's recursion between any two sizes."""
    new = data.draw(st.integers(1, 700))
    old = data.draw(st.integers(1, new))
    proof = tree.consistency_proof(old, new, MANY_TILES)
    assert list(proof.hashes) == subproof(old, MANY[:new], True)
    tree.verify_consistency(proof, tree.root(old, MANY_TILES), tree.root(new, MANY_TILES))


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_spoiled_proofs_are_refused(data: st.DataObject) -> None:
    """Any flipped bit, and any hash dropped, doubled, put in or exchanged, fails both kinds of proof."""
    new = data.draw(st.integers(2, 300))
    old = data.draw(st.integers(1, new - 1))
    roots = tree.root(old, MANY_TILES), tree.root(new, MANY_TILES)
    leaf = tree.leaf_hash(MANY[old])
    inclusion = tree.inclusion_proof(old, new, MANY_TILES)
    consistency = tree.consistency_proof(old, new, MANY_TILES)
    with pytest.raises(AuditBroken):
        tree.verify_inclusion(InclusionProof(old, new, spoiled(data, inclusion.hashes)), leaf, roots[1])
    with pytest.raises(AuditBroken):
        tree.verify_consistency(ConsistencyProof(old, new, spoiled(data, consistency.hashes)), *roots)


def spoiled(data: st.DataObject, hashes: tuple[bytes, ...]) -> tuple[bytes, ...]:
    result = list(hashes)
    at = data.draw(st.integers(0, len(result) - 1))
    kind = data.draw(st.sampled_from(["flip", "drop", "double", "insert", "exchange", "empty"]))
    if kind == "flip":
        bit = data.draw(st.integers(0, 255))
        value = bytearray(result[at])
        value[bit // 8] ^= 1 << bit % 8
        result[at] = bytes(value)
    elif kind == "drop":
        del result[at]
    elif kind == "double":
        result.insert(at, result[at])
    elif kind == "insert":
        result.insert(data.draw(st.integers(0, len(result))), data.draw(st.binary(min_size=32, max_size=32)))
    elif kind == "exchange" and len(result) > 1:
        result[at], result[at - 1] = result[at - 1], result[at]
    else:
        result = []
    return tuple(result)


# --- what is refused -------------------------------------------------------------------------------------------------

LEAF = tree.leaf_hash(LEAVES[5])
GOOD_PATH = tree.inclusion_proof(5, 8, grown(LEAVES)).hashes
GOOD_PROOF = tree.consistency_proof(6, 8, grown(LEAVES)).hashes
SOME = bytes.fromhex("abacaba000000000000000000000000000000000000000000060061e00123456")

INCLUSION_REFUSED: list[tuple[int, int, tuple[bytes, ...], bytes, bytes, str]] = [
    (4, 8, GOOD_PATH, LEAF, ROOTS[8], "proof-root"),
    (6, 8, GOOD_PATH, LEAF, ROOTS[8], "proof-root"),
    (7, 8, GOOD_PATH, LEAF, ROOTS[8], "proof-root"),
    (5, 16, GOOD_PATH, LEAF, ROOTS[8], "proof-length"),
    (5, 4, GOOD_PATH, LEAF, ROOTS[8], "proof-range"),
    (-1, 8, GOOD_PATH, LEAF, ROOTS[8], "proof-range"),
    (2**64 - 1, 8, GOOD_PATH, LEAF, ROOTS[8], "proof-range"),
    (5, 2**63, GOOD_PATH, LEAF, ROOTS[8], "tree-size"),
    (5, 8, GOOD_PATH, b"WrongLeaf", ROOTS[8], "hash-length"),
    (5, 8, GOOD_PATH, LEAF, ROOTS[0], "proof-root"),
    (5, 8, GOOD_PATH, LEAF, SOME, "proof-root"),
    (5, 8, (*GOOD_PATH, b""), LEAF, ROOTS[8], "hash-length"),
    (5, 8, (*GOOD_PATH, ROOTS[8]), LEAF, ROOTS[8], "proof-length"),
    (5, 8, (b"", *GOOD_PATH), LEAF, ROOTS[8], "hash-length"),
    (5, 8, (ROOTS[8], *GOOD_PATH), LEAF, ROOTS[8], "proof-length"),
    (5, 8, GOOD_PATH[:2], LEAF, ROOTS[8], "proof-length"),
    (5, 8, (), LEAF, ROOTS[8], "proof-length"),
    (0, 0, (), SOME, ROOTS[0], "proof-range"),
    (0, 0, (), ROOTS[0], ROOTS[0], "proof-range"),
    (0, 1, (), SOME, ROOTS[0], "proof-root"),
    (0, 1, (), b"", b"", "hash-length"),
    (1, 0, (), SOME, ROOTS[0], "proof-range"),
    (2, 1, (), SOME, ROOTS[0], "proof-range"),
]


@pytest.mark.parametrize(
    ("index", "size", "hashes", "leaf", "root", "expect"),
    INCLUSION_REFUSED,
    ids=range(len(INCLUSION_REFUSED)),
)
def test_inclusion_refused(
    index: int, size: int, hashes: tuple[bytes, ...], leaf: bytes, root: bytes, expect: str
) -> None:
    """Wrong index, size, leaf, root, length or padding: each refused by the rule it breaks."""
    with pytest.raises(AuditBroken) as caught:
        tree.verify_inclusion(InclusionProof(index, size, hashes), leaf, root)
    assert refusal(caught.value) == expect


CONSISTENCY_REFUSED: list[tuple[int, int, tuple[bytes, ...], bytes, bytes, str]] = [
    (5, 8, GOOD_PROOF, ROOTS[6], ROOTS[8], "proof-length"),
    (6, 8, GOOD_PROOF, SOME, ROOTS[8], "proof-root"),
    (6, 8, GOOD_PROOF, ROOTS[6], SOME, "proof-root"),
    (7, 8, GOOD_PROOF, ROOTS[6], ROOTS[8], "proof-length"),
    (4, 8, GOOD_PROOF, ROOTS[6], ROOTS[8], "proof-length"),
    (6, 16, GOOD_PROOF, ROOTS[6], ROOTS[8], "proof-length"),
    (6, 4, GOOD_PROOF, ROOTS[6], ROOTS[8], "proof-range"),
    (6, 2**63, GOOD_PROOF, ROOTS[6], ROOTS[8], "tree-size"),
    (6, 8, GOOD_PROOF, b"WrongRoot", ROOTS[8], "hash-length"),
    (6, 8, GOOD_PROOF, ROOTS[6], b"WrongRoot", "hash-length"),
    (6, 8, GOOD_PROOF, ROOTS[8], ROOTS[6], "proof-root"),
    (6, 8, (), ROOTS[6], ROOTS[8], "proof-length"),
    (6, 8, (*GOOD_PROOF, b""), ROOTS[6], ROOTS[8], "hash-length"),
    (6, 8, (*GOOD_PROOF, ROOTS[6]), ROOTS[6], ROOTS[8], "proof-length"),
    (6, 8, (*GOOD_PROOF, ROOTS[8]), ROOTS[6], ROOTS[8], "proof-length"),
    (6, 8, (ROOTS[6], *GOOD_PROOF), ROOTS[6], ROOTS[8], "proof-length"),
    (6, 8, (GOOD_PROOF[0], *GOOD_PROOF), ROOTS[6], ROOTS[8], "proof-length"),
    (6, 8, GOOD_PROOF[:2], ROOTS[6], ROOTS[8], "proof-length"),
    # A tree of a power of two is its own first node: sent along, it is one hash too many.
    (
        4,
        8,
        (ROOTS[4], *tree.consistency_proof(4, 8, grown(LEAVES)).hashes),
        ROOTS[4],
        ROOTS[8],
        "proof-length",
    ),
    (1, 2, (), ROOTS[1], ROOTS[2], "proof-length"),
    (1, 1, (), ROOTS[1], ROOTS[2], "proof-root"),
    (1, 1, (ROOTS[0],), ROOTS[0], ROOTS[0], "proof-length"),
    (1, 0, (), ROOTS[1], ROOTS[0], "proof-range"),
    (2, 1, (), ROOTS[2], ROOTS[1], "proof-range"),
    # The empty tree is a prefix of every tree: accepting it would prove nothing and look like a proof.
    (0, 0, (), ROOTS[0], ROOTS[0], "proof-range"),
    (0, 1, (), ROOTS[0], ROOTS[1], "proof-range"),
    (0, 1, (ROOTS[0],), ROOTS[0], ROOTS[0], "proof-range"),
    # Equal, but no roots.
    (1, 1, (), b"short", b"short", "hash-length"),
]


@pytest.mark.parametrize(
    ("old", "new", "hashes", "old_root", "new_root", "expect"),
    CONSISTENCY_REFUSED,
    ids=range(len(CONSISTENCY_REFUSED)),
)
def test_consistency_refused(
    old: int, new: int, hashes: tuple[bytes, ...], old_root: bytes, new_root: bytes, expect: str
) -> None:
    """Wrong sizes, roots, length or padding, swapped roots, empty trees: each refused by the rule it breaks."""
    with pytest.raises(AuditBroken) as caught:
        tree.verify_consistency(ConsistencyProof(old, new, hashes), old_root, new_root)
    assert refusal(caught.value) == expect


@pytest.mark.parametrize(("index", "size"), [(0, 0), (8, 8), (-1, 8)])
def test_no_proof_outside_the_tree(index: int, size: int) -> None:
    """An index outside the tree has no proof."""
    with pytest.raises(AuditBroken, match="index"):
        tree.inclusion_proof(index, size, grown(LEAVES))


@pytest.mark.parametrize(("old", "new"), [(0, 0), (0, 8), (8, 7), (-1, 8)])
def test_no_proof_from_nothing_or_backwards(old: int, new: int) -> None:
    """A consistency proof starts at one leaf at least and never goes back."""
    with pytest.raises(AuditBroken, match="sizes"):
        tree.consistency_proof(old, new, grown(LEAVES))


# --- tiles -----------------------------------------------------------------------------------------------------------


def test_tile_widths() -> None:
    """C2SP tlog-tiles' own example, a tree of 70,000; and of 256: a full tile is hashed into the level above."""
    tiles = tree.append(0, MemoryTiles(), [b""] * 70_000).tiles
    widths = {where: len(tile) // 32 for where, tile in tiles.items()}
    assert widths == (
        {(0, index): 256 for index in range(273)} | {(0, 273): 112, (1, 0): 256, (1, 1): 17, (2, 0): 1}
    )
    assert {
        where: len(tile) // 32 for where, tile in tree.append(0, MemoryTiles(), [b""] * 256).tiles.items()
    } == {
        (0, 0): 256,
        (1, 0): 1,
    }


def test_append_rewrites_only_what_changed() -> None:
    """One more leaf rewrites one tile, unless it fills it."""
    tiles = grown(MANY[:511])
    assert set(tree.append(511, tiles, [b"x"]).tiles) == {(0, 1), (1, 0)}
    tiles = grown(MANY[:510])
    assert set(tree.append(510, tiles, [b"x"]).tiles) == {(0, 1)}
    assert tree.append(510, tiles, []).tiles == {}


@pytest.mark.parametrize("missing", [(0, 0), (0, 2), (1, 0)])
def test_missing_tiles_are_refused(missing: tuple[int, int]) -> None:
    """What the tiles do not carry cannot be appended to or proven, and the error names the tile."""
    tiles = grown(MANY)
    tiles.write({missing: tiles.read(*missing)[:-1]})
    with pytest.raises(AuditBroken) as caught:
        tree.root(700, tiles) if missing != (0, 0) else tree.inclusion_proof(3, 700, tiles)
    assert dict(caught.value.diagnostic) == {"rule": "tile-short", "level": missing[0], "index": missing[1]}


@pytest.mark.parametrize("size", [699, 701, 512, 256, 0])
def test_append_refuses_tiles_of_another_size(size: int) -> None:
    """Tiles of 700 leaves are appended to at 700 only: at less the log would fork, at more something is missing."""
    with pytest.raises(AuditBroken) as caught:
        tree.append(size, MANY_TILES, [b"x"])
    assert refusal(caught.value) == "tile-width"
    assert tree.append(700, MANY_TILES, [b"x"]).size == 701


def test_frontier_names_completed_subtrees() -> None:
    """push() returns the roots of the subtrees it completes, by height; the frontier's root is the tree's."""
    frontier = tree.Frontier()
    for size, leaf in enumerate(MANY[:520], start=1):
        completed = frontier.push(tree.leaf_hash(leaf))
        assert [mth(MANY[size - (1 << height) : size]) for height in range(len(completed))] == completed
        assert len(completed) == (size & -size).bit_length()
        assert frontier.root() == tree.root(size, MANY_TILES)


def test_leaf_and_node_are_separated() -> None:
    """A node presented as a leaf hashes to something else (RFC 9162 §2.1.1, second preimage)."""
    for left, right in pairwise(ROOTS):
        assert tree.leaf_hash(left + right) != tree.node_hash(left, right)

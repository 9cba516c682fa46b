"""The proofs that RFC 6962 implementations have published since the first one, in the verifier that stands alone.

`tests/audit/test_tree.py` holds the gateway's own tree against the same ones, there by their first eight digits.
"""

import pytest

from gateway.reviewer import verify
from tests.audit.test_tree import CONSISTENCY, INCLUSION, LEAVES, ROOTS

#: The inner hashes of the published proofs, whole.
NODES = {
    node[:8]: bytes.fromhex(node)
    for node in (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    )
}


def test_roots() -> None:
    """Every prefix of the published leaves has its published root."""
    tree = verify.Tree()
    assert tree.root() == ROOTS[0]
    for leaf, root in zip(LEAVES, ROOTS[1:], strict=True):
        tree.push(verify.sha256(verify.LEAF, leaf))
        assert tree.root() == root


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_inclusion(index: int, size: int) -> None:
    """Each published inclusion proof holds, for its own leaf, index, size and root alone."""
    path = [NODES[node] for node in INCLUSION[index, size]]
    leaf = verify.sha256(verify.LEAF, LEAVES[index])
    assert verify.inclusion_holds(index, size, leaf, path, ROOTS[size])
    assert not verify.inclusion_holds(index, size, leaf, path, ROOTS[size - 1])
    assert not verify.inclusion_holds(index, size, verify.sha256(verify.LEAF, b"x"), path, ROOTS[size])
    others = [other for other in range(size) if other != index]
    assert not any(verify.inclusion_holds(other, size, leaf, path, ROOTS[size]) for other in others)


@pytest.mark.parametrize(("old", "new"), CONSISTENCY)
def test_consistency(old: int, new: int) -> None:
    """Each published consistency proof holds between its two trees, and between no other pair of them."""
    path = [NODES[node] for node in CONSISTENCY[old, new]]
    holds = {
        (first, second)
        for first in range(1, 9)
        for second in range(first, 9)
        if verify.consistency_holds(first, second, path, ROOTS[first], ROOTS[second])
    }
    assert (old, new) in holds
    assert path == [] or holds == {(old, new)}

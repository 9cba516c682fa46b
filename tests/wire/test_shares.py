"""Shares of a seed: enough of them give it back, fewer and false ones do not."""

import hashlib
from collections.abc import Callable
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RequestInvalid
from gateway.wire.shares import MAX_SHARES, join, split

SEED = bytes(range(32))


class Chance:
    """Bytes that look random and are the same each time."""

    def __init__(self, salt: int) -> None:
        self._salt = salt

    def __call__(self, size: int) -> bytes:
        self._salt += 1
        return hashlib.shake_256(self._salt.to_bytes(8, "big")).digest(size)


@given(st.binary(min_size=32, max_size=32), st.integers(2, MAX_SHARES), st.integers(0, 7), st.integers(0, 99))
def test_any_threshold_of_them_give_the_seed(seed: bytes, threshold: int, more: int, salt: int) -> None:
    """Every choice of the right size, in any order; never another size."""
    count = min(threshold + more, MAX_SHARES)
    shares = split(seed, threshold, count, Chance(salt))
    assert len({*shares}) == count
    for chosen in list(combinations(shares, threshold))[:20]:
        assert join(chosen[::-1]) == seed
    with pytest.raises(RequestInvalid):
        join(shares[: threshold - 1])
    if count > threshold:
        with pytest.raises(RequestInvalid):
            join(shares[: threshold + 1])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda one: one.replace("2-of-3 1", "2-of-3 2"),
        lambda one: one.replace("2-of-3", "3-of-2"),
        lambda one: one.replace("2-of-3 1", "2-of-3 4"),
        lambda one: one[:-1] + ("0" if one[-1] != "0" else "1"),
        lambda one: one[:60] + ("A" if one[60] != "A" else "B") + one[61:],
        lambda one: one + "x",
        lambda one: "",
        lambda one: "ecluse-share/1",
    ],
)
def test_a_share_that_was_changed(spoil: Callable[[str], str]) -> None:
    """A wrong letter, another number, another set: refused, without a word of the share."""
    one, two, _ = split(SEED, 2, 3, Chance(0))
    spoilt = spoil(one)
    with pytest.raises(RequestInvalid) as refused:
        join((spoilt, two))
    assert one[40:60] not in str(refused.value)


def test_shares_of_two_sets_or_twice_the_same() -> None:
    """They do not mix."""
    one, two, _ = split(SEED, 2, 3, Chance(0))
    other, _, _ = split(SEED, 2, 3, Chance(50))
    for shares in ((one, one), (two, other), (one,), ()):
        with pytest.raises(RequestInvalid):
            join(shares)


@pytest.mark.parametrize(
    ("threshold", "count", "seed"), [(1, 3, SEED), (4, 3, SEED), (2, 10, SEED), (2, 3, b"x")]
)
def test_what_cannot_be_split(threshold: int, count: int, seed: bytes) -> None:
    """One of N is no sharing, and the seed has its size."""
    with pytest.raises(RequestInvalid):
        split(seed, threshold, count, Chance(0))

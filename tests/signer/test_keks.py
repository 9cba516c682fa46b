"""Wrapping keys: a new generation by the signer's clock, an old one destroyed when the backups it opens are too old."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest

from gateway.errors import ConfigInvalid, LocalFault, RequestInvalid
from gateway.service.signer.keks import BACKUPS_OPEN, TURN, generation_of
from tests.policy.worlds import NOW
from tests.signer.world import keks

KEY = os.urandom(32)
SECOND = timedelta(seconds=1)


def test_a_generation_wraps_for_its_turn() -> None:
    """Not a second less; what it wrapped opens under the next one too, and is wrapped anew under that."""
    ring = keks()
    wrapped = ring.wrap(KEY)
    assert ring.turn(NOW + TURN - SECOND, os.urandom) == 1
    assert ring.turn(NOW + TURN, os.urandom) == 2
    assert ring.unwrap(wrapped) == KEY
    again = ring.wrap(ring.unwrap(wrapped))
    assert (generation_of(wrapped), generation_of(again)) == (1, 2)
    assert ring.unwrap(again) == KEY


def test_what_is_left_is_destroyed_when_its_backups_are_too_old() -> None:
    """From the gateway's word on, by the signer's clock, and not a second earlier; without that word, never."""
    kept, files = {1: os.urandom(32)}, dict[str, bytes]()
    ring = keks(kept, files)
    wrapped = ring.wrap(KEY)
    left = NOW + TURN
    ring.turn(left, os.urandom)
    ring.leave(2, left)
    ring.turn(left + BACKUPS_OPEN - SECOND, os.urandom)
    assert 1 in kept
    ring.turn(left + BACKUPS_OPEN, os.urandom)
    assert 1 not in kept
    with pytest.raises(LocalFault, match="no more"):
        ring.unwrap(wrapped)
    with pytest.raises(LocalFault):
        keks(kept, files).unwrap(wrapped)
    ring.turn(left + 10 * BACKUPS_OPEN, os.urandom)
    assert set(kept) > {2}  # nobody said that it is left


def test_the_word_is_about_the_newest() -> None:
    """A word about another generation is refused; the same word again changes nothing."""
    ring = keks()
    with pytest.raises(RequestInvalid):
        ring.leave(2, NOW)
    ring.turn(NOW + TURN, os.urandom)
    with pytest.raises(RequestInvalid):
        ring.leave(1, NOW)
    kept, files = {1: os.urandom(32)}, dict[str, bytes]()
    ring = keks(kept, files)
    ring.turn(NOW + TURN, os.urandom)
    ring.leave(2, NOW + TURN)
    before = files["keks.json"]
    ring.leave(2, NOW + 2 * TURN)
    assert files["keks.json"] == before


def test_a_crash_in_between() -> None:
    """A key added without its place in the list is made anew; one destroyed without leaving the list is done with; one
    that is needed and gone is refused."""
    kept, files = {1: os.urandom(32)}, dict[str, bytes]()
    keks(kept, files)
    kept[2] = os.urandom(32)
    ring = keks(kept, files)
    assert ring.current == 1
    assert ring.turn(NOW + TURN, os.urandom) == 2
    ring.leave(2, NOW + TURN)
    del kept[1]
    assert keks(kept, files).current == 2
    del kept[2]
    with pytest.raises(ConfigInvalid, match="missing"):
        keks(kept, files)
    files["keks.json"] = b"[]"
    with pytest.raises(ConfigInvalid):
        keks(kept, files)
    files["keks.json"] = b"{"
    with pytest.raises(ConfigInvalid, match="damaged"):
        keks(kept, files)


def test_a_key_of_another_home() -> None:
    """Neither opens nor says why."""
    for wrapped in (keks().wrap(KEY), b"", bytes(44)):
        with pytest.raises(LocalFault):
            keks().unwrap(wrapped)

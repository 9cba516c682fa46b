"""A version of an agreement that begins later: the one in force stays until then, in the signer's own trust."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from gateway.errors import NotFound
from gateway.model.agreement import SignedAgreement
from gateway.service.signer.trust import TrustedAgreement
from tests.policy.worlds import NOW
from tests.signer.test_trust import ONE, SERIES, made
from tests.signer.world import Disk, disk, signed_agreement, trust, trusted

FIRST = trust().agreements[SERIES].signed
LATER, LAST = NOW + timedelta(days=10), NOW + timedelta(days=20)
SECOND = signed_agreement(version=2, not_before=LATER)
THIRD = signed_agreement(version=3, not_before=LAST)
EARLIER_THIRD = signed_agreement(version=3, not_before=NOW + timedelta(days=5))
FOURTH = signed_agreement(version=4)
TICK = timedelta(seconds=1)


def applied(*versions: tuple[SignedAgreement, datetime]) -> Disk:
    """A disk on which these versions were applied in turn, each at its time, over the first one."""
    held, before = disk(), FIRST
    for signed, at in versions:
        held.open().change(made("agreement", SERIES, signed, before), now=at)
        before = signed
    return held


def in_force(held: Disk, at: datetime) -> list[SignedAgreement]:
    """Those of all versions that the signer would seal under."""
    found = []
    for signed in (FIRST, SECOND, THIRD, EARLIER_THIRD, FOURTH):
        try:
            held.open().agreement(trusted(signed).sha256, now=at)
            found.append(signed)
        except NotFound:
            pass
    return found


#: What was applied when, and which version counts at which time.
TIMES: dict[str, tuple[list[tuple[SignedAgreement, datetime]], list[tuple[datetime, SignedAgreement]]]] = {
    "one to come": (
        [(SECOND, NOW)],
        [(NOW, FIRST), (LATER - TICK, FIRST), (LATER, SECOND), (LAST, SECOND)],
    ),
    "two to come, the later one counts": (
        [(SECOND, NOW), (THIRD, NOW)],
        [(NOW, FIRST), (LATER, FIRST), (LAST - TICK, FIRST), (LAST, THIRD)],
    ),
    "brought forward": (
        [(SECOND, NOW), (EARLIER_THIRD, NOW)],
        [(NOW, FIRST), (NOW + timedelta(days=5), EARLIER_THIRD), (LATER, EARLIER_THIRD)],
    ),
    "the next after one that has begun": (
        [(SECOND, NOW), (THIRD, LATER)],
        [(LATER, SECOND), (LAST - TICK, SECOND), (LAST, THIRD)],
    ),
    "one that has begun displaces at once": (
        [(SECOND, NOW), (FOURTH, NOW)],
        [(NOW, FOURTH), (LATER, FOURTH)],
    ),
}


@pytest.mark.parametrize("name", TIMES)
def test_exactly_one_version_is_in_force(name: str) -> None:
    """At every time one version and no other, to the second."""
    steps, expected = TIMES[name]
    held = applied(*steps)
    assert [(at, in_force(held, at)) for at, _ in expected] == [(at, [signed]) for at, signed in expected]


def test_revoking_ends_the_series() -> None:
    """One person revokes the newest version: neither it nor the one that was to stay until then comes back."""
    held = applied((SECOND, NOW))
    held.open().change(made("agreement-revoke", SERIES, SECOND, SECOND, by=ONE), now=NOW)
    assert [in_force(held, at) for at in (NOW, LATER, LAST)] == [[], [], []]
    held.open().change(made("agreement", SERIES, THIRD, SECOND), now=NOW)
    assert [in_force(held, at) for at in (NOW, LATER, LAST)] == [[THIRD]] * 3


def test_a_change_is_made_against_the_newest() -> None:
    """With one to come, the one in force is no longer the state before: the next version names the newest."""
    held: Any = applied((SECOND, NOW))
    with pytest.raises(Exception, match="no longer in force"):
        held.open().change(made("agreement", SERIES, THIRD, FIRST), now=NOW)


def test_what_was_displaced_is_kept_flat() -> None:
    """However many versions wait for their start, the trust file holds the newest and the one in force."""
    entry = applied((SECOND, NOW), (THIRD, NOW)).open().trust.agreements[SERIES]
    older = entry.older
    assert isinstance(older, TrustedAgreement)
    assert (entry.version, older.version, older.older) == (3, 1, None)

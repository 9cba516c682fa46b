"""Clock and ids: the system's keep their promises, and their twins repeat exactly."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest

from adapters.identities.fixed import FixedClock, SeededIds
from adapters.identities.system import SystemClock, SystemIds
from gateway.ports import Clock, Ids

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
AT = datetime(2026, 11, 21, 21, 0, 0, 999_999, tzinfo=UTC)


@pytest.mark.parametrize("clock", [SystemClock(), FixedClock(AT)], ids=["system", "fixed"])
def test_now_is_utc_in_whole_seconds(clock: Clock) -> None:
    """An instant is aware, UTC, and cut to its second."""
    now = clock.now()
    assert now.tzinfo is UTC
    assert now.microsecond == 0


def test_the_system_clock_tells_the_time() -> None:
    """It is now: not before the call's second, not after its end."""
    before = datetime.now(UTC)
    now = SystemClock().now()
    assert before - timedelta(seconds=1) < now <= datetime.now(UTC)


@pytest.mark.parametrize("ids", [SystemIds(), SeededIds(1)], ids=["system", "seeded"])
def test_ids_are_fresh_and_well_formed(ids: Ids) -> None:
    """A hundred UUIDs are canonical version 4 and differ; a hundred blinds have 32 bytes and differ."""
    uuids = {ids.uuid() for _ in range(100)}
    blinds = {ids.blind() for _ in range(100)}
    assert all(UUID4.fullmatch(value) for value in uuids)
    assert {len(value) for value in blinds} == {32}
    assert (len(uuids), len(blinds)) == (100, 100)


def test_the_fixed_clock_moves_only_when_told() -> None:
    """It stands still, advances, and jumps, backwards too; a naive instant is refused."""
    clock = FixedClock(AT)
    assert clock.now() == clock.now() == AT.replace(microsecond=0)
    clock.advance(seconds=1, days=1)
    assert clock.now() == AT.replace(microsecond=0) + timedelta(days=1, seconds=1)
    clock.set(datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))))
    assert clock.now() == datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="time zone"):
        FixedClock(datetime(2026, 1, 1))  # noqa: DTZ001


def test_seeded_ids_follow_from_the_seed() -> None:
    """The same seed gives the same sequence, another seed another."""

    def draw(seed: int | str) -> list[object]:
        ids = SeededIds(seed)
        return [ids.uuid(), ids.blind(), ids.uuid()]

    assert draw(1) == draw(1)
    assert not set(draw(1)) & set(draw(2))

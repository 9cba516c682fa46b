"""Clocks of requests: hours that elapse, days by the clock on the wall, and slots."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.flow.clocks import DAYS, HOURS, due, next_slot
from gateway.model.request import Urgency

BRUSSELS = ZoneInfo("Europe/Brussels")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def test_every_class_has_one_clock() -> None:
    """Directive (EU) 2023/977 art. 5(1): 8 hours, 3 days, 7 days."""
    assert {*HOURS, *DAYS} == set(get_args(Urgency))
    assert not HOURS.keys() & DAYS.keys()
    assert (HOURS, DAYS) == ({"urgent-direct": 8}, {"urgent-indirect": 3, "normal": 7})


@pytest.mark.parametrize(
    ("what", "urgency", "received", "expected"),
    [
        ("an evening", "urgent-direct", "2026-11-21T21:00:00Z", "2026-11-22T05:00:00Z"),
        ("over the change to summer time", "urgent-direct", "2026-03-29T00:30:00Z", "2026-03-29T08:30:00Z"),
        ("over the change to winter time", "urgent-direct", "2026-10-24T23:30:00Z", "2026-10-25T07:30:00Z"),
        ("a Friday, over the weekend", "urgent-indirect", "2026-11-20T16:00:00Z", "2026-11-23T16:00:00Z"),
        ("a week", "normal", "2026-11-21T21:00:00Z", "2026-11-28T21:00:00Z"),
        ("into the new year", "normal", "2026-12-28T12:00:00Z", "2027-01-04T12:00:00Z"),
        ("into a leap day", "urgent-indirect", "2028-02-26T12:00:00Z", "2028-02-29T12:00:00Z"),
        ("over a leap day", "normal", "2028-02-25T12:00:00Z", "2028-03-03T12:00:00Z"),
        ("over no leap day", "normal", "2026-02-25T12:00:00Z", "2026-03-04T12:00:00Z"),
        ("days over the change to summer time", "normal", "2026-03-25T12:00:00Z", "2026-04-01T11:00:00Z"),
        ("days over the change to winter time", "normal", "2026-10-21T12:00:00Z", "2026-10-28T13:00:00Z"),
        # 02:30 does not exist on 29 March: 03:30 summer time.
        ("a time left out", "urgent-indirect", "2026-03-26T01:30:00Z", "2026-03-29T01:30:00Z"),
        # 02:30 comes twice on 25 October: the first is summer time.
        ("a time that comes twice", "urgent-indirect", "2026-10-22T00:30:00Z", "2026-10-25T00:30:00Z"),
    ],
)
def test_by_when(what: str, urgency: Urgency, received: str, expected: str) -> None:
    """Weekends and changes of time count, and nothing prolongs them."""
    assert due(at(received), urgency, BRUSSELS) == at(expected), what


@given(
    st.integers(1_577_836_800, 2_177_452_800),
    st.sampled_from(["urgent-indirect", "normal"]),
)
def test_days_end_at_the_same_time_of_day(second: int, urgency: Urgency) -> None:
    """By the clock on the wall, or an hour later where that time was left out."""
    received = datetime.fromtimestamp(second, UTC)
    wall = received.astimezone(BRUSSELS).replace(tzinfo=None) + timedelta(days=DAYS[urgency])
    ends = due(received, urgency, BRUSSELS).astimezone(BRUSSELS).replace(tzinfo=None)
    assert ends - wall in (timedelta(0), timedelta(hours=1))


@given(st.integers(0, 2**32), st.sampled_from([1, 5, 900, 3600, 86_400]))
def test_a_slot_is_the_next_multiple(second: int, every: int) -> None:
    """After now, by one slot at most, and on a multiple of it since midnight UTC."""
    now = datetime.fromtimestamp(second, UTC)
    slot = next_slot(now, every)
    assert now < slot <= now + timedelta(seconds=every)
    assert int(slot.timestamp()) % every == 0
    assert (slot - slot.replace(hour=0, minute=0, second=0)).seconds % every == 0
    assert next_slot(slot, every) == slot + timedelta(seconds=every)


def test_parts_of_a_second_are_the_second_s() -> None:
    """A slot is a whole second, whatever clock asks."""
    assert next_slot(datetime(2026, 11, 21, 20, 59, 59, 999_999, tzinfo=UTC), 3600) == at(
        "2026-11-21T21:00:00Z"
    )

"""Instants have one spelling; imprecise dates are never completed."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import MalformedMessage
from gateway.model.time import PartialDate, full_years, parse_rfc3339, rfc3339


@given(st.datetimes(min_value=datetime(1000, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001  the zone is given beside
def test_one_spelling_and_back(at: datetime) -> None:
    """Writing and reading an instant of whole seconds is the identity."""
    assert parse_rfc3339(rfc3339(at)) == at.replace(microsecond=0)


def test_parts_of_a_second_are_cut() -> None:
    """Never rounded up into the future; other zones become UTC."""
    zone = timezone(timedelta(hours=1))
    assert rfc3339(datetime(2026, 11, 21, 22, 0, 0, 999999, zone)) == "2026-11-21T21:00:00Z"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-21",
        "2026-11-21T21:00:00",
        "2026-11-21T21:00:00+00:00",
        "2026-11-21T21:00:00.0Z",
        "2026-11-21t21:00:00z",
        "2026-11-21 21:00:00Z",
        "2026-11-21T21:00:00Z\n",
        "2026-11-21T24:00:00Z",
        "2026-11-21T23:59:60Z",
        "2026-02-29T00:00:00Z",
        "٢٠٢٦-11-21T21:00:00Z",
        "0000-01-01T00:00:00Z",
    ],
)
def test_every_second_spelling_is_refused(text: str) -> None:
    """Anything but the one spelling of an instant that exists is malformed, and is not quoted."""
    with pytest.raises(MalformedMessage) as caught:
        parse_rfc3339(text)
    assert not text or text not in caught.value.detail


@pytest.mark.parametrize(
    ("partial", "bounds"),
    [
        (PartialDate("1990", "year"), (date(1990, 1, 1), date(1990, 12, 31))),
        (PartialDate("1990-03", "month"), (date(1990, 3, 1), date(1990, 3, 31))),
        (PartialDate("1988-02", "month"), (date(1988, 2, 1), date(1988, 2, 29))),
        (PartialDate("1990-12", "month"), (date(1990, 12, 1), date(1990, 12, 31))),
        (PartialDate("9999-12", "month"), (date(9999, 12, 1), date(9999, 12, 31))),
        (PartialDate("1990-03-05", "day"), (date(1990, 3, 5), date(1990, 3, 5))),
        (PartialDate("1990", "year", about=True), None),
        (PartialDate("1990-03", "year"), None),
        (PartialDate("1990", "day"), None),
        (PartialDate("1990-13", "month"), None),
        (PartialDate("1990-02-29", "day"), None),
        (PartialDate("0000", "year"), None),
        (PartialDate("199", "year"), None),
        (PartialDate("١٩٩٠", "year"), None),
    ],
)
def test_bounds_of_an_imprecise_date(partial: PartialDate, bounds: tuple[date, date] | None) -> None:
    """First and last day it can mean; none for "about", another precision, or no date."""
    assert partial.bounds() == bounds


@pytest.mark.parametrize(
    ("born", "today", "years"),
    [
        (date(2014, 11, 21), date(2026, 11, 21), 12),
        (date(2014, 11, 22), date(2026, 11, 21), 11),
        (date(2012, 2, 29), date(2024, 2, 29), 12),
        (date(2012, 2, 29), date(2025, 2, 28), 12),
        (date(2012, 2, 29), date(2025, 3, 1), 13),
        (date(2030, 1, 1), date(2026, 11, 21), -4),
    ],
)
def test_completed_years(born: date, today: date, years: int) -> None:
    """A year is complete on the birthday, and on 1 March for who was born on 29 February."""
    assert full_years(born, today) == years

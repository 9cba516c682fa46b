"""Clocks of requests, without I/O: by when one is to be answered, and when an answer may leave."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

from gateway.model.request import Urgency

#: Hours that have elapsed, whatever any clock shows (Directive (EU) 2023/977 art. 5(1)(a)).
HOURS: dict[Urgency, int] = {"urgent-direct": 8}

#: Calendar days (art. 5(1)(b), (c)): weekends and holidays count, and nothing prolongs them.
DAYS: dict[Urgency, int] = {"urgent-indirect": 3, "normal": 7}


def due(received: datetime, urgency: Urgency, zone: tzinfo) -> datetime:
    """The instant by which a request is to be answered, in UTC; ``zone`` is the receiving service's.

    Days end at the same time of day by the clock on the wall: one that the change to summer time leaves out is as much
    later as was left out, one that comes twice is the first of the two.
    """
    if urgency in HOURS:
        return received + timedelta(hours=HOURS[urgency])
    wall = received.astimezone(zone).replace(tzinfo=None) + timedelta(days=DAYS[urgency])
    return wall.replace(tzinfo=zone, fold=0).astimezone(UTC)


def next_slot(now: datetime, every_s: int) -> datetime:
    """The first instant after ``now`` that is a whole multiple of ``every_s`` seconds since 1970 (UTC).

    Never ``now`` itself: what is decided in a slot's own second leaves with the next.
    """
    return datetime.fromtimestamp((int(now.timestamp()) // every_s + 1) * every_s, UTC)

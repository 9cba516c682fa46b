"""Grounds that come to their last day: spoken of among what may be told, while there is time to ask for another."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from gateway.model.case_rows import GroundRow
from gateway.model.officer import Officer
from gateway.model.rows import RecordRow
from gateway.ports import ReadTx
from gateway.service.calls.notices import NoticeView
from gateway.service.grounds import IN_FORCE

#: How long before its end a ground is spoken of: its giver is asked by letter, and answers by letter.
ENDING = timedelta(days=14)


def last_days(
    tx: ReadTx, officer: Officer, after: str, handle: str, now: datetime, limit: int
) -> list[NoticeView]:
    """Grounds in force that end within `ENDING`, by id, of records that the officer needs to know; all, or those about
    one record. Each is a possibility, due when its last day is over. Nothing is kept of it: another ground may be
    recorded, or none."""
    where: dict[str, object] = {"state": IN_FORCE}
    if handle:
        where["handle"] = handle
    rows = tx.select(GroundRow, where, at_least=("id", after) if after else None, order="id")
    views: list[NoticeView] = []
    for row in rows:
        over = datetime.fromisoformat(row.until).replace(tzinfo=UTC) + timedelta(days=1)
        if row.id == after or not now < over <= now + ENDING:
            continue
        held = tx.select(RecordRow, {"handle": row.handle, "latest": True}, limit=1)
        if held and officer.needs_to_know(held[0].kind):
            views.append(_view(row, over))
        if len(views) == limit:
            break
    return views


def _view(row: GroundRow, over: datetime) -> NoticeView:
    return NoticeView(
        id=row.id,
        state="open",
        duty="may",
        changes=(f"{row.kind}-ending",),
        partner=", ".join(row.recipients),
        record=row.handle,
        message_id="",
        release="",
        since=over - ENDING,
        due=over,
        overdue=False,
    )

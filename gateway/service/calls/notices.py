"""Parameters and answers of what past recipients are told."""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.model.time import Instant
from gateway.service.calls import DecisionView, Params


class ListNotices(Params, frozen=True):
    """One page, by id; those that are ended only where ``state`` says so."""

    duty: Literal["", "must", "may"] = ""
    record: str = ""  # handle or entity id
    state: Literal["", "open", "prepared", "done", "superseded"] = ""
    after: str = ""
    limit: int = 100


class NoticeView(msgspec.Struct, frozen=True):
    """One message of ours of which something is otherwise today, or a ground (its id, and no message) that comes to its
    last day. Codes and members of the record kind, no value."""

    id: str
    state: str
    duty: str
    changes: tuple[str, ...]
    partner: str
    record: str  # handle
    message_id: str
    release: str
    since: Instant
    due: (
        Instant | None
    )  # None of what must be told: no house clock is set; of a ground: when its last day is over
    overdue: bool
    prepared: str = ""  # release of the recall or of the disclosure in its place
    waits_for: str = ""  # state of that release


class PrepareNotice(Params, frozen=True):
    """``withdraw``: recall the message without anything in its place, though something could stand there."""

    id: str
    justification: str = ""
    withdraw: bool = False
    correct: bool = False  # by a correction, which names the reason, in place of a recall


class NoticePrepared(msgspec.Struct, frozen=True):
    """A recall or correction of the message, or a disclosure of the record as it is today: to sign."""

    notice: str
    what: Literal["recall", "correction", "disclosure"]
    message_id: str  # of the message that left
    action: str
    replaced_by: str
    duty: str
    view: DecisionView
    reason: str = ""  # code of a correction


class RemoveRecord(Params, frozen=True):
    """Delete a record for cause; what left of it must be recalled."""

    record: str
    because: Literal["false", "removed", "acquitted"]
    justification: str


class RemovedRecord(msgspec.Struct, frozen=True):
    """How many versions of it are gone."""

    record: str  # handle
    because: str
    versions: int

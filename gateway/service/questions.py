"""Requests of partners, as the books have them: what each asks, whether anything was looked up, and its one answer."""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway.errors import NotFound
from gateway.flow.clocks import next_slot
from gateway.flow.outbound import Draft, Void, house
from gateway.model.message import ExchangeMessage
from gateway.model.request import Request, Urgency
from gateway.model.rows import ReleaseRow, RequestRow
from gateway.ports import ReadTx, Tx
from gateway.service.coded import ENDED
from gateway.service.config import AnswerSlots
from gateway.service.received import received


class _Urgency(msgspec.Struct, frozen=True):
    name: Urgency = msgspec.field(name="class")


class _Ask(msgspec.Struct, frozen=True):
    kind: str
    fields: tuple[str, ...]


class Asking(msgspec.Struct, frozen=True):
    """The closed part of what a request says: the content of its record that decides anything."""

    urgency: _Urgency
    asks: tuple[_Ask, ...]

    def patterns(self, kind: str) -> tuple[str, ...]:
        """The field patterns asked for of this kind; of another kind the same pattern is not asked for."""
        return tuple(pattern for ask in self.asks if ask.kind == kind for pattern in ask.fields)


def asking(message: ExchangeMessage) -> Asking:
    """What a request asks; its format has checked the one record it carries."""
    return msgspec.convert(message.records[0].content, Asking)


# --- rows ------------------------------------------------------------------------------------------------------------


def note_request(tx: Tx, message: ExchangeMessage, now: datetime) -> None:
    """Remember a request that is being accepted: its clock runs from now."""
    envelope = message.envelope
    tx.insert(RequestRow(envelope.sender, envelope.message_id, asking(message).urgency.name, now))


def request_named(tx: ReadTx, name: str) -> RequestRow:
    """The request of this name, ``ID`` or ``ORG/ID``; raises `NotFound`, or `Conflict` for an id that two sent."""
    message = received(tx, name)
    row = tx.get(RequestRow, message.sender, message.message_id) if message is not None else None
    if row is None:
        raise NotFound("there is no request of this id")
    return row


def looked_up(
    tx: Tx, slots: AnswerSlots, draft: Draft, partner: str, request: Request | None, now: datetime
) -> Draft:
    """The draft of what a record is looked up for: an answer to what this partner asked names the slot it is prepared
    for, and from now on a refusal of that request would tell what was found."""
    row = tx.get(RequestRow, request.partner, request.id) if request is not None else None
    if row is None:
        return draft
    tx.put(msgspec.structs.replace(row, looked=True))
    return msgspec.structs.replace(draft, at=slot(row, slots, now)) if row.sender == partner else draft


def answered(tx: ReadTx, row: RequestRow | None) -> ReleaseRow | None:
    """The answer that may reach the partner, or did; None while there is none."""
    release = tx.get(ReleaseRow, row.answer) if row is not None and row.answer else None
    return release if release is not None and release.state not in ENDED else None


def take(tx: Tx, slots: AnswerSlots, request: Request, release: str, now: datetime) -> datetime | Void:
    """Let this release be the one answer to a request: the slot with which it leaves; or why it is not the answer:
    another one is, or the request is gone."""
    row = tx.get(RequestRow, request.partner, request.id)
    if row is None:
        return Void((house("reply.question"),))
    if answered(tx, row) is not None:
        return Void((house("reply.once"),))
    tx.put(msgspec.structs.replace(row, answer=release))
    return slot(row, slots, now)


def slot(row: RequestRow, slots: AnswerSlots, now: datetime) -> datetime:
    """When an answer to this request leaves that is decided now."""
    return next_slot(now, slots.normal_s if row.urgency == "normal" else slots.urgent_s)

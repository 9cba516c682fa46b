"""Requests from the desk's side: what partners asked, by when, and our one answer to each.

A request is stored and receipted before anybody looks. A person answers it: with a record, which is a release like any
other; with `no-information`, the one form of nothing, withheld and embargoed; or, before any record was looked up, with
a coded refusal. Whatever it is, it leaves with the next slot of the request's class.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import get_args
from zoneinfo import ZoneInfo

import msgspec

from gateway.errors import Conflict, NotFound, RequestInvalid, RoleMissing
from gateway.flow.clocks import due
from gateway.flow.lifts import require_lifts
from gateway.flow.outbound import Refused, Void
from gateway.flow.reply import Asked, prepare_reply
from gateway.flow.typed import require_reasons, require_text
from gateway.model.decision import ReplyDocument
from gateway.model.message import ExchangeMessage, RefusalGround, Reply, type_of
from gateway.model.officer import Officer, Role
from gateway.model.request import Request, Urgency
from gateway.model.rows import InboxRow, KeyRow, ReleaseRow, RequestRow
from gateway.ports import ReadTx, Tx
from gateway.service import calls
from gateway.service.calls.requests import (
    AnswerRequest,
    CloseRequest,
    RequestItem,
    RequestView,
    Silence,
)
from gateway.service.coded import About, Coded, view
from gateway.service.contents import CodedBody, InboundBody
from gateway.service.context import Gateway
from gateway.service.drafted import Why
from gateway.service.operation import DESK, Operation, limit_of, note_read, require_need_to_know
from gateway.service.questions import answered, asking, request_named, slot, take
from gateway.service.received import SEPARATOR, inbox_item, received_page
from gateway.service.releases import Releases
from gateway.service.vault import keys_of
from gateway.wire.ct_json import CtJson

#: Who may answer with a code: whoever works the inbox, and either of the two who may let content out.
ANSWERERS: tuple[Role, ...] = ("requester", "approver", "inbox")

Page = list[RequestItem]

#: Grounds by the type of the coded answer.
GROUNDS: dict[str, tuple[str, ...]] = {
    "no-information": get_args(Silence),
    "refusal": get_args(RefusalGround),
}


class Requests:
    """Requests received, and the way to their answers."""

    def __init__(self, gateway: Gateway, releases: Releases) -> None:
        self._g, self._releases, self._coded = gateway, releases, Coded(gateway)

    def operations(self) -> dict[str, Operation]:
        """The operations about requests."""
        return {
            "requests/list": Operation(calls.Page, DESK, self.list),
            "requests/show": Operation(calls.Named, DESK, self.show),
            "requests/answer": Operation(AnswerRequest, ("requester",), self.answer, repeatable=True),
            "requests/close": Operation(CloseRequest, ANSWERERS, self.close, repeatable=True),
            "requests/endorse": Operation(calls.Endorsed, ANSWERERS, self.endorse, repeatable=True),
        }

    # --- looking ------------------------------------------------------------------------------------------------

    async def list(self, officer: Officer, params: calls.Page) -> Page:
        """By sender and id; ``after`` is ``ORG/ID``. With ``state`` open, only those that nothing answers yet."""
        if params.state not in ("", "open"):
            raise RequestInvalid("requests are listed all, or open ones", diagnostic={"field": "state"})
        limit = limit_of(params.limit)

        def read(tx: ReadTx) -> Page:
            items: Page = []
            after = params.after
            while len(items) < limit and (rows := received_page(tx, RequestRow, after, limit)):
                found = [self._item(tx, row) for row in rows]
                items += [item for item in found if not (params.state and item.answer)]
                after = f"{rows[-1].sender}{SEPARATOR}{rows[-1].message_id}"
            return items[:limit]

        return await self._g.store.read(read)

    async def show(self, officer: Officer, params: calls.Named) -> RequestView:
        """A request, to an officer who is cleared for it and needs to know; the read is an entry (LED art. 25)."""
        inbox, body, _ = await self._opened(officer, params.id)
        await note_read(self._g, officer, inbox.message_id, "inbox", why=params.why)

        def read(tx: ReadTx) -> RequestView:
            message = calls.InboxView(inbox_item(tx, inbox), body.payload, inbox.receipt)
            return RequestView(self._item(tx, request_named(tx, params.id)), message)

        return await self._g.store.read(read)

    def _item(self, tx: ReadTx, row: RequestRow) -> RequestItem:
        inbox = tx.get(InboxRow, row.sender, row.message_id)
        answer = answered(tx, row)
        urgency = msgspec.convert(row.urgency, Urgency)
        by = due(row.received_at, urgency, ZoneInfo(self._g.config.zone))
        return RequestItem(
            sender=row.sender,
            message_id=row.message_id,
            conversation=inbox.conversation if inbox is not None else "",
            urgency=urgency,
            received_at=row.received_at,
            due=by,
            overdue=answer is None and by <= self._g.clock.now(),
            looked=row.looked,
            answer=answer.type if answer is not None else "",
            release=answer.id if answer is not None else "",
            state=answer.state if answer is not None else "",
        )

    async def _opened(self, officer: Officer, name: str) -> tuple[InboxRow, InboundBody, ExchangeMessage]:
        """A request's message, as far as the officer may see it."""

        def find(tx: ReadTx) -> tuple[InboxRow, Sequence[KeyRow]]:
            row = request_named(tx, name)
            inbox = tx.get(InboxRow, row.sender, row.message_id)
            if inbox is None:
                raise NotFound("there is no request of this id")
            return inbox, keys_of(tx, [inbox.key])

        inbox, keys = await self._g.store.read(find)
        await self._g.vault.unlock(keys)
        body = await self._g.store.read(lambda tx: self._g.vault.open(tx, inbox.body, InboundBody))
        message = CtJson().parse(body.payload)
        now, levels = self._g.clock.now(), self._g.levels
        if message.label is not None and not officer.may_see(message.label, now, levels):
            raise RoleMissing("your clearance does not reach this request")
        require_need_to_know(officer, *(part.kind for part in message.records))
        return inbox, body, message

    # --- answering ----------------------------------------------------------------------------------------------

    async def asked(self, officer: Officer, name: str, kind: str) -> tuple[Request, str]:
        """What a request asks of this kind of record, as far as it decides what may be answered; and its conversation.

        Raises `RequestInvalid` for a kind that asks: it answers nothing.
        """
        if type_of(kind) != "disclosure":
            raise RequestInvalid("a record that asks answers no request", diagnostic={"field": "record"})
        inbox, _, message = await self._opened(officer, name)
        purpose = message.handling.purpose if message.handling is not None else ""
        asks = asking(message).patterns(kind)
        return Request(inbox.message_id, inbox.sender, purpose, asks), inbox.conversation

    async def answer(self, officer: Officer, params: AnswerRequest) -> calls.DecisionView:
        """Prepare a record as the answer to a request: a release to whoever asked, for what it was asked, with the
        class B fields that are asked for. Where nothing of it may leave, `no-information` is what is left."""
        require_reasons(params.justification, params.lifts)
        _, record = await self._releases.record(params.record)
        require_need_to_know(officer, record.kind)
        require_lifts(params.lifts, self._g.kinds[record.kind])
        request, conversation = await self.asked(officer, params.request, record.kind)
        agreement = self._g.directory.agreements.get(request.partner)
        basis = params.legal_basis or (agreement.terms.legal_basis if agreement else "")
        why = Why(request.purpose, basis, params.justification, params.lifts, request)
        (drafted,) = await self._releases.draft(
            officer, params.record, (request.partner,), why, conversation=conversation
        )
        return drafted.view()

    async def close(self, officer: Officer, params: CloseRequest) -> calls.DecisionView:
        """Decide, freeze and keep a coded answer, or the denial.

        Raises `RequestInvalid` for a ground of the other type: a ground that tells what exists leaves in no form.
        """
        if params.ground not in GROUNDS[params.type]:
            raise RequestInvalid("this answer has no such ground", diagnostic={"field": "ground"})
        require_text("justification", params.justification)
        gateway, now = self._g, self._g.clock.now()
        inbox, _, _ = await self._opened(officer, params.request)
        await gateway.vault.reserve(3)
        draft = self._coded.draft(inbox.conversation)
        ground = params.ground if params.type == "refusal" else None

        def unit(tx: Tx) -> calls.DecisionView:
            row = request_named(tx, params.request)
            timed = msgspec.structs.replace(draft, at=slot(row, gateway.config.answers, now))
            prepared = prepare_reply(
                Asked(inbox.message_id, inbox.sender, inbox.type),
                params.type,
                Reply(inbox.message_id, msgspec.convert(ground, RefusalGround | None)),
                timed,
                ours=gateway.org,
                requester=officer.id,
                partner=gateway.directory.partner(inbox.sender),
                agreement=gateway.directory.agreements.get(inbox.sender),
                language=gateway.config.language,
                justification=f"{params.ground}: {params.justification}",
                repeated=answered(tx, row) is not None,
                looked=row.looked,
                now=now,
            )
            if isinstance(prepared, Refused):
                detail = {"answers": inbox.message_id, "decision": msgspec.to_builtins(prepared.decision)}
                gateway.ledger.record(tx, now, "decision", officer.id, inbox.message_id, detail)
            else:
                about = About(inbox.sender, params.type, (inbox.entry,))
                self._coded.store(tx, now, officer, timed, prepared, about)
            return view(inbox.sender, timed, prepared)

        return await gateway.store.write(unit)

    async def endorse(self, officer: Officer, params: calls.Endorsed) -> dict[str, str]:
        """The officer's signature over the statement of a coded answer: it is the one answer from now on, and leaves
        with the next slot."""
        return await self._coded.endorse(officer, params, tuple(GROUNDS), self._taken)

    def _taken(self, tx: Tx, row: ReleaseRow, body: CodedBody, now: datetime) -> datetime:
        reply = msgspec.json.decode(body.document, type=ReplyDocument).reply
        request = tx.get(RequestRow, row.partner, reply.answers)
        if request is not None and request.looked and row.type == "refusal":
            raise Conflict(
                "a record was looked up for this request since: a refusal would tell what was found"
            )
        taken = take(tx, self._g.config.answers, Request(reply.answers, row.partner, "", ()), row.id, now)
        if isinstance(taken, Void):
            raise Conflict("another answer to this request is on its way or delivered already")
        return taken

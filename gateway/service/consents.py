"""Consent that travels: partners ask whether we let them pass on what we supplied, and answer when we ask.

Asking is a release like any other, of a record of kind ``consent-request``. Our refusal takes one officer; our grant
lets our data go further, so it takes a second person's signature before it leaves. What a partner grants us becomes a
ground, of no effect until another officer confirms it.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from gateway.errors import Conflict, NotFound, RequestInvalid, RoleMissing
from gateway.flow.outbound import Refused
from gateway.flow.reply import Asked, prepare_reply
from gateway.flow.typed import require_text
from gateway.model.case_rows import ConsentRow
from gateway.model.decision import ReplyDocument
from gateway.model.ground import Consent
from gateway.model.message import ExchangeMessage, MessageType, Reply
from gateway.model.officer import Officer
from gateway.model.record import CanonicalRecord
from gateway.model.rows import InboxRow, KeyRow, ReleaseRow
from gateway.model.time import PartialDate
from gateway.ports import ReadTx, Tx
from gateway.service import calls
from gateway.service.calls.consents import AcceptConsent, AnswerConsent, ConsentItem
from gateway.service.calls.grounds import GroundView, RecordGround
from gateway.service.coded import ENDED, About, Coded, view
from gateway.service.consented import about, against_grant, keys_about, wanted_by
from gateway.service.contents import CodedBody, InboundBody, ReleaseBody
from gateway.service.context import Gateway
from gateway.service.operation import DESK, RECALLERS, Operation, limit_of, note_read, require_need_to_know
from gateway.service.received import received, received_page
from gateway.service.vault import keys_of
from gateway.wire.ct_json import CtJson

if TYPE_CHECKING:
    from gateway.service.grounds import Grounds

ASKED: MessageType = "consent-request"
ANSWERED: MessageType = "consent-answer"


class _Wanted(msgspec.Struct, frozen=True):
    """What a consent request of ours says that decides what a grant covers."""

    items: tuple[str, ...]
    purpose: str
    recipient: str
    record: str


class Consents:
    """Consent requests received and the way to their answers; answers received and the way to a ground."""

    def __init__(self, gateway: Gateway, grounds: Grounds) -> None:
        self._g, self._grounds, self._coded = gateway, grounds, Coded(gateway)

    def operations(self) -> dict[str, Operation]:
        """The operations about consents that travel."""
        return {
            "consents/list": Operation(calls.Page, DESK, self.page),
            "consents/answer": Operation(AnswerConsent, RECALLERS, self.answer, repeatable=True),
            "consents/endorse": Operation(calls.Endorsed, RECALLERS, self.endorse, repeatable=True),
            "consents/show": Operation(calls.Named, DESK, self.show),
            "consents/approve": Operation(calls.Endorsed, ("approver",), self.approve, repeatable=True),
            "consents/accept": Operation(AcceptConsent, RECALLERS, self.accept, repeatable=True),
        }

    # --- what partners ask --------------------------------------------------------------------------------------

    async def page(self, officer: Officer, params: calls.Page) -> list[ConsentItem]:
        """Consent requests received, by sender and id; ``after`` is ``ORG/ID``."""
        limit = limit_of(params.limit)

        def read(tx: ReadTx) -> list[ConsentItem]:
            items = []
            for row in received_page(tx, ConsentRow, params.after, limit):
                answer = _answered(tx, row)
                release, state = (answer.id, answer.state) if answer is not None else ("", "")
                items.append(ConsentItem(row.sender, row.message_id, row.received_at, release, state))
            return items

        return await self._g.store.read(read)

    async def answer(self, officer: Officer, params: AnswerConsent) -> calls.DecisionView:
        """Decide, freeze and keep the answer to a consent request, or the denial.

        (1) the officer may see what is asked; (2) a grant names its last day, not yet over, and a refusal none; (3) a
        grant is about a message of ours, held against what became of it (`consented.about`); (4) one form of bytes: an
        id, a code and that day.
        """
        gateway, now = self._g, self._g.clock.now()
        # (1)
        inbox, message = await self._opened(officer, params.request, ASKED)
        # (2)
        require_text("justification", params.justification)
        _require_until(params.until, now, granted=params.consent == "granted")
        # (3)
        wanted, grants = wanted_by(message), params.consent == "granted"
        if grants:
            await gateway.vault.unlock(
                await gateway.store.read(lambda tx: keys_about(tx, inbox.sender, wanted))
            )
        await gateway.vault.reserve(3)
        draft = self._coded.draft(inbox.conversation)

        # (4)
        def unit(tx: Tx) -> calls.DecisionView:
            row = tx.get(ConsentRow, inbox.sender, inbox.message_id)
            found, denied = about(gateway, tx, inbox.sender, wanted, params.until) if grants else (None, ())
            prepared = prepare_reply(
                Asked(inbox.message_id, inbox.sender, inbox.type),
                ANSWERED,
                Reply(inbox.message_id, consent=params.consent, until=params.until),
                draft,
                ours=gateway.org,
                requester=officer.id,
                partner=gateway.directory.partner(inbox.sender),
                agreement=gateway.directory.agreements.get(inbox.sender),
                language=gateway.config.language,
                justification=params.justification,
                repeated=row is not None and _answered(tx, row) is not None,
                now=now,
                about=found,
                against=denied,
            )
            if isinstance(prepared, Refused):
                detail = {"answers": inbox.message_id, "decision": msgspec.to_builtins(prepared.decision)}
                gateway.ledger.record(tx, now, "decision", officer.id, inbox.message_id, detail)
            else:
                self._coded.store(
                    tx, now, officer, draft, prepared, About(inbox.sender, ANSWERED, (inbox.entry,))
                )
            return view(inbox.sender, draft, prepared)

        return await gateway.store.write(unit)

    async def endorse(self, officer: Officer, params: calls.Endorsed) -> dict[str, str]:
        """The signature of who prepared it: a refusal leaves, a grant waits for a second person's."""
        return await self._coded.endorse(officer, params, (ANSWERED,), self._taken)

    async def approve(self, officer: Officer, params: calls.Endorsed) -> dict[str, str]:
        """The second person's signature over the same statement: the grant leaves."""
        return await self._coded.approve(officer, params, (ANSWERED,), self._taken)

    async def show(self, officer: Officer, params: calls.Named) -> calls.ReleaseView:
        """An answer of ours, for the second person to read and sign: its exact bytes, and why."""

        def find(tx: ReadTx) -> tuple[ReleaseRow, list[KeyRow]]:
            row = tx.get(ReleaseRow, params.id)
            if row is None or row.type != ANSWERED:
                raise NotFound("there is no answer to a consent request of this id")
            return row, keys_of(tx, [row.key])

        row, keys = await self._g.store.read(find)
        await self._g.vault.unlock(keys)
        body = await self._g.store.read(lambda tx: self._g.vault.open(tx, row.body, CodedBody))
        document = msgspec.json.decode(body.document, type=ReplyDocument)
        await self._opened(officer, f"{row.partner}/{document.reply.answers}", ASKED)
        await note_read(self._g, officer, row.id, "consent", why=params.why)
        return calls.ReleaseView(
            id=row.id,
            state=row.state,
            partner=row.partner,
            requester=row.requester,
            message_id=row.message_id,
            not_after=row.not_after,
            statement=body.statement,
            payload=body.payload,
            document=body.document,
            justification=document.justification,
        )

    def _taken(self, tx: Tx, row: ReleaseRow, body: CodedBody, now: datetime) -> None:
        reply = msgspec.json.decode(body.document, type=ReplyDocument).reply
        asked = tx.get(ConsentRow, row.partner, reply.answers)
        if asked is None:
            raise NotFound("the consent request is not here any more")
        if _answered(tx, asked) is not None:
            raise Conflict("another answer to this request is on its way or delivered already")
        if denied := against_grant(tx, body, now):
            raise Conflict(
                f"it may not be granted any more: {', '.join(denied)}", diagnostic={"rule": denied[0]}
            )
        tx.put(msgspec.structs.replace(asked, answer=row.id))

    # --- what partners answer -----------------------------------------------------------------------------------

    async def accept(self, officer: Officer, params: AcceptConsent) -> GroundView:
        """Record the ground that a partner's grant is: of no effect until another officer confirms it.

        (1) it is an answer, granted, to a consent request of ours, from whom we asked; (2) it covers what that request
        asked for, whether or not it named the recipient: these items, this purpose, this recipient, this person; (3)
        through the day it names or an earlier one that the officer gives; a grant without an end needs one from us.
        """
        # (1)
        inbox, message = await self._opened(officer, params.answer, ANSWERED)
        reply = message.reply
        if reply is None or reply.consent != "granted":
            raise Conflict("this answer grants nothing")
        wanted = await self._asked(inbox.sender, reply.answers)
        # (3)
        until = params.until or reply.until
        if not until:
            raise RequestInvalid(
                "until: the answer names no last day: name one", diagnostic={"field": "until"}
            )
        if reply.until and until > reply.until:
            raise RequestInvalid("until: the consent ends earlier", diagnostic={"field": "until"})
        # (2)
        ground = Consent(
            originator=inbox.sender,
            recipients=(wanted.recipient,),
            purposes=(wanted.purpose,),
            items=wanted.items,
            until=until,
            given="message",
            by=inbox.message_id,
            at=inbox.received_at,
        )
        return await self._grounds.record(officer, RecordGround(wanted.record, ground))

    async def _asked(self, partner: str, message_id: str) -> _Wanted:
        """What the request asked, as two persons approved it, what stayed here of it included."""

        def find(tx: ReadTx) -> tuple[ReleaseRow, list[KeyRow]]:
            where: dict[str, object] = {"message_id": message_id, "type": ASKED, "partner": partner}
            row = next(iter(tx.select(ReleaseRow, where, limit=1)), None)
            if row is None:
                raise NotFound("this answers no consent request of ours")
            return row, keys_of(tx, [row.key])

        row, keys = await self._g.store.read(find)
        await self._g.vault.unlock(keys)
        raw = await self._g.store.read(lambda tx: self._g.vault.open(tx, row.body, ReleaseBody).record)
        return msgspec.convert(msgspec.json.decode(raw, type=CanonicalRecord).content, _Wanted)

    async def _opened(self, officer: Officer, name: str, wanted: str) -> tuple[InboxRow, ExchangeMessage]:
        """A message of this type, as far as the officer may see it."""

        def find(tx: ReadTx) -> tuple[InboxRow, list[KeyRow]]:
            row = received(tx, name)
            if row is None or row.type != wanted:
                raise NotFound(f"there is no {wanted} of this id")
            return row, keys_of(tx, [row.key])

        inbox, keys = await self._g.store.read(find)
        await self._g.vault.unlock(keys)
        body = await self._g.store.read(lambda tx: self._g.vault.open(tx, inbox.body, InboundBody))
        message = CtJson().parse(body.payload)
        now, levels = self._g.clock.now(), self._g.levels
        if message.label is not None and not officer.may_see(message.label, now, levels):
            raise RoleMissing("your clearance does not reach this message")
        require_need_to_know(officer, *(part.kind for part in message.records))
        return inbox, message


def note_consent_request(tx: Tx, message: ExchangeMessage, now: datetime) -> None:
    """Remember a consent request that is being accepted."""
    tx.insert(ConsentRow(message.envelope.sender, message.envelope.message_id, now))


def _answered(tx: ReadTx, row: ConsentRow) -> ReleaseRow | None:
    release = tx.get(ReleaseRow, row.answer) if row.answer else None
    return release if release is not None and release.state not in ENDED else None


def _require_until(until: str, now: datetime, *, granted: bool) -> None:
    if not until and not granted:
        return
    bounds = PartialDate(date=until, precision="day").bounds() if until else None
    if not granted or bounds is None or bounds[0] < now.date():
        raise RequestInvalid(
            "until: a grant states its last day, YYYY-MM-DD, not yet over", diagnostic={"field": "until"}
        )

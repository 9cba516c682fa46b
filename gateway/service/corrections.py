"""Corrections from the desk's side, and the marks that a correction leaves on messages, ours and a partner's.

It leaves on one officer's word, in a conversation of its own, before what is ordinary, as a recall does.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway.errors import Conflict, NotFound, RequestInvalid
from gateway.flow.correction import prepare_correction
from gateway.flow.outbound import Refused
from gateway.flow.typed import require_text
from gateway.model.case_rows import CorrectionRow
from gateway.model.decision import CorrectionDocument
from gateway.model.message import Correction
from gateway.model.officer import Officer
from gateway.model.rows import ReleaseRow
from gateway.ports import ReadTx, Tx
from gateway.service import calls
from gateway.service.calls.corrections import CorrectMessage
from gateway.service.coded import ENDED, About, Coded, view
from gateway.service.contents import CodedBody
from gateway.service.context import Gateway
from gateway.service.operation import RECALLERS, Operation
from gateway.service.recalls import PRIORITY, release_of, sent
from gateway.service.received import correction_of, received


class Corrections:
    """The way out of a correction, up to its lane; and what our officer did about a partner's."""

    def __init__(self, gateway: Gateway) -> None:
        self._g, self._coded = gateway, Coded(gateway)

    def operations(self) -> dict[str, Operation]:
        """Who may recall may correct; who works the inbox says that it is done."""
        return {
            "corrections/prepare": Operation(CorrectMessage, RECALLERS, self.prepare, repeatable=True),
            "corrections/endorse": Operation(calls.Endorsed, RECALLERS, self.endorse, repeatable=True),
            "inbox/corrected": Operation(calls.Named, ("inbox",), self.corrected, repeatable=True),
        }

    async def prepare(self, officer: Officer, params: CorrectMessage) -> calls.DecisionView:
        """Decide, freeze and keep the correction of one message, by its id; or keep the denial.

        Raises `NotFound` for a message that is none of ours, `RequestInvalid` for a message in its place without its
        action.
        """
        gateway, now = self._g, self._g.clock.now()
        require_text("justification", params.justification)
        if (params.action == "replaced") != bool(params.replaced_by):
            raise RequestInvalid(
                "a message in its place is named exactly with the action replaced",
                diagnostic={"field": "replaced_by"},
            )
        await gateway.vault.reserve()
        draft = self._coded.draft()

        def unit(tx: Tx) -> calls.DecisionView:
            release = release_of(tx, params.message)
            message, entry = sent(tx, release)
            replacement, place = None, -1
            if params.replaced_by:
                replacement, place = sent(tx, release_of(tx, params.replaced_by))
            prepared = prepare_correction(
                message,
                Correction(message.message_id, params.action, params.reason, params.replaced_by),
                replacement,
                draft,
                ours=gateway.org,
                requester=officer.id,
                partner=gateway.directory.partner(release.partner),
                agreement=gateway.directory.agreements.get(release.partner),
                language=gateway.config.language,
                justification=params.justification,
                repeated=_under_way(tx, release.partner, message.message_id) is not None,
                now=now,
            )
            if isinstance(prepared, Refused):
                detail = {"corrects": message.message_id, "decision": msgspec.to_builtins(prepared.decision)}
                gateway.ledger.record(tx, now, "decision", officer.id, release.id, detail)
                return view(release.partner, draft, prepared)
            about = About(
                partner=release.partner,
                type="correction",
                entries=(entry,) if replacement is None else (entry, place),
                handle=release.handle,
                subject=release.subject,
                priority=PRIORITY,
            )
            self._coded.store(tx, now, officer, draft, prepared, about)
            return view(release.partner, draft, prepared)

        return await gateway.store.write(unit)

    async def endorse(self, officer: Officer, params: calls.Endorsed) -> dict[str, str]:
        """The officer's signature over the statement of a correction: it takes its place in a lane of its own, the
        message it is about is marked, and the entry is written, in one commit."""
        return await self._coded.endorse(officer, params, ("correction",), _mark)

    async def corrected(self, officer: Officer, params: calls.Named) -> dict[str, str]:
        """Our officer did what the sender's correction of this message asks for (Directive (EU) 2016/680 art. 16(6)).
        Repeatable. Nothing of it goes to the partner."""
        gateway, now = self._g, self._g.clock.now()
        await gateway.vault.reserve()

        def unit(tx: Tx) -> None:
            message = received(tx, params.id)
            row = correction_of(tx, message) if message is not None else None
            if message is None or row is None:
                raise NotFound("there is no message of this id that its sender corrected")
            if row.answer:
                return
            tx.put(msgspec.structs.replace(row, answer="done", answered_by=officer.id, answered_at=now))
            detail = {"message": message.message_id, "sender": message.sender, "correction": row.action}
            gateway.ledger.record(tx, now, "decision", officer.id, message.message_id, detail)

        await gateway.store.write(unit)
        return {params.id: "done"}


def corrected_by_us(tx: ReadTx, partner: str, message_id: str) -> bool:
    """Whether the partner is told, or is being told, that this message of ours is withdrawn or replaced: nothing more
    has to be said of it, and nothing of it leaves any more. A restriction leaves both open."""
    row = _under_way(tx, partner, message_id)
    return row is not None and row.action != "restricted"


def _under_way(tx: ReadTx, partner: str, message_id: str) -> CorrectionRow | None:
    row = tx.get(CorrectionRow, "out", partner, message_id)
    release = tx.get(ReleaseRow, row.release) if row is not None else None
    return row if release is not None and release.state not in ENDED else None


def _mark(tx: Tx, row: ReleaseRow, body: CodedBody, now: datetime) -> None:
    """Mark the message that a correction is about; it leaves at once."""
    said = msgspec.json.decode(body.document, type=CorrectionDocument).correction
    if _under_way(tx, row.partner, said.corrects) is not None:
        raise Conflict("a correction of this message is on its way or delivered already")
    tx.put(
        CorrectionRow(
            direction="out",
            partner=row.partner,
            message_id=said.corrects,
            action=said.action,
            reason=said.reason,
            replaced_by=said.replaced_by,
            correction=row.message_id,
            release=row.id,
            at=now,
        )
    )

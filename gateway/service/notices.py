"""What changed after it was shared: found, kept as rows until somebody has seen to it, and prepared for signature.

Whatever changes a record, or what is known of it, leaves a mark in its own commit (`looks`); here every message of that
record which may be at a partner is compared with today (`flow.notice`). What time alone changes is found by a walk over
all such messages, which is also what finds a change whose mark was lost, and an embargo on a person only mentioned.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec
import structlog

from gateway.errors import Conflict, NotFound, RequestInvalid, Unavailable
from gateway.flow.correction import reason_of
from gateway.flow.notice import Finding, Left, due_at, duty_of, findings, replaceable, stays
from gateway.flow.recall import ATTEMPTED
from gateway.flow.typed import MAX_TEXT, require_plain, require_text
from gateway.model.case_rows import GroundRow
from gateway.model.message import CorrectionAction, RecallAction
from gateway.model.officer import Officer
from gateway.model.record import CanonicalRecord
from gateway.model.rows import KeyRow, LookRow, NoticeRow, RecordRow, ReleaseRow, RemovalRow
from gateway.policy.context import Context
from gateway.ports import ReadTx, Tx
from gateway.service import calls
from gateway.service.calls import notices as wanted
from gateway.service.calls.corrections import CorrectMessage
from gateway.service.contents import RecordBody, ReleaseBody
from gateway.service.context import Gateway
from gateway.service.corrections import Corrections, corrected_by_us
from gateway.service.drafted import Why
from gateway.service.emergencies import claim
from gateway.service.endings import last_days
from gateway.service.grounds import not_withdrawn, taken_back
from gateway.service.held_back import require_free
from gateway.service.imports import destroy, handle_of
from gateway.service.looks import look_again, removal
from gateway.service.mentions import mentioned, mentions
from gateway.service.operation import DESK, RECALLERS, Operation, limit_of, note_read, require_need_to_know
from gateway.service.recalls import Recalls, recall_under_way
from gateway.service.releases import Releases
from gateway.service.vault import keys_of

log = structlog.get_logger()

#: Marks taken up in one read.
MARKS = 100

#: Messages that a round of the keeper compares again, some milliseconds each: at one round a minute, 288,000 a day, so
#: that what time alone changes is found well within the house clock.
WALKED = 200

#: Types of messages in which records leave.
CARRY_RECORDS = ("disclosure", "answer", "emergency")

#: States of a notice that nobody has seen to yet, or not to its end.
LIVE = ("open", "prepared")


class Notices:
    """Finds, lists and prepares. Everything may be repeated."""

    def __init__(
        self, gateway: Gateway, releases: Releases, recalls: Recalls, corrections: Corrections
    ) -> None:
        self._g, self._releases, self._recalls, self._corrections = gateway, releases, recalls, corrections
        self._walked = ""

    def operations(self) -> dict[str, Operation]:
        """What officers may do with them."""
        return {
            "notices/list": Operation(wanted.ListNotices, DESK, self.page),
            "notices/prepare": Operation(wanted.PrepareNotice, ("requester",), self.prepare, repeatable=True),
            "records/remove": Operation(wanted.RemoveRecord, RECALLERS, self.remove, repeatable=True),
        }

    # --- finding ------------------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Take up every mark. One that cannot be taken up now stays, and is the next caller's: what left it is
        committed, and its own caller must not hear that it failed."""
        try:
            while marks := await self._g.store.read(lambda tx: tx.select(LookRow, limit=MARKS)):
                for mark in marks:
                    await self._look(mark.handle)
        except Unavailable as error:
            log.warning("notices.waiting", code=error.code)

    async def round(self) -> None:
        """Take up the marks, and compare the next messages of the walk: time makes evaluations expire."""
        await self.settle()

        def following(tx: ReadTx) -> list[ReleaseRow]:
            return tx.select(ReleaseRow, {}, at_least=("id", self._walked), order="id", limit=WALKED)

        rows = await self._g.store.read(following)
        at_partner = (row for row in rows if row.type in CARRY_RECORDS and row.state in ATTEMPTED)
        for handle in dict.fromkeys(row.handle for row in at_partner):
            await self._look(handle)
        self._walked = rows[-1].id + "\x00" if len(rows) == WALKED else ""

    async def _look(self, handle: str) -> None:
        """Compare all that left of one record with today, and keep what is otherwise; the mark goes in that commit.

        Raises `SignerUnavailable` when keys cannot be had, also those of a version that came in between: repeat.
        """
        gateway, now = self._g, self._g.clock.now()

        def keys(tx: ReadTx) -> list[KeyRow]:
            versions = tx.select(RecordRow, {"handle": handle, "latest": True})
            return keys_of(tx, [row.key for row in _at_partner(tx, handle)] + [row.key for row in versions])

        found = await gateway.store.read(keys)
        await gateway.vault.unlock(found)
        await gateway.vault.reserve(2 * len(found) + 4)

        def unit(tx: Tx) -> None:
            tx.delete(LookRow, {"handle": handle})
            live = {row.release: row for row in tx.select(NoticeRow, {"handle": handle, "state": LIVE})}
            rows = _at_partner(tx, handle)
            newest = {row.partner: row.id for row in rows}
            for row in rows:
                self._compare(tx, row, live.pop(row.id, None), newest[row.partner] == row.id, now)
            for gone in live.values():  # withdrawn meanwhile: it is not at the partner
                self._end(tx, gone, "superseded", now)

        await gateway.store.write(unit)

    def _compare(self, tx: Tx, row: ReleaseRow, live: NoticeRow | None, newest: bool, now: datetime) -> None:
        """One message: (1) recalled or corrected is seen to; (2) nothing otherwise ends what was said before; (3) the
        same again stays; (4) something else takes its place, and what must be told keeps its first hour."""
        # (1)
        about = row.partner, row.message_id
        if recall_under_way(tx, *about) or corrected_by_us(tx, *about):
            if live is not None:
                self._end(tx, live, "done", now)
            return
        found = self._findings(tx, row, newest, now)
        # (2)
        if not found:
            if live is not None:
                self._end(tx, live, "superseded" if newest else "done", now)
            return
        # (3)
        changes = tuple(f"{one.code} /{one.member}" if one.member else one.code for one in found)
        if live is not None and live.changes == changes:
            return
        # (4)
        duty, since = duty_of(found), now
        if live is not None:
            self._end(tx, live, "superseded", now)
            since = live.since if live.duty == duty else now
        notice = NoticeRow(
            id=self._g.ids.uuid(),
            state="open",
            duty=duty,
            changes=changes,
            partner=row.partner,
            handle=row.handle,
            kind=self._body(tx, row)[1].kind,
            release=row.id,
            message_id=row.message_id,
            since=since,
            due=due_at(since, self._g.directory.settings.notice_hours) if duty == "must" else None,
        )
        tx.insert(notice)
        detail = {"notice": notice.id, "duty": duty, "changes": changes, "state": "open"}
        self._g.ledger.record(tx, now, "notice", "gateway", row.id, detail, about=row.subject)

    def _end(self, tx: Tx, notice: NoticeRow, state: str, now: datetime) -> None:
        tx.put(msgspec.structs.replace(notice, state=state, ended=now))
        self._g.ledger.record(
            tx, now, "notice", "gateway", notice.release, {"notice": notice.id, "state": state}
        )

    def _findings(self, tx: ReadTx, row: ReleaseRow, newest: bool, now: datetime) -> tuple[Finding, ...]:
        """What is otherwise about one message; nothing of one that cannot be compared."""
        world = self._world(tx, row, now)
        if world is None:
            return ()
        left, ctx = world
        return findings(
            left,
            ctx,
            self._g.directory.policy,
            removal=removal(tx, row),
            newest=newest,
            withdrawn=taken_back(tx, row.id, ctx),
        )

    def _world(self, tx: ReadTx, row: ReleaseRow, now: datetime) -> tuple[Left, Context] | None:
        """What left with a message, and what the rules may ask about today. A record that was only purged says what it
        said last; a message whose content was erased, or of a kind not known any more, cannot be compared: None."""
        try:
            body, then = self._body(tx, row)
            latest = tx.select(RecordRow, {"handle": row.handle, "latest": True}, limit=1)
            raw = self._g.vault.open(tx, latest[0].body, RecordBody).record if latest else body.record
        except NotFound:
            return None
        today = msgspec.json.decode(raw, type=CanonicalRecord)
        if today.kind not in self._g.kinds:
            return None
        requester = self._g.directory.officers.get(row.requester)
        why = Why(
            body.purpose,
            body.legal_basis,
            body.justification,
            body.lifts,
            body.request,
            claim(tx, body, row),
        )
        ctx = self._releases.context(
            tx,
            today,
            row.subject,
            row.partner,
            why,
            (requester,) if requester is not None else (),
            now,
            release=row.id,
            others=mentioned(tx, row.key, row.subject) if mentions(then) else (),
        )
        consents = (*ctx.consents, *not_withdrawn(tx, row.id, now))
        return Left(then, body.decision), msgspec.structs.replace(ctx, consents=consents)

    def _body(self, tx: ReadTx, row: ReleaseRow) -> tuple[ReleaseBody, CanonicalRecord]:
        body = self._g.vault.open(tx, row.body, ReleaseBody)
        return body, msgspec.json.decode(body.record, type=CanonicalRecord)

    # --- listing ------------------------------------------------------------------------------------------------

    async def page(self, officer: Officer, params: wanted.ListNotices) -> list[wanted.NoticeView]:
        """What must, or may, be told, as of now, within need to know and clearance; the read is an entry."""
        limit = limit_of(params.limit)
        where: dict[str, object] = {"state": params.state or LIVE}
        if params.duty:
            where["duty"] = params.duty
        if params.record:
            where["handle"] = await self._handle(params.record)
        await self.settle()
        rows = await self._rows(where, params.after, limit)
        for handle in dict.fromkeys(row.handle for row in rows if row.state in LIVE):
            await self._look(handle)
        rows = await self._visible(officer, await self._rows(where, params.after, limit))
        await note_read(self._g, officer, "", "notices", sorted({row.handle for row in rows}))
        now = self._g.clock.now()
        found = await self._g.store.read(lambda tx: [_view(tx, row, now) for row in rows])
        if params.duty == "must" or params.state not in ("", "open"):
            return found
        handle = str(where.get("handle", ""))
        found += await self._g.store.read(lambda tx: last_days(tx, officer, params.after, handle, now, limit))
        return sorted(found, key=lambda one: one.id)[:limit]

    async def _rows(self, where: dict[str, object], after: str, limit: int) -> list[NoticeRow]:
        found = await self._g.store.read(
            lambda tx: tx.select(
                NoticeRow, where, at_least=("id", after) if after else None, order="id", limit=limit + 1
            )
        )
        return [row for row in found if row.id != after][:limit]

    async def _visible(self, officer: Officer, rows: Iterable[NoticeRow]) -> list[NoticeRow]:
        """Those of records that the officer needs to know, and of whose labels the clearance reaches every one that
        left; of a message that was erased nobody can tell, and nobody sees it."""
        known = [row for row in rows if officer.needs_to_know(row.kind)]
        now, levels = self._g.clock.now(), self._g.levels

        def keys(tx: ReadTx) -> list[KeyRow]:
            releases = tx.select(ReleaseRow, {"id": tuple(row.release for row in known)})
            return keys_of(tx, [row.key for row in releases])

        await self._g.vault.unlock(await self._g.store.read(keys))

        def seen(tx: ReadTx, row: NoticeRow) -> bool:
            release = tx.get(ReleaseRow, row.release)
            try:
                body, record = self._body(tx, release) if release is not None else (None, None)
            except NotFound:
                return False
            if body is None or record is None:
                return False
            left = set(body.decision.released)
            labels = [each.label for each in record.labels if each.pointer in left and each.label is not None]
            return all(officer.may_see(label, now, levels) for label in labels)

        return await self._g.store.read(lambda tx: [row for row in known if seen(tx, row)])

    async def _handle(self, name: str) -> str:
        """The handle of a record, which need not be held any more, by handle or entity id."""
        return handle_of(name) or handle_of((await self._g.signer.index([name.encode()]))[0])

    # --- preparing ----------------------------------------------------------------------------------------------

    async def prepare(self, officer: Officer, params: wanted.PrepareNotice) -> wanted.NoticePrepared:
        """Make what is to be signed, only where released bytes would be otherwise today.

        (1) the notice is compared again, and the officer may see it; (2) what must not be there any more is recalled,
        which it must not either where nothing of the record of today may leave to that partner;
        (3) what the record of today can stand in for is disclosed anew first, by the ordinary way of two persons, and
        (4) recalled as replaced once that may be at the partner; with ``correct``, a correction that names the reason
        goes in the recall's place. Raises `NotFound` for a notice that is not the
        officer's to see, `Conflict` for one that is seen to, or waits for what was prepared before.
        """
        # (1)
        require_plain("justification", params.justification)
        notice = await self._named(params.id)
        await self._look(notice.handle)
        notice = await self._named(params.id)
        if not await self._visible(officer, [notice]):
            raise NotFound("there is no notice of this id")
        if notice.state not in LIVE:
            raise Conflict(f"the notice is {notice.state} already")
        found = tuple(_finding(each) for each in notice.changes)
        changed = f"{', '.join(notice.changes)} after {notice.message_id}"
        reason = params.justification.strip() or changed[:MAX_TEXT]
        # (2)
        gone = not replaceable(found) or not await self._stays(notice)
        if notice.duty == "must" and (params.withdraw or gone):
            action: RecallAction = "expired" if {one.code for one in found} == {"expired"} else "withdrawn"
            if params.correct:
                return await self._correct(officer, notice, "", reason)
            return await self._recall(officer, notice, action, "", reason)
        if params.withdraw:
            raise RequestInvalid("an update withdraws nothing", diagnostic={"field": "withdraw"})
        # (4)
        by = await self._in_place(notice)
        if by and notice.duty == "must":
            if params.correct:
                return await self._correct(officer, notice, by, reason)
            return await self._recall(officer, notice, "replaced", by, reason)
        # (3)
        return await self._disclose(officer, notice, reason)

    async def _stays(self, notice: NoticeRow) -> bool:
        """Whether the record of today may be at the partner in part (`flow.notice.stays`); keys are unlocked."""
        now = self._g.clock.now()

        def read(tx: ReadTx) -> bool:
            row = tx.get(ReleaseRow, notice.release)
            world = self._world(tx, row, now) if row is not None else None
            return world is not None and stays(world[1], self._g.directory.policy)

        return await self._g.store.read(read)

    async def _recall(
        self, officer: Officer, notice: NoticeRow, action: RecallAction, by: str, reason: str
    ) -> wanted.NoticePrepared:
        message = notice.message_id
        view = await self._recalls.prepare(officer, calls.RecallMessage(message, action, by, reason))
        await self._prepared(officer, notice, view)
        return wanted.NoticePrepared(notice.id, "recall", message, action, by, notice.duty, view)

    async def _correct(
        self, officer: Officer, notice: NoticeRow, by: str, reason: str
    ) -> wanted.NoticePrepared:
        message, code = notice.message_id, reason_of(_finding(each) for each in notice.changes)
        action: CorrectionAction = "replaced" if by else "withdrawn"
        asked = CorrectMessage(message, action, code, reason, by)
        view = await self._corrections.prepare(officer, asked)
        await self._prepared(officer, notice, view)
        return wanted.NoticePrepared(notice.id, "correction", message, action, by, notice.duty, view, code)

    async def _disclose(self, officer: Officer, notice: NoticeRow, reason: str) -> wanted.NoticePrepared:
        """The record as it is today, for the reasons of the message that left, in its conversation."""
        require_need_to_know(officer, notice.kind)
        waiting = await self._g.store.read(lambda tx: tx.get(ReleaseRow, notice.prepared))
        if waiting is not None and waiting.state in WAITING:
            raise Conflict(f"what was prepared for this notice is {waiting.state}: release {waiting.id}")
        left = (await self._releases.show([notice.release]))[0]
        body = left.body
        # A request has one answer. What corrects it is provided unasked, and class B fields stay: they were asked once.
        why = Why(body.purpose, body.legal_basis, reason, body.lifts)
        drafts = await self._releases.draft(
            officer, notice.handle, [notice.partner], why, conversation=left.row.conversation
        )
        view = drafts[0].view()
        await self._prepared(officer, notice, view)
        return wanted.NoticePrepared(notice.id, "disclosure", notice.message_id, "", "", notice.duty, view)

    async def _prepared(self, officer: Officer, notice: NoticeRow, view: calls.DecisionView) -> None:
        """What was denied leaves the notice open."""
        gateway, now = self._g, self._g.clock.now()
        if not view.release:
            return
        await gateway.vault.reserve()

        def unit(tx: Tx) -> None:
            row = tx.get(NoticeRow, notice.id)
            if row is None or row.state not in LIVE:
                raise Conflict("the notice was seen to meanwhile")
            tx.put(msgspec.structs.replace(row, state="prepared", prepared=view.release))
            detail = {"notice": row.id, "state": "prepared", "release": view.release}
            gateway.ledger.record(tx, now, "notice", officer.id, row.release, detail)

        await gateway.store.write(unit)

    async def _named(self, name: str) -> NoticeRow:
        row, ground = await self._g.store.read(lambda tx: (tx.get(NoticeRow, name), tx.get(GroundRow, name)))
        if ground is not None:
            raise Conflict("a ground that comes to its last day is asked for anew: there is nothing to sign")
        if row is None:
            raise NotFound("there is no notice of this id")
        return row

    async def _in_place(self, notice: NoticeRow) -> str:
        """The id of a later message to the same partner that says what the record says today; empty without one."""

        def later(tx: ReadTx) -> tuple[list[ReleaseRow], list[KeyRow], str]:
            rows = [row for row in _at_partner(tx, notice.handle) if row.partner == notice.partner]
            since = next((row.created for row in rows if row.id == notice.release), None)
            latest = tx.select(RecordRow, {"handle": notice.handle, "latest": True}, limit=1)
            # Within one second the order of two messages is not known; what they say of the record is.
            after = [row for row in rows if since and row.created >= since and row.id != notice.release]
            return after, keys_of(tx, [row.key for row in after]), latest[0].fingerprint if latest else ""

        rows, keys, fingerprint = await self._g.store.read(later)
        await self._g.vault.unlock(keys)

        def same(tx: ReadTx) -> str:
            for row in reversed(rows):
                about = row.partner, row.message_id
                if recall_under_way(tx, *about) or corrected_by_us(tx, *about):
                    continue
                if self._g.vault.open(tx, row.body, ReleaseBody).fingerprint == fingerprint:
                    return row.message_id
            return ""

        return await self._g.store.read(same)

    # --- removing -----------------------------------------------------------------------------------------------

    async def remove(self, officer: Officer, params: wanted.RemoveRecord) -> wanted.RemovedRecord:
        """Delete every version of a record for cause, on a named officer's word (law 29.3.2024 art. 7 §3; Directive
        (EU) 2016/680 art. 16): what waits is voided at its next look, and what left must be recalled.

        An extract that says the same again brings nothing back. What a partner was sent stays with its release, as
        evidence of the disclosure. Raises `NotFound`, and `RoleMissing` outside need to know.
        """
        require_text("justification", params.justification)
        gateway, now = self._g, self._g.clock.now()
        latest, record = await self._releases.record(params.record)
        require_need_to_know(officer, record.kind)
        await gateway.vault.reserve()

        def unit(tx: Tx) -> int:
            versions = tx.select(RecordRow, {"handle": latest.handle})
            if not versions:
                raise NotFound("there is no record of this id")
            require_free(tx, [latest.subject])
            for version in versions:
                destroy(tx, version)
                tx.put(RemovalRow(latest.handle, version.fingerprint, now, params.because, officer.id))
            look_again(tx, latest.handle)
            detail = {"removed": params.because, "justification": params.justification}
            gateway.ledger.record(tx, now, "import", officer.id, latest.handle, detail, about=latest.subject)
            return len(versions)

        versions = await gateway.store.write(unit)
        await self.settle()
        return wanted.RemovedRecord(latest.handle, params.because, versions)


#: States of a prepared release that still may become the partner's.
WAITING = ("awaiting-endorsement", "awaiting-approval", "queued", "sequenced", "sealed", "attempted")


def _at_partner(tx: ReadTx, handle: str) -> list[ReleaseRow]:
    """Messages about the record that a partner may have, the oldest first."""
    where: dict[str, object] = {"handle": handle, "type": CARRY_RECORDS, "state": tuple(sorted(ATTEMPTED))}
    return sorted(tx.select(ReleaseRow, where), key=lambda row: (row.created, row.id))


def _finding(change: str) -> Finding:
    code, _, member = change.partition(" /")
    return msgspec.convert({"code": code, "member": member}, Finding)


def _view(tx: ReadTx, row: NoticeRow, now: datetime) -> wanted.NoticeView:
    prepared = tx.get(ReleaseRow, row.prepared) if row.prepared else None
    return wanted.NoticeView(
        id=row.id,
        state=row.state,
        duty=row.duty,
        changes=row.changes,
        partner=row.partner,
        record=row.handle,
        message_id=row.message_id,
        release=row.release,
        since=row.since,
        due=row.due,
        overdue=row.duty == "must" and row.state in LIVE and (row.due is None or row.due <= now),
        prepared=row.prepared,
        waits_for=prepared.state if prepared is not None else "",
    )

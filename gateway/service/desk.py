"""What officers can do, one method an operation, each with the roles it demands. No HTTP in here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway import __version__
from gateway.errors import NotFound, RequestInvalid, RoleMissing
from gateway.flow.lifts import require_lifts
from gateway.flow.typed import require_reasons, require_text
from gateway.model.message import type_of
from gateway.model.officer import Officer
from gateway.model.record import CanonicalRecord, fields_of
from gateway.model.rows import (
    ChangeRow,
    CheckpointRow,
    EmbargoRow,
    LogRow,
    QuarantineRow,
    RecordRow,
)
from gateway.model.signing import ChangeKind
from gateway.ports import ReadTx
from gateway.service import calls
from gateway.service.agreements import Agreements
from gateway.service.cases import Cases
from gateway.service.changes import Changes
from gateway.service.consents import Consents
from gateway.service.context import Gateway
from gateway.service.corrections import Corrections
from gateway.service.drafted import Why
from gateway.service.emergencies import Emergencies
from gateway.service.erasures import Erasures
from gateway.service.evidence import Evidence
from gateway.service.finding import Finding
from gateway.service.findings import Findings
from gateway.service.grounds import Grounds
from gateway.service.holds import Holds
from gateway.service.imports import Imports
from gateway.service.inbox import Inbox
from gateway.service.lanes import Queue
from gateway.service.lists import Lists
from gateway.service.mandates import require_scope
from gateway.service.notices import Notices
from gateway.service.operation import (
    ANYBODY,
    DESK,
    RECALLERS,
    SECURITY,
    Operation,
    limit_of,
    note_read,
    require_need_to_know,
)
from gateway.service.oral import Oral
from gateway.service.policies import Policies
from gateway.service.recalls import Recalls
from gateway.service.reconciling import Reconciling
from gateway.service.releases import Releases
from gateway.service.replays import Replays
from gateway.service.requests import Requests
from gateway.service.statistics import Statistics
from gateway.service.subjects import Subjects
from gateway.service.texts import reasons_of
from gateway.service.years import Years


class Desk:
    """Every operation of the control socket. Roles are checked by the caller from `operations`, deny by default."""

    def __init__(
        self, gateway: Gateway, releases: Releases, imports: Imports, changes: Changes, queue: Queue
    ) -> None:
        self._g = gateway
        self._releases, self._imports, self._changes, self._queue = releases, imports, changes, queue
        self._lists = Lists(gateway, imports)
        self._recalls = Recalls(gateway)
        self._cases = Cases(gateway, releases)
        self._corrections = Corrections(gateway)
        self.notices = Notices(gateway, releases, self._recalls, self._corrections)
        self._grounds = Grounds(gateway, releases)
        self._emergencies = Emergencies(gateway, releases)
        self._subjects = Subjects(gateway, releases)
        self._oral = Oral(gateway, releases)
        self._replays = Replays(gateway)
        self._policies = Policies(gateway, self._replays)
        self._requests = Requests(gateway, releases)
        self.erasures = Erasures(gateway)

    def operations(self) -> dict[str, Operation]:
        """The closed table. An operation that is not in it does not exist."""
        return self._requests.operations() | {
            "status": Operation(calls.Empty, ANYBODY, self.status),
            "records/import": Operation(
                calls.ImportChunk, ("requester",), self.records_import, repeatable=True
            ),
            "records/complete": Operation(
                calls.ListComplete, ("requester", "approver"), self.records_complete, repeatable=True
            ),
            "records/matches": Operation(calls.FindMatches, DESK, self.records_matches),
            "records/list": Operation(calls.Page, DESK, self.records_list),
            "records/show": Operation(calls.Named, DESK, self.records_show),
            "records/purge": Operation(
                calls.Empty, ("requester", "security-officer"), self.records_purge, repeatable=True
            ),
            "releases/preview": Operation(calls.Disclose, DESK, self.preview),
            "releases/prepare": Operation(calls.Disclose, ("requester",), self.prepare, repeatable=True),
            "releases/endorse": Operation(calls.Endorsed, ("requester",), self.endorse, repeatable=True),
            "releases/show": Operation(calls.Named, DESK, self.release_show),
            "releases/approve": Operation(calls.Endorsed, ("approver",), self.approve, repeatable=True),
            "releases/reject": Operation(calls.Ended, ("approver",), self.reject, repeatable=True),
            "releases/cancel": Operation(
                calls.Ended, ("requester", "approver"), self.cancel, repeatable=True
            ),
            "recalls/prepare": Operation(
                calls.RecallMessage, RECALLERS, self._recalls.prepare, repeatable=True
            ),
            "recalls/endorse": Operation(calls.Endorsed, RECALLERS, self._recalls.endorse, repeatable=True),
            "queue/list": Operation(calls.Page, (*DESK, "operator"), self.queue_list),
            "queue/hold": Operation(
                calls.LaneCall, ("approver", "operator"), self.queue_hold, repeatable=True
            ),
            "queue/resend": Operation(
                calls.LaneCall, ("approver", "operator"), self.queue_resend, repeatable=True
            ),
            "queue/skip": Operation(calls.LaneCall, ("approver",), self.queue_skip, repeatable=True),
            "inbox/recall": Operation(calls.AnswerRecall, ("inbox",), self._recalls.answer, repeatable=True),
            "inbox/quarantine": Operation(calls.Page, DESK, self.quarantine_list),
            "messages/trace": Operation(calls.Named, (*DESK, "operator"), self.trace),
            "officers/list": Operation(calls.Page, (*SECURITY, "reviewer"), self.officers),
            "partners/list": Operation(calls.Page, ANYBODY, self.partners),
            "agreements/list": Operation(calls.Page, ANYBODY, self.agreements),
            "changes/draft": Operation(calls.DraftChange, SECURITY, self.change_draft, repeatable=True),
            "changes/propose": Operation(calls.ProposeChange, SECURITY, self.change_propose, repeatable=True),
            "changes/approve": Operation(calls.ApproveChange, SECURITY, self.change_approve, repeatable=True),
            "changes/reject": Operation(calls.Named, SECURITY, self.change_reject, repeatable=True),
            "changes/list": Operation(calls.Page, (*SECURITY, "reviewer"), self.change_list),
            "changes/show": Operation(calls.Named, (*SECURITY, "reviewer"), self.change_show),
            "embargoes/add": Operation(
                calls.PlaceEmbargo,
                ("requester", "approver", "security-officer"),
                self.embargo,
                repeatable=True,
            ),
            "embargoes/list": Operation(calls.Page, (*DESK, "security-officer"), self.embargoes),
            "changes/before": Operation(calls.Before, (*SECURITY, "reviewer"), self._policies.before),
            "policy/explain": Operation(calls.Explain, ANYBODY, self._policies.explain),
            "policy/decided": Operation(calls.ExplainEntry, DESK, self._policies.decided),
            "policy/show": Operation(calls.Empty, (*SECURITY, "reviewer"), self._policies.show),
            "policy/replay": Operation(calls.Replay, (*SECURITY, "reviewer"), self._replays.page),
            "audit/logs": Operation(calls.Empty, (*DESK, "operator", "security-officer"), self.logs),
            **self.notices.operations(),
            **Inbox(self._g).operations(),
            **self._corrections.operations(),
            **Agreements(self._g).operations(),
            **self._grounds.operations(),
            **Consents(self._g, self._grounds).operations(),
            **self._emergencies.operations(),
            **self._subjects.operations(),
            **self._oral.operations(),
            **self._cases.operations(),
            **Holds(self._g).operations(),
            **self.erasures.operations(),
            **Evidence(self._g).operations(),
            **Reconciling(self._g).operations(),
            **Years(self._g).operations(),
            **Findings(self._g).operations(),
            **Statistics(self._g).operations(),
            **Finding(self._g).operations(),
        }

    async def status(self, officer: Officer, params: calls.Empty) -> calls.Status:
        return calls.Status(
            organisation=self._g.org,
            mode=self._g.config.mode,
            profile=self._g.config.profile,
            version=__version__,
            config_sha256=self._g.config_sha256,
            policy_sha256=self._g.directory.policy.sha256,
            partners=tuple(sorted(self._g.directory.partners)),
        )

    # --- records ------------------------------------------------------------------------------------------------

    async def records_import(self, officer: Officer, params: calls.ImportChunk) -> calls.Imported:
        imported = await self._imports.lines(officer, params.kind, params.lines, params.first_line)
        await self.notices.settle()
        return imported

    async def records_complete(self, officer: Officer, params: calls.ListComplete) -> calls.ListCompleted:
        """What the list holds no more is marked, and who may be on it is counted, of what the officer may compare.

        The count is a read, and an entry (LED art. 25): a list of one guess would tell by it who is known here.
        """
        gone, delisted = await self._lists.complete(officer, params)
        bands, handles = await self._lists.bands(officer, params.kind)
        if bands:
            await note_read(self._g, officer, "", "match-counts", handles)
        return calls.ListCompleted(gone, delisted, bands)

    async def records_matches(self, officer: Officer, params: calls.FindMatches) -> list[calls.MatchView]:
        """Candidates, within need to know and clearance; the read is an entry (LED art. 25)."""
        found = await self._lists.matches(officer, params, limit_of(params.limit))
        handles = sorted({handle for one in found for handle in (one.person, one.entry)})
        await note_read(self._g, officer, "", "matches", handles)
        return found

    async def records_purge(self, officer: Officer, params: calls.Empty) -> dict[str, int]:
        return await self._imports.purge(officer.id)

    async def records_list(self, officer: Officer, params: calls.Page) -> list[calls.RecordSummary]:
        rows = await self._page(RecordRow, {"latest": True}, "handle", params)
        return [
            calls.RecordSummary(row.handle, row.kind, row.version, row.extracted_at, row.imported_at)
            for row in rows
        ]

    async def records_show(self, officer: Officer, params: calls.Named) -> calls.RecordView:
        """The record within the officer's own clearance and need to know; the read is an entry (LED art. 25)."""
        row, record = await self._releases.record(params.id)
        require_need_to_know(officer, record.kind)
        now, levels = self._g.clock.now(), self._g.levels
        sources = {label.pointer: label.source for label in record.labels}
        fields, hidden = [], 0
        for field in fields_of(record, self._g.kinds[record.kind]):
            if field.label is not None and not officer.may_see(field.label, now, levels):
                hidden += 1
                continue
            fields.append(
                calls.FieldView(
                    field.pointer,
                    field.value,
                    f"{field.label.policy} {field.label.level}" if field.label else "",
                    sources.get(field.pointer, "none"),
                    field.spec.export_class if field.spec else "X",
                )
            )
        await note_read(self._g, officer, row.handle, "record", why=params.why)
        return calls.RecordView(
            row.handle, record.entity_id, record.kind, record.extracted_at, tuple(fields), hidden
        )

    # --- releases -----------------------------------------------------------------------------------------------

    async def preview(self, officer: Officer, params: calls.Disclose) -> list[calls.DecisionView]:
        """A name of the sharing groups stands for its organisations."""
        groups = self._g.directory.settings.sharing
        partners = tuple(dict.fromkeys(org for name in params.partners for org in groups.get(name, (name,))))
        params = msgspec.structs.replace(
            params, partners=partners, justification=params.justification or "preview"
        )
        kind = await self._require_need_to_know(officer, params.record)
        why = await self._why(officer, params, kind)
        drafts = await self._releases.draft(officer, params.record, partners, why, keep=False)
        return [draft.view() for draft in drafts]

    async def prepare(self, officer: Officer, params: calls.Disclose) -> list[calls.DecisionView]:
        kind = await self._require_need_to_know(officer, params.record)
        why = await self._why(officer, params, kind)
        drafts = await self._releases.draft(
            officer, params.record, params.partners, why, conversation=params.conversation
        )
        return [draft.view() for draft in drafts]

    async def _require_need_to_know(self, officer: Officer, name: str) -> str:
        """The record's kind. Before anything is decided: a decision's fields and reasons say much about the record."""
        _, record = await self._releases.record(name)
        require_need_to_know(officer, record.kind)
        return record.kind

    async def _why(self, officer: Officer, params: calls.Disclose, kind: str) -> Why:
        require_reasons(params.justification, params.lifts, params.emergency)
        require_lifts(params.lifts, self._g.kinds[kind])
        if not params.partners:
            raise RequestInvalid("name at least one partner", diagnostic={"field": "partners"})
        basis = params.legal_basis
        if not basis:
            agreement = self._g.directory.agreements.get(params.partners[0])
            basis = agreement.terms.legal_basis if agreement else ""
        if params.emergency is not None and (params.conversation or params.request):
            raise RequestInvalid(
                "an emergency goes in a conversation of its own, and answers no request",
                diagnostic={"field": "conversation" if params.conversation else "request"},
            )
        if params.emergency is not None and type_of(kind) != "disclosure":
            raise RequestInvalid("a record that asks leaves in no emergency", diagnostic={"field": "record"})
        asked = await self._requests.asked(officer, params.request, kind) if params.request else None
        request = asked[0] if asked is not None else None
        return Why(params.purpose, basis, params.justification, params.lifts, request, params.emergency)

    async def endorse(self, officer: Officer, params: calls.Endorsed) -> dict[str, str]:
        """The state of each: an emergency that was approved orally is queued, or voided, everything else waits."""
        return await self._releases.endorse(officer, params.endorsement, params.releases)

    async def release_show(self, officer: Officer, params: calls.Named) -> calls.ReleaseView:
        shown = (await self._releases.show([params.id]))[0]
        record = msgspec.json.decode(shown.body.record, type=CanonicalRecord)
        require_need_to_know(officer, record.kind)
        require_scope(officer, shown.row.partner, (record.kind,))
        released = set(shown.body.decision.released)
        labels = [
            label.label for label in record.labels if label.pointer in released and label.label is not None
        ]
        if not all(officer.may_see(label, self._g.clock.now(), self._g.levels) for label in labels):
            raise RoleMissing("your clearance does not reach what this release holds")
        await note_read(self._g, officer, shown.row.id, "release", why=params.why)
        return calls.ReleaseView(
            id=shown.row.id,
            state=shown.row.state,
            partner=shown.row.partner,
            requester=shown.row.requester,
            message_id=shown.row.message_id,
            not_after=shown.row.not_after,
            statement=shown.body.statement,
            payload=shown.body.payload,
            document=shown.body.document,
            justification=shown.body.justification,
            reasons=tuple(
                reasons_of(shown.body.justification, shown.body.lifts, shown.body.emergency, shown.body.hints)
            ),
        )

    async def approve(self, officer: Officer, params: calls.Endorsed) -> calls.Approved:
        voided = await self._releases.approve(officer, params.endorsement, params.releases)
        return calls.Approved(tuple(one for one in params.releases if one not in voided), voided)

    async def reject(self, officer: Officer, params: calls.Ended) -> dict[str, str]:
        require_text("reason", params.reason)
        await self._releases.end(officer, params.id, "reject", params.reason)
        return {params.id: "rejected"}

    async def cancel(self, officer: Officer, params: calls.Ended) -> dict[str, str]:
        require_text("reason", params.reason)
        await self._releases.end(officer, params.id, "cancel", params.reason)
        return {params.id: "cancelled"}

    # --- queue, inbox, trace ------------------------------------------------------------------------------------

    async def queue_list(self, officer: Officer, params: calls.Page) -> list[calls.QueueItem]:
        return await self._queue.list(limit_of(params.limit), params.state)

    async def queue_hold(self, officer: Officer, params: calls.LaneCall) -> dict[str, str]:
        return await self._queue.hold(officer, params.partner, params.conversation, held=True)

    async def queue_resend(self, officer: Officer, params: calls.LaneCall) -> dict[str, str]:
        return await self._queue.hold(officer, params.partner, params.conversation, held=False)

    async def queue_skip(self, officer: Officer, params: calls.LaneCall) -> dict[str, str]:
        return await self._queue.skip(officer, params.partner, params.conversation)

    async def trace(self, officer: Officer, params: calls.Named) -> calls.Trace:
        return await self._queue.trace(params.id)

    async def quarantine_list(self, officer: Officer, params: calls.Page) -> list[calls.QuarantineItem]:
        rows = await self._page(QuarantineRow, {}, "id", params)
        return [
            calls.QuarantineItem(row.id, row.partner, row.code, row.digest, row.size, row.at) for row in rows
        ]

    # --- directory and changes ----------------------------------------------------------------------------------

    async def officers(self, officer: Officer, params: calls.Page) -> list[Officer]:
        return list(self._g.directory.officers.values())

    async def partners(self, officer: Officer, params: calls.Page) -> list[dict[str, Any]]:
        return [
            {
                "org": partner.org,
                "name": partner.name,
                "nation": partner.nation,
                "recipient_kind": partner.recipient_kind,
                "version": partner.version,
                "stopped": partner.stopped,
                "endpoint": partner.endpoint,
                "keys": [{"kid": key.kid, "use": key.use, "revoked": key.revoked} for key in partner.keys],
            }
            for partner in self._g.directory.partners.values()
        ]

    async def agreements(self, officer: Officer, params: calls.Page) -> list[dict[str, Any]]:
        return [
            {
                "partner": partner,
                "sha256": state.sha256,
                "revoked": state.revoked,
                "terms": msgspec.to_builtins(state.terms),
            }
            for partner, state in self._g.directory.agreements.items()
        ]

    async def change_draft(self, officer: Officer, params: calls.DraftChange) -> calls.ChangeDraft:
        try:
            kind = msgspec.convert(params.kind, ChangeKind)
        except msgspec.ValidationError:
            raise RequestInvalid("there is no change of this kind", diagnostic={"field": "kind"}) from None
        statement, document = self._changes.draft(officer, kind, params.target, params.document)
        return calls.ChangeDraft(statement, document)

    async def change_propose(self, officer: Officer, params: calls.ProposeChange) -> calls.ChangeView:
        return self._change(
            await self._changes.propose(officer, params.statement, params.document, params.endorsement)
        )

    async def change_approve(self, officer: Officer, params: calls.ApproveChange) -> calls.ChangeView:
        return self._change(await self._changes.approve(officer, params.id, params.endorsement))

    async def change_reject(self, officer: Officer, params: calls.Named) -> dict[str, str]:
        await self._changes.reject(officer, params.id)
        return {params.id: "rejected"}

    async def change_list(self, officer: Officer, params: calls.Page) -> list[calls.ChangeView]:
        """By id. What is superseded stands among the proposals in the store, and is told apart here."""
        where: dict[str, object] = {"state": params.state} if params.state else {}
        if params.state not in ("proposed", "superseded"):
            return [self._change(row) for row in await self._page(ChangeRow, where, "id", params)]
        rows = await self._g.store.read(lambda tx: tx.select(ChangeRow, {"state": "proposed"}, order="id"))
        found = [self._change(row) for row in rows if row.id > params.after]
        return [one for one in found if one.state == params.state][: limit_of(params.limit)]

    def _change(self, row: ChangeRow) -> calls.ChangeView:
        state = self._changes.state_of(row)
        return calls.ChangeView(
            row.id, state, row.kind, row.target, row.proposer, row.proposed_at, row.statement, row.document
        )

    async def change_show(self, officer: Officer, params: calls.Named) -> calls.ChangeView:
        row = await self._g.store.read(lambda tx: tx.get(ChangeRow, params.id))
        if row is None:
            raise NotFound("there is no change of this id")
        return self._change(row)

    async def embargo(self, officer: Officer, params: calls.PlaceEmbargo) -> dict[str, str]:
        placed = await self._changes.embargo(officer, params.subject, params.authority)
        await self.notices.settle()
        return placed

    async def embargoes(self, officer: Officer, params: calls.Page) -> list[calls.EmbargoItem]:
        rows = await self._page(EmbargoRow, {}, "id", params)
        return [
            calls.EmbargoItem(row.id, row.placed_at, row.placed_by, row.lifted_at, row.authority_sha256)
            for row in rows
        ]

    # --- audit --------------------------------------------------------------------------------------------------

    async def logs(self, officer: Officer, params: calls.Empty) -> list[calls.LogStatus]:
        def read(tx: ReadTx) -> list[calls.LogStatus]:
            answer = []
            for row in tx.select(LogRow):
                newest: CheckpointRow | None = self._g.ledger.newest(tx, row.origin)
                answer.append(
                    calls.LogStatus(
                        row.origin,
                        row.size,
                        newest.size if newest else 0,
                        newest.note.decode() if newest else "",
                    )
                )
            return answer

        return await self._g.store.read(read)

    async def _page(
        self, row: type[Any], where: dict[str, object], key: str, params: calls.Page
    ) -> Sequence[Any]:
        """Rows after the cursor in key order. ``after`` is the last key seen; its own row is skipped."""
        found = await self._g.store.read(
            lambda tx: tx.select(
                row,
                where,
                at_least=(key, params.after) if params.after else None,
                order=key,
                limit=limit_of(params.limit) + 1,
            )
        )
        return [one for one in found if getattr(one, key) != params.after][: limit_of(params.limit)]

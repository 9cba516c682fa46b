"""Findings: reviewers write them, the house answers, reviewers close them; each step is signed, and an entry."""

from __future__ import annotations

import re
from functools import partial

import msgspec

from gateway.errors import Conflict, NotFound, RequestInvalid, RoleMissing
from gateway.flow.change import canonical, digest
from gateway.flow.typed import require_text
from gateway.model.case_rows import FindingRow
from gateway.model.finding import FindingStep, Severity, Step
from gateway.model.officer import Act, Officer, Role
from gateway.model.rows import EntryRow, ReleaseRow, SubjectRow
from gateway.ports import ReadTx, Tx
from gateway.service.calls import Named, Page
from gateway.service.calls.findings import FindingItem, FindingView, ShownStep, SignedStep
from gateway.service.contents import FindingBody
from gateway.service.context import Gateway
from gateway.service.mandates import require_scope
from gateway.service.operation import Operation, limit_of, note_read
from gateway.service.vault import keys_of
from gateway.wire.endorse import verify_endorsement

#: Who answers for the house: whoever lets something out, and whoever answers for security.
ANSWERERS: tuple[Role, ...] = ("approver", "security-officer")
READERS: tuple[Role, ...] = ("reviewer", *ANSWERERS)

_ENTRY = re.compile(r"entry (0|[1-9][0-9]{0,15})\Z")

#: By step, the act that its signature is of, and the state of the finding afterwards.
ACT: dict[Step, Act] = {"find": "find", "answer": "answer", "close": "close"}
STATE = {"find": "open", "answer": "answered", "close": "closed"}


class Findings:
    """Takes, shows and lists findings."""

    def __init__(self, gateway: Gateway) -> None:
        self._g = gateway

    def operations(self) -> dict[str, Operation]:
        """A reviewer begins and ends a finding; the house has its say between."""
        return {
            "findings/new": Operation(
                SignedStep, ("reviewer",), partial(self._take, "find"), repeatable=True
            ),
            "findings/answer": Operation(
                SignedStep, ANSWERERS, partial(self._take, "answer"), repeatable=True
            ),
            "findings/close": Operation(
                SignedStep, ("reviewer",), partial(self._take, "close"), repeatable=True
            ),
            "findings/show": Operation(Named, READERS, self.show),
            "findings/list": Operation(Page, READERS, self.page),
        }

    async def _take(self, step: Step, officer: Officer, params: SignedStep) -> FindingItem:
        """One step.

        (1) a document of this step, home and officer, in its one form, with a text; (2) the caller's own signature over
        it; (3) it is about what is there, within the reviewer's mandate, and follows the newest step: an answer is of
        another person than the finder, and no operator; it is closed once answered, by its finder or another reviewer
        of the same body; (4) kept encrypted with its signature, and an entry: one commit. Repeatable.
        """
        gateway, now = self._g, self._g.clock.now()
        # (1)
        said = self._read(step, officer, params.document)
        # (2)
        signed = verify_endorsement(
            params.endorsement, gateway.directory.officers, act=ACT[step], statement=params.document, now=now
        )
        if signed.officer != officer.id:
            raise RoleMissing("the endorsement is another officer's than the caller's")
        await gateway.vault.reserve()

        def unit(tx: Tx) -> FindingItem:
            rows = _steps(tx, said.finding)
            if any(row.sha256 == digest(params.document) for row in rows):
                return _item(rows)
            # (3)
            subject = self._require_about(tx, officer, said)
            self._require_next(officer, said, rows)
            # (4)
            key = gateway.vault.fresh(now)
            body = gateway.vault.seal(key, FindingBody(params.document, params.endorsement))
            row = FindingRow(
                id=said.finding,
                number=len(rows),
                step=step,
                about=said.about,
                severity=said.severity,
                sha256=digest(params.document),
                key=key.id,
                body=body.id,
                officer=officer.id,
                person=officer.person,
                for_body=officer.mandate.body if officer.mandate is not None else "internal",
                at=now,
            )
            tx.insert(key.row, body, row)
            if subject:
                tx.insert(SubjectRow(subject, key.id))
            detail = {"step": step, "about": said.about, "severity": said.severity, "sha256": row.sha256}
            gateway.ledger.record(tx, now, "finding", officer.id, row.id, detail)
            return _item([*rows, row])

        return await gateway.store.write(unit)

    def _read(self, step: Step, officer: Officer, document: bytes) -> FindingStep:
        try:
            said = msgspec.json.decode(document, type=FindingStep)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise RequestInvalid(
                "the finding does not follow its schema", diagnostic={"field": "document"}
            ) from None
        if canonical(said) != document:
            raise RequestInvalid("the finding is not in its one form", diagnostic={"field": "document"})
        if (said.step, said.home, said.by) != (step, self._g.org, officer.id):
            raise RequestInvalid(
                "the finding is another step, or another home's or officer's",
                diagnostic={"field": "document"},
            )
        require_text("text", said.text)
        return said

    def _require_about(self, tx: ReadTx, officer: Officer, said: FindingStep) -> str:
        """The subject of what it is about; empty where there is none. Raises `NotFound` or `RoleMissing`."""
        if entry := _ENTRY.match(said.about):
            if tx.get(EntryRow, self._g.ledger.master, int(entry[1])) is None:
                raise NotFound("the master log has no entry of this index")
            require_scope(officer, "", ())
            return ""
        release = tx.get(ReleaseRow, said.about)
        if release is None:
            raise NotFound("there is no release of this id")
        if officer.mandate is not None:
            require_scope(officer, release.partner, officer.mandate.kinds)
        return release.subject

    def _require_next(self, officer: Officer, said: FindingStep, rows: list[FindingRow]) -> None:
        """Raises `Conflict` for a step that does not follow, `RoleMissing` for somebody whose step it is not."""
        last = rows[-1] if rows else None
        if said.step == "find":
            if last is not None or said.before:
                raise Conflict("a finding of this id exists already")
            return
        if last is None:
            raise NotFound("there is no finding of this id")
        if said.before != last.sha256 or (said.about, said.severity) != (last.about, last.severity):
            raise Conflict("the finding has gone on since, or this is about something else")
        if last.step == "close" or (said.step == "close") != (last.step == "answer"):
            raise Conflict(f"the finding is {STATE[last.step]}")
        first = rows[0]
        if said.step == "answer" and ("operator" in officer.roles or officer.person == first.person):
            raise RoleMissing("a finding is answered by somebody else than its finder, and by no operator")
        body = officer.mandate.body if officer.mandate is not None else "internal"
        if said.step == "close" and (body != first.for_body or officer.person == last.person):
            raise RoleMissing(
                "a finding is closed by a reviewer of the body that found it, who did not answer it"
            )

    async def show(self, officer: Officer, params: Named) -> FindingView:
        """A finding with its texts and signatures; the read is an entry. A step that was erased is left out."""
        gateway = self._g
        rows = await gateway.store.read(lambda tx: _steps(tx, params.id))
        if not rows:
            raise NotFound("there is no finding of this id")
        await gateway.vault.unlock(
            await gateway.store.read(lambda tx: keys_of(tx, [row.key for row in rows]))
        )
        await note_read(gateway, officer, params.id, "finding", why=params.why)

        def opened(tx: ReadTx) -> FindingView:
            steps = []
            for row in rows:
                try:
                    body = gateway.vault.open(tx, row.body, FindingBody)
                except NotFound:
                    continue
                steps.append(ShownStep(_step(row), row.officer, row.at, body.document, body.endorsement))
            return FindingView(_item(rows), tuple(steps))

        return await gateway.store.read(opened)

    async def page(self, officer: Officer, params: Page) -> list[FindingItem]:
        """Findings by id, or those that are open, answered or closed. No text."""
        if params.state not in ("", *STATE.values()):
            raise RequestInvalid("a finding is open, answered or closed", diagnostic={"field": "state"})
        limit = limit_of(params.limit)

        def read(tx: ReadTx) -> list[FindingItem]:
            after = ("id", params.after) if params.after else None
            firsts = tx.select(FindingRow, {"number": 0}, at_least=after, order="id")
            items = (_item(_steps(tx, row.id)) for row in firsts if row.id != params.after)
            return [one for one in items if params.state in ("", one.state)][:limit]

        return await self._g.store.read(read)


def _steps(tx: ReadTx, finding: str) -> list[FindingRow]:
    return tx.select(FindingRow, {"id": finding}, order="number")


def _step(row: FindingRow) -> Step:
    step: Step = msgspec.convert(row.step, Step)
    return step


def _item(rows: list[FindingRow]) -> FindingItem:
    first, last = rows[0], rows[-1]
    return FindingItem(
        id=first.id,
        about=first.about,
        severity=msgspec.convert(first.severity, Severity),
        state=STATE[last.step],
        opened_by=first.officer,
        opened_at=first.at,
        last_at=last.at,
        last_sha256=last.sha256,
    )

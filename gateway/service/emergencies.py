"""Emergencies from the desk's side: confirmed by who approved orally, reviewed by a third person, and closed.

A release that left as an emergency is past the point where anybody could stop it. What follows is owed: until it is
done in its time, no further emergency leaves, here (`emergency.locked`) and at the signer, which keeps its own list.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
import structlog

from gateway.errors import Conflict, LocalFault, NotFound, PartnerFault, RequestInvalid, RoleMissing
from gateway.flow.recall import ATTEMPTED
from gateway.flow.typed import require_text
from gateway.model.officer import Officer
from gateway.model.request import Emergency
from gateway.model.rows import EmergencyRow, EndorsementRow, InformRow, KeyRow, ReleaseRow
from gateway.model.signing import Settlement
from gateway.ports import ReadTx, Tx
from gateway.service import calls
from gateway.service.calls.emergency import EmergencyItem, Informed, Reviewed, ReviewOutcome
from gateway.service.contents import EndorsementBody, ReleaseBody
from gateway.service.context import Gateway
from gateway.service.drafted import Shown
from gateway.service.invoked import late
from gateway.service.looks import look_again
from gateway.service.operation import DESK, Operation, limit_of
from gateway.service.releases import Releases
from gateway.service.signatures import keep
from gateway.service.signer.emergency import REVIEWERS
from gateway.service.vault import keys_of
from gateway.wire.endorse import Act, verify_endorsement

log = structlog.get_logger()

#: The act that a reviewer signs for each verdict.
ACT_OF: dict[str, Act] = {"upheld": "uphold", "not-upheld": "overrule"}


class Emergencies:
    """What is owed after an emergency."""

    def __init__(self, gateway: Gateway, releases: Releases) -> None:
        self._g, self._releases = gateway, releases

    def operations(self) -> dict[str, Operation]:
        """Of the desk's closed table."""
        return {
            "emergencies/list": Operation(calls.Page, DESK, self.waiting),
            "emergencies/confirm": Operation(calls.Endorsed, ("approver",), self.confirm, repeatable=True),
            "emergencies/review": Operation(Reviewed, REVIEWERS, self.review, repeatable=True),
            "emergencies/informed": Operation(
                Informed, ("requester", "approver"), self.informed, repeatable=True
            ),
        }

    # --- confirmation -------------------------------------------------------------------------------------------

    async def confirm(self, officer: Officer, params: calls.Endorsed) -> dict[str, str]:
        """The oral approver's own signature over the very statements that left. Late is late, and still owed.

        Raises `RoleMissing` for anybody else, `Conflict` for a release that nobody approved orally. Repeatable.
        """
        now = self._g.clock.now()
        shown = await self._signed(officer, params.endorsement, params.releases, "approve", now)

        def unit(tx: Tx) -> None:
            for one in shown:
                row = _row(tx, one.row.id)
                if not row.oral_approver:
                    raise Conflict("this emergency was not approved orally: two officers signed it")
                if row.oral_approver != officer.id:
                    raise RoleMissing("an emergency is confirmed by the officer who approved it orally")
                if row.confirmed_at is not None:
                    continue
                keep(self._g, tx, now, one.row, "approve", officer, params.endorsement)
                tx.put(_settled(msgspec.structs.replace(row, confirmed_at=now)))
                detail = {"act": "approve", "emergency": "confirmed"}
                self._g.ledger.record(tx, now, "endorsement", officer.id, row.release, detail)

        await self._g.store.write(unit)
        await self.tell_signer()
        return dict.fromkeys(params.releases, "confirmed")

    # --- review -------------------------------------------------------------------------------------------------

    async def review(self, officer: Officer, params: Reviewed) -> list[ReviewOutcome]:
        """A third person's verdict. What has not left is void by one that does not uphold; of the rest the answer
        says what can be recalled. Repeatable; what was upheld can still be found otherwise, by yet another person.

        Raises `RoleMissing` for who requested, approved or reviewed it, `Conflict` for one reviewed already,
        `RequestInvalid` for another verdict or no reason.
        """
        act = ACT_OF.get(params.verdict)
        if act is None:
            raise RequestInvalid("a verdict is upheld or not-upheld", diagnostic={"field": "verdict"})
        require_text("reason", params.reason)
        now = self._g.clock.now()
        shown = await self._signed(officer, params.endorsement, params.releases, act, now)
        detail = {"act": act, "emergency": params.verdict, "reason": params.reason}

        def unit(tx: Tx) -> list[ReviewOutcome]:
            for one in shown:
                row = _row(tx, one.row.id)
                if (row.reviewer, row.verdict) == (officer.id, params.verdict):
                    continue
                if row.verdict in ("not-upheld", params.verdict):
                    raise Conflict("this emergency was reviewed already")
                if "operator" in officer.roles or officer.person in self._persons(tx, row, one.row):
                    raise RoleMissing(
                        "an emergency is reviewed by somebody who had no part in it, and no operator"
                    )
                keep(self._g, tx, now, one.row, act, officer, params.endorsement)
                reviewed = msgspec.structs.replace(
                    row, reviewer=officer.id, verdict=params.verdict, reviewed_at=now
                )
                tx.put(_settled(reviewed))
                look_again(tx, one.row.handle)
                about = one.row.subject
                self._g.ledger.record(tx, now, "endorsement", officer.id, row.release, detail, about=about)
            return [_outcome(tx, one.row, params.verdict) for one in shown]

        outcomes = await self._g.store.write(unit)
        await self.tell_signer()
        self._g.wake()
        return outcomes

    def _persons(self, tx: ReadTx, row: EmergencyRow, release: ReleaseRow) -> set[str]:
        """Everybody who had a part: requester, who approved orally, and who signed."""
        oral = self._g.directory.officers.get(row.oral_approver)
        signed = {one.person for one in tx.select(EndorsementRow, {"release": row.release})}
        return signed | {release.person} | ({oral.person} if oral else set())

    async def _signed(
        self, officer: Officer, jws: str, releases: Sequence[str], act: Act, now: datetime
    ) -> list[Shown]:
        shown = await self._releases.show(releases)
        for one in shown:
            found = verify_endorsement(
                jws, self._g.directory.officers, act=act, statement=one.body.statement, now=now
            )
            if found.officer != officer.id:
                raise RoleMissing("the endorsement is another officer's than the caller's")
        await self._g.vault.reserve(2 * len(shown) + 2)
        return shown

    # --- duties -------------------------------------------------------------------------------------------------

    async def informed(self, officer: Officer, params: Informed) -> dict[str, str]:
        """Record that an originator whose consent was waived has been informed (LED art. 35(2)). Repeatable."""
        require_text("how", params.how)
        now = self._g.clock.now()
        await self._g.vault.reserve()

        def unit(tx: Tx) -> None:
            row = tx.get(InformRow, params.release, params.originator)
            if row is None:
                raise NotFound("no consent of this originator was waived for this release")
            if row.informed_at is None:
                tx.put(msgspec.structs.replace(row, informed_at=now, informed_by=officer.id))
                detail = {"act": "informed", "originator": params.originator, "how": params.how}
                release = tx.get(ReleaseRow, params.release)
                about = release.subject if release is not None else ""
                self._g.ledger.record(tx, now, "endorsement", officer.id, params.release, detail, about=about)

        await self._g.store.write(unit)
        return {params.originator: "informed"}

    async def waiting(self, officer: Officer, params: calls.Page) -> list[EmergencyItem]:
        """What waits: for a confirmation, a review, or an originator to be informed, here or at the signer; the oldest
        first. No content."""
        now, limit = self._g.clock.now(), limit_of(params.limit)
        signer = await self._g.signer.unsettled()

        def read(tx: ReadTx) -> list[EmergencyItem]:
            owed: dict[str, list[str]] = {}
            for inform in tx.select(InformRow, {"informed_at": None}):
                owed.setdefault(inform.release, []).append(inform.originator)
            waiting = {row.release: row for row in tx.select(EmergencyRow, {"settled": False})}
            there = {row.id for row in tx.select(ReleaseRow, {"message_id": signer})} if signer else set()
            rows = waiting | {release: _row(tx, release) for release in {*owed, *there} - waiting.keys()}
            ordered = sorted(rows.values(), key=lambda row: (row.at, row.release))[:limit]
            return [
                _item(tx, row, tuple(owed.get(row.release, ())), row.release in there, now) for row in ordered
            ]

        return await self._g.store.read(read)

    # --- the signer's own list ----------------------------------------------------------------------------------

    async def tell_signer(self) -> None:
        """Show the signer what was done about the messages it sealed with one signature. Repeatable.

        One by one: what the signer does not take (a key revoked since) goes on waiting there, and locks the path in its
        time, but holds up no other.
        """
        waiting = await self._g.signer.unsettled()
        if not waiting:
            return

        def rows(tx: ReadTx) -> tuple[list[ReleaseRow], list[KeyRow]]:
            found = [row for row in tx.select(ReleaseRow, {"message_id": waiting}) if _acted(tx, row.id)]
            return found, keys_of(tx, [row.key for row in found])

        releases, keys = await self._g.store.read(rows)
        await self._g.vault.unlock(keys)
        settlements = await self._g.store.read(
            lambda tx: [one for row in releases for one in self._settlements(tx, row)]
        )
        for one in settlements:
            try:
                await self._g.signer.settle([one])
            except (LocalFault, PartnerFault) as refusal:
                log.error("emergency.unsettled", message=one.message_id, code=refusal.code)

    def _settlements(self, tx: ReadTx, row: ReleaseRow) -> list[Settlement]:
        vault = self._g.vault
        statement = vault.open(tx, row.body, ReleaseBody).statement
        signed = {
            one.act: vault.open(tx, one.body, EndorsementBody).jws
            for one in tx.select(EndorsementRow, {"release": row.id})
        }
        found = []
        if "approve" in signed:
            found.append(Settlement(row.message_id, statement, confirmation=signed["approve"]))
        for act in ("uphold", "overrule"):
            if act in signed:
                found.append(Settlement(row.message_id, statement, review=signed[act], act=act))
        return found


def _acted(tx: ReadTx, release: str) -> bool:
    row = tx.get(EmergencyRow, release)
    return row is not None and (row.confirmed_at is not None or row.reviewed_at is not None)


def _row(tx: ReadTx, release: str) -> EmergencyRow:
    row = tx.get(EmergencyRow, release)
    if row is None:
        raise NotFound("this release did not leave as an emergency")
    return row


def _settled(row: EmergencyRow) -> EmergencyRow:
    """Done with when confirmed and reviewed; by a review that overrules too, which no confirmation could mend."""
    confirmed = row.confirm_by is None or row.confirmed_at is not None
    done = row.verdict == "not-upheld" or (row.verdict == "upheld" and confirmed)
    return msgspec.structs.replace(row, settled=done)


def _outcome(tx: ReadTx, row: ReleaseRow, verdict: str) -> ReviewOutcome:
    current = tx.get(ReleaseRow, row.id) or row
    recall = verdict == "not-upheld" and current.state in ATTEMPTED
    return ReviewOutcome(row.id, row.partner, row.message_id, verdict, recall)


def _item(
    tx: ReadTx, row: EmergencyRow, inform: tuple[str, ...], signer: bool, now: datetime
) -> EmergencyItem:
    release = tx.get(ReleaseRow, row.release)
    if release is None:
        raise NotFound("there is no release of this id")
    return EmergencyItem(
        release=row.release,
        partner=release.partner,
        message_id=release.message_id,
        message_state=release.state,
        requester=release.requester,
        oral_approver=row.oral_approver,
        waived=row.waived,
        at=row.at,
        state="overdue" if late(row, now) else "open",
        confirm_by=row.confirm_by,
        confirmed_at=row.confirmed_at,
        review_by=row.review_by,
        reviewed_at=row.reviewed_at,
        verdict=row.verdict,
        inform=inform,
        signer=signer,
    )


def claim(tx: ReadTx, body: ReleaseBody, row: ReleaseRow) -> Emergency | None:
    """The emergency a message left in: what it waived was never there to be withdrawn, unless a review did not uphold
    it."""
    kept = tx.get(EmergencyRow, row.id)
    return None if kept is None or kept.verdict == "not-upheld" else body.emergency

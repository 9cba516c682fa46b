"""Coded messages from the desk's side: kept as prepared, endorsed by one officer, queued; and the second looks at them.

What a type of them says, and when it may, is the matter of whoever prepares it: recalls and corrections, answers to
what a partner asked, agreements.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Literal

import msgspec

from gateway.errors import Conflict, LocalFault, NotFound, PartnerFault, RoleMissing
from gateway.flow.coded import PreparedCoded, recheck_coded
from gateway.flow.ground import require_second
from gateway.flow.lifecycle import step
from gateway.flow.outbound import Draft, Refused, Void, house
from gateway.model.decision import AgreementDocument, ReplyDocument
from gateway.model.message import MessageType
from gateway.model.officer import Officer
from gateway.model.rows import EndorsementRow, KeyRow, ReleaseRow, SubjectRow
from gateway.model.signing import AgreementEvidence, Announced, RecallEvidence, ReplyEvidence
from gateway.ports import ReadTx, Tx
from gateway.service import calls
from gateway.service.contents import CodedBody, EndorsementBody
from gateway.service.context import Gateway
from gateway.service.sightings import inherit_subject
from gateway.service.signatures import keep, signing
from gateway.service.slots import enqueue, entry_bytes
from gateway.service.vault import keys_of
from gateway.wire.endorse import verify_endorsement

#: What a signature under a coded message does: asks for it to go, or agrees as a second person.
SigningAct = Literal["request", "approve"]

#: States of a coded message in which another in its place makes sense: nothing of it will reach the partner.
ENDED = frozenset({"voided", "cancelled", "rejected", "withdrawn"})

#: What else belongs into the commit that queues a message, as of that transaction. Raises `Conflict` where it may not
#: go any more; returns the instant before which it does not leave, or None.
Queued = Callable[[Tx, ReleaseRow, CodedBody, datetime], datetime | None]

#: Who may sign second, after the person named. Raises `RoleMissing`.
Second = Callable[[Officer, str], None]


class About(msgspec.Struct, frozen=True):
    """Where a coded message goes, and what it is about."""

    partner: str
    type: MessageType
    entries: tuple[int, ...]  # where our log about the partner announced the messages it names
    handle: str = ""  # of the record, where it is about a release of ours
    subject: str = ""
    priority: int = 0  # of its lane


class Coded:
    """The way out of a coded message, up to its lane; and the second looks at it."""

    def __init__(self, gateway: Gateway) -> None:
        self._g = gateway

    # --- C1 -----------------------------------------------------------------------------------------------------

    def draft(self, conversation: str = "") -> Draft:
        """Fresh ids of a message, in a conversation of its own unless one is named."""
        ids = self._g.ids
        return Draft(
            release=ids.uuid(),
            message_id=ids.uuid(),
            conversation=conversation or ids.uuid(),
            mode=self._g.config.mode,
            nonce=ids.blind(),
        )

    def store(
        self, tx: Tx, now: datetime, officer: Officer, draft: Draft, prepared: PreparedCoded, about: About
    ) -> None:
        """Keep what was frozen, for its officer to endorse, with its entry. Two reserved data keys are used up."""
        key = self._g.vault.fresh(now)
        content = CodedBody(
            prepared.payload, prepared.document, prepared.statement, self._g.ids.blind(), about.entries
        )
        body = self._g.vault.seal(key, content)
        row = ReleaseRow(
            id=draft.release,
            state="awaiting-endorsement",
            partner=about.partner,
            conversation=draft.conversation,
            type=about.type,
            mode=draft.mode,
            message_id=draft.message_id,
            handle=about.handle,
            subject=about.subject,
            key=key.id,
            body=body.id,
            requester=officer.id,
            person=officer.person,
            created=now,
            not_after=prepared.not_after,
            priority=about.priority,
        )
        tx.insert(key.row, body, row)
        if about.subject:
            tx.insert(SubjectRow(about.subject, key.id))
            inherit_subject(self._g, tx, now, "release", row.id, key.id, about.subject)
        self._g.ledger.record(
            tx, now, "release", officer.id, draft.release, prepared.document, about=about.subject
        )

    # --- C2 and C3 in one ---------------------------------------------------------------------------------------

    async def endorse(
        self, officer: Officer, params: calls.Endorsed, types: Collection[str], queued: Queued
    ) -> dict[str, str]:
        """The officer's signature over the statements of coded messages of these types: each takes its place in its
        lane, with what else belongs there (``queued``) and its entry, in one commit; one that `takes_two` waits for
        the second person's instead.

        Raises `NotFound` for a release of another type, `RoleMissing` for another officer than the one who prepared
        it, `Conflict` where what it rests on has changed.
        """
        return await self._sign(officer, params, types, queued, "request")

    async def approve(
        self,
        officer: Officer,
        params: calls.Endorsed,
        types: Collection[str],
        queued: Queued,
        second: Second = require_second,
    ) -> dict[str, str]:
        """The second person's signature over the same statements: an approver unless ``second`` says otherwise, no
        operator, not the one who signed first. Raises as `endorse` does."""
        return await self._sign(officer, params, types, queued, "approve", second)

    async def _sign(
        self,
        officer: Officer,
        params: calls.Endorsed,
        types: Collection[str],
        queued: Queued,
        act: SigningAct,
        second: Second = require_second,
    ) -> dict[str, str]:
        now = self._g.clock.now()
        states = {}
        for release in params.releases:
            states[release] = await self._signed(
                officer, params.endorsement, release, now, types, queued, act, second
            )
        self._g.wake()
        return states

    async def _signed(
        self,
        officer: Officer,
        jws: str,
        release: str,
        now: datetime,
        types: Collection[str],
        queued: Queued,
        act: SigningAct,
        second: Second,
    ) -> str:
        """One signature. (1) It is the caller's own, of this act, over this statement; (2) the first is of who prepared
        it, the second of another person, an approver; (3) nothing it rests on has changed, the first signature among
        it; (4) it is kept, and the message waits for a second, or takes its place: one commit."""
        gateway = self._g

        def found(tx: ReadTx) -> tuple[ReleaseRow, list[KeyRow]]:
            row = tx.get(ReleaseRow, release)
            if row is None or row.type not in types:
                raise NotFound("there is no release of this id that is endorsed like this")
            return row, keys_of(tx, [row.key])

        row, keys = await gateway.store.read(found)
        await gateway.vault.unlock(keys)
        body = await gateway.store.read(lambda tx: gateway.vault.open(tx, row.body, CodedBody))
        # (1)
        signed = verify_endorsement(
            jws, gateway.directory.officers, act=act, statement=body.statement, now=now
        )
        # (2)
        if signed.officer != officer.id or (act == "request" and officer.id != row.requester):
            raise RoleMissing("a coded message is signed by the officer who prepared it")
        if act == "approve":
            second(officer, row.person)
        await gateway.vault.reserve()

        def unit(tx: Tx) -> str:
            current = tx.get(ReleaseRow, release)
            if current is None:
                raise NotFound("there is no release of this id")
            waits = act == "request" and takes_two(row.type, body)
            following = step(
                current.state, "endorse" if waits else "enqueue" if act == "request" else "approve"
            )
            # (3)
            changed = self._recheck(row.partner, body, now)
            if changed is not None or not self._in_force(tx, current, body, now):
                raise Conflict("what it rests on has changed since it was prepared: prepare it again")
            # (4)
            keep(gateway, tx, now, row, act, officer, jws)
            if waits:
                tx.put(msgspec.structs.replace(current, state=following))
            else:
                enqueue(tx, current, following, queued(tx, current, body, now))
            gateway.ledger.record(tx, now, "endorsement", officer.id, row.id, {"act": row.type})
            return following

        return await gateway.store.write(unit)

    # --- second looks -------------------------------------------------------------------------------------------

    def recheck(self, tx: ReadTx, row: ReleaseRow, body: CodedBody, now: datetime) -> Void | None:
        """Why a coded message may not go on, as of this transaction; None when it may.

        A suspended officer or a revoked key endorses nothing any more, whenever the signature was made: the second
        person's no more than the first's.
        """
        wanted = 2 if takes_two(row.type, body) else 1
        if len(signing(tx, row.id)) < wanted or not self._in_force(tx, row, body, now):
            return Void((house("endorsement.in-force"),))
        return self._recheck(row.partner, body, now)

    def _in_force(self, tx: ReadTx, row: ReleaseRow, body: CodedBody, now: datetime) -> bool:
        """Whether each signature there is so far still counts."""
        officers = self._g.directory.officers
        try:
            for act, kept in signing(tx, row.id):
                jws = self._g.vault.open(tx, kept.body, EndorsementBody).jws
                verify_endorsement(jws, officers, act=act, statement=body.statement, now=now)
        except (PartnerFault, LocalFault):
            return False
        return True

    def _recheck(self, partner: str, body: CodedBody, now: datetime) -> Void | None:
        directory = self._g.directory
        verdict = recheck_coded(
            body.statement,
            body.document,
            partner=directory.partners.get(partner),
            agreement=directory.agreements.get(partner),
            ours=self._g.org,
            now=now,
        )
        return verdict if isinstance(verdict, Void) else None

    def evidence(
        self, tx: ReadTx, row: ReleaseRow, body: CodedBody, partner: bytes, size: int
    ) -> RecallEvidence | ReplyEvidence | AgreementEvidence:
        """What the signer asks for: beside each endorsement, that our log about this partner, in the tree of ``size``,
        announced the messages that a recall or correction names, or the one that is answered."""
        if row.type == "agreement":
            tokens = tuple(
                self._g.vault.open(tx, kept.body, EndorsementBody).jws for _, kept in signing(tx, row.id)
            )
            return AgreementEvidence(body.statement, tokens, body.document, partner)
        ledger = self._g.ledger
        origin = ledger.of_partner(row.partner)
        announced = tuple(
            Announced(entry_bytes(tx, origin, index), index, ledger.inclusion(tx, origin, index, size))
            for index in body.entries
        )
        endorsement = self._endorsement(tx, row)
        if row.type in ("recall", "correction"):
            return RecallEvidence(body.statement, endorsement, body.document, partner, announced)
        return ReplyEvidence(body.statement, endorsement, body.document, partner, announced[0])

    def _endorsement(self, tx: ReadTx, row: ReleaseRow) -> str:
        kept = tx.get(EndorsementRow, row.id, "request")
        return self._g.vault.open(tx, kept.body, EndorsementBody).jws if kept is not None else ""


def takes_two(message_type: str, body: CodedBody) -> bool:
    """Whether a coded message takes a second person: a consent granted, which lets our data go further, and whatever
    of an agreement could widen what leaves."""
    if message_type == "agreement":
        return msgspec.json.decode(body.document, type=AgreementDocument).agreement.action != "revoked"
    if message_type != "consent-answer":
        return False
    return msgspec.json.decode(body.document, type=ReplyDocument).reply.consent == "granted"


def view(partner: str, draft: Draft, answer: PreparedCoded | Refused) -> calls.DecisionView:
    """A decision about a coded message, as people read it."""
    decision = answer.decision
    if isinstance(answer, Refused):
        return calls.DecisionView(partner, decision.effect, decision.reasons, ())
    return calls.DecisionView(
        partner=partner,
        effect=decision.effect,
        reasons=decision.reasons,
        fields=(),
        release=draft.release,
        message_id=draft.message_id,
        conversation=draft.conversation,
        statement=answer.statement,
        payload=answer.payload,
    )

"""Agreements that travel, from the desk's side: terms offered and signed by messages, and revocations, both ways.

What arrives waits in a list. Terms come into force as those on files do, by a change of two persons here, who see the
difference and a replay; only a revocation takes effect by itself, at once: it can only narrow.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway.errors import Conflict, NotFound, OutsideAgreement, RequestInvalid, RoleMissing
from gateway.flow.agreements import agreement_state
from gateway.flow.change import digest, require_change_role
from gateway.flow.offer import prepare_agreement
from gateway.flow.outbound import Refused
from gateway.flow.terms import require_sound
from gateway.flow.typed import require_text
from gateway.model.agreement import AgreementState, AgreementTerms, SignedAgreement
from gateway.model.case_rows import OfferRow, RevocationRow
from gateway.model.decision import AgreementDocument
from gateway.model.message import AgreementPart, ExchangeMessage, MessageType
from gateway.model.officer import Officer
from gateway.model.rows import DirectoryRow, InboxRow, KeyRow, ReleaseRow
from gateway.ports import ReadTx, Tx
from gateway.service import calls
from gateway.service.calls.agreements import OfferView, RevokeAgreement, SendAgreement
from gateway.service.coded import ENDED, About, Coded, view
from gateway.service.contents import CodedBody, InboundBody
from gateway.service.context import Gateway
from gateway.service.directory import AGREEMENT
from gateway.service.operation import SECURITY, Operation, limit_of
from gateway.service.recalls import PRIORITY
from gateway.service.vault import keys_of
from gateway.wire.agreement import read_terms
from gateway.wire.ct_json import CtJson
from gateway.wire.strict import b64url_decode

TYPE: MessageType = "agreement"


class Agreements:
    """The way out of a message about an agreement, and the list of those that travelled."""

    def __init__(self, gateway: Gateway) -> None:
        self._g, self._coded = gateway, Coded(gateway)

    def operations(self) -> dict[str, Operation]:
        """Whoever takes part in changes."""
        return {
            "agreements/offers": Operation(calls.Page, (*SECURITY, "reviewer"), self.page),
            "agreements/offered": Operation(calls.Named, SECURITY, self.offered),
            "agreements/send": Operation(SendAgreement, SECURITY, self.send, repeatable=True),
            "agreements/revoke": Operation(RevokeAgreement, SECURITY, self.revoke, repeatable=True),
            "agreements/endorse": Operation(calls.Endorsed, SECURITY, self.endorse, repeatable=True),
            "agreements/message": Operation(calls.Named, SECURITY, self.message),
            "agreements/approve": Operation(calls.Endorsed, SECURITY, self.approve, repeatable=True),
        }

    # --- the list -----------------------------------------------------------------------------------------------

    async def page(self, officer: Officer, params: calls.Page) -> list[OfferView]:
        """Terms that travelled, by direction, partner and digest; ``after`` is ``in/ORG/SHA256`` or ``out/…``."""
        limit = limit_of(params.limit)
        agreements = self._g.directory.agreements

        def read(tx: ReadTx) -> list[OfferView]:
            rows = sorted(tx.select(OfferRow), key=lambda row: (row.direction, row.partner, row.sha256))
            after = [row for row in rows if "/".join((row.direction, row.partner, row.sha256)) > params.after]
            return [_view(tx, row, agreements.get(row.partner)) for row in after[:limit]]

        return await self._g.store.read(read)

    async def offered(self, officer: Officer, params: calls.Named) -> SignedAgreement:
        """Terms that travelled, by their digest, with each signature that did: as they would lie in a file."""
        gateway = self._g

        def find(tx: ReadTx) -> tuple[list[InboxRow], list[ReleaseRow], list[KeyRow]]:
            rows = tx.select(OfferRow, {"sha256": params.id})
            if not rows:
                raise NotFound("no terms of this digest travelled")
            received = [
                tx.get(InboxRow, row.partner, row.message if row.direction == "in" else row.signed)
                for row in rows
            ]
            sent = [tx.get(ReleaseRow, row.signed_release or row.release) for row in rows]
            here, ours = [row for row in received if row], [row for row in sent if row]
            return here, ours, keys_of(tx, [row.key for row in here] + [row.key for row in ours])

        received, sent, keys = await gateway.store.read(find)
        await gateway.vault.unlock(keys)

        def parts(tx: ReadTx) -> list[tuple[str, AgreementPart | None]]:
            inbound = [
                (row.sender, gateway.vault.open(tx, row.body, InboundBody).payload) for row in received
            ]
            ours = [(gateway.org, gateway.vault.open(tx, row.body, CodedBody).payload) for row in sent]
            return [(org, CtJson().parse(payload).agreement) for org, payload in (*inbound, *ours)]

        found = [(org, part) for org, part in await gateway.store.read(parts) if part is not None]
        return SignedAgreement(found[0][1].terms, {org: part.signature for org, part in found})

    # --- C1 -----------------------------------------------------------------------------------------------------

    async def send(self, officer: Officer, params: SendAgreement) -> calls.DecisionView:
        """Decide, freeze and keep the message that carries terms and our signature under them; or keep the denial.

        (1) the terms are between us and a partner, every signature on them holds, and ours is there; (2) they have no
        fault; (3) with the partner's signature they answer its offer, without it they are one.
        """
        gateway, now = self._g, self._g.clock.now()
        require_change_role(officer)
        # (1)
        state = agreement_state(
            params.agreement,
            ours=gateway.org,
            our_keys=gateway.directory.founding.agreement_keys,
            partners=gateway.directory.partners,
            now=now,
        )
        if not state.signed_ours:
            raise RequestInvalid("our own signature under the terms is missing")
        # (2)
        require_sound(state.terms, gateway.kinds, gateway.levels)
        # (3)
        said = AgreementPart(
            action="signed" if state.signed_theirs else "offered",
            terms=params.agreement.terms,
            signature=params.agreement.signatures[gateway.org],
        )
        partner = next(party for party in state.terms.parties if party != gateway.org)
        return await self._prepare(officer, partner, said, state, params.justification)

    async def revoke(self, officer: Officer, params: RevokeAgreement) -> calls.DecisionView:
        """Decide, freeze and keep the message that revokes the agreement in force with this partner. Once it is
        endorsed nothing else leaves under that agreement, and it is out of force here for good."""
        require_change_role(officer)
        state = self._g.directory.agreement(params.partner)
        said = AgreementPart("revoked", terms_sha256=state.sha256)
        return await self._prepare(officer, params.partner, said, state, params.justification)

    async def _prepare(
        self, officer: Officer, org: str, said: AgreementPart, state: AgreementState, justification: str
    ) -> calls.DecisionView:
        gateway, now = self._g, self._g.clock.now()
        require_text("justification", justification)
        await gateway.vault.reserve(3)
        draft = self._coded.draft()

        def unit(tx: Tx) -> calls.DecisionView:
            prepared = prepare_agreement(
                said,
                state.terms if said.terms else None,
                draft,
                ours=gateway.org,
                requester=officer.id,
                partner=gateway.directory.partner(org),
                agreement=gateway.directory.agreements.get(org),
                language=gateway.config.language,
                justification=justification,
                asked=tx.get(OfferRow, "in", org, state.sha256) is not None,
                repeated=_said_already(tx, org, said, state.sha256),
                now=now,
            )
            if isinstance(prepared, Refused):
                detail = {"terms": state.sha256, "decision": msgspec.to_builtins(prepared.decision)}
                gateway.ledger.record(tx, now, "decision", officer.id, "", detail)
            else:
                about = About(org, TYPE, (), priority=PRIORITY if said.action == "revoked" else 0)
                self._coded.store(tx, now, officer, draft, prepared, about)
            return view(org, draft, prepared)

        return await gateway.store.write(unit)

    # --- C2 and C3 ----------------------------------------------------------------------------------------------

    async def endorse(self, officer: Officer, params: calls.Endorsed) -> dict[str, str]:
        """The signature of who prepared it: a revocation leaves, and is in force here; anything else waits for a second
        person's."""
        require_change_role(officer)
        states = await self._coded.endorse(officer, params, (TYPE,), self._queued)
        await self._g.reload_directory()
        return states

    async def approve(self, officer: Officer, params: calls.Endorsed) -> dict[str, str]:
        """The second person's signature over the same statement: the terms leave."""
        return await self._coded.approve(officer, params, (TYPE,), self._queued, _require_second)

    async def message(self, officer: Officer, params: calls.Named) -> calls.ReleaseView:
        """A message of ours about an agreement, for the second person to read and sign: its exact bytes, and why."""

        def find(tx: ReadTx) -> tuple[ReleaseRow, list[KeyRow]]:
            row = tx.get(ReleaseRow, params.id)
            if row is None or row.type != TYPE:
                raise NotFound("there is no message about an agreement of this release")
            return row, keys_of(tx, [row.key])

        row, keys = await self._g.store.read(find)
        await self._g.vault.unlock(keys)
        body = await self._g.store.read(lambda tx: self._g.vault.open(tx, row.body, CodedBody))
        document = msgspec.json.decode(body.document, type=AgreementDocument)
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

    def _queued(self, tx: Tx, row: ReleaseRow, body: CodedBody, now: datetime) -> None:
        said = msgspec.json.decode(body.document, type=AgreementDocument).agreement
        if said.action == "revoked":
            _end(tx, row.partner, said.terms_sha256, "out", row.message_id, now)
            return
        raw = b64url_decode(said.terms)
        terms, sha256 = read_terms(raw), digest(raw)
        if _said_already(tx, row.partner, said, sha256):
            raise Conflict("these terms are on their way or delivered already")
        if said.action == "offered":
            tx.put(_row("out", row.partner, sha256, terms, row.message_id, row.id, now))
            return
        offer = tx.get(OfferRow, "in", row.partner, sha256)
        if offer is None:
            raise NotFound("the offer is not here any more")
        tx.put(msgspec.structs.replace(offer, signed=row.message_id, signed_release=row.id, signed_at=now))


# --- the way in ------------------------------------------------------------------------------------------------------


def require_expected(tx: ReadTx, partner: str, said: AgreementPart, state: AgreementState) -> None:
    """Terms that a partner signed are some that we offered, and none are older than any that were in force here.

    Raises `OutsideAgreement`: an older version never comes back, not even into the list.
    """
    if said.action == "revoked":
        return
    if any(terms.version >= state.terms.version for terms, _ in _held(tx, state.terms.series)):
        raise OutsideAgreement("a version of this series that is not older was in force here")
    offer = tx.get(OfferRow, "out", partner, state.sha256)
    if said.action == "signed" and (offer is None or _gone(tx, offer.release)):
        raise OutsideAgreement("the terms signed are none that were offered")


def note_agreement(tx: Tx, message: ExchangeMessage, state: AgreementState, now: datetime) -> None:
    """Remember what an accepted message says of an agreement. Said again, it changes nothing."""
    said, sender, name = message.agreement, message.envelope.sender, message.envelope.message_id
    if said is None:
        return
    if said.action == "revoked":
        _end(tx, sender, state.sha256, "in", name, now)
        return
    direction = "in" if said.action == "offered" else "out"
    offer = tx.get(OfferRow, direction, sender, state.sha256)
    if direction == "in" and offer is None:
        tx.insert(_row("in", sender, state.sha256, state.terms, name, "", now))
    if direction == "out" and offer is not None and not offer.signed:
        tx.put(msgspec.structs.replace(offer, signed=name, signed_at=now))


# --- rows ------------------------------------------------------------------------------------------------------------


def _require_second(officer: Officer, person: str) -> None:
    require_change_role(officer)
    if officer.person == person:
        raise RoleMissing("the first person was you: another one signs")


def _row(
    direction: str,
    partner: str,
    sha256: str,
    terms: AgreementTerms,
    message: str,
    release: str,
    now: datetime,
) -> OfferRow:
    return OfferRow(direction, partner, sha256, terms.series, terms.version, message, release, now)


def _held(tx: ReadTx, series: str) -> list[tuple[AgreementTerms, DirectoryRow]]:
    """Every version of a series that was put in force here, or waits for its start."""
    rows = tx.select(DirectoryRow, {"kind": AGREEMENT, "id": series})
    return [(read_terms(_terms(row)), row) for row in rows]


def _terms(row: DirectoryRow) -> bytes:
    return b64url_decode(msgspec.json.decode(row.document, type=SignedAgreement).terms)


def _end(tx: Tx, partner: str, sha256: str, direction: str, message: str, now: datetime) -> None:
    """The series of these terms is out of force: a version that waits for its start as well."""
    current = tx.select(DirectoryRow, {"kind": AGREEMENT, "current": True})
    series = {row.id for row in current if digest(_terms(row)) == sha256}
    for row in current:
        if row.id in series:
            tx.put(RevocationRow(partner, digest(_terms(row)), direction, message, now))


def _gone(tx: ReadTx, release: str) -> bool:
    row = tx.get(ReleaseRow, release) if release else None
    return row is None or row.state in ENDED


def _said_already(tx: ReadTx, partner: str, said: AgreementPart, sha256: str) -> bool:
    """Whether the same may reach the partner already, or did."""
    if said.action == "revoked":
        return tx.get(RevocationRow, partner, sha256) is not None
    offer = tx.get(OfferRow, "out" if said.action == "offered" else "in", partner, sha256)
    if offer is None:
        return False
    return not _gone(tx, offer.release if said.action == "offered" else offer.signed_release)


def _view(tx: ReadTx, row: OfferRow, agreement: AgreementState | None) -> OfferView:
    release = tx.get(ReleaseRow, row.signed_release or row.release)
    state = "signed" if row.signed else "offered" if row.direction == "out" else "received"
    if agreement is not None and agreement.terms.series == row.series:
        if agreement.sha256 == row.sha256:
            state = "in-force"
        elif agreement.terms.version >= row.version:
            state = "overtaken"
    return OfferView(
        direction=row.direction,
        partner=row.partner,
        sha256=row.sha256,
        series=row.series,
        version=row.version,
        state=state,
        at=row.at,
        message=row.message,
        waits_for=release.state if release is not None else "",
        signed_at=row.signed_at,
    )

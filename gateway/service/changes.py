"""Two-person changes at the desk: draft, propose, approve, apply; and embargoes, which one person may place."""

from __future__ import annotations

import contextlib
from datetime import datetime

import msgspec

from gateway.errors import Conflict, LocalFault, NotFound, PartnerFault, RequestInvalid, RoleMissing
from gateway.flow.change import (
    canonical,
    decode_document,
    digest,
    narrows,
    read_change,
    require_certificates,
    require_change_role,
    require_people,
    verify_trust_change,
)
from gateway.flow.terms import require_sound
from gateway.model.agreement import SignedAgreement
from gateway.model.epoch import Epoch
from gateway.model.officer import Officer
from gateway.model.party import Partner
from gateway.model.rows import ChangeRow, DirectoryRow, EmbargoRow, RecordRow
from gateway.model.signing import Change, ChangeKind, TrustChange
from gateway.model.time import rfc3339
from gateway.policy.rules import load_policy
from gateway.ports import Tx
from gateway.service.context import Gateway
from gateway.service.directory import begins, versions_in_force
from gateway.service.imports import HANDLE, handle_of
from gateway.service.looks import look_again
from gateway.wire.agreement import read_terms
from gateway.wire.endorse import ChangeAct, verify_change
from gateway.wire.strict import b64url_decode

#: Changes the signer must apply to its own trust before ours; the others concern the desk alone.
SIGNER_KINDS = frozenset({"officer", "partner", "agreement", "agreement-revoke", "policy", "settings"})


class Changes:
    """What may leave is decided by documents; this changes the documents."""

    def __init__(self, gateway: Gateway) -> None:
        self._g = gateway

    def draft(self, officer: Officer, kind: ChangeKind, target: str, document: bytes) -> tuple[bytes, bytes]:
        """The statement to sign for this change, and the document in its one form. Nothing is stored."""
        require_change_role(officer)
        exact = _exact(kind, document)
        self._require_fit(kind, exact)
        change = Change(
            v=1,
            id=self._g.ids.uuid(),
            home=self._g.org,
            kind=kind,
            target=target,
            widening=not narrows(kind, self._before(kind, target), exact),
            before_sha256=self._before_sha256(kind, target),
            after_sha256=digest(exact),
            not_before=rfc3339(self._g.clock.now()),
            proposer=officer.id,
        )
        return canonical(change), exact

    async def propose(
        self, officer: Officer, statement: bytes, document: bytes, endorsement: str
    ) -> ChangeRow:
        """Store a proposal. One that only narrows is applied at once: the kill switch needs one person.

        Repeatable by its proposer, under a new signature over the same statement: what is stored already is returned,
        and a change that was cut short goes on.
        """
        gateway, now = self._g, self._g.clock.now()
        change = read_change(statement)
        require_change_role(officer)
        self._require_own(officer, statement, endorsement, "propose", now)
        if change.proposer != officer.id or change.home != gateway.org:
            raise RequestInvalid("the proposal must be signed by the caller, for this organisation")
        if change.after_sha256 != digest(document):
            raise RequestInvalid("the statement names another document than the one given")
        stored = await gateway.store.read(lambda tx: tx.get(ChangeRow, change.id))
        if stored is not None:
            return await self._again(stored, officer, statement, now)
        if _exact(change.kind, document) != document:
            raise RequestInvalid("the document is not in its one form")
        self._require_fit(change.kind, document)
        if change.before_sha256 != self._before_sha256(change.kind, change.target):
            raise Conflict("the change was made against a document that is no longer in force")
        row = ChangeRow(
            change.id,
            "proposed",
            change.kind,
            change.target,
            statement,
            document,
            (endorsement,),
            officer.id,
            now,
        )
        await gateway.vault.reserve()

        def unit(tx: Tx) -> None:
            tx.insert(row)
            gateway.ledger.record(
                tx, now, "change", officer.id, row.id, {"step": "propose", "kind": change.kind}
            )

        await gateway.store.write(unit)
        return await self._apply(row, officer.id, now) if self._narrows(row) else row

    async def _again(self, stored: ChangeRow, officer: Officer, statement: bytes, now: datetime) -> ChangeRow:
        """The same proposal once more, perhaps because its answer was lost."""
        if stored.statement != statement:
            raise Conflict("another change has this id")
        if stored.state == "rejected":
            raise Conflict("the change is rejected already")
        if stored.state == "applying":
            return await self._finish(stored, officer.id, now)
        if stored.state == "proposed" and self._narrows(stored):
            return await self._apply(stored, officer.id, now)
        return stored

    async def approve(self, officer: Officer, change_id: str, endorsement: str) -> ChangeRow:
        """The second person's signature; applies the change in the signer first, then here.

        Repeatable: a change that was cut short is ``applying``, and any security officer's own approval of it goes on
        from there; the signer recognises what it has applied.
        """
        now = self._g.clock.now()
        row = await self._g.store.read(lambda tx: tx.get(ChangeRow, change_id))
        if row is None:
            raise NotFound("there is no change of this id")
        if self.state_of(row) == "superseded":
            raise Conflict(
                "the change is superseded: it was made against a document that is no longer in force; propose it anew"
            )
        if row.state not in ("proposed", "applying"):
            raise Conflict(f"the change is {row.state} already")
        require_change_role(officer)
        self._require_own(officer, row.statement, endorsement, "approve", now)
        if row.state == "applying":
            return await self._finish(row, officer.id, now)
        complete = msgspec.structs.replace(row, endorsements=(row.endorsements[0], endorsement))
        return await self._apply(complete, officer.id, now)

    def state_of(self, row: ChangeRow) -> str:
        """As the row has it; ``superseded`` for a proposal against a document that is not in force (any more): nobody
        can approve it, and it can still be rejected."""
        if row.state != "proposed":
            return row.state
        before = read_change(row.statement).before_sha256
        return row.state if before == self._before_sha256(row.kind, row.target) else "superseded"

    async def reject(self, officer: Officer, change_id: str) -> None:
        """Close a proposal without applying it. One that is being applied cannot be closed: the signer may have it."""
        gateway, now = self._g, self._g.clock.now()
        require_change_role(officer)
        await gateway.vault.reserve()

        def unit(tx: Tx) -> None:
            row = tx.get(ChangeRow, change_id)
            if row is None or row.state != "proposed":
                raise NotFound("there is no open change of this id")
            tx.put(msgspec.structs.replace(row, state="rejected", decided_at=now))
            gateway.ledger.record(tx, now, "change", officer.id, change_id, {"step": "reject"})

        await gateway.store.write(unit)

    def _require_own(
        self, officer: Officer, statement: bytes, endorsement: str, act: ChangeAct, now: datetime
    ) -> None:
        """The endorsement is the caller's own, of this act: nobody hands in what another one signed."""
        found = verify_change(endorsement, self._g.directory.officers, statement=statement, now=now)
        if found.officer != officer.id:
            raise RoleMissing("the endorsement is another officer's than the caller's")
        if found.act != act:
            raise RoleMissing("the endorsement is of another act than this call")

    async def _apply(self, row: ChangeRow, actor: str, now: datetime) -> ChangeRow:
        """Carry out a proposal with all its endorsements.

        (1) they hold against the state in force; (2) ``applying`` is durable, endorsements and all, before the signer
        hears of it: from here the change can only go on, or come back refused; (3) `_finish`. What concerns the desk
        alone has one commit and needs no (2).
        """
        gateway = self._g
        # (1)
        verify_trust_change(
            row.statement,
            row.document,
            row.endorsements,
            home=gateway.org,
            officers=gateway.directory.officers,
            before_sha256=self._before_sha256(row.kind, row.target),
            narrowing=self._narrows(row),
            now=now,
        )
        # (2)
        if row.kind in SIGNER_KINDS:
            row = await self._move(row, "proposed", "applying", actor, now)
        # (3)
        return await self._finish(row, actor, now)

    async def _finish(self, row: ChangeRow, actor: str, now: datetime) -> ChangeRow:
        """The rest of a change whose endorsements were verified and stored: signer, then directory. Repeatable.

        Raises what the signer refuses with; the change is then a proposal again, since the signer does not have it.
        """
        gateway = self._g
        if row.kind in SIGNER_KINDS:
            try:
                await gateway.signer.change(TrustChange(row.statement, row.document, row.endorsements))
            except (LocalFault, PartnerFault):
                back = msgspec.structs.replace(row, endorsements=row.endorsements[:1])
                with contextlib.suppress(Conflict):  # another call moved it on meanwhile
                    await self._move(back, "applying", "proposed", actor, now)
                raise
        change = read_change(row.statement)
        await gateway.vault.reserve()
        applied = msgspec.structs.replace(row, state="applied", decided_at=now)

        def unit(tx: Tx) -> ChangeRow:
            stored = tx.get(ChangeRow, row.id)
            if stored is not None and stored.state == "applied":
                return stored  # by another call at the same time
            if stored is None or stored.state != row.state:
                raise Conflict("the change was decided meanwhile")
            tx.put(applied)
            if change.kind == "embargo-lift":
                self._lift(tx, change.target, now)
            else:
                self._install(tx, change, row.document, now)
            gateway.ledger.record(tx, now, "change", actor, row.id, {"step": "apply", "kind": change.kind})
            return applied

        done = await gateway.store.write(unit)
        await gateway.reload_directory()
        if change.kind == "partner":
            gateway.drop(change.target)  # it comes back if the new entry still lets it in
        gateway.wake()
        return done

    async def _move(self, row: ChangeRow, before: str, after: str, actor: str, now: datetime) -> ChangeRow:
        """Store the change with its endorsements in another state, with an entry. Raises `Conflict` unless it is in
        the state ``before``."""
        gateway = self._g
        await gateway.vault.reserve()
        moved = msgspec.structs.replace(row, state=after)

        def unit(tx: Tx) -> None:
            stored = tx.get(ChangeRow, row.id)
            if stored is None or stored.state != before:
                raise Conflict("the change was decided meanwhile")
            tx.put(moved)
            gateway.ledger.record(tx, now, "change", actor, row.id, {"step": after, "kind": row.kind})

        await gateway.store.write(unit)
        return moved

    def _require_fit(self, kind: str, document: bytes) -> None:
        """Refused already here, before anybody signs what can never be applied."""
        decoded = decode_document(kind, document)
        if isinstance(decoded, Epoch):
            raise RequestInvalid("an epoch of the logs is opened while no gateway runs: `ecluse epoch`")
        if isinstance(decoded, Officer):
            require_people(self._g.directory.officers, decoded)
        if isinstance(decoded, Partner) and not narrows(kind, self._before(kind, decoded.org), document):
            require_certificates(decoded)
        if kind == "agreement" and isinstance(decoded, SignedAgreement):
            self._require_sound(decoded)

    def _require_sound(self, agreement: SignedAgreement) -> None:
        """Terms with a fault are put in force by nobody: the first one is named, with its member and its rule. Nor is a
        version that is no newer than the one in force."""
        terms = read_terms(b64url_decode(agreement.terms))
        for state in self._g.directory.agreements.values():
            if state.terms.series == terms.series and state.terms.version >= terms.version:
                raise Conflict(
                    "an older version of an agreement never comes back",
                    diagnostic={"field": "version", "in_force": state.terms.version},
                )
        require_sound(terms, self._g.kinds, self._g.levels)

    def _narrows(self, row: ChangeRow) -> bool:
        return narrows(row.kind, self._before(row.kind, row.target), row.document)

    def _install(self, tx: Tx, change: Change, document: bytes, now: datetime) -> None:
        """The new document is current, and the ones before it are not; a version of an agreement that begins later
        leaves the one in force beside it until then, as the signer does."""
        kind = "agreement" if change.kind == "agreement-revoke" else change.kind
        versions = tx.select(DirectoryRow, {"kind": kind, "id": change.target})
        current = [version for version in versions if version.current]
        kept: list[DirectoryRow] = []
        if change.kind == "agreement" and begins(document) > now:
            kept, _ = versions_in_force(current, now)
        for version in current:
            if version not in kept:
                tx.put(msgspec.structs.replace(version, current=False))
        tx.insert(
            DirectoryRow(
                kind=kind,
                id=change.target,
                version=len(versions) + 1,
                current=change.kind != "agreement-revoke",
                document=document,
                sha256=digest(document),
                since=now,
                change=change.id,
            )
        )

    def _before(self, kind: str, target: str) -> Officer | Partner | None:
        if kind == "officer":
            return self._g.directory.officers.get(target)
        return self._g.directory.partners.get(target) if kind == "partner" else None

    def _before_sha256(self, kind: str, target: str) -> str:
        return self._g.directory.digests.get(
            f"{'agreement' if kind == 'agreement-revoke' else kind}/{target}", ""
        )

    # --- embargoes ----------------------------------------------------------------------------------------------

    async def embargo(self, officer: Officer, name: str, authority: bytes) -> dict[str, str]:
        """Place an embargo on a subject (TER art. 19): one person may, at once; lifting it takes two.

        ``name`` is a record's handle or an entity id; the record of an entity id may come later, and the answer names
        none until then. Raises `NotFound` for a handle without a record: it would protect nobody.
        """
        if not name.strip() or not authority.strip():
            raise RequestInvalid("an embargo names a subject and holds the authority's document")
        gateway, now = self._g, self._g.clock.now()
        index = (await gateway.signer.index([name.encode()]))[0]
        await gateway.vault.reserve()
        embargo = gateway.ids.uuid()

        def unit(tx: Tx) -> str:
            held = tx.select(RecordRow, {"handle": name, "latest": True})
            if not held and HANDLE.fullmatch(name):
                raise NotFound("there is no record of this handle")
            subject = held[0].subject if held else index
            row = EmbargoRow(embargo, subject, digest(authority), now, officer.id)
            tx.insert(row)
            look_again(tx, handle_of(subject))
            detail = {"step": "embargo", "authority": authority}
            gateway.ledger.record(tx, now, "change", officer.id, row.id, detail, about=subject)
            known = tx.select(RecordRow, {"subject": subject, "latest": True}, limit=1)
            return known[0].handle if known else ""

        return {"embargo": embargo, "record": await gateway.store.write(unit)}

    def _lift(self, tx: Tx, embargo: str, now: datetime) -> None:
        row = tx.get(EmbargoRow, embargo)
        if row is None or row.lifted_at is not None:
            raise NotFound("there is no embargo of this id in force")
        tx.put(msgspec.structs.replace(row, lifted_at=now))
        look_again(tx, handle_of(row.subject))


def _exact(kind: str, document: bytes) -> bytes:
    """The document in its one form (RFC 8785). Raises a `LocalFault` for one that its kind cannot load."""
    decoded = decode_document(kind, document)
    if not isinstance(decoded, bytes):
        return canonical(decoded)
    try:
        if kind == "policy":
            load_policy(document)
            return canonical(msgspec.json.decode(document))
        if kind == "embargo-lift":
            return canonical(msgspec.json.decode(document, type=dict[str, str]))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise RequestInvalid(f"the {kind} document does not follow its schema") from None
    raise RequestInvalid("there is no change of this kind")

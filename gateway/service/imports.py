"""Records in: a file that a named officer hands over becomes labelled, encrypted record versions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from gateway.errors import ConfigInvalid, RecordInvalid, RequestInvalid
from gateway.flow.change import canonical
from gateway.flow.finding import people_in
from gateway.model.case_rows import ErasureRow
from gateway.model.officer import Officer
from gateway.model.record import CanonicalRecord
from gateway.model.rows import BodyRow, KeyRow, RecordRow, ReleaseRow, RemovalRow, SubjectRow
from gateway.policy.facts.record import CLOCK_SKEW_S
from gateway.ports import ReadTx, RecordAdapter, Tx
from gateway.service.calls import BadLine, Imported
from gateway.service.contents import RecordBody
from gateway.service.context import Gateway
from gateway.service.held_back import hold_on
from gateway.service.looks import look_again
from gateway.service.mentions import mentions
from gateway.service.sightings import blinded, forget, note

#: Stands for "whenever" in a fingerprint.
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: How far ahead of our clock an extract may say that it was made: as far as a decision still finds it an age.
MAX_SKEW = timedelta(seconds=CLOCK_SKEW_S)

#: Makes the adapter of one kind: our organisation id, and the officer who hands the file over.
AdapterFactory = Callable[[str, str], RecordAdapter]

#: Regime of kinds that are published anew as a whole: an entry that stays as it is needs no version.
PUBLIC_LIST = "public-list"

#: Bytes of the blind index that a handle shows: 64 bits, enough to name a record and too few to guess a person.
HANDLE_HEX = 16

#: What looks like a record's handle, and so is never taken for an entity id; and a blind index.
HANDLE = re.compile(rf"r-[0-9a-f]{{{HANDLE_HEX}}}")
INDEX = re.compile(r"[0-9a-f]{64}")


class Imports:
    """Imports extracts. Repeating an import changes nothing."""

    def __init__(self, gateway: Gateway, adapters: dict[str, AdapterFactory]) -> None:
        self._g, self._adapters = gateway, adapters

    async def lines(self, officer: Officer, kind: str, raw: bytes, first_line: int) -> Imported:
        """Import some whole lines of an extract: good ones land in one commit, bad ones are reported.

        A kind without its version means the newest one an adapter reads; one that comes as several lists or file types
        is named with it (``sanctions-entry/1.0/un``, ``information-note/1.0/eml``), and of a list ``first_line`` counts
        entries. Raises `RequestInvalid` when no
        adapter reads it, and what `store` raises.
        """
        whole = (
            name for name in self._adapters if name.count("/") == 1 and f"{name}/".startswith(f"{kind}/")
        )
        known = kind if kind in self._adapters else max(whole, default="")
        if not known:
            raise RequestInvalid("no adapter reads this kind", diagnostic={"field": "kind"})
        factory = self._adapters[known]
        kind = "/".join(known.split("/")[:2])
        records: list[CanonicalRecord] = []
        bad: list[BadLine] = []
        for item in factory(self._g.org, officer.id).read(raw):
            if isinstance(item, RecordInvalid):
                bad.append(BadLine((item.line or 1) + first_line - 1, item.pointer, item.rule, item.detail))
            elif isinstance(item, CanonicalRecord):
                records.append(item)
        counts = await self.store(officer, kind, records)
        return msgspec.structs.replace(counts, bad=tuple(bad))

    async def store(
        self,
        officer: Officer,
        kind: str,
        records: list[CanonicalRecord],
        because: Mapping[str, object] | None = None,
    ) -> Imported:
        """Store records as versions in one commit; one that adds nothing makes none.

        An entry of a public list that stays as it is keeps its version, and its time in the house begins anew.
        ``because`` goes into the audit entry. Raises `RecordInvalid` when one was made in the future: none lands.
        """
        gateway, now = self._g, self._g.clock.now()
        for record in records:
            require_made(record.extracted_at, now)
        renewed = gateway.kinds[kind].regime == PUBLIC_LIST
        raws = [canonical(record) for record in records]
        subjects = await gateway.signer.index([record.entity_id.encode() for record in records])
        prints = await gateway.signer.index([_fingerprint(record) for record in records])
        others = [await self._index(mentions(record)) for record in records]
        sighted = await blinded(gateway.signer, [people_in(record) for record in records])
        await gateway.vault.reserve(len(records) + 4)

        def unit(tx: Tx) -> Imported:
            new = changed = unchanged = unlabelled = erased = 0
            gone = {name for row in tx.select(ErasureRow, {"state": "done"}) for name in row.handles}
            every = zip(records, raws, subjects, prints, others, sighted, strict=True)
            for record, raw, subject, fingerprint, about, people in every:
                handle = handle_of(subject)
                before = tx.select(RecordRow, {"handle": handle, "latest": True})
                unlabelled += any(label.label is None for label in record.labels)
                if before and before[0].subject != subject:
                    raise ConfigInvalid("two records share a handle")
                if before and _adds_nothing(before[0], record, fingerprint, renewed=renewed):
                    unchanged += 1
                    if renewed:
                        at = max(before[0].extracted_at, record.extracted_at)
                        tx.put(msgspec.structs.replace(before[0], extracted_at=at, imported_at=now))
                    continue
                if not before and tx.get(RemovalRow, handle, fingerprint) is not None:
                    unchanged += 1  # deleted for cause, and nothing else is said now
                    continue
                if handle in gone:
                    erased += 1  # on an order, and no extract brings it back
                    continue
                key = gateway.vault.fresh(now)
                body = gateway.vault.seal(key, RecordBody(raw))
                version = before[0].version + 1 if before else 1
                if before:
                    tx.put(msgspec.structs.replace(before[0], latest=False))
                    changed += 1
                else:
                    new += 1  # or known before, and purged since
                if not before or before[0].fingerprint != fingerprint:
                    look_again(tx, handle)
                row = RecordRow(
                    handle=handle,
                    version=version,
                    latest=True,
                    kind=kind,
                    subject=subject,
                    fingerprint=fingerprint,
                    key=key.id,
                    body=body.id,
                    extracted_at=record.extracted_at,
                    imported_at=now,
                )
                tx.insert(key.row, body, *(SubjectRow(one, key.id) for one in (subject, *about)), row)
                note(gateway, tx, now, "record", f"{handle}/{version}", key.id, people)
            if new or changed:
                detail = {"kind": kind, "new": new, "changed": changed, **(because or {})}
                gateway.ledger.record(tx, now, "import", officer.id, "", detail)
            return Imported(new, changed, unchanged, unlabelled, (), erased)

        return await gateway.store.write(unit)

    async def _index(self, ids: tuple[str, ...]) -> list[str]:
        return await self._g.signer.index([name.encode() for name in ids]) if ids else []

    async def purge(self, officer: str) -> dict[str, int]:
        """Destroy imported records older than ``intake_ttl`` that no release rests on: how many versions, and how many
        a legal hold keeps."""
        gateway, now = self._g, self._g.clock.now()
        before = now - timedelta(days=gateway.config.intake_ttl_days)
        await gateway.vault.reserve()

        def unit(tx: Tx) -> dict[str, int]:
            old = [row for row in tx.select(RecordRow) if row.imported_at < before]
            unused = [row for row in old if not _in_use(tx, row)]
            doomed = [row for row in unused if not hold_on(tx, _about(tx, row))]
            for row in doomed:
                destroy(tx, row)
            if doomed:
                gateway.ledger.record(tx, now, "import", officer, "", {"purged": len(doomed)})
            return {"purged": len(doomed), "held": len(unused) - len(doomed)}

        return await gateway.store.write(unit)


def require_made(at: datetime, now: datetime) -> None:
    """What was made later than now would keep every later extract out, since the newest counts.

    Raises `RecordInvalid` beyond `MAX_SKEW`.
    """
    if at > now + MAX_SKEW:
        raise RecordInvalid(
            "the extract or list says that it was made in the future",
            pointer="/extracted_at",
            rule="extract.future",
        )


def _adds_nothing(
    before: RecordRow, record: CanonicalRecord, fingerprint: str, *, renewed: bool = False
) -> bool:
    """The same content again, or an older extract, which never replaces a newer one.

    A newer extract with the same content is a version, since decisions rest on its age; a newer list is not.
    """
    if before.extracted_at == record.extracted_at or (renewed and before.extracted_at < record.extracted_at):
        return before.fingerprint == fingerprint
    return before.extracted_at > record.extracted_at


def _about(tx: ReadTx, row: RecordRow) -> set[str]:
    """Whom a version is about or mentions."""
    return {row.subject, *(one.subject for one in tx.select(SubjectRow, {"key": row.key}))}


def destroy(tx: Tx, row: RecordRow) -> None:
    """One version, with its content and the key of it."""
    tx.delete(RecordRow, {"handle": row.handle, "version": row.version})
    tx.delete(BodyRow, {"id": row.body})
    tx.delete(SubjectRow, {"key": row.key})
    forget(tx, [row.key], "purged")
    tx.delete(KeyRow, {"id": row.key})


def handle_of(name: str) -> str:
    """The handle that a blind index has, or the name itself if it is a handle; empty for anything else."""
    if HANDLE.fullmatch(name):
        return name
    return "r-" + name[:HANDLE_HEX] if INDEX.fullmatch(name) else ""


def _in_use(tx: ReadTx, row: RecordRow) -> bool:
    """A release that has not ended rests on this record."""
    open_states = ("awaiting-endorsement", "awaiting-approval", "queued", "sequenced", "sealed", "attempted")
    return tx.count(ReleaseRow, {"handle": row.handle, "state": open_states}) > 0


def _fingerprint(record: CanonicalRecord) -> bytes:
    """What makes a version: content and labels, not when or by whom the file was handed over."""
    return canonical(msgspec.structs.replace(record, handed_over_by="", extracted_at=_EPOCH))

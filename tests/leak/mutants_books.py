"""Leaks in what is kept and said about a message: logs, receipts, and what our own people see."""

from __future__ import annotations

import hashlib
import uuid
from datetime import timedelta
from typing import Any

import msgspec
import structlog
from prometheus_client import Gauge

from adapters.lines import LabelledLines
from gateway.errors import NotFound, RecordInvalid, UnknownPartner
from gateway.flow.outbound import Prepared
from gateway.model.rows import EmbargoRow, RecordRow
from gateway.service import imports, intake, ops, releases
from gateway.service.ledger import Ledger
from tests.leak.planting import Mutant, Plant
from tests.leak.worlds import FR

log = structlog.get_logger()

Releases, Intake = releases.Releases, intake.Intake


# --- logs and receipts -----------------------------------------------------------------------------------------------


def denial_in_the_partners_log(into: Plant) -> None:
    def make(original: Any) -> Any:
        def record(self: Any, tx: Any, now: Any, event: str, *rest: Any, **more: Any) -> None:
            original(self, tx, now, event, *rest, **more)
            if event == "decision":
                self.append(
                    tx, self.of_partner(FR), [msgspec.json.encode({"at": str(now), "event": "denied"})]
                )

        return record

    into.swap(Ledger, "record", make)


def size_of_the_master_log(into: Plant) -> None:
    """The partner's log is filled up to the size of the master log before a message gets its entry."""

    def make(original: Any) -> Any:
        def announce(self: Any, tx: Any, now: Any, partner: str, crossings: Any) -> int:
            missing = self.size(tx, self.master) - self.size(tx, self.of_partner(partner))
            if missing > 0 and self.org != FR:
                self.append(tx, self.of_partner(partner), [b"{}"] * missing)
            place: int = original(self, tx, now, partner, crossings)
            return place

        return announce

    into.swap(Ledger, "announce", make)


def entry_blind_from_the_record(into: Plant) -> None:
    """Blinds are not random: they follow from the record behind the payload."""

    def make(original: Any) -> Any:
        def announce(self: Any, tx: Any, now: Any, partner: str, crossings: Any) -> int:
            ids, secret = self._ids, sum(into.secret(one.payload) for one in crossings)
            if secret:
                self._ids = _Blinds(ids, hashlib.sha256(str(secret).encode()).digest())
            place: int = original(self, tx, now, partner, crossings)
            self._ids = ids
            return place

        return announce

    into.swap(Ledger, "announce", make)


class _Blinds:
    def __init__(self, ids: Any, blind: bytes) -> None:
        self.uuid, self._blind = ids.uuid, blind

    def blind(self) -> bytes:
        return self._blind


def one_salt_for_all(into: Plant) -> None:
    """Commitments to bodies under a salt that the partner can know: a payload can be guessed from a proof."""

    def make(original: Any) -> Any:
        def store(self: Any, *given: Any) -> Any:
            ids, self._g.ids = self._g.ids, _Blinds(self._g.ids, b"\0" * 32)
            try:
                return original(self, *given)
            finally:
                self._g.ids = ids

        return store

    into.swap(Releases, "_store", make)


def one_blind_for_all(into: Plant) -> None:
    into.swap(
        Ledger,
        "announce",
        lambda original: lambda self, *args, **given: _with_blinds(self, original, *args, **given),
    )


def _with_blinds(self: Any, original: Any, *args: Any, **given: Any) -> int:
    ids, self._ids = self._ids, _Blinds(self._ids, b"\1" * 32)
    place: int = original(self, *args, **given)
    self._ids = ids
    return place


def _embargoes(self: Any) -> Any:
    return self._g.store.read(lambda tx: tx.count(EmbargoRow))


def refusal_when_embargoed(into: Plant) -> None:
    """What the partner sends is refused while somebody is under embargo here."""

    def make(original: Any) -> Any:
        def one(self: Any, tx: Any, partner: Any, arrived: Any, verdict: Any, *given: Any) -> Any:
            if self._g.org != FR and tx.count(EmbargoRow) % 2:
                verdict = UnknownPartner("a matter under embargo", code="outside-agreement")
            return original(self, tx, partner, arrived, verdict, *given)

        return one

    into.swap(Intake, "_one", make)


def receipt_dated_by_holdings(into: Plant) -> None:
    def make(original: Any) -> Any:
        async def commit(self: Any, partner: Any, arrived: Any, verdicts: Any, now: Any) -> Any:
            held = await self._g.store.read(lambda tx: tx.count(RecordRow)) if self._g.org != FR else 0
            return await original(self, partner, arrived, verdicts, now - timedelta(seconds=held % 60))

        return commit

    into.swap(Intake, "_commit", make)


def receipt_named_by_holdings(into: Plant) -> None:
    def make(original: Any) -> Any:
        async def commit(self: Any, *args: Any) -> Any:
            held = await self._g.store.read(lambda tx: tx.count(RecordRow))
            ids = self._g.ids
            if self._g.org != FR:
                self._g.ids = _Shifted(ids, held)
            try:
                return await original(self, *args)
            finally:
                self._g.ids = ids

        return commit

    into.swap(Intake, "_commit", make)


class _Shifted:
    """Ids that are random, and other ones for another number."""

    def __init__(self, ids: Any, number: int) -> None:
        self._ids, self._number = ids, number
        self.blind = ids.blind

    def uuid(self) -> str:
        return str(
            uuid.UUID(
                bytes=hashlib.sha256(f"{self._ids.uuid()}/{self._number}".encode()).digest()[:16], version=4
            )
        )


def answer_about_unknown_ids(into: Plant) -> None:
    """Who asks for a receipt of something never sent learns whether somebody is under embargo."""

    def make(original: Any) -> Any:
        async def receipt(self: Any, org: str, message_id: str) -> Any:
            found = await original(self, org, message_id)
            if found is None and self._g.org != FR and await _embargoes(self) % 2:
                raise UnknownPartner("not for you")
            return found

        return receipt

    into.swap(Intake, "receipt", make)


# --- what our own people see -----------------------------------------------------------------------------------------


def _name_of(record: Any) -> str:
    name = record.content["names"][0]
    return str(next(name[part] for part in ("family", "text", "given") if part in name))


def _logged(form: Any, event: str = "release.prepared") -> Any:
    """A value in a log line, in some form."""

    def plant(into: Plant) -> None:
        def make(original: Any) -> Any:
            async def record(self: Any, name: str) -> Any:
                row, found = await original(self, name)
                log.info(event, note=form(_name_of(found)))
                return row, found

            return record

        into.swap(Releases, "record", make)

    return plant


def error_that_quotes(into: Plant) -> None:
    def make(original: Any) -> Any:
        async def record(self: Any, name: str) -> Any:
            try:
                return await original(self, name)
            except NotFound:
                raise NotFound(f"there is no record {name}") from None

        return record

    into.swap(Releases, "record", make)


def diagnostic_that_quotes(into: Plant) -> None:
    """The problem document of a bad line names the line's value."""

    def make(original: Any) -> Any:
        def outcome(self: Any, raw: bytes, start: int, end: int, accepted: Any) -> Any:
            found = original(self, raw, start, end, accepted)
            if isinstance(found, RecordInvalid):
                return RecordInvalid(found.detail, pointer=raw[start:end].decode()[:2000], rule=found.rule)
            return found

        return outcome

    into.swap(LabelledLines, "_outcome", make)


def metric_with_a_name(into: Plant) -> None:
    seen: list[str] = []

    def remember(original: Any) -> Any:
        def stored(record: Any) -> Any:
            seen.append(_name_of(record))
            return original(record)

        return stored

    def make(original: Any) -> Any:
        def render(registry: Any) -> Any:
            gauge = Gauge("ecluse_last_import", "whom", ["person"], registry=registry)
            gauge.labels(seen[-1] if seen else "").set(1)
            return original(registry)

        return render

    into.swap(imports, "_fingerprint", remember)
    into.swap(ops, "generate_latest", make)


def name_in_a_stored_row(into: Plant) -> None:
    """The identifier of a stored row tells whom it is about."""

    def make(original: Any) -> Any:
        def store(self: Any, tx: Any, *given: Any) -> Any:
            release = original(self, tx, *given)
            prepared = next(one for one in given if isinstance(one, Prepared))
            name = _name_of(into.records[hashlib.sha256(prepared.payload).hexdigest()])
            tx.put(msgspec.structs.replace(release, reason=f"case {name}"))
            return release

        return store

    into.swap(Releases, "_store", make)


MUTANTS: tuple[Mutant, ...] = (
    Mutant("denial-in-the-partners-log", "log", denial_in_the_partners_log),
    Mutant("size-of-the-master-log", "log", size_of_the_master_log),
    Mutant("entry-blind-from-the-record", "log", entry_blind_from_the_record),
    Mutant("one-salt-for-all", "log", one_salt_for_all),
    Mutant("one-blind-for-all", "log", one_blind_for_all),
    Mutant("refusal-when-embargoed", "receipt", refusal_when_embargoed),
    Mutant("receipt-dated-by-holdings", "receipt", receipt_dated_by_holdings),
    Mutant("receipt-named-by-holdings", "receipt", receipt_named_by_holdings),
    Mutant("answer-about-unknown-ids", "receipt", answer_about_unknown_ids),
    Mutant("name-in-the-log", "operators", _logged(str)),
    Mutant("name-in-the-log-in-capitals", "operators", _logged(str.upper)),
    Mutant("name-in-the-log-backwards", "operators", _logged(lambda name: name[::-1])),
    Mutant("hash-in-the-log", "operators", _logged(lambda name: hashlib.sha256(name.encode()).hexdigest())),
    Mutant("hex-in-the-log", "operators", _logged(lambda name: name.encode().hex())),
    Mutant("error-that-quotes", "operators", error_that_quotes),
    Mutant("diagnostic-that-quotes", "operators", diagnostic_that_quotes),
    Mutant("metric-with-a-name", "operators", metric_with_a_name),
    Mutant("name-in-a-stored-row", "operators", name_in_a_stored_row),
)

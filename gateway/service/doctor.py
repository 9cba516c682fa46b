"""One look over a home for whoever runs it: what needs a hand, in counts and ids alone.

Reads the home's files and its store beside a running gateway or without one, changes nothing, asks nobody. Whether the
logs hold from their first entry says `audit verify`; here they are held against the signer's word and the clock.
"""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal, TypeVar
from zoneinfo import ZoneInfo

import msgspec
from cryptography import x509

from gateway.audit.checkpoint import partner_origin
from gateway.audit.witness import TIME_BYTES, witness_name
from gateway.errors import ConfigInvalid
from gateway.model.case_rows import OralRow
from gateway.model.epoch import ReconciledRow
from gateway.model.party import KeyRecord, Partner
from gateway.model.rows import (
    CosignatureRow,
    DirectoryRow,
    EmergencyRow,
    InformRow,
    LaneRow,
    LogRow,
    MetaRow,
    NoticeRow,
    QuarantineRow,
    ReleaseRow,
    RequestRow,
    StampRow,
)
from gateway.model.time import parse_rfc3339
from gateway.ports import ReadTx
from gateway.service.config import LoadedConfig
from gateway.service.epochs import declarations
from gateway.service.home import Home
from gateway.service.log_source import signer_heads
from gateway.service.reconciling import last_loss
from gateway.service.revocation import standing
from gateway.service.signer.keks import TURN, Generation
from gateway.service.stamps import unseen_since
from gateway.service.years import answered_at, fate

T = TypeVar("T")

#: Days before the end of a key or certificate from which on it is a finding: a partner's two officers need some.
ENDS_SOON: Final = timedelta(days=30)
#: Free space below which a disk is a finding: a day of full batches, and a backup beside it.
FREE_BYTES: Final = 5 * 1024**3
#: Seconds after which a gateway without a heartbeat is taken for not running.
BEAT_S: Final = 10
#: A clock that differs by more from a partner's makes seals and receipts fail (protocol §17).
SKEW: Final = timedelta(seconds=300)
#: Days for which something that was not accepted is a finding.
QUARANTINED: Final = timedelta(days=7)
#: Ids that a finding lists.
LISTED: Final = 20

#: Bytes of a key's id in a note (C2SP signed-note).
KEY_ID_BYTES: Final = 4

State = Literal["well", "finding", "broken"]


class Check(msgspec.Struct, frozen=True):
    """What one look found: how many, and the first ids. ``broken``: the proof is, and the gateway does not start."""

    name: str
    state: State
    count: int = 0
    ids: tuple[str, ...] = ()
    detail: str = ""


class Doctor:
    """The looks, each over one thing. ``tx`` is one view of the store."""

    def __init__(self, home: Home, loaded: LoadedConfig, tx: ReadTx, now: datetime) -> None:
        self._home, self._config, self._sha256 = home, loaded.config, loaded.sha256
        self._tx, self._now, self._org = tx, now, loaded.config.organisation.id

    def look(self) -> Iterator[Check]:
        """Every check, in the order of a screen. Raises `AuditBroken` for a store or a file that cannot be read."""
        yield Check("configuration", "well", detail=self._sha256)
        yield self._running()
        yield self._keys()
        yield self._certificates()
        yield self._lists()
        yield self._wrapping()
        yield self._heads()
        yield from self._unseen()
        yield self._stamps()
        yield self._epochs()
        yield self._reconciled()
        yield self._skew()
        yield self._lanes()
        yield self._quarantine()
        yield from self._overdue()
        yield self._disk()

    # --- the process, its files -----------------------------------------------------------------------------------

    def _running(self) -> Check:
        beat = self._tx.get(MetaRow, "heartbeat")
        alive = beat is not None and self._now - parse_rfc3339(beat.value) < timedelta(seconds=BEAT_S)
        return Check("gateway", "well", detail="running" if alive else "not running")

    def _keys(self) -> Check:
        records = _document(self._home.signer / "public.json", tuple[KeyRecord, ...])
        ending = [
            one.kid
            for one in records
            if not one.revoked and one.not_after is not None and one.not_after - self._now < ENDS_SOON
        ]
        return _found("keys", ending)

    def _certificates(self) -> Check:
        ending = []
        for path in sorted(self._home.tls.glob("*.pem")):
            try:
                found = x509.load_pem_x509_certificates(_read(path))
            except ValueError:
                raise ConfigInvalid("a certificate cannot be read", diagnostic={"file": path.name}) from None
            ending += [
                path.stem
                for one in found
                if one.not_valid_after_utc - self._now < ENDS_SOON and path.stem not in ending
            ]
        return _found("certificates", ending)

    def _lists(self) -> Check:
        """Revocation lists of partners' authorities that are late: in their grace they count, after it nobody does."""
        grace, late = timedelta(seconds=self._config.revocation.crl_grace_s), []
        for path in sorted((self._home.tls / "partners").glob("*.crl")):
            try:
                due = x509.load_pem_x509_crl(_read(path)).next_update_utc
            except ValueError:
                due = None
            if due is None or standing(due, self._now, grace) != "current":
                late.append(path.stem)
        return _found("revocation-lists", late)

    def _wrapping(self) -> Check:
        """The newest wrapping key: one that did not turn keeps what was erased readable in older backups."""
        kept = _document(self._home.signer / "keks.json", tuple[Generation, ...])
        age = self._now - kept[-1].made_at if kept else timedelta.max
        state: State = "finding" if age > 2 * TURN else "well"
        return Check("wrapping-keys", state, len(kept), detail=f"newest {age.days} days old")

    def _disk(self) -> Check:
        free = shutil.disk_usage(self._home.path).free
        state: State = "finding" if free < FREE_BYTES else "well"
        return Check("disk", state, detail=f"{free // 1024**2} MiB free")

    # --- the logs -------------------------------------------------------------------------------------------------

    def _heads(self) -> Check:
        """Logs behind the head that the signer signed last: the gateway does not start."""
        sizes = {row.origin: row.size for row in self._tx.select(LogRow)}
        behind = [name for name, head in signer_heads(self._home).items() if sizes.get(name, 0) < head.size]
        return Check("heads", "broken" if behind else "well", len(behind), tuple(sorted(behind)[:LISTED]))

    def _unseen(self) -> Iterator[Check]:
        """For how long each log has had a head that nobody outside has seen; a bound counts where somebody is asked."""
        asked = bool(self._config.timestamping.url)
        bound = timedelta(seconds=self._config.timestamping.unanchored_s)
        witnessing = timedelta(seconds=self._config.witnessing.unwitnessed_s)
        witnesses = {
            partner_origin(self._org, one.org)
            for one in self._partners()
            if not one.stopped and one.keys_for("witness")
        }
        for row in sorted(self._tx.select(LogRow), key=lambda row: row.origin):
            age = unseen_since(self._tx, row.origin, self._now)
            over = (asked and age > bound) or (row.origin in witnesses and age > witnessing)
            detail = f"unseen for {int(age.total_seconds())} s"
            yield Check("unwitnessed", "finding" if over else "well", row.size, (row.origin,), detail)

    def _stamps(self) -> Check:
        """The newest time-stamp: when a certificate under it ends before the next one is kept, all of them lapse."""
        newest = self._tx.select(StampRow, order="number", descending=True, limit=1)
        if not newest:
            return Check("time-stamps", "well")
        ending = newest[0].until - self._now < ENDS_SOON
        detail = f"to be renewed by {newest[0].until:%Y-%m-%d}"
        return Check("time-stamps", "finding" if ending else "well", newest[0].number, detail=detail)

    def _epochs(self) -> Check:
        epochs = declarations(self._tx)
        lost = sum(one.known - one.size for epoch in epochs for one in epoch.lost())
        detail = f"epoch {epochs[-1].number if epochs else 1}, {lost} entries declared lost"
        return Check("epochs", "well", lost, detail=detail)

    def _reconciled(self) -> Check:
        """Partners that were not asked since the last declared loss: nothing leaves to them."""
        loss = last_loss(self._tx)
        if loss is None:
            return Check("reconcile", "well")
        concerned = {one.origin for one in loss.logs}
        waiting = [
            one.org
            for one in self._partners()
            if partner_origin(self._org, one.org) in concerned
            and not one.stopped
            and self._tx.get(ReconciledRow, one.org, loss.number) is None
        ]
        return _found("reconcile", waiting)

    def _skew(self) -> Check:
        """Partners whose clock, in their newest cosignature, is too far from ours when we got it."""
        apart = []
        for one in self._partners():
            where = {"witness": witness_name(one.org), "origin": partner_origin(self._org, one.org)}
            rows = self._tx.select(CosignatureRow, where, order="size", descending=True, limit=1)
            if rows and abs(_signed_at(rows[0]) - rows[0].at.timestamp()) > SKEW.total_seconds():
                apart.append(one.org)
        return _found("clock-skew", apart)

    def _partners(self) -> list[Partner]:
        rows = self._tx.select(DirectoryRow, {"kind": "partner", "current": True})
        return sorted(
            (msgspec.json.decode(row.document, type=Partner) for row in rows), key=lambda one: one.org
        )

    # --- what waits -----------------------------------------------------------------------------------------------

    def _lanes(self) -> Check:
        held = self._tx.select(LaneRow, {"held": True}, at_least=("queued", 1))
        return _found("lanes-held", [f"{lane.partner}/{lane.conversation}" for lane in held])

    def _quarantine(self) -> Check:
        rows = self._tx.select(QuarantineRow)
        fresh = [row.id for row in rows if self._now - row.at < QUARANTINED]
        return _found("quarantine", fresh)

    def _overdue(self) -> Iterator[Check]:
        """Clocks of the law and of the house that ran out."""
        tx, now, zone = self._tx, self._now, ZoneInfo(self._config.zone)
        requests = [
            f"{row.sender}/{row.message_id}"
            for row in tx.select(RequestRow)
            if fate(row, answered_at(tx, self._org, row), now, zone) == "overdue"
        ]
        yield _found("requests-overdue", requests)
        emergencies = tx.select(EmergencyRow)
        undone = [
            row.release
            for row in emergencies
            if (row.confirm_by is not None and row.confirm_by <= now and row.confirmed_at is None)
            or (row.review_by <= now and row.reviewed_at is None)
        ]
        yield _found("emergencies-overdue", undone)
        yield _found(
            "originators-to-inform", [row.release for row in tx.select(InformRow) if row.informed_at is None]
        )
        notices = [row for row in tx.select(NoticeRow, {"duty": "must"}) if row.ended is None]
        yield _found("notices-overdue", [row.id for row in notices if row.due is None or row.due <= now])
        yield _found("oral-unconfirmed", [row.id for row in tx.select(OralRow) if row.confirmed_at is None])
        waiting = tx.select(ReleaseRow, {"state": "awaiting-approval"})
        yield Check("awaiting-approval", "well", len(waiting))


def _found(name: str, ids: list[str]) -> Check:
    return Check(name, "finding" if ids else "well", len(ids), tuple(ids[:LISTED]))


def _signed_at(row: CosignatureRow) -> int:
    """The witness's own time in its line, Unix seconds (C2SP tlog-cosignature)."""
    blob = base64.b64decode(row.line.split()[-1])
    return int.from_bytes(blob[KEY_ID_BYTES : KEY_ID_BYTES + TIME_BYTES], "big")


def _document(path: Path, wanted: type[T]) -> T:
    try:
        return msgspec.json.decode(_read(path), type=wanted)
    except msgspec.MsgspecError:
        raise ConfigInvalid("a file of the signer cannot be read", diagnostic={"file": path.name}) from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise ConfigInvalid("a file of the home cannot be read", diagnostic={"file": path.name}) from None

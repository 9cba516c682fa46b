"""Backups, their way back, and the epochs that a loss opens. All but `backup` work on a home that no gateway runs.

A restored store that is behind what was signed is a loss. It is declared: two persons sign which log goes on from which
entry and how far it was known, and from there on the logs are signed with another key. Partners learn that key as any
other, by an entry that two of their officers approve.

Beside `app` and `provision` this module picks adapters: the database file, key files, the signer process.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters.identities.system import SystemIds
from adapters.keys.file import read_private_pem, replace_file, write_private
from adapters.stores.database import copy_whole
from adapters.stores.sql import SqliteStore
from gateway.audit import tree
from gateway.audit.checkpoint import parse, verify
from gateway.errors import AuditBroken, ConfigInvalid, Conflict, RequestInvalid, StoreUnavailable
from gateway.flow.change import canonical, digest, read_change, read_exact, verify_trust_change
from gateway.model.epoch import LOGS, Epoch, EpochRow, KeptLog, SignedEpoch
from gateway.model.party import KeyRecord
from gateway.model.rows import DirectoryRow, KeyRow, LaneRow, LogRow
from gateway.model.signing import Change, TrustChange
from gateway.model.time import Instant, rfc3339
from gateway.ports import ReadTx, Tx
from gateway.service.app import open_logs
from gateway.service.directory import POLICY, SETTINGS
from gateway.service.epochs import EPOCH
from gateway.service.home import Home
from gateway.service.ledger import Ledger
from gateway.service.log_source import StoredLog, home_log_keys, signer_heads
from gateway.service.signer.client import SignerClient
from gateway.service.signer.keks import generation_of
from gateway.service.signer.trust import Trust
from gateway.service.signer_child import SignerProcess
from gateway.service.signer_main import log_key_file
from gateway.service.vault import Vault
from gateway.wire.strict import b64url

#: Data keys of a backup whose wrapping key is looked at: a turn moves all of them, so a few tell.
KEYS_SAMPLED = 1024

_MANIFEST, _DATABASE, _CONFIG = "manifest.json", "store.sqlite", "gateway.toml"


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a backup is: whose, of when, and how many entries each log had. The digest finds damage, not an attacker;
    against that stand the heads that the signer and partners hold."""

    v: Literal[1]
    org: str
    at: Instant
    sha256: str  # of the database file
    logs: dict[str, int]


# --- backup ----------------------------------------------------------------------------------------------------------


def backup(home: Home, folder: Path, *, org: str, now: datetime) -> Manifest:
    """Copy database and configuration into a new folder, beside a running gateway or not; the signer's keys stay out.

    (1) the folder is new; (2) one consistent copy, checked; (3) what it holds; (4) the manifest is written last: a
    folder without one is no backup. Raises `Conflict`, `StoreUnavailable`.
    """
    # (1)
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise Conflict("a backup goes into a new folder") from None
    except OSError:
        raise StoreUnavailable("the folder of the backup cannot be made") from None
    # (2)
    copy_whole(home.database, folder / _DATABASE)
    replace_file(folder / _CONFIG, home.config.read_bytes())
    # (3)
    with open_logs(_Copy(folder)) as tx:
        logs = {row.origin: row.size for row in tx.select(LogRow)}
    manifest = Manifest(1, org, now, _sha256(folder / _DATABASE), logs)
    # (4)
    replace_file(folder / _MANIFEST, msgspec.json.encode(manifest))
    return manifest


class _Copy(Home):
    """A backup's folder, read as a home's database is."""

    @property
    def database(self) -> Path:
        return self.path / _DATABASE


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checked(folder: Path, org: str) -> Manifest:
    """The manifest of an undamaged backup of this organisation; raises `ConfigInvalid`."""
    try:
        manifest = msgspec.json.decode((folder / _MANIFEST).read_bytes(), type=Manifest)
        whole = _sha256(folder / _DATABASE) == manifest.sha256
    except (OSError, msgspec.MsgspecError):
        raise ConfigInvalid("there is no backup in this folder") from None
    if not whole:
        raise ConfigInvalid("the backup's database is not the one that was written")
    if manifest.org != org:
        raise ConfigInvalid("the backup is another organisation's")
    return manifest


# --- restore ---------------------------------------------------------------------------------------------------------


def restore(
    home: Home, folder: Path, signed: SignedEpoch | None, *, org: str, now: datetime
) -> list[KeptLog]:
    """Put a backup in the place of the home's database; returns the logs that lost entries.

    (1) the backup is whole and ours; (2) it is behind no head that the signer signed, or a declaration says so, which
    names these very logs and which two persons signed; it has the policy in force, and its bodies open; (3) the copy is
    made beside the old database, which is kept under another name, and takes its place. A declared epoch is then to be
    opened (`open_epoch`). Raises `AuditBroken` for a loss that is not declared. Repeatable: the same call goes on.
    """
    # (1)
    _checked(folder, org)
    # (2)
    kept = _kept(folder)
    heads = signer_heads(home)
    behind = [
        origin for origin, head in heads.items() if head.size > (kept[origin].size if origin in kept else 0)
    ]
    epoch = verified(home, signed, now=now) if signed is not None else None
    if epoch is None and behind:
        raise AuditBroken(
            "the backup is behind a log head that was signed: declare the loss (`ecluse epoch draft`)",
            diagnostic={"log": sorted(behind)[0], "signed": heads[sorted(behind)[0]].size},
        )
    if epoch is not None and {one.origin: (one.size, one.root) for one in epoch.logs if one.size} != {
        origin: (one.size, one.root) for origin, one in kept.items()
    }:
        raise Conflict("the declaration is about another backup")
    _require_policy(folder, _trust(home))
    _require_keys(folder, home)
    # (3)
    beside = home.path / f"{_DATABASE}.restored"
    beside.unlink(missing_ok=True)
    copy_whole(folder / _DATABASE, beside)
    stamp = rfc3339(now).replace(":", "")
    for end in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            old = home.database.with_name(home.database.name + end)
            old.rename(old.with_name(f"{_DATABASE}.replaced-{stamp}{end}"))
    beside.rename(home.database)
    _sync(home.path)
    return [] if epoch is None else list(epoch.lost())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _kept(folder: Path) -> dict[str, KeptLog]:
    """Every log of a database with its size and root."""
    with open_logs(_Copy(folder)) as tx:
        return {row.origin: _kept_log(tx, row) for row in tx.select(LogRow)}


def _kept_log(tx: ReadTx, row: LogRow) -> KeptLog:
    root = tree.root(row.size, StoredLog(tx, row.origin).tiles)
    return KeptLog(row.origin, row.size, root.hex(), row.size)


# --- epochs ----------------------------------------------------------------------------------------------------------


def draft(
    home: Home, folder: Path | None, held: Sequence[bytes], *, org: str, proposer: str, now: datetime
) -> tuple[bytes, bytes]:
    """The change that opens the next epoch, for two persons to sign: statement and document.

    (1) what is kept: the logs of the backup, or of the home itself; (2) what was known: the signer's last heads, and
    those that partners ``held`` and gave, each of them ours; (3) the new log key, made now and used by nobody yet.
    """
    # (1)
    if folder is not None:
        _checked(folder, org)
    kept = _kept(folder if folder is not None else home.path)
    # (2)
    known = {origin: head.size for origin, head in signer_heads(home).items()}
    keys = home_log_keys(home, org)
    for note in held:
        head = verify(note, keys, origin=parse(note).checkpoint.origin).checkpoint
        known[head.origin] = max(known.get(head.origin, 0), head.size)
    logs = []
    for origin in sorted({*kept, *known}):
        one = kept.get(origin) or KeptLog(origin, 0, tree.empty_root().hex(), 0)
        logs.append(msgspec.structs.replace(one, known=max(one.size, known.get(origin, 0))))
    # (3)
    trust = _trust(home)
    number = len(trust.epochs) + 2
    lost = any(one.known > one.size for one in logs)
    reason: Literal["loss", "rotation"] = "loss" if lost else "rotation"
    document = canonical(
        Epoch(1, org, number, reason, rfc3339(now), _log_key(home, org, number), tuple(logs))
    )
    change = Change(
        v=1,
        id=SystemIds().uuid(),
        home=org,
        kind=EPOCH,
        target=LOGS,
        widening=True,
        before_sha256=trust.epochs[-1] if trust.epochs else "",
        after_sha256=digest(document),
        not_before=rfc3339(now),
        proposer=proposer,
    )
    return canonical(change), document


def _trust(home: Home) -> Trust:
    try:
        return msgspec.json.decode((home.signer / "trust.json").read_bytes(), type=Trust)
    except (OSError, msgspec.MsgspecError):
        raise ConfigInvalid("the signer's trust file cannot be read") from None


def _log_key(home: Home, org: str, number: int) -> KeyRecord:
    """The public record of an epoch's key, which is made when it is not there."""
    path = home.signer / "keys" / f"{log_key_file(number)}.pem"
    with suppress(Conflict):  # an earlier draft made it
        write_private(path, Ed25519PrivateKey.generate())
    key = read_private_pem(path)
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigInvalid("the log key must be Ed25519")
    raw = b64url(key.public_key().public_bytes_raw())
    return KeyRecord(kid=f"{org}/log/{raw[:16]}", use="log", alg="Ed25519", public=raw)


def verified(home: Home, signed: SignedEpoch, *, now: datetime) -> Epoch:
    """The declaration, signed by two of our officers in force as the signer knows them, or carried out already."""
    trust = _trust(home)
    if digest(signed.statement) not in trust.applied:
        verify_trust_change(
            signed.statement,
            signed.document,
            signed.endorsements,
            home=trust.org,
            officers=trust.officers,
            before_sha256=trust.epochs[-1] if trust.epochs else "",
            narrowing=False,
            now=now,
        )
    epoch = read_exact(signed.document, Epoch, "epoch document")
    if read_change(signed.statement).kind != EPOCH or (epoch.org, epoch.log_key) != (
        trust.org,
        _log_key(home, trust.org, epoch.number),
    ):
        raise RequestInvalid("the file is no declaration of an epoch of this home")
    return epoch


async def open_epoch(home: Home, signed: SignedEpoch, *, now: datetime) -> Epoch:
    """Carry out a declaration. Repeatable.

    (1) two persons signed it; (2) the new key is among our public ones; (3) the signer verifies the change against its
    own trust, forgets what was declared lost, and changes its key at its next start; (4) one commit: the declaration is
    in force here, and in the master log; where something was lost, documents that the signer knows in a newer version
    are taken over, and every lane that has work waits for an officer (`ecluse queue resend`), since what was decided
    after the backup is not known here.
    """
    # (1)
    epoch = verified(home, signed, now=now)
    # (2)
    path = home.signer / "public.json"
    records = msgspec.json.decode(path.read_bytes(), type=tuple[KeyRecord, ...])
    if epoch.log_key not in records:
        replace_file(path, msgspec.json.encode((*records, epoch.log_key)))
    # (3)
    process, client = SignerProcess(home), SignerClient(home.signer_socket)
    store = SqliteStore.open(home.database, fatal=_no_fatal)
    try:
        await process.start()
        await client.change(TrustChange(signed.statement, signed.document, signed.endorsements))
        # (4)
        ids = SystemIds()
        vault = Vault(client, ids)
        await vault.reserve()
        ledger = Ledger(epoch.org, vault, ids)
        trust = _trust(home)
        await store.write(lambda tx: _note(tx, ledger, epoch, signed, trust, now))
    finally:
        store.close()
        await client.close()
        await process.stop()
    return epoch


def _note(tx: Tx, ledger: Ledger, epoch: Epoch, signed: SignedEpoch, trust: Trust, now: datetime) -> None:
    change = read_change(signed.statement)
    if tx.get(DirectoryRow, EPOCH, LOGS, epoch.number) is not None:
        return
    for row in tx.select(DirectoryRow, {"kind": EPOCH, "current": True}):
        tx.put(msgspec.structs.replace(row, current=False))
    sha256 = digest(signed.document)
    tx.insert(DirectoryRow(EPOCH, LOGS, epoch.number, True, signed.document, sha256, now, change.id))
    detail = {
        "epoch": epoch.number,
        "reason": epoch.reason,
        "statement": signed.statement,
        "document": signed.document,
        "endorsements": signed.endorsements,
    }
    entry, opened = ledger.record(tx, now, "epoch", change.proposer, change.id, detail)
    tx.insert(
        EpochRow(
            epoch.number,
            entry,
            opened.salt,
            opened.detail,
            signed.statement,
            signed.document,
            signed.endorsements,
        )
    )
    if epoch.reason == "loss":
        for lane in tx.select(LaneRow, at_least=("queued", 1)):
            tx.put(msgspec.structs.replace(lane, held=True))
        _catch_up(tx, trust, change.id, now)


def _catch_up(tx: Tx, trust: Trust, change: str, now: datetime) -> None:
    """Take over from the signer the documents that two-person changes of the lost days put in force."""
    documents = [("officer", name, canonical(one), True) for name, one in trust.officers.items()]
    documents += [("partner", name, canonical(one), True) for name, one in trust.partners.items()]
    for name, one in trust.agreements.items():
        if one.older is not None:
            documents.append(("agreement", name, canonical(one.older.signed), True))
        documents.append(("agreement", name, canonical(one.signed), not one.revoked))
    wanted = {(kind, name, digest(document)) for kind, name, document, current in documents if current}
    for kind, name, document, current in documents:
        versions = tx.select(DirectoryRow, {"kind": kind, "id": name})
        for row in versions:
            if row.current and (kind, name, row.sha256) not in wanted:
                tx.put(msgspec.structs.replace(row, current=False))
        if not any(row.sha256 == digest(document) for row in versions):
            version = len(versions) + 1
            tx.insert(DirectoryRow(kind, name, version, current, document, digest(document), now, change))


def _require_policy(folder: Path, trust: Trust) -> None:
    """The signer keeps digests of the policy and its thresholds, not the documents: those must be in the backup."""
    with open_logs(_Copy(folder)) as tx:
        for kind, sha256 in ((POLICY, trust.policy_sha256), (SETTINGS, trust.settings_sha256)):
            if not tx.count(DirectoryRow, {"kind": kind, "current": True, "sha256": sha256}):
                raise Conflict(
                    f"the backup is from before the last change of the {kind}: no decision under it would be sealed"
                )


def _require_keys(folder: Path, home: Home) -> None:
    """The data keys of a backup are under wrapping keys that the signer still has; a sample of them is looked at."""
    left = {int(path.stem.removeprefix("kek-")) for path in (home.signer / "keys").glob("kek-*.bin")}
    with open_logs(_Copy(folder)) as tx:
        if any(generation_of(row.wrapped) not in left for row in tx.select(KeyRow, limit=KEYS_SAMPLED)):
            raise Conflict("the backup is from before a wrapping key was destroyed: its bodies open no more")


def _no_fatal(reason: str) -> None:
    raise StoreUnavailable(f"the database does not keep what is written: {reason}")

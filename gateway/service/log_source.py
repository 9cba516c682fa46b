"""The logs of a home, read offline as the verifier wants them.

Nothing here is trusted, so rows are handed out as they are stored; what cannot be read, for whatever reason, is
`AuditBroken`. A tampered store must end in a verdict, never in a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal, TypeVar

import msgspec

from gateway.audit.checkpoint import VerifierKey, log_key_name, master_origin, partner_origin, verify
from gateway.audit.entry import parse_partner_entry
from gateway.audit.tree import InclusionProof, TileReader, inclusion_proof, leaf_hash, root, verify_inclusion
from gateway.audit.verify import LogSource, LogVerdict
from gateway.audit.witness import WitnessKey
from gateway.errors import AuditBroken, ConfigInvalid, Conflict, GatewayError, NotFound
from gateway.model.party import KeyRecord, Partner
from gateway.model.rows import (
    CheckpointRow,
    CosignatureRow,
    DirectoryRow,
    EntryRow,
    HeldRow,
    LogRow,
    Row,
    TileRow,
)
from gateway.ports import ReadTx
from gateway.service.held import log_key
from gateway.service.home import Home
from gateway.service.signer.trust import Head
from gateway.service.witnesses import witness_keys
from gateway.wire.strict import b64url_decode

R = TypeVar("R", bound=Row)

#: Rows of one page: memory does not grow with the log, and a page is one query.
PAGE_ROWS = 1024


class StoredLog:
    """One log of an opened store: a `gateway.audit.verify.LogSource`."""

    def __init__(self, tx: ReadTx, origin: str) -> None:
        self._tx, self._origin = tx, origin

    @property
    def origin(self) -> str:
        """Which log this claims to be."""
        return self._origin

    @property
    def tiles(self) -> TileReader:
        """The stored tiles."""
        return _StoredTiles(self._tx, self._origin)

    def entries(self) -> Iterator[tuple[int, bytes]]:
        """Every entry by its stored position, holes included."""
        return ((row.position, row.entry) for row in _rows(self._tx, EntryRow, self._origin, "position"))

    def checkpoints(self) -> Iterator[bytes]:
        """Every signed note by the size it is stored under, with the cosignatures we got for it."""
        return (cosigned_note(self._tx, row) for row in _rows(self._tx, CheckpointRow, self._origin, "size"))


def cosigned_note(tx: ReadTx, row: CheckpointRow) -> bytes:
    """A signed head with the cosignatures stored for it. Raises `AuditBroken` when they cannot be read."""
    try:
        lines = tx.select(CosignatureRow, {"origin": row.origin, "size": row.size})
        return row.note + b"".join(one.line for one in lines)
    except Exception:
        raise _unreadable() from None


def newest_heads(tx: ReadTx, origin: str) -> list[CheckpointRow]:
    """The newest signed head of a log, and the newest cosigned one where that is another, with their cosignatures."""
    newest = tx.select(CheckpointRow, {"origin": origin}, order="size", descending=True, limit=1)
    cosigned = tx.select(CosignatureRow, {"origin": origin}, order="size", descending=True, limit=1)
    if cosigned and newest and cosigned[0].size != newest[0].size:
        newest += tx.select(CheckpointRow, {"origin": origin, "size": cosigned[0].size})
    return [msgspec.structs.replace(row, note=cosigned_note(tx, row)) for row in newest]


class _StoredTiles:
    def __init__(self, tx: ReadTx, origin: str) -> None:
        self._tx, self._origin = tx, origin

    def read(self, level: int, index: int) -> bytes:
        try:
            row = self._tx.get(TileRow, self._origin, level, index)
        except Exception:
            raise _unreadable() from None
        return row.hashes if row else b""


def _rows(tx: ReadTx, kind: type[R], origin: str, key: str) -> Iterator[R]:
    start: tuple[str, object] | None = None
    while True:
        try:
            page = tx.select(kind, {"origin": origin}, at_least=start, order=key, limit=PAGE_ROWS)
        except Exception:
            # A column that was overwritten fails in its own way while the row is decoded.
            raise _unreadable() from None
        yield from page
        if len(page) < PAGE_ROWS:
            return
        start = (key, getattr(page[-1], key) + 1)


def _unreadable() -> AuditBroken:
    return AuditBroken("the stored log cannot be read", diagnostic={"rule": "unreadable"})


# --- what there is to verify, and with what --------------------------------------------------------------------------


def stored_logs(tx: ReadTx, org: str, known: Iterable[str]) -> list[StoredLog]:
    """Every log there should be: the master log, those of which anything is stored, and those ``known`` from elsewhere
    by their origin.

    A log that somebody removed whole is still known to the signer, or to who holds a head of it.
    """
    tables: tuple[type[LogRow | EntryRow | TileRow | CheckpointRow], ...]
    tables = (LogRow, EntryRow, TileRow, CheckpointRow)
    stored = {origin for table in tables for origin in _origins(tx, table)}
    return [StoredLog(tx, origin) for origin in sorted({master_origin(org), *stored, *known})]


def _origins(tx: ReadTx, table: type[LogRow | EntryRow | TileRow | CheckpointRow]) -> Iterator[str]:
    """Every origin of a table; one look in its index each."""
    last = ""
    while True:
        try:
            found = tx.select(table, at_least=("origin", last), order="origin", limit=1)
        except Exception:
            raise _unreadable() from None
        if not found:
            return
        yield found[0].origin
        last = found[0].origin + "\0"  # the least text above it


def signer_heads(home: Home) -> dict[str, Head]:
    """The last head the signer signed of each log, from its own file, which `init` wrote empty.

    Raises `AuditBroken` for a file that is missing or cannot be read.
    """
    try:
        return msgspec.json.decode((home.signer / "heads.json").read_bytes(), type=dict[str, Head])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        raise AuditBroken(
            "the signer's file of heads is missing or cannot be read", diagnostic={"rule": "signer-heads"}
        ) from None


class Mismatch(msgspec.Struct, frozen=True):
    """What the books beside a log that holds say against it, and the first index that it touches."""

    reason: Literal[
        "size-wrong",  # the gateway's own count is not that of the entries: it would append in the wrong place
        "log-unknown",  # a log is listed of which there is no entry: the gateway lists one with its first
        "signer-head-missing",  # a signed head is stored, and the signer does not know to have signed any
        "signer-tail-missing",  # the signer signed more entries than are there
        "signer-root",  # the entries do not lead to the head that the signer signed last
    ]
    first: int
    last: int | None = None


def mismatch(
    tx: ReadTx, verdict: LogVerdict, head: Head | None, signed: Callable[[], Mapping[str, Head]] | None
) -> Mismatch | None:
    """Hold a log that verified by itself against the gateway's count and the signer's last head; None: they agree.

    (1) the count is that of the entries, and there is a first entry; (2) the signer knows the log whose head is stored;
    (3) it signed no longer log; (4) the entries lead to the head that it signed last.
    Beside a running gateway: ``head`` is the signer's from before the store was read, and ``signed`` its heads of now,
    since it makes a head durable before the gateway can store it; None where its file cannot be read, which is a fault
    of its own, and ends with (1). Raises `AuditBroken`.
    """
    origin, size = verdict.origin, verdict.size
    # (1)
    try:
        listed = tx.get(LogRow, origin)
        newest = tx.select(CheckpointRow, {"origin": origin}, limit=1)
    except Exception:
        raise _unreadable() from None
    count = listed.size if listed else 0
    if count != size:
        return Mismatch("size-wrong", max(0, min(count, size)), max(count, size) - 1)
    if listed and not size:
        return Mismatch("log-unknown", 0)
    if signed is None:
        return None
    # (2)
    if head is None:
        return Mismatch("signer-head-missing", 0) if newest and origin not in signed() else None
    # (3)
    if head.size > size:
        return Mismatch("signer-tail-missing", size, head.size - 1)
    # (4)
    if head.size < 1 or root(head.size, _StoredTiles(tx, origin)) != head.root:
        return Mismatch("signer-root", 0, max(0, head.size - 1))
    return None


def home_log_keys(home: Home, org: str) -> list[VerifierKey]:
    """Our own log keys as C2SP verifier keys. Raises `ConfigInvalid`."""
    try:
        raw = (home.signer / "public.json").read_bytes()
        records = msgspec.json.decode(raw, type=tuple[KeyRecord, ...])
    except (OSError, msgspec.MsgspecError):
        raise ConfigInvalid("the signer's public keys cannot be read") from None
    name = log_key_name(org)
    return [VerifierKey(name, b64url_decode(key.public)) for key in records if key.use == "log"]


# --- heads of partners' logs -----------------------------------------------------------------------------------------


class HeldFinding(msgspec.Struct, frozen=True):
    """What a partner's own head, kept by us, says about it. ``reason`` is empty when nothing is wrong."""

    partner: str
    origin: str
    size: int
    reason: str = ""


def held_heads(tx: ReadTx, org: str) -> list[HeldRow]:
    """Every head of a partner's log about us, by partner and size. Raises `AuditBroken` when it cannot be read."""
    rows: list[HeldRow] = []
    for partner in _log_keys_of_partners(tx):
        rows += _rows(tx, HeldRow, partner_origin(partner, org), "size")
    return rows


def inspect_held(tx: ReadTx, org: str, shown: list[bytes]) -> list[HeldFinding]:
    """Hold the stored heads of partners' logs against their keys, and against other notes somebody shows us.

    (1) each stored head is a head of that log, of the size it is stored under, signed by the partner; (2) a note
    ``shown`` of the same log and size has the same root: two signed roots of one size are an equivocation.
    Heads of different sizes need the partner's log to be compared, and are not.
    """
    findings = []
    for partner, keys in _log_keys_of_partners(tx).items():
        origin = partner_origin(partner, org)
        known = {}
        for note in shown:
            try:
                other = verify(note, keys, origin=origin).checkpoint
            except AuditBroken:
                continue  # of another log: the verifier of that log reads it
            known[other.size] = other.root
        for row in _rows(tx, HeldRow, origin, "size"):
            # (1)
            try:
                head = verify(row.note, keys, origin=origin).checkpoint
                reason = "" if head.size == row.size else "held-invalid"
            except AuditBroken:
                findings.append(HeldFinding(partner, origin, row.size, "held-invalid"))
                continue
            # (2)
            if known.get(head.size, head.root) != head.root:
                reason = "equivocation"
            findings.append(HeldFinding(partner, origin, row.size, reason))
    return findings


def partner_witnesses(tx: ReadTx) -> list[WitnessKey]:
    """The keys with which our partners cosign. Raises `AuditBroken` when the directory cannot be read."""
    return [key for partner in _partners(tx) for key in witness_keys(partner)]


def _log_keys_of_partners(tx: ReadTx) -> dict[str, list[VerifierKey]]:
    return {partner.org: log_key(partner) for partner in _partners(tx)}


def _partners(tx: ReadTx) -> list[Partner]:
    try:
        rows = tx.select(DirectoryRow, {"kind": "partner", "current": True})
        return [msgspec.json.decode(row.document, type=Partner) for row in rows]
    except Exception:
        raise _unreadable() from None


# --- documents and proofs --------------------------------------------------------------------------------------------


def document_in_force(tx: ReadTx, kind: str, name: str) -> bytes:
    """The exact bytes of the document in force for this target, as a change of it must start from: of an agreement, the
    newest version, begun or not. `NotFound`."""
    rows = tx.select(DirectoryRow, {"kind": kind, "id": name, "current": True})
    if not rows:
        raise NotFound(f"there is no {kind} of this id in force")
    return max(rows, key=lambda row: row.version).document


class Proof(msgspec.Struct, frozen=True):
    """That an entry stands in a log whose head is signed: everything a third party needs beside the log's key."""

    origin: str
    index: int
    size: int
    entry: bytes
    hashes: tuple[bytes, ...]
    checkpoint: str


def prove_message(tx: ReadTx, logs: list[StoredLog], keys: list[VerifierKey], message_id: str) -> list[Proof]:
    """Inclusion of every entry of a message, or of a receipt by its id, in the newest signed head of its log.

    (1) find the entries; (2) the newest head is ours; (3) build the path and verify it before it is shown.
    Raises `NotFound`, `Conflict` while no signed head covers an entry, `AuditBroken` when the stored log does not prove
    it. Linear in the partner logs.
    """
    proofs = []
    for log in logs:
        if log.origin.endswith("/master"):
            continue
        # (1)
        for index, raw in log.entries():
            try:
                found = parse_partner_entry(raw).message_id == message_id
            except GatewayError:
                continue  # its place is the verifier's verdict; nothing is proven of it here
            if found:
                proofs.append(_proof(tx, log, keys, index, raw))
    if not proofs:
        raise NotFound("no log has an entry of this id")
    return proofs


def _proof(tx: ReadTx, log: LogSource, keys: list[VerifierKey], index: int, raw: bytes) -> Proof:
    newest = tx.select(CheckpointRow, {"origin": log.origin}, order="size", descending=True, limit=1)
    if not newest or newest[0].size <= index:
        raise Conflict("no signed head covers the entry yet")
    # (2)
    head = verify(newest[0].note, keys, origin=log.origin).checkpoint
    # (3)
    proof: InclusionProof = inclusion_proof(index, head.size, log.tiles)
    verify_inclusion(proof, leaf_hash(raw), head.root)
    return Proof(log.origin, index, head.size, raw, tuple(proof.hashes), newest[0].note.decode())

"""Reads both stores after the run, as they lie on the disk, with the homes' own keys."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.audit.checkpoint import partner_origin
from gateway.audit.entry import parse_partner_entry
from gateway.cli.staging import BE, FR, Stage
from gateway.errors import GatewayError
from gateway.flow.change import digest
from gateway.model.rows import (
    BodyRow,
    EntryRow,
    HeldRow,
    InboxRow,
    KeyRow,
    LogRow,
    OutboxRow,
    QuarantineRow,
    ReceiptRow,
    ReleaseRow,
    ReservationRow,
)
from gateway.ports import ReadTx
from gateway.service.app import open_logs
from gateway.service.contents import InboundBody, ReceiptBody, ReleaseBody
from gateway.service.home import Home
from gateway.service.signer_main import load_signer_keys
from gateway.service.vault import NONCE_BYTES
from gateway.wire.receipt import verify_receipt
from tests.crash.verdict import Crossing, Facts, HomeFacts, Received, Sent

T = TypeVar("T")

#: A draft whose preparation was repeated because the answer was lost: nobody endorsed it, and nothing came of it.
DRAFT = "awaiting-endorsement"


def gather(
    stage: Stage, approved: Mapping[str, Sequence[str]], now: datetime
) -> tuple[Facts, dict[str, int]]:
    """The facts of a run whose gateways have ended, and figures that are told but bound nothing."""
    with open_logs(stage.be) as be, open_logs(stage.fr) as fr:
        sent = _sent(stage, be, now)
        states = Counter(row.state for row in be.select(ReleaseRow))
        receipts_in = tuple(row.id for row in be.select(ReceiptRow, {"direction": "in"}))
        receipts_out = tuple(row.id for row in fr.select(ReceiptRow, {"direction": "out"}))
        facts = Facts(
            approved=approved,
            sent=sent,
            received=_received(stage, fr),
            quarantined=fr.count(QuarantineRow) + be.count(QuarantineRow),
            reserved=be.count(ReservationRow),
            undone={state: count for state, count in states.items() if state not in ("delivered", DRAFT)},
            sender=_home(stage.be, be, fr, receipts_in, partner_origin(BE, FR)),
            partner=_home(stage.fr, fr, be, receipts_out, partner_origin(FR, BE)),
        )
        figures = {
            "attempts": sum(row.attempts for row in be.select(OutboxRow)),
            "receipts_got": len(receipts_in),
            "receipts_given": len(receipts_out),
            "unendorsed_drafts": states[DRAFT],
        }
    return facts, figures


class _Bodies:
    """Opens stored bodies with the key-encryption key of the home."""

    def __init__(self, home: Home, tx: ReadTx) -> None:
        self._keys, self._tx = load_signer_keys(home), tx

    def open(self, body: str, wanted: type[T]) -> T:
        row = self._tx.get(BodyRow, body)
        key = self._tx.get(KeyRow, row.key) if row else None
        if row is None or key is None:
            raise GatewayError("a stored body is gone")
        secret = AESGCM(self._keys.unwrap(key.wrapped))
        plain = secret.decrypt(row.ciphertext[:NONCE_BYTES], row.ciphertext[NONCE_BYTES:], row.id.encode())
        return msgspec.msgpack.decode(plain, type=wanted)


def _sent(stage: Stage, tx: ReadTx, now: datetime) -> tuple[Sent, ...]:
    bodies, found = _Bodies(stage.be, tx), []
    for row in tx.select(OutboxRow):
        payload = bodies.open(row.body, ReleaseBody).payload if row.release else b""
        found.append(
            Sent(
                row.message_id,
                row.conversation,
                row.seq,
                row.position,
                row.state,
                digest(payload),
                _receipt(stage, tx, bodies, row, digest(payload), now),
            )
        )
    return tuple(found)


def _receipt(
    stage: Stage, tx: ReadTx, bodies: _Bodies, row: OutboxRow, payload_sha256: str, now: datetime
) -> str:
    """The id of the stored receipt of this message, if its signature holds and it accepts exactly these bytes."""
    stored = tx.get(ReceiptRow, row.receipt) if row.receipt else None
    if stored is None:
        return ""
    try:
        verified = verify_receipt(
            bodies.open(stored.body, ReceiptBody).jws,
            stage.entries[FR].keys_for("receipt"),
            now=now,
            iss=FR,
            aud=BE,
            sent=[(row.message_id, payload_sha256)],
        )
    except GatewayError:
        return ""
    return stored.id if verified.outcomes[row.message_id].outcome == "accepted" else ""


def _received(stage: Stage, tx: ReadTx) -> tuple[Received, ...]:
    bodies = _Bodies(stage.fr, tx)
    return tuple(
        Received(
            row.message_id, row.conversation, row.seq, digest(bodies.open(row.body, InboundBody).payload)
        )
        for row in tx.select(InboxRow)
    )


def _home(home: Home, tx: ReadTx, other: ReadTx, receipts: tuple[str, ...], origin: str) -> HomeFacts:
    crossings: list[Crossing] = []
    for row in tx.select(EntryRow, {"origin": origin}):
        entry = parse_partner_entry(row.entry)
        crossings.append((entry.direction, entry.event, entry.message_id))
    sizes = {row.origin: row.size for row in tx.select(LogRow)}
    witnessed = [row.note for row in other.select(HeldRow, {"origin": origin})]
    return HomeFacts(receipts, tuple(crossings), sizes, _verified(home, witnessed))


def _verified(home: Home, witnessed: Sequence[bytes]) -> dict[str, int]:
    """`ecluse audit verify`, held against every head that the other side ever got: the size of each log, or nothing."""
    command = [sys.executable, "-m", "gateway.cli", "audit", "verify", "--json", "--home", str(home.path)]
    with tempfile.TemporaryDirectory() as folder:
        for number, note in enumerate(witnessed):
            path = Path(folder) / f"{number}.note"
            path.write_bytes(note)
            command += ["--held", str(path)]
        done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        return {}
    return {str(log["log"]): int(log["size"]) for log in msgspec.json.decode(done.stdout)["logs"]}

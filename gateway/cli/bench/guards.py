"""Whether a measurement may be believed: nothing lost, nothing twice, every receipt verified, durable, TLS 1.3."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.audit.checkpoint import partner_origin
from gateway.audit.entry import parse_partner_entry
from gateway.cli.audit import verify
from gateway.cli.shared import DONE, Place
from gateway.cli.staging import BE, FR, Stage
from gateway.errors import GatewayError, NotFound
from gateway.flow.change import digest
from gateway.model.rows import BodyRow, EntryRow, InboxRow, KeyRow, OutboxRow, QuarantineRow, ReceiptRow
from gateway.ports import ReadTx
from gateway.service.app import open_logs, tls_files
from gateway.service.config import load_config
from gateway.service.contents import InboundBody, ReceiptBody, ReleaseBody
from gateway.service.home import Home
from gateway.service.signer_main import load_signer_keys
from gateway.service.tls import client_context
from gateway.service.vault import NONCE_BYTES
from gateway.wire.receipt import verify_receipt

T = TypeVar("T")

#: Seconds for one connection to the listener, and for the tracer to attach.
CONNECT_S, ATTACH_S = 5.0, 0.5

#: Calls by which SQLite makes a commit durable.
DURABLE_CALLS = ("fdatasync", "fsync")


# --- what both stores say --------------------------------------------------------------------------------------------


class Kept(msgspec.Struct, frozen=True):
    """Counts over everything that was approved in this run. What a guard demands stands beside each."""

    approved: int
    lost: int  # 0: not at the partner with the bytes that were approved, or not delivered for the sender
    duplicates: int  # 0: log entries of the partner beyond one a message, and messages nobody approved
    refused: int  # 0: in quarantine
    receipts_verified: int  # approved: messages whose stored receipt verifies and accepts exactly these bytes
    logs_verified: bool  # true: `audit verify` of both homes


def kept(stage: Stage, approved: Sequence[str], now: datetime) -> Kept:
    """Read both stores as they lie on the disk, after both gateways have ended."""
    with open_logs(stage.be) as ours, open_logs(stage.fr) as theirs:
        sent, verified = _sent(stage, ours, now)
        received = _received(stage, theirs)
        entries = theirs.select(EntryRow, {"origin": partner_origin(FR, BE)})
        arrivals = Counter(
            entry.message_id
            for entry in (parse_partner_entry(row.entry) for row in entries)
            if (entry.direction, entry.event) == ("in", "message")
        )
        whole = [one for one in approved if one in sent and sent[one] == received.get(one)]
        refused = theirs.count(QuarantineRow) + ours.count(QuarantineRow)
    logs = all(verify(Place(home, True)).code == DONE for home in (stage.be, stage.fr))
    return Kept(
        approved=len(approved),
        lost=len(approved) - len(whole),
        duplicates=(arrivals - Counter(approved)).total() + len(received.keys() - set(approved)),
        refused=refused,
        receipts_verified=verified,
        logs_verified=logs,
    )


class _Bodies:
    """Opens stored bodies of one home of the stage, with the keys of its signer."""

    def __init__(self, home: Home, tx: ReadTx) -> None:
        self._keys, self._tx = load_signer_keys(home), tx

    def open(self, body: str, wanted: type[T]) -> T:
        row = self._tx.get(BodyRow, body)
        key = self._tx.get(KeyRow, row.key) if row else None
        if row is None or key is None:
            raise NotFound("a stored body is gone")
        nonce, sealed = row.ciphertext[:NONCE_BYTES], row.ciphertext[NONCE_BYTES:]
        plain = AESGCM(self._keys.unwrap(key.wrapped)).decrypt(nonce, sealed, row.id.encode())
        return msgspec.msgpack.decode(plain, type=wanted)


def _sent(stage: Stage, tx: ReadTx, now: datetime) -> tuple[dict[str, str], int]:
    """Digest of each delivered message, and how many of them have a receipt that verifies and accepts them."""
    bodies = _Bodies(stage.be, tx)
    sent: dict[str, str] = {}
    answered: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in tx.select(OutboxRow, {"state": "delivered"}):
        sent[row.message_id] = digest(bodies.open(row.body, ReleaseBody).payload)
        answered[row.receipt].append((row.message_id, sent[row.message_id]))
    verified = 0
    for receipt, messages in answered.items():
        with contextlib.suppress(GatewayError):
            stored = tx.get(ReceiptRow, receipt)
            token = bodies.open(stored.body, ReceiptBody).jws if stored else ""
            keys = stage.entries[FR].keys_for("receipt")
            outcomes = verify_receipt(token, keys, now=now, iss=FR, aud=BE, sent=messages).outcomes
            verified += sum(item.outcome == "accepted" for item in outcomes.values())
    return sent, verified


def _received(stage: Stage, tx: ReadTx) -> dict[str, str]:
    bodies = _Bodies(stage.fr, tx)
    return {row.message_id: digest(bodies.open(row.body, InboundBody).payload) for row in tx.select(InboxRow)}


# --- the listener ----------------------------------------------------------------------------------------------------


class Listener(msgspec.Struct, frozen=True):
    """How the partner's running listener answers three kinds of client."""

    with_certificate: str  # TLSv1.3: version spoken with our certificate, and an HTTP answer came
    without_certificate: str  # refused
    tls_1_2: str  # refused


def listener(stage: Stage) -> Listener:
    """Knock at the partner's listener as the sender does, without its certificate, and with TLS 1.2."""
    port = load_config(stage.fr.config).config.partner_listener.port
    files = tls_files(stage.be, "client")
    ours, older = client_context(files), client_context(files)
    older.minimum_version = older.maximum_version = ssl.TLSVersion.TLSv1_2
    nobody = ssl.create_default_context(cafile=str(files.partner_cas[0]))
    return Listener(_knock(ours, port), _knock(nobody, port), _knock(older, port))


def _knock(context: ssl.SSLContext, port: int) -> str:
    """The TLS version in which an HTTP request was answered, or ``refused``."""
    request = (
        b"GET /exchange/v1/messages/none/receipt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    try:
        with (
            socket.create_connection(("127.0.0.1", port), CONNECT_S) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            connection.sendall(request)
            answered = connection.recv(16).startswith(b"HTTP/1.1 ")
            return str(connection.version()) if answered else "refused"
    except OSError:  # an alert, a reset, or no answer in time
        return "refused"


# --- the disk --------------------------------------------------------------------------------------------------------


class Traced:
    """Counts calls that make a commit durable in running processes, where a tracer is installed and allowed."""

    def __init__(self) -> None:
        self.calls: int | None = None

    @contextlib.contextmanager
    def attached(self, pids: Sequence[int], folder: Path) -> Iterator[None]:
        """While the body runs, count; ``calls`` stays None where nothing can be traced."""
        program = shutil.which("strace")
        if program is None:
            yield
            return
        output = folder / "strace.txt"
        wanted = [word for pid in pids for word in ("-p", str(pid))]
        command = [program, "-f", "-q", "-e", "trace=" + ",".join(DURABLE_CALLS), "-o", str(output), *wanted]
        tracer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
        time.sleep(ATTACH_S)
        try:
            yield
        finally:
            running = tracer.poll() is None
            if running:
                tracer.send_signal(signal.SIGINT)
            tracer.wait(CONNECT_S)
        if running:
            text = output.read_text()
            self.calls = sum(text.count(f"{call}(") for call in DURABLE_CALLS)


# --- the verdict -----------------------------------------------------------------------------------------------------

#: Commits that one message in flight cannot do without: number and entry, seal, attempt, receipt; message, receipt.
COMMITS_OF_ONE = 6


def failures(facts: Kept, answers: Listener, durable_calls: int | None, traced: int) -> list[str]:
    """Every guard that does not hold, in words; ratios count only when this is empty."""
    demands: Mapping[str, bool] = {
        f"{facts.lost} messages were lost": facts.lost == 0,
        f"{facts.duplicates} duplicate effects": facts.duplicates == 0,
        f"{facts.refused} messages were refused": facts.refused == 0,
        "a receipt does not verify": facts.receipts_verified == facts.approved,
        "a log does not verify": facts.logs_verified,
        "the listener does not speak TLS 1.3 with us": answers.with_certificate == "TLSv1.3",
        "the listener speaks without a client certificate": answers.without_certificate == "refused",
        "the listener speaks TLS 1.2": answers.tls_1_2 == "refused",
        "fewer durable writes than commits": durable_calls is None
        or durable_calls >= COMMITS_OF_ONE * traced,
    }
    return [sentence for sentence, holds in demands.items() if not holds]

"""The floor: what one message cannot do without, at both ends, in one process, without network; and the bare disk.

Each part runs the product's own functions over one batch of real releases, and says what one message costs; a slow
function raises this floor. The commits are not the product's: they are what any durable store on SQLite would need.
The *bare* floor holds nothing of ours: signatures, encryption and commits, as the libraries do them.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256

from gateway.audit.checkpoint import Checkpoint, log_key_name, partner_origin, sign
from gateway.audit.entry import body_commitment, partner_entry
from gateway.audit.tree import MemoryTiles, append, inclusion_proof, leaf_hash, root, verify_inclusion
from gateway.cli.staging import BASIS, BE, FR, Stage
from gateway.errors import Conflict
from gateway.flow.change import digest
from gateway.flow.outbound import Draft, Prepared, prepare
from gateway.guard import guard
from gateway.model.signing import Pseudonym
from gateway.policy.context import Context
from gateway.service.context import Gateway
from gateway.service.drafted import Why
from gateway.service.releases import Releases
from gateway.service.signer_main import load_signer_keys
from gateway.wire.container import Preamble, decrypt, encrypt, pack, split, unpack
from gateway.wire.ct_json import CtJson
from gateway.wire.endorse import Act, sign_endorsement, verify_endorsement
from gateway.wire.hpke import SUITE
from gateway.wire.receipt import ReceiptItem, ReceiptStatement, sign_receipt, statement_bytes, verify_receipt
from gateway.wire.seal import SealHeader, sign_seal, verify_seal

T = TypeVar("T")
R = TypeVar("R")

#: Messages of a group: of a batch on the wire, of a receipt, of a commit.
GROUP = 64

#: Bytes of one write to the bare disk, of the file that is written over, and seconds of one measurement.
DISK_BLOCK, DISK_FILE, DISK_S = 4096, 1 << 20, 0.3

#: Bytes of a wrapped data key (RFC 3394), of a nonce of AES-GCM, of a salt or blind, of a data key.
WRAPPED_BYTES, NONCE_BYTES, SALT_BYTES, KEY_BYTES = 40, 12, 32, 32

#: Parts in which the libraries do nearly all.
BARE = ("hpke-encrypt", "hpke-decrypt", "bodies-at-rest", "three-commits")

#: The store that the commits of the floor go to: what is kept stands in wide rows, what changes in a narrow one.
SETTINGS = ("journal_mode=wal", "synchronous=full", "wal_autocheckpoint=8000")
SCHEMA = """
CREATE TABLE body (id TEXT PRIMARY KEY, wrapped BLOB, ciphertext BLOB) WITHOUT ROWID;
CREATE TABLE message (id TEXT PRIMARY KEY, state TEXT, body TEXT, receipt TEXT) WITHOUT ROWID;
CREATE TABLE entry (position INTEGER PRIMARY KEY, entry BLOB);
CREATE TABLE tile (position INTEGER PRIMARY KEY, hashes BLOB);
"""


def disk_per_s(folder: Path) -> float:
    """Writes of 4 KiB over an allocated file, each followed by `fdatasync`, per second on this disk."""
    path = folder / "fdatasync"
    path.write_bytes(bytes(DISK_FILE))
    block = os.urandom(DISK_BLOCK)
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
        done, began = 0, time.perf_counter()
        while (spent := time.perf_counter() - began) < DISK_S:
            os.pwrite(file, block, done * DISK_BLOCK % DISK_FILE)
            os.fdatasync(file)
            done += 1
    finally:
        os.close(file)
    return done / spent


@dataclass(frozen=True)
class Cost:
    """Microseconds for each message: by the clock, and of processor. They differ on a busy machine, and by the disk."""

    wall: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.wall + other.wall, self.cpu + other.cpu)


@dataclass(frozen=True)
class Sample:
    """What the rules are asked about: one synthetic person that may be released, as the running gateway has it."""

    stage: Stage
    gateway: Gateway
    ctx: Context
    ref: str


async def sample(stage: Stage, gateway: Gateway, persons: Sequence[str]) -> Sample:
    """The first of these persons that the policy permits toward the partner."""
    releases, now = Releases(gateway), gateway.clock.now()
    officer = gateway.directory.officer("be-requester")
    series = gateway.directory.agreement(FR).terms.series
    why = Why("ct-prevention", BASIS, "synthetic measurement")
    for person in persons:
        row, record = await releases.record(person)
        ref = (await gateway.signer.pseudonyms([Pseudonym(FR, series, record.kind, record.entity_id)]))[0]
        subject = row.subject
        ctx = await gateway.store.read(
            lambda tx, record=record, subject=subject: releases.context(  # type: ignore[misc]
                tx, record, subject, FR, why, (officer,), now
            )
        )
        found = Sample(stage, gateway, ctx, ref)
        if isinstance(_prepare(found, _draft(gateway)), Prepared):
            return found
    raise Conflict("none of the synthetic persons may be released")


def _draft(gateway: Gateway) -> Draft:
    return Draft(
        str(uuid.uuid4()), str(uuid.uuid4()), str(uuid.uuid4()), gateway.config.mode, os.urandom(SALT_BYTES)
    )


def _prepare(given: Sample, draft: Draft) -> Prepared:
    prepared = prepare(given.ctx, given.gateway.directory.policy, draft, ref=given.ref)
    if not isinstance(prepared, Prepared):
        raise Conflict("a synthetic person may not be released")
    return prepared


class Floor:
    """Measures one batch, part by part. Each `measure` makes fresh messages, keys and files."""

    def __init__(self, given: Sample) -> None:
        self._given, self._now = given, given.ctx.now
        self._ours, self._theirs = load_signer_keys(given.stage.be), load_signer_keys(given.stage.fr)
        self._parts: dict[str, Cost] = {}

    def measure(self, folder: Path) -> dict[str, Cost]:
        """The cost of each part; their sum is the floor.

        (1) decide, redact, render; (2) both officers' endorsements; (3) the log entry, its inclusion proof and the
        check of it; (4) guard; (5) seal, signed and verified; (6) encrypted and decrypted for the partner; (7) strict
        parse at the partner; (8) the receipt over the batch; (9) bodies at rest; (10) three commits: what leaves, what
        arrives, the receipt.
        """
        self._parts = {}
        drafts = [_draft(self._given.gateway) for _ in range(GROUP)]
        prepared = self._each("decide-redact-render", lambda one: _prepare(self._given, one), drafts)  # (1)
        self._endorse(prepared)  # (2)
        note, entries = self._log(drafts, prepared)  # (3)
        self._guard(prepared)  # (4)
        seals = self._seal(drafts, prepared, note)  # (5)
        self._encrypt(drafts, prepared, seals)  # (6)
        self._each("strict-parse", lambda one: CtJson().parse(one.payload), prepared)  # (7)
        receipt = self._receipt(drafts, prepared)  # (8)
        bodies = self._bodies(prepared, seals)  # (9)
        self._commit(folder, drafts, bodies, entries, receipt)  # (10)
        return dict(self._parts)

    def bare(self) -> Cost:
        """What no code of ours can save of the last `measure`: the seal signed and verified by the library alone,
        encryption, the commits. Officers and receipts sign for a whole batch, so they weigh next to nothing here."""
        key, message = self._ours.message, os.urandom(DISK_BLOCK)
        public, algorithm = key.public_key(), ECDSA(SHA256())
        with self._timed("bare-signatures"):
            for _ in range(GROUP):
                public.verify(key.sign(message, algorithm), message, algorithm)
        return sum((self._parts[part] for part in BARE), self._parts.pop("bare-signatures"))

    @contextlib.contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        spent = Cost(wall / GROUP * 1e6, cpu / GROUP * 1e6)
        self._parts[part] = self._parts.get(part, Cost()) + spent

    def _each(self, part: str, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        with self._timed(part):
            return [function(item) for item in items]

    def _endorse(self, prepared: Sequence[Prepared]) -> None:
        statements = [one.statement for one in prepared]
        officers = self._given.gateway.directory.officers
        acts: tuple[tuple[str, Act], ...] = (("be-requester", "request"), ("be-approver", "approve"))
        for name, act in acts:
            officer = self._given.stage.officers[name]
            token = sign_endorsement(
                officer.key, officer.kid, officer=name, act=act, at=self._now, statements=statements
            )
            self._each(
                "two-endorsements",
                lambda statement, token=token, act=act: verify_endorsement(  # type: ignore[misc]
                    token, officers, act=act, statement=statement, now=self._now
                ),
                statements,
            )

    def _log(self, drafts: Sequence[Draft], prepared: Sequence[Prepared]) -> tuple[bytes, list[bytes]]:
        tiles, origin = MemoryTiles(), partner_origin(BE, FR)

        def entry(pair: tuple[Draft, Prepared]) -> bytes:
            draft, one = pair
            salt = os.urandom(SALT_BYTES)
            return partner_entry(
                at=self._now,
                blind=os.urandom(SALT_BYTES),
                body=body_commitment(salt, bytes.fromhex(digest(one.payload))),
                conv=draft.conversation,
                direction="out",
                event="message",
                message_id=draft.message_id,
                master=digest(salt),
                seq=1,
                type="disclosure",
            )

        entries = self._each("log-entry-and-proof", entry, zip(drafts, prepared, strict=True))
        with self._timed("log-entry-and-proof"):
            appended = append(0, tiles, entries)
            tiles.write(appended.tiles)
            head = Checkpoint(origin, appended.size, root(appended.size, tiles))
            note = sign(head, log_key_name(BE), self._ours.log)
        self._each(
            "log-entry-and-proof",
            lambda index: verify_inclusion(
                inclusion_proof(index, appended.size, tiles), leaf_hash(entries[index]), head.root
            ),
            range(GROUP),
        )
        return note, entries

    def _guard(self, prepared: Sequence[Prepared]) -> None:
        ceiling = self._given.gateway.directory.agreement(FR).terms.ceiling
        self._each(
            "guard",
            lambda one: guard(
                one.payload,
                decision=one.document,
                records=(one.record,),
                pseudonyms={digest(one.record): self._given.ref},
                ceiling=ceiling,
                levels=self._given.gateway.levels,
                kinds=self._given.gateway.kinds,
            ),
            prepared,
        )

    def _seal(self, drafts: Sequence[Draft], prepared: Sequence[Prepared], note: bytes) -> list[str]:
        message, issued = self._ours.record("message"), int(self._now.timestamp())

        def seal(pair: tuple[Draft, Prepared]) -> str:
            draft, one = pair
            header = SealHeader(
                alg="ES256",
                kid=message.kid,
                typ="ecluse-msg-disclosure+jws",
                cty="application/json",
                crit=("b64",),
                b64=False,
                x5t_s256=message.x5t,
                iat=issued,
                exp=int((self._now + timedelta(days=1)).timestamp()),
                iss=BE,
                aud=FR,
                enc_kid=self._theirs.record("encryption").kid,
                suite=SUITE,
                sig_profile="classic",
                jti=draft.message_id,
                conv=draft.conversation,
                seq=1,
                mode=draft.mode,
                agreement=self._given.gateway.directory.agreement(FR).sha256,
                payload_sha256=digest(one.payload),
                checkpoint=note.decode(),
            )
            return sign_seal(header, one.payload, self._ours.message)

        seals = self._each("seal-sign", seal, zip(drafts, prepared, strict=True))
        keys = self._given.stage.entries[BE].keys
        self._each(
            "seal-verify",
            lambda pair: verify_seal(pair[0], "", pair[1].payload, keys, profile="classic", now=self._now),
            zip(seals, prepared, strict=True),
        )
        return seals

    def _encrypt(self, drafts: Sequence[Draft], prepared: Sequence[Prepared], seals: Sequence[str]) -> None:
        key = self._theirs.record("encryption")

        def sealed(triple: tuple[Draft, Prepared, str]) -> bytes:
            draft, one, seal = triple
            preamble = Preamble(v=1, suite=SUITE, iss=BE, aud=FR, jti=draft.message_id, enc_kid=key.kid)
            return encrypt(preamble, pack(seal, one.payload), key)

        def opened(raw: bytes) -> object:
            _, line, ciphertext = split(raw)
            return unpack(decrypt(line, ciphertext, self._theirs.encryption))

        wire = self._each("hpke-encrypt", sealed, zip(drafts, prepared, seals, strict=True))
        self._each("hpke-decrypt", opened, wire)

    def _receipt(self, drafts: Sequence[Draft], prepared: Sequence[Prepared]) -> bytes:
        with self._timed("receipt-of-a-batch"):
            sent = [
                (draft.message_id, digest(one.payload)) for draft, one in zip(drafts, prepared, strict=True)
            ]
            items = tuple(ReceiptItem(message, payload, "accepted") for message, payload in sent)
            statement = statement_bytes(ReceiptStatement(1, str(uuid.uuid4()), FR, BE, self._now, items, ""))
            token = sign_receipt(statement, self._theirs.receipt, self._theirs.record("receipt").kid)
            keys = self._given.stage.entries[FR].keys
            verify_receipt(token, keys, now=self._now, iss=FR, aud=BE, sent=sent)
        return token.encode()

    def _bodies(self, prepared: Sequence[Prepared], seals: Sequence[str]) -> list[list[bytes]]:
        """What either end keeps of each message, each under a key of its own."""

        def body(pair: tuple[Prepared, str]) -> bytes:
            one, seal = pair
            nonce = os.urandom(NONCE_BYTES)
            plain = msgspec.msgpack.encode((one.payload, one.document, one.statement, one.record, seal))
            return nonce + AESGCM(os.urandom(KEY_BYTES)).encrypt(nonce, plain, None)

        pairs = list(zip(prepared, seals, strict=True))
        return [self._each("bodies-at-rest", body, pairs) for _ in range(2)]

    def _commit(
        self,
        folder: Path,
        drafts: Sequence[Draft],
        bodies: Sequence[Sequence[bytes]],
        entries: Sequence[bytes],
        receipt: bytes,
    ) -> None:
        ends = [_store(folder / f"{uuid.uuid4()}.sqlite") for _ in bodies]
        wrapped, hashes = os.urandom(WRAPPED_BYTES), os.urandom(SALT_BYTES * GROUP)
        ids = [draft.message_id for draft in drafts]
        try:
            with self._timed("three-commits"):
                for end, kept in zip(ends, bodies, strict=True):
                    with end:
                        end.execute("BEGIN IMMEDIATE")
                        rows = zip(ids, kept, strict=True)
                        end.executemany(
                            "INSERT INTO body VALUES (?, ?, ?)", ((i, wrapped, b) for i, b in rows)
                        )
                        end.executemany("INSERT INTO message VALUES (?, 'new', ?, '')", ((i, i) for i in ids))
                        end.executemany("INSERT INTO entry VALUES (?, ?)", enumerate(entries))
                        end.execute("INSERT INTO tile VALUES (0, ?)", (hashes,))
                with ends[0] as sender:
                    sender.execute("BEGIN IMMEDIATE")
                    sender.execute("INSERT INTO body VALUES ('receipt', ?, ?)", (wrapped, receipt))
                    sender.executemany(
                        "UPDATE message SET state = 'delivered' WHERE id = ?", ((i,) for i in ids)
                    )
        finally:
            for end in ends:
                end.close()


def _store(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    for setting in SETTINGS:
        connection.execute(f"PRAGMA {setting}")
    if connection.execute("PRAGMA synchronous").fetchone() != (2,):
        raise Conflict("the database of the floor is not durable")
    connection.executescript(SCHEMA)
    return connection

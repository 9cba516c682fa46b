"""Two organisations in one process, wired from the real parts: no socket, no TLS, no process, a clock that stands.

`founding` makes two homes once; each test gets a `World` over a copy. What a kill or a lost answer does, `faults` says.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from adapters.identities.fixed import FixedClock, SeededIds
from adapters.records.sanctions.reader import READERS as LIST_READERS
from adapters.records.synthetic import variation_of
from adapters.stores.database import connect
from adapters.stores.sql import SqliteStore
from gateway.audit.checkpoint import VerifierKey, log_key_name
from gateway.audit.verify import LogVerdict, verify_log
from gateway.errors import Unavailable
from gateway.flow.change import digest
from gateway.model.officer import Role
from gateway.model.rows import InboxRow, LogRow, OutboxRow, ReleaseRow, Row
from gateway.policy.levels import default_levels
from gateway.ports import ReadTx
from gateway.service import calls
from gateway.service.app import LINE_READERS
from gateway.service.changes import Changes
from gateway.service.config import Witnessing
from gateway.service.context import Gateway
from gateway.service.desk import Desk
from gateway.service.directory import load_directory
from gateway.service.dispatcher import Dispatcher
from gateway.service.imports import Imports
from gateway.service.intake import Intake
from gateway.service.keeper import Keeper
from gateway.service.lanes import Queue
from gateway.service.ledger import Ledger
from gateway.service.log_source import StoredLog
from gateway.service.refusals import Refusals
from gateway.service.releases import Releases
from gateway.service.rollback import refuse_rollback
from gateway.service.sealing import Sealing
from gateway.service.signer.authority import Authority
from gateway.service.signer.trust import TrustFile
from gateway.service.signer_main import kinds
from gateway.service.vault import Vault
from gateway.wire.container import Preamble, decrypt, deframe, encrypt, pack, split, unpack
from gateway.wire.endorse import sign_change, sign_endorsement
from gateway.wire.jws import thumbprint
from gateway.wire.seal import SealHeader, read_seal, sign_seal
from gateway.wire.strict import b64url_decode
from tests.service.faults import CountedStore, Faults, InProcessSigner, KeptKeks, Killed
from tests.service.loopback import Loopback

if TYPE_CHECKING:
    from tests.service.founding import Founded, FoundedHome

T = TypeVar("T")
R = TypeVar("R", bound=Row)

NOW = datetime(2026, 11, 21, 21, tzinfo=UTC)
BE, FR = "bel.ocam", "fra.police-demo"
NATION = {BE: "BEL", FR: "FRA"}
KIND, ASKED = "bdc-person/1.0", "information-request/1.0"
NOTE, CONSENT = "information-note/1.0", "consent-request/1.0"
BASIS = "be-2024-03-29:art28"
PURPOSE = "ct-prevention"
SERIES = f"{BE}-{FR}"

KINDS, LEVELS = kinds(), default_levels()

#: Persons of the extract that every world starts with.
PERSONS = 20

#: Entity ids of the clean ones: nothing in their records stands against a release to the French police.
CLEAN = tuple(f"BDC-{number:06d}" for number in range(2, PERSONS + 1) if not variation_of(number))

#: Id: organisation, person, roles, needs to know the records. The first two of each organisation found its home.
OFFICERS: dict[str, tuple[str, str, tuple[Role, ...], bool]] = {
    "be-requester": (BE, "anna", ("requester", "security-officer"), True),
    "be-approver": (BE, "bert", ("approver", "lift-approver", "reviewer", "security-officer"), True),
    "be-anna-again": (BE, "anna", ("approver", "security-officer"), True),  # a second key of the requester
    "be-anna-and-operator": (BE, "carl", ("approver", "security-officer", "operator"), True),
    "be-stranger": (BE, "dora", ("requester", "approver", "inbox"), False),  # no need to know
    "fr-inbox": (FR, "emil", ("inbox", "requester", "reviewer", "security-officer"), True),
    "fr-second": (FR, "fien", ("approver", "security-officer"), True),
    **{
        f"be-only-{role}": (BE, f"only-{role}", (role,), True)
        for role in ("requester", "approver", "lift-approver", "reviewer", "security-officer", "operator", "inbox")
    },
}  # fmt: skip


#: Joins later: a founding document names each person once.
SECOND_KEY = "be-anna-again"


@dataclass(frozen=True)
class Identity:
    """An officer with the private key, as at a keyboard."""

    officer: str
    key: EllipticCurvePrivateKey

    @property
    def kid(self) -> str:
        return thumbprint(self.key.public_key())


# --- one side --------------------------------------------------------------------------------------------------------


class Side:
    """One organisation: what survives a kill (store, the signer's files), and the gateway that runs over it."""

    def __init__(self, world: World, org: str, home: FoundedHome, store: SqliteStore) -> None:
        self.world, self.org, self.home, self.store = world, org, home, store
        self.files = {
            "trust.json": home.trust,
            "heads.json": home.heads,
            "alone.json": b"",
            "witnessed.json": b"",
        }
        self.keks = KeptKeks(home.kek, NOW)
        self.ids = SeededIds(f"{world.seed}/{org}")
        # no rounds of asking run here: a bound on what is unwitnessed is for the tests that set one
        self.config = msgspec.structs.replace(home.config, witnessing=Witnessing(unwitnessed_s=10**10))
        self.wire = Loopback(world, org)
        self.ended: list[str] = []  # reasons for which this process would have ended with code 4

    async def boot(self) -> None:
        """Start the process: nothing is kept but the store and the signer's files. Refuses a store rolled back."""
        trust, heads, alone, witnessed = (
            self.files[f"{name}.json"] for name in ("trust", "heads", "alone", "witnessed")
        )
        kept = TrustFile(trust, heads, self.files.__setitem__, alone, witnessed)
        keys = replace(self.home.keys, keks=self.keks.load())
        authority = Authority(keys, kept, kinds=KINDS, levels=LEVELS, now=self.world.clock.now)
        self.signer = InProcessSigner(self.org, authority, self.world.clock, self.world.faults)
        self.vault = Vault(self.signer, self.ids)
        now = self.world.clock.now()
        self.gateway = Gateway(
            config=self.config,
            config_sha256="",
            store=CountedStore(self.org, self.store, self.world.faults),
            signer=self.signer,
            clock=self.world.clock,
            ids=self.ids,
            vault=self.vault,
            ledger=Ledger(self.org, self.vault, self.ids),
            transport=self.wire,
            kinds=KINDS,
            levels=LEVELS,
            directory=await self.store.read(lambda tx: load_directory(tx, now=now)),
            fatal=self.ended.append,
        )
        await refuse_rollback(self.gateway)
        self.releases = Releases(self.gateway)
        self.sealing = Sealing(self.gateway, self.releases)
        self.dispatcher = Dispatcher(self.gateway, self.sealing)
        self.intake = Intake(self.gateway)
        self.imports = Imports(self.gateway, {**LINE_READERS, **LIST_READERS})
        self.changes = Changes(self.gateway)
        self.queue = Queue(self.gateway, self.sealing)
        self.desk = Desk(self.gateway, self.releases, self.imports, self.changes, self.queue)
        self.refusals = Refusals(self.gateway)
        self.keeper = Keeper(self.gateway, self.imports, self.refusals, self.desk.notices)

    # --- the desk ---------------------------------------------------------------------------------------------------

    async def call(self, officer: str, operation: str, params: calls.Params) -> Any:
        """One operation of the desk, as an officer in force whose role allows it."""
        who = self.gateway.directory.officers[officer]
        found = self.desk.operations()[operation]
        assert set(found.roles) & set(who.roles), "the test asks for an operation the officer's roles refuse"
        return await found.call(who, params)

    def endorse(self, officer: str, act: Any, statements: Sequence[bytes]) -> str:
        """The officer's signature over these statements."""
        identity = self.world.officers[officer]
        return sign_endorsement(
            identity.key,
            identity.kid,
            officer=officer,
            act=act,
            at=self.world.clock.now(),
            statements=statements,
        )

    async def prepare(self, record: str, conversation: str = "", to: str = "") -> calls.DecisionView:
        """C1: one release of one record, by the requester."""
        params = calls.Disclose(
            record, (to or self.partner,), PURPOSE, BASIS, "synthetic case", conversation or self.ids.uuid()
        )
        views: list[calls.DecisionView] = await self.call("be-requester", "releases/prepare", params)
        return views[0]

    async def request(self, record: str, conversation: str = "") -> calls.DecisionView:
        """C1 and C2."""
        view = await self.prepare(record, conversation)
        assert view.effect == "PERMIT", [reason.rule for reason in view.reasons]
        token = self.endorse("be-requester", "request", [view.statement])
        await self.call("be-requester", "releases/endorse", calls.Endorsed((view.release,), token))
        return view

    async def approve(self, *views: calls.DecisionView, officer: str = "be-approver") -> calls.Approved:
        """C3, as one endorsement over all of them."""
        token = self.endorse(officer, "approve", [view.statement for view in views])
        params = calls.Endorsed(tuple(view.release for view in views), token)
        approved: calls.Approved = await self.call(officer, "releases/approve", params)
        return approved

    async def disclose(self, *records: str, conversation: str = "") -> list[calls.DecisionView]:
        """C1 to C3 for records of one conversation, in order."""
        conversation = conversation or self.ids.uuid()
        views = [await self.request(record, conversation) for record in records]
        approved = await self.approve(*views)
        assert not approved.voided
        return views

    async def send(self) -> None:
        """Let the dispatcher send until nothing is due."""
        for _ in range(50):
            if not await self.dispatcher.send_batch(self.partner):
                return
        raise AssertionError("the dispatcher turns without an end")

    async def change(
        self, kind: str, target: str, document: bytes, first: str = "", second: str = ""
    ) -> calls.ChangeView:
        """One two-person change; a narrowing one is applied by the first person's word."""
        first, second = first or f"{self.prefix}{self._first}", second or f"{self.prefix}{self._second}"
        view = await self.propose(kind, target, document, first)
        if view.state == "applied":
            return view
        params = calls.ApproveChange(view.id, self.sign_change(second, "approve", view.statement))
        approved: calls.ChangeView = await self.call(second, "changes/approve", params)
        return approved

    async def propose(self, kind: str, target: str, document: bytes, officer: str) -> calls.ChangeView:
        draft = await self.call(officer, "changes/draft", calls.DraftChange(kind, target, document))
        signature = self.sign_change(officer, "propose", draft.statement)
        params = calls.ProposeChange(draft.statement, draft.document, signature)
        proposed: calls.ChangeView = await self.call(officer, "changes/propose", params)
        return proposed

    def sign_change(self, officer: str, act: Any, statement: bytes) -> str:
        identity = self.world.officers[officer]
        return sign_change(
            identity.key,
            identity.kid,
            officer=officer,
            act=act,
            at=self.world.clock.now(),
            statement=statement,
        )

    # --- looking ----------------------------------------------------------------------------------------------------

    @property
    def partner(self) -> str:
        return FR if self.org == BE else BE

    @property
    def prefix(self) -> str:
        return "be-" if self.org == BE else "fr-"

    @property
    def _first(self) -> str:
        return "requester" if self.org == BE else "inbox"

    @property
    def _second(self) -> str:
        return "approver" if self.org == BE else "second"

    def rows(self, row: type[R], /, **where: object) -> list[R]:
        """Rows of the store, read at once."""
        return _now(self.store.read(lambda tx: tx.select(row, where or None)))

    def release(self, view: calls.DecisionView) -> ReleaseRow:
        (row,) = self.rows(ReleaseRow, id=view.release)
        return row

    def outbox(self, view: calls.DecisionView) -> OutboxRow | None:
        """The message as it waits or went, or None before it was queued and after a void took its place."""
        return next(iter(self.rows(OutboxRow, message_id=view.message_id)), None)

    def received(self, conversation: str = "") -> list[InboxRow]:
        """What this side accepted, by conversation and place."""
        rows = self.rows(InboxRow, conversation=conversation) if conversation else self.rows(InboxRow)
        return sorted(rows, key=lambda row: (row.conversation, row.seq))

    def log_size(self, origin: str = "") -> int:
        """Entries of our log about the partner, or of another."""
        name = origin or self.gateway.ledger.of_partner(self.partner)
        return next((row.size for row in self.rows(LogRow) if row.origin == name), 0)

    def verdicts(self) -> list[LogVerdict]:
        """The offline verifier's word on every log of this side."""
        records = [record for record in self.home.keys.records if record.use == "log"]
        vkeys = [VerifierKey(log_key_name(self.org), b64url_decode(record.public)) for record in records]

        def read(tx: ReadTx) -> list[LogVerdict]:
            return [verify_log(StoredLog(tx, row.origin), vkeys) for row in tx.select(LogRow)]

        return _now(self.store.read(read))


def _now(read: Awaitable[T]) -> T:
    """The result of a read, which never waits: it can be had outside of a loop's turn."""
    step = read.__await__()
    try:
        next(step)
    except StopIteration as end:
        value: T = end.value
        return value
    raise AssertionError("a read waited")


# --- the world -------------------------------------------------------------------------------------------------------


class World:
    """Both sides, one clock, one script of faults."""

    def __init__(self, founded: Founded, seed: str = "world", folder: Path | None = None) -> None:
        self.founded, self.seed, self.clock, self.faults = founded, seed, FixedClock(NOW), Faults()
        self.officers = founded.officers
        self.sides = {
            org: Side(self, org, home, _copy(home.database, folder / f"{org}.sqlite" if folder else None))
            for org, home in founded.homes.items()
        }

    @property
    def be(self) -> Side:
        return self.sides[BE]

    @property
    def fr(self) -> Side:
        return self.sides[FR]

    async def boot(self) -> World:
        for side in self.sides.values():
            await side.boot()
        return self

    async def surviving(self, step: Callable[[], Awaitable[T]]) -> T | None:
        """Do one step; a process that is killed in it is started again, and what was away is there the next time."""
        try:
            return await step()
        except Killed as killed:
            await self.sides[killed.org].boot()
        except Unavailable:
            pass
        return None

    def close(self) -> None:
        for side in self.sides.values():
            side.store.close()


def _copy(database: Path, path: Path | None) -> SqliteStore:
    def fatal(reason: str) -> None:
        raise AssertionError(f"the store failed: {reason}")

    source = sqlite3.connect(database)
    target = connect(path)
    try:
        source.backup(target)
    finally:
        source.close()
    if path is None:
        return SqliteStore(target, target, path=None, fatal=fatal)
    target.close()
    path.chmod(0o600)
    return SqliteStore.open(path, fatal=fatal)


# --- what travels ----------------------------------------------------------------------------------------------------


class Opened(msgspec.Struct, frozen=True):
    """A sealed message as its addressee reads it."""

    preamble: bytes
    jws: str
    header: SealHeader
    payload: bytes
    size: int
    second: str


def opened(world: World, batch: bytes) -> list[Opened]:
    """The messages of a batch, with the addressee's key."""
    found = []
    for sealed in deframe(batch):
        preamble, line, ciphertext = split(sealed)
        key = world.sides[preamble.aud].home.keys.opening(preamble.suite)
        parts = unpack(decrypt(line, ciphertext, key))
        found.append(Opened(line, parts.jws, read_seal(parts.jws), parts.payload, len(sealed), parts.second))
    return found


def reseal(
    world: World,
    like: Opened,
    payload: bytes | None = None,
    *,
    key: EllipticCurvePrivateKey | None = None,
    **changes: object,
) -> bytes:
    """A message like another with some of its header otherwise, sealed by its sender (or with another key)."""
    content = like.payload if payload is None else payload
    header = msgspec.structs.replace(like.header, payload_sha256=digest(content), **changes)
    sender = world.sides[like.header.iss]
    jws = sign_seal(header, content, key or sender.home.keys.message)
    preamble = Preamble(
        v=1, suite=header.suite, iss=header.iss, aud=header.aud, jti=header.jti, enc_kid=header.enc_kid
    )
    addressee = world.sides[like.header.aud].home.entry
    (public,) = (key for key in addressee.keys_for("encryption") if key.alg == header.suite)
    return encrypt(preamble, pack(jws, content), public)

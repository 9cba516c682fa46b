"""One world of a pair: the two gateways of `tests.service`, with chance fixed, and everything that can be seen of them.

What the partner sees is a list of sightings; two worlds that differ only in what is withheld must make equal lists.
What our own people see (logs, errors, metrics) is text, and is searched instead.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import sys
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import structlog
from aiohttp.test_utils import make_mocked_request

from adapters.identities.fixed import SeededIds
from gateway.audit.checkpoint import partner_origin
from gateway.audit.entry import body_commitment, master_commitment, parse_partner_entry
from gateway.errors import GatewayError, Unavailable
from gateway.flow.change import canonical
from gateway.model.agreement import AgreementTerms
from gateway.model.rows import CheckpointRow, EntryRow, OutboxRow, ReleaseRow
from gateway.model.time import rfc3339
from gateway.ports import ReadTx
from gateway.service.config import AnswerSlots
from gateway.service.contents import CodedBody, ProtocolBody, ReleaseBody
from gateway.service.logs import configure_logging
from gateway.service.ops import Operations
from gateway.service.problems import desk_problem, partner_problem
from gateway.service.vault import keys_of
from tests.service.faults import Faults, Killed
from tests.service.founding import Founded, sign_agreement
from tests.service.world import BE, FR, SERIES, Side, World, opened

T = TypeVar("T")

#: A sighting that is a fault by itself, in whichever world.
NO_END = "no end"


class PlacedIds(SeededIds):
    """Ids that follow from seed, step and the place in the code that asks: one draw more in one place, such as for the
    entry of a denial, shifts nothing anywhere else. Chance itself says nothing; that it was drawn must not either."""

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self._at, self._counts = "", Counter[str]()

    def begin(self, step: str) -> None:
        """From here on every place starts afresh."""
        self._at = step
        self._counts.clear()

    def uuid(self) -> str:
        return str(uuid.UUID(bytes=self._draw()[:16], version=4))

    def blind(self) -> bytes:
        return self._draw()

    def _draw(self) -> bytes:
        place = sys._getframe(2).f_code.co_qualname
        self._counts[place] += 1
        text = f"ecluse/placed-ids/1\n{self._seed}\n{self._at}\n{place}\n{self._counts[place]}"
        return hashlib.sha256(text.encode()).digest()


class NamedFaults(Faults):
    """Faults that strike the n-th call of one name. Calls of other names do not count: whether a store of data keys
    has to be filled up depends on everything that was written, and is nothing that a partner sees."""

    name = ""

    def strike(self, name: str, at: int, mode: str) -> None:
        """From now on: the call number ``at`` (from 0) of this name."""
        self.arm(at, mode)
        self.name = name

    async def around(
        self, org: str, name: str, call: Callable[[], Awaitable[T]], away: Callable[[], Unavailable] | None
    ) -> T:
        if f"{org} {name}" != self.name:
            return await call()
        return await super().around(org, name, call, away)


class Sighting(msgspec.Struct, frozen=True):
    """One thing that the partner sees, or could work out from what it sees."""

    step: str
    what: str
    value: Any


@dataclass
class Setting:
    """What is the same in both worlds of a pair, for a whole episode."""

    terms: AgreementTerms
    seed: str
    signed_master: (
        bool  # heads of the master log are signed, and every entry to the partner commits to the newest
    )
    batch_messages: int


@dataclass
class Leakage:
    """A world with its transcript."""

    world: World
    setting: Setting
    seen: list[Sighting] = field(default_factory=list)
    said: list[str] = field(default_factory=list)  # error texts and answers of ours
    reads: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    agreed: int = 0  # version of the agreement in force
    last: bytes = b""  # payload of the newest message that the partner got

    @property
    def be(self) -> Side:
        """The side that withholds."""
        return self.world.be

    @property
    def fr(self) -> Side:
        """The partner."""
        return self.world.fr

    async def step(self, name: str, act: Callable[[], Awaitable[T]]) -> T | None:
        """Do one thing, under its own chance; what it raises is kept as our people would see it.

        A killed process is started again at once, and is part of the step.
        """
        for org, side in self.world.sides.items():
            assert isinstance(side.ids, PlacedIds)
            side.ids.begin(f"{name}/{org}")
        random.seed(f"{self.setting.seed}/{name}")
        answer: T | None = None
        try:
            answer = await act()
        except Killed as killed:
            await self.world.sides[killed.org].boot()
        except GatewayError as error:
            self.say(error)
        self._look(name)
        return answer

    def say(self, error: GatewayError) -> None:
        """Keep an error in every form in which somebody may read it."""
        self.said += [str(error), error.detail, repr(dict(error.diagnostic)), error.code]
        for answer in (partner_problem(error), desk_problem(error)):
            assert isinstance(answer.body, bytes)
            self.said.append(answer.body.decode())

    def see(self, step: str, what: str, value: Any) -> None:
        self.seen.append(Sighting(step, what, value))

    # --- the agreement ------------------------------------------------------------------------------------------

    async def agree(self) -> None:
        """Both sides put the next version of the agreement in force."""
        self.agreed = max(self.agreed + 1, self.setting.terms.version)
        for side in self.world.sides.values():
            await side.change("agreement", SERIES, self._signed())

    async def revoke(self) -> None:
        """Our side ends the agreement, as one person may."""
        await self.be.change("agreement-revoke", SERIES, self._signed())

    def _signed(self) -> bytes:
        terms = msgspec.structs.replace(self.setting.terms, version=self.agreed)
        return canonical(sign_agreement(terms, self.world.founded.agreement_keys))

    # --- what travelled -----------------------------------------------------------------------------------------

    def _look(self, step: str) -> None:
        """Everything that travelled in this step, in order, as plain as the addressee has it."""
        at = rfc3339(self.world.clock.now())
        for org, side in self.world.sides.items():
            wire = side.wire
            batches, posts, fetched = self.reads.get(org, (0, 0, 0))
            self.reads[org] = len(wire.batches), len(wire.posts), len(wire.fetched)
            for batch in wire.batches[batches:]:
                self.see(step, f"{org} posts", (at, len(batch)))
                try:
                    messages = opened(self.world, batch)
                except GatewayError:  # nobody can open it; its bytes were seen all the same
                    self.see(step, "unreadable", len(batch))
                    continue
                for message in messages:
                    self._message(step, org, message)
            for post in wire.posts[posts:]:
                answer: object = post.answer
                if org == FR and self.setting.signed_master:
                    answer = len(post.answer)  # the root in its checkpoint commits to the master log
                self.see(step, f"{org} is answered", answer)
            for message_id in wire.fetched[fetched:]:
                self.see(step, f"{org} fetches", message_id)

    def _message(self, step: str, org: str, message: Any) -> None:
        header, jws = msgspec.to_builtins(message.header), message.jws
        if org == BE and self.setting.signed_master:
            header["checkpoint"], jws = _shape(header["checkpoint"]), len(jws)
        self.see(step, "size", message.size)
        self.see(step, "preamble", message.preamble)
        self.see(step, "header", json.dumps(header))
        self.see(step, "seal", jws)
        self.see(step, "payload", message.payload)
        self.counts[message.header.message_type] += 1
        if org == BE and message.header.message_type == "disclosure":
            self.last = message.payload

    def look_at_log(self, step: str) -> None:
        """Our log about the partner: it gets heads and proofs of it, so its entries are as good as seen."""
        rows = self.be.rows(EntryRow, origin=partner_origin(BE, FR))
        for row in sorted(rows, key=lambda row: row.position):
            entry = json.loads(row.entry)
            if self.setting.signed_master:
                entry["master"] = len(entry.get("master", ""))
            self.see(step, "entry", json.dumps(entry))
        heads = self.be.rows(CheckpointRow, origin=partner_origin(BE, FR))
        self.see(step, "signed heads", sorted(row.size for row in heads))

    async def commitments(self) -> list[str]:
        """Findings about what our log promises the partner: every commitment opens under a salt of its own, and no
        blind comes twice."""
        be, origin = self.be, partner_origin(BE, FR)
        entries = {row.position: row.entry for row in be.rows(EntryRow, origin=origin)}
        parsed = {place: parse_partner_entry(raw) for place, raw in entries.items()}
        findings = []
        for part in ("blind", "body", "master"):
            if len({getattr(entry, part) for entry in parsed.values()}) != len(parsed):
                findings.append(f"two entries share their {part}")
        notes = [row.note for row in be.rows(CheckpointRow, origin=be.gateway.ledger.master)]
        sent = await self._sent()
        if len({salt for salt, *_ in sent}) != len(sent):
            findings.append("two messages share their salt")
        for salt, payload, place in sent:
            entry = parsed[place]
            if entry.body != body_commitment(salt, hashlib.sha256(payload).digest()):
                findings.append("an entry commits to other bytes, or under another salt")
            derived = hashlib.sha256(b"ecluse/master-salt/1\n" + salt).digest()
            if entry.master not in {master_commitment(derived, note) for note in (b"", *notes)}:
                findings.append("an entry commits to no head of the master log")
        return findings

    async def _sent(self) -> list[tuple[bytes, bytes, int]]:
        """Salt, payload and entry of every message that has its place in the log."""
        be = self.be
        rows = [row for row in be.rows(OutboxRow) if row.entry >= 0]
        await be.vault.unlock(await be.store.read(lambda tx: keys_of(tx, [row.key for row in rows])))

        def read(tx: ReadTx) -> list[tuple[bytes, bytes, int]]:
            found = []
            for row in rows:
                if row.release:
                    shape: type[CodedBody | ReleaseBody] = ReleaseBody
                    if row.type == "no-information":
                        shape = CodedBody
                    content = be.vault.open(tx, row.body, shape)
                    found.append((content.salt, content.payload, row.entry))
                else:
                    body = be.vault.open(tx, row.body, ProtocolBody)
                    found.append((body.salt, body.payload, row.entry))
            return found

        return await be.store.read(read)

    # --- what our people see ------------------------------------------------------------------------------------

    async def shown(self) -> list[str]:
        """Errors and answers so far, metrics as of now, and every identifier that stands in the clear in the store."""
        metrics = await Operations(self.be.gateway)._metrics(make_mocked_request("GET", "/metrics"))
        assert isinstance(metrics.body, bytes)
        return [*self.said, metrics.body.decode()]

    def identifiers(self) -> str:
        """Every text that stands in the clear in our store, directory documents aside."""
        connection = self.be.store._reader
        found = []
        tables = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        ]
        for table in tables:
            if table in ("directory", "change"):
                continue
            for row in connection.execute(f'SELECT * FROM "{table}"'):  # noqa: S608 - our own names
                found += [cell for cell in row if isinstance(cell, str)]
        return "\n".join(found)

    def release_of(self, release: str) -> ReleaseRow | None:
        return next(iter(self.be.rows(ReleaseRow, id=release)), None)


def _shape(note: str) -> tuple[str, str, int]:
    origin, size, *_ = note.split("\n")
    return origin, size, len(note)


# --- making one ------------------------------------------------------------------------------------------------------


#: Seconds between two slots of answers.
SLOT_S = 10


async def start(founded: Founded, setting: Setting, folder: Path | None) -> Leakage:
    """A fresh world under this episode's agreement."""
    world = World(founded, setting.seed, folder)
    world.clock.advance(seconds=3600)
    world.faults = NamedFaults()
    for org, side in world.sides.items():
        side.ids = PlacedIds(f"{setting.seed}/{org}")
        delivery = msgspec.structs.replace(side.config.delivery, batch_messages=setting.batch_messages)
        side.config = msgspec.structs.replace(
            side.config, delivery=delivery, answers=AnswerSlots(SLOT_S, SLOT_S)
        )
    await world.boot()
    leakage = Leakage(world, setting)
    await leakage.step("agreement", leakage.agree)
    if setting.signed_master:
        await world.be.gateway.checkpoint_logs([world.be.gateway.ledger.master])
    return leakage


@contextmanager
def logged() -> Iterator[io.StringIO]:
    """What the gateways write to their log: their own processors, another file."""
    configure_logging()
    written = io.StringIO()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(written))
    try:
        yield written
    finally:
        structlog.reset_defaults()


__all__ = [
    "BE",
    "FR",
    "NO_END",
    "Leakage",
    "NamedFaults",
    "PlacedIds",
    "Setting",
    "Sighting",
    "logged",
    "start",
]

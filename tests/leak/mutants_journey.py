"""Leaks around the message: identifiers, seal, size, order, times, numbers and voids."""

from __future__ import annotations

import hashlib
import uuid
from datetime import timedelta
from typing import Any

import msgspec
import structlog

from gateway.errors import MalformedMessage
from gateway.flow.outbound import Void
from gateway.model.rows import LaneRow
from gateway.model.signing import Pseudonym
from gateway.service import dispatcher, intake, releases, sealing, slots
from gateway.service.signer.keys import SignerKeys
from gateway.wire import container
from tests.leak.planting import Mutant, Plant, number_of
from tests.service import world

log = structlog.get_logger()

Releases, Sealing, Dispatcher, Intake = (
    releases.Releases, sealing.Sealing, dispatcher.Dispatcher, intake.Intake,
)  # fmt: skip


#: Characters of a record that fits into the least bucket, roughly.
SMALL_RECORD = 2600


def _uuid(number: int) -> str:
    return str(uuid.UUID(bytes=hashlib.sha256(str(number).encode()).digest()[:16], version=4))


# --- identifiers -----------------------------------------------------------------------------------------------------


def _drafts_named_after(member: str) -> Any:
    """An id of the message follows from the record."""

    def plant(into: Plant) -> None:
        seen: dict[str, Any] = {}

        def remember(original: Any) -> Any:
            async def record(self: Any, name: str) -> Any:
                row, found = await original(self, name)
                seen["record"] = found
                return row, found

            return record

        def name(original: Any) -> Any:
            return lambda **given: original(**(given | {member: _uuid(number_of(seen["record"]))}))

        into.swap(Releases, "record", remember)
        into.swap(releases, "Draft", name)

    return plant


def reference_for_all_partners(into: Plant) -> None:
    into.swap(
        SignerKeys,
        "pseudonym",
        lambda original: (
            lambda self, wanted: original(self, Pseudonym("all", "", wanted.kind, wanted.entity_id))
        ),
    )


# --- seal and size ---------------------------------------------------------------------------------------------------


def _seal_request(member: str, change: Any) -> Any:
    """A member of the seal follows from the record."""

    def plant(into: Plant) -> None:
        def make(original: Any) -> Any:
            def request(**given: Any) -> Any:
                secret = into.secret(given["payload"])
                return original(**(given | {member: change(given[member], secret)}))

            return request

        into.swap(sealing, "SealRequest", make)

    return plant


def bucket_of_the_whole_record(into: Plant) -> None:
    """Padding to a bucket into which the whole record would fit; the partner reads it all the same."""

    def pack(original: Any) -> Any:
        def packed(jws: str, payload: bytes, *rest: Any) -> Any:
            record = into.records.get(hashlib.sha256(payload).hexdigest())
            large = record is not None and len(str(record.content)) > SMALL_RECORD
            return (
                _without_the_least_bucket(original, jws, payload, *rest)
                if large
                else original(jws, payload, *rest)
            )

        return packed

    def unpack(original: Any) -> Any:
        def unpacked(plaintext: bytes) -> Any:
            try:
                return original(plaintext)
            except MalformedMessage:
                return _without_the_least_bucket(original, plaintext)

        return unpacked

    into.swap(dispatcher, "pack", pack)
    into.swap(intake, "unpack", unpack)
    into.swap(world, "unpack", unpack)


def _without_the_least_bucket(call: Any, *given: Any) -> Any:
    buckets = container.BUCKETS
    container.BUCKETS = buckets[1:]
    try:
        return call(*given)
    finally:
        container.BUCKETS = buckets


# --- order, times, number of requests --------------------------------------------------------------------------------


def posted_twice(into: Plant) -> None:
    def make(original: Any) -> Any:
        async def post(self: Any, partner: str, going: Any) -> None:
            await original(self, partner, going)
            if any(into.secret(slot.payload) & 1 for slot in going):
                entry = self._g.directory.partner(partner)
                await self._g.transport.deliver(self._g.transport.batches[-1], to=entry)

        return post

    into.swap(Dispatcher, "_post", make)


def receipt_fetched_again(into: Plant) -> None:
    def make(original: Any) -> Any:
        async def settle(self: Any, going: Any, *rest: Any) -> None:
            await original(self, going, *rest)
            for slot in going:
                if into.secret(slot.payload) & 1:
                    entry = self._g.directory.partner(slot.row.partner)
                    await self._g.transport.fetch_receipt(slot.row.message_id, to=entry)

        return settle

    into.swap(Dispatcher, "_settle", make)


def lanes_in_the_order_of_records(into: Plant) -> None:
    def make(original: Any) -> Any:
        def due(tx: Any, now: Any, *rest: Any) -> Any:
            return sorted(original(tx, now, *rest), key=lambda lane: into.lanes.get(lane.conversation, 0))

        return due

    into.swap(slots, "due_lanes", make)


def lane_that_waits(into: Plant) -> None:
    def make(original: Any) -> Any:
        def approved(self: Any, tx: Any, now: Any, officer: Any, row: Any, body: Any, jws: str) -> Any:
            verdict = original(self, tx, now, officer, row, body, jws)
            lane = tx.get(LaneRow, row.partner, row.conversation)
            if lane is not None and into.secret(body.payload) & 1:
                tx.put(msgspec.structs.replace(lane, due=now + timedelta(seconds=5)))
            return verdict

        return approved

    into.swap(Releases, "_approved", make)


def number_spent_on_a_void(into: Plant) -> None:
    """A release that is voided before it has a number takes one all the same."""

    def make(original: Any) -> Any:
        def voided(self: Any, tx: Any, slot: Any, now: Any) -> bool:
            gone: bool = original(self, tx, slot, now)
            lane = tx.get(LaneRow, slot.row.partner, slot.row.conversation)
            if gone and lane is not None:
                tx.put(msgspec.structs.replace(lane, next_seq=lane.next_seq + 1))
            return gone

        return voided

    into.swap(Sealing, "_voided", make)


def short_batch_after_a_void(into: Plant) -> None:
    """What was voided before it had a number leaves its place in the batch empty."""

    def make(original: Any) -> Any:
        async def sequence(self: Any, partner: str, given: Any) -> Any:
            return [slot for slot in await original(self, partner, given) if slot.row.state != "queued"]

        return sequence

    into.swap(Sealing, "sequence", make)


def void_starts_the_back_off_afresh(into: Plant) -> None:
    """A release that is voided behind a lane that backs off makes its next try come sooner."""

    def make(original: Any) -> Any:
        def voided(self: Any, tx: Any, slot: Any, now: Any) -> bool:
            gone: bool = original(self, tx, slot, now)
            lane = tx.get(LaneRow, slot.row.partner, slot.row.conversation)
            if gone and lane is not None:
                tx.put(msgspec.structs.replace(lane, attempts=0, due=None))
            return gone

        return voided

    into.swap(Sealing, "_voided", make)


# --- voids and second looks ------------------------------------------------------------------------------------------


def _withdrawn(change: Any) -> Any:
    """How a message is withdrawn depends on why."""

    def plant(into: Plant) -> None:
        def make(original: Any) -> Any:
            def withdraw(self: Any, tx: Any, slot: Any, verdict: Void, now: Any) -> None:
                change(self, original, tx, slot, verdict, now)

            return withdraw

        into.swap(Sealing, "withdraw", make)

    return plant


def _in_time(self: Any, original: Any, tx: Any, slot: Any, verdict: Void, now: Any) -> None:
    original(self, tx, slot, verdict, now + timedelta(seconds=len(verdict.rule)))


def _in_language(self: Any, original: Any, tx: Any, slot: Any, verdict: Void, now: Any) -> None:
    config = self._g.config
    self._g.config = msgspec.structs.replace(config, language="nl" if verdict.rule == "embargo" else "fr")
    original(self, tx, slot, verdict, now)
    self._g.config = config


def _in_id(self: Any, original: Any, tx: Any, slot: Any, verdict: Void, now: Any) -> None:
    ids = self._g.ids
    self._g.ids = _Rigged(ids, len(verdict.rule))
    original(self, tx, slot, verdict, now)
    self._g.ids = ids


class _Rigged:
    """Ids of which the first UUID tells a number."""

    def __init__(self, ids: Any, number: int) -> None:
        self._ids, self._number = ids, number
        self.blind = ids.blind

    def uuid(self) -> str:
        return _uuid(self._number)


def second_look_skipped(into: Plant) -> None:
    """What was withdrawn meanwhile leaves all the same."""
    into.swap(Sealing, "recheck", lambda _: lambda *_args: None)


def embargo_not_asked_again(into: Plant) -> None:
    """Only what the record says is looked at again, not what was forbidden since."""

    def make(original: Any) -> Any:
        def recheck(self: Any, tx: Any, slot: Any, now: Any) -> Any:
            verdict = original(self, tx, slot, now)
            return None if isinstance(verdict, Void) and verdict.rule == "embargo" else verdict

        return recheck

    into.swap(Sealing, "recheck", make)


MUTANTS: tuple[Mutant, ...] = (
    Mutant("message-id-from-the-record", "identifier", _drafts_named_after("message_id")),
    Mutant("conversation-from-the-record", "identifier", _drafts_named_after("conversation")),
    Mutant("reference-for-all-partners", "identifier", reference_for_all_partners),
    Mutant("issued-with-an-offset", "seal", _seal_request("iat", lambda value, secret: value - secret % 60)),
    Mutant("expires-with-an-offset", "seal", _seal_request("exp", lambda value, secret: value - secret % 60)),
    Mutant("bucket-of-the-whole-record", "size", bucket_of_the_whole_record),
    Mutant("posted-twice", "sequence", posted_twice),
    Mutant("receipt-fetched-again", "sequence", receipt_fetched_again),
    Mutant("lanes-in-the-order-of-records", "sequence", lanes_in_the_order_of_records),
    Mutant("lane-that-waits", "time", lane_that_waits),
    Mutant("number-spent-on-a-void", "sequence", number_spent_on_a_void),
    Mutant("short-batch-after-a-void", "sequence", short_batch_after_a_void, ("plain", "down"), 3),
    Mutant("back-off-afresh-after-a-void", "time", void_starts_the_back_off_afresh, ("down",)),
    Mutant("void-dated-by-its-reason", "void", _withdrawn(_in_time), ("between",)),
    Mutant("void-in-a-language-by-its-reason", "void", _withdrawn(_in_language), ("between",)),
    Mutant("void-named-by-its-reason", "void", _withdrawn(_in_id), ("between",)),
    Mutant("second-look-skipped", "void", second_look_skipped),
    Mutant("embargo-not-asked-again", "void", embargo_not_asked_again, ("between",)),
)

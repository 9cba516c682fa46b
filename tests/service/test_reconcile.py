"""After a declared loss: what the partner shows of it is settled, counted and not sent again."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters.stores.sql import SqliteStore
from gateway.audit import tree
from gateway.audit.entry import parse_master_entry
from gateway.flow.change import canonical, digest
from gateway.model.epoch import LOGS, Epoch, KeptLog, ReconciledRow, RecoveredRow
from gateway.model.party import KeyRecord
from gateway.model.rows import DirectoryRow, EntryRow, LaneRow, LogRow, ReservationRow, TallyRow
from gateway.model.time import rfc3339
from gateway.ports import Tx
from gateway.service import calls
from gateway.service.calls.reconciling import PartnerOutcome, Reconcile, Reconciliation
from gateway.service.crossed import log_about
from gateway.service.epochs import EPOCH
from gateway.service.ledger import TxTiles
from gateway.wire.strict import b64url
from tests.service.asking import asked_line, put_in, sign
from tests.service.test_rollback import put_back
from tests.service.world import BASIS, BE, CLEAN, FR, PURPOSE, World

OFFICER = "be-only-operator"


async def lose(
    world: World, tmp_path: Path, lost: Callable[[], Awaitable[None]], admitted: int | None = None
) -> None:
    """BE is put back, with its signer's files, to before ``lost``; the loss is declared as two persons would."""
    be = world.be
    database, older = tmp_path / f"{BE}.sqlite", tmp_path / "older"
    be.store.settle()
    shutil.copyfile(database, older)
    files = dict(be.files)
    await lost()
    await be.gateway.checkpoint_logs([be.gateway.ledger.of_partner(FR)])
    await world.fr.gateway.checkpoint_logs([world.fr.gateway.ledger.of_partner(BE)])
    known = {row.origin: row.size for row in be.rows(LogRow)}
    be.store.close()
    put_back(database, older)
    be.files = files
    be.store = SqliteStore.open(database, fatal=be.ended.append)

    def declare(tx: Tx) -> None:
        kept = {row.origin: row.size for row in tx.select(LogRow)}
        logs = tuple(
            KeptLog(
                origin,
                size,
                tree.root(size, TxTiles(tx, origin)).hex(),
                known[origin] if admitted is None else size + admitted,
            )
            for origin in sorted(known)
            for size in [kept.get(origin, 0)]
        )
        raw = b64url(Ed25519PrivateKey.generate().public_key().public_bytes_raw())
        now = world.clock.now()
        key = KeyRecord(kid=f"{BE}/log/2", use="log", alg="Ed25519", public=raw)
        document = canonical(Epoch(1, BE, 2, "loss", rfc3339(now), key, logs))
        tx.insert(DirectoryRow(EPOCH, LOGS, 2, True, document, digest(document), now, "declared"))
        for lane in tx.select(LaneRow, at_least=("queued", 1)):
            tx.delete(LaneRow, {"partner": lane.partner, "conversation": lane.conversation})
            tx.insert(LaneRow(lane.partner, lane.conversation, lane.next_seq, lane.expected, lane.queued,
                              lane.position, held=True))  # fmt: skip

    await be.store.write(declare)
    await be.boot()


async def reconciled(world: World) -> PartnerOutcome:
    run: Reconciliation = await world.be.call(OFFICER, "reconcile", Reconcile())
    (outcome,) = run.partners
    return outcome


async def asked(world: World, number: int, conversation: str) -> None:
    """A request of the French side in this conversation, as far as it leaves now."""
    await put_in(world.fr, asked_line(number))
    params = calls.Disclose(f"REQ-{number:06d}", (BE,), PURPOSE, BASIS, "synthetic case", conversation)
    (view,) = await world.fr.call("fr-inbox", "releases/prepare", params)
    await sign(world.fr, view)
    await world.fr.send()


async def test_what_is_gone_here_is_recovered_and_counted(world_on_disk: World, tmp_path: Path) -> None:
    """A message made and delivered in the lost days: its number, type and receipt are known again; it counts as one
    more person; the lane goes on behind it; nothing leaves before; a second run finds nothing new."""
    world, be = world_on_disk, world_on_disk.be
    conversation = be.ids.uuid()
    await be.disclose(CLEAN[0], conversation=conversation)
    await be.send()

    async def lost() -> None:
        await be.disclose(CLEAN[1], conversation=conversation)
        await be.send()

    await lose(world, tmp_path, lost)
    (tally,) = be.rows(TallyRow)
    assert await be.dispatcher._partners() == []
    later = (await be.disclose(CLEAN[2], conversation=conversation))[0]
    assert await be.dispatcher._partners() == []
    outcome = await reconciled(world)
    assert (outcome.state, len(outcome.recovered), outcome.settled) == ("settled", 1, ())
    (message,) = outcome.recovered
    assert (message.type, message.seq, message.conversation) == ("disclosure", 2, conversation)
    assert message.receipt
    rows = be.rows(RecoveredRow, event="message")
    assert [(row.id, row.receipt, row.epoch) for row in rows] == [(message.id, message.receipt, 2)]
    (held,) = be.rows(ReservationRow, release=message.id)
    assert (held.origin, held.subject) == ("recovered", f"unknown/{message.id}")
    assert be.rows(TallyRow)[0].subjects == tally.subjects + 2
    await be.send()
    sent = be.outbox(later)
    assert sent is not None
    assert (sent.state, sent.seq) == ("delivered", 3)
    assert [row.seq for row in world.fr.received(conversation)] == [1, 2, 3]
    again = await reconciled(world)
    assert (again.recovered, again.settled, again.receipts) == ((), (), ())
    assert [row.epoch for row in be.rows(ReconciledRow)] == [2]
    events = [parse_master_entry(row.entry) for row in be.rows(EntryRow, origin=f"ecluse/{BE}/master")]
    assert [(one.actor, one.subject) for one in events if one.event == "epoch"] == [(OFFICER, FR)] * 2


@pytest.mark.parametrize("approved", [False, True])
async def test_what_was_to_leave_and_had_left_is_not_sent_again(
    world_on_disk: World, tmp_path: Path, approved: bool
) -> None:
    """In the backup it waits for its approval, or in its lane: the partner's receipt names its very bytes, so it is
    delivered; the partner is not sent it a second time."""
    world, be = world_on_disk, world_on_disk.be
    view = await be.request(CLEAN[0])
    if approved:
        await be.approve(view)

    async def lost() -> None:
        if not approved:
            await be.approve(view)
        await be.send()

    await lose(world, tmp_path, lost)
    sent = len(be.wire.batches)
    outcome = await reconciled(world)
    assert ([one.id for one in outcome.settled], outcome.recovered) == ([view.message_id], ())
    assert outcome.held == ()
    row = be.outbox(view)
    assert row is not None
    assert (row.state, row.seq, be.release(view).state) == ("delivered", 1, "delivered")
    assert len(be.rows(ReservationRow, release=view.release)) == 1
    assert all(not lane.held and lane.queued == 0 for lane in be.rows(LaneRow))
    await be.send()
    assert len(be.wire.batches) == sent


async def test_what_we_receipted_and_lost_is_named_and_comes_again(
    world_on_disk: World, tmp_path: Path
) -> None:
    """A message of the partner that only the lost days had: listed as missing; the next of its conversation makes the
    partner rewind, and both are here."""
    world, be = world_on_disk, world_on_disk.be
    conversation = be.ids.uuid()
    await asked(world, 1, be.ids.uuid())

    async def lost() -> None:
        await asked(world, 2, conversation)

    await lose(world, tmp_path, lost)
    assert [row.seq for row in be.received()] == [1]
    outcome = await reconciled(world)
    assert [(one.conversation, one.seq, one.type) for one in outcome.missing] == [
        (conversation, 1, "request")
    ]
    await asked(world, 3, conversation)
    world.clock.advance(seconds=600)
    await world.fr.send()
    assert [row.seq for row in be.received(conversation)] == [1, 2]
    assert (await reconciled(world)).missing == ()


async def test_a_message_that_was_withdrawn_is_shown_as_a_hash_alone(world_on_disk: World) -> None:
    """Announced in the log and not delivered: its leaf is there, its entry is not."""
    be = world_on_disk.be
    await be.disclose(CLEAN[0])
    be.wire.script.append("lost")
    await be.dispatcher.send_batch(FR)
    part = await log_about(be.gateway, FR, 0)
    assert part is not None
    assert b"{" not in part
    world_on_disk.clock.advance(seconds=600)
    await be.send()
    part = await log_about(be.gateway, FR, 0)
    assert part is not None
    assert part.count(b'"dir":"out","event":"message"') == 1


@pytest.mark.parametrize("how", ["away", "entry", "peak", "head", "start"])
async def test_an_answer_that_does_not_hold_settles_nothing(
    world_on_disk: World, tmp_path: Path, how: str
) -> None:
    """One changed byte, another start, no answer: named as that, nothing counted, nothing leaves."""
    world, be = world_on_disk, world_on_disk.be
    await be.disclose(CLEAN[0])
    await be.send()

    async def lost() -> None:
        await be.disclose(CLEAN[1])
        await be.send()

    await lose(world, tmp_path, lost)
    true = await log_about(world.fr.gateway, BE, 0)
    assert true is not None
    be.wire.parts.append(
        {
            "away": b"away",
            "entry": true.replace(b'"seq":1', b'"seq":2', 1),
            "peak": true.replace(b"0\n\n", b"0\nAAAA\n\n", 1),
            "head": true[:-10] + b"AAAAAAAA=\n",
            "start": true.replace(b"0\n\n", b"1\n\n", 1),
        }[how]
    )
    outcome = await reconciled(world)
    assert outcome.state == ("away" if how == "away" else "refused")
    assert be.rows(RecoveredRow) == []
    assert be.rows(ReconciledRow) == []
    await be.disclose(CLEAN[2])
    assert await be.dispatcher._partners() == []


async def test_more_than_was_lost_is_believed_of_nobody(world_on_disk: World, tmp_path: Path) -> None:
    """Each message of ours was an entry: a partner that names more of them than were declared lost is refused, and what
    it says counts for nothing."""
    world, be = world_on_disk, world_on_disk.be

    async def lost() -> None:
        await be.disclose(CLEAN[1], CLEAN[2])
        await be.send()

    await lose(world, tmp_path, lost, admitted=1)
    outcome = await reconciled(world)
    assert (outcome.state, outcome.code) == ("refused", "more-than-lost")
    for kind in (RecoveredRow, ReservationRow, ReconciledRow):
        assert be.rows(kind) == []


async def test_without_a_declared_loss_nobody_is_asked(world_on_disk: World) -> None:
    """Epoch 0, no partner."""
    run: Reconciliation = await world_on_disk.be.call(OFFICER, "reconcile", Reconcile())
    assert (run.epoch, run.partners) == (0, ())
    assert calls.Params in Reconcile.__mro__

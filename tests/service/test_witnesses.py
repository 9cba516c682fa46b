"""Cosignatures between two gateways: each vouches for the other's log about it; who stops holds up itself."""

from __future__ import annotations

from functools import partial

import msgspec
import pytest

from gateway.audit.checkpoint import Checkpoint, VerifierKey, log_key_name, parse, sign
from gateway.audit.entry import parse_master_entry
from gateway.audit.verify import LogVerdict, verify_log
from gateway.audit.witness import Ask, WitnessKey, cosignatures
from gateway.errors import MalformedMessage
from gateway.model.rows import CheckpointRow, CosignatureRow, EntryRow
from gateway.ports import ReadTx
from gateway.service.config import Witnessing
from gateway.service.held import log_key
from gateway.service.log_source import StoredLog, newest_heads
from gateway.service.witnesses import Witnesses, witness_keys
from tests.service.world import BE, CLEAN, FR, World

ABOUT_FR, ABOUT_BE = f"ecluse/{BE}/partner/{FR}", f"ecluse/{FR}/partner/{BE}"


async def told(world: World, record: str) -> None:
    """One message delivered; the newest heads of both sides are signed."""
    await world.be.disclose(record)
    await world.be.send()
    for side, origin in ((world.be, ABOUT_FR), (world.fr, ABOUT_BE)):
        await side.gateway.checkpoint_logs([origin])


def seen(
    origin: str, ours: list[VerifierKey], keys: list[WitnessKey], tx: ReadTx
) -> tuple[LogVerdict, list[CheckpointRow]]:
    """What a verifier that knows these keys says of a stored log, and the heads that are shown of it."""
    return verify_log(StoredLog(tx, origin), ours, witnesses=keys), newest_heads(tx, origin)


async def test_each_side_cosigns_the_other(world: World) -> None:
    """After a round each newest head bears both cosignatures of the other, proven from the last; a verifier that knows
    the keys says witnessed to the end."""
    for number in range(2):
        await told(world, CLEAN[number])
        for side in (world.be, world.fr):
            await Witnesses(side.gateway).round()
    for side, origin, other in ((world.be, ABOUT_FR, FR), (world.fr, ABOUT_BE, BE)):
        rows = side.rows(CosignatureRow, origin=origin)
        assert (len(rows), {row.witness for row in rows}) == (4, {f"ecluse/{other}/witness"})
        keys = witness_keys(side.gateway.directory.partner(other))
        ours = log_key(world.sides[other].gateway.directory.partner(side.org))
        verdict, (newest,) = await side.gateway.store.read(partial(seen, origin, ours, keys))
        assert (verdict.status, verdict.witnessed_size) == ("verified", verdict.size)
        assert len(cosignatures(parse(newest.note), keys)) == 2


async def test_the_asker_starts_where_the_witness_says(world: World) -> None:
    """Cosignatures that were lost, as after a restored backup, are asked for again from the size in the answer; and
    where nothing moved nobody is asked."""
    await told(world, CLEAN[0])
    asking = Witnesses(world.be.gateway)
    await asking.round()
    await world.be.store.write(lambda tx: tx.delete(CosignatureRow, {"origin": ABOUT_FR}))
    await told(world, CLEAN[1])
    await asking.round()
    asked = [Ask.parse(raw).old for raw in world.be.wire.asked]
    assert (asked[0], asked[1]) == (0, 0)
    assert asked[2] > 0
    assert len(world.be.rows(CosignatureRow)) == 2
    await asking.round()
    assert len(world.be.wire.asked) == 3


async def test_what_a_witness_answers(world: World) -> None:
    """Each refusal of C2SP tlog-witness with its status; two heads of one size are both kept, with an entry."""
    await told(world, CLEAN[0])
    newest = await world.be.gateway.store.read(lambda tx: world.be.gateway.ledger.newest(tx, ABOUT_FR))
    assert newest is not None
    witness, note, size = Witnesses(world.fr.gateway), newest.note, newest.size
    key = world.be.home.keys.log

    def other(origin: str, size: int) -> bytes:
        return sign(Checkpoint(origin, size, bytes(32)), log_key_name(BE), key)

    async def said(old: int, note: bytes, hashes: tuple[bytes, ...] = ()) -> tuple[int, bytes]:
        return await witness.answer(BE, Ask(old, hashes, note).encode())

    assert await said(0, other(f"ecluse/{BE}/master", 9)) == (404, b"")
    forged = note.replace(f"ecluse/{BE} ".encode(), b"ecluse/someone ")
    assert await said(0, forged) == (403, b"")
    status, lines = await said(0, note)
    assert (status, lines.count(b"\n")) == (200, 2)
    assert await said(0, note) == (409, f"{size}\n".encode())
    assert (await said(size, note))[0] == 200
    assert await said(size, other(ABOUT_FR, size)) == (409, b"")
    assert await said(size, other(ABOUT_FR, size + 5), (bytes(32),)) == (422, b"")
    for wrong in (b"", b"old 1", b"old 01\n\n" + note, b"old 0\nAA==\n\n" + note, b"old 0\n" + note):
        with pytest.raises(MalformedMessage):
            await witness.answer(BE, wrong)
    with pytest.raises(MalformedMessage):
        await said(size + 1, note)
    events = [
        parse_master_entry(row.entry).event for row in world.fr.rows(EntryRow, origin=f"ecluse/{FR}/master")
    ]
    assert "refused" in events


async def test_a_partner_that_stops_cosigning_holds_up_itself(world: World) -> None:
    """Within the bound its messages leave; beyond it they wait, and leave once it has cosigned."""
    world.be.gateway.config = msgspec.structs.replace(
        world.be.gateway.config, witnessing=Witnessing(unwitnessed_s=3600)
    )
    await told(world, CLEAN[0])
    world.clock.advance(seconds=3601)
    await world.be.disclose(CLEAN[1])
    assert await world.be.dispatcher._partners() == []
    await Witnesses(world.be.gateway).round()
    assert await world.be.dispatcher._partners() == [FR]

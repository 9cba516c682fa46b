"""A store that is behind what was signed refuses to run; a log that was touched is found."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from adapters.stores.sql import SqliteStore
from gateway.audit.tree import leaf_hash
from gateway.errors import AuditBroken
from gateway.model.rows import EntryBodyRow, EntryRow, LogRow, ReleaseRow, TileRow
from gateway.ports import Tx
from gateway.service.home import Home
from tests.service.founding import Founded
from tests.service.world import BE, CLEAN, FR, World

ROOT = Path(__file__).resolve().parents[2]


def put_back(side_path: Path, copy: Path) -> None:
    for suffix in ("-wal", "-shm"):
        side_path.with_name(side_path.name + suffix).unlink(missing_ok=True)
    shutil.copyfile(copy, side_path)
    side_path.chmod(0o600)


async def test_an_older_copy_of_the_store_is_refused(world_on_disk: World, tmp_path: Path) -> None:
    """Copied, used on, put back: the start is refused with `AuditBroken`, naming the log and both sizes; the newer
    store starts again."""
    be = world_on_disk.be
    database, older, newer = tmp_path / f"{BE}.sqlite", tmp_path / "older", tmp_path / "newer"
    await be.disclose(CLEAN[0])
    await be.send()
    be.store.settle()
    shutil.copyfile(database, older)
    await be.disclose(CLEAN[1])
    await be.send()
    be.store.settle()
    shutil.copyfile(database, newer)
    for copy, refused in ((older, True), (newer, False)):
        be.store.close()
        put_back(database, copy)
        be.store = SqliteStore.open(database, fatal=be.ended.append)
        if refused:
            with pytest.raises(AuditBroken) as broken:
                await be.boot()
            assert dict(broken.value.diagnostic) == {
                "log": f"ecluse/{BE}/partner/{FR}", "signed": 3, "stored": 2
            }  # fmt: skip
        else:
            await be.boot()


async def test_a_rolled_back_receiver_is_refused_too(world_on_disk: World, tmp_path: Path) -> None:
    """The receiver's log of what it accepted and receipted is under its own signed head."""
    fr = world_on_disk.fr
    database, older = tmp_path / f"{FR}.sqlite", tmp_path / "older"
    fr.store.settle()
    shutil.copyfile(database, older)
    await world_on_disk.be.disclose(CLEAN[0])
    await world_on_disk.be.send()
    await fr.gateway.checkpoint_logs([fr.gateway.ledger.of_partner(BE)])
    fr.store.close()
    put_back(database, older)
    fr.store = SqliteStore.open(database, fatal=fr.ended.append)
    with pytest.raises(AuditBroken):
        await fr.boot()


# --- what partners hold ----------------------------------------------------------------------------------------------


async def rolled_back(world: World, tmp_path: Path) -> None:
    """BE as a whole put back to before its last message, the signer's files too: nothing of its own knows better."""
    be = world.be
    database, older = tmp_path / f"{BE}.sqlite", tmp_path / "older"
    await be.disclose(CLEAN[0])
    await be.send()
    be.store.settle()
    shutil.copyfile(database, older)
    files = dict(be.files)
    await be.disclose(CLEAN[1])
    await be.send()
    be.store.close()
    put_back(database, older)
    be.files = files
    be.store = SqliteStore.open(database, fatal=be.ended.append)
    await be.boot()


async def test_a_home_put_back_whole_is_found_by_its_partner(world_on_disk: World, tmp_path: Path) -> None:
    """Database and signer's files agree with each other; the partner's copy of the last head says what is gone."""
    await rolled_back(world_on_disk, tmp_path)
    with pytest.raises(AuditBroken) as broken:
        await world_on_disk.be.dispatcher.abroad.ask()
    assert dict(broken.value.diagnostic) == {"log": f"ecluse/{BE}/partner/{FR}", "signed": 3, "stored": 2}


async def test_nothing_leaves_before_the_partner_was_heard(world_on_disk: World, tmp_path: Path) -> None:
    """Not reachable at the start, it is asked before the next batch, which then does not leave."""
    await rolled_back(world_on_disk, tmp_path)
    be, sent = world_on_disk.be, len(world_on_disk.be.wire.batches)
    await be.disclose(CLEAN[2])
    be.wire.heads.append("away")
    await be.send()  # the lane waits
    assert len(be.wire.batches) == sent
    world_on_disk.clock.advance(seconds=600)
    with pytest.raises(AuditBroken):
        await be.send()
    assert len(be.wire.batches) == sent


async def test_another_history_of_the_same_length_is_found(world_on_disk: World, tmp_path: Path) -> None:
    """Rolled back, and as much written again before anybody asked: the root at the partner's size is another."""
    await rolled_back(world_on_disk, tmp_path)
    be = world_on_disk.be
    await be.disclose(CLEAN[2])
    be.wire.heads.append("nothing")
    await be.send()
    await be.boot()
    with pytest.raises(AuditBroken) as broken:
        await be.dispatcher.abroad.ask()
    assert dict(broken.value.diagnostic) == {"log": f"ecluse/{BE}/partner/{FR}"}


@pytest.mark.parametrize("answer", ["away", "garbage"])
async def test_a_partner_that_does_not_answer_holds_up_no_start(world: World, answer: str) -> None:
    """Away, or answering what is no head of ours: the start goes on, its lane waits, and goes on when it answers."""
    be = world.be
    await be.disclose(CLEAN[0])
    await be.send()
    await be.boot()
    be.wire.heads.append(answer)
    await be.dispatcher.abroad.ask()
    view = (await be.disclose(CLEAN[1]))[0]
    await be.send()
    assert be.release(view).state == "delivered"


async def test_a_partner_is_asked_once_a_start(world: World) -> None:
    """Ten batches, one question."""
    be = world.be
    be.wire.heads += ["pass", "away"]
    for record in CLEAN[:3]:
        await be.disclose(record)
        await be.send()
    assert be.wire.heads == ["away"]


# --- edits -----------------------------------------------------------------------------------------------------------


async def test_an_edited_entry_ends_the_start(world: World) -> None:
    """One entry of a log is another, its tile as it was: the start names log and index."""
    be = world.be
    await be.disclose(*CLEAN[:2])
    await be.send()
    origin = be.gateway.ledger.of_partner(FR)
    rows = be.rows(EntryRow, origin=origin)
    await be.store.write(lambda tx: tx.put(msgspec.structs.replace(rows[1], entry=rows[0].entry)))
    with pytest.raises(AuditBroken) as broken:
        await be.boot()
    assert dict(broken.value.diagnostic) == {"log": origin, "index": 1}


async def test_an_entry_edited_with_its_tile_ends_the_start(world: World) -> None:
    """Entry and leaf agree, and are not those under the head that the signer signed."""
    be = world.be
    await be.disclose(*CLEAN[:2])
    await be.send()
    origin = be.gateway.ledger.of_partner(FR)
    rows = be.rows(EntryRow, origin=origin)
    (tile,) = be.rows(TileRow, origin=origin)
    leaf = leaf_hash(rows[0].entry)

    def edit(tx: Tx) -> None:
        tx.put(msgspec.structs.replace(rows[1], entry=rows[0].entry))
        tx.put(msgspec.structs.replace(tile, hashes=tile.hashes[:32] + leaf + tile.hashes[64:]))

    await be.store.write(edit)
    with pytest.raises(AuditBroken):
        await be.boot()


@pytest.mark.parametrize("count", [0, 1])
async def test_a_tail_cut_off_ends_the_start(world: World, count: int) -> None:
    """The last entry is gone and the count as it was, or an entry stands beyond the count."""
    be = world.be
    await be.disclose(CLEAN[0])
    await be.send()
    origin = be.gateway.ledger.of_partner(FR)
    (row,) = (row for row in be.rows(LogRow) if row.origin == origin)

    def cut(tx: Tx) -> None:
        if count:
            tx.insert(EntryRow(origin, row.size, b"{}"))
        else:
            tx.delete(EntryRow, {"origin": origin, "position": row.size - 1})

    await be.store.write(cut)
    with pytest.raises(AuditBroken) as broken:
        await be.boot()
    assert dict(broken.value.diagnostic) == {"log": origin, "index": row.size if count else row.size - 1}


async def cut_master(world: World, *, tile: bool) -> None:
    """Take the last entry of BE's master log out behind the gateway's back, from its tile too or not."""
    be = world.be
    master = be.gateway.ledger.master
    await be.gateway.checkpoint_logs([master])
    (row,) = (row for row in be.rows(LogRow) if row.origin == master)

    def cut(tx: Tx) -> None:
        where = {"origin": master, "position": row.size - 1}
        tx.delete(EntryRow, where)
        tx.delete(EntryBodyRow, where)
        tx.put(msgspec.structs.replace(row, size=row.size - 1))
        leaves = tx.get(TileRow, master, 0, 0)
        if tile and leaves is not None:
            tx.put(msgspec.structs.replace(leaves, hashes=leaves.hashes[:-32]))

    await be.store.write(cut)


async def test_nothing_is_appended_to_a_cut_log(world: World) -> None:
    """No log record, no message: the unit fails whole and its caller learns that the proof is broken."""
    await cut_master(world, tile=False)
    with pytest.raises(AuditBroken):
        await world.be.prepare(CLEAN[0])
    assert world.be.rows(ReleaseRow) == []


async def test_a_keeper_that_meets_a_rewritten_log_ends_the_process(world: World) -> None:
    """Cut with its tile, and others appended since: the next head is not consistent with the one signed, and the
    process is told to end rather than to sign another history."""
    be = world.be
    await cut_master(world, tile=True)
    for record in CLEAN[:2]:
        await be.prepare(record)
    keeper = asyncio.create_task(be.keeper.run())
    for _ in range(200):
        await asyncio.sleep(0.005)
        if be.ended:
            break
    keeper.cancel()
    await asyncio.gather(keeper, return_exceptions=True)
    assert be.ended == ["audit-broken"]


@pytest.mark.integration
def test_serve_exits_with_code_4_on_a_rolled_back_store(founded: Founded, tmp_path: Path) -> None:
    """The real process: an older store under a newer signer's heads ends `serve` with exit code 4, on standard error
    without a traceback."""
    source = founded.homes[BE].database.parent.parent / BE
    home = Home(tmp_path / "home")
    shutil.copytree(source, home.path)
    heads = {f"ecluse/{BE}/master": {"size": 1000, "root": "AAAA"}}
    (home.signer / "heads.json").write_bytes(msgspec.json.encode(heads))
    (home.signer / "heads.json").chmod(0o600)
    command = [sys.executable, "-m", "gateway.cli", "serve", "--home", str(home.path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=False)
    assert done.returncode == 4, done.stderr
    assert b"Traceback" not in done.stderr

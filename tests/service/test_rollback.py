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

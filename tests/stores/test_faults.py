"""What was acknowledged is there, whatever happens; what was not is whole or absent; and the store says so at once."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from adapters.stores.database import connect
from adapters.stores.sql import SqliteStore
from gateway.errors import StoreUnavailable
from gateway.model.rows import EntryRow, LogRow, MetaRow
from gateway.ports import ReadTx
from tests.stores.worker import LANES, append

ROOT = Path(__file__).resolve().parents[2]


def lost(reason: str) -> None:
    """The fatal hook of a store that must not fail."""
    raise AssertionError(reason)


def sizes(tx: ReadTx) -> dict[str, int]:
    """Size of each lane's log; each is checked against its entries."""
    found = {}
    for log in tx.select(LogRow):
        positions = [row.position for row in tx.select(EntryRow, {"origin": log.origin})]
        assert positions == list(range(log.size))
        found[log.origin] = log.size
    assert tx.count(EntryRow) == sum(found.values())
    return found


def check_acknowledged(path: Path, lines: Iterable[str]) -> None:
    """Each acknowledged position is in the database; beyond it at most the one that was under way."""
    acknowledged = {origin: int(position) + 1 for _, origin, position in map(str.split, lines)}
    assert len(acknowledged) == LANES
    store = SqliteStore.open(path, fatal=lost)
    try:
        found = asyncio.run(store.read(sizes))
        store.probe()
    finally:
        store.close()
    for origin, size in acknowledged.items():
        assert size <= found[origin] <= size + 1


def worker(path: Path, fault: str, *prefix: str) -> list[str]:
    return [*prefix, sys.executable, "-m", "tests.stores.worker", str(path), fault]


@pytest.mark.integration
def test_kill_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """Killed (SIGKILL) at ten random instants, each time over the same file: every acknowledged unit is there whole,
    in order, and none was half done."""
    path = tmp_path / "home.db"
    chance = random.Random(20261121)  # noqa: S311
    for _ in range(10):
        with subprocess.Popen(worker(path, "none"), cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            lines = [process.stdout.readline() for _ in range(LANES * 2)]
            time.sleep(chance.uniform(0, 0.1))
            process.send_signal(signal.SIGKILL)
            # The pipe may end in the middle of a line; that unit counts as not acknowledged.
            lines += [line for line in process.stdout if line.endswith("\n")]
        check_acknowledged(path, lines)


def run_to_the_end(command: list[str]) -> tuple[list[str], list[str]]:
    """Acknowledgements of a worker that fails by itself, and what it said then."""
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    lines = ended.stdout.splitlines()
    assert ended.returncode == 4, ended.stderr
    return [line for line in lines if line.startswith("ack ")], [
        line for line in lines if line[:5] in ("fatal", "probe")
    ]


@pytest.mark.integration
def test_a_file_that_cannot_grow(tmp_path: Path) -> None:
    """When the kernel refuses a write (EFBIG) the store ends by itself and acknowledged nothing that is not there."""
    path = tmp_path / "home.db"
    acks, said = run_to_the_end(worker(path, "filesize"))
    assert said[0] == "fatal store-ioerr-write"
    check_acknowledged(path, acks)


def needs_mount() -> tuple[str, ...]:
    """The prefix of a command that may mount in a name space of its own."""
    prefix = ("unshare", "--mount")
    if (
        shutil.which("unshare") is None
        or subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("needs the right to mount")
    return prefix


@pytest.mark.integration
def test_a_full_disk(tmp_path: Path) -> None:
    """On a full file system (ENOSPC) the store ends by itself, a probe is refused, and what was acknowledged stays."""
    prefix = needs_mount()
    home = tmp_path / "home"
    home.mkdir()
    acks, said = run_to_the_end(worker(home / "home.db", "full", *prefix))
    assert said == ["fatal store-full", "probe refused"]
    check_acknowledged(tmp_path / "after" / "home.db", acks)


@pytest.mark.integration
def test_a_read_only_mount(tmp_path: Path) -> None:
    """A read-only mount over the folder stops the next commit, although the open handle could still write."""
    prefix = needs_mount()
    path = tmp_path / "home.db"
    acks, said = run_to_the_end(worker(path, "readonly", *prefix))
    assert said == ["fatal store-readonly", "probe refused"]
    check_acknowledged(path, acks)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("injected", "reason"),
    [
        ("fdatasync:error=EIO:when=20+", "store-ioerr-fsync"),
        ("pwrite64:error=EIO:when=600+", "store-ioerr-write"),
        ("pwrite64:error=EROFS:when=600+", "store-ioerr-write"),
        ("pwrite64:error=ENOSPC:when=600+", "store-full"),
    ],
)
def test_a_failing_disk(tmp_path: Path, injected: str, reason: str) -> None:
    """From some call on the disk fails: the store ends by itself and acknowledged nothing that is not there."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    path = tmp_path / "home.db"
    call = injected.split(":")[0]
    strace = ("strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}", "-e", f"inject={injected}")
    acks, said = run_to_the_end(worker(path, "none", *strace))
    assert said == [f"fatal {reason}", "probe refused"]
    check_acknowledged(path, acks)


# --- each statement of a group, failed and failed but done -----------------------------------------------------------


class Faulty(sqlite3.Connection):
    """A connection that fails at the first statement that begins with ``at``: before it, or after it was done."""

    at = ""
    done = False

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if not self.at or not sql.startswith(self.at):
            return super().execute(sql, parameters)
        self.at = ""
        if self.done:
            super().execute(sql, parameters)
        failure = sqlite3.OperationalError("disk I/O error")
        failure.sqlite_errorname = "SQLITE_IOERR"
        raise failure


@pytest.mark.parametrize("done", [False, True], ids=["fails", "fails-but-done"])
@pytest.mark.parametrize("at", ["BEGIN", "SAVEPOINT", "INSERT", "ROLLBACK TO", "RELEASE", "COMMIT"])
async def test_failure_table(tmp_path: Path, at: str, done: bool) -> None:
    """Whichever statement of a group fails, whether or not it was done: nobody in the group gets a value, `fatal` is
    called once, the store refuses from then on, and after a restart all of the group is there only if the commit was
    done, else none of it."""
    path = tmp_path / "home.db"
    SqliteStore.open(path, fatal=lost).close()
    reasons: list[str] = []
    writer = sqlite3.connect(path, isolation_level=None, factory=Faulty)
    store = SqliteStore(writer, connect(path), path=path, fatal=reasons.append)
    await store.write(append("before"))
    writer.at, writer.done = at, done

    def refused(tx: object) -> None:
        raise KeyError

    outcomes = await asyncio.gather(
        *(store.write(unit) for unit in (append("a"), refused, append("b"))), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 3
    assert reasons == ["store-ioerr"]
    for late in (store.write(append("c")), store.read(sizes)):
        with pytest.raises(StoreUnavailable):
            await late
    assert reasons == ["store-ioerr"]
    store.close()

    store = SqliteStore.open(path, fatal=lost)
    persisted = {"a": 1, "b": 1} if (at, done) == ("COMMIT", True) else {}
    assert await store.read(sizes) == {"before": 1, **persisted}
    store.close()


async def test_a_unit_cannot_hide_a_failure(tmp_path: Path) -> None:
    """A unit that catches the database's failure and returns a value is not acknowledged, and nothing is committed."""
    path = tmp_path / "home.db"
    SqliteStore.open(path, fatal=lost).close()
    reasons: list[str] = []
    writer = sqlite3.connect(path, isolation_level=None, factory=Faulty)
    store = SqliteStore(writer, connect(path), path=path, fatal=reasons.append)

    def unit(tx: Any) -> str:
        tx.insert(MetaRow("t-1", ""))
        writer.at = "INSERT"
        with pytest.raises(StoreUnavailable):
            tx.insert(MetaRow("t-2", ""))
        return "well"

    with pytest.raises(StoreUnavailable):
        await store.write(unit)
    assert reasons == ["store-ioerr"]
    store.close()
    store = SqliteStore.open(path, fatal=lost)
    assert await store.read(lambda tx: tx.get(MetaRow, "t-1")) is None
    store.close()


@pytest.mark.parametrize("how", ["deleted", "replaced"])
async def test_a_file_that_is_gone(tmp_path: Path, how: str) -> None:
    """Deleted or replaced under the running store, the file takes no further commit: it would be lost with us."""
    path = tmp_path / "home.db"
    reasons: list[str] = []
    store = SqliteStore.open(path, fatal=reasons.append)
    await store.write(append("a"))
    if how == "replaced":
        shutil.copy(path, tmp_path / "copy")
        os.replace(tmp_path / "copy", path)
    else:
        path.unlink()
    with pytest.raises(StoreUnavailable):
        await store.write(append("a"))
    assert reasons == ["store-moved"]
    store.close()


async def test_damage_is_found(tmp_path: Path) -> None:
    """A page overwritten with noise is found when it is read, and by the inspection at the next start."""
    path = tmp_path / "home.db"
    store = SqliteStore.open(path, fatal=lost)
    for _ in range(200):
        await store.write(append("a"))
    store.close()
    size = path.stat().st_size
    reasons: list[str] = []
    store = SqliteStore.open(path, fatal=reasons.append)
    with path.open("r+b") as file:
        for page in range(size // 2 // 4096, size // 4096):
            file.seek(page * 4096)
            file.write(b"\xa5" * 100)
    with pytest.raises(StoreUnavailable):
        await store.read(sizes)
    assert reasons == ["store-corrupt"]
    store.close()
    with pytest.raises(StoreUnavailable):
        SqliteStore.open(path, fatal=lost)

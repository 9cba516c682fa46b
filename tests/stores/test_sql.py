"""SQLite in particular: one commit a group, settings that hold, what is refused at the start, what is really gone."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.stores.database import PRAGMAS, connect
from adapters.stores.sql import SqliteStore
from gateway.errors import ConfigInvalid, StoreUnavailable
from gateway.model.rows import EntryRow, KeyRow, MetaRow
from gateway.ports import ReadTx, Tx

NOW = datetime(2026, 11, 21, 21, 0, tzinfo=UTC)


def never(reason: str) -> None:
    """The fatal hook of a store that must not fail."""
    raise AssertionError(reason)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a store was made, and closed again."""
    made = tmp_path / "home.db"
    SqliteStore.open(made, fatal=never).close()
    return made


@pytest.fixture
def traced(path: Path) -> Iterator[tuple[SqliteStore, list[str]]]:
    """A store, and the statements its writer runs."""
    statements: list[str] = []
    writer = connect(path)
    store = SqliteStore(writer, connect(path), path=path, fatal=never, group=16)
    writer.set_trace_callback(statements.append)
    yield store, statements
    store.close()


def entry(number: int) -> EntryRow:
    return EntryRow("t", number, b"")


async def test_units_that_wait_share_a_commit(traced: tuple[SqliteStore, list[str]]) -> None:
    """Forty units called at once, sixteen to a group: three commits; nobody hears anything before the commit."""
    store, statements = traced
    order: list[str] = statements

    async def write(number: int) -> None:
        await store.write(lambda tx: tx.insert(entry(number)))
        order.append("answer")

    await asyncio.gather(*(write(number) for number in range(40)))
    assert [statement for statement in order if statement in ("BEGIN IMMEDIATE", "COMMIT")] == [
        "BEGIN IMMEDIATE",
        "COMMIT",
    ] * 3
    begun = answered = 0
    for statement in order:
        begun += statement.startswith("INSERT")
        if statement == "COMMIT":
            answered = begun
        if statement == "answer":
            answered -= 1
            assert answered >= 0


async def test_an_idle_store_waits_for_nobody(traced: tuple[SqliteStore, list[str]]) -> None:
    """A unit alone is committed in the next round of the loop."""
    store, statements = traced
    written = asyncio.ensure_future(store.write(lambda tx: tx.insert(entry(1))))
    for _ in range(3):  # the call, the tick, the answer
        await asyncio.sleep(0)
    assert written.done()
    assert statements.count("COMMIT") == 1


async def test_lingering_gathers_under_load(path: Path) -> None:
    """After a group of several, the next one waits a moment, and units that come meanwhile share its commit."""
    statements: list[str] = []
    writer = connect(path)
    store = SqliteStore(writer, connect(path), path=path, fatal=never, linger_s=0.05)
    await asyncio.gather(*(store.write(lambda tx, n=n: tx.insert(entry(n))) for n in range(2)))  # type: ignore[misc]
    writer.set_trace_callback(statements.append)
    first = asyncio.ensure_future(store.write(lambda tx: tx.insert(entry(10))))
    for _ in range(5):
        await asyncio.sleep(0)
    await asyncio.gather(first, store.write(lambda tx: tx.insert(entry(11))))
    assert statements.count("COMMIT") == 1
    store.close()


def test_settings_hold(path: Path) -> None:
    """Each setting reads back on a fresh connection as the store demands it: WAL, FULL, and the rest of the list."""
    connection = connect(path)
    found = {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in PRAGMAS}
    connection.close()
    assert found == {name: expected for name, (_, expected) in PRAGMAS.items()}
    assert (found["journal_mode"], found["synchronous"]) == ("wal", 2)


def test_a_store_that_cannot_log_is_refused(tmp_path: Path) -> None:
    """A database whose write-ahead log cannot be made (a folder has its name) does not open."""
    path = tmp_path / "home.db"
    (tmp_path / "home.db-wal").mkdir()
    with pytest.raises(StoreUnavailable):
        SqliteStore.open(path, fatal=never)


async def test_reads_cannot_write(path: Path) -> None:
    """The connection for reads refuses to write, whatever reaches it."""
    store = SqliteStore.open(path, fatal=never)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        store._reader.execute("DELETE FROM meta")
    store.close()


async def test_files_are_private(tmp_path: Path) -> None:
    """Database and log files have mode 0600, whatever the umask; a database open to others is refused."""
    path = tmp_path / "home.db"
    before = os.umask(0)
    try:
        store = SqliteStore.open(path, fatal=never)
        await store.write(lambda tx: tx.insert(entry(1)))
        modes = {name: os.stat(tmp_path / name).st_mode & 0o777 for name in os.listdir(tmp_path)}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("home.db", "home.db-wal", "home.db-shm"), 0o600)
    store.close()
    for mode in (0o640, 0o604, 0o660):
        path.chmod(mode)
        with pytest.raises(ConfigInvalid):
            SqliteStore.open(path, fatal=never)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE meta SET value = '0' WHERE name = 'schema-version'",
        "DELETE FROM meta WHERE name = 'schema-version'",
        "CREATE TABLE extra (id TEXT)",
        "CREATE TRIGGER extra AFTER INSERT ON entries BEGIN DELETE FROM entries; END",
        "CREATE VIEW extra AS SELECT * FROM entries",
        "DROP TABLE nonces",
        "DROP INDEX outbox_by_state",
    ],
)
def test_another_schema_is_refused(path: Path, change: str) -> None:
    """Another version, or anything more or less than our tables and indexes, is `ConfigInvalid` and left untouched."""
    connection = sqlite3.connect(path)
    connection.execute(change)
    connection.commit()
    connection.close()
    for _ in range(2):
        with pytest.raises(ConfigInvalid):
            SqliteStore.open(path, fatal=never)


@pytest.mark.parametrize("content", [b"not a database " * 512, b"SQLite format 3\x00" + bytes(4080)])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """A file that is no database is `StoreUnavailable` and keeps its content."""
    path = tmp_path / "home.db"
    path.touch(0o600)
    path.write_bytes(content)
    with pytest.raises(StoreUnavailable):
        SqliteStore.open(path, fatal=never)
    assert path.read_bytes() == content


def test_no_folder(tmp_path: Path) -> None:
    """A database in a folder that does not exist is `StoreUnavailable`."""
    with pytest.raises(StoreUnavailable):
        SqliteStore.open(tmp_path / "none" / "home.db", fatal=never)


def test_probe(path: Path) -> None:
    """A probe is a commit of its own each time; once one fails the store is spent, and `fatal` is not called for it."""
    statements: list[str] = []
    writer = connect(path)
    store = SqliteStore(writer, connect(path), path=path, fatal=never)
    writer.set_trace_callback(statements.append)
    store.probe()
    store.probe()
    assert statements.count("COMMIT") == 2
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")  # somebody else holds the lock
    with pytest.raises(StoreUnavailable):
        store.probe()
    other.execute("ROLLBACK")
    other.close()
    with pytest.raises(StoreUnavailable, match="no more work"):
        store.probe()
    store.close()


async def test_another_writer_ends_the_store(path: Path) -> None:
    """A process that holds the write lock past the time-out is a failure like any other: `fatal`, no value."""
    reasons: list[str] = []
    store = SqliteStore.open(path, fatal=reasons.append)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable):
        await store.write(lambda tx: tx.insert(entry(1)))
    assert reasons == ["store-busy"]
    other.close()
    store.close()


async def test_a_destroyed_key_is_in_no_file(tmp_path: Path) -> None:
    """After a key is deleted and the store settled, its bytes are neither in the database nor in its log."""
    path = tmp_path / "home.db"
    store = SqliteStore.open(path, fatal=never)
    wrapped = b"wrapped-key-of-" + os.urandom(25).hex().encode()

    def content() -> bytes:
        return b"".join(file.read_bytes() for file in tmp_path.iterdir())

    await store.write(lambda tx: tx.insert(KeyRow("k", wrapped, NOW), KeyRow("other", b"kept-key", NOW)))
    store.settle()
    assert wrapped in content()
    await store.write(lambda tx: tx.delete(KeyRow, {"id": "k"}))
    store.settle()
    assert wrapped not in content()
    assert await store.read(lambda tx: [row.id for row in tx.select(KeyRow)]) == ["other"]
    store.close()


async def test_settling_waits_for_no_reader(path: Path) -> None:
    """While another process reads the old state, settling says so, and the store goes on."""
    store = SqliteStore.open(path, fatal=never)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM meta").fetchone()
    await store.write(lambda tx: tx.insert(entry(1)))
    with pytest.raises(StoreUnavailable):
        store.settle()
    other.close()
    store.settle()
    await store.write(lambda tx: tx.insert(entry(2)))
    store.close()


async def test_a_read_is_one_view(path: Path) -> None:
    """What is committed by somebody else during a read does not show in it."""
    store = SqliteStore.open(path, fatal=never)
    other = sqlite3.connect(path, isolation_level=None)

    def view(tx: ReadTx) -> tuple[int, int]:
        first = tx.count(MetaRow)
        other.execute("INSERT INTO meta VALUES ('t-1', '')")
        return first, tx.count(MetaRow)

    first, second = await store.read(view)
    assert first == second
    assert await store.read(lambda tx: tx.count(MetaRow)) == first + 1
    other.close()
    store.close()


def test_a_store_serves_one_loop_after_another(path: Path) -> None:
    """A loop that ended with a unit still waiting does not keep the next loop from being served."""
    store = SqliteStore.open(path, fatal=never)
    ran: list[str] = []

    async def leave_waiting() -> None:
        asyncio.ensure_future(store.write(lambda tx: ran.append("first")))  # noqa: RUF006
        await asyncio.sleep(0)
        raise KeyError

    with pytest.raises(KeyError):
        asyncio.run(leave_waiting())
    assert asyncio.run(store.write(lambda tx: "second")) == "second"
    store.close()


async def test_an_interrupted_unit_leaves_nothing(path: Path) -> None:
    """An interruption inside a unit goes through, and its whole group is undone."""
    reasons: list[str] = []
    store = SqliteStore.open(path, fatal=reasons.append)

    def interrupted(tx: Tx) -> None:
        tx.insert(entry(1))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store._commit([lambda tx: tx.insert(entry(0)), interrupted])
    assert await store.read(lambda tx: tx.select(EntryRow)) == []
    store.close()

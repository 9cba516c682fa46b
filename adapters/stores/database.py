"""The SQLite file itself: made private, opened with settings that are read back, inspected before it is trusted."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final

from adapters.stores.columns import METADATA, is_wide
from adapters.stores.schema import SCHEMA_VERSION
from adapters.stores.statements import creation
from adapters.stores.units import Unit
from gateway.errors import ConfigInvalid, Conflict, StoreUnavailable
from gateway.model.rows import MetaRow

BUSY_TIMEOUT_MS: Final = 500  # nobody else writes: waiting longer would only hide who does
AUTOCHECKPOINT_PAGES: Final = 8000  # 32 MB of log before its pages go home: fewer and larger checkpoints
CACHED_STATEMENTS: Final = 512  # prepared statements per connection: more than there are shapes

#: Name: (value to set, value read back). SQLite ignores a pragma it does not know, so each is asked again.
PRAGMAS: Final[dict[str, tuple[str, object]]] = {
    "journal_mode": ("wal", "wal"),
    "synchronous": ("full", 2),  # in WAL, "normal" loses acknowledged commits with the power
    "trusted_schema": ("off", 0),  # no function runs because a schema says so
    "cell_size_check": ("on", 1),  # a corrupt page is noticed before it is followed
    "foreign_keys": ("on", 1),
    "secure_delete": ("on", 1),  # an erased key is overwritten, not just unlinked
    "temp_store": ("memory", 2),  # nothing spills into files of its own
    "busy_timeout": (str(BUSY_TIMEOUT_MS), BUSY_TIMEOUT_MS),
    "wal_autocheckpoint": (str(AUTOCHECKPOINT_PAGES), AUTOCHECKPOINT_PAGES),
}

_VERSION = "schema-version"

# What the planner is told: rows of a table and of an index over what waits, and by how much equality in a column
# narrows, for columns of few values and for all others.
_ROWS: Final = 1_000_000
_WAITING: Final = 10_000
_FEW: Final = 10
_MANY: Final = 10_000
_FEW_VALUES: Final = frozenset(
    {"partner", "sender", "origin", "kind", "state", "latest", "current", "signed", "level"}
)


def make_private(path: Path) -> None:
    """See that the file exists under mode 0600 (its log files inherit that) and that its name is durable.

    Raises `ConfigInvalid` when group or others may touch an existing one. It is not opened for that: closing any
    handle of a file drops the locks that SQLite holds on it.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            raise ConfigInvalid("the database file is open to group or others: it needs mode 0600") from None
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def connect(path: Path | None) -> sqlite3.Connection:
    """A connection to the file, or to a fresh memory, with every pragma set and read back.

    Transactions are ours to begin and end (``isolation_level`` None).
    """
    connection = sqlite3.connect(
        ":memory:" if path is None else path, isolation_level=None, cached_statements=CACHED_STATEMENTS
    )
    try:
        for name, (value, expected) in PRAGMAS.items():
            connection.execute(f"PRAGMA {name}={value}")
            (found,) = connection.execute(f"PRAGMA {name}").fetchone()
            if found != expected and (path, name) != (None, "journal_mode"):  # memory has no log
                raise StoreUnavailable("the database refuses a setting that durability rests on")
    except BaseException:
        connection.close()
        raise
    return connection


def copy_whole(source: Path, target: Path) -> None:
    """A consistent copy of one database file in a new one, as of one instant, beside whoever writes to the source.

    Durable once it returns (SQLite's backup API, then one sync). Raises `Conflict` where ``target`` exists,
    `StoreUnavailable` for a source that cannot be read, or that does not pass its integrity check.
    """
    if target.exists():
        raise Conflict("there is a file in the place of the copy")
    opened: list[sqlite3.Connection] = []
    try:
        make_private(target)
        opened.append(read := sqlite3.connect(source.absolute().as_uri() + "?mode=ro", uri=True))
        opened.append(write := connect(target))
        read.backup(write)
        inspect(write)
    except (sqlite3.Error, OSError):
        raise StoreUnavailable("the database cannot be copied") from None
    finally:
        for connection in opened:
            connection.close()
    handle = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def inspect(connection: sqlite3.Connection) -> None:
    """SQLite's own look at its structure. Raises `StoreUnavailable`."""
    if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        raise StoreUnavailable("the database does not pass its integrity check")


def prepare_schema(connection: sqlite3.Connection) -> None:
    """Create the schema in an empty database; in any other find exactly ours, or raise `ConfigInvalid`.

    A trigger or view that somebody added is not ours either.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        unit = Unit(connection)
        found = _contents(connection)
        if not found:
            for statement in creation():
                connection.execute(statement)
            _fix_statistics(connection)
            unit.insert(MetaRow(_VERSION, SCHEMA_VERSION))
        elif found != _OURS or unit.get(MetaRow, _VERSION) != MetaRow(_VERSION, SCHEMA_VERSION):
            raise ConfigInvalid("the database has another schema version: migrate or restore it")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _fix_statistics(connection: sqlite3.Connection) -> None:
    """Tell the planner once how large the tables get, so that plans neither depend on what happens to be stored nor
    change under load. Without this it takes a short key prefix (all of a partner's messages) for a handful of rows.
    """
    connection.execute("ANALYZE sqlite_schema")  # makes the table of statistics
    for table in METADATA.tables.values():
        key = "sqlite_autoindex_" + table.name + "_1" if is_wide(table) else table.name
        indexes = [(key, list(table.primary_key), _ROWS)] + [
            (
                str(index.name),
                list(index.columns),
                _ROWS if index.dialect_options["sqlite"]["where"] is None else _WAITING,
            )
            for index in table.indexes
        ]
        for name, columns, rows in indexes:
            each, figures = rows, [rows]
            for column in columns:
                each = max(1, each // (_FEW if column.name in _FEW_VALUES else _MANY))
                figures.append(each)
            if name == key:
                figures[-1] = 1
            connection.execute(
                "INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?, ?, ?)",
                (table.name, name, " ".join(map(str, figures))),
            )
    connection.execute("ANALYZE sqlite_schema")  # reads it


_OURS = {("table", name) for name in METADATA.tables} | {
    ("index", str(index.name)) for table in METADATA.tables.values() for index in table.indexes
}


def _contents(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    """Type and name of everything in the schema, SQLite's own tables and automatic indexes left out."""
    listed = connection.execute(
        "SELECT type, name FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    )
    return {(str(kind), str(name)) for kind, name in listed}


def identity(path: Path) -> tuple[int, int]:
    """Which file the name stands for now."""
    found = path.stat()
    return found.st_dev, found.st_ino

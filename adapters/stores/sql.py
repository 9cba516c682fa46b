"""The store on SQLite: units of work, many to a commit, each alone in its failure.

The writer runs inline on the event loop: one fsync a group costs less than handing the group to a thread. It is the
only writer; the lock of the home keeps other processes out.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from adapters.stores.database import connect, identity, inspect, make_private, prepare_schema
from adapters.stores.units import Unit, View, slug
from gateway.errors import GatewayError, StoreUnavailable
from gateway.model.rows import MetaRow
from gateway.ports import ReadTx, Tx

T = TypeVar("T")

GROUP_UNITS: Final = 256  # units to a commit: they share its fsync, and the loop is back within milliseconds

PROBE_BYTES: Final = 262_144  # written to prove that there is room for groups, not just for one more page

_PROBE = "probe"


class SqliteStore:
    """`ExchangeStore` over one SQLite file, or over memory.

    Durable: what `write` returns has been fsynced, with everything committed before it. Said openly: a unit whose
    commit failed may still be found after the restart (written, and only the confirmation lost), so callers repeat
    by identity.

    Belongs to one thread, and to one event loop at a time.
    """

    def __init__(
        self,
        writer: sqlite3.Connection,
        reader: sqlite3.Connection,
        *,
        path: Path | None,
        fatal: Callable[[str], None],
        group: int = GROUP_UNITS,
        linger_s: float = 0,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._path = path
        self._identity = None if path is None else identity(path)
        self._fatal = fatal
        self._group = group
        self._linger_s = linger_s
        self._waiting: deque[tuple[Callable[[Tx], Any], asyncio.Future[Any]]] = deque()
        self._ticking: asyncio.AbstractEventLoop | None = None  # the loop on which a tick is due
        self._busy = False  # the last group held more than one unit
        self._down = ""  # why the store refuses, once it does

    @classmethod
    def open(
        cls, path: Path, *, fatal: Callable[[str], None], group: int = GROUP_UNITS, linger_s: float = 0
    ) -> Self:
        """Open the database at ``path`` (mode 0600), or make it when there is none.

        ``fatal`` is called once, with a slug, when the database fails under a unit or a commit; it is expected to end
        the process (code 4). ``linger_s`` is how long a group waits for more while groups are larger than one; an
        idle store never waits.

        (1) the file is ours alone  (2) settings, read back  (3) structure  (4) schema and version  (5) a reader that
        cannot write. Raises `ConfigInvalid` for a file open to others or of another schema version, and
        `StoreUnavailable` for one that cannot be opened or is damaged.
        """
        opened: list[sqlite3.Connection] = []
        try:
            make_private(path)  # (1)
            opened.append(writer := connect(path))  # (2)
            inspect(writer)  # (3)
            prepare_schema(writer)  # (4)
            opened.append(reader := connect(path))
            reader.execute("PRAGMA query_only=on")  # (5)
            return cls(writer, reader, path=path, fatal=fatal, group=group, linger_s=linger_s)
        except (sqlite3.Error, OSError, GatewayError) as error:
            for connection in opened:
                connection.close()
            if isinstance(error, GatewayError):
                raise
            raise StoreUnavailable("the database cannot be opened") from None

    @classmethod
    def memory(
        cls,
        *,
        fatal: Callable[[str], None] = lambda reason: None,
        group: int = GROUP_UNITS,
        linger_s: float = 0,
    ) -> Self:
        """The same store without a file: same statements, same rules, gone at `close`. Its reader is its writer, held
        to reading by type."""
        connection = connect(None)
        prepare_schema(connection)
        return cls(connection, connection, path=None, fatal=fatal, group=group, linger_s=linger_s)

    # --- the port ----------------------------------------------------------------------------------------------------

    async def write(self, unit: Callable[[Tx], T]) -> T:
        """Run ``unit`` in the next group; return its value once that group is on stable storage.

        A unit that raises leaves no trace, and its exception is raised here. When the caller is cancelled before its
        group begins the unit is not run; later, it may have been.
        """
        self._refuse_when_down()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append((unit, future))
        self._schedule(loop)
        return await future

    async def read(self, unit: Callable[[ReadTx], T]) -> T:
        """Run ``unit`` at once, over one consistent view of what is committed."""
        self._refuse_when_down()
        view = View(self._reader)
        try:
            self._reader.execute("BEGIN")
            try:
                return unit(view)
            finally:
                self._reader.execute("ROLLBACK")
        except sqlite3.Error as error:
            view.fault = view.fault or slug(error)
            raise StoreUnavailable("the database cannot be read") from None
        finally:
            if view.fault:
                self._end(view.fault)

    def close(self) -> None:
        """Give the files back. Units that still wait were never run; their callers get `StoreUnavailable`."""
        self._down = self._down or "store-closed"
        self._abandon_waiting()
        self._reader.close()
        self._writer.close()

    # --- beyond the port ---------------------------------------------------------------------------------------------

    def probe(self) -> None:
        """Prove with a commit that commits reach the disk.

        Raises `StoreUnavailable`, and then this store is spent: open it anew to try again, since after a failed fsync
        the cache no longer tells what the disk holds.
        """
        self._refuse_when_down()
        _, fault = self._commit([_probe])
        if fault:
            self._down = fault
            raise StoreUnavailable("the database does not take a write")

    def settle(self) -> None:
        """Move the write-ahead log into the database and empty it: what was deleted is then in none of our files.

        Raises `StoreUnavailable` while another process reads; repeat it later.
        """
        self._refuse_when_down()
        try:
            blocked, *_ = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            self._end(slug(error))
            raise StoreUnavailable("the database cannot be settled") from None
        if blocked:
            raise StoreUnavailable("another process reads the database")

    # --- the tick ----------------------------------------------------------------------------------------------------

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        """See that a tick is due: in the next round of the loop, so that all who are ready in this one share it."""
        if self._ticking is not loop:
            self._ticking = loop
            if self._busy and self._linger_s:
                loop.call_later(self._linger_s, self._tick, loop)
            else:
                loop.call_soon(self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take one group of units whose callers still wait, commit it, and only then answer."""
        self._ticking = None
        group: list[tuple[Callable[[Tx], Any], asyncio.Future[Any]]] = []
        while self._waiting and len(group) < self._group:
            unit, future = self._waiting.popleft()
            if not future.done():
                group.append((unit, future))
        self._busy = len(group) > 1
        if self._waiting:
            self._schedule(loop)
        if not group:
            return
        outcomes, fault = self._commit([unit for unit, _ in group])
        if fault:
            _abandon(future for _, future in group)
            self._end(fault)
            return
        for (_, future), (value, error) in zip(group, outcomes, strict=True):
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

    def _commit(self, units: Sequence[Callable[[Tx], Any]]) -> tuple[list[tuple[Any, Exception | None]], str]:
        """Run ``units`` under one commit: value or exception of each, or the slug of what failed for all.

        (1) the file under our name is still the one we write
        (2) BEGIN IMMEDIATE
        (3) each unit in its own savepoint; one that raises is undone to there
        (4) nothing is committed over a failure of the database, even one that a unit swallowed
        (5) COMMIT: back after the fsync
        """
        # (1)
        if fault := self._file_fault():
            return [], fault
        outcomes: list[tuple[Any, Exception | None]] = []
        tx = Unit(self._writer)
        try:
            # (2)
            self._writer.execute("BEGIN IMMEDIATE")
            for unit in units:
                # (3)
                self._writer.execute("SAVEPOINT unit")
                try:
                    outcomes.append((unit(tx), None))
                except StopIteration:
                    # A future does not carry it, and its group must not fall with it.
                    outcomes.append((None, RuntimeError("a unit of work raised StopIteration")))
                except Exception as error:
                    outcomes.append((None, error))
                # (4)
                if tx.fault:
                    return [], tx.fault
                if outcomes[-1][1] is not None:
                    self._writer.execute("ROLLBACK TO unit")
                    tx.undone()
                self._writer.execute("RELEASE unit")
            # (5)
            self._writer.execute("COMMIT")
        except sqlite3.Error as error:
            return [], slug(error)
        finally:
            # Open only when something failed; closing it twice is no further failure.
            if self._writer.in_transaction:
                with suppress(sqlite3.Error):
                    self._writer.execute("ROLLBACK")
        return outcomes, ""

    def _file_fault(self) -> str:
        """A file deleted, replaced or made read-only behind our back would still take writes through our handle."""
        if self._path is None:
            return ""
        try:
            if identity(self._path) != self._identity:
                return "store-moved"
        except OSError:
            return "store-moved"
        return "" if os.access(self._path, os.W_OK) else "store-readonly"

    # --- the end -----------------------------------------------------------------------------------------------------

    def _refuse_when_down(self) -> None:
        if self._down:
            raise StoreUnavailable("the store takes no more work")

    def _end(self, reason: str) -> None:
        """Refuse everything from here on, and say why, once."""
        if not self._down:
            self._down = reason
            self._abandon_waiting()
            self._fatal(reason)

    def _abandon_waiting(self) -> None:
        _abandon(future for _, future in self._waiting)
        self._waiting.clear()


def _abandon(futures: Iterable[asyncio.Future[Any]]) -> None:
    """Leave callers without a value: nothing may be concluded about their units."""
    for future in futures:
        if not future.done():
            future.set_exception(StoreUnavailable("the commit was not confirmed"))


def _probe(tx: Tx) -> None:
    """Fill the probe's row with the other digit, so that each of its pages has to be written."""
    last = tx.get(MetaRow, _PROBE)
    digit = "1" if last is not None and last.value.startswith("0") else "0"
    tx.put(MetaRow(_PROBE, digit * PROBE_BYTES))

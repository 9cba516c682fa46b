"""What a unit of work sees of the database: `ReadTx` and `Tx` over one connection, and the map of its errors.

SQLite's error texts can quote values, so none leaves this file: errors become ours, with the table's name at most.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from adapters.stores.statements import Query, statements
from gateway.errors import Conflict, GatewayError, LocalFault, StoreUnavailable
from gateway.model.rows import Row

R = TypeVar("R", bound=Row)

_KEY_EXISTS = frozenset({sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE})

#: The row's fault: a value that no column takes (too long, too big an integer, a lone surrogate, another type).
_UNFIT = (
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
    sqlite3.DataError,
    OverflowError,
    UnicodeEncodeError,
)


def slug(error: sqlite3.Error) -> str:
    """A stable name of what SQLite met, such as ``store-ioerr-fsync``: from its closed list, never its text."""
    name = str(getattr(error, "sqlite_errorname", "SQLITE_ERROR"))
    return "store-" + name.removeprefix("SQLITE_").lower().replace("_", "-")


class View:
    """`ReadTx`: reads of one transaction.

    ``fault`` is set once the database itself fails: input or output, a full or read-only medium, corruption, a lock, a
    lost transaction. A unit cannot hide that by catching the exception: the store looks here before it commits.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._counted: dict[type[Row], dict[Query, int]] = {}
        self.fault = ""

    def get(self, row: type[R], *key: object) -> R | None:
        kind = statements(row)
        found = self._run(row, kind.get(key))[0]
        return kind.row(found[0]) if found else None

    def select(
        self,
        row: type[R],
        where: Mapping[str, object] | None = None,
        *,
        at_least: tuple[str, object] | None = None,
        below: tuple[str, object] | None = None,
        order: str = "",
        descending: bool = False,
        limit: int | None = None,
    ) -> list[R]:
        kind = statements(row)
        found = self._run(row, kind.select(where or {}, at_least, below, order, descending, limit))[0]
        return [kind.row(cells) for cells in found]

    def count(
        self,
        row: type[R],
        where: Mapping[str, object] | None = None,
        *,
        at_least: tuple[str, object] | None = None,
        distinct: str = "",
    ) -> int:
        # Counting walks an index, and a batch asks the same for each of its messages. A transaction sees no writes but
        # its own: each of those forgets what was counted in its table, and what undoes them forgets everything.
        self._require_open()
        sql, values = statements(row).count(where or {}, at_least, distinct)
        query, counted = Query(sql, tuple(values)), self._counted.setdefault(row, {})
        if query not in counted:
            counted[query] = int(self._run(row, query)[0][0][0])
        return counted[query]

    def _require_open(self) -> None:
        if not self._connection.in_transaction:
            # Outside its transaction a statement would commit by itself.
            raise LocalFault("a unit of work was used after its end")

    def _run(self, row: type[Row], query: Query) -> tuple[Sequence[Any], int]:
        """Execute one statement: its rows, and how many it changed."""
        self._require_open()
        try:
            cursor = self._connection.execute(query.sql, query.values)
            return cursor.fetchall(), cursor.rowcount
        except (sqlite3.Error, *_UNFIT) as error:
            raise self._mapped(row, error) from None

    def _mapped(self, row: type[Row], error: Exception) -> GatewayError:
        where = {"row": row.__name__}
        if isinstance(error, sqlite3.IntegrityError) and error.sqlite_errorcode in _KEY_EXISTS:
            return Conflict("a row with this key exists already", diagnostic=where)
        if isinstance(error, (sqlite3.IntegrityError, *_UNFIT)):
            return LocalFault("a value does not fit its column", diagnostic=where)
        self.fault = slug(error) if isinstance(error, sqlite3.Error) else "store-error"
        return StoreUnavailable("the database failed in the middle of a unit of work")


class Unit(View):
    """`Tx`: reads and writes of one unit of work."""

    def insert(self, *rows: Row) -> None:
        for row in rows:
            self._counted.pop(type(row), None)
            self._run(type(row), statements(type(row)).insert(row))

    def put(self, *rows: Row) -> None:
        for row in rows:
            self._counted.pop(type(row), None)
            self._run(type(row), statements(type(row)).put(row))

    def delete(
        self, row: type[R], where: Mapping[str, object], *, below: tuple[str, object] | None = None
    ) -> int:
        self._counted.pop(row, None)
        return self._run(row, statements(row).delete(where, below))[1]

    def undone(self) -> None:
        """The caller went back to a savepoint."""
        self._counted.clear()

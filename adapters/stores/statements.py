"""SQL text for each thing a unit of work may ask, built from the tables and compiled once.

SQLAlchemy builds and quotes; the DBAPI runs. A statement is known by its shape (columns, operators, how many values),
never by its values, so the number of texts is bounded by the code that asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast

from msgspec.structs import astuple, fields
from sqlalchemy import (
    Column,
    ColumnElement,
    Integer,
    TypeDecorator,
    bindparam,
    delete,
    distinct,
    false,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.sqlite import dialect, insert
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql import ClauseElement, Delete, Select

from adapters.stores.columns import METADATA
from adapters.stores.schema import TABLES
from gateway.errors import LocalFault
from gateway.model.rows import Row

R = TypeVar("R", bound=Row)

#: Values of one "one of these": rounded up to a power of two below SQLite's 32,766 variables a statement.
MAX_MEMBERS: Final = 16_384

_DIALECT = dialect(paramstyle="qmark")


class _Condition(NamedTuple):
    """One column's part of a where clause, without its values."""

    column: str
    operator: str  # "in", ">=" or "<"
    values: int
    or_null: bool


class Query(NamedTuple):
    """SQL text with positional parameters, and their values in that order."""

    sql: str
    values: Sequence[object]


def creation() -> list[str]:
    """The statements that make an empty database ours, in order."""
    made: list[str] = []
    for table in METADATA.sorted_tables:
        made.append(str(CreateTable(table).compile(dialect=_DIALECT)))
        made += [
            str(CreateIndex(index).compile(dialect=_DIALECT))
            for index in sorted(table.indexes, key=lambda index: str(index.name))
        ]
    return made


def _text(statement: ClauseElement, parameters: int) -> str:
    """Compile, and hold the compiler to the order in which parameters p0, p1, … will be given."""
    compiled = statement.compile(dialect=_DIALECT)
    given = list(getattr(compiled, "positiontup", None) or [])
    if given != [f"p{number}" for number in range(parameters)]:
        raise LocalFault("a statement does not take its parameters in the order they are given")
    return str(compiled)


class Statements(Generic[R]):
    """Everything that can be asked of one table."""

    def __init__(self, row: type[R]) -> None:
        self._row = row
        self._table = TABLES[row]
        self._columns: list[Column[Any]] = [self._table.c[field.name] for field in fields(row)]
        self._key = [column.name for column in self._table.primary_key]
        self._texts: dict[tuple[object, ...], str] = {}
        self._binders: dict[str, Callable[[Any], object] | None] = {
            column.name: _binder(column) for column in self._columns
        }
        readers = [_reader(column) for column in self._columns]
        self._readers = [(position, reader) for position, reader in enumerate(readers) if reader is not None]

    # --- rows to cells and back --------------------------------------------------------------------------------------

    def cells(self, row: R) -> list[object]:
        """The row as SQL values, in column order."""
        return [
            value if bind is None else bind(value)
            for bind, value in zip(self._binders.values(), astuple(row), strict=True)
        ]

    def row(self, cells: Sequence[Any]) -> R:
        """The row these SQL values stand for."""
        if not self._readers:
            return self._row(*cells)
        values = list(cells)
        for position, read in self._readers:
            values[position] = read(values[position])
        return self._row(*values)

    # --- statements --------------------------------------------------------------------------------------------------

    def insert(self, row: R) -> Query:
        def build() -> str:
            return _text(insert(self._table).values(self._placeholders()), len(self._columns))

        return Query(self._cached(("insert",), build), self.cells(row))

    def put(self, row: R) -> Query:
        """Insert, or on the same primary key replace every other column."""

        def build() -> str:
            adding = insert(self._table).values(self._placeholders())
            rest = {name: adding.excluded[name] for name in self._binders if name not in self._key}
            if not rest:
                return _text(adding.on_conflict_do_nothing(index_elements=self._key), len(self._columns))
            return _text(
                adding.on_conflict_do_update(index_elements=self._key, set_=rest), len(self._columns)
            )

        return Query(self._cached(("put",), build), self.cells(row))

    def get(self, key: tuple[object, ...]) -> Query:
        if len(key) != len(self._key):
            raise LocalFault("a key has more or fewer parts than its table's primary key")

        def build() -> str:
            whole = [_Condition(name, "in", 1, False) for name in self._key]
            return _text(self._filtered(select(*self._columns), whole), len(whole))

        return Query(self._cached(("get",), build), key)

    def select(
        self,
        where: Mapping[str, object],
        at_least: tuple[str, object] | None,
        below: tuple[str, object] | None,
        order: str,
        descending: bool,
        limit: int | None,
    ) -> Query:
        """Rows in the order of one column and then of the key, so that the order is total and pages do not overlap."""
        conditions, values = self._conditions(where, at_least, below)
        if limit is not None:
            values.append(max(limit, 0))  # to SQLite a negative limit means all

        def build() -> str:
            statement = self._filtered(select(*self._columns), conditions)
            by = [order, *(name for name in self._key if name != order)] if order else self._key
            statement = statement.order_by(
                *(self._column(name).desc() if descending else self._column(name) for name in by)
            )
            if limit is not None:
                last = bindparam(f"p{len(values) - 1}", type_=Integer)
                statement = statement.limit(last).offset(literal_column("0", Integer))
            return _text(statement, len(values))

        shape = ("select", *conditions, order, descending, limit is None)
        return Query(self._cached(shape, build), values)

    def count(
        self, where: Mapping[str, object], at_least: tuple[str, object] | None, distinct_column: str
    ) -> Query:
        conditions, values = self._conditions(where, at_least, None)

        def build() -> str:
            counted = func.count(distinct(self._column(distinct_column))) if distinct_column else func.count()
            statement = self._filtered(select(counted).select_from(self._table), conditions)
            return _text(statement, len(values))

        return Query(self._cached(("count", *conditions, distinct_column), build), values)

    def delete(self, where: Mapping[str, object], below: tuple[str, object] | None) -> Query:
        conditions, values = self._conditions(where, None, below)
        if not conditions:
            raise LocalFault("a delete without a condition would empty its table")

        def build() -> str:
            return _text(self._filtered(delete(self._table), conditions), len(values))

        return Query(self._cached(("delete", *conditions), build), values)

    # --- parts -------------------------------------------------------------------------------------------------------

    def _cached(self, shape: tuple[object, ...], build: Callable[[], str]) -> str:
        text = self._texts.get(shape)
        if text is None:
            text = self._texts[shape] = build()
        return text

    def _placeholders(self) -> dict[str, ColumnElement[Any]]:
        return {name: bindparam(f"p{number}") for number, name in enumerate(self._binders)}

    def _column(self, name: str) -> Column[Any]:
        self._bound(name, None)
        return self._table.c[name]

    def _bound(self, name: str, value: object) -> object:
        try:
            bind = self._binders[name]
        except KeyError:
            raise LocalFault("a query names a column that its table does not have") from None
        return value if bind is None else bind(value)

    def _conditions(
        self,
        where: Mapping[str, object],
        at_least: tuple[str, object] | None,
        below: tuple[str, object] | None,
    ) -> tuple[list[_Condition], list[object]]:
        conditions: list[_Condition] = []
        values: list[object] = []
        for name, value in where.items():
            members = value if isinstance(value, tuple) else (value,)
            some = [self._bound(name, member) for member in members if member is not None]
            if len(some) > MAX_MEMBERS:
                raise LocalFault("a query lists too many values", diagnostic={"limit": MAX_MEMBERS})
            if some:  # repeat the last value up to a power of two: few shapes, the same answer
                some += some[-1:] * ((1 << (len(some) - 1).bit_length()) - len(some))
            conditions.append(_Condition(name, "in", len(some), None in members))
            values += some
        for operator, bound in ((">=", at_least), ("<", below)):
            if bound is not None:
                conditions.append(_Condition(bound[0], operator, 1, False))
                values.append(self._bound(*bound))
        return conditions, values

    def _filtered(self, statement: _Filterable, conditions: list[_Condition]) -> _Filterable:
        number = 0
        for name, operator, count, or_null in conditions:
            column = self._column(name)
            given = [bindparam(f"p{number + place}", type_=column.type) for place in range(count)]
            number += count
            match operator:
                case ">=":
                    statement = statement.where(column >= given[0])
                case "<":
                    statement = statement.where(column < given[0])
                case _:
                    ways: list[ColumnElement[bool]] = [column.is_(None)] if or_null else []
                    ways += [column == given[0]] if count == 1 else [column.in_(given)] if given else []
                    # An empty list matches nothing.
                    statement = statement.where(or_(*ways) if ways else false())
        return statement


_Filterable = TypeVar("_Filterable", Select[Any], Delete)


def _binder(column: Column[Any]) -> Callable[[Any], object] | None:
    kind = column.type
    if not isinstance(kind, TypeDecorator):
        return None
    return lambda value: kind.process_bind_param(value, _DIALECT)


def _reader(column: Column[Any]) -> Callable[[Any], object] | None:
    kind = column.type
    if not isinstance(kind, TypeDecorator):
        return None
    return lambda value: kind.process_result_value(value, _DIALECT)


@cache
def _statements(row: type[Row]) -> Statements[Row]:
    return Statements(row)


def statements(row: type[R]) -> Statements[R]:
    """The statements of a row type; built on first use."""
    return cast("Statements[R]", _statements(row))

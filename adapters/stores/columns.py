"""Columns and tables as every part of the schema makes them: types, keys, and where rows are kept."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, Table, Text, TypeDecorator
from sqlalchemy.engine import Dialect

METADATA: Final = MetaData()

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)

#: 64 bits everywhere: sizes and epoch seconds outgrow 32. SQLite calls that INTEGER.
_INTEGER = BigInteger().with_variant(Integer(), "sqlite")


class EpochSeconds(TypeDecorator[datetime]):
    """An aware instant as whole seconds since 1970; parts of a second are cut. A naive one is a `TypeError`."""

    impl = _INTEGER
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else (value - _EPOCH) // _SECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromtimestamp(value, UTC)


class Flag(TypeDecorator[bool]):
    """True as 1, False as 0."""

    impl = _INTEGER
    cache_ok = True

    def process_bind_param(self, value: bool | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> bool | None:
        return None if value is None else bool(value)


class Texts(TypeDecorator[tuple[str, ...]]):
    """A tuple of strings as a JSON array."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, dialect: Dialect) -> str | None:
        return None if value is None else json.dumps(value, separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[str, ...] | None:
        return None if value is None else tuple(json.loads(value))


def text(name: str, *, key: bool = False) -> Column[str]:
    return Column(name, Text, primary_key=key, nullable=False)


def integer(name: str, *, key: bool = False) -> Column[int]:
    return Column(name, _INTEGER, primary_key=key, nullable=False, autoincrement=False)


def blob(name: str, *, key: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, primary_key=key, nullable=False)


def flag(name: str) -> Column[bool]:
    return Column(name, Flag, nullable=False)


def instant(name: str, *, nullable: bool = False) -> Column[datetime]:
    return Column(name, EpochSeconds, nullable=nullable)


def narrow(name: str, *columns: Column[Any]) -> Table:
    """A table of short rows, kept in the order of its key."""
    return Table(name, METADATA, *columns, sqlite_strict=True, sqlite_with_rowid=False)


def wide(name: str, *columns: Column[Any]) -> Table:
    """A table whose rows carry a blob."""
    return Table(name, METADATA, *columns, sqlite_strict=True)


def is_wide(table: Table) -> bool:
    """Whether the table keeps its rows apart from its key."""
    return bool(table.dialect_options["sqlite"]["with_rowid"])

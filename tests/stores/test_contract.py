"""The store keeps its contract over a file and over memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.stores.sql import SqliteStore
from tests.contracts.exchange_store import ExchangeStoreContract


def never(reason: str) -> None:
    """The fatal hook of a store that must not fail."""
    raise AssertionError(reason)


class TestFile(ExchangeStoreContract):
    """Over a file."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SqliteStore]:
        opened = SqliteStore.open(tmp_path / "home.db", fatal=never)
        yield opened
        opened.close()


class TestMemory(ExchangeStoreContract):
    """Over memory: the twin."""

    @pytest.fixture
    def store(self) -> Iterator[SqliteStore]:
        opened = SqliteStore.memory(fatal=never)
        yield opened
        opened.close()


class TestLingering(TestFile):
    """Small groups that wait for each other keep the same promises."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SqliteStore]:
        opened = SqliteStore.open(tmp_path / "home.db", fatal=never, group=4, linger_s=0.001)
        yield opened
        opened.close()

"""One founding for all tests of this folder; a world of its own for each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.service.commandline import Line, commanded
from tests.service.founding import Founded, found
from tests.service.world import World


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Founded:
    return found(tmp_path_factory.mktemp("founded"))


@pytest_asyncio.fixture
async def world(founded: Founded) -> AsyncIterator[World]:
    made = await World(founded).boot()
    yield made
    made.close()


@pytest_asyncio.fixture
async def world_on_disk(founded: Founded, tmp_path: Path) -> AsyncIterator[World]:
    made = await World(founded, folder=tmp_path).boot()
    yield made
    made.close()


@pytest_asyncio.fixture
async def line(world_on_disk: World, tmp_path: Path) -> AsyncIterator[Line]:
    async with commanded(world_on_disk, tmp_path) as made:
        yield made

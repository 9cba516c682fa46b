"""One gateway with its four peers for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.peer.peer import Peer
from tests.peer.world import WAYS, World, started


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with started(tmp_path_factory.mktemp("peer")) as made:
        yield made


@pytest.fixture(params=WAYS)
def peer(world: World, request: pytest.FixtureRequest) -> Peer:
    """Each way of agreement in turn."""
    return world.peers[request.param]


@pytest.fixture
def plain(world: World) -> Peer:
    """HPKE and one signature: for what is the same in every way."""
    return world.peers["hpke-classic"]

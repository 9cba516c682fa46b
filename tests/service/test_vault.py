"""Keys that made way for others are asked for again; keys that were destroyed are gone."""

from __future__ import annotations

import pytest

from gateway.errors import NotFound, SignerUnavailable
from gateway.model.rows import BodyRow, KeyRow
from gateway.service.vault import OpenKey, keys_of
from tests.service.world import Side, World


async def stored(side: Side) -> tuple[OpenKey, BodyRow]:
    await side.vault.reserve()
    key = side.vault.fresh(side.world.clock.now())
    body = side.vault.seal(key, b"synthetic")
    await side.store.write(lambda tx: tx.insert(key.row, body))
    return key, body


async def test_a_key_that_was_evicted_is_unavailable_not_erased(world: World) -> None:
    """Sealing and opening under it can be repeated once it is unlocked; nobody is told that content was erased."""
    be = world.be
    key, body = await stored(be)
    be.vault._cache.clear()
    with pytest.raises(SignerUnavailable):
        await be.store.read(lambda tx: be.vault.open(tx, body.id, bytes))
    with pytest.raises(SignerUnavailable):
        be.vault.seal(key.id, b"more")
    await be.vault.unlock(await be.store.read(lambda tx: keys_of(tx, [key.id])))
    assert await be.store.read(lambda tx: be.vault.open(tx, body.id, bytes)) == b"synthetic"
    assert be.vault.seal(key.id, b"more").key == key.id


@pytest.mark.parametrize("gone", [KeyRow, BodyRow])
async def test_what_was_erased_is_not_found(world: World, gone: type[KeyRow] | type[BodyRow]) -> None:
    """With the key row or the body gone, although the key is still in memory."""
    be = world.be
    key, body = await stored(be)
    await be.store.write(lambda tx: tx.delete(gone, {"id": key.id if gone is KeyRow else body.id}))
    with pytest.raises(NotFound):
        await be.store.read(lambda tx: be.vault.open(tx, body.id, bytes))

"""The operator's look over a home, check by check: each finding and its near miss."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import msgspec
import pytest

from gateway.model.rows import CosignatureRow, QuarantineRow, StampRow
from gateway.ports import Tx
from gateway.service import doctor
from gateway.service.config import LoadedConfig
from gateway.service.doctor import Doctor
from gateway.service.home import Home
from gateway.service.witnesses import Witnesses
from tests.service.asking import ask
from tests.service.world import CLEAN, NOW, Side, World


def looked(side: Side, name: str) -> Any:
    """The checks of one method, over the side's store and no files."""
    now = side.world.clock.now()
    found: list[Any] = []

    async def read() -> None:
        await side.store.read(lambda tx: found.append(_look(side, name, tx, now)))

    step = read().__await__()
    with pytest.raises(StopIteration):
        next(step)
    return found[0]


def _look(side: Side, name: str, tx: Any, now: Any) -> Any:
    one = Doctor(
        Home(side.world.founded.homes[side.org].database.parent), LoadedConfig(side.config, ""), tx, now
    )
    made = getattr(one, name)()
    return list(made) if not isinstance(made, doctor.Check) else made


def _insert(row: StampRow, tx: Tx) -> None:
    tx.insert(row)


async def test_a_request_is_overdue_when_its_clock_ran_out(world: World) -> None:
    """By its urgency; a second before it is not."""
    await ask(world)
    for later, state in ((timedelta(days=7) - timedelta(seconds=1), "well"), (timedelta(days=7), "finding")):
        world.clock.advance(seconds=int((NOW + later - world.clock.now()).total_seconds()))
        requests = looked(world.be, "_overdue")[0]
        assert (requests.name, requests.state) == ("requests-overdue", state), later


async def test_quarantine_is_a_finding_for_a_week(world: World) -> None:
    """What was not accepted, by its id; no more after seven days."""
    row = QuarantineRow("q-1", "fra.police-demo", "malformed", "00" * 32, 1, "", NOW)
    await world.be.store.write(lambda tx: tx.insert(row))
    assert looked(world.be, "_quarantine").ids == ("q-1",)
    world.clock.advance(seconds=7 * 86400)
    assert looked(world.be, "_quarantine").state == "well"


async def test_a_partner_whose_clock_is_apart_is_named(world: World) -> None:
    """By the time in its newest cosignature and ours when it came: 300 s is not too far, a second more is."""
    await world.be.disclose(CLEAN[0])
    await world.be.send()
    await Witnesses(world.be.gateway).round()
    (row, *_) = world.be.rows(CosignatureRow)
    for apart, state in ((300, "well"), (301, "finding")):

        def moved(tx: Tx, apart: int = apart) -> None:
            for one in tx.select(CosignatureRow):
                tx.put(msgspec.structs.replace(one, at=row.at + timedelta(seconds=apart)))

        await world.be.store.write(moved)
        assert looked(world.be, "_skew").state == state, apart


async def test_a_stamp_that_is_to_be_renewed(world: World) -> None:
    """The newest one says until when; thirty days before that it is a finding, a second earlier it is not."""
    assert looked(world.be, "_stamps").state == "well"
    for number, days in ((1, 1), (2, 40)):
        row = StampRow(number, NOW, NOW + timedelta(days=days), b"", b"", b"")
        await world.be.store.write(partial(_insert, row))
    world.clock.advance(days=10)
    assert (looked(world.be, "_stamps").state, looked(world.be, "_stamps").count) == ("well", 2)
    world.clock.advance(seconds=1)
    assert looked(world.be, "_stamps").state == "finding"

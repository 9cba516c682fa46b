"""Every signed object presented at every door where another kind is verified: only the diagonal opens.

Each cell is tried twice: the object under its own key, and under the very key that the door trusts, over the bytes
that the door would like best, so that nothing but its type speaks against it. Doors are the product's own: partner
endpoint over TLS, dispatcher, desk, control socket, signer, founding, audit verifier.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp
from aiohttp import web

from gateway.service.desk_api import DeskApi
from tests.forgery.arena import Arena
from tests.forgery.doors import Door, House
from tests.forgery.objects import OBJECTS, Make, Wanted


@dataclass
class Matrix:
    """Rows are objects, columns are doors; a cell is the number of its two attempts that were let in."""

    kinds: list[str]
    doors: list[str]
    cells: dict[str, dict[str, int]] = field(default_factory=dict)
    breaches: list[str] = field(default_factory=list)

    @property
    def attempts(self) -> int:
        return 2 * len(self.kinds) * len(self.doors)


async def run(arena: Arena, folder: Path) -> Matrix:
    """Fill the matrix. A door that opened is prepared anew; one that stayed shut must be as it was."""
    runner = web.AppRunner(
        DeskApi(arena.world.be.gateway, arena.world.be.desk).application(), access_log=None
    )
    await runner.setup()
    socket = folder / "desk.sock"
    await web.UnixSite(runner, str(socket)).start()
    try:
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as session:
            return await _fill(House(arena, session))
    finally:
        await runner.cleanup()


async def _fill(house: House) -> Matrix:
    doors, owners = house.doors(), house.owners()
    matrix = Matrix(list(OBJECTS), list(doors))
    for kind, make in OBJECTS.items():
        row = matrix.cells[kind] = {}
        for name, door in doors.items():
            row[name] = 0
            for own in (True, False):
                row[name] += await _attempt(house, door, kind, make, owners[kind] if own else None)
            if row[name] != _expected(name, kind == door.opens_for):
                matrix.breaches.append(f"{kind} at {name}: let in {row[name]} times")
    return matrix


def _expected(door: str, right: bool) -> int:
    """Both attempts on the diagonal; at a signer with officers of its own, those of another home are strangers."""
    return (1 if door.startswith("signer") else 2) if right else 0


async def _attempt(house: House, door: Door, kind: str, make: Make, owner: Wanted | None) -> bool:
    if door.spent:
        door.wanted = await door.prepare()
        door.spent = False
    wanted = door.wanted
    assert wanted is not None
    if owner is not None:
        wanted = replace(owner, subject=wanted.subject)
    if door.opens_for == "receipt":
        door.spent = True
        return await house.receipt(lambda known: make(house.arena, known), wanted)
    opened = await door.present(make(house.arena, wanted), door.wanted or wanted)
    door.spent = opened or "seal" in door.opens_for
    return opened


def lines(matrix: Matrix) -> Iterator[str]:
    """The matrix as text: one line an object, one digit a door."""
    for kind in matrix.kinds:
        yield f"{kind:22}" + " ".join(str(matrix.cells[kind][door] or ".") for door in matrix.doors)

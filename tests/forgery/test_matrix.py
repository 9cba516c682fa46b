"""Separation in the whole product: every signed object at every door."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.wire.jws import TYP
from tests.forgery import matrix
from tests.forgery.arena import arena
from tests.forgery.objects import OBJECTS
from tests.service.founding import Founded

pytestmark = pytest.mark.integration


async def test_only_the_diagonal_opens(founded: Founded, tmp_path: Path) -> None:
    """Each object twice at each door, under its own key and under the key that the door trusts: every door opens for
    the one kind it is for, and for nothing else."""
    async with arena(founded, tmp_path / "pki") as made:
        filled = await matrix.run(made, tmp_path)
        assert filled.breaches == []
        assert made.tracebacks() == []
    assert filled.attempts >= 600
    opened = {door for row in filled.cells.values() for door, count in row.items() if count}
    assert set(filled.doors) - opened == {"signer, receipt statement"}  # it takes statements, never tokens


def test_every_registered_type_has_an_object() -> None:
    """A typ that is added to the product fails here until it has its row."""
    kinds = {"receipt": "receipt", "agreement": "agreement", "endorsement request": "endorsement",
             "change propose": "change", "call": "call"}  # fmt: skip
    assert set(kinds) <= set(OBJECTS)
    assert {typ for typ in TYP if not typ.startswith("ecluse-msg-")} == {
        f"ecluse-{name}+jws" for name in kinds.values()
    }

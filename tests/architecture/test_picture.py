"""The picture in the architecture page is the one the import contracts give."""

import subprocess
import sys
from pathlib import Path

import pytest

from docs import architecture_picture

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_shows_the_contracts() -> None:
    """`make docs` has nothing to do: page and contracts agree."""
    command = [sys.executable, str(ROOT / "docs" / "architecture_picture.py"), "--check"]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert outcome.returncode == 0, outcome.stderr


def test_an_old_picture_is_noticed() -> None:
    """A page whose picture lacks a room is not what would be drawn."""
    page = architecture_picture.PAGE.read_text(encoding="utf-8")
    old = page.replace("gateway.guard |", "", 1)
    assert old != page
    assert architecture_picture.redrawn(old) == page


def test_a_page_without_markers_is_refused() -> None:
    """The picture is never silently left out."""
    with pytest.raises(SystemExit, match="markers"):
        architecture_picture.redrawn("# Architecture\n")


def test_every_room_is_drawn() -> None:
    """Each room of the layers stands in the house, in the order of the layers."""
    house = architecture_picture.picture().split("```")[1]
    drawn = [room for line in house.splitlines() if line[:1] == "│" for room in line.strip("│ ").split(" | ")]
    assert drawn == [room for rooms in architecture_picture.layers() for room in rooms]

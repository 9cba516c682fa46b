"""Draw the house from the import contracts and the life of a message from its table, so that page and rule agree.

``python docs/architecture_picture.py``           print the picture
``python docs/architecture_picture.py --write``   put it between the markers of ``docs/architecture.md``
``python docs/architecture_picture.py --check``   exit 1 when the page shows another picture

What it does not do: it reads the contracts, not the code; ``lint-imports`` holds the code to them.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # run as a script, before the package is installed

from docs import drawn_page  # noqa: E402
from gateway.flow import lifecycle  # noqa: E402

PAGE = ROOT / "docs" / "architecture.md"
BEGIN = "<!-- picture: written by `make docs` from the import contracts -->"
END = "<!-- end of picture -->"
LIFE_BEGIN = "<!-- life of a message: written by `make docs` from gateway/flow/lifecycle.py -->"
LIFE_END = "<!-- end of life -->"


def contracts() -> list[dict[str, Any]]:
    """All import contracts of ``pyproject.toml``, in their order."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = project["tool"]["importlinter"]["contracts"]
    return found


def layers() -> list[list[str]]:
    """The rooms, highest layer first; rooms of one layer are strangers to each other."""
    (house,) = (contract for contract in contracts() if contract["type"] == "layers")
    return [[room.strip(" ()") for room in layer.split("|")] for layer in house["layers"]]


def picture() -> str:
    """The house as a fenced text block, followed by the contracts that the layers do not show."""
    rows = [" | ".join(rooms) for rooms in layers()]
    width = max(map(len, rows))
    floors = f"\n├─{'─' * width}─┤\n".join(f"│ {row:<{width}} │" for row in rows)
    house = f"┌─{'─' * width}─┐\n{floors}\n└─{'─' * width}─┘"
    others = "\n".join(f"- {contract['name']}" for contract in contracts() if contract["type"] != "layers")
    return f"```text\n{house}\n```\n\nBesides the layers, the same check holds:\n\n{others}"


def life() -> str:
    """The life of a message out as a fenced Mermaid state diagram."""
    return f"```mermaid\n{lifecycle.picture()}```"


def redrawn(page: str) -> str:
    """``page`` with the text between the markers replaced by the present pictures."""
    page = drawn_page.between(page, PAGE.name, BEGIN, picture(), END)
    return drawn_page.between(page, PAGE.name, LIFE_BEGIN, life(), LIFE_END)


if __name__ == "__main__":
    raise SystemExit(drawn_page.run(sys.argv[1:], PAGE, picture, redrawn))

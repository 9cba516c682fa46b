"""The peer is a second implementation: it shares no code with the gateway."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent

#: Files that start a real gateway to talk to: they know both ends.
BOTH_ENDS = {"world.py"}

#: What the peer is built from beside the standard library; none of it is used by the gateway.
LIBRARIES = {"Crypto", "jwcrypto", "kyber_py"}

MODULES = sorted(
    path.name
    for path in FOLDER.glob("*.py")
    if path.name not in BOTH_ENDS and not path.name.startswith(("test_", "conftest"))
)


def imported(path: Path) -> set[str]:
    """Names of all modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
        elif isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in {
            "__import__",
            "import_module",
        }:
            found.add("an import that is computed")
    return found


@pytest.mark.parametrize("name", MODULES)
def test_a_module_of_the_peer_imports_nothing_of_the_gateway(name: str) -> None:
    """Each module imports the standard library, the peer's own libraries, and other modules of the peer alone."""
    for module in imported(FOLDER / name):
        top = module.split(".")[0]
        own = module == "tests.peer" or module.startswith("tests.peer.")
        assert top in sys.stdlib_module_names or top in LIBRARIES or own, module
        assert module.rpartition(".")[2] + ".py" not in BOTH_ENDS, module


def test_the_gateway_uses_none_of_the_peers_libraries() -> None:
    """No file of the product imports a library that the peer relies on."""
    root = FOLDER.parents[1]
    for room in ("gateway", "adapters", "schemas", "certs"):
        for path in (root / room).rglob("*.py"):
            assert not {module.split(".")[0] for module in imported(path)} & LIBRARIES, path

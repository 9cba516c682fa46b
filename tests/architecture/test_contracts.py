"""The import contracts hold, and each can fail: forbidden imports are tried on a copy of the tree."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETTINGS: dict[str, Any] = PROJECT["tool"]["importlinter"]
CONTRACTS: dict[str, str] = {contract["id"]: contract["name"] for contract in SETTINGS["contracts"]}

#: (contract that must break, {module written into the copy: its text})
BREAKS: list[tuple[str, dict[str, str]]] = [
    ("house", {"gateway/policy/intruder.py": "import gateway.wire"}),
    ("house", {"gateway/guard/intruder.py": "import gateway.policy"}),
    ("house", {"gateway/model/intruder.py": "import gateway.flow"}),
    ("house", {"gateway/flow/intruder.py": "import adapters"}),
    ("house", {"gateway/service/intruder.py": "import gateway.cli"}),
    ("house", {"certs/intruder.py": "import gateway.audit"}),
    ("house", {"gateway/reviewer/intruder.py": "import gateway.errors"}),
    ("strangers", {"adapters/records/one.py": "import adapters.formats.two", "adapters/formats/two.py": ""}),
    ("strangers", {"adapters/formats/one.py": "import adapters.formats.two", "adapters/formats/two.py": ""}),
    ("wiring", {"gateway/service/intruder.py": "import adapters.stores"}),
    ("pure", {"gateway/flow/intruder.py": "import socket"}),
    ("pure", {"gateway/audit/intruder.py": "from time import time"}),
    ("pure", {"gateway/policy/intruder.py": "import logging"}),
    ("nouns", {"gateway/model/intruder.py": "import cryptography"}),
    ("signer", {"gateway/service/signer/intruder.py": "import aiohttp"}),
    ("second-opinion", {"gateway/guard/intruder.py": "import lxml"}),
]


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of all packages and of the contracts, free to be broken."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in SETTINGS["root_packages"]:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignore)
    return tmp_path


def lint_imports(house: Path) -> subprocess.CompletedProcess[str]:
    """Run the same check as `make check`, in ``house`` and on the packages found there."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    environ = os.environ | {"PYTHONPATH": str(house), "COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.run(command, cwd=house, env=environ, capture_output=True, text=True, timeout=60)


def test_the_tree_keeps_every_contract(house: Path) -> None:
    """The packages as they are break no contract, and every contract was looked at."""
    outcome = lint_imports(house)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert all(f"{name} KEPT" in outcome.stdout for name in CONTRACTS.values())


@pytest.mark.parametrize(("contract", "files"), BREAKS, ids=[f"{c}-{next(iter(f))}" for c, f in BREAKS])
def test_a_forbidden_import_is_named(house: Path, contract: str, files: dict[str, str]) -> None:
    """One forbidden import makes the check fail and name the contract that forbids it."""
    for path, text in files.items():
        (house / path).write_text(f"{text}\n", encoding="utf-8")
    outcome = lint_imports(house)
    assert outcome.returncode == 1
    assert f"{CONTRACTS[contract]} BROKEN" in outcome.stdout, outcome.stdout + outcome.stderr


def test_every_contract_is_broken_once() -> None:
    """A contract that no example breaks is a contract that nobody saw fail."""
    assert {contract for contract, _ in BREAKS} == set(CONTRACTS)


def test_app_may_pick_adapters(house: Path) -> None:
    """The exception of the wiring contract is real: `app.py` imports an adapter and no contract minds."""
    (house / "gateway/service/app.py").write_text("import adapters.stores\n", encoding="utf-8")
    outcome = lint_imports(house)
    assert outcome.returncode == 0, outcome.stdout


def test_no_room_is_outside_the_contract() -> None:
    """Every room of `gateway` and every package stands on a layer: a new room has to be placed."""
    (house,) = (contract for contract in SETTINGS["contracts"] if contract["type"] == "layers")
    placed = {room.strip(" ()") for layer in house["layers"] for room in layer.split("|")}
    rooms = {f"gateway.{path.stem}" for path in (ROOT / "gateway").iterdir() if is_module(path)}
    assert rooms <= placed
    assert set(SETTINGS["root_packages"]) <= {room.split(".")[0] for room in placed}


def is_module(path: Path) -> bool:
    """Whether ``path`` is a room: a module or a package, and neither `__init__.py` nor a cache."""
    return (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").is_file()

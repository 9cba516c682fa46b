"""Dependencies: each direct one has a reason, and what is installed is what was locked, hash by hash."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK: dict[str, Any] = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
REASONS = (ROOT / "docs" / "adr" / "0001-dependencies.md").read_text(encoding="utf-8")

RUNTIME = PROJECT["project"]["dependencies"]
DEVELOPMENT = PROJECT["dependency-groups"]["dev"]


def names(requirements: list[str]) -> set[str]:
    """The bare distribution names of ``requirements``."""
    return {re.split(r"[\[<>=~! ]", requirement, maxsplit=1)[0] for requirement in requirements}


def pinned(filename: str) -> dict[str, str]:
    """``name -> the whole pinned requirement with its hashes`` of one exported file."""
    text = (ROOT / filename).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    return {line.split("==")[0]: line for line in lines}


def test_every_direct_dependency_has_a_reason() -> None:
    """The table of reasons and the list of direct dependencies name the same distributions."""
    rows = set(re.findall(r"^\| `([a-z0-9-]+)` \|", REASONS, flags=re.MULTILINE))
    assert rows == names(RUNTIME) | names(DEVELOPMENT)


@pytest.mark.parametrize("filename", ["requirements.txt", "requirements-dev.txt"])
def test_the_exported_files_are_the_lock(filename: str) -> None:
    """Each line pins the locked version and carries at least one hash."""
    locked = {package["name"]: package.get("version") for package in LOCK["package"]}
    lines = pinned(filename)
    assert lines
    for name, line in lines.items():
        assert line.startswith(f"{name}=={locked[name]} ")
        assert "--hash=sha256:" in line


def test_both_files_cover_their_direct_dependencies() -> None:
    """Run time needs no development package; the development file installs everything, build tool included."""
    assert names(RUNTIME) <= set(pinned("requirements.txt")) <= set(pinned("requirements-dev.txt"))
    assert names(DEVELOPMENT) <= set(pinned("requirements-dev.txt"))
    assert not names(DEVELOPMENT) & set(pinned("requirements.txt"))

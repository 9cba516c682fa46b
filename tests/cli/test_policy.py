"""`ecluse policy prove`: exit codes, counter-examples in words, and the way without the solver."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.shared import DONE, NEGATIVE, USAGE
from gateway.cli.staging import SETTINGS
from gateway.flow.change import canonical
from gateway.policy import smt
from gateway.service.provision import shipped_policy
from tests.cli.conftest import Run

pytest.importorskip("z3", reason="needs z3: the extra `prove`")


def without(rule: str, path: Path) -> Path:
    """The shipped policy less a rule, as a file."""
    document = json.loads(shipped_policy())
    document["rules"] = [one for one in document["rules"] if one["id"] != rule]
    path.write_text(json.dumps(document))
    return path


def states(said: Any) -> dict[str, str]:
    return {one["id"]: one["state"] for one in said["findings"]}


def test_the_shipped_policy_is_proven(ecluse: Run, tmp_path: Path) -> None:
    """Exit code 0; with thresholds nothing is left open; every line says what is proven, in the language asked for."""
    settings = tmp_path / "settings.json"
    settings.write_bytes(canonical(SETTINGS))
    said = ecluse("policy", "prove", "--settings", settings, "--json")
    assert said.code == DONE
    assert set(states(said.document).values()) == {"proven"}
    said = ecluse("policy", "prove", "--language", "fr")
    assert said.code == DONE
    assert "proven: embargo. Rien ne part sous embargo" in said.out
    assert "needs-settings: bdc.fusion" in said.out


def test_a_broken_policy_comes_with_its_counter_example(ecluse: Run, tmp_path: Path) -> None:
    """Exit code 1, the world in fact values, and the proof that it is wider than the one before."""
    broken = without("embargo", tmp_path / "policy.json")
    before = tmp_path / "before.json"
    before.write_bytes(shipped_policy())
    said = ecluse("policy", "prove", "--policy", broken, "--against", before, "--json")
    assert said.code == NEGATIVE
    found = states(said.document)
    broken_ones = {name for name, state in found.items() if state == "broken"}
    assert broken_ones == {"embargo", "emergency.never", "nothing-more-leaves"}
    world = next(one["world"] for one in said.document["findings"] if one["id"] == "embargo")
    assert world[0] == {"fact": "record.embargoed", "state": "known", "value": True}
    said = ecluse("policy", "prove", "--policy", broken)
    assert said.code == NEGATIVE
    assert "embargo: a field leaves where" in said.out
    assert "record.embargoed" in said.out


def test_every_rule_is_told_apart(ecluse: Run) -> None:
    """Rules that another one covers are named; the others are needed."""
    said = ecluse("policy", "prove", "--rules", "--json")
    assert said.code == DONE
    assert "embargo" in said.document["needed"]
    assert "class.X" in said.document["covered"]


@pytest.mark.parametrize("option", ["--policy", "--settings", "--invariants", "--against"])
def test_a_file_that_does_not_load_is_named(ecluse: Run, tmp_path: Path, option: str) -> None:
    """Exit code 2, with the file's name."""
    path = tmp_path / "broken.json"
    path.write_text("[]")
    said = ecluse("policy", "prove", option, path, "--json")
    assert said.code == USAGE
    assert said.document["error"]["diagnostic"]["file"] == str(path)


def test_without_the_solver(ecluse: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2, and what to install."""

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(smt, "import_module", missing)
    said = ecluse("policy", "prove", "--json")
    assert (said.code, said.document["error"]["code"]) == (USAGE, "config-invalid")
    assert "prove" in said.document["error"]["detail"]

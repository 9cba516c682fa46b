"""The demo, as a person would run it: two gateways as processes, one story, the figures as one JSON document."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.integration, pytest.mark.slow]

#: The members of the result and, for each, those it must hold.
SHAPE: dict[str, set[str]] = {
    "imported": {"new", "changed", "unchanged", "unlabelled", "bad"},
    "released": {"message_id", "release", "fields_released", "fields_withheld"},
    "partner": {"received", "payload"},
    "receipt": {"verified", "id"},
    "denied": {"partner", "reasons"},
    "trace": {"state", "steps", "seq", "receipt"},
    "audit": {"local", "partner"},
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One run in a folder of its own; it leaves nothing there, and says nothing else on standard output."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "gateway.cli", "demo", "--once", "--json"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    assert list(folder.iterdir()) == []
    lines = done.stdout.splitlines()
    assert len(lines) == 1
    result: dict[str, Any] = json.loads(lines[0])
    return result


def test_the_result_has_its_shape(told: dict[str, Any]) -> None:
    """Every promised member is there."""
    for name, members in SHAPE.items():
        assert members <= set(told[name]), name
    assert {item["partner"]: item["effect"] for item in told["preview"]} == {
        "fra.police-demo": "PERMIT",
        "fra.fusion-demo": "DENY",
    }


def test_the_partner_holds_what_was_released_and_nothing_withheld(told: dict[str, Any]) -> None:
    """The approved bytes arrived; every withheld field names its rule and source; none of them is in the payload."""
    assert told["partner"]["received"] is True
    assert told["released"]["fields_released"]
    assert told["released"]["fields_withheld"]
    for field in told["released"]["fields_withheld"]:
        assert field["rule"]
        assert field["source_kind"] in {"law", "treaty", "agreement", "house"}
        assert field["article"]
    payload = json.dumps(told["partner"]["payload"])
    for withheld in ("national_number", "health", "minor_children", "Pzikla", "BDC-000001"):
        assert withheld not in payload


def test_the_receipt_and_both_logs_hold(told: dict[str, Any]) -> None:
    """Delivered with a verified receipt; both homes' logs verify offline and have entries."""
    assert told["trace"]["state"] == "delivered"
    assert told["receipt"]["verified"] is True
    assert told["receipt"]["id"] == told["trace"]["receipt"]
    for side in ("local", "partner"):
        assert told["audit"][side]["verified"] is True
        assert told["audit"][side]["size"] > 0


def test_the_denial_names_the_law(told: dict[str, Any]) -> None:
    """The fusion centre has a valid agreement and is denied by the rule on who may receive these data, alone."""
    assert told["denied"]["partner"] == "fra.fusion-demo"
    assert {reason["rule"] for reason in told["denied"]["reasons"]} == {"bdc.recipient"}

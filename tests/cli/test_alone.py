"""Commands where no gateway runs, and a gateway that starts while a command holds the home."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from adapters.records.synthetic import extract
from gateway.cli import staging
from gateway.cli.demo import start_gateway, stop_gateway, wait_ready
from gateway.cli.staging import BASIS, FR, KIND
from gateway.errors import ConfigInvalid
from gateway.flow.change import canonical
from gateway.service.app import now
from gateway.service.home import Home
from tests.cli.conftest import World, command

HELD_S = 0.5


def test_a_lock_is_waited_for(tmp_path: Path) -> None:
    """Whoever has patience owns a home once it is free; without patience, or when that ends, another process does."""
    home = Home(tmp_path)
    owner = home.own()
    for patience_s in (0.0, 0.05):
        with pytest.raises(ConfigInvalid, match="another process owns"):
            home.own(patience_s=patience_s)
    threading.Timer(0.1, owner.release).start()
    home.own(patience_s=30.0).release()


@pytest.mark.integration
def test_alone(tmp_path: Path) -> None:
    """An approval without a gateway says that nothing is sent until one runs; a gateway that finds the home held for a
    moment waits and serves, and then nothing is said."""
    stage = staging.build(tmp_path / "demo", now=now())
    world = World(stage, None, None, None, None, None)
    requester, approver = world.officer("be-requester"), world.officer("be-approver")
    for number, (group, document) in enumerate(
        (("partner", stage.entries[FR]), ("agreement", stage.agreements[FR]))
    ):
        path = tmp_path / f"{number}.json"
        path.write_bytes(canonical(document))
        proposed = command(0, group, "add", path, *requester)
        assert "gateway" not in command(0, "change", "approve", proposed["id"], "--yes", *approver)
    records = tmp_path / "extract.jsonl"
    records.write_bytes(extract(3, 1, now()))
    command(0, "record", "import", KIND, records, *requester)
    why = ("--to", FR, "--purpose", "ct-prevention", "--basis", BASIS, "--justification", "synthetic")
    first, second = (
        command(0, "disclose", name, *why, *requester)["releases"][0]["release"]
        for name in ("BDC-000001", "BDC-000002")
    )
    alone = command(0, "approve", first, "--yes", *approver)
    assert (alone["queued"], alone["gateway"]) == ([first], "not-running")

    owner = stage.be.own()
    child = start_gateway(stage.be)
    try:
        time.sleep(HELD_S)
        assert child.poll() is None
        owner.release()
        wait_ready(stage.be, child)
        assert "gateway" not in command(0, "approve", second, "--yes", *approver)
    finally:
        stop_gateway(child)

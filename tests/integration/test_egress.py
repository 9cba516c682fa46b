"""Nothing leaves the machine but by the table of exits: packets counted in a network namespace of its own."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: Seconds for a demonstration on a busy machine, beside what makes the namespace.
DEMO_S = 90


def _require_namespace() -> None:
    if shutil.which("ip") is None:
        pytest.skip("needs the command ip (Debian package iproute2)")
    probe = ["unshare", "--user", "--map-root-user", "--net", "ip", "link", "add", "x0", "type", "veth"]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("no right here to make a network namespace with interfaces")


def _counted(*command: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.egress", "--", *command],
        capture_output=True,
        timeout=DEMO_S,
        cwd=ROOT,
        check=False,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode == 0) is found["passed"]
    return found


def test_the_count_sees_what_leaves() -> None:
    """A connection, a name lookup and a connection on loopback are each seen: the instrument is not blind."""
    _require_namespace()
    attempts = """
import socket
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname()[:2]).close()
outside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
outside.sendto(b"x", ("203.0.113.7", 53))
away = socket.socket(); away.setblocking(False); away.connect_ex(("203.0.113.9", 443))
import time; time.sleep(0.3)
"""
    found = _counted(sys.executable, "-c", attempts)
    assert not found["passed"]
    assert {"udp 203.0.113.7:53", "tcp 203.0.113.9:443"} <= set(found["left_the_machine"])
    assert len(found["loopback_connections"]) == 1


def test_a_story_from_record_to_proof_leaves_the_machine_nowhere() -> None:
    """Two gateways, their signers and every command of the demonstration: not one packet beside loopback, no lookup,
    and on loopback connections to the four listeners alone."""
    _require_namespace()
    found = _counted(str(Path(sys.executable).with_name("ecluse")), "demo", "--once", "--json")
    assert found["command_exit"] == 0
    assert found["left_the_machine"] == {}
    reached = {where.rpartition(":")[0] for where in found["loopback_connections"]}
    assert reached == {"tcp 127.0.0.1"}
    assert 3 <= len(found["loopback_connections"]) <= 4

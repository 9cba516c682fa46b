"""A home that can no longer be written: the running gateway ends, none starts, and what was queued stays queued."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest

from gateway.cli import staging
from gateway.cli.client import DeskClient, desk
from gateway.cli.demo import approve, disclose, import_persons, stop_gateway, two_person, wait_ready
from gateway.cli.staging import BE, FR, Stage
from gateway.errors import Unavailable
from gateway.flow.change import canonical
from gateway.service import calls
from gateway.service.app import now

#: What `serve` ends with: a store that failed under it, and one that it cannot start on.
BROKEN, UNAVAILABLE = 4, 3

#: Seconds until a gateway must have ended: one for the heartbeat that finds out, one to end, the rest for a machine
#: that has other things to do.
ENDS_S = 10.0

READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0"'
INJECT = ("-f", "-e", "trace=pwrite64", "-e", "inject=pwrite64:error=EROFS", "-o", os.devnull)

Serve = list[str]


class Mount:
    """A read-only mount over the home, in a name space of the gateway's own. Open files could still be written."""

    reason = "store-readonly"

    def __init__(self) -> None:
        unshare = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
        if unshare.returncode or shutil.which("nsenter") is None:
            pytest.skip("needs the right to mount")

    def healthy(self, serve: Serve) -> Serve:
        """The command that starts a gateway over a home that can be written, until `strike`."""
        return ["unshare", "--mount", *serve]

    def stricken(self, serve: Serve, home: Path) -> Serve:
        """The command that starts a gateway over one that cannot."""
        return ["unshare", "--mount", "sh", "-c", f'{READ_ONLY} && exec "$@"', str(home), *serve]

    @contextmanager
    def strike(self, pid: int, home: Path) -> Iterator[None]:
        """From here on nothing in the home can be written."""
        inside = ["nsenter", "--target", str(pid), "--mount", "sh", "-c", READ_ONLY, str(home)]
        subprocess.run(inside, check=True)
        yield


class Fault:
    """Every write to a file answers EROFS, by way of a tracer."""

    reason = "store-ioerr-write"

    def __init__(self) -> None:
        if shutil.which("strace") is None:
            pytest.skip("needs strace")
        if subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], check=False).returncode:
            pytest.skip("needs the right to trace")

    def healthy(self, serve: Serve) -> Serve:
        return serve

    def stricken(self, serve: Serve, home: Path) -> Serve:
        return ["strace", "-qq", *INJECT, *serve]

    @contextmanager
    def strike(self, pid: int, home: Path) -> Iterator[None]:
        command = ["strace", *INJECT, "-p", str(pid)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr is not None
            if "attached" not in tracer.stderr.readline():
                pytest.skip("needs the right to trace")
            yield
            tracer.terminate()  # at the latest here; it ends with the gateway


def serve(stage: Stage) -> Serve:
    return [sys.executable, "-m", "gateway.cli", "serve", "--home", str(stage.be.path)]


@contextmanager
def running(stage: Stage, command: Serve) -> Iterator[subprocess.Popen[bytes]]:
    """A gateway of this home, ready; ended when it is left, if it has not ended by itself."""
    with (stage.be.path / "gateway.log").open("wb") as output:
        child = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_ready(stage.be, child)
        yield child
    finally:
        stop_gateway(child)


async def one_queued_one_waiting(stage: Stage) -> tuple[calls.DecisionView, calls.DecisionView]:
    """A message approved for a partner that is not there, and another that waits for its approval."""
    first, second = stage.officers["be-requester"], stage.officers["be-approver"]
    for kind, target, document in (
        ("partner", FR, canonical(stage.entries[FR])),
        ("agreement", f"{BE}-{FR}", canonical(stage.agreements[FR])),
    ):
        await two_person(stage.be, first, second, kind, target, document)
    await import_persons(stage.be, first, 2)
    queued = (await disclose(stage, first, "BDC-000001", (FR,)))[FR]
    waiting = (await disclose(stage, first, "BDC-000002", (FR,)))[FR]
    await approve(stage.be, second, [queued.release])
    return queued, waiting


async def approve_now(stage: Stage, draft: calls.DecisionView) -> None:
    """The approval of a gateway that runs, and of no other."""
    connector = aiohttp.UnixConnector(path=str(stage.be.control_socket))
    async with aiohttp.ClientSession(connector=connector) as session:
        approver = DeskClient(session, BE, stage.officers["be-approver"])
        endorsed = calls.Endorsed((draft.release,), approver.endorse("approve", [draft.statement]))
        await approver.call("releases/approve", endorsed, calls.Approved)


async def states(stage: Stage) -> dict[str, str]:
    """The state of every release that is not finished."""
    async with desk(stage.be.path, stage.officers["be-approver"]) as approver:
        items = await approver.call("queue/list", calls.Page(), list[calls.QueueItem])
    return {item.id: item.state for item in items}


def fatal_reasons(log: Path) -> list[str]:
    """Why the gateway said that it ends."""
    records = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [record["reason"] for record in records if record["event"] == "gateway.fatal"]


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize("way", [Mount, Fault])
def test_a_home_that_cannot_be_written(tmp_path: Path, way: Callable[[], Mount | Fault]) -> None:
    """An approval on a read-only disk is not acknowledged and ends the gateway with code 4; `serve` refuses to start
    (code 3) while a probe write fails; on a disk that can be written again the approved message is still queued, and
    the other still waits for its approval."""
    broken = way()
    stage = staging.build(tmp_path / "stage", now=now())

    with running(stage, broken.healthy(serve(stage))) as gateway:
        queued, waiting = asyncio.run(one_queued_one_waiting(stage))
        with broken.strike(gateway.pid, stage.be.path):
            with pytest.raises(Unavailable):
                asyncio.run(approve_now(stage, waiting))
            assert gateway.wait(ENDS_S) == BROKEN
    assert fatal_reasons(stage.be.path / "gateway.log") == [broken.reason]

    command = broken.stricken(serve(stage), stage.be.path)
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == UNAVAILABLE
    assert "gateway.ready" not in refused.stderr
    assert "Traceback" not in refused.stderr

    with running(stage, serve(stage)) as gateway:
        found = asyncio.run(states(stage))
    assert gateway.returncode == 0
    assert found[queued.release] in ("queued", "sequenced", "sealed", "attempted")
    assert found[waiting.release] == "awaiting-approval"

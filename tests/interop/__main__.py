"""`make interop`: partners in other languages exchange with a real gateway over mutual TLS, both ways; and a reviewer
in another language checks its logs.

Ends with one JSON document on standard output, each step of each client in it, and code 1 when one failed, 2 when a
client cannot run on this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from gateway.cli import staging
from gateway.cli.demo import start_gateway, stop_gateway, verify_homes, wait_ready
from gateway.service.app import now
from tests.interop.clients import CLIENTS, Client, Missing, Process, StepFailed, make_ready, running
from tests.interop.house import House
from tests.interop.logs import GO, check_logs
from tests.interop.plays import Play, perform

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "protocol"

#: Exit codes.
PASSED, FAILED, CANNOT_RUN = 0, 1, 2


def main(arguments: Sequence[str]) -> int:
    """The command; returns its exit code."""
    options = _options(arguments)
    clients = [client for client in CLIENTS if client.name in options.clients]
    began = time.monotonic()
    result: dict[str, Any] = {"clients": {client.name: {} for client in clients}}
    with tempfile.TemporaryDirectory(prefix="ecluse-interop-") as temporary:
        folder = options.keep or Path(temporary) / "stage"
        folder.mkdir(mode=0o700, parents=True)
        for client in clients:
            _prepare(client, folder / f"{client.name}.log", result["clients"][client.name])
        result["ready_s"] = round(time.monotonic() - began, 1)
        ready = [client for client in clients if "missing" not in result["clients"][client.name]]
        if ready:
            _run(ready, folder, result)
        if GO.name in options.clients:
            result["logs"] = _logs(folder)
    result["seconds"] = round(time.monotonic() - began, 1)
    result["passed"] = _passed(result)
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    if any("missing" in one for one in (*result["clients"].values(), result.get("logs", {}))):
        return CANNOT_RUN
    return PASSED if result["passed"] else FAILED


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.interop", description=__doc__)
    names = [client.name for client in (*CLIENTS, GO)]
    parser.add_argument("clients", nargs="*", metavar="CLIENT", help=f"of {', '.join(names)}; default: all")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work in this new folder and keep it")
    options = parser.parse_args(arguments)
    options.clients = options.clients or names
    if not set(options.clients) <= set(names):
        parser.error(f"a client is one of {', '.join(names)}")
    return options


def _prepare(client: Client, log: Path, answer: dict[str, Any]) -> None:
    _say(f"{client.name}: preparing")
    try:
        make_ready(client, log)
    except Missing as missing:
        answer["missing"] = str(missing)
        _say(f"{client.name}: {missing}")


def _logs(folder: Path) -> dict[str, Any]:
    """What Go says of a gateway's logs, proofs and cosignatures."""
    answer: dict[str, Any] = {}
    _prepare(GO, folder / f"{GO.name}.log", answer)
    if not answer:
        try:
            answer = check_logs(folder / "logs")
        except StepFailed as failure:
            answer = {"error": str(failure)}
        _say(f"{GO.name}: {answer}")
    return answer


def _run(clients: Sequence[Client], folder: Path, result: dict[str, Any]) -> None:
    stage = staging.build(folder / "gateway", now=now())
    child = start_gateway(stage.be)
    try:
        wait_ready(stage.be, child)
        asyncio.run(_perform(House(stage), clients, folder, result["clients"]))
        (result["audit"],) = (
            {"verified": home["verified"], "entries": home["size"]} for home in verify_homes(stage.be)
        )
    finally:
        stop_gateway(child)


async def _perform(
    house: House, clients: Sequence[Client], folder: Path, results: dict[str, dict[str, Any]]
) -> None:
    """One client after the other: attempts are counted, and an authority that one brings ends all connections."""
    await house.import_records()
    for client in clients:
        await _plays(house, client, folder, results[client.name])


async def _plays(house: House, client: Client, folder: Path, answer: dict[str, Any]) -> None:
    async with running(client, folder / f"{client.name}.log") as process:
        answer["vectors"] = await _vectors(client, process)
        answer["plays"] = {}
        for number, (suite, profile) in enumerate(client.plays, 1):
            org = f"fra.{client.name}-{number}"
            home = folder / org
            home.mkdir(mode=0o700)
            steps = await perform(Play(house, process, org, suite, profile, home))
            answer["plays"][f"{suite}, {profile}"] = steps
            with contextlib.suppress(StepFailed):
                await process.do("end", org=org)
            _tell(f"{client.name}: {suite}, {profile}", steps)


async def _vectors(client: Client, process: Process) -> dict[str, Any]:
    try:
        answer = await process.do("vectors", folder=str(VECTORS))
    except StepFailed as failure:
        answer = {"agree": {}, "differ": [{"error": str(failure)}]}
    _say(f"{client.name}: {sum(answer['agree'].values())} vectors agree, {len(answer['differ'])} differ")
    return answer


def _passed(result: dict[str, Any]) -> bool:
    """Every vector agreed, every step of every play held, and the gateway's logs are whole, in Go's eyes too."""
    clients = result["clients"].values()
    logs = result.get("logs", {"logs": 1})
    whole = result.get("audit", {}).get("verified") or not clients
    return bool(whole and logs.get("logs")) and all(
        client.get("plays")
        and client["vectors"]["agree"]
        and not client["vectors"]["differ"]
        and all(step["ok"] for steps in client["plays"].values() for step in steps)
        for client in clients
    )


def _tell(title: str, steps: Sequence[dict[str, Any]]) -> None:
    _say(title)
    for step in steps:
        _say(
            f"  {'ok  ' if step['ok'] else 'FAIL'} {step['seconds']:6.2f} s  {step['step']} {step.get('error', '')}"
        )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`ecluse bench`: this machine's disk, the floor of one message, and two gateways, measured side by side.

With ``--against`` a peer decides beside us instead: `gateway.cli.bench.decisions`.

One run, interleaved rounds, medians. Ratios are printed only when everything that was sent is proven to have arrived
once, under verified receipts, durably, over TLS 1.3 with client certificates. Loopback only; a temporary folder.
"""

from __future__ import annotations

import asyncio
import math
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from gateway.cli import staging
from gateway.cli.bench.exchange import (
    CONVERSATIONS,
    Drained,
    approve,
    drain,
    import_persons,
    one_at_a_time,
)
from gateway.cli.bench.floor import GROUP, Cost, Floor, disk_per_s, sample
from gateway.cli.bench.guards import Kept, Listener, Traced, failures, kept, listener
from gateway.cli.demo import furnish, stop_gateway
from gateway.cli.shared import DONE, NEGATIVE, Answer, table
from gateway.cli.staging import Stage
from gateway.errors import RequestInvalid
from gateway.service.app import now, running

#: Bounds of one run: messages a round, rounds. The store and the time grow with their product.
MOST_MESSAGES, MOST_ROUNDS = 5000, 20

#: Messages sent one at a time: a tenth of the queue, within these bounds.
ALONE_LEAST, ALONE_MOST = 3, 50

#: Messages sent one at a time while durable writes are counted.
TRACED = 2


#: Every ratio and what it says.
RATIOS = {
    "share_of_floor": "throughput over what the floor allows on all cores",
    "floor_to_cpu": "processor time of the floor over that of both gateways and both signers",
    "share_of_bare": "throughput over what the bare floor allows on all cores",
    "bare_to_cpu": "the same of the bare floor",
    "messages_per_fdatasync": "messages delivered in the time of one write to the bare disk",
    "p50_in_fdatasyncs": "latency in writes to the bare disk",
    "p50_in_floors": "latency in floors",
    "p99_to_p50": "spread of the latency",
}


#: Seconds after the last message: keepers sign heads each second, and a log of which none was signed proves nothing.
SETTLED_S = 1.5


@dataclass
class Rounds:
    """What the rounds gave, one item each, and everything that was approved."""

    disk: list[float] = field(default_factory=list)  # fdatasync of 4 KiB a second
    floor: list[dict[str, Cost]] = field(default_factory=list)  # by part
    bare: list[Cost] = field(default_factory=list)
    drained: list[Drained] = field(default_factory=list)
    alone_ms: list[float] = field(default_factory=list)
    approved: list[str] = field(default_factory=list)
    payload_bytes: list[int] = field(default_factory=list)
    traced: Traced = field(default_factory=Traced)
    listener: Listener = field(default_factory=lambda: Listener("", "", ""))


def bench(messages: int, rounds: int) -> Answer:
    """Measure; exit code 1 when a guard does not hold. Raises `RequestInvalid` for a size unknown here."""
    if not (0 < messages <= MOST_MESSAGES and 0 < rounds <= MOST_ROUNDS):
        raise RequestInvalid(
            "a run takes 1 to 5000 messages and 1 to 20 rounds", diagnostic={"field": "messages, rounds"}
        )
    with tempfile.TemporaryDirectory(prefix="ecluse-bench-") as temporary:
        folder = Path(temporary)
        most = rounds * (messages + ALONE_MOST) + TRACED
        stage = staging.build(folder / "stage", now=now(), bulk=most, profile="classic")
        done = _measure(stage, folder, messages, rounds)
        facts = kept(stage, done.approved, now())
    failed = failures(facts, done.listener, done.traced.calls, TRACED)
    document = _document(done, facts, failed)
    return Answer(document, [*_people(document), _line(document)], NEGATIVE if failed else DONE)


def _measure(stage: Stage, folder: Path, messages: int, rounds: int) -> Rounds:
    done = Rounds()
    alone = max(ALONE_LEAST, min(ALONE_MOST, messages // 10))
    persons: list[str] = []
    for number in range(rounds):
        done.disk.append(disk_per_s(folder))
        asyncio.run(_queue(stage, folder, persons, messages, done))
        children: dict[str, subprocess.Popen[bytes]] = {}
        try:
            done.drained.append(drain(stage, children, messages))
            asyncio.run(_alone(stage, persons, alone, done))
            if number == 0:
                done.listener = listener(stage)
                with done.traced.attached([child.pid for child in children.values()], folder):
                    _, sent = asyncio.run(one_at_a_time(stage, persons, TRACED))
                done.approved += sent.messages
            time.sleep(SETTLED_S)
        finally:
            for child in children.values():
                stop_gateway(child)
    return done


async def _queue(stage: Stage, folder: Path, persons: list[str], messages: int, done: Rounds) -> None:
    """Approve everything while the partner is away and our own dispatcher rests: nothing is sealed in advance.

    The floor is measured in the same process, before. The first round furnishes directory and persons.
    """
    async with running(stage.be, listen=False) as application:
        if not persons:
            async with running(stage.fr, listen=False):
                await furnish(stage)
            persons += await import_persons(stage, max(messages, ALONE_LEAST))
        floor = Floor(await sample(stage, application.gateway, persons))
        done.floor.append(floor.measure(folder))
        done.bare.append(floor.bare())
        queued = await approve(stage, persons, messages, CONVERSATIONS)
        done.approved += queued.messages
        done.payload_bytes += queued.payload_bytes


async def _alone(stage: Stage, persons: Sequence[str], count: int, done: Rounds) -> None:
    took, sent = await one_at_a_time(stage, persons, count)
    done.alone_ms += took
    done.approved += sent.messages


# --- figures ---------------------------------------------------------------------------------------------------------


def _document(done: Rounds, facts: Kept, failed: Sequence[str]) -> dict[str, Any]:
    parts = {name: _cost([one[name] for one in done.floor]) for name in done.floor[0]}
    rate = _median(one.messages / one.seconds for one in done.drained)
    cpu = _median(one.cpu_s / one.messages * 1e6 for one in done.drained)
    by_process = {
        name: round(_median(one.cpu_of[name] / one.messages * 1e6 for one in done.drained))
        for name in done.drained[0].cpu_of
    }
    floor, bare = sum(parts.values(), Cost()), _cost(done.bare)
    disk, cores = _median(done.disk), len(os.sched_getaffinity(0))
    alone = sorted(done.alone_ms)
    p50, p99 = statistics.median(alone), alone[math.ceil(len(alone) * 0.99) - 1]
    return {
        "guards": {
            "hold": not failed,
            "failed": list(failed),
            **msgspec.to_builtins(facts),
            "durable_writes_counted": done.traced.calls,
            "listener": msgspec.to_builtins(done.listener),
        },
        "rounds": len(done.drained),
        "messages_per_round": done.drained[0].messages,
        "payload_bytes": round(statistics.median(done.payload_bytes)),
        "cores": cores,
        "fdatasync_per_s": round(disk),
        "floor": {
            "us_per_message": round(floor.wall, 1),
            "cpu_us_per_message": round(floor.cpu, 1),
            "per_s_one_core": round(1e6 / floor.wall, 1),
            "bare_us_per_message": round(bare.wall, 1),
            "bare_cpu_us_per_message": round(bare.cpu, 1),
            "batch": GROUP,
            "parts_us": {name: round(cost.wall, 1) for name, cost in parts.items()},
        },
        "end_to_end": {
            "per_s": round(rate, 1),
            "cpu_us_per_message": round(cpu),
            "cpu_us_by_process": by_process,
            "rounds_per_s": [round(one.messages / one.seconds, 1) for one in done.drained],
        },
        "one_in_flight": {"messages": len(alone), "p50_ms": round(p50, 2), "p99_ms": round(p99, 2)},
        "ratios": None
        if failed
        else {
            "share_of_floor": round(rate * floor.wall / 1e6 / cores, 3),
            "floor_to_cpu": round(floor.cpu / cpu, 3),
            "share_of_bare": round(rate * bare.wall / 1e6 / cores, 3),
            "bare_to_cpu": round(bare.cpu / cpu, 3),
            "messages_per_fdatasync": round(rate / disk, 3),
            "p50_in_fdatasyncs": round(p50 / 1e3 * disk, 1),
            "p50_in_floors": round(p50 * 1e3 / floor.wall, 1),
            "p99_to_p50": round(p99 / p50, 2),
        },
    }


def _median(figures: Iterable[float]) -> float:
    return statistics.median(figures)


def _cost(costs: Sequence[Cost]) -> Cost:
    return Cost(_median(cost.wall for cost in costs), _median(cost.cpu for cost in costs))


def _line(document: dict[str, Any]) -> str:
    return msgspec.json.encode(document).decode()


def _people(document: dict[str, Any]) -> list[Any]:
    floor, flow, alone = document["floor"], document["end_to_end"], document["one_in_flight"]
    measured = [
        ("bare disk", f"{document['fdatasync_per_s']} /s", "fdatasync of 4 KiB"),
        ("floor", f"{floor['us_per_message']} us", f"a message, one core: {floor['per_s_one_core']} /s"),
        *((f"  {name}", f"{value:.0f} us", "") for name, value in floor["parts_us"].items()),
        ("bare floor", f"{floor['bare_us_per_message']} us", "signatures, encryption and commits alone"),
        ("end to end", f"{flow['per_s']} /s", f"{flow['cpu_us_per_message']} us of processor a message"),
        *((f"  {name}", f"{value} us", "") for name, value in flow["cpu_us_by_process"].items()),
        ("one in flight", f"{alone['p50_ms']} ms", f"p50; p99 {alone['p99_ms']} ms of {alone['messages']}"),
    ]
    title = (
        f"{document['rounds']} rounds of {document['messages_per_round']} messages of "
        f"{document['payload_bytes']} bytes, {document['cores']} cores; medians"
    )
    pieces: list[Any] = [table(("measured", "figure", ""), measured, title=title)]
    if document["ratios"] is None:
        return [*pieces, *(f"not to be believed: {sentence}" for sentence in document["guards"]["failed"])]
    ratios = [(name, document["ratios"][name], meaning) for name, meaning in RATIOS.items()]
    return [*pieces, table(("ratio", "value", ""), ratios)]

"""`make siege`: one real gateway under a thousand slow connections, then under a hundred hostile bodies.

Ends with one JSON document on standard output, and a code other than 0 when a bound fails.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.siege.bodies import Attack, attacks, outcome
from tests.siege.cost import cost_of, forget_peaks
from tests.siege.scan import available, scan
from tests.siege.slow import SOURCE, crowd
from tests.siege.target import Honest, Target, besieged

#: Bounds. Memory in bytes of the gateway and its signer together, over what they had before.
MOST_SLOW_GROWTH = 100 * 1024 * 1024
MOST_BODY_GROWTH = 50 * 1024 * 1024
MOST_BODY_CPU_S = 1.0
#: Seconds the honest partner may wait for an answer, under the worst of it, on a machine that also runs the attackers.
MOST_HONEST_S = 5.0

#: Questions of the honest partner before, and while the slow ones are there; one in so many begins with a handshake.
QUESTIONS, HANDSHAKE_EVERY = 300, 10
PAUSE_S = 0.02  # between two of them
SETTLE_S = 8.0  # the first slow ones have met their limits by then, and come again

MIB = 1024 * 1024


@dataclass
class Report:
    """What was found, and which bounds did not hold."""

    figures: dict[str, Any] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    def demand(self, holds: bool, finding: str) -> None:
        if not holds:
            self.findings.append(finding)


def main(arguments: Sequence[str]) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.siege", description=__doc__)
    parser.add_argument(
        "--connections", type=int, default=1000, help="slow connections; 0 leaves that part out"
    )
    parser.add_argument(
        "--bodies", action=argparse.BooleanOptionalAction, default=True, help="hostile bodies"
    )
    options = parser.parse_args(arguments)
    report = Report()
    with (
        tempfile.TemporaryDirectory(prefix="ecluse-siege-") as temporary,
        besieged(Path(temporary) / "stage") as target,
    ):
        if available():
            report.figures["offered"] = scan(target.reach.port)
        if options.connections:
            asyncio.run(slow_ones(target, options.connections, report))
        if options.bodies:
            asyncio.run(bodies(target, attacks(), report))
        log = target.log
    report.demand("Traceback" not in log, "the log holds a stack trace")
    report.demand("partner.defect" not in log, "an unexpected error was met")
    report.figures["log_lines"] = log.count("\n")
    passed = {"passed": not report.findings, "findings": report.findings}
    print(json.dumps({**passed, **report.figures}, indent=1))
    return 1 if report.findings else 0


async def slow_ones(
    target: Target,
    connections: int,
    report: Report,
    *,
    questions: int = QUESTIONS,
    settle_s: float = SETTLE_S,
) -> None:
    """The honest partner's times before, and beside the slow ones; what the gateway grows meanwhile."""
    honest = Honest(target)
    before = await _questions(honest, questions)
    at_rest = cost_of(target.processes)
    forget_peaks(target.processes)
    began = time.monotonic()
    async with crowd(target.reach, connections) as slow:
        await asyncio.sleep(settle_s)
        during = await _questions(honest, questions)
        cost = cost_of(target.processes)
        seconds = time.monotonic() - began
    honest.leave()
    growth = cost.peak - at_rest.rss
    report.figures["slow"] = {
        "connections": connections,
        "source": SOURCE,
        "opened": slow.opened,
        "ended": slow.ended,
        "honest_before_ms": {"kept": _spread(before[0]), "handshake": _spread(before[1])},
        "honest_during_ms": {"kept": _spread(during[0]), "handshake": _spread(during[1])},
        "growth_mib": round(growth / MIB, 1),
        "cpu_share": round((cost.cpu_s - at_rest.cpu_s) / seconds, 3),
    }
    report.demand(growth <= MOST_SLOW_GROWTH, "slow connections: the gateway grew too much")
    report.demand(
        max(during[0] + during[1]) <= MOST_HONEST_S, "slow connections: the honest partner waited too long"
    )
    report.demand(slow.opened >= connections, "slow connections: not all of them came")


async def bodies(target: Target, chosen: Sequence[Attack], report: Report) -> None:
    """Each attack alone: its answer, what it cost, and how long the honest partner waited beside it and right after it.

    The largest one comes once before, unmeasured: what the first of its size makes a process keep is no growth later.
    """
    honest = Honest(target)
    await target.send(max((attack.request(target) for attack in chosen), key=len))
    await honest.ask()
    waits: list[float] = []
    worst_cpu, worst_growth = ("", 0.0), ("", 0)
    for attack in chosen:
        request = attack.request(target)
        before = cost_of(target.processes)
        forget_peaks(target.processes)
        answering = asyncio.create_task(target.send(request))
        waits.append(await honest.ask())  # beside the attack
        seen = outcome(await answering)
        cost = cost_of(target.processes)
        cpu, growth = cost.cpu_s - before.cpu_s, cost.peak - before.rss
        worst_cpu, worst_growth = (
            max(worst_cpu, (attack.name, cpu), key=_second),
            max(worst_growth, (attack.name, growth), key=_second),
        )
        report.demand(seen in attack.expect, f"{attack.name}: {seen}")
        report.demand(not seen.startswith("5"), f"{attack.name}: the gateway failed")
        report.demand(cpu <= MOST_BODY_CPU_S, f"{attack.name}: {cpu:.2f} s of CPU")
        report.demand(growth <= MOST_BODY_GROWTH, f"{attack.name}: {growth / MIB:.0f} MiB")
        if attack.slow:
            honest.leave()  # the kept connection met its own limit meanwhile
        waits.append(await honest.ask())
    honest.leave()
    report.figures["bodies"] = {
        "attacks": len(chosen),
        "most_cpu_s": {worst_cpu[0]: round(worst_cpu[1], 2)},
        "most_growth_mib": {worst_growth[0]: round(worst_growth[1] / MIB, 1)},
        "honest_ms": _spread(waits),
    }
    report.demand(max(waits) <= MOST_HONEST_S, "hostile bodies: the honest partner waited too long")


async def _questions(honest: Honest, questions: int) -> tuple[list[float], list[float]]:
    """Seconds of questions over a kept connection, and of those that began with a handshake."""
    kept: list[float] = []
    new: list[float] = []
    for number in range(questions):
        first = number % HANDSHAKE_EVERY == 0
        if first:
            honest.leave()
        (new if first else kept).append(await honest.ask())
        await asyncio.sleep(PAUSE_S)
    return kept, new


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {
        "p50": round(cuts[49] * 1000, 1),
        "p99": round(cuts[98] * 1000, 1),
        "max": round(max(seconds) * 1000, 1),
    }


def _second(named: tuple[str, float]) -> float:
    return named[1]


if __name__ == "__main__":
    began = time.monotonic()
    code = main(sys.argv[1:])
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    sys.exit(code)

"""`make crash`: kill -9 of either gateway or signer at random instants while messages flow, then see what was lost.

Ends with one line of JSON figures on standard output, and a code other than 0 when a bound fails.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from gateway.cli import staging
from gateway.cli.demo import furnish
from gateway.errors import GatewayError
from gateway.service.app import now
from tests.crash.killing import VICTIMS, Broken, Gateways, Record, kill_all
from tests.crash.officers import Denied, Officers, import_records
from tests.crash.plan import Gate, Ledger, Plan, make_plan
from tests.crash.stores import gather
from tests.crash.verdict import judge

#: Seconds after which a run has failed: for the stage and the drain, for each kill, for each message.
LIMIT_S, LIMIT_KILL_S, LIMIT_MESSAGE_S = 90.0, 10.0, 0.5

#: From so many kills on, each of the four processes must have been hit.
ALL_VICTIMS_FROM = 8


@dataclass
class Run:
    """One run, as far as it came."""

    plan: Plan
    gate: Gate
    record: Record = field(default_factory=Record)
    ledger: Ledger = field(default_factory=Ledger)
    figures: dict[str, int] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)


def main(arguments: Sequence[str]) -> int:
    """The command; returns its exit code."""
    options = _options(arguments)
    plan = make_plan(options.messages, options.conversations, options.seed)
    run = Run(plan, Gate(options.messages, options.kills))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ecluse-crash-") as temporary:
        folder = options.keep or Path(temporary) / "stage"
        try:
            _run(run, folder, Random(options.seed))  # noqa: S311 - a schedule, no secret
        except GatewayError as failure:
            run.findings.append(failure.detail)
    result = _result(run, time.monotonic() - began)
    if not options.json:
        _tell(result)
    sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")
    sys.stdout.flush()
    return 0 if result["passed"] else 1


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=30, help="how many processes are killed")
    parser.add_argument("--messages", type=int, default=500, help="how many messages flow")
    parser.add_argument("--conversations", type=int, default=20, help="in how many conversations")
    parser.add_argument("--seed", type=int, default=1, help="of the schedule")
    parser.add_argument("--json", action="store_true", help="nothing but the line of figures")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work in this new folder and keep it")
    options = parser.parse_args(arguments)
    if not 0 <= options.kills < options.messages or not 1 <= options.conversations <= options.messages:
        parser.error("there must be more messages than kills, and at least one in each conversation")
    return options


def _run(run: Run, folder: Path, chance: Random) -> None:
    stage = staging.build(folder, now=now(), bulk=run.plan.messages)
    gateways = Gateways(stage, run.record)
    try:
        gateways.start()
        asyncio.run(_flow(run, stage, gateways, chance))
    except (Broken, Denied, GatewayError) as failure:
        run.findings.append(str(failure))
    except TimeoutError:
        run.findings.append("the time for the run is over")
    finally:
        codes = gateways.stop()
    if any(codes):
        run.findings.append("a gateway did not end well when it was asked to")
    facts, run.figures = gather(stage, run.ledger.approved, now())
    run.findings += judge(facts)


async def _flow(run: Run, stage: staging.Stage, gateways: Gateways, chance: Random) -> None:
    """Furnish and import in peace; then officers, killer and watcher at once, until all is delivered."""
    limit = LIMIT_S + LIMIT_KILL_S * run.gate.kills + LIMIT_MESSAGE_S * run.plan.messages
    try:
        async with asyncio.timeout(limit), asyncio.TaskGroup() as tasks:
            await furnish(stage)
            await import_records(stage, stage.officers["be-requester"], run.plan.extract(now()))
            watcher = tasks.create_task(gateways.watch())
            killer = tasks.create_task(kill_all(gateways, run.gate, run.record, chance))
            await Officers(stage, run.plan, run.gate, run.ledger).work()
            await killer
            await gateways.drained()
            watcher.cancel()
    except* (Broken, Denied, GatewayError) as failed:
        raise _first(failed) from None


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


def _result(run: Run, seconds: float) -> dict[str, Any]:
    """The figures, and whether every bound held."""
    kills = {victim: run.record.kills[victim] for victim in VICTIMS}
    approved = sum(len(messages) for messages in run.ledger.approved.values())
    findings = list(dict.fromkeys(run.findings))
    if run.record.kills.total() != run.gate.kills:
        findings.append("not every kill was done")
    if run.gate.kills >= ALL_VICTIMS_FROM and not all(kills.values()):
        findings.append("one of the four processes was never killed")
    if approved != run.plan.messages:
        findings.append("not every message was approved")
    return {
        "passed": not findings,
        "findings": findings,
        "seed": run.plan.seed,
        "messages": approved,
        "conversations": len(run.ledger.approved),
        "kills": kills,
        "kills_with_messages_under_way": sum(count > 0 for count in run.record.under_way),
        "under_way_median": statistics.median(run.record.under_way or [0]),
        "unasked_ends": run.record.unasked,
        "back_after_s_most": round(max(run.record.back_after_s, default=0.0), 2),
        "calls_repeated": dict(run.ledger.repeated),
        **run.figures,
        "seconds": round(seconds, 1),
    }


def _tell(result: dict[str, Any]) -> None:
    for name, value in result.items():
        print(f"{name:>30}  {value}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

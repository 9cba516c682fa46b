"""`make leak`: pairs of worlds that differ only in what is withheld, and leaks planted to see that they are found.

Prints one JSON document. Ends with 1 when two transcripts differ or anything personal was said, when fewer than
`LEAST_SHARE` of the draws are permits that withhold something, or when a planted leak survives.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from tests.leak import ports, work
from tests.leak.harness import ROUND, ROUNDS, Tally
from tests.leak.mutants import MUTANTS, Caught, chosen

#: Share of the draws that must be permits that withhold something: others compare little.
LEAST_SHARE = 0.3

#: Findings that are printed in full; there should be none.
SHOWN = 20

#: One episode of so many goes over the real listener and client, by TLS.
TLS_EVERY = 50


def main(arguments: Sequence[str]) -> int:
    """The command; returns its exit code."""
    options = _options(arguments)
    began = time.monotonic()
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    with (
        tempfile.TemporaryDirectory(prefix="ecluse-leak-", dir=memory if memory.is_dir() else None) as folder,
        ProcessPoolExecutor(
            options.jobs, multiprocessing.get_context("spawn"), initializer=work.start, initargs=(folder,)
        ) as pool,
    ):
        most = ROUND * ROUNDS
        episodes = -(-options.draws // most)
        seeds = [f"{options.seed}/{number}" for number in range(episodes)]
        played = [
            pool.submit(work.episode, seed, 1 + number * most, ROUND, ROUNDS)
            for number, seed in enumerate(seeds)
        ]
        by_tls = [
            pool.submit(work.by_tls, f"{options.seed}/tls/{number}", 1 + number * most)
            for number in range(0, episodes, TLS_EVERY)
        ]
        wanted = chosen(options.mutant) if options.mutant else ()
        swept = [pool.submit(work.sweep, str(options.seed))] if options.draws else []
        hunts = [pool.submit(work.hunt, mutant.name, str(options.seed)) for mutant in wanted]
        tally, tally_tls = Tally(), Tally()
        for future in played:
            tally.add(future.result())
        for future in by_tls:
            tally_tls.add(future.result())
        sweeps = [future.result() for future in swept]
        caught = [future.result() for future in hunts]
    result = _result(tally, tally_tls, sweeps, caught) | {
        "seed": options.seed, "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    return 0 if result["passed"] else 1


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.leak", description=__doc__)
    parser.add_argument("--draws", type=int, default=640, help="how many, rounded up to whole episodes")
    parser.add_argument(
        "--mutant", default="", choices=["", "all", *MUTANTS], metavar="NAME", help="or `all`"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    options = parser.parse_args(arguments)
    if options.draws < 0 or options.jobs < 1:
        parser.error("draws are not negative, and there is at least one process")
    return options


def _result(
    tally: Tally, by_tls: Tally, sweeps: Sequence[ports.Sweep], caught: Sequence[Caught]
) -> dict[str, Any]:
    """The figures, and whether every bound held."""
    findings = tally.findings + by_tls.findings
    share = tally.withholding / tally.draws if tally.draws else 0.0
    found = [leak for sweep in sweeps for leak in sweep.findings]
    passed = (
        not findings
        and not found
        and (not tally.draws or share >= LEAST_SHARE)
        and all(one.caught for one in caught)
    )
    figures = msgspec.to_builtins(tally)
    del figures["findings"]
    return {
        "passed": passed,
        **figures,
        "permits_that_withhold_share": round(share, 3),
        "differing": len(findings),
        "findings": msgspec.to_builtins(findings[:SHOWN]),
        "draws_by_tls": by_tls.draws,
        "port_calls_failed": sum(sweep.calls for sweep in sweeps),
        "port_findings": found[:SHOWN],
        "mutants_caught": sum(one.caught for one in caught),
        "mutants": len(caught),
        "mutants_survived": [one.name for one in caught if not one.caught and not one.broken],
        "mutants_broken": {one.name: one.broken for one in caught if one.broken},
        "mutants_by_name": {one.name: msgspec.to_builtins(one) for one in caught},
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

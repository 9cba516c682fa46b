"""`make grid`: both evaluators of the release policy over the grid, and every rule seen to deny alone.

Prints one JSON document. Ends with 1 when an answer differs, when fewer than `LEAST` decisions or another share of
permits than `SHARE` was asked, when three values of three axes stand nowhere together, or when a rule is nowhere the
sole reason or has no near miss.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import msgspec

from gateway.policy.rules import default_policy
from tests.grid import campaign
from tests.grid.axes import CORE, NAMES
from tests.grid.campaign import SIZES, Tally
from tests.grid.covering import triples

#: Decisions that are enough to say something.
LEAST = 100_000

#: Permits among them: a grid that nearly always denies, or permits, compares little.
SHARE = (0.05, 0.60)

#: Points given to a process at once.
PORTION = 2_000


def main(arguments: Sequence[str]) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.grid", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the covering array")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        parser.error("there is at least one process")
    began = time.monotonic()
    tally = Tally()
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        array = pool.submit(campaign.rest, options.seed)
        core, around = [*campaign.core()], [*campaign.around()]
        asked = [pool.submit(campaign.work, portion) for portion in campaign.portions(core + around, PORTION)]
        rows = array.result()
        counted = pool.submit(triples, SIZES, rows)
        asked += [pool.submit(campaign.work, portion) for portion in campaign.portions(rows, PORTION)]
        for future in asked:
            tally.add(future.result())
        covered, there_are = counted.result()
    result = _result(tally, covered, there_are)
    result |= {
        "axes": dict(zip(NAMES, SIZES, strict=True)),
        "core_axes": {name: len(values) for name, values in CORE.items()},
        "core": len(core),
        "around": len(around),
        "rows": len(rows),
        "seed": options.seed,
        "seconds": round(time.monotonic() - began, 1),
    }
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    return 0 if result["passed"] else 1


def _result(tally: Tally, covered: int, there_are: int) -> dict[str, Any]:
    """The figures, and whether every bound held."""
    share = tally.effects["PERMIT"] / tally.decisions
    rules = {
        rule.id: {"sole": tally.soles[rule.id], "near_misses": len({*campaign.near_misses(tally, rule.id)})}
        for rule in default_policy().rules
    }
    unseen = [rule for rule, seen in rules.items() if not (seen["sole"] and seen["near_misses"])]
    passed = (
        not tally.differing
        and tally.decisions >= LEAST
        and SHARE[0] <= share <= SHARE[1]
        and covered == there_are
        and not unseen
    )
    return {
        "passed": passed,
        "decisions": tally.decisions,
        "permits": tally.effects["PERMIT"],
        "permits_share": round(share, 4),
        "reviews": tally.effects["REVIEW"],
        "denials": tally.effects["DENY"],
        "differences": tally.differing,
        "first_differences": tally.differences,
        "triples": there_are,
        "triples_covered": covered,
        "rules": len(rules),
        "rules_without_sole_denial_or_near_miss": unseen,
        "by_rule": rules,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

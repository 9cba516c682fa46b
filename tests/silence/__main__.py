"""`make silence`: do the answers that a partner gets at once tell what is held here? Contents, and times.

One real gateway over mutual TLS, one partner on one connection. Three kinds of question in turn, in a drawn order:
about somebody who is held here and withheld (A), about nobody (B), and A again as the control. Ends with one JSON
document, and a code other than 0 when an answer differs, or when the times of A and B lie further apart than those of A
and A.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.siege.target import HOSTILE, Answer, Target, besieged, read_answer
from tests.silence.asked import Asking, names_held, question, withhold_all
from tests.silence.compare import compare
from tests.silence.seen import shape

SAMPLES = 1000

#: Rounds before the first that counts.
WARM = 30

#: Seconds for all requests together: on a busy machine there are fewer of them, and the report says how many.
REQUESTS_S = 140.0

SIDES = ("a", "b", "control")

Question = Callable[[str], bytes]


def main(arguments: Sequence[str]) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.silence", description=__doc__)
    parser.add_argument("--samples", type=int, default=SAMPLES, help="of each side, for each question")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="ecluse-silence-") as temporary:
        document = run(Path(temporary) / "stage", options.samples)
    print(json.dumps(document, indent=1))
    return 0 if document["passed"] else 1


def run(folder: Path, samples: int, warm: int = WARM) -> dict[str, Any]:
    """Ask, compare, report."""
    log_key = Ed25519PrivateKey.generate()
    with besieged(folder, log_key=log_key) as target:
        return asyncio.run(_asked(target, log_key, samples, warm))


async def _asked(target: Target, log_key: Ed25519PrivateKey, samples: int, warm: int) -> dict[str, Any]:
    withheld, held = await withhold_all(target), names_held()
    asking, draw = Asking(target, log_key), Random(1)  # noqa: S311  an order, no secret
    unknown = [str(uuid.uuid4()) for _ in withheld]  # as many, so that neither is the more often repeated
    strangers = ["".join(draw.sample(name, len(name))) for name in held]

    def receipt(side: str) -> bytes:
        return question(draw.choice(unknown if side == "b" else withheld))

    def request(side: str) -> bytes:
        return asking.about(draw.choice(strangers if side == "b" else held))

    report: dict[str, Any] = {"passed": True}
    for name, ask in (("receipt of a message", receipt), ("request", request)):
        times, shapes = await _rounds(target, ask, samples, warm, draw)
        compared = compare(times["a"], times["b"], times["control"])
        report[name] = {**msgspec.to_builtins(compared), "alike": compared.alike, "answers": shapes}
        report["passed"] &= compared.alike and len(shapes) == 1
    return report


async def _rounds(
    target: Target, ask: Question, samples: int, warm: int, draw: Random
) -> tuple[dict[str, list[float]], list[str]]:
    """Milliseconds of each side, and the shape of every answer."""
    times: dict[str, list[float]] = {side: [] for side in SIDES}
    shapes: set[str] = set()
    reader, writer = await target.connect(HOSTILE)
    until = time.monotonic() + REQUESTS_S
    for number in range(warm + samples):
        if time.monotonic() > until:
            break
        for side in draw.sample(SIDES, len(SIDES)):
            raw = ask(side)
            began = time.perf_counter()
            writer.write(raw)
            answer: Answer = await read_answer(reader)
            took = (time.perf_counter() - began) * 1e3
            if number >= warm:  # the first receipt has no head of our log yet
                shapes.add(shape(answer))
                times[side].append(took)
    writer.transport.abort()
    return times, sorted(shapes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

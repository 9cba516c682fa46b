"""`make tamper`: random edits of exported logs, each shown to both verifiers.

Each edit must be found by both, and the index they name must be one at which the fault can be: not after the first
index that is not true any more. Edits that take nothing from what a log says are counted by name, and are those of
docs/attacks.md alone. Ends with one JSON document, and with 1 when an edit was missed or misplaced.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from gateway.audit.export import ExportSource
from gateway.audit.verify import LogVerdict, verify_log
from gateway.errors import AuditBroken
from gateway.reviewer import verify
from tests.audit.logs import LOG_VKEY
from tests.tamper.edits import Edit, Original, draw, originals

EDITS = 20_000

#: Edits of one piece of work: its seed and this number name an edit again.
PIECE = 500

#: Where there is a file system in memory, a million files are written faster.
MEMORY = Path("/dev/shm")  # noqa: S108

#: Missed edits that are shown in full.
SHOWN = 20


class Bench:
    """The files of one log in a folder, where an edit stands for a moment."""

    def __init__(self, original: Original, folder: Path) -> None:
        self.original, self.folder = original, folder
        for name in original.files:
            self._restore(name)

    def _restore(self, name: str) -> None:
        path = self.folder / name
        if name in self.original.files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.original.files[name])
        else:
            path.unlink(missing_ok=True)

    def judged(self, edit: Edit) -> tuple[LogVerdict | None, verify.Check | None]:
        """What the gateway's verifier, and the one that stands alone, say; None when there is no log to be seen."""
        files = {**self.original.files, **edit.files}
        source = ExportSource({name: raw for name, raw in files.items() if raw is not None})
        try:
            _ = source.origin
            ours: LogVerdict | None = verify_log(source, [LOG_VKEY], ended=True)
        except AuditBroken:
            ours = None
        for name, raw in edit.files.items():
            if raw is None:
                (self.folder / name).unlink()
            else:
                (self.folder / name).write_bytes(raw)
        try:
            seen = (self.folder / "checkpoint").exists()
            alone = verify.Check([verify.Key(LOG_VKEY.encode())], [], [])
            return ours, alone.run(verify.Log(self.folder)) if seen else None
        finally:
            for name in edit.files:
                self._restore(name)


def outcome(edit: Edit, ours: LogVerdict | None, alone: verify.Check | None) -> str:
    """``exact``, ``range`` or ``head`` for an edit that both found; ``idle: ...`` for one that says nothing else; else
    what is wrong with the verdicts."""
    missed = [
        name
        for name, proven in (
            ("the gateway's", ours is not None and ours.status == "verified"),
            ("verify.py", alone is not None and not alone.fault),
        )
        if proven
    ]
    if edit.idle and len(missed) in (0, 2):
        return f"idle: {edit.idle}"
    if missed:
        return f"missed by {' and '.join(missed)}"
    if edit.index is None or ours is None or alone is None:
        return "head"
    # Where the tail is missing, what no head is left for is unproven too.
    firsts = {
        "the gateway's": ours.sealed_size if ours.status == "truncated" else ours.first_wrong_index,
        "verify.py": alone.signed_up_to if "than are there" in alone.fault else alone.first_wrong_index,
    }
    for name, first in firsts.items():
        if first is not None and first > edit.index:
            return f"{name} names an index after the first wrong one"
    if ours.last_wrong_index is not None and ours.last_wrong_index < edit.index:
        return "the gateway's names a range before the first wrong one"
    return "exact" if edit.index == ours.first_wrong_index == ours.last_wrong_index else "range"


def piece(work: tuple[str, int]) -> tuple[Counter[tuple[str, str]], list[str]]:
    """So many edits of one log, drawn from one seed."""
    seed, count = work
    random = Random(seed)  # noqa: S311
    choices, weights = zip(*originals_once(), strict=True)
    original = random.choices(choices, weights)[0]
    found: Counter[tuple[str, str]] = Counter()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(
        prefix="ecluse-tamper-", dir=MEMORY if MEMORY.is_dir() else None
    ) as folder:
        bench = Bench(original, Path(folder))
        for number in range(count):
            edit = draw(original, random)
            said = outcome(edit, *bench.judged(edit))
            found[edit.kind, said] += 1
            if not said.startswith(GOOD):
                wrong.append(f"{seed} edit {number} ({edit.kind}, {', '.join(edit.files)}): {said}")
    return found, wrong


GOOD = ("exact", "range", "head", "idle")

_ORIGINALS: list[tuple[Original, int]] = []


def originals_once() -> list[tuple[Original, int]]:
    """The logs, made before the workers are forked: all of them see one log key.

    Signatures are checked once for each key, signature and text: in plain Python that is most of the time, and it
    depends on nothing else.
    """
    if not _ORIGINALS:
        _ORIGINALS.extend(originals())
        verify.ed25519_holds = cache(verify.ed25519_holds)
    return _ORIGINALS


def run(edits: int, seed: str, jobs: int) -> dict[str, Any]:
    """Edit, verify, count."""
    began = time.monotonic()
    originals_once()
    work = [(f"{seed}/{number}", min(PIECE, edits - number * PIECE)) for number in range(-(-edits // PIECE))]
    found: Counter[tuple[str, str]] = Counter()
    wrong: list[str] = []
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        for counted, spoilt in pool.imap_unordered(piece, work):
            found += counted
            wrong += spoilt
    said: Counter[str] = Counter()
    kinds: dict[str, dict[str, int]] = {}
    for (kind, how), count in sorted(found.items()):
        said[how] += count
        kinds.setdefault(kind, {})[how] = count
    detected = sum(count for how, count in said.items() if how in GOOD)
    return {
        "passed": not wrong and sum(said.values()) == edits,
        "edits": edits,
        "detected": detected,
        "first_wrong_index_exact": said["exact"],
        "first_wrong_index_in_range": said["range"],
        "in_a_head_and_no_entry": said["head"],
        "say_nothing_else": {
            how.removeprefix("idle: "): count for how, count in said.items() if how[:4] == "idle"
        },
        "missed_or_misplaced": len(wrong),
        "first_of_them": wrong[:SHOWN],
        "by_kind": kinds,
        "seconds": round(time.monotonic() - began, 1),
    }


def main(arguments: Sequence[str]) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.tamper", description=__doc__)
    parser.add_argument("--edits", type=int, default=EDITS)
    parser.add_argument("--seed", default="0")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    options = parser.parse_args(arguments)
    document = run(options.edits, options.seed, options.jobs)
    print(json.dumps(document, indent=1))
    return 0 if document["passed"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

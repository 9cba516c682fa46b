"""``python -m tests.forgery``: everything of this folder in one run, one JSON document, exit code 1 on a breach."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import structlog

from tests.conftest import REFERENCE
from tests.forgery import matrix, receipts
from tests.forgery.arena import arena
from tests.forgery.campaign import campaign
from tests.forgery.mutations import vectors
from tests.forgery.opinion import opinion
from tests.forgery.vectors import judge, read
from tests.service.founding import Founded, found
from tests.service.world import World

#: Public vectors of RFC 7520, 7797 and 8037: each is valid, and each of an algorithm outside our policy.
PUBLIC = {"refused: algorithm"}


async def run(founded: Founded, folder: Path) -> dict[str, Any]:
    """The report; ``breaches`` is empty when every hostile thing got exactly its answer."""
    outcome = await campaign(founded, folder / "attacks")
    async with arena(founded, folder / "matrix") as made:
        filled = await matrix.run(made, folder)
    world = await World(founded, "receipts").boot()
    forged, replies = await receipts.run(world)
    world.close()
    ours, public = jose()
    return {
        "attacks": dict(outcome.attacks),
        "answers": dict(sorted(outcome.answers.items())),
        "statuses": {str(status): count for status, count in sorted(outcome.statuses.items())},
        "kinds of refusal reached": len(outcome.reasons),
        "messages of honest partners between": outcome.neighbours,
        "forged receipts": replies,
        "matrix": {"attempts": filled.attempts, "doors": filled.doors, "cells": filled.cells},
        "own vectors": ours["said"],
        "a library without our reader accepts of the refused": ours["lenient"],
        "public vectors": public["said"],
        "breaches": [*outcome.breaches, *filled.breaches, *forged, *ours["breaches"], *public["breaches"]],
    }


def jose() -> tuple[dict[str, Any], dict[str, Any]]:
    """Our own vectors with a second opinion, and the public ones where they are at hand."""
    said: Counter[str] = Counter()
    lenient, breaches = 0, []
    for vector in vectors():
        word = judge(vector)
        said[word] += 1
        theirs = opinion(vector)
        lenient += bool(theirs) and word != "accepted"
        if word != vector.expect:
            breaches.append(f"vector {vector.name}: {word} instead of {vector.expect}")
        if word == "accepted" and theirs is False:
            breaches.append(f"vector {vector.name}: accepted by us alone")
    files = sorted((REFERENCE / "jose").glob("*.json"))
    words = {vector.name: judge(vector) for file in files for vector in read(file)}
    public = {
        "said": words or "absent",
        "breaches": [f"public vector {name}: {word}" for name, word in words.items() if word not in PUBLIC],
    }
    return {"said": dict(sorted(said.items())), "lenient": lenient, "breaches": breaches}, public


def main() -> int:
    """The command; returns its exit code."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    with tempfile.TemporaryDirectory(prefix="ecluse-forgery-") as temporary:
        folder = Path(temporary)
        (folder / "founded").mkdir()
        report = asyncio.run(run(found(folder / "founded"), folder))
    print(json.dumps(report, indent=1, ensure_ascii=False))
    return 1 if report["breaches"] else 0


if __name__ == "__main__":
    sys.exit(main())

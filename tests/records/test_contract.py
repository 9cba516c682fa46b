"""The BDC extract keeps the contract of every record adapter."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from adapters.records.bdc import BdcExtract
from adapters.records.synthetic import extract
from gateway.ports import RecordAdapter
from tests.contracts.record_adapter import RecordAdapterContract, Spoiled

GOOD = extract(40, 7, datetime(2026, 11, 21, 21, tzinfo=UTC))
MARKER = "Zzubiquist"


def spoil(change: Callable[[dict[str, Any]], object], pointer: str, rule: str) -> Spoiled:
    """The good file with its third person spoiled."""
    lines = GOOD.splitlines()
    line = json.loads(lines[2])
    line["content"]["names"][0]["given"] = MARKER
    change(line)
    lines[2] = json.dumps(line).encode()
    return Spoiled(b"\n".join(lines), 3, pointer, rule, MARKER)


class TestBdcExtract(RecordAdapterContract):
    """`adapters.records.bdc`."""

    good = GOOD
    spoiled = (
        spoil(lambda line: line["content"].update({MARKER: MARKER}), "", "additionalProperties"),
        spoil(lambda line: line["content"].update(sex=MARKER), "/sex", "enum"),
        spoil(lambda line: line["content"]["names"][0].update(script=MARKER), "/names/*/script", "pattern"),
        spoil(lambda line: line.update({MARKER: MARKER}), "", "additionalProperties"),
        spoil(lambda line: line.update(id=MARKER), "/id", "pattern"),
        spoil(lambda line: line.update(id="BDC-000001"), "/id", "duplicate-id"),
        spoil(lambda line: line.update(label={"policy": MARKER, "level": "X"}), "/label/policy", "pattern"),
    )

    def adapter(self) -> RecordAdapter:
        """For a named officer."""
        return BdcExtract("bel.ocam", "bel.ocam.officer-1")

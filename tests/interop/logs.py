"""The Go part: logs, proofs and cosignatures of a real story, checked with the packages of the Go checksum database."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import itertools
import json
import subprocess
from pathlib import Path
from typing import Any, Final

from gateway.audit.checkpoint import parse, partner_origin
from gateway.audit.export import ExportSource, write_export
from gateway.audit.tree import consistency_proof
from gateway.cli import main as ecluse
from gateway.cli import staging
from gateway.cli.demo import gateways, tell
from gateway.cli.exported import Files, write
from gateway.service.app import now
from tests.audit.logs import LOG_VKEY, MemoryLog
from tests.interop.clients import READY_S, Client, StepFailed

#: What no short story has: tiles above the lowest, and heads on both sides of a full one.
LONGER: Final = MemoryLog.of([1, 2, 252, 1, 1, 300, 443], origin=partner_origin("bel.ocam", "fra.longer"))

#: Not a partner: it reads what a reviewer gets.
GO: Final = Client(
    "go", (("go", "Go 1.26 or newer"),), (("go", "build", "-o", "build/logs", "."),), ("build/logs",), ()
)


def check_logs(folder: Path) -> dict[str, Any]:
    """Play the demo's story, export both sides' logs, have a laptop cosign them, and let Go judge all of it.

    The result names how many of each were checked; raises `StepFailed` with the program's words.
    """
    stage = staging.build(folder / "demo", now=now())
    with gateways(stage):
        told = asyncio.run(tell(stage))
        keys, proofs = [], []
        for home in (stage.be.path, stage.fr.path):
            keys += _said("export", "--home", home, "--out", folder / "export")["keys"]
            proofs += _said("prove", told["released"]["message_id"], "--home", home)["proofs"]
    for name, data in write_export(LONGER):
        write(folder / "export" / LONGER.origin / name, data)
    keys.append(LOG_VKEY.encode())
    mine = folder / "laptop.pem"
    witnesses = _said("witness-key", "--name", "laptop.invalid/1", "--out", mine)["keys"]
    trusted = [word for key in keys for word in ("--key", key)]
    vouched = _said(
        "witness", folder / "export", "--witness-key", mine, "--out", folder / "cosigned", *trusted
    )
    return _judged(
        {
            "export": str(folder / "export"),
            "keys": keys,
            "witnesses": witnesses,
            "cosigned": [one["file"] for one in vouched["cosigned"]],
            "proofs": proofs,
            "consistency": _consistency(folder / "export"),
        }
    )


def _said(*words: object) -> dict[str, Any]:
    """The answer of one `ecluse audit` command."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = ecluse(["audit", *map(str, words), "--json"])
    if code:
        raise StepFailed(f"`ecluse audit {words[0]}` ended with code {code}: {out.getvalue()[:800]}")
    answer: dict[str, Any] = json.loads(out.getvalue())
    return answer


def _consistency(export: Path) -> list[dict[str, Any]]:
    """A proof from each signed head of each log to the next one and to the newest."""
    proofs = []
    for found in sorted(export.rglob("checkpoint")):
        source = ExportSource(Files(found.parent))
        sizes = [parse(raw).checkpoint.size for raw in source.checkpoints()]
        pairs = {pair for old, new in itertools.pairwise(sizes) for pair in ((old, new), (old, sizes[-1]))}
        for old, new in sorted(pairs):
            hashes = consistency_proof(old, new, source.tiles).hashes
            encoded = [base64.b64encode(one).decode() for one in hashes]
            proofs.append({"origin": source.origin, "old": old, "new": new, "hashes": encoded})
    return proofs


def _judged(asked: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        GO.run, cwd=GO.folder, input=json.dumps(asked), capture_output=True, text=True, timeout=READY_S
    )
    if done.returncode:
        raise StepFailed(done.stderr[-800:])
    found: dict[str, Any] = json.loads(done.stdout)
    return found

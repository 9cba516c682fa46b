"""`docs/partner-walkthrough.md`: every block runs as it stands, in order, against a gateway of the demo's stage."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli import staging
from gateway.cli.demo import start_gateway, stop_gateway, wait_ready
from gateway.service.app import now

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "partner-walkthrough.md"

#: Between two blocks on standard output.
MARK = "=== end of block ==="


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder where `ecluse demo` has left its homes, and the French gateway runs."""
    made = tmp_path_factory.mktemp("walk")
    stage = staging.build(made / "ecluse-demo", now=now())
    child = start_gateway(stage.fr)
    try:
        wait_ready(stage.fr, child)
        yield made
    finally:
        stop_gateway(child)


def blocks() -> list[tuple[str, str]]:
    """Each shell block with what the document says it prints, if anything."""
    text = DOCUMENT.read_text(encoding="utf-8")
    found = re.findall(r"```sh\n(.*?)```\n(?:```text\n(.*?)```\n)?", text, re.DOTALL)
    assert len(found) == text.count("```sh\n")
    return found


def test_every_block_runs(folder: Path) -> None:
    """No command fails, and what each block is said to print is among what it prints, in that order."""
    for tool in ("bash", "curl", "openssl"):
        assert shutil.which(tool), tool
    script = "set -eu\n" + "".join(f"{block}echo '{MARK}'\n" for block, _ in blocks())
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
    }
    done = subprocess.run(
        ["bash"],
        cwd=folder,
        env=environment,
        input=script.encode(),
        capture_output=True,
        timeout=100,
        check=False,
    )
    printed = done.stdout.decode().split(f"{MARK}\n")
    where = blocks()[min(len(printed) - 1, len(blocks()) - 1)][0]
    assert done.returncode == 0, f"{where}\n{done.stderr.decode()[-2000:]}"
    assert len(printed) == len(blocks()) + 1
    for (block, expected), output in zip(blocks(), printed, strict=False):
        wanted = [re.escape(line).replace("…", ".*") for line in expected.splitlines()]
        pattern = "".join(f"(?:.*\n)*{line}\n" for line in wanted)
        assert re.match(pattern, output), f"{block}\nprinted:\n{output}"

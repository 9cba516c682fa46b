"""Two real gateways as processes, one story told through the command line, and a runner of commands."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from adapters.records.synthetic import extract
from gateway.cli import main, staging
from gateway.cli.demo import gateways
from gateway.cli.staging import BASIS, BE, FR, FUSION, KIND, Stage
from gateway.flow.change import canonical
from gateway.service.app import now

#: Seconds until a message on loopback must have its receipt.
DELIVERED_S = 20.0


@dataclass(frozen=True)
class Said:
    """What one command said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document; anything else on standard output fails here."""
        return json.loads(self.out)


Run = Callable[..., Said]


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No officer, home or log configuration from outside, and none left behind."""
    for name in ("ECLUSE_HOME", "ECLUSE_OFFICER", "ECLUSE_OFFICER_KEY"):
        monkeypatch.delenv(name, raising=False)
    yield
    structlog.reset_defaults()


@pytest.fixture
def ecluse(capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs one command in this process."""

    def run(*words: object) -> Said:
        capfd.readouterr()
        code = main([str(word) for word in words])
        return Said(code, *capfd.readouterr())

    return run


@dataclass(frozen=True)
class World:
    """Both homes in service with each other, and what the commands of the story answered."""

    stage: Stage
    imported: Any
    preview: Any
    disclosed: Any
    approved: Any
    trace: Any

    def officer(self, name: str) -> tuple[str, ...]:
        """Options by which this officer acts on the own home."""
        home = self.stage.be if name.startswith("be-") else self.stage.fr
        key = self.stage.folder / "officers" / f"{name}.pem"
        return ("--home", str(home.path), "--as", name, "--officer-key", str(key), "--json")

    @property
    def message(self) -> str:
        return str(self.disclosed["releases"][0]["message_id"])

    @property
    def release(self) -> str:
        return str(self.disclosed["releases"][0]["release"])


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The story, told once with commands alone: directory, import, preview, disclosure, approval, delivery."""
    stage = staging.build(tmp_path_factory.mktemp("cli") / "demo", now=now())
    files = tmp_path_factory.mktemp("files")
    with gateways(stage):
        empty = World(stage, None, None, None, None, None)
        furnish(empty, files)
        extract_file = files / "extract.jsonl"
        extract_file.write_bytes(extract(20, 1, now()) + b"{}\n")
        requester, approver = empty.officer("be-requester"), empty.officer("be-approver")
        imported = command(1, "record", "import", KIND, extract_file, *requester)
        why = ("--to", f"{FR},{FUSION}", "--purpose", "ct-prevention", "--basis", BASIS)
        preview = command(1, "preview", "BDC-000001", *why, *requester)
        disclosed = command(1, "disclose", "BDC-000001", *why, "--justification", "synthetic", *requester)
        release = disclosed["releases"][0]["release"]
        approved = command(0, "approve", release, "--yes", *approver)
        trace = delivered(release, approver)
        yield World(stage, imported, preview, disclosed, approved, trace)
    structlog.reset_defaults()


def command(expected: int, *words: object) -> Any:
    """Run a command with ``--json``; its document. Output is taken here, since a session's fixture has no capture."""
    import contextlib
    import io

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main([str(word) for word in words])
    assert code == expected, out.getvalue()
    return json.loads(out.getvalue())


def furnish(world: World, files: Path) -> None:
    stage = world.stage
    be, fr = ("be-requester", "be-approver"), ("fr-inbox", "fr-second")
    documents = [
        (be, "partner", stage.entries[FR]),
        (be, "partner", stage.fusion),
        (be, "agreement", stage.agreements[FR]),
        (be, "agreement", stage.agreements[FUSION]),
        (fr, "partner", stage.entries[BE]),
        (fr, "agreement", stage.agreements[FR]),
    ]
    for number, ((first, second), group, document) in enumerate(documents):
        path = files / f"{number}.json"
        path.write_bytes(canonical(document))
        proposed = command(0, group, "add", path, *world.officer(first))
        assert proposed["state"] == "proposed"
        applied = command(0, "change", "approve", proposed["id"], "--yes", *world.officer(second))
        assert applied["state"] == "applied"


def delivered(release: str, officer: tuple[str, ...]) -> Any:
    deadline = time.monotonic() + DELIVERED_S
    while True:
        trace = command(0, "trace", release, *officer)
        if trace["state"] == "delivered" or time.monotonic() > deadline:
            return trace
        time.sleep(0.1)


def written(path: Path, value: Any) -> Path:
    """A document as a file."""
    path.write_bytes(msgspec.json.encode(value))
    return path

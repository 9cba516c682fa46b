"""The manual and the samples: every command that stands there runs, in its order, up to a partner's inbox."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import shutil
import subprocess
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters.records.synthetic import extract
from gateway.cli import main
from gateway.cli.demo import start_gateway, stop_gateway, wait_ready
from gateway.cli.staging import free_port
from gateway.model.agreement import AgreementTerms
from gateway.model.label import SecurityLabel
from gateway.model.officer import Officer
from gateway.service.app import now
from gateway.service.config import Config, load_config
from gateway.service.home import Home
from gateway.service.provision import read_settings
from gateway.wire.agreement import read_terms
from gateway.wire.strict import canonical
from tests.cli.conftest import DELIVERED_S

pytestmark = pytest.mark.integration

DOCS = Path(__file__).resolve().parents[2] / "docs"
SAMPLES = DOCS / "samples"

#: Seconds until the keeper must have signed the newest heads, which it does every second.
SEALED_S = 20.0


def test_the_configuration_sample_shows_every_member(tmp_path: Path) -> None:
    """It loads as it is; and with its commented members taken in it says what absence means, member by member."""
    text = (SAMPLES / "gateway.toml").read_text()
    loaded = load_config(SAMPLES / "gateway.toml").config
    whole = tmp_path / "gateway.toml"
    whole.write_text(re.sub(r"(?m)^# (?=\[|[a-z_]+ =)", "", text))
    assert load_config(whole).config == loaded
    shown = tomllib.loads(whole.read_text())
    assert set(shown) == set(Config.__struct_fields__)
    assert set(shown["delivery"]) == set(loaded.delivery.__struct_fields__)
    assert set(shown["inbound"]) == set(loaded.inbound.__struct_fields__)


def test_the_other_samples_hold() -> None:
    """Settings, terms and officer are of their closed types; the terms are such that both sides could sign them."""
    assert read_settings(SAMPLES / "settings.toml").min_age == 12
    terms = msgspec.convert(tomllib.loads((SAMPLES / "terms.toml").read_text()), AgreementTerms)
    assert read_terms(canonical(terms)).parties == ("bel.demo-unit", "fra.demo-police")
    assert msgspec.json.decode((SAMPLES / "label.json").read_bytes(), type=SecurityLabel).releasable_to == (
        "FRA",
    )
    raw = (SAMPLES / "officer.json").read_bytes()
    assert msgspec.json.decode(raw, type=Officer).id == "be-requester"
    assert set(json.loads(raw)) == set(Officer.__struct_fields__)


class Sides:
    """What the manual says that the reader has: a folder, two configurations, and the ids printed before."""

    def __init__(self, folder: Path) -> None:
        self.ports = {"8443": str(free_port()), "8444": str(free_port())}
        self.printed: dict[str, str] = {}
        self.children: list[subprocess.Popen[bytes]] = []
        self.last: dict[str, Any] = {}
        for name in ("settings.toml", "terms.toml", "label.json", "information-request.json"):
            shutil.copy(SAMPLES / name, folder)
        terms = (folder / "terms.toml").read_text()
        (folder / "next.toml").write_text(terms.replace("version = 1", "version = 2"))
        for name in ("sanctions-un.xml", "note.eml"):
            shutil.copy(DOCS.parent / "adapters" / "records" / "samples" / name, folder)
        sample = (SAMPLES / "gateway.toml").read_text().replace('# profile = ""', 'profile = "demo"')
        for side, org, nation, port in (
            ("be", "bel.demo-unit", "BEL", "8443"),
            ("fr", "fra.demo-police", "FRA", "8444"),
        ):
            text = sample.replace("bel.demo-unit", org).replace('"BEL"', f'"{nation}"')
            text = text.replace("port = 8443", f"port = {self.ports[port]}").replace("9443", str(free_port()))
            (folder / f"{side}.toml").write_text(text)

    def run(self, line: str) -> None:
        """One line of the manual, with the ids and ports of this run."""
        words = shlex.split(line.removesuffix("&"))[1:]
        words = [self.printed.get(word, word) for word in words]
        for port, free in self.ports.items():
            words = [word.replace(f":{port}", f":{free}") for word in words]
        if words[0] == "serve":
            home = Home(Path(words[2]))
            self.children.append(start_gateway(home))
            wait_ready(home, self.children[-1])
            return
        deadline = time.monotonic() + max(SEALED_S, DELIVERED_S)
        while not self.answered(words):
            assert time.monotonic() < deadline, (line, self.last)
            time.sleep(0.2)

    def answered(self, words: list[str]) -> bool:
        """Run the command; False for what only needs a moment: a head not signed yet, a message under way."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = main([*words, "--json"])
        self.last = {"code": code, "answer": json.loads(out.getvalue())}
        found = self.last["answer"]
        if words[:2] in (["audit", "verify"], ["audit", "checkpoint"]):
            return code == 0
        assert code == 0, (words, found)
        if words[:2] == ["audit", "export"]:
            self.printed["KEY"] = found["keys"][0]
        if words[:2] == ["audit", "witness-key"]:
            self.printed["WITNESS"] = found["keys"][0]
        if words[:2] == ["audit", "witness"]:
            self.printed["HEAD"] = found["cosigned"][0]["file"]
        if "id" in found and (words[1] == "add" or words[:2] == ["change", "propose"]):
            self.printed["CHANGE"] = found["id"]
        if words[:3] == ["audit", "finding", "new"]:
            self.printed["FINDING"] = found["id"]
        if words[0] == "disclose":
            self.printed["RELEASE"] = found["releases"][0]["release"]
            self.printed["MESSAGE"] = found["releases"][0]["message_id"]
        if words[0] == "request" and found.get("releases"):
            self.printed["RELEASE"] = found["releases"][0]["release"]
        if words[:2] == ["request", "new"]:
            self.printed["REQUEST"] = found["releases"][0]["message_id"]
        if words[0] == "subject" and "id" in found:
            self.printed["PROPOSAL"] = found["id"]
        if words[0] == "oral" and "breach" in found:
            self.printed["ORAL"] = found["id"]
        if words[0] == "ground" and "sha256" in found:
            self.printed["GROUND"] = found["id"]
        if words[:2] == ["agreement", "send"]:
            self.printed["RELEASE"] = found["release"]
        if words[:2] == ["agreement", "offers"]:
            self.printed["SHA256"] = found["offers"][0]["sha256"]
        if words[0] == "correct":
            self.printed["CORRECTION"] = found["release"]
        if words[0] == "recall":
            self.printed["RECALL"] = found["release"]
        if words[0] == "trace":
            return bool(found["state"] == "delivered")
        return True


@pytest.fixture
def sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sides]:
    monkeypatch.chdir(tmp_path)
    for name in ("offline/be", "offline/fr", "officers"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "extract.jsonl").write_bytes(extract(20, 1, now()))
    (tmp_path / "case.txt").write_text("BDC-000002\nBDC-000003\n")
    made = Sides(tmp_path)
    yield made
    for child in made.children:
        stop_gateway(child)


def test_the_manual_works(sides: Sides) -> None:
    """From two empty folders to a message in the partner's inbox and logs that verify: each command ends with 0."""
    lines = [line for line in (DOCS / "manual.md").read_text().splitlines() if line.startswith("ecluse ")]
    for line in lines:
        sides.run(line)
        if line.startswith("ecluse inbox list"):
            types = [one["type"] for one in sides.last["answer"]["inbox"]]
            assert sorted(types) == ["agreement", "disclosure"]
        if line.startswith("ecluse audit verify"):
            assert sides.last["answer"]["verified"] is True
        if line.startswith("ecluse evidence verify"):
            assert sides.last["answer"]["keys_given"] is True
        if line.startswith("ecluse evidence open-withheld"):
            assert len(sides.last["answer"]["records"]) == 1
        if line.startswith("ecluse audit year"):
            assert sides.last["answer"]["holds"] is True
    assert len(lines) > 30

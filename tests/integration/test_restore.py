"""A backup, a kill, and the way back, with two real homes: refused without two persons, whole with them."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from adapters.records.synthetic import extract
from gateway.cli import staging
from gateway.cli.demo import gateways, start_gateway, stop_gateway, wait_ready
from gateway.cli.staging import BASIS, BE, FR, KIND
from gateway.service.app import now
from tests.cli.conftest import World, command, delivered, furnish

pytestmark = [pytest.mark.integration, pytest.mark.slow]

FIRST, SECOND = "be-requester", "be-approver"
LOG = f"ecluse/{BE}/partner/{FR}"


#: Seconds until the newest entries are under a signed head.
SEALED_S = 20.0


@dataclass
class Restored:
    """What each step said."""

    world: World
    sent: dict[str, str]  # what it is: release
    refused: list[int]  # codes of the attempts that must not work
    drafted: Any
    restored: Any
    examined: Any
    reconciled: Any
    backup: Path
    folder: Path
    running: dict[str, subprocess.Popen[bytes]]


def release(world: World, record: str) -> str:
    why = ("--to", FR, "--purpose", "ct-prevention", "--basis", BASIS, "--justification", "synthetic")
    made = command(0, "disclose", record, *why, *world.officer(FIRST))["releases"][0]["release"]
    command(0, "approve", made, "--yes", *world.officer(SECOND))
    return str(made)


def run(*words: object) -> int:
    """A command as a process of its own, for those that end with a code."""
    return _said(*words).returncode


def _said(*words: object) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", *map(str, words)], capture_output=True, timeout=60, check=False
    )
    assert b"Traceback" not in done.stderr
    return done


def wait_signed(home: Path, backup: Path) -> None:
    """Until the signer has signed a head of the master log that the backup does not reach: its keeper asks each second,
    and what nobody signed nobody misses."""
    master, deadline = f"ecluse/{BE}/master", time.monotonic() + SEALED_S
    with closing(sqlite3.connect(backup / "store.sqlite")) as store:
        (size,) = store.execute("SELECT size FROM logs WHERE origin = ?", (master,)).fetchone()
    while json.loads((home / "signer" / "heads.json").read_bytes())[master]["size"] <= size:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restored]:
    """Delivered before the backup; waiting in it and delivered after; made and delivered after it. Then a kill, an
    older database put in place, attempts to go on with it, the lawful way, and one more message."""
    folder = tmp_path_factory.mktemp("restore")
    stage = staging.build(folder / "demo", now=now())
    world = World(stage, None, None, None, None, None)
    be, fr, place = stage.be, stage.fr, ("--home", stage.be.path)
    backup, signed = folder / "backup", folder / "epoch.json"
    with gateways(stage) as running:
        furnish(world, folder)
        records = folder / "extract.jsonl"
        records.write_bytes(extract(20, 1, now()))
        command(0, "record", "import", KIND, records, *world.officer(FIRST))
        sent = {"before": release(world, "BDC-000002")}
        delivered(sent["before"], world.officer(SECOND))
        stop_gateway(running[fr.path.name])
        sent["waiting"] = release(world, "BDC-000003")
        command(0, "backup", backup, *place, "--json")
        running[fr.path.name] = start_gateway(fr)
        wait_ready(fr, running[fr.path.name])
        sent["after"] = release(world, "BDC-000004")
        for one in sent.values():
            assert delivered(one, world.officer(SECOND))["state"] == "delivered"
        wait_signed(be.path, backup)
        running[be.path.name].kill()
        stop_gateway(running[be.path.name])
        refused = attempts(world, folder, backup)
        keys = [
            ("--as", name, "--officer-key", stage.folder / "officers" / f"{name}.pem")
            for name in (FIRST, SECOND)
        ]
        held = held_heads(fr.path, folder / "held")
        drafted = command(
            0, "epoch", "draft", "--backup", backup, "--out", signed, *held, *keys[0], *place, "--json"
        )
        refused.append(run("restore", backup, "--declare-loss", signed, *place))  # one person
        refused.append(run("epoch", "approve", signed, *keys[0], *place))  # the same person again
        command(0, "epoch", "approve", signed, *keys[1], *place, "--json")
        restored = command(0, "restore", backup, "--declare-loss", signed, *place, "--json")
        learn(world, folder, 2)
        running[be.path.name] = start_gateway(be)
        wait_ready(be, running[be.path.name])
        examined = command(1, "doctor", *place, "--json")
        reconciled = command(1, "reconcile", *world.officer(FIRST))
        sent["later"] = release(world, "BDC-000005")
        yield Restored(world, sent, refused, drafted, restored, examined, reconciled, backup, folder, running)
    structlog.reset_defaults()


def attempts(world: World, folder: Path, backup: Path) -> list[int]:
    """What an administrator might try; the home is as before afterwards."""
    home, aside = world.stage.be.path, folder / "aside"
    codes = [run("restore", backup, "--home", home)]
    shutil.copytree(home, aside, ignore=shutil.ignore_patterns("*.sock", ".*"))
    for end in ("-wal", "-shm"):
        (home / f"store.sqlite{end}").unlink(missing_ok=True)
    shutil.copyfile(backup / "store.sqlite", home / "store.sqlite")
    codes.append(run("serve", "--home", home))
    for name in ("store.sqlite", "store.sqlite-wal", "store.sqlite-shm"):
        (home / name).unlink(missing_ok=True)
        if (aside / name).exists():
            shutil.copy2(aside / name, home / name)
    return codes


def held_heads(partner: Path, out: Path) -> list[object]:
    command(0, "audit", "checkpoint", "--held", "--partner", BE, "--out", out, "--home", partner, "--json")
    return [word for path in sorted(out.rglob("*")) if path.is_file() for word in ("--held", path)]


def learn(world: World, folder: Path, version: int) -> None:
    """The partner's two officers approve our entry with the new log key."""
    entry, path = world.stage.entries[BE], folder / "entry.json"
    where = (
        "--endpoint",
        entry.endpoint,
        "--tls-name",
        entry.tls_name,
        "--recipient-kind",
        entry.recipient_kind,
    )
    command(
        0,
        "partner",
        "export",
        *where,
        "--version",
        version,
        "--out",
        path,
        "--home",
        world.stage.be.path,
        "--json",
    )
    proposed = command(0, "partner", "add", path, *world.officer("fr-inbox"))
    command(0, "change", "approve", proposed["id"], "--yes", *world.officer("fr-second"))


def test_without_two_persons_there_is_no_way_back(told: Restored) -> None:
    """Restored undeclared, and put in place by hand: code 4. Declared by one person, or by one twice: refused."""
    assert told.refused == [4, 4, 2, 2]


def test_a_backup_that_opens_no_more_is_refused(told: Restored) -> None:
    """The wrapping keys of its time are destroyed: it is not put in place."""
    home = told.folder / "turned"
    shutil.copytree(told.world.stage.be.path, home, ignore=shutil.ignore_patterns("*.sock", ".*"))
    for path in (home / "signer" / "keys").glob("kek-*.bin"):
        path.rename(path.with_name("kek-999.bin"))
    signed = told.folder / "epoch.json"
    said = command(2, "restore", told.backup, "--declare-loss", signed, "--home", home, "--json")
    assert "wrapping key" in said["error"]["detail"]


def test_the_declaration_names_what_is_missing(told: Restored) -> None:
    """Each log with what is kept and what was known, as far as the partner knew it."""
    logs = {one["origin"]: one for one in told.drafted["epoch"]["logs"]}
    assert logs[LOG]["size"] < logs[LOG]["known"]
    assert [one["origin"] for one in told.restored["lost"]] == [f"ecluse/{BE}/master", LOG]
    assert any(what.startswith("erasures") for what in told.restored["repeat"])


def test_the_operator_sees_what_needs_a_hand(told: Restored) -> None:
    """Between the restored database and the partner's answer: the loss, the partner not asked, the lane that waits.
    Afterwards neither of the two; an older database in its place is code 4; no home is 2."""
    be = told.world.stage.be.path

    def found(said: Any) -> dict[str, Any]:
        return {one["name"]: one for one in said["checks"]}

    before = found(told.examined)
    assert {name for name, one in before.items() if one["state"] == "finding"} >= {"reconcile", "lanes-held"}
    assert before["reconcile"]["ids"] == [FR]
    assert before["epochs"]["count"] > 0
    assert before["gateway"]["detail"] == "running"
    after = found(json.loads(_said("doctor", "--home", be, "--json").stdout))
    assert {after[name]["state"] for name in ("reconcile", "lanes-held", "heads")} == {"well"}
    assert "synthetic" not in json.dumps(after)
    aside = told.folder / "behind"
    shutil.copytree(be, aside, ignore=shutil.ignore_patterns("*.sock", ".*", "store.sqlite*"))
    shutil.copyfile(told.backup / "store.sqlite", aside / "store.sqlite")
    behind = found(command(4, "doctor", "--home", aside, "--json"))
    assert behind["heads"]["state"] == "broken"
    assert f"ecluse/{BE}/master" in behind["heads"]["ids"]
    command(2, "doctor", "--home", told.folder / "nowhere", "--json")


def test_what_the_partner_has_is_settled(told: Restored) -> None:
    """What waited in the backup had left: it is delivered, and not sent again. What was made and delivered after it is
    recovered, with its receipt. A second run finds nothing new."""
    (outcome,) = told.reconciled["partners"]
    assert (told.reconciled["epoch"], outcome["partner"], outcome["state"]) == (2, FR, "settled")
    officer = told.world.officer(SECOND)
    waited = command(0, "trace", told.sent["waiting"], *officer)["message_id"]
    assert [one["id"] for one in outcome["settled"]] == [waited]
    assert [one["type"] for one in outcome["recovered"]] == ["disclosure"]
    assert outcome["recovered"][0]["receipt"]
    assert (outcome["missing"], outcome["held"]) == ([], [])
    (again,) = command(0, "reconcile", *told.world.officer(FIRST))["partners"]
    assert (again["settled"], again["recovered"], again["receipts"]) == ([], [], [])


def test_it_runs_to_the_end_and_nothing_is_sent_twice(told: Restored) -> None:
    """What waited in the backup and what came later are delivered; the partner has four messages, each once."""
    officer = told.world.officer(SECOND)
    for name in ("before", "waiting", "later"):
        assert delivered(told.sent[name], officer)["state"] == "delivered", name
    inbox = command(0, "inbox", "list", *told.world.officer("fr-inbox"))["inbox"]
    ids = [one["message_id"] for one in inbox]
    assert len(ids) == len(set(ids)) == 4


def test_the_loss_is_visible_and_the_rest_verifies(told: Restored) -> None:
    """Both homes verify; ours names the loss, also where a partner shows a head of what is gone. A head beyond what was
    declared is a fault all the same."""
    be, fr = told.world.stage.be.path, told.world.stage.fr.path
    for name in ("before", "waiting", "later"):
        delivered(told.sent[name], told.world.officer(SECOND))
    said = command(0, "audit", "verify", *held_heads(fr, told.folder / "later"), "--home", be, "--json")
    assert said["verified"]
    assert {(one["log"], one["epoch"]) for one in said["losses"]} == {(f"ecluse/{BE}/master", 2), (LOG, 2)}
    assert {tuple(one["by"]) for one in said["losses"]} == {(FIRST, SECOND)}
    assert command(0, "audit", "verify", "--home", fr, "--json")["losses"] == []
    assert json.loads((told.backup / "manifest.json").read_bytes())["org"] == BE


def test_an_export_carries_the_declaration(told: Restored) -> None:
    """A head of what was lost is no fault for who gets the export, in either verifier, and both name who declared it;
    it is one without the declaration, or with one that no entry commits to."""
    be, out = told.world.stage.be.path, told.folder / "export"
    delivered(told.sent["later"], told.world.officer(SECOND))
    lost = [
        word
        for path in sorted((told.folder / "held").rglob("*"))
        if path.is_file()
        for word in ("--held", path)
    ]
    keys = [word for key in command(0, "audit", "export", "--out", out, "--home", be, "--json")["keys"]
            for word in ("--key", key)]  # fmt: skip
    epochs = (out / "epochs.json").read_bytes()
    nowhere = ("--home", told.folder / "nowhere")

    def alone() -> tuple[int, Any]:
        words = [sys.executable, "-I", out / "verify.py", out, *keys, *lost, "--json"]
        done = subprocess.run([*map(str, words)], capture_output=True, timeout=60, check=False)
        return done.returncode, json.loads(done.stdout or b"{}")

    code, said = alone()
    assert (code, said["proven"]) == (0, True)
    found = {one["log"]: one["lost"] for one in said["logs"]}
    assert {log: [one["by"] for one in lost] for log, lost in found.items() if lost} == {
        f"ecluse/{BE}/master": [[FIRST, SECOND]], LOG: [[FIRST, SECOND]]
    }  # fmt: skip
    shown = command(0, "audit", "verify", "--export", out, *keys, *lost, *nowhere, "--json")
    assert {(one["log"], tuple(one["by"])) for one in shown["losses"]} == {
        (log, (FIRST, SECOND)) for log in found if found[log]
    }
    assert any(one["reads"] for one in said["logs"])
    (document,) = json.loads(epochs)
    for wrong in (None, [{**document, "salt": "00" * 32}], [{**document, "entry": 0}]):
        if wrong is None:
            (out / "epochs.json").unlink()
        else:
            (out / "epochs.json").write_text(json.dumps(wrong))
        assert alone()[0] == 1, wrong
        command(1, "audit", "verify", "--export", out, *keys, *lost, *nowhere, "--json")
    (out / "epochs.json").write_bytes(epochs)


def test_the_log_key_changes_and_nothing_is_lost(told: Restored) -> None:
    """A third epoch over the home as it is, by two persons: partners follow by our entry, and heads of all three keys
    verify together."""
    world, stage, name = told.world, told.world.stage, told.world.stage.be.path.name
    signed, place = told.folder / "rotation.json", ("--home", stage.be.path, "--json")
    keys = [
        ("--as", one, "--officer-key", stage.folder / "officers" / f"{one}.pem") for one in (FIRST, SECOND)
    ]
    delivered(told.sent["later"], world.officer(SECOND))
    stop_gateway(told.running[name])
    drafted = command(0, "epoch", "draft", "--out", signed, *keys[0], *place)
    assert (drafted["epoch"]["number"], drafted["epoch"]["reason"]) == (3, "rotation")
    assert command(2, "epoch", "open", signed, *place)["error"]["code"] == "role-missing"  # by one person
    command(0, "epoch", "approve", signed, *keys[1], *place)
    assert command(0, "epoch", "open", signed, *place) == {"epoch": 3, "lost": []}
    assert command(0, "epoch", "open", signed, *place) == {"epoch": 3, "lost": []}
    learn(world, told.folder, 3)
    told.running[name] = start_gateway(stage.be)
    wait_ready(stage.be, told.running[name])
    last = release(world, "BDC-000006")
    assert delivered(last, world.officer(SECOND))["state"] == "delivered"
    said = command(0, "audit", "verify", *held_heads(stage.fr.path, told.folder / "rotated"), *place)
    assert said["verified"]
    assert {one["epoch"] for one in said["losses"]} == {2}

"""Code inside the gateway's process, against its own signer and a real partner: nothing leaves that nobody approved.

Two gateways run as processes. The Belgian one was given a hostile record adapter, pinned by its digest (`hostile`): it
has the database, the TLS keys, the control and signer sockets and every module of the process, but neither the signer's
keys nor an officer's. The judge is the French gateway, which knows nothing of all this.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import staging
from gateway.cli.client import desk
from gateway.cli.demo import approve, disclose, furnish, gateways, import_persons
from gateway.cli.shared import read_file
from gateway.cli.staging import BASIS, FR, KIND, Stage
from gateway.model.request import Emergency
from gateway.model.rows import InboxRow, QuarantineRow
from gateway.service import calls
from gateway.service.app import now, open_logs
from gateway.service.plugins import measure
from tests.service.distributions import Distribution

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent

#: The distribution: these two files, under its own name.
HOSTILE = {
    "zz_hostile/__init__.py": (HERE / "hostile.py").read_text().replace("tests.integration", "zz_hostile"),
    "zz_hostile/hostile_hands.py": (HERE / "hostile_hands.py").read_text(),
}

#: Seconds for one message to arrive, and for all the attempts.
ARRIVED_S, ATTACKED_S = 30.0, 90.0

#: Seconds between two looks.
POLL_S = 0.1

#: Every attempt, and how it ends.
REFUSED = {
    # the signer is asked to seal
    "content without evidence": "role-missing",
    "content with the request alone": "role-missing",
    "content requested twice": "role-missing",
    "content approved by a key of our own": "signature-invalid",
    "content with another message's approval": "role-missing",
    "content with all the evidence of another message": "signature-invalid",
    "content under the id of an approved message": "signature-invalid",
    "content as a protocol message": "guard-refused",
    "content as a status": "request-invalid",
    "content as a type nobody knows": "request-invalid",
    "approved content, altered": "signature-invalid",
    "approved content, a wider decision": "signature-invalid",
    "approved content in another conversation": "signature-invalid",
    "approved content that never expires": "request-invalid",
    "approved content, encrypted to us": "request-invalid",
    "approved content under a lesser profile": "request-invalid",
    "a void that carries content": "guard-refused",
    "content announced by another entry": "audit-broken",
    "content under another proof": "audit-broken",
    # what one officer signed in an emergency
    "content as an emergency": "signature-invalid",
    "content as an emergency of our own deciding": "signature-invalid",
    "content under an emergency's evidence": "signature-invalid",
    "an emergency as a disclosure": "signature-invalid",
    "an emergency under thresholds of our own": "signature-invalid",
    "an emergency without the thresholds": "signature-invalid",
    "an emergency confirmed by a key of our own": "signature-invalid",
    "an emergency confirmed by its own request": "role-missing",
    "an emergency confirmed over another statement": "signature-invalid",
    "an emergency reviewed by its own request": "role-missing",
    "an emergency struck from the list": "waits",
    # a second history
    "another head of the same size": "audit-broken",
    "a shorter log": "audit-broken",
    "a log that starts anew": "audit-broken",
    "a longer log without its past": "audit-broken",
    "a log of somebody else": "request-invalid",
    # trust
    "an officer's key that nobody signed": "role-missing",
    "an officer's key that we signed": "signature-invalid",
    "an officer's key with old signatures": "role-missing",
    # receipts and everything else
    "a receipt with content": "malformed",
    "a receipt that is content": "malformed",
    "the operation sign": "request-invalid",
    "the operation export": "request-invalid",
    "the operation private": "request-invalid",
    "the operation __class__": "request-invalid",
    "the operation trust": "request-invalid",
    # past the signer, to the partner
    "content under a seal of our own key": "signature-invalid",
    "content under a seal of the TLS key": "signature-invalid",
    "content under another message's seal": "digest-conflict",
    "content under that seal, as another message": "malformed",
    "content without a seal": "malformed",
    # the gateway's own way
    "sealed after the database": "signature-invalid",
    "sealed after the checks": "malformed",
}

#: What somebody in this place can do, all the same. `docs/threats.md` says so.
POSSIBLE = {
    "reading what the gateway holds": "read",
    "a receipt for a message that never came": "done",
    "the approved message once more": "accepted",  # the stored receipt: no effect
    "the approved message sealed again": "sealed",
    "the approved message under another number": "accepted",  # its identity is known: no effect
    "approved by a key written into the database": "done",  # here; the signer was not asked yet
    "approved with every check overwritten": "done",
    "an old change once more": "done",  # known by its digest: no effect
    "an old change with another document": "done",
}


@dataclass(frozen=True)
class Played:
    """What happened."""

    stage: Stage
    results: dict[str, str]
    approved: bytes  # the one payload that two persons approved
    trust: tuple[bytes, bytes]  # the signer's trust before and after
    modules: str  # everything the signer's process imported


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    folder = tmp_path_factory.mktemp("compromised")
    stage = staging.build(folder / "stage", now=now())
    site = folder / "site"
    site.mkdir()
    entry_points = "[ecluse.record_adapters]\nreader = zz_hostile:Reader\n"
    made = Distribution(site, "zz-hostile").install(HOSTILE, entry_points=entry_points)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        measured = measure("zz-hostile")
    with stage.be.config.open("a") as config:
        config.write(
            f'[[adapters]]\ngroup = "ecluse.record_adapters"\nname = "reader"\ndistribution = "zz-hostile"\n'
            f'version = "{made.version}"\ndigest = "{measured.digest}"\n'
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join((str(site), str(ROOT))))
        patch.setenv("ECLUSE_STAGE", str(stage.folder))
        with gateways(stage):
            yield asyncio.run(_play(stage, folder / "results.json", site))


async def _play(stage: Stage, out: Path, site: Path) -> Played:
    requester, approver = stage.officers["be-requester"], stage.officers["be-approver"]
    await furnish(stage)
    await import_persons(stage.be, requester, 20)
    first, *others = [(await disclose(stage, requester, f"BDC-{n:06d}", (FR,)))[FR] for n in (1, 2, 3, 4)]
    assert all(view.release for view in (first, *others)), [view.effect for view in others]
    await approve(stage.be, approver, [first.release])
    await _until(lambda: _received(stage), ARRIVED_S)
    await _emergency(stage)
    await _until(lambda: len(_received(stage)) >= 2, ARRIVED_S)
    trust = (stage.be.signer / "trust.json").read_bytes()
    async with desk(stage.be.path, requester) as client:
        attack = calls.ImportChunk(KIND, 1, b"#attack\n" + str(out).encode() + b"\n")
        await client.call("records/import", attack, calls.Imported)
    await _until(out.exists, ATTACKED_S)
    await _until(lambda: len(_received(stage)) >= 4, ARRIVED_S)
    results = json.loads(read_file(out))
    modules = _signer_imports(stage, site)
    return Played(
        stage, results, first.payload, (trust, (stage.be.signer / "trust.json").read_bytes()), modules
    )


async def _emergency(stage: Stage) -> None:
    """One honest message that one officer sends on another's word."""
    why = ("ct-prevention", BASIS, "synthetic")
    claimed = Emergency("invented: an attack announced for tonight", "be-approver")
    async with desk(stage.be.path, stage.officers["be-requester"]) as client:
        params = calls.Disclose("BDC-000005", (FR,), *why, emergency=claimed)
        (view,) = await client.call("releases/prepare", params, list[calls.DecisionView])
        token = client.endorse("request", [view.statement])
        await client.call("releases/endorse", calls.Endorsed((view.release,), token), dict[str, str])


async def _until(there: Any, seconds: float) -> None:
    for _ in range(int(seconds / POLL_S)):
        if there():
            return
        await asyncio.sleep(POLL_S)


def _received(stage: Stage) -> list[InboxRow]:
    with open_logs(stage.fr) as tx:
        return tx.select(InboxRow)


def _signer_imports(stage: Stage, site: Path) -> str:
    """Start the signer of a copy of this home as the gateway starts it, and have Python name what it imports."""
    copy = stage.folder / "copy"
    shutil.copytree(stage.be.path, copy, ignore=shutil.ignore_patterns("*.sock", "*.lock", "*.sqlite*"))
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "gateway.cli", "signer", "--home", str(copy)],
        input="",  # its parent's pipe, closed at once
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "ready" in done.stdout, done.stderr[-2000:]
    return done.stderr


def test_every_attempt_ends_as_it_must(played: Played) -> None:
    """All of them, by name: what is refused, by which code; and what is possible, which is not content."""
    assert played.results == {**REFUSED, **POSSIBLE}


async def test_the_partner_accepted_nothing_that_two_persons_did_not_approve(played: Played) -> None:
    """In the partner's inbox: the one approved message, byte for byte and once, the one emergency, and content-free
    voids."""
    rows = _received(played.stage)
    assert sorted(row.type for row in rows) == ["disclosure", "emergency", "void", "void"]
    async with desk(played.stage.fr.path, played.stage.officers["fr-inbox"]) as client:
        for row in rows:
            view = await client.call("inbox/show", calls.Named(row.message_id), calls.InboxView)
            if row.type == "disclosure":
                assert view.payload == played.approved
            elif row.type == "void":
                assert set(json.loads(view.payload)) == {
                    *(
                        "format",
                        "type",
                        "mode",
                        "message_id",
                        "conversation",
                        "from",
                        "to",
                        "created",
                        "language",
                    )
                }


def test_the_partner_kept_what_it_refused(played: Played) -> None:
    """Each forged message is in the partner's quarantine, with its reason."""
    with open_logs(played.stage.fr) as tx:
        kept = tx.select(QuarantineRow)
    assert "signature-invalid" in {row.code for row in kept}


def test_the_signer_believes_what_it_believed(played: Played) -> None:
    """Trust is, byte for byte, what it was before the attack."""
    before, after = played.trust
    assert before == after


def test_the_signer_loads_no_adapter(played: Played) -> None:
    """The configuration pins one and the environment offers it: the signer's process imports the guard, and neither the
    adapter nor what loads adapters, nor a database or a network."""
    names = {line.rpartition("|")[2].strip() for line in played.modules.splitlines() if "|" in line}
    assert {"gateway.guard.egress", "gateway.service.signer.authority"} <= names
    for never in ("zz_hostile", "gateway.service.plugins", "aiohttp", "sqlalchemy", "sqlite3"):
        assert not {name for name in names if name == never or name.startswith(f"{never}.")}, never


def test_an_adapter_changed_after_it_was_pinned(played: Played, tmp_path: Path) -> None:
    """One sign more in the adapter's file: `serve` refuses to start, with code 2, naming distribution and rule."""
    home = tmp_path / "home"
    shutil.copytree(
        played.stage.be.path, home, ignore=shutil.ignore_patterns("*.sock", "*.lock", "*.sqlite-*")
    )
    site = tmp_path / "site"
    site.mkdir()
    Distribution(site, "zz-hostile").install(
        {**HOSTILE, "zz_hostile/hostile_hands.py": HOSTILE["zz_hostile/hostile_hands.py"] + "\n"},
        entry_points="[ecluse.record_adapters]\nreader = zz_hostile:Reader\n",
    )
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "serve", "--home", str(home), "--json"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(site), str(ROOT)))},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    refused = json.loads(done.stdout)["error"]
    assert (refused["code"], refused["diagnostic"]) == (
        "config-invalid",
        {"distribution": "zz-hostile", "rule": "digest"},
    )

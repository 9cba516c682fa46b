"""An emergency on the command line: one officer, twelve partners, every command a fresh process.

The gateway runs. Twelve police services stand in its directory, each with an agreement of its own; one of them is a
real gateway and receives, the others are away, so that their messages are sealed and wait. Everything is invented.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from certs.ca import ca_init
from gateway.cli import staging
from gateway.cli.client import desk
from gateway.cli.demo import furnish, gateways, import_persons, two_person
from gateway.cli.staging import BASIS, BE, FR, Stage
from gateway.flow.change import canonical
from gateway.service import calls, provision
from gateway.service.app import now

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]  # seconds: a busy machine takes longer

#: Partners that one command reaches, and the seconds of patience with it.
PARTNERS, WITHIN_S = 12, 120.0

#: The others: their entries carry the real receiver's keys for messages, and an address where nobody listens.
AWAY = tuple(f"fra.police-{number:02d}" for number in range(2, PARTNERS + 1))

RECORD, THREAT = "BDC-000001", "invented: an attack announced for tonight"
WHY = ("--purpose", "ct-prevention", "--basis", BASIS, "--justification", "synthetic: to stop it")

#: States of a message that was sealed.


@dataclass(frozen=True)
class House:
    """The own home in service, and a runner of cold commands."""

    stage: Stage

    def run(self, officer: str, *words: str, code: int = 0) -> Any:
        """One command in a process of its own: it reads configuration, key and directory afresh."""
        home = self.stage.be if officer.startswith("be-") else self.stage.fr
        key = self.stage.folder / "officers" / f"{officer}.pem"
        options = ("--home", str(home.path), "--as", officer, "--officer-key", str(key), "--json")
        done = subprocess.run(
            [sys.executable, "-m", "gateway.cli", *words, *options],
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        assert done.returncode == code, (done.stdout[-2000:], done.stderr[-2000:])
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    stage = staging.build(tmp_path_factory.mktemp("emergency") / "demo", now=now())
    # Those that are away are tried each minute, as outside of the demo, and not each second.
    config = stage.be.config.read_text().replace("backoff_first_s = 0.5", "backoff_first_s = 60.0")
    stage.be.config.write_text(config.replace("backoff_most_s = 5.0", "backoff_most_s = 600.0"))
    with gateways(stage):
        asyncio.run(_furnish(stage))
        yield House(stage)


async def _furnish(stage: Stage) -> None:
    """Persons, and eleven partners more than the demo has; the scope names all twelve, by two persons."""
    await furnish(stage)
    await import_persons(stage.be, stage.officers["be-requester"], 20)
    first, second = stage.officers["be-requester"], stage.officers["be-approver"]
    real = stage.entries[FR]
    for org in AWAY:
        authority = stage.folder / "offline" / org
        ca_init(authority, org, now=now(), days=staging.DEMO_DAYS, demo=True)
        agreement_key = provision.new_agreement_key(authority / "agreement.pem", org)
        keys = (*(key for key in real.keys if key.use != "agreement"), agreement_key)
        entry = msgspec.structs.replace(real, org=org, keys=keys, endpoint="https://127.0.0.1:1")
        signed = staging.agreement(stage.folder, org, "police", "police", now(), 100, "hybrid")
        await two_person(stage.be, first, second, "partner", org, canonical(entry))
        await two_person(stage.be, first, second, "agreement", f"{BE}-{org}", canonical(signed))
    assert staging.SETTINGS.emergency is not None
    scope = msgspec.structs.replace(staging.SETTINGS.emergency, partners=(FR, *AWAY))
    settings = msgspec.structs.replace(staging.SETTINGS, emergency=scope)
    await two_person(stage.be, first, second, "settings", "release", canonical(settings))


def test_one_officer_reaches_twelve_partners(
    house: House, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One command of one officer: twelve messages queued, the partner that is there has its own, marked as an
    emergency, those that are away have theirs when they answer, and the log says who agreed orally. Then the approver
    confirms and a third person reviews all twelve, each with one signature. The seconds are printed; none is demanded
    here."""
    start = time.monotonic()
    said = house.run(
        *("be-requester", "disclose", RECORD, "--to", ",".join((FR, *AWAY)), *WHY),
        *("--emergency", THREAT, "--oral-approval", "be-approver"),
    )
    queued = time.monotonic() - start
    assert said["denied"] == []
    assert [one["state"] for one in said["releases"]] == ["queued"] * PARTNERS
    message = next(one["message_id"] for one in said["releases"] if one["partner"] == FR)
    releases = {one["partner"]: one["release"] for one in said["releases"]}
    done = asyncio.run(_delivered(house.stage, releases[FR], start))

    listed = house.run("be-reviewer", "emergency", "list")["emergencies"]
    assert {one["release"] for one in listed} == {*releases.values()}
    assert {(one["state"], one["oral_approver"], *one["waived"]) for one in listed} == {
        ("open", "be-approver", "second-signature")
    }
    inbox = house.run("fr-inbox", "inbox", "list")["inbox"]
    assert [(one["message_id"], one["type"]) for one in inbox] == [(message, "emergency")]

    confirmed = house.run("be-approver", "emergency", "confirm", *releases.values(), "--yes")
    assert {*confirmed["confirmed"]} == {*releases.values()}
    verdict = ("--verdict", "upheld", "--reason", "synthetic", "--yes")
    house.run("be-approver", "emergency", "review", *releases.values(), *verdict, code=2)
    reviewed = house.run("be-reviewer", "emergency", "review", *releases.values(), *verdict)
    assert len(reviewed["reviewed"]) == PARTNERS
    assert house.run("be-reviewer", "emergency", "list")["emergencies"] == []
    whole = time.monotonic() - start
    with capsys.disabled():
        print(
            f"\n{PARTNERS} partners, one officer, cold: queued {queued:.1f} s, delivered {done:.1f} s, "
            f"confirmed and reviewed {whole:.1f} s"
        )


async def _delivered(stage: Stage, release: str, start: float) -> float:
    """Seconds until the partner that is there had its own."""
    async with desk(stage.be.path, stage.officers["be-requester"]) as client:
        while (await client.call("messages/trace", calls.Named(release), calls.Trace)).state != "delivered":
            assert time.monotonic() - start < WITHIN_S
            await asyncio.sleep(0.1)
    return time.monotonic() - start


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (("--purpose", "ct-investigation-abroad"), "agreement.covers"),
        (("--to", "fra.fusion-demo"), "emergency.partner"),
        (("--oral-approval", "be-requester"), "officer.four-eyes"),
        (("--oral-approval", "be-reviewer"), "officer.role"),
        (("--lift", "/national_number", "--lift-reason", "synthetic"), "emergency.lift"),
    ],
)
def test_beyond_the_scope_the_command_is_denied(house: House, words: tuple[str, ...], rule: str) -> None:
    """Exit code 1, the rule among the reasons, and no release: purpose, partner, approver, lift."""
    given = {"--to": FR, "--oral-approval": "be-approver"}
    more = dict(zip(words[::2], words[1::2], strict=True))
    why = dict(zip(WHY[::2], WHY[1::2], strict=True))
    options = [word for pair in (given | why | more).items() for word in pair]
    said = house.run("be-requester", "disclose", RECORD, *options, "--emergency", THREAT, code=1)
    (denied,) = said["releases"]
    assert denied["release"] == ""
    assert rule in {reason["rule"] for reason in denied["reasons"]}


def test_an_oral_approval_is_of_an_emergency(house: House) -> None:
    """Without a threat stated the option is an error of usage; nothing is asked of the gateway."""
    said = house.run(
        "be-requester", "disclose", RECORD, "--to", FR, *WHY, "--oral-approval", "be-approver", code=2
    )
    assert said["error"]["diagnostic"]["field"] == "oral-approval"


def test_with_two_officers_it_waits_for_one_approval(house: House) -> None:
    """Without an oral approval the emergency waits; one command approves all, and the approver reads the threat."""
    said = house.run(
        *("be-requester", "disclose", RECORD, "--to", ",".join((FR, *AWAY)), *WHY, "--emergency", THREAT)
    )
    releases = [one["release"] for one in said["releases"]]
    assert [one["state"] for one in said["releases"]] == ["awaiting-approval"] * PARTNERS
    approved = house.run("be-approver", "approve", *releases, "--yes")
    assert len(approved["queued"]) == PARTNERS
    listed = house.run("be-reviewer", "emergency", "list")["emergencies"]
    assert {one["confirm_by"] for one in listed} == {None}

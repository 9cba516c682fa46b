"""Every way in, classified: what widens release takes two persons, and is tried here with one and with two.

A command, an operation of the control socket or a route of a listener without a row below fails here before anybody can
use it. The commands run as they are, against the real control socket.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
import typer.main

from adapters.records.synthetic import extract
from gateway.cli import app
from gateway.flow.change import canonical
from gateway.model.officer import Officer
from gateway.model.oversight import OversightKey
from gateway.model.rows import OutboxRow
from gateway.policy.context import Settings
from gateway.service import calls
from gateway.service.desk_api import DeskApi
from gateway.service.intake import Intake
from gateway.service.ops import Operations
from gateway.service.partner_api import PartnerApi
from gateway.service.provision import new_officer_key, shipped_policy
from gateway.service.refusals import Refusals
from gateway.wire.hpke import SUITE, kem_public_bytes
from gateway.wire.strict import b64url
from tests.service.classified import COMMANDS, OPERATIONS, ROUTES
from tests.service.commandline import Line
from tests.service.founding import sign_agreement, terms
from tests.service.test_confirmations import CONFIRMED
from tests.service.world import BASIS, CLEAN, FR, KIND, PURPOSE, SERIES, World

FIRST, SECOND = "be-requester", "be-approver"
AGAIN = "be-anna-again"  # another entry and key of the person behind FIRST

#: Who is no second person for any change, and who is none for reasons that do not hang on the change.
WRONG, OTHERS = (FIRST, AGAIN), ("be-anna-and-operator", "be-only-operator", "be-only-approver")


# --- the tables are whole --------------------------------------------------------------------------------------------


def _commands(command: Any, words: tuple[str, ...] = ()) -> list[str]:
    below: dict[str, Any] = getattr(command, "commands", {})
    if not below:
        return [" ".join(words)]
    return [found for name, inner in below.items() for found in _commands(inner, (*words, name))]


def test_every_command_has_its_row() -> None:
    """No command beside the table, and no row without a command; each row gives its reason."""
    assert sorted(_commands(typer.main.get_command(app))) == sorted(COMMANDS)
    assert all(reason for _, reason in (*COMMANDS.values(), *OPERATIONS.values(), *ROUTES.values()))


async def test_every_operation_and_route_has_its_row(world: World) -> None:
    """The same of what the sockets offer, as their routers have it."""
    gateway = world.be.gateway
    assert sorted(world.be.desk.operations()) == sorted(OPERATIONS)
    applications = {
        "control": DeskApi(gateway, world.be.desk).application(),
        "partner": PartnerApi(gateway, Intake(gateway), Refusals(gateway)).application(),
        "operations": Operations(gateway).application(),
    }
    routes = {
        f"{name} {route.method} {re.sub(r':[^}]*', '', route.resource.canonical)}"
        for name, application in applications.items()
        for route in application.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    assert routes == set(ROUTES)


# --- what widens is tried --------------------------------------------------------------------------------------------


Words = Callable[[Line], Awaitable[list[object]]]


async def _officer_add(line: Line) -> list[object]:
    public = new_officer_key(line.folder / "new.pem")
    new = Officer("be-new", "person-new", "Zz new (synthetic)", ("approver",), (public,))
    return ["officer", "add", line.file("new.json", canonical(new))]


async def _officer_clear(line: Line) -> list[object]:
    return ["officer", "clear", "be-only-approver", "--policy", "BEL", "--level", "SECRET",
            "--until", "2030-01-01T00:00:00Z"]  # fmt: skip


async def _officer_mandate(line: Line) -> list[object]:
    return ["officer", "mandate", "be-only-reviewer", "--body", "comite-r", "--partner", "*", "--kind", "*",
            "--since", "2026-01-01T00:00:00Z", "--until", "2030-01-01T00:00:00Z"]  # fmt: skip


async def _officer_resume(line: Line) -> list[object]:
    code, done = await line.run(FIRST, "officer", "suspend", "be-only-approver")
    assert (code, done["state"]) == (0, "applied")
    return ["officer", "resume", "be-only-approver"]


async def _officer_key_add(line: Line) -> list[object]:
    public = new_officer_key(line.folder / "second.pem")
    return ["officer", "key", "add", "be-only-approver", line.file("key.json", msgspec.json.encode(public))]


async def _partner_add(line: Line) -> list[object]:
    before = line.world.be.gateway.directory.partners[FR]
    newer = msgspec.structs.replace(before, version=before.version + 1, endpoint="https://other.invalid")
    return ["partner", "add", line.file("partner.json", canonical(newer))]


async def _agreement_add(line: Line) -> list[object]:
    wider = sign_agreement(
        terms(version=2, retention_days=3650, not_after=line.world.clock.now() + timedelta(days=30)),
        line.world.founded.agreement_keys,
    )
    return ["agreement", "add", line.file("agreement.json", canonical(wider))]


async def _embargo_lift(line: Line) -> list[object]:
    authority = line.file("authority", b"a synthetic magistrate")
    code, placed = await line.run(FIRST, "embargo", "add", CLEAN[0], "--authority", authority)
    assert code == 0
    return ["embargo", "lift", placed["embargo"], "--authority", authority]


def _proposing(kind: str, target: str, document: Callable[[Line], bytes]) -> Words:
    async def words(line: Line) -> list[object]:
        return ["change", "propose", kind, target, line.file("document", document(line))]

    return words


def _shorter_policy(_: Line) -> bytes:
    policy = msgspec.json.decode(shipped_policy())
    return canonical(
        {**policy, "rules": [rule for rule in policy["rules"] if rule["id"] != "person.under-12"]}
    )


def _settings(line: Line) -> bytes:
    before: Settings = line.world.be.gateway.directory.settings
    return canonical(msgspec.structs.replace(before, freshness_s=864_000))


def _oversight(_: Line) -> bytes:
    public = b64url(kem_public_bytes(bytes(32)))
    return canonical(OversightKey(1, SUITE, public, 2, ("first", "second", "third")))


#: By command, everything that it can widen; `change propose` by kind of document.
WIDENING: dict[str, dict[str, Words]] = {
    "officer add": {"": _officer_add},
    "officer clear": {"": _officer_clear},
    "officer mandate": {"": _officer_mandate},
    "officer resume": {"": _officer_resume},
    "officer key add": {"": _officer_key_add},
    "partner add": {"": _partner_add},
    "agreement add": {"": _agreement_add},
    "embargo lift": {"": _embargo_lift},
    "change propose": {
        "officer": _proposing(
            "officer",
            "be-only-inbox",
            lambda line: canonical(line.officer("be-only-inbox", roles=("inbox", "approver"))),
        ),
        "policy": _proposing("policy", "release", _shorter_policy),
        "settings": _proposing("settings", "release", _settings),
        "oversight": _proposing("oversight", "main", _oversight),
    },
}

#: Widening rows that are the second half of the others, tried with each of them.
SECOND_HALF = {"change approve", "ground confirm", "subject confirm", "oral confirm-strike"}


def test_every_widening_row_is_tried() -> None:
    """A row that widens without a try fails here."""
    rows = {name for name, (kind, _) in COMMANDS.items() if kind == "widens"}
    assert rows == WIDENING.keys() | CONFIRMED | SECOND_HALF


@pytest.mark.parametrize(
    ("command", "what"), [(name, what) for name, tries in WIDENING.items() for what in tries]
)
async def test_it_takes_two_persons(line: Line, command: str, what: str) -> None:
    """One officer's word changes nothing, nor does the same person's second key, nor an operator's or an approver's
    word; a second security officer's does, in signer and gateway."""
    words = await WIDENING[command][what](line)
    before = line.state()
    code, proposed = await line.run(FIRST, *words)
    assert (code, proposed["state"]) == (0, "proposed")
    assert line.state() == before
    for officer in (*WRONG, *(OTHERS if command == "officer add" else ())):
        code, refused = await line.run(officer, "change", "approve", proposed["id"], "--yes")
        assert (code, "error" in refused) == (2, True), officer
        assert line.state() == before, officer
    code, applied = await line.run(SECOND, "change", "approve", proposed["id"], "--yes")
    assert (code, applied["state"]) == (0, "applied")
    after = line.state()
    assert after != before
    if command != "embargo lift" and what != "oversight":  # the desk's own: the signer asks about neither
        assert after[0] != before[0]
    await line.world.be.boot()
    assert line.state()[1:] == after[1:]


# --- what narrows takes one ------------------------------------------------------------------------------------------


NARROWING: dict[str, list[object]] = {
    "officer suspend": ["officer", "suspend", "be-only-approver"],
    "officer leave": ["officer", "leave", "be-only-approver"],
    "officer leave, an operator": ["officer", "leave", "be-only-operator"],
    "officer clear, withdrawn": ["officer", "clear", "be-only-approver", "--withdraw"],
    "partner stop": ["partner", "stop", FR],
    "agreement revoke": ["agreement", "revoke", SERIES],
}


@pytest.mark.parametrize("name", NARROWING)
async def test_what_narrows_takes_one(line: Line, name: str) -> None:
    """In force with the first officer's word, in signer and gateway."""
    before = line.state()
    code, done = await line.run(FIRST, *NARROWING[name])
    assert (code, done["state"]) == (0, "applied")
    assert line.state() != before
    assert line.state()[0] != before[0]


async def test_a_lost_key(line: Line) -> None:
    """Revoked by one, at once; the officer signs nothing more, and signs again with a key that two persons gave."""
    name = "be-only-requester"
    (key,) = line.world.be.gateway.directory.officers[name].keys
    for unknown in ("no such key", "-k7", "--so"):
        code, said = await line.run(FIRST, "officer", "key", "revoke", name, unknown)
        assert (code, said["error"]["code"]) == (2, "not-found"), unknown
    assert (await line.run(name, "record", "list"))[0] == 0
    assert (await line.run(FIRST, "officer", "key", "revoke", name, key.kid))[1]["state"] == "applied"
    assert (await line.run(name, "record", "list"))[0] == 2
    path = line.folder / f"{name}.pem"
    path.unlink()
    public = line.file("key.json", msgspec.json.encode(new_officer_key(path)))
    code, proposed = await line.run(FIRST, "officer", "key", "add", name, public)
    assert (code, (await line.run(name, "record", "list"))[0]) == (0, 2)
    assert (await line.run(SECOND, "change", "approve", proposed["id"], "--yes"))[0] == 0
    assert (await line.run(name, "record", "list"))[0] == 0


async def test_an_answer_under_a_key_is_the_first_one(line: Line) -> None:
    """Proposed and approved again under the same idempotency key: byte for byte the answer of the first time, whatever
    has happened since, and nothing happens twice. Under another key, what is so is said."""
    words = await _officer_add(line)
    key = ("--idempotency-key", "once")
    first = await line.run(FIRST, *words, *key)
    approve = ("change", "approve", first[1]["id"], "--yes")
    approved = await line.run(SECOND, *approve, *key)
    assert (approved[0], approved[1]["state"]) == (0, "applied")
    after = line.state()
    assert await line.run(SECOND, *approve, *key) == approved
    assert await line.run(FIRST, *words, *key) == first
    code, other = await line.run(SECOND, *approve, "--idempotency-key", "other")
    assert (code, other["state"]) == (0, "applied")
    assert line.state() == after


async def test_an_approval_under_a_key_is_answered_alike(line: Line) -> None:
    """The same of releases: the repeated approval is signed by nobody again, and gets the first answer."""
    be = line.world.be
    fresh = line.world.clock.now()
    await be.call(FIRST, "records/import", calls.ImportChunk(KIND, 1, extract(20, 1, fresh)))
    why = ("--to", FR, "--purpose", PURPOSE, "--basis", BASIS, "--justification", "synthetic")
    code, disclosed = await line.run(FIRST, "disclose", CLEAN[0], *why)
    assert code == 0, disclosed
    release = disclosed["releases"][0]["release"]
    words = ("approve", release, "--yes", "--idempotency-key", "once")
    approved = await line.run(SECOND, *words)
    assert (approved[0], approved[1]["queued"]) == (0, [release])
    await be.send()
    assert await line.run(SECOND, *words) == approved
    code, other = await line.run(SECOND, "approve", release, "--yes", "--idempotency-key", "other")
    assert (code, other["queued"], list(other["done"])) == (0, [], [release])
    assert len(be.rows(OutboxRow)) == 1

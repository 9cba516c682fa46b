"""Every way in, classified: what widens release takes two persons, and is tried here with one and with two.

A command, an operation of the control socket or a route of a listener without a row below fails here before anybody can
use it. The commands run as they are, against the real control socket.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Literal

import msgspec
import pytest
import typer.main

from adapters.records.synthetic import extract
from gateway.cli import app
from gateway.flow.change import canonical
from gateway.model.officer import Officer
from gateway.model.rows import OutboxRow
from gateway.policy.context import Settings
from gateway.service import calls
from gateway.service.desk_api import DeskApi
from gateway.service.intake import Intake
from gateway.service.ops import Operations
from gateway.service.partner_api import PartnerApi
from gateway.service.provision import new_officer_key, shipped_policy
from gateway.service.refusals import Refusals
from tests.service.commandline import Line
from tests.service.founding import sign_agreement, terms
from tests.service.test_confirmations import CONFIRMED
from tests.service.world import BASIS, CLEAN, FR, KIND, PURPOSE, SERIES, World

Class = Literal["reads", "narrows", "widens", "four-eyes", "local"]

#: What each class may do to what can leave:
#:   reads       nothing
#:   narrows     less can leave afterwards, or as much
#:   widens      more could leave afterwards, so two persons: tried below
#:   four-eyes   moves one release or message through its own two persons, who are asked for elsewhere
#:   local       touches files or processes of whoever runs it; a home believes none of it without the signatures above
COMMANDS: dict[str, tuple[Class, str]] = {
    "serve": ("local", "starts what is founded and configured; pinned adapters are code, and sign nothing"),
    "signer": ("local", "the signer itself, hidden: needs the home's own keys"),
    "demo": ("local", "makes a folder of its own with throw-away keys"),
    "bench": ("local", "measures, in a folder of its own"),
    "init": ("local", "makes a home from a document that two persons signed"),
    "preview": ("reads", "a decision; its bytes are refused everywhere"),
    "disclose": (
        "four-eyes",
        "the first of two persons; alone only in an emergency, where a two-person document waives the second for now",
    ),
    "approve": ("four-eyes", "the second of two persons"),
    "reject": ("narrows", "a release ends"),
    "trace": ("reads", "states and entries"),
    "recall": ("narrows", "two ids and a code leave on one officer's word; the message does not leave again"),
    "record import": ("local", "brings records in; none leaves without a decision and two persons"),
    "note new": ("local", "brings a record in; none leaves without a decision and two persons"),
    "record list": ("reads", "handles"),
    "record show": ("reads", "within clearance and need to know, logged"),
    "record matches": ("reads", "within need to know, logged"),
    "record purge": ("narrows", "destroys what nothing rests on"),
    "record remove": ("narrows", "deletes a record for cause; what waits does not leave"),
    "embargo add": ("narrows", "denies a subject, at once"),
    "embargo lift": ("widens", "a subject may leave again"),
    "embargo list": ("reads", "whom it protects is not shown"),
    "consent ask": ("four-eyes", "a release of its own kind"),
    "consent list": ("reads", "no content"),
    "consent answer": ("four-eyes", "a refusal is a code; a grant waits for a second person"),
    "consent approve": ("four-eyes", "the second person of a grant"),
    "consent accept": ("narrows", "records a ground, of no effect until another confirms it"),
    "ground consent": ("widens", "what others supplied may leave"),
    "ground authorisation": ("widens", "judicial information may leave"),
    "ground derogation": ("widens", "something may leave the Union"),
    "ground confirm": ("widens", "the second person of every ground"),
    "ground withdraw": ("narrows", "nothing that names it leaves any more"),
    "ground show": ("reads", "within need to know, logged"),
    "ground list": ("reads", "organisations and days"),
    "hold add": ("narrows", "less can be destroyed; nothing leaves by it"),
    "hold lift": ("narrows", "two persons, tried in test_erasure; nothing leaves by it"),
    "hold list": ("reads", "handles"),
    "erasure propose": ("narrows", "alone it changes nothing"),
    "erasure confirm": ("narrows", "what is destroyed does not leave"),
    "erasure reject": ("narrows", "a proposal ends"),
    "erasure list": ("reads", "handles and counts"),
    "subject link": ("narrows", "two count as one, once another has confirmed it"),
    "subject split": ("widens", "what counted as one counts apart"),
    "subject confirm": ("widens", "the second person of every link and split"),
    "subject reject": ("narrows", "a proposal ends"),
    "subject list": ("reads", "handles"),
    "oral record": ("narrows", "what was said counts as held"),
    "oral confirm": ("narrows", "another person has seen it; it counted already"),
    "oral strike": ("widens", "what was said by mistake counts no longer"),
    "oral confirm-strike": ("widens", "the second person of every strike"),
    "oral show": ("reads", "within need to know, logged"),
    "oral list": ("reads", "to whom and when, not what"),
    "request new": ("four-eyes", "brings a request in, and is the first of two persons who let it leave"),
    "request list": ("reads", "no content"),
    "request show": ("reads", "within clearance and need to know, logged"),
    "request answer": ("four-eyes", "the first of two persons: decides, freezes, signs as requester"),
    "request no-information": ("narrows", "an id leaves on one officer's word; nothing else answers then"),
    "request refuse": ("narrows", "an id and a code leave on one officer's word; nothing else answers"),
    "inbox list": ("reads", "no content"),
    "inbox show": ("reads", "within clearance and need to know, logged"),
    "inbox recall": ("narrows", "what we answer a partner's recall with; done is not shown any more"),
    "inbox quarantine": ("reads", "codes and digests"),
    "message open": ("local", "with keys that whoever runs it holds"),
    "queue list": ("reads", "no content"),
    "queue cancel": ("narrows", "a release ends"),
    "queue hold": ("narrows", "a lane waits"),
    "queue resend": (
        "four-eyes",
        "lets a held lane go on: what is in it was approved by two, and is rechecked",
    ),
    "queue skip": ("narrows", "a message ends"),
    "changes list": ("reads", "within need to know and clearance, logged"),
    "changes prepare": (
        "four-eyes",
        "a recall on one officer's word, or the first of two persons of a disclosure",
    ),
    "emergency list": ("reads", "no content"),
    "emergency confirm": ("four-eyes", "the second of two persons, who approved orally before it left"),
    "emergency review": ("four-eyes", "a third person: reopens the path for others, or ends a release"),
    "emergency informed": ("narrows", "a duty is noted as done; none of them holds anything up"),
    "change propose": ("widens", "any document in force"),
    "change approve": ("widens", "the second person of every change"),
    "change show": ("reads", "a proposal"),
    "change reject": ("narrows", "a proposal ends"),
    "change list": ("reads", "proposals"),
    "officer add": ("widens", "a person who may sign"),
    "officer list": ("reads", "officers"),
    "officer clear": ("widens", "a higher clearance; a lower one narrows"),
    "officer suspend": ("narrows", "nothing of this person counts any more"),
    "officer resume": ("widens", "a person may sign again"),
    "officer leave": ("narrows", "nothing of this person counts any more, for good"),
    "officer key new": ("local", "a key pair that no home knows"),
    "officer key add": ("widens", "a key that may sign"),
    "officer key revoke": ("narrows", "nothing this key signed counts any more"),
    "adapter digest": ("local", "measures what is installed"),
    "partner export": ("local", "our own public entry"),
    "partner add": ("widens", "somebody to send to"),
    "partner trust": ("local", "who may shake hands; the directory says who is a partner"),
    "partner list": ("reads", "the directory"),
    "partner show": ("reads", "the directory"),
    "partner stop": ("narrows", "nothing leaves for it any more"),
    "agreement key": ("local", "a key pair that no home knows"),
    "agreement check": ("local", "a file"),
    "agreement offer": ("local", "a file"),
    "agreement sign": ("local", "a signature on a file, with a key kept offline"),
    "agreement add": ("widens", "what may leave for whom"),
    "agreement revoke": ("narrows", "nothing leaves under it any more"),
    "agreement show": ("reads", "terms"),
    "agreement list": ("reads", "terms"),
    "policy explain": ("reads", "a rule in words; a decision within need to know, logged"),
    "policy show": ("reads", "the documents in force"),
    "policy replay": ("reads", "ids, rules and counts; logged"),
    "policy prove": ("local", "a file, by a solver"),
    "audit verify": ("local", "a log"),
    "audit checkpoint": ("local", "a head, signed already"),
    "audit prove": ("local", "proofs"),
    "audit export": ("local", "a log"),
    "audit witness": ("local", "a signature on heads"),
    "audit witness-key": ("local", "a key pair that no home knows"),
    "founding new": ("local", "a file that nobody has signed"),
    "founding sign": ("local", "a signature on a file"),
    "config check": ("local", "a file"),
    "ca init": ("local", "an authority that no home knows"),
    "ca issue": ("local", "a certificate; the directory pins keys"),
    "ca revoke": ("local", "a revocation list"),
}

OPERATIONS: dict[str, tuple[Class, str]] = {
    "status": ("reads", "what anybody may know"),
    "records/import": ("local", "brings records in"),
    "records/complete": ("local", "ends a hand-over: what a list no longer holds is marked"),
    "records/matches": ("reads", "within need to know, logged"),
    "records/list": ("reads", "handles"),
    "records/show": ("reads", "within clearance and need to know"),
    "records/purge": ("narrows", "destroys what nothing rests on"),
    "records/remove": ("narrows", "deletes a record for cause"),
    "releases/preview": ("reads", "a decision"),
    "releases/prepare": ("four-eyes", "freezes bytes that nobody has signed"),
    "releases/endorse": ("four-eyes", "the first of two persons, or the one of an emergency approved orally"),
    "releases/show": ("reads", "within clearance and need to know"),
    "releases/approve": ("four-eyes", "the second of two persons"),
    "releases/reject": ("narrows", "a release ends"),
    "releases/cancel": ("narrows", "a release ends"),
    "recalls/prepare": ("narrows", "freezes ids and a code; a message with a number and no try is stopped"),
    "recalls/endorse": ("narrows", "two ids and a code leave on one officer's word"),
    "cases/prepare": ("four-eyes", "freezes bytes that nobody has signed"),
    "cases/show": ("reads", "ids and counts, within need to know, logged"),
    "notices/list": ("reads", "within need to know and clearance, logged"),
    "notices/prepare": ("four-eyes", "freezes a recall, or bytes that nobody has signed"),
    "requests/list": ("reads", "no content"),
    "requests/show": ("reads", "within clearance and need to know, logged"),
    "requests/answer": ("four-eyes", "freezes bytes that nobody has signed"),
    "requests/close": ("narrows", "freezes an id and a code at most"),
    "requests/endorse": (
        "narrows",
        "an id and a code leave on one officer's word; nothing else answers any more",
    ),
    "queue/list": ("reads", "no content"),
    "queue/hold": ("narrows", "a lane waits"),
    "queue/resend": ("four-eyes", "what two have approved goes on, rechecked"),
    "queue/skip": ("narrows", "a message ends"),
    "inbox/list": ("reads", "no content"),
    "inbox/show": ("reads", "within clearance and need to know"),
    "inbox/recall": ("narrows", "what we answer a partner's recall with"),
    "inbox/quarantine": ("reads", "codes and digests"),
    "messages/trace": ("reads", "states and entries"),
    "officers/list": ("reads", "officers"),
    "partners/list": ("reads", "the directory"),
    "agreements/list": ("reads", "terms"),
    "emergencies/list": ("reads", "no content"),
    "emergencies/confirm": ("four-eyes", "the second of two persons"),
    "emergencies/review": ("four-eyes", "a third person"),
    "emergencies/informed": ("narrows", "a duty is noted as done"),
    "changes/draft": ("reads", "a statement; nothing is stored"),
    "changes/propose": ("widens", "the first of two persons; alone it can only narrow"),
    "changes/approve": ("widens", "the second of two persons"),
    "changes/reject": ("narrows", "a proposal ends"),
    "changes/list": ("reads", "proposals"),
    "changes/show": ("reads", "a proposal"),
    "embargoes/add": ("narrows", "denies a subject"),
    "embargoes/list": ("reads", "whom it protects is not shown"),
    "consents/list": ("reads", "no content"),
    "consents/answer": ("four-eyes", "freezes an id and a code that nobody has signed"),
    "consents/endorse": ("four-eyes", "a refusal leaves; a grant waits for a second person"),
    "consents/show": ("reads", "a code, within clearance and need to know"),
    "consents/approve": ("four-eyes", "the second person of a grant"),
    "consents/accept": ("narrows", "records a ground, of no effect until another confirms it"),
    "grounds/record": ("widens", "the first of two persons; alone it changes nothing"),
    "grounds/confirm": ("widens", "the second of two persons"),
    "grounds/withdraw": ("narrows", "nothing that names it leaves any more"),
    "grounds/show": ("reads", "within need to know, logged"),
    "grounds/list": ("reads", "organisations and days"),
    "subjects/link": ("narrows", "the first of two persons; alone it changes nothing"),
    "subjects/split": ("widens", "the first of two persons; alone it changes nothing"),
    "subjects/confirm": ("widens", "the second of two persons"),
    "subjects/reject": ("narrows", "a proposal ends"),
    "subjects/show": ("reads", "within need to know, logged"),
    "subjects/list": ("reads", "handles"),
    "holds/add": ("narrows", "less can be destroyed; nothing leaves by it"),
    "holds/lift": ("narrows", "two persons, tried in test_erasure; nothing leaves by it"),
    "holds/list": ("reads", "handles"),
    "erasures/propose": ("narrows", "the first of two persons; alone it changes nothing"),
    "erasures/confirm": ("narrows", "the second of two persons: what is destroyed does not leave"),
    "erasures/reject": ("narrows", "a proposal ends"),
    "erasures/show": ("reads", "handles and counts"),
    "erasures/list": ("reads", "handles and counts"),
    "oral/record": ("narrows", "what was said counts as held"),
    "oral/confirm": ("narrows", "another person has seen it; it counted already"),
    "strikes/propose": ("widens", "what was said by mistake counts no longer"),
    "strikes/confirm": ("widens", "the second person of every strike"),
    "oral/show": ("reads", "within need to know, logged"),
    "oral/list": ("reads", "to whom and when, not what"),
    "changes/before": ("reads", "the document that a change would replace"),
    "policy/explain": ("reads", "a rule in words"),
    "policy/decided": ("reads", "a decision of the log, within need to know, logged"),
    "policy/show": ("reads", "the documents in force"),
    "policy/replay": ("reads", "ids, rules and counts; logged"),
    "audit/logs": ("reads", "sizes and heads"),
}

#: Listeners: route and class. What a partner posts changes what came in, never what may leave.
ROUTES: dict[str, tuple[Class, str]] = {
    "control POST /api/v1/{operation}": ("widens", "every operation above, by officers alone"),
    "partner POST /exchange/v1/messages": ("local", "brings messages in; a receipt is all that goes back"),
    "partner GET /exchange/v1/messages/{id}/receipt": ("reads", "the stored receipt of the asker's own message"),
    "operations GET /livez": ("reads", "a word"), "operations GET /readyz": ("reads", "a word"),
    "operations GET /metrics": ("reads", "counts"),
}  # fmt: skip

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


#: By command, everything that it can widen; `change propose` by kind of document.
WIDENING: dict[str, dict[str, Words]] = {
    "officer add": {"": _officer_add},
    "officer clear": {"": _officer_clear},
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
    if command != "embargo lift":  # the desk's own: the signer is not asked about embargoes
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
    assert (await line.run(FIRST, "officer", "key", "revoke", name, "no such key"))[0] == 2
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

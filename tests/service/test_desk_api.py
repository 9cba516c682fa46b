"""The control socket: deny by default, an endorsement for every call, and no answer that is not an answer."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.records.synthetic import extract, variation_of
from gateway.errors import SignerUnavailable
from gateway.flow.change import canonical
from gateway.model.rows import BodyRow, IdempotencyRow, KeyRow, LogRow, NonceRow, RecordRow, ReleaseRow
from gateway.service import calls
from gateway.service.answers import ANSWER_KEPT, Answers, new_claim
from gateway.service.desk_api import MAX_CALL, DeskApi
from gateway.wire.endorse import sign_call
from gateway.wire.strict import b64url
from tests.service.allowed import ALLOWED, ROLES
from tests.service.world import BASIS, BE, CLEAN, FR, KIND, PURPOSE, World


class Answer(msgspec.Struct, frozen=True):
    status: int
    media_type: str
    body: bytes

    @property
    def code(self) -> str:
        """The problem's code; empty for an answer that is none."""
        return str(msgspec.json.decode(self.body).get("title", "")) if "problem" in self.media_type else ""


class Caller:
    """An officer's client on the real socket file; every part of the endorsement can be made wrong."""

    def __init__(self, world: World, session: aiohttp.ClientSession) -> None:
        self.world, self._session, self._nonce = world, session, 0

    async def call(
        self, officer: str, operation: str, params: object = None, *, raw: bytes | None = None, **wrong: Any
    ) -> Answer:
        """Call as an officer. ``wrong``: home, op, body (what is endorsed), at, nonce, key, token, headers."""
        sent = raw if raw is not None else msgspec.json.encode({} if params is None else params)
        identity = self.world.officers[wrong.get("key", officer)]
        self._nonce += 1
        token = wrong.get("token") or sign_call(
            identity.key,
            identity.kid,
            home=wrong.get("home", BE),
            op=wrong.get("op", operation),
            params_sha256=hashlib.sha256(wrong.get("body", sent)).hexdigest(),
            at=wrong.get("at", self.world.clock.now()),
            nonce=wrong.get("nonce", b64url(self._nonce.to_bytes(32, "big"))),
            officer=officer,
        )
        headers = {"Authorization": f"Ecluse-Call {token}", **wrong.get("headers", {})}
        if wrong.get("token") == "":
            del headers["Authorization"]
        url = f"http://gateway/api/v1/{operation}"
        async with self._session.post(url, data=io.BytesIO(sent), headers=headers) as answer:
            return Answer(answer.status, answer.content_type, await answer.read())


@pytest_asyncio.fixture
async def caller(world: World, tmp_path: Path) -> AsyncIterator[Caller]:
    runner = web.AppRunner(DeskApi(world.be.gateway, world.be.desk).application(), access_log=None)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "control.sock")).start()
    async with aiohttp.ClientSession(
        connector=aiohttp.UnixConnector(str(tmp_path / "control.sock"))
    ) as session:
        yield Caller(world, session)
    await runner.cleanup()


def check_problem(answer: Answer, *statuses: int) -> None:
    """An RFC 9457 document of ours, and never the one that says we did not know what to do."""
    assert answer.status in (statuses or range(400, 500))
    assert answer.media_type == "application/problem+json"
    assert answer.code not in ("", "internal")


# --- roles -----------------------------------------------------------------------------------------------------------


async def test_the_table_names_every_operation(world: World) -> None:
    """An operation without a row in the table above fails here before it is reachable by anybody."""
    operations = world.be.desk.operations()
    assert {name: set(operation.roles) for name, operation in operations.items()} == ALLOWED


@pytest.mark.parametrize("role", ROLES)
async def test_each_role_may_do_what_the_table_says_and_nothing_else(caller: Caller, role: str) -> None:
    """Every operation, asked with parameters that break its schema: who may not is refused before they are read."""
    for operation, allowed in ALLOWED.items():
        answer = await caller.call(f"be-only-{role}", operation, {"unknown": 1})
        if role in allowed:
            check_problem(answer, 422)
            assert answer.code == "request-invalid", operation
        else:
            check_problem(answer, 403)
            assert answer.code == "role-missing", operation


def test_no_role_alone_requests_and_approves() -> None:
    """Requesting and approving are two roles; with both, four eyes still wants two persons (tested at approval)."""
    requesting = ALLOWED["releases/prepare"] & ALLOWED["releases/endorse"]
    assert not requesting & ALLOWED["releases/approve"]


async def test_no_set_of_roles_lets_one_person_request_and_approve(caller: Caller) -> None:
    """A person with every role but the operator's requests over the socket and approves: refused, nothing is queued."""
    world = caller.world
    officer = world.be.gateway.directory.officers["be-requester"]
    everything = tuple(role for role in ROLES if role != "operator")
    wider = msgspec.structs.replace(officer, roles=everything, version=2)
    await world.be.change("officer", officer.id, canonical(wider), "be-approver", "be-only-security-officer")
    view = await world.be.request(CLEAN[0])
    token = world.be.endorse("be-requester", "approve", [view.statement])
    answer = await caller.call("be-requester", "releases/approve", calls.Endorsed((view.release,), token))
    check_problem(answer, 403)
    assert world.be.release(view).state == "awaiting-approval"


# --- the endorsement of a call ---------------------------------------------------------------------------------------

BAD_CALLS: dict[str, dict[str, Any]] = {
    "none": {"token": ""},
    "not a token": {"token": "a.b.c"},
    "not ascii": {"token": "é" * 40},
    "another home": {"home": FR},
    "another operation": {"op": "records/purge"},
    "other parameters": {"body": b'{"limit":1}'},
    "another officer's key": {"key": "be-approver"},
    "an officer of another home": {"key": "fr-inbox"},
}


@pytest.mark.parametrize("name", BAD_CALLS)
async def test_a_call_without_its_own_endorsement_is_refused(caller: Caller, name: str) -> None:
    """Missing, malformed, for another home, operation or body, or by another key: 403 and nothing burned."""
    answer = await caller.call("be-requester", "status", **BAD_CALLS[name])
    check_problem(answer, 403)
    assert caller.world.be.rows(NonceRow) == []


@pytest.mark.parametrize(("seconds", "status"), [(-301, 403), (-300, 200), (300, 200), (301, 403)])
async def test_an_endorsement_is_good_for_its_window(caller: Caller, seconds: int, status: int) -> None:
    """Five minutes to either side of the gateway's clock."""
    at = caller.world.clock.now() + timedelta(seconds=seconds)
    assert (await caller.call("be-requester", "status", at=at)).status == status


async def test_an_endorsement_is_good_once(caller: Caller) -> None:
    """A replayed nonce is refused as long as its window could be open, across a restart and across the keeper's
    forgetting."""
    nonce, world = b64url(b"n" * 32), caller.world
    later = world.clock.now() + timedelta(seconds=300)
    assert (await caller.call("be-requester", "status", nonce=nonce, at=later)).status == 200
    for seconds in (0, 300, 299):
        world.clock.advance(seconds=seconds)
        await world.be.keeper.beat()
        check_problem(await caller.call("be-requester", "status", nonce=nonce, at=later), 403)


async def test_a_suspended_officer_calls_nothing(caller: Caller) -> None:
    """From the change on, at once, although the key is good."""
    world = caller.world
    officer = world.be.gateway.directory.officers["be-only-reviewer"]
    assert (await caller.call(officer.id, "status")).status == 200
    suspended = msgspec.structs.replace(officer, suspended=True, version=2)
    await world.be.change("officer", officer.id, canonical(suspended))
    check_problem(await caller.call(officer.id, "status"), 403)


# --- hostile input ---------------------------------------------------------------------------------------------------

HOSTILE_BODIES = [
    b"", b"null", b"[]", b"{", b'{"id":1}', b'{"id":"\\ud800"}', b'{"id":"\xff"}', b'{"id":"x","id":"y","z":1}',
    b'{"id":"' + b"x" * 70_000 + b'"}', b'{"limit":1e999}', b'{"limit":-1}', b'{"limit":123456789012345678901234}',
    b"[" * 5_000, b'{"after":"\\u0000"}', b'{"partners":[],"record":"x","purpose":"y"}',
    b'{"releases":[],"endorsement":"x"}', b'{"releases":["x","x"],"endorsement":"x"}',
]  # fmt: skip


@pytest.mark.parametrize("body", HOSTILE_BODIES, ids=range(len(HOSTILE_BODIES)))
async def test_hostile_parameters_get_a_problem_document(caller: Caller, body: bytes) -> None:
    """Every operation, each hostile body, by somebody who holds the role: an answer below 500 that is not `internal`
    and quotes nothing of what was sent."""
    for operation, allowed in ALLOWED.items():
        officer = f"be-only-{sorted(allowed)[0]}"
        answer = await caller.call(officer, operation, raw=body)
        assert answer.status < 500, operation
        if answer.status != 200:
            check_problem(answer)
        assert b"x" * 100 not in answer.body


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200), operation=st.sampled_from(sorted(ALLOWED)))
async def test_garbage_gets_a_problem_document(caller: Caller, body: bytes, operation: str) -> None:
    """Any bytes to any operation: below 500, never `internal`."""
    answer = await caller.call(f"be-only-{sorted(ALLOWED[operation])[0]}", operation, raw=body)
    assert answer.status < 500
    if answer.status != 200:
        check_problem(answer)


PREPARE = {"record": CLEAN[0], "partners": [FR], "purpose": PURPOSE, "justification": "synthetic case"}
WRONG_PARAMS: list[tuple[str, str, dict[str, Any]]] = [
    ("be-only-requester", "records/import", {"kind": "no-such/1.0", "first_line": 1, "lines": ""}),
    ("be-only-requester", "records/show", {"id": "r-0000000000000000"}),
    ("be-only-requester", "releases/prepare", {**PREPARE, "justification": " "}),
    ("be-only-requester", "releases/prepare", {**PREPARE, "partners": []}),
    ("be-only-requester", "releases/prepare", {**PREPARE, "partners": ["nobody"]}),
    ("be-only-requester", "releases/prepare", {**PREPARE, "record": "BDC-999999"}),
    ("be-only-requester", "releases/prepare", {**PREPARE, "conversation": "Zzemo Exemple"}),
    ("be-only-requester", "releases/prepare", {**PREPARE, "conversation": "5F0C7F0E-6A0E-4A53-9D57-0F3C1C2B7A11"}),
    ("be-only-approver", "releases/approve", {"releases": ["x"], "endorsement": "a.b.c"}),
    ("be-only-approver", "releases/reject", {"id": "x", "reason": "y"}),
    ("be-only-approver", "queue/skip", {"partner": FR, "conversation": "x"}),
    ("be-only-operator", "messages/trace", {"id": "x"}),
    ("be-only-security-officer", "changes/draft", {"kind": "no-such", "target": "x", "document": ""}),
    ("be-only-security-officer", "changes/draft", {"kind": "partner", "target": "x", "document": "e30="}),
    ("be-only-security-officer", "changes/draft", {"kind": "policy", "target": "release", "document": "e30="}),
    ("be-only-security-officer", "changes/draft", {"kind": "policy", "target": "release", "document": "//8="}),
    ("be-only-security-officer", "changes/draft", {"kind": "embargo-lift", "target": "x", "document": "//8="}),
    ("be-only-security-officer", "changes/draft", {"kind": "agreement", "target": "x", "document": "bnVsbA=="}),
    ("be-only-security-officer", "changes/propose", {"statement": "", "document": "", "endorsement": ""}),
    ("be-only-security-officer", "changes/approve", {"id": "x", "endorsement": "y"}),
    ("be-only-security-officer", "changes/show", {"id": "x"}),
    ("be-only-reviewer", "policy/explain", {"rule": "no.such.rule"}),
    ("be-only-reviewer", "policy/explain", {"rule": "embargo", "language": "tlh"}),
    ("be-only-reviewer", "policy/explain", {"rule": "embargo", "policy": "0" * 64}),
    ("be-only-reviewer", "policy/decided", {"position": 0}),
    ("be-only-reviewer", "policy/replay", {"since": "yesterday"}),
    ("be-only-reviewer", "policy/replay", {"since": "2026-11-21T00:00:00Z", "policy": "e30="}),
    ("be-only-reviewer", "policy/replay", {"since": "2026-11-21T00:00:00Z", "settings": "e30=", "agreement": "e30="}),
    ("be-only-inbox", "inbox/show", {"id": "x"}),
    ("be-only-reviewer", "records/list", {"limit": 501}),
    ("be-only-reviewer", "records/list", {"limit": 0}),
]  # fmt: skip


@pytest.mark.parametrize(("officer", "operation", "params"), WRONG_PARAMS, ids=range(len(WRONG_PARAMS)))
async def test_wrong_parameters_are_refused_by_name(
    caller: Caller, officer: str, operation: str, params: dict[str, Any]
) -> None:
    """Well-formed and wrong: a 4xx problem with a code of ours, no echo of the value, nothing stored."""
    before = caller.world.be.rows(ReleaseRow)
    answer = await caller.call(officer, operation, params)
    check_problem(answer)
    assert b"Zzemo" not in answer.body
    assert caller.world.be.rows(ReleaseRow) == before


@pytest.mark.parametrize("path", ["no/such", "statuss", "records", "a" * 5000])
async def test_an_operation_outside_the_table_does_not_exist(caller: Caller, path: str) -> None:
    """404 whoever asks."""
    check_problem(await caller.call("be-requester", path), 404)


async def test_an_oversized_call_is_refused(caller: Caller) -> None:
    """One byte above the limit: a problem document, and the connection still serves the next call."""
    check_problem(await caller.call("be-requester", "records/import", raw=b" " * (MAX_CALL + 1)))
    assert (await caller.call("be-requester", "status")).status == 200


# --- idempotency, pages, reads ---------------------------------------------------------------------------------------


async def test_an_idempotency_key_repeats_the_answer(caller: Caller) -> None:
    """The same call under its key: the first answer byte for byte, one release; other parameters or operation: 409;
    another officer's key of the same name is another key; what only looks has no use for a key."""
    headers: dict[str, Any] = {"headers": {"Idempotency-Key": "order-1"}}
    first = await caller.call("be-requester", "releases/prepare", PREPARE, **headers)
    assert first.status == 200
    again = await caller.call("be-requester", "releases/prepare", PREPARE, **headers)
    assert again.body == first.body
    assert len(caller.world.be.rows(ReleaseRow)) == 1
    other = {**PREPARE, "record": CLEAN[1]}
    check_problem(await caller.call("be-requester", "releases/prepare", other, **headers), 409)
    check_problem(await caller.call("be-requester", "records/purge", {}, **headers), 409)
    assert (await caller.call("be-requester", "records/list", {}, **headers)).status == 200
    mine = await caller.call("be-only-requester", "releases/prepare", PREPARE, **headers)
    assert mine.status == 200
    assert mine.body != first.body


async def test_a_refused_call_is_not_remembered(caller: Caller) -> None:
    """An error is no answer to repeat: mended, the same key works."""
    headers: dict[str, Any] = {"headers": {"Idempotency-Key": "order-2"}}
    for wrong, status in (({**PREPARE, "record": "BDC-999999"}, 404), ({"unknown": 1}, 422)):
        check_problem(await caller.call("be-requester", "releases/prepare", wrong, **headers), status)
    assert (await caller.call("be-requester", "releases/prepare", PREPARE, **headers)).status == 200
    assert len(caller.world.be.rows(IdempotencyRow)) == 1


async def test_one_call_of_two_at_once_acts(caller: Caller) -> None:
    """Sent twice at the same time under one key: one release; the other gets its answer, or hears it is under way."""
    headers: dict[str, Any] = {"headers": {"Idempotency-Key": "order-3"}}
    both = await asyncio.gather(
        *(caller.call("be-requester", "releases/prepare", PREPARE, **headers) for _ in range(2))
    )
    assert len(caller.world.be.rows(ReleaseRow)) == 1
    done = [answer for answer in both if answer.status == 200]
    assert done
    for answer in both:
        assert answer.body == done[0].body or (answer.status, answer.code) == (409, "conflict")


async def test_a_claim_left_by_a_crash_is_taken_over(caller: Caller) -> None:
    """Under way for five minutes, then somebody else's to carry out; never for another call."""
    world, key = caller.world, "order-4"
    headers: dict[str, Any] = {"headers": {"Idempotency-Key": key}}
    blind = (await world.be.signer.index([msgspec.json.encode(PREPARE)]))[0]
    left = new_claim(key, "be-requester", "releases/prepare", blind, world.clock.now())
    await world.be.store.write(lambda tx: tx.insert(left))
    world.clock.advance(seconds=300)
    check_problem(await caller.call("be-requester", "releases/prepare", PREPARE, **headers), 409)
    world.clock.advance(seconds=1)
    other = {**PREPARE, "record": CLEAN[1]}
    check_problem(await caller.call("be-requester", "releases/prepare", other, **headers), 409)
    first = await caller.call("be-requester", "releases/prepare", PREPARE, **headers)
    assert first.status == 200
    assert (await caller.call("be-requester", "releases/prepare", PREPARE, **headers)).body == first.body
    # The first claimant wakes up: its answer is not kept, and its claim is not its own to release.
    await Answers(world.be.gateway).keep(left, b"late")
    await Answers(world.be.gateway).release(left)
    assert (await caller.call("be-requester", "releases/prepare", PREPARE, **headers)).body == first.body


async def test_answers_are_forgotten_after_a_day(caller: Caller) -> None:
    """With the key and body they lay under; until then the keeper leaves them alone."""
    be, clock = caller.world.be, caller.world.clock
    headers: dict[str, Any] = {"headers": {"Idempotency-Key": "order-5"}}
    first = await caller.call("be-requester", "releases/prepare", PREPARE, **headers)
    (row,) = be.rows(IdempotencyRow)
    clock.advance(seconds=ANSWER_KEPT.total_seconds())
    assert await Answers(be.gateway).forget() == 0
    clock.advance(seconds=1)
    assert await Answers(be.gateway).forget() == 1
    assert not [*be.rows(IdempotencyRow), *be.rows(BodyRow, id=row.body), *be.rows(KeyRow, id=row.key_id)]
    assert (await caller.call("be-requester", "releases/prepare", PREPARE, **headers)).body != first.body


async def test_a_defect_is_ours(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the desk did not foresee is no fault of the caller: 503, `internal`, and not a word of what it was."""

    async def defect(limit: int, state: str = "") -> list[Any]:
        raise RuntimeError("Zzemo Exemple")

    monkeypatch.setattr(caller.world.be.queue, "list", defect)
    answer = await caller.call("be-requester", "queue/list")
    assert (answer.status, answer.code) == (503, "internal")
    assert b"Zzemo" not in answer.body


@pytest.mark.parametrize("key", ["é", "x" * 7000, "a\tb"])
async def test_a_hostile_idempotency_key_is_no_defect(caller: Caller, key: str) -> None:
    """Whatever stands in the header: an answer, or a problem of ours."""
    for operation, params in (("status", {}), ("releases/prepare", PREPARE)):
        answer = await caller.call("be-requester", operation, params, headers={"Idempotency-Key": key})
        if answer.status != 200:
            check_problem(answer)


@pytest.mark.parametrize("limit", [1, 3, 7, 500])
async def test_pages_visit_every_row_once(caller: Caller, limit: int) -> None:
    """Keyset pages of any size: every record once, in key order, none missed between pages."""
    seen: list[str] = []
    after = ""
    while True:
        answer = await caller.call("be-only-reviewer", "records/list", {"after": after, "limit": limit})
        page = msgspec.json.decode(answer.body, type=list[calls.RecordSummary])
        assert len(page) <= limit
        if not page:
            break
        seen += [item.handle for item in page]
        after = seen[-1]
    assert seen == sorted({row.handle for row in caller.world.be.rows(RecordRow)})


@pytest.mark.parametrize(("operation", "what"), [("records/show", CLEAN[0]), ("releases/show", "")])
async def test_a_read_of_content_is_an_entry_first(caller: Caller, operation: str, what: str) -> None:
    """Each read adds one entry to the master log; a list, which shows no content, adds none."""
    be = caller.world.be
    named = what or (await be.request(CLEAN[0])).release
    before = be.log_size(be.gateway.ledger.master)
    assert (await caller.call("be-only-approver", operation, {"id": named})).status == 200
    assert be.log_size(be.gateway.ledger.master) == before + 1
    assert (await caller.call("be-only-reviewer", "records/list", {"limit": 2})).status == 200
    assert be.log_size(be.gateway.ledger.master) == before + 1


async def test_a_read_that_cannot_be_logged_shows_nothing(caller: Caller) -> None:
    """No entry, no content: with the signer away and no key left for the entry, the read fails."""
    be = caller.world.be
    await be.releases.record(CLEAN[0])
    be.vault._pool.clear()

    async def away(count: int) -> list[Any]:
        raise SignerUnavailable("the signer does not answer")

    be.signer.data_keys = away  # type: ignore[method-assign]
    check_problem(await caller.call("be-requester", "records/show", {"id": CLEAN[0]}), 503)


async def test_who_needs_not_know_sees_no_field(caller: Caller) -> None:
    """Outside the need to know a record is refused, and so is every decision about it, before it is made; above the
    clearance a field is hidden and counted."""
    size = caller.world.be.log_size(caller.world.be.gateway.ledger.master)
    check_problem(await caller.call("be-stranger", "records/show", {"id": CLEAN[0]}), 403)
    for operation in ("releases/preview", "releases/prepare"):
        check_problem(await caller.call("be-stranger", operation, PREPARE), 403)
    assert caller.world.be.rows(ReleaseRow) == []
    assert caller.world.be.log_size(caller.world.be.gateway.ledger.master) == size
    number = next(n for n in range(1, 200) if variation_of(n) == "restreint-item")
    raw = extract(number, 1, caller.world.clock.now()).splitlines(keepends=True)[-1]
    await caller.world.be.call("be-requester", "records/import", calls.ImportChunk(KIND, 1, raw))
    answer = await caller.call("be-requester", "records/show", {"id": f"BDC-{number:06d}"})
    view = msgspec.json.decode(answer.body, type=calls.RecordView)
    assert view.hidden == 1
    assert not any("RESTREINT" in shown.level for shown in view.fields)


async def test_a_preview_leaves_no_release(caller: Caller) -> None:
    """The same decision as a preparation, marked by its operation, stored nowhere but as a read."""
    params = {"record": CLEAN[0], "partners": [FR], "purpose": PURPOSE, "legal_basis": BASIS}
    answer = await caller.call("be-only-requester", "releases/preview", params)
    (view,) = msgspec.json.decode(answer.body, type=list[calls.DecisionView])
    assert (view.effect, view.release, view.statement) == ("PERMIT", "", b"")
    assert caller.world.be.rows(ReleaseRow) == []


async def test_a_broken_log_ends_the_process_from_the_desk_too(caller: Caller) -> None:
    """A call whose entry cannot be appended finds the proof broken: nothing is shown, the process must end."""
    be = caller.world.be
    master = be.gateway.ledger.master
    (row,) = (row for row in be.rows(LogRow) if row.origin == master)
    await be.store.write(lambda tx: tx.put(msgspec.structs.replace(row, size=row.size - 1)))
    answer = await caller.call("be-requester", "records/show", {"id": CLEAN[0]})
    assert (answer.status, answer.code) == (500, "audit-broken")
    assert be.ended == ["audit-broken"]

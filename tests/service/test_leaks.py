"""No personal data in logs, errors, metrics, names or identifiers: canaries through every path, then a search."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp.test_utils import make_mocked_request

from adapters.records.synthetic import persons
from gateway.errors import GatewayError
from gateway.service import calls
from gateway.service.logs import LOG_FIELDS, configure_logging
from gateway.service.ops import Operations
from gateway.service.problems import desk_problem, partner_problem
from gateway.wire.container import frame
from tests.service.world import BASIS, BE, FR, KIND, NOW, PURPOSE, World, opened, reseal

CANARY = "Qanariqx"

#: Every kind of value a person's record or an officer's words may hold.
WORDS = ("nom", "alias", "marks", "health", "why", "reason")
CANARIES = ("QANARIQX-000001", *(f"{CANARY} {word}" for word in WORDS))


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """What the gateway writes to its log: its own processors, another file."""
    configure_logging()
    written = io.StringIO()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(written))
    yield written
    structlog.reset_defaults()


def canary_line() -> dict[str, Any]:
    line = next(persons(1, 1, NOW))
    line["id"] = CANARIES[0]
    content = line["content"]
    content["names"][0]["family"] = CANARIES[1]
    content["names"].append({"type": "alias", "text": CANARIES[2], "script": "Latn", "quality": "low"})
    content["description"]["marks"] = CANARIES[3]
    content["health"]["text"] = CANARIES[4]
    return line


async def caught(call: Awaitable[Any], errors: list[GatewayError]) -> Any:
    try:
        return await call
    except GatewayError as error:
        errors.append(error)
        return None


async def through_every_path(world: World) -> list[GatewayError]:
    """Import, read, deny, release, fail, refuse, embargo, void and receive, with canaries in every value."""
    be, fr = world.be, world.fr
    errors: list[GatewayError] = []

    async def desk(officer: str, operation: str, params: calls.Params) -> Any:
        return await caught(be.call(officer, operation, params), errors)

    good = json.dumps(canary_line(), ensure_ascii=False).encode()
    bad = good.replace(b'"sex": "M"', f'"sex": "{CANARY}sex"'.encode()).replace(b"X-000001", b"X-000002")
    await desk(
        "be-requester", "records/import", calls.ImportChunk(KIND, 1, good + b"\n" + bad + b"\n{" + good)
    )
    person, why, reason = CANARIES[0], CANARIES[5], CANARIES[6]
    await desk("be-requester", "records/show", calls.Named(person))
    await desk("be-requester", "records/show", calls.Named(CANARY))
    for purpose, basis, conversation in (
        (PURPOSE, BASIS, ""),
        (CANARY, CANARY, ""),
        (PURPOSE, BASIS, CANARY),
    ):
        params = calls.Disclose(person, (FR,), purpose, basis, why, conversation)
        await desk("be-requester", "releases/prepare", params)
        await desk("be-requester", "releases/preview", params)
    await desk("be-requester", "releases/prepare", calls.Disclose(person, (CANARY,), PURPOSE, BASIS, why))
    sent = await be.request(person)
    await be.approve(sent)
    be.wire.script = ["lost", "garbage"]
    for _ in range(3):
        await be.send()
        world.clock.advance(seconds=600)
    (message,) = opened(world, be.wire.batches[0])
    assert CANARIES[1].encode() in message.payload
    broken = message.payload.replace(b'"sex"', b'"sexQanariqx"')
    for sealed in (
        reseal(world, message, broken),
        reseal(world, message, broken, jti=be.ids.uuid()),
        reseal(world, message, jti=be.ids.uuid()),
        b"{" + message.payload,
    ):
        await caught(fr.intake.accept(BE, frame([sealed])), errors)
    await caught(fr.intake.accept(CANARY, be.wire.batches[0]), errors)
    waiting = await be.request(person)
    await desk("be-approver", "releases/reject", calls.Ended(waiting.release, reason))
    await desk("be-approver", "releases/reject", calls.Ended(waiting.release, reason))
    await desk("be-approver", "releases/show", calls.Named(CANARY))
    voided = (await be.disclose(person))[0]
    await desk("be-approver", "embargoes/add", calls.PlaceEmbargo(person, CANARY.encode()))
    await be.send()
    assert be.release(voided).state == "voided"
    await desk("be-approver", "queue/hold", calls.LaneCall(CANARY, CANARY))
    await desk("be-requester", "changes/draft", calls.DraftChange("officer", CANARY, b'{"id":"Qanariqx"}'))
    await desk("be-requester", "changes/draft", calls.DraftChange("policy", CANARY, b'{"id":"Qanariqx"}'))
    await desk(
        "be-requester", "changes/propose", calls.ProposeChange(CANARY.encode(), CANARY.encode(), CANARY)
    )
    await caught(fr.call("fr-inbox", "inbox/show", calls.Named(CANARY)), errors)
    await be.keeper.beat()
    return errors


async def test_no_canary_in_logs_errors_and_metrics(world: World, logged: io.StringIO) -> None:
    """Every log line, every error's text and diagnostic, every problem document and every metric: not one canary,
    not one name of a person."""
    errors = await through_every_path(world)
    assert len(errors) >= 10
    shown = logged.getvalue().splitlines()
    assert len(shown) >= 5
    for error in errors:
        shown += [str(error), error.detail, repr(dict(error.diagnostic)), error.code]
        for answer in (partner_problem(error), desk_problem(error)):
            assert isinstance(answer.body, bytes)
            shown.append(answer.body.decode())
    metrics = await Operations(world.be.gateway)._metrics(make_mocked_request("GET", "/metrics"))
    assert isinstance(metrics.body, bytes)
    shown.append(metrics.body.decode())
    for text in shown:
        assert CANARY.lower() not in text.lower(), text
        assert "zzemo" not in text.lower()


async def test_no_canary_at_rest(world_on_disk: World, tmp_path: Path) -> None:
    """After the same paths neither store holds a canary in the clear, in any table, file name or free page."""
    await through_every_path(world_on_disk)
    for org, side in world_on_disk.sides.items():
        side.store.settle()
        database = tmp_path / f"{org}.sqlite"
        raw = database.read_bytes()
        assert CANARY.encode() not in raw, _where(database)
        assert CANARIES[0].encode() not in raw


def _where(database: Path) -> list[str]:
    connection = sqlite3.connect(database)
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    found = [
        f"{table}: {row!r}"[:200]
        for table in tables
        for row in connection.execute(f"SELECT * FROM {table}")  # noqa: S608 - our own names
        if CANARY in repr(row)
    ]
    connection.close()
    return found


def test_the_log_fields_name_nothing_personal() -> None:
    """The allow-list is closed: no field for values, names, subjects, payloads or free text of people."""
    forbidden = {
        "name",
        "value",
        "subject",
        "payload",
        "person",
        "officer",
        "text",
        "justification",
        "body",
        "raw",
    }
    assert not LOG_FIELDS & forbidden


def test_a_partner_problem_names_a_code_and_nothing_else() -> None:
    """Status and one of the closed codes: no detail, no diagnostic, whatever the error holds."""
    error = GatewayError("zzemo detail", code="zzemo-code", diagnostic={"zzemo": "exemple"})
    answer = partner_problem(error)
    assert isinstance(answer.body, bytes)
    assert json.loads(answer.body) == {
        "type": "urn:ecluse:problem:unavailable", "title": "unavailable", "status": 503
    }  # fmt: skip

"""Who operates a gateway sees no content: not on the screen, not in a log or a figure, not in the files on the disk.

Every value of the records, the reasons people gave and the payloads are canaries.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer

from adapters.records.synthetic import extract
from gateway.errors import GatewayError
from gateway.model.request import Emergency
from gateway.model.rows import InboxRow, ReleaseRow
from gateway.service import calls
from gateway.service.calls.reconciling import Reconcile
from gateway.service.logs import configure_logging
from gateway.service.ops import Operations
from tests.service.commandline import Line
from tests.service.test_emergency import configured, confirm, invoke, review
from tests.service.world import BASIS, BE, CLEAN, FR, KIND, NOW, PERSONS, PURPOSE, SERIES, World

OPERATOR = "be-only-operator"

#: Free texts of the story, which belong to content as well.
JUSTIFICATION, REASON, MAGISTRATE = "zzcanary justification", "zzcanary reason", b"zzcanary magistrate"
THREAT = "zzcanary threat"

#: Shorter values are vocabulary (codes, countries, one-letter grades) and stand in agreements and rules as well.
LEAST = 5


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    elif isinstance(value, str):
        yield value


def canaries(raw: bytes) -> set[bytes]:
    """Every value of these records that says something about somebody, in the spellings it could leak in."""
    known = set(_leaves([BASIS, PURPOSE, KIND, BE, FR]))
    values = {leaf for row in raw.splitlines() for leaf in _leaves(json.loads(row))} - known
    values = {value for value in values if len(value) >= LEAST and not _vocabulary(value)}
    values |= {JUSTIFICATION, REASON, THREAT, MAGISTRATE.decode()}
    found = set()
    for value in values:
        plain = value.encode()
        found |= {plain, json.dumps(value)[1:-1].encode(), base64.b64encode(plain)[:-4], plain.hex().encode()}
    return {one for one in found if len(one) >= LEAST}


def _vocabulary(value: str) -> bool:
    """Codes, words of a schema, and days of this century: not about anybody by themselves."""
    return bool(re.fullmatch(r"[A-Z_/ ]+|[a-z/][a-z_.:/0-9-]*|2\d{3}-\d\d(-\d\d.*)?", value))


def test_the_canaries_are_the_records() -> None:
    """The set is not empty by mistake: names and numbers of synthetic persons are in it."""
    raw = extract(PERSONS, 1, NOW)
    found = canaries(raw)
    for member in ("family", "national_number", "number", "place"):
        values = set(re.findall(rf'"{member}":"([^"\\]+)"'.encode(), raw))
        assert values
        assert values <= found, member


async def story(line: Line) -> bytes:
    """A release delivered, one refused with a reason, one denied, an embargo, a preview, a message received."""
    world, be = line.world, line.world.be
    raw = extract(PERSONS, 1, world.clock.now())
    await configured(be)
    await be.call("be-requester", "records/import", calls.ImportChunk(KIND, 1, raw))
    await world.fr.call("fr-inbox", "records/import", calls.ImportChunk(KIND, 1, raw))
    why = (PURPOSE, BASIS, JUSTIFICATION)
    views = []
    for record in CLEAN[:2]:
        view = (await be.call("be-requester", "releases/prepare", calls.Disclose(record, (FR,), *why)))[0]
        token = be.endorse("be-requester", "request", [view.statement])
        await be.call("be-requester", "releases/endorse", calls.Endorsed((view.release,), token))
        views.append(view)
    await be.approve(views[0])
    await be.call("be-approver", "releases/reject", calls.Ended(views[1].release, REASON))
    await be.send()
    urgent = await invoke(be, CLEAN[4], Emergency(THREAT, "be-approver"))
    await be.send()
    await confirm(be, urgent)
    await review(be, urgent, reason=REASON)
    await be.call("be-approver", "releases/preview", calls.Disclose(CLEAN[2], (FR,), PURPOSE, BASIS))
    await be.call("be-requester", "embargoes/add", calls.PlaceEmbargo(CLEAN[3], MAGISTRATE))
    await be.call("be-requester", "releases/prepare", calls.Disclose(CLEAN[3], (FR,), *why))
    await be.call("be-requester", "records/import", calls.ImportChunk(KIND, 1, raw[:-30] + b"zzcanary\n"))
    assert be.release(views[0]).state == "delivered"
    return raw


def caught(found: set[bytes], where: str, said: bytes) -> None:
    leaked = sorted(one for one in found if one in said)
    assert not leaked, f"{where}: {len(leaked)} canaries"


async def test_no_operation_shows_content(line: Line) -> None:
    """Every operation whose list of roles has the operator, with the ids that an operator knows: answers and refusals
    hold no canary."""
    found = canaries(await story(line))
    be = line.world.be
    release = be.rows(ReleaseRow)[0]
    asked: dict[str, list[calls.Params]] = {
        "status": [calls.Empty()],
        "queue/list": [calls.Page()],
        "queue/hold": [calls.LaneCall(FR, release.conversation)],
        "queue/resend": [calls.LaneCall(FR, release.conversation)],
        "messages/trace": [
            calls.Named(one) for row in be.rows(ReleaseRow) for one in (row.id, row.message_id)
        ],
        "partners/list": [calls.Page()],
        "agreements/list": [calls.Page()],
        "policy/explain": [calls.Explain(rule.id) for rule in be.gateway.directory.policy.rules],
        "audit/logs": [calls.Empty()],
        "reconcile": [Reconcile()],
    }
    operations = be.desk.operations()
    assert {name for name, one in operations.items() if "operator" in one.roles} == set(asked)
    for name, params in asked.items():
        for one in params:
            try:
                answer = await be.call(OPERATOR, name, one)
            except GatewayError as refused:
                answer = (refused.detail, dict(refused.diagnostic))
            caught(found, name, msgspec.json.encode(answer))


#: What an operator runs on the machine, without being an officer or as one.
COMMANDS: list[tuple[list[str], bool]] = [
    (["queue", "list"], True),
    (["partner", "list"], True),
    (["partner", "show", FR], True),
    (["agreement", "list"], True),
    (["agreement", "show", SERIES], False),
    (["config", "check"], False),
    (["audit", "checkpoint"], False),
    (["audit", "verify"], False),
    (["audit", "export"], False),
]


async def test_no_command_and_no_file_shows_content(line: Line) -> None:
    """Commands for people and for machines, and every file of the home as it lies on the disk, its write-ahead log and
    an export included: no canary in any spelling."""
    found = canaries(await story(line))
    tried = 0
    for words, officer in COMMANDS:
        acting = ("--as", OPERATOR, "--officer-key", line.folder / f"{OPERATOR}.pem") if officer else ()
        out = ("--out", line.folder / "export") if words == ["audit", "export"] else ()
        for form in ((), ("--json",)):
            code, said, complained = await line.said(*words, *acting, *out, "--home", line.home, *form)
            tried += code == 0
            caught(found, " ".join(words), said.encode() + complained.encode())
    assert tried >= len(COMMANDS)
    files = [path for path in line.folder.rglob("*") if path.is_file()]
    assert {f"{BE}.sqlite", f"{BE}.sqlite-wal"} <= {path.name for path in files}
    for path in files:
        caught(found, path.name, path.read_bytes())


async def test_no_figure_and_no_log_shows_content(line: Line, tmp_path: Path) -> None:
    """The operations listener, and every line that the whole story logs: no canary; a failing call logs no more."""
    err = io.StringIO()
    with redirect_stderr(err):
        configure_logging()
        found = canaries(await story(line))
        with pytest.raises(GatewayError):
            await line.world.be.call("be-requester", "records/show", calls.Named("zzcanary reason"))
        said = b""
        async with TestClient(TestServer(Operations(line.world.be.gateway).application())) as client:
            for path in ("/livez", "/readyz", "/metrics"):
                answer = await client.get(path)
                said += await answer.read()
    assert b"ecluse_received_messages" in said
    caught(found, "operations", said)
    caught(found, "log", err.getvalue().encode())


async def test_the_partner_side_too(line: Line) -> None:
    """The home that received it: content is in no file of its own either."""
    found = canaries(await story(line))
    assert len(line.world.fr.rows(InboxRow)) == 2
    for path in line.folder.glob(f"{FR}.sqlite*"):
        caught(found, path.name, path.read_bytes())


def test_a_world_is_enough(world: World) -> None:
    """The operator of these tests is nothing else besides."""
    assert world.be.gateway.directory.officers[OPERATOR].roles == ("operator",)

"""Reviewers of a body: mandates that begin, end and reach so far; reads that the house cannot read."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from gateway.errors import Conflict, RoleMissing
from gateway.flow.change import canonical, narrows
from gateway.model.officer import Mandate, Officer
from gateway.model.oversight import OversightKey
from gateway.model.rows import DirectoryRow, EntryRow
from gateway.service import calls
from gateway.service.calls.evidence import MakePack
from gateway.service.mandates import SCOPED, SEALED, UNSEALED, preamble, require_mandate
from gateway.wire import hpke
from gateway.wire.strict import b64url
from tests.service.commandline import Line
from tests.service.test_reads import reads
from tests.service.world import CLEAN, FR, KIND, NOW, Side, World

REVIEWER = "be-only-reviewer"
SEED = bytes(range(32))
KEY = OversightKey(1, hpke.SUITE, b64url(hpke.kem_public_bytes(SEED)), 2, ("member one", "member two"))
WEEK = timedelta(days=7)
WHOLE = Mandate("comite-r", ("*",), ("*",), NOW - WEEK, NOW + WEEK)


async def mandated(side: Side, mandate: Mandate | None) -> Officer:
    """Two persons give the reviewer this mandate."""
    before = side.gateway.directory.officers[REVIEWER]
    after = msgspec.structs.replace(before, mandate=mandate, version=before.version + 1)
    view = await side.change("officer", REVIEWER, canonical(after))
    assert view.state == "applied"
    return side.gateway.directory.officers[REVIEWER]


async def ask(side: Side, operation: str, params: calls.Params) -> Any:
    """As the control socket asks: the mandate first."""
    officer = side.gateway.directory.officers[REVIEWER]
    require_mandate(officer, operation, side.world.clock.now())
    return await side.call(REVIEWER, operation, params)


def opened(detail: dict[str, Any]) -> dict[str, Any]:
    plain = hpke.decrypt(preamble(detail["body"]), detail["sealed"], hpke.kem_private(SEED))
    found: dict[str, Any] = json.loads(plain)
    return found


async def test_what_a_body_reads_is_sealed_to_it(world: World) -> None:
    """The house sees that its reviewer looked, and when; at what and why, the body's key alone opens."""
    be = world.be
    (view,) = await be.disclose(CLEAN[0])
    await be.send()
    await be.change("oversight", "comite-r", canonical(KEY))
    await mandated(be, WHOLE)
    await ask(be, "releases/show", calls.Named(view.release, "complaint 12"))
    actor, detail = (await reads(be))[-1]
    assert actor == REVIEWER
    assert set(detail) == {"what", "body", "sealed"}
    assert (detail["what"], detail["body"]) == ("sealed", "comite-r")
    assert opened(detail) == {"subject": view.release, "what": "release", "why": "complaint 12"}
    entry = json.loads(be.rows(EntryRow, origin=be.gateway.ledger.master)[-1].entry)
    assert (entry["event"], entry["subject"]) == ("read", "")
    pack = MakePack((view.release,), "comite-r", "an invented letter")
    assert (await ask(be, "evidence/pack", pack)).files
    _, detail = (await reads(be))[-1]
    assert opened(detail)["what"].startswith("evidence pack for comite-r")


async def test_without_the_bodys_key_nothing_is_shown(world: World) -> None:
    """What cannot be sealed is not read, and no entry says what was asked for."""
    be = world.be
    (view,) = await be.disclose(CLEAN[0])
    await mandated(be, WHOLE)
    before = len(await reads(be))
    with pytest.raises(Conflict, match="no key of your body"):
        await ask(be, "releases/show", calls.Named(view.release))
    assert len(await reads(be)) == before


async def test_the_key_of_a_body_is_not_the_key_of_packs(world: World) -> None:
    """What is withheld in packs goes to the oversight key in force, and to no body's."""
    be = world.be
    (view,) = await be.disclose("BDC-000001")
    await be.send()
    await be.change("oversight", "comite-r", canonical(KEY))
    pack = await be.call(REVIEWER, "evidence/pack", MakePack((view.release,), "coc", "an invented letter"))
    assert pack.not_covered == ("withheld",)


@pytest.mark.parametrize("body", ["internal", None])
async def test_the_houses_own_reviewer_reads_in_the_open(world: World, body: Any) -> None:
    """Internal, or without a body as before: the detail is the house's."""
    be = world.be
    (view,) = await be.disclose(CLEAN[0])
    if body:
        await mandated(be, msgspec.structs.replace(WHOLE, body=body))
    await ask(be, "releases/show", calls.Named(view.release))
    _, detail = (await reads(be))[-1]
    assert detail == {"what": "release"}


@pytest.mark.parametrize(
    ("since", "until"), [(NOW + WEEK, NOW + 2 * WEEK), (NOW - 2 * WEEK, NOW - WEEK), (NOW - WEEK, NOW)]
)
async def test_before_and_after_its_time_a_mandate_is_none(world: World, since: Any, until: Any) -> None:
    """Refused with its two days, whatever is asked for."""
    be = world.be
    officer = await mandated(be, msgspec.structs.replace(WHOLE, since=since, until=until))
    for operation in be.desk.operations():
        with pytest.raises(RoleMissing, match="not begun, or is over") as refused:
            require_mandate(officer, operation, NOW)
        assert set(refused.value.diagnostic) == {"since", "until"}


@pytest.mark.parametrize(
    ("partners", "kinds"),
    [(("deu.police-demo",), ("*",)), (("*",), ("sanctions-entry",)), (("deu.x",), ("x",))],
)
async def test_outside_its_scope_nothing_is_shown(
    world: World, partners: tuple[str, ...], kinds: tuple[str, ...]
) -> None:
    """A release toward another partner, or of another kind, is refused as that, in every operation that divides; all
    others are closed to it."""
    be = world.be
    (view,) = await be.disclose(CLEAN[0])
    await be.send()
    await be.change("oversight", "comite-r", canonical(KEY))
    await mandated(be, msgspec.structs.replace(WHOLE, partners=partners, kinds=kinds))
    entry = next(
        row.position
        for row in be.rows(EntryRow, origin=be.gateway.ledger.master)
        if b'"event":"release"' in row.entry
    )
    before = len(await reads(be))
    for operation, params in (
        ("releases/show", calls.Named(view.release)),
        ("evidence/pack", MakePack((view.release,), "comite-r", "an invented letter")),
        ("policy/decided", calls.ExplainEntry(entry)),
    ):
        with pytest.raises(RoleMissing, match="outside your mandate"):
            await ask(be, operation, params)
    assert len(await reads(be)) == before
    officer = be.gateway.directory.officers[REVIEWER]
    for operation in set(be.desk.operations()) - SCOPED - UNSEALED:
        with pytest.raises(RoleMissing, match="not divided"):
            require_mandate(officer, operation, NOW)


async def test_within_its_scope_it_reads(world: World) -> None:
    """This partner and this kind, named with or without its version."""
    be = world.be
    (view,) = await be.disclose(CLEAN[0])
    await be.send()
    await be.change("oversight", "comite-r", canonical(KEY))
    for kind in (KIND, KIND.partition("/")[0]):
        await mandated(be, msgspec.structs.replace(WHOLE, partners=(FR,), kinds=(kind,)))
        assert await ask(be, "releases/show", calls.Named(view.release))


async def test_what_cannot_be_sealed_is_refused_to_a_body(world: World) -> None:
    """A preview keeps its decision, a search its question: the body asks for a pack instead. Internal reviewers may."""
    be = world.be
    officer = await mandated(be, WHOLE)
    assert set(be.desk.operations()) >= UNSEALED
    assert set(be.desk.operations()) >= SCOPED
    for operation in UNSEALED:
        with pytest.raises(RoleMissing, match="sealed to your body"):
            require_mandate(officer, operation, NOW)
    internal = await mandated(be, msgspec.structs.replace(WHOLE, body="internal"))
    for operation in UNSEALED:
        require_mandate(internal, operation, NOW)


async def test_a_mandate_takes_two_persons_either_way(world: World) -> None:
    """Given, widened, narrowed or taken away: another body, another day, another partner is never one person's word;
    suspending its holder is."""
    before = world.be.gateway.directory.officers[REVIEWER]
    held = msgspec.structs.replace(before, mandate=WHOLE)
    other = msgspec.structs.replace(WHOLE, until=NOW)
    for old, new in ((before, held), (held, before), (held, msgspec.structs.replace(held, mandate=other))):
        after = msgspec.structs.replace(new, version=old.version + 1)
        assert not narrows("officer", old, canonical(after))
    stopped = msgspec.structs.replace(held, suspended=True, version=held.version + 1)
    assert narrows("officer", held, canonical(stopped))


@pytest.mark.parametrize(
    "changes",
    [
        {"partners": []}, {"kinds": []}, {"until": "2026-01-01T00:00:00Z"}, {"body": "somebody"}, {"more": 1},
    ],
)  # fmt: skip
async def test_a_mandate_that_is_none(world: World, changes: dict[str, Any]) -> None:
    """Empty means no: a mandate over nothing, over no time, or of no body is not a document."""
    plain = {**msgspec.to_builtins(WHOLE), **changes}
    stored = json.loads(world.be.rows(DirectoryRow, kind="officer", id=REVIEWER)[0].document)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**stored, "mandate": plain}, Officer, strict=False)


def test_a_mandate_is_a_reviewers_alone() -> None:
    """Who acts in the house reviews it for no body."""
    with pytest.raises(ValueError, match="no other role"):
        Officer("x", "x", "x", ("reviewer", "approver"), (), mandate=WHOLE)
    assert {"comite-p", "comite-r", "coc", "dpo"} == SEALED


async def test_at_the_command_line(line: Line) -> None:
    """Given by two, at the real socket: what is not divided is refused with why; withdrawn by two, it is as before."""
    mandate = ("officer", "mandate", REVIEWER, "--body", "coc", "--partner", FR, "--kind", KIND)
    code, proposed = await line.run(
        "be-requester", *mandate, "--since", "2026-01-01T00:00:00Z", "--until", "2030-01-01T00:00:00Z"
    )
    assert (code, proposed["state"]) == (0, "proposed")
    assert (await line.run("be-approver", "change", "approve", proposed["id"], "--yes"))[0] == 0
    code, said = await line.run(REVIEWER, "record", "list")
    assert (code, said["error"]["code"]) == (2, "role-missing")
    assert "not divided" in said["error"]["detail"]
    code, proposed = await line.run("be-requester", "officer", "mandate", REVIEWER, "--withdraw")
    assert (await line.run("be-approver", "change", "approve", proposed["id"], "--yes"))[0] == 0
    assert (await line.run(REVIEWER, "record", "list"))[0] == 0
    for words, field in (
        (("--since", "2026-01-01T00:00:00Z", "--until", "2025-01-01T00:00:00Z"), "until"),
        (("--since", "yesterday", "--until", "2025-01-01T00:00:00Z"), "since"),
    ):
        code, said = await line.run("be-requester", *mandate, *words)
        assert (code, said["error"]["diagnostic"]["field"]) == (2, field)
    assert (await line.run("be-requester", *mandate))[0] == 2

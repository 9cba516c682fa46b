"""Findings: signed by whoever says them, answered by somebody else, closed by the body that found, each an entry."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.audit.entry import parse_master_entry
from gateway.errors import Conflict, GatewayError, NotFound, RequestInvalid, RoleMissing
from gateway.flow.change import canonical, digest
from gateway.model.case_rows import FindingRow
from gateway.model.finding import FindingStep
from gateway.model.rows import EntryRow, KeyRow, SubjectRow
from gateway.service import calls
from gateway.service.calls.findings import FindingItem, FindingView, SignedStep
from gateway.wire.endorse import verify_endorsement
from gateway.wire.strict import b64url
from tests.service.commandline import Line
from tests.service.test_mandates import WHOLE, mandated
from tests.service.test_reads import reads
from tests.service.world import BE, CLEAN, Side, World

REVIEWER, ANSWERER = "be-only-reviewer", "be-approver"
NEW = FindingStep(
    1, BE, "5f0c7f0e-6a0e-4a53-9d57-000000000001", "find", "entry 0", "major", "zzcanary an invented slip", "",
    REVIEWER, b64url(bytes(32)),
)  # fmt: skip
NAMES = {"find": "new", "answer": "answer", "close": "close"}


async def say(side: Side, step: FindingStep, *, act: Any = None, signer: str = "") -> FindingItem:
    raw = canonical(step)
    token = side.endorse(signer or step.by, act or step.step, [raw])
    item: FindingItem = await side.call(step.by, f"findings/{NAMES[step.step]}", SignedStep(raw, token))
    return item


def after(item: FindingItem, step: Any, by: str, **changes: Any) -> FindingStep:
    following = msgspec.structs.replace(
        NEW, step=step, by=by, before=item.last_sha256, text=f"zzcanary {step}", about=item.about
    )
    return msgspec.structs.replace(following, **changes)


async def test_found_answered_closed(world: World) -> None:
    """Three steps, three signatures, three entries; the text stands in none of them in the clear."""
    be = world.be
    found = await say(be, NEW)
    assert (found.state, found.severity, found.last_sha256) == ("open", "major", digest(canonical(NEW)))
    answered = await say(be, after(found, "answer", ANSWERER))
    closed = await say(be, after(answered, "close", REVIEWER))
    assert (answered.state, closed.state) == ("answered", "closed")
    entries = [parse_master_entry(row.entry) for row in be.rows(EntryRow, origin=be.gateway.ledger.master)]
    said = [(one.actor, one.subject) for one in entries if one.event == "finding"]
    assert said == [(REVIEWER, NEW.finding), (ANSWERER, NEW.finding), (REVIEWER, NEW.finding)]
    view: FindingView = await be.call(ANSWERER, "findings/show", calls.Named(NEW.finding))
    for one in view.steps:
        verify_endorsement(
            one.endorsement, be.gateway.directory.officers, act=one.step, statement=one.document,
            now=world.clock.now(),
        )  # fmt: skip
    assert (await reads(be))[-1][1]["what"] == "finding"
    assert not any(b"zzcanary" in row.entry for row in be.rows(EntryRow))
    listed = await be.call(REVIEWER, "findings/list", calls.Page(state="closed"))
    assert [one.id for one in listed] == [NEW.finding]
    assert await be.call(REVIEWER, "findings/list", calls.Page(state="open")) == []


async def test_the_same_step_again_is_the_same(world: World) -> None:
    """Repeated because its answer was lost: no second step, no second entry."""
    await say(world.be, NEW)
    before = world.be.log_size(world.be.gateway.ledger.master)
    assert (await say(world.be, NEW)).state == "open"
    assert world.be.log_size(world.be.gateway.ledger.master) == before


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"about": "entry 999999"}, NotFound),
        ({"about": "no such release"}, NotFound),
        ({"home": "fra.police-demo"}, RequestInvalid),
        ({"text": " "}, RequestInvalid),
        ({"before": "0" * 64}, Conflict),
    ],
)
async def test_what_is_no_finding(world: World, changes: dict[str, Any], error: type[GatewayError]) -> None:
    """About nothing, for another home, of no words, after nothing."""
    with pytest.raises(error):
        await say(world.be, msgspec.structs.replace(NEW, **changes))


async def test_nobody_speaks_for_another(world: World) -> None:
    """Signed by somebody else, or as another act: refused."""
    with pytest.raises(RoleMissing):
        await say(world.be, NEW, signer=ANSWERER)
    with pytest.raises(RoleMissing):
        await say(world.be, NEW, act="close")


async def test_its_steps_have_an_order(world: World) -> None:
    """Not closed before it is answered, not answered twice, nothing after its end, and only on the newest step; what it
    is about and how grave stay."""
    be = world.be
    found = await say(be, NEW)
    with pytest.raises(Conflict):
        await say(be, after(found, "close", REVIEWER))
    with pytest.raises(Conflict):
        await say(be, after(found, "answer", ANSWERER, severity="remark"))
    answered = await say(be, after(found, "answer", ANSWERER))
    with pytest.raises(Conflict):
        await say(be, after(found, "answer", ANSWERER, text="another"))
    closed = await say(be, after(answered, "close", REVIEWER))
    with pytest.raises(Conflict):
        await say(be, after(closed, "answer", ANSWERER))


async def test_two_persons_and_one_body(world: World) -> None:
    """Who found it does not answer it; a reviewer of another body does not close it."""
    be = world.be
    mine = msgspec.structs.replace(NEW, by=ANSWERER)
    found = await say(be, mine)
    with pytest.raises(RoleMissing):
        await say(be, after(found, "answer", ANSWERER))
    answered = await say(be, after(found, "answer", "be-only-security-officer"))
    await mandated(be, WHOLE)
    with pytest.raises(RoleMissing):
        await say(be, after(answered, "close", REVIEWER))
    assert (await say(be, after(answered, "close", ANSWERER))).state == "closed"


async def test_within_the_mandate(world: World) -> None:
    """About a release toward a partner outside it, or an entry of the log as a whole: refused."""
    be = world.be
    (view,) = await be.disclose(CLEAN[0])
    await mandated(be, msgspec.structs.replace(WHOLE, partners=("deu.police-demo",)))
    for about in (view.release, "entry 0"):
        with pytest.raises(RoleMissing, match="outside your mandate"):
            await say(be, msgspec.structs.replace(NEW, about=about))


async def test_its_text_goes_with_the_subject(world: World) -> None:
    """The key of a finding about a release is among those of whom the release is about."""
    be = world.be
    (view,) = await be.disclose(CLEAN[0])
    await say(be, msgspec.structs.replace(NEW, about=view.release))
    (row,) = be.rows(FindingRow)
    assert [one.subject for one in be.rows(SubjectRow, key=row.key)] == [be.release(view).subject]
    await be.store.write(lambda tx: [tx.delete(KeyRow, {"id": row.id}) for row in tx.select(KeyRow)])
    shown: FindingView = await be.call(REVIEWER, "findings/show", calls.Named(NEW.finding))
    assert shown.steps == ()


async def test_at_the_command_line(line: Line) -> None:
    """New, list, answer, show, close: 0; a severity that is none: 2, by its field."""
    words = ("audit", "finding", "new", "entry 0", "--text", "invented")
    code, said = await line.run(REVIEWER, *words, "--severity", "minor")
    assert (code, said["state"]) == (0, "open")
    code, answered = await line.run(
        "be-approver", "audit", "finding", "answer", said["id"], "--text", "invented"
    )
    assert (code, answered["state"]) == (0, "answered")
    code, shown = await line.run("be-approver", "audit", "finding", "show", said["id"], "--why", "invented")
    assert (code, len(shown["steps"])) == (0, 2)
    assert (await line.run(REVIEWER, "audit", "finding", "close", said["id"], "--text", "done"))[0] == 0
    code, listed = await line.run(REVIEWER, "audit", "finding", "list")
    assert (code, listed["findings"][0]["state"]) == (0, "closed")
    code, said = await line.run(REVIEWER, *words, "--severity", "grave")
    assert (code, said["error"]["diagnostic"]["field"]) == (2, "severity")

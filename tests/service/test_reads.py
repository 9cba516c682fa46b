"""Reads are entries (Directive (EU) 2016/680 art. 25; law 29.3.2024 art. 8): a closed table over every operation.

An operation either shows content, and then there is an entry before anything is shown, or says here why it shows none.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import msgspec
import pytest

import gateway.service
from gateway.audit.entry import parse_master_entry
from gateway.model.rows import EntryBodyRow, EntryRow, InboxRow, KeyRow
from gateway.service import calls
from gateway.service.calls.evidence import MakePack
from gateway.service.calls.finding import FindPersons
from gateway.service.calls.notices import ListNotices
from gateway.service.calls.years import OfYear, TallyYear
from gateway.service.ledger import Detail
from tests.service.asking import ask
from tests.service.test_grounds import CONSENT, confirmed
from tests.service.test_oral import say
from tests.service.world import BASIS, CLEAN, FR, NOW, PURPOSE, Side, World

REVIEWER = "be-only-reviewer"

#: Shows content, and writes a read.
READ = "an entry of a read"
#: Shows what it freezes, and the act's own entry says by whom.
ACT = "the entry of the act"
#: Ids, states, codes, counts, organisations: nothing that says something of a person.
NONE = "no content"
#: What two persons put in force, or propose to: terms, rules, officers.
HOUSE = "documents of the house"

SHOWS: dict[str, str] = {
    "records/show": READ, "records/matches": READ, "records/complete": READ, "releases/preview": READ,
    "releases/show": READ, "cases/show": READ, "inbox/show": READ, "requests/show": READ, "notices/list": READ,
    "consents/show": READ, "grounds/show": READ, "subjects/show": READ, "oral/show": READ, "policy/decided": READ,
    "policy/replay": READ, "persons/find": READ, "evidence/pack": READ, "audit/tally": READ, "audit/stats": READ,
    "releases/prepare": ACT, "cases/prepare": ACT, "requests/answer": ACT, "requests/close": ACT,
    "recalls/prepare": ACT, "corrections/prepare": ACT, "notices/prepare": ACT, "consents/answer": ACT,
    "consents/accept": ACT, "grounds/record": ACT, "oral/record": ACT, "agreements/send": ACT,
    "agreements/revoke": ACT, "records/import": ACT,
    "status": NONE, "records/list": NONE, "records/purge": NONE, "records/remove": NONE, "releases/endorse": NONE,
    "releases/approve": NONE, "releases/reject": NONE, "releases/cancel": NONE, "recalls/endorse": NONE,
    "corrections/endorse": NONE, "requests/list": NONE, "requests/endorse": NONE, "queue/list": NONE,
    "queue/hold": NONE, "queue/resend": NONE, "queue/skip": NONE, "inbox/list": NONE, "inbox/recall": NONE,
    "inbox/corrected": NONE, "inbox/quarantine": NONE, "messages/trace": NONE, "emergencies/list": NONE,
    "emergencies/confirm": NONE, "emergencies/review": NONE, "emergencies/informed": NONE, "embargoes/add": NONE,
    "embargoes/list": NONE, "consents/list": NONE, "consents/endorse": NONE, "consents/approve": NONE,
    "grounds/confirm": NONE, "grounds/withdraw": NONE, "grounds/list": NONE, "subjects/link": NONE,
    "subjects/split": NONE, "subjects/confirm": NONE, "subjects/reject": NONE, "subjects/list": NONE,
    "holds/add": NONE, "holds/lift": NONE, "holds/list": NONE, "erasures/propose": NONE, "erasures/confirm": NONE,
    "erasures/reject": NONE, "erasures/show": NONE, "erasures/list": NONE, "oral/confirm": NONE, "oral/list": NONE,
    "strikes/propose": NONE, "strikes/confirm": NONE, "audit/books": NONE,
    "findings/new": NONE, "findings/answer": NONE, "findings/close": NONE, "findings/list": NONE, "findings/show": READ,
    "audit/logs": NONE,
    "reconcile": NONE,
    "agreements/endorse": NONE, "agreements/approve": NONE,
    "officers/list": HOUSE, "partners/list": HOUSE, "agreements/list": HOUSE, "agreements/offers": HOUSE,
    "agreements/offered": HOUSE, "agreements/message": HOUSE, "changes/draft": HOUSE, "changes/propose": HOUSE,
    "changes/approve": HOUSE, "changes/reject": HOUSE, "changes/list": HOUSE, "changes/show": HOUSE,
    "changes/before": HOUSE, "policy/explain": HOUSE, "policy/show": HOUSE,
}  # fmt: skip


async def test_every_operation_has_its_row(world: World) -> None:
    """A new one fails here until somebody says what it shows."""
    assert set(SHOWS) == set(world.be.desk.operations())


async def story(world: World) -> dict[str, calls.Params]:
    """One of everything that can be looked at, and the call that looks."""
    be = world.be
    request = await ask(world)
    (view,) = await be.disclose(CLEAN[0])
    await be.send()
    ground = await confirmed(be, CONSENT)
    oral = await say(be)
    (inbox,) = be.rows(InboxRow)
    master = be.gateway.ledger.master
    release = next(row for row in be.rows(EntryRow, origin=master) if b'"event":"release"' in row.entry)
    why = "synthetic file 7"
    disclose = calls.Disclose(CLEAN[1], (FR,), PURPOSE, BASIS, "synthetic case")
    return {
        "records/show": calls.Named(CLEAN[0], why),
        "releases/preview": disclose,
        "releases/show": calls.Named(view.release, why),
        "inbox/show": calls.Named(inbox.message_id, why),
        "requests/show": calls.Named(request, why),
        "notices/list": ListNotices(),
        "grounds/show": calls.Named(ground.item.id, why),
        "oral/show": calls.Named(oral.item.id, why),
        "policy/decided": calls.ExplainEntry(release.position),
        "policy/replay": calls.Replay(NOW),
        "persons/find": FindPersons(names=("Anna Kowalska",), justification=why, authority="DOS-1"),
        "evidence/pack": MakePack((view.release,), "coc", "an invented letter"),
        "audit/tally": TallyYear(2026),
        "audit/stats": OfYear(2026),
    }


#: Tried where their stories are: `test_cases`, `test_lists`, `test_consents`, `test_subjects`.
ELSEWHERE = {
    "cases/show",
    "records/matches",
    "records/complete",
    "consents/show",
    "subjects/show",
    "findings/show",
}


async def reads(side: Side) -> list[tuple[str, Any]]:
    """Actor and detail of every read, in order."""
    master = side.gateway.ledger.master
    await side.vault.unlock(side.rows(KeyRow))
    found = []
    for row in side.rows(EntryRow, origin=master):
        entry = parse_master_entry(row.entry)
        if entry.event == "read":
            (link,) = side.rows(EntryBodyRow, origin=master, position=row.position)
            detail = await side.store.read(lambda tx, body=link.body: side.vault.open(tx, body, Detail))  # type: ignore[misc]
            found.append((entry.actor, msgspec.msgpack.decode(detail.detail)))
    return found


async def test_what_shows_content_writes_a_read(world: World) -> None:
    """Who and when stand in the entry, of what in its detail, and why where it was said."""
    looks = await story(world)
    assert {name for name, shows in SHOWS.items() if shows == READ} == {*looks} | ELSEWHERE
    for name, params in looks.items():
        before = len(await reads(world.be))
        await world.be.call(REVIEWER, name, params)
        after = await reads(world.be)
        assert len(after) == before + 1, name
        actor, detail = after[-1]
        assert actor == REVIEWER
        assert detail.get("what") or detail.get("decision"), name
        if isinstance(params, calls.Named):
            assert detail["why"] == "synthetic file 7", name


@pytest.mark.parametrize(
    "name", [name for name, shows in SHOWS.items() if shows == NONE and name.endswith("/list")]
)
async def test_a_list_names_no_value(world: World, name: str) -> None:
    """What is said to show no content shows none of the records' values."""
    await story(world)
    side = world.be
    role = next(iter(side.desk.operations()[name].roles))
    params = side.desk.operations()[name].params
    said = msgspec.json.encode(await side.call(f"be-only-{role}", name, params())).decode()
    assert "Zzemo" not in said
    assert not any(entity in said for entity in CLEAN)


def test_reads_are_written_in_one_place() -> None:
    """No operation writes a read beside `record_read`; a preview alone keeps its decision in it."""
    folder = Path(gateway.service.__file__).parent

    def writes(node: ast.AST) -> bool:
        return (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "record"
            and any(isinstance(one, ast.Constant) and one.value == "read" for one in node.args)
        )

    found = {
        path.name for path in folder.rglob("*.py") if any(map(writes, ast.walk(ast.parse(path.read_text()))))
    }
    assert found == {"operation.py"}

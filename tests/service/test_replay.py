"""Replay: decisions of the log made again under other documents, told in ids, rules and counts alone."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from adapters.records.synthetic import extract
from gateway.errors import NotFound, PolicyInvalid, RequestInvalid, RoleMissing
from gateway.flow.change import canonical
from gateway.flow.difference import differences
from gateway.flow.replay import Replayed
from gateway.model.rows import EntryRow, KeyRow, RecordRow, ReleaseRow, SubjectRow
from gateway.policy.context import Settings
from gateway.service import calls
from gateway.service.provision import shipped_policy
from tests.service.commandline import Line
from tests.service.founding import sign_agreement, terms
from tests.service.world import BASIS, CLEAN, FR, KIND, PERSONS, PURPOSE, SERIES, Side, World

REVIEWER = "be-only-reviewer"


@pytest_asyncio.fixture
async def played(world: World) -> AsyncIterator[Played]:
    yield await play(world)


class Played(msgspec.Struct, frozen=True):
    """A world in which two releases were prepared and one was denied, for want of the purpose."""

    world: World
    first: str
    second: str
    denied: str

    @property
    def be(self) -> Side:
        return self.world.be


async def play(world: World) -> Played:
    be = world.be
    first, second = [(await be.prepare(record)).release for record in CLEAN[:2]]
    params = calls.Disclose(CLEAN[2], (FR,), "no such purpose", BASIS, "synthetic case")
    (view,) = await be.call("be-requester", "releases/prepare", params)
    assert (view.effect, view.release) == ("DENY", "")
    return Played(world, first, second, f"entry {decisions(be)[-1]}")


def decisions(side: Side) -> list[int]:
    """Positions of the denials in the master log."""
    rows = side.rows(EntryRow, origin=side.gateway.ledger.master)
    return [row.position for row in rows if json.loads(row.entry)["event"] == "decision"]


async def replay(side: Side, **documents: Any) -> Replayed:
    since = documents.pop("since", side.world.clock.now() - timedelta(days=1))
    found, after = Replayed(), -1
    while True:
        asked = calls.Replay(since, after, **documents)
        page: calls.ReplayPage = await side.call(REVIEWER, "policy/replay", asked)
        found, after = found + page.replayed, page.next
        if after < 0:
            return found


def policy(change: Any) -> bytes:
    document = json.loads(shipped_policy())
    document["rules"] = [changed for rule in document["rules"] if (changed := change(rule)) is not None]
    return json.dumps(document).encode()


def without(name: str) -> bytes:
    return policy(lambda rule: None if rule["id"] == name else rule)


async def test_nothing_changes_under_the_documents_in_force(played: Played) -> None:
    """Each decision, release and denial, comes out as it was, down to each reason and field; looking is an entry."""
    before = len(played.be.rows(EntryRow))
    assert await replay(played.be) == Replayed(cases=3)
    last = json.loads(played.be.rows(EntryRow)[-1].entry)
    assert len(played.be.rows(EntryRow)) == before + 1
    assert (last["event"], last["actor"]) == ("read", REVIEWER)


async def test_a_stricter_policy_denies_what_was_permitted(played: Played) -> None:
    """Two releases would be denied, by the rule that changed; the denial stays one."""
    strict = policy(lambda rule: {**rule, "condition": ["const", True]} if rule["id"] == "embargo" else rule)
    found = await replay(played.be, policy=strict)
    assert (found.cases, found.gone, found.unreproduced) == (3, 0, ())
    permitted = [one for one in found.differences if one.before == "PERMIT"]
    assert {one.id for one in permitted} == {played.first, played.second}
    for one in permitted:
        assert (one.after, one.partner, one.fields_added) == ("DENY", FR, 0)
        assert one.fields_removed > 0
        assert "embargo" in one.rules_added


async def test_a_weaker_policy_permits_what_was_denied(played: Played) -> None:
    """The denial would be a release, and nothing else changes: the rule that is gone is named."""
    found = await replay(played.be, policy=without("agreement.covers"))
    (one,) = found.differences
    assert (one.id, one.before, one.after, one.fields_removed) == (played.denied, "DENY", "PERMIT", 0)
    assert one.fields_added > 0
    assert "agreement.covers" in one.rules_removed


async def test_fields_that_would_stay_are_counted(played: Played) -> None:
    """A policy that withholds one member more: permits stay permits, one field less each, told by its rule alone."""
    stays = {
        "id": "sex.stays",
        "version": 1,
        "scope": "field",
        "source_kind": "house",
        "article": "synthetic",
        "applies": ["eq", ["fact", "field.pattern"], ["const", "/sex"]],
        "condition": ["const", True],
        "effect": "DENY",
        "message_id": "class.X",
    }
    document = json.loads(shipped_policy())
    found = await replay(
        played.be, policy=json.dumps({**document, "rules": [*document["rules"], stays]}).encode()
    )
    assert {
        (one.id, one.before, one.after, one.fields_added, one.fields_removed) for one in found.differences
    } == {(release, "PERMIT", "PERMIT", 0, 1) for release in (played.first, played.second)}
    assert all(one.rules_added == ("sex.stays",) for one in found.differences)
    assert b"/sex" not in msgspec.json.encode(found)


async def test_thresholds_and_terms_are_candidates_too(played: Played) -> None:
    """Empty thresholds deny everything; terms that cover the purpose permit the denial, though they begin tomorrow
    and nobody has signed them."""
    found = await replay(played.be, settings=canonical(Settings()))
    assert {one.id for one in found.differences if one.after == "DENY" and one.before == "PERMIT"} == {
        played.first,
        played.second,
    }
    tomorrow = played.world.clock.now() + timedelta(days=1)
    wider = terms(version=2, not_before=tomorrow, purposes=("no such purpose",))
    found = await replay(played.be, agreement=canonical(wider))
    effects = {one.id: (one.before, one.after) for one in found.differences}
    assert effects == {
        played.first: ("PERMIT", "DENY"),
        played.second: ("PERMIT", "DENY"),
        played.denied: ("DENY", "PERMIT"),
    }
    signed = sign_agreement(wider, played.world.founded.agreement_keys)
    assert await replay(played.be, agreement=canonical(signed)) == found


async def test_it_is_deterministic_and_knows_its_period(played: Played) -> None:
    """The same question gets the same answer, after a restart too; what was decided before the day is not asked."""
    once = await replay(played.be, policy=without("agreement.covers"))
    played.world.clock.advance(seconds=7200)
    later = await play(played.world)
    await later.be.boot()
    since = later.world.clock.now() - timedelta(hours=3)
    both = await replay(later.be, policy=without("agreement.covers"), since=since)
    assert both.differences[:1] == once.differences
    assert {one.id for one in both.differences} == {played.denied, later.denied}
    since = later.world.clock.now() - timedelta(hours=1)
    only = await replay(later.be, policy=without("agreement.covers"), since=since)
    assert {one.id for one in only.differences} == {later.denied}


async def test_an_old_policy_still_decides_its_own(played: Played) -> None:
    """After another policy came into force, what was decided under the old one is reproduced under the old one, and
    told as a difference under the new."""
    await played.be.change("policy", "release", without("agreement.covers"))
    found = await replay(played.be)
    assert (found.cases, found.unreproduced) == (3, ())
    assert {one.id for one in found.differences} == {played.denied}
    assert await replay(played.be, policy=shipped_policy()) == Replayed(cases=3)


async def test_what_was_erased_is_gone(played: Played) -> None:
    """Without the record's key nothing is decided again, and the count says so; with the subject's keys destroyed the
    context of the denial is gone too: it is that person's."""
    (record,) = (row for row in played.be.rows(RecordRow) if row.handle == handle_of(played))
    keys = [row.key for row in played.be.rows(SubjectRow, subject=record.subject)]
    assert len(keys) == 2
    await played.be.store.write(lambda tx: tx.delete(KeyRow, {"id": tuple(keys)}) and None)
    found = await replay(played.be)
    assert (found.cases, found.gone, found.differences) == (3, 1, ())
    assert found.causes == {"detail-erased": 1}
    releases = {row.key for row in played.be.rows(ReleaseRow)}
    await played.be.store.write(lambda tx: tx.delete(KeyRow, {"id": tuple(releases)}) and None)
    assert (await replay(played.be)).causes == {"detail-erased": 1, "record-erased": 2}


async def test_what_ended_since_is_told_and_decided_all_the_same(played: Played) -> None:
    """Without an agreement, and then with a stopped partner: each decision is made again over what was then."""
    be = played.be
    await be.change("agreement-revoke", SERIES, canonical(played.world.founded.agreement))
    assert await replay(be) == Replayed(cases=3, ended={"agreement-ended": 3})
    partner = be.gateway.directory.partners[FR]
    await be.change("partner", FR, canonical(msgspec.structs.replace(partner, stopped=True, version=2)))
    assert await replay(be) == Replayed(cases=3, ended={"partner-left": 3})


def handle_of(played: Played) -> str:
    """The record of the denial."""
    rows = played.be.rows(EntryRow, origin=played.be.gateway.ledger.master)
    return str(json.loads(rows[decisions(played.be)[-1]].entry)["subject"])


async def test_a_preview_is_no_decision(world: World) -> None:
    """It is an entry of its own kind, and never replayed."""
    params = calls.Disclose(CLEAN[0], (FR,), PURPOSE, BASIS)
    await world.be.call("be-requester", "releases/preview", params)
    assert json.loads(world.be.rows(EntryRow)[-1].entry)["event"] == "read"
    assert await replay(world.be) == Replayed()


async def test_nothing_of_a_record_comes_out(played: Played) -> None:
    """No pointer, name or handle: the answer under a policy that changes everything holds ids, rules and numbers."""
    found = await replay(played.be, policy=policy(lambda rule: {**rule, "condition": ["const", True]}))
    assert found.differences
    said = msgspec.json.encode(found).decode()
    assert '"/' not in said
    assert "Zz" not in said
    for row in played.be.rows(RecordRow):
        assert row.handle not in said
        assert row.subject not in said


@pytest.mark.parametrize(
    ("documents", "fault"),
    [
        ({"policy": b"{}"}, PolicyInvalid),
        ({"settings": b"[]"}, RequestInvalid),
        ({"agreement": b"{}"}, RequestInvalid),
        ({"agreement": b"\xff"}, RequestInvalid),
    ],
)
async def test_a_candidate_that_does_not_load_is_refused(
    played: Played, documents: dict[str, bytes], fault: type[Exception]
) -> None:
    """Before anything is decided."""
    with pytest.raises(fault):
        await replay(played.be, **documents)


async def test_a_denial_is_explained_by_its_entry(played: Played) -> None:
    """Its reasons and fields as they were, to whoever needs to know; another entry is none, a stranger sees none."""
    position = int(played.denied.removeprefix("entry "))
    view = await played.be.call("be-approver", "policy/decided", calls.ExplainEntry(position))
    assert (view.id, view.effect, view.partner) == (played.denied, "DENY", FR)
    assert [reason.rule for reason in view.reasons] == ["agreement.covers"]
    assert view.fields
    with pytest.raises(RoleMissing):
        await played.be.call("be-stranger", "policy/decided", calls.ExplainEntry(position))
    for other in (0, 10_000):
        with pytest.raises(NotFound):
            await played.be.call("be-approver", "policy/decided", calls.ExplainEntry(other))


async def test_an_old_rule_is_explained_by_its_policy(played: Played) -> None:
    """A rule that is gone keeps its sentence and tree under the digest of its policy; every version is listed."""
    old = played.be.gateway.directory.policy.sha256
    await played.be.change("policy", "release", without("agreement.covers"))
    with pytest.raises(NotFound):
        await played.be.call(REVIEWER, "policy/explain", calls.Explain("agreement.covers"))
    found = await played.be.call(REVIEWER, "policy/explain", calls.Explain("agreement.covers", "nl", old))
    assert found.policy_sha256 == old
    assert "record.kind" in found.facts
    assert any("agreement.kinds" in line for line in found.condition)
    assert [one.rule_version for one in found.versions] == [1, 0]


# --- the command line ------------------------------------------------------------------------------------------------


async def fresh(line: Line) -> Played:
    """The play at the present time, when the extract is fresh."""
    raw = extract(PERSONS, 1, line.world.clock.now())
    await line.world.be.call("be-requester", "records/import", calls.ImportChunk(KIND, 1, raw))
    return await play(line.world)


async def test_the_command_tells_ids_rules_and_counts(line: Line) -> None:
    """Exit code 0 when nothing comes out otherwise, 1 when something does; the same in words."""
    played = await fresh(line)
    since = (line.world.clock.now() - timedelta(days=1)).date().isoformat()
    code, told = await line.run(REVIEWER, "policy", "replay", "--since", since)
    assert (code, told["cases"], told["differences"], told["complete"]) == (0, 3, [], True)
    candidate = line.file("policy.json", without("agreement.covers"))
    words = ("policy", "replay", "--since", since, "--policy", candidate)
    code, told = await line.run(REVIEWER, *words)
    assert (code, [one["id"] for one in told["differences"]]) == (1, [played.denied])
    assert told["rules"]["agreement.covers"] == 1
    key = line.folder / f"{REVIEWER}.pem"
    code, said, _ = await line.said(*words, "--home", line.home, "--as", REVIEWER, "--officer-key", key)
    assert code == 1
    assert "DENY → PERMIT" in said
    code, refused = await line.run(REVIEWER, "policy", "replay", "--since", "a while ago")
    assert (code, refused["error"]["code"]) == (2, "request-invalid")


async def test_who_changes_a_document_sees_what_it_does(line: Line) -> None:
    """Proposer and approver are shown the members that differ and the decisions that would come out otherwise, beside
    the one answer; thresholds and terms alike."""
    played = await fresh(line)
    key = line.folder / "be-requester.pem"
    acting = ("--home", line.home, "--as", "be-requester", "--officer-key", key, "--json")
    proposal = line.file("policy.json", without("agreement.covers"))
    code, out, err = await line.said("change", "propose", "policy", "release", proposal, *acting)
    assert (code, json.loads(out)["state"]) == (0, "proposed")
    for shown in (
        "rules/agreement.covers/condition",
        played.denied,
        "DENY → PERMIT",
        "3 decisions made again",
    ):
        assert shown in err
    second = ("--home", line.home, "--as", "be-approver", "--officer-key", line.folder / "be-approver.pem")
    code, _, err = await line.said("change", "approve", json.loads(out)["id"], "--yes", *second, "--json")
    assert code == 0
    assert played.denied in err
    settings = line.file("settings.json", canonical(Settings()))
    code, _, err = await line.said("change", "propose", "settings", "release", settings, *acting)
    assert code == 0
    assert "freshness_s" in err
    assert "PERMIT → DENY" in err


def test_a_difference_names_its_members() -> None:
    """Rules by their id, thresholds and terms by their member; what is equal is not there, and no bytes are no
    document."""
    before = shipped_policy()
    changed = {one.path.rsplit("/", 1)[0] for one in differences("policy", before, without("embargo"))}
    assert changed == {"rules/embargo"}
    assert differences("policy", before, before) == ()
    assert [one.path for one in differences("settings", b'{"a":1,"b":{"c":2}}', b'{"a":1,"b":{"c":3}}')] == [
        "b/c"
    ]
    assert {one.before for one in differences("settings", b"", b'{"a":1}')} == {""}
    with pytest.raises(RequestInvalid):
        differences("agreement", b"{}", b"{}")

"""A year: every number is what the log says, counted a second time here, and what rows know beside it agrees."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from gateway.audit.entry import master_entry, parse_master_entry
from gateway.audit.tally import TOPICS, Key, added, bounds, tally
from gateway.cli.year import AGREED, disagreements, spans_of, total
from gateway.flow.change import canonical
from gateway.model.case_rows import OralRow
from gateway.model.rows import DirectoryRow, EntryBodyRow, EntryRow, KeyRow, RecordRow, ReleaseRow, RequestRow
from gateway.ports import ReadTx, Tx
from gateway.service import calls
from gateway.service.calls.years import Books, OfYear, TallyPage, TallyYear
from gateway.service.ledger import Detail
from tests.service.test_emergency import configured, confirm, invoke, review
from tests.service.test_oral import say
from tests.service.world import BE, CLEAN, FR, KIND, NOW, Side, World

REVIEWER, YEAR = "be-only-reviewer", 2026
OF_2026 = bounds(YEAR, ZoneInfo("Europe/Brussels"))


async def counted(side: Side, year: int = YEAR) -> Counter[Key]:
    """As a reviewer gets it, page by page."""
    pages, after = [], -1
    while True:
        page: TallyPage = await side.call(REVIEWER, "audit/tally", TallyYear(year, after))
        pages.append(page.counts)
        if (after := page.following) < 0:
            return added(pages)


async def books(side: Side, year: int = YEAR) -> Books:
    found: Books = await side.call(REVIEWER, "audit/books", OfYear(year))
    return found


async def story(world: World) -> Side:
    """Something of everything: sent, denied, refused by an approver, said aloud, in an emergency, a changed officer."""
    be = world.be
    await configured(be)
    await be.disclose(CLEAN[0], CLEAN[1])
    await be.send()
    view = await be.request(CLEAN[2])
    await be.call("be-approver", "releases/reject", calls.Ended(view.release, "invented"))
    denied = await be.prepare(CLEAN[3], to="fra.police-demo")
    assert denied.effect == "PERMIT"
    params = calls.Disclose(CLEAN[4], (FR,), "gossip", "", "synthetic case")
    (refused,) = await be.call("be-requester", "releases/prepare", params)
    assert refused.effect == "DENY"
    await say(be)
    await say(be, CLEAN[5], purpose="gossip", at=NOW - timedelta(days=9))
    urgent = await invoke(be, CLEAN[6])
    await be.send()
    await confirm(be, urgent)
    await review(be, urgent)
    be.refusals.count("192.0.2.1", "no-certificate")
    be.refusals.count("192.0.2.1", "no-certificate")
    await be.refusals.flush()
    await be.call("be-only-inbox", "embargoes/list", calls.Page())
    await be.call("be-requester", "embargoes/add", calls.PlaceEmbargo(CLEAN[7], b"an invented order"))
    return be


def second_count(side: Side) -> dict[str, Any]:
    """The same log once more, by somebody who shares no code with the tally."""
    vault, master = side.vault, side.gateway.ledger.master
    found: dict[str, Any] = {
        name: Counter()
        for name in (
            "entries",
            "releases",
            "denied_by",
            "withheld",
            "oral",
            "emergencies",
            "refused",
            "voids",
        )
    }

    def read(tx: ReadTx) -> None:
        for row in tx.select(EntryRow, {"origin": master}, order="position"):
            entry = json.loads(row.entry)
            found["entries"][entry["event"]] += 1
            link = tx.get(EntryBodyRow, master, row.position)
            assert link is not None
            detail = msgspec.msgpack.decode(vault.open(tx, link.body, Detail).detail)
            event, decision = entry["event"], isinstance(detail, dict) and detail.get("decision")
            if event == "release" and decision:
                document = json.loads(detail["document"])
                kind = document["records"][0]["kind"]
                found["releases"][document["partner"], document["envelope"]["type"], kind] += 1
                for field in decision["fields"]:
                    if field["outcome"] == "withheld":
                        found["withheld"][detail["partner"], field["rule"]] += 1
            elif event == "decision" and decision and decision["effect"] == "DENY":
                for rule in {one["rule"] for one in decision["reasons"] if one["effect"] != "PERMIT"}:
                    found["denied_by"][detail["partner"], rule] += 1
            elif event == "oral" and isinstance(detail, bytes):
                said = json.loads(detail)
                found["oral"]["recorded"] += 1
                found["oral"]["late"] += said["late"]
                found["oral"]["breach"] += bool(said["outside"])
            elif event == "endorsement" and "emergency" in detail:
                step = detail["emergency"]
                found["emergencies"]["oral" if isinstance(step, dict) else step] += 1
            elif event == "refused":
                found["refused"][detail["reason"]] += detail["count"]

    keys = side.rows(KeyRow)

    async def run() -> None:
        await vault.unlock(keys)
        await side.store.read(read)

    found["run"] = run
    return found


def of(found: Counter[Key], topic: str) -> dict[Any, int]:
    """One topic, by its labels: a single one bare."""
    return {key[1] if len(key) == 2 else key[1:]: n for key, n in found.items() if key[0] == topic}


async def test_every_number_is_what_a_second_count_of_the_log_gives(world: World) -> None:
    """The tally, page by page, against plain counting over the entries and what they commit to."""
    be = await story(world)
    again = second_count(be)
    await again["run"]()
    found = await counted(be)
    for topic in ("entries", "releases", "denied_by", "oral", "emergencies", "refused"):
        assert of(found, topic) == dict(again[topic]), topic
    assert of(found, "withheld_by") == dict(again["withheld"])
    assert of(found, "refused") == {"no-certificate": 2}
    assert of(found, "oral") == {"recorded": 2, "late": 1, "breach": 1}
    assert of(found, "emergencies") == {"oral": 1, "confirmed": 1, "upheld": 1}
    assert of(found, "releases")[FR, "emergency", KIND] == 1
    assert of(found, "ended") == {"reject": 1}
    assert of(found, "house_acts") == {"embargo": 1}
    assert not of(found, "unread")
    assert not of(found, "unopened")
    assert {key[0] for key in found} <= set(TOPICS)
    assert all(len(key) == 1 + len(TOPICS[key[0]]) for key in found)


async def test_log_and_rows_agree_and_an_edit_of_either_shows(world: World) -> None:
    """What is written in one commit is counted in both; a row put in or taken out beside the log is a finding."""
    be = await story(world)
    found, known = await counted(be), await books(be)
    assert disagreements(found, known.rows) == []
    assert known.rows["emergencies"] == 1
    assert set(known.rows) == set(AGREED)
    first, release = be.rows(OralRow)[0], be.rows(ReleaseRow)[0].id

    def forge(tx: Tx) -> None:
        tx.insert(msgspec.structs.replace(first, id="forged"))
        tx.delete(ReleaseRow, {"id": release})

    await be.store.write(forge)
    wrong = disagreements(found, (await books(be)).rows)
    assert [(one["what"], one["rows"] - one["log"]) for one in wrong] == [("releases", -1), ("oral", 1)]


async def test_what_is_gone_counts_as_an_entry_and_as_unopened(world: World) -> None:
    """An entry whose detail was erased: nothing is guessed, and log and rows are not compared over it."""
    be = await story(world)
    master = be.gateway.ledger.master
    places = [row.position for row in be.rows(EntryRow, origin=master) if b'"event":"oral"' in row.entry]
    await be.store.write(lambda tx: tx.delete(EntryBodyRow, {"origin": master, "position": places[0]}))
    found = await counted(be)
    assert of(found, "unopened") == {"oral": 1}
    assert total(found, "oral", "recorded") == 1
    assert disagreements(found, (await books(be)).rows) == []


def test_a_form_of_another_version_is_told_and_raises_nothing() -> None:
    """A detail that cannot be read is counted as that."""
    raw = master_entry(at=NOW, blind=bytes(32), event="change", actor="an-officer", detail="0" * 64)
    entry = parse_master_entry(raw)
    for detail in (b"", b"\xc1", msgspec.msgpack.encode({"step": 7}), msgspec.msgpack.encode(b"no json")):
        assert sum(tally(entry, detail).values()) == 2


async def test_another_year_is_another_year(world: World) -> None:
    """Nothing of this year counts there; and in this one, what has been counted before is a read of it."""
    be = await story(world)
    assert not await counted(be, 2025)
    before = be.log_size(be.gateway.ledger.master)
    assert sum(of(await counted(be), "entries").values()) == before
    again = await counted(be)
    assert of(again, "entries")["read"] == of(await counted(be), "entries")["read"] - 1
    assert of(again, "reads")[REVIEWER, "year 2026"] == 1


def test_a_year_is_one_of_the_services_zone() -> None:
    """Brussels is an hour ahead of UTC on both its first days."""
    assert (datetime(2025, 12, 31, 23, tzinfo=UTC), datetime(2026, 12, 31, 23, tzinfo=UTC)) == OF_2026


async def test_clocks_count_from_the_entry_of_the_answer(world: World) -> None:
    """Not answered yet: open, and overdue once its time is past; both as of now while the year lasts."""
    be = world.be
    row = RequestRow(FR, be.ids.uuid(), "urgent-direct", NOW)
    await be.store.write(lambda tx: tx.insert(row))
    (clock,) = (await books(be)).clocks
    assert (clock.partner, clock.received, clock.open, clock.overdue) == (FR, 1, 1, 0)
    world.clock.advance(seconds=9 * 3600)
    (clock,) = (await books(be)).clocks
    assert (clock.received, clock.open, clock.overdue) == (1, 0, 1)


async def test_versions_and_officers_of_the_year(world: World) -> None:
    """The founding ones and what followed, each until the next; of an officer, what is otherwise."""
    be = world.be
    await configured(be)
    known = await books(be)
    settings = [one for one in known.versions if one.kind == "settings"]
    assert [(one.version, one.until is None) for one in settings] == [(1, False), (2, True)]
    assert {one.kind for one in known.versions} >= {"policy", "settings", "agreement"}
    stored = be.rows(DirectoryRow, kind="officer", id="be-only-inbox")[0]
    officer = json.loads(stored.document)
    await be.change("officer", "be-only-inbox", canonical({**officer, "version": 2, "suspended": True}))
    (change,) = [one for one in (await books(be)).officers if one.version == 2]
    assert (change.officer, change.what, change.persons) == ("be-only-inbox", ("suspended",), 1)


async def test_duties_undone_past_their_time(world: World) -> None:
    """An emergency that nobody confirmed nor reviewed in its day."""
    be = world.be
    await configured(be)
    await invoke(be)
    assert all(one.overdue == 0 for one in (await books(be)).duties)
    world.clock.advance(seconds=25 * 3600)
    late = {one.what: one.overdue for one in (await books(be)).duties}
    assert (late["emergency-confirmation"], late["emergency-review"]) == (1, 1)


async def test_the_logs_of_a_year(world: World) -> None:
    """First and last index, heads, what crossed the wire by type and direction, and a hole where one is."""
    be = await story(world)
    await be.gateway.checkpoint_logs([be.gateway.ledger.master, be.gateway.ledger.of_partner(FR)])
    spans, crossed = await be.store.read(lambda tx: spans_of(tx, *OF_2026))
    partner = next(one for one in spans if one["log"].endswith(FR))
    assert (partner["first_index"], partner["last_index"] + 1) == (0, partner["entries"])
    assert partner["opening_head"] is None
    assert partner["closing_head"]["size"] == partner["entries"] == be.log_size()
    assert crossed["crossed", FR, "out", "disclosure"] == 2
    assert crossed["crossed", FR, "out", "emergency"] == 1
    assert crossed["receipts", FR, "in"] >= 1
    origin = be.gateway.ledger.of_partner(FR)
    await be.store.write(lambda tx: tx.delete(EntryRow, {"origin": origin, "position": 1}))
    spans, _ = await be.store.read(lambda tx: spans_of(tx, *OF_2026))
    assert next(one for one in spans if one["log"] == origin)["gaps"] == [{"first": 1, "last": 1}]


@pytest.mark.parametrize("role", ["requester", "approver", "operator", "inbox", "security-officer"])
def test_it_is_a_reviewers(world: World, role: str) -> None:
    """Nobody else counts over everybody's acts."""
    operations = world.be.desk.operations()
    assert all(role not in operations[name].roles for name in ("audit/tally", "audit/books"))


async def test_records_are_not_named(world: World) -> None:
    """No handle, no entity id, no blinded subject is among the counts."""
    be = await story(world)
    said = msgspec.json.encode([list(key) for key in await counted(be)]).decode()
    said += msgspec.json.encode(await books(be)).decode()
    rows = be.rows(RecordRow)
    assert not any(row.handle in said or row.subject in said for row in rows)
    assert not any(name in said for name in CLEAN)
    assert BE not in said.replace(f"{BE}-", "")

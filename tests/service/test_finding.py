"""A reviewer finds where a person is mentioned, through an index that says nothing without the signer's key."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from gateway.audit.entry import parse_master_entry, parse_partner_entry
from gateway.errors import RequestInvalid
from gateway.flow.finding import people_of
from gateway.model.find_rows import SightingRow, TermRow
from gateway.model.record import CanonicalRecord
from gateway.model.rows import EntryRow, InboxRow, KeyRow, RecordRow
from gateway.ports import Tx
from gateway.service import calls
from gateway.service.calls.finding import Candidate, FindPersons, Found, Hit
from gateway.service.contents import RecordBody
from gateway.service.finding import MAX_WEAK
from gateway.service.imports import handle_of
from gateway.service.sightings import Sighted, blinded, forget, note
from gateway.service.vault import keys_of
from tests.service.test_erasure import erased
from tests.service.test_subjects import done
from tests.service.world import BE, CLEAN, FR, Side, World

FIRST, SECOND = CLEAN[:2]
WHY = {"justification": "complaint of a citizen", "authority": "DOS-2026-17"}


async def find(side: Side, by: str = "be-only-reviewer", **asked: Any) -> Found:
    found: Found = await side.call(by, "persons/find", FindPersons(**{**WHY, **asked}))
    return found


async def content_of(side: Side, record: str) -> dict[str, Any]:
    (row,) = side.rows(RecordRow, handle=await handle(side, record), latest=True)
    await side.vault.unlock(await side.store.read(lambda tx: keys_of(tx, [row.key])))
    raw = await side.store.read(lambda tx: side.vault.open(tx, row.body, RecordBody).record)
    return msgspec.json.decode(raw, type=CanonicalRecord).content


async def handle(side: Side, record: str) -> str:
    return handle_of((await side.signer.index([record.encode()]))[0])


def full(content: dict[str, Any]) -> str:
    name = content["names"][0]
    return " ".join(filter(None, (name.get("given"), name.get("family")))) or str(name["text"])


def places(candidate: Candidate, what: str) -> list[Hit]:
    return [hit for hit in candidate.hits if hit.what == what]


async def test_a_record_is_found_by_its_name_in_any_order(world: World) -> None:
    """Name, birth date and number agree; the best candidate is the record's own subject."""
    content = await content_of(world.be, FIRST)
    turned = " ".join(reversed(full(content).split()))
    found = await find(world.be, names=(turned,), birth=content["birth"][0]["date"])
    best = found.candidates[0]
    assert best.person == await handle(world.be, FIRST)
    assert {point.code for point in best.reasons} >= {"name.same"}
    assert best.score >= 80
    (hit,) = places(best, "record")
    assert hit.id == f"{best.person}/1"


async def test_what_left_and_what_came_is_found_where_it_is_proven(world: World) -> None:
    """The release at the sender and the message at the receiver, each at its own entry of the log about the other."""
    content = await content_of(world.be, FIRST)
    (view,) = await world.be.disclose(FIRST)
    await world.be.send()
    ours = (await find(world.be, names=(full(content),))).candidates[0]
    (release,) = places(ours, "release")
    assert (release.id, release.partner, release.message) == (view.release, FR, view.message_id)
    theirs = (await find(world.fr, by="fr-inbox", names=(full(content),))).candidates[0]
    (message,) = places(theirs, "message")
    assert theirs.person.startswith("x-")
    for side, hit in ((world.be, release), (world.fr, message)):
        (row,) = side.rows(EntryRow, origin=hit.log, position=hit.position)
        assert parse_partner_entry(row.entry).message_id == view.message_id


async def test_a_place_in_the_master_log_is_an_entry_of_its_act(world: World) -> None:
    """The position of a record is that of its import; a waiting release is at its own entry."""
    content = await content_of(world.be, FIRST)
    (view,) = await world.be.disclose(FIRST)
    best = (await find(world.be, names=(full(content),))).candidates[0]
    for what, event in (("record", "import"), ("release", "release"), ("entry", "release")):
        hit = places(best, what)[0]
        (row,) = world.be.rows(EntryRow, origin=hit.log, position=hit.position)
        entry = parse_master_entry(row.entry)
        assert entry.event == event
        assert event != "release" or entry.subject == view.release


async def test_linked_subjects_are_one_candidate(world: World) -> None:
    """Two officers said so: whoever is asked for, the places of both are given, and which handles they are."""
    content = await content_of(world.be, FIRST)
    await done(world.be, "link", FIRST, SECOND)
    best = (await find(world.be, names=(full(content),))).candidates[0]
    both = {await handle(world.be, FIRST), await handle(world.be, SECOND)}
    assert {best.person, *best.linked} == both
    assert {hit.id.partition("/")[0] for hit in places(best, "record")} >= both


async def test_every_search_is_an_entry_that_names_nobody(world: World) -> None:
    """Who searched stands in the log before the answer; what for lies in a body, under a key the index knows."""
    content = await content_of(world.be, FIRST)
    found = await find(world.be, names=(full(content),))
    entries = [parse_master_entry(row.entry) for row in world.be.rows(EntryRow)]
    (mine,) = [entry for entry in entries if entry.subject == found.search]
    assert (mine.event, mine.actor) == ("read", "be-only-reviewer")
    (search,) = world.be.rows(SightingRow, what="search")
    assert search.place == found.search
    assert world.be.rows(KeyRow, id=search.key)
    again = await find(world.be, names=(full(content),))
    assert {hit.what for one in again.candidates for hit in one.hits} == {"record"}


async def test_the_tables_hold_no_name_and_no_key_to_guess_with(world: World) -> None:
    """Terms are of the signer's key alone: neither the ordinary index nor a hash of the name gives one."""
    terms = {row.term for row in world.be.rows(TermRow)}
    content = await content_of(world.be, FIRST)
    words = full(content).casefold()
    guesses = [f"same\n{words}", f"same\n{' '.join(sorted(words.split()))}"]
    plain = await world.be.signer.index([guess.encode() for guess in guesses])
    assert terms.isdisjoint(bytes.fromhex(one)[:16] for one in plain)
    assert (await world.be.signer.terms([guesses[1]]))[0] in terms
    assert (await world.fr.signer.terms([guesses[1]]))[0] not in terms


async def test_what_is_destroyed_is_found_no_more_and_is_counted(world: World) -> None:
    """Dropping by data key leaves no row and no term behind, and may be repeated."""
    be, content = world.be, await content_of(world.be, FIRST)
    (row,) = be.rows(RecordRow, handle=await handle(be, FIRST))
    for expected in (1, 0):
        assert await be.store.write(lambda tx: forget(tx, [row.key], "erased")) >= expected
    left = {sighting.id for sighting in be.rows(SightingRow)}
    assert {term.sighting for term in be.rows(TermRow)} <= left
    found = await find(be, names=(full(content),), birth=content["birth"][0]["date"])
    assert await handle(be, FIRST) not in {one.person for one in found.candidates}
    assert [gap.count for gap in found.gaps if gap.code == "erased"]


async def test_candidates_come_in_pages_that_meet(world: World) -> None:
    """Pages of one give every candidate once, best first."""
    content = await content_of(world.be, FIRST)
    family = content["names"][0].get("family") or full(content)
    whole = await find(world.be, names=(family, full(await content_of(world.be, SECOND))))
    seen: list[str] = []
    after = ""
    for _ in whole.candidates:
        page = await find(
            world.be, names=(family, full(await content_of(world.be, SECOND))), limit=1, after=after
        )
        seen += [one.person for one in page.candidates]
        after = page.after
    assert seen == [one.person for one in whole.candidates]
    assert not after


async def test_nobody_agrees(world: World) -> None:
    """No candidate, and still an entry, and still the gaps."""
    found = await find(world.be, names=("Zbigniew Quxquux",))
    assert (found.candidates, found.total) == ((), 0)
    assert {"free-text", "references", "spelling", "searches"} <= {gap.code for gap in found.gaps}


@pytest.mark.parametrize("missing", ["justification", "authority"])
async def test_a_search_says_why_and_on_whose_authority(world: World, missing: str) -> None:
    """Without either nothing is looked up."""
    with pytest.raises(RequestInvalid, match=missing):
        await find(world.be, names=("Jan Peeters",), **{missing: " "})
    assert world.be.rows(SightingRow, what="search") == []


async def test_what_a_partner_sent_is_indexed_in_its_own_commit(world: World) -> None:
    """A message in the inbox has its sightings under the message's own data key."""
    await world.be.disclose(FIRST)
    await world.be.send()
    (came,) = world.fr.rows(InboxRow)
    assert {row.what for row in world.fr.rows(SightingRow, key=came.key)} == {"message"}
    assert came.sender == BE


async def test_erasing_a_person_erases_the_index_and_who_asked(world: World) -> None:
    """Every sighting under a destroyed key is gone, its terms too, and so is the question of the reviewer."""
    be, content = world.be, await content_of(world.be, FIRST)
    asked = {"names": (full(content),), "birth": content["birth"][0]["date"]}
    await world.be.disclose(SECOND)
    await find(be, **asked)
    (search,) = be.rows(SightingRow, what="search")
    await erased(be, FIRST)
    keys = {row.id for row in be.rows(KeyRow)}
    assert search.key not in keys
    assert {row.key for row in be.rows(SightingRow)} <= keys
    assert {row.sighting for row in be.rows(TermRow)} <= {row.id for row in be.rows(SightingRow)}
    found = await find(be, **asked)
    assert all(point.code != "name.same" for one in found.candidates for point in one.reasons)
    assert "erased" in {gap.code for gap in found.gaps}


async def test_what_rests_on_a_record_is_found_after_the_record_is_gone(world: World) -> None:
    """A purge takes the record's own sightings; a release kept its terms, and the purge is counted."""
    be, content = world.be, await content_of(world.be, FIRST)
    (view,) = await be.disclose(FIRST)
    await be.send()
    world.clock.advance(days=be.config.intake_ttl_days + 1)
    assert (await be.call("be-requester", "records/purge", calls.Empty()))["purged"]
    found = await find(be, names=(full(content),))
    assert places(found.candidates[0], "record") == []
    (release,) = places(found.candidates[0], "release")
    assert release.id == view.release
    assert {gap.code: gap.count for gap in found.gaps}["purged"]


async def test_the_key_of_the_index_is_seen_to_have_changed(world: World) -> None:
    """Under another key nothing is found, and the answer says why."""
    be, content = world.be, await content_of(world.be, FIRST)
    be.home = replace(be.home, keys=replace(be.home.keys, find_key=bytes(32)))
    await be.boot()
    found = await find(be, names=(full(content),))
    assert found.candidates == ()
    assert "other-key" in {gap.code for gap in found.gaps}


async def crowd(side: Side, word: str, count: int) -> None:
    """So many persons who share one word of their names."""
    now = side.world.clock.now()
    persons = [
        people_of({"names": [{"text": f"{word} {chr(97 + n // 26)}o{chr(97 + n % 26)}"}]})
        for n in range(count)
    ]
    for start in range(0, count, 100):
        some = await blinded(side.signer, persons[start : start + 100])

        def unit(tx: Tx, start: int = start, some: list[Sighted] = some) -> None:
            for number, sighted in enumerate(some, start):
                note(side.gateway, tx, now, "message", f"{FR}/{number}", f"key-{number}", sighted)

        await side.store.write(unit)


async def test_a_word_that_too_many_share_is_passed_over_and_said(world: World) -> None:
    """Alone it finds nobody, and says why; beside another word that one finds, as ever."""
    await crowd(world.be, "Zzworda", MAX_WEAK + 1)
    alone = await find(world.be, names=("Zzworda",))
    assert alone.candidates == ()
    assert [gap.kinds for gap in alone.gaps if gap.code == "too-wide"] == [("word",)]
    both = await find(world.be, names=("Zzworda aob",))
    assert both.candidates[0].reasons[0].code == "name.same"


async def test_many_candidates_are_paged_by_score_and_name(world: World) -> None:
    """A keyset cursor: no candidate twice, none left out; a cursor that no page said is refused."""
    await crowd(world.be, "Zzworda", 120)
    seen: list[str] = []
    after = ""
    while True:
        page = await find(world.be, names=("Zzworda",), limit=50, after=after)
        seen += [one.person for one in page.candidates]
        after = page.after
        if not after:
            break
    assert len(seen) == len(set(seen)) == page.total == 120
    with pytest.raises(RequestInvalid, match="after"):
        await find(world.be, names=("Zzworda",), after="nonsense")

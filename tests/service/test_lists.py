"""Published lists in a home: imported in parts, renewed, delisted, compared with our persons, never sent by chance."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from adapters.records.sanctions.parts import parts
from adapters.records.synthetic import persons
from gateway.errors import RecordInvalid, RequestInvalid, RoleMissing
from gateway.model.rows import BodyRow, EntryBodyRow, RecordRow
from gateway.service import calls
from gateway.service.ledger import Detail
from gateway.service.vault import keys_of
from tests.records.lists import BE, EU, UN, un_entry, un_list
from tests.service.world import KIND, NOW, World

LISTED = "sanctions-entry/1.0"


async def load(world: World, raw: bytes, wanted: str = "", *, officer: str = "be-requester") -> Any:
    """Import a list part by part and say that it is whole, as the command does, on the day on which it was made."""
    counts, entries, part = [0, 0, 0], 0, None
    for part in parts([raw], wanted):
        world.clock.set(max(world.clock.now(), part.generated))
        answer = await world.be.call(
            officer, "records/import", calls.ImportChunk(f"{LISTED}/{part.list}", part.first, part.raw)
        )
        counts = [
            sum(pair) for pair in zip(counts, (answer.new, answer.changed, answer.unchanged), strict=True)
        ]
        entries += part.entries
    assert part is not None
    whole = calls.ListComplete(f"{LISTED}/{part.list}", part.generated, entries)
    return tuple(counts), await world.be.call(officer, "records/complete", whole)


def shrunk(days: int, entries: int, name: str = "un") -> calls.ListComplete:
    """The word that a list made then really lost so many."""
    made = (NOW + timedelta(days=days)).replace(microsecond=0)
    return calls.ListComplete(f"{LISTED}/{name}", made, entries, shrunk=True)


def born(year: str) -> str:
    """Part of an entry: a year of birth."""
    return f"<INDIVIDUAL_DATE_OF_BIRTH><YEAR>{year}</YEAR></INDIVIDUAL_DATE_OF_BIRTH>"


async def details(world: World, member: str) -> list[dict[str, Any]]:
    """What the entries of the master log commit to, of those whose detail has this member."""
    be = world.be
    bodies = [row.body for row in be.rows(EntryBodyRow, origin=be.gateway.ledger.master)]
    keys = {row.id: row.key for row in be.rows(BodyRow)}
    await be.vault.unlock(await be.store.read(lambda tx: keys_of(tx, [keys[body] for body in bodies])))
    opened = await be.store.read(lambda tx: [be.vault.open(tx, body, Detail) for body in bodies])
    found = [msgspec.msgpack.decode(one.detail) for one in opened]
    return [detail for detail in found if isinstance(detail, dict) and member in detail]


async def person(world: World, **content: Any) -> None:
    """One imported person with a name, and whatever else, of our choosing."""
    line = list(persons(90, 1, NOW))[-1]
    line["content"].pop("documents", None)
    line["content"].update(content)
    raw = json.dumps(line).encode() + b"\n"
    answer = await world.be.call("be-requester", "records/import", calls.ImportChunk(KIND, 1, raw))
    assert (answer.new, answer.bad) == (1, ())


#: The shipped samples, about somebody whom no synthetic person resembles.
UN_LIST, EU_LIST = (
    raw.replace(b"ZZEMO", b"QUORVE").replace(b"EXEMPLE", b"BRANTSEL")
    .replace(b"Zzemo", b"Quorve").replace(b"Exemple", b"Brantsel").replace(b"Zemo Exempel", b"Kworvo Brandsel")
    for raw in (UN, EU)
)  # fmt: skip

BRANTSEL = {
    "names": [{"type": "birth", "family": "Brantsel", "given": "Quorve Fictif", "script": "Latn", "quality": "high"}],
    "birth": [{"date": "1989", "precision": "year"}],
    "nationalities": ["BEL"],
}  # fmt: skip


def knowing(world: World, officer: str) -> None:
    """Give an officer need to know of lists, too."""
    officers = world.be.gateway.directory.officers
    officers[officer] = msgspec.structs.replace(officers[officer], need_to_know=(KIND, LISTED))


def listed(world: World) -> list[RecordRow]:
    return world.be.rows(RecordRow, kind=LISTED, latest=True)


def later(days: int) -> str:
    return (NOW + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_a_list_imported_again_makes_no_version(world: World) -> None:
    """Three new; the same list again: three unchanged, no version, no body; in a newer list, too, but renewed."""
    assert (await load(world, UN))[0] == (3, 0, 0)
    bodies = world.be.rows(BodyRow)
    world.clock.advance(days=1)
    assert (await load(world, UN))[0] == (0, 0, 3)
    newer = UN.replace(b"2026-11-21T00", b"2026-11-22T00")
    assert (await load(world, newer))[0] == (0, 0, 3)
    assert world.be.rows(BodyRow) == bodies
    assert {(row.version, f"{row.extracted_at:%d}", row.imported_at) for row in listed(world)} == {
        (1, "22", NOW + timedelta(days=1))
    }


async def test_a_changed_entry_is_a_version_and_an_older_list_is_nothing(world: World) -> None:
    """Newer and different: version 2. An older list neither changes nor delists anything."""
    await load(world, un_list([un_entry(1), un_entry(2)], made=later(2)))
    changed = un_list([un_entry(1), un_entry(2, "ZZEMO AUTRE")], made=later(3))
    assert (await load(world, changed))[0] == (0, 1, 1)
    counts, whole = await load(world, un_list([un_entry(1)], made=later(1)))
    assert (counts, whole.gone) == ((0, 0, 1), 0)
    assert sorted(row.version for row in listed(world)) == [1, 2]


async def test_an_entry_that_is_gone_is_marked_once_and_comes_back(world: World) -> None:
    """Gone from a newer list: a version that says so and since when. Listed again: a version that is as before."""
    await load(world, un_list([un_entry(1), un_entry(2)], made=later(1)))
    _, whole = await load(world, un_list([un_entry(1)], made=later(2)))
    assert (whole.gone, whole.delisted) == (1, 1)
    knowing(world, "be-requester")
    view = await world.be.call("be-requester", "records/show", calls.Named("UN-2"))
    (listing,) = (field.value for field in view.fields if field.pointer == "/listing")
    assert (listing["state"], listing["gone_on"]) == ("delisted", later(2)[:10])
    _, whole = await load(world, un_list([un_entry(1)], made=later(3)))
    assert (whole.gone, whole.delisted) == (0, 0)
    counts, _ = await load(world, un_list([un_entry(1), un_entry(2)], made=later(4)))
    assert counts == (0, 1, 1)


async def test_lists_do_not_delist_one_another(world: World) -> None:
    """A newer list of one body says nothing of the others' entries."""
    for raw, wanted in ((UN, ""), (EU, "eu"), (BE, "be"), (EU, "be")):
        await load(world, raw, wanted)
    assert len(listed(world)) == 12
    _, whole = await load(world, un_list([un_entry(9000001), un_entry(9000002)], made=later(9)))
    assert (whole.gone, whole.delisted) == (1, 1)


async def test_nothing_is_marked_while_an_entry_could_not_be_read(world: World) -> None:
    """It may be the one that seems to be gone: told, and left."""
    await load(world, un_list([un_entry(1), un_entry(2)], made=later(1)))
    _, whole = await load(world, un_list([un_entry(1), un_entry(2, extra=born("zz"))], made=later(2)))
    assert (whole.gone, whole.delisted) == (1, 0)


async def test_a_list_that_lost_too_much_marks_nothing_without_a_word(world: World) -> None:
    """Eleven of twenty gone: told, not marked; marked when an approver says that the list really shrank, and the entry
    says so."""
    await load(world, un_list(map(un_entry, range(1, 21)), made=later(1)))
    _, whole = await load(world, un_list(map(un_entry, range(1, 10)), made=later(2)))
    assert (whole.gone, whole.delisted) == (11, 0)
    whole = await world.be.call("be-approver", "records/complete", shrunk(2, 9))
    assert (whole.gone, whole.delisted) == (11, 11)
    assert await details(world, "shrunk") == [
        {"kind": LISTED, "new": 0, "changed": 11, "list": "un", "gone": 11, "shrunk": True}
    ]


@pytest.mark.parametrize(
    ("held", "left", "marked"), [(8, 3, 0), (8, 4, 4), (3, 1, 0), (2, 1, 1), (20, 10, 10)]
)
async def test_a_short_list_keeps_its_half(world: World, held: int, left: int, marked: int) -> None:
    """A list of a few entries that loses more than half of them may be one that was cut off: told, not marked."""
    await load(world, un_list(map(un_entry, range(1, held + 1)), made=later(1)))
    _, whole = await load(world, un_list(map(un_entry, range(1, left + 1)), made=later(2)))
    assert (whole.gone, whole.delisted) == (held - left, marked)


async def test_who_hands_lists_over_cannot_say_that_one_shrank(world: World) -> None:
    """Neither a requester, nor an approver who is one too or has another entry that is one."""
    await load(world, un_list(map(un_entry, range(1, 21)), made=later(1)))
    await load(world, un_list(map(un_entry, range(1, 10)), made=later(2)))
    officers = world.be.gateway.directory.officers
    again = msgspec.structs.replace(
        officers["be-approver"], id="be-again", person=officers["be-requester"].person
    )
    officers["be-again"] = again
    for officer in ("be-requester", "be-stranger", "be-again"):
        with pytest.raises(RoleMissing):
            await world.be.call(officer, "records/complete", shrunk(2, 9))
    assert {row.version for row in listed(world)} == {1}


async def test_a_list_is_not_lost_little_by_little(world: World) -> None:
    """Ten entries fewer with each import: the second time it is too much for 30 days, and is as little after them."""
    for days, (left, expected) in enumerate(((30, 0), (20, 10), (10, 0), (10, 0)), 1):
        _, whole = await load(world, un_list(map(un_entry, range(1, left + 1)), made=later(days)))
        assert whole.delisted == expected, days
    _, whole = await load(world, un_list(map(un_entry, range(1, 11)), made=later(2 + 31)))
    assert whole.delisted == 10


async def test_a_list_nobody_imported_marks_nothing(world: World) -> None:
    """Completed without a file, under a date of its own or as longer than what landed: told, not marked."""
    await load(world, un_list([un_entry(1), un_entry(2)], made=later(1)))
    world.clock.advance(days=5)
    for officer, days, entries in (("be-requester", 2, 1), ("be-requester", 2, 0), ("be-approver", 2, 1)):
        word = msgspec.structs.replace(shrunk(days, entries), shrunk=officer == "be-approver")
        whole = await world.be.call(officer, "records/complete", word)
        assert (whole.gone, whole.delisted) == (2, 0)
    _, whole = await load(world, un_list([un_entry(1)], made=later(2)))
    assert whole.delisted == 1
    assert (await load(world, un_list([un_entry(1), un_entry(2)], made=later(3))))[0] == (0, 1, 1)


@pytest.mark.parametrize("seconds", [301, 86_400 * 36_500])
async def test_a_list_from_the_future_keeps_no_later_one_out(world: World, seconds: int) -> None:
    """Neither its entries nor its completion count beyond the skew of two clocks: the true list a day later does."""
    await load(world, un_list([un_entry(1, "OLD NAME"), un_entry(2)]))
    made = NOW + timedelta(seconds=seconds)
    raw = un_list([un_entry(1, "OTHER NAME")], made=f"{made:%Y-%m-%dT%H:%M:%SZ}")
    with pytest.raises(RecordInvalid) as caught:
        await world.be.call("be-requester", "records/import", calls.ImportChunk(f"{LISTED}/un", 1, raw))
    assert caught.value.rule == "extract.future"
    for officer, said in (("be-requester", False), ("be-approver", True)):
        whole = calls.ListComplete(f"{LISTED}/un", made, 0, said)
        with pytest.raises(RecordInvalid):
            await world.be.call(officer, "records/complete", whole)
    assert {row.version for row in listed(world)} == {1}
    counts, _ = await load(world, un_list([un_entry(1, "NEW NAME"), un_entry(2)], made=later(1)))
    assert counts == (0, 1, 1)


async def test_the_skew_of_two_clocks_is_no_future(world: World) -> None:
    """Five minutes ahead lands: the clocks of two houses differ."""
    raw = un_list([un_entry(1)], made=f"{NOW + timedelta(seconds=300):%Y-%m-%dT%H:%M:%SZ}")
    answer = await world.be.call("be-requester", "records/import", calls.ImportChunk(f"{LISTED}/un", 1, raw))
    assert answer.new == 1


async def test_an_extract_from_the_future_is_refused(world: World) -> None:
    """Of persons as of lists: no later extract would replace it."""
    line = list(persons(90, 1, NOW + timedelta(seconds=301)))[-1]
    raw = json.dumps(line).encode() + b"\n"
    with pytest.raises(RecordInvalid):
        await world.be.call("be-requester", "records/import", calls.ImportChunk(KIND, 1, raw))
    assert len(world.be.rows(RecordRow)) == 20


@pytest.mark.parametrize("kind", [LISTED, "sanctions-entry", f"{LISTED}/us", f"{LISTED}/", "other/1.0/un"])
async def test_a_list_is_named(world: World, kind: str) -> None:
    """Which of the three it is must be said, by import and by completion."""
    with pytest.raises(RequestInvalid):
        await world.be.call("be-requester", "records/import", calls.ImportChunk(kind, 1, UN))


@pytest.mark.parametrize("kind", [LISTED, KIND, "other/1.0/un"])
async def test_only_a_list_can_be_whole(world: World, kind: str) -> None:
    """No other kind is delisted."""
    with pytest.raises(RequestInvalid):
        await world.be.call("be-requester", "records/complete", calls.ListComplete(kind, NOW, 1))


async def test_bad_entries_are_named_by_their_place_in_the_list(world: World) -> None:
    """The second entry of a part that begins at 501 is entry 502; nothing it holds is said."""
    raw = un_list([un_entry(1), un_entry(2, extra=born("zzcanary")), un_entry(3)])
    answer = await world.be.call(
        "be-requester", "records/import", calls.ImportChunk(f"{LISTED}/un", 501, raw)
    )
    assert (answer.new, [(bad.line, bad.pointer, bad.rule) for bad in answer.bad]) == (
        2, [(502, "/birth/*/date", "date.precision")]
    )  # fmt: skip
    assert "zzcanary" not in repr(answer)


async def test_candidates_are_counted_and_listed_with_reasons(world: World) -> None:
    """One of our persons may be on two lists: counted at import, listed best first, named for who may know both."""
    knowing(world, "be-requester")
    await person(world, **BRANTSEL)
    _, un = await load(world, UN_LIST)
    _, eu = await load(world, EU_LIST)
    assert (un.matches, eu.matches) == (
        {"strong": 0, "likely": 1, "weak": 0},
        {"strong": 0, "likely": 1, "weak": 0},
    )
    found = await world.be.call("be-requester", "records/matches", calls.FindMatches())
    assert [(one.score, one.list, one.band) for one in found] == [(72, "eu", "likely"), (62, "un", "likely")]
    assert [(point.code, point.points) for point in found[0].reasons] == [
        ("name.same", 50), ("birth.same-year", 12), ("nationality.common", 10)
    ]  # fmt: skip
    assert (found[0].person_name, found[0].entry_name) == ("Quorve Fictif Brantsel", "Quorve Fictif Brantsel")
    assert found[1].entry_name == "QUORVE FICTIF BRANTSEL"
    for wanted, expected in (
        (calls.FindMatches(list="un"), found[1:]),
        (calls.FindMatches(minimum=70), found[:1]),
        (calls.FindMatches(after=found[0].id), found[1:]),
        (calls.FindMatches(limit=1), found[:1]),
    ):
        assert await world.be.call("be-requester", "records/matches", wanted) == expected


@pytest.mark.parametrize("known", [(), (KIND,), (LISTED,)])
async def test_nothing_is_compared_without_need_to_know(world: World, known: tuple[str, ...]) -> None:
    """An officer who does not know persons and lists both cannot ask with a list of one guess: no candidate, no score,
    no count, not even a zero, whether the guess is right or wrong."""
    officers = world.be.gateway.directory.officers
    officers["be-stranger"] = msgspec.structs.replace(officers["be-stranger"], need_to_know=known)
    await person(world, **BRANTSEL)
    for days, name in enumerate(("QUORVE FICTIF BRANTSEL", "ZZ NOBODY AT ALL"), 1):
        _, whole = await load(world, un_list([un_entry(7, name)], made=later(days)), officer="be-stranger")
        assert whole.matches == {}
        assert await world.be.call("be-stranger", "records/matches", calls.FindMatches()) == []
    knowing(world, "be-stranger")
    _, whole = await load(
        world, un_list([un_entry(7, "QUORVE FICTIF BRANTSEL")], made=later(3)), officer="be-stranger"
    )
    assert sum(whole.matches.values()) == 1


async def test_what_lies_above_the_clearance_is_not_compared(world: World) -> None:
    """A birth date labelled above the officer's clearance gives no reason: the score must not tell of it."""
    line = list(persons(90, 1, NOW))[-1]
    line["content"].pop("documents", None)
    line["content"].update(BRANTSEL)
    label = {"policy": "BEL", "level": "SECRET"}
    line["labels"] = [one for one in line.get("labels", ()) if one["pointer"] != "/birth/0"]
    line["labels"] = [{"pointer": "/birth/0", "label": label, "originator": "bel.ocam"}]
    knowing(world, "be-requester")
    raw = json.dumps(line).encode() + b"\n"
    await world.be.call("be-requester", "records/import", calls.ImportChunk(KIND, 1, raw))
    await load(world, EU_LIST)
    (found,) = await world.be.call("be-requester", "records/matches", calls.FindMatches())
    assert [point.code for point in found.reasons] == ["name.same", "nationality.common"]


async def test_looking_at_candidates_is_an_entry(world: World) -> None:
    """Each look is one entry of the master log (LED art. 25), which names what was seen; so is each count, and where
    nothing was counted there is none."""
    knowing(world, "be-requester")
    await person(world, **BRANTSEL)
    await load(world, UN_LIST)
    be = world.be
    before = be.log_size(be.gateway.ledger.master)
    (found,) = await be.call("be-requester", "records/matches", calls.FindMatches())
    assert be.log_size(be.gateway.ledger.master) == before + 1
    whole = calls.ListComplete(f"{LISTED}/un", NOW.replace(hour=0), 3)
    await be.call("be-requester", "records/complete", whole)
    await be.call("be-stranger", "records/complete", whole)
    assert be.log_size(be.gateway.ledger.master) == before + 2
    seen = sorted((found.person, found.entry))
    assert [(one["what"], one["records"]) for one in await details(world, "records")] == [
        ("match-counts", seen), ("matches", seen), ("match-counts", seen)
    ]  # fmt: skip


async def test_delisted_entries_and_organisations_are_no_candidates(world: World) -> None:
    """Only persons who are listed now."""
    knowing(world, "be-requester")
    await person(world, **BRANTSEL)
    name = "<FIRST_NAME>FICTITIOUS TRADING &amp; CO</FIRST_NAME>"
    raw = UN_LIST.decode().replace(name, "<FIRST_NAME>QUORVE FICTIF BRANTSEL</FIRST_NAME>").encode()
    _, whole = await load(world, raw)
    assert sum(whole.matches.values()) == 1
    _, whole = await load(world, un_list(map(un_entry, (9000003, 5, 6)), made=later(1)))
    assert whole.delisted == 2
    assert sum(whole.matches.values()) == 0


async def test_an_entry_never_leaves_by_chance(world: World) -> None:
    """A decision about it is well-formed, and a denial with reasons: no agreement covers it, its label names nobody."""
    await load(world, UN)
    knowing(world, "be-requester")
    for name in ("UN-9000001", "UN-9000003"):
        decision = await world.be.prepare(name)
        denied = {reason.rule for reason in decision.reasons if reason.effect == "DENY"}
        assert decision.effect == "DENY"
        assert "agreement.covers" in denied
        assert not decision.release


async def test_even_an_agreement_that_covers_it_does_not_send_it(world: World) -> None:
    """With the kind in the agreement the label still names nobody: every field is withheld, and the release denied."""
    await load(world, UN)
    knowing(world, "be-requester")
    agreements = world.be.gateway.directory.agreements
    partner = world.be.partner
    state = agreements[partner]
    terms = msgspec.structs.replace(state.terms, kinds=(*state.terms.kinds, LISTED))
    agreements[partner] = msgspec.structs.replace(state, terms=terms)
    decision = await world.be.prepare("UN-9000001")
    denied = {reason.rule for reason in decision.reasons if reason.effect == "DENY"}
    assert decision.effect == "DENY"
    assert "agreement.covers" not in denied
    assert all(field.outcome == "withheld" for field in decision.fields)

"""Published lists in a home: imported in parts, renewed, delisted, compared with our persons, never sent by chance."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from adapters.records.sanctions.parts import parts
from adapters.records.synthetic import persons
from gateway.errors import RequestInvalid
from gateway.model.rows import BodyRow, RecordRow
from gateway.service import calls
from tests.records.lists import BE, EU, UN, un_entry, un_list
from tests.service.world import KIND, NOW, World

LISTED = "sanctions-entry/1.0"


async def load(world: World, raw: bytes, wanted: str = "", *, bad: int = 0, shrunk: bool = False) -> Any:
    """Import a list part by part and say that it is whole, as the command does."""
    counts, entries, part = [0, 0, 0], 0, None
    for part in parts([raw], wanted):
        answer = await world.be.call(
            "be-requester", "records/import", calls.ImportChunk(f"{LISTED}/{part.list}", part.first, part.raw)
        )
        counts = [
            sum(pair) for pair in zip(counts, (answer.new, answer.changed, answer.unchanged), strict=True)
        ]
        bad, entries = bad + len(answer.bad), entries + answer.new + answer.changed + answer.unchanged
    assert part is not None
    whole = calls.ListComplete(f"{LISTED}/{part.list}", part.generated, entries, bad, shrunk)
    return tuple(counts), await world.be.call("be-requester", "records/complete", whole)


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
    _, whole = await load(world, un_list([un_entry(9000001)], made=later(9)), shrunk=True)
    assert (whole.gone, whole.delisted) == (2, 2)


async def test_nothing_is_marked_while_an_entry_could_not_be_read(world: World) -> None:
    """It may be the one that seems to be gone: told, and left."""
    await load(world, un_list([un_entry(1), un_entry(2)], made=later(1)))
    _, whole = await load(
        world, un_list([un_entry(1), un_entry(2, extra="<LISTED_ON>zz</LISTED_ON>")], made=later(2))
    )
    assert (whole.gone, whole.delisted) == (1, 0)


async def test_a_list_that_lost_too_much_marks_nothing_without_a_word(world: World) -> None:
    """Eleven of twenty gone: told, not marked; marked when the officer says that the list really shrank."""
    await load(world, un_list([un_entry(number) for number in range(1, 21)], made=later(1)))
    short = un_list([un_entry(number) for number in range(1, 10)], made=later(2))
    _, whole = await load(world, short)
    assert (whole.gone, whole.delisted) == (11, 0)
    _, whole = await load(world, short, shrunk=True)
    assert (whole.gone, whole.delisted) == (11, 11)


@pytest.mark.parametrize("kind", [LISTED, "sanctions-entry", f"{LISTED}/us", f"{LISTED}/", "other/1.0/un"])
async def test_a_list_is_named(world: World, kind: str) -> None:
    """Which of the three it is must be said, by import and by completion."""
    with pytest.raises(RequestInvalid):
        await world.be.call("be-requester", "records/import", calls.ImportChunk(kind, 1, UN))


@pytest.mark.parametrize("kind", [LISTED, KIND, "other/1.0/un"])
async def test_only_a_list_can_be_whole(world: World, kind: str) -> None:
    """No other kind is delisted."""
    with pytest.raises(RequestInvalid):
        await world.be.call("be-requester", "records/complete", calls.ListComplete(kind, NOW, 1, 0))


async def test_bad_entries_are_named_by_their_place_in_the_list(world: World) -> None:
    """The second entry of a part that begins at 501 is entry 502; nothing it holds is said."""
    raw = un_list([un_entry(1), un_entry(2, extra="<LISTED_ON>zzcanary</LISTED_ON>"), un_entry(3)])
    answer = await world.be.call(
        "be-requester", "records/import", calls.ImportChunk(f"{LISTED}/un", 501, raw)
    )
    assert (answer.new, [(bad.line, bad.pointer, bad.rule) for bad in answer.bad]) == (
        2, [(502, "/listing/listed_on", "pattern")]
    )  # fmt: skip
    assert "zzcanary" not in repr(answer)


async def test_candidates_are_counted_and_listed_with_reasons(world: World) -> None:
    """One of our persons may be on two lists: counted at import, listed best first, named for who may know both."""
    await person(world, **BRANTSEL)
    _, un = await load(world, UN_LIST)
    _, eu = await load(world, EU_LIST)
    assert (un.matches, eu.matches) == (
        {"strong": 0, "likely": 1, "weak": 0},
        {"strong": 0, "likely": 1, "weak": 0},
    )
    knowing(world, "be-requester")
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


async def test_names_are_for_those_who_need_to_know(world: World) -> None:
    """Without need to know of persons or of lists: ids, scores and reasons, and no name."""
    await person(world, **BRANTSEL)
    await load(world, UN_LIST)
    for officer in ("be-requester", "be-stranger"):
        (found,) = await world.be.call(officer, "records/matches", calls.FindMatches())
        assert (found.score, found.person_name, found.entry_name) == (62, "", "")
        assert "brantsel" not in repr(found).casefold()


async def test_what_lies_above_the_clearance_is_not_compared(world: World) -> None:
    """A birth date labelled above the officer's clearance gives no reason: the score must not tell of it."""
    line = list(persons(90, 1, NOW))[-1]
    line["content"].pop("documents", None)
    line["content"].update(BRANTSEL)
    label = {"policy": "BEL", "level": "SECRET"}
    line["labels"] = [one for one in line.get("labels", ()) if one["pointer"] != "/birth/0"]
    line["labels"] = [{"pointer": "/birth/0", "label": label, "originator": "bel.ocam"}]
    raw = json.dumps(line).encode() + b"\n"
    await world.be.call("be-requester", "records/import", calls.ImportChunk(KIND, 1, raw))
    await load(world, EU_LIST)
    (found,) = await world.be.call("be-requester", "records/matches", calls.FindMatches())
    assert [point.code for point in found.reasons] == ["name.same", "nationality.common"]


async def test_looking_at_candidates_is_an_entry(world: World) -> None:
    """Each look is one entry of the master log (LED art. 25); counting at import is part of the import's own."""
    await person(world, **BRANTSEL)
    await load(world, UN_LIST)
    be = world.be
    before = be.log_size(be.gateway.ledger.master)
    await be.call("be-requester", "records/matches", calls.FindMatches())
    assert be.log_size(be.gateway.ledger.master) == before + 1


async def test_delisted_entries_and_organisations_are_no_candidates(world: World) -> None:
    """Only persons who are listed now."""
    await person(world, **BRANTSEL)
    name = "<FIRST_NAME>FICTITIOUS TRADING &amp; CO</FIRST_NAME>"
    raw = UN_LIST.decode().replace(name, "<FIRST_NAME>QUORVE FICTIF BRANTSEL</FIRST_NAME>").encode()
    _, whole = await load(world, raw)
    assert sum(whole.matches.values()) == 1
    _, whole = await load(world, un_list([un_entry(9000003)], made=later(1)))
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

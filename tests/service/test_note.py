"""A note that mentions persons by the ids of their records, in the running service."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from adapters.records.synthetic import extract
from gateway.errors import RoleMissing
from gateway.model.rows import ReservationRow, SubjectRow
from gateway.service import calls
from tests.service.world import BASIS, CLEAN, FR, KIND, NOTE, NOW, PURPOSE, Side, World

LABEL = {"policy": "BEL", "level": "UNCLASSIFIED", "releasable_to": ["FRA"], "originators": ["bel.ocam"]}


async def write(side: Side, number: int, text: str, *mentions: str, **more: list[dict[str, Any]]) -> str:
    """A synthetic note, every item labelled; its id."""
    content: dict[str, Any] = {"title": "Crossing", "facts": [{"text": text}], "language": "en", **more}
    if mentions:
        content["mentions"] = list(mentions)
    pointers = ["/title", "/facts/0", "/language", *(f"/mentions/{index}" for index in range(len(mentions)))]
    pointers += [f"/{member}/0" for member in more]
    line = {
        "id": f"NOTE-{number}",
        "written_at": "2026-11-21T20:00:00Z",
        "originator": "bel.ocam",
        "labels": [{"pointer": pointer, "label": LABEL} for pointer in pointers],
        "content": content,
    }
    landed = await side.call(
        "be-requester", "records/import", calls.ImportChunk(NOTE, 1, json.dumps(line).encode())
    )
    assert not landed.bad
    return f"NOTE-{number}"


async def values_of(side: Side, record: str) -> dict[str, Any]:
    """What a person's record holds, by pointer."""
    view = await side.call("be-requester", "records/show", calls.Named(record))
    return {field.pointer: field.value for field in view.fields}


def rules(view: calls.DecisionView) -> list[tuple[str, str]]:
    return [(reason.rule, reason.pointer) for reason in view.reasons]


async def withheld_of(side: Side) -> tuple[str, str]:
    """A person of whom a means of communication is kept from the partner, and what it is."""
    for record in CLEAN:
        if "/contacts/1" in (values := await values_of(side, record)):
            return record, str(values["/contacts/1"]["value"])
    raise AssertionError("the extract has nobody with contacts")


async def test_what_the_record_of_a_person_mentioned_withholds_is_found(world: World) -> None:
    """It is REVIEW at the text that says it; without the mention nobody looks, and without the value it may leave."""
    person, mail = await withheld_of(world.be)
    told = await world.be.prepare(await write(world.be, 1, f"writes from {mail.upper()}", person))
    assert (told.effect, told.release) == ("REVIEW", "")
    assert rules(told) == [("free-text.mentioned", "/facts/0/text")]
    assert [text.hits for text in told.texts if text.pointer == "/facts/0/text"] == [("free-text.mentioned",)]
    silent = await world.be.prepare(await write(world.be, 2, "writes from somewhere", person))
    assert silent.effect == "PERMIT"
    assert mail not in silent.payload.decode()
    assert person not in silent.payload.decode()


@pytest.mark.parametrize(
    ("member", "item", "pointer"),
    [
        ("objects", {"type": "other"}, "/objects/0/value"),
        ("persons", {"role": "suspect", "adult": True}, "/persons/0/names/0"),
    ],
)
async def test_what_is_withheld_is_found_in_data_too(
    world: World, member: str, item: dict[str, Any], pointer: str
) -> None:
    """A value does not leave because the note holds it as data: there it is found, and in a text beside it."""
    person, mail = await withheld_of(world.be)
    item = item | ({"value": mail} if member == "objects" else {"names": [mail]})
    note = await write(world.be, 1, f"writes from {mail}", person, **{member: [item]})
    told = await world.be.prepare(note)
    assert told.effect == "REVIEW"
    assert set(rules(told)) == {("free-text.mentioned", "/facts/0/text"), ("free-text.mentioned", pointer)}


async def test_who_need_not_know_a_person_mentioned_is_told_nothing(world: World) -> None:
    """What is found in a text tells what the other record holds: it is asked for only by who may know that kind."""
    note = await write(world.be, 1, "expect him in Lille", CLEAN[0])
    alone = await write(world.be, 2, "expect him in Lille")
    officers = world.be.gateway.directory.officers
    officers["be-requester"] = msgspec.structs.replace(officers["be-requester"], need_to_know=(NOTE,))
    with pytest.raises(RoleMissing):
        await world.be.prepare(note)
    assert (await world.be.prepare(alone)).effect == "PERMIT"


@pytest.mark.parametrize(
    ("born", "effect", "rule"),
    [
        ("2018-01-01", "DENY", "person.under-12"),
        ("2010-01-01", "DENY", "person.minor"),
        ("1990-01-01", "PERMIT", ""),
        ("", "DENY", "person.under-12"),
    ],
)
async def test_whoever_is_mentioned_is_as_old_as_the_record_says(
    world: World, born: str, effect: str, rule: str
) -> None:
    """A note that calls a child of full age, or names nobody, leaves no more than the child's own record would; who may
    be a child is one."""
    line = json.loads(extract(3, 1, NOW).splitlines()[1]) | {"id": "BDC-000999"}
    line["content"] |= {"birth": [{"date": born, "precision": "day"}]}
    if not born:
        del line["content"]["birth"]
    chunk = calls.ImportChunk(KIND, 1, json.dumps(line).encode())
    await world.be.call("be-requester", "records/import", chunk)
    adult = {"role": "suspect", "adult": True, "names": ["Pzik Invented"]}
    for number, more in enumerate(({}, {"persons": [adult]}), start=1):
        told = await world.be.prepare(await write(world.be, number, "crossed at dawn", "BDC-000999", **more))
        assert told.effect == effect
        assert not rule or rules(told) == [(rule, "")]


async def test_an_embargo_on_a_person_mentioned_keeps_the_note(world: World) -> None:
    """What waits is voided at its approval, and nothing more is prepared."""
    note = await write(world.be, 1, "expect him in Lille", CLEAN[0])
    waiting = await world.be.request(note)
    await world.be.call(
        "be-approver", "embargoes/add", calls.PlaceEmbargo(CLEAN[0], b"a synthetic magistrate")
    )
    approved = await world.be.approve(waiting)
    assert [reason.rule for reason in approved.voided[waiting.release]] == ["embargo"]
    assert rules(await world.be.prepare(note)) == [("embargo", "")]
    other = await write(world.be, 2, "expect her in Lille", CLEAN[1])
    assert (await world.be.prepare(other)).effect == "PERMIT"


async def test_another_version_of_a_person_mentioned_voids_the_release(world: World) -> None:
    """What was looked for was what stood there then: what stands there now nobody has looked for."""
    note = await write(world.be, 1, "expect him in Lille", CLEAN[0])
    waiting = await world.be.request(note)
    later = extract(3, 1, NOW + timedelta(seconds=1))
    lines = [json.loads(line) for line in later.splitlines()]
    changed = next(line for line in lines if line["id"] == CLEAN[0])
    changed["content"]["contacts"] = [{"type": "phone", "value": "+32 000 99 88 77"}]
    changed["labels"] = []
    raw = msgspec.json.encode(changed)
    landed = await world.be.call("be-requester", "records/import", calls.ImportChunk(KIND, 1, raw))
    assert landed.changed == 1, landed
    approved = await world.be.approve(waiting)
    assert [reason.rule for reason in approved.voided[waiting.release]] == ["record.unchanged"]


async def test_a_note_counts_for_everybody_it_mentions(world: World) -> None:
    """From the approval on the partner holds something of each of them; their keys know whom they are about."""
    note = await write(world.be, 1, "both cross at night", CLEAN[0], CLEAN[1])
    view = await world.be.request(note)
    await world.be.approve(view)
    assert len([row for row in world.be.rows(ReservationRow) if row.release == view.release]) == 3
    assert len(world.be.rows(SubjectRow, key=world.be.release(view).key)) == 3


@pytest.mark.parametrize("keep", [True, False])
async def test_reasons_are_told_to_who_prepares_and_not_to_who_looks(world: World, keep: bool) -> None:
    """A register number in a justification is a hint, with the text; a preview has no reasons to show."""
    note = await write(world.be, 1, "expect him in Lille")
    params = calls.Disclose(note, (FR,), PURPOSE, BASIS, "he is 85.07.30-033.28")
    operation = "releases/prepare" if keep else "releases/preview"
    (view,) = await world.be.call("be-requester", operation, params)
    assert view.effect == "PERMIT"
    told = [(text.pointer, text.hits) for text in view.texts if not text.leaves]
    assert told == ([("/justification", ("free-text.register-number",))] if keep else [])

"""Requests, both ways: what is asked leaves like any content, and what is answered leaves once, in slots."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from gateway.errors import Conflict, NotFound, RequestInvalid, RoleMissing
from gateway.model.rows import QuarantineRow, RequestRow
from gateway.service import calls
from gateway.service.calls.requests import AnswerRequest, CloseRequest
from gateway.wire.container import frame
from gateway.wire.ct_json import CtJson
from gateway.wire.strict import b64url_decode
from tests.service.asking import (
    ASKS,
    answer,
    ask,
    asked_line,
    close,
    endorse,
    listed,
    prepare_request,
    put_in,
    rules,
    sign,
    silence,
    to_slot,
)
from tests.service.world import ASKED, BASIS, CLEAN, FR, KIND, NOW, PURPOSE, World, opened, reseal

# --- asking ----------------------------------------------------------------------------------------------------------


async def test_a_request_is_a_release_like_any_other(world: World) -> None:
    """Decision, four eyes, guard; it leaves in type request at once, and the other side stores it and receipts it
    before anybody looks."""
    request = await ask(world)
    (message,) = opened(world, world.fr.wire.batches[-1])
    assert message.header.typ == "ecluse-msg-request+jws"
    said = CtJson().parse(message.payload)
    assert said.records[0].kind == ASKED
    assert said.records[0].content["asks"] == ASKS
    (row,) = world.be.rows(RequestRow)
    assert row == RequestRow(FR, request, "normal", world.clock.now())


async def test_an_unlabelled_item_keeps_it_at_home(world: World) -> None:
    """A request has no default label."""
    assert "label.present" in rules(await prepare_request(world, asked_line(label=None)))


@pytest.mark.parametrize(
    ("person", "denied"),
    [
        ({"adult": True}, []),
        ({"birth": {"date": "1990-03", "precision": "month"}}, []),
        ({}, ["person.under-12"]),
        ({"birth": {"date": "2020", "precision": "year"}}, ["person.under-12"]),
        ({"birth": {"date": "2012-05-01", "precision": "day"}}, ["person.minor"]),
    ],
)
async def test_a_person_asked_about_has_an_age(
    world: World, person: dict[str, Any], denied: list[str]
) -> None:
    """Nobody is asked about whose age cannot be told, nor a child; a minor takes a lift of the person."""
    line = asked_line(persons=[{"role": "suspect", "names": ["Zzemo Exemple"]} | person], link="Invented.")
    view = await prepare_request(world, line)
    assert [reason.rule for reason in view.reasons if reason.effect == "DENY"] == denied
    assert (view.effect == "PERMIT") == (not denied)


@pytest.mark.parametrize(
    ("content", "pointer", "rule"),
    [
        ({"urgency": {"class": "urgent-direct"}}, "/urgency/reasons", "required"),
        ({"urgency": {"class": "soon"}}, "/urgency/class", "enum"),
        ({"asks": []}, "/asks", "minItems"),
        ({"asks": ASKS * 2}, "/asks/*/kind", "asks.duplicate"),
        ({"asks": [{"kind": KIND, "fields": ["names"]}]}, "/asks/*/fields/*", "pattern"),
        ({"persons": [{"role": "suspect"}]}, "/link", "link.required"),
        ({"detail": None}, "/detail", "type"),
        (
            {"persons": [{"role": "suspect", "birth": {"date": "1990", "precision": "day"}}], "link": "x"},
            "/persons/*/birth/date",
            "date.precision",
        ),
    ],
)
async def test_a_document_that_is_none_is_named(
    world: World, content: dict[str, Any], pointer: str, rule: str
) -> None:
    """The field and the rule, never a value."""
    (bad,) = (await put_in(world.fr, asked_line(**content))).bad
    assert (bad.pointer, bad.rule) == (pointer, rule)


async def test_a_request_answers_nothing(world: World) -> None:
    """A record that asks leaves as a request and in no other way: it is no answer, with `disclose` either."""
    request = await ask(world)
    await put_in(world.be, asked_line(7))
    with pytest.raises(RequestInvalid):
        await answer(world, request, "REQ-000007")
    params = calls.Disclose("REQ-000007", (FR,), PURPOSE, BASIS, "x", request=request)
    with pytest.raises(RequestInvalid):
        await world.be.call("be-requester", "releases/prepare", params)


# --- what is listed --------------------------------------------------------------------------------------------------


async def test_open_requests_and_by_when(world: World) -> None:
    """Urgency and the end of its clock; answered ones are not open, and one whose answer was voided is again."""
    request = await ask(world)
    (item,) = await listed(world, state="open")
    assert (item.message_id, item.urgency, item.due) == (request, "normal", NOW + timedelta(days=7))
    assert not item.overdue
    world.clock.advance(seconds=7 * 86_400)
    assert (await listed(world))[0].overdue
    await silence(world, request)
    assert await listed(world, state="open") == []
    (item,) = await listed(world)
    assert (item.answer, item.state, item.overdue) == ("no-information", "queued", False)


async def test_a_request_is_shown_to_those_who_need_to_know(world: World) -> None:
    """Its bytes, to an officer with need to know; the read is an entry."""
    request = await ask(world)
    before = world.be.log_size(world.be.gateway.ledger.master)
    view = await world.be.call("be-only-inbox", "requests/show", calls.Named(request))
    assert b"Where was this invented person" in view.message.payload
    assert world.be.log_size(world.be.gateway.ledger.master) == before + 1
    with pytest.raises(RoleMissing):
        await world.be.call("be-stranger", "requests/show", calls.Named(request))
    with pytest.raises(NotFound):
        await world.be.call("be-only-inbox", "requests/show", calls.Named("unknown"))


async def test_other_messages_are_no_requests(world: World) -> None:
    """What did not ask is not listed, and nothing answers it."""
    (sent,) = await world.be.disclose(CLEAN[0])
    await world.be.send()
    params = CloseRequest(sent.message_id, "no-information", "nothing", "x")
    with pytest.raises(NotFound):
        await world.fr.call("fr-inbox", "requests/close", params)


# --- class B ---------------------------------------------------------------------------------------------------------


async def test_what_is_asked_for_is_answered(world: World) -> None:
    """Class B leaves exactly where the request asks for it: of this kind, and for this purpose."""
    request = await ask(world, asked_line(asks=[{"kind": KIND, "fields": ["/description"]}]))
    view = await answer(world, request)
    outcomes = {field.pointer: (field.outcome, field.rule) for field in view.fields}
    assert outcomes["/description"] == ("released", "class.B")
    left = {
        pointer for pointer, (outcome, rule) in outcomes.items() if (outcome, rule) == ("released", "class.B")
    }
    assert left == {"/description"}
    assert ("withheld", "class.B") in outcomes.values()
    await sign(world.be, view)
    await to_slot(world)
    (message,) = opened(world, world.be.wire.batches[-1])
    said = CtJson().parse(message.payload)
    assert said.reply is not None
    assert said.reply.answers == request
    assert message.header.conv == view.conversation == world.be.received()[0].conversation


@pytest.mark.parametrize(
    "fields",
    [[{"kind": "support-report/1.0", "fields": ["/description"]}], [{"kind": KIND, "fields": ["/sex"]}]],
)
async def test_what_is_not_asked_for_stays(world: World, fields: Any) -> None:
    """Another kind's field of the same name is not asked for; nor is what the request leaves out."""
    view = await answer(world, await ask(world, asked_line(asks=fields)))
    outcomes = {field.pointer: field.outcome for field in view.fields}
    assert outcomes["/description"] == "withheld"


async def test_a_request_of_another_opens_nothing(world: World) -> None:
    """Toward a partner that did not ask, or for another purpose, the release is denied as a whole."""
    request = await ask(world)
    params = calls.Disclose(CLEAN[0], (FR,), "ct-investigation", BASIS, "x", request=request)
    (view,) = await world.be.call("be-requester", "releases/preview", params)
    assert "request.answers" in [reason.rule for reason in view.reasons]


# --- one answer ------------------------------------------------------------------------------------------------------


async def test_one_answer_a_request(world: World) -> None:
    """What is on its way stands against every other answer; voided or cancelled, it frees the request."""
    request = await ask(world)
    view = await answer(world, request)
    other = await close(world, request)
    await sign(world.be, view)
    with pytest.raises(Conflict):
        await endorse(world, other)
    assert rules(await close(world, request)) == ["reply.once"]
    assert rules(await answer(world, request, CLEAN[1])) == ["reply.once"]
    await world.be.call("be-approver", "releases/cancel", calls.Ended(view.release, "x"))
    await endorse(world, other)
    assert rules(await close(world, request)) == ["reply.once"]


async def test_two_answers_wait_and_one_goes(world: World) -> None:
    """The first approved is the answer; the other is voided at its approval, with the reason."""
    request = await ask(world)
    first, second = await answer(world, request), await answer(world, request, CLEAN[1])
    assert not (await sign(world.be, first)).voided
    voided = (await sign(world.be, second)).voided
    assert [reason.rule for reason in voided[second.release]] == ["reply.once"]


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ground", ["incomplete", "minor-offence", "outside-agreement", "outside-competence"])
async def test_a_refusal_before_anybody_looked(world: World, ground: str) -> None:
    """The ground leaves, since nothing was looked up."""
    request = await ask(world)
    view = await close(world, request, "refusal", ground)
    await endorse(world, view)
    await to_slot(world)
    (message,) = opened(world, world.be.wire.batches[-1])
    reply = CtJson().parse(message.payload).reply
    assert reply is not None
    assert (reply.answers, reply.ground) == (request, ground)


@pytest.mark.parametrize("look", ["answer", "preview"])
async def test_after_a_look_only_silence_is_left(world: World, look: str) -> None:
    """A record prepared or previewed for the request: a refusal would tell what was found. One prepared before the look
    is not endorsed after it."""
    request = await ask(world)
    before = await close(world, request, "refusal", "incomplete")
    if look == "answer":
        await answer(world, request)
    else:
        params = calls.Disclose(CLEAN[0], (FR,), PURPOSE, request=request)
        await world.be.call("be-only-reviewer", "releases/preview", params)
    assert (await listed(world))[0].looked
    assert rules(await close(world, request, "refusal", "incomplete")) == ["reply.looked"]
    with pytest.raises(Conflict):
        await endorse(world, before)
    await silence(world, request)


@pytest.mark.parametrize(
    ("type", "ground"), [("refusal", "withheld"), ("refusal", "nothing"), ("no-information", "incomplete")]
)
async def test_a_ground_of_the_other_answer_is_none(world: World, type: str, ground: str) -> None:
    """What would say that something exists has no coded form."""
    request = await ask(world)
    with pytest.raises(RequestInvalid):
        await close(world, request, type, ground)


async def test_an_answer_has_a_justification(world: World) -> None:
    """LED art. 25."""
    request = await ask(world)
    with pytest.raises(RequestInvalid):
        await world.be.call(
            "be-only-inbox", "requests/close", CloseRequest(request, "no-information", "nothing", " ")
        )
    with pytest.raises(RequestInvalid):
        await world.be.call("be-requester", "requests/answer", AnswerRequest(request, CLEAN[0], ""))


# --- hostile ---------------------------------------------------------------------------------------------------------


def hostile(tree: Any, what: str) -> None:
    record = tree["records"][0]
    if what == "too much":
        record["asks"] = [
            {"kind": KIND, "fields": [f"/field_{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(65)]}
        ]
    if what == "odd pattern":
        record["asks"] = [{"fields": ["/names/*/../\u202e"], "kind": KIND}]
    if what == "every field":
        record["asks"] = [{"fields": ["/*"], "kind": KIND}]
    if what == "odd kind":
        record["asks"] = [{"fields": ["/names/*"], "kind": "../records/bdc-person/1.0"}]
    if what == "unheard urgency":
        record["urgency"] = {"class": "at-once"}
    if what == "no record":
        tree["records"], tree["manifest"]["records"], tree["labels"] = [], [], []
    if what == "another kind":
        tree["manifest"]["records"][0]["kind"] = KIND
    if what == "a disclosure":
        tree["type"] = "disclosure"


@pytest.mark.parametrize(
    "what",
    [
        *(
            "too much",
            "odd pattern",
            "every field",
            "odd kind",
            "unheard urgency",
            "no record",
            "another kind",
        ),
        "a disclosure",
    ],
)
async def test_a_hostile_request_is_refused_with_a_code(world: World, what: str) -> None:
    """Whatever its signer let pass: refused with one code, quarantined, listed nowhere."""
    await ask(world)
    (message,) = opened(world, world.fr.wire.batches[-1])
    tree = msgspec.json.decode(message.payload)
    tree["message_id"] = "0a0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a99"
    hostile(tree, what)
    forged = reseal(world, message, msgspec.json.encode(tree), jti=tree["message_id"], seq=2)
    receipt = await world.be.intake.accept(FR, frame([forged]))
    statement = json.loads(b64url_decode(receipt.split(".")[1]))
    assert [item["code"] for item in statement["items"]] == ["schema-violation"]
    assert [row.code for row in world.be.rows(QuarantineRow)] == ["schema-violation"]
    assert len(world.be.rows(RequestRow)) == 1

"""Consent that travels: asked for without saying who asks, granted by two persons, a ground once two here say so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters.records.synthetic import extract
from gateway.errors import Conflict, GatewayError, NotFound, RequestInvalid, RoleMissing
from gateway.flow.change import canonical
from gateway.model.case_rows import ConsentRow, GroundRow
from gateway.model.decision import ReplyDocument
from gateway.model.ground import Consent, GroundDocument
from gateway.model.request import Lift
from gateway.model.rows import EndorsementRow, InboxRow, OutboxRow, ReleaseRow, RemovalRow
from gateway.service import calls
from gateway.service.calls.consents import AcceptConsent, AnswerConsent, ConsentItem
from gateway.service.calls.grounds import ConfirmGround, GroundView
from gateway.service.calls.notices import RemoveRecord
from gateway.service.grounds import in_force
from gateway.wire.ct_json import CtJson
from tests.service.asking import LABEL, sign
from tests.service.commandline import Line
from tests.service.founding import sign_agreement, terms
from tests.service.test_accumulation import subject_of
from tests.service.world import BASIS, BE, CLEAN, CONSENT, FR, KIND, NOW, PURPOSE, SERIES, Side, World

#: Whom we would pass it on to.
DE = "deu.police-demo"
MESSAGE, REF = "5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a11", "p-" + "0" * 32
OFFICERS = {FR: ("fr-inbox", "fr-second"), BE: ("be-requester", "be-approver")}


def consent_line(number: int = 1, **content: Any) -> bytes:
    """A consent request as an officer writes it down."""
    members = {
        "about": {"message": MESSAGE, "ref": REF, "kind": KIND},
        "items": ["/names/*", "/threat"],
        "purpose": PURPOSE,
        "urgency": {"class": "normal"},
        "recipient": DE,
        "record": CLEAN[0],
    } | content
    line = {
        "id": f"CON-{number:06d}",
        "extracted_at": "2026-11-21T20:00:00Z",
        "label": LABEL,
        "originator": BE,
        "content": {name: value for name, value in members.items() if value is not None},
    }
    return json.dumps(line).encode() + b"\n"


async def prepare(world: World, line: bytes, *lifts: Lift) -> calls.DecisionView:
    be = world.be
    imported = await be.call("be-requester", "records/import", calls.ImportChunk(CONSENT, 1, line))
    assert imported.bad == ()
    params = calls.Disclose(json.loads(line)["id"], (FR,), PURPOSE, BASIS, "synthetic case", lifts=lifts)
    views: list[calls.DecisionView] = await be.call("be-requester", "releases/prepare", params)
    return views[0]


async def agree(world: World, version: int, *lifts: str) -> None:
    """An agreement by which the French side may supply a person too."""
    kinds = {BE: "police", FR: "police"}
    agreed = terms(version=version, recipient_kinds=kinds, lifts=("/national_number", *lifts))
    signed = sign_agreement(agreed, world.founded.agreement_keys)
    for side in world.sides.values():
        await side.change("agreement", SERIES, canonical(signed))


async def supplied(world: World) -> dict[str, str]:
    """What the French side supplied of its own person, as the Belgian side names it when it asks."""
    fr = world.fr
    if not fr.rows(ReleaseRow, type="disclosure"):
        ours = fr.gateway.directory.partners[BE]
        entry = msgspec.structs.replace(ours, recipient_kind="police", version=ours.version + 1)
        await fr.change("partner", BE, canonical(entry))
        await agree(world, 2)
        line = json.loads(extract(2, 1, NOW).splitlines()[1]) | {
            "originator": FR,
            "label": LABEL,
            "labels": [],
        }
        await fr.call("fr-inbox", "records/import", calls.ImportChunk(KIND, 1, json.dumps(line).encode()))
        params = calls.Disclose(line["id"], (BE,), PURPOSE, BASIS, "synthetic case")
        (view,) = await fr.call("fr-inbox", "releases/prepare", params)
        assert view.effect == "PERMIT", [reason.rule for reason in view.reasons]
        await sign(fr, view)
        await fr.send()
    (row,) = fr.rows(ReleaseRow, type="disclosure")
    received = await world.be.call("be-requester", "inbox/show", calls.Named(row.message_id))
    (part,) = CtJson().parse(received.payload).records
    return {"message": row.message_id, "ref": part.ref, "kind": part.kind}


async def ask(world: World, *lifts: Lift, line: bytes = b"", **about: str) -> str:
    """A consent request approved, sent, receipted; its id. It names what was supplied, unless ``about`` says else."""
    document = json.loads(line or consent_line())
    document["content"]["about"] = await supplied(world) | about
    view = await prepare(world, json.dumps(document).encode() + b"\n", *lifts)
    assert view.effect == "PERMIT", [reason.rule for reason in view.reasons]
    await sign(world.be, view)
    await world.be.send()
    assert world.be.release(view).state == "delivered"
    return view.message_id


def received(side: Side, message: str) -> Any:
    """A received message, as its bytes say."""
    return side.rows(InboxRow, message_id=message)[0]


async def answer(
    world: World, request: str, consent: Any = "granted", until: str = "2026-12-31", by: str = "fr-inbox"
) -> calls.DecisionView:
    params = AnswerConsent(request, consent, "synthetic case", until)
    view: calls.DecisionView = await world.fr.call(by, "consents/answer", params)
    return view


async def endorse(world: World, view: calls.DecisionView, by: str = "fr-inbox") -> str:
    token = world.fr.endorse(by, "request", [view.statement])
    done = await world.fr.call(by, "consents/endorse", calls.Endorsed((view.release,), token))
    return str(done[view.release])


async def approve(world: World, view: calls.DecisionView, by: str = "fr-second", act: str = "approve") -> str:
    token = world.fr.endorse(by, act, [view.statement])
    done = await world.fr.call(by, "consents/approve", calls.Endorsed((view.release,), token))
    return str(done[view.release])


async def granted(world: World, request: str, until: str = "2026-12-31") -> str:
    """Two persons of the French side grant; the answer's id."""
    view = await answer(world, request, until=until)
    assert view.effect == "PERMIT"
    assert await endorse(world, view) == "awaiting-approval"
    assert await approve(world, view) == "queued"
    await world.fr.send()
    return view.message_id


async def accept(world: World, message: str, until: str = "") -> GroundView:
    view: GroundView = await world.be.call("be-requester", "consents/accept", AcceptConsent(message, until))
    return view


async def lifting(world: World) -> None:
    """An agreement under which it may be said who asks."""
    await supplied(world)
    await agree(world, 3, "/recipient")


# --- asking ----------------------------------------------------------------------------------------------------------


async def payload(world: World, message: str) -> dict[str, Any]:
    view = await world.fr.call("fr-inbox", "inbox/show", calls.Named(message))
    return CtJson().parse(view.payload).records[0].content


async def test_who_asks_is_withheld_and_our_record_never_leaves(world: World) -> None:
    """The partner reads which items of which of its messages, for what and how urgently; not for whom."""
    request = await ask(world)
    content = await payload(world, request)
    assert set(content) == {"about", "items", "purpose", "urgency"}
    assert content["about"] == await supplied(world)
    items: list[ConsentItem] = await world.fr.call("fr-inbox", "consents/list", calls.Page())
    assert [(item.sender, item.message_id, item.release) for item in items] == [(BE, request, "")]


async def test_the_sample_is_as_it_should_be(world: World) -> None:
    """The document that the manual names lands."""
    sample = Path(__file__).parents[2] / "docs" / "samples" / "consent-request.json"
    chunk = calls.ImportChunk(CONSENT, 1, b" ".join(sample.read_bytes().split(b"\n")))
    imported = await world.be.call("be-requester", "records/import", chunk)
    assert (imported.new, imported.bad) == (1, ())


async def test_it_may_be_said_who_asks_where_agreement_and_lift_allow(world: World) -> None:
    """A lift alone is not enough, an agreement alone neither; both are, by a lift approver."""
    lift = Lift("/recipient", "the originator asked us to say so")
    view = await prepare(world, consent_line(), lift)
    assert "/recipient" not in [field.pointer for field in view.fields if field.outcome == "released"]
    await lifting(world)
    assert "recipient" not in await payload(world, await ask(world))
    told = await ask(world, lift, line=consent_line(2))
    assert (await payload(world, told))["recipient"] == DE


@pytest.mark.parametrize(
    ("content", "pointer", "rule"),
    [
        ({"recipient": None}, "/recipient", "required"),
        ({"record": None}, "/record", "required"),
        ({"items": []}, "/items", "minItems"),
        ({"items": ["/threat", "/threat"]}, "/items/*", "items.duplicate"),
        ({"items": ["*"]}, "/items/*", "pattern"),
        ({"about": {"message": "x", "ref": REF, "kind": KIND}}, "/about/message", "pattern"),
        ({"about": {"message": MESSAGE, "ref": "Zzemo Exemple", "kind": KIND}}, "/about/ref", "pattern"),
        ({"urgency": {"class": "urgent"}}, "/urgency/reasons", "required"),
        ({"purpose": "any purpose"}, "/purpose", "pattern"),
        ({"recipient": "everybody"}, "/recipient", "pattern"),
    ],
)
async def test_a_request_that_is_not_as_it_should_be_is_named(
    world: World, content: dict[str, Any], pointer: str, rule: str
) -> None:
    """By the field and the rule; nothing lands."""
    chunk = calls.ImportChunk(CONSENT, 1, consent_line(**content))
    imported = await world.be.call("be-requester", "records/import", chunk)
    assert [(bad.pointer, bad.rule) for bad in imported.bad] == [(pointer, rule)]
    assert imported.new == 0


# --- answering -------------------------------------------------------------------------------------------------------


async def test_a_refusal_takes_one_officer(world: World) -> None:
    """It leaves on the officer's word, is the one answer, and grants nothing here."""
    request = await ask(world)
    view = await answer(world, request, "refused", "")
    assert await endorse(world, view) == "queued"
    await world.fr.send()
    (row,) = world.fr.rows(ConsentRow)
    assert row.answer == view.release
    again = await answer(world, request)
    assert [reason.rule for reason in again.reasons] == ["reply.once"]
    with pytest.raises(Conflict, match="grants nothing"):
        await accept(world, view.message_id)


async def test_a_grant_takes_two_persons(world: World) -> None:
    """The first signature sends nothing; neither who prepared it, nor somebody who may not approve, nor a signature of
    another act is the second."""
    request = await ask(world)
    view = await answer(world, request)
    assert await endorse(world, view) == "awaiting-approval"
    await world.fr.send()
    assert "consent-answer" not in {row.type for row in world.fr.rows(OutboxRow)}
    with pytest.raises(RoleMissing):
        await approve(world, view, "fr-second", "request")
    shown = await world.fr.call("fr-second", "consents/show", calls.Named(view.release))
    assert (shown.statement, shown.payload) == (view.statement, view.payload)
    assert await approve(world, view) == "queued"
    await world.fr.send()
    assert world.fr.release(view).state == "delivered"


async def test_a_grant_of_who_left_since_does_not_leave(world: World) -> None:
    """The second person's signature counts as long as that person may sign."""
    request = await ask(world)
    view = await answer(world, request)
    await endorse(world, view)
    await approve(world, view)
    officer = world.fr.gateway.directory.officers["fr-second"]
    (row,) = world.fr.rows(OutboxRow, type="consent-answer")
    suspended = msgspec.structs.replace(officer, suspended=True, version=officer.version + 1)
    directory = world.fr.gateway.directory
    world.fr.gateway.directory = msgspec.structs.replace(
        directory, officers={**directory.officers, officer.id: suspended}
    )
    await world.fr.send()
    assert world.fr.release(view).reason == "endorsement.in-force"
    assert row.message_id not in {one.message_id for one in world.be.rows(InboxRow)}


async def test_a_grant_without_its_second_signature_does_not_leave(world: World) -> None:
    """Whoever takes that signature out of the database has it voided."""
    request = await ask(world)
    view = await answer(world, request)
    await endorse(world, view)
    await approve(world, view)
    where = {"release": view.release, "act": "approve"}
    await world.fr.store.write(lambda tx: tx.delete(EndorsementRow, where))
    await world.fr.send()
    assert world.fr.release(view).reason == "endorsement.in-force"
    assert {row.type for row in world.be.rows(InboxRow)} == {"disclosure"}


@pytest.mark.parametrize(
    ("consent", "until", "field"),
    [
        ("refused", "2026-12-31", "until"),
        ("granted", "2026-11-20", "until"),
        ("granted", "tomorrow", "until"),
        ("granted", "", "until"),
        ("granted", "2026-02-30", "until"),
    ],
)
async def test_a_last_day_is_a_grant_s_and_to_come(
    world: World, consent: str, until: str, field: str
) -> None:
    """Anything else is refused with the field's name."""
    request = await ask(world)
    with pytest.raises(RequestInvalid) as caught:
        await answer(world, request, consent, until)
    assert caught.value.diagnostic == {"field": field}


UNSENT, OTHER = "5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a11", "p-" + "0" * 32


@pytest.mark.parametrize(
    ("about", "items", "until", "rule"),
    [
        ({"message": UNSENT}, ["/threat"], "2026-12-31", "consent.release"),
        ({"ref": OTHER}, ["/threat"], "2026-12-31", "consent.release"),
        ({"kind": "information-note/1.0"}, ["/threat"], "2026-12-31", "consent.release"),
        ({}, ["/threat", "/national_number"], "2026-12-31", "consent.items"),
        ({}, ["/health"], "2026-12-31", "consent.items"),
        ({}, ["/threat"], "2027-11-22", "consent.until"),
    ],
)
async def test_a_grant_is_about_what_left(
    world: World, about: dict[str, str], items: list[str], until: str, rule: str
) -> None:
    """A message that this partner was sent, the person in it by that pseudonym, items that left with it, and no longer
    than it may be kept: anything else is denied by that one rule, nothing is frozen, and a refusal may still leave."""
    request = await ask(world, line=consent_line(items=items), **about)
    view = await answer(world, request, until=until)
    assert (view.effect, [reason.rule for reason in view.reasons]) == ("DENY", [rule])
    assert world.fr.rows(ReleaseRow, type="consent-answer") == []
    assert (await answer(world, request, "refused", "")).effect == "PERMIT"


async def embargo(world: World) -> None:
    params = calls.PlaceEmbargo(CLEAN[0], b"invented order")
    await world.fr.call("fr-inbox", "embargoes/add", params)


async def recall(world: World) -> None:
    message = (await supplied(world))["message"]
    view = await world.fr.call(
        "fr-inbox", "recalls/prepare", calls.RecallMessage(message, "withdrawn", "", "invented")
    )
    token = world.fr.endorse("fr-inbox", "request", [view.statement])
    await world.fr.call("fr-inbox", "recalls/endorse", calls.Endorsed((view.release,), token))


async def remove(world: World) -> None:
    await world.fr.call("fr-inbox", "records/remove", RemoveRecord(CLEAN[0], "false", "invented"))
    assert world.fr.rows(RemovalRow)


MEANWHILE = [(embargo, "embargo"), (recall, "consent.recalled"), (remove, "consent.removed")]


@pytest.mark.parametrize(("happened", "rule"), MEANWHILE)
async def test_what_became_of_the_message_stands_against_a_grant(
    world: World, happened: Any, rule: str
) -> None:
    """When it is prepared; when the second person signs; and at the look before it leaves."""
    before, signed, queued = [await ask(world, line=consent_line(number)) for number in (1, 2, 3)]
    waiting, leaving = await answer(world, signed), await answer(world, queued)
    for view in (waiting, leaving):
        assert await endorse(world, view) == "awaiting-approval"
    assert await approve(world, leaving) == "queued"
    await happened(world)
    denied = await answer(world, before)
    assert (denied.effect, [reason.rule for reason in denied.reasons]) == ("DENY", [rule])
    with pytest.raises(Conflict, match=rule):
        await approve(world, waiting)
    await world.fr.send()
    assert (world.fr.release(leaving).state, world.fr.release(leaving).reason) == ("voided", rule)
    assert "consent-answer" not in {row.type for row in world.be.rows(InboxRow)}


async def test_whoever_approves_a_grant_sees_what_goes_on(world: World) -> None:
    """The record, the items, the purpose, and to whom where that is told: in the document that both sign."""
    lift = Lift("/recipient", "the originator asked us to say so")
    await lifting(world)
    for number, lifts, told in ((1, (), ""), (2, (lift,), DE)):
        view = await answer(world, await ask(world, *lifts, line=consent_line(number)))
        shown = await world.fr.call("fr-second", "consents/show", calls.Named(view.release))
        about = msgspec.json.decode(shown.document, type=ReplyDocument).about
        assert about is not None
        (record,) = world.fr.rows(ReleaseRow, type="disclosure")
        assert (about.record, about.release) == (record.handle, record.id)
        assert (about.items, about.purpose, about.recipient) == (("/names/*", "/threat"), PURPOSE, told)


async def test_what_is_no_consent_request_is_not_answered(world: World) -> None:
    """Unknown, or a disclosure."""
    (view,) = await world.be.disclose(CLEAN[1])
    await world.be.send()
    for name in ("none", view.message_id):
        with pytest.raises(NotFound):
            await answer(world, name)
    with pytest.raises(GatewayError):
        await world.fr.call("fr-second", "consents/show", calls.Named(view.release))


# --- accepting -------------------------------------------------------------------------------------------------------


async def test_a_grant_is_a_ground_once_two_persons_here_say_so(world: World) -> None:
    """For what was asked and no more: these items, this purpose, this recipient, though the request did not name it;
    through the day granted; recorded by one, confirmed by another."""
    be = world.be
    message = await granted(world, await ask(world))
    view = await accept(world, message)
    ground = msgspec.json.decode(view.document, type=GroundDocument).ground
    assert isinstance(ground, Consent)
    assert (ground.originator, ground.recipients, ground.purposes) == (FR, (DE,), (PURPOSE,))
    assert (ground.items, ground.until) == (("/names/*", "/threat"), "2026-12-31")
    assert (ground.given, ground.by) == ("message", message)
    subject, now = await subject_of(be, CLEAN[0]), world.clock.now()

    def consents() -> Any:
        return be.store.read(lambda tx: in_force(tx, subject, DE, PURPOSE, now).consents)

    assert await consents() == ()
    (row,) = be.rows(GroundRow)
    await be.call("be-approver", "grounds/confirm", ConfirmGround(row.id, row.sha256))
    (found,) = await consents()
    assert (found.originator, found.items) == (FR, ("/names/*", "/threat"))


async def test_a_grant_is_not_stretched(world: World) -> None:
    """Not beyond its day; a shorter one may be chosen."""
    message = await granted(world, await ask(world))
    with pytest.raises(RequestInvalid):
        await accept(world, message, "2027-01-01")
    assert (await accept(world, message, "2026-12-01")).item.until == "2026-12-01"


async def test_nobody_else_s_message_is_an_answer(world: World) -> None:
    """Not the request itself, not an unknown id; nor for an officer without need to know of the record."""
    request = await ask(world)
    message = await granted(world, request)
    for name in (request, "none"):
        with pytest.raises(NotFound):
            await accept(world, name)
    with pytest.raises(RoleMissing):
        await world.be.call("be-stranger", "consents/accept", AcceptConsent(message))
    assert world.be.rows(GroundRow) == []


# --- on the command line ---------------------------------------------------------------------------------------------


async def test_on_the_command_line(line: Line) -> None:
    """Asked, answered on the other side, accepted: each in one command, each second person named in the hint."""
    world = line.world
    document = json.loads(consent_line()) | {"extracted_at": f"{world.clock.now():%Y-%m-%dT%H:%M:%SZ}"}
    file = line.file("consent.json", json.dumps(document, indent=1).encode())
    why = ("--purpose", PURPOSE, "--basis", BASIS, "--justification", "invented")
    code, asked = await line.run("be-requester", "consent", "ask", file, "--to", FR, *why)
    assert code == 0, asked
    (release,) = asked["releases"]
    assert "/recipient" not in release["released"]
    assert (await line.run("be-approver", "approve", release["release"], "--yes"))[0] == 0
    code, listed = await line.run("be-approver", "consent", "list")
    assert (code, listed["consents"]) == (0, [])
    bad = line.file("bad.json", b"not a request")
    code, refused = await line.run("be-requester", "consent", "ask", bad, "--to", FR, *why)
    assert (code, "error" in refused) == (2, True)
    code, refused = await line.run("be-requester", "consent", "accept", "none")
    assert (code, "error" in refused) == (2, True)

"""Agreements over two gateways: offered, signed and revoked by messages; what arrives waits for two persons here."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from gateway.errors import GatewayError, NotFound, OutsideAgreement, RequestInvalid, RoleMissing
from gateway.flow.change import canonical, digest
from gateway.model.agreement import AgreementTerms, SignedAgreement
from gateway.model.case_rows import OfferRow
from gateway.model.message import AgreementAction, AgreementPart
from gateway.model.rows import QuarantineRow
from gateway.service import calls
from gateway.service.calls.agreements import OfferView, RevokeAgreement, SendAgreement
from gateway.wire.container import frame
from gateway.wire.ct_json import CtJson
from gateway.wire.strict import b64url, b64url_decode
from tests.service.commandline import Line
from tests.service.founding import sign_agreement, terms
from tests.service.test_intake import items
from tests.service.test_recall import delivered, rules
from tests.service.world import BE, CLEAN, FR, NOW, SERIES, Side, World, opened, reseal


def signed(world: World, *orgs: str, **changes: Any) -> SignedAgreement:
    """The next version of the terms with these sides' signatures."""
    agreed = terms(**{"version": 2, "retention_days": 30} | changes)
    keys = {org: path for org, path in world.founded.agreement_keys.items() if org in orgs}
    return sign_agreement(agreed, keys)


def first(side: Side) -> str:
    return {BE: "be-requester", FR: "fr-inbox"}[side.org]


def second(side: Side) -> str:
    return {BE: "be-approver", FR: "fr-second"}[side.org]


def sha256(agreement: SignedAgreement) -> str:
    return digest(canonical(msgspec.json.decode(_raw(agreement), type=AgreementTerms)))


def _raw(agreement: SignedAgreement) -> bytes:
    return b64url_decode(agreement.terms)


async def prepare(side: Side, agreement: SignedAgreement) -> calls.DecisionView:
    view: calls.DecisionView = await side.call(
        first(side), "agreements/send", SendAgreement(agreement, "synthetic")
    )
    return view


async def sign(side: Side, view: calls.DecisionView, act: Any, officer: str) -> str:
    operation = "agreements/endorse" if act == "request" else "agreements/approve"
    token = side.endorse(officer, act, [view.statement])
    done = await side.call(officer, operation, calls.Endorsed((view.release,), token))
    return str(done[view.release])


async def say(side: Side, agreement: SignedAgreement) -> calls.DecisionView:
    """Terms leave on the word of two security officers."""
    view = await prepare(side, agreement)
    assert view.effect == "PERMIT", [reason.rule for reason in view.reasons]
    assert await sign(side, view, "request", first(side)) == "awaiting-approval"
    assert await sign(side, view, "approve", second(side)) == "queued"
    await side.send()
    return view


async def listed(side: Side) -> dict[tuple[str, int], str]:
    found: list[OfferView] = await side.call(first(side), "agreements/offers", calls.Page())
    return {(one.direction, one.version): one.state for one in found}


async def fetched(side: Side, agreement: SignedAgreement) -> SignedAgreement:
    found: SignedAgreement = await side.call(
        first(side), "agreements/offered", calls.Named(sha256(agreement))
    )
    return found


async def test_offered_signed_and_put_in_force(world: World) -> None:
    """We offer, the partner's two persons return its signature, and each side puts the same in force by the change of
    two persons that a file takes. Until then both exchange under the version before, and both logs verify."""
    be, fr = world.be, world.fr
    await say(be, signed(world, BE))
    assert (await listed(be), await listed(fr)) == ({("out", 2): "offered"}, {("in", 2): "received"})
    assert (await fetched(fr, signed(world, BE))).signatures.keys() == {BE}
    await say(fr, signed(world, BE, FR))
    assert (await listed(be), await listed(fr)) == ({("out", 2): "signed"}, {("in", 2): "signed"})
    for side in (be, fr):
        assert side.gateway.directory.agreements[side.partner].terms.version == 1
        both = await fetched(side, signed(world, BE))
        assert both.signatures.keys() == {BE, FR}
        await side.change("agreement", SERIES, canonical(both))
        assert side.gateway.directory.agreements[side.partner].terms.version == 2
    assert (await listed(be), await listed(fr)) == ({("out", 2): "in-force"}, {("in", 2): "in-force"})
    await delivered(world, CLEAN[0])
    for side in (be, fr):
        ledger = side.gateway.ledger
        await side.gateway.checkpoint_logs([ledger.master, ledger.of_partner(side.partner)])
        assert {verdict.status for verdict in side.verdicts()} == {"verified"}


async def test_what_leaves_is_what_two_persons_and_the_key_signed(world: World) -> None:
    """The message holds the exact terms and one signature, ours; the justification stays."""
    view = await say(world.be, signed(world, BE))
    (message,) = opened(world, world.be.wire.batches[-1])
    said = CtJson().parse(message.payload)
    assert said.agreement is not None
    assert (said.agreement.terms, said.agreement.action) == (signed(world, BE).terms, "offered")
    assert (said.label, said.handling, said.records) == (None, None, ())
    assert view.payload == message.payload
    assert b"synthetic case" not in message.payload


async def test_it_takes_two_security_officers(world: World) -> None:
    """The person who prepared it does not approve it, nor does anybody else than a security officer."""
    view = await prepare(world.be, signed(world, BE))
    await sign(world.be, view, "request", "be-requester")
    with pytest.raises(RoleMissing):
        await sign(world.be, view, "approve", "be-requester")
    assert world.be.release(view).state == "awaiting-approval"
    await world.be.send()
    assert await listed(world.fr) == {}


async def test_what_may_not_be_sent(world: World) -> None:
    """Terms without our signature, with a fault, with a third party, or with a signature that does not hold are
    refused; the version in force, and what nobody offered, are denied."""
    be = world.be
    with pytest.raises(RequestInvalid, match="our own signature"):
        await prepare(be, signed(world, FR))
    with pytest.raises(RequestInvalid):
        await prepare(be, signed(world, BE, purposes=()))
    with pytest.raises(GatewayError):
        await prepare(be, signed(world, BE, parties=(BE, "nld.other")))
    other = signed(world, BE, retention_days=99)
    with pytest.raises(GatewayError):
        await prepare(be, SignedAgreement(other.terms, signed(world, BE).signatures))
    assert rules(await prepare(be, signed(world, BE, version=1))) == ["offer.version"]
    assert rules(await prepare(be, signed(world, BE, FR))) == ["offer.asked"]
    await say(be, signed(world, BE))
    assert rules(await prepare(be, signed(world, BE))) == ["offer.once"]
    with pytest.raises(NotFound):
        await be.call("be-requester", "agreements/offered", calls.Named("0" * 64))


# --- revocation ------------------------------------------------------------------------------------------------------


async def revoke(side: Side) -> calls.DecisionView:
    officer = first(side)
    view: calls.DecisionView = await side.call(
        officer, "agreements/revoke", RevokeAgreement(side.partner, "synthetic")
    )
    assert view.effect == "PERMIT"
    assert await sign(side, view, "request", officer) == "queued"
    return view


async def test_a_revocation_is_in_force_at_once_on_both_sides(world: World) -> None:
    """One officer's word: nothing else of ours leaves, not even what was approved; the partner takes nothing more and
    sends nothing more; its two persons are not asked. It outlasts a restart."""
    be, fr = world.be, world.fr
    waiting = await be.disclose(CLEAN[1])
    view = await revoke(be)
    await be.send()
    assert (be.release(view).state, be.release(waiting[0]).state) == ("delivered", "voided")
    for side in (be, fr):
        assert side.gateway.directory.agreements[side.partner].revoked
        await side.boot()
        assert side.gateway.directory.agreements[side.partner].revoked
    (listed_there,) = await fr.call("fr-inbox", "agreements/list", calls.Page())
    assert listed_there["revoked"] is True
    assert (await be.prepare(CLEAN[0])).effect == "DENY"
    denied = await fr.call("fr-inbox", "agreements/revoke", RevokeAgreement(BE, "synthetic"))
    assert rules(denied) == ["coded.agreement", "offer.once"]
    await be.change("agreement-revoke", SERIES, canonical(world.founded.agreement))
    with pytest.raises(OutsideAgreement):
        be.gateway.directory.agreement(FR)


async def test_a_new_version_after_a_revocation(world: World) -> None:
    """What a message revoked is followed by a newer version, on files, as what an officer here revoked."""
    await revoke(world.be)
    await world.be.send()
    for side in (world.be, world.fr):
        await side.change("agreement", SERIES, canonical(signed(world, BE, FR)))
        assert not side.gateway.directory.agreements[side.partner].revoked
    await delivered(world, CLEAN[0])


async def test_a_revocation_ends_the_version_that_waits_for_its_start(world: World) -> None:
    """The series is out of force, whatever of it was to begin later."""
    later = signed(world, BE, FR, not_before=NOW + timedelta(days=2))
    for side in (world.be, world.fr):
        await side.change("agreement", SERIES, canonical(later))
    await revoke(world.be)
    await world.be.send()
    world.clock.advance(days=3)
    for side in (world.be, world.fr):
        await side.gateway.turn_directory()
        state = side.gateway.directory.agreements[side.partner]
        assert (state.terms.version, state.revoked) == (2, True)


# --- hostile partners ------------------------------------------------------------------------------------------------


async def told(world: World, said: AgreementPart) -> str:
    """The code with which a message is refused that our desk and signer would never have let out: something else put
    in the place of an offer on its way, and sealed anew with our keys. Empty: accepted."""
    world.be.wire.script = ["lost"]
    await say(world.be, signed(world, BE, version=9))
    (message,) = opened(world, world.be.wire.batches[-1])
    forged = msgspec.structs.replace(CtJson().parse(message.payload), agreement=said)
    other = msgspec.structs.replace(message, payload=CtJson().render(forged).payload)
    receipt = await world.fr.intake.accept(BE, frame([reseal(world, other)]))
    (item,) = items(world, receipt, [other])
    return item.code


def offer(agreement: SignedAgreement, by: str = BE, action: AgreementAction = "offered") -> AgreementPart:
    return AgreementPart(action, agreement.terms, agreement.signatures[by])


OTHERS = (BE, "nld.other")

HOSTILE: dict[str, tuple[str, Callable[[World], AgreementPart]]] = {
    "other parties": ("wrong-audience", lambda w: offer(signed(w, BE, parties=OTHERS))),
    "the version in force": (
        "outside-agreement",
        lambda w: offer(signed(w, BE, version=1, retention_days=365)),
    ),
    "other text under a version in force": ("outside-agreement", lambda w: offer(signed(w, BE, version=1))),
    "changed text": (
        "signature-invalid",
        lambda w: AgreementPart(
            "offered", signed(w, BE, retention_days=9).terms, signed(w, BE).signatures[BE]
        ),
    ),
    "the recipient's own signature": ("signature-invalid", lambda w: offer(signed(w, FR), by=FR)),
    "signed, and never offered": ("outside-agreement", lambda w: offer(signed(w, BE), action="signed")),
    "another spelling of the terms": (
        "malformed",
        lambda w: AgreementPart("offered", b64url(_raw(signed(w, BE)) + b" "), signed(w, BE).signatures[BE]),
    ),
    "no terms at all": (
        "malformed",
        lambda w: AgreementPart("offered", "AAAA", signed(w, BE).signatures[BE]),
    ),
    "somebody else's agreement revoked": (
        "outside-agreement",
        lambda _: AgreementPart("revoked", terms_sha256="0" * 64),
    ),
    "a version not in force revoked": (
        "outside-agreement",
        lambda w: AgreementPart("revoked", terms_sha256=sha256(signed(w, BE))),
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_what_a_hostile_partner_says(world: World, name: str) -> None:
    """It is refused with its code and quarantined; no offer is listed, and the agreement in force stays it."""
    code, said = HOSTILE[name]
    assert await told(world, said(world)) == code
    assert [row.code for row in world.fr.rows(QuarantineRow)] == [code]
    assert await listed(world.fr) == {}
    state = world.fr.gateway.directory.agreements[BE]
    assert (state.terms.version, state.revoked) == (1, False)


@pytest.mark.parametrize("version", [1, 2])
async def test_what_was_in_force_never_comes_back(world: World, version: int) -> None:
    """The version in force, and the one that it followed, are refused with the very signatures they once had."""
    for side in (world.be, world.fr):
        await side.change("agreement", SERIES, canonical(signed(world, BE, FR)))
    replayed = world.founded.agreement if version == 1 else signed(world, BE)
    assert await told(world, offer(replayed)) == "outside-agreement"


async def test_the_same_offer_twice(world: World) -> None:
    """An offer made again in another message is accepted and changes nothing, not its first hour either."""
    await say(world.be, signed(world, BE))
    before = world.fr.rows(OfferRow)
    world.clock.advance(seconds=60)
    assert await told(world, offer(signed(world, BE))) == ""
    assert world.fr.rows(OfferRow) == before


async def test_nothing_follows_a_revocation_in_its_batch(world: World) -> None:
    """What stands behind a revocation in the same POST is not accepted any more: it takes effect at receipt."""
    await world.be.disclose(CLEAN[0])
    world.be.wire.script = ["lost"]
    await world.be.send()
    (behind,) = opened(world, world.be.wire.batches[-1])
    world.be.wire.script = ["lost"]
    await revoke(world.be)
    await world.be.send()
    (message,) = [
        one
        for one in opened(world, world.be.wire.batches[-1])
        if one.header.typ == "ecluse-msg-agreement+jws"
    ]
    receipt = await world.fr.intake.accept(BE, frame([reseal(world, message), reseal(world, behind)]))
    first_item, second_item = items(world, receipt, [message, behind])
    assert (first_item.outcome, second_item.code) == ("accepted", "outside-agreement")


# --- commands --------------------------------------------------------------------------------------------------------


async def test_sent_and_approved_by_command(line: Line) -> None:
    """One officer sends the file, who may not approve it; another does, and the list has it; again it is denied."""
    world = line.world
    file = line.file("next.json", msgspec.json.encode(signed(world, BE, version=2)))
    words = ("agreement", "send", file, "--justification", "synthetic")
    code, made = await line.run("be-requester", *words)
    assert (code, made["state"], made["action"]) == (0, "awaiting-approval", "offered")
    assert (await line.run("be-requester", "agreement", "approve", made["release"], "--yes"))[0] == 2
    code, done = await line.run("be-approver", "agreement", "approve", made["release"], "--yes")
    assert (code, done["state"]) == (0, "queued")
    code, found = await line.run("be-approver", "agreement", "offers")
    assert [one["state"] for one in found["offers"]] == ["offered"]
    code, denied = await line.run("be-requester", *words)
    assert (code, denied["state"], denied["reasons"][0]["rule"]) == (1, "denied", "offer.once")
    out = line.folder / "fetched.json"
    sha = found["offers"][0]["sha256"]
    assert (await line.run("be-requester", "agreement", "fetch", sha, "--out", out))[0] == 0
    assert msgspec.json.decode(out.read_bytes(), type=SignedAgreement).signatures.keys() == {BE}


async def test_revoked_by_command(line: Line) -> None:
    """With the word of it to the partner first, and then for the signer too."""
    words = ("agreement", "revoke", SERIES)
    assert (await line.run("be-requester", *words, "--tell"))[0] == 2  # no justification
    code, told_ = await line.run("be-requester", *words, "--tell", "--justification", "synthetic")
    assert (code, told_["action"], told_["state"]) == (0, "revoked", "queued")
    assert line.world.be.gateway.directory.agreements[FR].revoked
    code, again = await line.run("be-requester", *words, "--tell", "--justification", "synthetic")
    assert (code, again["state"]) == (1, "denied")
    await line.world.be.send()
    assert line.world.fr.gateway.directory.agreements[BE].revoked
    code, ended = await line.run("be-requester", *words)
    assert (code, ended["state"]) == (0, "applied")
    assert FR not in line.world.be.gateway.directory.agreements

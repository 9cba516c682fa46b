"""Officers who are suspended, leave, lose a key, a role or a clearance: what they signed and has not left stays here.

Gateway and signer find it out by themselves: the signer is also asked directly, with what was a good batch before.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from gateway.errors import Conflict, GatewayError, NotFound, RoleMissing
from gateway.flow.change import canonical
from gateway.model.officer import Clearance, Officer
from gateway.model.rows import ChangeRow, DirectoryRow
from gateway.model.signing import SealBatch, SealBatchResult
from gateway.service import calls
from tests.service.founding import sign_agreement, terms
from tests.service.world import CLEAN, FR, KIND, NOW, SERIES, Side, World

#: Not one of the two whose endorsements are at stake.
THIRD = "be-only-security-officer"
REQUESTER, APPROVER = "be-requester", "be-approver"


def _revoked(one: Officer) -> Officer:
    keys = tuple(msgspec.structs.replace(key, revoked=True) for key in one.keys)
    return msgspec.structs.replace(one, keys=keys)


def _left(one: Officer) -> Officer:
    gone = msgspec.structs.replace(_revoked(one), suspended=True, roles=(), clearance=None, need_to_know=())
    return gone


def _without(one: Officer, role: str) -> Officer:
    return msgspec.structs.replace(one, roles=tuple(held for held in one.roles if held != role))


#: What one person may do to another's entry, and what that takes from the endorsements of the other.
TAKEN: dict[str, Callable[[Officer], Officer]] = {
    "suspended": lambda one: msgspec.structs.replace(one, suspended=True),
    "left": _left,
    "every key revoked": _revoked,
    "the role taken away": lambda one: _without(_without(one, "requester"), "approver"),
    "no need to know any more": lambda one: msgspec.structs.replace(one, need_to_know=()),
}


async def _take(side: Side, name: str, edit: Callable[[Officer], Officer]) -> None:
    before = side.gateway.directory.officers[name]
    after = msgspec.structs.replace(edit(before), version=before.version + 1)
    view = await side.propose("officer", name, canonical(after), THIRD)
    assert view.state == "applied", "one person may take away"


@pytest.mark.parametrize("whose", [REQUESTER, APPROVER])
@pytest.mark.parametrize("name", TAKEN)
async def test_what_was_endorsed_before_does_not_leave(world: World, name: str, whose: str) -> None:
    """Approved and queued, then the officer is taken out: voided before it gets a number, and the partner sees nothing.
    The history stays: the older version of the entry, and the release with its reason."""
    be = world.be
    (view,) = await be.disclose(CLEAN[0])
    await _take(be, whose, TAKEN[name])
    await be.send()
    assert be.release(view).state == "voided"
    assert be.release(view).reason
    assert (be.wire.batches, world.fr.received(), be.log_size()) == ([], [], 0)
    versions = be.rows(DirectoryRow, kind="officer", id=whose)
    assert [row.current for row in sorted(versions, key=lambda row: row.version)] == [False, True]


@pytest.mark.parametrize("whose", [REQUESTER, APPROVER])
@pytest.mark.parametrize("name", TAKEN)
async def test_the_signer_refuses_by_itself(
    world: World, name: str, whose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The very batch that was about to be sealed is refused by the signer once the officer is out, without the
    gateway's recheck having a say."""
    be = world.be
    (view,) = await be.disclose(CLEAN[0])
    caught: list[SealBatch] = []

    async def away(batch: SealBatch) -> SealBatchResult:
        caught.append(batch)
        raise Conflict("not yet")

    monkeypatch.setattr(be.signer, "seal", away)
    with pytest.raises(Conflict):
        await be.dispatcher.send_batch(FR)
    monkeypatch.undo()
    await _take(be, whose, TAKEN[name])
    (answer,) = be.signer.authority.seal(caught[0]).results
    assert (answer.jws, answer.code in ("signature-invalid", "role-missing")) == ("", True)
    await be.send()
    assert [row.type for row in world.fr.received()] == ["void"]
    assert be.release(view).state == "withdrawn"


@pytest.mark.parametrize("name", ["suspended", "left", "every key revoked"])
async def test_who_is_out_signs_nothing_more(world: World, name: str) -> None:
    """No request, no approval and no change is taken from an officer who is out, whenever it was signed."""
    be = world.be
    view = await be.request(CLEAN[0])
    approval = be.endorse(APPROVER, "approve", [view.statement])
    officer = be.gateway.directory.officers[APPROVER]
    await _take(be, APPROVER, TAKEN[name])
    with pytest.raises(GatewayError):
        await be.releases.approve(officer, approval, [view.release])
    assert be.release(view).state == "awaiting-approval"


@pytest.mark.parametrize("name", ["suspended", "left", "every key revoked"])
async def test_a_change_of_who_is_out_is_not_applied(world: World, name: str) -> None:
    """Proposed by somebody who is out meanwhile: a second person's approval brings nothing into force."""
    be = world.be
    officer = be.gateway.directory.officers["be-only-reviewer"]
    wider = msgspec.structs.replace(officer, roles=(*officer.roles, "inbox"), version=2)
    view = await be.propose("officer", officer.id, canonical(wider), REQUESTER)
    await _take(be, REQUESTER, TAKEN[name])
    params = calls.ApproveChange(view.id, be.sign_change(APPROVER, "approve", view.statement))
    with pytest.raises(GatewayError):
        await be.call(APPROVER, "changes/approve", params)
    assert "inbox" not in be.gateway.directory.officers[officer.id].roles
    assert [row.state for row in be.rows(ChangeRow, id=view.id)] == ["proposed"]


async def test_coming_back_takes_two(world: World) -> None:
    """A suspended officer is back after a second person's word, and not before it; a revoked key never is by a new
    version that one person wrote."""
    be = world.be
    await _take(be, APPROVER, TAKEN["suspended"])
    suspended = be.gateway.directory.officers[APPROVER]
    back = canonical(msgspec.structs.replace(suspended, suspended=False, version=3))
    view = await be.propose("officer", APPROVER, back, THIRD)
    assert (view.state, be.gateway.directory.officers[APPROVER].suspended) == ("proposed", True)
    params = calls.ApproveChange(view.id, be.sign_change(REQUESTER, "approve", view.statement))
    await be.call(REQUESTER, "changes/approve", params)
    assert not be.gateway.directory.officers[APPROVER].suspended
    assert (await be.disclose(CLEAN[0]))[0].effect == "PERMIT"


#: A change of the approver's clearance, and whether one person may make it.
CLEARANCES: dict[str, tuple[Clearance | None, bool]] = {
    "withdrawn": (None, True),
    "shortened": (Clearance("BEL", "UNCLASSIFIED", NOW), True),
    "extended": (Clearance("BEL", "UNCLASSIFIED", NOW + timedelta(days=900)), False),
    "raised": (Clearance("BEL", "SECRET", NOW + timedelta(days=300)), False),
}


@pytest.mark.parametrize("name", CLEARANCES)
async def test_clearances(world: World, name: str) -> None:
    """Less takes one person, more takes two, in gateway and signer."""
    be = world.be
    clearance, alone = CLEARANCES[name]
    after = msgspec.structs.replace(be.gateway.directory.officers[APPROVER], clearance=clearance, version=2)
    view = await be.propose("officer", APPROVER, canonical(after), THIRD)
    assert view.state == ("applied" if alone else "proposed")
    for officers in (be.gateway.directory.officers, be.signer.authority.trust.trust.officers):
        assert (officers[APPROVER].clearance == clearance) is alone


async def test_a_key_in_two_entries_is_refused(world: World) -> None:
    """One key under a second id, with the same person or another: refused at the draft, before anybody signs."""
    be = world.be
    requester = be.gateway.directory.officers[REQUESTER]
    for person in (requester.person, "person-other"):
        twin = msgspec.structs.replace(requester, id="be-twin", person=person, roles=("approver",))
        with pytest.raises(RoleMissing):
            await be.call(THIRD, "changes/draft", calls.DraftChange("officer", twin.id, canonical(twin)))


#: What would leave nobody beside the third officer who could change anything.
LAST: dict[str, Callable[[Officer], Officer]] = {
    **{name: TAKEN[name] for name in ("suspended", "left", "every key revoked")},
    "the role taken away": lambda one: _without(one, "security-officer"),
    "made an operator": lambda one: msgspec.structs.replace(one, roles=(*one.roles, "operator")),
}


@pytest.mark.parametrize("name", LAST)
async def test_the_last_two_security_officers_stay(world: World, name: str) -> None:
    """Of three persons one may go, by one word, and so may one of two entries of a person; the next one is refused,
    whatever would take that one away, at the draft and in the signer."""
    be = world.be
    for gone in (APPROVER, "be-anna-again"):
        await _take(be, gone, TAKEN["left"])
    before = be.gateway.directory.officers[REQUESTER]
    after = msgspec.structs.replace(LAST[name](before), version=2)
    with pytest.raises(Conflict, match="two security officers"):
        await be.call(THIRD, "changes/draft", calls.DraftChange("officer", REQUESTER, canonical(after)))


# --- an agreement that begins later ----------------------------------------------------------------------------------


#: Short enough that nothing else about a record gets too old meanwhile.
DELAY = timedelta(hours=2)


async def _later(world: World, **changes: Any) -> None:
    begins = world.clock.now() + DELAY
    second = sign_agreement(terms(version=2, not_before=begins, **changes), world.founded.agreement_keys)
    for side in world.sides.values():
        await side.change("agreement", SERIES, canonical(second))


async def test_the_version_in_force_stays_until_the_next_begins(world: World) -> None:
    """Both sides have signed version 2 for later: until then all goes on under version 1, from the first second on
    under version 2, in gateway and signer, at both ends, without anybody doing anything."""
    be = world.be
    await _later(world)
    assert be.gateway.directory.agreements[FR].terms.version == 1
    (before,) = await be.disclose(CLEAN[0])
    await be.send()
    assert be.release(before).state == "delivered"
    await be.boot()
    assert be.gateway.directory.agreements[FR].terms.version == 1
    (waiting,) = await be.disclose(CLEAN[1])
    world.clock.advance(seconds=DELAY.total_seconds())
    await be.send()
    assert be.gateway.directory.agreements[FR].terms.version == 2
    assert (be.release(waiting).state, be.release(waiting).reason) == ("voided", "agreement.unchanged")
    (after,) = await be.disclose(CLEAN[2])
    await be.send()
    assert be.release(after).state == "delivered"


async def test_what_comes_later_may_permit_less(world: World) -> None:
    """A version to come without the purpose denies nothing today, and everything from its first second on."""
    purposes = ("ct-investigation",)
    protocol = msgspec.structs.replace(terms().protocol, purposes=purposes)
    await _later(world, purposes=purposes, protocol=protocol, lifts=())
    assert (await world.be.prepare(CLEAN[0])).effect == "PERMIT"
    world.clock.advance(seconds=DELAY.total_seconds())
    await world.be.gateway.turn_directory()
    assert (await world.be.prepare(CLEAN[0])).effect == "DENY"


async def test_revoking_what_comes_later_ends_the_series(world: World) -> None:
    """The kill switch spares nothing: with version 2 revoked, version 1 is out too, at once; version 3 may come."""
    be = world.be
    await _later(world)
    second = next(
        row.document for row in be.rows(DirectoryRow, kind="agreement", id=SERIES) if row.version == 2
    )
    assert (await be.change("agreement-revoke", SERIES, second)).state == "applied"
    assert FR not in be.gateway.directory.agreements
    with pytest.raises(NotFound):
        be.signer.authority.trust.agreement(
            next(iter(be.signer.authority.trust.trust.agreements.values())).sha256, now=world.clock.now()
        )
    third = sign_agreement(terms(version=3), world.founded.agreement_keys)
    await be.change("agreement", SERIES, canonical(third))
    assert be.gateway.directory.agreements[FR].terms.version == 3
    assert KIND in be.gateway.directory.agreements[FR].terms.kinds

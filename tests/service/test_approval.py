"""Four eyes over exact bytes: who may approve, what an approval binds, and what voids it before it leaves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import msgspec
import pytest

from gateway.errors import Conflict, GatewayError, RoleMissing
from gateway.flow.change import canonical
from gateway.model.decision import Statement
from gateway.model.rows import BodyRow, CheckpointRow, EndorsementRow, LaneRow, OutboxRow, ReservationRow
from gateway.model.time import rfc3339
from gateway.ports import Tx
from gateway.service import calls
from gateway.service.contents import ReleaseBody
from tests.service.world import BE, CLEAN, FR, NOW, SERIES, World


async def test_an_approved_release_arrives_as_the_bytes_that_were_approved(world: World) -> None:
    """What the partner holds is, byte for byte, what the approver was shown, and both sides' logs say so once."""
    be, fr = world.be, world.fr
    (view,) = await be.disclose(CLEAN[0])
    shown = await be.call("be-approver", "releases/show", calls.Named(view.release))
    await be.send()
    (received,) = fr.received()
    inbox = await fr.call("fr-inbox", "inbox/show", calls.Named(received.message_id))
    assert inbox.payload == shown.payload == view.payload
    assert be.release(view).state == "delivered"
    assert be.log_size() == fr.log_size() == 2  # the message and its receipt, each once


@pytest.mark.parametrize("officer", ["be-requester", "be-anna-again"])
async def test_the_requester_cannot_approve(world: World, officer: str) -> None:
    """Neither the requester's own key, with the role added or not, nor another key of the same person approves."""
    view = await world.be.request(CLEAN[0])
    token = world.be.endorse(officer, "approve", [view.statement])
    who = world.be.gateway.directory.officers[officer]
    with pytest.raises(RoleMissing):
        await world.be.releases.approve(who, token, [view.release])
    both = msgspec.structs.replace(who, roles=(*who.roles, "requester", "approver"))
    with pytest.raises(RoleMissing):
        await world.be.releases.approve(both, token, [view.release])
    assert world.be.release(view).state == "awaiting-approval"
    assert world.be.rows(OutboxRow) == []


@pytest.mark.parametrize("officer", ["be-only-reviewer", "be-only-operator", "be-anna-and-operator"])
async def test_an_approver_needs_the_role_and_must_not_operate(world: World, officer: str) -> None:
    """Without the role, or with the operator's beside it, an approval is refused whoever asks for it."""
    view = await world.be.request(CLEAN[0])
    token = world.be.endorse(officer, "approve", [view.statement])
    with pytest.raises(RoleMissing):
        await world.be.releases.approve(world.be.gateway.directory.officers[officer], token, [view.release])


async def test_an_endorsement_is_its_callers_and_for_its_act(world: World) -> None:
    """Another officer's signature, or the requester's signature presented as approval, approves nothing."""
    be = world.be
    view = await be.request(CLEAN[0])
    approver = be.gateway.directory.officers["be-approver"]
    stolen = be.endorse("be-only-approver", "approve", [view.statement])
    wrong_act = be.endorse("be-approver", "request", [view.statement])
    for token in (stolen, wrong_act):
        with pytest.raises(RoleMissing):
            await be.releases.approve(approver, token, [view.release])
    assert be.release(view).state == "awaiting-approval"


async def test_a_signature_over_other_terms_approves_nothing(world: World) -> None:
    """An endorsement over a statement that differs in any one bound field does not cover the release."""
    be = world.be
    view = await be.request(CLEAN[0])
    statement = msgspec.json.decode(view.statement)
    approver = be.gateway.directory.officers["be-approver"]
    for member in Statement.__struct_fields__:
        other = {"v": 2, "attachments": ["0" * 64]}.get(member, f"{statement[member]}0")
        token = be.endorse("be-approver", "approve", [canonical({**statement, member: other})])
        with pytest.raises(RoleMissing):
            await be.releases.approve(approver, token, [view.release])
    assert be.release(view).state == "awaiting-approval"


def _swap_payload(body: ReleaseBody) -> ReleaseBody:
    return msgspec.structs.replace(body, payload=body.payload.replace(b'"sex":"', b'"sex" :"'))


def _swap_record(body: ReleaseBody) -> ReleaseBody:
    return msgspec.structs.replace(body, record=body.record.replace(b"BDC-0000", b"BDC-0009"))


def _swap_decision(body: ReleaseBody) -> ReleaseBody:
    changed = body.document.replace(b'"justification":"synthetic', b'"justification":"Synthetic')
    return msgspec.structs.replace(body, document=changed)


def _swap_statement(body: ReleaseBody) -> ReleaseBody:
    statement = msgspec.json.decode(body.statement)
    later = {**statement, "not_after": rfc3339(NOW + timedelta(days=29))}
    return msgspec.structs.replace(body, statement=canonical(later))


def _swap_addressee_keys(body: ReleaseBody) -> ReleaseBody:
    statement = msgspec.json.decode(body.statement)
    return msgspec.structs.replace(body, statement=canonical({**statement, "partner_keys": "0" * 64}))


@pytest.mark.parametrize(
    "swap", [_swap_payload, _swap_record, _swap_decision, _swap_statement, _swap_addressee_keys]
)
async def test_a_database_that_lies_gets_no_seal(
    world: World, swap: Callable[[ReleaseBody], ReleaseBody]
) -> None:
    """Whoever owns database and process swaps a bound part after the approval: the signer, or the recheck before it,
    refuses; the partner sees at most a content-free void."""
    be = world.be
    (view,) = await be.disclose(CLEAN[0])
    row = be.release(view)
    stored = await be.store.read(lambda tx: be.vault.open(tx, row.body, ReleaseBody))
    swapped = swap(stored)
    assert swapped != stored
    forged = be.vault.seal(row.key, swapped)

    def unit(tx: Tx) -> None:
        tx.insert(forged)
        tx.put(msgspec.structs.replace(row, body=forged.id))
        (queued,) = tx.select(OutboxRow)
        tx.put(msgspec.structs.replace(queued, body=forged.id))

    await be.store.write(unit)
    await be.send()
    assert be.release(view).state in ("voided", "withdrawn")
    assert {received.type for received in world.fr.received()} <= {"void"}


async def _embargo(world: World, view: calls.DecisionView) -> None:
    await world.be.call("be-approver", "embargoes/add", calls.PlaceEmbargo(CLEAN[0], b"magistrate"))


async def _revoke(world: World, view: calls.DecisionView) -> None:
    await world.be.change("agreement-revoke", SERIES, canonical(world.founded.agreement))


async def _suspend_approver(world: World, view: calls.DecisionView) -> None:
    officer = world.be.gateway.directory.officers["be-approver"]
    suspended = msgspec.structs.replace(officer, suspended=True, version=2)
    await world.be.change("officer", officer.id, canonical(suspended))


async def _new_partner_keys(world: World, view: calls.DecisionView) -> None:
    entry = world.be.gateway.directory.partners[FR]
    await world.be.change(
        "partner", FR, canonical(msgspec.structs.replace(entry, version=2, tls_name="n.invalid"))
    )


async def _stale(world: World, view: calls.DecisionView) -> None:
    world.clock.advance(days=2)  # the extract is older than the policy's freshness


async def _expired(world: World, view: calls.DecisionView) -> None:
    world.clock.advance(days=31)


Happening = Callable[[World, calls.DecisionView], Awaitable[None]]
HAPPENINGS: dict[str, tuple[Happening, str]] = {
    "embargo": (_embargo, "embargo"),
    "revocation": (_revoke, "agreement.unchanged"),
    "suspension": (_suspend_approver, "endorsement.in-force"),
    "new partner entry": (_new_partner_keys, "partner.unchanged"),
    "stale extract": (_stale, "extract.fresh"),
    "expiry": (_expired, "approval.expired"),
}


@pytest.mark.parametrize("name", HAPPENINGS)
async def test_what_happens_between_approval_and_sending_stops_it_without_a_trace(
    world: World, name: str
) -> None:
    """Voided before its number: no entry in the partner's log, no seq, no head, no POST; the quota is free again and
    the rule is kept."""
    happening, rule = HAPPENINGS[name]
    be = world.be
    (view,) = await be.disclose(CLEAN[0])
    await happening(world, view)
    await be.send()
    row = be.release(view)
    assert (row.state, row.reason) == ("voided", rule)
    assert be.wire.posts == []
    assert be.log_size() == 0
    assert [lane.next_seq for lane in be.rows(LaneRow)] == [1]
    assert be.rows(ReservationRow) == []
    assert [row.origin for row in be.rows(CheckpointRow) if "partner" in row.origin] == []


async def test_the_lane_goes_on_behind_a_release_that_was_voided(world: World) -> None:
    """The message behind a voided one takes its number: the partner counts 1, and cannot tell that one is missing."""
    be, conversation = world.be, world.be.ids.uuid()
    first, second = await be.disclose(CLEAN[0], CLEAN[1], conversation=conversation)
    await _embargo(world, first)
    await be.send()
    assert be.release(first).state == "voided"
    assert be.release(second).state == "delivered"
    assert [(row.message_id, row.seq) for row in world.fr.received()] == [(second.message_id, 1)]
    assert be.log_size() == 2


async def test_the_quota_is_reserved_at_approval_and_counts_persons(world: World) -> None:
    """Twelve persons in thirty days: the thirteenth is denied at approval even when it was prepared before, the same
    person twice counts once, and thirty days later there is room again."""
    be = world.be
    thirteenth = await be.request(CLEAN[12])
    views = [await be.request(record) for record in CLEAN[:12]]
    assert not (await be.approve(*views)).voided
    refused = await be.approve(thirteenth)
    assert [reason.rule for reason in refused.voided[thirteenth.release]] == ["bdc.bulk"]
    assert be.release(thirteenth).state == "voided"
    assert (await be.prepare(CLEAN[12])).effect == "DENY"
    assert (await be.prepare(CLEAN[0])).effect == "PERMIT"
    assert len(be.rows(ReservationRow)) == 12


async def test_a_list_is_approved_whole_or_refused_whole(world: World) -> None:
    """One endorsement over two releases of which one cannot be approved approves neither."""
    be = world.be
    first, second = await be.request(CLEAN[0]), await be.prepare(CLEAN[1])  # the second lacks its request
    with pytest.raises(Conflict):
        await be.approve(first, second)
    assert be.release(first).state == "awaiting-approval"
    assert be.rows(OutboxRow) == []


@pytest.mark.parametrize("event", ["reject", "cancel"])
async def test_an_ended_release_stays_ended(world: World, event: str) -> None:
    """Rejected or cancelled, it can neither be approved nor sent, and nothing of it leaves."""
    be = world.be
    view = await be.request(CLEAN[0])
    await be.call("be-approver", f"releases/{event}", calls.Ended(view.release, "synthetic reason"))
    with pytest.raises(Conflict):
        await be.approve(view)
    await be.send()
    assert be.wire.posts == []


async def test_a_queued_message_can_be_cancelled_and_a_sent_one_cannot(world: World) -> None:
    """Cancelling empties its place without a trace; once it was sent only a recall remains."""
    be, conversation = world.be, world.be.ids.uuid()
    first, second = await be.disclose(CLEAN[0], CLEAN[1], conversation=conversation)
    await be.call("be-requester", "releases/cancel", calls.Ended(first.release, "synthetic reason"))
    await be.send()
    assert [(row.message_id, row.seq) for row in world.fr.received()] == [(second.message_id, 1)]
    with pytest.raises(Conflict):
        await be.call("be-requester", "releases/cancel", calls.Ended(second.release, "synthetic reason"))
    assert len(be.rows(ReservationRow)) == 1


async def test_approval_is_not_counted_twice(world: World) -> None:
    """Approving again is a conflict: one outbox row, one reservation, one endorsement of each act."""
    be = world.be
    (view,) = await be.disclose(CLEAN[0])
    with pytest.raises(Conflict):
        await be.approve(view, officer="be-only-approver")
    assert len(be.rows(OutboxRow)) == len(be.rows(ReservationRow)) == 1
    assert sorted(row.act for row in be.rows(EndorsementRow)) == ["approve", "request"]


async def test_nothing_is_prepared_without_need_to_know(world: World) -> None:
    """An officer outside the need to know gets no decision, reason or byte of the record from a preview, a preparation
    or a release that waits."""
    be = world.be
    params = calls.Disclose(CLEAN[0], (FR,), "ct-prevention", "", "synthetic case")
    for operation in ("releases/preview", "releases/prepare"):
        with pytest.raises(RoleMissing):
            await be.call("be-stranger", operation, params)
    waiting = await be.request(CLEAN[0])
    for operation, named in (("releases/show", waiting.release), ("records/show", CLEAN[0])):
        with pytest.raises(RoleMissing):
            await be.call("be-stranger", operation, calls.Named(named))


async def test_a_foreign_body_is_not_opened(world: World) -> None:
    """A stored body that was moved to another release, or changed on disk, is refused, never shown."""
    be = world.be
    first, second = await be.request(CLEAN[0]), await be.request(CLEAN[1])
    one, other = be.release(first), be.release(second)
    (ciphertext,) = be.rows(BodyRow, id=other.body)
    moved = BodyRow(one.body, one.key, ciphertext.ciphertext)
    await be.store.write(lambda tx: tx.put(moved))
    with pytest.raises(GatewayError) as refused:
        await be.call("be-approver", "releases/show", calls.Named(first.release))
    assert BE not in refused.value.detail

"""Two-person changes: what widens takes two, what narrows takes one and works at once, in gateway and signer alike."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pytest

from adapters.records.synthetic import extract
from gateway.errors import Conflict, GatewayError, LocalFault, NotFound, RequestInvalid, RoleMissing
from gateway.flow.change import canonical
from gateway.model.rows import ChangeRow, DirectoryRow, EmbargoRow, RecordRow
from gateway.model.signing import TrustChange
from gateway.service import calls
from gateway.service.provision import shipped_policy
from tests.service.founding import sign_agreement, terms
from tests.service.world import CLEAN, FR, SERIES, World

FIRST, SECOND, THIRD = "be-requester", "be-approver", "be-only-security-officer"


def wider(world: World, name: str = "be-only-reviewer") -> bytes:
    """An officer with one more role."""
    officer = world.be.gateway.directory.officers[name]
    return canonical(msgspec.structs.replace(officer, roles=(*officer.roles, "inbox"), version=2))


async def test_what_widens_waits_for_a_second_person(world: World) -> None:
    """Proposed, it changes nothing; approved by another security officer, it is in force in gateway and signer."""
    be = world.be
    view = await be.propose("officer", "be-only-reviewer", wider(world), FIRST)
    assert view.state == "proposed"
    assert "inbox" not in be.gateway.directory.officers["be-only-reviewer"].roles
    params = calls.ApproveChange(view.id, be.sign_change(SECOND, "approve", view.statement))
    await be.call(SECOND, "changes/approve", params)
    trust = be.signer.authority.trust.trust
    for officers in (be.gateway.directory.officers, trust.officers):
        assert "inbox" in officers["be-only-reviewer"].roles
    await be.boot()
    assert "inbox" in be.gateway.directory.officers["be-only-reviewer"].roles


@pytest.mark.parametrize("second", [FIRST, "be-anna-again", "be-anna-and-operator"])
async def test_one_person_or_an_operator_cannot_be_the_second(world: World, second: str) -> None:
    """The proposer, another key of the proposer, and a security officer who operates the gateway are refused; the
    change stays open and the signer never hears of it."""
    be = world.be
    before = be.signer.authority.trust.trust
    view = await be.propose("officer", "be-only-reviewer", wider(world), FIRST)
    params = calls.ApproveChange(view.id, be.sign_change(second, "approve", view.statement))
    with pytest.raises(RoleMissing):
        await be.call(second, "changes/approve", params)
    assert [row.state for row in be.rows(ChangeRow, id=view.id)] == ["proposed"]
    assert be.signer.authority.trust.trust == before


async def test_nobody_approves_what_widens_for_oneself(world: World) -> None:
    """Refused in gateway and signer; somebody else's approval of the same proposal carries it out."""
    be = world.be
    officer = be.gateway.directory.officers[SECOND]
    after = msgspec.structs.replace(officer, roles=(*officer.roles, "requester"), version=officer.version + 1)
    view = await be.propose("officer", SECOND, canonical(after), FIRST)
    token = be.sign_change(SECOND, "approve", view.statement)
    with pytest.raises(RoleMissing, match="another person's to sign"):
        await be.call(SECOND, "changes/approve", calls.ApproveChange(view.id, token))
    (row,) = be.rows(ChangeRow, id=view.id)
    with pytest.raises(RoleMissing, match="another person's to sign"):
        await be.signer.change(TrustChange(row.statement, row.document, (*row.endorsements, token)))
    other = be.sign_change(THIRD, "approve", view.statement)
    applied = await be.call(THIRD, "changes/approve", calls.ApproveChange(view.id, other))
    assert applied.state == "applied"


@pytest.mark.parametrize(
    ("first", "second", "state"),
    [
        ("be-anna-again", SECOND, "proposed"),
        (SECOND, "be-anna-again", "proposed"),
        (SECOND, THIRD, "applied"),
    ],
)
async def test_another_entry_does_not_bring_a_suspended_one_back(
    world: World, first: str, second: str, state: str
) -> None:
    """A person with two entries, one of them suspended, takes no part in what widens for that person again."""
    be = world.be
    officer = be.gateway.directory.officers[FIRST]
    suspended = msgspec.structs.replace(officer, suspended=True, version=officer.version + 1)
    assert (await be.propose("officer", FIRST, canonical(suspended), SECOND)).state == "applied"
    back = msgspec.structs.replace(suspended, suspended=False, version=suspended.version + 1)
    view = await be.propose("officer", FIRST, canonical(back), first)
    params = calls.ApproveChange(view.id, be.sign_change(second, "approve", view.statement))
    if state == "applied":
        await be.call(second, "changes/approve", params)
    else:
        with pytest.raises(RoleMissing, match="another person's to sign"):
            await be.call(second, "changes/approve", params)
    assert [row.state for row in be.rows(ChangeRow, id=view.id)] == [state]
    assert be.gateway.directory.officers[FIRST].suspended is (state != "applied")


async def test_only_security_officers_propose_and_reject(world: World) -> None:
    """The role is checked again below the desk's table."""
    be = world.be
    stranger = be.gateway.directory.officers["be-only-requester"]
    with pytest.raises(RoleMissing):
        be.changes.draft(stranger, "officer", "be-only-reviewer", wider(world))
    view = await be.propose("officer", "be-only-reviewer", wider(world), FIRST)
    with pytest.raises(RoleMissing):
        await be.changes.reject(stranger, view.id)


async def test_a_proposal_is_its_callers_and_binds_its_document(world: World) -> None:
    """Another officer's signature, another document, another home or a stale state are refused; nothing is stored."""
    be = world.be
    draft = await be.call(
        FIRST, "changes/draft", calls.DraftChange("officer", "be-only-reviewer", wider(world))
    )
    signature = be.sign_change(FIRST, "propose", draft.statement)
    before = be.rows(ChangeRow)
    attempts: list[tuple[str, bytes, bytes, str]] = [
        (SECOND, draft.statement, draft.document, signature),
        (FIRST, draft.statement, wider(world, "be-only-inbox"), signature),
        (FIRST, draft.statement, draft.document, be.sign_change(FIRST, "approve", draft.statement)),
    ]
    for member, value in (("home", FR), ("proposer", SECOND), ("before_sha256", "0" * 64)):
        other = canonical({**msgspec.json.decode(draft.statement), member: value})
        attempts.append((FIRST, other, draft.document, be.sign_change(FIRST, "propose", other)))
    for officer, statement, document, token in attempts:
        with pytest.raises(LocalFault):
            await be.call(officer, "changes/propose", calls.ProposeChange(statement, document, token))
    assert be.rows(ChangeRow) == before


async def test_a_change_overtaken_is_refused(world: World) -> None:
    """Two proposals against one state: the second approval meets another state and is a conflict."""
    be = world.be
    officer = be.gateway.directory.officers["be-only-reviewer"]
    other = canonical(msgspec.structs.replace(officer, roles=("reviewer", "requester"), version=2))
    views = [await be.propose("officer", officer.id, document, FIRST) for document in (wider(world), other)]
    tokens = [be.sign_change(SECOND, "approve", view.statement) for view in views]
    await be.call(SECOND, "changes/approve", calls.ApproveChange(views[0].id, tokens[0]))
    with pytest.raises(Conflict):
        await be.call(SECOND, "changes/approve", calls.ApproveChange(views[1].id, tokens[1]))
    with pytest.raises(Conflict):
        await be.call(SECOND, "changes/approve", calls.ApproveChange(views[0].id, tokens[0]))
    assert "requester" not in be.gateway.directory.officers[officer.id].roles


async def test_an_older_version_is_superseded_by_a_newer_one(world: World) -> None:
    """Version 2 waits while 3 is put in force: it is listed as superseded and no longer as proposed, approving it says
    so, and it can be closed. Proposed anew it is refused at once."""
    be, keys = world.be, world.founded.agreement_keys
    two, three = (canonical(sign_agreement(terms(version=version), keys)) for version in (2, 3))
    older = await be.propose("agreement", SERIES, two, FIRST)
    assert older.state == "proposed"
    token = be.sign_change(SECOND, "approve", older.statement)
    await be.change("agreement", SERIES, three)

    async def listed(state: str) -> list[str]:
        found = await be.call(FIRST, "changes/list", calls.Page(state=state))
        assert {one.state for one in found} <= {state}
        return [one.id for one in found]

    assert (await listed("superseded"), await listed("proposed")) == ([older.id], [])
    assert (await be.call(FIRST, "changes/show", calls.Named(older.id))).state == "superseded"
    with pytest.raises(Conflict, match="superseded"):
        await be.call(SECOND, "changes/approve", calls.ApproveChange(older.id, token))
    with pytest.raises(Conflict, match="never comes back"):
        await be.propose("agreement", SERIES, two, FIRST)
    assert be.gateway.directory.agreements[FR].terms.version == 3
    await be.call(FIRST, "changes/reject", calls.Named(older.id))
    assert (await listed("superseded"), await listed("rejected")) == ([], [older.id])


async def test_a_partners_certificate_is_read_before_anybody_signs(world: World) -> None:
    """An entry with text that is no certificate, or another key's, is refused as a draft already."""
    be = world.be
    partner, before = be.gateway.directory.partners[FR], be.rows(ChangeRow)
    first, *others = (key for key in partner.keys if key.certificate)
    for certificate in ("AAAA", "***", others[0].certificate):
        broken = msgspec.structs.replace(first, certificate=certificate)
        keys = tuple(broken if key == first else key for key in partner.keys)
        document = canonical(msgspec.structs.replace(partner, keys=keys, version=2))
        with pytest.raises(RequestInvalid):
            await be.call(FIRST, "changes/draft", calls.DraftChange("partner", FR, document))
    assert be.rows(ChangeRow) == before


def _narrower(world: World) -> dict[str, tuple[str, str, bytes]]:
    directory = world.be.gateway.directory
    officer, partner = directory.officers["be-approver"], directory.partners[FR]
    revoked = tuple(msgspec.structs.replace(key, revoked=True) for key in officer.keys)
    keys = tuple(msgspec.structs.replace(key, revoked=key.use == "encryption") for key in partner.keys)
    return {
        "suspend an officer": ("officer", officer.id, canonical(msgspec.structs.replace(officer, suspended=True))),
        "take a role": ("officer", officer.id, canonical(msgspec.structs.replace(officer, roles=("approver",)))),
        "revoke a key": ("officer", officer.id, canonical(msgspec.structs.replace(officer, keys=revoked))),
        "stop a partner": ("partner", FR, canonical(msgspec.structs.replace(partner, stopped=True, version=2))),
        "revoke its key": ("partner", FR, canonical(msgspec.structs.replace(partner, keys=keys, version=2))),
        "revoke the agreement": ("agreement-revoke", SERIES, canonical(world.founded.agreement)),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["suspend an officer", "take a role", "revoke a key", "stop a partner",
                                  "revoke its key", "revoke the agreement"])  # fmt: skip
async def test_what_narrows_takes_one_person_and_works_at_once(world: World, name: str) -> None:
    """Applied with the proposal, in gateway and signer; undoing it takes two."""
    be = world.be
    kind, target, document = _narrower(world)[name]
    before = next(row.document for row in be.rows(DirectoryRow, id=target, current=True))
    assert (await be.propose(kind, target, document, FIRST)).state == "applied"
    if kind == "agreement-revoke":
        assert FR not in be.gateway.directory.agreements
        assert be.signer.authority.trust.trust.agreements[SERIES].revoked
        return
    trust: Any = be.signer.authority.trust.trust
    assert canonical(getattr(trust, f"{kind}s")[target]) == document
    undone = msgspec.structs.replace(
        msgspec.json.decode(before, type=type(getattr(trust, f"{kind}s")[target])), version=3
    )
    assert (await be.propose(kind, target, canonical(undone), "be-requester")).state == "proposed"


async def test_a_stop_drops_open_connections(world: World) -> None:
    """Applied, a partner's change drops its connections: who may come back is asked again at the next handshake."""
    dropped: list[str] = []
    world.be.gateway.drop = dropped.append
    kind, target, document = _narrower(world)["stop a partner"]
    await world.be.propose(kind, target, document, FIRST)
    assert dropped == [FR]


#: Where a change can be cut short (calls: commit, signer, commit), and the state it is then in.
CUT = [
    (0, "kill-before", "proposed"), (0, "kill-after", "applying"),
    (1, "away-before", "applying"), (1, "away-after", "applying"), (1, "kill-before", "applying"),
    (1, "kill-after", "applying"), (2, "kill-before", "applying"),
]  # fmt: skip


@pytest.mark.parametrize(("at", "mode", "state"), CUT)
async def test_a_change_cut_short_is_repeated(world: World, at: int, mode: str, state: str) -> None:
    """Killed between signer and store, or with the signer away: what was committed first says so, nobody can reject
    it, and the same approval again applies it, once, in both."""
    be, name = world.be, "be-only-reviewer"
    view = await be.propose("officer", name, wider(world), FIRST)
    params = calls.ApproveChange(view.id, be.sign_change(SECOND, "approve", view.statement))
    await be.vault.reserve(64)
    world.faults.arm(at, mode)
    await world.surviving(lambda: be.call(SECOND, "changes/approve", params))
    assert [row.state for row in be.rows(ChangeRow, id=view.id)] == [state]
    world.faults.arm(-1, "")
    if state == "applying":
        with pytest.raises(NotFound):
            await be.call(THIRD, "changes/reject", calls.Named(view.id))
    await be.call(SECOND, "changes/approve", params)
    assert "inbox" in be.gateway.directory.officers[name].roles
    assert "inbox" in be.signer.authority.trust.trust.officers[name].roles
    assert [row.state for row in be.rows(ChangeRow, id=view.id)] == ["applied"]
    assert len(be.rows(DirectoryRow, id=name)) == 2


@pytest.mark.parametrize("who", ["the proposer", "a third officer"])
async def test_a_change_cut_short_goes_on_for_others(world: World, who: str) -> None:
    """The approver is gone: the proposer repeats the proposal, or another security officer approves; the endorsements
    committed first are the ones that count."""
    be, name = world.be, "be-only-reviewer"
    view = await be.propose("officer", name, wider(world), FIRST)
    approval = be.sign_change(SECOND, "approve", view.statement)
    world.faults.arm(2, "kill-before")
    await world.surviving(lambda: be.call(SECOND, "changes/approve", calls.ApproveChange(view.id, approval)))
    world.faults.arm(-1, "")
    assert "inbox" not in be.gateway.directory.officers[name].roles
    if who == "the proposer":
        again = calls.ProposeChange(
            view.statement, view.document, be.sign_change(FIRST, "propose", view.statement)
        )
        done = await be.call(FIRST, "changes/propose", again)
    else:
        third = calls.ApproveChange(view.id, be.sign_change(THIRD, "approve", view.statement))
        done = await be.call(THIRD, "changes/approve", third)
    assert done.state == "applied"
    assert "inbox" in be.gateway.directory.officers[name].roles
    (row,) = be.rows(ChangeRow, id=view.id)
    assert row.endorsements[1] == approval


@pytest.mark.parametrize(
    ("at", "mode"), [(0, "kill-after"), (1, "kill-after"), (2, "away-after"), (3, "kill-after")]
)
async def test_a_narrowing_change_cut_short_is_repeated(world: World, at: int, mode: str) -> None:
    """The kill switch works again for the same person with the same statement, wherever it was cut short."""
    be = world.be
    kind, target, document = _narrower(world)["stop a partner"]
    draft = await be.call(FIRST, "changes/draft", calls.DraftChange(kind, target, document))

    async def propose() -> calls.ChangeView:
        token = be.sign_change(FIRST, "propose", draft.statement)
        params = calls.ProposeChange(draft.statement, draft.document, token)
        view: calls.ChangeView = await be.call(FIRST, "changes/propose", params)
        return view

    await be.vault.reserve(64)
    world.faults.arm(at, mode)
    await world.surviving(propose)
    world.faults.arm(-1, "")
    for _ in range(2):
        assert (await propose()).state == "applied"
    assert be.gateway.directory.partners[FR].stopped
    assert be.signer.authority.trust.trust.partners[FR].stopped
    assert len(be.rows(DirectoryRow, kind="partner", id=FR)) == 2


async def test_what_the_signer_refuses_is_a_proposal_again(world: World) -> None:
    """Refused on the way, the change is open as before it, without the second signature, and can be rejected."""
    be = world.be
    half = sign_agreement(terms(version=2), world.founded.agreement_keys)
    ours = {org: token for org, token in half.signatures.items() if org != FR}
    document = canonical(msgspec.structs.replace(half, signatures=ours))
    view = await be.propose("agreement", SERIES, document, FIRST)
    params = calls.ApproveChange(view.id, be.sign_change(SECOND, "approve", view.statement))
    with pytest.raises(LocalFault):
        await be.call(SECOND, "changes/approve", params)
    (row,) = be.rows(ChangeRow, id=view.id)
    assert (row.state, len(row.endorsements)) == ("proposed", 1)
    await be.call(THIRD, "changes/reject", calls.Named(view.id))


async def test_an_approval_is_its_callers(world: World) -> None:
    """A security officer cannot hand in what another one signed, nor a proposal as an approval."""
    be = world.be
    view = await be.propose("officer", "be-only-reviewer", wider(world), FIRST)
    for signer, act in ((SECOND, "approve"), (THIRD, "propose")):
        params = calls.ApproveChange(view.id, be.sign_change(signer, act, view.statement))
        with pytest.raises(RoleMissing):
            await be.call(THIRD, "changes/approve", params)
    assert [row.state for row in be.rows(ChangeRow, id=view.id)] == ["proposed"]


async def test_a_rejected_change_stays_closed(world: World) -> None:
    """Rejected by one security officer, it cannot be approved any more."""
    be = world.be
    view = await be.propose("officer", "be-only-reviewer", wider(world), FIRST)
    await be.call(THIRD, "changes/reject", calls.Named(view.id))
    params = calls.ApproveChange(view.id, be.sign_change(SECOND, "approve", view.statement))
    with pytest.raises(Conflict):
        await be.call(SECOND, "changes/approve", params)
    with pytest.raises(NotFound):
        await be.call(THIRD, "changes/reject", calls.Named(view.id))


async def test_an_older_agreement_never_comes_back(world: World) -> None:
    """Version 2 replaces version 1; version 1 again is refused, before and after version 2 is revoked; version 3 of a
    revoked series may come."""
    be, keys = world.be, world.founded.agreement_keys
    second, third = (sign_agreement(terms(version=version), keys) for version in (2, 3))
    await be.change("agreement", SERIES, canonical(second))
    assert be.gateway.directory.agreements[FR].terms.version == 2
    with pytest.raises(Conflict):
        await be.change("agreement", SERIES, canonical(world.founded.agreement))
    await be.change("agreement-revoke", SERIES, canonical(second))
    for signed in (world.founded.agreement, second):
        with pytest.raises(Conflict):
            await be.change("agreement", SERIES, canonical(signed))
    assert (await be.prepare(CLEAN[0])).effect == "DENY"
    await be.change("agreement", SERIES, canonical(third))
    assert (await be.prepare(CLEAN[0])).effect == "PERMIT"


async def test_an_agreement_one_side_signed_is_not_in_force(world: World) -> None:
    """Half signed, the signer refuses it, and the gateway keeps the one before."""
    half = sign_agreement(terms(version=2), world.founded.agreement_keys)
    ours = {org: token for org, token in half.signatures.items() if org != FR}
    with pytest.raises(LocalFault):
        await world.be.change("agreement", SERIES, canonical(msgspec.structs.replace(half, signatures=ours)))
    assert world.be.gateway.directory.agreements[FR].terms.version == 1


async def test_the_policy_is_changed_by_two_persons(world: World) -> None:
    """A policy with one rule less permit is in force after two signatures, in both, and denies what it permitted."""
    be = world.be
    policy = msgspec.json.decode(shipped_policy())
    policy["rules"] = [rule for rule in policy["rules"] if rule["id"] != "release.permit"]
    document = canonical(policy)
    view = await be.propose("policy", "release", document, FIRST)
    assert view.state == "proposed"
    assert (await be.prepare(CLEAN[0])).effect == "PERMIT"
    params = calls.ApproveChange(view.id, be.sign_change(SECOND, "approve", view.statement))
    await be.call(SECOND, "changes/approve", params)
    assert be.gateway.directory.policy.sha256 == be.signer.authority.trust.trust.policy_sha256
    assert (await be.prepare(CLEAN[0])).effect == "DENY"


async def test_a_policy_nobody_can_load_is_never_stored(world: World) -> None:
    """Signed by two or not: refused at the proposal, so that no home can be left without a policy it can load."""
    be = world.be
    good = await be.call(FIRST, "changes/draft", calls.DraftChange("policy", "release", shipped_policy()))
    for document in (b"{}", b'{"rules":[]}', b"\xff", b""):
        statement = msgspec.json.decode(good.statement)
        forged = canonical({**statement, "after_sha256": hashlib.sha256(document).hexdigest()})
        token = be.sign_change(FIRST, "propose", forged)
        with pytest.raises(LocalFault):
            await be.call(FIRST, "changes/propose", calls.ProposeChange(forged, document, token))
    assert all(row.kind != "policy" for row in be.rows(ChangeRow))


# --- embargoes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["entity id", "handle"])
async def test_an_embargo_is_placed_by_one_and_lifted_by_two(world: World, by: str) -> None:
    """By entity id or by the record's handle: from the commit on every decision about the person denies; a single
    security officer cannot lift it, two can, once."""
    be = world.be
    (row,) = be.rows(RecordRow, subject=(await be.signer.index([CLEAN[0].encode()]))[0], latest=True)
    name = CLEAN[0] if by == "entity id" else row.handle
    placed = await be.call("be-only-requester", "embargoes/add", calls.PlaceEmbargo(name, b"magistrate 1"))
    assert placed["record"] == row.handle
    for asked in (CLEAN[0], row.handle):
        denied = await be.prepare(asked)
        assert (denied.effect, denied.payload) == ("DENY", b"")
    assert (await be.prepare(CLEAN[1])).effect == "PERMIT"
    document = canonical({"reason": "synthetic decision 2"})
    view = await be.propose("embargo-lift", placed["embargo"], document, FIRST)
    assert view.state == "proposed"
    assert (await be.prepare(CLEAN[0])).effect == "DENY"
    params = calls.ApproveChange(view.id, be.sign_change(SECOND, "approve", view.statement))
    await be.call(SECOND, "changes/approve", params)
    assert (await be.prepare(CLEAN[0])).effect == "PERMIT"
    assert [embargo.lifted_at for embargo in be.rows(EmbargoRow)] == [world.clock.now()]
    with pytest.raises(GatewayError):
        await be.change("embargo-lift", placed["embargo"], document)


async def test_an_embargo_on_nobody_is_refused_and_on_somebody_to_come_is_kept(world: World) -> None:
    """A handle without a record would protect nobody: refused. An entity id not imported yet is protected when it
    comes; until then the answer names no record, as for a name typed wrongly."""
    be = world.be
    with pytest.raises(NotFound):
        await be.call(FIRST, "embargoes/add", calls.PlaceEmbargo("r-0000000000000000", b"magistrate"))
    assert be.rows(EmbargoRow) == []
    early = await be.call(FIRST, "embargoes/add", calls.PlaceEmbargo("BDC-000022", b"magistrate"))
    assert early["record"] == ""
    raw = extract(22, 1, world.clock.now()).splitlines(keepends=True)[-1]
    await be.call(FIRST, "records/import", calls.ImportChunk("bdc-person/1.0", 1, raw))
    view = await be.prepare("BDC-000022")
    assert "embargo" in {reason.rule for reason in view.reasons}


async def test_two_embargoes_are_lifted_one_by_one(world: World) -> None:
    """Two magistrates, two embargoes: lifting one leaves the other in force."""
    be = world.be
    placed = [
        (await be.call(FIRST, "embargoes/add", calls.PlaceEmbargo(CLEAN[0], authority)))["embargo"]
        for authority in (b"magistrate 1", b"magistrate 2")
    ]
    for embargo, effect in zip(placed, ("DENY", "PERMIT"), strict=True):
        await be.change("embargo-lift", embargo, canonical({"reason": "synthetic"}))
        assert (await be.prepare(CLEAN[0])).effect == effect


async def test_a_kind_of_change_that_is_none(world: World) -> None:
    """The closed list is closed."""
    with pytest.raises(RequestInvalid):
        await world.be.call(FIRST, "changes/draft", calls.DraftChange("founding", "x", b"{}"))

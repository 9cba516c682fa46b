"""The signer's trust changes only with what the change demands, verified against the state before it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal

import msgspec
import pytest

from gateway.errors import ConfigInvalid, GatewayError, RequestInvalid, StoreUnavailable
from gateway.flow.change import canonical, digest, narrows
from gateway.model.agreement import SignedAgreement
from gateway.model.officer import Officer
from gateway.model.party import Partner
from gateway.model.signing import Change, TrustChange
from gateway.model.time import rfc3339
from gateway.policy.context import Settings
from gateway.service.signer.trust import Trust, TrustFile
from gateway.wire.endorse import sign_change
from gateway.wire.jws import thumbprint
from tests.policy.worlds import NOW, OURS, POLICE, POLICY
from tests.signer.world import (
    KEYS,
    Disk,
    batch,
    disk,
    endorse,
    partner,
    people,
    person,
    refusal,
    signed_agreement,
    trust,
    trusted,
    world,
)

Act = Literal["propose", "approve"]
TWO: tuple[tuple[str, Act], ...] = (("be-security", "propose"), ("be-guardian", "approve"))
ONE = TWO[:1]
SERIES = "be-fr-police"


def made(
    kind: str,
    target: str,
    document: msgspec.Struct | bytes,
    before: Any = None,
    *,
    by: tuple[tuple[str, Act], ...] = TWO,
    **statement: Any,
) -> TrustChange:
    """A change from one document to another, proposed and approved by these officers."""
    raw = document if isinstance(document, bytes) else canonical(document)
    members = {
        "v": 1,
        "id": "change-1",
        "home": OURS,
        "kind": kind,
        "target": target,
        "widening": _widens(kind, before, raw),
        "before_sha256": digest(canonical(before)) if before is not None else "",
        "after_sha256": digest(raw),
        "not_before": rfc3339(NOW),
        "proposer": by[0][0],
    }
    change = canonical(msgspec.convert(members | statement, Change))
    return TrustChange(change, raw, tuple(signature(name, act, change) for name, act in by))


def _widens(kind: str, before: Any, raw: bytes) -> bool:
    """What an honest statement says; of a document that is none, that it widens."""
    try:
        return not narrows(kind, before if isinstance(before, Officer | Partner) else None, raw)
    except RequestInvalid:
        return True


def signature(name: str, act: Act, statement: bytes) -> str:
    kid = thumbprint(KEYS[name].public_key())
    return sign_change(KEYS[name], kid, officer=name, act=act, at=NOW, statement=statement)


def apply(change: TrustChange, held: Disk | None = None) -> Trust:
    """What the signer believes after the change."""
    file = (held or disk()).open()
    file.change(change, now=NOW)
    return file.trust


def new(**changes: Any) -> Officer:
    """An officer nobody knows yet."""
    return msgspec.structs.replace(
        person("stranger", "approver", person="person-stranger"), id="be-new", **changes
    )


def add(by: tuple[tuple[str, Act], ...] = TWO, **statement: Any) -> TrustChange:
    """The honest addition of an officer."""
    return made("officer", "be-new", new(), by=by, **statement)


def changed(name: str, **changes: Any) -> tuple[Officer, Officer]:
    """An officer in force, and the same one changed."""
    before = people()[name]
    return msgspec.structs.replace(before, **changes), before


def agreement(version: int, *sides: str) -> SignedAgreement:
    return signed_agreement(*sides, version=version)


# --- what two persons may do -----------------------------------------------------------------------------------------


def test_two_persons_add_an_officer() -> None:
    """The officer is believed and durable, and nothing else has changed."""
    held = disk()
    after = apply(add(), held)
    assert after.officers == {**people(), "be-new": new()}
    assert held.open().trust == after
    assert msgspec.structs.replace(after, officers=people(), applied=()) == trust()


def test_two_persons_change_the_other_documents() -> None:
    """A newer partner entry, a newer version of an agreement, another policy, other thresholds of it."""
    held = disk()
    newer = partner(version=2, name="Autre nom de démonstration")
    assert apply(made("partner", POLICE, newer, partner()), held).partners[POLICE] == newer
    second = agreement(2)
    before = trust().agreements[SERIES].signed
    assert apply(made("agreement", SERIES, second, before), held).agreements[SERIES].version == 2
    policy = b'{"rules":[]}'
    believed = apply(made("policy", "release", policy, before_sha256=POLICY.sha256), held)
    assert believed.policy_sha256 == digest(policy)
    settings = canonical(Settings(min_age=12))
    believed = apply(made("settings", "release", settings, world().settings), held)
    assert believed.settings_sha256 == digest(settings)


def test_who_was_added_can_approve_the_next_change() -> None:
    """The state before is the state after the last change, no older one."""
    held = disk()
    guard = new(roles=("security-officer",))
    apply(made("officer", "be-new", guard), held)
    later = made("officer", "be-reader", *changed("be-reader", roles=("approver",)), by=TWO)
    tokens = (later.endorsements[0], _as("be-new", "approve", later.statement))
    assert (
        "approver"
        in apply(msgspec.structs.replace(later, endorsements=tokens), held).officers["be-reader"].roles
    )


def _as(name: str, act: Act, statement: bytes) -> str:
    key = KEYS["stranger"]
    return sign_change(key, thumbprint(key.public_key()), officer=name, act=act, at=NOW, statement=statement)


# --- what nobody may do ----------------------------------------------------------------------------------------------


def altered(change: TrustChange, **members: Any) -> TrustChange:
    return msgspec.structs.replace(change, **members)


def restated(**members: Any) -> TrustChange:
    """The statement swapped after both have signed it."""
    change = add()
    statement = msgspec.structs.replace(msgspec.json.decode(change.statement, type=Change), **members)
    return altered(change, statement=canonical(statement))


def resigned(statement: bytes) -> TrustChange:
    """These very bytes, signed by both."""
    return altered(add(), statement=statement, endorsements=tuple(signature(*one, statement) for one in TWO))


Rows = dict[str, dict[str, Callable[[], TrustChange]]]

REFUSED: Rows = {
    "role-missing": {
        "no endorsement": lambda: altered(add(), endorsements=()),
        "proposal alone": lambda: add(ONE),
        "approval alone": lambda: add((("be-security", "approve"),)),
        "two proposals": lambda: add((("be-security", "propose"), ("be-guardian", "propose"))),
        "approval before proposal": lambda: altered(add(), endorsements=add().endorsements[::-1]),
        "three endorsements": lambda: add((*TWO, ("be-guardian", "approve"))),
        "one person twice": lambda: add((("be-security", "propose"), ("be-security", "approve"))),
        "approved by an approver of releases": lambda: add((*ONE, ("be-approver", "approve"))),
        "proposed by a requester": lambda: add((("be-requester", "propose"), TWO[1])),
        "approved by an operator": lambda: add((*ONE, ("be-operator", "approve"))),
        "id swapped": lambda: restated(id="change-2"),
        "kind swapped to one without a state before": lambda: restated(kind="embargo-lift"),
        "target swapped": lambda: restated(target="be-newer"),
        "proposer swapped": lambda: restated(proposer="be-guardian"),
        "a key of another person": lambda: made("officer", "be-new", new(keys=people()["be-both"].keys)),
        "agreement without their signature": lambda: made(
            "agreement", SERIES, agreement(2, OURS), trust().agreements[SERIES].signed
        ),
        "agreement without our signature": lambda: made(
            "agreement", SERIES, agreement(2, POLICE), trust().agreements[SERIES].signed
        ),
        "partner's keys by one": lambda: made(
            "partner", POLICE, partner(version=2, keys=partner().keys[:1]), partner(), by=ONE
        ),
        "partner started again by one": lambda: made(
            "partner", POLICE, partner(version=2, tls_name="x"), partner(), by=ONE
        ),
        "role added by one": lambda: made(
            "officer", "be-reader", *changed("be-reader", roles=("inbox", "approver")), by=ONE
        ),
        "operator made approver by one": lambda: made(
            "officer", "be-operator", *changed("be-operator", roles=("requester", "approver")), by=ONE
        ),
        "suspension lifted by one": lambda: made(
            "officer", "be-suspended", *changed("be-suspended", suspended=False), by=ONE
        ),
        "revoked key revived by one": lambda: made(
            "officer", "be-revoked", *changed("be-revoked", keys=person("be-revoked").keys), by=ONE
        ),
        "key taken out by one": lambda: made(
            "officer", "be-revoked", *changed("be-revoked", keys=()), by=ONE
        ),
        "partner stopped at the last version by one": lambda: made(
            "partner", POLICE, partner(version=2**53 - 1, stopped=True), partner(), by=ONE
        ),
        "thresholds by one": lambda: made(
            "settings", "release", canonical(Settings()), world().settings, by=ONE
        ),
        "policy by one": lambda: made("policy", "release", b"{}", before_sha256=POLICY.sha256, by=ONE),
        "narrowing by an operator": lambda: made(
            "partner", POLICE, partner(version=2, stopped=True), partner(), by=(("be-operator", "propose"),)
        ),
        "narrowing by a requester": lambda: made(
            "partner", POLICE, partner(version=2, stopped=True), partner(), by=(("be-requester", "propose"),)
        ),
    },
    "signature-invalid": {
        "signed by nobody known": lambda: altered(
            add(), endorsements=(add().endorsements[0], _as("be-guardian", "approve", add().statement))
        ),
        "approved by whom it adds": lambda: altered(
            add(), endorsements=(add().endorsements[0], _as("be-new", "approve", add().statement))
        ),
        "approval of a release": lambda: altered(
            add(), endorsements=(add().endorsements[0], endorse("be-guardian", "approve", add().statement))
        ),
        "approved by one who is suspended": lambda: add((*ONE, ("be-suspended", "approve"))),
        "approved with a revoked key": lambda: add((*ONE, ("be-revoked", "approve"))),
        "proposer is another": lambda: add(proposer="be-guardian"),
        "agreement with a broken signature": lambda: made(
            "agreement",
            SERIES,
            SignedAgreement(agreement(2).terms, agreement(3).signatures),
            trust().agreements[SERIES].signed,
        ),
    },
    "conflict": {
        "for another home": lambda: add(home=POLICE),
        "before its time": lambda: add(not_before="2026-11-21T21:00:01Z"),
        "against another state": lambda: made("officer", "be-reader", *changed("be-both", roles=())),
        "against nothing, but there is one": lambda: made(
            "officer", "be-reader", changed("be-reader", roles=())[0]
        ),
        "against one, but there is nothing": lambda: add(before_sha256="0" * 64),
        "another document": lambda: altered(add(), document=canonical(new(roles=("operator",)))),
        "home swapped": lambda: restated(home=POLICE),
        "before swapped": lambda: restated(before_sha256="0" * 64),
        "after swapped": lambda: restated(after_sha256="0" * 64),
        "start swapped": lambda: restated(not_before="2027-01-01T00:00:00Z"),
        "partner of the same version": lambda: made("partner", POLICE, partner(name="x"), partner()),
        "partner at the last version there is": lambda: made(
            "partner", POLICE, partner(name="x", version=2**53 - 1), partner()
        ),
        "new partner at the last version there is": lambda: made(
            "partner", "fra.newer", partner(org="fra.newer", version=2**53 - 1)
        ),
        "partner that skips too many versions": lambda: made(
            "partner", POLICE, partner(name="x", version=1002), partner()
        ),
        "partner of an older version": lambda: made(
            "partner", POLICE, partner(name="x", version=0), partner()
        ),
        "agreement of the same version": lambda: made(
            "agreement", SERIES, signed_agreement(retention_days=1), trust().agreements[SERIES].signed
        ),
        "revocation of what is not there": lambda: made("agreement-revoke", "x", signed_agreement(), by=ONE),
        "revocation of another version": lambda: made(
            "agreement-revoke", SERIES, agreement(2), trust().agreements[SERIES].signed, by=ONE
        ),
    },
    "request-invalid": {
        "statement missing": lambda: altered(add(), statement=b""),
        "statement with a space": lambda: resigned(add().statement + b" "),
        "statement with a member twice": lambda: resigned(b'{"v":1,' + add().statement[1:]),
        "statement without UTF-8": lambda: resigned(add().statement[:-2] + b'\xff"}'),
        "statement without end": lambda: resigned(b"[" * 100_000),
        "widening swapped": lambda: restated(widening=False),
        "signed as narrowing, and widens": lambda: add(widening=False),
        "signed as widening, and narrows": lambda: made(
            "partner", POLICE, partner(version=2, stopped=True), partner(), by=ONE, widening=True
        ),
        "unknown kind": lambda: resigned(add().statement.replace(b'"officer"', b'"embargo"')),
        "officer of another name": lambda: made("officer", "be-newer", new()),
        "partner of another name": lambda: made("partner", "fra.newer", partner()),
        "agreement of another series": lambda: made("agreement", "be-fr-other", agreement(2)),
        "agreement with a stranger": lambda: made(
            "agreement", "x", signed_agreement(parties=(OURS, "fra.nowhere"))
        ),
        "policy of another target": lambda: made("policy", "other", b"{}", before_sha256=POLICY.sha256),
        "thresholds of another target": lambda: made(
            "settings", "other", canonical(Settings()), world().settings
        ),
        "thresholds nobody knows": lambda: made("settings", "release", b'{"zzemo":1}', world().settings),
        "document that is no officer": lambda: made("officer", "be-new", b"{}"),
        "document without UTF-8": lambda: made("officer", "be-new", b'{"id":"\xff"}'),
        "document with a member twice": lambda: made(
            "officer", "be-new", b'{"id":"x",' + canonical(new())[1:]
        ),
        "document not in its one form": lambda: made("officer", "be-new", msgspec.json.encode(new())),
        "document with a number that has no one form": lambda: made(
            "officer", "be-new", msgspec.json.encode(new(version=2**60))
        ),
    },
    "malformed": {
        "start that is no instant": lambda: add(not_before="now"),
        "endorsement that is no JWS": lambda: altered(add(), endorsements=("x", "y")),
        "agreement that is no base64url": lambda: made("agreement", "x", SignedAgreement("=", {})),
    },
}


@pytest.mark.parametrize(("code", "name"), [(code, name) for code, rows in REFUSED.items() for name in rows])
def test_refused(code: str, name: str) -> None:
    """The change is refused with its code; the signer believes what it believed, and nothing was written."""
    held = disk()
    file = held.open()
    with pytest.raises(GatewayError) as caught:
        file.change(REFUSED[code][name](), now=NOW)
    assert caught.value.code == code
    assert file.trust == trust()
    assert held.writes == []


# --- the kill switch -------------------------------------------------------------------------------------------------


def revoked(keys: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(msgspec.structs.replace(key, revoked=True) for key in keys)


NARROWING: dict[str, Callable[[], TrustChange]] = {
    "stop a partner": lambda: made("partner", POLICE, partner(version=2, stopped=True), partner(), by=ONE),
    "revoke a partner's keys": lambda: made(
        "partner", POLICE, partner(version=2, keys=revoked(partner().keys)), partner(), by=ONE
    ),
    "revoke an agreement": lambda: made(
        "agreement-revoke",
        SERIES,
        trust().agreements[SERIES].signed,
        trust().agreements[SERIES].signed,
        by=ONE,
    ),
    "suspend an officer": lambda: made(
        "officer", "be-approver", *changed("be-approver", suspended=True), by=ONE
    ),
    "take a role away": lambda: made(
        "officer", "be-approver", *changed("be-approver", roles=("inbox",)[:0]), by=ONE
    ),
    "revoke a key": lambda: made(
        "officer", "be-approver", *changed("be-approver", keys=revoked(people()["be-approver"].keys)), by=ONE
    ),
}


@pytest.mark.parametrize("name", NARROWING)
def test_one_person_narrows(name: str) -> None:
    """One security officer's word is enough to release less, at once: what was approved is not sealed any more."""
    held = disk()
    assert refusal(batch(), disk()) == ""
    apply(NARROWING[name](), held)
    assert refusal(batch(), held) != ""


@pytest.mark.parametrize(
    "gone",
    [
        lambda: {"agreement_keys": ()},
        lambda: {"partners": {POLICE: partner(keys=partner().keys[:1])}},
        lambda: {"partners": {}},
    ],
    ids=["our agreement key", "the partner's agreement key", "the partner"],
)
def test_an_agreement_is_revocable_without_its_keys(gone: Callable[[], dict[str, Any]]) -> None:
    """When the signatures cannot be verified any more the agreement can still be revoked: then most of all."""
    held = disk(trust(**gone()))
    with pytest.raises(GatewayError):
        held.open().agreement(trust().agreements[SERIES].sha256, now=NOW)
    apply(NARROWING["revoke an agreement"](), held)
    before = trust().agreements[SERIES]
    assert held.open().trust.agreements[SERIES] == msgspec.structs.replace(before, revoked=True)


def test_a_revoked_version_never_comes_back() -> None:
    """Neither the same version nor an older one can follow a revocation; the next version can."""
    held = disk()
    apply(NARROWING["revoke an agreement"](), held)
    before = trust().agreements[SERIES].signed
    for version in (1, 0):
        with pytest.raises(GatewayError):
            apply(made("agreement", SERIES, agreement(version), before), held)
    assert held.open().trust.agreements[SERIES].revoked
    after = apply(made("agreement", SERIES, agreement(2), before), held).agreements[SERIES]
    assert (after.version, after.revoked) == (2, False)


# --- crashes and repetition ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NARROWING)
def test_a_change_may_be_made_again(name: str) -> None:
    """A gateway that crashed after the signer's answer asks again, after a restart too: done, and written once."""
    held = disk()
    first = apply(NARROWING[name](), held)
    assert apply(NARROWING[name](), held) == first
    assert held.writes == ["trust.json"]


def test_an_approval_cannot_be_used_again() -> None:
    """What two persons approved and somebody has undone since stays undone: the old approval brings nothing back."""
    held = disk()
    widening = made("officer", "be-reader", *changed("be-reader", roles=("inbox", "approver")))
    apply(widening, held)
    before, after = changed("be-reader", roles=("inbox", "approver"))[::-1]
    apply(made("officer", "be-reader", before, after, by=ONE), held)
    assert held.open().trust.officers["be-reader"] == before
    assert apply(widening, held).officers["be-reader"] == before


@pytest.mark.parametrize(
    "fault", [OSError(28, "no space"), StoreUnavailable("a file cannot be made durable")]
)
def test_what_is_not_durable_is_not_believed(fault: Exception) -> None:
    """The disk fails: the change is not in force, in memory or after a restart; repeated, it is."""
    held = disk()
    file = held.open()
    held.broken = fault
    with pytest.raises(type(fault)):
        file.change(add(), now=NOW)
    assert file.trust == trust() == held.open().trust
    held.broken = None
    file.change(add(), now=NOW)
    assert "be-new" in file.trust.officers


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff", b"{}", b'{"org":"\xff"}'])
def test_a_damaged_trust_file_is_refused(damage: bytes) -> None:
    """A trust file that cannot be read stops the signer; it is never taken for an empty one."""
    with pytest.raises(ConfigInvalid):
        TrustFile(damage, b"", Disk().replace)


def test_an_agreement_is_verified_again_at_each_use() -> None:
    """A trust file with an agreement nobody signed gives no agreement: a signature is proof, the file is not."""
    forged = SignedAgreement(agreement(2).terms, agreement(3).signatures)
    held = disk(trust(agreements={SERIES: trusted(forged)}))
    with pytest.raises(GatewayError) as caught:
        held.open().agreement(trusted(forged).sha256, now=NOW)
    assert caught.value.code == "signature-invalid"


def test_what_was_verified_counts_for_this_trust_and_this_second_alone() -> None:
    """Asked again, an agreement that was verified a moment ago is refused once its keys end, or once it is revoked."""
    ends = msgspec.structs.replace(trust().agreement_keys[0], not_after=NOW + timedelta(seconds=1))
    held = disk(trust(agreement_keys=(ends,)))
    opened, sha256 = held.open(), trust().agreements[SERIES].sha256
    state = opened.agreement(sha256, now=NOW)
    assert opened.agreement(sha256, now=NOW) is state
    with pytest.raises(GatewayError) as caught:
        opened.agreement(sha256, now=NOW + timedelta(seconds=1))
    assert caught.value.code == "signature-invalid"
    assert opened.agreement(sha256, now=NOW) == state
    opened.change(NARROWING["revoke an agreement"](), now=NOW)
    with pytest.raises(GatewayError) as caught:
        opened.agreement(sha256, now=NOW)
    assert caught.value.code == "not-found"


def test_the_detail_of_a_refusal_holds_no_input() -> None:
    """What cannot be decoded is named by its kind alone."""
    with pytest.raises(RequestInvalid) as caught:
        apply(made("officer", "be-new", b'{"id":"Zzemo Exemple"}'))
    assert "Zzemo" not in caught.value.detail
    assert caught.value.__cause__ is None

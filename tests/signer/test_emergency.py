"""One officer's signature is enough for an emergency within the scope in force, and for nothing else; and not for long.

The attacker here is a gateway that was taken over, with the key of one officer: it can decide, log and sign what it
likes as that officer. What it cannot have is the other two persons, and the signer's own files.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from gateway.errors import LocalFault, PartnerFault
from gateway.flow.change import canonical, digest, policy_in_force
from gateway.model.signing import SealBatch, Settlement
from gateway.policy.context import EmergencyScope
from gateway.service.signer import emergency as module
from gateway.wire.endorse import Act
from tests.policy.worlds import KIND, NOW, POLICE, POLICY
from tests.signer.attempts import CLASSIFIED, Attempt, believing, with_officer
from tests.signer.world import (
    CONVERSATION,
    MESSAGE_ID,
    OTHER_ID,
    Disk,
    authority,
    batch,
    disk,
    endorse,
    evidence_of,
    people,
    put,
    refusal,
    release,
    trust,
    with_evidence,
    world,
)

SETTINGS = world().settings
assert SETTINGS.emergency is not None
SCOPE: EmergencyScope = SETTINGS.emergency
HOURS = timedelta(hours=SCOPE.confirm_hours)
ALONE: tuple[tuple[str, Act], ...] = (("be-requester", "request"),)


def claim(oral: str = "be-approver", threat: str = "invented: an announced attack") -> dict[str, Any]:
    return {"threat": threat, "oral_approver": oral}


def as_emergency(claimed: dict[str, Any] | None) -> Callable[[bytes], bytes]:
    """The decision of a taken-over gateway: whatever was decided is an emergency now."""
    return put("envelope.type", "emergency", "emergency", claimed)


def alone(
    claimed: dict[str, Any] | None = None,
    *,
    changes: dict[str, Any] | None = None,
    settings: Any = SETTINGS,
    **members: Any,
) -> SealBatch:
    """A whole batch of one emergency that one officer signed; everything binds to what is altered."""
    made = batch(
        release(changes),
        payload=put("type", "emergency"),
        decision=as_emergency(claimed or claim()),
        signed=ALONE,
        type="emergency",
        **members,
    )
    return with_evidence(made, settings=canonical(settings))


def scoped(**changes: Any) -> tuple[Any, str]:
    """Thresholds whose scope is another, and their digest."""
    settings = msgspec.structs.replace(SETTINGS, emergency=msgspec.structs.replace(SCOPE, **changes))
    return settings, digest(canonical(settings))


def under(**changes: Any) -> Attempt:
    """The emergency decided under thresholds with this scope, which are in force at the signer too."""
    settings, sha256 = scoped(**changes)
    decided = put("policy_sha256", policy_in_force(POLICY.sha256, sha256))
    made = batch(
        payload=put("type", "emergency"),
        decision=lambda raw: decided(as_emergency(claim())(raw)),
        signed=ALONE,
        type="emergency",
    )
    return believing(with_evidence(made, settings=canonical(settings)), settings_sha256=sha256)


def test_one_signature_is_enough_within_the_scope() -> None:
    """It is sealed, and kept before it is: the list is durable, with the persons and the times."""
    held = disk()
    assert refusal(alone(), held) == ""
    assert held.writes == ["heads.json", "alone.json"]
    (kept,) = held.open().alone.values()
    assert kept.approver == "be-approver"
    assert set(kept.persons) == {"person-be-requester", "person-be-approver"}
    assert kept.confirm_by == NOW + HOURS


def test_two_signatures_leave_nothing_to_settle() -> None:
    """An emergency that two officers signed is like any content; its list stays empty, with or without a name given."""
    for claimed in (claim(""), claim()):
        made = batch(payload=put("type", "emergency"), decision=as_emergency(claimed), type="emergency")
        held = disk()
        assert refusal(made, held) == ""
        assert held.open().alone == {}


ATTACKS: dict[str, tuple[str, Callable[[], Attempt]]] = {
    "a disclosure": ("role-missing", lambda: batch(signed=ALONE)),
    "a disclosure whose decision claims an emergency": (
        "signature-invalid",
        lambda: batch(decision=put("emergency", claim()), signed=ALONE),
    ),
    "an emergency whose decision claims none": (
        "signature-invalid",
        lambda: batch(
            payload=put("type", "emergency"),
            decision=put("envelope.type", "emergency"),
            signed=ALONE,
            type="emergency",
        ),
    ),
    "without an oral approver": ("role-missing", lambda: alone(claim(""))),
    "without a threat": ("role-missing", lambda: alone(claim(threat=" "))),
    "without the thresholds": ("signature-invalid", lambda: with_evidence(alone(), settings=b"")),
    "under forged thresholds": (
        "signature-invalid",
        lambda: alone(settings=scoped(partners=(POLICE, "fra.neighbour-demo"))[0]),
    ),
    "where nothing is waived": ("role-missing", lambda: under(waives=())),
    "where only the quota is waived": ("role-missing", lambda: under(waives=("quota",))),
    "for a partner out of scope": ("role-missing", lambda: under(partners=("fra.neighbour-demo",))),
    "for a kind out of scope": ("role-missing", lambda: under(kinds=("sanctions-entry/1.0",))),
    "for a purpose out of scope": ("role-missing", lambda: under(purposes=("judicial",))),
    "on the requester's own word": ("role-missing", lambda: alone(claim("be-requester"))),
    "on the word of the requester's other key": ("role-missing", lambda: alone(claim("be-second-key"))),
    "on the word of a suspended officer": ("role-missing", lambda: alone(claim("be-suspended"))),
    "on the word of one without the role": ("role-missing", lambda: alone(claim("be-reader"))),
    "on the word of an operator": ("role-missing", lambda: alone(claim("be-operator"))),
    "on the word of nobody": ("role-missing", lambda: alone(claim("be-nobody"))),
    "on the word of one without clearance": (
        "role-missing",
        lambda: alone(claim("be-uncleared"), changes=CLASSIFIED),
    ),
    "on the word of one without need to know": (
        "role-missing",
        lambda: with_officer(alone(), "be-approver", need_to_know=()),
    ),
    "with a lifted field": (
        "role-missing",
        lambda: alone(changes={"lifts": [{"pointer": "/national_number", "reason": "invented"}]}),
    ),
    "signed by somebody without the requester's role": (
        "role-missing",
        lambda: with_evidence(
            made := alone(statement=put("requester", "be-reader")),
            endorsements=(endorse("be-reader", "request", evidence_of(made).statement),),
        ),
    ),
    "with the approval alone": (
        "role-missing",
        lambda: with_evidence(
            made := alone(), endorsements=(endorse("be-approver", "approve", evidence_of(made).statement),)
        ),
    ),
    "approved by another than the one named": (
        "role-missing",
        lambda: batch(
            payload=put("type", "emergency"),
            decision=as_emergency(claim("be-both")),
            type="emergency",
        ),
    ),
    "signed a day ago": (
        "emergency-locked",
        lambda: with_evidence(
            made := alone(),
            endorsements=(endorse("be-requester", "request", evidence_of(made).statement, at=NOW - HOURS),),
        ),
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_refused(name: str) -> None:
    """With a code, no seal, and nothing on the list."""
    code, make = ATTACKS[name]
    attempt = make()
    made, held = attempt if isinstance(attempt, tuple) else (attempt, disk())
    assert refusal(made, held) == code
    assert "alone.json" not in held.files


# --- the list --------------------------------------------------------------------------------------------------------


def with_one(**changes: Any) -> tuple[Disk, Settlement]:
    """A signer that sealed one, changed in its list, and the bare settlement of it."""
    held = disk()
    made = alone()
    assert refusal(made, held) == ""
    kept = {key: msgspec.structs.replace(one, **changes) for key, one in held.open().alone.items()}
    held.replace("alone.json", msgspec.json.encode({OTHER_ID: kept[MESSAGE_ID]}))
    held.files.pop("heads.json")
    return held, Settlement(OTHER_ID, evidence_of(made).statement)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, ""),
        ({"confirm_by": NOW + timedelta(seconds=1)}, ""),
        ({"confirm_by": NOW}, "emergency-locked"),
        ({"confirm_by": NOW, "confirmed": True}, ""),
        ({"review_by": NOW, "confirmed": True}, "emergency-locked"),
        ({"review_by": NOW, "reviewed": True}, ""),
        ({"confirm_by": NOW, "reviewed": True}, "emergency-locked"),
    ],
)
def test_one_past_its_time_locks_the_path(changes: dict[str, Any], code: str) -> None:
    """Unconfirmed or unreviewed, to the second; content that two sign goes on."""
    held, _ = with_one(**changes)
    assert refusal(alone(), held) == code
    held.files.pop("heads.json", None)
    assert refusal(batch(), held) == ""


def settle(held: Disk, *settlements: Settlement, now: datetime = NOW) -> tuple[str, ...]:
    signer = authority(held, now=now)
    signer.settle(settlements)
    return tuple(held.open().alone)


def confirmed(one: Settlement, by: str = "be-approver") -> Settlement:
    return msgspec.structs.replace(one, confirmation=endorse(by, "approve", one.statement))


def reviewed(one: Settlement, by: str = "be-both", act: Any = "uphold") -> Settlement:
    return msgspec.structs.replace(one, review=endorse(by, act, one.statement), act=act)


def test_two_other_persons_settle_it() -> None:
    """Confirmed by who approved orally, reviewed by a third: it is off the list, at once or one after the other."""
    held, one = with_one(confirm_by=NOW, review_by=NOW)
    assert settle(held, confirmed(one)) == (OTHER_ID,)
    assert refusal(alone(), held) == "emergency-locked"
    assert settle(held, confirmed(one)) == (OTHER_ID,)
    assert settle(held, reviewed(one)) == ()
    assert settle(held, reviewed(one)) == ()
    held.files.pop("heads.json", None)
    assert refusal(alone(), held) == ""


def test_a_review_that_overrules_settles_it_alone() -> None:
    """Nothing is left that a confirmation could mend."""
    held, one = with_one()
    assert settle(held, reviewed(one, act="overrule")) == ()


UNSETTLING: dict[str, Callable[[Settlement], Settlement]] = {
    "confirmed by the requester": lambda one: confirmed(one, "be-requester"),
    "confirmed by another approver": lambda one: confirmed(one, "be-both"),
    "confirmed by the request": lambda one: msgspec.structs.replace(
        one, confirmation=endorse("be-approver", "request", one.statement)
    ),
    "confirmed over another statement": lambda one: msgspec.structs.replace(
        one, confirmation=endorse("be-approver", "approve", b"{}")
    ),
    "another statement altogether": lambda one: confirmed(msgspec.structs.replace(one, statement=b"{}")),
    "reviewed by the requester": lambda one: reviewed(one, "be-requester"),
    "reviewed by the requester's other key": lambda one: reviewed(one, "be-second-key"),
    "reviewed by the approver": lambda one: reviewed(one, "be-approver"),
    "reviewed by an operator": lambda one: reviewed(one, "be-operator"),
    "reviewed by one without the role": lambda one: reviewed(one, "be-reader"),
    "reviewed by a suspended officer": lambda one: reviewed(one, "be-suspended"),
    "reviewed by a stranger": lambda one: msgspec.structs.replace(
        one, review=endorse("stranger", "uphold", one.statement, says="be-both")
    ),
    "upheld, and said to be overruled": lambda one: msgspec.structs.replace(reviewed(one), act="overrule"),
    "reviewed by an approval": lambda one: msgspec.structs.replace(
        one, review=endorse("be-both", "approve", one.statement)
    ),
}


@pytest.mark.parametrize("name", UNSETTLING)
def test_nothing_else_settles_it(name: str) -> None:
    """Refused, and the list stays as it was, byte for byte, also for what came with it."""
    held, one = with_one()
    before = held.files["alone.json"]
    with pytest.raises((LocalFault, PartnerFault)):
        settle(held, confirmed(one), UNSETTLING[name](one))
    assert held.files["alone.json"] == before


def test_what_does_not_wait_is_passed_over() -> None:
    """A settlement of a message that is not on the list is no error: a gateway may repeat itself."""
    held, one = with_one()
    before = held.files["alone.json"]
    assert settle(held, msgspec.structs.replace(one, message_id=CONVERSATION)) == (OTHER_ID,)
    assert held.files["alone.json"] == before


def test_sealed_again_it_keeps_its_first_times() -> None:
    """A gateway that crashed after the answer asks again, an hour later: the clock does not start anew."""
    held = disk()
    assert refusal(alone(), held) == ""
    held.files.pop("heads.json")
    before = held.files["alone.json"]
    made = alone()
    later = NOW + timedelta(seconds=200)
    (answer,) = authority(held, now=later).seal(made).results
    assert answer.code == ""
    assert held.files["alone.json"] == before


def test_the_list_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than so many at once are refused, whatever their times."""
    monkeypatch.setattr(module, "MAX_ALONE", 1)
    held, _ = with_one()
    assert refusal(alone(), held) == "emergency-locked"


def test_a_disk_that_does_not_keep_seals_nothing() -> None:
    """The list is written first: when that fails no seal comes out."""
    held = disk()
    signer = authority(held)

    def failing(name: str, data: bytes) -> None:
        if name == "alone.json":
            raise OSError("full")
        held.files[name] = data

    signer.trust._replace = failing
    with pytest.raises(OSError, match="full"):
        signer.seal(alone())


def test_the_persons_of_the_tests_are_who_they_seem() -> None:
    """The third person may review, and had no part."""
    officers = people()
    assert "approver" in officers["be-both"].roles
    assert officers["be-both"].person not in ("person-be-requester", "person-be-approver")
    assert trust().settings_sha256 == digest(canonical(SETTINGS))
    assert KIND.name in SCOPE.kinds

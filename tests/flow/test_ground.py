"""Grounds: what may be recorded, who may record and confirm, and on which of those in force a decision rests."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from gateway.errors import RequestInvalid, RoleMissing
from gateway.flow.ground import (
    MAX_ENTRIES,
    MAX_SKEW,
    recipients_of,
    require_recorder,
    require_second,
    require_sound,
    rests_on,
    withdrawn,
)
from gateway.flow.typed import MAX_TEXT
from gateway.model.ground import Authorisation, Consent, Ground, GroundName, TransferDerogation
from gateway.model.officer import Officer
from gateway.policy.decide import decide
from tests.policy.worlds import KIND, NOW, OURS, POLICE, POLICY, world

SUPPLIER = "bel.vsse"
CONSENT = Consent(
    SUPPLIER, (POLICE,), ("ct-prevention",), ("/names/*",), "2026-12-31", "telephone", "desk", NOW
)
AUTHORISATION = Authorisation("an invented prosecutor", "FD-2026-1", "a" * 64, (POLICE,), "2026-12-31")
DEROGATION = TransferDerogation(POLICE, "an invented threat", ("/category",), NOW, "2026-12-31")
GROUNDS: dict[str, Ground] = {
    "consent": CONSENT,
    "authorisation": AUTHORISATION,
    "derogation": DEROGATION,
}


def sound(ground: Ground, **changes: Any) -> None:
    require_sound(msgspec.structs.replace(ground, **changes), KIND, ours=OURS, now=NOW)


@pytest.mark.parametrize("name", GROUNDS)
def test_a_ground_that_says_what_it_must_is_sound(name: str) -> None:
    """Through its last day, which is a day in UTC; and one that was given a moment ahead of our clock."""
    ground = GROUNDS[name]
    sound(ground, until=NOW.date().isoformat())
    assert recipients_of(ground) == (POLICE,)
    if not isinstance(ground, Authorisation):
        sound(ground, at=NOW + MAX_SKEW)


#: By name, a ground, a change of it, and the field at fault.
UNSOUND: dict[str, tuple[Ground, dict[str, Any], str]] = {
    "no supplier": (CONSENT, {"originator": ""}, "originator"),
    "we consent to ourselves": (CONSENT, {"originator": OURS}, "originator"),
    "for nobody": (CONSENT, {"recipients": ()}, "recipients"),
    "for ourselves": (CONSENT, {"recipients": (POLICE, OURS)}, "recipients"),
    "for one twice": (CONSENT, {"recipients": (POLICE, POLICE)}, "recipients"),
    "for no organisation": (CONSENT, {"recipients": ("FRA police",)}, "recipients"),
    "for nothing": (CONSENT, {"purposes": ()}, "purposes"),
    "for a blank purpose": (CONSENT, {"purposes": (" ",)}, "purposes"),
    "for too much": (CONSENT, {"purposes": tuple(str(n) for n in range(MAX_ENTRIES + 1))}, "purposes"),
    "about nothing": (CONSENT, {"items": ()}, "items"),
    "about what is not": (CONSENT, {"items": ("/nickname",)}, "items"),
    "about everything, spelled otherwise": (CONSENT, {"items": ("/*",)}, "items"),
    "by nobody": (CONSENT, {"by": " "}, "by"),
    "by somebody unseen": (CONSENT, {"by": "desk\u202e"}, "by"),
    "given tomorrow": (CONSENT, {"at": NOW + MAX_SKEW + timedelta(seconds=1)}, "at"),
    "over": (CONSENT, {"until": "2026-11-20"}, "until"),
    "until no day": (CONSENT, {"until": "2026-02-30"}, "until"),
    "until a month": (CONSENT, {"until": "2026-12"}, "until"),
    "for ever": (CONSENT, {"until": ""}, "until"),
    "by no authority": (AUTHORISATION, {"authority": ""}, "authority"),
    "without its reference": (AUTHORISATION, {"reference": ""}, "reference"),
    "without its document": (AUTHORISATION, {"file_sha256": "A" * 64}, "file_sha256"),
    "authorised for nobody": (AUTHORISATION, {"recipients": ()}, "recipients"),
    "derogates toward ourselves": (DEROGATION, {"recipient": OURS}, "recipients"),
    "derogates for no reason": (DEROGATION, {"justification": ""}, "justification"),
    "derogates in a long story": (DEROGATION, {"justification": "x" * (MAX_TEXT + 1)}, "justification"),
    "derogates for no data": (DEROGATION, {"data": ()}, "data"),
    "derogates for everything": (DEROGATION, {"data": ("*",)}, "data"),
    "derogates from tomorrow": (DEROGATION, {"at": NOW + timedelta(days=1)}, "at"),
}


@pytest.mark.parametrize("name", UNSOUND)
def test_what_could_permit_nothing_or_says_too_little_is_refused(name: str) -> None:
    """The field is named, and nothing of what it held."""
    ground, changes, field = UNSOUND[name]
    with pytest.raises(RequestInvalid) as caught:
        sound(ground, **changes)
    assert caught.value.diagnostic == {"field": field}
    assert caught.value.detail.startswith(f"{field}: ")


def officer(*roles: Any, person: str = "person-2") -> Officer:
    return Officer("be-two", person, "Zzemo (synthetic)", roles, ())


@pytest.mark.parametrize("roles", [("requester",), ("approver",), ("requester", "reviewer")])
def test_who_may_release_may_record(roles: tuple[str, ...]) -> None:
    """A requester or an approver, whatever else the officer is, but an operator."""
    assert may_record(*roles)
    assert not may_record(*roles, "operator")


@pytest.mark.parametrize("roles", [(), ("reviewer",), ("security-officer",), ("requester", "operator")])
def test_nobody_else_records(roles: tuple[str, ...]) -> None:
    """Nor whoever operates the gateway, whatever else the officer is."""
    assert not may_record(*roles)


def may_record(*roles: str) -> bool:
    try:
        require_recorder(officer(*roles))
    except RoleMissing:
        return False
    return True


def test_the_second_is_an_approver_and_another_person() -> None:
    """The same person is none under another id, nor is an operator or who approves nothing."""
    require_second(officer("approver"), "person-1")
    for second in (
        officer("approver", person="person-1"),
        officer("approver", "operator"),
        officer("requester"),
        officer(),
    ):
        with pytest.raises(RoleMissing):
            require_second(second, "person-1")


def named(*kinds: Any, originator: str = SUPPLIER) -> tuple[GroundName, ...]:
    return tuple(
        GroundName(f"g-{kind}", kind, "a" * 64, originator if kind == "consent" else "") for kind in kinds
    )


ALL = named("consent", "authorisation", "derogation")


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({}, set()),
        ({"labels./sex.originator": SUPPLIER, "labels./sex.consent": [POLICE]}, set()),
        ({"content.status.judicial_information": True}, {"authorisation"}),
        ({"settings.transfers": {"FRA": {"ground": "derogation", "reference": "invented"}}}, {"derogation"}),
        ({"settings.transfers": {"FRA": {"ground": "adequacy", "reference": "invented"}}}, set()),
        ({"settings.transfers": {"USA": {"ground": "derogation", "reference": "invented"}}}, set()),
    ],
)
def test_a_decision_rests_on_what_a_rule_would_have_asked_for(
    changes: dict[str, Any], kinds: set[str]
) -> None:
    """Of all grounds in force: the authorisation where there is judicial information, the derogation where the transfer
    rests on one, and no consent where nothing needs it or it came with the field."""
    ctx = msgspec.structs.replace(world(changes), grounds=ALL)
    assert {name.kind for name in rests_on(ctx, decide(POLICY, world()))} == kinds


def test_it_rests_on_a_consent_of_whoever_supplied_what_leaves() -> None:
    """Of that service alone; not where the field stays."""
    ctx = world({"labels./sex.originator": SUPPLIER})
    decision = decide(POLICY, world())
    assert "/sex" in decision.released
    mine, others = named("consent"), named("consent", originator="bel.adiv")
    ctx = msgspec.structs.replace(ctx, grounds=(*mine, *others))
    assert rests_on(ctx, decision) == mine
    stays = msgspec.structs.replace(
        decision, fields=tuple(field for field in decision.fields if field.pointer != "/sex")
    )
    assert rests_on(ctx, stays) == ()


def test_what_a_release_names_must_all_hold() -> None:
    """One that holds no more, and another document under the same id, are withdrawn; further ones change nothing."""
    ctx = msgspec.structs.replace(world(), grounds=ALL)
    assert not withdrawn((), ctx)
    assert not withdrawn(ALL[:2], ctx)
    assert withdrawn(ALL, msgspec.structs.replace(ctx, grounds=ALL[1:]))
    assert withdrawn((msgspec.structs.replace(ALL[0], sha256="b" * 64),), ctx)

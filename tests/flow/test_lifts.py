"""A lift that unlocks nothing is told, with the rule that has the last word; one of what never was there is refused."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import RequestInvalid
from gateway.flow.lifts import MAX_LIFTS, NO_FIELDS, idle_lifts, require_lifts
from gateway.model.request import Lift
from gateway.policy.decide import decide
from tests.policy.worlds import KIND, POLICY, world


def lifted(*pointers: str, **changes: Any) -> list[tuple[str, str]]:
    """What is told of lifts of these, in the ordinary world with these changes."""
    lifts = [{"pointer": pointer, "reason": "invented"} for pointer in pointers]
    ctx = world({"lifts": lifts, **changes})
    decision = decide(POLICY, ctx)
    assert decision.effect == "PERMIT", decision.reasons
    return [(one.pointer, one.rule) for one in idle_lifts(ctx, POLICY, decision)]


@pytest.mark.parametrize(
    ("pointer", "rule"),
    [
        ("/health", "class.X"),
        ("/addresses/0", "class.B"),
        ("/category", "class.A"),
        ("/names/99", "lift.field"),
        ("/person", "person.minor"),
        ("/repeat", "held.repeats"),
        ("/core-data", "dna.core-data"),
    ],
)
def test_a_lift_that_unlocks_nothing_is_told(pointer: str, rule: str) -> None:
    """What never leaves, leaves when asked for, leaves anyway, is not there, or is no minor, repetition or DNA set."""
    assert lifted(pointer) == [(pointer, rule)]


def test_a_lift_that_unlocks_is_not() -> None:
    """A class C field that the agreement lists; beside it one that does nothing is still told."""
    assert lifted("/national_number") == []
    assert lifted("/national_number", "/health") == [("/health", "class.X")]


def test_what_the_agreement_does_not_list_stays() -> None:
    """The same field under an agreement that allows no lift of it; whatever rule the lift still quiets."""
    assert lifted("/national_number", **{"agreement.terms.lifts": []}) == [("/national_number", "class.C")]
    special = {"agreement.terms.lifts": [], "content.special": {"kind": "belief", "text": "invented"}}
    assert lifted("/special", **special) == [("/special", "class.C")]


def test_of_two_that_do_the_same_one_is_told() -> None:
    """The same lift twice: without either the decision is the same, without both it is not."""
    assert lifted("/national_number", "/national_number") == [("/national_number", "class.C")]


def test_of_a_denial_nothing_is_told() -> None:
    """Its reasons come first, and may be all that a lift waits for."""
    ctx = world({"lifts": [{"pointer": "/health", "reason": "invented"}], "release.embargoed": True})
    decision = decide(POLICY, ctx)
    assert decision.effect == "DENY"
    assert idle_lifts(ctx, POLICY, decision) == ()


@pytest.mark.parametrize(
    "pointer", ["/helth", "", "/", "/names", "/names/first", "/category/0", "category", "/*"]
)
def test_what_no_record_of_the_kind_has_is_refused(pointer: str) -> None:
    """A slip of the pen, a list for its items, or everything: the lift is named by its place."""
    with pytest.raises(RequestInvalid) as caught:
        require_lifts((Lift("/health", "why"), Lift(pointer, "why")), KIND)
    assert caught.value.diagnostic == {"field": "lifts[1].pointer"}


def test_nobody_lifts_without_end() -> None:
    """As many as the limit, and not one more."""
    lifts = tuple(Lift(f"/names/{number}", "why") for number in range(MAX_LIFTS + 1))
    require_lifts(lifts[:-1], KIND)
    with pytest.raises(RequestInvalid) as caught:
        require_lifts(lifts, KIND)
    assert caught.value.diagnostic == {"field": "lifts"}


def test_what_there_may_be_is_not_refused() -> None:
    """Fields of any class, items wherever they stand, and what is no field."""
    require_lifts(tuple(Lift(each, "why") for each in ("/health", "/names/0", "/names/99", *NO_FIELDS)), KIND)

"""What was said aloud: judged as a release of the same fields would be, late by the house clock, told in full."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from gateway.errors import RequestInvalid
from gateway.flow.ground import MAX_ENTRIES, MAX_SKEW
from gateway.flow.oral import judged, late, require_told
from gateway.flow.typed import MAX_TEXT
from gateway.model.oral import Said
from gateway.policy.decide import decide
from tests.policy.worlds import FUSION_CENTRE, KIND, NOW, OURS, POLICE, POLICY, world

SAID = Said(
    POLICE,
    ("/category", "/names/0"),
    NOW,
    "be-one",
    "duty desk",
    "ct-prevention",
    "be-2024-03-29:art28",
    "why",
)


def test_what_would_have_left_is_no_breach() -> None:
    """Under a permit, of fields that it releases."""
    found = judged(("/category", "/sex"), decide(POLICY, world()))
    assert (found.effect, found.outside, found.reasons) == ("PERMIT", (), ())


def test_a_withheld_field_is_outside_with_its_rule() -> None:
    """Each by itself, with version and source of the rule, as a denial of that field; the others are not."""
    decision = decide(POLICY, world())
    found = judged(("/health", "/category", "/national_number"), decision)
    assert (found.effect, found.outside) == ("PERMIT", ("/health", "/national_number"))
    assert [(one.rule, one.effect, one.pointer) for one in found.reasons] == [
        ("class.X", "DENY", "/health"),
        ("class.C", "DENY", "/national_number"),
    ]
    withheld = {one.pointer: one for one in decision.withheld}
    for reason in found.reasons:
        field = withheld[reason.pointer]
        assert (reason.version, reason.source_kind, reason.article) == (
            field.version, field.source_kind, field.article
        )  # fmt: skip


def test_without_a_permit_everything_is_outside() -> None:
    """Whatever the field is, with the reasons of the denial."""
    decision = decide(POLICY, world(FUSION_CENTRE))
    found = judged(SAID.fields, decision)
    assert (found.effect, found.outside) == ("DENY", SAID.fields)
    assert found.reasons == decision.reasons


@pytest.mark.parametrize(
    ("ago", "hours", "expected"),
    [(24, 24, False), (25, 24, True), (0, 0, False), (0, None, True), (-0.05, 24, False)],
)
def test_late_is_after_the_house_clock(ago: float, hours: int | None, expected: bool) -> None:
    """To the hour it is not; without a clock everything is, since nobody said how long is short."""
    assert late(NOW - timedelta(hours=ago), NOW, hours) is expected


def told(**changes: Any) -> None:
    require_told(msgspec.structs.replace(SAID, **changes), world().record, KIND, ours=OURS, now=NOW)


def test_what_tells_enough_is_taken() -> None:
    """Of any fields of the record, whatever their class, and a moment ahead of our clock; no longer moment, and no
    field that the record has not."""
    assert fault_of() == ""
    assert fault_of(fields=("/health",), at=NOW + MAX_SKEW) == ""
    assert fault_of(fields=("/health",), at=NOW + MAX_SKEW + timedelta(seconds=1)) == "at"
    assert fault_of(fields=("/health", "/nickname"), at=NOW + MAX_SKEW) == "fields"


def fault_of(**changes: Any) -> str:
    """The field at fault; empty for what is taken."""
    try:
        told(**changes)
    except RequestInvalid as refused:
        return str(refused.diagnostic["field"])
    return ""


#: By name, a change of what was told, and the field at fault.
TOO_LITTLE: dict[str, tuple[dict[str, Any], str]] = {
    "to nobody": ({"partner": ""}, "partner"),
    "to no organisation": ({"partner": "FRA police"}, "partner"),
    "to ourselves": ({"partner": OURS}, "partner"),
    "nothing": ({"fields": ()}, "fields"),
    "a field twice": ({"fields": ("/sex", "/sex")}, "fields"),
    "what the record does not have": ({"fields": ("/sex", "/names/99")}, "fields"),
    "a pattern": ({"fields": ("/names/*",)}, "fields"),
    "too many fields": ({"fields": tuple(f"/names/{n}" for n in range(MAX_ENTRIES + 1))}, "fields"),
    "to no desk": ({"told": " "}, "told"),
    "for nothing": ({"purpose": ""}, "purpose"),
    "on no basis": ({"legal_basis": "\n"}, "legal_basis"),
    "for no reason": ({"justification": ""}, "justification"),
    "in a long story": ({"justification": "x" * (MAX_TEXT + 1)}, "justification"),
    "unseen": ({"told": "desk\u2066"}, "told"),
    "tomorrow": ({"at": NOW + MAX_SKEW + timedelta(seconds=1)}, "at"),
}


@pytest.mark.parametrize("name", TOO_LITTLE)
def test_what_tells_too_little_is_refused(name: str) -> None:
    """Before anything is recorded, with the field and its rule."""
    changes, field = TOO_LITTLE[name]
    with pytest.raises(RequestInvalid) as caught:
        told(**changes)
    assert caught.value.diagnostic == {"field": field}
    assert caught.value.detail.startswith(f"{field}: ")

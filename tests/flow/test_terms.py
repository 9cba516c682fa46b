"""Terms of an agreement: every fault has its member and its rule, and sound ones have none."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from docs import agreement_schema
from gateway.flow.difference import meaning
from gateway.flow.terms import faults
from gateway.model.agreement import AgreementTerms, Bulk, ProtocolFields
from gateway.policy.levels import default_levels
from gateway.service.signer_main import kinds
from tests.service.founding import terms

KINDS, LEVELS = kinds(), default_levels()
SAMPLE = Path(__file__).resolve().parents[2] / "docs" / "samples" / "terms.toml"


def found(**changes: object) -> list[tuple[str, str]]:
    return [(fault.field, fault.rule) for fault in faults(terms(**changes), KINDS, LEVELS)]


def protocol(**changes: object) -> ProtocolFields:
    return msgspec.structs.replace(terms().protocol, **changes)


def test_sound_terms() -> None:
    """Those of the tests and of the sample; a list of lifts may be empty, since none is a choice."""
    assert found() == []
    assert found(lifts=()) == []
    sample = msgspec.convert(tomllib.loads(SAMPLE.read_text("utf-8")), AgreementTerms)
    assert faults(sample, KINDS, LEVELS) == ()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"series": " "}, ("series", "member.present")),
        ({"legal_basis": ""}, ("legal_basis", "member.present")),
        ({"purposes": ()}, ("purposes", "member.present")),
        ({"purposes": ("ct-prevention", "")}, ("purposes", "member.present")),
        ({"kinds": ()}, ("kinds", "member.present")),
        ({"formats": ()}, ("formats", "member.present")),
        ({"languages": ()}, ("languages", "member.present")),
        ({"languages": ("fr", "fr")}, ("languages", "list.unique")),
        ({"languages": ("french",)}, ("languages[0]", "language.code")),
        ({"formats": ("ct-exchange-json",)}, ("formats[0]", "format.name")),
        ({"kinds": ("bdc-person/1.0", "bdc-person/9.0")}, ("kinds[1]", "kind.known")),
        ({"lifts": ("/names/*",)}, ("lifts[0]", "lift.class-c")),
        ({"lifts": ("/addresses/*",)}, ("lifts[0]", "lift.class-c")),
        ({"lifts": ("/health",)}, ("lifts[0]", "lift.class-c")),
        ({"lifts": ("/national_number", "/invented")}, ("lifts[1]", "lift.class-c")),
        ({"ceiling": msgspec.structs.replace(terms().ceiling, level="HIGH")}, ("ceiling", "level.known")),
        ({"version": 0}, ("version", "version.number")),
        ({"version": 10**20}, ("version", "version.number")),
        ({"series": "../../x"}, ("series", "series.name")),
        ({"series": "be-fr\u202e"}, ("series", "series.name")),
        ({"series": "s" * 129}, ("series", "series.name")),
        ({"retention_days": 10**20}, ("retention_days", "retention.most")),
        ({"bulk": Bulk(records=12, days=10**20)}, ("bulk", "bulk.most")),
        ({"parties": ("bel.ocam", "../fra")}, ("parties[1]", "parties.id")),
        ({"purposes": ("ct-prevention", "all\u200bfine")}, ("purposes[1]", "text.plain")),
        ({"legal_basis": "all\u202efine"}, ("legal_basis", "text.plain")),
        (
            {"protocol": protocol(restrictions_on_rights="none \x1b[2J")},
            ("protocol.restrictions_on_rights", "text.plain"),
        ),
        ({"protocol": protocol(controllers=("bel.ocam", "\ud800"))}, ("protocol.controllers[1]", "text.plain")),
        ({"retention_days": 0}, ("retention_days", "retention.set")),
        ({"not_after": terms().not_before}, ("not_after", "period")),
        ({"suites": ()}, ("suites", "exactly-one")),
        ({"signature_profiles": ("classic", "hybrid")}, ("signature_profiles", "exactly-one")),
        ({"bulk": None}, ("bulk", "bulk.set")),
        ({"bulk": Bulk(records=12, days=0)}, ("bulk", "bulk.number")),
        ({"parties": ("bel.ocam", "bel.ocam")}, ("parties", "parties.two")),
        ({"recipient_kinds": {"bel.ocam": "other"}}, ("recipient_kinds", "parties.kinds")),
        (
            {"recipient_kinds": {"bel.ocam": "other", "fra.police-demo": "private"}},
            ("recipient_kinds", "recipient.public"),
        ),
        ({"protocol": protocol(bodies=("bel.ocam",))}, ("protocol.bodies", "parties.bodies")),
        ({"protocol": protocol(controllers=())}, ("protocol.controllers", "member.present")),
        ({"protocol": protocol(dpo_contacts=())}, ("protocol.dpo_contacts", "member.present")),
        ({"protocol": protocol(restrictions_on_rights="")}, ("protocol.restrictions_on_rights", "member.present")),
        ({"protocol": protocol(legal_basis="")}, ("protocol.legal_basis", "member.present")),
        ({"protocol": protocol(purposes=("other",))}, ("protocol.purposes", "protocol.purposes")),
    ],
)  # fmt: skip
def test_a_fault_has_its_member_and_its_rule(changes: dict[str, Any], expected: tuple[str, str]) -> None:
    """One thing that is wrong, one fault among those found."""
    assert expected in found(**changes)


def test_bulk_is_compulsory_by_the_police_route_alone() -> None:
    """Law 44/11/13 is about that route."""
    assert found(bulk=None, route="intelligence") == []


def test_the_schema_is_that_of_the_types() -> None:
    """The committed file is drawn from the code, and every member of the terms is described."""
    assert agreement_schema.FILE.read_text("utf-8") == agreement_schema.drawn()
    described = json.loads(agreement_schema.drawn())["$defs"]
    for name in ("AgreementTerms", "ProtocolFields", "Ceiling", "Bulk"):
        assert all("description" in member for member in described[name]["properties"].values())


@pytest.mark.parametrize("empty", ["purposes", "kinds", "formats", "languages", "suites"])
def test_an_editor_is_told_what_the_check_refuses(empty: str) -> None:
    """An empty list that permits nothing stands against the schema as well; the sound terms do not."""
    schema = jsonschema_rs.validator_for(json.loads(agreement_schema.drawn()))
    tree = msgspec.to_builtins(terms(), builtin_types=())
    assert schema.is_valid(tree)
    assert not schema.is_valid(tree | {empty: []})


def test_a_difference_says_what_a_member_is() -> None:
    """Members and members of members; other documents say nothing in words."""
    assert "named approver" in meaning("agreement", "lifts")
    assert "controllers" in meaning("agreement", "protocol/controllers").lower()
    assert meaning("agreement", "ceiling/level").startswith("The level")
    assert meaning("agreement", "recipient_kinds/fra.police-demo").startswith("What each")
    assert meaning("settings", "freshness_s") == ""

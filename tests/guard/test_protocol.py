"""Messages that leave without a decision hold their envelope and nothing else."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.errors import GuardRefused
from gateway.guard import GuardVerdict, RefusalRule, guard_protocol
from gateway.guard.allow import FORMATS, Row, allow_list, load_allow_list
from gateway.guard.egress import PROTOCOL_TYPES
from gateway.model.message import DEMANDS
from tests.guard.worlds import encode

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
ARGUMENTS: dict[str, Any] = {
    "type": "void",
    "mode": "operational",
    "message_id": "5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a11",
    "conversation": "c1b0e3a4-1d5b-4a0e-8a5a-2b9f6f1f7d20",
    "sender": "bel.ocam",
    "recipient": "fra.police-demo",
    "created": (NOON, NOON + timedelta(hours=9)),
    "languages": ("fr", "nl"),
}
VOID = {
    "format": "ct-exchange-json/1.0",
    "type": "void",
    "mode": "operational",
    "message_id": "5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a11",
    "conversation": "c1b0e3a4-1d5b-4a0e-8a5a-2b9f6f1f7d20",
    "from": "bel.ocam",
    "to": "fra.police-demo",
    "created": "2026-11-21T21:00:00Z",
    "language": "fr",
}


def test_the_types_are_those_that_need_no_decision() -> None:
    """The guard's list and the table of demands name the same types, and each has its rows."""
    assert {name for name, demands in DEMANDS.items() if not demands.decision} == PROTOCOL_TYPES
    assert set(allow_list("ct-exchange-json/1.0").types) == PROTOCOL_TYPES | {
        *("disclosure", "request", "consent-request", "emergency", "answer", "recall", "recall replaced"),
        *("no-information", "refusal", "correction", "correction replaced"),
        *("agreement offered", "agreement signed", "agreement revoked"),
        *("consent-answer granted", "consent-answer granted until", "consent-answer refused"),
    }


@pytest.mark.parametrize("message_type", ["checkpoint", "ping", "status", "void"])
def test_an_envelope_alone_passes(message_type: str) -> None:
    """Each protocol type passes with its nine members; the verdict names no decision."""
    verdict = guard_protocol(encode(VOID | {"type": message_type}), **ARGUMENTS | {"type": message_type})
    assert (verdict.leaves, verdict.decision_sha256) == (9, "")
    assert isinstance(verdict, GuardVerdict)


@pytest.mark.parametrize("created", ["2026-11-21T12:00:00Z", "2026-11-21T21:00:00Z"])
def test_the_first_and_the_last_second_pass(created: str) -> None:
    """Both bounds of the time of creation belong to it; the seconds beside them are refused below."""
    assert guard_protocol(encode(VOID | {"created": created}), **ARGUMENTS).leaves == 9


@pytest.mark.parametrize(
    ("payload", "changed", "rule"),
    [
        (encode(VOID | {"reason": "embargo"}), {}, "unexplained"),
        (encode(VOID | {"records": []}), {}, "unexplained"),
        (encode(VOID | {"label": {"policy": "BEL", "level": "SECRET"}}), {}, "unexplained"),
        (encode(VOID | {"type": "ping"}), {}, "altered-constant"),
        (encode(VOID), {"type": "ping"}, "altered-constant"),
        (encode(VOID), {"type": "disclosure"}, "type"),
        (encode(VOID), {"type": "recall"}, "type"),
        (encode(VOID), {"recipient": "fra.other"}, "altered-protocol"),
        (encode(VOID), {"mode": "test"}, "altered-protocol"),
        (encode(VOID | {"mode": "x"}), {"mode": "x"}, "protocol-form"),
        (encode(VOID | {"message_id": "Quux"}), {"message_id": "Quux"}, "protocol-form"),
        (encode(VOID | {"created": "yesterday"}), {}, "protocol-form"),
        (encode(VOID | {"created": "2026-11-21T21:00:00.1Z"}), {}, "protocol-form"),
        (encode(VOID | {"created": 1}), {}, "protocol-form"),
        (encode(VOID | {"created": "2026-11-21T21:00:00Z\n"}), {}, "protocol-form"),
        (encode(VOID | {"created": "2026-11-21T21:00:01Z"}), {}, "protocol-form"),
        (encode(VOID | {"created": "2026-11-21T11:59:59Z"}), {}, "protocol-form"),
        (encode(VOID | {"language": "en"}), {}, "protocol-form"),
        (encode(VOID), {"languages": ()}, "protocol-form"),
        (encode(VOID | {"language": "quux"}), {}, "protocol-form"),
        (encode({name: value for name, value in VOID.items() if name != "language"}), {}, "protocol-form"),
        (encode({name: value for name, value in VOID.items() if name != "mode"}), {}, "missing"),
        (encode(dict(reversed(list(VOID.items())))), {}, "order"),
        (encode(VOID) + b"\n", {}, "syntax"),
        (encode([VOID]), {}, "protocol-form"),
    ],
)
def test_anything_more_or_other_is_refused(
    payload: bytes, changed: dict[str, Any], rule: RefusalRule
) -> None:
    """A void says that a number was withdrawn, never why: each addition or change has its rule."""
    with pytest.raises(GuardRefused) as caught:
        guard_protocol(payload, **ARGUMENTS | changed)
    assert caught.value.diagnostic["rule"] == rule


# --- the lists themselves --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_name", sorted(FORMATS))
def test_every_list_is_closed(format_name: str) -> None:
    """Each protocol field a list uses has a pattern, and each member that may hold free text is named."""
    allow = allow_list(format_name)
    used = {row.key for rows in allow.types.values() for row in rows if row.source == "protocol"}
    assert used == set(allow.protocol)
    assert allow.free_text
    assert allow.local_identifiers


def described(**changes: Any) -> bytes:
    return encode(
        {
            "format": "x/1",
            "version": 1,
            "transformations": ["identity"],
            "protocol": {},
            "types": {"disclosure": [["/records/*", "value", "identity"]]},
            "local_identifiers": [],
            "free_text": [],
            "closed_vocabularies": [],
        }
        | changes
    )


def test_a_list_is_read_strictly() -> None:
    """A list of the closed form loads; anything it adds, lacks or names anew is refused."""
    assert load_allow_list(described(), "x/1").format == "x/1"
    for wrong in (
        b"",
        b"{}",
        described(comment="x"),
        described(version=2),
        described(format="x/2"),
        described(transformations=["identity", "upper-case"]),
        described(transformations=[]),
        described(types={"disclosure": [["/records/*", "value", "upper-case"]]}),
        described(types={"disclosure": [["/x", "input", "y"]]}),
        described(types={"disclosure": [["/x", "protocol"]]}),
        described(types={"disclosure": [["/x", "protocol", "y", "z"]]}),
    ):
        with pytest.raises(GuardRefused) as caught:
            load_allow_list(wrong, "x/1")
        assert caught.value.diagnostic == {"rule": "form", "subject": "allow-list"}


def test_the_first_star_of_a_row_is_its_list() -> None:
    """A row speaks of the items of one list; a later star is the name of a member."""
    row = Row("/records/*/marks/*", "part", "part")
    assert row.stem == ("/records", True)
    assert row.path(3) == ("records", 3, "marks", "*")
    assert Row("/label", "label", "whole").stem == ("/label", False)

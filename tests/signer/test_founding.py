"""A home starts from a document that two of its own security officers signed, and from nothing less."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from gateway.errors import GatewayError
from gateway.flow.change import Founding, SignedFounding, canonical
from gateway.model.officer import Officer
from gateway.model.time import rfc3339
from gateway.service.signer.trust import found
from tests.policy.worlds import NOW, OURS, POLICY
from tests.signer.test_trust import ONE, TWO, Act, signature
from tests.signer.world import people, person, trust


def founding(*officers: Officer, by: tuple[tuple[str, Act], ...] = TWO, **members: Any) -> SignedFounding:
    """A founding document with these officers, signed by these."""
    document = Founding(
        v=1,
        org=OURS,
        nation="BEL",
        name="Organisation de démonstration",
        profile="demo",
        officers=officers or (people()["be-security"], people()["be-guardian"]),
        agreement_keys=trust().agreement_keys,
        policy_sha256=POLICY.sha256,
        at=rfc3339(NOW),
    )
    raw = canonical(msgspec.structs.replace(document, **members))
    return SignedFounding(raw, tuple(signature(name, act, raw) for name, act in by))


def test_founding() -> None:
    """The first trust holds the officers of the founding document, no partner and no agreement."""
    first = found(founding(), now=NOW)
    assert set(first.officers) == {"be-security", "be-guardian"}
    assert (first.partners, first.agreements, first.applied) == ({}, {}, ())
    assert (first.org, first.policy_sha256) == (OURS, POLICY.sha256)


UNFOUNDED: dict[str, Callable[[], SignedFounding]] = {
    "no signature": lambda: founding(by=()),
    "one signature": lambda: founding(by=ONE),
    "one person twice": lambda: founding(by=(("be-security", "propose"), ("be-security", "approve"))),
    "an officer it does not name": lambda: founding(people()["be-security"]),
    "an approver of releases": lambda: founding(
        people()["be-security"], people()["be-approver"], by=(*ONE, ("be-approver", "approve"))
    ),
    "an operator": lambda: founding(
        people()["be-security"],
        person("be-guardian", "security-officer", "operator"),
    ),
    "an officer twice": lambda: founding(
        *[people()[name] for name in ("be-security", "be-guardian", "be-guardian")]
    ),
    "a person twice": lambda: founding(
        *[people()[name] for name in ("be-security", "be-guardian")],
        person("be-reader", "inbox", person="person-be-security"),
    ),
    "another document": lambda: SignedFounding(founding(name="x").document, founding().endorsements),
    "no document": lambda: SignedFounding(b"", founding().endorsements),
    "no UTF-8": lambda: SignedFounding(b'{"org":"\xff"}', founding().endorsements),
}


@pytest.mark.parametrize("name", UNFOUNDED)
def test_no_home_without_two_security_officers(name: str) -> None:
    """A founding document founds nothing unless two of its own security officers, two persons, signed its bytes."""
    with pytest.raises(GatewayError):
        found(UNFOUNDED[name](), now=NOW)

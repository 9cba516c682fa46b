"""What must hold of all officers after any change of one: asked by the signer, whoever signed the change."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from gateway.errors import GatewayError, RequestInvalid, RoleMissing
from gateway.flow.change import require_people, verify_founding
from gateway.model.officer import Officer, OfficerKey
from tests.policy.worlds import NOW
from tests.signer.test_founding import founding
from tests.signer.test_trust import ONE, TWO, changed, made, new
from tests.signer.world import disk, people, person, trust

OTHER = new().keys[0]

#: A change of one officer that leaves people with whom a home cannot go on, and the code it is refused with.
REFUSED: dict[str, tuple[str, Callable[[], tuple[Officer, Officer | None]]]] = {
    "a key in two entries of two persons": (
        "role-missing",
        lambda: (new(keys=people()["be-both"].keys), None),
    ),
    "a key in two entries of one person": (
        "role-missing",
        lambda: (new(person="person-be-both", keys=people()["be-both"].keys), None),
    ),
    "a revoked key in another entry": ("role-missing", lambda: (new(keys=people()["be-revoked"].keys), None)),
    "a key twice in one entry": ("role-missing", lambda: (new(keys=(OTHER, OTHER)), None)),
    "a key under another id": (
        "request-invalid",
        lambda: (new(keys=(OfficerKey("kid", OTHER.public),)), None),
    ),
    "a key that is none": ("config-invalid", lambda: (new(keys=(OfficerKey("kid", "AAAA"),)), None)),
    "the last but one suspended": ("conflict", lambda: changed("be-guardian", suspended=True)),
    "the last but one without the role": ("conflict", lambda: changed("be-guardian", roles=())),
    "the last but one without a key": ("conflict", lambda: changed("be-guardian", keys=())),
    "the last but one an operator": (
        "conflict",
        lambda: changed("be-guardian", roles=("security-officer", "operator")),
    ),
    "the last two one person": ("conflict", lambda: changed("be-guardian", person="person-be-security")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    """Signed by two security officers or, where it narrows, by one: refused, and the signer believes what it did."""
    code, change = REFUSED[name]
    after, before = change()
    held = disk()
    file = held.open()
    for by in (TWO, ONE):
        with pytest.raises(GatewayError) as caught:
            file.change(made("officer", after.id, after, before, by=by), now=NOW)
        assert by == ONE or caught.value.code == code
    assert file.trust == trust()
    assert held.writes == []


def test_a_third_security_officer_frees_the_second() -> None:
    """With three, each one can be suspended by one person, and the next one is the last but one again."""
    held = disk()
    file = held.open()
    third = new(roles=("security-officer",))
    file.change(made("officer", third.id, third), now=NOW)
    file.change(made("officer", "be-guardian", *changed("be-guardian", suspended=True), by=ONE), now=NOW)
    assert file.trust.officers["be-guardian"].suspended
    away = msgspec.structs.replace(third, roles=())
    with pytest.raises(GatewayError):
        file.change(made("officer", third.id, away, third, by=ONE), now=NOW)


def test_a_home_that_has_too_few_can_still_narrow() -> None:
    """One who is left suspends others, and is kept from removing the last word."""
    alone = {"be-security": people()["be-security"], "be-reader": people()["be-reader"]}
    require_people(alone, msgspec.structs.replace(alone["be-reader"], suspended=True))
    with pytest.raises(GatewayError):
        require_people(alone, msgspec.structs.replace(alone["be-security"], suspended=True))


@pytest.mark.parametrize(
    ("keys", "error"),
    [(person("be-security").keys, RoleMissing), ((OfficerKey("kid", OTHER.public),), RequestInvalid)],
)
def test_a_founding_with_a_key_of_two(keys: tuple[OfficerKey, ...], error: type[GatewayError]) -> None:
    """A home does not start with a key that stands in two entries, or under an id that is not its own."""
    shared = msgspec.structs.replace(person("be-reader", "inbox"), keys=keys)
    signed = founding(people()["be-security"], people()["be-guardian"], shared)
    with pytest.raises(error):
        verify_founding(signed, now=NOW)

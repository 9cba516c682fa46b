"""What a change of trust may do on one person's word: the table of `narrows`, and what must never be in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import LocalFault, RequestInvalid
from gateway.flow.change import canonical, narrows, read_as, read_change, read_exact
from gateway.model.officer import Clearance, Officer, OfficerKey
from gateway.model.party import KeyRecord, Partner
from gateway.model.signing import Change
from tests.policy.worlds import NOW, POLICE
from tests.signer.world import SECRET, neighbour, partner, people, person, signed_agreement

OFFICER = msgspec.structs.replace(
    person("be-both", "requester", "approver"),
    keys=person("be-both").keys + person("be-requester").keys,
    version=3,
)
OPERATOR = msgspec.structs.replace(OFFICER, roles=("approver", "operator"))
UNCLEARED = msgspec.structs.replace(OFFICER, clearance=None)
SUSPENDED = msgspec.structs.replace(OFFICER, suspended=True)
FIRST, SECOND = OFFICER.keys
ENC, AGREEMENT = partner().keys
STOPPED = partner(stopped=True)


def revoked(key: Any, *, revoked: bool = True) -> Any:
    return msgspec.structs.replace(key, revoked=revoked)


REVOKED = msgspec.structs.replace(OFFICER, keys=(FIRST, revoked(SECOND)))


OFFICERS: dict[str, tuple[bool, Officer, dict[str, Any]]] = {
    "nothing": (True, OFFICER, {}),
    "a version": (True, OFFICER, {"version": 4}),
    "suspended": (True, OFFICER, {"suspended": True}),
    "a role away": (True, OFFICER, {"roles": ("requester",)}),
    "every role away": (True, OFFICER, {"roles": ()}),
    "two versions": (False, OFFICER, {"version": 5}),
    "an older version": (False, OFFICER, {"version": 2}),
    "the last version there is": (False, OFFICER, {"version": 2**53 - 1, "suspended": True}),
    "a key away": (False, OFFICER, {"keys": (FIRST,)}),
    "every key away": (False, OFFICER, {"keys": ()}),
    "a revoked key away": (False, REVOKED, {"keys": (FIRST,)}),
    "a revoked key stays": (True, REVOKED, {"suspended": True}),
    "keys in another order": (False, OFFICER, {"keys": (SECOND, FIRST)}),
    "a key twice": (False, OFFICER, {"keys": (FIRST, FIRST)}),
    "a key revoked": (True, OFFICER, {"keys": (FIRST, revoked(SECOND))}),
    "all at once": (
        True,
        OFFICER,
        {"keys": (revoked(FIRST), revoked(SECOND)), "roles": (), "suspended": True, "version": 4},
    ),
    "operator keeps that role and loses another": (True, OPERATOR, {"roles": ("operator",)}),
    "suspension lifted": (False, SUSPENDED, {"suspended": False}),
    "a role more": (False, OFFICER, {"roles": ("requester", "approver", "lift-approver")}),
    "a role exchanged": (False, OFFICER, {"roles": ("requester", "lift-approver")}),
    "operator no more": (False, OPERATOR, {"roles": ("approver",)}),
    "operator too": (False, OFFICER, {"roles": ("approver", "operator")}),
    "a key more": (False, OFFICER, {"keys": (FIRST, SECOND, *people()["be-reader"].keys)}),
    "a key exchanged": (False, OFFICER, {"keys": (FIRST, *people()["be-reader"].keys)}),
    "another key under a known id": (
        False,
        OFFICER,
        {"keys": (FIRST, OfficerKey(SECOND.kid, people()["be-reader"].keys[0].public))},
    ),
    "a key revived": (
        False,
        msgspec.structs.replace(OFFICER, keys=(FIRST, revoked(SECOND))),
        {"keys": (FIRST, SECOND)},
    ),
    "another person": (False, OFFICER, {"person": "person-other"}),
    "another name": (False, OFFICER, {"name": "Exemple Zzemo"}),
    "another id": (False, OFFICER, {"id": "be-other"}),
    "an operator leaves": (True, OPERATOR, {"roles": (), "suspended": True}),
    "no clearance": (True, OFFICER, {"clearance": None}),
    "a lower clearance": (True, OFFICER, {"clearance": Clearance("BEL", "CONFIDENTIEL", SECRET.until)}),
    "a shorter clearance": (True, OFFICER, {"clearance": Clearance("BEL", "SECRET", NOW)}),
    "a longer clearance": (False, OFFICER, {"clearance": Clearance("BEL", "SECRET", NOW.replace(year=2030))}),
    "a higher clearance": (False, OFFICER, {"clearance": Clearance("BEL", "TRES SECRET", NOW)}),
    "a clearance of another policy": (False, OFFICER, {"clearance": Clearance("FRA", "SECRET", NOW)}),
    "a level nobody ranks": (False, OFFICER, {"clearance": Clearance("BEL", "ZZEMO", NOW)}),
    "a first clearance": (False, UNCLEARED, {"clearance": Clearance("BEL", "UNCLASSIFIED", NOW)}),
    "nothing to know": (True, OFFICER, {"need_to_know": ()}),
    "more to know": (False, OFFICER, {"need_to_know": ("bdc-person", "everything")}),
    "something else to know": (False, OFFICER, {"need_to_know": ("everything",)}),
}

#: By what one person may do: each is tried in the next version unless it says otherwise.
PARTNERS: dict[str, tuple[bool, Partner, dict[str, Any]]] = {
    "nothing": (True, partner(), {}),
    "the same version": (False, partner(), {"version": 1, "stopped": True}),
    "an older version": (False, partner(version=2), {"version": 1, "stopped": True}),
    "two versions": (False, partner(), {"version": 3, "stopped": True}),
    "the last version there is": (False, partner(), {"version": 2**53 - 1, "stopped": True}),
    "stopped": (True, partner(), {"stopped": True}),
    "a key revoked": (True, partner(), {"keys": (revoked(ENC), AGREEMENT)}),
    "every key revoked and stopped": (
        True,
        partner(),
        {"keys": (revoked(ENC), revoked(AGREEMENT)), "stopped": True},
    ),
    "started again": (False, STOPPED, {"stopped": False}),
    "a key revived": (False, partner(keys=(revoked(ENC), AGREEMENT)), {"keys": (ENC, AGREEMENT)}),
    "a key more": (False, partner(), {"keys": (ENC, AGREEMENT, msgspec.structs.replace(ENC, kid="enc-2"))}),
    "a key less": (False, partner(), {"keys": (ENC,)}),
    "a key exchanged": (False, partner(), {"keys": (msgspec.structs.replace(ENC, public="AAAA"), AGREEMENT)}),
    "a key for another use": (
        False,
        partner(),
        {"keys": (msgspec.structs.replace(ENC, use="log"), AGREEMENT)},
    ),
    "keys in another order": (False, partner(), {"keys": (AGREEMENT, ENC)}),
    "another organisation": (False, partner(), {"org": "fra.other"}),
    "another nation": (False, partner(), {"nation": "DEU"}),
    "another kind of recipient": (False, partner(), {"recipient_kind": "fusion"}),
    "another endpoint": (False, partner(), {"endpoint": "https://other.invalid/"}),
    "another TLS name": (False, partner(), {"tls_name": "other.invalid"}),
    "more formats": (False, partner(), {"formats": ("ct-exchange-json/1.0", "other/1.0")}),
    "stopped and moved": (False, partner(), {"stopped": True, "endpoint": "https://other.invalid/"}),
}


@pytest.mark.parametrize("name", OFFICERS)
def test_officer(name: str) -> None:
    """One person may suspend and take away; whatever could let more out needs two."""
    expected, before, changes = OFFICERS[name]
    assert narrows("officer", before, canonical(msgspec.structs.replace(before, **changes))) is expected


@pytest.mark.parametrize("name", PARTNERS)
def test_partner(name: str) -> None:
    """One person may stop a partner and revoke its keys; whatever could let more out needs two."""
    expected, before, changes = PARTNERS[name]
    changes = {"version": before.version + 1} | changes
    assert narrows("partner", before, canonical(msgspec.structs.replace(before, **changes))) is expected


@pytest.mark.parametrize(
    ("kind", "before", "document", "expected"),
    [
        ("officer", None, canonical(OFFICER), False),
        ("partner", None, canonical(partner(stopped=True)), False),
        ("officer", partner(), canonical(OFFICER), False),
        ("agreement", None, canonical(signed_agreement()), False),
        ("agreement-revoke", None, canonical(signed_agreement()), True),
        ("policy", None, b"{}", False),
        ("settings", None, b"{}", False),
        ("embargo-lift", None, b"{}", False),
    ],
)
def test_other_kinds(kind: str, before: Officer | Partner | None, document: bytes, expected: bool) -> None:
    """What is new, what replaces a policy, what lifts an embargo needs two; only a revocation needs one."""
    assert narrows(kind, before, document) is expected


OFFICER_CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "roles": st.lists(st.sampled_from(["requester", "approver", "operator", "inbox"]), unique=True).map(
            tuple
        ),
        "suspended": st.booleans(),
        "keys": st.lists(st.sampled_from([FIRST, SECOND, revoked(FIRST), revoked(SECOND)]), max_size=2).map(
            tuple
        ),
        "version": st.integers(1, 9),
    },
)


@given(OFFICER_CHANGES, OFFICER_CHANGES)
@settings(max_examples=200, deadline=None)
def test_narrowing_gives_no_power(first: dict[str, Any], second: dict[str, Any]) -> None:
    """After a change one person may make, no key signs that did not, no role is held that was not usable before, and
    every key still stands where it stood."""
    before = msgspec.structs.replace(OFFICER, **first)
    after = msgspec.structs.replace(before, **second)
    if narrows("officer", before, canonical(after)):
        assert _powers(after) <= _powers(before)
        assert {key.kid for key in after.keys} == {key.kid for key in before.keys}


def _powers(officer: Officer) -> set[tuple[str, str]]:
    """(key, role) pairs that count: nobody's while suspended, and an operator's never."""
    if officer.suspended or "operator" in officer.roles:
        return set()
    return {(key.kid, role) for key in officer.keys for role in officer.roles if officer.key(key.kid)}


@given(st.binary(max_size=60), st.sampled_from(["officer", "partner", "agreement"]))
@settings(max_examples=100, deadline=None)
def test_any_bytes_as_document(raw: bytes, kind: str) -> None:
    """Bytes that are no document of their kind are refused as such, whatever they are."""
    before: dict[str, Officer | Partner] = {"officer": OFFICER, "partner": neighbour()}
    with pytest.raises(RequestInvalid) as caught:
        narrows(kind, before.get(kind), raw)
    assert caught.value.detail == f"the {kind} document does not follow its schema"


READERS: dict[str, Callable[[bytes], object]] = {
    "change": read_change,
    "as": lambda raw: read_as(raw, Change, "statement"),
    "exact": lambda raw: read_exact(raw, KeyRecord, "key"),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "raw", [b"", b"\xff", b'{"v":"\xff"}', b"[" * 100_000, b'{"x":' * 100_000, b"null", POLICE.encode()]
)
def test_readers_raise_one_error(reader: str, raw: bytes) -> None:
    """Whatever the bytes, what comes back is one error of ours without a word of them."""
    with pytest.raises(RequestInvalid) as caught:
        READERS[reader](raw)
    assert POLICE not in caught.value.detail


@pytest.mark.parametrize("value", [2**53, -(2**60), float("nan"), {"a": [1.5, 2**70]}, "\ud800"])
def test_what_has_no_canonical_form(value: Any) -> None:
    """A value that RFC 8785 cannot write is a fault of ours, not an exception of the library."""
    with pytest.raises(LocalFault):
        canonical(value)

"""What officers sign: endorsements, changes and calls."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from gateway.errors import (
    ConfigInvalid,
    GatewayError,
    MalformedMessage,
    RequestInvalid,
    RoleMissing,
    SignatureInvalid,
)
from gateway.model.officer import Endorsement
from gateway.wire.endorse import (
    MAX_STATEMENTS,
    sign_call,
    sign_change,
    sign_endorsement,
    verify_call,
    verify_change,
    verify_endorsement,
)
from gateway.wire.jws import ENDORSEMENT_TYP, sign_compact, thumbprint
from gateway.wire.strict import canonical
from tests.wire.parties import KEY, KID, NOW, OTHER_KEY, OURS, officer

OFFICERS = {"fr-inbox": officer(), "be-other": officer("be-other", OTHER_KEY)}
STATEMENT = b'{"v":1}'
PARAMS = hashlib.sha256(b"params").hexdigest()
CALL: dict[str, Any] = {"home": OURS, "op": "release.approve", "params_sha256": PARAMS}


def endorsed(**changes: Any) -> str:
    arguments: dict[str, Any] = {
        "officer": "fr-inbox",
        "act": "approve",
        "at": NOW,
        "statements": [STATEMENT],
    }
    return sign_endorsement(KEY, KID, **(arguments | changes))


def verify(token: str, **changes: Any) -> Any:
    arguments: dict[str, Any] = {
        "officers": OFFICERS,
        "act": "approve",
        "statement": STATEMENT,
        "now": NOW,
    } | changes
    return verify_endorsement(token, arguments.pop("officers"), **arguments)


def test_endorsement() -> None:
    """An endorsement proves person, act and time for the exact statement bytes, one of several or alone."""
    found = verify(endorsed(statements=[b"other", STATEMENT]))
    assert (found.officer, found.person, found.act, found.at) == (
        "fr-inbox",
        "person-fr-inbox",
        "approve",
        NOW,
    )


def test_a_bulk_answer_is_verifiable_statement_by_statement() -> None:
    """The largest endorsement still verifies; one more statement is refused."""
    statements = [str(number).encode() for number in range(MAX_STATEMENTS)]
    assert verify(endorsed(statements=statements), statement=statements[-1])
    for broken in ([], [*statements, b"one more"], [b"twice", b"twice"]):
        with pytest.raises(RequestInvalid):
            endorsed(statements=broken)


@pytest.mark.parametrize(
    ("signed", "asked", "error"),
    [
        ({"act": "request"}, {}, RoleMissing),
        ({}, {"statement": STATEMENT + b" "}, RoleMissing),
        ({"at": NOW + timedelta(seconds=301)}, {}, RoleMissing),
        ({}, {"not_before": NOW + timedelta(seconds=301)}, RoleMissing),
        ({"officer": "be-other"}, {}, SignatureInvalid),
        ({"officer": "Zzemo"}, {}, SignatureInvalid),
        ({}, {"officers": {}}, SignatureInvalid),
        ({}, {"officers": {"fr-inbox": officer(suspended=True)}}, SignatureInvalid),
        ({}, {"officers": {"fr-inbox": officer(keys=())}}, SignatureInvalid),
        ({}, {"officers": {"fr-inbox": officer(key=OTHER_KEY)}}, SignatureInvalid),
        ({}, {"officers": {"fr-inbox": officer(), "twin": officer("twin")}}, SignatureInvalid),
    ],
)
def test_endorsement_refused(
    signed: dict[str, Any], asked: dict[str, Any], error: type[GatewayError]
) -> None:
    """Another act, statement, time or officer, or a key that nobody or two hold: each is refused with its error."""
    with pytest.raises(error):
        verify(endorsed(**signed), **asked)


def test_a_revoked_key_endorses_nothing() -> None:
    """After revocation of the key its endorsements no longer verify."""
    revoked = tuple(msgspec.structs.replace(key, revoked=True) for key in officer().keys)
    with pytest.raises(SignatureInvalid):
        verify(endorsed(), officers={"fr-inbox": officer(keys=revoked)})


def test_one_key_is_not_two_officers() -> None:
    """The same key enrolled for a second officer under another id endorses nothing: ids are thumbprints."""
    (key,) = officer().keys
    twin = officer("be-twin", keys=(msgspec.structs.replace(key, kid="another-id"),))
    token = sign_endorsement(
        KEY, "another-id", officer="be-twin", act="approve", at=NOW, statements=[STATEMENT]
    )
    with pytest.raises(ConfigInvalid):
        verify(token, officers={"fr-inbox": officer(), "be-twin": twin})


def test_a_stolen_key_id_is_not_enough() -> None:
    """A token that names another officer's key id does not verify with that officer's key."""
    stolen = thumbprint(OTHER_KEY.public_key())
    token = sign_endorsement(KEY, stolen, officer="be-other", act="approve", at=NOW, statements=[STATEMENT])
    with pytest.raises(SignatureInvalid):
        verify(token)


def test_payload_in_another_spelling_is_refused() -> None:
    """The payload is RFC 8785, byte for byte, and closed."""
    digest = hashlib.sha256(STATEMENT).hexdigest()
    good = canonical(Endorsement(1, "approve", NOW, "fr-inbox", (digest,)))
    assert verify(sign_compact(good, KEY, typ=ENDORSEMENT_TYP, kid=KID))
    for bad in (
        good + b"\n",
        good.replace(b'"v":1', b'"v":1,"x":1'),
        good.replace(b":00Z", b":00.000000Z"),
        b"{}",
        b"[]",
    ):
        with pytest.raises(MalformedMessage):
            verify(sign_compact(bad, KEY, typ=ENDORSEMENT_TYP, kid=KID))


def test_too_many_statements_are_refused_on_arrival() -> None:
    """A list beyond the limit is refused although it is signed."""
    digests = tuple(hashlib.sha256(bytes([n % 256, n // 256])).hexdigest() for n in range(MAX_STATEMENTS + 1))
    payload = canonical(Endorsement(1, "approve", NOW, "fr-inbox", digests))
    with pytest.raises(MalformedMessage):
        verify(sign_compact(payload, KEY, typ=ENDORSEMENT_TYP, kid=KID))


@pytest.mark.parametrize("act", ["propose", "approve"])
def test_change(act: Any) -> None:
    """A change endorsement proves who proposed or approved exactly these bytes, and says which."""
    token = sign_change(KEY, KID, officer="fr-inbox", act=act, at=NOW, statement=STATEMENT)
    found = verify_change(token, OFFICERS, statement=STATEMENT, now=NOW)
    assert (found.officer, found.person, found.act) == ("fr-inbox", "person-fr-inbox", act)
    with pytest.raises(RoleMissing):
        verify_change(token, OFFICERS, statement=b"other", now=NOW)
    with pytest.raises(RoleMissing):
        verify_change(token, OFFICERS, statement=STATEMENT, now=NOW - timedelta(hours=1))


def call(**changes: Any) -> str:
    arguments: dict[str, Any] = {"at": NOW, "nonce": "n" * 22, "officer": "fr-inbox"} | CALL | changes
    return sign_call(KEY, KID, **arguments)


def test_call() -> None:
    """A call endorsement proves who called what, at the edges of its window, and hands out the nonce to burn."""
    for now in (NOW - timedelta(seconds=300), NOW, NOW + timedelta(seconds=300)):
        found = verify_call(call(), OFFICERS, **CALL, now=now)
        assert (found.officer, found.op, found.nonce) == ("fr-inbox", "release.approve", "n" * 22)


@pytest.mark.parametrize(
    ("signed", "now", "error"),
    [
        ({"home": "fra.police-demo"}, NOW, RoleMissing),
        ({"op": "release.reject"}, NOW, RoleMissing),
        ({"params_sha256": hashlib.sha256(b"other").hexdigest()}, NOW, RoleMissing),
        ({}, NOW + timedelta(seconds=301), RoleMissing),
        ({}, NOW - timedelta(seconds=301), RoleMissing),
        ({"officer": "be-other"}, NOW, SignatureInvalid),
        ({"nonce": "short"}, NOW, MalformedMessage),
        ({"nonce": "n" * 65}, NOW, MalformedMessage),
    ],
)
def test_call_refused(signed: dict[str, Any], now: Any, error: type[GatewayError]) -> None:
    """Another home, operation, parameter, time, officer or a weak nonce: each is refused with its error."""
    with pytest.raises(error):
        verify_call(call(**signed), OFFICERS, **CALL, now=now)

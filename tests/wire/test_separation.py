"""Separation: one key pinned for everything, every signed object presented as every other; only the diagonal holds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from gateway.errors import PartnerFault
from gateway.model.agreement import SignedAgreement
from gateway.model.message import DEMANDS
from gateway.wire.agreement import sign_terms, verify_agreement
from gateway.wire.endorse import (
    sign_call,
    sign_change,
    sign_endorsement,
    verify_call,
    verify_change,
    verify_endorsement,
)
from gateway.wire.jws import TYP, sign_compact, verify_compact
from gateway.wire.receipt import sign_receipt, verify_receipt
from gateway.wire.seal import sign_seal, verify_seal
from gateway.wire.strict import b64url
from tests.wire.parties import KEY, KID, MESSAGE_ID, NOW, OURS, THEIRS, key_record, officer, seal_header
from tests.wire.test_agreement import TERMS
from tests.wire.test_receipt import DIGEST, STATEMENT

KEYS = {KID: KEY.public_key()}
OFFICERS = {"fr-inbox": officer()}
PARAMS = hashlib.sha256(b"params").hexdigest()


def test_registry_is_complete() -> None:
    """Every message type has its typ, and every typ has one kind of signer."""
    assert {f"ecluse-msg-{message_type}+jws" for message_type in DEMANDS} <= TYP.keys()
    assert set(TYP.values()) == {"message", "receipt", "agreement", "officer"}
    assert len(TYP) == len(DEMANDS) + 5


@pytest.mark.parametrize("signed", TYP)
def test_types_do_not_stand_in_for_each_other(signed: str) -> None:
    """A JWS of one type verifies as that type and as no other, with the same key and payload."""
    token = sign_compact(b"{}", KEY, typ=signed, kid=KID)
    accepted = []
    for typ in TYP:
        try:
            verify_compact(token, typ=typ, keys=KEYS)
        except PartnerFault:
            continue
        accepted.append(typ)
    assert accepted == [signed]


SIGNED: dict[str, Callable[[bytes], str]] = {
    "message": lambda raw: sign_seal(seal_header(raw), raw, KEY),
    "receipt": lambda raw: sign_receipt(raw, KEY, KID),
    "agreement": lambda raw: sign_terms(raw, KEY, KID),
    "endorsement": lambda raw: sign_endorsement(
        KEY, KID, officer="fr-inbox", act="approve", at=NOW, statements=[raw]
    ),
    "change": lambda raw: sign_change(KEY, KID, officer="fr-inbox", act="approve", at=NOW, statement=raw),
    "call": lambda raw: sign_call(
        KEY, KID, home=OURS, op="release.approve", params_sha256=PARAMS, at=NOW, nonce="n" * 22, officer="fr-inbox"
    ),
}  # fmt: skip
VERIFIED: dict[str, Callable[[str, bytes], Any]] = {
    "message": lambda token, raw: verify_seal(
        token, "", raw, [key_record("message")], profile="classic", now=NOW
    ),
    "receipt": lambda token, raw: verify_receipt(
        token, [key_record("receipt")], now=NOW, iss=THEIRS, aud=OURS, sent=[(MESSAGE_ID, DIGEST)]
    ),
    "agreement": lambda token, raw: verify_agreement(
        SignedAgreement(b64url(raw), {OURS: token}),
        {OURS: [key_record("agreement")]},
        ours=OURS,
        theirs=THEIRS,
        now=NOW,
    ),
    "endorsement": lambda token, raw: verify_endorsement(token, OFFICERS, act="approve", statement=raw, now=NOW),
    "change": lambda token, raw: verify_change(token, OFFICERS, statement=raw, now=NOW),
    "call": lambda token, raw: verify_call(
        token, OFFICERS, home=OURS, op="release.approve", params_sha256=PARAMS, now=NOW
    ),
}  # fmt: skip

#: What each object is over: chosen so that a verifier that forgot the type would have no other reason to refuse.
SUBJECT = {"receipt": STATEMENT, "agreement": TERMS}


@pytest.mark.parametrize("presented_as", VERIFIED)
@pytest.mark.parametrize("signed", SIGNED)
def test_every_object_as_every_other(signed: str, presented_as: str) -> None:
    """Each signed object, over the bytes its wrong verifier would like best, holds only as what it is."""
    needs_own = SUBJECT.get(signed)
    raw = needs_own if needs_own is not None else SUBJECT.get(presented_as, b"statement")
    token = SIGNED[signed](raw)
    if signed == presented_as:
        assert VERIFIED[presented_as](token, raw)
    else:
        with pytest.raises(PartnerFault):
            VERIFIED[presented_as](token, SUBJECT.get(presented_as, raw))

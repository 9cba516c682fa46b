"""Agreements as both the gateway and its signer see them: the same verification over each one's own directory."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from gateway.errors import RequestInvalid
from gateway.flow.change import read_as
from gateway.model.agreement import AgreementState, SignedAgreement
from gateway.model.party import KeyRecord, Partner
from gateway.model.time import Instant
from gateway.wire.agreement import verify_agreement
from gateway.wire.strict import b64url_decode


class _Start(msgspec.Struct, frozen=True):
    """Just enough of the terms to know when they begin."""

    not_before: Instant


def agreement_start(signed: SignedAgreement) -> datetime:
    """When these terms begin: until then the version before them stays in force. Raises `RequestInvalid`."""
    return read_as(b64url_decode(signed.terms), _Start, "agreement's terms").not_before


class _Parties(msgspec.Struct, frozen=True):
    """Just enough of the terms to know whose keys to verify them with."""

    parties: tuple[str, str]


def agreement_state(
    signed: SignedAgreement,
    *,
    ours: str,
    our_keys: tuple[KeyRecord, ...],
    partners: Mapping[str, Partner],
    now: datetime,
) -> AgreementState:
    """Verify an agreement with our offline agreement keys and the partner's, as the directory knows them.

    Raises `RequestInvalid` when it is not between us and a known partner, `SignatureInvalid` for a bad signature; a
    missing signature is a value of the state.
    """
    parties = read_as(b64url_decode(signed.terms), _Parties, "agreement's terms").parties
    theirs = next((party for party in parties if party != ours), "")
    if ours not in parties or theirs not in partners:
        raise RequestInvalid("the agreement is not between this organisation and a partner in the directory")
    keys = {ours: our_keys, theirs: partners[theirs].keys_for("agreement")}
    return verify_agreement(signed, keys, ours=ours, theirs=theirs, now=now)

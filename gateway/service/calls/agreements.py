"""Parameters and answers of agreements that travel: terms offered and signed, and revocations."""

from __future__ import annotations

import msgspec

from gateway.model.agreement import SignedAgreement
from gateway.model.time import Instant
from gateway.service.calls import Params


class SendAgreement(Params, frozen=True):
    """Send terms that our agreement key signed: an offer, or the answer to the partner's, whose signature is there."""

    agreement: SignedAgreement
    justification: str


class RevokeAgreement(Params, frozen=True):
    """Tell the partner that the agreement in force is revoked."""

    partner: str
    justification: str


class OfferView(msgspec.Struct, frozen=True):
    """Terms that travelled. None of them is in force for that: two persons put them in force, as with a file."""

    direction: str  # ``out``: ours; ``in``: the partner's
    partner: str
    sha256: str  # of the terms
    series: str
    version: int
    state: str  # offered, received, signed, in-force, overtaken
    at: Instant
    message: str
    waits_for: str = ""  # state of our newest message about them
    signed_at: Instant | None = None

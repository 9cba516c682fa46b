"""What officers signed must be what would be sealed: one comparison for content and for coded messages."""

from __future__ import annotations

from datetime import datetime

from gateway.errors import Conflict, SignatureInvalid
from gateway.flow.change import canonical, digest, read_exact
from gateway.model.decision import Statement
from gateway.model.party import Partner
from gateway.model.signing import (
    AgreementEvidence,
    RecallEvidence,
    ReleaseEvidence,
    ReplyEvidence,
    SealRequest,
)
from gateway.model.time import parse_rfc3339


def require_bound(
    item: SealRequest,
    evidence: ReleaseEvidence | RecallEvidence | ReplyEvidence | AgreementEvidence,
    partner: Partner,
    now: datetime,
) -> Statement:
    """The statement, which names exactly this message, or an error.

    (1) it is in its one form, and binds payload, decision, partner entry and message, without attachments; (2) the
    entry is still the one in the signer's trust; (3) it has not expired, and the seal will not outlive it.
    Who signed it is not checked here.
    """
    # (1)
    statement = read_exact(evidence.statement, Statement, "statement given as evidence")
    bound = (
        (statement.payload_sha256, digest(item.payload)),
        (statement.decision_sha256, digest(evidence.decision)),
        (statement.partner_keys, digest(evidence.partner)),
        (statement.message_id, item.jti),
    )
    if any(stated != actual for stated, actual in bound) or statement.attachments:
        raise SignatureInvalid("what the officers signed is not what would be sealed")
    # (2)
    if digest(canonical(partner)) != statement.partner_keys:
        raise Conflict("the partner's entry has changed since the approval")
    # (3)
    not_after = parse_rfc3339(statement.not_after)
    if not_after <= now:
        raise Conflict("the approval has expired")
    if item.exp > not_after.timestamp():
        raise SignatureInvalid("the seal would outlive what the officers signed")
    return statement

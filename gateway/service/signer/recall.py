"""What the signer demands before it seals a recall."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from gateway.audit.entry import parse_partner_entry
from gateway.audit.tree import InclusionProof, leaf_hash, verify_inclusion
from gateway.errors import AuditBroken, RequestInvalid, RoleMissing, SignatureInvalid
from gateway.flow.change import read_as
from gateway.guard import guard_recall
from gateway.model.agreement import AgreementTerms
from gateway.model.decision import RecallDocument
from gateway.model.message import DEMANDS
from gateway.model.officer import Officer
from gateway.model.party import Partner
from gateway.model.signing import CheckpointRequest, RecallEvidence, SealRequest
from gateway.model.time import parse_rfc3339
from gateway.service.signer.bound import require_bound
from gateway.wire.endorse import verify_endorsement

#: Who may recall: either of the two who may let content out.
ROLES = frozenset({"requester", "approver"})


def require_recall(
    item: SealRequest,
    evidence: RecallEvidence,
    head: CheckpointRequest,
    *,
    ours: str,
    partner: Partner,
    terms: AgreementTerms,
    officers: Mapping[str, Officer],
    created: tuple[datetime, datetime],
    now: datetime,
) -> None:
    """Raise unless one officer wants exactly this recall, and it is about messages announced to this partner.

    ``head`` is the head of our log about the partner that is being signed; ``created`` bounds the time of creation.
    (1) the statement binds these bytes, this decision and this partner's entry, now (`require_bound`); (2) the decision
    is about this message, addressee and agreement, in an agreed format and language, made about now; (3) one officer
    signed it, the requester it names, who may request or approve and is no operator; (4) under the head stands an entry
    of the message recalled, and of the one in its place: sent by us, of a content-bearing type; (5) the guard finds
    two ids and a code, and nothing else.

    So a recalled message is one whose number and digest were committed to this partner's log before. Whether it was
    then sealed, left, or came to anybody, the signer keeps no book of, and does not know.
    """
    # (1)
    statement = require_bound(item, evidence, partner, now)
    # (2)
    decision = read_as(evidence.decision, RecallDocument, "decision given as evidence")
    envelope = decision.envelope
    same = (
        (envelope.type, item.type),
        (envelope.mode, item.mode),
        (envelope.message_id, item.jti),
        (envelope.conversation, item.conv),
        (envelope.sender, ours),
        (envelope.recipient, item.aud),
        (decision.partner, item.aud),
        (decision.partner_version, partner.version),
        (decision.agreement_sha256, item.agreement),
        (decision.agreement_series, terms.series),
        (decision.agreement_version, terms.version),
    )
    if any(decided != asked for decided, asked in same):
        raise SignatureInvalid("the decision is about another message")
    if envelope.format not in terms.formats or envelope.language not in terms.languages:
        raise RoleMissing("the agreement does not cover this format or language")
    if not created[0] <= parse_rfc3339(envelope.created) <= created[1]:
        raise RequestInvalid("the recall was made at another time")
    # (3)
    signed = verify_endorsement(
        evidence.endorsement, officers, act="request", statement=evidence.statement, now=now
    )
    if signed.officer != statement.requester:
        raise SignatureInvalid("the request is not signed by the requester it names")
    roles = officers[signed.officer].roles
    if not ROLES.intersection(roles) or "operator" in roles:
        raise RoleMissing("the officer may not recall anything")
    # (4)
    named = [decision.recall.recalls, decision.recall.replaced_by]
    _require_announced(evidence, [one for one in named if one], head)
    # (5)
    guard_recall(item.payload, decision=evidence.decision)


def _require_announced(evidence: RecallEvidence, named: list[str], head: CheckpointRequest) -> None:
    if len(evidence.announced) != len(named):
        raise AuditBroken("each message that a recall names needs its log entry")
    for message_id, announced in zip(named, evidence.announced, strict=True):
        entry = parse_partner_entry(announced.entry)
        if (entry.direction, entry.event, entry.message_id) != ("out", "message", message_id):
            raise AuditBroken("the log entry announces another message than the one recalled")
        demands = DEMANDS.get(entry.type)
        if demands is None or demands.message_class != "content-bearing":
            raise RequestInvalid("only a message that carried content is recalled or stands in its place")
        proof = InclusionProof(announced.index, head.size, announced.inclusion)
        verify_inclusion(proof, leaf_hash(announced.entry), head.root)

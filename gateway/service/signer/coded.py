"""What the signer demands before it seals a coded message: a recall, or a coded answer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from gateway.audit.entry import PartnerEntry, parse_partner_entry
from gateway.audit.tree import InclusionProof, leaf_hash, verify_inclusion
from gateway.errors import AuditBroken, RequestInvalid, RoleMissing, SignatureInvalid
from gateway.flow.change import read_as
from gateway.flow.recall import carries_content
from gateway.guard import guard_recall, guard_reply
from gateway.model.agreement import AgreementTerms
from gateway.model.decision import RecallDocument, ReplyDocument
from gateway.model.message import ANSWERING
from gateway.model.officer import Officer, Role
from gateway.model.party import Partner
from gateway.model.signing import Announced, CheckpointRequest, RecallEvidence, ReplyEvidence, SealRequest
from gateway.model.time import parse_rfc3339
from gateway.service.signer.bound import require_bound
from gateway.wire.endorse import verify_endorsement

#: Who may recall: either of the two who may let content out.
RECALLERS: frozenset[Role] = frozenset({"requester", "approver"})

#: Who may answer with a code: whoever works the inbox, and either of the two who may let content out.
ANSWERERS: frozenset[Role] = frozenset({"requester", "approver", "inbox"})


class Trusted(msgspec.Struct, frozen=True):
    """What the signer knows by itself, for one message: who we are, the addressee, what is agreed, who may sign."""

    ours: str
    partner: Partner
    terms: AgreementTerms
    officers: Mapping[str, Officer]
    created: tuple[datetime, datetime]  # bounds of the time of creation
    now: datetime


def require_recall(
    item: SealRequest, evidence: RecallEvidence, head: CheckpointRequest, trusted: Trusted
) -> None:
    """Raise unless one officer wants exactly this recall, and it is about messages announced to this partner.

    ``head`` is the head of our log about the partner that is being signed. (1) one officer who may recall decided on
    this message for this addressee (`_require_decided`); (2) under the head stands an entry of the message recalled,
    and of the one in its place: sent by us, of a content-bearing type; (3) the guard finds two ids and a code, and
    nothing else.

    So a recalled message is one whose number and digest were committed to this partner's log before. Whether it was
    then sealed, left, or came to anybody, the signer keeps no book of, and does not know.
    """
    # (1)
    decision = read_as(evidence.decision, RecallDocument, "decision given as evidence")
    _require_decided(item, evidence, decision, trusted, RECALLERS)
    # (2)
    named = [one for one in (decision.recall.recalls, decision.recall.replaced_by) if one]
    if len(evidence.announced) != len(named):
        raise AuditBroken("each message that a recall names needs its log entry")
    for message_id, announced in zip(named, evidence.announced, strict=True):
        entry = _announced(announced, head)
        if (entry.direction, entry.event, entry.message_id) != ("out", "message", message_id):
            raise AuditBroken("the log entry announces another message than the one recalled")
        if not carries_content(entry.type):
            raise RequestInvalid("only a message that carried content is recalled or stands in its place")
    # (3)
    guard_recall(item.payload, decision=evidence.decision)


def require_reply(
    item: SealRequest, evidence: ReplyEvidence, head: CheckpointRequest, trusted: Trusted
) -> None:
    """Raise unless one officer wants exactly this coded answer, and what it answers came from this partner.

    (1) one officer who may answer decided on this message for this addressee (`_require_decided`); (2) under the head
    stands an entry of the message answered: received from this partner, of the type that such an answer answers; (3)
    the guard finds an id and the codes of the type, and nothing else.
    """
    # (1)
    decision = read_as(evidence.decision, ReplyDocument, "decision given as evidence")
    _require_decided(item, evidence, decision, trusted, ANSWERERS)
    # (2)
    entry = _announced(evidence.answered, head)
    if (entry.direction, entry.event, entry.message_id) != ("in", "message", decision.reply.answers):
        raise AuditBroken("the log entry announces another message than the one answered")
    if entry.type != ANSWERING.get(item.type):
        raise RequestInvalid("the message answered is not of the type that this answers")
    # (3)
    guard_reply(item.payload, decision=evidence.decision)


def _require_decided(
    item: SealRequest,
    evidence: RecallEvidence | ReplyEvidence,
    decision: RecallDocument | ReplyDocument,
    trusted: Trusted,
    roles: frozenset[Role],
) -> None:
    """One officer's word for exactly this coded message.

    (1) the statement binds these bytes, this decision and this partner's entry, now (`require_bound`); (2) the decision
    is about this message, addressee and agreement, in an agreed format and language, made about now; (3) one officer
    signed it, the requester it names, who has one of ``roles`` and is no operator.
    """
    # (1)
    statement = require_bound(item, evidence, trusted.partner, trusted.now)
    # (2)
    envelope, terms = decision.envelope, trusted.terms
    same = (
        (envelope.type, item.type),
        (envelope.mode, item.mode),
        (envelope.message_id, item.jti),
        (envelope.conversation, item.conv),
        (envelope.sender, trusted.ours),
        (envelope.recipient, item.aud),
        (decision.partner, item.aud),
        (decision.partner_version, trusted.partner.version),
        (decision.agreement_sha256, item.agreement),
        (decision.agreement_series, terms.series),
        (decision.agreement_version, terms.version),
    )
    if any(decided != asked for decided, asked in same):
        raise SignatureInvalid("the decision is about another message")
    if envelope.format not in terms.formats or envelope.language not in terms.languages:
        raise RoleMissing("the agreement does not cover this format or language")
    if not trusted.created[0] <= parse_rfc3339(envelope.created) <= trusted.created[1]:
        raise RequestInvalid("the message was made at another time")
    # (3)
    signed = verify_endorsement(
        evidence.endorsement, trusted.officers, act="request", statement=evidence.statement, now=trusted.now
    )
    if signed.officer != statement.requester:
        raise SignatureInvalid("the request is not signed by the requester it names")
    held = trusted.officers[signed.officer].roles
    if not roles.intersection(held) or "operator" in held:
        raise RoleMissing("the officer may not send a message of this type")


def _announced(announced: Announced, head: CheckpointRequest) -> PartnerEntry:
    proof = InclusionProof(announced.index, head.size, announced.inclusion)
    verify_inclusion(proof, leaf_hash(announced.entry), head.root)
    return parse_partner_entry(announced.entry)

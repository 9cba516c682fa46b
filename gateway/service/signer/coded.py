"""What the signer demands before it seals a coded message: a recall or correction, a coded answer, an agreement."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from gateway.audit.entry import PartnerEntry, parse_partner_entry
from gateway.audit.tree import InclusionProof, leaf_hash, verify_inclusion
from gateway.errors import AuditBroken, RequestInvalid, RoleMissing, SignatureInvalid
from gateway.flow.change import read_as
from gateway.flow.recall import carries_content
from gateway.guard import guard_agreement, guard_correction, guard_recall, guard_reply
from gateway.model.agreement import AgreementTerms, SignedAgreement
from gateway.model.decision import (
    AgreementDocument,
    CodedDocument,
    CorrectionDocument,
    RecallDocument,
    ReplyDocument,
)
from gateway.model.message import ANSWERING
from gateway.model.officer import Officer, Role
from gateway.model.party import KeyRecord, Partner
from gateway.model.signing import (
    AgreementEvidence,
    Announced,
    CheckpointRequest,
    RecallEvidence,
    ReplyEvidence,
    SealRequest,
)
from gateway.model.time import parse_rfc3339
from gateway.service.signer.bound import require_bound
from gateway.wire.agreement import verify_agreement
from gateway.wire.endorse import Act, verify_endorsement

#: Who may recall: either of the two who may let content out.
RECALLERS: frozenset[Role] = frozenset({"requester", "approver"})

#: Who may answer with a code: whoever works the inbox, and either of the two who may let content out.
ANSWERERS: frozenset[Role] = frozenset({"requester", "approver", "inbox"})

#: Who may say anything about an agreement: those who take part in changes.
AGREEING: frozenset[Role] = frozenset({"security-officer"})


class Trusted(msgspec.Struct, frozen=True):
    """What the signer knows by itself, for one message: who we are, the addressee, what is agreed, who may sign."""

    ours: str
    partner: Partner
    terms: AgreementTerms
    officers: Mapping[str, Officer]
    created: tuple[datetime, datetime]  # bounds of the time of creation
    now: datetime
    agreement_keys: tuple[KeyRecord, ...] = ()  # our own, which sign terms


def require_recall(
    item: SealRequest, evidence: RecallEvidence, head: CheckpointRequest, trusted: Trusted
) -> None:
    """Raise unless one officer wants exactly this recall or correction, about messages announced to this partner.

    ``head`` is the head of our log about the partner that is being signed. (1) one officer who may recall decided on
    this message for this addressee (`_require_decided`); (2) under the head stands an entry of the message recalled,
    and of the one in its place: sent by us, of a content-bearing type; (3) the guard finds two ids and the codes of the
    type, and nothing else.

    So a recalled message is one whose number and digest were committed to this partner's log before. Whether it was
    then sealed, left, or came to anybody, the signer keeps no book of, and does not know.
    """
    # (1)
    decision: RecallDocument | CorrectionDocument
    if item.type == "correction":
        decision = read_as(evidence.decision, CorrectionDocument, "decision given as evidence")
        about = (decision.correction.corrects, decision.correction.replaced_by)
    else:
        decision = read_as(evidence.decision, RecallDocument, "decision given as evidence")
        about = (decision.recall.recalls, decision.recall.replaced_by)
    _require_decided(item, evidence, evidence.endorsement, decision, trusted, RECALLERS)
    # (2)
    named = [one for one in about if one]
    if len(evidence.announced) != len(named):
        raise AuditBroken("each message that a recall names needs its log entry")
    for message_id, announced in zip(named, evidence.announced, strict=True):
        entry = _announced(announced, head)
        if (entry.direction, entry.event, entry.message_id) != ("out", "message", message_id):
            raise AuditBroken("the log entry announces another message than the one recalled")
        if not carries_content(entry.type):
            raise RequestInvalid("only a message that carried content is recalled or stands in its place")
    # (3)
    if item.type == "correction":
        guard_correction(item.payload, decision=evidence.decision)
    else:
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
    _require_decided(item, evidence, evidence.endorsement, decision, trusted, ANSWERERS)
    # (2)
    entry = _announced(evidence.answered, head)
    if (entry.direction, entry.event, entry.message_id) != ("in", "message", decision.reply.answers):
        raise AuditBroken("the log entry announces another message than the one answered")
    if entry.type != ANSWERING.get(item.type):
        raise RequestInvalid("the message answered is not of the type that this answers")
    # (3)
    guard_reply(item.payload, decision=evidence.decision)


def require_agreement(item: SealRequest, evidence: AgreementEvidence, trusted: Trusted) -> None:
    """Raise unless exactly this was to be said about an agreement with this addressee.

    (1) one officer who takes part in changes decided on this message (`_require_decided`), and signed alone exactly
    where it revokes; (2) to offer or sign, a second person of the same role signed the same statement; (3) our own
    agreement key signed these terms, which are between us and the addressee; (4) the guard finds the terms and that
    signature, or the digest of the terms in force, and nothing else.

    Terms hold texts, which no code could replace: what leaves in them was signed offline by the key that signs
    agreements, and read by two persons.
    """
    # (1)
    decision = read_as(evidence.decision, AgreementDocument, "decision given as evidence")
    said, wanted = decision.agreement, 1 if decision.agreement.action == "revoked" else 2
    if len(evidence.endorsements) != wanted:
        raise RoleMissing("an agreement is offered or signed by two persons, and revoked by one")
    first = _require_decided(item, evidence, evidence.endorsements[0], decision, trusted, AGREEING)
    if said.action != "revoked":
        # (2)
        second = _signer(evidence.endorsements[1], evidence.statement, "approve", trusted, AGREEING)
        if second.person == first.person:
            raise RoleMissing(
                "an agreement is offered or signed by two persons: both endorsements are of one"
            )
        # (3)
        signed = SignedAgreement(said.terms, {trusted.ours: said.signature})
        keys = {trusted.ours: trusted.agreement_keys}
        verify_agreement(signed, keys, ours=trusted.ours, theirs=trusted.partner.org, now=trusted.now)
    # (4)
    guard_agreement(item.payload, decision=evidence.decision)


def _require_decided(
    item: SealRequest,
    evidence: RecallEvidence | ReplyEvidence | AgreementEvidence,
    endorsement: str,
    decision: CodedDocument,
    trusted: Trusted,
    roles: frozenset[Role],
) -> Officer:
    """One officer's word for exactly this coded message; returns the officer.

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
    officer = _signer(endorsement, evidence.statement, "request", trusted, roles)
    if officer.id != statement.requester:
        raise SignatureInvalid("the request is not signed by the requester it names")
    return officer


def _signer(jws: str, statement: bytes, act: Act, trusted: Trusted, roles: frozenset[Role]) -> Officer:
    """Who did this act on this statement: an officer with one of ``roles``, and no operator."""
    signed = verify_endorsement(jws, trusted.officers, act=act, statement=statement, now=trusted.now)
    officer = trusted.officers[signed.officer]
    if not roles.intersection(officer.roles) or "operator" in officer.roles:
        raise RoleMissing("the officer may not send a message of this type")
    return officer


def _announced(announced: Announced, head: CheckpointRequest) -> PartnerEntry:
    proof = InclusionProof(announced.index, head.size, announced.inclusion)
    verify_inclusion(proof, leaf_hash(announced.entry), head.root)
    return parse_partner_entry(announced.entry)

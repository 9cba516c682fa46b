"""Recall, without I/O: whether one may leave, its frozen bytes, and the second looks at it.

A recall says of an earlier message that it is withdrawn, replaced or expired: two ids and a code. It rests on nothing
of that message's content, so the policy of content has no say in it: that a person wants it, that the message may have
reached the partner, and an agreement under which anything is exchanged at all are enough.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from gateway.flow.change import canonical, digest
from gateway.flow.outbound import DEFAULT_VALIDITY_DAYS, Draft, Go, Refused, Void, house
from gateway.model.agreement import AgreementState
from gateway.model.decision import Decision, RecallDocument, Statement
from gateway.model.message import Envelope, ExchangeMessage, Recall
from gateway.model.party import Partner
from gateway.model.time import parse_rfc3339, rfc3339
from gateway.wire.ct_json import FORMAT, CtJson
from gateway.wire.strict import b64url

#: States of a message that the partner may have: at least one POST with it was started.
ATTEMPTED = frozenset({"attempted", "delivered"})

#: Every reason of a decision about a recall, each with its sentence among the explanations.
REASONS = (
    "recall.sent",
    "recall.content",
    "recall.once",
    "recall.replacement",
    "recall.agreement",
    "recall.stopped",
    "recall.permit",
)


class Sent(msgspec.Struct, frozen=True):
    """A message of ours, as our books have it."""

    message_id: str
    release: str
    partner: str
    type: str
    state: str


class PreparedRecall(msgspec.Struct, frozen=True):
    """Frozen bytes of a recall and what they rest on."""

    payload: bytes
    decision: Decision
    document: bytes  # RFC 8785 bytes of `RecallDocument`
    statement: bytes  # RFC 8785 bytes of `Statement`
    not_after: datetime


def prepare_recall(
    message: Sent,
    recall: Recall,
    replacement: Sent | None,
    draft: Draft,
    *,
    ours: str,
    requester: str,
    partner: Partner,
    agreement: AgreementState | None,
    language: str,
    justification: str,
    repeated: bool,
    now: datetime,
) -> PreparedRecall | Refused:
    """Decide about a recall, and freeze its one form.

    (1) the agreement is in force, for the format and ours; (2) the message carried content, and may be at the partner:
    one that was never attempted is cancelled instead, and leaves no trace there; (3) no recall of it is on its way or
    was delivered (``repeated``); (4) what stands in its place may be at the same partner too; (5) render once: the
    bytes hang on the envelope, two ids and a code alone; the statement binds them, decision, partner entry and expiry.
    """
    denied: list[str] = []
    # (1)
    if agreement is None or not in_force(agreement, ours, partner.org, now):
        denied.append("recall.agreement")
    # (2)
    if message.type != "disclosure":
        denied.append("recall.content")
    if message.state not in ATTEMPTED:
        denied.append("recall.sent")
    # (3)
    if repeated:
        denied.append("recall.once")
    # (4)
    if recall.replaced_by and (
        replacement is None
        or (replacement.message_id, replacement.partner) != (recall.replaced_by, message.partner)
        or replacement.message_id == message.message_id
        or replacement.type != "disclosure"
        or replacement.state not in ATTEMPTED
    ):
        denied.append("recall.replacement")
    if denied or agreement is None:
        return Refused(Decision("DENY", tuple(house(rule) for rule in denied), (), ()))
    # (5)
    return _freeze(message, recall, draft, ours, requester, partner, agreement, language, justification, now)


def _freeze(
    message: Sent,
    recall: Recall,
    draft: Draft,
    ours: str,
    requester: str,
    partner: Partner,
    agreement: AgreementState,
    language: str,
    justification: str,
    now: datetime,
) -> PreparedRecall:
    terms, permit = agreement.terms, msgspec.structs.replace(house("recall.permit"), effect="PERMIT")
    envelope = Envelope(
        format=FORMAT,
        type="recall",
        mode=draft.mode,
        message_id=draft.message_id,
        conversation=draft.conversation,
        sender=ours,
        recipient=partner.org,
        created=rfc3339(now),
        language=language if language in terms.languages else terms.languages[0],
    )
    payload = CtJson().render(ExchangeMessage(envelope, recall=recall)).payload
    document = canonical(
        RecallDocument(
            v=1,
            effect="PERMIT",
            envelope=envelope,
            recall=recall,
            release=message.release,
            agreement_sha256=agreement.sha256,
            agreement_series=terms.series,
            agreement_version=terms.version,
            partner=partner.org,
            partner_version=partner.version,
            justification=justification,
            reasons=(permit,),
        )
    )
    not_after = min(now + timedelta(days=DEFAULT_VALIDITY_DAYS), terms.not_after)
    statement = Statement(
        v=1,
        release=draft.release,
        message_id=draft.message_id,
        payload_sha256=digest(payload),
        attachments=(),
        partner_keys=digest(canonical(partner)),
        decision_sha256=digest(document),
        requester=requester,
        not_after=rfc3339(not_after),
        nonce=b64url(draft.nonce),
    )
    decision = Decision("PERMIT", (permit,), (), ())
    return PreparedRecall(payload, decision, document, canonical(statement), not_after)


def recheck_recall(
    statement: bytes,
    document: bytes,
    *,
    partner: Partner | None,
    agreement: AgreementState | None,
    ours: str,
    now: datetime,
) -> Go | Void:
    """Look again before every later step: the endorsement has not expired, partner and agreement are those of the
    decision and in force. Pure; never renders."""
    stated = msgspec.json.decode(statement, type=Statement)
    decided = msgspec.json.decode(document, type=RecallDocument)
    if parse_rfc3339(stated.not_after) <= now:
        return Void((house("approval.expired"),))
    if partner is None or partner.stopped or digest(canonical(partner)) != stated.partner_keys:
        return Void((house("partner.unchanged"),))
    if agreement is None or agreement.sha256 != decided.agreement_sha256:
        return Void((house("agreement.unchanged"),))
    if not in_force(agreement, ours, partner.org, now):
        return Void((house("recall.agreement"),))
    return Go()


def in_force(agreement: AgreementState, ours: str, theirs: str, now: datetime) -> bool:
    """Whether anything may be exchanged under it now, in the native format."""
    terms = agreement.terms
    return (
        agreement.signed_ours
        and agreement.signed_theirs
        and not agreement.revoked
        and set(terms.parties) == {ours, theirs}
        and terms.not_before <= now < terms.not_after
        and FORMAT in terms.formats
    )

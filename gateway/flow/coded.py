"""What every coded message shares, without I/O: one officer's word, a closed form, and the second looks at it.

A coded message rests on nobody's record, so the policy of content has no say in it: what it may say is the closed
schema of its type, and an agreement must be in force under which anything is exchanged at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from gateway.flow.change import canonical, digest
from gateway.flow.outbound import Draft, Go, Void, house, valid_until
from gateway.model.agreement import AgreementState, AgreementTerms
from gateway.model.decision import CodedDocument, Decision, Statement
from gateway.model.message import AgreementPart, Envelope, ExchangeMessage, MessageType
from gateway.model.party import Partner
from gateway.model.time import parse_rfc3339, rfc3339
from gateway.wire.ct_json import FORMAT, CtJson
from gateway.wire.strict import b64url


class PreparedCoded(msgspec.Struct, frozen=True):
    """Frozen bytes of a coded message and what they rest on."""

    payload: bytes
    decision: Decision
    document: bytes  # RFC 8785 bytes of a `CodedDocument`
    statement: bytes  # RFC 8785 bytes of `Statement`
    not_after: datetime


def envelope_of(
    message_type: MessageType,
    draft: Draft,
    ours: str,
    theirs: str,
    terms: AgreementTerms,
    language: str,
    now: datetime,
) -> Envelope:
    """The head of a coded message, in our language where it is agreed, else in the first that is."""
    return Envelope(
        format=FORMAT,
        type=message_type,
        mode=draft.mode,
        message_id=draft.message_id,
        conversation=draft.conversation,
        sender=ours,
        recipient=theirs,
        created=rfc3339(draft.at or now),
        language=language if language in terms.languages else terms.languages[0],
    )


def freeze(
    payload: bytes,
    document: CodedDocument,
    draft: Draft,
    *,
    requester: str,
    partner: Partner,
    terms: AgreementTerms,
    now: datetime,
) -> PreparedCoded:
    """Bind the bytes: the statement names them, the decision, the partner's entry, the requester and an expiry."""
    decided = canonical(document)
    not_after = valid_until(draft.at or now, terms)
    statement = Statement(
        v=1,
        release=draft.release,
        message_id=draft.message_id,
        payload_sha256=digest(payload),
        attachments=(),
        partner_keys=digest(canonical(partner)),
        decision_sha256=digest(decided),
        requester=requester,
        not_after=rfc3339(not_after),
        nonce=b64url(draft.nonce),
    )
    decision = Decision("PERMIT", document.reasons, (), ())
    return PreparedCoded(payload, decision, decided, canonical(statement), not_after)


def permit(
    shape: type[CodedDocument],
    message_type: MessageType,
    part: Mapping[str, Any],
    draft: Draft,
    *,
    rule: str,
    ours: str,
    requester: str,
    partner: Partner,
    agreement: AgreementState,
    language: str,
    justification: str,
    now: datetime,
    **more: Any,
) -> PreparedCoded:
    """Permit by ``rule`` and freeze: one form of the message, and the document of this shape that says why it leaves.

    ``part`` is the one member by its name, in message and document alike; ``more`` are members of the document alone.
    The bytes hang on the envelope and the part.
    """
    terms, reason = agreement.terms, msgspec.structs.replace(house(rule), effect="PERMIT")
    envelope = envelope_of(message_type, draft, ours, partner.org, terms, language, now)
    document = shape(
        v=1,
        effect="PERMIT",
        envelope=envelope,
        agreement_sha256=agreement.sha256,
        agreement_series=terms.series,
        agreement_version=terms.version,
        partner=partner.org,
        partner_version=partner.version,
        justification=justification,
        reasons=(reason,),
        **part,
        **more,
    )
    payload = CtJson().render(ExchangeMessage(envelope, **part)).payload
    return freeze(payload, document, draft, requester=requester, partner=partner, terms=terms, now=now)


def recheck_coded(
    statement: bytes,
    document: bytes,
    *,
    partner: Partner | None,
    agreement: AgreementState | None,
    ours: str,
    now: datetime,
) -> Go | Void:
    """Look again before every later step: the endorsement has not expired, partner and agreement are those of the
    decision and in force. A revocation leaves under the agreement that it stopped here. Pure; never renders."""
    stated = msgspec.json.decode(statement, type=Statement)
    decided = msgspec.json.decode(document, type=_Decided)
    if parse_rfc3339(stated.not_after) <= now:
        return Void((house("approval.expired"),))
    if partner is None or partner.stopped or digest(canonical(partner)) != stated.partner_keys:
        return Void((house("partner.unchanged"),))
    if agreement is None or agreement.sha256 != decided.agreement_sha256:
        return Void((house("agreement.unchanged"),))
    if decided.agreement is not None and decided.agreement.action == "revoked":
        agreement = msgspec.structs.replace(agreement, revoked=False)
    if not in_force(agreement, ours, partner.org, now):
        return Void((house("coded.agreement"),))
    return Go()


class _Decided(msgspec.Struct, frozen=True):
    """What a recheck reads of any of the documents."""

    agreement_sha256: str
    agreement: AgreementPart | None = None


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

"""The way in, without I/O: what a sealed message must be before it is accepted, and what a batch's receipt says."""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway.errors import (
    OutOfOrder,
    OutsideAgreement,
    Replayed,
    SchemaViolation,
    SignatureInvalid,
    WrongAudience,
)
from gateway.flow.outbound import DEFAULT_VALIDITY_DAYS
from gateway.model.agreement import AgreementState
from gateway.model.label import LevelTable, dominates
from gateway.model.message import DEMANDS, ExchangeMessage
from gateway.wire.seal import SealEvidence

#: How far a sender's clock may lie ahead of ours, in seconds.
MAX_SKEW_S = 300

#: Longest life of a message, in seconds: what a signer seals at most, its skew on either side. What never expires
#: could be kept back for years and still be delivered as new.
MAX_VALIDITY_S = DEFAULT_VALIDITY_DAYS * 86_400 + 2 * MAX_SKEW_S

#: The one content type of a payload: every format of this version is JSON.
CONTENT_TYPE = "application/json"


class AdmittedMessage(msgspec.Struct, frozen=True):
    """Origin holds, addressed to us, in its window, in its place, and the agreement lets this partner send it."""

    message: ExchangeMessage
    evidence: SealEvidence


def check_window(evidence: SealEvidence, *, now: datetime) -> None:
    """Unknown ids are accepted only inside ``iat - skew .. exp``, a bounded time; known ones never come here."""
    header = evidence.header
    if header.iat > now.timestamp() + MAX_SKEW_S or header.exp <= now.timestamp():
        raise Replayed("the message lies outside its validity window")
    if header.exp - header.iat > MAX_VALIDITY_S:
        raise Replayed("the message would be valid for longer than any may be")


def check_seq(seq: int, expected: int) -> None:
    """Next is accepted; anything else tells the sender where to rewind to."""
    if seq != expected:
        raise OutOfOrder("the sequence number is not the next of its conversation", expected=expected)


def check_covered(seq: int, size: int) -> None:
    """The head in a seal covers the message's own entry, and the log about us holds one for each number before it."""
    if size < seq:
        raise SignatureInvalid("the checkpoint cannot cover the entry of its own message")


def admit(
    message: ExchangeMessage,
    evidence: SealEvidence,
    agreement: AgreementState,
    *,
    ours: str,
    mode: str,
    levels: LevelTable,
    now: datetime,
) -> AdmittedMessage:
    """Steps (3) to (5) of the way in.

    (3) type, audience, mode and identity in the payload are those of the seal, which names the one content type;
    (4) the payload was parsed strictly, every label in it is one our policy file knows, releases it to us, and is no
    higher than the label of the whole (law 11.12.1998 art. 5); (5) the agreement named in the seal is in force and
    covers kinds, purpose, format and ceiling; of a coded message, which has no content, format alone; of a protocol
    message nothing. Raises the `PartnerFault` that names the first that fails.
    """
    header, envelope, terms = evidence.header, message.envelope, agreement.terms
    # (3)
    if header.aud != ours or envelope.recipient != ours or header.mode != mode or envelope.mode != mode:
        raise WrongAudience("the message is addressed to another organisation or mode")
    bound = (
        (envelope.sender, header.iss),
        (envelope.message_id, header.jti),
        (envelope.conversation, header.conv),
        (f"ecluse-msg-{envelope.type}+jws", header.typ),
    )
    if any(inside != outside for inside, outside in bound) or header.cty != CONTENT_TYPE:
        raise SchemaViolation("the payload's envelope or content type is not the seal's")
    # (4)
    labels = [message.label, *(entry.label for entry in message.labels)]
    ranks = [levels.rank(label.policy, label.level) for label in labels if label is not None]
    if None in ranks:
        raise SchemaViolation("a label names a level that our policy file does not know")
    if any(
        label is not None and (label.no_foreign or not label.releasable(ours, ours[:3].upper()))
        for label in labels
    ):
        raise OutsideAgreement("a label does not release the message to us", code="mis-sent")
    if message.labels and (
        message.label is None
        or not all(dominates(message.label, entry.label, levels) for entry in message.labels)
    ):
        raise SchemaViolation("the label of the message is lower than that of one of its parts")
    # (5)
    if not (agreement.signed_ours and agreement.signed_theirs) or agreement.revoked:
        raise OutsideAgreement("the agreement is not in force")
    if not terms.not_before <= now < terms.not_after or set(terms.parties) != {ours, header.iss}:
        raise OutsideAgreement("the agreement is not in force between us")
    if (header.suite,) != terms.suites or (header.sig_profile,) != terms.signature_profiles:
        raise OutsideAgreement("the suite or signature profile is not the one agreed")
    if DEMANDS[envelope.type].message_class == "protocol":
        return AdmittedMessage(message, evidence)
    if envelope.format not in terms.formats or any(part.kind not in terms.kinds for part in message.records):
        raise OutsideAgreement("the agreement does not cover this format or kind")
    if DEMANDS[envelope.type].message_class == "coded":
        return AdmittedMessage(message, evidence)
    handling = message.handling
    if handling is None or handling.purpose not in terms.purposes:
        raise OutsideAgreement("the agreement does not cover this purpose")
    ceiling = levels.rank(terms.ceiling.policy, terms.ceiling.level)
    if ceiling is None or any(rank is None or rank > ceiling for rank in ranks):
        raise OutsideAgreement("a label lies above the agreed ceiling")
    return AdmittedMessage(message, evidence)

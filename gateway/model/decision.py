"""Decisions: effect, obligations, and the reason of every field. Denial is a value.

`DecisionDocument` is what the endorsements bind to: its RFC 8785 bytes are hashed into the statement, given to the
guard and kept with the release. It names pointers and rules, never values.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.model.ground import GroundName
from gateway.model.message import AgreementPart, Correction, Envelope, Handling, Recall, Reply
from gateway.model.request import Emergency, Lift

Effect = Literal["PERMIT", "DENY", "REVIEW"]
SourceKind = Literal["law", "treaty", "agreement", "house"]


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which rule spoke, and where it comes from. House rules cite our policy, never an article."""

    rule: str
    version: int
    effect: Effect
    source_kind: SourceKind
    article: str
    message_id: str  # key of the explanation text, looked up per language at display
    pointer: str = ""  # empty for the release as a whole
    error: str = ""  # a missing or failing fact denied: its name


class FieldOutcome(msgspec.Struct, frozen=True):
    """What happens to one field, and by which rule."""

    pointer: str
    outcome: Literal["released", "withheld"]
    rule: str
    version: int
    source_kind: SourceKind
    article: str


class Redact(msgspec.Struct, frozen=True, tag="redact"):
    """Obligation: remove this field before anything is rendered."""

    pointer: str


class Decision(msgspec.Struct, frozen=True):
    """The answer of the policy: effect, what must be done first, and why, field by field."""

    effect: Effect
    reasons: tuple[Reason, ...]
    fields: tuple[FieldOutcome, ...]
    obligations: tuple[Redact, ...]

    @property
    def released(self) -> tuple[str, ...]:
        """Pointers that leave, in record order."""
        return tuple(field.pointer for field in self.fields if field.outcome == "released")

    @property
    def members(self) -> frozenset[str]:
        """Members of the record of which a field leaves, as RFC 6901 tokens."""
        return frozenset(pointer.split("/")[1] for pointer in self.released)

    @property
    def withheld(self) -> tuple[FieldOutcome, ...]:
        """Fields that stay, each with its rule."""
        return tuple(field for field in self.fields if field.outcome == "withheld")


class Hint(msgspec.Struct, frozen=True):
    """A text that stays inside and says what it need not: where, and the rule that would stop it if it left."""

    pointer: str  # into the decision document
    rule: str


class IdleLift(msgspec.Struct, frozen=True):
    """A lift that unlocks nothing, and the rule by which what it names leaves or stays without it."""

    pointer: str
    rule: str


class RecordDecision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The outcome for one record version of the release."""

    record_sha256: str
    kind: str
    fields: tuple[FieldOutcome, ...]


class DecisionDocument(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Everything an approval binds to, beside the payload bytes themselves."""

    v: Literal[1]
    effect: Literal["PERMIT"]
    envelope: Envelope
    handling: Handling
    records: tuple[RecordDecision, ...]
    policy_sha256: str
    levels_version: str
    agreement_sha256: str
    agreement_series: str
    agreement_version: int
    partner: str
    partner_version: int
    justification: str
    request: str  # id of the request answered, or empty
    lifts: tuple[Lift, ...]
    reasons: tuple[Reason, ...]
    grounds: tuple[GroundName, ...] = ()  # what it rests on; absent when it rests on none
    emergency: Emergency | None = None  # of a message of that type, and of no other


class RecallDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything the endorsement of a recall binds to, beside the payload bytes: the coded class's decision."""

    v: Literal[1]
    effect: Literal["PERMIT"]
    envelope: Envelope
    recall: Recall
    release: str  # of the message recalled
    agreement_sha256: str
    agreement_series: str
    agreement_version: int
    partner: str
    partner_version: int
    justification: str
    reasons: tuple[Reason, ...]


class CorrectionDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything the endorsement of a correction binds to, beside the payload bytes."""

    v: Literal[1]
    effect: Literal["PERMIT"]
    envelope: Envelope
    correction: Correction
    release: str  # of the message corrected
    agreement_sha256: str
    agreement_series: str
    agreement_version: int
    partner: str
    partner_version: int
    justification: str
    reasons: tuple[Reason, ...]


class AgreementDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything the endorsements of a message about an agreement bind to, beside the payload bytes.

    ``agreement_*`` name the one in force, under which the message travels; what it is about stands in ``agreement``.
    """

    v: Literal[1]
    effect: Literal["PERMIT"]
    envelope: Envelope
    agreement: AgreementPart
    agreement_sha256: str
    agreement_series: str
    agreement_version: int
    partner: str
    partner_version: int
    justification: str
    reasons: tuple[Reason, ...]


class ConsentAbout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a grant is about, as both persons sign it; none of it leaves."""

    release: str  # of the message that the asker names
    message_id: str
    record: str  # its handle here
    kind: str
    items: tuple[str, ...]  # field patterns of that kind
    purpose: str
    recipient: str  # to whom they would go on; empty where the asker does not tell


class ReplyDocument(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Everything the endorsement of a coded answer binds to, beside the payload bytes.

    ``justification`` and whatever led to the answer stay inside: the same answer leaves for every reason.
    """

    v: Literal[1]
    effect: Literal["PERMIT"]
    envelope: Envelope
    reply: Reply
    agreement_sha256: str
    agreement_series: str
    agreement_version: int
    partner: str
    partner_version: int
    justification: str
    reasons: tuple[Reason, ...]
    about: ConsentAbout | None = None  # of a consent granted, and of nothing else


#: What the endorsement of a coded message binds to.
CodedDocument = RecallDocument | CorrectionDocument | ReplyDocument | AgreementDocument


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What requester and approver sign, the same bytes both. Frozen by prepare; RFC 8785 when hashed."""

    v: Literal[1]
    release: str
    message_id: str
    payload_sha256: str
    attachments: tuple[str, ...]
    partner_keys: str  # SHA-256 over the partner's directory entry (RFC 8785)
    decision_sha256: str
    requester: str  # officer id
    not_after: str  # RFC 3339
    nonce: str  # 32 random bytes, base64url

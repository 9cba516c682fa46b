"""Messages of ``ct-exchange`` 1: what can be said, what each type demands, and its nouns."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from gateway.model.label import SecurityLabel

Mode = Literal["operational", "exercise", "test"]
MessageType = Literal[
    "disclosure", "request", "clarification", "answer", "consent-request", "emergency",
    "no-information", "refusal", "delay", "recall", "correction", "consent-answer", "agreement", "partner-update",
    "status", "ping", "checkpoint", "void",
]  # fmt: skip
MessageClass = Literal["content-bearing", "coded", "protocol"]
RecallAction = Literal["withdrawn", "replaced", "expired"]
#: Why a request is refused before any record is looked up (Directive (EU) 2023/977 art. 6(1)(b), (g), and the like).
#: No other ground leaves: each of the others would tell what exists here.
RefusalGround = Literal["incomplete", "minor-offence", "outside-agreement", "outside-competence"]
Consent = Literal["granted", "refused"]
#: What the recipient of a correction owes: put what stands in its place, erase, or restrict processing (Directive (EU)
#: 2016/680 art. 16(5)-(6)); and why, of what it received alone (art. 7(3)). No reason tells what is held here.
CorrectionAction = Literal["replaced", "withdrawn", "restricted"]
CorrectionReason = Literal["inaccurate", "incomplete", "outdated", "unlawful"]
AgreementAction = Literal["offered", "signed", "revoked"]

#: Types that ask something: the base name of the one kind of record that says what. It travels in no other type.
ASKING: dict[MessageType, str] = {"request": "information-request", "consent-request": "consent-request"}

#: Types that answer a message received, each naming it: the type of message it answers.
ANSWERING: dict[str, str] = {
    "answer": "request",
    "no-information": "request",
    "refusal": "request",
    "consent-answer": "consent-request",
}


def type_of(kind: str) -> MessageType:
    """The one type in which a record of this kind leaves when it answers nothing."""
    base = kind.partition("/")[0]
    return next((asking for asking, asked in ASKING.items() if asked == base), "disclosure")


class Demands(msgspec.Struct, frozen=True):
    """What must stand behind a message before it is sealed. The audit entry is demanded of every type."""

    message_class: MessageClass
    decision: bool
    officers: int  # distinct persons whose endorsement is needed
    accumulation: bool


_CONTENT = Demands("content-bearing", decision=True, officers=2, accumulation=True)
_CODED = Demands("coded", decision=True, officers=1, accumulation=False)
_PROTOCOL = Demands("protocol", decision=False, officers=0, accumulation=False)

#: Every type has a row; a test fails for one without.
DEMANDS: dict[str, Demands] = {
    **dict.fromkeys(
        ("disclosure", "request", "clarification", "answer", "consent-request", "emergency"), _CONTENT
    ),
    **dict.fromkeys(
        (
            "no-information",
            "refusal",
            "delay",
            "recall",
            "correction",
            "consent-answer",
            "agreement",
            "partner-update",
        ),
        _CODED,
    ),
    **dict.fromkeys(("status", "ping", "checkpoint", "void"), _PROTOCOL),
}


class Envelope(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"sender": "from", "recipient": "to"}
):
    """The protocol fields at the head of every payload, in wire order."""

    format: str
    type: MessageType
    mode: Mode
    message_id: str
    conversation: str
    sender: str
    recipient: str
    created: str  # RFC 3339
    language: str


class Handling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The conditions under which the recipient may use what it receives."""

    regime: str
    route: str
    purpose: str
    legal_basis: str
    retention_until: str  # calendar date
    onward: str


class PartLabel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The label of one part of the message; the nearest enclosing entry wins."""

    part: str  # RFC 6901 pointer into the payload
    label: SecurityLabel


class RecordPart(msgspec.Struct, frozen=True):
    """One released record: the pseudonym for this partner, and the content that is left."""

    ref: str
    kind: str
    content: dict[str, Any]


class Recall(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a recall says of an earlier message of its sender: ids and a code, in wire order, and nothing else."""

    recalls: str  # message id
    action: RecallAction
    replaced_by: str = ""  # message id; there exactly with ``replaced``


class Correction(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a correction says of an earlier message of its sender, in wire order: ids and codes, and nothing else."""

    corrects: str  # message id
    action: CorrectionAction
    reason: CorrectionReason
    replaced_by: str = ""  # message id; there exactly with ``replaced``


class AgreementPart(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a message says of an agreement, in wire order: terms that its sender signed, or which ones it revokes.

    An offer and the answer to it carry the exact terms and one signature, the sender's own; a revocation their digest.
    """

    action: AgreementAction
    terms: str = ""  # base64url of the RFC 8785 bytes
    signature: str = ""  # compact detached JWS over them, typ ecluse-agreement+jws
    terms_sha256: str = ""  # of a revocation


class Reply(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a message says of the one it answers, in wire order: an id, and for a coded type its code.

    An ``answer`` and ``no-information`` have the id alone: "nothing", "withheld" and "embargoed" are one outcome.
    """

    answers: str  # message id
    ground: RefusalGround | None = None  # of a refusal
    consent: Consent | None = None  # of a consent-answer
    until: str = ""  # calendar date after which a consent granted holds no more


class ExchangeMessage(msgspec.Struct, frozen=True):
    """A message between nouns and bytes: what a format renders, and what it parses back to.

    ``label`` is the high-water mark of ``labels``; protocol messages carry neither label, handling nor records, and
    coded ones only their own members.
    """

    envelope: Envelope
    label: SecurityLabel | None = None
    handling: Handling | None = None
    records: tuple[RecordPart, ...] = ()
    labels: tuple[PartLabel, ...] = ()
    recall: Recall | None = None
    reply: Reply | None = None
    correction: Correction | None = None
    agreement: AgreementPart | None = None


class Rendered(msgspec.Struct, frozen=True):
    """Exact bytes, and what the format could not carry. A lost caveat or grade blocks the message."""

    payload: bytes
    lost: tuple[str, ...] = ()

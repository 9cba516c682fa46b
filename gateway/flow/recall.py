"""Recall, without I/O: whether one may leave, and its frozen bytes; a correction's gate is the same.

A recall says of an earlier message that it is withdrawn, replaced or expired: two ids and a code. It rests on nothing
of that message's content, so the policy of content has no say in it: that a person wants it, that the message may have
reached the partner, and an agreement under which anything is exchanged at all are enough.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway.flow.coded import PreparedCoded, in_force, permit
from gateway.flow.outbound import Draft, Refused, house
from gateway.model.agreement import AgreementState
from gateway.model.decision import Decision, RecallDocument
from gateway.model.message import DEMANDS, Recall
from gateway.model.party import Partner

#: States of a message that the partner may have: at least one POST with it was started.
ATTEMPTED = frozenset({"attempted", "delivered"})

#: Every reason of a decision about a recall, each with its sentence among the explanations.
REASONS = (
    "recall.sent",
    "recall.content",
    "recall.once",
    "recall.replacement",
    "coded.agreement",
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


def carries_content(message_type: str) -> bool:
    """Whether a message of this type carries content: what carries none has nothing to recall."""
    demands = DEMANDS.get(message_type)
    return demands is not None and demands.message_class == "content-bearing"


def objections(
    message: Sent,
    replaced_by: str,
    replacement: Sent | None,
    *,
    ours: str,
    partner: Partner,
    agreement: AgreementState | None,
    repeated: bool,
    once: str,
    now: datetime,
) -> list[str]:
    """Rules against saying something of an earlier message, by steps (1) to (4) of `prepare_recall`; ``once`` is the
    rule that speaks where it was said already."""
    denied: list[str] = []
    # (1)
    if agreement is None or not in_force(agreement, ours, partner.org, now):
        denied.append("coded.agreement")
    # (2)
    if not carries_content(message.type):
        denied.append("recall.content")
    if message.state not in ATTEMPTED:
        denied.append("recall.sent")
    # (3)
    if repeated:
        denied.append(once)
    # (4)
    if replaced_by and (
        replacement is None
        or (replacement.message_id, replacement.partner) != (replaced_by, message.partner)
        or replacement.message_id == message.message_id
        or not carries_content(replacement.type)
        or replacement.state not in ATTEMPTED
    ):
        denied.append("recall.replacement")
    return denied


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
) -> PreparedCoded | Refused:
    """Decide about a recall, and freeze its one form.

    (1) the agreement is in force, for the format and ours; (2) the message carried content, and may be at the partner:
    one that was never attempted is cancelled instead, and leaves no trace there; (3) no recall of it is on its way or
    was delivered (``repeated``); (4) what stands in its place may be at the same partner too; (5) render once: the
    bytes hang on the envelope, two ids and a code alone; the statement binds them, decision, partner entry and expiry.
    """
    denied = objections(
        message,
        recall.replaced_by,
        replacement,
        ours=ours,
        partner=partner,
        agreement=agreement,
        repeated=repeated,
        once="recall.once",
        now=now,
    )
    if denied or agreement is None:
        return Refused(Decision("DENY", tuple(house(rule) for rule in denied), (), ()))
    # (5)
    return permit(
        RecallDocument,
        "recall",
        {"recall": recall},
        draft,
        rule="recall.permit",
        ours=ours,
        requester=requester,
        partner=partner,
        agreement=agreement,
        language=language,
        justification=justification,
        now=now,
        release=message.release,
    )

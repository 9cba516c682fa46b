"""Coded answers, without I/O: `no-information`, `refusal`, `consent-answer`: an id, and a code at most.

What led to an answer is not among its inputs but for the justification, which stays inside: nothing, withheld and
embargoed give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from gateway.flow.coded import PreparedCoded, in_force, permit
from gateway.flow.outbound import Draft, Refused, house
from gateway.model.agreement import AgreementState
from gateway.model.decision import ConsentAbout, Decision, ReplyDocument
from gateway.model.message import ANSWERING, DEMANDS, MessageType, Reply
from gateway.model.party import Partner

#: Every reason of a decision about a coded answer, each with its sentence among the explanations.
REASONS = (
    "coded.agreement",
    "reply.question",
    "reply.once",
    "reply.looked",
    "consent.release",
    "consent.recalled",
    "consent.removed",
    "embargo",
    "consent.items",
    "consent.until",
    "reply.permit",
)


class Asked(msgspec.Struct, frozen=True):
    """A message of a partner, as our books have it."""

    message_id: str
    sender: str
    type: str


def prepare_reply(
    asked: Asked,
    message_type: MessageType,
    reply: Reply,
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
    looked: bool = False,
    about: ConsentAbout | None = None,
    against: Sequence[str] = (),
) -> PreparedCoded | Refused:
    """Decide about a coded answer, and freeze its one form.

    (1) the agreement is in force, for the format and ours; (2) what it answers came from this partner and is of the
    type that such an answer answers; (3) no answer to it is on its way or was delivered (``repeated``), and a refusal
    is older than any look at a record for it (``looked``): after one it would tell what was found; (4) a
    grant is about a message of ours, and nothing stands ``against`` it; (5) render once: the bytes hang on the
    envelope, the id and the code alone; the statement binds them.
    """
    denied: list[str] = []
    # (1)
    if agreement is None or not in_force(agreement, ours, partner.org, now):
        denied.append("coded.agreement")
    # (2)
    if (asked.sender, asked.type, asked.message_id) != (
        partner.org,
        ANSWERING.get(message_type),
        reply.answers,
    ):
        denied.append("reply.question")
    # (3)
    if repeated:
        denied.append("reply.once")
    if looked and message_type == "refusal":
        denied.append("reply.looked")
    # (4)
    if reply.consent == "granted":
        denied += against or (() if about is not None else ("consent.release",))
    if denied or agreement is None or DEMANDS[message_type].message_class != "coded":
        return Refused(Decision("DENY", tuple(house(rule) for rule in denied), (), ()))
    # (5)
    return permit(
        ReplyDocument,
        message_type,
        {"reply": reply},
        draft,
        rule="reply.permit",
        ours=ours,
        requester=requester,
        partner=partner,
        agreement=agreement,
        language=language,
        justification=justification,
        now=now,
        about=about if reply.consent == "granted" else None,
    )

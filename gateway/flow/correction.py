"""Correction, without I/O: what past recipients are told once what they hold should not have been said as it was.

A recall says that a message is to be used no more, and never why. A correction names what the recipient owes the person
concerned, and the reason in what it received (Directive (EU) 2016/680 art. 7(3), 16(5)-(6)): ids and codes alone. New
content leaves by the ordinary way of two persons, before the correction that names it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from gateway.flow.coded import PreparedCoded, permit
from gateway.flow.notice import Code, Finding
from gateway.flow.outbound import Draft, Refused, house
from gateway.flow.recall import Sent, objections
from gateway.model.agreement import AgreementState
from gateway.model.decision import CorrectionDocument, Decision
from gateway.model.message import Correction, CorrectionReason
from gateway.model.party import Partner

#: Reasons of decisions about corrections that no recall has, each with its sentence among the explanations.
REASONS = ("correction.once", "correction.permit")

#: What leaves of why something is otherwise. An acquittal, an embargo or a consent withdrawn would each tell the
#: partner something that it did not receive: they leave as the plain word that all of their kind leave as.
REASON_OF: dict[Code, CorrectionReason] = {
    "false": "inaccurate",
    "changed": "inaccurate",
    "removed": "inaccurate",
    "acquitted": "inaccurate",
    "minor": "unlawful",
    "consent-withdrawn": "outdated",
    "authorisation-withdrawn": "outdated",
    "derogation-withdrawn": "outdated",
    "level-lowered": "outdated",
    "label-raised": "outdated",
    "expired": "outdated",
    "embargo": "outdated",
    "not-validated": "outdated",
    "archived": "outdated",
    "delisted": "outdated",
    "judicial": "outdated",
    "level-raised": "outdated",
    "label-relaxed": "outdated",
    "updated": "outdated",
    "added": "incomplete",
}

#: Of several reasons the gravest leaves.
_GRAVEST: tuple[CorrectionReason, ...] = ("unlawful", "inaccurate", "outdated", "incomplete")


def reason_of(found: Iterable[Finding]) -> CorrectionReason:
    """The one reason that leaves for these findings; `ValueError` for none."""
    return min((REASON_OF[one.code] for one in found), key=_GRAVEST.index)


def prepare_correction(
    message: Sent,
    said: Correction,
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
    """Decide about a correction, and freeze its one form, by the five steps of `prepare_recall`."""
    denied = objections(
        message,
        said.replaced_by,
        replacement,
        ours=ours,
        partner=partner,
        agreement=agreement,
        repeated=repeated,
        once="correction.once",
        now=now,
    )
    if denied or agreement is None:
        return Refused(Decision("DENY", tuple(house(rule) for rule in denied), (), ()))
    return permit(
        CorrectionDocument,
        "correction",
        {"correction": said},
        draft,
        rule="correction.permit",
        ours=ours,
        requester=requester,
        partner=partner,
        agreement=agreement,
        language=language,
        justification=justification,
        now=now,
        release=message.release,
    )

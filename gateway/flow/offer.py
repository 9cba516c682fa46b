"""Agreements that travel, without I/O: terms offered, signed and revoked by messages.

A message is sealed under an agreement in force, so the first one between two organisations is exchanged on files. What
arrives changes nothing by itself but for a revocation, which can only narrow: terms wait until two persons here put
them in force as they do with a file.
"""

from __future__ import annotations

from datetime import datetime

from gateway.errors import OutsideAgreement, SignatureInvalid
from gateway.flow.coded import PreparedCoded, in_force, permit
from gateway.flow.outbound import Draft, Refused, house
from gateway.model.agreement import AgreementState, AgreementTerms, SignedAgreement
from gateway.model.decision import AgreementDocument, Decision
from gateway.model.message import AgreementPart
from gateway.model.party import Partner
from gateway.wire.agreement import verify_agreement

#: Every reason of a decision about a message of this type, each with its sentence among the explanations.
REASONS = ("coded.agreement", "offer.version", "offer.asked", "offer.once", "offer.permit")


def prepare_agreement(
    said: AgreementPart,
    terms: AgreementTerms | None,
    draft: Draft,
    *,
    ours: str,
    requester: str,
    partner: Partner,
    agreement: AgreementState | None,
    language: str,
    justification: str,
    asked: bool,
    repeated: bool,
    now: datetime,
) -> PreparedCoded | Refused:
    """Decide about a message about an agreement, and freeze its one form.

    (1) an agreement is in force, under which it travels; a revocation names that one; (2) terms of the series in force
    have a newer version: older ones never come back; (3) what is signed was offered by this partner (``asked``); (4)
    the same was not said already (``repeated``); (5) render once: the statement binds the bytes.

    Not checked: whether our signature under the terms holds, which the caller and the signer each verify.
    """
    denied: list[str] = []
    # (1)
    if agreement is None or not in_force(agreement, ours, partner.org, now):
        denied.append("coded.agreement")
    elif said.action == "revoked" and said.terms_sha256 != agreement.sha256:
        denied.append("offer.asked")
    # (2)
    if agreement is not None and terms is not None and not _newer(terms, agreement.terms):
        denied.append("offer.version")
    # (3)
    if said.action == "signed" and not asked:
        denied.append("offer.asked")
    # (4)
    if repeated:
        denied.append("offer.once")
    if denied or agreement is None:
        return Refused(Decision("DENY", tuple(house(rule) for rule in denied), (), ()))
    # (5)
    return permit(
        AgreementDocument,
        "agreement",
        {"agreement": said},
        draft,
        rule="offer.permit",
        ours=ours,
        requester=requester,
        partner=partner,
        agreement=agreement,
        language=language,
        justification=justification,
        now=now,
    )


def receive_agreement(
    said: AgreementPart, agreement: AgreementState, *, ours: str, partner: Partner, now: datetime
) -> AgreementState:
    """What a partner's message is about: the agreement in force that it revokes, or terms with the partner's signature.

    (1) a revocation names the agreement in force between the two, and no other; (2) terms are in their one form,
    between exactly these two (`WrongAudience`), and the partner's agreement key signed them (`SignatureInvalid`); (3)
    of the series in force they are a newer version (`OutsideAgreement`). Whether they are sound, and whether they were
    asked for, is not checked here.
    """
    # (1)
    if said.action == "revoked":
        if said.terms_sha256 != agreement.sha256:
            raise OutsideAgreement("the agreement revoked is not the one in force between us")
        return agreement
    # (2)
    signed = SignedAgreement(said.terms, {partner.org: said.signature})
    keys = {partner.org: partner.keys_for("agreement")}
    state = verify_agreement(signed, keys, ours=ours, theirs=partner.org, now=now)
    if not state.signed_theirs:
        raise SignatureInvalid("the terms are not signed by their sender")
    # (3)
    if not _newer(state.terms, agreement.terms):
        raise OutsideAgreement("the terms are not newer than those in force")
    return state


def _newer(terms: AgreementTerms, than: AgreementTerms) -> bool:
    return terms.series != than.series or terms.version > than.version

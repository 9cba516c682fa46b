"""What may be said of an agreement, and what is believed of what a partner says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.errors import MalformedMessage, OutsideAgreement, PartnerFault, SignatureInvalid, WrongAudience
from gateway.flow.coded import PreparedCoded, recheck_coded
from gateway.flow.offer import prepare_agreement, receive_agreement
from gateway.flow.outbound import Go, Refused, Void
from gateway.model.agreement import AgreementState
from gateway.model.message import AgreementPart
from gateway.wire.ct_json import CtJson
from gateway.wire.strict import b64url, b64url_decode
from tests.flow.test_recall import DRAFT, agreement
from tests.policy.worlds import NOW, OURS, POLICE, world
from tests.signer.world import partner, signed_agreement, trusted

SIGNATURE = "e30.." + "A" * 86
OFFER = AgreementPart("offered", "e30", SIGNATURE)
SIGNED = AgreementPart("signed", "e30", SIGNATURE)
REVOKED = AgreementPart("revoked", terms_sha256=agreement().sha256)


def following(**changes: Any) -> Any:
    """The next version of the terms in force."""
    terms = agreement().terms
    return msgspec.structs.replace(terms, **({"version": terms.version + 1} | changes))


def prepared(said: AgreementPart = OFFER, **changes: Any) -> PreparedCoded | Refused:
    members: dict[str, Any] = {
        "said": said,
        "terms": following() if said.terms else None,
        "draft": DRAFT,
        "ours": OURS,
        "requester": "be-security",
        "partner": world().partner,
        "agreement": agreement(),
        "language": "fr",
        "justification": "synthetic",
        "asked": True,
        "repeated": False,
        "now": NOW,
    }
    return prepare_agreement(**members | changes)


@pytest.mark.parametrize("said", [OFFER, SIGNED, REVOKED])
def test_what_is_frozen(said: AgreementPart) -> None:
    """The bytes say exactly this, and nothing of why."""
    made = prepared(said, justification="because")
    assert isinstance(made, PreparedCoded)
    assert CtJson().parse(made.payload).agreement == said
    assert b"because" not in made.payload


@pytest.mark.parametrize(
    ("said", "changes", "rules"),
    [
        (OFFER, {"agreement": None}, ["coded.agreement"]),
        (OFFER, {"agreement": agreement(revoked=True)}, ["coded.agreement"]),
        (OFFER, {"agreement": agreement(not_after=NOW)}, ["coded.agreement"]),
        (OFFER, {"terms": agreement().terms}, ["offer.version"]),
        (SIGNED, {"terms": agreement().terms}, ["offer.version"]),
        (SIGNED, {"asked": False}, ["offer.asked"]),
        (OFFER, {"repeated": True}, ["offer.once"]),
        (AgreementPart("revoked", terms_sha256="1" * 64), {}, ["offer.asked"]),
        (
            REVOKED,
            {"agreement": agreement(revoked=True), "repeated": True},
            ["coded.agreement", "offer.once"],
        ),
    ],
)
def test_what_denies(said: AgreementPart, changes: dict[str, Any], rules: list[str]) -> None:
    """Each rule alone; an offer need not be asked for, and another series has versions of its own."""
    made = prepared(said, **changes)
    assert isinstance(made, Refused)
    assert [reason.rule for reason in made.decision.reasons] == rules
    assert isinstance(prepared(OFFER, asked=False), PreparedCoded)
    assert isinstance(prepared(OFFER, terms=following(series="another", version=1)), PreparedCoded)


def test_a_revocation_alone_leaves_under_what_it_revoked() -> None:
    """Once the agreement is out of force here, an offer is void at the next look and the revocation is not."""
    look: dict[str, Any] = {"partner": world().partner, "ours": OURS, "now": NOW}
    for said, outcome in ((OFFER, Void), (REVOKED, Go)):
        made = prepared(said)
        assert isinstance(made, PreparedCoded)
        stopped = agreement(revoked=True)
        assert isinstance(recheck_coded(made.statement, made.document, agreement=stopped, **look), outcome)
        others = agreement(revoked=True, not_after=NOW)
        found = recheck_coded(made.statement, made.document, agreement=others, **look)
        assert isinstance(found, Void)


# --- what arrives ----------------------------------------------------------------------------------------------------


def in_force() -> AgreementState:
    held = trusted(signed_agreement())
    agreed = world().agreement
    assert agreed is not None
    return msgspec.structs.replace(agreed, sha256=held.sha256)


def theirs(*, by: str = POLICE, action: Any = "offered", **terms: Any) -> AgreementPart:
    signed = signed_agreement(by, **({"version": 2} | terms))
    return AgreementPart(action, signed.terms, signed.signatures[by])


def received(said: AgreementPart) -> AgreementState:
    return receive_agreement(said, in_force(), ours=OURS, partner=partner(), now=NOW)


@pytest.mark.parametrize("action", ["offered", "signed"])
def test_terms_that_the_partner_signed(action: Any) -> None:
    """They are what its key signed; our own signature is not among them."""
    state = received(theirs(action=action))
    assert (state.terms.version, state.signed_theirs, state.signed_ours) == (2, True, False)


def test_another_series_counts_by_itself() -> None:
    """Its first version is no older than the second of the one in force."""
    assert received(theirs(series="another", version=1)).terms.series == "another"


def test_a_revocation_of_what_is_in_force() -> None:
    """It is about that very agreement."""
    state = in_force()
    assert received(AgreementPart("revoked", terms_sha256=state.sha256)) == state


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        (AgreementPart("revoked", terms_sha256="0" * 64), OutsideAgreement),
        (theirs(version=1, retention_days=9), OutsideAgreement),
        (theirs(parties=(POLICE, "nld.other")), WrongAudience),
        (theirs(parties=(OURS, "nld.other")), WrongAudience),
        (theirs(by=OURS), SignatureInvalid),
        (AgreementPart("offered", theirs(retention_days=9).terms, theirs().signature), SignatureInvalid),
        (AgreementPart("offered", theirs().terms, SIGNATURE), PartnerFault),
        (AgreementPart("offered", b64url(b64url_decode(theirs().terms) + b" "), theirs().signature), MalformedMessage),
        (AgreementPart("offered", "e30", SIGNATURE), MalformedMessage),
        (AgreementPart("offered", b64url(b'"' + b"x" * 65535 + b'"'), SIGNATURE), MalformedMessage),
    ],
)  # fmt: skip
def test_what_is_not_believed(said: AgreementPart, fault: type[PartnerFault]) -> None:
    """Somebody else's agreement, another party, key, text or spelling, an old version: the partner's fault, by name."""
    with pytest.raises(fault):
        received(said)

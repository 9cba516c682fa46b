"""What a sealed message must be before it is accepted: each fault has its code, and the first that fails is named.

The honest message is a disclosure that the other side's signer really sealed; each row changes one thing.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import OutOfOrder, PartnerFault, Replayed
from gateway.flow.inbound import MAX_SKEW_S, AdmittedMessage, admit, check_seq, check_window
from gateway.model.agreement import AgreementState, Ceiling
from gateway.model.message import ExchangeMessage
from gateway.model.signing import SealBatch
from gateway.wire.agreement import verify_agreement
from gateway.wire.ct_json import CtJson
from gateway.wire.seal import SealEvidence, verify_seal
from tests.policy.worlds import LEVELS, NOW, OURS, POLICE
from tests.signer.attempts import CLASSIFIED
from tests.signer.world import (
    NEIGHBOUR,
    OTHER_ID,
    authority,
    batch,
    disk,
    partner,
    protocol,
    release,
    signed_agreement,
    signer_keys,
    trust,
)


def agreement(**changes: Any) -> AgreementState:
    """The agreement as the police see it."""
    keys = {OURS: trust().agreement_keys, POLICE: partner().keys_for("agreement")}
    state = verify_agreement(signed_agreement(), keys, ours=POLICE, theirs=OURS, now=NOW)
    return msgspec.structs.replace(state, **changes)


def terms(**changes: Any) -> AgreementState:
    """The same agreement with other terms."""
    return agreement(terms=msgspec.structs.replace(agreement().terms, **changes))


def sealed(made: SealBatch) -> tuple[ExchangeMessage, SealEvidence]:
    (result,) = authority(disk()).seal(made).results
    payload = made.items[0].payload
    return CtJson().parse(payload), verify_seal(
        result.jws, result.second, payload, signer_keys().records, profile="classic", now=NOW
    )


@cache
def honest() -> tuple[ExchangeMessage, SealEvidence]:
    return sealed(batch())


@cache
def classified() -> ExchangeMessage:
    return sealed(batch(release(CLASSIFIED)))[0]


@cache
def voided() -> tuple[ExchangeMessage, SealEvidence]:
    return sealed(protocol())


def admitted(
    message: ExchangeMessage | None = None,
    evidence: SealEvidence | None = None,
    under: AgreementState | None = None,
    **changes: Any,
) -> AdmittedMessage:
    """What the police admit."""
    settings: dict[str, Any] = {"ours": POLICE, "mode": "operational", "levels": LEVELS, "now": NOW} | changes
    return admit(message or honest()[0], evidence or honest()[1], under or agreement(), **settings)


def header(**changes: Any) -> SealEvidence:
    """The honest evidence with another header."""
    evidence = honest()[1]
    return msgspec.structs.replace(evidence, header=msgspec.structs.replace(evidence.header, **changes))


def envelope(**changes: Any) -> ExchangeMessage:
    message = honest()[0]
    return msgspec.structs.replace(message, envelope=msgspec.structs.replace(message.envelope, **changes))


def handling(**changes: Any) -> ExchangeMessage:
    message = honest()[0]
    assert message.handling is not None
    return msgspec.structs.replace(message, handling=msgspec.structs.replace(message.handling, **changes))


def part(**changes: Any) -> ExchangeMessage:
    """Another label on the first part alone."""
    message = honest()[0]
    first, *others = message.labels
    changed = msgspec.structs.replace(first, label=msgspec.structs.replace(first.label, **changes))
    return msgspec.structs.replace(message, labels=(changed, *others))


def whole(**changes: Any) -> ExchangeMessage:
    """Another label on the message and on its every part."""
    message = honest()[0]
    assert message.label is not None
    labels = tuple(
        msgspec.structs.replace(entry, label=msgspec.structs.replace(entry.label, **changes))
        for entry in message.labels
    )
    return msgspec.structs.replace(
        message, label=msgspec.structs.replace(message.label, **changes), labels=labels
    )


def test_the_honest_message_is_admitted() -> None:
    """What the other side sealed is admitted as it is, with its evidence."""
    assert admitted() == AdmittedMessage(*honest())


def test_a_classified_message_is_admitted_up_to_the_ceiling() -> None:
    """SECRET under an agreement up to SECRET, so that the refusal under a lower one has its opposite."""
    message, evidence = sealed(batch(release(CLASSIFIED)))
    assert admitted(message, evidence).message == message


def test_a_protocol_message_needs_no_terms_but_an_agreement() -> None:
    """A void passes under an agreement that covers no content, and not under none."""
    message, evidence = voided()
    bare = terms(kinds=(), purposes=(), formats=())
    assert admitted(message, evidence, bare).message == message
    with pytest.raises(PartnerFault) as caught:
        admitted(message, evidence, agreement(revoked=True))
    assert caught.value.code == "outside-agreement"


REFUSED: dict[str, dict[str, Callable[[], AdmittedMessage]]] = {
    "wrong-audience": {
        "sealed to another": lambda: admitted(evidence=header(aud=NEIGHBOUR)),
        "addressed to another": lambda: admitted(envelope(recipient=NEIGHBOUR)),
        "we are another": lambda: admitted(ours=NEIGHBOUR),
        "sealed in another mode": lambda: admitted(evidence=header(mode="exercise")),
        "written in another mode": lambda: admitted(envelope(mode="exercise")),
        "we run in another mode": lambda: admitted(mode="test"),
    },
    "schema-violation": {
        "from another than sealed": lambda: admitted(envelope(sender=NEIGHBOUR)),
        "sealed by another than written": lambda: admitted(evidence=header(iss=NEIGHBOUR)),
        "another message id": lambda: admitted(envelope(message_id=OTHER_ID)),
        "another conversation": lambda: admitted(envelope(conversation=OTHER_ID)),
        "another type": lambda: admitted(envelope(type="ping")),
        "sealed as another type": lambda: admitted(evidence=header(typ="ecluse-msg-ping+jws")),
        "unknown level of the whole": lambda: admitted(whole(level="HIGH")),
        "unknown level of a part": lambda: admitted(part(level="HIGH")),
        "unknown policy": lambda: admitted(whole(policy="XXX")),
        "a part above the whole": lambda: admitted(part(level="RESTREINT")),
        "a part for fewer than the whole": lambda: admitted(part(releasable_to=("FRA",))),
        "a part with a caveat that the whole lacks": lambda: admitted(part(tlp="RED")),
        "parts labelled, the whole not": lambda: admitted(msgspec.structs.replace(honest()[0], label=None)),
    },
    "mis-sent": {
        "released to another": lambda: admitted(whole(releasable_to=("BEL",))),
        "released to nobody": lambda: admitted(whole(releasable_to=())),
        "a part released to another": lambda: admitted(part(releasable_to=("BEL",))),
        "not for foreign eyes": lambda: admitted(whole(no_foreign=True)),
    },
    "outside-agreement": {
        "agreement without their signature": lambda: admitted(under=agreement(signed_theirs=False)),
        "agreement without our signature": lambda: admitted(under=agreement(signed_ours=False)),
        "agreement revoked": lambda: admitted(under=agreement(revoked=True)),
        "agreement ended": lambda: admitted(under=terms(not_after=NOW)),
        "agreement not begun": lambda: admitted(under=terms(not_before=NOW + timedelta(seconds=1))),
        "agreement with another": lambda: admitted(under=terms(parties=(NEIGHBOUR, POLICE))),
        "agreement of others": lambda: admitted(under=terms(parties=(OURS, NEIGHBOUR))),
        "another suite": lambda: admitted(under=terms(suites=("jwe-ecdh-es-a256gcm",))),
        "another profile": lambda: admitted(under=terms(signature_profiles=("hybrid",))),
        "no suite": lambda: admitted(under=terms(suites=())),
        "a kind not agreed": lambda: admitted(under=terms(kinds=("other/1.0",))),
        "no kind agreed": lambda: admitted(under=terms(kinds=())),
        "a format not agreed": lambda: admitted(under=terms(formats=("other/1.0",))),
        "another format": lambda: admitted(envelope(format="other/1.0")),
        "a purpose not agreed": lambda: admitted(handling(purpose="tourism")),
        "no purpose agreed": lambda: admitted(under=terms(purposes=())),
        "no handling": lambda: admitted(msgspec.structs.replace(honest()[0], handling=None)),
        "above the ceiling": lambda: admitted(whole(level="TRES SECRET")),
        "above a lower ceiling": lambda: admitted(
            classified(), under=terms(ceiling=Ceiling("BEL", "UNCLASSIFIED"))
        ),
        "a ceiling without rank": lambda: admitted(under=terms(ceiling=Ceiling("BEL", "HIGH"))),
    },
}


@pytest.mark.parametrize(("code", "name"), [(code, name) for code, rows in REFUSED.items() for name in rows])
def test_refused(code: str, name: str) -> None:
    """One thing is wrong, and the fault is the partner's with exactly this code."""
    with pytest.raises(PartnerFault) as caught:
        REFUSED[code][name]()
    assert caught.value.code == code


# --- window and order ------------------------------------------------------------------------------------------------


@given(st.integers(-1000, 40 * 86_400))
def test_window(seconds: int) -> None:
    """Unknown messages are accepted from 300 s before they were sealed until they expire, and at no other time."""
    evidence = honest()[1]
    now = NOW + timedelta(seconds=seconds)
    if -MAX_SKEW_S <= seconds < evidence.header.exp - evidence.header.iat:
        check_window(evidence, now=now)
    else:
        with pytest.raises(Replayed):
            check_window(evidence, now=now)


@pytest.mark.parametrize("edge", [-MAX_SKEW_S - 1, 30 * 86_400])
def test_edges_of_the_window(edge: int) -> None:
    """One second too early, and the very second of expiry, are outside."""
    with pytest.raises(Replayed):
        check_window(honest()[1], now=NOW + timedelta(seconds=edge))


@given(st.integers(1, 2**53 - 1), st.integers(1, 2**53 - 1))
def test_order(seq: int, expected: int) -> None:
    """Only the next number is taken; any other is answered with the one that is."""
    if seq == expected:
        check_seq(seq, expected)
    else:
        with pytest.raises(OutOfOrder) as caught:
            check_seq(seq, expected)
        assert caught.value.expected == expected

"""What the signer demands before it seals a message about an agreement: two persons and our own offline key, or one
person's word that it is revoked.

An edit is what colluding officers and a hostile gateway can do together; what the gateway can do alone is done to the
finished batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from gateway.audit import tree
from gateway.audit.entry import body_commitment, partner_entry
from gateway.flow.change import canonical, digest
from gateway.flow.coded import PreparedCoded
from gateway.flow.offer import prepare_agreement
from gateway.flow.outbound import Draft
from gateway.model.agreement import AgreementTerms, SignedAgreement
from gateway.model.message import AgreementAction, AgreementPart
from gateway.model.signing import AgreementEvidence, CheckpointRequest, SealBatch, SealRequest
from gateway.wire.agreement import sign_terms
from gateway.wire.hpke import SUITE
from gateway.wire.seal import read_seal
from gateway.wire.strict import b64url_decode
from tests.audit.logs import MemoryLog
from tests.policy.worlds import NOW, OURS, POLICE, world
from tests.signer import test_reply
from tests.signer.test_recall import SALT
from tests.signer.world import (
    CONVERSATION,
    KEYS,
    MESSAGE_ID,
    ORIGIN,
    Edit,
    authority,
    batch,
    disk,
    endorse,
    partner,
    put,
    recanonical,
    refusal,
    signed_agreement,
    trusted,
    with_request,
)

FIRST, SECOND = "be-security", "be-guardian"


def part(action: AgreementAction = "offered", **terms: Any) -> AgreementPart:
    """The next version with our signature, or the digest of the one in force."""
    if action == "revoked":
        return AgreementPart("revoked", terms_sha256=trusted(signed_agreement()).sha256)
    signed = signed_agreement(OURS, **({"version": 2} | terms))
    return AgreementPart(action, signed.terms, signed.signatures[OURS])


def prepared(said: AgreementPart, requester: str) -> PreparedCoded:
    """What the real code freezes."""
    agreed, held = world().agreement, trusted(signed_agreement())
    assert agreed is not None
    terms = msgspec.json.decode(b64url_decode(said.terms), type=AgreementTerms) if said.terms else None
    made = prepare_agreement(
        said,
        terms,
        Draft("release-9", MESSAGE_ID, CONVERSATION, "operational", bytes(range(32))),
        ours=OURS,
        requester=requester,
        partner=partner(),
        agreement=msgspec.structs.replace(agreed, sha256=held.sha256),
        language="fr",
        justification="synthetic",
        asked=True,
        repeated=False,
        now=NOW,
    )
    assert isinstance(made, PreparedCoded)
    return made


def message(
    said: AgreementPart | None = None,
    *,
    payload: Edit | None = None,
    decision: Edit | None = None,
    statement: Edit | None = None,
    signers: tuple[str, ...] = (),
    type: str = "agreement",
) -> SealBatch:
    """A whole batch of one message about an agreement, signed by two persons, or by one where it revokes."""
    said = said or part()
    signers = signers or ((FIRST,) if said.action == "revoked" else (FIRST, SECOND))
    made = prepared(said, signers[0])
    body = payload(made.payload) if payload else made.payload
    document = recanonical(decision(made.document)) if decision else made.document
    bound = put("payload_sha256", digest(body), "decision_sha256", digest(document))(made.statement)
    stated = recanonical(statement(bound) if statement else bound)
    raw = partner_entry(
        at=NOW,
        blind=hashlib.sha256(MESSAGE_ID.encode()).digest(),
        body=body_commitment(SALT, hashlib.sha256(body).digest()),
        conv=CONVERSATION,
        direction="out",
        event="message",
        message_id=MESSAGE_ID,
        master="0" * 64,
        seq=1,
        type=type,
    )
    log = MemoryLog.of([2])
    log.add([raw])
    acts: tuple[Any, ...] = ("request", "approve")
    evidence = AgreementEvidence(
        statement=stated,
        endorsements=tuple(endorse(name, act, stated) for name, act in zip(signers, acts, strict=False)),
        decision=document,
        partner=canonical(partner()),
    )
    request = SealRequest(
        type=type,
        iat=int(NOW.timestamp()),
        exp=int((NOW + timedelta(days=30)).timestamp()),
        aud=POLICE,
        enc_kid="enc-1",
        suite=SUITE,
        sig_profile="classic",
        jti=MESSAGE_ID,
        conv=CONVERSATION,
        seq=1,
        mode="operational",
        agreement=trusted(signed_agreement()).sha256,
        payload=body,
        entry=raw,
        entry_index=2,
        inclusion=tuple(tree.inclusion_proof(2, log.size, log.tiles).hashes),
        body_salt=SALT,
        terms=evidence,
    )
    leaves = tuple(tree.leaf_hash(one) for _, one in log.rows)
    head = CheckpointRequest(ORIGIN, log.size, tree.root(log.size, log.tiles), 0, (), leaves)
    return SealBatch(head, (request,))


def altered(**members: Any) -> SealBatch:
    """The honest batch with members of its evidence replaced: the gateway's own doing."""
    made = message()
    evidence = made.items[0].terms
    assert evidence is not None
    return with_request(made, terms=msgspec.structs.replace(evidence, **members))


def tokens(made: SealBatch) -> tuple[str, ...]:
    evidence = made.items[0].terms
    assert evidence is not None
    return evidence.endorsements


def forged(**terms: Any) -> AgreementPart:
    """Terms under a signature that is not of our agreement key."""
    signed = signed_agreement(OURS, version=2, **terms)
    raw = b64url_decode(signed.terms)
    return AgreementPart("offered", signed.terms, sign_terms(raw, KEYS["stranger"], f"{OURS}/agreement"))


@pytest.mark.parametrize("action", ["offered", "signed", "revoked"])
def test_what_is_sealed(action: AgreementAction) -> None:
    """Terms that our key signed, on two security officers' word; a revocation on one's."""
    made = message(part(action))
    (answer,) = authority(disk()).seal(made).results
    assert answer.code == "", answer.detail
    header = read_seal(answer.jws)
    assert (header.typ, header.payload_sha256) == (
        "ecluse-msg-agreement+jws",
        digest(made.items[0].payload),
    )


REFUSED: dict[str, tuple[str, Callable[[], SealBatch]]] = {
    "one person's offer": ("role-missing", lambda: message(signers=(FIRST,))),
    "one person twice": ("role-missing", lambda: message(signers=(FIRST, FIRST))),
    "an approver in the second place": ("role-missing", lambda: message(signers=(FIRST, "be-approver"))),
    "a requester in the first place": ("role-missing", lambda: message(signers=("be-requester", SECOND))),
    "an operator in the second place": ("role-missing", lambda: message(signers=(FIRST, "be-operator"))),
    "a stranger in the second place": ("signature-invalid", lambda: message(signers=(FIRST, "stranger"))),
    "a requester's revocation": (
        "role-missing",
        lambda: message(part("revoked"), signers=("be-requester",)),
    ),
    "a revocation of two": ("role-missing", lambda: message(part("revoked"), signers=(FIRST, SECOND))),
    "somebody else's key under the terms": ("signature-invalid", lambda: message(forged())),
    "terms with the partner's signature for ours": (
        "signature-invalid",
        lambda: message(AgreementPart("offered", *_theirs())),
    ),
    "terms that the signature is not under": (
        "signature-invalid",
        lambda: message(AgreementPart("offered", part(retention_days=9).terms, part().signature)),
    ),
    "terms with another party": (
        "wrong-audience",
        lambda: message(part(parties=(OURS, "nld.other"))),
    ),
    "a revocation of other terms": (
        "guard-refused",
        lambda: message(
            part("revoked"),
            payload=put("terms_sha256", "1" * 64),
            decision=put("agreement.terms_sha256", "1" * 64),
        ),
    ),
    "a text beside the terms": ("guard-refused", lambda: message(payload=put("note", "Zzemo Exemple"))),
    "other terms than decided": (
        "guard-refused",
        lambda: message(payload=put("terms", part(retention_days=9).terms)),
    ),
    "another requester than stated": (
        "signature-invalid",
        lambda: message(statement=put("requester", SECOND)),
    ),
    "under another version of the agreement": (
        "signature-invalid",
        lambda: message(decision=put("agreement_version", 2)),
    ),
    "a language nobody agreed on": (
        "role-missing",
        lambda: message(decision=put("envelope.language", "xx"), payload=put("language", "xx")),
    ),
    "another type by this evidence": (
        "role-missing",
        lambda: message(decision=put("envelope.type", "delay"), payload=put("type", "delay"), type="delay"),
    ),
    "no evidence": ("role-missing", lambda: with_request(message(), terms=None)),
    "a disclosure's evidence": (
        "role-missing",
        lambda: with_request(message(), terms=None, evidence=batch().items[0].evidence),
    ),
    "a coded answer's evidence": (
        "role-missing",
        lambda: with_request(message(), terms=None, reply=test_reply.reply().items[0].reply),
    ),
    "no endorsement": ("role-missing", lambda: altered(endorsements=())),
    "the endorsements the other way round": (
        "role-missing",
        lambda: altered(endorsements=tokens(message())[::-1]),
    ),
    "the first endorsement twice": (
        "role-missing",
        lambda: altered(endorsements=(tokens(message())[0],) * 2),
    ),
    "the second endorsement of another message": (
        "role-missing",
        lambda: altered(endorsements=(tokens(message())[0], tokens(message(part("signed")))[1])),
    ),
    "another partner's entry": ("signature-invalid", lambda: altered(partner=b"{}")),
    "another payload": (
        "audit-broken",
        lambda: with_request(message(), payload=message(part("signed")).items[0].payload),
    ),
}


def _theirs() -> tuple[str, str]:
    signed: SignedAgreement = signed_agreement(POLICE, version=2)
    return signed.terms, signed.signatures[POLICE]


@pytest.mark.parametrize("name", REFUSED)
def test_anything_else_is_refused(name: str) -> None:
    """Each attempt by its one code; nothing is signed."""
    code, make = REFUSED[name]
    assert refusal(make()) == code

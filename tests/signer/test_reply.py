"""What the signer demands before it seals a coded answer: one officer's word, and the log entry of what is answered.

As with recalls, an edit is what a colluding officer and a hostile gateway can do together; what the gateway can do
alone is done to the finished batch.
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
from gateway.flow.outbound import Draft
from gateway.flow.reply import Asked, prepare_reply
from gateway.model.decision import ConsentAbout
from gateway.model.message import ANSWERING, MessageType, Reply
from gateway.model.signing import Announced, CheckpointRequest, ReplyEvidence, SealBatch, SealRequest
from gateway.wire.hpke import SUITE
from gateway.wire.seal import read_seal
from tests.audit.logs import MemoryLog
from tests.policy.worlds import NOW, OURS, POLICE, world
from tests.signer import test_recall
from tests.signer.test_recall import SALT, believing
from tests.signer.world import (
    CONVERSATION,
    MESSAGE_ID,
    ORIGIN,
    OTHER_ID,
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
    trust,
    trusted,
    with_request,
)

ASKED = "1a1c7f0e-6a0e-4a53-9d57-0f3c1c2b7a01"
SILENT: tuple[MessageType, Reply] = ("no-information", Reply(ASKED))
REFUSED: tuple[MessageType, Reply] = ("refusal", Reply(ASKED, ground="incomplete"))
GRANTED: tuple[MessageType, Reply] = ("consent-answer", Reply(ASKED, consent="granted", until="2027-01-01"))


def prepared(said: tuple[MessageType, Reply], requester: str) -> PreparedCoded:
    """What the real code freezes for a request that came."""
    agreed, held = world().agreement, trusted(signed_agreement())
    assert agreed is not None
    kind, reply = said
    made = prepare_reply(
        Asked(reply.answers, POLICE, ANSWERING[kind]),
        kind,
        reply,
        Draft("release-9", MESSAGE_ID, CONVERSATION, "operational", bytes(range(32))),
        ours=OURS,
        requester=requester,
        partner=partner(),
        agreement=msgspec.structs.replace(agreed, sha256=held.sha256),
        language="fr",
        justification="withheld: synthetic",
        repeated=False,
        now=NOW,
        about=ConsentAbout(
            "release-1", OTHER_ID, "record-1", "bdc-person/1.0", ("/threat",), "ct-prevention", ""
        ),
    )
    assert isinstance(made, PreparedCoded)
    return made


def reply(
    said: tuple[MessageType, Reply] = SILENT,
    *,
    payload: Edit | None = None,
    decision: Edit | None = None,
    statement: Edit | None = None,
    signer: str = "be-requester",
    act: Any = "request",
    entry: dict[str, Any] | None = None,
    type: str = "",
) -> SealBatch:
    """A whole batch of one coded answer; ``entry`` alters what the log says of the message answered."""
    made = prepared(said, signer)
    type = type or said[0]
    body = payload(made.payload) if payload else made.payload
    document = recanonical(decision(made.document)) if decision else made.document
    bound = put("payload_sha256", digest(body), "decision_sha256", digest(document))(made.statement)
    stated = recanonical(statement(bound) if statement else bound)

    def announced(message_id: str, of: bytes, **members: Any) -> bytes:
        common: dict[str, Any] = {
            "at": NOW,
            "blind": hashlib.sha256(message_id.encode()).digest(),
            "body": body_commitment(SALT, hashlib.sha256(of).digest()),
            "conv": CONVERSATION,
            "event": "message",
            "message_id": message_id,
            "master": "0" * 64,
            "seq": 1,
        }
        return partner_entry(**(common | members))

    log = MemoryLog.of([2])
    raws = [
        announced(ASKED, b"asked", **({"direction": "in", "type": ANSWERING[said[0]]} | (entry or {}))),
        announced(MESSAGE_ID, body, direction="out", type=type),
    ]
    log.add(raws)

    def proof(index: int) -> tuple[bytes, ...]:
        return tuple(tree.inclusion_proof(index, log.size, log.tiles).hashes)

    evidence = ReplyEvidence(
        statement=stated,
        endorsement=endorse(signer, act, stated),
        decision=document,
        partner=canonical(partner()),
        answered=Announced(raws[0], 2, proof(2)),
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
        entry=raws[1],
        entry_index=3,
        inclusion=proof(3),
        body_salt=SALT,
        reply=evidence,
    )
    leaves = tuple(tree.leaf_hash(one) for _, one in log.rows)
    head = CheckpointRequest(ORIGIN, log.size, tree.root(log.size, log.tiles), 0, (), leaves)
    return SealBatch(head, (request,))


def evidence_of(made: SealBatch) -> ReplyEvidence:
    evidence = made.items[0].reply
    assert evidence is not None
    return evidence


def altered(**members: Any) -> SealBatch:
    """The honest batch with members of its evidence replaced: the gateway's own doing."""
    made = reply()
    return with_request(made, reply=msgspec.structs.replace(evidence_of(made), **members))


def moved(**members: Any) -> SealBatch:
    """The entry of the message answered, altered."""
    return altered(answered=msgspec.structs.replace(evidence_of(reply()).answered, **members))


# --- what is sealed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said", [SILENT, REFUSED, GRANTED, ("consent-answer", Reply(ASKED, consent="refused"))]
)
@pytest.mark.parametrize(
    "officer", ["be-requester", "be-approver", "be-both", "be-reader", "be-uncleared", "be-expired"]
)
def test_one_officer_is_enough(said: tuple[MessageType, Reply], officer: str) -> None:
    """Whoever works the inbox, or either of the two, whatever they are cleared for: nothing of content is in it."""
    made = reply(said, signer=officer)
    (answer,) = authority(disk()).seal(made).results
    assert answer.code == "", answer.detail
    header = read_seal(answer.jws)
    assert (header.typ, header.payload_sha256) == (
        f"ecluse-msg-{said[0]}+jws",
        digest(made.items[0].payload),
    )


# --- what is not -----------------------------------------------------------------------------------------------------

COLLUDING: dict[str, tuple[str, Callable[[], SealBatch]]] = {
    "a reason beside the id": ("guard-refused", lambda: reply(payload=put("reason", "Zzemo Exemple"))),
    "a ground beside the id": ("guard-refused", lambda: reply(payload=put("ground", "incomplete"))),
    "a label beside the id": ("guard-refused", lambda: reply(payload=put("label", {"policy": "BEL"}))),
    "another ground than decided": (
        "guard-refused",
        lambda: reply(REFUSED, payload=put("ground", "minor-offence")),
    ),
    "a ground that tells": (
        "request-invalid",
        lambda: reply(REFUSED, decision=put("reply.ground", "withheld"), payload=put("ground", "withheld")),
    ),
    "a ground of what has none": (
        "guard-refused",
        lambda: reply(decision=put("reply.ground", "incomplete"), payload=put("ground", "incomplete")),
    ),
    "another consent than decided": (
        "guard-refused",
        lambda: reply(GRANTED, payload=put("consent", "refused")),
    ),
    "a consent without its end": (
        "guard-refused",
        lambda: reply(GRANTED, payload=put("until", "2030-01-01")),
    ),
    "another request than decided": ("guard-refused", lambda: reply(payload=put("answers", OTHER_ID))),
    "a request that never came": (
        "audit-broken",
        lambda: reply(decision=put("reply.answers", OTHER_ID), payload=put("answers", OTHER_ID)),
    ),
    "an id that is a text": (
        "audit-broken",
        lambda: reply(decision=put("reply.answers", "Zzemo"), payload=put("answers", "Zzemo")),
    ),
    "another time than decided": (
        "guard-refused",
        lambda: reply(payload=put("created", "2026-11-21T20:59:59Z")),
    ),
    "made a year ago": (
        "request-invalid",
        lambda: reply(
            decision=put("envelope.created", "2025-11-21T21:00:00Z"),
            payload=put("created", "2025-11-21T21:00:00Z"),
        ),
    ),
    "of a slot to come": (
        "request-invalid",
        lambda: reply(
            decision=put("envelope.created", "2026-11-21T22:00:00Z"),
            payload=put("created", "2026-11-21T22:00:00Z"),
        ),
    ),
    "a language nobody agreed on": (
        "role-missing",
        lambda: reply(decision=put("envelope.language", "xx"), payload=put("language", "xx")),
    ),
    "under another version of the agreement": (
        "signature-invalid",
        lambda: reply(decision=put("agreement_version", 2)),
    ),
    "to another version of the partner": (
        "signature-invalid",
        lambda: reply(decision=put("partner_version", 2)),
    ),
    "a decision about another type": (
        "signature-invalid",
        lambda: reply(decision=put("envelope.type", "refusal")),
    ),
    "a recall by this evidence": (
        "role-missing",
        lambda: reply(decision=put("envelope.type", "recall"), payload=put("type", "recall"), type="recall"),
    ),
    "a type of no form yet": (
        "request-invalid",
        lambda: reply(decision=put("envelope.type", "delay"), payload=put("type", "delay"), type="delay"),
    ),
    "with an attachment": ("signature-invalid", lambda: reply(statement=put("attachments", ["0" * 64]))),
    "expired": ("conflict", lambda: reply(statement=put("not_after", "2026-11-21T21:00:00Z"))),
    "outlived by its seal": (
        "signature-invalid",
        lambda: reply(statement=put("not_after", "2026-11-22T21:00:00Z")),
    ),
    "an operator's": ("role-missing", lambda: reply(signer="be-operator")),
    "a security officer's": ("role-missing", lambda: reply(signer="be-security")),
    "a suspended officer's": ("signature-invalid", lambda: reply(signer="be-suspended")),
    "a revoked key's": ("signature-invalid", lambda: reply(signer="be-revoked")),
    "a stranger's": ("signature-invalid", lambda: reply(signer="stranger")),
    "an approval": ("role-missing", lambda: reply(act="approve")),
    "another requester than stated": (
        "signature-invalid",
        lambda: reply(statement=put("requester", "be-both")),
    ),
    "of a disclosure": ("request-invalid", lambda: reply(entry={"type": "disclosure"})),
    "of a request for consent": ("request-invalid", lambda: reply(entry={"type": "consent-request"})),
    "a consent to a request": ("request-invalid", lambda: reply(GRANTED, entry={"type": "request"})),
    "of a request of ours": ("audit-broken", lambda: reply(entry={"direction": "out"})),
    "of a receipt": ("audit-broken", lambda: reply(entry={"event": "receipt", "type": "receipt"})),
}

ALONE: dict[str, tuple[str, Callable[[], SealBatch]]] = {
    "no evidence": ("role-missing", lambda: with_request(reply(), reply=None)),
    "a disclosure's evidence": (
        "role-missing",
        lambda: with_request(reply(), reply=None, evidence=batch().items[0].evidence),
    ),
    "a recall's evidence": (
        "role-missing",
        lambda: with_request(reply(), reply=None, recall=test_recall.recall().items[0].recall),
    ),
    "both kinds of evidence": (
        "role-missing",
        lambda: with_request(reply(), recall=test_recall.recall().items[0].recall),
    ),
    "no endorsement": ("malformed", lambda: altered(endorsement="")),
    "the endorsement of another answer": (
        "role-missing",
        lambda: altered(endorsement=evidence_of(reply(REFUSED)).endorsement),
    ),
    "another statement": (
        "signature-invalid",
        lambda: altered(statement=evidence_of(reply(REFUSED)).statement),
    ),
    "another decision": ("signature-invalid", lambda: altered(decision=evidence_of(reply(REFUSED)).decision)),
    "another partner's entry": ("signature-invalid", lambda: altered(partner=b"{}")),
    "an entry at another place": ("audit-broken", lambda: moved(index=1)),
    "an entry beyond the head": ("audit-broken", lambda: moved(index=99)),
    "an entry without proof": ("audit-broken", lambda: moved(inclusion=())),
    "an entry that is none": ("audit-broken", lambda: moved(entry=b"{}")),
    "its own entry": ("audit-broken", lambda: moved(entry=reply().items[0].entry, index=3)),
    "another payload": (
        "audit-broken",
        lambda: with_request(reply(), payload=reply(REFUSED).items[0].payload),
    ),
    "another key of the partner": ("request-invalid", lambda: with_request(reply(), enc_kid="enc-2")),
    "another mode": ("signature-invalid", lambda: with_request(reply(), mode="exercise")),
    "sealed for longer": (
        "signature-invalid",
        lambda: with_request(reply(), exp=int((NOW + timedelta(days=30, seconds=1)).timestamp())),
    ),
}


@pytest.mark.parametrize("name", [*COLLUDING, *ALONE])
def test_anything_else_is_refused(name: str) -> None:
    """Each attempt by its one code; nothing is signed."""
    code, make = (COLLUDING | ALONE)[name]
    assert refusal(make()) == code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"suspended": True}, "signature-invalid"),
        ({"roles": ("reviewer",)}, "role-missing"),
        ({"roles": ("inbox", "operator")}, "role-missing"),
    ],
)
def test_the_officer_counts_as_of_now(change: dict[str, Any], code: str) -> None:
    """Who may answer is what the signer believes when it seals."""
    assert refusal(reply(), believing(**change)) == code


def test_a_changed_partner_voids_it() -> None:
    """The signature binds the entry whose keys the answer is encrypted to."""
    other = partner(endpoint="https://elsewhere.invalid")
    assert refusal(reply(), disk(trust(partners={POLICE: other}))) == "conflict"

"""What the signer demands before it seals a recall: one officer's word over two ids and a code, and log entries.

As with releases, an edit is what a colluding officer and a hostile gateway can do together; what the gateway can do
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
from gateway.flow.correction import prepare_correction
from gateway.flow.outbound import Draft
from gateway.flow.recall import Sent, prepare_recall
from gateway.model.message import Correction, Recall
from gateway.model.signing import Announced, CheckpointRequest, RecallEvidence, SealBatch, SealRequest
from gateway.wire.hpke import SUITE
from gateway.wire.seal import read_seal
from tests.audit.logs import MemoryLog
from tests.policy.worlds import NOW, OURS, POLICE, world
from tests.signer.world import (
    CONVERSATION,
    MESSAGE_ID,
    ORIGIN,
    OTHER_ID,
    Disk,
    Edit,
    authority,
    batch,
    disk,
    endorse,
    partner,
    people,
    put,
    recanonical,
    refusal,
    signed_agreement,
    trust,
    trusted,
    with_request,
)

RECALLED = "1a1c7f0e-6a0e-4a53-9d57-0f3c1c2b7a01"
INSTEAD = "2b2c7f0e-6a0e-4a53-9d57-0f3c1c2b7a02"
SALT = hashlib.sha256(b"salt of a recall").digest()
WITHDRAWN, REPLACED = Recall(RECALLED, "withdrawn"), Recall(RECALLED, "replaced", INSTEAD)


def prepared(said: Recall | Correction = WITHDRAWN, requester: str = "be-requester") -> PreparedCoded:
    """What the real code freezes for a delivered message."""
    agreed, held = world().agreement, trusted(signed_agreement())
    assert agreed is not None
    prepare: Callable[..., Any] = prepare_correction if isinstance(said, Correction) else prepare_recall
    made = prepare(
        Sent(RECALLED, "release-1", POLICE, "disclosure", "delivered"),
        said,
        Sent(INSTEAD, "release-2", POLICE, "disclosure", "delivered") if said.replaced_by else None,
        Draft("release-9", MESSAGE_ID, CONVERSATION, "operational", bytes(range(32))),
        ours=OURS,
        requester=requester,
        partner=partner(),
        agreement=msgspec.structs.replace(agreed, sha256=held.sha256),
        language="fr",
        justification="synthetic",
        repeated=False,
        now=NOW,
    )
    assert isinstance(made, PreparedCoded)
    return made


def recall(
    said: Recall | Correction = WITHDRAWN,
    *,
    payload: Edit | None = None,
    decision: Edit | None = None,
    statement: Edit | None = None,
    signer: str = "be-requester",
    act: Any = "request",
    entry: dict[str, Any] | None = None,
    type: str = "",
) -> SealBatch:
    """A whole batch of one recall or correction; ``entry`` alters what the log says of the message it is about."""
    made = prepared(said, requester=signer)
    type = type or ("correction" if isinstance(said, Correction) else "recall")
    body = payload(made.payload) if payload else made.payload
    document = recanonical(decision(made.document)) if decision else made.document
    bound = put("payload_sha256", digest(body), "decision_sha256", digest(document))(made.statement)
    stated = recanonical(statement(bound) if statement else bound)

    def announced(message_id: str, of: bytes, seq: int, **members: Any) -> bytes:
        common: dict[str, Any] = {
            "at": NOW,
            "blind": hashlib.sha256(message_id.encode()).digest(),
            "body": body_commitment(SALT, hashlib.sha256(of).digest()),
            "conv": CONVERSATION,
            "direction": "out",
            "event": "message",
            "message_id": message_id,
            "master": "0" * 64,
            "seq": seq,
            "type": "disclosure",
        }
        return partner_entry(**(common | members))

    log = MemoryLog.of([2])
    raws = [
        announced(RECALLED, b"first", 1, **(entry or {})),
        announced(INSTEAD, b"second", 2),
        announced(MESSAGE_ID, body, 1, type=type),
    ]
    log.add(raws)

    def proof(index: int) -> tuple[bytes, ...]:
        return tuple(tree.inclusion_proof(index, log.size, log.tiles).hashes)

    named = (2, 3) if said.replaced_by else (2,)
    evidence = RecallEvidence(
        statement=stated,
        endorsement=endorse(signer, act, stated),
        decision=document,
        partner=canonical(partner()),
        announced=tuple(Announced(raws[index - 2], index, proof(index)) for index in named),
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
        entry=raws[2],
        entry_index=4,
        inclusion=proof(4),
        body_salt=SALT,
        recall=evidence,
    )
    leaves = tuple(tree.leaf_hash(one) for _, one in log.rows)
    return SealBatch(
        CheckpointRequest(ORIGIN, log.size, tree.root(log.size, log.tiles), 0, (), leaves), (request,)
    )


def evidence_of(made: SealBatch) -> RecallEvidence:
    evidence = made.items[0].recall
    assert evidence is not None
    return evidence


def altered(**members: Any) -> SealBatch:
    """The honest batch with members of its evidence replaced: the gateway's own doing."""
    made = recall(REPLACED)
    return with_request(made, recall=msgspec.structs.replace(evidence_of(made), **members))


def moved(place: int, **members: Any) -> SealBatch:
    """One of the two entries of a replacement, altered."""
    announced = list(evidence_of(recall(REPLACED)).announced)
    announced[place] = msgspec.structs.replace(announced[place], **members)
    return altered(announced=tuple(announced))


def believing(**roles: Any) -> Disk:
    """A signer that believes other things of the requester."""
    officers = people()
    officers["be-requester"] = msgspec.structs.replace(officers["be-requester"], **roles)
    return disk(trust(officers=officers))


# --- what is sealed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [WITHDRAWN, REPLACED, Recall(RECALLED, "expired")])
@pytest.mark.parametrize("officer", ["be-requester", "be-approver", "be-both", "be-uncleared", "be-expired"])
def test_one_officer_is_enough(said: Recall, officer: str) -> None:
    """Requester or approver, whatever they are cleared for: a recall holds nothing that a clearance is about."""
    made = recall(said, signer=officer)
    (answer,) = authority(disk()).seal(made).results
    assert answer.code == "", answer.detail
    header = read_seal(answer.jws)
    assert (header.typ, header.payload_sha256) == ("ecluse-msg-recall+jws", digest(made.items[0].payload))


# --- what is not -----------------------------------------------------------------------------------------------------

COLLUDING: dict[str, tuple[str, Callable[[], SealBatch]]] = {
    "a reason beside the ids": ("guard-refused", lambda: recall(payload=put("reason", "Zzemo Exemple"))),
    "a label beside the ids": ("guard-refused", lambda: recall(payload=put("label", {"policy": "BEL"}))),
    "a message in its place, unsaid": ("guard-refused", lambda: recall(payload=put("replaced_by", INSTEAD))),
    "another message than decided": ("guard-refused", lambda: recall(payload=put("recalls", INSTEAD))),
    "another action than decided": ("guard-refused", lambda: recall(payload=put("action", "expired"))),
    "another time than decided": (
        "guard-refused",
        lambda: recall(payload=put("created", "2026-11-21T20:59:59Z")),
    ),
    "an unknown action": ("request-invalid", lambda: recall(decision=put("recall.action", "deleted"))),
    "an id that is a text": (
        "audit-broken",
        lambda: recall(decision=put("recall.recalls", "Zzemo"), payload=put("recalls", "Zzemo")),
    ),
    "withdrawn for another": (
        "audit-broken",
        lambda: recall(decision=put("recall.replaced_by", INSTEAD), payload=put("replaced_by", INSTEAD)),
    ),
    "replaced by nothing": (
        "guard-refused",
        lambda: recall(decision=put("recall.action", "replaced"), payload=put("action", "replaced")),
    ),
    "a message never announced": (
        "audit-broken",
        lambda: recall(decision=put("recall.recalls", OTHER_ID), payload=put("recalls", OTHER_ID)),
    ),
    "a language nobody agreed on": (
        "role-missing",
        lambda: recall(decision=put("envelope.language", "xx"), payload=put("language", "xx")),
    ),
    "made a year ago": (
        "request-invalid",
        lambda: recall(
            decision=put("envelope.created", "2025-11-21T21:00:00Z"),
            payload=put("created", "2025-11-21T21:00:00Z"),
        ),
    ),
    "made tomorrow": (
        "request-invalid",
        lambda: recall(
            decision=put("envelope.created", "2026-11-22T21:00:00Z"),
            payload=put("created", "2026-11-22T21:00:00Z"),
        ),
    ),
    "under another version of the agreement": (
        "signature-invalid",
        lambda: recall(decision=put("agreement_version", 2)),
    ),
    "to another version of the partner": (
        "signature-invalid",
        lambda: recall(decision=put("partner_version", 2)),
    ),
    "a decision about another type": (
        "signature-invalid",
        lambda: recall(decision=put("envelope.type", "refusal")),
    ),
    "another coded type": (
        "role-missing",
        lambda: recall(
            decision=put("envelope.type", "refusal"), payload=put("type", "refusal"), type="refusal"
        ),
    ),
    "with an attachment": ("signature-invalid", lambda: recall(statement=put("attachments", ["0" * 64]))),
    "expired": ("conflict", lambda: recall(statement=put("not_after", "2026-11-21T21:00:00Z"))),
    "outlived by its seal": (
        "signature-invalid",
        lambda: recall(statement=put("not_after", "2026-11-22T21:00:00Z")),
    ),
    "an inbox officer's": ("role-missing", lambda: recall(signer="be-reader")),
    "an operator's": ("role-missing", lambda: recall(signer="be-operator")),
    "a security officer's": ("role-missing", lambda: recall(signer="be-security")),
    "a suspended officer's": ("signature-invalid", lambda: recall(signer="be-suspended")),
    "a revoked key's": ("signature-invalid", lambda: recall(signer="be-revoked")),
    "a stranger's": ("signature-invalid", lambda: recall(signer="stranger")),
    "an approval": ("role-missing", lambda: recall(act="approve")),
    "another requester than stated": (
        "signature-invalid",
        lambda: recall(statement=put("requester", "be-both")),
    ),
    "of a void": ("request-invalid", lambda: recall(entry={"type": "void"})),
    "of a recall": ("request-invalid", lambda: recall(entry={"type": "recall"})),
    "of a message received": ("audit-broken", lambda: recall(entry={"direction": "in"})),
    "of a receipt": ("audit-broken", lambda: recall(entry={"event": "receipt", "type": "receipt"})),
}

ALONE: dict[str, tuple[str, Callable[[], SealBatch]]] = {
    "no evidence": ("role-missing", lambda: with_request(recall(), recall=None)),
    "a disclosure's evidence": (
        "role-missing",
        lambda: with_request(recall(), recall=None, evidence=batch().items[0].evidence),
    ),
    "both kinds of evidence": (
        "role-missing",
        lambda: with_request(recall(), evidence=batch().items[0].evidence),
    ),
    "no endorsement": ("malformed", lambda: altered(endorsement="")),
    "the endorsement of another recall": (
        "role-missing",
        lambda: altered(endorsement=evidence_of(recall(WITHDRAWN)).endorsement),
    ),
    "another statement": ("signature-invalid", lambda: altered(statement=evidence_of(recall()).statement)),
    "another decision": ("signature-invalid", lambda: altered(decision=evidence_of(recall()).decision)),
    "another partner's entry": ("signature-invalid", lambda: altered(partner=b"{}")),
    "no entries": ("audit-broken", lambda: altered(announced=())),
    "one entry for two": (
        "audit-broken",
        lambda: altered(announced=evidence_of(recall(REPLACED)).announced[:1]),
    ),
    "entries swapped": (
        "audit-broken",
        lambda: altered(announced=evidence_of(recall(REPLACED)).announced[::-1]),
    ),
    "an entry at another place": ("audit-broken", lambda: moved(0, index=3)),
    "an entry beyond the head": ("audit-broken", lambda: moved(0, index=99)),
    "an entry without proof": ("audit-broken", lambda: moved(1, inclusion=())),
    "an entry that is none": ("audit-broken", lambda: moved(1, entry=b"{}")),
    "another payload": (
        "audit-broken",
        lambda: with_request(recall(), payload=recall(REPLACED).items[0].payload),
    ),
    "another key of the partner": ("request-invalid", lambda: with_request(recall(), enc_kid="enc-2")),
    "another mode": ("signature-invalid", lambda: with_request(recall(), mode="exercise")),
    "sealed for longer": (
        "signature-invalid",
        lambda: with_request(recall(), exp=int((NOW + timedelta(days=30, seconds=1)).timestamp())),
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
        ({"roles": ("inbox",)}, "role-missing"),
        ({"roles": ("requester", "operator")}, "role-missing"),
    ],
)
def test_the_officer_counts_as_of_now(change: dict[str, Any], code: str) -> None:
    """Who may recall is what the signer believes when it seals."""
    assert refusal(recall(), believing(**change)) == code


def test_a_changed_partner_voids_it() -> None:
    """The signature binds the entry whose keys the recall is encrypted to."""
    other = partner(endpoint="https://elsewhere.invalid")
    assert refusal(recall(), disk(trust(partners={POLICE: other}))) == "conflict"

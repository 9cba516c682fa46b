"""The closed table of what the signer refuses: group, code, and how to come to it.

It reads as who could have done it: what a hostile gateway alters after the officers have signed, what it and two
colluding officers prepare together ("endorsed", "decided anew", "announced": everything that binds to the alteration
was made to fit), and what has changed in the signer's own trust since.
"""

from __future__ import annotations

import json
from datetime import timedelta

from gateway.model.agreement import Ceiling
from gateway.model.signing import AgreementEvidence, Announced, RecallEvidence, ReplyEvidence
from gateway.wire.strict import b64url
from tests.policy.worlds import NOW, OURS, POLICE
from tests.signer.attempts import (
    CLASSIFIED,
    LIFT,
    Rows,
    after_record,
    agreed,
    approval_by,
    believing,
    bytes_of_statement,
    change_approval,
    decided,
    encryption_key,
    endorsed,
    label_part,
    outcome_of,
    released,
    request_by,
    revoke,
    revoked_key,
    stated,
    swapped_payload,
    two,
    two_keys,
    under,
    under_leaves,
    with_officer,
    with_partner,
)
from tests.signer.uncovered import UNCOVERED
from tests.signer.world import (
    NEIGHBOUR,
    OTHER_ID,
    SIGNED,
    batch,
    endorse,
    evidence_of,
    partner,
    protocol,
    put,
    release,
    with_evidence,
    with_head,
    with_request,
)

IAT = int(NOW.timestamp())
NOT_AFTER = IAT + 30 * 86_400

#: What the officers signed, swapped after they did; and statements they should not have signed.
STATEMENT: Rows = {
    "request-invalid": {
        "v": lambda: stated(v=2),
        "extra member": lambda: stated(note=""),
        "missing": lambda: with_evidence(batch(), statement=b""),
        "no UTF-8": lambda: bytes_of_statement(lambda raw: raw[:-2] + b'\xff"}'),
        "nested without end": lambda: bytes_of_statement(lambda raw: b"[" * 100000),
        "with a space": lambda: bytes_of_statement(lambda raw: raw + b" "),
        "a member twice": lambda: bytes_of_statement(lambda raw: b'{"requester":"be-both",' + raw[1:]),
    },
    "role-missing": {
        "release": lambda: stated(release="release-2"),
        "requester": lambda: stated(requester="be-both"),
        "not_after later": lambda: stated(not_after="2027-12-21T21:00:00Z"),
        "nonce": lambda: stated(nonce=b64url(bytes(32))),
    },
    "signature-invalid": {
        "message_id": lambda: stated(message_id=OTHER_ID),
        "payload_sha256": lambda: stated(payload_sha256="0" * 64),
        "attachments": lambda: stated(attachments=["0" * 64]),
        "partner_keys": lambda: stated(partner_keys="0" * 64),
        "decision_sha256": lambda: stated(decision_sha256="0" * 64),
        "signed with attachments": lambda: batch(statement=put("attachments", ["0" * 64])),
        "signed for another message": lambda: batch(statement=put("message_id", OTHER_ID)),
        "payload bound to the decision": lambda: batch(
            statement=lambda raw: put("payload_sha256", json.loads(raw)["decision_sha256"])(raw)
        ),
        "payload bound to the partner": lambda: batch(
            statement=lambda raw: put("payload_sha256", json.loads(raw)["partner_keys"])(raw)
        ),
    },
    "conflict": {
        "not_after past": lambda: stated(not_after="2026-11-21T21:00:00Z"),
        "signed, expired": lambda: batch(statement=put("not_after", "2026-11-21T21:00:00Z")),
    },
    "malformed": {
        "not_after unreadable": lambda: stated(not_after="tomorrow"),
    },
}

#: The decision: swapped, or endorsed as it should not have been decided. Every single leaf has its own test.
DECISION: Rows = {
    "signature-invalid": {
        "missing": lambda: with_evidence(batch(), decision=b""),
        "endorsed, other type": lambda: batch(decision=put("envelope.type", "answer")),
        "endorsed, other mode": lambda: batch(decision=put("envelope.mode", "test")),
        "endorsed, other message": lambda: batch(decision=put("envelope.message_id", OTHER_ID)),
        "endorsed, other conversation": lambda: batch(decision=put("envelope.conversation", OTHER_ID)),
        "endorsed, other sender": lambda: batch(decision=put("envelope.from", POLICE)),
        "endorsed, other addressee": lambda: batch(decision=put("envelope.to", NEIGHBOUR)),
        "endorsed, other partner": lambda: batch(decision=put("partner", NEIGHBOUR)),
        "endorsed, other agreement": lambda: batch(decision=put("agreement_sha256", "0" * 64)),
        "endorsed, no record": lambda: batch(decision=put("records", [])),
        "endorsed, other record": lambda: batch(decision=put("records.0.record_sha256", "0" * 64)),
    },
    "request-invalid": {
        "endorsed garbage": lambda: decided(b"{}"),
        "endorsed, effect": lambda: batch(decision=put("effect", "DENY")),
    },
    "guard-refused": {
        "endorsed, a member twice": lambda: decided(lambda raw: b'{"v":1,' + raw[1:]),
        "endorsed, other time": lambda: batch(decision=put("envelope.created", "2026-11-21T20:00:00Z")),
        "endorsed, kept less long": lambda: batch(decision=put("handling.retention_until", "2026-11-22")),
        "endorsed, other kind": lambda: batch(decision=put("records.0.kind", "other/1.0")),
        "endorsed, other levels": lambda: batch(decision=put("levels_version", "1999")),
        "endorsed, class X released": lambda: batch(decision=released("/validation")),
        "endorsed, class C released without a lift": lambda: batch(decision=released("/national_number")),
        "endorsed, a field released that is not in the bytes": lambda: batch(
            decision=released("/addresses/0")
        ),
        "endorsed, a field withheld that is in the bytes": lambda: batch(
            decision=outcome_of("/threat", "withheld")
        ),
        "endorsed, a field that is not there": lambda: batch(
            decision=put("records.0.fields.0.pointer", "/nowhere")
        ),
    },
    "conflict": {
        "endorsed, other policy": lambda: batch(decision=put("policy_sha256", "0" * 64)),
        "endorsed, no policy": lambda: batch(decision=put("policy_sha256", "")),
    },
}

#: The record bytes: swapped after the approval, or decided anew while the bytes to send stay.
RECORD: Rows = {
    "signature-invalid": {
        "missing": lambda: with_evidence(batch(), records=()),
        "twice": lambda: with_evidence(batch(), records=evidence_of(batch()).records * 2),
        "one too many": lambda: with_evidence(batch(), records=(*evidence_of(batch()).records, b"{}")),
        "content": lambda: after_record(put("content.sex", "F")),
        "entity": lambda: after_record(put("entity_id", "BDC-000009")),
        "label": lambda: after_record(put("labels.0.label.level", "SECRET")),
    },
    "guard-refused": {
        "decided anew, value": lambda: batch(record=put("content.sex", "F")),
        "decided anew, entity": lambda: batch(record=put("entity_id", "BDC-000009")),
        "decided anew, label raised": lambda: batch(record=put("labels.0.label.level", "RESTREINT")),
        "decided anew, label above the ceiling": lambda: batch(
            record=put("labels.0.label.level", "TRES SECRET")
        ),
        "decided anew, released to nobody": lambda: batch(record=put("labels.0.label.releasable_to", [])),
        "decided anew, unlabelled": lambda: batch(record=put("labels.0.label", None)),
        "decided anew, no label entry": lambda: batch(record=put("labels", [])),
        "decided anew, embargo": lambda: batch(record=put("labels.0.label.embargo", True)),
        "decided anew, no foreign": lambda: batch(record=put("labels.0.label.no_foreign", True)),
    },
    "role-missing": {
        "decided anew, unknown kind": lambda: batch(record=put("kind", "other/1.0")),
        "decided anew, unknown level": lambda: batch(record=put("labels.0.label.level", "HIGH")),
    },
    "request-invalid": {
        "decided anew, not a record": lambda: batch(record=put("kind", 7)),
    },
}

NO_RECALL = RecallEvidence(statement=b"", endorsement="", decision=b"", partner=b"", announced=())
NO_REPLY = ReplyEvidence(
    statement=b"", endorsement="", decision=b"", partner=b"", answered=Announced(b"", 0, ())
)
NO_TERMS = AgreementEvidence(statement=b"", endorsements=(), decision=b"", partner=b"")

#: Each member of the request; "announced" means that the log entry was made to fit.
REQUEST: Rows = {
    "audit-broken": {
        "type of another class": lambda: with_request(batch(), type="void"),
        "jti": lambda: with_request(batch(), jti=OTHER_ID),
        "conv": lambda: with_request(batch(), conv=OTHER_ID),
        "seq": lambda: with_request(batch(), seq=2),
        "payload": lambda: with_request(batch(), payload=batch().items[0].payload + b" "),
        "payload empty": lambda: with_request(batch(), payload=b""),
    },
    "signature-invalid": {
        "type, announced": lambda: batch(type="answer"),
        "exp beyond the approval": lambda: with_request(batch(), exp=NOT_AFTER + 1),
        "jti, announced": lambda: with_request(batch(entry={"message_id": OTHER_ID}), jti=OTHER_ID),
        "conv, announced": lambda: with_request(batch(entry={"conv": OTHER_ID}), conv=OTHER_ID),
        "mode": lambda: with_request(batch(), mode="exercise"),
        "payload, announced": lambda: swapped_payload(),
    },
    "request-invalid": {
        "type unknown": lambda: with_request(batch(), type="gossip"),
        "type nobody sends": lambda: protocol("ping"),
        "type nobody sends, with evidence": lambda: batch(type="ping"),
        "iat early": lambda: with_request(batch(), iat=IAT - 301),
        "iat late": lambda: with_request(batch(), iat=IAT + 301),
        "exp past": lambda: with_request(batch(), iat=IAT - 300, exp=IAT),
        "exp before iat": lambda: with_request(batch(), iat=IAT + 300, exp=IAT + 299),
        "exp beyond any message": lambda: with_request(batch(), exp=NOT_AFTER + 301),
        "enc_kid": lambda: with_request(batch(), enc_kid="enc-2"),
        "enc_kid of another use": lambda: with_request(batch(), enc_kid=f"{POLICE}/agreement"),
        "suite": lambda: with_request(batch(), suite="jwe-ecdh-es-a256gcm"),
        "sig_profile": lambda: with_request(batch(), sig_profile="hybrid"),
    },
    "not-found": {
        "aud unknown": lambda: with_request(batch(), aud="fra.nowhere"),
        "aud ourselves": lambda: with_request(batch(), aud=OURS),
        "agreement unknown": lambda: with_request(batch(), agreement="0" * 64),
        "agreement empty": lambda: with_request(batch(), agreement=""),
    },
    "role-missing": {
        "aud another partner": lambda: with_request(batch(), aud=NEIGHBOUR),
        "evidence missing": lambda: with_request(batch(), evidence=None),
        "type, protocol with evidence": lambda: batch(type="void"),
        "type, protocol decided on": lambda: batch(
            type="void", decision=put("envelope.type", "void"), signed=SIGNED[:1]
        ),
        "type, coded by one officer": lambda: batch(
            type="refusal", decision=put("envelope.type", "refusal"), signed=SIGNED[:1]
        ),
        "recall, beside a disclosure": lambda: with_request(batch(), recall=NO_RECALL),
        "recall, of a protocol message": lambda: with_request(protocol("void"), recall=NO_RECALL),
        "reply, beside a disclosure": lambda: with_request(batch(), reply=NO_REPLY),
        "reply, of a protocol message": lambda: with_request(protocol("void"), reply=NO_REPLY),
        "terms, beside a disclosure": lambda: with_request(batch(), terms=NO_TERMS),
        "terms, of a protocol message": lambda: with_request(protocol("void"), terms=NO_TERMS),
    },
}

#: The log entry and its proof.
ENTRY: Rows = {
    "audit-broken": {
        "missing": lambda: with_request(batch(), entry=b""),
        "body": lambda: batch(entry={"body": "0" * 64}),
        "conv": lambda: batch(entry={"conv": OTHER_ID}),
        "direction": lambda: batch(entry={"direction": "in"}),
        "event": lambda: batch(entry={"event": "receipt"}),
        "message": lambda: batch(entry={"message_id": OTHER_ID}),
        "seq": lambda: batch(entry={"seq": 2}),
        "type": lambda: batch(entry={"type": "ping"}),
        "from the future": lambda: batch(entry={"at": NOW + timedelta(seconds=301)}),
        "not in the log": lambda: with_request(
            batch(), entry=batch(entry={"master": "1" * 64}).items[0].entry
        ),
        "index before": lambda: with_request(batch(), entry_index=1),
        "index outside": lambda: with_request(batch(), entry_index=5),
        "index negative": lambda: with_request(batch(), entry_index=-1),
        "proof missing": lambda: with_request(batch(), inclusion=()),
        "proof too long": lambda: with_request(batch(), inclusion=(*batch().items[0].inclusion, bytes(32))),
        "proof too short": lambda: with_request(batch(), inclusion=batch().items[0].inclusion[:-1]),
        "proof of odd hashes": lambda: with_request(batch(), inclusion=(b"", b"", b"")),
        "salt": lambda: with_request(batch(), body_salt=bytes(32)),
        "salt of another length": lambda: with_request(batch(), body_salt=b""),
    },
}

#: The head it stands under.
HEAD: Rows = {
    "audit-broken": {
        "of the master log": lambda: with_head(batch(), origin=f"ecluse/{OURS}/master"),
        "of another partner's log": lambda: with_head(batch(), origin=f"ecluse/{OURS}/partner/{NEIGHBOUR}"),
        "root": lambda: with_head(batch(), root=bytes(32)),
        "root of another length": lambda: with_head(batch(), root=b""),
        "size before the entry": lambda: under_leaves(0, 1),
        "size of another log": lambda: with_head(batch(), size=6),
        "entries in another order": lambda: under_leaves(0, 1, 3, 2, 4),
        "an entry more": lambda: under_leaves(0, 1, 2, 3, 4, 0),
        "without its entries": lambda: with_head(batch(), first=()),
        "size negative": lambda: with_head(batch(), size=-1),
    },
    "request-invalid": {
        "of another organisation": lambda: with_head(batch(), origin=f"ecluse/{POLICE}/partner/{OURS}"),
        "size zero": lambda: with_head(batch(), size=0),
    },
}

#: Who signed, as what, with which key.
ENDORSEMENTS: Rows = {
    "role-missing": {
        "none": lambda: with_evidence(batch(), endorsements=()),
        "request alone": lambda: endorsed(request_by("be-requester")),
        "approval alone": lambda: endorsed(approval_by("be-approver")),
        "one too many": lambda: endorsed(
            request_by("be-requester"), approval_by("be-approver"), approval_by("be-both")
        ),
        "swapped": lambda: endorsed(approval_by("be-approver"), request_by("be-requester")),
        "request twice": lambda: endorsed(request_by("be-requester"), request_by("be-requester")),
        "approver signed a request": lambda: endorsed(request_by("be-requester"), request_by("be-approver")),
        "over another statement": lambda: endorsed(
            request_by("be-requester"), lambda raw: endorse("be-approver", "approve", raw + b" ")
        ),
        "from tomorrow": lambda: endorsed(
            request_by("be-requester"),
            lambda raw: endorse("be-approver", "approve", raw, at=NOW + timedelta(days=1)),
        ),
        "requester approves": lambda: two("be-both", "be-both"),
        "requester approves with a second key of the same entry": two_keys,
        "requester approves with another key": lambda: two("be-requester", "be-second-key"),
        "second key requests, first approves": lambda: two("be-second-key", "be-requester"),
        "requester without the role": lambda: two("be-approver", "be-both"),
        "approver without the role": lambda: two("be-requester", "be-reader"),
        "operator approves": lambda: two("be-requester", "be-operator"),
        "operator requests": lambda: two("be-operator", "be-approver"),
        "clearance expired": lambda: batch(
            release(CLASSIFIED), signed=(("be-requester", "request"), ("be-expired", "approve"))
        ),
        "no clearance": lambda: batch(
            release(CLASSIFIED), signed=(("be-requester", "request"), ("be-uncleared", "approve"))
        ),
        "lift without a lift approver": lambda: batch(
            release(LIFT), signed=(("be-requester", "request"), ("be-both", "approve"))
        ),
    },
    "malformed": {
        "empty token": lambda: endorsed(request_by("be-requester"), lambda _: ""),
        "no token": lambda: endorsed(request_by("be-requester"), lambda _: "é.é.é"),
    },
    "signature-invalid": {
        "by a key of nobody": lambda: endorsed(request_by("be-requester"), approval_by("stranger")),
        "by a key of nobody in an officer's name": lambda: endorsed(
            request_by("be-requester"), approval_by("stranger", says="be-approver")
        ),
        "in another officer's name": lambda: endorsed(
            request_by("be-requester"), approval_by("be-both", says="be-approver")
        ),
        "approval of a change": lambda: endorsed(request_by("be-requester"), change_approval),
        "request by another than named": lambda: batch(
            signed=(("be-both", "request"), ("be-approver", "approve"))
        ),
        "suspended officer": lambda: two("be-requester", "be-suspended"),
        "revoked key": lambda: two("be-requester", "be-revoked"),
    },
}

#: What the signer's own trust says since: two officers approved it, and it is over.
SINCE: Rows = {
    "signature-invalid": {
        "approver suspended": lambda: with_officer(batch(), "be-approver", suspended=True),
        "approver's key revoked": lambda: with_officer(batch(), "be-approver", **revoked_key("be-approver")),
        "nobody is an officer": lambda: believing(batch(), officers={}),
        "partner's agreement key revoked": lambda: with_partner(batch(), keys=revoke("agreement")),
    },
    "role-missing": {
        "agreement with another partner": lambda: agreed(OURS, NEIGHBOUR, parties=(OURS, NEIGHBOUR)),
        "approver's role taken away": lambda: with_officer(batch(), "be-approver", roles=("inbox",)),
        "approver became operator": lambda: with_officer(
            batch(), "be-approver", roles=("approver", "operator")
        ),
        "requester's role taken away": lambda: with_officer(batch(), "be-requester", roles=()),
        "approver's need to know gone": lambda: with_officer(batch(), "be-approver", need_to_know=()),
        "requester needs to know another kind": lambda: with_officer(
            batch(), "be-requester", need_to_know=("other", "bdc")
        ),
        "requester's clearance gone": lambda: with_officer(
            batch(release(CLASSIFIED)), "be-requester", clearance=None
        ),
        "both turn out to be one person": lambda: with_officer(
            batch(), "be-approver", person="person-be-requester"
        ),
        "agreement ended": lambda: agreed(not_after=NOW),
        "agreement not begun": lambda: agreed(not_before=NOW + timedelta(seconds=1)),
        "agreement without their signature": lambda: agreed(OURS),
        "agreement without our signature": lambda: agreed(POLICE),
    },
    "not-found": {
        "partner stopped": lambda: with_partner(batch(), stopped=True),
        "agreement unknown": lambda: believing(batch(), agreements={}),
        "agreement revoked": lambda: agreed(revoked=True),
    },
    "conflict": {
        "policy changed": lambda: believing(batch(), policy_sha256="0" * 64),
        "thresholds changed": lambda: believing(batch(), settings_sha256="0" * 64),
        "partner's name": lambda: with_partner(batch(), name="Autre police"),
        "partner's endpoint": lambda: with_partner(batch(), endpoint="https://other.invalid/"),
        "partner's kind": lambda: with_partner(batch(), recipient_kind="fusion"),
        "partner's version": lambda: with_partner(batch(), version=2),
        "partner's keys": lambda: with_partner(batch(), keys=partner().keys[::-1]),
        "partner's encryption key revoked": lambda: with_partner(batch(), keys=revoke("encryption")),
    },
    "request-invalid": {
        "partner unknown": lambda: believing(batch(), partners={}),
        "agreement between others": lambda: agreed(parties=(POLICE, NEIGHBOUR)),
        "agreement on another suite": lambda: agreed(suites=("jwe-ecdh-es-a256gcm",)),
        "agreement on another profile": lambda: agreed(signature_profiles=("hybrid",)),
        "encryption key of another suite": lambda: encryption_key(alg="ECDH-ES"),
        "encryption key expired": lambda: encryption_key(not_after=NOW),
        "encryption key not begun": lambda: encryption_key(not_before=NOW + timedelta(seconds=1)),
        "encryption key revoked": lambda: encryption_key(revoked=True),
    },
    "guard-refused": {
        "agreement with a lower ceiling": lambda: under(CLASSIFIED, ceiling=Ceiling("BEL", "UNCLASSIFIED")),
        "agreement with an unknown ceiling": lambda: agreed(ceiling=Ceiling("BEL", "HIGH")),
    },
}

#: Bytes the guard refuses, although both officers signed them and the log announces them.
GUARDED: Rows = {
    "guard-refused": {
        "label level lowered": lambda: batch(
            release(CLASSIFIED), payload=lambda raw: raw.replace(b'"SECRET"', b'"UNCLASSIFIED"')
        ),
        "label released to more": lambda: label_part("label.releasable_to", ["BEL", "DEU", "FRA"]),
        "label of a part released to more": lambda: label_part(
            "labels.0.label.releasable_to", ["BEL", "DEU", "FRA"]
        ),
        "label without its tlp": lambda: batch(payload=lambda raw: raw.replace(b',"tlp":"AMBER"', b"")),
        "labels missing": lambda: label_part("labels", []),
        "withheld value in": lambda: batch(payload=put("records.0.national_number", "00.99.00-000.00")),
        "withheld value in a text": lambda: batch(
            payload=put("records.0.names.1.text", "Zzemo 00.99.00-000.00")
        ),
        "local id in": lambda: batch(payload=put("records.0.entity_id", "BDC-000001")),
        "another pseudonym": lambda: batch(payload=put("records.0.ref", "p-" + "0" * 32)),
        "extra member": lambda: batch(payload=put("note", "Fictiville")),
        "extra record": lambda: batch(payload=put("records.1", {"ref": "p-" + "0" * 32})),
        "extra attachment": lambda: batch(payload=put("manifest.attachments", ["0" * 64])),
        "caveat lost": lambda: batch(payload=put("handling.onward", "originator-consent")),
        "null": lambda: batch(payload=put("records.0.sex", None)),
        "a space": lambda: batch(payload=lambda raw: raw.replace(b'"sex":', b'"sex": ')),
        "a byte after the end": lambda: batch(payload=lambda raw: raw + b"\n"),
        "a member twice": lambda: batch(payload=lambda raw: b'{"format":"",' + raw[1:]),
        "an escape": lambda: batch(payload=lambda raw: raw.replace(b"Zzemo", b"\\u005azemo")),
        "no JSON": lambda: batch(payload=lambda raw: b"\xff" + raw),
        "empty": lambda: batch(payload=lambda raw: b""),
        "nested without end": lambda: batch(payload=lambda raw: b"[" * 100000),
        "protocol type with content": lambda: protocol(payload=put("note", "Fictiville")),
        "protocol type with a record": lambda: protocol(payload=put("records", [{"sex": "M"}])),
        "protocol type from another": lambda: protocol(payload=put("from", POLICE)),
        "protocol type to another": lambda: protocol(payload=put("to", NEIGHBOUR)),
        "protocol type of another id": lambda: protocol(payload=put("message_id", OTHER_ID)),
        "protocol type in another mode": lambda: protocol(payload=put("mode", "exercise")),
        "protocol type with words for a language": lambda: protocol(payload=put("language", "zzemo")),
        "protocol type in a language not agreed": lambda: protocol(payload=put("language", "nl")),
        "protocol type from the future": lambda: protocol(payload=put("created", "2026-11-21T21:05:01Z")),
        "protocol type of long ago": lambda: protocol(payload=put("created", "2026-10-22T20:59:59Z")),
        "protocol type of another type": lambda: protocol(payload=put("type", "ping")),
    },
    "request-invalid": {
        "protocol type to an unknown key": lambda: with_request(protocol(), enc_kid="enc-2"),
        "protocol type that lives too long": lambda: with_request(protocol(), exp=NOT_AFTER + 301),
    },
}


GROUPS: dict[str, Rows] = {
    "statement": STATEMENT,
    "decision": DECISION,
    "record": RECORD,
    "request": REQUEST,
    "entry": ENTRY,
    "head": HEAD,
    "endorsement": ENDORSEMENTS,
    "since": SINCE,
    "guard": GUARDED,
    "uncovered": UNCOVERED,
}

#: (group, name) -> the code, and how to come to it.
TABLE = {
    (group, name): (code, make)
    for group, rows in GROUPS.items()
    for code, named in rows.items()
    for name, make in named.items()
}

"""A signer with real keys and its own trust, and whole batches for it: the honest one, and any spoilt on the way.

Everything is made when the tests run: people, organisations and the agreement are invented, every key is fresh. What
runs is the real policy, the real renderer, the real log and the real signer; only the disk is a dictionary.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from gateway.audit import tree
from gateway.audit.checkpoint import VerifierKey, log_key_name
from gateway.audit.entry import body_commitment, partner_entry
from gateway.errors import GatewayError
from gateway.flow.change import canonical, digest
from gateway.flow.outbound import Draft, Prepared, prepare
from gateway.model.agreement import AgreementTerms, SignedAgreement
from gateway.model.message import Envelope, ExchangeMessage
from gateway.model.officer import Clearance, Officer, Role
from gateway.model.party import KeyRecord, Partner
from gateway.model.signing import (
    CheckpointRequest,
    Pseudonym,
    ReleaseEvidence,
    SealBatch,
    SealRequest,
)
from gateway.model.time import rfc3339
from gateway.policy.context import Context
from gateway.service.signer.authority import Authority
from gateway.service.signer.keks import Generation, Keeping, Keks, listed
from gateway.service.signer.keys import SignerKeys
from gateway.service.signer.trust import Trust, TrustedAgreement, TrustFile
from gateway.wire import mldsa
from gateway.wire.agreement import sign_terms
from gateway.wire.ct_json import CtJson
from gateway.wire.endorse import Act, sign_endorsement
from gateway.wire.hpke import SUITE, kem_private
from gateway.wire.jws import AGREEMENT_TYP, spki, thumbprint
from gateway.wire.strict import b64url, b64url_decode
from tests.audit.logs import MemoryLog
from tests.audit.logs import entry as other_entry
from tests.policy.worlds import KIND, LEVELS, NOW, OURS, POLICE, POLICY
from tests.policy.worlds import world as common_world
from tests.wire.parties import (
    CERTIFICATE,
    JWE_KEY,
    MLDSA_SEED,
    encryption_record,
    jwe_record,
    key_record,
    mldsa_record,
    officer,
)

MESSAGE_ID = "5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a11"
CONVERSATION = "c1b0e3a4-1d5b-4a0e-8a5a-2b9f6f1f7d20"
OTHER_ID = "0a0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a99"
ORIGIN = f"ecluse/{OURS}/partner/{POLICE}"
NEIGHBOUR = "fra.neighbour-demo"

# --- people ----------------------------------------------------------------------------------------------------------

#: One fresh key for each: the key of ``be-second-key`` is another key of the requester's person.
KEYS = {
    name: ec.generate_private_key(ec.SECP256R1())
    for name in (
        *(
            "be-requester",
            "be-approver",
            "be-second-key",
            "be-both",
            "be-operator",
            "be-reader",
            "be-suspended",
        ),
        *("be-revoked", "be-expired", "be-uncleared", "be-security", "be-guardian", "stranger"),
        *(OURS, POLICE, NEIGHBOUR, "message", "receipt"),
    )
}
LOG_KEY = Ed25519PrivateKey.generate()
WITNESS_KEY, WITNESS_MLDSA = Ed25519PrivateKey.generate(), MLDSA44PrivateKey.generate()
LOG_VKEY = VerifierKey.of(log_key_name(OURS), LOG_KEY.public_key())
SECRET = Clearance("BEL", "SECRET", NOW + timedelta(days=365))
HIGHEST = msgspec.structs.replace(SECRET, level="TRES SECRET")


def person(name: str, *roles: Role, clearance: Clearance | None = SECRET, **changes: Any) -> Officer:
    """An officer with the key of this name."""
    known = {"need_to_know": ("bdc-person",), "clearance": clearance}
    return officer(name, KEYS[name], roles=roles, **known | changes)


def people() -> dict[str, Officer]:
    """Requester and approver in good standing, and one of each kind of person who may not approve."""
    revoked = person("be-revoked", "approver")
    keys = tuple(msgspec.structs.replace(key, revoked=True) for key in revoked.keys)
    found = (
        person("be-requester", "requester", clearance=HIGHEST),
        person("be-approver", "approver", "lift-approver", clearance=HIGHEST),
        person("be-second-key", "requester", "approver", person="person-be-requester"),
        person("be-both", "requester", "approver"),
        person("be-operator", "requester", "approver", "operator"),
        person("be-reader", "inbox"),
        person("be-suspended", "approver", suspended=True),
        msgspec.structs.replace(revoked, keys=keys),
        person("be-expired", "requester", "approver", clearance=msgspec.structs.replace(SECRET, until=NOW)),
        person("be-uncleared", "approver", clearance=None),
        person("be-security", "security-officer"),
        person("be-guardian", "security-officer"),
    )
    return {one.id: one for one in found}


# --- keys ------------------------------------------------------------------------------------------------------------


def _agreement_key(org: str) -> KeyRecord:
    return KeyRecord(
        kid=f"{org}/agreement",
        use="agreement",
        alg="ES256",
        public=spki(KEYS[org].public_key()),
        typ=(AGREEMENT_TYP,),
    )


@cache
def signer_keys() -> SignerKeys:
    """The private half of our directory entry."""
    message, receipt = (
        msgspec.structs.replace(
            key_record(use, key=KEYS[use], kid=f"{OURS}/{use}"),
            x5t=CERTIFICATE,
            not_after=NOW + timedelta(days=90),
        )
        for use in ("message", "receipt")
    )
    seed = os.urandom(32)
    return SignerKeys(
        message=KEYS["message"],
        message_mldsa=mldsa.private_key(MLDSA_SEED),
        receipt=KEYS["receipt"],
        encryption=kem_private(seed),
        encryption_jwe=JWE_KEY,
        log=LOG_KEY,
        witness=WITNESS_KEY,
        witness_mldsa=WITNESS_MLDSA,
        keks=keks(),
        index_key=os.urandom(32),
        pseudonym_key=os.urandom(32),
        find_key=os.urandom(32),
        records=(
            message,
            receipt,
            encryption_record(seed),
            msgspec.structs.replace(mldsa_record(kid=f"{OURS}/message-mldsa"), not_after=message.not_after),
            jwe_record(),
        ),
    )


def keks(kept: dict[int, bytes] | None = None, files: dict[str, bytes] | None = None) -> Keks:
    """Wrapping keys in memory, the first generation made at `NOW`."""
    keys, lists = ({1: os.urandom(32)} if kept is None else kept), ({} if files is None else files)
    keeping = Keeping(keys.__setitem__, keys.__delitem__, partial(lists.__setitem__, "keks.json"))
    return Keks(lists.setdefault("keks.json", listed((Generation(1, NOW),))), keys, keeping)


def world(changes: dict[str, Any] | None = None) -> Context:
    """The permitted world, with ceilings that a level which has an equivalent at the partner can reach."""
    ceilings = {f"{name}.level": "SECRET" for name in ("settings.channel_ceiling", "agreement.terms.ceiling")}
    return common_world({**ceilings, **(changes or {})})


def partner(**changes: Any) -> Partner:
    """The police partner with an encryption key and an agreement key."""
    entry = msgspec.structs.replace(world().partner, keys=(encryption_record(), _agreement_key(POLICE)))
    return msgspec.structs.replace(entry, **changes)


def neighbour() -> Partner:
    """Another partner in force, with an agreement key of its own."""
    keys = (encryption_record(), _agreement_key(NEIGHBOUR))
    return partner(org=NEIGHBOUR, name="Voisin de démonstration", keys=keys)


def signed_agreement(*sides: str, **terms: Any) -> SignedAgreement:
    """The agreement with these terms changed, signed by these sides (both, when none is named)."""
    agreed = world().agreement
    assert agreed is not None
    built = msgspec.structs.replace(agreed.terms, **terms)
    raw = canonical(built)
    signatures = {org: sign_terms(raw, KEYS[org], f"{org}/agreement") for org in sides or (OURS, POLICE)}
    return SignedAgreement(terms=b64url(raw), signatures=signatures)


# --- the signer ------------------------------------------------------------------------------------------------------


@dataclass
class Disk:
    """What is durable. ``broken`` makes the next write fail; ``writes`` names every write that was kept."""

    files: dict[str, bytes] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    broken: Exception | None = None

    def replace(self, name: str, data: bytes) -> None:
        if self.broken is not None:
            raise self.broken
        self.files[name] = data
        self.writes.append(name)

    def open(self) -> TrustFile:
        heads, alone, witnessed = (
            self.files.get(name, b"") for name in ("heads.json", "alone.json", "witnessed.json")
        )
        return TrustFile(self.files["trust.json"], heads, self.replace, alone, witnessed)


def trust(**changes: Any) -> Trust:
    """What the signer believes at first: these people, two partners, one agreement."""
    signed = signed_agreement()
    believed = Trust(
        v=1,
        org=OURS,
        nation="BEL",
        profile="demo",
        officers=people(),
        partners={POLICE: partner(), NEIGHBOUR: neighbour()},
        agreement_keys=(_agreement_key(OURS),),
        agreements={"be-fr-police": trusted(signed)},
        policy_sha256=POLICY.sha256,
        settings_sha256=digest(canonical(world().settings)),
    )
    return msgspec.structs.replace(believed, **changes)


def trusted(signed: SignedAgreement, *, revoked: bool = False) -> TrustedAgreement:
    """An agreement as the trust file holds it."""
    return TrustedAgreement(signed, digest(b64url_decode(signed.terms)), 1, revoked)


def disk(believed: Trust | None = None) -> Disk:
    """A disk that holds this trust and no head yet."""
    return Disk({"trust.json": msgspec.json.encode(believed or trust())})


def authority(held: Disk, *, now: datetime = NOW) -> Authority:
    """The signer over this disk, as after a start."""
    return Authority(signer_keys(), held.open(), kinds={KIND.name: KIND}, levels=LEVELS, now=lambda: now)


# --- releases --------------------------------------------------------------------------------------------------------

Edit = Callable[[bytes], bytes]


def put(path: str, value: Any, *more: Any) -> Edit:
    """Set members of a JSON document, ``put("envelope.type", "ping", "v", 2)``; a missing last member is added."""
    pairs = ((path, value), *zip(more[::2], more[1::2], strict=True))

    def edit(raw: bytes) -> bytes:
        document = json.loads(raw)
        for where, new in pairs:
            *way, last = (int(step) if step.isdigit() else step for step in where.split("."))
            inner = document
            for step in way:
                inner = inner[step]
            if isinstance(inner, list) and last == len(inner):
                inner.append(new)
            else:
                inner[last] = new
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()

    return edit


def recanonical(raw: bytes) -> bytes:
    """RFC 8785 form of a JSON text."""
    return canonical(json.loads(raw))


@dataclass(frozen=True)
class Release:
    """Frozen bytes, as prepare left them, and the agreement they rest on."""

    prepared: Prepared
    agreement_sha256: str
    partner: Partner


def release(
    changes: dict[str, Any] | None = None,
    *,
    agreement: SignedAgreement | None = None,
    toward: Partner | None = None,
    requester: str = "be-requester",
) -> Release:
    """What the real policy and renderer make of the baseline with these changes. It must be a permit."""
    entry, held = toward or partner(), trusted(agreement or signed_agreement())
    ctx = world(changes)
    assert ctx.agreement is not None
    terms = msgspec.json.decode(b64url_decode(held.signed.terms), type=AgreementTerms)
    agreed = msgspec.structs.replace(ctx.agreement, terms=terms, sha256=held.sha256)
    ctx = msgspec.structs.replace(ctx, partner=entry, agreement=agreed, officers=(people()[requester],))
    wanted = Pseudonym(entry.org, terms.series, ctx.record.kind, ctx.record.entity_id)
    draft = Draft("release-1", MESSAGE_ID, CONVERSATION, "operational", bytes(range(32)))
    made = prepare(ctx, POLICY, draft, ref=signer_keys().pseudonym(wanted))
    assert isinstance(made, Prepared), made.decision.reasons
    return Release(made, held.sha256, entry)


@cache
def honest() -> Release:
    """The baseline, made once."""
    return release()


SIGNED: tuple[tuple[str, Act], ...] = (("be-requester", "request"), ("be-approver", "approve"))


def endorse(name: str, act: Act, statement: bytes, *, at: datetime = NOW, says: str = "") -> str:
    """An endorsement with the key of ``name``; ``says`` lets it name another officer."""
    kid = thumbprint(KEYS[name].public_key())
    return sign_endorsement(KEYS[name], kid, officer=says or name, act=act, at=at, statements=[statement])


def batch(
    given: Release | None = None,
    *,
    payload: Edit | None = None,
    decision: Edit | None = None,
    statement: Edit | None = None,
    record: Edit | None = None,
    signed: Sequence[tuple[str, Act]] = SIGNED,
    entry: dict[str, Any] | None = None,
    type: str = "disclosure",
) -> SealBatch:
    """A whole batch of one message.

    Each edit is made before whatever binds to it: the officers sign what was edited and the log announces it. So an
    edit is what two colluding officers and a hostile gateway can do together; what the gateway can do alone is done
    to the finished batch (`with_request`, `with_evidence`, `with_head`).
    """
    given = given or honest()
    made = given.prepared
    body = payload(made.payload) if payload else made.payload
    raw_record = recanonical(record(made.record)) if record else made.record
    document = made.document
    if record:
        document = put("records.0.record_sha256", digest(raw_record))(document)
    if decision:
        document = decision(document)
    document = recanonical(document) if record or decision else document
    bound = put("payload_sha256", digest(body), "decision_sha256", digest(document))(made.statement)
    stated = recanonical(statement(bound) if statement else bound)
    evidence = ReleaseEvidence(
        statement=stated,
        endorsements=tuple(endorse(name, act, stated) for name, act in signed),
        decision=document,
        records=(raw_record,),
        partner=canonical(given.partner),
    )
    return _logged(body, given, evidence, entry or {}, type)


def protocol(type: str = "void", *, payload: Edit | None = None, at: datetime = NOW) -> SealBatch:
    """A whole batch of one protocol message, written and announced at this time."""
    envelope = msgspec.convert(
        {
            "format": "ct-exchange-json/1.0",
            "type": "void",
            "mode": "operational",
            "message_id": MESSAGE_ID,
            "conversation": CONVERSATION,
            "from": OURS,
            "to": POLICE,
            "created": rfc3339(at),
            "language": "fr",
        },
        Envelope,
    )
    body = put("type", type)(CtJson().render(ExchangeMessage(envelope)).payload)
    return _logged(payload(body) if payload else body, honest(), None, {"at": at}, type)


def _logged(
    body: bytes, given: Release, evidence: ReleaseEvidence | None, announced: dict[str, Any], type: str
) -> SealBatch:
    salt = hashlib.sha256(b"salt of a test").digest()
    members: dict[str, Any] = {
        "at": NOW,
        "blind": hashlib.sha256(b"blind of a test").digest(),
        "body": body_commitment(salt, hashlib.sha256(body).digest()),
        "conv": CONVERSATION,
        "direction": "out",
        "event": "message",
        "message_id": MESSAGE_ID,
        "master": "0" * 64,
        "seq": 1,
        "type": type,
    }
    raw = partner_entry(**(members | announced))
    log = MemoryLog.of([2])
    log.add([raw, other_entry(3), other_entry(4)])
    request = SealRequest(
        type=type,
        iat=int(NOW.timestamp()),
        exp=int((NOW + timedelta(days=30)).timestamp()),
        aud=given.partner.org,
        enc_kid="enc-1",
        suite=SUITE,
        sig_profile="classic",
        jti=MESSAGE_ID,
        conv=CONVERSATION,
        seq=1,
        mode="operational",
        agreement=given.agreement_sha256,
        payload=body,
        entry=raw,
        entry_index=2,
        inclusion=tuple(tree.inclusion_proof(2, log.size, log.tiles).hashes),
        body_salt=salt,
        evidence=evidence,
    )
    leaves = tuple(tree.leaf_hash(one) for _, one in log.rows)
    head = CheckpointRequest(ORIGIN, log.size, tree.root(log.size, log.tiles), 0, (), leaves)
    return SealBatch(head, (request,))


def with_request(made: SealBatch, **members: Any) -> SealBatch:
    """The batch with members of its request replaced."""
    return msgspec.structs.replace(made, items=(msgspec.structs.replace(made.items[0], **members),))


def with_evidence(made: SealBatch, **members: Any) -> SealBatch:
    """The batch with members of its evidence replaced."""
    return with_request(made, evidence=msgspec.structs.replace(evidence_of(made), **members))


def with_head(made: SealBatch, **members: Any) -> SealBatch:
    """The batch with members of its checkpoint replaced."""
    return msgspec.structs.replace(made, checkpoint=msgspec.structs.replace(made.checkpoint, **members))


def evidence_of(made: SealBatch) -> ReleaseEvidence:
    """The evidence of the batch's one message."""
    evidence = made.items[0].evidence
    assert evidence is not None
    return evidence


def refusal(made: SealBatch, held: Disk | None = None) -> str:
    """The code with which the signer refuses; empty when it seals."""
    try:
        (answer,) = authority(held or disk()).seal(made).results
    except GatewayError as error:
        return error.code
    assert bool(answer.jws) != bool(answer.code), "an answer is a seal or a refusal"
    return answer.code

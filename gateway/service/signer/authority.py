"""What the signer signs, and what it demands first. No input here is believed because of who sent it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from gateway.audit.checkpoint import (
    Checkpoint,
    VerifierKey,
    log_key_name,
    master_origin,
    parse,
    partner_origin,
    sign,
    verify,
)
from gateway.audit.entry import body_commitment, parse_partner_entry
from gateway.audit.tree import (
    HASH_BYTES,
    ConsistencyProof,
    Frontier,
    InclusionProof,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from gateway.errors import (
    AuditBroken,
    Conflict,
    GatewayError,
    MalformedMessage,
    NotFound,
    RequestInvalid,
    RoleMissing,
    SignatureInvalid,
)
from gateway.flow.change import digest, policy_in_force, read_as
from gateway.flow.outbound import DEFAULT_VALIDITY_DAYS
from gateway.guard import guard, guard_protocol
from gateway.model.agreement import AgreementState
from gateway.model.decision import DecisionDocument
from gateway.model.kind import RecordKind
from gateway.model.label import LevelTable
from gateway.model.message import DEMANDS
from gateway.model.party import Partner
from gateway.model.record import CanonicalRecord
from gateway.model.signing import (
    MAX_FIRST_HEAD,
    CheckpointRequest,
    Pseudonym,
    ReleaseEvidence,
    SealBatch,
    SealBatchResult,
    SealRequest,
    SealResult,
    Settlement,
)
from gateway.service.signer.bound import require_bound
from gateway.service.signer.coded import Trusted, require_agreement, require_recall, require_reply
from gateway.service.signer.covered import require_covered
from gateway.service.signer.emergency import Alone, require_waived
from gateway.service.signer.keys import SignerKeys
from gateway.service.signer.officers import require_officers
from gateway.service.signer.trust import TrustFile
from gateway.wire import mldsa
from gateway.wire.container import MAX_PREAMBLE, Preamble, decrypt
from gateway.wire.jws import ALG
from gateway.wire.receipt import read_statement, sign_receipt
from gateway.wire.seal import SealHeader, second_header, sign_seal
from gateway.wire.strict import b64url_decode, read_canonical

#: How far the gateway's clock may lie from the signer's, in seconds (T: skew of +-300 s everywhere).
MAX_SKEW_S = 300

#: Longest life of a message, in seconds from its seal: what it is when nothing shorter is agreed, and the skew.
MAX_VALIDITY_S = DEFAULT_VALIDITY_DAYS * 86_400 + MAX_SKEW_S

#: How far a time may lie ahead of the signer's clock, and how far behind it the times of what is still waiting: a
#: void in its lane, a receipt whose signature a crash put off. A free date could carry anything out.
SKEW = timedelta(seconds=MAX_SKEW_S)
MAX_AGE = timedelta(days=DEFAULT_VALIDITY_DAYS)

#: Types that leave without a decision and that this version sends. What nobody sends, nobody may have sealed.
SEALED_PROTOCOL = frozenset({"void"})

#: Coded types about an earlier message of ours.
NAMING = ("recall", "correction")

#: The one content type of a seal: every format of this version is JSON. A free member could carry anything out.
CONTENT_TYPE = "application/json"


class Authority:
    """Keys, trust, and the checks between a request and a signature."""

    def __init__(
        self,
        keys: SignerKeys,
        trust: TrustFile,
        *,
        kinds: dict[str, RecordKind],
        levels: LevelTable,
        now: Callable[[], datetime],
    ) -> None:
        self.keys, self.trust, self._kinds, self._levels, self._now = keys, trust, kinds, levels, now

    # --- logs ---------------------------------------------------------------------------------------------------

    def checkpoint(self, request: CheckpointRequest) -> bytes:
        """Sign the next head of a log.

        (0) the key is that of the epoch in force: a signer that was running when another was opened signs none;
        (1) the origin is one of our logs, and the head that of a log with entries; (2) it is consistent with the last
        head signed for it (RFC 9162 §2.1.4.2), and the first of all is the root of the leaves given with it; (3) the
        new head is durable here; (4) sign it as a C2SP checkpoint.
        """
        # (0)
        if self.keys.epoch != len(self.trust.trust.epochs) + 1:
            raise AuditBroken("another epoch of the logs was opened: the signer must start again")
        # (1)
        org = self.trust.trust.org
        logs = {master_origin(org), *(partner_origin(org, partner) for partner in self.trust.trust.partners)}
        if request.origin not in logs:
            raise RequestInvalid("the log is not one of this organisation's")
        head = Checkpoint(request.origin, request.size, request.root)
        if not head.size:
            raise RequestInvalid("an empty log has no head to sign")
        # (2)
        known = self.trust.heads.get(request.origin)
        start = known.size if known else 0
        if request.old_size != start:
            raise AuditBroken(
                "the consistency proof does not start at the last signed head",
                diagnostic={"head": start, "given": request.old_size},
            )
        if known is None:
            _require_first(head, request.first)
        else:
            proof = ConsistencyProof(request.old_size, request.size, request.consistency)
            verify_consistency(proof, known.root, request.root)
        # (3)
        self.trust.advance(request)
        # (4)
        return sign(head, log_key_name(org), self.keys.log)

    # --- seals --------------------------------------------------------------------------------------------------

    def seal(self, batch: SealBatch) -> SealBatchResult:
        """Sign a head, then each message it covers. One refused message does not hold up the others."""
        note = self.checkpoint(batch.checkpoint)
        results = []
        for item in batch.items:
            try:
                results.append(self._seal_one(item, batch.checkpoint, note))
            except GatewayError as refusal:
                results.append(SealResult(code=refusal.code, detail=refusal.detail))
        return SealBatchResult(note, tuple(results))

    def _seal_one(self, item: SealRequest, head: CheckpointRequest, note: bytes) -> SealResult:
        """Seal one message, or raise.

        (1) its type has a row of demands and is one this version sends, its times are sane, its addressee is a partner
        that is not stopped;
        (2) the agreement it names is in force between us, with this suite and signature profile;
        (3) the log entry announces exactly this message and these bytes, is not from the future, and stands under the
        head just signed;
        (4) what its class demands holds: decision, endorsements of two persons, guard; for a coded message those of
        one, and the log entries of the messages it names (`require_recall`, `require_reply`), or about an agreement
        those of two (`require_agreement`); a protocol message has only the closed fields of its type, a language agreed
        on and a time that is about now; what one officer signed is durable in the list of those here, and none of it
        past its time; (5) build the header from these members and sign, in profile hybrid a second time with ML-DSA-65
        under the same header.
        """
        demands = DEMANDS.get(item.type)
        # (1)
        now = self._now()
        partner = self.trust.trust.partners.get(item.aud)
        if demands is None:
            raise RequestInvalid("the message type has no row of demands")
        if demands.message_class == "protocol" and item.type not in SEALED_PROTOCOL:
            raise RequestInvalid("this version sends no message of this type")
        if partner is None or partner.stopped:
            raise NotFound("the addressee is not a partner in force")
        at = now.timestamp()
        if abs(item.iat - at) > MAX_SKEW_S or not at < item.exp <= at + MAX_VALIDITY_S:
            raise RequestInvalid("the seal would be issued at another time, be expired, or never expire")
        # (2)
        agreement = self.trust.agreement(item.agreement, now=now)
        self._check_agreement(agreement, item, now)
        # (3)
        self._check_entry(item, head, now)
        # (4)
        self._require_evidence(item, demands.message_class)
        if demands.message_class == "coded":
            trusted = Trusted(
                ours=self.trust.trust.org,
                partner=partner,
                terms=agreement.terms,
                officers=self.trust.trust.officers,
                created=(now - MAX_AGE, now + SKEW),
                now=now,
                agreement_keys=self.trust.trust.agreement_keys,
            )
            if item.recall is not None:
                require_recall(item, item.recall, head, trusted)
            if item.reply is not None:
                require_reply(item, item.reply, head, trusted)
            if item.terms is not None:
                require_agreement(item, item.terms, trusted)
            self._require_key(item, partner, now)
        elif item.evidence is None:
            guard_protocol(
                item.payload,
                type=item.type,
                mode=item.mode,
                message_id=item.jti,
                conversation=item.conv,
                sender=self.trust.trust.org,
                recipient=item.aud,
                created=(now - MAX_AGE, now + SKEW),
                languages=agreement.terms.languages,
            )
            self._require_key(item, partner, now)
        else:
            alone = self._check_release(item, item.evidence, partner, agreement, demands.officers, now)
            if alone is not None:
                self.trust.keep_alone(item.jti, alone, now=now)
        # (5)
        message = self.keys.record("message", ALG)
        header = _header(
            alg=ALG,
            kid=message.kid,
            typ=f"ecluse-msg-{item.type}+jws",
            cty=CONTENT_TYPE,
            crit=("b64",),
            b64=False,
            x5t_s256=message.x5t,
            iat=item.iat,
            exp=item.exp,
            iss=self.trust.trust.org,
            aud=item.aud,
            enc_kid=item.enc_kid,
            suite=item.suite,
            sig_profile=item.sig_profile,
            jti=item.jti,
            conv=item.conv,
            seq=item.seq,
            mode=item.mode,
            agreement=item.agreement,
            payload_sha256=digest(item.payload),
            checkpoint=note.decode(),
        )
        jws, second = sign_seal(header, item.payload, self.keys.message), ""
        if header.sig_profile == "hybrid":
            other = self.keys.record("message", mldsa.ALG)
            under = second_header(header, kid=other.kid, x5t=other.x5t)
            second = sign_seal(under, item.payload, self.keys.message_mldsa)
        return SealResult(jws, second)

    @staticmethod
    def _require_evidence(item: SealRequest, message_class: str) -> None:
        """Exactly the evidence of its type: another one's, or two, is none."""
        given = (
            (item.evidence, message_class == "content-bearing"),
            (item.recall, item.type in NAMING),
            (item.terms, item.type == "agreement"),
            (item.reply, message_class == "coded" and item.type not in (*NAMING, "agreement")),
        )
        if any((evidence is not None) != wanted for evidence, wanted in given):
            raise RoleMissing("this type needs the decision and endorsements of its class")

    def _require_key(self, item: SealRequest, partner: Partner, now: datetime) -> None:
        if not any(
            (key.kid, key.alg) == (item.enc_kid, item.suite)
            and (key.not_before is None or key.not_before <= now)
            and (key.not_after is None or now < key.not_after)
            for key in partner.keys_for("encryption")
        ):
            raise RequestInvalid("the encryption key is not one of the addressee's for this suite, now")

    def _check_agreement(self, agreement: AgreementState, item: SealRequest, now: datetime) -> None:
        terms = agreement.terms
        if set(terms.parties) != {self.trust.trust.org, item.aud}:
            raise RoleMissing("the agreement is not with the addressee")
        if not (
            agreement.signed_ours and agreement.signed_theirs and terms.not_before <= now < terms.not_after
        ):
            raise RoleMissing("the agreement is not in force")
        if terms.suites != (item.suite,) or terms.signature_profiles != (item.sig_profile,):
            raise RequestInvalid("the suite or signature profile is not the one agreed")

    def _check_entry(self, item: SealRequest, head: CheckpointRequest, now: datetime) -> None:
        if head.origin != partner_origin(self.trust.trust.org, item.aud):
            raise AuditBroken("the entry stands in another log than the addressee's")
        entry = parse_partner_entry(item.entry)
        commitment = body_commitment(item.body_salt, hashlib.sha256(item.payload).digest())
        announced = (
            entry.body,
            entry.conv,
            entry.direction,
            entry.event,
            entry.message_id,
            entry.seq,
            entry.type,
        )
        if announced != (commitment, item.conv, "out", "message", item.jti, item.seq, item.type):
            raise AuditBroken("the log entry announces another message")
        if entry.at > now + SKEW:
            raise AuditBroken("the log entry is from the future")
        proof = InclusionProof(item.entry_index, head.size, item.inclusion)
        verify_inclusion(proof, leaf_hash(item.entry), head.root)

    def _check_release(
        self,
        item: SealRequest,
        evidence: ReleaseEvidence,
        partner: Partner,
        agreement: AgreementState,
        officers: int,
        now: datetime,
    ) -> Alone | None:
        """What people decided must be what is about to leave. Returns what is to be kept of it, where one person
        signed.

        (1) the statement binds payload, decision, partner entry and message, it has not expired, and the seal will not
        outlive it; (2) the decision is for this message, addressee and agreement, under the policy in force, about
        these records, and within what was agreed (`require_covered`), and names a threat exactly if it is an emergency;
        (3) two persons stand behind it (`require_officers`), or one, where the thresholds in force let one sign
        (`require_waived`); (4) the guard accepts the bytes under the agreement's ceiling; (5)
        they will be encrypted to this addressee.
        """
        # (1)
        statement = require_bound(item, evidence, partner, now)
        # (2)
        decision = read_as(evidence.decision, DecisionDocument, "decision given as evidence")
        envelope = decision.envelope
        same = (
            envelope.type == item.type
            and envelope.mode == item.mode
            and envelope.message_id == item.jti
            and envelope.conversation == item.conv
            and envelope.sender == self.trust.trust.org
            and envelope.recipient == item.aud == decision.partner
            and decision.agreement_sha256 == item.agreement
            and (item.type == "emergency") == (decision.emergency is not None)
        )
        if not same:
            raise SignatureInvalid("the decision is about another message")
        trust = self.trust.trust
        if decision.policy_sha256 != policy_in_force(trust.policy_sha256, trust.settings_sha256):
            raise Conflict("the decision was made under another policy than the one in force")
        digests = [digest(raw) for raw in evidence.records]
        if not digests or digests != [record.record_sha256 for record in decision.records]:
            raise SignatureInvalid("the decision is about other records")
        records = [read_as(raw, CanonicalRecord, "record given as evidence") for raw in evidence.records]
        terms = agreement.terms
        require_covered(decision, records, terms, partner, kinds=self._kinds, latest=now + SKEW)
        # (3)
        signed = require_officers(
            statement,
            evidence,
            decision,
            records,
            trust.officers,
            count=officers,
            levels=self._levels,
            now=now,
        )
        alone = None
        if signed.alone:
            alone = require_waived(
                decision,
                records,
                signed,
                evidence.statement,
                evidence.settings,
                settings_sha256=trust.settings_sha256,
                now=now,
            )
        # (4)
        pseudonyms = {
            sha256: self.keys.pseudonym(Pseudonym(item.aud, terms.series, record.kind, record.entity_id))
            for sha256, record in zip(digests, records, strict=True)
        }
        guard(
            item.payload,
            decision=evidence.decision,
            records=evidence.records,
            pseudonyms=pseudonyms,
            ceiling=terms.ceiling,
            levels=self._levels,
            kinds=self._kinds,
        )
        # (5)
        self._require_key(item, partner, now)
        return alone

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """What was done about emergencies that one officer signed (`settled`). Repeatable."""
        self.trust.settle(settlements, now=self._now())

    # --- receipts and opening -----------------------------------------------------------------------------------

    def receipt(self, statement: bytes) -> str:
        """Sign a stored receipt statement.

        (1) its closed schema, and it is ours; (2) to a partner, dated about now; (3) the head it carries, if any, is
        one we signed for our log about this partner, with no other line added.
        Not checked: whether the messages it answers for ever came.
        """
        # (1)
        stated, org, now = read_statement(statement), self.trust.trust.org, self._now()
        if stated.iss != org:
            raise RequestInvalid("the receipt is issued by another organisation")
        # (2)
        if stated.aud not in self.trust.trust.partners:
            raise NotFound("the receipt is not for a partner")
        if not now - MAX_AGE <= stated.at <= now + SKEW:
            raise RequestInvalid("the receipt is of another time")
        # (3)
        if stated.checkpoint:
            note, name = stated.checkpoint.encode(), log_key_name(org)
            # the head may have been stored in the epoch before this one
            ours = {VerifierKey.of(name, self.keys.log.public_key())} | {
                VerifierKey(name, b64url_decode(key.public)) for key in self.keys.records if key.use == "log"
            }
            verify(note, tuple(ours), origin=partner_origin(org, stated.aud))
            if len(parse(note).signatures) != 1:
                raise AuditBroken("the receipt's checkpoint holds more than our signature")
        return sign_receipt(statement, self.keys.receipt, self.keys.record("receipt").kid)

    def open(self, suite: str, preamble: bytes, ciphertext: bytes) -> bytes:
        """Decrypt what was sealed to our encryption key of this suite; the preamble is bound into the content key.

        Raises `LocalFault` for a suite without a key, `MalformedMessage` when preamble and suite disagree, or when the
        preamble names another key than the one that opens it.
        """
        key = self.keys.opening(suite)
        named = read_canonical(preamble, Preamble, limit=MAX_PREAMBLE).enc_kid
        if named != self.keys.record("encryption", suite).kid:
            raise MalformedMessage("the message names another key than ours of its suite")
        return decrypt(preamble, ciphertext, key)


def _require_first(head: Checkpoint, leaves: Sequence[bytes]) -> None:
    """There is no proof from an empty tree: the first head of a log is computed again from its leaf hashes."""
    if not head.size == len(leaves) <= MAX_FIRST_HEAD or any(len(leaf) != HASH_BYTES for leaf in leaves):
        raise AuditBroken("a first head comes with the hash of each of its entries, and has not too many")
    tree = Frontier()
    for leaf in leaves:
        tree.push(leaf)
    if tree.root() != head.root:
        raise AuditBroken("the first head is not the root of the entries given with it")


def _header(**members: object) -> SealHeader:
    """The header, converted strictly: a suite or profile this version does not know is a refusal."""
    try:
        return msgspec.convert(
            {"x5t#S256" if name == "x5t_s256" else name: value for name, value in members.items()}, SealHeader
        )
    except msgspec.ValidationError:
        raise RequestInvalid("a member of the seal does not follow its schema") from None


def system_now() -> datetime:
    """The signer's own clock: it does not take the gateway's word for the time."""
    return datetime.now(UTC).replace(microsecond=0)

"""Structured requests to the signer: it signs meanings, never bare digests.

These travel between the gateway and its signer process over a local socket. Everything the signer needs to refuse is
in the request: the record bytes, the endorsed decision, the entry and its proof.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.model.message import Mode

#: Entries under the first signed head of a log: it brings their hashes, 128 KiB at most. Later heads bring a proof.
MAX_FIRST_HEAD = 4096


class ReleaseEvidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands behind a message that people decided on."""

    statement: bytes  # RFC 8785 bytes of `Statement`
    endorsements: tuple[str, ...]  # compact JWS, typ ecluse-endorsement+jws
    decision: bytes  # RFC 8785 bytes of `DecisionDocument`
    records: tuple[bytes, ...]  # RFC 8785 bytes of each `CanonicalRecord`, in decision order
    partner: bytes  # RFC 8785 bytes of the `Partner` entry whose digest is statement.partner_keys
    settings: bytes = (
        b""  # RFC 8785 bytes of the thresholds in force; of an emergency that one officer signed
    )


class CosignRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A partner's signed head of its log about us, with the proof that it grew from the one we cosigned last."""

    note: bytes
    old_size: int  # of the head cosigned last; 0: none was
    consistency: tuple[bytes, ...] = ()


class Settlement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What has been done about an emergency that was sealed with one signature: endorsements over its statement."""

    message_id: str
    statement: bytes  # RFC 8785 bytes of `Statement`
    confirmation: str = ""  # ``approve``, by who approved orally; empty: not yet
    review: str = ""  # ``uphold`` or ``overrule``, by a third person; empty: not yet
    act: Literal["uphold", "overrule"] = "uphold"  # which of them the review is


class Announced(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An earlier message in our log about the addressee: its entry, and the proof of it under the checkpoint."""

    entry: bytes
    index: int
    inclusion: tuple[bytes, ...]


class RecallEvidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands behind a recall, or a correction: what is announced is the message corrected."""

    statement: bytes  # RFC 8785 bytes of `Statement`
    endorsement: str  # compact JWS, typ ecluse-endorsement+jws: one officer's
    decision: bytes  # RFC 8785 bytes of `RecallDocument` or `CorrectionDocument`
    partner: bytes  # RFC 8785 bytes of the `Partner` entry whose digest is statement.partner_keys
    announced: tuple[Announced, ...]  # the message recalled, then the one in its place, if there is one


class ReplyEvidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands behind a coded answer."""

    statement: bytes  # RFC 8785 bytes of `Statement`
    endorsement: str  # compact JWS, typ ecluse-endorsement+jws: one officer's
    decision: bytes  # RFC 8785 bytes of `ReplyDocument`
    partner: bytes  # RFC 8785 bytes of the `Partner` entry whose digest is statement.partner_keys
    answered: Announced  # the entry of the message answered: our log about this partner says that it came


class AgreementEvidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands behind a message about an agreement."""

    statement: bytes  # RFC 8785 bytes of `Statement`
    endorsements: tuple[
        str, ...
    ]  # compact JWS, typ ecluse-endorsement+jws: two persons', of a revocation one's
    decision: bytes  # RFC 8785 bytes of `AgreementDocument`
    partner: bytes  # RFC 8785 bytes of the `Partner` entry whose digest is statement.partner_keys


class SealRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One message to seal. The signer builds the header itself from these members."""

    type: str
    iat: int
    exp: int
    aud: str
    enc_kid: str
    suite: str
    sig_profile: str
    jti: str
    conv: str
    seq: int
    mode: Mode
    agreement: str  # SHA-256 of the agreement terms
    payload: bytes
    entry: bytes  # partner-log entry that announces exactly these bytes
    entry_index: int
    inclusion: tuple[bytes, ...]  # proof of the entry in the tree of the batch's checkpoint
    body_salt: bytes  # opens the entry's commitment to the payload
    evidence: ReleaseEvidence | None = None  # of a content-bearing message
    recall: RecallEvidence | None = None  # of a recall or a correction
    reply: ReplyEvidence | None = None  # of a coded answer
    terms: AgreementEvidence | None = None  # of a message about an agreement


class CheckpointRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The next head of one log, with its consistency proof from the signer's last head.

    RFC 9162 has no proof from an empty tree, so the first head brings what it is made of instead.
    """

    origin: str
    size: int
    root: bytes
    old_size: int
    consistency: tuple[bytes, ...]
    first: tuple[bytes, ...] = ()  # leaf hash of every entry, in order; of a first head only


class SealBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A head and the messages it covers: the checkpoint is signed first, and stands in every seal."""

    checkpoint: CheckpointRequest
    items: tuple[SealRequest, ...]


class SealResult(msgspec.Struct, frozen=True):
    """The seal, or the code and reason why this one was not sealed (others of the batch may be)."""

    jws: str = ""
    second: str = ""  # the JWS with ML-DSA-65, in profile hybrid
    code: str = ""
    detail: str = ""


class SealBatchResult(msgspec.Struct, frozen=True):
    checkpoint: bytes  # signed note; durable at the signer before this answer
    results: tuple[SealResult, ...]


class Pseudonym(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which identity, toward whom: pseudonyms differ per partner, agreement series and kind."""

    partner: str
    series: str
    kind: str
    entity_id: str


class DataKey(msgspec.Struct, frozen=True):
    """A fresh AES-256 key for one body, and the same key wrapped by the KEK (RFC 3394)."""

    key: bytes
    wrapped: bytes


ChangeKind = Literal[
    "officer",
    "partner",
    "agreement",
    "agreement-revoke",
    "policy",
    "settings",
    "embargo-lift",
    "oversight",
    "epoch",
]


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A proposed change of what may leave: the statement that two persons sign (RFC 8785 bytes).

    ``before_sha256`` is the digest of the document in force for this target, empty when there is none, so a change
    approved against one state can never be applied to another.
    """

    v: Literal[1]
    id: str
    home: str  # organisation id
    kind: ChangeKind
    target: str
    widening: bool
    before_sha256: str
    after_sha256: str
    not_before: str  # RFC 3339
    proposer: str  # officer id


class TrustChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A change with its document and endorsements (typ ecluse-change+jws), for the signer to verify by itself."""

    statement: bytes
    document: bytes
    endorsements: tuple[str, ...]

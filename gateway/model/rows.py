"""What the store keeps: one frozen type a table, no business in them.

Rows hold no personal data in the clear. Content sits in bodies, each under a key of its own; what stands here are
random ids, organisation and officer ids, states, times, sequence numbers and blinded indices. Even payload digests
stay inside bodies, so that destroying a key leaves nothing to guess against.
"""

from __future__ import annotations

import msgspec

from gateway.model.time import Instant


class Row(msgspec.Struct, frozen=True):
    """Base of every row; the store maps each subclass to its table."""


# --- bodies and records ----------------------------------------------------------------------------------------------


class KeyRow(Row, frozen=True):
    """A wrapped data key. Destroying it erases every body under it."""

    id: str
    wrapped: bytes
    created: Instant


class BodyRow(Row, frozen=True):
    """AES-256-GCM ciphertext (nonce first) under ``key``; associated data is the body's id."""

    id: str
    key: str
    ciphertext: bytes


class SubjectRow(Row, frozen=True):
    """Who is mentioned in the bodies of a key: HMAC index, never a name."""

    subject: str
    key: str


class RecordRow(Row, frozen=True):
    """One version of an imported record. ``handle`` is derived from the HMAC index of its entity id."""

    handle: str
    version: int
    latest: bool
    kind: str
    subject: str
    fingerprint: str  # HMAC of the content and labels: an unchanged re-import is recognised by it
    key: str
    body: str
    extracted_at: Instant
    imported_at: Instant


class EmbargoRow(Row, frozen=True):
    """An embargo on a subject (TER art. 19); ``lifted_at`` None while in force."""

    id: str
    subject: str
    authority_sha256: str
    placed_at: Instant
    placed_by: str
    lifted_at: Instant | None = None


# --- directory and changes -------------------------------------------------------------------------------------------


class DirectoryRow(Row, frozen=True):
    """A version of a document in force: officer, partner, agreement, policy. ``document`` are its exact bytes."""

    kind: str
    id: str
    version: int
    current: bool
    document: bytes
    sha256: str
    since: Instant
    change: str


class ChangeRow(Row, frozen=True):
    """A proposed change, its statement and endorsements, until it is applied, rejected or overtaken."""

    id: str
    state: str
    kind: str
    target: str
    statement: bytes
    document: bytes
    endorsements: tuple[str, ...]
    proposer: str
    proposed_at: Instant
    decided_at: Instant | None = None


# --- outbound --------------------------------------------------------------------------------------------------------


class ReleaseRow(Row, frozen=True):
    """A release from preparation to its end. ``body`` holds payload, decision, statement and salt."""

    id: str
    state: str
    partner: str
    conversation: str
    type: str
    mode: str
    message_id: str
    handle: str
    subject: str
    key: str
    body: str
    requester: str
    person: str
    created: Instant
    not_after: Instant
    priority: int = 0
    reason: str = ""  # rule id that voided it, never why in words
    ended: Instant | None = None  # when it was voided, rejected or cancelled here
    case_name: str = ""  # of a bulk release that is reviewed as one


class EndorsementRow(Row, frozen=True):
    """A person's endorsement of a release; ``body`` holds the JWS (it carries the statement digest)."""

    release: str
    act: str
    officer: str
    person: str
    body: str
    at: Instant


class ReservationRow(Row, frozen=True):
    """What a partner holds, or is about to: reserved with the approval, freed when the release is voided."""

    partner: str
    about: str  # the subject of the record
    release: str  # or the id of what else disclosed it
    subject: str  # of persons known to be one, the one they are counted as
    at: Instant
    origin: str = "release"
    members: tuple[str, ...] = ()  # of the record's kind that left: names, never a value
    place: int = 0  # above that of every earlier one about this subject that reached the same hands


class TallyRow(Row, frozen=True):
    """How many distinct subjects some partners hold between them, over all time: the count of their reservations."""

    holders: str  # organisation ids, sorted, a space between
    subjects: int


class SubjectLinkRow(Row, frozen=True):
    """Two blinded subjects that are one person: holdings of either count as those of ``counted_as``."""

    subject: str
    counted_as: str  # never itself linked
    at: Instant


class LaneRow(Row, frozen=True):
    """One (partner, conversation): strict order within, none between."""

    partner: str
    conversation: str
    next_seq: int = 1  # next outbound sequence number
    expected: int = 1  # next inbound sequence number
    queued: int = 0  # outbox rows not finished
    position: int = 0  # last outbox position used
    due: Instant | None = None  # back-off: not before this
    attempts: int = 0
    held: bool = False
    token: int = 0  # fencing token of the last claim
    priority: int = 0


class OutboxRow(Row, frozen=True):
    """One message of a lane on its way out."""

    partner: str
    conversation: str
    position: int
    message_id: str
    release: str  # empty for protocol messages
    type: str
    state: str
    key: str
    body: str  # of a protocol message; a release has its own
    seq: int = 0
    entry: int = -1  # position in the partner's log
    seal: str = ""  # body id
    attempts: int = 0
    exp: int = 0
    receipt: str = ""
    replaces: str = ""  # message id that this `void` withdrew
    not_before: Instant | None = None  # it does not leave, nor get its number, before this


class EmergencyRow(Row, frozen=True):
    """A release that was queued as an emergency: who answers for it, and what must follow by when."""

    release: str
    oral_approver: str  # officer id; empty when two signed
    waived: tuple[str, ...]  # rules that would have denied, and `second-signature` when one officer signed
    at: Instant
    confirm_by: Instant | None  # None when two signed
    review_by: Instant
    confirmed_at: Instant | None = None
    reviewer: str = ""
    verdict: str = ""  # ``upheld`` or ``not-upheld``
    reviewed_at: Instant | None = None
    settled: bool = False  # nothing more has to follow


class InformRow(Row, frozen=True):
    """An originator whose consent an emergency waived: to be informed without delay (LED art. 35(2))."""

    release: str
    originator: str  # organisation id
    informed_at: Instant | None = None
    informed_by: str = ""


class RecallRow(Row, frozen=True):
    """A message recalled: by us (``out``), or by its sender (``in``), whether it came already or not."""

    direction: str
    partner: str
    message_id: str  # of the message recalled
    action: str
    replaced_by: str
    recall: str  # message id of the newest recall
    release: str  # of our recall; empty for a partner's
    at: Instant
    answer: str = ""  # ``done`` or ``kept``: what our officer decided about a partner's recall
    answered_by: str = ""
    answered_at: Instant | None = None


# --- what changed after it was shared ---------------------------------------------------------------------------------


class RemovalRow(Row, frozen=True):
    """A record version deleted for cause by a named officer: what was prepared before ``at`` must be recalled, and an
    extract that says the same again brings nothing back."""

    handle: str
    fingerprint: str
    at: Instant
    because: str
    removed_by: str


class LookRow(Row, frozen=True):
    """A record of which what left must be compared with today: written with what changed, gone with the comparison."""

    handle: str


class NoticeRow(Row, frozen=True):
    """What a past recipient must, or may, be told about one message of ours."""

    id: str
    state: str  # open, prepared, done, superseded
    duty: str  # must, may
    changes: tuple[str, ...]  # a code, and the member of the record kind it is about; never a value
    partner: str
    handle: str
    kind: str
    release: str  # of the message that left
    message_id: str
    since: Instant
    due: Instant | None  # of what must be told; None: undetermined, and overdue
    prepared: str = ""  # release of the recall or of the disclosure in its place
    ended: Instant | None = None


# --- inbound ---------------------------------------------------------------------------------------------------------


class InboxRow(Row, frozen=True):
    """A message of a partner, once accepted: identity, place in its conversation, and where its bytes are."""

    sender: str
    message_id: str
    state: str
    conversation: str
    seq: int
    type: str
    mode: str
    key: str
    body: str
    receipt: str
    received_at: Instant
    entry: int = -1  # position in our log about the sender
    keep_until: str = (
        ""  # last calendar day on which its sender lets us keep it; empty: it says none, or it is gone
    )


class RequestRow(Row, frozen=True):
    """A partner's request, as far as lists and the choice of an answer need it; what it asks stands in its message."""

    sender: str
    message_id: str
    urgency: str
    received_at: Instant
    looked: bool = False  # a record was looked up for it: a refusal would tell what was found
    answer: str = ""  # release of the newest answer that was on its way


class ReceiptRow(Row, frozen=True):
    """A receipt given (out) or got (in); ``body`` holds statement and JWS, encrypted."""

    id: str
    direction: str
    partner: str
    key: str
    body: str
    signed: bool
    at: Instant


class QuarantineRow(Row, frozen=True):
    """What could not be accepted, why, and (within the partner's quota) its bytes, encrypted."""

    id: str
    partner: str
    code: str
    digest: str  # of the ciphertext as received
    size: int
    body: str
    at: Instant


# --- audit -----------------------------------------------------------------------------------------------------------


class LogRow(Row, frozen=True):
    """A log: its origin line and size; its root follows from its tiles."""

    origin: str
    size: int


class EntryRow(Row, frozen=True):
    origin: str
    position: int
    entry: bytes


class EntryBodyRow(Row, frozen=True):
    """Where the encrypted detail of a master entry lies."""

    origin: str
    position: int
    body: str


class TileRow(Row, frozen=True):
    """A C2SP tile: up to 256 concatenated hashes."""

    origin: str
    level: int
    position: int
    hashes: bytes


class CheckpointRow(Row, frozen=True):
    """A signed head of one of our logs: durable before it is shown to anybody."""

    origin: str
    size: int
    note: bytes
    at: Instant


class HeldRow(Row, frozen=True):
    """A head of a *partner's* log about us, as it came in a seal or receipt: our witness against a cut-off tail."""

    origin: str
    size: int
    note: bytes
    at: Instant


class CosignatureRow(Row, frozen=True):
    """A witness's cosignature of a signed head of one of our logs, as its note line; proven before it was stored."""

    origin: str
    size: int
    witness: str  # the name it signs under
    key_id: str  # of its key, in hex
    line: bytes
    at: Instant  # when we got it; the line says when it was made


class StampRow(Row, frozen=True):
    """A time-stamp over heads of all our logs, and over the one before it; verified before it was stored."""

    number: int
    at: Instant  # as its authority says
    until: Instant  # when the first certificate of its chain ends
    document: bytes  # what is stamped
    response: bytes  # TimeStampResp, DER
    chain: bytes  # PEM, the signer first, the trusted authority last


class StampedHeadRow(Row, frozen=True):
    """A signed head of one of our logs, and the first time-stamp that it is under."""

    origin: str
    size: int
    stamp: int
    note: bytes


# --- housekeeping ----------------------------------------------------------------------------------------------------


class NonceRow(Row, frozen=True):
    """A nonce of a call endorsement, kept until its window has passed."""

    nonce: str
    until: Instant


class IdempotencyRow(Row, frozen=True):
    """The answer already given for a key, so that repeating a command has no second effect.

    ``params`` is a blind index of the parameters and the answer is a body: both may hold content.
    """

    key: str
    officer: str
    op: str
    params: str
    key_id: str
    body: str
    at: Instant


class MetaRow(Row, frozen=True):
    """Single values: schema version, heartbeat, organisation."""

    name: str
    value: str

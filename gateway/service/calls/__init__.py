"""The calls of the control socket: parameters and answers, shared by the desk's API and the command line.

Every call is ``POST /api/v1/<operation>`` with a JSON body; the header ``Authorization: Ecluse-Call <JWS>`` carries an
officer's endorsement over ``{home, op, params_sha256, at, nonce}``, where ``params_sha256`` is over the exact body.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from gateway.flow.replay import Replayed
from gateway.model.decision import FieldOutcome, IdleLift, Reason
from gateway.model.ground import GroundName
from gateway.model.request import Emergency, Lift
from gateway.model.time import Instant
from gateway.service.calls.marks import CorrectionView as CorrectionView
from gateway.service.calls.marks import RecallView as RecallView
from gateway.service.calls.texts import FreeText

#: Characters of the justification of a read: a file number and a sentence or two.
MAX_WHY = 500


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every call's parameters."""


class Empty(Params, frozen=True):
    """No parameters."""


class Page(Params, frozen=True):
    """A keyset page: rows after this key, at most ``limit``."""

    after: str = ""
    limit: int = 100
    state: str = ""


class Named(Params, frozen=True):
    """One object by its id. ``why``: what justifies looking at it, kept in the entry of the read and nowhere else."""

    id: str
    why: Annotated[str, msgspec.Meta(max_length=MAX_WHY)] = ""


class Ended(Params, frozen=True):
    """Reject or cancel one object, with a reason that stays inside."""

    id: str
    reason: str


class ImportChunk(Params, frozen=True):
    """Some whole lines of an extract file a named officer hands over; ``first_line`` numbers the first of them."""

    kind: str
    first_line: int
    lines: bytes


class BadLine(msgspec.Struct, frozen=True):
    """A line that did not land: where, and which rule it breaks."""

    line: int
    pointer: str
    rule: str
    detail: str


class Imported(msgspec.Struct, frozen=True):
    """What became of the lines."""

    new: int
    changed: int
    unchanged: int
    unlabelled: int
    bad: tuple[BadLine, ...]
    erased: int = 0  # of subjects erased on an order: not taken in


class ListComplete(Params, frozen=True):
    """A whole list was imported: which, when it says it was made, and how many entries the file holds.

    What landed is counted in the store; ``entries`` can only keep anything from being marked.
    """

    kind: str  # with the list: ``sanctions-entry/1.0/un``
    generated: Instant
    entries: int
    shrunk: bool = False  # an approver who hands over none says that the list really lost that many


class ListCompleted(msgspec.Struct, frozen=True):
    """Entries that the list holds no more, whether they were marked as delisted, and candidates by band: no band at
    all for an officer without need to know of persons and lists."""

    gone: int
    delisted: int
    matches: dict[str, int]


class FindMatches(Params, frozen=True):
    """Candidates between imported persons and listed entries, best first; ``list`` empty means every list."""

    list: str = ""
    minimum: int = 40
    after: str = ""  # `MatchView.id` of the last one seen
    limit: int = 100


class MatchPoint(msgspec.Struct, frozen=True):
    """One reason for a score: what agrees or differs, never a value."""

    code: str
    points: int


class MatchView(msgspec.Struct, frozen=True):
    """A candidate for a human to judge, of kinds that the officer needs to know."""

    id: str
    person: str  # handle
    entry: str  # handle
    list: str
    score: int
    band: str
    reasons: tuple[MatchPoint, ...]
    person_name: str = ""
    entry_name: str = ""


class RecordSummary(msgspec.Struct, frozen=True):
    """A record as lists show it: no content."""

    handle: str
    kind: str
    version: int
    extracted_at: Instant
    imported_at: Instant
    unlabelled_items: int = 0


class FieldView(msgspec.Struct, frozen=True):
    """One field with its label."""

    pointer: str
    value: object
    level: str  # empty when unlabelled
    label_source: str
    export_class: str


class RecordView(msgspec.Struct, frozen=True):
    """A record's fields as this officer may see them; ``hidden`` counts those above the officer's clearance."""

    handle: str
    entity_id: str
    kind: str
    extracted_at: Instant
    fields: tuple[FieldView, ...]
    hidden: int


class Disclose(Params, frozen=True):
    """Prepare a release of one record toward each partner; also the parameters of a preview."""

    record: str
    partners: tuple[str, ...]
    purpose: str
    legal_basis: str = ""
    justification: str = ""
    conversation: str = ""
    lifts: tuple[Lift, ...] = ()
    emergency: Emergency | None = None
    request: str = ""  # the request it answers, ``ID`` or ``ORG/ID``


class DecisionView(msgspec.Struct, frozen=True):
    """A decision as people read it. ``payload`` is marked by the preview operation and refused everywhere."""

    partner: str
    effect: str
    reasons: tuple[Reason, ...]
    fields: tuple[FieldOutcome, ...]
    release: str = ""
    message_id: str = ""
    conversation: str = ""
    statement: bytes = b""
    payload: bytes = b""
    texts: tuple[FreeText, ...] = ()
    idle_lifts: tuple[IdleLift, ...] = ()  # those that unlock nothing


class Endorsed(Params, frozen=True):
    """An endorsement (compact JWS) over the statements of these releases."""

    releases: tuple[str, ...]
    endorsement: str


class ReleaseView(msgspec.Struct, frozen=True):
    """What an approver is shown: exact bytes, their digest is theirs to check, and what they rest on."""

    id: str
    state: str
    partner: str
    requester: str
    message_id: str
    not_after: Instant
    statement: bytes
    payload: bytes
    document: bytes
    justification: str
    reasons: tuple[FreeText, ...] = ()  # what stays inside, and what in it is told


class Approved(msgspec.Struct, frozen=True):
    """Which releases are on their way, and why the others were voided."""

    queued: tuple[str, ...]
    voided: dict[str, tuple[Reason, ...]]


class QueueItem(msgspec.Struct, frozen=True):
    """A message on its way, or a release that waits: no content."""

    id: str  # release id, or message id of a protocol message
    message_id: str
    partner: str
    conversation: str
    type: str
    state: str
    seq: int = 0
    attempts: int = 0
    due: Instant | None = None
    held: bool = False
    reason: str = ""
    grounds: tuple[str, ...] = ()  # ids of those that the release names


class LaneCall(Params, frozen=True):
    """Hold, release, retry or skip the head of one lane."""

    partner: str
    conversation: str


class RecallMessage(Params, frozen=True):
    """Prepare the recall of one message of ours, by its id: the one the officer will sign, not its release's."""

    message: str
    action: str
    replaced_by: str = ""
    justification: str = ""


class AnswerRecall(Params, frozen=True):
    """What our officer decided about a message, ``ID`` or ``ORG/ID``, that its sender recalled."""

    message: str
    answer: Literal["done", "kept"]


class InboxItem(msgspec.Struct, frozen=True):
    """A message received: no content."""

    sender: str
    message_id: str
    conversation: str
    seq: int
    type: str
    state: str
    received_at: Instant
    recall: RecallView | None = None
    correction: CorrectionView | None = None


class InboxView(msgspec.Struct, frozen=True):
    """A message received, as its bytes say."""

    item: InboxItem
    payload: bytes
    receipt: str


class QuarantineItem(msgspec.Struct, frozen=True):
    """What was refused, and with which code."""

    id: str
    partner: str
    code: str
    digest: str
    size: int
    at: Instant


class DraftChange(Params, frozen=True):
    """Ask for the statement of a change of one document."""

    kind: str
    target: str
    document: bytes


class ChangeDraft(msgspec.Struct, frozen=True):
    """The statement to sign, and the document in its one form."""

    statement: bytes
    document: bytes


class ProposeChange(Params, frozen=True):
    """A signed proposal."""

    statement: bytes
    document: bytes
    endorsement: str


class ApproveChange(Params, frozen=True):
    """The second person's signature over the same statement."""

    id: str
    endorsement: str


class ChangeView(msgspec.Struct, frozen=True):
    """A change, with the exact statement to sign."""

    id: str
    state: str
    kind: str
    target: str
    proposer: str
    proposed_at: Instant
    statement: bytes
    document: bytes


class PlaceEmbargo(Params, frozen=True):
    """Place an embargo on a subject, by record handle or entity id."""

    subject: str
    authority: bytes


class EmbargoItem(msgspec.Struct, frozen=True):
    """An embargo in force or lifted; whom it protects is not shown."""

    id: str
    placed_at: Instant
    placed_by: str
    lifted_at: Instant | None
    authority_sha256: str


class Explain(Params, frozen=True):
    """Explain one rule, in one language; of the policy in force, or of the version with this digest."""

    rule: str
    language: str = "en"
    policy: str = ""


class PolicyVersion(msgspec.Struct, frozen=True):
    """A policy that is or was in force, and the version of the rule in it; 0 where it had no such rule."""

    sha256: str
    name: str
    since: Instant
    rule_version: int


class Explained(msgspec.Struct, frozen=True):
    """A rule in words: its sentence, its source, and its tree as lines."""

    rule: str
    text: str
    source_kind: str
    article: str
    version: int
    scope: str
    effect: str
    applies: tuple[str, ...]
    condition: tuple[str, ...]
    facts: tuple[str, ...]
    policy_sha256: str
    versions: tuple[PolicyVersion, ...]


class ExplainEntry(Params, frozen=True):
    """Explain the decision at this position of the master log: a denial has no other name."""

    position: int


class DecidedView(msgspec.Struct, frozen=True):
    """A decision as it was made, under the policy of then."""

    id: str
    partner: str
    effect: str
    policy_sha256: str
    reasons: tuple[Reason, ...]
    fields: tuple[FieldOutcome, ...]
    grounds: tuple[GroundName, ...] = ()  # what it rested on


class PolicyView(msgspec.Struct, frozen=True):
    """The documents that decide, in their one form."""

    policy: bytes
    settings: bytes


class Before(Params, frozen=True):
    """The document that a change of this kind and target would replace."""

    kind: str
    target: str


class BeforeView(msgspec.Struct, frozen=True):
    """Its bytes; empty when there is none."""

    document: bytes


class Replay(Params, frozen=True):
    """Decisions of the master log since an instant, after a position, under these documents; none: those in force."""

    since: Instant
    after: int = -1
    policy: bytes = b""
    settings: bytes = b""
    agreement: bytes = b""


class ReplayPage(msgspec.Struct, frozen=True):
    """What came out; ``next`` is the position to go on after, -1 at the end."""

    next: int
    replayed: Replayed


class TraceStep(msgspec.Struct, frozen=True):
    """One thing that happened to a message, and the log entry that proves it."""

    at: str
    what: str
    by: str = ""
    log: str = ""
    index: int = -1


class Trace(msgspec.Struct, frozen=True):
    """Every step known of one message or release."""

    id: str
    message_id: str
    partner: str
    conversation: str
    state: str
    seq: int
    attempts: int
    steps: tuple[TraceStep, ...]
    receipt: str = ""


class LogStatus(msgspec.Struct, frozen=True):
    """One log: what is stored, what is signed, what a partner holds of it or we of theirs."""

    origin: str
    size: int
    signed_size: int
    checkpoint: str


class Status(msgspec.Struct, frozen=True):
    """A home at a glance; what anybody may know."""

    organisation: str
    mode: str
    profile: str
    version: str
    config_sha256: str
    policy_sha256: str
    partners: tuple[str, ...]

"""Rows of what officers write down about cases: grounds, consents asked for, what was said aloud, who is one person,
what must stay and what had to go."""

from __future__ import annotations

from gateway.model.rows import Row
from gateway.model.time import Instant


class GroundRow(Row, frozen=True):
    """A ground for releases about a subject: of no effect until ``in-force``, of none any more once ``withdrawn``.

    What the rules ask about stands here; who said so, and why, in the body, whose digest is over random bytes too.
    """

    id: str
    kind: str
    state: str
    subject: str
    handle: str
    originator: str  # of a consent
    recipients: tuple[str, ...]
    purposes: tuple[str, ...]  # of a consent
    data: tuple[str, ...]  # field patterns, of a consent (`EVERYTHING` among them: all) and of a derogation
    given: str  # of a consent: how
    at: Instant  # when it was given; of an authorisation, recorded
    until: str  # last calendar day
    sha256: str
    key: str
    body: str
    recorder: str
    person: str  # of the recorder
    recorded_at: Instant
    confirmer: str = ""
    confirmed_at: Instant | None = None
    withdrawer: str = ""
    withdrawn_at: Instant | None = None


class GroundUseRow(Row, frozen=True):
    """A release that names a ground: it goes no further once that is withdrawn, and if it has left, that changed."""

    ground: str
    release: str


class SubjectActRow(Row, frozen=True):
    """Two officers' word that two subjects are one person, or are not after all. The newest about a pair counts."""

    id: str
    number: int  # of acts in force, in the order in which they came to be; 0 until then
    act: str  # link, split
    state: str  # proposed, done, rejected
    subject: str
    other: str  # above ``subject`` in text order: a pair has one spelling
    handle: str
    other_handle: str
    key: str
    body: str  # why
    proposer: str
    person: str  # of the proposer
    proposed_at: Instant
    decider: str = ""
    decided_at: Instant | None = None


class OralRow(Row, frozen=True):
    """What was said to a partner; what of it, to whom there and why stand in the body."""

    id: str
    partner: str
    subject: str
    handle: str
    at: Instant  # when it was said
    breach: bool  # policy would have kept some of it back
    late: bool  # recorded after the house clock
    sha256: str
    key: str
    body: str
    speaker: str
    recorder: str
    person: str  # of the recorder
    recorded_at: Instant
    confirmer: str = ""
    confirmed_at: Instant | None = None


class StrikeRow(Row, frozen=True):
    """An oral record made by mistake: proposed by one officer, of effect once another has confirmed it. The record and
    its entries stay; it counts no longer."""

    oral: str
    body: str  # why, under the key of the oral record
    proposer: str
    person: str  # of the proposer
    proposed_at: Instant
    confirmer: str = ""
    confirmed_at: Instant | None = None


class CorrectionRow(Row, frozen=True):
    """A message corrected: one of ours (``out``), or a partner's, by its sender (``in``), whether it came already."""

    direction: str
    partner: str
    message_id: str  # of the message corrected
    action: str
    reason: str
    replaced_by: str
    correction: str  # message id of the newest correction
    release: str  # of our correction; empty for a partner's
    at: Instant
    answer: str = ""  # ``done``: our officer did what a partner's correction asks for
    answered_by: str = ""
    answered_at: Instant | None = None


class OfferRow(Row, frozen=True):
    """Terms that travelled: offered by us (``out``) or by a partner (``in``), and perhaps signed by the other side."""

    direction: str
    partner: str
    sha256: str  # of the terms
    series: str
    version: int
    message: str  # id of the message that offered them
    release: str  # of our offer; empty for a partner's
    at: Instant
    signed: str = ""  # id of the message that brings the other side's signature
    signed_release: str = ""  # of ours, to a partner's offer
    signed_at: Instant | None = None


class RevocationRow(Row, frozen=True):
    """An agreement revoked by a message, ours or the partner's: it is out of force here at once, and stays so."""

    partner: str
    sha256: str  # of the terms
    direction: str
    message: str
    at: Instant


class ConsentRow(Row, frozen=True):
    """A partner's request for our consent; what it asks stands in its message."""

    sender: str
    message_id: str
    received_at: Instant
    answer: str = ""  # release of the newest answer that was on its way


class HoldRow(Row, frozen=True):
    """A legal hold: nothing of this subject, or of this conversation, is erased while ``lifted_at`` is None."""

    id: str
    subject: str  # empty of a conversation
    conversation: str  # empty of a subject
    authority_sha256: str
    placed_at: Instant
    placed_by: str
    lift_sha256: str = ""  # digest of the authority to lift it, from the first of two persons on
    lifter: str = ""
    person: str = ""  # of the lifter
    lifted_by: str = ""  # the second person
    lifted_at: Instant | None = None


class FindingRow(Row, frozen=True):
    """A step of a reviewer's finding; what it says stands in the body, and its digest is over random bytes too."""

    id: str
    number: int  # of the step, from 0
    step: str
    about: str  # ``entry N`` of the master log, or a release
    severity: str
    sha256: str
    key: str
    body: str
    officer: str
    person: str
    for_body: str  # for whom the officer acted
    at: Instant


class ErasureRow(Row, frozen=True):
    """An order to erase, and what became of it. ``detail`` lies open: random ids and places in the logs, to which the
    entry at ``position`` of the master log commits under ``salt``."""

    id: str
    state: str  # proposed, done, rejected
    subjects: tuple[str, ...]
    handles: tuple[str, ...]  # of their records
    messages: tuple[str, ...]  # of partners, named besides: ``ORG/ID``; or of quarantine
    reference: str  # file number of the order; never a name
    authority_sha256: str
    proposer: str
    person: str  # of the proposer
    proposed_at: Instant
    salt: bytes = b""
    detail: bytes = b""
    position: int = -1
    decider: str = ""
    decided_at: Instant | None = None


class ErasedRow(Row, frozen=True):
    """A body that an erasure destroyed."""

    body: str
    erasure: str

"""What lies inside bodies: the frozen content of releases, receipts and inbound messages, as stored encrypted."""

from __future__ import annotations

import msgspec

from gateway.flow.replay import Considered
from gateway.model.decision import Decision, Hint
from gateway.model.request import Emergency, Lift, Request


class ReleaseBody(msgspec.Struct, frozen=True):
    """A release as prepared, and the inputs that a recheck asks the rules about again."""

    payload: bytes
    document: bytes
    statement: bytes
    record: bytes
    decision: Decision
    salt: bytes
    purpose: str
    legal_basis: str
    justification: str
    language: str
    lifts: tuple[Lift, ...]
    request: Request | None
    fingerprint: str  # of the record version decided on: another one in force voids the release
    emergency: Emergency | None = None
    mentioned: tuple[str, ...] = ()  # records of persons mentioned, as decided on: others in force void it
    hints: tuple[Hint, ...] = ()

    @property
    def oral_approver(self) -> str:
        """The officer on whose word one officer signs; empty when two sign."""
        return self.emergency.oral_approver if self.emergency else ""


class CodedBody(msgspec.Struct, frozen=True):
    """A coded message as prepared. ``entries``: where our log about the partner announced the messages it names: what
    is recalled and what takes its place (a `void` may have taken their places in the lane, never in the log), or what
    is answered."""

    payload: bytes
    document: bytes
    statement: bytes
    salt: bytes
    entries: tuple[int, ...]


class EndorsementBody(msgspec.Struct, frozen=True):
    """An endorsement; encrypted because it holds the digest of a statement that binds content."""

    jws: str


class SealBody(msgspec.Struct, frozen=True):
    """A seal; encrypted because its header holds the payload digest."""

    jws: str
    second: str = ""  # in signature profile hybrid


class ProtocolBody(msgspec.Struct, frozen=True):
    """A protocol message of ours."""

    payload: bytes
    salt: bytes


class InboundBody(msgspec.Struct, frozen=True):
    """A message of a partner, exactly as sealed."""

    payload: bytes
    jws: str
    payload_sha256: str
    salt: bytes
    second: str = ""  # in signature profile hybrid


class ReceiptBody(msgspec.Struct, frozen=True):
    """A receipt: statement first; the JWS follows once the signer has signed the stored statement."""

    statement: bytes
    jws: str
    salt: bytes


class QuarantineBody(msgspec.Struct, frozen=True):
    """Bytes that were not accepted, as they came (still sealed)."""

    sealed: bytes


class RecordBody(msgspec.Struct, frozen=True):
    """A record version: its RFC 8785 bytes."""

    record: bytes


class DocumentBody(msgspec.Struct, frozen=True):
    """A ground or an oral record: the RFC 8785 bytes of its document."""

    document: bytes


class FindingBody(msgspec.Struct, frozen=True):
    """A step of a finding: the exact bytes of its document, and its author's endorsement of them."""

    document: bytes
    endorsement: str


class ReasonBody(msgspec.Struct, frozen=True):
    """Why an officer said something."""

    reason: str


class Decided(msgspec.Struct, frozen=True):
    """The detail of a decision's log entry: outcome and context, so that it can be made again. ``document`` stands
    behind a release."""

    partner: str
    decision: Decision
    considered: Considered
    document: bytes = b""
    kind: str = ""  # of the record; empty in entries of before it was kept


class SearchBody(msgspec.Struct, frozen=True):
    """What a reviewer asked, why, and on whose authority: it names a person."""

    question: bytes

"""Grounds: what somebody outside said that a release may rest on, recorded by one officer and confirmed by another.

Days are calendar dates in UTC; a ground holds through its last one.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.model.time import Instant

#: How it reached us.
Given = Literal["telephone", "paper", "message"]

#: Among the items of a consent: all that the originator supplied about the person.
EVERYTHING = "*"

GroundKind = Literal["consent", "authorisation", "derogation"]


class Consent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="consent"):
    """The originator lets what it supplied about one person go on to others (Directive (EU) 2016/680 art. 35(1)(c))."""

    originator: str  # organisation id
    recipients: tuple[str, ...]  # organisation ids; nobody else
    purposes: tuple[str, ...]  # nothing else
    items: tuple[str, ...]  # field patterns, or `EVERYTHING`
    until: str
    given: Given
    by: str  # who gave it, as the originator calls that person or office, or the id of its message
    at: Instant  # when

    def covers(self, originator: str, pattern: str, purpose: str, day: str) -> bool:
        """Whether this originator consents for items of this pattern, for this purpose, on this day."""
        return (
            self.originator == originator
            and (EVERYTHING in self.items or pattern in self.items)
            and purpose in self.purposes
            and day <= self.until
        )


class Authorisation(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="authorisation"
):
    """The judicial authority lets judicial information leave (law 5.8.1992 art. 44/11/6)."""

    authority: str
    reference: str
    file_sha256: str  # of its document, as the officer has it
    recipients: tuple[str, ...]
    until: str


class TransferDerogation(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="derogation"
):
    """What art. 38(3) of Directive (EU) 2016/680 demands be documented of a transfer outside the Union."""

    recipient: str
    justification: str
    data: tuple[str, ...]  # field patterns; no other leaves
    at: Instant
    until: str


Ground = Consent | Authorisation | TransferDerogation


class GroundDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A ground as recorded: its RFC 8785 bytes are what the second officer confirms and what a decision names."""

    v: Literal[1]
    id: str
    record: str  # handle
    record_kind: str
    ground: Ground
    recorded_by: str  # officer id
    recorded_at: str
    nonce: str  # 32 random bytes, base64url: nobody finds the content by its digest


class GroundName(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A ground in force, as a decision names it."""

    id: str
    kind: GroundKind
    sha256: str
    originator: str  # of a consent; empty otherwise

"""Officers: persons with roles, clearance and *public* keys; the private ones never come near the gateway."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from gateway.model.label import LevelTable, SecurityLabel
from gateway.model.time import Instant

Role = Literal["requester", "approver", "lift-approver", "reviewer", "security-officer", "operator", "inbox"]


class OfficerKey(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A public key of an officer (ES256, SubjectPublicKeyInfo DER as base64url). ``kid`` is its SHA-256 thumbprint."""

    kid: str
    public: str
    revoked: bool = False


class Clearance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Highest (policy, level) the person may see, until when (law 11.12.1998 art. 8)."""

    policy: str
    level: str
    until: Instant


#: For whom a reviewer looks: for the house, its data protection officer, or a body outside it.
Body = Literal["internal", "dpo", "coc", "comite-p", "comite-r"]

#: Stands in a mandate for every partner, or every kind.
EVERY = "*"


class Mandate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For which body a reviewer looks, at what, and from when until when. Empty means none; `EVERY` means all."""

    body: Body
    partners: tuple[str, ...]  # organisation ids
    kinds: tuple[str, ...]  # record kinds, with or without their version
    since: Instant
    until: Instant  # not included

    def __post_init__(self) -> None:
        """Raises `ValueError` for a mandate over nothing, or over no time."""
        if not self.partners or not self.kinds or self.since >= self.until:
            raise ValueError("a mandate names partners and kinds, and ends after it begins")

    @property
    def whole(self) -> bool:
        """Whether it is over every partner and kind."""
        return EVERY in self.partners and EVERY in self.kinds

    def covers(self, partner: str, kinds: Iterable[str]) -> bool:
        """Whether it is over this partner and each of these kinds; what has no kind is over every kind alone."""
        if EVERY not in self.partners and partner not in self.partners:
            return False
        named = {*kinds} or {""}
        return EVERY in self.kinds or all(
            kind in self.kinds or kind.partition("/")[0] in self.kinds for kind in named
        )


class Officer(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One version of an officer. ``person`` identifies the human being: two keys of one person are one person."""

    id: str
    person: str
    name: str
    roles: tuple[Role, ...]
    keys: tuple[OfficerKey, ...]
    clearance: Clearance | None = None  # None: unclassified only
    need_to_know: tuple[str, ...] = ()  # record kinds and groups; empty means none
    suspended: bool = False
    version: int = 1
    mandate: Mandate | None = None  # of a reviewer; None: the house's own, over everything

    def __post_init__(self) -> None:
        """Raises `ValueError` for a mandate of somebody who has another role than a reviewer's."""
        if self.mandate is not None and not set(self.roles) <= {"reviewer"}:
            raise ValueError("who reviews by a mandate has no other role")

    def key(self, kid: str) -> OfficerKey | None:
        """The officer's key of this id unless it, or the officer, is revoked."""
        return next(
            (key for key in self.keys if key.kid == kid and not key.revoked and not self.suspended), None
        )

    def needs_to_know(self, kind: str) -> bool:
        """Whether a record kind is within the officer's need to know, named with or without its version."""
        return kind in self.need_to_know or kind.partition("/")[0] in self.need_to_know

    def clearance_rank(self, now: Instant, levels: LevelTable) -> int:
        """The rank the officer may see at ``now``; 0 (unclassified) without a clearance or after its end."""
        if self.clearance is None or now >= self.clearance.until:
            return 0
        return levels.rank(self.clearance.policy, self.clearance.level) or 0

    def may_see(self, label: SecurityLabel, now: Instant, levels: LevelTable, *, toward: str = "") -> bool:
        """Whether the clearance reaches the label's level; an unknown level is seen by nobody.

        ``toward`` is the policy of a recipient that may protect the level higher: the clearance must reach that too.
        """
        rank = levels.handled_at(label.policy, label.level, toward)
        return rank is not None and rank <= self.clearance_rank(now, levels)


#: What a person's signature over statements says: two of them release, two review an emergency, three are steps of a
#: reviewer's finding.
Act = Literal["request", "approve", "uphold", "overrule", "find", "answer", "close"]


class Endorsement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person's signature over statements: payload of a JWS of typ ``ecluse-endorsement+jws``."""

    v: Literal[1]
    act: Act
    at: Instant
    officer: str
    statements: tuple[str, ...]  # lowercase hex SHA-256 of each statement's bytes

"""Emergencies that one officer signed: what lets them be sealed, and what must follow before the next one is.

The signer keeps a list of its own. A gateway that was taken over, with one officer's key, can use the path until the
oldest of them is past its time, and no longer: what settles it takes two other persons' keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from gateway.errors import Conflict, RoleMissing, SignatureInvalid
from gateway.flow.change import decode_settings, digest
from gateway.model.decision import DecisionDocument
from gateway.model.officer import Officer, Role
from gateway.model.record import CanonicalRecord
from gateway.model.signing import Settlement
from gateway.model.time import Instant
from gateway.policy.context import EmergencyScope
from gateway.service.signer.officers import Signed
from gateway.wire.endorse import VerifiedEndorsement, verify_endorsement

#: Emergencies under one signature that may wait at once. The list is read whole and written whole.
MAX_ALONE = 1024

#: Who may review an emergency: both know what may leave; neither had a part in this one.
REVIEWERS: tuple[Role, ...] = ("approver", "reviewer")

#: Why the path is locked, for whoever is refused.
LOCKED = "emergency-locked"


class Alone(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message sealed with one signature, until both others have followed."""

    statement_sha256: str
    approver: str  # officer who approved orally
    persons: tuple[str, ...]  # requester and approver
    confirm_by: Instant
    review_by: Instant
    confirmed: bool = False
    reviewed: bool = False

    def overdue(self, now: datetime) -> bool:
        """Whether what should have followed by now has not."""
        late = not self.confirmed and self.confirm_by <= now
        return late or (not self.reviewed and self.review_by <= now)


def require_waived(
    decision: DecisionDocument,
    records: Sequence[CanonicalRecord],
    signed: Signed,
    statement: bytes,
    settings: bytes,
    *,
    settings_sha256: str,
    now: datetime,
) -> Alone:
    """What is to be kept of an emergency that one officer signed, or an error.

    (1) the thresholds given are the ones in force; (2) they waive the second signature, for these kinds, this purpose
    and this partner, and a threat is stated; (3) the one signature is no older than the time in which it had to be
    confirmed.
    """
    # (1)
    if digest(settings) != settings_sha256:
        raise SignatureInvalid("the thresholds given are not the ones in force")
    scope = decode_settings(settings).emergency
    # (2)
    if scope is None or "second-signature" not in scope.waives:
        raise RoleMissing("the thresholds in force waive no second signature")
    if not _covers(scope, decision, records):
        raise RoleMissing("the emergency lies outside the scope in force")
    if decision.emergency is None or not decision.emergency.threat.strip():
        raise RoleMissing("the emergency states no threat")
    # (3)
    if signed.at + timedelta(hours=scope.confirm_hours) <= now:
        raise Conflict("what one officer signed was not confirmed in time", code=LOCKED)
    return Alone(
        statement_sha256=digest(statement),
        approver=signed.approver.id,
        persons=(signed.requester.person, signed.approver.person),
        confirm_by=now + timedelta(hours=scope.confirm_hours),
        review_by=now + timedelta(hours=scope.review_hours),
    )


def _covers(scope: EmergencyScope, decision: DecisionDocument, records: Sequence[CanonicalRecord]) -> bool:
    kinds = {record.kind for record in records}
    return (
        bool(kinds)
        and kinds <= {*scope.kinds}
        and decision.handling.purpose in scope.purposes
        and decision.partner in scope.partners
    )


def with_alone(kept: Mapping[str, Alone], message_id: str, alone: Alone, now: datetime) -> dict[str, Alone]:
    """The list with one more. Raises `Conflict` while one of it is past its time, and when it is full.

    A message that is sealed again, because a crash came between, keeps its first times.
    """
    if any(one.overdue(now) for one in kept.values()):
        raise Conflict("an earlier emergency was not confirmed or reviewed in time", code=LOCKED)
    known = kept.get(message_id)
    if known is not None and known.statement_sha256 == alone.statement_sha256:
        return dict(kept)
    if known is not None or len(kept) >= MAX_ALONE:
        raise Conflict("too many emergencies wait for their confirmation and review", code=LOCKED)
    return {**kept, message_id: alone}


def settled(
    kept: Mapping[str, Alone],
    settlements: Sequence[Settlement],
    officers: Mapping[str, Officer],
    now: datetime,
) -> dict[str, Alone]:
    """The list after what was done. Raises for an endorsement that does not hold; nothing is taken over then.

    (1) the statement is the one that was sealed; (2) the confirmation is by the very officer who approved orally;
    (3) the review is by a third person, an approver or a reviewer, never an operator; (4) one confirmed and reviewed
    is done with, and so is one that the review overruled: there is nothing left that a confirmation could mend.
    """
    after = dict(kept)
    for one in settlements:
        alone = after.get(one.message_id)
        if alone is None:
            continue
        # (1)
        if digest(one.statement) != alone.statement_sha256:
            raise SignatureInvalid("the statement is not the one that was sealed")
        # (2)
        if one.confirmation:
            found = verify_endorsement(
                one.confirmation, officers, act="approve", statement=one.statement, now=now
            )
            if found.officer != alone.approver:
                raise RoleMissing("the confirmation is not by who approved orally")
            _require_role(officers[found.officer], ("approver",))
            alone = msgspec.structs.replace(alone, confirmed=True)
        # (3)
        if one.review:
            review = verify_endorsement(one.review, officers, act=one.act, statement=one.statement, now=now)
            _require_third(review, alone)
            _require_role(officers[review.officer], REVIEWERS)
            alone = msgspec.structs.replace(alone, reviewed=True)
        # (4)
        after[one.message_id] = alone
        if alone.reviewed and (alone.confirmed or one.act == "overrule"):
            del after[one.message_id]
    return after


def _require_third(review: VerifiedEndorsement, alone: Alone) -> None:
    if review.person in alone.persons:
        raise RoleMissing("the review is by somebody who had a part in it")


def _require_role(officer: Officer, roles: tuple[Role, ...]) -> None:
    if not {*roles} & {*officer.roles} or "operator" in officer.roles:
        raise RoleMissing("an officer does not hold the role that settles an emergency")

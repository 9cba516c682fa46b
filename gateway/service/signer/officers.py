"""Who stands behind a release: two persons who signed, or one who signed on another's word, in an emergency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from gateway.errors import GuardRefused, RoleMissing, SignatureInvalid
from gateway.model.decision import DecisionDocument, Statement
from gateway.model.label import LevelTable, SecurityLabel, nation_of
from gateway.model.officer import Officer, Role
from gateway.model.record import CanonicalRecord
from gateway.model.signing import ReleaseEvidence
from gateway.wire.endorse import Act, verify_endorsement

_ACTS: tuple[Act, ...] = ("request", "approve")
_ROLES: tuple[Role, ...] = ("requester", "approver")


class Signed(NamedTuple):
    """The two persons. ``alone``: the approver's word was oral; ``at`` is when the requester signed."""

    requester: Officer
    approver: Officer
    at: datetime
    alone: bool


def require_officers(
    statement: Statement,
    evidence: ReleaseEvidence,
    decision: DecisionDocument,
    records: Sequence[CanonicalRecord],
    officers: Mapping[str, Officer],
    *,
    count: int,
    levels: LevelTable,
    now: datetime,
) -> Signed:
    """The persons behind a release, or an error.

    (1) as many endorsements as the class demands, or the requester's alone where an emergency names who approved
    orally; each holds; (2) two persons, the requester the one the statement names, the approver the one that an
    emergency names, if it does; (3) each with the role of the place and not an operator, in force, cleared for the
    labels and with a need to know the kinds; (4) a lifted field was approved by a lift approver's signature.

    Not checked here: whether thresholds in force let one person sign (`require_waived`).
    """
    # (1)
    oral = decision.emergency.oral_approver if decision.emergency else ""
    alone = bool(oral) and len(evidence.endorsements) == 1
    if len(evidence.endorsements) != count and not alone:
        raise RoleMissing("the number of endorsements is not the one this class demands")
    found = [
        verify_endorsement(token, officers, act=act, statement=evidence.statement, now=now)
        for act, token in zip(_ACTS[: 1 if alone else count], evidence.endorsements, strict=True)
    ]
    # (2)
    named = [officers[endorsement.officer] for endorsement in found]
    if alone:
        if oral not in officers:
            raise RoleMissing("who approved orally is not an officer in force")
        named.append(officers[oral])
    if len({officer.person for officer in named}) != count:
        raise RoleMissing("requester and approver must be two persons")
    if found[0].officer != statement.requester:
        raise SignatureInvalid("the request is not signed by the requester it names")
    if oral and named[-1].id != oral:
        raise RoleMissing("another officer approved than the one who did orally")
    # (3)
    labels, kinds = _labels(records, decision), {record.kind for record in records}
    nation = nation_of(decision.partner)
    for officer, role in zip(named, _ROLES, strict=True):
        if role not in officer.roles or "operator" in officer.roles:
            raise RoleMissing(f"an officer does not hold the role {role}")
        if officer.suspended:
            raise RoleMissing("an officer is suspended")
        if not all(officer.may_see(label, now, levels, toward=nation) for label in labels):
            raise RoleMissing("an officer's clearance does not reach the label")
        if not all(officer.needs_to_know(kind) for kind in kinds):
            raise RoleMissing("an officer has no need to know records of this kind")
    # (4)
    if decision.lifts and (alone or "lift-approver" not in named[-1].roles):
        raise RoleMissing("a lifted field needs a lift approver")
    return Signed(named[0], named[-1], found[0].at, alone)


def _labels(records: Sequence[CanonicalRecord], decision: DecisionDocument) -> list[SecurityLabel]:
    """Labels of everything released, from the record bytes the decision names."""
    labels = []
    for record, outcome in zip(records, decision.records, strict=True):
        released = {field.pointer for field in outcome.fields if field.outcome == "released"}
        found = {entry.pointer: entry.label for entry in record.labels}
        for pointer in released:
            label = found.get(pointer)
            if label is None:
                raise GuardRefused("a released field carries no label", diagnostic={"rule": "label.present"})
            labels.append(label)
    return labels

"""What was decided must be covered by what was agreed: the signer compares the two documents by itself.

The policy asked the same before; it ran in a process that the signer does not believe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime

from gateway.errors import RequestInvalid, RoleMissing
from gateway.model.agreement import AgreementTerms
from gateway.model.decision import DecisionDocument
from gateway.model.kind import RecordKind
from gateway.model.party import Partner
from gateway.model.record import CanonicalRecord


def require_covered(
    decision: DecisionDocument,
    records: Sequence[CanonicalRecord],
    terms: AgreementTerms,
    partner: Partner,
    *,
    kinds: Mapping[str, RecordKind],
    latest: datetime,
) -> None:
    """Raise `RoleMissing` unless the terms let all of this leave.

    ``records`` are those of the decision, in its order; ``latest`` is the latest time it may be anywhere, from which
    retention counts. (1) the decision names this version of agreement and partner; (2) the conditions of use are the
    agreed ones, purpose, format and language among those agreed, and nothing is kept longer; (3) every record is of a
    kind agreed on, and every class C field that leaves is one the agreement lets an approver lift.

    Not checked here: that the payload says what the decision does (the guard), the level (its ceiling), and who lifted.
    """
    # (1)
    versions = (
        (decision.agreement_series, terms.series),
        (decision.agreement_version, terms.version),
        (decision.partner_version, partner.version),
    )
    if any(decided != believed for decided, believed in versions):
        raise RoleMissing("the decision names another version of the agreement or of the partner's entry")
    # (2)
    handling, envelope = decision.handling, decision.envelope
    conditions = (
        (handling.regime, terms.regime),
        (handling.route, terms.route),
        (handling.legal_basis, terms.legal_basis),
        (handling.onward, terms.onward),
    )
    if any(decided != agreed for decided, agreed in conditions):
        raise RoleMissing("the conditions of use are not the agreed ones")
    if handling.purpose not in terms.purposes:
        raise RoleMissing("the agreement does not cover this purpose")
    if envelope.format not in terms.formats or envelope.language not in terms.languages:
        raise RoleMissing("the agreement does not cover this format or language")
    if (_day(handling.retention_until) - latest.date()).days > terms.retention_days:
        raise RoleMissing("the recipient may keep it longer than agreed")
    # (3)
    for record, outcome in zip(records, decision.records, strict=True):
        kind = kinds.get(record.kind)
        if kind is None or record.kind not in terms.kinds:
            raise RoleMissing("the agreement does not cover this kind of record")
        for field in outcome.fields:
            spec = kind.spec(field.pointer)
            lifted = field.outcome == "released" and spec is not None and spec.export_class == "C"
            if lifted and kind.pattern(field.pointer) not in terms.lifts:
                raise RoleMissing("the agreement lets nobody lift a field that would leave")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise RequestInvalid("the end of retention is not a calendar date") from None

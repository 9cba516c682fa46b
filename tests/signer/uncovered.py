"""Alterations in which everything fits together, except that the agreement does not cover it.

"Decided": two officers and the gateway decide, render and sign it alike, so that the guard has nothing to say.
"Agreed": an honest release under an agreement, or a partner's entry, that says something else.
"""

from __future__ import annotations

from typing import Any

from tests.policy.worlds import OURS, POLICE
from tests.signer.attempts import LIFT, Attempt, Rows, agreed, believing, under
from tests.signer.world import batch, partner, put, release


def decided(path: str, value: Any) -> Attempt:
    """The same in the decision and in the bytes; the envelope's members stand at the top of the payload."""
    return batch(decision=put(path, value), payload=put(path.removeprefix("envelope."), value))


def of_version(version: int) -> Attempt:
    """The decision names a version of the partner's entry; the statement binds the entry in force."""
    entry = partner(version=2)
    made = batch(release(toward=entry), decision=put("partner_version", version))
    return believing(made, partners={POLICE: entry})


UNCOVERED: Rows = {
    "role-missing": {
        "decided, other format": lambda: decided("envelope.format", "other/1.0"),
        "decided, other language": lambda: decided("envelope.language", "nl"),
        "decided, other purpose": lambda: decided("handling.purpose", "tourism"),
        "decided, other basis": lambda: decided("handling.legal_basis", "none"),
        "decided, other regime": lambda: decided("handling.regime", "SPOC"),
        "decided, other route": lambda: decided("handling.route", "other"),
        "decided, onward": lambda: decided("handling.onward", "originator-consent"),
        "decided, kept a day longer": lambda: decided("handling.retention_until", "2027-11-22"),
        "decided, kept for ever": lambda: decided("handling.retention_until", "9999-12-31"),
        "decided, other series": lambda: batch(decision=put("agreement_series", "be-fr-other")),
        "decided, other version": lambda: batch(decision=put("agreement_version", 2)),
        "decided, older partner": lambda: of_version(1),
        "decided, newer partner": lambda: of_version(3),
        "agreed, other format": lambda: under({}, formats=("other/1.0",)),
        "agreed, no format": lambda: under({}, formats=()),
        "agreed, other language": lambda: under({}, languages=("nl",)),
        "agreed, no language": lambda: under({}, languages=()),
        "agreed, other purpose": lambda: under({}, purposes=("tourism",)),
        "agreed, no purpose": lambda: under({}, purposes=()),
        "agreed, other basis": lambda: under({}, legal_basis="none"),
        "agreed, other regime": lambda: under({}, regime="SPOC"),
        "agreed, other route": lambda: under({}, route="other"),
        "agreed, onward": lambda: under({}, onward="originator-consent"),
        "agreed, a day less": lambda: under({}, retention_days=364),
        "agreed, nothing kept": lambda: under({}, retention_days=0),
        "agreed, other kind": lambda: under({}, kinds=("other/1.0",)),
        "agreed, no kind": lambda: under({}, kinds=()),
        "agreed, no lift": lambda: under(LIFT, lifts=()),
        "agreed, another lift": lambda: under(LIFT, lifts=("/special", "/national_number/*", "/financial")),
        "agreed, other series": lambda: agreed(series="be-fr-other"),
        "agreed, other version": lambda: agreed(version=2),
    },
    "request-invalid": {
        "decided, kept until no day": lambda: decided("handling.retention_until", "2027-02-30"),
        "decided, kept until a word": lambda: decided("handling.retention_until", f"{OURS}"),
    },
}

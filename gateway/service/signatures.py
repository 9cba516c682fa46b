"""The signatures under a release, as the store has them: kept encrypted, and asked again at every look."""

from __future__ import annotations

from datetime import datetime

from gateway.errors import LocalFault, PartnerFault
from gateway.flow.outbound import Void, house
from gateway.model.officer import Officer
from gateway.model.rows import EndorsementRow, ReleaseRow
from gateway.ports import ReadTx, Tx
from gateway.service.contents import EndorsementBody, ReleaseBody
from gateway.service.context import Gateway
from gateway.wire.endorse import Act, verify_endorsement

#: The acts that let a release go, in the order in which they stand; others are about one that went.
SIGNING: tuple[Act, ...] = ("request", "approve")


def keep(
    gateway: Gateway, tx: Tx, now: datetime, row: ReleaseRow, act: Act, officer: Officer, jws: str
) -> None:
    """Store an endorsement under the release's own key."""
    body = gateway.vault.seal(row.key, EndorsementBody(jws))
    tx.insert(body, EndorsementRow(row.id, act, officer.id, officer.person, body.id, now))


def signing(tx: ReadTx, release: str) -> list[tuple[Act, EndorsementRow]]:
    """The requester's signature, then the approver's, as far as there are any."""
    found = ((act, tx.get(EndorsementRow, release, act)) for act in SIGNING)
    return [(act, row) for act, row in found if row is not None]


def endorsed(
    gateway: Gateway, tx: ReadTx, row: ReleaseRow, body: ReleaseBody, now: datetime
) -> tuple[Officer, ...] | Void:
    """Requester and approver as far as they have signed, in this order, by keys that are in force *now*. Who approved
    orally stands in the approver's place until the signature follows.

    A suspended officer or a revoked key endorses nothing any more, whenever the signature was made.
    """
    officers = gateway.directory.officers
    found = []
    for act, kept in signing(tx, row.id):
        jws = gateway.vault.open(tx, kept.body, EndorsementBody).jws
        try:
            verify_endorsement(jws, officers, act=act, statement=body.statement, now=now)
        except (PartnerFault, LocalFault):
            return Void((house("endorsement.in-force"),))
        found.append(officers[kept.officer])
    if len(found) == 1 and body.oral_approver:
        if body.oral_approver not in officers:
            return Void((house("endorsement.in-force"),))
        found.append(officers[body.oral_approver])
    return tuple(found)

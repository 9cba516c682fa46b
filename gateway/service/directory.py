"""Officers, partners, agreements and policy in force, as the database holds them.

A snapshot, replaced whole after every applied change. The signer keeps its own copy and believes neither this one
nor us.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

import msgspec
import structlog

from gateway.errors import ConfigInvalid, LocalFault, NotFound, OutsideAgreement, PartnerFault, UnknownPartner
from gateway.flow.agreements import agreement_start, agreement_state
from gateway.flow.change import Founding, decode_settings
from gateway.model.agreement import AgreementState, SignedAgreement
from gateway.model.case_rows import RevocationRow
from gateway.model.officer import Officer
from gateway.model.party import Partner
from gateway.model.rows import DirectoryRow
from gateway.policy.context import Settings
from gateway.policy.rules import Policy, load_policy
from gateway.ports import ReadTx

log = structlog.get_logger()

FOUNDING, OFFICER, PARTNER, AGREEMENT, POLICY, SETTINGS = (
    "founding",
    "officer",
    "partner",
    "agreement",
    "policy",
    "settings",
)


#: Compiling a policy takes some 20 ms; nearly every reload finds the one that is in force already.
_policy = lru_cache(maxsize=4)(load_policy)


class Directory(msgspec.Struct, frozen=True):
    """Everything in force at one moment."""

    founding: Founding
    officers: dict[str, Officer]
    partners: dict[str, Partner]
    agreements: dict[str, AgreementState]  # by partner; the newest series version in force
    turns: datetime | None  # when the next version of an agreement begins; from then on, read again
    policy: Policy
    settings: Settings  # thresholds the policy is asked with
    digests: dict[
        str, str
    ]  # "kind/target" -> digest of the document in force, or of the agreement revoked last

    def officer(self, name: str) -> Officer:
        """The officer, or `NotFound`."""
        if name not in self.officers:
            raise NotFound("there is no officer of this id")
        return self.officers[name]

    def partner(self, org: str) -> Partner:
        """The partner's entry, or `UnknownPartner` when there is none or it is stopped."""
        partner = self.partners.get(org)
        if partner is None or partner.stopped:
            raise UnknownPartner("there is no such partner in force")
        return partner

    def agreement(self, org: str) -> AgreementState:
        """The agreement with this partner, or `OutsideAgreement`. Validity in time is the policy's question."""
        if org not in self.agreements:
            raise OutsideAgreement("there is no agreement with this partner")
        return self.agreements[org]


def load_directory(tx: ReadTx, *, now: datetime) -> Directory:
    """Read the snapshot. Agreement signatures are verified again: one that does not hold denies."""
    rows = tx.select(DirectoryRow, {"current": True})
    by_kind: dict[str, list[DirectoryRow]] = {}
    for row in rows:
        by_kind.setdefault(row.kind, []).append(row)
    if not (by_kind.get(FOUNDING) and by_kind.get(POLICY) and by_kind.get(SETTINGS)):
        raise ConfigInvalid("this home was never founded: run `ecluse init`")
    founding = msgspec.json.decode(by_kind[FOUNDING][0].document, type=Founding)
    partners = {row.id: msgspec.json.decode(row.document, type=Partner) for row in by_kind.get(PARTNER, [])}
    agreements: dict[str, AgreementState] = {}
    in_force, turns = versions_in_force(by_kind.get(AGREEMENT, []), now)
    for row in in_force:
        signed = msgspec.json.decode(row.document, type=SignedAgreement)
        try:
            state = agreement_state(
                signed, ours=founding.org, our_keys=founding.agreement_keys, partners=partners, now=now
            )
        except (PartnerFault, LocalFault) as fault:
            # One agreement whose key was revoked must not take the others down, nor hide from its own revocation.
            log.error("agreement.unverifiable", code=fault.code)
            continue
        other = next(party for party in state.terms.parties if party != founding.org)
        if (
            tx.get(RevocationRow, other, state.sha256) is not None
        ):  # by a message: nothing takes its place by itself
            state = msgspec.structs.replace(state, revoked=True)
        if other not in agreements or _precedence(state, now) > _precedence(agreements[other], now):
            agreements[other] = state
    return Directory(
        founding=founding,
        officers={
            row.id: msgspec.json.decode(row.document, type=Officer) for row in by_kind.get(OFFICER, [])
        },
        partners=partners,
        agreements=agreements,
        turns=turns,
        policy=_policy(by_kind[POLICY][0].document),
        settings=decode_settings(by_kind[SETTINGS][0].document),
        digests={f"{row.kind}/{row.id}": row.sha256 for row in [*_ended(tx), *_by_version(rows)]},
    )


def versions_in_force(
    rows: Sequence[DirectoryRow], now: datetime
) -> tuple[list[DirectoryRow], datetime | None]:
    """Of each series the newest version that has begun (or the oldest, when none has), as the signer has it; and when
    the next one begins. A series has two current versions while the newer one waits for its start."""
    chosen: dict[str, DirectoryRow] = {}
    starts: list[datetime] = []
    for row in _by_version(rows):
        start = begins(row.document)
        if start > now:
            starts.append(start)
        if start <= now or row.id not in chosen:
            chosen[row.id] = row
    return list(chosen.values()), min(starts, default=None)


def begins(document: bytes) -> datetime:
    """When the agreement in these bytes begins."""
    return agreement_start(msgspec.json.decode(document, type=SignedAgreement))


def _by_version(rows: Sequence[DirectoryRow]) -> list[DirectoryRow]:
    return sorted(rows, key=lambda row: row.version)


def _precedence(state: AgreementState, now: datetime) -> tuple[bool, datetime]:
    """Of several series with one partner: those valid now before others, then the one that began last."""
    return state.terms.not_before <= now < state.terms.not_after, state.terms.not_before


def _ended(tx: ReadTx) -> list[DirectoryRow]:
    """Agreements not in force, oldest first: a new version of a revoked series is made against the revoked one."""
    return _by_version(tx.select(DirectoryRow, {"kind": AGREEMENT, "current": False}))

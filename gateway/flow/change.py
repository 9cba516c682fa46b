"""Two-person changes: what widens release is itself proposed by one person and approved by another.

The gateway and its signer run these same functions over their own copies of the state; neither believes the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Literal, TypeVar

import msgspec

from gateway.errors import Conflict, RequestInvalid, RoleMissing, SignatureInvalid
from gateway.model.agreement import SignedAgreement
from gateway.model.epoch import Epoch
from gateway.model.officer import Clearance, Officer
from gateway.model.oversight import OversightKey
from gateway.model.party import KeyRecord, Partner
from gateway.model.signing import Change
from gateway.model.time import parse_rfc3339
from gateway.policy.context import Settings
from gateway.policy.levels import default_levels
from gateway.wire.certified import require_certified
from gateway.wire.endorse import VerifiedChange, verify_change
from gateway.wire.jws import load_spki, thumbprint
from gateway.wire.strict import canonical as canonical

T = TypeVar("T")

#: Documents of which something hangs on a member, not only on their digest.
Document = Officer | Partner | SignedAgreement | Settings | OversightKey | Epoch

#: The acts of a change, in the order in which its endorsements stand.
ACTS: tuple[Literal["propose", "approve"], ...] = ("propose", "approve")

#: Persons who must stay able to change anything. One fewer, and a home could only be narrowed, for ever.
MIN_SECURITY_OFFICERS = len(ACTS)

#: Versions that a partner's entry may go on by with two persons' word: its own versions may not all have reached us.
MAX_VERSION_STEP = 1000

#: The shipped table of ranks, read once: which of two clearances is the lower one hangs on it.
_levels = lru_cache(maxsize=1)(default_levels)


def digest(raw: bytes) -> str:
    """Lower-case hex SHA-256."""
    return hashlib.sha256(raw).hexdigest()


def read_as(raw: bytes, wanted: type[T], what: str) -> T:
    """The typed document in these bytes; raises `RequestInvalid`, naming ``what``, for any others."""
    try:
        return msgspec.json.decode(raw, type=wanted)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # the three that bytes can cause
        raise RequestInvalid(f"the {what} does not follow its schema") from None


def read_exact(raw: bytes, wanted: type[T], what: str) -> T:
    """As `read_as`, and the bytes are the document's own RFC 8785 form: no member twice, nothing beside it."""
    document = read_as(raw, wanted, what)
    if canonical(document) != raw:
        raise RequestInvalid(f"the {what} is not in its one form")
    return document


class Founding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The state a home starts from; two of its own security officers sign its bytes."""

    v: Literal[1]
    org: str
    nation: str
    name: str
    profile: str  # "demo" or empty: production
    officers: tuple[Officer, ...]
    agreement_keys: tuple[KeyRecord, ...]  # our own offline agreement keys
    policy_sha256: str
    at: str
    settings: Settings = Settings()  # thresholds of the release policy; what is absent denies


class SignedFounding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The founding document as it lies in a file: its exact bytes and the endorsements."""

    document: bytes
    endorsements: tuple[str, ...]


def verify_founding(signed: SignedFounding, *, now: datetime) -> Founding:
    """Check the founding document by itself.

    (1) it decodes strictly; (2) officer ids, persons and keys are unique; (3) two endorsements over its exact bytes
    verify with keys it names; (4) they come from two persons, both security officers, neither an operator.
    """
    # (1)
    founding = read_as(signed.document, Founding, "founding document")
    # (2)
    officers = {officer.id: officer for officer in founding.officers}
    persons = {officer.person for officer in founding.officers}
    if not len(officers) == len(persons) == len(founding.officers):
        raise RequestInvalid("the founding document names an officer or a person twice")
    require_own_keys(founding.officers)
    # (3)
    found = verify_endorsements(signed.document, signed.endorsements, officers, now=now)
    # (4)
    require_two(found, officers)
    return founding


def verify_endorsements(
    statement: bytes, endorsements: Sequence[str], officers: Mapping[str, Officer], *, now: datetime
) -> list[VerifiedChange]:
    """Verify the proposal, then the approval if there is one. Raises what `verify_change` raises."""
    if not 1 <= len(endorsements) <= len(ACTS):
        raise RoleMissing("a change needs one proposal and one approval")
    found = [verify_change(token, officers, statement=statement, now=now) for token in endorsements]
    if tuple(endorsement.act for endorsement in found) != ACTS[: len(found)]:
        raise RoleMissing("a change needs one proposal and one approval, in this order")
    return found


def policy_in_force(rules_sha256: str, settings_sha256: str) -> str:
    """One digest for what decides: the rules, and the thresholds they are asked with. It stands in every decision."""
    return digest(canonical({"rules": rules_sha256, "settings": settings_sha256}))


def require_two(found: Sequence[VerifiedChange], officers: Mapping[str, Officer]) -> None:
    """One proposal and one approval, by two persons, both security officers, neither an operator."""
    if len(found) != len(ACTS):
        raise RoleMissing("a change needs one proposal and one approval")
    if found[0].person == found[1].person:
        raise RoleMissing("a change needs two persons: both endorsements are of one")
    for endorsement in found:
        require_change_role(officers[endorsement.officer])


def require_change_role(officer: Officer) -> None:
    """Security officers may take part in changes; who operates the gateway never may."""
    if "security-officer" not in officer.roles or "operator" in officer.roles:
        raise RoleMissing("a change needs security officers who are not operators")


def verify_trust_change(
    statement: bytes,
    document: bytes,
    endorsements: Sequence[str],
    *,
    home: str,
    officers: Mapping[str, Officer],
    before_sha256: str,
    narrowing: bool,
    now: datetime,
) -> Change:
    """Check one change against the state before it.

    (1) the statement decodes, is for this home, and its start time has come; (2) it was made against the document in
    force, names exactly this new one, which is in its one form, and tells its signers truly whether it widens; (3)
    every endorsement over its exact bytes verifies; (4) two persons, both security officers, or one where the change
    only narrows; (5) the proposal is by the proposer it names; (6) of an officer: `require_people`, and
    what widens `require_others`; (7) of a partner:
    `require_certified`, unless the change only narrows: it brings no key, and a kill switch must always work.
    Raises `Conflict` when the state has moved on, `RoleMissing` or `SignatureInvalid` when a signature is short.
    """
    # (1)
    change = read_change(statement)
    if change.home != home:
        raise Conflict("the change was made for another organisation")
    if parse_rfc3339(change.not_before) > now:
        raise Conflict("the start time of the change has not come")
    # (2)
    if change.before_sha256 != before_sha256:
        raise Conflict("the change was made against a document that is no longer in force")
    if change.after_sha256 != digest(document):
        raise Conflict("the change names another document than the one given")
    decoded = decode_document(change.kind, document)
    if not isinstance(decoded, bytes) and canonical(decoded) != document:
        raise RequestInvalid(f"the {change.kind} document is not in its one form")
    if change.widening == narrowing:
        said = "widens" if change.widening else "narrows"
        raise RequestInvalid(f"the change says that it {said} what may leave, and does the other")
    # (3)
    found = verify_endorsements(statement, endorsements, officers, now=now)
    # (4)
    if narrowing and len(found) == 1:
        require_change_role(officers[found[0].officer])
    else:
        require_two(found, officers)
    # (5)
    if found[0].officer != change.proposer:
        raise SignatureInvalid("the proposal is not signed by the proposer it names")
    # (6)
    if isinstance(decoded, Officer):
        require_people(officers, decoded)
        if not narrowing:
            require_others(found, officers, decoded)
    # (7)
    if isinstance(decoded, Partner) and not narrowing:
        require_certificates(decoded)
    return change


def require_certificates(partner: Partner) -> None:
    """Every certificate in an entry is one, and its key's. Raises `RequestInvalid`."""
    for key in partner.keys:
        require_certified(key)


def require_people(before: Mapping[str, Officer], officer: Officer) -> None:
    """What must hold of all officers once this one is in force: no key in two entries, and enough of those who change
    anything. Raises `RequestInvalid`, `RoleMissing` or `Conflict`.

    A home that has too few security officers already is not asked for more, only kept from losing another.
    """
    after = {**before, officer.id: officer}
    require_own_keys(after.values())
    left = _able(after.values())
    if len(left) < min(MIN_SECURITY_OFFICERS, len(_able(before.values()))):
        raise Conflict("two security officers must stay in force: without them nobody could change anything")


def require_others(
    found: Sequence[VerifiedChange], officers: Mapping[str, Officer], officer: Officer
) -> None:
    """What gives a person more is approved by somebody else, whichever entry that person would sign with; and once an
    entry of the person is suspended, it is proposed by somebody else too: another entry does not bring the first back.
    Raises `RoleMissing`."""
    before = officers.get(officer.id)
    persons = {officer.person, before.person if before is not None else officer.person}
    suspended = any(one.suspended for one in officers.values() if one.person in persons)
    for endorsement in found:
        if endorsement.person in persons and (suspended or endorsement.act == "approve"):
            raise RoleMissing("a change that widens what a person may do is another person's to sign")


def require_own_keys(officers: Iterable[Officer]) -> None:
    """A key, revoked or not, stands in one entry, under its own thumbprint: in two, one person could be both pairs of
    eyes, whatever the entries call the person."""
    seen: set[str] = set()
    for officer in officers:
        for key in officer.keys:
            if thumbprint(load_spki(key.public)) != key.kid:
                raise RequestInvalid("the id of an officer's key is not its thumbprint")
            if key.kid in seen:
                raise RoleMissing("a key belongs to two officers")
            seen.add(key.kid)


def _able(officers: Iterable[Officer]) -> set[str]:
    """The persons who can take part in a change: role, no suspension, and a key to sign it with."""
    return {
        one.person
        for one in officers
        if "security-officer" in one.roles
        and "operator" not in one.roles
        and any(one.key(key.kid) for key in one.keys)
    }


def narrows(kind: str, before: Officer | Partner | None, document: bytes) -> bool:
    """Whether a change can only release less: one person's word is enough for it (the kill switch).

    Revoking an agreement, suspending an officer, taking away roles, clearance or need to know, revoking keys, stopping
    a partner, revoking its keys. Everything that is not plainly one of these widens; so does taking away the role of
    operator, which forbids others, from an officer who goes on. A key stays where it stands, as revoked: taken out, it
    could stand in another entry. A version goes on by one, an officer's at most: at the last number it would be stuck.
    """
    if kind == "agreement-revoke":
        return True
    after = decode_document(kind, document)
    if isinstance(before, Officer) and isinstance(after, Officer):
        keys = [key.kid for key in after.keys] == [key.kid for key in before.keys] and all(
            new.public == old.public and new.revoked >= old.revoked
            for new, old in zip(after.keys, before.keys, strict=True)
        )
        same = msgspec.structs.replace(
            after,
            keys=before.keys,
            roles=before.roles,
            clearance=before.clearance,
            need_to_know=before.need_to_know,
            suspended=before.suspended,
            version=before.version,
        )
        operator = ("operator" in after.roles) == ("operator" in before.roles) or after.suspended
        return (
            keys
            and 0 <= after.version - before.version <= 1
            and operator
            and set(after.roles) <= set(before.roles)
            and _lowered(before.clearance, after.clearance)
            and set(after.need_to_know) <= set(before.need_to_know)
            and after.suspended >= before.suspended
            and same == before
        )
    if isinstance(before, Partner) and isinstance(after, Partner):
        revoked = [msgspec.structs.replace(key, revoked=False) for key in after.keys]
        was = [msgspec.structs.replace(key, revoked=False) for key in before.keys]
        only_more = all(new.revoked >= old.revoked for new, old in zip(after.keys, before.keys, strict=False))
        same_partner = msgspec.structs.replace(
            after, keys=before.keys, stopped=before.stopped, version=before.version
        )
        return (
            revoked == was
            and after.version == before.version + 1
            and only_more
            and after.stopped >= before.stopped
            and same_partner == before
        )
    return False


def require_next_version(before: Partner | None, after: Partner) -> None:
    """An entry in force is only followed by a newer version, and never by one that leaves no room for the next: whoever
    brought it to the last number would have made it unstoppable. Raises `Conflict`."""
    last = before.version if before is not None else 0
    if after.version <= last:
        raise Conflict("a partner entry must carry a newer version")
    if after.version > last + MAX_VERSION_STEP:
        raise Conflict("a partner entry skips too many versions")


def _lowered(before: Clearance | None, after: Clearance | None) -> bool:
    """Whether a clearance reaches no higher and no longer. What the table of levels does not rank, it cannot say."""
    if after is None or after == before:
        return True
    if before is None or after.policy != before.policy or after.until > before.until:
        return False
    old, new = (_levels().rank(one.policy, one.level) for one in (before, after))
    return old is not None and new is not None and new <= old


def read_change(statement: bytes) -> Change:
    """Decode a change statement; raises `RequestInvalid`, and for bytes that are not their own RFC 8785 form too."""
    return read_exact(statement, Change, "change statement")


def decode_document(kind: str, document: bytes) -> Document | bytes:
    """The typed document of a change. Raises `RequestInvalid` naming the kind."""
    types: dict[str, type[Document]] = {
        "officer": Officer,
        "partner": Partner,
        "agreement": SignedAgreement,
        "agreement-revoke": SignedAgreement,
        "settings": Settings,
        "oversight": OversightKey,
        "epoch": Epoch,
    }
    wanted = types.get(kind)
    return document if wanted is None else read_as(document, wanted, f"{kind} document")


def decode_settings(document: bytes) -> Settings:
    """The thresholds of the release policy; raises `RequestInvalid` unless they follow their closed schema."""
    return read_as(document, Settings, "settings document")

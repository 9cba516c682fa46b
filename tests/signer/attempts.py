"""Ways to come to a batch that must not be sealed: what a hostile gateway alters, what colluding officers sign.

Each helper here leaves everything else honest, so that a refusal has one cause.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.audit import tree
from gateway.flow.change import digest
from gateway.model.signing import SealBatch
from gateway.wire.endorse import sign_change
from gateway.wire.jws import thumbprint
from tests.policy.worlds import NOW, POLICE
from tests.signer.world import (
    KEYS,
    SIGNED,
    Disk,
    batch,
    disk,
    endorse,
    evidence_of,
    partner,
    people,
    put,
    recanonical,
    release,
    signed_agreement,
    trust,
    trusted,
    with_evidence,
    with_head,
    with_request,
)

Attempt = SealBatch | tuple[SealBatch, Disk]
Rows = dict[str, dict[str, Callable[[], Attempt]]]  # by code, by name

LIFT: dict[str, Any] = {"lifts": [{"pointer": "/national_number", "reason": "invented: identity check"}]}
CLASSIFIED: dict[str, Any] = {"labels.*.label.level": "SECRET"}


def stated(**members: Any) -> SealBatch:
    """The statement swapped after both officers have signed."""
    made = batch()
    edit = put(*(part for pair in members.items() for part in pair))
    return with_evidence(made, statement=recanonical(edit(evidence_of(made).statement)))


def bytes_of_statement(raw: Callable[[bytes], bytes]) -> SealBatch:
    """Other bytes than canonical ones, and the officers did sign exactly these."""
    made = batch()
    other = raw(evidence_of(made).statement)
    return with_evidence(made, statement=other, endorsements=tuple(endorse(*one, other) for one in SIGNED))


def endorsed(*tokens: Callable[[bytes], str]) -> SealBatch:
    """The honest statement with these endorsements."""
    made = batch()
    return with_evidence(made, endorsements=tuple(token(evidence_of(made).statement) for token in tokens))


def request_by(name: str, says: str = "") -> Callable[[bytes], str]:
    return lambda statement: endorse(name, "request", statement, says=says)


def approval_by(name: str, says: str = "") -> Callable[[bytes], str]:
    return lambda statement: endorse(name, "approve", statement, says=says)


def two(requester: str, approver: str) -> SealBatch:
    """An honest release that these two have signed: the statement names the requester who signs."""
    return batch(
        release(requester=requester) if requester in GOOD else None,
        statement=put("requester", requester),
        signed=((requester, "request"), (approver, "approve")),
    )


def two_keys() -> Attempt:
    """One officer with two keys in one entry requests with the first and approves with the second."""
    officers = people()
    second = officers.pop("be-second-key")
    one = officers["be-requester"]
    both = msgspec.structs.replace(one, keys=one.keys + second.keys, roles=("requester", "approver"))
    made = endorsed(request_by("be-requester"), approval_by("be-second-key", says="be-requester"))
    return believing(made, officers=officers | {"be-requester": both})


GOOD = ("be-requester", "be-both", "be-second-key")


def believing(made: SealBatch, **changes: Any) -> Attempt:
    """The batch before a signer with another trust."""
    return made, disk(trust(**changes))


def with_officer(made: SealBatch, name: str, **changes: Any) -> Attempt:
    """The batch before a signer whose trust has this officer changed."""
    officers = people()
    return believing(made, officers=officers | {name: msgspec.structs.replace(officers[name], **changes)})


def with_partner(made: SealBatch, **changes: Any) -> Attempt:
    return believing(made, partners={POLICE: partner(**changes)})


def agreed(*sides: str, revoked: bool = False, **terms: Any) -> Attempt:
    """The batch made, approved and sent under another agreement, which is the one the signer holds."""
    signed = signed_agreement(*sides, **terms)
    made = with_request(batch(), agreement=trusted(signed).sha256)
    made = batch(decision=put("agreement_sha256", trusted(signed).sha256))
    made = with_request(made, agreement=trusted(signed).sha256)
    return believing(made, agreements={"be-fr-police": trusted(signed, revoked=revoked)})


def revoked_key(name: str) -> dict[str, Any]:
    return {"keys": tuple(msgspec.structs.replace(key, revoked=True) for key in people()[name].keys)}


def encryption_key(**changes: Any) -> Attempt:
    """The partner's encryption key was like this from the start: the officers approved the entry with it."""
    enc, *others = partner().keys
    entry = partner(keys=(msgspec.structs.replace(enc, **changes), *others))
    return believing(batch(release(toward=entry)), partners={POLICE: entry})


def under_leaves(*positions: int) -> SealBatch:
    """The batch under the well-formed first head of a log of these entries in this order."""
    made, log = batch(), tree.Frontier()
    leaves = tuple(made.checkpoint.first[position] for position in positions)
    for leaf in leaves:
        log.push(leaf)
    return with_head(made, size=log.size, root=log.root(), first=leaves)


def after_record(edit: Callable[[bytes], bytes]) -> SealBatch:
    """The record swapped after the approval."""
    made = batch()
    return with_evidence(made, records=(recanonical(edit(evidence_of(made).records[0])),))


def label_part(path: str, value: Any) -> SealBatch:
    """One member of the message's labels widened, both officers and the log in on it."""
    return batch(payload=put(path, value))


# --- the table -------------------------------------------------------------------------------------------------------


def decided(raw: bytes | Callable[[bytes], bytes]) -> SealBatch:
    """These very bytes as decision, bound and signed."""
    made = batch()
    other = raw if isinstance(raw, bytes) else raw(evidence_of(made).decision)
    statement = recanonical(put("decision_sha256", digest(other))(evidence_of(made).statement))
    tokens = tuple(endorse(name, act, statement) for name, act in SIGNED)
    return with_evidence(made, decision=other, statement=statement, endorsements=tokens)


def outcome_of(pointer: str, outcome: str) -> Callable[[bytes], bytes]:
    def edit(raw: bytes) -> bytes:
        fields = json.loads(raw)["records"][0]["fields"]
        (index,) = (number for number, entry in enumerate(fields) if entry["pointer"] == pointer)
        return put(f"records.0.fields.{index}.outcome", outcome)(raw)

    return edit


def released(pointer: str) -> Callable[[bytes], bytes]:
    return outcome_of(pointer, "released")


def swapped_payload() -> SealBatch:
    """The log announces the swapped bytes; the officers signed the others."""
    honest = evidence_of(batch())
    return with_request(batch(payload=lambda raw: raw.replace(b'"sex":"M"', b'"sex":"F"')), evidence=honest)


def change_approval(statement: bytes) -> str:
    kid = thumbprint(KEYS["be-approver"].public_key())
    return sign_change(
        KEYS["be-approver"], kid, officer="be-approver", act="approve", at=NOW, statement=statement
    )


def revoke(use: str) -> tuple[Any, ...]:
    return tuple(msgspec.structs.replace(key, revoked=key.use == use) for key in partner().keys)


def under(changes: dict[str, Any], **terms: Any) -> Attempt:
    """A release the policy permits under the honest ceiling, presented under an agreement with other terms."""
    signed = signed_agreement(**terms)
    made = batch(release(changes), decision=put("agreement_sha256", trusted(signed).sha256))
    made = with_request(made, agreement=trusted(signed).sha256)
    return believing(made, agreements={"be-fr-police": trusted(signed)})

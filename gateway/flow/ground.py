"""Grounds: what makes one fit to be recorded, and on which of those in force a decision rests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from gateway.errors import RoleMissing
from gateway.flow.typed import fault, require_text
from gateway.model.decision import Decision
from gateway.model.ground import EVERYTHING, Authorisation, Consent, Ground, GroundName
from gateway.model.kind import RecordKind
from gateway.model.officer import Officer
from gateway.model.record import fields_of
from gateway.model.time import Instant, PartialDate
from gateway.policy.context import Context
from gateway.policy.facts.field import others_of
from gateway.wire.strict import OrgId, Sha256

#: Entries of one list of a ground: partners, purposes or field patterns of one record.
MAX_ENTRIES = 64

#: What an officer wrote down as happening now may be ahead by the skew of two clocks.
MAX_SKEW = timedelta(minutes=5)


def recipients_of(ground: Ground) -> tuple[str, ...]:
    """Organisations toward which the ground holds."""
    return ground.recipients if isinstance(ground, Consent | Authorisation) else (ground.recipient,)


def require_sound(ground: Ground, kind: RecordKind, *, ours: str, now: Instant) -> None:
    """Raises `RequestInvalid`, naming field and rule, for a ground that could permit nothing or says too little.

    (1) organisations are ids, none of them ours, none twice; (2) no list is empty, and each text is as
    `require_text` asks; (3) the last day has not passed, and what was given was given already; (4) items of a consent
    and data of a derogation are patterns of the kind. That the words are true is for two officers to know.
    """
    # (1)
    _require_orgs("recipients", recipients_of(ground), ours)
    # (3)
    bounds = PartialDate(date=ground.until, precision="day").bounds()
    if bounds is None or bounds[0] < now.date():
        raise fault("until", "a ground states its last day, YYYY-MM-DD, not yet over")
    if isinstance(ground, Consent):
        _require_orgs("originator", (ground.originator,), ours)
        _require_list("purposes", ground.purposes)
        _require_list("items", ground.items)
        if not {*ground.items} <= {EVERYTHING, *kind.fields}:
            raise fault("items", "the record's kind has no field of this pattern")
        require_text("by", ground.by)
        _require_past("at", ground.at, now)
    elif isinstance(ground, Authorisation):
        require_text("authority", ground.authority)
        require_text("reference", ground.reference)
        if not _is(ground.file_sha256, Sha256):
            raise fault("file_sha256", "the authority's document is named by its SHA-256")
    else:
        require_text("justification", ground.justification)
        _require_list("data", ground.data)
        _require_past("at", ground.at, now)
        # (4)
        if not {*ground.data} <= kind.fields.keys():
            raise fault("data", "the record's kind has no field of this pattern")


def _require_orgs(field: str, orgs: tuple[str, ...], ours: str) -> None:
    _require_list(field, orgs)
    if not all(_is(org, OrgId) for org in orgs):
        raise fault(field, "an organisation is named by its id, such as fra.police-demo")
    if ours in orgs:
        raise fault(field, "our own organisation neither consents to itself nor receives")


def _require_list(field: str, entries: tuple[str, ...]) -> None:
    # (2)
    if not entries or len(entries) > MAX_ENTRIES or len({*entries}) < len(entries):
        raise fault(field, f"1 to {MAX_ENTRIES} entries, none twice")
    for entry in entries:
        require_text(field, entry)


def _require_past(field: str, at: Instant, now: Instant) -> None:
    if at > now + MAX_SKEW:
        raise fault(field, "what is recorded has happened already")


def _is(value: str, shape: object) -> bool:
    try:
        msgspec.convert(value, shape)
    except msgspec.ValidationError:
        return False
    return True


def require_recorder(officer: Officer) -> None:
    """Who records a ground may ask for or approve releases, and operates nothing. Raises `RoleMissing`."""
    if "operator" in officer.roles or not {"requester", "approver"} & {*officer.roles}:
        raise RoleMissing("a ground is recorded by a requester or an approver who is no operator")


def require_second(officer: Officer, recorder_person: str) -> None:
    """What takes two persons takes an approver as the second, neither an operator. Raises `RoleMissing`."""
    if "operator" in officer.roles or "approver" not in officer.roles:
        raise RoleMissing("the second person is an approver who is no operator")
    if officer.person == recorder_person:
        raise RoleMissing("the first person was you: another one confirms")


def rests_on(ctx: Context, decision: Decision) -> tuple[GroundName, ...]:
    """Of the grounds in force, those without which a rule would have had to be asked otherwise.

    Consents of a service that supplied a field which leaves, unless consent came with the field; the authorisation
    where the record holds judicial information; the derogation where the transfer rests on one.
    """
    leaving = {*decision.released}
    suppliers = {
        other
        for field in fields_of(ctx.record, ctx.kind)
        if field.pointer in leaving and ctx.partner.org not in field.consent
        for other in others_of(ctx, field) or ()
    }
    judicial = bool((ctx.subject.content.get("status") or {}).get("judicial_information"))
    transfer = ctx.settings.transfers.get(ctx.partner.nation)
    derogates = transfer is not None and transfer.ground == "derogation"
    return tuple(
        name
        for name in ctx.grounds
        if (name.kind == "consent" and name.originator in suppliers)
        or (name.kind == "authorisation" and judicial)
        or (name.kind == "derogation" and derogates)
    )


def withdrawn(named: Sequence[GroundName], ctx: Context) -> bool:
    """Whether one of these grounds holds no more, or not toward this partner: what rests on it does not leave."""
    return not {*named} <= {*ctx.grounds}

"""What the entries of the logs add up to: counts under closed topics, from one entry at a time, without I/O.

Counts alone are kept: ids of organisations, officers, rules, kinds and codes name them, never a person or a value.
What an entry commits to may be gone, erased or too old: it is then counted as an entry, and as unopened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, tzinfo
from typing import Any

import msgspec

from gateway.audit.entry import MasterEntry, PartnerEntry
from gateway.model.message import DEMANDS

#: A topic and its labels, and how many.
Key = tuple[str, ...]

#: Every topic, and what its labels are.
TOPICS: dict[str, Key] = {
    "entries": ("event",),
    "unopened": ("event",),  # the detail is gone
    "unread": ("event",),  # the detail has a form that this version does not know
    "releases": ("partner", "type", "kind"),  # prepared: permitted, and frozen for signature
    "denials": ("partner", "kind"),
    "denied_by": ("partner", "rule"),  # each rule that spoke against it: one denial may have several
    "withheld_by": ("partner", "rule"),  # fields of what was permitted
    "endorsements": ("act",),
    "lifts": ("approver",),  # class C fields unlocked
    "voids": ("rule",),
    "ended": ("how",),  # rejected, cancelled
    "queue": ("step",),
    "emergencies": ("step",),
    "waived": ("rule",),
    "oral": ("step",),
    "recalls_answered": ("answer",),  # partners' recalls, by our officers
    "corrections_answered": ("answer",),
    "notices": ("duty", "state"),
    "erasures": ("step",),
    "erased": ("what",),
    "holds": ("step",),
    "findings": ("severity", "step"),
    "changes": ("kind", "step"),
    "house_acts": ("step",),  # embargoes, grounds, subjects that are one person
    "imports": ("what",),
    "refused": ("reason",),  # connections and requests, before a partner was known
    "quarantine": ("partner", "code"),
    "equivocations": ("partner",),
    "reads": ("officer", "what"),
    "policies": ("sha256",),  # decisions made under each
    "levels": ("version",),
    "configurations": ("sha256",),
    "epochs": ("reason",),  # of the logs: a rotation of the key, or a loss declared by two persons
    "crossed": ("partner", "direction", "type"),
    "receipts": ("partner", "direction"),
}

#: Erasures, grounds and the like are changes of the log by their step: which topic each belongs to.
_STEPS = {"erasure": ("erasures", "proposed"), "erasure-reject": ("erasures", "rejected")}


class Count(msgspec.Struct, frozen=True):
    """How many, of what."""

    topic: str
    labels: Key
    count: int


def counts(found: Counter[Key]) -> tuple[Count, ...]:
    """In order of topic and labels."""
    return tuple(Count(key[0], key[1:], found[key]) for key in sorted(found))


def added(pages: Iterable[Iterable[Count]]) -> Counter[Key]:
    """Several tallies in one."""
    total: Counter[Key] = Counter()
    for page in pages:
        for one in page:
            total[one.topic, *one.labels] += one.count
    return total


def bounds(year: int, zone: tzinfo) -> tuple[datetime, datetime]:
    """The first instant of a calendar year in this zone, and the first after it, in UTC."""
    first, after = (datetime(number, 1, 1, tzinfo=zone) for number in (year, year + 1))
    return first.astimezone(UTC), after.astimezone(UTC)


def crossed(partner: str, entry: PartnerEntry) -> Key:
    """What one entry of a partner's log counts as."""
    if entry.event == "receipt":
        return "receipts", partner, entry.direction
    return "crossed", partner, entry.direction, entry.type if entry.type in DEMANDS else "unknown"


def tally(entry: MasterEntry, detail: bytes | None) -> Counter[Key]:
    """What one entry of the master log counts as. ``detail`` is what it commits to; None when that is gone."""
    found = Counter[Key]({("entries", entry.event): 1})
    if detail is None:
        found["unopened", entry.event] += 1
        return found
    try:
        for key, number in _told(entry, detail):
            if number:
                found[key] += number
    except (msgspec.MsgspecError, UnicodeDecodeError):
        found["unread", entry.event] += 1
    return found


# --- the forms of details, as far as they are counted ----------------------------------------------------------------


class _Reason(msgspec.Struct, frozen=True):
    rule: str
    effect: str


class _Field(msgspec.Struct, frozen=True):
    outcome: str
    rule: str


class _Decision(msgspec.Struct, frozen=True):
    effect: str
    reasons: tuple[_Reason, ...] = ()
    fields: tuple[_Field, ...] = ()


class _Considered(msgspec.Struct, frozen=True):
    policy_sha256: str
    levels_version: str


class _Envelope(msgspec.Struct, frozen=True):
    type: str


class _Record(msgspec.Struct, frozen=True):
    kind: str


class _Document(msgspec.Struct, frozen=True):
    """Of any release: the document that its endorsements bind to."""

    partner: str
    envelope: _Envelope
    records: tuple[_Record, ...] = ()


class _Oral(msgspec.Struct, frozen=True):
    late: bool
    outside: tuple[str, ...]


class _Erased(msgspec.Struct, frozen=True):
    entries: tuple[int, ...]
    messages: tuple[str, ...]
    bodies: tuple[str, ...]


class _Said(msgspec.Struct, frozen=True):
    """Every other detail is a map with some of these members."""

    partner: str = ""
    kind: str = ""
    decision: _Decision | None = None
    considered: _Considered | None = None
    document: Any = b""
    step: str = ""
    act: str = ""
    lifts: int = 0
    emergency: Any = None
    event: str = ""
    queue: str = ""
    recall: str = ""
    correction: str = ""
    duty: str = ""
    state: str = ""
    severity: str = ""
    what: str = ""
    new: int = 0
    changed: int = 0
    purged: int = 0
    removed: str = ""
    reason: str = ""
    count: int = 0
    code: str = ""
    equivocation: Any = None
    config_sha256: str = ""


def _told(entry: MasterEntry, detail: bytes) -> Iterator[tuple[Key, int]]:
    if entry.event == "erasure":  # lies open, as JSON
        erased = msgspec.json.decode(detail, type=_Erased)
        yield ("erasures", "done"), 1
        for what in ("entries", "messages", "bodies"):
            yield ("erased", what), len(getattr(erased, what))
        return
    plain = msgspec.msgpack.decode(detail)
    if isinstance(plain, bytes):
        yield from _document(entry, plain)
    elif isinstance(plain, list | tuple):
        for reason in msgspec.convert(plain, tuple[_Reason, ...]):
            yield ("voids", reason.rule), 1
    else:
        yield from _said(entry, msgspec.convert(plain, _Said))


def _document(entry: MasterEntry, raw: bytes) -> Iterator[tuple[Key, int]]:
    """A coded message as prepared, or what was said aloud."""
    if entry.event == "oral":
        oral = msgspec.json.decode(raw, type=_Oral)
        yield ("oral", "recorded"), 1
        yield ("oral", "late"), int(oral.late)
        yield ("oral", "breach"), int(bool(oral.outside))
        return
    document = msgspec.json.decode(raw, type=_Document)
    kinds = {record.kind for record in document.records} or {""}
    for kind in sorted(kinds):
        yield ("releases", document.partner, document.envelope.type, kind), 1


def _said(entry: MasterEntry, said: _Said) -> Iterator[tuple[Key, int]]:
    match entry.event:
        case "decision" | "release" if said.decision is not None:
            yield from _decided(entry, said, said.decision)
        case "decision" if said.recall or said.correction:
            topic = "recalls_answered" if said.recall else "corrections_answered"
            yield (topic, said.recall or said.correction), 1
        case "release" if said.queue:
            yield ("queue", said.queue), 1
        case "endorsement":
            yield from _endorsed(entry, said)
        case "void" if said.event:
            yield ("ended", said.event), 1
        case "read":
            # What follows a comma says which one: an id or a digest.
            yield ("reads", entry.actor, said.what.partition(",")[0] or "preview"), 1
        case "change":
            if said.kind:
                yield ("changes", said.kind, said.step), 1
            elif said.step == "reject":
                yield ("changes", "", said.step), 1
            else:
                yield _STEPS.get(said.step, ("house_acts", said.step)), 1
        case "oral" | "hold":
            yield ("oral" if entry.event == "oral" else "holds", said.step), 1
        case "finding":
            yield ("findings", said.severity, said.step), 1
        case "notice":
            yield ("notices", said.duty, said.state), 1
        case "import":
            yield ("imports", "new"), said.new
            yield ("imports", "changed"), said.changed
            yield ("imports", "purged"), said.purged
            yield ("imports", "removed"), int(bool(said.removed))
        case "refused" if said.equivocation:
            yield ("equivocations", entry.actor), 1
        case "refused" if said.code:
            yield ("quarantine", entry.actor, said.code), 1
        case "refused":
            yield ("refused", said.reason), said.count
        case "epoch":
            yield ("epochs", said.reason), 1
        case "config":
            yield ("configurations", said.config_sha256), 1
        case _:
            yield ("unread", entry.event), 1


def _decided(entry: MasterEntry, said: _Said, decision: _Decision) -> Iterator[tuple[Key, int]]:
    if said.considered is not None:
        yield ("policies", said.considered.policy_sha256), 1
        yield ("levels", said.considered.levels_version), 1
    if entry.event == "release":
        yield from _document(entry, said.document)
        for field in decision.fields:
            yield ("withheld_by", said.partner, field.rule), int(field.outcome == "withheld")
    elif decision.effect != "PERMIT":
        yield ("denials", said.partner, said.kind), 1
        for rule in sorted({reason.rule for reason in decision.reasons if reason.effect != "PERMIT"}):
            yield ("denied_by", said.partner, rule), 1


def _endorsed(entry: MasterEntry, said: _Said) -> Iterator[tuple[Key, int]]:
    yield ("endorsements", said.act), 1
    approver = entry.actor
    if isinstance(said.emergency, dict):  # queued as one
        oral = str(said.emergency.get("oral_approver", ""))
        yield ("emergencies", "oral" if oral else "two-signed"), 1
        for rule in said.emergency.get("waived", ()):
            yield ("waived", str(rule)), 1
        approver = oral or approver
    elif said.emergency:
        yield ("emergencies", str(said.emergency)), 1
    elif said.act == "informed":
        yield ("emergencies", "informed"), 1
    yield ("lifts", approver), said.lifts

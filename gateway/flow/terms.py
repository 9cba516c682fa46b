"""Whether terms of an agreement say what they must, without I/O: each fault with its member and its rule.

Decoding holds terms to their closed types, and `read_terms` to what every reader of signed bytes relies on. What is
asked here is asked before anybody signs, and before two officers put it in force: that nothing is empty that must not
be, and that what is named exists.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from gateway.errors import RequestInvalid
from gateway.flow.typed import plain
from gateway.model.agreement import AgreementTerms
from gateway.model.kind import RecordKind
from gateway.model.label import LevelTable

#: The regime whose records need a bulk term by the police route (police-function law art. 44/11/13).
BDC = "bdc"

#: Versions of one series: one a day for 2,700 years. A number beyond is a slip of the hand, after which none is newer.
MAX_VERSION = 1_000_000

#: Days of retention or of a bulk term: a century, so that no date computed from them leaves the calendar.
MAX_DAYS = 36_525

_SERIES = re.compile(r"[0-9A-Za-z][0-9A-Za-z.:_-]{0,127}", re.ASCII)
_ORG = re.compile(r"[a-z]{3}\.[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)
_LANGUAGE = re.compile(r"[a-z]{2}", re.ASCII)
_VERSIONED = re.compile(r"[a-z][a-z0-9-]*/[0-9]+\.[0-9]+", re.ASCII)

#: Members that hold nothing while they are empty.
_COMPULSORY = ("series", "legal_basis", "purposes", "kinds", "formats", "languages")
_PROTOCOL = ("bodies", "controllers", "dpo_contacts", "purposes", "legal_basis", "restrictions_on_rights")
_LISTS = ("purposes", "kinds", "lifts", "formats", "languages")


class Fault(msgspec.Struct, frozen=True):
    """A member that breaks a rule, and what is wrong; the value itself is not repeated."""

    field: str
    rule: str
    detail: str


def faults(terms: AgreementTerms, kinds: Mapping[str, RecordKind], levels: LevelTable) -> tuple[Fault, ...]:
    """Everything that is wrong with these terms, in the order of their members; none: they may be signed.

    (1) what must be there is; (2) numbers and the period are such; (3) the parties are named alike everywhere;
    (4) what is named exists: kinds, class C fields of theirs, the level; (5) the protocol covers what is agreed; (6) no
    text holds a sign that its reader does not see.
    """
    return (
        *_present(terms),
        *_numbers(terms),
        *_parties(terms),
        *_named(terms, kinds, levels),
        *_protocol(terms),
        *_plain("", msgspec.to_builtins(terms)),
    )


def _present(terms: AgreementTerms) -> Iterator[Fault]:
    for name in _COMPULSORY:
        yield from _filled(name, getattr(terms, name))
    for name in _LISTS:
        values: tuple[str, ...] = getattr(terms, name)
        if any(count > 1 for count in Counter(values).values()):
            yield Fault(name, "list.unique", "an entry stands there twice")
    for name in _PROTOCOL:
        yield from _filled(f"protocol.{name}", getattr(terms.protocol, name))


def _filled(name: str, value: str | tuple[str, ...]) -> Iterator[Fault]:
    if not value or not all(part.strip() for part in ((value,) if isinstance(value, str) else value)):
        yield Fault(name, "member.present", "it is empty, and an empty member permits nothing")


def _numbers(terms: AgreementTerms) -> Iterator[Fault]:
    if terms.series.strip() and not _SERIES.fullmatch(terms.series):
        yield Fault("series", "series.name", "letters, digits and . : _ - after the first, 128 at most")
    if not 1 <= terms.version <= MAX_VERSION:
        yield Fault("version", "version.number", f"versions are numbered from 1 to {MAX_VERSION}")
    if terms.retention_days < 1:
        yield Fault("retention_days", "retention.set", "the recipient may keep nothing")
    if terms.retention_days > MAX_DAYS:
        yield Fault("retention_days", "retention.most", f"at most {MAX_DAYS} days")
    if terms.not_before >= terms.not_after:
        yield Fault("not_after", "period", "the period ends before it begins")
    if terms.bulk is not None and min(terms.bulk.records, terms.bulk.days) < 1:
        yield Fault("bulk", "bulk.number", "records and days are counted from 1")
    if terms.bulk is not None and terms.bulk.days > MAX_DAYS:
        yield Fault("bulk", "bulk.most", f"at most {MAX_DAYS} days")
    for name in ("suites", "signature_profiles"):
        if len(getattr(terms, name)) != 1:
            yield Fault(name, "exactly-one", "an agreement names exactly one")


def _parties(terms: AgreementTerms) -> Iterator[Fault]:
    if len(set(terms.parties)) != 2 or not all(part.strip() for part in terms.parties):
        yield Fault("parties", "parties.two", "an agreement is between two organisations")
    for index, name in enumerate(terms.parties):
        if name.strip() and not _ORG.fullmatch(name):
            yield Fault(
                f"parties[{index}]", "parties.id", "an organisation is named as nation.name: bel.ocam"
            )
    if set(terms.recipient_kinds) != set(terms.parties):
        yield Fault("recipient_kinds", "parties.kinds", "it says what each of the two organisations is")
    if "private" in terms.recipient_kinds.values():
        yield Fault("recipient_kinds", "recipient.public", "nothing is sent to a private recipient abroad")
    if not set(terms.parties) <= set(terms.protocol.bodies):
        yield Fault("protocol.bodies", "parties.bodies", "one of the two organisations is missing")


def _named(terms: AgreementTerms, kinds: Mapping[str, RecordKind], levels: LevelTable) -> Iterator[Fault]:
    known = [kinds[name] for name in terms.kinds if name in kinds]
    for index, name in enumerate(terms.kinds):
        if name not in kinds:
            yield Fault(f"kinds[{index}]", "kind.known", "there is no record kind of this name and version")
    for index, pattern in enumerate(terms.lifts):
        specs = [kind.fields[pattern] for kind in known if pattern in kind.fields]
        if not specs or any(spec.export_class != "C" for spec in specs):
            yield Fault(
                f"lifts[{index}]", "lift.class-c", "only a class C field of the kinds agreed can be lifted"
            )
    if levels.rank(terms.ceiling.policy, terms.ceiling.level) is None:
        yield Fault("ceiling", "level.known", "this level has no rank in the table of levels")
    for index, name in enumerate(terms.formats):
        if not _VERSIONED.fullmatch(name):
            yield Fault(f"formats[{index}]", "format.name", "a format is named with its version, as name/1.0")
    for index, name in enumerate(terms.languages):
        if not _LANGUAGE.fullmatch(name):
            yield Fault(f"languages[{index}]", "language.code", "a language is two letters (ISO 639-1)")
    if terms.bulk is None and terms.route == "police" and any(kind.regime == BDC for kind in known):
        yield Fault("bulk", "bulk.set", "BDC data by the police route needs records per days")


def _protocol(terms: AgreementTerms) -> Iterator[Fault]:
    if not set(terms.purposes) <= set(terms.protocol.purposes):
        yield Fault("protocol.purposes", "protocol.purposes", "a purpose of the agreement is missing")


def _plain(name: str, value: Any) -> Iterator[Fault]:
    """Each text below a member, the names of members that the terms themselves choose among them."""
    if isinstance(value, str) and not plain(value):
        yield Fault(name, "text.plain", "no control, bidirectional or other unseen characters but line feeds")
    elif isinstance(value, dict):
        for member, each in value.items():
            yield from (
                _plain(f"{name}.{member}" if name else member, each)
                if plain(member)
                else _plain(name, member)
            )
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            yield from _plain(f"{name}[{index}]", each)


def require_sound(terms: AgreementTerms, kinds: Mapping[str, RecordKind], levels: LevelTable) -> None:
    """Terms with a fault are put in force, offered or signed by nobody: the first one is named, with its member and its
    rule. Raises `RequestInvalid`."""
    for fault in faults(terms, kinds, levels):
        raise RequestInvalid(
            f"{fault.field}: {fault.detail}", diagnostic={"field": fault.field, "rule": fault.rule}
        )

"""Canonical records: a local record after its adapter, every field labelled or plainly unlabelled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

from gateway.model.kind import FieldSpec, RecordKind
from gateway.model.label import SecurityLabel
from gateway.model.time import Instant

#: Where a label came from. The core knows no default label: an adapter says which of these it used.
LabelSource = Literal["item", "record", "none"]


class FieldLabel(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The label of one field, or its absence said aloud (``label`` None, source ``none``)."""

    pointer: str
    label: SecurityLabel | None
    source: LabelSource
    originator: str = ""  # organisation id of the service the item came from; empty means unknown
    consent: tuple[str, ...] = ()  # organisations toward which the originator's consent is recorded


class CanonicalRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One version of one local record.

    ``content`` follows the kind's JSON Schema and holds every field, the ones that never leave included.
    Its bytes (RFC 8785) are what ``record_sha256`` is over: decision, endorsements and guard all bind to them.
    """

    kind: str
    entity_id: str  # never leaves: partners see a pseudonym
    origin: str  # organisation id that keeps the record
    extracted_at: Instant
    handed_over_by: str  # officer id of the person who handed the extract over (law 10.7.2006 art. 9 §3)
    content: dict[str, Any]
    labels: tuple[FieldLabel, ...]


class LabelledField(msgspec.Struct, frozen=True):
    """One field with everything a rule may look at."""

    pointer: str
    value: Any
    spec: FieldSpec | None  # None: the kind does not know it, so it never leaves
    label: SecurityLabel | None
    originator: str
    consent: tuple[str, ...]


def pointer_token(member: str) -> str:
    """A member name as one RFC 6901 reference token (§3), so that no name can pass for an item of another member."""
    return member.replace("~", "~0").replace("/", "~1")


def member_of(pointer: str) -> str:
    """The member of the record that the field at this pointer stands in, as a reference token."""
    return pointer.split("/", 2)[1]


def members_of(fields: Iterable[LabelledField]) -> frozenset[str]:
    """The members that these fields stand in."""
    return frozenset([field.pointer.split("/", 2)[1] for field in fields])


#: Of a field that nobody labelled.
_UNSAID = FieldLabel("", None, "none")


def fields_of(record: CanonicalRecord, kind: RecordKind) -> Iterator[LabelledField]:
    """Every field of the record, in the order of its content; a list yields one field an item."""
    labels = {entry.pointer: entry for entry in record.labels}
    for member, value in record.content.items():
        pointer = f"/{pointer_token(member)}"
        if member in kind.lists and isinstance(value, list):
            spec = kind.fields.get(f"{pointer}/*")
            for index, item in enumerate(value):
                place = f"{pointer}/{index}"
                said = labels.get(place, _UNSAID)
                yield LabelledField(place, item, spec, said.label, said.originator, said.consent)
        else:
            said = labels.get(pointer, _UNSAID)
            spec = kind.fields.get(pointer)
            yield LabelledField(pointer, value, spec, said.label, said.originator, said.consent)


def strings_of(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text in a value, with the members that lead to it from ``path`` on; indices are written as text."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for member, inner in value.items():
            yield from strings_of(inner, (*path, pointer_token(member)))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from strings_of(inner, (*path, str(index)))


def said_texts(field: LabelledField) -> Iterator[tuple[str, str]]:
    """Pointer and text of each place of the field that says something: codes of closed lists do not."""
    codes = field.spec.codes if field.spec else frozenset()
    for path, text in strings_of(field.value, tuple(field.pointer.split("/")[1:])):
        if codes.isdisjoint([step for step in path if not step.isdecimal()][-1:]):
            yield "/" + "/".join(path), text


def free_texts(field: LabelledField) -> Iterator[tuple[str, str]]:
    """Pointer and text of each place of the field that holds somebody's own words, as its kind says."""
    names = field.spec.texts if field.spec else frozenset()
    if not names:
        return
    for path, text in strings_of(field.value, tuple(field.pointer.split("/")[1:])):
        if not names.isdisjoint(path):
            yield "/" + "/".join(path), text

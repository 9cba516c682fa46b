"""A note as a record: what its JSON line and its e-mail file have in common.

Nobody's label is assumed: an item has the label that somebody gave that very item, or none. The one thing added is the
role of a person mentioned, to the label of the item about that person: a label is only ever made stricter.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import jsonschema_rs
import msgspec

import schemas
from gateway.errors import RecordInvalid, RequestInvalid
from gateway.model.kind import load_kind
from gateway.model.label import SecurityLabel
from gateway.model.record import CanonicalRecord, FieldLabel, LabelledField, fields_of
from gateway.model.time import PartialDate

KIND = "information-note/1.0"

#: Controls, line separators, directional overrides, embeddings and isolates: they make one text look like another. The
#: schema refuses them; here they only give the refusal its name.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


class Notes:
    """Makes records of one officer's notes. ``origin`` and ``handed_over_by`` as in every adapter; neither may be empty
    (`RequestInvalid`)."""

    def __init__(self, origin: str, handed_over_by: str) -> None:
        if not origin or not handed_over_by:
            raise RequestInvalid(
                "a note names the organisation it comes from and the officer who hands it over"
            )
        self._origin, self._handed_over_by = origin, handed_over_by
        schema = schemas.load_json(f"records/{KIND}.json")
        self._kind, self._order = load_kind(schema), tuple(schema["properties"])
        self._content = validator(schema)

    def record(
        self,
        note: str,
        written_at: datetime,
        content: Any,
        items: Iterable[Mapping[str, Any]] = (),
        originator: str = "",
    ) -> CanonicalRecord:
        """The record of a note; raises `RecordInvalid` with a pointer into the kind's schema, never a value.

        (1) the content follows the kind; (2) birth dates are as precise as they say; (3) every label names one item
        that exists, once; an item without one is unlabelled.
        """
        # (1) the order of the schema, so that a note has one record however it is spelled
        conform(self._content, content)
        content = {member: content[member] for member in self._order if member in content}
        # (2)
        for person in content.get("persons", ()):
            birth = person.get("birth")
            if birth and PartialDate(birth["date"], birth["precision"]).bounds() is None:
                raise RecordInvalid(
                    "a date is not what its precision says",
                    pointer="/persons/*/birth/date",
                    rule="date.precision",
                )
        # (3)
        record = CanonicalRecord(
            kind=KIND,
            entity_id=note,
            origin=self._origin,
            extracted_at=written_at,
            handed_over_by=self._handed_over_by,
            content=content,
            labels=(),
        )
        fields = list(fields_of(record, self._kind))
        return msgspec.structs.replace(record, labels=tuple(_labels(fields, items, originator)))


def _labels(
    fields: list[LabelledField], items: Iterable[Mapping[str, Any]], originator: str
) -> Iterator[FieldLabel]:
    """One entry a field: the label given to it, or none."""
    given: dict[str, Mapping[str, Any]] = {}
    for item in items:
        if item["pointer"] in given:
            raise RecordInvalid(
                "two labels for one item", pointer="/labels/*/pointer", rule="label.duplicate"
            )
        given[item["pointer"]] = item
    if not given.keys() <= {field.pointer for field in fields}:
        raise RecordInvalid(
            "a label for an item that is not there", pointer="/labels/*/pointer", rule="label.pointer"
        )
    for field in fields:
        item = given.get(field.pointer, {})
        label = _label(item, field)
        yield FieldLabel(
            pointer=field.pointer,
            label=label,
            source="none" if label is None else "item",
            originator=item.get("originator", originator),
            consent=tuple(sorted(set(item.get("consent", ())))),
        )


def _label(item: Mapping[str, Any], field: LabelledField) -> SecurityLabel | None:
    """The label as given, with the role of the person the item is about."""
    if "label" not in item:
        return None
    label = msgspec.convert(item["label"], SecurityLabel)
    if not unicodedata.is_normalized("NFC", label.level):
        raise RecordInvalid("a level is not in Unicode NFC", pointer="/labels/*/label/level", rule="text.nfc")
    if field.pointer.startswith("/persons/"):
        label = msgspec.structs.replace(label, person=(*label.person, field.value["role"]))
    return label


def validator(schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    """Formats are asserted, and patterns run in linear time: what is read is not trusted."""
    return jsonschema_rs.Draft202012Validator(
        schema, validate_formats=True, pattern_options=jsonschema_rs.RegexOptions()
    )


def conform(against: jsonschema_rs.Draft202012Validator, instance: object) -> None:
    """Raise the first violation as pointer and keyword; the validator's own text quotes the instance."""
    try:
        against.validate(instance)
    except jsonschema_rs.ValidationError as violation:
        path, rule = [*violation.instance_path], violation.kind.name
        if isinstance(violation.kind, jsonschema_rs.ValidationErrorKind.Required):
            path.append(violation.kind.property)  # the schema's name, so it may be said
        elif (
            isinstance(violation.instance, str) and rule == "pattern" and _CONTROL.search(violation.instance)
        ):
            rule = "text.control"
        pointer = "".join("/*" if isinstance(step, int) else f"/{step}" for step in path)
        raise RecordInvalid("a note breaks its schema", pointer=pointer, rule=rule) from None

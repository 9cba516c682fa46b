"""Records as JSON Lines, one a line, handed over by a named officer.

Each line carries its own labels; what reads it writes beside every field where its label came from, and invents none.
The line is described by ``schemas/extracts/bdc/1.0.json``, whatever the kind, its ``content`` by the kind's own schema.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema_rs
import msgspec

import schemas
from gateway.errors import MalformedMessage, RecordInvalid, RequestInvalid
from gateway.model.kind import load_kind
from gateway.model.label import SecurityLabel
from gateway.model.record import CanonicalRecord, FieldLabel, LabelSource, fields_of
from gateway.model.time import parse_rfc3339
from gateway.wire.strict import parse_json

MAX_FILE_BYTES = 256 * 1024 * 1024  # bytes; a whole extract is held in memory once
MAX_LINE_BYTES = 256 * 1024  # bytes; the fullest synthetic person takes 8 KiB

#: C0 and C1 controls, line separators, directional overrides, embeddings and isolates: they make one text look like
#: another. The schemas refuse them; here they only give the refusal its name.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
#: The rest of Default_Ignorable_Code_Point (Unicode 14, reserved ranges included) and interlinear annotation: what no
#: reader sees can tell two equal names apart, or carry a message out.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2060-\u2065\u206a-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


class LabelledLines:
    """Reads files of one kind; a subclass names it, and says what its schema cannot. Holds no state between two calls
    of `read`.

    ``origin`` is the organisation that keeps the records, ``handed_over_by`` the officer who hands the file over;
    without an officer nothing is read (`RequestInvalid`). ``progress`` is told the bytes done after every line.
    """

    kind: str

    def __init__(
        self, origin: str, handed_over_by: str, *, progress: Callable[[int], None] | None = None
    ) -> None:
        if not origin or not handed_over_by:
            raise RequestInvalid(
                "an extract names the organisation it comes from and the officer who hands it over"
            )
        self._origin, self._handed_over_by = origin, handed_over_by
        self._progress = progress or (lambda done: None)
        schema = schemas.load_json(f"records/{self.kind}.json")
        self._kind = load_kind(schema)
        self._order = tuple(schema["properties"])
        self._line = _validator(schemas.load_json("extracts/bdc/1.0.json"))
        self._content = _validator(schema)

    def read(self, raw: bytes) -> Iterator[CanonicalRecord | RecordInvalid]:
        """The records of an extract in file order; what is wrong is yielded in its place, and the rest goes on.

        A `RecordInvalid` names the line (from 1), a pointer into the schema (``*`` for an index; members of the
        kind, or of the line around it) and the rule that was broken: a JSON Schema keyword, or one of ``file.size``,
        ``line.size``, ``json``, ``text.control``, ``text.invisible``, ``text.nfc``, ``label.duplicate``,
        ``label.pointer``, ``duplicate-id``, and those of the kind (`check`). It never holds a
        value, nor a name that the schema does not know. Only the first fault of a line is named. Raises nothing; the
        same bytes yield equal records.

        (1) The file is within its limit.                    (5) The content follows the kind's schema.
        (2) The line is within its limit.                    (6) The content keeps the kind's own rules.
        (3) The line is strict JSON (RFC 8259, RFC 7493).    (7) Every label names one field that exists, once.
        (4) The line follows the line's schema.              (8) No accepted line before it has the same id.

        Not checked here: whether a level is known, the extract is fresh, the person may leave. The policy decides that.
        """
        # (1)
        if len(raw) > MAX_FILE_BYTES:
            yield RecordInvalid("the extract is larger than the limit", rule="file.size")
            return
        accepted: set[str] = set()
        start = number = 0
        while start < len(raw):
            newline = raw.find(b"\n", start)
            end = len(raw) if newline < 0 else newline
            number += 1
            outcome = self._outcome(raw, start, end, accepted)
            if isinstance(outcome, RecordInvalid):
                # Made anew, never raised: no traceback or context of it can hold the line.
                yield RecordInvalid(outcome.detail, pointer=outcome.pointer, rule=outcome.rule, line=number)
            elif outcome is not None:
                accepted.add(outcome.entity_id)
                yield outcome
            start = end + 1
            self._progress(min(start, len(raw)))

    def _outcome(
        self, raw: bytes, start: int, end: int, accepted: set[str]
    ) -> CanonicalRecord | RecordInvalid | None:
        """Steps (2) to (8) for one line; None for a blank one."""
        # (2)
        if end - start > MAX_LINE_BYTES:
            return RecordInvalid("a line is larger than the limit", rule="line.size")
        line = raw[start:end]
        if not line.strip():
            return None
        try:
            record = self._record(line)
        except RecordInvalid as fault:
            return fault
        # (8)
        if record.entity_id in accepted:
            return RecordInvalid("an earlier line has the same id", pointer="/id", rule="duplicate-id")
        return record

    def _record(self, raw: bytes) -> CanonicalRecord:
        """Steps (3) to (7); raises `RecordInvalid`."""
        # (3)
        try:
            line = parse_json(raw, limit=MAX_LINE_BYTES)
        except MalformedMessage:
            raise RecordInvalid("a line is not strict JSON", rule="json") from None
        # (4)
        _conform(self._line, line)
        try:
            extracted_at = parse_rfc3339(line["extracted_at"])
        except MalformedMessage:
            raise RecordInvalid("a line breaks its schema", pointer="/extracted_at", rule="format") from None
        # (5) the order of the schema, so that a line has one record however it is spelled
        _conform(self._content, line["content"])
        content = {member: line["content"][member] for member in self._order if member in line["content"]}
        # (6)
        self.check(content)
        # (7)
        record = CanonicalRecord(
            kind=self.kind,
            entity_id=line["id"],
            origin=self._origin,
            extracted_at=extracted_at,
            handed_over_by=self._handed_over_by,
            content=content,
            labels=(),
        )
        pointers = [field.pointer for field in fields_of(record, self._kind)]
        return msgspec.structs.replace(record, labels=tuple(_labels(line, pointers)))

    def check(self, content: dict[str, Any]) -> None:
        """Raise `RecordInvalid` for content that follows its schema and still says what cannot be."""


def _labels(line: dict[str, Any], pointers: list[str]) -> Iterator[FieldLabel]:
    """One entry a field: the item's own label, else the record's, else none at all."""
    items: dict[str, dict[str, Any]] = {}
    for entry in line.get("labels", ()):
        if entry["pointer"] in items:
            raise RecordInvalid(
                "two labels for one field", pointer="/labels/*/pointer", rule="label.duplicate"
            )
        items[entry["pointer"]] = entry
    if not items.keys() <= set(pointers):
        raise RecordInvalid(
            "a label for a field that is not there", pointer="/labels/*/pointer", rule="label.pointer"
        )
    whole = _label(line, "/label")
    for pointer in pointers:
        item = items.get(pointer, {})
        own = _label(item, "/labels/*/label")
        source: LabelSource = "item" if own else "record" if whole else "none"
        yield FieldLabel(
            pointer=pointer,
            label=own or whole,
            source=source,
            originator=item.get("originator", line.get("originator", "")),
            consent=tuple(sorted(set(item.get("consent", ())))),
        )


def _label(holder: dict[str, Any], pointer: str) -> SecurityLabel | None:
    """The label of a line or of one of its items, as given; a level has one spelling (Unicode NFC)."""
    if "label" not in holder:
        return None
    label = msgspec.convert(holder["label"], SecurityLabel)
    if not unicodedata.is_normalized("NFC", label.level):
        raise RecordInvalid("a level is not in Unicode NFC", pointer=f"{pointer}/level", rule="text.nfc")
    return label


def _validator(schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    # Formats are asserted, and patterns run in linear time: lines are not trusted.
    return jsonschema_rs.Draft202012Validator(
        schema, validate_formats=True, pattern_options=jsonschema_rs.RegexOptions()
    )


def _conform(validator: jsonschema_rs.Draft202012Validator, instance: object) -> None:
    """Raise the first violation as pointer and keyword; the validator's own text quotes the instance."""
    try:
        validator.validate(instance)
    except jsonschema_rs.ValidationError as violation:
        path = [*violation.instance_path]
        rule, text = violation.kind.name, violation.instance
        if isinstance(violation.kind, jsonschema_rs.ValidationErrorKind.Required):
            path.append(violation.kind.property)  # the schema's name, so it may be said
        elif isinstance(text, str) and rule != "maxLength":
            if _CONTROL.search(text):
                rule = "text.control"
            elif _INVISIBLE.search(text):
                rule = "text.invisible"
        pointer = "".join("/*" if isinstance(step, int) else f"/{step}" for step in path)
        raise RecordInvalid("a line breaks its schema", pointer=pointer, rule=rule) from None

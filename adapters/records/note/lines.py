"""Notes as JSON Lines: one note a line, each item with the label somebody gave it.

The line is described by ``schemas/extracts/note/1.0.json``, its ``content`` by
``schemas/records/information-note/1.0.json``.
"""

from __future__ import annotations

from collections.abc import Iterator

import schemas
from adapters.records.note.record import KIND, Notes, conform, validator
from gateway.errors import MalformedMessage, RecordInvalid
from gateway.model.record import CanonicalRecord
from gateway.model.time import parse_rfc3339
from gateway.wire.strict import parse_json

MAX_FILE_BYTES = 16 * 1024 * 1024  # bytes; notes are written by people
MAX_LINE_BYTES = 512 * 1024  # bytes; 64 facts and 64 assessments of 4000 characters, in Latin script


class NoteLines:
    """Reads a file of notes. Holds no state between two calls of `read`."""

    kind = KIND

    def __init__(self, origin: str, handed_over_by: str) -> None:
        self._notes = Notes(origin, handed_over_by)
        self._line = validator(schemas.load_json("extracts/note/1.0.json"))

    def read(self, raw: bytes) -> Iterator[CanonicalRecord | RecordInvalid]:
        """The notes in file order; what is wrong is yielded in its place, and the rest goes on.

        A `RecordInvalid` names the line (from 1), a pointer into the schema and the rule that was broken: a JSON Schema
        keyword, or one of ``file.size``, ``line.size``, ``json``, ``text.control``, ``text.nfc``, ``date.precision``,
        ``label.duplicate``, ``label.pointer``, ``duplicate-id``. It never holds a value. Raises nothing.

        (1) the file and (2) the line are within their limits; (3) the line is strict JSON and (4) follows its schema;
        (5) what `Notes.record` checks; (6) no accepted line before it has the same id.
        """
        # (1)
        if len(raw) > MAX_FILE_BYTES:
            yield RecordInvalid("the file is larger than the limit", rule="file.size")
            return
        accepted: set[str] = set()
        for number, line in enumerate(raw.split(b"\n"), 1):
            if not line.strip():
                continue
            try:
                record = self._record(line)
                if record.entity_id in accepted:  # (6)
                    raise RecordInvalid("an earlier line has the same id", pointer="/id", rule="duplicate-id")
            except RecordInvalid as fault:
                wrong = (fault.detail, fault.pointer, fault.rule)
            else:
                accepted.add(record.entity_id)
                yield record
                continue
            # Made anew, outside of the handler: no traceback or context of it can hold the line.
            yield RecordInvalid(wrong[0], pointer=wrong[1], rule=wrong[2], line=number)

    def _record(self, raw: bytes) -> CanonicalRecord:
        """Steps (2) to (5); raises `RecordInvalid`."""
        if len(raw) > MAX_LINE_BYTES:  # (2)
            raise RecordInvalid("a line is larger than the limit", rule="line.size")
        try:  # (3)
            line = parse_json(raw, limit=MAX_LINE_BYTES)
        except MalformedMessage:
            raise RecordInvalid("a line is not strict JSON", rule="json") from None
        conform(self._line, line)  # (4)
        try:
            written_at = parse_rfc3339(line["written_at"])
        except MalformedMessage:
            raise RecordInvalid("a note breaks its schema", pointer="/written_at", rule="format") from None
        return self._notes.record(  # (5)
            line["id"], written_at, line["content"], line.get("labels", ()), line.get("originator", "")
        )

"""What every record adapter must keep. A subclass named ``Test...`` gives the four members; pytest runs the rest."""

from __future__ import annotations

import traceback
from abc import ABC, abstractmethod
from datetime import timedelta
from typing import ClassVar, NamedTuple

import jsonschema_rs
import msgspec
import rfc8785
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import schemas
from gateway.errors import RecordInvalid
from gateway.model.kind import RecordKind, load_kind
from gateway.model.record import CanonicalRecord, fields_of
from gateway.ports import RecordAdapter


class Spoiled(NamedTuple):
    """A file of several records of which exactly one is wrong; every value in that one holds `marker`."""

    raw: bytes
    line: int
    pointer: str
    rule: str
    marker: str


#: The same test runs for each adapter's class, which is meant.
fuzz = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.differing_executors])


class RecordAdapterContract(ABC):
    """Sans I/O, repeatable, closed errors, every field labelled or plainly unlabelled."""

    #: A file of at least three records, none of them wrong.
    good: ClassVar[bytes]

    #: Such files, each with one wrong record.
    spoiled: ClassVar[tuple[Spoiled, ...]]

    @abstractmethod
    def adapter(self) -> RecordAdapter:
        """A fresh adapter."""

    def kind(self) -> RecordKind:
        """The adapter's kind, from the schema of its name."""
        return load_kind(schemas.load_json(f"records/{self.adapter().kind}.json"))

    def records(self, raw: bytes) -> list[CanonicalRecord]:
        """The records that land."""
        return [record for record in self.adapter().read(raw) if isinstance(record, CanonicalRecord)]

    def test_the_kind_exists(self) -> None:
        """The adapter's kind has a schema of that very name, with every field marked."""
        assert self.kind().name == self.adapter().kind

    def test_good_records_follow_their_kind(self) -> None:
        """Every record of a good file lands, follows its kind's schema and says whence, when and by whom."""
        schema = jsonschema_rs.Draft202012Validator(schemas.load_json(f"records/{self.adapter().kind}.json"))
        outcomes = list(self.adapter().read(self.good))
        assert len(outcomes) >= 3
        for record in outcomes:
            assert isinstance(record, CanonicalRecord)
            schema.validate(record.content)
            assert record.kind == self.adapter().kind
            assert record.entity_id
            assert record.origin
            assert record.handed_over_by
            assert record.extracted_at.utcoffset() == timedelta(0)
            assert record.extracted_at.microsecond == 0

    def test_every_field_has_one_label_entry(self) -> None:
        """One entry a field, in the order of the fields; a missing label is said aloud and never made up."""
        for record in self.records(self.good):
            fields = [field.pointer for field in fields_of(record, self.kind())]
            assert [entry.pointer for entry in record.labels] == fields
            assert all((entry.label is None) == (entry.source == "none") for entry in record.labels)

    def test_reading_again_yields_the_same(self) -> None:
        """The same bytes are the same records, byte for byte, from this adapter and from a fresh one."""
        adapter = self.adapter()
        readings = [list(reader.read(self.good)) for reader in (adapter, adapter, self.adapter())]
        canonical = [
            [rfc8785.dumps(msgspec.to_builtins(record)) for record in reading] for reading in readings
        ]
        assert canonical[0] == canonical[1] == canonical[2]

    def test_a_wrong_record_is_named_and_the_rest_lands(self) -> None:
        """A wrong record is reported by line, pointer and rule, in its place; all others land."""
        assert self.spoiled
        for raw, line, pointer, rule, _ in self.spoiled:
            outcomes = list(self.adapter().read(raw))
            (fault,) = (outcome for outcome in outcomes if isinstance(outcome, Exception))
            assert isinstance(fault, RecordInvalid)
            assert (fault.line, fault.pointer, fault.rule) == (line, pointer, rule)
            assert len(outcomes) >= 3
            assert all(isinstance(outcome, CanonicalRecord) for outcome in outcomes if outcome is not fault)

    def test_an_error_holds_no_value(self) -> None:
        """Neither text, diagnostic, traceback nor anything that hangs on the error holds what stood in the file."""
        for spoiled in self.spoiled:
            assert spoiled.marker.encode() in spoiled.raw
            for fault in self.adapter().read(spoiled.raw):
                if isinstance(fault, RecordInvalid):
                    shown = [*traceback.format_exception(fault), repr(fault), repr(vars(fault))]
                    assert spoiled.marker not in "".join(shown)
                    assert fault.__context__ is None
                    assert fault.__cause__ is None
                    assert fault.__traceback__ is None

    @fuzz
    @given(raw=st.binary(max_size=200))
    def test_any_bytes_raise_nothing(self, raw: bytes) -> None:
        """Bytes that are no file yield `RecordInvalid` or nothing; no other exception comes out."""
        assert all(isinstance(outcome, RecordInvalid) for outcome in self.adapter().read(raw))

    @fuzz
    @given(data=st.data())
    def test_damaged_files_raise_nothing(self, data: st.DataObject) -> None:
        """A good file with some bytes replaced yields records and `RecordInvalid`; no other exception comes out."""
        start = data.draw(st.integers(0, len(self.good)))
        end = start + data.draw(st.integers(0, 8))
        raw = self.good[:start] + data.draw(st.binary(max_size=8)) + self.good[end:]
        assert all(isinstance(each, CanonicalRecord | RecordInvalid) for each in self.adapter().read(raw))

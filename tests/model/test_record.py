"""Kinds and records: every property is marked, every item is a field of its own, labels go by exact pointer."""

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.errors import PolicyInvalid
from gateway.model.kind import RecordKind, load_kind
from gateway.model.label import SecurityLabel
from gateway.model.record import CanonicalRecord, FieldLabel, LabelledField, fields_of, pointer_token

SCHEMA: dict[str, Any] = {
    "x-kind": "note/1.0",
    "x-regime": "other",
    "x-interconnection": "allowed",
    "x-required-to-send": ["title"],
    "properties": {
        "title": {"x-class": "A"},
        "names": {"type": "array", "x-class": "B", "x-category": "identity"},
        "opinion": {"x-class": "C", "x-special": True},
    },
}


def kind() -> RecordKind:
    return load_kind(SCHEMA)


def fields(content: dict[str, Any], *labels: FieldLabel) -> dict[str, LabelledField]:
    record = CanonicalRecord(
        kind="note/1.0",
        entity_id="N-1",
        origin="bel.ocam",
        extracted_at=datetime(2026, 11, 21, tzinfo=UTC),
        handed_over_by="be-requester",
        content=content,
        labels=labels,
    )
    return {field.pointer: field for field in fields_of(record, kind())}


def test_a_kind_is_read_from_its_schema() -> None:
    """Class, category and the special mark of each pattern; lists become item patterns."""
    loaded = kind()
    assert (loaded.name, set(loaded.lists), set(loaded.required)) == ("note/1.0", {"names"}, {"title"})
    assert {name: spec.export_class for name, spec in loaded.fields.items()} == {
        "/title": "A",
        "/names/*": "B",
        "/opinion": "C",
    }
    assert (loaded.fields["/names/*"].category, loaded.fields["/opinion"].special) == ("identity", True)


@pytest.mark.parametrize(
    "path",
    [
        ("x-kind",),
        ("x-regime",),
        ("x-interconnection",),
        ("properties",),
        ("properties", "title", "x-class"),
    ],
)
def test_an_unmarked_kind_is_refused(path: tuple[str, ...]) -> None:
    """No mark has a default."""
    schema = copy.deepcopy(SCHEMA)
    parent: Any = schema
    for member in path[:-1]:
        parent = parent[member]
    del parent[path[-1]]
    with pytest.raises(PolicyInvalid):
        load_kind(schema)


@pytest.mark.parametrize(
    "changes",
    [
        {"properties": {"title": {"x-class": "D"}}},
        {"properties": {"title": True}},
        {"x-interconnection": "maybe"},
    ],
)
def test_a_wrongly_marked_kind_is_refused(changes: dict[str, Any]) -> None:
    """A class, property or mark outside the closed list does not load."""
    with pytest.raises(PolicyInvalid):
        load_kind({**SCHEMA, **changes})


@pytest.mark.parametrize(
    ("pointer", "pattern"),
    [
        ("/title", "/title"),
        ("/names/0", "/names/*"),
        ("/names/12", "/names/*"),
        ("/names", None),
        ("/names/x", None),
        ("/names/0/family", None),
        ("/title/0", None),
        ("/other", None),
        ("", None),
    ],
)
def test_pointers_find_their_pattern(pointer: str, pattern: str | None) -> None:
    """Only a field's own pointer has a specification; deeper, shallower and unknown ones have none."""
    spec = kind().spec(pointer)
    assert (spec.pattern if spec else None) == pattern


def test_each_item_is_a_field_in_order() -> None:
    """Members in the order of the content, one field a list item, none for an empty list."""
    found = fields({"names": ["a", "b"], "title": "t", "opinion": []})
    assert list(found) == ["/names/0", "/names/1", "/title", "/opinion"]
    assert list(fields({"names": []})) == []
    assert fields({"names": "a"})["/names"].spec is None


def test_labels_go_by_exact_pointer() -> None:
    """A label of the list is none of its items; an unlabelled field has neither label nor originator."""
    label = SecurityLabel("BEL", "UNCLASSIFIED")
    found = fields(
        {"names": ["a", "b"]},
        FieldLabel("/names", label, "record", "bel.ocam"),
        FieldLabel("/names/1", label, "item", "bel.vsse", ("fra.police-demo",)),
    )
    assert (found["/names/0"].label, found["/names/0"].originator) == (None, "")
    assert (found["/names/1"].label, found["/names/1"].originator) == (label, "bel.vsse")
    assert found["/names/1"].consent == ("fra.police-demo",)


def test_a_member_name_is_one_token() -> None:
    """RFC 6901 §3: a slash or tilde in a name cannot make it another member's item."""
    assert [pointer_token(name) for name in ("names/0", "a~b", "~1", "plain")] == [
        "names~10",
        "a~0b",
        "~01",
        "plain",
    ]
    found = fields({"names/0": "a"})
    assert list(found) == ["/names~10"]
    assert found["/names~10"].spec is None

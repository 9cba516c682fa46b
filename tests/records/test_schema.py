"""The record kind and the extract line: closed, bounded, and classed as the table of the reference record says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

import schemas
from gateway.model.kind import load_kind
from gateway.model.label import SecurityLabel

KIND = schemas.load_json("records/bdc-person/1.0.json")
LINE = schemas.load_json("extracts/bdc/1.0.json")
NOTE = schemas.load_json("records/information-note/1.0.json")
NOTE_LINE = schemas.load_json("extracts/note/1.0.json")

#: Law 29.3.2024 art. 6 §2, in the export classes of the house; a reviewer reads this against docs and schema.
CLASSES = {
    "A": "category names sex birth nationalities documents threat measures detention_release source_grade info_grade",
    "B": "description photos addresses fingerprint contacts links",
    "C": "national_number financial special",
    "X": "health minor_children pre_inquiry validation status",
}


def subschemas(schema: Any) -> Iterator[dict[str, Any]]:
    """Every object inside a schema, itself included."""
    if isinstance(schema, dict):
        yield schema
        for inner in schema.values():
            yield from subschemas(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from subschemas(inner)


def test_every_field_has_its_class() -> None:
    """The classes are those of the table, no field more, in its order."""
    fields = load_kind(KIND).fields.values()
    for export_class, members in CLASSES.items():
        found = [field.pattern.split("/")[1] for field in fields if field.export_class == export_class]
        assert found == members.split()
    assert sum(len(members.split()) for members in CLASSES.values()) == len(fields)


def test_the_kind_is_never_connected() -> None:
    """A BDC kind enters as a file only (law 10.7.2006 art. 9 §3), follows the BDC rules, needs category and name."""
    kind = load_kind(KIND)
    assert (kind.name, kind.regime, kind.interconnection) == ("bdc-person/1.0", "bdc", "forbidden")
    assert kind.required == {"category", "names"} == set(KIND["required"])


def test_special_categories_are_marked() -> None:
    """LED art. 10: origin, opinions, beliefs and health demand a justification; every field has a data category."""
    fields = load_kind(KIND).fields
    assert {pattern for pattern, field in fields.items() if field.special} == {"/special", "/health"}
    assert all(field.category for field in fields.values())


@pytest.mark.parametrize("schema", [KIND, LINE, NOTE, NOTE_LINE], ids=["kind", "line", "note", "note-line"])
def test_schemas_are_closed_and_bounded(schema: dict[str, Any]) -> None:
    """Valid draft 2020-12; objects are closed, lists and texts bounded, no number without both ends, no open type."""
    assert jsonschema_rs.meta.is_valid(schema)
    for part in subschemas(schema):
        match part.get("type"):
            case "object":
                assert part.get("additionalProperties") is False or part == {"type": "object"}
            case "array":
                assert part["maxItems"] <= 1024
            case "string":
                assert part["pattern"].startswith("^")
                assert part["pattern"].endswith("$")
                assert part.get("maxLength", 0) or not {"*", "+"} & set(part["pattern"])
            case "integer":
                assert {"minimum", "maximum"} <= set(part)
            case other:
                # A member may be named "type", too.
                assert other in (None, "boolean") or isinstance(other, dict)


@pytest.mark.parametrize("line", [LINE, NOTE_LINE], ids=["bdc", "note"])
def test_a_label_of_the_line_is_a_label_of_the_house(line: dict[str, Any]) -> None:
    """The line has every axis of a label, each with the values that the label takes, and no other."""
    label = line["$defs"]["label"]
    assert tuple(label["properties"]) == SecurityLabel.__struct_fields__
    assert label["required"] == ["policy", "level"]

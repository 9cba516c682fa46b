"""The data package: fresh objects, and no way out of it."""

from __future__ import annotations

import jsonschema_rs
import pytest

import schemas


def test_objects_are_the_callers_own() -> None:
    """Changing a loaded document changes nobody else's."""
    first = schemas.load_json("ct-exchange/1.0.json")
    first.clear()
    assert schemas.load_json("ct-exchange/1.0.json")["x-format"] == "ct-exchange-json/1.0"


@pytest.mark.parametrize(
    "name",
    ["", "absent.json", "../pyproject.toml", "ct-exchange/../../README.md", "/etc/passwd", "./x", "a\0b"],
)
def test_names_do_not_lead_out(name: str) -> None:
    """A name that is not in the package, or would leave it, is not found."""
    with pytest.raises(FileNotFoundError):
        schemas.load_bytes(name)


def test_the_message_schema_is_a_schema() -> None:
    """Our message schema is valid draft 2020-12."""
    assert jsonschema_rs.meta.is_valid(schemas.load_json("ct-exchange/1.0.json"))

"""Record kinds: which fields exist, and which export class each carries.

A kind is a JSON Schema (draft 2020-12) in ``schemas/records/<kind>/<version>.json`` whose properties carry
``x-class`` (A with a legal basis, B only if the request asks for it, C only when a named approver lifts it, X never)
and ``x-category``, say whether they state a ``fact`` or an ``assessment`` (``x-statement``), which member of theirs is
a level (``x-graver``), and in which members somebody's own words stand (``x-free-text``); the schema itself carries
``x-interconnection``, the regime of law its records stand under (``x-regime``) and whom they are about (``x-person``).
A *field* is a top-level member, or one item of a top-level list: ``/sex`` is one field, ``/names/0`` and ``/names/1``
are two, both of pattern ``/names/*``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from gateway.errors import PolicyInvalid
from gateway.model.label import PersonCategory

ExportClass = Literal["A", "B", "C", "X"]

#: Facts stand apart from personal assessments (Directive (EU) 2016/680 art. 7(1)).
Statement = Literal["fact", "assessment"]


class FieldSpec(msgspec.Struct, frozen=True, cache_hash=True):
    """What the kind says about one field pattern."""

    pattern: str
    export_class: ExportClass
    category: str = ""  # data category of the field, for statistics and special rules
    special: bool = False  # special category of LED art. 10: justification compulsory
    statement: Statement | None = None  # None: the kind does not say, and the field stays
    graver: str = ""  # member of the value that is a level: a higher one is graver
    texts: frozenset[str] = frozenset()  # members of the field, or itself, that hold somebody's own words
    codes: frozenset[str] = frozenset()  # members, or itself, with a closed list of values


class RecordKind(msgspec.Struct, frozen=True):
    """A named, versioned kind: ``bdc-person/1.0``."""

    name: str
    fields: dict[str, FieldSpec]  # by pattern
    lists: frozenset[str]  # members that are lists
    required: frozenset[str]  # members without which what is left is no record of this kind
    regime: str  # "bdc" makes the BDC rules apply
    interconnection: Literal["forbidden", "allowed"]
    person: PersonCategory | Literal["none"] | None = (
        None  # LED art. 6; "none": nobody by itself; None: not said
    )

    def spec(self, pointer: str) -> FieldSpec | None:
        """The specification of the field at this pointer, or None for a field the kind does not know."""
        return self.fields.get(self.pattern(pointer))

    def pattern(self, pointer: str) -> str:
        """``/names/3`` -> ``/names/*``; a pointer of another depth is returned as it is and matches nothing."""
        parts = pointer.split("/")
        return (
            f"/{parts[1]}/*" if len(parts) == 3 and parts[1] in self.lists and parts[2].isdigit() else pointer
        )


def load_kind(schema: Mapping[str, Any]) -> RecordKind:
    """Read a kind from its schema. An unmarked property is an error, not a default: raises `PolicyInvalid`."""
    fields: dict[str, FieldSpec] = {}
    lists: set[str] = set()
    try:
        for member, rule in schema["properties"].items():
            is_list = rule.get("type") == "array"
            if is_list:
                lists.add(member)
            pattern = f"/{member}/*" if is_list else f"/{member}"
            fields[pattern] = msgspec.convert(
                {
                    "pattern": pattern,
                    "export_class": rule["x-class"],
                    "category": rule.get("x-category", ""),
                    "special": rule.get("x-special", False),
                    "statement": rule.get("x-statement"),
                    "graver": rule.get("x-graver", ""),
                    "texts": rule.get("x-free-text", []),
                    "codes": sorted(_codes(member, rule, schema.get("$defs", {}))),
                },
                FieldSpec,
            )
        return msgspec.convert(
            {
                "name": schema["x-kind"],
                "fields": fields,
                "lists": sorted(lists),
                "required": schema.get("x-required-to-send", []),
                "regime": schema["x-regime"],
                "interconnection": schema["x-interconnection"],
                "person": schema.get("x-person"),
            },
            RecordKind,
        )
    except (KeyError, AttributeError, msgspec.ValidationError):
        raise PolicyInvalid(
            "a record kind must mark every property with its export class, and itself with its regime"
        ) from None


def _codes(member: str, rule: Mapping[str, Any], defs: Mapping[str, Any]) -> Iterator[str]:
    """Names of the members at and below this one whose values are a closed list."""
    if "$ref" in rule:
        rule = defs[rule["$ref"].rpartition("/")[2]]
    if "enum" in rule:
        yield member
    yield from _codes(member, rule["items"], defs) if "items" in rule else ()
    for name, inner in rule.get("properties", {}).items():
        yield from _codes(name, inner, defs)

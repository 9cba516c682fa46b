"""Facts of the grades of source and information, which travel with what they grade (LED art. 7(2)).

The scale is 4x4: A, B, C, X and 1 to 4. The Admiralty scale (A to F, 1 to 6) shares its letters and not its meaning:
a value outside the 4x4 is never read as one of it.
"""

from collections.abc import Iterator
from typing import Any

from gateway.model.record import LabelledField
from gateway.policy.context import Context
from gateway.policy.facts.declare import fact, field_fact

SOURCE, INFORMATION = "source_grade", "info_grade"

#: The one scale; ``type`` is compared as well, since True is no grade 1.
SCALE: dict[str, frozenset[str | int]] = {
    SOURCE: frozenset("ABCX"),
    INFORMATION: frozenset(range(1, 5)),
}


@fact("kind.graded", bool)
def kind_graded(ctx: Context) -> bool:
    """Whether the kind knows a grade of the record as a whole."""
    return any(ctx.kind.spec(f"/{name}") is not None for name in SCALE)


@fact("settings.ungraded_kinds", frozenset)
def settings_ungraded_kinds(ctx: Context) -> frozenset[str]:
    return frozenset(ctx.settings.ungraded_kinds)


@field_fact("field.off_scale", bool)
def field_off_scale(ctx: Context, field: LabelledField) -> bool:
    """Whether a grade in the field, at any depth, is not one of the 4x4 scale."""
    member = field.pointer.split("/")[1]
    return any(not _on_scale(name, value) for name, value in _grades(member, field.value))


def _on_scale(name: str, value: Any) -> bool:
    return type(value) is (str if name == SOURCE else int) and value in SCALE[name]


def _grades(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if name in SCALE:
        yield name, value
    elif isinstance(value, dict):
        for member, inner in value.items():
            yield from _grades(member, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _grades("", inner)

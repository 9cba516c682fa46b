"""Facts of the grades of source and information, which travel with what they grade (LED art. 7(2)).

The scale is 4x4: A, B, C, X and 1 to 4. The Admiralty scale (A to F, 1 to 6) shares its letters and not its meaning:
a value outside the 4x4 is never read as one of it.
"""

from typing import Any

from gateway.model.record import LabelledField, member_of
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
    graded = field.pointer.startswith(_GRADED)
    return (graded or isinstance(field.value, _CONTAINERS)) and not _on_scale(
        member_of(field.pointer) if graded else "", field.value
    )


#: How the pointer of a grade begins; of another member perhaps as well.
_GRADED = tuple(f"/{name}" for name in SCALE)
_CONTAINERS = (dict, list)


def _on_scale(name: str, value: Any) -> bool:
    """Whether every grade in the value of this member is one of the scale."""
    if name in SCALE:
        return type(value) is (str if name == SOURCE else int) and value in SCALE[name]
    if isinstance(value, dict):
        for member, item in value.items():
            if (member in SCALE or isinstance(item, _CONTAINERS)) and not _on_scale(member, item):
                return False
    elif isinstance(value, list):
        return all(_on_scale("", item) for item in value)
    return True

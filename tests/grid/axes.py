"""The axes of the grid: what may be different about a release.

The first value of an axis is the ordinary one: of these alone the release is permitted. A value is what it changes, by
path: ``labels.@target`` is the label of the field the axes speak of, ``mark`` that of every field; a path that ends
with ``+`` adds to a list. Each axis has the values on both sides of its rule.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.grid.axes_of_agreements import AGREEMENT, HELD
from tests.grid.axes_of_marks import MARKS
from tests.grid.axes_of_records import RECORD, kinds
from tests.grid.axes_of_releases import RELEASE
from tests.grid.ordinary import ORIGIN, Axes

AXES: Axes = (
    ("kind", kinds(ORIGIN)),
    *RECORD,
    *RELEASE,
    *MARKS,
    *HELD,
    *AGREEMENT,
)
NAMES = tuple(name for name, _ in AXES)

#: Every combination of these values is asked, of the reference record and all else ordinary.
CORE: Mapping[str, tuple[str, ...]] = {
    "level": ("UNCLASSIFIED", "BEL CONFIDENTIEL", "BEL TRES SECRET"),
    "clearance": ("SECRET", "none"),
    "nationality": ("FRA", "NLD", "MAR"),
    "purpose": ("agreed", "the label says another", "not agreed"),
    "recipient": ("police", "judicial", "fusion"),
    "origin": ("ours", "foreign, no consent", "foreign, consent"),
    "age": ("adult", "eighteen tomorrow", "twelve tomorrow"),
    "embargo": ("none", "of the subject"),
    "staleness": ("fresh", "the evaluation by a day"),
    "handling": ("none", "H1"),
    "special category": ("none", "there"),
    "lift": ("none", "special category", "the person"),
    "emergency": ("none", "claimed"),
}

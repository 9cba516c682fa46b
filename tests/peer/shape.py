"""Closed objects: a shape takes a tree and gives it back in the one order and form, or raises `Misspelt`.

What comes back differs from what went in when members stood in another order, a default was written out or a set was
not sorted: the reader of an *ordered* text renders what comes back and compares the bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any

from tests.peer.spelling import LARGEST_INTEGER, Misspelt

Shape = Callable[[Any], Any]


def text(pattern: str) -> Shape:
    """Text that matches as a whole."""
    expression = re.compile(pattern)

    def check(tree: Any) -> Any:
        if not isinstance(tree, str) or expression.fullmatch(tree) is None:
            raise Misspelt
        return tree

    return check


def one_of(*values: object) -> Shape:
    def check(tree: Any) -> Any:
        if not any(tree == value and type(tree) is type(value) for value in values):
            raise Misspelt
        return tree

    return check


def whole(least: int, most: int = LARGEST_INTEGER) -> Shape:
    """An integer within bounds; a boolean is none."""

    def check(tree: Any) -> Any:
        if type(tree) is not int or not least <= tree <= most:
            raise Misspelt
        return tree

    return check


def listed(item: Shape, least: int = 0, most: int | None = None) -> Shape:
    def check(tree: Any) -> Any:
        if not isinstance(tree, list) or len(tree) < least or (most is not None and len(tree) > most):
            raise Misspelt
        return [item(each) for each in tree]

    return check


def set_of(item: Shape, most: int = 256) -> Shape:
    """An array without repetition, in ascending order of code points."""
    items = listed(item, 0, most)

    def check(tree: Any) -> Any:
        found = items(tree)
        if len(set(found)) != len(found):
            raise Misspelt
        return sorted(found)

    return check


def mapping(name: Shape, value: Shape) -> Shape:
    def check(tree: Any) -> Any:
        if not isinstance(tree, dict):
            raise Misspelt
        return {name(each): value(tree[each]) for each in tree}

    return check


def closed(
    required: Mapping[str, Shape],
    optional: Mapping[str, Shape] | None = None,
    *,
    order: Iterable[str] = (),
    some: Iterable[str] = (),
    defaults: Mapping[str, object] | None = None,
) -> Shape:
    """An object with these members and no others, rendered in ``order`` (else required, then optional).

    At least one of ``some`` is there, when any is named; a member that has its default is left out.
    """
    shapes = {**required, **(optional or {})}
    ranked = tuple(order) or tuple(shapes)
    wanted, left_out = tuple(some), defaults or {}

    def check(tree: Any) -> Any:
        if not isinstance(tree, dict) or not required.keys() <= tree.keys() <= shapes.keys():
            raise Misspelt
        if wanted and not any(name in tree for name in wanted):
            raise Misspelt
        found = {name: shapes[name](tree[name]) for name in ranked if name in tree}
        return {
            name: value for name, value in found.items() if name not in left_out or value != left_out[name]
        }

    return check


def day(tree: Any) -> Any:
    """A day `YYYY-MM-DD` that exists."""
    text(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")(tree)
    try:
        date.fromisoformat(tree)
    except ValueError:
        raise Misspelt from None
    return tree


boolean = one_of(True, False)
anything = text(r"(?s).*")

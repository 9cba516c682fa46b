"""Covering arrays of strength three: rows in which every three values of three axes stand together at least once.

Greedy, one row at a time. For each two values a whole number holds, bit by bit, the values that have not yet stood
beside both; a row begins with three that have not, and goes on with the value that covers most.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations

Row = tuple[int, ...]
Pairs = dict[tuple[int, int], int]


def covering_array(sizes: Sequence[int], seed: int) -> list[Row]:
    """Rows for axes of these sizes; the same for the same seed."""
    draw = random.Random(seed)  # noqa: S311 - repeatable on purpose
    places = _Places(sizes)
    missing: Pairs = {
        (one, other): places.all - places.of_axis[first] - places.of_axis[second]
        for first, second in combinations(range(len(sizes)), 2)
        for one in places.values[first]
        for other in places.values[second]
    }
    rows: list[Row] = []
    open_pairs = list(missing)
    while True:
        while open_pairs and not missing[open_pairs[-1]]:
            open_pairs.pop()
        if not open_pairs:
            return rows
        rows.append(_row(places, missing, open_pairs[-1], draw))


def _row(places: _Places, missing: Pairs, pair: tuple[int, int], draw: random.Random) -> Row:
    """One row that holds the pair, one value that it misses, and then what covers most; marks off what it covers."""
    third = missing[pair].bit_length() - 1
    row = {places.axis[value]: value for value in (*pair, third)}
    axes = [axis for axis in range(len(places.values)) if axis not in row]
    draw.shuffle(axes)
    there = sum(1 << value for value in row.values())
    for axis in axes:
        best, most = -1, -1
        for value in draw.sample(places.values[axis], len(places.values[axis])):
            new = sum((missing[_pair(value, other)] & there).bit_count() for other in row.values())
            if new > most:
                best, most = value, new
        row[axis] = best
        there |= 1 << best
    chosen = [row[axis] for axis in range(len(places.values))]
    for two in combinations(chosen, 2):
        missing[two] &= ~there
    return tuple(value - places.values[axis][0] for axis, value in enumerate(chosen))


def triples(sizes: Sequence[int], rows: Sequence[Row]) -> tuple[int, int]:
    """How many value triples stand in the rows, and how many there are: counted from the rows, not by the generator."""
    places = _Places(sizes)
    seen: Pairs = {}
    for row in rows:
        chosen = [places.values[axis][value] for axis, value in enumerate(row)]
        there = sum(1 << value for value in chosen)
        for one, other in combinations(chosen, 2):
            # of each triple count the pair of its two lowest values, once
            seen[one, other] = seen.get((one, other), 0) | (there >> (other + 1) << (other + 1))
    there_are = sum(a * b * c for a, b, c in combinations(sizes, 3))
    return sum(found.bit_count() for found in seen.values()), there_are


def _pair(one: int, other: int) -> tuple[int, int]:
    return (one, other) if one < other else (other, one)


class _Places:
    """Every value of every axis as one number, counted through; in sets of them, as one bit."""

    def __init__(self, sizes: Sequence[int]) -> None:
        starts = [sum(sizes[:axis]) for axis in range(len(sizes))]
        self.values = [range(start, start + size) for start, size in zip(starts, sizes, strict=True)]
        self.axis = [axis for axis, size in enumerate(sizes) for _ in range(size)]
        self.of_axis = [sum(1 << value for value in values) for values in self.values]
        self.all = sum(self.of_axis)

"""What somebody's own words must not say: law 8.8.1983 art. 8 [M] on register numbers; house: what a field keeps back.

A plain search, for what the grid writes: the same letters and digits, whatever stands between them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.grid.evaluator_release import World, items_of

#: Shorter values stand in a text by chance.
LEAST = 4

_NATIONAL = re.compile(r"[0-9]{2}\W?[0-9]{2}\W?[0-9]{2}\W?[0-9]{3}\W?[0-9]{2}")
_ACCOUNT = re.compile(r"[A-Z]{2}[0-9]{2}(?: ?[0-9]{4}){3}")


def denials(world: World, kind: World, left: frozenset[str]) -> Iterator[str]:
    """``left`` holds the pointers of the fields that may leave."""
    data = set()
    for pointer, value in items_of(world, kind):
        said = _said(kind, pointer)
        if pointer in left and said and said["export_class"] == "A":
            texts = set(_words(kind, pointer, value).values())
            data |= {number for text in _strings(value) if text not in texts for number in numbers(text)}
    if any(numbers(text) - data for text in _leaving(world, kind, left).values()):
        yield "free-text.register-number"


def reviews(world: World, kind: World, left: frozenset[str]) -> Iterator[str]:
    texts = _leaving(world, kind, left)
    # Data that leaves may stand in a text. What somebody wrote may not: it is no reason for the same words elsewhere.
    there = {
        text
        for pointer, value in items_of(world, kind)
        if pointer in left
        for text in _strings(value)
        if text not in _words(kind, pointer, value).values()
    }
    kept = {
        text for pointer, value in items_of(world, kind) if pointer not in left for text in _strings(value)
    }
    if any(
        _plain(value) in _plain(text) for text in texts.values() for value in kept - there if _sought(value)
    ):
        yield "free-text.withheld"
    # What another's record keeps back is no freer for standing in data.
    if set(world["mentioned"]) & {
        place
        for pointer, value in items_of(world, kind)
        if pointer in left
        for place in _places(pointer, value)
    }:
        yield "free-text.mentioned"


def numbers(text: str) -> set[str]:
    """National register numbers (97 less the rest of nine digits by 97) and accounts (ISO 13616), by their check."""
    found = set()
    for run in _NATIONAL.findall(text):
        digits = re.sub(r"[^0-9]", "", run)
        if int(digits[9:]) in (97 - int(digits[:9]) % 97, 97 - int("2" + digits[:9]) % 97):
            found.add(digits)
    for run in _ACCOUNT.findall(text):
        signs = run.replace(" ", "")
        if int("".join(str(int(sign, 36)) for sign in signs[4:] + signs[:4])) % 97 == 1:
            found.add(signs)
    return found


def _said(kind: World, pointer: str) -> Mapping[str, Any] | None:
    parts = pointer.split("/")
    found: Mapping[str, Any] | None = kind["fields"].get(pointer if len(parts) == 2 else f"/{parts[1]}/*")
    return found


def _leaving(world: World, kind: World, left: frozenset[str]) -> dict[str, str]:
    """Every free text that leaves, by its pointer."""
    found: dict[str, str] = {}
    for pointer, value in items_of(world, kind):
        if pointer in left:
            found |= _words(kind, pointer, value)
    return found


def _words(kind: World, pointer: str, value: Any) -> dict[str, str]:
    """Free texts of a field: itself, or members that its kind calls so."""
    names = (_said(kind, pointer) or {}).get("texts", ())
    if isinstance(value, str):
        return {pointer: value} if pointer.split("/")[1] in names else {}
    members = value.items() if isinstance(value, dict) else ()
    return {f"{pointer}/{name}": text for name, text in members if name in names}


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)


def _places(pointer: str, value: Any) -> Iterator[str]:
    """Where the strings of a field stand."""
    if isinstance(value, str):
        yield pointer
    elif isinstance(value, dict | list):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(f"{pointer}/{name}", inner)


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))


def _sought(value: str) -> bool:
    return len(_plain(value)) >= LEAST

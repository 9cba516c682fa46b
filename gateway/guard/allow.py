"""The allow-list of a format: which leaves a payload may have, in which order, and where each comes from.

The lists are data in ``schemas/guard``, closed and versioned: a reviewer can read there all that can ever stand in a
message. A row is ``[where, source, key]``: at the pointer *where* stands what *source* knows under *key*. ``*`` in
*where* is each item of a list; neighbouring rows of the same list describe one item.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import Any, Literal, NamedTuple

import msgspec

from gateway.guard.reader import Leaf, Path, leaves
from gateway.guard.refusal import RefusalRule, refuse

#: Formats that have an allow-list. A format without one cannot leave.
FORMATS = {"ct-exchange-json/1.0": "ct-exchange-json-1.0.json"}

#: How a released value may be changed on its way into the bytes, by the names that lists may use. A closed list.
TRANSFORMATIONS = frozenset({"identity"})

#: A literal of the list; a field of the envelope or handling; the manifest; a pseudonym; released values, under the
#: name of their transformation; labels.
Source = Literal["constant", "protocol", "part", "ref", "value", "label"]

_ALTERED: dict[Source, RefusalRule] = {
    "constant": "altered-constant",
    "protocol": "altered-protocol",
    "part": "altered-part",
    "ref": "altered-ref",
    "value": "altered-value",
    "label": "altered-label",
}


class Row(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One place of the payload and what explains the leaves there."""

    at: str
    source: Source
    key: str

    @property
    def stem(self) -> tuple[str, bool]:
        """The list the row belongs to and True, or the whole pointer and False."""
        stem, star, _ = self.at.partition("/*")
        return stem, bool(star)

    def path(self, index: int) -> Path:
        """Where the row speaks of the item ``index`` of its list; digits are list indices, for no member that a row
        names is a number."""
        steps = self.at.replace("*", str(index), 1).split("/")[1:]
        return tuple(int(step) if step.isdecimal() else step for step in steps)


class AllowList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One format's list. What it does not name is not allowed."""

    format: str
    version: Literal[1]
    transformations: frozenset[str]
    protocol: dict[str, str]  # protocol field -> the pattern its whole value must match
    types: dict[str, tuple[Row, ...]]
    local_identifiers: frozenset[
        str
    ]  # members that name an entity by its local id: never, whatever was decided
    free_text: frozenset[str]  # members that hold a person's own words
    closed_vocabularies: frozenset[str]  # members that hold codes: one of these words in a text tells nothing


class Explanation(NamedTuple):
    """The one text a leaf may have, and where it comes from."""

    text: str
    source: Source


@cache
def allow_list(format_name: str) -> AllowList:
    """The list of a format; raises `GuardRefused` when it has none."""
    if format_name not in FORMATS:
        raise refuse("type", "no allow-list exists for this format")
    return load_allow_list(files("schemas").joinpath("guard", FORMATS[format_name]).read_bytes(), format_name)


def load_allow_list(raw: bytes, format_name: str) -> AllowList:
    """Decode a list strictly; raises `GuardRefused` (``form``) for anything unknown, a transformation included."""
    try:
        found = msgspec.json.decode(raw, type=AllowList)
    except msgspec.DecodeError:
        raise refuse("form", "the allow-list is not of its closed form", subject="allow-list") from None
    used = {row.key for rows in found.types.values() for row in rows if row.source == "value"}
    if found.format != format_name or not used <= found.transformations <= TRANSFORMATIONS:
        raise refuse("form", "the allow-list names another format or transformation", subject="allow-list")
    return found


def explain(allow: AllowList, message_type: str, known: Mapping[str, Any]) -> dict[Path, Explanation]:
    """Every leaf the payload must have, in order.

    ``known`` holds values by key and, under the pointer of each list, one such mapping per item. Raises
    `GuardRefused`: ``type`` for a type without rows, ``protocol-form`` for a protocol value outside its pattern, since
    a field that may be any identifier could carry any message.
    """
    if message_type not in allow.types:
        raise refuse("type", "the allow-list does not know this message type")
    found: dict[Path, Explanation] = {}
    for (stem, repeated), group in groupby(allow.types[message_type], key=lambda row: row.stem):
        rows = list(group)
        for index, item in enumerate(known[stem] if repeated else [known]):
            for row in rows:
                value = row.key if row.source == "constant" else item[row.key]
                if row.source == "protocol" and not _formed(allow.protocol[row.key], value):
                    raise refuse("protocol-form", "a protocol field is not of its closed form")
                for leaf in leaves(value, row.path(index)):
                    found[leaf.path] = Explanation(leaf.text, row.source)
    return found


def account(found: Sequence[Leaf], explained: Mapping[Path, Explanation]) -> None:
    """Positive accounting: raises `GuardRefused` unless the leaves are the explained ones, each once, in order.

    (1) each leaf stands where one is explained and says exactly that; (2) nothing explained is missing, so neither
    a caveat nor a grade was lost; (3) the order is that of the list: order says nothing by itself.
    """
    for ordinal, leaf in enumerate(found):  # (1)
        known = explained.get(leaf.path)
        if known is None:
            raise refuse("unexplained", "the payload holds something that nothing explains", leaf=ordinal)
        if known.text != leaf.text:
            raise refuse(
                _ALTERED[known.source], "the payload says something else than explained", leaf=ordinal
            )
    if len(found) < len(explained):  # (2) paths are unique: the reader refuses duplicate members
        raise refuse("missing", "something that was released, or its label, is not in the payload")
    for ordinal, (leaf, path) in enumerate(zip(found, explained, strict=True)):  # (3)
        if leaf.path != path:
            raise refuse("order", "the payload holds its members in another order", leaf=ordinal)


def _formed(pattern: str, value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None

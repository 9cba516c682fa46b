"""Two readers of one document: the gateway and this peer judge the same altered messages alike."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from tests.peer import disclosure
from tests.peer.container import LARGEST_BATCH
from tests.peer.disclosure import label
from tests.peer.opening import Opened, verify
from tests.peer.peer import Peer
from tests.peer.seal import read_seal
from tests.peer.sender import Sealed
from tests.peer.spelling import Refused
from tests.peer.world import MODE, World

pytestmark = pytest.mark.integration

#: What takes the place of a value.
VALUES: tuple[Any, ...] = (None, 5, "Zz", "z" * 4001, "2026-02-30", [], ["Zz", "Zz"])

#: Members that a record may have beside those of the example, good and bad.
MEMBERS: dict[str, list[Any]] = {
    "sex": ["M", "X", "m"],
    "nationalities": [["BEL"], ["BE"], ["BEL", "BEL"]],
    "documents": [
        [{"number": "XX0000001", "type": "passport"}],
        [{"number": "-X", "type": "passport"}],
        [{"issuer": "BEL", "number": "XX0000001", "status": "stolen", "type": "other"}],
    ],
    "threat": [
        {"date": "2026-10-01", "level": 3},
        {"date": "2026-10", "level": 3},
        {"date": "2026-10-01", "level": 3, "valid_until": "2100-01-01"},
    ],
    "measures": [
        [
            {
                "basis": "order",
                "from": "2026-01-01",
                "state": "in-force",
                "to": "2025-01-01",
                "type": "travel-ban",
            }
        ],
        [{"state": "maybe", "type": "travel-ban"}],
    ],
    "detention_release": [{"date": "2026-12-01"}, {"conditions": "one\n\ttwo", "date": "2026-12-01"}, {}],
    "source_grade": ["A", "D"],
    "info_grade": [1, 5],
    "description": [
        {"height_cm": 180},
        {"height_cm": 19},
        {},
        {"marks": "one\u200etwo"},
        {"eyes": "one\u200etwo"},
        {"marks": "one\r\ntwo"},
        {"marks": "ا\u200dب"},
        {"marks": "a\u200db"},
        {"marks": "one\u2028two"},
        {"marks": "\u00ad"},
        {"marks": "\ufe0f"},
        {"marks": "\u3164"},
    ],
    "photos": [
        [{"media_type": "image/png", "sha256": "0" * 64}],
        [{"media_type": "image/gif", "sha256": "0" * 64}],
    ],
    "addresses": [[{"country": "BEL"}], [{"city": "Fictiville"}]],
    "fingerprint": [{"reference": "F-1"}, {"reference": "F_1"}],
    "contacts": [[{"type": "email", "value": "zz@example.invalid"}], [{"type": "fax", "value": "1"}]],
    "links": [[{"other": "BDC-1", "type": "family"}], [{"other": "bdc-1", "type": "family"}]],
    "national_number": ["00.00.00-000.00", "00_00"],
    "financial": [{"summary": "none"}, {"summary": "z" * 4000}],
    "special": [{"kind": "opinion", "text": "none"}, {"kind": "none", "text": "none"}],
    "health": [{"text": "none"}],
}

#: The members of a record after its reference, in the order of their table.
ORDER = (
    "category",
    "names",
    "sex",
    "birth",
    *(name for name in MEMBERS if name not in ("sex", "health")),
    "health",
)

#: Births and names, for what holds between their members.
BIRTHS = [
    {"date": "1990", "precision": "year"},
    {"date": "1990", "precision": "day"},
    {"date": "1990-03-04", "precision": "year"},
    {"date": "1990-13", "precision": "month"},
    {"date": "1890", "precision": "year"},
    {"about": True, "country": "BEL", "country_today": "bel", "date": "1990", "precision": "year"},
]
NAMES = [
    {"quality": "high", "script": "latn", "text": "Zzemo", "type": "alias"},
    {"quality": "high", "script": "LATN", "text": "Zzemo", "type": "alias"},
    {"info_grade": 4, "quality": "low", "script": "Arab", "source_grade": "X", "text": "ا", "type": "alias"},
    {"patronymic": "Zzemo", "quality": "low", "script": "Latn", "type": "alias"},
    {
        "quality": "low", "script": "Arab", "text": "ا", "transliteration": {"scheme": "ISO 233", "text": "a"},
        "type": "alias",
    },
]  # fmt: skip

#: Labels of the whole, over a record's label that stays.
LABELS = [
    label(releasable_to=["BEL"]),
    label(releasable_to=["bel.ocam"]),
    label(releasable_to=["BEL", "FRA", "NLD"]),
    label(originators=None),
    label(originators=["fra.other", "fra.peer"]),
    label(policy="BEL"),
    label(policy="EU", level="UNCLASSIFIED"),
    label(tlp="RED"),
    label() | {"purpose": []},
    label() | {"purpose": ["ct-prevention"]},
    label() | {"retention_until": "2026-12-31"},
    label() | {"embargo": True},
    label() | {"originator_control": False},
    label() | {"handling_code": []},
    label() | {"handling_code": ["H2", "H1"]},
]

#: What a label may or may not be put on.
PARTS = (
    "",
    "/records",
    "/records/0",
    "/records/00",
    "/records/1",
    "/records/0/ref",
    "/records/0/category",
    "/records/0/category/code",
    "/records/0/birth",
    "/records/0/birth/0",
    "/records/0/birth/0/date",
    "/records/0/birth/1",
    "/records/0/birth/00",
    "/records/0/nationalities",
    "/records/0/nationalities/1",
    "/records/0/threat",
    "/records/0/threat/level",
    "/records/0/sex",
)


def alterations() -> Iterator[tuple[str, dict[str, Any]]]:
    """Named contents of disclosures: the example with one thing otherwise."""
    example = disclosure.content()
    for path in _paths(example):
        if path[:2] == ("labels", 0) and path[2:3] == ("label",):
            continue  # a label like that of the whole
        for number, value in enumerate(VALUES):
            yield f"{path} value {number}", _with(example, path, value)
        yield f"{path} removed", _without(example, path)
        yield f"{path} beside another", _with(example, (*path[:-1], "zz"), 1) if path else example
    for name, values in MEMBERS.items():
        for number, value in enumerate(values):
            yield f"{name} {number}", _with_member(example, name, value)
    for number, birth in enumerate(BIRTHS):
        yield f"birth {number}", _with(example, ("records", 0, "birth", 0), birth)
    for number, name_ in enumerate(NAMES):
        yield f"name {number}", _with(example, ("records", 0, "names", 0), name_)
    for number, marked in enumerate(LABELS):
        yield f"label {number}", _with(example, ("label",), marked)
    many = _with_member(
        _with_member(example, "nationalities", ["BEL", "FRA"]), "threat", MEMBERS["threat"][0]
    )
    for part in PARTS:
        yield f"labels {part}", _with_label(many, part)


def _paths(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for name, value in items:
        yield (*path, name)
        yield from _paths(value, (*path, name))


def _at(tree: Any, path: tuple[Any, ...]) -> Any:
    for name in path:
        tree = tree[name]
    return tree


def _with(example: Any, path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    tree: dict[str, Any] = deepcopy(example)
    parent = _at(tree, path[:-1])
    if isinstance(parent, list) and not isinstance(path[-1], int):
        parent.append(value)
    else:
        parent[path[-1]] = value
    return tree


def _without(example: Any, path: tuple[Any, ...]) -> dict[str, Any]:
    tree: dict[str, Any] = deepcopy(example)
    del _at(tree, path[:-1])[path[-1]]
    return tree


def _with_member(example: Any, name: str, value: Any) -> dict[str, Any]:
    """A record's member in the place that its kind gives it."""
    order = ["ref", *ORDER]
    tree: dict[str, Any] = deepcopy(example)
    record = tree["records"][0] | {name: value}
    tree["records"][0] = dict(sorted(record.items(), key=lambda item: order.index(item[0])))
    return tree


def _with_label(example: Any, part: str) -> dict[str, Any]:
    tree: dict[str, Any] = deepcopy(example)
    tree["labels"].append({"part": part, "label": label()})
    return tree


def ours(peer: Peer, sealed: Sealed) -> str:
    """The judgement of this peer, in the gateway's place."""
    preamble = peer.sender.preamble(sealed)
    opened = Opened(preamble, read_seal(sealed.parts.first), sealed.parts)
    try:
        verify(opened, peer.partner, peer.identity.own, peer.agreement, MODE, 1, time.time())
    except Refused as refused:
        return refused.code
    return "accepted"


def test_altered_disclosures_are_judged_alike(world: World) -> None:
    """Some hundred disclosures with one value otherwise: both ends give each the same outcome or code."""
    plain = world.peers["jwe-classic"]  # the faster suite
    named = list(alterations())
    sealed = {
        name: plain.sender.queue(plain.sender.envelope("disclosure", str(uuid.uuid4())) | content)
        for name, content in named
    }
    assert len(sealed) == len(named)
    theirs: dict[str, str] = {}
    messages = list(sealed.values())
    for start in range(0, len(messages), LARGEST_BATCH):
        receipt = plain.sender.send(messages[start : start + LARGEST_BATCH])
        theirs |= {item.id: item.code or item.outcome for item in receipt.items}
    judged = {name: (ours(plain, one), theirs[one.id]) for name, one in sealed.items()}
    differing = [f"{name}: {both}" for name, both in judged.items() if both[0] != both[1]]
    assert not differing, "\n".join(differing)
    assert {code for _, code in judged.values()} >= {"accepted", "schema-violation", "malformed", "mis-sent"}

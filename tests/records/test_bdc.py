"""What the BDC adapter reads, refuses and names; where each label comes from."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator

import schemas
from adapters import lines
from adapters.records.bdc import BdcExtract
from adapters.records.synthetic import exemplar
from gateway.errors import RecordInvalid, RequestInvalid
from gateway.model.record import CanonicalRecord, FieldLabel

AT = datetime(2026, 11, 21, 21, tzinfo=UTC)
RLO = "\u202e"  # right-to-left override: what follows is shown backwards
ZWNJ, ZWJ = "\u200c", "\u200d"  # spelling between two letters of Arabic script, invisible elsewhere
LABEL = {"policy": "BEL", "level": "UNCLASSIFIED", "releasable_to": ["BEL"]}


def read(*lines: object) -> list[CanonicalRecord | RecordInvalid]:
    """The outcomes of a file with these lines: objects become JSON, bytes stay."""
    raw = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    return list(BdcExtract("bel.ocam", "bel.ocam.officer-1").read(raw))


def record(line: object) -> CanonicalRecord:
    """The record of a good line."""
    (outcome,) = read(line)
    assert isinstance(outcome, CanonicalRecord), outcome.diagnostic
    return outcome


def fault(line: object) -> tuple[str, str]:
    """Pointer and rule of a bad line."""
    (outcome,) = read(line)
    assert isinstance(outcome, RecordInvalid)
    return outcome.pointer, outcome.rule


def small(**members: Any) -> dict[str, Any]:
    """The smallest good line, with ``members`` of its content."""
    names = [{"type": "birth", "family": "Zzemo", "script": "Latn", "quality": "high"}]
    content = {"category": {"code": "FTF", "criterion": "a"}, "names": names} | members
    return {"id": "BDC-000009", "extracted_at": "2026-11-21T21:00:00Z", "content": content}


def named(text: str) -> dict[str, Any]:
    """A good line whose only name is this text."""
    return small(names=[{"type": "alias", "text": text, "script": "Zyyy", "quality": "low"}])


# --- what is kept ----------------------------------------------------------------------------------------------------


def test_a_record_says_whence_when_and_by_whom() -> None:
    """Origin and officer come from the hand-over, id, instant and content from the line."""
    line = exemplar(AT)
    found = record(line)
    assert (found.kind, found.entity_id, found.origin) == ("bdc-person/1.0", "BDC-000001", "bel.ocam")
    assert (found.extracted_at, found.handed_over_by) == (AT, "bel.ocam.officer-1")
    assert found.content == line["content"]


def test_one_record_however_the_line_is_spelled() -> None:
    """The order of members, escapes and space change nothing: content and labels stand in the order of the kind."""
    line = exemplar(AT)
    other = {key: line[key] for key in reversed(line)}
    other["content"] = {key: line["content"][key] for key in reversed(line["content"])}
    spelled = json.dumps(other, ensure_ascii=True, indent=1).replace("\n", " ").encode()
    assert msgspec.json.encode(record(spelled)) == msgspec.json.encode(record(line))


def test_names_are_kept_as_given() -> None:
    """Text in any script and normalization form is kept: decomposed stays decomposed, composed stays composed."""
    for text in ("e\u0301", "é", "إكزمبل", "ا\u0653", "ゼモ゙", f"نمونه{ZWNJ}ها"):
        assert record(named(text)).content["names"][0]["text"] == text


# --- labels ----------------------------------------------------------------------------------------------------------


def labels_of(line: dict[str, Any]) -> dict[str, FieldLabel]:
    """The label entries of a good line by pointer."""
    return {entry.pointer: entry for entry in record(line).labels}


def test_without_any_label_every_field_is_unlabelled() -> None:
    """No default is made up: such a record lands and shows itself as unlabelled, of unknown originator."""
    assert [(entry.label, entry.source, entry.originator) for entry in labels_of(small()).values()] == [
        (None, "none", ""),
        (None, "none", ""),
    ]


def test_the_label_of_an_item_is_nearer_than_that_of_the_record() -> None:
    """An item's own label, originator and consent stand alone; other fields have those of the record."""
    own = {"policy": "BEL", "level": "RESTREINT"}
    item = {
        "pointer": "/names/0",
        "label": own,
        "originator": "bel.vsse",
        "consent": ["nld.a", "fra.b", "nld.a"],
    }
    found = labels_of(small() | {"label": LABEL, "labels": [item], "originator": "bel.ocam"})
    name, category = found["/names/0"], found["/category"]
    assert name.label is not None
    assert (name.label.level, name.source, name.label.releasable_to) == ("RESTREINT", "item", ())
    assert (name.originator, name.consent) == ("bel.vsse", ("fra.b", "nld.a"))
    assert category.label is not None
    assert (category.label.level, category.source) == ("UNCLASSIFIED", "record")
    assert (category.originator, category.consent) == ("bel.ocam", ())


def test_an_entry_without_label_leaves_that_of_the_record() -> None:
    """Naming an item's originator alone does not unlabel it, and does not label it either."""
    item = {"pointer": "/names/0", "originator": "bel.vsse"}
    labelled = labels_of(small() | {"label": LABEL, "labels": [item]})["/names/0"]
    unlabelled = labels_of(small() | {"labels": [item]})["/names/0"]
    assert (labelled.source, labelled.originator) == ("record", "bel.vsse")
    assert (unlabelled.label, unlabelled.source, unlabelled.originator) == (None, "none", "bel.vsse")


@pytest.mark.parametrize("pointer", ["/names/1", "/names", "/sex", "/category/0", "/names/00", "/unheard_of"])
def test_a_label_for_nothing_is_refused(pointer: str) -> None:
    """A label must name one field that exists: no absent item, no whole list, no second spelling, no other depth."""
    line = small() | {"labels": [{"pointer": pointer, "label": LABEL}]}
    assert fault(line) == ("/labels/*/pointer", "pattern" if pointer == "/names/00" else "label.pointer")


def test_two_labels_for_one_field_are_refused() -> None:
    """The adapter does not choose between two labels."""
    item = {"pointer": "/names/0", "label": LABEL}
    assert fault(small() | {"labels": [item, item]}) == ("/labels/*/pointer", "label.duplicate")


# --- what is refused -------------------------------------------------------------------------------------------------

BIRTH = {"date": "1990", "precision": "year"}

#: line, pointer, rule
REFUSED: dict[str, tuple[object, str, str]] = {
    "no JSON": (b"{", "", "json"),
    "two objects": (b"{} {}", "", "json"),
    "a repeated member": (json.dumps(small()).encode()[:-1] + b',"id":"A-1"}', "", "json"),
    "a fraction": (small(info_grade=1.5), "", "json"),
    "not a number": (small(info_grade=float("nan")), "", "json"),
    "a lone surrogate": (small(national_number="\ud800"), "", "json"),
    "not UTF-8": (b'{"id":"\xff"}', "", "json"),
    "a byte order mark": (b"\xef\xbb\xbf" + json.dumps(small()).encode(), "", "json"),
    "deep nesting": (b"[" * 100 + b"]" * 100, "", "json"),
    "no object": ([], "", "type"),
    "no id": ({"extracted_at": "2026-11-21T21:00:00Z", "content": {}}, "/id", "required"),
    "another id": (small() | {"id": "bdc 1"}, "/id", "pattern"),
    "another offset": (small() | {"extracted_at": "2026-11-21T21:00:00+00:00"}, "/extracted_at", "pattern"),
    "no such day": (small() | {"extracted_at": "2026-02-30T21:00:00Z"}, "/extracted_at", "format"),
    "content of another type": (small() | {"content": "none"}, "/content", "type"),
    "an unknown member": (small(unheard_of=1), "", "additionalProperties"),
    "an unknown nested member": (
        small(threat={"level": 1, "date": "2026-01-01", "x": 1}), "/threat", "additionalProperties",
    ),
    "no category": (small() | {"content": {"names": small()["content"]["names"]}}, "/category", "required"),
    "no criterion": (small(category={"code": "FTF"}), "/category/criterion", "required"),
    "another criterion": (small(category={"code": "FTF", "criterion": "f"}), "/category/criterion", "enum"),
    "another category": (small(category={"code": "ABC", "criterion": "a"}), "/category/code", "enum"),
    "no name": (small(names=[]), "/names", "minItems"),
    "a name of nothing": (small(names=[{"type": "alias", "script": "Latn", "quality": "low"}]), "/names/*", "anyOf"),
    "null": (small(sex=None), "/sex", "enum"),
    "a level of 5": (small(threat={"level": 5, "date": "2026-01-01"}), "/threat/level", "maximum"),
    "true for 1": (small(info_grade=True), "/info_grade", "type"),
    "an endless text": (small(health={"text": "x" * 4001}), "/health/text", "maxLength"),
    "an endless list": (small(nationalities=["BEL"] * 17), "/nationalities", "maxItems"),
    "no such date": (small(threat={"level": 1, "date": "2026-02-30"}), "/threat/date", "format"),
    "an evaluation that ends first": (
        small(threat={"level": 1, "date": "2026-02-02", "valid_until": "2026-02-01"}),
        "/threat/valid_until", "date.order",
    ),
    "a measure that ends first": (
        small(measures=[{"type": "other", "state": "proposed", "from": "2026-02-02", "to": "2026-02-01"}]),
        "/measures/*/to", "date.order",
    ),
    "more precise than it says": (small(birth=[BIRTH | {"date": "1990-03"}]), "/birth/*/date", "date.precision"),
    "less precise than it says": (small(birth=[BIRTH | {"precision": "day"}]), "/birth/*/date", "date.precision"),
    "about, yet no date": (
        small(birth=[{"date": "1990-13", "precision": "month", "about": True}]), "/birth/*/date", "date.precision"
    ),
    "a control character in a code": (small(source_grade="A\x00"), "/source_grade", "text.control"),
    "a control character in a name": (
        small(names=[{"type": "alias", "text": "a\nb", "script": "Latn", "quality": "low"}]),
        "/names/*/text", "text.control",
    ),
    "an invisible character in a code": (small(source_grade="A\u200b"), "/source_grade", "text.invisible"),
    "an invisible character in a number": (small(national_number="1\u20602"), "/national_number", "text.invisible"),
    "an invisible character in a level": (
        small() | {"label": LABEL | {"level": "SECRET\u200b"}}, "/label/level", "text.invisible"
    ),
    "a mark in a level": (small() | {"label": LABEL | {"level": "SECRET\u200e"}}, "/label/level", "text.invisible"),
    "an override in a free text": (small(health={"text": f"a {RLO}b"}), "/health/text", "text.control"),
    "a line separator in a free text": (small(health={"text": "a\u2028b"}), "/health/text", "text.control"),
    "a tag in a free text": (small(health={"text": "a \U000e0041"}), "/health/text", "text.invisible"),
    "a joiner in a Latin free text": (small(health={"text": f"a{ZWJ}b"}), "/health/text", "text.invisible"),
    "an override in an id": (small() | {"id": f"BDC-{RLO}1"}, "/id", "text.control"),
    "an override in a number": (small(national_number=f"1{RLO}2"), "/national_number", "text.control"),
    "an override in a policy": (small() | {"label": LABEL | {"policy": f"BEL{RLO}"}}, "/label/policy", "text.control"),
    "an override in a level": (small() | {"label": LABEL | {"level": f"SECRET{RLO}"}}, "/label/level", "text.control"),
    "an override in a release list": (
        small() | {"label": LABEL | {"releasable_to": [f"BEL{RLO}"]}}, "/label/releasable_to/*", "text.control"
    ),
    "a decomposed level": (
        small() | {"labels": [{"pointer": "/names/0", "label": {"policy": "FRA", "level": "TRE\u0300S SECRET"}}]},
        "/labels/*/label/level", "text.nfc",
    ),
    "a decomposed id": (small(national_number="e\u0301"), "/national_number", "pattern"),
    "an unknown axis": (small() | {"label": LABEL | {"secret": 1}}, "/label", "additionalProperties"),
    "an unknown handling code": (
        small() | {"label": LABEL | {"handling_code": ["H4"]}}, "/label/handling_code/*", "enum",
    ),
    "a consent of nobody": (
        small() | {"labels": [{"pointer": "/names/0", "consent": [""]}]}, "/labels/*/consent/*", "pattern",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("line", "pointer", "rule"), REFUSED.values(), ids=REFUSED.keys())
def test_a_bad_line_is_named(line: object, pointer: str, rule: str) -> None:
    """Each fault is named by a pointer into the schema and the rule that it breaks."""
    assert fault(line) == (pointer, rule)


@pytest.mark.parametrize(
    "line",
    [
        small(threat={"level": 1, "date": "2026-02-02", "valid_until": "2026-02-02"}),
        small(birth=[{"date": "1990-12", "precision": "month", "about": True}]),
        small(birth=[{"date": "2000-02-29", "precision": "day"}]),
        small(health={"text": "x" * 4000}),
        small(health={"text": "one\n\ttwo"}),
        small(health={"text": "\u200fإكزمبل\u200e, \u061c12"}),
        small(health={"text": f"Zzemo: نمونه{ZWNJ}ها"}),
        named("Zzemo\u00a0O\u2019Exemple\u2010Fictif"),
        small() | {"label": LABEL | {"level": "TRÈS SECRET UE/EU TOP SECRET"}},
        b"  " + json.dumps(small()).encode() + b"\r",
    ],
)
def test_the_near_miss_lands(line: object) -> None:
    """What lies just inside each rule is accepted."""
    assert record(line).entity_id == "BDC-000009"


#: What no line of text may hold, by the rule that names it; first and last of each range.
UNSEEN = {
    "text.control": "\t\n\x7f\x85\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
    "text.invisible": "\u00ad\u034f\u061c\u115f\u180e\u200b\u200c\u200d\u200e\u200f\u2060\u2064\u206a\u206f\u3164"
    "\ufe00\ufe0f\ufeff\uffa0\ufff9\ufffb\U0001d173\U000e0001\U000e0020\U000e007f\U000e0100\U000e01ef",
}


@pytest.mark.parametrize(
    ("character", "rule"),
    [pytest.param(each, rule, id=f"U+{ord(each):04X}") for rule, text in UNSEEN.items() for each in text],
)
def test_a_name_holds_nothing_unseen(character: str, rule: str) -> None:
    """Overrides, embeddings, isolates, tags, marks and whatever else shows nothing are refused in every name, in
    Latin and in Arabic script, and the rule says which kind it was."""
    for text in (f"Zzemo{character}", f"{character}Zzemo", f"إكز{character} مبل"):
        assert fault(named(text)) == ("/names/*/text", rule)
    part = {"type": "birth", "family": f"Zze{character}mo", "script": "Latn", "quality": "high"}
    assert fault(small(names=[part])) == ("/names/*/family", rule)


@pytest.mark.parametrize(
    ("text", "lands"),
    [
        (f"می{ZWNJ}ن", True),
        (f"م{ZWNJ}ن{ZWNJ}و", True),
        (f"مَ{ZWNJ}ن", True),
        (f"م{ZWJ}ن", True),
        (f"م{ZWNJ}", False),
        (f"{ZWNJ}م", False),
        (f"م{ZWNJ}{ZWNJ}ن", False),
        (f"م{ZWNJ}z", False),
        (f"z{ZWJ}م", False),
        (f"م {ZWNJ}ن", False),
        (f"م{ZWNJ}\u200f", False),
    ],
    ids=ascii,
)
def test_a_joiner_is_spelling_in_arabic_script_alone(text: str, lands: bool) -> None:
    """Accepted directly between two letters or vowel marks of Arabic script, once; refused at an end, doubled, or
    beside anything else."""
    (outcome,) = read(named(text))
    assert isinstance(outcome, CanonicalRecord) == lands
    assert lands or (isinstance(outcome, RecordInvalid) and outcome.rule == "text.invisible")


def test_every_refused_character_is_named() -> None:
    """Over all of Unicode: what the pattern of a line refuses is exactly what the adapter has a name for."""
    defs = schemas.load_json("records/bdc-person/1.0.json")["$defs"]
    line = Draft202012Validator({"pattern": defs["line"]["pattern"]})
    every = (chr(point) for point in range(0x110000) if not 0xD800 <= point <= 0xDFFF)
    named_here = re.compile(f"{lines._CONTROL.pattern}|{lines._INVISIBLE.pattern}")
    assert [each for each in every if line.is_valid(each) == bool(named_here.match(each))] == []


def test_line_and_kind_share_no_member_name() -> None:
    """So that a pointer says by itself which of the two schemas it points into."""
    members = set(schemas.load_json("extracts/bdc/1.0.json")["properties"])
    assert members.isdisjoint(schemas.load_json("records/bdc-person/1.0.json")["properties"])


# --- files -----------------------------------------------------------------------------------------------------------


def test_the_good_ones_land() -> None:
    """Wrong lines are named by their number, blank lines count but are nothing, all the rest lands in order."""
    one, two = small() | {"id": "A-1"}, small() | {"id": "A-2"}
    outcomes = read(one, b"", b"{", b" \t", small(sex="?"), two, b"")
    assert [each.line if isinstance(each, RecordInvalid) else each.entity_id for each in outcomes] == [
        "A-1",
        3,
        5,
        "A-2",
    ]


def test_the_second_of_one_id_is_refused() -> None:
    """Of two lines with one id the first lands; a line that is itself wrong claims no id."""
    wrong, first, second = small(sex="?"), small(sex="F"), small(sex="M")
    outcomes = read(wrong, first, second, small() | {"id": "A-1"})
    assert [
        each.rule if isinstance(each, RecordInvalid) else each.content.get("sex") for each in outcomes
    ] == [
        "enum",
        "F",
        "duplicate-id",
        None,
    ]


def test_an_empty_file_holds_nothing() -> None:
    """No byte, no record, no fault."""
    assert list(BdcExtract("bel.ocam", "bel.ocam.officer-1").read(b"")) == []


def test_a_long_line_is_refused_and_its_neighbour_lands() -> None:
    """A line may have exactly the limit; one byte more is named without being parsed."""
    raw = json.dumps(small()).encode()
    fits = raw + b" " * (lines.MAX_LINE_BYTES - len(raw))
    outcomes = read(fits + b" ", fits)
    assert isinstance(outcomes[0], RecordInvalid)
    assert (outcomes[0].rule, outcomes[0].line) == ("line.size", 1)
    assert isinstance(outcomes[1], CanonicalRecord)


def test_a_large_file_is_refused_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the file limit (lowered here) nothing is read, and one fault says so."""
    raw = json.dumps(small()).encode()
    monkeypatch.setattr(lines, "MAX_FILE_BYTES", len(raw))
    assert isinstance(read(raw)[0], CanonicalRecord)
    (outcome,) = read(raw + b"\n")
    assert isinstance(outcome, RecordInvalid)
    assert (outcome.rule, outcome.line) == ("file.size", None)


def test_progress_reaches_the_end() -> None:
    """Progress is told after every line, bad and blank ones included, grows, and ends with the size of the file."""
    told: list[int] = []
    raw = b"{\n\n" + json.dumps(small()).encode()
    assert len(list(BdcExtract("bel.ocam", "bel.ocam.officer-1", progress=told.append).read(raw))) == 2
    assert told == [2, 3, len(raw)]


@pytest.mark.parametrize(("origin", "officer"), [("", "bel.ocam.officer-1"), ("bel.ocam", "")])
def test_nobody_hands_nothing_over(origin: str, officer: str) -> None:
    """Without a named officer and organisation there is no hand-over (law 10.7.2006 art. 9 §3)."""
    with pytest.raises(RequestInvalid):
        BdcExtract(origin, officer)


# --- laws ------------------------------------------------------------------------------------------------------------

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.text(max_size=5)
    | st.sampled_from(["BEL", "2026-01-01"])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
)


def leaves(value: Any, put: Callable[[Any], object]) -> list[Callable[[Any], object]]:
    """A setter for every place in a JSON value."""
    found = [put]
    if isinstance(value, dict | list):
        for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
            found += leaves(inner, partial(value.__setitem__, key))
    return found


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_value_in_any_place_lands_or_is_named(data: st.DataObject) -> None:
    """Whatever stands in a line instead of what belongs there, the outcome is a record or a `RecordInvalid`."""
    holder = {"line": exemplar(AT)}
    data.draw(st.sampled_from(leaves(holder["line"], lambda new: holder.update(line=new))))(data.draw(JSON))
    (outcome,) = read(holder["line"])
    assert isinstance(outcome, CanonicalRecord | RecordInvalid)


@settings(max_examples=100, deadline=None)
@given(
    name=st.text(min_size=1, max_size=8).filter(lambda name: name not in exemplar(AT)["content"]),
    data=st.data(),
)
def test_an_unknown_name_is_never_repeated(name: str, data: st.DataObject) -> None:
    """The name of a member that the schema does not know is input too: a fault points at the parent."""
    line = small()
    data.draw(st.sampled_from([line, line["content"], line["content"]["names"][0]]))[f"q{name}"] = 1
    pointer, rule = fault(line)
    assert (pointer in ("", "/names/*"), rule) == (True, "additionalProperties")

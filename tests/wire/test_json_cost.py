"""What hostile JSON may cost: refused for a stated limit, not for want of memory or patience."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import MalformedMessage, PartnerFault, SchemaViolation
from gateway.wire.ct_json import CtJson
from gateway.wire.strict import MAX_CONTAINERS, MAX_DEPTH, MAX_JSON_BYTES, MAX_VALUES, parse_json

MIB = 1024 * 1024

ENDLESS = {
    "a string of escaped quotation marks": b'"' + b'\\"' * (2 * MIB - 8),
    "the same in an array": b"[" + b'"' + b'\\"' * (2 * MIB - 8),
    "the same with a bracket after each": b'"' + b'\\"[' * MIB,
    "strings side by side": b'""' * (2 * MIB),
    "quotation marks and backslashes": b'"\\' * (2 * MIB),
}


@pytest.mark.timeout(10)
@pytest.mark.parametrize("name", ENDLESS)
def test_no_text_is_read_again_and_again(name: str) -> None:
    """4 MiB that nothing closes are refused in one pass; reading anew at each mark would take days."""
    with pytest.raises(MalformedMessage):
        parse_json(ENDLESS[name])


@pytest.mark.parametrize(
    ("raw", "holds"),
    [
        (b"[" + b"0," * (MAX_VALUES - 1) + b"0]", True),
        (b"[" + b"0," * MAX_VALUES + b"0]", False),
        (b"{" + b",".join(b'"%d":""' % n for n in range(MAX_VALUES)) + b"}", True),
        (b"{" + b",".join(b'"%d":""' % n for n in range(MAX_VALUES + 1)) + b"}", False),
        (b'["' + b"," * (MAX_VALUES + 1) + b'"]', True),  # in a string a comma separates nothing
        (b'"' + b"a" * (MAX_JSON_BYTES - 2) + b'"', True),
    ],
)
def test_values_are_counted_outside_strings(raw: bytes, holds: bool) -> None:
    """Exactly at the limit a text is read, one value more refuses it."""
    if holds:
        assert parse_json(raw) == json.loads(raw)
        return
    with pytest.raises(MalformedMessage) as refused:
        parse_json(raw)
    assert refused.value.diagnostic == {"limit": MAX_VALUES}


@pytest.mark.parametrize("item", [b"{}", b'{"a":0}', b"[0]", b'{"part":"/records/0"}', b'["[\\"[\\\\"]'])
def test_containers_are_counted(item: bytes) -> None:
    """Objects and arrays cost a reader a hundred times their bytes: at the limit they are read, one more refuses, and
    brackets in strings are none."""
    most = [item] * (MAX_CONTAINERS - 1)  # the array around them is one
    assert parse_json(b"[" + b",".join(most) + b"]") == [json.loads(item)] * len(most)
    with pytest.raises(MalformedMessage) as refused:
        parse_json(b"[" + b",".join([*most, item]) + b"]")
    assert refused.value.diagnostic == {"limit": MAX_CONTAINERS}


@pytest.mark.parametrize(
    "item", [b'{"part":"/records/0"}', b"[[[[[[[[[[0]]]]]]]]]]", b'","', b'{"a":{"b":{"c":0}}}']
)
def test_memory_of_a_refusal(item: bytes) -> None:
    """The most of these that the counts of bytes and commas let through cost less than 16 MiB to refuse, or to read."""
    raw = b'{"labels":[' + b",".join([item] * 99_000) + b"]}"
    assert len(raw) <= MAX_JSON_BYTES
    with pytest.raises(SchemaViolation):  # what is made once is made
        CtJson().parse(b"{}")
    tracemalloc.start()
    try:
        with pytest.raises(PartnerFault):
            CtJson().parse(raw)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 16 * MIB


@settings(max_examples=200)
@given(st.binary(max_size=200).map(lambda raw: b'{"a":"' + raw + b'"}'))
def test_the_look_ahead_refuses_nothing_that_is_json(raw: bytes) -> None:
    """Law: counting ahead never refuses a small text for size or depth that the parser would read."""
    try:
        expected = json.loads(raw)
    except (ValueError, RecursionError):
        return
    try:
        found = parse_json(raw, floats=True)
    except MalformedMessage as refused:
        found, limits = expected, refused.diagnostic
        assert limits not in ({"limit": MAX_VALUES}, {"limit": MAX_DEPTH}, {"limit": MAX_CONTAINERS})
    assert found == expected


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "raw",
    [
        b"{" + b",".join(b'"%d":0' % n for n in range(99_000)) + b"}",
        b'{"labels":[' + b",".join([b'{"part":"/records/0"}'] * 30_000) + b"]}",
    ],
)
def test_a_large_refusal_is_not_explained(raw: bytes) -> None:
    """Outside the schema: a small payload is told which rule, a large one only that it is."""
    with pytest.raises(SchemaViolation) as refused:
        CtJson().parse(raw)
    assert refused.value.diagnostic == {"rule": "schema"}
    with pytest.raises(SchemaViolation) as explained:
        CtJson().parse(b"{}")
    assert explained.value.diagnostic["rule"] != "schema"

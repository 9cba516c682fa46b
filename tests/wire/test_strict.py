"""The strict readers: closed vectors, and laws."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import MalformedMessage, RequestInvalid
from gateway.model.time import Instant
from gateway.wire.strict import (
    MAX_DEPTH,
    MAX_INTEGER,
    OrgId,
    Uuid4,
    b64url,
    b64url_decode,
    canonical,
    instant,
    parse_json,
    read_canonical,
)
from tests.conftest import REFERENCE

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "wire"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def cases(name: str) -> list[Any]:
    """The cases of a vector file, each a pytest parameter; every ``expect`` is of the file's closed list."""
    document = json.loads((VECTORS / name).read_text("utf-8"))
    assert {case["expect"] for case in document["cases"]} == set(document["expect"])
    return [pytest.param(case, id=case["name"]) for case in document["cases"]]


@pytest.mark.parametrize("case", cases("strict-json.json"))
def test_json_vectors(case: dict[str, str]) -> None:
    """Each vector is accepted or refused as its file says, and a refusal never quotes the input."""
    raw = bytes.fromhex(case["hex"]) if "hex" in case else case["text"].encode()
    if case["expect"] == "accepted":
        assert parse_json(raw) == json.loads(raw)
    else:
        with pytest.raises(MalformedMessage):
            parse_json(raw)


@pytest.mark.parametrize("case", cases("base64url.json"))
def test_base64url_vectors(case: dict[str, str]) -> None:
    """One canonical form decodes and encodes back to itself; every other spelling is refused."""
    if case["expect"] == "accepted":
        assert b64url(b64url_decode(case["text"])) == case["text"]
    else:
        with pytest.raises(MalformedMessage):
            b64url_decode(case["text"])


@given(json_values)
def test_what_we_write_we_read(value: Any) -> None:
    """Any JSON value of our range survives writing and strict reading."""
    assert parse_json(msgspec.json.encode(value)) == value


@given(st.binary(max_size=200))
def test_garbage_is_refused_in_one_way(raw: bytes) -> None:
    """Any bytes are JSON or a MalformedMessage, never another exception."""
    try:
        parse_json(raw)
    except MalformedMessage as fault:
        assert fault.detail  # noqa: PT017 - whether it raises depends on the draw


@given(st.binary())
def test_base64url_round_trip(raw: bytes) -> None:
    """Decoding undoes encoding."""
    assert b64url_decode(b64url(raw)) == raw


def test_size_and_depth_limits() -> None:
    """A text over its limit is refused before it is parsed; nesting far beyond the limit does not recurse."""
    assert parse_json(b"[1]", limit=3) == [1]
    with pytest.raises(MalformedMessage):
        parse_json(b"[1] ", limit=3)
    with pytest.raises(MalformedMessage):
        parse_json(b"[" * 100_000)
    with pytest.raises(MalformedMessage):
        parse_json(b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1))


def test_long_numbers_cost_nothing() -> None:
    """A number of a million digits is refused by its length, without conversion."""
    with pytest.raises(MalformedMessage):
        parse_json(b"1" * 1_000_000)


def test_floats_are_read_only_on_request() -> None:
    """With the flag finite doubles are read; one that overflows is refused."""
    assert parse_json(b"[1.5,1e2]", floats=True) == [1.5, 100.0]
    with pytest.raises(MalformedMessage):
        parse_json(b"[1e999]", floats=True)


def test_refusals_hold_no_input() -> None:
    """No refusal carries the text it refuses, neither in its detail nor as the cause shown with it."""
    for raw in (b'{"Zzemo":1,"Zzemo":2}', b'["Zzemo"', b"[Zzemo]", b'{"Zzemo":1.5}', b'"Zzemo\\ud800"'):
        with pytest.raises(MalformedMessage) as caught:
            parse_json(raw)
        assert "Zzemo" not in str(caught.value)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


class Noun(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    at: Instant
    org: OrgId
    id: Uuid4
    note: str = ""


NOUN = Noun(
    datetime(2026, 11, 21, 21, 0, tzinfo=UTC), "bel.ocam", "5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a11", "é"
)
RAW = b'{"at":"2026-11-21T21:00:00Z","id":"5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a11","note":"\xc3\xa9","org":"bel.ocam"}'


_NAMES = st.text(max_size=4) | st.sampled_from(
    ["\ue000", "\U0001f600", "\ud7ff", "é", '"', "\\", "\x00", "\x7f"]
)
_TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**54), 2**54) | st.floats() | _NAMES | st.just("\ud800"),
    lambda trees: (
        st.lists(trees, max_size=4)
        | st.tuples(trees, trees)
        | st.dictionaries(_NAMES, trees, max_size=4)
        | st.dictionaries(_NAMES | st.integers(-2, 2), trees, max_size=3)
    ),
    max_leaves=12,
)


@given(_TREES)
def test_canonical_bytes_are_those_of_the_reference_implementation(tree: Any) -> None:
    """The short way and the reference implementation write the same, or both refuse: order, numbers, names."""
    try:
        expected = rfc8785.dumps(tree)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError):
        with pytest.raises(RequestInvalid):
            canonical(tree)
        return
    assert canonical(tree) == expected


def test_canonical_form() -> None:
    """A noun has one form, and that form reads back."""
    assert canonical(NOUN) == RAW
    assert read_canonical(RAW, Noun) == NOUN


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"21:00:00Z", b"21:00:00.000000Z"),
        (b"21:00:00Z", b"21:00:00.500000Z"),
        (b"21:00:00Z", b"21:00:00+00:00"),
        (b"21:00:00Z", b"22:00:00+01:00"),
        (b"T21", b"t21"),
        (b"\xc3\xa9", b"\\u00e9"),
        (b',"note":"\xc3\xa9"', b',"note":""'),
        (b',"note":"\xc3\xa9"', b',"note":null'),
        (b"bel.ocam", b"BEL.ocam"),
        (b"bel.ocam", b"bel.ocam\\n"),
        (b"5f0c7f0e", b"5F0C7F0E"),
        (b"-4a53-", b"-1a53-"),
        (b'{"at"', b'{ "at"'),
        (b'"org":"bel.ocam"}', b'"org":"bel.ocam","x":1}'),
        (b',"org":"bel.ocam"', b""),
        (b"}", b"}\n"),
        (RAW, b"[" + RAW + b"]"),
    ],
)
def test_second_spellings_are_refused(old: bytes, new: bytes) -> None:
    """Every other spelling of the same noun, and every other shape, is refused."""
    assert old in RAW
    with pytest.raises(MalformedMessage):
        read_canonical(RAW.replace(old, new, 1), Noun)


def test_members_out_of_order_are_refused() -> None:
    """RFC 8785 sorts members: an unsorted document is not its own canonical form."""
    unsorted = json.dumps(dict(reversed(json.loads(RAW).items())), separators=(",", ":"), ensure_ascii=False)
    with pytest.raises(MalformedMessage):
        read_canonical(unsorted.encode(), Noun)


def test_what_json_cannot_hold_has_no_canonical_form() -> None:
    """A lone surrogate from a command line is our caller's fault, not a crash."""
    with pytest.raises(RequestInvalid):
        canonical(msgspec.structs.replace(NOUN, note="\udcff"))


def test_instants_are_cut_to_seconds_in_utc() -> None:
    """A signed instant is in UTC, its fraction cut off and never rounded into the future."""
    local = datetime(2026, 11, 21, 22, 0, 59, 999_999, tzinfo=timezone(timedelta(hours=1)))
    assert instant(local) == datetime(2026, 11, 21, 21, 0, 59, tzinfo=UTC)


def test_jcs_reference_vectors() -> None:
    """The strict reader and RFC 8785 agree with the published canonicalization vectors."""
    folder = REFERENCE / "jcs-rfc8785" / "testdata"
    if not folder.is_dir():
        pytest.skip("the RFC 8785 reference vectors are not beside the checkout")
    names = sorted(path.name for path in (folder / "input").iterdir())
    assert names
    for name in names:
        tree = parse_json((folder / "input" / name).read_bytes(), floats=True)
        assert rfc8785.dumps(tree) == (folder / "output" / name).read_bytes(), name

"""The guard's own reader: one spelling in, the same out, and only `GuardRefused` for anything else."""

import json
from typing import Any

import msgspec
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GuardRefused
from gateway.guard.reader import MAX_INTEGER, is_canonical, leaves, read, write

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | TEXTS,
    lambda trees: st.lists(trees, max_size=4) | st.dictionaries(TEXTS, trees, max_size=4),
    max_leaves=20,
)


@given(TREES)
def test_what_is_written_is_read(tree: Any) -> None:
    """read(write(x)) is x, types included, and the spelling is the one of the encoder that renders."""
    raw = write(tree).encode()
    assert repr(read(raw)) == repr(tree)
    assert raw == msgspec.json.encode(tree)


@given(TREES, TREES)
def test_canonical_bytes_are_those_of_rfc_8785(tree: Any, other: Any) -> None:
    """What was read is the canonical form of what RFC 8785 writes as the same bytes, and of nothing else."""
    for told in (tree, other):
        for raw in (write(tree).encode(), rfc8785.dumps(tree)):
            assert is_canonical(read(raw), told) == (raw == rfc8785.dumps(told))


@pytest.mark.parametrize(
    ("raw", "told"), [(b"[1]", (True,)), (b"[true]", (1,)), (b'{"a":[]}', {"a": {}}), (b"[null]", ())]
)
def test_values_of_another_type_are_another_document(raw: bytes, told: Any) -> None:
    """A number is no truth value, and an empty list no object, though Python may find them equal."""
    assert not is_canonical(read(raw), told)


@given(TREES)
def test_leaves_tell_two_trees_apart(tree: Any) -> None:
    """Paths and texts hold all that the tree says: an object of digits is no list, an empty list no object."""

    def told(value: Any) -> list[Any]:
        return [(leaf.path, leaf.text) for leaf in leaves(value)]

    def lists_to_objects(value: Any) -> Any:
        if isinstance(value, list):
            return {str(index): lists_to_objects(item) for index, item in enumerate(value)}
        return (
            {name: lists_to_objects(item) for name, item in value.items()}
            if isinstance(value, dict)
            else value
        )

    other = lists_to_objects(tree)
    assert (told(other) == told(tree)) == (other == tree)


@given(st.binary(max_size=40) | st.text('{}[]",:\\u0d8ef1-.eE tnr', max_size=30).map(str.encode))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    """No other exception than the guard's, and what is read is JSON to the standard library too."""
    try:
        tree = read(raw)
    except GuardRefused:
        return
    assert json.loads(raw) == tree


@given(TREES, st.data())
def test_no_second_spelling_is_read(tree: Any, data: st.DataObject) -> None:
    """Escaping a character that needs no escape says the same and is refused."""
    raw = write(tree)
    letters = [at for at, sign in enumerate(raw) if sign.isalpha() and _in_string(raw, at)]
    if letters:
        at = data.draw(st.sampled_from(letters))
        if ord(raw[at]) < 0x10000:
            spelled = f"{raw[:at]}\\u{ord(raw[at]):04x}{raw[at + 1 :]}"
            assert json.loads(spelled) == tree
            with pytest.raises(GuardRefused):
                read(spelled.encode())


def _in_string(raw: str, at: int) -> bool:
    """Whether the character at ``at`` stands in a string and is no part of an escape."""
    inside, position = False, 0
    while position < at:
        if inside and raw[position] == "\\":
            position += 6 if raw[position + 1] == "u" else 2
            continue
        inside ^= raw[position] == '"'
        position += 1
    return inside and position == at


@pytest.mark.parametrize(
    ("raw", "diagnostic"),
    [
        (b'"\xff"', {"rule": "encoding"}),
        (b"\xef\xbb\xbf1", {"rule": "encoding"}),
        (b'["\\u0041"]', {"rule": "spelling"}),
        (b"", {"rule": "syntax", "at": 0}),
        (b'["a" ]', {"rule": "syntax", "at": 4}),
        (b'{"a":1 }', {"rule": "syntax", "at": 6}),
        (b'{"a"}', {"rule": "syntax", "at": 4}),
        (b"{1:2}", {"rule": "syntax", "at": 1}),
        (b"[1]2", {"rule": "syntax", "at": 3}),
        (b'{"a":"b","a":1}', {"rule": "duplicate-member", "at": 12}),
        (b'{"a/":1,"a\\/":2}', {"rule": "duplicate-member", "at": 13}),
        (b'["\\ud800"]', {"rule": "surrogate", "at": 9}),
        (b'["\\udfff"]', {"rule": "surrogate", "at": 9}),
        (b'["\\ud7ff"]', {"rule": "spelling"}),
        (b'["\\ue000"]', {"rule": "spelling"}),
        (b"[1.0]", {"rule": "number", "at": 2}),
        (b"[" * 33 + b"1" + b"]" * 33, {"rule": "depth", "at": 33}),
        (b"[" * 33 + b'"a"' + b"]" * 33, {"rule": "depth", "at": 33}),
        (b'{"a":' * 33 + b'"b"' + b"}" * 33, {"rule": "depth", "at": 165}),
    ],
)
def test_a_refusal_says_the_rule_and_the_position(raw: bytes, diagnostic: dict[str, Any]) -> None:
    """What was being read, the rule, and where a token is at fault the next character: never a character itself."""
    for subject in ("payload", "decision", "record"):
        with pytest.raises(GuardRefused) as caught:
            read(raw, subject)
        assert caught.value.diagnostic == {"subject": subject} | diagnostic
    with pytest.raises(GuardRefused) as caught:
        read(raw)
    assert caught.value.diagnostic["subject"] == "payload"


def test_a_leaf_has_one_spelling() -> None:
    """Path, text and characters; an empty container is a leaf without characters."""
    assert leaves({"a": ['b"', 1], "c": {}, "d": []}, ("x",)) == [
        (("x", "a", 0), '"b\\""', 'b"'),
        (("x", "a", 1), "1", None),
        (("x", "c"), "{}", None),
        (("x", "d"), "[]", None),
    ]


def test_members_are_ordered_by_utf_16() -> None:
    """U+10000 stands before U+E000, as RFC 8785 §3.2.3 has it, though its code point is the higher one."""
    tree: dict[str, Any] = {"\U00010000": [], "\ue000": {}}
    assert rfc8785.dumps(tree) == write(tree).encode()
    assert is_canonical(read(write(tree).encode()), tree)
    assert not is_canonical(read(write(dict(reversed(tree.items()))).encode()), tree)


def test_bytes_are_bounded() -> None:
    """Four mebibytes are read; one byte more is refused by its size."""
    most = b'"' + b"x" * (4 * 1024 * 1024 - 2) + b'"'
    assert len(str(read(most))) == len(most) - 2
    with pytest.raises(GuardRefused) as caught:
        read(most[:-1] + b'x"', "record")
    assert caught.value.diagnostic == {"rule": "size", "subject": "record"}


@pytest.mark.parametrize(("depth", "accepted"), [(32, True), (33, False)])
@pytest.mark.parametrize(("opens", "closes"), [(b"[", b"]"), (b'{"a":', b"}")])
@pytest.mark.parametrize("innermost", [b"1", b'"x"'])
def test_depth_is_bounded(depth: int, accepted: bool, opens: bytes, closes: bytes, innermost: bytes) -> None:
    """The deepest allowed nesting is read; one more is refused."""
    raw = opens * depth + innermost + closes * depth
    if accepted:
        assert write(read(raw)).encode() == raw
    else:
        with pytest.raises(GuardRefused, match="nested too deeply"):
            read(raw)


@pytest.mark.parametrize(
    ("number", "accepted"), [(2**53 - 1, True), (-(2**53) + 1, True), (2**53, False), (-(2**53), False)]
)
def test_integers_are_bounded(number: int, accepted: bool) -> None:
    """The last integer that every reader holds is read; the next is refused."""
    if accepted:
        assert read(str(number).encode()) == number
    else:
        with pytest.raises(GuardRefused, match="beyond"):
            read(str(number).encode())

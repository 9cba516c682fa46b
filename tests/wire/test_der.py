"""DER: what is written is read back, and there is one way to write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import MalformedMessage
from gateway.wire.der import INTEGER, OCTETS, SEQUENCE, der, integer, oid, read, set_of


@given(st.integers(0, 2**200))
def test_a_number_comes_back(value: int) -> None:
    """Whatever its length, and with its sign bit clear."""
    assert read(integer(value)).number() == value


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_members_come_back(contents: list[bytes]) -> None:
    """In their order, with their bytes as they stand, over every length form."""
    members = [der(OCTETS, content) for content in contents]
    value = read(der(SEQUENCE, *members))
    assert [one.raw for one in value.inside(SEQUENCE)] == members
    assert [one.content for one in value.members()] == contents
    assert [one.raw for one in read(set_of(*members)).members()] == sorted(members)


def test_an_object_identifier() -> None:
    """The bytes of X.690 §8.19.5 and of a long arc."""
    assert oid("2.100.3") == bytes.fromhex("0603813403")
    assert oid("2.5.4.3") == bytes.fromhex("0603550403")
    assert oid("1.2.840.113549") == bytes.fromhex("06062a864886f70d")


@given(st.binary(max_size=40))
def test_what_is_read_is_the_one_way_to_write_it(raw: bytes) -> None:
    """Bytes that are read are those that writing the same value gives; everything else is refused."""
    try:
        value = read(raw)
    except MalformedMessage:
        return
    assert der(value.tag, value.content) == raw


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "30",
        "3080",
        "30800000",
        "308100",
        "30820001aa",
        "3003020101ff",
        "30050201",
        "1f8101",
        "3085000000000100",
    ],
)
def test_another_spelling_is_refused(raw: str) -> None:
    """Indefinite, padded or long-winded lengths, bytes that are missing or left over, long tags."""
    with pytest.raises(MalformedMessage):
        read(bytes.fromhex(raw))


@pytest.mark.parametrize("raw", ["0200", "02020001", "0202ff80", "040101"])
def test_what_is_no_number(raw: str) -> None:
    """Empty, padded, or of another tag."""
    with pytest.raises(MalformedMessage):
        read(bytes.fromhex(raw)).number()
    assert read(bytes.fromhex("0201ff")).tag == INTEGER

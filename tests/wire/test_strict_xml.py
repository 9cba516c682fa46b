"""The scan before the parser: what is cut is what came, however it comes, and every limit is one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import MalformedMessage
from gateway.wire import strict_xml
from gateway.wire.strict_xml import (
    MAX_ATTRIBUTES,
    MAX_DEPTH,
    MAX_ELEMENTS,
    MAX_NAMESPACES,
    Cut,
    XmlScan,
    parse_xml,
)

CUT = (("l", "e"), ("l", "g", "e"))
ENTRIES = (
    '<e a=">"><b/>x</e>',
    "<e/>",
    "<e\na='<'/>".replace("<'", "&lt;'"),
    "<e><![CDATA[</e>]]></e >",
    "<e>é\n</e>",
)
LIST = f'<?xml version="1.0"?><l  x=">">{ENTRIES[0]} {ENTRIES[1]}<g y="1">{ENTRIES[2]}{ENTRIES[3]}</g>{ENTRIES[4]}</l>'


def cut(raw: bytes, *sizes: int) -> list[Cut]:
    scan, found, at = XmlScan(CUT), [], 0
    for size in sizes:
        scan.feed(raw[at : at + size])
        found += scan.taken()
        at += size
    scan.feed(raw[at:], final=True)
    return found + scan.taken()


def rule(raw: bytes) -> str:
    with pytest.raises(MalformedMessage) as refused:
        parse_xml(raw)
    return str(refused.value.diagnostic["rule"])


@given(st.lists(st.integers(3, 40), max_size=20))
def test_what_is_cut_is_what_came(sizes: list[int]) -> None:
    """However the bytes are split, each entry comes back as it stood, under the very start tags it stood in."""
    found = cut(LIST.encode(), *sizes)
    assert tuple(one.raw.decode() for one in found) == ENTRIES
    assert [one.tags[-1] for one in found] == [b'<l  x=">">'] * 2 + [b'<g y="1">'] * 2 + [b'<l  x=">">']
    assert [one.names for one in found] == [("l",)] * 2 + [("l", "g")] * 2 + [("l",)]


def test_entries_before_a_refusal_are_not_lost() -> None:
    """What ended before the fault is given; the fault is raised."""
    scan = XmlScan(CUT)
    with pytest.raises(MalformedMessage):
        scan.feed(b"<l><e>1</e><e>2</e><!-- x --><e>3</e></l>", final=True)
    assert [one.raw for one in scan.taken()] == [b"<e>1</e>", b"<e>2</e>"]
    assert scan.taken() == []


def test_a_document_is_read_as_it_is() -> None:
    """Elements, attributes and text, entities of XML itself resolved; a byte order mark is no part of it."""
    root = parse_xml(b'\xef\xbb\xbf<?xml version="1.0" encoding="utf-8"?><a b="&lt;">x&amp;\xc3\xa9<c/></a>')
    assert (root.tag, root.get("b"), root.text, len(root)) == ("a", "<", "x&é", 1)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"<!DOCTYPE a><a/>", "xml.doctype"),
        (b'<!DOCTYPE a SYSTEM "http://example.invalid/x.dtd"><a/>', "xml.doctype"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "xml.doctype"),
        (b"<a><!----></a>", "xml.comment"),
        (b"<?a b?><a/>", "xml.instruction"),
        (b'<?xml version="1.1"?><a/>', "xml.encoding"),
        (b'<?xml version="1.0" encoding="latin1"?><a/>', "xml.encoding"),
        ("<a/>".encode("utf-16"), "xml.well-formed"),
        ("<a/>".encode("utf-32-be"), "xml.well-formed"),
        (b"<a>\xff</a>", "xml.well-formed"),
        (b"<a>\xed\xa0\x80</a>", "xml.well-formed"),  # a surrogate, which UTF-8 does not have
        (b"<a>\x00</a>", "xml.well-formed"),
        (b"<a>&#0;</a>", "xml.well-formed"),
        (b"<a>&b;</a>", "xml.well-formed"),
        (b"<b:a/>", "xml.well-formed"),
        (b"<a></b>", "xml.well-formed"),
        (b"<a/><a/>", "xml.well-formed"),
        (b"<a b='1' b='2'/>", "xml.well-formed"),
        (b"<a", "xml.well-formed"),
        (b"", "xml.well-formed"),
        (b" ", "xml.well-formed"),
    ],
)
def test_refused(raw: bytes, expected: str) -> None:
    """What strict XML is not, each by its rule."""
    assert rule(raw) == expected


def many(shape: str, count: int) -> bytes:
    """`shape` with a number in it, so many times."""
    return b" ".join((shape % number).encode() for number in range(count))


#: Documents that hold so many more than the limit of something.
LIMITED: dict[str, Callable[[int], bytes]] = {
    "xml.depth": lambda more: b"<a>" * (MAX_DEPTH + more) + b"</a>" * (MAX_DEPTH + more),
    "xml.elements": lambda more: b"<a>" + b"<b/>" * (MAX_ELEMENTS - 1 + more) + b"</a>",
    "xml.attributes": lambda more: b"<a " + many('a%d=""', MAX_ATTRIBUTES + more) + b"/>",
    "xml.namespaces": lambda more: b"<a " + many('xmlns:a%d="u"', MAX_NAMESPACES + more) + b"/>",
}


@pytest.mark.parametrize("limit", LIMITED)
def test_each_limit_is_one(limit: str) -> None:
    """As much as is allowed is read; one more is refused."""
    document = LIMITED[limit]
    assert parse_xml(document(0)).tag == "a"
    assert rule(document(1)) == limit


def test_the_size_limit() -> None:
    """A document of as many bytes is read, of one more refused."""
    assert parse_xml(b"<a/>", limit=4).tag == "a"
    with pytest.raises(MalformedMessage) as refused:
        parse_xml(b"<a/>", limit=3)
    assert refused.value.diagnostic["rule"] == "xml.size"


def test_elements_are_counted_by_entry_and_between_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long list of small entries passes; one entry too full, too much between entries, too many entries do not."""
    monkeypatch.setattr(strict_xml, "MAX_ELEMENTS", 5)
    monkeypatch.setattr(strict_xml, "MAX_ENTRIES", 100)
    assert len(cut(b"<l>" + b"<e><b/><b/><b/></e>" * 100 + b"</l>")) == 100
    for raw in (
        b"<l><e>" + b"<b/>" * 6 + b"</e></l>",
        b"<l>" + b"<e/><b/>" * 6 + b"</l>",
        b"<l>" + b"<e/>" * 101 + b"</l>",
    ):
        with pytest.raises(MalformedMessage) as refused:
            cut(raw)
        assert refused.value.diagnostic["rule"] == "xml.elements"


@pytest.mark.parametrize(
    "raw",
    [
        b"<l><e>" + b"x" * 300 + b"</e></l>",
        b"<l>" + b" " * 300 + b"<e/></l>",
        b'<l x="' + b"x" * 300 + b'"/>',
    ],
    ids=["entry", "gap", "tag"],
)
def test_memory_stays_at_one_entry(monkeypatch: pytest.MonkeyPatch, raw: bytes) -> None:
    """An entry, a gap or a tag beyond its limit is refused while it is read, not when it ends."""
    monkeypatch.setattr(strict_xml, "MAX_ENTRY_BYTES", 100)
    with pytest.raises(MalformedMessage) as refused:
        cut(raw, *[10] * 20)
    assert refused.value.diagnostic["rule"] == "xml.size"


@given(st.binary(max_size=300))
def test_any_bytes(raw: bytes) -> None:
    """Bytes that are no document raise `MalformedMessage`, from scan and parser alike, and nothing else; the parser
    reads nothing that the scan refuses."""
    read = set()
    for reader in (parse_xml, cut):
        with suppress(MalformedMessage):
            reader(raw)
            read.add(reader)
    assert parse_xml not in read or cut in read


@given(st.text(alphabet="<>/ael&;!-?[]\"'= x:", max_size=60))
def test_nothing_but_elements_and_text_is_read(text: str) -> None:
    """What the scan lets through, the parser reads to the same text, or calls ill-formed (unbound prefixes)."""
    raw = f"<a>{text}</a>".encode()
    with suppress(MalformedMessage):
        root = parse_xml(raw)
        assert root.tag == "a"
        assert {type(node).__name__ for node in root.iter()} == {
            "_Element"
        }  # no comment, instruction, entity

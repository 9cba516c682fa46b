"""Hostile lists: each is refused for what it is, in bounded time, and nothing of it is said."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.records.sanctions.parts import parts
from adapters.records.sanctions.reader import SanctionsList
from adapters.records.sanctions.table import COLUMNS, MAX_LINE_BYTES
from gateway.errors import RecordInvalid
from gateway.model.record import CanonicalRecord
from tests.records.lists import BE, EU, UN, be_list, be_row, un_entry, un_list

BLOCK = 4096
XXE = b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/hostname">]>'
LAUGHS = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;">]>'
BOMB = XXE.replace(b'SYSTEM "file:///etc/hostname"', b'"' + b"x" * 1000 + b'"')
HEAD, BODY = UN.split(b"?>\n", 1)
FIRST = be_row(Entity_LogicalId=1, NameAlias_WholeName="Zz Un")


def within(inner: bytes) -> bytes:
    """The good list with something more inside its first entry."""
    return UN.replace(b"<SORT_KEY/>", inner, 1)


HOSTILE: dict[str, tuple[str, bytes, str]] = {
    "external entity": ("un", HEAD + b"?>" + XXE + BODY.replace(b"ZZEMO", b"&f;"), "xml.doctype"),
    "billion laughs": ("un", HEAD + b"?>" + LAUGHS + BODY.replace(b"ZZEMO", b"&c;"), "xml.doctype"),
    "harmless internal entity": ("un", HEAD + b"?>" + BOMB + BODY, "xml.doctype"),
    "empty DOCTYPE": ("un", HEAD + b"?><!DOCTYPE x>" + BODY, "xml.doctype"),
    "undeclared entity": ("un", UN.replace(b"ZZEMO", b"&zz;"), "xml.well-formed"),
    "comment in a text": ("un", UN.replace(b"ZZEMO", b"ZZ<!--x-->EMO"), "xml.comment"),
    "processing instruction": ("un", HEAD + b'?><?xml-stylesheet href="x"?>' + BODY, "xml.instruction"),
    "two million elements": ("un", within(b"<a/>" * 2_000_000), "xml.elements"),
    "nested too deeply": ("un", within(b"<a>" * 100 + b"</a>" * 100), "xml.depth"),
    "attributes without end": (
        "un", within(b"<a " + b" ".join(b'a%d=""' % number for number in range(1000)) + b"/>"), "xml.attributes"
    ),
    "namespaces without end": (
        "un", within(b"".join(b'<a xmlns:n%d="urn:x"/>' % number for number in range(100))), "xml.namespaces"
    ),
    "another encoding, as it says": (
        "un", UN.decode().replace("UTF-8", "ISO-8859-1").encode("latin-1", "replace"), "xml.encoding"
    ),
    "another encoding, unsaid": ("eu", EU.replace("ée".encode(), "ée".encode("latin-1")), "xml.well-formed"),
    "XML 1.1": ("un", UN.replace(b'version="1.0"', b'version="1.1"', 1), "xml.encoding"),
    "truncated": ("un", UN[: len(UN) * 2 // 3], "xml.well-formed"),
    "truncated in a tag": ("eu", EU[:900], "xml.well-formed"),
    "NUL": ("un", UN.replace(b"ZZEMO", b"ZZ\0EMO"), "xml.well-formed"),
    "two roots": ("un", UN + b"<CONSOLIDATED_LIST/>", "xml.well-formed"),
    "another document": ("un", b"<html><body>Service unavailable</body></html>", "list.shape"),
    "another list": ("un", EU, "list.shape"),
    "another namespace": ("eu", EU.replace(b"/fsd/export", b"/zz/export"), "list.shape"),
    "no date": ("un", UN.replace(b"dateGenerated", b"dateZz"), "list.generated"),
    "no day": ("un", UN.replace(b"2026-11-21T", b"2026-02-30T"), "list.generated"),
    "UTF-16": ("un", UN.decode().encode("utf-16"), "list.shape"),
    "UTF-16 for a table": ("be", UN.decode().encode("utf-16"), "csv.header"),
    "nothing": ("be", b"", "csv.header"),
    "another header row": ("be", BE.replace(b"Entity_LogicalId", b"Entity_Id"), "csv.header"),
    "a column too many": ("be", BE.replace(b"_CountryDescription\r\n", b"_CountryDescription;Zz\r\n"), "csv.header"),
    "mixed line ends": ("be", BE + FIRST.encode() + b"\n", "csv.newline"),
    "a lone carriage return": ("be", be_list(FIRST.replace("Zz Un", "Zz\rUn")), "csv.newline"),
    "a line end in a cell": ("be", be_list(FIRST.replace("Zz Un", '"Zz\nUn"')), "csv.cells"),
    "NUL in a cell": ("be", be_list(FIRST.replace("Zz Un", "Zz\0Un")), "csv.cells"),
    "a row without end": ("be", be_list(FIRST.replace("Zz Un", "Z" * MAX_LINE_BYTES)), "line.size"),
    **{
        f"formula {sign!r}": ("be", be_list(FIRST.replace("Zz Un", f"{sign}1+1")), "csv.formula")
        for sign in (
            "=", "+", "-", "@", "\t",
            " =", "\u00a0 @", "\u200e=", "\u061c-", "\ufeff@", " \u200f +",  # what is kept is trimmed
            "\uff1d", "\uff0b", "\uff0d", "\uff20", "\ufe66", "\u200e\uff1d", "=\u0338",  # other widths and forms
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_list_is_refused_for_what_it_is(case: str) -> None:
    """Nothing of it lands, the rule names what is wrong, and no value is said."""
    name, raw, rule = HOSTILE[case]
    found = list(SanctionsList(name, "bel.ocam", "o").read(raw))  # type: ignore[arg-type]
    assert not [each for each in found if isinstance(each, CanonicalRecord)]
    fault = found[0]
    assert isinstance(fault, RecordInvalid)
    assert (fault.rule, fault.line) == (rule, 1)
    assert "hostname" not in repr(vars(fault))
    assert "Zz" not in fault.detail


@pytest.mark.parametrize("case", HOSTILE)
def test_nothing_hostile_reaches_a_part(case: str) -> None:
    """Cut block by block it is refused by the same rule, at once or by whoever reads its parts."""
    name, raw, rule = HOSTILE[case]
    blocks = (raw[at : at + BLOCK] for at in range(0, len(raw), BLOCK))
    cut = parts(blocks, name)
    rules: list[Any] = []
    try:
        for part in cut:
            read = SanctionsList(part.list, "bel.ocam", "o").read(part.raw)
            rules += [each.rule for each in read if isinstance(each, RecordInvalid)]
    except RecordInvalid as fault:
        rules.append(fault.rule)
    assert rule in rules


@pytest.mark.parametrize(("name", "raw"), [("un", UN), ("eu", EU), ("be", BE.removeprefix(b"\xef\xbb\xbf"))])
def test_a_byte_order_mark_changes_nothing(name: Any, raw: bytes) -> None:
    """UTF-8's mark, which published lists carry, is no part of the list; two of them are."""
    plain, marked = (
        [each.content for each in SanctionsList(name, "bel.ocam", "o").read(one) if isinstance(each, CanonicalRecord)]
        for one in (raw, b"\xef\xbb\xbf" + raw)
    )  # fmt: skip
    assert plain == marked
    assert len(plain) == 3
    twice = list(SanctionsList(name, "bel.ocam", "o").read(b"\xef\xbb\xbf" * 2 + raw))
    assert not [each for each in twice if isinstance(each, CanonicalRecord)]


def test_the_first_wrong_column_is_named() -> None:
    """By its place and the name it should have; a name that came in the file is never said."""
    header = ";".join(COLUMNS).replace("Entity_Remark", "Zzremark")
    (fault,) = SanctionsList("be", "bel.ocam", "o").read(header.encode())
    assert isinstance(fault, RecordInvalid)
    assert fault.detail == "column 7 of the header row is not Entity_Remark"


def test_cdata_is_text_and_nothing_else() -> None:
    """A CDATA section is the text it holds: no element comes out of it."""
    (record,) = SanctionsList("un", "bel.ocam", "o").read(
        un_list([un_entry(1, "ZZ <![CDATA[<X>&amp;</X>]]>")])
    )
    assert isinstance(record, CanonicalRecord)
    assert record.content["names"][0]["text"] == "ZZ <X>&amp;</X>"

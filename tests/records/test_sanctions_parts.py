"""A list in parts: together they are the list, however it is read, and none is larger than a part."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.records.sanctions.parts import PART_BYTES, PART_ENTRIES, Part, parts
from adapters.records.sanctions.reader import SanctionsList
from gateway.errors import RecordInvalid
from tests.records.lists import BE, EU, UN, be_list, be_row, un_entry, un_list


def blocks(raw: bytes, size: int) -> Iterator[bytes]:
    return (raw[at : at + size] for at in range(0, len(raw), size))


def records(part: Part) -> list[bytes]:
    read = SanctionsList(part.list, "bel.ocam", "o").read(part.raw)
    return [msgspec.json.encode(record) for record in read]


@settings(max_examples=30, deadline=None)
@given(
    case=st.sampled_from([("un", "", UN), ("eu", "eu", EU), ("be", "be", EU), ("be", "", BE)]),
    size=st.integers(1, 5000),
)
def test_the_parts_are_the_list(case: tuple[str, str, bytes], size: int) -> None:
    """Cut from blocks of any size: the same records as of the whole, told by the bytes or by the officer."""
    name, wanted, raw = case
    whole = [
        msgspec.json.encode(one)
        for one in SanctionsList(name, "bel.ocam", "o").read(raw)  # type: ignore[arg-type]
    ]
    found = list(parts(blocks(raw, size), wanted))
    assert [part.list for part in found] == [name]
    assert [one for part in found for one in records(part)] == whole
    assert (found[0].first, found[0].entries) == (1, 3)


def test_a_long_list_is_many_parts() -> None:
    """Numbered on, each within its limits, all entries there once and in order; progress ends at the file's size."""
    raw = un_list(un_entry(number) for number in range(1, 1251))
    found = list(parts(blocks(raw, 65536)))
    assert [(part.first, part.entries) for part in found] == [(1, 500), (501, 500), (1001, 250)]
    assert all(part.entries <= PART_ENTRIES for part in found)
    assert found[-1].read == len(raw)
    ids = [
        record.entity_id  # type: ignore[union-attr]
        for part in found
        for record in SanctionsList("un", "bel.ocam", "o").read(part.raw)
    ]
    assert ids == [f"UN-{number}" for number in range(1, 1251)]


def test_large_entries_make_small_parts() -> None:
    """Bytes fill a part as well as entries do."""
    remark = f"<COMMENTS1>{'z' * 300_000}</COMMENTS1>"
    found = list(parts(blocks(un_list(un_entry(number, extra=remark) for number in range(1, 20)), 65536)))
    assert len(found) > 2
    assert max(len(part.raw) for part in found) < PART_BYTES + 400_000


def test_the_rows_of_one_entry_stay_together() -> None:
    """Entries of three rows each: no part begins or ends inside one."""
    rows = [be_row(Entity_LogicalId=number, NameAlias_WholeName=f"Zz {number} {alias}")
            for number in range(1, 701) for alias in "abc"]  # fmt: skip
    found = list(parts(blocks(be_list(*rows, end="\r\n"), 1000)))
    assert [part.entries for part in found] == [500, 200]
    assert [len(records(part)) for part in found] == [500, 200]
    assert b'"Zz 500 c"' in records(found[0])[-1]


@pytest.mark.parametrize(
    ("raw", "wanted", "rule", "line"),
    [
        (un_list([]), "", "list.empty", 1),
        (be_list(), "", "list.empty", 1),
        (b"", "", "csv.header", 1),
        (b"<html/>", "", "list.shape", 1),
        (UN, "eu", "list.shape", 1),
        (UN, "be", "list.shape", 1),
        (EU, "un", "list.shape", 1),
        (BE, "eu", "list.shape", 1),
        (un_list([un_entry(1), un_entry(2)])[:-70], "", "xml.well-formed", 2),
        (un_list([un_entry(1), un_entry(2), "<!-- -->"]), "", "xml.comment", 3),
        (un_list([un_entry(1)], made="yesterday"), "", "list.generated", 1),
    ],
)
def test_what_is_no_list(raw: bytes, wanted: str, rule: str, line: int) -> None:
    """Named by rule, and by the entry that could not be cut; whole entries before it were given."""
    given_: list[Part] = []
    with pytest.raises(RecordInvalid) as refused:
        given_.extend(parts(blocks(raw, 64), wanted))
    assert (refused.value.rule, refused.value.line) == (rule, line)
    assert sum(len(records(part)) for part in given_) == line - 1
    assert refused.value.__context__ is None


def test_entries_before_a_fault_are_given() -> None:
    """One by one: the parts before the fault come first."""
    cut = parts(blocks(un_list([*(un_entry(number) for number in range(1, 701)), "<!-- -->"]), 65536))
    assert [next(cut).entries, next(cut).entries] == [500, 200]
    with pytest.raises(RecordInvalid) as refused:
        next(cut)
    assert refused.value.line == 701


def test_memory_does_not_grow_with_the_list() -> None:
    """Twenty times the entries take no more memory than one part does."""

    def source(count: int) -> Iterator[bytes]:
        yield b'<CONSOLIDATED_LIST dateGenerated="2026-11-21T00:00:00Z"><INDIVIDUALS>'
        for start in range(0, count, 100):
            yield "".join(un_entry(number) for number in range(start, start + 100)).encode()
        yield b"</INDIVIDUALS></CONSOLIDATED_LIST>"

    def peak(count: int) -> int:
        tracemalloc.start()
        try:
            assert sum(part.entries for part in parts(source(count))) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(20_000) < 2 * peak(1_000)

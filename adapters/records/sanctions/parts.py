"""A list of any length in parts, each a small list of the same shape, so that memory stays at one part.

Sans I/O: blocks of bytes in, parts out. A part is cut from the very bytes of the file; whoever takes it in reads it as
strictly as a whole list.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from adapters.records.sanctions import fsf, table, un
from adapters.records.sanctions.entry import ListName, bad, generated
from gateway.errors import MalformedMessage, RecordInvalid
from gateway.wire.strict_xml import Cut, XmlScan

PART_ENTRIES = 500  # entries of one part: a commit of that many is short
PART_BYTES = 2 * 1024 * 1024  # bytes after which a part is full; one entry more may follow

_BOM = b"\xef\xbb\xbf"
_STAMP = re.compile(rb"""\s(?:dateGenerated|generationDate)\s*=\s*(?:"([^"]{1,40})"|'([^']{1,40})')""")


class Part(NamedTuple):
    """Some whole entries of a list."""

    list: ListName
    generated: datetime  # of the whole list
    first: int  # index of the first entry, from 1
    entries: int
    raw: bytes
    read: int  # bytes of the file read so far, for progress


def parts(blocks: Iterable[bytes], wanted: str = "") -> Iterator[Part]:
    """The parts of a list, in order; which list it is shows in its root element or header row.

    ``wanted`` names the list it must be; the European shape is the Belgian list when ``be`` is wanted. Raises
    `RecordInvalid` with the index of the entry that could not be cut (as ``line``) and the rule, after yielding the
    whole entries before it. A file that does not end as a list does, or holds no entry, is no list.
    """
    cutter: _Cutter | None = None
    first, read = 1, 0
    for block, last in _with_end(blocks):
        read += len(block)
        if cutter is None:
            cutter = _Xml(wanted) if block.removeprefix(_BOM)[:1] == b"<" else _Table(wanted)
        fault: RecordInvalid | None = None
        try:
            cutter.feed(block, last)
        except MalformedMessage as refusal:
            fault = bad("", str(refusal.diagnostic["rule"]), refusal.detail)
        except RecordInvalid as refusal:
            fault = refusal
        for entries, raw in cutter.full(whole=last or fault is not None):
            yield Part(cutter.name, cutter.generated, first, entries, raw, read)
            first += entries
        if fault is not None:
            raise RecordInvalid(fault.detail, rule=fault.rule, line=first)
    if first == 1:
        raise RecordInvalid("the list holds no entry", rule="list.empty", line=1)


def _with_end(blocks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each block, and whether it is the last; the first is long enough to hold a byte order mark."""
    held = b""
    for block in blocks:
        if len(held) > len(_BOM):
            yield held, False
            held = b""
        held += block
    yield held, True


class _Cutter(ABC):
    """What both shapes share: entries that wait to be a part."""

    name: ListName
    generated: datetime

    def __init__(self, wanted: str) -> None:
        self.wanted = wanted
        self._waiting: list[Cut] = []

    def full(self, *, whole: bool) -> Iterator[tuple[int, bytes]]:
        """Parts that are full; with ``whole`` also what is left."""
        size = start = 0
        for index, entry in enumerate(self._waiting, 1):
            size += len(entry.raw)
            if index - start == PART_ENTRIES or size >= PART_BYTES:
                yield index - start, self.join(self._waiting[start:index])
                start, size = index, 0
        del self._waiting[:start]
        if whole and self._waiting:
            yield len(self._waiting), self.join(self._waiting)
            self._waiting = []

    @abstractmethod
    def feed(self, block: bytes, last: bool) -> None:
        """Cut what ends in this block; raises `MalformedMessage` or `RecordInvalid`."""

    @abstractmethod
    def join(self, entries: Sequence[Cut]) -> bytes:
        """A document of these entries."""


class _Xml(_Cutter):
    """The shapes of the United Nations and of the European Union."""

    def __init__(self, wanted: str) -> None:
        super().__init__(wanted)
        self._scan = XmlScan((un.PERSON, un.ENTITY, fsf.ENTRY))
        self._known = False

    def feed(self, block: bytes, last: bool) -> None:
        try:
            self._scan.feed(block, final=last)
        finally:
            found = self._scan.taken()
            if self._scan.root and not self._known:
                self._recognise(self._scan.root)
            self._waiting += found

    def _recognise(self, root: bytes) -> None:
        united = re.match(rb"<%s[\s/>]" % un.ROOT.encode(), root) is not None
        european = re.match(rb"<%s[\s/>]" % fsf.ROOT.encode(), root) is not None
        if united:
            self.name = "un"
        elif european:
            self.name = "be" if self.wanted == "be" else "eu"
        if not (united or european) or self.wanted not in ("", self.name):
            raise bad("", "list.shape", "the document is not the list it is said to be")
        stamp = _STAMP.search(root)
        self.generated = generated(b"".join(stamp.groups(b"")).decode("ascii", "replace") if stamp else "")
        self._known = True

    def join(self, entries: Sequence[Cut]) -> bytes:
        """The entries under the start tags they came under."""
        out: list[bytes] = []
        opened: tuple[tuple[bytes, ...], tuple[str, ...]] = ((), ())
        for entry in entries:
            if (entry.tags, entry.names) != opened:
                common = 1 if opened[0] else 0
                out += [f"</{name}>".encode() for name in reversed(opened[1][common:])]
                out += entry.tags[common:]
                opened = (entry.tags, entry.names)
            out.append(entry.raw)
        out += [f"</{name}>".encode() for name in reversed(opened[1])]
        return b"".join(out)


class _Table(_Cutter):
    """The Belgian list as a table."""

    name: ListName = "be"

    def __init__(self, wanted: str) -> None:
        super().__init__(wanted)
        self._ends, self._rest, self._header = table.Lines(), b"", b""
        self._rows: list[table.Row] = []
        self._dated = False
        self._lines: list[bytes] = []

    def feed(self, block: bytes, last: bool) -> None:
        if self.wanted not in ("", "be"):
            raise bad("", "list.shape", "the document is not the list it is said to be")
        lines = (self._rest + block).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > table.MAX_LINE_BYTES:
            raise bad("", "line.size", "a row is larger than the limit")
        for line in lines:
            self._line(self._ends.content(line + b"\n"))
        if last:
            self._line(self._ends.content(self._rest))
            self._emit()

    def _line(self, line: bytes) -> None:
        if not self._header:
            table.check_header(line)
            self._header = line
        elif line.strip():
            row = table.row(line)
            if self._rows and row.number and row.number != (self._rows[-1].number or row.number):
                self._emit()
            if not self._dated:  # the first row tells for the list, so it must be one
                if row.fault is not None:
                    raise row.fault
                self._dated = True
                self.generated = table.made(row.cells.get("fileGenerationDate", ""))
            self._rows.append(row)
            self._lines.append(line)

    def _emit(self) -> None:
        if self._lines:
            self._waiting.append(Cut(b"\n".join(self._lines) + b"\n", (), ()))
            self._rows, self._lines = [], []

    def join(self, entries: Sequence[Cut]) -> bytes:
        """The rows of the entries under the header row."""
        return b"".join([self._header, b"\n", *(entry.raw for entry in entries)])

"""Published lists of financial sanctions, read as records of the kind ``sanctions-entry/1.0``."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from lxml.etree import _Element

from adapters.records.sanctions import fsf, table, un
from adapters.records.sanctions.entry import KIND, Entry, ListName, Records, bad, generated
from gateway.errors import MalformedMessage, RecordInvalid, RequestInvalid
from gateway.model.record import CanonicalRecord
from gateway.wire.strict_xml import MAX_XML_BYTES, parse_xml

LISTS: tuple[ListName, ...] = ("un", "eu", "be")

_BOM = b"\xef\xbb\xbf"


class SanctionsList:
    """Reads one list, or a part of one in the same shape (`parts`). Holds no state between two calls of `read`.

    ``name`` says whose list it is: the Belgian one comes in the European shape, too, so the bytes cannot tell.
    ``origin`` is the organisation that keeps the records, ``handed_over_by`` the officer who hands the file over.
    """

    kind = KIND

    def __init__(self, name: ListName, origin: str, handed_over_by: str) -> None:
        if name not in LISTS or not origin or not handed_over_by:
            raise RequestInvalid(
                "a list has a name, an organisation that keeps it and an officer who hands it over"
            )
        self._name = name
        self._records = Records(name, origin, handed_over_by)

    def read(self, raw: bytes) -> Iterator[CanonicalRecord | RecordInvalid]:
        """The records of a list in its order; an entry that is wrong is yielded in its place, and the rest goes on.

        A `RecordInvalid` names the entry (``line``, from 1), a pointer into the kind's schema and the rule that was
        broken: a JSON Schema keyword, one of `XmlScan`'s (``xml.…``), or one of ``list.shape``, ``list.generated``,
        ``entry.number``, ``duplicate-id``, ``date.precision``, ``date.order``, ``csv.…``. It never holds a value.
        Raises nothing; the same bytes yield equal records.

        (1) The bytes are strict XML, or rows under the one header.   (4) An entry has a number of its own.
        (2) The list is the one it is said to be.                     (5) Its record follows the kind's schema.
        (3) It says when it was made.                                 (6) No accepted entry before it has its number.

        Not checked here: that the list is authentic, or complete. What it says beyond the kind is not kept.
        """
        seen: set[str] = set()
        index = 0
        for outcome in self._entries(raw):
            index += 1
            try:
                if isinstance(outcome, RecordInvalid):
                    raise outcome
                if outcome.entity_id in seen:  # (6)
                    raise bad("", "duplicate-id", "an earlier entry has the same number")
            except RecordInvalid as fault:
                # Made anew outside any handler: no traceback or context of it can hold the entry.
                failed = (fault.detail, fault.pointer, fault.rule)
            else:
                seen.add(outcome.entity_id)
                yield outcome
                continue
            yield RecordInvalid(failed[0], pointer=failed[1], rule=failed[2], line=index)

    def _entries(self, raw: bytes) -> Iterator[CanonicalRecord | RecordInvalid]:
        shape = self._xml if raw.removeprefix(_BOM)[:1] == b"<" else self._table
        try:
            yield from shape(raw)
        except MalformedMessage as fault:
            yield bad("", str(fault.diagnostic["rule"]), fault.detail)
        except RecordInvalid as fault:
            yield fault

    def _xml(self, raw: bytes) -> Iterator[CanonicalRecord | RecordInvalid]:
        # (1)
        root = parse_xml(raw, limit=MAX_XML_BYTES)
        # (2)
        united = root.tag == un.ROOT
        european = root.tag == f"{{{fsf.NAMESPACE}}}{fsf.ROOT}"
        if not (united if self._name == "un" else european):
            raise bad("", "list.shape", "the document is not the list it is said to be")
        # (3)
        at = generated(root.get(un.STAMP if united else fsf.STAMP, ""))
        for element, path in _under(root, united=united):
            try:
                yield self._records.record(self._entry(element, path), at)  # (4) (5)
            except RecordInvalid as fault:
                yield fault

    def _entry(self, element: _Element, path: str) -> Entry:
        if path in ("/".join(un.PERSON), "/".join(un.ENTITY)):
            return un.entry(element)
        if path == "/".join(fsf.ENTRY):
            return fsf.entry(element, self._name)
        raise bad("", "list.shape", "the list holds an element that is no entry")

    def _table(self, raw: bytes) -> Iterator[CanonicalRecord | RecordInvalid]:
        # (1) (2)
        if self._name != "be":
            raise bad("", "list.shape", "the document is not the list it is said to be")
        if len(raw) > MAX_XML_BYTES:
            raise bad("", "file.size", "the list is larger than the limit")
        ends = table.Lines()
        lines = [ends.content(line) for line in raw.splitlines(keepends=True)] or [b""]
        table.check_header(lines[0])
        rows = (table.row(line) for line in lines[1:] if line.strip())
        for group in table.groups(rows):
            try:
                entry = table.entry(group)
                yield self._records.record(entry, table.made(group[0].cells["fileGenerationDate"]))  # (3)-(5)
            except RecordInvalid as fault:
                yield fault


def _under(root: _Element, *, united: bool) -> Iterator[tuple[_Element, str]]:
    """Each entry with its path, in the order of the list; what is no entry comes too, to be named."""
    for child in root:
        path = f"{un.ROOT if united else fsf.ROOT}/{child.tag.rpartition('}')[2]}"
        if united:
            yield from ((entry, f"{path}/{entry.tag}") for entry in child)
        else:
            yield child, path


#: The readers, each under its kind and list: ``sanctions-entry/1.0/un``.
READERS = {f"{KIND}/{name}": partial(SanctionsList, name) for name in LISTS}

"""Strict XML: what comes from outside is scanned before any parser builds a tree of it.

A common parser accepts what costs it dear or what two sides read differently: a DOCTYPE with its entities, a comment
that splits a text in two, nesting, elements, attributes or namespaces without end, another encoding than the one a
check was made in. A scan with expat refuses them at the first byte that shows them; only then lxml, with everything
switched off that could fetch or expand, reads the same bytes. The scan is incremental: a list of any length passes
through it in blocks, and `XmlScan` cuts the entries out of it as the bytes they came in.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple, NoReturn
from xml.parsers import expat

from lxml import etree

from gateway.errors import MalformedMessage

MAX_XML_BYTES = 16 * 1024 * 1024  # bytes of one document that is read as a tree
MAX_DEPTH = 64  # open elements; the lists and messages we know have at most 8
MAX_ELEMENTS = 200_000  # of one document, or of one cut entry and of all that lies between entries
MAX_ATTRIBUTES = 64  # of one element, namespace declarations included
MAX_NAMESPACES = 16  # declarations in one document
MAX_ENTRIES = 1_000_000  # cut out of one document
MAX_ENTRY_BYTES = 1024 * 1024  # bytes of one cut entry, of one tag and of one gap between tags

#: UTF-8's byte order mark: published lists carry it, and it says nothing that the encoding does not (XML 1.0 §4.3.3).
_BOM = b"\xef\xbb\xbf"

#: A whole tag, with ``>`` allowed inside attribute values (XML 1.0 §2.3, production 10); linear time.
_TAG = re.compile(rb"""<[^"'>]*+(?:"[^"]*+"[^"'>]*+|'[^']*+'[^"'>]*+)*+>""")


class Cut(NamedTuple):
    """One entry of a list: its bytes as they came, and the start tags and names it lies in."""

    raw: bytes
    tags: tuple[bytes, ...]
    names: tuple[str, ...]


class XmlScan:
    """The scan, block by block. ``cut``: paths of element names (as written) whose elements `taken` gives back.

    Refused, by `MalformedMessage` with the rule in its diagnostic:
    (1) any encoding but UTF-8, a version but 1.0        (4) more depth, elements, attributes, namespaces than allowed
    (2) a DOCTYPE, before anything in it is read         (5) bytes that are not well-formed, or that end too early
    (3) a processing instruction, a comment              (6) an entry, a tag or a gap longer than its limit

    Not checked here: what elements and texts mean, and whether namespaces are bound. Memory stays at one entry and one
    block. After a refusal nothing more may be fed.
    """

    def __init__(self, cut: Collection[tuple[str, ...]] = ()) -> None:
        self.path: list[str] = []
        self.root = b""  # start tag of the root element, once it was read
        self._cut = frozenset(cut)
        self._tags: list[bytes] = []
        self._held, self._base, self._last = bytearray(), 0, 0
        self._start = -1
        self._elements = self._outside = self._namespaces = self._entries = 0
        self._began = False
        self._found: list[Cut] = []
        # The encoding given here holds whatever the document says of itself; (1) refuses another claim.
        self._expat = expat.ParserCreate("UTF-8")
        self._expat.XmlDeclHandler = self._declaration
        self._expat.StartDoctypeDeclHandler = self._doctype
        self._expat.EntityDeclHandler = self._doctype
        self._expat.ProcessingInstructionHandler = self._instruction
        self._expat.CommentHandler = self._comment
        self._expat.StartElementHandler = self._element
        self._expat.EndElementHandler = self._end

    def feed(self, block: bytes, *, final: bool = False) -> None:
        """Scan one block (the first of them with all of a byte order mark, if there is one)."""
        if not self._began:
            self._began, block = True, block.removeprefix(_BOM)
        self._held += block
        # (5)
        try:
            self._expat.Parse(block, final)
        except expat.ExpatError:
            raise _refused("xml.well-formed", "the document is not well-formed XML in UTF-8") from None
        keep = self._start if self._start >= 0 else self._last
        del self._held[: keep - self._base]
        self._base = keep
        # (6)
        if len(self._held) > MAX_ENTRY_BYTES + len(block):
            raise _refused("xml.size", "an entry or a tag is larger than the limit")

    def taken(self) -> list[Cut]:
        """The entries that ended since the last call; after a refusal, those that ended before it."""
        found, self._found = self._found, []
        return found

    def _declaration(self, version: str, encoding: str | None, _standalone: int) -> None:
        # (1)
        if version != "1.0" or (encoding or "utf-8").lower() != "utf-8":
            raise _refused("xml.encoding", "the document does not say that it is XML 1.0 in UTF-8")

    def _doctype(self, *_: object) -> NoReturn:
        # (2)
        raise _refused("xml.doctype", "the document has a DOCTYPE")

    def _instruction(self, *_: object) -> NoReturn:
        # (3)
        raise _refused("xml.instruction", "the document has a processing instruction")

    def _comment(self, _text: str) -> NoReturn:
        # (3)
        raise _refused("xml.comment", "the document has a comment")

    def _element(self, name: str, attributes: dict[str, str]) -> None:
        self._last = self._expat.CurrentByteIndex
        self.path.append(name)
        # (4)
        self._elements += 1
        self._namespaces += sum(key == "xmlns" or key.startswith("xmlns:") for key in attributes)
        for count, most, rule in (
            (len(self.path), MAX_DEPTH, "xml.depth"),
            (self._elements, MAX_ELEMENTS, "xml.elements"),
            (len(attributes), MAX_ATTRIBUTES, "xml.attributes"),
            (self._namespaces, MAX_NAMESPACES, "xml.namespaces"),
        ):
            if count > most:
                raise _refused(rule, "the document is larger than a limit of strict XML")
        if self._start >= 0:
            return
        if tuple(self.path) in self._cut:
            self._start, self._outside, self._elements = self._last, self._elements - 1, 0
        elif len(self.path) == len(self._tags) + 1 and self._cut:
            self._tags.append(self._tag(self._last))
            self.root = self._tags[0]

    def _end(self, name: str) -> None:
        self._last = self._expat.CurrentByteIndex
        if self._start >= 0 and tuple(self.path) in self._cut:
            first = self._tag(self._start)
            # expat reports the end of an empty element behind its one tag
            end = (
                self._start + len(first) if first.endswith(b"/>") else self._last + len(self._tag(self._last))
            )
            raw = bytes(self._held[self._start - self._base : end - self._base])
            if len(raw) > MAX_ENTRY_BYTES:
                raise _refused("xml.size", "an entry or a tag is larger than the limit")
            self._found.append(Cut(raw, tuple(self._tags), tuple(self.path[:-1])))
            self._start, self._last, self._elements = -1, end, self._outside
            self._entries += 1
            if self._entries > MAX_ENTRIES:
                raise _refused("xml.elements", "the document is larger than a limit of strict XML")
        elif self._start < 0 and len(self._tags) == len(self.path):
            self._tags.pop()
        self.path.pop()

    def _tag(self, at: int) -> bytes:
        """The bytes of the tag that begins at this offset; expat has read it whole."""
        found = _TAG.match(self._held, at - self._base)
        if found is None:
            raise _refused("xml.well-formed", "the document is not well-formed XML in UTF-8")
        return found.group()


def parse_xml(raw: bytes, *, limit: int = MAX_XML_BYTES) -> etree._Element:
    """The root of a document that passed the scan; raises `MalformedMessage` for anything else.

    1. at most ``limit`` bytes          2. everything that `XmlScan` refuses
    3. read with no entity, no network, no DTD, no default attribute and the library's own size limits
    """
    # (1)
    if len(raw) > limit:
        raise _refused("xml.size", "the document is larger than the limit")
    # (2)
    XmlScan().feed(raw, final=True)
    # (3)
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,
    )
    try:
        return etree.fromstring(raw.removeprefix(_BOM), parser)
    except (etree.XMLSyntaxError, ValueError):
        raise _refused("xml.well-formed", "the document is not well-formed XML in UTF-8") from None


def _refused(rule: str, detail: str) -> MalformedMessage:
    return MalformedMessage(detail, diagnostic={"rule": rule})

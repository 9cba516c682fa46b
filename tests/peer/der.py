"""The little DER (X.690) that certificates and revocation lists need."""

from __future__ import annotations

from dataclasses import dataclass

from tests.peer.spelling import Misspelt

BOOLEAN, INTEGER, BITS, OCTETS, OID, UTF8, UTC_TIME, GENERALIZED_TIME = 1, 2, 3, 4, 6, 12, 23, 24
SEQUENCE, SET = 0x30, 0x31


def tlv(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    if size < 128:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def integer(value: int) -> bytes:
    return tlv(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def bits(raw: bytes, unused: int = 0) -> bytes:
    return tlv(BITS, bytes((unused,)), raw)


def oid(dotted: str) -> bytes:
    first, second, *arcs = map(int, dotted.split("."))
    return tlv(OID, b"".join(_base128(arc) for arc in (40 * first + second, *arcs)))


def _base128(arc: int) -> bytes:
    groups = [arc & 0x7F]
    while arc := arc >> 7:
        groups.append(0x80 | arc & 0x7F)
    return bytes(reversed(groups))


@dataclass(frozen=True)
class Element:
    """One value: tag, content, and all of its bytes."""

    tag: int
    content: bytes
    raw: bytes

    def children(self) -> list[Element]:
        found, rest = [], self.content
        while rest:
            element = first(rest)
            found.append(element)
            rest = rest[len(element.raw) :]
        return found


def first(raw: bytes) -> Element:
    """The value at the start of some bytes; raises `Misspelt`."""
    try:
        size, start = raw[1], 2
        if size >= 0x80:
            start += size & 0x7F
            size = int.from_bytes(raw[2:start], "big")
    except IndexError:
        raise Misspelt from None
    if len(raw) < start + size:
        raise Misspelt
    return Element(raw[0], raw[start : start + size], raw[: start + size])

"""ASN.1 in DER (X.690), as little as CMS structures need that `cryptography` neither writes nor reads for us."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.errors import MalformedMessage

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
OCTETS: Final = 0x04
OID: Final = 0x06
UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18
SEQUENCE: Final = 0x30
SET: Final = 0x31
#: Context-specific, constructed, numbers 0 and 1.
CONTEXT_0: Final = 0xA0
CONTEXT_1: Final = 0xA1

#: Octets of the longest length that is read: more than any input of ours may have.
_MAX_LENGTH_OCTETS: Final = 4


# --- writing ---------------------------------------------------------------------------------------------------------


def der(tag: int, *parts: bytes) -> bytes:
    """One value: tag, shortest length, content (X.690 §8.1, §10.1)."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def oid(dotted: str) -> bytes:
    """An object identifier (§8.19)."""
    first, second, *rest = map(int, dotted.split("."))
    encoded = bytearray()
    for arc in (first * 40 + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(arc & 0x7F | 0x80)
        encoded += bytes(reversed(groups))
    return der(OID, bytes(encoded))


def integer(value: int) -> bytes:
    """A number that is not negative (§8.3)."""
    return der(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def set_of(*members: bytes) -> bytes:
    """SET OF: members sorted by their encoding (§11.6)."""
    return der(SET, *sorted(members))


# --- reading ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Value:
    """One value as it was read: ``raw`` is the whole of it, tag and length included."""

    tag: int
    content: bytes
    raw: bytes

    def members(self) -> tuple[Value, ...]:
        """The values inside a constructed one. Raises `MalformedMessage`."""
        found, rest = [], self.content
        while rest:
            one, rest = _next(rest)
            found.append(one)
        return tuple(found)

    def number(self) -> int:
        """Of an INTEGER. Raises `MalformedMessage` for another, an empty or a padded one (§8.3.2)."""
        value = int.from_bytes(self.content, "big", signed=True)
        shortest = (value if value >= 0 else ~value).bit_length() // 8 + 1
        if self.tag != INTEGER or len(self.content) != shortest:
            raise _malformed()
        return value

    def inside(self, tag: int) -> Sequence[Value]:
        """The members, if it bears this tag. Raises `MalformedMessage`."""
        if self.tag != tag:
            raise _malformed()
        return self.members()


def read(raw: bytes) -> Value:
    """The one value that these bytes are. Raises `MalformedMessage` for anything before, behind or beside it."""
    value, rest = _next(raw)
    if rest:
        raise _malformed()
    return value


def _next(raw: bytes) -> tuple[Value, bytes]:
    """(1) a tag of one octet; (2) a definite length in its shortest form (§10.1); (3) as many octets as it says."""
    # (1)
    if len(raw) < 2 or raw[0] & 0x1F == 0x1F:
        raise _malformed()
    # (2)
    size, start = raw[1], 2
    if size & 0x80:
        start += size & 0x7F
        size = int.from_bytes(raw[2:start], "big")
        if not 2 < start <= 2 + _MAX_LENGTH_OCTETS or len(raw) < start or raw[2] == 0 or size < 0x80:
            raise _malformed()
    # (3)
    end = start + size
    if len(raw) < end:
        raise _malformed()
    return Value(raw[0], raw[start:end], raw[:end]), raw[end:]


def _malformed() -> MalformedMessage:
    return MalformedMessage("the bytes are not DER of the form that is due")

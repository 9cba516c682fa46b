"""Section 2: everything has exactly one spelling, and every other one is refused."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from calendar import timegm
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

#: Largest integer that every JSON reader keeps (RFC 7493 section 2.2).
LARGEST_INTEGER = 2**53 - 1

#: Nested arrays and objects of one JSON text.
DEEPEST = 32

ORGANISATION = r"(?=.{1,48}\Z)[a-z]{3}\.[a-z0-9]+(-[a-z0-9]+)*"
UUID4 = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
KEY_ID = r"[!#-\[\]-~]{1,128}"
DIGEST = r"[0-9a-f]{64}"
THUMBPRINT = r"[A-Za-z0-9_-]{43}"
INSTANT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"


class Refused(Exception):
    """What arrived is not what the protocol allows; ``code`` is one of its closed list."""

    def __init__(self, code: str, expected: int = 0) -> None:
        super().__init__(code)
        self.code, self.expected = code, expected


class Misspelt(ValueError):
    """A value that is not spelled, or not shaped, as demanded; whoever reads it knows which code that is."""


def b64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def b64url_bytes(text: str) -> bytes:
    """Bytes of base64url without padding whose unused bits are zero."""
    try:
        raw = base64.b64decode(text.translate(_URL_TO_PLAIN) + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise Misspelt from None
    if b64url(raw) != text:
        raise Misspelt
    return raw


_URL_TO_PLAIN = str.maketrans("-_+/=", "+/   ")


def b64_bytes(text: str) -> bytes:
    """Bytes of ordinary padded base64, as checkpoints have it."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Misspelt from None
    if base64.b64encode(raw).decode() != text:
        raise Misspelt
    return raw


def sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def instant(seconds: float) -> str:
    """Unix seconds as text; a part of a second is cut off."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_of(text: object) -> int:
    """Unix seconds of an instant that exists."""
    if not isinstance(text, str) or re.fullmatch(INSTANT, text) is None:
        raise Misspelt
    try:
        return timegm(datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").timetuple())  # noqa: DTZ007 - the Z is checked
    except ValueError:
        raise Misspelt from None


# --- JSON ------------------------------------------------------------------------------------------------------------


def parse_json(raw: bytes) -> Any:
    """The tree of one I-JSON text (RFC 7493) without fractions; how it is spelled is for the caller to compare."""
    try:
        tree = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_no_member_twice,
            parse_int=_integer,
            parse_float=_never,
            parse_constant=_never,
        )
        _walk(tree, 0)
    except (ValueError, RecursionError):
        raise Misspelt from None
    return tree


def ordered(tree: Any) -> bytes:
    """Members as they stand, no white space, the fewest escapes: the form of seals and payloads."""
    return json.dumps(tree, ensure_ascii=False, separators=(",", ":")).encode()


def canonical(tree: Any) -> bytes:
    """RFC 8785 for a tree without fractions: members sorted by UTF-16 code units."""
    return ordered(_sorted(tree))


def parse_canonical(raw: bytes) -> Any:
    """The tree of a text that is in the form of RFC 8785, byte for byte."""
    tree = parse_json(raw)
    if canonical(tree) != raw:
        raise Misspelt
    return tree


def _sorted(tree: Any) -> Any:
    if isinstance(tree, dict):
        names = sorted(tree, key=lambda name: name.encode("utf-16-be"))
        return {name: _sorted(tree[name]) for name in names}
    return [_sorted(item) for item in tree] if isinstance(tree, list | tuple) else tree


def _no_member_twice(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Misspelt
    return members


def _integer(text: str) -> int:
    number = int(text)
    if text == "-0" or abs(number) > LARGEST_INTEGER:
        raise Misspelt
    return number


def _never(_: str) -> Any:
    raise Misspelt


def _walk(tree: Any, depth: int) -> None:
    if isinstance(tree, str):
        tree.encode()  # a lone surrogate has no UTF-8
    elif isinstance(tree, dict | list):
        if depth == DEEPEST:
            raise Misspelt
        for name in tree if isinstance(tree, dict) else ():
            _walk(name, depth + 1)
        for item in tree.values() if isinstance(tree, dict) else tree:
            _walk(item, depth + 1)

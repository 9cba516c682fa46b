"""Search of a text for values that must not stand in it, in whatever spelling."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator

from tests.leak.persons import DIGITS, ROOT

_HEX = re.compile(r"[0-9a-f]{16,}")
_TOKEN = re.compile(r"[A-Za-z0-9_+/=-]{22,}")
_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})", re.ASCII)

#: Shortest common beginning of a digest and an identifier that is no chance: 48 bits, before a UUID's version.
PREFIX_HEX = 12


def fold(text: str) -> str:
    """NFKD, case folded, marks dropped."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(sign for sign in folded if unicodedata.category(sign) != "Mn")


def _anywhere() -> Iterator[tuple[str, str]]:
    """Spellings of the canary root by which any canary betrays itself, with their names; all folded."""
    yield "plain", fold(ROOT)
    yield "reversed", fold(ROOT)[::-1]
    yield "digits", DIGITS
    for spelled in (ROOT, ROOT.lower(), ROOT.upper()):
        yield "hex", spelled.encode().hex()
        yield "JSON escapes", "".join(f"\\u{ord(sign):04x}" for sign in spelled)
        yield "character references", "".join(f"&#{ord(sign)};" for sign in spelled)
        yield "character references", "".join(f"&#x{ord(sign):x};" for sign in spelled)
        yield "percent", "".join(f"%{ord(sign):02x}" for sign in spelled)


_ANYWHERE = tuple(dict.fromkeys(_anywhere()))


def _base64_cores() -> Iterator[str]:
    """The letters of base64 that the root always makes, at each of the three alignments."""
    for spelled in (ROOT, ROOT.lower(), ROOT.upper()):
        for shift in range(3):
            coded = base64.b64encode(b"\0" * shift + spelled.encode()).decode()
            first = -(-shift * 8 // 6)
            last = (shift + len(spelled)) * 8 // 6
            yield coded[first:last]


_BASE64 = frozenset(_base64_cores())


class Watched:
    """Values of some records, prepared for the search."""

    def __init__(self, values: Iterable[str], entities: Iterable[str] = ()) -> None:
        self.entities = tuple(entities)
        self._digests: set[str] = set()
        self.dates: set[str] = set()
        for value in {*values, *self.entities}:
            for spelled in {value, value.lower(), unicodedata.normalize("NFD", value)}:
                raw = spelled.encode()
                for name in ("sha256", "sha1", "md5"):
                    self._digests.add(hashlib.new(name, raw, usedforsecurity=False).hexdigest()[:PREFIX_HEX])

    def found(self, text: str) -> str:
        """The name of the first spelling in which a watched value stands in this text; empty when none does.

        (1) as it stands, unescaped, folded: the root of all canaries; (2) its base64; (3) a digest of a whole value,
        in hex or base64, as an identifier or the beginning of one; (4) an entity's local id.
        """
        # (1)
        for form in {text, _unescaped(text)}:
            folded = fold(form)
            squeezed = re.sub(r"[\s.\-:/]", "", folded)
            for name, spelled in _ANYWHERE:
                if spelled in folded or (name in ("digits", "plain") and spelled in squeezed):
                    return name
        # (2)
        if any(core in text for core in _BASE64):
            return "base64"
        # (3)
        if any(one in self._digests for one in _digests_in(text)):
            return "digest"
        # (4)
        lowered = text.lower()
        if any(entity.lower() in lowered for entity in self.entities):
            return "entity id"
        return ""


def spelled(values: Iterable[str], text: str) -> str:
    """The name of the first spelling in which one of these very values stands in this text; empty when none does.

    For texts in which other canaries stand by right.
    """
    folded, digests = fold(_unescaped(text)), None
    for value in values:
        raw = value.encode()
        forms = {
            "plain": fold(value),
            "reversed": fold(value)[::-1],
            "hex": raw.hex(),
            "base64": base64.b64encode(raw)[: len(raw) * 8 // 6].decode().casefold(),
        }
        for name, form in forms.items():
            if form in folded:
                return name
        digests = frozenset(_digests_in(text)) if digests is None else digests
        for name in ("sha256", "sha1", "md5"):
            if hashlib.new(name, raw, usedforsecurity=False).hexdigest()[:PREFIX_HEX] in digests:
                return "digest"
    return ""


def _unescaped(text: str) -> str:
    """The text with JSON escapes undone, where it has any."""
    if "\\" not in text:
        return text
    return re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: _sign(found[1]), text)


def _sign(digits: str) -> str:
    try:
        return str(json.loads(f'"\\u{digits}"'))
    except ValueError:
        return ""


def _digests_in(text: str) -> Iterator[str]:
    """The first bytes, in hex, of everything in the text that could be a digest: hex, UUIDs and base64."""
    for run in _HEX.findall(text.lower().replace("-", "")):
        for start in range(len(run) - PREFIX_HEX + 1) if len(run) <= 128 else (0,):
            yield run[start : start + PREFIX_HEX]
    for token in _TOKEN.findall(text):
        padded = token.replace("-", "+").replace("_", "/").rstrip("=")
        try:
            yield base64.b64decode(padded + "=" * (-len(padded) % 4)).hex()[:PREFIX_HEX]
        except ValueError:
            continue

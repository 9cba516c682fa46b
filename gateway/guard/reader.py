"""The guard's own JSON: a reader, a writer, and the leaves of what was read.

It shares nothing with the code that rendered the bytes: two readers must agree before a byte leaves. The reader
knows JSON's grammar without insignificant whitespace (RFC 8259 §2-§7); the writer knows one spelling of each value.
Reading, writing again and comparing refuses every second spelling, and with it every message hidden in spelling.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from gateway.errors import GuardRefused
from gateway.guard.refusal import RefusalRule, Subject, refuse

Tree: TypeAlias = "dict[str, Tree] | list[Tree] | str | int | bool | None"
Path: TypeAlias = tuple[
    str | int, ...
]  # member names and list indices: ("a", 0) is an item, ("a", "0") a member

MAX_BYTES = (
    4 * 1024 * 1024
)  # bytes of one payload, decision or record: the largest payload the container carries
MAX_DEPTH = 32  # open objects and lists; a record needs 6, a hostile text must not exhaust the stack
MAX_INTEGER = 2**53 - 1  # beyond it readers that use doubles see another number (RFC 8259 §6)

_STRING = re.compile(r'"([^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})[^"\\\x00-\x1f]*)*)"')
_ESCAPE = re.compile(r"\\(?:u(....)|(.))")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_WORD = re.compile("|".join(_WORDS))

_UNESCAPED = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
#: The shortest escape where JSON demands one, and no other (RFC 8785 §3.2.2.2).
_ESCAPED = {chr(code): f"\\u{code:04x}" for code in range(0x20)} | {
    value: f"\\{name}" for name, value in _UNESCAPED.items() if name != "/"
}
_TO_ESCAPE = re.compile(r'["\\\x00-\x1f]')


class Leaf(NamedTuple):
    """A value without members: a scalar, or an empty object or list. ``text`` is its one spelling."""

    path: Path
    text: str
    string: str | None  # the characters, when it is a string


def read(raw: bytes, subject: Subject = "payload") -> Tree:
    """The tree that ``raw`` spells in the one way it can be spelled; raises `GuardRefused` for anything else.

    (1) bounded size; (2) UTF-8 without a byte order mark; (3) grammar, no duplicate members (RFC 8259 §4), integers
    only, no surrogates, bounded depth; (4) the tree written again is ``raw``, byte for byte.
    """
    if len(raw) > MAX_BYTES:  # (1)
        raise refuse("size", "more bytes than one message may hold", subject=subject)
    try:
        text = raw.decode("utf-8", "strict")  # (2)
    except UnicodeDecodeError:
        raise refuse("encoding", "the bytes are not UTF-8", subject=subject) from None
    if text.startswith("\ufeff"):
        raise refuse("encoding", "the bytes begin with a byte order mark", subject=subject)
    tree = _Reader(text, subject).whole()  # (3)
    if write(tree).encode("utf-8") != raw:  # (4)
        raise refuse("spelling", "the bytes are not the one spelling of what they say", subject=subject)
    return tree


def write(tree: Any) -> str:
    """The one spelling of a tree: compact, members in their order, no escape that JSON does not demand."""
    match tree:
        case str():
            return '"' + _TO_ESCAPE.sub(lambda found: _ESCAPED[found[0]], tree) + '"'
        case None | bool():
            return {None: "null", True: "true", False: "false"}[tree]
        case int():
            return str(tree)
        case Mapping():
            return "{" + ",".join(f"{write(name)}:{write(value)}" for name, value in tree.items()) + "}"
    return "[" + ",".join(map(write, tree)) + "]"  # a list, or a tuple of a model struct


def leaves(tree: Any, path: Path = ()) -> Iterator[Leaf]:
    """Every leaf below ``tree`` in document order. With their paths they say all the tree says."""
    if isinstance(tree, Mapping) and tree:
        for name, value in tree.items():
            yield from leaves(value, (*path, name))
    elif isinstance(tree, list | tuple) and tree:
        for index, value in enumerate(tree):
            yield from leaves(value, (*path, index))
    else:
        yield Leaf(path, write(tree), tree if isinstance(tree, str) else None)


def canonical(tree: Any) -> bytes:
    """RFC 8785 bytes of a tree: members in the order of their UTF-16 code units (§3.2.3), no floats known here."""
    return write(_sorted(tree)).encode("utf-8")


def _sorted(tree: Any) -> Any:
    match tree:
        case Mapping():
            return {
                name: _sorted(tree[name]) for name in sorted(tree, key=lambda name: name.encode("utf-16-be"))
            }
        case list() | tuple():
            return [_sorted(item) for item in tree]
    return tree


class _Reader:
    """Recursive descent over one text. ``at`` is the position of the next character."""

    def __init__(self, text: str, subject: Subject) -> None:
        self.text, self.subject, self.at = text, subject, 0

    def whole(self) -> Tree:
        tree = self.value(depth=0)
        if self.at != len(self.text):
            raise self.refused("syntax", "something follows the value")
        return tree

    def refused(self, rule: RefusalRule, detail: str) -> GuardRefused:
        return refuse(rule, detail, subject=self.subject, at=self.at)

    def take(self, character: str) -> bool:
        """Step over ``character`` if it comes next."""
        taken = self.text.startswith(character, self.at)
        self.at += taken
        return taken

    def expect(self, character: str) -> None:
        if not self.take(character):
            raise self.refused("syntax", "another sign is expected here")

    def value(self, depth: int) -> Tree:
        if depth > MAX_DEPTH:
            raise self.refused("depth", "objects and lists are nested too deeply")
        if self.take("{"):
            return self.members(depth)
        if self.take("["):
            return self.items(depth)
        if self.text.startswith('"', self.at):
            return self.string()
        if word := _WORD.match(self.text, self.at):
            self.at = word.end()
            return _WORDS[word[0]]
        return self.integer()

    def members(self, depth: int) -> dict[str, Tree]:
        found: dict[str, Tree] = {}
        if self.take("}"):
            return found
        while True:
            name = self.string()
            if name in found:
                raise self.refused("duplicate-member", "a member occurs twice in one object")
            self.expect(":")
            found[name] = self.value(depth + 1)
            if not self.take(","):
                self.expect("}")
                return found

    def items(self, depth: int) -> list[Tree]:
        found: list[Tree] = []
        if self.take("]"):
            return found
        while True:
            found.append(self.value(depth + 1))
            if not self.take(","):
                self.expect("]")
                return found

    def string(self) -> str:
        matched = _STRING.match(self.text, self.at)
        if matched is None:
            raise self.refused("syntax", "a string is expected here")
        self.at = matched.end()
        return _ESCAPE.sub(self.unescaped, matched[1]) if "\\" in matched[1] else matched[1]

    def unescaped(self, found: re.Match[str]) -> str:
        if found[1] is None:
            return _UNESCAPED[found[2]]
        code = int(found[1], 16)
        if 0xD800 <= code <= 0xDFFF:  # alone it is no character, in a pair it is a second spelling of one
            raise self.refused("surrogate", "a string holds an escaped surrogate")
        return chr(code)

    def integer(self) -> int:
        matched = _NUMBER.match(self.text, self.at)
        if matched is None:
            raise self.refused("syntax", "a value is expected here")
        self.at = matched.end()
        if self.text.startswith((".", "e", "E"), self.at):
            raise self.refused("number", "numbers are integers without fraction or exponent")
        if len(matched[0]) > len(str(MAX_INTEGER)) + 1 or abs(int(matched[0])) > MAX_INTEGER:
            raise self.refused("number", "an integer lies beyond what every reader can hold")
        return int(matched[0])

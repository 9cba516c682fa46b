"""The guard's own JSON: a reader, a writer, and the leaves of what was read.

It shares nothing with the code that rendered the bytes: two readers must agree before a byte leaves. The reader
knows JSON's grammar without insignificant whitespace (RFC 8259 §2-§7); the writer knows one spelling of each value.
Refusing every second spelling of a token refuses every message hidden in spelling.
"""

import re
from typing import Any, NamedTuple, TypeAlias

import msgspec

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
_LARGEST = str(MAX_INTEGER)

_CHARACTERS = r'[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})[^"\\\x00-\x1f]*+)*+'
#: A name; and what a value is or begins with: a string, an integer, a word, or the sign that opens a container.
_NAME = re.compile(rf'"({_CHARACTERS})"')
_VALUE = re.compile(rf'"({_CHARACTERS})"|(-?(?:0|[1-9][0-9]*))|(true|false|null)|([{{\[])')
_STRING, _INTEGER, _WORD, _OPENING = 1, 2, 3, 4  # groups of `_VALUE`
#: The usual member, and the usual item, in one step: strings without an escape, and the sign that follows.
_USUAL_MEMBER = re.compile(r'"([^"\\\x00-\x1f]*+)":"([^"\\\x00-\x1f]*+)"([,}])')
_USUAL_ITEM = re.compile(r'"([^"\\\x00-\x1f]*+)"([,\]])')
_ESCAPE = re.compile(r"\\(?:u(....)|(.))")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}

_UNESCAPED = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
#: The shortest escape where JSON demands one, and no other (RFC 8785 §3.2.2.2).
_ESCAPED = {chr(code): f"\\u{code:04x}" for code in range(0x20)} | {
    value: f"\\{name}" for name, value in _UNESCAPED.items() if name != "/"
}
_CONTAINERS = (dict, list)
_packed = msgspec.msgpack.encode
_TO_ESCAPE = re.compile(f"[{re.escape(''.join(_ESCAPED))}]")


class Leaf(NamedTuple):
    """A value without members: a scalar, or an empty object or list. ``text`` is its one spelling."""

    path: Path
    text: str
    string: str | None  # the characters, when it is a string


def read(raw: bytes, subject: Subject = "payload") -> Tree:
    """The tree that ``raw`` spells in the one way it can be spelled; raises `GuardRefused` for anything else.

    (1) bounded size; (2) UTF-8 without a byte order mark; (3) grammar, no duplicate members (RFC 8259 §4), integers
    only, no surrogates, bounded depth; (4) every token is the one spelling of what it says. As the grammar has no white
    space and a tree keeps the order of members, that is as much as `write` giving ``raw`` again, byte for byte.
    """
    if len(raw) > MAX_BYTES:  # (1)
        raise refuse("size", "more bytes than one message may hold", subject=subject)
    try:
        text = raw.decode()  # (2)
    except UnicodeDecodeError:
        raise refuse("encoding", "the bytes are not UTF-8", subject=subject) from None
    if text.startswith("\ufeff"):
        raise refuse("encoding", "the bytes begin with a byte order mark", subject=subject)
    reader = _Reader(text, subject)
    tree = reader.whole()  # (3)
    if reader.respelled:  # (4)
        raise refuse("spelling", "the bytes are not the one spelling of what they say", subject=subject)
    return tree


def write(tree: Any) -> str:
    """The one spelling of a tree: compact, members in their order, no escape that JSON does not demand."""
    if isinstance(tree, str):
        return f'"{_escaped(tree)}"'
    if tree is None or isinstance(tree, bool):
        return {None: "null", True: "true", False: "false"}[tree]
    if isinstance(tree, int):
        return str(tree)
    if isinstance(tree, dict):
        return "{" + ",".join([f'"{_escaped(name)}":{write(value)}' for name, value in tree.items()]) + "}"
    return "[" + ",".join([write(item) for item in tree]) + "]"  # a list, or a tuple of a model struct


def _escaped(text: str) -> str:
    return _TO_ESCAPE.sub(lambda found: _ESCAPED[found[0]], text)


def leaves(tree: Any, path: Path = ()) -> list[Leaf]:
    """Every leaf below ``tree`` in document order. With their paths they say all the tree says."""
    found: list[Leaf] = []
    _gather(tree, path, found)
    return found


def _gather(tree: Any, path: Path, found: list[Leaf]) -> None:
    if isinstance(tree, str):
        found.append(Leaf(path, f'"{_escaped(tree)}"', tree))
    elif isinstance(tree, dict) and tree:
        for name, value in tree.items():
            _gather(value, (*path, name), found)
    elif isinstance(tree, (list, tuple)) and tree:
        for index, value in enumerate(tree):
            _gather(value, (*path, index), found)
    else:
        found.append(Leaf(path, write(tree), None))


def is_canonical(tree: Tree, told: Any) -> bool:
    """Whether the bytes that ``tree`` was read from are the RFC 8785 bytes of ``told``.

    They are the one spelling of the tree (`read`); so (1) it must say the same, each scalar of the same type: packed,
    members sorted, both are the same bytes; and (2) have its members in the order of their UTF-16 code units (§3.2.3).
    No floats are known here.
    """
    same = _packed(tree, order="sorted") == _packed(told, order="sorted")  # (1)
    return same and (not isinstance(tree, _CONTAINERS) or _in_order(tree))  # (2)


def _in_order(tree: dict[str, Tree] | list[Tree]) -> bool:
    if isinstance(tree, dict):
        names = list(tree)
        if names != sorted(names, key=_utf16):
            return False
        return all(_in_order(value) for value in tree.values() if isinstance(value, _CONTAINERS))
    return all(_in_order(item) for item in tree if isinstance(item, _CONTAINERS))


def _utf16(name: str) -> bytes:
    return name.encode("utf-16-be")


class _Reader:
    """Recursive descent over one text, a token at a time. ``at`` is the position of the next character."""

    def __init__(self, text: str, subject: Subject) -> None:
        self.text, self.subject, self.at = text, subject, 0
        self.respelled = False  # a token could have been written otherwise

    def whole(self) -> Tree:
        tree = self.value(depth=0)
        if self.at != len(self.text):
            raise self.refused("syntax", "something follows the value")
        return tree

    def refused(self, rule: RefusalRule, detail: str) -> GuardRefused:
        return refuse(rule, detail, subject=self.subject, at=self.at)

    def value(self, depth: int) -> Tree:
        if depth > MAX_DEPTH:
            raise self.refused("depth", "objects and lists are nested too deeply")
        token = _VALUE.match(self.text, self.at)
        if token is None:
            raise self.refused("syntax", "a value is expected here")
        self.at = token.end()
        kind = token.lastindex
        if kind == _STRING:
            return self.string(token[_STRING])
        if kind == _OPENING:
            return self.members(depth) if token[_OPENING] == "{" else self.items(depth)
        return _WORDS[token[_WORD]] if kind == _WORD else self.integer(token[_INTEGER])

    def members(self, depth: int) -> dict[str, Tree]:
        found: dict[str, Tree] = {}
        if self.text.startswith("}", self.at):
            self.at += 1
            return found
        while True:
            usual = _USUAL_MEMBER.match(self.text, self.at)
            if usual is not None and depth < MAX_DEPTH and usual[1] not in found:
                name, text, sign = usual.groups()
                found[name] = text
                self.at = usual.end()
            else:
                sign = self.member(found, depth)
            if sign == "}":
                return found

    def member(self, found: dict[str, Tree], depth: int) -> str:
        """Read one member into ``found``, token by token; returns the sign after it."""
        token = _NAME.match(self.text, self.at)
        if token is None:
            raise self.refused("syntax", "a string is expected here")
        self.at = token.end()
        name = self.string(token[_STRING])
        if name in found:
            raise self.refused("duplicate-member", "a member occurs twice in one object")
        if not self.text.startswith(":", self.at):
            raise self.refused("syntax", "another sign is expected here")
        self.at += 1
        found[name] = self.value(depth + 1)
        return self.sign("}")

    def items(self, depth: int) -> list[Tree]:
        found: list[Tree] = []
        if self.text.startswith("]", self.at):
            self.at += 1
            return found
        while True:
            usual = _USUAL_ITEM.match(self.text, self.at)
            if usual is not None and depth < MAX_DEPTH:
                text, sign = usual.groups()
                found.append(text)
                self.at = usual.end()
            else:
                found.append(self.value(depth + 1))
                sign = self.sign("]")
            if sign == "]":
                return found

    def sign(self, closing: str) -> str:
        """Step over the sign after a member or item: it closes the container, or announces another."""
        sign = self.text[self.at : self.at + 1]
        if sign != "," and sign != closing:
            raise self.refused("syntax", "another sign is expected here")
        self.at += 1
        return sign

    def string(self, spelled: str) -> str:
        usual = "\\" not in spelled
        if usual:
            return spelled
        text = _ESCAPE.sub(self.unescaped, spelled)
        self.respelled |= _escaped(text) != spelled
        return text

    def unescaped(self, found: re.Match[str]) -> str:
        if found[1] is None:
            return _UNESCAPED[found[2]]
        code = int(found[1], 16)
        if 0xD800 <= code <= 0xDFFF:  # alone it is no character, in a pair it is a second spelling of one
            raise self.refused("surrogate", "a string holds an escaped surrogate")
        return chr(code)

    def integer(self, spelled: str) -> int:
        if self.text.startswith((".", "e", "E"), self.at):
            raise self.refused("number", "numbers are integers without fraction or exponent")
        digits = spelled.removeprefix("-")  # no zero leads them: of as many, the later in order are the more
        if (len(digits), digits) > (len(_LARGEST), _LARGEST):
            raise self.refused("number", "an integer lies beyond what every reader can hold")
        self.respelled |= spelled == "-0"
        return int(spelled)

"""Strict JSON and base64url: one spelling, no second reading.

Common parsers accept what two sides may read differently: a repeated member (the last wins), NaN, lone surrogates,
rounded numbers, endless nesting, loose base64. Every byte that comes from outside passes through here before any
library sees it.
"""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NoReturn, TypeVar

import msgspec
import rfc8785

from gateway.errors import MalformedMessage, RequestInvalid

S = TypeVar("S", bound=msgspec.Struct)

MAX_JSON_BYTES = 4 * 1024 * 1024  # bytes; the largest size bucket of a sealed message
MAX_VALUES = 100_000  # of one text, of up to 100 bytes each: 256 records and their labels have 50,000
#: Objects and arrays of one text; 256 records and their labels have 25,000. One that holds a single digit costs 2 bytes
#: to send and 700 to hold, here and in the schema's reader: 900,000 of them, nine to each value, cost 90 MB.
MAX_CONTAINERS = 40_000
MAX_DEPTH = 32  # nested containers; our deepest document has 6, CPython's parser fails near 1000
MAX_INTEGER = 2**53 - 1  # RFC 7493 §2.2: beyond it a double loses the last digit
_MAX_INTEGER_CHARS = 17  # a sign and the 16 digits of MAX_INTEGER; longer text is never converted

_BOM = b"\xef\xbb\xbf"
_STRUCTURE = b'"[]{},'
_NOT_STRUCTURE = bytes(byte for byte in range(256) if byte not in _STRUCTURE)
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)

#: Where msgspec's sorted form of builtins may not be the one of RFC 8785: at a fraction, an exponent or more than 15
#: digits (§3.2.2.3; the same signs within a string are a false alarm), and from U+E000 on, below which the orders of
#: UTF-8 and of UTF-16 are one (§3.2.3).
_DOUBTFUL_NUMBER = re.compile(rb"[:,\[]-?[0-9]++(?:[.eE]|(?<=[0-9]{16}))")
_DOUBTFUL_ORDER = re.compile(rb"[\xee-\xff]")
_packed = msgspec.msgpack.encode

#: UUIDv4 in its canonical lower-case form (RFC 9562 §5.4).
Uuid4 = Annotated[
    str, msgspec.Meta(pattern=r"\A[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")
]
#: Organisation id: alpha-3, dot, slug.
OrgId = Annotated[str, msgspec.Meta(pattern=r"\A[a-z]{3}\.[a-z0-9]+(?:-[a-z0-9]+)*\Z", max_length=64)]
#: Key id: printable ASCII without space, quotation mark and backslash, so that JSON never escapes it.
KeyId = Annotated[str, msgspec.Meta(pattern=r"\A[!#-\[\]-~]{1,128}\Z")]
#: SHA-256 in lower-case hex.
Sha256 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]


def parse_json(raw: bytes, *, limit: int = MAX_JSON_BYTES, floats: bool = False) -> Any:
    """The JSON text in ``raw`` (RFC 8259, narrowed to I-JSON, RFC 7493); raises `MalformedMessage` for anything else.

    1. at most ``limit`` bytes, UTF-8 without byte order mark (RFC 8259 §8.1)
    2. at most `MAX_VALUES` values, `MAX_CONTAINERS` containers and `MAX_DEPTH` nested, counted before the parser runs
    3. no repeated member (RFC 7493 §2.3), no NaN or Infinity, no trailing bytes
    4. integers within ±`MAX_INTEGER` (RFC 7493 §2.2), no negative zero, no fraction or exponent unless ``floats``
    5. no lone surrogate (RFC 7493 §2.1)
    """
    # (1)
    if len(raw) > limit:
        raise MalformedMessage("the JSON text is longer than its limit", diagnostic={"limit": limit})
    if raw.startswith(_BOM):
        raise MalformedMessage("the JSON text starts with a byte order mark")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedMessage("the JSON text is not UTF-8") from None
    # (2)
    _require_shallow(raw)
    # (3), (4)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_members,
            parse_int=_integer,
            parse_float=_finite if floats else _refuse_float,
            parse_constant=_refuse_constant,
        )
    except ValueError:
        raise MalformedMessage("the text is not JSON") from None
    # (5) UTF-8 holds no surrogate, so only an escape can bring one
    if b"\\u" in raw:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise MalformedMessage("a JSON string holds a lone surrogate") from None
    return value


def _require_shallow(raw: bytes) -> None:
    """Count values, containers, nesting on what stands outside strings; the parser itself would allocate, and recurse.

    Up to the first byte that is not JSON the count is exact, and no parser gets further.
    """
    too_many = MalformedMessage("the JSON text holds too many values", diagnostic={"limit": MAX_VALUES})
    # a value and its name have two quotation marks each; taking many strings out would cost memory already
    if raw.count(b'"') > 4 * MAX_VALUES:
        raise too_many
    outside = _outside_strings(raw)
    if outside.count(b",") >= MAX_VALUES:
        raise too_many
    if outside.count(b"{") + outside.count(b"[") > MAX_CONTAINERS:
        raise MalformedMessage(
            "the JSON text holds too many objects and arrays", diagnostic={"limit": MAX_CONTAINERS}
        )
    depth = 0
    for bracket in outside.translate(None, b","):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise MalformedMessage("the JSON text nests too deeply", diagnostic={"limit": MAX_DEPTH})


def _outside_strings(raw: bytes) -> bytes:
    """The brackets and commas outside strings. A pattern that takes strings out costs many times their bytes.

    Whether a byte is inside a string is the parity of the marks before it, once escaped marks are gone; two marks side
    by side change no parity.
    """
    marks = raw.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _NOT_STRUCTURE).replace(b'""', b"")
    return b"".join(marks.split(b'"')[::2])


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedMessage("a JSON object repeats a member")
    return members


def _integer(digits: str) -> int:
    if len(digits) > _MAX_INTEGER_CHARS or digits == "-0" or abs(value := int(digits)) > MAX_INTEGER:
        raise MalformedMessage("a JSON integer is outside the range every reader keeps exactly")
    return value


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise MalformedMessage("a JSON number is too large")
    return value


def _refuse_float(_digits: str) -> NoReturn:
    raise MalformedMessage("a JSON number has a fraction or an exponent")


def _refuse_constant(_name: str) -> NoReturn:
    raise MalformedMessage("NaN and Infinity are not JSON")


def b64url(raw: bytes) -> str:
    """Base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def b64url_decode(text: str) -> bytes:
    """The bytes of the one canonical form: no padding, no white space, trailing bits zero (RFC 4648 §3.5)."""
    if not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        raise MalformedMessage("a value is not base64url without padding")
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if b64url(raw) != text:
        raise MalformedMessage("a base64url value has trailing bits that are not zero")
    return raw


def instant(at: datetime) -> datetime:
    """An aware instant as it is signed: UTC, the part of a second cut off, never rounded up into the future."""
    return at.astimezone(UTC).replace(microsecond=0)


def canonical(value: Any) -> bytes:
    """The RFC 8785 bytes of a noun or of builtins: what we hash and sign.

    Raises `RequestInvalid` for what has no such form, such as an integer beyond 2**53.
    """
    tree = msgspec.to_builtins(value)
    try:
        raw = msgspec.json.encode(tree, order="sorted")
        if _is_rfc8785(raw, tree):
            return raw
    except (UnicodeEncodeError, TypeError):
        pass  # it has no JSON form at all, or only the reference implementation knows
    try:
        return rfc8785.dumps(tree)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError):
        raise RequestInvalid("a value has no canonical JSON form") from None


def _is_rfc8785(raw: bytes, tree: Any) -> bool:
    """Whether this, msgspec's sorted form of the tree, is certainly its canonical form.

    What is read back must be what was written (a name that is no string is not, nor is NaN): packed, both are the same
    bytes. All this takes a fraction of what the reference implementation does.
    """
    return (
        raw[:1] in (b"{", b"[")
        and not _DOUBTFUL_NUMBER.search(raw)
        and (raw.isascii() or not _DOUBTFUL_ORDER.search(raw))
        and _packed(msgspec.json.decode(raw)) == _packed(tree, order="sorted")
    )


def read_canonical(raw: bytes, noun: type[S], *, limit: int = MAX_JSON_BYTES) -> S:
    """The noun whose RFC 8785 bytes ``raw`` are, and no other spelling of it; raises `MalformedMessage`.

    1. strict JSON   2. the closed type (unknown, missing and ill-typed members refuse)
    3. instants in UTC, of whole seconds   4. its own canonical form, byte for byte
    """
    # (1)
    tree = parse_json(raw, limit=limit)
    # (2) msgspec quotes what it refuses: nothing of its text goes on
    try:
        value = msgspec.convert(tree, noun)
    except msgspec.ValidationError:
        raise MalformedMessage("a signed document does not follow its schema") from None
    # (3)
    instants = [member for member in msgspec.structs.astuple(value) if isinstance(member, datetime)]
    if any(at.utcoffset() != timedelta(0) or at.microsecond for at in instants):
        raise MalformedMessage("an instant must be in UTC and of whole seconds")
    # (4) also refuses a second spelling of an instant, a default written out, unsorted or spaced members
    if canonical(value) != raw:
        raise MalformedMessage("a signed document is not in its RFC 8785 form")
    return value

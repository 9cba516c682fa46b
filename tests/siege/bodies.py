"""Hostile requests over a valid partner session: each has one answer that it must get."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import msgspec

from gateway.wire.container import BUCKETS, MAX_SEALED
from gateway.wire.strict import canonical
from tests.siege.target import HONEST, QUESTION, Answer, Target

PATH = b"/exchange/v1/messages"
BATCH = b"Content-Type: application/vnd.ecluse.sealed-batch\r\n"
MIB = 1024 * 1024


@dataclass(frozen=True)
class Attack:
    """One request and the closed list of what may come back: statuses, or codes in a problem or a receipt."""

    name: str
    request: Callable[[Target], bytes]
    expect: frozenset[str]
    slow: bool = False  # takes as long as a limit in seconds says


def outcome(answer: Answer) -> str:
    """What an answer says: the code of a problem, the code of a receipt's one item, or the bare status."""
    if answer.status == 200:
        statement = json.loads(_b64(answer.body.split(b".")[1]))
        return "receipt:" + ",".join(item.get("code", item["outcome"]) for item in statement["items"])
    if b"application/problem+json" in answer.head:
        return f"{answer.status}:{json.loads(answer.body)['title']}"
    return str(answer.status)


def _b64(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))


# --- requests ----------------------------------------------------------------------------------------------------


def post(body: bytes = b"", *headers: bytes, length: int | None = None, kind: bytes = BATCH) -> bytes:
    """A POST with its length, or the one claimed."""
    announced = b"Content-Length: %d\r\n" % (len(body) if length is None else length)
    return (
        b"POST " + PATH + b" HTTP/1.1\r\nHost: gw\r\n" + kind + announced + b"".join(headers) + b"\r\n" + body
    )


def bare(*headers: bytes, body: bytes = b"", line: bytes = b"POST " + PATH + b" HTTP/1.1") -> bytes:
    """A request of exactly these lines."""
    return line + b"\r\nHost: gw\r\n" + BATCH + b"".join(headers) + b"\r\n" + body


def chunked(body: bytes, *headers: bytes) -> bytes:
    return bare(b"Transfer-Encoding: chunked\r\n", *headers, body=body)


def http_attacks() -> Iterator[Attack]:
    """What HTTP lets one say."""
    for name, expect, raw in (
        ("no body", "400:malformed", post()),
        ("no length", "411:length-required", bare()),
        ("17 MiB announced", "413:too-large", post(length=17 * MIB)),
        ("17 MiB sent", "413:too-large", post(bytes(17 * MIB))),
        ("a length of 19 digits", "413:too-large", post(length=10**18)),
        ("a length of 25 digits", "400", post(length=10**24)),
        ("a negative length", "400", post(length=-1)),
        ("a signed length", "400", bare(b"Content-Length: +5\r\n", body=b"12345")),
        ("a hexadecimal length", "400", bare(b"Content-Length: 0x5\r\n", body=b"12345")),
        ("two lengths", "400", post(b"12345", b"Content-Length: 6\r\n")),
        ("the same length twice", "400", post(b"12345", b"Content-Length: 5\r\n")),
        ("length and chunks", "400", post(b"5\r\n12345\r\n0\r\n\r\n", b"Transfer-Encoding: chunked\r\n")),
        ("one chunk", "411:length-required", chunked(b"5\r\n12345\r\n0\r\n\r\n")),
        (
            "200,000 chunks of one byte",
            "411:length-required",
            chunked(b"1\r\na\r\n" * 200_000 + b"0\r\n\r\n"),
        ),
        (
            "a chunk extension of 100 KB",
            "411:length-required|400",
            chunked(b"5;" + b"a" * 100_000 + b"\r\n12345\r\n0\r\n\r\n"),
        ),
        ("a chunk of 2^64", "411:length-required|400", chunked(b"FFFFFFFFFFFFFFFFF\r\n" + b"a" * 1000)),
        ("1,000 trailers", "411:length-required|400", chunked(b"0\r\n" + b"X: a\r\n" * 1000 + b"\r\n")),
        (
            "chunked twice",
            "400|411:length-required",
            bare(b"Transfer-Encoding: chunked, chunked\r\n", body=b"0\r\n\r\n"),
        ),
        (
            "gzip as transfer encoding",
            "400|411:length-required",
            bare(b"Transfer-Encoding: gzip, chunked\r\n", body=b"0\r\n\r\n"),
        ),
        (
            "identity as transfer encoding",
            "400|411:length-required",
            bare(b"Transfer-Encoding: identity\r\n", body=b"12345"),
        ),
        (
            "an unknown transfer encoding",
            "400|411:length-required",
            bare(b"Transfer-Encoding: xchunked\r\n", body=b"12345"),
        ),
        ("a gzip bomb", "400:malformed", post(_bomb(31), b"Content-Encoding: gzip\r\n")),
        ("a deflate bomb", "400:malformed", post(_bomb(15), b"Content-Encoding: deflate\r\n")),
        ("no encoding, said aloud", "400:malformed", post(b"12345", b"Content-Encoding: identity\r\n")),
        ("an unknown encoding", "400:malformed|400", post(b"12345", b"Content-Encoding: br, gzip\r\n")),
        ("asks to continue", "417", post(b"12345", b"Expect: 100-continue\r\n")),
        ("expects the unknown", "417", post(b"12345", b"Expect: zzemo\r\n")),
        ("another media type", "400:malformed", post(b"12345", kind=b"Content-Type: text/plain\r\n")),
        ("no media type", "400:malformed", post(b"12345", kind=b"")),
        ("a media type with a parameter", "400:malformed", post(b"12345", kind=BATCH[:-2] + b"; q=1\r\n")),
        ("two media types", "400", post(b"12345", BATCH)),
        ("20,000 headers", "400", post(b"", b"X: a\r\n" * 20_000)),
        ("65 headers", "400", post(b"", b"X: a\r\n" * 65)),
        ("a header of 9 KB", "400", post(b"", b"X: " + b"a" * 9000 + b"\r\n")),
        ("a header of 10 MB", "400|0", post(b"", b"X: " + b"a" * 10_000_000 + b"\r\n")),
        ("a header name of 9 KB", "400", post(b"", b"a" * 9000 + b": X\r\n")),
        ("a target of 9 KB", "400", bare(line=b"POST " + PATH + b"?" + b"a" * 9000 + b" HTTP/1.1")),
        ("two hosts", "400", post(b"", b"Host: other\r\n")),
        ("bare line feeds", "400", post(b"12345").replace(b"\r\n", b"\n")),
        ("a folded header", "400", post(b"", b"X: a\r\n b\r\n")),
        ("a space before the colon", "400", post(b"", b"X : a\r\n")),
        ("a NUL in a header", "400", post(b"", b"X: a\0b\r\n")),
        ("an empty header name", "400", post(b"", b": a\r\n")),
        ("another method", "405", bare(line=b"PUT " + PATH + b" HTTP/1.1")),
        ("TRACE", "405", bare(line=b"TRACE " + PATH + b" HTTP/1.1")),
        ("CONNECT", "400|404|405", bare(line=b"CONNECT gw:443 HTTP/1.1")),
        ("an invented method", "400|405", bare(line=b"ZZEMO " + PATH + b" HTTP/1.1")),
        ("another path", "404", bare(line=b"POST /admin HTTP/1.1")),
        (
            "a path that climbs",
            "404",
            bare(line=b"GET /exchange/v1/messages/../../../etc/passwd/receipt HTTP/1.1"),
        ),
        (
            "a question with a body",
            "400:malformed",
            post(b"12345").replace(b"POST " + PATH, b"GET " + PATH + b"/a/receipt"),
        ),
        ("the preface of HTTP/2", "400", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("HTTP 9.9", "400", bare(line=b"POST " + PATH + b" HTTP/9.9")),
        ("HTTP 1.0", "400", post(b"12345").replace(b"HTTP/1.1", b"HTTP/1.0")),
        ("HTTP 0.9", "400", post(b"12345").replace(b"HTTP/1.1", b"HTTP/0.9")),
        ("no HTTP at all", "400", b"\x16\x03\x01\x02\x00" * 1000 + b"\r\n\r\n"),
        (
            "an upgrade",
            "411:length-required|400",
            bare(b"Upgrade: websocket\r\n", b"Connection: Upgrade\r\n", body=b"a" * 100_000),
        ),
        ("1,000 questions at once", "404", QUESTION * 1000),
        ("a batch, and a question behind it", "400:malformed", post(b"12345") + QUESTION),
    ):
        yield Attack(name, lambda _t, raw=raw: raw, frozenset(expect.split("|")))  # type: ignore[misc]
    for name, raw in (
        ("a body that stops", post(b"12345", length=1000)),
        ("headers that stop", post(b"12345")[:100]),
    ):
        expect = "408:too-slow" if "body" in name else "0"
        yield Attack(name, lambda _t, raw=raw: raw, frozenset({expect}), slow=True)  # type: ignore[misc]


def _bomb(window: int) -> bytes:
    squeezed = zlib.compressobj(9, zlib.DEFLATED, window)
    return squeezed.compress(bytes(100 * MIB)) + squeezed.flush()


# --- batches -----------------------------------------------------------------------------------------------------


def framed(*items: bytes) -> bytes:
    return b"".join(len(item).to_bytes(4, "big") + item for item in items)


def batch_attacks() -> Iterator[Attack]:
    """What the frame and the preamble let one say."""
    garbage = bytes(BUCKETS[0] + 1136)
    for name, raw in (
        ("an empty item", framed(b"")),
        ("a length of 2^32", b"\xff\xff\xff\xff" + b"a" * 1000),
        ("65 items", framed(*[b"a"] * 65)),
        ("3 million items of one byte", framed(b"a") * 3_000_000),
        ("16 MiB of zeros", bytes(16 * MIB)),
        ("16 MiB of 0x01", b"\x01" * (16 * MIB)),
        ("an item above the largest", framed(bytes(MAX_SEALED + 1))),
        ("no preamble", framed(b"a" * 100_000)),
        ("a preamble of brackets", framed(b"[" * 1000 + b"\n" + garbage)),
        ("a preamble of 5 MiB", framed(b"{" * (4 * MIB))),
        ("a preamble that is no object", framed(b"null\n" + garbage)),
        ("a preamble of NaN", framed(b'{"v":NaN}\n' + garbage)),
        ("a preamble with a member twice", framed(b'{"v":1,"v":1}\n' + garbage)),
        ("a preamble with half a surrogate", framed(b'{"aud":"\\ud800"}\n' + garbage)),
        ("bytes after the last item", framed(b"a") + b"\x00\x00"),
    ):
        yield Attack(name, lambda _t, raw=raw: post(raw), frozenset({"400:malformed"}))  # type: ignore[misc]

    def preamble(name: str, expect: str, **changes: object) -> Attack:
        def request(target: Target) -> bytes:
            document = msgspec.to_builtins(target.preamble(target.header(b"")))
            return post(framed(canonical({**document, **changes}) + b"\n" + garbage))

        return Attack(name, request, frozenset({expect}))

    yield preamble("from somebody else", "403:replayed", iss=HONEST)
    yield preamble("to somebody else", "403:wrong-audience", aud=HONEST)
    yield preamble("an unknown suite", "400:malformed", suite="none")
    yield preamble("a member too many", "400:malformed", zip="DEF")
    yield preamble("an unknown key", "400:malformed", enc_kid="bel.ocam/encryption/zzemo")
    yield preamble("garbage for a ciphertext", "400:malformed")

    def many(target: Target) -> bytes:
        document = msgspec.to_builtins(target.preamble(target.header(b"")))
        line = canonical(document) + b"\n"
        return post(framed(*[line + garbage] * 64))

    def large(target: Target) -> bytes:
        line = canonical(msgspec.to_builtins(target.preamble(target.header(b"")))) + b"\n"
        return post(framed(*[line + bytes(BUCKETS[-1] + 1136)] * 3))

    yield Attack("64 ciphertexts of garbage", many, frozenset({"400:malformed"}))
    yield Attack("3 ciphertexts of 4 MiB", large, frozenset({"400:malformed"}))


# --- what is sealed ----------------------------------------------------------------------------------------------


def sealed_attacks() -> Iterator[Attack]:
    """What only a partner can send: it opens with our key, and some of it carries the partner's own signature."""
    for name, plaintext in (
        ("a plaintext of zeros", bytes(BUCKETS[0])),
        ("a plaintext of lengths beyond", b"\xff" * BUCKETS[0]),
        ("4 MiB of padding", (b"\0" * 12 + (BUCKETS[-1] - 16).to_bytes(4, "big")).ljust(BUCKETS[-1], b"\0")),
    ):
        yield Attack(
            name,
            lambda t, p=plaintext: post(t.sealed(b"", plaintext=p)),  # type: ignore[misc]
            frozenset({"400:malformed"}),
        )
    for name, jws in (
        ("no seal", ""),
        ("a seal of dots", "." * 1000),
        ("a seal without algorithm", _token({"alg": "none"})),
        ("a seal of 100,000 members", _token({f"a{n}": 0 for n in range(4000)})),
        ("a seal of nested arrays", _raw_token(b"[" * 9000)),
        ("a seal with its own key", _token({"alg": "ES256", "jwk": {"kty": "EC"}})),
    ):
        yield Attack(name, lambda t, j=jws: post(t.sealed(b"", jws=j)), frozenset({"400:malformed"}))  # type: ignore[misc]

    half = b"a" * (2 * MIB)
    for name, payload in (
        ("an empty payload", b""),
        ("4 MB of brackets", b"[" * 4_000_000),
        ("brackets that close", b"[" * 2_000_000 + b"]" * 2_000_000),
        ("nested 100,000 deep", b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
        ("nested 33 deep", b"[" * 33 + b"]" * 33),
        ("2 million elements", b"[" + b"0," * 1_999_999 + b"0]"),
        ("300,000 members", b"{" + b",".join(b'"%d":0' % n for n in range(300_000)) + b"}"),
        ("a member twice", b'{"format":"ct-exchange-json/1.0","format":"ct-exchange-json/1.0"}'),
        ("a number of a million digits", b'{"a":' + b"9" * 1_000_000 + b"}"),
        ("an exponent of a million", b'{"a":1e1000000}'),
        ("not a number", b'{"a":NaN}'),
        ("infinity", b'{"a":-Infinity}'),
        ("half a surrogate", b'{"a":"\\ud800"}'),
        ("bytes that are no UTF-8", b'{"a":"\xff\xfe"}'),
        ("an overlong NUL", b'{"a":"\xc0\x80"}'),
        ("a byte order mark", b"\xef\xbb\xbf{}"),
        ("UTF-16", '{"a":1}'.encode("utf-16")),
        ("4 MB of one string", b'"' + half + b'"'),
        ("4 MB of escapes", b'"' + b"\\u0041" * 600_000 + b'"'),
        ("a string that never ends", b'"' + b'\\"' * 2_000_000),
        ("4 MB of spaces", b" " * 4_000_000 + b"{}"),
        ("XML", b'<?xml version="1.0"?><a/>'),
        (
            "a billion laughs",
            b'<!DOCTYPE a [<!ENTITY b "' + b"c" * 1000 + b'">]><a>' + b"&b;" * 100_000 + b"</a>",
        ),
        ("an external entity", b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'),
        ("an empty object", b"{}"),
        ("null", b"null"),
        ("a member of nobody's schema", b'{"format":"ct-exchange-json/1.0","zzemo":1}'),
        ("100,000 records", b'{"records":[' + b",".join([b"{}"] * 100_000) + b"]}"),
        ("99,000 labels", b'{"labels":[' + b",".join([b'{"part":"/records/0"}'] * 99_000) + b"]}"),
        ("49,000 names", _message(names=[{"type": "alias", "text": "Zzemo"}] * 49_000)),
        ("a name of 1 MB", _message(names=[{"type": "alias", "text": "Z" * MIB}])),
    ):
        yield Attack(
            name,
            lambda t, p=payload: post(t.sealed(p)),  # type: ignore[misc]
            frozenset({"receipt:malformed", "receipt:schema-violation"}),
        )
    for name, code, changes in (
        ("another mode", "wrong-audience|schema-violation|malformed", {"mode": "operational"}),
        ("expired long ago", "replayed", {"iat": 1_000_000_000, "exp": 1_000_086_400}),
        ("of the year 2100", "replayed", {"iat": 4_102_444_800, "exp": 4_102_531_200}),
        ("the signature of an unknown key", "signature-invalid", {"kid": "fra.fusion-demo/message/zzemo"}),
        (
            "a type the key may not sign",
            "malformed|schema-violation|outside-agreement",
            {"typ": "ecluse-msg-void+jws"},
        ),
    ):
        yield Attack(
            name,
            lambda t, c=changes: post(t.sealed(b'{"a":1}', **c)),  # type: ignore[misc]
            frozenset(f"receipt:{one}" for one in code.split("|")),
        )


def _token(header: object) -> str:
    return _raw_token(json.dumps(header).encode())


def _raw_token(header: bytes) -> str:
    return base64.urlsafe_b64encode(header).decode().rstrip("=") + ".." + "A" * 86


def _message(**record: object) -> bytes:
    return json.dumps({"format": "ct-exchange-json/1.0", "type": "disclosure", "records": [record]}).encode()


@cache
def attacks() -> tuple[Attack, ...]:
    """All of them."""
    return (*http_attacks(), *batch_attacks(), *sealed_attacks())

"""Attacks on the container: preamble, encryption, plaintext, padding, truncation, flipped bits and batch framing.

Everything here stands before the seal or around it, so the POST is refused whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from cryptography.hazmat.primitives.asymmetric import mlkem, x25519
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey

from tests.forgery.answers import HELD, READ, UUID, spoilt
from tests.forgery.arena import DE, NL, Arena, Attack
from tests.forgery.forge import (
    BUCKETS,
    Edit,
    constant,
    cut,
    drop,
    dumps,
    flip,
    framed,
    padded,
    prefixed,
    put,
    write,
)
from tests.service.world import BE, FR

#: Bytes of the ciphertext's parts: ML-KEM-768 encapsulation, X25519 share, and the tag at the end.
KEM, SHARE, TAG = 1088, 32, 16


def containers() -> Iterator[Attack]:
    """Every attack of this file."""
    yield from _preambles()
    yield from _disagreements()
    yield from _encryption()
    yield from _plaintexts()
    yield from _truncations()
    yield from _flips()
    yield from _batches()


# --- preamble --------------------------------------------------------------------------------------------------------


def _preambles() -> Iterator[Attack]:
    for name in ("v", "suite", "iss", "aud", "jti", "enc_kid"):
        yield spoilt(f"preamble without {name}", READ, preamble=drop(name))
        yield spoilt(f"preamble with {name} null", READ, preamble=put(**{name: None}))
    for name, value in {
        "v": 2, "suite": "none", "iss": "BEL.OCAM", "aud": "", "jti": UUID.upper(), "enc_kid": "a b", "seq": 1,
    }.items():  # fmt: skip
        yield spoilt(f"preamble with {name} {json.dumps(value)}", READ, preamble=put(**{name: value}))
    yield spoilt("preamble with v as text", READ, preamble=put(v="1"))
    yield spoilt("preamble with v as a fraction", READ, line=lambda raw: raw.replace(b'"v":1', b'"v":1.0'))
    lines: dict[str, Edit] = {
        "unordered": lambda raw: dumps(dict(reversed(json.loads(raw).items()))),
        "spaced": lambda raw: raw.replace(b",", b", ", 1),
        "with a member twice": lambda raw: raw[:-1] + b',"v":1}',
        "with an escape": lambda raw: raw.replace(b'"aud"', b'"\\u0061ud"'),
        "of 1025 bytes": lambda raw: raw[:-1] + b" " * (1025 - len(raw)) + b"}",
        "empty": constant(b""),
        "that is an array": constant(b"[]"),
        "that is null": constant(b"null"),
        "with a byte order mark": lambda raw: b"\xef\xbb\xbf" + raw,
        "ended by CR LF": lambda raw: raw + b"\r",
        "with a NUL": lambda raw: raw + b"\0",
        "not UTF-8": constant(b'{"v":"\xff"}'),
        "nested": constant(b'{"v":' + b"[" * 400 + b"]" * 400 + b"}"),
    }
    for name, edit in lines.items():
        yield spoilt(f"preamble {name}", READ, line=edit)
    yield spoilt("preamble for another addressee", "403 wrong-audience", members=put(aud=DE))
    yield spoilt("preamble for its own sender", "403 wrong-audience", members=put(aud=BE))
    yield spoilt("preamble by another partner", "403 replayed", members=put(iss=NL))
    yield spoilt("preamble by the receiver", "403 replayed", members=put(iss=FR))
    yield spoilt("preamble by nobody", "403 replayed", members=put(iss="esp.nobody-demo"))
    yield spoilt("preamble by a name that starts alike", "403 replayed", members=put(iss="bel.ocam-2"))

    yield spoilt("preamble and seal name an unknown key", READ, members=put(enc_kid="fra.police-demo/old"))
    yield spoilt("preamble and seal name the sender's key", READ, members=put(enc_kid="bel.ocam/message"))


def _disagreements() -> Iterator[Attack]:
    """Each shared member changed in the seal alone, then in the preamble alone."""
    for name, value in {"iss": NL, "aud": DE, "jti": UUID, "enc_kid": "fra.police-demo/old"}.items():
        yield spoilt(f"seal says another {name} than the preamble", READ, header=put(**{name: value}))
    for name, value in {"jti": UUID, "enc_kid": "fra.police-demo/old"}.items():
        yield spoilt(f"preamble says another {name} than the seal", READ, preamble=put(**{name: value}))


# --- encryption ------------------------------------------------------------------------------------------------------


def _encryption() -> Iterator[Attack]:
    yield spoilt("info without the preamble", READ, encapsulation=constant(b"ecluse/hpke/1\n"))
    yield spoilt("info of another version", READ, encapsulation=lambda info: info.replace(b"/1\n", b"/2\n"))
    yield spoilt("info empty", READ, encapsulation=constant(b""))
    yield Attack("sealed to a key that is not the receiver's", READ, _to_nobody)
    yield Attack("ciphertext of another message", READ, _ciphertext_of_another)
    yield Attack("preamble of another message", READ, _preamble_of_another)
    yield spoilt("ciphertext zero", READ, ciphertext=lambda raw: bytes(len(raw)))
    yield spoilt(
        "X25519 share zero", READ, ciphertext=lambda raw: raw[:KEM] + bytes(SHARE) + raw[KEM + SHARE :]
    )
    yield spoilt("encapsulation zero", READ, ciphertext=lambda raw: bytes(KEM) + raw[KEM:])
    yield spoilt("halves of the encapsulation swapped", READ, ciphertext=_swapped)
    yield spoilt("tag cut off", READ, ciphertext=lambda raw: raw[:-TAG])
    yield spoilt("tag zero", READ, ciphertext=lambda raw: raw[:-TAG] + bytes(TAG))
    yield spoilt("no encryption at all", READ, ciphertext=lambda raw: bytes(KEM + SHARE + TAG) + bytes(4096))
    yield spoilt(
        "a JWE in the place of an HPKE ciphertext", READ, ciphertext=constant(b"e30..AAAA.AAAA.AAAA")
    )
    yield spoilt("bytes after the ciphertext", READ, sealed=lambda raw: raw + b"\0")
    yield spoilt("a bucket's bytes after the ciphertext", READ, sealed=lambda raw: raw + bytes(12288))


def _to_nobody(arena: Arena) -> bytes:
    stranger = MLKEM768X25519PrivateKey(
        mlkem.MLKEM768PrivateKey.generate(), x25519.X25519PrivateKey.generate()
    )
    return framed([write(replace(arena.base(), addressee=stranger.public_key()))])


def _swapped(raw: bytes) -> bytes:
    return raw[KEM : KEM + SHARE] + raw[:KEM] + raw[KEM + SHARE :]


def _ciphertext_of_another(arena: Arena) -> bytes:
    line, _, _ = write(arena.base()).partition(b"\n")
    _, _, other = write(arena.base()).partition(b"\n")
    return framed([line + b"\n" + other])


def _preamble_of_another(arena: Arena) -> bytes:
    """The honest ciphertext under a preamble with another id, its seal still the honest one."""
    base = arena.base()
    line, _, ciphertext = write(base).partition(b"\n")
    return framed([line.replace(base.members["jti"].encode(), UUID.encode()) + b"\n" + ciphertext])


# --- plaintext -------------------------------------------------------------------------------------------------------


def _filled(parts: list[bytes], filler: bytes = b"\0", size: int = 0) -> bytes:
    """As the writer pads, with another filler, or to another size than the content demands."""
    raw = framed(parts)
    bucket = size or next(size for size in BUCKETS if len(raw) + 4 <= size)
    return raw + prefixed((filler * bucket)[: bucket - len(raw) - 4])


def _length(part: int, value: int) -> Edit:
    """The length of one part says ``value`` more than there is (2**32 - 1 for -1)."""

    def edit(plaintext: bytes) -> bytes:
        position = 0
        for _ in range(part):
            position += 4 + int.from_bytes(plaintext[position : position + 4], "big")
        true = int.from_bytes(plaintext[position : position + 4], "big")
        said = 2**32 - 1 if value == -1 else max(0, true + value)
        return plaintext[:position] + said.to_bytes(4, "big") + plaintext[position + 4 :]

    return edit


def _plaintexts() -> Iterator[Attack]:
    for name, filler in {
        "ones": b"\xff",
        "text": b"hidden ",
        "zeros and a one": b"\0" * 99 + b"\x01",
    }.items():
        yield _padded(f"padding of {name}", partial(_filled, filler=filler))
    for size in BUCKETS[2:5]:
        yield _padded(f"padded to {size} bytes", partial(_filled, size=size))
    yield _padded("one byte more than a bucket", lambda parts: _filled(parts, size=16385))
    yield _padded("one byte less than a bucket", lambda parts: _filled(parts, size=16383))
    yield _padded("three parts", lambda parts: padded(parts[:2]))
    yield _padded("five parts", lambda parts: _fit([*parts, b"more"]))
    yield _padded("no parts", lambda parts: bytes(16384))
    yield _padded(
        "a second signature where none is agreed", lambda parts: padded([parts[0], b"x", parts[2]]), HELD
    )
    yield _padded("the first signature twice", lambda parts: padded([parts[0], parts[0], parts[2]]), HELD)
    yield _padded("signatures swapped", lambda parts: padded([b"", parts[0], parts[2]]))
    yield _padded("seal and payload swapped", lambda parts: padded([parts[2], b"", parts[0]]))
    yield _padded("seal empty", lambda parts: padded([b"", b"", parts[2]]))
    yield _padded("seal not ASCII", lambda parts: padded([parts[0] + "é".encode(), b"", parts[2]]))
    yield _padded("seal of bytes", lambda parts: padded([b"\xff" * 400, b"", parts[2]]))
    for part in range(4):
        for value in (1, -1, 2**16):
            said = "all there is" if value == -1 else f"{value} more"
            yield spoilt(f"length of part {part} says {said}", READ, plaintext=_length(part, value))
    yield spoilt("length of the padding says one less", READ, plaintext=_length(3, -2))


def _padded(name: str, make: Callable[[list[bytes]], bytes], expect: str = READ) -> Attack:
    """The parts packed otherwise."""

    def build(arena: Arena) -> bytes:
        held: list[list[bytes]] = []

        def keep(parts: list[bytes]) -> list[bytes]:
            held.append(parts)
            return parts

        return arena.batch({"parts": keep, "plaintext": lambda _: make(held[0])})

    return Attack(f"plaintext: {name}", expect, build)


def _fit(parts: list[bytes]) -> bytes:
    raw = framed(parts)
    return raw + bytes(16384 - len(raw))


# --- truncation and flipped bits -------------------------------------------------------------------------------------


def _truncations() -> Iterator[Attack]:
    def part(name: str, where: Callable[[bytes], int]) -> Attack:
        return spoilt(f"sealed message cut {name}", READ, sealed=lambda raw: cut(where(raw))(raw))

    line = b"\n"
    yield part("after one byte", lambda raw: 1)
    yield part("inside the preamble", lambda raw: 40)
    yield part("before the line feed", lambda raw: raw.index(line))
    yield part("after the line feed", lambda raw: raw.index(line) + 1)
    yield part("inside the encapsulation", lambda raw: raw.index(line) + 500)
    yield part("after the encapsulation", lambda raw: raw.index(line) + 1 + KEM)
    yield part("after the share", lambda raw: raw.index(line) + 1 + KEM + SHARE)
    yield part("inside the ciphertext", lambda raw: len(raw) // 2)
    yield part("before the tag", lambda raw: len(raw) - TAG)
    yield part("one byte before its end", lambda raw: len(raw) - 1)
    for where in (0, 1, 3, 4, 5, 200, 2000):
        yield Attack(f"batch cut after {where} bytes", READ, _cut_after(where))
    yield Attack("batch cut one byte before its end", READ, lambda arena: arena.batch()[:-1])


def _cut_after(where: int) -> Callable[[Arena], bytes]:
    return lambda arena: arena.batch()[:where]


def _flipped(start: Callable[[bytes], int], bit: int) -> Edit:
    return lambda raw: flip(start(raw), bit)(raw)


def _flips() -> Iterator[Attack]:
    def region(name: str, start: Callable[[bytes], int]) -> Iterator[Attack]:
        for bit in (0, 7):
            yield spoilt(f"bit {bit} flipped in {name}", READ, sealed=_flipped(start, bit))

    line = b"\n"
    yield from region("the line feed", lambda raw: raw.index(line))
    yield from region("the encapsulation", lambda raw: raw.index(line) + 2)
    yield from region("the middle of the encapsulation", lambda raw: raw.index(line) + 600)
    yield from region("the share", lambda raw: raw.index(line) + 1 + KEM + 3)
    yield from region("the first byte of the content", lambda raw: raw.index(line) + 1 + KEM + SHARE)
    yield from region("the middle of the content", lambda raw: len(raw) // 2)
    yield from region("the last byte of the content", lambda raw: len(raw) - TAG - 1)
    yield from region("the tag", lambda raw: len(raw) - 1)
    yield spoilt("bit flipped in the version", READ, line=lambda raw: raw.replace(b'"v":1', b'"v":3'))


# --- batches ---------------------------------------------------------------------------------------------------------


def _batches() -> Iterator[Attack]:
    yield Attack("batch empty", READ, lambda arena: b"")
    yield Attack("batch of an empty message", READ, lambda arena: bytes(4))
    yield Attack(
        "batch with an empty message behind a good one", READ, lambda arena: arena.batch() + bytes(4)
    )
    yield Attack(
        "batch with an empty message before a good one", READ, lambda arena: bytes(4) + arena.batch()
    )
    yield Attack("batch with a byte too many", READ, lambda arena: arena.batch() + b"\0")
    yield Attack("batch with half a length behind", READ, lambda arena: arena.batch() + b"\0\0\0")
    yield Attack("batch of garbage", READ, lambda arena: bytes(range(256)) * 40)
    yield Attack("batch of zeros", READ, lambda arena: bytes(4096))
    yield Attack("batch without lengths", READ, lambda arena: arena.batch()[4:])
    yield Attack("batch whose length overflows", READ, lambda arena: b"\xff\xff\xff\xff" + arena.batch()[4:])
    yield Attack("batch whose length says one more", READ, lambda arena: _said(arena.batch(), 1))
    yield Attack("batch whose length says one less", READ, lambda arena: _said(arena.batch(), -1))
    yield Attack("batch with its length in little endian", READ, lambda arena: _turned(arena.batch()))
    yield Attack("batch of a batch", READ, lambda arena: prefixed(arena.batch()))
    yield Attack("batch of 65 messages", READ, lambda arena: b"".join(arena.batch() for _ in range(65)))
    yield Attack("batch of 65 tiny ones", READ, lambda arena: framed([b"{}\n"] * 65))
    yield Attack("batch of one message twice", READ, lambda arena: arena.batch() * 2)
    yield Attack("batch of one id in two messages", READ, _one_id)
    yield Attack(
        "batch of a good message and garbage", READ, lambda arena: arena.batch() + framed([b"x" * 99])
    )
    yield Attack("batch of a good message and one of another partner", "403 replayed", _mixed)
    yield Attack("batch of an oversized message", READ, lambda arena: framed([bytes(5 * 1024 * 1024)]))
    yield Attack("body of 17 MiB", "413 too-large", lambda arena: bytes(17 * 1024 * 1024))
    yield Attack("body that is JSON", READ, lambda arena: b'{"messages":[]}')
    yield Attack("body that is a form", READ, lambda arena: b"message=1&alg=none")


def _said(batch: bytes, more: int) -> bytes:
    return (len(batch) - 4 + more).to_bytes(4, "big") + batch[4:]


def _turned(batch: bytes) -> bytes:
    return batch[:4][::-1] + batch[4:]


def _one_id(arena: Arena) -> bytes:
    one, other = arena.base(), arena.base()
    return framed([write(one), write(other, {"members": put(jti=one.members["jti"])})])


def _mixed(arena: Arena) -> bytes:
    return arena.batch() + arena.batch(org=NL)

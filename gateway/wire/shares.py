"""Secret sharing (Shamir 1979): a 32-byte seed in N shares, any K of which give it back and fewer say nothing.

Arithmetic is modulo the prime 2^521 - 1. A share in writing is one line of text with a check of its own, so that a
wrong letter is seen before two shares are put together::

    ecluse-share/1 2-of-3 1 <name of the set, 16 hex digits> <66 bytes, base64url> <check, 8 hex digits>
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Final

from gateway.errors import RequestInvalid
from gateway.wire.strict import b64url, b64url_decode

PRIME: Final = 2**521 - 1
SEED_BYTES: Final = 32
MAX_SHARES: Final = 9

_VALUE_BYTES = 66
_SHARE = re.compile(
    r"ecluse-share/1 ([2-9])-of-([2-9]) ([1-9]) ([0-9a-f]{16}) ([A-Za-z0-9_-]{88}) ([0-9a-f]{8})"
)


def split(seed: bytes, threshold: int, count: int, chance: Callable[[int], bytes]) -> tuple[str, ...]:
    """``count`` shares, any ``threshold`` of which give the seed. ``chance(n)`` is n fresh random bytes.

    Raises `RequestInvalid` unless 2 <= threshold <= count <= 9 and the seed has 32 bytes.
    """
    if not 2 <= threshold <= count <= MAX_SHARES or len(seed) != SEED_BYTES:
        raise RequestInvalid("2 to 9 shares of a seed of 32 bytes, of which at least 2 are needed")
    # 128 bits more than the prime has: what is left of the bias is beyond measure.
    drawn = (int.from_bytes(chance(_VALUE_BYTES + 16), "big") % PRIME for _ in range(threshold - 1))
    coefficients = [int.from_bytes(seed, "big"), *drawn]
    name = chance(8).hex()
    return tuple(
        _write(threshold, count, at, name, sum(c * at**power for power, c in enumerate(coefficients)) % PRIME)
        for at in range(1, count + 1)
    )


def join(shares: Sequence[str]) -> bytes:
    """The seed of exactly as many shares of one set as are needed. Raises `RequestInvalid`, never quoting a share.

    Shares that were changed together with their check give another seed: whoever holds the public key sees it.
    """
    points, kinds = {}, set()
    for text in shares:
        threshold, count, at, name, value = _read(text)
        kinds.add((threshold, count, name))
        points[at] = value
    if len(kinds) != 1 or len(points) != len(shares):
        raise RequestInvalid("the shares are not different shares of one set", diagnostic={"field": "share"})
    ((threshold, _, _),) = kinds
    if len(points) != threshold:
        raise RequestInvalid(f"exactly {threshold} shares are needed", diagnostic={"field": "share"})
    seed = 0
    for at, value in points.items():
        for other in points.keys() - {at}:
            value = value * other * pow(other - at, -1, PRIME) % PRIME
        seed = (seed + value) % PRIME
    if seed >> (8 * SEED_BYTES):
        raise RequestInvalid("the shares do not belong together", diagnostic={"field": "share"})
    return seed.to_bytes(SEED_BYTES, "big")


def _write(threshold: int, count: int, at: int, name: str, value: int) -> str:
    body = f"ecluse-share/1 {threshold}-of-{count} {at} {name} {b64url(value.to_bytes(_VALUE_BYTES, 'big'))}"
    return f"{body} {_check(body)}"


def _read(text: str) -> tuple[int, int, int, str, int]:
    match = _SHARE.fullmatch(text.strip())
    if not match or _check(text.strip().rpartition(" ")[0]) != match[6]:
        raise RequestInvalid("a share is not written as it was given out", diagnostic={"field": "share"})
    value = int.from_bytes(b64url_decode(match[5]), "big")
    threshold, count, at = int(match[1]), int(match[2]), int(match[3])
    if value >= PRIME or not threshold <= count or at > count:
        raise RequestInvalid("a share is not one of its set", diagnostic={"field": "share"})
    return threshold, count, at, match[4], value


def _check(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:8]

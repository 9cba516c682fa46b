"""The keys that wrap data keys: one generation after another, so that no backup opens for ever.

What was erased is gone from the store; a backup from before still holds it, wrapped. Once the generation that wrapped
it is destroyed here, that backup opens nothing, not even with this signer.

A wrapped key is the number of its generation, four bytes, and RFC 3394 under that generation's key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from gateway.errors import ConfigInvalid, LocalFault, RequestInvalid
from gateway.model.time import Instant

#: AES-256: one fresh key for each stored body, and for each generation.
KEY_BYTES: Final = 32

#: Bytes of a generation's number before the wrapped key.
NUMBER_BYTES: Final = 4

#: A generation wraps new keys for so long: between an erasure and the end of its generation lies at most this.
TURN: Final = timedelta(days=7)

#: A generation under which nothing lives any more opens backups for so long, and is destroyed then: a month, and some
#: days to notice that the backup is needed. Backups of the signer's own keys must be destroyed as early.
BACKUPS_OPEN: Final = timedelta(days=35)


class Generation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key by its number. ``left_at``: since when, by the gateway's word, no data key in the store is under it."""

    number: int
    made_at: Instant
    left_at: Instant | None = None


class Keeping(msgspec.Struct, frozen=True):
    """Where keys and their list are kept; every function returns when that is durable, and may be repeated."""

    add: Callable[[int, bytes], None]
    destroy: Callable[[int], None]
    write: Callable[[bytes], None]  # the list


class Keks:
    """Wraps under the newest generation, opens under every one that is left. The clock is the signer's own."""

    def __init__(self, listed: bytes, keys: Mapping[int, bytes], keeping: Keeping) -> None:
        try:
            self._list = msgspec.json.decode(listed, type=tuple[Generation, ...])
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise ConfigInvalid("the signer's list of wrapping keys is damaged") from None
        self._keys, self._keeping = dict(keys), keeping
        # One whose key is gone though it is listed was being destroyed when this process ended.
        needed = {one.number for one in self._list if one.left_at is None}
        if not self._list or not needed <= self._keys.keys():
            raise ConfigInvalid("a wrapping key of the signer is missing")

    @property
    def current(self) -> int:
        """The generation that wraps new keys."""
        return self._list[-1].number

    def wrap(self, key: bytes) -> bytes:
        """The key under the newest generation."""
        return self.current.to_bytes(NUMBER_BYTES, "big") + aes_key_wrap(self._keys[self.current], key)

    def unwrap(self, wrapped: bytes) -> bytes:
        """The key, or `LocalFault`: another home's, damaged, or of a generation that was destroyed."""
        kek = self._keys.get(int.from_bytes(wrapped[:NUMBER_BYTES], "big"))
        if kek is None:
            raise LocalFault("a data key is under a wrapping key that this signer does not hold, or no more")
        try:
            return aes_key_unwrap(kek, wrapped[NUMBER_BYTES:])
        except (InvalidUnwrap, ValueError):
            raise LocalFault("a data key does not unwrap: it belongs to another home or is damaged") from None

    def turn(self, now: datetime, fresh: Callable[[int], bytes]) -> int:
        """Do what is due, and return the newest generation: (1) destroy what opened backups long enough, the key before
        its place in the list; (2) after `TURN`, a fresh key, durable before anything is wrapped under it."""
        # (1)
        for one in self._list:
            if one.left_at is not None and now - one.left_at >= BACKUPS_OPEN:
                self._keeping.destroy(one.number)
                self._keys.pop(one.number, None)
                self._write(tuple(other for other in self._list if other is not one))
        # (2)
        if now - self._list[-1].made_at >= TURN:
            number, key = self.current + 1, fresh(KEY_BYTES)
            self._keeping.add(number, key)
            self._keys[number] = key
            self._write((*self._list, Generation(number, now)))
        return self.current

    def leave(self, number: int, now: datetime) -> None:
        """The gateway's word that nothing in its store is under a generation older than this one, the newest. What was
        left stays left. Raises `RequestInvalid` for another number."""
        if number != self.current:
            raise RequestInvalid("a newer wrapping key is in use")
        left = tuple(
            msgspec.structs.replace(one, left_at=now) if one.number < number and one.left_at is None else one
            for one in self._list
        )
        if left != self._list:
            self._write(left)

    def _write(self, after: tuple[Generation, ...]) -> None:
        self._keeping.write(listed(after))
        self._list = after


def listed(generations: tuple[Generation, ...]) -> bytes:
    """The list as it is kept; it holds no key."""
    return msgspec.json.encode(generations)


def generation_of(wrapped: bytes) -> int:
    """The generation that a wrapped key says it is under."""
    return int.from_bytes(wrapped[:NUMBER_BYTES], "big")

"""What each partner may make us read: an allowance of bytes and messages that grows back, and a share of our memory.

Asked before a body is read, so a flood costs a partner its own allowance and nobody else anything. In memory: a restart
gives everybody a full window, which is as much as a partner that had kept still would have.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.errors import OverQuota
from gateway.service.config import Inbound

#: Seconds a partner waits that has too many bodies on their way at one time: one of them is done by then.
BUSY_S = 1.0


@dataclass
class _Bucket:
    """A token bucket. What is taken may exceed what is left, once: the next one waits until the debt is paid."""

    capacity: float
    window_s: float
    left: float
    at: float  # seconds, of the clock that fills it

    def wait(self, wanted: float, now: float) -> float:
        """Seconds until ``wanted`` is there; 0 when it is."""
        self.left = min(self.capacity, self.left + (now - self.at) * self.capacity / self.window_s)
        self.at = now
        return max(0.0, (wanted - self.left) * self.window_s / self.capacity)


class Quotas:
    """Allowances by organisation: only those whose handshake held have one, so there are as many as partners."""

    def __init__(self, limits: Inbound, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._clock = limits, clock
        self._bytes: dict[str, _Bucket] = {}
        self._messages: dict[str, _Bucket] = {}
        self._reading: Counter[str] = Counter()  # bytes announced by bodies on their way

    def question(self, org: str) -> None:
        """A request without a body: it costs as much as one message. Raises `OverQuota`."""
        self._spend(org, 0, messages=1)

    @contextmanager
    def body(self, org: str, length: int) -> Iterator[None]:
        """Hold memory for one body while it is read and handled. Raises `OverQuota` before anything is taken.

        1. all bodies on their way, and this partner's, leave room for it   2. the partner's allowance covers its
        bytes and one message; the others are charged by `messages` when they are counted
        """
        # (1)
        most, share = self._limits.reading_bytes, self._limits.reading_bytes_per_partner
        if self._reading.total() + length > most or self._reading[org] + length > share:
            raise OverQuota("too many bodies are on their way", retry_after=BUSY_S)
        # (2)
        self._spend(org, length, messages=1)
        self._reading[org] += length
        try:
            yield
        finally:
            self._reading[org] -= length

    def messages(self, org: str, count: int) -> None:
        """Charge the messages of a batch beyond the first, which its body paid for. The batch is not refused."""
        self._messages[org].left -= count - 1

    def _spend(self, org: str, length: int, *, messages: int) -> None:
        now = self._clock()
        in_bytes = self._bucket(self._bytes, org, self._limits.window_bytes, now)
        in_messages = self._bucket(self._messages, org, self._limits.window_messages, now)
        wait = max(in_bytes.wait(length, now), in_messages.wait(messages, now))
        if wait > 0:
            raise OverQuota("the allowance of this window is used up", retry_after=math.ceil(wait))
        in_bytes.left -= length
        in_messages.left -= messages

    def _bucket(self, buckets: dict[str, _Bucket], org: str, capacity: int, now: float) -> _Bucket:
        if org not in buckets:
            buckets[org] = _Bucket(capacity, self._limits.window_s, capacity, now)
        return buckets[org]

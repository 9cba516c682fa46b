"""The machine's clock and the operating system's randomness."""

from __future__ import annotations

import secrets
import uuid
from datetime import UTC, datetime


class SystemClock:
    """`Clock` from the machine. Parts of a second are cut, so an instant never lies in the future."""

    def now(self) -> datetime:
        return datetime.now(UTC).replace(microsecond=0)


class SystemIds:
    """`Ids` from the operating system's generator."""

    def uuid(self) -> str:
        return str(uuid.uuid4())

    def blind(self) -> bytes:
        return secrets.token_bytes(32)

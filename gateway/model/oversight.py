"""The oversight key: to it, what was withheld from a partner is sealed in an evidence pack. Its private half is split
among oversight bodies, and no service, officer or gateway holds it whole."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Holder = Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*\Z")]


class OversightKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The public half, as two persons put it in force. ``holders`` names who was given a share, in order."""

    v: Literal[1]
    suite: Literal["hpke-mlkem768-x25519-a256gcm"]
    public: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1622}\Z")]  # 1216 bytes, base64url
    threshold: Annotated[int, msgspec.Meta(ge=2, le=9)]
    holders: Annotated[tuple[Holder, ...], msgspec.Meta(min_length=2, max_length=9)]

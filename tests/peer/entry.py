"""Section 3: key records and the directory entry of one organisation, as the other one pins it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.peer.container import HPKE, JWE
from tests.peer.jose import ML_DSA_PUBLIC, p256_point
from tests.peer.shape import Shape, anything, boolean, closed, listed, one_of, text, whole
from tests.peer.spelling import (
    INSTANT,
    KEY_ID,
    ORGANISATION,
    THUMBPRINT,
    Misspelt,
    b64url_bytes,
    parse_canonical,
    seconds_of,
)

RECIPIENT_KINDS = (
    "police",
    "judicial",
    "intl-police",
    "intelligence",
    "fusion",
    "crisis",
    "private",
    "other",
)

#: What a peer of this protocol proves.
ASSURANCE = {
    "end_to_end_encrypted": True,
    "ordered": True,
    "origin_signed": True,
    "recall_ack": True,
    "receipt": "signed",
}

#: Which algorithm goes with which use.
USES = {
    ("tls-server", "ES256"),
    ("tls-client", "ES256"),
    ("message", "ES256"),
    ("message", "ML-DSA-65"),
    ("receipt", "ES256"),
    ("encryption", HPKE),
    ("encryption", JWE),
    ("log", "Ed25519"),
    ("witness", "Ed25519"),
    ("witness", "ML-DSA-44"),
    ("agreement", "ES256"),
}

assurance: Shape = closed(
    {},
    {
        **dict.fromkeys(("origin_signed", "end_to_end_encrypted", "ordered", "recall_ack"), boolean),
        "receipt": one_of("signed", "fetched", "none"),
        "style": one_of("push", "pull"),
    },
)

_KEY = closed(
    {"kid": text(KEY_ID), "use": anything, "alg": anything, "public": anything},
    {
        "typ": listed(anything),
        "certificate": anything,
        "x5t": text(THUMBPRINT),
        "not_before": text(INSTANT),
        "not_after": text(INSTANT),
        "revoked": boolean,
    },
)

_ENTRY = closed(
    {
        "org": text(ORGANISATION),
        "nation": text("[A-Z]{3}"),
        "name": anything,
        "recipient_kind": one_of(*RECIPIENT_KINDS),
        "keys": listed(_KEY, 1),
        "endpoint": text(r"https://[^/\s]+"),
        "tls_name": anything,
        "formats": listed(anything),
        "languages": listed(text("[a-z]{2}")),
        "assurance": assurance,
    },
    {"version": whole(1), "stopped": boolean},
)


@dataclass(frozen=True)
class Key:
    """One key record."""

    kid: str
    use: str
    alg: str
    public: bytes
    typ: tuple[str, ...] = ()
    x5t: str = ""
    not_before: int | None = None
    not_after: int | None = None
    revoked: bool = False

    def counts(self, now: float) -> bool:
        """Not revoked, and within its validity."""
        begun = self.not_before is None or self.not_before <= now
        return begun and not self.revoked and (self.not_after is None or now < self.not_after)


@dataclass(frozen=True)
class Entry:
    """Who the other end is: nothing it sends ever adds to this."""

    org: str
    nation: str
    recipient_kind: str
    endpoint: str
    tls_name: str
    keys: tuple[Key, ...]
    stopped: bool

    def valid(self, use: str, alg: str, now: float) -> Iterator[Key]:
        return (key for key in self.keys if (key.use, key.alg) == (use, alg) and key.counts(now))

    def key(self, use: str, alg: str, kid: str, now: float) -> Key | None:
        return next((key for key in self.valid(use, alg, now) if key.kid == kid), None)


def read_entry(raw: bytes) -> Entry:
    """An entry whose digest people compared; raises `Misspelt`."""
    return entry_of(parse_canonical(raw))


def entry_of(given: Any) -> Entry:
    tree = _ENTRY(given)
    return Entry(
        tree["org"],
        tree["nation"],
        tree["recipient_kind"],
        tree["endpoint"],
        tree["tls_name"],
        tuple(_key(key) for key in tree["keys"]),
        tree.get("stopped", False),
    )


def _key(tree: dict[str, Any]) -> Key:
    if (tree["use"], tree["alg"]) not in USES:
        raise Misspelt
    public = b64url_bytes(tree["public"])
    if tree["alg"] in ("ES256", JWE) and not tree["use"].startswith("tls-"):
        p256_point(public)
    length = {"ML-DSA-65": ML_DSA_PUBLIC, HPKE: 1216, "Ed25519": 32}.get(tree["alg"])
    if length is not None and len(public) != length:
        raise Misspelt
    if tree["use"] == "message" and "x5t" not in tree:
        raise Misspelt
    return Key(
        tree["kid"],
        tree["use"],
        tree["alg"],
        public,
        tuple(tree.get("typ", ())),
        tree.get("x5t", ""),
        seconds_of(tree["not_before"]) if "not_before" in tree else None,
        seconds_of(tree["not_after"]) if "not_after" in tree else None,
        tree.get("revoked", False),
    )

"""Section 12: the signed answer that says of each message what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from Crypto.PublicKey import ECC

from tests.peer import jose
from tests.peer.checkpoint import NoHead, read_head
from tests.peer.entry import Entry
from tests.peer.shape import closed, listed, one_of, text, whole
from tests.peer.spelling import (
    DIGEST,
    INSTANT,
    ORGANISATION,
    UUID4,
    Misspelt,
    Refused,
    canonical,
    parse_canonical,
    seconds_of,
)

TYP = "ecluse-receipt+jws"

LONGEST_STATEMENT = 65536  # bytes
SKEW = 300  # seconds

MESSAGE_CODES = (
    "malformed",
    "schema-violation",
    "signature-invalid",
    "wrong-audience",
    "replayed",
    "out-of-order",
    "digest-conflict",
    "outside-agreement",
    "mis-sent",
)

_ITEM = closed(
    {
        "id": text(UUID4),
        "payload_sha256": text(DIGEST),
        "outcome": one_of("accepted", "refused", "not-processed"),
    },
    {"code": one_of(*MESSAGE_CODES), "expected": whole(1)},
)

_STATEMENT = closed(
    {
        "v": one_of(1),
        "id": text(UUID4),
        "iss": text(ORGANISATION),
        "aud": text(ORGANISATION),
        "at": text(INSTANT),
        "items": listed(_ITEM, 1, 64),
        "checkpoint": text(r"(?s).{0,8192}"),
    }
)


@dataclass(frozen=True)
class Item:
    """What became of one message."""

    id: str
    payload_sha256: str
    outcome: str
    code: str = ""
    expected: int = 0

    def encode(self) -> dict[str, Any]:
        """Members that are empty are left out."""
        return {name: value for name, value in vars(self).items() if value}


@dataclass(frozen=True)
class Receipt:
    """A receipt that was verified."""

    id: str
    items: tuple[Item, ...]
    checkpoint: str
    statement: bytes


def sign_receipt(statement: Mapping[str, Any], kid: str, key: ECC.EccKey) -> str:
    return jose.sign(_header(kid), canonical(statement), key, detached=False)


def read_receipt(
    raw: bytes, ours: str, theirs: Entry, sent: Sequence[tuple[str, str]], now: float
) -> Receipt:
    """What a sender verifies before anything counts. Raises `Refused`.

    ``sent`` is each message's id and digest.
    """
    try:
        token = raw.decode("ascii")
        header = jose.read_header(token, detached=False)
        statement = jose.segments(token, detached=False)[1]
    except (Misspelt, UnicodeDecodeError):
        raise Refused("malformed") from None
    _verify(token, header, theirs, now)
    try:
        if len(statement) > LONGEST_STATEMENT:
            raise Misspelt
        tree = _STATEMENT(parse_canonical(statement))
        items = tuple(Item(**item) for item in tree["items"])
        if seconds_of(tree["at"]) > now + SKEW or not _items_hold(items):
            raise Misspelt
    except Misspelt:
        raise Refused("malformed") from None
    if (tree["iss"], tree["aud"]) != (theirs.org, ours):
        raise Refused("wrong-audience")
    digests = {item.id: item.payload_sha256 for item in items}
    if any(message not in digests for message, _ in sent):
        raise Refused("malformed")
    if any(digests[message] != digest for message, digest in sent):
        raise Refused("digest-conflict")
    if tree["checkpoint"]:
        try:
            read_head(tree["checkpoint"], theirs, ours, now)
        except NoHead:
            raise Refused("signature-invalid") from None
    return Receipt(tree["id"], items, tree["checkpoint"], statement)


def _verify(token: str, header: dict[str, Any], theirs: Entry, now: float) -> None:
    kid = header.get("kid")
    key = theirs.key("receipt", "ES256", kid, now) if isinstance(kid, str) else None
    try:
        if key is None or TYP not in key.typ or list(header.items()) != list(_header(key.kid).items()):
            raise jose.NotSigned
        jose.verify_es256(token, key.public)
    except jose.NotSigned:
        raise Refused("signature-invalid") from None


def _items_hold(items: Sequence[Item]) -> bool:
    once = len({item.id for item in items}) == len(items)
    return once and all(
        (item.outcome == "refused") == bool(item.code)
        and (item.code == "out-of-order") == bool(item.expected)
        for item in items
    )


def _header(kid: str) -> dict[str, Any]:
    return {"alg": "ES256", "kid": kid, "typ": TYP}

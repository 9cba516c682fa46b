"""The archive of time-stamps: what a stamp is over, and what a chain of them proves later.

Each stamp is over one document: the digests of the newest signed heads of all our logs, and of the stamp before it. So
one request anchors every log, a head tells nothing of the others, and every stamp renews all earlier ones: those hold
as long as each was followed by the next before a certificate under it ended (as RFC 4998 §5.2 renews).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certs.profiles import UNREADABLE, load_certificate
from gateway.audit.checkpoint import parse
from gateway.errors import (
    AuditBroken,
    CertificateProfileViolation,
    ConfigInvalid,
    MalformedMessage,
    SignatureInvalid,
)
from gateway.flow.change import canonical
from gateway.model.rows import StampedHeadRow, StampRow
from gateway.ports import ReadTx
from gateway.service.home import Home
from gateway.service.timestamp import SKEW, Stamp, verify_archived


class Before(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """SHA-512 of the three files of the stamp before, hex: stronger than what any of them rests on."""

    chain: str
    document: str
    response: str


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is stamped, as RFC 8785 canonical JSON. Nobody guesses a head from its digest: a root is in it."""

    heads: tuple[str, ...]  # SHA-256 of each note as our signer signed it, hex, sorted
    org: str
    before: Before | None
    use: Literal["ecluse/stamp/1"] = "ecluse/stamp/1"


class Kept(msgspec.Struct, frozen=True):
    """A stamp as it is archived: exactly the bytes of an export's files. Nothing in it is verified."""

    number: int
    document: bytes
    response: bytes
    chain: bytes
    notes: tuple[bytes, ...]  # the heads that it was the first to cover, as far as they are shown

    def before(self) -> Before:
        """What the next stamp says of this one."""
        return Before(
            *(hashlib.sha512(raw).hexdigest() for raw in (self.chain, self.document, self.response))
        )


#: ``holds``: renewed in time, or not due. ``lapsed``: a certificate under it ended before the next stamp, so that a
#: forger with that key may have made it since. ``unknown``: nobody named its authority as trusted. ``broken``: it is
#: not what it was.
Standing = Literal["holds", "lapsed", "unknown", "broken"]


class Judged(msgspec.Struct, frozen=True):
    """What a stamp proves, and ``reason`` why not."""

    number: int
    standing: Standing
    at: datetime | None = None
    by: str = ""
    until: datetime | None = None
    reason: str = ""


def encode_document(org: str, notes: Iterable[bytes], before: Kept | None) -> bytes:
    """The bytes to be stamped."""
    heads = tuple(sorted(hashlib.sha256(note).hexdigest() for note in notes))
    return canonical(Document(heads, org, before.before() if before else None))


def imprint(document: bytes) -> bytes:
    """SHA-512 of it: what the authority is told."""
    return hashlib.sha512(document).digest()


def pem(chain: Sequence[x509.Certificate]) -> bytes:
    """A chain as it is archived."""
    return b"".join(one.public_bytes(Encoding.PEM) for one in chain)


def read_authorities(raw: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates of a PEM file of trusted authorities. Raises `ConfigInvalid`."""
    try:
        return tuple(x509.load_pem_x509_certificates(raw))
    except UNREADABLE:
        raise ConfigInvalid("a file of time-stamp authorities holds their certificates, in PEM") from None


def home_authorities(home: Home) -> tuple[x509.Certificate, ...]:
    """Those whose stamps this home believes; empty when it names none. Raises `ConfigInvalid`."""
    path = home.timestamp_authorities
    return read_authorities(path.read_bytes()) if path.is_file() else ()


def kept(tx: ReadTx, *, log: str = "") -> list[Kept]:
    """Every stamp of a store in its order, with the heads of all logs or of one. Raises `AuditBroken`."""
    try:
        notes: dict[int, list[bytes]] = {}
        for head in tx.select(StampedHeadRow, {"origin": log} if log else None):
            notes.setdefault(head.stamp, []).append(head.note)
        return [as_kept(row, notes.get(row.number, ())) for row in tx.select(StampRow, order="number")]
    except Exception:  # a column that was overwritten fails in its own way
        raise AuditBroken("the stored time-stamps cannot be read", diagnostic={"rule": "stamps"}) from None


def as_kept(row: StampRow, notes: Iterable[bytes] = ()) -> Kept:
    """A stored stamp as it is exported."""
    return Kept(row.number, row.document, row.response, row.chain, tuple(notes))


def judge(
    stamps: Sequence[Kept], org: str, trusted: Sequence[x509.Certificate], now: datetime
) -> list[Judged]:
    """What each stamp proves now, from the newest back. ``org`` is empty where nobody says whose logs these are.

    (1) it is over its document, by an authority that is trusted, and its certificates were valid at its time; (2) the
    document is one of this organisation, names the stamp before by its digests, and every head that is shown; (3) it is
    not older than the one before; (4) until the next stamp that holds, or until now, no certificate under it ended.
    """
    found: list[Judged] = []
    limit = now
    for index in reversed(range(len(stamps))):
        one, before = stamps[index], stamps[index - 1] if index else None
        judged, stamp = _judge(one, before, org, trusted)
        # (3), (4)
        if stamp is not None and stamp.at > limit + SKEW:
            judged = msgspec.structs.replace(judged, standing="broken", reason="time")
        elif stamp is not None and stamp.until < limit:
            judged = msgspec.structs.replace(judged, standing="lapsed", reason="not renewed in time")
        elif stamp is not None:
            limit = stamp.at
        found.append(judged)
    return found[::-1]


def _judge(
    one: Kept, before: Kept | None, org: str, trusted: Sequence[x509.Certificate]
) -> tuple[Judged, Stamp | None]:
    # (1)
    try:
        stamp = verify_archived(one.response, imprint(one.document), trusted)
    except (SignatureInvalid, MalformedMessage) as error:
        standing = _otherwise(one)
        return Judged(one.number, standing, reason=str(error.diagnostic.get("rule", error.code))), None
    said = Judged(one.number, "holds", stamp.at, stamp.by, stamp.until)
    # (2)
    try:
        document = msgspec.json.decode(one.document, type=Document, strict=True)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return msgspec.structs.replace(said, standing="broken", reason="document"), None
    heads = {hashlib.sha256(note).hexdigest() for note in one.notes}
    if canonical(document) != one.document or org not in ("", document.org) or not heads <= {*document.heads}:
        return msgspec.structs.replace(said, standing="broken", reason="document"), None
    if document.before != (before.before() if before else None):
        return msgspec.structs.replace(said, standing="broken", reason="before"), None
    return said, stamp


def _otherwise(one: Kept) -> Standing:
    """Whether a stamp that no trusted authority made holds for the one that its archived chain ends in."""
    try:
        last = load_certificate(one.chain[max(0, one.chain.rfind(b"-----BEGIN")) :])
        verify_archived(one.response, imprint(one.document), [last])
    except (SignatureInvalid, MalformedMessage, CertificateProfileViolation):
        return "broken"
    return "unknown"


class Anchor(msgspec.Struct, frozen=True):
    """The largest head of a log that is under a stamp which holds."""

    size: int
    at: datetime
    by: str
    stamp: int


def anchored(stamps: Sequence[Kept], judged: Sequence[Judged]) -> tuple[list[bytes], dict[str, Anchor]]:
    """The heads under stamps that hold, and per log the largest of them with the earliest stamp it is under. A head
    that nobody can read is handed on: it fails whoever verifies the logs with it."""
    notes: list[bytes] = []
    largest: dict[str, Anchor] = {}
    said: Mapping[int, Judged] = {one.number: one for one in judged if one.standing == "holds"}
    for one in stamps:
        word = said.get(one.number)
        if word is None or word.at is None:
            continue
        for note in one.notes:
            notes.append(note)
            try:
                head = parse(note).checkpoint
            except AuditBroken:
                continue
            if head.origin not in largest or largest[head.origin].size < head.size:
                largest[head.origin] = Anchor(head.size, word.at, word.by, one.number)
    return notes, largest

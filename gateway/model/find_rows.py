"""What the blind index of persons keeps: who is seen where, under HMACs that only the signer's key makes."""

from __future__ import annotations

import hashlib

from gateway.model.rows import Row
from gateway.model.time import Instant

#: Bytes of a term: an HMAC-SHA-256 cut to 128 bits. Two keys of one home meet by chance once in 2^64.
TERM_BYTES = 16


class SightingRow(Row, frozen=True):
    """Somebody is mentioned in the bodies of a key. Without terms only ``subject`` tells who."""

    id: int  # `sighting_id`
    what: str  # a word of `gateway.service.sightings.What`
    place: str  # id of the record version, release, message, oral record or ground
    key: str  # data key of the bodies: erased with it
    subject: str  # blind index of the record's entity id; empty for somebody without a record here
    at: Instant
    position: int  # of the first entry in the master log that the act can have
    born: bool  # some term is of a birth date
    posted: int  # how many of the terms, from the first on, are looked up by
    terms: bytes  # `TERM_BYTES` each


class TermRow(Row, frozen=True):
    """A term, and a sighting it finds."""

    term: bytes
    sighting: int


def sighting_id(key: str, number: int) -> int:
    """The id of somebody in the bodies of a data key, by place: 63 bits that follow from the key's random name, so
    that how many are mentioned takes nothing from the random ids that others may see."""
    return int.from_bytes(hashlib.sha256(f"{key}/{number}".encode()).digest()[:8], "big") >> 1

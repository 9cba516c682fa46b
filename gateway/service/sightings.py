"""Who is mentioned where: the rows of the blind index, written in the unit of work that stores the body.

Terms are HMACs that the signer makes before the unit begins. What is kept of a body about a record inherits the
terms of that record, so it is found by name after the record was purged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, Literal

import msgspec

from gateway.flow.finding import VERSION, Person, posted
from gateway.model.find_rows import TERM_BYTES, SightingRow, TermRow, sighting_id
from gateway.model.rows import MetaRow
from gateway.ports import ReadTx, Signer, Tx
from gateway.service.context import Gateway

#: Where somebody can be mentioned. A ``search`` is a reviewer's own question, kept to be erased with the others.
What = Literal["record", "release", "message", "oral", "ground", "entry", "search"]

#: Terms asked of the signer at once, below the most it answers.
CHUNK: Final = 4000

#: What shows by its term that the index was begun under another key than the signer's, or with other keys of names.
CHECK: Final = f"check\n{VERSION}"
_CHECK_ROW: Final = "find.check"


class Blinded(msgspec.Struct, frozen=True):
    """A `Person` as it may be stored."""

    terms: bytes
    posted: int
    born: bool
    subject: str


class Sighted(msgspec.Struct, frozen=True):
    """Everybody that one body mentions, blinded, and what the signer's key makes of `CHECK`."""

    people: tuple[Blinded, ...]
    check: bytes


async def terms_of(signer: Signer, keys: Sequence[str]) -> list[bytes]:
    """The terms of any number of keys."""
    found: list[bytes] = []
    for start in range(0, len(keys), CHUNK):
        found += await signer.terms(keys[start : start + CHUNK])
    return found


async def blinded(signer: Signer, bodies: Sequence[Sequence[Person]]) -> list[Sighted]:
    """The people of several bodies, blinded; equal keys are asked for once."""
    keys = sorted({key for people in bodies for one in people for key in one.keys})
    ids = sorted({one.entity for people in bodies for one in people if one.entity})
    if not keys and not ids:
        return [Sighted((), b"") for _ in bodies]
    check, *made = await terms_of(signer, [CHECK, *keys])
    terms = dict(zip(keys, made, strict=True))
    subjects = dict(zip(ids, await signer.index([one.encode() for one in ids]) if ids else (), strict=True))

    def blind(one: Person) -> Blinded:
        found = sorted(key for key in one.keys if posted(key))
        told = sorted(one.keys.difference(found))
        raw = b"".join(terms[key] for key in (*found, *told))
        return Blinded(raw, len(found), one.born, subjects.get(one.entity, ""))

    return [Sighted(tuple(map(blind, people)), check) for people in bodies]


def note(gateway: Gateway, tx: Tx, now: datetime, what: What, place: str, key: str, sighted: Sighted) -> None:
    """Everybody that a body under ``key`` mentions is found there, from this commit on."""
    if sighted.people and tx.get(MetaRow, _CHECK_ROW) is None:
        tx.put(MetaRow(_CHECK_ROW, sighted.check.hex()))
    position = gateway.ledger.size(tx, gateway.ledger.master)
    for number, one in enumerate(sighted.people):
        row = SightingRow(
            sighting_id(key, number),
            what,
            place,
            key,
            one.subject,
            now,
            position,
            one.born,
            one.posted,
            one.terms,
        )
        _insert(tx, row)


def inherit(
    gateway: Gateway, tx: Tx, now: datetime, what: What, place: str, key: str, record_key: str
) -> None:
    """Whoever is found in a record version, by its data key, is found in what is kept of it too."""
    _copy(gateway, tx, now, what, place, key, tx.select(SightingRow, {"key": record_key, "what": "record"}))


def inherit_subject(
    gateway: Gateway, tx: Tx, now: datetime, what: What, place: str, key: str, subject: str
) -> None:
    """The same where only whom it is about is known: by the terms of the newest body about this subject."""
    found = [row for row in tx.select(SightingRow, {"subject": subject}) if row.terms]
    newest = max(found, key=lambda row: (row.at, row.id), default=None)
    bare = SightingRow(0, what, place, key, subject, now, 0, False, 0, b"")
    _copy(gateway, tx, now, what, place, key, [newest or bare])


def _copy(
    gateway: Gateway, tx: Tx, now: datetime, what: What, place: str, key: str, rows: Iterable[SightingRow]
) -> None:
    position = gateway.ledger.size(tx, gateway.ledger.master)
    for number, row in enumerate(rows):
        _insert(
            tx,
            msgspec.structs.replace(
                row, id=sighting_id(key, number), what=what, place=place, key=key, at=now, position=position
            ),
        )


def forget(tx: Tx, keys: Iterable[str], why: Literal["purged", "erased"]) -> int:
    """Drop what the index holds of the bodies under these data keys, and count it; returns how many sightings.

    Part of the unit that destroys the keys. Repeatable: what is gone already is not counted again.
    """
    gone = 0
    for key in keys:
        for row in tx.select(SightingRow, {"key": key}):
            terms = tuple(split(row)[: row.posted])
            if terms:
                tx.delete(TermRow, {"term": terms, "sighting": row.id})
            gone += 1
        tx.delete(SightingRow, {"key": key})
    if gone:
        tx.put(MetaRow(f"find.{why}", str(forgotten(tx, why) + gone)))
    return gone


def forgotten(tx: ReadTx, why: Literal["purged", "erased"]) -> int:
    """How many sightings were dropped so far."""
    row = tx.get(MetaRow, f"find.{why}")
    return int(row.value) if row is not None else 0


def other_key(tx: ReadTx, check: bytes) -> bool:
    """Whether the index was begun under another key, or with other keys of names: not all in it can be found."""
    row = tx.get(MetaRow, _CHECK_ROW)
    return row is not None and row.value != check.hex()


def split(row: SightingRow) -> list[bytes]:
    """The terms of a sighting, those it is looked up by first."""
    return [row.terms[start : start + TERM_BYTES] for start in range(0, len(row.terms), TERM_BYTES)]


def _insert(tx: Tx, row: SightingRow) -> None:
    tx.insert(row, *(TermRow(term, row.id) for term in split(row)[: row.posted]))

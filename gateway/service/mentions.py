"""Persons a record mentions by their ids: what our own records about them keep back must not stand in its words.

Whom a stored body mentions is told by the subject index of its key, as whom it is about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from gateway.model.officer import Officer
from gateway.model.record import CanonicalRecord, fields_of, said_texts
from gateway.model.rows import EmbargoRow, KeyRow, RecordRow, SubjectRow
from gateway.policy.context import Context
from gateway.policy.decide import decide
from gateway.policy.facts.record import person_min_age, record_of_a_person
from gateway.policy.facts.text import holding
from gateway.policy.redact import released
from gateway.policy.texts import Rights, Value, values_of
from gateway.ports import ReadTx
from gateway.service.contents import RecordBody
from gateway.service.context import Gateway
from gateway.service.holdings import one_with
from gateway.service.operation import require_need_to_know
from gateway.service.vault import keys_of

#: Makes the context of a decision about another record toward the same partner, for the same reasons.
ContextOf = Callable[[CanonicalRecord, str], Context]


def mentions(record: CanonicalRecord) -> tuple[str, ...]:
    """Ids of the records here that a record says it mentions; never its own."""
    found = record.content.get("mentions")
    ids = found if isinstance(found, list) else []
    return tuple(dict.fromkeys(name for name in ids if name != record.entity_id))


def mentioned(tx: ReadTx, key: str, subject: str) -> tuple[str, ...]:
    """Everybody the bodies of a key mention beside ``subject``, by their index, in order."""
    return tuple(sorted(row.subject for row in tx.select(SubjectRow, {"key": key}) if row.subject != subject))


def records_of(tx: ReadTx, subjects: Sequence[str]) -> list[RecordRow]:
    """What stands here about these persons, and about whom they are known to be one with."""
    everybody = {one for subject in subjects for one in one_with(tx, subject)}
    return tx.select(RecordRow, {"subject": tuple(sorted(everybody)), "latest": True}) if everybody else []


def versions(tx: ReadTx, subjects: Sequence[str]) -> tuple[str, ...]:
    """The same as one line a record: another answer later, and it is not what was looked at."""
    return tuple(sorted(f"{row.handle} {row.fingerprint}" for row in records_of(tx, subjects)))


def embargoed(tx: ReadTx, subjects: Sequence[str]) -> bool:
    """Whether an embargo on one of these, or on whom they are one with, is in force."""
    everybody = tuple(one for subject in subjects for one in one_with(tx, subject))
    return bool(tx.select(EmbargoRow, {"subject": everybody, "lifted_at": None}, limit=1))


class Told(msgspec.Struct, frozen=True):
    """What our records about persons mentioned keep back, and the youngest age they tell, in completed years: 0 where
    one of a person does not tell it, None where there is none of a person."""

    values: tuple[Value, ...]
    age: int | None


class Mentions:
    """Decides about the records of persons mentioned."""

    def __init__(self, gateway: Gateway) -> None:
        self._g = gateway

    async def unlock(self, row: RecordRow, officer: Officer) -> None:
        """Make what is here about the persons a record mentions readable inside a transaction. Raises `RoleMissing`
        where one of their records is of a kind outside the officer's need to know: the answer would tell of it."""

        def keys(tx: ReadTx) -> list[KeyRow]:
            rows = records_of(tx, mentioned(tx, row.key, row.subject))
            require_need_to_know(officer, *(one.kind for one in rows))
            return keys_of(tx, [one.key for one in rows])

        await self._g.vault.unlock(await self._g.store.read(keys))

    def told(self, tx: ReadTx, subjects: Sequence[str], context_of: ContextOf) -> Told:
        """What these persons' records tell of them: every value that would not leave toward the same partner, for the
        same reasons, with nothing lifted, and the age of the youngest."""
        values: list[Value] = []
        ages: list[int] = []
        for row in records_of(tx, subjects):
            raw = self._g.vault.open(tx, row.body, RecordBody).record
            record = msgspec.json.decode(raw, type=CanonicalRecord)
            ctx = context_of(record, row.subject)
            leaving = frozenset(released(decide(self._g.directory.policy, ctx)))
            kept = (field for field in fields_of(record, ctx.kind) if field.pointer not in leaving)
            values += values_of(kept)
            if (age := person_min_age(ctx)) is not None or record_of_a_person(ctx):
                ages.append(age or 0)  # who may be a child is one
        return Told(tuple(dict.fromkeys(values)), min(ages, default=None))

    def said(self, ctx: Context, told: Told) -> Context:
        """The context with the youngest age, and with the texts of its record that say one of these values: data as
        well as somebody's own words, since whoever writes a record chooses where in it a value stands."""
        texts = [text for field in fields_of(ctx.record, ctx.kind) for text in said_texts(field)]
        saying = holding(texts, told.values, Rights(()))
        return msgspec.structs.replace(ctx, mentioned=frozenset(saying), mentioned_age=told.age)

"""How a leak is planted: one small patch of the product, undone afterwards, and what it needs to know the secret."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.flow.change import canonical, digest
from gateway.flow.outbound import Draft, Prepared
from gateway.model.decision import Decision, Statement
from gateway.model.record import CanonicalRecord
from gateway.policy.context import Context
from gateway.policy.rules import Policy
from gateway.service import releases
from gateway.service.signer import authority

Make = Callable[[Any], Any]


class Plant:
    """The patches of one mutant while it is planted. ``guarded``: the guard stays in its place."""

    def __init__(self, *, guarded: bool) -> None:
        self._undo = ExitStack()
        self.records: dict[str, CanonicalRecord] = {}  # by digest of the payload made of it
        self.lanes: dict[str, int] = {}  # the same as a number, by conversation
        self.guarded = guarded

    def swap(self, owner: Any, name: str, make: Make) -> None:
        """Put ``make(original)`` in the place of one attribute."""
        original = vars(owner)[name]
        setattr(owner, name, make(original))
        self._undo.callback(setattr, owner, name, original)

    def close(self) -> None:
        self._undo.close()

    def secret(self, payload: bytes) -> int:
        """A number that follows from everything in the record behind this payload; 0 when there is none."""
        record = self.records.get(digest(payload))
        return number_of(record) if record is not None else 0


def number_of(record: CanonicalRecord) -> int:
    """A number that changes with any field of the record."""
    return int.from_bytes(hashlib.sha256(canonical(record.content)).digest()[:4], "big")


@dataclass(frozen=True)
class Hidden:
    """What a leak in the renderer may get at: the record in full, and the decision."""

    ctx: Context
    decision: Decision

    @property
    def record(self) -> CanonicalRecord:
        return self.ctx.record

    @property
    def pointers(self) -> list[str]:
        """Pointers of what is withheld."""
        return [outcome.pointer for outcome in self.decision.withheld]

    @property
    def number(self) -> int:
        return number_of(self.record)

    def values(self, member: str) -> list[Any]:
        """Withheld values of one member."""
        found = []
        for pointer in self.pointers:
            parts = pointer.split("/")
            if parts[1] == member:
                value = self.record.content[member]
                found.append(value[int(parts[2])] if len(parts) == 3 else value)
        return found

    @property
    def members(self) -> list[str]:
        """Members of which something is withheld."""
        return list(dict.fromkeys(pointer.split("/")[1] for pointer in self.pointers))


#: Changes the tree of a payload in place, or returns other bytes for it.
InPayload = Callable[[dict[str, Any], Hidden], object]


@dataclass(frozen=True)
class Mutant:
    """A leak, by name and kind; ``plant`` puts it into the product."""

    name: str
    sort: str
    plant: Callable[[Plant], None]
    moods: tuple[str, ...] = ()  # the journeys on which it shows; empty: any
    batch: int = 0  # messages a POST with which it shows; 0: any

    @contextmanager
    def planted(self, *, guarded: bool = False) -> Iterator[Plant]:
        """The product with this leak in it. The guard is taken out as well, unless ``guarded``: whatever it would
        refuse, the harness must find by itself."""
        plant = Plant(guarded=guarded)
        try:
            _remember(plant)
            self.plant(plant)
            if not guarded:
                plant.swap(authority, "guard", lambda _: lambda *_args, **_kwargs: None)
                plant.swap(authority, "guard_protocol", lambda _: lambda *_args, **_kwargs: None)
            yield plant
        finally:
            plant.close()


def _remember(plant: Plant) -> None:
    """Note which record each payload was made of."""

    def make(original: Any) -> Any:
        def remembering(ctx: Context, policy: Policy, draft: Draft, *args: Any, **kwargs: Any) -> Any:
            prepared = original(ctx, policy, draft, *args, **kwargs)
            if isinstance(prepared, Prepared):
                plant.records[digest(prepared.payload)] = ctx.record
                plant.lanes[draft.conversation] = number_of(ctx.record)
            return prepared

        return remembering

    plant.swap(releases, "prepare", make)


def in_payload(change: InPayload) -> Callable[[Plant], None]:
    """A leak in what is rendered: the bytes are other ones, and everybody signs those."""

    def plant(into: Plant) -> None:
        def make(original: Any) -> Any:
            def leaking(ctx: Context, *args: Any, **kwargs: Any) -> Any:
                prepared = original(ctx, *args, **kwargs)
                if not isinstance(prepared, Prepared):
                    return prepared
                tree = msgspec.json.decode(prepared.payload)
                given = change(tree, Hidden(ctx, prepared.decision))
                payload = given if isinstance(given, bytes) else msgspec.json.encode(tree)
                statement = msgspec.json.decode(prepared.statement, type=Statement)
                signed = canonical(msgspec.structs.replace(statement, payload_sha256=digest(payload)))
                into.records[digest(payload)] = ctx.record
                return msgspec.structs.replace(prepared, payload=payload, statement=signed)

            return leaking

        into.swap(releases, "prepare", make)

    return plant

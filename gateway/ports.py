"""The ports: what the house asks of the outside, and what each answer means.

Adapters implement these; limits, time-outs, retries, error wrapping and audit live in the house. Adapters never sign,
decide, redact, log payloads or read configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from gateway.model.message import ExchangeMessage, Rendered
from gateway.model.party import Assurance, KeyRecord, Partner
from gateway.model.record import CanonicalRecord
from gateway.model.rows import Row
from gateway.model.signing import (
    CheckpointRequest,
    CosignRequest,
    DataKey,
    Pseudonym,
    SealBatch,
    SealBatchResult,
    Settlement,
    TrustChange,
)

T = TypeVar("T")
R = TypeVar("R", bound=Row)


class Clock(Protocol):
    """Time as an argument."""

    def now(self) -> datetime:
        """The present instant: aware, UTC, whole seconds."""
        ...


class Ids(Protocol):
    """Randomness for identifiers and blinds; never for keys."""

    def uuid(self) -> str:
        """A fresh UUIDv4 in its canonical lower-case form."""
        ...

    def blind(self) -> bytes:
        """32 fresh random bytes."""
        ...


class ReadTx(Protocol):
    """A consistent view. ``where`` means equality; a tuple value means "one of these"; None means SQL NULL."""

    def get(self, row: type[R], *key: object) -> R | None:
        """The row with this primary key (in field order), or None."""
        ...

    def select(
        self,
        row: type[R],
        where: Mapping[str, object] | None = None,
        *,
        at_least: tuple[str, object] | None = None,
        below: tuple[str, object] | None = None,
        order: str = "",
        descending: bool = False,
        limit: int | None = None,
    ) -> list[R]:
        """Rows that match, ordered by one column (the primary key when none is named)."""
        ...

    def count(
        self,
        row: type[R],
        where: Mapping[str, object] | None = None,
        *,
        at_least: tuple[str, object] | None = None,
        distinct: str = "",
    ) -> int:
        """How many rows match, or how many distinct values of a column they hold."""
        ...


class Tx(ReadTx, Protocol):
    """A unit of work. Everything in it happens, or nothing; its reads see its own writes."""

    def insert(self, *rows: Row) -> None:
        """Add rows. Raises `Conflict` when a primary key exists; the unit then fails alone."""
        ...

    def put(self, *rows: Row) -> None:
        """Add rows or replace those with the same primary key."""
        ...

    def delete(
        self, row: type[R], where: Mapping[str, object], *, below: tuple[str, object] | None = None
    ) -> int:
        """Remove rows that match; returns how many."""
        ...


class ExchangeStore(Protocol):
    """Durable state.

    `write` returns only after the commit is on stable storage (acknowledged means durable). Units that wait together
    share one commit; a unit that raises fails alone and leaves no trace. A commit that fails is never retried: the
    ``fatal`` hook given at construction is called and no waiting unit is answered.
    """

    async def write(self, unit: Callable[[Tx], T]) -> T: ...

    async def read(self, unit: Callable[[ReadTx], T]) -> T: ...

    def settle(self) -> None:
        """See that what was deleted is in none of the store's files any more; may be repeated.

        Raises `StoreUnavailable` while another process reads: repeat it later."""
        ...

    def close(self) -> None: ...


class Signer(Protocol):
    """Everything that needs a signing, opening or wrapping key. Raises `SignerUnavailable` when it does not answer,
    a `LocalFault` when it refuses. Every call may be repeated."""

    async def keys(self) -> tuple[KeyRecord, ...]:
        """Our public keys, for the directory entry partners hold of us."""
        ...

    async def heads(self) -> dict[str, int]:
        """Size of the last signed head of each log origin. A store that is behind one of them was rolled back."""
        ...

    async def data_keys(self, count: int) -> list[DataKey]: ...

    async def unwrap(self, wrapped: Sequence[bytes]) -> list[bytes]: ...

    async def wrapping(self) -> int:
        """The generation of the key that wraps data keys now; the signer turns to a new one, and destroys old ones, by
        its own clock when it is asked here."""
        ...

    async def rewrap(self, wrapped: Sequence[bytes]) -> list[bytes]:
        """The same data keys wrapped under the newest generation."""
        ...

    async def left(self, generation: int) -> None:
        """Say that nothing in the store is under a generation older than this, the newest: older ones are destroyed
        once the backups they open are too old. Raises `RequestInvalid` for another than the newest."""
        ...

    async def index(self, values: Sequence[bytes]) -> list[str]:
        """HMAC-SHA-256 of each value under the index key, lower-case hex."""
        ...

    async def terms(self, keys: Sequence[str]) -> list[bytes]:
        """What stands for each key in the index that reviewers search; at most 4096 a call."""
        ...

    async def pseudonyms(self, wanted: Sequence[Pseudonym]) -> list[str]: ...

    async def open(self, suite: str, preamble: bytes, ciphertext: bytes) -> bytes:
        """The plaintext of a sealed message to us; raises a `PartnerFault` when it does not open."""
        ...

    async def checkpoint(self, request: CheckpointRequest) -> bytes:
        """A signed note of this head. Fsynced at the signer first; refuses what is not consistent with its last."""
        ...

    async def cosign(self, request: CosignRequest) -> list[str]:
        """The note lines with which we cosign a partner's head of its log about us; the head is fsynced at the signer
        first. Raises `NotFound` for another log, `AuditBroken` for one that did not grow from the last head cosigned,
        `Conflict` when the proof starts elsewhere; the diagnostic then says at which size it must."""
        ...

    async def seal(self, batch: SealBatch) -> SealBatchResult: ...

    async def receipts(self, statements: Sequence[bytes]) -> list[str]:
        """A JWS (typ ecluse-receipt+jws) over each stored receipt statement."""
        ...

    async def unsettled(self) -> tuple[str, ...]:
        """Message ids of the emergencies sealed with one signature that wait for confirmation or review."""
        ...

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Show what was done about them. One that is not waiting is passed over; one that does not hold is refused."""
        ...

    async def change(self, change: TrustChange) -> None:
        """Apply a change to the signer's own trust file after verifying both endorsements against its state."""
        ...


class TimestampAuthority(Protocol):
    """Who says since when a digest exists (RFC 3161). Safe to repeat; it is told a digest and nothing else."""

    async def stamp(self, request: bytes) -> bytes:
        """The response to a TimeStampReq, both in DER; nothing of it is verified. Raises `PartnerUnreachable`."""
        ...


class RecordAdapter(Protocol):
    """A local system's file, one canonical record at a time."""

    kind: str

    def read(self, raw: bytes) -> Iterable[CanonicalRecord | Exception]:
        """Records in file order; a line that is wrong is yielded as a `RecordInvalid` with its number, and the rest
        goes on. Raises nothing else."""
        ...


class MessageFormat(Protocol):
    """Released message to partner format and back. Sans I/O."""

    name: str

    def render(self, message: ExchangeMessage) -> Rendered: ...

    def parse(self, raw: bytes) -> ExchangeMessage:
        """Raises `PartnerFault` only."""
        ...


class PartnerTransport(Protocol):
    """A way to a partner. Safe to repeat: the partner recognises what it has by identity."""

    assurance: Assurance

    async def deliver(self, batch: bytes, *, to: Partner) -> bytes:
        """Post one framed batch; returns the body of a 200 answer (a receipt, not yet verified).

        Raises `PartnerUnreachable` (retry), or a `PartnerFault` carrying the partner's code when the POST as a whole
        was refused."""
        ...

    async def add_checkpoint(self, ask: bytes, *, to: Partner) -> tuple[int, bytes]:
        """Ask a partner to cosign our head (C2SP tlog-witness, `add-checkpoint`); status and body of its answer.

        Raises `PartnerUnreachable`."""
        ...

    async def fetch_receipt(self, message_id: str, *, to: Partner) -> bytes | None:
        """The stored receipt of a message, or None when the partner does not know it."""
        ...

    async def fetch_head(self, *, to: Partner) -> bytes | None:
        """The newest signed head of our log that the partner holds, not yet verified; None when it holds or tells
        none."""
        ...

    async def fetch_log(self, start: int, *, to: Partner) -> bytes | None:
        """Leaves of the partner's log about us from ``start`` on, up to a signed head, not yet verified; None when it
        has no such head or does not tell."""
        ...

    async def close(self) -> None: ...

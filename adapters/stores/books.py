"""The tables of the logs, of what was or must not be erased, and of housekeeping: what proves, and keeps the house."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, Table

from adapters.stores.columns import Texts
from adapters.stores.columns import blob as _blob
from adapters.stores.columns import instant as _instant
from adapters.stores.columns import integer as _integer
from adapters.stores.columns import narrow as _narrow
from adapters.stores.columns import text as _text
from adapters.stores.columns import wide as _wide
from gateway.model import case_rows, epoch, rows

# --- audit -----------------------------------------------------------------------------------------------------------

_logs = _narrow(
    "logs",
    _text("origin", key=True),
    _integer("size"),
)

_entries = _wide(
    "entries",
    _text("origin", key=True),
    _integer("position", key=True),
    _blob("entry"),
)

_entry_bodies = _narrow(
    "entry_bodies",
    _text("origin", key=True),
    _integer("position", key=True),
    _text("body"),
)

_tiles = _wide(
    "tiles",
    _text("origin", key=True),
    _integer("level", key=True),
    _integer("position", key=True),
    _blob("hashes"),
)

_checkpoints = _wide(
    "checkpoints",
    _text("origin", key=True),
    _integer("size", key=True),
    _blob("note"),
    _instant("at"),
)

# Named apart from `checkpoints`: these are heads that partners signed. The primary key is the index by origin.
_held = _wide(
    "held_checkpoints",
    _text("origin", key=True),
    _integer("size", key=True),
    _blob("note"),
    _instant("at"),
)

# --- after a loss ----------------------------------------------------------------------------------------------------

_epochs = _wide(
    "epochs",
    _integer("number", key=True),
    _integer("entry"),
    _blob("salt"),
    _blob("detail"),
    _blob("statement"),
    _blob("document"),
    Column("endorsements", Texts, nullable=False),
)

_recovered = _narrow(
    "recovered",
    _text("partner", key=True),
    _text("id", key=True),
    _integer("epoch"),
    _text("event"),
    _text("type"),
    _text("conversation"),
    _integer("seq"),
    _instant("at"),
    _text("receipt"),
)

_reconciled = _narrow(
    "reconciled",
    _text("partner", key=True),
    _integer("epoch", key=True),
    _instant("at"),
    _text("by"),
    _text("outcome"),
)

# --- erasure ---------------------------------------------------------------------------------------------------------

_holds = _narrow(
    "holds",
    _text("id", key=True),
    _text("subject"),
    _text("conversation"),
    _text("authority_sha256"),
    _instant("placed_at"),
    _text("placed_by"),
    _text("lift_sha256"),
    _text("lifter"),
    _text("person"),
    _text("lifted_by"),
    _instant("lifted_at", nullable=True),
)
Index("holds_by_subject", _holds.c.subject)
Index("holds_by_conversation", _holds.c.conversation)

_findings = _narrow(
    "findings",
    _text("id", key=True),
    _integer("number", key=True),
    _text("step"),
    _text("about"),
    _text("severity"),
    _text("sha256"),
    _text("key"),
    _text("body"),
    _text("officer"),
    _text("person"),
    _text("for_body"),
    _instant("at"),
)

_erasures = _wide(
    "erasures",
    _text("id", key=True),
    _text("state"),
    Column("subjects", Texts, nullable=False),
    Column("handles", Texts, nullable=False),
    Column("messages", Texts, nullable=False),
    _text("reference"),
    _text("authority_sha256"),
    _text("proposer"),
    _text("person"),
    _instant("proposed_at"),
    _blob("salt"),
    _blob("detail"),
    _integer("position"),
    _text("decider"),
    _instant("decided_at", nullable=True),
)

_erased = _narrow(
    "erased",
    _text("body", key=True),
    _text("erasure"),
)

# --- housekeeping ----------------------------------------------------------------------------------------------------

_nonces = _narrow(
    "nonces",
    _text("nonce", key=True),
    _instant("until"),
)
Index("nonces_by_until", _nonces.c.until)

_idempotency = _narrow(
    "idempotency",
    _text("key", key=True),
    _text("officer", key=True),
    _text("op"),
    _text("params"),
    _text("key_id"),
    _text("body"),
    _instant("at"),
)
Index("idempotency_by_time", _idempotency.c.at)

_cosignatures = _wide(
    "cosignatures",
    _text("origin", key=True),
    _integer("size", key=True),
    _text("witness", key=True),
    _text("key_id", key=True),
    _blob("line"),
    _instant("at"),
)

_stamps = _wide(
    "stamps",
    _integer("number", key=True),
    _instant("at"),
    _instant("until"),
    _blob("document"),
    _blob("response"),
    _blob("chain"),
)

_stamped_heads = _wide(
    "stamped_heads",
    _text("origin", key=True),
    _integer("size", key=True),
    _integer("stamp"),
    _blob("note"),
)

_meta = _narrow(
    "meta",
    _text("name", key=True),
    _text("value"),
)

#: Where each row type is kept.
BOOKS: Final[dict[type[rows.Row], Table]] = {
    rows.LogRow: _logs,
    rows.EntryRow: _entries,
    rows.EntryBodyRow: _entry_bodies,
    rows.TileRow: _tiles,
    rows.CheckpointRow: _checkpoints,
    rows.HeldRow: _held,
    rows.CosignatureRow: _cosignatures,
    epoch.EpochRow: _epochs,
    epoch.RecoveredRow: _recovered,
    epoch.ReconciledRow: _reconciled,
    rows.StampRow: _stamps,
    rows.StampedHeadRow: _stamped_heads,
    case_rows.HoldRow: _holds,
    case_rows.FindingRow: _findings,
    case_rows.ErasureRow: _erasures,
    case_rows.ErasedRow: _erased,
    rows.NonceRow: _nonces,
    rows.IdempotencyRow: _idempotency,
    rows.MetaRow: _meta,
}

"""What a partner may ask about our log about it: which of its messages we have, and which of ours it receipted.

A partner that lost its store asks once; one that never does learns nothing by it that its own log did not say.
"""

from __future__ import annotations

from gateway.audit import tree
from gateway.audit.checkpoint import parse
from gateway.audit.entry import parse_partner_entry
from gateway.audit.extract import MAX_LEAVES, encode, hidden
from gateway.model.rows import EntryRow, OutboxRow
from gateway.ports import ReadTx
from gateway.service.context import Gateway
from gateway.service.ledger import TxTiles


async def log_about(gateway: Gateway, org: str, start: int) -> bytes | None:
    """Leaves of our log about the asker from ``start`` on, up to the newest signed head; None when that is before it.

    (1) the asker is a partner in force; (2) no more than a signed head covers, and an answer takes; (3) an entry about
    a message of ours is shown only once the asker's receipt for it is here: of what was withdrawn before, or waits, it
    gets the hash alone.
    """
    # (1)
    gateway.directory.partner(org)
    origin = gateway.ledger.of_partner(org)

    def read(tx: ReadTx) -> bytes | None:
        # (2)
        newest = gateway.ledger.newest(tx, origin)
        if newest is None or parse(newest.note).checkpoint.size < start:
            return None
        rows = tx.select(
            EntryRow,
            {"origin": origin},
            at_least=("position", start),
            order="position",
            limit=min(MAX_LEAVES, newest.size - start),
        )
        # (3)
        entries = [parse_partner_entry(row.entry) for row in rows]
        ours = tuple(one.message_id for one in entries if (one.direction, one.event) == ("out", "message"))
        where = {"partner": org, "message_id": ours, "state": "delivered"}
        had = {row.message_id for row in tx.select(OutboxRow, where)} if ours else set()
        lines = [
            hidden(row.entry) if one.message_id in ours and one.message_id not in had else row.entry
            for row, one in zip(rows, entries, strict=True)
        ]
        return encode(start, tree.peaks(start, TxTiles(tx, origin)), lines, newest.note)

    return await gateway.store.read(read)

"""Messages received, by name: a message id is unique for its sender only, so a name may have to say the sender too."""

from __future__ import annotations

from gateway.errors import Conflict, RequestInvalid
from gateway.model.rows import InboxRow, ReceiptRow
from gateway.model.time import rfc3339
from gateway.ports import ReadTx
from gateway.service.calls import Trace, TraceStep

#: Between sender and message id, in a name and in a page's cursor. Neither of them holds one.
SEPARATOR = "/"


def received(tx: ReadTx, name: str) -> InboxRow | None:
    """The message of this name, ``ID`` or ``ORG/ID``, or None.

    Raises `Conflict` for a bare id that two senders used.
    """
    sender, separator, message = name.rpartition(SEPARATOR)
    if separator:
        return tx.get(InboxRow, sender, message)
    found = tx.select(InboxRow, {"message_id": name}, limit=2)
    if len(found) > 1:
        raise Conflict("two partners use this message id: name the message as ORG/ID")
    return found[0] if found else None


def received_page(tx: ReadTx, after: str, limit: int) -> list[InboxRow]:
    """Messages after this cursor (``ORG/ID`` of the last one seen; empty: from the start), by sender and id.

    Raises `RequestInvalid` for a cursor of another form.
    """
    if not after:
        return tx.select(InboxRow, limit=limit)
    sender, separator, message = after.rpartition(SEPARATOR)
    if not separator:
        raise RequestInvalid("the cursor of a page of messages is ORG/ID", diagnostic={"field": "after"})
    same = tx.select(
        InboxRow, {"sender": sender}, at_least=("message_id", message), order="message_id", limit=limit + 1
    )
    rows = [row for row in same if row.message_id != message][:limit]
    # A space sorts before every character of an organisation id: this is every sender behind that one.
    return rows + tx.select(InboxRow, at_least=("sender", f"{sender} "), limit=limit)[: limit - len(rows)]


def trace_received(tx: ReadTx, row: InboxRow) -> Trace:
    """What became of a message received."""
    steps = [TraceStep(rfc3339(row.received_at), "received, verified, accepted", row.sender)]
    receipt = tx.get(ReceiptRow, row.receipt)
    if receipt is not None:
        steps.append(TraceStep(rfc3339(receipt.at), "receipt given", "gateway"))
    return Trace(
        row.message_id,
        row.message_id,
        row.sender,
        row.conversation,
        row.state,
        row.seq,
        0,
        tuple(steps),
        row.receipt,
    )

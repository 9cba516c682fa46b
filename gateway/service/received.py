"""Messages received, by name: a message id is unique for its sender only, so a name may have to say the sender too."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

import msgspec

from gateway.errors import Conflict, RequestInvalid
from gateway.model.case_rows import ConsentRow, CorrectionRow
from gateway.model.message import Correction, Recall
from gateway.model.rows import InboxRow, RecallRow, ReceiptRow, RequestRow
from gateway.model.time import rfc3339
from gateway.ports import ReadTx, Tx
from gateway.service.calls import CorrectionView, InboxItem, RecallView, Trace, TraceStep
from gateway.service.vault import erasure_of

R = TypeVar("R", InboxRow, RequestRow, ConsentRow)

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


def received_page(tx: ReadTx, row: type[R], after: str, limit: int) -> list[R]:
    """Messages, or requests, after this cursor (``ORG/ID`` of the last one seen; empty: from the start), by sender and
    id.

    Raises `RequestInvalid` for a cursor of another form.
    """
    if not after:
        return tx.select(row, limit=limit)
    sender, separator, message = after.rpartition(SEPARATOR)
    if not separator:
        raise RequestInvalid("the cursor of a page of messages is ORG/ID", diagnostic={"field": "after"})
    same = tx.select(
        row, {"sender": sender}, at_least=("message_id", message), order="message_id", limit=limit + 1
    )
    rows = [one for one in same if one.message_id != message][:limit]
    # A space sorts before every character of an organisation id: this is every sender behind that one.
    return rows + tx.select(row, at_least=("sender", f"{sender} "), limit=limit)[: limit - len(rows)]


def trace_received(tx: ReadTx, row: InboxRow) -> Trace:
    """What became of a message received."""
    steps = [TraceStep(rfc3339(row.received_at), "received, verified, accepted", row.sender)]
    receipt = tx.get(ReceiptRow, row.receipt)
    if receipt is not None:
        steps.append(TraceStep(rfc3339(receipt.at), "receipt given", "gateway"))
    recall = recall_of(tx, row)
    if recall is not None:
        steps.append(TraceStep(rfc3339(recall.at), f"recalled ({recall.action})", row.sender))
        if recall.answered_at is not None:
            what = f"recall answered: {recall.answer}"
            steps.append(TraceStep(rfc3339(recall.answered_at), what, recall.answered_by))
    correction = correction_of(tx, row)
    if correction is not None:
        what = f"corrected ({correction.action}, {correction.reason})"
        steps.append(TraceStep(rfc3339(correction.at), what, row.sender))
        if correction.answered_at is not None:
            steps.append(
                TraceStep(rfc3339(correction.answered_at), "correction carried out", correction.answered_by)
            )
    steps += erased_step(tx, row.body)
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


def erased_step(tx: ReadTx, body: str) -> list[TraceStep]:
    """The step in which an erasure destroyed this content, if one did."""
    row = erasure_of(tx, body)
    if row is None or row.decided_at is None:
        return []
    return [TraceStep(rfc3339(row.decided_at), f"content erased on authority {row.reference}", row.decider)]


# --- recalls ---------------------------------------------------------------------------------------------------------


def note_recall(tx: Tx, sender: str, recall: Recall, by: str, now: datetime) -> None:
    """Remember what a sender says of an earlier message of its own, whether that message came or not.

    Said again, it changes nothing. Another action takes the place of the one before and is a new question to our
    officer, unless the answer was ``done``, after which there is nothing left to ask.
    """
    before = tx.get(RecallRow, "in", sender, recall.recalls)
    if before is not None and (before.action, before.replaced_by) == (recall.action, recall.replaced_by):
        return
    row = RecallRow("in", sender, recall.recalls, recall.action, recall.replaced_by, by, "", now)
    if before is not None and before.answer == "done":
        row = msgspec.structs.replace(
            row, answer=before.answer, answered_by=before.answered_by, answered_at=before.answered_at
        )
    tx.put(row)


def recall_of(tx: ReadTx, row: InboxRow) -> RecallRow | None:
    """What its sender said of this message before or after it came, or None."""
    return tx.get(RecallRow, "in", row.sender, row.message_id)


def note_correction(tx: Tx, sender: str, said: Correction, by: str, now: datetime) -> None:
    """Remember what a sender corrects about an earlier message of its own, whether that message came or not.

    Said again, it changes nothing. Another one takes the place of the one before, and is to be carried out anew.
    """
    before = tx.get(CorrectionRow, "in", sender, said.corrects)
    fresh = (said.action, said.reason, said.replaced_by)
    if before is None or (before.action, before.reason, before.replaced_by) != fresh:
        tx.put(CorrectionRow("in", sender, said.corrects, *fresh, by, "", now))


def correction_of(tx: ReadTx, row: InboxRow) -> CorrectionRow | None:
    """What its sender corrected about this message before or after it came, or None."""
    return tx.get(CorrectionRow, "in", row.sender, row.message_id)


def inbox_item(tx: ReadTx, row: InboxRow) -> InboxItem:
    """A message received, for a list: no content."""
    recall = recall_of(tx, row)
    view = (
        RecallView(recall.action, recall.replaced_by, recall.at, recall.answer, recall.answered_at)
        if recall is not None
        else None
    )
    said = correction_of(tx, row)
    corrected = (
        CorrectionView(said.action, said.reason, said.replaced_by, said.at, said.answer, said.answered_at)
        if said is not None
        else None
    )
    return InboxItem(
        sender=row.sender,
        message_id=row.message_id,
        conversation=row.conversation,
        seq=row.seq,
        type=row.type,
        state=row.state,
        received_at=row.received_at,
        recall=view,
        correction=corrected,
    )


def require_shown(item: InboxItem) -> None:
    """What our officer is done with, since its sender took it back, is not shown any more. Raises `Conflict`."""
    said = item.correction
    if item.recall is not None and item.recall.answer == "done":
        raise Conflict("this message was recalled, and the answer was done: it is not shown any more")
    if said is not None and (said.action, said.answer) == ("withdrawn", "done"):
        raise Conflict("this message was withdrawn, and that is carried out: it is not shown any more")

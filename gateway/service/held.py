"""What we keep of our partners' logs: the heads they sent us, verified, to hold against them and for them."""

from __future__ import annotations

from datetime import datetime

import structlog

from gateway.audit.checkpoint import VerifierKey, log_key_name, parse, partner_origin, verify
from gateway.errors import AuditBroken, SignatureInvalid
from gateway.model.party import Partner
from gateway.model.rows import HeldRow
from gateway.ports import ReadTx, Tx
from gateway.service.context import Gateway
from gateway.wire.strict import b64url_decode

log = structlog.get_logger()


def log_key(partner: Partner) -> list[VerifierKey]:
    """The partner's log keys as C2SP verifier keys named ``ecluse/<org>``."""
    return [
        VerifierKey(log_key_name(partner.org), b64url_decode(key.public)) for key in partner.keys_for("log")
    ]


def held_row(partner: Partner, ours: str, note: str, now: datetime) -> HeldRow | None:
    """A partner's checkpoint of its log about us, verified; None when it sent none yet.

    Raises `SignatureInvalid` when the note is not one of this partner's log about us.
    """
    if not note:
        return None
    origin = partner_origin(partner.org, ours)
    try:
        checkpoint = verify(note.encode(), log_key(partner), origin=origin).checkpoint
    except AuditBroken:
        raise SignatureInvalid("the checkpoint is not one of the partner's log about us") from None
    return HeldRow(origin, checkpoint.size, note.encode(), now)


def newest_held(tx: ReadTx, partner: str, ours: str) -> HeldRow | None:
    """The longest head of a partner's log about us that it sent; of two with one size the first."""
    where = {"origin": partner_origin(partner, ours)}
    found = tx.select(HeldRow, where, order="size", descending=True, limit=1)
    return found[0] if found else None


def keep_head(gateway: Gateway, tx: Tx, row: HeldRow, partner: str, now: datetime) -> None:
    """Keep a partner's head. Two of one size with different roots are two histories: the first stays, both are
    written into the master log, and people are told. One reserved data key may be used up."""
    before = tx.get(HeldRow, row.origin, row.size)
    if before is None:
        tx.put(row)
    elif parse(before.note).checkpoint.root != parse(row.note).checkpoint.root:
        log.error("log.equivocation", partner=partner, size=row.size)
        evidence = {"equivocation": [before.note, row.note]}
        gateway.ledger.record(tx, now, "refused", partner, "", evidence)

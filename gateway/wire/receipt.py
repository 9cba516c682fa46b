"""Receipts: a signed answer that names every message of a batch and what became of it.

The statement is stored first and signed as stored; a repeated message gets the stored receipt byte for byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.errors import DigestConflict, MalformedMessage, RequestInvalid, WrongAudience
from gateway.model.party import KeyRecord
from gateway.model.time import Instant
from gateway.wire.jws import RECEIPT_TYP, keys_for, sign_compact, verify_compact
from gateway.wire.seal import MAX_CHECKPOINT_CHARS
from gateway.wire.strict import MAX_INTEGER, OrgId, Sha256, Uuid4, canonical, read_canonical

MAX_ITEMS = 64  # messages of one receipt: those of one batch
MAX_STATEMENT_BYTES = 64 * 1024  # 64 items of 250 bytes and a checkpoint
CLOCK_SKEW = timedelta(seconds=300)  # a partner's clock may be ahead of ours by this much

Outcome = Literal["accepted", "refused", "not-processed"]


class ReceiptItem(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One message: its identity and what became of it.

    ``code`` is the error code of a refusal and stands with no other outcome; ``expected`` is the sequence number to
    rewind to and stands only with code ``out-of-order``.
    """

    id: Uuid4
    payload_sha256: Sha256
    outcome: Outcome
    code: Annotated[str, msgspec.Meta(pattern=r"\A[a-z-]{0,40}\Z")] = ""
    expected: Annotated[int, msgspec.Meta(ge=0, le=MAX_INTEGER)] = 0


class ReceiptStatement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the receiver states. ``checkpoint`` is the newest published head (signed note) of its log for the sender."""

    v: Literal[1]
    id: Uuid4
    iss: OrgId
    aud: OrgId
    at: Instant
    items: Annotated[tuple[ReceiptItem, ...], msgspec.Meta(min_length=1, max_length=MAX_ITEMS)]
    checkpoint: Annotated[str, msgspec.Meta(max_length=MAX_CHECKPOINT_CHARS)]


class VerifiedReceipt(msgspec.Struct, frozen=True):
    """Proof that the partner answered for each message sent. ``outcomes`` holds those messages and no others."""

    statement: ReceiptStatement
    outcomes: dict[str, ReceiptItem]
    jws: str


def statement_bytes(statement: ReceiptStatement) -> bytes:
    """The RFC 8785 bytes to store and sign; raises `RequestInvalid` for a statement nobody could read back."""
    raw = canonical(statement)
    try:
        read_statement(raw)
    except MalformedMessage as fault:
        raise RequestInvalid(fault.detail) from None
    return raw


def read_statement(raw: bytes) -> ReceiptStatement:
    """A stored or received statement, strictly; raises `MalformedMessage`.

    1. RFC 8785 form of the closed type   2. no message twice   3. code and expected stand where they belong
    """
    # (1)
    statement = read_canonical(raw, ReceiptStatement, limit=MAX_STATEMENT_BYTES)
    # (2)
    if len({item.id for item in statement.items}) != len(statement.items):
        raise MalformedMessage("a receipt names a message twice")
    # (3)
    for item in statement.items:
        if bool(item.code) != (item.outcome == "refused") or bool(item.expected) != (
            item.code == "out-of-order"
        ):
            raise MalformedMessage("a receipt item has a code or number that its outcome does not allow")
    return statement


def sign_receipt(statement: bytes, private_key: ec.EllipticCurvePrivateKey, kid: str) -> str:
    """The attached compact JWS over a stored statement. Deterministic: signing again gives the same bytes."""
    return sign_compact(statement, private_key, typ=RECEIPT_TYP, kid=kid)


def verify_statement(
    token: str, keys: Sequence[KeyRecord], *, now: datetime, iss: str, aud: str
) -> ReceiptStatement:
    """What ``iss`` stated to us, whatever it is about: steps 1 to 3 of `verify_receipt`. Who knows what was sent calls
    that one."""
    jws = verify_compact(token, typ=RECEIPT_TYP, keys=keys_for(keys, "receipt", RECEIPT_TYP, now=now))
    statement = read_statement(jws.payload)
    if statement.iss != iss or statement.aud != aud:
        raise WrongAudience("the receipt is between other organisations")
    if statement.at > now + CLOCK_SKEW:
        raise MalformedMessage("the receipt is from the future")
    return statement


def verify_receipt(
    token: str,
    keys: Sequence[KeyRecord],
    *,
    now: datetime,
    iss: str,
    aud: str,
    sent: Sequence[tuple[str, str]],
) -> VerifiedReceipt:
    """Prove that ``iss`` answered to us (``aud``) for every (message id, payload_sha256) in ``sent``.

    1. signature by a receipt key of the partner, valid at ``now`` (`SignatureInvalid`, `MalformedMessage`)
    2. the statement is strict   3. from this partner, to us (`WrongAudience`), not from the future
    4. every message sent is named (`MalformedMessage`) with the digest sent (`DigestConflict`); an empty ``sent``
       proves nothing and is refused

    A receipt stored earlier may name more messages than were asked about; those give no outcome here. The checkpoint
    is carried, not verified.
    """
    # (1) to (3)
    statement = verify_statement(token, keys, now=now, iss=iss, aud=aud)
    # (4)
    if not sent:
        raise RequestInvalid("a receipt is verified against the messages sent")
    named = {item.id: item for item in statement.items}
    outcomes: dict[str, ReceiptItem] = {}
    for message_id, payload_sha256 in sent:
        item = named.get(message_id)
        if item is None:
            raise MalformedMessage("the receipt does not answer for every message sent")
        if item.payload_sha256 != payload_sha256:
            raise DigestConflict("the receipt names other bytes than those sent")
        outcomes[message_id] = item
    return VerifiedReceipt(statement, outcomes, token)

"""Receipts: signed statements about exactly what was sent."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from gateway.errors import (
    DigestConflict,
    GatewayError,
    MalformedMessage,
    RequestInvalid,
    SignatureInvalid,
    WrongAudience,
)
from gateway.wire.receipt import (
    ReceiptItem,
    ReceiptStatement,
    read_statement,
    sign_receipt,
    statement_bytes,
    verify_receipt,
)
from tests.wire.parties import KEY, KID, MESSAGE_ID, NOTE, NOW, OTHER_KEY, OURS, THEIRS, key_record

SECOND_ID = "00000000-0000-4000-8000-000000000002"
DIGEST = hashlib.sha256(b"payload").hexdigest()
ITEM = ReceiptItem(MESSAGE_ID, DIGEST, "accepted")
REFUSAL = ReceiptItem(SECOND_ID, DIGEST, "refused", "out-of-order", 7)
VALUE = ReceiptStatement(1, "00000000-0000-4000-8000-000000000001", THEIRS, OURS, NOW, (ITEM, REFUSAL), NOTE)
STATEMENT = statement_bytes(VALUE)
SENT = [(MESSAGE_ID, DIGEST), (SECOND_ID, DIGEST)]
KEYS = [key_record("receipt")]


def verify(statement: bytes = STATEMENT, **changes: Any) -> Any:
    arguments: dict[str, Any] = {"now": NOW, "iss": THEIRS, "aud": OURS, "sent": SENT} | changes
    return verify_receipt(sign_receipt(statement, KEY, KID), arguments.pop("keys", KEYS), **arguments)


def test_sign_and_verify() -> None:
    """A receipt proves the outcome of each message sent; signing the stored statement again gives the same bytes."""
    receipt = verify()
    assert receipt.statement == VALUE
    assert receipt.outcomes == {MESSAGE_ID: ITEM, SECOND_ID: REFUSAL}
    assert receipt.jws == sign_receipt(STATEMENT, KEY, KID)


def test_statement_round_trip() -> None:
    """A stored statement reads back as what was stated."""
    assert read_statement(STATEMENT) == VALUE


def test_an_earlier_receipt_may_cover_more() -> None:
    """A receipt that names more than was asked gives outcomes only for what was asked."""
    assert verify(sent=SENT[:1]).outcomes == {MESSAGE_ID: ITEM}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"sent": [*SENT, ("00000000-0000-4000-8000-000000000003", DIGEST)]}, MalformedMessage),
        ({"sent": [(MESSAGE_ID, hashlib.sha256(b"other").hexdigest())]}, DigestConflict),
        ({"sent": []}, RequestInvalid),
        ({"iss": "nld.other"}, WrongAudience),
        ({"aud": "nld.other"}, WrongAudience),
        ({"now": NOW - timedelta(seconds=301)}, MalformedMessage),
        ({"now": NOW + timedelta(days=2)}, SignatureInvalid),
        ({"keys": []}, SignatureInvalid),
        ({"keys": [key_record("receipt", key=OTHER_KEY)]}, SignatureInvalid),
        ({"keys": [key_record("message")]}, SignatureInvalid),
    ],
)
def test_refused(changes: dict[str, Any], error: type[GatewayError]) -> None:
    """A message not answered for, another digest, audience, key or time: each is refused with its error."""
    with pytest.raises(error):
        verify(**changes)


def test_a_clock_slightly_ahead_is_tolerated() -> None:
    """A partner's clock may be five minutes ahead."""
    assert verify(now=NOW - timedelta(seconds=300)).statement.at == NOW


@pytest.mark.parametrize(
    "changes",
    [
        {"items": ()},
        {"items": (ITEM, ITEM)},
        {"items": (msgspec.structs.replace(ITEM, code="malformed"),)},
        {"items": (msgspec.structs.replace(ITEM, outcome="refused"),)},
        {"items": (msgspec.structs.replace(ITEM, expected=3),)},
        {"items": (msgspec.structs.replace(REFUSAL, expected=0),)},
        {"items": (msgspec.structs.replace(REFUSAL, code="Zzemo Exemple", expected=0),)},
        {"items": (msgspec.structs.replace(ITEM, payload_sha256="ab"),)},
        {
            "items": tuple(
                ReceiptItem(f"00000000-0000-4000-8000-{n:012d}", DIGEST, "accepted") for n in range(65)
            )
        },
        {"v": 2},
        {"id": "x"},
        {"at": NOW + timedelta(microseconds=1)},
        {"checkpoint": "x" * 9000},
    ],
)
def test_statements_nobody_could_read_are_not_made(changes: dict[str, Any]) -> None:
    """A statement outside its closed form is refused when it is made, and again when it is received."""
    value = msgspec.structs.replace(VALUE, **changes)
    with pytest.raises(RequestInvalid):
        statement_bytes(value)
    with pytest.raises(MalformedMessage):
        verify(msgspec.json.encode(value, order="sorted"))

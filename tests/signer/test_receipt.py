"""A receipt is signed for a partner, about now, and carries no head that is not our own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.audit.checkpoint import Checkpoint, log_key_name, master_origin, partner_origin, sign
from gateway.errors import GatewayError
from gateway.wire.receipt import ReceiptItem, ReceiptStatement, statement_bytes, verify_receipt
from tests.policy.worlds import NOW, OURS, POLICE
from tests.signer.world import (
    LOG_KEY,
    MESSAGE_ID,
    NEIGHBOUR,
    ORIGIN,
    OTHER_ID,
    authority,
    disk,
    partner,
    signer_keys,
    trust,
)

SHA256 = "0" * 64


def statement(**changes: Any) -> bytes:
    """A receipt statement of now, toward the police, for one accepted message."""
    item = ReceiptItem(id=MESSAGE_ID, payload_sha256=SHA256, outcome="accepted")
    members: dict[str, Any] = {
        "v": 1,
        "id": OTHER_ID,
        "iss": OURS,
        "aud": POLICE,
        "at": NOW,
        "items": (item,),
        "checkpoint": "",
    }
    return statement_bytes(ReceiptStatement(**members | changes))


def note(origin: str = ORIGIN, key: Ed25519PrivateKey = LOG_KEY, name: str = log_key_name(OURS)) -> str:
    """A signed head of a log."""
    return sign(Checkpoint(origin, 5, bytes(32)), name, key).decode()


GOOD: dict[str, Callable[[], bytes]] = {
    "now": statement,
    "by a clock that is ahead": lambda: statement(at=NOW + timedelta(seconds=300)),
    "after a long outage": lambda: statement(at=NOW - timedelta(days=30)),
    "with our head": lambda: statement(checkpoint=note()),
}


@pytest.mark.parametrize("name", GOOD)
def test_an_honest_receipt_is_signed(name: str) -> None:
    """The signature verifies with our public keys and answers for the message."""
    raw = GOOD[name]()
    token = authority(disk()).receipt(raw)
    found = verify_receipt(
        token,
        signer_keys().records,
        now=NOW + timedelta(seconds=1),
        iss=OURS,
        aud=POLICE,
        sent=[(MESSAGE_ID, SHA256)],
    )
    assert statement_bytes(found.statement) == raw


def test_a_stopped_partner_still_gets_its_receipt() -> None:
    """What was accepted before the partner was stopped is answered."""
    held = disk(trust(partners={POLICE: partner(stopped=True)}))
    assert authority(held).receipt(statement())


REFUSED: dict[str, tuple[str, Callable[[], bytes]]] = {
    "by another organisation": ("request-invalid", lambda: statement(iss=POLICE)),
    "to nobody we know": ("not-found", lambda: statement(aud="fra.nowhere")),
    "to ourselves": ("not-found", lambda: statement(aud=OURS)),
    "from the future": ("request-invalid", lambda: statement(at=NOW + timedelta(seconds=301))),
    "of long ago": ("request-invalid", lambda: statement(at=NOW - timedelta(days=30, seconds=1))),
    "with words for a head": ("audit-broken", lambda: statement(checkpoint="Fictiville")),
    "with the head of the master log": (
        "audit-broken",
        lambda: statement(checkpoint=note(master_origin(OURS))),
    ),
    "with the head of another partner's log": (
        "audit-broken",
        lambda: statement(checkpoint=note(partner_origin(OURS, NEIGHBOUR))),
    ),
    "with a head by another key": (
        "audit-broken",
        lambda: statement(checkpoint=note(key=Ed25519PrivateKey.generate())),
    ),
    "with a head and a line more": (
        "audit-broken",
        lambda: statement(checkpoint=note() + note(key=Ed25519PrivateKey.generate()).split("\n\n")[1]),
    ),
    "with a head that was altered": (
        "audit-broken",
        lambda: statement(checkpoint=note().replace("\n5\n", "\n6\n")),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    """One thing is wrong, and nothing is signed."""
    code, make = REFUSED[name]
    with pytest.raises(GatewayError) as caught:
        authority(disk()).receipt(make())
    assert caught.value.code == code

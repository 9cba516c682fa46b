"""Which heads of ours stand for entries that were declared lost, and which the log must still lead to."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.audit.checkpoint import Checkpoint, VerifierKey, log_key_name, partner_origin, sign
from gateway.model.epoch import Epoch, KeptLog
from gateway.model.party import KeyRecord
from gateway.service.epochs import undeclared
from gateway.wire.strict import b64url
from tests.service.world import BE, FR

NAME, ORIGIN = log_key_name(BE), partner_origin(BE, FR)
KEYS = [Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (1, 2, 3)]
VKEYS = [VerifierKey.of(NAME, key.public_key()) for key in KEYS]


def epoch(number: int, size: int, known: int) -> Epoch:
    """A declaration about one log, under the key of its epoch."""
    raw = b64url(KEYS[number - 1].public_key().public_bytes_raw())
    key = KeyRecord(kid=f"log-{number}", use="log", alg="Ed25519", public=raw)
    return Epoch(
        1, BE, number, "loss", "2026-11-21T21:00:00Z", key, (KeptLog(ORIGIN, size, "00" * 32, known),)
    )


EPOCHS = [epoch(2, 10, 15), epoch(3, 8, 20)]


def note(number: int, size: int) -> bytes:
    """A head of this size, signed in this epoch."""
    return sign(Checkpoint(ORIGIN, size, bytes(32)), NAME, KEYS[number - 1])


@pytest.mark.parametrize(
    ("number", "size", "lost"),
    [
        (1, 8, False),  # kept by both
        (1, 9, True),  # kept by the second epoch, lost by the third
        (1, 10, True),
        (1, 11, True),  # lost by the second
        (1, 15, True),
        (1, 16, False),  # more than was admitted
        (2, 8, False),
        (2, 9, True),  # of the second epoch, lost by the third
        (2, 20, True),
        (2, 21, False),
        (3, 9, False),  # of the epoch in force: nothing excuses it
        (3, 15, False),
    ],
)
def test_a_head_is_lost_only_as_far_as_was_declared(number: int, size: int, lost: bool) -> None:
    """By a later epoch than the one it was signed in, beyond what is kept, up to what was known."""
    assert (undeclared(EPOCHS, [note(number, size)], VKEYS) == []) is lost


def test_what_is_not_ours_is_left_to_the_verifier() -> None:
    """A note that nobody can read, and one under a key that we do not know, are no loss of ours."""
    stranger = sign(Checkpoint(ORIGIN, 12, bytes(32)), NAME, Ed25519PrivateKey.generate())
    assert undeclared(EPOCHS, [b"no note", stranger], VKEYS) == [b"no note", stranger]
    assert undeclared([], [note(1, 12)], VKEYS) == [note(1, 12)]

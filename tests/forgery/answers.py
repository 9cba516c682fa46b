"""What the gateway may answer to an attack, and the shortest way to write one."""

from __future__ import annotations

from tests.forgery.arena import Attack
from tests.forgery.forge import SEAL, Edit

READ, HELD, LATE = "400 malformed", "receipt signature-invalid", "receipt replayed"
AGREED, AIMED, SCHEMA, PLACE = (
    "receipt outside-agreement",
    "receipt wrong-audience",
    "receipt schema-violation",
    "receipt out-of-order",
)
UUID = "5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a11"
YEAR = 366 * 86400

#: Every member of a seal is demanded.
SEAL_MEMBERS = SEAL


def spoilt(name: str, expect: str, **edits: Edit) -> Attack:
    """A message of the Belgian partner with these layers edited."""
    return Attack(name, expect, lambda arena: arena.batch(edits))

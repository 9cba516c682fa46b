"""What the signer asks of a declaration before it forgets heads that it signed: two persons say which, and how far."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.errors import AuditBroken, Conflict, RequestInvalid
from gateway.model.epoch import LOGS, Epoch, KeptLog


def shortened(epoch: Epoch, target: str, *, org: str, opened: int, heads: Mapping[str, int]) -> list[KeptLog]:
    """The logs that go on from before the head signed last, of a declaration that fits what the signer knows; ``heads``
    are the sizes of those heads. Every other log goes on from its head.

    (1) it is ours, of the one target, and the next after the ``opened`` ones; (2) it names each log once, and keeps no
    more than is known; (3) it names every log that a head was signed of, and admits at least that head: what is left
    out of a declaration would be lost unsaid; (4) nothing is lost but by a declaration of loss.
    """
    # (1)
    if (epoch.org, target) != (org, LOGS):
        raise RequestInvalid("the declaration is about another organisation's logs")
    if epoch.number != opened + 2:
        raise Conflict("the declaration opens another epoch than the next one")
    # (2)
    logs = {one.origin: one for one in epoch.logs}
    if len(logs) != len(epoch.logs) or any(not 0 <= one.size <= one.known for one in epoch.logs):
        raise RequestInvalid("the declaration names a log twice, or keeps more of one than is known")
    # (3)
    for origin, size in heads.items():
        if origin not in logs or logs[origin].known < size:
            raise AuditBroken(
                "the declaration admits less than was signed",
                diagnostic={
                    "log": origin,
                    "signed": size,
                    "given": logs[origin].known if origin in logs else 0,
                },
            )
    # (4)
    if epoch.reason == "rotation" and epoch.lost():
        raise RequestInvalid("entries are missing: that is declared as a loss")

    return [one for one in epoch.logs if one.size < heads.get(one.origin, 0)]

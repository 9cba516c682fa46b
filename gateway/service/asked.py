"""Rechecks that were asked with the very same arguments a moment ago."""

from __future__ import annotations

from collections import OrderedDict

from gateway.flow.outbound import Go, Prepared, Void, recheck
from gateway.policy.context import Context
from gateway.policy.rules import Policy

#: Answers kept with their arguments: those of two batches on their way. Each holds a record, some 50 KiB.
KEPT = 128


class Asked:
    """The answer of `recheck`, which is pure: asked about a release with the very arguments it was asked with last,
    time included (a batch is looked at three times within a second or two), its answer is the same. Anything else in
    the store or the directory is another context, and is asked again."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[tuple[Prepared, Context, Policy], Go | Void]] = OrderedDict()

    def answer(self, release: str, prepared: Prepared, ctx: Context, policy: Policy) -> Go | Void:
        """Whether this release still goes."""
        asked = (prepared, ctx, policy)
        last = self._kept.pop(release, None)
        verdict = last[1] if last and last[0] == asked else recheck(prepared, ctx, policy, now=ctx.now)
        self._kept[release] = (asked, verdict)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return verdict

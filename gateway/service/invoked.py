"""Emergencies that were invoked, as the store has them: kept with the release, overdue, or a reason to stop."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from gateway.errors import PolicyInvalid
from gateway.flow.outbound import Void, house
from gateway.model.decision import Decision
from gateway.model.label import nation_of
from gateway.model.record import fields_of
from gateway.model.rows import EmergencyRow, InformRow
from gateway.policy.context import Context
from gateway.policy.decide import decide
from gateway.policy.facts.field import field_consent, others_of
from gateway.policy.rules import Policy
from gateway.ports import ReadTx, Tx

#: Of an emergency's lane: before recalls, and before everything else.
PRIORITY = 2

#: What stands among the waived rules where one officer signed.
SECOND_SIGNATURE = "second-signature"


def invoke(tx: Tx, release: str, ctx: Context, policy: Policy, decision: Decision) -> EmergencyRow:
    """Keep that this release leaves as an emergency, in the commit that queues it.

    ``ctx`` is what permits it now. The clocks are those of the scope in force; whatever becomes of the release, what
    was invoked is confirmed and reviewed. Each originator whose consent was waived is to be informed.
    """
    emergency, scope = ctx.emergency, ctx.settings.emergency
    if emergency is None or scope is None:
        raise PolicyInvalid("the policy permitted an emergency without a scope")
    oral = emergency.oral_approver
    row = EmergencyRow(
        release=release,
        oral_approver=oral,
        waived=((SECOND_SIGNATURE,) if oral else ()) + _overcome(ctx, policy),
        at=ctx.now,
        confirm_by=ctx.now + timedelta(hours=scope.confirm_hours) if oral else None,
        review_by=ctx.now + timedelta(hours=scope.review_hours),
    )
    tx.insert(row, *(InformRow(release, org) for org in _unasked(ctx, decision)))
    return row


def _overcome(ctx: Context, policy: Policy) -> tuple[str, ...]:
    """The rules that would speak against this release if no emergency were claimed."""
    ordinary = decide(policy, msgspec.structs.replace(ctx, emergency=None))
    claimed = decide(policy, ctx)
    return tuple(sorted(_speaking(ordinary) - _speaking(claimed)))


def _speaking(decision: Decision) -> set[str]:
    against = {reason.rule for reason in decision.reasons if reason.effect != "PERMIT"}
    return against | {field.rule for field in decision.withheld}


def _unasked(ctx: Context, decision: Decision) -> tuple[str, ...]:
    """Services of other states of which something leaves toward this partner without their consent."""
    leaving = {*decision.released}
    found = {
        org
        for field in fields_of(ctx.record, ctx.kind)
        if field.pointer in leaving and ctx.partner.org not in (field_consent(ctx, field) or ())
        for org in others_of(ctx, field) or ()
        if nation_of(org) != ctx.our_nation
    }
    return tuple(sorted(found))


def late(row: EmergencyRow, now: datetime) -> bool:
    """Whether what must follow this emergency has not, in its time."""
    if row.settled:
        return False
    unconfirmed = row.confirm_by is not None and row.confirmed_at is None and row.confirm_by <= now
    return unconfirmed or (row.reviewed_at is None and row.review_by <= now)


def overdue(tx: ReadTx, now: datetime, *, but: str = "") -> int:
    """How many emergencies, ``but`` this one, are past their time. Any locks the path for others."""
    return sum(late(row, now) for row in tx.select(EmergencyRow, {"settled": False}) if row.release != but)


def stopped(tx: ReadTx, release: str, now: datetime) -> Void | None:
    """Why an emergency that was queued goes no further: nobody confirmed it in time, or a review overruled it."""
    row = tx.get(EmergencyRow, release)
    if row is None:
        return None
    if row.verdict == "not-upheld":
        return Void((house("emergency.overruled"),))
    if row.confirm_by is not None and row.confirmed_at is None and row.confirm_by <= now:
        return Void((house("emergency.unconfirmed"),))
    return None

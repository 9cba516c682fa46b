"""Facts of a match in passenger data (Directive (EU) 2016/681 art. 6, 12): of the match, never of a list.

A record of this regime holds ``match``: ``received`` (the day the passenger data came in), the officer who looked at
it in ``reviewed_by`` and, once masked, who approved that it be unmasked in ``unmask_approved_by``.
"""

from gateway.policy.context import Context
from gateway.policy.facts.declare import day, fact, months_begun


def _match(ctx: Context, member: str) -> str | None:
    return (ctx.subject.content.get("match") or {}).get(member, "").strip() or None


@fact("pnr.reviewed_by", str)
def pnr_reviewed_by(ctx: Context) -> str | None:
    """The officer who looked at the match; None when only a machine has."""
    return _match(ctx, "reviewed_by")


@fact("pnr.unmask_approved_by", str)
def pnr_unmask_approved_by(ctx: Context) -> str | None:
    return _match(ctx, "unmask_approved_by")


@fact("pnr.age_months", int)
def pnr_age_months(ctx: Context) -> int | None:
    """Months, the begun one counted, since the passenger data was received."""
    received = _match(ctx, "received")
    return None if received is None else months_begun(day(received), ctx.now.date())


@fact("settings.pnr_mask_months", int)
def settings_pnr_mask_months(ctx: Context) -> int | None:
    return ctx.settings.pnr_mask_months


@fact("settings.pnr_term_months", int)
def settings_pnr_term_months(ctx: Context) -> int | None:
    return ctx.settings.pnr_term_months

"""Facts of an emergency: what is claimed, and what the configured scope lets be claimed."""

from gateway.policy.context import Context
from gateway.policy.facts.declare import fact


@fact("emergency.claimed", bool)
def emergency_claimed(ctx: Context) -> bool:
    return ctx.emergency is not None


@fact("emergency.threat", str)
def emergency_threat(ctx: Context) -> str | None:
    """The threat as stated, without surrounding space; None where none is claimed."""
    return ctx.emergency.threat.strip() if ctx.emergency else None


@fact("emergency.oral", bool)
def emergency_oral(ctx: Context) -> bool:
    """Whether one officer signs now, on another's word."""
    return ctx.emergency is not None and ctx.emergency.oral_approver != ""


@fact("emergency.overdue", int)
def emergency_overdue(ctx: Context) -> int:
    """Earlier releases whose confirmation or review is past its time."""
    return ctx.emergencies_overdue


@fact("emergency.waives", frozenset)
def emergency_waives(ctx: Context) -> frozenset[str]:
    """What the configured scope waives, whether or not an emergency is claimed; without a scope nothing."""
    scope = ctx.settings.emergency
    return frozenset(scope.waives if scope else ())


@fact("emergency.kinds", frozenset)
def emergency_kinds(ctx: Context) -> frozenset[str] | None:
    scope = ctx.settings.emergency
    return frozenset(scope.kinds) if scope else None


@fact("emergency.purposes", frozenset)
def emergency_purposes(ctx: Context) -> frozenset[str] | None:
    scope = ctx.settings.emergency
    return frozenset(scope.purposes) if scope else None


@fact("emergency.partners", frozenset)
def emergency_partners(ctx: Context) -> frozenset[str] | None:
    """Organisations; None where no scope is configured."""
    scope = ctx.settings.emergency
    return frozenset(scope.partners) if scope else None

"""Facts of a transfer to a state outside the EU (law 30.7.2018 art. 159-160; Directive (EU) 2016/680 art. 35-38)."""

from gateway.policy.context import Context
from gateway.policy.facts.declare import fact


@fact("transfer.ground", str)
def transfer_ground(ctx: Context) -> str | None:
    """What a transfer to the partner's state rests on; None when nothing is configured, or nothing documents it."""
    transfer = ctx.settings.transfers.get(ctx.partner.nation)
    return transfer.ground if transfer and transfer.reference.strip() else None


@fact("derogation.gaps", int)
def derogation_gaps(ctx: Context) -> int | None:
    """How much of art. 38(3) is missing: a time that has come, this recipient, a justification, the data.

    None where no derogation is recorded for this transfer.
    """
    found = ctx.derogation
    if found is None:
        return None
    stated = (
        found.at <= ctx.now,
        found.recipient == ctx.partner.org,
        bool(found.justification.strip()),
        bool(found.data),
    )
    return stated.count(False)


@fact("derogation.data", frozenset)
def derogation_data(ctx: Context) -> frozenset[str]:
    """Field patterns that the recorded derogation covers; without one, none."""
    return frozenset(ctx.derogation.data) if ctx.derogation else frozenset()

"""Facts of one field."""

from gateway.model.label import nation_of
from gateway.model.record import LabelledField
from gateway.policy.context import Context
from gateway.policy.facts.declare import MARK, SPEC, day, field_fact, months_begun, rank_of


@field_fact("field.pattern", str, sees=SPEC)
def field_pattern(ctx: Context, field: LabelledField) -> str:
    """Empty for a field the kind does not know: no rule that names a field means it."""
    return field.spec.pattern if field.spec else ""


@field_fact("field.class", str, sees=SPEC)
def field_class(ctx: Context, field: LabelledField) -> str | None:
    """The export class; None for a field the kind does not know."""
    return field.spec.export_class if field.spec else None


@field_fact("field.level", int, sees=MARK)
def field_level(ctx: Context, field: LabelledField) -> int | None:
    return rank_of(ctx, field.label)


@field_fact("field.releasable", bool, sees=MARK)
def field_releasable(ctx: Context, field: LabelledField) -> bool | None:
    """Whether the label names the partner or its state."""
    return field.label.releasable(ctx.partner.org, ctx.partner.nation) if field.label else None


@field_fact("field.no_foreign", bool, sees=MARK)
def field_no_foreign(ctx: Context, field: LabelledField) -> bool | None:
    return field.label.no_foreign if field.label else None


@field_fact("field.tlp", str, sees=MARK)
def field_tlp(ctx: Context, field: LabelledField) -> str | None:
    return field.label.tlp if field.label else None


@field_fact("field.purposes", frozenset, sees=MARK)
def field_purposes(ctx: Context, field: LabelledField) -> frozenset[str] | None:
    """The purposes the label allows; None when that axis is not set."""
    return frozenset(field.label.purpose) if field.label and field.label.purpose is not None else None


@field_fact("field.retention_passed", bool, sees=MARK)
def field_retention_passed(ctx: Context, field: LabelledField) -> bool | None:
    """Whether the supplier's last day of keeping is over; False when the label sets none."""
    if field.label is None:
        return None
    return field.label.retention_until is not None and day(field.label.retention_until) < ctx.now.date()


@field_fact("field.handling_codes", frozenset, sees=MARK)
def field_handling_codes(ctx: Context, field: LabelledField) -> frozenset[str] | None:
    return frozenset(field.label.handling_code) if field.label else None


def others_of(ctx: Context, field: LabelledField) -> set[str] | None:
    """Every originator but us; None when nobody knows where the item came from."""
    if not field.originator or field.label is None:
        return None
    return {field.originator, *field.label.originators} - {ctx.our_org}


@field_fact("field.consent", frozenset)
def field_consent(ctx: Context, field: LabelledField) -> frozenset[str]:
    """Organisations toward which the originator's consent is recorded: it came with the item, or was recorded here
    for such items and this purpose and holds today. Where several supplied an item, each must have consented."""
    came = frozenset(field.consent)
    if field.spec is None:
        return came
    day = ctx.now.date().isoformat()
    recorded = [
        {
            recipient
            for consent in ctx.consents
            if consent.covers(other, field.spec.pattern, ctx.purpose, day)
            for recipient in consent.recipients
        }
        for other in others_of(ctx, field) or ()
    ]
    return came.union(set.intersection(*recorded)) if recorded else came


@field_fact("field.foreign_origin", bool, sees=MARK)
def field_foreign_origin(ctx: Context, field: LabelledField) -> bool | None:
    """Whether a service of another state is among the originators."""
    others = others_of(ctx, field)
    return None if others is None else any(nation_of(other) != ctx.our_nation for other in others)


@field_fact("field.member_state_origin", bool, sees=MARK)
def field_member_state_origin(ctx: Context, field: LabelledField) -> bool | None:
    """Whether each foreign originator is a service of a Member State; None when the states of the Union are unknown."""
    others, states = others_of(ctx, field), ctx.settings.eu_states
    if others is None or not states:
        return None
    return all(nation_of(other) in states for other in others if nation_of(other) != ctx.our_nation)


@field_fact("field.controlled_by_other", bool, sees=MARK)
def field_controlled_by_other(ctx: Context, field: LabelledField) -> bool | None:
    """Whether another service of our own state keeps originator control over the item."""
    others = others_of(ctx, field)
    if others is None or field.label is None:
        return None
    return field.label.originator_control and any(nation_of(other) == ctx.our_nation for other in others)


@field_fact("field.asked_for", bool)
def field_asked_for(ctx: Context, field: LabelledField) -> bool:
    """Whether a request of this partner, for this purpose, asks for the field's pattern."""
    request = ctx.request
    if request is None or field.spec is None:
        return False
    ours = request.partner == ctx.partner.org and request.purpose == ctx.purpose
    return ours and field.spec.pattern in request.asks


@field_fact("field.lifted", bool)
def field_lifted(ctx: Context, field: LabelledField) -> bool:
    return any(lift.pointer == field.pointer for lift in ctx.lifts)


@field_fact("evaluation.age_months", int)
def evaluation_age_months(ctx: Context, field: LabelledField) -> int:
    """Months, the begun one counted, since the threat evaluation was made."""
    return months_begun(day(field.value["date"]), ctx.now.date())


@field_fact("evaluation.lapsed", bool)
def evaluation_lapsed(ctx: Context, field: LabelledField) -> bool:
    """Whether the evaluation's own last day of validity is over; False when it names none."""
    return "valid_until" in field.value and day(field.value["valid_until"]) < ctx.now.date()

"""Facts of one field's marking beyond level and release list: equivalence, action, persons, caveats, statement."""

from gateway.model.label import nation_of, of_a_state
from gateway.model.record import LabelledField
from gateway.policy.context import Context
from gateway.policy.facts.declare import MARK, SPEC, fact, field_fact, terms_of
from gateway.policy.facts.field import others_of


def _equivalent(ctx: Context, field: LabelledField) -> int | None:
    """The rank at which the partner's state protects the field; a disabled row counts under its named agreement."""
    if field.label is None:
        return None
    terms, series = terms_of(ctx), ctx.settings.level_agreements.get(ctx.partner.nation)
    enabled = terms is not None and terms.series == series
    return ctx.levels.protected(field.label.policy, field.label.level, ctx.partner.nation, enabled=enabled)


@field_fact("field.equivalent", int, sees=MARK)
def field_equivalent(ctx: Context, field: LabelledField) -> int | None:
    """Rank of the equivalent in the recipient's policy, moved up where a treaty says so; None where there is none."""
    return _equivalent(ctx, field)


@field_fact("field.protected_as", int, sees=MARK)
def field_protected_as(ctx: Context, field: LabelledField) -> int | None:
    """The rank that ceilings and clearances are held against: the field's own, or that of its equivalent if higher."""
    label = field.label
    return ctx.levels.handled_at(label.policy, label.level, ctx.partner.nation) if label else None


@field_fact("field.level_as_sent", bool, sees=MARK)
def field_level_as_sent(ctx: Context, field: LabelledField) -> bool | None:
    """Whether the level is of a policy that an originator can use: its own state's, or an international one."""
    if field.label is None or not field.originator:
        return None
    nations = {nation_of(originator) for originator in (field.originator, *field.label.originators)}
    return not of_a_state(field.label.policy) or field.label.policy in nations


@field_fact("field.of_others", bool, sees=MARK)
def field_of_others(ctx: Context, field: LabelledField) -> bool | None:
    """Whether anybody but us is among the originators."""
    others = others_of(ctx, field)
    return None if others is None else bool(others)


@field_fact("field.pap_purposes", frozenset, sees=MARK)
def field_pap_purposes(ctx: Context, field: LabelledField) -> frozenset[str] | None:
    """Purposes for which an item of this PAP may leave; None when that axis is not set."""
    if field.label is None or field.label.pap is None:
        return None
    return frozenset(ctx.settings.pap_purposes.get(field.label.pap, ()))


@field_fact("field.legal_bases", frozenset, sees=MARK)
def field_legal_bases(ctx: Context, field: LabelledField) -> frozenset[str] | None:
    """The legal bases the label allows; None when that axis is not set."""
    if field.label is None or field.label.legal_basis is None:
        return None
    return frozenset(field.label.legal_basis)


@field_fact("field.caveats", frozenset, sees=MARK)
def field_caveats(ctx: Context, field: LabelledField) -> frozenset[str] | None:
    return frozenset(field.label.caveat) if field.label else None


@fact("partner.caveats", frozenset)
def partner_caveats(ctx: Context) -> frozenset[str]:
    """Caveats that the partner's state handles as we do."""
    return frozenset(
        caveat for caveat, states in ctx.settings.caveat_states.items() if ctx.partner.nation in states
    )


@field_fact("field.persons", frozenset, sees=MARK)
def field_persons(ctx: Context, field: LabelledField) -> frozenset[str] | None:
    """Whom the field is about: what its label says, else what the kind says of its records."""
    if field.label is None:
        return None
    return frozenset(field.label.person or ([ctx.kind.person] if ctx.kind.person else []))


@field_fact("field.category", str, sees=SPEC)
def field_category(ctx: Context, field: LabelledField) -> str | None:
    return field.spec.category if field.spec else None


@field_fact("field.special", bool, sees=SPEC)
def field_special(ctx: Context, field: LabelledField) -> bool:
    """Whether the kind marks it as a special category of data."""
    return field.spec is not None and field.spec.special


@field_fact("field.statement", str, sees=SPEC)
def field_statement(ctx: Context, field: LabelledField) -> str | None:
    """``fact`` or ``assessment``; None when the kind does not say."""
    return field.spec.statement if field.spec else None


@field_fact("field.justified", bool)
def field_justified(ctx: Context, field: LabelledField) -> bool:
    """Whether a lift names the field and says why."""
    return any(lift.pointer == field.pointer and lift.reason.strip() for lift in ctx.lifts)

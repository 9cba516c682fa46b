"""How a fact is declared, and the readings that several facts share."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any, Literal, TypeVar

import msgspec

from gateway.model.agreement import AgreementTerms, Ceiling
from gateway.model.label import SecurityLabel
from gateway.model.record import LabelledField, fields_of
from gateway.model.time import PartialDate
from gateway.policy.context import Context

Scope = Literal["release", "field"]
Value = bool | int | str | frozenset[str]

#: A date written today in a zone ahead of UTC is tomorrow's, no more.
ZONE_SKEW = timedelta(days=1)


#: What a fact sees: no field; the mark of one (label, originator, consent); what the kind says of it, and nothing else
#: in the world; the field itself. What it answers holds for every field that looks alike from there.
NOTHING, MARK, SPEC, FIELD = range(4)


class FactSpec(msgspec.Struct, frozen=True, eq=False):
    """A fact: its name, what it reads, the exact type of its values, and its function."""

    name: str
    scope: Scope
    type: type[Any]
    compute: Callable[[Context, Any], Value | None]  # given the field, or None where there is none
    sees: int = FIELD  # a release fact that is no `NOTHING` changes with what the field rules left


DECLARED: dict[str, FactSpec] = {}

V = TypeVar("V", bool, int, str, frozenset[str])
ReleaseFact = Callable[[Context], V | None]
FieldFact = Callable[[Context, LabelledField], V | None]


def _register(spec: FactSpec) -> None:
    if spec.name in DECLARED:
        raise ValueError(f"two facts are called `{spec.name}`")
    DECLARED[spec.name] = spec


def fact(name: str, of: type[V], *, after: bool = False) -> Callable[[ReleaseFact[V]], ReleaseFact[V]]:
    """Declare a release fact; with ``after``, one of what the field rules left, and unknown before they ran."""

    def declare(function: ReleaseFact[V]) -> ReleaseFact[V]:
        sees = FIELD if after else NOTHING
        _register(FactSpec(name, "release", of, lambda ctx, _: function(ctx), sees))
        return function

    return declare


def field_fact(name: str, of: type[V], *, sees: int = FIELD) -> Callable[[FieldFact[V]], FieldFact[V]]:
    """Declare a field fact. No release rule reads one: where there is no field, nothing says that it fails.

    It is given no more of a field than it ``sees``: of a specification, no context either.
    """

    def declare(function: FieldFact[V]) -> FieldFact[V]:
        _register(FactSpec(name, "field", of, function, sees))
        return function

    return declare


def marked(field: LabelledField) -> LabelledField:
    """The field as a fact sees it that sees its mark."""
    return LabelledField("", None, None, field.label, field.originator, field.consent)


# --- shared readings -------------------------------------------------------------------------------------------------


def fields_read(ctx: Context) -> tuple[LabelledField, ...]:
    """Fields of the record, as `decide` read them once."""
    return tuple(fields_of(ctx.record, ctx.kind)) if ctx.fields is None else ctx.fields


def subject_fields(ctx: Context) -> tuple[LabelledField, ...]:
    """Fields of the record in full."""
    return fields_read(ctx) if ctx.subject is ctx.record else tuple(fields_of(ctx.subject, ctx.kind))


def terms_of(ctx: Context) -> AgreementTerms | None:
    return ctx.agreement.terms if ctx.agreement else None


def rank_of(ctx: Context, level: Ceiling | SecurityLabel | None) -> int | None:
    return ctx.levels.rank(level.policy, level.level) if level else None


def day(text: Any) -> date:
    """A full calendar date; anything else fails."""
    bounds = PartialDate(date=text, precision="day").bounds()
    if bounds is None:
        raise ValueError("not a calendar date")
    return bounds[0]


def months_begun(since: date, today: date) -> int:
    """Months between two days, a begun one counted whole: exactly six months are 6, a day more is 7."""
    if since > today + ZONE_SKEW:
        raise ValueError("a date in the future has no age")
    return max(0, (today.year - since.year) * 12 + today.month - since.month + (today.day > since.day))

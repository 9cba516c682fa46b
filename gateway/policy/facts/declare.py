"""How a fact is declared, and the readings that several facts share."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any, Literal, TypeVar

import msgspec

from gateway.model.agreement import AgreementTerms, Ceiling
from gateway.model.label import SecurityLabel
from gateway.model.record import LabelledField
from gateway.model.time import PartialDate
from gateway.policy.context import Context

Scope = Literal["release", "field"]
Value = bool | int | str | frozenset[str]

#: A date written today in a zone ahead of UTC is tomorrow's, no more.
ZONE_SKEW = timedelta(days=1)


class FactSpec(msgspec.Struct, frozen=True):
    """A fact: its name, what it reads, the exact type of its values, and its function."""

    name: str
    scope: Scope
    type: type
    compute: Callable[[Context, LabelledField | None], Value | None]
    of_mark: bool = False  # of a field it sees the label, originator and consent, and nothing else


DECLARED: dict[str, FactSpec] = {}

V = TypeVar("V", bool, int, str, frozenset[str])
ReleaseFact = Callable[[Context], V | None]
FieldFact = Callable[[Context, LabelledField], V | None]


def _register(spec: FactSpec) -> None:
    if spec.name in DECLARED:
        raise ValueError(f"two facts are called `{spec.name}`")
    DECLARED[spec.name] = spec


def fact(name: str, of: type[V]) -> Callable[[ReleaseFact[V]], ReleaseFact[V]]:
    """Declare a release fact."""

    def declare(function: ReleaseFact[V]) -> ReleaseFact[V]:
        _register(FactSpec(name, "release", of, lambda ctx, _: function(ctx)))
        return function

    return declare


def field_fact(name: str, of: type[V], *, of_mark: bool = False) -> Callable[[FieldFact[V]], FieldFact[V]]:
    """Declare a field fact. Read where there is no field, it fails, and so denies.

    With ``of_mark`` it is given the field without pointer, value and specification (`marked`): what it says then holds
    for every field that is marked alike.
    """

    def declare(function: FieldFact[V]) -> FieldFact[V]:
        def compute(ctx: Context, field: LabelledField | None) -> Value | None:
            if field is None:
                raise LookupError(name)
            return function(ctx, marked(field) if of_mark else field)

        _register(FactSpec(name, "field", of, compute, of_mark))
        return function

    return declare


def marked(field: LabelledField) -> LabelledField:
    """The field as a fact of its mark sees it."""
    return LabelledField("", None, None, field.label, field.originator, field.consent)


# --- shared readings -------------------------------------------------------------------------------------------------


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

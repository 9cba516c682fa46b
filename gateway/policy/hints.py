"""Words that stay inside, looked at as those that leave: what an officer writes as a reason is kept and read by others.

A hint denies nothing, since nothing of it travels. It says where a reason holds a register number, or a value that the
same decision withholds.
"""

from collections.abc import Iterator, Sequence

from gateway.model.decision import Decision, Hint
from gateway.model.record import fields_of
from gateway.model.request import Emergency, Lift
from gateway.policy.context import Context
from gateway.policy.facts.text import holding, withheld_values
from gateway.policy.numbers import register_numbers
from gateway.policy.texts import Rights, Value


def hints(ctx: Context, decision: Decision, others: Sequence[Value] = ()) -> tuple[Hint, ...]:
    """Where one of the texts that stay inside says what it need not.

    ``others`` are values of other records that are withheld from the same partner. Of a denial, which withholds
    everything, only register numbers are told.
    """
    return tuple(_hints(ctx, decision, inside(ctx.justification, ctx.lifts, ctx.emergency), others))


def inside(justification: str, lifts: Sequence[Lift], emergency: Emergency | None) -> list[tuple[str, str]]:
    """What an officer writes about a release and nobody sends, each under its pointer in the decision document."""
    texts = [("/justification", justification)]
    texts += [(f"/lifts/{index}/reason", lift.reason) for index, lift in enumerate(lifts)]
    return texts if emergency is None else [*texts, ("/emergency/threat", emergency.threat)]


def _hints(
    ctx: Context, decision: Decision, texts: list[tuple[str, str]], others: Sequence[Value]
) -> Iterator[Hint]:
    yield from (
        Hint(pointer, "free-text.register-number") for pointer, text in texts if register_numbers(text)
    )
    if decision.effect != "DENY":
        released = frozenset(decision.released)
        left = [field for field in fields_of(ctx.record, ctx.kind) if field.pointer in released]
        own = withheld_values(ctx, left)
        yield from (Hint(pointer, "free-text.withheld") for pointer in holding(texts, own, Rights(left)))
        yield from (Hint(pointer, "free-text.mentioned") for pointer in holding(texts, others, Rights(())))

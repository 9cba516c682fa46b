"""Facts of what is said in somebody's own words: what of it must not leave, named by pointer, never by value.

Known once the field rules have said what leaves; None where no text holds such a thing.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from gateway.model.record import LabelledField, free_texts, member_of, said_texts
from gateway.policy.context import Context
from gateway.policy.facts.declare import fact, fields_read, subject_fields
from gateway.policy.numbers import register_numbers
from gateway.policy.texts import Readings, Rights, Value, values_of


@fact("text.register_numbers", frozenset, after=True)
def text_register_numbers(ctx: Context) -> frozenset[str] | None:
    """Texts that leave with a register or account number, unless the same number leaves as data of class A."""
    left = _left(ctx)
    texts = _texts(left)
    if not texts:
        return None
    told = [(pointer, numbers) for pointer, text in texts if (numbers := register_numbers(text))]
    if not told:
        return None
    structured = (value.text for field in left if _class_a(field) for value in _data(field))
    known = frozenset(number for text in structured for number in register_numbers(text))
    return _some(pointer for pointer, numbers in told if numbers - known)


@fact("text.withheld", frozenset, after=True)
def text_withheld(ctx: Context) -> frozenset[str] | None:
    """Texts that leave with a value that another field of the record keeps back."""
    left = _left(ctx)
    texts = _texts(left)
    return _some(holding(texts, withheld_values(ctx, left), Rights(left))) if texts else None


@fact("text.mentioned", frozenset, after=True)
def text_mentioned(ctx: Context) -> frozenset[str] | None:
    """Texts that leave, data or somebody's own words, with a value that our record about a person mentioned keeps back
    from this partner."""
    if not ctx.mentioned:
        return None
    said = [found for field in subject_fields(ctx) for found in said_texts(field)]
    named = {(_members(pointer), text) for pointer, text in said if pointer in ctx.mentioned}
    left = [found for field in _left(ctx) for found in said_texts(field)]
    return _some(pointer for pointer, text in left if (_members(pointer), text) in named)


def withheld_values(ctx: Context, left: list[LabelledField]) -> list[Value]:
    """Values of the fields of the whole record that ``left`` does not hold."""
    pointers = {field.pointer for field in left} if ctx.subject is ctx.record else ()
    stays = [field for field in subject_fields(ctx) if field.pointer not in pointers]
    members = {member_of(field.pointer) for field in stays}
    leaving = {_mark(field) for field in left if member_of(field.pointer) in members}
    kept = (field for field in stays if not leaving or _mark(field) not in leaving)
    return list(dict.fromkeys(values_of(kept)))


def holding(texts: list[tuple[str, str]], values: Sequence[Value], rights: Rights) -> Iterator[str]:
    """Pointers of the texts that hold one of these values, but such as stand there by right."""
    for pointer, text in texts:
        readings = Readings(text)
        if any(readings.hold(value.text) and not rights.cover(value) for value in values):
            yield pointer


def _left(ctx: Context) -> list[LabelledField]:
    """Fields that leave; none before the field rules ran."""
    left = ctx.left or frozenset()
    return [field for field in fields_read(ctx) if field.pointer in left]


def _texts(fields: Iterable[LabelledField]) -> list[tuple[str, str]]:
    spoken = (field for field in fields if field.spec is not None and field.spec.texts)
    return [found for field in spoken for found in free_texts(field)]


def _data(field: LabelledField) -> Iterator[Value]:
    texts = field.spec.texts if field.spec else frozenset()
    return (value for value in values_of([field]) if texts.isdisjoint(value.place))


def _class_a(field: LabelledField) -> bool:
    return field.spec is not None and field.spec.export_class == "A"


def _mark(field: LabelledField) -> tuple[str, bytes]:
    """A field but for its place in a list, which is another one after redaction."""
    return member_of(field.pointer), msgspec.json.encode(field.value, order="deterministic")


def _members(pointer: str) -> tuple[str, ...]:
    return tuple(step for step in pointer.split("/")[1:] if not step.isdecimal())


def _some(pointers: Iterator[str]) -> frozenset[str] | None:
    return frozenset(pointers) or None

"""Facts of the record, always read in full: what was withheld changes none of them (but `record.members`)."""

from collections import Counter
from datetime import date

from gateway.model.record import members_of
from gateway.model.time import PartialDate, full_years
from gateway.policy.context import Context
from gateway.policy.facts.declare import day, fact, fields_read, months_begun, subject_fields

#: Seconds an extract may seem to come from the future: the clocks of two honest machines differ by less.
CLOCK_SKEW_S = 300

#: Where a kind keeps the persons that its records mention.
_MENTIONED = "/persons/*"

#: Years at which a person is of full age (old Civil Code art. 488).
FULL_AGE = 18


@fact("record.kind", str)
def record_kind(ctx: Context) -> str:
    """The kind's name; fails when record and kind are not of the same."""
    if not ctx.record.kind == ctx.subject.kind == ctx.kind.name:
        raise ValueError("record and kind differ")
    return ctx.kind.name


@fact("record.regime", str)
def record_regime(ctx: Context) -> str:
    return ctx.kind.regime


@fact("kind.person", str)
def kind_person(ctx: Context) -> str | None:
    """Whom records of the kind are about (LED art. 6), ``none`` for nobody; None when the kind does not say."""
    return ctx.kind.person


@fact("record.of_a_person", bool)
def record_of_a_person(ctx: Context) -> bool:
    """False only where the kind says that it is about nobody, or knows entities and the record is of one.

    Of a kind that mentions persons a record is about them, if it does.
    """
    if ctx.kind.spec(_MENTIONED) is not None:
        return bool(ctx.subject.content.get("persons"))
    entity = ctx.kind.spec("/subject") is not None and ctx.subject.content.get("subject") == "entity"
    return not (entity or ctx.kind.person == "none")


@fact("record.listing", str)
def record_listing(ctx: Context) -> str | None:
    """State of an entry of a published list."""
    return (ctx.subject.content.get("listing") or {}).get("state")


@fact("record.unlabelled_items", int)
def record_unlabelled_items(ctx: Context) -> int:
    """Fields without exactly one label: two labels of one field are a doubt, and doubt is no label."""
    labelled = [entry.pointer for entry in ctx.subject.labels if entry.label is not None]
    once = {*labelled}
    if len(once) < len(labelled):
        once = {pointer for pointer, count in Counter(labelled).items() if count == 1}
    return len({field.pointer for field in subject_fields(ctx)} - once)


@fact("record.unknown_levels", int)
def record_unknown_levels(ctx: Context) -> int:
    """Labels whose (policy, level) has no rank in the table."""
    return ctx.levels.unranked([entry.label for entry in ctx.subject.labels if entry.label is not None])


@fact("record.embargoed", bool)
def record_embargoed(ctx: Context) -> bool:
    """An embargo on the subject, or on any item of the record."""
    return ctx.embargoed or True in [entry.label.embargo for entry in ctx.subject.labels if entry.label]


@fact("record.members", frozenset)
def record_members(ctx: Context) -> frozenset[str]:
    """Members that hold a field at all; an empty list holds none."""
    return members_of(fields_read(ctx))


@fact("kind.required", frozenset)
def kind_required(ctx: Context) -> frozenset[str]:
    return ctx.kind.required


@fact("extract.age_s", int)
def extract_age_s(ctx: Context) -> int:
    """Seconds since the extract was made; fails for one from the future."""
    age = int((ctx.now - ctx.subject.extracted_at).total_seconds())
    if age < -CLOCK_SKEW_S:
        raise ValueError("an extract from the future has no age")
    return max(0, age)


@fact("record.validation", str)
def record_validation(ctx: Context) -> str | None:
    return (ctx.subject.content.get("validation") or {}).get("state")


@fact("record.card", str)
def record_card(ctx: Context) -> str | None:
    return (ctx.subject.content.get("status") or {}).get("card")


@fact("record.archived", bool)
def record_archived(ctx: Context) -> bool | None:
    return (ctx.subject.content.get("status") or {}).get("archived")


@fact("record.judicial_information", bool)
def record_judicial_information(ctx: Context) -> bool | None:
    return (ctx.subject.content.get("status") or {}).get("judicial_information")


@fact("record.in_pre_inquiry", bool)
def record_in_pre_inquiry(ctx: Context) -> bool:
    return "pre_inquiry" in ctx.subject.content


@fact("pre_inquiry.age_months", int)
def pre_inquiry_age_months(ctx: Context) -> int | None:
    inquiry = ctx.subject.content.get("pre_inquiry")
    return None if inquiry is None else months_begun(day(inquiry["since"]), ctx.now.date())


@fact("person.min_age", int)
def person_min_age(ctx: Context) -> int | None:
    """The youngest age, in completed years, that the birth dates allow; None when one of them cannot be told.

    Of persons that a record names, a birth date or the word that they are of full age, which is `FULL_AGE` years, of
    each; whoever it mentions by the record about them counts with the age that this tells.
    """
    ages = [] if ctx.mentioned_age is None else [ctx.mentioned_age]
    births = [*(ctx.subject.content.get("birth") or ())]
    if ctx.kind.spec(_MENTIONED) is not None:
        persons = ctx.subject.content.get("persons") or ()
        if not all("birth" in person or person.get("adult") is True for person in persons):
            return None
        births = [person["birth"] for person in persons if "birth" in person]
        if persons and not births:
            ages.append(FULL_AGE)
    latest: list[date] = []
    for birth in births:
        bounds = PartialDate(birth["date"], birth["precision"], birth.get("about", False)).bounds()
        if bounds is None:
            return None
        latest.append(bounds[1])
    if latest:
        ages.append(full_years(max(latest), ctx.now.date()))
    return min(ages, default=None)

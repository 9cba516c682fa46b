"""Facts of the act of release: why, by whom, what the partner holds already, and what was configured."""

from gateway.policy.context import Context
from gateway.policy.facts.declare import fact, rank_of

#: The pointer a lift names to let a minor's record leave: the person, not a field.
PERSON = "/person"


@fact("our.org", str)
def our_org(ctx: Context) -> str:
    return ctx.our_org


@fact("release.purpose", str)
def release_purpose(ctx: Context) -> str:
    return ctx.purpose


@fact("release.legal_basis", str)
def release_legal_basis(ctx: Context) -> str:
    return ctx.legal_basis


@fact("release.justification", str)
def release_justification(ctx: Context) -> str:
    """The officer's justification without surrounding space."""
    return ctx.justification.strip()


@fact("release.language", str)
def release_language(ctx: Context) -> str:
    return ctx.language


@fact("release.format", str)
def release_format(ctx: Context) -> str:
    return ctx.format


@fact("release.judicial_authorisation", str)
def release_judicial_authorisation(ctx: Context) -> str:
    return ctx.judicial_authorisation.strip()


def _records_after(ctx: Context) -> int:
    return ctx.held.records + (not ctx.held.subject_held)


@fact("held.records_after", int)
def held_records_after(ctx: Context) -> int:
    """Distinct records the partner would hold in the bulk window with this one; a subject held already is not new."""
    return _records_after(ctx)


@fact("compilation.level", int)
def compilation_level(ctx: Context) -> int | None:
    """Rank of what the partner would hold as a whole: 0 up to the threshold, then the configured level's.

    Counted within the agreement's bulk window, as `Held` is: what left before it is not seen. Art. 5 of the law of
    11.12.1998 knows no window; holdings over all time are not counted in this version.
    """
    limit = ctx.settings.compilation
    if limit is None:
        return None
    return rank_of(ctx, limit.level) if _records_after(ctx) > limit.records else 0


@fact("channel.ceiling", int)
def channel_ceiling(ctx: Context) -> int | None:
    return rank_of(ctx, ctx.settings.channel_ceiling)


@fact("lifts.count", int)
def lifts_count(ctx: Context) -> int:
    return len(ctx.lifts)


@fact("lifts.without_reason", int)
def lifts_without_reason(ctx: Context) -> int:
    return sum(not lift.reason.strip() for lift in ctx.lifts)


@fact("lifts.person", bool)
def lifts_person(ctx: Context) -> bool:
    """Whether a lift names the person as such (a minor)."""
    return any(lift.pointer == PERSON for lift in ctx.lifts)


@fact("request.partner", str)
def request_partner(ctx: Context) -> str | None:
    """Who asked, where the release answers a request."""
    return ctx.request.partner if ctx.request else None


@fact("request.purpose", str)
def request_purpose(ctx: Context) -> str | None:
    return ctx.request.purpose if ctx.request else None


@fact("fields.permitted", int)
def fields_permitted(ctx: Context) -> int | None:
    return ctx.permitted


@fact("fields.members", frozenset)
def fields_members(ctx: Context) -> frozenset[str] | None:
    """Members of which at least one field leaves."""
    return ctx.members


@fact("officers.count", int)
def officers_count(ctx: Context) -> int:
    return len(ctx.officers)


@fact("officers.persons", int)
def officers_persons(ctx: Context) -> int:
    """Distinct human beings: two identities of one person are one."""
    return len({officer.person for officer in ctx.officers})


@fact("officers.unfit", int)
def officers_unfit(ctx: Context) -> int:
    """Officers who are suspended or lack the role of their place: requester first, approvers after."""
    return sum(
        officer.suspended or ("approver" if place else "requester") not in officer.roles
        for place, officer in enumerate(ctx.officers)
    )


@fact("officers.lift_approvers", int)
def officers_lift_approvers(ctx: Context) -> int:
    """Approvers (never the requester) who may approve lifts."""
    return sum("lift-approver" in officer.roles for officer in ctx.officers[1:])


@fact("officers.without_need_to_know", int)
def officers_without_need_to_know(ctx: Context) -> int:
    """Officers whose need-to-know names neither the kind nor this version of it."""
    return sum(not officer.needs_to_know(ctx.kind.name) for officer in ctx.officers)


@fact("officers.clearance", int)
def officers_clearance(ctx: Context) -> int | None:
    """The lowest rank among the officers' clearances at ``now``; None without an officer."""
    return min((officer.clearance_rank(ctx.now, ctx.levels) for officer in ctx.officers), default=None)


@fact("settings.freshness_s", int)
def settings_freshness_s(ctx: Context) -> int | None:
    return ctx.settings.freshness_s


@fact("settings.evaluation_months", int)
def settings_evaluation_months(ctx: Context) -> int | None:
    return ctx.settings.evaluation_months


@fact("settings.pre_inquiry_months", int)
def settings_pre_inquiry_months(ctx: Context) -> int | None:
    return ctx.settings.pre_inquiry_months


@fact("settings.min_age", int)
def settings_min_age(ctx: Context) -> int | None:
    return ctx.settings.min_age


@fact("settings.flagged_age", int)
def settings_flagged_age(ctx: Context) -> int | None:
    return ctx.settings.flagged_age


@fact("settings.intelligence_conditions", str)
def settings_intelligence_conditions(ctx: Context) -> str | None:
    return ctx.settings.intelligence_conditions or None


@fact("settings.domestic_handling_codes", frozenset)
def settings_domestic_handling_codes(ctx: Context) -> frozenset[str]:
    return frozenset(ctx.settings.domestic_handling_codes)


@fact("settings.evaluation_recipients", frozenset)
def settings_evaluation_recipients(ctx: Context) -> frozenset[str]:
    return frozenset(ctx.settings.evaluation_recipients)

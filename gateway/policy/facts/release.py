"""Facts of the act of release: why, by whom, what the partner holds already, and what was configured."""

from gateway.policy.context import Context
from gateway.policy.facts.declare import fact, rank_of

#: The pointer a lift names to let a minor's record leave: the person, not a field.
PERSON = "/person"

#: The pointer a lift names to disclose about a subject once more than configured.
REPEAT = "/repeat"


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


@fact("held.records_after", int)
def held_records_after(ctx: Context) -> int:
    """Distinct records held in the bulk window with this one; a subject held already is not new."""
    return ctx.held.records + (not ctx.held.subject_held)


@fact("held.disclosures_after", int)
def held_disclosures_after(ctx: Context) -> int:
    """Disclosures about this subject within the configured window, this one among them."""
    return ctx.held.disclosures + 1


@fact("held.combination_level", int, after=True)
def held_combination_level(ctx: Context) -> int | None:
    """Rank of the highest combination that would be held of this subject with what leaves now; 0 without one.

    None while none is configured, and before the field rules have said what leaves. Judged on what leaves: where one
    member less leaves, the combination may not be reached, and the rest may go.
    """
    limit = ctx.settings.compilation
    if limit is None or not limit.combinations or ctx.members is None:
        return None
    after = ctx.held.members | ctx.members
    worth = [rank_of(ctx, each.level) for each in limit.combinations if after.issuperset(each.members)]
    return max((0, *(_required(rank) for rank in worth)))


@fact("held.sharing_ceiling", int)
def held_sharing_ceiling(ctx: Context) -> int | None:
    """The lowest agreed ceiling of those the partner shares with; None when it shares with nobody."""
    return min((_required(rank_of(ctx, each.ceiling)) for each in ctx.held.sharing), default=None)


@fact("held.sharing_quota", int)
def held_sharing_quota(ctx: Context) -> int | None:
    """The lowest quota of those the partner shares with; None when none of them has one."""
    return min((each.quota for each in ctx.held.sharing if each.quota is not None), default=None)


@fact("compilation.level", int)
def compilation_level(ctx: Context) -> int | None:
    """Rank of what would be held as a whole, over all time: 0 up to the threshold, then the configured level's."""
    limit = ctx.settings.compilation
    if limit is None:
        return None
    after = ctx.held.total + (not ctx.held.subject_ever)
    return rank_of(ctx, limit.level) if after > limit.records else 0


def _required(rank: int | None) -> int:
    if rank is None:
        raise LookupError("a level without a rank")
    return rank


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


@fact("lifts.repeat", bool)
def lifts_repeat(ctx: Context) -> bool:
    """Whether a lift names the repetition."""
    return any(lift.pointer == REPEAT for lift in ctx.lifts)


@fact("fields.permitted", int, after=True)
def fields_permitted(ctx: Context) -> int | None:
    return ctx.permitted


@fact("fields.members", frozenset, after=True)
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


@fact("settings.repeats", int)
def settings_repeats(ctx: Context) -> int | None:
    """Disclosures about one subject within the configured window."""
    return ctx.settings.repeats.disclosures if ctx.settings.repeats else None


@fact("settings.min_age", int)
def settings_min_age(ctx: Context) -> int | None:
    return ctx.settings.min_age


@fact("settings.flagged_age", int)
def settings_flagged_age(ctx: Context) -> int | None:
    return ctx.settings.flagged_age


@fact("settings.intelligence_conditions", str)
def settings_intelligence_conditions(ctx: Context) -> str | None:
    """Reference of the conditions, without surrounding space; None when there is none."""
    return (ctx.settings.intelligence_conditions or "").strip() or None


@fact("settings.domestic_handling_codes", frozenset)
def settings_domestic_handling_codes(ctx: Context) -> frozenset[str]:
    return frozenset(ctx.settings.domestic_handling_codes)


@fact("settings.evaluation_recipients", frozenset)
def settings_evaluation_recipients(ctx: Context) -> frozenset[str]:
    return frozenset(ctx.settings.evaluation_recipients)

"""Facts of the agreement in force, and of the partner under it."""

from gateway.model.agreement import ProtocolFields
from gateway.model.party import Assurance
from gateway.policy.context import Context
from gateway.policy.facts.declare import fact, rank_of, terms_of


@fact("agreement.signed_ours", bool)
def agreement_signed_ours(ctx: Context) -> bool | None:
    return ctx.agreement.signed_ours if ctx.agreement else None


@fact("agreement.signed_theirs", bool)
def agreement_signed_theirs(ctx: Context) -> bool | None:
    return ctx.agreement.signed_theirs if ctx.agreement else None


@fact("agreement.current", bool)
def agreement_current(ctx: Context) -> bool | None:
    """Not revoked, and ``now`` lies within ``[not_before, not_after)``."""
    if ctx.agreement is None:
        return None
    terms = ctx.agreement.terms
    return not ctx.agreement.revoked and terms.not_before <= ctx.now < terms.not_after


@fact("agreement.parties", frozenset)
def agreement_parties(ctx: Context) -> frozenset[str] | None:
    return frozenset(terms.parties) if (terms := terms_of(ctx)) else None


@fact("agreement.kinds", frozenset)
def agreement_kinds(ctx: Context) -> frozenset[str] | None:
    return frozenset(terms.kinds) if (terms := terms_of(ctx)) else None


@fact("agreement.purposes", frozenset)
def agreement_purposes(ctx: Context) -> frozenset[str] | None:
    return frozenset(terms.purposes) if (terms := terms_of(ctx)) else None


@fact("agreement.lifts", frozenset)
def agreement_lifts(ctx: Context) -> frozenset[str] | None:
    return frozenset(terms.lifts) if (terms := terms_of(ctx)) else None


@fact("agreement.languages", frozenset)
def agreement_languages(ctx: Context) -> frozenset[str] | None:
    return frozenset(terms.languages) if (terms := terms_of(ctx)) else None


@fact("agreement.formats", frozenset)
def agreement_formats(ctx: Context) -> frozenset[str] | None:
    return frozenset(terms.formats) if (terms := terms_of(ctx)) else None


@fact("agreement.regime", str)
def agreement_regime(ctx: Context) -> str | None:
    return terms.regime if (terms := terms_of(ctx)) else None


@fact("agreement.route", str)
def agreement_route(ctx: Context) -> str | None:
    return terms.route if (terms := terms_of(ctx)) else None


@fact("agreement.recipient_kind", str)
def agreement_recipient_kind(ctx: Context) -> str | None:
    """What the agreement says the partner is; None when it does not say."""
    return terms.recipient_kinds.get(ctx.partner.org) if (terms := terms_of(ctx)) else None


@fact("agreement.legal_basis", str)
def agreement_legal_basis(ctx: Context) -> str | None:
    return terms.legal_basis if (terms := terms_of(ctx)) else None


def _stated(field: str | tuple[str, ...]) -> bool:
    entries = (field,) if isinstance(field, str) else field
    return bool(entries) and all(any(map(str.isalnum, entry)) for entry in entries)


@fact("agreement.protocol", frozenset)
def agreement_protocol(ctx: Context) -> frozenset[str] | None:
    """Names of the protocol fields that state something: an entry, and a letter or digit in every entry."""
    if (terms := terms_of(ctx)) is None:
        return None
    return frozenset(
        [name for name in ProtocolFields.__struct_fields__ if _stated(getattr(terms.protocol, name))]
    )


@fact("agreement.ceiling", int)
def agreement_ceiling(ctx: Context) -> int | None:
    """Rank of the agreed ceiling; None for a level the table does not hold."""
    return rank_of(ctx, terms.ceiling) if (terms := terms_of(ctx)) else None


@fact("agreement.retention_days", int)
def agreement_retention_days(ctx: Context) -> int | None:
    return terms.retention_days if (terms := terms_of(ctx)) else None


@fact("agreement.bulk.records", int)
def agreement_bulk_records(ctx: Context) -> int | None:
    return terms.bulk.records if (terms := terms_of(ctx)) and terms.bulk else None


@fact("partner.bdc_reference", str)
def partner_bdc_reference(ctx: Context) -> str | None:
    """The legal reference by which a recipient of this kind may get BDC data; None when there is none."""
    return ctx.settings.bdc_references.get(ctx.partner.recipient_kind, "").strip() or None


@fact("partner.org", str)
def partner_org(ctx: Context) -> str:
    return ctx.partner.org


@fact("partner.kind", str)
def partner_kind(ctx: Context) -> str:
    return ctx.partner.recipient_kind


@fact("partner.stopped", bool)
def partner_stopped(ctx: Context) -> bool:
    return ctx.partner.stopped


@fact("partner.languages", frozenset)
def partner_languages(ctx: Context) -> frozenset[str]:
    return frozenset(ctx.partner.languages)


@fact("partner.formats", frozenset)
def partner_formats(ctx: Context) -> frozenset[str]:
    return frozenset(ctx.partner.formats)


@fact("partner.in_eu", bool)
def partner_in_eu(ctx: Context) -> bool | None:
    """None while no list of EU states is configured."""
    return ctx.partner.nation in ctx.settings.eu_states if ctx.settings.eu_states else None


@fact("partner.bdc_route", str)
def partner_bdc_route(ctx: Context) -> str | None:
    """The legal route by which a recipient of this kind may get BDC data; None when there is none."""
    return ctx.settings.bdc_recipients.get(ctx.partner.recipient_kind)


_RECEIPTS = ("none", "fetched", "signed")


def _shortfalls(offered: Assurance, wanted: Assurance) -> int:
    promises = ("origin_signed", "end_to_end_encrypted", "ordered", "recall_ack")
    missing = [name for name in promises if getattr(wanted, name) and not getattr(offered, name)]
    return len(missing) + (_RECEIPTS.index(offered.receipt) < _RECEIPTS.index(wanted.receipt))


@fact("assurance.shortfalls", int)
def assurance_shortfalls(ctx: Context) -> int | None:
    """How many assurances of the agreement's and our own minimum the transport does not give."""
    terms, ours = terms_of(ctx), ctx.settings.minimum_assurance
    if terms is None or ours is None:
        return None
    return sum(_shortfalls(ctx.partner.assurance, wanted) for wanted in (terms.minimum_assurance, ours))

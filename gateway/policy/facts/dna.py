"""Facts of a DNA profile (Council Decision 2008/616/JHA annex ch. 1; Regulation (EU) 2024/982 art. 47, 49).

A record of this regime holds ``profile``: its ``type`` (``reference`` or ``trace``) and its ``loci``, each with its
allele values as texts; ``match`` where it tells of one, with the officer who confirmed it in ``confirmed_by``.
"""

from collections.abc import Mapping

from gateway.policy.context import Context
from gateway.policy.facts.declare import fact

#: The European Standard Set of 2001, of which a reference profile holds all but one.
ESS = frozenset({"VWA", "TH01", "D21S11", "FGA", "D8S1179", "D3S1358", "D18S51"})

#: Tells the sex and nothing about identity: not a locus to count.
SEX_MARKER = "Amelogenin"

#: Allele values of one locus; more are of more than one person.
ALLELES = 2

#: Stands for what was read and is no allele.
WILDCARD = "*"

#: The pointer a lift names to let core data follow a confirmed match: the set, not a field.
CORE_DATA = "/core-data"


def _loci(ctx: Context) -> Mapping[str, list[str]] | None:
    profile = ctx.subject.content.get("profile")
    return None if profile is None else profile["loci"]


def _full(loci: Mapping[str, list[str]]) -> frozenset[str]:
    """Loci with both values read."""
    return frozenset(
        name
        for name, alleles in loci.items()
        if name != SEX_MARKER and len(alleles) == ALLELES and WILDCARD not in alleles
    )


@fact("dna.full_loci", int)
def dna_full_loci(ctx: Context) -> int | None:
    return None if (loci := _loci(ctx)) is None else len(_full(loci))


@fact("dna.ess_loci", int)
def dna_ess_loci(ctx: Context) -> int | None:
    """Full loci of the European Standard Set."""
    return None if (loci := _loci(ctx)) is None else len(_full(loci) & ESS)


@fact("dna.mixed", bool)
def dna_mixed(ctx: Context) -> bool | None:
    """Whether a locus holds more values than one person has."""
    return None if (loci := _loci(ctx)) is None else any(len(alleles) > ALLELES for alleles in loci.values())


@fact("dna.type", str)
def dna_type(ctx: Context) -> str | None:
    profile = ctx.subject.content.get("profile")
    return None if profile is None else profile["type"]


@fact("dna.match", bool)
def dna_match(ctx: Context) -> bool:
    return "match" in ctx.subject.content


@fact("dna.confirmed_by", str)
def dna_confirmed_by(ctx: Context) -> str | None:
    """The officer who confirmed the match; None when nobody has."""
    return (ctx.subject.content.get("match") or {}).get("confirmed_by", "").strip() or None


@fact("lifts.core_data", bool)
def lifts_core_data(ctx: Context) -> bool:
    """Whether a lift names the core data as such."""
    return any(lift.pointer == CORE_DATA for lift in ctx.lifts)

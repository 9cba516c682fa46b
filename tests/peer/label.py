"""Labels of section 10: their form, the ranks of levels, and what is at least as strict as what."""

from __future__ import annotations

from typing import Any

from tests.peer.shape import boolean, closed, day, one_of, set_of, text
from tests.peer.spelling import Misspelt

#: A label, as it stands in a payload.
Label = dict[str, Any]

NAME = r"[A-Za-z0-9][A-Za-z0-9 +._:/-]{0,127}"

#: Text of 1 to 64 characters without control characters.
SHORT = r"[^\x00-\x1f\x7f-\x9f]{1,64}"

MARKINGS = ("CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED")
ACTIONS = ("CLEAR", "GREEN", "AMBER", "RED")

label = closed(
    {"policy": text(SHORT), "level": text(SHORT)},
    {
        "releasable_to": set_of(text(NAME)),
        "originators": set_of(text(NAME)),
        "originator_control": boolean,
        "handling_code": set_of(one_of("H0", "H1", "H2", "H3")),
        "tlp": one_of(*MARKINGS),
        "purpose": set_of(text(NAME)),
        "retention_until": day,
        "no_foreign": boolean,
        "embargo": boolean,
        "pap": one_of(*ACTIONS),
        "legal_basis": set_of(text(NAME)),
        "person": set_of(one_of("suspect", "convicted", "contact", "victim", "witness", "minor")),
        "caveat": set_of(one_of("DIFFUSION RESTREINTE")),
    },
    defaults={
        "releasable_to": [],
        "originators": [],
        "originator_control": False,
        "handling_code": [],
        "no_foreign": False,
        "embargo": False,
        "person": [],
        "caveat": [],
    },
)

_LEVELS: dict[str, tuple[tuple[str, ...], ...]] = {
    "BEL": (
        ("UNCLASSIFIED", "NON CLASSIFIE", "NIET GECLASSIFICEERD"),
        ("RESTREINT", "BEPERKT"),
        ("CONFIDENTIEL", "VERTROUWELIJK"),
        ("SECRET", "GEHEIM"),
        ("TRES SECRET", "ZEER GEHEIM"),
    ),
    "EU": (
        ("UNCLASSIFIED",),
        ("RESTREINT UE/EU RESTRICTED",),
        ("CONFIDENTIEL UE/EU CONFIDENTIAL",),
        ("SECRET UE/EU SECRET",),
        ("TRÈS SECRET UE/EU TOP SECRET",),
    ),
    "FRA": (("UNCLASSIFIED",), (), (), ("SECRET",), ("TRÈS SECRET",)),
    "NLD": (
        ("UNCLASSIFIED",),
        ("Dep. VERTROUWELIJK",),
        ("Stg. CONFIDENTIEEL",),
        ("Stg. GEHEIM",),
        ("Stg. ZEER GEHEIM",),
    ),
    "NATO": (
        ("NATO UNCLASSIFIED",),
        ("NATO RESTRICTED",),
        ("NATO CONFIDENTIAL",),
        ("NATO SECRET",),
        ("COSMIC TOP SECRET",),
    ),
}

#: Rank of every (policy, level) that this peer knows; it took over the rows it needs, any other is unknown.
RANKS = {
    (policy, level): rank
    for policy, ranked in _LEVELS.items()
    for rank, levels in enumerate(ranked)
    for level in levels
}


def rank(policy: str, level: str) -> int:
    try:
        return RANKS[policy, level]
    except KeyError:
        raise Misspelt from None


def released_to(marked: Label, org: str) -> bool:
    """Whether a label lets this organisation see what it marks."""
    named = marked.get("releasable_to", ())
    return not marked.get("no_foreign", False) and (org in named or org[:3].upper() in named)


def at_least(upper: Label, lower: Label) -> bool:
    """Whether one label is as strict as another on every axis."""
    axes = (
        rank(upper["policy"], upper["level"]) >= rank(lower["policy"], lower["level"]),
        all(_within(name, lower.get("releasable_to", ())) for name in upper.get("releasable_to", ())),
        set(upper.get("originators", ())) >= set(lower.get("originators", ())),
        set(upper.get("handling_code", ())) >= set(lower.get("handling_code", ())),
        _marking(upper) >= _marking(lower),
        *(set(upper.get(more, ())) >= set(lower.get(more, ())) for more in ("person", "caveat")),
        "pap" not in lower or ("pap" in upper and ACTIONS.index(upper["pap"]) >= ACTIONS.index(lower["pap"])),
        *(
            few not in lower or (few in upper and set(upper[few]) <= set(lower[few]))
            for few in ("purpose", "legal_basis")
        ),
        "retention_until" not in lower or upper.get("retention_until", "9999") <= lower["retention_until"],
        *(upper.get(flag, False) >= lower.get(flag, False) for flag in _FLAGS),
    )
    return all(axes)


_FLAGS = ("originator_control", "no_foreign", "embargo")


def _within(name: str, named: Any) -> bool:
    """A name is covered by itself, and an organisation by its state."""
    return name in named or (len(name) > 3 and name[:3].upper() in named)


def _marking(marked: Label) -> int:
    return MARKINGS.index(marked["tlp"]) if "tlp" in marked else -1

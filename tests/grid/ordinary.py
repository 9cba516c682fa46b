"""The ordinary world of the grid, in which the release is permitted, and the kinds of record it knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.model.kind import RecordKind
from tests.policy.worlds import KIND, LABEL, OTHERS, baseline, invented

#: What a value changes, by path.
Patch = Mapping[str, Any]

#: Names of axes, and of each its values by name, the ordinary one first.
Axes = tuple[tuple[str, Mapping[str, Patch]], ...]

ANYTHING = invented("anything", "general", person="none")
ANYTHING = msgspec.structs.replace(ANYTHING, required=frozenset())

#: Kinds of every regime: the reference record first, last one that requires nothing and is about nobody.
ORIGIN: dict[str, RecordKind] = {"bdc": KIND} | {name: kind for name, (kind, _) in OTHERS.items()}
ORIGIN |= {"anything": ANYTHING}
KINDS = (*ORIGIN,)

#: The field that the axes of labels speak of, where it is not `/text`.
TARGETS = {"bdc": "/threat", "information-note": "/objects/0"}

KIND_NAMES = [kind.name for kind in ORIGIN.values()]


def pair(policy: str, level: str) -> dict[str, Any]:
    return {"policy": policy, "level": level}


def _base() -> dict[str, Any]:
    world = baseline()
    del world["record"]["labels"], world["content"]
    terms, settings, officer = world["agreement"]["terms"], world["settings"], world["officers"][0]
    terms |= {"kinds": KIND_NAMES, "lifts": ["/national_number", "/special", "/financial", "/health"]}
    terms |= {"purposes": ["ct-prevention", "ct-analysis"], "ceiling": pair("BEL", "SECRET")}
    officer["need_to_know"] = [name.partition("/")[0] for name in KIND_NAMES]
    settings |= {
        "ungraded_kinds": KIND_NAMES,
        "channel_ceiling": pair("BEL", "SECRET"),
        "intelligence_conditions": "NSC 2026/demo",
        "evaluation_recipients": ["police", "fusion"],
        "transfers": {
            "USA": {"ground": "safeguards", "reference": "invented"},
            "CAN": {"ground": "adequacy", "reference": "invented"},
            "CHE": {"ground": "adequacy", "reference": "invented"},
        },
    }
    settings["emergency"] |= {"kinds": KIND_NAMES, "purposes": ["ct-prevention", "ct-analysis"]}
    settings["compilation"] |= {
        "level": pair("BEL", "TRES SECRET"),
        "combinations": [
            {"members": ["documents", "threat"], "level": pair("BEL", "TRES SECRET")},
            {"members": ["addresses", "threat"], "level": pair("EU", "CONFIDENTIEL UE/EU CONFIDENTIAL")},
        ],
    }
    return {
        **world,
        "now": "2026-11-21T21:00:00Z",
        "mark": {"label": {**LABEL}, "originator": "bel.ocam", "consent": []},
    }


BASE = _base()


def target(**changes: Any) -> Patch:
    return {f"labels.@target.{path.replace('__', '.')}": value for path, value in changes.items()}


def without(*paths: str) -> Patch:
    return dict.fromkeys(paths, None)

"""The axes of a field's marking: level, origin, and every condition a label may state."""

from __future__ import annotations

from typing import Any

from tests.grid.ordinary import BASE, Axes, Patch, target

_SERIES = "be-fr-police"


def _consent(**changes: Any) -> Patch:
    """A consent of the Dutch service, recorded here."""
    consent = {
        "kind": "consent",
        "originator": "nld.aivd-demo",
        "recipients": ["@org"],
        "purposes": ["ct-prevention"],
        "items": ["*"],
        "until": "2026-11-21",
        "given": "telephone",
        "by": "invented",
        "at": "2026-11-20T21:00:00Z",
    }
    return {"consents": [consent | changes]}


MARKS: Axes = (
    (
        "consent recorded",
        {
            "none": {},
            "until today": _consent(),
            "until yesterday": _consent(until="2026-11-20"),
            "for another purpose": _consent(purposes=["ct-analysis"]),
            "for such items": _consent(items=["/names/*", "@target"]),
            "for other items": _consent(items=["/names/*"]),
            "toward another": _consent(recipients=["fra.other-demo"]),
            "of a domestic service": _consent(originator="bel.vsse"),
        },
    ),
    (
        "level",
        {
            "UNCLASSIFIED": {},
            "BEL CONFIDENTIEL": target(label__level="CONFIDENTIEL"),
            "EU SECRET": target(label__policy="EU", label__level="SECRET UE/EU SECRET"),
            "BEL TRES SECRET": target(label__level="TRES SECRET"),
            "EU RESTRICTED": target(label__policy="EU", label__level="RESTREINT UE/EU RESTRICTED"),
            "BEL RESTREINT": target(label__level="BEPERKT"),
            "NLD 1": target(label__policy="NLD", label__level="Dep. VERTROUWELIJK"),
            "NLD 3": target(label__policy="NLD", label__level="Stg. GEHEIM"),
            "NATO 2": target(label__policy="NATO", label__level="NATO CONFIDENTIAL"),
            "ESP 4": target(label__policy="ESP", label__level="SECRETO"),
            "FRA RESTREINT, which is none": target(label__policy="FRA", label__level="RESTREINT"),
            "DIFFUSION RESTREINTE": target(label__level="DIFFUSION RESTREINTE"),
            "of no known policy": target(label__policy="ZZZ"),
            "no label": target(label=None),
            "two labels": {"labels.again.@target": BASE["mark"]},
        },
    ),
    (
        "origin",
        {
            "ours": {},
            "foreign, no consent": target(originator="nld.aivd-demo"),
            "foreign, consent": target(originator="nld.aivd-demo", consent=["@org"]),
            "foreign, consent toward another": target(originator="nld.aivd-demo", consent=["fra.other-demo"]),
            "foreign in the label": target(label__originators=["bel.ocam", "nld.aivd-demo"]),
            "foreign, outside the Union": target(originator="usa.service-demo"),
            "foreign, of two states": target(
                originator="nld.aivd-demo", label__originators=["usa.service-demo"]
            ),
            "domestic": target(originator="bel.vsse"),
            "domestic, in control": target(originator="bel.vsse", label__originator_control=True),
            "domestic, in control, consent": target(
                originator="bel.vsse", label__originator_control=True, consent=["@org"]
            ),
            "ours, in control": target(label__originator_control=True),
            "unknown": target(originator=""),
            "unknown, consent": target(originator="", consent=["@org"]),
        },
    ),
    (
        "handling",
        {
            "none": {},
            "H1": target(label__handling_code=["H1"]),
            "H3": target(label__handling_code=["H3"]),
            "H0": target(label__handling_code=["H0"]),
            "H2": target(label__handling_code=["H2"]),
            "H1 and H2": target(label__handling_code=["H1", "H2"]),
        },
    ),
    (
        "embargo",
        {
            "none": {},
            "of the subject": {"release.embargoed": True},
            "of the field": target(label__embargo=True),
            "of another field": {"labels./birth/0.label.embargo": True},
        },
    ),
    (
        "release list",
        {
            "the state": {},
            "the partner": target(label__releasable_to=["@org"]),
            "another service of the state": target(label__releasable_to=["fra.other-demo"]),
            "nobody": target(label__releasable_to=[]),
            "nobody, on any field": {"labels.*.label.releasable_to": []},
        },
    ),
    ("national eyes only", {"no": {}, "yes": target(label__no_foreign=True)}),
    (
        "tlp",
        {"AMBER": {}, "RED": target(label__tlp="RED"), "AMBER+STRICT": target(label__tlp="AMBER+STRICT")},
    ),
    (
        "pap",
        {
            "none": {},
            "GREEN": target(label__pap="GREEN"),
            "RED": target(label__pap="RED"),
        },
    ),
    (
        "retention of the label",
        {
            "none": {},
            "ended yesterday": target(label__retention_until="2026-11-20"),
            "ends today": target(label__retention_until="2026-11-21"),
            "no date": target(label__retention_until="soon"),
        },
    ),
    (
        "mention",
        {
            "none": {},
            "DIFFUSION RESTREINTE": target(label__caveat=["DIFFUSION RESTREINTE"]),
            "the same, handled there": {
                **target(label__caveat=["DIFFUSION RESTREINTE"]),
                "settings.caveat_states": {"DIFFUSION RESTREINTE": ["LUX", "@nation"]},
            },
        },
    ),
    (
        "about",
        {
            "as the kind says": {},
            "a victim": target(label__person=["victim"]),
            "a witness too": target(label__person=["suspect", "witness"]),
            "a minor": target(label__person=["minor"]),
            "a contact": target(label__person=["contact"]),
        },
    ),
    (
        "rows of other states",
        {
            "disabled": {},
            "enabled": {"settings.level_agreements": {"CAN": _SERIES, "MAR": _SERIES}},
            "enabled by another": {"settings.level_agreements": {"CAN": "be-ca-police"}},
        },
    ),
)

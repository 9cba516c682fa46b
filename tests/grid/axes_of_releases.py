"""The axes of a release: who gets it, why, who answers for it, on what ground."""

from __future__ import annotations

from typing import Any

from tests.grid.ordinary import BASE, KIND_NAMES, Axes, Patch, pair, target, without
from tests.policy.worlds import approver


def _state() -> Patch:
    return {
        "partner.nation": "@nation",
        "partner.org": "@org",
        "agreement.terms.parties": ["bel.ocam", "@org"],
        "mark.label.releasable_to": ["BEL", "@nation"],
        "settings.emergency.partners": ["@org"],
    }


def _recipient(kind: str, route: str) -> Patch:
    return {
        "partner.recipient_kind": kind,
        "agreement.terms.recipient_kinds": {"@org": kind},
        "agreement.terms.route": route,
    }


def _lift(pointer: str, reason: str = "invented") -> dict[str, str]:
    return {"pointer": pointer, "reason": reason}


def _lifts(*pointers: str) -> Patch:
    return {"lifts": [_lift(pointer) for pointer in pointers]}


def _clearance(policy: str, level: str, until: str = "2028-01-01T00:00:00Z") -> Patch:
    return {"officers.0.clearance": {**pair(policy, level), "until": until}}


def _second(**changes: Any) -> Patch:
    return {"officers.+": approver(need_to_know=BASE["officers"][0]["need_to_know"], **changes)}


def _asks(*patterns: str, partner: str = "@org", purpose: str = "ct-prevention") -> Patch:
    return {"request": {"id": "r1", "partner": partner, "purpose": purpose, "asks": [*patterns]}}


def _emergency(threat: str = "invented: an announced attack", *, oral: str = "", **scope: Any) -> Patch:
    claimed = {"emergency": {"threat": threat, "oral_approver": oral}}
    return claimed | {f"settings.emergency.{name}": value for name, value in scope.items()}


def _outside(ground: str | None, **recorded: Any) -> Patch:
    """The Union without the partner's state, a ground documented for it, and what is recorded of a derogation."""
    patch: dict[str, Any] = {"settings.eu_states": ["BEL"], "settings.transfers": {}}
    if ground is not None:
        patch["settings.transfers"] = {"@nation": {"ground": ground, "reference": "invented"}}
    if recorded:
        patch["derogation"] = {
            "at": "2026-11-21T21:00:00Z",
            "recipient": "@org",
            "justification": "invented",
            "data": ["/category", "/names/*", "/threat", "/text"],
            **recorded,
        }
    return patch


_ASSURED = "partner.assurance"

RELEASE: Axes = (
    ("nationality", dict.fromkeys(("FRA", "NLD", "MAR", "USA", "CAN", "CHE", "BEL"), _state())),
    (
        "recipient",
        {
            "police": _recipient("police", "police"),
            "judicial": _recipient("judicial", "police"),
            "intelligence": _recipient("intelligence", "intelligence"),
            "fusion": _recipient("fusion", "other"),
            "intl-police": _recipient("intl-police", "police"),
            "crisis": _recipient("crisis", "other"),
            "private": _recipient("private", "other"),
            "other": _recipient("other", "other"),
        },
    ),
    (
        "purpose",
        {
            "agreed": {},
            "the label says another": {
                "release.purpose": "ct-analysis",
                **target(label__purpose=["ct-prevention"]),
            },
            "not agreed": {"release.purpose": "border-control"},
            "the label says it": target(label__purpose=["ct-prevention"]),
            "the label allows none": target(label__purpose=[]),
        },
    ),
    (
        "legal basis",
        {
            "agreed": {},
            "none": {"release.legal_basis": "", "agreement.terms.legal_basis": ""},
            "not the agreement's": {"release.legal_basis": "be-2006-07-10:art8"},
            "the label says another": target(label__legal_basis=["be-2006-07-10:art8"]),
            "the label says it": target(label__legal_basis=["be-2024-03-29:art28"]),
        },
    ),
    (
        "clearance",
        {
            "SECRET": {},
            "none": {"officers.0.clearance": None},
            "CONFIDENTIEL": _clearance("BEL", "CONFIDENTIEL"),
            "TRES SECRET": _clearance("BEL", "TRES SECRET"),
            "of the EU": _clearance("EU", "SECRET UE/EU SECRET"),
            "has ended": _clearance("BEL", "SECRET", "2026-11-21T21:00:00Z"),
            "ends in a second": _clearance("BEL", "SECRET", "2026-11-21T21:00:01Z"),
            "of no known level": _clearance("BEL", "?"),
        },
    ),
    (
        "requester",
        {
            "fit": {},
            "suspended": {"officers.0.suspended": True},
            "no requester": {"officers.0.roles": ["approver", "lift-approver"]},
            "needs to know nothing": {"officers.0.need_to_know": []},
            "needs to know this version": {"officers.0.need_to_know": KIND_NAMES},
        },
    ),
    (
        "approver",
        {
            "not yet": {},
            "fit": _second(),
            "no lift approver": _second(roles=["approver"]),
            "no approver": _second(roles=["requester", "lift-approver"]),
            "the same person": _second(person="person-be-requester"),
            "without clearance": _second(clearance=None),
            "nobody at all": {"officers": []},
        },
    ),
    (
        "lift",
        {
            "none": {},
            "special category": _lifts("/special", "/belief"),
            "the person": _lifts("/person"),
            "without a reason": {"lifts": [_lift("/special", " "), _lift("/belief", " ")]},
            "the field": _lifts("@target"),
            "the repetition": _lifts("/repeat"),
            "core data": _lifts("/core-data"),
            "financial situation": _lifts("/financial", "/health", "/national_number"),
        },
    ),
    (
        "lifts agreed",
        {
            "all": {},
            "none": {"agreement.terms.lifts": []},
            "others": {"agreement.terms.lifts": ["/financial", "/health"]},
        },
    ),
    (
        "request",
        {
            "none": {},
            "asks": _asks("/contacts/*", "/links/*", "/addresses/*"),
            "asks for other things": _asks("/photos/*"),
            "of another partner": _asks("/contacts/*", partner="fra.other-demo"),
            "for another purpose": _asks("/contacts/*", purpose="ct-analysis"),
        },
    ),
    (
        "emergency",
        {
            "none": {},
            "claimed": _emergency(),
            "without a scope": {**_emergency(), **without("settings.emergency")},
            "for other kinds": _emergency(kinds=[]),
            "for other purposes": _emergency(purposes=["judicial"]),
            "for other partners": _emergency(partners=["deu.police-demo"]),
            "no threat stated": _emergency(" "),
            "while one is overdue": {**_emergency(), "release.emergencies_overdue": 1},
            "one is overdue": {"release.emergencies_overdue": 1},
            "oral": _emergency(oral="be-approver"),
            "oral, not waived": _emergency(oral="be-approver", waives=["quota", "originator-consent"]),
            "quota only": _emergency(waives=["quota"]),
            "consent only": _emergency(waives=["originator-consent"]),
        },
    ),
    ("justification", {"given": {}, "blank": {"release.justification": " \t"}}),
    (
        "language",
        {
            "common": {},
            "not agreed": {"release.language": "en"},
            "not read": {"partner.languages": ["en"]},
        },
    ),
    (
        "format",
        {
            "common": {},
            "not agreed": {"agreement.terms.formats": []},
            "not read": {"partner.formats": ["ct-exchange-json/2.0"]},
        },
    ),
    ("partner", {"active": {}, "stopped": {"partner.stopped": True}}),
    (
        "assurance",
        {
            "enough": {},
            "less than agreed": {f"{_ASSURED}.receipt": "fetched"},
            "less than ours": {f"{_ASSURED}.origin_signed": False, "agreement.terms.minimum_assurance": {}},
            "more agreed": {"agreement.terms.minimum_assurance": {"ordered": True, "recall_ack": True}},
            "not encrypted": {
                f"{_ASSURED}.end_to_end_encrypted": False,
                "settings.minimum_assurance": {"end_to_end_encrypted": True},
            },
            "not set": without("settings.minimum_assurance"),
        },
    ),
    (
        "transfer",
        {
            "as the state": {},
            "no state is in the Union": {"settings.eu_states": []},
            "nothing documented": _outside(None),
            "adequacy": _outside("adequacy"),
            "a blank reference": {
                **_outside("adequacy"),
                "settings.transfers": {"@nation": {"ground": "adequacy", "reference": " "}},
            },
            "a derogation nobody recorded": _outside("derogation"),
            "a derogation": _outside("derogation", justification="invented"),
            "a derogation of less": _outside("derogation", data=["/category", "/names/*", "/birth/*"]),
            "a derogation to come": _outside("derogation", at="2026-11-21T21:00:01Z"),
            "another's derogation": _outside("derogation", recipient="fra.other-demo"),
            "a derogation without reason": _outside("derogation", justification=" "),
            "a derogation of nothing": _outside("derogation", data=[]),
        },
    ),
    (
        "regime",
        {
            "BE-OCAM": {},
            "BE-POLICE": {"agreement.terms.regime": "BE-POLICE"},
            "SPOC": {"agreement.terms.regime": "SPOC"},
            "BE-INTEL": {"agreement.terms.regime": "BE-INTEL"},
        },
    ),
    (
        "domestic codes",
        {
            "H0": {},
            "none": {"settings.domestic_handling_codes": []},
            "H1": {"settings.domestic_handling_codes": ["H0", "H1"]},
        },
    ),
    (
        "ceilings",
        {
            "SECRET": {},
            "agreement RESTREINT": {"agreement.terms.ceiling": pair("BEL", "RESTREINT")},
            "channel RESTREINT": {"settings.channel_ceiling": pair("EU", "RESTREINT UE/EU RESTRICTED")},
            "agreement unknown": {"agreement.terms.ceiling": pair("BEL", "?")},
            "channel not accredited": without("settings.channel_ceiling"),
            "both TRES SECRET": {
                "agreement.terms.ceiling": pair("BEL", "TRES SECRET"),
                "settings.channel_ceiling": pair("BEL", "TRES SECRET"),
            },
            "agreement CONFIDENTIEL": {"agreement.terms.ceiling": pair("BEL", "CONFIDENTIEL")},
            "channel CONFIDENTIEL": {"settings.channel_ceiling": pair("BEL", "CONFIDENTIEL")},
        },
    ),
)

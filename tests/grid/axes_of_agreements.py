"""The axes of what the partner holds, of what is configured, and of the agreement."""

from __future__ import annotations

from tests.grid.ordinary import KIND_NAMES, Axes, Patch, pair, without


def _sharer(level: str = "RESTREINT", **quota: int) -> Patch:
    return {"held.sharing": [{"org": "deu.police-demo", "ceiling": pair("BEL", level), **quota}]}


_PROTOCOL = "agreement.terms.protocol"

#: What the partner holds, and what is configured of it.
HELD: Axes = (
    (
        "records held",
        {
            "none": {},
            "one less than the quota": {"held.records": 49},
            "the quota": {"held.records": 50},
            "the quota, with this subject": {"held.records": 50, "held.subject_held": True},
            "ten": {"held.records": 10},
        },
    ),
    (
        "held over all time",
        {
            "none": {},
            "the threshold": {"held.total": 100},
            "the threshold, with this subject": {"held.total": 100, "held.subject_ever": True},
            "one less": {"held.total": 99},
        },
    ),
    (
        "members held",
        {
            "none": {},
            "documents": {"held.members": ["documents"]},
            "addresses": {"held.members": ["addresses"]},
        },
    ),
    ("disclosures", {"none": {}, "two": {"held.disclosures": 2}, "three": {"held.disclosures": 3}}),
    (
        "shares with",
        {
            "nobody": {},
            "a service up to RESTREINT": _sharer(),
            "a service up to nothing known": _sharer("?"),
            "a service with a quota of ten": _sharer("SECRET", quota=10),
            "a service with a quota of none": _sharer("SECRET", quota=0),
        },
    ),
    (
        "compilation",
        {
            "set": {},
            "not set": without("settings.compilation"),
            "lower": {"settings.compilation.level": pair("BEL", "CONFIDENTIEL")},
            "of no known level": {"settings.compilation.level": pair("BEL", "?")},
            "nothing belongs apart": {"settings.compilation.combinations": []},
            "apart at no known level": {"settings.compilation.combinations.0.level": pair("BEL", "?")},
        },
    ),
    (
        "repeats",
        {
            "three": {},
            "not set": without("settings.repeats"),
            "one": {"settings.repeats": {"disclosures": 1, "days": 1}},
        },
    ),
    (
        "recipients of the database",
        {
            "as the law names": {},
            "nobody": {"settings.bdc_recipients": {}},
            "more": {"settings.bdc_recipients": {"fusion": "other", "crisis": "other", "police": "police"}},
            "more, by law": {
                "settings.bdc_recipients": {"fusion": "other", "crisis": "other"},
                "settings.bdc_references": {"fusion": "invented law", "crisis": " "},
            },
        },
    ),
    (
        "conditions of the Council",
        {
            "loaded": {},
            "not loaded": without("settings.intelligence_conditions"),
            "empty": {"settings.intelligence_conditions": ""},
            "blank": {"settings.intelligence_conditions": " "},
        },
    ),
    ("recipients of evaluations", {"two": {}, "none": {"settings.evaluation_recipients": []}}),
    ("ungraded kinds", {"all": {}, "none": {"settings.ungraded_kinds": []}}),
)

#: The agreement last: where there is none, nothing else can be said of it.
AGREEMENT: Axes = (
    (
        "route",
        {
            "as the recipient": {},
            "police": {"agreement.terms.route": "police"},
            "intelligence": {"agreement.terms.route": "intelligence"},
        },
    ),
    ("bulk", {"set": {}, "not set": without("agreement.terms.bulk")}),
    (
        "retention agreed",
        {
            "a year": {},
            "a day": {"agreement.terms.retention_days": 1},
            "none": {"agreement.terms.retention_days": 0},
        },
    ),
    (
        "protocol",
        {
            "complete": {},
            "no bodies": {f"{_PROTOCOL}.bodies": []},
            "no controllers": {f"{_PROTOCOL}.controllers": ["OCAM", " "]},
            "no contacts": {f"{_PROTOCOL}.dpo_contacts": []},
            "no purposes": {f"{_PROTOCOL}.purposes": ["-"]},
            "no legal basis": {f"{_PROTOCOL}.legal_basis": ""},
            "silent on rights": {f"{_PROTOCOL}.restrictions_on_rights": "\u200b \u2060"},
            "an article on rights": {f"{_PROTOCOL}.restrictions_on_rights": "5"},
        },
    ),
    (
        "agreed kinds",
        {
            "all": {},
            "none": {"agreement.terms.kinds": []},
            "another version": {
                "agreement.terms.kinds": [name.replace("/1.0", "/2.0") for name in KIND_NAMES]
            },
        },
    ),
    (
        "agreed recipient",
        {
            "the same": {},
            "not said": {"agreement.terms.recipient_kinds": {}},
            "judicial": {"agreement.terms.recipient_kinds": {"@org": "judicial"}},
        },
    ),
    (
        "parties",
        {
            "we and the partner": {},
            "the partner and we": {"agreement.terms.parties": ["@org", "bel.ocam"]},
            "another partner": {"agreement.terms.parties": ["bel.ocam", "fra.other-demo"]},
            "not we": {"agreement.terms.parties": ["bel.other", "@org"]},
            "the partner is ourselves": {
                "release.our_org": "@org",
                "agreement.terms.parties": ["@org", "@org"],
            },
        },
    ),
    (
        "agreement",
        {
            "in force": {},
            "none": {"agreement": None},
            "not signed by us": {"agreement.signed_ours": False},
            "not signed by them": {"agreement.signed_theirs": False},
            "revoked": {"agreement.revoked": True},
            "expires now": {"agreement.terms.not_after": "2026-11-21T21:00:00Z"},
            "expires in a second": {"agreement.terms.not_after": "2026-11-21T21:00:01Z"},
            "begins in a second": {"agreement.terms.not_before": "2026-11-21T21:00:01Z"},
            "begins now": {"agreement.terms.not_before": "2026-11-21T21:00:00Z"},
        },
    ),
)

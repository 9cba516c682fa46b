"""Drawn cases of the release decision: records of thirty fields, under agreements and settings that mostly permit.

Everything is invented. A seed gives the same cases on every machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import files
from random import Random
from typing import Any

import msgspec

from gateway.model.agreement import AgreementState
from gateway.model.kind import RecordKind, load_kind
from gateway.model.officer import Officer
from gateway.model.party import Partner
from gateway.model.record import CanonicalRecord, FieldLabel, fields_of
from gateway.model.request import Lift, Request
from gateway.policy.context import Context, Held, Settings
from gateway.policy.levels import default_levels

OURS, THEIRS, OTHERS = "bel.ocam", "fra.police-demo", "nld.service-demo"
KIND = "bdc-person/1.0"
BASIS, PURPOSE, FORMAT = "be-2024-03-29:art28", "ct-prevention", "ct-exchange-json/1.0"
NOW = datetime(2026, 11, 21, 21, tzinfo=UTC)

#: Fields of each record.
FIELDS = 30

#: One draw in this many of each property is not the permissive one. Some forty are drawn a case.
ODD_ONE_IN = 80

#: Marks that a record's items bear; the first, the record's own, on most of them.
MARKS = 4

_CONTENT: dict[str, Any] = {
    "category": {"code": "FTF", "criterion": "a"},
    "names": [
        {"type": "alias", "text": f"Zzemo {number}", "script": "Latn", "quality": "low"}
        for number in range(5)
    ],
    "sex": "M",
    "birth": [{"date": "1990-03", "precision": "month", "place": "Fictiville", "country": "BEL"}] * 2,
    "nationalities": ["BEL", "FRA"],
    "documents": [{"type": "passport", "number": "XX0000000", "country": "BEL"}] * 2,
    "threat": {"level": 3, "date": "2026-10-01", "valid_until": "2027-04-01"},
    "addresses": [{"city": "Fictiville", "country": "BEL"}] * 3,
    "contacts": [{"type": "email", "value": "zzemo@exemple.invalid"}] * 3,
    "links": [{"type": "associate", "other": "BDC-000002"}],
    "source_grade": "B",
    "info_grade": 2,
    "national_number": "00.99.00-000.00",
    "financial": {"summary": "invented"},
    "special": {"kind": "opinion", "text": "invented"},
    "health": {"text": "invented"},
    "minor_children": [{"name": "Pzikla Vide", "birth_year": 2020}],
    "validation": {"state": "validated", "date": "2026-09-01"},
    "status": {"archived": False, "judicial_information": False, "card": "information-card"},
}

#: What an item's label may say beside the usual.
_MARKS: tuple[dict[str, Any], ...] = (
    {"level": "RESTREINT"},
    {"level": "CONFIDENTIEL"},
    {"level": "SECRET"},
    {"releasable_to": []},
    {"releasable_to": ["BEL", "NLD"]},
    {"no_foreign": True},
    {"tlp": "RED"},
    {"pap": "GREEN"},
    {"pap": "RED"},
    {"purpose": [PURPOSE]},
    {"purpose": ["border-control"]},
    {"legal_basis": [BASIS]},
    {"retention_until": "2026-06-30"},
    {"person": ["victim"]},
    {"person": ["minor"]},
    {"handling_code": ["H1", "H3"]},
    {"caveat": ["DIFFUSION RESTREINTE"]},
    {"originator_control": True, "originators": ["bel.service-demo"]},
)


def shipped_kind() -> RecordKind:
    """The kind all cases are of."""
    return load_kind(json.loads(files("schemas").joinpath(f"records/{KIND}.json").read_text("utf-8")))


def cases(seed: int, count: int) -> Iterator[Context]:
    """Draw ``count`` contexts. Equal seeds, equal cases."""
    draw = Random(seed)  # noqa: S311  cases, not secrets
    kind, levels = shipped_kind(), default_levels()
    for _ in range(count):
        yield _case(draw, kind, levels)


def _case(draw: Random, kind: RecordKind, levels: Any) -> Context:
    def odd(usual: Any, *others: Any) -> Any:
        return draw.choice(others) if draw.randrange(ODD_ONE_IN) == 0 else usual

    record = _record(draw, odd, kind)
    recipient = odd("police", "judicial", "intelligence", "private", "crisis")
    ceiling = {"policy": "BEL", "level": draw.choice(("UNCLASSIFIED", "RESTREINT", "CONFIDENTIEL"))}
    agreement = {
        "terms": {
            "series": "bench",
            "version": 1,
            "parties": odd([OURS, THEIRS], [OURS, OTHERS]),
            "recipient_kinds": {OURS: "other", THEIRS: odd(recipient, "other")},
            "regime": odd("BE-OCAM", "BE-INTEL"),
            "route": odd("intelligence" if recipient == "intelligence" else "police", "other"),
            "legal_basis": BASIS,
            "purposes": odd([PURPOSE], ["border-control"]),
            "kinds": odd([KIND], []),
            "lifts": draw.choice(([], ["/national_number", "/special"])),
            "ceiling": ceiling,
            "retention_days": odd(365, 0),
            "onward": "none",
            "suites": ["hpke-mlkem768-x25519-a256gcm"],
            "signature_profiles": ["classic"],
            "formats": odd([FORMAT], []),
            "languages": odd(["fr"], ["de"]),
            "not_before": "2026-01-01T00:00:00Z",
            "not_after": odd("2028-01-01T00:00:00Z", "2026-06-01T00:00:00Z"),
            "protocol": {
                "bodies": ["OCAM"],
                "controllers": ["OCAM"],
                "dpo_contacts": odd(["dpo@ocam.invalid"], []),
                "purposes": [PURPOSE],
                "legal_basis": BASIS,
                "restrictions_on_rights": "none",
            },
            "minimum_assurance": {"origin_signed": True, "receipt": "signed"},
            "bulk": odd({"records": 50, "days": 30}, None),
        },
        "sha256": "0" * 64,
        "signed_ours": True,
        "signed_theirs": odd(True, False),
        "revoked": odd(False, True),
    }
    partner = {
        "org": THEIRS,
        "nation": odd("FRA", "USA"),
        "name": "Police de démonstration",
        "recipient_kind": recipient,
        "keys": [],
        "endpoint": "https://police.fr.invalid/exchange/v1",
        "tls_name": "police.fr.invalid",
        "formats": [FORMAT],
        "languages": ["fr", "en"],
        "assurance": {"origin_signed": odd(True, False), "receipt": "signed"},
        "stopped": odd(False, True),
    }
    asks = draw.sample(["/addresses/*", "/contacts/*", "/photos/*"], draw.randrange(4))
    asked = {"id": "r1", "partner": odd(THEIRS, OTHERS), "purpose": PURPOSE, "asks": asks}
    lifted = draw.sample(["/special", "/national_number", "/person", "/names/0"], draw.randrange(3))
    return Context(
        record=record,
        subject=record,
        kind=kind,
        partner=msgspec.convert(partner, Partner),
        agreement=msgspec.convert(odd(agreement, None), AgreementState | None),
        our_org=OURS,
        our_nation="BEL",
        purpose=PURPOSE,
        legal_basis=odd(BASIS, "", "be-2006-07-10:art8"),
        justification=odd("an invented case", " "),
        language="fr",
        format=FORMAT,
        held=_held(draw, odd),
        embargoed=odd(False, True),
        officers=msgspec.convert(_officers(draw, odd), tuple[Officer, ...]),
        levels=levels,
        settings=msgspec.convert(_settings(odd), Settings),
        now=NOW,
        request=msgspec.convert(asked if asks else None, Request | None),
        lifts=tuple(Lift(pointer, odd("invented", "")) for pointer in lifted),
    )


def _record(draw: Random, odd: Any, kind: RecordKind) -> CanonicalRecord:
    content = {**_CONTENT}
    content["threat"] = {**content["threat"], "date": odd("2026-10-01", "2025-01-01")}
    content["validation"] = {**content["validation"], "state": odd("validated", "proposed")}
    content["status"] = {**content["status"], "card": odd("information-card", "information-file")}
    content["birth"] = [*content["birth"][1:], {"date": odd("1990", "2011", "2020"), "precision": "year"}]
    content["source_grade"] = odd("B", "F")
    bare = msgspec.convert(
        {
            "kind": KIND,
            "entity_id": "BDC-000001",
            "origin": OURS,
            "extracted_at": odd("2026-11-21T09:00:00Z", "2026-11-01T09:00:00Z"),
            "handed_over_by": "be-requester",
            "content": content,
            "labels": [],
        },
        CanonicalRecord,
    )
    usual = {"policy": "BEL", "level": "UNCLASSIFIED", "releasable_to": ["BEL", "FRA"], "tlp": "AMBER"}
    marks = [
        {"label": usual, "originator": OURS},
        *(
            {
                "label": {**usual, **draw.choice(_MARKS)},
                "originator": odd(OURS, OTHERS, ""),
                "consent": odd([], [THEIRS]),
            }
            for _ in range(MARKS - 1)
        ),
    ]
    labels = [
        {"pointer": field.pointer, "source": "item", **draw.choices(marks, (27, 1, 1, 1))[0]}
        for field in fields_of(bare, kind)
    ]
    return msgspec.structs.replace(bare, labels=msgspec.convert(labels, tuple[FieldLabel, ...]))


def _officers(draw: Random, odd: Any) -> list[dict[str, Any]]:
    requester = {
        "id": "be-requester",
        "person": "person-1",
        "name": "Officer 1",
        "roles": odd(["requester"], []),
        "keys": [],
        "clearance": odd({"policy": "BEL", "level": "SECRET", "until": "2028-01-01T00:00:00Z"}, None),
        "need_to_know": odd(["bdc-person"], []),
    }
    roles = odd(["approver", "lift-approver"], ["approver"])
    approver = {**requester, "id": "be-approver", "person": odd("person-2", "person-1"), "roles": roles}
    return [requester, approver][: draw.randrange(1, 3)]


def _held(draw: Random, odd: Any) -> Held:
    sharer = {"org": OTHERS, "ceiling": {"policy": "BEL", "level": "RESTREINT"}, "quota": odd(40, 0)}
    held = {
        "records": odd(draw.randrange(40), 60),
        "subject_held": draw.random() < 0.5,
        "total": odd(draw.randrange(90), 200),
        "subject_ever": draw.random() < 0.5,
        "disclosures": odd(draw.randrange(3), 5),
        "members": draw.sample(["names", "photos"], draw.randrange(3)),
        "sharing": odd([], [sharer]),
    }
    return msgspec.convert(held, Held)


def _settings(odd: Any) -> dict[str, Any]:
    level = {"policy": "BEL", "level": "CONFIDENTIEL"}
    apart = [{"members": ["photos", "threat"], "level": level}]
    return {
        "freshness_s": odd(86400, 60, None),
        "evaluation_months": odd(6, 1, None),
        "pre_inquiry_months": 6,
        "min_age": odd(12, None),
        "flagged_age": 18,
        "channel_ceiling": odd(level, {"policy": "BEL", "level": "UNCLASSIFIED"}, None),
        "bdc_recipients": {"police": "police", "judicial": "police", "intelligence": "intelligence"},
        "intelligence_conditions": odd("invented", None),
        "eu_states": odd(["BEL", "FRA", "NLD"], []),
        "domestic_handling_codes": ["H0"],
        "minimum_assurance": odd({"origin_signed": True, "receipt": "fetched"}, None),
        "compilation": odd({"records": 100, "level": level, "combinations": apart}, None),
        "repeats": odd({"disclosures": 3, "days": 30}, None),
        "pap_purposes": {"GREEN": [PURPOSE]},
    }

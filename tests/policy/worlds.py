"""Worlds for decisions: one permitted baseline, and changes to it written as ``{"path.to.value": value}``.

The baseline: a French police partner under a current agreement both sides signed, a validated adult from the common
database, a requester in good standing. Everything is invented. A path walks the plain data of `baseline`; labels are
reached by pointer (``labels./threat.label.level``) or all at once (``labels.*.label.releasable_to``), and a null label
is an unlabelled item. ``remove`` names paths that are taken away.
"""

import copy
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import msgspec

from gateway.model.agreement import AgreementState
from gateway.model.ground import Consent
from gateway.model.kind import RecordKind, load_kind
from gateway.model.label import LevelTable
from gateway.model.officer import Officer
from gateway.model.party import Partner
from gateway.model.record import CanonicalRecord, FieldLabel, fields_of
from gateway.model.request import Emergency, Lift, Request
from gateway.policy.context import Context, Derogation, Held, Settings
from gateway.policy.decide import decide
from gateway.policy.levels import default_levels
from gateway.policy.rules import Policy, default_policy, load_policy

NOW = datetime(2026, 11, 21, 21, tzinfo=UTC)
OURS = "bel.ocam"
POLICE = "fra.police-demo"
FUSION = "fra.fusion-demo"

LEVELS: LevelTable = default_levels()
POLICY: Policy = default_policy()


def kind(name: str = "bdc-person/1.0") -> RecordKind:
    """A shipped record kind."""
    return load_kind(json.loads(files("schemas").joinpath(f"records/{name}.json").read_text("utf-8")))


KIND = kind()

#: The label of every field of the baseline.
LABEL: dict[str, Any] = {
    "policy": "BEL",
    "level": "UNCLASSIFIED",
    "releasable_to": ["BEL", "FRA"],
    "tlp": "AMBER",
}

CONTENT: dict[str, Any] = {
    "category": {"code": "FTF", "criterion": "a"},
    "names": [
        {"type": "birth", "family": "Zzemo", "given": "Exemple", "script": "Latn", "quality": "high"},
        {"type": "alias", "text": "Zzemo le Fictif", "script": "Latn", "quality": "low"},
    ],
    "sex": "M",
    "birth": [{"date": "1990-03", "precision": "month", "place": "Fictiville", "country": "BEL"}],
    "nationalities": ["BEL"],
    "threat": {"level": 3, "date": "2026-10-01", "valid_until": "2027-04-01"},
    "addresses": [{"city": "Fictiville", "country": "BEL"}],
    "contacts": [{"type": "email", "value": "zzemo@exemple.invalid"}],
    "links": [{"type": "associate", "other": "BDC-000002"}],
    "national_number": "00.99.00-000.00",
    "financial": {"summary": "invented"},
    "special": {"kind": "opinion", "text": "made up"},
    "health": {"text": "invented"},
    "validation": {"state": "validated", "date": "2026-09-01"},
    "status": {"archived": False, "judicial_information": False, "card": "information-card"},
}


def _officer(name: str, *roles: str) -> dict[str, Any]:
    return {
        "id": name,
        "person": f"person-{name}",
        "name": f"Officer {name}",
        "roles": [*roles],
        "keys": [],
        "clearance": {"policy": "BEL", "level": "SECRET", "until": "2028-01-01T00:00:00Z"},
        "need_to_know": ["bdc-person"],
    }


def approver(**changes: Any) -> dict[str, Any]:
    """An approver in good standing, with the lift approver's role, as plain data."""
    return {**_officer("be-approver", "approver", "lift-approver"), **changes}


def baseline() -> dict[str, Any]:
    """The permitted world as plain data, fresh for every caller."""
    return copy.deepcopy(
        {
            "content": CONTENT,
            "record": {
                "kind": KIND.name,
                "entity_id": "BDC-000001",
                "origin": OURS,
                "extracted_at": "2026-11-21T09:00:00Z",
                "handed_over_by": "be-requester",
                "labels": [],
            },
            "partner": {
                "org": POLICE,
                "nation": "FRA",
                "name": "Police de démonstration",
                "recipient_kind": "police",
                "keys": [],
                "endpoint": "https://police.fr.invalid/exchange/v1",
                "tls_name": "police.fr.invalid",
                "formats": ["ct-exchange-json/1.0"],
                "languages": ["fr", "en"],
                "assurance": {
                    "origin_signed": True,
                    "end_to_end_encrypted": True,
                    "receipt": "signed",
                    "ordered": True,
                    "recall_ack": True,
                },
            },
            "agreement": {
                "terms": {
                    "series": "be-fr-police",
                    "version": 1,
                    "parties": [OURS, POLICE],
                    "recipient_kinds": {OURS: "other", POLICE: "police"},
                    "regime": "BE-OCAM",
                    "route": "police",
                    "legal_basis": "be-2024-03-29:art28",
                    "purposes": ["ct-prevention"],
                    "kinds": [KIND.name],
                    "lifts": ["/national_number", "/special"],
                    "ceiling": {"policy": "BEL", "level": "RESTREINT"},
                    "retention_days": 365,
                    "onward": "none",
                    "suites": ["hpke-mlkem768-x25519-a256gcm"],
                    "signature_profiles": ["classic"],
                    "formats": ["ct-exchange-json/1.0"],
                    "languages": ["fr"],
                    "not_before": "2026-01-01T00:00:00Z",
                    "not_after": "2028-01-01T00:00:00Z",
                    "protocol": {
                        "bodies": ["OCAM", "Police de démonstration"],
                        "controllers": ["OCAM"],
                        "dpo_contacts": ["dpo@ocam.invalid"],
                        "purposes": ["ct-prevention"],
                        "legal_basis": "be-2024-03-29:art28",
                        "restrictions_on_rights": "none",
                    },
                    "minimum_assurance": {"origin_signed": True, "receipt": "signed"},
                    "bulk": {"records": 50, "days": 30},
                },
                "sha256": "0" * 64,
                "signed_ours": True,
                "signed_theirs": True,
            },
            "release": {
                "our_org": OURS,
                "our_nation": "BEL",
                "purpose": "ct-prevention",
                "legal_basis": "be-2024-03-29:art28",
                "justification": "invented case 1, check of an announced arrival",
                "language": "fr",
                "format": "ct-exchange-json/1.0",
                "judicial_authorisation": "",
                "embargoed": False,
                "emergencies_overdue": 0,
            },
            "held": {
                "records": 0,
                "subject_held": False,
                "total": 0,
                "subject_ever": False,
                "disclosures": 0,
                "members": [],
                "sharing": [],
            },
            "officers": [_officer("be-requester", "requester")],
            "lifts": [],
            "mentioned": [],
            "mentioned_age": None,
            "request": None,
            "derogation": None,
            "emergency": None,
            "consents": [],
            "settings": {
                "freshness_s": 86400,
                "evaluation_months": 6,
                "pre_inquiry_months": 6,
                "min_age": 12,
                "flagged_age": 18,
                "channel_ceiling": {"policy": "BEL", "level": "RESTREINT"},
                "bdc_recipients": {
                    "police": "police",
                    "judicial": "police",
                    "intl-police": "police",
                    "intelligence": "intelligence",
                },
                "intelligence_conditions": None,
                "eu_states": ["BEL", "DEU", "ESP", "FRA", "LUX", "NLD"],
                "domestic_handling_codes": ["H0"],
                "minimum_assurance": {"origin_signed": True, "receipt": "fetched"},
                "compilation": {
                    "records": 100,
                    "level": {"policy": "BEL", "level": "CONFIDENTIEL"},
                    "combinations": [
                        {
                            "members": ["documents", "threat"],
                            "level": {"policy": "BEL", "level": "CONFIDENTIEL"},
                        }
                    ],
                },
                "repeats": {"disclosures": 3, "days": 30},
                "transfers": {},
                "bdc_references": {},
                "evaluation_recipients": ["fusion"],
                "pap_purposes": {"GREEN": ["ct-prevention"]},
                "caveat_states": {},
                "level_agreements": {},
                "ungraded_kinds": [KIND.name],
                "pnr_mask_months": 6,
                "pnr_term_months": 60,
                "emergency": {
                    "waives": ["second-signature", "quota", "originator-consent"],
                    "kinds": [KIND.name],
                    "purposes": ["ct-prevention"],
                    "partners": [POLICE],
                    "confirm_hours": 24,
                    "review_hours": 24,
                },
            },
        }
    )


#: What turns the baseline into the fusion centre's world: its agreement is valid, current and signed by both sides.
FUSION_CENTRE: dict[str, Any] = {
    "partner.org": FUSION,
    "partner.recipient_kind": "fusion",
    "agreement.terms.parties": [OURS, FUSION],
    "agreement.terms.recipient_kinds": {OURS: "other", FUSION: "fusion"},
    "agreement.terms.route": "other",
}


def invented(
    name: str, regime: str, properties: dict[str, Any] | None = None, *, person: str | None = "suspect"
) -> RecordKind:
    """A kind with a text and birth dates, of a regime, about ``person``."""
    return load_kind(
        {
            "x-kind": f"{name}/1.0",
            "x-regime": regime,
            "x-interconnection": "allowed",
            "x-required-to-send": ["text"],
            "x-person": person,
            "properties": {
                "text": {"x-class": "A", "x-statement": "fact"},
                "birth": {"type": "array", "x-class": "A", "x-statement": "fact"},
                **(properties or {}),
            },
        }
    )


def _a(**marks: Any) -> dict[str, Any]:
    return {"x-class": "A", "x-statement": "fact", **marks}


#: A kind outside the common database, for what the BDC rules leave alone.
NOTE: RecordKind = invented(
    "note",
    "general",
    {
        "status": {"x-class": "X", "x-statement": "fact"},
        "pre_inquiry": {"x-class": "X", "x-statement": "fact"},
        "belief": _a(**{"x-special": True}),
        "unmarked": {"x-class": "A"},
        "holder": _a(**{"x-category": "core-data"}),
        "source_grade": _a(),
        "info_grade": _a(),
    },
)

INFORMATION_NOTE: RecordKind = kind("information-note/1.0")

LOCI = ("VWA", "TH01", "D21S11", "FGA", "D8S1179", "D3S1358")

#: Kinds of every regime, and the content of a record that is permitted; ``of`` names one of them.
OTHERS: dict[str, tuple[RecordKind, dict[str, Any]]] = {
    "note": (NOTE, {}),
    "information-note": (
        INFORMATION_NOTE,
        {
            "title": "Crossing",
            "facts": [{"text": "crossed at 04:10, expect him in Lille"}],
            "persons": [{"role": "suspect", "names": ["Zzemo Exemple"], "adult": True}],
            "objects": [{"type": "vehicle", "value": "0-ZZZ-000"}],
            "language": "en",
        },
    ),
    "unsaid": (invented("unsaid", "general", person=None), {}),
    "nobody": (invented("nobody", "general", person="none"), {}),
    "unspoken": (invented("unspoken", "of-another-policy"), {}),
    "local-signal": (invented("local-signal", "local-signal"), {}),
    "sis-proposal": (invented("sis-proposal", "internal-proposal"), {}),
    "embargo": (invented("embargo", "judicial-input"), {}),
    "evaluation": (invented("threat-evaluation", "ocam-evaluation"), {}),
    "support": (invented("support-report", "support-report"), {}),
    "sanctions": (
        invented("sanctions", "public-list", {"listing": _a(), "subject": _a()}),
        {"listing": {"list": "un", "state": "listed"}, "subject": "person"},
    ),
    "dna": (
        invented(
            "dna-profile",
            "dna",
            {"profile": _a(), "match": _a(), "holder": _a(**{"x-category": "core-data"})},
        ),
        {"profile": {"type": "reference", "loci": {locus: ["15", "16"] for locus in LOCI}}},
    ),
    "pnr": (
        invented("travel-match", "pnr", {"match": _a()}),
        {"match": {"received": "2026-06-01", "reviewed_by": "be-requester"}},
    ),
}


def world_of(name: str) -> dict[str, Any]:
    """What turns the baseline into the world of one of `OTHERS`; goes with ``of=OTHERS[name][0]``."""
    kind, content = OTHERS[name]
    bare = (
        {}
        if kind is INFORMATION_NOTE
        else {"text": "invented", "birth": [{"date": "1990", "precision": "year"}]}
    )
    return {
        "content": {**bare, **content},
        "record.kind": kind.name,
        "agreement.terms.kinds": [kind.name],
        "officers.0.need_to_know": [kind.name],
        "settings.ungraded_kinds": [kind.name],
    }


#: What turns the baseline into a note's world; goes with ``of=NOTE``.
NOTE_WORLD: dict[str, Any] = world_of("note")


def world(
    changes: Mapping[str, Any] | None = None,
    remove: Iterable[str] = (),
    *,
    now: datetime = NOW,
    of: RecordKind = KIND,
) -> Context:
    """The context of the baseline with these changes."""
    data = baseline()
    labels: list[tuple[str, str, Any]] = []
    for path, value in (changes or {}).items():
        if path.startswith("labels."):
            pointer, _, inner = path.removeprefix("labels.").partition(".")
            labels.append((pointer, inner, value))
        else:
            _put(data, path, value)
    for path in remove:
        *way, last = path.split(".")
        del _walk(data, way)[_key(last)]
    record = _record(data, labels, of)
    return Context(
        record=record,
        subject=record,
        kind=of,
        partner=_as(data["partner"], Partner),
        agreement=_as(data["agreement"], AgreementState | None),
        held=_as(data["held"], Held),
        officers=_as(data["officers"], tuple[Officer, ...]),
        lifts=_as(data["lifts"], tuple[Lift, ...]),
        mentioned=frozenset(data["mentioned"]),
        mentioned_age=data["mentioned_age"],
        request=_as(data["request"], Request | None),
        derogation=_as(data["derogation"], Derogation | None),
        emergency=_as(data["emergency"], Emergency | None),
        consents=_as(data["consents"], tuple[Consent, ...]),
        settings=_as(data["settings"], Settings),
        levels=LEVELS,
        now=now,
        **data["release"],
    )


def _as(value: Any, shape: Any) -> Any:
    return msgspec.convert(value, shape)


def _record(data: dict[str, Any], changes: list[tuple[str, str, Any]], of: RecordKind) -> CanonicalRecord:
    bare = msgspec.convert({**data["record"], "content": data["content"]}, CanonicalRecord)
    labels = []
    for field in fields_of(bare, of):
        entry: dict[str, Any] = {
            "pointer": field.pointer,
            "label": {**LABEL},
            "source": "record",
            "originator": OURS,
        }
        for pointer, inner, value in changes:
            if pointer in (field.pointer, "*"):
                _put(entry, inner, value)
        labels.append(msgspec.convert(entry, FieldLabel))
    return msgspec.structs.replace(bare, labels=tuple(labels))


def _key(token: str) -> Any:
    return int(token) if token.isdigit() else token


def _walk(data: Any, way: list[str]) -> Any:
    for token in way:
        data = data[_key(token)]
    return data


def _put(data: Any, path: str, value: Any) -> None:
    *way, last = path.split(".")
    _walk(data, way)[_key(last)] = copy.deepcopy(value)


def policy_document() -> dict[str, Any]:
    """The shipped policy as plain data, to be changed by a test."""
    document: dict[str, Any] = json.loads(files("schemas").joinpath("policy/be-1.json").read_text("utf-8"))
    return document


def policy_without(*rules: str) -> Policy:
    """The shipped policy less these rules."""
    document = policy_document()
    document["rules"] = [rule for rule in document["rules"] if rule["id"] not in rules]
    return load_policy(json.dumps(document).encode())


def leaving(ctx: Context, policy: Policy = POLICY) -> frozenset[str]:
    """Pointers that would leave: none under a denial or a review."""
    decision = decide(policy, ctx)
    return frozenset(decision.released) if decision.effect == "PERMIT" else frozenset()

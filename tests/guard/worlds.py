"""A release of two fictitious records, the payload that says exactly what it releases, and knobs to bend both."""

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import msgspec
import rfc8785

from gateway.guard import GuardVerdict, guard
from gateway.model.agreement import Ceiling
from gateway.model.decision import DecisionDocument, FieldOutcome, RecordDecision
from gateway.model.kind import RecordKind, load_kind
from gateway.model.label import LevelTable, SecurityLabel
from gateway.model.message import Envelope, Handling
from gateway.model.record import CanonicalRecord, FieldLabel
from gateway.model.request import Lift

KIND = "bdc-person/1.0"
KINDS: Mapping[str, RecordKind] = {
    KIND: load_kind(json.loads(files("schemas").joinpath("records/bdc-person/1.0.json").read_text("utf-8")))
}
LEVELS = LevelTable(
    version="2026-11-21",
    ranks={"BEL": {"UNCLASSIFIED": 0, "RESTREINT": 1, "SECRET": 3}, "FRA": {"NON CLASSIFIE": 0, "SECRET": 3}},
)
RESTRICTED = Ceiling(policy="BEL", level="RESTREINT")

PLAIN = SecurityLabel(
    policy="BEL",
    level="UNCLASSIFIED",
    releasable_to=("BEL", "FRA"),
    originators=("bel.ocam",),
    originator_control=True,
    handling_code=("H2",),
    tlp="AMBER",
)
VSSE = msgspec.structs.replace(PLAIN, originators=("bel.vsse",), handling_code=("H1", "H2"))
LIMITED = msgspec.structs.replace(PLAIN, level="RESTREINT", releasable_to=("fra.police-demo",))

#: First record: what leaves, then what stays.
FIRST: dict[str, Any] = {
    "category": {"code": "FTF", "criterion": "a"},
    "names": [
        {"type": "birth", "family": "Zzemo", "given": "Exémple", "script": "Latn", "quality": "high"},
        {"type": "alias", "text": "Qwxarn Vultreb", "script": "Latn", "quality": "low"},
        {
            "type": "alias",
            "text": "إكزمبل",
            "script": "Arab",
            "quality": "low",
            "source_grade": "B",
            "info_grade": 3,
        },
    ],
    "sex": "M",
    "birth": [
        {"date": "1990-03", "precision": "month", "about": False, "place": "Fictiville", "country": "BEL"}
    ],
    "nationalities": ["BEL", "FRA"],
    "documents": [{"type": "passport", "number": "XX0000001", "issuer": "BEL", "status": "stolen"}],
    "threat": {"level": 3, "date": "2026-10-01", "valid_until": "2027-04-01"},
    "detention_release": {"date": "2026-09-02", "conditions": 'reports on Mondays; said "no" \\ once\tonly'},
    "source_grade": "A",
    "info_grade": 1,
    "description": {"height_cm": 178, "eyes": "brown"},
    "addresses": [
        {"street": "Rue Imaginée 12", "city": "Nulleville", "country": "BEL", "from": "2024-02-03"}
    ],
    "contacts": [{"type": "phone", "value": "+32 000 12 34 56"}],
    "national_number": "90.03.05-000.11",
    "health": {"text": "Quuxitis"},
    "minor_children": [{"name": "Pimprun Zzemo", "birth_year": 2015}],
    "validation": {"state": "validated", "date": "2026-01-15"},
}
FIRST_RELEASED = (
    "/category", "/names/0", "/names/2", "/sex", "/birth/0", "/nationalities/0", "/nationalities/1", "/documents/0",
    "/threat", "/detention_release", "/source_grade", "/info_grade", "/description",
)  # fmt: skip
FIRST_LABELS = {"/names/2": VSSE, "/threat": LIMITED}

SECOND: dict[str, Any] = {
    "category": {"code": "HTF", "criterion": "b"},
    "names": [{"type": "birth", "family": "Nemokov", "given": "Ωmega", "script": "Latn", "quality": "high"}],
    "links": [{"type": "associate", "other": "BDC-000001", "note": "seen at the quay"}],
    "addresses": [{"street": "Quai du Vide 7", "city": "Brumeport", "country": "FRA"}],
}
SECOND_RELEASED = ("/category", "/names/0")

ENVELOPE = Envelope(
    format="ct-exchange-json/1.0",
    type="disclosure",
    mode="operational",
    message_id="5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a11",
    conversation="c1b0e3a4-1d5b-4a0e-8a5a-2b9f6f1f7d20",
    sender="bel.ocam",
    recipient="fra.police-demo",
    created="2026-11-21T21:00:00Z",
    language="fr",
)
HANDLING = Handling(
    regime="BE-OCAM",
    route="police",
    purpose="ct-prevention",
    legal_basis="be-2024-03-29:art28",
    retention_until="2027-11-21",
    onward="none",
)
REFS = ("p-9f31c07a5be24d18a6c0e7714b2d93f5", "p-00000000000000000000000000000002")

_PLAIN = {
    "policy": "BEL",
    "level": "UNCLASSIFIED",
    "releasable_to": ["BEL", "FRA"],
    "originators": ["bel.ocam"],
    "originator_control": True,
    "handling_code": ["H2"],
    "tlp": "AMBER",
}
#: What a right renderer makes of the release, written by hand.
PAYLOAD: dict[str, Any] = {
    "format": "ct-exchange-json/1.0",
    "type": "disclosure",
    "mode": "operational",
    "message_id": "5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a11",
    "conversation": "c1b0e3a4-1d5b-4a0e-8a5a-2b9f6f1f7d20",
    "from": "bel.ocam",
    "to": "fra.police-demo",
    "created": "2026-11-21T21:00:00Z",
    "language": "fr",
    "label": {
        "policy": "BEL",
        "level": "RESTREINT",
        "releasable_to": ["fra.police-demo"],
        "originators": ["bel.ocam", "bel.vsse"],
        "originator_control": True,
        "handling_code": ["H1", "H2"],
        "tlp": "AMBER",
    },
    "handling": {
        "regime": "BE-OCAM",
        "route": "police",
        "purpose": "ct-prevention",
        "legal_basis": "be-2024-03-29:art28",
        "retention_until": "2027-11-21",
        "onward": "none",
    },
    "manifest": {
        "records": [{"part": "/records/0", "kind": KIND}, {"part": "/records/1", "kind": KIND}],
        "attachments": [],
    },
    "records": [
        {
            "ref": "p-9f31c07a5be24d18a6c0e7714b2d93f5",
            "category": {"code": "FTF", "criterion": "a"},
            "names": [
                {"family": "Zzemo", "given": "Exémple", "quality": "high", "script": "Latn", "type": "birth"},
                {
                    "info_grade": 3,
                    "quality": "low",
                    "script": "Arab",
                    "source_grade": "B",
                    "text": "إكزمبل",
                    "type": "alias",
                },
            ],
            "sex": "M",
            "birth": [
                {
                    "about": False,
                    "country": "BEL",
                    "date": "1990-03",
                    "place": "Fictiville",
                    "precision": "month",
                }
            ],
            "nationalities": ["BEL", "FRA"],
            "documents": [{"issuer": "BEL", "number": "XX0000001", "status": "stolen", "type": "passport"}],
            "threat": {"date": "2026-10-01", "level": 3, "valid_until": "2027-04-01"},
            "detention_release": {
                "conditions": 'reports on Mondays; said "no" \\ once\tonly',
                "date": "2026-09-02",
            },
            "source_grade": "A",
            "info_grade": 1,
            "description": {"eyes": "brown", "height_cm": 178},
        },
        {
            "ref": "p-00000000000000000000000000000002",
            "category": {"code": "HTF", "criterion": "b"},
            "names": [
                {"family": "Nemokov", "given": "Ωmega", "quality": "high", "script": "Latn", "type": "birth"}
            ],
        },
    ],
    "labels": [
        {"part": "/records/0", "label": _PLAIN},
        {
            "part": "/records/0/names/1",
            "label": {**_PLAIN, "originators": ["bel.vsse"], "handling_code": ["H1", "H2"]},
        },
        {
            "part": "/records/0/threat",
            "label": {**_PLAIN, "level": "RESTREINT", "releasable_to": ["fra.police-demo"]},
        },
        {"part": "/records/1", "label": _PLAIN},
    ],
}


def encode(tree: Any) -> bytes:
    """Compact UTF-8, members as they stand."""
    return json.dumps(tree, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def payload_tree() -> dict[str, Any]:
    """A fresh copy of the payload's tree, no part of it shared."""
    tree: dict[str, Any] = json.loads(encode(PAYLOAD))
    return tree


def canonical(struct: msgspec.Struct) -> bytes:
    """The bytes that are hashed and endorsed."""
    return rfc8785.dumps(msgspec.to_builtins(struct))


@dataclass
class World:
    """Everything the guard is given; the defaults are the permitted baseline."""

    contents: list[dict[str, Any]] = field(default_factory=lambda: copy.deepcopy([FIRST, SECOND]))
    released: list[list[str]] = field(default_factory=lambda: [list(FIRST_RELEASED), list(SECOND_RELEASED)])
    labels: list[dict[str, SecurityLabel | None]] = field(default_factory=lambda: [dict(FIRST_LABELS), {}])
    default_label: SecurityLabel | None = PLAIN
    refs: Sequence[str] = REFS
    entity_ids: Sequence[str] = ("BDC-000001", "BDC-000002")
    envelope: Envelope = ENVELOPE
    handling: Handling = HANDLING
    lifts: tuple[Lift, ...] = ()
    partner: str = "fra.police-demo"
    ceiling: Ceiling = RESTRICTED
    levels: LevelTable = LEVELS
    kinds: Mapping[str, RecordKind] = field(default_factory=lambda: KINDS)

    def pointers(self, number: int) -> list[str]:
        """Every field of a record, in the order of its canonical bytes."""
        found = []
        for member, value in sorted(self.contents[number].items()):
            is_list = member in KINDS[KIND].lists and isinstance(value, list)
            found += [f"/{member}/{index}" for index in range(len(value))] if is_list else [f"/{member}"]
        return found

    def records(self) -> list[bytes]:
        """The canonical bytes of each record."""
        return [
            canonical(
                CanonicalRecord(
                    kind=KIND,
                    entity_id=self.entity_ids[number],
                    origin="bel.ocam",
                    extracted_at=datetime(2026, 11, 21, 8, tzinfo=UTC),
                    handed_over_by="off-1",
                    content=content,
                    labels=tuple(
                        FieldLabel(pointer, label, "item" if label else "none")
                        for pointer in self.pointers(number)
                        for label in [self.labels[number].get(pointer, self.default_label)]
                    ),
                )
            )
            for number, content in enumerate(self.contents)
        ]

    def document(self) -> DecisionDocument:
        """The endorsed decision."""
        return DecisionDocument(
            v=1,
            effect="PERMIT",
            envelope=self.envelope,
            handling=self.handling,
            records=tuple(
                RecordDecision(
                    record_sha256=hashlib.sha256(raw).hexdigest(),
                    kind=KIND,
                    fields=tuple(
                        FieldOutcome(
                            pointer=pointer,
                            outcome="released" if pointer in self.released[number] else "withheld",
                            rule="class.A",
                            version=1,
                            source_kind="house",
                            article="",
                        )
                        for pointer in dict.fromkeys([*self.pointers(number), *self.released[number]])
                    ),
                )
                for number, raw in enumerate(self.records())
            ),
            policy_sha256="0" * 64,
            levels_version="2026-11-21",
            agreement_sha256="0" * 64,
            agreement_series="be-fr",
            agreement_version=1,
            partner=self.partner,
            partner_version=1,
            justification="fictitious",
            request="",
            lifts=self.lifts,
            reasons=(),
        )

    def guard(
        self, payload: bytes, *, decision: bytes | None = None, records: Sequence[bytes] | None = None
    ) -> GuardVerdict:
        """Ask the guard, with the decision or the records of this world replaced when they are given."""
        true = self.records()
        return guard(
            payload,
            decision=canonical(self.document()) if decision is None else decision,
            records=true if records is None else records,
            pseudonyms={
                hashlib.sha256(raw).hexdigest(): ref for raw, ref in zip(true, self.refs, strict=False)
            },
            ceiling=self.ceiling,
            levels=self.levels,
            kinds=self.kinds,
        )

"""A disclosure of one invented person, as this peer makes it (section 10)."""

from __future__ import annotations

from typing import Any

KIND = "bdc-person/1.0"


def label(**changes: Any) -> dict[str, Any]:
    """Members in the order of the table; those that are None are left out."""
    members = {
        "policy": "FRA",
        "level": "UNCLASSIFIED",
        "releasable_to": ["BEL", "FRA"],
        "originators": ["fra.peer"],
        "tlp": None,
        "no_foreign": None,
    } | changes
    return {name: value for name, value in members.items() if value is not None}


def content(whole: dict[str, Any] | None = None, purpose: str = "ct-prevention") -> dict[str, Any]:
    """What follows the envelope; ``whole`` is the label of the message where it is not that of the record."""
    return {
        "label": whole or label(),
        "handling": {
            "regime": "BE-OCAM",
            "route": "police",
            "purpose": purpose,
            "legal_basis": "be-2024-03-29:art28",
            "retention_until": "2027-03-01",
            "onward": "none",
        },
        "manifest": {"records": [{"part": "/records/0", "kind": KIND}], "attachments": []},
        "records": [
            {
                "ref": "p-00112233445566778899aabbccddeeff",
                "category": {"code": "FTF", "criterion": "a"},
                "names": [
                    {
                        "family": "Zzemo",
                        "given": "Exemple",
                        "quality": "high",
                        "script": "Latn",
                        "type": "birth",
                    }
                ],
                "birth": [{"date": "1990-03", "place": "Fictiville", "precision": "month"}],
            }
        ],
        "labels": [{"part": "/records/0", "label": label() if whole is None else whole}],
    }


def asking() -> dict[str, Any]:
    """What follows the envelope of a request."""
    wish = {
        "ref": "p-00112233445566778899aabbccddeeff",
        "urgency": {"class": "urgent-direct", "reasons": "invented"},
        "asks": [{"fields": ["/names/*", "/threat"], "kind": KIND}],
        "detail": "Where was this invented person last seen?",
        "purpose": {"facts": "Nothing that happened.", "offence": "invented"},
        "grounds": "An invented hint.",
        "link": "None.",
        "language": "fr",
        "persons": [{"adult": True, "names": ["Zzemo Exemple"], "role": "suspect"}],
    }
    manifest = {"records": [{"part": "/records/0", "kind": "information-request/1.0"}], "attachments": []}
    return content() | {"manifest": manifest, "records": [wish]}

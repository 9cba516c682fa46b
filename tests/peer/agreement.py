"""Section 4: terms in canonical JSON, signed by both ends with keys that are kept offline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from Crypto.PublicKey import ECC

from tests.peer import jose
from tests.peer.container import HPKE, JWE
from tests.peer.entry import RECIPIENT_KINDS, Entry, assurance
from tests.peer.shape import anything, closed, listed, mapping, one_of, text, whole
from tests.peer.spelling import (
    INSTANT,
    ORGANISATION,
    Misspelt,
    Refused,
    b64url,
    b64url_bytes,
    parse_canonical,
    seconds_of,
    sha256,
)

TYP = "ecluse-agreement+jws"

#: Bytes of the terms.
LONGEST_TERMS = 65536

_texts = listed(anything)

_TERMS = closed(
    {
        "series": anything,
        "version": whole(1),
        "parties": listed(text(ORGANISATION), 2, 2),
        "recipient_kinds": mapping(text(ORGANISATION), one_of(*RECIPIENT_KINDS)),
        "regime": one_of("BE-OCAM", "BE-POLICE", "BE-INTEL", "SPOC"),
        "route": one_of("police", "intelligence", "other"),
        "legal_basis": anything,
        "purposes": _texts,
        "kinds": _texts,
        "lifts": _texts,
        "ceiling": closed({"policy": anything, "level": anything}),
        "retention_days": whole(1),
        "onward": one_of("none", "originator-consent"),
        "suites": listed(one_of(HPKE, JWE), 1, 1),
        "signature_profiles": listed(one_of("classic", "hybrid"), 1, 1),
        "formats": _texts,
        "languages": listed(text("[a-z]{2}")),
        "not_before": text(INSTANT),
        "not_after": text(INSTANT),
        "protocol": closed(
            {
                **dict.fromkeys(("bodies", "controllers", "dpo_contacts", "purposes"), _texts),
                **dict.fromkeys(("legal_basis", "restrictions_on_rights"), anything),
            }
        ),
        "minimum_assurance": assurance,
    },
    {"bulk": closed({"records": whole(1), "days": whole(1)})},
)


@dataclass(frozen=True)
class Agreement:
    """What both ends may do, and who of them signed it with a key that counted."""

    sha256: str
    terms: dict[str, Any]
    signed: tuple[str, ...]

    @property
    def suite(self) -> str:
        return str(self.terms["suites"][0])

    @property
    def profile(self) -> str:
        return str(self.terms["signature_profiles"][0])

    def in_period(self, now: float) -> bool:
        return seconds_of(self.terms["not_before"]) <= now < seconds_of(self.terms["not_after"])


def sign_terms(terms: bytes, kid: str, key: ECC.EccKey) -> str:
    return jose.sign(_header(kid), terms, key, detached=True)


def read_agreement(given: Mapping[str, Any], ours: Entry, theirs: Entry, now: float) -> Agreement:
    """The terms and whose signatures hold. Raises `Refused`."""
    try:
        signatures = closed({"terms": anything, "signatures": mapping(text(ORGANISATION), anything)})(given)[
            "signatures"
        ]
        raw = b64url_bytes(given["terms"])
        terms = _TERMS(parse_canonical(raw))
        parties = terms["parties"]
        period = seconds_of(terms["not_before"]), seconds_of(terms["not_after"])
        if len(raw) > LONGEST_TERMS or parties[0] == parties[1] or period[0] >= period[1]:
            raise Misspelt
    except Misspelt:
        raise Refused("malformed") from None
    if set(parties) != {ours.org, theirs.org}:
        raise Refused("wrong-audience")
    if not signatures.keys() <= set(parties):
        raise Refused("malformed")
    for entry in (ours, theirs):
        if entry.org in signatures:
            _verify(signatures[entry.org], raw, entry, now)
    return Agreement(sha256(raw), terms, tuple(org for org in parties if org in signatures))


def _verify(token: str, raw: bytes, entry: Entry, now: float) -> None:
    try:
        header = jose.read_header(token, detached=True)
        kid = header.get("kid")
        if not isinstance(kid, str) or list(header.items()) != list(_header(kid).items()):
            raise Misspelt
        key = entry.key("agreement", "ES256", kid, now)
        if key is None or TYP not in key.typ:
            raise Misspelt
        jose.verify_es256(token, key.public, raw)
    except (Misspelt, jose.NotSigned):
        raise Refused("signature-invalid") from None


def _header(kid: str) -> dict[str, Any]:
    return {"alg": "ES256", "kid": kid, "typ": TYP, "crit": ["b64"], "b64": False}


def encode(terms: bytes, signatures: Mapping[str, str]) -> dict[str, Any]:
    """The agreement as it travels."""
    return {"terms": b64url(terms), "signatures": dict(signatures)}

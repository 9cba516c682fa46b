"""The two organisations of the protocol vectors: directory entries, agreements, and one good message of each sort."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from tests.vectors.protocol_bytes import (
    HPKE,
    JWE,
    Members,
    b64u,
    canonical,
    checkpoint,
    detached,
    detached_ml_dsa,
    entry,
    hpke_info,
    hpke_seal,
    jwe_header,
    jwe_seal,
    kem_public,
    log_key,
    ml_dsa,
    ordered,
    p256,
    plaintext,
    root,
    seed,
    sha256,
    spki,
)

SENDER, RECIPIENT, STRANGER = "bel.ocam", "fra.police-demo", "nld.other-demo"
NOW = "2026-11-21T21:00:00Z"
IAT = int(datetime(2026, 11, 21, 21, tzinfo=UTC).timestamp())
DAY = 86_400

TYPES = (
    "disclosure", "request", "clarification", "answer", "consent-request", "emergency",
    "no-information", "refusal", "delay", "recall", "correction", "consent-answer", "agreement", "partner-update",
    "status", "ping", "checkpoint", "void",
)  # fmt: skip


def uuid4(name: str) -> str:
    """A UUIDv4 that a name decides."""
    text = sha256(f"uuid/{name}".encode()).hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:32]}"


CONVERSATION, MESSAGE_ID = uuid4("conversation"), uuid4("message")

# --- entries ---------------------------------------------------------------------------------------------------------


def x5t(name: str) -> str:
    """A stand-in for a certificate's thumbprint: receivers compare it and nothing else."""
    return b64u(sha256(f"certificate/{name}".encode()))


def _signature_key(org: str, name: str, use: str, typ: list[str], **more: Any) -> Members:
    kid = f"{org}/{name}"
    record = {"kid": kid, "use": use, "alg": "ES256", "public": spki(p256(kid)), "typ": typ}
    return record | ({"x5t": x5t(kid)} if use != "agreement" else {}) | more


def _entry(org: str, nation: str, kind: str) -> Members:
    messages = [f"ecluse-msg-{one}+jws" for one in TYPES]
    second = {"use": "message", "alg": "ML-DSA-65", "typ": messages}
    pq = f"{org}/message-pq"
    keys = [
        _signature_key(org, "message", "message", messages, not_before="2026-11-01T00:00:00Z"),
        _signature_key(org, "message-revoked", "message", messages, revoked=True),
        _signature_key(org, "message-next", "message", messages, not_before="2026-12-01T00:00:00Z"),
        _signature_key(org, "message-ended", "message", messages, not_after=NOW),
        _signature_key(org, "message-voids", "message", ["ecluse-msg-void+jws"]),
        second | {"kid": pq, "public": b64u(ml_dsa(pq).public_key().public_bytes_raw()), "x5t": x5t(pq)},
        _signature_key(org, "receipt", "receipt", ["ecluse-receipt+jws"]),
        {"kid": f"{org}/hpke", "use": "encryption", "alg": HPKE, "public": b64u(kem_public(f"{org}/hpke"))},
        {"kid": f"{org}/jwe", "use": "encryption", "alg": JWE, "public": spki(p256(f"{org}/jwe"))},
        {
            "kid": f"{org}/log",
            "use": "log",
            "alg": "Ed25519",
            "public": b64u(log_key(f"{org}/log").public_key().public_bytes_raw()),
        },
        _signature_key(org, "agreement", "agreement", ["ecluse-agreement+jws"]),
    ]
    return {
        "org": org,
        "nation": nation,
        "name": f"Vectors {org} (synthetic)",
        "recipient_kind": kind,
        "keys": keys,
        "endpoint": "https://localhost:8443",
        "tls_name": "localhost",
        "formats": ["ct-exchange-json/1.0"],
        "languages": ["fr", "en"],
        "assurance": {
            "origin_signed": True,
            "end_to_end_encrypted": True,
            "receipt": "signed",
            "ordered": True,
            "recall_ack": True,
        },
    }


ENTRIES = {SENDER: _entry(SENDER, "BEL", "other"), RECIPIENT: _entry(RECIPIENT, "FRA", "police")}

# --- agreements ------------------------------------------------------------------------------------------------------


def terms(suite: str, profile: str, **changes: Any) -> Members:
    purposes = ["ct-prevention"]
    return {
        "series": "bel.ocam-fra.police-demo",
        "version": 1,
        "parties": [SENDER, RECIPIENT],
        "recipient_kinds": {RECIPIENT: "police", SENDER: "other"},
        "regime": "BE-OCAM",
        "route": "police",
        "legal_basis": "be-2024-03-29:art28",
        "purposes": purposes,
        "kinds": ["bdc-person/1.0"],
        "lifts": [],
        "ceiling": {"policy": "BEL", "level": "RESTREINT"},
        "retention_days": 365,
        "onward": "none",
        "suites": [suite],
        "signature_profiles": [profile],
        "formats": ["ct-exchange-json/1.0"],
        "languages": ["fr"],
        "not_before": "2026-11-01T00:00:00Z",
        "not_after": "2027-11-01T00:00:00Z",
        "protocol": {
            "bodies": [SENDER, RECIPIENT],
            "controllers": [SENDER, RECIPIENT],
            "dpo_contacts": ["dpo@ocam.invalid", "dpo@police.invalid"],
            "purposes": purposes,
            "legal_basis": "be-2024-03-29:art28",
            "restrictions_on_rights": "synthetic: law 30.7.2018 art. 158",
        },
        "minimum_assurance": {"origin_signed": True, "receipt": "signed"},
    } | changes


def agreement_header(kid: str, **changes: Any) -> bytes:
    header = {"alg": "ES256", "kid": kid, "typ": "ecluse-agreement+jws", "crit": ["b64"], "b64": False}
    return ordered(header | changes)


def signed_agreement(raw: bytes, parties: tuple[str, ...] = (SENDER, RECIPIENT)) -> Members:
    signatures = {
        org: detached(agreement_header(f"{org}/agreement"), raw, p256(f"{org}/agreement")) for org in parties
    }
    return {"terms": b64u(raw), "signatures": signatures}


TERMS = {
    "hpke-classic": canonical(terms(HPKE, "classic")),
    "jwe-classic": canonical(terms(JWE, "classic")),
    "hpke-hybrid": canonical(terms(HPKE, "hybrid")),
    "jwe-hybrid": canonical(terms(JWE, "hybrid")),
    "ended": canonical(terms(HPKE, "classic", not_after=NOW)),
}

# --- payloads --------------------------------------------------------------------------------------------------------

LABEL = {
    "policy": "BEL",
    "level": "UNCLASSIFIED",
    "releasable_to": ["BEL", "FRA"],
    "originators": ["bel.ocam"],
    "tlp": "AMBER",
}


def envelope(type: str, **changes: Any) -> Members:
    return {
        "format": "ct-exchange-json/1.0",
        "type": type,
        "mode": "operational",
        "message_id": MESSAGE_ID,
        "conversation": CONVERSATION,
        "from": SENDER,
        "to": RECIPIENT,
        "created": NOW,
        "language": "fr",
    } | changes


def disclosure(**changes: Any) -> Members:
    """One plainly fictitious person."""
    record = {
        "ref": "p-9f31c07a5be24d18a6c0e7714b2d93f5",
        "category": {"code": "FTF", "criterion": "a"},
        "names": [
            {"family": "Zzemo", "given": "Exemple", "quality": "high", "script": "Latn", "type": "birth"},
            {"quality": "low", "script": "Arab", "text": "إكزمبل", "type": "alias"},
        ],
        "birth": [{"date": "1990-03", "place": "Fictiville", "precision": "month"}],
        "threat": {"date": "2026-10-01", "level": 3},
    }
    body = {
        "label": LABEL | {"originators": ["bel.ocam", "bel.vsse"]},
        "handling": {
            "regime": "BE-OCAM",
            "route": "police",
            "purpose": "ct-prevention",
            "legal_basis": "be-2024-03-29:art28",
            "retention_until": "2027-11-21",
            "onward": "none",
        },
        "manifest": {"records": [{"part": "/records/0", "kind": "bdc-person/1.0"}], "attachments": []},
        "records": [record],
        "labels": [
            {"part": "/records/0", "label": LABEL},
            {"part": "/records/0/names/1", "label": LABEL | {"originators": ["bel.vsse"]}},
        ],
    }
    return envelope("disclosure") | body | changes


VOID, DISCLOSURE = ordered(envelope("void")), ordered(disclosure())

# --- messages --------------------------------------------------------------------------------------------------------


def head(payload: bytes, type: str, *, before: int = 1, name: str = f"{SENDER}/log", origin: str = "") -> str:
    """A head of the sender's log about the recipient: so many earlier entries, and that of this message."""
    earlier = [
        entry(
            b"earlier", at=NOW, conv=uuid4("earlier"), message_id=uuid4(f"before {n}"), seq=n + 1, type="ping"
        )
        for n in range(before)
    ]
    own = entry(payload, at=NOW, conv=CONVERSATION, message_id=MESSAGE_ID, seq=1, type=type)
    origin = origin or f"ecluse/{SENDER}/partner/{RECIPIENT}"
    return checkpoint(origin, before + 1, root([*earlier, own]), f"ecluse/{SENDER}", log_key(name))


def header(
    payload: bytes, type: str = "disclosure", agreement: str = "hpke-classic", **changes: Any
) -> Members:
    """A seal. ``x5t`` stands for the member whose name is no Python name."""
    suite, profile = agreement.split("-")
    kid = str(changes.get("kid", f"{SENDER}/message"))
    thumbprint = changes.pop("x5t", x5t(kid))
    return {
        "alg": "ES256",
        "kid": kid,
        "typ": f"ecluse-msg-{type}+jws",
        "cty": "application/json",
        "crit": ["b64"],
        "b64": False,
        "x5t#S256": thumbprint,
        "iat": IAT,
        "exp": IAT + 30 * DAY,
        "iss": SENDER,
        "aud": RECIPIENT,
        "enc_kid": f"{RECIPIENT}/{suite}",
        "suite": HPKE if suite == "hpke" else JWE,
        "sig_profile": profile,
        "jti": MESSAGE_ID,
        "conv": CONVERSATION,
        "seq": 1,
        "mode": "operational",
        "agreement": sha256(TERMS[agreement]).hex(),
        "payload_sha256": sha256(payload).hex(),
        "checkpoint": head(payload, type),
    } | changes


def second_header(first: Members) -> Members:
    kid = f"{SENDER}/message-pq"
    return first | {"alg": "ML-DSA-65", "kid": kid, "x5t#S256": x5t(kid)}


def signatures(first: Members, payload: bytes) -> tuple[str, str]:
    """Both JWS of a seal, the second empty in profile classic."""
    jws = detached(ordered(first), payload, p256(first["kid"]))
    if first["sig_profile"] == "classic":
        return jws, ""
    second = second_header(first)
    return jws, detached_ml_dsa(ordered(second), payload, ml_dsa(second["kid"]))


def preamble(first: Members, **changes: Any) -> bytes:
    values = {name: first[name] for name in ("aud", "enc_kid", "iss", "jti", "suite")} | {"v": 1}
    return canonical(values | changes)


def ephemeral() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def encrypted(line: bytes, suite: str, content: bytes, iss: str = SENDER) -> bytes:
    """``preamble LF ciphertext`` for the recipient."""
    if suite == HPKE:
        return line + b"\n" + hpke_seal(hpke_info(line), content, kem_public(f"{RECIPIENT}/hpke"))
    key = ephemeral()
    return (
        line
        + b"\n"
        + jwe_seal(jwe_header(line, iss, key), content, p256(f"{RECIPIENT}/jwe").public_key(), key)
    )


def sealed(first: Members, payload: bytes, *, line: bytes = b"", content: bytes = b"") -> bytes:
    """A whole sealed message; ``line`` and ``content`` replace preamble and plaintext."""
    line = line or preamble(first)
    content = content or plaintext(*signatures(first, payload), payload)
    return encrypted(line, first["suite"], content, first["iss"])


def private_seeds() -> dict[str, str]:
    """Every private key the vectors use, as its 32-byte seed in hex. They guard nothing."""
    names = [f"{org}/{kid}" for org in ENTRIES for kid in _names(ENTRIES[org])]
    return {name: seed(name).hex() for name in names}


def _names(own: Members) -> list[str]:
    return [record["kid"].split("/", 1)[1] for record in own["keys"]]

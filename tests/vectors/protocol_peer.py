"""A partner's own tool for `docs/partner-walkthrough.md`: an entry from PEM files, terms, and sealed batches.

It knows the partner protocol and primitives, and nothing of the gateway. Files are those of the walk-through's folder.
"""

from __future__ import annotations

import json
import sys
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)

from tests.vectors.protocol_bytes import (
    HPKE,
    Members,
    b64u,
    canonical,
    checkpoint,
    detached,
    entry,
    from_b64u,
    hpke_info,
    hpke_seal,
    ordered,
    plaintext,
    prefixed,
    root,
    sha256,
)

ORG, NATION, GATEWAY = "nld.peer-demo", "NLD", "fra.police-demo"
LIFE = timedelta(days=1)


def _private(name: str) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(Path(f"{name}.key").read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise SystemExit(f"{name}.key holds no P-256 key")
    return key


def _log_key() -> ed25519.Ed25519PrivateKey:
    key = load_pem_private_key(Path("log.key").read_bytes(), None)
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise SystemExit("log.key holds no Ed25519 key")
    return key


def _spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _kid(name: str) -> str:
    return f"{ORG}/{name}/{b64u(sha256(_spki(_private(name))))[:16]}"


def _record(name: str, use: str, typ: list[str], *, certified: bool = True) -> Members:
    record: Members = {"kid": _kid(name), "use": use, "alg": "ES256", "public": b64u(_spki(_private(name)))}
    if typ:
        record["typ"] = typ
    if certified:
        der = x509.load_pem_x509_certificate(Path(f"{name}.pem").read_bytes()).public_bytes(Encoding.DER)
        record |= {"certificate": b64u(der), "x5t": b64u(sha256(der))}
    return record


def _instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def own_entry() -> Members:
    """Our directory entry (§3): we only send here, so there is no listener and no encryption key."""
    public = _log_key().public_key().public_bytes_raw()
    return {
        "org": ORG,
        "nation": NATION,
        "name": "Peer (synthetic)",
        "recipient_kind": "police",
        "keys": [
            _record("client", "tls-client", []),
            _record("message", "message", ["ecluse-msg-ping+jws", "ecluse-msg-void+jws"]),
            {"kid": f"{ORG}/log", "use": "log", "alg": "Ed25519", "public": b64u(public)},
            _record("agreement", "agreement", ["ecluse-agreement+jws"], certified=False),
        ],
        "endpoint": "https://localhost:1",
        "tls_name": "localhost",
        "formats": ["ct-exchange-json/1.0"],
        "languages": ["fr"],
        "assurance": {
            "origin_signed": True,
            "end_to_end_encrypted": True,
            "receipt": "signed",
            "ordered": True,
            "recall_ack": True,
        },
    }


def own_terms() -> Members:
    """Terms for one day and for nothing but protocol messages (§4)."""
    now, parties = datetime.now(UTC), [ORG, GATEWAY]
    return {
        "series": f"{GATEWAY}-{ORG}",
        "version": 1,
        "parties": parties,
        "recipient_kinds": dict.fromkeys(parties, "police"),
        "regime": "SPOC",
        "route": "police",
        "legal_basis": "synthetic",
        "purposes": ["ct-prevention"],
        "kinds": ["bdc-person/1.0"],
        "lifts": [],
        "bulk": {"records": 1, "days": 1},
        "ceiling": {"policy": "BEL", "level": "UNCLASSIFIED"},
        "retention_days": 1,
        "onward": "none",
        "suites": [HPKE],
        "signature_profiles": ["classic"],
        "formats": ["ct-exchange-json/1.0"],
        "languages": ["fr"],
        "not_before": _instant(now - timedelta(hours=1)),
        "not_after": _instant(now + LIFE),
        "protocol": {
            "bodies": parties,
            "controllers": parties,
            "dpo_contacts": ["dpo@peer.invalid", "dpo@police.invalid"],
            "purposes": ["ct-prevention"],
            "legal_basis": "synthetic",
            "restrictions_on_rights": "none, synthetic",
        },
        "minimum_assurance": {"origin_signed": True, "receipt": "signed"},
    }


def batch(seq: int) -> bytes:
    """One sealed `ping` in a batch of one. Conversation and log live in ``state.json``."""
    theirs: Members = json.loads(Path("gateway.json").read_text())
    terms = from_b64u(json.loads(Path("agreement.json").read_text())["terms"])
    (key,) = [one for one in theirs["keys"] if one["use"] == "encryption" and one["alg"] == HPKE]
    state = Path("state.json")
    known: Members = {"conversation": str(uuid.uuid4()), "log": []}
    known = json.loads(state.read_text()) if state.exists() else known
    now, message_id = datetime.now(UTC), str(uuid.uuid4())
    payload = ordered(
        {
            "format": "ct-exchange-json/1.0",
            "type": "ping",
            "mode": "test",
            "message_id": message_id,
            "conversation": known["conversation"],
            "from": ORG,
            "to": GATEWAY,
            "created": _instant(now),
            "language": "fr",
        }
    )
    # the log entry comes first, and a head that covers it
    new = entry(
        payload, at=_instant(now), conv=known["conversation"], message_id=message_id, seq=seq, type="ping"
    )
    known["log"].append(new.decode())
    state.write_text(json.dumps(known))
    head = checkpoint(
        f"ecluse/{ORG}/partner/{GATEWAY}",
        len(known["log"]),
        root([one.encode() for one in known["log"]]),
        f"ecluse/{ORG}",
        _log_key(),
    )
    message = _record("message", "message", [])
    seal: dict[str, Any] = {
        "alg": "ES256",
        "kid": message["kid"],
        "typ": "ecluse-msg-ping+jws",
        "cty": "application/json",
        "crit": ["b64"],
        "b64": False,
        "x5t#S256": message["x5t"],
        "iat": int(now.timestamp()),
        "exp": int((now + LIFE).timestamp()),
        "iss": ORG,
        "aud": GATEWAY,
        "enc_kid": key["kid"],
        "suite": HPKE,
        "sig_profile": "classic",
        "jti": message_id,
        "conv": known["conversation"],
        "seq": seq,
        "mode": "test",
        "agreement": sha256(terms).hex(),
        "payload_sha256": sha256(payload).hex(),
        "checkpoint": head,
    }
    content = plaintext(detached(ordered(seal), payload, _private("message")), "", payload)
    line = canonical({name: seal[name] for name in ("aud", "enc_kid", "iss", "jti", "suite")} | {"v": 1})
    return prefixed(line + b"\n" + hpke_seal(hpke_info(line), content, from_b64u(key["public"])))


def public_key(use: str) -> bytes:
    """The gateway's public key of one use, PEM."""
    theirs: Members = json.loads(Path("gateway.json").read_text())
    (record,) = [one for one in theirs["keys"] if one["use"] == use]
    key = load_der_public_key(from_b64u(record["public"]))
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def main(command: str, *arguments: str) -> bytes:
    """What one command prints."""
    match command, *arguments:
        case ["entry"]:
            return canonical(own_entry())
        case ["terms"]:
            return canonical(own_terms())
        case ["batch", seq]:
            return batch(int(seq))
        case ["key", use]:
            return public_key(use)
        case _:
            raise SystemExit("usage: entry | terms | batch SEQ | key USE")


if __name__ == "__main__":
    sys.stdout.buffer.write(main(*sys.argv[1:]))

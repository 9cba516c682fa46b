"""Making homes and keys: what `init` and the officers' own commands write before any gateway runs.

Beside `app` the only module that picks adapters: key files are the adapter here.
"""

from __future__ import annotations

import asyncio
import os
import tomllib
from datetime import datetime
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_der_x509_certificate, load_pem_x509_certificate

import schemas
from adapters.keys.file import (
    officer_key_generate,
    read_private_pem,
    replace_file,
    write_bytes,
    write_private,
)
from adapters.stores.sql import SqliteStore
from certs.ca import DevCa
from certs.profiles import MESSAGE_SIGNATURE, RECEIPT_SIGNATURE, TLS_CLIENT, TLS_SERVER, Profile
from gateway.errors import ConfigInvalid, Conflict, StoreUnavailable
from gateway.flow.change import SignedFounding, canonical, digest, verify_founding
from gateway.model.message import DEMANDS
from gateway.model.officer import OfficerKey
from gateway.model.party import Assurance, KeyRecord, Partner, RecipientKind
from gateway.model.rows import DirectoryRow, Row
from gateway.policy.context import Settings
from gateway.service.config import load_config
from gateway.service.directory import FOUNDING, OFFICER, POLICY, SETTINGS
from gateway.service.home import Home
from gateway.service.releases import FORMAT
from gateway.service.signer.trust import found
from gateway.wire.container import KEM_SEED_BYTES, kem_public_bytes
from gateway.wire.jws import AGREEMENT_TYP, RECEIPT_TYP, message_typ, spki, thumbprint
from gateway.wire.strict import b64url, b64url_decode

#: The policy a home starts with; changing it later is a two-person change.
SHIPPED_POLICY = "policy/be-1.json"

#: Days a leaf certificate lives unless the authority ends before.
LEAF_DAYS = 365


def shipped_policy() -> bytes:
    """The shipped policy in its one form (RFC 8785): what a home starts with, and what its digest is over."""
    return canonical(schemas.load_json(SHIPPED_POLICY))


def read_settings(path: Path) -> Settings:
    """Thresholds of the release policy from a TOML file; raises `ConfigInvalid` naming the member, never a value."""
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Settings)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        raise ConfigInvalid("the settings file cannot be read as TOML") from None
    except msgspec.ValidationError as error:
        where = str(error).rpartition(" - at ")[2] if " - at " in str(error) else "`$`"
        raise ConfigInvalid(f"the settings break their schema at {where}") from None


# --- keys of people ----------------------------------------------------------------------------------------------


def new_officer_key(path: Path) -> OfficerKey:
    """Write a fresh officer's private key (mode 0600, never over another file); returns its public record."""
    private, public = officer_key_generate()
    write_private(path, private)
    return public


def read_officer_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """An officer's private key; raises `ConfigInvalid` for a file others may read or another kind of key."""
    key = read_private_pem(path)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigInvalid("an officer's key file must hold a P-256 key")
    return key


def new_agreement_key(path: Path, org: str) -> KeyRecord:
    """Write a fresh offline agreement key; returns the public record the other side pins."""
    key = ec.generate_private_key(ec.SECP256R1())
    write_private(path, key)
    kid = f"{org}/agreement/{thumbprint(key.public_key())[:16]}"
    return KeyRecord(
        kid=kid, use="agreement", alg="ES256", public=spki(key.public_key()), typ=(AGREEMENT_TYP,)
    )


# --- homes -------------------------------------------------------------------------------------------------------


def create_home(
    home: Home,
    founding: SignedFounding,
    config: str,
    authority: Path,
    *,
    host_names: tuple[str, ...],
    now: datetime,
) -> None:
    """Make a home from a document two officers signed.

    (1) the founding document holds, and the configuration is for the same organisation and profile; (2) the folder
    is new; (3) the signer's keys, each for one use; (4) certificates from the organisation's authority; (5) the
    signer's trust; (6) the database with the founding state. Raises `Conflict` for a folder that is a home already.
    """
    # (1)
    document = verify_founding(founding, now=now)
    if home.config.exists() or home.database.exists():
        raise Conflict("there is a home here already")
    policy = shipped_policy()
    if digest(policy) != document.policy_sha256:
        raise ConfigInvalid("the founding document names another policy than the one shipped")
    # (2)
    for folder in (home.path, home.tls, home.tls / "partners", home.signer, home.signer / "keys"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(home.config, config.encode())
    loaded = load_config(home.config)
    if (loaded.config.organisation.id, loaded.config.profile) != (document.org, document.profile):
        raise ConfigInvalid("configuration and founding document are for different organisations or profiles")
    # (3), (4)
    records = _keys(home, DevCa.load(authority), document.org, host_names, now)
    replace_file(home.signer / "public.json", msgspec.json.encode(records))
    # (5)
    replace_file(home.signer / "trust.json", msgspec.json.encode(found(founding, now=now)))
    # (6)
    rows: list[Row] = [_row(FOUNDING, document.org, founding.document, now)]
    rows.append(_row(POLICY, "release", policy, now))
    rows.append(_row(SETTINGS, "release", canonical(document.settings), now))
    rows += [_row(OFFICER, officer.id, canonical(officer), now) for officer in document.officers]
    store = SqliteStore.open(home.database, fatal=_no_fatal)
    try:
        asyncio.run(store.write(lambda tx: tx.insert(*rows)))
    finally:
        store.close()


def _no_fatal(reason: str) -> None:
    raise StoreUnavailable(f"the new home's database does not keep what is written: {reason}")


def _row(kind: str, name: str, document: bytes, now: datetime) -> DirectoryRow:
    return DirectoryRow(kind, name, 1, True, document, digest(document), now, "founding")


def _keys(
    home: Home, ca: DevCa, org: str, host_names: tuple[str, ...], now: datetime
) -> tuple[KeyRecord, ...]:
    keys = home.signer / "keys"
    records = []
    signatures: tuple[tuple[str, Profile, tuple[str, ...]], ...] = (
        ("message", MESSAGE_SIGNATURE, tuple(message_typ(name) for name in DEMANDS)),
        ("receipt", RECEIPT_SIGNATURE, (RECEIPT_TYP,)),
    )
    for name, profile, typ in signatures:
        private = ec.generate_private_key(ec.SECP256R1())
        write_private(keys / f"{name}.pem", private)
        records.append(_certified(ca, profile, org, private.public_key(), name, typ, (), now))
    for name, profile in (("server", TLS_SERVER), ("client", TLS_CLIENT)):
        private = ec.generate_private_key(ec.SECP256R1())
        names = host_names if name == "server" else ()
        record = _certified(ca, profile, org, private.public_key(), f"tls-{name}", (), names, now)
        write_private(home.tls / f"{name}.key", private)
        replace_file(home.tls / f"{name}.pem", _pem(record))
        records.append(record)
    head = ed25519.Ed25519PrivateKey.generate()
    write_private(keys / "log.pem", head)
    raw = head.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    records.append(
        KeyRecord(kid=f"{org}/log/{b64url(raw)[:16]}", use="log", alg="Ed25519", public=b64url(raw))
    )
    seed = os.urandom(KEM_SEED_BYTES)
    write_bytes(keys / "encryption.bin", seed)
    public = kem_public_bytes(seed)
    records.append(
        KeyRecord(
            kid=f"{org}/encryption/{digest(public)[:16]}",
            use="encryption",
            alg="hpke-mlkem768-x25519-a256gcm",
            public=b64url(public),
        )
    )
    for name in ("kek", "index", "pseudonym"):
        write_bytes(keys / f"{name}.bin", os.urandom(32))
    return tuple(records)


def _certified(
    ca: DevCa,
    profile: Profile,
    org: str,
    public: ec.EllipticCurvePublicKey,
    use: str,
    typ: tuple[str, ...],
    names: tuple[str, ...],
    now: datetime,
) -> KeyRecord:
    certificate = ca.issue(profile, org=org, dns_names=names, public_key=public, now=now, days=LEAF_DAYS)
    der = certificate.public_bytes(Encoding.DER)
    return msgspec.convert(
        {
            "kid": f"{org}/{use}/{thumbprint(public)[:16]}",
            "use": use,
            "alg": "ES256",
            "public": spki(public),
            "typ": typ,
            "certificate": b64url(der),
            "x5t": b64url(bytes.fromhex(digest(der))),
            "not_before": certificate.not_valid_before_utc,
            "not_after": certificate.not_valid_after_utc,
        },
        KeyRecord,
    )


def _pem(record: KeyRecord) -> bytes:
    return load_der_x509_certificate(b64url_decode(record.certificate)).public_bytes(Encoding.PEM)


def trust_authority(home: Home, org: str, certificate: bytes, crl: bytes) -> None:
    """Let the TLS layer accept certificates of a partner's authority; who the partner is stays the directory's."""
    load_pem_x509_certificate(certificate)
    replace_file(home.tls / "partners" / f"{org}.pem", certificate)
    replace_file(home.tls / "partners" / f"{org}.crl", crl)


def own_entry(
    home: Home,
    *,
    endpoint: str,
    tls_name: str,
    recipient_kind: RecipientKind,
    agreement_keys: tuple[KeyRecord, ...],
    version: int = 1,
) -> Partner:
    """Our own directory entry, as a partner would pin it: public keys, endpoint, what our transport assures."""
    config = load_config(home.config).config
    keys = msgspec.json.decode((home.signer / "public.json").read_bytes(), type=tuple[KeyRecord, ...])
    return Partner(
        org=config.organisation.id,
        nation=config.organisation.nation,
        name=config.organisation.name,
        recipient_kind=recipient_kind,
        keys=keys + agreement_keys,
        endpoint=endpoint,
        tls_name=tls_name,
        formats=(FORMAT,),
        languages=("fr", "nl", "de", "en"),
        assurance=Assurance(
            origin_signed=True, end_to_end_encrypted=True, receipt="signed", ordered=True, recall_ack=True
        ),
        version=version,
    )

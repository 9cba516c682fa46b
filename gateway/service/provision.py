"""Making homes and keys: what `init` and the officers' own commands write before any gateway runs.

Beside `app` the only module that picks adapters: key files are the adapter here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA65PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import (
    Certificate,
    CertificateRevocationList,
    load_der_x509_certificate,
    load_pem_x509_certificates,
    load_pem_x509_crl,
)

import schemas
from adapters.keys.file import (
    officer_key_generate,
    read_private_pem,
    replace_file,
    write_bytes,
    write_private,
)
from adapters.stores.schema import SCHEMA_VERSION
from adapters.stores.sql import SqliteStore
from certs.ca import DevCa, ca_issue
from certs.profiles import (
    MESSAGE_SIGNATURE,
    RECEIPT_SIGNATURE,
    TLS_CLIENT,
    TLS_SERVER,
    UNREADABLE,
    Profile,
    check_crl,
    check_successor,
    load_certificate,
)
from gateway.errors import (
    CertificateProfileViolation,
    ConfigInvalid,
    Conflict,
    RequestInvalid,
    StoreUnavailable,
)
from gateway.flow.change import Founding, SignedFounding, canonical, digest, verify_founding
from gateway.model.message import DEMANDS
from gateway.model.officer import OfficerKey
from gateway.model.party import Assurance, KeyRecord, Partner, RecipientKind
from gateway.model.rows import DirectoryRow, MetaRow, Row
from gateway.policy.context import Settings
from gateway.ports import ReadTx
from gateway.service.config import load_config, member_at_fault, read_config
from gateway.service.directory import FOUNDING, OFFICER, POLICY, SETTINGS
from gateway.service.home import Home
from gateway.service.releases import FORMAT
from gateway.service.signer.keks import Generation, listed
from gateway.service.signer.trust import found
from gateway.wire import hpke, jwe, mldsa
from gateway.wire.hpke import KEM_SEED_BYTES, kem_public_bytes
from gateway.wire.jws import AGREEMENT_TYP, ALG, RECEIPT_TYP, PublicKey, message_typ, spki, thumbprint
from gateway.wire.strict import b64url, b64url_decode

T = TypeVar("T")

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
        raise ConfigInvalid(f"the settings break their schema: {member_at_fault(error)}") from None


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
    """Make a home from a document two officers signed: whole, or not at all.

    (1) the founding document holds, and the configuration is for the same organisation and profile; (2) the place is
    free, and the home grows beside it; (3) certificates from the organisation's authority and the signer's keys, each
    for one use; (4) the signer's trust, and its file of heads with none in it; (5) the database with the founding
    state; (6) the finished home gets its name. Whatever fails before (6) leaves nothing behind, but serial numbers in
    the authority's index. Raises `Conflict` for a folder that holds anything.
    """
    # (1)
    document = verify_founding(founding, now=now)
    if digest(shipped_policy()) != document.policy_sha256:
        raise ConfigInvalid("the founding document names another policy than the one shipped")
    ours = read_config(config.encode()).config
    if (ours.organisation.id, ours.profile) != (document.org, document.profile):
        raise ConfigInvalid("configuration and founding document are for different organisations or profiles")
    if DevCa.load(authority).organisation != document.org:
        raise ConfigInvalid("the authority is another organisation's")
    # (2)
    place = home.path.absolute()
    if home.config.exists() or home.database.exists():
        raise Conflict("there is a home here already")
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise Conflict("the folder of the home is not empty")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        grown = Home(Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent)))  # mode 0700
    except OSError:
        raise StoreUnavailable("the folder of the home cannot be made") from None
    try:
        for folder in (grown.tls, grown.tls / "partners", grown.signer, grown.signer / "keys"):
            folder.mkdir(mode=0o700)
        replace_file(grown.config, config.encode())
        # (3)
        records = _keys(grown, authority, document.org, host_names, now)
        replace_file(grown.signer / "public.json", msgspec.json.encode(records))
        # (4)
        replace_file(grown.signer / "trust.json", msgspec.json.encode(found(founding, now=now)))
        replace_file(grown.signer / "heads.json", b"{}")
        replace_file(grown.signer / "witnessed.json", b"{}")
        replace_file(grown.signer / "alone.json", b"{}")
        replace_file(grown.signer / "keks.json", listed((Generation(1, now),)))
        # (5)
        _store(grown, founding, document, now)
        # (6)
        grown.path.rename(place)
        _sync(place.parent)
    except OSError:
        raise StoreUnavailable("the home cannot be written") from None
    finally:
        shutil.rmtree(grown.path, ignore_errors=True)


def _store(home: Home, founding: SignedFounding, document: Founding, now: datetime) -> None:
    policy = shipped_policy()
    rows: list[Row] = [_row(FOUNDING, document.org, founding.document, now)]
    rows.append(_row(POLICY, "release", policy, now))
    rows.append(_row(SETTINGS, "release", canonical(document.settings), now))
    rows += [_row(OFFICER, officer.id, canonical(officer), now) for officer in document.officers]
    store = SqliteStore.open(home.database, fatal=_no_fatal)
    try:
        asyncio.run(store.write(lambda tx: tx.insert(*rows)))
    finally:
        store.close()


def _sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _no_fatal(reason: str) -> None:
    raise StoreUnavailable(f"the new home's database does not keep what is written: {reason}")


def _row(kind: str, name: str, document: bytes, now: datetime) -> DirectoryRow:
    return DirectoryRow(kind, name, 1, True, document, digest(document), now, "founding")


def _keys(
    home: Home, authority: Path, org: str, host_names: tuple[str, ...], now: datetime
) -> tuple[KeyRecord, ...]:
    keys = home.signer / "keys"
    records = []
    # The server first: its host names are what an authority may refuse.
    for name, profile in (("server", TLS_SERVER), ("client", TLS_CLIENT)):
        private = ec.generate_private_key(ec.SECP256R1())
        names = host_names if name == "server" else ()
        record = _certified(authority, profile, org, private.public_key(), f"tls-{name}", (), names, now)
        write_private(home.tls / f"{name}.key", private)
        replace_file(home.tls / f"{name}.pem", _pem(record))
        records.append(record)
    signatures: tuple[tuple[str, Profile, tuple[str, ...]], ...] = (
        ("message", MESSAGE_SIGNATURE, tuple(message_typ(name) for name in DEMANDS)),
        ("receipt", RECEIPT_SIGNATURE, (RECEIPT_TYP,)),
    )
    for name, profile, typ in signatures:
        private = ec.generate_private_key(ec.SECP256R1())
        write_private(keys / f"{name}.pem", private)
        records.append(_certified(authority, profile, org, private.public_key(), name, typ, (), now))
    seed = os.urandom(mldsa.SEED_BYTES)
    write_bytes(keys / "message-mldsa.bin", seed)
    second = mldsa.private_key(seed).public_key()
    records.append(
        _certified(authority, MESSAGE_SIGNATURE, org, second, "message", signatures[0][2], (), now)
    )
    head = ed25519.Ed25519PrivateKey.generate()
    write_private(keys / "log.pem", head)
    raw = head.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    records.append(
        KeyRecord(kid=f"{org}/log/{b64url(raw)[:16]}", use="log", alg="Ed25519", public=b64url(raw))
    )
    records += _witness_keys(keys, org)
    seed = os.urandom(KEM_SEED_BYTES)
    write_bytes(keys / "encryption.bin", seed)
    public = kem_public_bytes(seed)
    records.append(
        KeyRecord(
            kid=f"{org}/encryption/{digest(public)[:16]}",
            use="encryption",
            alg=hpke.SUITE,
            public=b64url(public),
        )
    )
    opening = ec.generate_private_key(ec.SECP256R1())
    write_private(keys / "encryption-jwe.pem", opening)
    records.append(
        KeyRecord(
            kid=f"{org}/encryption/{thumbprint(opening.public_key())[:16]}",
            use="encryption",
            alg=jwe.SUITE,
            public=spki(opening.public_key()),
        )
    )
    for name in ("kek-1", "index", "pseudonym", "find"):
        write_bytes(keys / f"{name}.bin", os.urandom(32))
    return tuple(records)


def _witness_keys(folder: Path, org: str) -> list[KeyRecord]:
    """The two keys that cosign partners' heads; neither is a log key."""
    classic, seed = ed25519.Ed25519PrivateKey.generate(), os.urandom(mldsa.SEED_BYTES)
    write_private(folder / "witness.pem", classic)
    write_bytes(folder / "witness-mldsa.bin", seed)
    public = (
        ("Ed25519", classic.public_key().public_bytes_raw()),
        ("ML-DSA-44", MLDSA44PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw()),
    )
    return [
        KeyRecord(kid=f"{org}/witness/{digest(raw)[:16]}", use="witness", alg=alg, public=b64url(raw))
        for alg, raw in public
    ]


def _certified(
    authority: Path,
    profile: Profile,
    org: str,
    public: PublicKey,
    use: str,
    typ: tuple[str, ...],
    names: tuple[str, ...],
    now: datetime,
) -> KeyRecord:
    key = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    # Through the folder, whose index then knows the serial number: only so can the certificate be revoked.
    pem = ca_issue(authority, profile.name, org=org, public_key=key, dns_names=names, now=now, days=LEAF_DAYS)
    certificate = load_certificate(pem)
    der = certificate.public_bytes(Encoding.DER)
    return msgspec.convert(
        {
            "kid": f"{org}/{use}/{_key_id(public)}",
            "use": use,
            "alg": mldsa.ALG if isinstance(public, MLDSA65PublicKey) else ALG,
            "public": mldsa.public_text(public) if isinstance(public, MLDSA65PublicKey) else spki(public),
            "typ": typ,
            "certificate": b64url(der),
            "x5t": b64url(bytes.fromhex(digest(der))),
            "not_before": certificate.not_valid_before_utc,
            "not_after": certificate.not_valid_after_utc,
        },
        KeyRecord,
    )


def _key_id(public: PublicKey) -> str:
    """The first 96 bits of the SHA-256 of the SubjectPublicKeyInfo, base64url."""
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b64url(bytes.fromhex(digest(der)))[:16]


def _pem(record: KeyRecord) -> bytes:
    return load_der_x509_certificate(b64url_decode(record.certificate)).public_bytes(Encoding.PEM)


def require_schema(tx: ReadTx) -> None:
    """Raise `ConfigInvalid` unless the database says that it has the tables of this version, as `serve` demands."""
    try:
        version = tx.get(MetaRow, "schema-version")
    except Exception:
        version = None  # a dropped or damaged table fails in its own way
    if version is None or version.value != SCHEMA_VERSION:
        raise ConfigInvalid("the database has another schema version: migrate or restore it")


def trust_authority(
    home: Home, org: str, certificate: bytes, crl: bytes, *, other_authority: bool = False
) -> None:
    """Let the TLS layer accept certificates of a partner's authority; who the partner is stays the directory's.

    1. both can be read, and the list is well-made and signed by that authority
    2. an authority with another key takes the place of the one trusted only where ``other_authority`` says so
    3. of the same authority the list is not older than the one in place: that would revive what it revoked since

    Raises `RequestInvalid`, `CertificateProfileViolation` or `Conflict`, before anything is written. Repeatable.
    Nothing here holds against who may write the home's files; behind them stand the pins of the partner's entry.
    """
    # (1)
    authorities = _read_pem(certificate, load_pem_x509_certificates, "authority")
    checked = check_crl(_read_pem(crl, load_pem_x509_crl, "crl"), authorities)
    trusted, listed = (home.tls / "partners" / f"{org}.{end}" for end in ("pem", "crl"))
    # (2) what cannot be read is trusted by nobody
    with contextlib.suppress(FileNotFoundError, RequestInvalid):
        before = _read_pem(trusted.read_bytes(), load_pem_x509_certificates, "authority")
        if _keys_of(before) != _keys_of(authorities) and not other_authority:
            raise Conflict("an authority with another key is trusted for this organisation")
    # (3)
    with contextlib.suppress(FileNotFoundError, RequestInvalid):
        known = _read_pem(listed.read_bytes(), load_pem_x509_crl, "crl")
        if _is_of(known, checked.issuer):
            check_successor(checked, known)
    replace_file(trusted, certificate)
    replace_file(listed, crl)


def _read_pem(raw: bytes, read: Callable[[bytes], T], field: str) -> T:
    try:
        return read(raw)
    except UNREADABLE:
        raise RequestInvalid(
            "the file is not what it should be, in PEM", diagnostic={"field": field}
        ) from None


def _keys_of(certificates: Iterable[Certificate]) -> set[bytes]:
    return {
        one.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for one in certificates
    }


def _is_of(crl: CertificateRevocationList, issuer: Certificate) -> bool:
    """Whether this authority issued the list in place; one of the authority before is nothing to compare with."""
    try:
        check_crl(crl, [issuer])
    except CertificateProfileViolation:
        return False
    return True


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

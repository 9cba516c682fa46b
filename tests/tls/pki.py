"""A small PKI made at test time, and certificates with exactly one flaw each, named for it."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from certs.ca import ca_init, ca_issue, ca_revoke
from certs.profiles import PROFILES
from gateway.service.tls import TlsFiles

KEY_USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Draft:
    """A leaf certificate before it is signed; a flaw changes one field."""

    purposes: tuple[ObjectIdentifier, ...]
    key: Callable[[], Key] = lambda: ec.generate_private_key(ec.SECP256R1())
    ca: bool = False
    basic_critical: bool = True
    usages: tuple[str, ...] = ("digital_signature",)
    usage_critical: bool = True
    not_before: timedelta = timedelta(hours=-1)
    not_after: timedelta = timedelta(days=5)
    names: tuple[x509.GeneralName, ...] = (
        x509.DNSName("localhost"),
        x509.UniformResourceIdentifier("urn:ecluse:org:fra.police-demo"),
    )
    extra: tuple[tuple[x509.ExtensionType, bool], ...] = ()
    authority_key: bool = True
    digest: hashes.SHA384 | hashes.SHA224 = field(default_factory=hashes.SHA384)


def _uri(organisation: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(f"urn:ecluse:org:{organisation}")


_OTHER = ObjectIdentifier("2.25.1.1")

#: Flaws that path validation lets through: our own check refuses each under the rule named.
PROFILE_FLAWS: dict[str, tuple[Callable[[Draft], Draft], str]] = {
    "any-purpose": (
        lambda d: replace(d, purposes=(*d.purposes, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)),
        "extended-key-usage",
    ),
    "second-purpose": (
        lambda d: replace(d, purposes=(ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)),
        "extended-key-usage",
    ),
    "no-purpose": (lambda d: replace(d, purposes=()), "extended-key-usage"),
    "over-long": (lambda d: replace(d, not_after=timedelta(days=399)), "validity"),
    "rsa-2048": (lambda d: replace(d, key=lambda: rsa.generate_private_key(65537, 2048)), "key"),
    "p-521": (lambda d: replace(d, key=lambda: ec.generate_private_key(ec.SECP521R1())), "key"),
    "sha-224": (lambda d: replace(d, digest=hashes.SHA224()), "signature"),
    "ca-true": (
        lambda d: replace(d, ca=True, usages=("digital_signature", "key_cert_sign")),
        "basic-constraints",
    ),
    "basic-not-critical": (lambda d: replace(d, basic_critical=False), "basic-constraints"),
    "usage-not-critical": (lambda d: replace(d, usage_critical=False), "key-usage"),
    "second-usage": (
        lambda d: replace(d, usages=("digital_signature", "key_agreement")),
        "key-usage",
    ),
    "no-organisation": (lambda d: replace(d, names=(x509.DNSName("localhost"),)), "organisation"),
    "two-organisations": (
        lambda d: replace(d, names=(*d.names, _uri("bel.ocam"))),
        "organisation",
    ),
    "organisation-spelling": (
        lambda d: replace(d, names=(x509.DNSName("localhost"), _uri("FRA.police-demo"))),
        "organisation",
    ),
}

#: Flaws that path validation itself must refuse: the text is OpenSSL's.
PATH_FLAWS: dict[str, tuple[Callable[[Draft], Draft], str]] = {
    "expired": (
        lambda d: replace(d, not_before=timedelta(days=-9), not_after=timedelta(days=-2)),
        "certificate has expired",
    ),
    "not-yet-valid": (
        lambda d: replace(d, not_before=timedelta(days=2)),
        "certificate is not yet valid",
    ),
    "other-purpose": (
        lambda d: replace(
            d,
            purposes=(
                ExtendedKeyUsageOID.SERVER_AUTH
                if d.purposes == (ExtendedKeyUsageOID.CLIENT_AUTH,)
                else ExtendedKeyUsageOID.CLIENT_AUTH,
            ),
        ),
        "certificate purpose",
    ),
    "foreign-name": (
        lambda d: replace(
            d, names=(x509.DNSName("localhost"), x509.DNSName("gateway.example"), _uri("fra.police-demo"))
        ),
        "permitted subtree violation",
    ),
    "no-authority-key": (lambda d: replace(d, authority_key=False), "(?i)missing authority key identifier"),
    "unknown-critical": (
        lambda d: replace(d, extra=((x509.UnrecognizedExtension(_OTHER, b"\x05\x00"), True),)),
        "unhandled critical extension",
    ),
}


class Pki:
    """One demonstration authority in a folder of its own, found or founded, and the leaves it signed."""

    def __init__(self, folder: Path, org: str = "fra.police-demo") -> None:
        self.folder = folder
        self.org = org
        self.now = datetime.now(UTC).replace(microsecond=0)
        if not (folder / "ca").exists():
            ca_init(folder / "ca", org, now=self.now, demo=True)
        key = load_pem_private_key((folder / "ca" / "ca.key").read_bytes(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self.key = key
        self.certificate = x509.load_pem_x509_certificate((folder / "ca" / "ca.pem").read_bytes())

    @property
    def crl(self) -> Path:
        return self.folder / "ca" / "crl.pem"

    def files(self, name: str, *trusted: "Pki") -> TlsFiles:
        """The TLS files of a leaf, trusting these authorities (its own when none is given)."""
        partners = trusted or (self,)
        return TlsFiles(
            self.folder / f"{name}.pem",
            self.folder / f"{name}.key",
            tuple(p.folder / "ca" / "ca.pem" for p in partners),
            tuple(p.crl for p in partners),
        )

    def good(self, profile: str, *, org: str | None = None, name: str | None = None) -> x509.Certificate:
        """A certificate as `certs.ca` issues it, with its key, under ``name`` (default: the profile's)."""
        key = ec.generate_private_key(ec.SECP256R1())
        pem = ca_issue(
            self.folder / "ca",
            profile,
            org=org or self.org,
            public_key=key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            dns_names=["localhost", "127.0.0.1"] if profile == "tls-server" else [],
            now=self.now,
        )
        certificate = x509.load_pem_x509_certificate(pem)
        write_identity(self.folder, name or profile, certificate, key)
        return certificate

    def flawed(self, profile: str, flaw: Callable[[Draft], Draft]) -> x509.Certificate:
        """A certificate with one flaw, its own authority notwithstanding, under the name ``flawed``."""
        draft = flaw(Draft(tuple(PROFILES[profile].extended_key_usage)))
        key = draft.key()
        usages = dict.fromkeys(KEY_USAGES, False) | dict.fromkeys(draft.usages, True)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "flawed")]))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now + draft.not_before)
            .not_valid_after(self.now + draft.not_after)
            .add_extension(x509.BasicConstraints(draft.ca, None), draft.basic_critical)
            .add_extension(x509.KeyUsage(**usages), draft.usage_critical)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(x509.SubjectAlternativeName(draft.names), False)
        )
        if draft.authority_key:
            identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
            builder = builder.add_extension(identifier, False)
        if draft.purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(draft.purposes), False)
        for extension, critical in draft.extra:
            builder = builder.add_extension(extension, critical)
        certificate = builder.sign(self.key, draft.digest)
        write_identity(self.folder, "flawed", certificate, key)
        return certificate

    def revoke(self, certificate: x509.Certificate) -> None:
        ca_revoke(self.folder / "ca", [certificate.serial_number], now=self.now)


def national_pki(folder: Path, authorities: int, *, weak: bool = False) -> TlsFiles:
    """A client below a root and further authorities one under the other, each with its revocation list.

    ``weak`` gives the last authority an RSA key of 2048 bits. The client's files trust all of them.
    """
    folder.mkdir()
    now = datetime.now(UTC).replace(microsecond=0)
    signer: Key | None = None
    issuer = x509.Name([])
    for level in range(authorities + 1):
        leaf = level == authorities
        key: Key = ec.generate_private_key(ec.SECP256R1())
        if weak and level == authorities - 1:
            key = rsa.generate_private_key(65537, 2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"fictitious level {level}")])
        signer, issuer = (signer, issuer) if signer is not None else (key, name)
        usages = dict.fromkeys(KEY_USAGES, False) | {"digital_signature": True}
        if not leaf:
            usages |= {"digital_signature": False, "key_cert_sign": True, "crl_sign": True}
        authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(x509.BasicConstraints(not leaf, None), True)
            .add_extension(x509.KeyUsage(**usages), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(authority_key, False)
        )
        if leaf:
            purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
            builder = builder.add_extension(purposes, False)
            builder = builder.add_extension(x509.SubjectAlternativeName([_uri("deu.example")]), False)
        certificate = builder.sign(signer, hashes.SHA256())
        write_identity(folder, f"{level}", certificate, key)
        if not leaf:
            crl = x509.CertificateRevocationListBuilder().issuer_name(name).last_update(now)
            crl = crl.next_update(now + timedelta(days=1)).add_extension(x509.CRLNumber(1), False)
            crl = crl.add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False
            )
            (folder / f"{level}.crl").write_bytes(crl.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
        signer, issuer = key, name
    return TlsFiles(
        folder / f"{authorities}.pem",
        folder / f"{authorities}.key",
        tuple(folder / f"{level}.pem" for level in range(authorities)),
        tuple(folder / f"{level}.crl" for level in range(authorities)),
    )


def version_4(pki: Pki) -> bytes:
    """A client's certificate of version 4, which no standard knows, properly signed: its DER, and as ``version-4``."""
    whole = pki.good("tls-client", name="version-4")
    tbs = whole.tbs_certificate_bytes
    at = tbs.index(bytes.fromhex("a003020102")) + 4
    tbs = tbs[:at] + b"\x03" + tbs[at + 1 :]
    rest = whole.public_bytes(Encoding.DER)[4 + len(tbs) :]
    algorithm = rest[: 2 + rest[1]]
    signature = b"\0" + pki.key.sign(tbs, ec.ECDSA(hashes.SHA384()))
    der = _tlv(0x30, tbs + algorithm + _tlv(0x03, signature))
    (pki.folder / "version-4.pem").write_text(ssl.DER_cert_to_PEM_cert(der))
    return der


def _tlv(tag: int, content: bytes) -> bytes:
    """One DER element (X.690 §8.1), of up to 65535 octets."""
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 + len(length)]) + length + content


def write_identity(folder: Path, name: str, certificate: x509.Certificate, key: Key) -> None:
    """Certificate and unencrypted key, PEM, as ``name.pem`` and ``name.key``."""
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / f"{name}.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def unchecked_client(files: TlsFiles) -> ssl.SSLContext:
    """A client that shows whatever certificate it has: what a partner's library would do, ours would not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("DEFAULT@SECLEVEL=0")  # shows what its own library would not
    context.load_cert_chain(files.certificate, files.key)
    for authority in files.partner_cas:
        context.load_verify_locations(authority)
    return context


def unchecked_server(files: TlsFiles) -> ssl.SSLContext:
    """A server of the same kind."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    context.verify_mode = ssl.CERT_REQUIRED
    for authority in files.partner_cas:
        context.load_verify_locations(authority)
    return context


@dataclass(frozen=True)
class Ends:
    """Both ends of a handshake in memory."""

    client: ssl.SSLObject
    server: ssl.SSLObject


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str | None = "localhost") -> Ends:
    """Shake hands in memory, and raise what either end raises, the client's end of it first."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = Ends(
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(4):
        waiting = False
        for end in (ends.client, ends.server):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                waiting = True
        if not waiting:
            return ends
    raise AssertionError("the handshake neither ends nor fails")

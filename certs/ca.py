"""A one-level certificate authority in a folder, for development, tests and the demonstration.

It is not a PKI: one key in a file, no ceremony, no HSM. Production certificates come from a national PKI
that follows `certs.profiles`. What it does, it does strictly: every authority is name-constrained, every
certificate passes its own profile before anybody sees it, and none exists without its line in the index, so
that each can be revoked.

The folder (mode 0700): ``ca.key`` (mode 0600), ``ca.pem``, ``crl.pem``, ``index.json``. Each file is replaced
whole and fsynced. The ``ca_*`` functions hold an exclusive lock on the folder and are safe to repeat after a
crash.
"""

import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mldsa, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from cryptography.x509.oid import NameOID

from certs.profiles import (
    CA,
    DEMO_CONSTRAINTS,
    DEMO_ORGANISATION,
    PROFILES,
    Profile,
    check_profile,
    is_demo,
    is_organisation,
    load_certificate,
    organisation_of,
    organisation_uri,
)
from gateway.errors import ConfigInvalid, Conflict, LocalFault, NotFound, RequestInvalid

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | mldsa.MLDSA65PublicKey

#: How far notBefore lies in the past, so that a partner whose clock is slow accepts a fresh certificate.
BACKDATE = timedelta(hours=1)
CA_DAYS = 3650  # days; a demonstration authority lives `DEMO_DAYS`
LEAF_DAYS = 90  # days; short enough that renewal is a habit
DEMO_DAYS = 7  # days, the longest the demonstration mark allows
MAX_HOST_NAME = 253  # characters (RFC 1035 §2.3.4)
CRL_DAYS = 7  # days until the next list is due

_KEY_USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip
_DIGEST = hashes.SHA384()  # goes with the authority's P-384 key
_HOST_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
_EVERY_NETWORK = (ip_network("0.0.0.0/0"), ip_network("::/0"))


class DevCa:
    """The authority in memory. One writer only: the ``ca_*`` functions below hold the folder's lock."""

    def __init__(
        self,
        certificate: x509.Certificate,
        key: ec.EllipticCurvePrivateKey,
        *,
        issued: dict[str, dict[str, str]] | None = None,
        revoked: dict[str, str] | None = None,
        crl_number: int = 0,
    ) -> None:
        self.certificate = certificate
        self._key = key
        self._issued = issued or {}  # serial in hexadecimal -> profile, organisation, end of validity
        self._revoked = revoked or {}  # serial in hexadecimal -> RFC 3339 instant
        self._crl_number = crl_number

    @property
    def organisation(self) -> str:
        """The organisation that runs this authority."""
        return organisation_of(self.certificate)

    @classmethod
    def create(
        cls, org: str, *, now: datetime, days: int, demo: bool = False, permitted: Sequence[str] = ()
    ) -> Self:
        """A fresh P-384 key and its self-signed certificate, path length 0.

        ``permitted`` lists the DNS domains it may vouch for. Empty means none, which is of no use and
        refused; with ``demo`` the names are fixed and ``permitted`` must be empty. Raises `RequestInvalid`,
        or `CertificateProfileViolation` when ``days`` is more than the profile allows.
        """
        if demo is bool(permitted):
            raise RequestInvalid("give the permitted domains, or ask for a demonstration authority, not both")
        constraints = DEMO_CONSTRAINTS if demo else _constraints(permitted)
        key = ec.generate_private_key(ec.SECP384R1())
        name = _name(org, CA, demo=demo)
        validity = _validity(now, days)
        builder = _builder(CA, name, name, key.public_key(), key, validity)
        builder = builder.add_extension(x509.SubjectAlternativeName([organisation_uri(org)]), critical=False)
        builder = builder.add_extension(constraints, critical=True)
        certificate = builder.sign(key, _DIGEST)
        return cls(check_profile(certificate, CA).certificate, key)

    def issue(
        self,
        profile: Profile,
        *,
        org: str,
        dns_names: Sequence[str] = (),
        public_key: PublicKey,
        now: datetime,
        days: int = LEAF_DAYS,
    ) -> x509.Certificate:
        """A leaf certificate that passes `check_profile`, entered in the index of this object.

        ``dns_names`` may hold IP addresses too. It ends with the authority at the latest, and carries the
        demonstration mark under one that does. Raises `RequestInvalid` (a name is not one, or lies outside
        the authority's constraints) or `CertificateProfileViolation` (key too weak, ``days`` too many, no
        host name for a server).
        """
        # (1) only leaves, and only names that path validation will accept from this authority
        if profile.authority:
            raise RequestInvalid("an authority issues no further authority")
        names = [_host_name(name) for name in dns_names]
        if not all(self._permits(name) for name in names):
            raise RequestInvalid("a host name lies outside the name constraints of the authority")
        # (2) sign
        subject = _name(org, profile, demo=is_demo(self.certificate))
        begin, end = _validity(now, days)
        validity = begin, min(end, self.certificate.not_valid_after_utc)
        builder = _builder(profile, subject, self.certificate.subject, public_key, self._key, validity)
        builder = builder.add_extension(
            x509.SubjectAlternativeName([*names, organisation_uri(org)]), critical=False
        )
        certificate = builder.sign(self._key, _DIGEST)
        # (3) hold it against its own profile before anybody sees it
        check_profile(certificate, profile)
        self._issued[f"{certificate.serial_number:x}"] = {
            "profile": profile.name,
            "org": org,
            "not_after": _instant(certificate.not_valid_after_utc),
        }
        return certificate

    def revoke(self, serial: int, now: datetime) -> None:
        """Enter a serial number in the next list. Repeatable: the first instant stays. Raises `NotFound`."""
        if f"{serial:x}" not in self._issued:
            raise NotFound("this authority issued no certificate with that serial number")
        self._revoked.setdefault(f"{serial:x}", _instant(now))

    def crl(self, now: datetime, days: int = CRL_DAYS) -> bytes:
        """The next revocation list, PEM, numbered one higher than the last (RFC 5280 §5.2.3)."""
        self._crl_number += 1
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(now)
            .next_update(now + timedelta(days=days))
            .add_extension(x509.CRLNumber(self._crl_number), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )
        for serial, instant in self._revoked.items():
            entry = x509.RevokedCertificateBuilder().serial_number(int(serial, 16))
            builder = builder.add_revoked_certificate(
                entry.revocation_date(datetime.fromisoformat(instant)).build()
            )
        return builder.sign(self._key, _DIGEST).public_bytes(Encoding.PEM)

    def save(self, folder: Path, crl: bytes | None = None) -> None:
        """Write the folder; durable on return. The index comes first, so a crash loses no revocation."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        index = {"issued": self._issued, "revoked": self._revoked, "crl_number": self._crl_number}
        _replace(folder / "ca.key", key, mode=0o600)
        _replace(folder / "ca.pem", self.certificate.public_bytes(Encoding.PEM))
        _replace(folder / "index.json", json.dumps(index, indent=1, sort_keys=True).encode())
        if crl is not None:
            _replace(folder / "crl.pem", crl)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the folder back. Raises `ConfigInvalid` when a file is absent or not what `save` writes."""
        try:
            key = load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
            certificate = load_certificate((folder / "ca.pem").read_bytes())
            index = json.loads((folder / "index.json").read_bytes())
            if (
                not isinstance(key, ec.EllipticCurvePrivateKey)
                or key.public_key() != certificate.public_key()
            ):
                raise ValueError
            check_profile(certificate, CA)
            return cls(
                certificate,
                key,
                issued=index["issued"],
                revoked=index["revoked"],
                crl_number=index["crl_number"],
            )
        except (OSError, ValueError, TypeError, KeyError, UnsupportedAlgorithm, LocalFault):
            raise ConfigInvalid("the folder does not hold a certificate authority") from None

    def _permits(self, name: x509.DNSName | x509.IPAddress) -> bool:
        """Whether our own name constraints let this name through (RFC 5280 §4.2.1.10)."""
        constraints = self.certificate.extensions.get_extension_for_class(x509.NameConstraints).value
        return any(_covers(subtree, name) for subtree in constraints.permitted_subtrees or ())


def ca_init(
    folder: Path,
    org: str,
    *,
    now: datetime,
    days: int | None = None,
    demo: bool = False,
    permitted: Sequence[str] = (),
) -> x509.Certificate:
    """Found an authority in a folder that holds none, with an empty first revocation list.

    Raises `Conflict` when there is one, and what `DevCa.create` raises.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(folder):
        if (folder / "ca.key").exists():
            raise Conflict("the folder already holds a certificate authority")
        lifetime = days if days is not None else DEMO_DAYS if demo else CA_DAYS
        ca = DevCa.create(org, now=now, days=lifetime, demo=demo, permitted=permitted)
        ca.save(folder, ca.crl(now))
    return ca.certificate


def ca_issue(
    folder: Path,
    profile: str,
    *,
    org: str,
    public_key: bytes,
    dns_names: Sequence[str] = (),
    now: datetime,
    days: int = LEAF_DAYS,
) -> bytes:
    """Issue for a PEM public key or signing request; the certificate, PEM. The index is durable first.

    Of a request only the key is taken, after its signature proves possession; every name comes from the
    caller. Raises what `DevCa.issue` and `read_public_key` raise.
    """
    if profile not in PROFILES:
        raise RequestInvalid("no certificate profile of that name")
    key = read_public_key(public_key)
    with _locked(folder):
        ca = DevCa.load(folder)
        certificate = ca.issue(
            PROFILES[profile], org=org, dns_names=dns_names, public_key=key, now=now, days=days
        )
        ca.save(folder)
    return certificate.public_bytes(Encoding.PEM)


def ca_revoke(folder: Path, serials: Iterable[int], *, now: datetime, days: int = CRL_DAYS) -> bytes:
    """Revoke, and return the new list, PEM, which also stands in ``crl.pem``.

    Repeatable. With no serial numbers it renews the list, which must happen before the last one is overtaken.
    """
    with _locked(folder):
        ca = DevCa.load(folder)
        for serial in serials:
            ca.revoke(serial, now)
        crl = ca.crl(now, days)
        ca.save(folder, crl)
    return crl


def read_public_key(pem: bytes) -> PublicKey:
    """The key of a PEM public key, or of a signing request whose signature holds; or `RequestInvalid`."""
    try:
        if b"CERTIFICATE REQUEST-----" in pem:
            request = x509.load_pem_x509_csr(pem)
            if not request.is_signature_valid:
                raise ValueError
            key: object = request.public_key()
        else:
            key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise RequestInvalid("neither a public key nor a signing request with a valid signature") from None
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | mldsa.MLDSA65PublicKey):
        raise RequestInvalid("the key is neither RSA nor EC nor ML-DSA-65")
    return key


def _builder(
    profile: Profile,
    subject: x509.Name,
    issuer: x509.Name,
    public_key: PublicKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    validity: tuple[datetime, datetime],
) -> x509.CertificateBuilder:
    """Everything but the alternative names: RFC 5280 §4.1 and §4.2.1, in the form X509_STRICT demands."""
    usages = dict.fromkeys(_KEY_USAGES, False) | dict.fromkeys(profile.key_usage, True)
    authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    builder = (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .not_valid_before(validity[0])
        .not_valid_after(validity[1])
        .add_extension(x509.BasicConstraints(profile.authority, 0 if profile.authority else None), True)
        .add_extension(x509.KeyUsage(**usages), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), False)
        .add_extension(authority_key, False)
    )
    if profile.extended_key_usage:
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(profile.extended_key_usage)), False)
    return builder


def _validity(now: datetime, days: int) -> tuple[datetime, datetime]:
    if not 0 < days <= CA_DAYS:
        raise RequestInvalid("the number of days is not between 1 and the life of an authority")
    begin = now.replace(microsecond=0) - BACKDATE
    return begin, begin + timedelta(days=days)


def _name(org: str, profile: Profile, *, demo: bool) -> x509.Name:
    """Display text, and the demonstration mark.

    The space in the common name matters: OpenSSL holds one that looks like a host, as an organisation id does,
    against the DNS constraints when the certificate has no DNS name.
    """
    if not is_organisation(org):
        raise RequestInvalid("not an organisation id: alpha-3 code, dot, slug")
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, DEMO_ORGANISATION if demo else org),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{org} {profile.name}"),
        ]
    )


def _host_name(text: str) -> x509.DNSName | x509.IPAddress:
    with suppress(ValueError):
        return x509.IPAddress(ip_address(text))
    if len(text) > MAX_HOST_NAME or _HOST_NAME.fullmatch(text) is None:
        raise RequestInvalid("not a host name in lower-case letters, digits and hyphens")
    return x509.DNSName(text)


def _covers(subtree: x509.GeneralName, name: x509.DNSName | x509.IPAddress) -> bool:
    if isinstance(subtree, x509.IPAddress) and isinstance(subtree.value, IPv4Network | IPv6Network):
        return isinstance(name, x509.IPAddress) and name.value in subtree.value
    if isinstance(subtree, x509.DNSName) and isinstance(name, x509.DNSName):
        return name.value == subtree.value or name.value.endswith("." + subtree.value)
    return False


def _constraints(permitted: Sequence[str]) -> x509.NameConstraints:
    """Those domains and what lies below them; no IP address at all."""
    domains = [_host_name(domain) for domain in permitted]
    if not all(isinstance(domain, x509.DNSName) for domain in domains):
        raise RequestInvalid("an authority is constrained to domains, not to addresses")
    return x509.NameConstraints(domains, [x509.IPAddress(network) for network in _EVERY_NETWORK])


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer at a time; the lock goes with the process."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        raise ConfigInvalid("the folder of the certificate authority cannot be opened") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Put the whole file in place of the old one; durable on return."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)  # left by a crash; its mode may be wrong
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

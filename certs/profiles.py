"""Certificate profiles: what each use demands of an X.509 certificate, as data and one checker (RFC 5280).

Four leaf profiles, one per key that needs a certificate, and none fits another's place: the extended key
usage must be *exactly* that of the profile, so a message key cannot open a TLS session and a TLS key cannot
sign a message.

Not checked here: the path to an authority, revocation, and whether the certificate is valid *now*. Path
validation does that (the TLS library for connections); this is the second check, on what it leaves open.
"""

import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from types import MappingProxyType
from typing import Literal, NoReturn, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mldsa, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID, ObjectIdentifier

from gateway.errors import CertificateProfileViolation

#: Longest life of a leaf: the CA/Browser Forum's bound, so that no key outlives a year and its renewal.
MAX_LEAF_VALIDITY = timedelta(days=398)
#: Longest life of an authority of ours. Ten years is a generation of algorithms.
MAX_CA_VALIDITY = timedelta(days=3650)
#: Longest life of anything that carries the demonstration mark.
MAX_DEMO_VALIDITY = timedelta(days=7)
#: Smallest RSA modulus, in bits: 3000 is the floor of BSI TR-02102 and ANSSI.
MIN_RSA_BITS = 3000
#: RFC 5280 §4.1.2.2: a serial number is positive and at most 20 octets long.
MAX_SERIAL = 2**159 - 1
#: Longest organisation id, in characters: fits a common name of 64 (RFC 5280 appendix A.1) beside a profile's name.
MAX_ORGANISATION = 48

#: Our arc under 2.25, the branch for UUIDs, where nobody needs a registration (ITU-T X.667).
_ARC = "2.25.125992376850277329181432193131182252506"
EKU_MESSAGE = ObjectIdentifier(f"{_ARC}.1")
EKU_RECEIPT = ObjectIdentifier(f"{_ARC}.2")

#: organizationName of every demonstration certificate. Production refuses the mark wherever it stands.
DEMO_ORGANISATION = "ECLUSE DEMO - NOT FOR PRODUCTION"
#: All that a demonstration authority may vouch for: one reserved domain (RFC 2606) and this machine.
DEMO_CONSTRAINTS = x509.NameConstraints(
    permitted_subtrees=[
        x509.DNSName("ecluse-demo.invalid"),
        x509.DNSName("localhost"),
        x509.IPAddress(ip_network("127.0.0.1/32")),
        x509.IPAddress(ip_network("::1/128")),
    ],
    excluded_subtrees=None,
)

_ORGANISATION_URI = "urn:ecluse:org:"
_ORGANISATION = re.compile(r"[a-z]{3}\.[a-z0-9]+(?:-[a-z0-9]+)*")
_DIGESTS = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_CURVES = (ec.SECP256R1, ec.SECP384R1)
_KEY_USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign",
)  # fmt: skip
#: Extensions this module understands: any other one that is critical refuses (RFC 5280 §4.2).
_UNDERSTOOD = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.NAME_CONSTRAINTS,
    }
)

#: All that the library raises, at once or when a part is first asked for, over bytes that are no proper certificate,
#: list or OCSP answer. Only the first is a `ValueError`; the classes of `x509` are bare exceptions.
UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)

_E = TypeVar("_E", bound=x509.ExtensionType)

Rule = Literal[
    "encoding", "version", "serial", "validity", "key", "signature", "basic-constraints", "key-usage",
    "extended-key-usage", "organisation", "host-name", "critical-extension", "demo-constraints",
    "crl",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Profile:
    """One use of a certificate. Sets are exact: more is refused as much as less."""

    name: str
    authority: bool
    key_usage: frozenset[str]  # names of x509.KeyUsage
    extended_key_usage: frozenset[ObjectIdentifier]  # empty: the extension must be absent
    validity: timedelta  # longest notAfter − notBefore
    host_name: bool = False  # must carry a DNS name or an IP address
    ml_dsa: bool = False  # may be over a key for ML-DSA-65 (RFC 9881) too


def _leaf(name: str, purpose: ObjectIdentifier, *, host_name: bool = False, ml_dsa: bool = False) -> Profile:
    usage = frozenset({"digital_signature"})
    return Profile(name, False, usage, frozenset({purpose}), MAX_LEAF_VALIDITY, host_name, ml_dsa)


CA = Profile("ca", True, frozenset({"key_cert_sign", "crl_sign"}), frozenset(), MAX_CA_VALIDITY)
TLS_SERVER = _leaf("tls-server", ExtendedKeyUsageOID.SERVER_AUTH, host_name=True)
TLS_CLIENT = _leaf("tls-client", ExtendedKeyUsageOID.CLIENT_AUTH)
MESSAGE_SIGNATURE = _leaf("message", EKU_MESSAGE, ml_dsa=True)
RECEIPT_SIGNATURE = _leaf("receipt", EKU_RECEIPT)

PROFILES: Mapping[str, Profile] = MappingProxyType(
    {p.name: p for p in (CA, TLS_SERVER, TLS_CLIENT, MESSAGE_SIGNATURE, RECEIPT_SIGNATURE)}
)


@dataclass(frozen=True, slots=True)
class CheckedCertificate:
    """Proof that `check_profile` accepted this certificate for this profile."""

    certificate: x509.Certificate
    profile: Profile
    organisation: str


@dataclass(frozen=True, slots=True)
class CheckedCrl:
    """Proof that `check_crl` found this revocation list well-made and signed by this issuer."""

    crl: x509.CertificateRevocationList
    issuer: x509.Certificate


def load_certificate(encoded: bytes) -> x509.Certificate:
    """Read one certificate, DER or PEM; raises only `CertificateProfileViolation`, rule ``encoding``."""
    with warnings.catch_warnings():
        # The parser warns of what it will refuse one day; what it warns of is refused here today.
        warnings.simplefilter("error")
        try:
            if encoded.startswith(b"-----BEGIN"):
                return x509.load_pem_x509_certificate(encoded)
            return x509.load_der_x509_certificate(encoded)
        except (*UNREADABLE, Warning):
            _refuse("encoding", "not a DER or PEM certificate by RFC 5280")


def check_profile(certificate: x509.Certificate, profile: Profile) -> CheckedCertificate:
    """Hold one certificate against one profile.

    Raises `CertificateProfileViolation`, whose ``diagnostic`` names the first broken rule and never a value:

    1. version 3, positive serial of at most 20 octets (RFC 5280 §4.1.2.1, §4.1.2.2);
    2. validity not longer than the profile's, or a week under the demonstration mark;
    3. key RSA ≥ 3000 bits or EC P-256/P-384, for messages also ML-DSA-65; signed with SHA-2 of 256 bits or more;
    4. every extension readable, none twice, no unknown critical one (§4.2);
    5. basicConstraints critical and right for the role, an authority with path length 0 (§4.2.1.9);
    6. keyUsage critical and exact (§4.2.1.3);
    7. extendedKeyUsage exact: no second purpose, no anyExtendedKeyUsage (§4.2.1.12);
    8. exactly one organisation URI; a TLS server also has a host name, without wildcards (§4.2.1.6);
    9. a demonstration authority is name-constrained to this machine and the reserved domain (§4.2.1.10).

    A part that cannot be read breaks rule ``encoding``: the library reads names and extensions when they are asked for.
    """
    try:
        return _held_against(certificate, profile)
    except UNREADABLE:
        _refuse("encoding", "a part of the certificate cannot be read", profile)


def _held_against(certificate: x509.Certificate, profile: Profile) -> CheckedCertificate:
    # (1)
    if certificate.version is not x509.Version.v3:
        _refuse("version", "not a version 3 certificate", profile)
    if not 0 < certificate.serial_number <= MAX_SERIAL:
        _refuse("serial", "the serial number is not positive or is longer than 20 octets", profile)
    # (2)
    longest = min(profile.validity, MAX_DEMO_VALIDITY) if is_demo(certificate) else profile.validity
    if not timedelta() < certificate.not_valid_after_utc - certificate.not_valid_before_utc <= longest:
        _refuse("validity", "the validity period is empty or too long", profile)
    # (3)
    check_strength(certificate, ml_dsa=profile.ml_dsa)
    # (4)
    extensions = _extensions(certificate)
    if any(extension.critical and extension.oid not in _UNDERSTOOD for extension in extensions):
        _refuse("critical-extension", "an unknown extension is critical", profile)
    # (5)
    basic = _find(extensions, x509.BasicConstraints)
    if basic is None or not basic.critical or basic.value.ca is not profile.authority:
        _refuse("basic-constraints", "basicConstraints is absent, not critical or of the other role", profile)
    if profile.authority and basic.value.path_length != 0:
        _refuse("basic-constraints", "the authority may have authorities below it", profile)
    # (6)
    usage = _find(extensions, x509.KeyUsage)
    if usage is None or not usage.critical or _usages(usage.value) != profile.key_usage:
        _refuse("key-usage", "keyUsage is absent, not critical or not exactly the profile's", profile)
    # (7)
    purposes = _find(extensions, x509.ExtendedKeyUsage)
    if frozenset(purposes.value if purposes else ()) != profile.extended_key_usage:
        _refuse("extended-key-usage", "extendedKeyUsage is not exactly the profile's", profile)
    # (8)
    organisation = organisation_of(certificate)
    if profile.host_name and not _has_host_names(extensions):
        _refuse("host-name", "no host name, or a wildcard", profile)
    # (9)
    if profile.authority and is_demo(certificate):
        constraints = _find(extensions, x509.NameConstraints)
        if constraints is None or not constraints.critical or constraints.value != DEMO_CONSTRAINTS:
            _refuse("demo-constraints", "a demonstration authority without its name constraints", profile)
    return CheckedCertificate(certificate, profile, organisation)


def check_strength(certificate: x509.Certificate, *, anchor: bool = False, ml_dsa: bool = False) -> None:
    """Key and signature algorithm alone, for the authorities of a chain, which follow their state's profiles.

    The signature of a trust ``anchor`` protects nothing (RFC 5280 §6.1 takes only its key) and is not
    looked at. ``ml_dsa`` lets the key, never the signature, be one for ML-DSA-65.
    Raises `CertificateProfileViolation`, rule ``key`` or ``signature``.
    """
    try:
        key = certificate.public_key()
        digest = certificate.signature_hash_algorithm
    except UNREADABLE:
        _refuse("key", "the key or signature algorithm is unknown")
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < MIN_RSA_BITS:
            _refuse("key", "the RSA key is too short")
    elif not (
        (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES))
        or (ml_dsa and isinstance(key, mldsa.MLDSA65PublicKey))
    ):
        _refuse("key", "the key is neither RSA nor EC on P-256 or P-384")
    if not anchor and not isinstance(digest, _DIGESTS):
        _refuse("signature", "the certificate is not signed with SHA-256, SHA-384 or SHA-512")


def check_crl(crl: x509.CertificateRevocationList, issuers: Iterable[x509.Certificate]) -> CheckedCrl:
    """Hold a revocation list against its issuer, which must be among ``issuers``.

    Raises `CertificateProfileViolation`, rule ``crl``. Not checked: whether the list is current. Path
    validation refuses an overtaken one, and so blocks its issuer alone.

    1. the issuer is one of ours to trust and signed these bytes (RFC 5280 §6.3.3 (f), (g));
    2. nextUpdate is present (§5.1.2.5): path validation takes a list without it to be valid for ever;
    3. signed with SHA-2 of 256 bits or more.
    """
    try:
        return _checked_list(crl, issuers)
    except UNREADABLE:
        _refuse("crl", "a part of the revocation list cannot be read")


def _checked_list(crl: x509.CertificateRevocationList, issuers: Iterable[x509.Certificate]) -> CheckedCrl:
    # (1)
    issuer = next((i for i in issuers if i.subject == crl.issuer and _signed_by(crl, i)), None)
    if issuer is None:
        _refuse("crl", "the revocation list is not signed by an authority in the trust file")
    # (2)
    if crl.next_update_utc is None:
        _refuse("crl", "the revocation list does not say when the next one is due")
    # (3)
    if not isinstance(crl.signature_hash_algorithm, _DIGESTS):
        _refuse("crl", "the revocation list is not signed with SHA-256, SHA-384 or SHA-512")
    return CheckedCrl(crl, issuer)


def check_successor(new: CheckedCrl, known: x509.CertificateRevocationList) -> CheckedCrl:
    """Hold a list against one that its issuer signed as well: an older one would revive what was revoked since.

    Raises `CertificateProfileViolation`, rule ``crl``. The same list again is no older one.

    1. its number is not lower (RFC 5280 §5.2.3); a list without one has the lowest
    2. it was not issued earlier (§5.1.2.4)
    """
    try:
        # (1), (2)
        if _number(new.crl) >= _number(known) and new.crl.last_update_utc >= known.last_update_utc:
            return new
    except UNREADABLE:
        _refuse("crl", "a part of the revocation list cannot be read")
    _refuse("crl", "the revocation list is older than one its authority had issued already")


def _number(crl: x509.CertificateRevocationList) -> int:
    try:
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return -1


def organisation_of(certificate: x509.Certificate) -> str:
    """The organisation id in the one ``urn:ecluse:org:`` URI of the subject alternative name.

    Never taken from the subject: common names are display text. None or two such URIs name nobody.
    """
    names = _find(_extensions(certificate), x509.SubjectAlternativeName)
    uris = names.value.get_values_for_type(x509.UniformResourceIdentifier) if names else []
    found = [uri.removeprefix(_ORGANISATION_URI) for uri in uris if uri.startswith(_ORGANISATION_URI)]
    if len(found) != 1 or not is_organisation(found[0]):
        _refuse("organisation", "the subject alternative name does not name exactly one organisation")
    return found[0]


def is_organisation(text: str) -> bool:
    """Whether this is spelt as an organisation id: alpha-3 code, dot, slug, all lower case."""
    return len(text) <= MAX_ORGANISATION and _ORGANISATION.fullmatch(text) is not None


def organisation_uri(organisation: str) -> x509.UniformResourceIdentifier:
    """The subject alternative name that `organisation_of` reads back."""
    return x509.UniformResourceIdentifier(_ORGANISATION_URI + organisation)


def is_demo(certificate: x509.Certificate) -> bool:
    """Whether the demonstration mark stands in the subject or the issuer. Production refuses on True."""
    return any(
        attribute.value == DEMO_ORGANISATION
        for name in (certificate.subject, certificate.issuer)
        for attribute in name.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    )


def _extensions(certificate: x509.Certificate) -> x509.Extensions:
    try:
        return certificate.extensions
    except UNREADABLE:
        _refuse("encoding", "an extension is malformed or stands twice")


def _find(extensions: x509.Extensions, kind: type[_E]) -> x509.Extension[_E] | None:
    try:
        return extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


def _signed_by(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    key = issuer.public_key()
    return isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey) and crl.is_signature_valid(key)


def _usages(usage: x509.KeyUsage) -> frozenset[str]:
    return frozenset(name for name in _KEY_USAGES if getattr(usage, name))


def _has_host_names(extensions: x509.Extensions) -> bool:
    names = _find(extensions, x509.SubjectAlternativeName)
    if names is None:
        return False
    hosts = names.value.get_values_for_type(x509.DNSName)
    addresses = names.value.get_values_for_type(x509.IPAddress)
    return bool(hosts or addresses) and not any("*" in host for host in hosts)


def _refuse(rule: Rule, detail: str, profile: Profile | None = None) -> NoReturn:
    diagnostic: dict[str, str | int] = {"rule": rule}
    if profile is not None:
        diagnostic["profile"] = profile.name
    raise CertificateProfileViolation(detail, diagnostic=diagnostic) from None

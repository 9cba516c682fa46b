"""TLS 1.3 between gateways: the library's settings, the contexts, and the own check after each handshake.

Three layers, since none suffices alone. The OpenSSL configuration narrows groups, suites and signature algorithms,
for which Python before 3.15 has no call. The context sets in code what it can, because Python overrides the
protocol minimum of the file. `gateway.service.tls_probe` then measures what the listener really accepts, because
OpenSSL drops a list with an unknown name in silence.

Contexts are made from `ssl.SSLContext` itself: `create_default_context` would load the system's authorities and
honour ``SSLKEYLOGFILE``.
"""

import asyncio.sslproto
import functools
import hashlib
import os
import ssl
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certs.profiles import (
    TLS_CLIENT,
    TLS_SERVER,
    UNREADABLE,
    CheckedCrl,
    Profile,
    check_crl,
    check_profile,
    check_strength,
    check_successor,
    load_certificate,
)
from gateway.errors import CertificateProfileViolation, ConfigInvalid, LocalFault, UnknownPartner
from gateway.service.revocation import Standing, standing

log = structlog.get_logger()

#: The two TLS 1.3 suites on offer, in our order (RFC 8446 §B.4). AES-128 is left out.
SUITES = ("TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
#: Key-exchange groups, in our order, under the names OpenSSL 3.0 reads.
GROUPS = ("X25519", "P-256", "P-384")
#: Post-quantum hybrid, first where the linked OpenSSL has it.
HYBRID_GROUP = "X25519MLKEM768"
HYBRID_SINCE = (3, 5)  # OpenSSL version
#: For CertificateVerify; the PKCS #1 ones serve chains only, TLS 1.3 forbids them elsewhere (RFC 8446 §4.2.3).
SIGNATURE_ALGORITHMS = (
    "ecdsa_secp256r1_sha256",
    "ecdsa_secp384r1_sha384",
    "rsa_pss_rsae_sha256",
    "rsa_pss_rsae_sha384",
    "rsa_pss_rsae_sha512",
    "rsa_pkcs1_sha256",
    "rsa_pkcs1_sha384",
    "rsa_pkcs1_sha512",
)
#: Longest verified chain, in certificates: leaf, two authorities, anchor. National PKIs have no deeper ones.
MAX_CHAIN = 4

#: Bytes read at once from a TLS connection: four records of 16 KiB.
READ_BUFFER = 64 * 1024

#: X509_V_FLAG_NO_CHECK_TIME, for which Python has no name.
_NO_CHECK_TIME = 0x200000

#: Set in the re-executed process, so that it never does it again.
_REEXECUTED = "ECLUSE_OPENSSL_CONF"


#: The newest list met of each issuer (SHA-256 of its SPKI), since the process began.
NewestLists = dict[str, x509.CertificateRevocationList]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where one TLS identity lives, all PEM. No partner authority means no partner."""

    certificate: Path  # our leaf, then intermediates
    key: Path  # its private key, unencrypted, mode 0600
    partner_cas: tuple[Path, ...]  # authorities of partners alone, never the system's
    crls: tuple[Path, ...]  # one revocation list a file, for every authority above
    crl_grace: timedelta = timedelta()  # after nextUpdate, while an issuer's list still counts
    # shared by all who load these files, or their successors
    newest: NewestLists = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class TlsEvidence:
    """What one handshake proved about the peer. Digests are SHA-256, lower-case hexadecimal, over DER."""

    organisation: str
    certificate_sha256: str
    spki_sha256: str
    issuer_spki_sha256: str
    serial: int
    chain_len: int  # certificates, anchor included
    protocol: str
    cipher: str


@dataclass(frozen=True, slots=True)
class PinnedPeer:
    """Proof that `pin_check` found a pinned key in the peer's verified chain."""

    evidence: TlsEvidence
    pin: str


# --- the library's settings ------------------------------------------------------------------------------------


def openssl_conf(version_info: Sequence[int]) -> str:
    """The OpenSSL configuration file for that version (``ssl.OPENSSL_VERSION_INFO``)."""
    groups = (HYBRID_GROUP, *GROUPS) if tuple(version_info[:2]) >= HYBRID_SINCE else GROUPS
    return "\n".join(
        (
            "# Written by the gateway at each start: changes are lost.",
            "openssl_conf = gateway",
            "[gateway]",
            "ssl_conf = gateway_ssl",
            "[gateway_ssl]",
            "system_default = gateway_tls",
            "[gateway_tls]",
            "MinProtocol = TLSv1.3",
            f"Ciphersuites = {':'.join(SUITES)}",
            f"Groups = {':'.join(groups)}",
            f"SignatureAlgorithms = {':'.join(SIGNATURE_ALGORITHMS)}",
            "",
        )
    )


def ensure_openssl_conf(path: Path, argv: Sequence[str], environ: Mapping[str, str]) -> None:
    """Return when this process runs under `openssl_conf`; otherwise write it and re-execute the process, once.

    ``argv`` is ``sys.orig_argv``, so that ``python -m …`` and interpreter options survive. Call it before any lock
    is taken and any thread is started. Children inherit the setting and return at once. Raises `ConfigInvalid`
    when the file cannot be written, or is another one although the process was re-executed.
    """
    text = openssl_conf(ssl.OPENSSL_VERSION_INFO)
    # (1) already under these very settings
    if _content(environ.get("OPENSSL_CONF", "")) == text:
        return
    # (2) never twice: somebody changes the file or the environment under us
    if _REEXECUTED in environ:
        raise ConfigInvalid("the OpenSSL configuration changed while the gateway started")
    # (3) write it unless it is there already, then start again; OpenSSL reads its configuration once a process
    try:
        if _content(str(path)) != text:
            path.write_text(text)
    except OSError:
        raise ConfigInvalid("the OpenSSL configuration cannot be written") from None
    sys.stdout.flush()
    sys.stderr.flush()
    settings = {"OPENSSL_CONF": str(path.resolve()), _REEXECUTED: "1"}
    os.execve(sys.executable, [sys.executable, *argv[1:]], {**environ, **settings})  # noqa: S606


def _content(path: str) -> str | None:
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError):
        return None


def install_alert_patch() -> None:
    """Make asyncio send the alert when a handshake fails, so that a partner learns why (RFC 8446 §6.2).

    asyncio closes the transport before it has written what OpenSSL left in the outgoing buffer (cpython issue
    98078): the peer sees a bare end of file. Where that is mended the buffer is empty by then and this does nothing.
    Repeatable.
    """
    protocol: Any = asyncio.sslproto.SSLProtocol
    original = protocol._fatal_error
    if hasattr(original, "__wrapped__"):
        return

    @functools.wraps(original)
    def flush_then_fail(self: Any, exc: BaseException, message: str = "Fatal error on transport") -> None:
        if isinstance(exc, ssl.SSLError) and self._transport is not None:
            self._process_outgoing()
        original(self, exc, message)

    protocol._fatal_error = flush_then_fail


def install_small_buffers() -> None:
    """Let asyncio allocate `READ_BUFFER` bytes for a connection, not 256 KiB: each stranger costs one. Repeatable."""
    asyncio.sslproto.SSLProtocol.max_size = READ_BUFFER


# --- contexts --------------------------------------------------------------------------------------------------


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """The partner listener's context: a client certificate is demanded from partners' authorities alone.

    Raises `CertificateProfileViolation` (our certificate or an authority) or `ConfigInvalid`. A revocation list that
    cannot be used is left out and logged: without a list an issuer is blocked, and no other is.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, files, TLS_SERVER)
    # No ticket, hence no resumption: each connection shows its certificate to today's revocation lists.
    context.num_tickets = 0
    return context


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """The context for deliveries to partners. Raises as `server_context` does."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, files, TLS_CLIENT)


def reload(context: ssl.SSLContext, files: TlsFiles) -> ssl.SSLContext:
    """Let a listening context take new certificate, key, authorities and revocation lists from the next handshake.

    A context can only gain authorities, never lose one, so a whole new one takes over each connection as it
    begins. All or nothing: on error, raised as by `server_context`, the old one stays. Open connections keep what
    they proved; `TlsListener.drop` ends them. For clients make a new `client_context`. Returns the new one.
    """
    fresh = server_context(files)

    def take_over(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = fresh

    # Called for every ClientHello, also for one without a server name.
    context.sni_callback = take_over
    # A connection has its flags from the context it began with, and everything else from the one that takes over.
    context.verify_flags = fresh.verify_flags
    return fresh


def restrict(context: ssl.SSLContext, files: TlsFiles) -> None:
    """Let a context in use, which the files cannot replace, refuse more: what newer lists revoke, and what is overdue.

    1. every list that can be used, by the authorities that the context trusts already, counts beside the older ones:
       OpenSSL takes the newest of an issuer;
    2. no grace any more: the context may hold lists beyond theirs, and OpenSSL looks away from time only as a whole.

    Repeatable. Nothing is given back before a context is made anew.
    """
    # (1)
    trusted = [x509.load_der_x509_certificate(one) for one in context.get_ca_certs(binary_form=True)]
    _take_lists(context, files, trusted)
    # (2)
    context.verify_flags &= ~ssl.VerifyFlags(_NO_CHECK_TIME)


def _context(protocol: int, files: TlsFiles, profile: Profile) -> ssl.SSLContext:
    """1. our own certificate; 2. protocol; 3. verification; 4. authorities; 5. revocation lists."""
    # (1) a certificate that partners must refuse is refused here first
    check_profile(load_certificate(_read(files.certificate)), profile)
    context = ssl.SSLContext(protocol)
    try:
        # The empty password makes an encrypted key an error, where None would ask at the terminal.
        context.load_cert_chain(files.certificate, files.key, password="")
    except (OSError, ValueError):
        raise ConfigInvalid("the TLS certificate and key cannot be loaded together") from None
    # (2) RFC 8446 alone, whatever the configuration file says
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    # (3) RFC 5280 to the letter, with a current revocation list for every authority of the chain
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_CRL_CHECK_CHAIN
    context.hostname_checks_common_name = False
    # (4)
    trusted = authorities(files)
    for authority in trusted:
        check_strength(authority, anchor=authority.subject == authority.issuer)
        try:
            context.load_verify_locations(cadata=authority.public_bytes(Encoding.DER))
        except ssl.SSLError:
            raise ConfigInvalid("a partner authority cannot be loaded") from None
    # (5) one in its grace counts as the current ones do; OpenSSL can look away from time only as a whole, so
    # `peer_evidence` sees to certificates
    if "grace" in _take_lists(context, files, trusted):
        context.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
    return context


def _take_lists(
    context: ssl.SSLContext, files: TlsFiles, trusted: Collection[x509.Certificate]
) -> set[Standing]:
    """Load every list that can be used; how these stand. Any other is left out, which blocks its issuer alone: one
    partner's broken list must neither stop us nor keep another's from counting."""
    now, taken = datetime.now(UTC), set[Standing]()
    for path in files.crls:
        try:
            crl = _newest(files, check_crl(_crl(path), trusted))
            how = _standing(crl, now, files.crl_grace)
            if how == "over":
                raise ConfigInvalid("a revocation list is beyond its grace, or not yet valid")
            _load_list(context, crl)
        except LocalFault as fault:
            log.error("tls.list-left-out", partner=path.stem, code=fault.code, detail=fault.detail)
        else:
            taken.add(how)
    return taken


def _newest(files: TlsFiles, checked: CheckedCrl) -> x509.CertificateRevocationList:
    """This list, or the one of its issuer that counted before when that is newer: an older one revives nothing."""
    issuer = _spki_sha256(checked.issuer)
    try:
        known = files.newest.get(issuer)
        files.newest[issuer] = checked.crl if known is None else check_successor(checked, known).crl
    except CertificateProfileViolation as older:
        log.warning("tls.older-list", code=older.code, detail=older.detail)
    return files.newest[issuer]


def _load_list(context: ssl.SSLContext, crl: x509.CertificateRevocationList) -> None:
    """From a copy: the loader takes any certificate beside the list for an authority, and lists come from outside."""
    try:
        with tempfile.NamedTemporaryFile() as copy:
            copy.write(crl.public_bytes(Encoding.PEM))
            copy.flush()
            context.load_verify_locations(copy.name)
    except OSError:  # `ssl.SSLError` is one
        raise ConfigInvalid("a revocation list cannot be loaded") from None


def _standing(crl: x509.CertificateRevocationList, now: datetime, grace: timedelta) -> Standing:
    due = crl.next_update_utc
    if due is None or crl.last_update_utc > now:
        return "over"  # `check_crl` refuses the one, path validation the other
    return standing(due, now, grace)


def crl_standings(files: TlsFiles) -> tuple[Standing, ...]:
    """How the lists stand now: a context made when they stood otherwise is out of date. Unreadable ones are "over"."""
    now = datetime.now(UTC)
    found: list[Standing] = []
    for path in files.crls:
        try:
            found.append(_standing(_crl(path), now, files.crl_grace))
        except (ConfigInvalid, *UNREADABLE):
            found.append("over")
    return tuple(found)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise ConfigInvalid("a TLS file cannot be read") from None


def authorities(files: TlsFiles) -> list[x509.Certificate]:
    """Every partner authority that these files trust. Raises `ConfigInvalid`."""
    return [authority for path in files.partner_cas for authority in _authorities(path)]


def _authorities(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_read(path))
    except UNREADABLE:
        raise ConfigInvalid("a file of partner authorities is not PEM certificates") from None


def _crl(path: Path) -> x509.CertificateRevocationList:
    try:
        return x509.load_pem_x509_crl(_read(path))
    except UNREADABLE:
        raise ConfigInvalid("a revocation list is not PEM") from None


# --- after the handshake ---------------------------------------------------------------------------------------


def peer_evidence(connection: ssl.SSLObject | ssl.SSLSocket) -> TlsEvidence:
    """Our own check of the peer after a completed handshake, on what path validation leaves open.

    1. TLS 1.3 with one of our suites; otherwise our configuration failed: `ConfigInvalid`.
    2. The chain that OpenSSL verified, at least a leaf and its issuer (RFC 5280 §6), at most `MAX_CHAIN`.
    3. The leaf follows the profile of the peer's role: exactly one extended key usage, CA false, key strength,
       validity, one organisation URI.
    4. Keys and signatures of its issuers are strong enough.
    5. Every certificate is valid now: OpenSSL does not look while a revocation list is in its grace.

    Raises `UnknownPartner`, with the broken rule in ``diagnostic``. Not checked: whether the organisation is in the
    directory and holds this key; that is `pin_check`, with the pins of *that organisation's* entry.
    """
    # (1)
    suite = connection.cipher()
    if connection.version() != "TLSv1.3" or suite is None or suite[0] not in SUITES:
        raise ConfigInvalid("a connection came about outside the TLS settings of the gateway")
    # (2)
    chain = _verified_chain(connection)
    if not 2 <= len(chain) <= MAX_CHAIN:
        raise UnknownPartner("the certificate chain is too short or too long", diagnostic={"rule": "chain"})
    try:
        certificates = [load_certificate(encoded) for encoded in chain]
        # (3)
        leaf = check_profile(certificates[0], TLS_CLIENT if connection.server_side else TLS_SERVER)
        # (4)
        for authority in certificates[1:]:
            check_strength(authority, anchor=authority is certificates[-1])
        # (5)
        now = datetime.now(UTC)
        if not all(one.not_valid_before_utc <= now <= one.not_valid_after_utc for one in certificates):
            raise UnknownPartner("a certificate is not valid now", diagnostic={"rule": "expired"})
    except CertificateProfileViolation as violation:
        raise UnknownPartner(
            "the TLS certificate breaks its certificate profile", diagnostic=violation.diagnostic
        ) from None
    return TlsEvidence(
        organisation=leaf.organisation,
        certificate_sha256=hashlib.sha256(chain[0]).hexdigest(),
        spki_sha256=_spki_sha256(certificates[0]),
        issuer_spki_sha256=_spki_sha256(certificates[1]),
        serial=certificates[0].serial_number,
        chain_len=len(chain),
        protocol="TLSv1.3",
        cipher=suite[0],
    )


def pin_check(evidence: TlsEvidence, pinned: Collection[str]) -> PinnedPeer:
    """Hold the peer's key, or its issuer's, against the pins of its directory entry (SHA-256 of the SPKI, hex).

    No pin, no partner. Raises `UnknownPartner`.
    """
    for pin in (evidence.spki_sha256, evidence.issuer_spki_sha256):
        if pin in pinned:
            return PinnedPeer(evidence, pin)
    raise UnknownPartner("neither the TLS key nor its issuer is pinned", diagnostic={"rule": "pin"})


def _verified_chain(connection: ssl.SSLObject | ssl.SSLSocket) -> list[bytes]:
    """DER, leaf first. Public from Python 3.13; before that the same call stands one level below."""
    if sys.version_info >= (3, 13):
        return connection.get_verified_chain()
    private: Any = connection
    return [ssl.PEM_cert_to_DER_cert(c.public_bytes()) for c in private._sslobj.get_verified_chain() or ()]


def _spki_sha256(certificate: x509.Certificate) -> str:
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()

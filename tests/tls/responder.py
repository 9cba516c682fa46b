"""An OCSP responder for tests: on loopback, signing as the authority or as its delegate, with one flaw at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from tests.tls.pki import Pki


@dataclass
class Delegate:
    """A responder's certificate from the authority; a flaw changes one field."""

    purposes: tuple[ObjectIdentifier, ...] = (ExtendedKeyUsageOID.OCSP_SIGNING,)
    no_check: bool = True
    authority: bool = False
    starts: timedelta = timedelta(hours=-1)
    ends: timedelta = timedelta(days=1)
    issuer: Pki | None = None  # another one than the certificate's

    def make(self, pki: Pki) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        key, issuer = ec.generate_private_key(ec.SECP256R1()), self.issuer or pki
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fictitious responder")]))
            .issuer_name(issuer.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(issuer.now + self.starts)
            .not_valid_after(issuer.now + self.ends)
            .add_extension(x509.BasicConstraints(self.authority, None), True)
            .add_extension(x509.ExtendedKeyUsage(self.purposes), False)
        )
        if self.no_check:
            builder = builder.add_extension(x509.OCSPNoCheck(), False)
        return builder.sign(issuer.key, hashes.SHA384()), key


@dataclass
class Responder:
    """What it answers; tests change it while it runs."""

    pki: Pki
    delegate: Delegate | None = None
    status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD
    this_update: timedelta = timedelta(minutes=-1)
    next_update: timedelta | None = timedelta(hours=1)
    digest: hashes.HashAlgorithm = field(default_factory=hashes.SHA256)
    by_key: bool = False  # names itself by its key
    away: bool = False
    about: x509.Certificate | None = None  # another certificate than asked about
    asked: list[int] = field(default_factory=list)  # serial numbers, in the order of the questions

    def answer(self, question: bytes) -> bytes:
        """The signed answer to a question."""
        request = ocsp.load_der_ocsp_request(question)
        self.asked.append(request.serial_number)
        about = self.about or self._issued(request.serial_number)
        return self.sign(about)

    def sign(self, about: x509.Certificate) -> bytes:
        """The signed answer about a certificate."""
        now = datetime.now(UTC).replace(microsecond=0)
        revoked = self.status is ocsp.OCSPCertStatus.REVOKED
        signer, key = self.delegate.make(self.pki) if self.delegate else (self.pki.certificate, self.pki.key)
        encoding = ocsp.OCSPResponderEncoding.HASH if self.by_key else ocsp.OCSPResponderEncoding.NAME
        builder = ocsp.OCSPResponseBuilder().add_response(
            cert=about,
            issuer=self.pki.certificate,
            algorithm=hashes.SHA256(),
            cert_status=self.status,
            this_update=now + self.this_update,
            next_update=now + self.next_update if self.next_update is not None else None,
            revocation_time=now if revoked else None,
            revocation_reason=None,
        )
        builder = builder.responder_id(encoding, signer)
        if self.delegate:
            builder = builder.certificates([signer])
        return builder.sign(key, self.digest).public_bytes(Encoding.DER)

    def _issued(self, serial: int) -> x509.Certificate:
        for path in self.pki.folder.glob("*.pem"):
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
            if certificate.serial_number == serial:
                return certificate
        raise AssertionError("nobody has this certificate")

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[str]:
        """The responder's URL while the block runs."""

        async def handle(request: web.Request) -> web.Response:
            if self.away:
                return web.Response(status=503)
            raw = self.answer(await request.read())
            return web.Response(body=raw, content_type="application/ocsp-response")

        app = web.Application()
        app.router.add_post("/", handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
        finally:
            await runner.cleanup()

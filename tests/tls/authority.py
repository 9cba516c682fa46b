"""A time-stamp authority for tests: `openssl ts -reply` itself, behind a small responder on loopback."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

POLICY = "1.2.3.4.1"
STAMPING = ExtendedKeyUsageOID.TIME_STAMPING

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
Issuer = tuple[x509.Certificate, Key]


@dataclass(frozen=True)
class Signer:
    """The certificate of an authority's signer; a flaw changes one field."""

    purposes: tuple[ObjectIdentifier, ...] = (STAMPING,)
    purpose_critical: bool = True
    ca: bool = False
    path: int | None = None  # authorities below it
    usage: bool = True  # a key usage that fits
    extra: tuple[x509.ExtensionType, ...] = ()  # critical
    starts: timedelta = timedelta(days=-1)
    ends: timedelta = timedelta(days=300)
    key: Callable[[], Key] = lambda: ec.generate_private_key(ec.SECP256R1())


def certificate(name: str, signer: Signer, issuer: Issuer | None = None) -> Issuer:
    """A certificate with its key; self-signed without an issuer."""
    key, now = signer.key(), datetime.now(UTC).replace(microsecond=0)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    above, signing = issuer or (None, key)
    signs, other = signer.usage and not signer.ca, not signer.usage and not signer.ca
    vouches = signer.usage and signer.ca
    usage = x509.KeyUsage(signs, False, other, False, False, vouches, signer.ca, False, False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(above.subject if above else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + signer.starts)
        .not_valid_after(now + signer.ends)
        .add_extension(x509.BasicConstraints(signer.ca, signer.path), True)
        .add_extension(usage, True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), False)
    )
    if signer.purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(signer.purposes), signer.purpose_critical)
    for extension in signer.extra:
        builder = builder.add_extension(extension, True)
    return builder.sign(signing, hashes.SHA256()), key


#: An authority that vouches for signers.
VOUCHING = Signer((), ca=True, ends=timedelta(days=3000))


def root(signer: Signer = VOUCHING) -> Issuer:
    """The top of a chain."""
    return certificate("fictitious time-stamp root", signer)


@dataclass
class Authority:
    """What it answers; tests change it while it runs."""

    folder: Path
    above: Issuer = field(default_factory=root)
    signer: Signer = Signer()
    between: Signer | None = None  # an intermediate between root and signer, which comes in the token
    digest: str = "sha256"
    names: str = "sha256"  # with which the signing certificate is named
    policy: str = POLICY
    away: bool = False
    rewrite: Callable[[bytes], bytes] = lambda answer: answer
    asked: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        (self.folder / "serial").write_text("01\n")
        self.renew()

    @property
    def ca(self) -> Path:
        """The root, for ``-CAfile`` and for the configuration."""
        return self.folder / "ca.pem"

    @property
    def trusted(self) -> list[x509.Certificate]:
        return [self.above[0]]

    def renew(self) -> None:
        """A new key and certificate for the signer, as `signer` says."""
        issuer, chain = self.above, b""
        if self.between:
            issuer = certificate("fictitious intermediate", self.between, self.above)
            chain = issuer[0].public_bytes(Encoding.PEM)
        made, key = certificate("fictitious time-stamp authority", self.signer, issuer)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.folder / "tsa.key").write_bytes(pem)
        (self.folder / "tsa.pem").write_bytes(made.public_bytes(Encoding.PEM))
        (self.folder / "chain.pem").write_bytes(chain)
        self.ca.write_bytes(self.above[0].public_bytes(Encoding.PEM))

    def answer(self, request: bytes) -> bytes:
        """The response of `openssl ts -reply`, which refuses to sign with some of the flawed certificates."""
        self.asked.append(request)
        at, config = self.folder, self.folder / "tsa.cnf"
        lines = ["[tsa]", "default_tsa = t", "[t]", f"serial = {at}/serial", f"signer_cert = {at}/tsa.pem",
                 f"signer_key = {at}/tsa.key", f"signer_digest = {self.digest}", "digests = sha256, sha384, sha512",
                 f"default_policy = {self.policy}", f"other_policies = {POLICY}", f"ess_cert_id_alg = {self.names}",
                 "ess_cert_id_chain = no"]  # fmt: skip
        if self.between:
            lines.append(f"certs = {at}/chain.pem")
        config.write_text("\n".join(lines) + "\n")
        (at / "q.tsq").write_bytes(request)
        command = [
            "openssl",
            "ts",
            "-reply",
            "-config",
            f"{config}",
            "-queryfile",
            f"{at}/q.tsq",
            "-out",
            f"{at}/r.tsr",
        ]
        subprocess.run(command, check=True, capture_output=True)
        return self.rewrite((at / "r.tsr").read_bytes())

    async def stamp(self, request: bytes) -> bytes:
        """As the port `TimestampAuthority`, without a network."""
        return self.answer(request)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """The authority's URL while the block runs."""

        async def handle(request: web.Request) -> web.Response:
            if self.away:
                return web.Response(status=503)
            assert request.content_type == "application/timestamp-query"
            raw = await asyncio.to_thread(self.answer, await request.read())
            return web.Response(body=raw, content_type="application/timestamp-reply")

        app = web.Application()
        app.router.add_post("/", handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
        finally:
            await runner.cleanup()


def openssl_verify(document: Path, response: Path, ca: Path, untrusted: Path | None = None) -> str:
    """What `openssl ts -verify` says."""
    command = ["openssl", "ts", "-verify", "-data", f"{document}", "-in", f"{response}", "-CAfile", f"{ca}"]
    command += ["-untrusted", f"{untrusted}"] if untrusted else []
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return "OK" if done.returncode == 0 else done.stderr

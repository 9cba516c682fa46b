"""One real gateway under siege, an honest partner that wants its answers, and a partner that turned hostile.

The hostile one has everything a partner has: a certificate of a trusted authority, a pinned key, a message key that the
directory knows, an agreement in force. The gateway runs as a process of its own, with its signer, over real TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from certs.ca import ca_issue
from gateway.cli import staging
from gateway.cli.demo import start_gateway, stop_gateway, two_person, wait_ready
from gateway.cli.staging import BE, FR, FUSION, Stage
from gateway.flow.change import canonical, digest
from gateway.model.message import DEMANDS
from gateway.model.party import KeyRecord, KeyUse
from gateway.service import provision
from gateway.service.app import now
from gateway.service.config import load_config
from gateway.wire.container import Preamble, encrypt, frame, pack
from gateway.wire.jws import message_typ, spki, thumbprint
from gateway.wire.seal import SealHeader, sign_seal
from gateway.wire.strict import b64url

#: Seconds within which any answer must come; a body that is meant to be slow has its own limit.
ANSWER_S = 20.0

HOSTILE, HONEST = FUSION, FR

#: Asks for the receipt of a message that was never sent: the answer is 404, after a look into the store.
QUESTION = (
    b"GET /exchange/v1/messages/5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a11/receipt HTTP/1.1\r\nHost: gw\r\n\r\n"
)


@dataclass
class Answer:
    """What came back before the connection ended, or before the answer was complete."""

    status: int
    head: bytes
    body: bytes


@dataclass(frozen=True)
class Reach:
    """All that a partner's machine needs: it can be handed to another process."""

    port: int
    folder: Path

    def context(self, org: str) -> ssl.SSLContext:
        """A partner's own client: any will do that shows the certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_cert_chain(self.folder / f"{org}.pem", self.folder / f"{org}.key")
        context.load_verify_locations(self.folder / "offline" / BE / "ca.pem")
        return context

    async def connect(
        self, context: ssl.SSLContext, source: str = "127.0.0.1"
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A TLS connection with this client, from this loopback address."""
        return await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=context, server_hostname="localhost", local_addr=(source, 0)
        )


class Target:
    """The gateway under siege, and how to reach it as one partner or the other."""

    def __init__(
        self, stage: Stage, child: subprocess.Popen[bytes], message_key: ec.EllipticCurvePrivateKey
    ) -> None:
        self.stage, self.child = stage, child
        self._message_key = message_key
        self.reach = Reach(load_config(stage.be.config).config.partner_listener.port, stage.folder)
        self._contexts = {org: self.reach.context(org) for org in (HONEST, HOSTILE)}

    # --- as a partner ------------------------------------------------------------------------------------------

    async def connect(self, org: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A TLS connection as this partner."""
        return await self.reach.connect(self._contexts[org])

    async def send(self, raw: bytes, org: str = HOSTILE, *, within: float = ANSWER_S) -> Answer:
        """These bytes over a fresh connection, and the answer to them."""
        reader, writer = await self.connect(org)
        feeding = asyncio.create_task(_feed(writer, raw))
        try:
            async with asyncio.timeout(within):
                return await read_answer(reader)
        finally:
            feeding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await feeding
            writer.transport.abort()

    def sealed(self, payload: bytes, **changes: object) -> bytes:
        """A batch of one message from the hostile partner, sealed as it should be, around any payload.

        ``jws`` and ``plaintext`` replace what is inside the envelope altogether.
        """
        jws, plaintext = changes.pop("jws", None), changes.pop("plaintext", None)
        header = self.header(payload, **changes)
        if jws is None:
            jws = sign_seal(header, payload, self._message_key)
        assert isinstance(jws, str)
        if plaintext is None:
            plaintext = pack(jws, payload)
        assert isinstance(plaintext, bytes)
        return frame([encrypt(self.preamble(header), plaintext, self.encryption)])

    @property
    def encryption(self) -> KeyRecord:
        """The gateway's public encryption key of the HPKE suite."""
        keys = self.stage.entries[BE].keys_for("encryption")
        return next(key for key in keys if key.alg.startswith("hpke"))

    def preamble(self, header: SealHeader) -> Preamble:
        return Preamble(
            v=1, suite=header.suite, iss=header.iss, aud=header.aud, jti=header.jti, enc_kid=header.enc_kid
        )

    def header(self, payload: bytes, **changes: object) -> SealHeader:
        """A header that holds, but for what is changed."""
        public = self._message_key.public_key()
        issued = now()
        header = SealHeader(
            alg="ES256",
            kid=f"{HOSTILE}/message/{thumbprint(public)[:16]}",
            typ=message_typ("disclosure"),
            cty="ct-exchange-json/1.0",
            crit=("b64",),
            b64=False,
            x5t_s256=_CERTIFICATE,
            iat=int(issued.timestamp()),
            exp=int((issued + timedelta(days=30)).timestamp()),
            iss=HOSTILE,
            aud=BE,
            enc_kid=self.encryption.kid,
            suite="hpke-mlkem768-x25519-a256gcm",
            sig_profile="classic",
            jti=str(uuid.uuid4()),
            conv=str(uuid.uuid4()),
            seq=1,
            mode="test",
            agreement=digest(self.terms),
            payload_sha256=hashlib.sha256(payload).hexdigest(),
            checkpoint="ecluse/fra.fusion-demo/partner/bel.ocam\n1\nAAAA\n\n— ecluse/fra.fusion-demo BBBB\n",
        )
        return msgspec.structs.replace(header, **changes)

    @property
    def terms(self) -> bytes:
        """The agreement with the hostile partner, in its one form."""
        from gateway.wire.strict import b64url_decode

        return b64url_decode(self.stage.agreements[HOSTILE].terms)

    # --- what it costs -----------------------------------------------------------------------------------------

    @property
    def processes(self) -> list[int]:
        """The gateway and its signer."""
        children = Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children").read_text().split()
        return [self.child.pid, *map(int, children)]

    @property
    def log(self) -> str:
        """What the gateway logged so far."""
        return (self.stage.be.path / "gateway.log").read_text()


#: Thumbprint of a certificate that the message key's record names: no chain is looked at for a pinned message key.
_CERTIFICATE = b64url(hashlib.sha256(b"a certificate of the siege").digest())


@contextlib.contextmanager
def besieged(
    folder: Path, config: str = "", *, log_key: ed25519.Ed25519PrivateKey | None = None
) -> Iterator[Target]:
    """A furnished gateway with both partners in force, until the block ends; ``config`` is added to its file.

    With ``log_key`` the hostile partner has a log as well, and what it sends can be accepted.
    """
    stage = staging.build(folder, now=now())
    with stage.be.config.open("a") as file:
        file.write(config)
    message_key = ec.generate_private_key(ec.SECP256R1())
    entry = msgspec.structs.replace(
        stage.fusion, keys=(*stage.fusion.keys, _hostile_tls(stage), _record("message", message_key))
    )
    if log_key is not None:
        entry = msgspec.structs.replace(entry, keys=(*entry.keys, _log(log_key)))
    for end in ("pem", "key"):
        (stage.folder / f"{HONEST}.{end}").write_bytes((stage.fr.tls / f"client.{end}").read_bytes())
    child = start_gateway(stage.be)
    try:
        wait_ready(stage.be, child)
        asyncio.run(_furnish(stage, entry))
        yield Target(stage, child, message_key)
    finally:
        stop_gateway(child)


async def _furnish(stage: Stage, hostile: object) -> None:
    first, second = stage.officers["be-requester"], stage.officers["be-approver"]
    for org, entry in ((FR, stage.entries[FR]), (FUSION, hostile)):
        await two_person(stage.be, first, second, "partner", org, canonical(entry))
        signed = stage.agreements[org]
        await two_person(stage.be, first, second, "agreement", f"{BE}-{org}", canonical(signed))


def _hostile_tls(stage: Stage) -> KeyRecord:
    """The hostile partner's TLS identity, from its own authority, which the gateway trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    authority = stage.folder / "offline" / HOSTILE
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    pem = ca_issue(authority, "tls-client", org=HOSTILE, public_key=public, now=now(), days=5)
    (stage.folder / f"{HOSTILE}.pem").write_bytes(pem)
    (stage.folder / f"{HOSTILE}.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    certificates = (authority / "ca.pem").read_bytes(), (authority / "crl.pem").read_bytes()
    provision.trust_authority(stage.be, HOSTILE, *certificates)
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    x5t = b64url(hashlib.sha256(der).digest())
    return msgspec.structs.replace(_record("tls-client", key), certificate=b64url(der), x5t=x5t)


def _record(use: KeyUse, key: ec.EllipticCurvePrivateKey) -> KeyRecord:
    public, begin = key.public_key(), now() - timedelta(hours=1)
    return KeyRecord(
        kid=f"{HOSTILE}/{use}/{thumbprint(public)[:16]}",
        use=use,
        alg="ES256",
        public=spki(public),
        typ=tuple(message_typ(name) for name in DEMANDS) if use == "message" else (),
        x5t=_CERTIFICATE if use == "message" else "",
        not_before=begin,
        not_after=begin + timedelta(days=5),
    )


def _log(key: ed25519.Ed25519PrivateKey) -> KeyRecord:
    begin, public = now() - timedelta(hours=1), b64url(key.public_key().public_bytes_raw())
    return KeyRecord(
        kid=f"{HOSTILE}/log/siege",
        use="log",
        alg="Ed25519",
        public=public,
        not_before=begin,
        not_after=begin + timedelta(days=5),
    )


async def _feed(writer: asyncio.StreamWriter, raw: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        for start in range(0, len(raw), 1 << 16):
            writer.write(raw[start : start + (1 << 16)])
            await writer.drain()


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """One HTTP answer; status 0 when the connection ended without one."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return Answer(0, b"", b"")
    length = next(
        (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
    )
    body = b""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        body = await reader.readexactly(length)
    return Answer(int(head.split(b" ", 2)[1]), head, body)


class Honest:
    """The honest partner: asks for a receipt it never got, over one kept connection, and notes how long that takes."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self) -> float:
        """Seconds for one question and its answer."""
        began = time.monotonic()
        async with asyncio.timeout(ANSWER_S):
            if self.connection is None:
                self.connection = await self._target.connect(HONEST)
            reader, writer = self.connection
            writer.write(QUESTION)
            answer = await read_answer(reader)
        if answer.status != 404:
            raise ConnectionError(f"the honest partner got {answer.status}")
        return time.monotonic() - began

    def leave(self) -> None:
        """End the connection; the next question begins with a handshake."""
        if self.connection is not None:
            self.connection[1].transport.abort()
            self.connection = None

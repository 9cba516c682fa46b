"""The real gateway behind its real listener, three partners with keys of their own, and a judge.

The receiver is a whole side of `tests.service.world`: real store, real signer, real intake, behind the real partner
endpoint and TLS listener on loopback. The attacker is the Belgian partner itself, with every key it has; a Dutch
partner, and a Luxembourg one with the other suite and profile, go on exchanging beside it; a German one was stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import msgspec
import structlog.testing
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x25519
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from gateway.audit.checkpoint import Checkpoint, log_key_name, partner_origin, sign
from gateway.errors import PartnerFault
from gateway.flow.change import canonical
from gateway.model.agreement import SignedAgreement
from gateway.model.message import DEMANDS
from gateway.model.party import KeyRecord, Partner
from gateway.model.rows import InboxRow, LaneRow, QuarantineRow
from gateway.service import provision
from gateway.service.app import pins
from gateway.service.http import QuietRunner
from gateway.service.intake import Intake
from gateway.service.partner_api import BATCH_TYPE, PartnerApi
from gateway.service.refusals import Refusals
from gateway.service.tls import client_context, pin_check, server_context
from gateway.service.tls_listener import start_tls_server
from gateway.wire.agreement import sign_terms
from gateway.wire.jws import message_typ, thumbprint
from tests.forgery.forge import HPKE_SUITE, JWE_SUITE, Base, Edits, Second, b64, framed, sha, unb64, write
from tests.service.founding import Founded, sign_agreement, terms
from tests.service.world import BE, CLEAN, FR, NOW, SERIES, World
from tests.tls.pki import Pki

NL, DE, LU, NOBODY = "nld.politie-demo", "deu.polizei-demo", "lux.police-demo", "esp.nobody-demo"

#: Refused messages kept whole: more than there are attacks.
QUARANTINE = 5000

MESSAGE_TYPES = tuple(message_typ(message_type) for message_type in DEMANDS)


@dataclass(frozen=True)
class Seat:
    """What an organisation holds that is not the receiver: its keys, and how its messages are begun."""

    org: str
    key: ec.EllipticCurvePrivateKey
    log: Ed25519PrivateKey
    members: dict[str, Any]
    payload: bytes
    second: Second | None = None


@dataclass(frozen=True)
class Attack:
    """One hostile POST: who sends it, how it is made, and the one answer it must get.

    ``expect`` is a status and a code where the whole POST is refused, or ``receipt`` and what it says of each message:
    a code, ``not-processed``, or ``accepted`` for what was accepted before and has no effect now. ``no session`` is a
    connection that ends without an answer. ``make`` may first bring about what the attack needs.
    """

    name: str
    expect: str
    make: Callable[[Arena], bytes | Awaitable[bytes]]
    who: str = BE
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Verdict:
    """What became of one attack; ``breaches`` is empty when all is as it must be."""

    name: str
    expect: str
    got: str
    because: str
    breaches: list[str]


class Watched(Intake):
    """The intake, overheard: why it refused, in its own words."""

    because: str = ""

    async def accept(self, org: str, raw: bytes, **more: Any) -> str:
        self.because = ""
        try:
            return await super().accept(org, raw, **more)
        except PartnerFault as fault:
            self.because = fault.detail
            raise

    def _one(self, *arguments: Any) -> Any:
        verdict = arguments[3]
        if isinstance(verdict, PartnerFault):
            self.because = verdict.detail
        return super()._one(*arguments)


@dataclass
class Arena:
    """A run: the receiver, its partners' seats and connections, and what was seen so far."""

    world: World
    seats: dict[str, Seat]
    addressee: MLKEM768X25519PublicKey
    reader: ec.EllipticCurvePublicKey
    intake: Watched
    refusals: Refusals
    sessions: dict[str, aiohttp.ClientSession]
    url: str
    honest: bytes  # a real batch of the Belgian gateway, on its way
    logs: list[Any]
    statuses: Counter[int] = field(default_factory=Counter)
    ids: int = 0
    turns: int = 0
    granted: int = 0  # honest messages that attacks of a history sent first
    keys: dict[str, Any] = field(default_factory=dict)

    # --- making -------------------------------------------------------------------------------------------------

    def uuid(self) -> str:
        self.ids += 1
        return str(UUID(int=self.ids << 8 | 1, version=4))

    def base(self, org: str = BE, **members: Any) -> Base:
        """An honest message of this partner, its first in a new conversation."""
        seat = self.seats[org]
        jti, conv = self.uuid(), self.uuid()
        stated = seat.members | {"jti": jti, "conv": conv, "seq": 1} | members
        payload = seat.payload.replace(b"@jti", stated["jti"].encode()).replace(
            b"@conv", stated["conv"].encode()
        )
        return Base(stated, payload, seat.key, self.addressee, self.reader, seat.second)

    def batch(self, edits: Edits | None = None, org: str = BE, **members: Any) -> bytes:
        """One message, spoilt as asked, in a batch of its own."""
        return framed([write(self.base(org, **members), edits)])

    def note(self, org: str = BE, *, origin: str = "", size: int = 7, root: bytes = bytes(32)) -> str:
        """A checkpoint that this partner signs of its log about us, or of another log of its own."""
        head = Checkpoint(origin or partner_origin(org, FR), size, root)
        return sign(head, log_key_name(org), self.seats[org].log).decode()

    @property
    def now(self) -> int:
        return int(self.world.clock.now().timestamp())

    # --- sending ------------------------------------------------------------------------------------------------

    async def post(self, who: str, raw: bytes, **headers: str) -> tuple[int, bytes]:
        sent = {"Content-Type": BATCH_TYPE} | headers
        async with self.sessions[who].post(self.url, data=io.BytesIO(raw), headers=sent) as answer:
            self.statuses[answer.status] += 1
            return answer.status, await answer.read()

    def said(self, status: int, body: bytes) -> str:
        """The answer in the words of an expectation."""
        if status != 200:
            return f"{status} {json.loads(body)['title']}" if body else str(status)
        items = json.loads(unb64(body.decode().split(".")[1]))["items"]
        return "receipt " + ", ".join(item.get("code") or item["outcome"] for item in items)

    # --- judging ------------------------------------------------------------------------------------------------

    def _effects(self) -> tuple[object, ...]:
        fr = self.world.fr
        return fr.rows(InboxRow), fr.rows(LaneRow)

    def _traces(self) -> tuple[int, int, int]:
        """Quarantined messages, entries of the master log, refusals counted for its next minute."""
        fr = self.world.fr
        kept = len(fr.rows(QuarantineRow))
        return kept, fr.log_size(fr.gateway.ledger.master), self.refusals._counts.total()

    async def judge(self, attack: Attack) -> Verdict:
        """Send it, and hold the answer, the effects and the traces against what must be."""
        made = attack.make(self)
        raw = made if isinstance(made, bytes) else await made
        before, traces = self._effects(), self._traces()
        try:
            status, body = await self.post(attack.who, raw, **attack.headers)
            got = self.said(status, body)
        except aiohttp.ClientError:
            status, got = 0, "no session"
        kept, written, counted = (new - old for new, old in zip(self._traces(), traces, strict=True))
        breaches = []
        if got != attack.expect:
            breaches.append("another answer")
        if self._effects() != before:
            breaches.append("something was accepted or a lane moved")
        if status >= 500:
            breaches.append("an answer of the server's own fault")
        alone = got.startswith("receipt") and "out-of-order" not in got and got != "receipt accepted"
        if (kept, written) != ((1, 1) if alone else (0, 0)):
            breaches.append("a refused message is not in quarantine with its entry, or a whole POST is")
        if counted != (status != 200):
            breaches.append("a refused POST is not counted for the master log")
        return Verdict(attack.name, attack.expect, got, self.intake.because, breaches)

    async def neighbours(self) -> list[str]:
        """The Dutch and the Luxembourg partner's next message, each in its one conversation; what they were told."""
        self.turns += 1
        conv, told = "00000000-0000-4000-8000-00000000c0de", []
        for org in (NL, LU):
            note = self.note(org, size=self.turns)
            raw = self.batch(org=org, conv=conv, seq=self.turns, checkpoint=note)
            told.append(self.said(*await self.post(org, raw)))
        return told

    def tracebacks(self) -> list[str]:
        """Log records of defects: an unexpected exception, or anything with a traceback."""
        return [str(one) for one in self.logs if "defect" in str(one) or "exc_info" in str(one)]


# --- setting it up ---------------------------------------------------------------------------------------------------


class _Listening(logging.Handler):
    def __init__(self, into: list[Any]) -> None:
        super().__init__(logging.WARNING)
        self._into = into

    def emit(self, record: logging.LogRecord) -> None:
        trace = {"exc_info": record.exc_info[0]} if record.exc_info else {}
        self._into.append({"event": record.getMessage(), "log_level": record.levelname.lower()} | trace)


@contextlib.asynccontextmanager
async def arena(founded: Founded, folder: Path) -> AsyncIterator[Arena]:
    """A run over a fresh copy of the founded homes; every key of the other partners is new."""
    world = World(founded, "forgery")
    fr = world.fr
    fr.config = msgspec.structs.replace(
        fr.config, inbound=msgspec.structs.replace(fr.config.inbound, quarantine_items=QUARANTINE)
    )
    await world.boot()
    pki = _pki(folder)
    keys = _Keys(pki)
    await _agree(world, keys)
    honest = await _on_the_way(world)
    encryption = {record.alg: record for record in fr.home.entry.keys_for("encryption")}
    raw = unb64(encryption[HPKE_SUITE].public)
    reader = load_der_public_key(unb64(encryption[JWE_SUITE].public))
    assert isinstance(reader, ec.EllipticCurvePublicKey)
    addressee = MLKEM768X25519PublicKey(
        mlkem.MLKEM768PublicKey.from_public_bytes(raw[:-32]),
        x25519.X25519PublicKey.from_public_bytes(raw[-32:]),
    )
    logs: list[Any] = []
    handler = _Listening(logs)
    logging.getLogger().addHandler(handler)
    refusals = Refusals(fr.gateway)
    intake = Watched(fr.gateway)
    api = PartnerApi(fr.gateway, intake, refusals)
    runner = QuietRunner(api.application(), access_log=None, keepalive_timeout=60, auto_decompress=False)
    await runner.setup()
    assert runner.server is not None
    listener = await start_tls_server(
        runner.server,
        "127.0.0.1",
        0,
        server_context(pki.files("tls-server")),
        admit=lambda one: pin_check(one, pins(fr.gateway.directory.partner(one.organisation), "tls-client")),
        on_refused=refusals.count,
    )
    api.evidence = listener.evidence
    port = listener.sockets[0].getsockname()[1]
    sessions = {
        org: aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=client_context(pki.files(org))))
        for org in (BE, NL, DE, LU, NOBODY)
    }
    with structlog.testing.capture_logs() as captured:
        made = Arena(
            world=world,
            seats=await _seats(world, honest, keys),
            addressee=addressee,
            reader=reader,
            intake=intake,
            refusals=refusals,
            sessions=sessions,
            url=f"https://localhost:{port}/exchange/v1/messages",
            honest=honest,
            logs=captured,
            keys=keys.named,
        )
        try:
            yield made
        finally:
            for session in sessions.values():
                await session.close()
            listener.close()
            await listener.wait_closed()
            await runner.cleanup()
            logging.getLogger().removeHandler(handler)
            captured.extend(logs)
            world.close()
            await asyncio.sleep(0)


def _pki(folder: Path) -> Pki:
    """One authority: a certificate for the listener, and one for each client."""
    folder.mkdir(parents=True, exist_ok=True)
    pki = Pki(folder)
    pki.good("tls-server")
    for org in (BE, NL, DE, LU, NOBODY):
        pki.good("tls-client", org=org, name=org)
    return pki


class _Keys:
    """Keys made for this run, by name, and the records that pin them."""

    def __init__(self, pki: Pki) -> None:
        self.pki = pki
        self.named: dict[str, Any] = {}

    def es256(self, name: str, use: str, **changes: Any) -> KeyRecord:
        key = self.named[name] = ec.generate_private_key(ec.SECP256R1())
        return _record(name, use, key, **changes)

    def ed25519(self, name: str) -> KeyRecord:
        key = self.named[name] = Ed25519PrivateKey.generate()
        return KeyRecord(kid=name, use="log", alg="Ed25519", public=b64(key.public_key().public_bytes_raw()))

    def mldsa(self, name: str) -> KeyRecord:
        key = self.named[name] = MLDSA65PrivateKey.generate()
        public = b64(key.public_key().public_bytes_raw())
        return KeyRecord(
            kid=name, use="message", alg="ML-DSA-65", public=public, typ=MESSAGE_TYPES, x5t=_x5t(name)
        )

    def tls(self, org: str) -> KeyRecord:
        """The record of the client certificate that the listener will see."""
        pem = (self.pki.folder / f"{org}.pem").read_bytes()
        public = x509.load_pem_x509_certificate(pem).public_key()
        return KeyRecord(kid=f"{org}/forgery-tls", use="tls-client", alg="ES256", public=b64(_spki(public)))


def _x5t(kid: str) -> str:
    """A thumbprint for the keys of this run: no certificate stands behind it."""
    return b64(bytes.fromhex(sha(kid.encode())))


def _spki(public: Any) -> bytes:
    raw: bytes = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return raw


def _record(kid: str, use: Any, key: ec.EllipticCurvePrivateKey, **changes: Any) -> KeyRecord:
    typ: tuple[str, ...] = {"message": MESSAGE_TYPES, "receipt": ("ecluse-receipt+jws",)}.get(
        use, ("ecluse-agreement+jws",)
    )
    x5t = "" if use == "agreement" else _x5t(kid)
    made = KeyRecord(kid=kid, use=use, alg="ES256", public=b64(_spki(key.public_key())), typ=typ, x5t=x5t)
    return msgspec.structs.replace(made, **changes)


async def _agree(world: World, keys: _Keys) -> None:
    """A second version of the agreement with the Belgian side, a Dutch and a German partner, the German stopped."""
    fr = world.fr
    first = sign_agreement(terms(), world.founded.agreement_keys)
    second = sign_agreement(terms(version=2, retention_days=300), world.founded.agreement_keys)
    for side in world.sides.values():
        await side.change("agreement", SERIES, canonical(second))
    keys.named["superseded"] = sha(unb64(first.terms))
    entry = world.founded.homes[BE].entry
    more = (
        keys.tls(BE),
        keys.es256("bel.ocam/revoked", "message", revoked=True),
        keys.es256("bel.ocam/expired", "message", not_after=NOW - timedelta(seconds=1)),
        keys.es256("bel.ocam/expires-now", "message", not_after=NOW),
        keys.es256("bel.ocam/future", "message", not_before=NOW + timedelta(days=1)),
        keys.es256("bel.ocam/void-only", "message", typ=("ecluse-msg-void+jws",)),
        keys.es256("bel.ocam/typ-less", "message", typ=()),
        keys.es256("bel.ocam/as-receipt", "receipt", typ=MESSAGE_TYPES),
        keys.es256("bel.ocam/other-alg", "message", alg="ES384"),
    )
    entry = msgspec.structs.replace(entry, keys=entry.keys + more, version=entry.version + 1)
    await fr.change("partner", BE, canonical(entry))
    for org, nation in ((NL, "NLD"), (LU, "LUX"), (DE, "DEU")):
        peer = Partner(
            org=org,
            nation=nation,
            name=f"{org} (synthetic)",
            recipient_kind="police",
            keys=(
                keys.es256(f"{org}/message", "message"),
                *([keys.mldsa(f"{org}/message-mldsa")] if org == LU else ()),
                keys.es256(f"{org}/receipt", "receipt"),
                keys.es256(f"{org}/agreement", "agreement"),
                keys.ed25519(f"{org}/log"),
                keys.tls(org),
            ),
            endpoint=f"https://{org}.invalid",
            tls_name=f"{org}.invalid",
            formats=entry.formats,
            languages=entry.languages,
            assurance=entry.assurance,
        )
        await fr.change("partner", org, canonical(peer))
        await _agree_with(world, org, keys)
    stopped = msgspec.structs.replace(peer, stopped=True, version=2)
    await fr.change("partner", DE, canonical(stopped))


async def _agree_with(world: World, org: str, keys: _Keys) -> None:
    series = f"{org}-{FR}"
    both = (org, FR)
    bodies = msgspec.structs.replace(terms().protocol, bodies=both, controllers=both)
    agreed = terms(
        series=series, parties=both, recipient_kinds=dict.fromkeys(both, "police"), protocol=bodies
    )
    if org == LU:
        agreed = msgspec.structs.replace(agreed, suites=(JWE_SUITE,), signature_profiles=("hybrid",))
    raw = canonical(agreed)
    ours = provision.read_officer_key(world.founded.agreement_keys[FR])
    signatures = {
        FR: sign_terms(raw, ours, f"{FR}/agreement/{thumbprint(ours.public_key())[:16]}"),
        org: sign_terms(raw, keys.named[f"{org}/agreement"], f"{org}/agreement"),
    }
    keys.named[f"{org}/terms"] = sha(raw)
    await world.fr.change("agreement", series, canonical(SignedAgreement(b64(raw), signatures)))


async def _on_the_way(world: World) -> bytes:
    """A batch that the real Belgian gateway sealed, and that has not arrived."""
    await world.be.disclose(CLEAN[0])
    world.be.wire.script = ["lost"]
    await world.be.send()
    return world.be.wire.batches[-1]


async def _seats(world: World, honest: bytes, keys: _Keys) -> dict[str, Seat]:
    """The Belgian seat says what the real message says, under its real keys; the others say the like."""
    sealed = honest[4:]
    line, _, ciphertext = sealed.partition(b"\n")
    plaintext = await world.fr.signer.open(json.loads(line)["suite"], line, ciphertext)
    parts, position = [], 0
    for _ in range(3):
        size = int.from_bytes(plaintext[position : position + 4], "big")
        parts.append(plaintext[position + 4 : position + 4 + size])
        position += 4 + size
    members = json.loads(unb64(parts[0].decode().split(".")[0]))
    payload = parts[2].replace(members["jti"].encode(), b"@jti").replace(members["conv"].encode(), b"@conv")
    held = world.be.home.keys
    seats = {BE: Seat(BE, held.message, held.log, members, payload)}
    encryption = {record.alg: record.kid for record in world.fr.home.entry.keys_for("encryption")}
    for org in (NL, LU, DE):
        log: Ed25519PrivateKey = keys.named[f"{org}/log"]
        own = members | {
            "kid": f"{org}/message",
            "iss": org,
            "x5t#S256": _x5t(f"{org}/message"),
            "agreement": keys.named[f"{org}/terms"],
            "checkpoint": sign(
                Checkpoint(partner_origin(org, FR), 5, bytes(32)), log_key_name(org), log
            ).decode(),
        }
        second = None
        if org == LU:
            own |= {"suite": JWE_SUITE, "sig_profile": "hybrid", "enc_kid": encryption[JWE_SUITE]}
            name = f"{LU}/message-mldsa"
            second = Second(keys.named[name], name, _x5t(name))
        said = payload.replace(f'"from":"{BE}"'.encode(), f'"from":"{org}"'.encode())
        seats[org] = Seat(org, keys.named[f"{org}/message"], log, own, said, second)
    return seats

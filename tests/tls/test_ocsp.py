"""OCSP: which answers are believed, what they do to a partner, and when a responder is asked."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from structlog.testing import capture_logs

from adapters.stores.sql import SqliteStore
from gateway.errors import ConfigInvalid, PartnerUnreachable, UnknownPartner
from gateway.model.party import Assurance, KeyRecord, Partner
from gateway.ports import Tx
from gateway.service import ocsp as ours
from gateway.service.config import Revocation
from gateway.service.ocsp import ask, question, verify_answer
from gateway.service.revocation import Revocations, keep_newest, standing
from gateway.wire.strict import b64url
from tests.tls.pki import Pki, version_4
from tests.tls.responder import Delegate, Responder

ORG = "fra.police-demo"
OCSP = ExtendedKeyUsageOID.OCSP_SIGNING


@pytest.fixture
def own(tmp_path: Path) -> Pki:
    """An authority of the test's own, with one client."""
    pki = Pki(tmp_path / "fra")
    pki.good("tls-client")
    return pki


def client(pki: Pki, name: str = "tls-client") -> x509.Certificate:
    return x509.load_pem_x509_certificate((pki.folder / f"{name}.pem").read_bytes())


def checked(pki: Pki, responder: Responder) -> ours.OcspAnswer:
    """The answer as the gateway reads it."""
    certificate = client(pki)
    raw = responder.answer(question(certificate, pki.certificate))
    return verify_answer(raw, certificate, pki.certificate, now=datetime.now(UTC))


@pytest.mark.parametrize("by_key", [False, True])
@pytest.mark.parametrize("delegate", [None, Delegate()])
def test_an_authentic_answer(own: Pki, delegate: Delegate | None, by_key: bool) -> None:
    """The issuer's own answer and its delegate's are believed, however the responder names itself, for each status."""
    for status, word in (("GOOD", "good"), ("REVOKED", "revoked"), ("UNKNOWN", "unknown")):
        responder = Responder(own, delegate, status=ocsp.OCSPCertStatus[status], by_key=by_key)
        assert checked(own, responder).status == word
    at_most = Responder(own, this_update=timedelta(), next_update=ours.MAX_VALIDITY)
    assert checked(own, at_most).status == "good"


FLAWS: dict[str, Callable[[Pki, Pki], Responder]] = {
    "another authority signs": lambda pki, other: Responder(other, about=client(pki)),
    "another authority's delegate": lambda pki, other: Responder(pki, Delegate(issuer=other)),
    "a delegate for servers": lambda pki, _: Responder(
        pki, Delegate(purposes=(ExtendedKeyUsageOID.SERVER_AUTH,))
    ),
    "a delegate for more": lambda pki, _: Responder(
        pki, Delegate(purposes=(OCSP, ExtendedKeyUsageOID.SERVER_AUTH))
    ),
    "a delegate whose revocation must be checked": lambda pki, _: Responder(pki, Delegate(no_check=False)),
    "a delegate that is an authority": lambda pki, _: Responder(pki, Delegate(authority=True)),
    "a delegate of yesterday": lambda pki, _: Responder(
        pki, Delegate(starts=timedelta(days=-2), ends=timedelta(days=-1))
    ),
    "a delegate of tomorrow": lambda pki, _: Responder(
        pki, Delegate(starts=timedelta(days=1), ends=timedelta(days=2))
    ),
    "about another certificate": lambda pki, _: Responder(pki, about=pki.good("tls-client", name="second")),
    "no next update": lambda pki, _: Responder(pki, next_update=None),
    "from the future": lambda pki, _: Responder(pki, this_update=timedelta(minutes=30)),
    "valid for years": lambda pki, _: Responder(pki, next_update=ours.MAX_VALIDITY),
    "SHA-224": lambda pki, _: Responder(pki, digest=hashes.SHA224()),
}


@pytest.mark.parametrize("name", FLAWS)
def test_a_flawed_answer_is_not_believed(own: Pki, other: Pki, name: str) -> None:
    """Each flaw alone: the answer says good, and is not taken."""
    with pytest.raises(UnknownPartner) as refused:
        checked(own, FLAWS[name](own, other))
    assert refused.value.diagnostic == {"rule": "ocsp"}


def test_an_answer_that_was_touched(own: Pki) -> None:
    """Any flipped byte refuses, as do garbage, nothing, and the responder's own word that it has no answer."""
    certificate, now = client(own), datetime.now(UTC)
    raw = Responder(own).answer(question(certificate, own.certificate))
    try_later = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER)
    touched = [raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :] for at in range(0, len(raw), 3)]
    for bad in (*touched, b"", b"zzemo", raw + b"\0", raw[:-1], try_later.public_bytes(Encoding.DER)):
        with pytest.raises(UnknownPartner):
            verify_answer(bad, certificate, own.certificate, now=now)


# --- over time -----------------------------------------------------------------------------------------------------


class Watch:
    """`Revocations` with a clock of its own and one partner that has a responder, over loopback HTTP."""

    def __init__(self, pki: Pki, url: str, **settings: float) -> None:
        self.file = pki.folder / "store.sqlite"
        self.now = datetime.now(UTC)
        self.blocked: list[str] = []
        self.partner = partner(pki)
        self.certificate = hashlib.sha256(client(pki).public_bytes(Encoding.DER)).hexdigest()
        self.revocations = Revocations(
            msgspec.convert({"responders": {ORG: url}, **settings}, Revocation),
            partners=lambda: [self.partner],
            authorities=lambda: [pki.certificate],
            ask=ask,
            keep=self._keep,
            clock=lambda: self.now,
            blocked=self._block,
        )

    async def _block(self, org: str) -> None:
        self.blocked.append(org)

    async def _keep(self, sha256: str, answer: ours.OcspAnswer) -> None:
        await write(self.file, lambda tx: keep_newest(tx, sha256, answer))

    def refusal(self) -> object:
        """The rule that refuses the partner's certificate now, or None."""
        try:
            assert self.revocations.require(ORG, self.certificate) is not None
        except UnknownPartner as refused:
            return refused.diagnostic["rule"]
        return None


async def write(file: Path, unit: Callable[[Tx], None]) -> None:
    """One unit of work in a store that is opened for it, as if by one start of the gateway after another."""
    store = SqliteStore.open(file, fatal=pytest.fail)
    try:
        await store.write(unit)
    finally:
        store.close()


def partner(pki: Pki) -> Partner:
    certificate = client(pki)
    public = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    der = b64url(certificate.public_bytes(Encoding.DER))
    key = KeyRecord(f"{ORG}/tls/1", "tls-client", "ES256", b64url(public), certificate=der)
    return Partner(ORG, "FRA", "Synthetic police", "police", (key,), "", "", (), (), Assurance())


async def test_no_answer_yet_no_partner(own: Pki) -> None:
    """A partner with a responder waits for its first good answer; one without is nobody's question."""
    responder = Responder(own)
    async with responder.serving() as url:
        watch = Watch(own, url)
        assert watch.refusal() == "revocation-unknown"
        assert watch.revocations.require("deu.without", "00") is None
        await watch.revocations.round()
        assert watch.refusal() is None
        assert responder.asked == [client(own).serial_number]
        with pytest.raises(UnknownPartner):
            watch.revocations.require(ORG, "00")  # another certificate of the same partner
    assert watch.blocked == []


async def test_revoked_ends_the_partners_connections(own: Pki) -> None:
    """The round after a revocation refuses the certificate and tells whoever holds its connections, once."""
    responder = Responder(own)
    async with responder.serving() as url:
        watch = Watch(own, url)
        await watch.revocations.round()
        responder.status = ocsp.OCSPCertStatus.REVOKED
        for _ in range(2):
            await watch.revocations.round()
            assert watch.refusal() == "revoked"
        assert watch.blocked == [ORG]
        # An older answer that is still in its time does not bring it back; a newer one does.
        responder.status, responder.this_update = ocsp.OCSPCertStatus.GOOD, timedelta(minutes=-10)
        await watch.revocations.round()
        assert watch.refusal() == "revoked"
        responder.this_update = timedelta()
        await watch.revocations.round()
        assert watch.refusal() is None


@pytest.mark.parametrize("status", ["GOOD", "REVOKED"])
async def test_an_old_answer_after_a_restart(own: Pki, status: str) -> None:
    """Revoked (or good again) before the restart; after it somebody repeats an older "good" that is still in its time:
    it is not taken, however often the gateway starts; the newest is, again, and a newer one."""
    responder = Responder(own, status=ocsp.OCSPCertStatus[status])
    async with responder.serving() as url:
        watch = Watch(own, url)
        await watch.revocations.round()
        responder.status, responder.this_update = ocsp.OCSPCertStatus.GOOD, timedelta(minutes=-10)
        for _ in range(2):
            watch = Watch(own, url)
            await watch.revocations.round()
            assert watch.refusal() == "revocation-unknown"
        responder.this_update = timedelta()
        watch = Watch(own, url)
        await watch.revocations.round()
        assert watch.refusal() is None


async def test_of_two_answers_of_one_second_the_bad_one_stays(own: Pki) -> None:
    """Good and revoked carry the same time: whichever comes last, it is revoked."""
    at = datetime(2026, 11, 21, tzinfo=UTC)
    good = ours.OcspAnswer("good", at, at + timedelta(hours=1))
    revoked = ours.OcspAnswer("revoked", at, at + timedelta(hours=1))
    file = own.folder / "store.sqlite"
    for answer in (good, good, revoked, revoked):
        await write(file, partial(keep_newest, certificate_sha256="00", answer=answer))
    with pytest.raises(UnknownPartner):
        await write(file, partial(keep_newest, certificate_sha256="00", answer=good))
    await write(file, partial(keep_newest, certificate_sha256="01", answer=good))


@pytest.mark.parametrize("flaw", ["AAAA", "***", "version 4", "AA=="])
async def test_one_malformed_certificate_is_one_partners_affair(own: Pki, other: Pki, flaw: str) -> None:
    """Text that is no certificate in one entry: that key is never in good standing, the others are asked about."""
    bad = b64url(version_4(other)) if flaw == "version 4" else flaw
    responder = Responder(own)
    async with responder.serving() as url:
        watch = Watch(own, url)
        (key,) = watch.partner.keys
        broken = msgspec.structs.replace(key, kid="broken", certificate=bad)
        watch.partner = msgspec.structs.replace(watch.partner, keys=(broken, key))
        with capture_logs() as said:
            await watch.revocations.round()
        assert [one["event"] for one in said] == ["ocsp.certificate"]
        assert watch.refusal() is None


async def test_a_responder_that_is_away(own: Pki) -> None:
    """The last answer counts until its grace is over; then that partner alone is blocked; nothing is lost for good."""
    responder = Responder(own)
    async with responder.serving() as url:
        watch = Watch(own, url, ocsp_grace_s=600)
        await watch.revocations.round()
        responder.away = True
        for minutes, rule in ((59, None), (69, None), (72, "revocation-unknown")):
            watch.now = datetime.now(UTC) + timedelta(minutes=minutes)
            with capture_logs() as said:
                await watch.revocations.round()
            assert [one["event"] for one in said][:1] == ["ocsp.unanswered"]
            assert watch.refusal() == rule
        assert watch.blocked == [ORG]
        responder.away, watch.now = False, datetime.now(UTC)
        await watch.revocations.round()
        assert watch.refusal() is None


async def test_a_stopped_partner_is_not_asked_about(own: Pki) -> None:
    """Stopped partners, revoked keys and keys without a certificate cost no question."""
    responder = Responder(own)
    async with responder.serving() as url:
        watch = Watch(own, url)
        (key,) = watch.partner.keys
        for changed in (
            msgspec.structs.replace(watch.partner, stopped=True),
            msgspec.structs.replace(watch.partner, keys=(msgspec.structs.replace(key, revoked=True),)),
            msgspec.structs.replace(watch.partner, keys=(msgspec.structs.replace(key, certificate=""),)),
        ):
            watch.partner = changed
            await watch.revocations.round()
    assert responder.asked == []


async def test_the_cadence_is_constant(own: Pki) -> None:
    """It asks at its own pace, and a hundred handshakes add no question."""
    responder = Responder(own)
    async with responder.serving() as url:
        watch = Watch(own, url, ocsp_every_s=0.05)
        running = asyncio.create_task(watch.revocations.run())
        async with asyncio.timeout(10):
            while len(responder.asked) < 3:  # noqa: ASYNC110 - a figure
                await asyncio.sleep(0.01)
        running.cancel()
        before = len(responder.asked)
        for _ in range(100):
            watch.refusal()
        await asyncio.sleep(0.1)
        assert len(responder.asked) == before


async def test_an_exchange_is_bounded() -> None:
    """A redirect, an error, an endless answer, and nobody there: no answer, and nothing else."""

    async def answer(request: web.Request) -> web.Response:
        match request.path:
            case "/redirect":
                raise web.HTTPFound("/good")
            case "/large":
                return web.Response(body=bytes(ours.MAX_ANSWER + 1))
            case _:
                return web.Response(body=b"answer")

    app = web.Application()
    app.router.add_route("*", "/{any}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    assert await ask(f"{base}/good", b"question") == b"answer"
    for url in (f"{base}/redirect", f"{base}/large", "http://127.0.0.1:1/", "http://["):
        with pytest.raises(PartnerUnreachable):
            await ask(url, b"question")
    await runner.cleanup()


def test_standings() -> None:
    """Current up to the very instant, then in its grace, then over; no grace is no time at all."""
    due, grace = datetime(2026, 11, 21, tzinfo=UTC), timedelta(hours=1)
    second = timedelta(seconds=1)
    assert standing(due, due, grace) == "current"
    assert standing(due, due + second, grace) == standing(due, due + grace, grace) == "grace"
    assert standing(due, due + grace + second, grace) == standing(due, due + second, timedelta()) == "over"


def test_a_responder_is_a_url() -> None:
    """Only HTTP is spoken to responders."""
    from gateway.service.config import read_config

    text = (
        'organisation = {id="bel.a",nation="BEL",name="A"}\npartner_listener={host="a",port=1}\n'
        'operations_listener={host="a",port=1}\nrevocation.responders={"fra.b"="%s"}\n'
    )
    assert read_config((text % "http://a/").encode()).config.revocation.responders == {"fra.b": "http://a/"}
    with pytest.raises(ConfigInvalid):
        read_config((text % "ldap://a/").encode())

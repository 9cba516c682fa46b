"""The wiring: the only place that picks adapters, for the gateway and for its signer process."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import resource
import signal
import socket
import sqlite3
import ssl
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import msgspec
import structlog
from aiohttp import web

from adapters.identities.system import SystemClock, SystemIds
from adapters.keys.file import replace_file
from adapters.partners.exchange import ExchangeTransport
from adapters.records.bdc import BdcExtract
from adapters.records.consent_request import ConsentRequest
from adapters.records.information_request import InformationRequest
from adapters.records.note.reader import READERS as NOTE_READERS
from adapters.records.sanctions.parts import parts as list_parts
from adapters.records.sanctions.reader import READERS as LIST_READERS
from adapters.records.synthetic import extract
from adapters.stores.database import connect
from adapters.stores.sql import SqliteStore
from adapters.stores.units import View
from adapters.timestamps.http import HttpTimestampAuthority
from certs.profiles import is_demo, load_certificate
from gateway.errors import ConfigInvalid, GatewayError, StoreUnavailable, UnknownPartner
from gateway.model.party import Partner
from gateway.policy.levels import default_levels
from gateway.ports import ReadTx
from gateway.service.answers import Answers
from gateway.service.changes import Changes
from gateway.service.config import LoadedConfig, load_config
from gateway.service.context import Gateway
from gateway.service.desk import Desk
from gateway.service.desk_api import DeskApi
from gateway.service.directory import load_directory
from gateway.service.dispatcher import Dispatcher
from gateway.service.exits import Endpoint, Exits
from gateway.service.home import Home
from gateway.service.http import QuietRunner, partner_runner
from gateway.service.imports import AdapterFactory, Imports
from gateway.service.intake import Intake
from gateway.service.keeper import Keeper
from gateway.service.lanes import Queue
from gateway.service.ledger import Ledger
from gateway.service.logs import configure_logging
from gateway.service.ocsp import ask
from gateway.service.ops import Operations
from gateway.service.partner_api import PartnerApi
from gateway.service.plugins import RECORD_ADAPTERS, load_adapters, record_adapters
from gateway.service.refusals import Refusals
from gateway.service.releases import Releases
from gateway.service.revocation import Revocations, keep_newest
from gateway.service.rollback import refuse_rollback
from gateway.service.sealing import Sealing
from gateway.service.signer import process
from gateway.service.signer.client import SignerClient
from gateway.service.signer_child import SignerProcess
from gateway.service.signer_main import kinds
from gateway.service.stamped import home_authorities
from gateway.service.stamps import Stamps
from gateway.service.tls import (
    NewestLists,
    TlsEvidence,
    TlsFiles,
    authorities,
    peer_evidence,
    pin_check,
    server_context,
)
from gateway.service.tls_listener import TlsListener, start_tls_server
from gateway.service.tls_probe import self_probe
from gateway.service.tls_watch import TlsWatch
from gateway.service.vault import Vault
from gateway.service.witnesses import Witnesses
from gateway.wire.strict import b64url_decode

log = structlog.get_logger()

#: Readers of records that are handed over line by line, by kind.
LINE_READERS: dict[str, AdapterFactory] = {
    BdcExtract.kind: BdcExtract,
    ConsentRequest.kind: ConsentRequest,
    InformationRequest.kind: InformationRequest,
    **NOTE_READERS,
}

#: Seconds for which `serve` waits for a home that a command holds: the longest of them, an import, takes as long.
SERVE_PATIENCE_S = 15.0

#: Exit code when the store or the proof is broken (the outside contract's "audit broken").
EXIT_AUDIT_BROKEN = 4


# --- the gateway -----------------------------------------------------------------------------------------------------


def tls_files(home: Home, role: str, crl_grace_s: float = 0, newest: NewestLists | None = None) -> TlsFiles:
    """Our TLS identity of one role and the partners' authorities with their revocation lists."""
    return TlsFiles(
        certificate=home.tls / f"{role}.pem",
        key=home.tls / f"{role}.key",
        partner_cas=tuple(sorted((home.tls / "partners").glob("*.pem"))),
        crls=tuple(sorted((home.tls / "partners").glob("*.crl"))),
        crl_grace=timedelta(seconds=crl_grace_s),
        newest={} if newest is None else newest,
    )


def pins(partner: Partner, use: str) -> set[str]:
    """SHA-256 of the SPKI of every key of this use, as the TLS check wants them."""
    return {
        hashlib.sha256(b64url_decode(key.public)).hexdigest()
        for key in partner.keys
        if key.use == use and not key.revoked
    }


class Application:
    """A gateway with all its parts, between `start` and `stop`."""

    def __init__(self, home: Home, loaded: LoadedConfig, *, listen: bool) -> None:
        self.home, self._loaded, self._listen = home, loaded, listen
        self._lock = home.own(patience_s=SERVE_PATIENCE_S if listen else 0.0)
        self._signer = SignerProcess(home)
        self._to_signer = SignerClient(home.signer_socket)
        self._newest_lists: NewestLists = {}
        self._tls = TlsWatch(lambda: self._files("server"), lambda: self._files("client"))
        self._runners: list[web.AppRunner] = []
        self._listener: TlsListener | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.ended = asyncio.Event()
        self.exit_code = 0
        self.gateway: Gateway
        self._refusals: Refusals
        self._revocations: Revocations
        self._transport: ExchangeTransport
        self.exits = Exits(self._endpoints)

    def fatal(self, reason: str) -> None:
        """The store or the proof is broken: nothing more is acknowledged; the process ends with code 4, now."""
        log.critical("gateway.fatal", reason=reason)
        sys.stderr.flush()
        sys.stdout.flush()
        os._exit(EXIT_AUDIT_BROKEN)

    async def start(self) -> None:
        """Start everything, in the order in which each part needs the one before.

        (0) every pinned adapter is measured, then imported; (1) the store opens and keeps a probe write; (2) the signer
        answers; (3) no log was rolled back or edited, and their heads are signed; (4) this run is in the log; (5) the
        control socket opens; (6) when listening: no partner that answers holds a newer head of ours, our own TLS
        listener is probed in memory, then partners, operations, dispatcher, keeper, the watch on TLS files and the
        rounds of asking for cosignatures and for time-stamps start.
        """
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        config = self._loaded.config
        # (0)
        pinned = load_adapters(config.adapters, wired=(RECORD_ADAPTERS,))
        # (1)
        store = SqliteStore.open(self.home.database, fatal=self.fatal)
        store.probe()
        # (2)
        await self._signer.start()
        signer, clock, ids = self._to_signer, SystemClock(), SystemIds()
        vault = Vault(signer, ids)
        transport = ExchangeTransport(
            self._tls.client,
            self._check_peer,
            connect_s=config.delivery.connect_timeout_s,
            answer_s=config.delivery.answer_timeout_s,
            resolver=self.exits.resolver,
        )
        self._transport = transport
        now = clock.now()
        directory = await store.read(lambda tx: load_directory(tx, now=now))
        _refuse_demo_material(self.home, config.profile, directory.founding.profile)
        self.gateway = Gateway(
            config=config,
            config_sha256=self._loaded.sha256,
            store=store,
            signer=signer,
            clock=clock,
            ids=ids,
            vault=vault,
            ledger=Ledger(config.organisation.id, vault, ids),
            transport=transport,
            kinds=kinds(),
            levels=default_levels(),
            directory=directory,
            fatal=self.fatal,
        )
        self._refusals = Refusals(self.gateway)
        self._revocations = Revocations(
            config.revocation,
            partners=lambda: self.gateway.directory.partners.values(),
            authorities=lambda: authorities(self._files("server")),
            ask=lambda url, asked: ask(url, asked, self.exits.resolver),
            keep=lambda sha256, answer: store.write(lambda tx: keep_newest(tx, sha256, answer)),
            clock=clock.now,
            blocked=self._blocked,
        )
        # (3)
        await refuse_rollback(self.gateway)
        # (4)
        await self._note_configuration()
        # (5)
        await Answers(self.gateway).abandon()
        releases = Releases(self.gateway)
        sealing = Sealing(self.gateway, releases)
        dispatcher = Dispatcher(self.gateway, sealing)
        self.gateway.wake = dispatcher.wake
        readers = record_adapters(pinned, self.gateway.kinds)
        imports = Imports(self.gateway, {**LINE_READERS, **LIST_READERS, **readers})
        desk = Desk(self.gateway, releases, imports, Changes(self.gateway), Queue(self.gateway, sealing))
        await self._open_control_socket(DeskApi(self.gateway, desk))
        # (6)
        if self._listen:
            await dispatcher.abroad.ask()
            context = await self._open_listeners()
            keeper = Keeper(self.gateway, imports, self._refusals, desk.notices)
            chores = (dispatcher.run(), keeper.run(), self._tls.run(context, self._tls_changed))
            outside = (self._revocations.run(), Witnesses(self.gateway).run(), *self._stamping())
            for chore in (*chores, *outside):
                task = asyncio.create_task(chore)
                task.add_done_callback(self._task_ended)
                self._tasks.append(task)

    def _stamping(self) -> Iterator[Coroutine[None, None, None]]:
        """The rounds of asking for time-stamps, where an authority is configured."""
        config = self._loaded.config.timestamping
        if config.url:
            if not (trusted := home_authorities(self.home)):
                raise ConfigInvalid("the time-stamp authority's certificate is missing: tls/timestamps.pem")
            yield Stamps(self.gateway, HttpTimestampAuthority(config.url, self.exits.resolver), trusted).run()

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.critical("gateway.task-ended", error=type(task.exception()).__name__)
            self.exit_code = 3
            self.ended.set()

    async def _note_configuration(self) -> None:
        """What this run is configured with, in the master log, under a signed head before anything is sealed."""
        gateway, now = self.gateway, self.gateway.clock.now()
        await gateway.vault.reserve()
        await gateway.store.write(
            lambda tx: gateway.ledger.record(
                tx,
                now,
                "config",
                "gateway",
                "",
                {"config_sha256": gateway.config_sha256, "listen": self._listen},
            )
        )
        await gateway.checkpoint_logs([gateway.ledger.master])

    async def _open_control_socket(self, api: DeskApi) -> None:
        runner = QuietRunner(api.application(), access_log=None, keepalive_timeout=10)
        await runner.setup()
        self._runners.append(runner)
        path = self.home.control_socket
        with process.private_socket(path):
            await web.UnixSite(runner, str(path)).start()

    async def _open_listeners(self) -> ssl.SSLContext:
        """Listen; returns the partner listener's context, which later files may be loaded into."""
        config = self._loaded.config
        context = server_context(self._files("server"))
        self_probe(context)
        api = PartnerApi(self.gateway, Intake(self.gateway), self._refusals)
        runner = partner_runner(api.application(), config.inbound)
        await runner.setup()
        self._runners.append(runner)
        if runner.server is None:
            raise ConfigInvalid("the partner listener has no server")
        self._listener = await start_tls_server(
            runner.server,
            config.partner_listener.host,
            config.partner_listener.port,
            context,
            admit=self._admit,
            on_refused=self._refusals.count,
            limits=config.inbound,
        )
        api.evidence = self._listener.evidence
        self.gateway.drop = self._listener.drop
        operations = Operations(self.gateway)
        ops_runner = QuietRunner(operations.application(), access_log=None, keepalive_timeout=10)
        await ops_runner.setup()
        self._runners.append(ops_runner)
        ops_socket = socket.create_server((config.operations_listener.host, config.operations_listener.port))
        await web.SockSite(ops_runner, ops_socket).start()
        listeners = {
            "partner": self._listener.sockets[0].getsockname()[:2],
            "operations": ops_socket.getsockname()[:2],
        }
        replace_file(self.home.path / "listeners.json", msgspec.json.encode(listeners))
        operations.ready = True
        log.info(
            "gateway.ready", partner_port=listeners["partner"][1], operations_port=listeners["operations"][1]
        )
        return context

    async def _tls_changed(self) -> None:
        """End what older TLS files let in: who is revoked stays out, all others connect again."""
        if self._listener is not None:
            self._listener.drop()
        await self._transport.reset()

    def _endpoints(self) -> Iterator[Endpoint]:
        """Where this gateway may connect to: partners in force, and whom the configuration names: responders, and a
        time-stamp authority."""
        partners = self.gateway.directory.partners.values()
        urls = [partner.endpoint for partner in partners if not partner.stopped]
        config = self._loaded.config
        named = (*config.revocation.responders.values(), config.timestamping.url)
        for url in filter(None, (*urls, *named)):
            with contextlib.suppress(ValueError):  # what is no URL leads nowhere
                place = urlsplit(url)
                yield place.hostname or "", place.port or (80 if place.scheme == "http" else 443)

    def _files(self, role: str) -> TlsFiles:
        return tls_files(self.home, role, self._loaded.config.revocation.crl_grace_s, self._newest_lists)

    async def _blocked(self, org: str) -> None:
        """A partner's certificate lost its good standing: in neither direction does a connection outlast that."""
        self.gateway.drop(org)
        await self._transport.reset()

    def _admit(self, evidence: TlsEvidence) -> object:
        partner = self.gateway.directory.partner(evidence.organisation)
        pin_check(evidence, pins(partner, "tls-client"))
        return self._revocations.require(partner.org, evidence.certificate_sha256)

    def _check_peer(self, connection: ssl.SSLObject, partner: Partner) -> None:
        evidence = _check_server(connection, partner)
        self._revocations.require(partner.org, evidence.certificate_sha256)

    async def stop(self) -> None:
        """Stop in the reverse order; what was acknowledged is durable already."""
        if self._listener is not None:
            self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for runner in reversed(self._runners):
            await runner.cleanup()
        if hasattr(self, "gateway"):
            with contextlib.suppress(GatewayError):  # without a signer or store the counts are lost
                await self._refusals.flush()
            await self.gateway.transport.close()
            self.gateway.store.close()
        await self._to_signer.close()
        await self._signer.stop()
        with contextlib.suppress(OSError):  # a disk that keeps nothing must not hide why we end
            self.home.control_socket.unlink(missing_ok=True)
        self._lock.release()


def _check_server(connection: ssl.SSLObject, partner: Partner) -> TlsEvidence:
    """The server is this partner's own: its certificate names that organisation, and the entry pins its key. A pinned
    authority alone would let in every organisation it certified."""
    evidence = peer_evidence(connection)
    if evidence.organisation != partner.org:
        raise UnknownPartner("the server is another organisation's", diagnostic={"rule": "organisation"})
    pin_check(evidence, pins(partner, "tls-server"))
    return evidence


def _refuse_demo_material(home: Home, profile: str, founded: str) -> None:
    """Production refuses whatever the demo authority made; the demo refuses nothing but says what it is."""
    demo = any(
        is_demo(load_certificate((home.tls / f"{role}.pem").read_bytes())) for role in ("server", "client")
    )
    if profile != "demo" and (demo or founded == "demo"):
        raise ConfigInvalid(
            "this home holds demo certificates or was founded as a demo: production refuses it"
        )
    if profile == "demo":
        log.warning("gateway.demo", note="DEMO: throw-away keys, not for production")


@contextlib.asynccontextmanager
async def running(home: Home, *, listen: bool) -> AsyncIterator[Application]:
    """A started gateway. Without listeners it serves one command in this process, by the same code."""
    application = Application(home, load_config(home.config), listen=listen)
    try:
        await application.start()
        yield application
    finally:
        await application.stop()


async def serve(home: Home, *, with_parent: bool = False) -> int:
    """Serve until SIGTERM or SIGINT, or until standard input closes (``with_parent``); returns the exit code."""
    async with running(home, listen=True) as application:
        application.exits.close_all_others()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, application.ended.set)
        if with_parent:
            parent = asyncio.create_task(process.parent_gone())
            parent.add_done_callback(lambda _: application.ended.set())
        await application.ended.wait()
        return application.exit_code


def synthetic_extract(count: int, seed: int) -> bytes:
    """An extract of plainly fictitious persons, fresh as of now: what the demo and the tests import."""
    return extract(count, seed, now())


def now() -> datetime:
    """The system clock, for commands."""
    return SystemClock().now()


@contextlib.contextmanager
def open_logs(home: Home) -> Iterator[ReadTx]:
    """The home's store for offline readers: one view of what is committed, without writing, beside a gateway or not.

    Raises `ConfigInvalid` when there is no database, `StoreUnavailable` when it cannot be opened as one.
    """
    if not home.database.is_file():
        raise ConfigInvalid("there is no database here: run `ecluse init`, or name a home with --home")
    connection = None
    try:
        connection = connect(home.database)
        connection.execute("PRAGMA query_only=on")
        connection.execute("BEGIN")
    except (sqlite3.Error, StoreUnavailable):
        if connection is not None:
            connection.close()
        raise StoreUnavailable("the database cannot be opened") from None
    try:
        yield View(connection)
    finally:
        connection.close()


__all__ = [
    "Application",
    "GatewayError",
    "configure_logging",
    "list_parts",
    "now",
    "open_logs",
    "running",
    "serve",
]

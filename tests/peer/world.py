"""A real gateway as a process, with one peer for each suite and signature profile. The one file that knows both ends.

What crosses between the two sides here is what people carry: entries, authorities and agreements as bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from adapters.records.synthetic import variation_of
from gateway.cli import demo, staging
from gateway.cli.client import desk
from gateway.cli.staging import BE, Stage
from gateway.flow.change import canonical
from gateway.service import calls, provision
from gateway.service.app import now
from gateway.wire.agreement import sign_terms
from gateway.wire.jws import thumbprint
from tests.peer.agreement import encode
from tests.peer.container import HPKE, JWE
from tests.peer.entry import read_entry
from tests.peer.peer import Peer

T = TypeVar("T")

#: Each way two ends can agree on.
WAYS = {
    f"{suite.split('-')[0]}-{profile}": (suite, profile)
    for suite in (HPKE, JWE)
    for profile in ("classic", "hybrid")
}

MODE = "test"  # of a demo's gateway

PERSONS = 60  # records of the gateway
PATIENCE = 40.0  # seconds until what must happen has happened


@dataclass
class World:
    """The gateway, and its partners by the way they agreed on."""

    stage: Stage
    peers: dict[str, Peer]
    records: Iterator[str]
    child: subprocess.Popen[bytes]

    def kill_and_restart(self) -> None:
        """SIGKILL to the gateway's process, and a new one on the same home."""
        self.child.kill()
        self.child.wait()
        demo.stop_gateway(self.child)
        self.child = demo.start_gateway(self.stage.be)
        demo.wait_ready(self.stage.be, self.child)

    def export_log(self, peer: Peer, out: Path) -> list[bytes]:
        """The entries of the gateway's log about this peer, from the tiles (C2SP tlog-tiles) that it exports."""
        command = [sys.executable, "-m", "gateway.cli", "audit", "export", "--home", str(self.stage.be.path)]
        subprocess.run([*command, "--out", str(out)], check=True, capture_output=True, timeout=30)
        bundles = out / "ecluse" / BE / "partner" / peer.org / "tile" / "entries"
        entries = []
        for bundle in sorted(path for path in bundles.rglob("*") if path.is_file()):
            rest = bundle.read_bytes()
            while rest:
                size = int.from_bytes(rest[:2], "big")
                entries.append(rest[2 : 2 + size])
                rest = rest[2 + size :]
        return entries

    def ask(self, officer: str, operation: str, params: Any, wanted: Any) -> Any:
        """One operation of the desk."""

        async def call() -> Any:
            async with desk(self.stage.be.path, self.stage.officers[officer]) as at:
                return await at.call(operation, params, wanted)

        return asyncio.run(call())

    def disclose(self, peer: Peer, conversation: str = "", record: str = "") -> calls.DecisionView:
        """One record, released by two persons toward this peer."""

        async def release() -> calls.DecisionView:
            requester, approver = (self.stage.officers[name] for name in ("be-requester", "be-approver"))
            views = await demo.disclose(
                self.stage, requester, record or next(self.records), (peer.org,), conversation
            )
            view = views[peer.org]
            assert view.effect == "PERMIT", [reason.rule for reason in view.reasons]
            await demo.approve(self.stage.be, approver, [view.release])
            return view

        return asyncio.run(release())

    def trace(self, view: calls.DecisionView) -> calls.Trace:
        found: calls.Trace = self.ask(
            "be-requester", "messages/trace", calls.Named(view.release), calls.Trace
        )
        return found

    def inbox(self, message: str) -> calls.InboxView:
        """A message as the gateway's officers see it."""
        found: calls.InboxView = self.ask("be-requester", "inbox/show", calls.Named(message), calls.InboxView)
        return found


def until(found: Callable[[], T]) -> T:
    """What a look finds, once it finds something."""
    deadline = time.monotonic() + PATIENCE
    while not (what := found()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return what


@contextlib.contextmanager
def started(folder: Path) -> Iterator[World]:
    """Gateway and peers, registered with each other."""
    stage = staging.build(folder / "gateway", now=now())
    peers = {}
    for way in WAYS:
        (folder / way).mkdir()
        peers[way] = Peer(f"fra.peer-{way}", folder / way, mode=MODE)
        authority, revocation = ((folder / way / name).read_bytes() for name in ("ca.pem", "crl.pem"))
        provision.trust_authority(stage.be, peers[way].org, authority, revocation)
    world = World(stage, peers, _clean_records(), demo.start_gateway(stage.be))
    try:
        demo.wait_ready(stage.be, world.child)
        asyncio.run(_register(stage, peers))
        yield world
    finally:
        demo.stop_gateway(world.child)
        for peer in peers.values():
            peer.close()


async def _register(stage: Stage, peers: dict[str, Peer]) -> None:
    offline, entry = stage.folder / "offline" / BE, canonical(stage.entries[BE])
    begins, ends = (
        str(msgspec.to_builtins(now().replace(microsecond=0) + timedelta(days=days))) for days in (-1, 7)
    )
    key = provision.read_officer_key(offline / "agreement.pem")
    kid = f"{BE}/agreement/{thumbprint(key.public_key())[:16]}"
    first, second = (stage.officers[name] for name in ("be-requester", "be-approver"))
    for way, peer in peers.items():
        suite, profile = WAYS[way]
        terms = peer.terms(read_entry(entry), suite=suite, profile=profile, period=(begins, ends))
        signatures = {peer.org: peer.identity.sign_terms(terms), BE: sign_terms(terms, key, kid)}
        signed = encode(terms, signatures)
        await demo.two_person(stage.be, first, second, "partner", peer.org, peer.entry_document())
        series = f"{BE}-{peer.org}"
        await demo.two_person(stage.be, first, second, "agreement", series, msgspec.json.encode(signed))
        authority, revocation = ((offline / name).read_bytes() for name in ("ca.pem", "crl.pem"))
        peer.meet(entry, authority, revocation, signed, time.time())
    await demo.import_persons(stage.be, first, PERSONS)


def _clean_records() -> Iterator[str]:
    """Records that nothing stands against."""
    return (f"BDC-{number:06d}" for number in range(2, PERSONS + 1) if not variation_of(number))

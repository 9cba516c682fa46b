"""OCSP end to end: a real gateway process asks a responder on loopback about one partner, and acts on what it says."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from cryptography.x509 import ocsp

from gateway.cli.staging import FR, free_port
from tests.siege.target import HONEST, HOSTILE, QUESTION, Target, besieged, read_answer
from tests.tls.pki import Pki
from tests.tls.responder import Responder

pytestmark = [pytest.mark.integration, pytest.mark.slow]

#: Seconds between two questions, and in which their effect must be seen.
EVERY_S, SEEN_S = 0.5, 20.0


def test_revoked_by_a_responder(tmp_path: Path) -> None:
    """No answer yet keeps the partner out, good lets it in, revoked ends its open connection and keeps it out; the
    partner without a responder is served throughout."""
    port = free_port()
    config = f'[revocation]\nocsp_every_s = {EVERY_S}\n[revocation.responders]\n"{FR}" = "http://127.0.0.1:{port}/"\n'
    with besieged(tmp_path / "stage", config) as target:
        authority = tmp_path / "authority"
        authority.mkdir()
        (authority / "ca").symlink_to(target.stage.folder / "offline" / FR)
        for name in ("client.pem", "server.pem"):
            (authority / name).symlink_to(target.stage.fr.tls / name)
        rest = asyncio.run(_story(target, Responder(Pki(authority, FR)), port))
    assert rest == b""


async def _story(target: Target, responder: Responder, port: int) -> bytes:
    """What still came over the connection that was open when its certificate was revoked, until it ended."""
    rest = b""
    await _until(target, HONEST, 0)
    await _until(target, HOSTILE, 404)
    async with responder.serving(port):
        await _until(target, HONEST, 404)
        reader, writer = await target.connect(HONEST)
        writer.write(QUESTION)
        assert (await read_answer(reader)).status == 404
        responder.status = ocsp.OCSPCertStatus.REVOKED
        async with asyncio.timeout(SEEN_S):
            with contextlib.suppress(ConnectionError):
                rest = await reader.read()
        await _until(target, HONEST, 0)
        await _until(target, HOSTILE, 404)
        writer.transport.abort()
    return rest


async def _until(target: Target, org: str, status: int) -> None:
    """Wait until a fresh connection of this partner gets this answer; 0 is none at all."""
    async with asyncio.timeout(SEEN_S):
        while True:
            try:
                if (await target.send(QUESTION, org)).status == status:
                    return
            except OSError:
                if status == 0:
                    return
            await asyncio.sleep(0.1)

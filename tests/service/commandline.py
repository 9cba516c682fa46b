"""The command line against a gateway of these tests: the real commands, over the real control socket."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import structlog
from aiohttp import web
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.cli import main
from gateway.model.officer import Officer
from gateway.model.rows import DirectoryRow, EmbargoRow
from gateway.service.desk_api import DeskApi
from tests.service.founding import CONFIG
from tests.service.world import BE, World


@dataclass(frozen=True)
class Line:
    """The command line of a home whose control socket is served by this test."""

    world: World
    home: Path
    folder: Path

    async def run(self, officer: str, *words: object) -> tuple[int, Any]:
        """One command as this officer, in a thread, as its process would run it."""
        key = self.folder / f"{officer}.pem"
        code, out, _ = await self.said(
            *words, "--home", self.home, "--as", officer, "--officer-key", key, "--json"
        )
        return code, json.loads(out)

    async def said(self, *words: object) -> tuple[int, str, str]:
        """One command, as it is: exit code, standard output, standard error."""

        def run() -> tuple[int, str, str]:
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = main([str(word) for word in words])
            return code, out.getvalue(), err.getvalue()

        return await asyncio.to_thread(run)

    def file(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def state(self) -> tuple[object, ...]:
        """Everything in force, in the signer and in the gateway."""
        be = self.world.be
        directory = be.gateway.directory
        return (
            be.files["trust.json"],
            directory.officers,
            directory.partners,
            {partner: state.sha256 for partner, state in directory.agreements.items()},
            directory.policy.sha256,
            directory.settings,
            [(row.id, row.lifted_at) for row in be.rows(EmbargoRow)],
            [(row.kind, row.id, row.sha256) for row in be.rows(DirectoryRow, current=True)],
        )

    def officer(self, name: str, **changes: Any) -> Officer:
        before = self.world.be.gateway.directory.officers[name]
        return msgspec.structs.replace(before, version=before.version + 1, **changes)


@contextlib.asynccontextmanager
async def commanded(world: World, tmp_path: Path) -> AsyncIterator[Line]:
    """A home whose control socket is served here, at the present time; the officers' keys lie in the folder."""
    home = tmp_path / "home"
    world.clock.set(datetime.now(UTC).replace(microsecond=0))
    (home / "signer").mkdir(parents=True)
    (home / "gateway.toml").write_text(CONFIG.format(org=BE, nation="BEL"))
    (home / "store.sqlite").symlink_to(tmp_path / f"{BE}.sqlite")
    for name, identity in world.officers.items():
        path = tmp_path / f"{name}.pem"
        path.touch(mode=0o600)
        path.write_bytes(identity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    runner = web.AppRunner(DeskApi(world.be.gateway, world.be.desk).application(), access_log=None)
    await runner.setup()
    await web.UnixSite(runner, str(home / "control.sock")).start()
    yield Line(world, home, tmp_path)
    await runner.cleanup()
    structlog.reset_defaults()

"""What every part of the running gateway shares: one frozen bundle, made by `app`, passed explicitly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from gateway.errors import LocalFault
from gateway.model.kind import RecordKind
from gateway.model.label import LevelTable
from gateway.model.rows import CheckpointRow, Row
from gateway.ports import Clock, ExchangeStore, Ids, PartnerTransport, Signer
from gateway.service.config import Config
from gateway.service.directory import Directory, load_directory
from gateway.service.ledger import Ledger
from gateway.service.vault import Vault

log = structlog.get_logger()


@dataclass
class Gateway:
    """One organisation's running gateway. Only ``directory`` changes, and only as a whole."""

    config: Config
    config_sha256: str
    store: ExchangeStore
    signer: Signer
    clock: Clock
    ids: Ids
    vault: Vault
    ledger: Ledger
    transport: PartnerTransport
    kinds: dict[str, RecordKind]
    levels: LevelTable
    directory: Directory
    fatal: Callable[[str], None]
    wake: Callable[[], None] = field(default=lambda: None)  # tells the dispatcher that a lane has work
    drop: Callable[[str], object] = field(default=lambda _org: None)  # ends a partner's open connections
    heads: asyncio.Lock = field(
        default_factory=asyncio.Lock
    )  # one head after another: proofs start at the last

    @property
    def org(self) -> str:
        """Our organisation id."""
        return self.config.organisation.id

    async def reload_directory(self) -> None:
        """Read the directory again, after a change was applied."""
        now = self.clock.now()
        self.directory = await self.store.read(lambda tx: load_directory(tx, now=now))

    async def turn_directory(self) -> None:
        """Read the directory again when a version of an agreement has begun that waited for its start."""
        if self.directory.turns is not None and self.directory.turns <= self.clock.now():
            await self.reload_directory()
            self.wake()

    async def checkpoint_logs(self, origins: list[str]) -> None:
        """Have these logs' heads signed, and store the notes; nobody is shown a head that is not stored."""
        async with self.heads:
            signed = await self.signer.heads()
            requests = await self.store.read(
                lambda tx: [
                    self.ledger.head(tx, origin, signed.get(origin, 0))
                    for origin in origins
                    if self.ledger.size(tx, origin) > 0
                ]
            )
            now = self.clock.now()
            rows: list[Row] = []
            for request in requests:
                try:
                    rows.append(
                        CheckpointRow(
                            request.origin, request.size, await self.signer.checkpoint(request), now
                        )
                    )
                except LocalFault as refusal:  # one log must not leave the others without a head
                    log.error("checkpoint.refused", log=request.origin, code=refusal.code)
            if rows:
                await self.store.write(lambda tx: tx.put(*rows))

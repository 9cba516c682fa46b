"""The hands of `hostile`: what its attempts are made of. Installed beside it, in the same distribution."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.audit.entry import body_commitment, partner_entry
from gateway.errors import GatewayError
from gateway.flow.change import canonical
from gateway.model.rows import (
    CheckpointRow,
    EndorsementRow,
    OutboxRow,
    ReleaseRow,
)
from gateway.model.signing import ReleaseEvidence, SealBatch, SealRequest
from gateway.model.time import rfc3339
from gateway.service.contents import EndorsementBody, ReleaseBody
from gateway.service.context import Gateway
from gateway.service.vault import keys_of
from gateway.wire.container import Preamble, encrypt, frame, pack
from gateway.wire.endorse import sign_endorsement
from gateway.wire.seal import SealHeader, sign_seal

#: Seconds until the gateway's own dispatcher has taken up what was slipped into its queue.
TAKEN_UP_S = 20.0

#: Every batch that the signer was asked to seal, with its answer.
SEEN: list[tuple[SealBatch, Any]] = []


@dataclass
class Hands:
    """Inside the process: the gateway, and a key of our own."""

    gate: Gateway
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    async def _take(self) -> None:
        """Take what lies about: the one honest seal with its evidence, and three releases that wait for approval."""
        gate = self.gate
        self.officer = gate.directory.officers["be-approver"]
        (batch, answer), *others = SEEN
        self.emergency = next(item for seen, _ in others for item in seen.items if item.type == "emergency")
        self.honest: SealRequest = batch.items[0]
        self.jws, self.second = answer.results[0].jws, answer.results[0].second
        self.partner = gate.directory.partner(self.honest.aud)
        waiting = await gate.store.read(lambda tx: tx.select(ReleaseRow, {"state": "awaiting-approval"}))
        self.target, self.patched, self.rewritten = waiting
        self.body, self.requested = await self._content(self.target)

    def _evidence(self) -> ReleaseEvidence:
        return ReleaseEvidence(
            statement=self.body.statement,
            endorsements=(self.requested,),
            decision=self.body.document,
            records=(self.body.record,),
            partner=canonical(self.partner),
        )

    def _forged(self, statement: bytes) -> str:
        """An approval by the approver's id, with a key of our own under the id of the real one."""
        kid = self.officer.keys[0].kid
        return sign_endorsement(
            self.key,
            kid,
            officer=self.officer.id,
            act="approve",
            at=self.gate.clock.now(),
            statements=[statement],
        )

    def _void(self, content: bytes) -> bytes:
        """A void with a record in a member that the schema does not have."""
        envelope = msgspec.json.decode(self.honest.payload)
        for member in ("records", "labels", "label", "handling", "manifest"):
            envelope.pop(member, None)
        envelope |= {"type": "void", "created": rfc3339(self.gate.clock.now()), "records": content.decode()}
        return msgspec.json.encode(envelope)

    async def _batch(self, **changes: Any) -> tuple[SealBatch, str]:
        """A batch of one message with everything that the log can prove, made from the honest one."""
        gate, origin = self.gate, self.gate.ledger.of_partner(self.partner.org)
        now, salt = gate.clock.now(), os.urandom(32)
        members: dict[str, Any] = {
            "type": "disclosure",
            "payload": self.body.payload,
            "jti": self.target.message_id,
            "conv": self.target.conversation,
            "seq": 1,
            "iat": int(now.timestamp()),
            "body_salt": salt,
            **changes,
        }
        item = msgspec.structs.replace(self.honest, **members)
        entry = partner_entry(
            at=now,
            blind=os.urandom(32),
            body=body_commitment(salt, hashlib.sha256(item.payload).digest()),
            conv=item.conv,
            direction="out",
            event="message",
            message_id=item.jti,
            master="0" * 64,
            seq=item.seq,
            type=item.type,
        )
        index = await gate.store.write(lambda tx: gate.ledger.append(tx, origin, [entry]))
        signed = (await gate.signer.heads()).get(origin, 0)

        def read(tx: Any) -> SealBatch:
            head = gate.ledger.head(tx, origin, signed)
            proof = gate.ledger.inclusion(tx, origin, index, head.size)
            whole = msgspec.structs.replace(item, entry=entry, entry_index=index, inclusion=proof)
            return SealBatch(head, (whole,))

        return await gate.store.read(read), origin

    async def _sealed(self, **changes: Any) -> tuple[str, Any]:
        """Have this sealed: the signer's refusal, or ``sealed`` and the seal."""
        async with self.gate.heads:
            batch, origin = await self._batch(**changes)
            try:
                result = await self.gate.signer.seal(batch)
            except GatewayError as refused:
                return refused.code, None
            await self._kept(origin, batch.checkpoint.size, result.checkpoint)
        (answer,) = result.results
        return answer.code or "sealed", answer

    async def _asked(self, batch: SealBatch) -> str:
        async with self.gate.heads:
            try:
                result = await self.gate.signer.seal(batch)
            except GatewayError as refused:
                return refused.code
            await self._kept(batch.checkpoint.origin, batch.checkpoint.size, result.checkpoint)
        return result.results[0].code or "sealed"

    async def _kept(self, origin: str, size: int, note: bytes) -> None:
        now = self.gate.clock.now()
        await self.gate.store.write(lambda tx: tx.put(CheckpointRow(origin, size, note, now)))

    def _pack(self, header: SealHeader, payload: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
        return pack(sign_seal(header, payload, key), payload, self.second)

    async def _posted(self, header: SealHeader, plaintext: bytes) -> str:
        """POST one message; the partner's code, or what its receipt says of the message."""
        preamble = Preamble(1, header.suite, header.iss, header.aud, header.jti, header.enc_kid)
        key = next(key for key in self.partner.keys if key.kid == header.enc_kid)
        try:
            sealed = encrypt(preamble, plaintext, key)
            answer = await self.gate.transport.deliver(frame([sealed]), to=self.partner)
        except GatewayError as refused:
            return refused.code
        claims = answer.split(b".")[1]
        item = json.loads(base64.urlsafe_b64decode(claims + b"=="))["items"][0]
        return str(item.get("code") or item["outcome"])

    async def _dispatched(self, message_id: str) -> str:
        """What the signer answered the dispatcher about this message."""
        for _ in range(int(TAKEN_UP_S / 0.1)):
            for batch, answer in SEEN:
                for item, result in zip(batch.items, answer.results, strict=True):
                    if item.jti == message_id and item.type == "disclosure":
                        return result.code or "sealed"
            await asyncio.sleep(0.1)
        rows = await self.gate.store.read(lambda tx: tx.select(OutboxRow, {"replaces": message_id}))
        return "withdrawn" if rows else "never asked"

    async def _content(self, row: ReleaseRow) -> tuple[ReleaseBody, str]:
        """A release's frozen content and the requester's endorsement, out of the database."""
        gate = self.gate
        await gate.vault.unlock(await gate.store.read(lambda tx: keys_of(tx, [row.key])))

        def read(tx: Any) -> tuple[ReleaseBody, str]:
            (kept,) = tx.select(EndorsementRow, {"release": row.id})
            return gate.vault.open(tx, row.body, ReleaseBody), gate.vault.open(
                tx, kept.body, EndorsementBody
            ).jws

        return await gate.store.read(read)

    async def _ended(self, asked: Awaitable[Any]) -> str:
        try:
            await asked
        except GatewayError as refused:
            return refused.code
        return "done"

"""What somebody does who has got code into a gateway's process: here, a record adapter that two administrators pinned.

This file is installed as a distribution of its own and runs inside `ecluse serve`, with everything the process has: the
database, the vault's keys, the TLS keys, the signer's socket, and every module to overwrite. It reads extracts as the
shipped adapter does, until it is handed one that says where to write down how each attempt ended.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import uuid
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

import gateway.guard
import gateway.service.asked as asked_module
import gateway.service.releases as releases_module
import gateway.service.signatures as signatures_module
from adapters.records.bdc import BdcExtract
from gateway.flow.change import canonical, digest, read_change
from gateway.flow.outbound import Go
from gateway.model.officer import OfficerKey
from gateway.model.rows import (
    ChangeRow,
    DirectoryRow,
    RecordRow,
)
from gateway.model.signing import CheckpointRequest, SealBatch, Settlement, TrustChange
from gateway.service.contents import RecordBody
from gateway.service.context import Gateway
from gateway.service.releases import Releases
from gateway.service.vault import keys_of
from gateway.wire.container import pack
from gateway.wire.endorse import sign_change, sign_endorsement
from gateway.wire.jws import spki, thumbprint
from gateway.wire.receipt import ReceiptItem, ReceiptStatement, statement_bytes
from gateway.wire.seal import SealHeader, read_seal
from tests.integration.hostile_hands import SEEN, Hands

#: First line of the file that starts it; the second one is where the results go.
SIGNAL = b"#attack\n"


class Reader:
    """The shipped reader, and more."""

    kind = "bdc-person/1.0"
    watching = False

    def __init__(self, org: str, officer: str) -> None:
        self._honest = BdcExtract(org, officer)

    def read(self, raw: bytes) -> Iterable[Any]:
        gate = next(one for one in gc.get_objects() if isinstance(one, Gateway))
        if not Reader.watching:
            Reader.watching = True
            _watch(gate)
        if raw.startswith(SIGNAL):
            out = Path(raw[len(SIGNAL) :].decode().strip())
            _TASKS.append(asyncio.get_running_loop().create_task(_attack(gate, out)))
            return []
        return self._honest.read(raw)


_TASKS: list[asyncio.Task[None]] = []


def _watch(gate: Gateway) -> None:
    """Keep every batch the signer is asked to seal, with its answer."""
    honest = gate.signer.seal

    async def seal(batch: SealBatch) -> Any:
        answer = await honest(batch)
        SEEN.append((batch, answer))
        return answer

    gate.signer.seal = seal  # type: ignore[method-assign]


async def _attack(gate: Gateway, out: Path) -> None:
    worker = Worker(gate)
    try:
        await worker.run()
    except BaseException as defect:  # the test must hear of a mistake in here
        worker.results["defect"] = repr(defect)
    beside = out.with_suffix(".part")
    beside.write_text(json.dumps(worker.results))
    beside.replace(out)


@dataclass
class Worker(Hands):
    """The attempts, and how each one ended."""

    results: dict[str, str] = field(default_factory=dict)

    async def run(self) -> None:
        await self._take()
        await self._seals()
        await self._logs()
        await self._trust()
        await self._receipts()
        await self._operations()
        await self._emergencies()
        await self._to_the_partner()
        await self._the_gateways_own_way()

    # --- the signer's seal ------------------------------------------------------------------------------------------

    async def _seals(self) -> None:
        """Content that nobody approved, with every kind of evidence that is at hand."""
        approved = self.honest.evidence
        assert approved is not None
        mine = self._evidence()
        by_approver = approved.endorsements[1]
        forged = self._forged(self.body.statement)
        altered = self.honest.payload.replace(b'"disclosure"', b'"disclosure" ')
        widened = msgspec.json.decode(approved.decision)
        for outcome in widened["records"][0]["fields"]:
            outcome["outcome"] = "released"
        mime = self.body.payload
        replace = msgspec.structs.replace
        attempts: dict[str, dict[str, Any]] = {
            "content without evidence": {"evidence": None},
            "content with the request alone": {"evidence": mine},
            "content requested twice": {
                "evidence": replace(mine, endorsements=(self.requested, self.requested))
            },
            "content approved by a key of our own": {
                "evidence": replace(mine, endorsements=(self.requested, forged))
            },
            "content with another message's approval": {
                "evidence": replace(mine, endorsements=(self.requested, by_approver))
            },
            "content with all the evidence of another message": {"evidence": approved},
            "content under the id of an approved message": {
                "evidence": approved,
                "jti": self.honest.jti,
                "conv": self.honest.conv,
            },
            "content as a protocol message": {"type": "void", "evidence": None},
            "content as a status": {"type": "status", "evidence": None},
            "content as a type nobody knows": {"type": "zzemo", "evidence": None},
            "approved content, altered": {
                "payload": altered,
                "evidence": approved,
                "jti": self.honest.jti,
                "conv": self.honest.conv,
            },
            "approved content, a wider decision": {
                "payload": self.honest.payload,
                "evidence": replace(approved, decision=canonical(widened)),
                "jti": self.honest.jti,
                "conv": self.honest.conv,
            },
            "approved content in another conversation": {
                "payload": self.honest.payload,
                "evidence": approved,
                "jti": self.honest.jti,
            },
            "approved content that never expires": {
                "payload": self.honest.payload,
                "evidence": approved,
                "jti": self.honest.jti,
                "conv": self.honest.conv,
                "exp": self.honest.exp + 86_400 * 365,
            },
            "approved content, encrypted to us": {
                "payload": self.honest.payload,
                "evidence": approved,
                "jti": self.honest.jti,
                "conv": self.honest.conv,
                "enc_kid": "bel.ocam/encryption/0",
            },
            "approved content under a lesser profile": {
                "payload": self.honest.payload,
                "evidence": approved,
                "jti": self.honest.jti,
                "conv": self.honest.conv,
                "suite": "none",
            },
            "a void that carries content": {"type": "void", "payload": self._void(mime), "evidence": None},
        }
        for name, changes in attempts.items():
            self.results[name], _ = await self._sealed(**changes)
        # An entry that stands in no log, and one that announces something else.
        other, _ = await self._batch(payload=mime, evidence=mine)
        spoiled: dict[str, dict[str, Any]] = {
            "content announced by another entry": {"entry": self.honest.entry},
            "content under another proof": {
                "inclusion": tuple(os.urandom(32) for _ in other.items[0].inclusion)
            },
        }
        for name, spoilt in spoiled.items():
            item = replace(other.items[0], **spoilt)
            self.results[name] = await self._asked(replace(other, items=(item,)))

    async def _emergencies(self) -> None:
        """What one officer signs in an emergency: taken for other content, or for more than its scope, or settled."""
        approved, mine, replace = self.emergency.evidence, self._evidence(), msgspec.structs.replace
        assert approved is not None
        claimed = {"threat": "invented", "oral_approver": self.officer.id}
        decided = msgspec.json.decode(mine.decision) | {"emergency": claimed}
        decided["envelope"]["type"] = "emergency"
        wider = msgspec.json.decode(approved.settings)
        wider["emergency"]["confirm_hours"] = 1
        same: dict[str, Any] = {
            "type": "emergency",
            "payload": self.emergency.payload,
            "jti": self.emergency.jti,
            "conv": self.emergency.conv,
        }
        for name, changes in {
            "content as an emergency": {"type": "emergency", "evidence": mine},
            "content as an emergency of our own deciding": {
                "type": "emergency",
                "evidence": replace(mine, decision=canonical(decided), settings=approved.settings),
            },
            "content under an emergency's evidence": {"type": "emergency", "evidence": approved},
            "an emergency as a disclosure": {**same, "type": "disclosure", "evidence": approved},
            "an emergency under thresholds of our own": {
                **same,
                "evidence": replace(approved, settings=canonical(wider)),
            },
            "an emergency without the thresholds": {**same, "evidence": replace(approved, settings=b"")},
        }.items():
            self.results[name], _ = await self._sealed(**changes)
        forged = self._forged(approved.statement)
        settled = Settlement(self.emergency.jti, approved.statement, forged)
        for name, one in {
            "an emergency confirmed by a key of our own": settled,
            "an emergency confirmed by its own request": replace(
                settled, confirmation=approved.endorsements[0]
            ),
            "an emergency confirmed over another statement": replace(settled, statement=mine.statement),
            "an emergency reviewed by its own request": replace(
                settled, confirmation="", review=approved.endorsements[0]
            ),
        }.items():
            self.results[name] = await self._ended(self.gate.signer.settle([one]))
        waits = self.emergency.jti in await self.gate.signer.unsettled()
        self.results["an emergency struck from the list"] = "waits" if waits else "gone"

    # --- logs, trust, receipts, everything else the socket offers ---------------------------------------------------

    async def _logs(self) -> None:
        """A second history of a log."""
        origin = self.gate.ledger.of_partner(self.partner.org)
        async with self.gate.heads:
            size = (await self.gate.signer.heads())[origin]
            fork = CheckpointRequest(origin, size, os.urandom(32), size, ())
            for name, request in {
                "another head of the same size": fork,
                "a shorter log": msgspec.structs.replace(fork, size=size - 1),
                "a log that starts anew": msgspec.structs.replace(
                    fork, size=1, old_size=0, first=(os.urandom(32),)
                ),
                "a longer log without its past": msgspec.structs.replace(
                    fork, size=size + 5, consistency=(os.urandom(32),) * 3
                ),
                "a log of somebody else": msgspec.structs.replace(fork, origin="ecluse/fra.other/master"),
            }.items():
                self.results[name] = await self._ended(self.gate.signer.checkpoint(request))

    async def _trust(self) -> None:
        """More officers, other keys, another policy; old changes once more."""
        gate = self.gate
        mine = OfficerKey(thumbprint(self.key.public_key()), spki(self.key.public_key()))
        wider = msgspec.structs.replace(self.officer, keys=(*self.officer.keys, mine), version=9)
        document = canonical(wider)
        applied = await gate.store.read(lambda tx: tx.select(ChangeRow, {"state": "applied"}))
        like = read_change(applied[0].statement)
        change = canonical(
            msgspec.structs.replace(
                like,
                id=str(uuid.uuid4()),
                kind="officer",
                target=wider.id,
                widening=True,
                before_sha256=digest(canonical(self.officer)),
                after_sha256=digest(document),
                proposer=self.officer.id,
            )
        )
        tokens = tuple(
            sign_change(
                self.key,
                key.kid,
                officer=name,
                act=act,  # type: ignore[arg-type]
                at=gate.clock.now(),
                statement=change,
            )
            for act, name, key in (
                ("propose", self.officer.id, self.officer.keys[0]),
                ("approve", "be-requester", gate.directory.officers["be-requester"].keys[0]),
            )
        )
        old = applied[0]
        for name, wanted in {
            "an officer's key that nobody signed": TrustChange(change, document, ()),
            "an officer's key that we signed": TrustChange(change, document, tokens),
            "an officer's key with old signatures": TrustChange(change, document, old.endorsements),
            "an old change with another document": TrustChange(old.statement, document, old.endorsements),
        }.items():
            self.results[name] = await self._ended(gate.signer.change(wanted))
        again = TrustChange(old.statement, old.document, old.endorsements)
        self.results["an old change once more"] = await self._ended(gate.signer.change(again))

    async def _receipts(self) -> None:
        gate = self.gate
        item = ReceiptItem(str(uuid.uuid4()), "0" * 64, "accepted")
        honest = ReceiptStatement(
            1, str(uuid.uuid4()), gate.org, self.partner.org, gate.clock.now(), (item,), ""
        )
        free = {**msgspec.to_builtins(honest), "records": self.body.payload.decode()}
        self.results["a receipt with content"] = await self._ended(gate.signer.receipts([canonical(free)]))
        self.results["a receipt that is content"] = await self._ended(
            gate.signer.receipts([self.body.payload])
        )
        self.results["a receipt for a message that never came"] = await self._ended(
            gate.signer.receipts([statement_bytes(honest)])
        )

    async def _operations(self) -> None:
        """Operations that there are not, and what the others give away."""
        ask: Callable[..., Awaitable[Any]] = self.gate.signer._call  # type: ignore[attr-defined]
        for op in ("sign", "export", "private", "__class__", "trust"):
            self.results[f"the operation {op}"] = await self._ended(ask(op, self.body.payload, Any))
        record = (await self.gate.store.read(lambda tx: tx.select(RecordRow, {"latest": True})))[0]
        await self.gate.vault.unlock(await self.gate.store.read(lambda tx: keys_of(tx, [record.key])))
        raw = await self.gate.store.read(lambda tx: self.gate.vault.open(tx, record.body, RecordBody).record)
        self.results["reading what the gateway holds"] = "read" if b"names" in raw else "nothing"

    # --- past the signer, to the partner ----------------------------------------------------------------------------

    async def _to_the_partner(self) -> None:
        """Our own TLS identity, the partner's real listener, and bytes of our own."""
        header = read_seal(self.jws)
        content = self.body.payload
        ours = msgspec.structs.replace(
            header,
            payload_sha256=digest(content),
            jti=self.target.message_id,
            conv=self.target.conversation,
            seq=1,
        )
        tls = load_pem_private_key(
            (Path(os.environ["ECLUSE_STAGE"]) / "be/tls/client.key").read_bytes(), None
        )
        assert isinstance(tls, ec.EllipticCurvePrivateKey)
        posts: dict[str, tuple[SealHeader, bytes]] = {
            "content under a seal of our own key": (ours, self._pack(ours, content, self.key)),
            "content under a seal of the TLS key": (ours, self._pack(ours, content, tls)),
            "content under another message's seal": (header, pack(self.jws, content, self.second)),
            "content under that seal, as another message": (ours, pack(self.jws, content, self.second)),
            "content without a seal": (ours, pack("no seal", content)),
            "the approved message once more": (header, pack(self.jws, self.honest.payload, self.second)),
        }
        for name, (shown, plaintext) in posts.items():
            self.results[name] = await self._posted(shown, plaintext)
        # What two persons approved, sealed again under another number.
        again, answer = await self._sealed(
            payload=self.honest.payload,
            evidence=self.honest.evidence,
            jti=self.honest.jti,
            conv=self.honest.conv,
            seq=self.honest.seq + 1,
        )
        self.results["the approved message sealed again"] = again
        if answer is not None and answer.jws:
            self.results["the approved message under another number"] = await self._posted(
                read_seal(answer.jws), pack(answer.jws, self.honest.payload, answer.second)
            )

    # --- the gateway's own way, with its checks taken out -----------------------------------------------------------

    async def _the_gateways_own_way(self) -> None:
        """(1) Rewrite the directory so that the approver's key is ours, and approve by the book; (2) overwrite every
        check of this process, and approve with rubbish. The dispatcher takes both up by itself."""
        gate = self.gate
        releases = next(one for one in gc.get_objects() if isinstance(one, Releases))
        mine = OfficerKey(thumbprint(self.key.public_key()), spki(self.key.public_key()))
        taken = msgspec.structs.replace(self.officer, keys=(mine,))

        def rewrite(tx: Any) -> None:
            (row,) = tx.select(DirectoryRow, {"kind": "officer", "id": taken.id, "current": True})
            raw = canonical(taken)
            tx.put(msgspec.structs.replace(row, document=raw, sha256=digest(raw)))

        await gate.store.write(rewrite)
        await gate.reload_directory()
        body, _ = await self._content(self.rewritten)
        token = sign_endorsement(
            self.key,
            mine.kid,
            officer=taken.id,
            act="approve",
            at=gate.clock.now(),
            statements=[body.statement],
        )
        self.results["approved by a key written into the database"] = await self._ended(
            releases.approve(gate.directory.officers[taken.id], token, [self.rewritten.id])
        )
        # (2)
        yes: Any = lambda *_args, **_more: Go()  # noqa: E731
        releases_module.four_eyes = asked_module.recheck = yes  # type: ignore[attr-defined]
        gateway.guard.guard = yes
        taken_for: Any = type("Endorsed", (), {"officer": taken.id})
        for module in (releases_module, signatures_module):
            module.verify_endorsement = lambda *_args, **_more: taken_for  # type: ignore[attr-defined]
        self.results["approved with every check overwritten"] = await self._ended(
            releases.approve(taken, "rubbish", [self.patched.id])
        )
        for name, row in (("database", self.rewritten), ("checks", self.patched)):
            self.results[f"sealed after the {name}"] = await self._dispatched(row.message_id)

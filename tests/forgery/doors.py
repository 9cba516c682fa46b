"""Every place of the product where a signed object is verified: partner endpoint, dispatcher, desk, signer, log."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import aiohttp
import msgspec

from gateway.audit.checkpoint import VerifierKey, log_key_name, partner_origin
from gateway.audit.verify import verify_log
from gateway.errors import GatewayError
from gateway.flow.change import SignedFounding
from gateway.model.agreement import SignedAgreement
from gateway.model.signing import SealBatchResult, TrustChange
from gateway.service import calls, provision
from gateway.service.signer.process import answer, operations
from gateway.service.signer.protocol import Answer, Call, encode
from gateway.service.signer.trust import found
from gateway.wire.jws import thumbprint
from tests.audit.logs import MemoryLog
from tests.forgery.arena import LU, Arena
from tests.forgery.forge import b64, constant, framed, put, sha, write
from tests.forgery.objects import INSTANT, OBJECTS, SEALED, Wanted, agreed, change, founding, names
from tests.forgery.receipts import Answering, Sent, canonical
from tests.service.founding import SETTINGS, terms
from tests.service.world import BE, CLEAN, FR, NOW, SERIES
from tests.signer import world as signer_world


@dataclass
class Door:
    """One place where a signed object is verified; ``opens_for`` is the one kind it is for."""

    opens_for: str
    prepare: Callable[[], Awaitable[Wanted]]
    present: Callable[[str, Wanted], Awaitable[bool]]
    wanted: Wanted | None = None
    spent: bool = True


class House:
    """Every door of a gateway in an arena."""

    def __init__(self, arena: Arena, session: aiohttp.ClientSession) -> None:
        self.arena, self.session, self.be = arena, session, arena.world.be
        self.version = 2

    def owners(self) -> dict[str, Wanted]:
        """Whose key signs each kind in good order."""
        founded, world = self.arena.world.founded, self.arena.world
        receipts = founded.homes[FR].entry.keys_for("receipt")[0]
        agreement = founded.homes[FR].entry.keys_for("agreement")[0]
        seat, second = self.arena.seats[BE], self.arena.seats[LU].second
        assert second is not None
        found: dict[str, Wanted] = {}
        for kind in OBJECTS:
            if kind.startswith("seal"):
                found[kind] = Wanted(b"", seat.key, seat.members["kid"])
            elif kind == "second seal":
                found[kind] = Wanted(b"", second.key, second.kid)
            elif kind == "receipt":
                found[kind] = Wanted(b"", world.fr.home.keys.receipt, receipts.kid)
            elif kind == "agreement":
                found[kind] = Wanted(
                    b"", provision.read_officer_key(founded.agreement_keys[FR]), agreement.kid
                )
            else:
                found[kind] = self.officer("be-approver" if kind.endswith("approve") else "be-requester")
        return found

    def officer(self, name: str, subject: bytes = b"") -> Wanted:
        identity = self.arena.world.officers[name]
        return Wanted(subject, identity.key, identity.kid, name)

    def doors(self) -> dict[str, Door]:
        """The registry of columns."""
        return {
            **{f"partner endpoint, {kind}": self._endpoint(kind) for kind in SEALED},
            "partner endpoint, second signature": self._second(),
            "partner endpoint, checkpoint in a seal": self._head(),
            "dispatcher, receipt": self._receipt(),
            "desk, agreement of a partner": self._agreement(),
            "desk, request of a release": self._endorse("request"),
            "desk, approval of a release": self._endorse("approve"),
            "desk, proposal of a change": self._propose(),
            "desk, approval of a change": self._approve(),
            "control socket, call": self._called(),
            "signer, request of a seal": self._signer(0),
            "signer, approval of a seal": self._signer(1),
            "signer, receipt statement": self._statement(),
            "signer, proposal of a change": self._trust(),
            "init, founding": self._founding(),
            "audit verify, checkpoint": self._log(),
        }

    # --- towards partners ---------------------------------------------------------------------------------------

    def _endpoint(self, kind: str) -> Door:
        async def prepare() -> Wanted:
            base = self.arena.base()
            payload = base.payload if kind == "disclosure" else self._bare(base.members, kind)
            seat = self.arena.seats[BE]
            return Wanted(payload, seat.key, seat.members["kid"])

        async def present(token: str, wanted: Wanted) -> bool:
            known = names(wanted.subject)
            sealed = write(
                replace(self.arena.base(**known), payload=wanted.subject), {"jws": constant(token)}
            )
            return self.arena.said(*await self.arena.post(BE, framed([sealed]))) == "receipt accepted"

        return Door(f"seal {kind}", prepare, present)

    def _bare(self, members: Any, kind: str) -> bytes:
        return json.dumps({
            "format": "ct-exchange-json/1.0", "type": kind, "mode": "test", "message_id": members["jti"],
            "conversation": members["conv"], "from": BE, "to": FR, "created": INSTANT, "language": "fr",
        }, separators=(",", ":")).encode()  # fmt: skip

    def _second(self) -> Door:
        second = self.arena.seats[LU].second
        assert second is not None

        async def prepare() -> Wanted:
            return Wanted(self.arena.base(LU).payload, second.key, second.kid)

        async def present(token: str, wanted: Wanted) -> bool:
            base = replace(self.arena.base(LU, **names(wanted.subject)), payload=wanted.subject)
            sealed = write(base, {"second": constant(token.encode())})
            return self.arena.said(*await self.arena.post(LU, framed([sealed]))) == "receipt accepted"

        return Door("second seal", prepare, present)

    def _head(self) -> Door:
        async def prepare() -> Wanted:
            seat = self.arena.seats[BE]
            body = self.arena.note(size=9).split("\n\n")[0] + "\n"
            return Wanted(body.encode(), seat.key, seat.members["kid"])

        async def present(token: str, _: Wanted) -> bool:
            raw = self.arena.batch({"members": put(checkpoint=token)})
            return self.arena.said(*await self.arena.post(BE, raw)) == "receipt accepted"

        return Door("checkpoint", prepare, present)

    def _receipt(self) -> Door:
        receipts = self.arena.world.founded.homes[FR].entry.keys_for("receipt")[0]

        async def prepare() -> Wanted:
            self.view = (await self.be.disclose(CLEAN[0]))[0]
            return Wanted(b"", self.arena.world.fr.home.keys.receipt, receipts.kid)

        async def present(token: str, _: Wanted) -> bool:
            raise AssertionError("the receipt is made when the batch is known")

        return Door("receipt", prepare, present)

    async def receipt(self, make: Callable[[Wanted], str], wanted: Wanted) -> bool:
        """The dispatcher's turn: the object is made over the statement for the very batch that is under way."""
        real = self.be.gateway.transport

        def write_answer(sent: Sent) -> bytes:
            return make(replace(wanted, subject=canonical(sent.statement(id=self.arena.uuid())))).encode()

        self.be.gateway.transport = Answering(self.arena.world, write_answer)  # type: ignore[assignment]
        try:
            await self.be.dispatcher.send_batch(FR)
        finally:
            self.be.gateway.transport = real
        row = self.be.outbox(self.view)
        return row is not None and row.state == "delivered"

    # --- at the desk --------------------------------------------------------------------------------------------

    async def _try(self, attempt: Awaitable[Any]) -> bool:
        try:
            await attempt
        except GatewayError:
            return False
        return True

    def _agreement(self) -> Door:
        async def prepare() -> Wanted:
            self.version += 1
            raw = canonical(msgspec.to_builtins(terms(version=self.version)))
            return replace(self.owners()["agreement"], subject=raw)

        async def present(token: str, wanted: Wanted) -> bool:
            ours = provision.read_officer_key(self.arena.world.founded.agreement_keys[BE])
            kid = self.arena.world.founded.homes[BE].entry.keys_for("agreement")[0].kid
            mine = agreed(self.arena, Wanted(wanted.subject, ours, kid))
            signed = SignedAgreement(b64(wanted.subject), {BE: mine, FR: token})
            return await self._try(
                self.be.change("agreement", SERIES, canonical(msgspec.to_builtins(signed)))
            )

        return Door("agreement", prepare, present)

    def _endorse(self, act: str) -> Door:
        operation = {"request": "releases/endorse", "approve": "releases/approve"}[act]
        officer = {"request": "be-requester", "approve": "be-approver"}[act]
        held: dict[str, Any] = {}

        async def prepare() -> Wanted:
            view = await (self.be.prepare if act == "request" else self.be.request)(CLEAN[0])
            held["view"] = view
            return self.officer(officer, view.statement)

        async def present(token: str, _: Wanted) -> bool:
            params = calls.Endorsed((held["view"].release,), token)
            return await self._try(self.be.call(officer, operation, params))

        return Door(f"endorsement {act}", prepare, present)

    def _propose(self) -> Door:
        held: dict[str, Any] = {}

        async def prepare() -> Wanted:
            held["draft"] = await self._draft()
            return self.officer("be-requester", held["draft"].statement)

        async def present(token: str, _: Wanted) -> bool:
            params = calls.ProposeChange(held["draft"].statement, held["draft"].document, token)
            return await self._try(self.be.call("be-requester", "changes/propose", params))

        return Door("change propose", prepare, present)

    async def _draft(self) -> Any:
        """A change that widens: the settings with another threshold."""
        self.version += 1
        wider = msgspec.structs.replace(SETTINGS, freshness_s=86_400 + self.version)
        document = canonical(msgspec.to_builtins(wider))
        return await self.be.call(
            "be-requester", "changes/draft", calls.DraftChange("settings", "release", document)
        )

    def _approve(self) -> Door:
        held: dict[str, Any] = {}

        async def prepare() -> Wanted:
            draft = await self._draft()
            first = change("propose")(self.arena, self.officer("be-requester", draft.statement))
            params = calls.ProposeChange(draft.statement, draft.document, first)
            held["view"] = await self.be.call("be-requester", "changes/propose", params)
            return self.officer("be-approver", draft.statement)

        async def present(token: str, _: Wanted) -> bool:
            params = calls.ApproveChange(held["view"].id, token)
            return await self._try(self.be.call("be-approver", "changes/approve", params))

        return Door("change approve", prepare, present)

    def _called(self) -> Door:
        async def prepare() -> Wanted:
            return self.officer("be-requester", b"{}")

        async def present(token: str, wanted: Wanted) -> bool:
            headers = {"Authorization": b"Ecluse-Call " + token.encode()}
            clean = {name: value.decode("latin-1").replace("\n", " ") for name, value in headers.items()}
            url = "http://gateway/api/v1/status"
            async with self.session.post(url, data=wanted.subject, headers=clean) as found:
                assert found.status < 500
                return found.status == 200

        return Door("call", prepare, present)

    # --- in the signer ------------------------------------------------------------------------------------------

    def _ask(self, op: str, argument: Any, held: signer_world.Disk) -> Answer:
        """One request in the bytes of the signer's socket, answered by the function that its process runs."""
        table = operations(signer_world.authority(held))
        return msgspec.msgpack.decode(
            answer(table, msgspec.msgpack.encode(Call(op, encode(argument)))), type=Answer
        )

    def _signer(self, place: int) -> Door:
        name, act = signer_world.SIGNED[place]
        key = signer_world.KEYS[name]

        async def prepare() -> Wanted:
            statement = signer_world.evidence_of(signer_world.batch()).statement
            return Wanted(statement, key, thumbprint(key.public_key()), name)

        async def present(token: str, _: Wanted) -> bool:
            made = signer_world.batch()
            tokens = list(signer_world.evidence_of(made).endorsements)
            tokens[place] = token
            sealed = self._ask(
                "seal", signer_world.with_evidence(made, endorsements=tuple(tokens)), signer_world.disk()
            )
            assert sealed.fault is None
            (result,) = msgspec.msgpack.decode(sealed.body, type=SealBatchResult).results
            return bool(result.jws)

        return Door(f"endorsement {act}", prepare, present)

    def _statement(self) -> Door:
        """The signer signs statements, never tokens: nothing that is signed already is one."""

        async def prepare() -> Wanted:
            return self.officer("be-requester", b"{}")

        async def present(token: str, _: Wanted) -> bool:
            return self._ask("receipts", [token.encode()], signer_world.disk()).fault is None

        return Door("", prepare, present)

    def _trust(self) -> Door:
        name = "be-security"
        key, other = signer_world.KEYS[name], signer_world.KEYS["be-guardian"]
        document = canonical(msgspec.to_builtins(msgspec.structs.replace(SETTINGS, min_age=13)))
        before = signer_world.disk().open().before("settings", "release")
        statement = canonical({
            "v": 1, "id": "settings-1", "home": BE, "kind": "settings", "target": "release", "widening": True,
            "before_sha256": before, "after_sha256": sha(document), "not_before": "2026-11-20T21:00:00Z",
            "proposer": name,
        })  # fmt: skip

        async def prepare() -> Wanted:
            return Wanted(statement, key, thumbprint(key.public_key()), name)

        async def present(token: str, _: Wanted) -> bool:
            second = change("approve")(
                self.arena, Wanted(statement, other, thumbprint(other.public_key()), "be-guardian")
            )
            made = TrustChange(statement, document, (token, second))
            try:
                signer_world.disk().open().change(made, now=NOW + timedelta(minutes=1))
            except GatewayError:
                return False
            return True

        return Door("change propose", prepare, present)

    def _founding(self) -> Door:
        raw = founding(self.arena)

        async def prepare() -> Wanted:
            return self.officer("be-requester", raw)

        async def present(token: str, _: Wanted) -> bool:
            second = change("approve")(self.arena, self.officer("be-approver", raw))
            try:
                found(SignedFounding(raw, (token, second)), now=NOW)
            except GatewayError:
                return False
            return True

        return Door("founding propose", prepare, present)

    # --- in the log ---------------------------------------------------------------------------------------------

    def _log(self) -> Door:
        log = MemoryLog.of([5], origin=partner_origin(BE, FR))
        key = self.arena.seats[BE].log
        trusted = [VerifierKey.of(log_key_name(BE), key.public_key())]

        async def prepare() -> Wanted:
            body = log.notes[0].decode().split("\n\n")[0] + "\n"
            return replace(self.officer("be-requester"), subject=body.encode())

        async def present(token: str, _: Wanted) -> bool:
            shown = log.copy()
            shown.notes = [token.encode()]
            return verify_log(shown, trusted).status == "verified"

        return Door("checkpoint", prepare, present)

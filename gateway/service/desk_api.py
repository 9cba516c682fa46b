"""The control socket: who may call what, checked before anything happens, deny by default.

The socket's file mode keeps strangers out; it proves nobody's identity. Every call carries an officer's endorsement
over exactly its operation and parameters.
"""

from __future__ import annotations

import hashlib

import msgspec
import structlog
from aiohttp import web

from gateway.errors import (
    AuditBroken,
    Conflict,
    GatewayError,
    LocalFault,
    NotFound,
    PartnerFault,
    RequestInvalid,
    RoleMissing,
)
from gateway.model.officer import Officer
from gateway.model.rows import IdempotencyRow, NonceRow
from gateway.ports import Tx
from gateway.service.context import Gateway
from gateway.service.desk import Desk, Operation
from gateway.service.problems import desk_problem
from gateway.service.vault import keys_of
from gateway.wire.endorse import CALL_WINDOW, verify_call

log = structlog.get_logger()

#: Bytes of one call: an import chunk with room to spare.
MAX_CALL = 16 * 1024 * 1024

SCHEME = "Ecluse-Call "


class DeskApi:
    """`POST /api/v1/<operation>` for every operation of the desk."""

    def __init__(self, gateway: Gateway, desk: Desk) -> None:
        self._g, self._operations = gateway, desk.operations()

    def application(self) -> web.Application:
        """The application of the control socket."""
        app = web.Application(client_max_size=MAX_CALL)
        app.router.add_post("/api/v1/{operation:[a-z/]+}", self._call)
        return app

    async def _call(self, request: web.Request) -> web.Response:
        try:
            return await self._run(request)
        except AuditBroken as broken:
            log.error("audit.broken", code=broken.code, **broken.diagnostic)
            self._g.fatal("audit-broken")
            return desk_problem(broken)
        except GatewayError as error:
            return desk_problem(error)
        except web.HTTPRequestEntityTooLarge:
            return desk_problem(RequestInvalid("the call is too large", diagnostic={"limit": MAX_CALL}))
        except Exception as error:
            log.error("desk.defect", error=type(error).__name__, operation=request.match_info["operation"])
            return desk_problem(LocalFault("the gateway could not handle this call", code="internal"))

    async def _run(self, request: web.Request) -> web.Response:
        """One call.

        (1) the operation exists; (2) an officer in force endorsed exactly these parameters for this home, now;
        (3) one of the officer's roles is on the operation's list; (4) the nonce is burned, durably; (5) a repeated
        idempotency key gets the first answer; (6) parameters are decoded strictly; (7) the operation runs.
        """
        # (1)
        name = request.match_info["operation"]
        operation = self._operations.get(name)
        if operation is None:
            raise NotFound("there is no such operation")
        raw = await request.read()
        # (2)
        officer = await self._officer(request, name, raw, operation)
        # (5)
        key = request.headers.get("Idempotency-Key", "")
        blind = (await self._g.signer.index([raw]))[0] if key else ""
        if key and (first := await self._first_answer(key, officer, name, blind)) is not None:
            return _json(first)
        # (6)
        try:
            params = msgspec.json.decode(raw or b"{}", type=operation.params, strict=True)
        except msgspec.ValidationError as error:
            where = str(error).rpartition(" - at ")[2].strip("`") if " - at " in str(error) else "$"
            raise RequestInvalid("a parameter breaks its schema", diagnostic={"field": where}) from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise RequestInvalid("the parameters are not JSON") from None
        # (7)
        body = msgspec.json.encode(await operation.call(officer, params))
        if key:
            await self._keep_answer(key, officer, name, blind, body)
        return _json(body)

    async def _first_answer(self, key: str, officer: Officer, name: str, blind: str) -> bytes | None:
        row = await self._g.store.read(lambda tx: tx.get(IdempotencyRow, key, officer.id))
        if row is None:
            return None
        if (row.op, row.params) != (name, blind):
            raise Conflict("the idempotency key was used for another call")
        await self._g.vault.unlock(await self._g.store.read(lambda tx: keys_of(tx, [row.key_id])))
        return await self._g.store.read(lambda tx: self._g.vault.open(tx, row.body, bytes))

    async def _keep_answer(self, key: str, officer: Officer, name: str, blind: str, answer: bytes) -> None:
        now = self._g.clock.now()
        await self._g.vault.reserve()

        def unit(tx: Tx) -> None:
            fresh = self._g.vault.fresh(now)
            body = self._g.vault.seal(fresh, answer)
            tx.insert(fresh.row, body)
            tx.put(IdempotencyRow(key, officer.id, name, blind, fresh.id, body.id, now))

        await self._g.store.write(unit)

    async def _officer(self, request: web.Request, name: str, raw: bytes, operation: Operation) -> Officer:
        authorization = request.headers.get("Authorization", "")
        if not authorization.startswith(SCHEME):
            raise RoleMissing("the call carries no officer's endorsement: use --as and --officer-key")
        now, officers = self._g.clock.now(), self._g.directory.officers
        try:
            call = verify_call(
                authorization.removeprefix(SCHEME),
                officers,
                home=self._g.org,
                op=name,
                params_sha256=hashlib.sha256(raw).hexdigest(),
                now=now,
            )
        except PartnerFault as fault:
            raise RoleMissing(f"the endorsement of the call does not hold: {fault.detail}") from None
        officer = officers[call.officer]
        # (3)
        if not set(operation.roles) & set(officer.roles):
            raise RoleMissing("none of your roles allows this operation")
        # (4)
        nonce = NonceRow(call.nonce, now + 2 * CALL_WINDOW)

        def burn(tx: Tx) -> None:
            tx.insert(nonce)

        try:
            await self._g.store.write(burn)
        except Conflict:
            raise RoleMissing("the endorsement of this call was used already") from None
        return officer


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")

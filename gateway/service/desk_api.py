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
    NotFound,
    PartnerFault,
    RequestInvalid,
    RoleMissing,
)
from gateway.model.officer import Officer
from gateway.model.rows import IdempotencyRow, NonceRow
from gateway.ports import Tx
from gateway.service.answers import Answers, new_claim
from gateway.service.context import Gateway
from gateway.service.desk import Desk
from gateway.service.mandates import require_mandate
from gateway.service.operation import Operation
from gateway.service.problems import desk_problem
from gateway.wire.endorse import CALL_WINDOW, VerifiedCall, verify_call

log = structlog.get_logger()

#: Bytes of one call: an import chunk with room to spare.
MAX_CALL = 16 * 1024 * 1024

SCHEME = "Ecluse-Call "

#: Characters of an idempotency key: a caller's UUID with the operation behind it, and room for other habits.
MAX_KEY = 255


class DeskApi:
    """`POST /api/v1/<operation>` for every operation of the desk."""

    def __init__(self, gateway: Gateway, desk: Desk) -> None:
        self._g, self._operations = gateway, desk.operations()
        self._answers = Answers(gateway)

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
            return desk_problem(GatewayError("the gateway could not handle this call"))

    async def _run(self, request: web.Request) -> web.Response:
        """One call.

        (1) the operation exists; (2) an officer in force endorsed exactly these parameters for this home, now;
        (3) one of the officer's roles is on the operation's list, and a mandate reaches it; (4) the nonce is burned
        and, for an operation that acts, the idempotency key claimed: one durable commit; (5) a key claimed before gets
        the first answer, or a `Conflict` while that call is under way; (6) parameters are decoded strictly; (7) the
        operation runs, and its answer is kept under the key. A call that raises gives its claim up.
        """
        # (1)
        name = request.match_info["operation"]
        operation = self._operations.get(name)
        if operation is None:
            raise NotFound("there is no such operation")
        raw = await request.read()
        await self._g.turn_directory()
        # (2)
        call, officer = self._endorsed(request, name, raw)
        # (3)
        if not set(operation.roles) & set(officer.roles):
            raise RoleMissing("none of your roles allows this operation")
        require_mandate(officer, name, self._g.clock.now())
        # (4)
        mine = await self._mine(request, name, raw, operation, officer)
        found = await self._burn(call, mine)
        if mine is None:
            return _json(await _result(operation, officer, raw))
        # (5)
        if found is not None:
            return _json(await self._answers.first(found, mine))
        try:
            body = await _result(operation, officer, raw)
        except Exception:
            await self._answers.release(mine)
            raise
        await self._answers.keep(mine, body)
        return _json(body)

    def _endorsed(self, request: web.Request, name: str, raw: bytes) -> tuple[VerifiedCall, Officer]:
        authorization = request.headers.get("Authorization", "")
        if not authorization.startswith(SCHEME):
            raise RoleMissing("the call carries no officer's endorsement: use --as and --officer-key")
        officers = self._g.directory.officers
        try:
            call = verify_call(
                authorization.removeprefix(SCHEME),
                officers,
                home=self._g.org,
                op=name,
                params_sha256=hashlib.sha256(raw).hexdigest(),
                now=self._g.clock.now(),
            )
        except PartnerFault as fault:
            raise RoleMissing(f"the endorsement of the call does not hold: {fault.detail}") from None
        return call, officers[call.officer]

    async def _mine(
        self, request: web.Request, name: str, raw: bytes, operation: Operation, officer: Officer
    ) -> IdempotencyRow | None:
        """The claim this call would make; None without a key, and for an operation that only looks."""
        key = request.headers.get("Idempotency-Key", "")
        if not key or not operation.repeatable:
            return None
        if len(key) > MAX_KEY:
            raise RequestInvalid("the idempotency key is too long", diagnostic={"limit": MAX_KEY})
        blind = (await self._g.signer.index([_meant(raw)]))[0]
        return new_claim(key, officer.id, name, blind, self._g.clock.now())

    async def _burn(self, call: VerifiedCall, mine: IdempotencyRow | None) -> IdempotencyRow | None:
        """Burn the nonce and claim the key; returns whose claim or answer stands under the key already."""
        nonce = NonceRow(call.nonce, self._g.clock.now() + 2 * CALL_WINDOW)

        def unit(tx: Tx) -> IdempotencyRow | None:
            tx.insert(nonce)
            return self._answers.claim(tx, mine) if mine is not None else None

        try:
            return await self._g.store.write(unit)
        except Conflict:  # of the nonce alone: the claim looks before it inserts, in the same unit
            raise RoleMissing("the endorsement of this call was used already") from None


def _meant(raw: bytes) -> bytes:
    """What a call asks for, whoever's pen it was signed with: a repeated call is signed anew (ECDSA, another time), and
    is the same call. Nothing rests on the signature left out here: it is not looked at when the first answer is given,
    and the caller of this very call was verified."""
    try:
        params = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return raw
    if not isinstance(params, dict) or "endorsement" not in params:
        return raw
    return msgspec.json.encode({**params, "endorsement": ""}, order="sorted")


async def _result(operation: Operation, officer: Officer, raw: bytes) -> bytes:
    # (6)
    try:
        params = msgspec.json.decode(raw or b"{}", type=operation.params, strict=True)
    except msgspec.ValidationError as error:
        where = str(error).rpartition(" - at ")[2].strip("`") if " - at " in str(error) else "$"
        raise RequestInvalid("a parameter breaks its schema", diagnostic={"field": where}) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise RequestInvalid("the parameters are not JSON") from None
    # (7)
    return msgspec.json.encode(await operation.call(officer, params))


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")

"""A client of the running gateway; where none runs, of the same gateway started in this process for one command."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from gateway import errors
from gateway.errors import ConfigInvalid, GatewayError, PartnerUnreachable, Unavailable
from gateway.service.calls import Params
from gateway.service.config import load_config
from gateway.service.home import Home
from gateway.wire.endorse import sign_call, sign_change, sign_endorsement
from gateway.wire.jws import thumbprint
from gateway.wire.strict import b64url

T = TypeVar("T")

#: Seconds for one call; an import chunk or a large batch of approvals takes the longest.
CALL_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Identity:
    """An officer at the keyboard: the private key is used here and never sent."""

    officer: str
    key: EllipticCurvePrivateKey

    @property
    def kid(self) -> str:
        """Thumbprint of the public key, as the directory has it."""
        return thumbprint(self.key.public_key())


class DeskClient:
    """Calls operations of one home's desk as one officer."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        org: str,
        identity: Identity,
        idempotency_key: str = "",
        *,
        alone: bool = False,
    ) -> None:
        """``alone``: nobody else runs this home's gateway, so nothing is sent once the command has ended."""
        self._session, self.org, self.identity, self._key = session, org, identity, idempotency_key
        self.alone = alone

    async def call(self, operation: str, params: Params, wanted: type[T] | Any, *, once: bool = False) -> Any:
        """One operation: endorse exactly these bytes, send them, decode the answer. Raises the gateway's error.

        ``once``: under an idempotency key, repeating this very call gets the first answer and has no second effect.
        """
        from gateway.service.app import now

        raw = msgspec.json.encode(params)
        endorsement = sign_call(
            self.identity.key,
            self.identity.kid,
            home=self.org,
            op=operation,
            params_sha256=hashlib.sha256(raw).hexdigest(),
            at=now(),
            nonce=b64url(os.urandom(32)),
            officer=self.identity.officer,
        )
        headers = {"Authorization": f"Ecluse-Call {endorsement}", "Content-Type": "application/json"}
        if self._key and once:
            headers["Idempotency-Key"] = f"{self._key}/{operation}"
        try:
            async with self._session.post(
                f"http://gateway/api/v1/{operation}", data=raw, headers=headers
            ) as answer:
                body = await answer.read()
                if answer.status == 200:
                    return msgspec.json.decode(body, type=wanted)
                raise _error(body)
        except (aiohttp.ClientError, TimeoutError, OSError):
            raise PartnerUnreachable("the gateway does not answer on its control socket") from None

    def endorse(self, act: Any, statements: list[bytes]) -> str:
        """The officer's endorsement over the statements of releases."""
        from gateway.service.app import now

        return sign_endorsement(
            self.identity.key,
            self.identity.kid,
            officer=self.identity.officer,
            act=act,
            at=now(),
            statements=statements,
        )

    def sign_change(self, act: Any, statement: bytes) -> str:
        """The officer's signature over a change."""
        from gateway.service.app import now

        return sign_change(
            self.identity.key,
            self.identity.kid,
            officer=self.identity.officer,
            act=act,
            at=now(),
            statement=statement,
        )


@contextlib.asynccontextmanager
async def desk(home_path: Path, identity: Identity, idempotency_key: str = "") -> AsyncIterator[DeskClient]:
    """A client of this home: of the process that owns it, or, when none does, of one started here."""
    home = Home(home_path)
    home.require()
    org = load_config(home.config).config.organisation.id
    async with contextlib.AsyncExitStack() as stack:
        alone = not await _answers(home)
        if alone:
            from gateway.service.app import running

            await stack.enter_async_context(running(home, listen=False))
        connector = aiohttp.UnixConnector(path=str(home.control_socket))
        session = aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=CALL_TIMEOUT_S), trust_env=False
        )
        await stack.enter_async_context(session)
        yield DeskClient(session, org, identity, idempotency_key, alone=alone)


async def _answers(home: Home) -> bool:
    """Whether a process listens on the control socket. A socket file without a listener was left by a crash."""
    import asyncio

    try:
        _, writer = await asyncio.open_unix_connection(str(home.control_socket))
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    except OSError:
        raise ConfigInvalid("the control socket cannot be opened") from None
    writer.close()
    return True


_FAULTS: dict[str, type[GatewayError]] = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, GatewayError) and kind is not errors.OutOfOrder
}


def _error(body: bytes) -> GatewayError:
    """The problem document as the error it came from."""
    try:
        problem = msgspec.json.decode(body, type=dict[str, Any])
        code, detail = str(problem["title"]), str(problem.get("detail", ""))
    except (msgspec.MsgspecError, KeyError):
        return Unavailable("the gateway answered with something else than a problem document")
    kind = _FAULTS.get(code, GatewayError)
    error = GatewayError.__new__(kind)
    GatewayError.__init__(error, detail, code=code, diagnostic=problem.get("diagnostic", {}))
    if isinstance(error, Unavailable):
        error.retry_after = None
    return error

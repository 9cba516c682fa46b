"""Every call that leaves our gateway fails once, with canaries in all that an error can hold; nothing of it is said.

What fails is not one of our own errors, whose texts are safe by contract, but what libraries and systems raise: with
values, keys, file names and unknown words of enumerations in their text.
"""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import aiohttp
import msgspec
from aiohttp import web

from gateway.errors import Unavailable
from gateway.service.desk_api import DeskApi
from gateway.service.partner_api import PartnerApi
from gateway.service.problems import desk_problem
from gateway.wire.endorse import sign_call
from gateway.wire.strict import b64url
from tests.leak.persons import ROOT, person
from tests.leak.plan import setting
from tests.leak.spellings import Watched
from tests.leak.worlds import BE, FR, Leakage, logged, start
from tests.service.faults import Faults
from tests.service.founding import Founded
from tests.service.world import BASIS, KIND, PURPOSE

T = TypeVar("T")


def _validation() -> Exception:
    try:
        msgspec.json.decode(f'{{"sex": "{ROOT}sex"}}', type=dict[str, int])
    except msgspec.ValidationError as error:
        error.args = (f"Invalid enum value '{ROOT}sex' - at `$.{ROOT}key`",)
        return error
    raise AssertionError("an invalid value was accepted")


#: What may come out of a port, each with a canary where such errors hold their input.
ERRORS: dict[str, Callable[[], Exception]] = {
    "value": lambda: ValueError(f"invalid literal: '{ROOT} value'"),
    "key": lambda: KeyError(f"{ROOT}key"),
    "file name": lambda: OSError(28, "No space left on device", f"/var/lib/{ROOT}/file"),
    "enumeration": _validation,
    "encoding": lambda: UnicodeDecodeError("utf-8", f"{ROOT} bytes".encode(), 0, 1, f"near {ROOT}"),
    "parameters": lambda: sqlite3.IntegrityError(f"CHECK failed: ('{ROOT} parameter')"),
    "lookup": lambda: LookupError({"name": f"{ROOT} nested"}),
}


#: More calls than the story makes: the sweep ends with it.
MOST = 1000


class Sweep(msgspec.Struct):
    """How many calls failed in turn, and what was said that should not have been."""

    calls: int = 0
    names: list[str] = []
    findings: list[str] = []


class _Canaries(Faults):
    """Makes the n-th call that leaves our side raise a library's error."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Callable[[], Exception] | None = None
        self.after = False
        self.hit = ""

    async def around(
        self, org: str, name: str, call: Callable[[], Awaitable[T]], away: Callable[[], Unavailable] | None
    ) -> T:
        if org != BE or self.error is None:
            return await call()
        hit = len(self.calls) == self.at
        self.calls.append(name)
        if hit:
            self.hit = name
            if self.after:
                await call()
            raise self.error()
        return await call()


async def sweep(founded: Founded, seed: str, places: Iterable[int] = range(MOST)) -> Sweep:
    """Fail the first call of one story, then the second, and so on to the last; an error of each sort in turn.

    ``places``: only these calls.
    """
    found = Sweep()
    sorts = list(ERRORS)
    for at in places:
        sort = sorts[at % len(sorts)]
        with logged() as log:
            faults, said = await _story(founded, seed, at, ERRORS[sort], after=bool(at // len(sorts) % 2))
            if not faults.hit:
                return found
            found.calls += 1
            found.names.append(faults.hit)
            watched = Watched((), ())
            for name, text in (("log", log.getvalue()), ("answer", "\n".join(said))):
                if form := watched.found(text):
                    found.findings.append(f"{faults.hit} {at}, {sort}: {form} in the {name}")
    return found


async def _story(
    founded: Founded, seed: str, at: int, error: Callable[[], Exception], *, after: bool
) -> tuple[_Canaries, list[str]]:
    """From import to receipt through the real control socket, dispatcher and partner listener, with one failure."""
    rng = Random(seed)  # noqa: S311 - a schedule, no secret
    circumstances = setting(rng, seed)
    circumstances.terms = msgspec.structs.replace(circumstances.terms, regime="BE-OCAM")
    leak = await start(founded, circumstances, None)
    faults = _Canaries()
    faults.at, faults.error, faults.after = at, error, after
    leak.world.faults = faults
    said: list[str] = []
    for side in leak.world.sides.values():
        side.gateway.store._faults = faults  # type: ignore[attr-defined]
        side.gateway.signer._faults = faults  # type: ignore[attr-defined]
    with TemporaryDirectory(prefix="ecluse-ports-") as folder:
        desk = web.AppRunner(DeskApi(leak.be.gateway, leak.be.desk).application(), access_log=None)
        await desk.setup()
        await web.UnixSite(desk, str(Path(folder) / "desk.sock")).start()
        api = PartnerApi(leak.be.gateway, leak.be.intake, leak.be.refusals)
        partner = web.AppRunner(api.application(), access_log=None)
        await partner.setup()
        await web.UnixSite(partner, str(Path(folder) / "partner.sock")).start()
        connector = aiohttp.UnixConnector(str(Path(folder) / "desk.sock"))
        outside = aiohttp.UnixConnector(str(Path(folder) / "partner.sock"))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            aiohttp.ClientSession(connector=outside) as stranger,
        ):
            await _acts(leak, rng, session, stranger, api, said)
        await desk.cleanup()
        await partner.cleanup()
    leak.world.close()
    return faults, said


async def _acts(
    leak: Leakage, rng: Random, session: aiohttp.ClientSession, stranger: aiohttp.ClientSession, api: PartnerApi,
    said: list[str],
) -> None:  # fmt: skip
    be, clock = leak.be, leak.world.clock
    nonces = iter(range(1, 1000))

    async def call(officer: str, operation: str, params: dict[str, Any]) -> Any:
        sent = msgspec.json.encode(params)
        identity = leak.world.officers[officer]
        token = sign_call(
            identity.key, identity.kid, home=BE, op=operation, params_sha256=hashlib.sha256(sent).hexdigest(),
            at=clock.now(), nonce=b64url(next(nonces).to_bytes(32, "big")), officer=officer,
        )  # fmt: skip
        headers = {"Authorization": f"Ecluse-Call {token}"}
        url = f"http://gateway/api/v1/{operation}"
        async with session.post(url, data=io.BytesIO(sent), headers=headers) as answer:
            body = await answer.read()
            if answer.status != 200:
                said.append(body.decode())
                said.append(str(dict(answer.headers)))
                return None
            return msgspec.json.decode(body)

    one = person(rng, "BDC-900000001", clock.now())
    line = json.dumps(one.line(), ensure_ascii=False).encode() + b"\n"
    base = {
        "record": one.id,
        "partners": [FR],
        "purpose": PURPOSE,
        "legal_basis": BASIS,
        "justification": "case",
    }
    for _ in range(2):  # what one failure spoiled is done again, as people do
        await call("be-requester", "records/import", {"kind": KIND, "first_line": 1, "lines": b64(line)})
        await call("be-requester", "records/show", {"id": one.id})
        await call("be-requester", "releases/preview", base)
        views = await call("be-requester", "releases/prepare", base)
        if not views or not views[0]["release"]:
            continue
        release, statement = views[0]["release"], unb64(views[0]["statement"])
        for officer, act in (("be-requester", "request"), ("be-approver", "approve")):
            token = be.endorse(officer, act, [statement])
            operation = "releases/endorse" if act == "request" else "releases/approve"
            await call(officer, operation, {"releases": [release], "endorsement": token})
        await call("be-approver", "embargoes/add", {"subject": "BDC-900000002", "authority": b64(b"order")})
        for _ in range(2):
            be.dispatcher._busy[FR] = None  # type: ignore[assignment]
            await _drain(leak)
            clock.advance(seconds=400)
        await call("be-approver", "messages/trace", {"id": release})
    try:
        await be.keeper.beat()
    except Exception as error:
        said.append(_answered(error))
    api.evidence = lambda _transport: _Evidence()  # type: ignore[assignment,return-value]
    batch = be.wire.batches[-1] if be.wire.batches else b"\0"
    headers = {"Content-Type": "application/vnd.ecluse.sealed-batch"}
    async with stranger.post(
        "http://gw/exchange/v1/messages", data=io.BytesIO(batch), headers=headers
    ) as answer:
        said.append((await answer.read()).decode(errors="replace"))
    async with stranger.get("http://gw/exchange/v1/messages/x/receipt") as answer:
        said.append((await answer.read()).decode(errors="replace"))


class _Evidence:
    organisation = FR


async def _drain(leak: Leakage) -> None:
    """As the dispatcher's own task: what it cannot handle it logs, and waits."""
    config = leak.be.gateway.config
    delivery = msgspec.structs.replace(config.delivery, backoff_most_s=0.0)
    leak.be.gateway.config = msgspec.structs.replace(config, delivery=delivery)
    await leak.be.dispatcher._drain(FR)
    leak.be.gateway.config = config


def _answered(error: Exception) -> str:
    """What would be answered about this error by whoever meets it last: its class alone."""
    answer = desk_problem(error) if hasattr(error, "diagnostic") else None  # type: ignore[arg-type]
    return (
        answer.body.decode()
        if answer is not None and isinstance(answer.body, bytes)
        else type(error).__name__
    )


def b64(raw: bytes) -> str:
    return msgspec.json.decode(msgspec.json.encode(raw), type=str)


def unb64(text: str) -> bytes:
    return msgspec.json.decode(msgspec.json.encode(text), type=bytes)

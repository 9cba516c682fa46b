"""The way to the partner in one process: a transport that hands batches to the other side, and what befalls them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from gateway.errors import GatewayError, PartnerFault, PartnerUnreachable
from gateway.model.party import Assurance, Partner
from gateway.service.crossed import log_about
from gateway.service.intake import Intake
from gateway.service.problems import PARTNER_STATUS
from gateway.service.witnesses import Witnesses
from tests.service.faults import Killed

if TYPE_CHECKING:
    from tests.service.world import World

T = TypeVar("T")


@dataclass(frozen=True)
class Post:
    """One POST as the partner saw it."""

    at: datetime
    sender: str
    batch: bytes
    answer: str  # the receipt, or the code of the refusal


class Loopback:
    """`PartnerTransport` that hands a batch to the other side's `Intake`.

    ``script`` holds what happens to the next POSTs: ``lost`` (never arrives), ``answer-lost`` (arrives, the answer
    does not), ``twice`` (arrives two times), ``garbage`` (the answer is no receipt); ``pass`` is the ordinary way.
    """

    assurance = Assurance(
        origin_signed=True, end_to_end_encrypted=True, receipt="signed", ordered=True, recall_ack=True
    )

    def __init__(self, world: World, org: str) -> None:
        self._world, self._org = world, org
        self.script: list[str] = []
        self.batches: list[bytes] = []  # every batch that left, whether it arrived or not
        self.posts: list[Post] = []
        self.fetched: list[str] = []
        self.heads: list[str] = []  # what the next questions for our head meet: pass, away, nothing, garbage
        self.parts: list[bytes] = []  # what the next questions for the partner's log meet: away, or an answer
        self.asked: list[bytes] = []

    async def deliver(self, batch: bytes, *, to: Partner) -> bytes:
        return await self._world.faults.around(
            self._org, "deliver", lambda: self._deliver(batch, to.org), _unreachable
        )

    async def fetch_receipt(self, message_id: str, *, to: Partner) -> bytes | None:
        async def fetch() -> bytes | None:
            self.fetched.append(message_id)
            receipt = await self._at(to.org, lambda intake: intake.receipt(self._org, message_id))
            return receipt.encode() if receipt is not None else None

        return await self._world.faults.around(self._org, "fetch_receipt", fetch, _unreachable)

    async def fetch_head(self, *, to: Partner) -> bytes | None:
        step = self.heads.pop(0) if self.heads else "pass"
        if step == "away":
            raise _unreachable()
        if step != "pass":
            return None if step == "nothing" else b"no head"
        if to.org not in self._world.sides:  # an entry alone, without a gateway behind it
            return None
        return await self._world.sides[to.org].intake.head(self._org)

    async def fetch_log(self, start: int, *, to: Partner) -> bytes | None:
        step = self.parts.pop(0) if self.parts else None
        if step == b"away":
            raise _unreachable()
        return step or await log_about(self._world.sides[to.org].gateway, self._org, start)

    async def add_checkpoint(self, ask: bytes, *, to: Partner) -> tuple[int, bytes]:
        async def answer() -> tuple[int, bytes]:
            self.asked.append(ask)
            return await Witnesses(self._world.sides[to.org].gateway).answer(self._org, ask)

        return await self._world.faults.around(self._org, "add_checkpoint", answer, _unreachable)

    async def close(self) -> None:
        """Nothing is open."""

    async def _deliver(self, batch: bytes, to: str) -> bytes:
        self.batches.append(batch)
        step = self.script.pop(0) if self.script else "pass"
        if step == "lost":
            raise _unreachable()
        receipt = ""
        for _ in range(2 if step == "twice" else 1):
            receipt = await self._at(to, lambda intake: intake.accept(self._org, batch), batch)
        if step == "answer-lost":
            raise _unreachable()
        return b"\xff not a receipt" if step == "garbage" else receipt.encode()

    async def _at(self, to: str, call: Callable[[Intake], Awaitable[T]], batch: bytes = b"") -> T:
        """Call the other side; its errors come back as a transport reports them, and a killed one is started again."""
        at = self._world.clock.now()
        try:
            answer = await call(self._world.sides[to].intake)
        except Killed as killed:
            if killed.org != to:
                raise
            await self._world.sides[to].boot()
            raise _unreachable() from None
        except GatewayError as error:
            self.posts.append(Post(at, self._org, batch, error.code))
            if PARTNER_STATUS.get(error.code, 503) >= 500:
                raise _unreachable() from None
            raise PartnerFault("the partner refused the whole batch", code=error.code) from None
        if batch:
            self.posts.append(Post(at, self._org, batch, str(answer)))
        return answer


def _unreachable() -> PartnerUnreachable:
    return PartnerUnreachable("no complete answer from the partner")

"""One round in one world: what the officers do, what goes wrong, and every message on its way to a receipt."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from random import Random

import msgspec

from gateway.errors import GatewayError
from gateway.flow.clocks import next_slot
from gateway.model.rows import CheckpointRow, LaneRow
from gateway.service import calls
from gateway.service.calls.requests import AnswerRequest, CloseRequest
from gateway.service.drafted import Drafted
from gateway.wire.container import frame
from tests.leak.persons import word
from tests.leak.plan import Draw, Round
from tests.leak.worlds import BE, FR, NO_END, SLOT_S, Leakage, NamedFaults
from tests.service.asking import asked_line
from tests.service.world import ASKED, BASIS, KIND, PURPOSE, Opened, opened, reseal

#: Looks at the queue before a round gives up.
LOOKS = 40


class Player:
    """Plays rounds in world 0 (A) or 1 (B)."""

    def __init__(self, leakage: Leakage, side: int) -> None:
        self._l, self._side = leakage, side
        self._drafts: dict[int, Drafted] = {}
        self._asked: dict[int, str] = {}  # requests that the partner sent, by the draw that answers them
        self._name = ""

    async def play(self, turn: Round) -> None:
        """The round, once it was asked for; the steps have the same names in both worlds, whatever happens in them."""
        leak, self._name, self._drafts = self._l, turn.name, {}
        await self._import(turn)
        for draw in turn.draws:
            await self._prepare(turn, draw)
        early, late = turn.draws[: turn.late], turn.draws[turn.late :]
        await self._approve("approve", early)
        await self._intervene("intervene", early)
        await self._first_send(turn)
        await self._approve("approve-late", late)
        await self._intervene("intervene-late", late)
        await self._hooks(turn)
        await self._drain(turn)
        if turn.inbound:
            await self._inbound(turn)
        leak.look_at_log(self._name)

    async def _step(self, name: str, act: Callable[[], Awaitable[object]]) -> None:
        await self._l.step(f"{self._name}/{name}", act)

    def _fate(self, draw: Draw) -> str:
        return draw.fates[self._side]

    # --- the partner asks ---------------------------------------------------------------------------------------

    async def ask(self, turn: Round) -> None:
        """The partner's officers send the requests that the draws of this round answer; one that its own policy keeps
        at home, after the end of the agreement say, is answered by nobody."""
        self._name, self._asked = turn.name, {}
        self._l.world.clock.advance(seconds=turn.wait)
        fr, asking = self._l.fr, [draw for draw in turn.draws if draw.why.request is not None]
        views: list[calls.DecisionView] = []

        async def put_in() -> None:
            lines = b"".join(_asked(draw) for draw in asking)
            imported = await fr.call("fr-inbox", "records/import", calls.ImportChunk(ASKED, 1, lines))
            assert imported.bad == ()

        async def prepare(draw: Draw) -> None:
            params = calls.Disclose(f"REQ-{draw.number:06d}", (BE,), PURPOSE, BASIS, "synthetic case")
            (view,) = await fr.call("fr-inbox", "releases/prepare", params)
            if view.effect == "PERMIT":
                views.append(view)
                self._asked[draw.number] = view.message_id
            else:
                self._l.counts["request kept at home"] += 1

        async def sign() -> None:
            statements, named = [view.statement for view in views], tuple(view.release for view in views)
            for officer, purpose, operation in (
                ("fr-inbox", "request", "releases/endorse"), ("fr-second", "approve", "releases/approve"),
            ):  # fmt: skip
                token = fr.endorse(officer, purpose, statements)
                await fr.call(officer, operation, calls.Endorsed(named, token))

        if asking:
            await self._step("requests", put_in)
            for draw in asking:
                await self._step(f"request {draw.number}", lambda draw=draw: prepare(draw))  # type: ignore[misc]
        if views:
            await self._step("requests sign", sign)
            await self._step("requests send", fr.send)

    async def _tell_nothing(self, draw: Draw) -> None:
        """No information is given, whatever the reason: a person looks first where somebody is held."""
        be, request = self._l.be, self._asked[draw.number]
        ground = self._fate(draw).removeprefix("told-")
        if ground != "nothing":
            look = AnswerRequest(request, draw.people[self._side].id, "synthetic case")
            await be.call("be-requester", "requests/answer", look)
        params = CloseRequest(request, "no-information", ground, "synthetic case")  # type: ignore[arg-type]
        view = await be.call("be-only-inbox", "requests/close", params)
        assert view.effect == "PERMIT", [reason.rule for reason in view.reasons]
        token = be.endorse("be-only-inbox", "request", [view.statement])
        await be.call("be-only-inbox", "requests/endorse", calls.Endorsed((view.release,), token))

    # --- the desk -----------------------------------------------------------------------------------------------

    async def _import(self, turn: Round) -> None:
        held = [draw for draw in turn.draws if self._fate(draw) not in ("absent", "unknown", "told-nothing")]
        lines = [json.dumps(draw.people[self._side].line(), ensure_ascii=False) for draw in held]
        if turn.bad_lines and lines:
            bad = json.loads(lines[0])
            bad["content"]["sex"] = word(Random(turn.name))  # noqa: S311 - a word of a test
            lines.append(json.dumps(bad | {"id": "BDC-1"}))
            lines.append("{" + lines[0])
        raw = "".join(f"{line}\n" for line in lines).encode()

        async def act() -> None:
            imported = await self._l.be.call(
                "be-requester", "records/import", calls.ImportChunk(KIND, 1, raw)
            )
            self._l.said += [repr(bad) for bad in imported.bad]

        if lines:
            await self._step("import", act)

    async def _prepare(self, turn: Round, draw: Draw) -> None:
        fate, be = self._fate(draw), self._l.be
        if fate in ("embargoed", "told-embargoed"):
            await self._step(f"embargo {draw.number}", lambda: self._embargo(draw))
        if draw.why.request is not None and draw.number not in self._asked:
            return
        if fate.startswith("told"):
            await self._step(f"tell {draw.number}", lambda: self._tell_nothing(draw))
            return
        if fate == "absent":
            return
        request = draw.why.request
        if request is not None:
            request = msgspec.structs.replace(request, id=self._asked[draw.number])
        why = msgspec.structs.replace(draw.why, request=request)
        officer = be.gateway.directory.officers["be-requester"]
        chance = Random(f"{turn.name}/{draw.conversation}")  # noqa: S311 - an id of a test
        conversation = f"{chance.getrandbits(32):08x}-0000-4000-8000-{chance.getrandbits(48):012x}"

        async def prepare() -> None:
            name = draw.people[self._side].id
            drafted = await be.releases.draft(officer, name, (FR,), why, conversation=conversation)
            if drafted[0].release:
                self._drafts[draw.number] = drafted[0]

        async def endorse() -> None:
            drafted = self._drafts[draw.number]
            token = be.endorse("be-requester", "request", [drafted.statement])
            await be.call("be-requester", "releases/endorse", calls.Endorsed((drafted.release,), token))

        await self._step(f"prepare {draw.number}", prepare)
        if draw.number in self._drafts:
            await self._step(f"endorse {draw.number}", endorse)

    async def _approve(self, name: str, draws: tuple[Draw, ...]) -> None:
        be = self._l.be
        wanted = [
            draw
            for draw in draws
            if draw.number in self._drafts and self._fate(draw) not in ("rejected", "waiting")
        ]
        drafts = [self._drafts[draw.number] for draw in wanted]

        async def approve() -> None:
            token = be.endorse("be-approver", "approve", [draft.statement for draft in drafts])
            named = tuple(draft.release for draft in drafts)
            await be.call("be-approver", "releases/approve", calls.Endorsed(named, token))

        if drafts:
            await self._step(name, approve)

    async def _intervene(self, name: str, draws: tuple[Draw, ...]) -> None:
        """What happens between approval and number, so that it leaves no trace."""
        be = self._l.be
        for draw in draws:
            draft, fate = self._drafts.get(draw.number), self._fate(draw)
            if draft is None:
                continue
            release = draft.release
            if fate in ("rejected", "cancelled"):
                operation = "releases/reject" if fate == "rejected" else "releases/cancel"
                ended = calls.Ended(release, "synthetic reason")
                await self._step(
                    f"{name} {draw.number}",
                    lambda operation=operation, ended=ended: be.call("be-approver", operation, ended),  # type: ignore[misc]
                )
            elif fate in ("embargoed-late", "changed-late"):
                await self._step(f"{name} {draw.number}", lambda draw=draw: self._learn(draw))  # type: ignore[misc]

    async def _learn(self, draw: Draw) -> None:
        """Something becomes known that voids the release."""
        if "embargo" in self._fate(draw):
            await self._embargo(draw)
            return
        line = json.dumps(draw.changed[self._side].line()).encode() + b"\n"
        await self._l.be.call("be-requester", "records/import", calls.ImportChunk(KIND, 1, line))

    async def _embargo(self, draw: Draw) -> None:
        placed = calls.PlaceEmbargo(draw.people[self._side].id, b"a magistrate's fictitious order")
        await self._l.be.call("be-approver", "embargoes/add", placed)

    # --- the way out --------------------------------------------------------------------------------------------

    async def _first_send(self, turn: Round) -> None:
        leak = self._l
        wire, faults, directory = leak.be.wire, leak.world.faults, leak.fr.gateway.directory
        assert isinstance(faults, NamedFaults)
        match turn.mood:
            case "down" | "down-then":
                wire.script = ["lost"] * turn.losses
            case "answer-lost" | "answered-then":
                wire.script = ["answer-lost"]
            case "twice" | "garbage" as script:
                wire.script = [script]
            case "kill" | "away":
                faults.strike(*turn.fault)
            case "refused":
                config = leak.fr.gateway.config
                leak.fr.gateway.config = msgspec.structs.replace(config, mode="exercise")
            case "expired":
                leak.world.clock.advance(days=31)
            case "revoked":
                await self._step("revoke", leak.revoke)
            case "stranger":  # for a while the partner does not know us: the POST as a whole is refused
                leak.fr.gateway.directory = msgspec.structs.replace(directory, partners={})
        await self._step("send", self._sequence if turn.mood == "between" else self._send)
        faults.name = ""
        if turn.mood == "revoked":
            await self._step("agree", leak.agree)
        if turn.mood == "stranger":
            leak.fr.gateway.directory = directory
        if turn.mood == "refused":
            leak.fr.gateway.config = msgspec.structs.replace(leak.fr.gateway.config, mode="test")

    async def _sequence(self) -> None:
        """C4, as often as `Dispatcher.send_batch` looks, and the end of the process before C5."""
        be = self._l.be
        slots = await be.dispatcher._slots.heads(FR)
        while any(slot.row.state == "queued" for slot in slots):
            slots = await be.sealing.sequence(FR, slots)
        await be.boot()

    async def _send(self) -> None:
        """As `Dispatcher._drain` does: what a fault interrupts is taken up again later."""
        be = self._l.be
        for _ in range(200):
            try:
                if not await be.dispatcher.send_batch(FR):
                    return
            except GatewayError as error:
                self._l.say(error)
                return
        self._l.see(self._name, NO_END, "the dispatcher")

    async def _hooks(self, turn: Round) -> None:
        for draw in turn.draws:
            if self._fate(draw).startswith("withdrawn") and draw.number in self._drafts:
                await self._step(f"hook {draw.number}", lambda draw=draw: self._learn(draw))  # type: ignore[misc]

    async def _drain(self, turn: Round) -> None:
        """Until nothing is on its way any more, each time at the very moment at which a lane says it is due; a lane
        that a refusal stopped is skipped by a person."""
        leak = self._l
        leak.world.clock.set(next_slot(leak.world.clock.now(), SLOT_S))
        for look in range(LOOKS):
            lanes = sorted(
                (lane for lane in leak.be.rows(LaneRow) if lane.queued), key=lambda lane: lane.conversation
            )
            if not lanes and look:
                return
            for lane in lanes:
                if lane.held:
                    skip = calls.LaneCall(FR, lane.conversation)
                    await self._step(
                        f"skip {look} {lane.conversation}",
                        lambda skip=skip: leak.be.call("be-approver", "queue/skip", skip),  # type: ignore[misc]
                    )
            due = [lane.due for lane in lanes if lane.due is not None and not lane.held]
            now = leak.world.clock.now()
            leak.world.clock.set(max(now, min(due, default=now)))
            await self._step(f"drain {look}", self._send)
        leak.see(self._name, NO_END, "a lane")

    # --- the way in ---------------------------------------------------------------------------------------------

    async def _inbound(self, turn: Round) -> None:
        """The partner sends to us and asks for receipts: a good message, a repetition, one that is not in order, one
        it never sent, and bytes that are none of ours."""
        leak = self._l
        if not leak.last:
            return
        await self._step(
            "inbound head", lambda: leak.fr.gateway.checkpoint_logs([leak.fr.gateway.ledger.of_partner(BE)])
        )
        good, early = self._forged(turn, "good", 1), self._forged(turn, "early", 2)
        for name, batch in (
            ("good", frame([good])),
            ("again", frame([good])),
            ("early", frame([early])),
            ("both", frame([self._forged(turn, "third", 1), early])),
            ("none", b"not a batch"),
        ):
            await self._step(f"inbound {name}", lambda batch=batch: self._post(batch))  # type: ignore[misc]
        for name in ("good", "early", "never"):
            await self._step(
                f"receipt {name}",
                lambda name=name: self._fetch(_id(turn, name)),  # type: ignore[misc]
            )

    async def _post(self, batch: bytes) -> None:
        wire = self._l.fr.wire
        try:
            await wire.deliver(batch, to=self._l.fr.gateway.directory.partner(BE))
        finally:
            wire.batches.clear()
            self._l.reads[FR] = (0, *self._l.reads.get(FR, (0, 0, 0))[1:])

    async def _fetch(self, message_id: str) -> None:
        leak = self._l
        try:
            receipt = await leak.fr.wire.fetch_receipt(message_id, to=leak.fr.gateway.directory.partner(BE))
        except GatewayError as error:
            leak.see(self._name, "receipt", error.code)
            raise
        length = len(receipt) if receipt is not None and leak.setting.signed_master else receipt
        leak.see(self._name, "receipt", length)

    def _forged(self, turn: Round, name: str, seq: int) -> bytes:
        """A message of the partner's to us, as its own signer would seal it: what it got from us, sent back."""
        leak = self._l
        heads = leak.fr.rows(CheckpointRow)
        batch = next(batch for batch in reversed(leak.be.wire.batches))
        like: Opened = opened(leak.world, batch)[-1]
        payload = json.loads(leak.last)
        payload |= {
            "message_id": _id(turn, name), "conversation": _id(turn, f"{name} lane"), "from": FR, "to": BE,
        }  # fmt: skip
        raw = msgspec.json.encode(payload)
        (public, *_) = (
            key for key in leak.be.home.entry.keys_for("encryption") if key.alg == like.header.suite
        )
        record = next(key for key in leak.fr.home.keys.records if key.use == "message" and key.alg == "ES256")
        now = int(leak.world.clock.now().timestamp())
        header = msgspec.structs.replace(
            like.header,
            typ="ecluse-msg-disclosure+jws", kid=record.kid, x5t_s256=record.x5t, iss=FR, aud=BE, enc_kid=public.kid,
            jti=_id(turn, name), conv=_id(turn, f"{name} lane"), seq=seq, iat=now, exp=now + 86400,
            checkpoint=max(heads, key=lambda row: row.size).note.decode(),
        )  # fmt: skip
        return reseal(leak.world, msgspec.structs.replace(like, header=header), raw)


def _asked(draw: Draw) -> bytes:
    request = draw.why.request
    assert request is not None
    return asked_line(draw.number, asks=[{"kind": KIND, "fields": list(request.asks)}])


def _id(turn: Round, name: str) -> str:
    chance = Random(f"{turn.name}/{name}")  # noqa: S311 - an id of a test
    return f"{chance.getrandbits(32):08x}-0000-4000-9000-{chance.getrandbits(48):012x}"

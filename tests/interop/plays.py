"""A play: one organisation of a client from its first key to the last receipt, under one suite and one profile."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.cli.staging import free_port
from gateway.errors import GatewayError
from tests.interop.clients import Process, StepFailed
from tests.interop.house import House, certify, terms

#: Messages of the large batch, in each direction.
MANY = 50

#: Different records that the gateway sends.
DIFFERENT = 10

#: What the document says (§6, §12) of a message that a partner does not accept; the gateway's lane then stops.
REFUSAL = "mis-sent"

#: Looks, a fifth of a second apart: a new authority counts within seconds, a void leaves at once.
TRIES = 50

Facts = dict[str, Any]
Step = Callable[["Play"], Awaitable[Facts]]


@dataclass
class Play:
    """Who plays, and what crossed so far."""

    house: House
    client: Process
    org: str
    suite: str
    profile: str
    folder: Path
    records: list[str] = field(default_factory=list)
    accepted: list[str] = field(
        default_factory=list
    )  # message ids that the gateway accepted, says its receipt
    recalled: dict[str, str] = field(default_factory=dict)  # message id: what the client said became of it
    delivered: list[str] = field(default_factory=list)  # message ids that the client accepted

    async def ask(self, name: str, /, **params: object) -> Facts:
        """One command for this organisation."""
        return await self.client.do(name, org=self.org, **params)

    async def received(self) -> list[Facts]:
        """What arrived at the client since it was last asked; two heads of one size and two roots fail here."""
        answer = await self.ask("received")
        _hold(answer["alarms"] == 0, "the client has proof of two histories")
        return list(answer["items"])


def _hold(holds: bool, what: str) -> None:
    if not holds:
        raise StepFailed(what)


# --- becoming a partner ----------------------------------------------------------------------------------------------


async def _found(play: Play) -> Facts:
    made = await play.ask(
        "found", name="Interop (synthetic)", gateway=play.house.org, mode="test", folder=str(play.folder)
    )
    certify(play.folder, play.org, made["requests"])
    return {"certificates": len(made["requests"])}


async def _register(play: Play) -> Facts:
    entry = await play.ask("entry", port=free_port())
    await play.house.register(play.org, play.folder, entry["sha256"])
    return {"entry": entry["sha256"]}


async def _agree(play: Play) -> Facts:
    await play.ask("agree", terms=terms(play.house.org, play.org, play.suite, play.profile))
    await play.house.agree(play.org, play.folder)
    play.house.hand_over(play.folder)
    begun = await play.ask("begin")
    _hold((begun["suite"], begun["profile"]) == (play.suite, play.profile), "another suite or profile")
    for _ in range(TRIES):
        with contextlib.suppress(StepFailed):
            return await play.ask("knock")
        await asyncio.sleep(0.2)
    raise StepFailed("the gateway takes no connection of this partner")


# --- from the client to the gateway ----------------------------------------------------------------------------------


def _sends(name: str, **params: object) -> Step:
    async def step(play: Play) -> Facts:
        facts = await play.ask(name, **params)
        play.accepted += facts.pop("ids", [])
        play.recalled |= facts.pop("recalled", {})
        return facts

    return step


async def _inbox(play: Play) -> Facts:
    """The gateway holds exactly what its receipts said it accepted."""
    inbox = await play.house.inbox()
    ours = {name for name, item in inbox.items() if item.sender == play.org}
    _hold(ours == set(play.accepted), f"receipts say {len(set(play.accepted))}, the inbox holds {len(ours)}")
    recalled = {name: item.recall.action for name, item in inbox.items() if name in ours and item.recall}
    _hold(recalled == play.recalled, f"{len(play.recalled)} were recalled, {len(recalled)} are shown so")
    return {"messages": len(ours), "recalled": len(recalled)}


# --- from the gateway to the client ----------------------------------------------------------------------------------


async def _one(play: Play) -> Facts:
    play.records = await play.house.releasable(play.org, DIFFERENT)
    _hold(len(play.records) > 0, "no record may go to this partner")
    return await _delivered(play, play.records[:1])


async def _many(play: Play) -> Facts:
    records = (play.records * MANY)[:MANY]
    return {"messages": MANY, **await _delivered(play, records)}


async def _delivered(play: Play, records: list[str]) -> Facts:
    views = await play.house.disclose(play.org, records)
    traces = await play.house.settled(views)
    _hold(all(trace.state == "delivered" and trace.receipt for trace in traces), "no verified receipt")
    items = await play.received()
    _hold(all(item["outcome"] == "accepted" for item in items), _codes(items))
    named = {(item["id"], item["conv"], item["seq"]) for item in items}
    sent = {(trace.message_id, trace.conversation, trace.seq) for trace in traces}
    attempts = sum(trace.attempts for trace in traces)
    figures = f"{len(sent)} sent in {attempts} attempts, {len(named)} received in {len(items)}"
    # an attempt may fail before it arrives: the client had closed the idle connection that it was to take
    _hold(named == sent and len(items) <= attempts, figures)
    play.delivered += [trace.message_id for trace in traces]
    posts = {item["post"] for item in items}
    return {"bytes": sorted({item["bytes"] for item in items}), "posts": len(posts)}


async def _void(play: Play) -> Facts:
    """A refused message is given up by an officer: the same number arrives again as a void, and counts."""
    await play.ask("script", refuse=[REFUSAL])
    views = await play.house.disclose(play.org, play.records[:1])
    (trace,) = await play.house.settled(views)
    refused = await _arrival(play)
    _hold((trace.state, refused.get("code")) == ("refused", REFUSAL), f"{trace.state}, {refused.get('code')}")
    await play.house.skip(trace)
    void = await _arrival(play)
    _hold(
        void["type"] == "ecluse-msg-void+jws" and void["outcome"] == "accepted",
        f"{void['type']} {void['outcome']}",
    )
    same = (void["conv"], void["seq"]) == (refused["conv"], refused["seq"]) and void["id"] != refused["id"]
    _hold(same, "the void does not fill the number")
    return {"seq": void["seq"]}


async def _recall(play: Play) -> Facts:
    """An officer says that a delivered message is out of date: the recall names it, and is answered by a receipt."""
    message = play.delivered[0]
    await play.house.recall(message)
    recall = await _arrival(play)
    _hold(recall["type"] == "ecluse-msg-recall+jws" and recall["outcome"] == "accepted", f"{recall['type']}")
    _hold((recall["recalls"], recall["action"]) == (message, "expired"), "a recall of something else")
    return {}


async def _arrival(play: Play) -> Facts:
    for _ in range(TRIES):
        items = await play.received()
        if items:
            return items[0]
        await asyncio.sleep(0.2)
    raise StepFailed("nothing arrived within 10 s")


async def _trouble(play: Play) -> Facts:
    """503 with `Retry-After`, then an answer that is lost: the same message again, one effect, one receipt."""
    await play.ask("script", trouble=["unavailable", "lost"])
    views = await play.house.disclose(play.org, play.records[:1])
    (trace,) = await play.house.settled(views)
    items = await play.received()
    _hold(
        trace.state == "delivered" and trace.attempts == 3, f"{trace.state} after {trace.attempts} attempts"
    )
    _hold({item["id"] for item in items} == {trace.message_id}, "other messages")
    return {"attempts": trace.attempts, "seen": len(items)}


async def _forged(play: Play) -> Facts:
    """A receipt whose signature does not hold is no receipt, however often it is given."""
    await play.ask("script", trouble=["forged"])
    views = await play.house.disclose(play.org, play.records[:1])
    (trace,) = await play.house.settled(views)
    _hold(trace.state == "delivered" and trace.attempts > 1, f"{trace.state} after {trace.attempts} attempts")
    return {"attempts": trace.attempts}


STEPS: dict[str, Step] = {
    "keys, requests, certificates": _found,
    "entry, two officers": _register,
    "agreement, signed by both, two officers": _agree,
    "client sends one, fetches its receipt": _sends("single"),
    "client sends it again": _sends("duplicate"),
    f"client sends {MANY} in one POST": _sends("batch", count=MANY),
    "client skips a number, rewinds, fills it by a void": _sends("order"),
    "client recalls two messages, one before it arrives": _sends("recall"),
    "client sends what is wrong": _sends("messages"),
    "client posts what is wrong": _sends("posts"),
    "client shakes hands wrongly": _sends("tls"),
    "gateway holds what its receipts say": _inbox,
    "gateway sends one": _one,
    f"gateway sends {MANY}": _many,
    "gateway withdraws, and sends a void": _void,
    "gateway recalls": _recall,
    "gateway repeats after 503 and a lost answer": _trouble,
    "gateway takes no forged receipt": _forged,
}


async def perform(play: Play) -> list[Facts]:
    """All steps in order, up to the first that fails."""
    results: list[Facts] = []
    for name, step in STEPS.items():
        began = time.monotonic()
        result: Facts = {"step": name, "ok": True}
        try:
            result |= await step(play)
        except (StepFailed, GatewayError) as failure:
            result |= {"ok": False, "error": str(failure)}
        results.append({**result, "seconds": round(time.monotonic() - began, 2)})
        if not result["ok"]:
            break
    return results


def _codes(items: list[Facts]) -> str:
    return ", ".join(sorted({str(item.get("code", item["outcome"])) for item in items}))

"""Two gateways on loopback under load: what is queued, how fast it is delivered, how long one message takes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.cli.client import DeskClient, desk
from gateway.cli.demo import start_gateway, wait_ready
from gateway.cli.staging import BASIS, FR, KIND, Stage
from gateway.errors import Conflict, PartnerUnreachable
from gateway.model.rows import OutboxRow
from gateway.ports import ReadTx
from gateway.service import calls
from gateway.service.app import open_logs, synthetic_extract
from gateway.service.home import Home

#: Conversations that the queued messages are dealt to: several lanes, several messages in each, as on a working day.
CONVERSATIONS = 20

#: Messages that one endorsement of each officer covers while the queue is filled.
ENDORSED_AT_ONCE = 64

#: Lines of one import call, and the seed of the synthetic persons.
IMPORT_LINES, SEED = 500, 1

#: Every so many-th synthetic person is one the policy withholds altogether; more are imported than are needed.
SPARE = 1.5

#: Seconds between two looks at the sender's store: while a queue drains, and while one message is under way.
LOOK_S, LOOK_CLOSELY_S = 0.025, 0.0005

#: Seconds a queue may take for each message, and at the least, before the run has failed.
DRAIN_S, DRAIN_LEAST_S = 0.5, 30.0

TICKS_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Drained:
    """One queue emptied. Times in seconds; processor time of both gateways and both signers together."""

    messages: int
    seconds: float
    cpu_s: float
    cpu_of: dict[str, float]  # seconds, by process


@dataclass(frozen=True)
class Approved:
    """Messages that wait in their lanes, and the size of what each carries."""

    messages: tuple[str, ...]
    payload_bytes: tuple[int, ...]


# --- officers --------------------------------------------------------------------------------------------------------


async def import_persons(stage: Stage, needed: int) -> list[str]:
    """Import enough synthetic persons that ``needed`` of them may be released; their entity ids."""
    count = int(needed * SPARE) + 1
    lines = synthetic_extract(count, SEED).splitlines(keepends=True)
    async with desk(stage.be.path, stage.officers["be-requester"]) as requester:
        for start in range(0, len(lines), IMPORT_LINES):
            chunk = b"".join(lines[start : start + IMPORT_LINES])
            await requester.call("records/import", calls.ImportChunk(KIND, start + 1, chunk), calls.Imported)
    return [f"BDC-{number:06d}" for number in range(1, count + 1)]


async def approve(stage: Stage, persons: Sequence[str], wanted: int, conversations: int) -> Approved:
    """Disclose and approve ``wanted`` messages, each of another person, dealt to fresh conversations in turn."""
    ids = [str(uuid.uuid4()) for _ in range(conversations)]
    drafts: list[calls.DecisionView] = []
    async with (
        desk(stage.be.path, stage.officers["be-requester"]) as requester,
        desk(stage.be.path, stage.officers["be-approver"]) as approver,
    ):
        for person in persons:
            if len(drafts) == wanted:
                break
            draft = await _prepare(requester, person, ids[len(drafts) % conversations])
            drafts += [draft] if draft.release else []
        if len(drafts) < wanted:
            raise Conflict("too few of the synthetic persons may be released")
        for start in range(0, wanted, ENDORSED_AT_ONCE):
            await _endorse(requester, approver, drafts[start : start + ENDORSED_AT_ONCE])
    return Approved(
        tuple(draft.message_id for draft in drafts), tuple(len(draft.payload) for draft in drafts)
    )


async def _prepare(requester: DeskClient, person: str, conversation: str) -> calls.DecisionView:
    params = calls.Disclose(person, (FR,), "ct-prevention", BASIS, "synthetic measurement", conversation)
    views: list[calls.DecisionView] = await requester.call(
        "releases/prepare", params, list[calls.DecisionView]
    )
    return views[0]


async def _endorse(requester: DeskClient, approver: DeskClient, drafts: Sequence[calls.DecisionView]) -> None:
    releases = tuple(draft.release for draft in drafts)
    statements = [draft.statement for draft in drafts]
    requested = calls.Endorsed(releases, requester.endorse("request", statements))
    await requester.call("releases/endorse", requested, dict[str, str])
    endorsed = calls.Endorsed(releases, approver.endorse("approve", statements))
    approved: calls.Approved = await approver.call("releases/approve", endorsed, calls.Approved)
    if approved.voided:
        raise Conflict("an approved release was voided")


# --- throughput ------------------------------------------------------------------------------------------------------


def drain(stage: Stage, children: dict[str, subprocess.Popen[bytes]], queued: int) -> Drained:
    """Start both gateways, the sender last, and wait for the last receipt of all that is ``queued``.

    The time begins when the sender opens its listeners (its dispatcher starts then), and ends when its store holds
    the last receipt, verified. Processor time is that of the same span. The children are the caller's to stop.
    """
    with open_logs(stage.be) as tx:
        wanted = delivered(tx) + queued
    children["fr"] = start_gateway(stage.fr)
    wait_ready(stage.fr, children["fr"])
    listeners = stage.be.path / "listeners.json"
    listeners.unlink(missing_ok=True)
    children["be"] = start_gateway(stage.be)
    began = _appeared(listeners, children["be"])
    processes = {
        f"{side}-{part}": pid
        for side, child in children.items()
        for part, pid in (("gateway", child.pid), ("signer", _child_of(child.pid)))
    }
    before = {name: cpu_seconds(pid) for name, pid in processes.items()}
    limit = time.monotonic() + max(DRAIN_LEAST_S, DRAIN_S * queued)
    while _delivered_at(stage.be) < wanted:
        if time.monotonic() > limit:
            raise PartnerUnreachable("the queued messages were not delivered in time")
        time.sleep(LOOK_S)
    seconds = time.time() - began
    spent = {name: cpu_seconds(pid) - before[name] for name, pid in processes.items()}
    return Drained(queued, seconds, sum(spent.values()), spent)


def _appeared(path: Path, child: subprocess.Popen[bytes]) -> float:
    """When the file was written, as seconds of the epoch."""
    limit = time.monotonic() + DRAIN_LEAST_S
    while time.monotonic() < limit and child.poll() is None:
        with contextlib.suppress(FileNotFoundError):
            return path.stat().st_mtime
        time.sleep(0.001)
    raise PartnerUnreachable("the sender's gateway did not become ready")


def delivered(tx: ReadTx) -> int:
    """Messages whose receipt the sender has verified and stored."""
    return tx.count(OutboxRow, {"state": "delivered"})


def _delivered_at(home: Home) -> int:
    with open_logs(home) as tx:
        return delivered(tx)


# --- latency ---------------------------------------------------------------------------------------------------------


async def one_at_a_time(stage: Stage, persons: Sequence[str], count: int) -> tuple[list[float], Approved]:
    """Milliseconds from the acknowledged approval to the stored receipt, with one message in flight; and the messages.

    Both gateways run. Looking costs about a millisecond, by which a figure may be too high.
    """
    took: list[float] = []
    sent: list[Approved] = []
    for turn in range(count):
        before = _delivered_at(stage.be)
        sent.append(await approve(stage, persons[turn:], 1, 1))
        began = time.perf_counter()
        while _delivered_at(stage.be) == before:
            if time.perf_counter() - began > DRAIN_LEAST_S:
                raise PartnerUnreachable("a message was not delivered in time")
            await asyncio.sleep(LOOK_CLOSELY_S)
        took.append((time.perf_counter() - began) * 1e3)
    return took, Approved(
        tuple(message for one in sent for message in one.messages),
        tuple(size for one in sent for size in one.payload_bytes),
    )


# --- processes -------------------------------------------------------------------------------------------------------


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far, all threads, user and system (proc(5): utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_S


def _child_of(parent: int) -> int:
    """The one child of a gateway: its signer."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if path.read_text().rpartition(")")[2].split()[1] == str(parent):
                return int(path.parent.name)
    raise PartnerUnreachable("a gateway runs without its signer")

"""One story, from a local record to a receipt to a proof, told by two real gateways on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from gateway.cli import staging
from gateway.cli.client import DeskClient, Identity, desk
from gateway.cli.staging import BASIS, BE, FR, FUSION, KIND, Stage
from gateway.errors import ConfigInvalid, Conflict, PartnerUnreachable
from gateway.flow.change import canonical
from gateway.service import calls
from gateway.service.config import load_config
from gateway.service.home import Home

#: Seconds a gateway may take to become ready, and a message to be delivered.
READY_S, DELIVERED_S = 60.0, 30.0

#: Seconds in which a log's first head must be signed: the keeper signs each second.
SEALED_S = 5.0

#: Signals that end the demo.
ENDING = (signal.SIGINT, signal.SIGTERM)

#: Seconds between SIGTERM and SIGKILL.
GRACE_S = 5.0

PERSONS, SEED = 200, 1
RECORD = "BDC-000001"


def demo_command(once: bool, json_out: bool, folder: Path | None = None) -> int:
    """Run the story; with ``once`` in a temporary folder that is removed, else in ``./ecluse-demo`` until Ctrl-C."""
    # A demo that is told to end cleans up like one that has ended: `with` blocks run for SystemExit too.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(128 + signal.SIGTERM))
    if once:
        with tempfile.TemporaryDirectory(prefix="ecluse-demo-") as temporary:
            return _run(folder or Path(temporary) / "demo", stay=False, json_out=json_out)
    return _run(folder or Path("ecluse-demo"), stay=True, json_out=json_out)


def _run(folder: Path, *, stay: bool, json_out: bool) -> int:
    _clear(folder)
    from gateway.service.app import now

    stage = staging.build(folder, now=now())
    with gateways(stage) as children:
        result = asyncio.run(tell(stage))
        if json_out:
            sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")
            sys.stdout.flush()
        else:
            from gateway.cli.story import show

            show(result, stage, stays=stay)
        if stay:
            _stay(children.values())
    passed = result["partner"]["received"] and result["receipt"]["verified"]
    verified = all(log["verified"] for log in result["audit"].values())
    return 0 if passed and verified and result["denied"]["reasons"] else 1


def _clear(folder: Path) -> None:
    """An earlier demo is replaced; anything else is left alone."""
    import shutil

    if not folder.exists():
        return
    if not (folder / staging.MARK).is_file():
        raise ConfigInvalid("the folder exists and is not a demo: remove it or choose another")
    for name in ("be", "fr"):
        if (folder / name).is_dir():
            Home(folder / name).own().release()  # raises while a gateway still runs there
    shutil.rmtree(folder)


# --- processes ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def gateways(stage: Stage) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Both gateways as processes of their own; ended by pid, politely first."""
    children: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for home in (stage.be, stage.fr):
            children[home.path.name] = start_gateway(home)
        for home in (stage.be, stage.fr):
            wait_ready(home, children[home.path.name])
        yield children
    finally:
        for child in children.values():
            stop_gateway(child)


def start_gateway(home: Home) -> subprocess.Popen[bytes]:
    """`ecluse serve` on this home; its log goes to ``<home>/gateway.log``, and it ends when our pipe closes."""
    with (home.path / "gateway.log").open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - our own interpreter, our own arguments
            [sys.executable, "-m", "gateway.cli", "serve", "--home", str(home.path), "--with-parent"],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
        )


def wait_ready(home: Home, child: subprocess.Popen[bytes]) -> None:
    """Wait for `/readyz`; raises when the gateway ended or took too long."""
    port = load_config(home.config).config.operations_listener.port
    url = f"http://127.0.0.1:{port}/readyz"
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise Conflict(
                f"the gateway of {home.path.name} ended with code {child.returncode}: see its gateway.log"
            )
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
            if answer.status == 200:
                return
        time.sleep(0.05)
    raise PartnerUnreachable(f"the gateway of {home.path.name} did not become ready")


def stop_gateway(child: subprocess.Popen[bytes]) -> None:
    """SIGTERM, five seconds, SIGKILL: this process id and no other."""
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    if child.stdin is not None:
        child.stdin.close()


def _stay(children: Iterable[subprocess.Popen[bytes]]) -> None:
    """Until Ctrl-C, SIGTERM, or the end of either gateway."""
    stopped: list[int] = []
    for number in ENDING:
        signal.signal(number, lambda received, _frame: stopped.append(received))
    while not stopped and all(child.poll() is None for child in children):
        time.sleep(0.2)
    name = signal.Signals(stopped[0]).name if stopped else "a gateway ended"
    print(f"\nstopping ({name})", file=sys.stderr)


# --- the story ---------------------------------------------------------------------------------------------------


async def tell(stage: Stage) -> dict[str, Any]:
    """Directory, import, preview, disclosure, approval, delivery, denial, proof. Returns the figures."""
    await furnish(stage)
    imported = await import_persons(stage.be, stage.officers["be-requester"], PERSONS)
    preview = await _preview(stage)
    drafts = await disclose(stage, stage.officers["be-requester"], RECORD, (FR, FUSION))
    released, denied = drafts[FR], drafts[FUSION]
    if released.effect != "PERMIT":
        raise Conflict(
            "the demo's own record was denied: " + ", ".join(reason.rule for reason in released.reasons)
        )
    await approve(stage.be, stage.officers["be-approver"], [released.release])
    received, trace = await _delivered(stage, released)
    payload = msgspec.json.decode(received.payload)
    ours, theirs = verify_homes(stage.be, stage.fr)
    return {
        "imported": msgspec.to_builtins(imported),
        "preview": preview,
        "released": {
            "message_id": released.message_id,
            "release": released.release,
            "fields_released": [field.pointer for field in released.fields if field.outcome == "released"],
            "fields_withheld": [
                {
                    "field": field.pointer,
                    "rule": field.rule,
                    "source_kind": field.source_kind,
                    "article": field.article,
                }
                for field in released.fields
                if field.outcome == "withheld"
            ],
        },
        "partner": {"received": received.payload == released.payload, "payload": payload},
        "receipt": {"verified": trace.state == "delivered" and bool(trace.receipt), "id": trace.receipt},
        "denied": {
            "partner": FUSION,
            "reasons": [msgspec.to_builtins(reason) for reason in denied.reasons],
        },
        "trace": msgspec.to_builtins(trace),
        "audit": {"local": ours, "partner": theirs},
    }


async def furnish(stage: Stage) -> None:
    """Two officers of each side put partners and agreements in force: propose, approve."""
    be = (stage.officers["be-requester"], stage.officers["be-approver"])
    fr = (stage.officers["fr-inbox"], stage.officers["fr-second"])
    for home, (first, second), entries, agreements in (
        (stage.be, be, (stage.entries[FR], stage.fusion), tuple(stage.agreements.items())),
        (stage.fr, fr, (stage.entries[BE],), ((BE, stage.agreements[FR]),)),
    ):
        for entry in entries:
            await two_person(home, first, second, "partner", entry.org, canonical(entry))
        for partner, signed in agreements:
            series = f"{BE}-{partner}" if home is stage.be else f"{BE}-{FR}"
            await two_person(home, first, second, "agreement", series, canonical(signed))


async def two_person(
    home: Home, first: Identity, second: Identity, kind: str, target: str, document: bytes
) -> None:
    """One change, proposed by one officer and approved by another."""
    async with desk(home.path, first) as proposer:
        draft = await proposer.call(
            "changes/draft", calls.DraftChange(kind, target, document), calls.ChangeDraft
        )
        signature = proposer.sign_change("propose", draft.statement)
        params = calls.ProposeChange(draft.statement, draft.document, signature)
        change = await proposer.call("changes/propose", params, calls.ChangeView)
    async with desk(home.path, second) as approver:
        signature = approver.sign_change("approve", change.statement)
        await approver.call("changes/approve", calls.ApproveChange(change.id, signature), calls.ChangeView)


async def import_persons(home: Home, officer: Identity, count: int) -> calls.Imported:
    """Synthetic persons, as an extract that the officer hands over."""
    from gateway.service.app import synthetic_extract

    raw = synthetic_extract(count, SEED)
    async with desk(home.path, officer) as requester:
        imported: calls.Imported = await requester.call(
            "records/import", calls.ImportChunk(KIND, 1, raw), calls.Imported
        )
    return imported


async def _preview(stage: Stage) -> list[dict[str, Any]]:
    async with desk(stage.be.path, stage.officers["be-requester"]) as requester:
        params = calls.Disclose(RECORD, (FR, FUSION), "ct-prevention", BASIS)
        views = await requester.call("releases/preview", params, list[calls.DecisionView])
    return [{"partner": view.partner, "effect": view.effect} for view in views]


async def disclose(
    stage: Stage, officer: Identity, record: str, partners: tuple[str, ...], conversation: str = ""
) -> dict[str, calls.DecisionView]:
    """Prepare toward each partner, and endorse what was permitted."""
    async with desk(stage.be.path, officer) as requester:
        params = calls.Disclose(
            record, partners, "ct-prevention", BASIS, "synthetic demonstration", conversation
        )
        views = await requester.call("releases/prepare", params, list[calls.DecisionView])
        permitted = [view for view in views if view.release]
        if permitted:
            endorsement = requester.endorse("request", [view.statement for view in permitted])
            releases = tuple(view.release for view in permitted)
            await requester.call("releases/endorse", calls.Endorsed(releases, endorsement), dict[str, str])
    return {view.partner: view for view in views}


async def approve(home: Home, officer: Identity, releases: list[str]) -> calls.Approved:
    """The second pair of eyes: look at the exact bytes, then sign the statements over them."""
    async with desk(home.path, officer) as approver:
        shown = [await _shown(approver, release) for release in releases]
        endorsement = approver.endorse("approve", [view.statement for view in shown])
        params = calls.Endorsed(tuple(releases), endorsement)
        approved: calls.Approved = await approver.call("releases/approve", params, calls.Approved)
    return approved


async def _shown(approver: DeskClient, release: str) -> calls.ReleaseView:
    from gateway.flow.change import digest
    from gateway.model.decision import Statement

    view: calls.ReleaseView = await approver.call("releases/show", calls.Named(release), calls.ReleaseView)
    statement = msgspec.json.decode(view.statement, type=Statement)
    if (statement.payload_sha256, statement.decision_sha256) != (digest(view.payload), digest(view.document)):
        raise Conflict("the statement does not bind the bytes shown")
    return view


async def _delivered(stage: Stage, released: calls.DecisionView) -> tuple[calls.InboxView, calls.Trace]:
    """What the partner holds, and our trace of it, once the receipt is in."""
    deadline = time.monotonic() + DELIVERED_S
    async with desk(stage.be.path, stage.officers["be-requester"]) as requester:
        while True:
            trace = await requester.call("messages/trace", calls.Named(released.release), calls.Trace)
            if trace.state in ("delivered", "refused", "voided", "withdrawn") or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.1)
    if trace.state != "delivered":
        raise PartnerUnreachable(f"the message was not delivered: it is {trace.state}")
    async with desk(stage.fr.path, stage.officers["fr-inbox"]) as inbox:
        view = await inbox.call("inbox/show", calls.Named(released.message_id), calls.InboxView)
    return view, trace


def verify_homes(*homes: Home) -> list[dict[str, Any]]:
    """`ecluse audit verify`, side by side as processes of their own: offline, over each home's store.

    A log whose first entry is younger than a second may not have a signed head yet: it is looked at again.
    """
    deadline = time.monotonic() + SEALED_S
    while True:
        answers = _verify_once(homes)
        young = any(log["status"] == "unsealed" for answer in answers for log in answer["logs"])
        if not young or time.monotonic() > deadline:
            return answers
        time.sleep(0.5)


def _verify_once(homes: Sequence[Home]) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "gateway.cli", "audit", "verify", "--json", "--home"]
    running = [
        subprocess.Popen([*command, str(home.path)], stdout=subprocess.PIPE)  # noqa: S603 - our own command
        for home in homes
    ]
    answers = []
    for child in running:
        output, _ = child.communicate()
        logs = msgspec.json.decode(output, type=dict[str, Any])["logs"]
        size = sum(log["size"] for log in logs)
        answers.append({"verified": child.returncode == 0 and size > 0, "size": size, "logs": logs})
    return answers


__all__ = ["demo_command"]

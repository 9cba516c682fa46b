"""A request of the French side, and what the Belgian side answers: the steps, for tests."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from gateway.service import calls
from gateway.service.calls.requests import AnswerRequest, CloseRequest, RequestItem
from tests.service.world import ASKED, BASIS, BE, CLEAN, FR, KIND, PURPOSE, Side, World

LABEL = {"policy": "BEL", "level": "UNCLASSIFIED", "releasable_to": ["BEL", "FRA"]}
ASKS = [{"kind": KIND, "fields": ["/names/*", "/description"]}]


def asked_line(number: int = 1, *, label: Any = LABEL, **content: Any) -> bytes:
    """A request as an officer writes it down."""
    members = {
        "urgency": {"class": "normal"},
        "asks": ASKS,
        "detail": "Where was this invented person last seen?",
        "purpose": {"facts": "Nothing that happened.", "offence": "invented offence"},
        "grounds": "An invented hint.",
        "language": "fr",
        **content,
    }
    line = {
        "id": f"REQ-{number:06d}",
        "extracted_at": "2026-11-21T20:00:00Z",
        "label": label,
        "content": members,
    }
    return (
        json.dumps({k: v for k, v in (line | {"originator": FR}).items() if v is not None}).encode() + b"\n"
    )


async def put_in(side: Side, line: bytes) -> calls.Imported:
    officer = "fr-inbox" if side.org == FR else "be-requester"
    imported: calls.Imported = await side.call(officer, "records/import", calls.ImportChunk(ASKED, 1, line))
    return imported


async def prepare_request(world: World, line: bytes, *, purpose: str = PURPOSE) -> calls.DecisionView:
    """C1 of a request from the French side."""
    assert (await put_in(world.fr, line)).bad == ()
    record = json.loads(line)["id"]
    params = calls.Disclose(record, (BE,), purpose, BASIS, "synthetic case")
    (view,) = await world.fr.call("fr-inbox", "releases/prepare", params)
    return view  # type: ignore[no-any-return]


async def ask(world: World, line: bytes = b"") -> str:
    """A request approved, sent, receipted; its id."""
    view = await prepare_request(world, line or asked_line())
    assert view.effect == "PERMIT", [reason.rule for reason in view.reasons]
    await sign(world.fr, view)
    await world.fr.send()
    assert world.fr.release(view).state == "delivered"
    return view.message_id


async def sign(side: Side, view: calls.DecisionView) -> calls.Approved:
    """C2 and C3."""
    first, second = ("fr-inbox", "fr-second") if side.org == FR else ("be-requester", "be-approver")
    token = side.endorse(first, "request", [view.statement])
    await side.call(first, "releases/endorse", calls.Endorsed((view.release,), token))
    return await side.approve(view, officer=second)


async def answer(
    world: World, request: str, record: str = CLEAN[0], officer: str = "be-requester"
) -> calls.DecisionView:
    """C1 of an answer."""
    params = AnswerRequest(request, record, "synthetic case")
    view: calls.DecisionView = await world.be.call(officer, "requests/answer", params)
    return view


async def close(
    world: World,
    request: str,
    type: Any = "no-information",
    ground: Any = "nothing",
    officer: str = "be-only-inbox",
) -> calls.DecisionView:
    """C1 of a coded answer."""
    params = CloseRequest(request, type, ground, "synthetic case")
    view: calls.DecisionView = await world.be.call(officer, "requests/close", params)
    return view


async def endorse(world: World, view: calls.DecisionView, officer: str = "be-only-inbox") -> None:
    token = world.be.endorse(officer, "request", [view.statement])
    await world.be.call(officer, "requests/endorse", calls.Endorsed((view.release,), token))


async def silence(world: World, request: str, ground: Any = "nothing") -> calls.DecisionView:
    view = await close(world, request, ground=ground)
    assert view.effect == "PERMIT", [reason.rule for reason in view.reasons]
    await endorse(world, view)
    return view


async def listed(world: World, **page: Any) -> list[RequestItem]:
    items: list[RequestItem] = await world.be.call("be-only-inbox", "requests/list", calls.Page(**page))
    return items


def rules(view: calls.DecisionView) -> list[str]:
    assert view.effect == "DENY"
    assert not view.release
    return [reason.rule for reason in view.reasons]


def slot_after(now: datetime, seconds: int = 3600) -> datetime:
    return datetime.fromtimestamp((int(now.timestamp()) // seconds + 1) * seconds, now.tzinfo)


async def to_slot(world: World, seconds: int = 3600) -> None:
    world.clock.set(slot_after(world.clock.now(), seconds))
    await world.be.send()

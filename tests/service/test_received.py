"""Messages received, by name and by page, when two partners use one message id."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.errors import Conflict, NotFound, RequestInvalid
from gateway.model.rows import InboxRow
from gateway.service import calls
from tests.service.world import BE, CLEAN, World

OTHER = "bel.ocam-annex"  # sorts right behind the sender whose name it begins with


async def twice(world: World) -> InboxRow:
    """One message that two partners sent under the same id; the row of ours."""
    view = (await world.be.disclose(CLEAN[0]))[0]
    await world.be.send()
    (row,) = world.fr.rows(InboxRow, message_id=view.message_id)
    await world.fr.store.write(lambda tx: tx.insert(msgspec.structs.replace(row, sender=OTHER)))
    return row


@pytest.mark.parametrize("operation", ["inbox/show", "messages/trace"])
async def test_an_ambiguous_id_wants_its_sender(world: World, operation: str) -> None:
    """The bare id is a conflict that names the rule; with the sender before it, it is that sender's message."""
    row = await twice(world)
    with pytest.raises(Conflict, match="ORG/ID"):
        await world.fr.call("fr-inbox", operation, calls.Named(row.message_id))
    shown: Any = await world.fr.call("fr-inbox", operation, calls.Named(f"{BE}/{row.message_id}"))
    assert (shown.item.sender if operation == "inbox/show" else shown.partner) == BE
    for name in (f"deu.nobody/{row.message_id}", f"{BE}/", "/"):
        with pytest.raises(NotFound):
            await world.fr.call("fr-inbox", operation, calls.Named(name))


async def test_a_partner_cannot_hide_our_message_behind_its_own(world: World) -> None:
    """A bare id that is one of our own releases' traces that, whoever else used it."""
    view = (await world.be.disclose(CLEAN[0]))[0]
    await world.be.send()
    (row,) = world.fr.rows(InboxRow, message_id=view.message_id)
    await world.be.store.write(lambda tx: tx.insert(msgspec.structs.replace(row, sender="fra.police-demo")))
    trace = await world.be.call("be-requester", "messages/trace", calls.Named(view.message_id))
    assert trace.id == view.release
    theirs = calls.Named(f"fra.police-demo/{view.message_id}")
    assert (await world.be.call("be-requester", "messages/trace", theirs)).id == view.message_id


@pytest.mark.parametrize("limit", [1, 2, 3, 500])
async def test_pages_of_messages_visit_each_once(world: World, limit: int) -> None:
    """Same ids of several senders, one sender's name the beginning of another's: each message on one page."""
    row = await twice(world)
    copies = [
        msgspec.structs.replace(row, sender=sender, message_id=f"{number}")
        for sender in (BE, OTHER, "zaf.somebody")
        for number in range(3)
    ]
    await world.fr.store.write(lambda tx: tx.insert(*copies))
    seen: list[tuple[str, str]] = []
    after = ""
    while page := await world.fr.call("fr-inbox", "inbox/list", calls.Page(after, limit)):
        assert len(page) <= limit
        seen += [(item.sender, item.message_id) for item in page]
        after = "/".join(seen[-1])
    assert seen == sorted((one.sender, one.message_id) for one in world.fr.rows(InboxRow))


async def test_a_cursor_names_the_sender(world: World) -> None:
    """A bare id would skip or repeat messages: refused."""
    with pytest.raises(RequestInvalid):
        await world.fr.call("fr-inbox", "inbox/list", calls.Page("5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a11"))

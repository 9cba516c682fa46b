"""Messages received, as officers list and read them."""

from __future__ import annotations

from gateway.errors import NotFound, RoleMissing
from gateway.model.officer import Officer
from gateway.model.rows import InboxRow, KeyRow
from gateway.ports import ReadTx
from gateway.service import calls
from gateway.service.contents import InboundBody
from gateway.service.context import Gateway
from gateway.service.mandates import require_scope
from gateway.service.operation import DESK, Operation, limit_of, note_read, require_need_to_know
from gateway.service.received import inbox_item, received, received_page, require_shown
from gateway.service.vault import keys_of
from gateway.wire.ct_json import CtJson


class Inbox:
    """Lists without content, and one message as its bytes say."""

    def __init__(self, gateway: Gateway) -> None:
        self._g = gateway

    def operations(self) -> dict[str, Operation]:
        """Whoever works at the desk, within clearance and need to know."""
        return {
            "inbox/list": Operation(calls.Page, DESK, self.page),
            "inbox/show": Operation(calls.Named, DESK, self.show),
        }

    async def page(self, officer: Officer, params: calls.Page) -> list[calls.InboxItem]:
        """By sender and id; ``after`` is ``ORG/ID``."""
        limit = limit_of(params.limit)
        return await self._g.store.read(
            lambda tx: [inbox_item(tx, row) for row in received_page(tx, InboxRow, params.after, limit)]
        )

    async def show(self, officer: Officer, params: calls.Named) -> calls.InboxView:
        """By ``ID``, or ``ORG/ID`` when two partners sent a message of that id."""

        def find(tx: ReadTx) -> tuple[InboxRow, calls.InboxItem, list[KeyRow]]:
            row = received(tx, params.id)
            if row is None:
                raise NotFound("there is no message of this id")
            return row, inbox_item(tx, row), keys_of(tx, [row.key])

        found, item, keys = await self._g.store.read(find)
        require_shown(item)
        await self._g.vault.unlock(keys)
        body = await self._g.store.read(lambda tx: self._g.vault.open(tx, found.body, InboundBody))
        message = CtJson().parse(body.payload)
        now, levels = self._g.clock.now(), self._g.levels
        if message.label is not None and not officer.may_see(message.label, now, levels):
            raise RoleMissing("your clearance does not reach this message")
        require_need_to_know(officer, *(part.kind for part in message.records))
        require_scope(officer, found.sender, (part.kind for part in message.records))
        await note_read(self._g, officer, found.message_id, "inbox", why=params.why)
        return calls.InboxView(item, body.payload, found.receipt)

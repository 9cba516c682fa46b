"""What is gone without an order is a finding; what is gone on one is told apart from it, by both verifiers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from gateway.audit.checkpoint import VerifierKey, log_key_name
from gateway.audit.export import write_export
from gateway.model.case_rows import ErasureRow
from gateway.model.rows import BodyRow, EntryBodyRow, InboxRow, KeyRow, OutboxRow, ReceiptRow, Row
from gateway.ports import ReadTx, Tx
from gateway.reviewer import verify
from gateway.service.log_source import StoredLog, stored_logs
from gateway.service.openings import ERASURES, Openings, erasures_of, inspect_openings
from gateway.wire.strict import b64url_decode
from tests.service.test_erasure import REFERENCE, WHO, erased
from tests.service.world import BE, CLEAN, FR, Side, World


async def inspected(side: Side) -> Openings:
    return await side.store.read(lambda tx: inspect_openings(tx, side.org, stored_logs(tx, side.org, ())))


async def test_nothing_is_missing_where_nothing_is_erased(world: World) -> None:
    """After sending, receiving, a withdrawn number and reading: every entry has its content."""
    await world.be.disclose(*CLEAN[:2])
    await world.be.send()
    for side in (world.be, world.fr):
        found = await inspected(side)
        assert found.wrong == {}
        assert set(found.erased.values()) == {0}


async def test_what_was_erased_is_told(world: World) -> None:
    """By the entry that says so; on whose authority, and how many details and messages lost their content."""
    be = world.be
    await be.disclose(WHO, CLEAN[1])
    await be.send()
    view = await erased(be, WHO)
    found = await inspected(be)
    assert found.wrong == {}
    (shown,) = found.erasures
    assert (shown.entry, shown.reference) == (view.entry, REFERENCE)
    assert found.erased[be.gateway.ledger.master] == shown.entries > 0
    assert found.erased[be.gateway.ledger.of_partner(FR)] == 1


Unit = Callable[[Tx], object]


def _without_key(body: str) -> Unit:
    def unit(tx: Tx) -> None:
        row = tx.get(BodyRow, body)
        assert row is not None
        tx.delete(KeyRow, {"id": row.key})

    return unit


def _without(row: type[Row], where: dict[str, object]) -> Unit:
    def unit(tx: Tx) -> None:
        assert tx.delete(row, where)

    return unit


def _relisted(tx: Tx) -> None:
    for row in tx.select(ErasureRow):
        detail = row.detail.replace(b'"entries":[', b'"entries":[0,')
        tx.put(msgspec.structs.replace(row, detail=detail))


def _last_detail(side: Side) -> str:
    return max(side.rows(EntryBodyRow), key=lambda row: row.position).body


def _last_sent(side: Side) -> OutboxRow:
    return max(side.rows(OutboxRow), key=lambda row: row.entry)


FALSE: dict[str, Callable[[Side], Unit]] = {
    "key-of-a-detail": lambda side: _without_key(_last_detail(side)),
    "detail": lambda side: _without(BodyRow, {"id": _last_detail(side)}),
    "where-a-detail-lies": lambda side: _without(EntryBodyRow, {"body": _last_detail(side)}),
    "key-of-a-message": lambda side: _without_key(_last_sent(side).body),
    "message": lambda side: _without(BodyRow, {"id": _last_sent(side).body}),
    "receipt": lambda side: _without(ReceiptRow, {"id": _last_sent(side).receipt}),
    "list-of-an-erasure": lambda _: _without(ErasureRow, {"state": "done"}),
    "place-added-to-a-list": lambda _: _relisted,
}


@pytest.mark.parametrize("name", FALSE)
async def test_false_erasure_is_found(world: World, name: str) -> None:
    """Something is destroyed beside a lawful erasure: found, whatever is taken away with it."""
    be = world.be
    await be.disclose(WHO)
    await be.send()
    await erased(be, WHO)
    await be.disclose(CLEAN[1])
    await be.send()
    assert (await inspected(be)).wrong == {}
    await be.store.write(FALSE[name](be))
    assert (await inspected(be)).wrong != {}


async def test_a_received_message_that_is_gone(world: World) -> None:
    """The same on the other side, row and all."""
    await world.be.disclose(WHO)
    await world.be.send()
    await world.fr.store.write(lambda tx: tx.delete(InboxRow, {"sender": BE}))
    found = await inspected(world.fr)
    assert [gone.reason for gone in found.wrong.values()] == ["opening-missing"]


async def test_the_reviewer_reads_the_lists(world: World, tmp_path: Path) -> None:
    """An exported master log shows what was erased; with the list left out or changed nothing is proven."""
    be = world.be
    await be.disclose(WHO)
    await be.send()
    await erased(be, WHO)
    await be.gateway.checkpoint_logs([be.gateway.ledger.master])

    def files(tx: ReadTx) -> dict[str, bytes]:
        log = StoredLog(tx, be.gateway.ledger.master)
        return {**dict(write_export(log)), ERASURES: erasures_of(tx, log)}

    exported = await be.store.read(files)
    for name, raw in exported.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(raw)
    records = [one for one in be.home.keys.records if one.use == "log"]
    names = [VerifierKey(log_key_name(be.org), b64url_decode(one.public)) for one in records]
    keys = [verify.Key(name.encode()) for name in names]

    def checked() -> verify.Check:
        return verify.Check(keys, [], []).run(verify.Log(tmp_path))

    said = checked()
    assert said.fault == ""
    (what,) = said.erased.values()
    assert what["reference"] == REFERENCE
    assert REFERENCE in str(said)
    (tmp_path / ERASURES).write_bytes(exported[ERASURES].replace(REFERENCE.encode(), b"COC/2026-999"))
    assert "erasure" in checked().fault
    for raw in (b"[]", b"{", b"[1]", exported[ERASURES].replace(b'"salt":"', b'"salt":"zz')):
        (tmp_path / ERASURES).write_bytes(raw)
        assert checked().fault
    (tmp_path / ERASURES).unlink()
    assert checked().fault

"""Tables and row types say the same thing, and SQLite holds the tables to it."""

from __future__ import annotations

import sqlite3
import types
import typing
from datetime import datetime

import pytest
from msgspec.structs import fields
from sqlalchemy import BigInteger, LargeBinary, Table, Text

from adapters.stores.columns import EpochSeconds, Flag, Texts
from adapters.stores.database import connect, prepare_schema
from adapters.stores.schema import TABLES
from adapters.stores.sql import SqliteStore
from adapters.stores.statements import creation, statements
from gateway.model import case_rows, epoch, find_rows, rows

ROW_TYPES: list[type[rows.Row]] = rows.Row.__subclasses__()

COLUMN_TYPES: dict[object, type] = {
    str: Text,
    int: BigInteger,
    bytes: LargeBinary,
    bool: Flag,
    datetime: EpochSeconds,
    tuple[str, ...]: Texts,
}

PRIMARY_KEYS: dict[type[rows.Row], str] = {
    rows.KeyRow: "id",
    rows.BodyRow: "id",
    rows.SubjectRow: "subject key",
    rows.RecordRow: "handle version",
    rows.EmbargoRow: "id",
    case_rows.GroundRow: "id",
    case_rows.GroundUseRow: "ground release",
    case_rows.ConsentRow: "sender message_id",
    case_rows.CorrectionRow: "direction partner message_id",
    case_rows.OfferRow: "direction partner sha256",
    case_rows.RevocationRow: "partner sha256",
    rows.DirectoryRow: "kind id version",
    rows.ChangeRow: "id",
    rows.ReleaseRow: "id",
    rows.EndorsementRow: "release act",
    rows.ReservationRow: "partner about release",
    rows.TallyRow: "holders",
    rows.SubjectLinkRow: "subject",
    case_rows.SubjectActRow: "id",
    case_rows.OralRow: "id",
    case_rows.StrikeRow: "oral",
    case_rows.HoldRow: "id",
    case_rows.FindingRow: "id number",
    case_rows.ErasureRow: "id",
    case_rows.ErasedRow: "body",
    rows.LaneRow: "partner conversation",
    rows.OutboxRow: "partner conversation position",
    rows.EmergencyRow: "release",
    rows.InformRow: "release originator",
    rows.RecallRow: "direction partner message_id",
    rows.RemovalRow: "handle fingerprint",
    rows.LookRow: "handle",
    rows.NoticeRow: "id",
    rows.InboxRow: "sender message_id",
    rows.RequestRow: "sender message_id",
    rows.ReceiptRow: "id",
    rows.QuarantineRow: "id",
    rows.LogRow: "origin",
    rows.EntryRow: "origin position",
    rows.EntryBodyRow: "origin position",
    rows.TileRow: "origin level position",
    rows.CheckpointRow: "origin size",
    rows.HeldRow: "origin size",
    rows.CosignatureRow: "origin size witness key_id",
    rows.StampRow: "number",
    rows.StampedHeadRow: "origin size",
    rows.NonceRow: "nonce",
    rows.IdempotencyRow: "key officer",
    rows.MetaRow: "name",
    epoch.EpochRow: "number",
    epoch.RecoveredRow: "partner id",
    epoch.ReconciledRow: "partner epoch",
    find_rows.SightingRow: "id",
    find_rows.TermRow: "term sighting",
}


def plain(annotation: object) -> tuple[object, bool]:
    """The bare type of a field, and whether None is one of its values."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        members = [member for member in typing.get_args(annotation) if member is not type(None)]
        return plain(members[0])[0], True
    if typing.get_origin(annotation) is typing.Annotated:
        return plain(typing.get_args(annotation)[0])
    return annotation, False


def test_every_row_type_has_its_table() -> None:
    """One table for each row type, none besides, and each key is the one agreed."""
    assert set(TABLES) == set(ROW_TYPES) == set(PRIMARY_KEYS)
    assert len({table.name for table in TABLES.values()}) == len(TABLES)
    for row, key in PRIMARY_KEYS.items():
        assert [column.name for column in TABLES[row].primary_key] == key.split()


@pytest.mark.parametrize("row", ROW_TYPES)
def test_columns_are_the_fields(row: type[rows.Row]) -> None:
    """The same names in the same order, the type that carries the field's, NULL only where None is meant."""
    table = TABLES[row]
    hints = typing.get_type_hints(row, include_extras=True)
    assert [column.name for column in table.columns] == [field.name for field in fields(row)]
    for column in table.columns:
        kind, optional = plain(hints[column.name])
        assert type(column.type) is COLUMN_TYPES[kind], column
        assert column.nullable is optional, column


def test_sqlite_has_what_the_tables_say() -> None:
    """Every table is STRICT; those without a blob and with a text key are WITHOUT ROWID."""
    connection = sqlite3.connect(":memory:")
    for statement in creation():
        connection.execute(statement)
    listed = {
        name: (bool(without_rowid), bool(strict))
        for _, name, kind, _, without_rowid, strict in connection.execute("PRAGMA table_list")
        if kind == "table" and not name.startswith("sqlite_")
    }
    connection.close()

    def carries_blob(table: Table) -> bool:
        return any(isinstance(column.type, LargeBinary) for column in table.columns)

    small_blobs = {"data_keys", "sighting_terms"}  # a wrapped key has 40 bytes, a term 16
    assert listed == {
        table.name: (table.name in small_blobs or not carries_blob(table), True) for table in TABLES.values()
    }


PLANS: list[tuple[str, type[rows.Row], dict[str, object], tuple[str, object] | None, str]] = [
    ("records_by_subject", rows.RecordRow, {"subject": "s"}, None, ""),
    ("records_by_latest", rows.RecordRow, {"latest": True, "kind": "k"}, None, ""),
    ("releases_by_state", rows.ReleaseRow, {"state": "s"}, None, ""),
    ("releases_by_message", rows.ReleaseRow, {"message_id": "m"}, None, ""),
    ("releases_by_partner", rows.ReleaseRow, {"partner": "p", "state": ("a", "b")}, None, ""),
    ("outbox_by_message", rows.OutboxRow, {"message_id": "m"}, None, ""),
    ("outbox_by_state", rows.OutboxRow, {"state": "s"}, None, ""),
    ("lanes_waiting_by_priority", rows.LaneRow, {"held": False}, ("queued", 1), "priority"),
    ("lanes_waiting_by_due", rows.LaneRow, {"held": False}, ("queued", 1), "due"),
    ("subjects_by_key", rows.SubjectRow, {"key": "k"}, None, ""),
    ("sightings_by_key", find_rows.SightingRow, {"key": "k"}, None, ""),
    ("sightings_by_subject", find_rows.SightingRow, {"subject": ("s", "t")}, None, ""),
    ("bodies_by_key", rows.BodyRow, {"key": "k"}, None, ""),
    ("inbox_by_conversation", rows.InboxRow, {"sender": "p", "conversation": "c", "seq": 1}, None, ""),
    ("inbox_by_day", rows.InboxRow, {}, ("keep_until", "0"), ""),
    ("inbox_by_state", rows.InboxRow, {"state": "s"}, None, ""),
    ("directory_by_current", rows.DirectoryRow, {"kind": "partner", "current": True}, None, ""),
    ("reservations_by_time", rows.ReservationRow, {"partner": "p"}, ("at", None), "at"),
    ("nonces_by_until", rows.NonceRow, {}, ("until", None), "until"),
    ("receipts_by_partner", rows.ReceiptRow, {"partner": "p"}, None, ""),
    ("receipts_unsigned", rows.ReceiptRow, {"signed": False}, None, ""),
]


@pytest.mark.parametrize(
    ("index", "row", "where", "at_least", "order"), PLANS, ids=[plan[0] for plan in PLANS]
)
def test_a_question_is_answered_from_its_index(
    index: str,
    row: type[rows.Row],
    where: dict[str, object],
    at_least: tuple[str, object] | None,
    order: str,
) -> None:
    """What the gateway asks often does not scan a table, and the order of lanes needs no sorting."""
    connection = connect(None)
    prepare_schema(connection)
    query = statements(row).select(where, at_least, None, order, bool(order), 10 if order else None)
    plan = [detail for *_, detail in connection.execute("EXPLAIN QUERY PLAN " + query.sql, query.values)]
    connection.close()
    assert f"INDEX {index}" in plan[0]
    assert len(plan) == 1 or not order


async def test_every_row_type_goes_in_and_comes_back() -> None:
    """One row of each type, each field a value of its type, is equal after the store."""
    samples: dict[object, object] = {
        str: "t",
        int: 7,
        bytes: b"\x00",
        bool: True,
        datetime: datetime.fromisoformat("2026-11-21T21:00:00Z"),
        tuple[str, ...]: ("a", "b"),
    }
    store = SqliteStore.memory()
    for row in ROW_TYPES:
        hints = typing.get_type_hints(row, include_extras=True)
        sample = row(**{field.name: samples[plain(hints[field.name])[0]] for field in fields(row)})
        await store.write(lambda tx, sample=sample: tx.insert(sample))  # type: ignore[misc]
        key = [getattr(sample, name) for name in PRIMARY_KEYS[row].split()]
        assert await store.read(lambda tx, row=row, key=key: tx.get(row, *key)) == sample  # type: ignore[misc]
        assert sample in await store.read(lambda tx, row=row: tx.select(row))  # type: ignore[misc]
    store.close()

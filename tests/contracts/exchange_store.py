"""What every `ExchangeStore` promises. A store is checked by subclassing this with a ``store`` fixture."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from gateway.errors import Conflict, LocalFault, StoreUnavailable
from gateway.model.rows import (
    BodyRow,
    ChangeRow,
    EmbargoRow,
    EntryRow,
    IdempotencyRow,
    LaneRow,
    LogRow,
    MetaRow,
    NonceRow,
    RecordRow,
    SubjectRow,
)
from gateway.ports import ExchangeStore, ReadTx, Tx

NOW = datetime(2026, 11, 21, 21, 0, tzinfo=UTC)


def meta(name: str, value: str = "") -> Callable[[Tx], None]:
    """A unit that inserts one row."""
    return lambda tx: tx.insert(MetaRow(name, value))


def names(tx: ReadTx) -> list[str]:
    """The rows that the tests of this suite put there, not the store's own."""
    return [row.name for row in tx.select(MetaRow) if row.name.startswith("t-")]


def lane(conversation: str, **members: object) -> LaneRow:
    return LaneRow("fra.police-demo", conversation, **members)  # type: ignore[arg-type]


class ExchangeStoreContract:
    """Each test gets a fresh, empty ``store``."""

    # --- units of work -----------------------------------------------------------------------------------------------

    async def test_write_returns_the_unit_s_value(self, store: ExchangeStore) -> None:
        """`write` gives back what the unit returned, and a later read sees its rows."""

        def unit(tx: Tx) -> str:
            tx.insert(MetaRow("t-1", "one"))
            return "done"

        assert await store.write(unit) == "done"
        assert await store.read(lambda tx: tx.get(MetaRow, "t-1")) == MetaRow("t-1", "one")

    async def test_a_unit_sees_its_own_writes(self, store: ExchangeStore) -> None:
        """Within a unit a read after a write, a replacement or a delete shows its effect."""

        def unit(tx: Tx) -> list[str]:
            seen = []
            tx.insert(MetaRow("t-1", "a"))
            seen.append(tx.select(MetaRow, {"name": "t-1"})[0].value)
            tx.put(MetaRow("t-1", "b"))
            seen.append(tx.select(MetaRow, {"name": "t-1"})[0].value)
            tx.delete(MetaRow, {"name": "t-1"})
            seen.append(str(tx.get(MetaRow, "t-1")))
            return seen

        assert await store.write(unit) == ["a", "b", "None"]

    async def test_a_unit_that_raises_leaves_no_trace(self, store: ExchangeStore) -> None:
        """The exception reaches the caller as it is, and nothing the unit wrote, replaced or deleted stays."""
        await store.write(meta("t-kept", "before"))

        def unit(tx: Tx) -> None:
            tx.insert(MetaRow("t-gone", ""))
            tx.put(MetaRow("t-kept", "after"))
            tx.delete(MetaRow, {"name": "t-kept"})
            raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            await store.write(unit)
        assert await store.read(names) == ["t-kept"]
        assert await store.read(lambda tx: tx.get(MetaRow, "t-kept")) == MetaRow("t-kept", "before")

    async def test_units_that_wait_together_fail_alone(self, store: ExchangeStore) -> None:
        """Of ten units in one group the three that raise fail, the others are all there."""

        def unit(number: int) -> Callable[[Tx], int]:
            def work(tx: Tx) -> int:
                tx.insert(MetaRow(f"t-{number}", ""))
                if number % 4 == 1:
                    raise ValueError(number)
                return number

            return work

        outcomes = await asyncio.gather(*(store.write(unit(n)) for n in range(10)), return_exceptions=True)
        assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, ValueError)] == [1, 5, 9]
        assert [outcome for outcome in outcomes if isinstance(outcome, int)] == [0, 2, 3, 4, 6, 7, 8]
        assert await store.read(names) == [f"t-{n}" for n in (0, 2, 3, 4, 6, 7, 8)]

    async def test_a_conflict_fails_alone(self, store: ExchangeStore) -> None:
        """Of two units that insert the same key the second gets `Conflict`; the first and its neighbours stand."""
        first, second, other = await asyncio.gather(
            store.write(meta("t-1", "first")),
            store.write(meta("t-1", "second")),
            store.write(meta("t-2")),
            return_exceptions=True,
        )
        assert first is None
        assert other is None
        assert isinstance(second, Conflict)
        assert await store.read(lambda tx: tx.select(MetaRow, {"name": ("t-1", "t-2")})) == [
            MetaRow("t-1", "first"),
            MetaRow("t-2", ""),
        ]

    async def test_errors_hold_no_values(self, store: ExchangeStore) -> None:
        """Neither a conflict nor a value of the wrong type quotes what was written, in text, diagnostic or cause."""
        await store.write(meta("t-zzemo"))
        for unit in (meta("t-zzemo"), lambda tx: tx.insert(MetaRow("t-2", b"zzemo"))):  # type: ignore[arg-type]
            with pytest.raises(LocalFault) as caught:
                await store.write(unit)
            told = (caught.value, caught.value.diagnostic, caught.value.__cause__)
            assert "zzemo" not in repr(told)
            assert caught.value.__suppress_context__

    async def test_a_value_that_fits_no_column_is_our_fault_and_no_conflict(
        self, store: ExchangeStore
    ) -> None:
        """Too big an integer, a lone surrogate, another type, a missing value: `LocalFault`, and the store goes on."""
        misfits = [
            LogRow("t-1", 2**63),
            MetaRow("t-1", "\ud800"),
            LogRow("t-1", "many"),  # type: ignore[arg-type]
            MetaRow("t-1", None),  # type: ignore[arg-type]
        ]
        for misfit in misfits:
            with pytest.raises(LocalFault) as caught:
                await store.write(lambda tx, row=misfit: tx.insert(row))  # type: ignore[misc]
            assert not isinstance(caught.value, Conflict)
        await store.write(meta("t-1"))

    async def test_stop_iteration_fails_alone(self, store: ExchangeStore) -> None:
        """A unit that lets StopIteration escape fails, and its neighbours are still answered."""
        outcomes = await asyncio.gather(
            store.write(lambda tx: next(iter(tx.select(NonceRow)))),
            store.write(meta("t-1")),
            return_exceptions=True,
        )
        assert isinstance(outcomes[0], RuntimeError)
        assert outcomes[1] is None

    async def test_a_unit_cannot_be_used_after_its_end(self, store: ExchangeStore) -> None:
        """A transaction that outlives its unit refuses: its writes would belong to no commit."""
        leaked: list[Tx] = []
        await store.write(leaked.append)
        with pytest.raises(LocalFault, match="after its end"):
            leaked[0].insert(MetaRow("t-1", ""))
        assert await store.read(names) == []

    async def test_a_cancelled_caller_s_unit_is_not_run(self, store: ExchangeStore) -> None:
        """Cancelled before its group begins, a unit never runs; its neighbour does."""
        cancelled = asyncio.ensure_future(store.write(meta("t-1")))
        other = asyncio.ensure_future(store.write(meta("t-2")))
        asyncio.get_running_loop().call_soon(cancelled.cancel)
        await asyncio.wait([cancelled, other])
        assert cancelled.cancelled()
        assert await store.read(names) == ["t-2"]

    async def test_groups_keep_the_order_of_calls(self, store: ExchangeStore) -> None:
        """Units run in the order of their calls, over more units than one group holds."""

        def append(number: int) -> Callable[[Tx], None]:
            return lambda tx: tx.insert(EntryRow("t-log", tx.count(EntryRow), str(number).encode()))

        await asyncio.gather(*(store.write(append(n)) for n in range(600)))
        rows = await store.read(lambda tx: tx.select(EntryRow))
        assert [int(row.entry) for row in rows] == list(range(600))

    async def test_a_closed_store_refuses(self, store: ExchangeStore) -> None:
        """After `close` reads and writes raise `StoreUnavailable`, and so does a write that still waited."""
        waiting = asyncio.ensure_future(store.write(meta("t-1")))
        asyncio.get_running_loop().call_soon(store.close)
        with pytest.raises(StoreUnavailable):
            await waiting
        with pytest.raises(StoreUnavailable):
            await store.write(meta("t-1"))
        with pytest.raises(StoreUnavailable):
            await store.read(names)

    # --- rows --------------------------------------------------------------------------------------------------------

    async def test_rows_come_back_equal(self, store: ExchangeStore) -> None:
        """Instants, flags, tuples, blobs, absent values and foreign scripts come back as they went in, by type too."""
        rows = (
            ChangeRow("t-1", "s", "officer", "t", b"\x00\xff", b"", ("é", 'a"b', ""), "p", NOW, None),
            ChangeRow("t-2", "s", "officer", "t", b"", b"", (), "p", NOW, datetime(1969, 12, 31, tzinfo=UTC)),
            RecordRow("h", 1, True, "k", "إكزمبل", "f", "d", "b", NOW, NOW + timedelta(days=40_000)),
            LaneRow("p", "c", held=False, due=None),
        )
        await store.write(lambda tx: tx.insert(*rows))
        found = await store.read(
            lambda tx: (*tx.select(ChangeRow), tx.get(RecordRow, "h", 1), tx.get(LaneRow, "p", "c"))
        )
        assert found == rows
        record, waiting = found[2], found[3]
        assert isinstance(record, RecordRow)
        assert record.latest is True
        assert isinstance(waiting, LaneRow)
        assert waiting.held is False

    async def test_instants_of_another_zone_are_the_same_instant(self, store: ExchangeStore) -> None:
        """What is stored is the instant in whole seconds, not its spelling."""
        brussels = datetime.fromisoformat("2026-11-21T22:00:00.999+01:00")
        await store.write(lambda tx: tx.insert(NonceRow("n", brussels)))
        assert await store.read(lambda tx: tx.get(NonceRow, "n")) == NonceRow("n", NOW)

    async def test_put_replaces_the_row_of_its_key_alone(self, store: ExchangeStore) -> None:
        """`put` inserts, then replaces every other column; a row that is all key is simply there once."""
        await store.write(lambda tx: tx.put(lane("a", queued=1, due=NOW), lane("b"), SubjectRow("s", "k")))
        await store.write(lambda tx: tx.put(lane("a", attempts=2), SubjectRow("s", "k")))
        assert await store.read(lambda tx: tx.select(LaneRow)) == [lane("a", attempts=2), lane("b")]
        assert await store.read(lambda tx: tx.select(SubjectRow)) == [SubjectRow("s", "k")]

    async def test_get_wants_the_whole_key(self, store: ExchangeStore) -> None:
        """An unknown key is None; a part of a key is a mistake, not a search."""
        await store.write(lambda tx: tx.insert(IdempotencyRow("k", "o", "op", "d", "", "", NOW)))
        assert await store.read(lambda tx: tx.get(IdempotencyRow, "k", "other")) is None
        with pytest.raises(LocalFault):
            await store.read(lambda tx: tx.get(IdempotencyRow, "k"))

    # --- where, order, limit -----------------------------------------------------------------------------------------

    @pytest.fixture
    async def lanes(self, store: ExchangeStore) -> ExchangeStore:
        """Five lanes: a (due), b (held), c, d (due later), e of another partner."""
        await store.write(
            lambda tx: tx.insert(
                lane("a", queued=3, due=NOW),
                lane("b", queued=1, held=True),
                lane("c", queued=0, priority=5),
                lane("d", queued=2, due=NOW + timedelta(hours=1), priority=5),
                LaneRow("deu.police-demo", "e", queued=9),
            )
        )
        return store

    @pytest.mark.parametrize(
        ("where", "expected"),
        [
            (None, "eabcd"),
            ({}, "eabcd"),
            ({"partner": "fra.police-demo"}, "abcd"),
            ({"held": True}, "b"),
            ({"partner": "fra.police-demo", "priority": 5}, "cd"),
            ({"due": None}, "ebc"),
            ({"due": NOW}, "a"),
            ({"due": (None, NOW)}, "eabc"),
            ({"conversation": ("a", "c", "d")}, "acd"),
            ({"conversation": ("a", "c", "d"), "priority": (5, 7, 9, 11, 13)}, "cd"),
            ({"conversation": ("b",)}, "b"),
            ({"conversation": ()}, ""),
            ({"due": (None,)}, "ebc"),
            ({"partner": "fra.police-demo' OR '1'='1"}, ""),
        ],
    )
    async def test_where(self, lanes: ExchangeStore, where: dict[str, object] | None, expected: str) -> None:
        """Equality, None as NULL, a tuple as one of these, an empty tuple as nothing; count and delete agree, but a
        delete without any condition is refused."""
        assert (
            "".join(row.conversation for row in await lanes.read(lambda tx: tx.select(LaneRow, where)))
            == expected
        )
        assert await lanes.read(lambda tx: tx.count(LaneRow, where)) == len(expected)
        if not where:
            with pytest.raises(LocalFault):
                await lanes.write(lambda tx: tx.delete(LaneRow, {}))
            return
        assert await lanes.write(lambda tx: tx.delete(LaneRow, where)) == len(expected)
        left = await lanes.read(lambda tx: tx.select(LaneRow))
        assert "".join(row.conversation for row in left) == "".join(c for c in "eabcd" if c not in expected)

    async def test_bounds(self, lanes: ExchangeStore) -> None:
        """`at_least` includes its bound, `below` does not, and NULL is in neither."""

        def found(**bounds: tuple[str, object]) -> Callable[[ReadTx], str]:
            return lambda tx: "".join(row.conversation for row in tx.select(LaneRow, **bounds))  # type: ignore[arg-type]

        assert await lanes.read(found(at_least=("queued", 2))) == "ead"
        assert await lanes.read(found(below=("queued", 2))) == "bc"
        assert await lanes.read(found(at_least=("queued", 1), below=("queued", 3))) == "bd"
        assert await lanes.read(found(at_least=("due", NOW))) == "ad"
        assert await lanes.read(found(below=("due", NOW))) == ""
        assert await lanes.read(found(below=("due", NOW + timedelta(seconds=1)))) == "a"
        assert await lanes.read(found(at_least=("due", None))) == ""
        assert await lanes.read(lambda tx: tx.count(LaneRow, at_least=("queued", 2))) == 3

        def purge(tx: Tx) -> int:
            return tx.delete(LaneRow, {"partner": "fra.police-demo"}, below=("due", NOW + timedelta(days=1)))

        assert await lanes.write(purge) == 2

    @pytest.mark.parametrize(
        ("order", "descending", "limit", "expected"),
        [
            ("", False, None, "eabcd"),
            ("", True, None, "dcbae"),
            ("queued", False, None, "cbdae"),
            ("queued", True, 2, "ea"),
            ("priority", True, None, "dcbae"),
            ("priority", False, 3, "eab"),
            ("conversation", False, 1, "a"),
            ("", False, 0, ""),
            ("", False, -1, ""),
            ("", False, 99, "eabcd"),
        ],
    )
    async def test_order_and_limit(
        self, lanes: ExchangeStore, order: str, descending: bool, limit: int | None, expected: str
    ) -> None:
        """One column, then the key, both in the same direction; a limit of nothing gives nothing."""
        found = await lanes.read(
            lambda tx: tx.select(LaneRow, order=order, descending=descending, limit=limit)
        )
        assert "".join(row.conversation for row in found) == expected

    async def test_a_count_sees_every_write_before_it(self, store: ExchangeStore) -> None:
        """Asked again within a unit, a count follows its inserts, replacements and deletions, and what was undone."""
        counted: list[int] = []

        def count(tx: Tx) -> None:
            counted.append(tx.count(MetaRow, {"value": "counted"}))

        def undone(tx: Tx) -> None:
            tx.insert(MetaRow("t-undone", "counted"))
            count(tx)
            raise Conflict("undone")

        def unit(tx: Tx) -> None:
            count(tx)
            tx.insert(MetaRow("t-1", "counted"))
            count(tx)
            tx.put(MetaRow("t-1", "other"), MetaRow("t-2", "counted"), MetaRow("t-3", "counted"))
            count(tx)
            tx.delete(MetaRow, {"name": "t-2"})
            count(tx)

        outcomes = await asyncio.gather(
            store.write(unit), store.write(undone), store.write(count), return_exceptions=True
        )
        assert isinstance(outcomes[1], Conflict)
        assert counted == [0, 1, 2, 1, 2, 1]

    async def test_count_distinct(self, lanes: ExchangeStore) -> None:
        """`distinct` counts values of a column, NULL not among them."""
        assert await lanes.read(lambda tx: tx.count(LaneRow, distinct="partner")) == 2
        assert await lanes.read(lambda tx: tx.count(LaneRow, {"held": False}, distinct="due")) == 2

    async def test_many_values(self, store: ExchangeStore) -> None:
        """Any number of values up to the limit finds exactly its rows; beyond the limit it is refused."""
        await store.write(lambda tx: tx.insert(*(EntryRow("t", n, b"") for n in range(300))))
        for size in (1, 2, 3, 4, 5, 63, 64, 65, 300):
            wanted = tuple(range(size))
            found = await store.read(lambda tx, w=wanted: tx.select(EntryRow, {"origin": "t", "position": w}))  # type: ignore[misc]
            assert [row.position for row in found] == list(wanted)
        assert await store.read(lambda tx: tx.count(EntryRow, {"position": tuple(range(16_384))})) == 300
        with pytest.raises(LocalFault):
            await store.read(lambda tx: tx.count(EntryRow, {"position": tuple(range(16_385))}))

    @pytest.mark.parametrize(
        "ask",
        [
            lambda tx: tx.select(MetaRow, {"nam": ""}),
            lambda tx: tx.select(MetaRow, {"nam": ()}),
            lambda tx: tx.select(MetaRow, {"name; DROP TABLE meta": ""}),
            lambda tx: tx.select(MetaRow, order="value, name"),
            lambda tx: tx.select(MetaRow, at_least=("valu", "")),
            lambda tx: tx.count(MetaRow, distinct="*"),
            lambda tx: tx.select(MetaRow, below=("1", 2)),
        ],
    )
    async def test_only_columns_are_asked_for(
        self, store: ExchangeStore, ask: Callable[[ReadTx], object]
    ) -> None:
        """A name that is no column of the table is refused before it reaches SQL, and the store goes on."""
        with pytest.raises(LocalFault, match="column"):
            await store.read(ask)
        await store.write(meta("t-1"))

    async def test_a_body_of_full_size(self, store: ExchangeStore) -> None:
        """The largest payload, 4 MiB, goes in and comes back."""
        body = BodyRow("b", "k", bytes(range(256)) * 16_384)
        await store.write(lambda tx: tx.insert(body))
        assert await store.read(lambda tx: tx.get(BodyRow, "b")) == body

    async def test_an_embargo_in_force_is_found_by_null(self, store: ExchangeStore) -> None:
        """Absent means NULL in where, so what is in force is found, and what was lifted is not."""
        placed = EmbargoRow("1", "s", "a", NOW, "o")
        await store.write(lambda tx: tx.insert(placed, EmbargoRow("2", "s", "a", NOW, "o", NOW)))
        assert await store.read(lambda tx: tx.select(EmbargoRow, {"subject": "s", "lifted_at": None})) == [
            placed
        ]

"""Records in: repeatable, never back to an older extract, bad lines by number, and gone when their time is over."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from adapters.records.synthetic import extract, persons
from gateway.errors import NotFound, RequestInvalid
from gateway.model.rows import BodyRow, EntryBodyRow, KeyRow, RecordRow, ReleaseRow, SubjectRow
from gateway.service import calls
from gateway.service.operation import note_read
from gateway.service.signer.process import MAX_DATA_KEYS
from tests.service.world import CLEAN, KIND, NOW, PERSONS, World


async def load(world: World, raw: bytes, first_line: int = 1) -> calls.Imported:
    answer: calls.Imported = await world.be.call(
        "be-requester", "records/import", calls.ImportChunk(KIND, first_line, raw)
    )
    return answer


def lines(*changed: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in changed)


def person(number: int, at: datetime = NOW, **content: Any) -> dict[str, Any]:
    line = list(persons(number, 1, at))[-1]
    line["content"].update(content)
    return line


def counts(imported: calls.Imported) -> tuple[int, int, int]:
    return imported.new, imported.changed, imported.unchanged


async def test_importing_again_changes_nothing(world: World) -> None:
    """The same file again: no version, no body, no key, no entry."""
    be = world.be
    before = (be.rows(RecordRow), be.rows(BodyRow), be.rows(KeyRow), be.log_size(be.gateway.ledger.master))
    again = await load(world, extract(PERSONS, 1, NOW))
    assert counts(again) == (0, 0, PERSONS)
    assert before == (
        be.rows(RecordRow), be.rows(BodyRow), be.rows(KeyRow), be.log_size(be.gateway.ledger.master)
    )  # fmt: skip


async def test_a_newer_extract_makes_a_version_and_an_older_one_never_replaces_it(world: World) -> None:
    """Newer: version 2, and decisions rest on it. Older, or as old with the same content: nothing."""
    be = world.be
    world.clock.advance(seconds=3600)
    newer = person(2, NOW + timedelta(hours=1), sex="X")
    assert counts(await load(world, lines(newer))) == (0, 1, 0)
    for again in (person(2, NOW - timedelta(hours=5), sex="U"), newer):
        assert counts(await load(world, lines(again))) == (0, 0, 1)
    view = await be.call("be-requester", "records/show", calls.Named(CLEAN[0]))
    assert [field.value for field in view.fields if field.pointer == "/sex"] == ["X"]
    rows = be.rows(RecordRow, handle=view.handle)
    assert sorted((row.version, row.latest) for row in rows) == [(1, False), (2, True)]


async def test_a_person_twice_in_one_file_is_reported(world: World) -> None:
    """Which of the two lines holds cannot be told: the first lands, the second is a bad line."""
    answer = await load(world, lines(person(30, sex="F"), person(30, sex="M")))
    assert counts(answer) == (1, 0, 0)
    assert [(bad.line, bad.rule) for bad in answer.bad] == [(2, "duplicate-id")]


async def test_bad_lines_are_reported_and_good_ones_land(world: World) -> None:
    """Each bad line by its number in the file, with a rule and without its values; the others are committed."""
    good = person(31)
    wrong = person(32, sex="zzemo-canary")
    raw = lines(good) + b"{not json zzemo-canary}\n" + lines(wrong, person(33)) + b"\xff\xfe\n"
    answer = await load(world, raw, first_line=101)
    assert counts(answer) == (2, 0, 0)
    assert [bad.line for bad in answer.bad] == [102, 103, 105]
    assert all("canary" not in repr(bad) for bad in answer.bad)


async def test_a_file_without_a_good_line_changes_nothing(world: World) -> None:
    """Nothing lands, nothing is logged as an import."""
    before = world.be.log_size(world.be.gateway.ledger.master)
    answer = await load(world, b"\x00\xff garbage\n" * 3)
    assert counts(answer) == (0, 0, 0)
    assert len(answer.bad) == 3
    assert world.be.log_size(world.be.gateway.ledger.master) == before


async def test_a_kind_without_an_adapter_is_refused(world: World) -> None:
    """No adapter, no import."""
    with pytest.raises(RequestInvalid):
        await world.be.call("be-requester", "records/import", calls.ImportChunk("other/1.0", 1, b""))


async def test_an_unlabelled_item_is_imported_shown_and_never_leaves(world: World) -> None:
    """Person 7 carries one: counted at import, shown as unlabelled, and every decision denies."""
    world.clock.advance(seconds=3600)
    raw = lines(person(7, NOW + timedelta(hours=1), sex="X"))
    assert (await load(world, raw)).unlabelled == 1
    view = await world.be.call("be-requester", "records/show", calls.Named("BDC-000007"))
    assert [field.level for field in view.fields].count("") == 1
    assert (await world.be.prepare("BDC-000007")).effect == "DENY"


async def test_purge_destroys_what_is_too_old_and_no_release_rests_on(world: World) -> None:
    """After the intake time: record, body, key and subject are gone, but not where an open release rests on them; when
    that release has ended, they go too. What the log keeps of a decision stays, under a key of that subject's."""
    be = world.be
    open_one, sent = CLEAN[0], CLEAN[1]
    view = await be.request(open_one)
    await be.disclose(sent)
    await be.send()
    kept = be.release(view).handle
    world.clock.advance(days=8)
    assert await be.call("be-requester", "records/purge", calls.Empty()) == {"purged": PERSONS - 1, "held": 0}
    (row,) = be.rows(RecordRow)
    assert row.handle == kept
    details = {body.key for link in be.rows(EntryBodyRow) for body in be.rows(BodyRow, id=link.body)}
    subjects = {subject.key for subject in be.rows(SubjectRow)}
    assert len(subjects & details) == 2
    assert subjects - details == {
        row.key,
        *(one.key for one in be.rows(ReleaseRow)),
    }
    with pytest.raises(NotFound):
        await be.call("be-requester", "records/show", calls.Named(sent))
    assert await be.call("be-requester", "records/purge", calls.Empty()) == {"purged": 0, "held": 0}
    await be.call("be-requester", "releases/cancel", calls.Ended(view.release, "synthetic reason"))
    assert await be.call("be-requester", "records/purge", calls.Empty()) == {"purged": 1, "held": 0}
    assert be.rows(RecordRow) == []
    trace = await be.call("be-requester", "messages/trace", calls.Named(view.release))
    assert trace.state == "cancelled"


async def test_purge_spares_what_is_in_time(world: World) -> None:
    """One second before the intake time nothing goes."""
    world.clock.advance(days=7)
    assert await world.be.call("be-requester", "records/purge", calls.Empty()) == {"purged": 0, "held": 0}


async def test_more_keys_than_one_call_gives_are_fetched(world: World) -> None:
    """A large chunk needs more data keys than the signer hands out at once: they are fetched in several calls."""
    asked: list[int] = []
    give = world.be.signer.data_keys

    async def counted(count: int) -> Any:
        assert count <= MAX_DATA_KEYS
        asked.append(count)
        return await give(count)

    world.be.signer.data_keys = counted  # type: ignore[method-assign]
    await world.be.vault.reserve(MAX_DATA_KEYS + 100)
    for _ in range(MAX_DATA_KEYS + 100):
        world.be.vault.fresh(NOW)
    assert len(asked) > 1


async def test_units_that_run_at_once_never_run_out_of_keys(world: World) -> None:
    """Three hundred reads at once, each reserving its key before any of them takes one: every read gets its entry."""
    be = world.be
    before = be.log_size(be.gateway.ledger.master)
    officer = be.gateway.directory.officers["be-requester"]
    await asyncio.gather(*(note_read(be.gateway, officer, "r-0", "record") for _ in range(300)))
    assert be.log_size(be.gateway.ledger.master) == before + 300


async def test_a_page_of_more_keys_than_the_cache_holds_is_opened(world: World) -> None:
    """Unlocking more keys than are kept in memory still opens every body of the page."""
    be = world.be
    await be.vault.reserve(1200)
    made = []
    for _ in range(1200):
        key = be.vault.fresh(NOW)
        made.append((key.row, be.vault.seal(key, b"body")))
    await be.store.write(lambda tx: tx.insert(*(row for pair in made for row in pair)))
    await be.boot()
    await be.vault.unlock([row for row, _ in made])
    opened = await be.store.read(lambda tx: [be.vault.open(tx, body.id, bytes) for _, body in made])
    assert opened == [b"body"] * 1200

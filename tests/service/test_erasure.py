"""Erasure: after it nothing of the subject is anywhere, the log verifies, and everybody is told what became of it."""

from __future__ import annotations

import base64
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters.records.synthetic import extract
from gateway.errors import Conflict, LocalFault, NotFound, RequestInvalid, RoleMissing
from gateway.flow.change import digest
from gateway.model.case_rows import ErasureRow
from gateway.model.rows import (
    BodyRow,
    InboxRow,
    KeyRow,
    LaneRow,
    MetaRow,
    RecordRow,
    ReservationRow,
    SubjectRow,
)
from gateway.model.signing import Pseudonym
from gateway.service import calls
from gateway.service.calls.erasures import (
    DecideErasure,
    ErasureView,
    HoldView,
    LiftHold,
    PlaceHold,
    ProposeErasure,
)
from gateway.service.calls.notices import RemoveRecord
from gateway.service.erasures import Erased
from gateway.service.log_source import stored_logs
from gateway.service.openings import inspect_openings
from gateway.service.retention import LOG_KEPT, Retention
from gateway.service.signer.keks import BACKUPS_OPEN, TURN, generation_of
from gateway.service.wrapping import Wrapping
from tests.service.commandline import Line
from tests.service.test_subjects import done as linked
from tests.service.world import CLEAN, FR, KIND, PERSONS, Side, World

ORDER = b"a synthetic order of a supervisory body"
REFERENCE = "COC/2026-114"
WHO = CLEAN[0]


async def proposed(side: Side, *records: str, messages: tuple[str, ...] = ()) -> ErasureView:
    params = ProposeErasure(records, messages, REFERENCE, ORDER)
    view: ErasureView = await side.call("be-requester", "erasures/propose", params)
    return view


async def carried_out(side: Side, view: ErasureView, by: str = "be-approver") -> ErasureView:
    done: ErasureView = await side.call(by, "erasures/confirm", DecideErasure(view.id, digest(ORDER)))
    return done


async def erased(side: Side, *records: str, messages: tuple[str, ...] = ()) -> ErasureView:
    return await carried_out(side, await proposed(side, *records, messages=messages))


def leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    elif isinstance(value, str):
        yield value


def told_apart(world: World, who: str) -> set[str]:
    """Values of one person's record that nobody else's has: names, birth dates, numbers of documents."""
    rows = extract(PERSONS, 1, world.clock.now()).decode().splitlines()
    (own,) = (row for row in rows if f'"{who}"' in row)
    others = "".join(row for row in rows if row != own)
    return {leaf for leaf in leaves(msgspec.json.decode(own)) if len(leaf) >= 5 and leaf not in others}


def spellings(values: set[str]) -> set[bytes]:
    """Each value as it is, decomposed, in UTF-16 either way, in base64 at each of its three offsets, in hexadecimal."""
    found = set()
    for value in values:
        for form in (
            value,
            unicodedata.normalize("NFD", value),
            unicodedata.normalize("NFKD", value).upper(),
        ):
            plain = form.encode()
            found |= {plain, form.encode("utf-16-le"), form.encode("utf-16-be"), plain.hex().encode()}
            found |= {base64.b64encode(b"x" * pad + plain)[4:-4] for pad in range(3)}
    return {one for one in found if len(one) >= 8}


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def opened(side: Side) -> list[bytes]:
    """Every body that still opens with every key there is, as plain bytes."""
    vault = side.gateway.vault
    await vault.unlock(side.rows(KeyRow))
    bodies = [row.id for row in side.rows(BodyRow)]
    raws = await side.store.read(lambda tx: [vault.open(tx, body, msgspec.Raw) for body in bodies])
    return [bytes(raw) for raw in raws]


async def test_nothing_of_the_subject_is_left(world_on_disk: World, tmp_path: Path) -> None:
    """Not a wrapped key, not a ciphertext, not a value in any spelling: in no file of the store, and in no body that
    still opens. All logs verify, and the reading back of what was sent names the authority."""
    world, be = world_on_disk, world_on_disk.be
    sent, other = await be.disclose(WHO, CLEAN[1])
    await be.send()
    await be.call(
        "be-requester", "releases/preview", calls.Disclose(WHO, (FR,), "ct-prevention", "be-2024-03-29:art28")
    )
    subject = be.rows(RecordRow, handle=be.release(sent).handle)[0].subject
    keys = {row.key for row in be.rows(SubjectRow, subject=subject)}
    wrapped = {row.wrapped for row in be.rows(KeyRow) if row.id in keys}
    ciphertexts = {row.ciphertext for row in be.rows(BodyRow) if row.key in keys}
    be.store.settle()
    before = b"".join(files(tmp_path).values())
    assert all(one in before for one in wrapped | {one[:64] for one in ciphertexts})
    values = spellings(told_apart(world, WHO))
    assert any(value in plain for plain in await opened(be) for value in values)

    view = await erased(be, WHO)
    assert (view.state, view.others) == ("done", 0)
    assert view.bodies >= len(ciphertexts)
    for path, raw in files(tmp_path).items():
        if path.name.startswith("bel"):
            assert not [one for one in wrapped if one in raw], path.name
            assert not [one for one in ciphertexts if one[:48] in raw or one[-48:] in raw], path.name
            assert not [one for one in values if one in raw], path.name
    assert not [value for plain in await opened(be) for value in values if value in plain]
    assert all(verdict.status in ("verified", "unsealed") for verdict in be.verdicts())
    for operation, name in (("records/show", WHO), ("releases/show", sent.release)):
        with pytest.raises(NotFound, match=f"erased on authority {REFERENCE} at 2026-11-21"):
            await be.call("be-requester", operation, calls.Named(name))
    trace: calls.Trace = await be.call("be-requester", "messages/trace", calls.Named(sent.release))
    assert trace.state == "delivered"
    assert any("erased" in step.what and REFERENCE in step.what for step in trace.steps)
    await be.call("be-requester", "releases/show", calls.Named(other.release))


async def test_two_persons_of_whom_none_operates(world: World) -> None:
    """The first person's other key does not carry it out, nor another document; what is done is done once."""
    be = world.be
    view = await proposed(be, WHO)
    assert view.bodies > 0
    with pytest.raises(RoleMissing, match="another one"):
        await carried_out(be, view, "be-anna-again")
    with pytest.raises(RoleMissing, match="operator"):
        await carried_out(be, view, "be-anna-and-operator")
    with pytest.raises(Conflict, match="another one than was shown"):
        await be.call("be-approver", "erasures/confirm", DecideErasure(view.id, digest(b"another")))
    first = await carried_out(be, view)
    size = be.log_size()
    assert await carried_out(be, view) == first
    assert be.log_size() == size
    with pytest.raises(Conflict, match="carried out"):
        await be.call("be-approver", "erasures/reject", calls.Ended(view.id, "late"))
    for params in (ProposeErasure((), (), REFERENCE, ORDER), ProposeErasure((WHO,), (), REFERENCE, b"")):
        with pytest.raises(RequestInvalid):
            await be.call("be-requester", "erasures/propose", params)


async def test_what_is_on_its_way_is_seen_to_first(world: World) -> None:
    """A release that waits is named; once it is cancelled the order can be carried out."""
    be = world.be
    waiting = await be.request(WHO)
    with pytest.raises(Conflict, match=f"release {waiting.release} is under way"):
        await proposed(be, WHO)
    await be.call("be-requester", "releases/cancel", calls.Ended(waiting.release, "synthetic"))
    assert (await erased(be, WHO)).state == "done"


async def test_what_partners_hold_still_counts_and_can_be_recalled(world: World) -> None:
    """The count of what a partner holds stays, a recall goes out by ids, and an extract brings nobody back."""
    be = world.be
    (sent,) = await be.disclose(WHO)
    await be.send()
    held = len(be.rows(ReservationRow))
    await erased(be, WHO)
    assert len(be.rows(ReservationRow)) == held
    raw = extract(PERSONS, 1, world.clock.now())
    imported: calls.Imported = await be.call(
        "be-requester", "records/import", calls.ImportChunk(KIND, 1, raw)
    )
    assert imported.erased == 1
    recall: calls.DecisionView = await be.call(
        "be-requester",
        "recalls/prepare",
        calls.RecallMessage(sent.message_id, "withdrawn", "", "be-2024-03-29:art28"),
    )
    assert recall.effect == "PERMIT"
    token = be.endorse("be-requester", "request", [recall.statement])
    await be.call("be-requester", "recalls/endorse", calls.Endorsed((recall.release,), token))
    await be.send()
    assert be.release(recall).state == "delivered"


async def test_everybody_one_with_the_subject(world: World) -> None:
    """Linked subjects go together, and their handles stand in the order."""
    be = world.be
    await linked(be, "link", CLEAN[0], CLEAN[1])
    view = await erased(be, CLEAN[0])
    assert len(view.records) == 2
    for name in CLEAN[:2]:
        with pytest.raises(NotFound, match="erased on authority"):
            await be.call("be-requester", "records/show", calls.Named(name))


async def test_a_received_message(world: World) -> None:
    """Named, it goes with its receipt; the same message again is refused, and the lane goes on."""
    be, fr = world.be, world.fr
    await be.disclose(WHO)
    await be.send()
    (row,) = fr.received()
    params = ProposeErasure((), (row.message_id,), REFERENCE, ORDER)
    view: ErasureView = await fr.call("fr-inbox", "erasures/propose", params)
    done: ErasureView = await fr.call("fr-second", "erasures/confirm", DecideErasure(view.id, digest(ORDER)))
    assert (done.bodies, done.messages) == (3, (f"{row.sender}/{row.message_id}",))
    with pytest.raises(NotFound, match="erased on authority"):
        await fr.call("fr-inbox", "inbox/show", calls.Named(row.message_id))
    await be.disclose(CLEAN[1], conversation=row.conversation)
    await be.send()
    assert len(fr.received()) == 2


async def test_a_hold_forbids_it_while_it_lasts(world: World) -> None:
    """Erasure, deletion for cause and purging name the hold, or leave out what it keeps; two persons lift it."""
    be = world.be
    hold: HoldView = await be.call("be-approver", "holds/add", PlaceHold(b"a synthetic court", WHO))
    with pytest.raises(Conflict, match=f"legal hold {hold.id} is in force"):
        await proposed(be, WHO)
    with pytest.raises(Conflict, match=hold.id):
        await be.call("be-requester", "records/remove", RemoveRecord(WHO, "false", "synthetic"))
    world.clock.advance(days=30)
    purged: dict[str, int] = await be.call("be-requester", "records/purge", calls.Empty())
    assert purged["held"] == 1
    assert [row.handle for row in be.rows(RecordRow)] == [hold.record]
    lift = LiftHold(hold.id, b"the same court")
    for _ in range(2):
        first: HoldView = await be.call("be-approver", "holds/lift", lift)
        assert first.lifted_at is None
    lifted: HoldView = await be.call("be-requester", "holds/lift", lift)
    assert lifted.lifted_at is not None
    assert (await erased(be, WHO)).state == "done"


async def test_a_hold_on_a_conversation(world: World) -> None:
    """What stands in it is kept, whoever it is about."""
    be = world.be
    (sent,) = await be.disclose(WHO)
    await be.send()
    conversation = be.release(sent).conversation
    params = PlaceHold(b"a synthetic court", "", conversation)
    hold: HoldView = await be.call("be-approver", "holds/add", params)
    with pytest.raises(Conflict, match=hold.id):
        await proposed(be, WHO)


async def test_the_entry_lies_open(world: World) -> None:
    """Its detail lists places and random ids, and opens the commitment in the log."""
    be = world.be
    await erased(be, WHO)
    (row,) = be.rows(ErasureRow)
    detail = msgspec.json.decode(row.detail, type=Erased)
    assert detail.reference == REFERENCE
    assert detail.bodies
    assert not [value for value in spellings(told_apart(world, WHO)) if value in row.detail]


async def test_a_backup_beyond_its_time_opens_nothing(world_on_disk: World, tmp_path: Path) -> None:
    """A copy of the store from before the erasure, beside today's signer: within the limit its keys open, and the store
    as it is goes on; beyond it not one of them does."""
    world, be = world_on_disk, world_on_disk.be
    await be.disclose(WHO)
    await be.send()
    backup = be.rows(KeyRow)
    await erased(be, WHO)
    wrapping = Wrapping(be.gateway)
    assert await wrapping.round() == 0
    world.clock.advance(seconds=TURN.total_seconds())
    assert await wrapping.round() == len(be.rows(KeyRow))
    assert {generation_of(row.wrapped) for row in be.rows(KeyRow)} == {2}
    world.clock.advance(seconds=BACKUPS_OPEN.total_seconds() - 1)
    await wrapping.round()
    await be.signer.unwrap([row.wrapped for row in backup])
    world.clock.advance(seconds=1)
    await wrapping.round()
    for row in backup:
        with pytest.raises(LocalFault, match="no more"):
            await be.signer.unwrap([row.wrapped])
    await be.boot()
    assert await opened(be)


async def test_keys_at_hand_are_exchanged(world: World) -> None:
    """What is stored while the store is walked, or after, is under the newest generation; a store that comes from a
    backup is walked again."""
    be = world.be
    wrapping = Wrapping(be.gateway)
    await be.gateway.vault.reserve(100)
    await wrapping.round()
    world.clock.advance(seconds=TURN.total_seconds())
    old = be.rows(KeyRow)[:3]
    await wrapping.round()
    await be.call("be-approver", "holds/add", PlaceHold(b"a synthetic court", WHO))
    assert {generation_of(row.wrapped) for row in be.rows(KeyRow)} == {2}
    await be.store.write(lambda tx: tx.put(*old, MetaRow("wrapping", "1")))
    by_pages = Wrapping(be.gateway, pages=1)
    assert await by_pages.round() == len(old)
    assert be.rows(MetaRow, name="wrapping") == [MetaRow("wrapping", "1")]  # there may be another page
    assert await by_pages.round() == 0
    assert be.rows(MetaRow, name="wrapping") == [MetaRow("wrapping", "2")]


async def test_a_record_erased_while_a_release_is_prepared(world: World) -> None:
    """The release is not stored: what was read before the erasure does not come back by it."""
    be = world.be
    view = await proposed(be, WHO)
    pseudonyms = be.signer.pseudonyms

    async def slow(wanted: Sequence[Pseudonym]) -> list[str]:
        await carried_out(be, view)
        return await pseudonyms(wanted)

    be.signer.pseudonyms = slow  # type: ignore[method-assign]
    with pytest.raises(NotFound, match="erased on authority"):
        await be.prepare(WHO)
    be.signer.pseudonyms = pseudonyms  # type: ignore[method-assign]
    assert not [
        value for plain in await opened(be) for value in spellings(told_apart(world, WHO)) if value in plain
    ]


async def test_a_partner_that_lost_what_was_erased(world: World) -> None:
    """It expects the number again, and gets a void in its place; what comes after it arrives."""
    be, fr = world.be, world.fr
    (sent,) = await be.disclose(WHO)
    await be.send()
    conversation = be.release(sent).conversation
    await erased(be, WHO)
    before = fr.rows(LaneRow, conversation=conversation)[0]
    await fr.store.write(lambda tx: tx.delete(InboxRow, {"conversation": conversation}))
    await fr.store.write(lambda tx: tx.put(msgspec.structs.replace(before, expected=1)))
    await be.disclose(CLEAN[1], conversation=conversation)
    for _ in range(4):
        await be.send()
        world.clock.advance(seconds=600)
    assert [row.type for row in fr.received(conversation)] == ["void", "disclosure"]


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("mode", ["kill-before", "kill-after"])
async def test_a_kill_at_any_call(world_on_disk: World, mode: str, at: int) -> None:
    """All of it happened or nothing; confirmed again it is done, and the log file is emptied by then."""
    world, be = world_on_disk, world_on_disk.be
    await be.disclose(WHO)
    await be.send()
    view = await proposed(be, WHO)
    size = be.log_size(be.gateway.ledger.master)
    world.faults.arm(at, mode)
    await world.surviving(lambda: carried_out(be, view))
    world.faults.arm(-1, "")
    done = await carried_out(be, view)
    assert done.state == "done"
    assert be.log_size(be.gateway.ledger.master) == size + 1
    assert be.rows(MetaRow, name="unsettled") == []


async def test_on_the_command_line(line: Line) -> None:
    """Proposed, refused to the proposer, carried out by another; a hold in between stops it."""
    order = line.file("order", ORDER)
    code, held = await line.run("be-approver", "hold", "add", WHO, "--authority", order)
    assert code == 0
    words = ("erasure", "propose", WHO, "--authority", order, "--reference", REFERENCE)
    assert (await line.run("be-requester", *words))[0] == 2
    for officer in ("be-approver", "be-requester"):
        code, lifted = await line.run(officer, "hold", "lift", held["id"], "--authority", order)
        assert code == 0
    assert lifted["lifted_by"] == "be-requester"
    code, view = await line.run("be-requester", *words)
    assert (code, view["state"]) == (0, "proposed")
    assert (await line.run("be-requester", "erasure", "confirm", view["id"], "--yes"))[0] == 2
    code, done = await line.run("be-approver", "erasure", "confirm", view["id"], "--yes")
    assert (code, done["state"]) == (0, "done")
    code, said = await line.run("be-requester", "record", "show", WHO)
    assert code == 2
    assert REFERENCE in said["error"]["detail"]
    code, listed = await line.run("be-requester", "erasure", "list", "--state", "done")
    assert [one["id"] for one in listed["erasures"]] == [view["id"]]
    bad = (*words[:-1], "no number, but Zz Name")
    assert (await line.run("be-requester", *bad))[0] == 2


async def test_a_message_goes_after_the_day_its_sender_named(world: World) -> None:
    """Not on that day; the run is an entry with its list, and the log verifies; a hold on its conversation keeps it."""
    be, fr = world.be, world.fr
    await be.disclose(WHO)
    await be.send()
    (row,) = fr.received()
    last = datetime.fromisoformat(row.keep_until).replace(tzinfo=UTC)
    world.clock.set(last)
    assert await Retention(fr.gateway).round() == 0
    hold: HoldView = await fr.call("fr-inbox", "holds/add", PlaceHold(b"a court", "", row.conversation))
    world.clock.advance(days=1)
    assert await Retention(fr.gateway).round() == 0
    for officer in ("fr-inbox", "fr-second"):
        await fr.call(officer, "holds/lift", LiftHold(hold.id, b"a court"))
    assert await Retention(fr.gateway).round() == 1
    assert await Retention(fr.gateway).round() == 0
    with pytest.raises(NotFound, match="erased on authority retention"):
        await fr.call("fr-inbox", "inbox/show", calls.Named(row.message_id))
    assert all(verdict.status in ("verified", "unsealed") for verdict in fr.verdicts())


async def test_the_logs_keep_their_contents_for_thirty_years(world: World) -> None:
    """After that details and what was sent go, entries and proofs stay, and nothing counts as missing."""
    be = world.be
    await be.disclose(WHO)
    await be.send()
    await be.gateway.checkpoint_logs([be.gateway.ledger.master])
    entries = be.log_size(be.gateway.ledger.master)
    world.clock.advance(days=LOG_KEPT.days)
    assert await Retention(be.gateway).round() == 0
    world.clock.advance(seconds=1)
    gone = await Retention(be.gateway).round()
    assert gone == entries
    assert await Retention(be.gateway).round() == 0
    assert all(verdict.status == "verified" for verdict in be.verdicts())
    found = await be.store.read(lambda tx: inspect_openings(tx, be.org, stored_logs(tx, be.org, ())))
    assert found.wrong == {}
    assert found.erased[be.gateway.ledger.master] == entries

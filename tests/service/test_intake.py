"""The way in: identity first, then everything else; a message fails alone; acknowledged means durable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.errors import MalformedMessage, PartnerFault, UnknownPartner, WrongAudience
from gateway.flow.change import canonical, digest
from gateway.model.rows import InboxRow, LaneRow, QuarantineRow, ReceiptRow
from gateway.wire.container import deframe, frame
from gateway.wire.receipt import ReceiptItem, verify_receipt
from tests.service.faults import Killed
from tests.service.founding import sign_agreement, terms
from tests.service.world import BE, CLEAN, FR, NOW, SERIES, Opened, World, opened, reseal

OTHER_ID = "5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a11"


async def on_the_way(world: World, count: int = 1, conversation: str = "") -> bytes:
    """A batch of the sender's that did not arrive."""
    await world.be.disclose(*CLEAN[:count], conversation=conversation)
    world.be.wire.script = ["lost"]
    await world.be.send()
    return world.be.wire.batches[-1]


def items(world: World, receipt: str, messages: list[Opened]) -> list[ReceiptItem]:
    """The receipt's outcomes in the order of the batch, its signature and digests verified."""
    keys = world.fr.home.entry.keys_for("receipt")
    sent = [(one.header.jti, digest(one.payload)) for one in messages]
    verified = verify_receipt(receipt, keys, now=world.clock.now(), iss=FR, aud=BE, sent=sent)
    return [verified.outcomes[one.header.jti] for one in messages]


def effects(world: World) -> tuple[object, ...]:
    """Everything an accepted message changes at the receiver."""
    fr = world.fr
    return (
        fr.rows(InboxRow), fr.rows(LaneRow), fr.rows(ReceiptRow), fr.rows(QuarantineRow),
        fr.log_size(), fr.log_size(fr.gateway.ledger.master),
    )  # fmt: skip


@pytest.mark.parametrize("later", [timedelta(0), timedelta(days=29), timedelta(days=400), timedelta(days=-3)])
async def test_a_duplicate_gets_the_stored_receipt(world: World, later: timedelta) -> None:
    """Sender, id and payload digest equal: the stored receipt byte for byte and no effect, whatever the clock says."""
    batch = await on_the_way(world, 2)
    first = await world.fr.intake.accept(BE, batch)
    before = effects(world)
    world.clock.set(NOW + later)
    assert await world.fr.intake.accept(BE, batch) == first
    second, *_ = deframe(batch)[1:]
    assert (
        await world.fr.intake.accept(BE, frame([second])) == first
    )  # one receipt covers the batch it came in
    assert effects(world) == before


async def test_a_duplicate_over_another_ciphertext_is_the_same_message(world: World) -> None:
    """Ciphertext is made anew for each attempt; identity is (sender, id, payload digest)."""
    batch = await on_the_way(world)
    first = await world.fr.intake.accept(BE, batch)
    (message,) = opened(world, batch)
    assert await world.fr.intake.accept(BE, frame([reseal(world, message)])) == first


async def test_a_known_id_with_other_bytes_is_a_conflict(world: World) -> None:
    """Digest conflict: refused by name, quarantined, the stored message untouched."""
    batch = await on_the_way(world)
    await world.fr.intake.accept(BE, batch)
    (message,) = opened(world, batch)
    forged = msgspec.structs.replace(
        message, payload=message.payload.replace(b'"language":"fr"', b'"language":"nl"')
    )
    kept = world.fr.rows(InboxRow)
    receipt = await world.fr.intake.accept(BE, frame([reseal(world, forged)]))
    (item,) = items(world, receipt, [forged])
    assert (item.outcome, item.code) == ("refused", "digest-conflict")
    assert world.fr.rows(InboxRow) == kept
    assert [row.code for row in world.fr.rows(QuarantineRow)] == ["digest-conflict"]


async def test_a_replay_over_another_tls_identity_is_refused(world: World) -> None:
    """The issuer must be the partner behind the TLS session: the POST is refused whole, with no effect."""
    batch = await on_the_way(world)
    before = effects(world)
    for stranger in (FR, "deu.polizei-demo"):
        with pytest.raises(UnknownPartner):
            await world.fr.intake.accept(stranger, batch)
    assert effects(world) == before


async def test_a_known_partner_cannot_replay_anothers_message(world: World) -> None:
    """A partner in force presents what another sealed: code replayed."""
    batch = await on_the_way(world)
    entry = msgspec.structs.replace(world.founded.homes[BE].entry, org="deu.polizei-demo", nation="DEU")
    await world.fr.change("partner", entry.org, canonical(entry))
    with pytest.raises(PartnerFault) as refused:
        await world.fr.intake.accept(entry.org, batch)
    assert refused.value.code == "replayed"


async def test_another_audience_is_refused(world: World) -> None:
    """Sealed for somebody else: the preamble says so before anything is opened."""
    batch = await on_the_way(world)
    (message,) = opened(world, batch)
    with pytest.raises(WrongAudience):
        await world.fr.intake.accept(BE, frame([reseal(world, message, aud="deu.polizei-demo")]))


@pytest.mark.parametrize("change", ["garbage", "truncated", "trailing", "empty", "bit", "twice"])
async def test_a_batch_nobody_can_attribute_is_refused_whole(world: World, change: str) -> None:
    """Garbage, truncation, a flipped bit or one message twice: `MalformedMessage`, nothing else, and no effect."""
    batch = await on_the_way(world)
    sealed = deframe(batch)[0]
    hostile = {
        "garbage": bytes(range(256)) * 8,
        "truncated": batch[:-1],
        "trailing": batch + b"\0",
        "empty": b"",
        "bit": frame([sealed[:-1] + bytes([sealed[-1] ^ 1])]),
        "twice": frame([sealed, sealed]),
    }[change]
    before = effects(world)
    with pytest.raises(MalformedMessage):
        await world.fr.intake.accept(BE, hostile)
    assert effects(world) == before


def _header(**changes: Any) -> Callable[[World, Opened], bytes]:
    return lambda world, message: reseal(world, message, **changes)


def _content(old: bytes, new: bytes) -> Callable[[World, Opened], bytes]:
    def change(world: World, message: Opened) -> bytes:
        assert old in message.payload
        return reseal(world, message, message.payload.replace(old, new))

    return change


def _other_key(world: World, message: Opened) -> bytes:
    return reseal(world, message, key=ec.generate_private_key(ec.SECP256R1()))


IAT = int(NOW.timestamp())
FAULTY: dict[str, tuple[Callable[[World, Opened], bytes], str]] = {
    "another key": (_other_key, "signature-invalid"),
    "another certificate": (_header(x5t_s256="A" * 43), "signature-invalid"),
    "from the future": (_header(iat=IAT + 301), "replayed"),
    "expired": (_header(iat=IAT - 600, exp=IAT), "replayed"),
    "another agreement": (_header(agreement="0" * 64), "outside-agreement"),
    "another mode": (_header(mode="operational"), "wrong-audience"),
    "another type": (_header(typ="ecluse-msg-answer+jws"), "schema-violation"),
    "another conversation": (_header(conv=OTHER_ID), "schema-violation"),
    "another id": (_header(jti=OTHER_ID), "schema-violation"),
    "a level nobody knows": (_content(b'"level":"UNCLASSIFIED"', b'"level":"ULTRAVIOLET"'), "schema-violation"),
    "an unknown member": (_content(b'{"format"', b'{"extra":1,"format"'), "schema-violation"),
    "another purpose": (_content(b'"purpose":"ct-prevention"', b'"purpose":"ct-curiosity"'), "outside-agreement"),
    "not for us": (_content(b'"FRA",', b""), "mis-sent"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTY)
async def test_a_faulty_message_is_refused_with_its_code_and_quarantined(world: World, name: str) -> None:
    """Each flaw has its code in a signed receipt; nothing is accepted, the sequence does not move, the bytes are kept
    apart; and the true message, sent later, is processed."""
    make, code = FAULTY[name]
    batch = await on_the_way(world)
    (message,) = opened(world, batch)
    hostile = make(world, message)
    shown = opened(world, frame([hostile]))
    receipt = await world.fr.intake.accept(BE, frame([hostile]))
    (item,) = items(world, receipt, shown)
    assert (item.outcome, item.code) == ("refused", code)
    assert world.fr.received() == []
    assert [row.expected for row in world.fr.rows(LaneRow)] in ([], [1])
    assert [row.code for row in world.fr.rows(QuarantineRow)] == [code]
    (accepted,) = items(world, await world.fr.intake.accept(BE, batch), [message])
    assert accepted.outcome == "accepted"


async def test_a_message_of_a_flaw_fails_alone(world: World) -> None:
    """In a batch of two lanes the failed message is refused, the one behind it is not processed, the other lane is
    accepted."""
    one, other = world.be.ids.uuid(), world.be.ids.uuid()
    await world.be.disclose(*CLEAN[:3], conversation=one)
    await world.be.disclose(CLEAN[3], conversation=other)
    world.be.wire.script = ["lost"]
    await world.be.send()
    messages = opened(world, world.be.wire.batches[-1])
    lane = [message for message in messages if message.header.conv == one]
    (alone,) = [message for message in messages if message.header.conv == other]
    batch = [
        reseal(world, lane[0]),
        reseal(world, lane[1], x5t_s256="A" * 43),
        reseal(world, lane[2]),
        reseal(world, alone),
    ]
    outcomes = items(world, await world.fr.intake.accept(BE, frame(batch)), [*lane, alone])
    assert [(item.outcome, item.code) for item in outcomes] == [
        ("accepted", ""),
        ("refused", "signature-invalid"),
        ("not-processed", ""),
        ("accepted", ""),
    ]
    assert {row.message_id for row in world.fr.received()} == {lane[0].header.jti, alone.header.jti}


async def test_a_duplicate_of_a_failed_message_is_processed(world: World) -> None:
    """Refused for want of an agreement, the same bytes are accepted once the agreement is in force again."""
    batch = await on_the_way(world)
    messages = opened(world, batch)
    before = world.fr.gateway.directory
    world.fr.gateway.directory = msgspec.structs.replace(before, agreements={})
    (refused,) = items(world, await world.fr.intake.accept(BE, batch), messages)
    assert (refused.outcome, refused.code) == ("refused", "outside-agreement")
    world.fr.gateway.directory = before
    (accepted,) = items(world, await world.fr.intake.accept(BE, batch), messages)
    assert accepted.outcome == "accepted"


@pytest.mark.parametrize("seq", [2, 3, 2**53 - 1])
async def test_beyond_the_next_number_the_sender_is_told_where_to_rewind(world: World, seq: int) -> None:
    """Out of order carries the expected value; such a message is not quarantined and not remembered."""
    batch = await on_the_way(world)
    (message,) = opened(world, batch)
    (item,) = items(
        world, await world.fr.intake.accept(BE, frame([reseal(world, message, seq=seq)])), [message]
    )
    assert (item.outcome, item.code, item.expected) == ("refused", "out-of-order", 1)
    assert world.fr.rows(QuarantineRow) == []
    (accepted,) = items(world, await world.fr.intake.accept(BE, batch), [message])
    assert accepted.outcome == "accepted"


async def test_a_number_is_used_once(world: World) -> None:
    """Another message under an accepted number is out of order, and the expected value lies beyond it."""
    batch = await on_the_way(world, 2)
    first, second = opened(world, batch)
    await world.fr.intake.accept(BE, frame([reseal(world, first)]))
    (item,) = items(world, await world.fr.intake.accept(BE, frame([reseal(world, second, seq=1)])), [second])
    assert (item.outcome, item.code, item.expected) == ("refused", "out-of-order", 2)


async def test_an_unknown_id_outside_its_window_is_refused_and_a_known_one_is_not(world: World) -> None:
    """After `exp` the first copy is too late; a message accepted in time keeps its receipt."""
    batch = await on_the_way(world, 2)
    first, second = (frame([sealed]) for sealed in deframe(batch))
    receipt = await world.fr.intake.accept(BE, first)
    world.clock.advance(days=31)
    assert await world.fr.intake.accept(BE, first) == receipt
    (late,) = items(world, await world.fr.intake.accept(BE, second), opened(world, second))
    assert (late.outcome, late.code) == ("refused", "replayed")


async def test_quarantine_keeps_bytes_within_the_quota_and_digests_above(world: World) -> None:
    """Three items with their bytes (the partner's share), then one row a code: newest digest and the bytes sent."""
    batch = await on_the_way(world)
    (message,) = opened(world, batch)
    for _ in range(5):
        await world.fr.intake.accept(BE, frame([reseal(world, message, x5t_s256="A" * 43)]))
    rows = world.fr.rows(QuarantineRow)
    assert len(rows) == 4
    assert sum(bool(row.body) for row in rows) == 3
    (over,) = (row for row in rows if not row.body)
    assert over.size == sum(row.size for row in rows if row.body) * 2 // 3
    assert all(len(row.digest) == 64 and row.size > 4096 for row in rows)


async def test_a_receipt_statement_is_signed_after_a_crash(world: World) -> None:
    """Killed between commit and signature: the message is there, and the next attempt gets the signature over the
    stored statement, not a second statement."""
    batch = await on_the_way(world)
    names: list[str] = []
    world.faults.arm(-1, "")
    names = world.faults.calls
    world.faults.at, world.faults.mode = (
        4,
        "kill-before",
    )  # open, data_keys, terms, commit, then the signature
    with pytest.raises(Killed):
        await world.fr.intake.accept(BE, batch)
    assert names[-1] == f"{FR} receipts"
    (row,) = world.fr.rows(ReceiptRow, direction="out")
    assert not row.signed
    await world.fr.boot()
    receipt = await world.fr.intake.accept(BE, batch)
    (item,) = items(world, receipt, opened(world, batch))
    assert item.outcome == "accepted"
    assert [(stored.id, stored.signed) for stored in world.fr.rows(ReceiptRow)] == [(row.id, True)]
    assert await world.fr.intake.receipt(BE, item.id) == receipt


async def test_a_receipt_is_its_senders_alone(world: World) -> None:
    """Another partner asking by id learns nothing, and a stopped one nothing more."""
    batch = await on_the_way(world)
    await world.fr.intake.accept(BE, batch)
    (message,) = opened(world, batch)
    entry = msgspec.structs.replace(world.founded.homes[BE].entry, org="deu.polizei-demo", nation="DEU")
    await world.fr.change("partner", entry.org, canonical(entry))
    assert await world.fr.intake.receipt(entry.org, message.header.jti) is None
    stopped = msgspec.structs.replace(world.fr.gateway.directory.partners[BE], stopped=True, version=2)
    await world.fr.change("partner", BE, canonical(stopped))
    with pytest.raises(UnknownPartner):
        await world.fr.intake.accept(BE, batch)
    with pytest.raises(UnknownPartner):
        await world.fr.intake.receipt(BE, message.header.jti)


async def test_the_same_batch_over_two_connections_is_accepted_once(world: World) -> None:
    """Two POSTs at once: one acceptance, one effect; the other is told to come again, and then finds the receipt."""
    batch = await on_the_way(world)
    messages = opened(world, batch)
    receipts = await asyncio.gather(world.fr.intake.accept(BE, batch), world.fr.intake.accept(BE, batch))
    outcomes = sorted(items(world, receipt, messages)[0].outcome for receipt in receipts)
    assert outcomes in (["accepted", "accepted"], ["accepted", "not-processed"])
    assert len(world.fr.received()) == 1
    (again,) = items(world, await world.fr.intake.accept(BE, batch), messages)
    assert again.outcome == "accepted"


async def test_a_newer_agreement_at_one_side_only_stops_the_exchange(world: World) -> None:
    """The seal names the terms it was made under: other terms in force at the receiver refuse it."""
    batch = await on_the_way(world)
    newer = sign_agreement(terms(version=2, retention_days=30), world.founded.agreement_keys)
    await world.fr.change("agreement", SERIES, canonical(newer))
    (item,) = items(world, await world.fr.intake.accept(BE, batch), opened(world, batch))
    assert (item.outcome, item.code) == ("refused", "outside-agreement")

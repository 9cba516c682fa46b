"""Rounds of time-stamps over our logs: one anchors all of them, each renews those before, and a bound without any."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from gateway.audit.checkpoint import VerifierKey, log_key_name, parse, partner_origin
from gateway.audit.verify import LogVerdict, verify_log
from gateway.errors import ConfigInvalid, GatewayError, PartnerUnreachable, SignatureInvalid
from gateway.model.rows import CheckpointRow, CosignatureRow, EntryRow, StampedHeadRow, StampRow, TileRow
from gateway.ports import ReadTx, Tx
from gateway.service.config import Timestamping, read_config
from gateway.service.log_source import StoredLog
from gateway.service.stamped import Judged, Kept, anchored, encode_document, imprint, judge, kept
from gateway.service.stamps import Stamps, unanchored
from gateway.service.timestamp import Asked
from tests.service.world import BE, CLEAN, FR, NOW, World
from tests.tls.authority import POLICY, VOUCHING, Authority, Signer, openssl_verify

ABOUT_FR, MASTER = partner_origin(BE, FR), f"ecluse/{BE}/master"
CONFIG = Timestamping(url="http://tsa.invalid/", policy=POLICY, every_s=60, unanchored_s=3600)


@pytest.fixture
def tsa(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "tsa")


def asking(world: World, tsa: Authority, config: Timestamping = CONFIG) -> Stamps:
    """The Belgian side with this authority."""
    gateway = world.be.gateway
    gateway.config = msgspec.structs.replace(gateway.config, timestamping=config)
    return Stamps(gateway, tsa, tsa.trusted)


async def asked(world: World, stamps: Stamps) -> bool:
    """A round at the real time, which is the authority's."""
    world.clock.set(datetime.now(UTC))
    return await stamps.round()


async def told(world: World, record: str) -> None:
    """One message delivered while the extract was fresh; the newest heads are signed."""
    world.clock.set(NOW)
    await world.be.disclose(record)
    await world.be.send()
    await world.be.gateway.checkpoint_logs([MASTER, ABOUT_FR])


async def archive(world: World, *trusting: Authority) -> tuple[list[Kept], list[Judged]]:
    """The stamps kept, and what each proves now."""
    found = await world.be.gateway.store.read(kept)
    trusted = [one for authority in trusting for one in authority.trusted]
    return found, judge(found, BE, trusted, world.clock.now())


async def test_one_stamp_anchors_every_log(world: World, tsa: Authority, tmp_path: Path) -> None:
    """One request; its document names the newest head of each log by its digest and nothing of a partner; it says since
    when each log is as it is, and `openssl ts -verify` accepts it with the authority's certificate."""
    stamps = asking(world, tsa)
    await told(world, CLEAN[0])
    assert await asked(world, stamps)
    assert len(tsa.asked) == 1
    (one,), judged = await archive(world, tsa)
    heads = [world.be.rows(CheckpointRow, origin=origin)[-1].note for origin in (MASTER, ABOUT_FR)]
    assert json.loads(one.document)["heads"] == sorted(hashlib.sha256(note).hexdigest() for note in heads)
    assert FR.encode() not in one.document
    notes, anchors = anchored([one], judged)
    assert sorted(notes) == sorted(heads)
    assert {origin: said.by for origin, said in anchors.items()} == dict.fromkeys(
        (MASTER, ABOUT_FR), "fictitious time-stamp authority"
    )
    (tmp_path / "document.json").write_bytes(one.document)
    (tmp_path / "response.tsr").write_bytes(one.response)
    (tmp_path / "chain.pem").write_bytes(one.chain)
    paths = (tmp_path / "document.json", tmp_path / "response.tsr", tsa.ca)
    assert openssl_verify(*paths) == "OK"
    assert openssl_verify(*paths, tmp_path / "chain.pem") == "OK"
    (tmp_path / "document.json").write_bytes(one.document + b" ")
    assert openssl_verify(*paths) != "OK"


async def test_an_authority_between(world: World, tmp_path: Path) -> None:
    """The chain is kept with the stamp, so that openssl accepts it with the root alone."""
    tsa = Authority(tmp_path / "tsa", between=VOUCHING)
    await told(world, CLEAN[0])
    assert await asked(world, asking(world, tsa))
    (one,), judged = await archive(world, tsa)
    assert ([said.standing for said in judged], one.chain.count(b"BEGIN")) == (["holds"], 3)
    for name, raw in (("d", one.document), ("r", one.response), ("c", one.chain)):
        (tmp_path / name).write_bytes(raw)
    assert openssl_verify(tmp_path / "d", tmp_path / "r", tsa.ca, tmp_path / "c") == "OK"


async def test_the_cadence_is_constant_and_nothing_is_kept_twice(world: World, tsa: Authority) -> None:
    """A round asks though nothing moved, with a request of the same length, and keeps only what says something new."""
    stamps = asking(world, tsa)
    await told(world, CLEAN[0])
    assert await asked(world, stamps)
    assert not await asked(world, stamps)
    await told(world, CLEAN[1])
    assert await asked(world, stamps)
    assert len(tsa.asked) == 3
    assert max(map(len, tsa.asked)) - min(map(len, tsa.asked)) <= 1  # a nonce may begin with a zero
    assert [row.number for row in world.be.rows(StampRow)] == [1, 2]
    first = world.be.rows(StampedHeadRow, stamp=1)
    assert {row.origin for row in first} == {MASTER, ABOUT_FR}


async def test_stamps_renew_those_before(world: World, tsa: Authority) -> None:
    """Each stamp is over the one before: an older one holds as long as the next came before its certificate ended, even
    when it ended since; without a next one it lapses."""
    tsa.signer = replace(tsa.signer, ends=timedelta(days=10))
    tsa.renew()
    stamps = asking(world, tsa)
    await told(world, CLEAN[0])
    assert await asked(world, stamps)
    assert not await asked(world, stamps)  # the same certificate would end as early
    tsa.signer = Signer()
    tsa.renew()
    assert await asked(world, stamps)  # nothing moved, but it renews
    found, judged = await archive(world, tsa)
    assert [one.standing for one in judged] == ["holds", "holds"]
    world.clock.advance(days=20)
    assert [one.standing for one in (await archive(world, tsa))[1]] == ["holds", "holds"]
    assert [one.standing for one in judge(found[:1], BE, tsa.trusted, world.clock.now())] == ["lapsed"]
    world.clock.advance(days=300)
    assert [one.standing for one in (await archive(world, tsa))[1]] == ["lapsed", "lapsed"]


async def test_another_authority_takes_over(world: World, tsa: Authority, tmp_path: Path) -> None:
    """The next authority renews what the first one stamped; both must be believed for both to count."""
    other = Authority(tmp_path / "other")
    await told(world, CLEAN[0])
    assert await asked(world, asking(world, tsa))
    await told(world, CLEAN[1])
    assert await asked(world, asking(world, other))
    for trusting, standing in (
        ((tsa, other), ["holds", "holds"]),
        ((other,), ["unknown", "holds"]),
        ((tsa,), ["holds", "unknown"]),
        ((), ["unknown", "unknown"]),
    ):
        assert [one.standing for one in (await archive(world, *trusting))[1]] == standing


async def test_a_stamp_that_was_changed(world: World, tsa: Authority) -> None:
    """A document, response, head or earlier stamp that is not what it was breaks it, and what was built on it."""
    stamps = asking(world, tsa)
    for record in CLEAN[:3]:
        await told(world, record)
        assert await asked(world, stamps)
    found, _ = await archive(world)

    def standing(changed: Sequence[Kept], org: str = BE) -> list[str]:
        return [one.standing for one in judge(changed, org, tsa.trusted, world.clock.now())]

    def with_second(**parts: object) -> list[Kept]:
        return [found[0], msgspec.structs.replace(found[1], **parts), found[2]]

    assert standing(found) == ["holds"] * 3
    assert standing(with_second(document=found[1].document.replace(b"heads", b"Heads"))) == [
        "holds",
        "broken",
        "broken",
    ]
    assert standing(with_second(response=found[0].response)) == ["holds", "broken", "broken"]
    assert standing(with_second(notes=(*found[1].notes, b"another"))) == ["holds", "broken", "holds"]
    assert standing(with_second(chain=b"")) == ["holds", "holds", "broken"]
    assert standing([found[0], found[2]]) == ["holds", "broken"]
    assert standing(found, "bel.other") == ["broken"] * 3


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{}",
        b'{"before":null,"heads":[],"org":"bel.other","use":"ecluse/stamp/1"}',
        b'{"before":null,"heads":[],"org":"bel.ocam","use":"ecluse/stamp/2"}',
        b'{"before":null, "heads":[],"org":"bel.ocam","use":"ecluse/stamp/1"}',
        b'{"before":null,"heads":[],"more":1,"org":"bel.ocam","use":"ecluse/stamp/1"}',
        b'{"heads":[],"org":"bel.ocam","use":"ecluse/stamp/1"}',
    ],
)
def test_a_stamp_over_another_document(tsa: Authority, document: bytes) -> None:
    """Sound in itself, but over bytes that are no document of ours in its one spelling: broken."""
    raw = tsa.answer(Asked(imprint(document), 5, POLICY).encode())
    kept_so = Kept(1, document, raw, b"", ())
    (judged,) = judge([kept_so], BE, tsa.trusted, datetime.now(UTC))
    assert (judged.standing, judged.reason) == ("broken", "document")
    right = encode_document(BE, [], None)
    raw = tsa.answer(Asked(imprint(right), 5, POLICY).encode())
    (judged,) = judge([Kept(1, right, raw, b"", ())], BE, tsa.trusted, datetime.now(UTC))
    assert judged.standing == "holds"


async def test_a_log_that_does_not_lead_to_a_stamped_head(world: World, tsa: Authority) -> None:
    """A stamp is a head held outside: a log verifies up to it, and one that was cut off before it, heads and all, is
    found with the first index that is missing."""
    stamps = asking(world, tsa)
    await told(world, CLEAN[0])
    assert await asked(world, stamps)
    notes, anchors = anchored(*await archive(world, tsa))
    keys = [VerifierKey.of(log_key_name(BE), world.be.home.keys.log.public_key())]
    held = [note for note in notes if parse(note).checkpoint.origin == ABOUT_FR]

    def verdict(tx: ReadTx) -> LogVerdict:
        return verify_log(StoredLog(tx, ABOUT_FR), keys, held=held)

    whole = await world.be.gateway.store.read(verdict)
    assert (whole.status, whole.witnessed_size) == ("verified", anchors[ABOUT_FR].size)

    def cut(tx: Tx) -> None:
        for kind in (EntryRow, TileRow, CheckpointRow):
            tx.delete(kind, {"origin": ABOUT_FR})

    await world.be.store.write(cut)
    left = await world.be.gateway.store.read(verdict)
    assert (left.status, left.reason, left.first_wrong_index) == ("truncated", "held-tail-missing", 0)


async def test_nobody_outside_has_seen_a_head(world: World, tsa: Authority) -> None:
    """With an authority configured, a head that neither it nor the partner has seen for longer than the bound holds
    that partner's lanes; a stamp lets them go, and so does a cosignature; without an authority nothing is bounded."""
    stamps = asking(world, tsa)
    await told(world, CLEAN[0])

    async def held() -> bool:
        gateway, now = world.be.gateway, world.clock.now()
        return await gateway.store.read(lambda tx: unanchored(gateway, tx, FR, now))

    await world.be.disclose(CLEAN[1])
    assert not await held()
    world.clock.advance(seconds=3601)
    assert await held()
    assert await world.be.dispatcher._partners() == []
    (newest,) = world.be.rows(CheckpointRow, origin=ABOUT_FR)[-1:]
    await world.be.store.write(
        lambda tx: tx.put(CosignatureRow(ABOUT_FR, newest.size, "w", "k", b"", newest.at))
    )
    assert not await held()
    await world.be.store.write(lambda tx: tx.delete(CosignatureRow, {"origin": ABOUT_FR}))
    assert await held()
    assert await asked(world, stamps)
    assert not await held()
    assert await world.be.dispatcher._partners() == [FR]
    world.be.gateway.config = msgspec.structs.replace(world.be.gateway.config, timestamping=Timestamping())
    await world.be.store.write(lambda tx: tx.delete(StampedHeadRow, {"origin": ABOUT_FR}))
    assert not await held()


def _said(answer: bytes, _: bytes) -> bytes:
    return answer


async def test_what_is_refused_is_not_kept(world: World, tsa: Authority) -> None:
    """An answer to another request, and one that is none, leave nothing behind."""
    stamps = asking(world, tsa)
    await told(world, CLEAN[0])
    earlier = tsa.answer(Asked(bytes(64), 5, POLICY).encode())
    for answer in (b"", b"not DER", earlier, bytes(60_000)):
        tsa.rewrite = partial(_said, answer)
        with pytest.raises(GatewayError):
            await asked(world, stamps)
    assert not world.be.rows(StampRow)
    tsa.rewrite = lambda raw: raw
    world.clock.set(datetime.now(UTC) - timedelta(seconds=600))
    with pytest.raises(SignatureInvalid):
        await stamps.round()
    assert not world.be.rows(StampRow)


@pytest.mark.parametrize(
    "members",
    [
        'url = "ftp://tsa.invalid/"\npolicy = "1.2.3"',
        'url = "http://tsa.invalid/"',
        'url = "http://tsa.invalid/"\npolicy = "1.40.1"',
        'url = "http://tsa.invalid/"\npolicy = "1.2.03"',
        'url = "http://tsa.invalid/"\npolicy = "3.1.1"',
        "every_s = 0",
        "every_s = 3600\nunanchored_s = 7199",
        "unanchored_s = 0",
    ],
)
def test_a_configuration_that_is_refused(members: str) -> None:
    """Another scheme, no policy or none that can be, and a bound that one lost response would pass."""
    sample = Path(__file__).resolve().parents[2] / "docs" / "samples" / "gateway.toml"
    right = '\n[timestamping]\nurl = "https://tsa.invalid/"\npolicy = "2.999.1"\n'
    assert read_config(sample.read_bytes() + right.encode()).config.timestamping.policy == "2.999.1"
    with pytest.raises(ConfigInvalid, match="timestamping"):
        read_config(sample.read_bytes() + f"\n[timestamping]\n{members}\n".encode())


async def test_that_lanes_wait_is_said_once(world: World, tsa: Authority) -> None:
    """When the bound is passed, and when it is met again; not in each round."""
    stamps = asking(world, tsa)
    await told(world, CLEAN[0])
    world.clock.advance(seconds=3601)
    with capture_logs() as logs:
        await stamps._look()
        await stamps._look()
        assert await asked(world, stamps)
        await stamps._look()
        await stamps._look()
    assert [one["event"] for one in logs] == ["stamp.unanchored", "stamp.anchored"]


async def test_an_authority_that_is_away_is_logged_once(world: World, tsa: Authority) -> None:
    """Failing rounds say so when they begin to fail and when they end, whatever their number, and the task goes on."""
    config = msgspec.structs.replace(CONFIG, unanchored_s=10**10)
    stamps = asking(world, tsa, config)
    await told(world, CLEAN[0])
    rounds = 0

    async def flaky(request: bytes) -> bytes:
        nonlocal rounds
        rounds += 1
        if rounds < 4:
            raise PartnerUnreachable("away")
        return tsa.answer(request)

    tsa.stamp = flaky  # type: ignore[method-assign]
    world.clock.set(datetime.now(UTC))
    world.be.gateway.config = msgspec.structs.replace(
        world.be.gateway.config,
        timestamping=msgspec.structs.replace(config, every_s=0.01),
    )
    with capture_logs() as logs:
        task = asyncio.create_task(stamps.run())
        for _ in range(500):
            await asyncio.sleep(0.02)
            if world.be.rows(StampRow):
                break
        task.cancel()
    assert [one["event"] for one in logs if one["event"].startswith("stamp.")] == [
        "stamp.waiting",
        "stamp.resumed",
    ]
    assert rounds >= 4

"""Suites and signature profiles between two gateways: what is agreed is what travels, and nothing else is accepted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.flow.change import canonical
from gateway.model.party import KeyRecord
from gateway.model.rows import InboxRow, OutboxRow, QuarantineRow
from gateway.service import calls, provision
from gateway.service.contents import InboundBody
from gateway.service.vault import keys_of
from gateway.wire import jwe, mldsa
from gateway.wire.container import Preamble, decrypt, deframe, encrypt, frame, pack, split, unpack
from gateway.wire.jws import spki
from gateway.wire.seal import second_header, sign_seal, verify_seal
from tests.service.founding import sign_agreement, terms
from tests.service.test_intake import items, on_the_way
from tests.service.world import BE, CLEAN, SERIES, Opened, World, opened

HPKE, JWE = SUITES = ("hpke-mlkem768-x25519-a256gcm", "jwe-ecdh-es-a256gcm")
CLASSIC, HYBRID = PROFILES = ("classic", "hybrid")
DUTCH = "nld.police-demo"


async def agree(world: World, suite: str, profile: str, version: int = 2) -> None:
    """Both sides put a new version of their agreement in force."""
    agreed = terms(version=version, suites=(suite,), signature_profiles=(profile,))
    document = canonical(sign_agreement(agreed, world.founded.agreement_keys))
    for side in world.sides.values():
        await side.change("agreement", SERIES, document)


async def stored(world: World, row: InboxRow) -> InboundBody:
    """What France keeps of a message it accepted."""
    side = world.fr.gateway
    await side.vault.unlock(await side.store.read(lambda tx: keys_of(tx, [row.key])))
    return await side.store.read(lambda tx: side.vault.open(tx, row.body, InboundBody))


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("profile", PROFILES)
async def test_a_full_exchange_in_each_combination(world: World, suite: str, profile: Any) -> None:
    """From record to receipt under the suite and profile agreed on; the receiver keeps every signature."""
    await agree(world, suite, profile)
    (view,) = await world.be.disclose(CLEAN[0])
    await world.be.send()
    assert world.be.release(view).state == "delivered"
    (batch,) = world.be.wire.batches
    (sent,) = opened(world, batch)
    assert split(*deframe(batch))[0].suite == sent.header.suite == suite
    assert (sent.header.sig_profile, bool(sent.second)) == (profile, profile == HYBRID)
    (row,) = world.fr.received()
    kept = await stored(world, row)
    assert (kept.payload, kept.jws, kept.second) == (sent.payload, sent.jws, sent.second)
    keys, now = world.be.home.entry.keys, world.clock.now()
    evidence = verify_seal(kept.jws, kept.second, kept.payload, keys, profile=profile, now=now)
    assert evidence.header.jti == view.message_id


async def test_a_retry_carries_both_signatures_again(world: World) -> None:
    """ML-DSA signs with chance, so the seal is stored and never made again: a retry has the very same two JWS."""
    await agree(world, JWE, HYBRID)
    world.be.wire.script = ["answer-lost", "pass"]
    await world.be.disclose(CLEAN[0])
    await world.be.send()
    world.clock.advance(seconds=60)
    await world.be.send()
    first, again = (opened(world, batch)[0] for batch in world.be.wire.batches)
    assert (first.jws, first.second) == (again.jws, again.second)
    assert world.be.wire.batches[0] != world.be.wire.batches[1]
    assert len(world.fr.received()) == 1


# --- not what was agreed ---------------------------------------------------------------------------------------------


def sealed_anew(world: World, like: Opened, second: str | None = None, **changes: Any) -> bytes:
    """The sender's own keys under another header: what a sender that cares for no agreement could seal."""
    header = msgspec.structs.replace(like.header, **changes)
    keys = world.be.home.keys
    jws = sign_seal(header, like.payload, keys.message)
    if second is None and header.sig_profile == HYBRID:
        record = keys.record("message", mldsa.ALG)
        under = second_header(header, kid=record.kid, x5t=record.x5t)
        second = sign_seal(under, like.payload, keys.message_mldsa)
    preamble = Preamble(1, header.suite, header.iss, header.aud, header.jti, header.enc_kid)
    addressee = {key.kid: key for key in world.fr.home.entry.keys_for("encryption")}
    return encrypt(preamble, pack(jws, like.payload, second or ""), addressee[header.enc_kid])


def enc_kid(world: World, suite: str) -> str:
    return world.fr.home.keys.record("encryption", suite).kid


NOT_AGREED: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "hybrid stripped of its second": (HPKE, HYBRID, {"second": ""}, "signature-invalid"),
    "downgraded to classic": (HPKE, HYBRID, {"sig_profile": CLASSIC}, "outside-agreement"),
    "raised to hybrid": (HPKE, CLASSIC, {"sig_profile": HYBRID}, "outside-agreement"),
    "a second one under classic": (HPKE, CLASSIC, {"second": "e30..AAAA"}, "signature-invalid"),
    "the other suite": (HPKE, CLASSIC, {"suite": JWE}, "outside-agreement"),
    "the stronger suite": (JWE, HYBRID, {"suite": HPKE}, "outside-agreement"),
}


@pytest.mark.parametrize("name", NOT_AGREED)
async def test_what_was_not_agreed_is_refused(world: World, name: str) -> None:
    """Weaker or stronger, correctly signed with the sender's own keys: refused by name, quarantined, nothing kept."""
    suite, profile, changes, code = NOT_AGREED[name]
    await agree(world, suite, profile)
    (message,) = opened(world, await on_the_way(world))
    if "suite" in changes:
        changes = changes | {"enc_kid": enc_kid(world, changes["suite"])}
    receipt = await world.fr.intake.accept(BE, frame([sealed_anew(world, message, **changes)]))
    (item,) = items(world, receipt, [message])
    assert (item.outcome, item.code) == ("refused", code)
    assert [row.code for row in world.fr.rows(QuarantineRow)] == [code]
    assert world.fr.rows(InboxRow) == []
    honest = await world.fr.intake.accept(BE, frame([sealed_anew(world, message)]))
    assert items(world, honest, [message])[0].outcome == "accepted"


# --- two partners ----------------------------------------------------------------------------------------------------


async def test_two_partners_with_different_suites(world: World, tmp_path: Path) -> None:
    """One home, two agreements: the French get HPKE and one signature, the Dutch JWE and two, each by its own key."""
    opening = ec.generate_private_key(ec.SECP256R1())
    path = tmp_path / "agreement.pem"
    agreement_key = provision.new_agreement_key(path, DUTCH)
    key = KeyRecord(
        kid=f"{DUTCH}/encryption/1", use="encryption", alg=jwe.SUITE, public=spki(opening.public_key())
    )
    entry = msgspec.structs.replace(world.fr.home.entry, org=DUTCH, nation="NLD", keys=(agreement_key, key))
    agreed = terms(
        series=f"{BE}-{DUTCH}",
        parties=(BE, DUTCH),
        recipient_kinds={DUTCH: "police", BE: "other"},
        protocol=msgspec.structs.replace(terms().protocol, bodies=(BE, DUTCH)),
        suites=(JWE,),
        signature_profiles=(HYBRID,),
    )
    signed = sign_agreement(agreed, {BE: world.founded.agreement_keys[BE], DUTCH: path})
    await world.be.change("partner", DUTCH, canonical(entry))
    await world.be.change("agreement", agreed.series, canonical(signed))

    (french,) = await world.be.disclose(CLEAN[0])
    await world.be.send()
    dutch = await world.be.prepare(CLEAN[0], to=DUTCH)
    token = world.be.endorse("be-requester", "request", [dutch.statement])
    await world.be.call("be-requester", "releases/endorse", calls.Endorsed((dutch.release,), token))
    await world.be.approve(dutch)
    world.be.wire.script = ["lost"]
    await world.be.dispatcher.send_batch(DUTCH)

    assert world.be.release(french).state == "delivered"
    to_french, to_dutch = (split(*deframe(batch)) for batch in world.be.wire.batches)
    assert (to_french[0].suite, to_dutch[0].suite) == (HPKE, JWE)
    assert (to_dutch[0].aud, to_dutch[0].enc_kid) == (DUTCH, key.kid)
    parts = unpack(decrypt(*to_dutch[1:], opening))
    keys, now = world.be.home.entry.keys, world.clock.now()
    verify_seal(parts.jws, parts.second, parts.payload, keys, profile="hybrid", now=now)
    assert [row.state for row in world.be.rows(OutboxRow, partner=DUTCH)] == ["attempted"]

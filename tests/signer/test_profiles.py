"""What the signer signs and opens by what is agreed: one or two signatures, one suite, and never another."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import LocalFault, MalformedMessage
from gateway.model.agreement import SignatureProfile, Suite
from gateway.model.party import Partner
from gateway.wire import hpke, jwe
from gateway.wire.container import BUCKETS, Preamble, encrypt, split
from gateway.wire.seal import second_header, verify_seal
from tests.policy.worlds import NOW, OURS, POLICE
from tests.signer.world import (
    MESSAGE_ID,
    Disk,
    authority,
    batch,
    disk,
    partner,
    refusal,
    release,
    signed_agreement,
    signer_keys,
    trust,
    trusted,
    with_request,
)
from tests.wire.parties import encryption_record, jwe_record

SUITES: tuple[Suite, ...] = (hpke.SUITE, jwe.SUITE)
PROFILES: tuple[SignatureProfile, ...] = ("classic", "hybrid")
ENC_KID = {hpke.SUITE: encryption_record().kid, jwe.SUITE: jwe_record().kid}


def agreed(suite: Suite, profile: SignatureProfile) -> tuple[Any, Disk]:
    """An honest batch under an agreement on these two, and a signer that believes the agreement."""
    entry: Partner = partner(keys=(*partner().keys, jwe_record()))
    signed = signed_agreement(suites=(suite,), signature_profiles=(profile,))
    believed = trust(partners={POLICE: entry}, agreements={"be-fr-police": trusted(signed)})
    made = batch(release(agreement=signed, toward=entry))
    return with_request(made, suite=suite, sig_profile=profile, enc_kid=ENC_KID[suite]), disk(believed)


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("profile", PROFILES)
def test_it_seals_what_is_agreed(suite: Suite, profile: SignatureProfile) -> None:
    """The seal names suite and profile; hybrid brings a second JWS under the same header, classic none."""
    made, held = agreed(suite, profile)
    (result,) = authority(held).seal(made).results
    records = signer_keys().records
    payload = made.items[0].payload
    evidence = verify_seal(result.jws, result.second, payload, records, profile=profile, now=NOW)
    assert (evidence.header.suite, evidence.header.sig_profile) == (suite, profile)
    assert bool(result.second) is (profile == "hybrid")
    if profile == "hybrid":
        record = signer_keys().record("message", "ML-DSA-65")
        assert second_header(evidence.header, kid=record.kid, x5t=record.x5t).kid == evidence.second_kid


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("profile", PROFILES)
def test_it_seals_nothing_else(suite: Suite, profile: SignatureProfile) -> None:
    """Another suite or profile than the agreed one, weaker or stronger, or a key of the other suite: refused."""
    made, held = agreed(suite, profile)
    other_suite = next(one for one in SUITES if one != suite)
    other_profile = next(one for one in PROFILES if one != profile)
    assert refusal(made, held) == ""
    for changes in (
        {"suite": other_suite},
        {"suite": other_suite, "enc_kid": ENC_KID[other_suite]},
        {"enc_kid": ENC_KID[other_suite]},
        {"sig_profile": other_profile},
        {"sig_profile": ""},
        {"suite": "hpke-mlkem1024-p384-a256gcm"},
    ):
        assert refusal(with_request(made, **changes), agreed(suite, profile)[1]) == "request-invalid", changes


def test_it_opens_each_suite_with_its_own_key() -> None:
    """A message of either suite opens; asked for as the other suite, or for an unknown one, it does not."""
    signer = authority(disk())
    for suite in SUITES:
        record = signer_keys().record("encryption", suite)
        plain = bytes(BUCKETS[0])
        preamble = Preamble(1, suite, POLICE, OURS, MESSAGE_ID, record.kid)
        _, line, ciphertext = split(encrypt(preamble, plain, record))
        assert signer.open(suite, line, ciphertext) == plain
        other = next(one for one in SUITES if one != suite)
        with pytest.raises(MalformedMessage):
            signer.open(other, line, ciphertext)
        with pytest.raises(LocalFault):
            signer.open("jwe-rsa-oaep", line, ciphertext)


def test_every_key_of_the_signer_is_another() -> None:
    """No key serves two uses or two algorithms: records differ in id and in key."""
    records = signer_keys().records
    assert (
        len({record.kid for record in records}) == len({record.public for record in records}) == len(records)
    )
    with pytest.raises(LocalFault):
        signer_keys().record("message", "ES384")
    assert jwe_record() in records

"""The vectors of the partner protocol, through our own code: every case ends as its file says, by its one code."""

from __future__ import annotations

import base64
import copy
import json
import re
from collections.abc import Callable
from datetime import datetime
from functools import cache
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from gateway.errors import GatewayError, PartnerFault
from gateway.flow.inbound import check_covered, check_seq, check_window
from gateway.model.agreement import AgreementState, SignedAgreement
from gateway.model.party import Partner
from gateway.model.time import parse_rfc3339
from gateway.policy.levels import default_levels
from gateway.service.held import held_row
from gateway.service.intake import Intake
from gateway.wire import hpke
from gateway.wire.agreement import verify_agreement
from gateway.wire.container import decrypt, deframe, split, unpack
from gateway.wire.ct_json import CtJson
from gateway.wire.receipt import verify_receipt
from gateway.wire.seal import verify_seal
from gateway.wire.strict import b64url_decode
from tests.vectors import make_protocol
from tests.vectors.protocol_bytes import HPKE, hpke_info, hpke_open, jwe_open, p256, seed

Case = dict[str, Any]

#: Every answer there is: no case may expect another.
CODES = {
    "accept", "malformed", "schema-violation", "signature-invalid", "wrong-audience", "replayed", "out-of-order",
    "digest-conflict", "outside-agreement", "mis-sent",
}  # fmt: skip

WORLD: Case = json.loads((make_protocol.FOLDER / "world.json").read_text())
NOW: datetime = parse_rfc3339(WORLD["now"])
SENDER = msgspec.convert(WORLD["sender"], Partner)
RECIPIENT = msgspec.convert(WORLD["recipient"], Partner)
LEVELS = default_levels()


@cache
def load(name: str) -> Case:
    content: Case = json.loads((make_protocol.FOLDER / f"{name}.json").read_text())
    return content


def every(name: str) -> list[Any]:
    """The cases of a file, each under its own name."""
    return [pytest.param(case, id=re.sub(r"\W+", "-", case["name"])) for case in load(name)["cases"]]


def outcome(run: Callable[[], object]) -> str:
    """``accept``, or the code of the error; any other exception is a failure of the test."""
    try:
        run()
    except GatewayError as error:
        return error.code
    return "accept"


def joined(pieces: list[str | int]) -> bytes:
    return b"".join(bytes(piece) if isinstance(piece, int) else b64url_decode(piece) for piece in pieces)


@cache
def agreement(name: str) -> AgreementState:
    """An agreement of the world, its signatures verified with the keys of both entries."""
    signed = msgspec.convert(
        {key: value for key, value in WORLD["agreements"][name].items() if key != "sha256"}, SignedAgreement
    )
    keys = {SENDER.org: SENDER.keys_for("agreement"), RECIPIENT.org: RECIPIENT.keys_for("agreement")}
    return verify_agreement(signed, keys, ours=RECIPIENT.org, theirs=SENDER.org, now=NOW)


# --- single documents ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", every("batches"))
def test_batches(case: Case) -> None:
    """A body is taken apart into the messages it frames, or refused."""
    raw = joined(case["body"])
    assert outcome(lambda: deframe(raw)) == case["expect"]
    if case["expect"] == "accept":
        assert [len(item) for item in deframe(raw)] == case["items"]


@pytest.mark.parametrize("case", every("preambles"))
def test_preambles(case: Case) -> None:
    """A preamble line has one spelling."""
    ciphertext = bytes(4096 + hpke.OVERHEAD)
    assert outcome(lambda: split(b64url_decode(case["line"]) + b"\n" + ciphertext)) == case["expect"]


@pytest.mark.parametrize("case", every("plaintexts"))
def test_plaintexts(case: Case) -> None:
    """A plaintext fills the smallest bucket, exactly."""
    assert outcome(lambda: unpack(joined(case["plaintext"]))) == case["expect"]


@pytest.mark.parametrize("case", every("payloads"))
def test_payloads(case: Case) -> None:
    """A payload has one spelling, inside the schema of its type."""
    raw = case["text"].encode() if "text" in case else b64url_decode(case["bytes"])
    assert outcome(lambda: CtJson().parse(raw)) == case["expect"]


@pytest.mark.parametrize("case", every("seals"))
def test_seals(case: Case) -> None:
    """A seal holds under the profile agreed, in its window."""

    def run() -> None:
        (profile,) = agreement(case["agreement"]).terms.signature_profiles
        payload = case["payload"].encode()
        keys = SENDER.keys_for("message")
        evidence = verify_seal(case["jws"], case["second"], payload, keys, profile=profile, now=NOW)
        check_window(evidence, now=NOW)

    assert outcome(run) == case["expect"]


@pytest.mark.parametrize("case", every("receipts"))
def test_receipts(case: Case) -> None:
    """A receipt answers for what was sent, with a head of the receiver's log about us."""

    def run() -> None:
        sent = [(message, digest) for message, digest in case["sent"]]
        receipt = verify_receipt(
            case["jws"], RECIPIENT.keys_for("receipt"), now=NOW, iss=RECIPIENT.org, aud=SENDER.org, sent=sent
        )
        held_row(RECIPIENT, SENDER.org, receipt.statement.checkpoint, NOW)

    assert outcome(run) == case["expect"]


@pytest.mark.parametrize("case", every("checkpoints"))
def test_checkpoints(case: Case) -> None:
    """A head is one the sender's log key signed for its log about us."""
    assert outcome(lambda: held_row(SENDER, RECIPIENT.org, case["note"], NOW)) == case["expect"]


@pytest.mark.parametrize("case", every("agreements"))
def test_agreements(case: Case) -> None:
    """Terms have one spelling, and every signature that is there holds."""
    keys = {SENDER.org: SENDER.keys_for("agreement"), RECIPIENT.org: RECIPIENT.keys_for("agreement")}
    signed = msgspec.convert(case["agreement"], SignedAgreement)

    def run() -> AgreementState:
        return verify_agreement(signed, keys, ours=RECIPIENT.org, theirs=SENDER.org, now=NOW)

    assert outcome(run) == case["expect"]
    if "signed" in case:
        state = run()
        assert (state.signed_theirs, state.signed_ours) == tuple(
            party.org in case["signed"] for party in (SENDER, RECIPIENT)
        )


# --- whole messages --------------------------------------------------------------------------------------------------


class Keys:
    """Opens with the recipient's keys, as its signer does."""

    async def open(self, suite: str, line: bytes, ciphertext: bytes) -> bytes:
        if suite == HPKE:
            return decrypt(line, ciphertext, hpke.kem_private(seed(f"{RECIPIENT.org}/hpke")))
        return decrypt(line, ciphertext, p256(f"{RECIPIENT.org}/jwe"))


async def arrive(case: Case) -> str:
    """Steps 3 to 19 of the protocol's §11 for a batch of one, by the intake's own functions; where and how it ended."""
    state = agreement(case["agreement"])
    world: Any = SimpleNamespace(
        org=RECIPIENT.org,
        signer=Keys(),
        directory=SimpleNamespace(agreement=lambda _org: state),
        config=SimpleNamespace(mode="operational"),
        levels=LEVELS,
    )
    intake = Intake(world)
    stage = "post"
    try:
        one = await intake._open(
            msgspec.structs.replace(SENDER, org=case["from"]), b64url_decode(case["sealed"])
        )
        stage = "message"
        known = case.get("known", {}).get(one.header.jti)
        if known is not None:
            return "message accept" if known == one.digest else "message digest-conflict"
        checked = intake._check(SENDER, one, NOW)
        if isinstance(checked, GatewayError):
            raise checked
        check_seq(one.header.seq, case["next_seq"])
        assert checked.witness is not None
        check_covered(one.header.seq, checked.witness.size)
    except PartnerFault as fault:
        number = fault.diagnostic.get("expected")
        return f"{stage} {fault.code}" + (f" {number}" if number else "")
    return "message accept"


@pytest.mark.parametrize("case", every("sealed"))
async def test_sealed_messages(case: Case) -> None:
    """A whole message is accepted, refused alone, or refused with its POST."""
    number = f" {case['expected']}" if "expected" in case else ""
    assert await arrive(case) == f"{case['stage']} {case['expect']}{number}"


def test_good_messages_open_without_our_code() -> None:
    """Both suites from primitives alone, as the document writes them down, give the same plaintext as our code."""
    opened = 0
    for case in load("sealed")["cases"]:
        if case["expect"] != "accept":
            continue
        _, line, ciphertext = split(b64url_decode(case["sealed"]))
        if ciphertext.isascii():
            content = jwe_open(ciphertext, p256(f"{RECIPIENT.org}/jwe"))
            assert content == decrypt(line, ciphertext, p256(f"{RECIPIENT.org}/jwe"))
        else:
            content = hpke_open(hpke_info(line), ciphertext, f"{RECIPIENT.org}/hpke")
            assert content == decrypt(line, ciphertext, hpke.kem_private(seed(f"{RECIPIENT.org}/hpke")))
        opened += 1
    assert opened >= 10


# --- the files themselves --------------------------------------------------------------------------------------------


def test_expectations_are_a_closed_list() -> None:
    """Each file says which answers occur in it; together they are the codes of the protocol; 300 cases at least."""
    seen: set[str] = set()
    count = 0
    for name in make_protocol.FILES:
        content = load(name)
        found = {case["expect"] for case in content["cases"]}
        assert sorted(found) == content["codes"], name
        assert "accept" in found
        seen |= found
        count += len(content["cases"])
    assert seen == CODES
    assert count >= 300


def test_files_are_what_the_generator_makes() -> None:
    """But for ciphertexts and ML-DSA signatures, which are drawn afresh, the files come out the same."""
    assert json.loads(json.dumps(make_protocol.world_file())) == WORLD
    for name in make_protocol.FILES:
        assert settled(make_protocol.file_of(name)) == settled(load(name)), name


def settled(content: Case) -> Case:
    """A copy without what chance made: sealed bytes, and the signature segments longer than ECDSA's."""
    copied = copy.deepcopy(content)
    for case in copied["cases"]:
        case.pop("sealed", None)
        for member in ("jws", "second"):
            if len(case.get(member, "").rpartition(".")[2]) > 1000:
                case[member] = case[member].rpartition(".")[0]
    return copied


def test_no_private_key_file_is_among_them() -> None:
    """Private keys exist as published seeds alone; all files together stay small."""
    total = 0
    for path in make_protocol.FOLDER.glob("*.json"):
        text = path.read_text()
        total += len(text.encode())
        assert "PRIVATE KEY" not in text
    assert total < 1_600_000
    for name, text in WORLD["private_seeds"].items():
        assert seed(name) == base64.b16decode(text.upper())

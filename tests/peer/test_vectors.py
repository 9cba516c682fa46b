"""The published vectors of the protocol, read by this peer alone: each gives `accept` or the one code it names."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from Crypto.PublicKey import ECC
from Crypto.Signature import eddsa

from tests.peer import checkpoint, container, jose, payload, receipt
from tests.peer.agreement import Agreement, read_agreement
from tests.peer.certificates import Authority
from tests.peer.container import OpeningKey, Parts
from tests.peer.entry import entry_of
from tests.peer.hpke import HpkeKey
from tests.peer.identity import Identity
from tests.peer.receiver import Receiver
from tests.peer.seal import check_window, read_seal, verify_seals
from tests.peer.spelling import Misspelt, Refused, b64url_bytes, seconds_of
from tests.peer.store import Store

FOLDER = Path(__file__).resolve().parents[1] / "vectors" / "protocol"


@cache
def vectors(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return found


def cases(name: str) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in vectors(name)["cases"]]


WORLD = vectors("world")
NOW = seconds_of(WORLD["now"])
SENDER, RECIPIENT = entry_of(WORLD["sender"]), entry_of(WORLD["recipient"])


def p256(name: str) -> ECC.EccKey:
    scalar = int(WORLD["private_seeds"][name], 16) % (jose.N - 1) + 1
    return ECC.construct(curve="P-256", d=scalar)


def opening_keys() -> dict[str, OpeningKey]:
    seed = bytes.fromhex(WORLD["private_seeds"]["fra.police-demo/hpke"])
    return {
        "fra.police-demo/hpke": HpkeKey(seed),
        "fra.police-demo/jwe": p256("fra.police-demo/jwe"),
    }


@cache
def agreement(name: str) -> Agreement:
    given = {member: WORLD["agreements"][name][member] for member in ("terms", "signatures")}
    read = read_agreement(given, RECIPIENT, SENDER, NOW)
    assert read.sha256 == WORLD["agreements"][name]["sha256"]
    assert set(read.signed) == {SENDER.org, RECIPIENT.org}
    return read


def pieces(given: list[str | int]) -> bytes:
    return b"".join(bytes(piece) if isinstance(piece, int) else b64url_bytes(piece) for piece in given)


def test_private_seeds_are_those_of_the_keys() -> None:
    """The recipient's private keys, made from the published seeds as the world says, are those of its entry."""
    publics = {key.kid: key.public for key in RECIPIENT.keys}
    keys = opening_keys()
    assert keys["fra.police-demo/hpke"].public == publics["fra.police-demo/hpke"]  # type: ignore[union-attr]
    assert jose.p256_spki(p256("fra.police-demo/jwe")) == publics["fra.police-demo/jwe"]
    assert jose.p256_spki(p256("fra.police-demo/message")) == publics["fra.police-demo/message"]


@pytest.mark.parametrize("case", cases("preambles"))
def test_preamble(case: dict[str, Any]) -> None:
    """A preamble is read, or is malformed."""
    assert case["expect"] == outcome(lambda: container.read_preamble(b64url_bytes(case["line"])))


@pytest.mark.parametrize("case", cases("batches"))
def test_batch(case: dict[str, Any]) -> None:
    """A body is taken apart into items of these lengths, or is malformed."""
    found: list[bytes] = []
    assert case["expect"] == outcome(lambda: found.extend(container.deframe(pieces(case["body"]))))
    assert [len(item) for item in found] == case.get("items", [])


@pytest.mark.parametrize("case", cases("plaintexts"))
def test_plaintext(case: dict[str, Any]) -> None:
    """Four parts fill the smallest bucket, or the plaintext is malformed."""
    assert case["expect"] == outcome(lambda: container.unpack(pieces(case["plaintext"])))


@pytest.mark.parametrize("case", cases("payloads"))
def test_payload(case: dict[str, Any]) -> None:
    """A payload is in its one encoding and in its schema, or refused by the right one of two codes."""
    raw = b64url_bytes(case["bytes"]) if "bytes" in case else case["text"].encode()
    assert case["expect"] == outcome(lambda: payload.read_payload(raw))


@pytest.mark.parametrize("case", cases("checkpoints"))
def test_checkpoint(case: dict[str, Any]) -> None:
    """A signed head of the sender's log about the recipient is read, and nothing else."""
    try:
        checkpoint.read_head(case["note"], SENDER, RECIPIENT.org, NOW)
        found = "accept"
    except checkpoint.NoHead:
        found = "signature-invalid"
    assert case["expect"] == found


@pytest.mark.parametrize("case", cases("agreements"))
def test_agreement(case: dict[str, Any]) -> None:
    """Terms and signatures hold, or the agreement is refused."""
    read: list[Agreement] = []
    assert case["expect"] == outcome(
        lambda: read.append(read_agreement(case["agreement"], RECIPIENT, SENDER, NOW))
    )
    assert [sorted(one.signed) for one in read] == [sorted(case["signed"]) for _ in read]


@pytest.mark.parametrize("case", cases("receipts"))
def test_receipt(case: dict[str, Any]) -> None:
    """A receipt answers for everything that was sent, or counts as no answer."""
    sent = [(message, digest) for message, digest in case["sent"]]
    raw = case["jws"].encode()
    assert case["expect"] == outcome(lambda: receipt.read_receipt(raw, SENDER.org, RECIPIENT, sent, NOW))


@pytest.mark.parametrize("case", cases("seals"))
def test_seal(case: dict[str, Any]) -> None:
    """Both signatures of a payload hold under the profile of the agreement and within the window."""
    parts = Parts(case["jws"], case["second"], case["payload"].encode())

    def read() -> None:
        seal = read_seal(parts.first)
        verify_seals(parts, seal, SENDER, agreement(case["agreement"]).profile, NOW)
        check_window(seal, NOW)

    assert case["expect"] == outcome(read)


@pytest.mark.parametrize("case", cases("sealed"))
def test_sealed(case: dict[str, Any]) -> None:
    """A POST of this message is refused as a whole, or answered by a receipt with its outcome; so is the same again.

    The receiver is the whole one with its store; its receipt satisfies what a sender verifies.
    """
    store, sender = Store(Path(":memory:")), replace(SENDER, org=case["from"])
    receiver = Receiver(
        identity(), sender, agreement(case["agreement"]), store, mode="operational", now=lambda: NOW
    )
    remember(store, case)
    body = container.frame([b64url_bytes(case["sealed"])])
    try:
        if case["stage"] == "post":
            with pytest.raises(Refused) as refused:
                receiver.accept(case["from"], body)
            assert refused.value.code == case["expect"]
            assert store.rows("select * from log") == []
            return
        jws = receiver.accept(case["from"], body)
        (item,) = receipt.read_receipt(jws.encode(), SENDER.org, RECIPIENT, [], NOW).items
        found = "accept" if item.outcome == "accepted" else item.code
        assert (found, item.expected) == (case["expect"], case.get("expected", 0))
        if found == "accept" and "known" not in case:
            assert receiver.accept(case["from"], body) == jws
            assert receiver.receipt(case["from"], item.id) == jws
    finally:
        store.close()


def remember(store: Store, case: dict[str, Any]) -> None:
    """What was accepted before: the known messages, and in their conversation the numbers below the next."""
    statement = "insert into inbox (id, sha256, conv, seq) values (?, ?, ?, ?)"
    for message, digest in case.get("known", {}).items():
        store.rows(statement, message, digest, "another", 1)
    if case["next_seq"] > 1:
        store.rows(statement, "earlier", "", CONVERSATION, case["next_seq"] - 1)


#: The conversation of every message in the vectors.
CONVERSATION = json.loads(vectors("payloads")["cases"][0]["text"])["conversation"]


@cache
def identity() -> Identity:
    """The recipient with its private keys."""
    private: dict[tuple[str, str], Any] = {("receipt", "ES256"): p256("fra.police-demo/receipt")}
    for key in RECIPIENT.keys:
        if key.use == "encryption":
            private[key.use, key.alg] = opening_keys()[key.kid]
    seed = bytes.fromhex(WORLD["private_seeds"]["fra.police-demo/log"])
    private["log", "Ed25519"] = eddsa.import_private_key(seed)
    entry = WORLD["recipient"]
    return Identity(
        RECIPIENT.org, RECIPIENT.nation, "police", Authority(RECIPIENT.org), tuple(entry["keys"]), private
    )


def outcome(read: Any) -> str:
    """`accept` or the code; what is only misspelt is malformed."""
    try:
        read()
    except Refused as refused:
        return refused.code
    except Misspelt:
        return "malformed"
    return "accept"

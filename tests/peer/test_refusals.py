"""What a real gateway says to a peer that breaks one rule of the document, over real TLS."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.peer import checkpoint, container, disclosure, jose
from tests.peer.container import HPKE, JWE, Parts, Preamble, frame
from tests.peer.disclosure import label
from tests.peer.peer import Peer
from tests.peer.sender import Answer, Sealed
from tests.peer.spelling import b64url, b64url_bytes, instant
from tests.peer.world import WAYS, World

pytestmark = pytest.mark.integration


def queued(peer: Peer, type_: str = "ping", content: dict[str, Any] | None = None, **changes: Any) -> Sealed:
    return peer.sender.queue(peer.sender.envelope(type_, str(uuid.uuid4()), **(content or {})), **changes)


def outcome(peer: Peer, sealed: Sealed) -> str:
    (item,) = peer.sender.send([sealed]).items
    return item.code or item.outcome


def post(peer: Peer, *sealed: bytes) -> Answer:
    return peer.client.post(frame(sealed))


def is_problem(answer: Answer, status: int, code: str) -> bool:
    """Whether an answer is exactly the problem document of this code."""
    document = {"type": f"urn:ecluse:problem:{code}", "title": code, "status": status}
    media_type = answer.headers["content-type"]
    return (answer.status, json.loads(answer.body), media_type) == (
        status,
        document,
        "application/problem+json",
    )


# --- a message fails alone (steps 9 to 19) ---------------------------------------------------------------------------


def other_way(peer: Peer, suite: str) -> dict[str, Any]:
    """Members of a seal in another suite, to the key that the gateway holds for it."""
    return {"suite": suite, "enc_kid": next(peer.partner.valid("encryption", suite, time.time())).kid}


@pytest.mark.parametrize("way", WAYS)
def test_suites_and_profiles_are_those_agreed_on(world: World, way: str) -> None:
    """The other suite and the other profile are refused, whether weaker or stronger; the agreed ones are not."""
    peer = world.peers[way]
    suite, profile = WAYS[way]
    assert outcome(peer, queued(peer)) == "accepted"
    assert (
        outcome(peer, queued(peer, **other_way(peer, JWE if suite == HPKE else HPKE))) == "outside-agreement"
    )
    other = "classic" if profile == "hybrid" else "hybrid"
    assert outcome(peer, queued(peer, sig_profile=other)) == "outside-agreement"


def high_s(token: str) -> str:
    head, _, signature = token.split(".")
    raw = b64url_bytes(signature)
    s = jose.N - int.from_bytes(raw[32:], "big")
    return f"{head}..{b64url(raw[:32] + s.to_bytes(32, 'big'))}"


def flipped(token: str) -> str:
    head, _, signature = token.split(".")
    raw = bytearray(b64url_bytes(signature))
    raw[5] ^= 1
    return f"{head}..{b64url(bytes(raw))}"


ALTERED: dict[str, tuple[str, Callable[[Parts], Parts], str]] = {
    "the high s": (
        "hpke-classic",
        lambda parts: replace(parts, first=high_s(parts.first)),
        "signature-invalid",
    ),
    "a bit of the signature": (
        "jwe-classic",
        lambda parts: replace(parts, first=flipped(parts.first)),
        "signature-invalid",
    ),
    "another payload": (
        "hpke-classic",
        lambda parts: replace(parts, payload=parts.payload.replace(b'"fr"', b'"nl"')),
        "signature-invalid",
    ),
    "no second signature": (
        "hpke-hybrid",
        lambda parts: replace(parts, second=""),
        "signature-invalid",
    ),
    "a bit of the second signature": (
        "jwe-hybrid",
        lambda parts: replace(parts, second=flipped(parts.second)),
        "signature-invalid",
    ),
    "a bit of the first signature beside a good second one": (
        "hpke-hybrid",
        lambda parts: replace(parts, first=flipped(parts.first)),
        "signature-invalid",
    ),
    "twice the first": (
        "hpke-hybrid",
        lambda parts: replace(parts, second=parts.first),
        "malformed",
    ),
}


@pytest.mark.parametrize("name", ALTERED)
def test_altered_signatures(world: World, name: str) -> None:
    """Every signature that the profile demands has to hold, in its one form; then the number is still free."""
    way, alter, code = ALTERED[name]
    peer = world.peers[way]
    sealed = queued(peer)
    parts = alter(sealed.parts)
    assert outcome(peer, replace(sealed, parts=parts, payload=parts.payload)) == code
    assert outcome(peer, sealed) == "accepted"


NOW = int(time.time())

SEALS: dict[str, tuple[dict[str, Any], str]] = {
    "expired": ({"iat": NOW - 7200, "exp": NOW - 3600}, "replayed"),
    "from the future": ({"iat": NOW + 3600, "exp": NOW + 7200}, "replayed"),
    "longer than any may live": ({"exp": NOW + 31 * 24 * 3600}, "replayed"),
    "another agreement": ({"agreement": "0" * 64}, "outside-agreement"),
    "another mode": ({"mode": "operational"}, "wrong-audience"),
    "another digest": ({"payload_sha256": "0" * 64}, "signature-invalid"),
    "another conversation": ({"conv": str(uuid.uuid4())}, "schema-violation"),
    "another content type": ({"cty": "text/plain"}, "schema-violation"),
    "another type": ({"typ": "ecluse-msg-void+jws"}, "schema-violation"),
    "a head that is none": ({"checkpoint": "none"}, "signature-invalid"),
}


@pytest.mark.parametrize("name", SEALS)
def test_seals_that_say_something_else(plain: Peer, name: str) -> None:
    """A well signed seal that does not fit is refused by the code of its step."""
    changes, code = SEALS[name]
    assert outcome(plain, queued(plain, **changes)) == code


DISCLOSURES: dict[str, tuple[dict[str, Any], str]] = {
    "good": ({}, "accepted"),
    "released to others": ({"whole": label(releasable_to=["NLD"])}, "mis-sent"),
    "national eyes only": ({"whole": label(no_foreign=True)}, "mis-sent"),
    "an unknown level": ({"whole": label(level="GRAND SECRET")}, "schema-violation"),
    "above the ceiling": ({"whole": label(policy="BEL", level="SECRET")}, "outside-agreement"),
    "another purpose": ({"purpose": "taxation"}, "outside-agreement"),
}


@pytest.mark.parametrize("name", DISCLOSURES)
def test_disclosures(plain: Peer, name: str) -> None:
    """Labels and agreement decide whether a disclosure is taken."""
    changes, code = DISCLOSURES[name]
    assert outcome(plain, queued(plain, "disclosure", disclosure.content(**changes))) == code


def test_an_instant_with_an_offset(plain: Peer) -> None:
    """A second spelling of an instant is refused inside a payload too."""
    message = plain.sender.envelope("ping", str(uuid.uuid4()))
    offset = instant(time.time()).replace("Z", "+00:00")
    assert outcome(plain, plain.sender.queue(message | {"created": offset})) == "schema-violation"


def test_members_in_another_order(plain: Peer) -> None:
    """A payload that is not in its one encoding is malformed."""
    message = plain.sender.envelope("ping", str(uuid.uuid4()))
    assert outcome(plain, plain.sender.queue(dict(reversed(message.items())))) == "malformed"


def test_two_histories_of_our_log(world: World, plain: Peer) -> None:
    """A head of the size of an earlier one with another root is proof against us: the gateway raises its alarm."""
    first = queued(plain)
    assert outcome(plain, first) == "accepted"
    size = int(first.header["checkpoint"].split("\n")[1])
    key = plain.identity.private["log", "Ed25519"]
    head = checkpoint.sign_head(plain.org, plain.partner.org, [bytes(32)] * size, key)
    assert outcome(plain, queued(plain, checkpoint=head)) == "accepted"
    log = (world.stage.be.path / "gateway.log").read_text().splitlines()
    (alarm,) = (json.loads(line) for line in log if "log.equivocation" in line)
    assert (alarm["level"], alarm["partner"], alarm["size"]) == ("error", plain.org, size)


# --- the POST fails as a whole (steps 1 to 8) ------------------------------------------------------------------------


def preamble_of(sealed: Sealed, **changes: str) -> Preamble:
    members = {name: sealed.header[name] for name in ("aud", "enc_kid", "iss", "jti", "suite")}
    return Preamble(**(members | changes))


def test_another_preamble(plain: Peer) -> None:
    """A preamble that names another sender is a replay, one that names another recipient was sent astray."""
    sealed = queued(plain)
    key = next(plain.partner.valid("encryption", HPKE, time.time())).public
    plaintext = container.pack(sealed.parts)
    for changes, status, code in (
        ({"iss": "fra.police-demo"}, 403, "replayed"),
        ({"aud": "fra.police-demo"}, 403, "wrong-audience"),
        ({"jti": str(uuid.uuid4())}, 400, "malformed"),
        ({"enc_kid": "another"}, 400, "malformed"),
    ):
        answer = post(plain, container.encrypt(preamble_of(sealed, **changes), key, plaintext))
        assert is_problem(answer, status, code), changes
    assert outcome(plain, sealed) == "accepted"


def test_anothers_message(world: World, plain: Peer) -> None:
    """What one partner sealed and another one posts is a replay."""
    sealed = plain.sender.encrypt(queued(plain))
    assert is_problem(post(world.peers["jwe-classic"], sealed), 403, "replayed")


@pytest.mark.parametrize("way", ["hpke-classic", "jwe-classic"])
def test_padding_is_minimal_and_zero(world: World, way: str) -> None:
    """A larger bucket than needed, and padding that is not zero, are malformed in both suites."""
    peer = world.peers[way]
    sealed = queued(peer)
    key = next(peer.partner.valid("encryption", peer.agreement.suite, time.time())).public
    plaintext = container.pack(sealed.parts)
    padding = len(plaintext) - 16 - sum(map(len, (*vars(sealed.parts).values(),)))
    head = plaintext[: len(plaintext) - padding - 4]
    larger = head + (padding + 16384 - 4096).to_bytes(4, "big") + bytes(padding + 16384 - 4096)
    dirty = plaintext[:-1] + b"\x01"
    for bad in (larger, dirty):
        assert is_problem(post(peer, container.encrypt(preamble_of(sealed), key, bad)), 400, "malformed")
    assert is_problem(post(peer, peer.sender.encrypt(sealed)[:-1]), 400, "malformed")
    assert outcome(peer, sealed) == "accepted"


def test_one_id_twice_in_a_batch(plain: Peer) -> None:
    """A batch that names a message twice has no effect at all."""
    sealed = queued(plain)
    twice = [plain.sender.encrypt(sealed) for _ in range(2)]
    assert is_problem(post(plain, *twice), 400, "malformed")
    assert plain.client.receipt(sealed.id).status == 404


def test_one_bad_item_refuses_the_whole_post(plain: Peer) -> None:
    """A message that cannot be opened leaves the good one beside it without effect, and nothing in the answer."""
    good, bad = plain.sender.encrypt(queued(plain)), bytearray(plain.sender.encrypt(queued(plain)))
    bad[-1] ^= 1
    assert is_problem(post(plain, good, bytes(bad)), 400, "malformed")

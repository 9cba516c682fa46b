"""The peer and a real gateway over real TLS: both directions, both suites, both signature profiles."""

from __future__ import annotations

import json
import uuid

import pytest

from gateway.service import calls
from tests.peer import disclosure
from tests.peer.container import frame
from tests.peer.peer import Peer
from tests.peer.receiver import Receiver
from tests.peer.seal import read_seal
from tests.peer.sender import Sealed
from tests.peer.spelling import b64url, canonical
from tests.peer.store import Store
from tests.peer.world import MODE, World, until

pytestmark = pytest.mark.integration


def conversation() -> str:
    return str(uuid.uuid4())


def pings(peer: Peer, lane: str, count: int) -> list[Sealed]:
    return [peer.sender.queue(peer.sender.envelope("ping", lane)) for _ in range(count)]


def outcomes(peer: Peer, messages: list[Sealed]) -> list[str]:
    """What the gateway answers: the outcome, or the code of a refusal."""
    return [item.code or item.outcome for item in peer.sender.send(messages).items]


def received(peer: Peer, lane: str) -> list[tuple[int, str]]:
    """Numbers and types that the peer accepted in a conversation."""
    return [
        (seq, type_)
        for seq, type_ in peer.store.rows("select seq, type from inbox where conv = ? order by seq", lane)
    ]


# --- each way of agreement -------------------------------------------------------------------------------------------


def test_the_gateway_sends_and_the_peer_opens(world: World, peer: Peer) -> None:
    """A released record arrives as the exact bytes that were approved, and our receipt satisfies the gateway."""
    view = world.disclose(peer)
    until(lambda: world.trace(view).state == "delivered")
    ((payload, second, receipt),) = peer.store.rows(
        "select payload, second, receipt from inbox where id = ?", view.message_id
    )
    assert payload == view.payload
    assert json.loads(payload)["records"]
    assert bool(second) == (peer.agreement.profile == "hybrid")
    assert world.trace(view).receipt == receipt


def test_the_peer_sends_and_the_gateway_opens(world: World, peer: Peer) -> None:
    """A disclosure, a ping and a void of one lane are accepted, and the gateway holds the bytes we sealed."""
    lane = conversation()
    messages = [
        peer.sender.envelope("disclosure", lane, **disclosure.content()),
        peer.sender.envelope("ping", lane),
        peer.sender.envelope("void", lane),
    ]
    sent = [peer.sender.queue(message) for message in messages]
    assert outcomes(peer, sent) == ["accepted"] * 3
    assert [world.inbox(one.id).payload for one in sent] == [one.payload for one in sent]


def test_the_peer_asks_and_answers(world: World, peer: Peer) -> None:
    """A request, and each form of an answer, written from the document: the gateway takes them, byte for byte."""
    lane, asked = conversation(), str(uuid.uuid4())
    messages = [
        peer.sender.envelope("request", lane, **disclosure.asking()),
        peer.sender.envelope("answer", lane, answers=asked, **disclosure.content()),
        peer.sender.envelope("no-information", lane, answers=asked),
        peer.sender.envelope("refusal", lane, answers=asked, ground="incomplete"),
        peer.sender.envelope("consent-answer", lane, answers=asked, consent="granted", until="2027-01-01"),
    ]
    sent = [peer.sender.queue(message) for message in messages]
    assert outcomes(peer, sent) == ["accepted"] * 5
    assert world.inbox(sent[2].id).payload == sent[2].payload
    again = peer.sender.queue(peer.sender.envelope("disclosure", lane, **disclosure.asking()))
    assert outcomes(peer, [again]) == ["schema-violation"]


def test_the_peer_corrects_and_offers(world: World, plain: Peer) -> None:
    """A correction of what the gateway has, and the next version of the terms under our signature, written from the
    document; terms in force already, and somebody else's revoked, are refused by their codes."""
    lane = conversation()
    wrong = plain.sender.queue(plain.sender.envelope("disclosure", lane, **disclosure.content()))
    assert outcomes(plain, [wrong]) == ["accepted"]
    said = plain.sender.queue(
        plain.sender.envelope("correction", lane, corrects=wrong.id, action="withdrawn", reason="inaccurate")
    )
    assert outcomes(plain, [said]) == ["accepted"]
    mark = world.inbox(wrong.id).item.correction
    assert mark is not None
    assert (mark.action, mark.reason) == ("withdrawn", "inaccurate")
    for version, code in ((2, "accepted"), (1, "outside-agreement")):
        raw = canonical({**plain.agreement.terms, "version": version})
        signature = plain.identity.sign_terms(raw)
        message = plain.sender.envelope(
            "agreement", conversation(), action="offered", terms=b64url(raw), signature=signature
        )
        assert outcomes(plain, [plain.sender.queue(message)]) == [code]
    revoked = plain.sender.envelope("agreement", conversation(), action="revoked", terms_sha256="0" * 64)
    assert outcomes(plain, [plain.sender.queue(revoked)]) == ["outside-agreement"]


def test_the_same_again_gives_the_same_receipt(peer: Peer) -> None:
    """Encrypted anew and sent again, a message has no second effect and the receipt is the stored one."""
    batch = pings(peer, conversation(), 2)
    first, again = (peer.client.post(frame([peer.sender.encrypt(one) for one in batch])) for _ in range(2))
    assert (first.status, first.body) == (200, again.body)
    peer.sender.take(first, batch)
    assert peer.client.receipt(batch[1].id).body == first.body


# --- what the gateway receives ---------------------------------------------------------------------------------------


def test_a_batch_of_fifty(world: World, plain: Peer) -> None:
    """Fifty messages of five lanes in one POST: one receipt names them all, in their order."""
    batch = [one for _ in range(5) for one in pings(plain, conversation(), 10)]
    receipt = plain.sender.send(batch)
    assert [item.id for item in receipt.items] == [one.id for one in batch]
    assert {item.outcome for item in receipt.items} == {"accepted"}
    assert world.inbox(batch[-1].id).item.seq == 10


def test_a_gap_is_refused_and_rewound(plain: Peer) -> None:
    """Number 3 after 1 is refused with 2 as the one expected; rewound, both are accepted."""
    one, two, three = pings(plain, conversation(), 3)
    assert outcomes(plain, [one]) == ["accepted"]
    (item,) = plain.sender.send([three]).items
    assert (item.code, item.expected) == ("out-of-order", 2)
    waiting = [kept for kept in plain.sender.waiting() if kept.conv == two.conv]
    assert [kept.id for kept in waiting] == [two.id, three.id]
    assert outcomes(plain, waiting) == ["accepted", "accepted"]
    assert not [kept for kept in plain.sender.waiting() if kept.conv == two.conv]


def test_a_refused_message_stops_its_lane_alone(plain: Peer) -> None:
    """In one batch, what follows the refused message of a lane is not processed; the other lane goes on."""
    _, two, three = pings(plain, conversation(), 3)
    other = pings(plain, conversation(), 1)
    assert outcomes(plain, [two, three, *other]) == ["out-of-order", "not-processed", "accepted"]
    plain.sender.send()
    assert plain.sender.waiting() == []


def test_known_and_new_in_one_batch(plain: Peer) -> None:
    """A batch with a known message and a new one gets a new receipt that accepts both; each keeps its own."""
    known, new = pings(plain, conversation(), 2)
    first = plain.sender.send([known])
    assert outcomes(plain, [known, new]) == ["accepted", "accepted"]
    kept = plain.client.receipt(known.id)
    assert plain.sender.take(kept, [known]).id == first.id


def test_the_same_id_with_other_bytes(plain: Peer) -> None:
    """A known id over another payload is a digest conflict, and the first one stays."""
    message = plain.sender.envelope("ping", conversation())
    first = plain.sender.queue(message)
    assert outcomes(plain, [first]) == ["accepted"]
    second = plain.sender.queue(message | {"language": "nl"})
    assert outcomes(plain, [second]) == ["digest-conflict"]
    assert outcomes(plain, [first]) == ["accepted"]


def test_a_reserved_type_does_not_use_its_number(plain: Peer) -> None:
    """A recall has no payload in this version: refused, and a void takes the number that is still free."""
    lane = conversation()
    recall = plain.sender.queue(plain.sender.envelope("recall", lane))
    assert outcomes(plain, [recall]) == ["schema-violation"]
    void = plain.sender.withdraw(recall)
    assert void is not None
    assert (void.seq, outcomes(plain, [void])) == (recall.seq, ["accepted"])


def test_what_was_delivered_is_not_withdrawn(plain: Peer) -> None:
    """Asked for its receipt, the gateway says that the message arrived: no void is made."""
    (sent,) = pings(plain, conversation(), 1)
    plain.client.post(frame([plain.sender.encrypt(sent)]))  # the answer is lost
    assert plain.sender.withdraw(sent) is None
    assert plain.sender.waiting() == []


def test_a_receipt_is_for_the_sender_alone(world: World, plain: Peer) -> None:
    """Another organisation that knows the id gets the answer of an id that nobody knows."""
    (sent,) = pings(plain, conversation(), 1)
    plain.sender.send([sent])
    other = world.peers["jwe-classic"].client
    answers = [other.receipt(sent.id), other.receipt(conversation())]
    assert [(answer.status, answer.body) for answer in answers] == [(404, b"")] * 2
    assert plain.client.receipt(sent.id).status == 200


def test_the_gateway_gives_the_peer_its_own_head_back(world: World, plain: Peer) -> None:
    """The longest head of the peer's log that came with a message, byte for byte; another peer gets its own, or 404."""
    (sent,) = pings(plain, conversation(), 1)
    plain.sender.send([sent])
    answer = plain.client.head()
    assert (answer.status, answer.body.decode()) == (200, sent.header["checkpoint"])
    assert world.peers["jwe-classic"].client.head().body != answer.body


def test_the_peer_gives_the_gateway_its_head_back(world: World, plain: Peer) -> None:
    """What the peer's listener answers is the newest head that the gateway sent it."""
    lane = conversation()
    view = world.disclose(plain, lane)
    until(lambda: world.trace(view).state == "delivered")
    seal = plain.store.one("select first from inbox where id = ?", view.message_id)
    assert plain.receiver.head() == read_seal(seal).header["checkpoint"]


def test_a_kill_between_two_sendings(world: World, plain: Peer) -> None:
    """After SIGKILL and a new start, the message that was accepted is answered by the same receipt, byte for byte."""
    (sent,) = pings(plain, conversation(), 1)
    before = plain.client.post(frame([plain.sender.encrypt(sent)]))
    world.kill_and_restart()
    after = plain.client.post(frame([plain.sender.encrypt(sent)]))
    assert (before.status, before.body) == (200, after.body)
    plain.sender.take(after, [sent])


# --- what the gateway sends ------------------------------------------------------------------------------------------


def test_a_lost_answer_is_asked_for_again(world: World, plain: Peer) -> None:
    """The gateway repeats what was not answered, encrypted anew; the peer has it once, also after its own restart."""
    plain.listener.fail("silent")
    before, lane = len(plain.listener.bodies), conversation()
    view = world.disclose(plain, lane)
    until(lambda: world.trace(view).state == "delivered")
    first, second = plain.listener.bodies[before:]
    assert first != second
    assert received(plain, lane) == [(1, "disclosure")]
    again = Store(plain.store.path)
    receiver = Receiver(plain.identity, plain.partner, plain.agreement, again, mode=MODE)
    jws = receiver.accept(plain.partner.org, second)
    assert jws == plain.receiver.receipt(plain.partner.org, view.message_id)
    again.close()


def test_the_gateway_rewinds(world: World, plain: Peer) -> None:
    """A receiver that lost a conversation says which number it expects, and gets all of it with the same seals."""
    lane = conversation()
    first = world.disclose(plain, lane)
    until(lambda: world.trace(first).state == "delivered")
    seal = plain.store.one("select first from inbox where id = ?", first.message_id)
    plain.receiver.forget(lane)
    second = world.disclose(plain, lane)
    until(lambda: world.trace(second).state == "delivered")
    assert received(plain, lane) == [(1, "disclosure"), (2, "disclosure")]
    assert plain.store.one("select first from inbox where id = ?", first.message_id) == seal


def test_a_withdrawn_number_is_filled_by_a_void(world: World, plain: Peer) -> None:
    """An embargo between two attempts: the number arrives as a void that says nothing, and the lane goes on."""
    lane, record = conversation(), next(world.records)
    plain.listener.fail(*["unavailable"] * 1000)
    tried, view = len(plain.listener.bodies), world.disclose(plain, lane, record)
    until(lambda: len(plain.listener.bodies) > tried)
    world.ask("be-requester", "embargoes/add", calls.PlaceEmbargo(record, b"synthetic order"), dict[str, str])
    plain.listener.recover()
    until(lambda: received(plain, lane) == [(1, "void")])
    ((payload, first),) = plain.store.rows("select payload, first from inbox where conv = ?", lane)
    assert set(json.loads(payload)) == set(plain.sender.envelope("void", lane))
    assert read_seal(first).header["jti"] != view.message_id
    after = world.disclose(plain, lane)
    until(lambda: world.trace(after).state == "delivered")
    assert received(plain, lane) == [(1, "void"), (2, "disclosure")]


def test_the_entry_that_is_handed_over_is_canonical(plain: Peer) -> None:
    """What two officers compare the digest of is in the form of RFC 8785."""
    document = plain.entry_document()
    assert canonical(json.loads(document)) == document

"""The gateway's log about the peer, held against the heads that the peer collected from seals and receipts."""

from __future__ import annotations

import time
import uuid
from itertools import pairwise
from pathlib import Path

import pytest

from gateway.audit.extract import Extract
from gateway.audit.tree import Frontier
from tests.peer.checkpoint import (
    Head,
    NoHead,
    inclusion_proof,
    leaf_hash,
    origin_of,
    read_head,
    read_part,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from tests.peer.peer import Peer
from tests.peer.spelling import parse_canonical
from tests.peer.world import World, until

pytestmark = pytest.mark.integration


def heads(peer: Peer) -> list[Head]:
    """Heads of the gateway's log that this peer accepted, by size."""
    rows = peer.store.rows(
        "select origin, size, root, note from heads where origin = ? order by size",
        origin_of(peer.partner.org, peer.org),
    )
    return [Head(*row) for row in rows]


def test_every_head_is_of_the_one_log(world: World, tmp_path: Path) -> None:
    """Heads out of seals and receipts are consistent with the exported log, and there are no two histories."""
    peer = world.peers["jwe-hybrid"]

    def pinged() -> bool:
        """A receipt shows the newest head that was signed: the first ones may be older than any."""
        peer.sender.send([peer.sender.queue(peer.sender.envelope("ping", str(uuid.uuid4())))])
        return heads(peer) != []

    until(pinged)
    view = world.disclose(peer)
    until(lambda: world.trace(view).state == "delivered")
    exports: list[list[bytes]] = []

    def whole() -> bool:
        """An export shows what a signed head covers: the last receipt is covered by the next one."""
        exports.append(world.export_log(peer, tmp_path / str(len(exports))))
        return _receipts(exports[-1]) == _receipts_given(peer)

    until(whole)
    entries = exports[-1]
    leaves = [leaf_hash(entry) for entry in entries]
    known = heads(peer)
    assert len(known) >= 2
    for older, newer in pairwise(known):
        verify_consistency(older, newer, leaves)
    assert peer.store.two_histories() == []
    _holds_what_crossed(peer, entries)
    _includes(known[-1], leaves)


def _receipts(entries: list[bytes]) -> int:
    found = (parse_canonical(entry) for entry in entries)
    return sum((tree["dir"], tree["event"]) == ("in", "receipt") for tree in found)


def _receipts_given(peer: Peer) -> int:
    ours = [parse_canonical(entry) for (entry,) in peer.store.rows("select entry from log")]
    return sum((tree["dir"], tree["event"]) == ("out", "receipt") for tree in ours)


def _holds_what_crossed(peer: Peer, entries: list[bytes]) -> None:
    """One entry for each message accepted and each receipt, in both directions, and none besides."""
    found: dict[tuple[str, str], set[str]] = {}
    for entry in entries:
        tree = parse_canonical(entry)
        ids = found.setdefault((tree["dir"], tree["event"]), set())
        assert tree["id"] not in ids
        ids.add(tree["id"])
    ours = [parse_canonical(entry) for (entry,) in peer.store.rows("select entry from log")]
    assert found == {
        ("in", "message"): {
            id_ for (id_,) in peer.store.rows("select id from outbox where state = 'accepted'")
        },
        ("out", "message"): {id_ for (id_,) in peer.store.rows("select id from inbox")},
        ("in", "receipt"): {
            tree["id"] for tree in ours if (tree["dir"], tree["event"]) == ("out", "receipt")
        },
        ("out", "receipt"): {
            tree["id"] for tree in ours if (tree["dir"], tree["event"]) == ("in", "receipt")
        },
    }


def _includes(head: Head, leaves: list[bytes]) -> None:
    """Each entry is at its place in the head, and at no other."""
    covered = leaves[: head.size]
    for index, leaf in enumerate(covered):
        verify_inclusion(leaf, index, head, inclusion_proof(covered, index))
        with pytest.raises(NoHead):
            verify_inclusion(leaf, (index + 1) % head.size, head, inclusion_proof(covered, index))


def test_each_end_shows_what_crossed(world: World) -> None:
    """From any start the gateway's part leads from the root there to its head, and lists what the peer's own log has;
    the gateway's reader finds the same in the peer's. Beyond the head, and for a number of another spelling: 404."""
    peer = world.peers["jwe-classic"]
    view = world.disclose(peer)
    until(lambda: world.trace(view).state == "delivered")

    def part(start: int, before: bytes) -> tuple[list[bytes], bytes, Head]:
        answer = peer.client.log(start)
        assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
        entries, root, note = read_part(answer.body, start, before)
        return entries, root, read_head(note, peer.partner, peer.org, time.time())

    def covered() -> bool:
        """The message's entry is under the newest signed head, and shown since its receipt is there."""
        return any(parse_canonical(one)["id"] == view.message_id for one in part(0, b"")[0])

    until(covered)
    entries, root, head = part(0, b"")
    assert root == head.root
    leaves = [leaf_hash(one) for one in entries]
    for start in range(1, head.size + 1):
        rest, root, again = part(start, root_of(leaves[:start]))
        assert (rest, root, again.size) == (entries[start:], again.root, head.size)
    assert [peer.client.log(start).status for start in (head.size + 1, -1)] == [404, 404]

    for start in (0, 1, 2):
        shown = peer.receiver.log(start)
        assert shown is not None
        read = Extract.parse(shown)
        frontier = Frontier.resume(read.start, read.peaks)
        for leaf in read.hashes:
            frontier.push(leaf)
        assert frontier.root() == read_own(peer, read.note.decode()).root
    ids = [
        one.message_id
        for one in Extract.parse(peer.receiver.log(0) or b"").leaves
        if not isinstance(one, bytes)
    ]
    assert view.message_id in ids


def read_own(peer: Peer, note: str) -> Head:
    return read_head(note, peer.identity.own, peer.partner.org, time.time())


@pytest.mark.parametrize("size", range(1, 18))
def test_inclusion_in_every_small_tree(size: int) -> None:
    """For every leaf of every tree up to 17, the proof leads to the root, and a changed one does not."""
    leaves = [leaf_hash(bytes((number,))) for number in range(size)]
    head = Head("log", size, root_of(leaves), "")
    for index, leaf in enumerate(leaves):
        proof = inclusion_proof(leaves, index)
        verify_inclusion(leaf, index, head, proof)
        for bad in (proof[:-1] if proof else [leaf], [*proof, leaf], [bytes(32), *proof[1:]]):
            with pytest.raises(NoHead):
                verify_inclusion(leaf, index, head, bad)


def test_another_history_is_not_consistent() -> None:
    """A log in which one early entry was exchanged is not consistent with an older head."""
    leaves = [leaf_hash(bytes((number,))) for number in range(5)]
    changed = [leaf_hash(b"changed"), *leaves[1:]]
    older, newer = Head("log", 3, root_of(leaves[:3]), ""), Head("log", 5, root_of(changed), "")
    with pytest.raises(NoHead):
        verify_consistency(older, newer, changed)

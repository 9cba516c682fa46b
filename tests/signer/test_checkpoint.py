"""A head is signed only when it is consistent with the last one, and only once it is durable."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audit import checkpoint as notes
from gateway.audit import tree
from gateway.errors import AuditBroken, ConfigInvalid, GatewayError, StoreUnavailable
from gateway.model.signing import MAX_FIRST_HEAD, CheckpointRequest
from gateway.service.signer.trust import Head
from tests.audit.logs import MASTER_ORIGIN, MemoryLog
from tests.policy.worlds import OURS, POLICE
from tests.signer.world import LOG_VKEY, NEIGHBOUR, ORIGIN, Disk, authority, disk

LOG = MemoryLog.of([1] * 24)
OTHER = MemoryLog.of([1] * 24, tale="another", tale_from=6)  # the same log up to entry 5, then a fork


def head(old: int, new: int, log: MemoryLog = LOG) -> CheckpointRequest:
    """The head of ``log`` at size ``new`` with its proof from size ``old``, or with its leaves if there is none."""
    proof = tree.consistency_proof(old, new, log.tiles).hashes if 0 < old < new else ()
    first = tuple(tree.leaf_hash(entry) for _, entry in log.rows[:new]) if not old else ()
    return CheckpointRequest(log.origin, new, tree.root(new, log.tiles), old, tuple(proof), first)


def at(size: int) -> Disk:
    """A signer's disk after the head of this size."""
    held = disk()
    authority(held).checkpoint(head(0, size))
    return held


def heads(held: Disk) -> dict[str, Head]:
    return msgspec.json.decode(held.files["heads.json"], type=dict[str, Head])


def test_heads_follow_each_other() -> None:
    """Each head of a growing log is signed with the log key, over exactly its origin, size and root."""
    held, size = disk(), 0
    for new in (1, 2, 7, 8, 24):
        note = authority(held).checkpoint(head(size, new))
        found = notes.verify(note, [LOG_VKEY], origin=ORIGIN).checkpoint
        assert (found.size, found.root) == (new, tree.root(new, LOG.tiles))
        assert heads(held)[ORIGIN] == Head(new, found.root)
        size = new


def test_each_log_has_its_own_head() -> None:
    """Master log and partner logs grow on their own; a head of one says nothing about another."""
    held = at(5)
    master = MemoryLog.of([3], origin=MASTER_ORIGIN)
    authority(held).checkpoint(head(0, 3, master))
    empty = msgspec.structs.replace(head(0, 2), origin=f"ecluse/{OURS}/partner/{NEIGHBOUR}")
    authority(held).checkpoint(empty)
    assert {origin: one.size for origin, one in heads(held).items()} == {
        ORIGIN: 5,
        MASTER_ORIGIN: 3,
        empty.origin: 2,
    }


def test_the_same_head_again() -> None:
    """A head that was signed is signed again after a crash, to the same bytes, and nothing is written."""
    held = at(5)
    note = authority(held).checkpoint(head(5, 5))
    assert note == authority(held).checkpoint(head(5, 5))
    assert held.writes == ["heads.json"]


ROOT = tree.root(5, LOG.tiles)

REFUSED: dict[str, tuple[str, Callable[[], CheckpointRequest]]] = {
    "restored: an older head": ("audit-broken", lambda: head(3, 3)),
    "restored: older, from the signed size": (
        "audit-broken",
        lambda: CheckpointRequest(ORIGIN, 3, ROOT, 5, ()),
    ),
    "restored: grown again to another tale": ("audit-broken", lambda: head(0, 9)),
    "proof from a smaller head": ("audit-broken", lambda: head(4, 9)),
    "proof from a larger head": ("audit-broken", lambda: head(6, 9)),
    "fork of the same size": ("audit-broken", lambda: CheckpointRequest(ORIGIN, 5, bytes(32), 5, ())),
    "larger without proof": ("audit-broken", lambda: msgspec.structs.replace(head(5, 9), consistency=())),
    "proof of another pair": (
        "audit-broken",
        lambda: msgspec.structs.replace(head(5, 9), consistency=head(5, 10).consistency),
    ),
    "proof one hash short": (
        "audit-broken",
        lambda: msgspec.structs.replace(head(5, 9), consistency=head(5, 9).consistency[:-1]),
    ),
    "proof one hash long": (
        "audit-broken",
        lambda: msgspec.structs.replace(head(5, 9), consistency=(*head(5, 9).consistency, bytes(32))),
    ),
    "same size with a proof": (
        "audit-broken",
        lambda: msgspec.structs.replace(head(5, 5), consistency=(bytes(32),)),
    ),
    "root of another log": ("audit-broken", lambda: msgspec.structs.replace(head(5, 9), root=bytes(32))),
    "root of another length": ("audit-broken", lambda: msgspec.structs.replace(head(5, 9), root=b"")),
    "empty log": ("request-invalid", lambda: msgspec.structs.replace(head(5, 9), size=0)),
    "negative size": ("audit-broken", lambda: msgspec.structs.replace(head(5, 9), size=-9)),
    "size beyond any log": ("audit-broken", lambda: msgspec.structs.replace(head(5, 9), size=2**63)),
    "another organisation's log": (
        "request-invalid",
        lambda: msgspec.structs.replace(head(0, 5), origin=f"ecluse/{POLICE}/master"),
    ),
    "log of no partner": (
        "request-invalid",
        lambda: msgspec.structs.replace(head(0, 5), origin=f"ecluse/{OURS}/partner/fra.nowhere"),
    ),
    "origin with a line feed": (
        "request-invalid",
        lambda: msgspec.structs.replace(head(0, 5), origin=f"{ORIGIN}\n9"),
    ),
    "no origin": ("request-invalid", lambda: msgspec.structs.replace(head(0, 5), origin="")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    """After a head of size 5 this one is refused, before and after a restart, and the disk is as it was."""
    code, make = REFUSED[name]
    held = at(5)
    before = dict(held.files)
    for _ in range(2):
        with pytest.raises(GatewayError) as caught:
            authority(held).checkpoint(make())
        assert caught.value.code == code
        assert held.files == before


def test_the_operator_learns_which_head_was_expected() -> None:
    """A proof that starts elsewhere is refused with both sizes, before anything is computed from it."""
    with pytest.raises(AuditBroken) as caught:
        authority(at(5)).checkpoint(head(4, 9))
    assert caught.value.diagnostic == {"head": 5, "given": 4}


LEAVES = head(0, 5).first
MANY = (LEAVES[0],) * (MAX_FIRST_HEAD + 1)


def whole(leaves: tuple[bytes, ...]) -> dict[str, object]:
    """Size, root and leaves of the tree with these leaf hashes."""
    made = tree.Frontier()
    for leaf in leaves:
        made.push(leaf)
    return {"size": made.size, "root": made.root(), "first": leaves}


@pytest.mark.parametrize(
    "spoilt",
    [
        {"size": -1},
        {"size": 0},
        {"root": b"short"},
        {"size": 2**63},
        {"old_size": 3, "consistency": head(3, 5).consistency},
        {"size": 6},
        {"root": bytes(32)},
        {"first": ()},
        {"first": LEAVES[:-1]},
        {"first": LEAVES[::-1]},
        {"first": (*LEAVES, LEAVES[0])},
        {"first": (*LEAVES[:4], b"")},
        whole(LEAVES[:2]) | {"first": (LEAVES[0] + LEAVES[1], b"")},
        {"size": 2**40, "root": head(0, 8).root, "first": head(0, 8).first},
        whole(MANY),
    ],
)
def test_a_first_head_that_is_not_its_leaves_leaves_nothing_behind(spoilt: dict[str, object]) -> None:
    """What could never be signed, or would sign a size that no log has, is not remembered: it would block the log."""
    held = disk()
    with pytest.raises(GatewayError):
        authority(held).checkpoint(msgspec.structs.replace(head(0, 5), **spoilt))
    assert held.writes == []
    assert authority(held).checkpoint(head(0, 5))


def test_a_first_head_of_the_largest_size() -> None:
    """As many leaves as fit are enough; a longer log catches up with its second head."""
    largest = msgspec.structs.replace(head(0, 5), **whole(MANY[1:]))
    assert authority(disk()).checkpoint(largest)


@pytest.mark.parametrize(
    "fault", [OSError(28, "no space"), StoreUnavailable("a file cannot be made durable")]
)
def test_nothing_is_signed_that_is_not_durable(fault: Exception) -> None:
    """A disk that fails: no checkpoint, the head in memory stays; once it works again the next head follows."""
    held = at(5)
    signer = authority(held)
    held.broken = fault
    with pytest.raises(type(fault)):
        signer.checkpoint(head(5, 9))
    assert signer.trust.heads[ORIGIN].size == 5
    assert heads(held)[ORIGIN].size == 5
    held.broken = None
    assert signer.checkpoint(head(5, 9))


def test_a_write_that_persisted_though_it_failed() -> None:
    """The disk kept the head and reported failure: after the restart only what follows that head is signed."""
    held = at(5)
    signer = authority(held)
    kept = Disk(dict(held.files))
    authority(kept).checkpoint(head(5, 9))
    held.broken = StoreUnavailable("a file cannot be made durable")
    with pytest.raises(StoreUnavailable):
        signer.checkpoint(head(5, 9))
    with pytest.raises(AuditBroken):
        authority(kept).checkpoint(head(5, 9))
    assert authority(kept).checkpoint(head(9, 9))


@pytest.mark.parametrize("damage", [b"{", b"\xff", b"[]", b'{"x":{"size":"5"}}', b'{"x":"\xff"}'])
def test_damaged_heads_are_not_forgotten(damage: bytes) -> None:
    """A heads file that cannot be read stops the signer; it is never taken for a fresh start."""
    held = at(5)
    held.files["heads.json"] = damage
    with pytest.raises(ConfigInvalid):
        authority(held)


@given(st.integers(1, 24), st.integers(1, 24))
@settings(max_examples=60, deadline=None)
def test_only_prefixes_are_followed(old: int, new: int) -> None:
    """After any head: every longer head of the same log is signed, every shorter one and every fork is refused."""
    held = at(old)
    if new >= old:
        assert authority(held).checkpoint(head(old, new))
    else:
        with pytest.raises(AuditBroken):
            authority(held).checkpoint(head(old, new))
    held = at(old)
    forked = old > 6 and new >= old  # before that the two logs are one
    request = head(old, new, OTHER)
    if forked or new < old:
        with pytest.raises(AuditBroken):
            authority(held).checkpoint(request)
    else:
        assert authority(held).checkpoint(request)

"""The offline verifier: whatever was done to a log, the first wrong index is named, or a range that holds it."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audit import tree
from gateway.audit.checkpoint import Checkpoint, VerifierKey, sign
from gateway.audit.verify import ALLOWED_SKEW, LogVerdict, verify_log
from gateway.errors import AuditBroken
from tests.audit.logs import (
    KEY_NAME,
    LOG_KEY,
    LOG_VKEY,
    MASTER_ORIGIN,
    NOON,
    ORIGIN,
    MemoryLog,
    digest,
    entry,
)

#: Ends of the batches, which are the sizes of the checkpoints: 300 is past the first tile.
BATCHES = [1, 2, 7, 90, 150, 50, 10]
SIZE = sum(BATCHES)
LOG = MemoryLog.of(BATCHES)
#: The same entries, each with its own checkpoint.
FINE = MemoryLog.of([1] * SIZE)
#: The same log up to entry 103, then another story, with tiles and checkpoints to match.
REWRITTEN = MemoryLog.of(BATCHES, tale="another", tale_from=103)


def found(verdict: LogVerdict) -> tuple[str, str | None, int | None, int | None]:
    return verdict.status, verdict.reason, verdict.first_wrong_index, verdict.last_wrong_index


def check(log: MemoryLog, *held: bytes) -> LogVerdict:
    return verify_log(log, [LOG_VKEY], held=held)


def flip(raw: bytes, bit: int) -> bytes:
    spoiled = bytearray(raw)
    spoiled[bit // 8 % len(raw)] ^= 1 << bit % 8
    return bytes(spoiled)


# --- logs that hold --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", [ORIGIN, MASTER_ORIGIN])
def test_whole_logs_verify(origin: str) -> None:
    """An untouched log of either kind is verified, sealed to its end, and witnessed as far as somebody holds."""
    log = MemoryLog.of(BATCHES, origin=origin)
    verdict = check(log, log.notes[2], log.notes[4])
    assert found(verdict) == ("verified", None, None, None)
    assert (verdict.origin, verdict.size, verdict.sealed_size, verdict.unsealed) == (origin, SIZE, SIZE, 0)
    assert (verdict.witnessed_size, verdict.checkpoints_checked) == (250, 9)
    assert verdict.root == tree.root(SIZE, log.tiles)
    assert verdict.clock_back_index is None


def test_an_empty_log_verifies() -> None:
    """Nothing is there and nothing is claimed; a checkpoint of size 0 changes nothing."""
    log = MemoryLog()
    assert found(check(log)) == ("verified", None, None, None)
    log.notes.append(log.seal())
    assert found(check(log, log.notes[0])) == ("verified", None, None, None)
    assert check(log).root == tree.empty_root()


def test_entries_after_the_last_checkpoint_are_counted() -> None:
    """A tail that no checkpoint covers yet is reported, not refused."""
    log = LOG.copy()
    log.add([entry(SIZE), entry(SIZE + 1)], seal=False)
    verdict = check(log)
    assert (verdict.status, verdict.size, verdict.unsealed, verdict.witnessed_size) == (
        "verified",
        SIZE + 2,
        2,
        0,
    )


def test_nothing_signed_is_not_verified() -> None:
    """Entries without any checkpoint are unsealed, whatever their tiles say; a held checkpoint seals them."""
    log = LOG.copy()
    log.notes.clear()
    assert found(check(log)) == ("unsealed", "no-checkpoint", None, None)
    verdict = check(log, LOG.notes[-1])
    assert (verdict.status, verdict.sealed_size, verdict.witnessed_size) == ("verified", SIZE, SIZE)


def test_a_clock_set_back_is_noted() -> None:
    """The first entry whose time lies more than the skew before an earlier one is named; the log still verifies."""
    log = MemoryLog()
    log.add([entry(index, at=at) for index, at in enumerate([NOON, NOON - ALLOWED_SKEW])])
    assert check(log).clock_back_index is None
    for index in (2, 3):
        log.add([entry(index, at=NOON - ALLOWED_SKEW - timedelta(seconds=1))])
    verdict = check(log)
    assert (verdict.status, verdict.clock_back_index) == ("verified", 2)


def test_times_at_the_ends_of_the_calendar() -> None:
    """A hostile time far in the past or future stops no verification."""
    log = MemoryLog()
    log.add([entry(0, at=NOON.replace(year=9999)), entry(1, at=NOON.replace(year=1)), entry(2)])
    verdict = check(log)
    assert (verdict.status, verdict.clock_back_index) == ("verified", 1)


# --- entries touched -------------------------------------------------------------------------------------------------


@given(index=st.integers(0, SIZE - 1), bit=st.integers(0, 3999))
@settings(max_examples=60, deadline=None)
def test_any_flipped_bit_names_its_entry(index: int, bit: int) -> None:
    """One bit of one entry changed: that index."""
    log = LOG.copy()
    log.rows[index] = index, flip(log.rows[index][1], bit)
    assert found(check(log)) == ("broken", "entry-changed", index, index)


@given(index=st.integers(0, SIZE - 1), renumbered=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_removed_entry_names_its_index(index: int, renumbered: bool) -> None:
    """One entry taken out: its index, whether the others moved up or a hole was left; at the end it is the tail."""
    log = LOG.copy()
    del log.rows[index]
    if renumbered:
        log.renumber()
    if index == SIZE - 1:
        expect = "truncated", "tail-missing"
    else:
        expect = "broken", "entry-changed" if renumbered else "position-missing"
    assert found(check(log))[:3] == (*expect, index)


@given(index=st.integers(0, SIZE), renumbered=st.booleans())
@settings(max_examples=60, deadline=None)
def test_an_inserted_entry_names_its_index(index: int, renumbered: bool) -> None:
    """One entry put in: its index, whether the others moved down or its position stands there twice."""
    log = LOG.copy()
    log.rows.insert(index, (index, entry(index, tale="inserted")))
    if renumbered:
        log.renumber()
    at_end = index == SIZE
    assert found(check(log)) == ("broken", "tile-missing" if at_end else "entry-changed", index, index)


@given(index=st.integers(0, SIZE - 1))
@settings(max_examples=30, deadline=None)
def test_a_repeated_entry_names_its_index(index: int) -> None:
    """An entry stored twice under its position: that position."""
    log = LOG.copy()
    log.rows.insert(index + 1, log.rows[index])
    assert found(check(log)) == ("broken", "position-repeated", index, index)


@given(pair=st.lists(st.integers(0, SIZE - 1), min_size=2, max_size=2, unique=True), rows=st.booleans())
@settings(max_examples=60, deadline=None)
def test_swapped_entries_name_the_first(pair: list[int], rows: bool) -> None:
    """Two entries exchanged: the lower index, whether their positions went with them or not."""
    first, second = sorted(pair)
    log = LOG.copy()
    one, two = log.rows[first], log.rows[second]
    log.rows[first], log.rows[second] = (two, one) if rows else ((first, two[1]), (second, one[1]))
    reason = "position-missing" if rows else "entry-changed"
    assert found(check(log)) == ("broken", reason, first, first)


@given(cut=st.integers(0, SIZE - 1))
@settings(max_examples=30, deadline=None)
def test_a_cut_tail_names_the_first_missing(cut: int) -> None:
    """Entries cut off the end while tiles and checkpoints stay: the size that is left."""
    log = LOG.copy()
    del log.rows[cut:]
    assert found(check(log)) == ("truncated", "tail-missing", cut, SIZE - 1)


def test_tiles_alone_tell_of_a_cut_tail() -> None:
    """With its checkpoints gone as well, the tiles still know the longer log, level 1 alone included."""
    log = LOG.copy()
    del log.rows[299:], log.notes[-2:]
    assert found(check(log))[:3] == ("truncated", "tail-missing", 299)
    log.tiles.write({(0, 1): log.tiles.read(0, 1)[: 43 * 32]})
    assert found(check(log)) == ("verified", None, None, None)
    log = LOG.copy()
    del log.rows[250:], log.notes[-2:]
    log.tiles.write({(0, 0): log.tiles.read(0, 0)[: 250 * 32], (0, 1): b""})
    assert found(check(log))[:3] == ("truncated", "tail-missing", 250)


def test_an_entry_of_no_valid_form_is_named() -> None:
    """An entry that agrees with tiles and checkpoints but is none of this kind of log: its index."""
    for wrong in (b"{}", entry(3, origin=MASTER_ORIGIN), entry(3) + b"\n"):
        log = MemoryLog.of([3])
        log.add([wrong, entry(4)])
        assert found(check(log)) == ("broken", "entry-malformed", 3, 3)


# --- tiles touched ---------------------------------------------------------------------------------------------------


@given(bit=st.integers(0, SIZE * 256 - 1))
@settings(max_examples=30, deadline=None)
def test_a_changed_leaf_hash_names_its_index(bit: int) -> None:
    """One bit of a level-0 tile changed: the entry it stands for."""
    log, (index, within) = LOG.copy(), divmod(bit, 256)
    tile, offset = divmod(index, 256)
    log.tiles.write({(0, tile): flip(log.tiles.read(0, tile), offset * 256 + within)})
    assert found(check(log)) == ("broken", "entry-changed", index, index)


def test_a_missing_leaf_tile_names_its_first_entry() -> None:
    """A tile gone: the first entry whose leaf it held."""
    log = LOG.copy()
    log.tiles.write({(0, 1): b""})
    assert found(check(log)) == ("broken", "tile-missing", 256, 256)


def test_a_changed_upper_tile_names_the_range_under_it() -> None:
    """An upper hash that its leaves do not lead to: the entries under it, from the last head that held."""
    log = LOG.copy()
    log.tiles.write({(1, 0): digest("other")})
    assert found(check(log)) == ("broken", "tile-changed", 250, 255)
    log.notes.clear()
    assert found(check(log)) == ("broken", "tile-changed", 0, 255)


def test_entry_and_leaf_changed_together_are_bounded_by_checkpoints() -> None:
    """Entry 103 and its leaf changed, nothing else: between the checkpoints of 100 and 250."""
    log = LOG.copy()
    log.rows[103] = REWRITTEN.rows[103]
    leaves = log.tiles.read(0, 0)
    log.tiles.write({(0, 0): leaves[: 103 * 32] + tree.leaf_hash(log.rows[103][1]) + leaves[104 * 32 :]})
    assert found(check(log)) == ("broken", "checkpoint-root", 100, 249)


@given(index=st.integers(0, SIZE - 1))
@settings(max_examples=8, deadline=None)
def test_with_a_checkpoint_per_entry_the_bound_is_exact(index: int) -> None:
    """Entries and tiles rewritten from an index on: with a checkpoint after each entry, exactly that index."""
    log = FINE.copy()
    other = MemoryLog.of([SIZE], tale="another", tale_from=index)
    log.rows, log.tiles = other.rows, other.tiles
    assert found(check(log)) == ("broken", "checkpoint-root", index, index)


# --- what only somebody outside can show -----------------------------------------------------------------------------


@given(kept=st.integers(0, len(BATCHES) - 1), held=st.integers(0, len(BATCHES) - 1))
@settings(max_examples=30, deadline=None)
def test_a_cleanly_cut_log_is_found_by_a_held_checkpoint(kept: int, held: int) -> None:
    """A log rolled back with tiles and checkpoints is a valid shorter log; a later held checkpoint names the cut."""
    log = MemoryLog.of(BATCHES[:kept])
    assert check(log).status == "verified"
    verdict = check(log, LOG.notes[held])
    if held < kept:
        assert (verdict.status, verdict.witnessed_size) == ("verified", sum(BATCHES[: held + 1]))
    else:
        last = sum(BATCHES[: held + 1]) - 1
        assert found(verdict) == ("truncated", "held-tail-missing", sum(BATCHES[:kept]), last)


def test_a_rewritten_log_is_found_by_a_held_checkpoint() -> None:
    """A history rewritten and signed again agrees with itself; against held checkpoints, our own bound nothing."""
    assert check(REWRITTEN).status == "verified"
    assert found(check(REWRITTEN, LOG.notes[4])) == ("broken", "held-root", 0, 249)
    assert found(check(REWRITTEN, LOG.notes[4], LOG.notes[2])) == ("broken", "held-root", 10, 249)
    verdict = check(REWRITTEN, LOG.notes[3], LOG.notes[0])
    assert (verdict.status, verdict.witnessed_size) == ("verified", 100)


def test_two_heads_of_one_size_are_a_conflict() -> None:
    """Two signed checkpoints of one size with different roots: the log key signed two histories, no entry is wrong."""
    log = LOG.copy()
    log.notes.insert(4, REWRITTEN.notes[4])
    assert found(check(log)) == ("broken", "checkpoint-root", 100, 249)
    log.notes[4], log.notes[5] = log.notes[5], log.notes[4]
    assert found(check(log)) == ("broken", "checkpoint-conflict", None, None)
    assert found(check(LOG, LOG.notes[4], REWRITTEN.notes[4])) == (
        "broken",
        "checkpoint-conflict",
        None,
        None,
    )


def test_a_wrong_root_of_the_empty_tree_is_a_conflict() -> None:
    """A signed checkpoint of size 0 has one possible root."""
    log = MemoryLog(notes=[sign(Checkpoint(ORIGIN, 0, digest("other")), KEY_NAME, LOG_KEY)])
    assert found(check(log)) == ("broken", "checkpoint-conflict", None, None)


def test_an_exact_fault_comes_before_a_wider_one() -> None:
    """A held checkpoint beyond the end does not hide a changed entry."""
    log = MemoryLog.of(BATCHES[:5])
    log.rows[200] = LOG.rows[201]
    assert found(check(log, LOG.notes[-1])) == ("broken", "position-missing", 200, 200)


# --- checkpoints touched ---------------------------------------------------------------------------------------------


@given(at=st.integers(0, len(BATCHES) - 1), bit=st.integers(0, 1599))
@settings(max_examples=40, deadline=None)
def test_a_flipped_bit_in_a_checkpoint_is_refused(at: int, bit: int) -> None:
    """A note that no longer verifies: what it alone covered is unproven; a later one that holds covers all before."""
    log = LOG.copy()
    log.notes[at] = flip(log.notes[at], bit)
    last = at == len(BATCHES) - 1
    expect = (SIZE - BATCHES[-1], SIZE - 1) if last else (None, None)
    assert found(check(log)) == ("broken", "checkpoint-invalid", *expect)


Spoil = Callable[[MemoryLog], object]
NOTES: list[tuple[str, Spoil]] = [
    ("reversed", lambda log: log.notes.reverse()),
    ("two exchanged", lambda log: log.notes.insert(0, log.notes.pop(1))),
    ("of the master log", lambda log: log.notes.insert(0, MemoryLog.of([1], origin=MASTER_ORIGIN).notes[0])),
    (
        "of another key",
        lambda log: log.notes.insert(0, MemoryLog.of([], origin=ORIGIN).seal()[:-9] + b"AAAAAAA=\n"),
    ),
    ("empty", lambda log: log.notes.append(b"")),
]


@pytest.mark.parametrize(("name", "spoil"), NOTES, ids=[row[0] for row in NOTES])
def test_notes_that_do_not_belong(name: str, spoil: Spoil) -> None:
    """A stored note out of order, of another log, or forged breaks the log even when others hold."""
    log = LOG.copy()
    spoil(log)
    assert found(check(log))[:2] == ("broken", "checkpoint-invalid")


@pytest.mark.parametrize(
    "held",
    [b"", b"Zzemo Exemple", flip(LOG.notes[0], 3), MemoryLog.of([1], origin=MASTER_ORIGIN).notes[0]],
    ids=["empty", "no note", "spoiled", "of another log"],
)
def test_a_held_note_that_proves_nothing_is_not_passed_over(held: bytes) -> None:
    """Who asks for a comparison that cannot be made is told so; no entry is blamed."""
    log = LOG.copy()
    log.add([entry(SIZE)], seal=False)
    for each in (LOG, log):
        assert found(check(each, held)) == ("broken", "held-invalid", None, None)


def test_without_the_right_key_nothing_is_verified() -> None:
    """No key, or another of the same name: every checkpoint is refused, and all entries are unproven."""
    stranger = VerifierKey.of(KEY_NAME, Ed25519PrivateKey.generate().public_key())
    for vkeys in ([], [stranger]):
        assert found(verify_log(LOG, vkeys)) == ("broken", "checkpoint-invalid", 0, SIZE - 1)
    assert verify_log(LOG, [stranger, LOG_VKEY]).status == "verified"


# --- sources that cannot be read -------------------------------------------------------------------------------------


def test_an_origin_of_no_known_kind_is_refused() -> None:
    """The origin says how to read the entries; one that does not is not guessed at."""
    verdict = check(MemoryLog("ecluse/bel.ocam"))
    assert found(verdict) == ("broken", "unreadable", 0, 0)


def test_an_unreadable_entry_is_named() -> None:
    """Where the source cannot go on, the next index is named."""

    class Torn(MemoryLog):
        def entries(self) -> Iterator[tuple[int, bytes]]:
            yield from self.rows[:5]
            raise AuditBroken("a stored piece cannot be read")

    torn = Torn(rows=LOG.rows, tiles=LOG.tiles, notes=LOG.notes)
    assert found(check(torn)) == ("broken", "unreadable", 5, 5)


def test_linear_and_flat() -> None:
    """Each entry is read once and each leaf tile once: the pass asks the source for nothing twice."""
    reads: list[tuple[int, int]] = []

    class Counted(tree.MemoryTiles):
        def read(self, level: int, index: int) -> bytes:
            reads.append((level, index))
            return LOG.tiles.read(level, index)

    counted = MemoryLog(rows=LOG.rows, tiles=Counted(), notes=LOG.notes)
    assert check(counted).status == "verified"
    assert sorted(reads) == [(0, 0), (0, 1), (0, 1), (1, 0), (1, 0), (2, 0)]


def test_a_position_below_zero_is_no_index() -> None:
    """An entry stored under -1 in place of the first: index 0 is missing."""
    log = LOG.copy()
    log.rows[0] = (-1, log.rows[0][1])
    assert found(check(log)) == ("broken", "position-missing", 0, 0)

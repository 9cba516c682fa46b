"""Whoever holds more than a file: the adversaries of docs/attacks.md that work on logs, and the witness that finds
each.

Each test shows both sides: without the witness the forged history passes for a whole one, with it both verifiers
refuse.
"""

import tempfile
from pathlib import Path

import pytest

from gateway.audit.export import ExportSource, write_export
from gateway.audit.verify import LogVerdict, verify_log
from gateway.reviewer import verify
from tests.audit.logs import LOG_VKEY, MASTER_ORIGIN, ORIGIN, MemoryLog

BATCHES = (4, 9, 300, 7)
HONEST = MemoryLog.of(BATCHES, origin=MASTER_ORIGIN)


def judged(log: MemoryLog, *held: bytes) -> tuple[LogVerdict, verify.Check]:
    """What both verifiers say of an export of this log, given these notes from outside."""
    files = dict(write_export(log))
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        notes = [verify.Note(note) for note in held]
        alone = verify.Check([verify.Key(LOG_VKEY.encode())], [], notes).run(verify.Log(Path(folder)))
    return verify_log(ExportSource(files), [LOG_VKEY], held=held, ended=True), alone


def passes(log: MemoryLog, *held: bytes) -> bool:
    ours, alone = judged(log, *held)
    assert (ours.status == "verified") is (not alone.fault)
    return not alone.fault


@pytest.mark.parametrize("first", [0, 3, 4, 200, 319])
def test_the_log_key_rewrites_history(first: int) -> None:
    """Every entry from one on is another, and every head signed again: a note held from before tells, from the head
    that is beyond the change; one of before the change does not, and nothing in the log itself does."""
    forged = MemoryLog.of(BATCHES, tale="forged", tale_from=first, origin=MASTER_ORIGIN)
    assert passes(forged)
    for size, note in zip((4, 13, 313, 320), HONEST.notes, strict=True):
        ours, alone = judged(forged, note)
        assert (ours.status == "verified") is (not alone.fault) is (size <= first)
        if size > first:
            assert ours.reason == "held-root"
            assert ours.first_wrong_index is not None
            assert ours.first_wrong_index <= first <= (ours.last_wrong_index or 0)
            assert alone.first_wrong_index is not None
            assert alone.first_wrong_index <= first


def test_the_tail_goes_with_its_heads() -> None:
    """An older state, whole in itself, as an old backup is: a note of the newer state tells from which index on entries
    are missing."""
    older = MemoryLog.of(BATCHES[:2], origin=MASTER_ORIGIN)
    assert passes(older)
    assert passes(older, HONEST.notes[1])
    ours, alone = judged(older, HONEST.notes[2])
    assert (ours.status, ours.reason, ours.first_wrong_index) == ("truncated", "held-tail-missing", 13)
    assert alone.first_wrong_index == 13


def test_two_reviewers_are_shown_two_logs() -> None:
    """Each is whole under one key; the head of one beside the log of the other shows both, and signs the proof."""
    other = MemoryLog.of(BATCHES, tale="for the other", tale_from=100, origin=MASTER_ORIGIN)
    assert passes(HONEST)
    assert passes(other)
    assert not passes(HONEST, other.notes[-1])
    assert not passes(other, HONEST.notes[-1])
    ours, _ = judged(other, other.notes[-1], HONEST.notes[-1])
    assert ours.reason == "held-root" or ours.reason == "checkpoint-conflict"


def test_a_log_is_left_out() -> None:
    """What stands alone says which log is missing when a head of it is held; see the service tests for the home's own
    count."""
    lane = MemoryLog.of((3,), origin=ORIGIN)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "export"
        for name, data in write_export(HONEST):
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        note = Path(folder) / "held"
        note.write_bytes(lane.notes[0])
        key = ["--key", LOG_VKEY.encode()]
        assert verify.main([str(root), *key]) == 0
        assert verify.main([str(root), *key, "--held", str(note)]) == 1

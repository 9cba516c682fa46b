"""The export: the specification's layout, faithful both ways, and damage found by the verifier."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audit import tree
from gateway.audit.export import ExportSource, write_export
from gateway.audit.verify import verify_log
from gateway.errors import AuditBroken
from tests.audit.logs import LOG_VKEY, ORIGIN, MemoryLog, entry

LOG = MemoryLog.of([5, 245, 262, 88])
FILES = dict(write_export(LOG))


def status(files: dict[str, bytes], *held: bytes) -> tuple[str, int | None]:
    verdict = verify_log(ExportSource(files), [LOG_VKEY], held=held)
    return verdict.status, verdict.first_wrong_index


def test_layout() -> None:
    """Paths and sizes are those of C2SP tlog-tiles for a tree of 600, plus every note by its size."""
    bundles = {
        path: size for path, size in ((path, len(data)) for path, data in FILES.items()) if "entries" in path
    }
    assert set(bundles) == {"tile/entries/000", "tile/entries/001", "tile/entries/002.p/88"}
    assert {
        path: len(data) // 32 for path, data in FILES.items() if path.startswith(("tile/0", "tile/1"))
    } == {
        "tile/0/000": 256,
        "tile/0/001": 256,
        "tile/0/002.p/88": 88,
        "tile/1/000.p/2": 2,
    }
    assert {path for path in FILES if not path.startswith("tile")} == {
        "checkpoint",
        *(f"checkpoints/{size}" for size in (5, 250, 512, 600)),
    }
    assert FILES["checkpoint"] == FILES["checkpoints/600"] == LOG.notes[-1]
    first = LOG.rows[0][1]
    assert FILES["tile/entries/000"].startswith(len(first).to_bytes(2, "big") + first)


def test_deep_indices_are_split() -> None:
    """From index 1000 on, the path has one part for each three digits, all but the last after an x."""
    log = MemoryLog(origin=ORIGIN)
    log.size = 256_001
    log.tiles = tree.MemoryTiles(tree.append(0, tree.MemoryTiles(), [b""] * log.size).tiles)
    log.rows = [(index, b"") for index in range(log.size)]
    log.notes = [log.seal()]
    paths = [path for path, _ in write_export(log)]
    assert {"tile/0/999", "tile/0/x001/000.p/1", "tile/entries/x001/000.p/1", "tile/2/000.p/3"} <= set(paths)
    source = ExportSource(dict(write_export(log)))
    assert source.tiles.read(0, 1000) == log.tiles.read(0, 1000)
    assert sum(1 for _ in source.entries()) == log.size


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 512])
def test_what_is_exported_is_read_back(size: int) -> None:
    """Entries, tiles and notes come back as they were, and verify, at every edge of a tile."""
    log = MemoryLog.of([size])
    source = ExportSource(dict(write_export(log)))
    assert list(source.entries()) == log.rows
    assert list(source.checkpoints()) == log.notes
    assert source.origin == ORIGIN
    verdict = verify_log(source, [LOG_VKEY], held=log.notes)
    assert (verdict.status, verdict.size, verdict.witnessed_size) == ("verified", size, size)


def test_an_export_ends_at_its_checkpoint() -> None:
    """Entries that no checkpoint covers yet are left out, so that the tiles have the widths the checkpoint implies."""
    log = LOG.copy()
    log.add([entry(600), entry(601)], seal=False)
    assert dict(write_export(log)) == FILES


REFUSED: list[tuple[str, MemoryLog]] = [
    ("no checkpoint", MemoryLog(rows=LOG.rows, tiles=LOG.tiles)),
    ("notes out of order", MemoryLog(rows=LOG.rows, tiles=LOG.tiles, notes=LOG.notes[::-1])),
    ("two notes of one size", MemoryLog(rows=LOG.rows, tiles=LOG.tiles, notes=[LOG.notes[0], LOG.notes[0]])),
    ("a hole", MemoryLog(rows=LOG.rows[:7] + LOG.rows[8:], tiles=LOG.tiles, notes=LOG.notes)),
    ("a repetition", MemoryLog(rows=LOG.rows[:8] + LOG.rows[7:], tiles=LOG.tiles, notes=LOG.notes)),
    ("a cut tail", MemoryLog(rows=LOG.rows[:-1], tiles=LOG.tiles, notes=LOG.notes)),
    ("no tiles", MemoryLog(rows=LOG.rows, notes=LOG.notes)),
    ("a huge entry", MemoryLog(rows=[(0, bytes(65_536)), *LOG.rows[1:]], tiles=LOG.tiles, notes=LOG.notes)),
    ("a malformed note", MemoryLog(rows=LOG.rows, tiles=LOG.tiles, notes=[b"Zzemo"])),
]


@pytest.mark.parametrize(("name", "log"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_the_layout_cannot_express_is_refused(name: str, log: MemoryLog) -> None:
    """A log with such damage is not made to look whole by exporting it."""
    with pytest.raises(AuditBroken):
        dict(write_export(log))


@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_any_change_of_any_file_is_found(data: st.DataObject) -> None:
    """A bit flipped, bytes cut or added, a tile or bundle exchanged for another file: never verified."""
    files = dict(FILES)
    path = data.draw(st.sampled_from(sorted(files)))
    kind = data.draw(
        st.sampled_from(["flip", "cut", "add", "exchange"] if "tile" in path else ["flip", "cut", "add"])
    )
    raw = files[path]
    at = data.draw(st.integers(0, len(raw) - 1))
    if kind == "flip":
        files[path] = raw[:at] + bytes([raw[at] ^ 1 << data.draw(st.integers(0, 7))]) + raw[at + 1 :]
    elif kind == "cut":
        files[path] = raw[:at]
    elif kind == "add":
        files[path] = raw[:at] + data.draw(st.binary(min_size=1, max_size=40)) + raw[at:]
    else:
        files[path] = files[
            data.draw(st.sampled_from(sorted(other for other in files if files[other] != raw)))
        ]
    assert status(files, LOG.notes[-1])[0] in ("broken", "truncated")


@pytest.mark.parametrize("path", sorted(path for path in FILES if path.startswith("tile")))
def test_a_missing_tile_or_bundle_is_found(path: str) -> None:
    """A tile or bundle left out: the first entry it stood for, or the range under it."""
    files = {name: raw for name, raw in FILES.items() if name != path}
    expect: dict[str, tuple[str, int]] = {
        "tile/entries/000": ("broken", 0),
        "tile/entries/001": ("broken", 256),
        "tile/entries/002.p/88": ("truncated", 512),
        "tile/0/000": ("broken", 0),
        "tile/0/001": ("broken", 256),
        "tile/0/002.p/88": ("broken", 512),
        "tile/1/000.p/2": ("broken", 250),
    }
    assert status(files) == expect[path]


def test_changed_entries_are_named() -> None:
    """In an export too, a changed, removed, inserted or exchanged entry is named by its index."""
    bundle = FILES["tile/entries/001"]
    one, two = (len(raw).to_bytes(2, "big") + raw for _, raw in LOG.rows[256:258])
    extra = entry(999)
    rest = bundle[len(one + two) :]
    for changed, first in (
        (one.replace(b'"out"', b'"in"') + two + rest, 256),
        (one + rest, 257),
        (one + len(extra).to_bytes(2, "big") + extra + two + rest, 257),
        (two + one + rest, 256),
        (bundle[:-1], 511),
        (bundle + b"\0", 512),
    ):
        assert status(FILES | {"tile/entries/001": changed}) == ("broken", first)


def test_a_torn_bundle_is_unreadable_where_it_ends() -> None:
    """Entries before the tear are handed out, a torn one never is."""
    raw = LOG.rows[0][1]
    source = ExportSource({"tile/entries/000.p/2": (len(raw).to_bytes(2, "big") + raw) * 2 + b"\2\0abc"})
    entries = source.entries()
    assert [next(entries), next(entries)] == [(0, raw), (1, raw)]
    with pytest.raises(AuditBroken):
        next(entries)


def test_a_shorter_export_is_found_by_a_held_checkpoint() -> None:
    """An export as of an earlier checkpoint is a valid shorter log, until somebody holds a later one."""
    earlier = dict(write_export(MemoryLog.of([5, 245])))
    assert status(earlier) == ("verified", None)
    assert status(earlier, LOG.notes[-1]) == ("truncated", 250)


def test_only_the_widest_form_of_a_tile_counts() -> None:
    """Partial tiles left from earlier checkpoints, and files of no known path, change nothing."""
    left_over = {
        "tile/0/000.p/5": FILES["tile/0/000"][: 5 * 32],
        "tile/0/002.p/9": FILES["tile/0/002.p/88"][: 9 * 32],
        "tile/entries/000.p/1": b"nothing of the kind",
        "README": b"",
        "tile/0/1": b"",
        "tile/64/000": b"",
        "tile/0/../../x": b"",
        "checkpoints/05": b"",
    }
    assert status(left_over | FILES) == ("verified", None)


def test_an_export_without_a_checkpoint_is_unreadable() -> None:
    """Without the newest note nobody says which log this is."""
    files = {path: raw for path, raw in FILES.items() if path != "checkpoint"}
    assert status(files) == ("broken", 0)
    with pytest.raises(AuditBroken):
        _ = ExportSource(files).origin

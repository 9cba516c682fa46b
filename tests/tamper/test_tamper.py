"""The harness of `make tamper`: what it draws, what it takes for found, and a short run of it."""

from pathlib import Path
from random import Random

import pytest

from tests.audit.logs import MASTER_ORIGIN
from tests.tamper.__main__ import Bench, outcome, run
from tests.tamper.edits import KINDS, Edit, Original, draw

SMALL = Original.of((5, 7, 1, 4), MASTER_ORIGIN)
BUNDLE, LEAVES = "tile/entries/000.p/17", "tile/0/000.p/17"


def drawn(kind: str) -> Edit:
    """The first edit of this kind that a fixed seed gives."""
    random = Random(kind)  # noqa: S311
    return next(edit for edit in iter(lambda: draw(SMALL, random), None) if edit.kind == kind)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_changes_a_log_and_is_found(kind: str, tmp_path: Path) -> None:
    """One edit of each kind: both verifiers find it, or nothing is said that was not said before."""
    edit = drawn(kind)
    said = outcome(edit, *Bench(SMALL, tmp_path).judged(edit))
    assert said in ("exact", "range", "head") or said == f"idle: {edit.idle}" != "idle: "


def test_the_first_wrong_index_is_exact_where_entry_and_leaf_disagree(tmp_path: Path) -> None:
    """A bit of an entry, a leaf torn off: both verifiers name that index and no other."""
    raw = SMALL.files[BUNDLE]
    place = raw.index(SMALL.entries[3]) + 20
    edits = {
        3: {BUNDLE: raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]},
        6: {LEAVES: SMALL.files[LEAVES][: 6 * 32 + 5]},
    }
    for index, files in edits.items():
        ours, alone = Bench(SMALL, tmp_path).judged(edit := Edit("by hand", files, index))
        assert outcome(edit, ours, alone) == "exact"
        assert alone is not None
        assert alone.first_wrong_index == index


def test_a_verifier_that_looks_away_is_noticed(tmp_path: Path) -> None:
    """Verdicts of the honest log for a spoilt one are missed; an index too far on is misplaced."""
    edit = drawn("entry turned")
    honest = Bench(SMALL, tmp_path).judged(Edit("bit", {}, None))
    assert outcome(edit, *honest) == "missed by the gateway's and verify.py"
    ours, alone = Bench(SMALL, tmp_path).judged(edit)
    assert edit.index is not None
    early = Edit(edit.kind, edit.files, edit.index - 1)
    assert outcome(early, ours, alone).endswith("names an index after the first wrong one")


def test_a_short_run_finds_every_edit() -> None:
    """A thousand edits of a seed of their own."""
    found = run(1000, "short", 1)
    assert (found["passed"], found["edits"], found["first_of_them"]) == (True, 1000, [])
    assert set(found["say_nothing_else"]) <= {"an earlier head is left out"}
    assert set(found["by_kind"]) == set(KINDS)

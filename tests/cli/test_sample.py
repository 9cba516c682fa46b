"""`ecluse audit sample`: the same draw from a home and from its export, with proofs that hold, and refusals by name."""

from __future__ import annotations

import time
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

import pytest

from gateway.audit.entry import HouseEvent, WireEvent
from gateway.audit.tree import InclusionProof, leaf_hash, verify_inclusion
from gateway.cli.sample import LOOK
from gateway.cli.staging import FR
from tests.cli.conftest import DELIVERED_S, Run, World

pytestmark = pytest.mark.integration

PERIOD = ("--since", "2026-01-01T00:00:00Z", "--until", "2100-01-01T00:00:00Z")


def test_every_event_says_what_to_look_at() -> None:
    """A closed table: an event without a question fails here."""
    assert set(LOOK) == {*get_args(HouseEvent), *get_args(WireEvent)}


def test_home_and_export_draw_the_same(world: World, ecluse: Run, tmp_path: Path) -> None:
    """A third party who has the export alone gets these very entries, and each proof holds under the head."""
    home = ("--home", world.stage.be.path, "--json")
    out = tmp_path / "export"
    keys = ecluse("audit", "export", "--out", out, *home).document["keys"]
    ask = ("audit", "sample", "--seed", "4 1 6", "--size", "7", *PERIOD)
    theirs = ecluse(*ask, "--export", out, "--key", keys[0], "--json").document
    ours = ecluse(*ask, "--head", theirs["size"], *home).document
    assert theirs == ours
    assert len(theirs["sample"]) == 7
    root = bytes.fromhex(theirs["root"])
    for one in theirs["sample"]:
        hashes = tuple(bytes.fromhex(part) for part in one["proof"])
        verify_inclusion(
            InclusionProof(one["index"], theirs["size"], hashes), leaf_hash(one["entry"].encode()), root
        )
    assert sha256(b"\x00" + theirs["sample"][0]["entry"].encode()).digest() == leaf_hash(
        theirs["sample"][0]["entry"].encode()
    )


def test_of_one_event_and_of_a_partners_log(world: World, ecluse: Run) -> None:
    """Releases alone; and what crossed one wire; the text names the head and the method."""
    home = ("--home", world.stage.be.path)
    ask = ("audit", "sample", "--seed", "s", "--size", "100", *PERIOD, *home)
    deadline = time.monotonic() + DELIVERED_S
    while "sample" not in (releases := ecluse(*ask, "--event", "release", "--json").document):
        assert time.monotonic() < deadline, releases  # no signed head covers a release yet
        time.sleep(0.1)
    assert {one["event"] for one in releases["sample"]} == {"release"}
    assert releases["population"] == len(releases["sample"])
    assert all(one["command"] == f"ecluse evidence pack {one['id']}" for one in releases["sample"])
    crossed = ecluse(*ask, "--partner", FR, "--json").document
    assert {one["event"] for one in crossed["sample"]} <= {"message", "receipt"}
    assert "ecluse/sample/1" in ecluse(*ask).out


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (("--seed", "s", "--size", "0", "--year", "2026"), "size"),
        (("--seed", "s", "--size", "1"), "year"),
        (("--seed", "s", "--size", "1", "--year", "2026", "--since", "2026-01-01T00:00:00Z"), "year"),
        (("--seed", "s", "--size", "1", "--since", "2026-01-01T00:00:00Z"), "year"),
        (("--seed", "s", "--size", "1", "--year", "1"), "year"),
        (("--seed", "s", "--size", "1", *PERIOD, "--head", "999999"), "head"),
    ],
)
def test_refusals_name_their_field(world: World, ecluse: Run, words: tuple[Any, ...], field: str) -> None:
    """2, and the option."""
    said = ecluse("audit", "sample", *words, "--home", world.stage.be.path, "--json")
    assert (said.code, said.document["error"]["diagnostic"]["field"]) == (2, field)


def test_nothing_to_draw_from(world: World, ecluse: Run) -> None:
    """A year without entries is told apart from a broken log."""
    words = ("--seed", "s", "--size", "1", "--year", "2001", "--home", world.stage.be.path, "--json")
    said = ecluse("audit", "sample", *words)
    assert (said.code, said.document["error"]["code"]) == (2, "not-found")

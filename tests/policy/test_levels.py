"""The level table: keyed on the pair, sourced cell by cell, refused when it is not."""

import json
from importlib.resources import files
from typing import Any

import pytest

from gateway.errors import PolicyInvalid
from gateway.policy.levels import load_levels, with_equivalence
from tests.conftest import REFERENCE
from tests.policy.worlds import LEVELS


def document() -> dict[str, Any]:
    shipped: dict[str, Any] = json.loads(
        files("schemas").joinpath("levels/2026-11-21.json").read_text("utf-8")
    )
    return shipped


def equivalence() -> dict[str, Any]:
    shipped: dict[str, Any] = json.loads(
        files("schemas").joinpath("levels/equivalence-2026-11-22.json").read_text("utf-8")
    )
    return shipped


@pytest.mark.parametrize(
    ("policy", "level", "rank"),
    [
        ("BEL", "VERTROUWELIJK", 2),
        ("NLD", "Dep. VERTROUWELIJK", 1),
        ("ESP", "SECRETO", 4),
        ("ESP", "RESERVADO", 3),
        ("BEL", "RESTREINT", 1),
        ("BEL", "BEPERKT", 1),
        ("BEL", "UNCLASSIFIED", 0),
        ("BEL", "NON CLASSIFIE", 0),
        ("DEU", "VS - VERTRAULICH", 2),
        ("NATO", "COSMIC TOP SECRET", 4),
        ("DEU", "VERTRAULICH", None),
        ("NLD", "VERTROUWELIJK", None),
        ("FRA", "RESTREINT", None),
        ("FRA", "CONFIDENTIEL", None),
        ("FRA", "DIFFUSION RESTREINTE", None),
        ("BEL", "DIFFUSION RESTREINTE", None),
        ("BEL", "restreint", None),
        ("BEL", "RESTREINT ", None),
        ("USA", "RESTRICTED", None),
        ("GBR", "CONFIDENTIAL", None),
        ("CAN", "SECRET", None),
        ("PRT", "RESERVADO", None),
        ("", "", None),
    ],
)
def test_the_pair_has_this_rank(policy: str, level: str, rank: int | None) -> None:
    """Known traps of the words; what the table does not hold has no rank, whatever it sounds like."""
    assert LEVELS.rank(policy, level) == rank


def test_each_cell_has_its_source() -> None:
    """Every pair names where its rank was read; what was not read says so."""
    cells = {f"{policy}/{level}" for policy, row in LEVELS.ranks.items() for level in row}
    assert set(LEVELS.sources) == cells
    assert LEVELS.sources["BEL/RESTREINT"].startswith("law 11.12.1998")
    unread = {name.split("/")[0] for name, source in LEVELS.sources.items() if source.endswith("[M]")}
    assert unread == {"GBR", "USA", "NATO"}


def test_the_version_is_bound_to_the_ranks() -> None:
    """Date and digest: another rank is another version."""
    changed = document()
    changed["levels"]["BEL"]["SECRET"]["rank"] = 2
    table = load_levels(json.dumps(changed).encode())
    assert LEVELS.version.startswith("2026-11-21+")
    assert table.version != LEVELS.version
    again = load_levels(json.dumps(document(), indent=3).encode())
    assert again.version == LEVELS.version.partition(";")[0]
    assert with_equivalence(again, json.dumps(equivalence(), indent=3).encode()) == LEVELS


def _flawed(**changes: Any) -> bytes:
    return json.dumps({**document(), **changes}).encode()


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(_flawed(levels={}), id="empty"),
        pytest.param(_flawed(levels={"BEL": {}}), id="a policy without levels"),
        pytest.param(_flawed(levels={"BEL": {"SECRET": {"rank": 5, "source": "BE1998"}}}), id="rank above 4"),
        pytest.param(
            _flawed(levels={"BEL": {"SECRET": {"rank": -1, "source": "BE1998"}}}), id="rank below 0"
        ),
        pytest.param(_flawed(levels={"BEL": {"SECRET": {"rank": 3}}}), id="no source"),
        pytest.param(
            _flawed(levels={"BEL": {"SECRET": {"rank": 3, "source": "hearsay"}}}), id="unlisted source"
        ),
        pytest.param(_flawed(more=1), id="an unknown member"),
        pytest.param(b'{"levels": {}, "levels": {}}', id="a member twice"),
    ],
)
def test_a_flawed_table_is_refused(raw: bytes) -> None:
    """No table, no rank: a flaw is a `PolicyInvalid` at load."""
    with pytest.raises(PolicyInvalid):
        load_levels(raw)


def test_the_table_agrees_with_the_reference() -> None:
    """Each name of the reference equivalence table has the same rank here."""
    path = REFERENCE / "classification" / "equivalence.json"
    if not path.exists():
        pytest.skip("the reference equivalence table is not beside this checkout")
    checked = 0
    for row in json.loads(path.read_text("utf-8"))["levels"]:
        if row["rank"] == 0:
            continue
        for policy in LEVELS.ranks:
            cell = row.get(policy)
            words = (
                [cell] if isinstance(cell, str) else [(cell or {}).get(key) for key in ("fr", "nl", "value")]
            )
            for word in filter(None, words):
                assert LEVELS.rank(policy, word) == row["rank"], (policy, word)
                checked += 1
            if not any(words):
                assert row["rank"] not in LEVELS.ranks[policy].values()
    assert checked > 35


@pytest.mark.parametrize(
    ("policy", "level", "receiver", "rank"),
    [
        ("BEL", "VERTROUWELIJK", "NLD", 2),
        ("NLD", "Dep. VERTROUWELIJK", "BEL", 1),
        ("BEL", "RESTREINT", "NLD", 1),
        ("BEL", "RESTREINT", "FRA", None),
        ("BEL", "CONFIDENTIEL", "FRA", 3),
        ("EU", "CONFIDENTIEL UE/EU CONFIDENTIAL", "FRA", 3),
        ("ESP", "RESERVADO", "DEU", 3),
        ("ESP", "SECRETO", "BEL", 4),
        ("BEL", "BEPERKT", "GBR", None),
        ("BEL", "VERTROUWELIJK", "GBR", 3),
        ("BEL", "RESTREINT", "USA", None),
        ("BEL", "CONFIDENTIEL", "USA", 2),
        ("BEL", "SECRET", "CAN", None),
        ("BEL", "SECRET", "MAR", None),
        ("BEL", "SECRET", "CHE", None),
        ("BEL", "UNCLASSIFIED", "CHE", 0),
        ("BEL", "DIFFUSION RESTREINTE", "FRA", None),
    ],
)
def test_the_recipient_protects_it_as(policy: str, level: str, receiver: str, rank: int | None) -> None:
    """Equivalent, moved up, or none; a state without a row, or with a disabled one, has none."""
    assert LEVELS.protected(policy, level, receiver) == rank


def test_nothing_is_ever_moved_down() -> None:
    """Every pair, toward every recipient, enabled or not: no lower rank than its own."""
    pairs = [(policy, level) for policy, row in LEVELS.ranks.items() for level in row]
    for policy, level in pairs:
        own = LEVELS.rank(policy, level)
        for receiver in LEVELS.receiving:
            there = LEVELS.protected(policy, level, receiver, enabled=True)
            assert there is None or (own is not None and there >= own)


def test_each_policy_of_the_level_table_receives() -> None:
    """Every policy has an enabled row; the rows beside them are disabled."""
    enabled = {policy for policy, row in LEVELS.receiving.items() if row.enabled}
    assert enabled == set(LEVELS.ranks)
    assert set(LEVELS.receiving) - enabled == {"CAN", "AUS", "JPN", "MAR"}


def test_the_version_is_bound_to_the_equivalences() -> None:
    """Another equivalence is another version, and every decision names the version."""
    changed = equivalence()
    changed["receiving"]["FRA"]["cells"]["2"] = {"none": "invented", "source": "M"}
    levels = load_levels(json.dumps(document()).encode())
    other = with_equivalence(levels, json.dumps(changed).encode())
    assert other.version != LEVELS.version
    assert other.protected("BEL", "CONFIDENTIEL", "FRA") is None


def _cell(policy: str, rank: str, **cell: Any) -> bytes:
    changed = equivalence()
    changed["receiving"][policy]["cells"][rank] = {"source": "M", **cell}
    return json.dumps(changed).encode()


def _rows(**changes: Any) -> bytes:
    changed = equivalence()
    return json.dumps({**changed, **changes}).encode()


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(_rows(receiving={}), id="empty"),
        pytest.param(_rows(receiving={"FRA": {"enabled": True, "cells": {}}}), id="a row without cells"),
        pytest.param(_rows(more=1), id="an unknown member"),
        pytest.param(_cell("FRA", "2"), id="a cell that says nothing"),
        pytest.param(_cell("FRA", "2", up="SECRET", none="x"), id="a cell that says two things"),
        pytest.param(_cell("FRA", "2", up="SECRET", source="hearsay"), id="unlisted source"),
        pytest.param(_cell("FRA", "4", up="SECRET"), id="moved down"),
        pytest.param(_cell("FRA", "3", up="SECRET"), id="moved nowhere"),
        pytest.param(_cell("FRA", "2", up="RESERVADO"), id="moved to another policy's level"),
        pytest.param(_cell("FRA", "2", levels=["SECRET"]), id="an equivalent of another rank"),
        pytest.param(_cell("FRA", "3", levels=["GEHEIM"]), id="an equivalent of another policy"),
        pytest.param(_cell("CAN", "1", up="SECRET"), id="a row without levels moves up"),
        pytest.param(_cell("FRA", "5", none="x"), id="a fifth rank"),
        pytest.param(
            json.dumps(equivalence()).replace('"enabled": false', '"enabled": true').encode(),
            id="enabled without levels",
        ),
    ],
)
def test_a_flawed_equivalence_is_refused(raw: bytes) -> None:
    """No cell is guessed: a flaw is a `PolicyInvalid` at load."""
    with pytest.raises(PolicyInvalid):
        with_equivalence(load_levels(json.dumps(document()).encode()), raw)


def test_the_equivalences_agree_with_the_reference() -> None:
    """A level that the reference names is an equivalent here; one it leaves out is none, or moved up as it says."""
    path = REFERENCE / "classification" / "equivalence.json"
    if not path.exists():
        pytest.skip("the reference equivalence table is not beside this checkout")
    checked = 0
    for row in json.loads(path.read_text("utf-8"))["levels"]:
        for policy, read in equivalence()["receiving"].items():
            if row["rank"] == 0 or policy not in row:
                continue
            cell, theirs = read["cells"][str(row["rank"])], row[policy]
            if isinstance(theirs, str):
                named = [theirs]
            else:
                named = [theirs[key] for key in ("fr", "nl", "value") if theirs.get(key)]
            assert cell.get("levels", []) == named
            if not named and "SECRET" in theirs["handling"]:
                assert cell.get("up", "") == ("SECRET" if "as SECRET" in theirs["handling"] else "")
            checked += 1
    assert checked > 35

"""The level table: keyed on the pair, sourced cell by cell, refused when it is not."""

import json
from importlib.resources import files
from typing import Any

import pytest

from gateway.errors import PolicyInvalid
from gateway.policy.levels import load_levels
from tests.conftest import REFERENCE
from tests.policy.worlds import LEVELS


def document() -> dict[str, Any]:
    shipped: dict[str, Any] = json.loads(
        files("schemas").joinpath("levels/2026-11-21.json").read_text("utf-8")
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
    assert load_levels(json.dumps(document(), indent=3).encode()).version == LEVELS.version


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

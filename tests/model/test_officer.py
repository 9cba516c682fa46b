"""Officers: a clearance ends on time, and a revoked key or a suspended officer signs nothing."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from gateway.model.label import LevelTable, ReceivingRow, SecurityLabel
from gateway.model.officer import Clearance, Officer, OfficerKey

NOW = datetime(2026, 11, 21, 21, tzinfo=UTC)
LEVELS = LevelTable(version="test", ranks={"BEL": {"UNCLASSIFIED": 0, "RESTREINT": 1, "SECRET": 3}})
KEYS = (OfficerKey("k1", "AA"), OfficerKey("k2", "AA", revoked=True))


def officer(clearance: Clearance | None = None, *, suspended: bool = False) -> Officer:
    return Officer(
        "be-one", "person-one", "Officer One", ("requester",), KEYS, clearance, suspended=suspended
    )


@pytest.mark.parametrize(
    ("clearance", "rank"),
    [
        (None, 0),
        (Clearance("BEL", "SECRET", NOW + timedelta(seconds=1)), 3),
        (Clearance("BEL", "SECRET", NOW), 0),
        (Clearance("BEL", "VERY SECRET", NOW + timedelta(days=1)), 0),
        (Clearance("ZZZ", "SECRET", NOW + timedelta(days=1)), 0),
    ],
)
def test_a_clearance_reaches_its_rank_until_its_end(clearance: Clearance | None, rank: int) -> None:
    """None, ended and unknown clearances reach unclassified only."""
    assert officer(clearance).clearance_rank(NOW, LEVELS) == rank


def test_may_see_up_to_the_clearance() -> None:
    """At the rank yes, above it no, an unknown level never."""
    cleared = officer(Clearance("BEL", "RESTREINT", NOW + timedelta(days=1)))
    assert cleared.may_see(SecurityLabel("BEL", "UNCLASSIFIED"), NOW, LEVELS)
    assert cleared.may_see(SecurityLabel("BEL", "RESTREINT"), NOW, LEVELS)
    assert not cleared.may_see(SecurityLabel("BEL", "SECRET"), NOW, LEVELS)
    assert not cleared.may_see(SecurityLabel("BEL", "VERY SECRET"), NOW, LEVELS)
    assert not officer().may_see(SecurityLabel("BEL", "RESTREINT"), NOW, LEVELS)


def test_only_a_standing_key_of_a_standing_officer_is_found() -> None:
    """A revoked or unknown key is none; a suspended officer has no key."""
    assert officer().key("k1") == KEYS[0]
    assert officer().key("k2") is None
    assert officer().key("k3") is None
    assert officer(suspended=True).key("k1") is None


def test_a_clearance_must_reach_what_the_recipient_protects_it_as() -> None:
    """Toward a recipient that handles RESTREINT as rank 3, rank 1 does not reach it; toward any other it does."""
    levels = msgspec.structs.replace(LEVELS, receiving={"FRA": ReceivingRow(True, {1: 3})})
    label, until = SecurityLabel("BEL", "RESTREINT"), NOW + timedelta(days=1)
    low, high = officer(Clearance("BEL", "RESTREINT", until)), officer(Clearance("BEL", "SECRET", until))
    assert not low.may_see(label, NOW, levels, toward="FRA")
    assert low.may_see(label, NOW, levels, toward="NLD")
    assert high.may_see(label, NOW, levels, toward="FRA")

"""A named bulk case through commands alone: one signature of each person, and the whole before the second."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli.staging import BASIS, FR, FUSION
from tests.cli.conftest import Run, World
from tests.cli.test_recall import traced
from tests.service.world import CLEAN

pytestmark = pytest.mark.integration

WHY = ("--purpose", "ct-prevention", "--basis", BASIS, "--justification", "synthetic")
RECORDS = CLEAN[5:9]


def test_from_a_file_to_the_partner(world: World, ecluse: Run, tmp_path: Path) -> None:
    """Four records, three of a file; what the approver is shown counts them all; one part alone is approved by nobody;
    everything arrives. A second case of the name is refused."""
    requester, approver = world.officer("be-requester"), world.officer("be-approver")
    file = tmp_path / "case.txt"
    file.write_text("\n".join((*RECORDS[:3], "")))
    words = ("disclose", f"@{file}", RECORDS[3], "--case", "exercise-7", "--to", FR, *WHY, *requester)
    disclosed = ecluse(*words)
    assert (disclosed.code, disclosed.document["waiting"], disclosed.document["denied"]) == (0, 4, [])
    releases = [one["release"] for one in disclosed.document["releases"]]
    assert ecluse(*words).code == 2
    assert ecluse("approve", releases[0], "--yes", *approver).code == 2
    assert ecluse("approve", "--case", "exercise-7", "--yes", *requester).code == 2

    approved = ecluse("approve", "--case", "exercise-7", "--yes", *approver)
    assert (approved.code, set(approved.document["queued"])) == (0, set(releases))
    case = approved.document["case"]
    assert (case["releases"], case["partners"], case["over_quota"]) == (4, [FR], False)
    assert case["persons"] >= 4
    for release in releases:
        traced(world, release, "delivered")


def test_the_approver_reads_the_whole(world: World, ecluse: Run) -> None:
    """Without --json: every payload, then counts of members, persons, and the quota; nothing is signed unasked."""
    requester = world.officer("be-requester")
    words = ("disclose", *RECORDS[:2], "--case", "exercise-8", "--to", FR, *WHY, *requester)
    assert ecluse(*words).code == 0
    plain = [word for word in world.officer("be-approver") if word != "--json"]
    said = ecluse("approve", "--case", "exercise-8", *plain)
    assert said.code == 2
    assert "case exercise-8: 2 releases to" in said.out
    assert "persons held afterwards" in said.out
    assert "leaves of" in said.out


def test_what_is_no_case(world: World, ecluse: Run, tmp_path: Path) -> None:
    """Several records without a name, two partners, a lift, a name that is no code, an unknown case, both, neither."""
    requester, approver = world.officer("be-requester"), world.officer("be-approver")
    wrong = [
        ("disclose", *RECORDS[:2], "--to", FR),
        ("disclose", f"@{tmp_path / 'none'}", "--to", FR),
        ("disclose", *RECORDS[:2], "--case", "x", "--to", f"{FR},{FUSION}"),
        ("disclose", RECORDS[0], "--case", "x", "--to", FR, "--lift", "/financial", "--lift-reason", "synthetic"),
        ("disclose", RECORDS[0], "--case", "Zz Dupont", "--to", FR),
        ("disclose", f"@{tmp_path / 'none'}", "--case", "x", "--to", FR),
    ]  # fmt: skip
    for words in wrong:
        assert ecluse(*words, *WHY, *requester).code == 2
    for words in (("--case", "unknown"), (), ("--case", "x", "1a1c7f0e-6a0e-4a53-9d57-0f3c1c2b7a01")):
        assert ecluse("approve", *words, "--yes", *approver).code == 2

"""Published lists through the command line: imported twice, marked, matched, refused; nothing of them logged."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.records.synthetic import extract
from gateway.cli import staging
from gateway.cli.staging import KIND
from gateway.service.app import now
from tests.cli.conftest import Run, Said
from tests.records.lists import BE, EU, UN, un_entry, un_list

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def officer(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Options of the requester of a home of its own, which no gateway serves: each command runs it by itself."""
    stage = staging.build(tmp_path_factory.mktemp("sanctions") / "demo", now=now())
    key = stage.folder / "officers" / "be-requester.pem"
    return ("--home", str(stage.be.path), "--as", "be-requester", "--officer-key", str(key), "--json")


@pytest.fixture(scope="module")
def approver(officer: tuple[str, ...]) -> tuple[str, ...]:
    """The same of the approver, who hands nothing over."""
    return tuple(word.replace("be-requester", "be-approver") for word in officer)


def imported(ecluse: Run, officer: tuple[str, ...], path: Path, raw: bytes, *more: str) -> Said:
    path.write_bytes(raw)
    return ecluse("record", "import", "sanctions", path, *more, *officer)


def test_lists_through_the_command_line(ecluse: Run, officer: tuple[str, ...], tmp_path: Path) -> None:
    """Three lists land, found by their bytes or by `--list`; the second time nothing is new. An entry that is gone is
    marked, candidates are counted and listed, and no name of a list is written to the log."""
    people = tmp_path / "people.jsonl"
    people.write_bytes(extract(20, 1, now()))
    assert ecluse("record", "import", KIND, people, *officer).code == 0
    path = tmp_path / "list"
    said = imported(ecluse, officer, path, UN)
    assert (said.code, said.document["new"], said.document["bad"]) == (0, 3, [])
    (first,) = said.document["lists"]
    assert (first["list"], first["generated"], first["gone"]) == ("un", "2026-11-21T00:00:00Z", 0)
    assert "Exemple" not in said.out + said.err
    assert imported(ecluse, officer, path, UN).document["unchanged"] == 3
    for raw, more, name in ((EU, (), "eu"), (EU, ("--list", "be"), "be"), (BE, (), "be")):
        document = imported(ecluse, officer, path, raw, *more).document
        assert (document["new"], document["lists"][0]["list"]) == (3, name)
    newer = un_list([un_entry(9000001), un_entry(9000002)], made="2026-11-22T00:00:00Z")
    (marked,) = imported(ecluse, officer, path, newer).document["lists"]
    assert (marked["gone"], marked["delisted"]) == (1, 1)
    found = ecluse("record", "matches", *officer)
    assert found.code == 0
    assert all(one["person_name"] and one["entry_name"] for one in found.document["matches"])
    scores = [one["score"] for one in found.document["matches"]]
    assert scores == sorted(scores, reverse=True)
    assert scores
    assert all(one["reasons"] for one in found.document["matches"])


def test_a_list_that_shrank_takes_an_approver(
    ecluse: Run, officer: tuple[str, ...], approver: tuple[str, ...], tmp_path: Path
) -> None:
    """Eleven entries gone: whoever imports the list marks none, not with `--shrunk` either; an approver's word does."""
    path = tmp_path / "list"
    imported(ecluse, officer, path, un_list(map(un_entry, range(1, 13)), made="2026-11-22T00:10:00Z"))
    short = un_list([un_entry(1)], made="2026-11-22T00:20:00Z")
    said = imported(ecluse, officer, path, short)
    (told,) = said.document["lists"]
    assert (said.code, told["gone"] >= 11, told["delisted"]) == (1, True, 0)
    assert imported(ecluse, officer, path, short, "--shrunk").document["error"]["code"] == "role-missing"
    said = imported(ecluse, approver, path, short, "--shrunk")
    assert (said.code, said.document["new"]) == (0, 0)
    assert said.document["lists"][0]["delisted"] == told["gone"]


def test_a_list_from_the_future_is_refused(ecluse: Run, officer: tuple[str, ...], tmp_path: Path) -> None:
    """Named as what it is, once; nothing of it lands."""
    said = imported(ecluse, officer, tmp_path / "list", un_list([un_entry(1)], made="2126-01-01T00:00:00Z"))
    assert (said.code, said.document["error"]["diagnostic"]["rule"]) == (2, "extract.future")


def test_what_is_wrong_is_named(ecluse: Run, officer: tuple[str, ...], tmp_path: Path) -> None:
    """A wrong entry by its place and rule, exit code 1; a file that is no list lands nothing; options by their name."""
    path = tmp_path / "list"
    born = "<INDIVIDUAL_DATE_OF_BIRTH><YEAR>zzcanary</YEAR></INDIVIDUAL_DATE_OF_BIRTH>"
    raw = un_list([un_entry(1), un_entry(2, extra=born)], made="2026-11-22T01:00:00Z")
    said = imported(ecluse, officer, path, raw)
    (bad,) = said.document["bad"]
    assert (said.code, bad["line"], bad["pointer"], bad["rule"]) == (1, 2, "/birth/*/date", "date.precision")
    assert "zzcanary" not in said.out + said.err
    cut = imported(ecluse, officer, path, UN[:2000])
    assert (cut.code, cut.document["new"]) == (1, 0)
    assert cut.document["bad"][0]["rule"] == "xml.well-formed"
    assert "gone" not in cut.document["lists"][0]
    for words in (
        ("record", "import", "sanctions", path, "--list", "us"),
        ("record", "import", KIND, path, "--list", "un"),
        ("record", "import", "sanctions", tmp_path / "absent"),
    ):
        assert ecluse(*words, *officer).code == 2

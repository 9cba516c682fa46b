"""A short sample of `make leak`: nothing is told by what is withheld, and planted leaks of every sort are found."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest

from gateway.service import desk_api
from tests.leak import ports, tls
from tests.leak.harness import Episode
from tests.leak.mutants import MUTANTS, hunt
from tests.leak.persons import DIGITS, ROOT
from tests.leak.spellings import Watched, fold, spelled
from tests.service.founding import Founded, found

#: One planted leak of each sort.
SAMPLE = (
    "count-of-withheld", "decomposed-letters", "hash-as-reference", "message-id-from-the-record",
    "issued-with-an-offset", "denial-in-the-partners-log", "hash-in-the-log",
)  # fmt: skip


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Founded:
    return found(tmp_path_factory.mktemp("founded"))


async def test_two_worlds_look_the_same_to_the_partner(founded: Founded, tmp_path: Path) -> None:
    """64 draws over success and failure paths, in stores on disk: no sighting differs, nothing personal is said, and
    at least 30 % of the draws are permits that withhold something."""
    tally = await Episode(founded, "sample", folder=tmp_path / "pair").run()
    assert tally.findings == []
    assert tally.draws == 64
    assert tally.withholding >= 0.3 * tally.draws
    assert tally.failure_draws >= 0.2 * tally.draws
    assert tally.messages["disclosure"] + tally.messages["answer"] > 20
    assert min(tally.messages[type] for type in ("request", "answer", "no-information")) > 4
    assert tally.sightings > 200


async def test_over_tls_too(founded: Founded) -> None:
    """The same over the real client and the real listener, headers and statuses included."""
    tally = await Episode(founded, "sample-tls", connected=tls.connected, moods=tls.MOODS, rounds=1).run()
    assert tally.findings == []
    assert tally.draws == 8
    assert tally.messages.get("disclosure", 0) + tally.messages.get("answer", 0) > 0


@pytest.mark.parametrize("name", SAMPLE)
async def test_a_planted_leak_is_found(founded: Founded, name: str) -> None:
    """The harness finds the leak although the guard is taken out, and the product is as it was afterwards."""
    caught = await hunt(founded, MUTANTS[name], "sample")
    assert caught.broken == ""
    assert caught.caught, name


def test_the_list_of_mutants() -> None:
    """At least forty planted leaks, of every sort, each by one name."""
    assert len(MUTANTS) >= 40
    assert {mutant.sort for mutant in MUTANTS.values()} == {
        "content", "spelling", "envelope", "identifier", "seal", "size", "sequence", "time", "void", "log", "receipt",
        "operators",
    }  # fmt: skip


async def test_a_failing_port_says_nothing(founded: Founded) -> None:
    """Some calls of the story fail with canaries in the error: no log line and no answer holds one."""
    sweep = await ports.sweep(founded, "sample", range(3, 60, 8))
    assert sweep.calls >= 5
    assert sweep.findings == []


async def test_a_port_error_that_is_logged_is_found(
    founded: Founded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep can fail: a control socket that logs what it caught is found out."""
    original = desk_api.DeskApi._run

    async def talkative(self: Any, request: Any) -> Any:
        try:
            return await original(self, request)
        except Exception as error:
            desk_api.log.error("desk.defect", detail=str(error))
            raise

    monkeypatch.setattr(desk_api.DeskApi, "_run", talkative)
    sweep = await ports.sweep(founded, "sample", range(3, 7))
    assert sweep.findings


WORD = f"{ROOT}bafékidu"


@pytest.mark.parametrize(
    "text",
    [
        WORD,
        WORD.upper(),
        fold(WORD),
        WORD[::-1].lower(),
        WORD.encode().hex(),
        base64.b64encode(WORD.encode()).decode(),
        base64.b64encode(b"x" + WORD.encode()).decode(),
        base64.b64encode(b"xy" + WORD.encode()).decode(),
        "".join(f"\\u{ord(sign):04x}" for sign in WORD),
        "".join(f"&#{ord(sign)};" for sign in WORD),
        " ".join(WORD),
        hashlib.sha256(WORD.encode()).hexdigest(),
        hashlib.sha1(WORD.encode(), usedforsecurity=False).hexdigest(),
        hashlib.md5(WORD.lower().encode(), usedforsecurity=False).hexdigest(),
        base64.b64encode(hashlib.sha256(WORD.encode()).digest()).decode(),
        "-".join(DIGITS),
        "about bdc-900000001",
    ],
)
def test_a_value_is_found_in_every_spelling(text: str) -> None:
    """Each form in which a value may hide in a log, and a clean line beside it."""
    watched = Watched([WORD], ["BDC-900000001"])
    assert watched.found(f'{{"event": "x", "detail": "{text}"}}')
    assert not watched.found('{"event": "x", "release": "5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a11"}')


def test_one_value_among_others_is_found() -> None:
    """Where other canaries stand by right, only the watched value counts."""
    assert spelled([WORD], f"{ROOT}other {WORD.upper()}") == "plain"
    assert spelled([WORD], f"{ROOT}other {hashlib.sha256(WORD.encode()).hexdigest()}") == "digest"
    assert not spelled([WORD], f"{ROOT}other")

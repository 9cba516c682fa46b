"""The harness of `make silence`: its statistics can tell apart, and its answers are one. No time is asserted here."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.siege.target import Answer
from tests.silence.__main__ import SIDES, run
from tests.silence.compare import compare, rank_p
from tests.silence.seen import shape


def times(seed: int, *, later: float = 0.0) -> list[float]:
    """A thousand invented times with the long tail that real ones have, in milliseconds."""
    draw = random.Random(seed)  # noqa: S311  invented
    return [1.0 + later + draw.expovariate(4) for _ in range(1000)]


@pytest.mark.parametrize("seed", range(1, 31, 3))
def test_two_samples_of_one_distribution_are_alike(seed: int) -> None:
    """Ranks do not tell them apart, and the medians lie far within what a network hides."""
    assert rank_p(times(seed), times(seed + 1)) >= 0.001


@pytest.mark.parametrize("later", [0.06, 0.5, 10.0])
def test_a_sample_that_is_later_is_told(later: float) -> None:
    """Six hundredths of a millisecond, or more, are found; the control stays a control."""
    told = compare(times(1), times(2, later=later), times(3))
    assert not told.alike
    assert told.p < 0.001 <= told.p_control
    assert told.difference < 0 < told.band


def test_a_difference_beyond_any_band_is_told() -> None:
    """Samples so wide that their band would hide milliseconds: five are too many, whatever the ranks say."""
    wide = [value * 100 for value in times(1)]
    assert not compare(wide, [value + 6 for value in wide], [value * 100 for value in times(3)]).alike


def test_ranks_of_equal_samples_say_nothing() -> None:
    """All ties: p is one."""
    assert rank_p([1.0] * 50, [1.0] * 50) == 1.0


def test_the_shape_of_an_answer_shows_what_it_says() -> None:
    """Another status, header or length is another shape; another date is not."""
    one = Answer(404, b"HTTP/1.1 404 Not Found\r\nDate: now\r\nServer: gw\r\n\r\n", b"")
    later = Answer(404, one.head.replace(b"now", b"then"), b"")
    assert shape(one) == shape(later)
    others = (Answer(404, one.head, b"x"), Answer(403, one.head.replace(b"404", b"403"), b""))
    assert all(shape(other) != shape(one) for other in others)
    assert shape(Answer(404, one.head.replace(b"gw", b"gateway"), b"")) != shape(one)


@pytest.mark.slow
@pytest.mark.integration
def test_withheld_and_no_such_record_are_one_answer(tmp_path: Path) -> None:
    """Over mutual TLS, against a real gateway: whoever a request names, held here under an embargo or not held, and
    whether or not a release of that id exists here, the answer is one: status, headers, sizes, outcome."""
    report = run(tmp_path / "stage", samples=5, warm=1)
    assert report["receipt of a message"]["answers"] == ["HTTP/1.1 404 Not Found\r\nServer: gw\n0 bytes"]
    (answer,) = report["request"]["answers"]
    assert answer.startswith("HTTP/1.1 200 OK")
    assert "accepted: id, outcome, payload_sha256" in answer
    assert report["request"]["samples"] == 5
    assert len(SIDES) == 3

"""A sample: the same for everybody who follows the document, and no entry likelier than another."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.checkpoint import Checkpoint
from gateway.audit.sample import MAX_SEED, MAX_SIZE, Question, draw
from gateway.errors import RequestInvalid

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "sampling.md").read_text()
HEAD = Checkpoint("ecluse/bel.example/master", 1000, b"\x11" * 32)
SINCE, UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
QUESTION = Question(HEAD, SINCE, UNTIL)

seeds = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=MAX_SEED)


def by_the_document(seed: str, population: int, size: int, event: str = "") -> list[int]:
    """Typed from docs/sampling.md, with nothing of the gateway."""
    lines = ["ecluse/sample/1", seed, "ecluse/bel.example/master", "1000", "11" * 32]
    lines += ["2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", event]
    key = hashlib.sha256("".join(line + "\n" for line in lines).encode()).digest()
    sample: list[int] = []
    i = 0
    while len(sample) < min(size, population):
        v = int(hashlib.sha256(key + i.to_bytes(8, "big")).hexdigest()[:16], 16)
        i += 1
        if v >= 2**64 - 2**64 % population:
            continue
        if v % population not in sample:
            sample.append(v % population)
    return sample


def test_the_documents_example() -> None:
    """The numbers in the document are those of both."""
    (line,) = re.findall(r"(?m)^(?:\d+ ){4}\d+$", DOCUMENT)
    seed = "dice 4 1 6 6 2 3"
    assert [int(number) for number in line.split()] == by_the_document(seed, 1000, 5)
    assert draw(QUESTION, seed, 1000, 5) == tuple(by_the_document(seed, 1000, 5))


@given(seeds, st.integers(0, 300), st.integers(1, 40), st.sampled_from(["", "read", "release"]))
def test_anybody_draws_the_same(seed: str, population: int, size: int, event: str) -> None:
    """Whatever seed and population: distinct, within, as many as asked for or as there are."""
    drawn = draw(Question(HEAD, SINCE, UNTIL, event), seed, population, size)
    assert list(drawn) == by_the_document(seed, population, size, event)
    assert len({*drawn}) == len(drawn) == min(size, population)
    assert all(0 <= number < population for number in drawn)


def test_no_number_is_likelier_than_another() -> None:
    """Ten thousand seeds, three of ten: each number about three thousand times (chi-squared, nine degrees: the
    one-in-a-million bound is 45)."""
    counts = Counter(number for seed in range(10_000) for number in draw(QUESTION, f"seed {seed}", 10, 3))
    assert sum((counts[number] - 3000) ** 2 / 3000 for number in range(10)) < 45


@pytest.mark.parametrize(
    "other",
    [
        Question(Checkpoint(HEAD.origin, 1001, HEAD.root), SINCE, UNTIL),
        Question(Checkpoint(HEAD.origin, 1000, b"\x12" * 32), SINCE, UNTIL),
        Question(Checkpoint("ecluse/bel.example/partner/x", 1000, HEAD.root), SINCE, UNTIL),
        Question(HEAD, SINCE.replace(day=2), UNTIL),
        Question(HEAD, SINCE, UNTIL.replace(month=2)),
        Question(HEAD, SINCE, UNTIL, "read"),
    ],
)
def test_all_that_is_asked_moves_the_draw(other: Question) -> None:
    """Another head, log, period or event is another draw: nobody shops for one."""
    assert draw(other, "s", 1000, 20) != draw(QUESTION, "s", 1000, 20)


@pytest.mark.parametrize(
    ("seed", "size", "field"),
    [
        ("", 1, "seed"),
        ("a\nb", 1, "seed"),
        ("é", 1, "seed"),
        ("s" * 201, 1, "seed"),
        ("s", 0, "size"),
        ("s", MAX_SIZE + 1, "size"),
    ],
)
def test_limits_are_named(seed: str, size: int, field: str) -> None:
    """What has two spellings, or is more than anybody looks at, is refused with its field."""
    with pytest.raises(RequestInvalid) as refused:
        draw(QUESTION, seed, 10, size)
    assert refused.value.diagnostic["field"] == field

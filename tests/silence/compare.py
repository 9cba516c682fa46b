"""Two samples of times: do they come from one distribution? Held against a control of two samples that do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from statistics import median

import msgspec

#: Resamples of a bootstrap, and the share of them that the band holds.
RESAMPLES, BAND = 500, 0.99

#: A difference that nobody could use across a network, in milliseconds: the most, whatever the band.
MOST_MS = 5.0

#: Below it two samples count as different. There are three comparisons a run: one run in three hundred errs.
LEAST_P = 0.001

Times = Sequence[float]


class Compared(msgspec.Struct, frozen=True):
    """Milliseconds. ``band``: within it lies the difference of medians of two samples of one distribution."""

    samples: int
    median_a: float
    median_b: float
    difference: float
    band: float
    p: float
    p_control: float

    @property
    def alike(self) -> bool:
        """Neither the medians nor the ranks tell the two apart better than they tell a sample from itself."""
        return abs(self.difference) <= min(self.band, MOST_MS) and self.p >= LEAST_P


def compare(a: Times, b: Times, control: Times, seed: int = 1) -> Compared:
    """A against B, with what A against A (``control``) shows as the measure."""
    return Compared(
        samples=len(a),
        median_a=round(median(a), 4),
        median_b=round(median(b), 4),
        difference=round(median(a) - median(b), 4),
        band=round(band(a, control, seed), 4),
        p=round(rank_p(a, b), 5),
        p_control=round(rank_p(a, control), 5),
    )


def band(a: Times, control: Times, seed: int) -> float:
    """The largest difference of medians in `BAND` of the resamples of two samples of one distribution."""
    draw = Random(seed)  # noqa: S311  a measurement, no secret
    differences = sorted(
        abs(median(draw.choices(a, k=len(a))) - median(draw.choices(control, k=len(control))))
        for _ in range(RESAMPLES)
    )
    return differences[math.ceil(BAND * RESAMPLES) - 1]


def rank_p(first: Times, second: Times) -> float:
    """Two-sided p of the Mann-Whitney test, by the normal approximation, ties averaged."""
    n, m = len(first), len(second)
    joined = sorted([(value, 0) for value in first] + [(value, 1) for value in second])
    ranks, ties, start = 0.0, 0.0, 0
    while start < len(joined):
        end = start
        while end < len(joined) and joined[end][0] == joined[start][0]:
            end += 1
        shared = (start + 1 + end) / 2
        ranks += shared * sum(side == 0 for _, side in joined[start:end])
        ties += (end - start) ** 3 - (end - start)
        start = end
    u = ranks - n * (n + 1) / 2
    total = n + m
    spread = math.sqrt(n * m / 12 * ((total + 1) - ties / (total * (total - 1))))
    return math.erfc(abs(u - n * m / 2) / spread / math.sqrt(2)) if spread else 1.0

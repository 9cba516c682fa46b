"""What processes cost, as the kernel counts it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_FORGET_PEAK = "5"  # proc(5), clear_refs: the peak resident size starts anew


@dataclass(frozen=True)
class Cost:
    """Processor time so far, resident memory now, and the most of it since the peak was last forgotten."""

    cpu_s: float
    rss: int  # bytes
    peak: int  # bytes


def cost_of(processes: Sequence[int]) -> Cost:
    """The sum over these processes."""
    cpu, rss, peak = 0.0, 0, 0
    for process in processes:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        cpu += (int(fields[11]) + int(fields[12])) / _TICKS
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                rss += int(line.split()[1]) * 1024
            elif line.startswith("VmHWM:"):
                peak += int(line.split()[1]) * 1024
    return Cost(cpu, rss, peak)


def forget_peaks(processes: Sequence[int]) -> None:
    """From now on `Cost.peak` is the most of what follows."""
    for process in processes:
        Path(f"/proc/{process}/clear_refs").write_text(_FORGET_PEAK)

"""Pages of which a part is drawn from code or data: printed, written between its markers, or compared."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path


def between(page: str, name: str, begin: str, drawn: str, end: str) -> str:
    """``page`` with the text between two markers replaced; ends the program when it lacks them."""
    head, found_begin, rest = page.partition(begin)
    _, found_end, tail = rest.partition(end)
    if not (found_begin and found_end):
        raise SystemExit(f"{name}: the markers {begin!r} and {end!r} are missing")
    return f"{head}{begin}\n\n{drawn}\n\n{end}{tail}"


def run(arguments: Sequence[str], page: Path, drawn: Callable[[], str], redrawn: Callable[[str], str]) -> int:
    """Print what is drawn, or write or check the page; returns the exit code."""
    match arguments:
        case []:
            print(drawn())
            return 0
        case ["--write"]:
            page.write_text(redrawn(page.read_text(encoding="utf-8")), encoding="utf-8")
            return 0
        case ["--check"]:
            text = page.read_text(encoding="utf-8")
            if text == redrawn(text):
                return 0
            print(f"{page.name} shows an old state: run `make docs`", file=sys.stderr)
            return 1
        case _:
            print("usage: [--write | --check]", file=sys.stderr)
            return 2

"""Shared fixtures. Unit tests need no network; reference material outside the repository is optional."""

from __future__ import annotations

from pathlib import Path

from hypothesis import settings

#: Third-party vectors and schemas, kept beside the checkout and never inside it.
REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "reference"

# A busy machine fails no property: no test asserts how long anything takes.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

#: Longer values name no test: keys are made at test time, and two workers must collect the same names.
LONGEST_ID = 24


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """The argument's name instead of a long value; pytest numbers those that repeat."""
    return argname if isinstance(val, str | bytes) and len(val) > LONGEST_ID else None

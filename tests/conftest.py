"""Shared fixtures. Unit tests need no network; reference material outside the repository is optional."""

from __future__ import annotations

from pathlib import Path

#: Third-party vectors and schemas, kept beside the checkout and never inside it.
REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "reference"

"""Data: record kinds, message schemas, guard allow-lists; read with importlib.resources."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def load_bytes(name: str) -> bytes:
    """The exact bytes of a data file of this package: ``load_bytes("ct-exchange/1.0.json")``.

    Raises `FileNotFoundError` for a name that is not in the package; a name can never lead out of it.
    """
    parts = name.split("/")
    if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
        raise FileNotFoundError("no data file of this name")
    return files(__name__).joinpath(*parts).read_bytes()


def load_json(name: str) -> dict[str, Any]:
    """A JSON data file of this package. The bytes are cached; the object is a fresh one, the caller's own."""
    document: dict[str, Any] = json.loads(load_bytes(name))
    return document

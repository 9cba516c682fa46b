"""The table of classification levels: ranks of (policy, level) pairs, with a source for every cell.

Keyed on the pair, never on the word (law 11.12.1998 art. 4; Council Decision 2013/488/EU app. B): BEL VERTROUWELIJK is
2 where NLD Dep. VERTROUWELIJK is 1. A pair that is not in the table has no rank, and what has no rank never leaves.
"""

import hashlib
from importlib.resources import files
from typing import Annotated

import msgspec
import rfc8785

from gateway.errors import PolicyInvalid
from gateway.model.label import LevelTable
from gateway.policy.document import read_document


class _Cell(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rank: Annotated[int, msgspec.Meta(ge=0, le=4)]
    source: str


class _LevelsDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: str
    note: str
    sources: dict[str, str]
    levels: dict[str, dict[str, _Cell]]


def load_levels(raw: bytes) -> LevelTable:
    """Load a level table. Raises `PolicyInvalid` for an empty one, or a cell without a source that the table lists.

    ``version`` is the table's date and the SHA-256 of its RFC 8785 bytes (``2026-11-21+<hex>``), so whatever names the
    version is bound to every rank. ``sources`` maps ``BEL/RESTREINT`` to the source's text.
    """
    document = read_document(raw, _LevelsDocument, "level table")
    if not document.levels or not all(document.levels.values()):
        raise PolicyInvalid("a level table without levels ranks nothing")
    cells = {
        f"{policy}/{level}": cell for policy, row in document.levels.items() for level, cell in row.items()
    }
    if not all(cell.source in document.sources for cell in cells.values()):
        raise PolicyInvalid("a level stands without a source that the table lists")
    digest = hashlib.sha256(rfc8785.dumps(msgspec.to_builtins(document))).hexdigest()
    return LevelTable(
        version=f"{document.version}+{digest}",
        ranks={
            policy: {level: cell.rank for level, cell in row.items()}
            for policy, row in document.levels.items()
        },
        sources={name: document.sources[cell.source] for name, cell in cells.items()},
    )


def default_levels() -> LevelTable:
    """The table shipped with the gateway."""
    return load_levels(files("schemas").joinpath("levels/2026-11-21.json").read_bytes())

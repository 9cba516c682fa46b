"""The tables of classification: ranks of (policy, level) pairs, and how a recipient's policy protects each of them.

Keyed on the pair, never on the word (law 11.12.1998 art. 4; Council Decision 2013/488/EU app. B): BEL VERTROUWELIJK is
2 where NLD Dep. VERTROUWELIJK is 1. A pair that is not in the table has no rank, and what has no rank never leaves.
A rank that the recipient's policy has no equivalent for does not leave either, unless a treaty moves it up; never down.
Every cell of both tables names its source.
"""

import hashlib
from importlib.resources import files
from typing import Annotated, Literal

import msgspec
import rfc8785

from gateway.errors import PolicyInvalid
from gateway.model.label import LevelTable, ReceivingRow
from gateway.policy.document import read_document

#: The ranks that a recipient's row speaks of: every one, so that a gap is never an oversight. Rank 0 needs no cell.
_RANKS: tuple[Literal["1", "2", "3", "4"], ...] = ("1", "2", "3", "4")


class _Cell(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rank: Annotated[int, msgspec.Meta(ge=0, le=4)]
    source: str


class _LevelsDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: str
    note: str
    sources: dict[str, str]
    levels: dict[str, dict[str, _Cell]]


class _Equivalent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One of ``levels``, ``up`` and ``none``, and no second."""

    source: str
    levels: tuple[str, ...] = ()  # equivalents, one per language
    up: str = ""  # the higher level it is protected as
    none: str = ""  # why there is none


class _Receiving(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    enabled: bool
    cells: dict[str, _Equivalent]


class _EquivalenceDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: str
    note: str
    sources: dict[str, str]
    receiving: dict[str, _Receiving]


def load_levels(raw: bytes) -> LevelTable:
    """Load a level table. Raises `PolicyInvalid` for an empty one, or a cell without a source that the table lists.

    ``version`` is the table's date and the SHA-256 of its RFC 8785 bytes (``2026-11-21+<hex>``), so whatever names the
    version is bound to every rank. ``sources`` maps ``BEL/RESTREINT`` to the source's text. Without equivalences
    (`with_equivalence`) nothing that is classified leaves for another policy.
    """
    document = read_document(raw, _LevelsDocument, "level table")
    if not document.levels or not all(document.levels.values()):
        raise PolicyInvalid("a level table without levels ranks nothing")
    cells = {
        f"{policy}/{level}": cell for policy, row in document.levels.items() for level, cell in row.items()
    }
    if not all(cell.source in document.sources for cell in cells.values()):
        raise PolicyInvalid("a level stands without a source that the table lists")
    return LevelTable(
        version=_version(document.version, document),
        ranks={
            policy: {level: cell.rank for level, cell in row.items()}
            for policy, row in document.levels.items()
        },
        sources={name: document.sources[cell.source] for name, cell in cells.items()},
    )


def with_equivalence(table: LevelTable, raw: bytes) -> LevelTable:
    """The table with the equivalences in ``raw``; its ``version`` names both (``<levels>;<equivalences>``).

    Raises `PolicyInvalid`: (1) the document has its closed shape and at least one row; (2) a row speaks of every rank,
    each cell names a source that is listed and says exactly one of equivalents, one moved up, none; (3) an equivalent
    has in the level table the rank of its cell, and what is moved up a higher one; a row of a policy that the level
    table does not hold is disabled and moves nothing.
    """
    # (1)
    document = read_document(raw, _EquivalenceDocument, "equivalence table")
    if not document.receiving:
        raise PolicyInvalid("an equivalence table without rows protects nothing")
    receiving = {}
    for policy, row in document.receiving.items():
        # (2)
        if tuple(row.cells) != _RANKS:
            raise PolicyInvalid("a row of the equivalence table does not speak of every rank, in order")
        if not all(cell.source in document.sources for cell in row.cells.values()):
            raise PolicyInvalid("an equivalence stands without a source that the table lists")
        # (3)
        ranks = table.ranks.get(policy)
        if ranks is None and row.enabled:
            raise PolicyInvalid("an enabled row of the equivalence table is of a policy without levels")
        protects = {int(rank): _protected(int(rank), cell, ranks) for rank, cell in row.cells.items()}
        receiving[policy] = ReceivingRow(row.enabled, {own: as_ for own, as_ in protects.items() if as_})
    version = f"{table.version};{_version(document.version, document)}"
    return msgspec.structs.replace(table, version=version, receiving=receiving)


def _protected(rank: int, cell: _Equivalent, ranks: dict[str, int] | None) -> int | None:
    """The rank that one cell protects another policy's ``rank`` at; None where there is no equivalent."""
    if [bool(cell.levels), bool(cell.up), bool(cell.none)].count(True) != 1:
        raise PolicyInvalid("a cell of the equivalence table says none, or more than one, of what it may say")
    if cell.none:
        return None
    if cell.up:
        higher = (ranks or {}).get(cell.up, 0)
        if higher <= rank:
            raise PolicyInvalid("a level is moved to one that is not higher")
        return higher
    if ranks is not None and any(ranks.get(level) != rank for level in cell.levels):
        raise PolicyInvalid("an equivalent is of another rank than its cell")
    return rank


def _version(dated: str, document: msgspec.Struct) -> str:
    return f"{dated}+{hashlib.sha256(rfc8785.dumps(msgspec.to_builtins(document))).hexdigest()}"


def default_levels() -> LevelTable:
    """The tables shipped with the gateway."""
    shipped = files("schemas").joinpath("levels")
    levels = load_levels(shipped.joinpath("2026-11-21.json").read_bytes())
    return with_equivalence(levels, shipped.joinpath("equivalence-2026-11-22.json").read_bytes())

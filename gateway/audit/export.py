"""A log as files, in the layout of C2SP tlog-tiles, so that it can be verified without its gateway.

::

    checkpoint                       the newest signed note
    checkpoints/<size>               every signed note
    tile/<L>/<N>[.p/<W>]             tiles
    tile/entries/<N>[.p/<W>]         up to 256 entries, each after its length (2 bytes, big-endian)

``<N>`` is split into groups of three digits, all but the last after an ``x``; ``.p/<W>`` marks a tile or
bundle with only W of its 256 items. An export shows the log as of its newest checkpoint: entries sealed by
none are left out.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from gateway.audit.checkpoint import parse
from gateway.audit.tree import HASH_BYTES, TILE_WIDTH, MemoryTiles, TileReader
from gateway.audit.verify import LogSource
from gateway.errors import AuditBroken

#: The newest note of the log (C2SP tlog-tiles, "Checkpoints").
CHECKPOINT_PATH: Final = "checkpoint"
#: Bytes of the length before each entry of a bundle (C2SP tlog-tiles, "Log entries").
LENGTH_BYTES: Final = 2

_TILE = re.compile(
    r"tile/(entries|[0-9]|[1-5][0-9]|6[0-3])/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?"
)
_NOTE = re.compile(r"checkpoints/(0|[1-9][0-9]{0,18})")


def write_export(source: LogSource) -> Iterator[tuple[str, bytes]]:
    """The files of an export, relative path and bytes, one after the other; memory does not grow with the
    log.

    Nothing is verified here, but what the layout cannot express is refused with AuditBroken: a log without a
    checkpoint, notes out of order or two of one size, a hole or a repetition among the entries, a missing
    tile.
    """
    note, size = b"", -1
    for stored in source.checkpoints():
        checkpoint = parse(stored).checkpoint
        if checkpoint.size <= size:
            raise _unexportable("checkpoints are out of order, or two have one size")
        note, size = stored, checkpoint.size
        yield f"checkpoints/{size}", note
    if not note:
        raise _unexportable("a log without a checkpoint cannot be exported")
    yield CHECKPOINT_PATH, note
    yield from _bundles(source, size)
    level, count = 0, size
    while count:
        for index in range(-(-count // TILE_WIDTH)):
            width = min(count - index * TILE_WIDTH, TILE_WIDTH)
            tile = source.tiles.read(level, index)[: width * HASH_BYTES]
            if len(tile) != width * HASH_BYTES:
                raise _unexportable("a stored tile is missing or too short")
            yield _path(str(level), index, width), tile
        level, count = level + 1, count // TILE_WIDTH


class ExportSource:
    """An export read back as a :class:`~gateway.audit.verify.LogSource`.

    Nothing in ``files`` is trusted, and files outside the layout are not looked at. A missing or damaged
    piece shows as what it is: missing entries, missing hashes, or AuditBroken from :meth:`entries` at the
    place of the damage.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files
        self._notes = sorted((int(match[1]), path) for path in files if (match := _NOTE.fullmatch(path)))
        # Of a full tile and its earlier partial forms, and of several partial ones, the widest stands.
        widest: dict[tuple[str, int], tuple[int, str]] = {}
        for path in files:
            if match := _TILE.fullmatch(path):
                level, groups, width = match.groups()
                key = level, int(groups.replace("x", "").replace("/", ""))
                widest[key] = max(widest.get(key, (0, "")), (int(width or TILE_WIDTH), path))
        self._bundles: list[tuple[int, str]] = []
        self._tiles = MemoryTiles()
        for (level, index), (_, path) in sorted(widest.items()):
            if level == "entries":
                self._bundles.append((index, path))
            else:
                self._tiles.write({(int(level), index): files[path]})

    @property
    def origin(self) -> str:
        """As the newest note claims; AuditBroken when there is none."""
        note = self._files.get(CHECKPOINT_PATH)
        if note is None:
            raise _unexportable("the export has no checkpoint")
        return parse(note).checkpoint.origin

    @property
    def tiles(self) -> TileReader:
        return self._tiles

    def entries(self) -> Iterator[tuple[int, bytes]]:
        for index, path in self._bundles:
            bundle = self._files[path]
            position, at = index * TILE_WIDTH, 0
            while at < len(bundle):
                start = at + LENGTH_BYTES
                at = start + int.from_bytes(bundle[at:start], "big")
                if at > len(bundle):
                    raise _unexportable("an entry bundle ends within an entry")
                yield position, bundle[start:at]
                position += 1

    def checkpoints(self) -> Iterator[bytes]:
        """Those of their own name; one under another's stands as a note that nobody can read."""
        note = b""
        for size, path in self._notes:
            note = self._files[path]
            yield note if _size(note) == size else b""
        newest = self._files.get(CHECKPOINT_PATH, note)
        if newest != note:
            yield newest


def _size(note: bytes) -> int | None:
    try:
        return parse(note).checkpoint.size
    except AuditBroken:
        return None


def _bundles(source: LogSource, size: int) -> Iterator[tuple[str, bytes]]:
    bundle: list[bytes] = []
    expected = 0
    for position, raw in source.entries():
        if expected == size:
            break
        if position != expected:
            raise _unexportable("entries are missing or repeated")
        if len(raw) >> (8 * LENGTH_BYTES):
            raise _unexportable("an entry is too long for a bundle")
        bundle += len(raw).to_bytes(LENGTH_BYTES, "big"), raw
        expected += 1
        if expected % TILE_WIDTH == 0:
            yield _path("entries", expected // TILE_WIDTH - 1, TILE_WIDTH), b"".join(bundle)
            bundle.clear()
    if expected != size:
        raise _unexportable("the checkpoint knows more entries than are stored")
    if bundle:
        yield _path("entries", expected // TILE_WIDTH, expected % TILE_WIDTH), b"".join(bundle)


def _path(level: str, index: int, width: int) -> str:
    groups = [f"{index % 1000:03}"]
    while index >= 1000:
        index //= 1000
        groups.append(f"x{index % 1000:03}")
    partial = "" if width == TILE_WIDTH else f".p/{width}"
    return f"tile/{level}/{'/'.join(reversed(groups))}{partial}"


def _unexportable(detail: str) -> AuditBroken:
    return AuditBroken(detail, diagnostic={"rule": "export"})

"""Exports of honest logs, and random edits of their files, each with the index at which the truth ends.

What an edit does to the log is read from the files it leaves, by neither verifier: the first entry that is another
one, the first leaf or inner hash that is, and the heads that are gone or say something else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from random import Random

from gateway.audit import tree
from gateway.audit.export import write_export
from tests.audit.logs import MASTER_ORIGIN, ORIGIN, MemoryLog

Files = dict[str, bytes]

#: Batches of the logs that are edited, and how often each is drawn: small ones mostly, so that many edits can be tried;
#: the rest have full tiles, an upper level, and a tile that is just full or just begun.
LOGS: dict[tuple[int, ...], int] = {
    (1,): 8,
    (2, 3): 20,
    (5, 7, 1, 4): 60,
    (9, 1, 14, 6): 20,
    (256,): 1,
    (200, 55, 2): 1,
    (255, 1, 256, 3): 1,
}

HEAD = "checkpoint"
BUNDLES = "tile/entries/"


@dataclass(frozen=True)
class Original:
    """An honest log as files, what they hold, and the notes of it that somebody keeps outside."""

    log: MemoryLog
    files: Files
    entries: tuple[bytes, ...]

    @classmethod
    def of(cls, batches: tuple[int, ...], origin: str) -> Original:
        log = MemoryLog.of(batches, origin=origin)
        return cls(log, dict(write_export(log)), tuple(raw for _, raw in log.rows))


@dataclass(frozen=True)
class Edit:
    """``files`` are those that changed (None: gone). ``index`` is the first one that is not true any more, None when
    only heads changed; ``idle`` says why an edit changes nothing that a log says, empty when it does."""

    kind: str
    files: Mapping[str, bytes | None]
    index: int | None
    idle: str = ""


def originals() -> list[tuple[Original, int]]:
    """Every log of `LOGS` as a master log and as a partner's, with its weight."""
    return [
        (Original.of(batches, origin), weight)
        for batches, weight in LOGS.items()
        for origin in (MASTER_ORIGIN, ORIGIN)
    ]


def draw(original: Original, random: Random) -> Edit:
    """One edit that changes at least one byte."""
    while True:
        kind = random.choice(tuple(KINDS))
        changed = KINDS[kind](original, random)
        changed = {name: raw for name, raw in changed.items() if original.files.get(name) != raw}
        if changed:
            return Edit(kind, changed, *_judge(original, changed))


# --- what an edit does ------------------------------------------------------------------------------------------------


def _judge(original: Original, changed: Mapping[str, bytes | None]) -> tuple[int | None, str]:
    after = {**original.files, **changed}
    files = {name: raw for name, raw in after.items() if raw is not None}
    wrong = [
        index
        for name in changed
        if name.startswith("tile/")
        for index in [_wrong_in(name, original.files.get(name, b""), files.get(name, b""))]
        if index is not None
    ]
    if wrong:
        return min(*wrong, len(original.entries)), ""
    return None, _idle(original.files, files)


def _wrong_in(name: str, before: bytes, after: bytes) -> int | None:
    """The first index at which a bundle or a tile says something else; None when it says the same. A hash of an upper
    tile speaks of many entries, and is no better placed than at the last of them."""
    _, level, number = name.partition(".p/")[0].split("/", 2)
    first = int(number.replace("x", "").replace("/", "")) * tree.TILE_WIDTH
    if level == "entries":
        old, new = list(_split(before)), list(_split(after))
        width = 1
    else:
        old, new = list(_hashes(before)), list(_hashes(after))
        width = tree.TILE_WIDTH ** int(level)
    for offset in range(max(len(old), len(new))):
        if old[offset : offset + 1] != new[offset : offset + 1]:
            return (first + offset + 1) * width - 1
    return None


def _split(bundle: bytes) -> Iterator[bytes]:
    """Entries of a bundle with their lengths; what is torn stands as it is."""
    while bundle:
        end = 2 + int.from_bytes(bundle[:2], "big")
        yield bundle[:end]
        bundle = bundle[end:]


def _hashes(tile: bytes) -> Iterator[bytes]:
    for at in range(0, len(tile), tree.HASH_BYTES):
        yield tile[at : at + tree.HASH_BYTES]


def _idle(before: Files, after: Files) -> str:
    """Why an edit of heads takes nothing from what the log says, or empty: all that are there stand as they were, and
    the newest is among them."""
    honest = {raw for name, raw in before.items() if not name.startswith("tile/")}
    heads = {name: raw for name, raw in after.items() if not name.startswith("tile/")}
    if heads.get(HEAD) != before[HEAD] or {*heads.values()} - honest:
        return ""
    return "an earlier head is left out"


# --- edits of bytes ---------------------------------------------------------------------------------------------------


def _some_file(original: Original, random: Random) -> tuple[str, bytes]:
    name = random.choice(sorted(original.files))
    return name, original.files[name]


def _flip(original: Original, random: Random) -> Mapping[str, bytes | None]:
    name, raw = _some_file(original, random)
    place = random.randrange(len(raw))
    return {name: raw[:place] + bytes([raw[place] ^ 1 << random.randrange(8)]) + raw[place + 1 :]}


def _overwrite(original: Original, random: Random) -> Mapping[str, bytes | None]:
    name, raw = _some_file(original, random)
    place = random.randrange(len(raw))
    some = random.randbytes(random.randint(1, 40))
    return {name: raw[:place] + some + raw[place + len(some) :]}


def _insert(original: Original, random: Random) -> Mapping[str, bytes | None]:
    name, raw = _some_file(original, random)
    place = random.randrange(len(raw) + 1)
    return {name: raw[:place] + random.randbytes(random.randint(1, 40)) + raw[place:]}


def _delete(original: Original, random: Random) -> Mapping[str, bytes | None]:
    name, raw = _some_file(original, random)
    place = random.randrange(len(raw))
    return {name: raw[:place] + raw[place + random.randint(1, 40) :]}


def _repeat(original: Original, random: Random) -> Mapping[str, bytes | None]:
    name, raw = _some_file(original, random)
    place = random.randrange(len(raw))
    end = place + random.randint(1, 40)
    return {name: raw[:end] + raw[place:end] + raw[end:]}


def _cut(original: Original, random: Random) -> Mapping[str, bytes | None]:
    name, raw = _some_file(original, random)
    return {name: raw[: random.randrange(len(raw))]}


def _drop(original: Original, random: Random) -> Mapping[str, bytes | None]:
    return {_some_file(original, random)[0]: None}


def _exchange(original: Original, random: Random) -> Mapping[str, bytes | None]:
    (one, first), (other, second) = _some_file(original, random), _some_file(original, random)
    return {one: second, other: first}


def _overlay(original: Original, random: Random) -> Mapping[str, bytes | None]:
    (one, _), (_, second) = _some_file(original, random), _some_file(original, random)
    return {one: second}


# --- edits of entries -------------------------------------------------------------------------------------------------


def _bundled(original: Original, entries: list[bytes]) -> Files:
    """The bundles of these entries and nothing else; those that are too many stay in the last bundle's name."""
    files: Files = {}
    names = sorted(name for name in original.files if name.startswith(BUNDLES))
    for number, name in enumerate(names):
        last = number == len(names) - 1
        part = entries[number * tree.TILE_WIDTH : None if last else (number + 1) * tree.TILE_WIDTH]
        files[name] = b"".join(len(raw).to_bytes(2, "big") + raw for raw in part)
    return files


def _retiled(original: Original, entries: list[bytes]) -> Files:
    """Bundles and every tile made anew from these entries, under the names of the old ones where there are such."""
    tiles = tree.MemoryTiles()
    tiles.write(tree.append(0, tiles, entries).tiles)
    files = _bundled(original, entries)
    for name in original.files:
        if name.startswith("tile/") and not name.startswith(BUNDLES):
            _, level, number = name.partition(".p/")[0].split("/", 2)
            files[name] = tiles.read(int(level), int(number.replace("x", "").replace("/", "")))
    return files


def _rewritten(
    change: Callable[[list[bytes], Random], None],
    write: Callable[[Original, list[bytes]], Files],
    original: Original,
    random: Random,
) -> Mapping[str, bytes | None]:
    entries = list(original.entries)
    change(entries, random)
    return {**write(original, entries)}


def _entry_turned(entries: list[bytes], random: Random) -> None:
    """A digit of a digest, or of the blind, replaced: the entry keeps its form."""
    at = random.randrange(len(entries))
    raw = entries[at]
    places = [place for place in range(len(raw)) if raw[place : place + 1] in b"0123456789"]
    place = random.choice(places)
    entries[at] = raw[:place] + random.choice(b"0123456789").to_bytes(1, "big") + raw[place + 1 :]


def _entry_gone(entries: list[bytes], random: Random) -> None:
    del entries[random.randrange(len(entries))]


def _entry_doubled(entries: list[bytes], random: Random) -> None:
    entries.insert(random.randrange(len(entries) + 1), random.choice(entries))


def _entries_exchanged(entries: list[bytes], random: Random) -> None:
    one, other = random.randrange(len(entries)), random.randrange(len(entries))
    entries[one], entries[other] = entries[other], entries[one]


def _tail_gone(entries: list[bytes], random: Random) -> None:
    del entries[random.randrange(len(entries)) :]


_CHANGES = {
    "entry turned": _entry_turned,
    "entry gone": _entry_gone,
    "entry doubled": _entry_doubled,
    "entries exchanged": _entries_exchanged,
    "tail gone": _tail_gone,
}

KINDS: dict[str, Callable[[Original, Random], Mapping[str, bytes | None]]] = {
    "bit": _flip,
    "overwrite": _overwrite,
    "insert": _insert,
    "delete": _delete,
    "repeat": _repeat,
    "cut": _cut,
    "file gone": _drop,
    "files exchanged": _exchange,
    "file over another": _overlay,
    **{name: partial(_rewritten, change, _bundled) for name, change in _CHANGES.items()},
    **{f"{name}, tiles too": partial(_rewritten, change, _retiled) for name, change in _CHANGES.items()},
}

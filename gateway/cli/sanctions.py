"""Importing published lists of sanctions: the file in parts, then what the list as a whole means."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.cli.shared import Acting
from gateway.errors import RecordInvalid, RequestInvalid

if TYPE_CHECKING:
    from gateway.service.calls import BadLine

#: Record kind of a list's entries; ``/un``, ``/eu`` or ``/be`` follows.
KIND = "sanctions-entry/1.0"

#: What an officer may write for it.
NAMES = ("sanctions", "sanctions-entry", KIND)

BLOCK = 64 * 1024  # bytes read from the file at once


class ListAnswer(NamedTuple):
    """What became of one file."""

    counts: dict[str, int]
    bad: "list[BadLine]"
    document: dict[str, Any]


async def import_list(
    on: Acting, path: Path, wanted: str, *, shrunk: bool, advance: Callable[[int], None]
) -> ListAnswer:
    """Send a list part by part, and then say that it is whole, unless it could not be read to its end.

    ``shrunk``: nothing is sent; a second person who holds the file says that the list imported before is whole and
    really shrank.
    ``advance`` is told the bytes read since it was last told. Raises `RequestInvalid` for a file that cannot be read.
    """
    from gateway.service.app import list_parts
    from gateway.service.calls import BadLine, ImportChunk, Imported, ListComplete, ListCompleted

    counts = dict.fromkeys(("new", "changed", "unchanged", "unlabelled"), 0)
    bad: list[BadLine] = []
    done, entries, kind, generated, whole = 0, 0, "", None, True
    parts = list_parts(_blocks(path), wanted)
    while True:
        try:
            part = next(parts, None)
        except RecordInvalid as fault:
            bad.append(BadLine(fault.line or 1, fault.pointer, fault.rule, fault.detail))
            whole = False
            break
        if part is None:
            break
        kind, generated = f"{KIND}/{part.list}", part.generated
        entries += part.entries
        if not shrunk:
            params = ImportChunk(kind, part.first, part.raw)
            landed: Imported = await on.desk.call("records/import", params, Imported)
            for name in counts:
                counts[name] += getattr(landed, name)
            bad += landed.bad
        advance(part.read - done)
        done = part.read
    document: dict[str, Any] = {"file": str(path), "list": kind.rpartition("/")[2], "generated": generated}
    if whole and generated is not None:
        params_whole = ListComplete(kind, generated, entries, shrunk)
        said: ListCompleted = await on.desk.call("records/complete", params_whole, ListCompleted)
        document |= {"gone": said.gone, "delisted": said.delisted, "matches": said.matches}
    return ListAnswer(counts, bad, document)


def _blocks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                yield block
    except OSError:
        raise RequestInvalid("the file cannot be read", diagnostic={"file": str(path)}) from None

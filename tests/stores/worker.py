"""A process that writes until it is stopped, and tells on stdout what was acknowledged.

Lines: ``ready``, ``ack LANE POSITION``, ``fatal REASON``, ``probe refused``. Ends with code 4 when the store fails.
Faults it can bring about for itself: ``none``; ``filesize`` (the kernel refuses to let files grow); ``full`` (a small
file system of its own); ``readonly`` (a read-only mount over the folder, after some acknowledgements).
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from adapters.stores.sql import SqliteStore
from gateway.errors import StoreUnavailable
from gateway.model.rows import EntryRow, LogRow
from gateway.ports import Tx

LANES = 6
ENTRY = bytes(700)
FILE_LIMIT = 2_000_000  # bytes
ACKS_BEFORE_MOUNT = 50


def append(origin: str) -> Callable[[Tx], int]:
    """A unit that adds one entry and moves the log's size with it: half of it is never right."""

    def unit(tx: Tx) -> int:
        log = tx.get(LogRow, origin) or LogRow(origin, 0)
        tx.insert(EntryRow(origin, log.size, ENTRY))
        tx.put(LogRow(origin, log.size + 1))
        return log.size

    return unit


def tell(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


async def main(path: Path, fault: str) -> None:
    folder = path.parent
    if fault == "full":
        mount("-t", "tmpfs", "-o", "size=2m", "none", str(folder))

    def fatal(reason: str) -> None:
        tell(f"fatal {reason}")
        if fault == "full":  # to the last byte: a probe is smaller than a group
            with suppress(OSError), (folder / "filler").open("wb", buffering=0) as filler:
                while True:
                    filler.write(bytes(512))
        try:
            SqliteStore.open(path, fatal=tell).probe()
        except StoreUnavailable:
            tell("probe refused")
        if fault == "full":  # the mount ends with this process
            shutil.copytree(folder, folder.with_name("after"))
        os._exit(4)

    store = SqliteStore.open(path, fatal=fatal)
    store.probe()
    if fault == "filesize":
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_LIMIT, FILE_LIMIT))
    acknowledged = 0

    async def work(origin: str) -> None:
        nonlocal acknowledged
        while True:
            tell(f"ack {origin} {await store.write(append(origin))}")
            acknowledged += 1
            if fault == "readonly" and acknowledged == ACKS_BEFORE_MOUNT:
                mount("--bind", str(folder), str(folder))
                mount("-o", "remount,ro,bind", str(folder))

    tell("ready")
    await asyncio.gather(*(work(f"lane-{number}") for number in range(LANES)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))

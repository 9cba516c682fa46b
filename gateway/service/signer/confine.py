"""The signer's doors, closed by a Python audit hook (PEP 578) before it reads a key.

A hook catches what a library does behind our back. It is no wall against hostile native code in the same process: the
operating system is (`docs/threats.md`).
"""

from __future__ import annotations

import socket
import sys
from typing import Any


class ExitClosed(OSError):
    """Something tried to leave by a way that is not in the table of exits: a connection that failed, to its caller."""


#: What a process that speaks to one local socket never does, as PEP 578 names it: start another program.
_PROGRAMS = frozenset({"subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.fork"})


def close_exits() -> None:
    """From now on this process opens no network socket, looks up no name and starts no program: for good."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.__new__" and arguments[1] not in (
            socket.AF_UNIX,
            -1,
        ):  # -1: taken over by descriptor
            raise ExitClosed("the signer opens no network socket")
        if event == "socket.getaddrinfo" or event in _PROGRAMS:
            raise ExitClosed("the signer looks up nothing and starts nothing")

    sys.addaudithook(hook)

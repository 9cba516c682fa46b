"""The signer's doors, closed by a Python audit hook (PEP 578) before it reads a key.

A hook catches what a library does behind our back, where the interpreter raises an event. It does not see
``_posixsubprocess.fork_exec``, which raises none and with which `multiprocessing` starts programs; a socket that
another process hands over; or native code. It is no wall against hostile code in the same process: the operating
system is (`docs/threats.md`). No limit of processes (RLIMIT_NPROC) is set: it counts a whole user's, and binds no root.
"""

from __future__ import annotations

import socket
import sys
from typing import Any


class ExitClosed(OSError):
    """Something tried to leave by a way that is not in the table of exits: a connection that failed, to its caller."""


#: Copy this process, or turn it into another program, as PEP 578 names it.
COPIES = frozenset({"os.exec", "os.spawn", "os.system", "os.fork", "os.forkpty"})
#: What a process that speaks to one local socket never does: start another program.
_PROGRAMS = COPIES | {"subprocess.Popen", "os.posix_spawn"}
#: Look up a name, or the name of an address: each asks a name server something.
LOOKUPS = frozenset(
    {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"}
)


def close_exits() -> None:
    """From now on this process opens no network socket, looks up no name and starts no program: for good."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.__new__" and arguments[1] not in (
            socket.AF_UNIX,
            -1,
        ):  # -1: taken over by descriptor
            raise ExitClosed("the signer opens no network socket")
        if event in LOOKUPS or event in _PROGRAMS:
            raise ExitClosed("the signer looks up nothing and starts nothing")

    sys.addaudithook(hook)

"""The table of exits against the source: no module writes outside without a row, no row names one that does not."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.service.exits import EXITS

ROOT = Path(__file__).resolve().parents[2]

#: Calls that open a way out: to a network, another process, or a file.
OPENERS = frozenset(
    {
        "ClientSession", "TCPConnector", "UnixConnector", "open_connection", "open_unix_connection",
        "create_connection", "create_unix_connection", "create_datagram_endpoint", "create_server",
        "create_unix_server", "start_server", "start_unix_server", "UnixSite", "SockSite", "TCPSite",
        "Popen", "create_subprocess_exec", "create_subprocess_shell", "check_output", "check_call", "execve", "execv",
        "write_bytes", "write_text", "sendfile", "copyfile", "copytree", "print", "PrintLoggerFactory", "Console",
    }
)  # fmt: skip
#: The same, of one module only: `os.write`, `sqlite3.connect`, `socket.socket`.
QUALIFIED = frozenset(
    {
        ("os", "write"),
        ("sqlite3", "connect"),
        ("socket", "socket"),
        ("subprocess", "run"),
        ("msvcrt", "putch"),
    }
)
STREAMS = frozenset({"stdout", "stderr"})
WRITING = re.compile(r"[wax][bt]?\+?[bt]?|r[bt]?\+[bt]?")


def ways_out(source: str) -> list[str]:
    """``line: what`` of everything in ``source`` that can carry bytes out of the process."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in OPENERS:
                found.append((node.lineno, name))
            case ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr=name)) if (
                module,
                name,
            ) in QUALIFIED:
                found.append((node.lineno, f"{module}.{name}"))
            case ast.Call(func=ast.Attribute(attr=name)) if name in OPENERS:
                found.append((node.lineno, name))
            case (
                ast.Call(func=ast.Name(id="open"), args=[_, ast.Constant(value=str(mode)), *_])
                | ast.Call(func=ast.Attribute(attr="open"), args=[ast.Constant(value=str(mode)), *_])
            ) if WRITING.fullmatch(mode):
                found.append((node.lineno, f"open {mode}"))
            case ast.Attribute(value=ast.Name(id="os"), attr="O_WRONLY" | "O_RDWR" as name):
                found.append((node.lineno, name))
            case ast.Attribute(value=ast.Name(id="sys"), attr=name) if name in STREAMS:
                found.append((node.lineno, f"sys.{name}"))
    return [f"{line}: {what}" for line, what in sorted(found)]


def modules() -> Iterator[tuple[str, str]]:
    """Dotted name and source of every module that is installed."""
    for room in ("gateway", "adapters", "schemas", "certs"):
        for path in sorted((ROOT / room).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            yield name, path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "source",
    [
        "import aiohttp\nsession = aiohttp.ClientSession()",
        "import asyncio\nasync def f(): await asyncio.open_connection('h', 1)",
        "import socket\ns = socket.socket()",
        "import subprocess\nsubprocess.run(['x'])",
        "import os\nos.write(1, b'x')",
        "from pathlib import Path\nPath('x').write_text('y')",
        "handle = open('x', 'wb')",
        "import os\nos.open('x', os.O_WRONLY)",
        "from pathlib import Path\nPath('x').open('ab')",
        "import sys\nsys.stderr.write('x')",
        "print('x')",
        "import sqlite3\nsqlite3.connect('x')",
    ],
)
def test_the_scan_finds(source: str) -> None:
    """Each kind of way out is found in source."""
    assert ways_out(source)


def test_reading_is_no_way_out() -> None:
    """A file that is read, and a vault that is opened, are none."""
    assert not ways_out(
        "from pathlib import Path\nPath('x').open('rb')\nvault.open(tx, body, Kind)\nopen('x')"
    )


def test_every_way_out_has_a_row() -> None:
    """Exactly the modules that the table names can carry bytes out."""
    listed = {module for row in EXITS for module in row.modules}
    found = {name: where for name, source in modules() if (where := ways_out(source))}
    missing = {name: where for name, where in found.items() if name not in listed}
    assert not missing, f"no row in EXITS for {missing}"
    assert listed <= set(found), f"rows in EXITS without a way out: {sorted(listed - set(found))}"


def test_content_leaves_the_country_in_one_place() -> None:
    """One exit alone carries what people released; it demands four eyes, an entry, and bytes sealed for one reader."""
    abroad = [row for row in EXITS if row.four_eyes]
    assert [row.sink for row in abroad] == ["batches to a partner's endpoint"]
    assert abroad[0].content == "sealed"
    assert abroad[0].entry


def test_whatever_carries_content_leaves_an_entry() -> None:
    """No row with content or released bytes is without its entry in a log."""
    assert not [
        row.sink for row in EXITS if row.content in ("content", "released", "sealed") and not row.entry
    ]

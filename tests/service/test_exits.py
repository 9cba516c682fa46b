"""The doors: connections to endpoints in force and nothing else, and a signer without any."""

import subprocess
import sys
import textwrap

import pytest

from gateway.service.exits import Endpoint, Exits
from gateway.service.signer.confine import ExitClosed

HERE: Endpoint = ("192.0.2.7", 8443)
NAMED: Endpoint = ("gateway.example", 443)


def exits(*endpoints: Endpoint) -> Exits:
    """Doors to these endpoints."""
    return Exits(lambda: endpoints)


@pytest.mark.parametrize(
    ("address", "port"), [("192.0.2.7", 8444), ("192.0.2.8", 8443), ("198.51.100.1", 443), ("::1", 8443)]
)
def test_only_an_endpoint_is_reached(address: str, port: int) -> None:
    """Another port, another address, a name that was not resolved: each is refused, and counted."""
    doors = exits(HERE, NAMED)
    doors.require("192.0.2.7", 8443)
    with pytest.raises(ExitClosed):
        doors.require(address, port)
    assert doors.refused == 1


def test_a_name_is_reached_where_it_was_found_last() -> None:
    """An address counts for a name after its resolution, for its port, until the next resolution says otherwise."""
    doors = exits(NAMED)
    doors.learn("gateway.example", ["198.51.100.1"])
    doors.require("198.51.100.1", 443)
    with pytest.raises(ExitClosed):
        doors.require("198.51.100.1", 80)
    doors.learn("gateway.example", ["198.51.100.2"])
    doors.require("198.51.100.2", 443)
    with pytest.raises(ExitClosed):
        doors.require("198.51.100.1", 443)


def test_an_address_has_more_than_one_spelling() -> None:
    """IPv6 endpoints are compared as addresses, brackets or zeros aside."""
    doors = exits(("[2001:db8::1]", 443))
    doors.require("2001:db8:0:0:0:0:0:1", 443)
    with pytest.raises(ExitClosed):
        doors.require("2001:db8::1:1", 443)
    assert doors.refused == 1


def test_only_names_of_endpoints_are_looked_up() -> None:
    """A lookup tells a name server something: another name is refused; addresses need no lookup."""
    doors = exits(NAMED)
    doors.require_name("gateway.example")
    doors.require_name("127.0.0.1")
    with pytest.raises(ExitClosed):
        doors.require_name("canary.attacker.example")


def test_no_endpoints_means_no_exit() -> None:
    """Empty means no."""
    with pytest.raises(ExitClosed):
        exits().require("127.0.0.1", 443)


def _run(script: str) -> str:
    """What a process of its own prints: a hook cannot be taken out again."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_closed_process_reaches_its_endpoint_and_no_other() -> None:
    """By socket, asyncio or name lookup: only what is in force gets through; local sockets are not its business."""
    out = _run(
        """
        import asyncio, socket
        from gateway.service.exits import Exits
        server, other = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
        doors = Exits(lambda: [server.getsockname()[:2]])
        doors.close_all_others()
        socket.create_connection(server.getsockname()[:2]).close()
        print("own endpoint")
        for attempt in (
            lambda: socket.create_connection(other.getsockname()[:2]),
            lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", other.getsockname()[:2]),
            lambda: socket.getaddrinfo("canary.example", 443),
            lambda: asyncio.run(asyncio.open_connection(*other.getsockname()[:2])),
        ):
            try:
                attempt()
                print("LEFT")
            except OSError as error:
                print(type(error).__name__)
        left, right = socket.socketpair()
        left.send(b"x")
        print("local", right.recv(1).decode(), doors.refused)
        """
    )
    assert out.split("\n")[:-1] == ["own endpoint", *["ExitClosed"] * 4, "local x 4"]


def test_a_signer_has_no_network_and_starts_nothing() -> None:
    """Neither version of IP, no lookup, no program; a local socket works."""
    out = _run(
        """
        import asyncio, os, socket, subprocess, sys
        from gateway.service.signer.confine import close_exits
        close_exits()
        for attempt in (
            lambda: socket.socket(),
            lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM),
            lambda: socket.getaddrinfo("localhost", 1),
            lambda: subprocess.run(["true"]),
            lambda: os.system("true"),
            lambda: os.fork(),
        ):
            try:
                attempt()
                print("LEFT")
            except OSError as error:
                print(type(error).__name__)
        left, right = socket.socketpair()
        left.send(b"x")
        print("local", right.recv(1).decode())
        asyncio.run(asyncio.sleep(0))
        print("loop")
        """
    )
    assert out.split("\n")[:-1] == [*["ExitClosed"] * 6, "local x", "loop"]


def test_a_closed_process_finds_no_other_way() -> None:
    """Lookups by older calls and in reverse, another family, also of a socket that was there before, a bound address,
    a shell, a copy: each is refused and counted. What is an endpoint's may be looked up, and `subprocess` works."""
    out = _run(
        """
        import os, socket, subprocess, sys
        from gateway.service.exits import Exits
        server = socket.create_server(("127.0.0.1", 0))
        foreign = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) if hasattr(socket, "AF_VSOCK") else None
        doors = Exits(lambda: [server.getsockname()[:2], ("localhost", 443)])
        doors.close_all_others()
        socket.gethostbyname("localhost")
        for attempt in (
            lambda: socket.gethostbyname("canary.example"),
            lambda: socket.gethostbyname_ex("canary.example"),
            lambda: socket.gethostbyaddr("192.0.2.1"),
            lambda: socket.getnameinfo(("192.0.2.1", 80), 0),
            lambda: socket.getfqdn("192.0.2.1") and 1 / 0,
            lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
            lambda: socket.socket().bind(("127.0.0.1", 0)),
            lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).bind(("::", 0)),
            lambda: (foreign.connect((2, 1)) if foreign else doors._refuse("")),
            lambda: os.system("true"),
            lambda: os.fork(),
            lambda: os.forkpty(),
        ):
            try:
                attempt()
                print("LEFT")
            except (OSError, ZeroDivisionError) as error:
                print(type(error).__name__)
        print(doors.refused)
        with socket.create_connection(server.getsockname()[:2]) as own, server.accept()[0] as theirs:
            own.sendall(b"x")
            print("own", theirs.recv(1).decode())
        local = socket.socket(socket.AF_UNIX)
        local.bind("")
        print("local", subprocess.run(["true"]).returncode)
        """
    )
    # getfqdn takes a refused lookup for a name that is not known, and returns the address
    refused = ["ExitClosed"] * 4 + ["ZeroDivisionError"] + ["ExitClosed"] * 7
    assert out.split("\n")[:-1] == [*refused, "12", "own x", "local 0"]


def test_a_signer_looks_up_nothing_by_any_call() -> None:
    """Older lookups, reverse ones, and a program behind a terminal of its own."""
    out = _run(
        """
        import os, socket
        from gateway.service.signer.confine import close_exits
        close_exits()
        for attempt in (
            lambda: socket.gethostbyname("localhost"),
            lambda: socket.gethostbyname_ex("localhost"),
            lambda: socket.gethostbyaddr("127.0.0.1"),
            lambda: socket.getnameinfo(("127.0.0.1", 80), 0),
            lambda: os.forkpty(),
        ):
            try:
                attempt()
                print("LEFT")
            except OSError as error:
                print(type(error).__name__)
        """
    )
    assert out.split("\n")[:-1] == ["ExitClosed"] * 5

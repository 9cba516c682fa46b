"""Run a command in a network namespace of its own and count every packet that tries to leave the machine.

``python -m tests.egress [--] COMMAND...`` prints one JSON document; exit 1 when a packet left or the command failed.
Inside, the only network beside loopback is a pair of virtual interfaces with nobody at the other end, and a default
route to it: whatever is sent there is seen and goes nowhere, name lookups included.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections import Counter

INSIDE = "--inside"

#: Interface that leads nowhere, its other end, and an address of it (RFC 5737: documentation).
DEAD_END, FAR_END, ADDRESS = "egress0", "egress1", "192.0.2.1/24"

#: A sniffer looks this often whether its time is over, in seconds.
POLL_S = 0.2

ETH_P_ALL = 3
_SETUP = (
    ("ip", "link", "set", "lo", "up"),
    ("ip", "link", "add", DEAD_END, "type", "veth", "peer", "name", FAR_END),
    ("ip", "addr", "add", ADDRESS, "dev", DEAD_END),
    ("ip", "link", "set", FAR_END, "up"),
    ("ip", "link", "set", DEAD_END, "arp", "off", "up"),
    ("ip", "route", "add", "default", "dev", DEAD_END),
)


class Sniffer:
    """Counts packets by destination on one interface. On loopback only TCP connection attempts count."""

    def __init__(self, interface: str, *, attempts_only: bool) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._socket.bind((interface, 0))
        self._socket.settimeout(POLL_S)
        self._attempts_only, self._over = attempts_only, threading.Event()
        self.seen: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> Counter[str]:
        """The counts; packets that were still in the kernel's queue are read first."""
        self._over.set()
        self._thread.join()
        self._socket.close()
        return self.seen

    def _run(self) -> None:
        while True:
            try:
                frame = self._socket.recv(65_536)
            except TimeoutError:
                if self._over.is_set():
                    return
                continue
            where = destination(frame, attempts_only=self._attempts_only)
            if where:
                self.seen[where] += 1


def destination(frame: bytes, *, attempts_only: bool) -> str:
    """``proto address:port`` of an Ethernet frame, or empty for one that does not count.

    The kernel's own IPv6 neighbour and router messages (ICMPv6) are no one's attempt to send.
    """
    kind = struct.unpack("!H", frame[12:14])[0]
    if kind == 0x0800 and len(frame) >= 34:
        header = (frame[14] & 15) * 4
        proto, address = frame[23], socket.inet_ntoa(frame[30:34])
        rest = frame[14 + header :]
    elif kind == 0x86DD and len(frame) >= 54:
        proto, address, rest = frame[20], socket.inet_ntop(socket.AF_INET6, frame[38:54]), frame[54:]
        if proto in (0, 58):  # hop-by-hop options of multicast listener reports, ICMPv6
            return ""
    else:
        return "" if attempts_only else f"ethertype {kind:#06x}"
    if proto not in (6, 17) or len(rest) < (14 if proto == 6 else 4):
        return "" if attempts_only else f"ip-protocol {proto} {address}"
    port = struct.unpack("!H", rest[2:4])[0]
    if attempts_only and (proto != 6 or rest[13] & 0x12 != 0x02):  # SYN without ACK
        return ""
    return f"{'tcp' if proto == 6 else 'udp'} {address}:{port}"


def inside(command: list[str]) -> int:
    """In the namespace: set it up, run the command, count."""
    for step in _SETUP:
        subprocess.run(step, check=True)
    sniffers = {
        "left_the_machine": Sniffer(DEAD_END, attempts_only=False),
        "loopback_connections": Sniffer("lo", attempts_only=True),
    }
    code = subprocess.run(command, stdout=sys.stderr).returncode
    counts = {name: dict(sniffer.stop()) for name, sniffer in sniffers.items()}
    passed = code == 0 and not counts["left_the_machine"]
    print(json.dumps({"passed": passed, "command_exit": code, **counts}))
    return 0 if passed else 1


def main(arguments: list[str]) -> int:
    """Entry point; outside the namespace it only makes one and runs itself again in it."""
    if arguments[:1] == [INSIDE]:
        return inside(arguments[1:])
    command = arguments[1:] if arguments[:1] == ["--"] else arguments
    unshare = shutil.which("unshare")
    if not command or unshare is None:
        print("usage: python -m tests.egress [--] COMMAND...  (needs unshare and ip)", file=sys.stderr)
        return 2
    own = [sys.executable, "-m", "tests.egress", INSIDE, *command]
    os.execv(unshare, [unshare, "--user", "--map-root-user", "--net", *own])  # noqa: S606 - a program by its full path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

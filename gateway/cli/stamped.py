"""Time-stamps where people read them: as files beside exported logs, and in a verdict.

::

    stamps/<number>/document.json   what is stamped
    stamps/<number>/response.tsr    the authority's response (RFC 3161)
    stamps/<number>/chain.pem       its certificates, the signer first
    stamps/<number>/heads/<digest>  a signed head whose digest is in the document
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.cli.exported import write
from gateway.errors import AuditBroken
from gateway.model.time import rfc3339

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from gateway.service.stamped import Anchor, Judged, Kept

STAMPS = "stamps"
_FILE = re.compile(
    rf"{STAMPS}/([0-9]{{8,12}})/(document\.json|response\.tsr|chain\.pem|heads/[0-9a-f]{{64}})"
)


class Seen(NamedTuple):
    """What the time-stamps of a home or an export show."""

    notes: list[bytes]
    anchors: "Mapping[str, Anchor]"
    judged: "Sequence[Judged]"

    @property
    def faults(self) -> list[str]:
        """One word when a stamp is not what it was."""
        return ["time-stamp"] if any(one.standing == "broken" for one in self.judged) else []

    def lines(self, logs: Iterable[str]) -> list[str]:
        """For people: since when each log is anchored, and which stamps prove nothing."""
        text = [
            f"{log}: anchored up to index {one.size - 1} since {rfc3339(one.at)} by {one.by} "
            f"(time-stamp {one.stamp})"
            for log in logs
            if (one := self.anchors.get(log)) is not None
        ]
        return text + [
            f"time-stamp {one.number}: {one.standing}: {one.reason}"
            for one in self.judged
            if one.standing != "holds"
        ]

    def document(self) -> dict[str, Any]:
        """The same for programs."""
        return {"anchored": self.anchors, "stamps": self.judged}


NONE_SEEN = Seen([], {}, [])


def seen(stamps: "Sequence[Kept]", org: str, trusted: "Sequence[Certificate]") -> Seen:
    """Judge stamps as of now."""
    from gateway.service.app import now
    from gateway.service.stamped import anchored, judge

    judged = judge(stamps, org, trusted, now())
    return Seen(*anchored(stamps, judged), judged)


def write_stamps(out: Path, stamps: "Sequence[Kept]") -> list[str]:
    """Write them as files; their folders. `openssl ts -verify` takes them as they are."""
    import hashlib

    written = []
    for one in stamps:
        folder = out / STAMPS / f"{one.number:08}"
        write(folder / "document.json", one.document)
        write(folder / "response.tsr", one.response)
        write(folder / "chain.pem", one.chain)
        for note in one.notes:
            write(folder / "heads" / hashlib.sha256(note).hexdigest(), note)
        written.append(str(folder))
    return written


def read_stamps(files: Mapping[str, bytes]) -> "list[Kept]":
    """The stamps of an export, in their order; a file that is missing or cannot be read is an empty one."""
    from gateway.service.stamped import Kept

    found: dict[int, dict[str, bytes]] = {}
    for name in sorted(files):
        if match := _FILE.fullmatch(name):
            try:
                raw = files[name]
            except AuditBroken:  # it is there and cannot be read
                raw = b""
            found.setdefault(int(match[1]), {})[match[2]] = raw
    return [
        Kept(
            number,
            document=parts.get("document.json", b""),
            response=parts.get("response.tsr", b""),
            chain=parts.get("chain.pem", b""),
            notes=tuple(parts[name] for name in parts if name.startswith("heads/")),
        )
        for number, parts in sorted(found.items())
    ]
